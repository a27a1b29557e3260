/* Calls into libdw and libelf that a hostile file may make crash, or keep for ever. */
#ifndef MODULES_GUARD_H
#define MODULES_GUARD_H

#include "modules.h"

#include <setjmp.h>
#include <signal.h>

/* Calls f. False: it crashed, or the file has cost more than it may, now or before; then what this module's DWARF says is gone
 * (m NULL: all frames). What f holds at a call of these libraries is then left as it stands. */
bool modules_guarded(struct modules *ms, struct module *m, void (*f)(void *ctx), void *ctx);
/* In loops of our own over what a file says: leaves f when the file has cost too much. Where nothing is owned that would be lost. */
void modules_check_time(void);
/* The module that an entry belongs to. NULL: it was given up, and the entry must not be asked any more. */
struct module *modules_of_die(struct modules *ms, const Dwarf_Die *die);
/* Parts of it, for what another thread calls: the first, once, by the thread that starts others. */
bool guard_install(void);
void guard_except_faults(sigset_t *set);
bool guard_call(void (*f)(void *ctx), void *ctx); /* false: it crashed */
void guard_give_up(struct modules *ms, struct module *m);

#endif

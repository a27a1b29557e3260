/* Calls into libdw that a hostile file may crash. */
#ifndef MODULES_GUARD_H
#define MODULES_GUARD_H

#include "modules.h"

#include <setjmp.h>
#include <signal.h>

/* Calls f. False: it crashed, now or before; then what belongs to this module by DWARF is gone (m NULL: all frames). */
bool modules_guarded(struct modules *ms, struct module *m, void (*f)(void *ctx), void *ctx);
/* Parts of it, for what another thread calls: the first, once, by the thread that starts others. */
bool guard_install(void);
void guard_except_faults(sigset_t *set);
bool guard_call(void (*f)(void *ctx), void *ctx); /* false: it crashed */
void guard_give_up(struct modules *ms, struct module *m);

#endif

/* Calls into libdw that a hostile file may crash. */
#ifndef MODULES_GUARD_H
#define MODULES_GUARD_H

#include "modules.h"

#include <setjmp.h>

/* Calls f. False: it crashed, now or before; then what belongs to this module by DWARF is gone (m NULL: all frames). */
bool modules_guarded(struct modules *ms, struct module *m, void (*f)(void *ctx), void *ctx);

#endif

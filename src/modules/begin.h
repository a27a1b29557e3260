/* Opening files for libdw. */
#ifndef MODULES_BEGIN_H
#define MODULES_BEGIN_H

#include "modules.h"

enum begun { BEGUN, BEGUN_LATER, BEGUN_CRASHED };

/* What libdw reads from fd, or from p->memory where fd is -1; *ret NULL: there is no DWARF in it. BEGUN_LATER: Ctrl-C came; the same
 * call goes on with it. BEGUN_CRASHED: it made libdw crash. */
enum begun begin_dwarf(struct priv *p, int fd, Dwarf **ret);
/* Gives back p->dwarf, p->alt and what is under way. */
void begin_end(struct priv *p);

#endif

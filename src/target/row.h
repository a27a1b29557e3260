/* The rows of the target table. A row's open() allocates a structure of its own that begins with struct target, zeroed,
 * and sets live, pid, comm, exe and arch; target_open() sets row and options before any other call. close() frees all of
 * it, picture_clear() included. */
#ifndef TARGET_ROW_H
#define TARGET_ROW_H
#include "flotsam/target.h"

extern const struct target_row target_live_row;
extern const struct target_row target_core_row;

/* auxv.c: fills the picture's auxv from the first stack's memory, where it is found. */
struct err *auxv_from_stack(struct target *t) MUST_CHECK;

/* Adds to an existing entry of the reason, or makes one. */
bool picture_skip(struct picture *p, const char *reason, uint64_t bytes, bool may_hold_roots);
#endif

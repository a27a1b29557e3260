/* The rows of the allocator table. */
#ifndef ALLOC_ROW_H
#define ALLOC_ROW_H
#include "flotsam/alloc.h"

extern const struct alloc_row alloc_glibc;

/* known.c: the allocator that this module holds, by name, and its version ("" when the file does not tell). NULL: none that is
 * known, or glibc's. */
const char *alloc_known_in(struct modules *ms, struct module *m, char version[16]);
/* glibc/second.c: what the main arena that this module holds took from the kernel; 0 when it holds none in use. */
uint64_t alloc_glibc_bytes(struct image *img, struct modules *ms, struct module *m);
#endif

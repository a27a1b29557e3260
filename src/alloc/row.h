/* The rows of the allocator table. */
#ifndef ALLOC_ROW_H
#define ALLOC_ROW_H
#include "flotsam/alloc.h"

extern const struct alloc_row alloc_glibc;

/* Names the allocator that is no row's: "jemalloc (libjemalloc.so.2)"; NULL when nothing is recognised. Static text. */
const char *alloc_recognise(struct modules *ms);
#endif

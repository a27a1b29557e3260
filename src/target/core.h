/* What core.c leaves to files of their own. */
#ifndef TARGET_CORE_H
#define TARGET_CORE_H
#include "flotsam/target.h"

/* When *fd is a .zst or .xz file (by its magic), replaces it by an unlinked file with the content; else leaves it. */
struct err *core_expand(int *fd) MUST_CHECK;
/* Thread pointers of threads that have none, from the descriptors in memory. */
void core_find_descriptors(struct picture *p);
#endif

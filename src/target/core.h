/* Compressed cores. */
#ifndef TARGET_CORE_H
#define TARGET_CORE_H
#include "flotsam/base.h"

/* When *fd is a .zst or .xz file (by its magic), replaces it by an unlinked file with the content; else leaves it. */
struct err *core_expand(int *fd) MUST_CHECK;
#endif

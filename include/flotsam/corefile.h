/* corefile: a look as a standard ELF core: what gdb, eu-stack and flotsam open. Memory that was read is in it, and what tells the files
 * that are mapped; memory that was never touched is a hole, what was not read is left out. What the kernel said stands in notes of
 * our own (flotsam-census(5)). */
#ifndef FLOTSAM_COREFILE_H
#define FLOTSAM_COREFILE_H

#include "flotsam/session.h"

/* Into an empty regular file: with holes, or compressed by zstd. */
struct err *corefile_write(const struct session *s, int fd, bool compressed) MUST_CHECK;

#endif

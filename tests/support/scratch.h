/* Where a test writes. */
#ifndef TEST_SCRATCH_H
#define TEST_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

/* A directory of this test's own below $TMPDIR, which run-tests.sh removes whatever becomes of the test: made when it is first asked
 * for, gone with all that is in it when the process that asked first ends. */
const char *scratch_directory(void);
/* Writes a file below it, and the directories that its path names. */
void scratch_file(const char *path, const char *text, size_t n);
/* Writes to a file of the kernel's, which may refuse. */
bool tell_kernel(const char *dir, const char *name, const char *text);
#endif

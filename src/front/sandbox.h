/* The analyst shut in: from here on it reads files below a few roots and writes to what is open already, and no more. What
 * the target or a core does to it then stays in it. */
#ifndef FRONT_SANDBOX_H
#define FRONT_SANDBOX_H
#include "flotsam/base.h"

enum { SANDBOX_MOST_ROOTS = 8 };

struct sandbox {
	const char *read[SANDBOX_MOST_ROOTS];  /* files, or directories whose files may be read; missing ones are left out */
	const char *write[SANDBOX_MOST_ROOTS]; /* directories that take nameless temporary files */
	size_t n_read, n_write;
	char note[160];			       /* out: what holds, and what this kernel lacks */
};

bool sandbox_read_below(struct sandbox *s, const char *path); /* NULL or "": nothing. False: no room */
/* May be called again for less. Threads that run already are not shut in. An error: not even what the kernel has could be
 * had. FLOTSAM_SANDBOX=off in the environment leaves all open: for tests, which name it. */
struct err *sandbox_enter(struct sandbox *s) MUST_CHECK;
#endif

/* launch: programs that flotsam starts itself: one that is held just before it exits, and commands by the shell. What they start in
 * turn is theirs. An interruption of ours is handed on to them, once. */
#ifndef FLOTSAM_LAUNCH_H
#define FLOTSAM_LAUNCH_H

#include "flotsam/base.h"

#include <sys/types.h>

struct launch {
	pid_t pid;
	int listener;	/* of its exit */
	bool called, lost; /* the function was called; the program could not be let go by us */
};
/* Starts words[0], found as the shell does. ERR_UNSUPPORTED: the kernel cannot hold an exit; ERR_NOT_FOUND: there is no such program. */
struct err *launch_start(char *const *words, struct launch *ret) MUST_CHECK;
/* Calls f once, when the program calls exit, which waits for f; never when it ends in another way. Then waits for its end: its status,
 * as of wait(2). */
typedef void launch_fn(void *ctx);
int launch_wait(struct launch *l, launch_fn *f, void *ctx);
/* What it has started and what outlives it must not wait for us when it exits. */
void launch_leave(struct launch *l);

/* A command by the shell, its standard output thrown away, to its end. Its status; -1 and errno: it was not started. */
int launch_shell(const char *command, double *ret_seconds);

#endif

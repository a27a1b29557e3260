/* Where the answer goes: standard output, or -o FILE. */
#ifndef FRONT_OUTPUT_H
#define FRONT_OUTPUT_H
#include <sys/types.h>

#include "flotsam/base.h"

enum output_kind {
	OUTPUT_ANSWER,	/* in place of what the file holds, once there is an answer */
	OUTPUT_WHOLE,	/* a file of its own, mode 0600, that must not be there yet, and appears only when it is complete */
	OUTPUT_LOG	/* behind what the file holds, and kept whatever happens */
};

struct output {
	const char *path; /* NULL: standard output */
	int fd;
	int keeper;	  /* pipe to the process that removes a new file when there is no answer; -1: none */
	pid_t keeper_pid;
	enum output_kind kind;
	char aside[LIMIT_PATH]; /* name until then, where there must be one; "" */
};

/* Before the look, so that a file that cannot be written costs the target no stop. What the file holds stays until there is
 * something to put in its place. */
struct err *output_open(const char *path, enum output_kind kind, struct output *ret) MUST_CHECK;
/* Empties a file that was there. */
void output_begin(const struct output *f);
/* errno of the last write, 0 when all is well. A file that output_open() made goes away when `failed`. */
int output_close(struct output *f, bool failed);
#endif

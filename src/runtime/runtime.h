/* What the files of runtime share. */
#ifndef RUNTIME_INTERNAL_H
#define RUNTIME_INTERNAL_H
#include "flotsam/runtime.h"

struct finder {
	struct runtime *r;
	struct image *img;
	struct modules *ms;
	const struct picture *p;
	const struct arch *arch;
	pid_t main_tid;
	/* Around a thread pointer: on x86 the threads' blocks of TLS lie below it and the descriptor is there, elsewhere the
	 * descriptor ends at it and the blocks follow. */
	uint64_t tls_below, tls_above;
	uint64_t descriptor; /* from the start of struct pthread to the thread pointer */
};

/* Blocks that libc, ld.so and libstdc++ own: false without memory. */
bool runtime_libc_blocks(struct finder *f);
/* Names the language whose runtime has memory of its own, and finds the regions of it. False: out of memory. */
bool runtime_find_language(struct finder *f);
#endif

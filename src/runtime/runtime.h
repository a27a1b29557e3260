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
	uint64_t tls_below; /* bytes of static TLS in front of a thread pointer */
};

/* Blocks that libc, ld.so and libstdc++ own: false without memory. */
bool runtime_libc_blocks(struct finder *f);
/* Name of a language runtime with memory of its own, or NULL. */
const char *runtime_language(struct finder *f);
#endif

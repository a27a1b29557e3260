/* runtime: what libc, ld.so and language runtimes own, as named extents with a root rule: thread stacks, TLS blocks,
 * thread descriptors, dtv, tcache pointers, cached stacks, stdio buffers. Addresses are the target's. */
#ifndef FLOTSAM_RUNTIME_H
#define FLOTSAM_RUNTIME_H

#include "flotsam/modules.h"

enum extent_kind {
	EXTENT_STACK,	     /* of a thread: root from live_from up */
	EXTENT_STACK_DEAD,   /* cached stack of a finished thread: no root */
	EXTENT_TLS,	     /* static TLS and thread descriptor of a thread */
	EXTENT_ALLOCATOR,    /* malloc's own state: no root */
	EXTENT_NO_ROOT,	     /* anything else that holds no live pointers */
};
struct runtime_extent {
	uint64_t start, end;
	uint64_t live_from;  /* EXTENT_STACK: SP minus the red zone; words below are stale */
	enum extent_kind kind;
	int thread;	     /* index into the picture's threads, -1: none */
};
struct runtime_thread {
	uint64_t tp;		/* thread pointer, 0: unknown */
	uint64_t stack_start, stack_end;  /* mapping piece that holds SP */
	uint64_t live_from;
	uint64_t dtv;		/* value of the dtv slot (address of element 1's pair), 0: unknown */
	bool sp_elsewhere;	/* SP is outside the thread's own stack (coroutine, signal stack, ucontext) */
};
struct runtime_block { /* a malloc block that the runtime owns */
	uint64_t address;	/* payload, or inside it */
	const char *label;	/* static: "dtv", "stdio buffer", "link map", "tcache" */
};

struct runtime_region { /* of a language runtime's own memory: roots, and no blocks of malloc's */
	uint64_t start, end;
	const char *label;	/* static: "Java heap", "V8's heap" */
};

struct runtime {
	VEC(struct runtime_extent) extents; /* sorted, do not overlap */
	VEC(struct runtime_thread) threads; /* parallel to the picture's threads */
	VEC(struct runtime_block) blocks;
	VEC(uint64_t) dead_threads; /* thread pointers of finished threads whose descriptor is still there */
	uint64_t guard;		/* pointer guard; 0: unknown */
	bool have_guard;
	const char *language;	/* "CPython", "V8", "Go", "JVM", "Ruby" or NULL: named, not walked */
	VEC(struct runtime_region) regions; /* of it; sorted, do not overlap */
};

/* pid: of the process, which its first thread has too; 0: unknown. */
struct err *runtime_find(struct image *img, struct modules *ms, pid_t pid, struct runtime **ret) MUST_CHECK;
void runtime_free(struct runtime *r);
const struct runtime_extent *runtime_extent_at(const struct runtime *r, uint64_t address);
/* Index of the first region that ends behind address; regions.n when none does. */
size_t runtime_region_from(const struct runtime *r, uint64_t address);
/* The label of the regions that hold CPython's pools. */
extern const char runtime_cpython_memory[];
struct runtime_pool { /* blocks of one size for small objects; offsets are from its address */
	uint64_t address, free;	/* free: address of the first free block, which holds that of the next; 0: none */
	uint32_t bytes, block;	/* of the pool, of each block */
	uint32_t first, end;	/* of the blocks that were ever given out */
	uint32_t used;		/* blocks, as the pool itself counts them */
};
/* Address may be any: false when no pool begins there. */
bool runtime_cpython_pool(const struct image *img, uint64_t address, struct runtime_pool *ret);
/* Where a module's static TLS block lies from every thread pointer. False when it has none. */
bool runtime_tls_offset(struct modules *ms, const struct arch *a, struct module *m, uint64_t *ret);
/* The address of a thread's variable in its module's static TLS block. */
bool runtime_thread_variable(struct modules *ms, const struct arch *a, const struct thread *t, struct module *m, uint64_t offset, uint64_t *ret);
/* PTR_DEMANGLE of glibc for this architecture (sysdeps/unix/sysv/linux/ARCH/pointer_guard.h). */
static inline uint64_t runtime_demangle(const struct runtime *r, const struct arch *a, uint64_t word)
{
	unsigned bits = a->word * 8u, k = a->guard_rotate;
	if (k)
		word = word >> k | word << (bits - k);
	return (bits == 32 ? word & 0xffffffff : word) ^ r->guard;
}

#endif

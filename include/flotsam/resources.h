/* resources: what else a process may lose hold of: descriptors by kind, threads by where they stand, their stacks, mappings
 * by origin, shared memory and deleted files that are still mapped. Descriptors and what the kernel waits for are read after
 * the stop, of the running process; all else is of the look. UNKNOWN as in query. Foreign strings are raw. */
#ifndef FLOTSAM_RESOURCES_H
#define FLOTSAM_RESOURCES_H

#include "flotsam/query.h"

struct descriptor_kind {
	char kind[24];		/* "file", "pipe", "tcp", "epoll", ... */
	const char *state;	/* "CLOSE_WAIT", "listening", "deleted", ...; "" none */
	uint64_t count;
};
struct open_file { char *path; bool deleted; uint64_t count; };

struct place { /* where threads stand */
	uint64_t count;
	unsigned first;		/* index of one of them */
	enum thread_state state;
	const char *waits_in;	/* function that the program called; NULL */
	char kernel[48];	/* what the first waits for in the kernel (wchan); "" unknown */
	const char *function;	/* innermost of the program's own, or the innermost at all; NULL: unknown */
	const char *module;	/* NULL: none */
	const char *start;	/* outermost function of the program's own: where the thread began; NULL: unknown */
	struct source_line line;
	uint64_t stack_bytes;	/* in use */
};

enum origin { ORIGIN_PROGRAM, ORIGIN_LIBRARY, ORIGIN_FILE, ORIGIN_MALLOC, ORIGIN_STACK, ORIGIN_ANONYMOUS, ORIGIN_RESERVED, ORIGIN_SHARED,
	      ORIGIN_MEMFD, ORIGIN_DEVICE, ORIGIN_KERNEL, ORIGINS };
const char *origin_name(enum origin o);

struct origin_sum { uint64_t count, bytes, resident; };
struct odd_mapping { /* of one path: shared memory, a memfd, or a file that has no name any more */
	char *path;
	bool deleted;
	enum origin origin;
	struct origin_sum sum;
};

struct resources {
	struct session *session;	/* borrowed */
	bool have_descriptors;
	uint64_t descriptors, descriptor_limit;
	uint64_t timers;			/* of timer_create(2); UNKNOWN: not readable */
	VEC(struct descriptor_kind) kinds;	/* most first */
	VEC(struct open_file) files;		/* by path, most first; those opened once are left out */
	VEC(struct place) places;		/* most first */
	uint64_t stacks, stack_bytes, stack_resident, stack_used, largest_resident; /* resident UNKNOWN without pagemap */
	unsigned largest;			/* thread of largest_resident */
	struct origin_sum origins[ORIGINS];
	uint64_t mappings, mapping_limit;
	VEC(struct odd_mapping) odd;		/* largest first */
};
/* `parts` of the answer; the others stay empty. */
enum { RESOURCES_DESCRIPTORS = 1, RESOURCES_THREADS = 2, RESOURCES_MAPPINGS = 4, RESOURCES_ALL = 7 };
struct err *query_resources(struct session *s, unsigned parts, struct resources **ret) MUST_CHECK;
void resources_free(struct resources *r); /* NULL allowed */

#endif

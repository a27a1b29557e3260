/* diff: what changed between looks. A group of blocks is known by what it is (label, usable bytes, who holds it, class), which
 * a restart does not change; a block of one process by its address and size. Nothing here prints. */
#ifndef FLOTSAM_DIFF_H
#define FLOTSAM_DIFF_H

#include "flotsam/census.h"

struct diff_group {
	const char *label;	/* borrowed from a census; foreign */
	char *holder;		/* foreign; "" when nothing holds it */
	uint64_t size;		/* usable bytes of one block */
	enum block_class class_of; /* CLASS_NONE: the heap has no classes */
	struct class_sum *looks; /* one each */
	int64_t more_blocks, more_bytes; /* last minus first */
	double slope;		/* bytes a second, or a look where times are not known */
	bool grew_always;	/* from each look to the next */
	struct class_sum created, gone; /* between first and last; one process alone */
};

struct diff {
	size_t n;		/* looks */
	const struct census *const *looks; /* borrowed */
	bool timed;		/* all of them know when they were taken */
	bool one_process;	/* the first and the last are looks at the same process: blocks are compared one by one */
	bool walked;		/* all of them */
	VEC(struct diff_group) groups; /* grew always first, when there are three looks or more; then most growth first */
	struct class_sum (*classes)[CLASS_RUNTIME + 1]; /* by look */
	struct class_sum *used;	/* by look */
	struct class_sum created, gone, survived; /* used blocks, first to last; one process alone */
	struct class_sum new_leaked; /* leaked in the last, and not, or not there, in the first; by growth of groups unless one process */
	struct class_sum old_leaked; /* leaked in both */
	struct class_sum no_longer_leaked; /* leaked in the first: freed, or found again */
	bool other_labels;	/* some looks have types by DWARF, others not: the same blocks are of two groups */
	bool at_most;		/* memory that may hold pointers was not read in one of them */
};
/* Two looks or more, in the order of time. */
struct err *diff_make(const struct census *const *looks, size_t n, struct diff **ret) MUST_CHECK;
void diff_free(struct diff *d); /* NULL allowed */

static inline bool diff_is_leaked(enum block_class c) { return c == CLASS_DEFINITE || c == CLASS_INDIRECT; }

#endif

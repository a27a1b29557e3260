/* What stands on the desk. Only the files that keep something there include this. */
#ifndef CMD_DESK_H
#define CMD_DESK_H
#include "cmd.h"

struct named_set {
	char *name;
	uint64_t *bits;	/* by block id */
};

struct ranked_holder { char *name; uint32_t set; /* 0: of a picture before this one */ };

struct desk {
	VEC(uint64_t) items;	 /* item N is items.at[N - 1]: an address of the target */
	struct map64 number_of;	 /* address -> N */
	bool ranked;		 /* the two below are there */
	VEC(uint64_t) leaks;	 /* by rank: the first sample's address */
	VEC(struct ranked_holder) holders; /* by rank */
	VEC(struct named_set) sets;
	struct { uint64_t at, count; char letter; unsigned size; } examined; /* by x: what stands behind it, and how; size 0: nothing yet */
	unsigned frames;	 /* lines of the stack that was shown last */
	unsigned thread, frame;	 /* chosen by `stack` and `frame`: numbers as they list them; thread 0: none */
};
#endif

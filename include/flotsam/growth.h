/* growth: what each round of a driven load leaves behind: by holder, by group of blocks. Nothing here prints. */
#ifndef FLOTSAM_GROWTH_H
#define FLOTSAM_GROWTH_H

#include "flotsam/diff.h"
#include "flotsam/trend.h"

struct rate { /* of any figure, a round */
	double slope, low, high; /* least squares, and its bounds of 95 in 100 */
	enum trend_kind kind;
	bool grows;		 /* surely, and to the end */
};
struct rate growth_rate(const double *values, size_t n);

struct growth_line {
	const char *holder;	/* foreign; "" : leaked, or held by nothing that is known */
	const struct diff_group *group; /* NULL: of all blocks that the holder keeps */
	bool leaked;
	struct rate blocks, bytes;
};
struct growth {
	VEC(struct growth_line) holders; /* those that grow, most bytes first; leaked blocks of all kinds are one */
	VEC(struct growth_line) groups;	 /* the same, group by group */
	struct rate used, leaked;	 /* bytes of all used, of all leaked blocks */
};
/* One look before the first round and one after each. Borrows from d. */
struct err *growth_make(const struct diff *d, struct growth **ret) MUST_CHECK;
void growth_free(struct growth *g); /* NULL allowed */

#endif

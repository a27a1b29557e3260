/* Working state of the table of causes. */
#ifndef MEMORY_RSS_H
#define MEMORY_RSS_H
#include "flotsam/memory.h"

struct rss {
	struct session *s;
	const struct graph *g; /* NULL: no classes */
	const struct picture *p;
	struct rss_table *t;
	struct residency pages;
	struct run_finder runs;
	struct locked_ranges locked;
	uint64_t claimed; /* resident bytes that have a cause */
	struct rss_split *split; /* NULL: not asked for */
	uint64_t *part;	  /* by cause, of the arena at hand; NULL: none */
};
struct err *rss_groups(struct rss *r) MUST_CHECK; /* the split by mapping and by runtime */
#endif

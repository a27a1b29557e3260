/* Working state of the table of causes. */
#ifndef QUERY_RSS_H
#define QUERY_RSS_H
#include "flotsam/heap.h"
#include "flotsam/query.h"

struct rss {
	struct session *s;
	const struct graph *g; /* NULL: no classes */
	const struct picture *p;
	struct rss_table *t;
	struct residency pages;
	struct run_finder runs;
	uint64_t claimed; /* resident bytes that have a cause */
};
#endif

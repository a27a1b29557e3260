/* Edges of the graph as a stream, for those that need more than a mark: parents, dominators. Two rings hide the memory behind
 * each edge: first the index line of the block that a word may point at, then the entry of the caller's table for its id. */
#include "graph.h"

static void hand_over(struct edge_scan *s, const struct edge *e)
{
	s->f(s->ctx, e);
}

static void resolve(struct edge_scan *s, const struct edge_word *w)
{
	struct edge e = { .from = w->from, .value = w->value, .source = w->source };
	enum hit hit = graph_resolve(s->g->blocks, w->value, &e.t);
	const struct graph_priv *priv = s->g->priv;
	if (hit == HIT_NONE)
		return;
	e.strong = hit == HIT_START || priv->o.interior == INTERIOR_REACHABLE || graph_interior_rule(s->g, &e.t, w->value, w->from) >= 0;
	if (!e.strong && s->strong_only)
		return;
	e.id = block_id_of(&e.t);
	__builtin_prefetch(&s->table[e.id]);
	struct edge old = s->met[s->met_at];
	s->met[s->met_at] = e;
	s->met_at = (s->met_at + 1) % EDGE_RING;
	if (s->met_n == EDGE_RING)
		hand_over(s, &old);
	else
		s->met_n++;
}

void graph_edge_word(struct edge_scan *s, uint64_t from, uint64_t value)
{
	const struct blocks *b = s->g->blocks;
	struct region *r = blocks_region(b, value - b->header);
	if (!r)
		return;
	if (r->groups)
		__builtin_prefetch(&r->groups[region_granule(b, r, value - b->header) / GROUP_GRANULES]);
	struct edge_word old = s->ring[s->ring_at];
	s->ring[s->ring_at] = (struct edge_word){ value, from, s->source };
	s->ring_at = (s->ring_at + 1) % EDGE_RING;
	if (s->ring_n == EDGE_RING)
		resolve(s, &old);
	else
		s->ring_n++;
}

static void on_candidate(void *ctx, uint64_t from, uint64_t value)
{
	graph_edge_word(ctx, from, value);
}

void graph_edge_block(struct edge_scan *s, uint64_t payload, uint64_t usable, uint32_t source)
{
	s->source = source;
	graph_each_candidate(s->g, payload, usable, on_candidate, s);
}

void graph_edge_drain(struct edge_scan *s)
{
	unsigned at = (s->ring_at + EDGE_RING - s->ring_n) % EDGE_RING;
	for (; s->ring_n; s->ring_n--, at = (at + 1) % EDGE_RING)
		resolve(s, &s->ring[at]);
	at = (s->met_at + EDGE_RING - s->met_n) % EDGE_RING;
	for (; s->met_n; s->met_n--, at = (at + 1) % EDGE_RING)
		hand_over(s, &s->met[at]);
	s->ring_at = s->met_at = 0;
}

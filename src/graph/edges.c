/* Edges of the graph as a stream, for those that need more than a mark: parents, dominators. Two rings hide the memory behind
 * each edge: first the index line of the block that a word may point at, then the entry of the caller's table for its id. */
#include "packed.h"
#include "edges.h"

static void hand_over(struct edge_scan *s, const struct edge *e)
{
	s->f(s->ctx, e);
}

/* Second ring: the entry of the caller's table is on the way. */
static void meet(struct edge_scan *s, const struct edge *e)
{
	if (!e->strong && s->strong_only)
		return;
	if (s->table)
		__builtin_prefetch(&s->table[e->id]);
	struct edge old = s->met[s->met_at];
	s->met[s->met_at] = *e;
	s->met_at = (s->met_at + 1) % EDGE_RING;
	if (s->met_n == EDGE_RING)
		hand_over(s, &old);
	else
		s->met_n++;
}

bool graph_is_strong(struct graph *g, enum hit hit, const struct target_block *t, uint64_t p, uint64_t from)
{
	const struct graph_priv *priv = g->priv;
	return hit == HIT_START || priv->o.interior == INTERIOR_REACHABLE || graph_interior_rule(g, t, p, from) >= 0;
}

static void resolve(struct edge_scan *s, const struct edge_word *w)
{
	struct edge e = { .from = w->from, .value = w->value, .source = w->source };
	enum hit hit = graph_resolve(s->g->blocks, w->value, &e.t);
	if (hit == HIT_NONE)
		return;
	e.strong = w->strength == STRENGTH_ASK ? graph_is_strong(s->g, hit, &e.t, w->value, w->from) : w->strength == STRENGTH_STRONG;
	e.id = block_id_of(&e.t);
	meet(s, &e);
}

static void add_word(struct edge_scan *s, uint64_t from, uint64_t value, enum strength strength)
{
	const struct blocks *b = s->g->blocks;
	struct region *r = blocks_region(b, value - b->header);
	if (!r)
		return;
	if (r->groups)
		__builtin_prefetch(&r->groups[region_granule(b, r, value - b->header) / GROUP_GRANULES]);
	struct edge_word old = s->ring[s->ring_at];
	s->ring[s->ring_at] = (struct edge_word){ value, from, s->source, strength };
	s->ring_at = (s->ring_at + 1) % EDGE_RING;
	if (s->ring_n == EDGE_RING)
		resolve(s, &old);
	else
		s->ring_n++;
}

void graph_edge_word(struct edge_scan *s, const struct root_word *w)
{
	add_word(s, w->from, w->value, (enum strength)w->strength);
}

static void on_candidate(void *ctx, uint64_t from, uint64_t value)
{
	add_word(ctx, from, value, STRENGTH_ASK);
}

static bool on_packed(void *ctx, const struct pointer *p)
{
	struct edge_scan *s = ctx;
	struct edge e = { .source = s->source, .id = p->id, .strong = p->strong };
	if (p->id != BLOCK_NONE)
		meet(s, &e);
	return true;
}

void graph_edge_block(struct edge_scan *s, block_id id, uint64_t payload, uint64_t usable, uint32_t source)
{
	const struct graph_priv *priv = s->g->priv;
	s->source = source;
	if (priv->packed)
		packed_each(priv->packed, id, 0, on_packed, s);
	else
		graph_each_candidate(s->g, payload, usable, on_candidate, s);
}

struct each_pointer {
	const struct graph *g;
	graph_pointer_fn *f;
	void *ctx;
	bool done;
};

static void on_pointer_word(void *ctx, uint64_t from, uint64_t value)
{
	struct each_pointer *e = ctx;
	struct pointer p = { .from = from };
	if (e->done || !(p.hit = graph_resolve(e->g->blocks, value, &p.t)))
		return;
	p.id = block_id_of(&p.t);
	p.offset = p.t.offset;
	e->done = !e->f(e->ctx, &p);
}

void graph_each_pointer(const struct graph *g, block_id id, graph_pointer_fn *f, void *ctx)
{
	const struct graph_priv *priv = g->priv;
	struct each_pointer e = { .g = g, .f = f, .ctx = ctx };
	uint64_t payload = blocks_payload(g->blocks, id);
	if (priv->packed)
		packed_each(priv->packed, id, payload, f, ctx);
	else
		graph_each_candidate(g, payload, blocks_usable(g->blocks, id), on_pointer_word, &e);
}

bool graph_pointer_is_strong(struct graph *g, const struct pointer *p)
{
	return p->packed ? p->strong : graph_is_strong(g, p->hit, &p->t, blocks_payload(g->blocks, p->id) + p->offset, p->from);
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

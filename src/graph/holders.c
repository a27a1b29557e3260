/* Holders: who keeps what. Every root word belongs to a named root object; a block belongs to the holders of the strongest
 * rank that reach it. Sets of holders spread over the graph, rank by rank and holder by holder: a block's set changes a few
 * times at most (none, one, two, three, more), so the spreading ends. Four bytes a block. */
#include "graph.h"

enum { RING = 16, MORE = 4 };

struct item { uint64_t payload, usable; uint32_t set; block_id id; };
struct pending { uint64_t p, from; uint32_t set; }; /* a word that may be a pointer: its index line is on the way */
struct met { struct target_block t; uint64_t p, from; uint32_t set; block_id id; enum hit hit; }; /* its set is on the way */

/* In set_of while the sets spread: blocks that take no holder (leaked, possible, free, runtime). */
#define CLOSED UINT32_MAX

struct spread {
	struct graph *g;
	const struct graph_priv *priv;
	struct map64 unions;	/* pair of sets -> set */
	struct map64 set_ids;	/* holder -> the set of it alone */
	VEC(uint8_t) set_rank;
	VEC(struct item) stack;
	struct pending ring[RING];
	unsigned ring_at, ring_n;
	struct met mets[RING];
	unsigned met_at, met_n;
	struct item scans[RING];
	unsigned scan_at, scan_n;
	uint32_t set;		/* that spreads now */
	unsigned rank;
	bool nomem;
};

static uint32_t new_set(struct spread *s, const struct holder_set *set)
{
	struct holder_set *slot = vec_push(&s->g->sets);
	uint8_t *rank = vec_push(&s->set_rank);
	if (!slot || !rank) {
		s->nomem = true;
		return 0;
	}
	*slot = *set;
	*rank = (uint8_t)s->rank;
	return (uint32_t)s->g->sets.n;
}

static uint32_t set_of_one(struct spread *s, uint32_t holder)
{
	uint64_t id;
	if (map64_find(&s->set_ids, holder, &id))
		return (uint32_t)id;
	struct holder_set set = { .holders = { holder }, .n = 1 };
	id = new_set(s, &set);
	if (!map64_put(&s->set_ids, holder, id))
		s->nomem = true;
	return (uint32_t)id;
}

static void add_holder(struct holder_set *set, uint32_t holder)
{
	if (set->n == MORE)
		return;
	for (int i = 0; i < set->n; i++)
		if (set->holders[i] == holder)
			return;
	if (set->n < 3)
		set->holders[set->n] = holder;
	set->n++;
}

static uint32_t find_equal(const struct spread *s, const struct holder_set *set)
{
	for (size_t i = 0; i < s->g->sets.n; i++) {
		const struct holder_set *x = &s->g->sets.at[i];
		if (x->n == set->n && !memcmp(x->holders, set->holders, sizeof x->holders))
			return (uint32_t)i + 1;
	}
	return 0;
}

static void sort_holders(struct holder_set *set)
{
	int n = set->n > 3 ? 3 : set->n;
	for (int i = 1; i < n; i++)
		for (int k = i; k > 0 && set->holders[k] < set->holders[k - 1]; k--) {
			uint32_t t = set->holders[k];
			set->holders[k] = set->holders[k - 1];
			set->holders[k - 1] = t;
		}
}

static uint32_t unite(struct spread *s, uint32_t a, uint32_t b)
{
	uint64_t id, key = (uint64_t)a << 32 | b;
	if (a == b || !a)
		return b;
	if (s->g->sets.at[a - 1].n == MORE)
		return a;
	if (map64_find(&s->unions, key, &id))
		return (uint32_t)id;
	struct holder_set set = s->g->sets.at[a - 1], other = s->g->sets.at[b - 1];
	set.blocks = set.bytes = 0;
	for (int i = 0; i < (other.n > 3 ? 3 : other.n); i++)
		add_holder(&set, other.holders[i]);
	if (other.n == MORE)
		set.n = MORE;
	sort_holders(&set);
	id = find_equal(s, &set);
	if (!id)
		id = new_set(s, &set);
	if (!map64_put(&s->unions, key, id))
		s->nomem = true;
	return (uint32_t)id;
}

static void visit(struct spread *s, const struct met *m)
{
	struct graph *g = s->g;
	uint32_t old = g->set_of[m->id];
	if (old == CLOSED || old == m->set || (old && s->set_rank.at[old - 1] < s->rank))
		return;
	if (m->hit == HIT_INTERIOR && s->priv->o.interior != INTERIOR_REACHABLE && graph_interior_rule(g, &m->t, m->p, m->from) < 0)
		return;
	uint32_t set = unite(s, old, m->set);
	if (set == old || !set)
		return;
	g->set_of[m->id] = set;
	if (s->stack.n == s->stack.cap && !vec_reserve(&s->stack, s->stack.cap + 1024)) {
		s->nomem = true;
		return;
	}
	s->stack.at[s->stack.n++] = (struct item){ block_payload_of(g->blocks, &m->t), block_usable_of(g->blocks, &m->t), set, m->id };
}

/* Second stage: the index line is there, the block's set is fetched. */
static void resolve(struct spread *s, const struct pending *w)
{
	struct met m = { .p = w->p, .from = w->from, .set = w->set };
	m.hit = graph_resolve(s->g->blocks, w->p, &m.t);
	if (m.hit == HIT_NONE)
		return;
	m.id = block_id_of(&m.t);
	__builtin_prefetch(&s->g->set_of[m.id], 1);
	struct met old = s->mets[s->met_at];
	s->mets[s->met_at] = m;
	s->met_at = (s->met_at + 1) % RING;
	if (s->met_n == RING)
		visit(s, &old);
	else
		s->met_n++;
}

static void on_word(void *ctx, uint64_t from, uint64_t value)
{
	struct spread *s = ctx;
	struct region *r = blocks_region(s->g->blocks, value - s->g->blocks->header);
	if (!r)
		return;
	if (r->groups)
		__builtin_prefetch(&r->groups[region_granule(s->g->blocks, r, value - s->g->blocks->header) / GROUP_GRANULES]);
	struct pending old = s->ring[s->ring_at];
	s->ring[s->ring_at] = (struct pending){ value, from, s->set };
	s->ring_at = (s->ring_at + 1) % RING;
	if (s->ring_n == RING)
		resolve(s, &old);
	else
		s->ring_n++;
}

static void drain(struct spread *s)
{
	unsigned at = (s->ring_at + RING - s->ring_n) % RING;
	for (; s->ring_n; s->ring_n--, at = (at + 1) % RING)
		resolve(s, &s->ring[at]);
	at = (s->met_at + RING - s->met_n) % RING;
	for (; s->met_n; s->met_n--, at = (at + 1) % RING)
		visit(s, &s->mets[at]);
	s->ring_at = s->met_at = 0;
}

static bool fill_scans(struct spread *s)
{
	while (s->scan_n < RING && s->stack.n) {
		struct item it = s->stack.at[--s->stack.n];
		const uint8_t *data;
		s->scans[(s->scan_at + s->scan_n) % RING] = it;
		if (image_window_dumped(s->priv->img, it.payload, &data)) {
			__builtin_prefetch(data);
			__builtin_prefetch(data + 64);
		}
		s->scan_n++;
	}
	return s->scan_n;
}

/* Everything that the current set reaches. Items of other sets (unions) spread theirs: each word carries its set. */
static void spread_all(struct spread *s)
{
	for (unsigned n = 0;;) {
		if (!fill_scans(s)) {
			drain(s);
			if (!fill_scans(s))
				return;
		}
		struct item it = s->scans[s->scan_at];
		s->scan_at = (s->scan_at + 1) % RING;
		s->scan_n--;
		if (s->g->set_of[it.id] != it.set)
			continue; /* it was pushed again with a larger set */
		s->set = it.set;
		graph_each_candidate(s->g, it.payload, it.usable, on_word, s);
		if (++n % 4096 == 0 && (interrupted || s->nomem))
			return;
	}
}

/* Only reachable blocks take holders. */
static void open_blocks(struct graph *g)
{
	for (block_id id = 0; id < g->blocks->n; id++)
		g->set_of[id] = g->class_of[id] == CLASS_REACHABLE ? 0 : CLOSED;
}

static void close_sets(struct graph *g)
{
	for (block_id id = 0; id < g->blocks->n; id++)
		if (g->set_of[id] == CLOSED)
			g->set_of[id] = 0;
}

static int compare_named(const void *a, const void *b)
{
	const struct named_word *x = a, *y = b;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->holder < y->holder ? -1 : x->holder > y->holder;
}

static void sum_sets(struct graph *g)
{
	struct block_cursor c;
	for (blocks_begin(g->blocks, &c); blocks_next(&c);) {
		uint32_t set = g->set_of[c.id];
		if (!set)
			continue;
		g->sets.at[set - 1].blocks++;
		g->sets.at[set - 1].bytes += c.usable;
	}
}

struct err *graph_holders(struct graph *g)
{
	struct graph_priv *priv = g->priv;
	struct spread s = { .g = g, .priv = priv };
	double start = monotonic_seconds();
	AUTO_FREE struct named_word *named = calloc(priv->words.n + 1, sizeof *named);
	g->set_of = calloc(g->blocks->n + 1u, sizeof *g->set_of);
	if (!named || !g->set_of)
		return err_nomem();
	TRY(graph_name_words(g, named));
	open_blocks(g);
	qsort(named, priv->words.n, sizeof *named, compare_named);
	for (size_t i = 0; i < priv->words.n && !s.nomem && !interrupted;) {
		size_t from = i;
		s.rank = named[i].rank;
		s.set = set_of_one(&s, named[i].holder);
		for (; i < priv->words.n && named[i].holder == named[from].holder; i++)
			on_word(&s, priv->words.at[named[i].word].from, priv->words.at[named[i].word].value);
		spread_all(&s);
	}
	close_sets(g);
	sum_sets(g);
	map64_free(&s.unions);
	map64_free(&s.set_ids);
	vec_free(&s.set_rank);
	vec_free(&s.stack);
	g->holder_seconds = monotonic_seconds() - start;
	if (s.nomem)
		return err_nomem();
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

/* Holders: who keeps what. Every root word belongs to a named root object; a block belongs to the holders of the strongest
 * rank that reach it. Sets of holders spread over the graph, rank by rank and holder by holder: a block's set changes a few
 * times at most (none, one, two, three, more), so the spreading ends. Two bytes a block; four, and a second run, where there are
 * more sets than two bytes tell apart. */
#include "pieces.h"

#include <pthread.h>

enum { RING = 16, MORE = 4, BATCH = 1024, DONATE = 4096 };

struct item { uint64_t payload, usable; uint32_t set; block_id id; };
struct pending { uint64_t p, from; uint32_t set; }; /* a word that may be a pointer: its index line is on the way */
struct met { struct target_block t; uint64_t p, from; uint32_t set; block_id id; enum hit hit; }; /* its set is on the way */

/* No holder, in a set of fewer than three. */
#define NONE UINT32_MAX
/* In a block's cell while the sets spread: it takes no holder (leaked, possible, free, runtime). */
#define CLOSED UINT32_MAX
enum { NARROW_CLOSED = UINT16_MAX };

/* What the spreaders share. A block ends with the holders that reach it, or with the three of them that come first and
 * "more": the smallest of a union does not depend on the order, so that any number of spreaders gives the same answer. */
struct spread {
	struct graph *g;
	const struct graph_priv *priv;
	const struct named_word *named;
	pthread_mutex_t lock;	/* sets, unions, and the work below */
	pthread_cond_t more;
	struct map64 unions;	/* pair of sets -> set */
	struct map64 equal;	/* hash of a set -> the last set with it; its others by `next` */
	VEC(uint32_t) next;	/* by set: another with the same hash, 0 none */
	struct map64 set_ids;	/* holder -> the set of it alone */
	VEC(struct item) stack;
	size_t next_word, end_word;
	int idle, spreaders;
	bool done, nomem;
	bool full;		/* more sets than the cells can name */
	uint32_t first_set;	/* of this rank: what has a lower number belongs to a stronger one */
};

struct spreader {
	struct spread *s;
	struct graph *g;
	const struct graph_priv *priv;
	struct map64 known;	/* unions asked for before */
	VEC(struct item) stack;
	struct pending ring[RING];
	unsigned ring_at, ring_n;
	struct met mets[RING];
	unsigned met_at, met_n;
	struct item scans[RING];
	unsigned scan_at, scan_n;
	uint32_t set;		/* of the words that are being read */
	bool nomem;
};

static uint64_t hash_set(const struct holder_set *x)
{
	uint64_t h = x->n;
	for (int i = 0; i < 3; i++)
		h = (h ^ x->holders[i]) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 31;
}

/* The number of this set; a new one when there is none. Under the lock. */
static uint32_t intern(struct spread *s, const struct holder_set *x)
{
	uint64_t hash = hash_set(x), first = 0;
	struct graph *g = s->g;
	if (map64_find(&s->equal, hash, &first))
		for (uint32_t id = (uint32_t)first; id; id = s->next.at[id - 1])
			if (g->sets.at[id - 1].n == x->n && !memcmp(g->sets.at[id - 1].holders, x->holders, sizeof x->holders))
				return id;
	if (g->sets.n + 2 > (g->set_wide ? CLOSED : NARROW_CLOSED)) {
		s->full = true;
		return 0;
	}
	struct holder_set *slot = vec_push(&g->sets);
	uint32_t *next = vec_push(&s->next);
	if (!slot || !next || !map64_put(&s->equal, hash, g->sets.n)) {
		s->nomem = true;
		return 0;
	}
	*slot = *x;
	*next = (uint32_t)first;
	return (uint32_t)g->sets.n;
}

static uint32_t set_of_one(struct spread *s, uint32_t holder)
{
	uint64_t id;
	if (map64_find(&s->set_ids, holder, &id))
		return (uint32_t)id;
	struct holder_set set = { .holders = { holder, NONE, NONE }, .n = 1 };
	id = intern(s, &set);
	if (!map64_put(&s->set_ids, holder, id))
		s->nomem = true;
	return (uint32_t)id;
}

/* Adds a holder to a sorted set of the three smallest. */
static void add_holder(struct holder_set *set, uint32_t holder)
{
	for (int i = 0; i < 3 && holder != NONE; i++) {
		if (set->holders[i] == holder)
			return;
		if (holder < set->holders[i]) {
			uint32_t t = set->holders[i];
			set->holders[i] = holder;
			holder = t;
		}
	}
	set->n = holder != NONE ? MORE : set->n == MORE ? MORE : (uint8_t)((set->holders[1] != NONE) + (set->holders[2] != NONE) + 1);
}

static uint32_t unite(struct spreader *w, uint32_t a, uint32_t b)
{
	uint64_t id, key = (uint64_t)a << 32 | b;
	struct spread *s = w->s;
	if (a == b || !a)
		return b;
	if (map64_find(&w->known, key, &id))
		return (uint32_t)id;
	pthread_mutex_lock(&s->lock);
	if (!map64_find(&s->unions, key, &id)) {
		struct holder_set set = s->g->sets.at[a - 1], other = s->g->sets.at[b - 1];
		set.blocks = set.bytes = 0;
		for (int i = 0; i < 3 && other.holders[i] != NONE; i++)
			add_holder(&set, other.holders[i]);
		if (other.n == MORE)
			set.n = MORE;
		id = intern(s, &set);
		if (id && !map64_put(&s->unions, key, id))
			s->nomem = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (id && !map64_put(&w->known, key, id))
		w->nomem = true;
	return (uint32_t)id;
}

static void push(struct spreader *w, struct item it)
{
	if (w->stack.n == w->stack.cap && !vec_reserve(&w->stack, w->stack.cap + 1024)) {
		w->nomem = true;
		return;
	}
	w->stack.at[w->stack.n++] = it;
}

static uint32_t cell_load(const struct graph *g, block_id id)
{
	if (g->set_wide)
		return __atomic_load_n(&g->set_wide[id], __ATOMIC_RELAXED);
	uint16_t v = __atomic_load_n(&g->set_narrow[id], __ATOMIC_RELAXED);
	return v == NARROW_CLOSED ? CLOSED : v;
}

/* False: it holds something else by now, which *old is set to. */
static bool cell_change(const struct graph *g, block_id id, uint32_t *old, uint32_t set)
{
	if (g->set_wide)
		return __atomic_compare_exchange_n(&g->set_wide[id], old, set, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	uint16_t was = (uint16_t)*old;
	if (__atomic_compare_exchange_n(&g->set_narrow[id], &was, (uint16_t)set, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return true;
	*old = was == NARROW_CLOSED ? CLOSED : was;
	return false;
}

static void visit(struct spreader *w, const struct met *m)
{
	struct graph *g = w->g;
	uint32_t old = cell_load(g, m->id), set;
	bool accepted = m->hit == HIT_START || w->priv->o.interior == INTERIOR_REACHABLE;
	do {
		if (old == CLOSED || old == m->set || (old && old < w->s->first_set))
			return;
		if (!accepted && graph_interior_rule(g, &m->t, m->p, m->from) < 0)
			return;
		accepted = true;
		set = unite(w, old, m->set);
		if (!set || set == old)
			return;
	} while (!cell_change(g, m->id, &old, set));
	push(w, (struct item){ block_payload_of(g->blocks, &m->t), block_usable_of(g->blocks, &m->t), set, m->id });
}

/* Second stage: the index line is there, the block's set is fetched. */
static void resolve(struct spreader *w, const struct pending *word)
{
	struct met m = { .p = word->p, .from = word->from, .set = word->set };
	m.hit = graph_resolve(w->g->blocks, word->p, &m.t);
	if (m.hit == HIT_NONE)
		return;
	m.id = block_id_of(&m.t);
	if (w->g->set_wide)
		__builtin_prefetch(&w->g->set_wide[m.id], 1);
	else
		__builtin_prefetch(&w->g->set_narrow[m.id], 1);
	struct met old = w->mets[w->met_at];
	w->mets[w->met_at] = m;
	w->met_at = (w->met_at + 1) % RING;
	if (w->met_n == RING)
		visit(w, &old);
	else
		w->met_n++;
}

static void on_word(void *ctx, uint64_t from, uint64_t value)
{
	struct spreader *w = ctx;
	struct region *r = blocks_region(w->g->blocks, value - w->g->blocks->header);
	if (!r)
		return;
	if (r->groups)
		__builtin_prefetch(&r->groups[region_granule(w->g->blocks, r, value - w->g->blocks->header) / GROUP_GRANULES]);
	struct pending old = w->ring[w->ring_at];
	w->ring[w->ring_at] = (struct pending){ value, from, w->set };
	w->ring_at = (w->ring_at + 1) % RING;
	if (w->ring_n == RING)
		resolve(w, &old);
	else
		w->ring_n++;
}

static void drain(struct spreader *w)
{
	unsigned at = (w->ring_at + RING - w->ring_n) % RING;
	for (; w->ring_n; w->ring_n--, at = (at + 1) % RING)
		resolve(w, &w->ring[at]);
	at = (w->met_at + RING - w->met_n) % RING;
	for (; w->met_n; w->met_n--, at = (at + 1) % RING)
		visit(w, &w->mets[at]);
	w->ring_at = w->met_at = 0;
}

static bool fill_scans(struct spreader *w)
{
	while (w->scan_n < RING && w->stack.n) {
		struct item it = w->stack.at[--w->stack.n];
		const uint8_t *data;
		w->scans[(w->scan_at + w->scan_n) % RING] = it;
		if (image_window_dumped(w->priv->img, it.payload, &data)) {
			__builtin_prefetch(data);
			__builtin_prefetch(data + 64);
		}
		w->scan_n++;
	}
	return w->scan_n;
}

static void donate(struct spreader *w)
{
	struct spread *s = w->s;
	if (w->stack.n < DONATE || !__atomic_load_n(&s->idle, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&s->lock);
	size_t half = w->stack.n / 2;
	if (vec_reserve(&s->stack, half)) {
		memcpy(s->stack.at + s->stack.n, w->stack.at, half * sizeof *w->stack.at);
		memmove(w->stack.at, w->stack.at + half, (w->stack.n - half) * sizeof *w->stack.at);
		s->stack.n += half;
		w->stack.n -= half;
		pthread_cond_broadcast(&s->more);
	}
	pthread_mutex_unlock(&s->lock);
}

/* Own work to its end. Each word carries the set of the block that it stands in. */
static void run(struct spreader *w)
{
	for (unsigned n = 0;; n++) {
		if (!fill_scans(w)) {
			drain(w);
			if (!fill_scans(w))
				return;
		}
		struct item it = w->scans[w->scan_at];
		w->scan_at = (w->scan_at + 1) % RING;
		w->scan_n--;
		if (cell_load(w->g, it.id) != it.set)
			continue; /* it was pushed again with a larger set */
		w->set = it.set;
		graph_each_candidate(w->g, it.payload, it.usable, on_word, w);
		if (n % 256 == 0) {
			if (interrupted || w->nomem || __atomic_load_n(&w->s->full, __ATOMIC_RELAXED))
				return;
			donate(w);
		}
	}
}

/* More work, or false when all spreaders are out of it: items that others gave away, then root words of the rank. */
static bool take(struct spreader *w)
{
	struct spread *s = w->s;
	pthread_mutex_lock(&s->lock);
	while (!s->done && !interrupted && !w->nomem && !s->nomem && !s->full) {
		if (s->stack.n) {
			size_t n = s->stack.n < BATCH ? s->stack.n : BATCH;
			s->stack.n -= n;
			for (size_t i = 0; i < n; i++)
				push(w, s->stack.at[s->stack.n + i]);
			pthread_mutex_unlock(&s->lock);
			return true;
		}
		if (s->next_word < s->end_word) {
			/* Sets of one are made here, under the lock. */
			size_t from = s->next_word, to = from + BATCH < s->end_word ? from + BATCH : s->end_word;
			uint32_t sets[BATCH];
			s->next_word = to;
			for (size_t i = from; i < to; i++)
				sets[i - from] = set_of_one(s, s->named[i].holder);
			pthread_mutex_unlock(&s->lock);
			for (size_t i = from; i < to; i++) {
				const struct root_word *word = &w->priv->words.at[s->named[i].word];
				w->set = sets[i - from];
				on_word(w, word->from, word->value);
			}
			return true;
		}
		if (++s->idle == s->spreaders)
			break;
		pthread_cond_wait(&s->more, &s->lock);
		if (!s->done)
			s->idle--;
	}
	s->done = true;
	s->nomem |= w->nomem;
	pthread_cond_broadcast(&s->more);
	pthread_mutex_unlock(&s->lock);
	return false;
}

static void *spreader_main(void *arg)
{
	struct spreader *w = arg;
	while (take(w))
		run(w);
	map64_free(&w->known);
	vec_free(&w->stack);
	return NULL;
}

/* The holders of one rank: named[from .. to). */
static bool spread_rank(struct spread *s, size_t from, size_t to)
{
	int count = graph_thread_count(s->g), started = 1;
	struct spreader *ws = calloc((size_t)count, sizeof *ws);
	pthread_t threads[MAX_THREADS];
	if (!ws)
		return false;
	s->first_set = (uint32_t)s->g->sets.n + 1;
	s->next_word = from;
	s->end_word = to;
	s->idle = 0;
	s->done = false;
	s->spreaders = count;
	for (int i = 0; i < count; i++)
		ws[i] = (struct spreader){ .s = s, .g = s->g, .priv = s->priv };
	for (; started < count; started++)
		if (pthread_create(&threads[started], NULL, spreader_main, &ws[started])) {
			pthread_mutex_lock(&s->lock);
			s->spreaders = started;
			pthread_mutex_unlock(&s->lock);
			break;
		}
	spreader_main(&ws[0]);
	for (int i = 1; i < started; i++)
		pthread_join(threads[i], NULL);
	free(ws);
	return !s->nomem;
}

/* Only reachable blocks take holders. */
static void open_blocks(struct graph *g)
{
	for (block_id id = 0; id < g->blocks->n; id++) {
		bool open = g->class_of[id] == CLASS_REACHABLE;
		if (g->set_wide)
			g->set_wide[id] = open ? 0 : CLOSED;
		else
			g->set_narrow[id] = open ? 0 : NARROW_CLOSED;
	}
}

static void close_sets(struct graph *g)
{
	for (block_id id = 0; id < g->blocks->n; id++) {
		if (cell_load(g, id) != CLOSED)
			continue;
		if (g->set_wide)
			g->set_wide[id] = 0;
		else
			g->set_narrow[id] = 0;
	}
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
	for (blocks_begin(g->blocks, &c); blocks_next(&c) && !interrupted;) {
		uint32_t set = graph_set(g, c.id);
		if (!set)
			continue;
		g->sets.at[set - 1].blocks++;
		g->sets.at[set - 1].bytes += c.usable;
	}
}

/* False in *ret_fits: there are more sets than narrow cells can name. */
static struct err *spread_all(struct graph *g, const struct named_word *named, bool wide, bool *ret_fits)
{
	struct graph_priv *priv = g->priv;
	size_t n = g->blocks->n + 1u;
	g->sets.n = 0;
	/* Of a try that found no room, or was interrupted. */
	free(g->set_narrow);
	free(g->set_wide);
	g->set_narrow = NULL;
	g->set_wide = NULL;
	if (wide)
		g->set_wide = malloc(n * sizeof *g->set_wide);
	else
		g->set_narrow = malloc(n * sizeof *g->set_narrow);
	if (!g->set_wide && !g->set_narrow)
		return err_nomem();
	open_blocks(g);
	struct spread s = { .g = g, .priv = priv, .named = named, .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };
	bool ok = true;
	for (size_t from = 0, to; from < priv->words.n && ok && !s.full && !interrupted; from = to) {
		for (to = from + 1; to < priv->words.n && named[to].rank == named[from].rank; to++)
			;
		ok = spread_rank(&s, from, to);
	}
	close_sets(g);
	map64_free(&s.unions);
	map64_free(&s.equal);
	map64_free(&s.set_ids);
	vec_free(&s.next);
	vec_free(&s.stack);
	*ret_fits = !s.full;
	return ok ? NULL : err_nomem();
}

struct err *graph_holders(struct graph *g)
{
	struct graph_priv *priv = g->priv;
	double start = monotonic_seconds();
	AUTO_FREE struct named_word *named = calloc(priv->words.n + 1, sizeof *named);
	bool fits;
	if (!named)
		return err_nomem();
	TRY(graph_name_words(g, named));
	qsort(named, priv->words.n, sizeof *named, compare_named);
	TRY(spread_all(g, named, false, &fits));
	if (!fits && !interrupted) {
		TRY(spread_all(g, named, true, &fits));
		if (!fits)
			return err_new(ERR_LIMIT, "too many sets of holders");
	}
	sum_sets(g);
	g->holder_seconds = monotonic_seconds() - start;
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

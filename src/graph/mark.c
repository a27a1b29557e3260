/* Marking. It is bound by memory latency, not by work: so every address is prefetched some steps before it is used. A word
 * that passes the window filter enters a ring, its index and mark lines are fetched, and 16 words later it is looked up; a
 * newly marked block goes to the stack, and from there through a second ring in which its content is fetched before it is
 * scanned. The filter stores always and advances by the comparison: a mispredicted branch costs more than a store. */
#include "pieces.h"

#include <pthread.h>

enum { RING = 16, PIECE = 512, BATCH = 1024, DONATE = 4096 };

struct pending { uint64_t p, from; };
struct work { uint64_t payload, usable; }; /* a marked block, still to be scanned */
struct scan_item { struct work work; const uint8_t *data; size_t n; };

struct pool { /* work that any marker may take */
	pthread_mutex_t lock;
	pthread_cond_t more;
	VEC(struct work) stack;
	size_t next_word;
	int idle, markers;
	bool done, nomem;
};

struct marker {
	struct graph *g;
	const struct graph_priv *priv;
	const struct blocks *b;
	struct pool *pool;
	enum mark_mode mode;
	const struct root_word *words;
	size_t n_words;
	VEC(struct work) stack;
	struct pending ring[RING];
	unsigned ring_at, ring_n;
	struct scan_item scans[RING];
	unsigned scan_at, scan_n;
	uint64_t rules[N_INTERIOR_RULES], marked;
	bool nomem;
};

static inline void push_block(struct marker *m, struct work work)
{
	if (m->stack.n == m->stack.cap && !vec_reserve(&m->stack, m->stack.cap + 1024)) {
		m->nomem = true;
		return;
	}
	m->stack.at[m->stack.n++] = work;
}

/* A word where a block begins may be what malloc left there: the link to the next of a list that the block once was on. Its
 * XORed bits make it an address inside of some other block, above all in 32 bits. */
static bool is_old_link(const struct blocks *b, uint64_t p, uint64_t from)
{
	unsigned shift = b->alloc->facts.link_shift;
	struct target_block t;
	return shift && graph_resolve(b, from, &t) == HIT_START && graph_resolve(b, p ^ from >> shift, &t) == HIT_START;
}

static void look_up(struct marker *m, uint64_t p, uint64_t from)
{
	struct target_block t;
	enum hit hit = graph_resolve(m->b, p, &t);
	if (hit == HIT_NONE)
		return;
	if (graph_is_marked(&t)) {
		if (m->priv->stack_ids_met)
			bit_set(m->priv->stack_ids_met, block_id_of(&t));
		return;
	}
	if (hit == HIT_INTERIOR && m->mode == MARK_STRONG) {
		int rule = graph_interior_rule(m->g, &t, p, from);
		if (rule < 0 && m->priv->o.interior != INTERIOR_REACHABLE) {
			if (m->priv->o.interior == INTERIOR_POSSIBLE && !is_old_link(m->b, p, from))
				bit_set(m->priv->weak, block_id_of(&t));
			return;
		}
		if (!graph_mark(&t))
			return;
		if (rule >= 0)
			m->rules[rule]++;
	} else if (hit == HIT_INTERIOR && m->priv->o.interior == INTERIOR_IGNORE) {
		return;
	} else if (!graph_mark(&t)) {
		return;
	}
	m->marked++;
	/* The size is asked for now, while the index line is at hand. */
	push_block(m, (struct work){ block_payload_of(m->b, &t), block_usable_of(m->b, &t) });
}

static inline void candidate(struct marker *m, uint64_t p, uint64_t from)
{
	struct region *r = blocks_region(m->b, p - m->b->header);
	if (!r)
		return;
	if (r->groups) {
		uint64_t group = region_granule(m->b, r, p - m->b->header) / GROUP_GRANULES;
		__builtin_prefetch(&r->groups[group]);
		__builtin_prefetch(&r->marks[group * 8]);
	}
	struct pending old = m->ring[m->ring_at];
	m->ring[m->ring_at] = (struct pending){ p, from };
	m->ring_at = (m->ring_at + 1) % RING;
	if (m->ring_n == RING)
		look_up(m, old.p, old.from);
	else
		m->ring_n++;
}

static void drain_candidates(struct marker *m)
{
	unsigned at = (m->ring_at + RING - m->ring_n) % RING;
	for (; m->ring_n; m->ring_n--, at = (at + 1) % RING)
		look_up(m, m->ring[at].p, m->ring[at].from);
	m->ring_at = 0;
}

/* Words of data[0..n) inside one of the two windows, compacted. */
static inline size_t filter(const struct graph_priv *priv, const struct blocks *b, const uint8_t *data, size_t n,
			    unsigned word, unsigned step, uint64_t *values, uint32_t *offsets)
{
	uint64_t low0 = b->windows[0].low, n0 = b->windows[0].bytes + b->header;
	uint64_t low1 = b->windows[1].low, n1 = b->windows[1].bytes ? b->windows[1].bytes + b->header : 0;
	uint64_t mask = priv->mask;
	size_t k = 0;
	for (size_t i = 0; i + word <= n; i += step) {
		uint64_t w = 0;
		if (word == 8)
			memcpy(&w, data + i, 8);
		else
			memcpy(&w, data + i, 4);
		w &= mask;
		values[k] = w;
		offsets[k] = (uint32_t)i;
		k += (w - low0 < n0) | (w - low1 < n1);
	}
	return k;
}

static size_t filter_piece(const struct graph_priv *priv, const struct blocks *b, const uint8_t *data, size_t n,
			   uint64_t *values, uint32_t *offsets)
{
	if (priv->o.unaligned)
		return filter(priv, b, data, n, priv->word, 1, values, offsets);
	if (priv->word == 8)
		return filter(priv, b, data, n, 8, 8, values, offsets);
	return filter(priv, b, data, n, 4, 4, values, offsets);
}

static void scan_bytes(struct marker *m, uint64_t address, const uint8_t *data, size_t n)
{
	uint64_t values[PIECE + 1];
	uint32_t offsets[PIECE + 1];
	unsigned step = m->priv->o.unaligned ? 1 : m->priv->word;
	size_t piece = (size_t)PIECE * step;
	for (size_t at = 0; at < n; at += piece) {
		size_t k = filter_piece(m->priv, m->b, data + at, n - at < piece ? n - at : piece, values, offsets);
		for (size_t i = 0; i < k; i++)
			candidate(m, values[i], address + at + offsets[i]);
	}
}

static void scan_block(struct marker *m, const struct scan_item *it)
{
	uint64_t left = it->work.usable, at = it->work.payload;
	const uint8_t *data = it->data;
	size_t n = it->n;
	while (left) {
		if (!n) {
			/* Not in the picture: never touched, given back, or swapped. */
			uint64_t next = image_next_dumped(m->priv->img, at + 1);
			if (next - at >= left)
				break;
			left -= next - at;
			at = next;
		} else {
			if (n > left)
				n = left;
			scan_bytes(m, at, data, n);
			at += n;
			left -= n;
		}
		if (left)
			n = image_window_dumped(m->priv->img, at, &data);
	}
}

static bool fill_scans(struct marker *m)
{
	while (m->scan_n < RING && m->stack.n) {
		struct scan_item *it = &m->scans[(m->scan_at + m->scan_n) % RING];
		it->work = m->stack.at[--m->stack.n];
		it->n = image_window_dumped(m->priv->img, it->work.payload, &it->data);
		if (it->n) {
			__builtin_prefetch(it->data);
			__builtin_prefetch(it->data + 64);
		}
		m->scan_n++;
	}
	return m->scan_n;
}

static void donate(struct marker *m)
{
	struct pool *p = m->pool;
	if (m->stack.n < DONATE || !__atomic_load_n(&p->idle, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&p->lock);
	size_t half = m->stack.n / 2;
	if (vec_reserve(&p->stack, half)) {
		memcpy(p->stack.at + p->stack.n, m->stack.at, half * sizeof *m->stack.at);
		memmove(m->stack.at, m->stack.at + half, (m->stack.n - half) * sizeof *m->stack.at);
		p->stack.n += half;
		m->stack.n -= half;
		pthread_cond_broadcast(&p->more);
	}
	pthread_mutex_unlock(&p->lock);
}

/* Own work to its end. */
static void run(struct marker *m)
{
	for (unsigned n = 0;; n++) {
		if (!fill_scans(m)) {
			drain_candidates(m);
			if (!fill_scans(m))
				return;
		}
		struct scan_item it = m->scans[m->scan_at];
		m->scan_at = (m->scan_at + 1) % RING;
		m->scan_n--;
		scan_block(m, &it);
		if (n % 256 == 0) {
			if (interrupted || m->nomem)
				return;
			donate(m);
		}
	}
}

/* More work from the pool, or false when all markers are out of it. */
static bool take(struct marker *m)
{
	struct pool *p = m->pool;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		if (p->done || interrupted || m->nomem)
			break;
		if (p->stack.n) {
			size_t n = p->stack.n < BATCH ? p->stack.n : BATCH;
			p->stack.n -= n;
			for (size_t i = 0; i < n; i++)
				push_block(m, p->stack.at[p->stack.n + i]);
			pthread_mutex_unlock(&p->lock);
			return true;
		}
		if (p->next_word < m->n_words) {
			size_t from = p->next_word, to = from + BATCH < m->n_words ? from + BATCH : m->n_words;
			p->next_word = to;
			pthread_mutex_unlock(&p->lock);
			for (size_t i = from; i < to; i++)
				candidate(m, m->words[i].value, m->words[i].from);
			return true;
		}
		if (++p->idle == p->markers) {
			p->done = true;
			pthread_cond_broadcast(&p->more);
			break;
		}
		pthread_cond_wait(&p->more, &p->lock);
		if (!p->done)
			p->idle--;
	}
	p->done = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	return false;
}

static void *marker_main(void *arg)
{
	struct marker *m = arg;
	while (take(m))
		run(m);
	return NULL;
}

struct err *graph_run_marks(struct graph *g, enum mark_mode mode, const struct root_word *words, size_t n,
			    const uint64_t *seeds, size_t n_seeds)
{
	struct pool pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };
	int count = graph_thread_count(g), started = 1;
	AUTO_FREE struct marker *ms = calloc((size_t)count, sizeof *ms);
	pthread_t threads[MAX_THREADS];
	if (!ms)
		return err_nomem();
	for (size_t i = 0; i < n_seeds; i++) {
		struct target_block t;
		struct work *slot = vec_push(&pool.stack);
		if (!slot) {
			vec_free(&pool.stack);
			return err_nomem();
		}
		*slot = (struct work){ seeds[i], graph_resolve(g->blocks, seeds[i], &t) == HIT_START ? block_usable_of(g->blocks, &t) : 0 };
	}
	for (int i = 0; i < count; i++)
		ms[i] = (struct marker){ .g = g, .priv = g->priv, .b = g->blocks, .pool = &pool, .mode = mode, .words = words, .n_words = n };
	pool.markers = count;
	for (; started < count; started++)
		if (pthread_create(&threads[started], NULL, marker_main, &ms[started])) {
			pthread_mutex_lock(&pool.lock);
			pool.markers = started;
			pthread_mutex_unlock(&pool.lock);
			break;
		}
	marker_main(&ms[0]);
	bool nomem = ms[0].nomem;
	for (int i = 0; i < started; i++) {
		if (i)
			pthread_join(threads[i], NULL);
		nomem |= ms[i].nomem;
		g->marked += ms[i].marked;
		for (int k = 0; k < N_INTERIOR_RULES; k++)
			g->rule_counts[k] += ms[i].rules[k];
		vec_free(&ms[i].stack);
	}
	vec_free(&pool.stack);
	if (nomem)
		return err_nomem();
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

void graph_each_candidate(const struct graph *g, uint64_t address, uint64_t n, graph_word_fn *f, void *ctx)
{
	const struct graph_priv *priv = g->priv;
	uint64_t values[PIECE + 1], end = address + n;
	uint32_t offsets[PIECE + 1];
	unsigned step = priv->o.unaligned ? 1 : priv->word;
	size_t piece = (size_t)PIECE * step;
	while (address < end) {
		const uint8_t *data;
		size_t have = image_window_dumped(priv->img, address, &data);
		if (!have) {
			address = image_next_dumped(priv->img, address + 1);
			continue;
		}
		if (have > end - address)
			have = end - address;
		for (size_t at = 0; at < have; at += piece) {
			size_t k = filter_piece(priv, g->blocks, data + at, have - at < piece ? have - at : piece, values, offsets);
			for (size_t i = 0; i < k; i++)
				f(ctx, address + at + offsets[i], values[i]);
		}
		address += have;
	}
}

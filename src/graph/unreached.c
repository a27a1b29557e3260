/* What no chain reaches: definite leaders and the indirect rest, and the last rescue before a block is called lost.
 *
 * Strongly connected parts by Tarjan's algorithm with an explicit stack (SIAM J. Comput. 1(2), 1972): a target's list may
 * be a million long. */
#include "edges.h"
#include "pieces.h"

#include <pthread.h>

/* Pointers that glibc mangles (setjmp/longjmp: rbp may hold a heap pointer; atexit lists): a demangled word at exactly the
 * start of a block that nothing else reaches. All memory is streamed: such a word hardly ever is an address of the heap, so
 * that who holds it is asked last. */
enum { STRIDE = 256 };
struct rescue {
	struct graph *g;
	struct memory_pieces pieces;
	pthread_mutex_t lock;	/* of the rest */
	VEC(uint64_t) seeds;
	bool failed;
};

/* In memory that is a root, or in a block that is reached. */
static bool is_held(const struct graph *g, uint64_t from)
{
	block_id id = blocks_at(g->blocks, from);
	if (id != BLOCK_NONE && block_state_is_used(blocks_state(g->blocks, id)) && g->class_of[id] == CLASS_REACHABLE &&
	    from >= blocks_payload(g->blocks, id))
		return true;
	return graph_root_at(g->priv, from);
}

static void try_mangled(struct rescue *rs, uint64_t from, uint64_t p)
{
	struct target_block t;
	if (graph_resolve(rs->g->blocks, p, &t) != HIT_START || graph_is_marked(&t) || !is_held(rs->g, from) || !graph_mark(&t))
		return;
	pthread_mutex_lock(&rs->lock);
	uint64_t *slot = vec_push(&rs->seeds);
	if (slot)
		*slot = p;
	rs->failed |= !slot;
	rs->g->rule_counts[RULE_MANGLED]++;
	pthread_mutex_unlock(&rs->lock);
}

/* Once for each size of word: the compiler makes a tight loop of it. */
static inline __attribute__((always_inline)) void try_words(struct rescue *rs, const struct memory_piece *m, unsigned word)
{
	const struct graph_priv *priv = rs->g->priv;
	const struct window *w = rs->g->blocks->windows;
	const struct runtime rt = { .guard = priv->rt->guard };
	const struct arch a = { .word = word, .guard_rotate = image_arch(priv->img)->guard_rotate };
	uint64_t low0 = w[0].low, n0 = w[0].bytes, low1 = w[1].low, n1 = w[1].bytes;
	size_t at = (size_t)(align_up(m->address, word) - m->address), end;
	for (; at + word <= m->n; at = end) {
		bool any = false;
		end = m->n - at < STRIDE * word ? at + align_down(m->n - at, word) : at + STRIDE * word;
		for (size_t i = at; i < end; i += word) {
			uint64_t raw = 0;
			memcpy(&raw, m->data + i, word);
			uint64_t p = runtime_demangle(&rt, &a, raw);
			any |= (p - low0 < n0) | (p - low1 < n1);
		}
		for (size_t i = at; any && i < end; i += word) {
			uint64_t raw = 0;
			memcpy(&raw, m->data + i, word);
			uint64_t p = runtime_demangle(&rt, &a, raw);
			if (p - low0 < n0 || p - low1 < n1)
				try_mangled(rs, m->address + i, p);
		}
	}
}

static void try_piece(void *ctx, size_t piece)
{
	struct rescue *rs = ctx;
	if (((const struct graph_priv *)rs->g->priv)->word == 8)
		try_words(rs, &rs->pieces.list.at[piece], 8);
	else
		try_words(rs, &rs->pieces.list.at[piece], 4);
}

struct err *graph_rescue_mangled(struct graph *g, bool *ret_new)
{
	struct graph_priv *priv = g->priv;
	struct rescue rs = { .g = g, .lock = PTHREAD_MUTEX_INITIALIZER };
	*ret_new = false;
	if (!priv->rt->have_guard || priv->o.rules_off >> RULE_MANGLED & 1)
		return NULL;
	struct err *e = graph_cut_memory(g, &rs.pieces) ? NULL : err_nomem();
	if (!e)
		graph_each_piece(g, rs.pieces.list.n, try_piece, &rs);
	vec_free(&rs.pieces.list);
	if (!e && rs.failed)
		e = err_nomem();
	if (!e && rs.seeds.n) {
		*ret_new = true;
		e = graph_run_marks(g, MARK_STRONG, NULL, 0, rs.seeds.at, rs.seeds.n);
	}
	vec_free(&rs.seeds);
	return e;
}

struct edges { /* compressed rows over the unreached blocks */
	struct graph *g;
	uint64_t *first;
	VEC(uint32_t) to;
	uint32_t self;
	bool failed;
};

static bool index_of(const struct graph_priv *priv, block_id id, uint32_t *ret)
{
	size_t lo = 0, hi = priv->unreached.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (priv->unreached.at[mid] < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == priv->unreached.n || priv->unreached.at[lo] != id)
		return false;
	*ret = (uint32_t)lo;
	return true;
}

static bool on_pointer(void *ctx, const struct pointer *p)
{
	struct edges *e = ctx;
	uint32_t i;
	if (!index_of(e->g->priv, p->id, &i) || i == e->self)
		return true;
	uint32_t *slot = vec_push(&e->to);
	if (!slot)
		return !(e->failed = true);
	*slot = i;
	return true;
}

static bool collect(struct graph *g)
{
	struct graph_priv *priv = g->priv;
	for (block_id id = 0; id < g->blocks->n; id++) {
		if (g->class_of[id] || !block_state_is_used(blocks_state(g->blocks, id)))
			continue;
		if (priv->unreached.n == priv->unreached.cap && !vec_reserve(&priv->unreached, priv->unreached.cap + 1024))
			return false;
		priv->unreached.at[priv->unreached.n++] = id;
	}
	return true;
}

static bool collect_edges(struct edges *e)
{
	const struct graph_priv *priv = e->g->priv;
	size_t n = priv->unreached.n;
	e->first = calloc(n + 1, sizeof *e->first);
	for (size_t i = 0; e->first && i < n && !e->failed && !interrupted; i++) {
		e->self = (uint32_t)i;
		e->first[i] = e->to.n;
		graph_each_pointer(e->g, priv->unreached.at[i], on_pointer, e);
	}
	if (!e->first || e->failed)
		return false;
	e->first[n] = e->to.n;
	return true;
}

struct tarjan {
	uint32_t *low, *order, *stack, *path, *part;
	uint64_t *next_edge;
	uint32_t n_order, n_stack, n_path, n_parts;
};

static void tarjan_close(struct tarjan *t, uint32_t v)
{
	uint32_t u;
	do {
		u = t->stack[--t->n_stack];
		t->part[u] = t->n_parts;
	} while (u != v);
	t->n_parts++;
}

static void tarjan_from(struct tarjan *t, const struct edges *e, uint32_t root)
{
	t->path[t->n_path++] = root;
	while (t->n_path) {
		uint32_t v = t->path[t->n_path - 1];
		if (!t->order[v]) {
			t->order[v] = t->low[v] = ++t->n_order;
			t->stack[t->n_stack++] = v;
			t->next_edge[v] = e->first[v];
		}
		bool down = false;
		while (t->next_edge[v] < e->first[v + 1]) {
			uint32_t u = e->to.at[t->next_edge[v]++];
			if (!t->order[u]) {
				t->path[t->n_path++] = u;
				down = true;
				break;
			}
			if (t->part[u] == UINT32_MAX && t->order[u] < t->low[v])
				t->low[v] = t->order[u];
		}
		if (down)
			continue;
		t->n_path--;
		if (t->low[v] == t->order[v])
			tarjan_close(t, v);
		if (t->n_path && t->low[v] < t->low[t->path[t->n_path - 1]])
			t->low[t->path[t->n_path - 1]] = t->low[v];
	}
}

/* A part that no other part points at has one leader: the member that holds most (its own bytes and those of the blocks
 * that it points at directly); ties: the lowest address. */
static struct err *choose_leaders(struct graph *g, const struct edges *e, const struct tarjan *t)
{
	const struct graph_priv *priv = g->priv;
	size_t n = priv->unreached.n;
	AUTO_FREE uint8_t *pointed = calloc(t->n_parts + 1u, 1);
	AUTO_FREE uint64_t *best = calloc(t->n_parts + 1u, sizeof *best);
	AUTO_FREE uint32_t *leader = calloc(t->n_parts + 1u, sizeof *leader);
	AUTO_FREE uint64_t *usable = calloc(n + 1, sizeof *usable);
	if (!pointed || !best || !leader || !usable)
		return err_nomem();
	for (size_t v = 0; v < n; v++) {
		usable[v] = blocks_usable(g->blocks, priv->unreached.at[v]);
		for (uint64_t k = e->first[v]; k < e->first[v + 1]; k++)
			if (t->part[e->to.at[k]] != t->part[v])
				pointed[t->part[e->to.at[k]]] = 1;
	}
	for (size_t v = 0; v < n; v++) {
		uint64_t holds = usable[v];
		for (uint64_t k = e->first[v]; k < e->first[v + 1]; k++)
			holds += usable[e->to.at[k]];
		if (holds > best[t->part[v]]) {
			best[t->part[v]] = holds;
			leader[t->part[v]] = (uint32_t)v;
		}
	}
	for (size_t v = 0; v < n; v++) {
		bool leads = !pointed[t->part[v]] && leader[t->part[v]] == v;
		g->class_of[priv->unreached.at[v]] = leads ? CLASS_DEFINITE : CLASS_INDIRECT;
	}
	/* Every indirect block belongs to the first leader, in address order, that reaches it. */
	AUTO_FREE uint32_t *stack = calloc(n + 1, sizeof *stack);
	AUTO_FREE uint8_t *seen = calloc(n + 1, 1);
	if (!stack || !seen)
		return err_nomem();
	for (size_t v = 0; v < n; v++) {
		if (g->class_of[priv->unreached.at[v]] != CLASS_DEFINITE)
			continue;
		size_t top = 0;
		stack[top++] = (uint32_t)v;
		seen[v] = 1;
		while (top) {
			uint32_t u = stack[--top];
			if (!map64_put(&g->leader_of, priv->unreached.at[u], priv->unreached.at[v]))
				return err_nomem();
			for (uint64_t k = e->first[u]; k < e->first[u + 1]; k++) {
				uint32_t x = e->to.at[k];
				if (seen[x] || g->class_of[priv->unreached.at[x]] == CLASS_DEFINITE)
					continue;
				seen[x] = 1;
				stack[top++] = x;
			}
		}
	}
	return NULL;
}

struct err *graph_split_unreached(struct graph *g)
{
	struct graph_priv *priv = g->priv;
	if (!collect(g))
		return err_nomem();
	size_t n = priv->unreached.n;
	if (!n)
		return NULL;
	struct edges e = { .g = g };
	AUTO_FREE uint32_t *raw = calloc(5 * n + 5, sizeof *raw);
	AUTO_FREE uint64_t *next_edge = calloc(n + 1, sizeof *next_edge);
	struct err *err = NULL;
	if (!raw || !next_edge || !collect_edges(&e)) {
		err = err_nomem();
	} else {
		struct tarjan t = { .low = raw, .order = raw + n, .stack = raw + 2 * n, .path = raw + 3 * n, .part = raw + 4 * n, .next_edge = next_edge };
		memset(t.part, 0xff, n * sizeof *t.part);
		for (uint32_t v = 0; v < n; v++)
			if (!t.order[v])
				tarjan_from(&t, &e, v);
		err = choose_leaders(g, &e, &t);
	}
	free(e.first);
	vec_free(&e.to);
	return err;
}

/* What no chain reaches: definite leaders and the indirect rest, and the last rescue before a block is called lost.
 *
 * Strongly connected parts by Tarjan's algorithm with an explicit stack (SIAM J. Comput. 1(2), 1972): a target's list may
 * be a million long. */
#include "graph.h"

/* Pointers that glibc mangles (setjmp/longjmp: rbp may hold a heap pointer; atexit lists): a demangled word at exactly the
 * start of a block that nothing else reaches. */
struct rescue {
	struct graph *g;
	VEC(uint64_t) seeds;
	bool failed;
};

static void try_mangled(struct rescue *rs, uint64_t p)
{
	struct target_block t;
	if (graph_resolve(rs->g->blocks, p, &t) != HIT_START || !graph_mark(&t))
		return;
	uint64_t *slot = vec_push(&rs->seeds);
	if (!slot) {
		rs->failed = true;
		return;
	}
	*slot = p;
	rs->g->rule_counts[RULE_MANGLED]++;
}

static void try_words(struct rescue *rs, const uint8_t *data, size_t n)
{
	const struct graph_priv *priv = rs->g->priv;
	const struct arch *a = image_arch(priv->img);
	const struct window *w = rs->g->blocks->windows;
	for (size_t off = 0; off + a->word <= n && !rs->failed; off += a->word) {
		uint64_t raw = 0;
		memcpy(&raw, data + off, a->word);
		uint64_t p = runtime_demangle(priv->rt, a, raw);
		if (p - w[0].low < w[0].bytes || p - w[1].low < w[1].bytes)
			try_mangled(rs, p);
	}
}

static bool on_window(void *ctx, uint64_t address, const uint8_t *data, size_t n)
{
	struct rescue *rs = ctx;
	size_t skip = (size_t)(align_up(address, ((struct graph_priv *)rs->g->priv)->word) - address);
	if (skip < n)
		try_words(rs, data + skip, n - skip);
	return !rs->failed && !interrupted;
}

struct err *graph_rescue_mangled(struct graph *g, bool *ret_new)
{
	struct graph_priv *priv = g->priv;
	struct rescue rs = { .g = g };
	struct block_cursor c;
	*ret_new = false;
	if (!priv->rt->have_guard || priv->o.rules_off >> RULE_MANGLED & 1)
		return NULL;
	for (size_t i = 0; i < priv->regions.n; i++)
		image_each_window(priv->img, priv->regions.at[i].start, priv->regions.at[i].end, on_window, &rs);
	for (blocks_begin(g->blocks, &c); blocks_next(&c) && !rs.failed && !interrupted;)
		if (block_state_is_used(c.state) && g->class_of[c.id] == CLASS_REACHABLE)
			image_each_window(priv->img, c.payload, c.payload + c.usable, on_window, &rs);
	struct err *e = rs.failed ? err_nomem() : NULL;
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

static bool on_edge(void *ctx, enum hit hit, const struct target_block *t, uint64_t p, uint64_t from)
{
	struct edges *e = ctx;
	uint32_t i;
	(void)hit, (void)p, (void)from;
	if (!index_of(e->g->priv, block_id_of(t), &i) || i == e->self)
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
		block_id id = priv->unreached.at[i];
		graph_each_edge(e->g, blocks_payload(e->g->blocks, id), blocks_usable(e->g->blocks, id), on_edge, e);
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

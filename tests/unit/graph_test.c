/* Classes, leaders and holders against a plain quadratic search, on random graphs in heaps made by hand. The reference knows
 * which words were written where, and nothing of indexes, marks or components. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap_builder.h"
#include "scratch.h"

#include "flotsam/session.h"

enum { GRAPHS = 400, NODES = 64, LINKS = 400, NO_NODE = -1 };


/* Root objects of the reference; their order is that of ranks. */
enum owner { OWNER_GLOBAL, OWNER_LIBC = GLOBALS, OWNER_DESCRIPTOR, OWNER_MAPPING, OWNER_STACK1, OWNER_STACK2, OWNER_REGISTER1,
	     OWNER_REGISTER2, OWNER_NOBODY, OWNERS };
static const enum holder_rank rank_of[OWNERS] = {
	RANK_GLOBAL, RANK_GLOBAL, RANK_GLOBAL, RANK_GLOBAL, RANK_GLOBAL, RANK_GLOBAL, RANK_GLOBAL, RANK_GLOBAL,
	RANK_LIBC, RANK_LIBC, RANK_MAPPING, RANK_FRAME, RANK_FRAME, RANK_REGISTER, RANK_REGISTER,
};
static const struct { const char *name, *where; } names[OWNERS] = {
	{ "g_0", "libglobals.so" }, { "g_1", "libglobals.so" }, { "g_2", "libglobals.so" }, { "g_3", "libglobals.so" },
	{ "g_4", "libglobals.so" }, { "g_5", "libglobals.so" }, { "g_6", "libglobals.so" }, { "g_7", "libglobals.so" },
	{ "libc.so.6 data", NULL }, { "thread descriptors", NULL }, { "anonymous mapping", NULL },
	{ "thread 4242", "stack" }, { "thread 4243", "stack" }, { "thread 4242", "registers" }, { "thread 4243", "registers" },
};

struct link { /* a word that was written: in a node, or of a root */
	int from;	/* node, or NO_NODE */
	enum owner owner;
	uint64_t value;
	int to;		/* node, or NO_NODE: it points at none */
	bool strong;
};
struct node { uint64_t payload, usable; int words; };

struct model {
	struct made_heap *heap;
	struct node nodes[NODES];
	struct link links[LINKS];
	int n_nodes, n_links, used[OWNERS];
	uint64_t random;
	/* what the reference finds */
	enum block_class class[NODES];
	bool stack_only[NODES], leads[NODES];
	uint64_t held_by[NODES];	/* bit by owner: all of the strongest rank */
	int leader[NODES];
};

static uint64_t below(struct model *m, uint64_t n)
{
	return test_random(&m->random) % n;
}

static void choose_nodes(struct model *m)
{
	const struct made_heap *h = m->heap;
	for (size_t i = 0; i < h->blocks.n; i++) {
		const struct made_block *b = &h->blocks.at[i];
		uint64_t payload = b->chunk + 2 * h->o.word;
		bool used = (b->state == BLOCK_USED || b->state == BLOCK_MMAPPED) && payload != h->tcaches[0] && payload != h->tcaches[1];
		if (used && m->n_nodes < NODES)
			m->nodes[m->n_nodes++] = (struct node){ payload, b->usable, 0 };
	}
}

/* Nodes that were left out are blocks too: nobody points at them, so they lead. */

static int node_at(const struct model *m, uint64_t p)
{
	for (int i = 0; i < m->n_nodes; i++)
		if (p >= m->nodes[i].payload && p < m->nodes[i].payload + m->nodes[i].usable)
			return i;
	return NO_NODE;
}

static uint64_t some_pointer(struct model *m)
{
	const struct node *n = &m->nodes[below(m, (uint64_t)m->n_nodes)];
	const struct made_block *b = &m->heap->blocks.at[below(m, m->heap->blocks.n)];
	uint64_t end = n->payload + n->usable;
	switch (below(m, 12)) {
	case 0:
		return n->payload + 1 + below(m, n->usable - 1);
	case 1:
		/* One past the end; not of a mapping, where another may begin: malloc alone has that address (glibc_in_hand()). */
		return end % 4096 ? end : end - 1;
	case 2:
		return b->state == BLOCK_USED ? n->payload : b->chunk + 2 * m->heap->o.word;
	case 3:
		return test_random(&m->random) >> 20 & 0xfffff;
	default:
		return n->payload;
	}
}

static uint64_t place_of(const struct model *m, enum owner o)
{
	const struct made_heap *h = m->heap;
	uint64_t nth = (uint64_t)m->used[o] * h->o.word;
	switch ((int)o) {
	case OWNER_LIBC:
		return h->libc + LIBRARY_DATA + 0xc00 + nth;
	case OWNER_DESCRIPTOR:
		return h->plan.threads[1].tp + 0x400 / 8 * h->o.word + nth;
	case OWNER_MAPPING:
		return h->mapping + nth;
	case OWNER_STACK1:
	case OWNER_STACK2:
		return h->plan.threads[o - OWNER_STACK1].sp + 64 + nth;
	case OWNER_NOBODY: /* below the red zone, in malloc's own state, in a cached chunk */
		return m->used[o] == 0 ? h->plan.threads[0].sp - 512 : m->used[o] == 1 ? h->plan.threads[1].sp - 1024 : h->main_arena + 4 * h->o.word + 16;
	default:
		return h->globals + (uint64_t)(o - OWNER_GLOBAL) * GLOBAL_BYTES + nth;
	}
}

static void add_link(struct model *m, int from, enum owner o, uint64_t value)
{
	struct made_heap *h = m->heap;
	if (m->n_links == LINKS)
		return;
	if (from != NO_NODE) {
		struct node *n = &m->nodes[from];
		if ((uint64_t)(n->words + 1) * h->o.word > n->usable)
			return;
		heap_poke(h, n->payload + (uint64_t)n->words++ * h->o.word, value, h->o.word);
	} else if (o == OWNER_REGISTER1 || o == OWNER_REGISTER2) {
		if (m->used[o]++)
			return;
		heap_poke_register(h, (unsigned)(o - OWNER_REGISTER1), value);
	} else {
		if (m->used[o] >= (o == OWNER_NOBODY ? 2 : 12))
			return;
		heap_poke(h, place_of(m, o), value, h->o.word);
		m->used[o]++;
	}
	int to = node_at(m, value);
	m->links[m->n_links++] = (struct link){ from, o, value, to, to != NO_NODE && value == m->nodes[to].payload };
}

static void make(struct model *m, uint64_t seed)
{
	struct heap_options o = { .word = seed % 3 ? 8 : 4, .minor = seed % 4 ? 36 : 43, .seed = seed, .chunks = 10, .blank = true };
	memset(m, 0, sizeof *m);
	m->random = seed * 7919 + 1;
	m->heap = heap_make(&o, scratch_directory());
	choose_nodes(m);
	uint64_t edges = below(m, 2 * (uint64_t)m->n_nodes + 1), roots = below(m, 24);
	for (uint64_t i = 0; i < edges; i++) {
		/* Rings and chains of neighbours as well as links across. */
		int from = (int)below(m, (uint64_t)m->n_nodes);
		add_link(m, from, OWNER_NOBODY, below(m, 3) ? some_pointer(m) : m->nodes[(from + 1) % m->n_nodes].payload);
	}
	for (uint64_t i = 0; i < roots; i++)
		add_link(m, NO_NODE, (enum owner)below(m, OWNERS), some_pointer(m));
}

/* The reference. */

static bool is_root(const struct link *l, bool memory, bool rest)
{
	bool is_memory = l->owner < OWNER_STACK1;
	return l->from == NO_NODE && l->owner != OWNER_NOBODY && ((is_memory && memory) || (!is_memory && rest));
}

/* Adds to `set` all that links from it, or from the roots asked for, reach. */
static void spread(const struct model *m, bool *set, bool memory, bool rest, bool weak, bool weak_roots, uint64_t owners)
{
	for (bool more = true; more;) {
		more = false;
		for (int i = 0; i < m->n_links; i++) {
			const struct link *l = &m->links[i];
			bool from = l->from == NO_NODE ? is_root(l, memory, rest) && (owners >> l->owner & 1) : set[l->from];
			if (!from || l->to == NO_NODE || set[l->to] || !(l->strong || (l->from == NO_NODE ? weak_roots : weak)))
				continue;
			set[l->to] = more = true;
		}
	}
}

static void reach(struct model *m, enum interior_policy policy)
{
	bool memory[NODES] = { 0 }, all[NODES] = { 0 }, weak[NODES] = { 0 };
	bool loose = policy == INTERIOR_REACHABLE, possible = policy == INTERIOR_POSSIBLE;
	spread(m, memory, true, false, loose, loose, UINT64_MAX);
	spread(m, all, true, true, loose, loose, UINT64_MAX);
	memcpy(weak, all, sizeof weak);
	spread(m, weak, true, true, loose || possible, loose || possible, UINT64_MAX);
	for (int i = 0; i < m->n_nodes; i++) {
		m->class[i] = all[i] ? CLASS_REACHABLE : weak[i] ? CLASS_POSSIBLE : CLASS_NONE;
		m->stack_only[i] = all[i] && !memory[i];
	}
}

/* Does u reach v by links among lost blocks alone? All pairs at once (Warshall). */
static bool reaches[NODES][NODES];

static void close_lost(const struct model *m)
{
	memset(reaches, 0, sizeof reaches);
	for (int i = 0; i < m->n_links; i++) {
		const struct link *l = &m->links[i];
		if (l->from != NO_NODE && l->to != NO_NODE && l->from != l->to && !m->class[l->from] && !m->class[l->to])
			reaches[l->from][l->to] = true;
	}
	for (int k = 0; k < m->n_nodes; k++)
		for (int i = 0; i < m->n_nodes; i++)
			for (int j = 0; j < m->n_nodes && reaches[i][k]; j++)
				reaches[i][j] |= reaches[k][j];
}

static uint64_t holds(const struct model *m, int v)
{
	bool seen[NODES] = { 0 };
	uint64_t sum = m->nodes[v].usable;
	for (int i = 0; i < m->n_links; i++) {
		const struct link *l = &m->links[i];
		if (l->from != v || l->to == NO_NODE || l->to == v || m->class[l->to] == CLASS_REACHABLE || m->class[l->to] == CLASS_POSSIBLE || seen[l->to])
			continue;
		seen[l->to] = true;
		sum += m->nodes[l->to].usable;
	}
	return sum;
}

static void split(struct model *m)
{
	close_lost(m);
	for (int v = 0; v < m->n_nodes; v++) {
		bool leads = !m->class[v];
		for (int u = 0; u < m->n_nodes && leads; u++) {
			if (u == v || m->class[u] || !reaches[u][v])
				continue;
			/* In front of it, or beside it in one ring and holding more, or as much at a lower address. */
			leads = reaches[v][u] && (holds(m, v) > holds(m, u) || (holds(m, v) == holds(m, u) && v < u));
		}
		m->leads[v] = leads;
	}
	for (int v = 0; v < m->n_nodes; v++) {
		m->leader[v] = NO_NODE;
		for (int u = 0; u < m->n_nodes && m->leader[v] == NO_NODE && !m->class[v]; u++)
			if (m->leads[u] && (u == v || (reaches[u][v] && !m->leads[v])))
				m->leader[v] = u;
	}
	for (int v = 0; v < m->n_nodes; v++)
		if (!m->class[v])
			m->class[v] = m->leads[v] ? CLASS_DEFINITE : CLASS_INDIRECT;
}

static void hold(struct model *m, enum interior_policy policy)
{
	enum holder_rank best[NODES] = { 0 };
	bool loose = policy == INTERIOR_REACHABLE;
	for (int o = 0; o < OWNER_NOBODY; o++) {
		bool set[NODES] = { 0 };
		spread(m, set, true, true, loose, loose, 1ull << o);
		for (int v = 0; v < m->n_nodes; v++) {
			if (!set[v] || (best[v] && best[v] < rank_of[o]))
				continue;
			best[v] = rank_of[o];
			m->held_by[v] |= 1ull << o;
		}
	}
}

/* Comparison. */

static struct session *look(const struct model *m, enum interior_policy policy, int threads)
{
	struct session_options o = { .graph = { .threads = threads, .interior = policy, .rules_off = UINT32_MAX } };
	struct session *s = NULL;
	struct err *e = session_open("core", m->heap->path, &o, &s);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	e = session_holders(s);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	ck_assert_ptr_nonnull(s->graph);
	return s;
}

static void same_class(const struct model *m, const struct session *s, int v, int seed)
{
	block_id id = blocks_at(s->blocks, m->nodes[v].payload);
	enum block_class got = (enum block_class)s->graph->class_of[id];
	if (got != m->class[v])
		ck_abort_msg("seed %d: %#llx (%s) is %s, not %s", seed, (unsigned long long)m->nodes[v].payload,
			     block_state_name(blocks_state(s->blocks, id)), block_class_name(got), block_class_name(m->class[v]));
	bool stack_only = s->graph->stack_only_bits[id / 64] >> id % 64 & 1;
	if (stack_only != m->stack_only[v])
		ck_abort_msg("seed %d: %#llx: stack_only is %d", seed, (unsigned long long)m->nodes[v].payload, stack_only);
}

static void same_leader(const struct model *m, const struct session *s, int v, int seed)
{
	uint64_t leader;
	if (m->leader[v] == NO_NODE)
		return;
	if (!map64_find(&s->graph->leader_of, blocks_at(s->blocks, m->nodes[v].payload), &leader) ||
	    blocks_payload(s->blocks, (block_id)leader) != m->nodes[m->leader[v]].payload)
		ck_abort_msg("seed %d: %#llx does not belong to %#llx", seed, (unsigned long long)m->nodes[v].payload,
			     (unsigned long long)m->nodes[m->leader[v]].payload);
}

static int owner_of(const struct holder *h)
{
	for (int o = 0; o < OWNER_NOBODY; o++)
		if (!strcmp(h->name, names[o].name) && h->rank == rank_of[o] && (!names[o].where || !strcmp(h->where, names[o].where)))
			return o;
	ck_abort_msg("a holder that is none: %s, %s, rank %d", h->name, h->where ? h->where : "nowhere", h->rank);
	return 0;
}

static void same_holders(const struct model *m, const struct session *s, int v, int seed)
{
	const struct graph *g = s->graph;
	uint32_t set = graph_set(g, blocks_at(s->blocks, m->nodes[v].payload));
	uint64_t want = m->class[v] == CLASS_REACHABLE ? m->held_by[v] : 0, got = 0;
	unsigned n = bits_set(want);
	if (!set != !want)
		ck_abort_msg("seed %d: %#llx has %s", seed, (unsigned long long)m->nodes[v].payload, set ? "a holder" : "no holder");
	if (!set)
		return;
	const struct holder_set *x = &g->sets.at[set - 1];
	for (unsigned i = 0; i < 3 && i < x->n; i++)
		got |= 1ull << owner_of(&g->holders.at[x->holders[i]]);
	/* Up to three by name, the rest as "and more". */
	if (x->n != (n > 3 ? 4 : n) || got & ~want || bits_set(got) != (n > 3 ? 3 : n))
		ck_abort_msg("seed %d: %#llx is held by %#llx (%u), not %#llx", seed, (unsigned long long)m->nodes[v].payload,
			     (unsigned long long)got, x->n, (unsigned long long)want);
}

/* What a set retains is the sum of the blocks that have it. */
static void same_sums(const struct session *s, int seed)
{
	const struct graph *g = s->graph;
	struct class_sum sums[CLASS_RUNTIME + 1] = { 0 };
	struct class_sum *sets = calloc(g->sets.n + 1, sizeof *sets);
	struct block_cursor c;
	for (blocks_begin(s->blocks, &c); blocks_next(&c);) {
		sums[g->class_of[c.id]].blocks++;
		sums[g->class_of[c.id]].bytes += c.usable;
		sets[graph_set(g, c.id)].blocks++;
		sets[graph_set(g, c.id)].bytes += c.usable;
	}
	for (int i = CLASS_REACHABLE; i <= CLASS_RUNTIME; i++)
		if (sums[i].blocks != g->sums[i].blocks || sums[i].bytes != g->sums[i].bytes)
			ck_abort_msg("seed %d: the sum of %s is wrong", seed, block_class_name((enum block_class)i));
	for (size_t i = 0; i < g->sets.n; i++)
		if (sets[i + 1].blocks != g->sets.at[i].blocks || sets[i + 1].bytes != g->sets.at[i].bytes)
			ck_abort_msg("seed %d: what set %zu retains is wrong", seed, i);
	free(sets);
}

static unsigned met[CLASS_RUNTIME + 1], met_stack_only, met_more;

static void compare(struct model *m, enum interior_policy policy, int threads, int seed)
{
	struct session *s = look(m, policy, threads);
	memset(m->held_by, 0, sizeof m->held_by);
	reach(m, policy);
	split(m);
	hold(m, policy);
	for (int v = 0; v < m->n_nodes; v++) {
		same_class(m, s, v, seed);
		same_leader(m, s, v, seed);
		same_holders(m, s, v, seed);
		met[m->class[v]]++;
		met_stack_only += m->stack_only[v];
		met_more += bits_set(m->held_by[v]) > 3;
	}
	same_sums(s, seed);
	session_close(s);
}

START_TEST(random_graphs)
{
	static struct model m;
	static const enum interior_policy policies[] = { INTERIOR_POSSIBLE, INTERIOR_REACHABLE, INTERIOR_IGNORE };
	for (int seed = 1; seed <= GRAPHS; seed++) {
		make(&m, (uint64_t)seed);
		for (int p = 0; p < 3; p++)
			compare(&m, policies[p], 1 + seed % 2, seed);
		heap_destroy(m.heap);
	}
	for (int c = CLASS_REACHABLE; c <= CLASS_INDIRECT; c++)
		ck_assert_uint_gt(met[c], 50);
	ck_assert_uint_gt(met_stack_only, 50);
	ck_assert_uint_gt(met_more, 10);
}
END_TEST

/* Large enough for several markers: whatever the order in which they come, the answer is the same. */
enum { MANY = 130000 };

static void make_large(struct model *m)
{
	struct heap_options o = { .word = 8, .minor = 36, .seed = 5, .main_chunks = MANY, .chunks = 4, .blank = true };
	memset(m, 0, sizeof *m);
	m->random = 99;
	m->heap = heap_make(&o, scratch_directory());
	struct made_heap *h = m->heap;
	for (size_t i = 0; i < h->blocks.n; i++) {
		const struct made_block *b = &h->blocks.at[i];
		uint64_t payload = b->chunk + 16;
		if (b->state != BLOCK_USED || payload == h->tcaches[0] || payload == h->tcaches[1])
			continue;
		for (uint64_t w = 0, n = 1 + below(m, 3); w < n && below(m, 8); w++) {
			/* Mostly near, so that long chains and parts of their own arise. */
			size_t to = below(m, 8) ? i + below(m, 9) - 4 : below(m, h->blocks.n);
			if (to < h->blocks.n && to != i && h->blocks.at[to].state == BLOCK_USED)
				heap_poke(h, payload + 8 * w, h->blocks.at[to].chunk + 16 + (below(m, 9) ? 0 : 8), 8);
		}
	}
	for (int i = 0; i < 40; i++)
		add_link(m, NO_NODE, (enum owner)below(m, OWNER_STACK1), h->blocks.at[below(m, h->blocks.n)].chunk + 16);
	for (int i = 0; i < 12; i++)
		add_link(m, NO_NODE, OWNER_STACK2, h->blocks.at[below(m, h->blocks.n)].chunk + 16);
}

static bool same_sets(const struct graph *a, uint32_t x, const struct graph *b, uint32_t y)
{
	if (!x || !y)
		return x == y;
	const struct holder_set *p = &a->sets.at[x - 1], *q = &b->sets.at[y - 1];
	return p->n == q->n && p->blocks == q->blocks && p->bytes == q->bytes && !memcmp(p->holders, q->holders, sizeof p->holders);
}

START_TEST(any_number_of_threads_gives_the_same)
{
	static struct model m;
	make_large(&m);
	struct session *one = look(&m, INTERIOR_POSSIBLE, 1);
	ck_assert_uint_gt(one->graph->sums[CLASS_REACHABLE].blocks, 1000);
	ck_assert_uint_gt(one->graph->sums[CLASS_DEFINITE].blocks, 1000);
	ck_assert_uint_gt(one->graph->sums[CLASS_POSSIBLE].blocks, 10);
	for (int threads = 2; threads <= 5; threads += 3) {
		struct session *more = look(&m, INTERIOR_POSSIBLE, threads);
		ck_assert_uint_eq(more->blocks->n, one->blocks->n);
		ck_assert_mem_eq(more->graph->class_of, one->graph->class_of, one->blocks->n);
		ck_assert_mem_eq(more->graph->stack_only_bits, one->graph->stack_only_bits, one->blocks->n / 64 * 8);
		for (block_id id = 0; id < one->blocks->n; id++)
			if (!same_sets(one->graph, graph_set(one->graph, id), more->graph, graph_set(more->graph, id)))
				ck_abort_msg("block %u has other holders with %d threads", id, threads);
		session_close(more);
	}
	session_close(one);
	heap_destroy(m.heap);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("graph");
	TCase *t = tcase_create("reference");
	tcase_set_timeout(t, 300);
	tcase_add_test(t, random_graphs);
	tcase_add_test(t, any_number_of_threads_gives_the_same);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

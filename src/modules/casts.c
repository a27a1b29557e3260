/* Cast mining: where a pointer that says little flows to, and what it is called there.
 *
 * Nodes are such pointers: members, variables, parameters, results. Code says that one flows into another, that it is used as a type
 * (a sink) or was one before (a source). What a member may point at are the sinks that it reaches, and the sources that reach it. */
#include "casts.h"

#include <stdlib.h>

enum { FARTHEST = 4, MOST_REACHED = 512, MOST_TARGETS = 64, MOST_CASTS = 1 << 20 };

/* System V ABI AMD64, 3.2.3 and figure 3.36; i386: arguments are on the stack; AAPCS64, 6.1.1. */
static const struct cast_machine machines[] = {
	{ EM_X86_64, { 0, 2, 1, 3, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15 }, 16, 4, { 7, 6, 2, 1, 8, 9 }, 6, 0, 0, 8, 0x0fc7 },
	{ EM_386, { 0, 1, 2, 3, 4, 5, 6, 7 }, 8, 4, { 0 }, 0, CASTS_ARGUMENTS, 0, 4, 0x0007 },
	{ EM_AARCH64, { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 },
	  32, 31, { 0, 1, 2, 3, 4, 5, 6, 7 }, 8, 0, 0, 0, 0x4007ffff },
};

uint32_t part_node(struct miner *m, struct cast_part *p, uint64_t key)
{
	uint64_t found;
	if (map64_find(&p->by_key, key, &found))
		return (uint32_t)found;
	m->result->cut |= p->nodes.n >= CASTS_NODES;
	bool failed = !p->nodes.n && !vec_push(&p->nodes); /* the first is none */
	uint64_t *slot = !failed && p->nodes.n < CASTS_NODES ? vec_push(&p->nodes) : NULL;
	if (!slot)
		return 0;
	*slot = key;
	found = p->nodes.n - 1;
	m->nomem |= !map64_put(&p->by_key, key, found);
	return (uint32_t)found;
}

void part_flow(struct miner *m, struct cast_part *p, uint32_t from, uint32_t to)
{
	uint64_t key = (uint64_t)from << 32 | to, seen;
	if (!from || !to || from == to || p->flows.n >= CASTS_FLOWS || map64_find(&p->flow_seen, key, &seen))
		return;
	struct flow *slot = vec_push(&p->flows);
	m->nomem |= !slot || !map64_put(&p->flow_seen, key, 1);
	if (slot)
		*slot = (struct flow){ from, to };
}

void part_use(struct miner *m, struct map64 *uses, uint32_t node, uint32_t type, uint64_t places)
{
	uint64_t key = (uint64_t)node << 32 | type, n = 0;
	if (!node || uses->n >= CASTS_USES)
		return;
	map64_find(uses, key, &n);
	m->nomem |= !map64_put(uses, key, n + places);
}

void part_free(struct cast_part *p)
{
	vec_free(&p->nodes);
	vec_free(&p->flows);
	map64_free(&p->by_key);
	map64_free(&p->flow_seen);
	map64_free(&p->sinks);
	map64_free(&p->sources);
}

uint32_t miner_node(struct miner *m, enum node_kind kind, bool deep, uint64_t what)
{
	return part_node(m, &m->part, node_key(kind, deep, what));
}

void miner_flow(struct miner *m, uint32_t from, uint32_t to)
{
	if (!m->quiet)
		part_flow(m, &m->part, from, to);
}

static void count(struct miner *m, struct map64 *uses, uint32_t node, uint32_t type)
{
	if (!m->quiet)
		part_use(m, uses, node, type, 1);
}

void miner_sink(struct miner *m, uint32_t node, uint32_t type)
{
	count(m, &m->part.sinks, node, type);
}

void miner_source(struct miner *m, uint32_t node, uint32_t type)
{
	count(m, &m->part.sources, node, type);
}

/* What a node reaches */

struct flow_graph {
	struct flow *forward, *backward; /* by what they begin with */
	size_t n;
	VEC(struct use) sinks, sources;	/* by node */
	uint32_t *seen;			/* by node: when it was met last */
	uint32_t turn;
};

static int compare_flows(const void *a, const void *b)
{
	const struct flow *x = a, *y = b;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->to < y->to ? -1 : x->to > y->to;
}

static int compare_uses(const void *a, const void *b)
{
	const struct use *x = a, *y = b;
	if (x->node != y->node)
		return x->node < y->node ? -1 : 1;
	return x->type < y->type ? -1 : x->type > y->type;
}

bool part_list_uses(const struct map64 *from, struct use **ret, size_t *ret_n)
{
	VEC(struct use) list = { 0 };
	for (size_t i = 0; i < from->cap; i++) {
		struct use *u = from->used[i] ? vec_push(&list) : NULL;
		if (from->used[i] && !u) {
			vec_free(&list);
			return false;
		}
		if (u)
			*u = (struct use){ (uint32_t)(from->keys[i] >> 32), (uint32_t)from->keys[i], from->values[i] };
	}
	if (list.n)
		qsort(list.at, list.n, sizeof *list.at, compare_uses);
	*ret = list.at;
	*ret_n = list.n;
	return true;
}

static bool open_graph(const struct miner *m, struct flow_graph *g)
{
	*g = (struct flow_graph){ .n = m->whole.flows.n };
	g->forward = malloc((g->n + 1) * sizeof *g->forward);
	g->backward = malloc((g->n + 1) * sizeof *g->backward);
	g->seen = calloc(m->whole.nodes.n + 1, sizeof *g->seen);
	if (!g->forward || !g->backward || !g->seen || !part_list_uses(&m->whole.sinks, &g->sinks.at, &g->sinks.n) ||
	    !part_list_uses(&m->whole.sources, &g->sources.at, &g->sources.n))
		return false;
	for (size_t i = 0; i < g->n; i++) {
		g->forward[i] = m->whole.flows.at[i];
		g->backward[i] = (struct flow){ m->whole.flows.at[i].to, m->whole.flows.at[i].from };
	}
	qsort(g->forward, g->n, sizeof *g->forward, compare_flows);
	qsort(g->backward, g->n, sizeof *g->backward, compare_flows);
	return true;
}

static void close_graph(struct flow_graph *g)
{
	free(g->forward);
	free(g->backward);
	free(g->seen);
	vec_free(&g->sinks);
	vec_free(&g->sources);
}

struct outcome { uint32_t type; uint64_t places; uint8_t distance; };
struct outcomes { struct outcome at[MOST_TARGETS]; unsigned n; };

static void add_target(struct outcomes *to, uint32_t type, uint64_t places, uint8_t distance)
{
	unsigned i = 0;
	while (i < to->n && to->at[i].type != type)
		i++;
	if (i == MOST_TARGETS)
		return;
	if (i == to->n)
		to->at[to->n++] = (struct outcome){ type, 0, distance };
	if (to->at[i].distance == distance)
		to->at[i].places += places;
}

static void add_uses(struct outcomes *to, const struct use *uses, size_t n, uint32_t node, uint8_t distance)
{
	size_t lo = 0, hi = n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (uses[mid].node < node)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < n && uses[lo].node == node; lo++)
		add_target(to, uses[lo].type, uses[lo].places, distance);
}

/* Breadth first, so that what is near comes first. */
static void reach(struct flow_graph *g, const struct flow *flows, const struct use *uses, size_t n_uses, uint32_t node, struct outcomes *to)
{
	struct { uint32_t node; uint8_t distance; } queue[MOST_REACHED];
	unsigned head = 0, n = 1;
	queue[0].node = node;
	queue[0].distance = 0;
	g->seen[node] = ++g->turn;
	while (head < n) {
		uint32_t at = queue[head].node;
		uint8_t distance = queue[head++].distance;
		add_uses(to, uses, n_uses, at, distance);
		size_t lo = 0, hi = g->n;
		while (lo < hi) {
			size_t mid = (lo + hi) / 2;
			if (flows[mid].from < at)
				lo = mid + 1;
			else
				hi = mid;
		}
		for (; lo < g->n && flows[lo].from == at && n < MOST_REACHED && distance < FARTHEST; lo++) {
			if (g->seen[flows[lo].to] == g->turn)
				continue;
			g->seen[flows[lo].to] = g->turn;
			queue[n].node = flows[lo].to;
			queue[n++].distance = (uint8_t)(distance + 1);
		}
	}
}

static void report_node(struct miner *m, struct flow_graph *g, uint32_t node)
{
	uint64_t key = m->whole.nodes.at[node], what = node_what(key);
	enum node_kind kind = node_kind(key);
	struct outcomes to = { .n = 0 };
	struct cast c = { .deep = node_is_deep(key) };
	if (kind != NODE_FIELD && kind != NODE_VARIABLE && kind != NODE_INCOMPLETE)
		return;
	if (kind == NODE_VARIABLE)
		c.address = what;
	else
		c.outer = (uint32_t)(kind == NODE_FIELD ? what >> 32 : what);
	c.offset = kind == NODE_FIELD ? (uint32_t)what : 0;
	reach(g, g->forward, g->sinks.at, g->sinks.n, node, &to);
	reach(g, g->backward, g->sources.at, g->sources.n, node, &to);
	for (unsigned i = 0; i < to.n; i++) {
		struct cast *slot = m->result->list.n < MOST_CASTS ? vec_push(&m->result->list) : NULL;
		m->nomem |= !slot && m->result->list.n < MOST_CASTS;
		c.target = to.at[i].type;
		c.places = to.at[i].places > UINT32_MAX ? UINT32_MAX : (uint32_t)to.at[i].places;
		c.distance = to.at[i].distance;
		if (slot)
			*slot = c;
	}
}

static void report(struct miner *m)
{
	struct flow_graph g;
	m->nomem |= !open_graph(m, &g);
	for (uint32_t i = 1; i < m->whole.nodes.n && !m->nomem && !interrupted; i++)
		report_node(m, &g, i);
	close_graph(&g);
	type_casts_sort(m->result);
}

/* Of one module into that of all */

/* Variables and functions are each module's own. */
static uint64_t key_of_all(const struct miner *m, uint64_t key)
{
	uint64_t base = 0;
	enum node_kind kind = node_kind(key);
	if (kind == NODE_LOCAL)
		base = m->variables_before;
	else if (kind == NODE_PARAMETER)
		base = m->functions_before * CASTS_ARGUMENTS;
	else if (kind == NODE_RESULT)
		base = m->functions_before;
	return node_key(kind, node_is_deep(key), node_what(key) + base);
}

static void merge_uses(struct miner *m, const struct map64 *from, struct map64 *to, const uint32_t *node)
{
	struct use *list;
	size_t n;
	if (!part_list_uses(from, &list, &n)) {
		m->nomem = true;
		return;
	}
	for (size_t i = 0; i < n && !m->nomem; i++)
		part_use(m, to, node[list[i].node], list[i].type, list[i].places);
	free(list);
}

static void merge(struct miner *m)
{
	AUTO_FREE uint32_t *node = calloc(m->part.nodes.n + 1, sizeof *node);
	m->nomem |= !node;
	for (size_t i = 1; i < m->part.nodes.n && !m->nomem; i++)
		node[i] = part_node(m, &m->whole, key_of_all(m, m->part.nodes.at[i]));
	for (size_t i = 0; i < m->part.flows.n && !m->nomem; i++)
		part_flow(m, &m->whole, node[m->part.flows.at[i].from], node[m->part.flows.at[i].to]);
	if (!m->nomem) {
		merge_uses(m, &m->part.sinks, &m->whole.sinks, node);
		merge_uses(m, &m->part.sources, &m->whole.sources, node);
	}
	part_free(&m->part);
}

/* Nodes that nothing flows to or from, and that nothing says anything of, are left out. */
static void drop_idle_nodes(struct miner *m)
{
	struct cast_part all = m->part, *p = &m->part;
	AUTO_FREE bool *busy = calloc(all.nodes.n + 1, sizeof *busy);
	struct map64 *uses[] = { &all.sinks, &all.sources };
	m->nomem |= !busy;
	for (size_t i = 0; i < all.flows.n && busy; i++)
		busy[all.flows.at[i].from] = busy[all.flows.at[i].to] = true;
	for (int u = 0; u < 2 && busy; u++)
		for (size_t i = 0; i < uses[u]->cap; i++)
			if (uses[u]->used[i])
				busy[uses[u]->keys[i] >> 32] = true;
	m->part = (struct cast_part){ 0 };
	AUTO_FREE uint32_t *node = calloc(all.nodes.n + 1, sizeof *node);
	m->nomem |= !node;
	for (size_t i = 1; i < all.nodes.n && !m->nomem; i++)
		node[i] = busy[i] ? part_node(m, p, all.nodes.at[i]) : 0;
	for (size_t i = 0; i < all.flows.n && !m->nomem; i++)
		part_flow(m, p, node[all.flows.at[i].from], node[all.flows.at[i].to]);
	if (!m->nomem) {
		merge_uses(m, &all.sinks, &p->sinks, node);
		merge_uses(m, &all.sources, &p->sources, node);
	}
	part_free(&all);
}

/* Driver */

/* The blocks of the C library's own are known otherwise, and much of its code is of no interest to anybody else's. */
static bool is_worth_it(const struct module *m)
{
	return (m->role == MODULE_OTHER || m->role == MODULE_PROGRAM) && !reader_is_libc(m);
}

static void at_module(struct miner *m, uint32_t index)
{
	m->r->module = index;
	m->r->m = m->ms->list.at[index];
}

static struct err *read_code(struct miner *m, uint32_t index, csh decoder)
{
	size_t decoded = m->result->functions;
	uint64_t code_bytes = m->result->code_bytes;
	bool cut = m->result->cut;
	m->variables = 0;
	m->functions.n = m->outside.n = 0;
	map64_free(&m->by_entry);
	map64_free(&m->declared);
	m->result->cut = false;
	miner_read_variables(m);
	at_module(m, index);
	struct err *e = m->nomem || interrupted ? NULL : miner_follow(m, decoder);
	if (!e && !m->nomem && !interrupted)
		drop_idle_nodes(m);
	/* What others left too little room for would be kept as all there is. */
	if (!e && !m->nomem && !interrupted && !priv_of(m->r->m)->broken && (!m->result->cut || !code_bytes))
		miner_keep(m, m->result->functions - decoded, m->result->code_bytes - code_bytes, m->result->cut);
	m->result->cut |= cut;
	return e;
}

static struct err *mine_module(struct miner *m, uint32_t index, csh decoder)
{
	at_module(m, index);
	if (!is_worth_it(m->r->m) || !modules_dwarf(m->ms, m->r->m))
		return NULL;
	uint32_t variables;
	size_t functions;
	m->result->modules++;
	if (miner_recall(m, &variables, &functions)) {
		m->result->recalled++;
	} else {
		at_module(m, index);
		TRY(read_code(m, index, decoder));
		variables = m->variables;
		functions = m->functions.n;
	}
	if (!m->nomem && !interrupted)
		merge(m);
	m->variables_before += variables;
	m->functions_before += functions;
	return NULL;
}

static struct err *mine(struct miner *m)
{
	csh decoder;
	const struct arch *a = modules_arch(m->ms);
	for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++)
		if (machines[i].elf_machine == a->elf_machine)
			m->machine = &machines[i];
	if (!m->machine)
		return NULL;
	TRY(code_decoder(m->ms, &decoder));
	struct err *e = NULL;
	for (size_t i = 0; i < m->ms->list.n && !e && !m->nomem && !interrupted; i++)
		e = mine_module(m, (uint32_t)i, decoder);
	cs_close(&decoder);
	if (!e && !m->nomem && !interrupted)
		report(m);
	return e ? e : m->nomem ? err_nomem() : interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

static void free_miner(struct miner *m)
{
	vec_free(&m->held);
	vec_free(&m->ranges);
	vec_free(&m->functions);
	vec_free(&m->globals);
	vec_free(&m->outside);
	vec_free(&m->calls);
	map64_free(&m->declared);
	map64_free(&m->by_entry);
	part_free(&m->part);
	part_free(&m->whole);
}

static void free_casts(struct casts *c)
{
	if (c)
		vec_free(&c->list);
	free(c);
}

struct err *modules_casts(struct modules *ms, const struct casts **ret)
{
	struct type_table *t;
	TRY(modules_type_table(ms, &t));
	if (!ms->casts) {
		struct miner m = { .ms = ms, .r = ms->types, .result = calloc(1, sizeof *m.result) };
		double start = monotonic_seconds();
		struct err *e = m.result ? mine(&m) : err_nomem();
		free_miner(&m);
		if (e) {
			free_casts(m.result);
			return e;
		}
		m.result->seconds = monotonic_seconds() - start;
		ms->casts = m.result;
	}
	*ret = ms->casts;
	return NULL;
}

void modules_free_casts(struct modules *ms)
{
	free_casts(ms->casts);
	ms->casts = NULL;
}

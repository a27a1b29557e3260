/* Shortest chains from a root: one breadth-first walk, which leaves each block's parent. Roots come in the order in which they
 * were gathered: memory, the kernel, then stacks and registers; so of two equally short chains the one from memory is told. */
#include "edges.h"

/* An entry of `parents`: 0 not reached; else a parent's id + 1, or one of these. */
enum { PARENT_WORD = 1u << 31 };
#define PARENT_RUNTIME (PARENT_WORD - 1u)
#define PARENT_WEAK (PARENT_WORD - 2u)

struct front_item { uint64_t payload, usable; block_id id; };
struct front { VEC(struct front_item) list; };
struct walk {
	struct graph *g;
	struct graph_priv *priv;
	struct front next;
	bool nomem;
};
enum { AHEAD = 16 }; /* blocks whose bytes are asked for before they are read */

bool graph_is_stack_block(const struct graph_priv *priv, block_id id)
{
	for (size_t i = 0; i < priv->stack_ids.n; i++)
		if (priv->stack_ids.at[i] == id)
			return true;
	return false;
}

static void add(struct walk *w, block_id id, const struct target_block *t, uint32_t parent)
{
	w->priv->parents[id] = parent;
	if (w->priv->stack_ids.n && graph_is_stack_block(w->priv, id))
		return;
	struct front_item *item = vec_push(&w->next.list);
	if (!item)
		w->nomem = true;
	else if (w->priv->packed)
		item->id = id;
	else
		*item = (struct front_item){ block_payload_of(w->g->blocks, t), block_usable_of(w->g->blocks, t), id };
}

static void on_edge(void *ctx, const struct edge *e)
{
	struct walk *w = ctx;
	if (!w->priv->parents[e->id] && block_state_is_used(blocks_state(w->g->blocks, e->id)))
		add(w, e->id, &e->t, e->source);
}

static void look_ahead(const struct walk *w, const struct front_item *item)
{
	const uint8_t *data;
	if (image_window_dumped(w->priv->img, item->payload, &data)) {
		__builtin_prefetch(data);
		__builtin_prefetch(data + 64);
	}
}

/* Two lists take turns: a new one for each level would be memory that the kernel has to clear. */
static void walk_levels(struct walk *w, struct edge_scan *s)
{
	struct front level = { 0 };
	while (w->next.list.n && !w->nomem && !interrupted) {
		struct front done = level;
		level = w->next;
		w->next = done;
		w->next.list.n = 0;
		for (size_t i = 0; i < level.list.n && !interrupted; i++) {
			const struct front_item *item = &level.list.at[i];
			if (i + AHEAD < level.list.n)
				look_ahead(w, item + AHEAD);
			graph_edge_block(s, item->id, item->payload, item->usable, item->id + 1);
		}
		graph_edge_drain(s);
	}
	vec_free(&level.list);
}

static void add_seed(struct walk *w, block_id id, uint32_t parent)
{
	struct target_block t;
	if (!w->priv->parents[id] && graph_resolve(w->g->blocks, blocks_payload(w->g->blocks, id), &t) == HIT_START)
		add(w, id, &t, parent);
}

/* Weak chains begin where the marking noted an inner pointer. */
static void walk_weak(struct walk *w, struct edge_scan *s)
{
	s->strong_only = false;
	for (block_id id = 0; id < w->g->blocks->n; id++)
		if (bit_test(w->priv->weak, id) && w->g->class_of[id] == CLASS_POSSIBLE)
			add_seed(w, id, PARENT_WEAK);
	walk_levels(w, s);
}

struct err *graph_find_parents(struct graph *g)
{
	struct graph_priv *priv = g->priv;
	if (!priv || priv->parents)
		return NULL;
	TRY(graph_need_references(g));
	if (g->blocks->n >= PARENT_WEAK - 1)
		return err_new(ERR_LIMIT, "%u blocks are too many for paths", g->blocks->n);
	priv->parents = calloc(g->blocks->n + 1u, sizeof *priv->parents);
	struct walk w = { .g = g, .priv = priv };
	if (!priv->parents)
		return err_nomem();
	struct edge_scan s = { .g = g, .f = on_edge, .ctx = &w, .table = priv->parents, .strong_only = true };
	for (size_t i = 0; i < priv->words.n && i < PARENT_WORD - 1u; i++) {
		s.source = PARENT_WORD | (uint32_t)i;
		graph_edge_word(&s, &priv->words.at[i]);
	}
	graph_edge_drain(&s);
	for (size_t i = 0; i < priv->runtime_ids.n; i++)
		if (graph_is_tcache(g, blocks_payload(g->blocks, priv->runtime_ids.at[i])))
			priv->parents[priv->runtime_ids.at[i]] = PARENT_RUNTIME;
		else
			add_seed(&w, priv->runtime_ids.at[i], PARENT_RUNTIME);
	walk_levels(&w, &s);
	walk_weak(&w, &s);
	vec_free(&w.next.list);
	if (!interrupted && !w.nomem)
		return NULL;
	free(priv->parents);
	priv->parents = NULL;
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : err_nomem();
}

block_id graph_parent(const struct graph *g, block_id id)
{
	const struct graph_priv *priv = g->priv;
	uint32_t parent = priv && priv->parents ? priv->parents[id] : 0;
	return parent && parent < PARENT_WEAK ? parent - 1 : BLOCK_NONE;
}

/* The word in block `parent` that points at `child`: the first strong one, else the first. */
struct pointer_search { block_id child; struct graph *g; uint64_t from, value; bool strong, found; };

static bool on_pointer(void *ctx, const struct pointer *p)
{
	struct pointer_search *s = ctx;
	if (p->id != s->child)
		return true;
	bool strong = graph_pointer_is_strong(s->g, p);
	if (!s->found || strong) {
		s->from = p->from;
		s->value = blocks_payload(s->g->blocks, p->id) + p->offset;
		s->strong = strong;
		s->found = true;
	}
	return !strong;
}

static bool push_step(struct path *p, block_id block, uint64_t from, uint64_t value, bool strong)
{
	struct path_step *step = vec_push(&p->steps);
	if (step)
		*step = (struct path_step){ block, from, value, strong };
	return step;
}

/* The head of a weak chain: some live block or root points into it. */
static struct err *step_over_weak(struct graph *g, block_id id, struct path *p, block_id *ret_next, uint32_t *ret_holder)
{
	struct graph_priv *priv = g->priv;
	struct references refs;
	uint64_t payload = blocks_payload(g->blocks, id);
	*ret_next = BLOCK_NONE;
	TRY(graph_references(g, payload, payload + blocks_usable(g->blocks, id), &refs));
	const struct reference *best = NULL;
	for (size_t i = 0; i < refs.list.n; i++) {
		const struct reference *r = &refs.list.at[i];
		bool block = r->block != BLOCK_NONE;
		if (!r->live || r->block == id || (block && (!priv->parents[r->block] || priv->parents[r->block] == PARENT_WEAK)))
			continue;
		if (!best || (best->block != BLOCK_NONE && !block))
			best = r;
	}
	struct err *e = NULL;
	if (!best)
		e = err_new(ERR_NOT_FOUND, "no word that points into it was found again");
	else if (!push_step(p, id, best->from, best->value, false))
		e = err_nomem();
	else if (best->block != BLOCK_NONE)
		*ret_next = best->block;
	else
		e = graph_reference_holder(g, best, ret_holder);
	vec_free(&refs.list);
	return e;
}

/* Follows the parents from the block up. Steps come out in reverse. */
static struct err *climb(struct graph *g, block_id id, struct path *p)
{
	struct graph_priv *priv = g->priv;
	p->holder = UINT32_MAX;
	for (uint32_t budget = g->blocks->n + 1; budget; budget--) {
		uint32_t parent = priv->parents[id];
		if (!parent)
			return err_new(ERR_NOT_FOUND, "no chain of pointers leads to it");
		if (parent == PARENT_RUNTIME)
			return push_step(p, id, 0, 0, true) ? NULL : err_nomem();
		if (parent == PARENT_WEAK) {
			block_id next;
			TRY(step_over_weak(g, id, p, &next, &p->holder));
			if (next == BLOCK_NONE)
				return NULL;
			id = next;
			continue;
		}
		if (parent & PARENT_WORD) {
			const struct root_word *w = &priv->words.at[parent & ~PARENT_WORD];
			if (!push_step(p, id, w->from, w->value, true))
				return err_nomem();
			return graph_name_root(g, w, &p->holder);
		}
		block_id up = parent - 1;
		struct pointer_search s = { .child = id, .g = g };
		graph_each_pointer(g, up, on_pointer, &s);
		if (!push_step(p, id, s.from, s.value, s.strong))
			return err_nomem();
		id = up;
	}
	return err_new(ERR_BAD_DATA, "the chain does not end");
}

static void reverse(struct path *p)
{
	for (size_t i = 0, k = p->steps.n ? p->steps.n - 1 : 0; i < k; i++, k--) {
		struct path_step t = p->steps.at[i];
		p->steps.at[i] = p->steps.at[k];
		p->steps.at[k] = t;
	}
}

struct err *graph_path(struct graph *g, block_id id, struct path *ret)
{
	TRY(graph_need_references(g));
	*ret = (struct path){ 0 };
	TRY(graph_find_parents(g));
	struct err *e = climb(g, id, ret);
	if (e) {
		path_free(ret);
		return e;
	}
	reverse(ret);
	return NULL;
}

void path_free(struct path *p)
{
	vec_free(&p->steps);
}

block_id graph_leader(const struct graph *g, block_id id)
{
	uint64_t leader;
	return graph_is_leaked(g, id) && map64_find(&g->leader_of, id, &leader) ? (block_id)leader : BLOCK_NONE;
}

/* A walk from one block, which notes parents in a map: cycles are small as a rule. */
struct round {
	struct graph *g;
	struct map64 parents;	/* id -> id that points at it */
	VEC(block_id) queue;
	block_id at, start;
	bool closed, nomem;
};

static bool on_round_pointer(void *ctx, const struct pointer *p)
{
	struct round *r = ctx;
	uint64_t known;
	block_id id = p->id;
	if (id == BLOCK_NONE || !graph_pointer_is_strong(r->g, p) || !block_state_is_used(blocks_state(r->g->blocks, id)))
		return true;
	if (id == r->start) {
		r->closed = true;
		return false;
	}
	if (map64_find(&r->parents, id, &known))
		return true;
	block_id *slot = vec_push(&r->queue);
	if (!slot || !map64_put(&r->parents, id, r->at)) {
		r->nomem = true;
		return false;
	}
	*slot = id;
	return true;
}

/* From the block that closes the round up to the start; reverse() turns it. */
static struct err *tell_round(struct round *r, struct path *ret)
{
	block_id child = r->start, parent = r->at;
	for (size_t budget = r->queue.n + 2; budget; budget--) {
		struct pointer_search s = { .child = child, .g = r->g };
		uint64_t up;
		graph_each_pointer(r->g, parent, on_pointer, &s);
		if (!push_step(ret, child, s.from, s.value, s.strong))
			return err_nomem();
		if (parent == r->start || !map64_find(&r->parents, parent, &up))
			break;
		child = parent;
		parent = (block_id)up;
	}
	reverse(ret);
	return NULL;
}

struct err *graph_cycle(struct graph *g, block_id id, struct path *ret)
{
	TRY(graph_need_references(g));
	struct round r = { .g = g, .at = id, .start = id };
	size_t next = 0;
	*ret = (struct path){ .holder = UINT32_MAX };
	do {
		graph_each_pointer(g, r.at, on_round_pointer, &r);
		if (r.closed || r.nomem || next == r.queue.n)
			break;
		r.at = r.queue.at[next++];
	} while (!interrupted);
	struct err *e = interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : r.nomem ? err_nomem() : NULL;
	if (!e)
		e = r.closed ? tell_round(&r, ret) : err_new(ERR_NOT_FOUND, "it is on no cycle: no chain of its pointers leads back to it");
	map64_free(&r.parents);
	vec_free(&r.queue);
	if (e)
		path_free(ret);
	return e;
}

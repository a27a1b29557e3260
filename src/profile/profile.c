/* Stacks of ownership. A block stands on the block that the shortest chain of pointers comes from, and the first of a chain on
 * what holds it; blocks of one label in a row are one frame, and so are rounds (a list is one frame however long it is). */
#include "flotsam/profile.h"

enum { DEEPEST = 64 };

struct maker {
	struct profile *p;
	struct session *s;
	struct map64 child_of;	/* parent's node << 32 | frame -> node */
	struct map64 sample_of;	/* node << 32 | class, state, arena -> sample */
	VEC(uint32_t) frame_of_label; /* + 1; 0: none yet */
	uint32_t *node_of_set;	/* by set + 1; [0]: held by nothing that is known */
	uint32_t leaked, possible, runtime; /* nodes */
	uint32_t *node_of;	/* by block id */
	VEC(block_id) chain;
};

static bool add_frame(struct maker *m, const char *name, uint64_t address, uint32_t *ret)
{
	struct profile_frame *f = vec_push(&m->p->frames);
	if (!f || !(f->name = strdup(name)))
		return false;
	f->address = address;
	*ret = (uint32_t)m->p->frames.n - 1;
	return true;
}

static uint32_t add_node(struct maker *m, uint32_t parent, uint32_t frame)
{
	struct profile_node *n = vec_push(&m->p->nodes);
	if (!n)
		return PROFILE_NONE;
	*n = (struct profile_node){ parent, frame };
	return (uint32_t)m->p->nodes.n - 1;
}

/* The stack that has this frame on top of `parent`, which may be one further down that ends in it. */
static uint32_t child(struct maker *m, uint32_t parent, uint32_t frame)
{
	uint64_t node, key = (uint64_t)parent << 32 | frame;
	unsigned depth = 0;
	if (map64_find(&m->child_of, key, &node))
		return (uint32_t)node;
	node = PROFILE_NONE;
	for (uint32_t n = parent; n != PROFILE_NONE && node == PROFILE_NONE; n = m->p->nodes.at[n].parent, depth++)
		if (m->p->nodes.at[n].frame == frame)
			node = n;
	if (node == PROFILE_NONE && depth >= DEEPEST)
		node = parent;
	if (node == PROFILE_NONE)
		node = add_node(m, parent, frame);
	return map64_put(&m->child_of, key, node) ? (uint32_t)node : PROFILE_NONE;
}

static bool root_node(struct maker *m, const char *name, uint64_t address, uint32_t *ret)
{
	uint32_t frame;
	return add_frame(m, name, address, &frame) && (*ret = add_node(m, PROFILE_NONE, frame)) != PROFILE_NONE;
}

static bool add_set(struct maker *m, const struct graph *g, size_t set)
{
	const struct holder_set *x = &g->sets.at[set];
	struct strbuf b = { 0 };
	for (int i = 0; i < (x->n > 3 ? 3 : x->n); i++) {
		const struct holder *h = &g->holders.at[x->holders[i]];
		strbuf_printf(&b, i ? " + %s" : "%s", h->name);
		if (h->where && (h->kind == HOLDER_FRAME || h->kind == HOLDER_REGISTER))
			strbuf_printf(&b, ", %s", h->where);
	}
	if (x->n > 3)
		strbuf_puts(&b, " and more");
	bool ok = b.text && !b.failed && root_node(m, b.text, x->n == 1 ? g->holders.at[x->holders[0]].address : 0, &m->node_of_set[set + 1]);
	strbuf_free(&b);
	return ok;
}

static struct err *add_roots(struct maker *m)
{
	const struct graph *g = m->s->graph;
	m->node_of_set = calloc(g->sets.n + 1, sizeof *m->node_of_set);
	bool ok = m->node_of_set && root_node(m, "(reachable)", 0, &m->node_of_set[0]) && root_node(m, "(leaked)", 0, &m->leaked) &&
		  root_node(m, "(possibly leaked)", 0, &m->possible) && root_node(m, "(libc and its kin)", 0, &m->runtime);
	for (size_t i = 0; ok && i < g->sets.n; i++)
		ok = add_set(m, g, i);
	return ok ? NULL : err_nomem();
}

/* What a block stands on: another block, or a node. */
static block_id below(const struct maker *m, block_id id, uint32_t *ret_node)
{
	const struct graph *g = m->s->graph;
	block_id up;
	*ret_node = m->node_of_set[graph_set(g, id)];
	switch ((enum block_class)g->class_of[id]) {
	case CLASS_DEFINITE:
		*ret_node = m->leaked;
		return BLOCK_NONE;
	case CLASS_INDIRECT:
		*ret_node = m->leaked;
		up = graph_leader(g, id);
		return up == id ? BLOCK_NONE : up;
	case CLASS_POSSIBLE:
		*ret_node = m->possible;
		break;
	case CLASS_RUNTIME:
		*ret_node = m->runtime;
		break;
	case CLASS_NONE:
	case CLASS_REACHABLE:
		break;
	}
	return graph_parent(g, id);
}

/* Labels are made when they are asked for: their number is not known before. */
static bool frame_of(struct maker *m, block_id id, uint32_t *ret)
{
	uint32_t label = types_label(m->s->types, id);
	while (m->frame_of_label.n <= label)
		if (!vec_push(&m->frame_of_label))
			return false;
	uint32_t *frame = &m->frame_of_label.at[label];
	if (!*frame) {
		if (!add_frame(m, m->s->types->labels[label].name, 0, ret))
			return false;
		*frame = *ret + 1;
	}
	*ret = *frame - 1;
	return true;
}

/* Down the chain to what has a node already, and back up. A leader's chain may lead into itself: each block is met once. */
static struct err *find_node(struct maker *m, block_id id)
{
	uint32_t node, frame;
	m->chain.n = 0;
	for (block_id at = id;;) {
		block_id *slot = vec_push(&m->chain);
		if (!slot)
			return err_nomem();
		*slot = at;
		block_id down = below(m, at, &node);
		m->node_of[at] = node; /* until it is known better */
		if (down == BLOCK_NONE)
			break;
		at = down;
		if (m->node_of[at] != PROFILE_NONE) {
			node = m->node_of[at];
			break;
		}
	}
	for (size_t i = m->chain.n; i--;) {
		if (!frame_of(m, m->chain.at[i], &frame))
			return err_nomem();
		node = child(m, node, frame);
		if (node == PROFILE_NONE)
			return err_nomem();
		m->node_of[m->chain.at[i]] = node;
	}
	return NULL;
}

static bool count(struct maker *m, const struct block_cursor *c)
{
	struct profile_sample x = { .node = m->node_of[c->id], .class_of = (enum block_class)m->s->graph->class_of[c->id], .state = c->state, .arena = c->arena };
	uint64_t index, key = (uint64_t)x.node << 32 | (uint64_t)x.class_of << 24 | (uint64_t)x.state << 16 | (uint16_t)x.arena;
	if (!map64_find(&m->sample_of, key, &index)) {
		struct profile_sample *slot = vec_push(&m->p->samples);
		index = m->p->samples.n - 1;
		if (!slot || !map64_put(&m->sample_of, key, index))
			return false;
		*slot = x;
	}
	m->p->samples.at[index].blocks++;
	m->p->samples.at[index].bytes += c->usable;
	return true;
}

static struct err *make(struct maker *m)
{
	struct block_cursor c;
	TRY(add_roots(m));
	m->node_of = malloc(((size_t)m->s->blocks->n + 1) * sizeof *m->node_of);
	if (!m->node_of)
		return err_nomem();
	memset(m->node_of, 0xff, ((size_t)m->s->blocks->n + 1) * sizeof *m->node_of);
	for (blocks_begin(m->s->blocks, &c); blocks_next(&c);) {
		if (!block_state_is_used(c.state))
			continue;
		if (m->node_of[c.id] == PROFILE_NONE)
			TRY(find_node(m, c.id));
		if (!count(m, &c))
			return err_nomem();
		if (!(c.id & 0xffff) && interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
	}
	return NULL;
}

struct err *profile_make(struct session *s, struct profile **ret)
{
	TRY(session_types(s));
	TRY(session_holders(s));
	struct profile *p = calloc(1, sizeof *p);
	if (!p)
		return err_nomem();
	struct maker m = { .p = p, .s = s };
	struct err *e = s->graph ? graph_find_parents(s->graph) : err_new(ERR_UNSUPPORTED, "the heap was not walked: there is nothing to show");
	if (!e)
		e = make(&m);
	map64_free(&m.child_of);
	map64_free(&m.sample_of);
	vec_free(&m.frame_of_label);
	free(m.node_of_set);
	free(m.node_of);
	vec_free(&m.chain);
	if (e) {
		profile_free(p);
		return e;
	}
	*ret = p;
	return NULL;
}

void profile_free(struct profile *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->frames.n; i++)
		free(p->frames.at[i].name);
	vec_free(&p->frames);
	vec_free(&p->nodes);
	vec_free(&p->samples);
	free(p);
}

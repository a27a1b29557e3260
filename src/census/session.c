/* A census as a session: each stage gets what the census holds instead of finding it, and the image has no bytes. What stands
 * above (reports, lists, sums) asks the same stages and cannot tell. */
#include "census.h"

#include <errno.h>

struct census_target { /* owns the census: strings of all stages point into it */
	struct target target;
	struct census *census;
};

static struct err *refuse_look(struct target *t)
{
	(void)t;
	return err_new(ERR_UNSUPPORTED, "a census does not change");
}

static struct err *refuse_take(struct target *t, const struct quiet_plan *quiet)
{
	(void)quiet;
	return refuse_look(t);
}

static bool no_peek(struct target *t, uint64_t address, void *to, size_t n)
{
	(void)t, (void)address, (void)to, (void)n;
	return false;
}

static int no_file(struct target *t, const struct mapping *m)
{
	(void)t, (void)m;
	errno = ENOENT;
	return -1;
}

static int no_path(struct target *t, const char *path)
{
	(void)t, (void)path;
	errno = ENOENT;
	return -1;
}

static void close_target(struct target *t)
{
	struct census_target *c = (struct census_target *)t;
	picture_clear(&t->picture);
	census_free(c->census);
	free(c);
}

static const struct target_row target_census = { .name = "census", .survey = refuse_look, .take = refuse_take, .peek = no_peek,
						 .open_mapped = no_file, .open_path = no_path, .close = close_target };

static struct err *walk(struct alloc *a, struct image *img, const struct chunk_sink *sink)
{
	const struct census *c = a->priv;
	struct census_cursor t;
	(void)img;
	for (census_begin(c, &t); census_next(&t);) {
		const struct census_kind *k = &c->kinds.at[t.kind];
		if (!sink->chunk(sink->ctx, &a->segments.at[t.segment], t.chunk, k->chunk_bytes, (enum block_state)k->state))
			return err_nomem();
	}
	return NULL;
}

static const struct alloc_row alloc_census = { .name = "census", .walk = walk };

const struct census *census_of(const struct target *t)
{
	return t->row == &target_census ? ((const struct census_target *)t)->census : NULL;
}

/* Takes a vector over. */
#define MOVE(to, from)                                                                                                 \
	do {                                                                                                           \
		memcpy(&(to), &(from), sizeof(to));                                                                    \
		memset(&(from), 0, sizeof(from));                                                                      \
	} while (0)

static struct err *open_target(struct census *c, struct session *s)
{
	struct census_target *t = calloc(1, sizeof *t);
	if (!t) {
		census_free(c);
		return err_nomem();
	}
	t->census = c;
	t->target = c->parts->target;
	memset(&c->parts->target.picture, 0, sizeof c->parts->target.picture);
	t->target.row = &target_census;
	t->target.picture.arch = t->target.arch;
	s->target = &t->target;
	s->image = image_create(&t->target.picture);
	return s->image ? NULL : err_nomem();
}

static struct err *open_modules(struct census *c, struct session *s)
{
	size_t n = c->parts->modules.n;
	AUTO_FREE struct module *list = calloc(n + 1, sizeof *list);
	if (!list)
		return err_nomem();
	for (size_t i = 0; i < n; i++) {
		struct module_part *part = &c->parts->modules.at[i];
		list[i] = part->m;
		list[i].segments = part->segments.at;
		list[i].n_segments = part->segments.n;
	}
	TRY(modules_restore(s->target, s->image, list, n, &s->modules));
	for (size_t i = 0; i < c->parts->symbols.n; i++) {
		const struct symbol_part *x = &c->parts->symbols.at[i];
		const struct symbol known = { .name = x->name, .address = x->address, .size = x->size, .is_function = x->is_function,
					      .is_object = x->is_object, .is_global = x->is_global };
		TRY(modules_restore_symbol(s->modules, &known));
	}
	return NULL;
}

static struct err *open_runtime(struct census *c, struct session *s)
{
	s->runtime = calloc(1, sizeof *s->runtime);
	if (!s->runtime)
		return err_nomem();
	MOVE(*s->runtime, c->parts->runtime);
	return NULL;
}

static struct err *open_blocks(struct census *c, struct session *s)
{
	s->alloc = calloc(1, sizeof *s->alloc);
	if (!s->alloc)
		return err_nomem();
	MOVE(*s->alloc, c->parts->alloc);
	c->segments = s->alloc->segments.at;
	s->alloc->row = &alloc_census;
	s->alloc->priv = c;
	return c->walked ? blocks_build(s->alloc, s->image, &s->blocks) : NULL;
}

static struct err *enter_leaders(struct census *c, struct graph *g)
{
	struct codec k = { .in = c->leaders };
	for (uint32_t id = 0; id < c->n_blocks; id++) {
		int64_t way = 0;
		if (g->class_of[id] == CLASS_INDIRECT)
			codec_i64(&k, &way);
		else if (g->class_of[id] != CLASS_DEFINITE)
			continue;
		if (!map64_put(&g->leader_of, id, (uint64_t)((int64_t)id + way)))
			return err_nomem();
	}
	return NULL;
}

static struct err *open_graph(struct census *c, struct session *s)
{
	struct graph *g = s->graph = calloc(1, sizeof *g);
	struct census_cursor t;
	if (!g)
		return err_nomem();
	MOVE(*g, c->parts->graph);
	MOVE(g->holders, c->holders);
	MOVE(g->sets, c->sets);
	g->blocks = s->blocks;
	g->class_of = calloc(c->n_blocks + 1, 1);
	g->set_wide = calloc(c->n_blocks + 1, sizeof *g->set_wide);
	g->stack_only_bits = calloc(c->n_blocks / 64 + 1, sizeof *g->stack_only_bits);
	if (!g->class_of || !g->set_wide || !g->stack_only_bits)
		return err_nomem();
	for (census_begin(c, &t); census_next(&t);) {
		const struct census_kind *k = &c->kinds.at[t.kind];
		g->class_of[t.id] = k->class_of;
		g->set_wide[t.id] = k->set;
		g->stack_only_bits[t.id / 64] |= (uint64_t)k->stack_only << t.id % 64;
	}
	s->holders_done = true;
	if (c->references.n)
		TRY(graph_unpack(g, s->image, s->runtime, c->references));
	return enter_leaders(c, g);
}

static struct err *open_types(struct census *c, struct session *s)
{
	struct census_cursor t;
	uint32_t *label_of = calloc(c->n_blocks + 1, sizeof *label_of);
	if (!label_of)
		return err_nomem();
	for (census_begin(c, &t); census_next(&t);) {
		uint32_t label = c->kinds.at[t.kind].label;
		label_of[t.id] = label == UINT32_MAX ? 0 : label;
	}
	struct err *e = types_restore(s->blocks, s->image, c->labels.at, c->labels.n, label_of, &s->types);
	if (e)
		free(label_of);
	else
		memset(&c->labels, 0, sizeof c->labels);
	return e;
}

static struct err *open_stages(struct census *c, struct session *s)
{
	TRY(open_target(c, s));
	TRY(open_modules(c, s));
	TRY(open_runtime(c, s));
	TRY(open_blocks(c, s));
	if (s->blocks && c->classified)
		TRY(open_graph(c, s));
	if (s->blocks)
		TRY(open_types(c, s));
	session_account(s, &c->parts->account);
	snprintf(s->version, sizeof s->version, "%s", s->alloc->facts.version);
	return NULL;
}

struct err *census_session(struct census *c, const struct session_options *o, struct session **ret)
{
	struct session *s = calloc(1, sizeof *s);
	if (!s) {
		census_free(c);
		return err_nomem();
	}
	s->options = *o;
	struct err *e = open_stages(c, s);
	if (e) {
		session_close(s);
		return e;
	}
	*ret = s;
	return NULL;
}

/* The passes: roots, vtables, pointers into blocks; each spreads until nothing is new. And what came of them. */
#include "typing.h"

#include <stdio.h>

static const char *const by_names[] = { "none", "field", "vtable", "node", "container-of", "prefix", "counted", "family", "union", "taught", "cast", "tag", "guess", "handler", "variant" };

const char *typed_by_name(enum typed_by by)
{
	return by_names[by];
}

static bool interior(struct spread *s)
{
	s->interior = true;
	spread_again_inside(s);
	return spread_roots(s);
}

static const struct pass { const char *what; bool (*run)(struct spread *s); } passes[] = {
	{ "taking what was said", spread_taught },
	{ "following typed pointers", spread_roots },
	{ "reading vtables", spread_vtables },
	{ "following pointers into blocks", interior },
	{ "telling headers apart", spread_families },
	{ "telling members of unions apart", spread_arms },
	{ "telling what values hold", spread_variants },
	{ "reading casts in code", spread_casts },
	{ "reading tags", spread_tags },
};
enum { N_PASSES = sizeof passes / sizeof passes[0] };

static void close_spread(struct spread *s)
{
	rounds_close(&s->rounds);
	vec_free(&s->outside);
	free(s->inside);
	free(s->fresh);
	free(s->embeds);
	map64_free(&s->meant);
	variants_free(s->variants);
	map64_free(&s->seen);
	map64_free(&s->filled);
	map64_free(&s->tables);
}

static struct err *open_spread(struct types *t, struct typing *g, struct spread *s)
{
	const struct arch *a = image_arch(t->priv->img);
	*s = (struct spread){ .t = t, .g = g, .table = g->table, .b = t->priv->b, .img = t->priv->img, .word = a->word, .big = a->big, .asked = BLOCK_NONE };
	s->inside = calloc(s->b->n / 64 + 1, sizeof *s->inside);
	s->fresh = calloc(s->b->n / 64 + 1, sizeof *s->fresh);
	return s->inside && s->fresh && rounds_open(&s->rounds, s->b->n) && typing_open(g, s->b->n) && spread_find_embeds(s) && spread_find_tags(s) ? NULL : err_nomem();
}

void spread_say(const struct spread *s)
{
	char text[80];
	snprintf(text, sizeof text, "%s: %.1f M blocks", s->pass, (double)s->looked_at / 1e6);
	s->say(s->say_ctx, text);
}

static struct err *run(struct spread *s, void (*say)(void *ctx, const char *text), void *ctx)
{
	s->say = say;
	s->say_ctx = ctx;
	for (size_t i = 0; i < N_PASSES; i++) {
		s->pass = passes[i].what;
		s->looked_at = 0;
		if (say)
			say(ctx, s->pass);
		if (!passes[i].run(s))
			return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : err_nomem();
	}
	return NULL;
}

static bool thread_variable(const void *ctx, const struct thread *thread, struct module *m, uint64_t offset, uint64_t *ret)
{
	const struct types *t = ctx;
	return runtime_thread_variable(t->priv->ms, image_arch(t->priv->img), thread, m, offset, ret);
}

static struct err *read_dwarf(struct types *t, struct typing *g)
{
	double start = monotonic_seconds();
	struct libc_types choose = types_libc(t);
	modules_choose_libc_types(t->priv->ms, &choose);
	TRY(modules_type_table(t->priv->ms, &g->table));
	TRY(modules_typed_roots(t->priv->ms, thread_variable, t, &g->roots));
	g->seconds_dwarf = monotonic_seconds() - start;
	return NULL;
}

struct err *types_infer(struct types *t, void (*say)(void *ctx, const char *text), void *ctx)
{
	struct spread s;
	double start = monotonic_seconds();
	if (t->typing)
		return NULL;
	if (!t->priv->rt)
		return err_new(ERR_UNSUPPORTED, "a census has no bytes whose types could be told");
	struct typing *g = calloc(1, sizeof *g);
	if (!g)
		return err_nomem();
	if (say)
		say(ctx, "reading DWARF");
	struct err *e = read_dwarf(t, g);
	if (!e) {
		e = open_spread(t, g, &s);
		if (!e)
			e = run(&s, say, ctx);
		close_spread(&s);
	}
	if (e) {
		typing_free(g);
		return e;
	}
	t->typing = g;
	e = t->guesses ? types_guess_all(t) : NULL;
	if (e)
		types_forget(t);
	else
		g->seconds = monotonic_seconds() - start;
	return e;
}

bool typing_open(struct typing *g, size_t n)
{
	g->of = calloc(n + 1, sizeof *g->of);
	return g->of && vec_push(&g->kinds);
}

bool typing_set(struct typing *g, block_id id, struct typed is)
{
	uint64_t key = (uint64_t)is.type << 32 | (uint64_t)is.rank << 24 | (uint64_t)is.base << 16 | (uint64_t)is.by << 8 | is.form << 3 | is.moved << 1 | is.doubt, index;
	if (!map64_find(&g->by_kind, key, &index)) {
		struct typed *slot = vec_push(&g->kinds);
		index = g->kinds.n - 1;
		if (!slot || !map64_put(&g->by_kind, key, index))
			return false;
		*slot = is;
	}
	g->of[id] = (uint32_t)index;
	return true;
}

void typing_close_kinds(struct typing *g)
{
	vec_free(&g->kinds);
	map64_free(&g->by_kind);
	free(g->of);
}

void typing_free(struct typing *g)
{
	if (!g)
		return;
	typed_roots_free(&g->roots);
	map64_free(&g->in_use);
	map64_free(&g->tags);
	typing_close_kinds(g);
	free(g);
}

void types_typed_name(const struct typing *t, const struct typed *of, struct strbuf *to)
{
	static const char *const behind[] = { [FORM_ONE] = "", [FORM_ARRAY] = "[]", [FORM_TAIL] = " + tail", [FORM_FLEXIBLE] = "", [FORM_POINTERS] = "[]" };
	type_table_name(t->table, of->type, to);
	strbuf_puts(to, behind[of->form]);
	strbuf_puts(to, of->by == TYPED_GUESS ? "?" : "");
}

/* Why */

static void add_step(struct spread *s, struct evidence *e, const struct parent *p)
{
	struct evidence_step *step = vec_push(&e->steps);
	s->nomem |= !step;
	if (!step)
		return;
	*step = (struct evidence_step){ .block = BLOCK_NONE, .word = p->word };
	if (p->from.kind == FROM_BLOCK) {
		struct typed at = typing_of(s->g, p->from.index);
		step->block = p->from.index;
		step->object = blocks_payload(s->b, p->from.index) + (uint64_t)at.base * s->word;
		step->type = at.type;
	} else if (p->from.kind == FROM_OUTSIDE) {
		step->object = s->outside.at[p->from.index].address;
		step->type = s->outside.at[p->from.index].type;
	} else {
		step->root = &s->t->typing->roots.list.at[p->from.index];
		step->object = step->root->address;
		step->type = step->root->type;
	}
}

/* From the block backwards, then turned around. A type that was changed on the way may lead in a circle. */
static void follow_back(struct spread *s, block_id id, struct evidence *e)
{
	struct map64 met = { 0 };
	struct parent p = s->parents[id];
	uint64_t seen;
	while (p.from.kind != FROM_NOTHING && !s->nomem) {
		uint64_t key = (uint64_t)p.from.kind << 32 | p.from.index;
		if (map64_find(&met, key, &seen) || !map64_put(&met, key, 1))
			break;
		add_step(s, e, &p);
		if (p.from.kind == FROM_ROOT)
			break;
		if (p.from.kind == FROM_BLOCK) {
			p = s->parents[p.from.index];
		} else {
			const struct outside *o = &s->outside.at[p.from.index];
			p = (struct parent){ o->word, o->from };
		}
	}
	map64_free(&met);
	for (size_t i = 0, n = e->steps.n; i < n / 2; i++) {
		struct evidence_step step = e->steps.at[i];
		e->steps.at[i] = e->steps.at[n - 1 - i];
		e->steps.at[n - 1 - i] = step;
	}
}

struct err *types_explain(struct types *t, block_id id, struct evidence *ret)
{
	struct spread s;
	if (!t->typing || !typing_of(t->typing, id).type)
		return err_new(ERR_NOT_FOUND, "no typed pointer leads to it");
	struct typing again = { .table = t->typing->table, .roots = t->typing->roots };
	struct err *e = open_spread(t, &again, &s);
	s.parents = calloc((size_t)s.b->n + 1, sizeof *s.parents);
	s.asked = id;
	s.evidence = ret;
	if (!e && !s.parents)
		e = err_nomem();
	if (!e)
		e = run(&s, NULL, NULL);
	if (!e)
		follow_back(&s, id, ret);
	if (!e && s.nomem)
		e = err_nomem();
	free(s.parents);
	map64_free(&again.tags);
	typing_close_kinds(&again);
	close_spread(&s);
	return e;
}

void evidence_free(struct evidence *e)
{
	vec_free(&e->steps);
	vec_free(&e->rivals);
}

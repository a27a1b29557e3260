/* What the members of a struct come to: pointers and structs at whatever depth. A work list stands in for recursion, since a file
 * may say that a struct holds itself. */
#include "parts.h"

enum { MOST_STEPS = 1 << 16, ALL_STEPS = 1 << 30, MOST_OF_ONE = 8192, EXPANDED = 64, MOST_LEAVES = 32 << 20, DEEPEST = 16 };

struct open {
	uint32_t type;
	uint64_t offset;
	uint32_t count, stride, around; /* around: the innermost container */
	bool weak, vtable;
	bool loose;		/* weak, and nobody says when it is there */
	struct type_leaf says;	/* bound, length, capacity, when, limit, beyond */
};
struct work {
	struct type_table *t;
	VEC(struct open) open;
	uint32_t id;
	size_t steps, all;
	bool nomem, cut;
};

static struct open *push(struct work *w, uint32_t type, uint64_t offset, uint64_t count, uint64_t stride, bool weak, uint32_t around)
{
	enum type_kind k = table_type(w->t, type)->kind;
	if ((k != TYPE_POINTER && k != TYPE_STRUCT && k != TYPE_UNION && k != TYPE_ARRAY) || offset >= NO_OFFSET || count > UINT32_MAX || stride > UINT32_MAX)
		return NULL;
	struct open *o = vec_push(&w->open);
	w->nomem |= !o;
	if (o)
		*o = (struct open){ type, offset, (uint32_t)count, (uint32_t)stride, around, .weak = weak };
	return o;
}

/* "_vptr.Shape", "_vptr$Shape": as gcc and clang call what the Itanium C++ ABI (2.4) leaves nameless. */
static bool is_vtable(const struct type_member *m)
{
	return m->name && !strncmp(m->name, "_vptr", 5);
}

/* std::vector of libstdc++ (bits/stl_vector.h) and libc++ (vector). */
static bool is_bounded(const struct type_member *m, const struct type_member *next)
{
	return m->name && next->name && m->type == next->type &&
	       ((!strcmp(m->name, "_M_start") && !strcmp(next->name, "_M_finish")) || (!strcmp(m->name, "__begin_") && !strcmp(next->name, "__end_")));
}

static void mark(struct work *w, const struct type *of, uint32_t i, struct open *to)
{
	const struct type_member *m = &w->t->members.at[of->first_member + i];
	if (table_type(w->t, m->type)->kind != TYPE_POINTER)
		return;
	to->vtable = is_vtable(m);
	if (i + 2 < of->n_members && is_bounded(m, m + 1)) {
		to->says.bound = BOUND_POINTERS;
		to->says.length = (uint32_t)to->offset + w->t->word;
		to->says.capacity = (uint32_t)to->offset + 2 * w->t->word;
	}
}

static void add_leaf(struct work *w, const struct open *o, uint32_t target)
{
	struct type_leaf *l = w->t->leaves.n < MOST_LEAVES ? vec_push(&w->t->leaves) : NULL;
	const struct type *around = table_type(w->t, o->around);
	bool node = o->around && target == around->node_base;
	w->cut |= !l;
	if (!l)
		return;
	*l = o->says;
	l->offset = (uint32_t)o->offset;
	l->target = node ? around->node : target;
	l->count = o->count;
	l->stride = o->stride;
	l->weak = o->weak;
	l->node = node;
	l->vtable = o->vtable;
	if (o->loose || !o->weak)
		l->when = l->limit = 0;
	/* Of containers of Rust's it is the element's array alone. */
	if (l->bound > BOUND_POINTERS && !node && !(o->around && target == around->node))
		l->bound = BOUND_NOT;
}

static void inherit(struct open *to, const struct open *from)
{
	if (!to)
		return;
	to->loose = from->loose;
	to->says = from->says;
}

static void add_part(struct work *w, const struct open *o)
{
	struct type_part *p = w->t->parts.n < MOST_LEAVES ? vec_push(&w->t->parts) : NULL;
	w->cut |= !p;
	if (p)
		*p = (struct type_part){ (uint32_t)o->offset, o->type };
}

static void open_array(struct work *w, const struct open *o, const struct type *at)
{
	uint64_t size = table_type(w->t, at->target)->size, n = at->count;
	if (o->count == 1) {
		inherit(push(w, at->target, o->offset, n, size, o->weak, o->around), o);
		return;
	}
	/* An array in an array: the leaves of some of its elements. */
	w->cut |= n > EXPANDED;
	for (uint64_t i = 0; i < n && i < EXPANDED; i++)
		inherit(push(w, at->target, o->offset + i * size, o->count, o->stride, o->weak, o->around), o);
}

/* What was said of where its like stands is now said of where this one does. */
static void add_condition(struct work *w, struct open *to, const struct open *in, uint32_t when)
{
	struct type_condition *c = when && w->t->conditions.n < MOST_LEAVES ? vec_push(&w->t->conditions) : NULL;
	to->loose |= !c;
	if (!c)
		return;
	*c = w->t->conditions.at[when - 1];
	c->offset += (uint32_t)in->offset;
	c->outer = in->says.when;
	c->strided = in->count > 1;
	to->says.when = (uint32_t)w->t->conditions.n;
}

static void open_struct(struct work *w, const struct open *o, const struct type *at)
{
	if (o->count == 1 && !o->weak && o->type != w->id)
		add_part(w, o);
	uint32_t around = at->node ? o->type : o->around;
	if (at->holds && table_type(w->t, at->holds)->size <= at->size)
		push(w, at->holds, o->offset, o->count, o->stride, o->weak, 0);
	struct open inner = *o; /* what its members inherit */
	type_table_rust(w->t, at, (uint32_t)o->offset, &inner.says);
	for (uint32_t i = 0; i < at->n_members; i++) {
		const struct type_member *m = &w->t->members.at[at->first_member + i];
		bool is_union = at->kind == TYPE_UNION;
		struct open *to = m->bits ? NULL : push(w, m->type, o->offset + m->offset, o->count, o->stride, o->weak || m->weak || is_union, around);
		if (!to)
			continue;
		inherit(to, &inner);
		to->loose |= is_union && !(inner.says.limit && type_is_maybe(at));
		if (m->weak && !is_union)
			add_condition(w, to, o, m->when);
		mark(w, at, i, to);
	}
}

static void step(struct work *w)
{
	struct open o = w->open.at[--w->open.n];
	const struct type *at = table_type(w->t, o.type);
	if (at->kind == TYPE_POINTER)
		add_leaf(w, &o, at->target);
	else if (at->kind == TYPE_ARRAY && at->count)
		open_array(w, &o, at);
	else if (type_is_struct(at))
		open_struct(w, &o, at);
}

static int by_offset(const void *a, const void *b)
{
	const struct type_leaf *x = a, *y = b;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* An array without end as the last member, or as that of the last member. */
static void find_flexible(struct type_table *t, struct type *at)
{
	const struct type *in = at;
	uint64_t offset = 0;
	for (int i = 0; i < DEEPEST && in->kind == TYPE_STRUCT && in->n_members; i++) {
		const struct type_member *m = &t->members.at[in->first_member + in->n_members - 1];
		const struct type *type = table_type(t, m->type);
		offset += m->offset;
		if (type->kind == TYPE_ARRAY && type->count <= 1 && table_type(t, type->target)->size && offset < NO_OFFSET) {
			at->flexible = (uint32_t)offset;
			at->element = type->target;
			at->one_element = type->count == 1;
			return;
		}
		in = type;
	}
}

static void flatten(struct work *w, uint32_t id)
{
	struct type_table *t = w->t;
	size_t leaves = t->leaves.n, parts = t->parts.n;
	w->id = id;
	w->steps = 0;
	w->open.n = 0;
	w->cut = false;
	push(w, id, 0, 1, 0, false, 0);
	while (w->open.n && !w->nomem && ++w->steps < MOST_STEPS && ++w->all < ALL_STEPS && t->leaves.n - leaves < MOST_OF_ONE && t->parts.n - parts < MOST_OF_ONE)
		step(w);
	struct type *at = &t->types.at[id];
	at->first_leaf = (uint32_t)leaves;
	at->n_leaves = (uint32_t)(t->leaves.n - leaves);
	at->first_part = (uint32_t)parts;
	at->n_parts = (uint32_t)(t->parts.n - parts);
	at->cut |= w->cut || w->open.n;
	t->cut |= t->leaves.n >= MOST_LEAVES || t->parts.n >= MOST_LEAVES || w->all >= ALL_STEPS;
	if (at->n_leaves)
		qsort(t->leaves.at + leaves, at->n_leaves, sizeof *t->leaves.at, by_offset);
	find_flexible(t, at);
}

bool type_table_flatten(struct type_table *t)
{
	struct work w = { .t = t };
	type_table_find_nodes(t, t->flat);
	for (; t->flat < t->types.n && !w.nomem && !interrupted; t->flat++)
		if (type_is_struct(&t->types.at[t->flat]))
			flatten(&w, (uint32_t)t->flat);
	vec_free(&w.open);
	return !w.nomem && !interrupted && type_table_find_headers(t);
}

/* What the members of a struct come to: pointers and structs at whatever depth. A work list stands in for recursion, since a file
 * may say that a struct holds itself. */
#include "parts.h"

enum { MOST_STEPS = 1 << 16, ALL_STEPS = 1 << 30, MOST_OF_ONE = 8192, EXPANDED = 64, MOST_LEAVES = 32 << 20, DEEPEST = 16 };

struct open { uint32_t type; uint64_t offset; uint32_t count, stride, around; bool weak; }; /* around: the innermost container */
struct work {
	struct type_table *t;
	VEC(struct open) open;
	uint32_t id;
	size_t steps, all;
	bool nomem, cut;
};

static void push(struct work *w, uint32_t type, uint64_t offset, uint64_t count, uint64_t stride, bool weak, uint32_t around)
{
	enum type_kind k = table_type(w->t, type)->kind;
	if ((k != TYPE_POINTER && k != TYPE_STRUCT && k != TYPE_UNION && k != TYPE_ARRAY) || offset >= NO_OFFSET || count > UINT32_MAX || stride > UINT32_MAX)
		return;
	struct open *o = vec_push(&w->open);
	w->nomem |= !o;
	if (o)
		*o = (struct open){ type, offset, (uint32_t)count, (uint32_t)stride, around, weak };
}

static void add_leaf(struct work *w, const struct open *o, uint32_t target)
{
	struct type_leaf *l = w->t->leaves.n < MOST_LEAVES ? vec_push(&w->t->leaves) : NULL;
	const struct type *around = table_type(w->t, o->around);
	bool node = o->around && target == around->node_base;
	w->cut |= !l;
	if (l)
		*l = (struct type_leaf){ (uint32_t)o->offset, node ? around->node : target, o->count, o->stride, o->weak, node };
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
		push(w, at->target, o->offset, n, size, o->weak, o->around);
		return;
	}
	/* An array in an array: the leaves of some of its elements. */
	w->cut |= n > EXPANDED;
	for (uint64_t i = 0; i < n && i < EXPANDED; i++)
		push(w, at->target, o->offset + i * size, o->count, o->stride, o->weak, o->around);
}

static void open_struct(struct work *w, const struct open *o, const struct type *at)
{
	if (o->count == 1 && !o->weak && o->type != w->id)
		add_part(w, o);
	uint32_t around = at->node ? o->type : o->around;
	if (at->holds && table_type(w->t, at->holds)->size <= at->size)
		push(w, at->holds, o->offset, o->count, o->stride, o->weak, 0);
	for (uint32_t i = 0; i < at->n_members; i++) {
		const struct type_member *m = &w->t->members.at[at->first_member + i];
		if (!m->bits)
			push(w, m->type, o->offset + m->offset, o->count, o->stride, o->weak || m->weak || at->kind == TYPE_UNION, around);
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

/* Types spread from typed memory along its pointers, breadth first. A block whose type is of no high rank is followed only where
 * its pointers lead somewhere: one wrong type would carry all that it points at with it. */
#include "typing.h"

enum { MOST_OUTSIDE = 4 << 20, MOST_MOVES = 3, MOST_ELEMENTS = 64 << 20, MOST_RIVALS = 64, MOST_DIMENSIONS = 16, DEEPEST = 16, MOST_PADDING = 256 };

/* The value of a type's first member, and of that one's first. */
bool types_begins_with(const struct type_table *t, uint32_t outer, uint32_t inner)
{
	const struct type *at = table_type(t, outer);
	for (uint32_t i = 0; i < at->n_parts; i++) {
		const struct type_part *p = &t->parts.at[at->first_part + i];
		if (!p->offset && p->type == inner)
			return true;
	}
	return false;
}

bool types_alike(const struct type_table *t, uint32_t a, uint32_t b)
{
	const char *x = table_type(t, a)->name, *y = table_type(t, b)->name;
	return a == b || (x && y && !strcmp(x, y));
}

static void add_rival(struct spread *s, uint32_t type, uint8_t rank, uint64_t word)
{
	for (size_t i = 0; i < s->evidence->rivals.n; i++) {
		struct evidence_rival *r = &s->evidence->rivals.at[i];
		if (types_alike(s->table, r->type, type)) {
			r->rank = r->rank > rank ? r->rank : rank;
			return;
		}
	}
	struct evidence_rival *r = s->evidence->rivals.n < MOST_RIVALS ? vec_push(&s->evidence->rivals) : NULL;
	if (r)
		*r = (struct evidence_rival){ type, rank, word, rank > 0 };
}

static void is_new(struct spread *s, block_id id)
{
	s->fresh[id / 64] |= 1ull << id % 64;
	rounds_add(&s->rounds, id);
}

static void assign(struct spread *s, block_id id, uint32_t type, uint64_t base, uint8_t rank, struct fit fit, enum typed_by by, uint64_t word)
{
	struct typed was = typing_of(s->g, id);
	struct typed is = { .type = type, .rank = rank, .form = fit.form & 7, .base = (uint8_t)(base / s->word), .by = by & 15 };
	is.moved = (was.moved + (was.type && was.moved < MOST_MOVES)) & 3;
	s->nomem |= !typing_set(s->g, id, is);
	if (s->parents)
		s->parents[id] = (struct parent){ word, s->from };
	is_new(s, id);
}

static void settle(struct spread *s, block_id id, uint32_t type, uint64_t base, uint8_t rank, struct fit fit, enum typed_by by, uint64_t word)
{
	struct typed at = typing_of(s->g, id);
	uint64_t old_base = (uint64_t)at.base * s->word;
	if (!at.type) {
		assign(s, id, type, base, rank, fit, by, word);
	} else if (types_alike(s->table, at.type, type) && base == old_base) {
		/* A better reason for the same: what was not followed before may be now. */
		if (rank > at.rank && at.type == type) {
			at.rank = rank;
			at.form = fit.form & 7;
			at.doubt = 0;
			s->nomem |= !typing_set(s->g, id, at);
			is_new(s, id);
		}
	} else if (by == TYPED_UNION) {
		return;
	} else if (rank > at.rank || (at.by == TYPED_UNION && rank == at.rank)) {
		if (at.moved < MOST_MOVES)
			assign(s, id, type, base, rank, fit, by, word);
	} else if (rank == at.rank && base == old_base && types_begins_with(s->table, type, at.type)) {
		if (at.moved < MOST_MOVES)
			assign(s, id, type, base, rank, fit, by, word);
	} else if (!at.doubt && rank == at.rank && !types_begins_with(s->table, at.type, type)) {
		at.doubt = 1;
		s->nomem |= !typing_set(s->g, id, at);
	}
}

/* Of a header (std::string is one, since structs begin with strings) the size alone may say that it is no more than that. */
static bool fits_union(struct spread *s, uint32_t type, uint64_t address, struct fit fit)
{
	return (fit.rank == RANK_EXACT || fit.rank == RANK_EXACT_HEADER) && fit.form == FORM_ONE && shape_of(s, type, address) == SHAPE_GOOD &&
	       !shape_misplaced(s, type, address);
}

void spread_offer(struct spread *s, block_id id, uint32_t type, uint64_t base, uint8_t rank, enum typed_by by, uint64_t word, bool weak)
{
	uint64_t payload = spread_payload(s, id), usable = spread_usable(s, id);
	struct fit fit = base < usable ? fit_type(s, type, payload + base, usable - base) : (struct fit){ 0 };
	uint32_t outer = fit.rank && !base && !rank && !weak && typing_of(s->g, id).rank < RANK_FLEXIBLE ? spread_container_at_start(s, id, type, fit) : 0;
	if (outer) {
		spread_offer(s, id, outer, 0, RANK_FLEXIBLE, TYPED_CONTAINER, word, false);
		return;
	}
	/* A member of a union need not be what the bytes are. */
	if (weak && !fits_union(s, type, payload + base, fit))
		fit.rank = 0;
	if (fit.rank && weak) {
		fit.rank = RANK_UNION;
		by = TYPED_UNION;
	}
	if (id == s->asked)
		add_rival(s, type, fit.rank ? (rank ? rank : fit.rank) : 0, word);
	if (!fit.rank) {
		s->g->misfits++;
		return;
	}
	settle(s, id, type, base, rank ? rank : fit.rank, fit, by, word);
}

/* Memory that is no block: a variable, a frame, an arena of the program's own. Its size is not known. */
static void reach_outside(struct spread *s, uint64_t pointer, uint32_t type, uint64_t word)
{
	const struct type *at = table_type(s->table, type);
	uint64_t key = pointer * 0x9e3779b97f4a7c15u ^ type, seen;
	if (!at->size || !(at->n_leaves || at->kind == TYPE_POINTER) || s->outside.n >= MOST_OUTSIDE || map64_find(&s->seen, key, &seen))
		return;
	if (!shape_is_sound(s, type, pointer))
		return;
	struct outside *o = vec_push(&s->outside);
	s->nomem |= !o || !map64_put(&s->seen, key, 1);
	if (o)
		*o = (struct outside){ pointer, type, s->from, word };
}

void spread_outside(struct spread *s, uint64_t address, uint32_t type)
{
	reach_outside(s, address, type, 0);
}

void spread_reach(struct spread *s, uint64_t pointer, const struct type_leaf *leaf, uint64_t word)
{
	enum type_kind kind = table_type(s->table, leaf->target)->kind;
	if (s->asks) {
		s->asks(s->asks_ctx, s, pointer, leaf, word);
		return;
	}
	if (!pointer || kind == TYPE_VOID || kind == TYPE_CODE || kind == TYPE_INCOMPLETE)
		return;
	s->g->edges++;
	struct block_place at;
	if (!blocks_find(s->b, pointer, &at)) {
		/* A container's own end looks like a node. */
		if (!leaf->node)
			reach_outside(s, pointer, leaf->target, word);
		return;
	}
	block_id id = at.id;
	uint64_t payload = at.payload;
	s->places[id % N_PLACES] = at;
	if (pointer < payload || !block_state_is_used(blocks_state(s->b, id)))
		return;
	if (leaf->weak && pointer == payload && spread_told(s, id, leaf, word))
		return;
	if (pointer == payload)
		spread_offer(s, id, leaf->target, 0, 0, leaf->node ? TYPED_NODE : TYPED_FIELD, word, leaf->weak);
	else
		spread_interior(s, id, pointer - payload, leaf, word);
}

static uint64_t word_of(const struct spread *s, const uint8_t *p)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < s->word; i++)
		v |= (uint64_t)p[i] << 8 * (s->big ? s->word - 1 - i : i);
	return v;
}

static const uint64_t MOST_STEPS = 1ull << 33;
struct object { /* in memory, or as bytes that were in registers */
	uint64_t address, n;
	const uint8_t *bytes;
};

static bool read_object(struct spread *s, const struct object *o, uint64_t offset, uint64_t *ret)
{
	if (offset + s->word > o->n)
		return false;
	if (!o->bytes)
		return spread_word(s, o->address + offset, ret);
	*ret = word_of(s, o->bytes + offset);
	return true;
}

static bool read_number(struct spread *s, const struct object *o, uint64_t offset, unsigned bytes, uint64_t *ret)
{
	uint8_t raw[8];
	if (bytes > sizeof raw || offset > o->n || bytes > o->n - offset)
		return false;
	if (o->bytes)
		memcpy(raw, o->bytes + offset, bytes);
	else if (!image_read(s->img, o->address + offset, raw, bytes))
		return false;
	*ret = 0;
	for (unsigned i = 0; i < bytes; i++)
		*ret |= (uint64_t)raw[s->big ? bytes - 1 - i : i] << 8 * i;
	return true;
}

/* Whether an enum is what a pointer of one of its variants needs: `at` is where the object begins, element k of an array in it. */
static bool holds(struct spread *s, const struct object *o, uint64_t at, const struct type_leaf *l, uint32_t k)
{
	uint32_t when = l->when;
	for (int depth = 0; when && depth < DEEPEST; depth++) {
		const struct type_condition *c = &s->table->conditions.at[when - 1];
		uint64_t v, mask = c->bytes < 8 ? (1ull << 8 * c->bytes) - 1 : UINT64_MAX;
		bool one = false;
		if (!read_number(s, o, at + c->offset + (c->strided ? (uint64_t)k * l->stride : 0), c->bytes, &v))
			return false;
		for (uint32_t i = 0; i < c->n; i++)
			one |= (s->table->values.at[c->first + i] & mask) == v;
		if (one == c->except)
			return false;
		when = c->outer;
	}
	return !when;
}

struct bounds { uint64_t length, capacity; }; /* bytes */

static bool read_bounds(struct spread *s, const struct object *o, uint64_t at, const struct type_leaf *l, uint64_t start, struct bounds *ret)
{
	uint64_t size = table_type(s->table, l->target)->size;
	if (!size || !read_object(s, o, at + l->length, &ret->length) || !read_object(s, o, at + l->capacity, &ret->capacity))
		return false;
	if (l->bound == BOUND_POINTERS) {
		ret->length -= start;
		ret->capacity -= start;
	} else if (__builtin_mul_overflow(ret->length, size, &ret->length) || __builtin_mul_overflow(ret->capacity, size, &ret->capacity)) {
		return false;
	}
	return ret->length <= ret->capacity && ret->length % size == 0 && ret->capacity % size == 0;
}

static void settle_array(struct spread *s, block_id id, const struct type_leaf *l, uint64_t base, uint8_t rank, uint64_t word)
{
	enum typed_form form = table_type(s->table, l->target)->kind == TYPE_POINTER ? FORM_POINTERS : FORM_ARRAY;
	if (id == s->asked)
		add_rival(s, l->target, rank, word);
	settle(s, id, l->target, base, rank, (struct fit){ rank, form }, l->node ? TYPED_NODE : TYPED_FIELD, word);
}

/* An array that says how much of it there is: what lies behind was moved away, or was never made. */
static bool reach_bounded(struct spread *s, const struct object *o, uint64_t at, const struct type_leaf *l, uint64_t start, uint64_t word)
{
	const struct type *element = table_type(s->table, l->target);
	struct bounds b;
	block_id id = start ? blocks_at(s->b, start) : BLOCK_NONE;
	if (id == BLOCK_NONE || start != spread_payload(s, id) || !block_state_is_used(blocks_state(s->b, id)) || !read_bounds(s, o, at, l, start, &b) ||
	    b.capacity > spread_usable(s, id))
		return false;
	bool leads = element->n_leaves || element->kind == TYPE_POINTER;
	if (leads && spread_usable(s, id) - b.length >= element->size)
		s->nomem |= !map64_put(&s->filled, id, b.length);
	if (!(type_is_struct(element) || element->kind == TYPE_POINTER) || !fit_is_exact(s, b.capacity, spread_usable(s, id)) ||
	    (b.capacity == element->size && !element->header))
		return false;
	settle_array(s, id, l, 0, RANK_FLEXIBLE, word);
	return true;
}

/* hashbrown (src/raw.rs): elements stand in front of what the pointer leads to, behind them one byte for each, and a group more. */
static bool reach_table(struct spread *s, const struct object *o, uint64_t at, const struct type_leaf *l, uint64_t control, uint64_t word)
{
	uint64_t buckets, bytes, size = table_type(s->table, l->target)->size;
	block_id id = control ? blocks_at(s->b, control) : BLOCK_NONE;
	if (id == BLOCK_NONE || !block_state_is_used(blocks_state(s->b, id)) || !size || !read_object(s, o, at + l->length, &buckets) || (buckets & (buckets + 1)) ||
	    __builtin_mul_overflow(++buckets, size, &bytes))
		return false;
	uint64_t payload = spread_payload(s, id), usable = spread_usable(s, id), before = control - payload;
	if (control < payload || bytes > before || buckets >= usable - before || (before - bytes) % s->word || before - bytes > MOST_PADDING)
		return false;
	s->nomem |= !map64_put(&s->tables, id, control);
	settle_array(s, id, l, before - bytes, RANK_FLEXIBLE, word);
	return true;
}

/* A union's only pointer, which others like it have shown to be one. */
static bool is_meant(const struct spread *s, const struct type_leaf *l)
{
	uint64_t seen;
	return l->weak && s->meant.n && l >= s->table->leaves.at && map64_find(&s->meant, (uint64_t)(l - s->table->leaves.at), &seen);
}

static void follow(struct spread *s, const struct object *o, uint64_t at, const struct type_leaf *l, uint64_t offset, uint64_t v)
{
	uint64_t word = o->bytes ? 0 : o->address + offset, next;
	struct type_leaf sure = *l;
	bool trait = s->table->handlers.n && type_is_struct(table_type(s->table, l->target));
	if (l->when || l->limit || is_meant(s, l))
		sure.weak = false;
	if (!sure.weak && l->bound && (l->bound == BOUND_TABLE ? reach_table : reach_bounded)(s, o, at, &sure, v, word))
		return;
	if (!sure.weak && trait && read_object(s, o, offset + s->word, &next) && spread_trait(s, v, l->target, word, next))
		return;
	if (sure.weak && word && s->table->handlers.n && spread_handled(s, v, word))
		return;
	spread_reach(s, v, &sure, word);
}

static void visit_leaf(struct spread *s, const struct object *o, uint64_t at, const struct type_leaf *l)
{
	uint64_t v, limit = 0;
	if (l->vtable || (l->limit && !read_number(s, o, at + l->limit - 1, 2, &limit)))
		return;
	for (uint32_t k = 0; k < l->count && (!l->limit || k < limit + l->beyond) && !interrupted; k++) {
		uint64_t move = (uint64_t)k * l->stride, offset = at + l->offset + move;
		/* A file may say that an object is as large as memory, and that there are many. */
		if (++s->steps > MOST_STEPS || !read_object(s, o, offset, &v))
			return;
		if (l->when && !holds(s, o, at, l, k))
			continue;
		if (s->asks)
			spread_reach(s, v, l, o->bytes ? 0 : o->address + offset);
		else
			follow(s, o, at + move, l, offset, v);
	}
}

static bool may_be(struct spread *s, uint32_t type, block_id id)
{
	const struct type *at = table_type(s->table, type);
	return at->kind != TYPE_CHAR && at->size <= blocks_usable(s->b, id);
}

/* Characters that a union points at, where nothing else that it may point at fits the block. */
static void visit_characters(struct spread *s, const struct object *o, uint64_t at, const struct type *t, uint32_t index)
{
	const struct type_leaf *leaves = &s->table->leaves.at[t->first_leaf], *l = &leaves[index];
	uint64_t v, word = at + l->offset;
	if (!read_object(s, o, word, &v))
		return;
	block_id id = blocks_at(s->b, v);
	if (id == BLOCK_NONE || blocks_payload(s->b, id) != v || !block_state_is_used(blocks_state(s->b, id)) || typing_of(s->g, id).type)
		return;
	for (uint32_t i = index; i > 0 && leaves[i - 1].offset == l->offset; i--)
		if (may_be(s, leaves[i - 1].target, id))
			return;
	for (uint32_t i = index + 1; i < t->n_leaves && leaves[i].offset == l->offset; i++)
		if (may_be(s, leaves[i].target, id))
			return;
	settle(s, id, l->target, 0, RANK_TEXT, (struct fit){ RANK_TEXT, FORM_ARRAY }, TYPED_UNION, o->bytes ? 0 : o->address + word);
}

static void visit_one(struct spread *s, const struct object *o, uint64_t at, uint32_t type)
{
	const struct type *t = table_type(s->table, type);
	if (t->kind == TYPE_POINTER)
		visit_leaf(s, o, at, &(struct type_leaf){ .target = t->target, .count = 1 });
	for (uint32_t i = 0; type_is_struct(t) && i < t->n_leaves; i++) {
		const struct type_leaf *l = &s->table->leaves.at[t->first_leaf + i];
		if (l->weak && !l->when && !l->limit && l->count == 1 && table_type(s->table, l->target)->kind == TYPE_CHAR)
			visit_characters(s, o, at, t, i);
		else
			visit_leaf(s, o, at, l);
	}
}

/* Elements one behind the other; guarded: an array may have room that is not used yet. */
static void visit_many(struct spread *s, const struct object *o, uint64_t at, uint32_t type, bool guarded)
{
	uint64_t size = table_type(s->table, type)->size, n = size ? (o->n - at) / size : 0;
	if (!table_type(s->table, type)->n_leaves && table_type(s->table, type)->kind != TYPE_POINTER)
		return;
	for (uint64_t i = 0; i < n && i < MOST_ELEMENTS && !interrupted; i++) {
		if (!o->bytes)
			spread_fetch_element(s, o->address + at + i * size, size, type);
		if (!guarded || shape_is_sound(s, type, o->address + at + i * size))
			visit_one(s, o, at + i * size, type);
	}
}

static void visit_variable(struct spread *s, const struct object *o, uint32_t type)
{
	for (int i = 0; table_type(s->table, type)->kind == TYPE_ARRAY && i < MOST_DIMENSIONS; i++)
		type = table_type(s->table, type)->target;
	visit_many(s, o, 0, type, false);
}

/* Of the buckets those that are in use: the highest bit of their control byte is 0. */
static void visit_table(struct spread *s, const struct object *o, uint32_t type, uint64_t control)
{
	uint64_t size = table_type(s->table, type)->size, n = size ? (control - o->address) / size : 0;
	uint8_t full;
	for (uint64_t i = 0; i < n && i < MOST_ELEMENTS && !interrupted && image_read(s->img, control + i, &full, 1); i++)
		if (!(full & 0x80))
			visit_one(s, o, control - o->address - (i + 1) * size, type);
}

static void visit_block(struct spread *s, block_id id)
{
	struct typed t = typing_of(s->g, id);
	const struct type *at = table_type(s->table, t.type);
	uint64_t base = (uint64_t)t.base * s->word;
	struct object o = { spread_payload(s, id) + base, spread_usable(s, id) - base, NULL };
	bool low = t.rank < RANK_FLEXIBLE;
	s->from = (struct source){ id, FROM_BLOCK };
	uint64_t filled;
	if (!base && map64_find(&s->filled, id, &filled) && filled < o.n)
		o.n = filled;
	if ((t.form == FORM_ARRAY || t.form == FORM_POINTERS) && map64_find(&s->tables, id, &filled) && filled > o.address && filled - o.address < o.n) {
		visit_table(s, &o, t.type, filled);
		return;
	}
	if (t.form == FORM_ARRAY || t.form == FORM_POINTERS) {
		visit_many(s, &o, 0, t.type, low || t.form == FORM_POINTERS);
		return;
	}
	if (low && !shape_is_sound(s, t.type, o.address))
		return;
	visit_one(s, &o, 0, t.type);
	if (t.form == FORM_FLEXIBLE && at->flexible < o.n)
		visit_many(s, &o, at->flexible, at->element, true);
}

static void visit_outside(struct spread *s, size_t index)
{
	struct outside at = s->outside.at[index];
	struct object o = { at.address, table_type(s->table, at.type)->size, NULL };
	s->from = (struct source){ (uint32_t)index, FROM_OUTSIDE };
	visit_one(s, &o, 0, at.type);
}

bool spread_run(struct spread *s)
{
	while (!s->nomem && !interrupted) {
		if (s->outside_head < s->outside.n) {
			visit_outside(s, s->outside_head++);
			continue;
		}
		block_id id = rounds_take(&s->rounds);
		if (id == BLOCK_NONE)
			break;
		spread_count(s);
		spread_fetch_ahead(s);
		visit_block(s, id);
	}
	return !s->nomem && !interrupted;
}

bool spread_roots(struct spread *s)
{
	for (size_t i = 0; i < s->g->roots.list.n && !interrupted && !s->nomem; i++) {
		const struct typed_root *r = &s->g->roots.list.at[i];
		struct object o = { r->address, r->bytes ? r->n : table_type(s->table, r->type)->size, r->bytes };
		s->from = (struct source){ (uint32_t)i, FROM_ROOT };
		visit_variable(s, &o, r->type);
	}
	return spread_run(s);
}

/* The lowest that is set, which is no longer then; BLOCK_NONE: the word is empty. */
static block_id take_bit(uint64_t *words, size_t at)
{
	if (!words[at])
		return BLOCK_NONE;
	unsigned bit = (unsigned)__builtin_ctzll(words[at]);
	words[at] &= words[at] - 1;
	return (block_id)(at * 64 + bit);
}

void spread_again_inside(struct spread *s)
{
	block_id id;
	for (size_t i = 0; i <= s->b->n / 64; i++)
		while ((id = take_bit(s->inside, i)) != BLOCK_NONE)
			rounds_add(&s->rounds, id);
	s->outside_head = 0;
}

void spread_all_fresh(struct spread *s)
{
	memset(s->fresh, 0xff, (s->b->n / 64 + 1) * sizeof *s->fresh);
}

void spread_again(struct spread *s, const bool *wanted)
{
	block_id id;
	for (size_t i = 0; i <= s->b->n / 64; i++)
		while ((id = take_bit(s->fresh, i)) != BLOCK_NONE)
			if (id < s->b->n && wanted[typing_of(s->g, id).type])
				rounds_add(&s->rounds, id);
}

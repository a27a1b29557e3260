/* Pointers of unions: which of a union's members the bytes are is mostly told by another member of the object, its tag. For each value
 * of the tag the blocks that such pointers lead to are looked at together: the one member whose type is right for all of them is meant.
 * Which member the tag is, nobody says: the one that tells most of what stands in the union. */
#include "typing.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_ARMS = 16, MOST_SLOTS = 4096, MOST_OBJECTS = 512, MOST_TAGS = 48, MOST_VALUES = 64, CLASSES = 32, MOST_FOUND = 4 << 20, SAMPLES = 24, ROUNDS = 4, LEARN_FROM = 3,
       TELLING = 4 /* so many blocks of text are no accident */, LARGE = 1024 };

struct slot { /* a word of a struct where a union has pointers */
	uint32_t type, offset;
	uint32_t arms[MOST_ARMS];
	unsigned n;
	uint64_t leaf;
	bool open;		/* it may also be what could be of any size */
	uint32_t tag, tag_bytes; /* tag_bytes 0: no member tells */
	uint64_t seen;
	VEC(uint64_t) objects;	/* some of those that have it */
};
struct pointer { /* to a block without a type */
	block_id id;
	uint32_t slot, base;
	bool pooled;		/* to a part of it */
	struct source from;
	uint64_t word, tag, usable;
};
struct arms {
	struct spread *s;
	VEC(struct slot) slots;
	struct map64 by_leaf;	/* first leaf of a slot -> index */
	uint64_t *types;	/* bit per type: it has slots */
	VEC(struct pointer) found;
	uint64_t named;
};

/* Which words */

static bool says_something(const struct type_table *t, uint32_t target)
{
	enum type_kind k = table_type(t, target)->kind;
	return k != TYPE_VOID && k != TYPE_INCOMPLETE && k != TYPE_CODE && k != TYPE_ARRAY && table_type(t, target)->size;
}

/* The spreading follows a union's texts by itself: the first other leaf stands for the slot. */
static void add_slot(struct arms *a, uint32_t type, const struct type *at, uint32_t from, uint32_t to)
{
	const struct type_table *t = a->s->table;
	struct slot slot = { .type = type, .offset = t->leaves.at[at->first_leaf + from].offset };
	uint64_t leaf = 0;
	for (uint32_t i = at->first_leaf + from; i < at->first_leaf + to; i++) {
		const struct type_leaf *l = &t->leaves.at[i];
		unsigned k = 0;
		slot.open |= table_type(t, l->target)->kind != TYPE_CODE && (!says_something(t, l->target) || table_type(t, l->target)->kind == TYPE_CHAR);
		if (!l->weak || l->count != 1 || !says_something(t, l->target))
			continue;
		while (k < slot.n && !types_alike(t, slot.arms[k], l->target))
			k++;
		if (k == slot.n && slot.n < MOST_ARMS)
			slot.arms[slot.n++] = l->target;
		leaf = !leaf && table_type(t, l->target)->kind != TYPE_CHAR ? (uint64_t)i + 1 : leaf;
	}
	struct slot *to_slot = leaf && a->slots.n < MOST_SLOTS ? vec_push(&a->slots) : NULL;
	a->s->nomem |= leaf && a->slots.n < MOST_SLOTS && !to_slot;
	if (!to_slot)
		return;
	slot.leaf = leaf - 1;
	*to_slot = slot;
	a->s->nomem |= !map64_put(&a->by_leaf, leaf - 1, a->slots.n - 1);
}

static void add_slots(struct arms *a, uint32_t type)
{
	const struct type *at = table_type(a->s->table, type);
	const struct type_leaf *l = &a->s->table->leaves.at[at->first_leaf];
	size_t before = a->slots.n;
	if (!type_is_struct(at) || a->types[type / 64] >> type % 64 & 1)
		return;
	for (uint32_t i = 0, to; i < at->n_leaves && !a->s->nomem; i = to) {
		for (to = i + 1; to < at->n_leaves && l[to].offset == l[i].offset; to++)
			;
		add_slot(a, type, at, i, to);
	}
	if (a->slots.n > before)
		a->types[type / 64] |= 1ull << type % 64;
}

static void find_slots(struct arms *a)
{
	const struct typing *g = a->s->g;
	const struct type_table *t = a->s->table;
	for (size_t i = 0; i < g->kinds.n; i++) {
		const struct type *at = table_type(t, g->kinds.at[i].type);
		add_slots(a, g->kinds.at[i].type);
		if (at->flexible != NO_OFFSET)
			add_slots(a, at->element);
	}
	for (size_t i = 0; i < g->roots.list.n; i++)
		add_slots(a, g->roots.list.at[i].type);
	for (size_t i = 0; i < a->s->outside.n; i++)
		add_slots(a, a->s->outside.at[i].type);
}

/* Which objects */

static uint64_t mix(uint64_t v)
{
	v *= 0x9e3779b97f4a7c15u;
	v = (v ^ v >> 29) * 0xff51afd7ed558ccdu;
	return v ^ v >> 32;
}

/* Each of all objects is kept as likely as another, and the same ones each time. */
static void keep_object(struct arms *a, struct slot *at, uint64_t object)
{
	uint64_t place = at->objects.n < MOST_OBJECTS ? at->objects.n : mix(at->seen) % (at->seen + 1);
	at->seen++;
	if (place < at->objects.n) {
		at->objects.at[place] = object;
	} else if (place < MOST_OBJECTS) {
		uint64_t *to = vec_push(&at->objects);
		a->s->nomem |= !to;
		if (to)
			*to = object;
	}
}

static void ask(void *ctx, struct spread *s, uint64_t pointer, const struct type_leaf *l, uint64_t word)
{
	struct arms *a = ctx;
	struct block_place at;
	uint64_t index;
	if (!l->weak || !word || l < s->table->leaves.at || l >= s->table->leaves.at + s->table->leaves.n ||
	    !map64_find(&a->by_leaf, (uint64_t)(l - s->table->leaves.at), &index))
		return;
	keep_object(a, &a->slots.at[index], word - l->offset);
	if (!pointer || !blocks_find(s->b, pointer, &at) || pointer < at.payload || !block_state_is_used(blocks_state(s->b, at.id)) || typing_of(s->g, at.id).type)
		return;
	uint64_t base = pointer - at.payload;
	if (base % s->word || base >= at.usable || base > UINT32_MAX)
		return;
	bool pooled = base && (base / s->word > MOST_PREFIX_WORDS || s->g->prefix_hits[base / s->word] < ADOPT_PREFIX);
	struct pointer *to = a->found.n < MOST_FOUND ? vec_push(&a->found) : NULL;
	s->nomem |= !to && a->found.n < MOST_FOUND;
	if (to)
		*to = (struct pointer){ .id = at.id, .slot = (uint32_t)index, .base = (uint32_t)base, .pooled = pooled, .from = s->from, .word = word, .usable = at.usable };
}

static bool find_pointers(struct arms *a)
{
	struct spread *s = a->s;
	a->found.n = 0;
	for (size_t i = 0; i < a->slots.n; i++)
		a->slots.at[i].seen = a->slots.at[i].objects.n = 0;
	s->asks = ask;
	s->asks_ctx = a;
	for (block_id id = 0; id < s->b->n && !s->nomem; id++) {
		uint32_t type = typing_of(s->g, id).type, element = table_type(s->table, type)->flexible == NO_OFFSET ? type : table_type(s->table, type)->element;
		if (type && ((a->types[type / 64] >> type % 64 & 1) || (a->types[element / 64] >> element % 64 & 1)))
			rounds_add(&s->rounds, id);
	}
	s->outside_head = 0;
	bool ok = spread_roots(s);
	s->asks = NULL;
	return ok;
}

/* Which member is the tag */

struct tags { uint32_t offset[MOST_TAGS], bytes[MOST_TAGS]; unsigned n; };

static void add_tag(struct tags *t, uint64_t offset, uint32_t bytes)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->offset[i] == offset && t->bytes[i] == bytes)
			return;
	if (t->n == MOST_TAGS || offset > UINT32_MAX)
		return;
	t->offset[t->n] = (uint32_t)offset;
	t->bytes[t->n++] = bytes;
}

/* A struct's own members, and those that all that may stand in a union begin with. */
static void add_tags(const struct type_table *table, struct tags *t, uint32_t type, uint64_t offset)
{
	const struct type *at = table_type(table, type);
	for (uint32_t i = 0; i < at->n_members; i++) {
		const struct type_member *m = &table->members.at[at->first_member + i];
		const struct type *of = table_type(table, m->type);
		bool within = at->kind == TYPE_UNION || m->weak;
		if (of->kind == TYPE_UNION && of->n_members) {
			const struct type_member *first = &table->members.at[of->first_member];
			enum type_kind kind = table_type(table, first->type)->kind;
			if ((kind == TYPE_CHAR || kind == TYPE_NUMBER) && first->bytes <= 4)
				add_tag(t, offset + m->offset, first->bytes);
		}
		if (m->bits || (within && m->offset) || (of->kind != TYPE_CHAR && of->kind != TYPE_NUMBER && of->kind != TYPE_POINTER) || m->bytes > 8 ||
		    (within && of->kind == TYPE_POINTER))
			continue;
		add_tag(t, offset + m->offset, m->bytes);
	}
}

/* What stands in a slot, roughly: nothing, a number, something outside the heap, text, a block of some size. */
static unsigned class_of(struct spread *s, uint64_t v)
{
	struct block_place at;
	uint8_t c[8];
	unsigned i = 0;
	if (!v || stands_for_none(s->table, v))
		return 0;
	if (!blocks_find(s->b, v, &at))
		return points_somewhere(s, v) ? 2 : 1;
	if (v != at.payload)
		return 3;
	while (image_read(s->img, v, c, sizeof c) && i < sizeof c && c[i] >= ' ' && c[i] < 0x7f)
		i++;
	if (i == sizeof c || (i && !c[i]))
		return 4;
	return 5 + (at.usable > LARGE ? 0 : (unsigned)(at.usable / 16) % (CLASSES - 5));
}

static bool is_tag_value(struct spread *s, uint64_t v, uint32_t bytes)
{
	/* A pointer that tells is one to the program's own tables. */
	return bytes < s->word || !v || modules_at(s->t->priv->ms, v);
}

/* Bits that a member's value says of what stands in the slot; see families.c. */
static double information(struct spread *s, const struct slot *of, uint32_t offset, uint32_t bytes)
{
	static unsigned counts[MOST_VALUES][CLASSES];
	uint64_t values[MOST_VALUES], v, word;
	unsigned n_values = 0, of_value[MOST_VALUES] = { 0 }, of_class[CLASSES] = { 0 }, n = 0, n_classes = 0;
	double bits = 0;
	memset(counts, 0, sizeof counts);
	for (size_t i = 0; i < of->objects.n; i++) {
		unsigned k = 0, class;
		if (!spread_value(s, of->objects.at[i] + offset, bytes, &v) || !spread_word(s, of->objects.at[i] + of->offset, &word))
			continue;
		while (k < n_values && values[k] != v)
			k++;
		if (k == MOST_VALUES || !is_tag_value(s, v, bytes))
			return 0;
		if (k == n_values)
			values[n_values++] = v;
		class = class_of(s, word);
		counts[k][class]++;
		of_value[k]++;
		n_classes += !of_class[class]++;
		n++;
	}
	for (unsigned k = 0; k < n_values; k++)
		for (unsigned c = 0; c < CLASSES; c++)
			if (counts[k][c])
				bits += (double)counts[k][c] / n * log2((double)counts[k][c] * n / ((double)of_value[k] * of_class[c]));
	return n_values < 2 ? 0 : bits - (n_values - 1.0) * (n_classes - 1.0) / (2 * n * log(2));
}

static void choose_tag(struct arms *a, struct slot *of)
{
	const struct type_table *t = a->s->table;
	const struct type *at = table_type(t, of->type);
	struct tags tags = { .n = 0 };
	double best = 0.05;
	of->tag_bytes = 0;
	add_tags(t, &tags, of->type, 0);
	for (uint32_t i = 0; i < at->n_parts && i < MOST_TAGS; i++)
		add_tags(t, &tags, t->parts.at[at->first_part + i].type, t->parts.at[at->first_part + i].offset);
	for (unsigned i = 0; i < tags.n; i++) {
		/* The slot itself is none. */
		if (tags.offset[i] < of->offset + t->word && of->offset < tags.offset[i] + tags.bytes[i])
			continue;
		double bits = information(a->s, of, tags.offset[i], tags.bytes[i]);
		if (bits > best) {
			best = bits;
			of->tag = tags.offset[i];
			of->tag_bytes = tags.bytes[i];
		}
	}
}

static uint64_t tag_of(struct spread *s, const struct slot *of, uint64_t object)
{
	uint64_t v = 0;
	return of->tag_bytes && spread_value(s, object + of->tag, of->tag_bytes, &v) ? v : 0;
}

/* Which arm */

/* Blocks of one tag whose type is known otherwise: all of them are the one arm. 0: not so. */
static uint32_t learned(struct arms *a, const struct slot *of, uint64_t tag)
{
	struct spread *s = a->s;
	unsigned votes[MOST_ARMS] = { 0 }, all = 0;
	uint64_t v;
	for (size_t i = 0; i < of->objects.n; i++) {
		struct block_place at;
		if (tag_of(s, of, of->objects.at[i]) != tag || !spread_word(s, of->objects.at[i] + of->offset, &v) || !v || !blocks_find(s->b, v, &at) || v != at.payload)
			continue;
		struct typed is = typing_of(s->g, at.id);
		if (!is.type || is.rank < RANK_ARRAY)
			continue;
		all++;
		for (unsigned k = 0; k < of->n; k++)
			votes[k] += types_alike(s->table, is.type, of->arms[k]);
	}
	for (unsigned k = 0; k < of->n; k++)
		if (votes[k] >= LEARN_FROM && (all - votes[k]) * 20 <= votes[k])
			return of->arms[k];
	return 0;
}

struct choice { /* of the arms that may be it at all */
	uint32_t arm, text;	/* 0: none */
	struct verdict best;
	double second;
	unsigned passed, whole;
};

/* What pointers say counts most; next that all are of an arm's size, or of a multiple of it and of no other's. Where texts or anything
 * else may stand as well, a size alone says nothing. */
static uint32_t choose(const struct choice *c, const struct slot *of, unsigned samples, bool smallest)
{
	const struct verdict *v = &c->best;
	bool many = samples >= TELLING && !of->open;
	if (c->text && (!c->passed || v->empty))
		return samples >= TELLING || !c->passed ? c->text : 0;
	if (!c->passed)
		return 0;
	if (!v->whole)
		return c->passed == 1 && (many || (of->n == 1 && !of->open)) ? c->arm : 0;
	if (!v->empty && (v->exact || v->score >= 0.8))
		return c->passed == 1 || v->score - c->second >= 0.3 ? c->arm : 0;
	if (c->passed == 1)
		return !of->open && (v->exact || samples > 1) ? c->arm : 0;
	return many && (c->whole == 1 || (v->exact && !smallest && v->score - c->second >= 1)) ? c->arm : 0;
}

static uint32_t decide(struct arms *a, const struct slot *of, const struct pointer *p, size_t n)
{
	block_id sample[SAMPLES];
	uint32_t base[SAMPLES], known = learned(a, of, p->tag);
	struct choice c = { .best.score = -1 };
	unsigned samples = 0;
	for (; samples < n && samples < SAMPLES; samples++) {
		const struct pointer *one = &p[spread_sample(samples, SAMPLES, n)];
		sample[samples] = one->id;
		base[samples] = one->base;
	}
	for (unsigned k = 0; k < of->n; k++) {
		struct verdict v = types_verdict(a->s, of->arms[k], sample, base, samples);
		if (v.score < 0)
			continue;
		if (types_alike(a->s->table, of->arms[k], known))
			return known;
		if (table_type(a->s->table, of->arms[k])->kind == TYPE_CHAR) {
			c.text = v.score >= 0.9 ? of->arms[k] : 0;
			continue;
		}
		c.passed++;
		c.whole += v.whole;
		if (v.score > c.best.score) {
			c.second = c.best.score;
			c.best = v;
			c.arm = of->arms[k];
		} else if (v.score > c.second) {
			c.second = v.score;
		}
	}
	return choose(&c, of, samples, p->usable <= 3u * a->s->word);
}

/* Of parts of blocks nobody knows the size: what they point at is all that speaks for an arm. */
static uint32_t decide_pooled(struct arms *a, const struct slot *of, const struct pointer *p, size_t n)
{
	struct spread *s = a->s;
	uint32_t best_arm = 0;
	/* Where nothing else may stand nothing need speak for it. */
	double best = of->n == 1 && !of->open ? -0.01 : 0, second = -1;
	for (unsigned k = 0; k < of->n; k++) {
		const struct type *at = table_type(s->table, of->arms[k]);
		unsigned samples = 0, bad = 0;
		double sum = 0;
		for (; type_is_struct(at) && samples < n && samples < SAMPLES; samples++) {
			const struct pointer *one = &p[spread_sample(samples, SAMPLES, n)];
			uint64_t address = spread_payload(s, one->id) + one->base;
			bad += at->size > one->usable - one->base || shape_of(s, of->arms[k], address) == SHAPE_BAD;
			sum += shape_agreement(s, of->arms[k], address);
		}
		if (!samples || bad * 10 > samples)
			continue;
		sum /= samples;
		second = sum > best ? best_arm ? best : second : sum > second ? sum : second;
		best_arm = sum > best ? of->arms[k] : best_arm;
		best = sum > best ? sum : best;
	}
	return best - second >= 0.3 || second < 0 ? best_arm : 0;
}

/* As any pointer into a block: to a member of what it is. */
static void name_part(struct arms *a, const struct pointer *p, uint32_t type)
{
	struct type_leaf leaf = { .target = type, .count = 1 };
	a->s->from = p->from;
	spread_interior(a->s, p->id, p->base, &leaf, p->word);
	a->named += typing_of(a->s->g, p->id).type != 0;
}

static void name_block(struct arms *a, const struct pointer *p, uint32_t type)
{
	struct spread *s = a->s;
	enum type_kind kind = table_type(s->table, type)->kind;
	uint64_t address = spread_payload(s, p->id) + p->base;
	struct fit fit = fit_type(s, type, address, p->usable - p->base);
	if (!fit.rank || typing_of(s->g, p->id).type || (kind != TYPE_CHAR && shape_of(s, type, address) == SHAPE_BAD))
		return;
	/* 0: the struct that it is the beginning of may be known. */
	uint8_t rank = fit.form == FORM_TAIL ? 0 : kind == TYPE_CHAR || kind == TYPE_NUMBER ? fit.rank : fit.rank >= RANK_EXACT ? RANK_CAST : RANK_LOOSE_CAST;
	s->from = p->from;
	a->named++;
	spread_offer(s, p->id, type, p->base, rank, TYPED_UNION, p->word, false);
}

static int by_group(const void *a, const void *b)
{
	const struct pointer *x = a, *y = b;
	if (x->slot != y->slot)
		return x->slot < y->slot ? -1 : 1;
	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	if (x->pooled != y->pooled)
		return x->pooled ? 1 : -1;
	if (x->usable != y->usable)
		return x->usable < y->usable ? -1 : 1;
	return x->word < y->word ? -1 : x->word > y->word;
}

/* Where nothing else may stand, what was found for some holds for all: a tree that is linked so is followed to its ends. */
static void settle_slot(struct arms *a, const struct slot *of, uint32_t type)
{
	if (type && of->n == 1 && !of->open)
		a->s->nomem |= !map64_put(&a->s->meant, of->leaf, 1);
}

static void name_group(struct arms *a, const struct pointer *p, size_t n)
{
	uint32_t type = p->pooled ? decide_pooled(a, &a->slots.at[p->slot], p, n) : decide(a, &a->slots.at[p->slot], p, n);
	settle_slot(a, &a->slots.at[p->slot], type);
	for (size_t i = 0; type && p->pooled && i < n; i++)
		name_part(a, &p[i], type);
	if (p->pooled)
		return;
	for (size_t i = 0, to; i < n; i = to) {
		/* Those of one size may be of one kind where all are not. */
		for (to = i + 1; to < n && p[to].usable == p[i].usable; to++)
			;
		uint32_t of_size = type ? type : decide(a, &a->slots.at[p->slot], p + i, to - i);
		for (size_t k = i; of_size && k < to; k++)
			name_block(a, &p[k], of_size);
	}
}

static bool name_found(struct arms *a)
{
	struct spread *s = a->s;
	for (size_t i = 0; i < a->slots.n && !interrupted; i++)
		if (a->slots.at[i].seen)
			choose_tag(a, &a->slots.at[i]);
	for (size_t i = 0; i < a->found.n; i++) {
		const struct slot *of = &a->slots.at[a->found.at[i].slot];
		a->found.at[i].tag = tag_of(s, of, a->found.at[i].word - of->offset);
	}
	if (a->found.n)
		qsort(a->found.at, a->found.n, sizeof *a->found.at, by_group);
	for (size_t i = 0, to; i < a->found.n && !interrupted && !s->nomem; i = to) {
		for (to = i + 1; to < a->found.n && a->found.at[to].slot == a->found.at[i].slot && a->found.at[to].tag == a->found.at[i].tag && a->found.at[to].pooled == a->found.at[i].pooled;
		     to++)
			;
		name_group(a, &a->found.at[i], to - i);
	}
	return spread_run(s);
}

static void close_arms(struct arms *a)
{
	for (size_t i = 0; i < a->slots.n; i++)
		vec_free(&a->slots.at[i].objects);
	vec_free(&a->slots);
	vec_free(&a->found);
	map64_free(&a->by_leaf);
	free(a->types);
}

bool spread_arms(struct spread *s)
{
	bool ok = true;
	for (int i = 0; i < ROUNDS && ok; i++) {
		struct arms a = { .s = s, .types = calloc(s->table->types.n / 64 + 1, sizeof *a.types) };
		s->nomem |= !a.types;
		if (!s->nomem)
			find_slots(&a);
		ok = !s->nomem && (!a.slots.n || (find_pointers(&a) && name_found(&a) && (!a.named || spread_families(s))));
		uint64_t named = a.named;
		close_arms(&a);
		if (!named)
			break;
	}
	return ok && !s->nomem && !interrupted;
}

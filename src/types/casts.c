/* What void * and pointers to incomplete structs point at, by what code casts them to (modules/casts.c). Code names a few types for a
 * member; which of them a block is, sizes and pointers tell: blocks behind one member, of one size and alike in their first words, are
 * decided together, the largest such group first, and what is known by then helps with the next. */
#include "typing.h"

#include <stdlib.h>

enum { MOST_CANDIDATES = 24, MOST_FOUND = 4 << 20, MOST_GROUPS = 1 << 20, SAMPLES = 24, ROUNDS = 6, SMALL = 1 << 16 };

struct candidate { uint32_t type, places; double weight; /* its share of what code says of the member */ };
struct place { /* members, or a variable: where such pointers stand */
	size_t first;
	unsigned n;
};
struct found { /* a block without a type that such a pointer leads to; there may be millions */
	block_id id;
	uint32_t group : 24, base : 8;
};
struct group {
	uint32_t place, n;
	size_t first, next;	/* of found, once they lie group by group; where the next of them goes */
};

struct casting {
	struct spread *s;
	const struct casts *casts;
	VEC(struct place) places;
	VEC(struct candidate) candidates;
	bool *wanted;		/* by type: there may be such members in its blocks */
	struct map64 by_leaf, by_deep, by_root; /* leaf, leaf whose pointers are meant, address of a variable -> place */
	VEC(struct group) groups;
	struct map64 by_key;
	VEC(struct found) found;
	VEC(struct parent) pointers; /* to them, when somebody asks why */
	struct map64 by_block;	/* -> pointers */
	size_t outside;		/* so many objects outside the heap were asked */
	bool asked;		/* the roots were */
	bool cut;		/* there was no room for all */
	uint64_t named;
};

/* Which members have candidates */

static void add_candidate(struct casting *c, struct place *p, const struct cast *from)
{
	static const double near[] = { 1, 0.25, 0.1, 0.05, 0.02 };
	double weight = from->places * near[from->distance < 4 ? from->distance : 4];
	for (unsigned i = 0; i < p->n; i++) {
		struct candidate *at = &c->candidates.at[p->first + i];
		if (types_alike(c->s->table, at->type, from->target)) {
			at->weight += weight;
			at->places += from->places;
			return;
		}
	}
	struct candidate *slot = p->n < MOST_CANDIDATES ? vec_push(&c->candidates) : NULL;
	c->s->nomem |= !slot && p->n < MOST_CANDIDATES;
	if (!slot)
		return;
	*slot = (struct candidate){ from->target, from->places, weight };
	p->n++;
}

struct key { uint32_t outer, offset; uint64_t address; bool deep; };

static void add_of(struct casting *c, struct place *p, struct key k)
{
	size_t n;
	const struct cast *from = type_casts_find(c->casts, k.outer, k.offset, k.address, k.deep, &n);
	for (size_t i = 0; i < n; i++)
		add_candidate(c, p, &from[i]);
}

static void keep_place(struct casting *c, struct place p, struct map64 *by, uint64_t key)
{
	double sum = 0;
	struct place *slot = p.n ? vec_push(&c->places) : NULL;
	if (!slot) {
		c->s->nomem |= p.n != 0;
		return;
	}
	*slot = p;
	for (unsigned i = 0; i < p.n; i++)
		sum += c->candidates.at[p.first + i].weight;
	for (unsigned i = 0; i < p.n; i++)
		c->candidates.at[p.first + i].weight /= sum;
	c->s->nomem |= !map64_put(by, key, c->places.n - 1);
}

/* Of a struct's own member, and of that of each struct within it. */
static void add_leaf(struct casting *c, uint32_t type, uint32_t leaf, bool deep)
{
	const struct type_table *t = c->s->table;
	const struct type *at = table_type(t, type);
	const struct type_leaf *l = &t->leaves.at[leaf];
	struct place p = { .first = c->candidates.n };
	add_of(c, &p, (struct key){ type, l->offset, 0, deep });
	for (uint32_t i = 0; i < at->n_parts; i++) {
		const struct type_part *part = &t->parts.at[at->first_part + i];
		if (part->offset <= l->offset && l->offset - part->offset < table_type(t, part->type)->size)
			add_of(c, &p, (struct key){ part->type, l->offset - part->offset, 0, deep });
	}
	if (!deep && table_type(t, l->target)->kind == TYPE_INCOMPLETE)
		add_of(c, &p, (struct key){ l->target, 0, 0, false });
	keep_place(c, p, deep ? &c->by_deep : &c->by_leaf, leaf);
}

static bool says_little(const struct type_table *t, uint32_t target)
{
	enum type_kind k = table_type(t, target)->kind;
	return k == TYPE_VOID || k == TYPE_INCOMPLETE || k == TYPE_CHAR;
}

/* Whose members have candidates, and structs that end in rows of such. */
static void find_wanted(struct casting *c)
{
	const struct type_table *t = c->s->table;
	uint64_t place;
	for (uint32_t type = 1; c->wanted && type < t->types.n; type++) {
		const struct type *at = table_type(t, type);
		for (uint64_t i = at->first_leaf; type_is_struct(at) && i < (uint64_t)at->first_leaf + at->n_leaves; i++)
			c->wanted[type] |= map64_find(&c->by_leaf, i, &place) || map64_find(&c->by_deep, i, &place);
	}
	for (uint32_t type = 1; c->wanted && type < t->types.n; type++)
		c->wanted[type] |= table_type(t, type)->flexible != NO_OFFSET && c->wanted[table_type(t, type)->element];
}

static void find_places(struct casting *c)
{
	const struct type_table *t = c->s->table;
	for (uint32_t type = 1; type < t->types.n && !c->s->nomem && !interrupted; type++) {
		const struct type *at = table_type(t, type);
		for (uint32_t i = 0; type_is_struct(at) && i < at->n_leaves; i++) {
			uint32_t target = t->leaves.at[at->first_leaf + i].target;
			if (says_little(t, target))
				add_leaf(c, type, at->first_leaf + i, false);
			else if (table_type(t, target)->kind == TYPE_POINTER && says_little(t, table_type(t, target)->target))
				add_leaf(c, type, at->first_leaf + i, true);
		}
	}
	for (size_t i = 0; i < c->s->g->roots.list.n && !c->s->nomem; i++) {
		const struct typed_root *r = &c->s->g->roots.list.at[i];
		const struct type *at = table_type(t, r->type);
		if (!r->address || at->kind != TYPE_POINTER)
			continue;
		bool deep = !says_little(t, at->target);
		struct place p = { .first = c->candidates.n };
		add_of(c, &p, (struct key){ 0, 0, r->address, deep });
		if (table_type(t, at->target)->kind == TYPE_INCOMPLETE)
			add_of(c, &p, (struct key){ at->target, 0, 0, false });
		keep_place(c, p, &c->by_root, r->address);
	}
}

/* Which blocks */

enum first_word { FIRST_NULL, FIRST_SMALL, FIRST_BLOCK, FIRST_INSIDE, FIRST_MAPPED, FIRST_TEXT, FIRST_OTHER };

static enum first_word kind_of(struct spread *s, uint64_t address)
{
	uint64_t v;
	unsigned printable = 0;
	if (!spread_word(s, address, &v))
		return FIRST_OTHER;
	if (v <= SMALL)
		return v ? FIRST_SMALL : FIRST_NULL;
	block_id id = blocks_at(s->b, v);
	if (id != BLOCK_NONE)
		return v == blocks_payload(s->b, id) ? FIRST_BLOCK : FIRST_INSIDE;
	if (points_somewhere(s, v))
		return FIRST_MAPPED;
	for (unsigned i = 0; i < s->word && i == printable; i++)
		printable += (v >> 8 * i & 0xff) >= ' ' && (v >> 8 * i & 0xff) < 0x7f;
	return printable > 1 ? FIRST_TEXT : FIRST_OTHER;
}

static uint32_t group_of(struct casting *c, uint32_t place, block_id id, uint32_t base)
{
	struct spread *s = c->s;
	uint64_t at = blocks_payload(s->b, id) + base, usable = blocks_usable(s->b, id) - base, index;
	uint64_t key = (((uint64_t)place * 64 + kind_of(s, at) * 8 + kind_of(s, at + s->word)) * 0x9e3779b97f4a7c15u ^ usable) * 0xff51afd7ed558ccdu;
	if (map64_find(&c->by_key, key, &index))
		return (uint32_t)index;
	struct group *g = c->groups.n < MOST_GROUPS ? vec_push(&c->groups) : NULL;
	if (!g)
		return UINT32_MAX;
	g->place = place;
	index = c->groups.n - 1;
	s->nomem |= !map64_put(&c->by_key, key, index);
	return (uint32_t)index;
}

static void keep_pointer(struct casting *c, block_id id, uint64_t word, struct source from)
{
	uint64_t first;
	if (map64_find(&c->by_block, id, &first))
		return;
	struct parent *slot = vec_push(&c->pointers);
	c->s->nomem |= !slot || !map64_put(&c->by_block, id, c->pointers.n - 1);
	if (slot)
		*slot = (struct parent){ word, from };
}

static void find_block(struct casting *c, uint32_t place, uint64_t pointer, uint64_t word, struct source from)
{
	struct spread *s = c->s;
	block_id id = blocks_at(s->b, pointer);
	if (id == BLOCK_NONE || !block_state_is_used(blocks_state(s->b, id)))
		return;
	struct typed at = typing_of(s->g, id);
	uint64_t base = pointer - blocks_payload(s->b, id);
	if (pointer < blocks_payload(s->b, id) || base >= blocks_usable(s->b, id) || base % s->word || (at.type && at.rank > RANK_TEXT))
		return;
	/* What the program's own allocator puts in front of all its blocks. */
	if (base && (base / s->word > MOST_PREFIX_WORDS || s->g->prefix_hits[base / s->word] < ADOPT_PREFIX))
		return;
	if (c->found.n >= MOST_FOUND) {
		c->cut = true;
		return;
	}
	uint32_t group = group_of(c, place, id, (uint32_t)base);
	struct found *f = group == UINT32_MAX ? NULL : vec_push(&c->found);
	s->nomem |= group != UINT32_MAX && !f;
	if (!f)
		return;
	*f = (struct found){ id, group & 0xffffff, base & 0xff };
	c->groups.at[group].n++;
	if (s->parents)
		keep_pointer(c, id, word, from);
}

/* All that a void ** leads to. */
static void find_elements(struct casting *c, uint32_t place, uint64_t pointer)
{
	struct spread *s = c->s;
	block_id id = blocks_at(s->b, pointer);
	uint64_t v;
	if (id == BLOCK_NONE || pointer < blocks_payload(s->b, id) || !block_state_is_used(blocks_state(s->b, id)))
		return;
	struct source from = typing_of(s->g, id).type ? (struct source){ id, FROM_BLOCK } : s->from;
	uint64_t end = blocks_payload(s->b, id) + blocks_usable(s->b, id);
	for (uint64_t at = pointer; at + s->word <= end && !interrupted && spread_word(s, at, &v); at += s->word)
		if (v)
			find_block(c, place, v, at, from);
}

static void ask(void *ctx, struct spread *s, uint64_t pointer, const struct type_leaf *l, uint64_t word)
{
	struct casting *c = ctx;
	uint64_t leaf = (uint64_t)(l - s->table->leaves.at), place;
	bool member = l >= s->table->leaves.at && l < s->table->leaves.at + s->table->leaves.n;
	if (!pointer)
		return;
	if (member && map64_find(&c->by_leaf, leaf, &place))
		find_block(c, (uint32_t)place, pointer, word, s->from);
	else if (member && map64_find(&c->by_deep, leaf, &place))
		find_elements(c, (uint32_t)place, pointer);
	else if (!member && s->from.kind == FROM_ROOT && word && map64_find(&c->by_root, word, &place)) {
		if (says_little(s->table, l->target))
			find_block(c, (uint32_t)place, pointer, word, s->from);
		else
			find_elements(c, (uint32_t)place, pointer);
	}
}

/* Of what was found before, what is not known yet. */
static void keep_unknown(struct casting *c)
{
	size_t keep = 0;
	for (size_t i = 0; i < c->groups.n; i++)
		c->groups.at[i].n = 0;
	for (size_t i = 0; i < c->found.n; i++) {
		struct found f = c->found.at[i];
		struct typed at = typing_of(c->s->g, f.id);
		if (at.type && at.rank > RANK_TEXT)
			continue;
		c->groups.at[f.group].n++;
		c->found.at[keep++] = f;
	}
	c->found.n = keep;
}

/* All typed memory is asked once, then what is typed since; all again where there was no room for what it said. */
static bool find_blocks(struct casting *c)
{
	struct spread *s = c->s;
	if (c->cut) {
		c->found.n = c->outside = 0;
		c->asked = c->cut = false;
		spread_all_fresh(s);
	}
	keep_unknown(c);
	s->asks = ask;
	s->asks_ctx = c;
	s->outside_head = c->outside;
	spread_again(s, c->wanted);
	bool ok = c->asked ? spread_run(s) : spread_roots(s);
	c->asked = true;
	c->outside = s->outside.n;
	s->asks = NULL;
	return ok;
}

/* Which type */

bool spread_is_text(struct spread *s, uint64_t address, uint64_t n)
{
	uint8_t raw[16];
	uint64_t k = n < sizeof raw ? n : sizeof raw, i = 0, first;
	unsigned plain = 0;
	if (!image_read(s->img, address, raw, k))
		return false;
	for (; i < k && (raw[i] >= 0x80 || (raw[i] >= ' ' && raw[i] != 0x7f) || raw[i] == '\n' || raw[i] == '\t'); i++)
		plain += raw[i] < 0x80;
	/* Where memory is mapped decides whether all bytes of an address could be letters. */
	if (i <= s->word && i + 3 > s->word && spread_word(s, address, &first) && points_somewhere(s, first))
		return false;
	return plain * 2 >= i && i && (i == k || !raw[i]);
}

/* Of what a size says: nothing where a chunk has room for any small object. */
static double size_says(const struct spread *s, const struct fit *fit, uint64_t size, uint64_t n)
{
	uint64_t granule = 1u << s->b->granule_shift;
	switch (fit->form) {
	case FORM_ONE:
		return n - size < granule ? 1.5 : fit->rank >= RANK_EXACT ? 0.7 : 0.4;
	case FORM_FLEXIBLE:
		return 0.8;
	case FORM_ARRAY:
	case FORM_POINTERS:
		return 0.4;
	case FORM_TAIL:
		break;
	}
	return 0;
}

struct verdict types_verdict(struct spread *s, uint32_t type, const block_id *ids, const uint32_t *base, unsigned n)
{
	const struct type *at = table_type(s->table, type);
	struct verdict v = { .exact = true, .empty = true, .whole = true };
	unsigned bad = 0;
	for (unsigned i = 0; i < n; i++) {
		uint64_t address = blocks_payload(s->b, ids[i]) + base[i], room = blocks_usable(s->b, ids[i]) - base[i];
		struct fit fit = fit_type(s, type, address, room);
		if (!fit.rank)
			return (struct verdict){ .score = -1 };
		if (at->kind == TYPE_CHAR) {
			v.score += spread_is_text(s, address, room) ? 1 : -1;
			v.exact = v.empty = false;
			continue;
		}
		enum shape shape = shape_of(s, type, address);
		bad += shape == SHAPE_BAD;
		v.empty &= shape != SHAPE_GOOD;
		v.exact &= fit.form == FORM_ONE && room - at->size < 1u << s->b->granule_shift;
		v.whole &= fit.form != FORM_TAIL;
		double agreement = at->kind == TYPE_STRUCT ? shape_agreement(s, type, address) : shape == SHAPE_GOOD ? 0.5 : 0;
		v.score += (agreement > 2 ? 2 : agreement < -2 ? -2 : agreement) + size_says(s, &fit, at->size, room);
	}
	/* Some may be used before they are set, most may not. */
	v.score = bad * 10 > n ? -1 : v.score / n;
	return v;
}

/* Of blocks from all over the group. */
static struct verdict judge(struct casting *c, const struct group *g, const struct candidate *a)
{
	block_id ids[SAMPLES];
	uint32_t base[SAMPLES];
	unsigned samples = g->n < SAMPLES ? g->n : SAMPLES;
	for (unsigned i = 0; i < samples; i++) {
		const struct found *f = &c->found.at[g->first + spread_sample(i, SAMPLES, g->n)];
		ids[i] = f->id;
		base[i] = f->base;
	}
	return types_verdict(c->s, a->type, ids, base, samples);
}

/* What code says counts among those that it may be at all. */
static bool is_enough(const struct verdict *v, double share, double weight)
{
	if (!v->empty)
		return v->score + share >= (v->exact ? 0.8 : 1.0);
	return share >= (v->exact ? 0.6 : 0.8) && weight >= (v->exact ? 0.05 : 0.5) && v->score + share >= 1;
}

/* Characters with a sign and those without are no rivals. */
static bool same_kind(const struct casting *c, const struct place *p, unsigned a, unsigned b)
{
	const struct type_table *t = c->s->table;
	return table_type(t, c->candidates.at[p->first + a].type)->kind == TYPE_CHAR && table_type(t, c->candidates.at[p->first + b].type)->kind == TYPE_CHAR;
}

static const struct candidate *decide(struct casting *c, const struct group *g, double margin)
{
	const struct place *p = &c->places.at[g->place];
	struct verdict v[MOST_CANDIDATES];
	unsigned best = p->n;
	double possible = 0, most = 0, second = 0;
	for (unsigned i = 0; i < p->n; i++) {
		v[i] = judge(c, g, &c->candidates.at[p->first + i]);
		if (v[i].score >= 0)
			possible += c->candidates.at[p->first + i].weight;
	}
	for (unsigned i = 0; i < p->n && possible > 0; i++) {
		double x = v[i].score < 0 ? 0 : v[i].score + c->candidates.at[p->first + i].weight / possible;
		bool same = best < p->n && same_kind(c, p, best, i);
		if (x > most) {
			second = same ? second : most;
			most = x;
			best = i;
		} else if (x > second && !same) {
			second = x;
		}
	}
	const struct candidate *a = best < p->n ? &c->candidates.at[p->first + best] : NULL;
	return a && most - second >= margin && is_enough(&v[best], a->weight / possible, a->weight) ? a : NULL;
}

static void name_block(struct casting *c, const struct found *f, const struct candidate *a)
{
	struct spread *s = c->s;
	struct parent by = { 0 };
	uint64_t address = blocks_payload(s->b, f->id) + f->base, usable = blocks_usable(s->b, f->id) - f->base, index;
	struct fit fit = fit_type(s, a->type, address, usable);
	enum type_kind kind = table_type(s->table, a->type)->kind;
	if (!fit.rank || (kind != TYPE_CHAR && shape_of(s, a->type, address) == SHAPE_BAD) || (typing_of(s->g, f->id).type && typing_of(s->g, f->id).rank > RANK_TEXT))
		return;
	uint8_t rank = kind == TYPE_CHAR || kind == TYPE_NUMBER ? fit.rank : fit.rank >= RANK_EXACT ? RANK_CAST : RANK_LOOSE_CAST;
	if (map64_find(&c->by_block, f->id, &index))
		by = c->pointers.at[index];
	s->from = by.from;
	c->named++;
	spread_offer(s, f->id, a->type, f->base, rank, TYPED_CAST, by.word, false);
	if (s->asked == f->id && s->evidence && typing_of(s->g, f->id).type == a->type)
		s->evidence->places = a->places;
}

static int by_size(const void *a, const void *b, void *ctx)
{
	const struct casting *c = ctx;
	const struct group *x = &c->groups.at[*(const uint32_t *)a], *y = &c->groups.at[*(const uint32_t *)b];
	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

/* What was found, group by group, without a second list: each is put where its group goes on, until none is elsewhere. */
static void part(struct casting *c)
{
	size_t first = 0;
	for (size_t i = 0; i < c->groups.n; i++) {
		c->groups.at[i].first = c->groups.at[i].next = first;
		first += c->groups.at[i].n;
	}
	for (size_t i = 0; i < c->groups.n; i++) {
		struct group *g = &c->groups.at[i];
		while (g->next < g->first + g->n) {
			struct found *at = &c->found.at[g->next], f = *at;
			size_t *to = &c->groups.at[f.group].next;
			*at = c->found.at[*to];
			c->found.at[(*to)++] = f;
		}
	}
}

static bool name_groups(struct casting *c, double margin)
{
	AUTO_FREE uint32_t *order = malloc((c->groups.n + 1) * sizeof *order);
	bool ok = order;
	part(c);
	for (uint32_t i = 0; ok && i < c->groups.n; i++)
		order[i] = i;
	if (ok)
		sort_many(order, c->groups.n, sizeof *order, by_size, c);
	for (size_t i = 0; ok && i < c->groups.n && !interrupted && !c->s->nomem; i++) {
		const struct group *g = &c->groups.at[order[i]];
		const struct candidate *a = g->n ? decide(c, g, margin) : NULL;
		for (size_t k = 0; a && k < g->n; k++)
			name_block(c, &c->found.at[g->first + k], a);
		ok = !a || spread_run(c->s);
	}
	return ok && !interrupted && !c->s->nomem;
}

static void close_casting(struct casting *c)
{
	free(c->wanted);
	vec_free(&c->places);
	vec_free(&c->candidates);
	vec_free(&c->groups);
	vec_free(&c->found);
	vec_free(&c->pointers);
	map64_free(&c->by_block);
	map64_free(&c->by_leaf);
	map64_free(&c->by_deep);
	map64_free(&c->by_root);
	map64_free(&c->by_key);
}

static bool run_rounds(struct casting *c)
{
	static const double margins[ROUNDS] = { 1, 0.5, 0.25, 0.25, 0.25, 0.25 };
	bool ok = true;
	for (int i = 0; i < ROUNDS && ok; i++) {
		c->named = 0;
		ok = find_blocks(c) && name_groups(c, margins[i]) && (!c->named || (spread_families(c->s) && spread_variants(c->s)));
		/* Little is new. */
		if (!c->found.n || (i > 2 && c->named <= c->s->b->n / 10000))
			break;
	}
	return ok;
}

bool spread_casts(struct spread *s)
{
	struct casting c = { .s = s };
	/* Where no code can be read there are no casts. */
	AUTO_ERR struct err *e = modules_casts(s->t->priv->ms, &c.casts);
	s->g->casts = e ? NULL : c.casts;
	if (e || !c.casts->list.n)
		return !interrupted;
	c.wanted = calloc(s->table->types.n + 1, sizeof *c.wanted);
	find_places(&c);
	find_wanted(&c);
	bool ok = c.wanted && !s->nomem && run_rounds(&c);
	close_casting(&c);
	return ok && !s->nomem && !interrupted;
}

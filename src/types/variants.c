/* Values that say what they hold, where arms.c says nothing: pointers to a header (its kinds differ in what stands beside the pointer,
 * not in the header), unions whose members are called as an enumeration's values are, and structs in memory that nothing names. Which
 * member says it, and what its values mean, is told by names, by blocks that are known otherwise, by sizes, and by where the blocks
 * hold pointers: the member whose values part the blocks best is the one. What it means holds for all structs of the kind, however
 * deep they lie in each other, and for what looks like one in a stack or an arena of the program's own. */
#include "typing.h"

enum { MOST_CHOICES = 24, MOST_VALUES = 48, MOST_OPTIONS = 8, MOST_FOUND = 4 << 20, MOST_LOOKED_AT = 1 << 16, SAMPLES = 48, MOST_BODY = 64, ROUNDS = 4,
       LEAST_KNOWN = 3, SURE_OF = 16, MANY_BAD = 8 };
static const uint64_t MOST_WORDS = 1ull << 28;
static const double SURE = 1.5;

struct choice { uint32_t type; const char *member; };
struct found {
	block_id id;
	uint32_t variant, base, known; /* known: its type, when that is certain */
	uint64_t word;
	struct source from;
};
struct telling { /* a member of the struct, and what its values mean */
	const struct type_member *member; /* NULL: none is asked */
	uint64_t values[MOST_VALUES];
	uint32_t types[MOST_VALUES], counts[MOST_VALUES];
	unsigned n;
	double weight;
};
struct variant { /* pointers at an offset of a struct, within a union */
	uint32_t type, offset;
	struct choice choices[MOST_CHOICES];
	unsigned n;
	bool met;		/* its choices are known: of most unions nobody asks */
	size_t first, n_found;	/* of found, once they are sorted */
	struct telling told;
};
struct variants {
	struct spread *s;
	uint64_t words;		/* of memory without a type that were looked at */
	VEC(struct variant) list;
	struct map64 by_leaf, by_place;
	bool *wanted;		/* by type: there may be such unions in its blocks */
	VEC(struct found) found;
	uint64_t named;
};

/* Which unions */

/* The innermost struct around a word of a type. */
static uint32_t around(const struct type_table *t, uint32_t type, uint32_t offset, uint32_t *ret_offset)
{
	const struct type *at = table_type(t, type);
	uint32_t best = type;
	*ret_offset = offset;
	for (uint32_t i = 0; i < at->n_parts; i++) {
		const struct type_part *p = &t->parts.at[at->first_part + i];
		const struct type *part = table_type(t, p->type);
		if (part->kind == TYPE_STRUCT && p->offset <= offset && offset - p->offset < part->size && part->size < table_type(t, best)->size) {
			best = p->type;
			*ret_offset = offset - p->offset;
		}
	}
	return best;
}

static void add_choice(struct variant *v, uint32_t type, const char *member)
{
	for (unsigned i = 0; i < v->n; i++)
		if (v->choices[i].type == type)
			return;
	if (v->n < MOST_CHOICES)
		v->choices[v->n++] = (struct choice){ type, member };
}

/* A header is none of the choices, its kinds are. */
static void add_target(const struct type_table *t, struct variant *v, uint32_t target, const char *member)
{
	const struct type *at = table_type(t, target);
	if (at->kind == TYPE_VOID || at->kind == TYPE_CODE || at->kind == TYPE_INCOMPLETE || at->kind == TYPE_ARRAY)
		return;
	if (!at->header) {
		add_choice(v, target, member);
		return;
	}
	for (uint32_t id = 1; id < t->types.n && v->n < MOST_CHOICES; id++)
		if (types_is_kind(t, id, target))
			add_choice(v, id, table_type(t, id)->name);
}

/* The pointer at an offset of a union's member; 0: there is none. */
static uint32_t pointer_at(const struct type_table *t, const struct type_member *m, uint32_t offset)
{
	const struct type *at = table_type(t, m->type);
	if (at->kind == TYPE_POINTER)
		return m->offset == offset ? at->target : 0;
	for (uint32_t i = 0; type_is_struct(at) && i < at->n_leaves; i++)
		if (m->offset + t->leaves.at[at->first_leaf + i].offset == offset)
			return t->leaves.at[at->first_leaf + i].target;
	return 0;
}

static void add_union(const struct type_table *t, struct variant *v, uint32_t type, uint32_t offset)
{
	const struct type *at = table_type(t, type);
	for (uint32_t i = 0; i < at->n_members; i++) {
		const struct type_member *m = &t->members.at[at->first_member + i];
		uint32_t target = pointer_at(t, m, offset);
		if (target)
			add_target(t, v, target, m->name);
	}
}

static void add_choices(const struct type_table *t, struct variant *v)
{
	const struct type *at = table_type(t, v->type);
	if (at->kind == TYPE_UNION)
		add_union(t, v, v->type, v->offset);
	for (uint32_t i = 0; at->kind == TYPE_STRUCT && i < at->n_members; i++) {
		const struct type_member *m = &t->members.at[at->first_member + i];
		if (table_type(t, m->type)->kind == TYPE_UNION && m->offset <= v->offset && v->offset - m->offset < m->bytes)
			add_union(t, v, m->type, v->offset - m->offset);
	}
}

static void add_leaf(struct variants *vs, uint32_t type, uint32_t leaf)
{
	const struct type_table *t = vs->s->table;
	struct variant v = { 0 }, *slot;
	uint64_t index;
	v.type = around(t, type, t->leaves.at[leaf].offset, &v.offset);
	uint64_t key = (uint64_t)v.type << 32 | v.offset;
	if (!map64_find(&vs->by_place, key, &index)) {
		slot = vec_push(&vs->list);
		vs->s->nomem |= !slot;
		if (!slot)
			return;
		*slot = v;
		index = vs->list.n - 1;
		vs->s->nomem |= !map64_put(&vs->by_place, key, index);
	}
	vs->s->nomem |= !map64_put(&vs->by_leaf, leaf, index);
}

/* Of the pointers at one place of a union the first that is followed speaks for all. */
static void find_variants(struct variants *vs)
{
	const struct type_table *t = vs->s->table;
	for (uint32_t type = 1; type < t->types.n && !vs->s->nomem && !interrupted; type++) {
		const struct type *at = table_type(t, type);
		uint32_t done = NO_OFFSET;
		for (uint32_t i = 0; type_is_struct(at) && i < at->n_leaves; i++) {
			const struct type_leaf *l = &t->leaves.at[at->first_leaf + i];
			if (!l->weak || l->count != 1 || l->offset == done || table_type(t, l->target)->kind == TYPE_CHAR)
				continue;
			done = l->offset;
			add_leaf(vs, type, at->first_leaf + i);
		}
	}
}

static void find_wanted(struct variants *vs)
{
	const struct type_table *t = vs->s->table;
	uint64_t index;
	vs->wanted = calloc(t->types.n, sizeof *vs->wanted);
	vs->s->nomem |= !vs->wanted;
	for (uint32_t type = 1; vs->wanted && type < t->types.n; type++) {
		const struct type *at = table_type(t, type);
		for (uint64_t i = at->first_leaf; type_is_struct(at) && i < (uint64_t)at->first_leaf + at->n_leaves; i++)
			vs->wanted[type] |= map64_find(&vs->by_leaf, i, &index);
	}
	for (uint32_t type = 1; vs->wanted && type < t->types.n; type++)
		vs->wanted[type] |= table_type(t, type)->flexible != NO_OFFSET && vs->wanted[table_type(t, type)->element];
}

/* Which blocks */

/* What nothing better says. */
static bool is_open(const struct spread *s, const struct typed *at)
{
	return !at->type || at->rank <= RANK_TEXT || at->by == TYPED_VARIANT || (at->rank < RANK_FAMILY && table_type(s->table, at->type)->header);
}

static void ask(void *ctx, struct spread *s, uint64_t pointer, const struct type_leaf *l, uint64_t word)
{
	struct variants *vs = ctx;
	uint64_t index;
	if (!pointer || !word || !l->weak || l < s->table->leaves.at || l >= s->table->leaves.at + s->table->leaves.n ||
	    !map64_find(&vs->by_leaf, (uint64_t)(l - s->table->leaves.at), &index))
		return;
	block_id id = blocks_at(s->b, pointer);
	if (id == BLOCK_NONE || !block_state_is_used(blocks_state(s->b, id)) || vs->found.n >= MOST_FOUND)
		return;
	struct variant *v = &vs->list.at[index];
	if (!v->met)
		add_choices(s->table, v);
	v->met = true;
	if (!v->n)
		return;
	uint64_t base = pointer - blocks_payload(s->b, id);
	if (pointer < blocks_payload(s->b, id) || base >= blocks_usable(s->b, id) || base % s->word ||
	    (base && (base / s->word > MOST_PREFIX_WORDS || s->g->prefix_hits[base / s->word] < ADOPT_PREFIX)))
		return;
	struct typed at = typing_of(s->g, id);
	bool open = is_open(s, &at);
	struct found *f = vec_push(&vs->found);
	s->nomem |= !f;
	if (f)
		*f = (struct found){ id, (uint32_t)index, (uint32_t)base, open ? 0 : at.type, word, s->from };
}

static int by_variant(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	if (x->variant != y->variant)
		return x->variant < y->variant ? -1 : 1;
	return x->word < y->word ? -1 : x->word > y->word;
}

static bool find_blocks(struct variants *vs)
{
	struct spread *s = vs->s;
	vs->found.n = 0;
	s->asks = ask;
	s->asks_ctx = vs;
	spread_all_fresh(s);
	spread_again(s, vs->wanted);
	s->outside_head = 0;
	bool ok = spread_roots(s);
	s->asks = NULL;
	if (vs->found.n)
		qsort(vs->found.at, vs->found.n, sizeof *vs->found.at, by_variant);
	for (size_t i = 0; i < vs->list.n; i++)
		vs->list.at[i].n_found = 0;
	for (size_t i = vs->found.n; i-- > 0;) {
		vs->list.at[vs->found.at[i].variant].first = i;
		vs->list.at[vs->found.at[i].variant].n_found++;
	}
	return ok;
}

/* Which type */

static bool has_pointer(const struct type_table *t, uint32_t type, uint64_t offset)
{
	const struct type *at = table_type(t, type);
	if (at->kind == TYPE_POINTER)
		return !offset;
	for (uint32_t i = 0; i < at->n_leaves; i++) {
		const struct type_leaf *l = &t->leaves.at[at->first_leaf + i];
		if (offset >= l->offset && (offset - l->offset) % (l->stride ? l->stride : 1) == 0 && (offset - l->offset) / (l->stride ? l->stride : 1) < l->count)
			return true;
	}
	return false;
}

struct opinion { double score; unsigned good, bad; /* pointers where the type has some, and elsewhere */ };

/* Whether the type has pointers where the block holds some. */
static void explain(struct spread *s, uint32_t type, block_id id, uint32_t base, struct opinion *o)
{
	const struct type *at = table_type(s->table, type);
	uint64_t address = blocks_payload(s->b, id) + base, n = blocks_usable(s->b, id) - base, v;
	uint64_t begin = at->flexible != NO_OFFSET && type_is_struct(at) ? at->flexible : 0, element = begin ? at->element : type;
	uint64_t size = table_type(s->table, (uint32_t)element)->size;
	for (uint64_t i = 0; i < MOST_BODY && (i + 1) * s->word <= n; i++) {
		uint64_t offset = i * s->word;
		if (!spread_word(s, address + offset, &v) || v < 4096)
			continue;
		block_id to = blocks_at(s->b, v);
		if (to == BLOCK_NONE || blocks_payload(s->b, to) != v)
			continue;
		bool behind = offset >= begin && size;
		if (has_pointer(s->table, behind ? (uint32_t)element : type, behind ? (offset - begin) % size : offset))
			o->good++;
		else
			o->bad++;
	}
}

/* Characters without end: a text. */
static double reads(struct spread *s, uint32_t type, block_id id, uint32_t base)
{
	const struct type *at = table_type(s->table, type);
	uint64_t payload = blocks_payload(s->b, id), usable = blocks_usable(s->b, id) - base;
	if (!type_is_struct(at) || at->flexible == NO_OFFSET || at->flexible >= usable || table_type(s->table, at->element)->kind != TYPE_CHAR)
		return 0;
	return spread_is_text(s, payload + base + at->flexible, usable - at->flexible) ? 1 : -0.5;
}

/* Room that is not used yet holds what was there before: some pointers may stand where the type has none. */
static struct opinion judge(struct spread *s, uint32_t type, const block_id *ids, const uint32_t *base, unsigned n)
{
	struct opinion o = { .score = types_verdict(s, type, ids, base, n).score };
	double text = 0;
	for (unsigned i = 0; i < n && o.score > -1; i++) {
		explain(s, type, ids[i], base[i], &o);
		text += reads(s, type, ids[i], base[i]);
	}
	if (o.score > -1)
		o.score += text / n + (o.good + o.bad ? 1 - 3.0 * o.bad / (o.good + o.bad) : 0);
	return o;
}

/* A member's value where such a pointer stands. */
static bool value_at(struct spread *s, const struct variant *v, const struct type_member *m, uint64_t word, uint64_t *ret)
{
	uint8_t raw[8] = { 0 };
	if (!m) {
		*ret = 0;
		return true;
	}
	if (!image_read(s->img, word - v->offset + m->offset, raw, m->bytes))
		return false;
	*ret = 0;
	for (uint32_t i = 0; i < m->bytes; i++)
		*ret |= (uint64_t)raw[s->big ? m->bytes - 1 - i : i] << 8 * i;
	return true;
}

static unsigned value_of(struct telling *t, uint64_t value)
{
	unsigned i = 0;
	while (i < t->n && t->values[i] != value)
		i++;
	if (i == t->n && t->n < MOST_VALUES)
		t->values[t->n++] = value;
	return i;
}

/* The type of the most that are known otherwise, when nearly all are of it. */
static uint32_t known_type(const struct variant *v, const unsigned *of)
{
	unsigned all = 0, best = 0;
	for (unsigned i = 0; i < v->n; i++) {
		all += of[i];
		best = of[i] > of[best] ? i : best;
	}
	return all >= LEAST_KNOWN && of[best] * 10 >= all * 9 ? v->choices[best].type : 0;
}

static uint32_t called(struct spread *s, const struct variant *v, const struct type_member *m, uint64_t value)
{
	const char *names[MOST_CHOICES] = { NULL };
	if (!m)
		return 0;
	for (unsigned i = 0; i < v->n; i++)
		names[i] = v->choices[i].member;
	int i = types_called(s->table, table_type(s->table, m->type), value, names, v->n);
	return i < 0 ? 0 : v->choices[i].type;
}

/* One value of the member. */
static uint32_t decide(struct variants *vs, const struct variant *v, const struct telling *t, uint64_t value, double *ret_weight)
{
	struct spread *s = vs->s;
	block_id ids[SAMPLES];
	uint32_t base[SAMPLES];
	unsigned known[MOST_CHOICES] = { 0 }, n = 0, best = 0;
	struct opinion most = { .score = -1 }, second = most;
	uint64_t is;
	*ret_weight = 0;
	/* In an order that has nothing to do with where they are: the multiplier is a prime. */
	for (uint64_t i = 0; i < v->n_found && i < MOST_LOOKED_AT && n < SAMPLES; i++) {
		const struct found *f = &vs->found.at[v->first + i * 2654435761u % v->n_found];
		if (!value_at(s, v, t->member, f->word, &is) || is != value)
			continue;
		for (unsigned k = 0; k < v->n && f->known; k++)
			known[k] += types_alike(s->table, v->choices[k].type, f->known);
		if (f->known)
			continue;
		ids[n] = f->id;
		base[n++] = f->base;
	}
	uint32_t type = known_type(v, known);
	if (!type)
		type = called(s, v, t->member, value);
	if (type || !n) {
		*ret_weight = type ? 2 : 0;
		return n && type && types_verdict(s, type, ids, base, n).score <= -1 ? 0 : type;
	}
	for (unsigned i = 0; i < v->n; i++) {
		struct opinion o = judge(s, v->choices[i].type, ids, base, n);
		if (o.score > most.score) {
			second = most;
			most = o;
			best = i;
		} else if (o.score > second.score) {
			second = o;
		}
	}
	/* What stands once may mean anything. */
	*ret_weight = n > 1 ? most.score - (second.score > 0 ? second.score : 0) : 0;
	bool plain = *ret_weight >= 0.3 || (*ret_weight > 0 && second.bad >= 2 * most.bad + MANY_BAD);
	return most.score >= 0.7 && plain ? v->choices[best].type : 0;
}

/* What each value means, and how plain that is. */
static void tell(struct variants *vs, const struct variant *v, struct telling *t)
{
	size_t step = v->n_found / 4096 + 1, looked = 0;
	uint64_t is;
	for (size_t i = 0; i < v->n_found; i += step) {
		if (!value_at(vs->s, v, t->member, vs->found.at[v->first + i].word, &is))
			continue;
		unsigned k = value_of(t, is);
		if (k == MOST_VALUES) {
			t->n = 0;
			return;
		}
		t->counts[k]++;
		looked++;
	}
	for (unsigned i = 0; i < t->n; i++) {
		double weight;
		t->types[i] = decide(vs, v, t, t->values[i], &weight);
		t->weight += t->types[i] ? weight * t->counts[i] / (double)looked : 0;
	}
	/* Many values part anything. */
	t->weight *= looked ? 1 - (double)t->n / (double)(looked + t->n) : 0;
}

static void choose(struct variants *vs, const struct variant *v, struct telling *ret)
{
	const struct type *at = table_type(vs->s->table, v->type);
	const struct type_member *before = ret->member;
	unsigned options = 0;
	*ret = (struct telling){ 0 };
	/* Of several kinds none is meant by all pointers alike: what looks so is a mixture of them. */
	if (v->n == 1)
		tell(vs, v, ret);
	for (uint32_t i = 0; at->kind == TYPE_STRUCT && i < at->n_members && options < MOST_OPTIONS; i++) {
		const struct type_member *m = &vs->s->table->members.at[at->first_member + i];
		enum type_kind kind = table_type(vs->s->table, m->type)->kind;
		/* What once told is not taken for another's accident. */
		if ((before && m != before) || m->weak || m->bits || !m->bytes || m->bytes > 4 || (kind != TYPE_CHAR && kind != TYPE_NUMBER))
			continue;
		struct telling t = { .member = m };
		options++;
		tell(vs, v, &t);
		if (t.weight > ret->weight)
			*ret = t;
	}
}

static uint32_t type_told(struct spread *s, const struct variant *v, uint64_t word)
{
	uint64_t is;
	if (!value_at(s, v, v->told.member, word, &is))
		return 0;
	for (unsigned i = 0; i < v->told.n; i++)
		if (v->told.values[i] == is)
			return v->told.types[i];
	return 0;
}

static bool name(struct spread *s, block_id id, uint64_t base, uint32_t type, uint64_t word, uint8_t most)
{
	uint64_t address = blocks_payload(s->b, id) + base, usable = blocks_usable(s->b, id) - base;
	struct fit fit = fit_type(s, type, address, usable);
	if (!fit.rank || (table_type(s->table, type)->kind != TYPE_CHAR && shape_of(s, type, address) == SHAPE_BAD))
		return false;
	spread_offer(s, id, type, base, fit.rank < most ? fit.rank : most, TYPED_VARIANT, word, false);
	return true;
}

/* What one value means holds for all structs of the kind: blocks that come to be known later are followed at once. */
bool spread_told(struct spread *s, block_id id, const struct type_leaf *l, uint64_t word)
{
	uint64_t index;
	if (!s->variants || !word || !map64_find(&s->variants->by_leaf, (uint64_t)(l - s->table->leaves.at), &index))
		return false;
	struct typed at = typing_of(s->g, id);
	uint32_t type = is_open(s, &at) ? type_told(s, &s->variants->list.at[index], word) : 0;
	if (!type || !name(s, id, 0, type, word, RANK_FAMILY))
		return false;
	s->variants->named++;
	return true;
}

static bool name_blocks(struct variants *vs)
{
	for (size_t i = 0; i < vs->list.n && !interrupted && !vs->s->nomem; i++) {
		struct variant *v = &vs->list.at[i];
		if (!v->n_found)
			continue;
		choose(vs, v, &v->told);
		for (size_t k = 0; k < v->n_found && v->told.n; k++) {
			const struct found *f = &vs->found.at[v->first + k];
			uint32_t type = f->known ? 0 : type_told(vs->s, v, f->word);
			vs->s->from = f->from;
			vs->named += type && name(vs->s, f->id, f->base, type, f->word, RANK_FAMILY);
		}
	}
	return spread_run(vs->s);
}

/* Memory that nothing names: stacks and arenas of the program's own */

/* Its values mean several things, each seen often. */
static bool is_sure(const struct variant *v)
{
	unsigned n = 0;
	for (unsigned i = 0; i < v->told.n; i++)
		n += v->told.types[i] && v->told.counts[i] >= SURE_OF;
	return v->told.member && n > 1;
}

static bool is_plain(struct spread *s, block_id id)
{
	struct typed at = typing_of(s->g, id);
	return block_state_is_used(blocks_state(s->b, id)) && (!at.type || at.rank <= RANK_NUMBERS);
}

/* The struct that is known best: beside a pointer to a block that may be what a value there says. */
static void look(struct variants *vs, const struct variant *v, block_id in, uint64_t payload, uint64_t usable)
{
	struct spread *s = vs->s;
	uint64_t size = table_type(s->table, v->type)->size, pointer;
	for (uint64_t at = 0; at + size <= usable && ++vs->words < MOST_WORDS && !interrupted; at += s->word) {
		uint64_t word = payload + at + v->offset;
		if (!spread_word(s, word, &pointer) || pointer < 4096)
			continue;
		block_id id = blocks_at(s->b, pointer);
		if (id == BLOCK_NONE || id == in || blocks_payload(s->b, id) != pointer || !is_plain(s, id) || typing_of(s->g, id).type)
			continue;
		static const uint32_t start = 0;
		uint32_t type = type_told(s, v, word);
		const struct type *is = table_type(s->table, type);
		if (!type || !type_is_struct(is) || judge(s, type, &id, &start, 1).score < SURE)
			continue;
		s->from = (struct source){ in, FROM_BLOCK };
		vs->named += name(s, id, 0, type, word, RANK_CAST);
	}
}

static bool look_around(struct variants *vs)
{
	struct spread *s = vs->s;
	size_t sure = 0;
	for (size_t i = 0; i < vs->list.n; i++)
		sure += is_sure(&vs->list.at[i]);
	for (block_id id = 0; sure && id < s->b->n && !interrupted; id++)
		for (size_t i = 0; i < vs->list.n && is_plain(s, id); i++)
			if (is_sure(&vs->list.at[i]))
				look(vs, &vs->list.at[i], id, blocks_payload(s->b, id), blocks_usable(s->b, id));
	return spread_run(s);
}

void variants_free(struct variants *vs)
{
	if (!vs)
		return;
	vec_free(&vs->list);
	vec_free(&vs->found);
	map64_free(&vs->by_leaf);
	map64_free(&vs->by_place);
	free(vs->wanted);
	free(vs);
}

bool spread_variants(struct spread *s)
{
	struct variants *vs = s->variants;
	bool ok = true;
	if (!vs) {
		vs = s->variants = calloc(1, sizeof *vs);
		if (!vs)
			return false;
		vs->s = s;
		find_variants(vs);
		find_wanted(vs);
	}
	for (int i = 0; i < ROUNDS && ok && !s->nomem && vs->by_leaf.n; i++) {
		vs->named = 0;
		ok = find_blocks(vs) && name_blocks(vs) && look_around(vs) && (!vs->named || spread_families(s));
		if (!vs->named)
			break;
	}
	/* Casts ask what was typed since they asked last, and this took its notes. */
	spread_all_fresh(s);
	return ok && !s->nomem && !interrupted;
}

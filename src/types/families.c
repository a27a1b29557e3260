/* Headers: a pointer to a struct that others begin with says that a block is one of them, not which. A member of the header tells
 * them apart: the one whose value and the blocks' sizes go together best. What a value means is learned from blocks that are
 * known otherwise, else from what fits the sizes and leads somewhere. */
#include "typing.h"

#include <ctype.h>
#include <math.h>

enum { MOST_VALUES = 64, MOST_SIZES = 64, MOST_KINDS = 64, MOST_LOOKED_AT = 2048, MOST_HEADERS = 256, LEAST_BLOCKS = 4, SURE_OF = 64, MOST_ROUNDS = 24, LEARN_FROM = 3, LEARN_MANY = 16,
       MOST_ENUMERATORS = 256 };

/* What all names begin and end with: of kinds, and of an enumeration's values. */
struct affixes { const char *first; size_t before, behind; bool many; };
struct calling { struct affixes of_kinds, of_values; };

struct family {
	uint32_t header;
	VEC(block_id) blocks;
	uint32_t kinds[MOST_KINDS]; /* larger structs that begin so */
	unsigned n_kinds;
	uint32_t offset, bytes;	/* of the member that tells them apart; bytes 0: none does */
	uint32_t values;	/* its enumeration, whose values are called like the kinds; 0: it is none */
	struct calling calling;
};

static bool same_beginning(const struct type_table *t, const struct type *of, const struct type *header)
{
	for (uint32_t i = 0; i < header->n_members; i++) {
		const struct type_member *a = &t->members.at[header->first_member + i], *b = &t->members.at[of->first_member + i];
		if (a->offset != b->offset || a->type != b->type || !a->name != !b->name || (a->name && strcmp(a->name, b->name) != 0))
			return false;
	}
	return true;
}

bool types_is_kind(const struct type_table *t, uint32_t id, uint32_t header)
{
	const struct type *of = table_type(t, id), *h = table_type(t, header);
	if (id == header || of->kind != TYPE_STRUCT || of->size < h->size || (of->size == h->size && of->flexible == NO_OFFSET && of->n_members <= h->n_members))
		return false;
	for (uint32_t i = 0; i < of->n_parts; i++)
		if (!t->parts.at[of->first_part + i].offset && t->parts.at[of->first_part + i].type == header)
			return true;
	return of->n_members > h->n_members && same_beginning(t, of, h);
}

static void find_kinds(struct spread *s, struct family *f)
{
	for (uint32_t id = 1; id < s->table->types.n && f->n_kinds < MOST_KINDS; id++)
		if (types_is_kind(s->table, id, f->header))
			f->kinds[f->n_kinds++] = id;
}

bool spread_value(struct spread *s, uint64_t address, uint32_t bytes, uint64_t *ret)
{
	uint8_t raw[8] = { 0 };
	if (bytes > sizeof raw || !image_read(s->img, address, raw, bytes))
		return false;
	*ret = 0;
	for (uint32_t i = 0; i < bytes; i++)
		*ret |= (uint64_t)raw[s->big ? bytes - 1 - i : i] << 8 * i;
	return true;
}

/* The index of a value in a short list; n when the list is full. */
static unsigned index_of(uint64_t *list, unsigned *n, unsigned most, uint64_t v)
{
	unsigned i = 0;
	while (i < *n && list[i] != v)
		i++;
	if (i == *n && *n < most)
		list[(*n)++] = v;
	return i;
}

static uint64_t object_of(struct spread *s, block_id id)
{
	return spread_payload(s, id) + (uint64_t)typing_of(s->g, id).base * s->word;
}

/* Bits that the member's value says of the size of its block. */
static double information(struct spread *s, const struct family *f, const struct type_member *m)
{
	uint64_t values[MOST_VALUES], sizes[MOST_SIZES], v;
	static unsigned counts[MOST_VALUES][MOST_SIZES];
	unsigned n_values = 0, n_sizes = 0, of_value[MOST_VALUES] = { 0 }, of_size[MOST_SIZES] = { 0 }, n = 0;
	double bits = 0;
	memset(counts, 0, sizeof counts);
	for (size_t i = 0; i < f->blocks.n && i < MOST_LOOKED_AT; i++) {
		block_id id = f->blocks.at[spread_sample(i, MOST_LOOKED_AT, f->blocks.n)];
		if (!spread_value(s, object_of(s, id) + m->offset, m->bytes, &v))
			continue;
		unsigned a = index_of(values, &n_values, MOST_VALUES, v), b = index_of(sizes, &n_sizes, MOST_SIZES, spread_usable(s, id));
		/* A member of that many values is no kind. */
		if (a == MOST_VALUES)
			return 0;
		b = b == MOST_SIZES ? MOST_SIZES - 1 : b;
		counts[a][b]++;
		of_value[a]++;
		of_size[b]++;
		n++;
	}
	for (unsigned a = 0; a < n_values; a++)
		for (unsigned b = 0; b < n_sizes; b++)
			if (counts[a][b])
				bits += (double)counts[a][b] / n * log2((double)counts[a][b] * n / ((double)of_value[a] * of_size[b]));
	if (n_values < 2)
		return 0;
	/* Of few blocks any two things seem to go together (G. Miller, Note on the bias of information estimates, 1955). */
	return bits - (n_values - 1.0) * (n_sizes - 1.0) / (2 * n * log(2));
}

static void choose_member(struct spread *s, struct family *f)
{
	const struct type *h = table_type(s->table, f->header);
	double best = 0.05;
	for (uint32_t i = 0; i < h->n_members && i < MOST_KINDS; i++) {
		const struct type_member *m = &s->table->members.at[h->first_member + i];
		enum type_kind kind = table_type(s->table, m->type)->kind;
		/* A name, or what the program has a few of, may tell as a number does. */
		bool pointer = kind == TYPE_POINTER && table_type(s->table, table_type(s->table, m->type)->target)->kind == TYPE_CHAR;
		if (m->bits || (!pointer && ((kind != TYPE_CHAR && kind != TYPE_NUMBER) || m->bytes > 4)))
			continue;
		double bits = information(s, f, m) * (pointer ? 0.9 : 1);
		if (bits > best) {
			best = bits;
			f->offset = m->offset;
			f->bytes = m->bytes;
		}
	}
}

/* What no pointer has named yet may still be of the right size. */
static int fits_exactly(struct spread *s, block_id id, uint64_t pointer, uint32_t target)
{
	const struct type *at = table_type(s->table, target);
	uint64_t payload = spread_payload(s, id), usable = spread_usable(s, id), granule = 1u << s->b->granule_shift;
	if (pointer != payload || !type_is_struct(at) || !at->size || at->header || at->flexible != NO_OFFSET)
		return 0;
	return at->size <= usable && usable % at->size < granule ? 0 : -1;
}

/* Whether what a pointer leads to is what it says; 0: nobody knows. */
static int says_right(struct spread *s, uint64_t pointer, uint32_t target)
{
	block_id id = blocks_at(s->b, pointer);
	struct typed at = id == BLOCK_NONE ? (struct typed){ 0 } : typing_of(s->g, id);
	if (table_type(s->table, target)->kind == TYPE_CODE)
		return modules_at(s->t->priv->ms, pointer) ? 1 : -1;
	if (id == BLOCK_NONE)
		return spread_says_variable(s, pointer, target);
	if (!at.type || at.rank < RANK_ARRAY)
		return fits_exactly(s, id, pointer, target);
	if (!type_is_struct(table_type(s->table, target)) || pointer != object_of(s, id))
		return 0;
	if (types_alike(s->table, at.type, target) || types_begins_with(s->table, at.type, target) || types_is_kind(s->table, at.type, target))
		return 1;
	return -1;
}

static bool is_text(struct spread *s, uint64_t pointer)
{
	enum { LOOKED_AT = 16 };
	uint8_t c[LOOKED_AT];
	unsigned n = 0;
	if (!image_read(s->img, pointer, c, sizeof c))
		return false;
	while (n < LOOKED_AT && c[n] >= ' ' && c[n] != 0x7f)
		n++;
	return n && (n == LOOKED_AT || !c[n]);
}

/* Words that are numbers, one or some small ones, and hold the address of a block: so many speak against the type. */
unsigned shape_misplaced(struct spread *s, uint32_t type, uint64_t address)
{
	const struct type *at = table_type(s->table, type);
	unsigned n = 0;
	uint64_t v, word = UINT64_MAX, bytes = 0;
	for (uint32_t i = 0; i < at->n_members && i < MOST_KINDS; i++) {
		const struct type_member *m = &s->table->members.at[at->first_member + i];
		enum type_kind kind = table_type(s->table, m->type)->kind;
		if (m->offset / s->word != word) {
			word = m->offset / s->word;
			bytes = 0;
		}
		if (m->weak || m->bits || (kind != TYPE_NUMBER && kind != TYPE_CHAR))
			continue;
		bytes += m->bytes;
		if (bytes != s->word || !spread_word(s, address + word * s->word, &v))
			continue;
		block_id id = blocks_at(s->b, v);
		n += id != BLOCK_NONE && blocks_payload(s->b, id) == v;
	}
	return n;
}

/* What an object's members say for its being of a kind. */
double shape_agreement(struct spread *s, uint32_t kind, uint64_t address)
{
	const struct type *at = table_type(s->table, kind);
	double sum = -0.6 * shape_misplaced(s, kind, address);
	uint64_t v;
	for (uint32_t i = 0; i < at->n_leaves && i < MOST_KINDS; i++) {
		const struct type_leaf *l = &s->table->leaves.at[at->first_leaf + i];
		if (l->weak || !spread_word(s, address + l->offset, &v) || !v)
			continue;
		if (table_type(s->table, l->target)->kind == TYPE_CHAR)
			sum += !points_somewhere(s, v) ? -0.6 : is_text(s, v) ? 0.4 : 0.1;
		else
			sum += points_somewhere(s, v) ? 0.1 + 0.5 * says_right(s, v, l->target) : may_be_number(s->table, l, v) ? 0 : -0.6;
	}
	return sum;
}

/* How well a kind fits the blocks of one value: their sizes, and what its pointers lead to. A rest of a free chunk that stayed with
 * a block explains few of them. */
static double score(struct spread *s, uint32_t kind, const block_id *ids, size_t n)
{
	const struct type *at = table_type(s->table, kind);
	double sum = 0;
	size_t looked = 0, small = 0, flexible = 0;
	uint64_t usual = spread_usable(s, ids[n / 2]), alike = 0;
	for (size_t i = 0; i < n && i < MOST_LOOKED_AT; i++) {
		block_id id = ids[spread_sample(i, MOST_LOOKED_AT, n)];
		uint64_t address = object_of(s, id), usable = spread_usable(s, id) - (address - spread_payload(s, id));
		looked++;
		if (at->size > usable) {
			small++;
			continue;
		}
		bool exact = usable - at->size < 1u << s->b->granule_shift;
		alike += spread_usable(s, id) == usual;
		flexible += !exact && at->flexible != NO_OFFSET;
		sum += (exact ? 1.5 : 0) + shape_agreement(s, kind, address);
	}
	/* What may have any size has not always the same. */
	sum += (double)flexible * (looked >= LEARN_MANY && alike * 10 >= looked * 9 ? 0.3 : 1);
	/* Structs may be cut short, but rarely. */
	return !looked || small * 50 > looked ? 0 : sum / (double)looked;
}

/* Enumerations often have the names of the structs that they tell apart: JSON_INTEGER and json_integer_t, T_Query and Query. Compared
 * is what is left without what all of them begin and end with, without marks, and in small letters. */
static size_t shared_start(const char *a, const char *b, size_t most)
{
	size_t n = 0;
	while (n < most && a[n] && tolower((unsigned char)a[n]) == tolower((unsigned char)b[n]))
		n++;
	return n;
}

static size_t shared_end(const char *a, const char *b, size_t most)
{
	size_t n = 0, x = strlen(a), y = strlen(b);
	while (n < most && n < x && n < y && tolower((unsigned char)a[x - 1 - n]) == tolower((unsigned char)b[y - 1 - n]))
		n++;
	return n;
}

static void affix(struct affixes *a, const char *name)
{
	if (!name)
		return;
	a->many |= a->first != NULL;
	a->before = a->first ? shared_start(a->first, name, a->before) : strlen(name);
	a->behind = a->first ? shared_end(a->first, name, a->behind) : strlen(name);
	a->first = a->first ? a->first : name;
}

/* Affixes end at a mark: OBJ_STRING and OBJ_SET share no S. */
static void trim(struct affixes *a)
{
	const char *end = a->first ? a->first + strlen(a->first) : NULL;
	while (a->before && a->first[a->before - 1] != '_' && a->first[a->before - 1] != ':' &&
	       !(islower((unsigned char)a->first[a->before - 1]) && isupper((unsigned char)a->first[a->before])))
		a->before--;
	while (a->behind && end[-(ptrdiff_t)a->behind] != '_')
		a->behind--;
	if (!a->many)
		a->before = a->behind = 0;
}

static bool same_core(const char *x, const struct affixes *ax, const char *y, const struct affixes *ay)
{
	size_t n = strlen(x), m = strlen(y), i = ax->before, k = ay->before, letters = 0;
	n -= n < ax->behind ? n : ax->behind;
	m -= m < ay->behind ? m : ay->behind;
	for (;; i++, k++, letters++) {
		while (i < n && !isalnum((unsigned char)x[i]))
			i++;
		while (k < m && !isalnum((unsigned char)y[k]))
			k++;
		if (i >= n || k >= m)
			return i >= n && k >= m && letters;
		if (tolower((unsigned char)x[i]) != tolower((unsigned char)y[k]))
			return false;
	}
}

static struct calling affixes_of(struct spread *s, const struct family *f, const struct type *values)
{
	struct calling c = { 0 };
	for (unsigned i = 0; i < f->n_kinds; i++)
		affix(&c.of_kinds, table_type(s->table, f->kinds[i])->name);
	for (uint32_t i = 0; i < values->n_members && i < MOST_ENUMERATORS; i++)
		affix(&c.of_values, s->table->members.at[values->first_member + i].name);
	trim(&c.of_kinds);
	trim(&c.of_values);
	return c;
}

/* The kind that is called like a value of the enumeration; 0: none, or more than one. */
static uint32_t called(struct spread *s, const struct family *f, const struct calling *c, const struct type *values, uint64_t v)
{
	const char *name = NULL;
	uint32_t found = 0;
	for (uint32_t i = 0; i < values->n_members && i < MOST_ENUMERATORS && !name; i++)
		if (s->table->members.at[values->first_member + i].offset == v)
			name = s->table->members.at[values->first_member + i].name;
	for (unsigned i = 0; i < f->n_kinds && name; i++) {
		const char *kind = table_type(s->table, f->kinds[i])->name;
		if (!kind || !same_core(name, &c->of_values, kind, &c->of_kinds))
			continue;
		if (found && !types_alike(s->table, found, f->kinds[i]))
			return 0;
		found = f->kinds[i];
	}
	return found;
}

int types_called(const struct type_table *t, const struct type *values, uint64_t v, const char *const *names, unsigned n)
{
	struct calling c = { 0 };
	const char *name = NULL;
	unsigned pairs = 0;
	int found = -1;
	for (unsigned i = 0; i < n; i++)
		affix(&c.of_kinds, names[i]);
	for (uint32_t i = 0; i < values->n_members && i < MOST_ENUMERATORS; i++)
		affix(&c.of_values, t->members.at[values->first_member + i].name);
	trim(&c.of_kinds);
	trim(&c.of_values);
	for (uint32_t i = 0; i < values->n_members && i < MOST_ENUMERATORS; i++) {
		const struct type_member *m = &t->members.at[values->first_member + i];
		for (unsigned k = 0; k < n && m->name; k++)
			pairs += names[k] && same_core(m->name, &c.of_values, names[k], &c.of_kinds);
		name = m->offset == v && !name ? m->name : name;
	}
	for (unsigned k = 0; k < n && name && pairs > 1; k++)
		if (names[k] && same_core(name, &c.of_values, names[k], &c.of_kinds))
			found = found < 0 ? (int)k : -2;
	return found < 0 ? -1 : found;
}

/* An enumeration of which two values or more are called like kinds. */
static bool choose_enumeration(struct spread *s, struct family *f)
{
	const struct type *h = table_type(s->table, f->header);
	for (uint32_t i = 0; i < h->n_members && i < MOST_KINDS; i++) {
		const struct type_member *m = &s->table->members.at[h->first_member + i];
		const struct type *values = table_type(s->table, m->type);
		unsigned n = 0;
		if (m->bits || (values->kind != TYPE_CHAR && values->kind != TYPE_NUMBER))
			continue;
		struct calling c = affixes_of(s, f, values);
		for (uint32_t k = 0; k < values->n_members && k < MOST_ENUMERATORS && n < 2; k++)
			n += called(s, f, &c, values, s->table->members.at[values->first_member + k].offset) != 0;
		if (n < 2)
			continue;
		f->offset = m->offset;
		f->bytes = m->bytes;
		f->values = m->type;
		f->calling = c;
		return true;
	}
	return false;
}

struct learned { uint64_t value; uint32_t type; uint64_t n, others; };

/* By index into typing.kinds: it is one of the family's, and not by what this file says. */
static bool *known_kinds(struct spread *s, const struct family *f)
{
	bool *known = calloc(s->g->kinds.n + 1, sizeof *known);
	s->nomem |= !known;
	for (size_t k = 0; known && k < s->g->kinds.n; k++) {
		const struct typed *at = &s->g->kinds.at[k];
		for (unsigned i = 0; i < f->n_kinds && at->by != TYPED_FAMILY && at->by != TYPED_PREFIX && at->by != TYPED_UNION; i++)
			known[k] |= at->type == f->kinds[i];
	}
	return known;
}

/* What blocks that are known by a typed pointer of their own say of the value. */
static void learn(struct spread *s, const struct family *f, struct learned *l, unsigned *n_learned)
{
	AUTO_FREE bool *known = known_kinds(s, f);
	uint64_t v;
	for (block_id id = 0; known && id < s->b->n && !interrupted; id++) {
		if (!known[s->g->of[id]] || !spread_value(s, object_of(s, id) + f->offset, f->bytes, &v))
			continue;
		struct typed at = typing_of(s->g, id);
		unsigned i = 0;
		while (i < *n_learned && l[i].value != v)
			i++;
		if (i == *n_learned && i < MOST_VALUES)
			l[(*n_learned)++] = (struct learned){ v, at.type, 0, 0 };
		if (i < MOST_VALUES && l[i].type == at.type)
			l[i].n++;
		else if (i < MOST_VALUES)
			l[i].others++;
	}
}

static uint32_t decide(struct spread *s, const struct family *f, const struct learned *l, unsigned n_learned, uint64_t v, const block_id *ids, size_t n,
		       double margin)
{
	double best = 0, second = 0;
	uint32_t found = f->values ? called(s, f, &f->calling, table_type(s->table, f->values), v) : 0;
	if (found && score(s, found, ids, n) > 0)
		return found;
	found = 0;
	for (unsigned i = 0; i < n_learned; i++)
		if (l[i].value == v && l[i].n >= LEARN_FROM && l[i].others * 20 <= l[i].n && score(s, l[i].type, ids, n) > 0)
			return l[i].type;
	for (unsigned i = 0; i < f->n_kinds; i++) {
		double x = score(s, f->kinds[i], ids, n);
		if (x > best) {
			second = best;
			best = x;
			found = f->kinds[i];
		} else if (x > second) {
			second = x;
		}
	}
	return best - second >= margin ? found : 0;
}

/* Those that come first are what was looked for. */
static void swap_to(block_id *ids, size_t *n, size_t i)
{
	block_id id = ids[*n];
	ids[(*n)++] = ids[i];
	ids[i] = id;
}

static bool fits_tightly(struct spread *s, uint32_t type, block_id id)
{
	uint64_t usable = spread_usable(s, id) - (object_of(s, id) - spread_payload(s, id)), size = table_type(s->table, type)->size;
	return size <= usable && usable - size < 1u << s->b->granule_shift;
}

/* A kind that others begin with in turn is the next round's header, unless it is all of the block. */
static void name_all(struct spread *s, const block_id *ids, size_t n, uint32_t kind)
{
	for (size_t i = 0; kind && i < n; i++) {
		block_id id = ids[i];
		uint8_t rank = table_type(s->table, kind)->header && !fits_tightly(s, kind, id) ? RANK_KIND_HEADER : RANK_FAMILY;
		s->from = s->parents ? s->parents[id].from : (struct source){ 0, FROM_NOTHING };
		spread_offer(s, id, kind, (uint64_t)typing_of(s->g, id).base * s->word, rank, TYPED_FAMILY, s->parents ? s->parents[id].word : 0, false);
		s->named++;
	}
}

/* Blocks of one size of which no member tells the kind are of the one kind that has this size and leads somewhere. */
static void name_size(struct spread *s, const struct family *f, const block_id *ids, size_t n)
{
	uint32_t kind = 0;
	bool clear = !fits_tightly(s, f->header, ids[0]);
	for (unsigned i = 0; i < f->n_kinds && clear; i++) {
		bool tight = fits_tightly(s, f->kinds[i], ids[0]);
		double x = tight || table_type(s->table, f->kinds[i])->flexible != NO_OFFSET ? score(s, f->kinds[i], ids, n) : 0;
		if (x <= (tight ? 1.5 : 0))
			continue;
		clear = tight && (!kind || types_alike(s->table, kind, f->kinds[i]));
		kind = f->kinds[i];
	}
	name_all(s, ids, n, clear ? kind : 0);
}

/* Puts them in another order. */
static void name_sizes(struct spread *s, const struct family *f, block_id *ids, size_t n)
{
	uint64_t sizes[MOST_SIZES];
	unsigned n_sizes = 0;
	for (size_t i = 0; i < n; i++)
		index_of(sizes, &n_sizes, MOST_SIZES, blocks_usable(s->b, ids[i]));
	for (unsigned k = 0; k < n_sizes && !s->nomem && !interrupted; k++) {
		size_t of = 0;
		for (size_t i = 0; i < n; i++)
			if (blocks_usable(s->b, ids[i]) == sizes[k])
				swap_to(ids, &of, i);
		name_size(s, f, ids, of);
		ids += of;
		n -= of;
	}
}

/* A block for which the kind is too small, and another one is not. */
static bool is_anothers(struct spread *s, const struct family *f, uint32_t kind, block_id id)
{
	const struct type *at = table_type(s->table, kind);
	if (at->header || at->flexible != NO_OFFSET || fits_tightly(s, kind, id))
		return false;
	for (unsigned i = 0; i < f->n_kinds; i++)
		if (fits_tightly(s, f->kinds[i], id))
			return true;
	return false;
}

/* One value may stand for several kinds, which another member tells apart, or their size alone. Of n blocks those that have it are
 * put first; how many. */
static size_t name_value(struct spread *s, const struct family *f, const struct learned *l, unsigned n_learned, uint64_t v, block_id *ids, size_t n, double margin)
{
	size_t of = 0, own = 0;
	uint64_t is;
	for (size_t i = 0; i < n; i++)
		if (spread_value(s, object_of(s, ids[i]) + f->offset, f->bytes, &is) && is == v)
			swap_to(ids, &of, i);
	uint32_t kind = of && !s->nomem ? decide(s, f, l, n_learned, v, ids, of, margin) : 0;
	if (!kind)
		return of;
	for (size_t i = 0; i < of; i++)
		if (!is_anothers(s, f, kind, ids[i]))
			swap_to(ids, &own, i);
	name_all(s, ids, own, kind);
	name_sizes(s, f, ids + own, of - own);
	return of;
}

static void name_family(struct spread *s, struct family *f, struct map64 *members, double margin)
{
	struct learned l[MOST_VALUES];
	uint64_t values[MOST_VALUES], v;
	unsigned n_learned = 0, n_values = 0;
	find_kinds(s, f);
	/* What is left when most are named may be of one value. */
	if (choose_enumeration(s, f)) {
		;
	} else if (map64_find(members, f->header, &v)) {
		f->offset = (uint32_t)(v >> 8);
		f->bytes = v & 0xff;
	} else if (f->blocks.n >= LEAST_BLOCKS) {
		choose_member(s, f);
		s->nomem |= f->bytes && f->blocks.n >= SURE_OF && !map64_put(members, f->header, (uint64_t)f->offset << 8 | f->bytes);
	}
	if (!f->bytes)
		name_sizes(s, f, f->blocks.at, f->blocks.n);
	if (!f->n_kinds || !f->bytes)
		return;
	learn(s, f, l, &n_learned);
	for (size_t i = 0; i < f->blocks.n; i++)
		if (spread_value(s, object_of(s, f->blocks.at[i]) + f->offset, f->bytes, &v))
			index_of(values, &n_values, MOST_VALUES, v);
	size_t done = 0;
	for (unsigned i = 0; i < n_values && !s->nomem && !interrupted; i++)
		done += name_value(s, f, l, n_learned, values[i], f->blocks.at + done, f->blocks.n - done, margin);
}

struct families { VEC(struct family) list; };

static struct family *family_of(struct spread *s, struct families *all, uint32_t header)
{
	for (size_t i = 0; i < all->list.n; i++)
		if (all->list.at[i].header == header)
			return &all->list.at[i];
	struct family *f = all->list.n < MOST_HEADERS ? vec_push(&all->list) : NULL;
	s->nomem |= !f && all->list.n < MOST_HEADERS;
	if (f)
		f->header = header;
	return f;
}

static void collect(struct spread *s, struct families *all)
{
	for (block_id id = 0; id < s->b->n && !s->nomem && !interrupted; id++) {
		struct typed at = typing_of(s->g, id);
		if (!at.type || at.rank >= RANK_FAMILY || !table_type(s->table, at.type)->header)
			continue;
		struct family *f = family_of(s, all, at.type);
		block_id *slot = f ? vec_push(&f->blocks) : NULL;
		s->nomem |= f && !slot;
		if (slot)
			*slot = id;
	}
}

bool spread_families(struct spread *s)
{
	static const double margins[] = { 1, 0.5, 0.15 };
	enum { N_MARGINS = sizeof margins / sizeof margins[0] };
	struct map64 members = { 0 }; /* header -> offset and bytes of the member that tells */
	bool ok = true;
	for (int round = 0, margin = 0; round < MOST_ROUNDS && margin <= N_MARGINS && ok; round++) {
		struct families all = { 0 };
		s->named = 0;
		collect(s, &all);
		for (size_t i = 0; i < all.list.n; i++) {
			name_family(s, &all.list.at[i], &members, margins[margin < N_MARGINS ? margin : N_MARGINS - 1]);
			vec_free(&all.list.at[i].blocks);
		}
		vec_free(&all.list);
		ok = spread_run(s);
		/* What was named may lead to more of them, which are judged by the same margin at last. */
		margin += margin < N_MARGINS || !s->named;
	}
	map64_free(&members);
	return ok && !s->nomem && !interrupted;
}

/* What blocks that no typed pointer leads to may be: those that were lost above all. All of a kind are judged together, against each
 * struct that has their size: where a struct's pointers stand there must be pointers, to what it says as far as that is known, and
 * none where it has none. This proposes; it names nothing: a struct of few pointers fits much. */
#include "typing.h"

enum { MOST_BLOCKS = 64, MOST_WORDS = 128, MOST_CANDIDATES = 4096, NO_LEAF = UINT32_MAX, OPEN = NO_LEAF - 1 };

struct candidate {
	uint32_t type;
	uint64_t in_use;
	unsigned fits, strong, weak;
};
struct judging {
	struct spread *s;
	const struct candidate *c;
	uint32_t leaf[MOST_WORDS]; /* by word of the block; NO_LEAF: no pointer stands there; OPEN: nobody says what does */
	unsigned words;
	unsigned strong, weak, against; /* of one block */
};

/* Members whose type is declared and nowhere defined: clang leaves out what a library is to define, std::string for one. */
static void open_members(struct judging *j, const struct type *of, uint64_t at)
{
	const struct type_table *t = j->s->table;
	for (uint32_t i = 0; i < of->n_members; i++) {
		const struct type_member *m = &t->members.at[of->first_member + i];
		uint64_t end = i + 1 < of->n_members ? m[1].offset : of->size;
		if (table_type(t, m->type)->kind != TYPE_INCOMPLETE)
			continue;
		for (uint64_t word = (at + m->offset) / j->s->word; word < (at + end) / j->s->word && word < j->words; word++)
			j->leaf[word] = OPEN;
	}
}

static void lay_out(struct judging *j)
{
	const struct type_table *t = j->s->table;
	const struct type *at = table_type(t, j->c->type);
	unsigned word = j->s->word;
	j->words = at->size / word < MOST_WORDS ? (unsigned)(at->size / word) : MOST_WORDS;
	for (unsigned i = 0; i < j->words; i++)
		j->leaf[i] = NO_LEAF;
	open_members(j, at, 0);
	for (uint32_t i = 0; i < at->n_parts; i++)
		open_members(j, table_type(t, t->parts.at[at->first_part + i].type), t->parts.at[at->first_part + i].offset);
	for (uint32_t i = 0; i < at->n_leaves; i++) {
		const struct type_leaf *l = &t->leaves.at[at->first_leaf + i];
		for (uint32_t k = 0; k < l->count && l->offset + (uint64_t)k * l->stride < (uint64_t)j->words * word; k++)
			if ((l->offset + (uint64_t)k * l->stride) % word == 0)
				j->leaf[(l->offset + (uint64_t)k * l->stride) / word] = at->first_leaf + i;
	}
}

/* A pointer to a block's start, where the struct says that there is a pointer to a `target`. */
static void judge_target(struct judging *j, uint32_t target, block_id id)
{
	const struct type_table *t = j->s->table;
	struct typed at = typing_of(j->s->g, id);
	const struct type *says = table_type(t, target);
	if (!says->size || says->kind == TYPE_CHAR)
		j->weak++;
	else if (at.type && !at.base && (types_alike(t, at.type, target) || types_begins_with(t, at.type, target) || types_begins_with(t, target, at.type)))
		j->strong++;
	else if ((at.type && types_tier(&at) <= TIER_B) || says->size > blocks_usable(j->s->b, id))
		j->against++;
	else
		j->weak++;
}

static void judge_word(struct judging *j, uint32_t leaf, uint64_t v)
{
	const uint8_t *p;
	block_id id = blocks_at(j->s->b, v);
	bool start = id != BLOCK_NONE && blocks_payload(j->s->b, id) == v;
	if (leaf == OPEN)
		return;
	if (leaf == NO_LEAF) {
		j->against += start && block_state_is_used(blocks_state(j->s->b, id));
		return;
	}
	const struct type_leaf *l = &j->s->table->leaves.at[leaf];
	if (l->weak)
		return;
	bool code = table_type(j->s->table, l->target)->kind == TYPE_CODE;
	if (start && !code)
		judge_target(j, l->target, id);
	else if (id != BLOCK_NONE)
		j->against += code;
	else if (v < 4096 || !image_window(j->s->img, v, &p))
		j->against++;
	else
		j->weak += code;
}

static bool fits(struct judging *j, block_id id)
{
	uint64_t payload = blocks_payload(j->s->b, id), v;
	j->strong = j->weak = j->against = 0;
	for (unsigned i = 0; i < j->words; i++)
		if (spread_word(j->s, payload + (uint64_t)i * j->s->word, &v) && v)
			judge_word(j, j->leaf[i], v);
	/* One in eight: words that were never set. */
	return j->against * 8 <= j->strong + j->weak;
}

static void judge(struct spread *s, struct candidate *c, const block_id *ids, size_t n)
{
	struct judging j = { .s = s, .c = c };
	lay_out(&j);
	for (size_t i = 0; i < n; i++)
		if (fits(&j, ids[i])) {
			c->fits++;
			c->strong += j.strong;
			c->weak += j.weak;
		}
}

/* What libc and ld.so keep in blocks is known otherwise; their headers bring parts of it into every program (ISO C 7.1.3: names that
 * begin with two underscores are theirs). */
static bool is_libcs(const struct spread *s, const struct type *at)
{
	if (!strncmp(at->name, "__", 2) && !strstr(at->name, "::"))
		return true;
	const struct module *m = at->module < modules_count(s->t->priv->ms) ? modules_get(s->t->priv->ms, at->module) : NULL;
	return m && (m->role == MODULE_LIBC || m->role == MODULE_LDSO || m->role == MODULE_LIBPTHREAD);
}

/* Structs that fill a block of this size, each name once. */
static bool find_candidates(struct spread *s, uint64_t usable, struct candidate **ret, size_t *ret_n)
{
	const struct type_table *t = s->table;
	struct candidate *list = calloc(MOST_CANDIDATES, sizeof *list);
	size_t n = 0;
	for (uint32_t i = 1; list && i < t->types.n && n < MOST_CANDIDATES; i++) {
		const struct type *at = table_type(t, i);
		if (at->kind != TYPE_STRUCT || !at->name || at->cut || !at->n_leaves || at->header || at->flexible != NO_OFFSET || !fit_is_exact(s, at->size, usable) ||
		    is_libcs(s, at))
			continue;
		/* The first of a name stands for all. */
		if (type_table_find(t, at->name) == i)
			list[n++].type = i;
	}
	*ret = list;
	*ret_n = n;
	return list;
}

/* How many blocks of this size are each of them. */
static void count_in_use(struct spread *s, uint64_t usable, struct candidate *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (uint32_t type = list[i].type; type; type = table_type(s->table, type)->next) {
			uint64_t count;
			if (map64_find(&s->g->in_use, types_in_use_key(type, usable), &count))
				list[i].in_use += count;
		}
}

static bool note_in_use(struct typing *g, const struct blocks *b)
{
	struct block_cursor c;
	uint64_t count;
	if (g->in_use_known)
		return true;
	for (blocks_begin(b, &c); blocks_next(&c) && !interrupted;) {
		struct typed at = typing_of(g, c.id);
		if (!at.type || at.form != FORM_ONE || at.base || types_tier(&at) > TIER_B || !block_state_is_used(c.state))
			continue;
		uint64_t key = types_in_use_key(at.type, c.usable);
		if (!map64_find(&g->in_use, key, &count))
			count = 0;
		if (!map64_put(&g->in_use, key, count + 1))
			return false;
	}
	g->in_use_known = !interrupted;
	return true;
}

/* Of what fits most of them, more pointers of known targets say more; then what others of the size are. */
static int compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	uint64_t p = (uint64_t)x->strong * 2 + x->weak, q = (uint64_t)y->strong * 2 + y->weak;
	if (!x->in_use != !y->in_use)
		return x->in_use ? -1 : 1;
	if (p != q)
		return p > q ? -1 : 1;
	if (x->in_use != y->in_use)
		return x->in_use > y->in_use ? -1 : 1;
	return x->type < y->type ? -1 : x->type > y->type;
}

/* Two pointers a block, or one to what it must lead to: less fits anything. Blocks of one size may be of a few kinds. */
static bool convinces(const struct candidate *c, size_t looked_at)
{
	return c->fits * 4 >= looked_at && (c->strong * 2 + c->weak) >= 2 * c->fits;
}

struct err *types_likely(struct types *t, const block_id *ids, size_t n, struct likely *ret)
{
	struct spread s = { .t = t, .g = t->typing, .table = t->typing->table, .b = t->priv->b, .img = t->priv->img, .word = image_arch(t->priv->img)->word };
	struct candidate *list;
	size_t found;
	n = n < MOST_BLOCKS ? n : MOST_BLOCKS;
	*ret = (struct likely){ .looked_at = (unsigned)n };
	uint64_t usable = n ? blocks_usable(s.b, ids[0]) : 0;
	if (!find_candidates(&s, usable, &list, &found) || !note_in_use(t->typing, s.b)) {
		free(list);
		return err_nomem();
	}
	count_in_use(&s, usable, list, found);
	size_t keep = 0;
	for (size_t i = 0; i < found && !interrupted; i++) {
		judge(&s, &list[i], ids, n);
		if (convinces(&list[i], n))
			list[keep++] = list[i];
	}
	if (keep)
		qsort(list, keep, sizeof *list, compare);
	for (size_t i = 0; i < keep && i < MOST_LIKELY; i++)
		ret->at[ret->n++] = (struct likely_type){ list[i].type, list[i].fits, list[i].strong + list[i].weak, list[i].in_use };
	ret->more = (unsigned)(keep - ret->n);
	free(list);
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

/* Tags: a header's pointer to a variable of the program that says what its bearer is: a class, a table of operations. Where one of
 * the structs that begin with the header is called as that variable is, the block is one; else it has the variable's name behind
 * the header's. */
#include "typing.h"

#include <ctype.h>

enum { MOST_LEAVES = 64, MOST_WORD = 32, MARGIN = 3 };

static bool is_tag(const struct types *t, uint64_t address, uint32_t type, uint32_t *ret)
{
	uint64_t index;
	if (!address || !map64_find(&t->typing->tags, address, &index) || !types_alike(t->typing->table, t->typing->roots.list.at[index].type, type))
		return false;
	*ret = (uint32_t)index;
	return true;
}

bool types_tag(const struct types *t, uint32_t header, uint64_t object, uint32_t *ret_root, uint32_t *ret_offset)
{
	const struct type_table *table = t->typing->table;
	const struct type *at = table_type(table, header);
	uint64_t v;
	for (uint32_t i = 0; i < at->n_leaves && i < MOST_LEAVES; i++) {
		const struct type_leaf *l = &table->leaves.at[at->first_leaf + i];
		if (l->weak || l->count > 1 || table_type(table, l->target)->kind != TYPE_STRUCT || !image_word(t->priv->img, object + l->offset, &v))
			continue;
		*ret_offset = l->offset;
		if (is_tag(t, v, l->target, ret_root))
			return true;
	}
	return false;
}

/* "PyUnicode_Type" and "PyUnicodeObject" are py, unicode, type; py, unicode, object: letters of the words that both have. */
static size_t next_word(const char **at, char *to)
{
	const char *p = *at;
	size_t n = 0;
	while (*p && !isalnum((unsigned char)*p))
		p++;
	while (isalnum((unsigned char)*p) && (!n || !isupper((unsigned char)*p) || isupper((unsigned char)p[-1]))) {
		if (n + 1 < MOST_WORD)
			to[n++] = (char)tolower((unsigned char)*p);
		p++;
	}
	to[n] = '\0';
	*at = p;
	return n;
}

static size_t letters_of_both(const char *a, const char *b)
{
	char x[MOST_WORD], y[MOST_WORD];
	size_t sum = 0, n;
	while ((n = next_word(&a, x))) {
		const char *rest = b;
		bool same = false;
		while (!same && next_word(&rest, y))
			same = !strcmp(x, y);
		sum += same ? n : 0;
	}
	return sum;
}

/* The one of the header's kinds that is called most like the tag, by a margin: words that all of them have say nothing. */
static uint32_t kind_called(const struct type_table *t, uint32_t header, const char *tag)
{
	uint32_t found = 0;
	size_t best = 0, second = 0;
	for (uint32_t id = 1; id < t->types.n; id++) {
		const char *name = table_type(t, id)->name;
		if (!name || !types_is_kind(t, id, header) || (found && types_alike(t, found, id)))
			continue;
		size_t n = letters_of_both(tag, name);
		if (n > best) {
			second = best;
			best = n;
			found = id;
		} else if (n > second) {
			second = n;
		}
	}
	return best >= second + MARGIN ? found : 0;
}

bool spread_find_tags(struct spread *s)
{
	const struct typed_roots *roots = &s->g->roots;
	for (uint32_t i = 0; i < roots->list.n && !s->nomem; i++) {
		const struct typed_root *r = &roots->list.at[i];
		if (r->place == PLACE_GLOBAL && r->address && r->name && table_type(s->table, r->type)->kind == TYPE_STRUCT)
			s->nomem |= !map64_put(&s->g->tags, r->address, i);
	}
	return !s->nomem;
}

int spread_says_variable(const struct spread *s, uint64_t pointer, uint32_t target)
{
	uint64_t index;
	if (!type_is_struct(table_type(s->table, target)) || !map64_find(&s->g->tags, pointer, &index))
		return 0;
	uint32_t is = s->g->roots.list.at[index].type;
	return types_alike(s->table, is, target) || types_begins_with(s->table, is, target) || types_is_kind(s->table, is, target) ? 1 : -1;
}

static void name_tagged(struct spread *s, struct map64 *kinds, block_id id)
{
	struct typed at = typing_of(s->g, id);
	uint64_t base = (uint64_t)at.base * s->word, object = blocks_payload(s->b, id) + base, kind;
	uint32_t root, offset, header = at.type;
	if (!types_tag(s->t, header, object, &root, &offset))
		return;
	uint64_t key = (uint64_t)header << 32 | root;
	if (!map64_find(kinds, key, &kind)) {
		kind = kind_called(s->table, header, s->g->roots.list.at[root].name);
		s->nomem |= !map64_put(kinds, key, kind);
	}
	s->from = s->parents ? s->parents[id].from : (struct source){ 0, FROM_NOTHING };
	if (kind && fit_type(s, (uint32_t)kind, object, blocks_usable(s->b, id) - base).rank)
		spread_offer(s, id, (uint32_t)kind, base, RANK_FAMILY, TYPED_TAGGED, s->parents ? s->parents[id].word : 0, false);
	at = typing_of(s->g, id);
	if (at.type != header)
		return;
	at.rank = RANK_TAGGED;
	at.by = TYPED_TAGGED;
	s->nomem |= !typing_set(s->g, id, at);
}

bool spread_tags(struct spread *s)
{
	struct map64 kinds = { 0 };
	struct typing *was = s->t->typing;
	/* Asked of types that are being made. */
	s->t->typing = s->g;
	bool ok = true;
	for (block_id id = 0; ok && id < s->b->n && !s->nomem && !interrupted; id++) {
		struct typed at = typing_of(s->g, id);
		if (at.type && at.rank < RANK_TAGGED && table_type(s->table, at.type)->header)
			name_tagged(s, &kinds, id);
	}
	s->t->typing = was;
	map64_free(&kinds);
	return ok && spread_run(s);
}

void types_tag_name(const struct types *t, const struct typed *of, uint64_t payload, struct strbuf *to)
{
	uint32_t root, offset;
	struct strbuf member = { 0 };
	if (!types_is_tagged(t, of, payload, &root, &offset)) {
		types_typed_name(t->typing, of, to);
		return;
	}
	type_table_name(t->typing->table, of->type, to);
	type_table_path(t->typing->table, of->type, offset, &member);
	strbuf_printf(to, " [%s=%s]", member.text ? member.text : "", t->typing->roots.list.at[root].name);
	strbuf_free(&member);
}

bool types_is_tagged(const struct types *t, const struct typed *of, uint64_t payload, uint32_t *ret_root, uint32_t *ret_offset)
{
	if (of->by != TYPED_TAGGED || !of->type || !table_type(t->typing->table, of->type)->header)
		return false;
	return types_tag(t, of->type, payload + (uint64_t)of->base * image_arch(t->priv->img)->word, ret_root, ret_offset);
}

/* Blocks that nothing names, in groups that a person can tell apart: size, what the first words are, and which member or variable
 * points at them. Two passes over the heap's words: who is the first to point at each block; then who points at each group. */
#include "typing.h"

enum { MOST_LEAVES = 256, SMALL = 1 << 16, TEXT_LEAST = 4, NO_MODULE = 0xffff };
static const uint64_t MOST_WORDS = 1ull << 30;

struct base { /* blocks of one size with like first words */
	struct unknown_group like;
	uint64_t self;		/* pointers from such a block to another */
};
struct sourced { uint32_t group, source; uint64_t pointers; };

struct finding_groups {
	struct types *t;
	const struct type_table *table;
	struct blocks *b;
	struct image *img;
	struct unknown *u;
	unsigned word;
	bool big, nomem;
	uint64_t steps;
	uint32_t *source_of;	/* by block id: the first that points at its start; index into sources + 1 */
	VEC(struct base) bases;
	struct map64 by_signature; /* size and words -> base */
	VEC(struct unknown_source) sources;
	struct map64 by_source;	/* -> index into sources */
	VEC(struct sourced) counted;
	struct map64 by_pair;	/* group and source -> index into counted */
	struct module *last;	/* the module that was asked for last, and its index */
	uint16_t last_index;
	bool counting;		/* the second pass */
};

const char *word_kind_name(enum word_kind k)
{
	static const char *const names[] = { "unread", "zero", "small number", "heap pointer", "module pointer", "memory pointer", "text", "other" };
	return names[k];
}

/* The first words */

static uint16_t module_index(struct finding_groups *f, uint64_t address)
{
	struct module *m = modules_at(f->t->priv->ms, address);
	if (!m)
		return NO_MODULE;
	for (size_t i = 0; m != f->last && i < modules_count(f->t->priv->ms) && i < NO_MODULE; i++)
		if (modules_get(f->t->priv->ms, i) == m) {
			f->last = m;
			f->last_index = (uint16_t)i;
		}
	return m == f->last ? f->last_index : NO_MODULE;
}

static bool is_text(const uint8_t *p, unsigned n)
{
	unsigned k = 0;
	while (k < n && p[k] >= 0x20 && p[k] < 0x7f)
		k++;
	for (unsigned i = k; i < n; i++)
		if (p[i])
			return false;
	return k >= TEXT_LEAST;
}

static enum word_kind kind_of(struct finding_groups *f, uint64_t address, uint16_t *ret_module)
{
	uint8_t raw[8];
	const uint8_t *p;
	uint64_t v;
	*ret_module = NO_MODULE;
	if (!image_word(f->img, address, &v) || !image_read(f->img, address, raw, f->word))
		return WORD_UNREAD;
	if (!v)
		return WORD_ZERO;
	if (v < SMALL)
		return WORD_SMALL;
	if (blocks_at(f->b, v) != BLOCK_NONE)
		return WORD_BLOCK;
	*ret_module = module_index(f, v);
	if (*ret_module != NO_MODULE)
		return WORD_MODULE;
	if (image_window(f->img, v, &p))
		return WORD_MEMORY;
	return is_text(raw, f->word) ? WORD_TEXT : WORD_OTHER;
}

static uint32_t base_of(struct finding_groups *f, const struct block_cursor *c)
{
	struct base new = { .like = { .usable = c->usable, .sample = c->id } };
	uint64_t key = c->usable * 0x9e3779b97f4a7c15u, index;
	for (unsigned i = 0; i < GROUP_SEEN_WORDS && (i + 1) * f->word <= c->usable; i++) {
		new.like.words[i] = (uint16_t)kind_of(f, c->payload + i * f->word, &new.like.modules[i]);
		key = (key ^ new.like.words[i] ^ (uint64_t)new.like.modules[i] << 8) * 0x100000001b3u;
	}
	if (map64_find(&f->by_signature, key, &index))
		return (uint32_t)index + 1;
	f->u->cut |= f->bases.n >= LIMIT_GROUPS;
	struct base *slot = f->bases.n < LIMIT_GROUPS ? vec_push(&f->bases) : NULL;
	f->nomem |= !slot && f->bases.n < LIMIT_GROUPS;
	if (!slot || !map64_put(&f->by_signature, key, f->bases.n - 1))
		return 0;
	*slot = new;
	return (uint32_t)f->bases.n;
}

static void find_bases(struct finding_groups *f)
{
	struct block_cursor c;
	for (blocks_begin(f->b, &c); blocks_next(&c) && !f->nomem && !interrupted;) {
		if (!block_state_is_used(c.state) || types_block_tier(f->t, c.id, c.payload, c.usable) != TIER_NONE)
			continue;
		f->u->all.blocks++;
		f->u->all.bytes += c.usable;
		uint32_t base = base_of(f, &c);
		f->u->group_of[c.id] = base;
		if (base)
			f->bases.at[base - 1].like.blocks++;
	}
}

/* Who points */

static uint32_t intern_source(struct finding_groups *f, enum source_of kind, uint32_t what, uint64_t offset)
{
	uint64_t key = (uint64_t)kind << 61 | (uint64_t)(what & 0x3fffffff) << 31 | (offset & 0x7fffffff), index;
	if (map64_find(&f->by_source, key, &index))
		return (uint32_t)index + 1;
	struct unknown_source *s = f->sources.n < UINT32_MAX - 1 ? vec_push(&f->sources) : NULL;
	if (!s || !map64_put(&f->by_source, key, f->sources.n - 1)) {
		f->nomem = true;
		return 0;
	}
	*s = (struct unknown_source){ kind, what, (uint32_t)(offset & 0x7fffffff), 0 };
	return (uint32_t)f->sources.n;
}

/* All elements of an array are one member. */
static uint64_t member_offset(const struct type_table *t, uint32_t type, uint64_t offset)
{
	const struct type *at = table_type(t, type);
	for (uint32_t i = 0; type_is_struct(at) && i < at->n_leaves && i < MOST_LEAVES; i++) {
		const struct type_leaf *l = &t->leaves.at[at->first_leaf + i];
		if (offset >= l->offset && l->count > 1 && l->stride && (offset - l->offset) / l->stride < l->count && !((offset - l->offset) % l->stride))
			return l->offset;
	}
	return offset;
}

static uint32_t typed_source(struct finding_groups *f, const struct typed *at, uint64_t offset)
{
	uint64_t base = (uint64_t)at->base * f->word;
	uint32_t type = at->type;
	const struct type *is = table_type(f->table, type);
	if (offset < base || !is->size)
		return 0;
	offset -= base;
	if (at->form == FORM_FLEXIBLE && is->flexible != NO_OFFSET && offset >= is->flexible && table_type(f->table, is->element)->size) {
		offset -= is->flexible;
		type = is->element;
		is = table_type(f->table, type);
	}
	if (offset >= is->size)
		offset = at->form == FORM_TAIL || !is->size ? is->size : offset % is->size;
	return intern_source(f, BY_MEMBER, type, member_offset(f->table, type, offset));
}

struct pointing { /* where words stand that are looked at */
	block_id block;		/* BLOCK_NONE: a variable */
	uint32_t root;
	uint64_t usable, payload;
};

static uint32_t source_of(struct finding_groups *f, const struct pointing *p, uint64_t offset)
{
	if (p->block == BLOCK_NONE)
		return intern_source(f, BY_VARIABLE, p->root, 0);
	if (f->u->group_of[p->block])
		return intern_source(f, BY_GROUP, f->u->group_of[p->block], 0);
	struct typed at = typing_of(f->t->typing, p->block);
	uint32_t label = types_plain_label(f->t, p->block, p->payload, p->usable);
	if (types_prefer_typed(f->t->typing, &at, f->t->labels[label].by))
		return typed_source(f, &at, offset);
	label = types_known_label(f->t, p->block, p->payload, p->usable);
	offset = f->t->labels[label].by == BY_BYTES ? 0 : offset;
	return f->t->labels[label].by == BY_SIZE ? 0 : intern_source(f, BY_LABELLED, label, offset);
}

static void first_source(struct finding_groups *f, const struct pointing *p, uint64_t offset, block_id to, uint64_t v)
{
	uint32_t group = f->u->group_of[to], from = p->block == BLOCK_NONE ? 0 : f->u->group_of[p->block];
	if (from) {
		f->bases.at[group - 1].self += from == group && p->block != to;
		return;
	}
	if (f->source_of[to] || v != blocks_payload(f->b, to))
		return;
	f->source_of[to] = source_of(f, p, offset);
}

static void count_source(struct finding_groups *f, const struct pointing *p, uint64_t offset, block_id to)
{
	uint32_t group = f->u->group_of[to], source = source_of(f, p, offset);
	uint64_t key = (uint64_t)group << 32 | source, index;
	if (!source || to == p->block)
		return;
	if (!map64_find(&f->by_pair, key, &index)) {
		struct sourced *s = vec_push(&f->counted);
		if (!s || !map64_put(&f->by_pair, key, f->counted.n - 1)) {
			f->nomem = true;
			return;
		}
		index = f->counted.n - 1;
		*s = (struct sourced){ group, source, 0 };
	}
	f->counted.at[index].pointers++;
}

static void look_at_word(struct finding_groups *f, const struct pointing *p, uint64_t offset, uint64_t v)
{
	block_id to = v < SMALL ? BLOCK_NONE : blocks_at(f->b, v);
	if (to == BLOCK_NONE || !f->u->group_of[to] || v < blocks_payload(f->b, to))
		return;
	if (f->counting)
		count_source(f, p, offset, to);
	else
		first_source(f, p, offset, to, v);
}

static void look_at_bytes(struct finding_groups *f, const struct pointing *p, struct span bytes, uint64_t offset)
{
	uint64_t v;
	for (size_t i = 0; span_word(bytes, i, f->word, f->big, &v) && !f->nomem; i += f->word) {
		if (++f->steps > MOST_WORDS) {
			f->u->cut = true;
			return;
		}
		look_at_word(f, p, offset + i, v);
	}
}

struct window_of { struct finding_groups *f; struct pointing p; uint64_t start; };

static bool in_window(void *ctx, uint64_t address, const uint8_t *data, size_t n)
{
	struct window_of *w = ctx;
	size_t skip = (size_t)(-(address - w->start) & (w->f->word - 1));
	if (skip < n)
		look_at_bytes(w->f, &w->p, (struct span){ data + skip, n - skip }, address + skip - w->start);
	return !w->f->nomem && !interrupted && w->f->steps <= MOST_WORDS;
}

static void look_at_roots(struct finding_groups *f)
{
	const struct typed_roots *roots = &f->t->typing->roots;
	for (uint32_t i = 0; i < roots->list.n && !f->nomem && !interrupted; i++) {
		const struct typed_root *r = &roots->list.at[i];
		struct window_of w = { f, { .block = BLOCK_NONE, .root = i }, r->address };
		if (r->bytes)
			look_at_bytes(f, &w.p, (struct span){ r->bytes, r->n }, 0);
		else if (r->address)
			image_each_window(f->img, r->address, r->address + table_type(f->table, r->type)->size, in_window, &w);
	}
}

static bool look_at_all(struct finding_groups *f, bool counting)
{
	struct block_cursor c;
	f->counting = counting;
	f->steps = 0;
	for (blocks_begin(f->b, &c); blocks_next(&c) && !f->nomem && !interrupted && f->steps <= MOST_WORDS;) {
		struct window_of w = { f, { .block = c.id, .payload = c.payload, .usable = c.usable }, c.payload };
		if (block_state_is_used(c.state))
			image_each_window(f->img, c.payload, c.payload + c.usable, in_window, &w);
	}
	look_at_roots(f);
	return !f->nomem && !interrupted;
}

/* Groups */

static uint32_t group_for(struct finding_groups *f, struct map64 *known, uint32_t base, uint32_t source)
{
	const struct base *b = &f->bases.at[base - 1];
	uint64_t index, key;
	/* Blocks that are linked with each other are of one kind, whoever points at the first of them. */
	if (b->self * 2 >= b->like.blocks)
		source = 0;
	key = (uint64_t)base << 32 | source;
	if (map64_find(known, key, &index))
		return (uint32_t)index;
	f->u->cut |= f->u->groups.n >= LIMIT_GROUPS;
	struct unknown_group *g = f->u->groups.n < LIMIT_GROUPS ? vec_push(&f->u->groups) : NULL;
	f->nomem |= !g && f->u->groups.n < LIMIT_GROUPS;
	if (!g || !map64_put(known, key, f->u->groups.n))
		return 0;
	*g = b->like;
	g->blocks = 0;
	g->sample = BLOCK_NONE;
	g->n_sources = source; /* until they are listed */
	return (uint32_t)f->u->groups.n;
}

static void find_groups(struct finding_groups *f)
{
	struct map64 known = { 0 };
	struct block_cursor c;
	for (blocks_begin(f->b, &c); blocks_next(&c) && !f->nomem && !interrupted;) {
		uint32_t base = f->u->group_of[c.id], group = base ? group_for(f, &known, base, f->source_of[c.id]) : 0;
		f->u->group_of[c.id] = group;
		if (!group)
			continue;
		struct unknown_group *g = &f->u->groups.at[group - 1];
		g->sample = g->sample == BLOCK_NONE ? c.id : g->sample;
		g->blocks++;
		g->bytes += c.usable;
	}
	map64_free(&known);
}

/* A pointer that is not set, or a number that is 0, is no difference. */
static bool are_like(const struct unknown_group *a, const struct unknown_group *b)
{
	if (a->usable != b->usable || a->n_sources != b->n_sources)
		return false;
	for (unsigned i = 0; i < GROUP_SEEN_WORDS; i++) {
		bool zero = a->words[i] == WORD_ZERO || b->words[i] == WORD_ZERO;
		if (!zero && (a->words[i] != b->words[i] || a->modules[i] != b->modules[i]))
			return false;
	}
	return true;
}

static int by_likeness(const void *a, const void *b, void *ctx)
{
	const struct finding_groups *f = ctx;
	const struct unknown_group *x = &f->u->groups.at[*(const uint32_t *)a], *y = &f->u->groups.at[*(const uint32_t *)b];
	if (x->usable != y->usable)
		return x->usable < y->usable ? -1 : 1;
	if (x->n_sources != y->n_sources)
		return x->n_sources < y->n_sources ? -1 : 1;
	if (x->blocks != y->blocks)
		return x->blocks > y->blocks ? -1 : 1;
	return x->sample < y->sample ? -1 : x->sample > y->sample;
}

/* Into the largest that is like it. to[] holds indices, of a group that stays its own. */
static void merge(struct finding_groups *f, uint32_t *order, uint32_t *to)
{
	enum { MOST_COMPARED = 32 };
	size_t n = f->u->groups.n;
	for (size_t i = 0; i < n; i++) {
		struct unknown_group *g = &f->u->groups.at[order[i]];
		to[order[i]] = order[i];
		size_t first = i;
		while (first && i - first < MOST_COMPARED && f->u->groups.at[order[first - 1]].usable == g->usable)
			first--;
		for (size_t k = first; k < i; k++) {
			struct unknown_group *larger = &f->u->groups.at[order[k]];
			if (to[order[k]] != order[k] || !are_like(larger, g))
				continue;
			to[order[i]] = order[k];
			larger->blocks += g->blocks;
			larger->bytes += g->bytes;
			larger->sample = g->sample < larger->sample ? g->sample : larger->sample;
			g->blocks = 0;
			break;
		}
	}
}

static int by_bytes(const void *a, const void *b, void *ctx)
{
	const struct finding_groups *f = ctx;
	const struct unknown_group *x = &f->u->groups.at[*(const uint32_t *)a], *y = &f->u->groups.at[*(const uint32_t *)b];
	if (!x->blocks != !y->blocks)
		return x->blocks ? -1 : 1;
	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	return x->sample < y->sample ? -1 : x->sample > y->sample;
}

static void put_in_order(struct finding_groups *f)
{
	size_t n = f->u->groups.n, left = 0;
	uint32_t *order = malloc((n + 1) * sizeof *order), *to = malloc((n + 1) * sizeof *to), *number = malloc((n + 1) * sizeof *number);
	struct unknown_group *sorted = malloc((n + 1) * sizeof *sorted);
	f->nomem |= !order || !to || !number || !sorted;
	for (uint32_t i = 0; i < n && !f->nomem; i++)
		order[i] = i;
	if (!f->nomem) {
		sort_many(order, n, sizeof *order, by_likeness, f);
		merge(f, order, to);
		sort_many(order, n, sizeof *order, by_bytes, f);
	}
	for (size_t i = 0; i < n && !f->nomem; i++) {
		const struct unknown_group *g = &f->u->groups.at[order[i]];
		number[order[i]] = (uint32_t)i + 1;
		left += g->blocks > 0;
		sorted[i] = *g;
	}
	for (block_id id = 0; id < f->b->n && !f->nomem; id++)
		if (f->u->group_of[id])
			f->u->group_of[id] = number[to[f->u->group_of[id] - 1]];
	if (!f->nomem && n) {
		memcpy(f->u->groups.at, sorted, n * sizeof *sorted);
		f->u->groups.n = left;
	}
	for (size_t i = 0; i < f->u->groups.n; i++)
		f->u->groups.at[i].n_sources = 0;
	free(order);
	free(to);
	free(number);
	free(sorted);
}

/* What is said of them */

static void list_sources(struct finding_groups *f)
{
	for (size_t i = 0; i < f->counted.n; i++) {
		const struct sourced *s = &f->counted.at[i];
		struct unknown_group *g = &f->u->groups.at[s->group - 1];
		struct unknown_source new = f->sources.at[s->source - 1];
		uint32_t at = g->n_sources;
		new.pointers = s->pointers;
		while (at && g->sources[at - 1].pointers < new.pointers)
			at--;
		g->other_sources += g->n_sources == MOST_GROUP_SOURCES;
		g->n_sources += g->n_sources < MOST_GROUP_SOURCES;
		if (at >= MOST_GROUP_SOURCES)
			continue;
		memmove(&g->sources[at + 1], &g->sources[at], (g->n_sources - at - 1) * sizeof *g->sources);
		g->sources[at] = new;
	}
}

static bool has_size(const struct finding_groups *f, uint32_t type, uint64_t usable)
{
	const struct type *at = table_type(f->table, type);
	return type_is_struct(at) && at->name && at->size && at->size <= usable && usable - at->size < 1u << f->b->granule_shift;
}

static void add_type(const struct finding_groups *f, struct unknown_group *g, uint32_t type)
{
	if (!has_size(f, type, g->usable))
		return;
	for (uint32_t i = 0; i < g->n_types; i++)
		if (types_alike(f->table, g->types[i], type))
			return;
	if (g->n_types < MOST_GROUP_TYPES)
		g->types[g->n_types++] = type;
	else
		g->other_types++;
}

/* What a pointer or a rule says, and what begins as that does. */
static void add_types(const struct finding_groups *f, struct unknown_group *g, uint32_t says)
{
	if (!type_is_struct(table_type(f->table, says)))
		return;
	add_type(f, g, says);
	for (uint32_t id = 1; table_type(f->table, says)->header && id < f->table->types.n; id++)
		if (has_size(f, id, g->usable) && types_is_kind(f->table, id, says))
			add_type(f, g, id);
}

static void list_types(const struct finding_groups *f, struct unknown_group *g)
{
	struct typed at = typing_of(f->t->typing, g->sample);
	if (at.type)
		add_types(f, g, at.type);
	for (uint32_t i = 0; i < g->n_sources; i++) {
		const struct unknown_source *s = &g->sources[i];
		const struct type *of = s->kind == BY_MEMBER ? table_type(f->table, s->what) : NULL;
		for (uint32_t k = 0; of && k < of->n_leaves && k < MOST_LEAVES; k++) {
			const struct type_leaf *l = &f->table->leaves.at[of->first_leaf + k];
			if (l->offset == s->offset)
				add_types(f, g, l->target);
		}
	}
}

static bool find(struct finding_groups *f)
{
	enum { MOST_WITH_TYPES = 256 };
	find_bases(f);
	if (f->nomem || interrupted || !look_at_all(f, false))
		return false;
	find_groups(f);
	if (f->nomem || interrupted)
		return false;
	put_in_order(f);
	/* A source that is a group is called by its number, which it has only now. */
	f->sources.n = 0;
	map64_free(&f->by_source);
	if (f->nomem || !look_at_all(f, true))
		return false;
	list_sources(f);
	for (size_t i = 0; i < f->u->groups.n && i < MOST_WITH_TYPES; i++)
		list_types(f, &f->u->groups.at[i]);
	return unknown_reach(f->t->priv, f->u);
}

static void close_finding(struct finding_groups *f)
{
	free(f->source_of);
	vec_free(&f->bases);
	vec_free(&f->sources);
	vec_free(&f->counted);
	map64_free(&f->by_signature);
	map64_free(&f->by_source);
	map64_free(&f->by_pair);
}

struct err *types_unknown(struct types *t, const struct unknown **ret)
{
	struct types_priv *priv = t->priv;
	if (!priv->unknown) {
		const struct arch *a = image_arch(priv->img);
		struct finding_groups f = { .t = t, .table = t->typing->table, .b = priv->b, .img = priv->img, .word = a->word, .big = a->big };
		f.u = calloc(1, sizeof *f.u);
		f.source_of = calloc((size_t)f.b->n + 1, sizeof *f.source_of);
		if (f.u)
			f.u->group_of = calloc((size_t)f.b->n + 1, sizeof *f.u->group_of);
		bool ok = f.u && f.source_of && f.u->group_of && find(&f);
		close_finding(&f);
		if (!ok) {
			unknown_free(f.u);
			return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : err_nomem();
		}
		priv->unknown = f.u;
	}
	*ret = priv->unknown;
	return NULL;
}

void unknown_free(struct unknown *u)
{
	if (!u)
		return;
	vec_free(&u->groups);
	free(u->group_of);
	free(u);
}

static void member_name(const struct type_table *table, const struct unknown_source *s, struct strbuf *to)
{
	const struct type *at = table_type(table, s->what);
	struct strbuf path = { 0 };
	type_table_name(table, s->what, to);
	if (s->offset >= at->size) {
		strbuf_puts(to, " + tail");
		return;
	}
	type_table_path(table, s->what, s->offset, &path);
	/* All elements of an array are meant. */
	if (path.n > 3 && !strcmp(path.text + path.n - 3, "[0]"))
		memcpy(path.text + path.n - 3, "[]", 3);
	if (path.n)
		strbuf_printf(to, path.text[0] == '[' ? "%s" : ".%s", path.text);
	else if (at->kind == TYPE_POINTER)
		strbuf_puts(to, "[]");
	else if (s->offset)
		strbuf_printf(to, "+0x%x", s->offset);
	strbuf_free(&path);
}

void types_source_name(struct types *t, const struct unknown_source *s, struct strbuf *to)
{
	const struct typed_root *r;
	switch (s->kind) {
	case BY_MEMBER:
		member_name(t->typing->table, s, to);
		return;
	case BY_VARIABLE:
		r = &t->typing->roots.list.at[s->what];
		strbuf_puts(to, r->name ? r->name : "a variable");
		if (r->function)
			strbuf_printf(to, " of %s()", r->function);
		return;
	case BY_LABELLED:
		strbuf_puts(to, t->labels[s->what].name);
		if (s->offset)
			strbuf_printf(to, "+0x%x", s->offset);
		return;
	case BY_GROUP:
		strbuf_printf(to, "U%u", s->what);
		return;
	case BY_NOBODY:
		break;
	}
	strbuf_puts(to, "nobody");
}

/* Which blocks: a list of terms, tried on one block after the other. */
#include "flotsam/query.h"

#include <fnmatch.h>

enum term_kind { TERM_SIZE, TERM_ADDRESS, TERM_STATE, TERM_USED, TERM_FREE, TERM_CLASS, TERM_LEAKED, TERM_STACK_ONLY, TERM_LABEL, TERM_ARENA, TERM_HOLDER,
		 TERM_TEXT, TERM_THREAD, TERM_SET, TERM_OLDER, TERM_NEWER, TERM_LEAK_GROUP, TERM_UNKNOWN_GROUP, TERM_HELD_BY, TERM_OPEN, TERM_CLOSE };
enum comparison { IS, IS_NOT, LESS, LESS_OR_IS, MORE, MORE_OR_IS, CONTAINS, WITHIN /* A..B, both included */ };
enum { MAX_NESTED = 16 };
enum combine { AND, OR, MINUS };
enum needs { NEEDS_WALK, NEEDS_GRAPH, NEEDS_TYPES, NEEDS_HOLDERS };

struct term {
	enum term_kind kind;
	enum comparison how;
	enum combine combine;
	uint64_t number, last;	/* A..B: from number to last */
	int arena;		/* of the block that others are older or newer than */
	uint32_t label;		/* of a group of leaks, whose size is `number` */
	size_t close;		/* of TERM_OPEN: where its TERM_CLOSE is */
	char *text;
	const uint64_t *bits;	/* of a set */
	const uint32_t *groups;	/* of unknown blocks, by block id */
	uint8_t *by_index;	/* labels: 0 not asked yet, 1 no, 2 yes; holder sets: 1, 2 */
	size_t n_index;
};

struct selector {
	struct session *s;
	VEC(struct term) terms;
};

static const struct key_row {
	const char *name;
	enum term_kind kind;
	enum needs needs;
	bool numeric, bare;	/* compares numbers; stands alone */
} keys[] = {
	{ "size", TERM_SIZE, NEEDS_WALK, true, false },
	{ "address", TERM_ADDRESS, NEEDS_WALK, true, false },
	{ "state", TERM_STATE, NEEDS_WALK, false, false },
	{ "class", TERM_CLASS, NEEDS_GRAPH, false, false },
	{ "label", TERM_LABEL, NEEDS_TYPES, false, false },
	{ "type", TERM_LABEL, NEEDS_TYPES, false, false },
	{ "arena", TERM_ARENA, NEEDS_WALK, false, false },
	{ "holder", TERM_HOLDER, NEEDS_HOLDERS, false, false },
	{ "thread", TERM_THREAD, NEEDS_HOLDERS, true, false },
	{ "text", TERM_TEXT, NEEDS_WALK, false, false },
	{ "older", TERM_OLDER, NEEDS_WALK, true, false },
	{ "newer", TERM_NEWER, NEEDS_WALK, true, false },
	{ "used", TERM_USED, NEEDS_WALK, false, true },
	{ "free", TERM_FREE, NEEDS_WALK, false, true },
	{ "leaked", TERM_LEAKED, NEEDS_GRAPH, false, true },
	{ "stack_only", TERM_STACK_ONLY, NEEDS_GRAPH, false, true },
};
enum { N_KEYS = sizeof keys / sizeof keys[0] };

bool selector_is_verb(const char *word)
{
	static const char *const verbs[] = { "group", "sort", "top", "count", "sum" };
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (!strcmp(word, verbs[i]))
			return true;
	return false;
}

/* L1, H1: a line of the report; U1: one of types. */
static bool is_rank(const char *word)
{
	return strchr("LHU", *word) && *word && word[1] && strspn(word + 1, "0123456789") == strlen(word + 1);
}

bool selector_begins(const char *word)
{
	word += strspn(word, "(");
	size_t n = strcspn(word, "<>=!~)");
	for (size_t i = 0; i < N_KEYS; i++)
		if (strlen(keys[i].name) == n && !strncmp(keys[i].name, word, n))
			return keys[i].bare == (!word[n] || word[n] == ')');
	return is_rank(word);
}

static bool parse_comparison(const char **at, enum comparison *ret)
{
	static const struct { const char *text; enum comparison how; } table[] = { { "<=", LESS_OR_IS }, { ">=", MORE_OR_IS }, { "!=", IS_NOT }, { "==", IS },
										    { "<", LESS },	  { ">", MORE },       { "=", IS },	 { "~", CONTAINS } };
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (!strncmp(*at, table[i].text, strlen(table[i].text))) {
			*at += strlen(table[i].text);
			*ret = table[i].how;
			return true;
		}
	return false;
}

static struct err *no_such(const char *what, const char *value, const char *(*name)(size_t i), size_t n)
{
	struct strbuf names = { 0 };
	for (size_t i = 0; i < n; i++)
		if (name(i))
			strbuf_printf(&names, names.n ? ", %s" : "%s", name(i));
	struct err *e = err_hint(err_new(ERR_USAGE, "'%s' is no %s", value, what), "there are: %s", names.text ? names.text : "");
	strbuf_free(&names);
	return e;
}

static const char *state_name(size_t i)
{
	return block_state_name((enum block_state)i);
}

static const char *class_name(size_t i)
{
	return block_class_name((enum block_class)i);
}

static const char *key_name(size_t i)
{
	return keys[i].name;
}

static struct err *parse_word(const char *what, const char *value, const char *(*name)(size_t i), size_t n, uint64_t *ret)
{
	for (size_t i = 0; i < n; i++)
		if (name(i) && !strcmp(name(i), value)) {
			*ret = i;
			return NULL;
		}
	return no_such(what, value, name, n);
}

/* Which sets of holders have one of this name: decided once. */
static struct err *match_holders(struct selector *f, struct term *t)
{
	const struct graph *g = f->s->graph;
	t->n_index = g->sets.n;
	t->by_index = calloc(t->n_index + 1, 1);
	if (!t->by_index)
		return err_nomem();
	for (size_t i = 0; i < g->sets.n; i++) {
		const struct holder_set *set = &g->sets.at[i];
		AUTO_FREE char *joined = query_set_name(g, (uint32_t)i);
		bool yes = joined && !strcmp(joined, t->text);
		for (int k = 0; k < (set->n > 3 ? 3 : set->n) && !yes; k++) {
			const char *name = g->holders.at[set->holders[k]].name;
			yes = t->how == CONTAINS ? strstr(name, t->text) != NULL : !fnmatch(t->text, name, 0) || !strcmp(t->text, name);
		}
		t->by_index[i] = yes;
	}
	return NULL;
}

/* thread=N: kept by this thread's frames or registers. */
static struct err *match_thread(struct selector *f, struct term *t)
{
	const struct picture *p = &f->s->target->picture;
	char name[64];
	int tid = -1;
	for (size_t i = 0; i < p->threads.n; i++)
		if ((uint64_t)p->threads.at[i].tid == t->number || (tid < 0 && i + 1 == t->number))
			tid = (int)p->threads.at[i].tid;
	if (tid < 0)
		return err_hint(err_new(ERR_USAGE, "there is no thread %llu", (unsigned long long)t->number), "threads lists them");
	snprintf(name, sizeof name, "thread %d*", tid);
	t->text = strdup(name);
	t->how = IS;
	return t->text ? match_holders(f, t) : err_nomem();
}

/* older=ADDR: cut from the same arena before this block, as far as addresses tell it. */
static struct err *match_age(struct selector *f, struct term *t)
{
	const struct blocks *bs = f->s->blocks;
	block_id id = blocks_at(bs, t->number);
	if (t->how != IS)
		return err_new(ERR_USAGE, "older and newer take =");
	if (id == BLOCK_NONE)
		return err_hint(err_new(ERR_NOT_FOUND, "no block of the heap is at 0x%llx", (unsigned long long)t->number), "older=ADDR and newer=ADDR name a block");
	t->arena = blocks_arena(bs, id);
	t->number = blocks_payload(bs, id);
	/* The kernel hands out mappings from above (mm/mmap.c of Linux: arch_get_unmapped_area_topdown). */
	if (t->arena == ARENA_MMAP)
		t->kind = t->kind == TERM_OLDER ? TERM_NEWER : TERM_OLDER;
	return NULL;
}

static struct err *parse_number(const struct selector_names *names, const struct key_row *key, const char *value, struct term *t)
{
	bool address = key->kind == TERM_ADDRESS || key->kind == TERM_OLDER || key->kind == TERM_NEWER;
	const char *dots = strstr(value, "..");
	char first[512];
	if (!dots && address)
		return names->address(names->ctx, value, &t->number);
	if (!dots && text_to_bytes(value, &t->number))
		return NULL;
	if (!dots || t->how != IS || key->kind == TERM_OLDER || key->kind == TERM_NEWER || key->kind == TERM_THREAD ||
	    (size_t)(dots - value) >= sizeof first)
		return err_hint(err_new(ERR_USAGE, "'%s' is no number", value), "size>=1M, size=64..128, thread=2");
	snprintf(first, sizeof first, "%.*s", (int)(dots - value), value);
	t->how = WITHIN;
	if (address) {
		TRY(names->address(names->ctx, first, &t->number));
		TRY(names->address(names->ctx, dots + 2, &t->last));
	} else if (!text_to_bytes(first, &t->number) || !text_to_bytes(dots + 2, &t->last)) {
		return err_hint(err_new(ERR_USAGE, "'%s' is no range", value), "size=64..128");
	}
	return t->number <= t->last ? NULL : err_new(ERR_USAGE, "'%s' is an empty range", value);
}

static struct err *parse_value(struct selector *f, const struct selector_names *names, const struct key_row *key, const char *value, struct term *t)
{
	const char *name = value;
	if (t->how == CONTAINS && t->kind != TERM_LABEL && t->kind != TERM_HOLDER && t->kind != TERM_TEXT)
		return err_new(ERR_USAGE, "~ is for label, holder and text, not for %s", key->name);
	if (!key->numeric && t->how != IS && t->how != IS_NOT && t->how != CONTAINS)
		return err_new(ERR_USAGE, "%s takes =, != or ~", key->name);
	if (key->numeric)
		TRY(parse_number(names, key, value, t));
	switch (t->kind) {
	case TERM_STATE:
		return parse_word("state of a block", value, state_name, BLOCK_STATES, &t->number);
	case TERM_CLASS:
		return parse_word("class", value, class_name, CLASS_RUNTIME + 1, &t->number);
	case TERM_ARENA:
		if (!strcmp(value, "mmap"))
			t->number = (uint64_t)ARENA_MMAP;
		else if (!text_to_bytes(value, &t->number))
			return err_new(ERR_USAGE, "arena takes a number or mmap, not '%s'", value);
		return NULL;
	case TERM_THREAD:
		return match_thread(f, t);
	case TERM_HOLDER:
		TRY(names->holder(names->ctx, value, &name));
		t->text = strdup(name);
		return t->text ? match_holders(f, t) : err_nomem();
	case TERM_LABEL:
	case TERM_TEXT:
		t->text = strdup(value);
		return t->text && *value ? NULL : err_new(ERR_USAGE, "%s needs a text", key->name);
	case TERM_OLDER:
	case TERM_NEWER:
		return match_age(f, t);
	case TERM_SIZE:
	case TERM_ADDRESS:
	case TERM_USED:
	case TERM_FREE:
	case TERM_LEAKED:
	case TERM_STACK_ONLY:
	case TERM_SET:
	case TERM_LEAK_GROUP:
	case TERM_UNKNOWN_GROUP:
	case TERM_HELD_BY:
	case TERM_OPEN:
	case TERM_CLOSE:
		break;
	}
	return NULL;
}

static struct err *prepare(struct session *s, enum needs needs)
{
	switch (needs) {
	case NEEDS_WALK:
		return session_walk(s);
	case NEEDS_GRAPH:
		return session_graph(s);
	case NEEDS_TYPES:
		return session_types(s);
	case NEEDS_HOLDERS:
		break;
	}
	return session_holders(s);
}

/* The group of unknown blocks that the named one is in. */
static struct err *match_unknown(struct selector *f, const struct selector_names *names, const char *word, struct term *t)
{
	const struct unknown *u;
	TRY(names->address(names->ctx, word, &t->number));
	TRY(types_unknown(f->s->types, &u));
	block_id id = blocks_at(f->s->blocks, t->number);
	t->kind = TERM_UNKNOWN_GROUP;
	t->groups = u->group_of;
	t->number = id == BLOCK_NONE ? 0 : u->group_of[id];
	return t->number ? NULL : err_new(ERR_NOT_FOUND, "%s is no group of unknown blocks", word);
}

/* The blocks that a line of the report counts: leaks of one label and size, or what exactly these holders keep. */
static struct err *match_rank(struct selector *f, const struct selector_names *names, const char *word, struct term *t)
{
	struct session *s = f->s;
	uint32_t set;
	if (*word == 'H') {
		TRY(prepare(s, NEEDS_HOLDERS));
		TRY(names->holder_set(names->ctx, word, &set));
		t->kind = TERM_HELD_BY;
		t->number = set;
		return NULL;
	}
	if (*word == 'U')
		return match_unknown(f, names, word, t);
	TRY(prepare(s, NEEDS_GRAPH));
	TRY(prepare(s, NEEDS_TYPES));
	TRY(names->address(names->ctx, word, &t->number));
	block_id id = blocks_at(s->blocks, t->number);
	if (id == BLOCK_NONE)
		return err_new(ERR_NOT_FOUND, "%s is no block of this picture", word);
	t->kind = TERM_LEAK_GROUP;
	t->number = blocks_usable(s->blocks, id);
	t->label = types_label(s->types, id);
	return NULL;
}

static struct err *parse_term(struct selector *f, const struct selector_names *names, const char *word, struct term *t)
{
	size_t n = strcspn(word, "<>=!~");
	const char *at = word + n;
	t->bits = at[0] ? NULL : names->set(names->ctx, word);
	if (t->bits) {
		t->kind = TERM_SET;
		return NULL;
	}
	if (is_rank(word))
		return match_rank(f, names, word, t);
	for (size_t i = 0; i < N_KEYS; i++) {
		const struct key_row *key = &keys[i];
		if (strlen(key->name) != n || strncmp(key->name, word, n))
			continue;
		t->kind = key->kind;
		if (key->kind == TERM_TEXT && !f->s->target->picture.extents.n)
			return err_hint(err_new(ERR_UNSUPPORTED, "a census holds no text"), "ask the process, or a core of it");
		TRY(prepare(f->s, key->needs));
		if (key->bare)
			return *at ? err_new(ERR_USAGE, "%s stands alone", key->name) : NULL;
		if (!parse_comparison(&at, &t->how))
			return err_hint(err_new(ERR_USAGE, "%s needs a value", key->name), "size>=1M, class=definite, label=Session*");
		return parse_value(f, names, key, at, t);
	}
	char known[80];
	snprintf(known, sizeof known, "%.*s", (int)n, word);
	return no_such("word of a filter, nor the name of a set", known, key_name, N_KEYS);
}

static bool parse_combine(const char *word, enum combine *ret)
{
	static const char marks[] = "&+-";
	const char *p = word[0] && !word[1] ? strchr(marks, word[0]) : NULL;
	if (p)
		*ret = (enum combine)(p - marks);
	return p;
}

/* A filter's words, cut at brackets; one that a shell handed over whole, "(leaked + free) & size>=1M", at its blanks too. */
struct tokens { VEC(char *) list; };

static bool push_token(struct tokens *t, const char *text, size_t n)
{
	char *copy = strndup(text, n), **slot = copy ? vec_push(&t->list) : NULL;
	if (slot)
		*slot = copy;
	else
		free(copy);
	return slot;
}

/* A bracket that stands in a name, such as label=f(int), belongs to it. */
static bool cut_brackets(struct tokens *t, const char *p, size_t n)
{
	size_t open = 0, close = 0;
	bool ok = true;
	for (; n && *p == '(' && ok; p++, n--)
		ok = push_token(t, "(", 1);
	for (size_t i = 0; i < n; i++) {
		open += p[i] == '(';
		close += p[i] == ')';
	}
	size_t ends = 0;
	while (n && p[n - 1] == ')' && close - ends > open) {
		ends++;
		n--;
	}
	if (n && ok)
		ok = push_token(t, p, n);
	for (; ends && ok; ends--)
		ok = push_token(t, ")", 1);
	return ok;
}

static bool cut_word(struct tokens *t, const char *word)
{
	bool several = *word == '(' || strcspn(word, " ") < strcspn(word, "<>=!~");
	bool ok = true;
	while (several && *word && ok) {
		size_t n = strcspn(word, " ");
		ok = cut_brackets(t, word, n);
		word += n + strspn(word + n, " ");
	}
	return several ? ok : cut_brackets(t, word, strlen(word));
}

static void free_tokens(struct tokens *t)
{
	for (size_t i = 0; i < t->list.n; i++)
		free(t->list.at[i]);
	vec_free(&t->list);
}

struct parser {
	struct selector *f;
	const struct selector_names *names;
	size_t nested[MAX_NESTED]; /* terms that are open brackets */
	unsigned depth;
	enum combine combine;
	bool wants_term;	/* an operator or a bracket waits for it */
};

static struct err *close_bracket(struct parser *p)
{
	struct selector *f = p->f;
	if (!p->depth)
		return err_new(ERR_USAGE, ") closes nothing");
	if (p->wants_term)
		return err_new(ERR_USAGE, "a filter is missing in front of )");
	struct term *t = vec_push(&f->terms);
	if (!t)
		return err_nomem();
	t->kind = TERM_CLOSE;
	f->terms.at[p->nested[--p->depth]].close = f->terms.n - 1;
	return NULL;
}

static struct err *parse_token(struct parser *p, const char *word)
{
	struct selector *f = p->f;
	if (!strcmp(word, ")"))
		return close_bracket(p);
	if (parse_combine(word, &p->combine)) {
		if (p->wants_term || !f->terms.n)
			return err_new(ERR_USAGE, "%s stands between two filters", word);
		p->wants_term = true;
		return NULL;
	}
	bool open = !strcmp(word, "(");
	if (open && p->depth == MAX_NESTED)
		return err_new(ERR_LIMIT, "more than %d brackets in each other", MAX_NESTED);
	struct term *t = vec_push(&f->terms);
	if (!t)
		return err_nomem();
	t->combine = p->combine;
	t->kind = TERM_OPEN;
	if (open)
		p->nested[p->depth++] = f->terms.n - 1;
	else
		TRY(parse_term(f, p->names, word, t));
	p->combine = AND;
	p->wants_term = open;
	return NULL;
}

static struct err *parse(struct selector *f, const struct selector_names *names, const char *const *words, unsigned n, unsigned *ret_taken)
{
	struct parser p = { .f = f, .names = names };
	struct tokens t = { 0 };
	struct err *e = NULL;
	unsigned i;
	for (i = 0; i < n && !e && !selector_is_verb(words[i]); i++)
		e = cut_word(&t, words[i]) ? NULL : err_nomem();
	for (size_t k = 0; k < t.list.n && !e; k++)
		e = parse_token(&p, t.list.at[k]);
	if (!e && p.depth)
		e = err_new(ERR_USAGE, "( is not closed");
	if (!e && p.wants_term)
		e = err_new(ERR_USAGE, "%s stands between two filters", t.list.at[t.list.n - 1]);
	free_tokens(&t);
	*ret_taken = i;
	return e;
}

struct err *selector_create(struct session *s, const struct selector_names *names, const char *const *words, unsigned n, struct selector **ret,
			    unsigned *ret_taken)
{
	struct selector *f = calloc(1, sizeof *f);
	if (!f)
		return err_nomem();
	f->s = s;
	struct err *e = parse(f, names, words, n, ret_taken);
	if (e) {
		selector_free(f);
		return e;
	}
	*ret = f;
	return NULL;
}

void selector_free(struct selector *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->terms.n; i++) {
		free(f->terms.at[i].text);
		free(f->terms.at[i].by_index);
	}
	vec_free(&f->terms);
	free(f);
}

static bool compare(enum comparison how, uint64_t a, uint64_t b)
{
	switch (how) {
	case IS:
		return a == b;
	case IS_NOT:
		return a != b;
	case LESS:
		return a < b;
	case LESS_OR_IS:
		return a <= b;
	case MORE:
		return a > b;
	case MORE_OR_IS:
	case CONTAINS:
	case WITHIN:
		break;
	}
	return a >= b;
}

static bool label_matches(struct selector *f, struct term *t, const struct block_cursor *c)
{
	if (!block_state_is_used(c->state))
		return false;
	uint32_t label = types_label_at(f->s->types, c->id, c->payload, c->usable);
	const char *name = f->s->types->labels[label].name;
	if (label >= t->n_index) {
		uint8_t *grown = realloc(t->by_index, label + 64ul);
		if (!grown)
			return false;
		memset(grown + t->n_index, 0, label + 64ul - t->n_index);
		t->by_index = grown;
		t->n_index = label + 64ul;
	}
	if (!t->by_index[label]) {
		bool yes = t->how == CONTAINS ? strstr(name, t->text) != NULL : !fnmatch(t->text, name, 0) || !strcmp(t->text, name);
		t->by_index[label] = yes ? 2 : 1;
	}
	return (t->by_index[label] == 2) == (t->how != IS_NOT);
}

struct text_search { const char *text; size_t n; bool found; };

static bool in_window(void *ctx, uint64_t address, const uint8_t *data, size_t n)
{
	enum { PART = 16 << 20 }; /* so much is searched between two looks at `interrupted` */
	struct text_search *s = ctx;
	(void)address;
	for (size_t at = 0; at < n && !s->found && !interrupted; at += PART) {
		size_t rest = n - at, take = rest < PART + s->n ? rest : PART + s->n;
		s->found = memmem(data + at, take, s->text, s->n) != NULL;
	}
	return !s->found && !interrupted;
}

static bool text_matches(const struct selector *f, const struct term *t, const struct block_cursor *c)
{
	struct text_search s = { .text = t->text, .n = strlen(t->text) };
	if (block_state_is_used(c->state))
		image_each_window(f->s->image, c->payload, c->payload + c->usable, in_window, &s);
	return s.found == (t->how != IS_NOT);
}

static bool holder_matches(const struct selector *f, const struct term *t, const struct block_cursor *c)
{
	uint32_t set = graph_set(f->s->graph, c->id);
	return (set && set <= t->n_index && t->by_index[set - 1]) == (t->how != IS_NOT);
}

static bool term_matches(struct selector *f, struct term *t, const struct block_cursor *c)
{
	const struct graph *g = f->s->graph;
	switch (t->kind) {
	case TERM_SIZE:
		return compare(t->how, c->usable, t->number) && (t->how != WITHIN || c->usable <= t->last);
	case TERM_ADDRESS:
		return compare(t->how, c->payload, t->number) && (t->how != WITHIN || c->payload <= t->last);
	case TERM_OLDER:
		return c->arena == t->arena && c->payload < t->number;
	case TERM_NEWER:
		return c->arena == t->arena && c->payload > t->number;
	case TERM_STATE:
		return compare(t->how, c->state, t->number);
	case TERM_USED:
		return block_state_is_used(c->state);
	case TERM_FREE:
		return block_state_is_free(c->state);
	case TERM_CLASS:
		return compare(t->how, g->class_of[c->id], t->number);
	case TERM_LEAKED:
		return graph_is_leaked(g, c->id);
	case TERM_STACK_ONLY:
		return g->stack_only_bits[c->id / 64] >> c->id % 64 & 1;
	case TERM_LABEL:
		return label_matches(f, t, c);
	case TERM_LEAK_GROUP:
		return g->class_of[c->id] == CLASS_DEFINITE && c->usable == t->number && types_label_at(f->s->types, c->id, c->payload, c->usable) == t->label;
	case TERM_UNKNOWN_GROUP:
		return t->groups[c->id] == t->number;
	case TERM_HELD_BY:
		return graph_set(g, c->id) == t->number;
	case TERM_ARENA:
		return compare(t->how, (uint64_t)(int64_t)c->arena, t->number);
	case TERM_HOLDER:
	case TERM_THREAD:
		return holder_matches(f, t, c);
	case TERM_TEXT:
		return text_matches(f, t, c);
	case TERM_SET:
	case TERM_OPEN:
	case TERM_CLOSE:
		break;
	}
	return t->bits[c->id / 64] >> c->id % 64 & 1;
}

bool selector_match(struct selector *f, const struct block_cursor *c)
{
	bool in = true;
	enum combine outer[MAX_NESTED]; /* how the bracket that is open is combined */
	unsigned depth = 0;
	for (size_t i = 0; i < f->terms.n; i++) {
		struct term *t = &f->terms.at[i];
		enum combine combine = t->combine;
		bool yes = in;
		if (t->kind == TERM_CLOSE) {
			combine = outer[--depth];
		} else if (combine == OR ? in : !in) {
			/* What cannot change the answer is not asked: a label costs a look into the block. */
			if (t->kind == TERM_OPEN)
				i = t->close;
			continue;
		} else if (t->kind == TERM_OPEN) {
			outer[depth++] = combine;
			in = true;
			continue;
		} else {
			yes = term_matches(f, t, c);
		}
		in = combine == MINUS ? !yes : yes;
	}
	return in;
}

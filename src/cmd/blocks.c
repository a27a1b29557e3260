/* flotsam blocks: the blocks of the heap: filtered, then listed, sorted, grouped or counted. */
#include "cmd.h"

#include <inttypes.h>

static const struct column columns[] = {
	{ "address", "ADDRESS", "payload address", CELL_ADDRESS, 0 },
	{ "size", "USABLE", "usable bytes", CELL_BYTES, 10 },
	{ "state", "STATE", "what malloc says of it", CELL_TEXT, 9 },
	{ "class", "CLASS", "how it is reached; null when free", CELL_TEXT, 0 },
	{ "stack_only", "STACK", "reached through thread frames or registers alone", CELL_BOOL, 5 },
	{ "arena", "ARENA", "index, or mmap", CELL_INT_OR_TEXT, 5 },
	{ "label", "LABEL", "what it is", CELL_TEXT, 0 },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0], SELDOM = 2 /* in front of the label */ };
/* --types=all: how certain a label is; only for programs, since a line of text is full. */
static const struct column tier_column = { "tier", "TIER", "A certain to D content; null: named by its size alone", CELL_TEXT, 4 };
/* sort retained shows what it sorts by. */
static const struct column retained_column = { "retained_bytes", "RETAINED", "usable bytes that would come back with it", CELL_BYTES, 14 };

enum group_key { BY_NONE, BY_LABEL, BY_USABLE, BY_HOLDER, BY_ARENA, BY_CONTENT, BY_CLASS, BY_STATE };
static const char *const group_keys[] = { NULL, "label", "size", "holder", "arena", "content", "class", "state" };
enum sort_key { SORT_NONE, SORT_BYTES, SORT_SIZE, SORT_BLOCKS, SORT_ADDRESS, SORT_RETAINED };
static const char *const sort_keys[] = { NULL, "bytes", "size", "blocks", "address", "retained" };

bool command_begins_filter(const char *word)
{
	return !command_by_name(word) && selector_begins(word);
}

const char *command_blocks_key(const char *verb, size_t i)
{
	bool group = !strcmp(verb, "by");
	size_t n = group ? sizeof group_keys / sizeof *group_keys : sizeof sort_keys / sizeof *sort_keys;
	return i + 1 < n ? (group ? group_keys : sort_keys)[i + 1] : NULL;
}

struct question {
	const struct arguments *a;
	struct session *s;
	struct out *o;
	struct selector *which;
	enum group_key group;
	enum sort_key sort;
	uint64_t top;		/* 0: all */
	bool count, sum, topped; /* topped: a number was named */
};

static struct err *choose(const char *what, const char *word, const char *const *names, int n, int *ret)
{
	struct strbuf known = { 0 };
	for (int i = 1; i < n; i++) {
		strbuf_printf(&known, i > 1 ? ", %s" : "%s", names[i]);
		if (word && !strcmp(word, names[i]))
			*ret = i;
	}
	struct err *e = *ret ? NULL : err_hint(err_new(ERR_USAGE, "%s what? '%s'", what, word ? word : ""), "there are: %s", known.text ? known.text : "");
	strbuf_free(&known);
	return e;
}

/* group by KEY, sort KEY, top N, count, sum: behind the filter, in any order. */
static struct err *parse_verbs(struct question *q, unsigned from)
{
	const struct arguments *a = q->a;
	for (unsigned i = from; i < a->n_words; i++) {
		const char *verb = a->words[i], *next = i + 1 < a->n_words ? a->words[i + 1] : NULL;
		int choice = 0;
		if (!strcmp(verb, "count")) {
			q->count = true;
		} else if (!strcmp(verb, "sum")) {
			q->sum = true;
		} else if (!strcmp(verb, "group")) {
			i += next && !strcmp(next, "by");
			next = i + 1 < a->n_words ? a->words[i + 1] : NULL;
			TRY(choose("group by", next, group_keys, 8, &choice));
			q->group = (enum group_key)choice;
			i++;
		} else if (!strcmp(verb, "sort")) {
			TRY(choose("sort by", next, sort_keys, 6, &choice));
			q->sort = (enum sort_key)choice;
			i++;
		} else if (!strcmp(verb, "top")) {
			if (!next || !text_to_bytes(next, &q->top))
				return err_new(ERR_USAGE, "top how many?");
			q->topped = true;
			i++;
		} else {
			return err_hint(err_new(ERR_USAGE, "'%s' stands behind what is done with the blocks", verb), "help blocks");
		}
	}
	return NULL;
}

static bool wanted_by_options(const struct arguments *a, const struct block_cursor *c, const char *class)
{
	if (a->class && (!class || strcmp(class, a->class)))
		return false;
	if (a->state && strcmp(block_state_name(c->state), a->state))
		return false;
	return c->usable >= a->min_size;
}

static bool wanted(const struct question *q, const struct block_cursor *c)
{
	return wanted_by_options(q->a, c, cmd_class_of(q->s, c->id)) && selector_match(q->which, c);
}

static bool has_tiers(const struct question *q)
{
	return q->s->types->typed_labels && !cmd_is_text(q->a);
}

/* At the prompt the item number takes the room of two that are seldom asked for; -v has them. */
static bool is_brief(const struct question *q)
{
	return q->a->prompt && cmd_is_text(q->a) && !q->a->verbose;
}

static void begin(struct question *q, struct listing *l)
{
	struct column all[N_COLUMNS + 2] = { retained_column };
	bool retained = q->sort == SORT_RETAINED;
	size_t n = N_COLUMNS + retained;
	memcpy(all + retained, columns, sizeof columns);
	all[n] = tier_column;
	if (is_brief(q)) {
		n -= SELDOM;
		all[n - 1] = columns[N_COLUMNS - 1];
	}
	listing_begin(l, q->a, q->o, "blocks", all, n + has_tiers(q));
}

static void put(struct question *q, struct listing *l, const struct block_cursor *c)
{
	struct session *s = q->s;
	/* Asked for before the list of labels is looked at: it may move. */
	uint32_t label = block_state_is_used(c->state) ? types_label_at(s->types, c->id, c->payload, c->usable) : UINT32_MAX;
	bool retained = q->sort == SORT_RETAINED;
	bool tier = has_tiers(q) && label != UINT32_MAX;
	struct cell cells[N_COLUMNS + 2] = {
		{ .number = retained ? s->tree->bytes[tree_node(s->tree, c->id)] : 0 },
		{ .number = c->payload },
		{ .number = c->usable },
		{ .text = block_state_name(c->state) },
		{ .text = cmd_class_of(s, c->id) },
		{ .number = s->graph->stack_only_bits[c->id / 64] >> c->id % 64 & 1 },
		{ .text = c->arena == ARENA_MMAP ? "mmap" : NULL, .number = (uint64_t)c->arena },
		{ .text = label == UINT32_MAX ? NULL : s->types->labels[label].name },
		{ .text = tier ? cmd_tier_name(types_block_tier(s->types, c->id, c->payload, c->usable)) : NULL },
	};
	if (is_brief(q))
		cells[N_COLUMNS - SELDOM] = cells[N_COLUMNS];
	listing_record(l, c->payload, cells + !retained);
}

static void end(struct question *q, struct listing *l)
{
	if (!l->sink.records && cmd_is_text(q->a))
		out_printf(q->o, "no block of %s is like that\n", text_count(q->s->blocks->n).text);
	else
		listing_end(l);
}

static struct err *stopped(void)
{
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

static struct err *list_all(struct question *q)
{
	struct listing l;
	struct block_cursor c;
	begin(q, &l);
	for (blocks_begin(q->s->blocks, &c); blocks_next(&c) && !q->o->error && !interrupted && (!q->top || l.sink.records < q->top);)
		if (wanted(q, &c))
			put(q, &l, &c);
	TRY(stopped());
	end(q, &l);
	return NULL;
}

struct sortable { uint64_t key; block_id id; };
struct sorted { VEC(struct sortable) list; size_t most; /* that are asked for */ };

static int descending(const void *a, const void *b, void *ctx)
{
	const struct sortable *x = a, *y = b;
	(void)ctx;
	if (x->key != y->key)
		return x->key > y->key ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static uint64_t sort_value(const struct question *q, const struct block_cursor *c)
{
	if (q->sort == SORT_ADDRESS)
		return UINT64_MAX - c->payload;
	return q->sort == SORT_RETAINED ? q->s->tree->bytes[tree_node(q->s->tree, c->id)] : c->usable;
}

static void keep_first(struct sorted *l)
{
	sort_many(l->list.at, l->list.n, sizeof *l->list.at, descending, NULL);
	if (l->list.n > l->most)
		l->list.n = l->most;
}

/* Of millions the first twenty need no list of millions: it is cut when it holds twice what is asked for, and what is behind
 * the last that was kept then is not taken. */
static bool add_sorted(struct sorted *l, uint64_t *least, uint64_t key, block_id id)
{
	if (key < *least)
		return true;
	struct sortable *slot = vec_push(&l->list);
	if (!slot)
		return false;
	*slot = (struct sortable){ key, id };
	if (l->list.n / 2 >= l->most) {
		keep_first(l);
		*least = l->list.at[l->list.n - 1].key;
	}
	return true;
}

static struct err *sort_blocks(struct question *q, struct sorted *l)
{
	struct block_cursor c;
	uint64_t least = 0;
	bool ok = true;
	l->most = q->top ? q->top : SIZE_MAX;
	for (blocks_begin(q->s->blocks, &c); ok && !interrupted && blocks_next(&c);)
		if (wanted(q, &c))
			ok = add_sorted(l, &least, sort_value(q, &c), c.id);
	if (!ok)
		return err_nomem();
	TRY(stopped());
	keep_first(l);
	return stopped();
}

static struct err *list_sorted(struct question *q)
{
	struct sorted sorted = { 0 };
	if (q->sort == SORT_RETAINED)
		TRY(session_tree(q->s));
	struct err *e = sort_blocks(q, &sorted);
	if (!e) {
		struct listing l;
		struct block_cursor c;
		begin(q, &l);
		blocks_begin(q->s->blocks, &c);
		for (size_t i = 0; i < sorted.list.n && !q->o->error && !interrupted; i++) {
			blocks_seek(&c, sorted.list.at[i].id);
			if (blocks_next(&c))
				put(q, &l, &c);
		}
		e = stopped();
		if (!e)
			end(q, &l);
	}
	vec_free(&sorted.list);
	return e;
}

/* Groups */

struct group { uint64_t key, blocks, bytes, sample; uint32_t label; };

struct fold { uint64_t h; };

/* FNV-1a: groups of equal content are told apart by 64 bits. */
static bool fold_window(void *ctx, uint64_t address, const uint8_t *data, size_t n)
{
	enum { PART = 1 << 20 };
	struct fold *f = ctx;
	(void)address;
	for (size_t i = 0; i < n && (i % PART || !interrupted); i++)
		f->h = (f->h ^ data[i]) * 0x100000001b3u;
	return !interrupted;
}

static uint64_t group_value(const struct question *q, const struct block_cursor *c)
{
	struct fold f = { 0xcbf29ce484222325u ^ c->usable };
	switch (q->group) {
	case BY_LABEL:
		return block_state_is_used(c->state) ? types_label_at(q->s->types, c->id, c->payload, c->usable) : UINT64_MAX - c->state;
	case BY_USABLE:
		return c->usable;
	case BY_HOLDER:
		return graph_set(q->s->graph, c->id);
	case BY_ARENA:
		return (uint64_t)(int64_t)c->arena;
	case BY_CONTENT:
		image_each_window(q->s->image, c->payload, c->payload + c->usable, fold_window, &f);
		return f.h;
	case BY_CLASS:
		return q->s->graph->class_of[c->id];
	case BY_STATE:
	case BY_NONE:
		break;
	}
	return c->state;
}

static char *group_name(const struct question *q, const struct group *g)
{
	char *text = NULL;
	int n = 0;
	switch (q->group) {
	case BY_LABEL:
		return strdup(g->label != UINT32_MAX ? q->s->types->labels[g->label].name : block_state_name((enum block_state)(UINT64_MAX - g->key)));
	case BY_USABLE:
		n = asprintf(&text, "%" PRIu64 " B", g->key);
		break;
	case BY_HOLDER:
		return g->key ? query_set_name(q->s->graph, (uint32_t)g->key - 1) : strdup("(none)");
	case BY_ARENA:
		n = (int64_t)g->key == ARENA_MMAP ? asprintf(&text, "mmap") : asprintf(&text, "arena %" PRIu64, g->key);
		break;
	case BY_CONTENT:
		n = asprintf(&text, "%s, as at 0x%" PRIx64, g->label != UINT32_MAX ? q->s->types->labels[g->label].name : "free", g->sample);
		break;
	case BY_CLASS:
		return strdup(g->key ? block_class_name((enum block_class)g->key) : "(free)");
	case BY_STATE:
	case BY_NONE:
		return strdup(block_state_name((enum block_state)g->key));
	}
	return n < 0 ? NULL : text;
}

static uint64_t order_of(const struct group *g, enum sort_key by)
{
	return by == SORT_BLOCKS ? g->blocks : by == SORT_SIZE ? g->bytes / g->blocks : by == SORT_ADDRESS ? UINT64_MAX - g->sample : g->bytes;
}

static int compare_groups(const void *a, const void *b, void *sort_key)
{
	const struct group *x = a, *y = b;
	uint64_t p = order_of(x, *(enum sort_key *)sort_key), q = order_of(y, *(enum sort_key *)sort_key);
	if (p != q)
		return p > q ? -1 : 1;
	return x->sample < y->sample ? -1 : x->sample > y->sample;
}

/* The index is many small tables: one that doubles with millions of groups in it would take longer than Ctrl-C may. */
enum { GROUP_TABLES = 64 };
struct groups { VEC(struct group) list; struct map64 index[GROUP_TABLES]; };

static struct map64 *table_of(struct groups *gs, uint64_t key)
{
	return &gs->index[(key * 0x9e3779b97f4a7c15u) >> 58];
}

static bool add_to_group(struct question *q, struct groups *gs, const struct block_cursor *c)
{
	uint64_t key = group_value(q, c), at;
	struct map64 *index = table_of(gs, key);
	if (!map64_find(index, key, &at)) {
		struct group *g = vec_push(&gs->list);
		at = gs->list.n - 1;
		if (!g || !map64_put(index, key, at))
			return false;
		*g = (struct group){ .key = key, .sample = c->payload, .label = UINT32_MAX };
		if ((q->group == BY_LABEL || q->group == BY_CONTENT) && block_state_is_used(c->state))
			g->label = types_label_at(q->s->types, c->id, c->payload, c->usable);
	}
	gs->list.at[at].blocks++;
	gs->list.at[at].bytes += c->usable;
	return true;
}

static const struct column group_columns[] = {
	{ "group", "GROUP", "what its blocks have in common", CELL_TEXT, 34 },
	{ "blocks", "BLOCKS", "blocks", CELL_COUNT, 8 },
	{ "bytes", "BYTES", "usable bytes", CELL_BYTES, 11 },
	{ "sample", "FIRST", "address of the first block", CELL_ADDRESS, 0 },
};
enum { GROUP_COLUMNS = sizeof group_columns / sizeof group_columns[0] };

/* Holders that are containers say so: programs have it in columns, people behind the line. */
static void begin_groups(struct question *q, struct listing *l)
{
	struct column all[GROUP_COLUMNS + CONTAINER_CELLS];
	size_t more = q->group != BY_HOLDER ? 0 : cmd_is_text(q->a) ? 1 : CONTAINER_CELLS;
	memcpy(all, group_columns, sizeof group_columns);
	memcpy(all + GROUP_COLUMNS, cmd_container_columns, sizeof cmd_container_columns);
	listing_begin(l, q->a, q->o, "groups", all, GROUP_COLUMNS + more);
}

static void put_group(struct question *q, struct listing *l, const struct group *g)
{
	AUTO_FREE char *name = group_name(q, g);
	struct strbuf text = { 0 };
	struct cell cells[GROUP_COLUMNS + CONTAINER_CELLS] = { { .text = name }, { .number = g->blocks }, { .number = g->bytes }, { .number = g->sample } };
	const struct holder_set *set = q->group == BY_HOLDER && g->key ? &q->s->graph->sets.at[g->key - 1] : NULL;
	uint32_t holder = set && set->n == 1 && l->sink.records < CONTAINER_ROWS ? set->holders[0] : UINT32_MAX;
	struct container c;
	if (!cmd_is_text(q->a)) {
		cmd_container_cells(q->s, holder, 0, cells + GROUP_COLUMNS);
	} else if (holder != UINT32_MAX && query_holder_container(q->s, holder, 0, &c)) {
		cmd_add_container(&text, &c, q->s->graph->holders.at[holder].kind == HOLDER_FRAME);
		cells[GROUP_COLUMNS].text = text.text;
	} else {
		cells[GROUP_COLUMNS].text = "";
	}
	listing_record(l, g->sample, cells);
	strbuf_free(&text);
}

static struct err *list_groups(struct question *q)
{
	enum { SCREEN = 40 }; /* lines for people, who asked for no number of them */
	struct groups gs = { 0 };
	struct block_cursor c;
	if (!q->topped && cmd_is_text(q->a))
		q->top = SCREEN;
	bool ok = true;
	if (q->group == BY_HOLDER)
		TRY(session_holders(q->s));
	for (blocks_begin(q->s->blocks, &c); blocks_next(&c) && ok && !interrupted;)
		if (wanted(q, &c))
			ok = add_to_group(q, &gs, &c);
	if (ok)
		sort_many(gs.list.at, gs.list.n, sizeof *gs.list.at, compare_groups, &q->sort);
	struct err *e = ok ? stopped() : err_nomem();
	if (!e) {
		struct listing l;
		begin_groups(q, &l);
		for (size_t i = 0; i < gs.list.n && (!q->top || i < q->top) && !q->o->error && !interrupted; i++)
			put_group(q, &l, &gs.list.at[i]);
		e = stopped();
		if (!e)
			listing_end(&l);
		if (!e && q->top && gs.list.n > q->top && cmd_is_text(q->a))
			out_printf(q->o, "%zu more group%s (top 0)\n", gs.list.n - (size_t)q->top, gs.list.n - q->top == 1 ? "" : "s");
	}
	vec_free(&gs.list);
	for (int i = 0; i < GROUP_TABLES; i++)
		map64_free(&gs.index[i]);
	return e;
}

static const struct column sum_columns[] = {
	{ "blocks", "BLOCKS", "blocks", CELL_COUNT, 0 },
	{ "bytes", "BYTES", "usable bytes", CELL_BYTES, 11 },
};

static struct err *add_up(struct question *q)
{
	struct block_cursor c;
	struct class_sum sum = { 0 };
	for (blocks_begin(q->s->blocks, &c); blocks_next(&c) && !interrupted;)
		if (wanted(q, &c)) {
			sum.blocks++;
			sum.bytes += c.usable;
		}
	TRY(stopped());
	if (!cmd_is_text(q->a)) {
		struct sink k;
		struct cell cells[] = { { .number = sum.blocks }, { .number = sum.bytes } };
		sink_begin(&k, sink_find(q->a->format), q->o, sum_columns, 2);
		k.noun = "sums";
		sink_record(&k, cells);
		sink_end(&k);
		return NULL;
	}
	out_printf(q->o, "%s block%s", text_count(sum.blocks).text, sum.blocks == 1 ? "" : "s");
	if (q->sum)
		out_printf(q->o, ", %s (%s bytes)", text_size(sum.bytes).text, text_count(sum.bytes).text);
	out_puts(q->o, "\n");
	return NULL;
}

static struct err *answer(struct question *q)
{
	if (q->count || q->sum)
		return add_up(q);
	if (q->group)
		return list_groups(q);
	return q->sort ? list_sorted(q) : list_all(q);
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct question q = { .a = a, .s = s, .o = o };
	struct cmd_names names;
	unsigned taken;
	TRY(cmd_need_walk(s, ret_status));
	TRY(session_graph(s));
	TRY(session_types(s));
	cmd_names_init(&names, a, s);
	TRY(selector_create(s, &names.names, a->words, a->n_words, &q.which, &taken));
	struct err *e = parse_verbs(&q, taken);
	if (!e)
		e = answer(&q);
	selector_free(q.which);
	*ret_status = s->alloc->partial || s->target->picture.truncated ? EXIT_PARTIAL : EXIT_REPORT;
	return e;
}

const struct command command_blocks = {
	.name = "blocks",
	.summary = "the blocks of the heap: filtered, sorted, grouped",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam blocks 4242 --class definite         each lost block\n"
		"  flotsam blocks 4242 --format jsonl -o all.jsonl\n"
		"                                               a whole file ends in {\"end\":true\n"
		"  flotsam blocks ./core.4242 'size>=1M' sort size top 20\n"
		"  blocks used group by label top 20            at the prompt\n"
		"  blocks leaked text~session count\n"
		"  blocks holder=g_cache 'size<64' group by content\n"
		"  blocks L1 sort address                       what a line of the report counts\n"
		"  leaked & size>=1k                            blocks may be left out\n"
		"  blocks (leaked + class=possible) & size=64..1k\n"
		"  blocks leaked newer=L1                       behind it: L1, an item, 0x7f..\n"
		"\n"
		"filter: size= size>= size=64..128 address>= state= class= label= label~ type=\n"
		"        arena= holder= holder~ thread= text~ older= newer= leaked used free\n"
		"        stack_only, L1, H1, set names; & (and) + (or) - (but not) between\n"
		"        them, from the left, & where none stands; ( ) around what is one\n"
		"then:   group by label|size|holder|arena|content|class|state,\n"
		"        sort bytes|size|blocks|address|retained, top N, count, sum\n",
	.group = GROUP_BLOCKS,
	.operands = "[FILTER] [group by KEY] [sort KEY] [top N]",
	.max_words = MAX_WORDS,
	.completes = COMPLETES_FILTER,
	.filters = true,
	.on_census = true,
	.run = run,
};

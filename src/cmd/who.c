/* who, refs: the pointers to a block and the pointers in it. */
#include "cmd.h"

#include <inttypes.h>

static const struct column text_columns[] = {
	{ "from", "FROM", "address of the word", CELL_TEXT, 18 },
	{ "points", "POINTS AT", "where it points into the block", CELL_TEXT, 10 },
	{ "what", "WHAT HOLDS IT", "the root or block", CELL_TEXT, 0 },
};
static const struct column data_columns[] = {
	{ "from", NULL, "address of the word; 0x0: a register, or a word of the kernel", CELL_ADDRESS, 0 },
	{ "value", NULL, "what it holds", CELL_ADDRESS, 0 },
	{ "offset", NULL, "from the start of what was asked for", CELL_COUNT, 0 },
	{ "kind", NULL, "root, block or stale", CELL_TEXT, 0 },
	{ "name", NULL, "of the root", CELL_TEXT, 0 },
	{ "where", NULL, "of the root", CELL_TEXT, 0 },
	{ "block", NULL, "address of the block that the word is in; 0x0: none", CELL_ADDRESS, 0 },
	{ "label", NULL, "of that block; or of the object in a language's own pools", CELL_TEXT, 0 },
	{ "class", NULL, "of that block", CELL_TEXT, 0 },
	{ "container", NULL, "type of the container in the root that the word lies in; null: none", CELL_TEXT, 0 },
	{ "member", NULL, "where in the root that stands; null: it is the root", CELL_TEXT, 0 },
	{ "items", NULL, "in that container; null: not counted", CELL_COUNT, 0 },
};
enum { DATA_COLUMNS = sizeof data_columns / sizeof data_columns[0] };

struct asked { uint64_t address, bytes; /* the range that is pointed at */ };

struct row {
	const struct reference *r;
	const struct holder *holder; /* NULL: a block, or stale */
	bool contains;		     /* the word lies in this container: */
	struct container container;
	uint64_t payload;	     /* of the block */
	const char *kind;
	const char *pooled;	     /* type of the object, in a language's own pools, that the word is in; or NULL */
};

/* A symbol is asked for whole, a block whole, any other address as a word. */
static struct err *parse(const struct arguments *a, struct session *s, struct asked *ret)
{
	struct symbol sym;
	TRY(cmd_address(a, s, a->words[0], &ret->address));
	ret->bytes = 1;
	block_id id = blocks_at(s->blocks, ret->address);
	if (id != BLOCK_NONE) {
		ret->address = blocks_payload(s->blocks, id);
		ret->bytes = blocks_usable(s->blocks, id);
	} else if (modules_symbol_at(s->modules, ret->address, &sym) && sym.size) {
		ret->address = sym.address;
		ret->bytes = sym.size;
	}
	return NULL;
}

static struct err *describe(struct session *s, const struct listing *l, const struct reference *r, struct row *ret)
{
	uint32_t holder;
	uint64_t block;
	*ret = (struct row){ .r = r, .kind = r->live ? "block" : "stale" };
	if (r->block != BLOCK_NONE)
		ret->payload = blocks_payload(s->blocks, r->block);
	if (!r->live)
		return NULL;
	/* A word of a block is no root, unless the block is a stack or the like. */
	struct err *e = graph_reference_holder(s->graph, r, &holder);
	if (e && e->kind != ERR_NOT_FOUND)
		return e;
	if (e) {
		err_free(e);
		return NULL;
	}
	ret->kind = "root";
	ret->pooled = types_pooled(s->types, r->from, &block);
	ret->holder = &s->graph->holders.at[holder];
	ret->contains = !ret->pooled && l->sink.records < CONTAINER_ROWS && query_holder_container(s, holder, r->from, &ret->container);
	return NULL;
}

static void add_block(struct strbuf *to, struct session *s, block_id id, uint64_t from, uint64_t payload)
{
	const char *label = cmd_label_of(s, id), *class = cmd_class_of(s, id);
	strbuf_printf(to, "block 0x%" PRIx64 "+0x%" PRIx64, payload, from - payload);
	if (label)
		strbuf_printf(to, "  %s, %s", label, class ? class : "");
}

static void put_text(struct listing *l, struct session *s, const struct row *row, uint64_t offset)
{
	struct strbuf what = { 0 };
	char from[32] = "register", points[32] = "start";
	if (row->r->from)
		snprintf(from, sizeof from, "0x%" PRIx64, row->r->from);
	else if (row->r->kernel)
		snprintf(from, sizeof from, "kernel");
	if (offset)
		snprintf(points, sizeof points, "+%" PRIu64, offset);
	if (row->pooled) {
		AUTO_FREE char *place = query_place(s, row->r->from);
		strbuf_puts(&what, place ? place : row->pooled);
	} else if (row->holder) {
		strbuf_puts(&what, row->holder->name);
		if (row->r->from > row->holder->address && row->r->from - row->holder->address < 1u << 20)
			strbuf_printf(&what, "+0x%" PRIx64, row->r->from - row->holder->address);
		if (row->holder->where)
			strbuf_printf(&what, "  %s", row->holder->where);
		if (row->contains) {
			strbuf_puts(&what, "  ");
			cmd_add_container(&what, &row->container, row->holder->kind == HOLDER_FRAME);
		}
	} else if (row->r->live) {
		add_block(&what, s, row->r->block, row->r->from, row->payload);
	} else {
		AUTO_FREE char *place = query_place(s, row->r->from);
		strbuf_printf(&what, "stale: %s%s", row->r->block != BLOCK_NONE ? "free " : "", place ? place : "");
	}
	struct cell cells[] = { { .text = from }, { .text = points }, { .text = what.text } };
	listing_record(l, row->r->live && row->payload ? row->payload : row->r->from, cells);
	strbuf_free(&what);
}

static void put_data(struct listing *l, struct session *s, const struct row *row, uint64_t offset)
{
	bool block = row->r->block != BLOCK_NONE;
	const struct container *c = row->contains ? &row->container : NULL;
	struct cell cells[] = {
		{ .number = row->r->from }, { .number = row->r->value }, { .number = offset }, { .text = row->kind },
		{ .text = row->holder ? row->holder->name : NULL }, { .text = row->holder ? row->holder->where : NULL }, { .number = row->payload },
		{ .text = block ? cmd_label_of(s, row->r->block) : row->pooled }, { .text = block ? cmd_class_of(s, row->r->block) : NULL },
		{ .text = c ? c->type : NULL }, { .text = c && *c->name ? c->name : NULL }, { .number = c ? c->items : UNKNOWN },
	};
	listing_record(l, 0, cells);
}

/* A pool of memory points into itself hundreds of times; what one asks for is who else does. */
enum { FEW = 3 };
static bool is_own(const struct session *s, const struct asked *asked, const struct reference *r)
{
	return r->live && r->block != BLOCK_NONE && blocks_payload(s->blocks, r->block) == asked->address;
}

/* How many of the words behind this one are of the same block, and left out where they are many. */
static size_t left_out(const struct references *refs, size_t from)
{
	size_t i = from;
	block_id block = refs->list.at[from].block;
	while (i < refs->list.n && refs->list.at[i].block == block && refs->list.at[i].live)
		i++;
	return block != BLOCK_NONE ? i - from : 0;
}

/* For people: a few words of each block, none of its own where they are many. */
static struct err *put_few(struct session *s, struct out *o, const struct asked *asked, const struct references *refs, struct listing *l)
{
	size_t own = 0, of_block = 0;
	for (size_t i = 0; i < refs->list.n; i++)
		own += is_own(s, asked, &refs->list.at[i]);
	for (size_t i = 0; i < refs->list.n && !o->error && !interrupted; i++) {
		const struct reference *r = &refs->list.at[i];
		struct row row;
		if (!r->live || (own > FEW && is_own(s, asked, r)))
			continue;
		of_block = i && r->block == refs->list.at[i - 1].block && r->block != BLOCK_NONE ? of_block + 1 : 0;
		size_t rest = of_block == FEW ? left_out(refs, i) : 0;
		if (rest > 1) {
			char more[48];
			snprintf(more, sizeof more, "and %zu more words of it (-v)", rest);
			struct cell cells[] = { { .text = "-" }, { .text = "" }, { .text = more } };
			listing_record(l, 0, cells);
			i += rest - 1;
			continue;
		}
		TRY(describe(s, l, r, &row));
		put_text(l, s, &row, r->value - asked->address);
	}
	if (own > FEW)
		out_printf(o, "%zu words of the block itself, which are no reason for it to stay (-v)\n", own);
	return NULL;
}

static struct err *put_all(const struct arguments *a, struct session *s, struct out *o, const struct asked *asked, const struct references *refs)
{
	struct listing l;
	bool text = cmd_is_text(a);
	size_t stale = 0;
	for (size_t i = 0; i < refs->list.n; i++)
		stale += !refs->list.at[i].live;
	listing_begin(&l, a, o, "references", text ? text_columns : data_columns, text ? 3 : DATA_COLUMNS);
	if (text && !a->verbose)
		TRY(put_few(s, o, asked, refs, &l));
	for (size_t i = 0; (!text || a->verbose) && i < refs->list.n && !o->error && !interrupted; i++) {
		const struct reference *r = &refs->list.at[i];
		struct row row;
		TRY(describe(s, &l, r, &row));
		(text ? put_text : put_data)(&l, s, &row, r->value - asked->address);
	}
	if (!text || l.sink.records)
		listing_end(&l);
	if (text && stale && !a->verbose)
		out_printf(o, "%zu stale word%s in free memory or behind a stack pointer: nobody reads them (-v)\n", stale, stale == 1 ? "" : "s");
	if (text && refs->list.n == stale)
		out_puts(o, blocks_at(s->blocks, asked->address) != BLOCK_NONE ? "Nothing alive points at it.\n"
									       : "Nothing points at it. It is no block, and needs nobody to stay.\n");
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

static struct err *who(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct asked asked;
	struct references refs;
	TRY(cmd_need_walk(s, ret_status));
	TRY(session_graph(s));
	TRY(session_types(s));
	TRY(parse(a, s, &asked));
	TRY(graph_references(s->graph, asked.address, asked.address + asked.bytes, &refs));
	struct err *e = put_all(a, s, o, &asked, &refs);
	vec_free(&refs.list);
	*ret_status = EXIT_REPORT;
	return e;
}

/* refs */

static const struct column ref_columns[] = {
	{ "offset", "OFFSET", "of the word in the block", CELL_COUNT, 8 },
	{ "value", "VALUE", "what it holds", CELL_ADDRESS, 0 },
	{ "kind", "KIND", "block, free or other", CELL_TEXT, 6 },
	{ "points", "POINTS AT", "offset into the block that it points at", CELL_COUNT, 9 },
	{ "what", "WHAT", "label of the block, or the place", CELL_TEXT, 0 },
};

struct refs_page { struct listing *l; struct session *s; struct out *o; };

/* A word that leads somewhere: into the heap, or to a symbol. All others are no pointers. */
static void put_pointer(void *ctx, uint64_t offset, uint64_t value)
{
	struct refs_page *p = ctx;
	struct listing *l = p->l;
	struct session *s = p->s;
	block_id id = blocks_at(s->blocks, value);
	struct symbol sym;
	if (p->o->error || (id != BLOCK_NONE && value < blocks_payload(s->blocks, id)))
		return;
	if (id == BLOCK_NONE) {
		const struct mapping *m = value ? picture_mapping(&s->target->picture, value) : NULL;
		if (!m || !(modules_symbol_at(s->modules, value, &sym) || runtime_extent_at(s->runtime, value)))
			return;
		AUTO_FREE char *place = query_place(s, value);
		struct cell cells[] = { { .number = offset }, { .number = value }, { .text = "other" }, { .number = 0 }, { .text = place } };
		listing_record(l, value, cells);
		return;
	}
	uint64_t payload = blocks_payload(s->blocks, id);
	bool used = block_state_is_used(blocks_state(s->blocks, id));
	struct cell cells[] = { { .number = offset }, { .number = value }, { .text = used ? "block" : "free" }, { .number = value - payload },
				{ .text = used ? types_name(s->types, id) : block_state_name(blocks_state(s->blocks, id)) } };
	listing_record(l, payload, cells);
}

static struct err *refs(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	block_id id;
	struct listing l;
	struct refs_page page = { &l, s, o };
	TRY(cmd_need_walk(s, ret_status));
	TRY(session_graph(s));
	TRY(session_types(s));
	TRY(cmd_block(a, s, a->words[0], &id));
	TRY(graph_need_references(s->graph));
	listing_begin(&l, a, o, "references", ref_columns, 5);
	listing_fit(&l);
	struct err *e = graph_words(s->graph, id, put_pointer, &page);
	listing_end(&l);
	*ret_status = EXIT_REPORT;
	return e;
}

const struct command command_who = {
	.name = "who",
	.summary = "every pointer to it, by root and block",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam who ./core.4242 0x55d0c0a012a0\n"
		"  who L1                 at the prompt: the first block of leak group L1\n"
		"  who 3 -v               with stale words, which nobody reads any more\n"
		"  who g_cache            pointers to a global\n",
	.group = GROUP_GRAPH,
	.on_census = true,
	.operands = "ADDR",
	.min_words = 1,
	.max_words = 1,
	.completes = COMPLETES_ADDRESS,
	.run = who,
};

const struct command command_refs = {
	.name = "refs",
	.summary = "the pointers in a block, and what they point at",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam refs 4242 0x55d0c0a012a0\n"
		"  refs 3                 at the prompt: item 3 of a list\n",
	.group = GROUP_GRAPH,
	.on_census = true,
	.operands = "ADDR",
	.min_words = 1,
	.max_words = 1,
	.completes = COMPLETES_ADDRESS,
	.run = refs,
};

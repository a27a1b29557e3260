/* tree, retained: what a root or a block alone keeps alive. */
#include "cmd.h"

#include <ctype.h>
#include <inttypes.h>

static const struct column columns[] = {
	{ "retained_bytes", "RETAINED", "usable bytes that would come back with it", CELL_BYTES, 14 },
	{ "retained_blocks", "BLOCKS", "blocks that would come back with it", CELL_COUNT, 10 },
	{ "nodes", "NODES", "nodes that this line stands for", CELL_COUNT, 8 },
	{ "sample", "FIRST", "address of the first of them", CELL_ADDRESS, 0 },
	{ "what", "WHAT", "the root, or the label of its blocks", CELL_TEXT, 0 },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

/* For people: WHAT says how many nodes it stands for. */
static const struct column text_columns[] = {
	{ "retained_bytes", " RETAINED", NULL, CELL_TEXT, 9 },
	{ "retained_blocks", " BLOCKS", NULL, CELL_TEXT, 7 },
	{ "sample", "FIRST", NULL, CELL_ADDRESS, 0 },
	{ "what", "WHAT", NULL, CELL_TEXT, 0 },
};
enum { TEXT_COLUMNS = sizeof text_columns / sizeof text_columns[0] };

/* Children of one node: holders one by one, blocks of one label together. */
struct branch { uint64_t bytes, blocks, nodes, sample; uint32_t node, label; };
struct branches { VEC(struct branch) list; struct map64 by_label; };

static int largest_first(const void *a, const void *b, void *ctx)
{
	const struct branch *x = a, *y = b;
	(void)ctx;
	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	return x->node < y->node ? -1 : x->node > y->node;
}

static bool add_child(struct session *s, struct branches *bs, uint32_t node)
{
	const struct tree *t = s->tree;
	uint64_t at = UINT64_MAX;
	uint32_t label = UINT32_MAX;
	if (tree_is_block(t, node)) {
		label = types_label(s->types, tree_block(t, node));
		if (!map64_find(&bs->by_label, label, &at) && !map64_put(&bs->by_label, label, bs->list.n))
			return false;
	}
	if (at == UINT64_MAX) {
		struct branch *b = vec_push(&bs->list);
		if (!b)
			return false;
		*b = (struct branch){ .node = node, .label = label };
		at = bs->list.n - 1;
	}
	struct branch *b = &bs->list.at[at];
	b->bytes += t->bytes[node];
	b->blocks += t->blocks[node];
	b->nodes++;
	/* The largest stands for its group. */
	if (t->bytes[node] > t->bytes[b->node])
		b->node = node;
	return true;
}

/* What hangs where: children of a node, or, of a line of the report (set), the blocks that keep the others of that set. */
struct hook { uint32_t node, set; };

static bool hangs_on(const struct session *s, const struct hook *p, uint32_t node)
{
	const struct tree *t = s->tree;
	uint32_t up = t->idom[node];
	if (!p->set)
		return up == p->node;
	return tree_is_block(t, node) && up != UINT32_MAX && graph_set(s->graph, tree_block(t, node)) == p->set &&
	       !(tree_is_block(t, up) && graph_set(s->graph, tree_block(t, up)) == p->set);
}

/* A node by word: the name or address of a holder, or a block. */
static struct err *parse_node(const struct arguments *a, struct session *s, const char *word, uint32_t *ret)
{
	const struct tree *t = s->tree;
	block_id id;
	uint64_t address;
	if (!strcmp(word, "leaked")) {
		*ret = tree_leaked(t);
		return NULL;
	}
	for (uint32_t i = 0; i < t->n_holders; i++)
		if (!strcmp(s->graph->holders.at[i].name, word)) {
			*ret = i + 1;
			return NULL;
		}
	TRY(cmd_address(a, s, word, &address));
	for (uint32_t i = 0; i < t->n_holders; i++)
		if (s->graph->holders.at[i].address == address && blocks_at(s->blocks, address) == BLOCK_NONE) {
			*ret = i + 1;
			return NULL;
		}
	TRY(cmd_block(a, s, word, &id));
	*ret = tree_node(t, id);
	if (t->idom[*ret] == UINT32_MAX)
		return err_hint(err_new(ERR_NOT_FOUND, "0x%" PRIx64 " is not in the tree: no strong chain from a root leads to it", blocks_payload(s->blocks, id)),
				"why 0x%" PRIx64, blocks_payload(s->blocks, id));
	return NULL;
}

/* In full with the container that a holder is. */
static char *name_node(struct session *s, uint32_t node, bool full)
{
	const struct tree *t = s->tree;
	if (!node)
		return strdup("(all)");
	if (node == tree_leaked(t))
		return strdup("(leaked)");
	return tree_is_block(t, node) ? strdup(types_name(s->types, tree_block(t, node))) : cmd_holder_text(s, node - 1, 0, full);
}

static uint64_t address_of(struct session *s, uint32_t node)
{
	const struct tree *t = s->tree;
	if (tree_is_block(t, node))
		return blocks_payload(s->blocks, tree_block(t, node));
	return node && node != tree_leaked(t) ? s->graph->holders.at[node - 1].address : 0;
}

static uint32_t holder_of(const struct session *s, uint32_t node)
{
	return node && node < tree_leaked(s->tree) ? node - 1 : UINT32_MAX;
}

static void begin(struct listing *l, const struct arguments *a, struct out *o)
{
	struct column all[N_COLUMNS + CONTAINER_CELLS];
	if (cmd_is_text(a)) {
		listing_begin(l, a, o, "nodes", text_columns, TEXT_COLUMNS);
		listing_fit(l);
		return;
	}
	memcpy(all, columns, sizeof columns);
	memcpy(all + N_COLUMNS, cmd_container_columns, sizeof cmd_container_columns);
	listing_begin(l, a, o, "nodes", all, N_COLUMNS + CONTAINER_CELLS);
}

static struct err *prepare(struct session *s, int *ret_status)
{
	TRY(cmd_need_walk(s, ret_status));
	TRY(session_tree(s));
	TRY(session_types(s));
	*ret_status = EXIT_REPORT;
	return NULL;
}

static void put_text(struct listing *l, struct session *s, const struct branch *b)
{
	struct strbuf what = { 0 };
	bool first = l->sink.records < CONTAINER_ROWS && holder_of(s, b->node) != UINT32_MAX;
	AUTO_FREE char *name = first ? cmd_holder_line(s, holder_of(s, b->node), l->sink.last_width) : name_node(s, b->node, false);
	uint64_t address = address_of(s, b->node);
	char bytes[40], blocks[40];
	if (b->nodes > 1)
		strbuf_printf(&what, "%" PRIu64 " x ", b->nodes);
	strbuf_puts(&what, name ? name : "");
	snprintf(bytes, sizeof bytes, "%9s", text_size(b->bytes).text);
	snprintf(blocks, sizeof blocks, "%7s", text_count_short(b->blocks).text);
	struct cell cells[TEXT_COLUMNS] = { { .text = bytes }, { .text = blocks }, { .number = address }, { .text = what.text } };
	listing_record(l, address, cells);
	strbuf_free(&what);
}

static void put(struct listing *l, struct session *s, const struct branch *b)
{
	struct strbuf what = { 0 };
	if (cmd_is_text(l->a)) {
		put_text(l, s, b);
		return;
	}
	bool first = l->sink.records < CONTAINER_ROWS;
	AUTO_FREE char *name = name_node(s, b->node, false);
	if (b->nodes > 1)
		strbuf_printf(&what, "%" PRIu64 " x ", b->nodes);
	strbuf_puts(&what, name ? name : "");
	uint64_t address = address_of(s, b->node);
	struct cell cells[N_COLUMNS + CONTAINER_CELLS] = { { .number = b->bytes }, { .number = b->blocks }, { .number = b->nodes }, { .number = address },
							   { .text = what.text } };
	cmd_container_cells(s, first ? holder_of(s, b->node) : UINT32_MAX, 0, cells + N_COLUMNS);
	listing_record(l, address, cells);
	strbuf_free(&what);
}

static struct err *parse_place(const struct arguments *a, struct session *s, const char *word, struct hook *ret)
{
	*ret = (struct hook){ 0 };
	return cmd_is_holder(s, word) ? cmd_holder_set(a, s, word, &ret->set) : parse_node(a, s, word, &ret->node);
}

static char *name_place(struct session *s, const struct hook *p)
{
	return p->set ? query_set_name(s->graph, p->set - 1) : name_node(s, p->node, true);
}

static void put_head(struct session *s, struct out *o, const struct hook *p)
{
	AUTO_FREE char *name = name_place(s, p);
	struct strbuf head = { 0 };
	const struct holder_set *set = p->set ? &s->graph->sets.at[p->set - 1] : NULL;
	uint64_t blocks = set ? set->blocks : s->tree->blocks[p->node], bytes = set ? set->bytes : s->tree->bytes[p->node];
	struct paragraph line;
	strbuf_printf(&head, "%s keeps %s in %s block%s", name ? name : "", text_size(bytes).text, text_count(blocks).text, blocks == 1 ? "" : "s");
	paragraph_begin(&line, o, "", 80);
	paragraph_add(&line, head.text ? head.text : "");
	paragraph_end(&line);
	strbuf_free(&head);
}

static struct err *tree(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct hook at = { 0 };
	uint64_t top = 20;
	unsigned i = 0;
	struct branches bs = { 0 };
	struct listing l;
	bool ok = true;
	TRY(prepare(s, ret_status));
	if (a->n_words && strcmp(a->words[0], "top"))
		TRY(parse_place(a, s, a->words[i++], &at));
	if (i < a->n_words && (strcmp(a->words[i], "top") || i + 1 >= a->n_words || !text_to_bytes(a->words[i + 1], &top)))
		return err_new(ERR_USAGE, "tree [ADDR|HN|leaked] [top N]");
	for (uint32_t n = 1; n < s->tree->n && ok && !interrupted; n++)
		if (hangs_on(s, &at, n))
			ok = add_child(s, &bs, n);
	if (ok)
		sort_many(bs.list.at, bs.list.n, sizeof *bs.list.at, largest_first, NULL);
	struct err *e = interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : ok ? NULL : err_nomem();
	if (!e) {
		bool part = at.node || at.set;
		if (cmd_is_text(a) && part)
			put_head(s, o, &at);
		begin(&l, a, o);
		for (size_t k = 0; k < bs.list.n && (!top || k < top); k++)
			put(&l, s, &bs.list.at[k]);
		listing_end(&l);
		if (top && bs.list.n > top && cmd_is_text(a))
			out_printf(o, "%zu more lines (tree %s%stop 0)\n", bs.list.n - (size_t)top, part ? a->words[0] : "", part ? " " : "");
	}
	vec_free(&bs.list);
	map64_free(&bs.by_label);
	return e;
}

static const struct column retained_columns[] = {
	{ "address", "ADDRESS", "of the block; 0: a root without one", CELL_ADDRESS, 0 },
	{ "retained_bytes", "RETAINED", "usable bytes that would come back with it", CELL_BYTES, 14 },
	{ "retained_blocks", "BLOCKS", "blocks that would come back with it", CELL_COUNT, 10 },
	{ "what", "WHAT", "what it is; then what keeps it, up to the root", CELL_TEXT, 0 },
};

static struct err *retained(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct hook at;
	struct listing l;
	TRY(prepare(s, ret_status));
	TRY(parse_place(a, s, a->words[0], &at));
	listing_begin(&l, a, o, "nodes", retained_columns, 4);
	listing_fit(&l);
	if (at.set) {
		const struct holder_set *set = &s->graph->sets.at[at.set - 1];
		AUTO_FREE char *name = name_place(s, &at);
		uint64_t address = s->graph->holders.at[set->holders[0]].address;
		struct cell cells[] = { { .number = address }, { .number = set->bytes }, { .number = set->blocks }, { .text = name } };
		listing_record(&l, address, cells);
	}
	uint32_t node = at.node;
	/* The block, and who dominates it, up to the root. */
	for (uint32_t budget = s->tree->n; node && budget; node = s->tree->idom[node], budget--) {
		bool line = cmd_is_text(a) && holder_of(s, node) != UINT32_MAX;
		AUTO_FREE char *name = line ? cmd_holder_line(s, holder_of(s, node), l.sink.last_width) : name_node(s, node, false);
		uint64_t address = address_of(s, node);
		struct cell cells[] = { { .number = address }, { .number = s->tree->bytes[node] }, { .number = s->tree->blocks[node] }, { .text = name } };
		listing_record(&l, address, cells);
	}
	listing_end(&l);
	return NULL;
}

const struct command command_tree = {
	.name = "tree",
	.summary = "what each root and block alone keeps, largest first",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam tree 4242              the roots\n"
		"  tree H1                        what holder H1 of the report keeps\n"
		"  tree 3 top 50                  what hangs on item 3\n"
		"  tree leaked\n",
	.group = GROUP_GRAPH,
	.on_census = true,
	.operands = "[ADDR|HN|leaked] [top N]",
	.max_words = 3,
	.completes = COMPLETES_ADDRESS,
	.run = tree,
};

const struct command command_retained = {
	.name = "retained",
	.summary = "what would come back with it, and who keeps it",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam retained ./core.4242 0x55d0c0a012a0\n"
		"  retained L1            at the prompt: the first block of leak group L1\n",
	.group = GROUP_GRAPH,
	.on_census = true,
	.operands = "ADDR|HN",
	.min_words = 1,
	.max_words = 1,
	.completes = COMPLETES_ADDRESS,
	.run = retained,
};

/* path, paths, cycle, why: the chains of pointers that keep a block alive, or that go round. */
#include "cmd.h"

#include <inttypes.h>

static const struct column columns[] = {
	{ "step", "STEP", "from 0, the root", CELL_COUNT, 4 },
	{ "at", "AT", "address of the pointer; 0x0: a register, or nowhere", CELL_ADDRESS, 0 },
	{ "offset", "OFFSET", "of the pointer in the block of the step before", CELL_TEXT, 8 },
	{ "block", "LEADS TO", "the block that it points at", CELL_ADDRESS, 0 },
	{ "what", "WHAT", "the root; then what the block is", CELL_TEXT, 0 },
};

/* For people the root is a line of its own, each block another. */
static void put_path(struct listing *l, struct session *s, const struct path *p)
{
	bool text = cmd_is_text(l->a);
	uint64_t first = p->steps.n ? p->steps.at[0].from : 0, before = 0;
	AUTO_FREE char *full = cmd_holder_text(s, p->holder, first, true), *root = text ? cmd_holder_text(s, p->holder, first, false) : NULL;
	if (text && full && p->steps.n) {
		struct paragraph line;
		paragraph_begin(&line, l->sink.out, "from ", 80);
		paragraph_add(&line, full);
		paragraph_end(&line);
	}
	for (size_t i = 0; i < p->steps.n; i++) {
		const struct path_step *step = &p->steps.at[i];
		uint64_t payload = blocks_payload(s->blocks, step->block);
		struct strbuf what = { 0 };
		char offset[32] = "";
		if (!i) {
			AUTO_FREE char *object = types_pooled(s->types, step->from, &before) ? query_place(s, step->from) : NULL;
			strbuf_printf(&what, "%s → ", object ? object : root ? root : full ? full : "");
		}
		if (i)
			snprintf(offset, sizeof offset, "+0x%" PRIx64, step->from - before);
		strbuf_puts(&what, cmd_label_of(s, step->block) ? cmd_label_of(s, step->block) : "free");
		if (step->value > payload)
			strbuf_printf(&what, " at +0x%" PRIx64, step->value - payload);
		if (!step->strong)
			strbuf_puts(&what, " (inner pointer)");
		struct cell cells[] = { { .number = i }, { .number = step->from }, { .text = offset }, { .number = payload }, { .text = what.text } };
		listing_record(l, payload, cells);
		strbuf_free(&what);
		before = payload;
	}
}

static struct err *prepare(const struct arguments *a, struct session *s, block_id *ret, int *ret_status)
{
	TRY(cmd_need_walk(s, ret_status));
	TRY(session_graph(s));
	TRY(session_types(s));
	TRY(cmd_block(a, s, a->words[0], ret));
	if (block_state_is_used(blocks_state(s->blocks, *ret)))
		return NULL;
	return err_new(ERR_NOT_FOUND, "0x%" PRIx64 " is free (%s): nothing keeps it", blocks_payload(s->blocks, *ret),
		       block_state_name(blocks_state(s->blocks, *ret)));
}

static struct err *no_path(struct session *s, block_id id, struct err *e)
{
	if (e && e->kind == ERR_NOT_FOUND && graph_is_leaked(s->graph, id)) {
		err_free(e);
		e = err_hint(err_new(ERR_NOT_FOUND, "no chain of pointers leads to it: it has leaked"), "why 0x%" PRIx64, blocks_payload(s->blocks, id));
	}
	return e;
}

static struct err *path(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	block_id id;
	struct path p;
	struct listing l;
	TRY(prepare(a, s, &id, ret_status));
	TRY(no_path(s, id, graph_path(s->graph, id, &p)));
	listing_begin(&l, a, o, "steps", columns, 5);
	listing_fit(&l);
	put_path(&l, s, &p);
	listing_end(&l);
	path_free(&p);
	*ret_status = EXIT_REPORT;
	return NULL;
}

static struct err *cycle(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	block_id id;
	struct path p;
	struct listing l;
	TRY(prepare(a, s, &id, ret_status));
	TRY(graph_cycle(s->graph, id, &p));
	listing_begin(&l, a, o, "steps", columns, 5);
	listing_fit(&l);
	uint64_t before = blocks_payload(s->blocks, id);
	for (size_t i = 0; i < p.steps.n; i++) {
		const struct path_step *step = &p.steps.at[i];
		uint64_t payload = blocks_payload(s->blocks, step->block);
		char offset[32];
		snprintf(offset, sizeof offset, "+0x%" PRIx64, step->from - before);
		struct cell cells[] = { { .number = i + 1 }, { .number = step->from }, { .text = offset }, { .number = payload },
					{ .text = cmd_label_of(s, step->block) } };
		listing_record(&l, payload, cells);
		before = payload;
	}
	listing_end(&l);
	path_free(&p);
	*ret_status = EXIT_REPORT;
	return NULL;
}

/* paths: one for each pointer to the block, shortest first. */

static int by_length(const void *a, const void *b)
{
	const struct path *x = a, *y = b;
	return x->steps.n < y->steps.n ? -1 : x->steps.n > y->steps.n;
}

static bool passes(const struct path *p, block_id id)
{
	for (size_t i = 0; i + 1 < p->steps.n; i++)
		if (p->steps.at[i].block == id)
			return true;
	return false;
}

/* The chain that ends with this pointer; steps.n 0: there is none, or it goes through the block itself. */
static struct err *path_by(struct session *s, block_id id, const struct reference *r, struct path *ret)
{
	*ret = (struct path){ .holder = UINT32_MAX };
	bool outside = r->block == BLOCK_NONE;
	struct err *e = outside ? graph_reference_holder(s->graph, r, &ret->holder) : r->block == id ? NULL : graph_path(s->graph, r->block, ret);
	if (e && e->kind != ERR_INTERRUPTED) {
		err_free(e);
		return NULL;
	}
	if (e || (!outside && !ret->steps.n))
		return e;
	struct path_step *step = vec_push(&ret->steps);
	if (!step)
		return err_nomem();
	*step = (struct path_step){ id, r->from, r->value, r->value == blocks_payload(s->blocks, id) };
	if (passes(ret, id))
		path_free(ret);
	return NULL;
}

static struct err *paths(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	enum { MOST = 10000 };
	block_id id;
	uint64_t wanted = 5;
	struct references refs;
	VEC(struct path) all = { 0 };
	TRY(prepare(a, s, &id, ret_status));
	if (a->n_words > 1 && (!text_to_bytes(a->words[1], &wanted) || !wanted))
		return err_new(ERR_USAGE, "how many paths? '%s'", a->words[1]);
	uint64_t payload = blocks_payload(s->blocks, id);
	TRY(graph_references(s->graph, payload, payload + blocks_usable(s->blocks, id), &refs));
	struct err *e = NULL;
	for (size_t i = 0; i < refs.list.n && i < MOST && !e; i++) {
		struct path p = { 0 };
		struct path *slot;
		if (refs.list.at[i].live)
			e = path_by(s, id, &refs.list.at[i], &p);
		if (!e && p.steps.n && (slot = vec_push(&all)))
			*slot = p;
	}
	struct listing l;
	if (all.n)
		qsort(all.at, all.n, sizeof *all.at, by_length);
	if (!e && !all.n)
		e = no_path(s, id, err_new(ERR_NOT_FOUND, "no chain of pointers leads to it"));
	if (!e) {
		listing_begin(&l, a, o, "steps", columns, 5);
	listing_fit(&l);
		for (size_t i = 0; i < all.n && i < wanted; i++) {
			if (i && cmd_is_text(a))
				out_puts(o, "\n");
			put_path(&l, s, &all.at[i]);
		}
		listing_end(&l);
		if (all.n > wanted && cmd_is_text(a))
			out_printf(o, "%zu more (paths %s %zu)\n", all.n - (size_t)wanted, a->words[0], all.n);
	}
	for (size_t i = 0; i < all.n; i++)
		path_free(&all.at[i]);
	vec_free(&all);
	vec_free(&refs.list);
	*ret_status = EXIT_REPORT;
	return e;
}

const struct command command_path = {
	.name = "path",
	.summary = "the shortest chain of pointers from a root to it",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam path ./core.4242 0x55d0c0a012a0\n"
		"  path 3                 at the prompt: item 3 of a list\n",
	.group = GROUP_GRAPH,
	.on_census = true,
	.operands = "ADDR",
	.min_words = 1,
	.max_words = 1,
	.completes = COMPLETES_ADDRESS,
	.run = path,
};

const struct command command_paths = {
	.name = "paths",
	.summary = "a chain for each pointer to it, shortest first",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam paths 4242 0x55d0c0a012a0 3\n"
		"  paths 3                the five shortest\n",
	.group = GROUP_GRAPH,
	.on_census = true,
	.operands = "ADDR [HOW-MANY]",
	.min_words = 1,
	.max_words = 2,
	.completes = COMPLETES_ADDRESS,
	.run = paths,
};

const struct command command_cycle = {
	.name = "cycle",
	.summary = "the ring of pointers that it is on",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  cycle L1               at the prompt: the first block of leak group L1\n"
		"  flotsam cycle 4242 0x55d0c0a012a0\n",
	.group = GROUP_GRAPH,
	.on_census = true,
	.operands = "ADDR",
	.min_words = 1,
	.max_words = 1,
	.completes = COMPLETES_ADDRESS,
	.run = cycle,
};

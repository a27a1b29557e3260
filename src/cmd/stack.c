/* stack and frame: where threads stand, and what their frames hold. */
#include "desk.h"
#include "stacks.h"

#include <inttypes.h>

static void print_line(struct session *s, struct out *o, const struct stack *st, unsigned line)
{
	struct strbuf t = { 0 }, shown = { 0 };
	char number[16];
	snprintf(number, sizeof number, "#%u", line);
	cmd_place(&t, s, st, &st->lines.at[line]);
	text_add_foreign(&shown, t.text ? t.text : "", o);
	out_printf(o, "%-5s%s\n", number, shown.text ? shown.text : "");
	strbuf_free(&shown);
	strbuf_free(&t);
}

static void print_title(struct session *s, struct out *o, unsigned thread)
{
	struct strbuf t = { 0 }, shown = { 0 };
	cmd_thread_title(&t, s, thread);
	text_add_foreign(&shown, t.text ? t.text : "", o);
	out_ink(o, INK_BOLD);
	out_puts(o, shown.text ? shown.text : "");
	out_ink(o, INK_PLAIN);
	out_puts(o, "\n");
	strbuf_free(&shown);
	strbuf_free(&t);
}

static struct err *text_stack(const struct arguments *a, struct session *s, struct out *o, const struct stack *st)
{
	print_title(s, o, st->thread);
	for (unsigned i = 0; i < st->lines.n; i++) {
		print_line(s, o, st, i);
		TRY(cmd_held_text(a, s, o, st, i));
	}
	if (!st->lines.n)
		out_puts(o, "no frames: its registers are not in the picture\n");
	else if (st->n_frames == LIMIT_FRAMES)
		out_printf(o, "the walk ended after %d frames\n", LIMIT_FRAMES);
	return NULL;
}

static struct err *json_stack(struct session *s, struct json *j, const struct stack *st)
{
	out_json_object(j, NULL);
	cmd_thread_json(j, s, st->thread);
	out_json_bool(j, "complete", st->n_frames < LIMIT_FRAMES);
	out_json_array(j, "frames");
	struct err *e = NULL;
	for (unsigned i = 0; i < st->lines.n && !e; i++) {
		out_json_object(j, NULL);
		cmd_line_json(j, st, i);
		e = cmd_held_json(s, j, st, i);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	out_json_end_object(j);
	return e;
}

/* What the blocks' lines need; a heap that was not walked costs them alone. */
static struct err *need_blocks(struct session *s)
{
	enum { CHEAP = 200000 };
	TRY(session_graph(s));
	/* What blocks retain costs a walk over all of them: where it takes no time, or was asked for before. */
	if (s->graph && s->blocks->n <= CHEAP)
		TRY(session_tree(s));
	return session_types(s);
}

static struct err *one_stack(const struct arguments *a, struct session *s, struct out *o, struct json *j, unsigned thread)
{
	struct stack *st;
	TRY(query_stack(s, thread, &st));
	a->desk->frames = (unsigned)st->lines.n;
	struct err *e = j ? json_stack(s, j, st) : text_stack(a, s, o, st);
	stack_free(st);
	return e;
}

static struct err *stacks(const struct arguments *a, struct session *s, struct out *o, unsigned from, unsigned to)
{
	struct json j;
	bool json = !strcmp(a->format, "json");
	struct err *e = NULL;
	out_json_init(&j, o, true);
	if (json) {
		out_json_object(&j, NULL);
		out_json_string(&j, "schema", "flotsam.stack/1");
		out_json_array(&j, "threads");
	}
	for (unsigned i = from; i < to && !e && !o->error; i++) {
		if (!json && i > from)
			out_puts(o, "\n");
		e = one_stack(a, s, o, json ? &j : NULL, i);
	}
	if (json) {
		out_json_end_array(&j);
		out_json_end_object(&j);
		out_puts(o, "\n");
	}
	return e;
}

static const struct column only_columns[] = {
	{ "address", "ADDRESS", "payload address", CELL_ADDRESS },
	{ "size", "USABLE", "usable bytes", CELL_BYTES },
	{ "label", "LABEL", "what it is", CELL_TEXT, 18 },
	{ "holder", "HELD BY", "thread", CELL_TEXT, 20 },
	{ "where", "WHERE", "frame or registers", CELL_TEXT },
};
enum { N_ONLY = sizeof only_columns / sizeof only_columns[0] };

/* Blocks that nothing but frames and registers keeps: gone when their threads return. */
static struct err *only(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	TRY(cmd_need_walk(s, ret_status));
	TRY(session_holders(s));
	TRY(session_types(s));
	const struct graph *g = s->graph;
	struct listing l;
	struct block_cursor c;
	listing_begin(&l, a, o, "blocks", only_columns, N_ONLY);
	for (blocks_begin(s->blocks, &c); blocks_next(&c) && !o->error;) {
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
		if (!(g->stack_only_bits[c.id / 64] >> c.id % 64 & 1))
			continue;
		uint32_t set = graph_set(g, c.id);
		const struct holder *h = set ? &g->holders.at[g->sets.at[set - 1].holders[0]] : NULL;
		struct cell cells[N_ONLY] = {
			{ .number = c.payload },
			{ .number = c.usable },
			{ .text = types_name(s->types, c.id) },
			{ .text = h ? h->name : NULL },
			{ .text = h ? h->where : NULL },
		};
		listing_record(&l, c.payload, cells);
	}
	listing_end(&l);
	bool one = g->stack_only.blocks == 1;
	if (cmd_is_text(a))
		out_printf(o, "%s block%s, %s, %s held by stacks and registers alone\n", text_count(g->stack_only.blocks).text, one ? "" : "s",
			   text_size(g->stack_only.bytes).text, one ? "is" : "are");
	return NULL;
}

static struct err *run_stack(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	const char *word = a->n_words ? a->words[0] : NULL;
	unsigned thread;
	if (word && !strcmp(word, "only"))
		return only(a, s, o, ret_status);
	TRY(need_blocks(s));
	if (word && !strcmp(word, "all"))
		return stacks(a, s, o, 0, (unsigned)s->target->picture.threads.n);
	TRY(cmd_thread(a, s, word, &thread));
	if (a->desk->thread != thread + 1)
		a->desk->frame = 0;
	a->desk->thread = thread + 1;
	return stacks(a, s, o, thread, thread + 1);
}

const struct command command_stack = {
	.name = "stack",
	.summary = "a thread's frames, and the blocks that each holds",
	.formats = { "text", "json" },
	.help = "  stack               of the thread chosen, else of the first\n"
		"  stack 3             of thread 3 (or of that tid), which stays chosen\n"
		"  stack all           of every thread\n"
		"  stack --only        the blocks that nothing but frames and registers keeps\n"
		"  flotsam stack ./core.4242 all --format json\n",
	.group = GROUP_STACKS,
	.operands = "[THREAD|all|--only]",
	.max_words = 1,
	.completes = COMPLETES_THREAD,
	.run = run_stack,
};

static void text_frame(struct session *s, struct out *o, const struct stack *st, unsigned line)
{
	const struct frame *f = &st->frames[st->lines.at[line].frame];
	print_title(s, o, st->thread);
	print_line(s, o, st, line);
	out_printf(o, "     pc 0x%" PRIx64, f->pc);
	if (f->module) {
		struct strbuf t = { 0 };
		text_add_foreign(&t, f->module->name, o);
		out_printf(o, " (%s+0x%" PRIx64 ")", t.text ? t.text : "", f->pc - f->module->bias);
		strbuf_free(&t);
	}
	out_printf(o, "\n     sp 0x%" PRIx64, f->sp);
	if (f->cfa)
		out_printf(o, ", cfa 0x%" PRIx64 ": %s bytes", f->cfa, text_count(f->cfa - f->sp).text);
	out_puts(o, "\n");
}

static struct err *run_frame(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct stack *st;
	unsigned line;
	(void)ret_status;
	TRY(need_blocks(s));
	TRY(cmd_frame(a, s, &st, &line));
	a->desk->thread = st->thread + 1;
	a->desk->frame = line;
	struct err *e = NULL;
	if (strcmp(a->format, "json")) {
		text_frame(s, o, st, line);
		e = cmd_held_text(a, s, o, st, line);
	} else {
		struct json j;
		out_json_init(&j, o, true);
		out_json_object(&j, NULL);
		out_json_string(&j, "schema", "flotsam.frame/1");
		cmd_thread_json(&j, s, st->thread);
		cmd_line_json(&j, st, line);
		e = cmd_held_json(s, &j, st, line);
		out_json_end_object(&j);
		out_puts(o, "\n");
	}
	stack_free(st);
	return e;
}

const struct command command_frame = {
	.name = "frame",
	.summary = "one frame: its place, its bounds, the blocks it holds",
	.formats = { "text", "json" },
	.help = "  frame 3             frame 3 of the thread chosen; locals then speaks of it\n"
		"  frame 3 2           of thread 2\n"
		"  flotsam frame 4242 0\n",
	.group = GROUP_STACKS,
	.operands = "[N [THREAD]]",
	.max_words = 2,
	.completes = COMPLETES_FRAME,
	.run = run_frame,
};

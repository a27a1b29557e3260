/* threads: where each thread stands, or how many stand in each place. */
#include "stacks.h"

#include <inttypes.h>

static const struct column columns[] = {
	{ "thread", "N", "its number here", CELL_COUNT, 3 },
	{ "tid", "TID", "the kernel's number", CELL_ID, 7 },
	{ "name", "NAME", "as the kernel has it", CELL_TEXT, 15 },
	{ "state", "STATE", "waiting: in a system call", CELL_TEXT, 7 },
	{ "stack_bytes", "STACK", "bytes of the stack in use", CELL_BYTES, 8 },
	{ "waits_in", "WAITS IN", "the function that the program called and waits in", CELL_TEXT, 10 },
	{ "function", "IN", "the innermost function of the program's own", CELL_TEXT },
	{ "file", "FILE", "where that stands", CELL_TEXT },
	{ "line", "LINE", "line of the file; 0: unknown", CELL_COUNT },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

/* For people: where a thread waits says that it does. */
static const struct column text_columns[] = {
	{ "thread", "N", NULL, CELL_COUNT, 3 }, { "tid", "TID", NULL, CELL_ID, 7 }, { "name", "NAME", NULL, CELL_TEXT, 15 },
	{ "stack_bytes", "STACK", NULL, CELL_BYTES, 7 }, { "waits_in", "WAITS IN", NULL, CELL_TEXT, 10 }, { "function", "IN", NULL, CELL_TEXT, 0 },
};
enum { TEXT_COLUMNS = sizeof text_columns / sizeof text_columns[0], PLACE_COLUMNS = 32 };

/* Numbers no wider than they are. */
static void narrow(struct column own[TEXT_COLUMNS], const struct picture *p)
{
	pid_t largest = 0;
	for (size_t i = 0; i < p->threads.n; i++)
		largest = p->threads.at[i].tid > largest ? p->threads.at[i].tid : largest;
	memcpy(own, text_columns, sizeof text_columns);
	own[0].width = snprintf(NULL, 0, "%zu", p->threads.n);
	own[1].width = snprintf(NULL, 0, "%5d", (int)largest);
}

struct row { /* what a thread shows of itself; strings are of the modules or the picture */
	unsigned thread;
	const char *state, *waits_in, *function;
	char *place;	/* function and line, for people */
	struct source_line line;
	uint64_t stack_bytes;
};

static struct err *read_row(struct session *s, unsigned thread, struct row *r)
{
	struct stack *st;
	const struct runtime_thread *rt = &s->runtime->threads.at[thread];
	enum thread_state state = query_thread_state(s, thread);
	TRY(query_stack(s, thread, &st));
	const struct stack_line *user = stack_user_line(st);
	struct strbuf place = { 0 };
	*r = (struct row){ .thread = thread, .state = thread_state_name(state) };
	if (user) {
		cmd_place(&place, s, st, user);
		r->function = user->function;
		r->line = user->line;
	}
	r->place = place.text;
	if (state == THREAD_WAITING)
		r->waits_in = stack_waits_in(st);
	if (st->n_frames && rt->stack_end > st->frames[0].sp && st->frames[0].sp >= rt->stack_start)
		r->stack_bytes = rt->stack_end - st->frames[0].sp;
	stack_free(st);
	return NULL;
}

static struct err *list(const struct arguments *a, struct session *s, struct out *o)
{
	struct sink k;
	bool text = !strcmp(a->format, "text");
	struct column own[TEXT_COLUMNS];
	narrow(own, &s->target->picture);
	sink_begin(&k, sink_find(a->format), o, text ? own : columns, text ? TEXT_COLUMNS : N_COLUMNS);
	if (text && !a->verbose)
		sink_fit(&k, own, PLACE_COLUMNS);
	k.noun = "threads";
	for (unsigned i = 0; i < s->target->picture.threads.n && !o->error; i++) {
		const struct thread *t = &s->target->picture.threads.at[i];
		struct row r;
		char name[sizeof t->comm + 1];
		TRY(read_row(s, i, &r));
		snprintf(name, sizeof name, "%.*s", (int)sizeof t->comm, t->comm);
		struct cell cells[N_COLUMNS] = {
			{ .number = i + 1 },
			{ .number = (uint64_t)t->tid },
			{ .text = name[0] ? name : NULL },
			{ .text = r.state },
			{ .number = r.stack_bytes },
			{ .text = r.waits_in },
			{ .text = r.function },
			{ .text = r.line.file },
			{ .number = r.line.file ? (uint64_t)r.line.line : 0 },
		};
		struct cell text_cells[TEXT_COLUMNS] = {
			cells[0], cells[1], cells[2], cells[4], { .text = r.waits_in ? r.waits_in : r.state }, { .text = r.place },
		};
		sink_record(&k, text ? text_cells : cells);
		free(r.place);
	}
	sink_end(&k);
	return NULL;
}

static const struct column group_columns[] = {
	{ "count", "COUNT", "threads that stand there", CELL_COUNT, 6 },
	{ "first", "FIRST", "the number of the first", CELL_COUNT, 6 },
	{ "state", "STATE", "waiting: in a system call", CELL_TEXT, 7 },
	{ "stack_bytes", "STACKS", "bytes of their stacks in use", CELL_BYTES, 9 },
	{ "waits_in", "WAITS IN", "the function that the program called and waits in", CELL_TEXT, 16 },
	{ "function", "IN", "the innermost function of the program's own", CELL_TEXT },
	{ "file", "FILE", "where that stands", CELL_TEXT },
	{ "line", "LINE", "line of the file; 0: unknown", CELL_COUNT },
};
enum { N_GROUP = sizeof group_columns / sizeof group_columns[0], GROUP_IN_TEXT = 6 };

struct place_group { struct row r; uint64_t count; };
struct groups { VEC(struct place_group) list; };

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static bool same_place(const struct row *a, const struct row *b)
{
	return a->state == b->state && !strcmp(or_empty(a->place), or_empty(b->place)) && !strcmp(or_empty(a->waits_in), or_empty(b->waits_in));
}

static bool add_to_group(struct groups *g, struct row *r)
{
	for (size_t i = 0; i < g->list.n; i++) {
		struct place_group *at = &g->list.at[i];
		if (!same_place(&at->r, r))
			continue;
		at->count++;
		at->r.stack_bytes += r->stack_bytes;
		free(r->place);
		return true;
	}
	struct place_group *at = vec_push(&g->list);
	if (at)
		*at = (struct place_group){ *r, 1 };
	else
		free(r->place);
	return at;
}

static int larger_first(const void *a, const void *b)
{
	const struct place_group *x = a, *y = b;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return x->r.thread < y->r.thread ? -1 : 1;
}

static void print_groups(const struct arguments *a, const struct groups *g, struct out *o)
{
	struct sink k;
	bool text = !strcmp(a->format, "text");
	struct column own[N_GROUP];
	memcpy(own, group_columns, sizeof group_columns);
	sink_begin(&k, sink_find(a->format), o, own, text ? GROUP_IN_TEXT : N_GROUP);
	if (text && !a->verbose)
		sink_fit(&k, own, PLACE_COLUMNS);
	k.noun = "groups";
	for (size_t i = 0; i < g->list.n; i++) {
		const struct row *r = &g->list.at[i].r;
		struct cell cells[N_GROUP] = {
			{ .number = g->list.at[i].count },
			{ .number = r->thread + 1 },
			{ .text = r->state },
			{ .number = r->stack_bytes },
			{ .text = r->waits_in },
			{ .text = text ? r->place : r->function },
			{ .text = r->line.file },
			{ .number = r->line.file ? (uint64_t)r->line.line : 0 },
		};
		sink_record(&k, cells);
	}
	sink_end(&k);
}

static struct err *by_frame(const struct arguments *a, struct session *s, struct out *o)
{
	struct groups g = { 0 };
	struct err *e = NULL;
	for (unsigned i = 0; i < s->target->picture.threads.n && !e; i++) {
		struct row r;
		e = read_row(s, i, &r);
		if (!e && !add_to_group(&g, &r))
			e = err_nomem();
	}
	if (!e && g.list.n)
		qsort(g.list.at, g.list.n, sizeof *g.list.at, larger_first);
	if (!e)
		print_groups(a, &g, o);
	for (size_t i = 0; i < g.list.n; i++)
		free(g.list.at[i].r.place);
	vec_free(&g.list);
	return e;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	(void)ret_status;
	if (!a->n_words)
		return list(a, s, o);
	if (a->n_words == 2 && !strcmp(a->words[0], "by") && !strcmp(a->words[1], "frame"))
		return by_frame(a, s, o);
	return err_hint(err_new(ERR_USAGE, "threads takes no '%s'", a->words[0]), "threads by frame");
}

const struct command command_threads = {
	.name = "threads",
	.summary = "where each thread stands, and the size of its stack",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  threads             one a line\n"
		"  threads by frame    those that stand in the same place together\n"
		"  flotsam threads 4242 --format json\n",
	.group = GROUP_STACKS,
	.operands = "[by frame]",
	.max_words = 2,
	.run = run,
};

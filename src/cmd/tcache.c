/* flotsam tcache: what each thread keeps of freed chunks for itself. */
#include "stacks.h"

static const struct column columns[] = {
	{ "thread", "THREAD", "id, or finished", CELL_ID, 8 },
	{ "bin", "BIN", "malloc's own number of it", CELL_COUNT, 3 },
	{ "low", "FROM", "smallest chunk that belongs here", CELL_BYTES, 9 },
	{ "high", "TO", "largest", CELL_BYTES, 9 },
	{ "chunks", "CHUNKS", "in it", CELL_COUNT, 6 },
	{ "most", "OF", "as many are kept of each size", CELL_COUNT, 6 },
	{ "bytes", "BYTES", "of those chunks, headers included", CELL_BYTES, 10 },
	{ "name", "NAME", "of the thread", CELL_TEXT, 16 },
	{ "tcache", "TCACHE", "address of the thread's record", CELL_ADDRESS, 14 },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0], TEXT_COLUMNS = 8 };

static void one(struct sink *k, const struct session *s, const struct alloc_list *l)
{
	const struct alloc_tcache *t = &s->alloc->tcaches.at[l->tcache];
	const struct thread *thread = t->thread < 0 ? NULL : &s->target->picture.threads.at[t->thread];
	char name[sizeof thread->comm + 1];
	snprintf(name, sizeof name, "%.*s", (int)sizeof thread->comm, thread ? thread->comm : "");
	struct cell cells[N_COLUMNS] = {
		{ .text = thread ? NULL : "finished", .number = thread ? (uint64_t)thread->tid : 0 },
		{ .number = l->index },
		{ .number = l->low },
		{ .number = l->high },
		{ .number = l->chunks },
		{ .number = s->alloc->facts.tcache_count },
		{ .number = l->bytes },
		{ .text = thread && *name ? name : NULL },
		{ .number = t->address },
	};
	sink_record(k, cells);
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct sink k;
	unsigned thread;
	TRY(cmd_need_walk(s, ret_status));
	if (a->n_words)
		TRY(cmd_thread(a, s, a->words[0], &thread));
	sink_begin(&k, sink_find(a->format), o, columns, strcmp(a->format, "text") ? N_COLUMNS : TEXT_COLUMNS);
	k.noun = "bins";
	for (size_t i = 0; i < s->alloc->lists.n; i++) {
		const struct alloc_list *l = &s->alloc->lists.at[i];
		if (l->state == BLOCK_TCACHE && l->chunks && (!a->n_words || s->alloc->tcaches.at[l->tcache].thread == (int)thread))
			one(&k, s, l);
	}
	sink_end(&k);
	*ret_status = s->alloc->partial ? EXIT_PARTIAL : EXIT_REPORT;
	return NULL;
}

const struct command command_tcache = {
	.name = "tcache",
	.summary = "freed chunks that threads keep for themselves",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam tcache 4242             of all threads; empty bins are left out\n"
		"  flotsam tcache 4242 4250 --format csv\n"
		"  tcache 2                        of thread 2, as threads numbers them\n",
	.group = GROUP_MALLOC,
	.operands = "[TID]",
	.max_words = 1,
	.completes = COMPLETES_THREAD,
	.on_census = true,
	.run = run,
};

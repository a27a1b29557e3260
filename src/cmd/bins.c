/* flotsam bins: what each list of free chunks in an arena holds: fastbins, unsorted, small and large bins. */
#include "cmd.h"

static const struct column columns[] = {
	{ "arena", "ARENA", "index", CELL_COUNT, 5 },
	{ "list", "LIST", "its kind", CELL_TEXT, 10 },
	{ "bin", "BIN", "malloc's own number of it", CELL_COUNT, 4 },
	{ "low", "FROM", "smallest chunk that belongs here", CELL_BYTES, 10 },
	{ "high", "TO", "largest; unknown: any", CELL_BYTES, 10 },
	{ "chunks", "CHUNKS", "on it", CELL_COUNT, 10 },
	{ "bytes", "BYTES", "of those chunks, headers included", CELL_BYTES, 12 },
	{ "head", "HEAD", "address of the word that points at the first", CELL_ADDRESS, 14 },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0], TEXT_COLUMNS = 7 };

static bool wanted(const struct alloc_list *l, int arena)
{
	return l->state != BLOCK_TCACHE && l->chunks && (arena < 0 || l->arena == arena);
}

static int compare(const void *a, const void *b)
{
	const struct alloc_list *const *p = a, *const *q = b, *x = *p, *y = *q;
	if (x->arena != y->arena)
		return x->arena < y->arena ? -1 : 1;
	if (x->state != y->state)
		return x->state < y->state ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct sink k;
	int arena = -1;
	size_t n = 0;
	TRY(cmd_need_walk(s, ret_status));
	if (a->n_words)
		TRY(cmd_arena(s, a->words[0], &arena));
	AUTO_FREE const struct alloc_list **order = calloc(s->alloc->lists.n + 1, sizeof *order);
	if (!order)
		return err_nomem();
	for (size_t i = 0; i < s->alloc->lists.n; i++)
		if (wanted(&s->alloc->lists.at[i], arena))
			order[n++] = &s->alloc->lists.at[i];
	qsort(order, n, sizeof *order, compare);
	sink_begin(&k, sink_find(a->format), o, columns, strcmp(a->format, "text") ? N_COLUMNS : TEXT_COLUMNS);
	k.noun = "bins";
	for (size_t i = 0; i < n; i++) {
		const struct alloc_list *l = order[i];
		struct cell cells[N_COLUMNS] = {
			{ .number = (uint64_t)l->arena },
			{ .text = block_state_name(l->state) },
			{ .number = l->index },
			{ .number = l->low },
			{ .number = l->high },
			{ .number = l->chunks },
			{ .number = l->bytes },
			{ .number = l->head },
		};
		sink_record(&k, cells);
	}
	sink_end(&k);
	*ret_status = s->alloc->partial ? EXIT_PARTIAL : EXIT_REPORT;
	return NULL;
}

const struct command command_bins = {
	.name = "bins",
	.summary = "the lists of free chunks",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam bins 4242               of all arenas; empty lists are left out\n"
		"  flotsam bins 4242 0 --format json\n"
		"  bins 3\n",
	.group = GROUP_MALLOC,
	.operands = "[ARENA]",
	.max_words = 1,
	.on_census = true,
	.run = run,
};

/* flotsam heaps: one line for each range that an arena grows and shrinks as a whole. */
#include "cmd.h"

static const struct column columns[] = {
	{ "start", "START", "header included", CELL_ADDRESS, 14 },
	{ "end", "END", "behind its last byte", CELL_ADDRESS, 14 },
	{ "arena", "ARENA", "index", CELL_COUNT, 5 },
	{ "resident_bytes", "RESIDENT", "in memory; by size on a core", CELL_BYTES, 10 },
	{ "used_bytes", "USED", "chunks of the program", CELL_BYTES, 10 },
	{ "free_bytes", "FREE", "on lists, and top", CELL_BYTES, 10 },
	{ "bytes", "BYTES", "from start to end", CELL_BYTES, 10 },
	{ "top_bytes", "TOP", "the arena's top, where it is here", CELL_BYTES, 10 },
	{ "cached_bytes", "CACHED", "free, in threads' caches", CELL_BYTES, 10 },
	{ "largest_free_bytes", "LARGEST", "longest run of free memory", CELL_BYTES, 10 },
	{ "used_chunks", "USED N", "chunks of the program", CELL_COUNT, 10 },
	{ "free_chunks", "FREE N", "on lists, and top", CELL_COUNT, 10 },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0], TEXT_COLUMNS = 6 };

static void one(struct listing *l, const struct heap_line *h)
{
	struct tally used = heap_used(h), free = heap_free(h);
	struct cell cells[N_COLUMNS] = {
		{ .number = h->start },	   { .number = h->end },			  { .number = (uint64_t)h->arena },
		{ .number = h->resident }, { .number = used.bytes },			  { .number = free.bytes },
		{ .number = h->bytes },	   { .number = h->states[BLOCK_TOP].bytes },	  { .number = h->states[BLOCK_TCACHE].bytes },
		{ .number = h->largest },  { .number = used.chunks },			  { .number = free.chunks },
	};
	listing_record(l, h->start, cells);
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct heap_survey *h;
	struct listing l;
	TRY(cmd_need_walk(s, ret_status));
	TRY(heap_survey(s, &h));
	listing_begin(&l, a, o, "heaps", columns, cmd_is_text(a) ? TEXT_COLUMNS : N_COLUMNS);
	for (size_t i = 0; i < h->heaps.n; i++)
		one(&l, &h->heaps.at[i]);
	listing_end(&l);
	heap_survey_free(h);
	*ret_status = s->alloc->partial ? EXIT_PARTIAL : EXIT_REPORT;
	return NULL;
}

const struct command command_heaps = {
	.name = "heaps",
	.summary = "the ranges that arenas cut chunks from",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam heaps 4242\n"
		"  flotsam heaps 4242 --format csv -o heaps.csv\n"
		"  then, at the prompt: map 2 draws item 2, who 2 its first words\n",
	.group = GROUP_MALLOC,
	.on_census = true,
	.run = run,
};

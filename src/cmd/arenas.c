/* flotsam arenas: one line an arena, and one for the mmapped blocks. */
#include "cmd.h"

static const struct column columns[] = {
	{ "arena", "ARENA", "index, or mmap", CELL_INT_OR_TEXT, 5 },
	{ "address", "ADDRESS", "of malloc's record of it", CELL_ADDRESS, 14 },
	{ "heaps", "HEAPS", "ranges that it cuts chunks from", CELL_COUNT, 5 },
	{ "bytes", "BYTES", "of those ranges", CELL_BYTES, 11 },
	{ "resident_bytes", "RESIDENT", "of this, in memory; by size on a core", CELL_BYTES, 11 },
	{ "used_bytes", "USED", "chunks of the program", CELL_BYTES, 11 },
	{ "free_bytes", "FREE", "on lists, and top", CELL_BYTES, 11 },
	{ "top_bytes", "TOP", "the part of it at the end", CELL_BYTES, 11 },
	{ "cached_bytes", "CACHED", "free, in threads' caches", CELL_BYTES, 11 },
	{ "largest_free_bytes", "LARGEST", "longest run of free memory", CELL_BYTES, 11 },
	{ "used_chunks", "USED N", "chunks of the program", CELL_COUNT, 10 },
	{ "free_chunks", "FREE N", "on lists, and top", CELL_COUNT, 10 },
	{ "main", "MAIN", "the arena that grows by brk()", CELL_BOOL, 4 },
	{ "consistent", "CONSISTENT", "its lists and its chunks agree", CELL_BOOL, 4 },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0], TEXT_COLUMNS = 7 };

static void one(struct sink *k, const struct session *s, const struct heap_line *h)
{
	const struct arena *a = h->arena == ARENA_MMAP ? NULL : &s->alloc->arenas.at[h->arena];
	struct tally used = heap_used(h), free = heap_free(h);
	struct cell cells[N_COLUMNS] = {
		{ .text = a ? NULL : "mmap", .number = (uint64_t)h->arena },
		{ .number = h->start },
		{ .number = h->heaps },
		{ .number = h->bytes },
		{ .number = h->resident },
		{ .number = used.bytes },
		{ .number = free.bytes },
		{ .number = h->states[BLOCK_TOP].bytes },
		{ .number = h->states[BLOCK_TCACHE].bytes },
		{ .number = h->largest },
		{ .number = used.chunks },
		{ .number = free.chunks },
		{ .number = a && a->main },
		{ .number = !a || a->consistent },
	};
	sink_record(k, cells);
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct heap_survey *h;
	struct sink k;
	TRY(cmd_need_walk(s, ret_status));
	TRY(heap_survey(s, &h));
	sink_begin(&k, sink_find(a->format), o, columns, strcmp(a->format, "text") ? N_COLUMNS : TEXT_COLUMNS);
	k.noun = "arenas";
	for (size_t i = 0; i < h->arenas.n; i++)
		one(&k, s, &h->arenas.at[i]);
	if (h->mmapped.heaps)
		one(&k, s, &h->mmapped);
	sink_end(&k);
	heap_survey_free(h);
	*ret_status = s->alloc->partial ? EXIT_PARTIAL : EXIT_REPORT;
	return NULL;
}

const struct command command_arenas = {
	.name = "arenas",
	.summary = "what each arena has, uses and keeps free",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam arenas 4242\n"
		"  flotsam arenas 4242 --format json | jq 'map(.free_bytes) | add'\n"
		"  then: arena 3, heaps, bins 3\n",
	.group = GROUP_MALLOC,
	.on_census = true,
	.run = run,
};

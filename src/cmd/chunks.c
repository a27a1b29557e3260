/* flotsam chunks: chunk after chunk as they lie in memory, with what malloc wrote in front of each. */
#include "cmd.h"

#include <ctype.h>

static const struct column columns[] = {
	{ "n", "N", "number for the next command", CELL_COUNT, 4 },
	{ "address", "ADDRESS", "payload address", CELL_ADDRESS, 14 },
	{ "chunk_bytes", "SIZE", "of the chunk, header included", CELL_BYTES, 9 },
	{ "flags", "FLAGS", "P: the one before is in use, M: mmapped, A: of a thread arena", CELL_TEXT, 5 },
	{ "prev_size", "PREV", "size of the one before, where that is free; of a mapped one, bytes in front", CELL_BYTES, 9 },
	{ "state", "STATE", "what malloc says of it", CELL_TEXT, 9 },
	{ "label", "LABEL", "what it is", CELL_TEXT, 20 },
	{ "chunk", "CHUNK", "address of the header", CELL_ADDRESS, 14 },
	{ "size_field", "FIELD", "size and flags as stored", CELL_ADDRESS, 14 },
	{ "arena", "ARENA", "index, or mmap", CELL_INT_OR_TEXT, 5 },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0], TEXT_COLUMNS = 7, USUAL = 20 };

static void one(struct sink *k, const struct column *from, const struct arguments *a, struct session *s, const struct block_cursor *c)
{
	struct chunk_header h = { 0 };
	char flags[4] = "", *f = flags;
	bool known = c->state != BLOCK_FOREIGN && alloc_chunk_header(s->alloc, s->image, c->chunk, &h);
	if (h.prev_in_use)
		*f++ = 'P';
	if (h.mmapped)
		*f++ = 'M';
	if (h.thread_arena)
		*f++ = 'A';
	*f = 0;
	struct cell cells[N_COLUMNS] = {
		{ .number = a->prompt ? desk_number(a->desk, c->payload) : 0 },
		{ .number = c->payload },
		{ .number = c->chunk_bytes },
		{ .text = known ? flags : NULL },
		{ .number = known && !h.prev_in_use ? h.prev_size : UNKNOWN },
		{ .text = block_state_name(c->state) },
		{ .text = block_state_is_used(c->state) ? types_name(s->types, c->id) : NULL },
		{ .number = c->chunk },
		{ .number = h.field },
		{ .text = c->arena == ARENA_MMAP ? "mmap" : NULL, .number = (uint64_t)c->arena },
	};
	sink_record(k, cells + (from - columns));
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	block_id id;
	uint64_t n = USUAL;
	struct sink k;
	TRY(cmd_need_walk(s, ret_status));
	TRY(session_types(s));
	TRY(cmd_block(a, s, a->words[0], &id));
	if (a->n_words > 1 && (!isdigit((unsigned char)*a->words[1]) || !text_to_bytes(a->words[1], &n)))
		return err_hint(err_new(ERR_USAGE, "'%s' is no number of chunks", a->words[1]), "chunks %s 20", a->words[0]);
	const struct column *from = columns + !a->prompt;
	size_t all = strcmp(a->format, "text") ? N_COLUMNS : TEXT_COLUMNS;
	sink_begin(&k, sink_find(a->format), o, from, all - (size_t)(from - columns));
	k.noun = "chunks";
	struct block_cursor c;
	blocks_begin(s->blocks, &c);
	for (blocks_seek(&c, id); n && blocks_next(&c) && !o->error; n--) {
		one(&k, from, a, s, &c);
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
	}
	sink_end(&k);
	*ret_status = s->alloc->partial ? EXIT_PARTIAL : EXIT_REPORT;
	return NULL;
}

const struct command command_chunks = {
	.name = "chunks",
	.summary = "chunk after chunk, with malloc's headers",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam chunks 4242 0x55d0c0a012a0         20 of them\n"
		"  flotsam chunks 4242 0x55d0c0a012a0 1000 --format jsonl\n"
		"  chunks 3 5                                  from item 3, five\n",
	.group = GROUP_MALLOC,
	.operands = "ADDR [COUNT]",
	.min_words = 1,
	.max_words = 2,
	.completes = COMPLETES_ADDRESS,
	.on_census = true,
	.run = run,
};

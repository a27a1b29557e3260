/* flotsam blocks: every block of the heap, one record each. */
#include "cmd.h"

static const struct column columns[] = {
	{ "address", "ADDRESS", "payload address", CELL_ADDRESS },
	{ "size", "USABLE", "usable bytes", CELL_BYTES },
	{ "state", "STATE", "what malloc says of it", CELL_TEXT },
	{ "class", "CLASS", "how it is reached; null when free", CELL_TEXT },
	{ "stack_only", "STACK ONLY", "reached through thread frames or registers alone", CELL_BOOL },
	{ "arena", "ARENA", "index, or mmap", CELL_INT_OR_TEXT },
	{ "label", "LABEL", "what it is", CELL_TEXT },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

static bool wanted(const struct arguments *a, const struct block_cursor *c, const char *class)
{
	if (a->class && (!class || strcmp(class, a->class)))
		return false;
	if (a->state && strcmp(block_state_name(c->state), a->state))
		return false;
	return c->usable >= a->min_size;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	TRY(session_graph(s));
	TRY(session_types(s));
	if (!s->blocks) {
		*ret_status = EXIT_PARTIAL;
		return err_hint(err_new(ERR_UNSUPPORTED, "%s", s->alloc->findings.list.n ? s->alloc->findings.list.at[0].text : "the heap was not walked"),
				"flotsam report says what can be said");
	}
	struct sink k;
	struct block_cursor c;
	sink_begin(&k, sink_find(a->format), o, columns, N_COLUMNS);
	for (blocks_begin(s->blocks, &c); blocks_next(&c) && !o->error;) {
		const char *class = block_class_name((enum block_class)s->graph->class_of[c.id]);
		if (!wanted(a, &c, class))
			continue;
		/* Asked for before the list of labels is looked at: it may move. */
		uint32_t label = block_state_is_used(c.state) ? types_label_at(s->types, c.id, c.payload, c.usable) : UINT32_MAX;
		struct cell cells[N_COLUMNS] = {
			{ .number = c.payload },
			{ .number = c.usable },
			{ .text = block_state_name(c.state) },
			{ .text = class },
			{ .number = s->graph->stack_only_bits[c.id / 64] >> c.id % 64 & 1 },
			{ .text = c.arena == ARENA_MMAP ? "mmap" : NULL, .number = (uint64_t)c.arena },
			{ .text = label == UINT32_MAX ? NULL : s->types->labels[label].name },
		};
		sink_record(&k, cells);
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
	}
	sink_end(&k);
	*ret_status = s->alloc->partial || s->target->picture.truncated ? EXIT_PARTIAL : EXIT_REPORT;
	return NULL;
}

const struct command command_blocks = {
	.name = "blocks",
	.summary = "every block of the heap, one a line",
	.formats = { "text", "jsonl", "csv" },
	.help = "  flotsam blocks 4242 --class definite         each lost block\n"
		"  flotsam blocks 4242 --format jsonl -o all.jsonl\n"
		"                                               a whole file ends in {\"end\":true\n"
		"  flotsam blocks ./core.4242 --state mmapped --min-size 1000000 --format csv\n",
	.filters = true,
	.run = run,
};

/* show: one block, and what stands in it. */
#include "cmd.h"

#include <ctype.h>
#include <inttypes.h>
#include <unistd.h>

enum { FEW_WORDS = 32 };

struct shown {
	const struct arguments *a;
	struct session *s;
	struct out *o;
	block_id id;
	uint64_t payload, usable, chunk_bytes;
	enum block_state state;
};

static bool content_allowed(const struct shown *b)
{
	return b->a->show_content || (isatty(b->o->fd) && !b->a->output);
}

/* What a word is, in words. False: nothing to say. */
static bool describe_word(struct session *s, uint64_t value, struct strbuf *to)
{
	block_id id = blocks_at(s->blocks, value);
	if (id != BLOCK_NONE && value >= blocks_payload(s->blocks, id)) {
		const char *label = cmd_label_of(s, id);
		uint64_t payload = blocks_payload(s->blocks, id);
		strbuf_printf(to, "-> 0x%" PRIx64, payload);
		if (value > payload)
			strbuf_printf(to, "+0x%" PRIx64, value - payload);
		strbuf_printf(to, "  %s", label ? label : "free");
		return true;
	}
	if (!value || !picture_mapping(&s->target->picture, value))
		return false;
	AUTO_FREE char *place = query_place(s, value);
	strbuf_printf(to, "-> %s", place ? place : "");
	return true;
}

/* The bytes of a word, where all that is there can be printed. */
static bool printable(const uint8_t *bytes, unsigned n)
{
	unsigned k = 0;
	while (k < n && isprint(bytes[k]))
		k++;
	for (unsigned i = k; i < n; i++)
		if (bytes[i])
			return false;
	return k >= 2;
}

static void put_words(struct shown *b)
{
	const struct arch *arch = image_arch(b->s->image);
	uint64_t n = b->usable / arch->word, most = b->a->verbose ? n : FEW_WORDS;
	for (uint64_t i = 0; i < n && i < most && !b->o->error && !interrupted; i++) {
		struct strbuf what = { 0 };
		uint64_t value, at = b->payload + i * arch->word;
		uint8_t bytes[8];
		if (!image_word(b->s->image, at, &value)) {
			out_printf(b->o, "  +0x%-5" PRIx64 " not in the picture from here on\n", i * arch->word);
			break;
		}
		if (!describe_word(b->s, value, &what) && content_allowed(b) && image_read(b->s->image, at, bytes, arch->word) && printable(bytes, arch->word))
			strbuf_printf(&what, "\"%.*s\"", (int)strnlen((char *)bytes, arch->word), (char *)bytes);
		out_printf(b->o, "  +0x%-5" PRIx64 " 0x%0*" PRIx64 "  ", i * arch->word, arch->word * 2, value);
		block_id id = b->a->prompt ? blocks_at(b->s->blocks, value) : BLOCK_NONE;
		if (id != BLOCK_NONE)
			out_printf(b->o, "%-4u ", desk_number(b->a->desk, blocks_payload(b->s->blocks, id)));
		struct strbuf clean = { 0 };
		text_add_foreign(&clean, what.text ? what.text : "", b->o);
		out_puts(b->o, clean.text ? clean.text : "");
		out_puts(b->o, "\n");
		strbuf_free(&clean);
		strbuf_free(&what);
	}
	if (n > most)
		out_printf(b->o, "  %s more words (-v)\n", text_count(n - most).text);
}

static void put_neighbour(struct shown *b, const char *name, block_id id)
{
	if (id >= b->s->blocks->n)
		return;
	const char *label = cmd_label_of(b->s, id);
	uint64_t payload = blocks_payload(b->s->blocks, id);
	out_printf(b->o, "%-8s", name);
	if (b->a->prompt)
		out_printf(b->o, "%-4u ", desk_number(b->a->desk, payload));
	out_printf(b->o, "0x%" PRIx64 "  %s usable, %s", payload, text_size(blocks_usable(b->s->blocks, id)).text,
		   block_state_name(blocks_state(b->s->blocks, id)));
	if (label) {
		struct strbuf clean = { 0 };
		text_add_foreign(&clean, label, b->o);
		out_printf(b->o, ", %s", clean.text ? clean.text : "");
		strbuf_free(&clean);
	}
	out_puts(b->o, "\n");
}

static void put_header(struct shown *b)
{
	uint64_t word = image_arch(b->s->image)->word, field;
	uint64_t chunk = b->payload - b->s->blocks->header;
	out_printf(b->o, "chunk   0x%" PRIx64 " of %s bytes", chunk, text_count(b->chunk_bytes).text);
	/* malloc/malloc.c: PREV_INUSE 1, IS_MMAPPED 2, NON_MAIN_ARENA 4. */
	if (image_word(b->s->image, chunk + word, &field))
		out_printf(b->o, ", size field 0x%" PRIx64 "%s%s%s", field, field & 1 ? " prev-in-use" : "", field & 2 ? " mmapped" : "", field & 4 ? " thread-arena" : "");
	out_puts(b->o, "\n");
}

static void put_text(struct shown *b)
{
	const char *label = cmd_label_of(b->s, b->id), *class = cmd_class_of(b->s, b->id);
	struct strbuf line = { 0 };
	int arena = blocks_arena(b->s->blocks, b->id);
	uint32_t set = graph_set(b->s->graph, b->id);
	if (b->a->prompt)
		out_printf(b->o, "item %u  ", desk_number(b->a->desk, b->payload));
	text_add_foreign(&line, label ? label : block_state_name(b->state), b->o);
	out_printf(b->o, "0x%" PRIx64 "  %s%s%s\n", b->payload, line.text ? line.text : "", class ? ", " : "", class ? class : "");
	strbuf_free(&line);
	out_printf(b->o, "usable  %s bytes, state %s, ", text_count(b->usable).text, block_state_name(b->state));
	if (arena == ARENA_MMAP)
		out_puts(b->o, "a mapping of its own\n");
	else
		out_printf(b->o, "arena %d\n", arena);
	put_header(b);
	if (set) {
		AUTO_FREE char *name = query_set_name(b->s->graph, set - 1);
		text_add_foreign(&line, name ? name : "", b->o);
		out_printf(b->o, "held by %s\n", line.text ? line.text : "");
		strbuf_free(&line);
	}
	put_neighbour(b, "before", b->id - 1);
	put_neighbour(b, "behind", b->id + 1);
	put_words(b);
}

static void put_json_words(struct shown *b, struct json *j)
{
	const struct arch *arch = image_arch(b->s->image);
	uint64_t value;
	out_json_array(j, "words");
	for (uint64_t off = 0; off + arch->word <= b->usable && !b->o->error && !interrupted; off += arch->word) {
		if (!image_word(b->s->image, b->payload + off, &value))
			break;
		if (!b->a->verbose && off / arch->word >= FEW_WORDS)
			break;
		struct strbuf what = { 0 };
		bool points = describe_word(b->s, value, &what);
		out_json_object(j, NULL);
		out_json_u64(j, "offset", off);
		if (points || content_allowed(b))
			out_json_address(j, "value", value);
		else
			out_json_null(j, "value");
		out_json_string(j, "points", points ? what.text + 3 : NULL);
		out_json_end_object(j);
		strbuf_free(&what);
	}
	out_json_end_array(j);
}

static void put_json(struct shown *b)
{
	struct json j;
	int arena = blocks_arena(b->s->blocks, b->id);
	uint32_t set = graph_set(b->s->graph, b->id);
	AUTO_FREE char *holder = set ? query_set_name(b->s->graph, set - 1) : NULL;
	out_json_init(&j, b->o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.show/1");
	out_json_address(&j, "address", b->payload);
	out_json_u64(&j, "size", b->usable);
	out_json_u64(&j, "chunk_bytes", b->chunk_bytes);
	out_json_string(&j, "state", block_state_name(b->state));
	out_json_string(&j, "class", cmd_class_of(b->s, b->id));
	if (arena == ARENA_MMAP)
		out_json_string(&j, "arena", "mmap");
	else
		out_json_i64(&j, "arena", arena);
	out_json_string(&j, "label", cmd_label_of(b->s, b->id));
	out_json_string(&j, "holder", holder);
	put_json_words(b, &j);
	out_json_end_object(&j);
	out_puts(b->o, "\n");
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct shown b = { .a = a, .s = s, .o = o };
	TRY(cmd_need_walk(s, ret_status));
	TRY(session_holders(s));
	TRY(session_types(s));
	TRY(cmd_block(a, s, a->words[0], &b.id));
	b.payload = blocks_payload(s->blocks, b.id);
	b.usable = blocks_usable(s->blocks, b.id);
	b.chunk_bytes = blocks_chunk_bytes(s->blocks, b.id);
	b.state = blocks_state(s->blocks, b.id);
	if (cmd_is_text(a))
		put_text(&b);
	else
		put_json(&b);
	*ret_status = EXIT_REPORT;
	return NULL;
}

const struct command command_show = {
	.name = "show",
	.summary = "one block: chunk, neighbours, label, class, its words",
	.formats = { "text", "json" },
	.help = "  flotsam show ./core.4242 0x55d0c0a012a0\n"
		"  show 3                 at the prompt: item 3 of a list\n"
		"  show L1 -v             all its words\n",
	.group = GROUP_BLOCKS,
	.operands = "ADDR",
	.min_words = 1,
	.max_words = 1,
	.completes = COMPLETES_ADDRESS,
	.run = run,
};

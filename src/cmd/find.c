/* find: bytes, a text or a word, anywhere in the picture. */
#include "cmd.h"

#include <ctype.h>

static const struct column columns[] = {
	{ "address", "ADDRESS", "where it stands", CELL_ADDRESS, 0 },
	{ "block", "BLOCK", "address of the block that it is in; 0x0: none", CELL_ADDRESS, 0 },
	{ "state", "STATE", "of that block", CELL_TEXT, 0 },
	{ "what", "WHERE", "in words", CELL_TEXT, 0 },
};

struct needle { uint8_t bytes[512]; size_t n; bool word; };

struct search {
	struct session *s;
	struct listing l;
	struct out *o;
};

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* hex:00ff12 are bytes, 0x... and numbers of items a word, all else is text. A bare number is an item's, as everywhere. */
static struct err *parse(const struct arguments *a, struct session *s, struct needle *ret)
{
	const char *w = a->words[0];
	const struct arch *arch = image_arch(s->image);
	if (!strncmp(w, "hex:", 4)) {
		for (w += 4; hex(w[0]) >= 0 && hex(w[1]) >= 0 && ret->n < sizeof ret->bytes; w += 2)
			ret->bytes[ret->n++] = (uint8_t)(hex(w[0]) << 4 | hex(w[1]));
		return *w || !ret->n ? err_hint(err_new(ERR_USAGE, "hex: needs pairs of digits, at most %zu", sizeof ret->bytes), "find hex:7f454c46") : NULL;
	}
	bool number = cmd_all_digits(w);
	if (number || (w[0] == '0' && (w[1] | 0x20) == 'x')) {
		uint64_t v;
		struct err *e = cmd_address(a, s, w, &v);
		if (e)
			return number ? err_hint(e, "find text:%s looks for the digits, find 0x%llx for a word of that number", w, strtoull(w, NULL, 10)) : e;
		for (unsigned i = 0; i < arch->word; i++)
			ret->bytes[i] = (uint8_t)(v >> 8 * (arch->big ? arch->word - 1u - i : i));
		ret->n = arch->word;
		ret->word = true;
		return NULL;
	}
	w += strncmp(w, "text:", 5) ? 0 : 5;
	ret->n = strlen(w);
	if (!ret->n || ret->n > sizeof ret->bytes)
		return err_new(ERR_USAGE, "a text of 1 to %zu bytes", sizeof ret->bytes);
	memcpy(ret->bytes, w, ret->n);
	return NULL;
}

static bool on_found(void *ctx, uint64_t address)
{
	struct search *f = ctx;
	struct session *s = f->s;
	block_id id = s->blocks ? blocks_at(s->blocks, address) : BLOCK_NONE;
	AUTO_FREE char *place = query_place(s, address);
	struct cell cells[] = { { .number = address }, { .number = id == BLOCK_NONE ? 0 : blocks_payload(s->blocks, id) },
				{ .text = id == BLOCK_NONE ? NULL : block_state_name(blocks_state(s->blocks, id)) }, { .text = place } };
	listing_record(&f->l, address, cells);
	return !f->o->error;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct needle n = { 0 };
	struct search f = { .s = s, .o = o };
	uint64_t bytes;
	TRY(session_walk(s));
	TRY(parse(a, s, &n));
	listing_begin(&f.l, a, o, "places", columns, 4);
	TRY(query_find(s, n.bytes, n.n, n.word, on_found, &f, &bytes));
	if (!cmd_is_text(a) || f.l.sink.records)
		listing_end(&f.l);
	if (cmd_is_text(a))
		out_printf(o, "%s %s in %s\n", text_count(f.l.sink.records).text, f.l.sink.records == 1 ? "place" : "places", text_size(bytes).text);
	*ret_status = EXIT_REPORT;
	return NULL;
}

const struct command command_find = {
	.name = "find",
	.summary = "a text, bytes or a word, anywhere in memory",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam find ./core.4242 'GET /v1/accounts'\n"
		"  find 0x55d0c0a012a0       a word that holds this address\n"
		"  find 3                    a word that holds the address of item 3\n"
		"  find hex:7f454c46         bytes\n"
		"  find text:8080            digits as text\n",
	.group = GROUP_BLOCKS,
	.operands = "TEXT|0xWORD|N|hex:BYTES|text:TEXT",
	.min_words = 1,
	.max_words = 1,
	.run = run,
};

/* istype: the user says what a block is, and types spread from there. */
#include "cmd.h"

#include <inttypes.h>

static uint64_t named(const struct typed_rows *r, bool bytes)
{
	const struct class_sum *none = &r->tiers[TIER_NONE];
	return bytes ? r->used.bytes - none->bytes : r->used.blocks - none->blocks;
}

/* The words behind the address, as one name: "struct session", "session *[]". */
static char *type_of(const struct arguments *a)
{
	struct strbuf t = { 0 };
	unsigned first = a->n_words > 2 && (!strcmp(a->words[1], "struct") || !strcmp(a->words[1], "class") || !strcmp(a->words[1], "union")) ? 2 : 1;
	for (unsigned i = first; i < a->n_words; i++)
		strbuf_printf(&t, i > first ? " %s" : "%s", a->words[i]);
	return t.text;
}

static struct err *count(struct session *s, struct typed_rows *ret, int *ret_status)
{
	TRY(cmd_need_typing(s, ret_status));
	return types_rows(s->types, ret);
}

static void text(uint64_t address, const char *type, const struct typed_rows *before, const struct typed_rows *after, struct out *o)
{
	struct strbuf t = { 0 };
	struct paragraph p;
	int64_t more = (int64_t)(named(after, false) - named(before, false));
	strbuf_printf(&t, "0x%" PRIx64 " is a %s from now on. ", address, type);
	if (more > 0)
		strbuf_printf(&t, "That names %s more block%s, %s. ", text_count((uint64_t)more).text, more == 1 ? "" : "s",
			      text_size(named(after, true) - named(before, true)).text);
	else
		strbuf_puts(&t, "That names no more blocks. ");
	coverage_text(after, &t);
	paragraph_begin(&p, o, "", 80);
	paragraph_add(&p, t.text ? t.text : "");
	paragraph_end(&p);
	strbuf_free(&t);
}

static void json(uint64_t address, const char *type, const struct typed_rows *before, const struct typed_rows *after, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.istype/1");
	out_json_address(&j, "address", address);
	out_json_string(&j, "type", type);
	out_json_i64(&j, "more_blocks", (int64_t)(named(after, false) - named(before, false)));
	out_json_i64(&j, "more_bytes", (int64_t)(named(after, true) - named(before, true)));
	coverage_json(after, &j);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct typed_rows before = { 0 }, after = { 0 };
	uint64_t address;
	AUTO_FREE char *type = type_of(a);
	if (!type)
		return err_nomem();
	TRY(cmd_need_walk(s, ret_status));
	TRY(cmd_address(a, s, a->words[0], &address));
	struct err *e = count(s, &before, ret_status);
	if (!e)
		e = session_teach(s, address, type);
	if (!e)
		e = count(s, &after, ret_status);
	if (!e && cmd_is_text(a))
		text(address, type, &before, &after, o);
	else if (!e)
		json(address, type, &before, &after, o);
	typed_rows_free(&before);
	typed_rows_free(&after);
	return e;
}

const struct command command_istype = {
	.name = "istype",
	.summary = "say what a block is: types spread from there",
	.formats = { "text", "json" },
	.help = "  istype 3 session                 the block of item 3 is a session\n"
		"  istype U1 'session *[]'          the first of U1 holds pointers to sessions\n"
		"  flotsam istype 4242 0x55d0c0a012a0 session\n"
		"                                   how much more would have a name\n"
		"  flotsam report 4242 --istype 0x55d0c0a012a0=session\n\n"
		"It holds for the rest of the sitting, over refresh too. types names the block\n"
		"that would tell most.\n",
	.group = GROUP_BLOCKS,
	.operands = "ADDR|N TYPE",
	.min_words = 2,
	.max_words = 16,
	.completes = COMPLETES_VALUE,
	.run = run,
};

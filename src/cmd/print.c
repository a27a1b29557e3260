/* print: a variable, or the bytes at an address, by what DWARF says of the type. */
#include "desk.h"
#include "stacks.h"

#include <ctype.h>
#include <inttypes.h>

enum { MOST_WORDS = 16 };

static bool is_address(const char *word)
{
	return isdigit((unsigned char)*word) || (toupper((unsigned char)*word) == 'L' && isdigit((unsigned char)word[1]) && !word[1 + strspn(word + 1, "0123456789")]);
}

/* An address alone: the block's vtable says what it is, or a pointer to it. */
static struct err *print_typed(struct session *s, block_id id, struct values *ret)
{
	const struct typing *g = s->types->typing;
	const struct typed at = typing_of(g, id);
	struct strbuf name = { 0 };
	type_table_name(g->table, at.type, &name);
	uint64_t object = blocks_payload(s->blocks, id) + (uint64_t)at.base * image_arch(s->image)->word;
	struct err *e = name.failed ? err_nomem() : modules_object(s->modules, name.text, object, ret);
	strbuf_free(&name);
	return e;
}

static struct err *print_block(const struct arguments *a, struct session *s, const char *word, struct values *ret)
{
	block_id id;
	int status;
	TRY(cmd_need_walk(s, &status));
	TRY(session_types(s));
	TRY(cmd_block(a, s, word, &id));
	uint32_t label = types_label(s->types, id);
	if (s->types->labels[label].by == BY_DWARF && s->types->typing && typing_of(s->types->typing, id).type)
		return print_typed(s, id, ret);
	if (s->types->labels[label].by != BY_VTABLE)
		return err_hint(err_new(ERR_NOT_FOUND, "the block does not say what it is: %s", types_name(s->types, id)), "print TYPE %s", word);
	return modules_object(s->modules, s->types->labels[label].name, blocks_payload(s->blocks, id), ret);
}

static struct err *print_variable(const struct arguments *a, struct session *s, const char *name, struct values *ret)
{
	struct stack *st = NULL;
	struct value_place place;
	unsigned thread;
	/* In a sitting the frame that was chosen comes first; else a thread is needed for its variables alone. */
	TRY(cmd_holder_name(a, s, name, &name));
	TRY(cmd_thread(a, s, NULL, &thread));
	TRY(query_stack(s, thread, &st));
	query_value_place(s, st, a->desk->thread ? a->desk->frame : 0, &place);
	if (!a->prompt)
		place.n_frames = 0;
	struct err *e = modules_variable(s->modules, &place, name, ret);
	stack_free(st);
	return e;
}

static struct err *print_object(const struct arguments *a, struct session *s, struct values *ret)
{
	struct strbuf type = { 0 };
	uint64_t address;
	for (unsigned i = 0; i + 1 < a->n_words; i++)
		strbuf_printf(&type, i ? " %s" : "%s", a->words[i]);
	struct err *e = type.failed ? err_nomem() : cmd_address(a, s, a->words[a->n_words - 1], &address);
	if (!e)
		e = modules_object(s->modules, type.text, address, ret);
	strbuf_free(&type);
	return e;
}

static void title(struct out *o, const struct values *v)
{
	const struct value *first = &v->list.at[0];
	struct strbuf t = { 0 };
	text_add_foreign(&t, first->type ? first->type : "", o);
	out_printf(o, "%s", t.text ? t.text : "");
	if (first->address)
		out_printf(o, " at 0x%" PRIx64, first->address);
	out_printf(o, ", %" PRIu64 " B\n", first->bytes);
	strbuf_free(&t);
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct values v = { 0 };
	(void)ret_status;
	TRY(session_types(s));
	struct err *e = a->n_words > 1		   ? print_object(a, s, &v)
			: is_address(a->words[0]) ? print_block(a, s, a->words[0], &v)
						   : print_variable(a, s, a->words[0], &v);
	if (!e && v.list.n && !strcmp(a->format, "json")) {
		struct json j;
		out_json_init(&j, o, true);
		out_json_object(&j, NULL);
		out_json_string(&j, "schema", "flotsam.print/1");
		cmd_values_json(s, &j, &v);
		out_json_end_object(&j);
		out_puts(o, "\n");
	} else if (!e && v.list.n) {
		title(o, &v);
		cmd_values_text(a, s, o, &v);
	}
	values_free(&v);
	return e;
}

const struct command command_print = {
	.name = "print",
	.summary = "a variable, or an object at an address, by DWARF",
	.formats = { "text", "json" },
	.help = "  print g_cache                   a variable of the frame chosen or the program\n"
		"  print g_cache.first->next       a member, an element ([3]); *p follows a pointer\n"
		"  print struct point 0x5555559c  the bytes there as this type\n"
		"  print 'std::vector<int>' 3      the same of item 3; T [8] and T * are types too\n"
		"  print 3                         item 3, when its vtable says what it is\n"
		"  flotsam print ./core.4242 g_cache --format json\n",
	.group = GROUP_BLOCKS,
	.operands = "SYMBOL | TYPE ADDR",
	.min_words = 1,
	.max_words = MOST_WORDS,
	.completes = COMPLETES_VALUE,
	.run = run,
};

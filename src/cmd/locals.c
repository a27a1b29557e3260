/* locals: the parameters and variables of a frame. */
#include "desk.h"
#include "stacks.h"

static void text(const struct arguments *a, struct session *s, struct out *o, const struct stack *st, unsigned line, const struct values *v)
{
	struct strbuf t = { 0 }, shown = { 0 };
	strbuf_printf(&t, "#%u ", line);
	cmd_place(&t, s, st, &st->lines.at[line]);
	text_add_foreign(&shown, t.text ? t.text : "", o);
	out_printf(o, "%s\n", shown.text ? shown.text : "");
	cmd_values_text(a, s, o, v);
	if (!v->list.n)
		out_puts(o, "it has no variables\n");
	strbuf_free(&shown);
	strbuf_free(&t);
}

static void json(struct session *s, struct out *o, const struct stack *st, unsigned line, const struct values *v)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.locals/1");
	cmd_thread_json(&j, s, st->thread);
	cmd_line_json(&j, st, line);
	cmd_values_json(s, &j, v);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct stack *st;
	unsigned line;
	struct values v = { 0 };
	struct value_place place;
	(void)ret_status;
	TRY(session_types(s));
	TRY(cmd_frame(a, s, &st, &line));
	a->desk->thread = st->thread + 1;
	a->desk->frame = line;
	query_value_place(s, st, line, &place);
	struct err *e = modules_locals(s->modules, &place, &v);
	if (e && e->kind == ERR_NOT_FOUND)
		e = err_hint(e, "install the debug symbols of its module, or choose another frame: stack");
	if (!e && strcmp(a->format, "json"))
		text(a, s, o, st, line, &v);
	else if (!e)
		json(s, o, st, line, &v);
	values_free(&v);
	stack_free(st);
	return e;
}

const struct command command_locals = {
	.name = "locals",
	.summary = "the parameters and variables of a frame",
	.formats = { "text", "json" },
	.help = "  locals              of the frame chosen by `frame N`\n"
		"  locals 3 2          of frame 3 of thread 2\n"
		"  flotsam locals ./core.4242 3\n\n"
		"<optimised out>: the compiler keeps the value nowhere at this place.\n",
	.group = GROUP_STACKS,
	.operands = "[N [THREAD]]",
	.max_words = 2,
	.completes = COMPLETES_FRAME,
	.run = run,
};

/* disas: the machine code of a function, with names, source lines, and where calls lead. */
#include "desk.h"
#include "stacks.h"

#include <ctype.h>

enum { FEW = 32, MOST = 1 << 20 };

struct where { /* what was asked for */
	uint64_t start, end;
	uint64_t pc;		/* the frame's, or the address asked for */
	uint64_t current;	/* marked; 0: none */
	uint64_t from;		/* of the function; offsets count from here */
	struct function function;
	bool known;		/* function is */
	uint64_t most;		/* instructions */
};

struct disassembly {
	struct session *s;
	const struct where *w;
	struct out *out;
	struct json *json;	/* NULL: text */
	char last[300];		/* the source line shown last */
	int offset_width;
	uint64_t n, unknown;
};

/* Of the chosen thread, by the number that `stack` gives the frame: an inlined function stands where the one around it does. */
static struct err *frame_pc(const struct arguments *a, struct session *s, const char *word, unsigned frame, uint64_t *ret)
{
	unsigned thread;
	struct stack *st;
	TRY(cmd_thread(a, s, NULL, &thread));
	TRY(query_stack(s, thread, &st));
	size_t n = st->lines.n;
	if (frame < n)
		*ret = st->frames[st->lines.at[frame].frame].pc;
	stack_free(st);
	return frame < n ? NULL : err_hint(err_new(ERR_NOT_FOUND, "%s: thread %u has %zu frames", word, thread + 1, n), "disas SYMBOL");
}

/* #2 is a frame; so is a number that no list has given. */
static struct err *operand_pc(const struct arguments *a, struct session *s, const char *word, uint64_t *ret)
{
	char *end;
	unsigned long n;
	bool named = *word == '#';
	if (!named && !isdigit((unsigned char)*word))
		return cmd_address(a, s, word, ret);
	n = strtoul(word + named, &end, 10);
	if (*end || end == word + named)
		return cmd_address(a, s, word, ret);
	if (!named && a->desk && n && n <= desk_items(a->desk))
		return cmd_address(a, s, word, ret);
	return frame_pc(a, s, word, n > LIMIT_FRAMES ? LIMIT_FRAMES : (unsigned)n, ret);
}

static struct err *choose(const struct arguments *a, struct session *s, struct where *w)
{
	w->most = MOST;
	struct err *e = frame_pc(a, s, "the frame", a->desk ? a->desk->frame : 0, &w->current);
	w->pc = w->current;
	if (a->n_words) {
		err_free(e);
		e = operand_pc(a, s, a->words[0], &w->pc);
	}
	if (e)
		return e;
	if (a->n_words > 1 && (!text_to_bytes(a->words[1], &w->most) || !w->most))
		return err_hint(err_new(ERR_USAGE, "'%s' is no number of instructions", a->words[1]), "disas ADDR 20");
	/* A return address may be the first byte behind its function. */
	bool behind = !modules_function_at(s->modules, w->pc, &w->function);
	w->known = !behind || (modules_function_at(s->modules, w->pc - 1, &w->function) && w->pc == w->function.end);
	const struct mapping *m = picture_mapping(&s->target->picture, w->pc);
	if (!w->known && m && m->prot && !(m->prot & PROT_X))
		return err_hint(err_new(ERR_NOT_FOUND, "0x%llx is no code", (unsigned long long)w->pc), "x/16x 0x%llx shows what is there",
				(unsigned long long)w->pc);
	/* An address inside of a function is one where somebody stands. */
	if (!w->known || w->pc != w->function.start)
		w->current = w->pc;
	w->from = w->start = w->known ? w->function.start : w->pc;
	w->end = w->known ? w->function.end : w->pc + 16 * FEW;
	if (a->n_words > 1)
		w->start = w->pc;
	if (w->known && a->n_words > 1 && w->end < w->pc + 16 * w->most)
		w->end = w->pc + 16 * w->most;
	if (!w->known && w->most > FEW && a->n_words < 2)
		w->most = FEW;
	else if (!w->known)
		w->end = w->pc + 16 * w->most;
	return NULL;
}

static char *target_name(struct disassembly *l, const struct instruction *i)
{
	AUTO_FREE char *raw = NULL;
	if (!i->target)
		return NULL;
	raw = modules_code_name(l->s->modules, i->target);
	if (!raw)
		return NULL;
	/* Only the symbol is mangled, not what stands behind it. */
	size_t n = strcspn(raw, "@+");
	struct strbuf t = { 0 };
	AUTO_FREE char *symbol = strndup(raw, n), *nice = symbol ? modules_demangle(symbol) : NULL;
	strbuf_printf(&t, "%s%s", nice ? nice : "", raw + n);
	return t.text;
}

enum { TEXT_SHOWN = 40 };

/* A literal that the instruction points at: text in memory that nobody writes to. */
static bool target_text(struct disassembly *l, const struct instruction *i, char ret[TEXT_SHOWN + 1])
{
	const struct mapping *m = i->target && !i->calls && !i->jumps ? picture_mapping(&l->s->target->picture, i->target) : NULL;
	const uint8_t *p;
	size_t n = m && !(m->prot & (PROT_W | PROT_X)) && modules_at(l->s->modules, i->target) ? image_window(l->s->image, i->target, &p) : 0, k = 0;
	while (k < n && k < TEXT_SHOWN && (isprint(p[k]) || p[k] == '\n' || p[k] == '\t'))
		k++;
	/* One letter is as likely a number. */
	if (k < 2 || (k < TEXT_SHOWN && (k == n || p[k])))
		return false;
	memcpy(ret, p, k);
	ret[k] = 0;
	return true;
}

static void line_json(struct disassembly *l, const struct instruction *i, const struct source_line *where, const char *name, const char *text)
{
	struct json *j = l->json;
	char hex[2 * sizeof i->bytes + 1] = "";
	for (unsigned k = 0; k < i->size; k++)
		snprintf(hex + 2 * k, 3, "%02x", i->bytes[k]);
	out_json_object(j, NULL);
	out_json_address(j, "address", i->address);
	out_json_i64(j, "offset", (int64_t)(i->address - l->w->from));
	out_json_string(j, "bytes", hex);
	out_json_bool(j, "decoded", i->decoded);
	out_json_string(j, "mnemonic", i->mnemonic);
	out_json_string(j, "operands", i->operands);
	if (i->target)
		out_json_address(j, "target", i->target);
	else
		out_json_null(j, "target");
	out_json_string(j, "target_name", name);
	out_json_string(j, "target_text", text);
	out_json_bool(j, "through", i->through);
	out_json_string(j, "file", where->file);
	if (where->file && where->line)
		out_json_i64(j, "line", where->line);
	else
		out_json_null(j, "line");
	out_json_bool(j, "current", i->address == l->w->current);
	out_json_end_object(j);
}

static void line_text(struct disassembly *l, const struct instruction *i, const struct source_line *where, const char *name, const char *text)
{
	struct strbuf t = { 0 };
	if (where->file) {
		char now[sizeof l->last];
		/* Line 0 is code that stands for several lines, or none (DWARF 5, 6.2.2). */
		snprintf(now, sizeof now, where->line ? "%s:%d" : "%s", where->file, where->line);
		if (strcmp(now, l->last)) {
			text_add_foreign(&t, now, l->out);
			out_printf(l->out, "%s\n", t.text ? t.text : "");
			strbuf_free(&t);
			memcpy(l->last, now, sizeof now);
		}
	}
	char offset[24];
	snprintf(offset, sizeof offset, "<+%llu>", (unsigned long long)(i->address - l->w->from));
	bool here = i->address == l->w->current;
	if (here)
		out_ink(l->out, INK_BOLD);
	out_printf(l->out, "%s 0x%llx %-*s  %-7s", here ? "=>" : "  ", (unsigned long long)i->address, l->offset_width, offset, i->mnemonic);
	out_printf(l->out, "%s%s", *i->operands ? " " : "", i->operands);
	if (name) {
		strbuf_puts(&t, i->calls || i->jumps ? "  <" : "  # <");
		text_add_foreign(&t, name, l->out);
		out_printf(l->out, "%s>", t.text ? t.text : "");
		strbuf_free(&t);
	} else if (text) {
		text_add_foreign(&t, text, l->out);
		out_printf(l->out, "  # \"%s\"", t.text ? t.text : "");
		strbuf_free(&t);
	}
	if (here)
		out_ink(l->out, INK_PLAIN);
	out_puts(l->out, "\n");
}

static bool on_instruction(void *ctx, const struct instruction *i)
{
	struct disassembly *l = ctx;
	struct source_line where = { 0 };
	if (!modules_code_line(l->s->modules, i->address, &where))
		where.file = NULL;
	AUTO_FREE char *name = target_name(l, i);
	l->unknown += !i->decoded;
	char text[TEXT_SHOWN + 1];
	bool is_text = !name && target_text(l, i, text);
	if (l->json)
		line_json(l, i, &where, name, is_text ? text : NULL);
	else
		line_text(l, i, &where, name, is_text ? text : NULL);
	return ++l->n < l->w->most && !l->out->error;
}

static void head_json(struct json *j, const struct where *w, const char *name)
{
	out_json_object(j, NULL);
	out_json_string(j, "schema", "flotsam.disas/1");
	out_json_string(j, "function", name);
	out_json_string(j, "module", w->known ? w->function.module->path : NULL);
	out_json_address(j, "start", w->from);
	if (w->known)
		out_json_address(j, "end", w->end);
	else
		out_json_null(j, "end");
	if (w->current)
		out_json_address(j, "current", w->current);
	else
		out_json_null(j, "current");
	out_json_array(j, "instructions");
}

static void head_text(struct out *o, const struct where *w, const char *name)
{
	struct strbuf t = { 0 };
	text_add_foreign(&t, name ? name : "no function is known here", o);
	if (w->known) {
		strbuf_puts(&t, "  ");
		text_add_foreign(&t, w->function.module->name, o);
		strbuf_printf(&t, "  %s bytes", text_count(w->function.end - w->function.start).text);
	}
	out_printf(o, "%s\n", t.text ? t.text : "");
	strbuf_free(&t);
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct where w = { 0 };
	struct json j;
	TRY(choose(a, s, &w));
	AUTO_FREE char *name = w.known && w.function.name ? modules_demangle(w.function.name) : NULL;
	bool as_json = !strcmp(a->format, "json");
	struct disassembly l = { .s = s, .w = &w, .out = o, .json = as_json ? &j : NULL };
	l.offset_width = snprintf(NULL, 0, "<+%llu>", (unsigned long long)(w.end - w.from));
	out_json_init(&j, o, true);
	if (as_json)
		head_json(&j, &w, name);
	else
		head_text(o, &w, name);
	struct err *e = modules_disassemble(s->modules, w.start, w.end, on_instruction, &l);
	if (!as_json && w.known && w.current == w.function.end)
		out_printf(o, "=> 0x%llx %-*s  the call before it does not return\n", (unsigned long long)w.current, l.offset_width, "");
	/* Behind what could be read of unknown code there may be nothing. */
	if (e && e->kind == ERR_FAULT && l.n) {
		err_free(e);
		e = NULL;
	}
	if (as_json) {
		out_json_end_array(&j);
		out_json_u64(&j, "undecoded_bytes", l.unknown);
		out_json_end_object(&j);
		out_puts(o, "\n");
	}
	*ret_status = EXIT_REPORT;
	return e;
}

const struct command command_disas = {
	.name = "disas",
	.summary = "machine code: names, source lines, where calls lead",
	.formats = { "text", "json" },
	.help = "  disas                       the function of the chosen frame; => is where it stands\n"
		"  disas main                  a function\n"
		"  disas 0x55d0c0a012a0        the function that holds this address\n"
		"  disas 0x55d0c0a012a0 20     twenty instructions from there\n"
		"  disas #2                    the function of frame 2\n"
		"  flotsam disas 4242 main --format json\n",
	.group = GROUP_CODE,
	.operands = "[SYMBOL|ADDR|#FRAME [N]]",
	.max_words = 2,
	.completes = COMPLETES_ADDRESS,
	.run = run,
};

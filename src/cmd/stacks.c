/* Threads and frames as operands and as text; what the commands for them share. */
#include "desk.h"
#include "stacks.h"

#include <ctype.h>
#include <inttypes.h>

static bool digits(const char *word)
{
	return *word && strspn(word, "0123456789") == strlen(word);
}

struct err *cmd_thread(const struct arguments *a, struct session *s, const char *word, unsigned *ret)
{
	const struct picture *p = &s->target->picture;
	if (!p->threads.n)
		return err_new(ERR_NOT_FOUND, "the picture has no threads");
	*ret = a->desk && a->desk->thread && a->desk->thread <= p->threads.n ? a->desk->thread - 1 : 0;
	if (!word)
		return NULL;
	unsigned long n = digits(word) ? strtoul(word, NULL, 10) : 0;
	if (n && n <= p->threads.n) {
		*ret = (unsigned)n - 1;
		return NULL;
	}
	for (size_t i = 0; n && i < p->threads.n; i++)
		if ((unsigned long)p->threads.at[i].tid == n) {
			*ret = (unsigned)i;
			return NULL;
		}
	return err_hint(err_new(ERR_USAGE, "there is no thread '%s': %zu threads", word, p->threads.n), "threads lists them");
}

struct err *cmd_frame(const struct arguments *a, struct session *s, struct stack **ret, unsigned *ret_line)
{
	unsigned thread;
	unsigned long n = a->desk->frame;
	const char *word = a->n_words ? a->words[0] : NULL;
	TRY(cmd_thread(a, s, a->n_words > 1 ? a->words[1] : NULL, &thread));
	if (word && !digits(word))
		return err_hint(err_new(ERR_USAGE, "'%s' is no number of a frame", word), "stack numbers them");
	if (word)
		n = strtoul(word, NULL, 10);
	else if (a->desk->thread && thread != a->desk->thread - 1)
		n = 0;
	TRY(query_stack(s, thread, ret));
	size_t lines = (*ret)->lines.n;
	a->desk->frames = (unsigned)lines;
	if (n < lines) {
		*ret_line = (unsigned)n;
		return NULL;
	}
	stack_free(*ret);
	if (!lines)
		return err_new(ERR_NOT_FOUND, "thread %u has no frames: its registers are not in the picture", thread + 1);
	return err_hint(err_new(ERR_USAGE, "thread %u has no frame %lu: %zu frames", thread + 1, n, lines), "stack %u", thread + 1);
}

void cmd_place(struct strbuf *t, struct session *s, const struct stack *st, const struct stack_line *l)
{
	const struct frame *f = &st->frames[l->frame];
	(void)s;
	if (f->is_signal)
		strbuf_puts(t, "<signal handler called>");
	else if (l->function)
		strbuf_printf(t, strchr(l->function, '(') ? "%s" : "%s()", l->function);
	else if (f->module)
		strbuf_printf(t, "%s+0x%" PRIx64, f->module->name, f->pc - f->module->bias);
	else
		strbuf_printf(t, "0x%" PRIx64, f->pc);
	if (l->line.file)
		strbuf_printf(t, " at %s:%d", l->line.file, l->line.line);
	else if (f->module && (l->function || f->is_signal))
		strbuf_printf(t, " in %s", f->module->name);
	if (l->inlined)
		strbuf_puts(t, ", inlined");
}

void cmd_thread_title(struct strbuf *t, struct session *s, unsigned thread)
{
	const struct thread *at = &s->target->picture.threads.at[thread];
	strbuf_printf(t, "thread %u, tid %d", thread + 1, (int)at->tid);
	if (at->comm[0]) /* a core does not keep it */
		strbuf_printf(t, " \"%.*s\"", (int)sizeof at->comm, at->comm);
	strbuf_printf(t, ", %s", thread_state_name(query_thread_state(s, thread)));
}

void cmd_thread_json(struct json *j, const struct session *s, unsigned thread)
{
	const struct thread *at = &s->target->picture.threads.at[thread];
	out_json_u64(j, "thread", thread + 1);
	out_json_u64(j, "tid", (uint64_t)at->tid);
	if (at->comm[0])
		out_json_string_n(j, "name", at->comm, strnlen(at->comm, sizeof at->comm));
	else
		out_json_null(j, "name");
	out_json_string(j, "state", thread_state_name(query_thread_state(s, thread)));
}

void cmd_line_json(struct json *j, const struct stack *st, unsigned line)
{
	const struct stack_line *l = &st->lines.at[line];
	const struct frame *f = &st->frames[l->frame];
	out_json_u64(j, "frame", line);
	out_json_string(j, "function", l->function);
	out_json_bool(j, "inlined", l->inlined);
	out_json_bool(j, "signal", f->is_signal);
	out_json_string(j, "file", l->line.file);
	if (l->line.file)
		out_json_u64(j, "line", (uint64_t)l->line.line);
	else
		out_json_null(j, "line");
	out_json_string(j, "module", f->module ? f->module->path : NULL);
	if (f->module)
		out_json_address(j, "offset", f->pc - f->module->bias);
	else
		out_json_null(j, "offset");
	out_json_address(j, "pc", f->pc);
	out_json_address(j, "sp", f->sp);
	if (f->cfa)
		out_json_address(j, "cfa", f->cfa);
	else
		out_json_null(j, "cfa");
}

/* What the block alone keeps alive; UNKNOWN when that was not computed. */
static uint64_t retained(const struct session *s, block_id id)
{
	uint32_t node = s->tree ? tree_node(s->tree, id) : 0;
	return s->tree && s->tree->idom[node] != UINT32_MAX ? s->tree->bytes[node] : UNKNOWN;
}

static void held_line(const struct arguments *a, struct session *s, struct out *o, const struct frame *f, const struct held_block *b)
{
	struct strbuf t = { 0 };
	uint64_t address = blocks_payload(s->blocks, b->id);
	if (a->prompt)
		strbuf_printf(&t, "%6u  ", desk_number(a->desk, address));
	else
		strbuf_puts(&t, "        ");
	strbuf_printf(&t, "0x%" PRIx64, address);
	if (b->pointer != address)
		strbuf_printf(&t, "+%" PRIu64, b->pointer - address);
	uint64_t usable = blocks_usable(s->blocks, b->id);
	char size[32];
	snprintf(size, sizeof size, "%" PRIu64 " B", usable);
	strbuf_printf(&t, "  %s B", text_count(usable).text);
	/* What has no other name is called by its size. */
	if (strcmp(types_name(s->types, b->id), size) != 0)
		strbuf_printf(&t, "  %s", types_name(s->types, b->id));
	uint64_t kept = retained(s, b->id);
	if (kept != UNKNOWN && kept > blocks_usable(s->blocks, b->id))
		strbuf_printf(&t, ", retains %s", text_size(kept).text);
	if (b->word)
		strbuf_printf(&t, ", at cfa-%" PRIu64, f->cfa - b->word);
	else
		strbuf_puts(&t, ", in a register");
	strbuf_puts(&t, b->stack_only ? ", held by stacks alone" : "");
	struct strbuf shown = { 0 };
	text_add_foreign(&shown, t.text ? t.text : "", o);
	out_printf(o, "%s\n", shown.text ? shown.text : "");
	strbuf_free(&shown);
	strbuf_free(&t);
}

struct err *cmd_held_text(const struct arguments *a, struct session *s, struct out *o, const struct stack *st, unsigned line)
{
	enum { FEW = 8 };
	struct held_blocks h = { 0 };
	const struct stack_line *l = &st->lines.at[line];
	if (l->inlined || !s->blocks)
		return NULL;
	struct err *e = query_held(s, st, l->frame, &h);
	size_t shown = a->verbose || h.list.n <= FEW ? h.list.n : FEW;
	for (size_t i = 0; i < shown && !e; i++)
		held_line(a, s, o, &st->frames[l->frame], &h.list.at[i]);
	if (shown < h.list.n && !e)
		out_printf(o, "        and %zu more blocks (-v)\n", h.list.n - shown);
	vec_free(&h.list);
	return e;
}

struct err *cmd_held_json(struct session *s, struct json *j, const struct stack *st, unsigned line)
{
	struct held_blocks h = { 0 };
	const struct stack_line *l = &st->lines.at[line];
	out_json_array(j, "blocks");
	struct err *e = l->inlined || !s->blocks ? NULL : query_held(s, st, l->frame, &h);
	for (size_t i = 0; i < h.list.n && !e; i++) {
		const struct held_block *b = &h.list.at[i];
		out_json_object(j, NULL);
		out_json_address(j, "address", blocks_payload(s->blocks, b->id));
		out_json_u64(j, "size", blocks_usable(s->blocks, b->id));
		out_json_string(j, "label", types_name(s->types, b->id));
		out_json_address(j, "pointer", b->pointer);
		if (b->word)
			out_json_address(j, "word", b->word);
		else
			out_json_null(j, "word");
		out_json_bool(j, "stack_only", b->stack_only);
		out_json_known(j, "retained_bytes", retained(s, b->id));
		out_json_end_object(j);
	}
	out_json_end_array(j);
	vec_free(&h.list);
	return e;
}

/* Stacks: a thread's frames with what was inlined into them, and the blocks that a frame's words point at. */
#include "flotsam/query.h"

static bool is_user(const struct module *m)
{
	return !m || m->role == MODULE_PROGRAM || m->role == MODULE_OTHER;
}

uint64_t stack_pc(const struct stack *st, unsigned frame)
{
	/* What a signal interrupted has not called anything. */
	bool exact = frame == 0 || st->frames[frame].is_signal || st->frames[frame - 1].is_signal;
	return st->frames[frame].pc - !exact;
}

static bool add_lines(struct session *s, struct stack *st, unsigned frame)
{
	const struct frame *f = &st->frames[frame];
	struct running at[MAX_INLINED];
	size_t n = modules_running(s->modules, stack_pc(st, frame), at);
	for (size_t i = 0; i < n; i++) {
		struct stack_line *l = vec_push(&st->lines);
		if (!l)
			return false;
		*l = (struct stack_line){ frame, (unsigned)i, at[i].inlined, is_user(f->module) && !f->is_signal, at[i].function, at[i].line };
		/* The symbol is what other tools say, and knows which alias was called. */
		if (!at[i].inlined && f->function)
			l->function = f->function;
	}
	return true;
}

struct err *query_stack(struct session *s, unsigned thread, struct stack **ret)
{
	struct stack *st = calloc(1, sizeof *st);
	if (!st)
		return err_nomem();
	st->thread = thread;
	st->n_frames = modules_unwind_registers(s->modules, &s->target->picture.threads.at[thread], &st->frames, &st->registers);
	for (unsigned i = 0; i < st->n_frames; i++)
		if (interrupted || !add_lines(s, st, i)) {
			stack_free(st);
			return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : err_nomem();
		}
	*ret = st;
	return NULL;
}

void stack_free(struct stack *st)
{
	if (!st)
		return;
	free(st->frames);
	free(st->registers);
	vec_free(&st->lines);
	free(st);
}

static bool thread_variable(const void *ctx, const struct thread *t, struct module *m, uint64_t offset, uint64_t *ret)
{
	const struct session *s = ctx;
	return runtime_thread_variable(s->modules, s->target->arch, t, m, offset, ret);
}

void query_value_place(const struct session *s, const struct stack *st, unsigned line, struct value_place *ret)
{
	*ret = (struct value_place){ .thread = &s->target->picture.threads.at[st->thread], .frames = st->frames, .registers = st->registers,
				     .n_frames = st->n_frames, .tls = thread_variable, .tls_ctx = s };
	if (line < st->lines.n) {
		ret->frame = st->lines.at[line].frame;
		ret->level = st->lines.at[line].level;
	}
}

const struct stack_line *stack_user_line(const struct stack *st)
{
	for (size_t i = 0; i < st->lines.n; i++)
		if (st->lines.at[i].user)
			return &st->lines.at[i];
	return NULL;
}

/* Of the names that glibc has for one function ("__GI___pthread_mutex_lock": include/libc-symbols.h, hidden_proto) the plain one. */
static const char *plain(const char *function)
{
	function += strncmp(function, "__GI_", 5) ? 0 : 5;
	return function + strspn(function, "_");
}

const char *stack_waits_in(const struct stack *st)
{
	const struct stack_line *line = stack_user_line(st);
	for (; line && line > st->lines.at; line--)
		if (line[-1].function && !line[-1].inlined)
			return plain(line[-1].function);
	return st->n_frames && st->frames[0].function ? plain(st->frames[0].function) : NULL;
}

static const char *const state_names[] = { "unknown", "running", "waiting" };

const char *thread_state_name(enum thread_state s)
{
	return state_names[s];
}

/* The instruction in front of the pc made a system call: the kernel leaves the pc behind it. */
static bool behind_system_call(const struct session *s, uint64_t pc)
{
	const struct arch *a = s->target->arch;
	uint8_t code[4];
	unsigned n = a->system_call_bytes;
	if (!image_read(s->image, pc - n, code, n))
		return false;
	for (unsigned i = 0; i < a->n_system_calls; i++)
		if (!memcmp(code, a->system_calls + (size_t)i * n, n))
			return true;
	return false;
}

enum thread_state query_thread_state(const struct session *s, unsigned thread)
{
	const struct thread *t = &s->target->picture.threads.at[thread];
	if (!t->gregs.n)
		return THREAD_UNKNOWN;
	return behind_system_call(s, arch_reg(s->target->arch, t->gregs, s->target->arch->reg_pc)) ? THREAD_WAITING : THREAD_RUNNING;
}

struct search { /* of the words of one frame */
	struct session *s;
	struct held_blocks *held;
	struct map64 seen; /* block -> 1 */
};

static bool add_word(struct search *f, uint64_t word, uint64_t pointer)
{
	const struct session *s = f->s;
	uint64_t seen;
	block_id id = blocks_at(s->blocks, pointer);
	if (id == BLOCK_NONE || !block_state_is_used(blocks_state(s->blocks, id)) || pointer < blocks_payload(s->blocks, id))
		return true;
	if (map64_find(&f->seen, id, &seen))
		return true;
	struct held_block *b = vec_push(&f->held->list);
	if (!b || !map64_put(&f->seen, id, 1))
		return false;
	*b = (struct held_block){ word, pointer, id, s->graph && (s->graph->stack_only_bits[id / 64] >> id % 64 & 1) };
	return true;
}

static struct err *search(struct search *f, const struct stack *st, unsigned frame)
{
	enum { MOST_BYTES = 64 << 20 };
	const struct arch *a = f->s->target->arch;
	const struct frame *at = &st->frames[frame];
	const struct thread *t = &f->s->target->picture.threads.at[st->thread];
	uint64_t value;
	for (int i = 0; frame == 0 && i < a->n_gregs; i++)
		if (!add_word(f, 0, arch_reg(a, t->gregs, i)))
			return err_nomem();
	uint64_t from = align_up(frame ? at->sp : at->sp - a->red_zone, a->word);
	uint64_t end = at->cfa > from && at->cfa - from > MOST_BYTES ? from + MOST_BYTES : at->cfa;
	for (; from < end; from += a->word) {
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
		if (image_word(f->s->image, from, &value) && !add_word(f, from, value))
			return err_nomem();
	}
	return NULL;
}

struct err *query_held(struct session *s, const struct stack *st, unsigned frame, struct held_blocks *ret)
{
	struct search f = { .s = s, .held = ret };
	struct err *e = search(&f, st, frame);
	map64_free(&f.seen);
	return e;
}

/* Threads by where they stand: a thousand in one frame are one line. And what their stacks hold. */
#include "resources.h"

struct survey {
	struct resources *r;
	struct residency pages;
	struct map64 waits;	/* tid -> offset of its text + 1 */
	struct map64 stacks;	/* start of a stack that was counted */
	char *list;
};

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_place(const struct place *a, const struct place *b)
{
	return a->state == b->state && a->line.line == b->line.line && same_text(a->waits_in, b->waits_in) && same_text(a->function, b->function) &&
	       same_text(a->start, b->start) && same_text(a->module, b->module) && same_text(a->line.file, b->line.file);
}

static void read_waits(struct survey *v)
{
	size_t n = 0;
	AUTO_FD int fd = target_open_proc(v->r->session->target, "task/*/wchan");
	const char *text;
	uint64_t tid;
	v->list = fd < 0 ? NULL : system_read_fd(fd, &n);
	for (const char *at = v->list; at && resources_record(&at, v->list + n, &tid, &text);)
		map64_put(&v->waits, tid, (uint64_t)(text - v->list) + 1);
}

/* "0" is a thread that runs, or a kernel that does not tell. */
static void put_wait(const struct survey *v, pid_t tid, struct place *p)
{
	uint64_t at;
	if (map64_find(&v->waits, (uint64_t)tid, &at) && strcmp(v->list + at - 1, "0") != 0)
		snprintf(p->kernel, sizeof p->kernel, "%s", v->list + at - 1);
}

static struct err *read_place(struct survey *v, unsigned thread, struct place *p)
{
	struct session *s = v->r->session;
	const struct runtime_thread *t = &s->runtime->threads.at[thread];
	struct stack *st;
	*p = (struct place){ .count = 1, .first = thread, .state = query_thread_state(s, thread) };
	TRY(query_stack(s, thread, &st));
	const struct stack_line *line = stack_user_line(st);
	if (!line && st->lines.n)
		line = &st->lines.at[0];
	if (line) {
		p->function = line->function;
		p->line = line->line;
		p->module = st->frames[line->frame].module ? st->frames[line->frame].module->name : NULL;
	}
	for (size_t i = st->lines.n; i-- > 0 && !p->start;)
		if (st->lines.at[i].user)
			p->start = st->lines.at[i].function;
	if (p->state == THREAD_WAITING)
		p->waits_in = stack_waits_in(st);
	if (st->n_frames && t->stack_end > st->frames[0].sp && st->frames[0].sp >= t->stack_start)
		p->stack_bytes = t->stack_end - st->frames[0].sp;
	stack_free(st);
	return NULL;
}

static bool add_place(struct survey *v, const struct place *p)
{
	struct resources *r = v->r;
	for (size_t i = 0; i < r->places.n; i++)
		if (same_place(&r->places.at[i], p)) {
			r->places.at[i].count++;
			r->places.at[i].stack_bytes += p->stack_bytes;
			return true;
		}
	struct place *slot = vec_push(&r->places);
	if (!slot)
		return false;
	*slot = *p;
	put_wait(v, r->session->target->picture.threads.at[p->first].tid, slot);
	return true;
}

/* Touched is what is resident, also below the stack pointer: a deep call in the past leaves it so. */
static bool add_stack(struct survey *v, unsigned thread, uint64_t used)
{
	struct resources *r = v->r;
	const struct runtime_thread *t = &r->session->runtime->threads.at[thread];
	uint64_t seen;
	if (t->stack_start >= t->stack_end || map64_find(&v->stacks, t->stack_start, &seen))
		return true;
	uint64_t resident = residency_bytes(&v->pages, t->stack_start, t->stack_end);
	r->stacks++;
	r->stack_bytes += t->stack_end - t->stack_start;
	r->stack_used += used;
	r->stack_resident += resident;
	if (resident > r->largest_resident) {
		r->largest_resident = resident;
		r->largest = thread;
	}
	return map64_put(&v->stacks, t->stack_start, 1);
}

static int most_first(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	return x->count != y->count ? (x->count > y->count ? -1 : 1) : x->first < y->first ? -1 : x->first > y->first;
}

struct err *resources_places(struct resources *r)
{
	const struct picture *p = &r->session->target->picture;
	struct survey v = { .r = r, .pages = { .p = p } };
	struct err *e = NULL;
	read_waits(&v);
	for (unsigned i = 0; i < p->threads.n && i < r->session->runtime->threads.n && !e; i++) {
		struct place at;
		e = read_place(&v, i, &at);
		if (!e && (!add_place(&v, &at) || !add_stack(&v, i, at.stack_bytes)))
			e = err_nomem();
	}
	if (!p->have_pages)
		r->stack_resident = r->largest_resident = UNKNOWN;
	if (r->places.n)
		qsort(r->places.at, r->places.n, sizeof *r->places.at, most_first);
	map64_free(&v.waits);
	map64_free(&v.stacks);
	free(v.list);
	return e;
}

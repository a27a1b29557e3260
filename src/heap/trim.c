/* What would give memory back, computed: glibc's rules applied to the chunks and pages of the picture. */
#include "flotsam/heap.h"

/* malloc/malloc.c: DEFAULT_TRIM_THRESHOLD, DEFAULT_MMAP_THRESHOLD_MIN. */
enum { USUAL_THRESHOLD = 128 << 10 };

struct pass {
	struct session *s;
	struct trim *t;
	struct residency r;
	struct locked_ranges locked;
	uint64_t cached, cached_chunks, cached_back; /* what threads cache; what trim would return without them */
	uint64_t fast_chunks, fast_back;
	uint64_t large_free, large_used, large_chunks;
};

/* A thread arena's top as heap_trim() would cut it with this threshold (malloc/arena.c). */
static uint64_t top_back(struct pass *p, const struct arena *a)
{
	uint64_t page = p->s->target->picture.page, keep = p->s->alloc->facts.min_chunk + 1 + p->s->alloc->facts.top_pad;
	if (a->top_bytes < USUAL_THRESHOLD || a->top_bytes <= keep)
		return 0;
	uint64_t end = a->top + a->top_bytes;
	return residency_bytes(&p->r, end - align_down(a->top_bytes - keep, page), end);
}

static struct err *trim_runs(struct pass *p)
{
	struct run_finder f = { .s = p->s, .locked = &p->locked };
	struct block_cursor c;
	const struct free_run *r;
	for (blocks_begin(p->s->blocks, &c); heap_next_run(&f, &c, &r);) {
		struct trim_arena *a = &p->t->arenas.at[r->arena];
		uint64_t back = residency_bytes(&p->r, r->back_from, r->back_to);
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
		if (r->end - r->start >= USUAL_THRESHOLD)
			p->large_free += residency_bytes(&p->r, r->start, r->end);
		if (r->top && !p->s->alloc->arenas.at[r->arena].main)
			a->top_bytes += residency_bytes(&p->r, align_up(r->start + p->s->alloc->facts.min_chunk, p->s->target->picture.page), r->end);
		p->t->locked_bytes += residency_bytes(&p->r, r->back_to, r->locked_to);
		p->t->swapped_bytes += residency_swapped(&p->r, r->back_from, r->back_to);
		a->bytes += back;
		a->break_bytes += r->at_break ? back : 0;
	}
	return NULL;
}

static uint64_t back_without_caches(struct pass *p)
{
	struct run_finder f = { .s = p->s, .locked = &p->locked, .with_cached = true };
	struct block_cursor c;
	const struct free_run *r;
	uint64_t sum = 0;
	for (blocks_begin(p->s->blocks, &c); heap_next_run(&f, &c, &r);)
		sum += residency_bytes(&p->r, r->back_from, r->back_to);
	return sum;
}

/* Blocks one by one: what is free where, what is large. */
static struct err *count_blocks(struct pass *p)
{
	struct block_cursor c;
	struct run_finder f = { .s = p->s, .locked = &p->locked };
	for (blocks_begin(p->s->blocks, &c); blocks_next(&c);) {
		if (c.arena == ARENA_MMAP)
			continue;
		if (c.state == BLOCK_USED && c.chunk_bytes >= USUAL_THRESHOLD) {
			p->large_chunks++;
			p->large_used += c.chunk_bytes;
		}
		if (!block_state_is_free(c.state))
			continue;
		uint64_t end = c.chunk + c.chunk_bytes;
		p->t->arenas.at[c.arena].free_bytes += residency_bytes(&p->r, c.payload, end);
		if (c.state == BLOCK_TCACHE) {
			p->cached_chunks++;
			p->cached += residency_bytes(&p->r, c.chunk, end);
		} else if (c.state == BLOCK_FASTBIN) {
			const struct free_run *r = heap_run_of(&f, &c);
			uint64_t from = c.chunk > r->back_from ? c.chunk : r->back_from, to = end < r->back_to ? end : r->back_to;
			p->fast_chunks++;
			p->fast_back += to > from ? residency_bytes(&p->r, from, to) : 0;
		}
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
	}
	return NULL;
}

static struct err *add(struct pass *p, const struct trim_means *m)
{
	struct trim_means *slot = vec_push(&p->t->means);
	if (!slot)
		return err_nomem();
	*slot = *m;
	return NULL;
}

static int newest_last(const void *a, const void *b)
{
	const struct trim_arena *x = a, *y = b;
	/* The ring goes from the main arena to the newest and on to the oldest (malloc/arena.c: _int_new_arena). */
	if (!x->arena || !y->arena)
		return x->arena ? 1 : y->arena ? -1 : 0;
	return x->arena > y->arena ? -1 : x->arena < y->arena;
}

/* Free memory of the arenas that there would not be. Others would have taken over a part of their work: at most. */
static struct err *arena_max(struct pass *p)
{
	static const unsigned limits[] = { 1, 2, 4 };
	size_t n = p->t->arenas.n;
	AUTO_FREE struct trim_arena *by_age = calloc(n + 1, sizeof *by_age);
	if (!by_age)
		return err_nomem();
	memcpy(by_age, p->t->arenas.at, n * sizeof *by_age);
	qsort(by_age, n, sizeof *by_age, newest_last);
	for (size_t k = 0; k < sizeof limits / sizeof limits[0]; k++) {
		uint64_t sum = 0;
		for (size_t i = limits[k]; i < n; i++)
			sum += by_age[i].free_bytes;
		if (n > limits[k])
			TRY(add(p, &(struct trim_means){ "arena_max", TRIM_HAD_IT_BEEN_SET, true, sum, n - limits[k], limits[k],
				p->s->alloc->facts.arena_max ? p->s->alloc->facts.arena_max : UINT64_MAX,
				"MALLOC_ARENA_MAX in the environment, glibc.malloc.arena_max in GLIBC_TUNABLES, mallopt(M_ARENA_MAX)",
				"threads share arenas, and wait for one another in malloc" }));
	}
	return NULL;
}

static struct err *make_means(struct pass *p)
{
	const struct alloc_facts *f = &p->s->alloc->facts;
	const struct trim_arena *sum = &p->t->sum;
	bool known = f->trim_threshold || f->mmap_threshold || f->n_mmaps_max; /* mp_ was found */
	TRY(add(p, &(struct trim_means){ "malloc_trim", TRIM_NOW, false, sum->bytes, UINT64_MAX, UINT64_MAX, UINT64_MAX, "the program calls malloc_trim(0)",
		"each arena is locked in turn; what is needed again is faulted in again" }));
	TRY(add(p, &(struct trim_means){ "main_top", TRIM_NOW, false, sum->break_bytes, UINT64_MAX, UINT64_MAX, UINT64_MAX,
		"a part of malloc_trim(0): the top of the main arena, by brk()", "the next growth calls brk() again" }));
	if (p->fast_chunks)
		TRY(add(p, &(struct trim_means){ "fastbins", TRIM_NOW, false, p->fast_back, p->fast_chunks, 0, UINT64_MAX,
			"a part of malloc_trim(0), which joins them first; mallopt(M_MXFAST, 0), glibc.malloc.mxfast=0 for none at all",
			"without fastbins each small free() joins neighbours at once" }));
	TRY(add(p, &(struct trim_means){ "trim_threshold", TRIM_HAD_IT_BEEN_SET, false, sum->top_back, UINT64_MAX, USUAL_THRESHOLD, known ? f->trim_threshold : UNKNOWN,
		"MALLOC_TRIM_THRESHOLD_ in the environment, glibc.malloc.trim_threshold in GLIBC_TUNABLES, mallopt(M_TRIM_THRESHOLD)",
		"tops are cut at the next free() of 64 KiB or more, and grow again: more system calls; the thresholds stop adapting" }));
	/* It never shrinks (malloc/malloc.c: __libc_free raises it): where it still is the usual one, nothing as large as that
	 * was ever cut from an arena for want of it. */
	bool grown = !f->mmap_threshold || f->mmap_threshold > USUAL_THRESHOLD;
	TRY(add(p, &(struct trim_means){ "mmap_threshold", TRIM_HAD_IT_BEEN_SET, grown, grown ? p->large_free : 0, p->large_chunks, USUAL_THRESHOLD, known ? f->mmap_threshold : UNKNOWN,
		"MALLOC_MMAP_THRESHOLD_ in the environment, glibc.malloc.mmap_threshold in GLIBC_TUNABLES, mallopt(M_MMAP_THRESHOLD)",
		"large blocks cost mmap(), munmap() and page faults each time; the thresholds stop adapting" }));
	TRY(arena_max(p));
	if (p->cached_chunks)
		TRY(add(p, &(struct trim_means){ "tcache", TRIM_HAD_IT_BEEN_SET, false, p->cached_back, p->cached_chunks, 0, known ? f->tcache_count : UNKNOWN,
			"glibc.malloc.tcache_count=0 in GLIBC_TUNABLES, then malloc_trim(0); a thread that ends gives up its own",
			"each small malloc() and free() takes the arena's lock" }));
	return NULL;
}

static struct err *compute(struct pass *p)
{
	struct trim *t = p->t;
	const struct alloc *a = p->s->alloc;
	if (!vec_reserve(&t->arenas, a->arenas.n + 1))
		return err_nomem();
	for (size_t i = 0; i < a->arenas.n; i++)
		*vec_push(&t->arenas) = (struct trim_arena){ .arena = (int)i };
	TRY(heap_locked(p->s, &p->locked));
	TRY(trim_runs(p));
	TRY(count_blocks(p));
	for (size_t i = 0; i < a->arenas.n; i++) {
		struct trim_arena *x = &t->arenas.at[i];
		if (!a->arenas.at[i].main && a->arenas.at[i].top)
			x->top_back = top_back(p, &a->arenas.at[i]);
		t->sum.bytes += x->bytes;
		t->sum.break_bytes += x->break_bytes;
		t->sum.top_bytes += x->top_bytes;
		t->sum.top_back += x->top_back;
		t->sum.free_bytes += x->free_bytes;
	}
	/* What joins the top of a thread arena is lost to trim: then there may be less, not more. */
	uint64_t without = p->cached_chunks ? back_without_caches(p) : 0;
	p->cached_back = without > t->sum.bytes ? without - t->sum.bytes : 0;
	return make_means(p);
}

struct err *heap_trim(struct session *s, struct trim **ret)
{
	struct trim *t = calloc(1, sizeof *t);
	if (!t)
		return err_nomem();
	t->residency_known = s->target->picture.have_pages;
	struct pass p = { .s = s, .t = t, .r = { .p = &s->target->picture } };
	struct err *e = compute(&p);
	vec_free(&p.locked.list);
	if (e) {
		heap_trim_free(t);
		return e;
	}
	*ret = t;
	return NULL;
}

void heap_trim_free(struct trim *t)
{
	if (!t)
		return;
	vec_free(&t->arenas);
	vec_free(&t->means);
	free(t);
}

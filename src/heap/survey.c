/* What each heap and each arena holds, in one pass over the blocks. */
#include "flotsam/heap.h"

struct tally heap_used(const struct heap_line *h)
{
	const struct tally *a = &h->states[BLOCK_USED], *b = &h->states[BLOCK_MMAPPED];
	return (struct tally){ a->chunks + b->chunks, a->bytes + b->bytes };
}

struct tally heap_free(const struct heap_line *h)
{
	struct tally t = { 0, 0 };
	for (int i = BLOCK_FASTBIN; i <= BLOCK_TOP; i++) {
		t.chunks += h->states[i].chunks;
		t.bytes += h->states[i].bytes;
	}
	return t;
}

static void add_line(struct heap_line *to, const struct heap_line *h)
{
	to->bytes += h->bytes;
	to->resident += h->resident;
	to->heaps++;
	for (int i = 0; i < BLOCK_STATES; i++) {
		to->states[i].chunks += h->states[i].chunks;
		to->states[i].bytes += h->states[i].bytes;
	}
	to->largest = to->largest > h->largest ? to->largest : h->largest;
}

struct pass {
	struct heap_survey *h;
	struct residency r;
	struct heap_line now;	/* of the region that the cursor is in */
	uint64_t run;		/* free bytes directly below the cursor */
};

static struct err *close_line(struct pass *p)
{
	struct heap_line *now = &p->now;
	now->bytes = now->end - now->start;
	now->resident = residency_bytes(&p->r, now->start, now->end);
	if (now->arena == ARENA_MMAP) {
		add_line(&p->h->mmapped, now);
		return NULL;
	}
	add_line(&p->h->arenas.at[now->arena], now);
	struct heap_line *slot = vec_push(&p->h->heaps);
	if (!slot)
		return err_nomem();
	now->heaps = 1;
	*slot = *now;
	return NULL;
}

static struct err *survey(struct session *s, struct heap_survey *h)
{
	const struct alloc *a = s->alloc;
	const struct segment *segment = NULL;
	struct pass p = { .h = h, .r = { .p = &s->target->picture } };
	struct block_cursor c;
	if (!vec_reserve(&h->arenas, a->arenas.n + 1))
		return err_nomem();
	for (size_t i = 0; i < a->arenas.n; i++)
		*vec_push(&h->arenas) = (struct heap_line){ .arena = (int)i, .start = a->arenas.at[i].address };
	for (blocks_begin(s->blocks, &c); blocks_next(&c);) {
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
		const struct segment *at = &a->segments.at[blocks_cursor_region(&c)->segment];
		if (at != segment) {
			if (segment)
				TRY(close_line(&p));
			segment = at;
			p.now = (struct heap_line){ .arena = at->arena, .start = at->header_from, .end = at->end };
			p.run = 0;
		}
		p.now.states[c.state].chunks++;
		p.now.states[c.state].bytes += c.chunk_bytes;
		p.run = block_state_is_free(c.state) && c.state != BLOCK_TCACHE ? p.run + c.chunk_bytes : 0;
		p.now.largest = p.now.largest > p.run ? p.now.largest : p.run;
	}
	return segment ? close_line(&p) : NULL;
}

struct err *heap_survey(struct session *s, struct heap_survey **ret)
{
	struct heap_survey *h = calloc(1, sizeof *h);
	if (!h)
		return err_nomem();
	h->residency_known = s->target->picture.have_pages;
	h->mmapped.arena = ARENA_MMAP;
	struct err *e = survey(s, h);
	if (e) {
		heap_survey_free(h);
		return e;
	}
	*ret = h;
	return NULL;
}

void heap_survey_free(struct heap_survey *h)
{
	if (!h)
		return;
	vec_free(&h->heaps);
	vec_free(&h->arenas);
	free(h);
}

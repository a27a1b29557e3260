/* Runs of free memory, and which of their pages malloc_trim(0) returns, by its own rule (glibc 2.36 malloc/malloc.c):
 * mtrim() first calls malloc_consolidate(), which joins fastbin chunks with each other, with free neighbours and with top.
 * Of a chunk on the lists it then returns the whole pages from behind sizeof (struct malloc_chunk) to the end; systrim()
 * moves the break down to what top has above MINSIZE, if the break is still where malloc left it. Tops of other arenas and
 * what threads cache it leaves alone. */
#include "flotsam/heap.h"

static bool joins(const struct run_finder *f, enum block_state state)
{
	return (state >= BLOCK_FASTBIN && state <= BLOCK_LARGEBIN) || state == BLOCK_TOP || (f->with_cached && state == BLOCK_TCACHE);
}

/* systrim() asks sbrk(0): somebody else's memory behind top stops it. The kernel names the break's mapping. */
static bool break_is_here(const struct session *s, const struct arena *a, uint64_t end)
{
	const struct picture *p = &s->target->picture;
	const struct mapping *below = picture_mapping(p, end - 1), *behind = picture_mapping(p, end);
	if (!a->main)
		return false;
	if (!p->listed)
		return a->contiguous;
	return below && !strcmp(below->path, "[heap]") && (!behind || strcmp(behind->path, "[heap]"));
}

static bool on_smaps(void *ctx, const struct smaps_entry *e)
{
	struct locked_ranges *l = ctx;
	struct locked_range *slot = e->locked ? vec_push(&l->list) : NULL;
	if (slot)
		*slot = (struct locked_range){ e->map.start, e->map.end };
	return slot || !e->locked;
}

struct err *heap_locked(struct session *s, struct locked_ranges *ret)
{
	*ret = (struct locked_ranges){ 0 };
	if (!s->status.vm_lck || s->status.vm_lck == UNKNOWN)
		return NULL;
	AUTO_FD int fd = target_open_proc(s->target, "smaps");
	if (fd >= 0) /* gone since the look: then nothing is known to be locked */
		err_free(system_smaps_each(fd, on_smaps, ret));
	return NULL;
}

/* madvise() goes mapping by mapping and ends at the first that is locked (mm/madvise.c, Linux 6.1: madvise_walk_vmas). */
static uint64_t first_locked(const struct locked_ranges *l, uint64_t from, uint64_t to)
{
	for (size_t i = 0; l && i < l->list.n && l->list.at[i].start < to; i++)
		if (l->list.at[i].end > from)
			return l->list.at[i].start > from ? l->list.at[i].start : from;
	return to;
}

static void trimmed(const struct run_finder *f, struct free_run *r)
{
	const struct alloc *a = f->s->alloc;
	uint64_t page = f->s->target->picture.page, w = a->facts.header / 2, size = r->end - r->start;
	r->back_from = r->back_to = r->locked_to = r->end;
	if (!r->top) {
		uint64_t from = align_up(r->start + 6 * w, page); /* struct malloc_chunk has six words */
		if (size > page - 1 + 6 * w && from + page <= r->end) {
			r->back_from = from;
			r->locked_to = from + align_down(r->end - from, page);
			r->back_to = first_locked(f->locked, r->back_from, r->locked_to);
		}
		return;
	}
	r->at_break = break_is_here(f->s, &a->arenas.at[r->arena], r->end);
	uint64_t unit = a->facts.huge_page > page && a->facts.huge_page <= 1u << 30 ? a->facts.huge_page : page;
	if (r->at_break && size > a->facts.min_chunk + 1)
		r->back_from = r->end - (size - a->facts.min_chunk - 1) / unit * unit;
}

const struct free_run *heap_run_of(struct run_finder *f, const struct block_cursor *c)
{
	struct free_run *r = &f->last_;
	if (c->chunk >= r->start && c->chunk < r->end && r->arena == c->arena)
		return r;
	*r = (struct free_run){ .start = c->chunk, .end = c->chunk, .arena = c->arena, .back_from = c->chunk, .back_to = c->chunk, .locked_to = c->chunk };
	if (c->arena == ARENA_MMAP || !joins(f, c->state))
		return r;
	struct block_cursor at = *c;
	do {
		r->end = at.chunk + at.chunk_bytes;
		r->top = at.state == BLOCK_TOP;
	} while (!r->top && blocks_next(&at) && at.chunk == r->end && at.arena == r->arena && joins(f, at.state));
	trimmed(f, r);
	return r;
}

bool heap_next_run(struct run_finder *f, struct block_cursor *c, const struct free_run **ret)
{
	uint64_t behind = f->last_.end;
	while (!interrupted && blocks_next(c)) {
		/* The chunks of the run before. */
		if (c->chunk < behind && c->chunk >= f->last_.start)
			continue;
		if (c->arena == ARENA_MMAP || !joins(f, c->state))
			continue;
		*ret = heap_run_of(f, c);
		return true;
	}
	return false;
}

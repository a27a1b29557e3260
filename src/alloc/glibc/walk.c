/* The linear walk: chunk by chunk from a segment's first to its end. A chunk is free when the next one's PREV_INUSE is
 * clear; the lists refine that (lists.c). A bad header is a finding, and the walk finds its feet again further on. */
#include "glibc.h"

struct walk {
	struct glibc *g;
	const struct chunk_sink *sink;
	const struct segment *s;
	const struct arena *a;
	const uint8_t *window; /* readable bytes at window_at */
	uint64_t window_at, window_n;
};

static bool load(struct walk *w, uint64_t address, uint64_t *ret)
{
	uint64_t off = address - w->window_at;
	if (off >= w->window_n || w->window_n - off < 8) {
		w->window_n = image_window(w->g->img, address, &w->window);
		w->window_at = address;
		off = 0;
		if (w->window_n < 8)
			return image_word(w->g->img, address, ret);
	}
	if (w->g->w == 8 && !w->g->arch->big) {
		memcpy(ret, w->window + off, 8);
		return true;
	}
	return span_word((struct span){ w->window, w->window_n }, off, w->g->w, w->g->arch->big, ret);
}

/* Free chunks of thread arenas have no NON_MAIN_ARENA bit (malloc/malloc.c, _int_free: set_head (p, size | PREV_INUSE)):
 * only its presence in the main arena says something. */
static bool flags_fit(const struct walk *w, uint64_t field)
{
	return !(field & IS_MMAPPED) && !(w->a->main && field & NON_MAIN);
}

static bool is_top(const struct walk *w, uint64_t chunk)
{
	return chunk == w->a->top;
}

static bool size_fits(const struct walk *w, uint64_t chunk, uint64_t size)
{
	/* Top's ends with its page (see arena.c). */
	unsigned multiple = size == w->s->end - chunk ? w->g->header : w->g->granule;
	return size >= w->g->min_chunk && size % multiple == 0 && size <= w->s->end - chunk;
}

/* End marks of a segment that is not the last (malloc/malloc.c, sysmalloc): main arena: two chunks of 2 words; heaps: one
 * of 2 words and a header with size 0. Returns the bytes they take, 0 when there are none here. */
static uint64_t fence_bytes(struct walk *w, uint64_t chunk, uint64_t field)
{
	uint64_t h = w->g->header, second;
	if (chunk_size(field) == h && chunk + h < w->s->end && load(w, chunk + h + w->g->w, &second)) {
		if (w->a->main && chunk_size(second) == h && second & PREV_INUSE)
			return 2 * h;
		if (!w->a->main && !chunk_size(second) && w->s->end - chunk <= w->g->granule + 2 * h)
			return w->s->end - chunk;
	}
	if (!w->a->main && !chunk_size(field) && w->s->end - chunk <= w->g->granule + h)
		return w->s->end - chunk;
	return 0;
}

/* A place where at least this many headers follow one another is taken as real: by accident each has a chance of 2^-60. */
enum { RESYNC_CHAIN = 4 };

static bool chain_holds(struct walk *w, uint64_t chunk)
{
	for (int n = 0; n < RESYNC_CHAIN; n++) {
		uint64_t field, next;
		if ((n && is_top(w, chunk)) || chunk == w->s->end)
			return true;
		if (!load(w, chunk + w->g->w, &field))
			return false;
		/* A heap's end mark has its place; two equal words in the middle of a segment prove nothing. */
		if ((n || !w->a->main) && fence_bytes(w, chunk, field))
			return true;
		uint64_t size = chunk_size(field);
		if (!size_fits(w, chunk, size) || !flags_fit(w, field))
			return false;
		/* A free chunk's size stands again behind it. */
		if (chunk + size < w->s->end && load(w, chunk + size + w->g->w, &next) && !(next & PREV_INUSE)) {
			uint64_t prev;
			if (!load(w, chunk + size, &prev) || prev != size)
				return false;
		}
		chunk += size;
	}
	return true;
}

static uint64_t resync(struct walk *w, uint64_t from)
{
	for (uint64_t at = from; at < w->s->end; at += w->g->granule) {
		uint64_t field;
		if (interrupted)
			break;
		if (at == w->a->top)
			return at;
		if (load(w, at + w->g->w, &field) && chunk_size(field) && chain_holds(w, at))
			return at;
	}
	return w->s->end;
}

static bool emit(struct walk *w, uint64_t chunk, uint64_t size, enum block_state state)
{
	return w->sink->chunk(w->sink->ctx, w->s, chunk, size, state);
}

/* Behind a fence pair that is not the end lies what somebody else took by sbrk; malloc goes on where a chain starts. */
static bool foreign_gap(struct walk *w, uint64_t *chunk)
{
	if (*chunk >= w->s->end)
		return true;
	uint64_t next = resync(w, *chunk);
	if (next > *chunk && !emit(w, *chunk, next - *chunk, BLOCK_FOREIGN))
		return false;
	*chunk = next;
	return true;
}

static bool lost(struct walk *w, uint64_t *chunk, uint64_t field)
{
	uint64_t next = resync(w, *chunk + w->g->granule);
	findings_add(&w->g->alloc->findings, "bad-size", *chunk + w->g->header,
		     "chunk header 0x%llx is no size; %llu bytes could not be walked", (unsigned long long)field,
		     (unsigned long long)(next - *chunk));
	((struct arena *)w->a)->consistent = false;
	if (!emit(w, *chunk, next - *chunk, BLOCK_LOST))
		return false;
	*chunk = next;
	return true;
}

/* The last chunk of the segment that top is in, or should be, is top, whatever the arena says. */
static bool ends_as_top(const struct walk *w, uint64_t chunk, uint64_t size)
{
	const struct arena *a = w->a;
	bool here = !a->top_bytes || (a->top >= w->s->start && a->top < w->s->end);
	return chunk + size == w->s->end && here && (a->contiguous || !a->main);
}

/* Top by the arena's word, with a size that is not its own (arena.c has said so). */
static bool is_torn_top(struct walk *w, uint64_t chunk, uint64_t size)
{
	return is_top(w, chunk) && size != w->a->top_bytes && chunk + w->a->top_bytes == w->s->end && !chain_holds(w, chunk);
}

static bool emit_top(struct walk *w, uint64_t *chunk)
{
	struct arena *a = (struct arena *)w->a;
	if (a->top_bytes && a->top != *chunk)
		findings_add(&w->g->alloc->findings, "bad-top", a->address, "the arena's top is 0x%llx, its last chunk 0x%llx",
			     (unsigned long long)a->top, (unsigned long long)*chunk);
	a->top = *chunk;
	a->top_bytes = w->s->end - *chunk;
	if (!emit(w, *chunk, a->top_bytes, BLOCK_TOP))
		return false;
	*chunk = w->s->end;
	return true;
}

/* A free chunk's size stands again behind it. */
static void check_foot(struct walk *w, uint64_t chunk, uint64_t size)
{
	uint64_t foot;
	if (w->g->transit_expected || !load(w, chunk + size, &foot) || foot == size)
		return;
	findings_add(&w->g->alloc->findings, "bad-prev-size", chunk + size + w->g->header,
		     "the chunk before it is free and has %llu bytes, yet 0x%llx is noted", (unsigned long long)size,
		     (unsigned long long)foot);
	((struct arena *)w->a)->consistent = false;
}

static bool walk_segment(struct walk *w)
{
	uint64_t chunk = w->s->start, field, next = 0;
	if (load(w, chunk + w->g->w, &field) && !(field & PREV_INUSE))
		findings_add(&w->g->alloc->findings, "bad-size", chunk + w->g->header,
			     "a segment's first chunk says that a free one is before it");
	while (chunk < w->s->end) {
		if (!load(w, chunk + w->g->w, &field)) {
			if (!lost(w, &chunk, 0))
				return false;
			continue;
		}
		uint64_t size = chunk_size(field), fence = size <= w->g->header ? fence_bytes(w, chunk, field) : 0;
		if (fence) {
			if (!emit(w, chunk, fence, BLOCK_FENCE))
				return false;
			chunk += fence;
			if (w->a->main && !foreign_gap(w, &chunk))
				return false;
			continue;
		}
		if (is_torn_top(w, chunk, size) || (size_fits(w, chunk, size) && ends_as_top(w, chunk, size))) {
			if (!emit_top(w, &chunk))
				return false;
			continue;
		}
		if (!size_fits(w, chunk, size) || !flags_fit(w, field)) {
			if (!lost(w, &chunk, field))
				return false;
			continue;
		}
		enum block_state state = BLOCK_USED;
		if (is_top(w, chunk))
			state = BLOCK_TOP;
		else if (chunk + size < w->s->end && load(w, chunk + size + w->g->w, &next) && !(next & PREV_INUSE)) {
			state = BLOCK_FREE;
			check_foot(w, chunk, size);
		}
		else if (chunk + size == w->s->end && !is_top(w, chunk)) {
			state = BLOCK_FENCE;
			findings_add(&w->g->alloc->findings, "bad-size", chunk + w->g->header, "a heap ends without its end mark");
		}
		/* A remainder too small for a chunk directly before a heap's end mark is bookkeeping. */
		else if (!w->a->main && chunk + size < w->s->end && !(field & NON_MAIN) && !chunk_size(next))
			state = BLOCK_FENCE;
		if (!emit(w, chunk, size, state))
			return false;
		chunk += size;
	}
	return true;
}

struct err *glibc_walk_segments(struct glibc *g, const struct chunk_sink *sink)
{
	for (size_t i = 0; i < g->alloc->segments.n; i++) {
		const struct segment *s = &g->alloc->segments.at[i];
		struct walk w = { .g = g, .sink = sink, .s = s };
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
		if (s->arena == ARENA_MMAP) {
			if (!sink->chunk(sink->ctx, s, s->start, s->end - s->start, BLOCK_MMAPPED))
				return err_nomem();
			continue;
		}
		w.a = &g->alloc->arenas.at[s->arena];
		if (!walk_segment(&w))
			return err_nomem();
	}
	return NULL;
}

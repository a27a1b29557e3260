/* The linear walk: chunk by chunk from a segment's first to its end. A chunk is free when the next one's PREV_INUSE is
 * clear; the lists refine that (lists.c, bins.c). Where headers contradict each other the walk goes some chunks back and asks
 * repair.c for the most likely boundaries: sizes that lie become findings, and the rest of the segment is not lost. */
#include "walk.h"

bool walk_load(struct walk *w, uint64_t address, uint64_t *ret)
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
bool walk_flags_fit(const struct walk *w, uint64_t field)
{
	return !(field & IS_MMAPPED) && !(w->a->main && field & NON_MAIN);
}

bool walk_size_fits(const struct walk *w, uint64_t chunk, uint64_t size)
{
	/* Top's ends with its page (see arena.c). */
	unsigned multiple = size == w->s->end - chunk ? w->g->header : w->g->granule;
	return size >= w->g->min_chunk && size % multiple == 0 && size <= w->s->end - chunk;
}

bool walk_is_top(const struct walk *w, uint64_t chunk)
{
	return chunk == w->a->top && !w->a->top_doubtful;
}

/* End marks of a segment that is not the last (malloc/malloc.c, sysmalloc): main arena: two chunks of 2 words; heaps: one
 * of 2 words and a header with size 0. Returns the bytes they take, 0 when there are none here. */
uint64_t walk_fence(struct walk *w, uint64_t chunk, uint64_t field)
{
	uint64_t h = w->g->header, second;
	if (chunk_size(field) == h && chunk + h < w->s->end && walk_load(w, chunk + h + w->g->w, &second)) {
		if (w->a->main && chunk_size(second) == h && second & PREV_INUSE)
			return w->s->end - chunk < 2 * h + w->g->granule ? w->s->end - chunk : 2 * h; /* i386: less than a granule behind them */
		if (!w->a->main && !chunk_size(second) && w->s->end - chunk <= w->g->granule + 2 * h)
			return w->s->end - chunk;
	}
	if (!w->a->main && !chunk_size(field) && w->s->end - chunk <= w->g->granule + h)
		return w->s->end - chunk;
	return 0;
}

/* Do `steps` headers follow one another from here, or all there are? By accident each has a chance of 2^-60. */
static bool chain_holds(struct walk *w, uint64_t chunk, int steps, uint64_t *ret_end)
{
	for (int n = 0; n < steps; n++) {
		uint64_t field, next;
		*ret_end = chunk;
		if (walk_is_top(w, chunk) || chunk == w->s->end)
			return true;
		if (!walk_load(w, chunk + w->g->w, &field))
			return false;
		/* A heap's end mark has its place; two equal words in the middle of a segment prove nothing. */
		if ((n || !w->a->main) && walk_fence(w, chunk, field))
			return true;
		uint64_t size = chunk_size(field);
		if (!walk_size_fits(w, chunk, size) || !walk_flags_fit(w, field))
			return false;
		/* A free chunk's size stands again behind it. */
		if (chunk + size < w->s->end && walk_load(w, chunk + size + w->g->w, &next) && !(next & PREV_INUSE)) {
			uint64_t prev;
			if (!walk_load(w, chunk + size, &prev) || prev != size)
				return false;
		}
		chunk += size;
	}
	*ret_end = chunk;
	return true;
}

/* A place where at least this many headers follow one another is taken as real; it is followed further, so that what stands
 * before it can be judged by where it leads. */
enum { RESYNC_CHAIN = 4, RESYNC_FOLLOW = 64 };

/* Memory without bytes may be of any size: the last place in it before there are some again. */
static uint64_t before_bytes(const struct walk *w, uint64_t at)
{
	uint64_t next = image_next_dumped(w->g->img, at + w->g->w), to = next < w->s->end ? next : w->s->end;
	return to > at + 2 * w->g->granule ? at + align_down(to - at - w->g->granule, w->g->granule) - w->g->granule : at;
}

static uint64_t resync(struct walk *w, uint64_t from, uint64_t *ret_far)
{
	for (uint64_t at = from; at < w->s->end; at += w->g->granule) {
		uint64_t field;
		if (interrupted)
			break;
		if (walk_is_top(w, at))
			return *ret_far = at;
		if (!walk_load(w, at + w->g->w, &field)) {
			at = before_bytes(w, at);
			continue;
		}
		if (chunk_size(field) && chain_holds(w, at, RESYNC_CHAIN, ret_far)) {
			chain_holds(w, at, RESYNC_FOLLOW, ret_far);
			return at;
		}
	}
	return *ret_far = w->s->end;
}

static bool emit(struct walk *w, uint64_t chunk, uint64_t size, enum block_state state)
{
	w->trail[w->n_trail++ % WALK_TRAIL] = chunk;
	w->last = chunk;
	w->last_state = state;
	return w->sink->chunk(w->sink->ctx, w->s, chunk, size, state);
}

static void suspect(struct walk *w, enum suspicion why, uint64_t chunk, uint64_t size, uint64_t found)
{
	struct suspect *s = w->g->suspects.n < LIMIT_FINDINGS ? vec_push(&w->g->suspects) : NULL;
	if (s)
		*s = (struct suspect){ why, chunk, size, found };
}

uint64_t walk_neighbour(const struct walk *w)
{
	return w->last && block_state_is_used(w->last_state) && !glibc_is_tcache(w->g, w->last + w->g->header) ? w->last + w->g->header : 0;
}

static void odd_flags(struct walk *w, uint64_t chunk, uint64_t field, uint64_t expected, const char *text)
{
	findings_add_words(&w->g->alloc->findings,
			   &(struct finding){ .kind = "bad-flags", .address = chunk + w->g->header, .expected = expected, .has_expected = true,
					      .found = field, .has_found = true, .neighbour = walk_neighbour(w) },
			   "%s", text);
	((struct arena *)w->a)->consistent = false;
}

static void check_flags(struct walk *w, uint64_t chunk, uint64_t field, enum block_state state)
{
	if (field & IS_MMAPPED)
		odd_flags(w, chunk, field, field & ~(uint64_t)IS_MMAPPED, "the header calls this block mapped, but it lies in a heap");
	else if (w->a->main && field & NON_MAIN)
		odd_flags(w, chunk, field, field & ~(uint64_t)NON_MAIN, "the header gives this block to a thread's arena, but it lies in the main one");
	else if (!w->a->main && !(field & NON_MAIN) && state == BLOCK_USED)
		odd_flags(w, chunk, field, field | NON_MAIN, "the header gives this block to the main arena, but it lies in another");
	if (chunk == w->s->start && !(field & PREV_INUSE))
		findings_add_words(&w->g->alloc->findings,
				   &(struct finding){ .kind = "prev-in-use", .address = chunk + w->g->header, .expected = field | PREV_INUSE,
						      .has_expected = true, .found = field, .has_found = true },
				   "the first block of a heap is told that the one before it is free");
}

/* Takes a chunk whose size is believed. */
bool walk_take(struct walk *w, uint64_t chunk, uint64_t field)
{
	uint64_t size = chunk_size(field), end = chunk + size, next = PREV_INUSE, prev = 0;
	enum block_state state = BLOCK_USED;
	bool behind = end < w->s->end && walk_load(w, end + w->g->w, &next);
	if (end == w->a->top && w->a->top_doubtful)
		behind = false; /* its header is damaged */
	if (behind && w->next_lies) {
		state = walk_load(w, end, &prev) && prev == size ? BLOCK_FREE : BLOCK_USED;
	} else if (behind && !(next & PREV_INUSE)) {
		state = BLOCK_FREE;
		if (!walk_load(w, end, &prev) || prev != size)
			suspect(w, SUSPECT_PREV_SIZE, chunk, size, prev);
		if (w->last && w->last_state == BLOCK_FREE)
			suspect(w, SUSPECT_NOT_MERGED, w->last, chunk - w->last, 0);
	} else if (behind && !w->a->main && !(field & NON_MAIN) && !chunk_size(next)) {
		state = BLOCK_FENCE; /* a remainder too small for a chunk directly before a heap's end mark is bookkeeping */
	} else if (end == w->s->end) {
		state = BLOCK_FENCE;
		findings_add_words(&w->g->alloc->findings,
				   &(struct finding){ .kind = "bad-size", .address = chunk + w->g->header, .found = field, .has_found = true,
						      .neighbour = walk_neighbour(w) },
				   "a heap ends without its end mark");
	}
	if (__builtin_expect(field & IS_MMAPPED || !!(field & NON_MAIN) == w->a->main || chunk == w->s->start, 0))
		check_flags(w, chunk, field, state);
	return emit(w, chunk, size, state);
}

/* Top by the arena's word; where that is doubtful, the last chunk of the segment that top should be in. */
static bool ends_as_top(const struct walk *w, uint64_t chunk, uint64_t size)
{
	const struct arena *a = w->a;
	if (chunk + size != w->s->end)
		return false;
	return chunk == a->top || ((a->top_doubtful || !a->top_bytes) && (!a->top_bytes || (a->top >= w->s->start && a->top < w->s->end)) &&
				   (a->contiguous || !a->main));
}

/* Top by the arena's word, with a size that is not its own (arena.c has said so). */
static bool is_torn_top(struct walk *w, uint64_t chunk, uint64_t size)
{
	uint64_t far;
	return chunk == w->a->top && w->a->top_doubtful && size != w->a->top_bytes && chunk + w->a->top_bytes == w->s->end &&
	       !chain_holds(w, chunk, RESYNC_CHAIN, &far);
}

static bool take_top(struct walk *w, uint64_t chunk, uint64_t field)
{
	struct arena *a = (struct arena *)w->a;
	if (a->top_bytes && a->top != chunk)
		findings_add_words(&w->g->alloc->findings,
				   &(struct finding){ .kind = "bad-top", .address = a->address + w->g->l->arena.top, .expected = chunk,
						      .has_expected = true, .found = a->top, .has_found = true },
				   "the arena's pointer to its top chunk does not lead to its last one");
	if (w->last && w->last_state == BLOCK_FREE)
		suspect(w, SUSPECT_NOT_MERGED, w->last, chunk - w->last, 0);
	if (chunk != w->s->start && !a->top_doubtful && !(field & PREV_INUSE))
		findings_add_words(&w->g->alloc->findings,
				   &(struct finding){ .kind = "prev-in-use", .address = chunk, .expected = field | PREV_INUSE, .has_expected = true,
						      .found = field, .has_found = true, .neighbour = walk_neighbour(w) },
				   "the top chunk is told that the one before it is free; that is never so");
	a->top = chunk;
	a->top_bytes = w->s->end - chunk;
	return emit(w, chunk, a->top_bytes, BLOCK_TOP);
}

/* Bytes whose header lies. */
bool walk_lost(struct walk *w, uint64_t chunk, uint64_t size)
{
	uint64_t field = 0;
	bool readable = walk_load(w, chunk + w->g->w, &field);
	struct finding f = { .kind = "bad-size", .address = chunk + w->g->header, .found = field, .has_found = true,
			     .neighbour = walk_neighbour(w) };
	((struct arena *)w->a)->consistent = false;
	if (!readable) {
		findings_add(&w->g->alloc->findings, "unreadable", chunk + w->g->header, "%llu bytes of a heap cannot be read",
			     (unsigned long long)size);
		w->g->alloc->partial = true;
		return emit(w, chunk, size, BLOCK_LOST);
	}
	if (size < w->g->min_chunk) {
		findings_add_words(&w->g->alloc->findings, &f, "a free chunk begins %llu bytes behind this block's header: it lies over the block",
				   (unsigned long long)size);
		w->n_trail = 0;
		return emit(w, chunk, size, BLOCK_FENCE);
	}
	f.has_expected = true;
	f.expected = size | (w->last_state == BLOCK_FREE && w->last ? 0 : PREV_INUSE) | (w->a->main ? 0 : NON_MAIN);
	findings_add_words(&w->g->alloc->findings, &f,
			   walk_size_fits(w, chunk, chunk_size(field)) ? "the header says 0x%llx, but the next header stands %llu bytes further"
								       : "the header 0x%llx is no size; the next one stands %llu bytes further",
			   (unsigned long long)field, (unsigned long long)size);
	bool enough = emit(w, chunk, size, BLOCK_LOST);
	w->n_trail = 0; /* judged: a second damage further on must not swallow what lies between them */
	return enough;
}

/* Nothing before this address is judged anew. */
static void barrier(struct walk *w)
{
	w->n_trail = 0;
	w->last = 0;
}

/* Behind a fence pair that is not the end lies what somebody else took by sbrk; malloc goes on where a chain starts. */
static bool foreign_gap(struct walk *w, uint64_t *chunk)
{
	uint64_t far;
	if (*chunk >= w->s->end)
		return true;
	uint64_t next = resync(w, *chunk, &far);
	if (next > *chunk && !emit(w, *chunk, next - *chunk, BLOCK_FOREIGN))
		return false;
	*chunk = next;
	barrier(w);
	return true;
}

/* Bytes that are judged anew at once; what is contested beyond that is cut. */
enum { CONTEST_MOST = 64 << 20 };

/* The headers before `bad` and those behind it contradict each other. Takes back what was emitted of the last chunks, and
 * emits what repair.c finds; *chunk is then where the walk goes on. */
static bool contest(struct walk *w, uint64_t *chunk, uint64_t bad)
{
	uint64_t far, feet = resync(w, bad > *chunk ? bad : *chunk + w->g->granule, &far), from = *chunk;
	if (interrupted)
		return walk_lost(w, from, (*chunk = w->s->end) - from);
	if (far - from > CONTEST_MOST)
		far = feet;
	/* The trail's entries ascend; the oldest that is near enough. */
	unsigned known = w->n_trail < WALK_TRAIL ? w->n_trail : WALK_TRAIL;
	for (unsigned i = 1; i <= known; i++) {
		uint64_t at = w->trail[(w->n_trail - i) % WALK_TRAIL];
		if (far - at > CONTEST_MOST)
			break;
		from = at;
	}
	if (far - from > CONTEST_MOST || !w->sink->unwind) {
		from = *chunk;
		*chunk = feet;
		return walk_lost(w, from, feet - from);
	}
	if (from < *chunk)
		w->sink->unwind(w->sink->ctx, w->s, from, w->last);
	/* What was said of the chunks that are judged anew. */
	struct findings *f = &w->g->alloc->findings;
	while (w->g->suspects.n > w->first_suspect && w->g->suspects.at[w->g->suspects.n - 1].chunk >= from)
		w->g->suspects.n--;
	while (f->list.n > w->first_finding && f->list.at[f->list.n - 1].address >= from)
		findings_pop(f);
	barrier(w);
	return repair_range(w, from, far, chunk);
}

/* A size that fits, but flags that do not, or a neighbour that says otherwise. */
static bool contradicts(struct walk *w, uint64_t chunk, uint64_t field)
{
	uint64_t size = chunk_size(field), end = chunk + size, next, prev;
	if (__builtin_expect(!walk_flags_fit(w, field), 0))
		return true;
	if (end >= w->s->end || (end == w->a->top && w->a->top_doubtful) || !walk_load(w, end + w->g->w, &next))
		return false;
	if (next & PREV_INUSE)
		return !w->a->main && !(field & NON_MAIN) && chunk_size(next);
	return !w->g->transit_expected && (!walk_load(w, end, &prev) || prev != size);
}

static bool walk_segment(struct walk *w)
{
	uint64_t chunk = w->s->start, field;
	while (chunk < w->s->end && !interrupted) {
		bool readable = walk_load(w, chunk + w->g->w, &field);
		uint64_t size = readable ? chunk_size(field) : 0;
		uint64_t fence = readable && size <= w->g->header ? walk_fence(w, chunk, field) : 0;
		if (fence) {
			if (!emit(w, chunk, fence, BLOCK_FENCE))
				return false;
			chunk += fence;
			if (w->a->main && !foreign_gap(w, &chunk))
				return false;
			continue;
		}
		bool fits = readable && walk_size_fits(w, chunk, size);
		if ((readable && is_torn_top(w, chunk, size)) || (fits && ends_as_top(w, chunk, size))) {
			if (!take_top(w, chunk, field))
				return false;
			break;
		}
		while (w->anchor < w->g->anchors.n && w->g->anchors.at[w->anchor] <= chunk)
			w->anchor++;
		uint64_t anchor = w->anchor < w->g->anchors.n ? w->g->anchors.at[w->anchor] : UINT64_MAX;
		bool passes_top = fits && chunk < w->a->top && chunk + size > w->a->top && !w->a->top_doubtful;
		if (!fits || passes_top || anchor < chunk + size || contradicts(w, chunk, field)) {
			if (!contest(w, &chunk, !fits ? chunk : passes_top ? w->a->top : anchor < chunk + size ? anchor : chunk + size))
				return false;
			continue;
		}
		if (!walk_take(w, chunk, field))
			return false;
		chunk += size;
	}
	return true;
}

struct err *glibc_walk_segments(struct glibc *g, const struct chunk_sink *sink)
{
	struct walk w = { .g = g, .sink = sink };
	bool enough = true;
	for (size_t i = 0; i < g->alloc->segments.n && enough && !interrupted; i++) {
		w.s = &g->alloc->segments.at[i];
		if (w.s->arena == ARENA_MMAP) {
			enough = sink->chunk(sink->ctx, w.s, w.s->start, w.s->end - w.s->start, BLOCK_MMAPPED);
			continue;
		}
		w.a = &g->alloc->arenas.at[w.s->arena];
		w.first_finding = g->alloc->findings.list.n;
		w.first_suspect = g->suspects.n;
		w.anchor = 0;
		barrier(&w);
		enough = walk_segment(&w);
	}
	repair_end(&w);
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : enough ? NULL : err_nomem();
}

/* Where headers contradict each other: which of them lies?
 *
 * A header that was written over is either no size at all, or a size that leads into the middle of something else; then the
 * header that is no size stands at a place where no chunk starts, and the lie is further back. So the whole range from some
 * chunks before to a place where many headers follow one another again is cut anew. Every sequence of chunks is a path through
 * it; a step is either what a header says, or goes from a header that is taken for a lie to any later place. The path with the
 * highest score wins: few lies, many boundaries, the free chunks' sizes repeated behind them, boundaries that somebody holds a
 * pointer to (witnesses), chunks that malloc's lists name (anchors). Computed from the end, in one pass.
 *
 * Old headers inside of live blocks (of chunks that were merged) form paths as well. They end where the live block does, so a
 * path through them needs a lie more than the truth does, unless a lie is there to be had for nothing. */
#include "walk.h"

enum {
	COST_LIE = 64,
	COST_FLAGS = 48,	/* a size that fits under flags that do not */
	COST_PREV = COST_LIE,	/* called free by the next header, its size does not stand again there */
	GAIN_PREV = 4,		/* it does */
	GAIN_HEADER = 1,
	GAIN_WITNESS = 2,
	GAIN_ANCHOR = 100,
	COST_UNSEEN = 2,	/* a step from a lie to where nobody points */
	GAIN_NEAR = 8,		/* so much better may another place be than one from which the lie differs in its lowest byte alone */
	UNREACHED = INT32_MIN / 2,
};
/* Of a cell's `next`. */
#define IS_LIE (1u << 31)	/* the header here is not believed */
#define IS_FENCE UINT32_MAX	/* the path ends here, before a segment's end mark */

/* For each segment of an arena a bit per granule: some word of the picture is the payload address of a chunk here. */
struct witness {
	uint64_t **bits; /* by segment; NULL for mmapped ones */
	size_t n;
	uint64_t low, high;
	struct glibc *g;
};

static void witness_free(struct witness *v)
{
	for (size_t i = 0; v->bits && i < v->n; i++)
		free(v->bits[i]);
	free(v->bits);
	free(v);
}

static void note(struct witness *v, uint64_t word)
{
	const struct alloc *a = v->g->alloc;
	if (word - v->low >= v->high - v->low || word % v->g->granule)
		return;
	const struct segment *s = glibc_segment_at(a, word);
	uint64_t *bits = s ? v->bits[s - a->segments.at] : NULL;
	uint64_t chunk = word - v->g->header;
	if (bits && chunk >= s->start && chunk < s->end) {
		uint64_t i = (chunk - s->start) / v->g->granule;
		bits[i / 64] |= 1ul << i % 64;
	}
}

static bool note_window(void *ctx, uint64_t address, const uint8_t *data, size_t n)
{
	struct witness *v = ctx;
	unsigned w = v->g->w;
	uint64_t word;
	for (size_t off = align_up(address, w) - address; off + w <= n; off += w)
		if (span_word((struct span){ data, n }, off, w, v->g->arch->big, &word))
			note(v, word);
	return !interrupted;
}

static struct witness *witness_build(struct glibc *g)
{
	const struct alloc *a = g->alloc;
	const struct picture *p = image_picture(g->img);
	struct witness *v = calloc(1, sizeof *v);
	if (!v)
		return NULL;
	*v = (struct witness){ .bits = calloc(a->segments.n + 1, sizeof *v->bits), .n = a->segments.n, .low = UINT64_MAX, .g = g };
	for (size_t i = 0; v->bits && i < a->segments.n; i++) {
		const struct segment *s = &a->segments.at[i];
		if (s->arena == ARENA_MMAP)
			continue;
		v->bits[i] = calloc((s->end - s->start) / g->granule / 64 + 1, sizeof **v->bits);
		if (!v->bits[i]) {
			witness_free(v);
			return NULL;
		}
		v->low = s->start < v->low ? s->start : v->low;
		v->high = s->end > v->high ? s->end : v->high;
	}
	if (!v->bits) {
		free(v);
		return NULL;
	}
	for (size_t i = 0; i < p->maps.n; i++)
		if (p->maps.at[i].prot & PROT_W)
			image_each_window(g->img, p->maps.at[i].start, p->maps.at[i].end, note_window, v);
	return v;
}

static bool seen(const struct walk *w, uint64_t chunk)
{
	const uint64_t *bits = w->witness ? w->witness->bits[w->s - w->g->alloc->segments.at] : NULL;
	uint64_t i = (chunk - w->s->start) / w->g->granule;
	return bits && bits[i / 64] >> i % 64 & 1;
}

struct cell {
	int32_t score;
	uint32_t next; /* granules from the range's start */
};
struct range {
	struct walk *w;
	uint64_t from, to, n; /* n: granules, the last may be a part of one (i386) */
	struct cell *cells;
	size_t anchor;	  /* one behind the next to meet, going down */
};

static bool is_anchor(struct range *r, uint64_t chunk)
{
	const struct glibc *g = r->w->g;
	while (r->anchor && g->anchors.at[r->anchor - 1] > chunk)
		r->anchor--;
	return r->anchor && g->anchors.at[r->anchor - 1] == chunk;
}

/* What the step that this header asks for is worth; UNREACHED: it cannot be. */
static int32_t step_score(struct range *r, uint64_t chunk, uint64_t field, uint64_t *ret_to)
{
	struct walk *w = r->w;
	uint64_t size = chunk_size(field), next, prev;
	int32_t score = GAIN_HEADER + (seen(w, chunk) ? GAIN_WITNESS : 0);
	if (!walk_size_fits(w, chunk, size) || size > r->to - chunk)
		return UNREACHED;
	*ret_to = chunk + size == r->to ? r->n : (chunk + size - r->from) / w->g->granule;
	bool behind = chunk + size < w->s->end && walk_load(w, chunk + size + w->g->w, &next);
	/* A header that lies says nothing of the chunk before it either. */
	behind &= !(r->cells[*ret_to].next & IS_LIE) || r->cells[*ret_to].next == IS_FENCE;
	bool again = chunk + size < w->s->end && walk_load(w, chunk + size, &prev) && prev == size;
	/* Blocks in use of threads' arenas all have the flag. */
	bool unflagged = !w->a->main && !(field & NON_MAIN) && chunk + size < w->s->end;
	if (!walk_flags_fit(w, field) || (unflagged && (behind ? next & PREV_INUSE && chunk_size(next) : !again)))
		score -= COST_FLAGS;
	if (behind && !(next & PREV_INUSE))
		score += again ? GAIN_PREV : -COST_PREV;
	return score;
}

/* The best place that a lie may lead to, of those met so far; the nearest among equals. */
struct landing {
	int32_t score;
	uint32_t at;
};

/* A place whose header is believed and calls the chunk before it free may only be reached from where its size is noted. */
static void add_landing(struct range *r, uint64_t i, struct landing *best)
{
	struct walk *w = r->w;
	const struct cell *end = &r->cells[i];
	uint64_t at = r->from + i * w->g->granule, field, prev;
	int32_t score = end->score - (at < w->s->end && seen(w, at) ? 0 : COST_UNSEEN);
	if (i < r->n && (!(end->next & IS_LIE) || end->next == IS_FENCE) && walk_load(w, at + w->g->w, &field) && !(field & PREV_INUSE)) {
		if (walk_load(w, at, &prev) && prev % w->g->granule == 0 && prev >= w->g->min_chunk && prev / w->g->granule <= i) {
			struct cell *c = &r->cells[i - prev / w->g->granule];
			if (score + GAIN_PREV - COST_LIE > c->score)
				*c = (struct cell){ score + GAIN_PREV - COST_LIE, (uint32_t)i | IS_LIE };
		}
		score -= COST_PREV;
	}
	if (score >= best->score)
		*best = (struct landing){ score, (uint32_t)i };
}

/* An end mark: two equal words alone prove little, but the former top ended with its page. */
static bool is_end(struct range *r, uint64_t chunk, uint64_t field)
{
	uint64_t end = chunk + walk_fence(r->w, chunk, field), page = image_picture(r->w->g->img)->page;
	return end > chunk && (!r->w->a->main || align_up(end, page) - end < r->w->g->granule);
}

/* One byte too many, written over the lowest of a size: the true one is a near one, and a header that goes on stands there. That says
 * where this header led, not that it is this one which lies: no score. */
static void land_nearby(struct range *r, uint64_t i, uint64_t size)
{
	struct walk *w = r->w;
	uint64_t near = size & ~(uint64_t)0xff, next, prev;
	struct landing best = { UNREACHED, 0 };
	struct cell *c = &r->cells[i];
	for (uint64_t bytes = near; near && bytes < near + 0x100; bytes += w->g->granule) {
		uint64_t to = i + bytes / w->g->granule, at = r->from + to * w->g->granule;
		if (bytes == size || to >= r->n || r->cells[to].next & IS_LIE || r->cells[to].score <= best.score || !walk_load(w, at + w->g->w, &next))
			continue;
		if (next & PREV_INUSE || (walk_load(w, at, &prev) && prev == bytes))
			best = (struct landing){ r->cells[to].score, (uint32_t)to };
	}
	if (best.score > UNREACHED && best.score - COST_LIE - COST_UNSEEN + GAIN_NEAR > c->score)
		c->next = best.at | IS_LIE;
}

/* How much better than a lie a header must be to be believed. One that calls a chunk before it free of which nothing is to be seen
 * contradicts that too, and its own size may lead to where it seems to be right for one step. */
static int32_t margin(const struct range *r, uint64_t chunk, uint64_t field)
{
	struct walk *w = r->w;
	uint64_t prev, before;
	if (field & PREV_INUSE)
		return 0;
	bool noted = walk_load(w, chunk, &prev) && prev >= w->g->min_chunk && prev % w->g->granule == 0 && prev <= chunk - w->s->start &&
		     walk_load(w, chunk - prev + w->g->w, &before) && chunk_size(before) == prev;
	return noted ? 1 : COST_LIE / 2;
}

static void fill_cells(struct range *r)
{
	struct walk *w = r->w;
	uint64_t field, to, shortest = w->g->min_chunk / w->g->granule;
	bool anchor_next = false;
	struct landing best = { UNREACHED, 0 };
	for (uint64_t i = 0; i < r->n; i++)
		r->cells[i] = (struct cell){ UNREACHED, 0 };
	r->cells[r->n] = (struct cell){ 0, 0 };
	for (uint64_t i = r->n; i--;) {
		uint64_t chunk = r->from + i * w->g->granule;
		struct cell *c = &r->cells[i];
		if (i + shortest <= r->n)
			add_landing(r, i + shortest, &best);
		if (best.score > UNREACHED && best.score - COST_LIE > c->score)
			*c = (struct cell){ best.score - COST_LIE, best.at | IS_LIE };
		/* A list names a chunk that begins within this header's block, nearer than a chunk can end: it lies over that. */
		if (anchor_next && shortest > 1 && r->cells[i + 1].score - COST_LIE > c->score)
			*c = (struct cell){ r->cells[i + 1].score - COST_LIE, (uint32_t)(i + 1) | IS_LIE };
		bool readable = walk_load(w, chunk + w->g->w, &field);
		if (readable)
			land_nearby(r, i, chunk_size(field));
		if (readable && chunk_size(field) <= w->g->header && is_end(r, chunk, field)) {
			if (2 * GAIN_HEADER > c->score)
				*c = (struct cell){ 2 * GAIN_HEADER, IS_FENCE };
		} else if (readable) {
			int32_t score = step_score(r, chunk, field, &to);
			/* Of equals the header is believed, unless it also contradicts the one before. */
			if (score > UNREACHED && r->cells[to].score > UNREACHED && r->cells[to].score + score >= c->score + margin(r, chunk, field))
				*c = (struct cell){ r->cells[to].score + score, (uint32_t)to };
		}
		anchor_next = is_anchor(r, chunk);
		if (anchor_next)
			c->score += GAIN_ANCHOR;
	}
}

static bool follow(struct range *r, uint64_t *ret_end)
{
	struct walk *w = r->w;
	uint64_t field, i = 0;
	while (i < r->n && r->cells[i].next != IS_FENCE) {
		uint64_t chunk = r->from + i * w->g->granule, to = r->cells[i].next & ~IS_LIE;
		bool lie = r->cells[i].next & IS_LIE || !to;
		if (!to)
			to = r->n;
		w->next_lies = to < r->n && r->cells[to].next & IS_LIE && r->cells[to].next != IS_FENCE;
		uint64_t end = to == r->n ? r->to : r->from + to * w->g->granule;
		if (lie || !walk_load(w, chunk + w->g->w, &field) ? !walk_lost(w, chunk, end - chunk) : !walk_take(w, chunk, field))
			return false;
		i = to;
	}
	w->next_lies = false;
	*ret_end = i == r->n ? r->to : r->from + i * w->g->granule;
	return true;
}

bool repair_range(struct walk *w, uint64_t from, uint64_t to, uint64_t *ret_end)
{
	uint64_t n = (to - from + w->g->granule - 1) / w->g->granule;
	struct range r = { .w = w, .from = from, .to = to, .n = n, .anchor = w->g->anchors.n };
	if (!w->witness)
		w->witness = witness_build(w->g);
	r.cells = malloc((r.n + 1) * sizeof *r.cells);
	if (!w->witness || !r.cells) {
		free(r.cells);
		return false;
	}
	fill_cells(&r);
	bool enough = follow(&r, ret_end);
	free(r.cells);
	return enough;
}

void repair_end(struct walk *w)
{
	if (w->witness)
		witness_free(w->witness);
	w->witness = NULL;
}

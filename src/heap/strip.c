/* A heap as a strip of cells: each cell is what most of its bytes are. */
#include "flotsam/heap.h"

const char strip_letters[STRIP_KINDS + 1] = "UCBFTX-";

static enum strip_kind kind_of(enum block_state state)
{
	switch (state) {
	case BLOCK_USED:
	case BLOCK_MMAPPED:
		return STRIP_USED;
	case BLOCK_TCACHE:
		return STRIP_CACHED;
	case BLOCK_FASTBIN:
		return STRIP_FASTBIN;
	case BLOCK_UNSORTED:
	case BLOCK_SMALLBIN:
	case BLOCK_LARGEBIN:
	case BLOCK_FREE:
		return STRIP_FREE;
	case BLOCK_TOP:
		return STRIP_TOP;
	case BLOCK_FENCE:
	case BLOCK_IN_TRANSIT:
	case BLOCK_LOST:
	case BLOCK_FOREIGN:
	case BLOCK_STATES:
		break;
	}
	return STRIP_OTHER;
}

struct weights { uint64_t bytes[STRIP_KINDS]; };

static void add(struct weights *w, const struct heap_strip *t, uint64_t cell, enum strip_kind kind, uint64_t from, uint64_t to)
{
	from = from > t->start ? from : t->start;
	to = to < t->end ? to : t->end;
	for (uint64_t at = from; at < to;) {
		uint64_t i = (at - t->start) / cell, next = t->start + (i + 1) * cell;
		w[i].bytes[kind] += (next < to ? next : to) - at;
		at = next;
	}
}

static void choose(struct heap_strip *t, const struct weights *w, uint64_t cell, struct residency *r)
{
	for (size_t i = 0; i < t->n; i++) {
		uint64_t from = t->start + i * cell, to = from + cell < t->end ? from + cell : t->end;
		int best = STRIP_NOTHING;
		for (int k = STRIP_KINDS - 1; k >= 0; k--)
			if (w[i].bytes[k] && (best == STRIP_NOTHING || w[i].bytes[k] >= w[i].bytes[best]))
				best = k;
		t->kinds[i] = (uint8_t)best;
		t->resident[i] = 2 * residency_bytes(r, from, to) >= to - from;
	}
}

static struct err *draw(struct session *s, const struct segment *g, uint64_t cell, struct heap_strip *t)
{
	struct residency r = { .p = &s->target->picture };
	struct block_cursor c;
	t->n = (t->end - t->start + cell - 1) / cell;
	t->kinds = calloc(t->n, 1);
	t->resident = calloc(t->n, sizeof *t->resident);
	AUTO_FREE struct weights *w = calloc(t->n, sizeof *w);
	if (!t->kinds || !t->resident || !w)
		return err_nomem();
	add(w, t, cell, STRIP_OTHER, g->header_from, g->start);
	block_id id = blocks_at(s->blocks, (t->start > g->start ? t->start : g->start) + s->alloc->facts.header);
	blocks_begin(s->blocks, &c);
	if (id != BLOCK_NONE)
		for (blocks_seek(&c, id); blocks_next(&c) && c.chunk < t->end;) {
			add(w, t, cell, kind_of(c.state), c.chunk, c.chunk + c.chunk_bytes);
			if (interrupted)
				return err_new(ERR_INTERRUPTED, "interrupted");
		}
	choose(t, w, cell, &r);
	return NULL;
}

static bool wanted(const struct segment *g, const struct strip_range *want)
{
	return g->header_from < want->end && g->end > want->start && (want->mapped || g->arena != ARENA_MMAP) && (want->arena < 0 || g->arena == want->arena);
}

/* The cell that makes of all the heaps as many cells as asked for, a power of two. */
static uint64_t cell_for(const struct alloc *a, const struct strip_range *want, uint64_t cells)
{
	uint64_t bytes = 0, cell = a->facts.granule;
	for (size_t i = 0; i < a->segments.n; i++) {
		const struct segment *g = &a->segments.at[i];
		uint64_t from = g->header_from > want->start ? g->header_from : want->start, to = g->end < want->end ? g->end : want->end;
		bytes += wanted(g, want) ? to - from : 0;
	}
	while (cells && bytes / cell > cells)
		cell *= 2;
	return cell;
}

static struct err *draw_all(struct session *s, const struct strip_range *want, struct strips *l)
{
	const struct alloc *a = s->alloc;
	for (size_t i = 0; i < a->segments.n; i++) {
		const struct segment *g = &a->segments.at[i];
		if (!wanted(g, want))
			continue;
		struct heap_strip *t = vec_push(&l->list);
		if (!t)
			return err_nomem();
		t->arena = g->arena;
		t->start = g->header_from > want->start ? g->header_from : want->start;
		t->end = g->end < want->end ? g->end : want->end;
		TRY(draw(s, g, l->cell, t));
	}
	return NULL;
}

struct err *heap_strips(struct session *s, const struct strip_range *want, uint64_t cells, struct strips **ret)
{
	struct strips *l = calloc(1, sizeof *l);
	if (!l)
		return err_nomem();
	l->cell = cell_for(s->alloc, want, cells);
	struct err *e = draw_all(s, want, l);
	if (e) {
		heap_strips_free(l);
		return e;
	}
	*ret = l;
	return NULL;
}

void heap_strips_free(struct strips *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->list.n; i++) {
		free(l->list.at[i].kinds);
		free(l->list.at[i].resident);
	}
	vec_free(&l->list);
	free(l);
}

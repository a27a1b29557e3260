/* What is judged when walk and lists are both known: chunks that are free by one account and not by the other. */
#include "glibc.h"

#include <stdarg.h>

void glibc_bad_list(struct glibc *g, const struct finding *what, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	if (g->transit_expected)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	findings_add_words(&g->alloc->findings, what, "%s", text);
	const struct segment *s = glibc_segment_at(g->alloc, what->address);
	if (s && s->arena >= 0)
		g->alloc->arenas.at[s->arena].consistent = false;
}

ptrdiff_t glibc_record(struct glibc *g, const struct alloc_list *l)
{
	struct alloc_list *slot = vec_push(&g->alloc->lists);
	if (!slot)
		return -1;
	*slot = *l;
	return slot - g->alloc->lists.at;
}

void glibc_count(struct glibc *g, ptrdiff_t list, uint64_t size)
{
	if (list < 0)
		return;
	g->alloc->lists.at[list].chunks++;
	g->alloc->lists.at[list].bytes += size;
}

uint64_t glibc_neighbour(const struct glibc *g, const struct chunk_sink *sink, uint64_t chunk)
{
	uint64_t before;
	enum block_state state;
	if (!sink->before || !sink->before(sink->ctx, chunk, &before, &state) || !block_state_is_used(state) || glibc_is_tcache(g, before + g->header))
		return 0;
	return before + g->header;
}

enum { MOST_ANCHORS = 1 << 16 };

void glibc_anchor(struct glibc *g, uint64_t chunk, uint64_t size)
{
	uint64_t field;
	const struct segment *s = glibc_segment_at(g->alloc, chunk);
	if (g->walked_twice || g->transit_expected || g->anchors.n >= MOST_ANCHORS || !s || s->arena == ARENA_MMAP || chunk < s->start ||
	    (chunk - s->start) % g->granule || !image_word(g->img, chunk + g->w, &field))
		return;
	uint64_t said = chunk_size(field);
	if (said < g->min_chunk || said % g->granule || said > s->end - chunk || (size && said != size))
		return;
	uint64_t *slot = vec_push(&g->anchors);
	if (slot)
		*slot = chunk;
}

static bool in_bin(enum block_state s)
{
	return s == BLOCK_UNSORTED || s == BLOCK_SMALLBIN || s == BLOCK_LARGEBIN;
}

/* The next header calls this chunk free, but its size does not stand again before that. On a list: the copy was written over. On
 * none: the header was, for the chunk is in use (one zero byte too many does that). */
static void judge_prev_size(struct glibc *g, const struct chunk_sink *sink, const struct suspect *x)
{
	uint64_t size, field, next = x->chunk + x->size;
	enum block_state state;
	if (!sink->get(sink->ctx, x->chunk, &size, &state) || size != x->size || !image_word(g->img, next + g->w, &field))
		return;
	if (in_bin(state))
		glibc_bad_list(g, &(struct finding){ .kind = "bad-prev-size", .address = next, .expected = size, .has_expected = true,
						     .found = x->found, .has_found = true },
			       "the size of the free chunk before this address does not stand again here");
	if (state != BLOCK_FREE || g->transit_expected)
		return;
	glibc_bad_list(g, &(struct finding){ .kind = "prev-in-use", .address = next + g->header, .expected = field | PREV_INUSE,
					     .has_expected = true, .found = field, .has_found = true, .neighbour = x->chunk + g->header },
		       "the header calls the block before it free, but no list has that, and its size is not noted here");
	sink->listed(sink->ctx, x->chunk, size, BLOCK_USED);
}

static void judge_not_merged(struct glibc *g, const struct chunk_sink *sink, const struct suspect *x)
{
	uint64_t size, size2;
	enum block_state state, state2;
	if (!sink->get(sink->ctx, x->chunk, &size, &state) || !sink->get(sink->ctx, x->chunk + x->size, &size2, &state2))
		return;
	if (in_bin(state) && (in_bin(state2) || state2 == BLOCK_TOP))
		glibc_bad_list(g, &(struct finding){ .kind = "not-merged", .address = x->chunk + x->size + g->header,
						     .neighbour = glibc_neighbour(g, sink, x->chunk) },
			       "a free chunk follows another one; malloc would have merged them");
}

struct unlisted {
	uint64_t n, bytes, first;
};

/* One finding an arena: where a list is cut, all that lay behind it would be one each. */
static void judge_unlisted(struct glibc *g, const struct chunk_sink *sink, struct unlisted *by_arena)
{
	uint64_t cursor = 0, chunk, size;
	while (!interrupted && sink->next_unlisted(sink->ctx, &cursor, &chunk, &size)) {
		const struct segment *s = glibc_segment_at(g->alloc, chunk);
		int arena = s && s->arena >= 0 ? s->arena : -1;
		if (g->transit_expected || (arena >= 0 && g->alloc->arenas.at[arena].mutex && !g->died_inside)) {
			sink->listed(sink->ctx, chunk, size, BLOCK_IN_TRANSIT);
			continue;
		}
		struct unlisted *u = &by_arena[arena + 1];
		if (!u->n++)
			u->first = chunk;
		u->bytes += size;
	}
	for (size_t i = 0; i <= g->alloc->arenas.n; i++) {
		const struct unlisted *u = &by_arena[i];
		if (!u->n)
			continue;
		struct finding f = { .kind = "free-not-listed", .address = u->first + g->header,
				     .neighbour = glibc_neighbour(g, sink, u->first) };
		if (u->n == 1)
			glibc_bad_list(g, &f, "a free chunk of %llu bytes is on no list", (unsigned long long)u->bytes);
		else
			glibc_bad_list(g, &f, "%llu free chunks are on no list, %llu bytes in sum; this is the first",
				       (unsigned long long)u->n, (unsigned long long)u->bytes);
	}
}

static void judge_system_mem(struct glibc *g)
{
	for (size_t i = 0; i < g->alloc->arenas.n; i++) {
		struct arena *a = &g->alloc->arenas.at[i];
		uint64_t most, at = a->address + g->l->arena.system_mem + g->w; /* max_system_mem */
		if (image_word(g->img, at, &most) && most < a->system_mem && !a->mutex)
			findings_add_words(&g->alloc->findings,
					   &(struct finding){ .kind = "system-mem", .address = at, .expected = a->system_mem, .has_expected = true,
							      .found = most, .has_found = true },
					   "arena %zu has more memory than it ever had by its own count", i);
		if ((!a->top && !a->walked_bytes) || a->walked_bytes == a->system_mem || a->mutex)
			continue;
		findings_add_words(&g->alloc->findings,
				   &(struct finding){ .kind = "system-mem", .address = a->address + g->l->arena.system_mem,
						      .expected = a->walked_bytes, .has_expected = true, .found = a->system_mem, .has_found = true },
				   "arena %zu counts %llu bytes, its segments have %llu", i, (unsigned long long)a->system_mem,
				   (unsigned long long)a->walked_bytes);
		a->consistent = false;
		if (a->walked_bytes < a->system_mem)
			g->alloc->partial = true;
	}
}

void glibc_check(struct glibc *g, const struct chunk_sink *sink)
{
	AUTO_FREE struct unlisted *by_arena = calloc(g->alloc->arenas.n + 1, sizeof *by_arena);
	for (size_t i = 0; i < g->suspects.n; i++)
		if (g->suspects.at[i].why == SUSPECT_PREV_SIZE)
			judge_prev_size(g, sink, &g->suspects.at[i]);
		else
			judge_not_merged(g, sink, &g->suspects.at[i]);
	if (by_arena)
		judge_unlisted(g, sink, by_arena);
	judge_system_mem(g);
}

/* Segments of the main arena. Usually it is one, of the break: from mp_.sbrk_base to the end of top, system_mem bytes. Each of
 * the three follows from the others, so that one of them may be damaged. */
#include "glibc.h"

static bool plausible_size(const struct glibc *g, uint64_t size, uint64_t room)
{
	return size >= g->min_chunk && size % g->granule == 0 && size <= room;
}

/* Does a chain of sizes from `chunk` reach `top`, or the pair of fences that ends a segment (malloc/malloc.c, sysmalloc:
 * "fencepost")? Returns the end of the segment, 0 when not. */
static uint64_t chain_end(const struct glibc *g, uint64_t chunk, uint64_t limit, uint64_t top, uint64_t top_end)
{
	uint64_t page = image_picture(g->img)->page;
	for (uint64_t at = chunk, n = 0; at < limit; n++) {
		uint64_t field;
		if (at == top)
			return top_end;
		if (!image_word(g->img, at + g->w, &field) || field & (IS_MMAPPED | NON_MAIN))
			return 0;
		uint64_t size = chunk_size(field), second;
		if (size == g->header && n && image_word(g->img, at + size + g->w, &second) && (second & ~(uint64_t)7) == g->header && second & PREV_INUSE) {
			/* The segment ends with its page; the fences stop short of that where chunks are off the alignment (i386). */
			uint64_t end = align_up(at + 2 * size, page);
			if (end - (at + 2 * size) < g->granule && end <= limit)
				return end;
		}
		if (!plausible_size(g, size, limit - at))
			return 0;
		at += size;
	}
	return 0;
}

static bool may_be_main(const struct mapping *m)
{
	return m->prot & PROT_W && !m->shared && !m->device && (!m->inode || strstr(m->path, "anon_hugepage"));
}

static struct err *segments_between(struct glibc *g, struct arena *a, int index, uint64_t at, uint64_t run_end)
{
	const uint64_t page = image_picture(g->img)->page;
	while (at < run_end && a->walked_bytes < a->system_mem) {
		uint64_t chunk = glibc_first_chunk(g, at), field, end = 0;
		if (!image_word(g->img, chunk + g->w, &field)) { /* a mapping may be all hole, and of any size */
			uint64_t next = align_down(image_next_dumped(g->img, at), page);
			at = next > at ? next : at + page;
			continue;
		}
		if ((field & 7) == PREV_INUSE && chunk_size(field))
			end = chain_end(g, chunk, run_end, a->top, a->top + a->top_bytes);
		if (!end) {
			at = align_down(at, page) + page;
			continue;
		}
		if (!glibc_add_segment(g, index, at, chunk, end))
			return err_nomem();
		a->walked_bytes += end - at;
		at = align_up(end, page);
	}
	return NULL;
}

/* A main arena whose segments are mmapped (hugetlb=2, brk refused, a second libc): found page by page, from the rule that
 * each ends in fences or at top and begins with a page, but for the first where somebody else moved the break before (the TLS
 * of a static program); the sum of their lengths is system_mem. One segment may be several mappings: with hugetlb=1 malloc
 * advises for huge pages as it grows (malloc/malloc.c: madvise_thp). */
static struct err *noncontiguous_segments(struct glibc *g, struct arena *a, int index)
{
	const struct picture *p = image_picture(g->img);
	uint64_t base = g->sbrk_base;
	a->walked_bytes = 0;
	for (size_t i = 0; i < p->maps.n && a->walked_bytes < a->system_mem;) {
		size_t first = i++;
		if (!may_be_main(&p->maps.at[first]))
			continue;
		while (i < p->maps.n && may_be_main(&p->maps.at[i]) && p->maps.at[i].start == p->maps.at[i - 1].end)
			i++;
		uint64_t start = p->maps.at[first].start, end = p->maps.at[i - 1].end;
		if (base > start && base < end) {
			TRY(segments_between(g, a, index, start, base));
			start = base;
		}
		TRY(segments_between(g, a, index, start, end));
	}
	return NULL;
}

uint64_t glibc_break_end(const struct glibc *g, const struct arena *a)
{
	bool whole = a->system_mem && a->system_mem % image_picture(g->img)->page == 0;
	return g->sbrk_base && whole ? g->sbrk_base + a->system_mem : 0;
}

struct run { /* of neighbours */
	uint64_t start, end;
};

static bool continues(const struct mapping *m, const struct mapping *next)
{
	return m->end == next->start && !next->inode && !next->device && !next->shared;
}

static struct run run_around(const struct glibc *g, uint64_t address)
{
	const struct picture *p = image_picture(g->img);
	const struct mapping *m = picture_mapping(p, address), *first = m, *last = m;
	if (!m || !(m->prot & PROT_W) || m->device)
		return (struct run){ 0, 0 };
	while (first > p->maps.at && continues(&first[-1], first) && !first[-1].inode)
		first--;
	while (last + 1 < p->maps.at + p->maps.n && continues(last, &last[1]))
		last++;
	return (struct run){ first->start, last->end };
}

/* Do headers follow one another from the first chunk of a segment that begins here? */
static bool begins_here(const struct glibc *g, uint64_t base, uint64_t end)
{
	enum { STEPS = 4 };
	uint64_t at = glibc_first_chunk(g, base), field;
	for (int i = 0; i < STEPS && at < end; i++) {
		if (!image_word(g->img, at + g->w, &field) || field & (IS_MMAPPED | NON_MAIN) || (!i && !(field & PREV_INUSE)) ||
		    !plausible_size(g, chunk_size(field), end - at))
			return false;
		at += chunk_size(field);
	}
	return true;
}

static void bad_params(struct glibc *g, unsigned at, uint64_t expected, uint64_t found, const char *text)
{
	findings_add_words(&g->alloc->findings,
			   &(struct finding){ .kind = "bad-params", .address = g->place.params + at, .expected = expected, .has_expected = true,
					      .found = found, .has_found = true },
			   "%s", text);
}

/* Where the break's part begins; 0: it cannot be told. */
static uint64_t break_base(struct glibc *g, const struct arena *a, uint64_t end)
{
	uint64_t base = g->sbrk_base;
	if (base && end > base && end - base == a->system_mem)
		return base;
	struct run run = run_around(g, end ? end - 1 : base ? base : a->top);
	if (!run.end)
		return 0;
	bool inside = base >= run.start && base < (end ? end : run.end);
	if (inside && (!end || begins_here(g, base, end)))
		return base;
	uint64_t by_count = end > a->system_mem ? end - a->system_mem : 0;
	bool counted = by_count >= run.start && begins_here(g, by_count, end);
	if (!counted && !begins_here(g, run.start, end ? end : run.end))
		return inside ? base : 0;
	by_count = counted ? by_count : run.start;
	if (g->place.params)
		bad_params(g, g->l->params.sbrk_base, by_count, base, "malloc's record of where its heap begins leads elsewhere");
	g->sbrk_base = by_count;
	return by_count;
}

static struct err *contiguous_segment(struct glibc *g, struct arena *a, int index)
{
	uint64_t end = a->top_bytes ? a->top + a->top_bytes : glibc_break_end(g, a), base = break_base(g, a, end);
	if (!base)
		return a->top_bytes ? noncontiguous_segments(g, a, index) : NULL;
	if (!end)
		end = run_around(g, base).end;
	uint64_t start = glibc_first_chunk(g, base);
	a->walked_bytes = end - base;
	return glibc_add_segment(g, index, start, start, end) ? NULL : err_nomem();
}

/* An arena that is said to lie scattered, but whose count and bounds are those of one piece. */
static bool is_one_piece(const struct glibc *g, const struct arena *a)
{
	uint64_t end = a->top + a->top_bytes;
	struct run run = run_around(g, end - 1);
	return a->top_bytes && run.end && g->sbrk_base >= run.start && g->sbrk_base < end && end - g->sbrk_base == a->system_mem &&
	       begins_here(g, g->sbrk_base, end);
}

struct err *glibc_main_segments(struct glibc *g, struct arena *a, int index)
{
	if (!a->contiguous && is_one_piece(g, a))
		a->contiguous = true;
	return a->contiguous ? contiguous_segment(g, a, index) : noncontiguous_segments(g, a, index);
}

/* Arenas and their segments: which address ranges malloc cuts chunks from. */
#include "glibc.h"

static bool word_at(const struct glibc *g, uint64_t address, uint64_t *ret)
{
	return image_word(g->img, address, ret);
}

bool glibc_add_segment(struct glibc *g, int arena, uint64_t header_from, uint64_t start, uint64_t end)
{
	struct segment *s = vec_push(&g->alloc->segments);
	if (!s)
		return false;
	*s = (struct segment){ .start = start, .end = end, .arena = arena, .header_from = header_from };
	return true;
}

static int compare_segments(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

/* Sorts, and drops what overlaps: two claims on one address cannot both be right, the first stands. */
void glibc_sort_segments(struct alloc *a)
{
	if (a->segments.n < 2)
		return;
	qsort(a->segments.at, a->segments.n, sizeof *a->segments.at, compare_segments);
	size_t keep = 1;
	for (size_t i = 1; i < a->segments.n; i++) {
		struct segment *s = &a->segments.at[i];
		if (s->header_from < a->segments.at[keep - 1].end) {
			findings_add(&a->findings, "overlap", s->start, "two heap segments claim the same memory");
			a->partial = true;
			continue;
		}
		a->segments.at[keep++] = *s;
	}
	a->segments.n = keep;
}

const struct segment *glibc_segment_at(const struct alloc *a, uint64_t address)
{
	size_t lo = 0, hi = a->segments.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (a->segments.at[mid].end <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < a->segments.n && a->segments.at[lo].header_from <= address ? &a->segments.at[lo] : NULL;
}

/* First chunk at or behind `from`: the payload is aligned, not the chunk (i386: chunk % 16 == 8). */
static uint64_t first_chunk(const struct glibc *g, uint64_t from)
{
	return align_up(from + g->header, g->granule) - g->header;
}

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
		if (!word_at(g, at + g->w, &field) || field & (IS_MMAPPED | NON_MAIN))
			return 0;
		uint64_t size = chunk_size(field), second;
		if (size == g->header && n && word_at(g, at + size + g->w, &second) && (second & ~(uint64_t)7) == g->header &&
		    second & PREV_INUSE && (at + 2 * size) % page == 0)
			return at + 2 * size;
		if (!plausible_size(g, size, limit - at))
			return 0;
		at += size;
	}
	return 0;
}

/* A main arena whose segments are mmapped (hugetlb=2, brk refused, a second libc): found page by page, from the rule that
 * each is page aligned and ends in fences or at top; the sum of their lengths is system_mem. */
static struct err *noncontiguous_segments(struct glibc *g, struct arena *a, int index)
{
	const struct picture *p = image_picture(g->img);
	uint64_t sum = 0;
	for (size_t i = 0; i < p->maps.n && sum < a->system_mem; i++) {
		const struct mapping *m = &p->maps.at[i];
		bool anonymous = !m->inode || strstr(m->path, "anon_hugepage");
		if (!(m->prot & PROT_W) || m->shared || m->device || !anonymous)
			continue;
		for (uint64_t at = m->start; at < m->end && sum < a->system_mem;) {
			uint64_t chunk = first_chunk(g, at), field, end = 0;
			if (word_at(g, chunk + g->w, &field) && (field & 7) == PREV_INUSE && chunk_size(field))
				end = chain_end(g, chunk, m->end, a->top, a->top + a->top_bytes);
			if (!end) {
				at += p->page;
				continue;
			}
			if (!glibc_add_segment(g, index, at, chunk, end))
				return err_nomem();
			sum += end - at;
			at = align_up(end, p->page);
		}
	}
	a->walked_bytes = sum;
	return NULL;
}

static struct err *main_segments(struct glibc *g, struct arena *a, int index)
{
	if (!a->contiguous)
		return noncontiguous_segments(g, a, index);
	uint64_t base = g->sbrk_base;
	if (!base || base > a->top) {
		/* Without mp_ the break's mapping is the next best word on where the heap starts. */
		const struct mapping *m = picture_mapping(image_picture(g->img), a->top);
		if (!m)
			return NULL;
		base = m->start;
	}
	uint64_t start = first_chunk(g, base);
	a->walked_bytes = a->top + a->top_bytes - base;
	return glibc_add_segment(g, index, start, start, a->top + a->top_bytes) ? NULL : err_nomem();
}

/* Heaps of a thread arena, from the one that holds top backwards (malloc/arena.c: heap_for_ptr, heap_info.prev). */
static struct err *thread_segments(struct glibc *g, struct arena *a, int index)
{
	uint64_t heap = align_down(a->top, g->heap_max);
	for (unsigned n = 0; heap && n < LIMIT_ARENAS; n++) {
		uint64_t owner, prev, bytes;
		if (!word_at(g, heap, &owner) || !word_at(g, heap + g->w, &prev) || !word_at(g, heap + g->l->heap_info_bytes, &bytes)) {
			findings_add(&g->alloc->findings, "bad-heap", heap, "arena %d: a heap's header cannot be read", index);
			g->alloc->partial = true;
			return NULL;
		}
		if (owner != a->address || bytes > g->heap_max || bytes < g->l->heap_info_size || heap % g->heap_max) {
			findings_add(&g->alloc->findings, "bad-heap", heap,
				     "arena %d: heap header says arena 0x%llx, %llu bytes", index, (unsigned long long)owner,
				     (unsigned long long)bytes);
			g->alloc->partial = true;
			return NULL;
		}
		bool first = a->address == heap + g->l->heap_info_size;
		uint64_t start = first ? first_chunk(g, a->address + g->l->arena.size) : first_chunk(g, heap + g->l->heap_info_size);
		if (!glibc_add_segment(g, index, heap, start, heap + bytes))
			return err_nomem();
		a->walked_bytes += bytes;
		a->heaps++;
		heap = prev;
	}
	return NULL;
}

static bool read_arena(struct glibc *g, uint64_t address, struct arena *a)
{
	uint64_t field = 0;
	uint32_t flags = 0;
	a->address = address;
	a->main = address == g->place.main_arena;
	if (!image_u32(g->img, address, &a->mutex) || !image_u32(g->img, address + 4, &flags) ||
	    !word_at(g, address + g->l->arena.top, &a->top) || !word_at(g, address + g->l->arena.system_mem, &a->system_mem))
		return false;
	a->contiguous = a->main && !(flags & 2);
	a->consistent = true;
	/* No heap yet: top is 0, or bin 1's own pseudo-chunk (malloc/malloc.c: initial_top). */
	if (!a->top || a->top == address + g->l->arena.bins - g->header || !a->system_mem) {
		a->top = 0;
		return true;
	}
	/* Top ends with its page, so on i386 its size is no multiple of the alignment: payloads are, 8 bytes into the chunk. */
	if (!word_at(g, a->top + g->w, &field) || chunk_size(field) < g->min_chunk || chunk_size(field) % g->header ||
	    chunk_size(field) > a->system_mem + g->heap_max) {
		findings_add(&g->alloc->findings, "bad-top", a->top, "the top chunk's size is 0x%llx", (unsigned long long)field);
		g->alloc->partial = true;
		return true;
	}
	a->top_bytes = chunk_size(field);
	return true;
}

static bool image_reader(void *ctx, uint64_t address, void *to, size_t n)
{
	return image_read(ctx, address, to, n);
}

struct err *glibc_arenas(struct glibc *g)
{
	AUTO_FREE uint64_t *at = calloc(LIMIT_ARENAS, sizeof *at);
	if (!at)
		return err_nomem();
	struct glibc_reader r = { image_reader, g->img, g->w, g->arch->big };
	size_t n;
	if (!glibc_ring(&r, &g->place, at, LIMIT_ARENAS, &n)) {
		findings_add(&g->alloc->findings, "bad-arena", g->place.main_arena, "the ring of arenas does not close");
		g->alloc->partial = true;
	}
	for (size_t i = 0; i < n; i++) {
		struct arena *a = vec_push(&g->alloc->arenas);
		if (!a)
			return err_nomem();
		if (!read_arena(g, at[i], a)) {
			findings_add(&g->alloc->findings, "bad-arena", at[i], "arena %zu cannot be read", i);
			g->alloc->partial = true;
			g->alloc->arenas.n--;
			break;
		}
		if (a->mutex)
			g->transit_expected = true;
		if (a->top && a->top_bytes)
			TRY(a->main ? main_segments(g, a, (int)i) : thread_segments(g, a, (int)i));
		struct runtime_extent *e = vec_push(&g->alloc->state_extents);
		if (!e)
			return err_nomem();
		*e = (struct runtime_extent){ .start = at[i], .end = at[i] + g->l->arena.size, .kind = EXTENT_ALLOCATOR, .thread = -1 };
	}
	return NULL;
}

/* Heaps of thread arenas (malloc/arena.c: heap_info). Each knows its arena and the heap before it; the arena knows the last
 * one by top. They start at multiples of their largest size, so that what a damaged link hides is found by looking there. */
#include "glibc.h"

bool glibc_read_heap(const struct glibc *g, uint64_t heap, struct heap_info *ret)
{
	uint64_t page = image_picture(g->img)->page;
	unsigned size_at = g->l->heap_info_bytes;
	if (!heap || heap % g->heap_max || !image_word(g->img, heap, &ret->owner) || !image_word(g->img, heap + g->w, &ret->prev) ||
	    !image_word(g->img, heap + size_at, &ret->bytes) || !image_word(g->img, heap + size_at + g->w, &ret->mprotect_bytes))
		return false;
	/* What is behind it is reserved only: PROT_NONE. */
	ret->plausible = ret->bytes >= page && ret->bytes <= g->heap_max && ret->bytes % page == 0 && glibc_is_writable(g, heap + ret->bytes - 1);
	return true;
}

/* The next place at or behind *at where a heap can be and bytes are held; false at the end. */
static bool next_place(const struct glibc *g, uint64_t *at)
{
	for (uint64_t from = *at; (from = image_next_dumped(g->img, from)) != UINT64_MAX;) {
		uint64_t place = align_up(from, g->heap_max);
		if (place < from)
			return false;
		if (place == from || image_next_dumped(g->img, place) == place) {
			*at = place;
			return true;
		}
		from = place;
	}
	return false;
}

/* How many of the two links of a bin point at its own pseudo-chunk. */
static unsigned own_links(const struct glibc_reader *r, const struct glibc_place *p, uint64_t arena, unsigned bin)
{
	uint64_t pair = arena + p->layout->arena.bins + (bin - 1) * 2 * r->word, fd, bk, self = pair - 2 * r->word;
	return glibc_word(r, pair, &fd) && glibc_word(r, pair + r->word, &bk) ? (fd == self) + (bk == self) : 0;
}

/* Bin 127 is never used, so its head points at itself as long as the arena lives (malloc/malloc.c: malloc_init_state). Where one
 * of its links was written to, most of the other bins still do. */
bool glibc_is_arena(const struct glibc_reader *r, const struct glibc_place *p, uint64_t address)
{
	enum { MOST_IN_USE = N_BINS / 2 };
	unsigned in_use = 0, last = own_links(r, p, address, N_BINS - 1);
	for (unsigned bin = 1; last == 1 && bin < N_BINS - 1 && in_use <= MOST_IN_USE; bin++)
		in_use += own_links(r, p, address, bin) != 2;
	return last && in_use <= MOST_IN_USE;
}

size_t glibc_lost_arenas(struct glibc *g, const struct glibc_reader *r, uint64_t *arenas, size_t max, size_t n)
{
	size_t on_ring = n;
	for (uint64_t at = 0; n < max && next_place(g, &at); at += g->heap_max) {
		struct heap_info h;
		uint64_t arena = at + g->l->heap_info_size;
		bool known = false;
		if (!glibc_read_heap(g, at, &h) || h.owner != arena || !glibc_is_arena(r, &g->place, arena))
			continue;
		for (size_t i = 0; i < on_ring; i++)
			known |= arenas[i] == arena;
		if (!known)
			arenas[n++] = arena;
	}
	return n;
}

static void bad_heap(struct glibc *g, uint64_t heap, const char *text)
{
	findings_add(&g->alloc->findings, "bad-heap", heap, "%s", text);
}

static bool is_other_arena(const struct glibc *g, const struct arena *a, uint64_t address)
{
	for (size_t i = 0; i < g->alloc->arenas.n; i++)
		if (g->alloc->arenas.at[i].address == address && &g->alloc->arenas.at[i] != a)
			return true;
	return false;
}

static bool have_heap(const struct glibc *g, uint64_t heap)
{
	for (size_t i = 0; i < g->alloc->segments.n; i++)
		if (g->alloc->segments.at[i].header_from == heap)
			return true;
	return false;
}

static bool add_heap(struct glibc *g, struct arena *a, int index, uint64_t heap, uint64_t bytes)
{
	bool first = a->address == heap + g->l->heap_info_size;
	uint64_t start = glibc_first_chunk(g, first ? a->address + g->l->arena.size : heap + g->l->heap_info_size);
	a->walked_bytes += bytes;
	a->heaps++;
	return bytes <= start - heap || glibc_add_segment(g, index, heap, start, heap + bytes);
}

/* Does a heap that is not its arena's last end here? sysmalloc leaves two headers at the end of what was top: the last has size 0,
 * and before it the size of the other. */
static bool ends_here(const struct glibc *g, uint64_t end)
{
	uint64_t field, before, size;
	for (uint64_t at = end - g->header; at + g->header + g->granule > end; at -= g->header)
		if (image_word(g->img, at + g->w, &field) && field == PREV_INUSE && image_word(g->img, at, &before) && before >= g->header &&
		    before < g->min_chunk + g->header && image_word(g->img, at - before + g->w, &size) && chunk_size(size) == before)
			return true;
	return false;
}

/* The true end of a heap whose header says one that it does not have; 0: not found. */
static uint64_t find_end(const struct glibc *g, uint64_t heap, const struct heap_info *h)
{
	uint64_t page = image_picture(g->img)->page;
	if (h->mprotect_bytes >= page && h->mprotect_bytes <= g->heap_max && h->mprotect_bytes % page == 0 && ends_here(g, heap + h->mprotect_bytes))
		return h->mprotect_bytes;
	for (uint64_t bytes = page; bytes <= g->heap_max && glibc_is_writable(g, heap + bytes - 1) && !interrupted; bytes += page)
		if (ends_here(g, heap + bytes))
			return bytes;
	return 0;
}

/* How far a heap reaches, by its header or by what stands beside it; 0: nobody knows. */
static uint64_t heap_bytes(struct glibc *g, const struct arena *a, uint64_t heap, const struct heap_info *h)
{
	uint64_t page = image_picture(g->img)->page, by_top = 0, by_mark = 0;
	if (a->top_bytes && align_down(a->top, g->heap_max) == heap)
		by_top = a->top + a->top_bytes - heap;
	if (h->plausible && (by_top ? by_top == h->bytes : ends_here(g, heap + h->bytes) || !(by_mark = find_end(g, heap, h))))
		return h->bytes;
	bad_heap(g, heap, by_mark ? "a heap's size is not where its end mark stands" : "a heap's size is none, or not where top ends");
	if (by_mark)
		return by_mark;
	if (by_top && by_top <= g->heap_max)
		return by_top;
	return h->mprotect_bytes >= page && h->mprotect_bytes <= g->heap_max && h->mprotect_bytes % page == 0 ? h->mprotect_bytes : 0;
}

static struct err *lost_heaps(struct glibc *g, struct arena *a, int index)
{
	for (uint64_t at = 0; a->heaps < LIMIT_ARENAS && !interrupted && next_place(g, &at); at += g->heap_max) {
		struct heap_info h;
		if (!glibc_read_heap(g, at, &h) || h.owner != a->address || !h.plausible || have_heap(g, at))
			continue;
		if (!add_heap(g, a, index, at, h.bytes))
			return err_nomem();
	}
	return NULL;
}

/* The chain of heaps is whole, but the arena has counted more: top may lead into one that is not the last. */
static struct err *heaps_behind(struct glibc *g, struct arena *a, int index)
{
	unsigned known = a->heaps;
	TRY(lost_heaps(g, a, index));
	if (a->heaps == known)
		return NULL;
	findings_add_words(&g->alloc->findings,
			   &(struct finding){ .kind = "bad-top", .address = a->address + g->l->arena.top, .found = a->top, .has_found = true },
			   "the arena's pointer to its top chunk does not lead into its last heap");
	a->top_doubtful = true;
	a->consistent = false;
	a->top_bytes = 0;
	return NULL;
}

struct err *glibc_thread_heaps(struct glibc *g, struct arena *a, int index)
{
	uint64_t heap = a->top_bytes ? align_down(a->top, g->heap_max) : 0, linked_by = a->address;
	while (heap && a->heaps < LIMIT_ARENAS) {
		struct heap_info h;
		if (!glibc_read_heap(g, heap, &h) || have_heap(g, heap) || is_other_arena(g, a, h.owner))
			break;
		if (h.owner != a->address)
			bad_heap(g, heap, "a heap's header names another arena");
		uint64_t bytes = heap_bytes(g, a, heap, &h);
		if (!bytes)
			break;
		if (!add_heap(g, a, index, heap, bytes))
			return err_nomem();
		linked_by = heap;
		if (a->address == heap + g->l->heap_info_size) { /* the first */
			if (h.prev)
				bad_heap(g, heap, "the first heap of an arena has one before it");
			return a->walked_bytes < a->system_mem ? heaps_behind(g, a, index) : NULL;
		}
		heap = h.prev;
	}
	if (a->top_bytes)
		bad_heap(g, linked_by, "the link to the heap before this one is broken");
	return lost_heaps(g, a, index);
}

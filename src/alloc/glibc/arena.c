/* Arenas and their segments: which address ranges malloc cuts chunks from. */
#include "glibc.h"

static bool word_at(const struct glibc *g, uint64_t address, uint64_t *ret)
{
	return image_word(g->img, address, ret);
}

/* Far more memory than there are bytes: where it is said to lie was written to, or it comes from a hostile core. An index of it
 * would cost more than it is worth. */
static bool is_hollow(const struct glibc *g, uint64_t start, uint64_t end)
{
	enum { ALWAYS = 1 << 30, MOST_HOLLOW = 256 };
	const struct picture *p = image_picture(g->img);
	uint64_t held = 0;
	if (end - start <= ALWAYS)
		return false;
	for (size_t i = 0; i < p->extents.n; i++) {
		const struct extent *e = &p->extents.at[i];
		if (e->address < end && e->address + e->bytes > start && !e->from_file)
			held += e->bytes;
	}
	return (end - start) / MOST_HOLLOW > held;
}

bool glibc_add_segment(struct glibc *g, int arena, uint64_t header_from, uint64_t start, uint64_t end)
{
	if (start > end || (arena != ARENA_MMAP && is_hollow(g, start, end))) {
		findings_add(&g->alloc->findings, "bad-heap", header_from, "a heap is said to have %llu MiB, and there are hardly any bytes",
			     (unsigned long long)(end - start) >> 20);
		g->alloc->partial = true;
		return true;
	}
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

/* The payload is aligned, not the chunk (i386: chunk % 16 == 8). */
uint64_t glibc_first_chunk(const struct glibc *g, uint64_t from)
{
	return align_up(from + g->header, g->granule) - g->header;
}

bool glibc_is_writable(const struct glibc *g, uint64_t address)
{
	const struct mapping *m = picture_mapping(image_picture(g->img), address);
	return m && m->prot & PROT_W;
}

/* Where top must end when its own size does not tell. */
static uint64_t top_limit(const struct glibc *g, const struct arena *a)
{
	struct heap_info h;
	if (a->main)
		return a->contiguous ? glibc_break_end(g, a) : 0;
	uint64_t heap = align_down(a->top, g->heap_max);
	return glibc_read_heap(g, heap, &h) && h.owner == a->address && h.plausible ? heap + h.bytes : 0;
}

/* Top ends with a page, but malloc has more behind it: by its own count, and the kernel says that memory may be written up to just
 * there and no further. */
static bool is_cut_short(const struct glibc *g, uint64_t end, uint64_t limit)
{
	const struct picture *p = image_picture(g->img);
	const struct mapping *m = limit > end ? picture_mapping(p, limit - 1) : NULL;
	if (!m || !(m->prot & PROT_W) || m->start > end - 1 || m->end != limit)
		return false;
	return m + 1 == p->maps.at + p->maps.n || m[1].start != limit || !(m[1].prot & PROT_W);
}

/* Top is the one chunk that the first overrun of the last block hits, and an arena without it would be lost whole: what is
 * known beside it stands in. */
static void read_top(struct glibc *g, struct arena *a)
{
	uint64_t field = 0, page = image_picture(g->img)->page;
	bool readable = word_at(g, a->top + g->w, &field);
	uint64_t size = chunk_size(field);
	/* It ends with its page, so on i386 its size is no multiple of the alignment: payloads are, 8 bytes into the chunk. */
	uint64_t limit = top_limit(g, a);
	if (readable && size >= g->min_chunk && size % g->header == 0 && (a->top + size) % page == 0 && glibc_is_writable(g, a->top + size - 1) &&
	    !is_cut_short(g, a->top + size, limit)) {
		a->top_bytes = size;
		return;
	}
	uint64_t base = a->main ? g->sbrk_base : align_down(a->top, g->heap_max);
	bool inside = readable && a->top > base && a->top + g->min_chunk <= limit && (a->top + g->header) % g->granule == 0;
	struct finding f = { .kind = "bad-top", .has_found = true };
	if (inside) {
		f.address = a->top;
		f.found = field;
		f.expected = (limit - a->top) | PREV_INUSE;
		f.has_expected = true;
		findings_add_words(&g->alloc->findings, &f, "the top chunk, the rest of this heap, says a size that it cannot have");
	} else {
		f.address = a->address + g->l->arena.top;
		f.found = a->top;
		findings_add_words(&g->alloc->findings, &f, "the arena's pointer to its top chunk leads to no chunk");
	}
	a->top_doubtful = true;
	a->consistent = false;
	a->top_bytes = inside ? limit - a->top : 0;
}

enum { NONCONTIGUOUS = 2, LOCKED = 2 };

static void bad_record(struct glibc *g, uint64_t address, uint64_t found, const char *what)
{
	findings_add_words(&g->alloc->findings, &(struct finding){ .kind = "bad-arena", .address = address, .found = found, .has_found = true },
			   "%s has a value that it cannot have", what);
}

/* A lock is 0, 1 or 2 (sysdeps/nptl/lowlevellock.h), and of the flags 2.27 and later know one alone. */
static void check_record(struct glibc *g, struct arena *a, uint32_t flags)
{
	uint64_t attached, at = a->address + g->l->arena.next + 2 * g->w;
	if (flags & ~(uint32_t)NONCONTIGUOUS)
		bad_record(g, a->address + 4, flags, "the word of an arena's flags");
	if (word_at(g, at, &attached) && attached > LIMIT_THREADS)
		bad_record(g, at, attached, "an arena's count of threads");
	if (a->mutex > LOCKED) {
		bad_record(g, a->address, a->mutex, "an arena's lock");
		a->mutex = 0;
	}
}

static bool read_arena(struct glibc *g, uint64_t address, struct arena *a)
{
	uint32_t flags = 0;
	a->address = address;
	a->main = address == g->place.main_arena;
	if (!image_u32(g->img, address, &a->mutex) || !image_u32(g->img, address + 4, &flags) ||
	    !word_at(g, address + g->l->arena.top, &a->top) || !word_at(g, address + g->l->arena.system_mem, &a->system_mem))
		return false;
	a->contiguous = a->main && !(flags & NONCONTIGUOUS);
	a->consistent = true;
	check_record(g, a, flags);
	/* No heap yet: top is 0, or bin 1's own pseudo-chunk (malloc/malloc.c: initial_top). */
	if (a->top == address + g->l->arena.bins - g->header || (!a->top && !a->system_mem))
		a->top = 0;
	else
		read_top(g, a);
	return true;
}

static bool image_reader(void *ctx, uint64_t address, void *to, size_t n)
{
	return image_read(ctx, address, to, n);
}

static struct err *add_arena(struct glibc *g, uint64_t address)
{
	struct arena *a = vec_push(&g->alloc->arenas);
	size_t i = g->alloc->arenas.n - 1;
	if (!a)
		return err_nomem();
	if (!read_arena(g, address, a)) {
		findings_add(&g->alloc->findings, "bad-arena", address, "arena %zu cannot be read", i);
		g->alloc->partial = true;
		g->alloc->arenas.n--;
		return NULL;
	}
	if (a->mutex && !g->died_inside)
		g->transit_expected = true;
	struct runtime_extent *e = vec_push(&g->alloc->state_extents);
	if (!e)
		return err_nomem();
	*e = (struct runtime_extent){ .start = address, .end = address + g->l->arena.size, .kind = EXTENT_ALLOCATOR, .thread = -1 };
	return NULL;
}

struct err *glibc_arenas(struct glibc *g)
{
	AUTO_FREE uint64_t *at = calloc(LIMIT_ARENAS, sizeof *at);
	if (!at)
		return err_nomem();
	struct glibc_reader r = { image_reader, g->img, g->w, g->arch->big };
	size_t n;
	if (!glibc_ring(&r, &g->place, at, LIMIT_ARENAS, &n)) {
		findings_add(&g->alloc->findings, "bad-arena", at[n - 1], "the ring of arenas breaks behind this one");
		g->alloc->partial = true;
		n = glibc_lost_arenas(g, &r, at, LIMIT_ARENAS, n);
	}
	for (size_t i = 0; i < n; i++)
		TRY(add_arena(g, at[i]));
	for (size_t i = 0; i < g->alloc->arenas.n; i++) {
		struct arena *a = &g->alloc->arenas.at[i];
		if (a->main && (a->top || a->system_mem))
			TRY(glibc_main_segments(g, a, (int)i));
		else if (!a->main && (a->top || a->system_mem))
			TRY(glibc_thread_heaps(g, a, (int)i));
	}
	return NULL;
}

/* main_arena and mp_ by their form in memory, for a libc whose file is gone or tells nothing.
 *
 * An arena in use has 127 rings of free chunks, of which most are empty and point at themselves (malloc/malloc.c:
 * malloc_init_state), and stands on a ring of arenas. The bins look the same in every release; what lies before them does not,
 * and only with the right distance does the ring come back. A thread's heap begins with a pointer to its arena (malloc/arena.c:
 * heap_info), which stands on the same ring. */
#include "glibc.h"

enum { MOST_DATA = 256 << 20, ODD_BINS = 2, MOST_HEAPS = 1 << 16 };

bool glibc_is_data(const struct module *m, uint64_t address)
{
	for (size_t i = 0; i < m->n_segments; i++) {
		const struct module_segment *s = &m->segments[i];
		if (s->prot & PROT_W && address >= s->start && address < s->end)
			return address < m->relro_start || address >= m->relro_end;
	}
	return false;
}

static bool top_holds(const struct glibc_search *q, const struct glibc_layout *l, uint64_t arena, uint64_t system_mem)
{
	uint64_t top, field, w = q->arch->word;
	if (!glibc_word(&q->reader, arena + l->arena.top, &top))
		return false;
	/* Before the first chunk top is bin 1's own pseudo-chunk (initial_top). */
	if (top == arena + l->arena.bins - 2 * w)
		return !system_mem;
	return top % w == 0 && glibc_word(&q->reader, top + w, &field) && field & PREV_INUSE && chunk_size(field) <= system_mem;
}

bool glibc_place_holds(const struct glibc_search *q, const struct glibc_place *p)
{
	const struct glibc_layout *l = p->layout;
	uint64_t at = p->main_arena, mem, most, w = q->arch->word;
	uint8_t raw[4];
	uint32_t flags;
	if (at % w || !q->reader.read(q->reader.ctx, at + 4, raw, 4) || !span_u32((struct span){ raw, 4 }, 0, q->arch->big, &flags) || flags >= 8)
		return false;
	if (!glibc_is_arena(&q->reader, p, at) || !glibc_word(&q->reader, at + l->arena.system_mem, &mem) ||
	    !glibc_word(&q->reader, at + l->arena.system_mem + w, &most) || mem > most || !top_holds(q, l, at, mem))
		return false;
	for (unsigned n = 0; n < LIMIT_ARENAS; n++) {
		if (!glibc_word(&q->reader, at + l->arena.next, &at))
			return false;
		if (at == p->main_arena)
			return true;
		if (!at || at % w || !glibc_is_arena(&q->reader, p, at))
			return false;
	}
	return false;
}

const struct glibc_layout *glibc_layout_at(const struct glibc_search *q, const struct glibc_place *p)
{
	if (p->minor)
		return glibc_layout_find(q->arch->word, p->minor);
	/* Rows of one arena differ in mp_, which may be known by now. */
	const struct glibc_layout *best = NULL;
	for (size_t i = 0; i < glibc_layout_count(); i++) {
		struct glibc_place with = *p;
		with.layout = glibc_layout_get(i);
		if (with.layout->word != q->arch->word || !glibc_place_holds(q, &with))
			continue;
		bool params = !p->params || glibc_params_hold(q, with.layout, p->main_arena, p->params);
		if (params && (!best || with.layout->since != 42)) /* 2.42 differs from 2.41 in the tcache alone */
			best = with.layout;
	}
	return best;
}

/* The memory of a segment; what cannot be read is zero. NULL: no memory of ours. */
static uint8_t *read_segment(const struct glibc_search *q, const struct module_segment *s)
{
	uint64_t n = s->end - s->start, page = 4096;
	uint8_t *p = n && n <= MOST_DATA ? calloc(1, n) : NULL;
	for (uint64_t at = s->start; p && at < s->end;) {
		uint64_t next = align_down(at, page) + page;
		if (next > s->end)
			next = s->end;
		if (!q->reader.read(q->reader.ctx, at, p + (at - s->start), next - at))
			memset(p + (at - s->start), 0, next - at);
		at = next;
	}
	return p;
}

static uint64_t word_in(const struct glibc_search *q, const uint8_t *p, uint64_t off)
{
	uint64_t v = 0;
	span_word((struct span){ p + off, q->arch->word }, 0, q->arch->word, q->arch->big, &v);
	return v;
}

/* 127 pairs from off on, each pointing at itself or at chunks that point back; a bin may be in the middle of a change. */
static bool bins_at(const struct glibc_search *q, const struct module_segment *s, const uint8_t *p, uint64_t off)
{
	uint64_t w = q->arch->word, odd = 0, empty = 0;
	for (unsigned i = 0; i < N_BINS - 1 && odd <= ODD_BINS; i++) {
		uint64_t pair = off + 2 * i * w, self = s->start + pair - 2 * w, back, fd = word_in(q, p, pair), bk = word_in(q, p, pair + w);
		if (fd == self && bk == self) {
			empty++;
			continue;
		}
		bool chunks = fd && bk && fd % w == 0 && bk % w == 0;
		if (!chunks || !glibc_word(&q->reader, fd + 3 * w, &back) || back != self || !glibc_word(&q->reader, bk + 2 * w, &back) || back != self)
			odd++;
	}
	return odd <= ODD_BINS && empty;
}

/* Is there an arena whose bins stand at this address? */
static bool arena_at_bins(const struct glibc_search *q, struct glibc_place *p, uint64_t bins)
{
	for (size_t i = 0; i < glibc_layout_count(); i++) {
		const struct glibc_layout *l = glibc_layout_get(i);
		if (l->word != q->arch->word)
			continue;
		p->layout = l;
		p->main_arena = bins - l->arena.bins;
		if (glibc_place_holds(q, p) && (p->layout = glibc_layout_at(q, p)))
			return true;
	}
	return false;
}

static bool arena_in_segment(const struct glibc_search *q, const struct module_segment *s, struct glibc_place *p)
{
	uint64_t w = q->arch->word, last = (N_BINS - 2) * 2 * w, n = s->end - s->start;
	AUTO_FREE uint8_t *bytes = read_segment(q, s);
	bool found = false;
	/* The last bin is never used: it points at itself, which hardly anything else does. */
	for (uint64_t off = align_up(s->start, w) - s->start + last; bytes && !found && off + 2 * w <= n && !interrupted; off += w) {
		uint64_t self = s->start + off - 2 * w;
		if (word_in(q, bytes, off) != self || word_in(q, bytes, off + w) != self || !glibc_is_data(q->libc, s->start + off))
			continue;
		found = bins_at(q, s, bytes, off - last) && arena_at_bins(q, p, s->start + off - last);
	}
	return found;
}

bool glibc_find_live(const struct glibc_search *q, struct glibc_place *p)
{
	for (size_t i = 0; i < q->libc->n_segments; i++)
		if (q->libc->segments[i].prot & PROT_W && arena_in_segment(q, &q->libc->segments[i], p)) {
			glibc_find_params(q, p);
			return true;
		}
	return false;
}

/* mp_ (malloc/malloc.c: struct malloc_par): trim_threshold, top_pad, mmap_threshold, arena_test, arena_max, ... n_mmaps_max ...
 * sbrk_base, tcache_bins, tcache_max_bytes. Users may set each of them, hardly all. */
bool glibc_params_hold(const struct glibc_search *q, const struct glibc_layout *l, uint64_t main_arena, uint64_t address)
{
	enum { ENOUGH = 5 };
	const struct glibc_reader *r = &q->reader;
	uint64_t w = q->arch->word, test, threshold, base, bins, most, top = 0;
	uint32_t max, n_mmaps;
	uint8_t raw[4];
	if (!glibc_word(r, address + 2 * w, &threshold) || !glibc_word(r, address + 3 * w, &test) || !glibc_word(r, address + l->params.sbrk_base, &base) ||
	    !glibc_word(r, address + l->params.tcache_bins, &bins) || !glibc_word(r, address + l->params.tcache_bins + w, &most) ||
	    !r->read(r->ctx, address + l->params.n_mmaps_max, raw, 4) || !span_u32((struct span){ raw, 4 }, 0, q->arch->big, &max) ||
	    !r->read(r->ctx, address + l->params.n_mmaps, raw, 4) || !span_u32((struct span){ raw, 4 }, 0, q->arch->big, &n_mmaps))
		return false;
	glibc_word(r, main_arena + l->arena.top, &top);
	/* sbrk_base is set by the first chunk, and lies before it. */
	bool based = !base || (base <= top && base % w == 0) || picture_mapping(q->picture, base);
	unsigned score = (test == (w == 8 ? 8 : 2)) + 2 * (max == 0x10000) + (threshold >= 4096 && threshold <= 64u << 20 && threshold % 16 == 0) +
			 (base && based) + 2 * (bins && bins <= 76 && most >= 16 * (bins - 1) && most <= 24 * bins + 16) + (n_mmaps <= max);
	return based && score >= ENOUGH;
}

static bool params_in_segment(const struct glibc_search *q, const struct module_segment *s, struct glibc_place *p)
{
	uint64_t w = q->arch->word;
	AUTO_FREE uint8_t *bytes = read_segment(q, s);
	for (uint64_t off = align_up(s->start, w) - s->start; bytes && off + 20 * w <= s->end - s->start && !interrupted; off += w) {
		/* Words that any generation has: mmap_threshold and arena_test. */
		uint64_t test = word_in(q, bytes, off + 3 * w), threshold = word_in(q, bytes, off + 2 * w);
		if (threshold < 4096 || threshold > 64u << 20 || test > 4096 || !glibc_is_data(q->libc, s->start + off))
			continue;
		for (size_t i = 0; i < glibc_layout_count(); i++) {
			const struct glibc_layout *l = glibc_layout_get(i);
			if (l->word != w || l->arena.next != p->layout->arena.next || (p->minor && l != p->layout))
				continue;
			if (!glibc_params_hold(q, l, p->main_arena, s->start + off))
				continue;
			p->params = s->start + off;
			p->layout = glibc_layout_at(q, p);
			return p->layout;
		}
	}
	return false;
}

bool glibc_find_params(const struct glibc_search *q, struct glibc_place *p)
{
	for (size_t i = 0; i < p->module->n_segments; i++) {
		const struct glibc_layout *l = p->layout;
		if (p->module->segments[i].prot & PROT_W && params_in_segment(q, &p->module->segments[i], p))
			return true;
		p->params = 0;
		p->layout = l;
	}
	return false;
}

/* The arena that a heap belongs to: its header names it, and the first heap of an arena holds it. */
static uint64_t arena_of_heap(const struct glibc_search *q, const struct glibc_layout *l, uint64_t heap, uint64_t heap_max)
{
	const struct glibc_reader *r = &q->reader;
	uint64_t w = q->arch->word, arena, bytes, most;
	if (!glibc_word(r, heap, &arena) || !arena || arena % w || !glibc_word(r, heap + l->heap_info_bytes, &bytes) ||
	    !glibc_word(r, heap + l->heap_info_bytes + w, &most) || !bytes || bytes > most || most > heap_max || bytes % 4096)
		return 0;
	return align_down(arena, heap_max) + l->heap_info_size == arena ? arena : 0;
}

/* The one of the ring that is no heap's: it stands in libc's data. */
static bool main_of_ring(const struct glibc_search *q, struct glibc_place *p, uint64_t arena)
{
	uint64_t at = arena;
	for (unsigned n = 0; n < LIMIT_ARENAS; n++) {
		if (!glibc_is_arena(&q->reader, p, at))
			return false;
		if (glibc_is_data(p->module, at)) {
			p->main_arena = at;
			return glibc_place_holds(q, p);
		}
		if (!glibc_word(&q->reader, at + p->layout->arena.next, &at) || !at || at % q->arch->word || at == arena)
			return false;
	}
	return false;
}

static bool by_heap_at(const struct glibc_search *q, struct glibc_place *p, uint64_t heap, uint64_t heap_max)
{
	for (size_t i = 0; i < glibc_layout_count(); i++) {
		p->layout = glibc_layout_get(i);
		if (p->layout->word != q->arch->word || (p->minor && p->layout != glibc_layout_find(q->arch->word, p->minor)))
			continue;
		uint64_t arena = arena_of_heap(q, p->layout, heap, heap_max);
		if (arena && main_of_ring(q, p, arena) && (p->layout = glibc_layout_at(q, p)))
			return true;
	}
	return false;
}

/* Heaps start at multiples of HEAP_MAX_SIZE, perhaps inside of a mapping that the kernel made of two: 64 MiB, 1 MiB on 32 bits;
 * with huge pages from 2.35 to 2.41 4 of these. */
bool glibc_find_by_heap(const struct glibc_search *q, struct glibc_place *p)
{
	static const uint64_t heap_max[2][2] = { { 1u << 20, 8u << 20 }, { 64u << 20, 8u << 20 } };
	unsigned seen = 0;
	for (unsigned k = 0; k < 2; k++)
		for (size_t i = 0; i < q->picture->maps.n && !interrupted; i++) {
			const struct mapping *m = &q->picture->maps.at[i];
			uint64_t step = heap_max[q->arch->word == 8][k];
			if (!(m->prot & PROT_W) || m->shared || m->device || m->path[0] == '/')
				continue;
			for (uint64_t at = align_up(m->start, step); at >= m->start && at < m->end && seen < MOST_HEAPS; at += step, seen++)
				if (by_heap_at(q, p, at, step)) {
					glibc_find_params(q, p);
					return true;
				}
		}
	return false;
}

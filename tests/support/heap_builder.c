#include "heap_builder.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#define ADD(v, ...)                                                                                                            \
	do {                                                                                                                   \
		__typeof__((v)->at) slot_ = vec_push(v);                                                                       \
		if (!slot_)                                                                                                    \
			abort();                                                                                               \
		*slot_ = (__typeof__(*slot_))__VA_ARGS__;                                                                      \
	} while (0)

enum { PREV_INUSE = 1, IS_MMAPPED = 2, NON_MAIN = 4, ALIGNMENT = 16, PAGE = 4096, N_BINS = 128, MAX_FAST = 11 };

struct made_layout { /* as computed from the members */
	struct { unsigned fastbins, n_fastbins, top, last_remainder, bins, binmap, next, attached, system_mem, max_system_mem, size; } arena;
	struct { unsigned hp_pagesize, n_mmaps, n_mmaps_max, mmapped_mem, sbrk_base, tcache_count, size; } params;
	struct { unsigned ar_ptr, prev, bytes, mprotect, size; } heap;
	struct { unsigned bins, count_bytes, entries, size, fill; } tcache;
	bool safe_linking, counts_down, has_key, random_key, trailer, fastbins;
};

const char *made_field_name(enum field_kind k)
{
	static const char *const names[FIELD_KINDS] = {
		"size", "size of a free chunk", "prev_size", "fd", "bk", "fd_nextsize", "bk_nextsize", "tcache next", "tcache key",
		"tcache count", "tcache entry", "fastbin next", "fastbin head", "heap ar_ptr", "heap prev", "heap size",
		"heap mprotect_size", "arena top", "arena system_mem", "bin fd", "bin bk", "arena next", "binmap",
		"last_remainder", "top size", "fence size", "mmapped prev_size", "mmapped size",
	};
	return names[k];
}

uint64_t test_random(uint64_t *state)
{
	uint64_t x = *state;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1d;
}

static unsigned pick(struct made_heap *h, unsigned below)
{
	return (unsigned)(test_random(&h->random) >> 33) % below;
}

/* The next member of a struct: `n` of `bytes` each, aligned as i386 and x86-64 align integers up to a word. */
static unsigned member(unsigned *at, unsigned bytes, unsigned n)
{
	unsigned here = (*at + bytes - 1) / bytes * bytes;
	*at = here + n * bytes;
	return here;
}

static void lay_out_arena(struct made_layout *l, unsigned w)
{
	unsigned at = 0;
	member(&at, 4, 1); /* mutex */
	member(&at, 4, 1); /* flags */
	if (l->fastbins) {
		member(&at, 4, 1); /* have_fastchunks */
		/* NFASTBINS: fastbin_index (request2size (MAX_FAST_SIZE)) + 1, MAX_FAST_SIZE = 80 * SIZE_SZ / 4 */
		unsigned most = (80 * w / 4 + w + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
		l->arena.n_fastbins = (most >> (w == 8 ? 4 : 3)) - 2 + 1;
		l->arena.fastbins = member(&at, w, l->arena.n_fastbins);
	}
	l->arena.top = member(&at, w, 1);
	l->arena.last_remainder = member(&at, w, 1);
	l->arena.bins = member(&at, w, N_BINS * 2 - 2);
	l->arena.binmap = member(&at, 4, N_BINS / 32);
	l->arena.next = member(&at, w, 1);
	member(&at, w, 1); /* next_free */
	l->arena.attached = member(&at, w, 1);
	l->arena.system_mem = member(&at, w, 1);
	l->arena.max_system_mem = member(&at, w, 1);
	l->arena.size = at;
}

static void lay_out_params(struct made_layout *l, unsigned w, unsigned minor)
{
	unsigned at = 5 * w; /* trim_threshold, top_pad, mmap_threshold, arena_test, arena_max */
	if (minor >= 43)
		member(&at, 4, 1); /* thp_mode */
	if (minor >= 35) {
		member(&at, w, 1); /* thp_pagesize */
		l->params.hp_pagesize = member(&at, w, 1);
		member(&at, 4, 1); /* hp_flags */
	}
	l->params.n_mmaps = member(&at, 4, 1);
	l->params.n_mmaps_max = member(&at, 4, 1);
	member(&at, 4, 2); /* max_n_mmaps, no_dyn_threshold */
	l->params.mmapped_mem = member(&at, w, 1);
	member(&at, w, 1); /* max_mmapped_mem */
	l->params.sbrk_base = member(&at, w, 1);
	member(&at, w, 2); /* tcache_bins, tcache_max_bytes */
	l->params.tcache_count = member(&at, w, 1);
	member(&at, w, 1); /* tcache_unsorted_limit */
	l->params.size = at;
}

static void lay_out_heap(struct made_layout *l, unsigned w, unsigned minor)
{
	unsigned at = 0;
	l->heap.ar_ptr = member(&at, w, 1);
	l->heap.prev = member(&at, w, 1);
	l->heap.bytes = member(&at, w, 1);
	l->heap.mprotect = member(&at, w, 1);
	if (minor >= 35)
		member(&at, w, 1); /* pagesize */
	/* pad[]: the header and the first chunk's own make a multiple of the alignment */
	while ((at + 2 * w) % ALIGNMENT)
		at += w;
	l->heap.size = at;
}

static struct made_layout *lay_out(unsigned w, unsigned minor)
{
	struct made_layout *l = calloc(1, sizeof *l);
	if (!l)
		abort();
	l->fastbins = minor < 43;
	l->safe_linking = minor >= 32;
	l->counts_down = minor >= 42;
	l->has_key = minor >= 29;
	l->random_key = minor >= 34;
	l->trailer = minor >= 43;
	lay_out_arena(l, w);
	lay_out_params(l, w, minor);
	lay_out_heap(l, w, minor);
	l->tcache.bins = minor >= 42 ? 76 : 64;
	l->tcache.count_bytes = minor >= 30 ? 2 : 1;
	l->tcache.entries = l->tcache.bins * l->tcache.count_bytes;
	l->tcache.size = l->tcache.entries + l->tcache.bins * w;
	l->tcache.fill = minor >= 43 ? 16 : 7;
	return l;
}

/* Memory. */

static struct made_area *area_at(const struct made_heap *h, uint64_t address)
{
	for (size_t i = 0; i < h->areas.n; i++)
		if (address - h->areas.at[i].address < h->areas.at[i].bytes.n)
			return &h->areas.at[i];
	return NULL;
}

static void new_area(struct made_heap *h, uint64_t address, uint64_t bytes, unsigned flags, const char *path, uint64_t offset)
{
	struct made_area a = { .address = address, .flags = flags, .path = path, .offset = offset };
	bytes_fill(&a.bytes, bytes, 0);
	ADD(&h->areas, a);
}

static void put(struct made_heap *h, uint64_t address, uint64_t v, unsigned width)
{
	struct made_area *a = area_at(h, address);
	if (!a || address + width > a->address + a->bytes.n)
		abort();
	bytes_put(&a->bytes, address - a->address, v, width);
}

static void put_word(struct made_heap *h, uint64_t address, uint64_t v)
{
	put(h, address, v, h->o.word);
}

static void field(struct made_heap *h, enum field_kind k, uint64_t address, unsigned bytes, uint64_t owner, int arena, unsigned list)
{
	ADD(&h->fields, { k, address, bytes, owner, arena, list });
}

/* Chunks. */

struct cutter { /* cuts one segment from its start to its end */
	struct made_heap *h;
	int arena;
	uint64_t at, free_before; /* bytes of the free chunk in front, 0: it is in use */
};

static uint64_t first_chunk(const struct made_heap *h, uint64_t from)
{
	return align_up(from + 2 * h->o.word, ALIGNMENT) - 2 * h->o.word;
}

static bool is_binned(enum block_state s)
{
	return s == BLOCK_UNSORTED || s == BLOCK_SMALLBIN || s == BLOCK_LARGEBIN;
}

static void head(struct cutter *c, uint64_t bytes, uint64_t flags, enum field_kind k)
{
	struct made_heap *h = c->h;
	unsigned w = h->o.word;
	if (c->free_before) {
		put_word(h, c->at, c->free_before);
		field(h, FIELD_PREV_SIZE, c->at, w, c->at, c->arena, 0);
	}
	put_word(h, c->at + w, bytes | flags | (c->free_before ? 0 : PREV_INUSE));
	field(h, k, c->at + w, w, c->at, c->arena, 0);
}

static void record(struct cutter *c, uint64_t bytes, enum block_state s, unsigned list)
{
	ADD(&c->h->blocks, { c->at, bytes, bytes - c->h->o.word, s, c->arena, list });
}

static uint64_t cut(struct cutter *c, uint64_t bytes, enum block_state s, unsigned list)
{
	struct made_heap *h = c->h;
	unsigned w = h->o.word;
	uint64_t chunk = c->at;
	/* Chunks of other arenas are marked, but for free ones: _int_free writes `size | PREV_INUSE`. */
	head(c, bytes, c->arena && !is_binned(s) && s != BLOCK_TOP ? NON_MAIN : 0,
	     s == BLOCK_TOP ? FIELD_TOP_SIZE : is_binned(s) ? FIELD_FREE_SIZE : FIELD_SIZE);
	for (uint64_t at = chunk + 2 * w; s != BLOCK_TOP && at < chunk + bytes; at += w)
		put_word(h, at, h->o.blank ? 0 : test_random(&h->random) | 1ull << (8 * w - 1));
	record(c, bytes, s, list);
	c->at += bytes;
	c->free_before = is_binned(s) ? bytes : 0;
	return chunk;
}

/* Lists in the making. */
struct chain { uint64_t at[64]; uint64_t bytes[64]; unsigned n, number; };
struct lists { struct chain bins[N_BINS], fast[MAX_FAST], tcache[76]; };

static unsigned onto(struct made_heap *h, struct chain *c)
{
	if (!c->number)
		c->number = ++h->n_lists;
	return c->number;
}

static void chain_add(struct chain *c, uint64_t chunk, uint64_t bytes)
{
	if (c->n == 64)
		abort();
	c->at[c->n] = chunk;
	c->bytes[c->n++] = bytes;
}

/* malloc/malloc.c: bin_index */
static unsigned bin_index(unsigned w, uint64_t size)
{
	if (size < (w == 8 ? 64u : 63u) * 16)
		return (unsigned)(size >> 4) + (w == 4);
	return (unsigned)((size >> 6) <= (w == 8 ? 48 : 45) ? (w == 8 ? 48 : 49) + (size >> 6) :
			  (size >> 9) <= 20		    ? 91 + (size >> 9) :
			  (size >> 12) <= 10		    ? 110 + (size >> 12) :
			  (size >> 15) <= 4		    ? 119 + (size >> 15) :
			  (size >> 18) <= 2		    ? 124 + (size >> 18) :
								126);
}

static uint64_t some_size(struct made_heap *h, enum block_state s)
{
	unsigned w = h->o.word;
	switch ((int)s) {
	case BLOCK_FASTBIN: /* at most 64 * SIZE_SZ / 4 bytes are asked for */
		return 4 * w + 16 * pick(h, w == 8 ? 6 : 3);
	case BLOCK_TCACHE:
		return 4 * w + 16 * pick(h, 4);
	case BLOCK_SMALLBIN:
		return 4 * w + 16 * (1 + pick(h, 8));
	case BLOCK_LARGEBIN:
		return 1040 + 16 * (pick(h, 3) * 40 + pick(h, 2));
	case BLOCK_UNSORTED:
		return 4 * w + 16 * pick(h, 90);
	default:
		return 4 * w + 16 * (pick(h, 4) ? pick(h, 12) : pick(h, 200));
	}
}

static void cut_random(struct cutter *c, struct lists *l)
{
	static const enum block_state states[] = { BLOCK_USED, BLOCK_USED, BLOCK_USED, BLOCK_TCACHE, BLOCK_FASTBIN, BLOCK_UNSORTED,
						   BLOCK_SMALLBIN, BLOCK_LARGEBIN };
	struct made_heap *h = c->h;
	enum block_state s = states[pick(h, 8)];
	if ((is_binned(s) && c->free_before) || (s == BLOCK_FASTBIN && !h->layout->fastbins))
		s = BLOCK_USED; /* two free neighbours would be one */
	uint64_t bytes = some_size(h, s);
	struct chain *chain = NULL;
	if (s == BLOCK_TCACHE) {
		chain = &l->tcache[(bytes - 4 * h->o.word) / 16];
		if (chain->n == h->layout->tcache.fill)
			chain = NULL;
	} else if (s == BLOCK_FASTBIN)
		chain = &l->fast[(bytes >> (h->o.word == 8 ? 4 : 3)) - 2];
	else if (s == BLOCK_UNSORTED)
		chain = &l->bins[1];
	else if (is_binned(s))
		chain = &l->bins[bin_index(h->o.word, bytes)];
	unsigned number = chain ? onto(h, chain) : 0;
	uint64_t chunk = cut(c, bytes, chain ? s : BLOCK_USED, number);
	if (chain)
		chain_add(chain, chunk, bytes);
}

static void cut_many(struct cutter *c, struct lists *l)
{
	for (unsigned i = 0, n = c->h->o.chunks ? c->h->o.chunks : 40; i < n; i++)
		cut_random(c, l);
	if (c->free_before)
		cut(c, some_size(c->h, BLOCK_USED), BLOCK_USED, 0);
}

static void sort_down(struct chain *c)
{
	for (unsigned i = 1; i < c->n; i++)
		for (unsigned k = i; k && c->bytes[k - 1] < c->bytes[k]; k--) {
			uint64_t at = c->at[k], bytes = c->bytes[k];
			c->at[k] = c->at[k - 1];
			c->bytes[k] = c->bytes[k - 1];
			c->at[k - 1] = at;
			c->bytes[k - 1] = bytes;
		}
}

/* The ring of different sizes that a large bin's chunks make among themselves; only the first of a size is in it. */
static void link_sizes(struct made_heap *h, const struct chain *c, int arena)
{
	unsigned w = h->o.word, firsts[64], n = 0;
	for (unsigned i = 0; i < c->n; i++) {
		put_word(h, c->at[i] + 4 * w, 0);
		put_word(h, c->at[i] + 5 * w, 0);
		if (!i || c->bytes[i] != c->bytes[i - 1])
			firsts[n++] = i;
	}
	for (unsigned i = 0; i < n; i++) {
		uint64_t chunk = c->at[firsts[i]];
		put_word(h, chunk + 4 * w, c->at[firsts[(i + 1) % n]]);
		put_word(h, chunk + 5 * w, c->at[firsts[(i + n - 1) % n]]);
		field(h, FIELD_FD_NEXTSIZE, chunk + 4 * w, w, chunk, arena, c->number);
		field(h, FIELD_BK_NEXTSIZE, chunk + 5 * w, w, chunk, arena, c->number);
	}
}

static void link_bin(struct made_heap *h, struct chain *c, unsigned bin, uint64_t arena_address, int arena)
{
	unsigned w = h->o.word;
	uint64_t pair = arena_address + h->layout->arena.bins + (uint64_t)(bin - 1) * 2 * w, pseudo = pair - 2 * w;
	if (bin >= 64)
		sort_down(c);
	put_word(h, pair, c->n ? c->at[0] : pseudo);
	put_word(h, pair + w, c->n ? c->at[c->n - 1] : pseudo);
	for (unsigned i = 0; i < c->n; i++) {
		put_word(h, c->at[i] + 2 * w, i + 1 < c->n ? c->at[i + 1] : pseudo);
		put_word(h, c->at[i] + 3 * w, i ? c->at[i - 1] : pseudo);
		field(h, FIELD_FD, c->at[i] + 2 * w, w, c->at[i], arena, c->number);
		field(h, FIELD_BK, c->at[i] + 3 * w, w, c->at[i], arena, c->number);
	}
	if (bin >= 64)
		link_sizes(h, c, arena);
	if (c->n) {
		field(h, FIELD_ARENA_BIN_FD, pair, w, arena_address, arena, c->number);
		field(h, FIELD_ARENA_BIN_BK, pair + w, w, arena_address, arena, c->number);
		uint64_t map = arena_address + h->layout->arena.binmap + bin / 32 * 4;
		put(h, map, heap_peek(h, map, 4) | 1u << bin % 32, 4);
		field(h, FIELD_ARENA_BINMAP, map, 4, arena_address, arena, 0);
	}
}

static uint64_t protect(const struct made_heap *h, uint64_t position, uint64_t value)
{
	return h->layout->safe_linking ? position >> 12 ^ value : value;
}

static void link_fastbin(struct made_heap *h, const struct chain *c, unsigned k, uint64_t arena_address, int arena)
{
	unsigned w = h->o.word;
	uint64_t slot = arena_address + h->layout->arena.fastbins + k * w;
	if (!c->n)
		return;
	put_word(h, slot, c->at[0]);
	field(h, FIELD_FASTBIN_HEAD, slot, w, arena_address, arena, c->number);
	for (unsigned i = 0; i < c->n; i++) {
		uint64_t next = c->at[i] + 2 * w;
		put_word(h, next, protect(h, next, i + 1 < c->n ? c->at[i + 1] : 0));
		field(h, FIELD_FASTBIN_NEXT, next, w, c->at[i], arena, c->number);
	}
}

static void link_tcache(struct made_heap *h, const struct chain *c, unsigned k, uint64_t tcache, int arena)
{
	const struct made_layout *l = h->layout;
	unsigned w = h->o.word;
	put(h, tcache + k * l->tcache.count_bytes, l->counts_down ? l->tcache.fill - c->n : c->n, l->tcache.count_bytes);
	put_word(h, tcache + l->tcache.entries + k * w, c->n ? c->at[0] + 2 * w : 0);
	if (!c->n)
		return;
	field(h, FIELD_TCACHE_COUNT, tcache + k * l->tcache.count_bytes, l->tcache.count_bytes, tcache, arena, c->number);
	field(h, FIELD_TCACHE_ENTRY, tcache + l->tcache.entries + k * w, w, tcache, arena, c->number);
	for (unsigned i = 0; i < c->n; i++) {
		uint64_t next = c->at[i] + 2 * w;
		put_word(h, next, protect(h, next, i + 1 < c->n ? c->at[i + 1] + 2 * w : 0));
		field(h, FIELD_TCACHE_NEXT, next, w, c->at[i], arena, c->number);
		if (l->has_key) {
			put_word(h, next + w, l->random_key ? 0x9e3779b97f4a7c15 : tcache);
			field(h, FIELD_TCACHE_KEY, next + w, w, c->at[i], arena, c->number);
		}
	}
}

static void link_arena(struct made_heap *h, struct lists *l, int arena)
{
	uint64_t at = h->arenas[arena];
	for (unsigned bin = 1; bin < N_BINS; bin++)
		link_bin(h, &l->bins[bin], bin, at, arena);
	for (unsigned k = 0; k < h->layout->arena.n_fastbins; k++)
		link_fastbin(h, &l->fast[k], k, at, arena);
}

/* The thread's cache is a block like others: allocated first, filled last. */
static uint64_t cut_tcache(struct cutter *c)
{
	const struct made_heap *h = c->h;
	uint64_t bytes = align_up(h->layout->tcache.size + h->o.word, ALIGNMENT);
	return cut(c, bytes, BLOCK_USED, 0) + 2 * h->o.word;
}

static void fill_tcache(struct made_heap *h, const struct lists *l, uint64_t tcache, int arena)
{
	for (unsigned k = 0; k < h->layout->tcache.bins; k++)
		link_tcache(h, &l->tcache[k], k, tcache, arena);
}

/* Top reaches to the next page end, and some further. */
static void cut_top(struct cutter *c, uint64_t *ret_end)
{
	struct made_heap *h = c->h;
	unsigned w = h->o.word;
	uint64_t end = align_up(c->at + 4 * w, PAGE) + PAGE, at = h->arenas[c->arena];
	put_word(h, at + h->layout->arena.top, c->at);
	field(h, FIELD_ARENA_TOP, at + h->layout->arena.top, w, at, c->arena, 0);
	cut(c, end - c->at, BLOCK_TOP, 0);
	*ret_end = end;
}

static void arena_counts(struct made_heap *h, int arena, uint64_t system_mem, uint64_t next)
{
	const struct made_layout *l = h->layout;
	uint64_t at = h->arenas[arena];
	unsigned w = h->o.word;
	put_word(h, at + l->arena.system_mem, system_mem);
	put_word(h, at + l->arena.max_system_mem, system_mem);
	put_word(h, at + l->arena.next, next);
	put_word(h, at + l->arena.attached, 1);
	field(h, FIELD_ARENA_SYSTEM_MEM, at + l->arena.system_mem, w, at, arena, 0);
	field(h, FIELD_ARENA_NEXT, at + l->arena.next, w, at, arena, 0);
	field(h, FIELD_ARENA_LAST_REMAINDER, at + l->arena.last_remainder, w, at, arena, 0);
}

/* sysmalloc: top is given up between two segments of the main arena, "double fencepost". */
static void cut_foreign(struct cutter *c, struct lists *l)
{
	struct made_heap *h = c->h;
	unsigned w = h->o.word;
	uint64_t bytes = some_size(h, BLOCK_UNSORTED);
	if (pick(h, 2))
		chain_add(&l->bins[1], cut(c, bytes, BLOCK_UNSORTED, onto(h, &l->bins[1])), bytes);
	head(c, 2 * w, 0, FIELD_FENCE_SIZE);
	c->free_before = 0;
	put_word(h, c->at + 3 * w, 2 * w | PREV_INUSE);
	record(c, 4 * w, BLOCK_FENCE, 0);
	c->at += 4 * w;
	uint64_t next = first_chunk(h, align_up(c->at, PAGE) + 3 * PAGE + 16 * pick(h, 8));
	for (uint64_t at = c->at; at < next; at += w)
		put_word(h, at, h->o.blank ? 2 : test_random(&h->random) | 2); /* no header of the main arena */
	record(c, next - c->at, BLOCK_FOREIGN, 0);
	c->at = next;
}

enum { MAIN_AREA = 1 << 20, HEAP_AREA = 1 << 19 };

static void crop(struct made_heap *h, uint64_t start, uint64_t end)
{
	area_at(h, start)->bytes.n = end - start;
}

static void make_main(struct made_heap *h, uint64_t base)
{
	struct lists *l = calloc(1, sizeof *l);
	new_area(h, base, MAIN_AREA + 256ull * h->o.main_chunks, PF_R | PF_W, NULL, 0);
	struct cutter c = { .h = h, .arena = 0, .at = first_chunk(h, base) };
	uint64_t end;
	h->tcaches[0] = cut_tcache(&c);
	cut_many(&c, l);
	for (unsigned i = 0; i < h->o.main_chunks; i++)
		cut(&c, 4 * h->o.word + 16 * pick(h, 12), BLOCK_USED, 0);
	if (!h->o.no_foreign) {
		cut_foreign(&c, l);
		cut_many(&c, l);
	}
	cut_top(&c, &end);
	crop(h, base, end);
	link_arena(h, l, 0);
	fill_tcache(h, l, h->tcaches[0], 0);
	arena_counts(h, 0, end - base, h->arenas[1]);
	put_word(h, h->params + h->layout->params.sbrk_base, base);
	free(l);
}

static void heap_header(struct made_heap *h, uint64_t heap, int arena, uint64_t prev, uint64_t bytes)
{
	const struct made_layout *l = h->layout;
	unsigned w = h->o.word;
	put_word(h, heap + l->heap.ar_ptr, h->arenas[arena]);
	put_word(h, heap + l->heap.prev, prev);
	put_word(h, heap + l->heap.bytes, bytes);
	put_word(h, heap + l->heap.mprotect, bytes);
	field(h, FIELD_HEAP_ARENA, heap + l->heap.ar_ptr, w, heap, arena, 0);
	field(h, FIELD_HEAP_PREV, heap + l->heap.prev, w, heap, arena, 0);
	field(h, FIELD_HEAP_SIZE, heap + l->heap.bytes, w, heap, arena, 0);
	field(h, FIELD_HEAP_MPROTECT, heap + l->heap.mprotect, w, heap, arena, 0);
	crop(h, heap, heap + bytes);
}

/* sysmalloc: a heap that is full ends in what was top, a chunk of two words and the header of one of size 0. */
static uint64_t cut_heap_end(struct cutter *c, struct lists *l, uint64_t heap, bool freed)
{
	struct made_heap *h = c->h;
	unsigned w = h->o.word;
	uint64_t end = align_up(c->at + 8 * w, PAGE), old;
	if (!freed) { /* what is left of top is too small to be freed */
		uint64_t left = w == 8 ? 32 + 16 * pick(h, 2) : 24;
		cut(c, end - c->at - left, BLOCK_USED, 0);
	}
	old = (end - c->at - 4 * w) / 16 * 16;
	if (old >= 4 * w) {
		chain_add(&l->bins[1], cut(c, old, BLOCK_UNSORTED, onto(h, &l->bins[1])), old);
		head(c, 2 * w, 0, FIELD_FENCE_SIZE);
		put_word(h, c->at + 2 * w, 2 * w);
		put_word(h, c->at + 3 * w, PREV_INUSE);
	} else {
		head(c, old + 2 * w, 0, FIELD_FENCE_SIZE);
		put_word(h, c->at + old + 2 * w, old + 2 * w);
		put_word(h, c->at + old + 3 * w, PREV_INUSE);
		if (old) {
			record(c, old + 2 * w, BLOCK_FENCE, 0);
			c->at += old + 2 * w;
		}
	}
	record(c, end - c->at, BLOCK_FENCE, 0);
	c->free_before = 0;
	return end - heap;
}

static void make_thread(struct made_heap *h, int arena, uint64_t heap, uint64_t heap_max, unsigned heaps, uint64_t next)
{
	struct lists *l = calloc(1, sizeof *l);
	uint64_t sum = 0, prev = 0, end;
	h->arenas[arena] = heap + h->layout->heap.size;
	for (unsigned i = 0; i < heaps; i++, heap += heap_max) {
		new_area(h, heap, HEAP_AREA, PF_R | PF_W, NULL, 0);
		struct cutter c = { .h = h, .arena = arena };
		c.at = first_chunk(h, i ? heap + h->layout->heap.size : h->arenas[arena] + h->layout->arena.size);
		if (!i && arena == 1)
			h->tcaches[1] = cut_tcache(&c);
		cut_many(&c, l);
		uint64_t bytes;
		if (i + 1 < heaps)
			bytes = cut_heap_end(&c, l, heap, !i);
		else {
			cut_top(&c, &end);
			bytes = end - heap;
		}
		heap_header(h, heap, arena, prev, bytes);
		sum += bytes;
		prev = heap;
	}
	link_arena(h, l, arena);
	if (arena == 1)
		fill_tcache(h, l, h->tcaches[1], arena);
	else
		for (unsigned k = 0; k < 76; k++) /* no thread has it: its tcache chunks are in use again */
			for (unsigned i = 0; i < l->tcache[k].n; i++) {
				struct made_block *b = (struct made_block *)heap_block(h, l->tcache[k].at[i]);
				b->state = BLOCK_USED;
				b->list = 0;
			}
	arena_counts(h, arena, sum, next);
	free(l);
}

/* sysmalloc_mmap, and memalign, which moves the header up and notes the way back in prev_size. */
static uint64_t make_mmapped(struct made_heap *h, uint64_t base, uint64_t bytes, uint64_t payload_offset)
{
	unsigned w = h->o.word;
	uint64_t chunk = payload_offset ? base + payload_offset - 2 * w : first_chunk(h, base), prev = chunk - base;
	uint64_t size = bytes - prev - (h->layout->trailer ? 2 * w : 0);
	put_word(h, chunk, prev);
	put_word(h, chunk + w, size | IS_MMAPPED);
	field(h, FIELD_MMAP_PREV_SIZE, chunk, w, chunk, ARENA_MMAP, 0);
	field(h, FIELD_MMAP_SIZE, chunk + w, w, chunk, ARENA_MMAP, 0);
	ADD(&h->blocks, { chunk, base + bytes - chunk, size - (h->layout->trailer ? w : 2 * w), BLOCK_MMAPPED, ARENA_MMAP, 0 });
	h->n_mmaps++;
	h->mmapped_bytes += bytes;
	return base + bytes;
}

static void make_all_mmapped(struct made_heap *h, uint64_t base)
{
	new_area(h, base, 16 * PAGE, PF_R | PF_W, NULL, 0);
	uint64_t at = make_mmapped(h, base, 4 * PAGE, 0);
	at = make_mmapped(h, at, 5 * PAGE, 0x400);
	make_mmapped(h, at, 3 * PAGE, PAGE);
	base += 64 * PAGE;
	new_area(h, base, 2 * PAGE, PF_R | PF_W, NULL, 0);
	make_mmapped(h, base, 2 * PAGE, 0);
}

/* libc. */

enum { ARENA_AT = LIBRARY_DATA, PARAMS_AT = LIBRARY_DATA + 0xa00, DATA_BYTES = 0x1000 };

static void initial_params(struct made_heap *h, struct bytes *data, unsigned at)
{
	unsigned w = h->o.word;
	const uint64_t first[] = { 0x20000, 0x20000, 0x20000, w == 8 ? 8 : 2 };
	for (unsigned i = 0; i < 4; i++)
		bytes_put(data, at + i * w, first[i], w);
	bytes_put(data, at + h->layout->params.n_mmaps_max, 0x10000, 4);
	bytes_put(data, at + h->layout->params.tcache_count, h->layout->tcache.fill, w);
}

static unsigned machine_of(const struct made_heap *h)
{
	return h->o.word == 8 ? EM_X86_64 : EM_386;
}

static void make_libc(struct made_heap *h, const char *dir)
{
	const struct made_layout *l = h->layout;
	struct bytes data = { 0 }, file;
	char banner[128];
	unsigned w = h->o.word;
	bytes_fill(&data, DATA_BYTES, 0);
	/* static struct malloc_state main_arena = { .mutex, .next = &main_arena, .attached_threads = 1 } */
	bytes_put(&data, l->arena.attached, 1, w);
	if (w == 4)
		bytes_put(&data, l->arena.next, ARENA_AT, w); /* REL keeps the addend in place */
	initial_params(h, &data, PARAMS_AT - LIBRARY_DATA);
	snprintf(banner, sizeof banner, "GNU C Library (synthetic) stable release version 2.%u.\n", h->o.minor);
	const struct library_symbol symbols[] = { { "main_arena", ARENA_AT, l->arena.size }, { "mp_", PARAMS_AT, l->params.size } };
	struct library_plan p = { .machine = machine_of(h), .banner = banner, .data = data.at, .data_bytes = data.n, .symbols = symbols,
				  .n_symbols = h->o.stripped ? 0 : 2, .build_id = (uint8_t)(h->o.minor + w) };
	if (w == 8) {
		p.n_relocated = 1;
		p.relocated[0] = ARENA_AT + l->arena.next;
		p.addends[0] = ARENA_AT;
	}
	library_write(&p, &file);
	snprintf(h->library, sizeof h->library, "%s/libc.so.6", dir);
	if (!write_file(h->library, &file))
		abort();
	new_area(h, h->libc, LIBRARY_HEAD, PF_R, h->library, 0);
	memcpy(area_at(h, h->libc)->bytes.at, file.at, LIBRARY_HEAD);
	new_area(h, h->libc + LIBRARY_DATA, DATA_BYTES, PF_R | PF_W, h->library, LIBRARY_DATA);
	memcpy(area_at(h, h->libc + LIBRARY_DATA)->bytes.at, data.at, data.n);
	h->main_arena = h->arenas[0] = h->libc + ARENA_AT;
	h->params = h->libc + PARAMS_AT;
	free(data.at);
	free(file.at);
}

static void make_globals(struct made_heap *h, const char *dir)
{
	struct bytes data = { 0 }, file;
	struct library_symbol symbols[GLOBALS];
	char names[GLOBALS][8];
	uint64_t base = h->libc + 0x100000;
	bytes_fill(&data, GLOBALS * GLOBAL_BYTES, 0);
	for (unsigned i = 0; i < GLOBALS; i++) {
		snprintf(names[i], sizeof names[i], "g_%u", i);
		symbols[i] = (struct library_symbol){ names[i], LIBRARY_DATA + i * GLOBAL_BYTES, GLOBAL_BYTES };
	}
	struct library_plan p = { .machine = machine_of(h), .data = data.at, .data_bytes = data.n, .symbols = symbols, .n_symbols = GLOBALS,
				  .build_id = 0xab };
	library_write(&p, &file);
	snprintf(h->globals_library, sizeof h->globals_library, "%s/libglobals.so", dir);
	if (!write_file(h->globals_library, &file))
		abort();
	new_area(h, base, LIBRARY_HEAD, PF_R, h->globals_library, 0);
	memcpy(area_at(h, base)->bytes.at, file.at, LIBRARY_HEAD);
	h->globals = base + LIBRARY_DATA;
	new_area(h, h->globals, PAGE, PF_R | PF_W, h->globals_library, LIBRARY_DATA);
	free(data.at);
	free(file.at);
}

/* A stack and a descriptor, whose TLS holds the pointer to the thread's cache. */
static void make_thread_of(struct made_heap *h, pid_t tid, uint64_t stack, uint64_t tp, uint64_t tcache)
{
	unsigned w = h->o.word;
	if (!area_at(h, tp))
		new_area(h, align_down(tp, PAGE), 2 * PAGE, PF_R | PF_W, NULL, 0);
	put_word(h, tp, tp);
	put_word(h, tp + 2 * w, tp);
	put(h, tp + 0x2d0, (uint32_t)tid, 4);
	put_word(h, tp - 0x48, tcache);
	h->plan.threads[h->plan.n_threads++] = (struct core_thread){ tid, stack + 4 * PAGE - 512, h->libc + 0x100, tp, 0 };
}

static void words(struct made_heap *h, const char *of, uint64_t start, uint64_t bytes)
{
	for (uint64_t at = start; at + h->o.word <= start + bytes; at += h->o.word)
		ADD(&h->words, { at, of });
}

static void words_of_structs(struct made_heap *h)
{
	const struct made_layout *l = h->layout;
	unsigned w = h->o.word;
	words(h, "mp_", h->params, l->params.size);
	for (unsigned i = 0; i < h->n_arenas; i++)
		words(h, "arena", h->arenas[i], l->arena.size);
	for (size_t i = 0; i < h->fields.n; i++)
		if (h->fields.at[i].kind == FIELD_HEAP_ARENA)
			words(h, "heap_info", h->fields.at[i].address, l->heap.size);
	for (unsigned i = 0; i < 2; i++) {
		words(h, "tcache", h->tcaches[i], l->tcache.size);
		words(h, "tls", h->plan.threads[i].tp - 0x48, w);
	}
}

static void words_of_chunks(struct made_heap *h)
{
	unsigned w = h->o.word;
	for (size_t i = 0; i < h->blocks.n; i++) {
		const struct made_block *b = &h->blocks.at[i];
		bool free = b->list, second = b->state == BLOCK_FENCE && b->bytes >= 4 * w;
		if (b->state == BLOCK_FOREIGN)
			continue;
		words(h, "header", b->chunk, 2 * w);
		words(h, second ? "header" : "link", b->chunk + 2 * w, second || (free && b->state < BLOCK_LARGEBIN) ? 2 * w : 0);
		words(h, "link", b->chunk + 2 * w, b->state == BLOCK_LARGEBIN ? 4 * w : 0);
	}
}

static int compare_blocks(const void *a, const void *b)
{
	const struct made_block *x = a, *y = b;
	return x->chunk < y->chunk ? -1 : x->chunk > y->chunk;
}

static int compare_areas(const void *a, const void *b)
{
	const struct made_area *x = a, *y = b;
	return x->address < y->address ? -1 : x->address > y->address;
}

static void make_core(struct made_heap *h, uint64_t stack)
{
	struct core_plan *p = &h->plan;
	p->machine = machine_of(h);
	p->pid = 4242;
	p->random = stack + 4 * PAGE - 64;
	qsort(h->areas.at, h->areas.n, sizeof *h->areas.at, compare_areas);
	for (size_t i = 0; i < h->areas.n; i++) {
		const struct made_area *a = &h->areas.at[i];
		p->segments[p->n_segments++] = (struct core_segment){ a->address, a->bytes.n, a->bytes.n, a->bytes.at, a->flags, 0 };
		if (a->path)
			p->names[p->n_names++] = (struct core_name){ a->address, a->address + a->bytes.n, a->offset / PAGE, a->path };
	}
	core_write(p, &h->core);
	h->fd = memfd_create("core", MFD_CLOEXEC);
	if (h->fd < 0 || write(h->fd, h->core.at, h->core.n) != (ssize_t)h->core.n)
		abort();
	snprintf(h->path, sizeof h->path, "/proc/self/fd/%d", h->fd);
}

struct made_heap *heap_make(const struct heap_options *o, const char *dir)
{
	struct made_heap *h = calloc(1, sizeof *h);
	if (!h)
		abort();
	bool is64 = o->word == 8;
	uint64_t heap_max = is64 ? 64 << 20 : 1 << 20, stack = is64 ? 0x7ffffffd0000 : 0xff800000;
	uint64_t heap1 = is64 ? 0x7fffe0000000 : 0xf0000000, heap2 = is64 ? 0x7fffd0000000 : 0xef000000;
	uint64_t threads = is64 ? 0x7ffff7000000 : 0xf7000000;
	h->o = *o;
	h->random = o->seed * 2654435761u + 88172645463325252u;
	h->layout = lay_out(o->word, o->minor);
	h->libc = is64 ? 0x7ffff7c00000 : 0xf7c00000;
	h->n_arenas = 3;
	make_libc(h, dir);
	make_thread(h, 1, heap1, heap_max, 3, heap2 + h->layout->heap.size);
	make_thread(h, 2, heap2, heap_max, 1, h->main_arena);
	make_main(h, is64 ? 0x555555800000 : 0x56800000);
	make_all_mmapped(h, threads + 0x200000);
	make_globals(h, dir);
	h->mapping = threads + 0x300000;
	new_area(h, h->mapping, PAGE, PF_R | PF_W, NULL, 0);
	put(h, h->params + h->layout->params.n_mmaps, h->n_mmaps, 4);
	put_word(h, h->params + h->layout->params.mmapped_mem, h->mmapped_bytes);
	new_area(h, stack, 4 * PAGE, PF_R | PF_W, NULL, 0);
	make_thread_of(h, 4242, stack, threads + 0x400740, h->tcaches[0]);
	new_area(h, threads, 6 * PAGE, PF_R | PF_W, NULL, 0);
	make_thread_of(h, 4243, threads, threads + 5 * PAGE - 0x100, h->tcaches[1]);
	qsort(h->blocks.at, h->blocks.n, sizeof *h->blocks.at, compare_blocks);
	make_core(h, stack);
	words_of_structs(h);
	words_of_chunks(h);
	return h;
}

void heap_destroy(struct made_heap *h)
{
	for (size_t i = 0; i < h->areas.n; i++)
		free(h->areas.at[i].bytes.at);
	vec_free(&h->areas);
	vec_free(&h->blocks);
	vec_free(&h->fields);
	vec_free(&h->words);
	free(h->layout);
	free(h->core.at);
	unlink(h->library);
	unlink(h->globals_library);
	close(h->fd);
	free(h);
}

uint64_t heap_peek(const struct made_heap *h, uint64_t address, unsigned bytes)
{
	const struct made_area *a = area_at(h, address);
	return bytes_get(&a->bytes, address - a->address, bytes);
}

uint64_t heap_poke(struct made_heap *h, uint64_t address, uint64_t value, unsigned bytes)
{
	uint64_t old = heap_peek(h, address, bytes);
	uint8_t raw[8];
	put(h, address, value, bytes);
	for (unsigned i = 0; i < bytes; i++)
		raw[i] = (uint8_t)(value >> 8 * i);
	for (size_t i = 0; i < h->plan.n_segments; i++) {
		const struct core_segment *s = &h->plan.segments[i];
		if (address - s->address < s->file_bytes &&
		    pwrite(h->fd, raw, bytes, (off_t)(s->offset + (address - s->address))) != (ssize_t)bytes)
			abort();
	}
	return old;
}

void heap_poke_register(struct made_heap *h, unsigned thread, uint64_t value)
{
	uint8_t raw[8];
	for (unsigned i = 0; i < 8; i++)
		raw[i] = (uint8_t)(value >> 8 * i);
	if (pwrite(h->fd, raw, h->o.word, (off_t)h->plan.threads[thread].rbx_at) != (ssize_t)h->o.word)
		abort();
}

const struct made_block *heap_block(const struct made_heap *h, uint64_t address)
{
	for (size_t i = 0; i < h->blocks.n; i++)
		if (address - h->blocks.at[i].chunk < h->blocks.at[i].bytes)
			return &h->blocks.at[i];
	return NULL;
}

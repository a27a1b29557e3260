/* What the lists say: bins, fastbins, tcaches. All lists are walked side by side, a step of each in turn, so that the
 * memory misses of many lists overlap. Every walk ends: the sink refuses a chunk that was listed before. */
#include "glibc.h"

static void bad_list(struct glibc *g, const char *kind, uint64_t at, const char *text)
{
	if (g->transit_expected)
		return; /* somebody stands inside malloc: a half-made list is no damage */
	findings_add(&g->alloc->findings, kind, at, "%s", text);
}

/* The record of a list; its index, because the vector may move. -1 without memory: then it is not told. */
static ptrdiff_t record(struct glibc *g, const struct alloc_list *l)
{
	struct alloc_list *slot = vec_push(&g->alloc->lists);
	if (!slot)
		return -1;
	*slot = *l;
	return slot - g->alloc->lists.at;
}

static void count(struct glibc *g, ptrdiff_t list, uint64_t size)
{
	if (list < 0)
		return;
	g->alloc->lists.at[list].chunks++;
	g->alloc->lists.at[list].bytes += size;
}

/* malloc/malloc.c: largebin_index_64, largebin_index_32_big (i386 has MALLOC_ALIGNMENT 16 since 2.26). */
static unsigned large_bin(const struct glibc *g, uint64_t size)
{
	unsigned last = g->w == 8 ? 48 : 45, base = g->w == 8 ? 48 : 49;
	return size >> 6 <= last ? base + (unsigned)(size >> 6) :
	       size >> 9 <= 20	 ? 91 + (unsigned)(size >> 9) :
	       size >> 12 <= 10	 ? 110 + (unsigned)(size >> 12) :
	       size >> 15 <= 4	 ? 119 + (unsigned)(size >> 15) :
	       size >> 18 <= 2	 ? 124 + (unsigned)(size >> 18) :
				   126;
}

/* The sizes of a bin: 1 takes all, a small one a single size (smallbin_index), a large one what large_bin() says. */
static void bin_range(const struct glibc *g, unsigned bin, uint64_t *ret_low, uint64_t *ret_high)
{
	uint64_t first_large = 64 * g->granule - (g->granule > g->header ? g->granule : 0), low = first_large, high;
	*ret_low = 0;
	*ret_high = UINT64_MAX;
	if (bin == 1)
		return;
	if (bin < 64) {
		*ret_low = *ret_high = (uint64_t)(bin - (g->granule > g->header)) * g->granule;
		return;
	}
	while (low < 1u << 20 && large_bin(g, low) < bin)
		low += g->granule;
	for (high = low; high < 1u << 20 && large_bin(g, high) == bin; high += g->granule)
		;
	*ret_low = low;
	*ret_high = bin == 126 ? UINT64_MAX : high - g->granule;
}

/* Bins. A bin's head is a pseudo-chunk that overlays the array of links (malloc/malloc.c: bin_at). */
struct bin_walk {
	unsigned bin;
	uint64_t head, prev, at;
	ptrdiff_t list;
};

static enum block_state bin_state(unsigned bin)
{
	return bin == 1 ? BLOCK_UNSORTED : bin < 64 ? BLOCK_SMALLBIN : BLOCK_LARGEBIN;
}

/* Where the link stands that led to `at`: a list is damaged there, not at what it names. */
static uint64_t bin_link(const struct glibc *g, const struct bin_walk *b)
{
	return b->prev + g->header; /* a head's pair of links stands where a chunk has its payload */
}

static bool bin_ends(struct glibc *g, const struct bin_walk *b)
{
	uint64_t last;
	if (image_word(g->img, b->head + 3 * g->w, &last) && last != b->prev)
		bad_list(g, "bad-link", b->head + 3 * g->w, "a bin's back link is not the last chunk on it");
	return false;
}

/* One step; false when this list has ended. */
static bool bin_step(struct glibc *g, const struct chunk_sink *sink, struct bin_walk *b)
{
	uint64_t size, fd, bk;
	enum block_state state;
	if (b->at == b->head)
		return bin_ends(g, b);
	if (!image_word(g->img, b->at + 2 * g->w, &fd) || !image_word(g->img, b->at + 3 * g->w, &bk)) {
		bad_list(g, "bad-link", bin_link(g, b), "a bin points where nothing can be read");
		return false;
	}
	if (!sink->get(sink->ctx, b->at, &size, &state)) {
		bad_list(g, "bad-link", bin_link(g, b), "a bin holds what is no chunk");
		return false;
	}
	if (bk != b->prev && block_state_is_used(state)) { /* neither link nor neighbour says that it is free */
		bad_list(g, "bad-link", bin_link(g, b), "a bin leads to a chunk in use");
		return false;
	}
	if (bk != b->prev)
		bad_list(g, "bad-link", b->at + g->header, "a free chunk's back link does not point at the one before it");
	if (state != BLOCK_FREE) {
		bad_list(g, "bad-state", b->at + g->header,
			 block_state_is_used(state) ? "a bin holds a chunk that its neighbour calls used" : "a chunk is on two lists");
		if (!block_state_is_used(state))
			return false;
	}
	if (!sink->listed(sink->ctx, b->at, size, bin_state(b->bin)))
		return false;
	count(g, b->list, size);
	b->prev = b->at;
	b->at = fd;
	sink->prefetch(sink->ctx, fd);
	return true;
}

void glibc_walk_bins(struct glibc *g, const struct chunk_sink *sink)
{
	VEC(struct bin_walk) open = { 0 };
	for (size_t i = 0; i < g->alloc->arenas.n; i++) {
		const struct arena *a = &g->alloc->arenas.at[i];
		for (unsigned bin = 1; a->walked_bytes && bin < N_BINS - 1; bin++) {
			uint64_t pair = a->address + g->l->arena.bins + (uint64_t)(bin - 1) * 2 * g->w, fd;
			uint64_t head = pair - 2 * g->w;
			if (!image_word(g->img, pair, &fd))
				continue;
			struct bin_walk *b = vec_push(&open);
			if (!b)
				break;
			struct alloc_list l = { .state = bin_state(bin), .arena = (int)i, .tcache = -1, .index = bin, .head = pair };
			bin_range(g, bin, &l.low, &l.high);
			*b = (struct bin_walk){ .bin = bin, .head = head, .prev = head, .at = fd, .list = record(g, &l) };
		}
	}
	while (open.n && !interrupted)
		for (size_t i = 0; i < open.n;)
			if (bin_step(g, sink, &open.at[i]))
				i++;
			else
				open.at[i] = open.at[--open.n];
	vec_free(&open);
}

/* Links of fastbins and tcaches are plain to 2.31; from 2.32 next is XORed with its own address >> 12 (malloc/malloc.c:
 * PROTECT_PTR). */
static uint64_t reveal(const struct glibc *g, uint64_t position, uint64_t value)
{
	return g->l->safe_linking ? value ^ position >> 12 : value;
}

struct fastbin_walk {
	uint64_t at, want, link; /* where the link to `at` stands */
	ptrdiff_t list;
};

static bool fastbin_step(struct glibc *g, const struct chunk_sink *sink, struct fastbin_walk *f)
{
	uint64_t size, next, chunk = f->at;
	enum block_state state;
	if (!chunk)
		return false;
	if ((chunk + g->header) % g->granule || !sink->get(sink->ctx, chunk, &size, &state)) {
		bad_list(g, "bad-fastbin", f->link, "a fastbin holds what is no chunk");
		return false;
	}
	if (state != BLOCK_USED) {
		bad_list(g, "bad-fastbin", chunk + g->header, "a chunk in a fastbin is also on another list");
		return false;
	}
	if (size != f->want) { /* rather a stray link than a stray size: what it names stays in use */
		bad_list(g, "bad-fastbin", f->link, "a chunk in a fastbin has another bin's size");
		return false;
	}
	if (!sink->listed(sink->ctx, chunk, size, BLOCK_FASTBIN))
		return false;
	count(g, f->list, size);
	if (!image_word(g->img, chunk + g->header, &next))
		return false;
	f->link = chunk + g->header;
	f->at = reveal(g, f->link, next);
	if (f->at)
		sink->prefetch(sink->ctx, f->at);
	return true;
}

void glibc_walk_fastbins(struct glibc *g, const struct chunk_sink *sink)
{
	VEC(struct fastbin_walk) open = { 0 };
	for (size_t i = 0; i < g->alloc->arenas.n; i++) {
		const struct arena *a = &g->alloc->arenas.at[i];
		for (unsigned k = 0; a->walked_bytes && k < g->l->arena.n_fastbins; k++) {
			uint64_t chunk, slot = a->address + g->l->arena.fastbins + k * g->w;
			if (!image_word(g->img, slot, &chunk) || !chunk)
				continue;
			struct fastbin_walk *f = vec_push(&open);
			if (!f)
				break;
			/* fastbin_index: (size >> (SIZE_SZ == 8 ? 4 : 3)) - 2 */
			uint64_t size = (uint64_t)(k + 2) * 2 * g->w;
			struct alloc_list l = { .state = BLOCK_FASTBIN, .arena = (int)i, .tcache = -1, .index = k, .head = slot, .low = size, .high = size };
			*f = (struct fastbin_walk){ chunk, size, slot, record(g, &l) };
		}
	}
	while (open.n && !interrupted)
		for (size_t i = 0; i < open.n;)
			if (fastbin_step(g, sink, &open.at[i]))
				i++;
			else
				open.at[i] = open.at[--open.n];
	vec_free(&open);
}

/* tcache_perthread_struct: counters, then list heads. */
static bool tcache_bin(const struct glibc *g, uint64_t tcache, unsigned i, uint64_t *ret_used, uint64_t *ret_entry)
{
	const struct tcache_layout *t = &g->l->tcache;
	uint8_t raw[2] = { 0 };
	uint16_t count;
	if (!image_read(g->img, tcache + (uint64_t)i * t->count_bytes, raw, t->count_bytes) ||
	    !image_word(g->img, tcache + t->entries + (uint64_t)i * g->w, ret_entry))
		return false;
	count = raw[0];
	if (t->count_bytes == 2)
		span_u16((struct span){ raw, 2 }, 0, g->arch->big, &count);
	*ret_used = t->counts_free_slots ? (count <= g->tcache_count ? g->tcache_count - count : UINT64_MAX) : count;
	return true;
}

/* Every count is 0 exactly where the list is empty, and heads are aligned. */
static bool bin_is_sound(const struct glibc *g, uint64_t used, uint64_t entry)
{
	return used <= 65536 && !used == !entry && entry % g->granule == 0;
}

static bool holds_its_size(const struct glibc *g, unsigned bin, uint64_t entry)
{
	uint64_t field;
	return entry && image_word(g->img, entry - g->w, &field) && chunk_size(field) == (uint64_t)g->min_chunk + (uint64_t)bin * g->granule;
}

enum tcache_fit { NO_TCACHE, DAMAGED_TCACHE, SOUND_TCACHE };
enum { MOST_BAD_BINS = 2 };

/* Does a tcache stand at this payload address? What a stray write has hit still shows in the other bins, if one of them
 * has a chunk of its own size. */
static enum tcache_fit tcache_at(const struct glibc *g, uint64_t at)
{
	uint64_t field, size, used, entry, want = align_up(g->l->tcache.size + g->w, g->granule);
	unsigned bad = 0, good = 0;
	if (!at || at % g->granule || !image_word(g->img, at - g->w, &field))
		return NO_TCACHE;
	size = chunk_size(field);
	/* malloc may hand out a chunk up to two granules larger (a remainder below the smallest chunk). */
	if (size < want || size > want + 2 * g->granule || !glibc_segment_at(g->alloc, at))
		return NO_TCACHE;
	for (unsigned i = 0; i < g->l->tcache.bins && bad <= MOST_BAD_BINS; i++) {
		if (!tcache_bin(g, at, i, &used, &entry) || !bin_is_sound(g, used, entry))
			bad++;
		else
			good += holds_its_size(g, i, entry);
	}
	return !bad ? SOUND_TCACHE : bad <= MOST_BAD_BINS && good ? DAMAGED_TCACHE : NO_TCACHE;
}

static void add_tcache(struct glibc *g, uint64_t at, int thread)
{
	for (size_t i = 0; i < g->alloc->tcaches.n; i++)
		if (g->alloc->tcaches.at[i].address == at)
			return;
	struct alloc_tcache *slot = vec_push(&g->alloc->tcaches);
	if (slot)
		*slot = (struct alloc_tcache){ at, thread };
}

/* Distance from a thread pointer down to libc's TLS block (x86), from the GOT slots that hold it: R_*_TPOFF without a
 * symbol has the offset in the block as addend, the slot the offset from the thread pointer (elf/dynamic-link.h). */
struct tls_window {
	int64_t from; /* relative to the thread pointer */
	uint64_t bytes;
};

static bool libc_tls(const struct glibc *g, struct tls_window *ret)
{
	const struct module *m = g->place.module;
	if (!m->tls_bytes)
		return false;
	if (m->role == MODULE_PROGRAM) { /* static: the program's block is next to the thread pointer */
		uint64_t bytes = align_up(m->tls_bytes, m->tls_align ? m->tls_align : 1);
		*ret = (struct tls_window){ g->arch->tls_below_tp ? -(int64_t)bytes : 2 * g->w, bytes };
		return true;
	}
	uint64_t offset;
	if (!modules_tls_offset(g->ms, (struct module *)m, &offset))
		return false;
	*ret = (struct tls_window){ (int64_t)offset, m->tls_bytes };
	return true;
}

static bool thread_tcache_of(struct glibc *g, int thread, uint64_t tp, const struct tls_window *w, enum tcache_fit fit)
{
	uint64_t value;
	bool any = false;
	for (uint64_t off = 0; tp && off + g->w <= w->bytes; off += g->w) {
		if (!image_word(g->img, tp + (uint64_t)w->from + off, &value) || tcache_at(g, value) != fit)
			continue;
		add_tcache(g, value, thread);
		any = true;
	}
	return any;
}

static void thread_tcache(struct glibc *g, int thread, uint64_t tp, const struct tls_window *w)
{
	if (!thread_tcache_of(g, thread, tp, w, SOUND_TCACHE))
		thread_tcache_of(g, thread, tp, w, DAMAGED_TCACHE);
}

void glibc_tcaches(struct glibc *g)
{
	const struct picture *p = image_picture(g->img);
	struct tls_window w;
	/* Without the offset: some words more than all the libraries of a usual program need. */
	if (!libc_tls(g, &w))
		w = g->arch->tls_below_tp ? (struct tls_window){ -4096, 4096 } : (struct tls_window){ 0, 4096 };
	for (size_t i = 0; i < p->threads.n; i++)
		thread_tcache(g, (int)i, p->threads.at[i].tp, &w);
	/* A first thread that ended by pthread_exit() keeps its cache. */
	for (size_t i = 0; i < g->rt->dead_threads.n; i++)
		thread_tcache(g, -1, g->rt->dead_threads.at[i], &w);
}

/* Bins from 64 on are of 2.42: powers of two from 0x800 (malloc/malloc.c: large_csize2tidx). */
static void tcache_range(const struct glibc *g, struct alloc_list *l)
{
	l->low = l->high = (uint64_t)g->min_chunk + (uint64_t)l->index * g->granule;
	if (l->index < 64)
		return;
	if (l->index > 64)
		l->low = (uint64_t)0x400 << (l->index - 64);
	l->high = ((uint64_t)0x800 << (l->index - 64)) - g->granule;
}

/* The list goes on to its end, whatever the count says: each chunk is listed once, so there is one. */
static void tcache_list(struct glibc *g, const struct chunk_sink *sink, size_t index, unsigned bin)
{
	uint64_t tcache = g->alloc->tcaches.at[index].address;
	uint64_t n = 0, used, entry, link = tcache + g->l->tcache.entries + (uint64_t)bin * g->w;
	if (!tcache_bin(g, tcache, bin, &used, &entry))
		return;
	struct alloc_list l = { .state = BLOCK_TCACHE, .arena = -1, .tcache = (int)index, .index = bin, .head = link };
	tcache_range(g, &l);
	ptrdiff_t list = entry ? record(g, &l) : -1;
	while (entry) {
		uint64_t size, next;
		enum block_state state;
		if (entry % g->granule || !sink->get(sink->ctx, entry - g->header, &size, &state)) {
			bad_list(g, "bad-tcache", link, "a tcache holds what is no chunk");
			return;
		}
		if (!block_state_is_used(state)) {
			bad_list(g, "double-free", entry, "a chunk in a tcache is also on another list");
			return;
		}
		if (bin < 64 && size != (uint64_t)g->min_chunk + (uint64_t)bin * g->granule) {
			bad_list(g, "bad-tcache", link, "a chunk in a tcache has another bin's size");
			return;
		}
		if (!sink->listed(sink->ctx, entry - g->header, size, BLOCK_TCACHE))
			return;
		count(g, list, size);
		if (!image_word(g->img, entry, &next))
			return;
		n++;
		link = entry;
		entry = reveal(g, entry, next);
	}
	if (n != used)
		bad_list(g, "bad-tcache", tcache + (uint64_t)bin * g->l->tcache.count_bytes,
			 "a tcache's count is not the length of its list");
}

void glibc_walk_tcaches(struct glibc *g, const struct chunk_sink *sink)
{
	for (size_t i = 0; i < g->alloc->tcaches.n && !interrupted; i++) {
		uint64_t size;
		enum block_state state;
		uint64_t tcache = g->alloc->tcaches.at[i].address;
		if (!sink->get(sink->ctx, tcache - g->header, &size, &state) || state != BLOCK_USED) {
			g->alloc->tcaches.at[i--] = g->alloc->tcaches.at[--g->alloc->tcaches.n];
			continue;
		}
		for (unsigned k = 0; k < g->l->tcache.bins; k++)
			tcache_list(g, sink, i, k);
	}
}

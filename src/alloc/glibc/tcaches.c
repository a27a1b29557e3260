/* Which threads' caches there are: by the threads' pointers to them, or, where one is lost, by what a cache looks like. */
#include "glibc.h"

/* tcache_perthread_struct: counters, then list heads. */
bool glibc_tcache_bin(const struct glibc *g, uint64_t tcache, unsigned i, uint64_t *ret_used, uint64_t *ret_entry)
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

static bool holds_any(const struct glibc *g, uint64_t tcache)
{
	uint64_t used, entry;
	for (unsigned i = 0; i < g->l->tcache.bins; i++)
		if (glibc_tcache_bin(g, tcache, i, &used, &entry) && holds_its_size(g, i, entry))
			return true;
	return false;
}

enum tcache_fit { NO_TCACHE, DAMAGED_TCACHE, SOUND_TCACHE };
enum { MOST_BAD_BINS = 8 /* counts in a word (2.27) */, FEW_BAD_BINS = 2 };

/* Does a tcache stand at this payload address? What a stray write has hit still shows in the other bins, if one of them
 * has a chunk of its own size, or if nearly all of them are as they should be. */
static enum tcache_fit tcache_at(const struct glibc *g, uint64_t at)
{
	uint64_t field, size, used, entry, want = align_up(g->l->tcache.size + g->w, g->granule);
	unsigned bad = 0, good = 0;
	if (!at || at % g->granule || !glibc_segment_at(g->alloc, at) || !image_word(g->img, at - g->w, &field))
		return NO_TCACHE;
	size = chunk_size(field);
	/* malloc may hand out a chunk up to two granules larger (a remainder below the smallest chunk). */
	bool sized = size >= want && size <= want + 2 * g->granule;
	for (unsigned i = 0; i < g->l->tcache.bins && bad <= MOST_BAD_BINS; i++) {
		bool readable = glibc_tcache_bin(g, at, i, &used, &entry);
		bad += !readable || !bin_is_sound(g, used, entry);
		good += readable && holds_its_size(g, i, entry);
	}
	if (!bad && sized)
		return SOUND_TCACHE;
	if (sized && bad <= FEW_BAD_BINS)
		return DAMAGED_TCACHE;
	return good && bad <= (sized ? MOST_BAD_BINS : 0) ? DAMAGED_TCACHE : NO_TCACHE;
}

bool glibc_is_tcache(const struct glibc *g, uint64_t payload)
{
	for (size_t i = 0; i < g->alloc->tcaches.n; i++)
		if (g->alloc->tcaches.at[i].address == payload)
			return true;
	return false;
}

static void add_tcache(struct glibc *g, uint64_t at, int thread)
{
	if (glibc_is_tcache(g, at))
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
		g->tcache_word = (int64_t)((uint64_t)w->from + off);
		any = true;
	}
	return any;
}

static bool thread_tcache(struct glibc *g, int thread, uint64_t tp, const struct tls_window *w)
{
	return thread_tcache_of(g, thread, tp, w, SOUND_TCACHE) || thread_tcache_of(g, thread, tp, w, DAMAGED_TCACHE);
}

static void find_by_threads(struct glibc *g)
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

/* Counters that count down start from mp_.tcache_count. Should that have been written to, a count that many lists of a cache have
 * is theirs: most of them are empty. */
static bool try_other_count(struct glibc *g)
{
	const struct picture *p = image_picture(g->img);
	uint64_t said = g->tcache_count, used, entry;
	enum { MOST = UINT16_MAX };
	g->tcache_count = MOST; /* counts come as MOST - slots */
	for (size_t i = 0; i < p->threads.n; i++)
		for (int64_t off = -4096; off < 4096; off += g->w) {
			uint64_t at, first = 0;
			unsigned same = 0;
			if (!p->threads.at[i].tp || !image_word(g->img, p->threads.at[i].tp + (uint64_t)off, &at) || at % g->granule ||
			    !glibc_segment_at(g->alloc, at))
				continue;
			for (unsigned bin = g->l->tcache.bins; bin-- > 0 && glibc_tcache_bin(g, at, bin, &used, &entry);) {
				first = bin + 1 == g->l->tcache.bins ? used : first;
				same += used == first && !entry;
			}
			if (same < g->l->tcache.bins / 2 || first == MOST || MOST - first == said)
				continue;
			g->tcache_count = MOST - first;
			find_by_threads(g);
			if (g->alloc->tcaches.n)
				return true;
			g->tcache_count = MOST;
		}
	g->tcache_count = said;
	return false;
}

void glibc_tcaches(struct glibc *g)
{
	uint64_t said = g->tcache_count;
	find_by_threads(g);
	if (g->alloc->tcaches.n || !g->l->tcache.counts_free_slots || !g->place.params || !try_other_count(g))
		return;
	findings_add_words(&g->alloc->findings,
			   &(struct finding){ .kind = "bad-params", .address = g->place.params + g->l->params.tcache_count,
					      .expected = g->tcache_count, .has_expected = true, .found = said, .has_found = true },
			   "malloc's record of how many blocks a thread's cache takes is not what the caches show");
	g->alloc->facts.tcache_count = g->tcache_count;
}

/* Has a thread a cache that its pointer does not lead to? */
static bool one_is_missing(const struct glibc *g)
{
	const struct picture *p = image_picture(g->img);
	uint64_t at;
	if (!g->alloc->tcaches.n)
		return g->tcache_count;
	for (size_t i = 0; i < p->threads.n; i++) {
		bool known = false;
		if (!p->threads.at[i].tp || !image_word(g->img, p->threads.at[i].tp + (uint64_t)g->tcache_word, &at) || !at)
			continue;
		for (size_t k = 0; k < g->alloc->tcaches.n; k++)
			known |= g->alloc->tcaches.at[k].address == at;
		/* From 2.43 on the pointer leads to a dummy in libc as long as there is none. */
		if (!known && modules_at(g->ms, at) != g->place.module)
			return true;
	}
	return false;
}

void glibc_tcaches_by_content(struct glibc *g, const struct chunk_sink *sink)
{
	uint64_t want = align_up(g->l->tcache.size + g->w, g->granule), size = 0;
	enum block_state state;
	if (!one_is_missing(g))
		return;
	for (size_t i = 0; i < g->alloc->segments.n && !interrupted; i++) {
		const struct segment *s = &g->alloc->segments.at[i];
		for (uint64_t at = s->start; s->arena != ARENA_MMAP && at < s->end && sink->get(sink->ctx, at, &size, &state); at += size)
			if (size >= want && size <= want + 2 * g->granule && state == BLOCK_USED && tcache_at(g, at + g->header) == SOUND_TCACHE &&
			    holds_any(g, at + g->header))
				add_tcache(g, at + g->header, -1);
	}
}

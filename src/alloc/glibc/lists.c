/* Lists that only lead forward: fastbins and tcaches (bins.c has the rings). Fastbins are walked side by side, a step of each
 * in turn, so that their memory misses overlap. Every walk ends: the sink refuses a chunk that was listed before. */
#include "glibc.h"

/* Links of fastbins and tcaches are plain to 2.31; from 2.32 next is XORed with its own address >> 12 (malloc/malloc.c:
 * PROTECT_PTR). */
uint64_t glibc_reveal(const struct glibc *g, uint64_t position, uint64_t value)
{
	return g->l->safe_linking ? value ^ position >> 12 : value;
}

/* A chunk is longer than its list says, and of what is too much whole chunks can be made: their headers stand there. Then its
 * size was written to, and it is the list that is right. */
static void anchor_behind(struct glibc *g, uint64_t chunk, uint64_t want, uint64_t size)
{
	uint64_t field, at = chunk + want, end = chunk + size;
	for (; at < end && image_word(g->img, at + g->w, &field); at += chunk_size(field))
		if ((at == chunk + want && !(field & PREV_INUSE)) || field & IS_MMAPPED || chunk_size(field) < g->min_chunk ||
		    chunk_size(field) % g->granule || chunk_size(field) > end - at)
			return;
	if (at == end && size > want)
		glibc_anchor(g, chunk + want, 0);
}

struct fastbin_walk {
	uint64_t at, want;
	uint64_t link;	/* where the link to `at` stands: payload address of the one before, or the head's own */
	uint64_t before; /* chunk that holds the link, 0: the arena */
	int arena;
	ptrdiff_t list;
	bool cut;	/* broken off */
};

static bool bad_fastbin(struct glibc *g, const struct chunk_sink *sink, struct fastbin_walk *f, const char *kind, const char *text)
{
	uint64_t neighbour = f->before ? glibc_neighbour(g, sink, f->before) : 0;
	g->broken[f->arena] = f->cut = true;
	glibc_bad_list(g, &(struct finding){ .kind = kind, .address = f->link, .found = f->at, .has_found = true, .neighbour = neighbour },
		       "%s; what lay behind it may be counted as used", text);
	return false;
}

/* Does this chunk look as one of this fastbin that was cut off? A link goes to a chunk's header, where programs never point; the
 * last one's is known where it is mangled. */
static bool is_cut_off(struct glibc *g, const struct chunk_sink *sink, const struct fastbin_walk *f, uint64_t chunk)
{
	uint64_t raw, size;
	enum block_state state;
	if (!image_word(g->img, chunk + g->header, &raw) || !raw)
		return false;
	uint64_t next = glibc_reveal(g, chunk + g->header, raw);
	return !next || (sink->get(sink->ctx, next, &size, &state) && size == f->want && next != chunk &&
			 (state == BLOCK_USED || state == BLOCK_FASTBIN));
}

/* What lies behind a cut: the chunks of its size that still link. */
static void find_cut_fastbin(struct glibc *g, const struct chunk_sink *sink, const struct fastbin_walk *f)
{
	for (size_t i = 0; i < g->alloc->segments.n && !interrupted; i++) {
		const struct segment *s = &g->alloc->segments.at[i];
		uint64_t size = 0, dummy;
		enum block_state state;
		for (uint64_t at = s->start; s->arena == f->arena && at < s->end && sink->get(sink->ctx, at, &size, &state); at += size) {
			struct fastbin_walk lost = *f;
			if (size != f->want || state != BLOCK_USED || !is_cut_off(g, sink, f, at))
				continue;
			for (lost.at = at; lost.at && sink->get(sink->ctx, lost.at, &dummy, &state) && state == BLOCK_USED && dummy == f->want;) {
				if (!image_word(g->img, lost.at + g->header, &dummy) || !sink->listed(sink->ctx, lost.at, f->want, BLOCK_FASTBIN))
					break;
				glibc_count(g, f->list, f->want);
				lost.at = glibc_reveal(g, lost.at + g->header, dummy);
			}
		}
	}
}

static bool fastbin_step(struct glibc *g, const struct chunk_sink *sink, struct fastbin_walk *f)
{
	uint64_t size, next, chunk = f->at;
	enum block_state state;
	if (!chunk)
		return false;
	if ((chunk + g->header) % g->granule)
		return bad_fastbin(g, sink, f, "bad-fastbin", "a link of a fastbin leads to no aligned address");
	if (!sink->get(sink->ctx, chunk, &size, &state)) {
		glibc_anchor(g, chunk, f->want);
		return bad_fastbin(g, sink, f, "bad-fastbin", "a link of a fastbin leads where no chunk starts");
	}
	if (state == BLOCK_FASTBIN)
		return bad_fastbin(g, sink, f, "double-free", "a fastbin leads back into itself: a block was freed twice");
	if (!block_state_is_used(state) && state != BLOCK_LOST)
		return bad_fastbin(g, sink, f, "double-free", "a chunk in a fastbin is free on another account too");
	if (size != f->want && state != BLOCK_LOST) { /* rather a stray link than a stray size: what it names stays in use */
		anchor_behind(g, chunk, f->want, size);
		return bad_fastbin(g, sink, f, "bad-fastbin", "a link of a fastbin leads to a chunk of another size");
	}
	if (state == BLOCK_LOST && size != f->want) /* its list knows its size */
		glibc_anchor(g, chunk + f->want, 0);
	if (!sink->listed(sink->ctx, chunk, size, BLOCK_FASTBIN))
		return false;
	glibc_count(g, f->list, size);
	if (!image_word(g->img, chunk + g->header, &next))
		return false;
	f->before = chunk;
	f->link = chunk + g->header;
	f->at = glibc_reveal(g, chunk + g->header, next);
	if (f->at)
		sink->prefetch(sink->ctx, f->at);
	return true;
}

void glibc_walk_fastbins(struct glibc *g, const struct chunk_sink *sink)
{
	VEC(struct fastbin_walk) open = { 0 }, cut = { 0 };
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
			*f = (struct fastbin_walk){ .at = chunk, .want = size, .link = slot, .arena = (int)i, .list = glibc_record(g, &l) };
		}
	}
	while (open.n && !interrupted)
		for (size_t i = 0; i < open.n;)
			if (fastbin_step(g, sink, &open.at[i])) {
				i++;
			} else {
				struct fastbin_walk *slot = open.at[i].cut ? vec_push(&cut) : NULL;
				if (slot)
					*slot = open.at[i];
				open.at[i] = open.at[--open.n];
			}
	for (size_t i = 0; i < cut.n; i++)
		find_cut_fastbin(g, sink, &cut.at[i]);
	vec_free(&cut);
	vec_free(&open);
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

struct key_seen {
	uint64_t entry, key, tcache;
};
struct cut_list { /* ends before its count is reached */
	uint64_t tcache, size, missing;
	ptrdiff_t list;
};
struct caches {
	struct glibc *g;
	const struct chunk_sink *sink;
	VEC(struct key_seen) keys;
	VEC(struct cut_list) cut;
};

static uint64_t bin_size(const struct glibc *g, unsigned bin)
{
	return bin < 64 ? (uint64_t)g->min_chunk + (uint64_t)bin * g->granule : 0;
}

static void bad_tcache(struct caches *c, const char *kind, uint64_t link, uint64_t holder, uint64_t found, const char *text)
{
	glibc_bad_list(c->g, &(struct finding){ .kind = kind, .address = link, .found = found, .has_found = true,
						.neighbour = glibc_neighbour(c->g, c->sink, holder - c->g->header) },
		       "%s", text);
}

/* Is this a chunk that a cache can hold? `link` is where the pointer to it stands, in the block `holder`. */
static bool entry_holds(struct caches *c, uint64_t entry, uint64_t link, uint64_t holder, unsigned bin)
{
	struct glibc *g = c->g;
	uint64_t size, want = bin_size(g, bin);
	enum block_state state;
	if (entry % g->granule) {
		bad_tcache(c, "bad-tcache", link, holder, entry, "a link of a thread's cache leads to no aligned address");
		return false;
	}
	if (!c->sink->get(c->sink->ctx, entry - g->header, &size, &state)) {
		glibc_anchor(g, entry - g->header, want);
		bad_tcache(c, "bad-tcache", link, holder, entry, "a link of a thread's cache leads where no block starts");
		return false;
	}
	if (!block_state_is_used(state) && state != BLOCK_LOST) {
		bad_tcache(c, "double-free", entry, entry, entry,
			   state == BLOCK_TCACHE ? "a block is in a thread's cache twice: it was freed twice"
						 : "a block in a thread's cache is free on another account too");
		return false;
	}
	if (want && size != want && state == BLOCK_LOST)
		glibc_anchor(g, entry - g->header + want, 0);
	if (want && size != want && state != BLOCK_LOST) { /* rather a stray link than a stray size */
		anchor_behind(g, entry - g->header, want, size);
		bad_tcache(c, "bad-tcache", link, holder, entry, "a link of a thread's cache leads to a block of another size");
		return false;
	}
	return true;
}

/* What a cache's list names is no block of its, but may have been one, which another chunk lies over now: then its link leads on. 0:
 * it does not. Where links are plain, what it leads to has to bear the mark too: programs link their blocks likewise. */
static uint64_t see_through(const struct caches *c, uint64_t entry, uint64_t tcache, unsigned bin)
{
	const struct glibc *g = c->g;
	uint64_t next, key, size, want = bin_size(g, bin);
	enum block_state state;
	if (!want || entry % g->granule || !glibc_segment_at(g->alloc, entry) || !image_word(g->img, entry, &next))
		return 0;
	next = glibc_reveal(g, entry, next);
	if (!next || next % g->granule || !c->sink->get(c->sink->ctx, next - g->header, &size, &state) || size != want || state != BLOCK_USED)
		return 0;
	bool marked = g->l->tcache.has_key && image_word(g->img, next + g->w, &key) && key == tcache;
	return g->l->safe_linking || marked ? next : 0;
}

/* The list goes on to its end, whatever the count says: each chunk is listed once, so there is one. */
static void tcache_list(struct caches *c, size_t index, unsigned bin)
{
	struct glibc *g = c->g;
	uint64_t tcache = g->alloc->tcaches.at[index].address, n = 0, used, entry, next, key, size = 0;
	uint64_t link = tcache + g->l->tcache.entries + (uint64_t)bin * g->w, holder = tcache;
	enum block_state state;
	if (!glibc_tcache_bin(g, tcache, bin, &used, &entry))
		return;
	struct alloc_list l = { .state = BLOCK_TCACHE, .arena = -1, .tcache = (int)index, .index = bin, .head = link };
	tcache_range(g, &l);
	ptrdiff_t list = entry ? glibc_record(g, &l) : -1;
	while (entry) {
		if (!entry_holds(c, entry, link, holder, bin)) {
			uint64_t on = see_through(c, entry, tcache, bin);
			if (!on)
				break;
			n++;
			link = holder = entry;
			entry = on;
			continue;
		}
		if (!c->sink->get(c->sink->ctx, entry - g->header, &size, &state) ||
		    !c->sink->listed(c->sink->ctx, entry - g->header, size, BLOCK_TCACHE))
			break;
		glibc_count(g, list, size);
		if (!image_word(g->img, entry, &next))
			break;
		struct key_seen *seen = g->l->tcache.has_key && image_word(g->img, entry + g->w, &key) ? vec_push(&c->keys) : NULL;
		if (seen)
			*seen = (struct key_seen){ entry, key, tcache };
		n++;
		link = holder = entry;
		entry = glibc_reveal(g, entry, next);
	}
	if (n != used && !entry)
		glibc_bad_list(g, &(struct finding){ .kind = "bad-tcache", .address = tcache + (uint64_t)bin * g->l->tcache.count_bytes,
						     .expected = n, .has_expected = true, .found = used, .has_found = true },
			       "a thread's cache counts another number of blocks than its list has");
	else if (n > g->tcache_count && g->tcache_count)
		glibc_bad_list(g, &(struct finding){ .kind = "bad-tcache", .address = tcache + (uint64_t)bin * g->l->tcache.count_bytes,
						     .expected = g->tcache_count, .has_expected = true, .found = n, .has_found = true },
			       "a thread's cache holds more blocks of a size than malloc puts there");
	struct cut_list *cut = n < used && used - n <= UINT16_MAX ? vec_push(&c->cut) : NULL;
	if (cut)
		*cut = (struct cut_list){ tcache, bin_size(g, bin), used - n, list };
}

/* The mark of cached blocks: one random word for all (2.34, tcache_key), or the address of their cache (2.29 to 2.33). Learned:
 * the word that more than half of them have (Boyer and Moore's vote). False: too few agree. */
static bool learn_key(const struct caches *c, bool *ret_own, uint64_t *ret)
{
	size_t lead = 0, with = 0, own = 0;
	for (size_t i = 0; i < c->keys.n; i++) {
		const struct key_seen *k = &c->keys.at[i];
		if (!lead)
			*ret = k->key;
		lead += k->key == *ret ? 1 : (size_t)-1;
		own += k->key == k->tcache;
	}
	for (size_t i = 0; i < c->keys.n; i++)
		with += c->keys.at[i].key == *ret;
	*ret_own = own * 2 > c->keys.n || (c->g->place.minor && c->g->place.minor < 34);
	return *ret_own || (with >= 3 && with * 2 > c->keys.n);
}

static void check_keys(struct caches *c, bool own, uint64_t key)
{
	for (size_t i = 0; i < c->keys.n; i++) {
		const struct key_seen *k = &c->keys.at[i];
		uint64_t want = own ? k->tcache : key;
		if (k->key != want)
			glibc_bad_list(c->g, &(struct finding){ .kind = "bad-key", .address = k->entry, .expected = want, .has_expected = true,
								.found = k->key, .has_found = true,
								.neighbour = glibc_neighbour(c->g, c->sink, k->entry - c->g->header) },
				       "a block in a thread's cache was written to after it was freed");
	}
}

/* Blocks behind a cut still bear the mark, and malloc() takes it off (tcache_get). */
static void find_cut_off(struct caches *c, const struct cut_list *cut, uint64_t key)
{
	struct glibc *g = c->g;
	uint64_t left = cut->missing;
	for (size_t i = 0; i < g->alloc->segments.n && left && cut->size; i++) {
		const struct segment *s = &g->alloc->segments.at[i];
		uint64_t size = 0, word;
		enum block_state state;
		if (s->arena == ARENA_MMAP)
			continue;
		for (uint64_t at = s->start; at < s->end && left && c->sink->get(c->sink->ctx, at, &size, &state); at += size) {
			if (size != cut->size || state != BLOCK_USED || !image_word(g->img, at + g->header + g->w, &word) || word != key)
				continue;
			if (!c->sink->listed(c->sink->ctx, at, size, BLOCK_TCACHE))
				continue;
			glibc_count(g, cut->list, size);
			left--;
		}
	}
}

/* Where too few blocks are on lists to learn the mark from: the word that most of those have whose links are mangled as the lists
 * of this size mangle them (2.34 and later, where the mark is random). malloc() wipes it (tcache_get). */
static bool key_by_links(const struct caches *c, uint64_t want, uint64_t *ret)
{
	const struct glibc *g = c->g;
	size_t lead = 0;
	*ret = 0;
	for (size_t i = 0; i < g->alloc->segments.n && want && g->l->safe_linking; i++) {
		const struct segment *s = &g->alloc->segments.at[i];
		uint64_t size = 0, other, link, key;
		enum block_state state;
		for (uint64_t at = s->start; s->arena != ARENA_MMAP && at < s->end && c->sink->get(c->sink->ctx, at, &size, &state) && !interrupted; at += size) {
			uint64_t entry = at + g->header;
			if (size != want || state != BLOCK_USED || !image_word(g->img, entry, &link) || !image_word(g->img, entry + g->w, &key) || !key)
				continue;
			link = glibc_reveal(g, entry, link);
			if (link && (link % g->granule || !c->sink->get(c->sink->ctx, link - g->header, &other, &state) || other != want))
				continue;
			*ret = lead ? *ret : key;
			lead += key == *ret ? 1 : (size_t)-1;
		}
	}
	return lead;
}

void glibc_walk_tcaches(struct glibc *g, const struct chunk_sink *sink)
{
	struct caches c = { .g = g, .sink = sink };
	uint64_t size, key = 0;
	enum block_state state;
	bool own;
	for (size_t i = 0; i < g->alloc->tcaches.n && !interrupted; i++) {
		uint64_t tcache = g->alloc->tcaches.at[i].address;
		if (!sink->get(sink->ctx, tcache - g->header, &size, &state) ||
		    (state != BLOCK_USED && state != BLOCK_LOST && state != BLOCK_FREE)) {
			size_t n = g->anchors.n;
			glibc_anchor(g, tcache - g->header, 0);
			if (g->anchors.n > n)
				continue; /* the walk that is to come may find it */
			g->alloc->tcaches.at[i--] = g->alloc->tcaches.at[--g->alloc->tcaches.n];
			continue;
		}
		for (unsigned k = 0; k < g->l->tcache.bins; k++)
			tcache_list(&c, i, k);
	}
	bool learned = g->l->tcache.has_key && learn_key(&c, &own, &key);
	if (learned)
		check_keys(&c, own, key);
	for (size_t i = 0; i < c.cut.n && g->l->tcache.has_key && !interrupted; i++)
		if (learned)
			find_cut_off(&c, &c.cut.at[i], own ? c.cut.at[i].tcache : key);
		else if (key_by_links(&c, c.cut.at[i].size, &key))
			find_cut_off(&c, &c.cut.at[i], key);
	vec_free(&c.keys);
	vec_free(&c.cut);
}

/* Bins: rings of free chunks, walked side by side, a step of each in turn, so that the memory misses of many lists overlap.
 * Every walk ends: the sink refuses a chunk that was listed before. A ring that is broken is walked from its other end too, so
 * that one bad link costs nothing. */
#include "glibc.h"

/* A bin's head is a pseudo-chunk that overlays the array of links (malloc/malloc.c: bin_at). */
struct bin_walk {
	int arena;
	unsigned bin;
	bool backwards;
	uint64_t head, prev, at;
	uint64_t prev_size;		/* of `prev`, 0: it is the head */
	ptrdiff_t list;
	uint64_t first, leader, next_leader; /* large bins: the first of all, of this size, and who that says is the next */
};

static enum block_state bin_state(unsigned bin)
{
	return bin == 1 ? BLOCK_UNSORTED : bin < 64 ? BLOCK_SMALLBIN : BLOCK_LARGEBIN;
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

static unsigned bin_of(const struct glibc *g, uint64_t size)
{
	uint64_t shift = g->granule > g->header; /* SMALLBIN_CORRECTION */
	return size < (64 - shift) * g->granule ? (unsigned)(size / g->granule + shift) : large_bin(g, size);
}

/* A free chunk's size stands again behind it, and the next header calls it free: one of the two at least, or it was forged. */
static bool ends_as_free(const struct glibc *g, uint64_t chunk, uint64_t size)
{
	uint64_t foot, field;
	return image_word(g->img, chunk + size, &foot) && image_word(g->img, chunk + size + g->w, &field) && (foot == size || !(field & PREV_INUSE));
}

/* The link of the chunk before this one leads to no chunk. */
static void bad_link(struct glibc *g, const struct chunk_sink *sink, const struct bin_walk *b, const char *text)
{
	uint64_t field;
	if (!b->backwards && image_word(g->img, b->at + g->w, &field) && ends_as_free(g, b->at, chunk_size(field)))
		glibc_anchor(g, b->at, b->bin == 1 ? 0 : chunk_size(field));
	g->broken[b->arena] = true;
	if (b->backwards)
		return; /* told from the other side */
	glibc_bad_list(g, &(struct finding){ .kind = "bad-link", .address = b->prev + g->header, .found = b->at, .has_found = true,
					     .neighbour = b->prev == b->head ? 0 : glibc_neighbour(g, sink, b->prev) },
		       "%s %s", b->prev == b->head ? "the head of a bin leads" : "the link of a free chunk to the next leads", text);
}

/* One of two links is wrong: this chunk's back link, or the one that led here. */
static void one_sided(struct glibc *g, const struct chunk_sink *sink, const struct bin_walk *b, uint64_t back, bool fits)
{
	bool here = fits || b->prev == b->head;
	uint64_t at = here ? b->at : b->prev;
	struct finding f = { .kind = "bad-link", .address = at + g->header, .found = here ? back : b->at, .has_found = true,
			     .neighbour = glibc_neighbour(g, sink, at) };
	f.has_expected = here;
	f.expected = b->prev;
	glibc_bad_list(g, &f, here ? "a free chunk's link back does not lead to the one before it in its list"
				   : "a free chunk's link leads to a chunk that knows nothing of it");
}

static void check_size(struct glibc *g, const struct chunk_sink *sink, const struct bin_walk *b, uint64_t size)
{
	struct finding f = { .kind = "bad-bin", .address = b->at + g->header, .found = size, .has_found = true,
			     .neighbour = glibc_neighbour(g, sink, b->at) };
	uint64_t high;
	f.has_expected = b->bin > 1 && b->bin < 64; /* of a large bin many sizes are */
	if (f.has_expected)
		bin_range(g, b->bin, &f.expected, &high);
	if (b->bin > 1 && bin_of(g, size) != b->bin)
		glibc_bad_list(g, &f, "bin %u holds a chunk of %llu bytes, which belongs into bin %u", b->bin, (unsigned long long)size,
			       bin_of(g, size));
	else if (b->bin >= 64 && b->prev_size && size > b->prev_size)
		glibc_bad_list(g, &f, "a bin of large chunks is out of order: %llu bytes behind %llu", (unsigned long long)size,
			       (unsigned long long)b->prev_size);
}

static void bad_leader(struct glibc *g, const struct chunk_sink *sink, uint64_t chunk, uint64_t expected, uint64_t found)
{
	glibc_bad_list(g, &(struct finding){ .kind = "bad-link", .address = chunk + g->header, .expected = expected, .has_expected = true,
					     .found = found, .has_found = true, .neighbour = glibc_neighbour(g, sink, chunk) },
		       "a large free chunk's link to the chunk of another size is wrong (fd_nextsize, bk_nextsize)");
}

/* The first chunk of each size in a large bin is on a second ring (malloc/malloc.c: fd_nextsize); the others have NULL there. */
static void check_leader(struct glibc *g, const struct chunk_sink *sink, struct bin_walk *b, uint64_t size)
{
	uint64_t next, back;
	if (!image_word(g->img, b->at + 4 * g->w, &next) || !image_word(g->img, b->at + 5 * g->w, &back))
		return;
	if (size == b->prev_size) {
		if (next)
			bad_leader(g, sink, b->at, 0, next);
		return;
	}
	if (!b->leader)
		b->first = b->at;
	else if (b->next_leader != b->at)
		bad_leader(g, sink, b->leader, b->at, b->next_leader);
	if (b->leader && back != b->leader)
		bad_leader(g, sink, b->at, b->leader, back);
	b->leader = b->at;
	b->next_leader = next;
}

static void check_last_leader(struct glibc *g, const struct chunk_sink *sink, const struct bin_walk *b)
{
	uint64_t back;
	if (!b->leader)
		return;
	if (b->next_leader != b->first)
		bad_leader(g, sink, b->leader, b->first, b->next_leader);
	if (image_word(g->img, b->first + 5 * g->w, &back) && back != b->leader)
		bad_leader(g, sink, b->first, b->leader, back);
}

/* The chunk that is met was met before. */
static void met_again(struct glibc *g, const struct chunk_sink *sink, const struct bin_walk *b, enum block_state state)
{
	g->broken[b->arena] = true;
	if (b->backwards)
		return;
	struct finding f = { .kind = "double-free", .address = b->at + g->header, .found = b->at, .has_found = true };
	if (state == bin_state(b->bin)) {
		f = (struct finding){ .kind = "bad-link", .address = b->prev + g->header, .found = b->at, .has_found = true,
				      .neighbour = b->prev == b->head ? 0 : glibc_neighbour(g, sink, b->prev) };
		glibc_bad_list(g, &f, "a list of free chunks leads back into itself: a block was freed twice, or a link was written to");
	} else {
		glibc_bad_list(g, &f, "a free chunk is on a second list (%s): it was freed twice", block_state_name(state));
	}
}

/* A free chunk that seems to be in use may have a size that is too large: then its true one stands before the next header. */
static void anchor_end(struct glibc *g, uint64_t chunk, uint64_t size)
{
	uint64_t foot, field;
	for (uint64_t end = chunk + g->min_chunk; !g->walked_twice && end < chunk + size && !interrupted; end += g->granule)
		if (image_word(g->img, end, &foot) && foot == end - chunk && image_word(g->img, end + g->w, &field) && !(field & PREV_INUSE)) {
			glibc_anchor(g, end, 0);
			return;
		}
}

/* A chunk on a bin that the next header calls used: whose word is wrong? */
static void called_used(struct glibc *g, const struct chunk_sink *sink, const struct bin_walk *b, uint64_t size, bool links_fit)
{
	uint64_t foot, field, next_size;
	enum block_state next;
	if (sink->get(sink->ctx, b->at + size, &next_size, &next) && next == BLOCK_LOST)
		return; /* that header is damaged, and told so */
	bool freed = links_fit && image_word(g->img, b->at + size, &foot) && foot == size && image_word(g->img, b->at + size + g->w, &field);
	if (!freed)
		anchor_end(g, b->at, size);
	if (freed)
		glibc_bad_list(g, &(struct finding){ .kind = "prev-in-use", .address = b->at + size + g->header,
						     .expected = field & ~(uint64_t)PREV_INUSE, .has_expected = true,
						     .found = field, .has_found = true },
			       "the header calls the block before it used, but that is free and on a list");
	else
		glibc_bad_list(g, &(struct finding){ .kind = "bad-state", .address = b->at + g->header,
						     .neighbour = glibc_neighbour(g, sink, b->at) },
			       "a list of free chunks holds a block that is in use");
}

static bool bin_ends(struct glibc *g, const struct chunk_sink *sink, const struct bin_walk *b)
{
	uint64_t last;
	if (b->backwards)
		return false;
	if (image_word(g->img, b->head + 3 * g->w, &last) && last != b->prev)
		glibc_bad_list(g, &(struct finding){ .kind = "bad-link", .address = b->head + 3 * g->w, .expected = b->prev, .has_expected = true,
						     .found = last, .has_found = true },
			       "a bin's link back does not lead to the last chunk on it");
	if (b->bin >= 64)
		check_last_leader(g, sink, b);
	return false;
}

/* One step; false when this list has ended. */
static bool bin_step(struct glibc *g, const struct chunk_sink *sink, struct bin_walk *b)
{
	uint64_t size, on, back, before;
	enum block_state state, state_before;
	unsigned fd = b->backwards ? 3 : 2, bk = b->backwards ? 2 : 3;
	if (b->at == b->head)
		return bin_ends(g, sink, b);
	if (!image_word(g->img, b->at + fd * g->w, &on) || !image_word(g->img, b->at + bk * g->w, &back)) {
		bad_link(g, sink, b, "where nothing can be read");
		return false;
	}
	if (!sink->get(sink->ctx, b->at, &size, &state)) {
		bad_link(g, sink, b, "where no chunk starts");
		return false;
	}
	bool fits = (state == BLOCK_FREE || state == BLOCK_LOST) && (b->bin == 1 || bin_of(g, size) == b->bin);
	if (back != b->prev && !b->backwards)
		one_sided(g, sink, b, back, fits);
	if (back != b->prev && !fits) {
		g->broken[b->arena] = true;
		return false; /* nothing speaks for it */
	}
	if (!block_state_is_used(state) && state != BLOCK_FREE && state != BLOCK_LOST) {
		met_again(g, sink, b, state);
		return false;
	}
	if (state == BLOCK_LOST && b->bin > 1 && b->bin < 64) { /* the list knows its size */
		uint64_t low, high;
		bin_range(g, b->bin, &low, &high);
		if (size != low)
			glibc_anchor(g, b->at + low, 0);
	}
	if (sink->before && sink->before(sink->ctx, b->at, &before, &state_before) && state_before == BLOCK_LOST)
		glibc_anchor(g, b->at, 0); /* that it was found is chance: what lies before it was judged without its list's word */
	if (block_state_is_used(state))
		called_used(g, sink, b, size, back == b->prev);
	if (!b->backwards)
		check_size(g, sink, b, size);
	if (b->bin >= 64 && !b->backwards)
		check_leader(g, sink, b, size);
	if (!sink->listed(sink->ctx, b->at, size, bin_state(b->bin)))
		return false;
	glibc_count(g, b->list, size);
	b->prev = b->at;
	b->prev_size = size;
	b->at = on;
	sink->prefetch(sink->ctx, on);
	return true;
}

static bool open_bin(struct glibc *g, int arena, unsigned bin, bool backwards, struct bin_walk *ret)
{
	uint64_t pair = g->alloc->arenas.at[arena].address + g->l->arena.bins + (uint64_t)(bin - 1) * 2 * g->w, link;
	uint64_t head = pair - 2 * g->w;
	if (!image_word(g->img, pair + (backwards ? g->w : 0), &link))
		return false;
	*ret = (struct bin_walk){ .arena = arena, .bin = bin, .backwards = backwards, .head = head, .prev = head, .at = link, .list = -1 };
	return true;
}

static ptrdiff_t record_bin(struct glibc *g, const struct bin_walk *b)
{
	struct alloc_list l = { .state = bin_state(b->bin), .arena = b->arena, .tcache = -1, .index = b->bin, .head = b->head + 2 * g->w };
	bin_range(g, b->bin, &l.low, &l.high);
	return glibc_record(g, &l);
}

/* Bins of broken arenas once more, from their ends. */
static void walk_backwards(struct glibc *g, const struct chunk_sink *sink)
{
	for (size_t i = 0; i < g->alloc->arenas.n; i++)
		for (unsigned bin = 1; g->broken[i] && bin < N_BINS - 1 && !interrupted; bin++) {
			struct bin_walk b;
			if (open_bin(g, (int)i, bin, true, &b))
				while (bin_step(g, sink, &b))
					;
		}
}

void glibc_walk_bins(struct glibc *g, const struct chunk_sink *sink)
{
	VEC(struct bin_walk) open = { 0 };
	for (size_t i = 0; i < g->alloc->arenas.n; i++) {
		for (unsigned bin = 1; g->alloc->arenas.at[i].walked_bytes && bin < N_BINS - 1; bin++) {
			struct bin_walk b, *slot;
			if (!open_bin(g, (int)i, bin, false, &b))
				continue;
			slot = vec_push(&open);
			if (!slot)
				break;
			b.list = record_bin(g, &b);
			*slot = b;
		}
	}
	while (open.n && !interrupted)
		for (size_t i = 0; i < open.n;)
			if (bin_step(g, sink, &open.at[i]))
				i++;
			else
				open.at[i] = open.at[--open.n];
	vec_free(&open);
	walk_backwards(g, sink);
}

/* Builds the index from the allocator's stream of chunks.
 *
 * A region is an allocator segment. Its groups hold a bit per granule where a chunk starts; 7 words of bits and the rank fill
 * one cache line, so that a look-up costs one miss. States take four bits, in the order of the walk, which is the order of the
 * ids. The same walk then refines states from malloc's lists through the finished index. */
#include "flotsam/blocks.h"

#include <sys/mman.h>
#include <unistd.h>

struct builder {
	struct blocks *b;
	VEC(uint8_t) state;	/* two ids a byte */
	block_id n;		/* ids given */
	struct region *r;
	size_t next_region;
	const struct segment *segment;
	bool failed;
};

_Static_assert(BLOCK_STATES <= 16, "a state has four bits");

static void put_state(uint8_t *states, block_id id, enum block_state state)
{
	unsigned shift = id % 2 * 4;
	states[id / 2] = (uint8_t)((states[id / 2] & ~(15u << shift)) | (unsigned)state << shift);
}

static bool open_region(struct builder *bd, const struct segment *s)
{
	struct blocks *b = bd->b;
	struct region *r = &b->regions[b->n_regions];
	*r = (struct region){ .start = s->start, .end = s->end, .first_id = bd->n, .arena = s->arena,
			      .segment = (uint32_t)(s - b->alloc->segments.at) };
	if (s->arena == ARENA_MMAP) {
		r->marks = calloc(1, sizeof *r->marks);
		if (!r->marks)
			return false;
	} else {
		r->n_groups = region_granules(b, r) / GROUP_GRANULES + 1;
		size_t bytes = r->n_groups * sizeof *r->groups;
		void *p = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return false;
		madvise(p, 2 * bytes, MADV_HUGEPAGE);
		r->groups = p;
		r->marks = (uint64_t *)((char *)p + bytes);
		b->bytes += 2 * bytes;
	}
	b->n_regions++;
	bd->r = r;
	bd->segment = s;
	return true;
}

static bool on_chunk(void *ctx, const struct segment *s, uint64_t chunk, uint64_t size, enum block_state state)
{
	struct builder *bd = ctx;
	(void)size;
	if (bd->segment != s && !open_region(bd, s))
		return false;
	if (bd->n >= BLOCK_NONE - 1)
		return false;
	if (bd->n / 2 >= bd->state.cap && !vec_grow_((void **)&bd->state.at, &bd->state.cap, bd->state.cap + 4096, 1))
		return false;
	put_state(bd->state.at, bd->n++, state);
	bd->b->seen |= 1u << state;
	bd->r->n_ids++;
	if (bd->r->groups) {
		uint64_t g = (chunk - bd->r->start) >> bd->b->granule_shift;
		bd->r->groups[g / GROUP_GRANULES].bits[g % GROUP_GRANULES / 64] |= 1ul << g % GROUP_GRANULES % 64;
	}
	return true;
}

static void rank_region(struct region *r)
{
	uint32_t id = r->first_id, back = 0;
	for (uint64_t i = 0; i < r->n_groups; i++) {
		struct start_group *g = &r->groups[i];
		g->rank = id;
		g->back = back;
		uint32_t n = 0;
		for (int w = 0; w < GROUP_WORDS; w++)
			n += bits_set(g->bits[w]);
		id += n;
		back = n ? 1 : back ? back + 1 : 0;
	}
}

/* Ranks say which group an id is in, by a search through all of them: these cut it short. */
static bool make_hints(struct blocks *b, struct region *r)
{
	size_t n = r->n_ids / HINT_IDS + 1, next = 0;
	r->hints = malloc(n * sizeof *r->hints);
	if (!r->hints)
		return false;
	for (uint64_t i = 0; i < r->n_groups && next < n; i++) {
		block_id end = i + 1 < r->n_groups ? r->groups[i + 1].rank : r->first_id + r->n_ids;
		for (; next < n && r->first_id + next * HINT_IDS < end; next++)
			r->hints[next] = (uint32_t)i;
	}
	/* Behind the last id of all. */
	for (; next < n; next++)
		r->hints[next] = (uint32_t)(r->n_groups - 1);
	b->bytes += n * sizeof *r->hints;
	return true;
}

static bool make_window(struct blocks *b, struct window *w, size_t from, size_t to)
{
	if (from == to)
		return true;
	w->low = b->regions[from].start;
	w->bytes = b->regions[to - 1].end - w->low;
	for (w->shift = 16; w->bytes >> w->shift > 1u << 20; w->shift++)
		;
	size_t slots = (w->bytes >> w->shift) + 1, r = from;
	w->slots = calloc(slots, sizeof *w->slots);
	if (!w->slots)
		return false;
	for (size_t i = 0; i < slots; i++) {
		while (r + 1 < to && b->regions[r].end <= w->low + ((uint64_t)i << w->shift))
			r++;
		w->slots[i] = (uint32_t)r;
	}
	b->bytes += slots * sizeof *w->slots;
	return true;
}

/* Splits the regions at the widest gap between two of them. */
static bool make_windows(struct blocks *b)
{
	size_t split = b->n_regions;
	uint64_t widest = 0;
	for (size_t i = 1; i < b->n_regions; i++) {
		uint64_t gap = b->regions[i].start - b->regions[i - 1].end;
		if (gap > widest) {
			widest = gap;
			split = i;
		}
	}
	return make_window(b, &b->windows[0], 0, split) && make_window(b, &b->windows[1], split, b->n_regions);
}

/* Exactly the start of a chunk? */
static block_id exact(const struct blocks *b, uint64_t chunk, uint64_t *ret_size)
{
	struct region *r = blocks_region(b, chunk);
	if (!r)
		return BLOCK_NONE;
	if (!r->groups) {
		*ret_size = r->end - r->start;
		return chunk == r->start ? r->first_id : BLOCK_NONE;
	}
	uint64_t g = region_granule(b, r, chunk), n = region_granules(b, r);
	if (r->start + (g << b->granule_shift) != chunk || !region_is_start(r, g))
		return BLOCK_NONE;
	uint64_t next = region_start_after(r, g, n);
	*ret_size = (next == n ? r->end : r->start + (next << b->granule_shift)) - chunk;
	return region_rank(r, g);
}

static bool on_get(void *ctx, uint64_t chunk, uint64_t *ret_size, enum block_state *ret_state)
{
	struct builder *bd = ctx;
	block_id id = exact(bd->b, chunk, ret_size);
	if (id == BLOCK_NONE)
		return false;
	*ret_state = blocks_state(bd->b, id);
	return true;
}

static bool on_listed(void *ctx, uint64_t chunk, uint64_t size, enum block_state state)
{
	struct builder *bd = ctx;
	block_id id = exact(bd->b, chunk, &size);
	if (id == BLOCK_NONE)
		return false;
	enum block_state old = blocks_state(bd->b, id);
	if (old != BLOCK_FREE && old != BLOCK_LOST && !block_state_is_used(old))
		return false;
	put_state(bd->b->states, id, state);
	bd->b->seen |= 1u << state;
	return true;
}

static void on_prefetch(void *ctx, uint64_t chunk)
{
	struct builder *bd = ctx;
	const uint8_t *p;
	struct region *r = blocks_region(bd->b, chunk);
	if (!r || !r->groups)
		return;
	__builtin_prefetch(&r->groups[((chunk - r->start) >> bd->b->granule_shift) / GROUP_GRANULES]);
	if (image_window(bd->b->image, chunk, &p))
		__builtin_prefetch(p);
}

static bool on_next_unlisted(void *ctx, uint64_t *cursor, uint64_t *ret_chunk, uint64_t *ret_size)
{
	struct builder *bd = ctx;
	const struct blocks *b = bd->b;
	for (uint64_t id = *cursor; id < b->n && !interrupted; id++) {
		if (blocks_state(b, (block_id)id) != BLOCK_FREE)
			continue;
		*cursor = id + 1;
		*ret_chunk = blocks_payload(b, (block_id)id) - b->header;
		*ret_size = blocks_chunk_bytes(b, (block_id)id);
		return true;
	}
	return false;
}

static bool on_before(void *ctx, uint64_t chunk, uint64_t *ret_chunk, enum block_state *ret_state)
{
	const struct blocks *b = ((struct builder *)ctx)->b;
	uint64_t size;
	block_id id = exact(b, chunk, &size);
	struct region *r = id == BLOCK_NONE ? NULL : blocks_region(b, chunk);
	if (!r || !r->groups || chunk == r->start)
		return false;
	uint64_t g = region_start_before(r, region_granule(b, r, chunk) - 1);
	if (g == UINT64_MAX)
		return false;
	*ret_chunk = r->start + (g << b->granule_shift);
	*ret_state = blocks_state(b, id - 1);
	return true;
}

static void on_unwind(void *ctx, const struct segment *s, uint64_t from, uint64_t last)
{
	struct builder *bd = ctx;
	struct region *r = bd->r;
	if (bd->segment != s || !r->groups)
		return;
	for (uint64_t g = (from - r->start) >> bd->b->granule_shift; g <= (last - r->start) >> bd->b->granule_shift; g++) {
		uint64_t *bits = &r->groups[g / GROUP_GRANULES].bits[g % GROUP_GRANULES / 64], bit = 1ul << g % GROUP_GRANULES % 64;
		if (!(*bits & bit))
			continue;
		*bits &= ~bit;
		bd->n--;
		r->n_ids--;
	}
}

static void free_regions(struct blocks *b)
{
	for (size_t i = 0; i < b->n_regions; i++) {
		struct region *r = &b->regions[i];
		free(r->hints);
		if (r->groups)
			munmap(r->groups, 2 * r->n_groups * sizeof *r->groups);
		else
			free(r->marks);
	}
	b->n_regions = 0;
}

static void on_restart(void *ctx)
{
	struct builder *bd = ctx;
	struct blocks *b = bd->b;
	free_regions(b);
	for (int i = 0; i < 2; i++) {
		free(b->windows[i].slots);
		b->windows[i] = (struct window){ 0 };
	}
	free(b->states);
	b->states = NULL;
	b->n = 0;
	b->bytes = 0;
	vec_free(&bd->state);
	bd->n = 0;
	bd->r = NULL;
	bd->segment = NULL;
}

/* The lists may be asked for only when all chunks are in: the first question finishes the index. */
static bool finish_chunks(struct builder *bd)
{
	struct blocks *b = bd->b;
	if (b->states)
		return !bd->failed;
	b->n = bd->n;
	b->states = realloc(bd->state.at, bd->n / 2 + 1u);
	if (!b->states)
		return false;
	bd->state.at = NULL;
	for (size_t i = 0; i < b->n_regions; i++) {
		struct region *r = &b->regions[i];
		if (!r->groups)
			continue;
		rank_region(r);
		bd->failed |= !make_hints(b, r);
	}
	b->bytes += b->n / 2;
	bd->failed |= !make_windows(b);
	return !bd->failed;
}

static bool get_when_ready(void *ctx, uint64_t chunk, uint64_t *ret_size, enum block_state *ret_state)
{
	return finish_chunks(ctx) && on_get(ctx, chunk, ret_size, ret_state);
}

static bool next_when_ready(void *ctx, uint64_t *cursor, uint64_t *ret_chunk, uint64_t *ret_size)
{
	return finish_chunks(ctx) && on_next_unlisted(ctx, cursor, ret_chunk, ret_size);
}

struct err *blocks_build(struct alloc *a, struct image *img, struct blocks **ret)
{
	struct blocks *b = calloc(1, sizeof *b);
	if (!b)
		return err_nomem();
	b->alloc = a;
	b->image = img;
	b->header = a->facts.header;
	b->word = a->facts.header / 2;
	b->granule_shift = (unsigned)__builtin_ctz(a->facts.granule);
	b->regions = calloc(a->segments.n + 1, sizeof *b->regions);
	struct builder bd = { .b = b };
	struct chunk_sink sink = { &bd, on_chunk, on_listed, get_when_ready, on_prefetch, next_when_ready, on_before, on_unwind, on_restart };
	struct err *e = b->regions ? alloc_walk(a, img, &sink) : err_nomem();
	if (!e && !finish_chunks(&bd))
		e = err_nomem();
	free(bd.state.at);
	if (e) {
		blocks_free(b);
		return e;
	}
	*ret = b;
	return NULL;
}

void blocks_drop_marks(struct blocks *b)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	for (size_t i = 0; i < b->n_regions; i++) {
		const struct region *r = &b->regions[i];
		uintptr_t from = align_up((uintptr_t)r->marks, page), to = align_up((uintptr_t)(r->marks + r->n_groups * 8), page);
		if (r->groups && from < to)
			madvise((void *)from, to - from, MADV_DONTNEED);
	}
}

void blocks_free(struct blocks *b)
{
	if (!b)
		return;
	free_regions(b);
	free(b->regions);
	free(b->windows[0].slots);
	free(b->windows[1].slots);
	free(b->states);
	free(b);
}

/* Look-ups in the finished index. Immutable: any number of threads may look at once. */
#include "flotsam/blocks.h"

/* A chunk's first word belongs to the block before it, unless there is none. */
static uint64_t granule_before(const struct blocks *b, const struct region *r, uint64_t address)
{
	uint64_t off = address - r->start;
	return region_start_before(r, (off < b->word ? off : off - b->word) >> b->granule_shift);
}

block_id blocks_at(const struct blocks *b, uint64_t address)
{
	const struct region *r = blocks_region(b, address);
	if (!r)
		return BLOCK_NONE;
	if (!r->groups)
		return r->first_id;
	uint64_t g = granule_before(b, r, address);
	return g == UINT64_MAX ? BLOCK_NONE : region_rank(r, g);
}

/* The last group with a start, seen from this one; UINT64_MAX when none is before it. */
static uint64_t last_before(const struct region *r, uint64_t group)
{
	return r->groups[group].back ? group - r->groups[group].back : UINT64_MAX;
}

static bool first_start(const struct start_group *s, uint64_t *ret)
{
	for (uint64_t w = 0; w < GROUP_WORDS; w++)
		if (s->bits[w]) {
			*ret = w * 64 + (uint64_t)__builtin_ctzl(s->bits[w]);
			return true;
		}
	return false;
}

/* All groups up to the one that is looked for, and it itself, see the same last group before them; those behind it do not. */
uint64_t region_start_far(const struct region *r, uint64_t group, uint64_t n_granules)
{
	uint64_t in, low = group + 1, step = 1;
	if (low >= r->n_groups)
		return n_granules;
	uint64_t seen = last_before(r, low), high = low + 1;
	while (high < r->n_groups && last_before(r, high) == seen) {
		low = high;
		high = high + (step *= 2);
	}
	high = high < r->n_groups ? high : r->n_groups;
	while (high - low > 1) {
		uint64_t mid = (low + high) / 2;
		*(last_before(r, mid) == seen ? &low : &high) = mid;
	}
	if (!first_start(&r->groups[low], &in))
		return n_granules;
	uint64_t g = low * GROUP_GRANULES + in;
	return g < n_granules ? g : n_granules;
}

static const struct region *region_of_id(const struct blocks *b, block_id id)
{
	size_t lo = 0, hi = b->n_regions;
	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;
		if (b->regions[mid].first_id <= id)
			lo = mid;
		else
			hi = mid;
	}
	/* Empty regions share their first id with the next one. */
	while (lo + 1 < b->n_regions && !b->regions[lo].n_ids)
		lo++;
	return &b->regions[lo];
}

/* Granule of the id-th start: by rank to the group, by counting to the bit. */
static uint64_t select_start(const struct region *r, block_id id)
{
	size_t hint = (id - r->first_id) / HINT_IDS, hints = r->n_ids / HINT_IDS + 1;
	uint64_t lo = r->hints[hint], hi = hint + 1 < hints ? r->hints[hint + 1] + 1ull : r->n_groups;
	while (hi - lo > 1) {
		uint64_t mid = (lo + hi) / 2;
		if (r->groups[mid].rank <= id)
			lo = mid;
		else
			hi = mid;
	}
	const struct start_group *s = &r->groups[lo];
	uint32_t left = id - s->rank;
	for (int w = 0; w < GROUP_WORDS; w++) {
		uint64_t bits = s->bits[w];
		uint32_t n = bits_set(bits);
		if (left >= n) {
			left -= n;
			continue;
		}
		while (left--)
			bits &= bits - 1;
		return lo * GROUP_GRANULES + (uint64_t)w * 64 + (uint64_t)__builtin_ctzl(bits);
	}
	return 0;
}

static uint64_t chunk_of(const struct blocks *b, block_id id, const struct region **ret_region, uint64_t *ret_bytes)
{
	const struct region *r = region_of_id(b, id);
	*ret_region = r;
	if (!r->groups) {
		*ret_bytes = r->end - r->start;
		return r->start;
	}
	uint64_t g = select_start(r, id), n = region_granules(b, r), next = region_start_after(r, g, n);
	uint64_t chunk = r->start + (g << b->granule_shift);
	*ret_bytes = (next == n ? r->end : r->start + (next << b->granule_shift)) - chunk;
	return chunk;
}

uint64_t blocks_payload(const struct blocks *b, block_id id)
{
	const struct region *r;
	uint64_t bytes;
	return chunk_of(b, id, &r, &bytes) + b->header;
}

uint64_t blocks_chunk_bytes(const struct blocks *b, block_id id)
{
	const struct region *r;
	uint64_t bytes;
	chunk_of(b, id, &r, &bytes);
	return bytes;
}

uint64_t blocks_usable(const struct blocks *b, block_id id)
{
	const struct region *r;
	uint64_t bytes, chunk = chunk_of(b, id, &r, &bytes);
	return alloc_usable(b->alloc, &b->alloc->segments.at[r->segment], chunk, bytes);
}

void blocks_place(const struct blocks *b, block_id id, struct block_place *ret)
{
	const struct region *r;
	uint64_t bytes, chunk = chunk_of(b, id, &r, &bytes);
	*ret = (struct block_place){ id, chunk + b->header, alloc_usable(b->alloc, &b->alloc->segments.at[r->segment], chunk, bytes) };
}

bool blocks_find(const struct blocks *b, uint64_t address, struct block_place *ret)
{
	const struct region *r = blocks_region(b, address);
	if (!r)
		return false;
	if (!r->groups) {
		blocks_place(b, r->first_id, ret);
		return true;
	}
	uint64_t g = granule_before(b, r, address), n = region_granules(b, r);
	if (g == UINT64_MAX)
		return false;
	uint64_t next = region_start_after(r, g, n), chunk = r->start + (g << b->granule_shift);
	uint64_t bytes = (next == n ? r->end : r->start + (next << b->granule_shift)) - chunk;
	*ret = (struct block_place){ region_rank(r, g), chunk + b->header, alloc_usable(b->alloc, &b->alloc->segments.at[r->segment], chunk, bytes) };
	return true;
}

void blocks_prefetch_id(const struct blocks *b, block_id id)
{
	const struct region *r = region_of_id(b, id);
	if (!r->groups)
		return;
	size_t hint = (id - r->first_id) / HINT_IDS, in = (id - r->first_id) % HINT_IDS;
	uint64_t lo = r->hints[hint], hi = hint < r->n_ids / HINT_IDS ? r->hints[hint + 1] : r->n_groups - 1;
	/* Nearly: between two hints blocks lie evenly. */
	__builtin_prefetch(&r->groups[lo + (hi - lo) * in / HINT_IDS]);
}

void blocks_prefetch(const struct blocks *b, uint64_t address)
{
	const struct region *r = blocks_region(b, address);
	if (r && r->groups)
		__builtin_prefetch(&r->groups[region_granule(b, r, address) / GROUP_GRANULES]);
}

int blocks_arena(const struct blocks *b, block_id id)
{
	return region_of_id(b, id)->arena;
}

void blocks_begin(const struct blocks *b, struct block_cursor *c)
{
	*c = (struct block_cursor){ .b = b, .id = BLOCK_NONE };
}

void blocks_seek(struct block_cursor *c, block_id id)
{
	const struct region *r;
	uint64_t bytes;
	const struct blocks *b = c->b;
	*c = (struct block_cursor){ .b = b, .id = BLOCK_NONE };
	if (!id || id >= b->n) {
		c->region_ = id ? b->n_regions : 0;
		return;
	}
	c->next_ = chunk_of(b, id, &r, &bytes);
	c->region_ = (size_t)(r - b->regions);
	c->id = id - 1;
}

static bool next_region(struct block_cursor *c)
{
	const struct blocks *b = c->b;
	const struct region *r = &b->regions[c->region_];
	while (c->id >= r->first_id + r->n_ids) {
		c->next_ = 0;
		if (++c->region_ >= b->n_regions)
			return false;
		r++;
	}
	return true;
}

/* The chunk at next_, whose end is sought from its start. */
static void next_in_region(struct block_cursor *c, const struct region *r)
{
	const struct blocks *b = c->b;
	uint64_t n = region_granules(b, r), next;
	c->chunk = c->next_ ? c->next_ : r->start;
	next = region_start_after(r, region_granule(b, r, c->chunk), n);
	if (next == n) {
		c->next_ = r->end;
	} else {
		uint64_t in = next % GROUP_GRANULES;
		uint64_t bits = r->groups[next / GROUP_GRANULES].bits[in / 64];
		c->next_ = r->start + (next << b->granule_shift);
		c->base_ = r->start + ((next - in % 64) << b->granule_shift);
		c->starts_ = bits >> in % 64 >> 1 << in % 64 << 1;
	}
	c->chunk_bytes = c->next_ - c->chunk;
	c->usable = c->chunk_bytes - b->word; /* a chunk borrows the first word of the next */
}

bool blocks_next_far_(struct block_cursor *c)
{
	const struct blocks *b = c->b;
	if (c->region_ >= b->n_regions)
		return false;
	c->id = c->id == BLOCK_NONE ? 0 : c->id + 1;
	if (c->id >= b->regions[c->region_].first_id + b->regions[c->region_].n_ids && !next_region(c))
		return false;
	const struct region *r = &b->regions[c->region_];
	c->arena = r->arena;
	c->state = blocks_state(b, c->id);
	if (!r->groups) {
		c->chunk = r->start;
		c->chunk_bytes = r->end - r->start;
		c->usable = alloc_usable(b->alloc, &b->alloc->segments.at[r->segment], c->chunk, c->chunk_bytes);
	} else {
		next_in_region(c, r);
	}
	c->payload = c->chunk + b->header;
	return true;
}

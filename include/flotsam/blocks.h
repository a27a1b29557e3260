/* blocks: the index: address -> block in O(1). A bit per malloc granule where a chunk starts, rank counts beside it, ids
 * dense in address order; an mmapped block is a region of its own. Immutable once built. */
#ifndef FLOTSAM_BLOCKS_H
#define FLOTSAM_BLOCKS_H

#include "flotsam/alloc.h"

typedef uint32_t block_id;
#define BLOCK_NONE UINT32_MAX

/* One cache line: chunk starts of 7 * 64 granules, and the rank. */
enum { GROUP_WORDS = 7, GROUP_GRANULES = GROUP_WORDS * 64, HINT_IDS = 256 };
struct start_group {
	uint64_t bits[GROUP_WORDS];
	uint32_t rank;	/* ids before this group, within all blocks */
	uint32_t back;	/* groups back to the last one with a start; 0: none before in the region */
};

struct region { /* a segment of the allocator */
	uint64_t start, end;		/* of its chunks */
	struct start_group *groups;	/* NULL: one mmapped block, id first_id */
	uint64_t *marks;		/* same shape: 8 words a group, the eighth unused; one word when mmapped */
	uint64_t n_groups;
	uint32_t *hints;		/* the group of every HINT_IDS-th id, so that a block is found by its id at once */
	block_id first_id, n_ids;
	int arena;			/* index, or ARENA_MMAP */
	uint32_t segment;		/* index into the allocator's segments */
};
/* Addresses are looked up in two windows, so that what lies between the brk heap and the mapped ones is not asked for. */
struct window {
	uint64_t low, bytes;		/* all regions of the window lie in [low, low + bytes) */
	unsigned shift;			/* a slot is 1 << shift bytes */
	uint32_t *slots;		/* index of the first region that ends behind the slot's start */
};

struct blocks {
	struct alloc *alloc;		/* borrowed */
	struct image *image;		/* borrowed */
	struct region *regions;		/* sorted; ids are dense in address order */
	size_t n_regions;
	struct window windows[2];	/* the second may be empty */
	uint32_t n;			/* blocks: used, free and bookkeeping */
	uint8_t *states;		/* enum block_state, two ids a byte */
	uint32_t seen;			/* bit per state that some block has, or had during the walk */
	unsigned granule_shift;
	unsigned header;		/* payload - chunk */
	unsigned word;
	uint64_t bytes;			/* memory of the index itself */
};

struct err *blocks_build(struct alloc *a, struct image *img, struct blocks **ret) MUST_CHECK;
void blocks_free(struct blocks *b);
/* Gives the memory of the marks back: they are undefined until somebody sets them all. */
void blocks_drop_marks(struct blocks *b);

/* The block whose usable bytes (or header) hold address; BLOCK_NONE when none. */
block_id blocks_at(const struct blocks *b, uint64_t address);
uint64_t blocks_payload(const struct blocks *b, block_id id);	/* address of the target */
uint64_t blocks_usable(const struct blocks *b, block_id id);	/* bytes */
uint64_t blocks_chunk_bytes(const struct blocks *b, block_id id);
/* The three above at once. */
struct block_place { block_id id; uint64_t payload, usable; };
bool blocks_find(const struct blocks *b, uint64_t address, struct block_place *ret); /* false: no block */
void blocks_place(const struct blocks *b, block_id id, struct block_place *ret);
/* Fetches what these will read: of an id, of an address. */
void blocks_prefetch_id(const struct blocks *b, block_id id);
void blocks_prefetch(const struct blocks *b, uint64_t address);
int blocks_arena(const struct blocks *b, block_id id);		/* index or ARENA_MMAP */
static inline enum block_state blocks_state(const struct blocks *b, block_id id) { return (enum block_state)(b->states[id / 2] >> id % 2 * 4 & 15); }

/* Iterates all blocks in id order, cheaper than the calls above: fields of the current block. */
struct block_cursor {
	const struct blocks *b;
	block_id id;		/* valid after blocks_next() returned true */
	uint64_t chunk, payload, usable, chunk_bytes;
	enum block_state state;
	int arena;
	size_t region_;
	uint64_t next_;		/* chunk address to go on from */
	uint64_t starts_, base_; /* starts behind next_ in its word of the bitmap; where that word begins */
};
void blocks_begin(const struct blocks *b, struct block_cursor *c);
/* Goes on at this block: the next blocks_next() gives it. */
void blocks_seek(struct block_cursor *c, block_id id);
/* The region of the current block. */
static inline const struct region *blocks_cursor_region(const struct block_cursor *c) { return &c->b->regions[c->region_]; }

/* To a block whose end no start in the word at hand tells. */
bool blocks_next_far_(struct block_cursor *c);
static inline bool blocks_next(struct block_cursor *c)
{
	if (!c->starts_)
		return blocks_next_far_(c);
	c->id++;
	c->state = blocks_state(c->b, c->id);
	c->chunk = c->next_;
	c->next_ = c->base_ + ((uint64_t)__builtin_ctzl(c->starts_) << c->b->granule_shift);
	c->starts_ &= c->starts_ - 1;
	c->payload = c->chunk + c->b->header;
	c->chunk_bytes = c->next_ - c->chunk;
	c->usable = c->chunk_bytes - c->b->word; /* a chunk borrows the first word of the next */
	return true;
}

/* The look-up itself, inline: marking makes hundreds of millions of them. Addresses of chunks, not of payloads. */

/* The region that holds address, or NULL. */
static inline struct region *blocks_region(const struct blocks *b, uint64_t address)
{
	for (int i = 0; i < 2; i++) {
		const struct window *w = &b->windows[i];
		uint64_t off = address - w->low;
		if (off >= w->bytes)
			continue;
		struct region *r = &b->regions[w->slots[off >> w->shift]], *end = b->regions + b->n_regions;
		while (r < end && r->end <= address)
			r++;
		return r < end && r->start <= address ? r : NULL;
	}
	return NULL;
}

/* Granule of the last chunk start at or before granule g; UINT64_MAX when none. */
static inline uint64_t region_start_before(const struct region *r, uint64_t g)
{
	uint64_t group = g / GROUP_GRANULES, in = g % GROUP_GRANULES;
	const struct start_group *s = &r->groups[group];
	unsigned top = 63 - in % 64;
	int w = (int)(in / 64);
	uint64_t bits = s->bits[w] << top >> top;
	while (!bits && w > 0)
		bits = s->bits[--w];
	if (!bits) {
		if (!s->back)
			return UINT64_MAX;
		group -= s->back;
		s = &r->groups[group];
		for (w = GROUP_WORDS - 1; w >= 0 && !(bits = s->bits[w]); w--)
			;
	}
	return group * GROUP_GRANULES + (uint64_t)w * 64 + 63 - (uint64_t)__builtin_clzl(bits);
}

/* Granule of the first chunk start in a group behind this one; n_granules when none. In the time of a binary search: a large
 * block that many words point into is asked for its size by each of them. */
uint64_t region_start_far(const struct region *r, uint64_t group, uint64_t n_granules);
/* Granule of the first chunk start behind granule g; n_granules when none. */
static inline uint64_t region_start_after(const struct region *r, uint64_t g, uint64_t n_granules)
{
	uint64_t group = ++g / GROUP_GRANULES, far = (group + 2) * GROUP_GRANULES;
	for (uint64_t end = far < n_granules ? far : n_granules; g < end;) {
		uint64_t in = g % GROUP_GRANULES;
		uint64_t bits = r->groups[g / GROUP_GRANULES].bits[in / 64] >> in % 64;
		if (bits) {
			g += (uint64_t)__builtin_ctzl(bits);
			return g < n_granules ? g : n_granules;
		}
		/* To the next word of the group, or to the next group: 448 is a multiple of 64. */
		g += 64 - in % 64;
	}
	return g < n_granules ? region_start_far(r, group + 1, n_granules) : n_granules;
}

/* Id of the chunk that starts at granule g. */
static inline block_id region_rank(const struct region *r, uint64_t g)
{
	const struct start_group *s = &r->groups[g / GROUP_GRANULES];
	uint64_t in = g % GROUP_GRANULES;
	uint32_t n = s->rank;
	for (uint64_t w = 0; w < in / 64; w++)
		n += bits_set(s->bits[w]);
	uint64_t below = in % 64 ? s->bits[in / 64] << (64 - in % 64) : 0;
	return n + bits_set(below);
}

static inline uint64_t region_granule(const struct blocks *b, const struct region *r, uint64_t address)
{
	return (address - r->start) >> b->granule_shift;
}

/* The last may be a part of one: on i386 a segment starts 8 bytes off and ends with its page. */
static inline uint64_t region_granules(const struct blocks *b, const struct region *r)
{
	return (r->end - r->start + (1u << b->granule_shift) - 1) >> b->granule_shift;
}

static inline bool region_is_start(const struct region *r, uint64_t g)
{
	return r->groups[g / GROUP_GRANULES].bits[g % GROUP_GRANULES / 64] >> g % GROUP_GRANULES % 64 & 1;
}

#endif

/* blocks: the index: address -> block in O(1). A bit per malloc granule where a chunk starts, rank counts beside it, ids
 * dense in address order; mmapped blocks in a small sorted table behind them. Immutable once built. */
#ifndef FLOTSAM_BLOCKS_H
#define FLOTSAM_BLOCKS_H

#include "flotsam/alloc.h"

typedef uint32_t block_id;
#define BLOCK_NONE UINT32_MAX

/* One cache line: chunk starts of 7 * 64 granules, and the rank. */
enum { GROUP_WORDS = 7, GROUP_GRANULES = GROUP_WORDS * 64 };
struct start_group {
	uint64_t bits[GROUP_WORDS];
	uint32_t rank;	/* ids before this group, within all blocks */
	uint32_t back;	/* groups back to the last one with a start; 0: none before in the region */
};

struct region { /* an arena segment */
	uint64_t start, end;
	struct start_group *groups;
	uint64_t *marks;	/* 8 words a group, the eighth unused: same shape */
	uint64_t n_groups;
	uint32_t segment;	/* index into the allocator's segments */
};
struct mapped_block { uint64_t start, chunk, payload, end; };

struct blocks {
	struct alloc *alloc;		/* borrowed */
	struct image *image;		/* borrowed */
	struct region *regions;		/* sorted */
	size_t n_regions;
	struct mapped_block *mapped;	/* sorted; ids from n_arena up */
	size_t n_mapped;
	uint32_t n_arena;		/* blocks in arenas, used, free and bookkeeping */
	uint32_t n;			/* all */
	uint8_t *state;			/* by id: enum block_state */
	unsigned granule_shift;
	unsigned header;		/* payload - chunk */
	uint64_t low, high;		/* all regions and mapped blocks lie in [low, high) */
	uint64_t low2, high2;		/* the second window: everything above the largest gap between two regions */
	struct region **slots;		/* first region that touches each 1 << slot_shift bytes from low */
	uint64_t bytes;			/* memory of the index itself */
};

struct err *blocks_build(struct alloc *a, struct image *img, struct blocks **ret) MUST_CHECK;
void blocks_free(struct blocks *b);

/* The block whose usable bytes (or header) hold address; BLOCK_NONE when none. */
block_id blocks_at(const struct blocks *b, uint64_t address);
uint64_t blocks_payload(const struct blocks *b, block_id id);	/* address of the target */
uint64_t blocks_usable(const struct blocks *b, block_id id);	/* bytes */
uint64_t blocks_chunk_bytes(const struct blocks *b, block_id id);
int blocks_arena(const struct blocks *b, block_id id);		/* index or ARENA_MMAP */
static inline enum block_state blocks_state(const struct blocks *b, block_id id) { return (enum block_state)b->state[id]; }

/* Iterates all blocks in id order, cheaper than the calls above: fields of the current block. */
struct block_cursor {
	const struct blocks *b;
	block_id id;		/* valid after blocks_next() returned true */
	uint64_t chunk, payload, usable, chunk_bytes;
	enum block_state state;
	int arena;
	size_t region_, group_, bit_;
};
void blocks_begin(const struct blocks *b, struct block_cursor *c);
bool blocks_next(struct block_cursor *c);

#endif

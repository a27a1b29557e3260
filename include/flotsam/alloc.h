/* alloc: the contract of an allocator walker, and its table. A walker turns the image into segments (address ranges that
 * belong to malloc), a stream of chunks in ascending order within a segment, and findings. */
#ifndef FLOTSAM_ALLOC_H
#define FLOTSAM_ALLOC_H

#include "flotsam/runtime.h"

enum block_state {
	BLOCK_USED,
	BLOCK_MMAPPED,	  /* used, in a mapping of its own */
	BLOCK_TCACHE,	  /* free, in a thread's cache */
	BLOCK_FASTBIN,
	BLOCK_UNSORTED,
	BLOCK_SMALLBIN,
	BLOCK_LARGEBIN,
	BLOCK_FREE,	  /* free by its neighbour's header, on no list that we know */
	BLOCK_TOP,
	BLOCK_FENCE,	  /* bookkeeping at a segment's end */
	BLOCK_IN_TRANSIT, /* between a list and the program when the picture was taken */
	BLOCK_LOST,	  /* a damaged stretch between two places where the walk could stand: live, scanned */
	BLOCK_FOREIGN,	  /* inside malloc's range but taken by somebody else's sbrk(): a root */
	BLOCK_STATES
};
const char *block_state_name(enum block_state s);
static inline bool block_state_is_used(enum block_state s) { return s == BLOCK_USED || s == BLOCK_MMAPPED; }
static inline bool block_state_is_free(enum block_state s) { return s >= BLOCK_TCACHE && s <= BLOCK_TOP; }

enum { ARENA_MMAP = -1 };

struct arena {
	uint64_t address;	/* malloc_state */
	bool main;
	bool contiguous;
	uint64_t top, top_bytes;
	bool top_doubtful;	/* top, or its size, contradicts what else is known */
	uint64_t system_mem;	/* as the arena itself counts */
	uint64_t walked_bytes;	/* sum of its segments */
	uint32_t mutex;
	unsigned heaps;
	bool consistent;	/* free by walk == free by bins, sizes chain to top */
};
struct segment { /* [header_from, end) belongs to malloc; the first chunk is at start */
	uint64_t start, end;
	int arena;		/* index, or ARENA_MMAP: exactly one mmapped block, its chunk at start */
	uint64_t header_from;	/* heap_info and malloc_state in front: [header_from, start); equal to start when none */
};

struct alloc_facts {
	const char *name;	/* "glibc" */
	char version[32];	/* "2.36", or a range such as "2.35 to 2.42" */
	const char *found_by;	/* "symbols", "file signature", "live signature", "disassembly", "heap info" */
	bool walked;
	bool quiet;		/* after the walk: nobody was inside malloc, so that each list could be judged */
	unsigned granule;	/* MALLOC_ALIGNMENT */
	unsigned header;	/* bytes in front of the payload: 2 words */
	unsigned mmap_tail;	/* bytes at an mmapped chunk's end that are not usable */
	unsigned min_chunk;
	uint64_t trim_threshold, top_pad, mmap_threshold;
	uint64_t n_mmaps, mmapped_mem;	 /* as malloc counts */
	uint64_t n_mmaps_max, arena_max; /* arena_max 0: by the number of processors */
	uint64_t tcache_count;		 /* chunks that a thread keeps of each size */
	uint64_t huge_page;		 /* unit in which the main top grows and shrinks; 0: pages */
	unsigned link_shift;		 /* a free chunk's link is XORed with its own address shifted by so much; 0: it is plain */
	bool fixed_threshold;		 /* mmap_threshold was set, and does not follow what is freed */
};

/* A list of free chunks that holds something, as the walk found it. */
struct alloc_list {
	enum block_state state;	/* of what is on it: BLOCK_TCACHE to BLOCK_LARGEBIN */
	int arena;		/* index; -1: a thread's own */
	int tcache;		/* index into tcaches; -1: an arena's */
	unsigned index;		/* as the allocator numbers it */
	uint64_t head;		/* address of the word that points at the first */
	uint64_t low, high;	/* chunk sizes that belong here; high UINT64_MAX: any */
	uint64_t chunks, bytes;
};
struct alloc_tcache {
	uint64_t address;	/* payload of the struct */
	int thread;		/* index into the picture's threads; -1: of a finished one */
};

/* What stands in front of a block. */
struct chunk_header {
	uint64_t prev_size;	/* of the chunk before where that is free; else the program's or stale */
	uint64_t field;		/* size and flags as stored */
	uint64_t size;
	bool prev_in_use, mmapped, thread_arena;
};

struct chunk_sink {
	void *ctx;
	/* chunk address and chunk size; ascending within a segment. False: stop (no memory). */
	bool (*chunk)(void *ctx, const struct segment *s, uint64_t chunk, uint64_t size, enum block_state state);
	/* A list says that this chunk is free in `state`. Called after all chunks. Returns false when there is no such
	 * chunk, or when it was listed before (the walker reports it). What is BLOCK_FREE or BLOCK_LOST may become any state. */
	bool (*listed)(void *ctx, uint64_t chunk, uint64_t size, enum block_state state);
	/* State and size of a chunk emitted before. */
	bool (*get)(void *ctx, uint64_t chunk, uint64_t *ret_size, enum block_state *ret_state);
	/* Hint that `chunk` will be listed soon. */
	void (*prefetch)(void *ctx, uint64_t chunk);
	/* The next linearly free chunk (BLOCK_FREE) that no list named, from *cursor (0 first); false at the end. */
	bool (*next_unlisted)(void *ctx, uint64_t *cursor, uint64_t *ret_chunk, uint64_t *ret_size);
	/* The chunk that ends where this one begins; false when there is none in its segment. */
	bool (*before)(void *ctx, uint64_t chunk, uint64_t *ret_chunk, enum block_state *ret_state);
	/* Takes back the chunks from this one to the last, of which s is the segment: the walker has seen that it went astray. */
	void (*unwind)(void *ctx, const struct segment *s, uint64_t from, uint64_t last);
	/* Takes back all of them: what the lists name shows that the walk is to be done again. */
	void (*restart)(void *ctx);
};

/* How an allocator's state may be found, best first. */
enum alloc_source { ALLOC_FROM_ANY, ALLOC_FROM_SYMBOLS, ALLOC_FROM_FILE, ALLOC_FROM_LIVE, ALLOC_FROM_CODE, ALLOC_FROM_HEAP, ALLOC_SOURCES };
struct alloc_options {
	enum alloc_source from; /* this way alone */
};

struct alloc {
	const struct alloc_row *row;
	struct alloc_options options;
	struct alloc_facts facts;
	VEC(struct arena) arenas;
	VEC(struct segment) segments;	/* sorted by start, do not overlap */
	VEC(struct runtime_extent) state_extents; /* malloc's own structs outside segments: no roots */
	VEC(struct alloc_tcache) tcaches;
	VEC(struct alloc_list) lists;	/* made by the walk; those of one tcache, of one arena are neighbours */
	struct findings findings;
	bool partial;			/* some heap memory could not be walked */
	void *priv;
};

struct alloc_row {
	const char *name;
	/* Where the allocator's state is, before the stop: fills `quiet`. Reads files and peeks. May be NULL. */
	struct err *(*locate)(struct target *t, struct modules *ms, const struct alloc_options *o, struct quiet_plan *quiet);
	/* Finds arenas and segments in the picture. ERR_NOT_FOUND: not this allocator. */
	struct err *(*open)(struct image *img, struct modules *ms, struct runtime *rt, struct alloc *a);
	struct err *(*walk)(struct alloc *a, struct image *img, const struct chunk_sink *sink);
	/* The header of the chunk at this address. False when it cannot be read. */
	bool (*header)(const struct alloc *a, const struct image *img, uint64_t chunk, struct chunk_header *ret);
	void (*close)(struct alloc *a);
};

struct err *alloc_locate(struct target *t, struct modules *ms, const struct alloc_options *o, struct quiet_plan *quiet) MUST_CHECK;
/* The first row that opens. When none does, *ret has facts.walked false and facts.name what was recognised or "unknown". */
struct err *alloc_open(struct image *img, struct modules *ms, struct runtime *rt, const struct alloc_options *o, struct alloc **ret) MUST_CHECK;
struct err *alloc_walk(struct alloc *a, struct image *img, const struct chunk_sink *sink) MUST_CHECK;
bool alloc_chunk_header(const struct alloc *a, const struct image *img, uint64_t chunk, struct chunk_header *ret);
void alloc_close(struct alloc *a);
/* Usable bytes of a chunk of this size in segment s. */
uint64_t alloc_usable(const struct alloc *a, const struct segment *s, uint64_t chunk, uint64_t size);

#endif

/* heap: how malloc's memory lies: what each heap holds, which of its pages are resident, what could go back to the kernel
 * and by what means, who pins the rest. Needs the walk. Bytes are those of chunks, headers included, unless said otherwise. */
#ifndef FLOTSAM_HEAP_H
#define FLOTSAM_HEAP_H

#include "flotsam/session.h"

/* Resident bytes of ranges; cheap when they are asked for in ascending order. Where residency is not known: their size. */
struct residency {
	const struct picture *p;
	size_t run_; /* the page run that the last question fell into */
};
uint64_t residency_bytes(struct residency *r, uint64_t start, uint64_t end);
uint64_t residency_swapped(struct residency *r, uint64_t start, uint64_t end);
uint64_t residency_huge(struct residency *r, uint64_t start, uint64_t end); /* in transparent huge pages */

struct tally { uint64_t chunks, bytes; };

struct heap_line { /* a range that an arena grows and shrinks as a whole; an arena; all mmapped blocks */
	int arena;		/* index, or ARENA_MMAP */
	uint64_t start, end;	/* malloc's header included; of an arena: the address of its record, 0 */
	uint64_t bytes, resident;
	unsigned heaps;
	struct tally states[BLOCK_STATES];
	uint64_t largest;	/* longest run of free memory, as malloc would join it */
};
struct tally heap_used(const struct heap_line *h);
struct tally heap_free(const struct heap_line *h); /* lists and top; not what threads cache */

struct heap_survey {
	bool residency_known;
	VEC(struct heap_line) heaps;	/* by address; without mmapped blocks */
	VEC(struct heap_line) arenas;	/* by index */
	struct heap_line mmapped;	/* `heaps` counts them */
};
struct err *heap_survey(struct session *s, struct heap_survey **ret) MUST_CHECK;
void heap_survey_free(struct heap_survey *h); /* NULL allowed */

/* Free memory as malloc_trim() would find it: neighbours joined, fastbins first (malloc/malloc.c: malloc_consolidate). */
struct free_run {
	uint64_t start, end;	/* of its chunks */
	int arena;
	bool top;		/* its end is the arena's top */
	bool at_break;		/* and that is the main arena's, at the program break: trim moves the break */
	uint64_t back_from, back_to; /* the pages that malloc_trim(0) hands back, resident or not; equal: none */
	uint64_t locked_to;	/* the pages from back_to up to here stay because there is locked memory among them */
};
/* Memory that mlock() keeps: madvise() leaves it alone. By address; empty when the kernel does not tell. */
struct locked_range { uint64_t start, end; };
struct locked_ranges { VEC(struct locked_range) list; };
struct err *heap_locked(struct session *s, struct locked_ranges *ret) MUST_CHECK; /* vec_free(&ret->list) */
struct run_finder {
	struct session *s;
	const struct locked_ranges *locked;
	bool with_cached;	/* as if threads cached nothing */
	struct free_run last_;
};
/* The run that the cursor's chunk is part of; start == end when it is in none. Chunks are asked for in ascending order, each
 * free one of them. */
const struct free_run *heap_run_of(struct run_finder *f, const struct block_cursor *c);
/* The next run at or behind the cursor, which moves behind it. False at the end. */
bool heap_next_run(struct run_finder *f, struct block_cursor *c, const struct free_run **ret);

struct trim_arena { /* bytes are resident ones */
	int arena;
	uint64_t bytes;		/* malloc_trim(0) gives back now */
	uint64_t break_bytes;	/* the part of it that is the main arena's top */
	uint64_t top_bytes;	/* tops of thread arenas, which it leaves */
	uint64_t top_back;	/* the part of them that a trim threshold of 128 KiB would have given back */
	uint64_t free_bytes;	/* all free memory, cached too */
};
enum trim_when { TRIM_NOW, TRIM_HAD_IT_BEEN_SET };
struct trim_means { /* one way to get memory back */
	const char *name;	/* stable, part of the JSON */
	enum trim_when when;
	bool at_most;		/* a bound; else exact */
	uint64_t bytes;		/* resident now that would not be */
	uint64_t chunks;	/* that it is about; UINT64_MAX: not told */
	uint64_t setting, current; /* what it would be set to, what it is; UINT64_MAX: none */
	const char *how, *cost;	/* static text */
};
struct trim {
	bool residency_known;
	struct trim_arena sum;
	VEC(struct trim_arena) arenas;	/* by index */
	VEC(struct trim_means) means;
	uint64_t locked_bytes;	/* free, but in locked memory: madvise() refuses there */
	uint64_t swapped_bytes;	/* swap that malloc_trim(0) would free beside it */
};
struct err *heap_trim(struct session *s, struct trim **ret) MUST_CHECK;
void heap_trim_free(struct trim *t); /* NULL allowed */

/* A heap drawn as a strip of equal cells; a cell is what most of its bytes are. */
enum strip_kind { STRIP_USED, STRIP_CACHED, STRIP_FASTBIN, STRIP_FREE, STRIP_TOP, STRIP_OTHER, STRIP_NOTHING, STRIP_KINDS };
extern const char strip_letters[STRIP_KINDS + 1]; /* "UCBFTX-" */
struct heap_strip {
	int arena;
	uint64_t start, end;
	uint8_t *kinds;		/* n of enum strip_kind */
	bool *resident;		/* half of the cell or more is */
	size_t n;
};
struct strips {
	uint64_t cell;		/* bytes of a cell, a power of two */
	VEC(struct heap_strip) list; /* by address */
};
struct strip_range {
	uint64_t start, end;
	int arena;	/* index; -1: all */
	bool mapped;	/* blocks with mappings of their own too */
};
/* With cells as large as it takes to need about `cells` of them. */
struct err *heap_strips(struct session *s, const struct strip_range *want, uint64_t cells, struct strips **ret) MUST_CHECK;
void heap_strips_free(struct strips *l); /* NULL allowed */

/* Who pins it. "Live" is every chunk that malloc cannot hand out again: in use, cached by a thread, not walked. */
struct heap_pin {	/* the highest live block of a heap that has free memory below it */
	int arena;
	uint64_t start, end;	/* of the heap */
	block_id id;
	uint64_t block, bytes;	/* payload, size of the chunk */
	enum block_state state;
	char *label;
	uint32_t holders;	/* index into the graph's sets + 1; 0: none, or not asked for */
	uint64_t above_bytes;	/* free above it: what can go back already */
	uint64_t freed_bytes;	/* what more would join that, were it gone: itself and what is free directly below */
	uint64_t freed_resident;
	uint64_t below_bytes;	/* all that is free below it in this heap */
};
/* A page is sparse when half of it or more is free and yet something lives there. It counts for the label that has most
 * bytes on it. */
struct sparse_label {
	char *label;
	uint64_t blocks, live_bytes, pages;
	uint64_t min_size, max_size;	/* usable bytes */
	uint64_t sample;		/* payload of one of them */
};
enum { RUN_CLASSES = 64 };
struct frag {
	bool residency_known;
	uint64_t page;
	uint64_t heap_bytes, resident;	/* of arenas' heaps; blocks mapped on their own are left out */
	uint64_t used_blocks, used_bytes; /* usable bytes in them */
	uint64_t free_bytes, largest_run; /* free memory that malloc can hand out; its longest run */
	uint64_t top_bytes;		/* the part of free_bytes that is runs which end in a top */
	struct tally runs[RUN_CLASSES];	/* runs of 2^i to 2^(i+1)-1 bytes; `chunks` counts runs */
	uint64_t sparse_pages, sparse_bytes; /* sparse pages; live bytes on them */
	VEC(struct sparse_label) sparse; /* most pages first */
	VEC(struct heap_pin) pins;	/* what would be freed, most first */
};
/* Needs the walk and the types; holders are told when the graph has them. */
struct err *heap_frag(struct session *s, struct frag **ret) MUST_CHECK;
void heap_frag_free(struct frag *f); /* NULL allowed */
/* Share of the free memory that lies in runs shorter than `bytes`, 0 to 1: the kernel's unusable free space index
 * (mm/vmstat.c, Linux 6.1: unusable_free_index) applied to runs. By classes: a run counts as long as its class begins. */
double frag_unusable(const struct frag *f, uint64_t bytes);

#endif

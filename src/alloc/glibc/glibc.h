/* glibc's malloc: what its files share. Layouts are data (layout.c): one walker reads them. */
#ifndef ALLOC_GLIBC_H
#define ALLOC_GLIBC_H

#include "flotsam/alloc.h"

enum { N_BINS = 128, N_BIN_WORDS = 254 };

/* malloc_state (malloc/malloc.c). Offsets in bytes. */
struct arena_layout {
	unsigned fastbins, n_fastbins; /* 0: none */
	unsigned top, bins, next, system_mem, size;
};
/* malloc_par. */
struct params_layout {
	unsigned n_mmaps_max; /* identifies the generation */
	unsigned hp_pagesize; /* 0: none */
	unsigned n_mmaps, mmapped_mem, sbrk_base, tcache_bins, tcache_count;
};
/* tcache_perthread_struct. */
struct tcache_layout {
	unsigned bins, count_bytes, entries, size;
	bool has_key;		/* 2.29 */
	bool counts_free_slots; /* 2.42: num_slots counts down */
};

struct glibc_layout {
	const char *versions;
	unsigned since; /* minor version: 2.SINCE */
	unsigned word;
	bool tested; /* a binary of this row was at hand */
	struct arena_layout arena;
	struct params_layout params;
	struct tcache_layout tcache;
	unsigned heap_info_size, heap_info_bytes; /* sizeof, offset of `size` */
	bool safe_linking;			  /* 2.32: PROTECT_PTR */
	bool mmap_trailer;	/* 2.43: an mmapped chunk's size excludes a trailing 2 words */
	bool heap_max_hugepage; /* 2.35 to 2.41: heaps are 4 * hp_pagesize with hugetlb=2 */
};

/* The row for glibc 2.MINOR; NULL when older than the table. */
const struct glibc_layout *glibc_layout_find(unsigned word, unsigned minor);
/* The row with this `next` offset and n_mmaps_max position (0: any): for libcs without a version banner. */
const struct glibc_layout *glibc_layout_guess(unsigned word, unsigned next_offset, unsigned n_mmaps_max);
size_t glibc_layout_count(void);
const struct glibc_layout *glibc_layout_get(size_t i);

/* Where a libc keeps its state. */
struct glibc_place {
	uint64_t main_arena, params; /* params 0: not found */
	const struct glibc_layout *layout;
	unsigned minor; /* 0: no banner */
	const char *found_by;
	struct module *module;
};
/* A reader of target words; the walker's image and the survey's peek both fit. */
struct glibc_reader {
	bool (*read)(void *ctx, uint64_t address, void *to, size_t n);
	void *ctx;
	unsigned word;
	bool big;
};
bool glibc_word(const struct glibc_reader *r, uint64_t address, uint64_t *ret);

/* What it takes to find a libc's state, in the look or before it. */
struct glibc_search {
	struct modules *ms;
	struct module *libc;
	const struct arch *arch;
	const struct picture *picture; /* its mappings */
	struct glibc_reader reader;
	enum alloc_source from;
};
/* The ways in their order; each candidate must hold what an arena in use holds (glibc_place_holds). */
struct err *glibc_find(const struct glibc_search *q, struct glibc_place *ret) MUST_CHECK;
/* Layout by version or, without a banner, the one that holds at main_arena; NULL when none does. */
const struct glibc_layout *glibc_layout_at(const struct glibc_search *q, const struct glibc_place *p);
/* Bins, top, count of memory and the ring of arenas agree, as far as they can be read. */
bool glibc_place_holds(const struct glibc_search *q, const struct glibc_place *p);
/* A word of a writable segment, outside of what is read-only after relocation. */
bool glibc_is_data(const struct module *m, uint64_t address);
bool glibc_find_live(const struct glibc_search *q, struct glibc_place *p);
bool glibc_find_by_code(const struct glibc_search *q, struct glibc_place *p);
bool glibc_find_by_heap(const struct glibc_search *q, struct glibc_place *p);
/* mp_ by what stands in it; sets p->params and, without a banner, the row of the layout. */
bool glibc_find_params(const struct glibc_search *q, struct glibc_place *p);
bool glibc_params_hold(const struct glibc_search *q, const struct glibc_layout *l, uint64_t main_arena, uint64_t address);
/* Addresses of all arenas, the ring from main_arena; false when it does not close. */
bool glibc_ring(const struct glibc_reader *r, const struct glibc_place *p, uint64_t *arenas, size_t max, size_t *ret_n);

/* What the linear walk cannot judge before the lists are read. */
enum suspicion {
	SUSPECT_PREV_SIZE,  /* called free by the next header, but its size does not stand again before that */
	SUSPECT_NOT_MERGED, /* free, and the next one is free or top */
};
struct suspect {
	enum suspicion why;
	uint64_t chunk, size, found;
};

struct glibc { /* alloc.priv */
	struct alloc *alloc;
	struct image *img;
	struct runtime *rt;
	struct modules *ms;
	struct glibc_place place;
	const struct glibc_layout *l;
	const struct arch *arch;
	unsigned w, header, granule, min_chunk;
	uint64_t heap_max;
	uint64_t sbrk_base;
	uint64_t tcache_count;
	int64_t tcache_word;	/* where the pointer to a thread's cache stands, from the thread pointer */
	struct quiet_plan plan; /* malloc's code */
	bool transit_expected;	/* somebody may be inside malloc */
	bool died_inside;	/* a core's thread, of a damaged heap or of malloc's own checks */
	bool walked_twice;
	VEC(struct suspect) suspects;
	VEC(uint64_t) anchors;	/* places that lists name as chunks, and that the walk passed over; sorted */
	bool *broken;		/* per arena: a list of it ends early */
};

struct heap_info { /* as malloc/arena.c writes it at the start of a heap */
	uint64_t owner, prev, bytes, mprotect_bytes;
	bool plausible; /* bytes is a size of a heap */
};

static inline uint64_t chunk_size(uint64_t field)
{
	return field & ~(uint64_t)7;
}
enum { PREV_INUSE = 1, IS_MMAPPED = 2, NON_MAIN = 4 };

struct err *glibc_arenas(struct glibc *g) MUST_CHECK;  /* arenas and their segments */
struct err *glibc_mmapped(struct glibc *g) MUST_CHECK; /* segments of mmapped blocks */
struct err *glibc_main_segments(struct glibc *g, struct arena *a, int index) MUST_CHECK;
/* The end of the break, as far as malloc's own count tells; 0: it does not. */
uint64_t glibc_break_end(const struct glibc *g, const struct arena *a);
bool glibc_read_heap(const struct glibc *g, uint64_t heap, struct heap_info *ret);
struct err *glibc_thread_heaps(struct glibc *g, struct arena *a, int index) MUST_CHECK; /* segments of a thread arena */
bool glibc_is_arena(const struct glibc_reader *r, const struct glibc_place *p, uint64_t address);
/* Adds arenas that a broken ring does not show to the n known ones; returns how many there are. */
size_t glibc_lost_arenas(struct glibc *g, const struct glibc_reader *r, uint64_t *arenas, size_t max, size_t n);
bool glibc_is_writable(const struct glibc *g, uint64_t address);
/* Address of the first chunk at or behind `from`. */
uint64_t glibc_first_chunk(const struct glibc *g, uint64_t from);
/* Does one start at this payload address? malloc writes nothing beyond its end. */
bool glibc_is_tcache(const struct glibc *g, uint64_t payload);
/* A bin of a tcache: how many chunks its counter tells, and the first one's payload. */
bool glibc_tcache_bin(const struct glibc *g, uint64_t tcache, unsigned i, uint64_t *ret_used, uint64_t *ret_entry);
/* What a link of a tcache or fastbin that stands at `position` says. */
uint64_t glibc_reveal(const struct glibc *g, uint64_t position, uint64_t value);
void glibc_guess_lists(struct glibc *g);	       /* which row of several the lists are of, where no banner tells */
void glibc_last_words(struct glibc *g);	       /* why malloc stopped the program: a finding */
void glibc_name_others(struct glibc *g);	       /* other mallocs in use: findings */
void glibc_tcaches(struct glibc *g);		       /* tcache structs by thread */
/* Those that no thread's pointer leads to, should one be missing. When the walk is done. */
void glibc_tcaches_by_content(struct glibc *g, const struct chunk_sink *sink);
struct err *glibc_walk_segments(struct glibc *g, const struct chunk_sink *sink) MUST_CHECK;
void glibc_walk_bins(struct glibc *g, const struct chunk_sink *sink);
/* inside.c: fills quiet with malloc's code; false without memory. */
bool glibc_code(struct modules *ms, struct module *m, struct quiet_plan *quiet);
bool glibc_who_is_inside(struct glibc *g, struct module *libc);
void glibc_in_hand(struct glibc *g, const struct chunk_sink *sink); /* labels what they had in hand, when the lists are known */
void glibc_drop_doubtful(struct glibc *g); /* findings about what somebody was changing */
/* Suspects, and: free by walk == free by bins. What is left over is in transit where somebody was changing it, else a finding. */
void glibc_check(struct glibc *g, const struct chunk_sink *sink);
/* A finding about a list, unless somebody stands inside malloc: a half-made list is no damage. */
void glibc_bad_list(struct glibc *g, const struct finding *what, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The block in use that lies before this chunk and so may have been written beyond its end; 0 when there is none. */
uint64_t glibc_neighbour(const struct glibc *g, const struct chunk_sink *sink, uint64_t chunk);
/* A list names this as a chunk of this size (0: any): could it be one, that the walk passed over? Then it is an anchor. */
void glibc_anchor(struct glibc *g, uint64_t chunk, uint64_t size);
/* The record of a list; its index, because the vector may move. -1 without memory: then it is not told. */
ptrdiff_t glibc_record(struct glibc *g, const struct alloc_list *l);
void glibc_count(struct glibc *g, ptrdiff_t list, uint64_t size);
void glibc_walk_fastbins(struct glibc *g, const struct chunk_sink *sink);
void glibc_walk_tcaches(struct glibc *g, const struct chunk_sink *sink);
bool glibc_add_segment(struct glibc *g, int arena, uint64_t header_from, uint64_t start, uint64_t end);
/* Segment that holds address, or NULL. Segments must be sorted. */
const struct segment *glibc_segment_at(const struct alloc *a, uint64_t address);
void glibc_sort_segments(struct alloc *a);

#endif

/* memory: where resident memory went: by cause, by arena, by mapping; what each mapping is; the kernel's own account beside
 * it. Sizes are bytes. Strings that came from the target are raw: whoever prints escapes them. */
#ifndef FLOTSAM_MEMORY_H
#define FLOTSAM_MEMORY_H

#include "flotsam/heap.h"

/* Where resident memory went. The list is closed; its names are part of the JSON. */
enum rss_cause { RSS_IN_USE, RSS_LEAKED, RSS_POSSIBLE, RSS_FREE_TRIMMABLE, RSS_FREE_TOP, RSS_FREE_PINNED, RSS_RUNTIME, RSS_OVERHEAD,
		 RSS_FILES, RSS_SHARED_MEMORY, RSS_OTHER_MAPPINGS, RSS_STACKS, RSS_CAUSES };
const char *rss_cause_name(enum rss_cause c);

struct rss_table {
	bool known;		/* residency was readable; else `bytes` are sizes, resident or not (a core) */
	bool leaks_unknown;	/* a truncated core: leaked and possible blocks cannot be told, they count as in use */
	uint64_t bytes[RSS_CAUSES];
	uint64_t blocks[RSS_CAUSES]; /* UNKNOWN where a cause has none */
	uint64_t total;		/* pages present and not the zero page */
	uint64_t unexplained;	/* total minus the causes */
	uint64_t vmrss;		/* the kernel's counter, UNKNOWN for a core */
	uint64_t swapped;
	uint64_t free_nonresident; /* free bytes that the kernel has already back */
	uint64_t trimmable_headers; /* a part of RSS_FREE_TRIMMABLE that is no usable byte of a free chunk */
};

/* The same, split. */
struct rss_part {	/* an arena, or all mmapped blocks */
	int arena;	/* index, or ARENA_MMAP */
	uint64_t bytes[RSS_CAUSES];
	uint64_t total;
};
struct rss_group {	/* equal mappings, or blocks that libc and its kin own */
	char *name;
	uint64_t members, bytes, swapped;
};
struct rss_split {
	VEC(struct rss_part) arenas;
	VEC(struct rss_group) mappings; /* largest first */
	VEC(struct rss_group) runtime;	/* by label */
};
/* Needs the walk; the graph and the types where there are some. split may be NULL. */
struct err *memory_rss(struct session *s, struct rss_table *ret, struct rss_split *split) MUST_CHECK;
void rss_split_free(struct rss_split *s);

/* What the kernel counts: /proc/PID/smaps_rollup and status, read now, so after the stop. UNKNOWN where it does not tell. */
struct memory_account {
	uint64_t rss, pss, uss;			/* uss: pages that nobody else maps */
	uint64_t shared_clean, shared_dirty;
	uint64_t anon_huge, file_huge, shmem_huge; /* transparent huge pages: a part of rss */
	uint64_t hugetlb;			/* not a part of rss */
	uint64_t swap, swap_pss, locked, page_tables;
	uint64_t rss_anon, rss_file, rss_shmem;
};
void memory_account(struct session *s, struct memory_account *ret);

/* A mapping and what lies in it. Kinds and their names are part of the JSON. */
enum map_kind { MEMORY_FILE, MEMORY_BSS, MEMORY_HEAP, MEMORY_BLOCKS, MEMORY_STACK, MEMORY_SHARED, MEMORY_KERNEL, MEMORY_ANONYMOUS, MEMORY_KINDS };
const char *map_kind_name(enum map_kind k); /* "file", "bss", "heap", "blocks" ... */
struct memory_map {
	const struct mapping *mapping;
	enum map_kind kind;	/* of what weighs most in it: malloc, then stacks */
	uint64_t resident, swapped, huge; /* without residency: size, 0, 0 */
	uint64_t malloced, malloced_swapped; /* the part of resident and of swapped that malloc has: the kernel joins neighbours */
	char *what;		/* "heap of arena 3", "libc.so.6, code", "stack of thread 42 \"io\"" */
};
struct memory_maps {
	bool residency_known;
	VEC(struct memory_map) list; /* by address */
};
/* Needs the walk, where there is one. */
struct err *memory_maps(struct session *s, struct memory_maps **ret) MUST_CHECK;
void memory_maps_free(struct memory_maps *m); /* NULL allowed */
/* What the page at this address is: "resident", "swapped out", "not in memory"... Static text. */
const char *memory_page(const struct picture *p, uint64_t address);

#endif

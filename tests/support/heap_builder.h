/* A heap of glibc's malloc made in memory, without any process: a core of it, the libc that the core names, and the record
 * of every block. The structures are declared member by member after malloc/malloc.c and malloc/arena.c, so that the
 * offsets of src/alloc/glibc/layout.c meet a second opinion. */
#ifndef TEST_HEAP_BUILDER_H
#define TEST_HEAP_BUILDER_H

#include "synthetic_elf.h"

#include "flotsam/alloc.h"

struct made_block {
	uint64_t chunk, bytes, usable; /* chunk size as the walk shall see it */
	enum block_state state;
	int arena; /* index in the ring from main_arena, or ARENA_MMAP */
	unsigned list; /* 0: on none; chunks of one list have one number */
};

/* Somewhere a word can be damaged. */
enum field_kind {
	FIELD_SIZE,		/* of a chunk that is not free by its neighbour */
	FIELD_FREE_SIZE,
	FIELD_PREV_SIZE,	/* behind a free chunk */
	FIELD_FD, FIELD_BK, FIELD_FD_NEXTSIZE, FIELD_BK_NEXTSIZE,
	FIELD_TCACHE_NEXT, FIELD_TCACHE_KEY, FIELD_TCACHE_COUNT, FIELD_TCACHE_ENTRY,
	FIELD_FASTBIN_NEXT, FIELD_FASTBIN_HEAD,
	FIELD_HEAP_ARENA, FIELD_HEAP_PREV, FIELD_HEAP_SIZE, FIELD_HEAP_MPROTECT,
	FIELD_ARENA_TOP, FIELD_ARENA_SYSTEM_MEM, FIELD_ARENA_BIN_FD, FIELD_ARENA_BIN_BK, FIELD_ARENA_NEXT, FIELD_ARENA_BINMAP,
	FIELD_ARENA_LAST_REMAINDER,
	FIELD_TOP_SIZE, FIELD_FENCE_SIZE,
	FIELD_MMAP_PREV_SIZE, FIELD_MMAP_SIZE,
	FIELD_KINDS
};
struct made_field {
	enum field_kind kind;
	uint64_t address;
	unsigned bytes;
	uint64_t owner;	/* the chunk, arena, heap or tcache that it is part of */
	int arena;	/* that it concerns */
	unsigned list;	/* the list it links, 0: none */
};
const char *made_field_name(enum field_kind k);
struct made_word { /* any word of malloc's own, whatever it means */
	uint64_t address;
	const char *of; /* "arena", "heap_info", "mp_", "tcache", "header", "link", "tls" */
};

struct made_area {
	uint64_t address;
	struct bytes bytes;
	unsigned flags;
	const char *path; /* NULL: anonymous */
	uint64_t offset;
};

struct heap_options {
	unsigned word, minor;	/* 8 or 4; glibc 2.MINOR */
	uint64_t seed;
	bool stripped;		/* libc without symbols: found by its file image */
	bool no_foreign;	/* nobody else called sbrk() */
	unsigned chunks;	/* in a segment, 0: 40 */
	unsigned main_chunks;	/* small ones in use, added to the main arena */
	bool blank;		/* payloads are zero, else noise that points nowhere */
};

enum { GLOBALS = 8, GLOBAL_BYTES = 128 };
struct made_heap {
	struct heap_options o;
	struct made_layout *layout;
	VEC(struct made_area) areas;
	VEC(struct made_block) blocks; /* ascending */
	VEC(struct made_field) fields;
	VEC(struct made_word) words;
	uint64_t main_arena, params, libc, arenas[4];
	unsigned n_arenas, n_mmaps, n_lists;
	uint64_t mmapped_bytes, tcaches[2];
	uint64_t globals;	/* of a library's data: GLOBALS symbols g_0, g_1... of GLOBAL_BYTES each */
	uint64_t mapping;	/* a page of anonymous memory that is nobody's */
	uint64_t random;
	char library[256], globals_library[256];
	struct core_plan plan;
	struct bytes core;
	int fd;		/* the core, nameless */
	char path[32];	/* by which it can be opened */
};

/* Makes the heap, and writes its libc into directory `dir`. Aborts without memory. */
struct made_heap *heap_make(const struct heap_options *o, const char *dir);
void heap_destroy(struct made_heap *h);
/* Reads and damages a word of the core; returns what was there. */
uint64_t heap_peek(const struct made_heap *h, uint64_t address, unsigned bytes);
uint64_t heap_poke(struct made_heap *h, uint64_t address, uint64_t value, unsigned bytes);
/* Sets a general register of a thread. */
void heap_poke_register(struct made_heap *h, unsigned thread, uint64_t value);
/* The block whose chunk holds address, or NULL. */
const struct made_block *heap_block(const struct made_heap *h, uint64_t address);
uint64_t test_random(uint64_t *state); /* xorshift64*; the state must not be 0 */
#endif

/* census: a look without its bytes: which blocks there were, what malloc and the graph said of each, where resident memory was.
 * It is written to a file (flotsam-census(5)), handed from process to process, compared, and opened as a session. None of the
 * target's text is in it. The reader takes every byte for hostile. */
#ifndef FLOTSAM_CENSUS_H
#define FLOTSAM_CENSUS_H

#include "flotsam/codec.h"
#include "flotsam/session.h"

enum { CENSUS_VERSION = 1 };

/* All that is the same of many blocks. A block is its place and its kind. */
struct census_kind {
	uint64_t chunk_bytes;
	uint64_t blocks;	/* how many are of this kind */
	uint32_t label;		/* index into labels; UINT32_MAX: none, as free chunks have */
	uint32_t set;		/* index into sets + 1; 0: none */
	uint8_t state;		/* enum block_state */
	uint8_t class_of;	/* enum block_class */
	bool stack_only;
};

struct census_look { /* when it was taken, and of what */
	const char *writer;	/* flotsam's version */
	const char *kind;	/* "live" or "core" */
	uint64_t taken;		/* nanoseconds since 1970; of a core: when it was read */
	uint64_t clock;		/* nanoseconds of CLOCK_BOOTTIME; 0: unknown */
	uint64_t instance;	/* a number that the same process keeps, another does not; 0: unknown */
};

struct session_parts; /* census's own: what a session is made of */
struct census {
	uint8_t *data;		/* owned; strings below point into it */
	size_t n;
	struct census_look look;
	int pid;		/* 0: unknown */
	const char *comm, *exe;
	const struct arch *arch;
	unsigned header, granule, mmap_tail; /* as alloc_facts has them */
	bool walked, classified; /* there are blocks; they have classes */
	bool timed;		/* look.taken is the time of the look, not that of reading a core */
	bool at_most, truncated; /* what seems lost may be alive */
	VEC(struct label) labels;
	VEC(struct holder) holders;
	VEC(struct holder_set) sets;
	VEC(struct census_kind) kinds; /* most frequent first */
	const struct segment *segments; /* by address */
	size_t n_segments;
	VEC(uint32_t) counts;	/* by segment: blocks in it; they fill it */
	uint64_t n_blocks;
	struct span blocks;	/* a kind's index each, coded */
	struct span leaders;
	struct span references;	/* as graph_pack() made them; empty: there are none */
	struct session_parts *parts;
};

/* Builds the stages that it needs. Who compares looks needs no references. A heap that was not walked makes a census without blocks. */
struct err *census_make(struct session *s, bool references, struct codec_bytes *ret) MUST_CHECK;
/* Is this the beginning of one? 8 bytes are enough. */
bool census_is(const void *data, size_t n);
/* Opens the file when it is one; -1: it is none, or cannot be read. */
int census_open(const char *path);
/* All that fd holds. ERR_BAD_DATA: says which part is damaged, and how. */
struct err *census_load(int fd, const char *name, struct census **ret) MUST_CHECK;
/* Takes data over, whatever comes of it. */
struct err *census_read(uint8_t *data, size_t n, struct census **ret) MUST_CHECK;
void census_free(struct census *c); /* NULL allowed */

/* All blocks, by address. */
struct census_cursor {
	const struct census *c;
	size_t segment;
	uint64_t id, chunk;	/* of the current block */
	uint32_t kind;
	/* private: */
	size_t at;
	uint64_t next, given;
	uint32_t left;
};
void census_begin(const struct census *c, struct census_cursor *to);
bool census_next(struct census_cursor *to);

/* Usable bytes of a block of this kind. */
uint64_t census_usable(const struct census *c, const struct census_kind *k);
/* The holders of a set by names that a restart does not change: a thread's number is left out. Foreign; the caller frees. */
char *census_set_name(const struct census *c, uint32_t set);
/* Are these two looks at one and the same process? */
bool census_same_process(const struct census *a, const struct census *b);

/* The census as a session that answers whatever needs no bytes. Takes c over, whatever comes of it. */
struct err *census_session(struct census *c, const struct session_options *o, struct session **ret) MUST_CHECK;

#endif

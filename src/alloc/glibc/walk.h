/* The linear walk: what walk.c and repair.c share. */
#ifndef ALLOC_GLIBC_WALK_H
#define ALLOC_GLIBC_WALK_H

#include "glibc.h"

/* So many chunks are judged anew when a header is bad: a size that lies leads there in a few steps. */
enum { WALK_TRAIL = 16 };

struct witness;
struct walk {
	struct glibc *g;
	const struct chunk_sink *sink;
	const struct segment *s;
	const struct arena *a;
	const uint8_t *window; /* readable bytes at window_at */
	uint64_t window_at, window_n;
	uint64_t trail[WALK_TRAIL]; /* chunks emitted last, a ring */
	unsigned n_trail;
	uint64_t last;		/* the chunk before; 0: none, or not known */
	enum block_state last_state;
	bool next_lies;		/* repair.c: the header behind the chunk that is taken is not believed */
	size_t anchor;		/* the first of g->anchors that was not passed */
	size_t first_finding, first_suspect; /* of this segment */
	struct witness *witness; /* built when first needed */
};

bool walk_load(struct walk *w, uint64_t address, uint64_t *ret);
bool walk_flags_fit(const struct walk *w, uint64_t field);
bool walk_size_fits(const struct walk *w, uint64_t chunk, uint64_t size);
bool walk_is_top(const struct walk *w, uint64_t chunk);
uint64_t walk_fence(struct walk *w, uint64_t chunk, uint64_t field);
uint64_t walk_neighbour(const struct walk *w);
/* They emit; false: no memory. */
bool walk_take(struct walk *w, uint64_t chunk, uint64_t field);
bool walk_lost(struct walk *w, uint64_t chunk, uint64_t size);

/* Emits [from, to) with the most likely boundaries; *ret_end: where it stopped, which is before `to` at a segment's end mark. */
bool repair_range(struct walk *w, uint64_t from, uint64_t to, uint64_t *ret_end);
void repair_end(struct walk *w);

#endif

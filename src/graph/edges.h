/* The pointers of blocks and roots, one after the other, with what they need fetched ahead. */
#ifndef GRAPH_EDGES_H
#define GRAPH_EDGES_H

#include "graph.h"

struct pointer { /* a word in a block that points at another */
	block_id id;		/* that it points at; of packed ones BLOCK_NONE: at the address `offset`, outside the heap */
	uint64_t from, offset;	/* address of the word; where it points in the block, from the payload */
	bool packed, strong;	/* strong: of packed ones; else ask */
	enum hit hit;		/* of the picture */
	struct target_block t;
};
bool graph_pointer_is_strong(struct graph *g, const struct pointer *p);
/* Calls f for each pointer in a block. Stops when f returns false. */
typedef bool graph_pointer_fn(void *ctx, const struct pointer *p);
void graph_each_pointer(const struct graph *g, block_id id, graph_pointer_fn *f, void *ctx);

/* Edges as a stream. f is called a little later than the word was given: graph_edge_drain() hands over the rest. */
enum { EDGE_RING = 16 };
struct edge {
	struct target_block t;	/* of the picture alone, as the next two */
	uint64_t from, value;	/* address of the word (0: a register), and what it holds */
	uint32_t source;	/* the caller's word for where it stands */
	block_id id;		/* that it points at */
	bool strong;		/* to the start, or explained by an interior rule */
};
struct edge_word { uint64_t value, from; uint32_t source; enum strength strength; };
struct edge_scan {
	struct graph *g;
	void (*f)(void *ctx, const struct edge *e);
	void *ctx;
	const uint32_t *table;	/* by id: fetched before f is called; or NULL */
	bool strong_only;
	uint32_t source;	/* of words given by graph_edge_word() */
	struct edge_word ring[EDGE_RING];
	struct edge met[EDGE_RING];
	unsigned ring_at, ring_n, met_at, met_n;
};
void graph_edge_word(struct edge_scan *s, const struct root_word *w);
/* The pointers of a block; of a census payload and usable are not looked at. */
void graph_edge_block(struct edge_scan *s, block_id id, uint64_t payload, uint64_t usable, uint32_t source);
void graph_edge_drain(struct edge_scan *s);

#endif

/* Work in pieces that several threads may take, in any order. */
#ifndef GRAPH_PIECES_H
#define GRAPH_PIECES_H

#include "graph.h"

enum { MAX_THREADS = 16 };
/* To follow pointers with: one when there are so few blocks that a second would not pay. */
int graph_thread_count(const struct graph *g);
/* Calls f for each piece below n. None is begun after an interrupt. */
typedef void graph_piece_fn(void *ctx, size_t piece);
void graph_each_piece(const struct graph *g, size_t n, graph_piece_fn *f, void *ctx);

struct memory_piece { uint64_t address; const uint8_t *data; size_t n; };
struct memory_pieces {
	VEC(struct memory_piece) list;
	uint64_t bytes;	/* of all */
};
/* The bytes of the picture, those of mapped files apart. False: no memory. The caller frees the list either way. */
bool graph_cut_memory(const struct graph *g, struct memory_pieces *ret) MUST_CHECK;

struct group_piece { struct region *region; uint64_t from, to; }; /* groups; none of an mmapped block */
struct group_pieces { VEC(struct group_piece) list; };
/* The index of the blocks. The same contract. */
bool graph_cut_groups(const struct graph *g, struct group_pieces *ret) MUST_CHECK;

#endif

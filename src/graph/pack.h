/* What the two files that pack references share. */
#ifndef GRAPH_PACK_H
#define GRAPH_PACK_H

#include "packed.h"

#include <pthread.h>

struct stretch { uint64_t start, end; };
struct stretches { VEC(struct stretch) list; };

struct pack {
	struct graph *g;
	const struct graph_priv *priv;
	unsigned step;
	VEC(struct place) places;
	struct stretches named;	/* where what has a name is: modules, stacks; by address */
	pthread_mutex_t lock;	/* symbols, which are read when they are first asked for, and: */
	VEC(uint64_t) asked;	/* addresses whose names are of use: held by words in blocks, and where stale words stand */
	uint64_t sources;
	uint32_t n_batches;
	struct bits_out *batches;
	uint64_t references;
	bool nomem;
};

/* Reads a batch's sources and writes them to batches[number]. Several threads may. False: no memory. */
bool pack_batch(struct pack *p, uint32_t number) MUST_CHECK;

#endif

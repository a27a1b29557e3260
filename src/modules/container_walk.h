/* One walk over all containers: what is still to be visited, and what was counted at each name. */
#ifndef MODULES_CONTAINER_WALK_H
#define MODULES_CONTAINER_WALK_H

#include "containers.h"

struct visit { uint64_t address; uint32_t shape, line; };

struct line { /* a name at which objects of one shape stand */
	uint32_t parent;	/* UINT32_MAX: a variable */
	uint32_t shape;
	unsigned depth;
	bool frame;		/* of a frame: what is there may be what the last call left */
	const char *name, *where;
	struct source_line source;
	struct container sum;
};

struct container_search {
	struct modules *ms;
	struct container_heap heap;
	struct shapes shapes;
	VEC(struct line) lines;
	struct map64 children;	/* line and part -> line */
	VEC(struct visit) open, later; /* later: behind pointers, which may lead to what others own */
	VEC(uint64_t) nodes;	/* of one tree */
	struct values keep;	/* owns what is computed of frames */
	uint64_t visits;
	unsigned word;
	bool brief;		/* what it says of itself is enough: nothing is walked */
	bool cut, nomem;
};

struct holding { /* what one container says of itself */
	uint64_t items, capacity, bytes, wasted;
	bool seen;		/* counted at another name */
};
/* Reads one container, and puts its elements up to be visited. False: it cannot be one. */
bool container_measure(struct container_search *w, const struct visit *at, struct holding *ret);
uint32_t container_line(struct container_search *w, const struct line *l); /* UINT32_MAX: a limit */
/* A line below another; UINT32_MAX: a limit. */
uint32_t container_child(struct container_search *w, uint32_t line, uint32_t part, const char *name, uint32_t shape);
void container_push(struct container_search *w, uint64_t address, uint32_t shape, uint32_t line);

#endif

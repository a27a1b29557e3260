/* One walk over all containers: what is still to be visited, and what was counted at each name. */
#ifndef MODULES_CONTAINER_WALK_H
#define MODULES_CONTAINER_WALK_H

#include "containers.h"

struct visit { uint64_t address; uint32_t shape, line; };

enum { MAX_POINTERS = 2, LOOKED_AT = 1 << 16 };
struct contents { /* what the blocks are that pointers without a type lead to, those of keys and those of values */
	uint32_t type[MAX_POINTERS];
	uint32_t n[MAX_POINTERS];
	bool mixed[MAX_POINTERS]; /* of several types, or of an unknown one */
};
struct line { /* a name at which objects of one shape stand */
	uint32_t parent;	/* UINT32_MAX: a variable */
	uint32_t shape;
	unsigned depth;
	bool frame;		/* of a frame: what is there may be what the last call left */
	const char *name, *where;
	struct source_line source;
	struct contents contents;
	struct container sum;
};

struct container_search {
	struct modules *ms;
	struct container_heap heap;
	struct shapes shapes;
	VEC(struct line) lines;
	struct map64 children;	/* line and part -> line */
	struct map64 glib;	/* addresses of GLib's that were counted */
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
	uint64_t unit;		/* bytes of an element, where the container itself says that; else 0 */
	bool seen;		/* counted at another name */
};
struct reading { /* of one container */
	struct container_search *w;
	const struct visit *at;
	const struct shape *s;
	struct holding *h;
	uint32_t line;		/* of its elements; UINT32_MAX: they lead nowhere */
};
enum { MAX_ITEMS = 1u << 30, MAX_VISITS = 64 << 20 };
/* Each form is read by one of these: checked, and in no more steps than it says it has items. False: it cannot be one. */
typedef bool read_form_fn(const struct reading *r);
read_form_fn read_glist, read_gslist, read_gqueue, read_ghash, read_garray, read_gptrarray, read_gstring, read_gtree;
read_form_fn read_vec, read_ring, read_old_ring, read_swiss, read_btree, read_counted, read_libcxx_text, read_libcxx_deque, read_libcxx_bits;
bool reading_number(const struct reading *r, unsigned field, uint64_t *ret);
/* A piece of memory of `bytes` that the container owns. False: it is not there. */
bool reading_owns(const struct reading *r, uint64_t address, uint64_t bytes);
/* An element that is to be visited. */
void reading_put(const struct reading *r, uint64_t address);
/* Elements that are to be visited: n of them in a row. */
void reading_put_row(const struct reading *r, uint64_t from, uint64_t n);
/* An untyped pointer among the contents, as a key (0) or a value (1). */
void reading_points_at(const struct reading *r, unsigned nth, uint64_t address);
/* "GList of Session": NULL when the contents are not of one type. */
const char *container_of_contents(struct container_search *w, const struct line *l, const char *kind, const char **ret_element);
/* One step of a walk more; false: there were enough of them. */
bool reading_step(const struct reading *r);

/* Reads one container, and puts its elements up to be visited. False: it cannot be one. */
bool container_measure(struct container_search *w, const struct visit *at, struct holding *ret);
uint32_t container_line(struct container_search *w, const struct line *l); /* UINT32_MAX: a limit */
/* A line below another; UINT32_MAX: a limit. */
uint32_t container_child(struct container_search *w, uint32_t line, uint32_t part, const char *name, uint32_t shape);
void container_push(struct container_search *w, uint64_t address, uint32_t shape, uint32_t line);

#endif

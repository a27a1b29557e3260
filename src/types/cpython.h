/* Objects of CPython's heap, as the other files of types see them. */
#ifndef TYPES_CPYTHON_H
#define TYPES_CPYTHON_H
#include "flotsam/types.h"

struct tag { /* a type, by its name: types that are called the same are one */
	char *name;	/* "dict", "shop.Session"; foreign */
	char *module;	/* "builtins", "shop"; NULL: unknown */
	uint32_t index;	/* from 0 on */
	uint32_t label;	/* for whoever interns labels; 0 at first */
};
struct cpython;
struct cpython_found { /* an object */
	struct tag *tag;	/* lives as long as the cpython */
	uint64_t object;	/* its address: a header may stand in front of it in the block */
	uint32_t rows;		/* for cpython_parts() */
	bool managed;
};
/* *ret is NULL when the target is no CPython, or none whose layouts are known; *ret_why (may be NULL) then says which, static. */
struct err *cpython_open(struct image *img, struct modules *ms, const struct runtime *rt, struct cpython **ret, const char **ret_why) MUST_CHECK;
void cpython_close(struct cpython *c);
unsigned cpython_version(const struct cpython *c); /* 0x030b */
bool cpython_failed(const struct cpython *c);	   /* there was no memory for a type */
/* The object that a block of memory holds; false when it holds none. */
bool cpython_object(struct cpython *c, uint64_t address, uint64_t bytes, struct cpython_found *ret);
/* The same, with the block's first bytes at hand: 128, or all. */
bool cpython_find(struct cpython *c, struct span head, uint64_t address, uint64_t bytes, struct cpython_found *ret);
/* The memory that belongs to the object alone beside it, by addresses in it: "list items". */
typedef void cpython_part_fn(void *ctx, const char *what, uint64_t address);
void cpython_parts(const struct cpython *c, const struct cpython_found *f, cpython_part_fn *part, void *ctx);

/* All objects of malloc's blocks (b NULL: none) and of the pools; `o` gets the figures of blocks and pools. */
typedef bool cpython_each_fn(void *ctx, const struct cpython_found *f, uint64_t block, uint64_t bytes, bool in_pool); /* false: no memory */
struct err *cpython_each(struct cpython *c, struct image *img, const struct blocks *b, const struct runtime *rt, struct objects *o, cpython_each_fn *each, void *ctx) MUST_CHECK;
/* What parts of objects malloc's blocks hold: block id -> one of cpython_part_names(). */
struct err *cpython_find_parts(struct cpython *c, struct image *img, const struct blocks *b, const struct runtime *rt, struct map64 *ret) MUST_CHECK;
/* The type of the object in a pool whose block holds address; NULL when there is none. */
const char *cpython_pooled(struct cpython *c, const struct image *img, const struct runtime *rt, uint64_t address, uint64_t *ret_block);
#endif

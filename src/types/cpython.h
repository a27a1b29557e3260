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
/* *ret is NULL when the target is no CPython, or none whose layouts are known; *ret_why (may be NULL) then says which, static. */
struct err *cpython_open(struct image *img, struct modules *ms, const struct runtime *rt, struct cpython **ret, const char **ret_why) MUST_CHECK;
/* The type of the object that a block of memory holds; NULL when it holds none. The tag lives as long as c. */
struct tag *cpython_object(struct cpython *c, uint64_t address, uint64_t bytes);
void cpython_close(struct cpython *c);
#endif

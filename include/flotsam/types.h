/* types: what a block is, as far as is cheap and certain: C++ class by vtable, object of a language by the type that it
 * names, text, runtime-owned, else its size class. A label holds names of types, and no other text of the target's. */
#ifndef FLOTSAM_TYPES_H
#define FLOTSAM_TYPES_H

#include "flotsam/graph.h"

enum identified_by { BY_SIZE, BY_VTABLE, BY_TEXT, BY_RUNTIME, BY_TAG };
const char *identified_by_name(enum identified_by by); /* "size", "vtable", "text", "runtime", "tag" */

struct label { char *name; enum identified_by by; };
struct types {
	struct label *labels;	/* interned */
	size_t n;
	struct types_priv *priv;
};
struct err *types_open(struct blocks *b, struct image *img, struct modules *ms, struct runtime *rt, struct types **ret) MUST_CHECK;
/* Labels that were found before; label_of by block id. Takes both over on success. */
struct err *types_restore(struct blocks *b, struct image *img, struct label *labels, size_t n, uint32_t *label_of, struct types **ret) MUST_CHECK;
/* Index into labels; computed when asked. */
uint32_t types_label(struct types *t, block_id id);
const char *types_name(struct types *t, block_id id);
/* The same, for a block whose payload address and usable bytes are known already. */
uint32_t types_label_at(struct types *t, block_id id, uint64_t payload, uint64_t usable);
/* A line of printable text at the block's start, escaped, at most max bytes with NUL; false when the block is no text. */
bool types_preview(struct types *t, block_id id, char *to, size_t max);
void types_free(struct types *t);

/* Objects of CPython, by type: in malloc's blocks, and in the interpreter's own pools. */
struct object_type {
	char *name, *module;	/* "dict", "shop.Session"; "builtins", "shop", or NULL: unknown. Foreign */
	uint64_t in_malloc, malloc_bytes, in_pools, pool_bytes; /* usable bytes of the blocks that hold them */
	uint64_t part_bytes;	/* of what they have beside themselves: items of lists, keys of dicts... */
	uint64_t sample;	/* address of the first's block */
};
struct objects {
	VEC(struct object_type) types;	/* most bytes first */
	const char *unknown;	/* why there are none: the target is no CPython, or one that is not known; static. NULL: there are */
	unsigned version_major, version_minor;
	uint64_t malloc_blocks, malloc_bytes; /* used blocks of malloc's, objects or not */
	uint64_t pools, pool_bytes, pool_blocks, pool_used_bytes; /* pools with a used block, and those blocks, objects or not */
	uint64_t pools_unread;	/* with used blocks whose bytes are not there */
	uint64_t pools_damaged;	/* whose list of free blocks is not what their header says; looked into all the same */
};
/* b NULL: pools alone. */
struct err *types_objects(const struct blocks *b, struct image *img, struct modules *ms, const struct runtime *rt, struct objects **ret) MUST_CHECK;
void types_objects_free(struct objects *o);

#endif

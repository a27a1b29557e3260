/* types: what a block is, as far as is cheap and certain: C++ class by vtable, text, runtime-owned, else its size class.
 * A label never holds the target's text. */
#ifndef FLOTSAM_TYPES_H
#define FLOTSAM_TYPES_H

#include "flotsam/graph.h"

enum identified_by { BY_SIZE, BY_VTABLE, BY_TEXT, BY_RUNTIME };
const char *identified_by_name(enum identified_by by); /* "size", "vtable", "text", "runtime" */

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

#endif

/* References in compact form, for a census: flotsam-census(5) describes them. Blocks and, behind them, places (stretches outside
 * the heap with pointers in them) are sources, numbered through; sources are coded in batches that stand by themselves. */
#ifndef GRAPH_PACKED_H
#define GRAPH_PACKED_H

#include "coding.h"
#include "edges.h"

enum { BATCH = 1 << 16, POINTING = 30, SLOTS = 8, SHAPES = 1000, COMMON = 60, OUTSIDE = 1 << 24 };

/* A gap of words in front of a pointer: itself, or its length in bits. */
enum { DIRECT_GAPS = 8, GAP_LEAST = 4, GAP_MOST = 52, GAP_CLASSES = DIRECT_GAPS + GAP_MOST - GAP_LEAST + 1, COUNT_CLASSES = 33 };

/* How a target is told: by its number, or by the way from the source, or from the target before; ways have a length in bits; or
 * as one of those that are common in the batch. Numbers from that of blocks on are addresses outside the heap. */
enum { TARGET_NUMBER, TARGET_SELF, TARGET_AHEAD, TARGET_BEHIND = TARGET_AHEAD + 32, TARGET_AGAIN = TARGET_BEHIND + 32, TARGET_ON,
       TARGET_BACK = TARGET_ON + 32, TARGET_COMMON = TARGET_BACK + 32, TARGET_SYMBOLS = TARGET_COMMON + COMMON };

enum place_kind { PLACE_MEMORY, PLACE_STACK, PLACE_STALE };
struct place { uint64_t start, end; enum place_kind kind; int thread; };
/* What a source's symbol says: nothing in it, word by word, or one of the batch's shapes. */
enum { SOURCE_EMPTY, SOURCE_LISTED, SOURCE_SHAPES };

/* A number below n in the fewest bits that tell n numbers apart. */
static inline unsigned number_bits(uint32_t n, uint32_t *ret_short)
{
	unsigned k = 31 - (unsigned)__builtin_clz(n | 1);
	*ret_short = (uint32_t)((2ull << k) - n); /* so many take k bits, the others one more */
	return k;
}

static inline unsigned bit_length(uint64_t v)
{
	return v ? 64 - (unsigned)__builtin_clzll(v) : 0;
}

struct packed;
/* Called for each pointer of a source, those to names outside the heap too (id is BLOCK_NONE, offset the address); false: no more. */
typedef bool packed_fn(void *ctx, const struct pointer *p);
bool packed_each(const struct packed *k, uint32_t source, uint64_t base, packed_fn *f, void *ctx);
/* All words that point at the blocks [low, high]. */
struct err *packed_references(struct graph *g, uint64_t low, uint64_t high, struct references *ret) MUST_CHECK;
void packed_name_words(const struct graph *g, struct named_word *named);
struct err *packed_name_root(const struct graph *g, const struct root_word *w, uint32_t *ret_holder) MUST_CHECK;
struct err *packed_open(struct graph *g) MUST_CHECK;
void packed_free(struct packed *k);
struct span packed_bytes(const struct packed *k);

#endif

/* What the files of graph share. */
#ifndef GRAPH_INTERNAL_H
#define GRAPH_INTERNAL_H

#include "flotsam/graph.h"

enum root_kind { ROOT_MEMORY, ROOT_STACK, ROOT_REGISTER, ROOT_KERNEL };

struct root_region { /* memory that is live by definition */
	uint64_t start, end;
	enum root_kind kind;
	int thread; /* of a stack; -1: none */
};
/* Whether a pointer into the middle of a block counts as one to its start. The picture is asked, a census knows. */
enum strength { STRENGTH_ASK, STRENGTH_STRONG, STRENGTH_WEAK };
struct root_word { /* a word of a root that falls into a heap */
	uint64_t value, from; /* from: address of the word; registers: 0 */
	uint32_t thread;      /* of a stack or register; kernel words: index */
	uint8_t kind;	      /* enum root_kind */
	uint8_t strength;     /* enum strength */
};

/* (size class, offset) pairs at which nearly all blocks of a size are reached: list_head, GObject private data. */
struct learned {
	uint64_t chunk_bytes, offset;
};

struct graph_priv {
	struct image *img;
	struct modules *ms;
	struct runtime *rt;
	struct graph_options o;
	uint64_t mask;	/* applied to every word: tags */
	unsigned word;
	VEC(struct root_region) regions;
	VEC(struct root_word) words; /* ROOT_MEMORY and ROOT_KERNEL first, from n_strong on stacks and registers */
	size_t n_memory;
	VEC(struct learned) learned;
	VEC(block_id) runtime_ids; /* sorted */
	VEC(block_id) stack_ids;   /* blocks that a thread's stack lies in */
	uint64_t *stack_ids_met;   /* by id: memory points at it too; made only when there are such blocks */
	uint64_t *weak; /* by id: reached by a weak pointer */
	VEC(block_id) unreached; /* sorted */
	struct namer *namer;	 /* made with the first name */
	struct packed *packed;	 /* of a census: where references come from; else the picture is read */
	uint32_t *parents;	 /* by id, see paths.c; made with the first path */
};

/* Frees what is in priv, which is zero then but for what it borrows. */
void graph_priv_clear(struct graph *g);

/* Where a word points. */
enum hit { HIT_NONE, HIT_START, HIT_INTERIOR };
struct target_block {
	struct region *r;
	uint64_t granule; /* of the chunk's start; 0 for mmapped */
	uint64_t offset;  /* from the payload */
};

static inline uint64_t block_payload_of(const struct blocks *b, const struct target_block *t)
{
	return t->r->start + (t->r->groups ? t->granule << b->granule_shift : 0) + b->header;
}

static inline block_id block_id_of(const struct target_block *t)
{
	return t->r->groups ? region_rank(t->r, t->granule) : t->r->first_id;
}

static inline uint64_t block_chunk_bytes_of(const struct blocks *b, const struct target_block *t)
{
	if (!t->r->groups)
		return t->r->end - t->r->start;
	uint64_t n = region_granules(b, t->r), next = region_start_after(t->r, t->granule, n);
	return (next == n ? t->r->end : t->r->start + (next << b->granule_shift)) - t->r->start -
	       (t->granule << b->granule_shift);
}

static inline uint64_t block_usable_of(const struct blocks *b, const struct target_block *t)
{
	uint64_t bytes = block_chunk_bytes_of(b, t);
	return t->r->groups ? bytes - b->word : alloc_usable(b->alloc, &b->alloc->segments.at[t->r->segment], t->r->start, bytes);
}

/* One past the end of a block is no reference: there stands the size of the next chunk. */
static inline enum hit graph_resolve(const struct blocks *b, uint64_t p, struct target_block *ret)
{
	uint64_t q = p - b->header;
	struct region *r = blocks_region(b, q);
	if (!r)
		return HIT_NONE;
	ret->r = r;
	uint64_t off = q - r->start;
	if (!r->groups) {
		ret->granule = 0;
		ret->offset = off;
		if (off >= alloc_usable(b->alloc, &b->alloc->segments.at[r->segment], r->start, r->end - r->start))
			return HIT_NONE;
		return off ? HIT_INTERIOR : HIT_START;
	}
	uint64_t g = off >> b->granule_shift, in = off & ((1u << b->granule_shift) - 1);
	if (!in && region_is_start(r, g)) {
		ret->granule = g;
		ret->offset = 0;
		return HIT_START;
	}
	if (in + b->word >= 1u << b->granule_shift) {
		uint64_t next = g + 1;
		if (r->start + (next << b->granule_shift) >= r->end || region_is_start(r, next))
			return HIT_NONE;
	}
	g = region_start_before(r, g);
	if (g == UINT64_MAX)
		return HIT_NONE;
	ret->granule = g;
	ret->offset = off - (g << b->granule_shift);
	return HIT_INTERIOR;
}

static inline uint64_t *graph_mark_word(const struct target_block *t, uint64_t *ret_bit)
{
	if (!t->r->groups) {
		*ret_bit = 1;
		return t->r->marks;
	}
	uint64_t in = t->granule % GROUP_GRANULES;
	*ret_bit = 1ul << in % 64;
	return &t->r->marks[t->granule / GROUP_GRANULES * 8 + in / 64];
}

static inline bool graph_is_marked(const struct target_block *t)
{
	uint64_t bit, *m = graph_mark_word(t, &bit);
	return __atomic_load_n(m, __ATOMIC_RELAXED) & bit;
}

/* False when it was marked before. */
static inline bool graph_mark(const struct target_block *t)
{
	uint64_t bit, *m = graph_mark_word(t, &bit);
	if (__atomic_load_n(m, __ATOMIC_RELAXED) & bit)
		return false;
	return !(__atomic_fetch_or(m, bit, __ATOMIC_RELAXED) & bit);
}

static inline bool bit_test(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}
static inline void bit_set(uint64_t *bits, uint64_t i)
{
	__atomic_fetch_or(&bits[i / 64], 1ul << i % 64, __ATOMIC_RELAXED);
}

/* Does the pointer p (found at address from, 0: a register) into the middle of a block count as one to its start?
 * Returns the rule, or -1. */
int graph_interior_rule(struct graph *g, const struct target_block *t, uint64_t p, uint64_t from);

struct err *graph_gather_roots(struct graph *g) MUST_CHECK;
/* Words of [address, address + n) that fall near a heap. */
typedef void graph_word_fn(void *ctx, uint64_t from, uint64_t value);
void graph_each_candidate(const struct graph *g, uint64_t address, uint64_t n, graph_word_fn *f, void *ctx);

enum mark_mode { MARK_STRONG, MARK_WEAK };
/* Marks everything reached from words[0..n); `seeds` are blocks already marked whose content is to be scanned. */
struct err *graph_run_marks(struct graph *g, enum mark_mode mode, const struct root_word *words, size_t n,
			    const uint64_t *seeds, size_t n_seeds) MUST_CHECK;
/* Is a pointer p, found at address from (0: a register), one that keeps the block? */
bool graph_is_strong(struct graph *g, enum hit hit, const struct target_block *t, uint64_t p, uint64_t from);

struct named_word { /* a root word and the root object that it belongs to */
	uint32_t holder; /* index into graph.holders */
	enum holder_rank rank;
	size_t word; /* index into words */
};
/* Names all root words: fills g->holders and named[0 .. words.n). */
struct err *graph_name_words(struct graph *g, struct named_word *named) MUST_CHECK;
struct err *graph_learn_offsets(struct graph *g, bool *ret_new) MUST_CHECK;
struct err *graph_rescue_mangled(struct graph *g, bool *ret_new) MUST_CHECK;
/* Splits what no chain reaches into definite and indirect. */
struct err *graph_split_unreached(struct graph *g) MUST_CHECK;

/* Is there a thread's tcache struct at this payload address? Its content is malloc's own. */
bool graph_is_tcache(const struct graph *g, uint64_t payload);
/* Does the block hold a thread's stack? Then its content is a root from SP up and nothing else. */
bool graph_is_stack_block(const struct graph_priv *priv, block_id id);
/* Names one root word; kind, thread and address are enough. The holder is added to g->holders when it is new. */
struct err *graph_name_root(struct graph *g, const struct root_word *w, uint32_t *ret_holder) MUST_CHECK;
/* The root region that holds address, or NULL. */
const struct root_region *graph_root_at(const struct graph_priv *priv, uint64_t address);
struct namer;
void graph_namer_free(struct namer *n, size_t n_threads);

#endif

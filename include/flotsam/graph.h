/* graph: roots, references, mark, leak classes, holders: the rules of what counts as a leak. Nothing here prints. */
#ifndef FLOTSAM_GRAPH_H
#define FLOTSAM_GRAPH_H

#include "flotsam/blocks.h"

enum block_class { CLASS_NONE, CLASS_REACHABLE, CLASS_POSSIBLE, CLASS_DEFINITE, CLASS_INDIRECT, CLASS_RUNTIME };
const char *block_class_name(enum block_class c); /* NULL for CLASS_NONE: free blocks */

enum interior_policy { INTERIOR_POSSIBLE, INTERIOR_REACHABLE, INTERIOR_IGNORE };
enum interior_rule { RULE_NEW_ARRAY, RULE_BASE_CLASS, RULE_LENGTH_PREFIX, RULE_OLD_STRING, RULE_HASHBROWN, RULE_LEARNED, RULE_DTV,
		     RULE_DL_FIND, RULE_TSEARCH, RULE_MANGLED, RULE_STACK_BLOCK, N_INTERIOR_RULES };
const char *interior_rule_name(enum interior_rule r); /* "new-array" ... */

struct graph_options {
	bool no_vector_roots, unaligned, tagged;
	enum interior_policy interior;
	uint32_t rules_off;	/* bit per interior_rule */
	int threads;		/* 0: as many as there are processors */
};

enum holder_rank { RANK_GLOBAL = 1, RANK_TLS, RANK_LIBC, RANK_MAPPING, RANK_FRAME, RANK_REGISTER };
enum holder_kind { HOLDER_GLOBAL, HOLDER_TLS, HOLDER_LIBC, HOLDER_MAPPING, HOLDER_KERNEL, HOLDER_FRAME, HOLDER_REGISTER };
const char *holder_kind_name(enum holder_kind k);

struct holder { /* a named root object */
	enum holder_rank rank;
	enum holder_kind kind;
	char *name;	/* "g_cache"; "thread 7 \"io-2\""; foreign bytes: escape on output */
	char *where;	/* "ledger.cc:88", "conn_loop()", "libfoo.so+0x20", or NULL */
	uint64_t address;
};
struct holder_set { /* up to three holders, then "and more" */
	uint32_t holders[3];
	uint8_t n;	/* 1..3; 4: and more */
	uint64_t blocks, bytes; /* retained: kept by exactly this set, usable bytes */
};

struct class_sum { uint64_t blocks, bytes; };

struct graph {
	struct blocks *blocks;		/* borrowed */
	uint8_t *class_of;		/* by id: enum block_class */
	struct class_sum sums[CLASS_RUNTIME + 1];
	struct class_sum stack_only;
	uint64_t *stack_only_bits;	/* by id */
	uint64_t rule_counts[N_INTERIOR_RULES];
	uint64_t root_words;		/* root words that fell into a heap */
	uint64_t scanned_root_bytes;
	double mark_seconds;
	uint64_t marked;		/* blocks marked */
	/* made by graph_holders() */
	VEC(struct holder) holders;
	VEC(struct holder_set) sets;
	uint16_t *set_narrow;		/* by id: index into sets + 1, 0 none; NULL where there are too many: */
	uint32_t *set_wide;
	double holder_seconds;
	struct map64 leader_of; /* leaked block -> the first leader, in address order, that reaches it */
	void *priv;			/* NULL: of a census without references. There are no paths, cycles and no tree then */
};

/* Roots, marks and classes. The image, modules and runtime must outlive the graph. */
struct err *graph_build(struct blocks *b, struct image *img, struct modules *ms, struct runtime *rt,
			const struct graph_options *o, struct graph **ret) MUST_CHECK;
struct err *graph_holders(struct graph *g) MUST_CHECK;
void graph_free(struct graph *g);

/* All pointers in compact form, as a census keeps them (flotsam-census(5)). Holders must have been found. The caller frees. */
struct graph_packed {
	uint8_t *at;
	size_t n;
	VEC(uint64_t) named; /* addresses outside the heap whose names answers may ask for, ascending */
};
struct err *graph_pack(struct graph *g, struct graph_packed *ret) MUST_CHECK;
/* What a census says of its graph is there already: from now on its pointers are these, which are borrowed, and judged when they
 * are first asked for. */
struct err *graph_unpack(struct graph *g, struct image *img, struct runtime *rt, struct span references) MUST_CHECK;

/* ERR_UNSUPPORTED when neither the memory that pointers stand in is here nor what a census keeps of it. All below ask by themselves. */
struct err *graph_need_references(struct graph *g) MUST_CHECK;

/* A word of the picture that holds an address of some range. */
struct reference {
	uint64_t from;		/* address of the word; 0: a register, or a word that the kernel holds */
	uint64_t value;
	block_id block;		/* that the word lies in; BLOCK_NONE: outside the heap */
	uint32_t thread;	/* from 0: index of the thread, or of the kernel's word */
	bool kernel;		/* from 0: the kernel's */
	bool live;		/* in a used block, or in memory that is a root; else stale: nobody reads it there */
};
struct references { VEC(struct reference) list; uint64_t scanned; /* bytes */ };
/* All words in [low, high), ascending by where they stand, registers first. No index is kept: each call streams the memory. */
struct err *graph_references(struct graph *g, uint64_t low, uint64_t high, struct references *ret) MUST_CHECK;
/* The holder of a reference that lies in no block: index into holders. ERR_NOT_FOUND when it is stale. */
struct err *graph_reference_holder(struct graph *g, const struct reference *r, uint32_t *ret) MUST_CHECK;

/* The words of a block: all of them, or of a census those that point at a block, a symbol or a stack. */
typedef void graph_word_of_block_fn(void *ctx, uint64_t offset, uint64_t value);
struct err *graph_words(struct graph *g, block_id id, graph_word_of_block_fn *f, void *ctx) MUST_CHECK;

/* A chain of pointers from a root to a block, shortest first. step[0] is what the root word points at. */
struct path_step {
	block_id block;
	uint64_t from;		/* address of the word that points at this block; 0: a register or the kernel */
	uint64_t value;
	bool strong;
};
struct path {
	uint32_t holder;	/* index into holders; UINT32_MAX: libc's or ld.so's own block */
	VEC(struct path_step) steps;
};
/* ERR_NOT_FOUND when no chain leads to it. The first call walks the whole graph, later ones answer at once. */
struct err *graph_path(struct graph *g, block_id id, struct path *ret) MUST_CHECK;
void path_free(struct path *p);
/* The block before `id` on its shortest chain, once graph_find_parents() was called; BLOCK_NONE: the chain begins there, or there is
 * none. Of a census: there are no chains. */
struct err *graph_find_parents(struct graph *g) MUST_CHECK;
block_id graph_parent(const struct graph *g, block_id id);
/* The shortest chain of strong pointers from a block back to itself: steps[0] is the block that it points at, the last step is
 * itself. ERR_NOT_FOUND when it is on no cycle. holder is unused. */
struct err *graph_cycle(struct graph *g, block_id id, struct path *ret) MUST_CHECK;
/* Leaked blocks: the leader that `id` counts for; itself when it is one. BLOCK_NONE: not leaked. */
block_id graph_leader(const struct graph *g, block_id id);

/* Dominators: what a node alone keeps alive. Nodes: 0 the root of all, then the holders, then "(leaked)", then the blocks. */
struct tree {
	const struct graph *graph;
	uint32_t n_holders;	/* holders known when it was built */
	uint32_t n;		/* nodes */
	uint32_t *idom;		/* by node; UINT32_MAX: not reached by strong chains */
	uint64_t *bytes;	/* by node: retained, usable bytes */
	uint32_t *blocks;	/* by node: retained */
	uint64_t edges;
	double seconds;
};
struct err *graph_tree(struct graph *g, struct tree **ret) MUST_CHECK;
void tree_free(struct tree *t);
static inline uint32_t tree_leaked(const struct tree *t) { return t->n_holders + 1; }
static inline uint32_t tree_node(const struct tree *t, block_id id) { return t->n_holders + 2 + id; }
static inline bool tree_is_block(const struct tree *t, uint32_t node) { return node >= t->n_holders + 2; }
static inline block_id tree_block(const struct tree *t, uint32_t node) { return node - t->n_holders - 2; }

/* The set of holders of a block: index into sets + 1; 0: none, or holders were not asked for. */
static inline uint32_t graph_set(const struct graph *g, block_id id)
{
	return g->set_wide ? g->set_wide[id] : g->set_narrow ? g->set_narrow[id] : 0;
}
static inline bool graph_is_leaked(const struct graph *g, block_id id)
{
	return g->class_of[id] == CLASS_DEFINITE || g->class_of[id] == CLASS_INDIRECT;
}
#endif

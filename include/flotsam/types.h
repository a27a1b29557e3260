/* types: what a block is, as far as is cheap and certain: C++ class by vtable, object of a language by the type that it
 * names, text, runtime-owned, else its size class. A label holds names of types, and no other text of the target's. */
#ifndef FLOTSAM_TYPES_H
#define FLOTSAM_TYPES_H

#include "flotsam/graph.h"
#include "flotsam/typetable.h"

enum identified_by { BY_SIZE, BY_VTABLE, BY_TEXT, BY_RUNTIME, BY_TAG, BY_DWARF, BY_BYTES, N_IDENTIFIED };
const char *identified_by_name(enum identified_by by); /* "size", "vtable", "text", "runtime", "tag", "dwarf", "content" */

struct label { char *name; enum identified_by by; };
struct typing;
struct types {
	struct label *labels;	/* interned */
	size_t n;
	struct typing *typing;	/* NULL until types_infer() */
	bool typed_labels;	/* labels tell of it */
	bool kept;		/* of a census: labels as they were written */
	bool guesses;		/* typing names by shape and size alone, too: marked */
	struct types_priv *priv;
};
struct err *types_open(struct blocks *b, struct image *img, struct modules *ms, struct runtime *rt, struct types **ret) MUST_CHECK;
/* Labels that were found before; label_of by block id. Takes both over on success. */
struct err *types_restore(struct blocks *b, struct image *img, struct label *labels, size_t n, uint32_t *label_of, struct types **ret) MUST_CHECK;
/* Index into labels; computed when asked. */
uint32_t types_label(struct types *t, block_id id);
const char *types_name(struct types *t, block_id id);
enum identified_by types_identified_by(struct types *t, block_id id);
/* The same, for a block whose payload address and usable bytes are known already. */
uint32_t types_label_at(struct types *t, block_id id, uint64_t payload, uint64_t usable);
/* The type of the object whose block, of a language's own pools, holds address, and that block's address; NULL: none. */
const char *types_pooled(struct types *t, uint64_t address, uint64_t *ret_block);
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

/* From now on the block, or the object outside the heap, at address is a `name` ("session", "session *[]"); types are told anew when
 * they are asked for. ERR_NOT_FOUND: no such type. ERR_USAGE: it does not fit. */
struct err *types_teach(struct types *t, uint64_t address, const char *name) MUST_CHECK;

/* What blocks are by DWARF: types spread from variables along typed pointers. Higher ranks win; see types_tier(). */
enum typed_by { TYPED_NOT, TYPED_FIELD, TYPED_VTABLE, TYPED_NODE, TYPED_CONTAINER, TYPED_PREFIX, TYPED_COUNTED, TYPED_FAMILY, TYPED_UNION /* a pointer of a union: only where nothing else speaks */, TYPED_TAUGHT /* by the user */,
		TYPED_CAST /* code says what a void * points at */, TYPED_TAGGED /* by a pointer to a variable */, TYPED_GUESS, TYPED_HANDLED /* by a function that is made for one type */,
		TYPED_VARIANT /* a union's pointer, by a member beside it */ };
const char *typed_by_name(enum typed_by by); /* "field", "vtable" ... */
enum typed_form { FORM_ONE, FORM_ARRAY, FORM_TAIL /* T, and more behind it */, FORM_FLEXIBLE, FORM_POINTERS };
enum { RANK_TAUGHT = 60, RANK_VTABLE = 50, RANK_EXACT = 40, RANK_PREFIX = 35, RANK_FLEXIBLE = 30, RANK_FAMILY = 25, RANK_ARRAY = 20, RANK_CAST = 17, RANK_LOOSE_CAST = 15, RANK_LOOSE_ARRAY = 15,
       RANK_KIND_HEADER = 13, RANK_EXACT_HEADER = 12, RANK_TAIL = 10, RANK_NUMBERS = 5, RANK_TEXT = 2, RANK_POOL = 28 /* a vtable, and room for more objects */, RANK_UNION = RANK_TAIL,
       RANK_TAGGED = 24 /* a header, and a tag that says which */, RANK_GUESS = 1 };
struct typed {
	uint32_t type;		/* index into the table; 0: not known */
	uint8_t rank;
	uint8_t form : 3, moved : 2, doubt : 1; /* moved: so often it got another type; doubt: another type has the same rank */
	uint8_t base;		/* where in the block it begins, in words */
	uint8_t by;		/* enum typed_by */
};
enum type_tier { TIER_NONE, TIER_A, TIER_B, TIER_C, TIER_D, N_TIERS };
static inline enum type_tier types_tier(const struct typed *t)
{
	return !t->type ? TIER_NONE : t->rank >= RANK_FLEXIBLE ? TIER_A : t->rank >= RANK_ARRAY ? TIER_B : t->rank >= RANK_TAIL ? TIER_C : TIER_D;
}
struct typing {
	struct type_table *table;
	struct typed_roots roots;
	VEC(struct typed) kinds; /* all that some block is or was; the first: not known */
	struct map64 by_kind;	/* its fields -> index */
	uint32_t *of;		/* by block id: index into kinds. Few kinds, many blocks: typing_of() */
	uint64_t edges, misfits;/* pointers followed; to blocks too small for what they say */
	struct map64 tags;	/* address of a global struct -> index into roots.list */
	uint64_t prefix_hits[16]; /* by words: objects that begin so far behind their block's start */
	const struct casts *casts; /* NULL: there is no code to read them in */
	double seconds_dwarf, seconds;
	struct map64 in_use;	/* (type, usable bytes) -> blocks of tiers A and B; filled when first asked for */
	bool in_use_known;
};
static inline struct typed typing_of(const struct typing *g, block_id id) { return g->kinds.at[g->of[id]]; }
/* Types of all used blocks, once; it takes seconds. ERR_UNSUPPORTED of a census. */
struct err *types_infer(struct types *t, void (*say)(void *ctx, const char *text), void *ctx) MUST_CHECK;
/* "Session", "Entry[]", "Table + tail", "Node *[]": without numbers, so that blocks of a kind have one name. */
void types_typed_name(const struct typing *t, const struct typed *of, struct strbuf *to);
/* The same of a block, with its tag: "object [kind=text_kind]". */
void types_tag_name(const struct types *t, const struct typed *of, uint64_t payload, struct strbuf *to);
/* Whether shape and size alone name blocks, too, when types are told next. */
void types_set_guesses(struct types *t, bool guesses);

/* All used blocks by type, most bytes first; those without one by their label. */
struct typed_row {
	char *name;
	enum type_tier tier;	/* TIER_NONE: named by its size alone */
	const char *by;		/* typed_by_name(), or identified_by_name() */
	uint64_t blocks, bytes, doubtful;
	block_id sample;	/* the first */
	uint32_t type;		/* 0: no type of DWARF */
};
struct typed_rows {
	VEC(struct typed_row) list;
	struct class_sum used, tiers[N_TIERS];
};
struct err *types_rows(struct types *t, struct typed_rows *ret) MUST_CHECK; /* after types_infer() */
/* Of one used block, as its row has it; after types_infer(). */
enum type_tier types_block_tier(struct types *t, block_id id, uint64_t payload, uint64_t usable);
void typed_rows_free(struct typed_rows *r);

/* What blocks of one size that have no type may be: structs of that size whose pointers stand where they have some. */
enum { MOST_LIKELY = 3 };
struct likely_type {
	uint32_t type;
	unsigned fits;		/* of the blocks that were looked at */
	unsigned pointers;	/* of all that fit: where the struct has some */
	uint64_t in_use;	/* other blocks of that size are one, by tiers A and B */
};
struct likely {
	struct likely_type at[MOST_LIKELY]; /* the best first */
	unsigned n, more;	/* more: that are not listed */
	unsigned looked_at;
};
struct err *types_likely(struct types *t, const block_id *ids, size_t n, struct likely *ret) MUST_CHECK; /* after types_infer() */

/* How a block came by its type: from a variable on, block by block. */
struct evidence_step {
	const struct typed_root *root;	/* the first step; else NULL */
	block_id block;		/* whose member points at the next; BLOCK_NONE: outside the heap */
	uint64_t object;	/* address of the typed object that the pointer stands in */
	uint32_t type;		/* of it */
	uint64_t word;		/* where the pointer stands; 0: in a register */
};
struct evidence_rival { uint32_t type; uint8_t rank; uint64_t word; bool fits; };
struct evidence {
	VEC(struct evidence_step) steps; /* the last points at the block */
	VEC(struct evidence_rival) rivals; /* other types that pointers to it say, one line a type */
	uint32_t places;	/* of the code that cast what the last step points at; 0: the type stands in its declaration */
};
/* ERR_NOT_FOUND: it has no type by a pointer. Spreads all types anew. */
struct err *types_explain(struct types *t, block_id id, struct evidence *ret) MUST_CHECK;
void evidence_free(struct evidence *e);

/* Used blocks that nothing names, in groups: of one size, of like words at their start, and pointed at by the same member. */
enum word_kind { WORD_UNREAD, WORD_ZERO, WORD_SMALL /* below 64 Ki */, WORD_BLOCK, WORD_MODULE, WORD_MEMORY, WORD_TEXT, WORD_OTHER };
const char *word_kind_name(enum word_kind k); /* "zero", "small number", "heap pointer" ... */
enum source_of { BY_NOBODY, BY_MEMBER /* of a type */, BY_VARIABLE /* index into roots.list */, BY_LABELLED /* index into labels */, BY_GROUP /* index + 1; 0: none */ };
struct unknown_source { /* who points at blocks of a group: offset bytes behind the start of what */
	enum source_of kind;
	uint32_t what, offset;
	uint64_t pointers;
};
enum { GROUP_SEEN_WORDS = 2, MOST_GROUP_SOURCES = 3, MOST_GROUP_TYPES = 3 };
struct unknown_group {
	uint64_t usable, blocks, bytes;
	block_id sample;	/* the first */
	uint16_t words[GROUP_SEEN_WORDS], modules[GROUP_SEEN_WORDS]; /* enum word_kind; of WORD_MODULE its index */
	struct unknown_source sources[MOST_GROUP_SOURCES]; /* most pointers first */
	uint32_t n_sources, other_sources; /* listed; not listed */
	uint32_t types[MOST_GROUP_TYPES]; /* that have this size, and pointers or headers allow */
	uint32_t n_types, other_types;
};
struct unknown {
	VEC(struct unknown_group) groups; /* most bytes first: U1 ... */
	uint32_t *group_of;	/* by block id: number; 0: it is named, or free */
	struct class_sum all;	/* that nothing names, in a group or not */
	bool cut;		/* a limit was reached */
	block_id reach;		/* the one block that leads to most of its like; BLOCK_NONE: there is none */
	struct class_sum reached; /* by it, itself too */
	bool reach_cut;		/* at least: there was more to follow than is followed */
};
/* Found once; after types_infer(). They belong to the types. */
struct err *types_unknown(struct types *t, const struct unknown **ret) MUST_CHECK;
/* "dictEntry.v.val", "g_root", "U3": raw. */
void types_source_name(struct types *t, const struct unknown_source *s, struct strbuf *to);

#endif

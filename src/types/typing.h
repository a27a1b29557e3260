/* What the files of types share. A typer is a file and a row in typing.c: it offers types for blocks; the highest rank stays. */
#ifndef TYPES_TYPING_H
#define TYPES_TYPING_H

#include "flotsam/types.h"
#include "flotsam/modules_values.h"

struct cpython;
enum content { CONTENT_UNKNOWN, CONTENT_POINTERS, CONTENT_DOUBLES, CONTENT_RANDOM, N_CONTENTS };
struct lesson { uint64_t address; uint32_t type; };
struct types_priv {
	struct blocks *b;
	struct image *img;
	struct modules *ms;
	struct runtime *rt;	/* NULL: of a census */
	struct cpython *cpython; /* NULL: the target is none */
	struct map64 parts;	/* block id -> name of what it is to an object of CPython's */
	struct map64 by_part;	/* that name -> label index */
	bool parts_known;
	struct map64 runtime;	/* block id -> label index */
	struct map64 by_vtable;	/* first word -> label index + 1, 0: no vtable */
	struct map64 by_size;	/* (usable, kind) -> label index */
	struct map64 by_typed;	/* (type, form), or the hash of its name -> label index */
	struct unknown *unknown; /* NULL: nobody asked */
	VEC(struct lesson) taught;
	uint32_t contents[N_CONTENTS]; /* label index; 0: none yet */
	size_t cap;
	uint32_t *label_of;	/* by block id; NULL: found when asked for */
};

enum { MOST_PREFIX_WORDS = 8, ADOPT_PREFIX = 100, NO_PARENT = 0 };

/* Where a pointer stands: a block's object, a root, or an object outside the heap. */
enum source_kind { FROM_NOTHING, FROM_BLOCK, FROM_ROOT, FROM_OUTSIDE };
struct source { uint32_t index; uint8_t kind; };

struct outside { uint64_t address; uint32_t type; struct source from; uint64_t word; };

struct parent { /* kept when somebody asks why */
	uint64_t word;
	struct source from;
};

struct embed { uint32_t type, offset, outer; };

enum { N_PLACES = 256, ROUNDS_AHEAD = 32, ROUNDS_LEVELS = 6 };

/* Which blocks are to be visited next, lowest first. */
struct block_set { uint64_t *bits[ROUNDS_LEVELS]; unsigned levels; };
struct rounds {
	struct block_set sets[2];
	unsigned now;		/* the set of this round; the other one is the next's */
	block_id ahead[ROUNDS_AHEAD]; /* taken from it before they are needed, so that memory can be asked for */
	unsigned first, n_ahead;
};
bool rounds_open(struct rounds *r, size_t n); /* false: no memory; closed all the same */
void rounds_close(struct rounds *r);
void rounds_add(struct rounds *r, block_id id);
block_id rounds_take(struct rounds *r); /* BLOCK_NONE: no round has any */
block_id rounds_ahead(const struct rounds *r, unsigned n); /* what will be taken after n others; BLOCK_NONE: not known yet */

struct spread {
	struct types *t;
	struct typing *g;
	const struct type_table *table;
	struct blocks *b;
	struct image *img;
	unsigned word;
	bool big;
	struct rounds rounds;
	struct block_place places[N_PLACES]; /* of blocks that were asked for last, by the low bits of their ids */
	struct map64 filled;	/* block id -> bytes that are in use, of an array with room for more */
	struct map64 tables;	/* block id -> where the control bytes stand behind a table's elements (hashbrown) */
	VEC(struct outside) outside;
	size_t outside_head;
	struct map64 seen;	/* objects outside: hash of address and type */
	struct parent *parents;	/* by block id; NULL: nobody asks */
	block_id asked;		/* whose rivals are listed; BLOCK_NONE */
	struct evidence *evidence;
	struct source from;	/* of the object that is visited now */
	uint64_t steps;		/* words that were read */
	uint64_t named;		/* blocks of families that were told apart, this round */
	bool interior;		/* pointers into untyped blocks count too */
	uint64_t *fresh;	/* bit per block: its type is new, or better known, since spread_again() */
	uint64_t *inside;	/* bit per block: it has such pointers, which did not count yet */
	bool nomem;
	/* Asked of each pointer in place of following it; l->target may be void. NULL: it is followed. */
	void (*asks)(void *ctx, struct spread *s, uint64_t pointer, const struct type_leaf *l, uint64_t word);
	void *asks_ctx;
	const char *pass;	/* what is done now, and how many blocks were looked at by it */
	uint64_t looked_at;
	void (*say)(void *ctx, const char *text); /* NULL: nobody listens */
	void *say_ctx;
	struct map64 meant;	/* leaves of unions that are what they say, by index */
	struct variants *variants; /* NULL: not looked for yet */
	struct embed *embeds;	/* by type and offset */
	size_t n_embeds;
};

struct fit { uint8_t rank; enum typed_form form; };

/* How well a type fits n bytes at an address; rank 0: not at all. */
struct fit fit_type(struct spread *s, uint32_t type, uint64_t address, uint64_t n);
/* The size is what was asked for of a block of n bytes, as far as rounding tells. */
bool fit_is_exact(const struct spread *s, uint64_t size, uint64_t n);
/* Whether an object's pointers lead somewhere. */
bool shape_is_sound(struct spread *s, uint32_t type, uint64_t address);
/* A word of an array's element: the element's pointers lead somewhere, and one of them is not null. */
enum shape { SHAPE_BAD, SHAPE_EMPTY, SHAPE_GOOD };
enum shape shape_of(struct spread *s, uint32_t type, uint64_t address);
bool points_somewhere(struct spread *s, uint64_t pointer);
/* Words of an object that should be numbers, and are addresses of blocks. */
unsigned shape_misplaced(struct spread *s, uint32_t type, uint64_t address);
/* (void *)-1 and the like: MAP_FAILED, marks of empty and of deleted entries, errors. Nothing is mapped in the last page. */
static inline bool stands_for_none(const struct type_table *t, uint64_t v)
{
	return (t->word == 4 ? UINT32_MAX : UINT64_MAX) - v < 4096;
}
/* Programs keep numbers in a void *. */
static inline bool may_be_number(const struct type_table *t, const struct type_leaf *l, uint64_t v)
{
	return (table_type(t, l->target)->kind == TYPE_VOID && v < 1u << 31) || stands_for_none(t, v);
}
/* The outer type begins with the inner one; two types, perhaps of two modules, are called the same. */
bool types_begins_with(const struct type_table *t, uint32_t outer, uint32_t inner);
bool types_alike(const struct type_table *t, uint32_t a, uint32_t b);
bool spread_word(struct spread *s, uint64_t address, uint64_t *ret);
/* The i-th of up to `most` samples of n: by no step, since what a program makes in turns would give one kind alone. */
static inline size_t spread_sample(size_t i, size_t most, size_t n)
{
	uint64_t v = (i + 1) * 0x9e3779b97f4a7c15u;
	v = (v ^ v >> 29) * 0xff51afd7ed558ccdu;
	return n <= most ? i : (size_t)((v ^ v >> 32) % n);
}
/* A member of up to 8 bytes. */
bool spread_value(struct spread *s, uint64_t address, uint32_t bytes, uint64_t *ret);

/* The block's bytes from `base` on are a `type`. rank 0: as the fit says. Word: where the pointer stands that says so; 0: none. */
void spread_offer(struct spread *s, block_id id, uint32_t type, uint64_t base, uint8_t rank, enum typed_by by, uint64_t word, bool weak);
/* A pointer at `word` says that there is a type. */
void spread_reach(struct spread *s, uint64_t pointer, const struct type_leaf *leaf, uint64_t word);
/* Where a block is. */
const struct block_place *spread_place(struct spread *s, block_id id);
static inline uint64_t spread_payload(struct spread *s, block_id id) { return spread_place(s, id)->payload; }
static inline uint64_t spread_usable(struct spread *s, block_id id) { return spread_place(s, id)->usable; }
/* Says now and then how far a pass is. Called for each block. */
void spread_say(const struct spread *s);
static inline void spread_count(struct spread *s)
{
	enum { SAY_EACH = 1 << 18 };
	if (++s->looked_at % SAY_EACH == 0 && s->say)
		spread_say(s);
}
/* Asks memory for what the next blocks will need, and the elements of an array behind this one. */
void spread_fetch_ahead(struct spread *s);
void spread_fetch_element(struct spread *s, uint64_t address, uint64_t size, uint32_t type);
bool spread_roots(struct spread *s);
/* What the user says. */
bool spread_taught(struct spread *s);
/* An object outside the heap. */
void spread_outside(struct spread *s, uint64_t address, uint32_t type);
/* Follows pointers until nothing is new. False: no memory, or interrupted. */
bool spread_run(struct spread *s);
/* Typed blocks are visited once more: those with pointers into untyped blocks; those that are fresh, of which wanted[type]. */
void spread_again_inside(struct spread *s);
void spread_again(struct spread *s, const bool *wanted);
void spread_all_fresh(struct spread *s);
/* A pointer behind a block's start. */
void spread_interior(struct spread *s, block_id id, uint64_t offset, const struct type_leaf *leaf, uint64_t word);
/* Which structs hold which, for pointers into blocks. */
bool spread_find_embeds(struct spread *s);
/* The struct that begins with this one, and is alone to fit where this is not all of the block; 0: none. */
uint32_t spread_container_at_start(struct spread *s, block_id id, uint32_t type, struct fit fit);
/* Which of the structs that begin with a header. */
bool spread_families(struct spread *s);
/* Which pointer of a union it is. */
bool spread_arms(struct spread *s);
/* What void * and the like point at, by what code casts them to. */
bool spread_casts(struct spread *s);
/* How well a type fits blocks, each from a base on. score below 0: not at all; exact: all are of its size; whole: of a multiple of it;
 * empty: no pointer of any says anything. */
struct verdict { double score; bool exact, whole, empty; };
struct verdict types_verdict(struct spread *s, uint32_t type, const block_id *ids, const uint32_t *base, unsigned n);
/* What an object's pointers say for its being of a type: below 0 against it. */
double shape_agreement(struct spread *s, uint32_t type, uint64_t address);
/* Which variable is where: s->g->tags. Of a pointer to one: 1: it is what the pointer says, -1: it is something else, 0: it leads to none. */
bool spread_find_tags(struct spread *s);
int spread_says_variable(const struct spread *s, uint64_t pointer, uint32_t target);
bool spread_is_text(struct spread *s, uint64_t address, uint64_t n);
/* Which of n names (some may be NULL) is called as an enumeration's value v is, where two or more are; -1: none. */
int types_called(const struct type_table *t, const struct type *values, uint64_t v, const char *const *names, unsigned n);
/* Unions of pointers, with a member beside them that says which. */
bool spread_variants(struct spread *s);
/* A block that such a pointer leads to, named by what is known of the union; false: nothing is. */
bool spread_told(struct spread *s, block_id id, const struct type_leaf *leaf, uint64_t word);
void variants_free(struct variants *vs);
/* Headers with a pointer to a variable that says which. */
bool spread_tags(struct spread *s);
/* The function at an address, when it says what it handles; NULL: it does not. */
const struct type_handler *spread_handler(const struct spread *s, uint64_t address);
/* Whether the pointer at a word is one that such a function says more of: then it is followed. */
bool spread_handled(struct spread *s, uint64_t pointer, uint64_t word);
/* The same of a pointer to what has a trait: the next word says of which type it is. */
bool spread_trait(struct spread *s, uint64_t pointer, uint32_t target, uint64_t word, uint64_t table);
/* Objects with a vtable. */
bool spread_vtables(struct spread *s);

static inline uint64_t types_in_use_key(uint32_t type, uint64_t usable) { return (uint64_t)type << 32 ^ usable; }
/* Without DWARF. */
uint32_t types_plain_label(struct types *t, block_id id, uint64_t payload, uint64_t usable);
/* The same; with typing what is known by its size alone may have a content. */
uint32_t types_known_label(struct types *t, block_id id, uint64_t payload, uint64_t usable);
/* The label of its type. */
uint32_t types_typed_label(struct types *t, const struct typed *at, uint64_t payload);
const char *types_content_name(enum content c);
enum content types_content(const struct types_priv *priv, uint64_t payload, uint64_t usable);
/* Which variable a header at `object` is tagged with: index into roots.list, and where the pointer stands. */
bool types_tag(const struct types *t, uint32_t header, uint64_t object, uint32_t *ret_root, uint32_t *ret_offset);
bool types_is_tagged(const struct types *t, const struct typed *of, uint64_t payload, uint32_t *ret_root, uint32_t *ret_offset);
/* Names unknown blocks by shape and size; after types_infer(). */
struct err *types_guess_all(struct types *t) MUST_CHECK;
/* Whether its type says more than a label that it has otherwise. */
bool types_prefer_typed(const struct typing *g, const struct typed *at, enum identified_by by);

/* Nothing is known of n blocks. */
bool typing_open(struct typing *g, size_t n);
bool typing_set(struct typing *g, block_id id, struct typed is); /* false: no memory */
void typing_close_kinds(struct typing *g);
/* Of the C library's types those that may lead to blocks. */
struct libc_types types_libc(struct types *t);
void typing_free(struct typing *g);
void unknown_free(struct unknown *u);
/* Finds u->reach. False: no memory, or interrupted. */
bool unknown_reach(const struct types_priv *priv, struct unknown *u);
/* Types are told anew when they are asked for. */
void types_forget(struct types *t);
/* Larger, and it begins as the header does. */
bool types_is_kind(const struct type_table *t, uint32_t id, uint32_t header);

#endif

/* What the files that read casts share: variables by DWARF, what code does with them, and the graph of what flows where. */
#ifndef MODULES_CASTS_H
#define MODULES_CASTS_H

#include "code.h"
#include "typereader.h"

/* Bounds on what a file can make us do. */
enum {
	CASTS_CODE = 96 << 20,		/* bytes of code that are decoded */
	CASTS_FUNCTION = 1 << 20,	/* of one function */
	CASTS_RANGES = 4 << 20,
	CASTS_FUNCTIONS = 1 << 20,
	CASTS_DIES = 40 << 20,
	CASTS_NODES = 1 << 20,
	CASTS_FLOWS = 4 << 20,
	CASTS_USES = 2 << 20,
	CASTS_CALLS = 2 << 20,
	CASTS_RANGES_OF_ONE = 4096,	/* of one variable */
};

/* What a pointer's target says: nothing, raw bytes, only a name, or what it is. */
enum pointee { POINTEE_NONE, POINTEE_VOID, POINTEE_CHAR, POINTEE_INCOMPLETE, POINTEE_COMPLETE };
enum pointee pointee_of(const struct type_table *t, uint32_t type);
static inline bool is_opaque(enum pointee p) { return p == POINTEE_VOID || p == POINTEE_CHAR || p == POINTEE_INCOMPLETE; }

enum { CASTS_ARGUMENTS = 8 };
/* How a machine names and uses registers; numbers as struct code_op has them. */
struct cast_machine {
	uint16_t elf_machine;
	int8_t of_dwarf[32];
	uint8_t n_dwarf;
	int8_t sp;
	int8_t arguments[CASTS_ARGUMENTS];
	uint8_t n_arguments;
	uint8_t stacked;	/* so many words of arguments are looked at where all are on the stack; else 0 */
	int8_t result;
	uint8_t cfa;		/* bytes between the stack pointer at a function's entry and the canonical frame address */
	uint32_t lost;		/* registers that a call may change */
};

enum { HELD_REGISTER, HELD_FRAME /* from the entry's stack pointer */, HELD_BASED /* from a register */ };
struct held { /* where a variable is, in a range of code */
	uint64_t start, end;
	uint32_t type;		/* of the variable */
	uint32_t variable;	/* number of it; inlined ones are each their own */
	int32_t offset;
	uint8_t how;
	int8_t reg;
};
struct cast_range { uint64_t start, end; uint32_t function; };
struct cast_function {
	uint64_t entry;
	uint32_t returns;	/* its type */
	uint32_t parameters[CASTS_ARGUMENTS]; /* by argument register, or word on the stack; types of variables, 0: none */
	bool reformed;		/* the compiler passes other values than its parameters: gcc's IPA-SRA */
	bool promising;		/* it has a variable that leads to a pointer that says little */
};

enum node_kind { NODE_FIELD, NODE_VARIABLE, NODE_INCOMPLETE, NODE_LOCAL, NODE_PARAMETER, NODE_RESULT, N_NODE_KINDS };
/* What a node is, as a number: its kind, whether it is deep, and which one of these it is. */
enum { NODE_KIND = 60, NODE_DEEP = 59 };
static inline uint64_t node_key(enum node_kind kind, bool deep, uint64_t what)
{
	return (uint64_t)kind << NODE_KIND | (uint64_t)deep << NODE_DEEP | (what & ((1ull << NODE_DEEP) - 1));
}
static inline enum node_kind node_kind(uint64_t key) { return key >> NODE_KIND; }
static inline bool node_is_deep(uint64_t key) { return key >> NODE_DEEP & 1; }
static inline uint64_t node_what(uint64_t key) { return key & ((1ull << NODE_DEEP) - 1); }
struct flow { uint32_t from, to; };
struct use { uint32_t node, type; uint64_t places; };

/* What code says: that of one module, or all of it. */
struct cast_part {
	VEC(uint64_t) nodes;	/* their keys; 0 is none */
	struct map64 by_key;
	VEC(struct flow) flows;
	struct map64 flow_seen;
	struct map64 sinks, sources; /* node << 32 | type -> places */
};

struct cast_call { uint64_t after; uint32_t to; }; /* of a function that the module declares only: index into outside */

struct cast_global { uint64_t start, end; uint32_t type; };

struct miner {
	struct modules *ms;
	struct type_reader *r;
	const struct cast_machine *machine;
	struct casts *result;
	VEC(struct held) held;		/* of one module; by start */
	VEC(struct cast_range) ranges;	/* code of its functions; by start */
	VEC(struct cast_function) functions;
	VEC(struct cast_global) globals;/* of one module; by start */
	VEC(struct cast_function) outside; /* functions of other modules, as this one declares them */
	VEC(struct cast_call) calls;	/* of them; by the address behind the call */
	struct map64 declared;		/* entry of a declaration -> index into outside */
	struct map64 by_entry;		/* address -> function */
	uint32_t variables;	/* of one module, as functions are */
	uint64_t variables_before, functions_before; /* of the modules that were read before */
	struct cast_part part;	/* of one module */
	struct cast_part whole;
	size_t budget;
	bool plain_c;			/* the unit that is read now */
	bool quiet;			/* nothing is noted */
	bool nomem;
};

uint32_t miner_node(struct miner *m, enum node_kind kind, bool deep, uint64_t what);
/* Of a pointer: what is there flows on; it is used as a type; it was one before. */
void miner_flow(struct miner *m, uint32_t from, uint32_t to);
void miner_sink(struct miner *m, uint32_t node, uint32_t type);
void miner_source(struct miner *m, uint32_t node, uint32_t type);

/* The same of a part, whatever it is. */
uint32_t part_node(struct miner *m, struct cast_part *p, uint64_t key);
void part_flow(struct miner *m, struct cast_part *p, uint32_t from, uint32_t to);
void part_use(struct miner *m, struct map64 *uses, uint32_t node, uint32_t type, uint64_t places);
void part_free(struct cast_part *p);
bool part_list_uses(const struct map64 *from, struct use **ret, size_t *ret_n); /* by node and type; the caller frees */

/* What an earlier look found in the code of r->m, into m->part. False: nothing that may be used; the part is empty. */
bool miner_recall(struct miner *m, uint32_t *ret_variables, size_t *ret_functions);
/* Keeps m->part for the next one. */
void miner_keep(struct miner *m, size_t decoded, uint64_t code_bytes, bool cut);

/* Variables, functions and globals of r->m. */
void miner_read_variables(struct miner *m);
/* Decodes the module's functions. */
struct err *miner_follow(struct miner *m, csh decoder) MUST_CHECK;

#endif

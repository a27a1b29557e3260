/* typetable: what DWARF says of types, as plain structs: read by modules, used by types. Nothing here is of the target's memory.
 * A type is an index into `types`; 0 is void. Types of one kind, name, size and line of declaration are one. Offsets and
 * sizes are bytes. Every index in a table that modules made is within bounds. */
#ifndef FLOTSAM_TYPETABLE_H
#define FLOTSAM_TYPETABLE_H

#include "flotsam/base.h"

enum type_kind { TYPE_VOID, TYPE_CHAR /* any number of one byte */, TYPE_NUMBER, TYPE_POINTER, TYPE_STRUCT, TYPE_UNION, TYPE_ARRAY, TYPE_CODE,
		 TYPE_INCOMPLETE /* declared, nowhere defined */ };

enum { NO_OFFSET = UINT32_MAX, MOST_TYPE_ARGUMENTS = 4 };

struct type_member { /* as it is written: of a struct, in order; of an enumeration its values, with each one as the offset */
	const char *name;	/* NULL: a base class, or nameless */
	uint32_t type, offset, bytes;
	uint16_t bits : 12, bit : 3; /* of a bit-field, and where in the first byte it begins; else 0 */
	bool base;
	bool weak;		/* of a union or a variant: it need not be what the bytes are */
	uint32_t when;		/* of a variant: index + 1 into conditions; 0: nobody says when it is there */
};
struct type_condition { /* a discriminant of an enum of Rust's has one of n values; or, except, none of them */
	uint32_t offset, bytes;
	uint32_t first, n;	/* of the table's values */
	uint32_t outer;		/* index + 1 of one that must hold too */
	bool except, strided;	/* strided: it moves with the element that it is in */
};
enum type_bound { BOUND_NOT, BOUND_POINTERS /* length and capacity are addresses: std::vector */, BOUND_COUNTS /* elements: Vec */, BOUND_TABLE /* length: buckets - 1; it points behind them: hashbrown */ };
struct type_leaf { /* a pointer, or an array of them, at whatever depth of a struct */
	uint32_t offset, target;/* target: what it points at */
	uint32_t count, stride;
	bool weak;
	bool node;		/* target is the node that a container of libstdc++ makes; DWARF says its base class */
	uint8_t bound;		/* enum type_bound: what it points at is an array, and members say how many elements are there */
	uint32_t length, capacity; /* where those stand */
	uint32_t when;		/* of a variant, though weak: index + 1 into conditions */
	uint32_t limit;		/* of an array, though weak: offset + 1 of a number of two bytes, so many are there; 0: all */
	uint8_t beyond;		/* and as many more */
	bool vtable;		/* of a class with virtual functions: it leads to their table, which lies in a module */
};
struct type_part { /* a struct within a struct, at whatever depth; no elements of arrays, nothing weak */
	uint32_t offset, type;
};

struct type {
	const char *name;	/* with its namespaces; NULL: nameless, or a pointer, an array, code */
	uint64_t size;		/* 0: unknown */
	uint64_t count;		/* elements of an array; 0: unknown, or flexible */
	uint32_t target;	/* of a pointer, or the element of an array */
	uint32_t module;	/* index of the module that tells of it */
	uint32_t first_member, n_members;
	uint32_t first_leaf, n_leaves;	/* by offset */
	uint32_t first_part, n_parts;
	uint32_t arguments[MOST_TYPE_ARGUMENTS]; /* of a template: its types */
	uint32_t flexible, element;	/* a last member without end: where it begins, of what; else NO_OFFSET */
	uint32_t next;		/* of the same name; 0: none */
	uint32_t line;		/* of its declaration; 0: unknown */
	enum type_kind kind : 8;
	uint8_t n_arguments;
	bool one_element;	/* the last member is an array of one, which is how C89 writes one without end */
	uint32_t holds;		/* raw bytes for an object of this type; 0: it is none such */
	bool header;		/* two or more larger structs begin with it: a pointer to it does not say which */
	uint32_t node, node_base; /* of a container, and of its nodes: the node, and what pointers to it say; 0: it is none */
	bool cut;		/* there was more of it than may be kept */
	bool virtual_bases;	/* where those lie, an object's vtable says */
};

/* A function that is made for one type: who holds its address says by it what lies beside. */
enum type_handled { HANDLED_FUNCTOR /* of a std::function, on the heap */, HANDLED_WITHIN /* in the std::function itself */, HANDLED_ANY, HANDLED_FRAME /* of a coroutine */, HANDLED_TRAIT /* no function: Rust's table of a type's methods */ };
struct type_handler { uint64_t address; uint32_t type; enum type_handled handled; };

struct type_table {
	VEC(struct type) types;
	VEC(struct type_member) members;
	VEC(struct type_leaf) leaves;
	VEC(struct type_part) parts;
	VEC(char *) strings;
	VEC(struct type_handler) handlers; /* by address */
	VEC(struct type_condition) conditions;
	VEC(uint64_t) values;	/* of discriminants */
	struct map64 by_name;	/* hash of a name without blanks -> the first of that name */
	unsigned word;		/* bytes of a pointer */
	uint64_t dies;		/* entries that were read */
	size_t modules;		/* that tell of types */
	size_t flat;		/* so many types have their leaves */
	bool cut;		/* a limit was reached */
};

enum typed_place { PLACE_GLOBAL, PLACE_TLS, PLACE_LOCAL };
struct typed_root { /* a variable */
	const char *name;	/* kept by the table */
	const char *function;	/* PLACE_LOCAL: readable, or NULL */
	uint64_t address;	/* 0: in registers: */
	const uint8_t *bytes;	/* n of them; those that are not known are 0 */
	size_t n;
	uint32_t type;
	enum typed_place place;
	uint32_t thread;	/* of TLS and locals */
	uint32_t module;
};
struct typed_roots {
	VEC(struct typed_root) list;
	VEC(char *) kept;
	size_t globals, tls, locals;
	size_t frames;		/* that were looked at */
	size_t frames_dark;	/* without DWARF */
	bool cut;
};

/* What code says of pointers whose type says little: void *, char *, pointers to structs that are declared only. */
struct cast { /* what lies behind such a pointer is, at so many places of the code, a `target` */
	uint32_t outer;		/* the struct whose member it is, or the incomplete type that it points at; 0: a variable */
	uint32_t offset;	/* of the member */
	uint64_t address;	/* of the variable */
	uint32_t target;
	uint32_t places;
	uint8_t distance;	/* through so many variables, parameters and results the pointer went before */
	bool deep;		/* not itself: it points at pointers, and those are meant */
};
struct casts {
	VEC(struct cast) list;	/* by outer, offset, address, deep; near before far, more places before fewer */
	size_t modules, recalled; /* that have DWARF; of them those whose code an earlier look had read */
	size_t functions;	/* that were decoded, then or now */
	uint64_t code_bytes;
	double seconds;
	bool cut;		/* a limit was reached */
};
/* Those of one pointer, *ret_n of them; NULL: none. */
const struct cast *type_casts_find(const struct casts *c, uint32_t outer, uint32_t offset, uint64_t address, bool deep, size_t *ret_n);
/* Puts them in order. */
void type_casts_sort(struct casts *c);

/* Computes leaves, parts and flexible members of the types that have none yet. False: no memory, or interrupted. */
bool type_table_flatten(struct type_table *t);
void type_table_free(struct type_table *t); /* NULL allowed */
void typed_roots_free(struct typed_roots *r);
/* FNV-1a without blanks: names of templates are written in more than one way. */
uint64_t type_table_hash(const char *name, size_t n);
/* A struct or union of that name, with or without "struct "; 0: none. Others of it follow by `next`. */
uint32_t type_table_find(const struct type_table *t, const char *name);
/* The same by the name that type_table_name() says, which leaves out what templates have by default. */
uint32_t type_table_find_readable(const struct type_table *t, const char *name);
/* "zset", "dictEntry *[2]". */
void type_table_name(const struct type_table *t, uint32_t type, struct strbuf *to);
/* "dict.ht[0].table": the member at an offset, as deep as `leaf`, the type of what lies there, or as deep as it goes (0). */
void type_table_path(const struct type_table *t, uint32_t type, uint64_t offset, struct strbuf *to);
static inline const struct type *table_type(const struct type_table *t, uint32_t type) { return &t->types.at[type]; }
static inline bool type_is_struct(const struct type *t) { return t->kind == TYPE_STRUCT || t->kind == TYPE_UNION; }

#endif

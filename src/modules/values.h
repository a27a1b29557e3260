/* What the files that read values by DWARF share. Entries of a file may lead in circles: each walk along them is counted. */
#ifndef MODULES_VALUES_H
#define MODULES_VALUES_H

#include "modules.h"

#include <dwarf.h>

enum { MAX_LINKS = 64 /* from a type to what it stands for */ };

/* The entry that an attribute refers to; false when it has none. */
bool type_ref(Dwarf_Die *die, unsigned attribute, Dwarf_Die *ret);
/* The type behind typedefs and qualifiers. False: void, or a circle. */
bool type_peel(Dwarf_Die *type, Dwarf_Die *ret);
/* Bytes of a value of this type; false when its size is not constant. */
bool type_size(Dwarf_Die *type, unsigned word, uint64_t *ret);
/* Number of dimensions of an array type, with the elements of each (0: unknown); at most MAX_DIMENSIONS. */
enum { MAX_DIMENSIONS = 8 };
unsigned type_dimensions(Dwarf_Die *array, uint64_t ret[MAX_DIMENSIONS]);
/* "struct point *", "ns::box<int> [8]". The caller frees. type NULL: void. */
char *type_name(struct modules *ms, Dwarf_Die *type);
/* "ns::outer::" of ns::outer::name; "" when nothing is around it. */
const char *type_scope(struct modules *ms, Dwarf_Die *type);
/* The bytes of one element, and its type; false: not known. *ret_last: it is no array of the same type any more. */
bool type_element(Dwarf_Die *array, unsigned dimension, unsigned word, Dwarf_Die *ret, uint64_t *ret_size, bool *ret_last);
bool type_is_char(Dwarf_Die *peeled);
bool type_number(Dwarf_Die *die, unsigned attribute, uint64_t *ret);

/* Types and variables by name. */
enum named_kind { NAMED_TYPE = 1, NAMED_VARIABLE = 2 };
/* With or without namespaces; a definition before a declaration. "struct X" finds X. */
bool named_find(struct modules *ms, const char *name, enum named_kind kind, struct module **ret_module, Dwarf_Die *ret);
/* The entry at an offset in the DWARF of a module. */
bool entry_at(struct modules *ms, struct module *m, Dwarf_Off offset, Dwarf_Die *ret);
/* The variable whose object begins at address. */
bool variable_at(struct modules *ms, uint64_t address, struct module **ret_module, Dwarf_Die *ret);

/* Where a value is. */
struct place {
	const char *missing;	/* static: why it is nowhere; NULL otherwise */
	bool in_memory;
	uint64_t address;	/* of the target */
	uint8_t *bytes, *known;	/* !in_memory: n bytes, and whether each is known; kept by the evaluation */
	size_t n;
};
/* What a location is computed from. */
struct evaluation {
	struct modules *ms;
	struct module *m;	/* whose expressions these are */
	const struct value_place *at; /* NULL: no frame */
	unsigned frame;		/* of at->frames */
	Dwarf_Die *function;	/* has the frame base; NULL: none */
	struct values *keep;	/* owns bytes */
	unsigned depth;		/* entry values lead to the caller's expressions */
	const uint64_t *object;	/* pushed first: the address of the object that a member lies in */
};
/* Where the variable, parameter or constant of this entry is. */
void locate(struct evaluation *e, Dwarf_Die *die, struct place *ret);
/* A member's offset when it is an expression. */
bool locate_member(struct evaluation *e, Dwarf_Attribute *attr, uint64_t object, uint64_t *ret);
/* n bytes at an offset of a place; false: not readable, or not known. *ret_why then. */
bool place_read(struct modules *ms, const struct place *p, uint64_t offset, void *to, size_t n, const char **ret_why);

struct spot { /* a value, before it is read */
	Dwarf_Die type;
	bool void_type;		/* a declaration without a type */
	const char *missing;
	struct place place;
	uint64_t offset;	/* in the place */
	unsigned dimension;	/* of the array type: so many are behind us */
	uint64_t bits, bit_offset; /* bits 0: no bit-field; from the lowest bit at offset */
};
/* Adds a value and all in it behind the list e->keep. */
struct err *values_add(struct evaluation *e, const char *name, const struct spot *at, bool parameter) MUST_CHECK;
/* Parameters, then variables, as modules_locals() has them; `line`: where it is declared. ERR_NOT_FOUND: no DWARF for this pc. */
typedef struct err *local_fn(void *ctx, struct evaluation *e, const char *name, const struct spot *at, bool parameter, struct source_line line);
struct err *locals_each(struct modules *ms, const struct value_place *at, struct values *keep, local_fn *f, void *ctx) MUST_CHECK;
/* A member, or a base class, of a structure. False: the entry is none, or is static. */
bool member_spot(struct evaluation *e, const struct spot *of, Dwarf_Die *member, struct spot *ret);
/* A declaration becomes the definition, which may stand in another unit or module. False: there is none. */
bool type_definition(struct modules *ms, Dwarf_Die *type);
/* Follows .member, ->member, [N] to the end of the text. */
struct err *path_follow(struct evaluation *e, const char *path, struct spot *at) MUST_CHECK;
/* What a pointer or reference leads to. */
struct err *path_dereference(struct evaluation *e, struct spot *at) MUST_CHECK;
const char *values_keep(struct values *v, char *text);

#endif

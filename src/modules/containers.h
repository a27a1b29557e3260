/* Containers: types made into shapes once, so that walking millions of objects asks DWARF nothing. */
#ifndef MODULES_CONTAINERS_H
#define MODULES_CONTAINERS_H

#include "values.h"

enum { MAX_FIELDS = 8, NO_SHAPE = 0 /* of what leads nowhere */ };

enum form { FORM_SPAN, FORM_BITS, FORM_STRING, FORM_OLD_STRING, FORM_DEQUE, FORM_LIST, FORM_CHAIN, FORM_TREE, FORM_VEC, FORM_TEXT, FORM_RING, FORM_OLD_RING, FORM_SWISS,
	    FORM_BTREE, FORM_GLIST, FORM_GSLIST, FORM_GQUEUE, FORM_GHASH, FORM_GARRAY, FORM_GPTRARRAY, FORM_GSTRING, FORM_GTREE, FORM_LIBCXX_TEXT, FORM_LIBCXX_DEQUE, FORM_LIBCXX_BITS,
	    FORM_HASH, FORM_SHARED, FORM_WEAK, FORM_COUNTED, FORM_UNIQUE, FORM_OPTIONAL,
	    FORM_VARIANT,
	    FORM_ADAPTOR /* of the container that its first field is */, N_FORMS };

/* A kind of container: a type's name, and where its members are. */
struct container_row {
	const char *type;	/* up to its arguments; with '<': the first argument too */
	const char *scope;	/* the namespace with "::" behind it; NULL: std */
	bool own_name;		/* its arguments stand in its name alone */
	bool plain;		/* it has no arguments */
	bool glib;		/* of C, which may know no more than its name: the form knows where its members are */
	const char *kind;
	enum form form;
	const char *fields[MAX_FIELDS]; /* paths of members, in the order that the form wants them; "+": the word behind the one before */
	const char *from;	/* the member whose type's template argument is the element; "": the type itself */
	unsigned argument, shown; /* which one; how many are worth showing */
	const char *behind;	/* where the element lies in what the first field points at; NULL: at its start */
	unsigned node_words;	/* words in front of the element in its node */
	bool children_first;	/* a tree's node begins with its children, and its value may begin in the fourth word */
	const char *step;	/* how an element is written behind the container's name */
};
static inline bool form_is_text(enum form f)
{
	return f == FORM_STRING || f == FORM_OLD_STRING || f == FORM_LIBCXX_TEXT || f == FORM_TEXT || f == FORM_GSTRING;
}
extern const struct container_row container_rows[];
extern const size_t n_container_rows;
extern const struct container_row container_box;

enum { BTREE_LENGTH, BTREE_ROOT, BTREE_NODE, BTREE_HEIGHT, BTREE_USED, BTREE_KEYS }; /* fields: the first node and its height; in a node */
enum shape_kind { SHAPE_UNMADE, SHAPE_DULL, SHAPE_PARTS, SHAPE_ARRAY, SHAPE_POINTER, SHAPE_CONTAINER };
struct part {
	uint64_t offset;
	const char *name;	/* NULL: a base class or nameless */
	uint32_t shape;
};
struct shape { /* of a type */
	Dwarf_Die die, leaf;	/* leaf: of a tree its nodes' */
	enum shape_kind kind;
	bool leads;		/* to a container, or is one */
	uint32_t element;	/* of arrays, pointers, containers */
	uint64_t bytes, unit;	/* of an object, of an element */
	uint64_t count;		/* of an array's elements */
	VEC(struct part) parts;	/* members; of a variant its alternatives */
	const struct container_row *row;
	uint64_t at[MAX_FIELDS]; /* offsets of the fields */
	uint8_t wide[MAX_FIELDS];/* their bytes, up to 8 */
	uint64_t value, node;	/* where the element lies in its node; the node's bytes */
	bool rows;		/* a pointer to a row of elements */
	const char *kind_name;	/* the row's, unless an adaptor's */
	const char *type, *element_type;
};
struct shapes {
	struct modules *ms;
	VEC(struct shape) list;	/* list.at[NO_SHAPE] is dull */
	struct map64 by_die;
	bool cut, nomem;
};

bool shapes_init(struct shapes *t, struct modules *ms);
void shapes_free(struct shapes *t);
/* The shape of a type, to be made. */
uint32_t shapes_of(struct shapes *t, Dwarf_Die *type);
/* Makes this one alone. */
void shapes_make_one(struct shapes *t, uint32_t at);
/* Makes all that were asked for, and all that they lead to. */
void shapes_make(struct shapes *t);

#endif

/* Types as they are read from DWARF: what typereader.c and typeroots.c share. */
#ifndef MODULES_TYPEREADER_H
#define MODULES_TYPEREADER_H

#include "guard.h"
#include "values.h"

enum { MOST_TYPES = 4 << 20, MOST_MEMBERS = 32 << 20, MEMBERS_OF_ONE = 16384, MOST_THREAD_VARIABLES = 1 << 16 };

struct unread { Dwarf_Die die; uint32_t id, module; }; /* a struct whose members are still to be read */
struct thread_die { Dwarf_Die die; uint32_t module; };

struct handler_row;
struct handler_declared { Dwarf_Die of; const struct handler_row *row; };
struct handler_defined { Dwarf_Off method; uint64_t entry; };
struct handler_search { /* for functions that say what they handle, in a unit */
	struct type_reader *r;
	Dwarf_Die within;	/* the last class that began */
	bool any;
	struct map64 methods;	/* offset of a declaration -> declared */
	VEC(struct handler_declared) declared;
	VEC(struct handler_defined) defined;
};

struct type_reader {
	struct modules *ms;
	struct type_table *t;
	struct module *m;	/* the one that is read now */
	uint32_t module;	/* its index */
	struct map64 by_die;	/* address of an entry -> type + 1 */
	struct map64 by_key;	/* hash of what makes a type the same -> type */
	struct map64 typedefs;	/* address of a nameless struct's entry -> the name that a typedef gives it */
	VEC(struct unread) unread;
	VEC(Dwarf_Die) unit;	/* structs of the unit that is read now */
	VEC(struct thread_die) thread_dies;
	size_t next;		/* of unread */
	size_t budget;
	bool nomem;
	struct handler_search search;
	bool handlers;		/* the unit that is read now has classes with them */
	size_t name_bytes;	/* of t->strings */
	bool declares_libc;	/* a type that only the C library's own DWARF knows */
	bool whole;		/* nothing of the C library is left out */
};

/* The type of an entry; 0 is void, and what could not be read. */
uint32_t reader_resolve(struct type_reader *r, Dwarf_Die *type);
/* A file of the C library's package. */
bool reader_is_libc(const struct module *m);
/* A type that is neither a struct nor an enumeration, by what it is made of. */
uint32_t reader_simple(struct type_reader *r, enum type_kind kind, uint32_t target, uint64_t count, uint64_t size, const char *name);
/* A struct, a union or an enumeration that was met; 0: none. */
uint32_t reader_find(const struct type_reader *r, enum type_kind kind, const char *name, uint64_t size, uint64_t line);
/* The entry that a struct, a union or an enumeration was read from; NULL: it is no such type. */
const struct unread *reader_entry(const struct type_reader *r, uint32_t type);
/* Reads the members of all structs that were met. */
struct err *reader_finish(struct type_reader *r) MUST_CHECK;

/* Classes, and coroutines' frames, whose functions say what they handle; those of a unit; all of them in order. */
bool handlers_are_of(Dwarf_Die *die);
void handlers_read(struct type_reader *r, Dwarf_Die *unit);
void handlers_free(struct type_reader *r);
void handlers_sort(struct type_table *t);

#endif

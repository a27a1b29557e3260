/* What the files of modules share. libelf and libdw handles live here and nowhere else. */
#ifndef MODULES_INTERNAL_H
#define MODULES_INTERNAL_H

#include "flotsam/modules_code.h"
#include "flotsam/modules_values.h"

#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <gelf.h>

struct raw_symbol { /* sorted by address */
	uint64_t address, size; /* of the target; TLS: offset */
	const char *name;
	uint8_t type, bind;
};

struct data_line { uint64_t address; const char *file; int line; Dwarf_Off die; };

struct named { /* a type or variable; by hash of its name, better ones first */
	uint64_t hash;
	Dwarf_Off die;
	uint8_t kind;
	bool second_choice, alt; /* alt: of the file that dwz shares */
	bool in_types;		/* die counts from the start of .debug_types (DWARF 4) */
};

struct unit_range { uint64_t start, end; Dwarf_Off die; }; /* link-time addresses */

struct priv { /* of one module */
	int fd, debug_fd;	/* -1: none */
	Elf *elf, *debug_elf;
	char *memory;		/* of the vDSO, which has no file: what elf reads */
	size_t memory_bytes;
	bool memory_whole;	/* false: zeros stand for pages that nobody touched */
	Dwarf *dwarf, *alt;
	struct beginning *beginning; /* of one of them: Ctrl-C came meanwhile (begin.c) */
	bool own_begun, debug_begun;
	int alt_fd;
	bool symbols_read, lines_read, dwarf_tried, debug_tried;
	bool asks_for_loader;	/* PT_INTERP */
	uint64_t dynamic, dynamic_bytes; /* PT_DYNAMIC; 0, 0: none */
	VEC(struct raw_symbol) symbols, tls;
	uint32_t *by_name;	/* hash table over symbols, then tls: index + 1 */
	size_t by_name_size;
	VEC(struct data_line) lines, thread_lines; /* of thread variables the address is the offset in the block */
	VEC(struct unit_range) units;
	VEC(struct named) named;
	bool units_read, named_read, types_read;
	bool tls_offset_known, tls_offset_tried;
	uint64_t tls_offset;
	struct code *code;	/* NULL: not asked for yet */
	bool broken;		/* libdw crashed on it, or did not end (guard.c) */
	unsigned spent;		/* of the processor by libdw, in ticks of guard.c */
};

struct modules {
	struct target *target;
	struct image *img;	/* NULL before the look */
	struct modules_options o;
	VEC(struct module *) list; /* sorted by start */
	struct map64 vtables;	/* address -> pointer to the class name, 0: none */
	struct map64 looks;	/* address -> does it look like a vtable */
	struct map64 scopes, scoped_units; /* what is around a type, by its entry; the units that were read for that */
	struct map64 functions;	/* raw name of a symbol, by its pointer -> readable name */
	struct allocation_sites *sites; /* NULL: not asked for yet */
	struct type_reader *types; /* NULL: not asked for yet */
	struct libc_types libc_types;
	struct casts *casts;	/* of those types; NULL: not asked for yet */
	VEC(char *) names;	/* strings that live as long as this */
	size_t name_bytes;
	Dwfl *dwfl;		/* for unwinding; NULL until then */
	struct walk *walk;	/* the thread that is being unwound */
	bool broken;		/* unwinding crashed (guard.c) */
	unsigned spent;		/* by unwinding */
	VEC(const char *) losses; /* what was given up, in words */
	size_t losses_told, die_hint;
};

static inline struct priv *priv_of(const struct module *m)
{
	return m->priv;
}

/* Bytes of the target: the image where there is one, else a peek. */
bool modules_read(struct modules *ms, uint64_t address, void *to, size_t n);
bool modules_word(struct modules *ms, uint64_t address, uint64_t *ret);
const struct arch *modules_arch(const struct modules *ms);
/* Keeps a string until modules_close(); takes it over. */
const char *modules_keep(struct modules *ms, char *text);
/* Opens the separate debug file, once. */
void modules_open_debug(struct modules *ms, struct module *m);
Dwarf *modules_dwarf(struct modules *ms, struct module *m);
/* Gives up what unwinding keeps of the modules. */
void modules_detach(struct modules *ms);
void modules_read_symbols(struct modules *ms, struct module *m);

/* Entries whose code holds a pc, outermost first: a function, blocks in it, functions inlined there. */
enum { MAX_SCOPES = 128 };
struct scope_chain { Dwarf_Die at[MAX_SCOPES]; size_t n; };
bool modules_scopes(struct modules *ms, struct module *m, uint64_t pc, struct scope_chain *ret);
/* The compilation unit that a pc of the target belongs to. */
bool modules_unit_at(struct modules *ms, struct module *m, uint64_t pc, Dwarf_Die *ret);
/* The variable whose object begins at address, or NULL. */
const struct data_line *modules_variable_at(struct modules *ms, struct module *m, uint64_t address);
/* All variables that DWARF gives an address, sorted by it; returns how many. */
size_t modules_variables(struct modules *ms, struct module *m, const struct data_line **ret);
/* The same of thread variables, by no order: their address is where they lie in the module's block. */
size_t modules_thread_variables(struct modules *ms, struct module *m, const struct data_line **ret);
/* Depth first through all entries of a unit; *budget counts them down. */
void modules_each_die(Dwarf_Die *unit, size_t *budget, void (*f)(void *ctx, Dwarf_Die *die), void *ctx);
/* What modules_type_table() keeps. */
void modules_free_types(struct modules *ms);
/* What modules_casts() keeps. */
void modules_free_casts(struct modules *ms);
/* A function's name made readable, without a version; kept. */
const char *modules_function_name(struct modules *ms, const char *symbol);

#endif

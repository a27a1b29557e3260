/* modules: what DWARF says of values and types: variables, objects, containers, the table of all types. */
#ifndef FLOTSAM_MODULES_VALUES_H
#define FLOTSAM_MODULES_VALUES_H

#include "flotsam/modules.h"
#include "flotsam/typetable.h"

/* Values by DWARF: a list in which what a value consists of stands behind it, one level deeper. */
enum value_kind { VALUE_SCALAR, VALUE_POINTER, VALUE_REFERENCE, VALUE_STRUCT, VALUE_ARRAY };
struct value {
	unsigned depth;
	enum value_kind kind;
	const char *name;	/* of the variable or member; "<base>"; NULL: an element, or nameless */
	const char *type;
	const char *text;	/* as gdb writes it; NULL where it has parts. Raw: escape on output */
	const char *missing;	/* why there is no value, static; else NULL */
	uint64_t address, bytes;/* address 0: not in memory */
	uint64_t pointer;	/* pointers and references: where to */
	uint64_t repeats;	/* an element that stands for so many equal ones; else 1 */
	bool parameter;
};
struct values {
	VEC(struct value) list;
	VEC(char *) strings;
	bool cut;		/* there is more than a list may hold */
};
void values_free(struct values *v);
/* The address of a thread variable. */
typedef bool modules_tls_fn(const void *ctx, const struct thread *t, struct module *m, uint64_t offset, uint64_t *ret);
struct value_place { /* a frame: what its variables are computed from */
	const struct thread *thread;
	const struct frame *frames;
	const struct frame_registers *registers;
	size_t n_frames;
	unsigned frame, level;	/* level: index into what modules_running() says of it */
	modules_tls_fn *tls;	/* NULL: thread variables cannot be had */
	const void *tls_ctx;
};
/* Parameters, then the variables of the blocks that run, innermost first. ERR_NOT_FOUND: no DWARF for this pc. */
struct err *modules_locals(struct modules *ms, const struct value_place *at, struct values *ret) MUST_CHECK;
/* A variable by name: of the frame (at NULL: none), else of the program; .member, ->member and [N] may follow, * precede it. */
struct err *modules_variable(struct modules *ms, const struct value_place *at, const char *name, struct values *ret) MUST_CHECK;
/* The bytes at an address as an object of a type: "struct point", "ns::Session", "long [4]", "char *". */
struct err *modules_object(struct modules *ms, const char *type, uint64_t address, struct values *ret) MUST_CHECK;

/* Containers of the standard libraries of C++ and Rust, and of GLib, by the DWARF of the variables that hold them and of what those
 * hold in turn. */
struct container { /* those that stand at one name: the same member of all elements is one */
	const char *kind;	/* static: "std::map" */
	const char *name;	/* "g_state.sessions[].tags" */
	const char *where;	/* as given for the frame; NULL: a variable of the program */
	struct source_line line;/* where that is declared; file NULL: unknown */
	const char *type, *element; /* without allocators and the like: "std::map<int, std::string>" */
	uint64_t address;	/* the first object of its kind here */
	uint64_t element_bytes;
	uint64_t containers;	/* objects, empty ones too */
	uint64_t items, capacity; /* of all; capacity UNKNOWN where there is none */
	uint64_t most;		/* items of the largest one */
	uint64_t bytes;		/* of the memory that they own; that of their objects is their holder's */
	uint64_t wasted;	/* of it, room for items that are not there */
	uint64_t damaged;	/* objects left out: what they say of themselves cannot be. Of frames: not made yet, perhaps */
	bool characters;	/* items are characters of a text */
};
enum { TYPE_UNKNOWN, TYPE_TEXT, N_TYPES_KNOWN };
struct container_heap {
	uint64_t (*block)(void *ctx, uint64_t address); /* usable bytes of the used block that begins there; 0: none */
	bool (*take)(void *ctx, uint64_t address);	/* of such a block: true at the first time */
	/* What it is, for pointers that do not say: a number for each type. NULL: that is not asked. */
	uint32_t (*type)(void *ctx, uint64_t address);
	const char *(*type_name)(void *ctx, uint32_t type);
	void *ctx;
};
struct containers {
	VEC(struct container) list;
	uint64_t variables;	/* whose types lead to containers */
	bool cut;		/* a limit was reached: there are more */
	struct container_search *search;
};
/* Then globals, thread variables and frames in any order, then finish, which walks. `heap` NULL: it was not walked, pointers are not followed. It is
 * copied. ret->list stays empty until the end. */
struct err *modules_containers_begin(struct modules *ms, const struct container_heap *heap, struct containers *ret) MUST_CHECK;
struct err *modules_containers_globals(struct containers *c) MUST_CHECK;
struct err *modules_containers_threads(struct containers *c, modules_tls_fn *tls, const void *ctx) MUST_CHECK;
struct err *modules_containers_frame(struct containers *c, const struct value_place *at, const char *where) MUST_CHECK;
struct err *modules_containers_finish(struct containers *c) MUST_CHECK;
void modules_containers_free(struct containers *c);
/* The container that a variable is, points at, or has among its members, by its own count: elements are not looked at. Of several
 * members the one with the most items; with `word` other than 0 the one that holds that address. name is the way to it from the
 * variable (".sessions", "->users"; "": itself), of a frame that of the variable too. Of *ret kind, type (with " *" of a pointer),
 * element, items (UNKNOWN: not counted), capacity, address and bytes (of its first block alone) are set besides. False: there is
 * none, or it cannot be what it says. */
bool modules_container_at(struct modules *ms, uint64_t address, const struct container_heap *heap, uint64_t word, struct container *ret);
/* The same of the thread variable at that offset in m's block, which this thread has at `address`. */
bool modules_container_of_thread(struct modules *ms, struct module *m, uint64_t offset, uint64_t address, const struct container_heap *heap,
				 uint64_t word, struct container *ret);
/* The same of a frame: those that own blocks in `heap`, which is not NULL. */
bool modules_container_of_frame(struct modules *ms, const struct value_place *at, const struct container_heap *heap, uint64_t word,
				struct container *ret);
/* The C library's own DWARF takes ten times as long as that of a small program, and rarely says what a program's blocks are. Whose of
 * its files are read, and which of its frames are asked for their variables. Nobody asked: all. */
struct libc_types {
	bool (*of_module)(void *ctx, struct module *m);
	bool (*of_frame)(void *ctx, const struct frame *f);
	void *ctx;
};
void modules_choose_libc_types(struct modules *ms, const struct libc_types *choose); /* copied; before the table is read */
/* All types of all modules with DWARF, read when first asked for; of the C library's what was chosen, or declared elsewhere. It
 * belongs to the modules; the next call may add to it. */
struct err *modules_type_table(struct modules *ms, struct type_table **ret) MUST_CHECK;
/* How large .debug_info is of all files but the C library's, by their section headers alone: nothing is inflated or read for that.
 * UNKNOWN: files would have to be fetched. */
uint64_t modules_dwarf_bytes(struct modules *ms);
/* With the rest of it: for names that people ask for. */
struct err *modules_whole_type_table(struct modules *ms, struct type_table **ret) MUST_CHECK;
/* Casts in the code of all modules but the C library's, found once and kept: where DWARF places variables in registers and on the
 * stack around loads and stores of such pointers, the code itself is the witness. The table grows by types that are met here. */
struct err *modules_casts(struct modules *ms, const struct casts **ret) MUST_CHECK;
/* Variables with a type: of the program, of each thread, of each frame at its pc. */
struct err *modules_typed_roots(struct modules *ms, modules_tls_fn *tls, const void *tls_ctx, struct typed_roots *ret) MUST_CHECK;

#endif

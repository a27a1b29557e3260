/* modules: the ELF files mapped into the target: identity, symbols, DWARF, unwinding. The only user of libdw.
 * Files come through the target (below its root, regular, build-id as in memory); libdwfl's own finders are not used.
 * Strings belong to the modules object. One thread at a time: libdw is not thread-safe. */
#ifndef FLOTSAM_MODULES_H
#define FLOTSAM_MODULES_H

#include "flotsam/image.h"
#include "flotsam/typetable.h"

enum module_role { MODULE_OTHER, MODULE_PROGRAM, MODULE_LIBC, MODULE_LDSO, MODULE_LIBPTHREAD, MODULE_LIBSTDCXX, MODULE_VDSO };

struct module_segment { /* a PT_LOAD, in addresses of the target */
	uint64_t start, end;	/* memory size; end not rounded */
	uint64_t file_end;	/* start + p_filesz: from here on .bss */
	uint64_t file_offset;
	uint8_t prot;		/* p_flags as PROT_* */
};

struct module {
	const char *path;	/* as mapped */
	const char *name;	/* basename */
	enum module_role role;
	uint64_t start, end;	/* of all segments */
	uint64_t bias;		/* target address - link-time address */
	uint8_t build_id[64];
	uint8_t build_id_n;	/* 0: none */
	bool have_file;		/* the file was opened and is the one mapped */
	const char *no_file_why;/* when !have_file: why, in words; else NULL */
	bool have_symtab;	/* .symtab, its own or from a separate debug file */
	bool have_dwarf;
	struct span file;	/* bytes of the file, empty when !have_file */
	struct module_segment *segments;
	size_t n_segments;
	uint64_t relro_start, relro_end; /* 0, 0 when none */
	uint64_t tls_start, tls_file_bytes, tls_bytes, tls_align; /* PT_TLS image in target addresses; tls_bytes 0: none */
	void *priv;		/* modules' own */
};

struct modules;
struct modules_options {
	const char *debug_dir;	/* besides /usr/lib/debug; or NULL */
	/* Where no debug file is: one of this build-id (in hexadecimal) from elsewhere, -1: none. NULL: nobody is asked. */
	int (*fetch)(void *ctx, const char *build_id);
	void *fetch_ctx;
};

/* Finds all modules in the picture's mappings (live: opens files through the target) and adds their file bytes to the
 * image. Modules whose file cannot be had stay in the list, from their ELF header in memory as far as it is there.
 * `picture` mappings may come from target_survey() (then image is NULL and memory is peeked). */
struct err *modules_open(struct target *t, struct image *img, const struct modules_options *o, struct modules **ret) MUST_CHECK;
void modules_close(struct modules *m);
/* A file may make the libraries that read its names crash, or busy without an end: then it loses them. What was lost since the last
 * call, one a call, in words; NULL: no more. */
const char *modules_next_loss(struct modules *ms);
/* What a file's names may cost in time is counted from here on. */
void modules_begin_question(struct modules *ms);
/* Modules that were found before, sorted by start, without their files: what is asked of them beyond these members is unknown. The
 * strings are borrowed. */
struct err *modules_restore(struct target *t, struct image *img, const struct module *list, size_t n, struct modules **ret) MUST_CHECK;
/* Attaches the image of the look to modules that were opened at the survey; new mappings are added, gone ones dropped. */
struct err *modules_refresh(struct modules *m, struct image *img) MUST_CHECK;

size_t modules_count(const struct modules *m);
struct module *modules_get(const struct modules *m, size_t index);
struct module *modules_at(const struct modules *m, uint64_t address); /* NULL when none */
struct module *modules_by_role(const struct modules *m, enum module_role role); /* the first, or NULL */
/* All bytes of the vDSO, as far as they are known: empty otherwise. A look has only the pages that were touched. */
struct span modules_vdso(const struct modules *ms);

struct symbol {
	const char *name;	/* raw */
	uint64_t address, size;	/* TLS symbols: offset in the module's TLS block */
	bool is_function, is_object, is_tls, is_global;
	struct module *module;
};
/* Of restored modules: adds one; they come by address. The name is borrowed. */
struct err *modules_restore_symbol(struct modules *ms, const struct symbol *s) MUST_CHECK;
/* Symbols and DWARF are read when first asked for: this asks, so that have_symtab and have_dwarf are final. */
void modules_read_names(struct modules *ms, struct module *m);
/* By exact name in .symtab, .dynsym or a separate debug file's .symtab. */
bool modules_symbol(struct modules *ms, struct module *m, const char *name, struct symbol *ret);
/* Where the module's calls of another module's function `name` lead, as ld.so bound them. False: it has none, or never called
 * it, or there is no file to ask. */
bool modules_bound(struct modules *ms, struct module *m, const char *name, uint64_t *ret);
/* The object or function that covers address. */
bool modules_symbol_at(struct modules *ms, uint64_t address, struct symbol *ret);
/* The TLS object that covers `offset` in the module's TLS block. */
bool modules_tls_symbol_at(struct modules *ms, struct module *m, uint64_t offset, struct symbol *ret);

/* By name as it is linked or as people write it (ns::g_cache), in all modules, the program's first; no TLS. */
bool modules_find_symbol(struct modules *ms, const char *name, struct symbol *ret);
/* Names of symbols that begin with prefix, one a call; *cursor 0 at first. NULL at the end. */
const char *modules_symbol_by_prefix(struct modules *ms, const char *prefix, size_t *cursor);
/* The same of types that DWARF tells of; the prefix may begin with namespaces. */
const char *modules_type_by_prefix(struct modules *ms, const char *prefix, size_t *cursor);

/* Offset of the module's static TLS block from every thread pointer (negative as two's complement on x86), read from its GOT
 * slots with R_*_TPOFF relocations without a symbol: slot = offset + addend. False when it has none. */
bool modules_tls_offset(struct modules *ms, struct module *m, uint64_t *ret);

struct source_line {
	const char *file; /* basename, or NULL */
	int line;
};
/* Where a data object is declared (DWARF DW_AT_decl_*), by its address; function: line of the pc. */
bool modules_data_line(struct modules *ms, uint64_t address, struct source_line *ret);
bool modules_code_line(struct modules *ms, uint64_t pc, struct source_line *ret);
/* C++ or Rust name made readable; the raw name when it is not mangled. Caller frees. */
char *modules_demangle(const char *name);

/* When address is where a C++ object's first word points (behind a vtable's header): the class's demangled name,
 * else NULL. By symbol (_ZTV...), else through the typeinfo pointer in front of it. */
const char *modules_vtable_class(struct modules *ms, uint64_t address);
/* Address lies in a module's read-only data or RELRO, and the word before it is 0 or a typeinfo's address. */
bool modules_looks_like_vtable(struct modules *ms, uint64_t address);

/* DWARF member offset: "malloc_state", "top", as the unit knows it whose code is at `near`. False when that has no such type. */
bool modules_member(struct modules *ms, struct module *m, uint64_t near, const char *struct_name, const char *member, uint64_t *ret_offset);

/* Machine code. Functions are known by symbols and by .eh_frame_hdr, so those of stripped files too. */
struct function {
	uint64_t start, end;
	const char *name;	/* raw; NULL: no symbol has one */
	struct module *module;
};
/* The function that holds address. */
bool modules_function_at(struct modules *ms, uint64_t address, struct function *ret);

struct instruction {
	uint64_t address;
	uint8_t bytes[16], size;
	bool decoded;		/* false: a byte that begins no instruction */
	char mnemonic[32], operands[160];
	bool calls, jumps;
	uint64_t target;	/* where a direct call or jump goes, or the memory that a pc-relative operand names; 0: none */
	bool through;		/* the word at target is what is called or jumped to */
};
typedef bool modules_instruction_fn(void *ctx, const struct instruction *i); /* false: enough */
/* Decodes [start, end) as it stands in memory, else as in the file. ERR_FAULT, ERR_UNSUPPORTED (no such decoder). */
struct err *modules_disassemble(struct modules *ms, uint64_t start, uint64_t end, modules_instruction_fn *f, void *ctx) MUST_CHECK;
/* What is at address, for people: "main+0x12", "malloc@plt", a variable; raw names. Caller frees; NULL: no name. */
char *modules_code_name(struct modules *ms, uint64_t address);
/* The function whose address the loader put, or will put, into the word at `slot`; NULL: unknown. */
const char *modules_slot_name(struct modules *ms, uint64_t slot);

/* Addresses that the code of a function makes, and those that it reads or writes at, as far as constants lead. */
enum code_use { CODE_MAKES, CODE_READS, CODE_WRITES };
typedef void modules_code_use_fn(void *ctx, enum code_use use, uint64_t address);
struct err *modules_code_uses(struct modules *ms, uint64_t start, uint64_t end, modules_code_use_fn *f, void *ctx) MUST_CHECK;

/* Calls of malloc, calloc, realloc, aligned_alloc, operator new... whose size stands in the code: a constant that reaches the
 * argument, or one of a few; of calloc the product of two. */
struct allocation_site {
	uint64_t pc;		/* of the call */
	uint64_t function;	/* start of what was decoded around it */
	const char *callee;	/* static: "malloc", "operator new" */
	uint64_t bytes;		/* asked for */
	uint64_t unit, count;	/* of calloc and reallocarray; else 0 */
	bool several;		/* one of several sizes that this call may ask for */
	struct module *module;
};
struct allocation_sites {
	struct allocation_site *at; /* by pc */
	size_t n, modules;
	uint64_t code_bytes;	 /* all code of the modules */
	uint64_t searched_bytes; /* the part whose bytes could be had: searched for calls of allocation functions */
	uint64_t decoded_bytes;	 /* functions with such a call */
	uint64_t calls, constant;/* calls of allocation functions; those of constant size */
};
/* Found once and kept; they belong to the modules. */
struct err *modules_allocation_sites(struct modules *ms, const struct allocation_sites **ret) MUST_CHECK;

struct frame {
	uint64_t pc, sp;	/* sp on entry to what this frame's function called: its lowest live byte */
	uint64_t cfa;		/* canonical frame address: the end of this frame; 0 when unknown */
	const char *function;	/* demangled, or NULL */
	struct module *module;	/* or NULL */
	bool is_signal;		/* the trampoline that a signal handler returns to */
};
enum { MAX_DWARF_REGISTERS = 33 };
struct frame_registers { /* as they were when the frame's function made its call; by DWARF number */
	uint64_t value[MAX_DWARF_REGISTERS];
	uint64_t known; /* a bit each */
};
/* Innermost first; at most LIMIT_FRAMES. Frames belong to the caller (free()). Ends where CFI ends. */
size_t modules_unwind(struct modules *ms, const struct thread *t, struct frame **ret);
/* The same, with each frame's registers (free() too). */
size_t modules_unwind_registers(struct modules *ms, const struct thread *t, struct frame **ret, struct frame_registers **ret_registers);

/* What runs at a pc: functions inlined there, innermost first, then the one that they were inlined into. */
enum { MAX_INLINED = 32 };
struct running {
	const char *function;	/* NULL without DWARF, or when it has no name */
	struct source_line line;/* where it stands; file NULL when unknown */
	bool inlined;
};
/* pc of a caller: minus 1, so that it lies in the call. At least 1. */
size_t modules_running(struct modules *ms, uint64_t pc, struct running ret[MAX_INLINED]);

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
struct container_heap {
	uint64_t (*block)(void *ctx, uint64_t address); /* usable bytes of the used block that begins there; 0: none */
	bool (*take)(void *ctx, uint64_t address);	/* of such a block: true at the first time */
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
/* All types of all modules with DWARF, read when first asked for. It belongs to the modules; the next call may add to it. */
struct err *modules_type_table(struct modules *ms, struct type_table **ret) MUST_CHECK;
/* Casts in the code of all modules but the C library's, found once and kept: where DWARF places variables in registers and on the
 * stack around loads and stores of such pointers, the code itself is the witness. The table grows by types that are met here. */
struct err *modules_casts(struct modules *ms, const struct casts **ret) MUST_CHECK;
/* Variables with a type: of the program, of each thread, of each frame at its pc. */
struct err *modules_typed_roots(struct modules *ms, modules_tls_fn *tls, const void *tls_ctx, struct typed_roots *ret) MUST_CHECK;

#endif

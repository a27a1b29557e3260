/* modules: the ELF files mapped into the target: identity, symbols, DWARF, unwinding; their code is in modules_code.h, what DWARF
 * says of values and types in modules_values.h. The only user of libdw.
 * Files come through the target (below its root, regular, build-id as in memory); libdwfl's own finders are not used.
 * Strings belong to the modules object. One thread at a time: libdw is not thread-safe. */
#ifndef FLOTSAM_MODULES_H
#define FLOTSAM_MODULES_H

#include "flotsam/image.h"

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
	/* What an earlier look kept under that name ([0-9a-f]*-[0-9]*): an open file, -1: nothing. And to keep what a file holds, in place of what
	 * is there. NULL: nothing is kept. */
	int (*recall)(void *ctx, const char *name);
	void (*keep)(void *ctx, const char *name, int fd);
	void *keep_ctx;
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

#endif

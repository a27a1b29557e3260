/* What the files of the reader of cores share. */
#ifndef TARGET_CORE_H
#define TARGET_CORE_H
#include "flotsam/target.h"

struct load { /* a PT_LOAD */
	uint64_t address, file_bytes, memory_bytes, offset;
	uint8_t prot;
};
struct named { /* a line of NT_FILE */
	uint64_t start, end, offset; /* in the core's unit */
	const char *path;
};
struct own_note { /* of those that flotsam puts into a core */
	uint32_t type;
	struct span text;
	uint8_t *copy; /* owned; NULL: text is the file's */
};

struct core {
	struct target target;
	int fd;
	struct span file;
	const struct arch *arch;
	VEC(struct load) loads;
	VEC(struct named) names;
	uint64_t name_unit; /* of offsets in NT_FILE: a page from the kernel, a byte from gdb (gdb/linux-tdep.c) */
	uint64_t program_bias; /* of a core without names */
	char *program, *interpreter; /* paths of names that stand nowhere in the core */
	VEC(struct own_note) own;
	struct kernel_account account;
	uint64_t needs; /* bytes that the program headers speak of */
};

/* Program headers of an ELF file. */
struct headers { uint64_t off; uint32_t n; unsigned size; };
struct phdr { uint32_t type, flags; uint64_t offset, address, file_bytes, memory_bytes; };
bool core_headers(const struct arch *a, struct span file, struct headers *ret);
bool core_phdr(const struct arch *a, struct span file, const struct headers *h, uint32_t i, struct phdr *ret);

/* Value of the auxiliary vector, 0 when it has none. */
uint64_t core_auxv(const struct core *c, uint64_t wanted);
/* -1 and errno. */
int core_open_regular(const char *root, const char *path);
/* When *fd is a .zst or .xz file (by its magic), replaces it by an unlinked file with the content; else leaves it. */
struct err *core_expand(int *fd) MUST_CHECK;
/* Which files are mapped where, of a core that has no NT_FILE. The loads are in order. False: out of memory. */
bool core_find_names(struct core *c);
/* Keeps a note if it is one of flotsam's. False: out of memory. */
bool core_own_note(struct core *c, struct span name, uint32_t type, struct span text);
/* Puts what the notes say in place of what was made of the segments, if it can be. False: out of memory. */
bool core_take_own(struct core *c, bool *ret_taken);
int core_open_proc(struct target *t, const char *name);
/* Thread pointers of threads that have none, from the descriptors in memory. */
void core_find_descriptors(struct picture *p);
#endif

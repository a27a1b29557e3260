/* ELF files written by hand: a core of a machine and a word size of our choice, and a library that it names. Numbers are
 * those of the ABI documents, not of src/arch: a reader that has one wrong shall not be met by a writer that has it too. */
#ifndef TEST_SYNTHETIC_ELF_H
#define TEST_SYNTHETIC_ELF_H

#include <sys/types.h>

#include "flotsam/base.h"

struct bytes { /* a file in the making, little endian */
	uint8_t *at;
	size_t n, cap;
};
void bytes_fill(struct bytes *b, size_t to, uint8_t with); /* grows to `to` bytes */
void bytes_add(struct bytes *b, const void *p, size_t n);
void bytes_put(struct bytes *b, size_t off, uint64_t v, unsigned width);	/* grows where it must */
uint64_t bytes_get(const struct bytes *b, size_t off, unsigned width);

struct core_segment {
	uint64_t address, memory_bytes, file_bytes;
	const uint8_t *data;	/* file_bytes of them */
	unsigned flags;		/* PF_* */
	uint64_t offset;	/* in the file, set by core_write() */
};
struct core_name { uint64_t start, end, offset; const char *path; };	/* offset in units of name_unit */
struct core_thread { pid_t tid; uint64_t sp, pc, tp; size_t rbx_at; }; /* rbx_at: of rbx, ebx or x19 in the file, set by core_write() */

enum { CORE_SEGMENTS = 64, CORE_NAMES = 16, CORE_THREADS = 8 };
struct core_plan {
	unsigned machine;	/* EM_X86_64, EM_386 or EM_AARCH64 */
	pid_t pid;
	uint64_t name_unit, page, random, entry;	/* AT_PAGESZ, AT_RANDOM, AT_ENTRY */
	bool no_auxv;
	struct core_segment segments[CORE_SEGMENTS];
	struct core_name names[CORE_NAMES];
	struct core_thread threads[CORE_THREADS];
	size_t n_segments, n_names, n_threads;
	/* Set by core_write(): where things are in the file. */
	size_t phdr_at, notes_at, notes_bytes, file_note_at, auxv_note_at, prstatus_at; /* notes: of their headers */
};
unsigned core_word(const struct core_plan *p);
/* Writes headers, notes and memory behind each other. Free out->at. */
void core_write(struct core_plan *p, struct bytes *out);

struct library_symbol { const char *name; uint64_t address, size; };	/* linked at 0 */
struct library_plan {
	unsigned machine;
	const char *banner;		/* text in the first page, or NULL */
	const uint8_t *data;		/* initialised data at LIBRARY_DATA */
	size_t data_bytes;
	uint64_t relocated[8];		/* R_*_RELATIVE for these words, addend 0: the value of the word itself */
	uint64_t addends[8];
	size_t n_relocated;		/* 0: no DT_RELA, values stand in place */
	const struct library_symbol *symbols;
	size_t n_symbols;		/* 0: stripped */
	uint8_t build_id;		/* the byte that all of it consists of */
};
enum { LIBRARY_DATA = 0x2000, LIBRARY_HEAD = 0x1000 };
/* Two segments: [0, LIBRARY_HEAD) read-only, [LIBRARY_DATA, LIBRARY_DATA + data_bytes) writable. */
void library_write(const struct library_plan *p, struct bytes *out);

bool write_file(const char *path, const struct bytes *b);
#endif

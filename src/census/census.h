/* What the files of census share: the coding, and the parts that a session is made of. */
#ifndef CENSUS_INTERNAL_H
#define CENSUS_INTERNAL_H

#include "flotsam/census.h"
#include "flotsam/codec.h"

uint32_t census_crc(const uint8_t *p, size_t n); /* CRC-32C */

struct module_part { /* a module as far as it is known without its file */
	struct module m;
	VEC(struct module_segment) segments;
};
struct symbol_part { /* what a word of the references points at, or stands in */
	uint64_t address, size;
	const char *name;
	bool is_function, is_object, is_global;
};
struct session_parts {
	struct target target;	/* identity and picture, without threads' registers and extents */
	struct alloc alloc;
	struct runtime runtime;
	VEC(struct module_part) modules;
	VEC(struct symbol_part) symbols; /* by address */
	struct kernel_account account;
	struct graph graph;	/* sums, rule counts, figures */
};

/* The sections of a file, in order. */
enum section { SECTION_LOOK, SECTION_TARGET, SECTION_MAPS, SECTION_PAGES, SECTION_MODULES, SECTION_RUNTIME, SECTION_ALLOC, SECTION_GRAPH,
	       SECTION_LABELS, SECTION_HOLDERS, SECTION_KINDS, SECTION_BLOCKS, SECTION_LEADERS, SECTION_REFERENCES, SECTION_SYMBOLS, N_SECTIONS };
enum { FIRST_SECTIONS = SECTION_REFERENCES }; /* that all files have */
extern const char *const census_sections[N_SECTIONS];
void census_code_look(struct codec *k, struct census *c);
void census_code_modules(struct codec *k, struct session_parts *p);
void census_code_runtime(struct codec *k, struct session_parts *p);
void census_code_alloc(struct codec *k, struct session_parts *p, struct census *c);
void census_code_graph(struct codec *k, struct session_parts *p, struct census *c);
void census_code_labels(struct codec *k, struct census *c);
void census_code_holders(struct codec *k, struct census *c);
void census_code_symbols(struct codec *k, struct session_parts *p);
void census_code_kinds(struct codec *k, struct census *c);

/* The file's head, little-endian: magic, version, number of sections, bytes of the file, CRC of the table, CRC of the head so
 * far; then the table: identity, CRC, offset, bytes. */
enum { HEAD_BYTES = 32, HEAD_CRC = 28, ENTRY_BYTES = 24 };
extern const char census_magic[8];

/* A kind's index in 1 to 3 bytes, in 5 where there are more than half a million kinds. */
enum { ONE_BYTE = 192, TWO_BYTES = 56, THREE_BYTES = 7, SECOND = ONE_BYTE + TWO_BYTES * 256, THIRD = SECOND + THREE_BYTES * 65536 };

void census_put_index(struct codec *k, uint32_t kind);

/* The census that a session is made of. Else NULL. */
const struct census *census_of(const struct target *t);
/* Of a record that may be wrong in any way: NULL, or what is wrong. */
struct err *census_judge(struct census *c) MUST_CHECK;
void session_parts_free(struct session_parts *p);
#endif

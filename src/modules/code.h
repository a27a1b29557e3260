/* Machine code, as the files that decode it share it. Capstone's own types stay in code.c and the decoders. */
#ifndef MODULES_CODE_H
#define MODULES_CODE_H

#include "modules.h"

#include <capstone/capstone.h>

struct code_range { uint64_t start, end; };

struct code_slot { /* a word that the loader fills with a function's address */
	uint64_t address;
	const char *name;
};

struct code { /* of one module; built when first asked for */
	VEC(struct code_range) functions; /* by symbols and .eh_frame_hdr; sorted, starts differ */
	VEC(struct code_slot) slots;	  /* by relocations; sorted */
	uint64_t got;			  /* DT_PLTGOT: what i386's PLT finds in %ebx */
};

/* NULL: no memory. */
struct code *code_of(struct modules *ms, struct module *m);
void code_free(struct code *c); /* NULL allowed */
/* The file's bytes where there are any, else what the image has in one piece; empty when none. */
struct span code_bytes(struct modules *ms, uint64_t address, uint64_t end);
/* A decoder with details and SKIPDATA on; ERR_UNSUPPORTED for another machine. */
struct err *code_decoder(struct modules *ms, csh *ret) MUST_CHECK;
/* The slot through which a stub of the PLT at `address` jumps. */
bool code_stub_slot(struct modules *ms, uint64_t address, uint64_t *ret_slot);

#endif

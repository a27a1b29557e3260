/* modules: the machine code of the files mapped into the target: functions, instructions, calls of allocation functions. The only
 * user of capstone. */
#ifndef FLOTSAM_MODULES_CODE_H
#define FLOTSAM_MODULES_CODE_H

#include "flotsam/modules.h"

/* Functions are known by symbols and by .eh_frame_hdr, so those of stripped files too. */
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

#endif

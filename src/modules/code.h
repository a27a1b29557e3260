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
	VEC(struct code_range) text;	  /* where instructions are: executable sections, else segments; sorted, apart */
	VEC(struct code_range) plt;	  /* sections of stubs */
	bool by_sections;		  /* text and plt are; without them any jump through a slot may be a stub */
	uint64_t got;			  /* DT_PLTGOT: what i386's PLT finds in %ebx */
};

/* NULL: no memory. */
struct code *code_of(struct modules *ms, struct module *m);
void code_free(struct code *c); /* NULL allowed */
/* The file's bytes where there are any, else what the image has in one piece; empty when none. */
struct span code_bytes(struct modules *ms, uint64_t address, uint64_t end);
/* A decoder with details and SKIPDATA on; ERR_UNSUPPORTED for another machine. */
struct err *code_decoder(struct modules *ms, csh *ret) MUST_CHECK;
/* The list of modules_allocation_sites() is of these modules alone. */
void code_forget_sites(struct modules *ms);
/* The slot through which a stub of the PLT at `address` jumps. */
bool code_stub_slot(struct modules *ms, uint64_t address, uint64_t *ret_slot);

/* An instruction as far as constants go: what it does to registers and to the stack. One instruction may be several. */
enum { CODE_REGISTERS = 32 }; /* x86: as encoded, sp is 4; aarch64: x0 to x30, sp is 31 */
enum code_what {
	CODE_NOTHING,
	CODE_SET,	/* dst = imm */
	CODE_COPY,	/* dst = src */
	CODE_EITHER,	/* dst = dst or src */
	CODE_ADDRESS,	/* dst = address of at */
	CODE_ALU,	/* dst = other alu (src or imm) */
	CODE_LOAD,	/* dst = [at] */
	CODE_STORE,	/* [at] = src or imm */
	CODE_TOUCH,	/* [at] is read; nothing is known of what comes of it */
	CODE_SPOIL,	/* [at] = unknown */
	CODE_PUSH,	/* src or imm */
	CODE_POP,
};
enum code_alu { ALU_ADD, ALU_SUB, ALU_AND, ALU_OR, ALU_SHL, ALU_MUL };
enum code_flow { FLOW_ON, FLOW_CALL, FLOW_JUMP, FLOW_BRANCH, FLOW_END };
struct code_place {
	bool known;		/* false: a segment, or a form that nobody reads */
	int8_t base, index;	/* -1: none */
	uint8_t scale;
	int64_t disp;
};
struct code_op {
	uint64_t address;
	uint8_t size;		/* of the instruction */
	uint8_t what, alu, flow;
	uint8_t width;		/* bytes of dst, or of what is stored */
	int8_t dst, src, other;	/* src -1: imm */
	int8_t jumps_to;	/* register of an indirect call or jump; -1: none */
	bool through;		/* the word at `at` is called or jumped to */
	int64_t imm;
	uint64_t target;	/* of a direct call or jump; 0: none */
	struct code_place at;
	uint32_t spoils;	/* registers that become unknown besides */
	uint32_t keeps;		/* of a call: registers that what is called is known not to change */
};
enum { CODE_CALLEES = 1 << 10 };
struct code_ops {
	VEC(struct code_op) list;
	struct { uint64_t address; uint32_t keeps; } callees[CODE_CALLEES]; /* what was found out about them, by their address */
};
/* A nothing at this instruction, behind the others; NULL: no memory. */
struct code_op *code_add_op(struct code_ops *to, const cs_insn *in);
bool code_take_x86(csh h, const cs_insn *in, unsigned word, struct code_ops *to);
bool code_take_arm64(csh h, const cs_insn *in, struct code_ops *to);
/* Decodes [start, end) of a function, from the file where there is one. */
struct err *code_ops(struct modules *ms, csh h, uint64_t start, uint64_t end, struct code_ops *ret) MUST_CHECK;

enum { CODE_VALUES = 8, CODE_SLOTS = 32 };
enum code_value_kind { VALUE_UNKNOWN, VALUE_CONST, VALUE_STACK /* entry's sp + v[0] */, VALUE_WORD /* the word at v[0] */ };
struct code_value {
	uint8_t kind, n;	/* of a constant: one of n */
	uint64_t v[CODE_VALUES];
};
struct code_state {
	struct code_value reg[CODE_REGISTERS];
	unsigned n_slots;
	struct {
		int64_t at;	/* from the entry's sp */
		struct code_value value;
	} slot[CODE_SLOTS]; /* at the end: only those in use are copied */
};
struct code_value code_address(const struct code_state *s, const struct arch *a, const struct code_place *at);
/* The word on the stack at sp + offset. */
struct code_value code_stacked(const struct code_state *s, const struct arch *a, int64_t offset);
/* Calls f at each op with what registers and stack hold before it. */
typedef void code_visit_fn(void *ctx, const struct code_op *op, const struct code_state *before);
struct err *code_follow(const struct code_ops *ops, const struct arch *a, code_visit_fn *f, void *ctx) MUST_CHECK;
/* Argument k (from 0) of a call in this state; jump: the call is a jump, so that a return address lies on the stack. */
struct code_value code_argument(const struct code_state *s, const struct arch *a, unsigned k, bool jump);

#endif

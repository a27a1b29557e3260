/* x86 and x86-64: what instructions do to registers and stack. */
#include "code.h"

/* The number by which a register is encoded, and how many of its bytes are meant; -1: no general register. */
static int reg_of(x86_reg r, unsigned *bytes)
{
#define REG(n, r64, r32, r16, r8)                                                                                      \
	case X86_REG_##r64:                                                                                            \
		*bytes = 8;                                                                                            \
		return n;                                                                                              \
	case X86_REG_##r32:                                                                                            \
		*bytes = 4;                                                                                            \
		return n;                                                                                              \
	case X86_REG_##r16:                                                                                            \
		*bytes = 2;                                                                                            \
		return n;                                                                                              \
	case X86_REG_##r8:                                                                                             \
		*bytes = 1;                                                                                            \
		return n;
	switch ((unsigned)r) {
		REG(0, RAX, EAX, AX, AL)
		REG(1, RCX, ECX, CX, CL)
		REG(2, RDX, EDX, DX, DL)
		REG(3, RBX, EBX, BX, BL)
		REG(4, RSP, ESP, SP, SPL)
		REG(5, RBP, EBP, BP, BPL)
		REG(6, RSI, ESI, SI, SIL)
		REG(7, RDI, EDI, DI, DIL)
		REG(8, R8, R8D, R8W, R8B)
		REG(9, R9, R9D, R9W, R9B)
		REG(10, R10, R10D, R10W, R10B)
		REG(11, R11, R11D, R11W, R11B)
		REG(12, R12, R12D, R12W, R12B)
		REG(13, R13, R13D, R13W, R13B)
		REG(14, R14, R14D, R14W, R14B)
		REG(15, R15, R15D, R15W, R15B)
	case X86_REG_AH:
	case X86_REG_CH:
	case X86_REG_DH:
	case X86_REG_BH:
		*bytes = 1;
		return (int)(r == X86_REG_AH ? 0 : r == X86_REG_CH ? 1 : r == X86_REG_DH ? 2 : 3);
	default:
		*bytes = 0;
		return -1;
	}
#undef REG
}

static struct code_place place_of(const cs_insn *in, const x86_op_mem *m)
{
	unsigned bytes;
	struct code_place p = { .known = true, .base = -1, .index = -1, .scale = (uint8_t)m->scale, .disp = m->disp };
	if (m->segment == X86_REG_FS || m->segment == X86_REG_GS)
		p.known = false;
	if (m->base == X86_REG_RIP)
		p.disp += (int64_t)(in->address + in->size);
	else if (m->base != X86_REG_INVALID)
		p.known &= (p.base = (int8_t)reg_of(m->base, &bytes)) >= 0;
	if (m->index != X86_REG_INVALID)
		p.known &= (p.index = (int8_t)reg_of(m->index, &bytes)) >= 0;
	return p;
}

/* All registers that it writes become unknown, and the memory that it writes. */
static void spoil(csh h, const cs_insn *in, struct code_op *op)
{
	cs_regs read, write;
	uint8_t n_read = 0, n_write = 0;
	unsigned bytes;
	const cs_x86 *x = &in->detail->x86;
	if (!cs_regs_access(h, in, read, &n_read, write, &n_write))
		for (unsigned i = 0; i < n_write; i++) {
			int r = reg_of((x86_reg)write[i], &bytes);
			if (r >= 0)
				op->spoils |= 1u << r;
		}
	for (int i = 0; i < x->op_count; i++)
		if (x->operands[i].type == X86_OP_MEM) {
			op->what = x->operands[i].access & CS_AC_WRITE ? CODE_SPOIL : CODE_TOUCH;
			op->at = place_of(in, &x->operands[i].mem);
			op->width = x->operands[i].size;
		}
}

static void move(csh h, const cs_insn *in, struct code_op *op)
{
	const cs_x86_op *to = &in->detail->x86.operands[0], *from = &in->detail->x86.operands[1];
	unsigned bytes = to->size, from_bytes = 0;
	int dst = to->type == X86_OP_REG ? reg_of(to->reg, &bytes) : -1;
	int src = from->type == X86_OP_REG ? reg_of(from->reg, &from_bytes) : -1;
	if (in->id == X86_INS_MOVZX && dst >= 0 && src >= 0 && bytes >= 4) {
		*op = (struct code_op){ .address = op->address, .size = op->size, .what = CODE_ALU, .alu = ALU_AND, .dst = (int8_t)dst,
					.other = (int8_t)src, .src = -1, .imm = from_bytes == 1 ? 0xff : 0xffff, .width = (uint8_t)bytes, .jumps_to = -1 };
		return;
	}
	/* Parts of registers are no sizes; an extension of 32 bits is. */
	bool whole = bytes >= 4 && (from->type != X86_OP_REG || (src >= 0 && from_bytes >= 4)) && (from->type != X86_OP_MEM || from->size >= 4);
	if (!whole || (to->type == X86_OP_REG && dst < 0)) {
		spoil(h, in, op);
		return;
	}
	op->width = (uint8_t)bytes;
	op->dst = (int8_t)dst;
	op->src = (int8_t)src;
	op->imm = from->type == X86_OP_IMM ? from->imm : 0;
	if (to->type == X86_OP_MEM) {
		op->what = CODE_STORE;
		op->at = place_of(in, &to->mem);
	} else if (from->type == X86_OP_MEM) {
		op->what = CODE_LOAD;
		op->at = place_of(in, &from->mem);
	} else {
		op->what = src >= 0 ? CODE_COPY : CODE_SET;
	}
}

static void alu(csh h, const cs_insn *in, struct code_op *op, enum code_alu what)
{
	const cs_x86 *x = &in->detail->x86;
	const cs_x86_op *to = &x->operands[0], *other = &x->operands[x->op_count == 3 ? 1 : 0], *by = &x->operands[x->op_count - 1];
	unsigned bytes = 0, ignored;
	int dst = to->type == X86_OP_REG ? reg_of(to->reg, &bytes) : -1, src = by->type == X86_OP_REG ? reg_of(by->reg, &ignored) : -1;
	bool zero = x->op_count == 2 && dst >= 0 && dst == src && (in->id == X86_INS_XOR || in->id == X86_INS_SUB);
	if (zero && bytes >= 4) {
		*op = (struct code_op){ .address = op->address, .size = op->size, .what = CODE_SET, .dst = (int8_t)dst, .width = (uint8_t)bytes, .jumps_to = -1 };
		return;
	}
	if (dst < 0 || bytes < 4 || x->op_count < 2 || other->type != X86_OP_REG || (src < 0 && by->type != X86_OP_IMM) || in->id == X86_INS_XOR) {
		spoil(h, in, op);
		return;
	}
	op->what = CODE_ALU;
	op->alu = (uint8_t)what;
	op->dst = (int8_t)dst;
	op->other = (int8_t)reg_of(other->reg, &ignored);
	op->src = (int8_t)src;
	op->imm = by->type == X86_OP_IMM ? by->imm : 0;
	op->width = (uint8_t)bytes;
}

static void step(csh h, const cs_insn *in, struct code_op *op, int by)
{
	const cs_x86_op *to = &in->detail->x86.operands[0];
	unsigned bytes = 0;
	int dst = to->type == X86_OP_REG ? reg_of(to->reg, &bytes) : -1;
	if (dst < 0 || bytes < 4) {
		spoil(h, in, op);
		return;
	}
	op->what = CODE_ALU;
	op->alu = ALU_ADD;
	op->dst = op->other = (int8_t)dst;
	op->imm = by;
	op->width = (uint8_t)bytes;
}

/* A word of memory is loaded into a register that the machine has not got. */
static bool push(const cs_insn *in, unsigned word, struct code_ops *to)
{
	enum { SCRATCH = 16 };
	const cs_x86_op *from = &in->detail->x86.operands[0];
	struct code_op *op = &to->list.at[to->list.n - 1];
	unsigned bytes;
	if (from->type == X86_OP_MEM) {
		op->what = CODE_LOAD;
		op->dst = SCRATCH;
		op->width = (uint8_t)word;
		op->at = place_of(in, &from->mem);
		if (!(op = code_add_op(to, in)))
			return false;
	}
	op->what = CODE_PUSH;
	op->src = from->type == X86_OP_MEM ? SCRATCH : from->type == X86_OP_REG ? (int8_t)reg_of(from->reg, &bytes) : -1;
	op->imm = from->type == X86_OP_IMM ? from->imm : 0;
	if (from->type != X86_OP_IMM && op->src < 0)
		op->dst = -2; /* of what nobody knows */
	return true;
}

static void flow(const cs_insn *in, struct code_op *op, enum code_flow f)
{
	const cs_x86 *x = &in->detail->x86;
	unsigned bytes;
	op->flow = (uint8_t)f;
	if (!x->op_count)
		return;
	const cs_x86_op *to = &x->operands[0];
	if (to->type == X86_OP_IMM)
		op->target = (uint64_t)to->imm;
	else if (to->type == X86_OP_REG)
		op->jumps_to = (int8_t)reg_of(to->reg, &bytes);
	else if (to->type == X86_OP_MEM) {
		op->through = true;
		op->at = place_of(in, &to->mem);
	}
}

static bool leave(const cs_insn *in, unsigned word, struct code_ops *to)
{
	enum { SP = 4, BP = 5 };
	struct code_op *op = &to->list.at[to->list.n - 1];
	op->what = CODE_COPY;
	op->dst = SP;
	op->src = BP;
	op->width = (uint8_t)word;
	op = code_add_op(to, in);
	if (op)
		*op = (struct code_op){ .address = in->address, .size = (uint8_t)in->size, .what = CODE_POP, .dst = BP, .width = (uint8_t)word, .jumps_to = -1 };
	return op;
}

/* A register that is one of two constants: the result of a comparison. */
static bool flag(csh h, const cs_insn *in, struct code_ops *to, int64_t other)
{
	struct code_op *op = &to->list.at[to->list.n - 1];
	unsigned bytes = 0;
	int dst = in->detail->x86.operands[0].type == X86_OP_REG ? reg_of(in->detail->x86.operands[0].reg, &bytes) : -1;
	if (dst < 0) {
		spoil(h, in, op);
		return true;
	}
	op->what = CODE_SET;
	op->dst = (int8_t)dst;
	op->width = bytes == 8 ? 8 : 4;
	if (!(op = code_add_op(to, in)))
		return false;
	op->what = CODE_EITHER;
	op->dst = (int8_t)dst;
	op->imm = other;
	op->width = bytes == 8 ? 8 : 4;
	return true;
}

bool code_take_x86(csh h, const cs_insn *in, unsigned word, struct code_ops *to)
{
	struct code_op *op = code_add_op(to, in);
	unsigned bytes;
	if (!op)
		return false;
	switch (in->id) {
	case X86_INS_MOV:
	case X86_INS_MOVABS:
	case X86_INS_MOVZX:
	case X86_INS_MOVSXD:
		move(h, in, op);
		break;
	case X86_INS_LEA:
		op->dst = (int8_t)reg_of(in->detail->x86.operands[0].reg, &bytes);
		op->width = (uint8_t)bytes;
		op->at = place_of(in, &in->detail->x86.operands[1].mem);
		if (bytes >= 4)
			op->what = CODE_ADDRESS;
		else
			spoil(h, in, op);
		break;
	case X86_INS_XOR:
	case X86_INS_SUB:
		alu(h, in, op, ALU_SUB);
		break;
	case X86_INS_ADD:
		alu(h, in, op, ALU_ADD);
		break;
	case X86_INS_AND:
		alu(h, in, op, ALU_AND);
		break;
	case X86_INS_OR:
		alu(h, in, op, ALU_OR);
		break;
	case X86_INS_SHL:
	case X86_INS_SAL:
		alu(h, in, op, ALU_SHL);
		break;
	case X86_INS_IMUL:
		alu(h, in, op, ALU_MUL);
		break;
	case X86_INS_INC:
	case X86_INS_DEC:
		step(h, in, op, in->id == X86_INS_INC ? 1 : -1);
		break;
	case X86_INS_PUSH:
		return push(in, word, to);
	case X86_INS_POP:
		op->dst = in->detail->x86.operands[0].type == X86_OP_REG ? (int8_t)reg_of(in->detail->x86.operands[0].reg, &bytes) : -1;
		op->what = CODE_POP;
		op->width = (uint8_t)word;
		break;
	case X86_INS_LEAVE:
		return leave(in, word, to);
	case X86_INS_CDQE:
		break; /* a size is not negative */
	case X86_INS_CMOVA: case X86_INS_CMOVAE: case X86_INS_CMOVB: case X86_INS_CMOVBE: case X86_INS_CMOVE: case X86_INS_CMOVG: case X86_INS_CMOVGE:
	case X86_INS_CMOVL: case X86_INS_CMOVLE: case X86_INS_CMOVNE: case X86_INS_CMOVNO: case X86_INS_CMOVNP: case X86_INS_CMOVNS: case X86_INS_CMOVO:
	case X86_INS_CMOVP: case X86_INS_CMOVS:
		move(h, in, op);
		if (op->what == CODE_COPY)
			op->what = CODE_EITHER;
		break;
	case X86_INS_SBB: /* of a register with itself: all bits are the carry */
		if (in->detail->x86.operands[0].type == X86_OP_REG && in->detail->x86.operands[1].type == X86_OP_REG &&
		    in->detail->x86.operands[0].reg == in->detail->x86.operands[1].reg)
			return flag(h, in, to, -1);
		spoil(h, in, op);
		break;
	case X86_INS_SETA: case X86_INS_SETAE: case X86_INS_SETB: case X86_INS_SETBE: case X86_INS_SETE: case X86_INS_SETG: case X86_INS_SETGE:
	case X86_INS_SETL: case X86_INS_SETLE: case X86_INS_SETNE: case X86_INS_SETNO: case X86_INS_SETNP: case X86_INS_SETNS: case X86_INS_SETO:
	case X86_INS_SETP: case X86_INS_SETS:
		return flag(h, in, to, 1);
	case X86_INS_CALL:
		flow(in, op, FLOW_CALL);
		break;
	case X86_INS_JMP:
		flow(in, op, FLOW_JUMP);
		break;
	case X86_INS_RET:
	case X86_INS_HLT:
	case X86_INS_UD2:
		op->flow = FLOW_END;
		break;
	default:
		if (cs_insn_group(h, in, CS_GRP_JUMP))
			flow(in, op, FLOW_BRANCH);
		else
			spoil(h, in, op);
	}
	return true;
}

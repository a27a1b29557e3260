/* aarch64: what instructions do to registers and stack. */
#include "code.h"

enum { SP = 31, ZERO = -3 };

/* x0..x30, sp; ZERO for the zero register; -1: no general register. */
static int reg_of(arm64_reg r, unsigned *bytes)
{
	*bytes = 8;
	if (r >= ARM64_REG_X0 && r <= ARM64_REG_X28)
		return (int)(r - ARM64_REG_X0);
	if (r == ARM64_REG_FP)
		return 29;
	if (r == ARM64_REG_LR)
		return 30;
	if (r == ARM64_REG_SP)
		return SP;
	*bytes = 4;
	if (r >= ARM64_REG_W0 && r <= ARM64_REG_W30)
		return (int)(r - ARM64_REG_W0);
	if (r == ARM64_REG_WSP)
		return SP;
	return r == ARM64_REG_XZR || r == ARM64_REG_WZR ? ZERO : -1;
}

static struct code_place place_of(const arm64_op_mem *m)
{
	unsigned bytes;
	struct code_place p = { .known = true, .base = -1, .index = -1, .scale = 1, .disp = m->disp };
	p.known = (p.base = (int8_t)reg_of(m->base, &bytes)) >= 0 && m->index == ARM64_REG_INVALID;
	return p;
}

static void spoil(csh h, const cs_insn *in, struct code_op *op)
{
	cs_regs read, write;
	uint8_t n_read = 0, n_write = 0;
	unsigned bytes;
	if (cs_regs_access(h, in, read, &n_read, write, &n_write))
		return;
	for (unsigned i = 0; i < n_write; i++) {
		int r = reg_of((arm64_reg)write[i], &bytes);
		if (r >= 0)
			op->spoils |= 1u << r;
	}
}

static void set(struct code_op *op, int dst, unsigned bytes, int64_t imm)
{
	op->what = CODE_SET;
	op->dst = (int8_t)dst;
	op->width = (uint8_t)bytes;
	op->imm = imm;
}

static void move(csh h, const cs_insn *in, struct code_op *op)
{
	const cs_arm64_op *to = &in->detail->arm64.operands[0], *from = &in->detail->arm64.operands[1];
	unsigned bytes, ignored;
	int dst = reg_of(to->reg, &bytes), src = from->type == ARM64_OP_REG ? reg_of(from->reg, &ignored) : -1;
	if (dst < 0)
		return;
	if (from->type == ARM64_OP_IMM || src == ZERO) {
		int64_t v = src == ZERO ? 0 : from->imm;
		if (from->type == ARM64_OP_IMM && from->shift.type == ARM64_SFT_LSL && from->shift.value < 64)
			v = (int64_t)((uint64_t)v << from->shift.value);
		set(op, dst, bytes, in->id == ARM64_INS_MOVN ? ~v : v);
	} else if (src >= 0) {
		op->what = CODE_COPY;
		op->dst = (int8_t)dst;
		op->src = (int8_t)src;
		op->width = (uint8_t)bytes;
	} else {
		spoil(h, in, op);
	}
}

/* movk puts 16 bits into a register: of a constant below 64 KiB the rest stays. */
static void keep(csh h, const cs_insn *in, struct code_op *op)
{
	const cs_arm64_op *to = &in->detail->arm64.operands[0], *from = &in->detail->arm64.operands[1];
	unsigned bytes;
	int dst = reg_of(to->reg, &bytes);
	if (dst < 0 || from->type != ARM64_OP_IMM || from->shift.type != ARM64_SFT_LSL || from->shift.value > 48) {
		spoil(h, in, op);
		return;
	}
	op->what = CODE_ALU;
	op->alu = ALU_OR;
	op->dst = op->other = (int8_t)dst;
	op->width = (uint8_t)bytes;
	op->imm = (int64_t)((uint64_t)from->imm << from->shift.value);
}

static void alu(csh h, const cs_insn *in, struct code_op *op, enum code_alu what)
{
	const cs_arm64 *a = &in->detail->arm64;
	const cs_arm64_op *by = &a->operands[2];
	unsigned bytes, ignored;
	int dst = reg_of(a->operands[0].reg, &bytes), other = a->op_count > 1 ? reg_of(a->operands[1].reg, &ignored) : -1;
	int src = a->op_count > 2 && by->type == ARM64_OP_REG ? reg_of(by->reg, &ignored) : -1;
	if (what == ALU_ADD && dst >= 0 && other >= 0 && src >= 0 && a->op_count == 3 && by->shift.type == ARM64_SFT_LSL && by->shift.value < 8 &&
	    by->ext == ARM64_EXT_INVALID) {
		op->what = CODE_ADDRESS;
		op->dst = (int8_t)dst;
		op->width = (uint8_t)bytes;
		op->at = (struct code_place){ .known = true, .base = (int8_t)other, .index = (int8_t)src, .scale = (uint8_t)(1u << by->shift.value) };
		return;
	}
	bool shifted = a->op_count > 2 && by->shift.type != ARM64_SFT_INVALID && (by->shift.type != ARM64_SFT_LSL || by->type == ARM64_OP_REG);
	if (dst < 0 || other < 0 || a->op_count != 3 || shifted || (by->type == ARM64_OP_REG && (src < 0 || by->ext != ARM64_EXT_INVALID))) {
		spoil(h, in, op);
		return;
	}
	op->what = CODE_ALU;
	op->alu = (uint8_t)what;
	op->dst = (int8_t)dst;
	op->other = (int8_t)other;
	op->src = (int8_t)src;
	op->imm = by->type == ARM64_OP_IMM ? by->imm : 0;
	if (by->type == ARM64_OP_IMM && by->shift.type == ARM64_SFT_LSL)
		op->imm = (int64_t)((uint64_t)op->imm << (by->shift.value & 63));
	op->width = (uint8_t)bytes;
}

/* Loads and stores of one register or two; [x, #8]! and [x], #8 move their base, before or behind. */
static bool memory(csh h, const cs_insn *in, struct code_ops *to, bool store, unsigned n)
{
	const cs_arm64 *a = &in->detail->arm64;
	const cs_arm64_op *mem = a->op_count > n ? &a->operands[n] : NULL;
	struct code_op *op = &to->list.at[to->list.n - 1];
	if (!mem || mem->type != ARM64_OP_MEM) {
		spoil(h, in, op);
		return true;
	}
	struct code_place at = place_of(&mem->mem);
	bool after = a->op_count > n + 1 && a->operands[n + 1].type == ARM64_OP_IMM;
	int64_t by = after ? a->operands[n + 1].imm : mem->mem.disp;
	if (a->writeback && at.base >= 0) {
		if (after)
			at.disp = 0;
		else
			at.disp = 0, *op = (struct code_op){ .address = in->address, .size = (uint8_t)in->size, .what = CODE_ALU, .dst = at.base, .other = at.base,
							     .src = -1, .imm = by, .width = 8, .jumps_to = -1 };
		if (!after && !(op = code_add_op(to, in)))
			return false;
	}
	for (unsigned k = 0; k < n; k++) {
		unsigned bytes;
		int r = reg_of(a->operands[k].reg, &bytes);
		if (k && !(op = code_add_op(to, in)))
			return false;
		op->what = r == -1 ? (store ? CODE_SPOIL : CODE_TOUCH) : store ? CODE_STORE : CODE_LOAD;
		op->src = store ? (int8_t)(r == ZERO ? -1 : r) : -1;
		op->dst = store ? -1 : (int8_t)(r == ZERO ? -1 : r);
		op->width = (uint8_t)bytes;
		op->at = at;
		op->at.disp += (int64_t)(k * bytes);
	}
	if (a->writeback && after && at.base >= 0) {
		if (!(op = code_add_op(to, in)))
			return false;
		op->what = CODE_ALU;
		op->dst = op->other = at.base;
		op->imm = by;
		op->width = 8;
	}
	return true;
}

/* csel: one of two registers. */
static bool choose(csh h, const cs_insn *in, struct code_ops *to)
{
	const cs_arm64 *a = &in->detail->arm64;
	struct code_op *op = &to->list.at[to->list.n - 1];
	unsigned bytes, ignored;
	int dst = reg_of(a->operands[0].reg, &bytes), one = reg_of(a->operands[1].reg, &ignored), other = reg_of(a->operands[2].reg, &ignored);
	if (dst < 0 || one == -1 || other == -1) {
		spoil(h, in, op);
		return true;
	}
	if (other == dst) { /* it stays, or becomes the one */
		other = one;
		one = dst;
	}
	*op = (struct code_op){ .address = op->address, .size = op->size, .what = one == ZERO ? CODE_SET : CODE_COPY, .dst = (int8_t)dst,
				.src = (int8_t)(one == ZERO ? -1 : one), .width = (uint8_t)bytes, .jumps_to = -1 };
	if (!(op = code_add_op(to, in)))
		return false;
	op->what = CODE_EITHER;
	op->dst = (int8_t)dst;
	op->src = (int8_t)(other == ZERO ? -1 : other);
	op->width = (uint8_t)bytes;
	return true;
}

/* cset: 0 or 1. */
static bool flag(const cs_insn *in, struct code_ops *to)
{
	struct code_op *op = &to->list.at[to->list.n - 1];
	unsigned bytes;
	int dst = reg_of(in->detail->arm64.operands[0].reg, &bytes);
	if (dst < 0)
		return true;
	set(op, dst, bytes, 0);
	if (!(op = code_add_op(to, in)))
		return false;
	op->what = CODE_EITHER;
	op->dst = (int8_t)dst;
	op->imm = 1;
	op->width = (uint8_t)bytes;
	return true;
}

static void flow(const cs_insn *in, struct code_op *op, enum code_flow f)
{
	const cs_arm64 *a = &in->detail->arm64;
	unsigned bytes;
	op->flow = (uint8_t)f;
	if (!a->op_count)
		return;
	const cs_arm64_op *to = &a->operands[a->op_count - 1];
	if (to->type == ARM64_OP_IMM)
		op->target = (uint64_t)to->imm;
	else if (to->type == ARM64_OP_REG)
		op->jumps_to = (int8_t)reg_of(to->reg, &bytes);
}

bool code_take_arm64(csh h, const cs_insn *in, struct code_ops *to)
{
	struct code_op *op = code_add_op(to, in);
	const cs_arm64 *a = &in->detail->arm64;
	unsigned bytes;
	int dst;
	if (!op)
		return false;
	switch (in->id) {
	case ARM64_INS_MOV:
	case ARM64_INS_MOVZ:
	case ARM64_INS_MOVN:
		move(h, in, op);
		break;
	case ARM64_INS_MOVK:
		keep(h, in, op);
		break;
	case ARM64_INS_ADR:
	case ARM64_INS_ADRP:
		dst = reg_of(a->operands[0].reg, &bytes);
		if (dst >= 0)
			set(op, dst, 8, a->operands[1].imm);
		break;
	case ARM64_INS_ADD:
		alu(h, in, op, ALU_ADD);
		break;
	case ARM64_INS_SUB:
		alu(h, in, op, ALU_SUB);
		break;
	case ARM64_INS_LSL:
		alu(h, in, op, ALU_SHL);
		break;
	case ARM64_INS_AND:
		alu(h, in, op, ALU_AND);
		break;
	case ARM64_INS_ORR:
		alu(h, in, op, ALU_OR);
		break;
	case ARM64_INS_MUL:
		alu(h, in, op, ALU_MUL);
		break;
	case ARM64_INS_LDR:
	case ARM64_INS_LDUR:
		return memory(h, in, to, false, 1);
	case ARM64_INS_STR:
	case ARM64_INS_STUR:
		return memory(h, in, to, true, 1);
	case ARM64_INS_LDP:
		return memory(h, in, to, false, 2);
	case ARM64_INS_STP:
		return memory(h, in, to, true, 2);
	case ARM64_INS_BL:
	case ARM64_INS_BLR:
		flow(in, op, FLOW_CALL);
		break;
	case ARM64_INS_B:
		flow(in, op, a->cc == ARM64_CC_INVALID || a->cc == ARM64_CC_AL ? FLOW_JUMP : FLOW_BRANCH);
		break;
	case ARM64_INS_BR:
		flow(in, op, FLOW_JUMP);
		break;
	case ARM64_INS_CBZ:
	case ARM64_INS_CBNZ:
	case ARM64_INS_TBZ:
	case ARM64_INS_TBNZ:
		flow(in, op, FLOW_BRANCH);
		break;
	case ARM64_INS_RET:
	case ARM64_INS_BRK:
		op->flow = FLOW_END;
		break;
	case ARM64_INS_CSET:
		return flag(in, to);
	case ARM64_INS_CSEL:
		return choose(h, in, to);
	default:
		spoil(h, in, op);
	}
	return true;
}

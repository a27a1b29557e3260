/* From allocation sites to types. usage: sites PID RECORD
 * For each live block of the process a line: address, size asked for, type, and how that was found. The type is that of what receives
 * the pointer: a variable by its DWARF location behind the call, a member or a variable that it is stored to, the object that a
 * constructor gets; what is only handed on is followed into the caller. Nothing of flotsam is used. */
#include "record.h"

#include <capstone/capstone.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 160, MAX_SLOTS = 16, MAX_SCOPES = 64 };

static Dwfl *dwfl;
static csh decoder;

/* Registers by DWARF number (System V ABI, x86-64, figure 3.36). */
static int dwarf_register(x86_reg r)
{
	static const x86_reg wide[16] = { X86_REG_RAX, X86_REG_RDX, X86_REG_RCX, X86_REG_RBX, X86_REG_RSI, X86_REG_RDI, X86_REG_RBP, X86_REG_RSP,
					  X86_REG_R8, X86_REG_R9, X86_REG_R10, X86_REG_R11, X86_REG_R12, X86_REG_R13, X86_REG_R14, X86_REG_R15 };
	for (int i = 0; i < 16; i++)
		if (wide[i] == r)
			return i;
	return -1;
}

/* What an instruction writes; of 32 bits the others become 0. */
static int written_register(x86_reg r)
{
	static const x86_reg half[16] = { X86_REG_EAX, X86_REG_EDX, X86_REG_ECX, X86_REG_EBX, X86_REG_ESI, X86_REG_EDI, X86_REG_EBP, X86_REG_ESP,
					  X86_REG_R8D, X86_REG_R9D, X86_REG_R10D, X86_REG_R11D, X86_REG_R12D, X86_REG_R13D, X86_REG_R14D, X86_REG_R15D };
	for (int i = 0; i < 16; i++)
		if (half[i] == r)
			return i;
	return dwarf_register(r);
}
enum { RAX = 0, RBP = 6, RSP = 7, RDI = 5 };

struct tracking {
	Dwarf_Addr bias;
	Dwarf_Die unit, scopes[MAX_SCOPES];
	int n_scopes;
	unsigned held;		/* registers that hold the pointer, a bit each */
	unsigned behind;	/* of those, behind what an allocator of the program's own puts in front */
	struct { int base; int64_t at; } slots[MAX_SLOTS]; /* words of the frame that do */
	int n_slots;
	char *found, *how;
	uint64_t size, bytes;	/* of the type found; what was asked for */
	bool returned, returned_behind;
};

static bool type_of(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Attribute attr;
	return dwarf_attr_integrate(die, DW_AT_type, &attr) && dwarf_formref_die(&attr, ret);
}

/* Without typedefs, const and the like. The last typedef's name is kept for what has none of its own. */
static bool peel(Dwarf_Die *die, const char **ret_name)
{
	for (int i = 0; i < 32; i++) {
		int tag = dwarf_tag(die);
		if (tag == DW_TAG_typedef)
			*ret_name = dwarf_diename(die);
		else if (tag != DW_TAG_const_type && tag != DW_TAG_volatile_type && tag != DW_TAG_restrict_type && tag != DW_TAG_atomic_type)
			return true;
		if (!type_of(die, die))
			return false;
	}
	return false;
}

/* "ns::outer::" around a type: libdw has no parents, so the way down from the unit is searched. */
static bool find_around(Dwarf_Die *from, Dwarf_Off wanted, char *to, size_t max, int depth)
{
	Dwarf_Die child;
	if (depth > 24 || dwarf_child(from, &child))
		return false;
	do {
		int tag = dwarf_tag(&child);
		if (dwarf_dieoffset(&child) == wanted)
			return true;
		if (tag != DW_TAG_namespace && tag != DW_TAG_structure_type && tag != DW_TAG_class_type && tag != DW_TAG_union_type)
			continue;
		size_t n = strlen(to);
		const char *name = dwarf_diename(&child);
		if (!name && tag == DW_TAG_namespace)
			name = "(anonymous namespace)";
		if (name)
			snprintf(to + n, max - n, "%s::", name);
		if (find_around(&child, wanted, to, max, depth + 1))
			return true;
		to[n] = '\0';
	} while (!dwarf_siblingof(&child, &child));
	return false;
}

static char *name_type(Dwarf_Die *die)
{
	char around[1024] = "", *text = NULL;
	const char *alias = NULL;
	Dwarf_Die at = *die, unit;
	int stars = 0;
	while (peel(&at, &alias) && (dwarf_tag(&at) == DW_TAG_pointer_type || dwarf_tag(&at) == DW_TAG_array_type)) {
		stars += dwarf_tag(&at) == DW_TAG_pointer_type;
		alias = NULL;
		if (!type_of(&at, &at))
			return stars ? strdup("void*") : NULL;
	}
	const char *name = dwarf_diename(&at);
	if (!name)
		name = dwarf_tag(&at) == DW_TAG_subroutine_type ? "()" : alias;
	if (!name)
		return NULL;
	if (dwarf_diecu(&at, &unit, NULL, NULL))
		find_around(&unit, dwarf_dieoffset(&at), around, sizeof around, 0);
	return asprintf(&text, "%s%s%s%.*s", around, name, stars ? " " : "", stars, "******") < 0 ? NULL : text;
}

/* What a pointer type points at becomes the answer; of void nothing is learned. */
static bool take(struct tracking *t, Dwarf_Die *type, const char *how)
{
	const char *alias = NULL;
	Dwarf_Die at = *type, target;
	Dwarf_Word size = 0;
	/* What is all of the block is not its first member. */
	if ((t->found && t->size == t->bytes) || !peel(&at, &alias))
		return false;
	if (dwarf_tag(&at) != DW_TAG_pointer_type && dwarf_tag(&at) != DW_TAG_reference_type)
		return false;
	if (!type_of(&at, &target))
		return false;
	size = dwarf_aggregate_size(&target, &size) ? 0 : size;
	/* Room that was asked for as characters, and is a structure's for who gets it then. */
	bool room = t->found && !strcmp(t->how, "allocator") && !strcmp(t->found, "char") && !strcmp(how, "variable") && size && size <= t->bytes &&
		    peel(&target, &alias) && dwarf_tag(&target) != DW_TAG_base_type;
	if ((t->found || !strcmp(how, "constructor")) && size != t->bytes && !room)
		return false;
	char *name = name_type(&target);
	if (!name || !strcmp(name, "void")) {
		free(name);
		return false;
	}
	free(t->found);
	free(t->how);
	t->found = name;
	t->how = strdup(how);
	t->size = size;
	return true;
}

static bool member_at(Dwarf_Die *type, int64_t at, int depth, Dwarf_Die *ret);

/* Which of a union's members is meant, nobody says: those that are pointers must agree. */
static bool member_of_union(Dwarf_Die *type, int64_t at, int depth, Dwarf_Die *ret)
{
	Dwarf_Die child, of, member;
	char *agreed = NULL;
	bool differ = false;
	if (dwarf_child(type, &child))
		return false;
	do {
		Dwarf_Word size = 0;
		if (dwarf_tag(&child) != DW_TAG_member || !type_of(&child, &of) || dwarf_aggregate_size(&of, &size) || at >= (int64_t)size ||
		    !member_at(&of, at, depth + 1, &member))
			continue;
		char *name = name_type(&member);
		differ |= !name || (agreed && strcmp(agreed, name) != 0);
		free(agreed);
		agreed = name;
		*ret = member;
	} while (!dwarf_siblingof(&child, &child));
	bool found = agreed;
	free(agreed);
	return found && !differ;
}

/* The type of a member that lies at an offset of a structure. */
static bool member_at(Dwarf_Die *type, int64_t at, int depth, Dwarf_Die *ret)
{
	Dwarf_Die die = *type, child;
	for (; depth < 16; depth++) {
		const char *alias = NULL;
		if (!peel(&die, &alias))
			return false;
		int tag = dwarf_tag(&die);
		if (tag == DW_TAG_pointer_type) {
			*ret = die;
			return at == 0;
		}
		if (tag == DW_TAG_array_type) {
			Dwarf_Word size;
			if (!type_of(&die, &die) || dwarf_aggregate_size(&die, &size) || !size)
				return false;
			at %= (int64_t)size;
			continue;
		}
		if (tag == DW_TAG_union_type)
			return member_of_union(&die, at, depth, ret);
		if ((tag != DW_TAG_structure_type && tag != DW_TAG_class_type) || dwarf_child(&die, &child))
			return false;
		Dwarf_Die inner;
		int64_t inner_at = -1;
		do {
			Dwarf_Attribute attr;
			Dwarf_Word offset = 0, size = 0;
			Dwarf_Die of;
			if ((dwarf_tag(&child) != DW_TAG_member && dwarf_tag(&child) != DW_TAG_inheritance) || !type_of(&child, &of))
				continue;
			if (dwarf_attr(&child, DW_AT_data_member_location, &attr) && dwarf_formudata(&attr, &offset))
				continue;
			if (dwarf_hasattr(&child, DW_AT_external) || dwarf_aggregate_size(&of, &size) || at < (int64_t)offset ||
			    at >= (int64_t)(offset + size))
				continue;
			inner = of;
			inner_at = at - (int64_t)offset;
			break;
		} while (!dwarf_siblingof(&child, &child));
		if (inner_at < 0)
			return false;
		die = inner;
		at = inner_at;
	}
	return false;
}

/* Where a variable is at a pc: register number, or a word of the frame (*ret_at). -1: elsewhere. */
static int where_is(Dwarf_Die *variable, Dwarf_Addr pc, bool *ret_memory, int64_t *ret_at)
{
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;
	if (!dwarf_attr_integrate(variable, DW_AT_location, &attr) || dwarf_getlocation_addr(&attr, pc, &ops, &n, 1) != 1 || !n)
		return -1;
	*ret_memory = false;
	if (n == 1 && ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg15)
		return ops[0].atom - DW_OP_reg0;
	if (n == 2 && ops[0].atom >= DW_OP_breg0 && ops[0].atom <= DW_OP_breg15 && !ops[0].number && ops[1].atom == DW_OP_stack_value)
		return ops[0].atom - DW_OP_breg0;
	*ret_memory = true;
	*ret_at = (int64_t)ops[0].number;
	if (n == 1 && ops[0].atom == DW_OP_fbreg) {
		/* The frame base is the CFA in what gcc makes: with a frame pointer rbp + 16. */
		*ret_at += 16;
		return RBP;
	}
	if (n == 1 && ops[0].atom >= DW_OP_breg0 && ops[0].atom <= DW_OP_breg15)
		return ops[0].atom - DW_OP_breg0;
	return -1;
}

typedef bool variable_fn(struct tracking *t, Dwarf_Die *variable, Dwarf_Addr pc, void *ctx);
/* Outermost first: a constructor that was inlined gets the same pointer as those of its first members. */
static bool each_variable(struct tracking *t, Dwarf_Addr pc, variable_fn *f, void *ctx)
{
	for (int i = 0; i < t->n_scopes; i++) {
		Dwarf_Die child;
		if (dwarf_child(&t->scopes[i], &child))
			continue;
		do
			if ((dwarf_tag(&child) == DW_TAG_variable || dwarf_tag(&child) == DW_TAG_formal_parameter) && f(t, &child, pc, ctx))
				return true;
		while (!dwarf_siblingof(&child, &child));
	}
	return false;
}

static bool is_held(struct tracking *t, Dwarf_Die *variable, Dwarf_Addr pc, void *ctx)
{
	bool memory;
	int64_t at = 0;
	Dwarf_Die type;
	int base = where_is(variable, pc, &memory, &at);
	bool ours = base >= 0 && !memory && (t->held & ~t->behind) >> base & 1;
	for (int i = 0; i < t->n_slots && base >= 0 && memory; i++)
		ours |= t->slots[i].base == base && t->slots[i].at == at;
	(void)ctx;
	if (!ours || !type_of(variable, &type))
		return false;
	/* A constructor that was inlined may be that of the first member. */
	const char *name = dwarf_diename(variable);
	bool own = name && !strcmp(name, "this");
	return take(t, &type, own ? "constructor" : name ? "variable" : "parameter");
}

struct store { int base; int64_t at; };
static bool is_base(struct tracking *t, Dwarf_Die *variable, Dwarf_Addr pc, void *ctx)
{
	const struct store *s = ctx;
	const char *alias = NULL;
	bool memory;
	int64_t at;
	Dwarf_Die type, target, member;
	if (where_is(variable, pc, &memory, &at) != s->base || memory || !type_of(variable, &type) || !peel(&type, &alias) ||
	    (dwarf_tag(&type) != DW_TAG_pointer_type && dwarf_tag(&type) != DW_TAG_reference_type) || !type_of(&type, &target))
		return false;
	return member_at(&target, s->at, 0, &member) && take(t, &member, "member");
}

/* Functions, blocks and inlined functions around a pc, outermost first. */
static void add_scopes(struct tracking *t, Dwarf_Die *die, Dwarf_Addr pc, int depth)
{
	Dwarf_Die child;
	if (depth > MAX_SCOPES || dwarf_child(die, &child))
		return;
	do {
		int tag = dwarf_tag(&child);
		bool code = tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block;
		if (code && dwarf_haspc(&child, pc) > 0) {
			if (t->n_scopes < MAX_SCOPES)
				t->scopes[t->n_scopes++] = child;
			add_scopes(t, &child, pc, depth + 1);
			return;
		}
		if (tag == DW_TAG_namespace)
			add_scopes(t, &child, pc, depth + 1);
	} while (!dwarf_siblingof(&child, &child));
}

static void enter(struct tracking *t, Dwarf_Addr pc)
{
	t->n_scopes = 0;
	add_scopes(t, &t->unit, pc, 0);
}

static bool unit_at(Dwarf_Addr pc, Dwarf_Die *ret, Dwarf_Addr *ret_bias)
{
	Dwarf_Die *unit = dwfl_addrdie(dwfl, pc, ret_bias);
	if (!unit)
		return false;
	*ret = *unit;
	return true;
}

/* std::allocator<T>::allocate and what stands for it: the class says what is allocated. */
static bool of_allocator(struct tracking *t)
{
	for (int i = t->n_scopes; i-- > 0;) {
		Dwarf_Attribute attr;
		const char *linkage = dwarf_attr_integrate(&t->scopes[i], DW_AT_linkage_name, &attr) ? dwarf_formstring(&attr) : NULL;
		/* _ZNSt15__new_allocatorI..E8allocateEmPKv (libstdc++ of gcc 12), or new_allocator before */
		if (!linkage || !strstr(linkage, "new_allocatorI") || !strstr(linkage, "8allocateE"))
			continue;
		Dwarf_Die method = t->scopes[i], child;
		/* Its result is T*. */
		if (type_of(&method, &child) && take(t, &child, "allocator"))
			return true;
	}
	return false;
}

static bool global_at(struct tracking *t, uint64_t address)
{
	Dwarf_Die child;
	if (dwarf_child(&t->unit, &child))
		return false;
	do {
		Dwarf_Attribute attr;
		Dwarf_Op *ops;
		size_t n;
		Dwarf_Die type, member;
		Dwarf_Word size;
		if (dwarf_tag(&child) != DW_TAG_variable || !dwarf_attr_integrate(&child, DW_AT_location, &attr) || dwarf_getlocation(&attr, &ops, &n) ||
		    n != 1 || ops[0].atom != DW_OP_addr || !type_of(&child, &type) || dwarf_aggregate_size(&type, &size))
			continue;
		uint64_t at = address - ops[0].number;
		if (at < size && member_at(&type, (int64_t)at, 0, &member) && take(t, &member, "global"))
			return true;
	} while (!dwarf_siblingof(&child, &child));
	return false;
}

/* A constructor or function of the program that gets the pointer as its first argument. */
static bool of_callee(struct tracking *t, uint64_t target)
{
	Dwarf_Addr bias;
	Dwarf_Die unit, child, type;
	Dwarf_Attribute attr;
	struct tracking there = { .bytes = t->bytes };
	if (!unit_at(target, &unit, &bias))
		return false;
	there.unit = unit;
	enter(&there, target - bias);
	if (!there.n_scopes || dwarf_child(&there.scopes[0], &child))
		return false;
	do
		if (dwarf_tag(&child) == DW_TAG_formal_parameter)
			return dwarf_attr_integrate(&child, DW_AT_artificial, &attr) && type_of(&child, &type) && take(t, &type, "constructor");
	while (!dwarf_siblingof(&child, &child));
	return false;
}

static void hold(struct tracking *t, int reg, bool ours, bool behind)
{
	if (reg < 0)
		return;
	t->held = ours ? t->held | 1u << reg : t->held & ~(1u << reg);
	t->behind = ours && behind ? t->behind | 1u << reg : t->behind & ~(1u << reg);
}

/* A pointer to behind a few words in front: what the caller gets is what is asked about. */
static bool on_step(struct tracking *t, const cs_insn *in)
{
	const cs_x86_op *to = &in->detail->x86.operands[0], *from = &in->detail->x86.operands[1];
	bool add = in->id == X86_INS_ADD && from->type == X86_OP_IMM, lea = in->id == X86_INS_LEA && from->mem.index == X86_REG_INVALID;
	int reg = to->type != X86_OP_REG ? -1 : dwarf_register(add ? to->reg : lea ? from->mem.base : X86_REG_INVALID);
	int64_t by = add ? from->imm : from->mem.disp;
	if (reg < 0 || !(t->held >> reg & 1) || by <= 0 || by > 64 || by % 8)
		return false;
	hold(t, dwarf_register(to->reg), true, true);
	return true;
}

/* What one instruction does to the pointer. Returns true when it tells the type. */
static bool on_move(struct tracking *t, const cs_insn *in, Dwarf_Addr pc)
{
	const cs_x86_op *to = &in->detail->x86.operands[0], *from = &in->detail->x86.operands[1];
	int source = from->type == X86_OP_REG ? dwarf_register(from->reg) : -1;
	bool ours = source >= 0 && t->held >> source & 1, behind = source >= 0 && t->behind >> source & 1;
	if (from->type == X86_OP_MEM && from->mem.index == X86_REG_INVALID)
		for (int i = 0; i < t->n_slots; i++)
			ours |= t->slots[i].base == dwarf_register(from->mem.base) && t->slots[i].at == from->mem.disp;
	if (to->type == X86_OP_REG) {
		hold(t, written_register(to->reg), ours, behind);
		return false;
	}
	if (!ours || behind || to->type != X86_OP_MEM)
		return false;
	if (to->mem.base == X86_REG_RIP)
		return global_at(t, pc + in->size + (uint64_t)to->mem.disp);
	struct store s = { dwarf_register(to->mem.base), to->mem.disp };
	if (to->mem.index != X86_REG_INVALID || s.base < 0)
		return false;
	if ((s.base == RBP || s.base == RSP) && t->n_slots < MAX_SLOTS) {
		t->slots[t->n_slots].base = s.base;
		t->slots[t->n_slots++].at = s.at;
	}
	return each_variable(t, pc, is_base, &s) || each_variable(t, pc + in->size, is_base, &s);
}

static bool read_code(Dwarf_Addr pc, uint8_t *to, size_t n)
{
	GElf_Addr bias;
	Dwfl_Module *m = dwfl_addrmodule(dwfl, pc);
	Elf_Scn *scn = NULL;
	Elf *elf = m ? dwfl_module_getelf(m, &bias) : NULL;
	while (elf && (scn = elf_nextscn(elf, scn))) {
		GElf_Shdr s;
		if (!gelf_getshdr(scn, &s) || s.sh_type == SHT_NOBITS || !(s.sh_flags & SHF_EXECINSTR) || pc - bias < s.sh_addr || pc - bias >= s.sh_addr + s.sh_size)
			continue;
		Elf_Data *d = elf_rawdata(scn, NULL);
		uint64_t at = pc - bias - s.sh_addr, left = s.sh_size - at;
		memset(to, 0xcc, n);
		memcpy(to, (uint8_t *)d->d_buf + at, left < n ? left : n);
		return true;
	}
	return false;
}

/* Follows the pointer from behind a call. */
static void track(struct tracking *t, Dwarf_Addr from)
{
	cs_insn *in = cs_malloc(decoder);
	Dwarf_Addr pc = from;
	bool tested = false;
	t->held = 1u << RAX;
	enter(t, from - 1 - t->bias);
	if (of_allocator(t) && strcmp(t->found, "char") != 0)
		goto out;
	for (int i = 0; i < MAX_STEPS && t->held; i++) {
		uint8_t code[16];
		const uint8_t *p = code;
		size_t n = sizeof code;
		uint64_t at = pc;
		if (!read_code(pc, code, sizeof code) || !cs_disasm_iter(decoder, &p, &n, &at, in))
			break;
		enter(t, pc - t->bias);
		/* Found, it is still followed: it may be handed on to who knows more. */
		each_variable(t, pc - t->bias, is_held, NULL);
		const cs_x86 *x = &in->detail->x86;
		Dwarf_Addr next = pc + in->size;
		bool test = in->id == X86_INS_TEST && x->operands[0].type == X86_OP_REG && dwarf_register(x->operands[0].reg) >= 0 &&
			    t->held >> dwarf_register(x->operands[0].reg) & 1;
		if (in->id == X86_INS_RET) {
			t->returned = t->held & 1u << RAX;
			t->returned_behind = t->behind & 1u << RAX;
			break;
		} else if (on_step(t, in)) {
			;
		} else if (in->id == X86_INS_MOV) {
			on_move(t, in, pc - t->bias);
		} else if (in->id == X86_INS_CALL) {
			if (t->held >> RDI & 1 && x->operands[0].type == X86_OP_IMM)
				of_callee(t, (uint64_t)x->operands[0].imm);
			/* What a call may change: rax, rdx, rcx, rsi, rdi, r8 to r11. */
			t->held &= 1u << 3 | 1u << RBP | 0xf000;
			t->behind &= t->held;
		} else if (in->id == X86_INS_JMP && x->operands[0].type == X86_OP_IMM) {
			next = (Dwarf_Addr)x->operands[0].imm;
		} else if (in->id == X86_INS_JNE && tested) {
			next = (Dwarf_Addr)x->operands[0].imm;
		} else if (!cs_insn_group(decoder, in, CS_GRP_JUMP) && x->op_count && x->operands[0].type == X86_OP_REG && x->operands[0].access & CS_AC_WRITE &&
			   in->id != X86_INS_PUSH) {
			hold(t, written_register(x->operands[0].reg), false, false);
		}
		tested = test;
		pc = next;
	}
out:
	cs_free(in, 1);
}

/* The characters of a string that libstdc++.so allocates itself, which has no DWARF here. */
static bool of_library(uint64_t pc, char **ret, char **ret_how)
{
	Dwfl_Module *m = dwfl_addrmodule(dwfl, pc);
	const char *name = m ? dwfl_module_addrname(m, pc - 1) : NULL;
	if (!name || !strstr(name, "basic_stringIc"))
		return false;
	*ret = strdup("char");
	*ret_how = strdup("string");
	return true;
}

/* Structures that others begin with, by name. */
struct beginning { char *header, *outer; };
static struct beginning beginnings[1 << 14];
static size_t n_beginnings;

static void add_beginning(const char *header, const char *outer)
{
	for (size_t i = 0; i < n_beginnings; i++)
		if (!strcmp(beginnings[i].header, header) && !strcmp(beginnings[i].outer, outer))
			return;
	if (n_beginnings < sizeof beginnings / sizeof beginnings[0])
		beginnings[n_beginnings++] = (struct beginning){ strdup(header), strdup(outer) };
}

static void first_member(Dwarf_Die *outer)
{
	const char *alias = NULL, *name = dwarf_diename(outer);
	Dwarf_Die child, type;
	if (!name || dwarf_child(outer, &child) || dwarf_tag(&child) != DW_TAG_member || !type_of(&child, &type) || !peel(&type, &alias) ||
	    dwarf_tag(&type) != DW_TAG_structure_type)
		return;
	const char *header = dwarf_diename(&type) ? dwarf_diename(&type) : alias;
	if (header)
		add_beginning(header, name);
}

static int read_beginnings(Dwfl_Module *m, void **user, const char *name, Dwarf_Addr start, void *ctx)
{
	Dwarf_Addr bias;
	(void)user, (void)name, (void)start, (void)ctx;
	for (Dwarf_Die *unit = NULL, child; (unit = dwfl_module_nextcu(m, unit, &bias));) {
		if (dwarf_child(unit, &child))
			continue;
		do
			if (dwarf_tag(&child) == DW_TAG_structure_type)
				first_member(&child);
		while (!dwarf_siblingof(&child, &child));
	}
	return DWARF_CB_OK;
}

static bool is_header(const char *type)
{
	static bool read;
	size_t n = 0;
	if (!read)
		dwfl_getmodules(dwfl, read_beginnings, NULL, 0);
	read = true;
	for (size_t i = 0; i < n_beginnings; i++)
		n += !strcmp(beginnings[i].header, type);
	return n >= 2;
}

struct site { uint64_t frames[RECORD_FRAMES], bytes; char *type, *how; };

/* Of two names for one pointer the one that says more: a caller may know the whole of what was made as its first part. */
static bool says_more(const struct tracking *t, const struct site *s, uint64_t size)
{
	return !s->type || (t->size > size && t->size <= s->bytes);
}

static void resolve(struct site *s)
{
	uint64_t size = 0;
	for (int i = 0; i < RECORD_FRAMES && s->frames[i]; i++) {
		struct tracking t = { .bytes = s->bytes };
		/* operator new and its like hand on what they got. */
		if (!unit_at(s->frames[i] - 1, &t.unit, &t.bias)) {
			if (!s->type && of_library(s->frames[i], &s->type, &s->how))
				return;
			continue;
		}
		track(&t, s->frames[i]);
		/* What was in front is told by the variable that it was made with. */
		if (t.returned_behind) {
			free(t.found);
			free(t.how);
			t.found = t.how = NULL;
		}
		if (t.found && says_more(&t, s, size)) {
			free(s->type);
			free(s->how);
			s->type = t.found;
			s->how = t.how;
			size = t.size;
		}
		if (!t.returned)
			break;
	}
	/* A small structure in front of more, or one that others begin with, is a header: whoever knew the whole was not seen. */
	bool known = s->how && (!strcmp(s->how, "allocator") || !strcmp(s->how, "constructor"));
	if (s->type && size > 4 && s->bytes > size && (s->bytes % size ? size <= 16 || is_header(s->type) : !known && size <= 16 && is_header(s->type))) {
		free(s->type);
		free(s->how);
		s->type = s->how = NULL;
	}
}

/* Live blocks by address, and sites by their frames: open addressing. */
static struct { uint64_t address, size; uint32_t site; } *live;
static size_t live_cap = 1 << 16, live_n;
static struct site *sites;
static size_t n_sites, sites_cap;
static uint32_t *by_frames;
static size_t by_frames_cap = 1 << 16;

static uint64_t mix(uint64_t x)
{
	x *= 0x9e3779b97f4a7c15u;
	return x ^ x >> 29;
}

static uint32_t site_of(const uint64_t frames[RECORD_FRAMES], uint64_t bytes)
{
	uint64_t h = 0;
	for (int i = 0; i < RECORD_FRAMES; i++)
		h = mix(h ^ frames[i]);
	for (size_t i = h % by_frames_cap;; i = (i + 1) % by_frames_cap) {
		if (!by_frames[i]) {
			if (n_sites == sites_cap)
				sites = reallocarray(sites, sites_cap = sites_cap ? 2 * sites_cap : 1024, sizeof *sites);
			if (!sites || n_sites + 1 > by_frames_cap / 2)
				exit(3);
			sites[n_sites] = (struct site){ .bytes = bytes };
			memcpy(sites[n_sites].frames, frames, sizeof sites->frames);
			return by_frames[i] = (uint32_t)++n_sites;
		}
		if (!memcmp(sites[by_frames[i] - 1].frames, frames, sizeof sites->frames))
			return by_frames[i];
	}
}

static void put(uint64_t address, uint64_t size, uint32_t site)
{
	if (live_n * 2 >= live_cap) {
		size_t old_cap = live_cap;
		void *old = live;
		typeof(live) from = old;
		live_cap *= 2;
		live_n = 0;
		live = calloc(live_cap, sizeof *live);
		for (size_t i = 0; i < old_cap; i++)
			if (from[i].address)
				put(from[i].address, from[i].size, from[i].site);
		free(old);
	}
	size_t i = mix(address) % live_cap;
	while (live[i].address && live[i].address != address)
		i = (i + 1) % live_cap;
	live_n += !live[i].address;
	live[i].address = address;
	live[i].size = size;
	live[i].site = site; /* 0: freed */
}

int main(int argc, char **argv)
{
	static const Dwfl_Callbacks callbacks = { .find_elf = dwfl_linux_proc_find_elf, .find_debuginfo = dwfl_standard_find_debuginfo };
	FILE *f = argc == 3 ? fopen(argv[2], "r") : NULL;
	struct record r;
	if (!f) {
		fprintf(stderr, "usage: sites PID RECORD\n");
		return 2;
	}
	dwfl = dwfl_begin(&callbacks);
	if (dwfl_linux_proc_report(dwfl, atoi(argv[1])) || dwfl_report_end(dwfl, NULL, NULL) || cs_open(CS_ARCH_X86, CS_MODE_64, &decoder) ||
	    cs_option(decoder, CS_OPT_DETAIL, CS_OPT_ON)) {
		fprintf(stderr, "sites: cannot read process %s\n", argv[1]);
		return 3;
	}
	live = calloc(live_cap, sizeof *live);
	by_frames = calloc(by_frames_cap, sizeof *by_frames);
	while (fread(&r, sizeof r, 1, f) == 1)
		put(~r.hidden, r.word & INT64_MAX, r.word >> 63 ? 0 : site_of(r.frames, r.word & INT64_MAX));
	fclose(f);
	for (size_t i = 0; i < n_sites; i++)
		resolve(&sites[i]);
	for (size_t i = 0; i < live_cap; i++)
		if (live[i].address && live[i].site) {
			const struct site *s = &sites[live[i].site - 1];
			printf("0x%llx\t%llu\t%s\t%s\n", (unsigned long long)live[i].address, (unsigned long long)live[i].size, s->type ? s->type : "",
			       s->how ? s->how : "");
		}
	if (getenv("SITES_VERBOSE"))
		for (size_t i = 0; i < n_sites; i++) {
			fprintf(stderr, "site %zu: %s (%s)", i, sites[i].type ? sites[i].type : "?", sites[i].how ? sites[i].how : "-");
			for (int k = 0; k < RECORD_FRAMES && sites[i].frames[k]; k++) {
				Dwfl_Module *m = dwfl_addrmodule(dwfl, sites[i].frames[k]);
				fprintf(stderr, " %s", m ? dwfl_module_addrname(m, sites[i].frames[k] - 1) : "?");
			}
			fputs("\n", stderr);
		}
	return 0;
}

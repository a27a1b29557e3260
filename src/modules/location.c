/* Where a variable is: DWARF expressions (DWARF 5, 2.5 and 2.6) over the registers of a frame and the memory of the picture.
 * Expressions come from a file: their steps, the stack and the nesting are counted. */
#include "guard.h"
#include "values.h"

enum { MAX_STACK = 64, MAX_OPS = 10000, MAX_NESTING = 8, MAX_PIECES = 1 << 16 };

static const char optimised_out[] = "optimised out";
static const char unsupported[] = "its location is of a kind that is not read here";
static const char unreadable[] = "cannot be read";
static const char no_frame[] = "it needs a frame";

enum form { FORM_ADDRESS, FORM_REGISTER, FORM_VALUE, FORM_BYTES, FORM_NOWHERE };
struct machine {
	struct evaluation *e;
	Dwarf_Attribute *attr;
	uint64_t stack[MAX_STACK];
	unsigned n;
	enum form form;		/* of the result, or of the piece */
	uint64_t reg;
	Dwarf_Block block;	/* FORM_BYTES */
	const char *why;	/* set: no result */
	struct place *out;
	bool in_pieces;
	bool typed;		/* raw bytes of a type that is no address are on the stack: nothing may be computed from them */
};

static unsigned word_of(const struct evaluation *e)
{
	return modules_arch(e->ms)->word;
}

static bool fail(struct machine *k, const char *why)
{
	if (!k->why)
		k->why = why;
	return false;
}

static bool push(struct machine *k, uint64_t v)
{
	if (k->n == MAX_STACK)
		return fail(k, unsupported);
	k->stack[k->n++] = word_of(k->e) == 4 ? (uint32_t)v : v;
	return true;
}

static bool need(struct machine *k, unsigned n)
{
	return k->n >= n || fail(k, unsupported);
}

static bool has_frame(const struct evaluation *e)
{
	return e->at && e->frame < e->at->n_frames;
}

static bool read_register(struct machine *k, uint64_t reg, uint64_t *ret)
{
	if (!has_frame(k->e))
		return fail(k, no_frame);
	const struct frame_registers *r = &k->e->at->registers[k->e->frame];
	if (reg >= MAX_DWARF_REGISTERS || !(r->known >> reg & 1))
		return fail(k, optimised_out);
	*ret = r->value[reg];
	return true;
}

/* Registers that do not hold words: SSE's, of the innermost frame alone. FXSAVE has them from byte 160 (Intel SDM vol. 1, 10.5.1);
 * their DWARF numbers: System V ABI AMD64, figure 3.36. */
static bool vector_register(const struct evaluation *e, uint64_t reg, uint8_t to[16])
{
	const struct arch *a = modules_arch(e->ms);
	if (!has_frame(e) || e->frame || strcmp(a->name, "x86_64") || reg < 17 || reg > 32)
		return false;
	struct span s = span_sub(e->at->thread->fpregs, 160 + 16 * (size_t)(reg - 17), 16);
	if (s.n < 16)
		return false;
	memcpy(to, s.p, 16);
	return true;
}

static bool evaluate(struct machine *k, const Dwarf_Op *ops, size_t n);

static bool read_cfa(struct machine *k, uint64_t *ret)
{
	if (!has_frame(k->e))
		return fail(k, no_frame);
	*ret = k->e->at->frames[k->e->frame].cfa;
	return *ret || fail(k, "where its frame ends is not known");
}

static uint64_t link_pc(const struct evaluation *e)
{
	const struct frame *f = &e->at->frames[e->frame];
	bool exact = e->frame == 0 || f->is_signal || f[-1].is_signal;
	return f->pc - !exact - e->m->bias;
}

static bool frame_base(struct machine *k, uint64_t *ret)
{
	struct evaluation e = *k->e;
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;
	if (!has_frame(&e) || !e.function || ++e.depth > MAX_NESTING || !dwarf_attr_integrate(e.function, DW_AT_frame_base, &attr) ||
	    dwarf_getlocation_addr(&attr, link_pc(&e), &ops, &n, 1) != 1)
		return fail(k, has_frame(&e) ? unsupported : no_frame);
	struct machine inner = { .e = &e, .attr = &attr };
	if (!evaluate(&inner, ops, n))
		return fail(k, inner.why);
	if (inner.form == FORM_REGISTER)
		return read_register(k, inner.reg, ret);
	if (!inner.n)
		return fail(k, unsupported);
	*ret = inner.stack[inner.n - 1];
	return true;
}

static bool read_memory(struct machine *k, uint64_t address, uint64_t size, uint64_t *ret)
{
	uint8_t raw[8];
	bool big = modules_arch(k->e->ms)->big;
	*ret = 0;
	if (!size || size > sizeof raw)
		return fail(k, unsupported);
	if (!modules_read(k->e->ms, address, raw, size))
		return fail(k, unreadable);
	for (unsigned i = 0; i < size; i++)
		*ret |= (uint64_t)raw[big ? size - 1 - i : i] << 8 * i;
	return true;
}

/* The value that a parameter had when the function was entered, if its caller knows it: DW_TAG_call_site_parameter. */

static bool is_call_site(int tag)
{
	return tag == DW_TAG_call_site || tag == DW_TAG_GNU_call_site;
}

static bool call_site_at(struct scope_chain *c, uint64_t return_pc, Dwarf_Die *ret)
{
	for (size_t i = c->n; i-- > 0;) {
		Dwarf_Die child;
		Dwarf_Attribute attr;
		Dwarf_Addr pc;
		if (dwarf_child(&c->at[i], &child))
			continue;
		size_t budget = MAX_OPS;
		do {
			if (!is_call_site(dwarf_tag(&child)))
				continue;
			if ((dwarf_attr(&child, DW_AT_call_return_pc, &attr) || dwarf_attr(&child, DW_AT_low_pc, &attr)) && !dwarf_formaddr(&attr, &pc) &&
			    pc == return_pc) {
				*ret = child;
				return true;
			}
		} while (--budget && !dwarf_siblingof(&child, &child));
	}
	return false;
}

/* The function that was called may have ended in a jump to this one, with other parameters: the call must name this one, or
 * lead to its start. */
static bool calls(struct evaluation *caller, Dwarf_Die *site, const struct evaluation *callee)
{
	Dwarf_Die named, origin;
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;
	struct symbol s;
	const struct frame *f = &callee->at->frames[callee->frame];
	if (type_ref(site, DW_AT_call_origin, &named) || type_ref(site, DW_AT_abstract_origin, &named)) {
		Dwarf_Die *function = callee->function;
		const char *a = dwarf_diename(&named), *b = function && type_ref(function, DW_AT_abstract_origin, &origin) ? dwarf_diename(&origin) : NULL;
		if (!b && function)
			b = dwarf_diename(function);
		return a && b && !strcmp(a, b);
	}
	/* Through a pointer. */
	if ((!dwarf_attr(site, DW_AT_call_target, &attr) && !dwarf_attr(site, DW_AT_GNU_call_site_target, &attr)) || dwarf_getlocation(&attr, &ops, &n))
		return false;
	struct machine inner = { .e = caller, .attr = &attr };
	return evaluate(&inner, ops, n) && inner.n && modules_symbol_at(caller->ms, f->pc - 1, &s) && s.address == inner.stack[inner.n - 1];
}

static bool parameter_of(Dwarf_Die *site, uint64_t reg, Dwarf_Attribute *ret)
{
	Dwarf_Die child;
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n, budget = MAX_OPS;
	if (dwarf_child(site, &child))
		return false;
	do {
		if (!dwarf_attr(&child, DW_AT_location, &attr) || dwarf_getlocation(&attr, &ops, &n) || n != 1)
			continue;
		uint64_t of = ops[0].atom == DW_OP_regx ? ops[0].number : (uint64_t)ops[0].atom - DW_OP_reg0;
		if (of == reg && (ops[0].atom == DW_OP_regx || (ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31)))
			return dwarf_attr(&child, DW_AT_call_value, ret) || dwarf_attr(&child, DW_AT_GNU_call_site_value, ret);
	} while (--budget && !dwarf_siblingof(&child, &child));
	return false;
}

struct entry { /* of a parameter's register: what the caller computed for it */
	struct machine *callee;
	struct evaluation caller;
	uint64_t reg, value;
	bool found;
};

/* The caller's entries may be another file's. */
static void find_entry(void *ctx)
{
	struct entry *w = ctx;
	struct evaluation *caller = &w->caller;
	const struct frame *f = &caller->at->frames[caller->frame];
	struct scope_chain chain;
	Dwarf_Die site;
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;
	if (!modules_scopes(caller->ms, caller->m, f->pc - 1, &chain) || !call_site_at(&chain, f->pc - caller->m->bias, &site))
		return;
	caller->function = NULL;
	for (size_t i = 0; i < chain.n; i++)
		if (dwarf_tag(&chain.at[i]) == DW_TAG_subprogram)
			caller->function = &chain.at[i];
	if (!calls(caller, &site, w->callee->e) || !parameter_of(&site, w->reg, &attr) || dwarf_getlocation(&attr, &ops, &n))
		return;
	struct machine inner = { .e = caller, .attr = &attr };
	w->found = evaluate(&inner, ops, n) && inner.n && (inner.form == FORM_ADDRESS || inner.form == FORM_VALUE);
	if (w->found)
		w->value = inner.stack[inner.n - 1];
}

static bool entry_register(struct machine *k, uint64_t reg, uint64_t *ret)
{
	struct entry w = { .callee = k, .caller = *k->e, .reg = reg };
	const struct value_place *at = w.caller.at;
	if (!at || w.caller.frame + 1 >= at->n_frames || ++w.caller.depth > MAX_NESTING)
		return fail(k, optimised_out);
	const struct frame *f = &at->frames[++w.caller.frame];
	w.caller.m = f->module;
	if (!f->module || f->is_signal || f[-1].is_signal || !modules_guarded(w.caller.ms, f->module, find_entry, &w) || !w.found)
		return fail(k, optimised_out);
	*ret = w.value;
	return true;
}

static bool is_regval(unsigned atom)
{
	return atom == DW_OP_regval_type || atom == DW_OP_GNU_regval_type;
}

/* Raw bytes of a typed constant, register or memory. */
static bool typed_value(struct machine *k, const Dwarf_Op *op)
{
	Dwarf_Attribute attr;
	Dwarf_Block block;
	uint8_t raw[16] = { 0 };
	uint64_t v = 0;
	k->typed = true;
	if (is_regval(op->atom)) {
		if (!vector_register(k->e, op->number, raw))
			return read_register(k, op->number, &v) && push(k, v);
	} else if (op->atom == DW_OP_deref_type || op->atom == DW_OP_GNU_deref_type) {
		return need(k, 1) && read_memory(k, k->stack[--k->n], op->number, &v) && push(k, v);
	} else {
		if (dwarf_getlocation_attr(k->attr, op, &attr) || dwarf_formblock(&attr, &block) || block.length > 8)
			return fail(k, unsupported);
		memcpy(raw, block.data, block.length);
	}
	for (unsigned i = 0; i < 8; i++)
		v |= (uint64_t)raw[i] << 8 * i;
	return push(k, v);
}

static bool entry_value(struct machine *k, const Dwarf_Op *op)
{
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;
	uint64_t v, reg;
	if (dwarf_getlocation_attr(k->attr, op, &attr) || dwarf_getlocation(&attr, &ops, &n) || n != 1)
		return fail(k, optimised_out);
	if (ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31)
		reg = ops[0].atom - DW_OP_reg0;
	else if (ops[0].atom == DW_OP_regx || is_regval(ops[0].atom))
		reg = ops[0].number;
	else
		return fail(k, optimised_out);
	k->typed |= is_regval(ops[0].atom);
	return entry_register(k, reg, &v) && push(k, v);
}

static bool thread_variable(struct machine *k)
{
	const struct value_place *at = k->e->at;
	uint64_t offset = k->stack[--k->n], address;
	if (!at || !at->tls)
		return fail(k, no_frame);
	if (!at->tls(at->tls_ctx, at->thread, k->e->m, offset, &address))
		return fail(k, "where the module's thread variables lie is not known");
	return push(k, address);
}

static int64_t as_signed(const struct machine *k, uint64_t v)
{
	return word_of(k->e) == 4 ? (int32_t)v : (int64_t)v;
}

static bool two_operands(struct machine *k, unsigned atom)
{
	if (k->typed)
		return fail(k, unsupported);
	if (!need(k, 2))
		return false;
	uint64_t b = k->stack[--k->n], a = k->stack[--k->n];
	int64_t x = as_signed(k, a), y = as_signed(k, b);
	switch (atom) {
	case DW_OP_and:
		return push(k, a & b);
	case DW_OP_or:
		return push(k, a | b);
	case DW_OP_xor:
		return push(k, a ^ b);
	case DW_OP_plus:
		return push(k, a + b);
	case DW_OP_minus:
		return push(k, a - b);
	case DW_OP_mul:
		return push(k, a * b);
	case DW_OP_div:
		return y && !(y == -1 && x == INT64_MIN) ? push(k, (uint64_t)(x / y)) : fail(k, unsupported);
	case DW_OP_mod:
		return b ? push(k, a % b) : fail(k, unsupported);
	case DW_OP_shl:
		return push(k, b < 64 ? a << b : 0);
	case DW_OP_shr:
		return push(k, b < 64 ? a >> b : 0);
	case DW_OP_shra:
		return push(k, (uint64_t)(x >> (b < 63 ? b : 63)));
	case DW_OP_eq:
		return push(k, x == y);
	case DW_OP_ne:
		return push(k, x != y);
	case DW_OP_lt:
		return push(k, x < y);
	case DW_OP_le:
		return push(k, x <= y);
	case DW_OP_gt:
		return push(k, x > y);
	case DW_OP_ge:
		return push(k, x >= y);
	default:
		return fail(k, unsupported);
	}
}

static bool move_stack(struct machine *k, const Dwarf_Op *op)
{
	uint64_t t;
	switch (op->atom) {
	case DW_OP_dup:
		return need(k, 1) && push(k, k->stack[k->n - 1]);
	case DW_OP_drop:
		return need(k, 1) && k->n--;
	case DW_OP_over:
		return need(k, 2) && push(k, k->stack[k->n - 2]);
	case DW_OP_pick:
		return op->number < MAX_STACK && need(k, (unsigned)op->number + 1) && push(k, k->stack[k->n - 1 - op->number]);
	case DW_OP_swap:
		if (!need(k, 2))
			return false;
		t = k->stack[k->n - 1];
		k->stack[k->n - 1] = k->stack[k->n - 2];
		k->stack[k->n - 2] = t;
		return true;
	case DW_OP_rot:
		if (!need(k, 3))
			return false;
		t = k->stack[k->n - 1];
		k->stack[k->n - 1] = k->stack[k->n - 2];
		k->stack[k->n - 2] = k->stack[k->n - 3];
		k->stack[k->n - 3] = t;
		return true;
	default:
		return fail(k, unsupported);
	}
}

static bool one_operand(struct machine *k, const Dwarf_Op *op)
{
	if (k->typed)
		return fail(k, unsupported);
	if (!need(k, 1))
		return false;
	uint64_t v = k->stack[--k->n];
	switch (op->atom) {
	case DW_OP_deref:
		return read_memory(k, v, word_of(k->e), &v) && push(k, v);
	case DW_OP_deref_size:
		return read_memory(k, v, op->number, &v) && push(k, v);
	case DW_OP_abs:
		return push(k, as_signed(k, v) < 0 ? 0 - v : v);
	case DW_OP_neg:
		return push(k, 0 - v);
	case DW_OP_not:
		return push(k, ~v);
	case DW_OP_plus_uconst:
		return push(k, v + op->number);
	case DW_OP_form_tls_address:
	case DW_OP_GNU_push_tls_address:
		return push(k, v) && thread_variable(k);
	default:
		return fail(k, unsupported);
	}
}

/* The bytes of what was computed last; false: they are nowhere. */
static bool piece_bytes(struct machine *k, uint8_t *to, uint64_t size)
{
	uint64_t v = k->n ? k->stack[k->n - 1] : 0;
	switch (k->form) {
	case FORM_ADDRESS:
		return k->n && modules_read(k->e->ms, v, to, size);
	case FORM_BYTES:
		return k->block.length >= size && memcpy(to, k->block.data, size);
	case FORM_REGISTER:
		if (!read_register(k, k->reg, &v)) {
			k->why = NULL; /* the other pieces may be known */
			return false;
		}
		break;
	case FORM_VALUE:
		break;
	case FORM_NOWHERE:
		return false;
	}
	for (unsigned i = 0; i < size && i < 8; i++)
		to[i] = (uint8_t)(v >> 8 * i);
	return size <= 8;
}

static bool add_piece(struct machine *k, uint64_t size)
{
	struct place *p = k->out;
	if (!p || size > MAX_PIECES || p->n + size > MAX_PIECES)
		return fail(k, unsupported);
	size_t n = p->n + size;
	uint8_t *bytes = calloc(2, n + 1);
	if (!bytes || !values_keep(k->e->keep, (char *)bytes))
		return fail(k, "no memory");
	if (p->n) {
		memcpy(bytes, p->bytes, p->n);
		memcpy(bytes + n, p->known, p->n);
	}
	memset(bytes + n + p->n, piece_bytes(k, bytes + p->n, size), size);
	*p = (struct place){ .bytes = bytes, .known = bytes + n, .n = n };
	k->in_pieces = true;
	k->form = FORM_NOWHERE;
	k->n = 0;
	return true;
}

static size_t op_at(const Dwarf_Op *ops, size_t n, uint64_t offset)
{
	size_t i = 0;
	while (i < n && ops[i].offset != offset)
		i++;
	return i;
}

static bool step(struct machine *k, const Dwarf_Op *op)
{
	unsigned atom = op->atom;
	uint64_t v = 0;
	Dwarf_Attribute attr;
	if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31)
		return push(k, atom - DW_OP_lit0);
	if ((atom >= DW_OP_reg0 && atom <= DW_OP_reg31) || atom == DW_OP_regx) {
		k->form = FORM_REGISTER;
		k->reg = atom == DW_OP_regx ? op->number : atom - DW_OP_reg0;
		return true;
	}
	/* Any other operation computes an address, until DW_OP_stack_value says that it is the value. */
	if (atom != DW_OP_piece && atom != DW_OP_nop)
		k->form = FORM_ADDRESS;
	if (atom >= DW_OP_breg0 && atom <= DW_OP_breg31)
		return read_register(k, atom - DW_OP_breg0, &v) && push(k, v + op->number);
	switch (atom) {
	case DW_OP_addr:
		return push(k, op->number + k->e->m->bias);
	case DW_OP_addrx:
		return !dwarf_getlocation_attr(k->attr, op, &attr) && !dwarf_formaddr(&attr, &v) ? push(k, v + k->e->m->bias) : fail(k, unsupported);
	case DW_OP_const1u:
	case DW_OP_const1s:
	case DW_OP_const2u:
	case DW_OP_const2s:
	case DW_OP_const4u:
	case DW_OP_const4s:
	case DW_OP_const8u:
	case DW_OP_const8s:
	case DW_OP_constu:
	case DW_OP_consts:
		return push(k, op->number);
	case DW_OP_bregx:
		return read_register(k, op->number, &v) && push(k, v + op->number2);
	case DW_OP_fbreg:
		return frame_base(k, &v) && push(k, v + op->number);
	case DW_OP_call_frame_cfa:
		return read_cfa(k, &v) && push(k, v);
	case DW_OP_push_object_address:
		return k->e->object ? push(k, *k->e->object) : fail(k, unsupported);
	case DW_OP_entry_value:
	case DW_OP_GNU_entry_value:
		return entry_value(k, op);
	case DW_OP_const_type:
	case DW_OP_GNU_const_type:
	case DW_OP_regval_type:
	case DW_OP_GNU_regval_type:
	case DW_OP_deref_type:
	case DW_OP_GNU_deref_type:
		return typed_value(k, op);
	case DW_OP_stack_value:
		k->form = FORM_VALUE;
		return need(k, 1);
	case DW_OP_implicit_value:
		k->form = FORM_BYTES;
		return !dwarf_getlocation_implicit_value(k->attr, op, &k->block) || fail(k, unsupported);
	case DW_OP_implicit_pointer:
	case DW_OP_GNU_implicit_pointer:
		return fail(k, "synthetic pointer");
	case DW_OP_piece:
		return add_piece(k, op->number);
	case DW_OP_nop:
	case DW_OP_GNU_uninit:
		return true;
	case DW_OP_dup:
	case DW_OP_drop:
	case DW_OP_over:
	case DW_OP_pick:
	case DW_OP_swap:
	case DW_OP_rot:
		return move_stack(k, op);
	case DW_OP_deref:
	case DW_OP_deref_size:
	case DW_OP_abs:
	case DW_OP_neg:
	case DW_OP_not:
	case DW_OP_plus_uconst:
	case DW_OP_form_tls_address:
	case DW_OP_GNU_push_tls_address:
		return one_operand(k, op);
	default:
		return two_operands(k, atom);
	}
}

static bool evaluate(struct machine *k, const Dwarf_Op *ops, size_t n)
{
	size_t steps = 0;
	for (size_t i = 0; i < n; i++) {
		if (++steps > MAX_OPS)
			return fail(k, unsupported);
		unsigned atom = ops[i].atom;
		if (atom == DW_OP_skip || atom == DW_OP_bra) {
			if (atom == DW_OP_bra && (!need(k, 1) || !k->stack[--k->n])) {
				if (k->why)
					return false;
				continue;
			}
			/* Relative to what follows the operation and its two bytes. */
			i = op_at(ops, n, ops[i].offset + 3 + (uint64_t)(int64_t)(int16_t)ops[i].number) - 1;
			continue;
		}
		if (!step(k, &ops[i])) {
			/* A part of a value may be nowhere, and the rest known. */
			if (i + 1 >= n || ops[i + 1].atom != DW_OP_piece || k->why != optimised_out)
				return false;
			k->why = NULL;
			k->form = FORM_NOWHERE;
		}
	}
	return true;
}

static void keep_bytes(struct evaluation *e, struct place *p, const void *bytes, size_t n)
{
	uint8_t *copy = calloc(2, n + 1);
	if (!copy || !values_keep(e->keep, (char *)copy)) {
		p->missing = "no memory";
		return;
	}
	memcpy(copy, bytes, n);
	memset(copy + n, 1, n);
	p->bytes = copy;
	p->known = copy + n;
	p->n = n;
}

static void keep_word(struct evaluation *e, struct place *p, uint64_t v)
{
	uint8_t raw[8];
	for (unsigned i = 0; i < 8; i++)
		raw[i] = (uint8_t)(v >> 8 * i); /* all targets are little-endian */
	keep_bytes(e, p, raw, sizeof raw);
}

static void finish(struct machine *k, struct place *p)
{
	uint64_t v;
	uint8_t vector[16];
	if (k->in_pieces)
		return;
	switch (k->form) {
	case FORM_REGISTER:
		if (vector_register(k->e, k->reg, vector))
			keep_bytes(k->e, p, vector, sizeof vector);
		else if (read_register(k, k->reg, &v))
			keep_word(k->e, p, v);
		else
			p->missing = k->why;
		break;
	case FORM_BYTES:
		if (k->block.length <= MAX_PIECES)
			keep_bytes(k->e, p, k->block.data, k->block.length);
		else
			p->missing = unsupported;
		break;
	case FORM_VALUE:
		keep_word(k->e, p, k->stack[k->n - 1]);
		break;
	case FORM_ADDRESS:
		p->in_memory = k->n;
		p->address = k->n ? k->stack[k->n - 1] : 0;
		p->missing = k->n ? NULL : optimised_out;
		break;
	case FORM_NOWHERE:
		p->missing = optimised_out;
	}
}

static bool constant(struct evaluation *e, Dwarf_Die *die, struct place *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Block block;
	Dwarf_Word v;
	Dwarf_Sword sv;
	if (!dwarf_attr_integrate(die, DW_AT_const_value, &attr))
		return false;
	const char *text;
	if (dwarf_whatform(&attr) == DW_FORM_sdata && !dwarf_formsdata(&attr, &sv))
		keep_word(e, ret, (uint64_t)sv);
	else if (!dwarf_formudata(&attr, &v))
		keep_word(e, ret, v);
	else if (!dwarf_formblock(&attr, &block) && block.length <= MAX_PIECES)
		keep_bytes(e, ret, block.data, block.length);
	else if ((text = dwarf_formstring(&attr)))
		keep_bytes(e, ret, text, strlen(text) + 1);
	else
		ret->missing = unsupported;
	return true;
}

void locate(struct evaluation *e, Dwarf_Die *die, struct place *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;
	*ret = (struct place){ 0 };
	if (!dwarf_attr_integrate(die, DW_AT_location, &attr)) {
		if (!constant(e, die, ret))
			ret->missing = optimised_out;
		return;
	}
	/* A list of locations says where it is at this pc, if anywhere; an empty expression: nowhere. */
	if (dwarf_getlocation_addr(&attr, has_frame(e) ? link_pc(e) : 0, &ops, &n, 1) != 1 || !n) {
		ret->missing = optimised_out;
		return;
	}
	struct machine k = { .e = e, .attr = &attr, .out = ret };
	if (evaluate(&k, ops, n))
		finish(&k, ret);
	else
		ret->missing = k.why;
}

bool locate_member(struct evaluation *e, Dwarf_Attribute *attr, uint64_t object, uint64_t *ret)
{
	Dwarf_Op *ops;
	size_t n;
	if (dwarf_getlocation(attr, &ops, &n))
		return false;
	struct machine k = { .e = e, .attr = attr, .stack = { object }, .n = 1 };
	if (!evaluate(&k, ops, n) || !k.n)
		return false;
	*ret = k.stack[k.n - 1] - object;
	return true;
}

bool place_read(struct modules *ms, const struct place *p, uint64_t offset, void *to, size_t n, const char **ret_why)
{
	*ret_why = p->missing;
	if (p->missing)
		return false;
	if (p->in_memory) {
		*ret_why = unreadable;
		return modules_read(ms, p->address + offset, to, n);
	}
	*ret_why = optimised_out;
	if (offset > p->n || p->n - offset < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!p->known[offset + i])
			return false;
	memcpy(to, p->bytes + offset, n);
	return true;
}

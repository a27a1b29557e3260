/* Which variables are where, function by function: location lists of pointers, parameters and results of functions, variables of
 * the program. A file may nest its entries as it likes: nothing recurses, and all is counted. */
#include "casts.h"

enum { DEEPEST = 64 };

enum pointee pointee_of(const struct type_table *t, uint32_t type)
{
	switch (table_type(t, type)->kind) {
	case TYPE_VOID:
		return POINTEE_VOID;
	case TYPE_CHAR:
		return POINTEE_CHAR;
	case TYPE_INCOMPLETE:
		return POINTEE_INCOMPLETE;
	case TYPE_NUMBER:
	case TYPE_POINTER:
	case TYPE_STRUCT:
	case TYPE_UNION:
		return POINTEE_COMPLETE;
	case TYPE_ARRAY:
	case TYPE_CODE:
		break;
	}
	return POINTEE_NONE;
}

struct scope { /* around an entry: the code that it belongs to */
	Dwarf_Die at;
	uint64_t start, end;	/* link-time; 0, 0: more than one range */
	uint32_t function;	/* + 1; 0: none */
	bool by_register;	/* fbreg counts from a register */
	int8_t base;
};

static bool opens_scope(int tag)
{
	return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block;
}

/* gcc: the canonical frame address; clang: a register. */
static void frame_base(const struct miner *m, Dwarf_Die *die, struct scope *s)
{
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;
	if (!dwarf_attr_integrate(die, DW_AT_frame_base, &attr) || dwarf_getlocation(&attr, &ops, &n) || n != 1)
		return;
	unsigned reg = (unsigned)ops[0].atom - DW_OP_reg0;
	if (ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31 && reg < m->machine->n_dwarf) {
		s->by_register = true;
		s->base = m->machine->of_dwarf[reg];
	}
}

/* gcc says none of a function in two parts, one of them seldom run: it is where the first range begins (DWARF 5, 2.17 and 2.18). */
static bool entry_of(Dwarf_Die *die, Dwarf_Addr *ret)
{
	Dwarf_Addr base, end;
	return !dwarf_entrypc(die, ret) || !dwarf_lowpc(die, ret) || dwarf_ranges(die, 0, &base, ret, &end) > 0;
}

static void add_function(struct miner *m, Dwarf_Die *die, struct scope *s)
{
	Dwarf_Addr base, start, end, entry;
	Dwarf_Die type;
	ptrdiff_t next = 0;
	size_t left = CASTS_RANGES_OF_ONE;
	uint64_t bias = m->r->m->bias;
	if (m->functions.n >= CASTS_FUNCTIONS || !entry_of(die, &entry))
		return;
	struct cast_function *f = vec_push(&m->functions);
	m->nomem |= !f;
	if (!f)
		return;
	f->entry = entry + bias;
	f->promising = m->plain_c;
	uint32_t index = (uint32_t)m->functions.n - 1;
	uint32_t returns = type_ref(die, DW_AT_type, &type) ? reader_resolve(m->r, &type) : 0;
	m->functions.at[index].returns = returns;
	m->nomem |= !map64_put(&m->by_entry, entry + bias, index);
	s->function = index + 1;
	while (left-- && (next = dwarf_ranges(die, next, &base, &start, &end)) > 0) {
		struct cast_range *r = end > start && end - start <= CASTS_FUNCTION ? vec_push(&m->ranges) : NULL;
		if (r)
			*r = (struct cast_range){ start + bias, end + bias, index };
	}
}

static void enter(struct miner *m, Dwarf_Die *die, const struct scope *outer, struct scope *s)
{
	Dwarf_Addr low, high;
	int tag = dwarf_tag(die);
	*s = *outer;
	if (!opens_scope(tag))
		return;
	if (!dwarf_lowpc(die, &low) && !dwarf_highpc(die, &high) && high > low) {
		s->start = low;
		s->end = high;
	}
	if (tag != DW_TAG_subprogram)
		return;
	*s = (struct scope){ .start = s->start == outer->start ? 0 : s->start, .end = s->start == outer->start ? 0 : s->end };
	if (dwarf_hasattr(die, DW_AT_declaration) || (!dwarf_hasattr(die, DW_AT_low_pc) && !dwarf_hasattr(die, DW_AT_ranges)))
		return;
	frame_base(m, die, s);
	add_function(m, die, s);
}

/* A pointer that says little, or a struct with one. */
static bool promises(const struct miner *m, uint32_t type)
{
	const struct type_table *t = m->r->t;
	const struct type *at = table_type(t, type);
	if (at->kind == TYPE_POINTER)
		at = table_type(t, at->target);
	if (at->kind == TYPE_VOID || at->kind == TYPE_INCOMPLETE)
		return true;
	for (uint32_t i = 0; type_is_struct(at) && i < at->n_leaves; i++) {
		const struct type *to = table_type(t, t->leaves.at[at->first_leaf + i].target);
		if (to->kind == TYPE_POINTER)
			to = table_type(t, to->target);
		if (to->kind == TYPE_VOID || to->kind == TYPE_INCOMPLETE)
			return true;
	}
	return false;
}

static bool place_of(const struct miner *m, const struct scope *s, const Dwarf_Op *op, struct held *h)
{
	unsigned reg = op->atom == DW_OP_regx ? (unsigned)op->number : (unsigned)op->atom - DW_OP_reg0;
	if (op->atom == DW_OP_fbreg) {
		int64_t at = (int64_t)op->number + (s->by_register ? 0 : m->machine->cfa);
		h->how = s->by_register ? HELD_BASED : HELD_FRAME;
		h->reg = s->base;
		h->offset = (int32_t)at;
		return at == h->offset;
	}
	if ((op->atom != DW_OP_regx && (op->atom < DW_OP_reg0 || op->atom > DW_OP_reg31)) || reg >= m->machine->n_dwarf)
		return false;
	h->how = HELD_REGISTER;
	h->reg = m->machine->of_dwarf[reg];
	return true;
}

/* The register in which a parameter comes: where it is at the entry, or by its turn when it is on the stack at once. */
static void add_parameter(struct miner *m, const struct scope *s, const struct held *h, unsigned turn)
{
	struct cast_function *f = &m->functions.at[s->function - 1];
	uint64_t entry = f->entry - m->r->m->bias;
	unsigned word = m->r->t->word;
	/* Above the return address, which lies where the stack pointer is at the entry. */
	if (m->machine->stacked && h->how == HELD_FRAME && h->offset >= (int32_t)word && !((unsigned)h->offset % word) && (unsigned)h->offset / word <= m->machine->stacked)
		f->parameters[(unsigned)h->offset / word - 1] = h->type;
	for (unsigned k = 0; k < m->machine->n_arguments; k++)
		if (h->how == HELD_REGISTER ? h->reg == m->machine->arguments[k] && h->start <= entry && entry < h->end : k == turn)
			f->parameters[k] = h->type;
}

static void add_variable(struct miner *m, Dwarf_Die *die, const struct scope *s, unsigned turn)
{
	Dwarf_Attribute attr;
	Dwarf_Die type;
	Dwarf_Addr base, start = 0, end = 0;
	Dwarf_Op *ops;
	size_t n, left = CASTS_RANGES_OF_ONE;
	ptrdiff_t next = 0;
	bool parameter = dwarf_tag(die) == DW_TAG_formal_parameter;
	if (!s->function || !dwarf_attr_integrate(die, DW_AT_location, &attr) || !type_ref(die, DW_AT_type, &type))
		return;
	uint32_t id = reader_resolve(m->r, &type);
	enum type_kind kind = table_type(m->r->t, id)->kind;
	if (kind != TYPE_POINTER && kind != TYPE_STRUCT && kind != TYPE_UNION && kind != TYPE_ARRAY)
		return;
	m->variables++;
	while (left-- && (next = dwarf_getlocations(&attr, next, &base, &start, &end, &ops, &n)) > 0) {
		struct held h = { .type = id, .variable = m->variables, .start = start, .end = end };
		if (n != 1 || !place_of(m, s, ops, &h) || (h.how == HELD_REGISTER && kind != TYPE_POINTER))
			continue;
		if (end == UINT64_MAX) { /* one place for all of its scope */
			h.start = s->start;
			h.end = s->end;
		}
		if (parameter && kind == TYPE_POINTER && turn < CASTS_ARGUMENTS)
			add_parameter(m, s, &h, turn);
		h.start += m->r->m->bias;
		h.end += m->r->m->bias;
		struct held *slot = h.end > h.start && m->held.n < CASTS_RANGES ? vec_push(&m->held) : NULL;
		m->result->cut |= m->held.n >= CASTS_RANGES;
		if (slot)
			*slot = h;
	}
}

/* Whether a parameter takes one of the registers for whole numbers. */
static bool takes_register(struct miner *m, Dwarf_Die *die)
{
	Dwarf_Die type;
	uint64_t encoding;
	if (!type_ref(die, DW_AT_type, &type) || !type_peel(&type, &type))
		return false;
	(void)m;
	return !(dwarf_tag(&type) == DW_TAG_base_type && type_number(&type, DW_AT_encoding, &encoding) && encoding == DW_ATE_float);
}

/* Registers, or words on the stack, that a parameter of this type takes; -1: that is not for this reader to say. */
static int argument_places(const struct miner *m, uint32_t type, bool whole_number)
{
	const struct type *t = table_type(m->r->t, type);
	unsigned word = m->r->t->word;
	if (t->kind == TYPE_POINTER)
		return 1;
	if ((t->kind != TYPE_NUMBER && t->kind != TYPE_CHAR) || !t->size)
		return -1;
	if (m->machine->stacked)
		return (int)((t->size + word - 1) / word);
	return t->size > word ? -1 : whole_number;
}

static void declare_parameters(struct miner *m, Dwarf_Die *die, struct cast_function *f)
{
	Dwarf_Die child, type;
	unsigned k = 0, most = m->machine->n_arguments ? m->machine->n_arguments : m->machine->stacked;
	if (dwarf_child(die, &child))
		return;
	do {
		if (dwarf_tag(&child) != DW_TAG_formal_parameter || !type_ref(&child, DW_AT_type, &type))
			continue;
		uint32_t id = reader_resolve(m->r, &type);
		int places = argument_places(m, id, takes_register(m, &child));
		if (places < 0 || k >= most)
			return;
		if (table_type(m->r->t, id)->kind == TYPE_POINTER)
			f->parameters[k] = id;
		k += (unsigned)places;
	} while (!dwarf_siblingof(&child, &child));
}

/* A function that has its code elsewhere: what it takes and returns stands in its declaration. */
static bool declared_outside(struct miner *m, Dwarf_Die *die, uint32_t *ret)
{
	Dwarf_Die type;
	uint64_t known;
	if (map64_find(&m->declared, (uintptr_t)die->addr, &known)) {
		*ret = (uint32_t)known;
		return true;
	}
	if (dwarf_tag(die) != DW_TAG_subprogram || !dwarf_hasattr(die, DW_AT_declaration) || m->outside.n >= CASTS_FUNCTIONS)
		return false;
	uint32_t returns = type_ref(die, DW_AT_type, &type) ? reader_resolve(m->r, &type) : 0;
	struct cast_function f = { .returns = returns };
	/* A struct may be returned to where a first argument points that no declaration has. */
	if (!type_is_struct(table_type(m->r->t, returns)) && table_type(m->r->t, returns)->kind != TYPE_ARRAY)
		declare_parameters(m, die, &f);
	struct cast_function *slot = vec_push(&m->outside);
	m->nomem |= !slot || !map64_put(&m->declared, (uintptr_t)die->addr, m->outside.n - 1);
	if (slot)
		*slot = f;
	*ret = (uint32_t)m->outside.n - 1;
	return slot != NULL;
}

/* DWARF 5, and what GNU had before it. */
static void add_call(struct miner *m, Dwarf_Die *die)
{
	bool gnu = dwarf_tag(die) == DW_TAG_GNU_call_site;
	Dwarf_Attribute attr;
	Dwarf_Addr after;
	Dwarf_Die to;
	uint32_t index;
	if (!dwarf_attr(die, gnu ? DW_AT_low_pc : DW_AT_call_return_pc, &attr) || dwarf_formaddr(&attr, &after) ||
	    !dwarf_attr(die, gnu ? DW_AT_abstract_origin : DW_AT_call_origin, &attr) || !dwarf_formref_die(&attr, &to) || !declared_outside(m, &to, &index))
		return;
	struct cast_call *slot = m->calls.n < CASTS_CALLS ? vec_push(&m->calls) : NULL;
	m->result->cut |= m->calls.n >= CASTS_CALLS;
	if (slot)
		*slot = (struct cast_call){ after + m->r->m->bias, index };
}

/* Variables of the program may say little as well, and C has more of them than of members. */
static bool is_c(Dwarf_Die *unit)
{
	int language = dwarf_srclang(unit);
	return language == DW_LANG_C || language == DW_LANG_C89 || language == DW_LANG_C99 || language == DW_LANG_C11;
}

static void read_unit(struct miner *m, Dwarf_Die *unit)
{
	struct scope stack[DEEPEST] = { 0 };
	unsigned turn[DEEPEST] = { 0 };
	int depth = 1;
	m->plain_c = is_c(unit);
	if (dwarf_child(unit, &stack[1].at))
		return;
	while (depth && m->budget && !m->nomem && !interrupted) {
		Dwarf_Die die = stack[depth].at, child;
		int tag = dwarf_tag(&die);
		m->budget--;
		if (tag == DW_TAG_variable || tag == DW_TAG_formal_parameter)
			add_variable(m, &die, &stack[depth - 1], tag == DW_TAG_formal_parameter && dwarf_tag(&stack[depth - 1].at) == DW_TAG_subprogram ? turn[depth] : CASTS_ARGUMENTS);
		if ((tag == DW_TAG_call_site || tag == DW_TAG_GNU_call_site) && stack[depth - 1].function)
			add_call(m, &die);
		turn[depth] += tag == DW_TAG_formal_parameter && turn[depth] < CASTS_ARGUMENTS && takes_register(m, &die);
		struct scope outer = stack[depth - 1];
		enter(m, &die, &outer, &stack[depth]);
		stack[depth].at = die;
		if (depth + 1 < DEEPEST && !dwarf_child(&die, &child)) {
			stack[++depth] = (struct scope){ .at = child };
			turn[depth] = 0;
			continue;
		}
		while (depth && dwarf_siblingof(&stack[depth].at, &stack[depth].at))
			depth--;
	}
}

static void read_globals(struct miner *m)
{
	const struct data_line *lines;
	size_t n = modules_variables(m->ms, m->r->m, &lines);
	for (size_t i = 0; i < n && !interrupted; i++) {
		Dwarf_Die die, type;
		if (!dwarf_offdie(priv_of(m->r->m)->dwarf, lines[i].die, &die) || !type_ref(&die, DW_AT_type, &type))
			continue;
		uint32_t id = reader_resolve(m->r, &type);
		uint64_t size = table_type(m->r->t, id)->size;
		struct cast_global *g = size && lines[i].address + size > lines[i].address ? vec_push(&m->globals) : NULL;
		if (g)
			*g = (struct cast_global){ lines[i].address, lines[i].address + size, id };
	}
}

static void read_module(void *ctx)
{
	struct miner *m = ctx;
	Dwarf *dw = priv_of(m->r->m)->dwarf;
	Dwarf_CU *cu = NULL;
	Dwarf_Die unit;
	while (dw && m->budget && !m->nomem && !interrupted && !dwarf_get_units(dw, cu, &cu, NULL, NULL, &unit, NULL))
		read_unit(m, &unit);
	read_globals(m);
}

static int compare_held(const void *a, const void *b)
{
	const struct held *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->variable < y->variable ? -1 : x->variable > y->variable;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct cast_range *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

static int compare_calls(const void *a, const void *b)
{
	const struct cast_call *x = a, *y = b;
	if (x->after != y->after)
		return x->after < y->after ? -1 : 1;
	return x->to < y->to ? -1 : x->to > y->to;
}

/* Which functions are worth decoding: known once all structs have their members. */
static void find_promising(struct miner *m)
{
	size_t at = 0;
	for (size_t i = 0; i < m->ranges.n && !interrupted; i++) {
		const struct cast_range *r = &m->ranges.at[i];
		struct cast_function *f = &m->functions.at[r->function];
		bool *promising = &f->promising;
		struct symbol sym;
		/* What its parameters pointed at is passed in their place, and DWARF has no name for it. */
		if (r->start == f->entry && modules_symbol_at(m->ms, f->entry, &sym) && sym.name && strstr(sym.name, ".isra."))
			f->reformed = true;
		while (at < m->held.n && m->held.at[at].start < r->start)
			at++;
		for (size_t k = at; k < m->held.n && m->held.at[k].start < r->end && !*promising; k++)
			*promising = promises(m, m->held.at[k].type);
	}
}

void miner_read_variables(struct miner *m)
{
	m->held.n = m->ranges.n = m->globals.n = m->calls.n = 0;
	m->budget = CASTS_DIES;
	modules_guarded(m->ms, m->r->m, read_module, m);
	if (m->held.n)
		qsort(m->held.at, m->held.n, sizeof *m->held.at, compare_held);
	if (m->ranges.n)
		qsort(m->ranges.at, m->ranges.n, sizeof *m->ranges.at, compare_ranges);
	if (m->calls.n)
		qsort(m->calls.at, m->calls.n, sizeof *m->calls.at, compare_calls);
	AUTO_ERR struct err *e = reader_finish(m->r);
	m->nomem |= e && !interrupted;
	if (!e)
		find_promising(m);
}

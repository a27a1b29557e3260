/* Constants in a function: what each register and each word of its frame can hold before each instruction.
 *
 * Blocks of instructions are followed from the function's entry until nothing changes; where ways meet, a register holds one of
 * the values of either way, unknown when these are more than CODE_VALUES. A jump by table leads to all code that nothing else leads
 * to. In a function without one such code (a landing pad) is followed last, with nothing known, and adds nothing to what was reached
 * before. Words of the frame are taken to change by stores to them alone. */
#include "code.h"

enum { MAX_BLOCKS = 1 << 14, MAX_ROUNDS = 32 };

struct block {
	size_t from, to;	/* ops */
	struct code_state *in;	/* NULL: not reached */
	unsigned phase;
	bool dirty;
	bool lonely;		/* no known jump leads here, nor what stands before it */
};

struct follow {
	const struct code_ops *ops;
	const struct arch *arch;
	VEC(struct block) blocks;
	uint32_t *block_of;	/* by op that begins one: index + 1; 0: none */
	struct code_state *indirect; /* at jumps whose target nobody knows; NULL: none was reached */
	unsigned phase;
	bool no_memory;
};

static bool same(const struct code_value *a, const struct code_value *b)
{
	if (a->kind != b->kind || a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (a->v[i] != b->v[i])
			return false;
	return true;
}

static struct code_value constant(uint64_t v)
{
	return (struct code_value){ .kind = VALUE_CONST, .n = 1, .v = { v } };
}

static void add_value(struct code_value *to, uint64_t v)
{
	for (unsigned i = 0; i < to->n; i++)
		if (to->v[i] == v)
			return;
	if (to->n == CODE_VALUES)
		*to = (struct code_value){ .kind = VALUE_UNKNOWN };
	else
		to->v[to->n++] = v;
}

static struct code_value either(const struct code_value *a, const struct code_value *b)
{
	struct code_value v = *a;
	if (same(a, b))
		return v;
	if (a->kind != VALUE_CONST || b->kind != VALUE_CONST)
		return (struct code_value){ .kind = VALUE_UNKNOWN };
	for (unsigned i = 0; i < b->n && v.kind == VALUE_CONST; i++)
		add_value(&v, b->v[i]);
	return v;
}

static uint64_t compute(enum code_alu what, uint64_t a, uint64_t b)
{
	switch (what) {
	case ALU_ADD:
		return a + b;
	case ALU_SUB:
		return a - b;
	case ALU_AND:
		return a & b;
	case ALU_OR:
		return a | b;
	case ALU_SHL:
		return a << (b & 63);
	case ALU_MUL:
		return a * b;
	}
	return 0;
}

static struct code_value combine(enum code_alu what, const struct code_value *a, const struct code_value *b)
{
	struct code_value v = { .kind = VALUE_CONST };
	if (a->kind == VALUE_STACK && b->kind == VALUE_CONST && b->n == 1) {
		v = *a;
		if (what == ALU_ADD || what == ALU_SUB)
			v.v[0] = compute(what, a->v[0], b->v[0]);
		else if (what != ALU_AND) /* an alignment: sp is somewhere near, which is enough to tell words apart */
			v.kind = VALUE_UNKNOWN;
		return v;
	}
	if (what == ALU_ADD && b->kind == VALUE_STACK && a->kind == VALUE_CONST)
		return combine(what, b, a);
	if (a->kind != VALUE_CONST || b->kind != VALUE_CONST)
		return (struct code_value){ .kind = VALUE_UNKNOWN };
	for (unsigned i = 0; i < a->n; i++)
		for (unsigned k = 0; k < b->n && v.kind == VALUE_CONST; k++)
			add_value(&v, compute(what, a->v[i], b->v[k]));
	return v;
}

static void narrow(struct code_value *v, unsigned width, unsigned word)
{
	if (width >= 8 || v->kind == VALUE_UNKNOWN)
		return;
	if (v->kind == VALUE_CONST)
		for (unsigned i = 0; i < v->n; i++)
			v->v[i] &= 0xffffffff;
	else if (width < word)
		*v = (struct code_value){ .kind = VALUE_UNKNOWN };
}

static const struct code_value unknown = { .kind = VALUE_UNKNOWN };

struct code_value code_address(const struct code_state *s, const struct arch *a, const struct code_place *at)
{
	struct code_value v = constant((uint64_t)at->disp);
	if (!at->known)
		return unknown;
	if (at->base >= 0)
		v = combine(ALU_ADD, &s->reg[at->base], &v);
	if (at->index >= 0) {
		struct code_value scale = constant(at->scale), by = combine(ALU_MUL, &s->reg[at->index], &scale);
		v = combine(ALU_ADD, &v, &by);
	}
	narrow(&v, a->word, a->word);
	return v;
}

static const struct code_value *find_slot(const struct code_state *s, int64_t at)
{
	for (unsigned i = 0; i < s->n_slots; i++)
		if (s->slot[i].at == at)
			return &s->slot[i].value;
	return &unknown;
}

static void set_slot(struct code_state *s, int64_t at, const struct code_value *v)
{
	unsigned i = 0;
	while (i < s->n_slots && s->slot[i].at != at)
		i++;
	if (v->kind == VALUE_UNKNOWN) {
		if (i < s->n_slots)
			s->slot[i] = s->slot[--s->n_slots];
		return;
	}
	if (i == CODE_SLOTS) { /* full: the eldest goes */
		memmove(s->slot, s->slot + 1, (CODE_SLOTS - 1) * sizeof s->slot[0]);
		i = CODE_SLOTS - 1;
	} else if (i == s->n_slots) {
		s->n_slots++;
	}
	s->slot[i].at = at;
	s->slot[i].value = *v;
}

static unsigned sp_of(const struct arch *a)
{
	return a->elf_machine == EM_AARCH64 ? 31 : 4;
}

/* Signed, as the machine counts: i386's offsets are kept in 32 bits. */
static int64_t offset_of(const struct arch *a, uint64_t v)
{
	return a->word == 4 ? (int64_t)(int32_t)v : (int64_t)v;
}

struct code_value code_stacked(const struct code_state *s, const struct arch *a, int64_t offset)
{
	const struct code_value *sp = &s->reg[sp_of(a)];
	return sp->kind == VALUE_STACK ? *find_slot(s, offset_of(a, sp->v[0]) + offset) : unknown;
}

static void store(struct code_state *s, const struct arch *a, const struct code_place *at, const struct code_value *v)
{
	struct code_value where = code_address(s, a, at);
	if (where.kind == VALUE_STACK)
		set_slot(s, offset_of(a, where.v[0]), v);
}

static struct code_value load(const struct code_state *s, const struct arch *a, const struct code_place *at)
{
	struct code_value where = code_address(s, a, at);
	if (where.kind == VALUE_STACK)
		return *find_slot(s, offset_of(a, where.v[0]));
	if (where.kind == VALUE_CONST && where.n == 1)
		return (struct code_value){ .kind = VALUE_WORD, .n = 1, .v = { where.v[0] } };
	return unknown;
}

static struct code_value source(const struct code_state *s, const struct code_op *op)
{
	return op->src >= 0 ? s->reg[op->src] : constant((uint64_t)op->imm);
}

static void move_sp(struct code_state *s, const struct arch *a, int by)
{
	struct code_value *sp = &s->reg[sp_of(a)];
	if (sp->kind == VALUE_STACK)
		sp->v[0] = (uint64_t)(offset_of(a, sp->v[0]) + by);
}

static void set_register(struct code_state *s, const struct arch *a, const struct code_op *op, struct code_value v)
{
	if (op->dst < 0)
		return;
	narrow(&v, op->width, a->word);
	s->reg[op->dst] = v;
}

/* What a call gives back. The other registers that a function may change keep their values here: a compiler reads one behind a
 * call only when it knows that it was kept (gcc's -fipa-ra does), and sets it anew otherwise. */
static uint32_t call_spoils(const struct arch *a)
{
	return a->elf_machine == EM_AARCH64 ? 1u << 0 | 1u << 1 : 1u << 0 | 1u << 2;
}

static void spoil(struct code_state *s, uint32_t registers)
{
	for (unsigned i = 0; i < CODE_REGISTERS; i++)
		if (registers >> i & 1)
			s->reg[i] = unknown;
}

static void apply(struct code_state *s, const struct arch *a, const struct code_op *op)
{
	struct code_value v = unknown;
	spoil(s, op->spoils);
	switch ((enum code_what)op->what) {
	case CODE_SET:
	case CODE_COPY:
		set_register(s, a, op, source(s, op));
		break;
	case CODE_EITHER:
		v = source(s, op);
		set_register(s, a, op, either(&s->reg[op->dst], &v));
		break;
	case CODE_ADDRESS:
		set_register(s, a, op, code_address(s, a, &op->at));
		break;
	case CODE_ALU:
		v = source(s, op);
		set_register(s, a, op, combine((enum code_alu)op->alu, &s->reg[op->other], &v));
		break;
	case CODE_LOAD:
		set_register(s, a, op, load(s, a, &op->at));
		break;
	case CODE_STORE:
		v = source(s, op);
		store(s, a, &op->at, &v);
		break;
	case CODE_SPOIL:
		store(s, a, &op->at, &unknown);
		break;
	case CODE_PUSH:
		v = op->dst == -2 ? unknown : source(s, op);
		move_sp(s, a, -a->word);
		if (s->reg[sp_of(a)].kind == VALUE_STACK)
			set_slot(s, offset_of(a, s->reg[sp_of(a)].v[0]), &v);
		break;
	case CODE_POP:
		set_register(s, a, op, code_stacked(s, a, 0));
		move_sp(s, a, a->word);
		break;
	case CODE_NOTHING:
	case CODE_TOUCH:
		break;
	}
	if (op->flow != FLOW_CALL)
		return;
	spoil(s, call_spoils(a) & ~op->keeps);
	/* A call of __x86.get_pc_thunk: the decoder found which register gets the address behind it. */
	if (op->dst >= 0)
		s->reg[op->dst] = constant(op->address + op->size);
}

struct code_value code_argument(const struct code_state *s, const struct arch *a, unsigned k, bool jump)
{
	static const uint8_t amd64[] = { 7, 6, 2, 1, 8, 9 };
	if (a->elf_machine == EM_AARCH64)
		return k < 8 ? s->reg[k] : unknown;
	if (a->word == 8)
		return k < sizeof amd64 ? s->reg[amd64[k]] : unknown;
	return code_stacked(s, a, (int64_t)(k + jump) * a->word);
}

/* Index of the first op at this address; SIZE_MAX: none. */
static size_t op_at(const struct code_ops *ops, uint64_t address)
{
	size_t lo = 0, hi = ops->list.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (ops->list.at[mid].address < address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < ops->list.n && ops->list.at[lo].address == address ? lo : SIZE_MAX;
}

static bool cut(struct follow *f)
{
	enum { LED_TO = 1, BEHIND = 2 };
	const struct code_ops *ops = f->ops;
	AUTO_FREE uint8_t *leads = calloc(ops->list.n + 1, 1);
	f->block_of = calloc(ops->list.n + 1, sizeof *f->block_of);
	if (!leads || !f->block_of)
		return false;
	leads[0] = LED_TO;
	for (size_t i = 0; i < ops->list.n; i++) {
		const struct code_op *op = &ops->list.at[i];
		size_t to = op->target && op->flow != FLOW_CALL ? op_at(ops, op->target) : SIZE_MAX;
		if (to != SIZE_MAX)
			leads[to] |= LED_TO;
		if (op->flow == FLOW_BRANCH)
			leads[i + 1] |= LED_TO;
		if (op->flow == FLOW_JUMP || op->flow == FLOW_END)
			leads[i + 1] |= BEHIND;
	}
	for (size_t i = 0; i < ops->list.n; i++) {
		if (!leads[i] || f->blocks.n == MAX_BLOCKS)
			continue;
		struct block *b = vec_push(&f->blocks);
		if (!b)
			return false;
		b->from = i;
		b->lonely = leads[i] == BEHIND;
		f->block_of[i] = (uint32_t)f->blocks.n;
		if (f->blocks.n > 1)
			b[-1].to = i;
		b->to = ops->list.n;
	}
	return true;
}

/* What holds on either way. True when that is less than `to` said. */
static bool join(struct code_state *to, const struct code_state *s)
{
	bool changed = false;
	for (unsigned i = 0; i < CODE_REGISTERS; i++) {
		if (to->reg[i].kind == VALUE_UNKNOWN || same(&to->reg[i], &s->reg[i]))
			continue;
		struct code_value v = either(&to->reg[i], &s->reg[i]);
		if (!same(&v, &to->reg[i])) {
			to->reg[i] = v;
			changed = true;
		}
	}
	for (unsigned i = to->n_slots; i--;) {
		int64_t at = to->slot[i].at;
		struct code_value v = either(&to->slot[i].value, find_slot(s, at));
		if (!same(&v, &to->slot[i].value)) {
			set_slot(to, at, &v);
			changed = true;
		}
	}
	return changed;
}

static void assign(struct code_state *to, const struct code_state *from)
{
	memcpy(to, from, offsetof(struct code_state, slot) + from->n_slots * sizeof from->slot[0]);
}

static struct code_state *copy(struct follow *f, const struct code_state *s)
{
	struct code_state *new = malloc(sizeof *new);
	if (new)
		assign(new, s);
	f->no_memory |= !new;
	return new;
}

/* A way leads to this op in this state. */
static void enter(struct follow *f, size_t op, const struct code_state *s)
{
	uint32_t index = op < f->ops->list.n ? f->block_of[op] : 0;
	if (!index)
		return;
	struct block *b = &f->blocks.at[index - 1];
	if (!b->in) {
		b->in = copy(f, s);
		b->phase = f->phase;
		b->dirty = b->in;
	} else if (b->phase == f->phase && join(b->in, s)) {
		b->dirty = true;
	}
}

static void enter_anywhere(struct follow *f, const struct code_state *s)
{
	if (f->indirect)
		join(f->indirect, s);
	else
		f->indirect = copy(f, s);
}

static void run_block(struct follow *f, struct block *b)
{
	struct code_state s;
	assign(&s, b->in);
	b->dirty = false;
	for (size_t i = b->from; i < b->to; i++) {
		const struct code_op *op = &f->ops->list.at[i];
		apply(&s, f->arch, op);
		if ((op->flow == FLOW_BRANCH || op->flow == FLOW_JUMP) && op->target)
			enter(f, op_at(f->ops, op->target), &s);
		else if (op->flow == FLOW_JUMP)
			enter_anywhere(f, &s);
		if (op->flow == FLOW_JUMP || op->flow == FLOW_END)
			return;
	}
	enter(f, b->to, &s);
}

static void settle(struct follow *f)
{
	bool again = true;
	for (unsigned round = 0; again && round < MAX_ROUNDS && !f->no_memory && !interrupted; round++) {
		again = false;
		for (size_t i = 0; i < f->blocks.n; i++) {
			if (!f->blocks.at[i].dirty)
				continue;
			run_block(f, &f->blocks.at[i]);
			again = true;
		}
	}
}

static void visit(const struct follow *f, const struct block *b, code_visit_fn *fn, void *ctx)
{
	struct code_state s;
	assign(&s, b->in);
	for (size_t i = b->from; i < b->to; i++) {
		fn(ctx, &f->ops->list.at[i], &s);
		apply(&s, f->arch, &f->ops->list.at[i]);
	}
}

/* All that a jump by table may lead to: the ways from there meet again, and meet those that were followed, each with its constants. */
static void follow_tables(struct follow *f)
{
	if (!f->indirect)
		return;
	for (size_t i = 0; i < f->blocks.n && !f->no_memory; i++)
		if (f->blocks.at[i].lonely)
			enter(f, f->blocks.at[i].from, f->indirect);
	settle(f);
}

struct err *code_follow(const struct code_ops *ops, const struct arch *a, code_visit_fn *fn, void *ctx)
{
	struct follow f = { .ops = ops, .arch = a };
	struct code_state *start = calloc(1, sizeof *start);
	f.no_memory = !start || !cut(&f);
	for (size_t i = 0; i < f.blocks.n && !f.no_memory; i++) {
		if (f.blocks.at[i].in)
			continue;
		f.phase++;
		start->reg[sp_of(a)] = (struct code_value){ .kind = VALUE_STACK, .n = 1 };
		enter(&f, f.blocks.at[i].from, f.indirect ? f.indirect : start);
		settle(&f);
		if (!i)
			follow_tables(&f);
	}
	for (size_t i = 0; i < f.blocks.n; i++) {
		if (!f.no_memory && f.blocks.at[i].in)
			visit(&f, &f.blocks.at[i], fn, ctx);
		free(f.blocks.at[i].in);
	}
	vec_free(&f.blocks);
	free(f.block_of);
	free(f.indirect);
	free(start);
	return f.no_memory ? err_nomem() : interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

struct uses {
	const struct arch *arch;
	modules_code_use_fn *f;
	void *ctx;
};

static void tell(const struct uses *u, enum code_use use, const struct code_value *v)
{
	for (unsigned i = 0; v->kind == VALUE_CONST && i < v->n; i++)
		u->f(u->ctx, use, u->arch->word == 4 ? (uint32_t)v->v[i] : v->v[i]);
}

static void on_use(void *ctx, const struct code_op *op, const struct code_state *s)
{
	const struct uses *u = ctx;
	struct code_value v = unknown;
	bool arm = u->arch->elf_machine == EM_AARCH64;
	switch ((enum code_what)op->what) {
	case CODE_SET:
	case CODE_PUSH:
		/* An adrp's page is half an address. */
		if (!arm && op->src < 0 && op->dst != -2)
			v = constant((uint64_t)op->imm);
		tell(u, CODE_MAKES, &v);
		break;
	case CODE_ALU:
		v = source(s, op);
		v = combine((enum code_alu)op->alu, &s->reg[op->other], &v);
		tell(u, CODE_MAKES, &v);
		break;
	case CODE_ADDRESS:
		v = code_address(s, u->arch, &op->at);
		tell(u, CODE_MAKES, &v);
		break;
	case CODE_LOAD:
	case CODE_TOUCH:
	case CODE_STORE:
	case CODE_SPOIL:
		v = code_address(s, u->arch, &op->at);
		tell(u, op->what == CODE_LOAD || op->what == CODE_TOUCH ? CODE_READS : CODE_WRITES, &v);
		break;
	case CODE_NOTHING:
	case CODE_COPY:
	case CODE_EITHER:
	case CODE_POP:
		break;
	}
}

struct err *modules_code_uses(struct modules *ms, uint64_t start, uint64_t end, modules_code_use_fn *f, void *ctx)
{
	struct uses u = { modules_arch(ms), f, ctx };
	struct code_ops ops = { 0 };
	csh h;
	TRY(code_decoder(ms, &h));
	struct err *e = code_ops(ms, h, start, end, &ops);
	if (!e)
		e = code_follow(&ops, u.arch, on_use, &u);
	vec_free(&ops.list);
	cs_close(&h);
	return e;
}

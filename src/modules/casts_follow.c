/* What a function's code does with pointers: registers and stack are followed from one instruction to the next, and take from DWARF
 * which variables they hold. A function is run through until what is known where branches meet stays the same, then once more for
 * what it says. Decoding is of a file's bytes; what it says of addresses is checked where it is used. */
#include "casts.h"

enum { MOST_SLOTS = 48, MOST_ACTIVE = 512, MOST_LABELS = 1 << 14, MOST_RUNS = 5, CLEAR = 0 };

enum known { NOTHING, STACK /* entry's stack pointer + at */, OBJECT /* at: bytes into an object of the type */, UNTYPED /* a node */, NUMBER };
struct known_value {
	uint8_t kind;
	uint32_t type;		/* OBJECT */
	uint32_t node;		/* UNTYPED; OBJECT: of the pointers that lie there, 0: none */
	int64_t at;
};
struct slot { int64_t at; struct known_value value; };
struct label { struct known_value reg[CODE_REGISTERS]; bool met; };

struct follower {
	struct miner *m;
	const struct type_table *t;
	unsigned word;
	struct code_ops ops;
	VEC(struct label) labels; /* targets of branches inside */
	struct map64 by_label;
	bool changed;		/* what is known at one of them */
	bool reached;		/* false: how the code is reached is not known yet */
	struct known_value table_sp, table_fp; /* at the last jump through a register or a word */
	const struct cast_function *function;
	uint32_t index;		/* of it */
	struct cast_range range;
	struct known_value reg[CODE_REGISTERS];
	struct slot slots[MOST_SLOTS];
	unsigned next_slot;
	uint32_t active[MOST_ACTIVE]; /* indices into held: those whose range holds the pc */
	unsigned n_active;
	size_t first, next;	/* of held */
};

static const struct known_value nothing = { 0 };

/* Displacements are a file's: they may be anything. */
static int64_t moved(int64_t at, int64_t by)
{
	return (int64_t)((uint64_t)at + (uint64_t)by);
}

static int64_t distance(int64_t to, int64_t from)
{
	return (int64_t)((uint64_t)to - (uint64_t)from);
}

/* The innermost pointer that lies there: its target, and where in which struct it is. */
struct member { uint32_t target, outer, offset; };

static bool member_of(const struct type_table *t, uint32_t type, int64_t at, bool indexed, struct member *ret)
{
	const struct type *of = table_type(t, type);
	for (int i = 0; of->kind == TYPE_ARRAY && i < 16; i++) {
		uint64_t size = table_type(t, of->target)->size;
		if (!size || at < 0)
			return false;
		at = (int64_t)((uint64_t)at % size);
		type = of->target;
		of = table_type(t, type);
	}
	if (of->kind == TYPE_POINTER && !at) {
		*ret = (struct member){ of->target, 0, 0 };
		return true;
	}
	if (!type_is_struct(of) || at < 0)
		return false;
	for (uint32_t i = 0; i < of->n_leaves; i++) {
		const struct type_leaf *l = &t->leaves.at[of->first_leaf + i];
		uint64_t from = (uint64_t)at - l->offset;
		if ((uint64_t)at < l->offset)
			return false;
		if (from && (l->count < 2 || !l->stride || from % l->stride || from / l->stride >= l->count))
			continue;
		/* Of a union's pointers any may lie there; one that says little is none that could be wrong. */
		if ((indexed && l->count < 2) || (l->weak && !is_opaque(pointee_of(t, l->target))))
			continue;
		*ret = (struct member){ l->target, type, l->offset };
		return true;
	}
	return false;
}

static const struct cast_global *global_at(const struct miner *m, uint64_t address)
{
	size_t lo = 0, hi = m->globals.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (m->globals.at[mid].start <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && address < m->globals.at[lo - 1].end ? &m->globals.at[lo - 1] : NULL;
}

/* The address of a variable of the program is a pointer to an object. */
static struct known_value resolve(const struct follower *f, struct known_value v)
{
	const struct cast_global *g = v.kind == NUMBER ? global_at(f->m, (uint64_t)v.at) : NULL;
	if (v.kind != NUMBER)
		return v;
	return g ? (struct known_value){ .kind = OBJECT, .type = g->type, .at = distance(v.at, (int64_t)g->start) } : nothing;
}

static bool is_whole(const struct follower *f, const struct known_value *v)
{
	return v->kind == OBJECT && !v->at && pointee_of(f->t, v->type) == POINTEE_COMPLETE;
}

/* A pointer whose declaration says little, and what is there. */
static void meet(struct follower *f, const struct known_value *v, uint32_t node, bool into)
{
	if (v->kind == UNTYPED && v->node != node) {
		if (into)
			miner_flow(f->m, v->node, node);
		else
			miner_flow(f->m, node, v->node);
	} else if (is_whole(f, v)) {
		if (into)
			miner_source(f->m, node, v->type);
		else
			miner_sink(f->m, node, v->type);
	}
}

/* What is there turns out to be a variable's, a parameter's, a member's: of this type. */
static struct known_value take_as(struct follower *f, struct known_value v, uint32_t type, uint32_t node)
{
	uint32_t target = table_type(f->t, type)->target;
	enum pointee p = table_type(f->t, type)->kind == TYPE_POINTER ? pointee_of(f->t, target) : POINTEE_NONE;
	v = resolve(f, v);
	if (p == POINTEE_NONE)
		return v;
	if (p == POINTEE_INCOMPLETE) {
		node = miner_node(f->m, NODE_INCOMPLETE, false, target);
		meet(f, &v, node, true);
		if (is_whole(f, &v))
			return v;
	}
	if (p == POINTEE_VOID || p == POINTEE_INCOMPLETE) {
		if (node && p == POINTEE_VOID)
			meet(f, &v, node, true);
		return v.kind == NOTHING && node ? (struct known_value){ .kind = UNTYPED, .node = node } : v;
	}
	if (v.kind == UNTYPED)
		miner_sink(f->m, v.node, target);
	if (p == POINTEE_CHAR) /* bytes: what it is may be said later */
		return v.kind == NOTHING ? (struct known_value){ .kind = OBJECT, .type = target } : v;
	if (v.kind == OBJECT && v.type == target && !v.at)
		return v;
	return (struct known_value){ .kind = OBJECT, .type = target };
}

static bool is_pointer(const struct follower *f, const struct held *h)
{
	return table_type(f->t, h->type)->kind == TYPE_POINTER;
}

/* A variable that holds a pointer takes what is there. */
static struct known_value take_as_variable(struct follower *f, struct known_value v, const struct held *h)
{
	bool says_nothing = pointee_of(f->t, table_type(f->t, h->type)->target) == POINTEE_VOID;
	return take_as(f, v, h->type, says_nothing ? miner_node(f->m, NODE_LOCAL, false, h->variable) : 0);
}

static void apply_register(struct follower *f, const struct held *h)
{
	if (h->how == HELD_REGISTER)
		f->reg[h->reg] = take_as_variable(f, f->reg[h->reg], h);
}

/* Variables on the stack */

static bool held_at(const struct follower *f, const struct held *h, int64_t *ret)
{
	if (h->how == HELD_FRAME) {
		*ret = h->offset;
		return true;
	}
	if (h->how != HELD_BASED || f->reg[h->reg].kind != STACK)
		return false;
	*ret = moved(f->reg[h->reg].at, h->offset);
	return true;
}

static const struct held *variable_on_stack(const struct follower *f, int64_t at, int64_t *ret_from)
{
	for (unsigned i = 0; i < f->n_active; i++) {
		const struct held *h = &f->m->held.at[f->active[i]];
		int64_t from;
		if (held_at(f, h, &from) && at >= from && (uint64_t)distance(at, from) < table_type(f->t, h->type)->size) {
			*ret_from = distance(at, from);
			return h;
		}
	}
	return NULL;
}

static struct slot *slot_at(struct follower *f, int64_t at, bool make)
{
	for (unsigned i = 0; i < MOST_SLOTS; i++)
		if (f->slots[i].value.kind && f->slots[i].at == at)
			return &f->slots[i];
	if (!make)
		return NULL;
	struct slot *s = &f->slots[f->next_slot++ % MOST_SLOTS];
	s->at = at;
	return s;
}

/* Memory */

struct memory { /* where an instruction reads or writes */
	struct known_value base;/* OBJECT with `at` moved, or STACK */
	bool indexed;
};

static bool memory_of(const struct follower *f, const struct code_place *p, struct memory *ret)
{
	struct known_value v = p->base >= 0 ? f->reg[p->base] : (struct known_value){ .kind = NUMBER };
	if (!p->known || v.kind == NOTHING || v.kind == UNTYPED)
		return false;
	v.at = moved(v.at, p->disp);
	v = resolve(f, v);
	*ret = (struct memory){ v, p->index >= 0 };
	return v.kind == OBJECT || (v.kind == STACK && p->index < 0);
}

/* The pointer that lies in an object; false: none is known. *ret_node: it says little. */
static bool pointer_in(struct follower *f, const struct memory *at, uint32_t *ret_target, uint32_t *ret_node, uint32_t *ret_deep)
{
	const struct type *of = table_type(f->t, at->base.type);
	struct member in;
	*ret_node = *ret_deep = 0;
	/* An element of what a void ** points at. */
	if (of->kind == TYPE_POINTER && at->base.node) {
		*ret_target = of->target;
		*ret_node = at->base.node;
		return true;
	}
	if (of->kind == TYPE_POINTER && (at->indexed || at->base.at % f->word == 0))
		in = (struct member){ of->target, 0, 0 };
	else if (!member_of(f->t, at->base.type, at->base.at, at->indexed, &in))
		return false;
	*ret_target = in.target;
	const struct type *to = table_type(f->t, in.target);
	bool deep = to->kind == TYPE_POINTER && is_opaque(pointee_of(f->t, to->target));
	if (!is_opaque(pointee_of(f->t, in.target)) && !deep)
		return true;
	uint32_t node = in.outer ? miner_node(f->m, NODE_FIELD, deep, (uint64_t)in.outer << 32 | in.offset) : 0;
	*(deep ? ret_deep : ret_node) = node;
	/* All that is called so is alike. */
	if (node && to->kind == TYPE_INCOMPLETE) {
		uint32_t named = miner_node(f->m, NODE_INCOMPLETE, false, in.target);
		miner_flow(f->m, node, named);
		miner_flow(f->m, named, node);
	}
	return true;
}

/* The same of a variable of the program that is a pointer itself. */
static uint32_t variable_node(struct follower *f, const struct code_place *p, uint32_t *ret_type, uint32_t *ret_deep)
{
	struct known_value v = p->base >= 0 ? f->reg[p->base] : (struct known_value){ .kind = NUMBER };
	const struct cast_global *g = v.kind == NUMBER && p->index < 0 ? global_at(f->m, (uint64_t)moved(v.at, p->disp)) : NULL;
	const struct type *at = g ? table_type(f->t, g->type) : NULL;
	*ret_deep = 0;
	if (!at || at->kind != TYPE_POINTER || g->start != (uint64_t)moved(v.at, p->disp))
		return 0;
	*ret_type = g->type;
	const struct type *to = table_type(f->t, at->target);
	bool deep = to->kind == TYPE_POINTER && is_opaque(pointee_of(f->t, to->target));
	if (!is_opaque(pointee_of(f->t, at->target)) && !deep)
		return 0;
	uint32_t node = miner_node(f->m, NODE_VARIABLE, deep, g->start);
	*(deep ? ret_deep : &node) = node;
	return deep ? 0 : node;
}

static struct known_value of_target(const struct follower *f, uint32_t target, uint32_t node, uint32_t deep)
{
	if (node)
		return (struct known_value){ .kind = UNTYPED, .node = node };
	if (pointee_of(f->t, target) != POINTEE_COMPLETE)
		return nothing;
	return (struct known_value){ .kind = OBJECT, .type = target, .node = deep };
}

static struct known_value load(struct follower *f, const struct code_op *op)
{
	struct memory at;
	uint32_t target, node, deep, type;
	int64_t from;
	if (op->width != f->word)
		return nothing;
	node = variable_node(f, &op->at, &type, &deep);
	if (node || deep)
		return of_target(f, table_type(f->t, type)->target, node, deep);
	if (!memory_of(f, &op->at, &at))
		return nothing;
	if (at.base.kind == OBJECT)
		return pointer_in(f, &at, &target, &node, &deep) ? of_target(f, target, node, deep) : nothing;
	const struct slot *s = slot_at(f, at.base.at, false);
	struct known_value v = s ? s->value : nothing;
	const struct held *h = variable_on_stack(f, at.base.at, &from);
	if (!h)
		return v;
	if (is_pointer(f, h))
		return take_as_variable(f, v, h);
	at.base = (struct known_value){ .kind = OBJECT, .type = h->type, .at = from };
	return v.kind ? v : pointer_in(f, &at, &target, &node, &deep) ? of_target(f, target, node, deep) : nothing;
}

static void store_member(struct follower *f, const struct known_value *v, uint32_t target, uint32_t node)
{
	if (node)
		meet(f, v, node, true);
	else if (v->kind == UNTYPED && pointee_of(f->t, target) == POINTEE_COMPLETE)
		miner_sink(f->m, v->node, target);
}

static void store(struct follower *f, const struct code_op *op)
{
	struct known_value v = op->src >= 0 ? resolve(f, f->reg[op->src]) : nothing;
	struct memory at;
	uint32_t target, node, deep, type;
	int64_t from;
	if (op->width == f->word && (node = variable_node(f, &op->at, &type, &deep))) {
		meet(f, &v, node, true);
		return;
	}
	if (!memory_of(f, &op->at, &at))
		return;
	if (at.base.kind == OBJECT) {
		if (op->width == f->word && pointer_in(f, &at, &target, &node, &deep))
			store_member(f, &v, target, node);
		return;
	}
	if (op->width != f->word)
		v = nothing;
	int64_t where = at.base.at;
	const struct held *h = variable_on_stack(f, where, &from);
	if (h && op->width == f->word && is_pointer(f, h)) {
		v = take_as_variable(f, v, h);
	} else if (h && op->width == f->word) {
		at.base = (struct known_value){ .kind = OBJECT, .type = h->type, .at = from };
		if (pointer_in(f, &at, &target, &node, &deep))
			store_member(f, &v, target, node);
	}
	struct slot *s = slot_at(f, where, v.kind != NOTHING);
	if (s)
		s->value = v;
}

/* Calls */

static const struct cast_function *called(const struct follower *f, const struct code_op *op, uint32_t *ret_index)
{
	uint64_t index;
	if (!op->target || op->through || !map64_find(&f->m->by_entry, op->target, &index))
		return NULL;
	*ret_index = (uint32_t)index;
	return &f->m->functions.at[index];
}

static uint32_t parameter_node(struct follower *f, uint32_t function, unsigned k)
{
	return miner_node(f->m, NODE_PARAMETER, false, (uint64_t)function * CASTS_ARGUMENTS + k);
}

/* What a function of another module takes: its declaration says so at the call. */
static const struct cast_function *called_outside(const struct follower *f, const struct code_op *op)
{
	uint64_t after = op->address + op->size;
	size_t lo = 0, hi = f->m->calls.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (f->m->calls.at[mid].after < after)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < f->m->calls.n && f->m->calls.at[lo].after == after ? &f->m->outside.at[f->m->calls.at[lo].to] : NULL;
}

static unsigned most_arguments(const struct follower *f)
{
	return f->m->machine->stacked ? f->m->machine->stacked : f->m->machine->n_arguments;
}

/* Before a call, which puts the return address on the stack; `inside`: it lies there. */
static struct known_value argument(struct follower *f, unsigned k, bool inside)
{
	const struct cast_machine *m = f->m->machine;
	const struct known_value *sp = &f->reg[m->sp];
	if (!m->stacked)
		return f->reg[m->arguments[k]];
	const struct slot *s = sp->kind == STACK ? slot_at(f, moved(sp->at, (int64_t)(k + inside) * f->word), false) : NULL;
	return s ? s->value : nothing;
}

/* INDEX_OUTSIDE: nothing is known of its parameters but their types. */
enum { INDEX_OUTSIDE = UINT32_MAX };

static void pass_arguments(struct follower *f, const struct cast_function *to, uint32_t index, bool inside)
{
	for (unsigned k = 0; k < most_arguments(f); k++) {
		struct known_value v = to->parameters[k] || to->reformed ? argument(f, k, inside) : nothing;
		if (to->parameters[k])
			take_as(f, v, to->parameters[k], index == INDEX_OUTSIDE ? 0 : parameter_node(f, index, k));
		else if (v.kind == UNTYPED || is_whole(f, &v))
			meet(f, &v, parameter_node(f, index, k), true);
	}
}

static void call(struct follower *f, const struct code_op *op)
{
	const struct cast_machine *m = f->m->machine;
	uint32_t index = INDEX_OUTSIDE, node = 0;
	const struct cast_function *to = called(f, op, &index);
	if (!to)
		to = called_outside(f, op);
	if (to)
		pass_arguments(f, to, index, false);
	for (unsigned r = 0; r < CODE_REGISTERS; r++)
		if ((m->lost & ~op->keeps) >> r & 1)
			f->reg[r] = nothing;
	/* i386 code that asks where it is. */
	if (op->dst >= 0 && op->dst < CODE_REGISTERS)
		f->reg[op->dst] = (struct known_value){ .kind = NUMBER, .at = (int64_t)(op->address + op->size) };
	/* System V ABI i386: who returns a struct takes the address for it off the stack. */
	if (to && m->stacked && type_is_struct(table_type(f->t, to->returns)) && f->reg[m->sp].kind == STACK)
		f->reg[m->sp].at = moved(f->reg[m->sp].at, f->word);
	if (!to || table_type(f->t, to->returns)->kind != TYPE_POINTER)
		return;
	if (index != INDEX_OUTSIDE && pointee_of(f->t, table_type(f->t, to->returns)->target) == POINTEE_VOID)
		node = miner_node(f->m, NODE_RESULT, false, index);
	f->reg[m->result] = take_as(f, nothing, to->returns, node);
}

static void leave(struct follower *f, struct known_value v)
{
	uint32_t type = f->function->returns;
	if (table_type(f->t, type)->kind == TYPE_POINTER)
		take_as(f, v, type, miner_node(f->m, NODE_RESULT, false, f->index));
}

static bool is_inside(const struct follower *f, uint64_t address)
{
	return address >= f->range.start && address < f->range.end;
}

static void jump(struct follower *f, const struct code_op *op)
{
	uint32_t index = INDEX_OUTSIDE;
	const struct cast_function *to = is_inside(f, op->target) ? NULL : called(f, op, &index);
	if (!to && !is_inside(f, op->target))
		to = called_outside(f, op);
	if (!to)
		return;
	pass_arguments(f, to, index, true);
	if (index != INDEX_OUTSIDE && table_type(f->t, to->returns)->kind == TYPE_POINTER && pointee_of(f->t, table_type(f->t, to->returns)->target) == POINTEE_VOID)
		leave(f, (struct known_value){ .kind = UNTYPED, .node = miner_node(f->m, NODE_RESULT, false, index) });
}

/* Where branches meet: what all of them agree on is still known. */

static bool agree(const struct follower *f, struct known_value *to, const struct known_value *from)
{
	if (!to->kind)
		return true;
	if (to->kind == from->kind && to->type == from->type && to->node == from->node) {
		if (to->at == from->at)
			return true;
		/* A pointer that goes along an array of pointers. */
		if (to->kind == OBJECT && table_type(f->t, to->type)->kind == TYPE_POINTER && !(distance(to->at, from->at) % f->word))
			return true;
	}
	*to = nothing;
	return false;
}

static void meet_label(struct follower *f, uint64_t address)
{
	uint64_t index;
	if (!f->reached || !map64_find(&f->by_label, address, &index))
		return;
	struct label *l = &f->labels.at[index];
	if (!l->met) {
		memcpy(l->reg, f->reg, sizeof l->reg);
		l->met = f->changed = true;
		return;
	}
	for (unsigned r = 0; r < CODE_REGISTERS; r++)
		f->changed |= !agree(f, &l->reg[r], &f->reg[r]);
}

static int8_t frame_register(const struct follower *f)
{
	return f->m->machine->elf_machine == EM_AARCH64 ? 29 : 5;
}

/* What is behind a jump and no label is reached by a table of addresses: its jump left the stack as it was. */
static void at_table(struct follower *f)
{
	int8_t sp = f->m->machine->sp, fp = frame_register(f);
	memset(f->reg, CLEAR, sizeof f->reg);
	f->reg[sp] = f->table_sp;
	f->reg[fp] = f->table_fp;
	f->reached = f->table_sp.kind || f->table_fp.kind;
}

static void at_label(struct follower *f, uint64_t address, bool fell)
{
	uint64_t index;
	if (fell)
		meet_label(f, address);
	const struct label *l = map64_find(&f->by_label, address, &index) ? &f->labels.at[index] : NULL;
	memset(f->slots, CLEAR, sizeof f->slots);
	f->reached = l && l->met;
	if (f->reached)
		memcpy(f->reg, l->reg, sizeof f->reg);
	else if (!l)
		at_table(f);
	else
		memset(f->reg, CLEAR, sizeof f->reg);
}

static void find_labels(struct follower *f)
{
	for (size_t i = 0; i < f->ops.list.n; i++) {
		const struct code_op *op = &f->ops.list.at[i];
		uint64_t seen;
		if ((op->flow != FLOW_JUMP && op->flow != FLOW_BRANCH) || !op->target || !is_inside(f, op->target) || f->labels.n >= MOST_LABELS ||
		    map64_find(&f->by_label, op->target, &seen))
			continue;
		f->m->nomem |= !vec_push(&f->labels) || !map64_put(&f->by_label, op->target, f->labels.n - 1);
	}
}

/* One instruction */

/* A pointer into an array of pointers stays one, whatever is added. */
static bool is_array(const struct follower *f, int8_t reg)
{
	return reg >= 0 && reg < CODE_REGISTERS && f->reg[reg].kind == OBJECT && f->reg[reg].node && table_type(f->t, f->reg[reg].type)->kind == TYPE_POINTER;
}

static struct known_value computed(const struct follower *f, const struct code_op *op)
{
	struct known_value v = op->other >= 0 ? f->reg[op->other] : nothing;
	if ((op->alu != ALU_ADD && op->alu != ALU_SUB) || op->width != f->word)
		return nothing;
	if (op->src >= 0)
		return is_array(f, op->other) ? v : op->alu == ALU_ADD && is_array(f, op->src) ? f->reg[op->src] : nothing;
	if (v.kind != STACK && v.kind != OBJECT && v.kind != NUMBER)
		return nothing;
	v.at = op->alu == ALU_ADD ? moved(v.at, op->imm) : distance(v.at, op->imm);
	return v;
}

static struct known_value address_of(const struct follower *f, const struct code_op *op)
{
	const struct code_place *p = &op->at;
	struct known_value v = p->base >= 0 ? f->reg[p->base] : (struct known_value){ .kind = NUMBER };
	if (!p->known || op->width != f->word || v.kind == UNTYPED)
		return nothing;
	if (p->index >= 0)
		return is_array(f, p->base) ? v : p->scale == 1 && is_array(f, p->index) ? f->reg[p->index] : nothing;
	v.at = moved(v.at, p->disp);
	return v;
}

static void push(struct follower *f, const struct code_op *op)
{
	struct known_value *sp = &f->reg[f->m->machine->sp];
	if (sp->kind != STACK)
		return;
	sp->at = distance(sp->at, f->word);
	struct slot *s = slot_at(f, sp->at, true);
	s->value = op->src >= 0 && op->src < CODE_REGISTERS ? f->reg[op->src] : nothing;
}

static struct known_value pop(struct follower *f)
{
	struct known_value *sp = &f->reg[f->m->machine->sp], v = nothing;
	const struct slot *s = sp->kind == STACK ? slot_at(f, sp->at, false) : NULL;
	if (s)
		v = s->value;
	if (sp->kind == STACK)
		sp->at = moved(sp->at, f->word);
	return v;
}

static void set_register(struct follower *f, int reg, struct known_value v)
{
	if (reg >= 0 && reg < CODE_REGISTERS)
		f->reg[reg] = v;
}

static void step(struct follower *f, const struct code_op *op)
{
	struct known_value v = nothing;
	switch (op->what) {
	case CODE_SET:
		v = (struct known_value){ .kind = NUMBER, .at = op->imm };
		break;
	case CODE_COPY:
		v = op->src >= 0 && op->width == f->word ? f->reg[op->src] : nothing;
		break;
	case CODE_ADDRESS:
		v = address_of(f, op);
		break;
	case CODE_ALU:
		v = computed(f, op);
		break;
	case CODE_LOAD:
		v = load(f, op);
		break;
	case CODE_STORE:
		store(f, op);
		return;
	case CODE_PUSH:
		push(f, op);
		return;
	case CODE_POP:
		v = pop(f);
		break;
	default:
		break;
	}
	if (op->what != CODE_NOTHING && op->what != CODE_TOUCH && op->what != CODE_SPOIL)
		set_register(f, op->dst, v);
	for (unsigned r = 0; r < CODE_REGISTERS; r++)
		if (op->spoils >> r & 1)
			f->reg[r] = nothing;
}

/* Variables whose place begins here, and those in registers that were written just now. */
static void update_variables(struct follower *f, uint64_t pc, uint32_t written)
{
	unsigned keep = 0;
	for (unsigned i = 0; i < f->n_active; i++)
		if (f->m->held.at[f->active[i]].end > pc)
			f->active[keep++] = f->active[i];
	f->n_active = keep;
	for (unsigned i = 0; written && i < f->n_active; i++) {
		const struct held *h = &f->m->held.at[f->active[i]];
		if (h->how == HELD_REGISTER && written >> h->reg & 1)
			apply_register(f, h);
	}
	for (; f->next < f->m->held.n && f->m->held.at[f->next].start <= pc; f->next++) {
		const struct held *h = &f->m->held.at[f->next];
		if (h->end <= pc || f->n_active == MOST_ACTIVE)
			continue;
		f->active[f->n_active++] = (uint32_t)f->next;
		apply_register(f, h);
	}
}

static uint32_t written_by(const struct follower *f, const struct code_op *op)
{
	uint32_t set = op->spoils | (op->dst >= 0 && op->dst < CODE_REGISTERS ? 1u << op->dst : 0);
	return op->flow == FLOW_CALL ? set | f->m->machine->lost : set;
}

static void enter_function(struct follower *f)
{
	const struct cast_machine *m = f->m->machine;
	memset(f->reg, CLEAR, sizeof f->reg);
	memset(f->slots, CLEAR, sizeof f->slots);
	if (f->range.start != f->function->entry)
		return;
	f->reg[m->sp] = (struct known_value){ .kind = STACK };
	for (unsigned k = 0; k < most_arguments(f); k++) {
		if (!f->function->parameters[k] && !f->function->reformed)
			continue;
		struct known_value v = { .kind = UNTYPED, .node = parameter_node(f, f->index, k) };
		if (f->function->parameters[k])
			v = take_as(f, nothing, f->function->parameters[k], v.node);
		struct slot *s = m->stacked && v.kind ? slot_at(f, (int64_t)(k + 1) * f->word, true) : NULL;
		if (s)
			s->value = v;
		else if (!m->stacked)
			f->reg[m->arguments[k]] = v;
	}
}

static void flow(struct follower *f, const struct code_op *op)
{
	if (op->flow == FLOW_CALL)
		call(f, op);
	else if (op->flow == FLOW_JUMP)
		jump(f, op);
	else if (op->flow == FLOW_END)
		leave(f, f->reg[f->m->machine->result]);
	if ((op->flow == FLOW_JUMP || op->flow == FLOW_BRANCH) && op->target)
		meet_label(f, op->target);
	else if (op->flow == FLOW_JUMP && f->reached) {
		f->table_sp = f->reg[f->m->machine->sp];
		f->table_fp = f->reg[frame_register(f)];
	}
}

static void follow(struct follower *f)
{
	uint32_t written = ~0u;
	bool fell = true;
	uint64_t last = 0, seen;
	f->n_active = 0;
	f->next = f->first;
	f->reached = true;
	f->table_sp = f->table_fp = nothing;
	enter_function(f);
	for (size_t i = 0; i < f->ops.list.n && !interrupted && !f->m->nomem; i++) {
		const struct code_op *op = &f->ops.list.at[i];
		if (op->address != last) {
			if (map64_find(&f->by_label, op->address, &seen) || !fell) {
				at_label(f, op->address, fell);
				written = ~0u;
			}
			update_variables(f, op->address, written);
			written = 0;
			fell = true;
			last = op->address;
		}
		if (op->flow != FLOW_ON)
			flow(f, op);
		step(f, op);
		written |= written_by(f, op);
		fell = fell && op->flow != FLOW_JUMP && op->flow != FLOW_END;
	}
}

static struct err *follow_range(struct follower *f, csh decoder, struct cast_range r)
{
	f->range = r;
	f->index = r.function;
	f->function = &f->m->functions.at[r.function];
	f->m->result->code_bytes += r.end - r.start;
	TRY(code_ops(f->m->ms, decoder, r.start, r.end, &f->ops));
	f->labels.n = 0;
	find_labels(f);
	/* What is known at a label gets less with each run; nothing is noted before it is certain. */
	f->m->quiet = true;
	f->changed = true;
	for (int i = 0; i < MOST_RUNS && f->changed; i++) {
		f->changed = false;
		follow(f);
	}
	f->m->quiet = false;
	if (!f->changed)
		follow(f);
	map64_free(&f->by_label);
	return NULL;
}

struct err *miner_follow(struct miner *m, csh decoder)
{
	AUTO_FREE struct follower *f = calloc(1, sizeof *f);
	struct err *e = f ? NULL : err_nomem();
	if (f)
		*f = (struct follower){ .m = m, .t = m->r->t, .word = m->r->t->word };
	for (size_t i = 0; i < m->ranges.n && !e && !interrupted && !m->nomem; i++) {
		const struct cast_range *r = &m->ranges.at[i];
		/* Two may begin before the same variables, where a forged file lays functions over each other: the later takes the rest. */
		while (f->first < m->held.n && m->held.at[f->first].end <= r->start)
			f->first++;
		if (!m->functions.at[r->function].promising)
			continue;
		if (m->result->code_bytes >= CASTS_CODE) {
			m->result->cut = true;
			break;
		}
		m->result->functions++;
		e = follow_range(f, decoder, *r);
	}
	if (f) {
		vec_free(&f->ops.list);
		vec_free(&f->labels);
	}
	return e;
}

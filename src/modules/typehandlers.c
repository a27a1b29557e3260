/* Functions that say what they handle: whoever holds a std::function or a std::any keeps the address of one that is made for the type
 * of what is in it, and a coroutine's frame begins with that of its own body. Rust's tables of methods do the same. */
#include "typereader.h"

enum { MOST_HANDLERS = 1 << 20 };

/* libstdc++ (bits/std_function.h, any), libc++ (any), gcc (gcc/cp/coroutines.cc: coro_make_frame_ty_name()). */
static const struct handler_row { const char *method, *of; unsigned argument; enum type_handled handled; } rows[] = {
	{ "_M_manager", "_Function_handler<", 1, HANDLED_FUNCTOR },
	{ "_M_manager", "_Base_manager<", 0, HANDLED_FUNCTOR },
	{ "_S_manage", "_Manager_external<", 0, HANDLED_ANY },
	{ "__handle", "_LargeHandler<", 0, HANDLED_ANY },
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

static bool begins(const char *name, const char *with)
{
	return name && !strncmp(name, with, strlen(with));
}

static bool is_frame(const char *name)
{
	static const char end[] = ".Frame";
	size_t n = name ? strlen(name) : 0;
	return n >= sizeof end && !strcmp(name + n - (sizeof end - 1), end);
}

bool handlers_are_of(Dwarf_Die *die)
{
	const char *name = dwarf_diename(die);
	bool any = is_frame(name) || dwarf_hasattr(die, DW_AT_containing_type);
	for (unsigned i = 0; i < N_ROWS && name && !any; i++)
		any = begins(name, rows[i].of);
	return any;
}

static void add_handler(struct type_reader *r, uint64_t entry, Dwarf_Die *type, enum type_handled handled)
{
	uint32_t id = reader_resolve(r, type);
	struct type_handler *h = id && r->t->handlers.n < MOST_HANDLERS ? vec_push(&r->t->handlers) : NULL;
	if (h)
		*h = (struct type_handler){ entry + r->m->bias, id, handled };
}

static void add_declared(struct handler_search *f, Dwarf_Die *die)
{
	const char *method = dwarf_diename(die), *of = dwarf_diename(&f->within);
	for (unsigned i = 0; i < N_ROWS && method; i++) {
		if (strcmp(method, rows[i].method) != 0 || !begins(of, rows[i].of))
			continue;
		struct handler_declared *d = vec_push(&f->declared);
		if (d)
			*d = (struct handler_declared){ f->within, &rows[i] };
		f->r->nomem |= !d || !map64_put(&f->methods, dwarf_dieoffset(die), f->declared.n - 1);
	}
}

/* A part that is rarely run lies apart, behind the one that begins. */
static bool entry_of(Dwarf_Die *die, uint64_t *ret)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = dwarf_ranges(die, 0, &base, &start, &end);
	*ret = start;
	return at > 0 && start < end && start;
}

static bool first_parameter(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Die child;
	return !dwarf_child(die, &child) && dwarf_tag(&child) == DW_TAG_formal_parameter && type_ref(&child, DW_AT_type, ret) &&
	       dwarf_tag(ret) == DW_TAG_pointer_type && type_ref(ret, DW_AT_type, ret);
}

static void add_defined(struct handler_search *f, Dwarf_Die *die)
{
	static const unsigned links[] = { DW_AT_abstract_origin, DW_AT_specification };
	Dwarf_Die method = *die, frame;
	Dwarf_Attribute attr;
	uint64_t entry;
	if (!entry_of(die, &entry))
		return;
	if (first_parameter(die, &frame) && is_frame(dwarf_diename(&frame))) {
		add_handler(f->r, entry, &frame, HANDLED_FRAME);
		return;
	}
	for (unsigned i = 0; i < 2; i++)
		if (dwarf_attr(&method, links[i], &attr) && !dwarf_formref_die(&attr, &method))
			return;
	struct handler_defined *d = method.addr == die->addr ? NULL : vec_push(&f->defined);
	if (d)
		*d = (struct handler_defined){ dwarf_dieoffset(&method), entry };
}

/* rustc's table of the methods that a type has for a trait is a variable: its type says which type contains it
 * (rustc_codegen_llvm/src/debuginfo/metadata.rs: build_vtable_type_di_node()). */
static void add_table(struct handler_search *f, Dwarf_Die *die)
{
	static const char end[] = "::{vtable}";
	const char *name = dwarf_diename(die);
	size_t n = name ? strlen(name) : 0;
	Dwarf_Attribute attr;
	Dwarf_Die type, of;
	Dwarf_Op *ops;
	size_t n_ops;
	if (n >= sizeof end && !strcmp(name + n - (sizeof end - 1), end) && type_ref(die, DW_AT_type, &type) && type_ref(&type, DW_AT_containing_type, &of) &&
	    dwarf_attr(die, DW_AT_location, &attr) && !dwarf_getlocation(&attr, &ops, &n_ops) && n_ops == 1 && ops[0].atom == DW_OP_addr)
		add_handler(f->r, ops[0].number, &of, HANDLED_TRAIT);
}

static void on_die(void *ctx, Dwarf_Die *die)
{
	struct handler_search *f = ctx;
	int tag = dwarf_tag(die);
	if (tag == DW_TAG_variable)
		add_table(f, die);
	if (tag == DW_TAG_structure_type || tag == DW_TAG_class_type) {
		f->within = *die;
		f->any = true;
	} else if (tag == DW_TAG_subprogram && dwarf_hasattr(die, DW_AT_declaration)) {
		if (f->any)
			add_declared(f, die);
	} else if (tag == DW_TAG_subprogram) {
		add_defined(f, die);
	}
}

static bool type_argument(Dwarf_Die *of, unsigned n, Dwarf_Die *ret)
{
	Dwarf_Die child;
	size_t budget = MEMBERS_OF_ONE;
	if (dwarf_child(of, &child))
		return false;
	do
		if (dwarf_tag(&child) == DW_TAG_template_type_parameter && !n--)
			return type_ref(&child, DW_AT_type, ret);
	while (--budget && !dwarf_siblingof(&child, &child));
	return false;
}

/* libstdc++ says of a functor whether it lies in the std::function itself. */
static bool is_within(Dwarf_Die *of)
{
	Dwarf_Die child, base;
	uint64_t v;
	size_t budget = MEMBERS_OF_ONE;
	if (dwarf_child(of, &child))
		return false;
	do {
		const char *name = dwarf_diename(&child);
		int tag = dwarf_tag(&child);
		if (tag == DW_TAG_inheritance && type_ref(&child, DW_AT_type, &base) && begins(dwarf_diename(&base), "_Base_manager<"))
			return is_within(&base);
		if ((tag == DW_TAG_variable || tag == DW_TAG_member) && name && !strcmp(name, "__stored_locally"))
			return type_number(&child, DW_AT_const_value, &v) && v;
	} while (--budget && !dwarf_siblingof(&child, &child));
	return false;
}

static void add_all(struct handler_search *f)
{
	uint64_t index;
	for (size_t i = 0; i < f->defined.n && !f->r->nomem; i++) {
		Dwarf_Die type;
		if (!map64_find(&f->methods, f->defined.at[i].method, &index))
			continue;
		struct handler_declared *d = &f->declared.at[index];
		if (!type_argument(&d->of, d->row->argument, &type))
			continue;
		bool within = d->row->handled == HANDLED_FUNCTOR && is_within(&d->of);
		add_handler(f->r, f->defined.at[i].entry, &type, within ? HANDLED_WITHIN : d->row->handled);
	}
}

void handlers_free(struct type_reader *r)
{
	map64_free(&r->search.methods);
	vec_free(&r->search.declared);
	vec_free(&r->search.defined);
}

/* What it finds on the way is the reader's: a file that crashes libdw, or costs too much, is left from within. */
void handlers_read(struct type_reader *r, Dwarf_Die *unit)
{
	handlers_free(r);
	r->search = (struct handler_search){ .r = r };
	modules_each_die(unit, &r->budget, on_die, &r->search);
	add_all(&r->search);
}

static int by_address(const void *a, const void *b)
{
	const struct type_handler *x = a, *y = b;
	return x->address < y->address ? -1 : x->address > y->address;
}

/* One function for several types, which the linker or the compiler found to be the same, says nothing. */
void handlers_sort(struct type_table *t)
{
	size_t n = 0;
	if (t->handlers.n)
		qsort(t->handlers.at, t->handlers.n, sizeof *t->handlers.at, by_address);
	for (size_t i = 0, next; i < t->handlers.n; i = next) {
		bool same = true;
		for (next = i + 1; next < t->handlers.n && t->handlers.at[next].address == t->handlers.at[i].address; next++)
			same &= t->handlers.at[next].type == t->handlers.at[i].type;
		if (same)
			t->handlers.at[n++] = t->handlers.at[i];
	}
	t->handlers.n = n;
}

/* DWARF: where things are declared, and how structs are laid out. Read when first asked. */
#include "begin.h"
#include "guard.h"

#include <dwarf.h>
#include <fcntl.h>
#include <unistd.h>

enum { MAX_DIES = 20 << 20, MAX_DEPTH = 64 };

struct job {
	struct modules *ms;
	struct module *m;
	uint64_t pc;
	struct source_line line;
	bool found;
};

/* dwz keeps what several files share in a file of its own. */
static void open_alt(void *ctx)
{
	struct priv *p = priv_of(((struct job *)ctx)->m);
	const char *name;
	const void *id;
	char path[LIMIT_PATH];
	if (dwelf_dwarf_gnu_debugaltlink(p->dwarf, &name, &id) <= 0)
		return;
	const char *base = strstr(name, ".dwz/");
	if (name[0] == '/')
		snprintf(path, sizeof path, "%s", name);
	else
		snprintf(path, sizeof path, "/usr/lib/debug/%s", base ? base : name);
	p->alt_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static void set_alt(void *ctx)
{
	struct priv *p = priv_of(((struct job *)ctx)->m);
	dwarf_setalt(p->dwarf, p->alt);
}

/* The file's own DWARF, or its debug file's; each step is taken once. */
static enum begun open_dwarf(struct modules *ms, struct module *m)
{
	struct priv *p = priv_of(m);
	enum begun b;
	if (!p->own_begun && p->elf && (b = begin_dwarf(p, m->have_file ? p->fd : -1, &p->dwarf)) != BEGUN)
		return b;
	p->own_begun = true;
	if (!p->dwarf)
		modules_open_debug(ms, m);
	if (!p->dwarf && !p->debug_begun && p->debug_elf && (b = begin_dwarf(p, p->debug_fd, &p->dwarf)) != BEGUN)
		return b;
	p->debug_begun = true;
	struct job j = { .ms = ms, .m = m };
	if (p->dwarf && p->alt_fd < 0)
		modules_guarded(ms, m, open_alt, &j);
	if (p->dwarf && p->alt_fd >= 0 && (b = begin_dwarf(p, p->alt_fd, &p->alt)) != BEGUN)
		return b;
	if (p->alt)
		modules_guarded(ms, m, set_alt, &j);
	return BEGUN;
}

/* Of a program built with -gsplit-dwarf this file has little more than where the rest is. */
static void find_split(void *ctx)
{
	struct job *j = ctx;
	Dwarf_CU *cu = NULL;
	uint8_t kind;
	j->found = !dwarf_get_units(priv_of(j->m)->dwarf, NULL, &cu, NULL, &kind, NULL, NULL) && kind == DW_UT_skeleton;
}

static void say_split(struct modules *ms, struct module *m)
{
	struct job j = { .ms = ms, .m = m };
	if (modules_guarded(ms, m, find_split, &j) && j.found)
		findings_add(&ms->target->picture.findings, "split-dwarf", m->start, "%s: its types and variables are told in .dwo files, which are not read", m->name);
}

Dwarf *modules_dwarf(struct modules *ms, struct module *m)
{
	struct priv *p = priv_of(m);
	if (p->dwarf_tried)
		return p->dwarf;
	modules_read_symbols(ms, m);
	enum begun b = open_dwarf(ms, m);
	/* To be asked again: who finds no name now has been interrupted. */
	if (b == BEGUN_LATER)
		return NULL;
	p->dwarf_tried = true;
	if (b == BEGUN_CRASHED)
		guard_give_up(ms, m);
	m->have_dwarf = p->dwarf != NULL;
	if (m->have_dwarf)
		say_split(ms, m);
	return p->dwarf;
}

void modules_read_names(struct modules *ms, struct module *m)
{
	modules_read_symbols(ms, m);
	modules_dwarf(ms, m);
}

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	return slash ? slash + 1 : path;
}

/* The constant that a location begins with: a link-time address, or where in the thread's block a variable lies. Clang names an
 * address by its index (DWARF 5, 2.5.1.1: DW_OP_addrx). */
static bool location_constant(Dwarf_Attribute *location, const Dwarf_Op *op, bool of_thread, uint64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Addr address;
	*ret = op->number;
	if (of_thread)
		return op->atom == DW_OP_const4u || op->atom == DW_OP_const8u;
	if (op->atom != DW_OP_addrx)
		return op->atom == DW_OP_addr;
	if (dwarf_getlocation_attr(location, op, &attr) || dwarf_formaddr(&attr, &address))
		return false;
	*ret = address;
	return true;
}

static void add_variable(struct module *m, Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;
	int line = 0;
	/* Declared in a class or header: the location's entry refers to it by DW_AT_specification. */
	uint64_t address;
	if (!dwarf_attr(die, DW_AT_location, &attr) || dwarf_getlocation(&attr, &ops, &n))
		return;
	bool of_thread = n == 2 && (ops[1].atom == DW_OP_form_tls_address || ops[1].atom == DW_OP_GNU_push_tls_address);
	if ((!of_thread && n != 1) || !location_constant(&attr, ops, of_thread, &address))
		return;
	const char *file = NULL;
	Dwarf_Attribute where;
	Dwarf_Word number;
	Dwarf_Files *files;
	Dwarf_Die cu;
	if (dwarf_decl_line(die, &line))
		return;
	file = dwarf_decl_file(die);
	if (!file && dwarf_attr_integrate(die, DW_AT_decl_file, &where) && !dwarf_formudata(&where, &number) && dwarf_diecu(die, &cu, NULL, NULL) &&
	    !dwarf_getsrcfiles(&cu, &files, NULL))
		file = dwarf_filesrc(files, number, NULL, NULL);
	struct data_line *slot = of_thread ? vec_push(&priv_of(m)->thread_lines) : vec_push(&priv_of(m)->lines);
	if (slot)
		*slot = (struct data_line){ of_thread ? address : address + m->bias, base_name(file), line, dwarf_dieoffset(die) };
}

/* Namespaces, classes and functions hold variables too. */
void modules_each_die(Dwarf_Die *unit, size_t *budget, void (*f)(void *ctx, Dwarf_Die *), void *ctx)
{
	Dwarf_Die stack[MAX_DEPTH];
	int depth = 0;
	if (dwarf_child(unit, &stack[0]))
		return;
	while (depth >= 0 && *budget && !interrupted) {
		Dwarf_Die *die = &stack[depth], child;
		--*budget;
		modules_check_time();
		f(ctx, die);
		if (depth + 1 < MAX_DEPTH && !dwarf_child(die, &child)) {
			stack[++depth] = child;
			continue;
		}
		while (depth >= 0 && dwarf_siblingof(&stack[depth], &stack[depth]))
			depth--;
	}
}

static void on_variable(void *ctx, Dwarf_Die *die)
{
	if (dwarf_tag(die) == DW_TAG_variable)
		add_variable(ctx, die);
}

static int compare_lines(const void *a, const void *b)
{
	const struct data_line *x = a, *y = b;
	return x->address < y->address ? -1 : x->address > y->address;
}

static void add_lines(void *ctx)
{
	struct job *j = ctx;
	Dwarf *dw = modules_dwarf(j->ms, j->m);
	Dwarf_CU *cu = NULL;
	Dwarf_Die unit;
	size_t budget = MAX_DIES;
	while (dw && budget && !interrupted && !dwarf_get_units(dw, cu, &cu, NULL, NULL, &unit, NULL))
		modules_each_die(&unit, &budget, on_variable, j->m);
}

static void read_lines(struct modules *ms, struct module *m)
{
	struct priv *p = priv_of(m);
	struct job j = { .ms = ms, .m = m };
	p->lines_read = true;
	modules_guarded(ms, m, add_lines, &j);
	/* Half of them would pass for all when the next command asks. */
	if (interrupted && !p->broken) {
		p->lines.n = p->thread_lines.n = 0;
		p->lines_read = false;
	}
	if (p->lines.n)
		qsort(p->lines.at, p->lines.n, sizeof *p->lines.at, compare_lines);
}

size_t modules_variables(struct modules *ms, struct module *m, const struct data_line **ret)
{
	struct priv *p = priv_of(m);
	if (!p->lines_read)
		read_lines(ms, m);
	*ret = p->lines.at;
	return p->lines.n;
}

size_t modules_thread_variables(struct modules *ms, struct module *m, const struct data_line **ret)
{
	const struct data_line *lines;
	modules_variables(ms, m, &lines);
	*ret = priv_of(m)->thread_lines.at;
	return priv_of(m)->thread_lines.n;
}

const struct data_line *modules_variable_at(struct modules *ms, struct module *m, uint64_t address)
{
	struct priv *p = priv_of(m);
	const struct data_line *lines;
	size_t lo = 0, hi = modules_variables(ms, m, &lines);
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (p->lines.at[mid].address < address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < p->lines.n && p->lines.at[lo].address == address ? &p->lines.at[lo] : NULL;
}

bool modules_data_line(struct modules *ms, uint64_t address, struct source_line *ret)
{
	struct module *m = modules_at(ms, address);
	const struct data_line *l = m ? modules_variable_at(ms, m, address) : NULL;
	if (!l)
		return false;
	*ret = (struct source_line){ l->file, l->line };
	return true;
}

static void find_line(void *ctx)
{
	struct job *j = ctx;
	Dwarf_Die cu;
	if (!modules_unit_at(j->ms, j->m, j->pc, &cu))
		return;
	Dwarf_Line *line = dwarf_getsrc_die(&cu, j->pc - j->m->bias);
	int number;
	if (!line || dwarf_lineno(line, &number))
		return;
	j->line = (struct source_line){ base_name(dwarf_linesrc(line, NULL, NULL)), number };
	j->found = j->line.file;
}

bool modules_code_line(struct modules *ms, uint64_t pc, struct source_line *ret)
{
	struct job j = { .ms = ms, .m = modules_at(ms, pc), .pc = pc };
	if (!j.m || !modules_guarded(ms, j.m, find_line, &j) || !j.found)
		return false;
	*ret = j.line;
	return true;
}

struct wanted { const char *name; Dwarf_Die die; bool found; };

static void on_struct(void *ctx, Dwarf_Die *die)
{
	struct wanted *w = ctx;
	int tag = dwarf_tag(die);
	const char *name = tag == DW_TAG_structure_type || tag == DW_TAG_class_type ? dwarf_diename(die) : NULL;
	Dwarf_Attribute attr;
	if (w->found || !name || strcmp(name, w->name) || dwarf_attr(die, DW_AT_declaration, &attr))
		return;
	w->die = *die;
	w->found = true;
}

/* In one unit: a walk over all of a C library's costs a tenth of a second and tens of MiB. */
static bool find_struct(struct modules *ms, struct module *m, uint64_t near, const char *name, Dwarf_Die *ret)
{
	struct wanted w = { .name = name };
	Dwarf_Die unit;
	size_t budget = MAX_DIES;
	if (modules_unit_at(ms, m, near, &unit))
		modules_each_die(&unit, &budget, on_struct, &w);
	*ret = w.die;
	return w.found;
}

struct wanted_member {
	struct job of; /* pc: of the code whose unit knows it */
	const char *type, *member;
	Dwarf_Word offset;
	bool found;
};

static void find_member(void *ctx)
{
	struct wanted_member *w = ctx;
	Dwarf_Die type, child;
	size_t budget = MAX_DIES;
	if (!find_struct(w->of.ms, w->of.m, w->of.pc, w->type, &type) || dwarf_child(&type, &child))
		return;
	do {
		const char *name = dwarf_tag(&child) == DW_TAG_member ? dwarf_diename(&child) : NULL;
		Dwarf_Attribute attr;
		if (!name || strcmp(name, w->member))
			continue;
		w->found = dwarf_attr(&child, DW_AT_data_member_location, &attr) && !dwarf_formudata(&attr, &w->offset);
		return;
	} while (--budget && !dwarf_siblingof(&child, &child));
}

bool modules_member(struct modules *ms, struct module *m, uint64_t near, const char *struct_name, const char *member, uint64_t *ret_offset)
{
	struct wanted_member w = { .of = { .ms = ms, .m = m, .pc = near }, .type = struct_name, .member = member };
	if (!modules_guarded(ms, m, find_member, &w) || !w.found)
		return false;
	*ret_offset = w.offset;
	return true;
}

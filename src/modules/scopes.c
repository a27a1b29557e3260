/* Which functions run at a pc: the one that the code belongs to, and those inlined there. Trees of entries are searched here
 * and not by libdw, whose search recurses as deep as a file likes. */
#include "guard.h"

#include <dwarf.h>

enum { MAX_STEPS = 1 << 20, MAX_UNIT_RANGES = 4 << 20 };

static int compare_units(const void *a, const void *b)
{
	const struct unit_range *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

/* What .debug_aranges would say, for compilers that leave it out. */
static void read_units(struct priv *p)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die unit;
	while (!interrupted && !dwarf_get_units(p->dwarf, cu, &cu, NULL, NULL, &unit, NULL)) {
		Dwarf_Addr base, start, end;
		ptrdiff_t at = 0;
		while ((at = dwarf_ranges(&unit, at, &base, &start, &end)) > 0 && p->units.n < MAX_UNIT_RANGES) {
			struct unit_range *r = vec_push(&p->units);
			if (r)
				*r = (struct unit_range){ start, end, dwarf_dieoffset(&unit) };
		}
	}
	/* Some of them would pass for all when the next command asks. */
	p->units_read = !interrupted;
	if (interrupted)
		p->units.n = 0;
	if (p->units.n)
		qsort(p->units.at, p->units.n, sizeof *p->units.at, compare_units);
}

static bool unit_at(struct priv *p, uint64_t pc, Dwarf_Die *ret)
{
	if (dwarf_addrdie(p->dwarf, pc, ret))
		return true;
	if (!p->units_read)
		read_units(p);
	size_t lo = 0, hi = p->units.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (p->units.at[mid].start <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && pc < p->units.at[lo - 1].end && dwarf_offdie(p->dwarf, p->units.at[lo - 1].die, ret);
}

bool modules_unit_at(struct modules *ms, struct module *m, uint64_t pc, Dwarf_Die *ret)
{
	return modules_dwarf(ms, m) && unit_at(priv_of(m), pc - m->bias, ret);
}

static bool is_function(int tag)
{
	return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine;
}

/* Entries that may hold a function but have no code of their own. */
static bool only_holds(int tag, bool deep)
{
	if (tag == DW_TAG_namespace || tag == DW_TAG_module)
		return true;
	/* Rust defines functions inside of structures; nested functions lie in others. */
	return deep && (tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type ||
			tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block);
}

/* Depth first; entries with code are entered when pc lies in it, and then nothing beside them is looked at. */
static void search(Dwarf_Die *unit, uint64_t pc, bool deep, struct scope_chain *ret)
{
	Dwarf_Die stack[MAX_SCOPES], child;
	int depth = 0;
	ret->n = 0;
	if (dwarf_child(unit, &stack[0]))
		return;
	for (size_t steps = 0; depth >= 0 && steps < MAX_STEPS && !interrupted; steps++) {
		modules_check_time();
		int tag = dwarf_tag(&stack[depth]);
		bool code = (is_function(tag) || tag == DW_TAG_lexical_block) && dwarf_haspc(&stack[depth], pc) > 0;
		if (code) {
			ret->at[ret->n++] = stack[depth];
			/* What lies around a function says nothing about it. */
			stack[0] = stack[depth];
			depth = 0;
			if (ret->n == MAX_SCOPES || dwarf_child(&stack[0], &stack[0]))
				return;
			continue;
		}
		if (only_holds(tag, deep && !ret->n) && depth + 1 < MAX_SCOPES && !dwarf_child(&stack[depth], &child)) {
			stack[++depth] = child;
			continue;
		}
		while (depth >= 0 && dwarf_siblingof(&stack[depth], &stack[depth]))
			depth--;
	}
}

bool modules_scopes(struct modules *ms, struct module *m, uint64_t pc, struct scope_chain *ret)
{
	Dwarf_Die unit;
	ret->n = 0;
	if (!modules_unit_at(ms, m, pc, &unit))
		return false;
	search(&unit, pc - m->bias, false, ret);
	if (!ret->n)
		search(&unit, pc - m->bias, true, ret);
	return ret->n;
}

static const char *name_of(struct modules *ms, Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *name = NULL;
	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr))
		name = dwarf_formstring(&attr);
	if (!name && dwarf_attr_integrate(die, DW_AT_name, &attr))
		name = dwarf_formstring(&attr);
	return name ? modules_function_name(ms, name) : NULL;
}

/* Where the function that was inlined was called from. */
static struct source_line call_line(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	Dwarf_Word file, line;
	Dwarf_Files *files;
	Dwarf_Die unit;
	struct source_line ret = { 0 };
	if (!dwarf_attr(die, DW_AT_call_line, &attr) || dwarf_formudata(&attr, &line) || !dwarf_attr(die, DW_AT_call_file, &attr) ||
	    dwarf_formudata(&attr, &file) || !dwarf_diecu(die, &unit, NULL, NULL) || dwarf_getsrcfiles(&unit, &files, NULL))
		return ret;
	const char *path = dwarf_filesrc(files, file, NULL, NULL), *slash = path ? strrchr(path, '/') : NULL;
	return (struct source_line){ slash ? slash + 1 : path, (int)line };
}

struct job {
	struct modules *ms;
	struct module *m;
	uint64_t pc;
	struct source_line line;
	struct running *ret;
	size_t n;
};

static void find_running(void *ctx)
{
	struct job *j = ctx;
	struct modules *ms = j->ms;
	struct running *ret = j->ret;
	struct scope_chain c = { 0 };
	struct source_line line = j->line;
	size_t n = 0;
	if (!modules_scopes(ms, j->m, j->pc, &c))
		return;
	for (size_t i = c.n; i-- > 0 && n < MAX_INLINED;) {
		int tag = dwarf_tag(&c.at[i]);
		if (!is_function(tag))
			continue;
		ret[n++] = (struct running){ name_of(ms, &c.at[i]), line, tag == DW_TAG_inlined_subroutine };
		if (tag == DW_TAG_subprogram)
			break;
		line = call_line(&c.at[i]);
	}
	j->n = n;
}

size_t modules_running(struct modules *ms, uint64_t pc, struct running ret[MAX_INLINED])
{
	struct job j = { .ms = ms, .m = modules_at(ms, pc), .pc = pc, .ret = ret };
	modules_code_line(ms, pc, &j.line);
	ret[0] = (struct running){ .line = j.line };
	if (j.m && modules_guarded(ms, j.m, find_running, &j) && j.n)
		return j.n;
	ret[0] = (struct running){ .line = j.line };
	return 1;
}

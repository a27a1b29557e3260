/* The namespaces and classes around a type, unit by unit, read when a name is first wanted. */
#include "guard.h"
#include "values.h"

enum { SCOPE_DIES = 1 << 20, SCOPE_DEPTH = 64 };

struct scope_walk {
	struct modules *ms;
	Dwarf_Die at[SCOPE_DEPTH];		/* from the unit's child inwards */
	const char *around[SCOPE_DEPTH];	/* of what stands at that depth: "a::b::"; NULL: not asked for yet */
	int depth;
};

static bool is_scope(int tag)
{
	return tag == DW_TAG_namespace || tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
}

static bool is_named_type(int tag)
{
	return is_scope(tag) ? tag != DW_TAG_namespace : tag == DW_TAG_enumeration_type || tag == DW_TAG_typedef;
}

static const char *around(struct scope_walk *w)
{
	int from = w->depth;
	while (from && !w->around[from])
		from--;
	for (; from < w->depth; from++) {
		Dwarf_Die *die = &w->at[from];
		const char *name = dwarf_diename(die);
		char *text = NULL;
		if (!name && dwarf_tag(die) == DW_TAG_namespace)
			name = "(anonymous namespace)";
		/* What has no name is passed over: its members are those of what is around it. */
		if (name && asprintf(&text, "%s%s::", w->around[from], name) < 0)
			text = NULL;
		w->around[from + 1] = name ? modules_keep(w->ms, text) : w->around[from];
		if (!w->around[from + 1])
			return NULL;
	}
	return w->around[w->depth];
}

static void read_unit(struct modules *ms, Dwarf_Die *unit)
{
	struct scope_walk w = { .ms = ms, .around = { "" } };
	Dwarf_Die child;
	size_t budget = SCOPE_DIES;
	if (dwarf_child(unit, &w.at[0]))
		return;
	while (w.depth >= 0 && budget-- && !interrupted) {
		modules_check_time();
		Dwarf_Die *die = &w.at[w.depth];
		int tag = dwarf_tag(die);
		const char *scope = w.depth && is_named_type(tag) ? around(&w) : NULL;
		if (scope && !map64_put(&ms->scopes, (uintptr_t)die->addr, (uintptr_t)scope))
			return;
		if (is_scope(tag) && w.depth + 1 < SCOPE_DEPTH && !dwarf_child(die, &child)) {
			w.at[++w.depth] = child;
			w.around[w.depth] = NULL;
			continue;
		}
		while (w.depth >= 0 && dwarf_siblingof(&w.at[w.depth], &w.at[w.depth]))
			w.depth--;
	}
	if (!interrupted)
		map64_put(&ms->scoped_units, (uintptr_t)unit->addr, 1);
}

const char *type_scope(struct modules *ms, Dwarf_Die *type)
{
	Dwarf_Die unit, inside = *type;
	Dwarf_Attribute attr;
	uint64_t v;
	/* What is defined elsewhere than it was declared stands where it was declared: a class within another, one in a unit of its own. */
	if (dwarf_attr(type, DW_AT_specification, &attr) && !dwarf_formref_die(&attr, &inside))
		inside = *type;
	if (!dwarf_diecu(&inside, &unit, NULL, NULL))
		return "";
	if (!map64_find(&ms->scoped_units, (uintptr_t)unit.addr, &v))
		read_unit(ms, &unit);
	return map64_find(&ms->scopes, (uintptr_t)inside.addr, &v) ? (const char *)(uintptr_t)v : "";
}

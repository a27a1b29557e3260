/* The commands. A new one is a file beside this and a line here. */
#include "cmd.h"

static const struct command *const table[] = {
	&command_report,
	&command_shell,
	&command_verify,
	&command_blocks,
	&command_objects,
	&command_x,
	&command_threads,
	&command_stack,
	&command_frame,
	&command_check,
	&command_diff,
	&command_snap,
	&command_watch,
	&command_exercise,
	&command_run,
	&command_resources,
	&command_locals,
	&command_print,
	&command_containers,
	&command_type,
	&command_types,
	&command_istype,
	&command_system,
	&command_buddyinfo,
	&command_arenas,
	&command_arena,
	&command_heaps,
	&command_bins,
	&command_tcache,
	&command_chunks,
	&command_disas,
	&command_trim,
	&command_map,
	&command_frag,
	&command_rss,
	&command_maps,
	&command_modules,
	&command_let,
	&command_sets,
	&command_show,
	&command_find,
	&command_who,
	&command_refs,
	&command_path,
	&command_paths,
	&command_why,
	&command_cycle,
	&command_retained,
	&command_tree,
	&command_refresh,
	&command_sites,
	&command_help,
	&command_time,
};

static const char *const groups[N_GROUPS] = {
	[GROUP_REPORT] = "the whole",   [GROUP_BLOCKS] = "blocks",   [GROUP_GRAPH] = "who points where", [GROUP_STACKS] = "stacks",
	[GROUP_CODE] = "code",		[GROUP_MALLOC] = "malloc",   [GROUP_MACHINE] = "the machine",	 [GROUP_PROMPT] = "the prompt",
};

const char *command_group_name(enum command_group g)
{
	return groups[g];
}

const struct command *command_get(size_t i)
{
	return i < sizeof table / sizeof table[0] ? table[i] : NULL;
}

const struct command *command_by_name(const char *name)
{
	for (size_t i = 0; command_get(i); i++)
		if (!strcmp(command_get(i)->name, name))
			return command_get(i);
	return NULL;
}

/* Edits between two words, capped: insertions, deletions, changes. */
static int distance(const char *a, const char *b)
{
	enum { LONGEST = 24 };
	int row[LONGEST + 1] = { 0 }, n = (int)strlen(b);
	if (n > LONGEST || strlen(a) > LONGEST)
		return LONGEST;
	for (int k = 0; k <= n; k++)
		row[k] = k;
	for (int i = 1; a[i - 1]; i++) {
		int corner = row[0];
		row[0] = i;
		for (int k = 1; k <= n; k++) {
			int changed = corner + (a[i - 1] != b[k - 1]);
			corner = row[k];
			row[k] = (row[k] < row[k - 1] ? row[k] : row[k - 1]) + 1;
			if (changed < row[k])
				row[k] = changed;
		}
	}
	return row[n];
}

/* A slip of the fingers, no other word. */
bool cmd_resembles(const char *typed, const char *meant)
{
	return distance(typed, meant) <= (strlen(meant) < 5 ? 1 : 2);
}

/* What people type who come from other tools, or who read the headings of the report. */
static const char *meant_by(const char *typed)
{
	static const struct { const char *typed, *meant; } words[] = {
		{ "leaks", "report lists the groups of leaks, leaked each block" }, { "leak", "report lists the groups of leaks, leaked each block" },
		{ "holders", "report lists the holders, tree what each keeps" }, { "holder", "tree H1" },
		{ "reach", "types ends with the block that would tell most" }, { "unknown", "types lists what nothing names; blocks U1" },
		{ "ptype", "type" }, { "pahole", "type" }, { "whatis", "type" },
		{ "bt", "stack" }, { "backtrace", "stack" }, { "where", "stack" }, { "info", "help, or show ADDR" },
		{ "top", "blocks used sort retained top 20, or tree" }, { "dominators", "tree" }, { "stats", "arenas, frag, rss" },
		{ "dump", "x/8gx ADDR; snap keeps a look" }, { "malloc", "help malloc" }, { "registers", "frame" }, { "q!", "quit" },
	};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (!strcmp(words[i].typed, typed))
			return words[i].meant;
	return NULL;
}

struct err *command_resolve(const char *typed, const struct command **ret)
{
	struct strbuf near = { 0 };
	size_t n = 0;
	if ((*ret = command_by_name(typed)))
		return NULL;
	for (size_t i = 0; command_get(i); i++)
		if (!strncmp(command_get(i)->name, typed, strlen(typed))) {
			*ret = command_get(i);
			strbuf_printf(&near, n++ ? ", %s" : "%s", command_get(i)->name);
		}
	struct err *e = NULL;
	if (n > 1) {
		e = err_hint(err_new(ERR_USAGE, "'%s' may be several commands", typed), "%s", near.text ? near.text : "");
	} else if (!n) {
		for (size_t i = 0; command_get(i); i++)
			if (cmd_resembles(typed, command_get(i)->name))
				strbuf_printf(&near, n++ ? ", %s" : "%s", command_get(i)->name);
		e = err_new(ERR_USAGE, "no command is called '%s'", typed);
		e = meant_by(typed) ? err_hint(e, "%s", meant_by(typed)) : n ? err_hint(e, "did you mean %s?", near.text ? near.text : "") : err_hint(e, "help lists them");
	}
	strbuf_free(&near);
	return e;
}

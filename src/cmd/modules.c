/* flotsam modules: the ELF files of the target, and which names can be had from each. */
#include "cmd.h"

static const struct column columns[] = {
	{ "start", "START", "address of its first segment", CELL_ADDRESS, 14 },
	{ "bytes", "BYTES", "to the end of its last segment", CELL_BYTES, 9 },
	{ "symbols", "SYMBOLS", "full (.symtab), exported (.dynsym) or none", CELL_TEXT, 8 },
	{ "dwarf", "DWARF", "types, lines and locals are known", CELL_BOOL, 5 },
	{ "name", "NAME", "of the file", CELL_TEXT, 22 },
	{ "build_id", "BUILD-ID", "its first bytes; whole in JSON", CELL_TEXT, 12 },
	{ "path", "PATH", "as mapped", CELL_TEXT, 20 },
	{ "end", "END", "address", CELL_ADDRESS, 14 },
	{ "file", "FILE", "it was opened, and is the one mapped", CELL_BOOL, 4 },
	{ "why", "WHY", "why names are missing; null when they are not", CELL_TEXT, 20 },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0], TEXT_COLUMNS = 6, PROMPT_COLUMNS = 5 /* there is the item number */, SHORT_ID = 6, COLUMNS = 80 };

static const char *why(const struct module *m)
{
	if (!m->have_file)
		return m->role == MODULE_VDSO ? "it is the kernel's" : m->no_file_why ? m->no_file_why : "no file";
	if (!m->have_symtab)
		return "it is stripped, and no separate debug file of its build-id was found";
	return m->have_dwarf ? NULL : "it was built without -g, or its debug file is not here";
}

static void one(struct listing *l, const struct module *m, bool text)
{
	char id[2 * sizeof m->build_id + 1] = "";
	for (unsigned i = 0; i < m->build_id_n && (!text || i < SHORT_ID); i++)
		snprintf(id + 2 * i, 3, "%02x", m->build_id[i]);
	struct cell cells[N_COLUMNS] = {
		{ .number = m->start },
		{ .number = m->end - m->start },
		{ .text = m->have_symtab ? "full" : m->have_file ? "exported" : "none" },
		{ .number = m->have_dwarf },
		{ .text = m->name },
		{ .text = *id ? id : NULL },
		{ .text = m->path },
		{ .number = m->end },
		{ .number = m->have_file },
		{ .text = why(m) },
	};
	listing_record(l, m->start, cells);
}

/* In text the reasons stand below, each with its modules. */
static void reasons(const struct modules *ms, struct out *o)
{
	for (size_t i = 0; i < modules_count(ms); i++) {
		const char *reason = why(modules_get(ms, i));
		bool first = reason;
		for (size_t k = 0; k < i && first; k++)
			first = !why(modules_get(ms, k)) || strcmp(why(modules_get(ms, k)), reason) != 0;
		if (!first)
			continue;
		struct strbuf t = { 0 };
		struct paragraph p;
		for (size_t k = i; k < modules_count(ms); k++)
			if (why(modules_get(ms, k)) && !strcmp(why(modules_get(ms, k)), reason)) {
				strbuf_puts(&t, t.n ? ", " : "");
				text_add_foreign(&t, modules_get(ms, k)->name, o);
			}
		strbuf_printf(&t, ": %s", reason);
		paragraph_begin(&p, o, "NOTE  ", COLUMNS);
		paragraph_add(&p, t.text ? t.text : "");
		paragraph_end(&p);
		strbuf_free(&t);
	}
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct listing l;
	bool text = !strcmp(a->format, "text");
	for (size_t i = 0; i < modules_count(s->modules); i++) {
		modules_read_names(s->modules, modules_get(s->modules, i));
		if (interrupted)
			return err_new(ERR_INTERRUPTED, "interrupted");
	}
	listing_begin(&l, a, o, "modules", columns, !text ? N_COLUMNS : a->prompt ? PROMPT_COLUMNS : TEXT_COLUMNS);
	for (size_t i = 0; i < modules_count(s->modules); i++)
		one(&l, modules_get(s->modules, i), text);
	listing_end(&l);
	if (text)
		reasons(s->modules, o);
	*ret_status = EXIT_REPORT;
	return NULL;
}

const struct command command_modules = {
	.name = "modules",
	.summary = "program and libraries: ranges, build-ids, symbols",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam modules 4242                 and why names are missing\n"
		"  flotsam modules 4242 --format json | jq -r '.[] | .build_id'\n",
	.group = GROUP_MACHINE,
	.on_census = true,
	.run = run,
};

/* types: what the heap is made of, type by type. */
#include "cmd.h"

#include <fnmatch.h>
#include <inttypes.h>

static const struct column columns[] = {
	{ "blocks", "BLOCKS", "used blocks of this type", CELL_COUNT, 9 },
	{ "bytes", "BYTES", "their usable bytes", CELL_BYTES, 12 },
	{ "tier", "TIER", "A certain to D content; null: unknown", CELL_TEXT, 4 },
	{ "sample", "SAMPLE", "address of the first block", CELL_ADDRESS, 14 },
	{ "type", "TYPE", "of the program's source, else how the block is known", CELL_TEXT, 30 },
	{ "by", "BY", "the rule that named the first", CELL_TEXT, 12 },
	{ "doubtful", "DOUBTFUL", "blocks that another type fits as well", CELL_COUNT, 10 },
	{ "size", "SIZE", "of one object; null: unknown", CELL_COUNT, 8 },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0], TEXT_COLUMNS = 5 };

const char *cmd_tier_name(enum type_tier tier)
{
	static const char *const names[N_TIERS] = { NULL, "A", "B", "C", "D" };
	return names[tier];
}

struct err *cmd_need_typing(struct session *s, int *ret_status)
{
	TRY(cmd_need_walk(s, ret_status));
	TRY(session_types(s));
	*ret_status = EXIT_REPORT;
	return types_infer(s->types, s->options.progress, s->options.progress_ctx);
}

static uint64_t named(const struct typed_rows *r, bool bytes)
{
	const struct class_sum *none = &r->tiers[TIER_NONE];
	return bytes ? r->used.bytes - none->bytes : r->used.blocks - none->blocks;
}

static bool has_no_dwarf(const struct session *s, size_t i, const struct module **ret)
{
	struct module *m = modules_get(s->modules, i);
	if (m->role != MODULE_PROGRAM && m->role != MODULE_OTHER && m->role != MODULE_LIBSTDCXX)
		return false;
	modules_read_names(s->modules, m);
	*ret = m;
	return !m->have_dwarf;
}

void without_dwarf_text(const struct session *s, struct strbuf *t)
{
	enum { SHOWN = 4 };
	const struct module *m;
	size_t n = 0;
	bool program = false;
	for (size_t i = 0; i < modules_count(s->modules); i++)
		if (has_no_dwarf(s, i, &m)) {
			program |= m->role == MODULE_PROGRAM;
			if (n++ < SHOWN)
				strbuf_printf(t, n == 1 ? " Without DWARF: %s" : ", %s", m->name);
		}
	if (n > SHOWN)
		strbuf_printf(t, " and %zu more", n - SHOWN);
	strbuf_puts(t, n ? "; what they alone know has no name." : "");
	if (program)
		strbuf_puts(t, " The debug symbols of the program would tell most: --debuginfod fetches them, --debug-dir says where they are.");
	if (!modules_by_role(s->modules, MODULE_PROGRAM))
		strbuf_puts(t, " The file of the program was not found, whose DWARF would tell most: put it beside the core, or below --sysroot.");
}

void without_dwarf_json(const struct session *s, struct json *j)
{
	const struct module *m;
	out_json_array(j, "without_dwarf");
	for (size_t i = 0; i < modules_count(s->modules); i++)
		if (has_no_dwarf(s, i, &m))
			out_json_string(j, NULL, m->path);
	out_json_end_array(j);
}

/* Coverage first: what follows is worth as much as that. */
void coverage_text(const struct typed_rows *r, struct strbuf *t)
{
	strbuf_printf(t, "%s%% of %s blocks and %s%% of %s are named (blocks by tier:", text_percent(named(r, false), r->used.blocks).text,
		      text_count(r->used.blocks).text, text_percent(named(r, true), r->used.bytes).text, text_size(r->used.bytes).text);
	for (int i = TIER_A; i < N_TIERS; i++)
		strbuf_printf(t, " %s %s%%", cmd_tier_name((enum type_tier)i), text_percent(r->tiers[i].blocks, r->used.blocks).text);
	strbuf_puts(t, ").");
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void head_text(struct session *s, const struct typing *g, const struct typed_rows *r, struct out *o)
{
	struct paragraph p;
	struct strbuf t = { 0 };
	coverage_text(r, &t);
	if (g->table->modules)
		strbuf_printf(&t, " %s types of %zu module%s; from %s global%s, %s thread variable%s, %s local%s.", text_count(g->table->types.n).text,
			      g->table->modules, plural(g->table->modules), text_count(g->roots.globals).text, plural(g->roots.globals), text_count(g->roots.tls).text,
			      plural(g->roots.tls), text_count(g->roots.locals).text, plural(g->roots.locals));
	without_dwarf_text(s, &t);
	if (g->table->cut || g->roots.cut)
		strbuf_puts(&t, " There is more DWARF than is read.");
	paragraph_begin(&p, o, "", 80);
	paragraph_add(&p, t.text ? t.text : "");
	paragraph_end(&p);
	out_puts(o, "\n");
	strbuf_free(&t);
}

void coverage_json(const struct typed_rows *r, struct json *j)
{
	out_json_object(j, "coverage");
	out_json_u64(j, "blocks", r->used.blocks);
	out_json_u64(j, "bytes", r->used.bytes);
	out_json_u64(j, "named_blocks", named(r, false));
	out_json_u64(j, "named_bytes", named(r, true));
	out_json_array(j, "tiers");
	for (int i = TIER_A; i < N_TIERS; i++) {
		out_json_object(j, NULL);
		out_json_string(j, "tier", cmd_tier_name((enum type_tier)i));
		out_json_u64(j, "blocks", r->tiers[i].blocks);
		out_json_u64(j, "bytes", r->tiers[i].bytes);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	out_json_end_object(j);
}

static void head_json(struct session *s, const struct typing *g, const struct typed_rows *r, struct json *j)
{
	coverage_json(r, j);
	out_json_object(j, "dwarf");
	out_json_u64(j, "modules", g->table->modules);
	out_json_u64(j, "types", g->table->types.n);
	out_json_u64(j, "globals", g->roots.globals);
	out_json_u64(j, "thread_variables", g->roots.tls);
	out_json_u64(j, "locals", g->roots.locals);
	out_json_u64(j, "frames", g->roots.frames);
	out_json_u64(j, "frames_without_dwarf", g->roots.frames_dark);
	without_dwarf_json(s, j);
	out_json_bool(j, "complete", !g->table->cut && !g->roots.cut);
	out_json_end_object(j);
	if (g->casts) {
		out_json_object(j, "casts");
		out_json_u64(j, "modules", g->casts->modules);
		out_json_u64(j, "recalled", g->casts->recalled);
		out_json_u64(j, "functions", g->casts->functions);
		out_json_u64(j, "found", g->casts->list.n);
		out_json_bool(j, "complete", !g->casts->cut);
		out_json_end_object(j);
	} else {
		out_json_null(j, "casts");
	}
	out_json_u64(j, "pointers", g->edges);
	out_json_u64(j, "misfits", g->misfits);
	out_json_object(j, "timings");
	out_json_double(j, "dwarf", g->seconds_dwarf, 3);
	out_json_double(j, "casts", g->casts ? g->casts->seconds : 0, 3);
	out_json_double(j, "types", g->seconds, 3);
	out_json_end_object(j);
}

/* The last column may be as long as its line has room. */
static void cut(char *name, int room)
{
	if (room >= 8 && strlen(name) > (size_t)room)
		memcpy(name + room - 2, "..", 3);
}

static void record(struct listing *l, struct session *s, struct typed_row *r)
{
	if (cmd_is_text(l->a))
		cut(r->name, (l->sink.out->width > 80 ? l->sink.out->width : 80) - (l->numbered ? 54 : 47));
	uint64_t sample = blocks_payload(s->blocks, r->sample), size = r->type ? table_type(s->types->typing->table, r->type)->size : UINT64_MAX;
	struct cell cells[N_COLUMNS] = { { .number = r->blocks }, { .number = r->bytes },    { .text = cmd_tier_name(r->tier) }, { .number = sample },
					 { .text = r->name },	  { .text = r->by },	     { .number = r->doubtful },	      { .number = size } };
	listing_record(l, sample, cells);
}

static void rows_json(struct session *s, const struct typed_rows *r, const char *glob, struct json *j)
{
	out_json_array(j, "types");
	for (size_t i = 0; i < r->list.n; i++) {
		const struct typed_row *x = &r->list.at[i];
		if (glob && fnmatch(glob, x->name, 0))
			continue;
		out_json_object(j, NULL);
		out_json_string(j, "type", x->name);
		out_json_string(j, "tier", cmd_tier_name(x->tier));
		out_json_string(j, "by", x->by);
		out_json_u64(j, "blocks", x->blocks);
		out_json_u64(j, "bytes", x->bytes);
		out_json_u64(j, "doubtful", x->doubtful);
		if (x->type)
			out_json_u64(j, "size", table_type(s->types->typing->table, x->type)->size);
		else
			out_json_null(j, "size");
		out_json_address(j, "sample", blocks_payload(s->blocks, x->sample));
		out_json_end_object(j);
	}
	out_json_end_array(j);
}

static struct err *json(const struct arguments *a, struct session *s, const struct typed_rows *r, const char *glob, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.types/1");
	head_json(s, s->types->typing, r, &j);
	rows_json(s, r, glob, &j);
	struct err *e = unknown_json(a, s, &j);
	out_json_end_object(&j);
	out_puts(o, "\n");
	return e;
}

static void list(const struct arguments *a, struct session *s, struct typed_rows *r, const char *glob, struct out *o)
{
	struct listing l;
	bool text = cmd_is_text(a);
	if (text)
		head_text(s, s->types->typing, r, o);
	listing_begin(&l, a, o, text && glob ? "block is called so; * stands for any letters, as in types *Map*" : "types", columns, text ? TEXT_COLUMNS : N_COLUMNS);
	for (size_t i = 0; i < r->list.n && !o->error; i++)
		if (!glob || !fnmatch(glob, r->list.at[i].name, 0))
			record(&l, s, &r->list.at[i]);
	listing_end(&l);
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct typed_rows rows = { 0 };
	const char *glob = a->n_words ? a->words[0] : NULL;
	TRY(cmd_need_typing(s, ret_status));
	struct err *e = types_rows(s->types, &rows);
	if (!e && !strcmp(a->format, "json"))
		e = json(a, s, &rows, glob, o);
	else if (!e)
		list(a, s, &rows, glob, o);
	if (!e && cmd_is_text(a) && !glob)
		e = unknown_text(a, s, o);
	typed_rows_free(&rows);
	return e;
}

const struct command command_types = {
	.name = "types",
	.summary = "what the heap is made of, by type",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam types 4242                     types by bytes, and how much is named\n"
		"  types 'std::*'                         those whose name matches\n"
		"  flotsam types ./core.4242 --format json\n\n"
		"Types spread from the program's variables along its pointers, by DWARF. Tier A\n"
		"is certain, B fits as an array, C begins with the type, D is text or numbers.\n"
		"type ADDR says why a block has its type. U1 is a group of blocks that nothing\n"
		"names: blocks U1, who U1, show U1.\n",
	.group = GROUP_BLOCKS,
	.operands = "[GLOB]",
	.max_words = 1,
	.completes = COMPLETES_VALUE,
	.run = run,
};

/* objects: what a language's heap holds, by type: CPython's objects, in malloc's blocks and in the interpreter's own pools. */
#include "cmd.h"

#include <fnmatch.h>

static const struct column columns[] = {
	{ "count", "COUNT", "objects", CELL_COUNT, 12 },
	{ "bytes", "BYTES", "of the blocks that hold them", CELL_BYTES, 14 },
	{ "part_bytes", "PARTS", "of the blocks that they have beside: items of lists, keys of dicts", CELL_BYTES, 14 },
	{ "type", "TYPE", "with its module, but of builtins", CELL_TEXT, 36 },
	{ "module", "MODULE", "that the type names as its own, or null", CELL_TEXT, 20 },
	{ "pool_count", "IN POOLS", "those of them in the interpreter's pools", CELL_COUNT, 12 },
	{ "pool_bytes", "POOL BYTES", "bytes of those in pools", CELL_BYTES, 12 },
	{ "sample", "SAMPLE", "address of one's block", CELL_ADDRESS, 14 },
};
static const struct column module_columns[] = {
	{ "count", "COUNT", "objects", CELL_COUNT, 12 },
	{ "bytes", "BYTES", "of the blocks that hold them", CELL_BYTES, 14 },
	{ "part_bytes", "PARTS", "of the blocks that they have beside", CELL_BYTES, 14 },
	{ "types", "TYPES", "of which there are objects", CELL_COUNT, 8 },
	{ "module", "MODULE", "of their types, or null: unknown", CELL_TEXT, 28 },
};
enum { N_MODULE_COLUMNS = sizeof module_columns / sizeof module_columns[0] };
enum { N_COLUMNS = sizeof columns / sizeof columns[0], TEXT_COLUMNS = 4 };

/* The words "by module" at the end. */
static bool by_module(const struct arguments *a)
{
	return a->n_words >= 2 && !strcmp(a->words[a->n_words - 2], "by") && !strcmp(a->words[a->n_words - 1], "module");
}

static const char *glob(const struct arguments *a)
{
	return a->n_words % 2 ? a->words[0] : NULL;
}

static bool wanted(const struct arguments *a, const struct object_type *t)
{
	return !glob(a) || !fnmatch(glob(a), t->name, 0);
}

static uint64_t count_of(const struct object_type *t)
{
	return t->in_malloc + t->in_pools;
}

static uint64_t bytes_of(const struct object_type *t)
{
	return t->malloc_bytes + t->pool_bytes;
}

/* Of all objects, and of those that were asked for. */
struct sums { uint64_t count, bytes, parts, types; };

static struct sums sum(const struct arguments *a, const struct objects *x)
{
	struct sums s = { 0 };
	for (size_t i = 0; i < x->types.n; i++)
		if (!a || wanted(a, &x->types.at[i])) {
			s.types++;
			s.count += count_of(&x->types.at[i]);
			s.bytes += bytes_of(&x->types.at[i]);
			s.parts += x->types.at[i].part_bytes;
		}
	return s;
}

struct module_sum { const char *name; uint64_t count, bytes, parts, types; };

static int compare_names(const void *a, const void *b)
{
	const struct object_type *const *x = a, *const *y = b;
	const char *m = (*x)->module ? (*x)->module : "", *n = (*y)->module ? (*y)->module : "";
	return strcmp(m, n);
}

static int compare_sums(const void *a, const void *b)
{
	const struct module_sum *x = a, *y = b;
	uint64_t m = x->bytes + x->parts, n = y->bytes + y->parts;
	return m != n ? (m < n ? 1 : -1) : strcmp(x->name ? x->name : "", y->name ? y->name : "");
}

/* Those that were asked for, most bytes first. */
static struct err *sum_modules(const struct arguments *a, const struct objects *x, struct module_sum **ret, size_t *ret_n)
{
	AUTO_FREE const struct object_type **sorted = calloc(x->types.n + 1, sizeof *sorted);
	struct module_sum *sums = calloc(x->types.n + 1, sizeof *sums);
	size_t n = 0, k = 0;
	if (!sorted || !sums) {
		free(sums);
		return err_nomem();
	}
	for (size_t i = 0; i < x->types.n; i++)
		if (wanted(a, &x->types.at[i]))
			sorted[n++] = &x->types.at[i];
	qsort(sorted, n, sizeof *sorted, compare_names);
	for (size_t i = 0; i < n; i++) {
		k += i == 0 || compare_names(&sorted[i - 1], &sorted[i]) != 0;
		struct module_sum *m = &sums[k - 1];
		m->name = sorted[i]->module;
		m->types++;
		m->count += count_of(sorted[i]);
		m->bytes += bytes_of(sorted[i]);
		m->parts += sorted[i]->part_bytes;
	}
	qsort(sums, k, sizeof *sums, compare_sums);
	*ret = sums;
	*ret_n = k;
	return NULL;
}

static void module_records(const struct arguments *a, const struct module_sum *m, size_t n, struct out *o)
{
	struct listing l;
	size_t most = cmd_is_text(a) && a->top && a->top < n ? a->top : n;
	listing_begin(&l, a, o, "modules", module_columns, N_MODULE_COLUMNS);
	for (size_t i = 0; i < most && !o->error; i++)
		listing_record(&l, 0, (struct cell[N_MODULE_COLUMNS]){ { .number = m[i].count }, { .number = m[i].bytes }, { .number = m[i].parts },
								      { .number = m[i].types }, { .text = m[i].name } });
	listing_end(&l);
	if (most < n)
		out_printf(o, "and %s more modules (--top 0)\n", text_count(n - most).text);
}

static void records(const struct arguments *a, const struct objects *x, struct out *o, uint64_t most)
{
	struct listing l;
	listing_begin(&l, a, o, "types", columns, cmd_is_text(a) ? TEXT_COLUMNS : N_COLUMNS);
	for (size_t i = 0; i < x->types.n && l.sink.records < most && !o->error; i++) {
		const struct object_type *t = &x->types.at[i];
		struct cell cells[N_COLUMNS] = {
			{ .number = count_of(t) }, { .number = bytes_of(t) }, { .number = t->part_bytes }, { .text = t->name },
			{ .text = t->module }, { .number = t->in_pools }, { .number = t->pool_bytes }, { .number = t->sample },
		};
		if (wanted(a, t))
			listing_record(&l, t->sample, cells);
	}
	listing_end(&l);
}

static void foot(const struct arguments *a, const struct session *s, const struct objects *x, struct out *o)
{
	struct sums all = sum(NULL, x), these = sum(a, x);
	struct strbuf t = { 0 };
	struct paragraph p;
	strbuf_printf(&t, "%s object%s of %s type%s", text_count(these.count).text, these.count == 1 ? "" : "s", text_count(these.types).text, these.types == 1 ? "" : "s");
	strbuf_printf(&t, " in %s, with %s of parts", text_size(these.bytes).text, text_size(these.parts).text);
	if (glob(a))
		strbuf_printf(&t, ", of %s in %s", text_count(all.count).text, text_size(all.bytes).text);
	strbuf_printf(&t, ". CPython %u.%u: %s of blocks in %s pools are in use", x->version_major, x->version_minor, text_size(x->pool_used_bytes).text,
		      text_count(x->pools).text);
	if (s->blocks)
		strbuf_printf(&t, ", %s of malloc's", text_size(x->malloc_bytes).text);
	strbuf_puts(&t, ". What is neither object nor part (items of lists, tables of dicts) belongs to several, or is not Python's.");
	if (x->pools_unread)
		strbuf_printf(&t, " %s pools cannot be read.", text_count(x->pools_unread).text);
	if (x->pools_damaged)
		strbuf_printf(&t, " Of %s pools the list of free blocks does not agree with their header.", text_count(x->pools_damaged).text);
	if (!s->blocks)
		strbuf_puts(&t, " malloc's heap was not walked: objects in it are not counted.");
	out_puts(o, "\n");
	paragraph_begin(&p, o, "", 80);
	paragraph_add(&p, t.text ? t.text : "");
	paragraph_end(&p);
	strbuf_free(&t);
}

static void text(const struct arguments *a, const struct session *s, const struct objects *x, struct out *o)
{
	uint64_t n = sum(a, x).types, most = a->top ? a->top : UINT64_MAX;
	records(a, x, o, most);
	if (n > most)
		out_printf(o, "and %s more types (--top 0)\n", text_count(n - most).text);
	foot(a, s, x, o);
}

static void type_json(struct json *j, const struct object_type *t)
{
	out_json_object(j, NULL);
	out_json_string(j, "type", t->name);
	out_json_string(j, "module", t->module);
	out_json_u64(j, "count", count_of(t));
	out_json_u64(j, "bytes", bytes_of(t));
	out_json_u64(j, "part_bytes", t->part_bytes);
	out_json_u64(j, "pool_count", t->in_pools);
	out_json_u64(j, "pool_bytes", t->pool_bytes);
	out_json_address(j, "sample", t->sample);
	out_json_end_object(j);
}

static void json(const struct arguments *a, const struct session *s, const struct objects *x, struct out *o)
{
	struct sums these = sum(a, x);
	struct json j;
	char version[16];
	snprintf(version, sizeof version, "%u.%u", x->version_major, x->version_minor);
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.objects/1");
	report_json_identity(&j, s);
	out_json_string(&j, "language", s->runtime->language);
	out_json_string(&j, "version", x->unknown ? NULL : version);
	out_json_string(&j, "unknown", x->unknown);
	out_json_bool(&j, "walked", s->blocks);
	out_json_u64(&j, "count", these.count);
	out_json_u64(&j, "bytes", these.bytes);
	out_json_u64(&j, "part_bytes", these.parts);
	out_json_array(&j, "types");
	for (size_t i = 0; i < x->types.n && !o->error; i++)
		if (wanted(a, &x->types.at[i]))
			type_json(&j, &x->types.at[i]);
	out_json_end_array(&j);
	out_json_object(&j, "pools");
	out_json_u64(&j, "pools", x->pools);
	out_json_u64(&j, "bytes", x->pool_bytes);
	out_json_u64(&j, "used_blocks", x->pool_blocks);
	out_json_u64(&j, "used_bytes", x->pool_used_bytes);
	out_json_u64(&j, "unread", x->pools_unread);
	out_json_u64(&j, "damaged", x->pools_damaged);
	out_json_end_object(&j);
	out_json_object(&j, "malloc");
	out_json_u64(&j, "used_blocks", x->malloc_blocks);
	out_json_u64(&j, "used_bytes", x->malloc_bytes);
	out_json_end_object(&j);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *modules(const struct arguments *a, const struct session *s, const struct objects *x, struct out *o)
{
	AUTO_FREE struct module_sum *sums = NULL;
	size_t n = 0;
	TRY(sum_modules(a, x, &sums, &n));
	module_records(a, sums, n, o);
	if (cmd_is_text(a))
		foot(a, s, x, o);
	return NULL;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct objects *x;
	if (a->n_words > 1 && !by_module(a))
		return err_hint(err_new(ERR_USAGE, "objects takes no '%s'", a->words[1]), "objects [GLOB] [by module] [top N]");
	TRY(session_walk(s));
	TRY(types_objects(s->blocks, s->image, s->modules, s->runtime, &x));
	struct err *e = NULL;
	if (x->unknown && cmd_is_text(a))
		out_printf(o, "No objects whose types are known: %s.\n", x->unknown);
	else if (by_module(a))
		e = modules(a, s, x, o);
	else if (cmd_is_text(a))
		text(a, s, x, o);
	else if (!strcmp(a->format, "json"))
		json(a, s, x, o);
	else
		records(a, x, o, UINT64_MAX);
	bool whole = s->blocks && !s->alloc->partial && !x->pools_unread && !x->pools_damaged;
	/* A process without such a language has no objects: that is an answer. */
	bool none = x->unknown && (!s->runtime->language || strcmp(s->runtime->language, "CPython") != 0);
	*ret_status = none || (whole && !x->unknown) ? EXIT_REPORT : EXIT_PARTIAL;
	types_objects_free(x);
	return e;
}

const struct command command_objects = {
	.name = "objects",
	.summary = "a language's objects by type: CPython's",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam objects 4242                       types by the bytes of their objects\n"
		"  flotsam objects 4242 'shop.*' --top 0      those of a module, all of them\n"
		"  flotsam objects 4242 by module             sums of modules\n"
		"  flotsam objects ./core.4242 --format json | jq '.types[] | select(.type == \"dict\")'\n",
	.group = GROUP_BLOCKS,
	.top_words = true,
	.operands = "[GLOB] [by module]",
	.max_words = 3,
	.run = run,
};

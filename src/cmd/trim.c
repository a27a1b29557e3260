/* flotsam trim: what would give memory back, by how much, how it is set and what it costs. Computed, not tried. */
#include "cmd.h"

enum { COLUMNS = 80 };

static const char *subject(const struct trim_means *m, char *to, size_t n)
{
	static const struct { const char *name, *text; } texts[] = {
		{ "malloc_trim", "malloc_trim(0) now" },
		{ "main_top", "  of it the top of the main arena" },
		{ "fastbins", "  of it fastbins" },
		{ "trim_threshold", "a trim threshold of" },
		{ "mmap_threshold", "an mmap threshold of" },
		{ "arena_max", "arenas, at most" },
		{ "tcache", "no caches of threads" },
	};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (!strcmp(texts[i].name, m->name)) {
			if (!strcmp(m->name, "arena_max"))
				snprintf(to, n, "%s %llu", texts[i].text, (unsigned long long)m->setting);
			else if (m->setting != UNKNOWN && m->setting)
				snprintf(to, n, "%s %s", texts[i].text, text_size(m->setting).text);
			else
				snprintf(to, n, "%s", texts[i].text);
			return to;
		}
	return m->name;
}

static void say(struct out *o, const char *lead, const char *text)
{
	struct paragraph p;
	paragraph_begin(&p, o, lead, COLUMNS);
	paragraph_add(&p, text);
	paragraph_end(&p);
}

static void now(const struct trim_means *m, struct out *o)
{
	char text[160];
	if (m->current == UNKNOWN)
		return;
	if (!strcmp(m->name, "arena_max") || !strcmp(m->name, "tcache"))
		snprintf(text, sizeof text, "%s", text_count(m->current).text);
	else
		snprintf(text, sizeof text, "%s", text_size(m->current).text);
	if (!strcmp(m->name, "mmap_threshold") && m->chunks)
		snprintf(text + strlen(text), sizeof text - strlen(text), "; %s blocks in use of %s and more lie in arenas",
			 text_count(m->chunks).text, text_size(m->setting).text);
	say(o, "      now     ", text);
}

static int by_bytes(const void *a, const void *b)
{
	const struct trim_arena *x = a, *y = b;
	return x->bytes != y->bytes ? x->bytes > y->bytes ? -1 : 1 : x->arena - y->arena;
}

static void arenas(const struct arguments *a, struct trim *t, struct unit u, struct out *o)
{
	size_t n = a->top && a->top < t->arenas.n ? a->top : t->arenas.n;
	out_ink(o, INK_BOLD);
	out_printf(o, "\n%-12s %14s %14s %14s %14s\n", "ARENAS", "free", "trim now", "of it top", "top it leaves");
	out_ink(o, INK_PLAIN);
	if (n < t->arenas.n)
		qsort(t->arenas.at, t->arenas.n, sizeof *t->arenas.at, by_bytes);
	for (size_t i = 0; i < n; i++) {
		const struct trim_arena *x = &t->arenas.at[i];
		out_printf(o, "  %-10d %14s %14s", x->arena, text_in(u, x->free_bytes).text, text_in(u, x->bytes).text);
		out_printf(o, " %14s %14s\n", text_in(u, x->break_bytes).text, text_in(u, x->top_bytes).text);
	}
	if (n < t->arenas.n)
		out_printf(o, "  and %s more (--top 0)\n", text_count(t->arenas.n - n).text);
}

static void text(const struct arguments *a, struct trim *t, struct out *o)
{
	struct unit u = unit_for(t->sum.free_bytes);
	char left[64];
	out_ink(o, INK_BOLD);
	out_printf(o, "%-40s %12s\n", t->residency_known ? "WHAT WOULD GIVE MEMORY BACK" : "WHAT WOULD GIVE MEMORY BACK  (by size)", u.name);
	out_ink(o, INK_PLAIN);
	for (size_t i = 0; i < t->means.n; i++) {
		const struct trim_means *m = &t->means.at[i];
		out_printf(o, "  %-38s %12s%s\n", subject(m, left, sizeof left), text_in(u, m->bytes).text,
			   m->at_most ? "  at most, had it been set" : m->when == TRIM_NOW ? "" : "  had it been set");
		/* What stands there already of the same with another number. */
		if (i && !strcmp(t->means.at[i - 1].name, m->name))
			continue;
		now(m, o);
		say(o, "      how     ", m->how);
		say(o, "      cost    ", m->cost);
	}
	if (t->locked_bytes)
		out_printf(o, "  %s more is free whole pages of locked memory, which trim cannot return\n", text_size(t->locked_bytes).text);
	if (t->swapped_bytes)
		out_printf(o, "  malloc_trim(0) would also free %s of swap\n", text_size(t->swapped_bytes).text);
	arenas(a, t, u, o);
	out_printf(o, "\n%s, computed by glibc's own rules; nothing was tried.\n", t->residency_known ? "Resident bytes" : "Sizes, resident or not");
}

static void json_arena(struct json *j, const char *key, const struct trim_arena *a)
{
	out_json_object(j, key);
	if (!key)
		out_json_i64(j, "arena", a->arena);
	out_json_u64(j, "free_bytes", a->free_bytes);
	out_json_u64(j, "trim_bytes", a->bytes);
	out_json_u64(j, "main_top_bytes", a->break_bytes);
	out_json_u64(j, "thread_top_bytes", a->top_bytes);
	out_json_u64(j, "thread_top_back_bytes", a->top_back);
	out_json_end_object(j);
}

static void json(const struct session *s, const struct trim *t, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.trim/1");
	report_json_identity(&j, s);
	out_json_bool(&j, "resident", t->residency_known);
	json_arena(&j, "sum", &t->sum);
	out_json_u64(&j, "locked_bytes", t->locked_bytes);
	out_json_u64(&j, "swapped_bytes", t->swapped_bytes);
	out_json_array(&j, "means");
	for (size_t i = 0; i < t->means.n; i++) {
		const struct trim_means *m = &t->means.at[i];
		out_json_object(&j, NULL);
		out_json_string(&j, "name", m->name);
		out_json_string(&j, "when", m->when == TRIM_NOW ? "now" : "had_it_been_set");
		out_json_bool(&j, "at_most", m->at_most);
		out_json_u64(&j, "bytes", m->bytes);
		out_json_known(&j, "chunks", m->chunks);
		out_json_known(&j, "setting", m->setting);
		out_json_known(&j, "current", m->current);
		out_json_string(&j, "how", m->how);
		out_json_string(&j, "cost", m->cost);
		out_json_end_object(&j);
	}
	out_json_end_array(&j);
	out_json_array(&j, "arenas");
	for (size_t i = 0; i < t->arenas.n; i++)
		json_arena(&j, NULL, &t->arenas.at[i]);
	out_json_end_array(&j);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct trim *t;
	TRY(cmd_need_walk(s, ret_status));
	TRY(heap_trim(s, &t));
	if (strcmp(a->format, "json"))
		text(a, t, o);
	else
		json(s, t, o);
	heap_trim_free(t);
	*ret_status = s->alloc->partial ? EXIT_PARTIAL : EXIT_REPORT;
	return NULL;
}

const struct command command_trim = {
	.name = "trim",
	.summary = "what would give memory back, how, and at what cost",
	.formats = { "text", "json" },
	.help = "  flotsam trim 4242                    nothing is tried\n"
		"  flotsam trim 4242 --format json | jq .sum.trim_bytes\n",
	.group = GROUP_MALLOC,
	.on_census = true,
	.run = run,
};

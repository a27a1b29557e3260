/* flotsam resources: descriptors, threads, stacks, mappings: what else a process may lose hold of. */
#include "cmd.h"

enum { COLUMNS = 80 };

static void heading(struct out *o, const char *left, int width, const char *right)
{
	out_ink(o, INK_BOLD);
	out_printf(o, "%-*s%s\n", width, left, right);
	out_ink(o, INK_PLAIN);
}

static size_t most(const struct arguments *a, size_t n)
{
	return a->top && a->top < n ? a->top : n;
}

static void more(const struct out *o, size_t shown, size_t n, struct out *to)
{
	if (shown < n)
		out_printf(to, "  %s %s more (--top 0)\n", o->unicode ? "\xe2\x80\xa6" : "...", text_count(n - shown).text);
}

/* The last thing on a line: cut, not filled. */
static void tail(struct out *o, const char *text, int width)
{
	int n = (int)strlen(text);
	out_cell(o, text, n < width ? n : width);
}

static const char *hint_of(const struct descriptor_kind *k)
{
	return !strcmp(k->state, "CLOSE_WAIT") ? "the peer closed, this process did not" : "";
}

static void descriptors(const struct arguments *a, const struct resources *r, struct out *o)
{
	char title[64], name[64];
	if (!r->have_descriptors) {
		out_puts(o, r->session->target->live ? "DESCRIPTORS not readable\n\n" : "DESCRIPTORS are not in a core\n\n");
		return;
	}
	int n = snprintf(title, sizeof title, "DESCRIPTORS %s", text_count(r->descriptors).text);
	if (r->descriptor_limit != UNKNOWN)
		snprintf(title + n, sizeof title - (size_t)n, " of %s", text_count(r->descriptor_limit).text);
	heading(o, title, 32, "   count");
	for (size_t i = 0; i < r->kinds.n; i++) {
		const struct descriptor_kind *k = &r->kinds.at[i];
		snprintf(name, sizeof name, "  %s%s%s", k->kind, k->state[0] ? ", " : "", k->state);
		out_cell(o, name, 32);
		out_printf(o, *hint_of(k) ? "%8s  %s\n" : "%8s\n", text_count(k->count).text, hint_of(k));
	}
	if (r->timers != UNKNOWN && r->timers)
		out_printf(o, "  besides, timers of timer_create   %s\n", text_count(r->timers).text);
	size_t shown = most(a, r->files.n);
	for (size_t i = 0; i < shown; i++) {
		const struct open_file *f = &r->files.at[i];
		out_puts(o, i ? "" : "  open more than once, or deleted:\n");
		out_printf(o, "  %8s  ", text_count(f->count).text);
		tail(o, f->path, f->deleted ? 58 : 68);
		out_puts(o, f->deleted ? " (deleted)\n" : "\n");
	}
	more(o, shown, r->files.n, o);
	out_puts(o, "\n");
}

static void place_text(const struct place *p, struct strbuf *t)
{
	if (p->function)
		strbuf_printf(t, strchr(p->function, '(') ? "%s" : "%s()", p->function);
	if (p->line.file)
		strbuf_printf(t, " at %s:%d", p->line.file, p->line.line);
	else if (p->module)
		strbuf_printf(t, "%sin %s", t->n ? " " : "", p->module);
	if (!t->n)
		strbuf_puts(t, "?");
	if (p->start && p->function && strcmp(p->start, p->function) != 0 && strcmp(p->start, "_start") != 0)
		strbuf_printf(t, ", from %s%s", p->start, strchr(p->start, '(') ? "" : "()");
}

static void places(const struct arguments *a, const struct resources *r, struct out *o)
{
	char title[64];
	size_t shown = most(a, r->places.n);
	snprintf(title, sizeof title, "THREADS %s", text_count(r->session->target->picture.threads.n).text);
	heading(o, title, 16, "   first  waits in            in");
	for (size_t i = 0; i < shown; i++) {
		const struct place *p = &r->places.at[i];
		struct strbuf t = { 0 };
		place_text(p, &t);
		out_printf(o, "  %-14s%8u  ", text_count(p->count).text, p->first + 1);
		out_cell(o, p->state == THREAD_RUNNING ? "(runs)" : p->waits_in ? p->waits_in : p->kernel[0] ? p->kernel : "?", 18);
		out_puts(o, "  ");
		tail(o, t.text ? t.text : "?", COLUMNS - 46);
		out_puts(o, "\n");
		strbuf_free(&t);
	}
	more(o, shown, r->places.n, o);
	out_printf(o, "  stacks: %s of %s reserved; in use %s", text_count(r->stacks).text, text_size(r->stack_bytes).text, text_size(r->stack_used).text);
	if (r->stack_resident != UNKNOWN && r->stacks)
		out_printf(o, ", touched %s,\n  at most %s by thread %u", text_size(r->stack_resident).text, text_size(r->largest_resident).text, r->largest + 1);
	out_puts(o, "\n\n");
}

static void sum(struct out *o, const struct resources *r, const struct origin_sum *s)
{
	out_printf(o, "%8s %11s %11s\n", text_count(s->count).text, text_size(s->bytes).text,
		   r->session->target->picture.have_pages ? text_size(s->resident).text : "?");
}

static void mappings(const struct arguments *a, const struct resources *r, struct out *o)
{
	static const char *const words[ORIGINS] = { "the program", "libraries", "other files", "malloc", "thread stacks", "anonymous", "reserved, no access",
						    "shared memory", "memfd", "devices", "the kernel's" };
	char title[64];
	int n = snprintf(title, sizeof title, "MAPPINGS %s", text_count(r->mappings).text);
	if (r->mapping_limit != UNKNOWN)
		snprintf(title + n, sizeof title - (size_t)n, " of %s", text_count(r->mapping_limit).text);
	heading(o, title, 32, "   count        size    resident");
	for (int i = 0; i < ORIGINS; i++) {
		if (!r->origins[i].count)
			continue;
		out_printf(o, "  %-30s", words[i]);
		sum(o, r, &r->origins[i]);
	}
	out_puts(o, "\n");
	size_t shown = most(a, r->odd.n);
	if (shown)
		heading(o, "SHARED MEMORY AND DELETED FILES", 46, "   count        size    resident");
	for (size_t i = 0; i < shown; i++) {
		const struct odd_mapping *m = &r->odd.at[i];
		out_puts(o, "  ");
		out_cell(o, m->path[0] ? m->path : "(anonymous)", m->deleted ? 33 : 43);
		out_puts(o, m->deleted ? " (deleted) " : " ");
		sum(o, r, &m->sum);
	}
	more(o, shown, r->odd.n, o);
}

static void descriptors_json(const struct resources *r, struct json *j)
{
	char name[64];
	out_json_object(j, "descriptors");
	out_json_known(j, "total", r->have_descriptors ? r->descriptors : UNKNOWN);
	out_json_known(j, "limit", r->descriptor_limit);
	out_json_array(j, "kinds");
	for (size_t i = 0; i < r->kinds.n; i++) {
		const struct descriptor_kind *k = &r->kinds.at[i];
		snprintf(name, sizeof name, "%s%s%s", k->kind, k->state[0] ? "-" : "", k->state);
		out_json_object(j, NULL);
		out_json_string(j, "name", name);
		out_json_string(j, "kind", k->kind);
		out_json_string(j, "state", k->state[0] ? k->state : NULL);
		out_json_u64(j, "count", k->count);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	out_json_known(j, "posix_timers", r->timers);
	out_json_array(j, "files");
	for (size_t i = 0; i < r->files.n; i++) {
		out_json_object(j, NULL);
		out_json_string(j, "path", r->files.at[i].path);
		out_json_bool(j, "deleted", r->files.at[i].deleted);
		out_json_u64(j, "count", r->files.at[i].count);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	out_json_end_object(j);
}

static void threads_json(const struct resources *r, struct json *j)
{
	out_json_object(j, "threads");
	out_json_u64(j, "total", r->session->target->picture.threads.n);
	out_json_array(j, "places");
	for (size_t i = 0; i < r->places.n; i++) {
		const struct place *p = &r->places.at[i];
		out_json_object(j, NULL);
		out_json_u64(j, "count", p->count);
		out_json_u64(j, "first", p->first + 1);
		out_json_string(j, "state", thread_state_name(p->state));
		out_json_string(j, "waits_in", p->waits_in);
		out_json_string(j, "wchan", p->kernel[0] ? p->kernel : NULL);
		out_json_string(j, "function", p->function);
		out_json_string(j, "module", p->module);
		out_json_string(j, "started_in", p->start);
		out_json_string(j, "file", p->line.file);
		out_json_known(j, "line", p->line.file ? (uint64_t)p->line.line : UNKNOWN);
		out_json_u64(j, "stack_bytes", p->stack_bytes);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	out_json_end_object(j);
	out_json_object(j, "stacks");
	out_json_u64(j, "count", r->stacks);
	out_json_u64(j, "bytes", r->stack_bytes);
	out_json_u64(j, "used_bytes", r->stack_used);
	out_json_known(j, "resident_bytes", r->stack_resident);
	out_json_known(j, "largest_resident_bytes", r->largest_resident);
	out_json_known(j, "largest_thread", r->largest_resident == UNKNOWN || !r->stacks ? UNKNOWN : r->largest + 1);
	out_json_end_object(j);
}

static void sum_json(const struct resources *r, struct json *j, const struct origin_sum *s)
{
	out_json_u64(j, "count", s->count);
	out_json_u64(j, "bytes", s->bytes);
	out_json_known(j, "resident_bytes", r->session->target->picture.have_pages ? s->resident : UNKNOWN);
	out_json_end_object(j);
}

static void mappings_json(const struct resources *r, struct json *j)
{
	out_json_object(j, "mappings");
	out_json_u64(j, "total", r->mappings);
	out_json_known(j, "limit", r->mapping_limit);
	out_json_array(j, "origins");
	for (int i = 0; i < ORIGINS; i++) {
		out_json_object(j, NULL);
		out_json_string(j, "origin", origin_name((enum origin)i));
		sum_json(r, j, &r->origins[i]);
	}
	out_json_end_array(j);
	out_json_array(j, "nameless");
	for (size_t i = 0; i < r->odd.n; i++) {
		const struct odd_mapping *m = &r->odd.at[i];
		out_json_object(j, NULL);
		out_json_string(j, "path", m->path[0] ? m->path : NULL);
		out_json_string(j, "origin", origin_name(m->origin));
		out_json_bool(j, "deleted", m->deleted);
		sum_json(r, j, &m->sum);
	}
	out_json_end_array(j);
	out_json_end_object(j);
}

void resources_json_write(const struct resources *r, struct json *j)
{
	descriptors_json(r, j);
	threads_json(r, j);
	mappings_json(r, j);
}

static void json(const struct resources *r, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.resources/1");
	out_json_string(&j, "version", FLOTSAM_VERSION);
	report_json_identity(&j, r->session);
	resources_json_write(r, &j);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct resources *r;
	TRY(query_resources(s, RESOURCES_ALL, &r));
	if (!strcmp(a->format, "json")) {
		json(r, o);
	} else {
		descriptors(a, r, o);
		places(a, r, o);
		mappings(a, r, o);
	}
	*ret_status = r->have_descriptors || !s->target->live ? EXIT_REPORT : EXIT_PARTIAL;
	resources_free(r);
	return NULL;
}

const struct command command_resources = {
	.name = "resources",
	.summary = "what else may leak: descriptors, threads, mappings",
	.formats = { "text", "json" },
	.top_words = true,
	.help = "  flotsam resources 4242               sockets by state, threads by place\n"
		"  flotsam resources 4242 --top 0       every file that is open twice\n"
		"  flotsam check 4242 --fail-on 'resources.descriptors.total > 500'\n",
	.group = GROUP_REPORT,
	.run = run,
};

/* flotsam verify: what is damaged in malloc's records, in plain words, and nothing else. */
#include "cmd.h"

enum { COLUMNS = 80 };

static void add_block(struct strbuf *t, uint64_t address, uint64_t bytes, const char *label, const struct out *o)
{
	strbuf_printf(t, "0x%llx", (unsigned long long)address);
	if (bytes)
		strbuf_printf(t, " (%s bytes", text_count(bytes).text);
	if (label) {
		strbuf_puts(t, ", ");
		text_add_foreign(t, label, o);
	}
	strbuf_puts(t, bytes ? ")" : "");
}

static void say(struct out *o, const char *lead, const char *text)
{
	struct paragraph p;
	paragraph_begin(&p, o, lead, COLUMNS);
	paragraph_add(&p, text);
	paragraph_end(&p);
}

static void print_line(const struct verify_line *l, struct out *o)
{
	const struct finding *f = l->finding;
	struct strbuf t = { 0 };
	out_ink(o, l->kind->damage ? INK_RED : INK_YELLOW);
	out_printf(o, "%-16s", f->kind);
	out_ink(o, INK_PLAIN);
	if (f->address)
		out_printf(o, "0x%llx", (unsigned long long)f->address);
	out_puts(o, "\n");
	say(o, "    ", f->text);
	if (f->has_expected)
		out_printf(o, "    expected 0x%llx%s", (unsigned long long)f->expected, f->has_found ? ", " : "\n");
	if (f->has_found)
		out_printf(o, "%sfound 0x%llx\n", f->has_expected ? "" : "    ", (unsigned long long)f->found);
	if (f->neighbour) {
		strbuf_puts(&t, "probably written beyond its end: ");
		add_block(&t, f->neighbour, l->neighbour_bytes, l->neighbour_label, o);
		say(o, "    ", t.text ? t.text : "");
	}
	strbuf_free(&t);
}

/* What a kind means is said once, below the last of its findings. */
static void explain(const struct verify *v, size_t i, struct out *o)
{
	const struct finding_kind *k = v->lines.at[i].kind;
	if (!k->damage || (i + 1 < v->lines.n && v->lines.at[i + 1].kind == k))
		return;
	say(o, "    MEANS  ", k->meaning);
	say(o, "    NEXT   ", k->next);
	out_puts(o, "\n");
}

static void verdict(const struct verify *v, struct out *o)
{
	struct short_text blocks = text_count(v->blocks);
	const char *unit = v->blocks == 1 ? "block" : "blocks";
	if (v->damage)
		out_printf(o, "%s %s of damage in %s %s\n", text_count(v->damage + v->dropped).text,
			   v->damage + v->dropped == 1 ? "finding" : "findings", blocks.text, unit);
	else if (!v->walked)
		out_puts(o, "the heap was not walked: nothing can be said of it\n");
	else
		out_printf(o, "no damage found in %s %s%s\n", blocks.text, unit, v->complete ? "" : "; a part of the heap could not be looked at");
}

static void add_count(struct strbuf *t, uint64_t n, const char *one, const char *many)
{
	strbuf_printf(t, "%s %s", text_count(n).text, n == 1 ? one : many);
}

static void checked(const struct verify *v, struct out *o)
{
	struct strbuf t = { 0 };
	if (!v->walked)
		return;
	strbuf_puts(&t, "headers and neighbours of ");
	add_count(&t, v->blocks, "block in use and ", "blocks in use and ");
	add_count(&t, v->free_blocks, "free chunk in ", "free chunks in ");
	add_count(&t, v->segments, "heap; ", "heaps; ");
	strbuf_puts(&t, "bins, fastbins, top and own account of ");
	add_count(&t, v->arenas, "arena; ", "arenas; ");
	add_count(&t, v->tcaches, "thread's cache; ", "threads' caches; ");
	add_count(&t, v->mmapped, "mapped block", "mapped blocks");
	say(o, "CHECKED  ", t.text ? t.text : "");
	strbuf_free(&t);
	if (v->in_malloc)
		say(o, "NOTE  ", "a thread was inside malloc: lists that are half made then were not judged; look again");
}

static void verify_text(const struct arguments *a, const struct verify *v, struct out *o)
{
	enum { FEW = 20 };
	size_t shown = a->verbose || v->lines.n < FEW ? v->lines.n : FEW;
	verdict(v, o);
	if (a->quiet)
		return;
	out_puts(o, "\n");
	for (size_t i = 0; i < shown; i++) {
		print_line(&v->lines.at[i], o);
		explain(v, i, o);
	}
	if (shown < v->lines.n || v->dropped)
		out_printf(o, "and %s more%s\n", text_count(v->lines.n - shown + v->dropped).text, shown < v->lines.n ? " (-v)" : "");
	checked(v, o);
}

static void verify_json(const struct verify *v, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.verify/1");
	out_json_string(&j, "version", FLOTSAM_VERSION);
	report_json_identity(&j, v->session);
	out_json_bool(&j, "complete", v->complete);
	out_json_u64(&j, "damage", v->damage + v->dropped);
	out_json_object(&j, "checked");
	out_json_u64(&j, "blocks", v->blocks);
	out_json_u64(&j, "free", v->free_blocks);
	out_json_u64(&j, "heaps", v->segments);
	out_json_u64(&j, "arenas", v->arenas);
	out_json_u64(&j, "tcaches", v->tcaches);
	out_json_u64(&j, "mmapped", v->mmapped);
	out_json_bool(&j, "in_malloc", v->in_malloc);
	out_json_end_object(&j);
	out_json_array(&j, "findings");
	for (size_t i = 0; i < v->lines.n; i++) {
		const struct verify_line *l = &v->lines.at[i];
		out_json_object(&j, NULL);
		report_json_finding(&j, l->finding);
		out_json_string(&j, "neighbour_label", l->neighbour_label);
		out_json_bool(&j, "damage", l->kind->damage);
		out_json_string(&j, "meaning", l->kind->damage ? l->kind->meaning : NULL);
		out_json_string(&j, "next", l->kind->damage ? l->kind->next : NULL);
		out_json_end_object(&j);
	}
	out_json_end_array(&j);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct verify *v;
	TRY(query_verify(s, &v));
	if (!strcmp(a->format, "json"))
		verify_json(v, o);
	else
		verify_text(a, v, o);
	*ret_status = v->damage ? EXIT_RULE : v->complete ? EXIT_REPORT : EXIT_PARTIAL;
	verify_free(v);
	return NULL;
}

const struct command command_verify = {
	.name = "verify",
	.summary = "is the heap damaged, where, and who probably did it",
	.formats = { "text", "json" },
	.help = "  flotsam verify 4242                  exit status 1 when there is damage\n"
		"  flotsam verify ./core.4242           why did it abort?\n"
		"  flotsam verify 4242 -q || alert      for a script\n",
	.on_census = true,
	.run = run,
};

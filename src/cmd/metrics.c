/* The report as metrics: Prometheus' text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). Base units; no label
 * changes with a restart, and their number is bounded. */
#include "cmd.h"

#include <inttypes.h>

static void family(struct out *o, const char *name, const char *help)
{
	out_printf(o, "# HELP flotsam_%s %s\n# TYPE flotsam_%s gauge\n", name, help, name);
}

static void value(struct out *o, const char *name, uint64_t v)
{
	out_printf(o, "flotsam_%s %" PRIu64 "\n", name, v);
}

/* A label's value: foreign bytes as everywhere, then what the format itself escapes. */
static void labelled(struct out *o, const char *name, const char *label, const char *text, uint64_t v)
{
	struct strbuf b = { 0 };
	text_add_foreign(&b, text, o);
	out_printf(o, "flotsam_%s{%s=\"", name, label);
	for (const char *p = b.text ? b.text : ""; *p; p++) {
		if (*p == '"' || *p == '\\')
			out_puts(o, "\\");
		out_bytes(o, p, 1);
	}
	out_printf(o, "\"} %" PRIu64 "\n", v);
	strbuf_free(&b);
}

static void one(struct out *o, const char *name, const char *help, uint64_t v)
{
	if (v == UNKNOWN)
		return;
	family(o, name, help);
	value(o, name, v);
}

static void rss(const struct report *r, struct out *o)
{
	family(o, "rss_cause_bytes", "Resident memory by what it is used for.");
	for (int i = 0; i < RSS_CAUSES; i++)
		if (i >= RSS_FILES || r->session->blocks)
			labelled(o, "rss_cause_bytes", "cause", rss_cause_name((enum rss_cause)i), r->rss.bytes[i]);
	one(o, "rss_bytes", "Resident memory, by its pages.", r->rss.known ? r->rss.total : UNKNOWN);
	one(o, "rss_unexplained_bytes", "Resident memory without a cause.", r->rss.known ? r->rss.unexplained : UNKNOWN);
	one(o, "swapped_bytes", "Memory in swap.", r->rss.known ? r->rss.swapped : UNKNOWN);
}

static void heap(const struct report *r, struct out *o)
{
	family(o, "heap_blocks", "Blocks of malloc by state.");
	for (size_t i = 0; i < r->n_states; i++)
		labelled(o, "heap_blocks", "state", r->states[i].state, r->states[i].blocks);
	family(o, "heap_bytes", "Bytes of malloc's blocks by state, resident or not.");
	for (size_t i = 0; i < r->n_states; i++)
		labelled(o, "heap_bytes", "state", r->states[i].state, r->states[i].bytes);
	one(o, "heap_arenas", "Arenas of malloc.", r->arenas.n);
	if (!r->free_split_known)
		return;
	one(o, "heap_trimmable_bytes", "Free memory that malloc_trim(3) would give back.", r->free_trimmable);
	one(o, "heap_pinned_bytes", "Free memory on pages with live blocks.", r->free_pinned);
}

static void classes(const struct report *r, struct out *o)
{
	family(o, "used_blocks", "Used blocks by how they are reached.");
	for (enum block_class c = CLASS_REACHABLE; c <= CLASS_RUNTIME; c++)
		labelled(o, "used_blocks", "class", block_class_name(c), r->classes[c].blocks);
	family(o, "used_bytes", "Bytes of used blocks by how they are reached.");
	for (enum block_class c = CLASS_REACHABLE; c <= CLASS_RUNTIME; c++)
		labelled(o, "used_bytes", "class", block_class_name(c), r->classes[c].bytes);
	if (verdict_without_leaks(r))
		return;
	one(o, "leaked_blocks", "Blocks that nothing points at any more, with those that they hold.",
	    r->classes[CLASS_DEFINITE].blocks + r->classes[CLASS_INDIRECT].blocks);
	one(o, "leaked_bytes", "Bytes of leaked blocks.", r->classes[CLASS_DEFINITE].bytes + r->classes[CLASS_INDIRECT].bytes);
}

/* Names of one list, largest first; what bears the same name counts together. */
struct named { const char *name; uint64_t bytes; };

static size_t join(struct named *to, size_t n, const char *name, uint64_t bytes)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(to[i].name, name)) {
			to[i].bytes += bytes;
			return n;
		}
	to[n] = (struct named){ name, bytes };
	return n + 1;
}

static void top(const struct arguments *a, const struct report *r, struct out *o)
{
	enum { MOST = 100 };
	struct named list[MOST];
	size_t most = a->top && a->top < MOST ? a->top : MOST, n = 0;
	for (size_t i = 0; i < r->holders.n && n < most; i++)
		n = join(list, n, r->holders.at[i].name, r->holders.at[i].retained_bytes);
	family(o, "holder_retained_bytes", "What the largest holders keep alive.");
	for (size_t i = 0; i < n; i++)
		labelled(o, "holder_retained_bytes", "holder", list[i].name, list[i].bytes);
	n = 0;
	for (size_t i = 0; i < r->leaks.n && n < most; i++)
		n = join(list, n, r->leaks.at[i].label, r->leaks.at[i].retained_bytes);
	family(o, "leak_retained_bytes", "The largest groups of leaked blocks, with all that they hold.");
	for (size_t i = 0; i < n; i++)
		labelled(o, "leak_retained_bytes", "label", list[i].name, list[i].bytes);
}

void report_prometheus(const struct arguments *a, const struct report *r, struct out *o)
{
	const struct picture *p = &r->session->target->picture;
	one(o, "look_complete", "1 when all that may hold pointers was read.", r->complete);
	one(o, "threads", "Threads.", p->threads.n);
	if (p->stopped_seconds >= 0) {
		family(o, "stopped_seconds", "How long the process stood still for the look.");
		out_printf(o, "flotsam_stopped_seconds %.6f\n", p->stopped_seconds);
	}
	rss(r, o);
	if (r->session->blocks)
		heap(r, o);
	if (!r->session->graph)
		return;
	classes(r, o);
	top(a, r, o);
}

struct err *command_metrics(const struct arguments *a, struct session *s, struct out *o)
{
	struct report *r;
	TRY(query_report(s, &r));
	report_prometheus(a, r, o);
	report_free(r);
	return NULL;
}

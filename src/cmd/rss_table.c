/* The table of causes that adds up to RSS, and what the kernel counts beside it: in the report and in rss. */
#include "cmd.h"

static const struct {
	enum rss_cause cause;
	const char *text;
	enum ink ink;
} lines[] = {
	{ RSS_IN_USE, "in use, reachable", INK_GREEN },
	{ RSS_POSSIBLE, "in use, by inner pointers alone", INK_GREEN },
	{ RSS_LEAKED, "leaked (unreachable)", INK_RED },
	{ RSS_FREE_TRIMMABLE, "free, whole pages (trimmable)", INK_YELLOW },
	{ RSS_FREE_PINNED, "free, pinned (fragmentation)", INK_YELLOW },
	{ RSS_FREE_TOP, "free, top of thread arenas (no trim)", INK_YELLOW },
	{ RSS_RUNTIME, "libc's own blocks", INK_PLAIN },
	{ RSS_OVERHEAD, "malloc's headers and bookkeeping", INK_PLAIN },
	{ RSS_FILES, "files and libraries", INK_PLAIN },
	{ RSS_SHARED_MEMORY, "shared memory", INK_PLAIN },
	{ RSS_OTHER_MAPPINGS, "mapped outside malloc", INK_PLAIN },
	{ RSS_STACKS, "thread stacks", INK_PLAIN },
};

static void cause_line(struct out *o, const char *text, uint64_t blocks, uint64_t bytes, uint64_t total, struct unit u, enum ink ink)
{
	char count[48] = "";
	int n = total ? (int)(10.0 * (double)bytes / (double)total + 0.5) : 0;
	if (blocks != UNKNOWN && blocks)
		snprintf(count, sizeof count, "%s %s", text_count_short(blocks).text, blocks == 1 ? "block " : "blocks");
	out_printf(o, "  %-36s %13s %10s %5s", text, count, text_in(u, bytes).text, text_percent(bytes, total).text);
	if (n > 0 && ink != INK_DIM) {
		out_puts(o, " ");
		out_ink(o, ink);
		out_printf(o, "%.*s", n > 10 ? 10 : n, "##########");
		out_ink(o, INK_PLAIN);
	}
	out_puts(o, "\n");
}

/* What the kernel counts, beside what we found. */
static void beside(const struct session *s, const struct rss_table *t, struct out *o)
{
	const struct cgroup_memory *c = &s->cgroup;
	if (t->vmrss != UNKNOWN)
		out_printf(o, "  VmRSS %s, swapped out %s\n", text_size(t->vmrss).text, t->known ? text_size(t->swapped).text : "unknown");
	if (c->known) {
		out_printf(o, "  cgroup %s", text_size(c->usage).text);
		out_printf(o, c->limit != UINT64_MAX ? " of %s" : ", no limit", text_size(c->limit).text);
		if (c->anon != UINT64_MAX && c->file != UINT64_MAX)
			out_printf(o, "; of this anonymous %s, page cache %s", text_size(c->anon).text, text_size(c->file).text);
		out_puts(o, "\n");
	}
	out_puts(o, "\n");
}

void rss_table_text(const struct session *s, const struct rss_table *t, struct out *o)
{
	struct unit u = unit_for(t->total);
	out_ink(o, INK_BOLD);
	out_printf(o, "%-52s %10s %5s\n", t->known ? "RSS BY CAUSE" : "MEMORY BY CAUSE  (sizes, resident or not)", u.name, "%");
	out_ink(o, INK_PLAIN);
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		enum rss_cause c = lines[i].cause;
		const char *text = t->leaks_unknown && c == RSS_IN_USE ? "allocated, leaked or not" : lines[i].text;
		if (t->bytes[c])
			cause_line(o, text, t->blocks[c], t->bytes[c], t->total, u, lines[i].ink);
	}
	cause_line(o, "unexplained", UNKNOWN, t->unexplained, t->total, u, INK_RED);
	cause_line(o, "sum", UNKNOWN, t->total, t->total, u, INK_DIM);
	beside(s, t, o);
}

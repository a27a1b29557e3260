/* The report for people: identity and cost, the verdict, the table that adds up, leaks, holders, why heaps do not shrink,
 * caveats, what to do next. 80 columns; every figure is computed; nothing is cut in silence. */
#include "cmd.h"

#include <unistd.h>

struct page {
	const struct arguments *a;
	const struct report *r;
	const struct session *s;
	struct out *o;
};

/* Foreign text, escaped, cut to `width` columns (counted as bytes: escapes are ASCII). */
static void foreign(struct page *p, const char *text, int width)
{
	struct strbuf b = { 0 };
	strbuf_add_escaped(&b, text, strlen(text));
	for (size_t i = 0; i < b.n && !p->o->unicode; i++)
		if ((unsigned char)b.text[i] >= 0x80)
			b.text[i] = '?';
	int n = (int)b.n;
	if (n <= width)
		out_printf(p->o, "%-*s", width, b.text ? b.text : "");
	else
		out_printf(p->o, "%.*s..", width - 2, b.text);
	strbuf_free(&b);
}

static const char *plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

static void identity(struct page *p)
{
	const struct session *s = p->s;
	const struct picture *pic = &s->target->picture;
	struct strbuf b = { 0 };
	out_ink(p->o, INK_BOLD);
	out_puts(p->o, "flotsam " FLOTSAM_VERSION "  ");
	strbuf_add_escaped(&b, s->target->comm[0] ? s->target->comm : "?", s->target->comm[0] ? strlen(s->target->comm) : 1);
	out_puts(p->o, b.text ? b.text : "?");
	out_ink(p->o, INK_PLAIN);
	strbuf_free(&b);
	if (s->target->live)
		out_printf(p->o, " (pid %d, up %s, ", (int)s->target->pid, text_duration(s->uptime > 0 ? s->uptime : 0).text);
	else if (s->target->pid)
		out_printf(p->o, " (core of pid %d, ", (int)s->target->pid);
	else
		out_puts(p->o, " (core, ");
	out_printf(p->o, "%zu %s)  %s %s", pic->threads.n, plural(pic->threads.n, "thread", "threads"), s->target->arch->name, s->alloc->facts.name);
	if (s->alloc->facts.version[0])
		out_printf(p->o, " %s", s->alloc->facts.version);
	if (pic->stopped_seconds >= 0)
		out_printf(p->o, pic->stopped_seconds < 0.001 ? "  stopped %.4f s" : "  stopped %.3f s", pic->stopped_seconds);
	out_puts(p->o, "\n\n");
}

static uint64_t leaked_bytes(const struct report *r)
{
	return r->classes[CLASS_DEFINITE].bytes + r->classes[CLASS_INDIRECT].bytes;
}

static uint64_t leaked_blocks(const struct report *r)
{
	return r->classes[CLASS_DEFINITE].blocks + r->classes[CLASS_INDIRECT].blocks;
}

static bool no_leak_list(const struct page *p)
{
	return p->s->target->picture.truncated && !p->s->options.target.force;
}

/* One or two sentences that answer the question behind the question. */
static void verdict(struct page *p)
{
	const struct report *r = p->r;
	const struct rss_table *t = &r->rss;
	if (t->known)
		out_printf(p->o, "RSS is %s", text_size(t->total).text);
	else
		out_printf(p->o, "Writable memory is %s (sizes; a core does not tell what was resident)", text_size(t->total).text);
	if (!p->s->blocks) {
		out_printf(p->o, ".\n%s: only the table and the maps are exact.\n\n", r->allocator_note[0] ? r->allocator_note : "The heap was not walked");
		return;
	}
	uint64_t free_bytes = t->bytes[RSS_FREE_TRIMMABLE] + t->bytes[RSS_FREE_TOP] + t->bytes[RSS_FREE_PINNED];
	out_printf(p->o, ", of which malloc holds %s in use", text_size(t->bytes[RSS_IN_USE]).text);
	out_printf(p->o, " and keeps %s free", text_size(free_bytes).text);
	if (t->known)
		out_printf(p->o, "\n(%s of it malloc_trim could return now)", text_size(t->bytes[RSS_FREE_TRIMMABLE]).text);
	out_puts(p->o, ". ");
	if (no_leak_list(p)) {
		out_puts(p->o, "The core is truncated: a leak list would be\nwrong, so there is none (--force).\n\n");
		return;
	}
	if (!leaked_blocks(r)) {
		out_puts(p->o, r->at_most ? "Nothing that was read has leaked.\n\n" : "Nothing has leaked.\n\n");
		return;
	}
	out_ink(p->o, INK_RED);
	out_printf(p->o, "%s%s in %s %s", r->at_most ? "At most " : "", text_size(leaked_bytes(r)).text, text_count(leaked_blocks(r)).text,
		   plural(leaked_blocks(r), "block", "blocks"));
	out_ink(p->o, INK_PLAIN);
	out_puts(p->o, leaked_blocks(r) == 1 ? " has leaked.\n\n" : " have leaked.\n\n");
}

static const struct {
	enum rss_cause cause;
	const char *text;
	enum ink ink;
} lines[] = {
	{ RSS_IN_USE, "in use, reachable", INK_GREEN },
	{ RSS_POSSIBLE, "in use, held by inner pointers alone", INK_GREEN },
	{ RSS_LEAKED, "leaked (unreachable)", INK_RED },
	{ RSS_FREE_TRIMMABLE, "free, whole pages (trimmable)", INK_YELLOW },
	{ RSS_FREE_PINNED, "free, pinned (fragmentation)", INK_YELLOW },
	{ RSS_FREE_TOP, "free, top of thread arenas (trim cannot)", INK_YELLOW },
	{ RSS_RUNTIME, "libc's own blocks", INK_PLAIN },
	{ RSS_OVERHEAD, "allocator overhead", INK_PLAIN },
	{ RSS_FILES, "files and libraries", INK_PLAIN },
	{ RSS_SHARED_MEMORY, "shared memory", INK_PLAIN },
	{ RSS_OTHER_MAPPINGS, "mmap outside malloc", INK_PLAIN },
	{ RSS_STACKS, "thread stacks", INK_PLAIN },
};

static void bar(struct page *p, double share, enum ink ink)
{
	static const char hashes[] = "####################";
	int n = (int)(share * 20 + 0.5);
	if (n <= 0)
		return;
	out_puts(p->o, " ");
	out_ink(p->o, ink);
	out_printf(p->o, "%.*s", n > 20 ? 20 : n, hashes);
	out_ink(p->o, INK_PLAIN);
}

static void cause_line(struct page *p, const char *text, uint64_t blocks, uint64_t bytes, uint64_t total, enum ink ink)
{
	char count[48] = "";
	double share = total ? (double)bytes / (double)total : 0;
	if (blocks != UNKNOWN && blocks)
		snprintf(count, sizeof count, "%s %s", text_count_short(blocks).text, plural(blocks, "block", "blocks"));
	out_printf(p->o, "  %-40s %-12s", text, count);
	/* Small figures are worth their digits too. */
	if (bytes < 100 * 1024)
		out_printf(p->o, "%9.3f", (double)bytes / (1 << 20));
	else
		out_printf(p->o, "%9s", text_mib(bytes).text);
	out_printf(p->o, " %5.1f", 100 * share);
	bar(p, share / 2, ink);
	out_puts(p->o, "\n");
}

static void rss_table(struct page *p)
{
	const struct rss_table *t = &p->r->rss;
	out_ink(p->o, INK_BOLD);
	out_printf(p->o, "%-54s%10s %5s\n", t->known ? "RSS BY CAUSE" : "MEMORY BY CAUSE (sizes)", "MiB", "%");
	out_ink(p->o, INK_PLAIN);
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		if (t->bytes[lines[i].cause])
			cause_line(p, lines[i].text, t->blocks[lines[i].cause], t->bytes[lines[i].cause], t->total, lines[i].ink);
	cause_line(p, "unexplained", UNKNOWN, t->unexplained, t->total, INK_RED);
	cause_line(p, "sum", UNKNOWN, t->total, t->total, INK_PLAIN);
	const struct cgroup_memory *c = &p->s->cgroup;
	if (t->known)
		out_printf(p->o, "  swapped out: %s MiB", text_mib(t->swapped).text);
	if (t->vmrss != UNKNOWN)
		out_printf(p->o, "   VmRSS: %s MiB", text_mib(t->vmrss).text);
	if (c->known && c->limit != UINT64_MAX)
		out_printf(p->o, "   cgroup: %s of %s", text_size(c->usage).text, text_size(c->limit).text);
	else if (c->known)
		out_printf(p->o, "   cgroup: %s, no limit", text_size(c->usage).text);
	out_puts(p->o, t->known || c->known ? "\n\n" : "\n");
}

/* On a terminal a preview is for the one who looks; in files and pipes only when asked for. */
static bool show_content(const struct page *p)
{
	return p->a->show_content || (isatty(p->o->fd) && !p->a->output);
}

static void one_leak(struct page *p, const struct leak_group *g)
{
	out_printf(p->o, "  L%-3u ", g->number);
	foreign(p, g->label, 26);
	out_printf(p->o, " %8s B %9s %9.3f %9.3f", text_count(g->size).text, text_count(g->blocks).text, (double)g->bytes / (1 << 20),
		   (double)g->retained_bytes / (1 << 20));
	if (g->preview && show_content(p)) {
		out_puts(p->o, "\n         \"");
		out_ink(p->o, INK_DIM);
		foreign(p, g->preview, (int)strlen(g->preview) < 60 ? (int)strlen(g->preview) : 60);
		out_ink(p->o, INK_PLAIN);
		out_puts(p->o, "\"");
	}
	out_puts(p->o, "\n");
	if (p->a->verbose) {
		out_puts(p->o, "        ");
		for (unsigned i = 0; i < g->n_samples; i++)
			out_printf(p->o, " 0x%llx", (unsigned long long)g->sample[i]);
		out_puts(p->o, g->blocks > g->n_samples ? " ...\n" : "\n");
	}
}

static void more(struct page *p, size_t shown, size_t all)
{
	if (shown < all)
		out_printf(p->o, "  %s %s more (--top 0)\n", p->o->unicode ? "\xe2\x80\xa6" : "...", text_count(all - shown).text);
}

static size_t limit(const struct page *p, size_t n)
{
	return p->a->top && p->a->top < n ? p->a->top : n;
}

static void leaks(struct page *p)
{
	const struct report *r = p->r;
	if (!r->leaks.n)
		return;
	out_ink(p->o, INK_BOLD);
	out_printf(p->o, "%s%-40s %9s %9s %9s\n", r->at_most ? "LEAKED, AT MOST  " : "LEAKED           ", "                       size of one", "blocks", "MiB", "retained");
	out_ink(p->o, INK_PLAIN);
	size_t n = limit(p, r->leaks.n);
	for (size_t i = 0; i < n; i++)
		one_leak(p, &r->leaks.at[i]);
	more(p, n, r->leaks.n);
	out_puts(p->o, "\n");
}

static void holders(struct page *p)
{
	const struct report *r = p->r;
	size_t named = 0, shown = 0;
	/* Frames hold what they work on: no suspicion, listed with -v. */
	for (size_t i = 0; i < r->holders.n; i++)
		named += p->a->verbose || !r->holders.at[i].stack || r->holders.at[i].retained_bytes * 10 > r->used.bytes;
	if (!named)
		return;
	out_ink(p->o, INK_BOLD);
	out_printf(p->o, "KEPT ALIVE BY  (what you would get back if it were emptied)%10s %9s\n", "blocks", "MiB");
	out_ink(p->o, INK_PLAIN);
	size_t n = limit(p, named);
	for (size_t i = 0; i < r->holders.n && shown < n; i++) {
		const struct holder_line *h = &r->holders.at[i];
		if (!p->a->verbose && h->stack && h->retained_bytes * 10 <= r->used.bytes)
			continue;
		shown++;
		out_printf(p->o, "  H%-3u ", h->number);
		foreign(p, h->name, 26);
		out_puts(p->o, "  ");
		foreign(p, h->where ? h->where : "", 24);
		out_printf(p->o, " %9s %9.3f\n", text_count(h->retained_blocks).text, (double)h->retained_bytes / (1 << 20));
	}
	more(p, shown, r->holders.n);
	out_puts(p->o, "\n");
}

static void pins(struct page *p)
{
	if (!p->r->pins.n)
		return;
	out_ink(p->o, INK_BOLD);
	out_puts(p->o, "WHY IT DOES NOT SHRINK\n");
	out_ink(p->o, INK_PLAIN);
	for (size_t i = 0; i < p->r->pins.n; i++) {
		const struct pin *x = &p->r->pins.at[i];
		out_printf(p->o, "  arena %d (of %zu), %s: %s free lie below its last live block,\n    ", x->arena, p->s->alloc->arenas.n,
			   text_size(x->heap_bytes).text, text_size(x->free_below_top).text);
		foreign(p, x->label, (int)strlen(x->label) < 40 ? (int)strlen(x->label) : 40);
		out_printf(p->o, " at 0x%llx (%s)\n", (unsigned long long)x->block, text_size(x->block_bytes).text);
	}
	out_puts(p->o, "\n");
}

static void verbose(struct page *p)
{
	const struct report *r = p->r;
	if (!p->a->verbose || !p->s->blocks)
		return;
	out_puts(p->o, "ARENAS            system MiB      used      free       top  heaps\n");
	for (size_t i = 0; i < r->arenas.n; i++) {
		const struct arena_line *x = &r->arenas.at[i];
		out_printf(p->o, "  %-4d 0x%-12llx%9.1f %9.1f %9.1f %9.1f  %5u%s\n", x->index, (unsigned long long)x->address, (double)x->system_bytes / (1 << 20),
			   (double)x->used_bytes / (1 << 20), (double)x->free_bytes / (1 << 20), (double)x->top_bytes / (1 << 20), x->heaps,
			   x->consistent ? "" : "  inconsistent");
	}
	out_puts(p->o, "\nSTATES                blocks       MiB\n");
	for (size_t i = 0; i < r->n_states; i++)
		out_printf(p->o, "  %-12s %13s %9.3f\n", r->states[i].state, text_count(r->states[i].blocks).text, (double)r->states[i].bytes / (1 << 20));
	out_puts(p->o, "\nCLASSES               blocks       MiB\n");
	for (int i = CLASS_REACHABLE; i <= CLASS_RUNTIME; i++)
		out_printf(p->o, "  %-12s %13s %9.3f\n", block_class_name((enum block_class)i), text_count(r->classes[i].blocks).text,
			   (double)r->classes[i].bytes / (1 << 20));
	out_printf(p->o, "  %-12s %13s %9.3f  (of reachable)\n", "stack only", text_count(r->stack_only.blocks).text, (double)r->stack_only.bytes / (1 << 20));
	for (int i = 0, first = 1; p->s->graph && i < N_INTERIOR_RULES; i++)
		if (p->s->graph->rule_counts[i]) {
			out_printf(p->o, "%s%s %llu", first ? "\nINTERIOR RULES  " : ", ", interior_rule_name((enum interior_rule)i),
				   (unsigned long long)p->s->graph->rule_counts[i]);
			first = 0;
		}
	const struct timings *t = &p->s->timings;
	out_printf(p->o, "\nTIMES  read %.3f s, walk %.3f, classes %.3f, holders %.3f; found by %s\n\n", t->read, t->walk, t->mark, t->holders,
		   p->s->alloc->facts.found_by);
}

static void caveats(struct page *p)
{
	const struct report *r = p->r;
	size_t n = r->findings.n, shown = p->a->verbose || n < 5 ? n : 5;
	for (size_t i = 0; i < shown; i++) {
		const struct finding *f = r->findings.at[i];
		out_puts(p->o, i ? "         " : "FINDING  ");
		if (f->address)
			out_printf(p->o, "0x%llx: ", (unsigned long long)f->address);
		out_printf(p->o, "%s\n", f->text);
	}
	if (shown < n || r->findings_dropped)
		out_printf(p->o, "         %s more (-v)\n", text_count(n - shown + r->findings_dropped).text);
	for (size_t i = 0; i < r->notes.n; i++) {
		out_puts(p->o, i ? "      " : "NOTE  ");
		foreign(p, r->notes.at[i], (int)strlen(r->notes.at[i]));
		out_puts(p->o, "\n");
	}
}

static void next(struct page *p)
{
	char target[64];
	if (!p->s->blocks)
		return;
	if (p->s->target->live)
		snprintf(target, sizeof target, "%d", (int)p->s->target->pid);
	else
		snprintf(target, sizeof target, "CORE");
	out_puts(p->o, "NEXT  ");
	if (p->r->classes[CLASS_DEFINITE].blocks)
		out_printf(p->o, "flotsam blocks %s --class definite  |  ", target);
	out_printf(p->o, "flotsam %s -v  |  flotsam %s --format json\n", target, target);
}

void report_text(const struct arguments *a, const struct report *r, struct out *o)
{
	struct page p = { a, r, r->session, o };
	if (a->quiet) {
		verdict(&p);
		return;
	}
	identity(&p);
	verdict(&p);
	rss_table(&p);
	leaks(&p);
	holders(&p);
	pins(&p);
	verbose(&p);
	caveats(&p);
	next(&p);
}

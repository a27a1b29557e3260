/* The report for people: identity and cost, the verdict, the table that adds up, leaks, holders, why heaps do not shrink,
 * caveats, what to do next. 80 columns (names get more on a wider terminal); every figure is computed; nothing is cut in
 * silence. */
#include "cmd.h"

#include <unistd.h>

enum { COLUMNS = 80 };

struct page {
	const struct arguments *a;
	const struct report *r;
	const struct session *s;
	struct out *o;
	int extra;	/* columns that the terminal has beyond 80 */
};

static void heading(struct page *p, const char *text)
{
	out_ink(p->o, INK_BOLD);
	out_puts(p->o, text);
	out_ink(p->o, INK_PLAIN);
}

/* A heading whose last words stand above right-aligned columns. */
static void table_heading(struct page *p, const char *left, int width, const char *right)
{
	out_ink(p->o, INK_BOLD);
	out_printf(p->o, "%-*s%s\n", width + p->extra, left, right);
	out_ink(p->o, INK_PLAIN);
}

static const char *plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

static void identity(struct page *p)
{
	const struct session *s = p->s;
	const struct picture *pic = &s->target->picture;
	const struct timings *t = &s->timings;
	struct strbuf b = { 0 };
	heading(p, "flotsam " FLOTSAM_VERSION "  ");
	text_add_foreign(&b, s->target->comm[0] ? s->target->comm : "?", p->o);
	out_ink(p->o, INK_BOLD);
	out_puts(p->o, b.text ? b.text : "?");
	out_ink(p->o, INK_PLAIN);
	strbuf_free(&b);
	out_puts(p->o, s->target->live ? " (" : " (core");
	if (s->target->pid)
		out_printf(p->o, s->target->live ? "pid %d" : " of pid %d", (int)s->target->pid);
	if (s->uptime >= 0)
		out_printf(p->o, ", up %s", text_duration(s->uptime).text);
	out_printf(p->o, ", %zu %s)  %s", pic->threads.n, plural(pic->threads.n, "thread", "threads"), s->target->arch->name);
	out_printf(p->o, " %s%s%s\n", strcmp(s->alloc->facts.name, "unknown") ? s->alloc->facts.name : "unknown malloc", s->alloc->facts.version[0] ? " " : "",
		   s->alloc->facts.version);
	if (pic->stopped_seconds >= 0)
		out_printf(p->o, "stopped for %s, ", text_elapsed(pic->stopped_seconds).text);
	out_printf(p->o, "%s read, reported after %s\n\n", text_size(pic->read_bytes).text,
		   text_elapsed(t->read + t->walk + t->mark + t->holders + t->types).text);
}

/* On a terminal a preview is for the one who looks; in files and pipes only when asked for. */
static bool show_content(const struct page *p)
{
	return p->a->show_content || (isatty(p->o->fd) && !p->a->output);
}

/* What a group without a name may be. */
static void likely(struct page *p, const struct leak_group *g)
{
	for (unsigned i = 0; i < g->likely.n; i++) {
		const struct likely_type *l = &g->likely.at[i];
		struct strbuf name = { 0 }, shown = { 0 };
		char right[80];
		int n = snprintf(right, sizeof right, ": fits %u of %u looked at", l->fits, g->likely.looked_at);
		if (l->in_use)
			n += snprintf(right + n, sizeof right - (size_t)n, "; %s in use %s one", text_count(l->in_use).text, l->in_use == 1 ? "is" : "are");
		type_table_name(p->r->session->types->typing->table, l->type, &name);
		text_add_foreign(&shown, name.text ? name.text : "", p->o);
		out_printf(p->o, "        %s ", i ? "or" : "perhaps");
		out_printf(p->o, "%.*s%s\n", COLUMNS - (i ? 11 : 16) - n + p->extra, shown.text ? shown.text : "", right);
		strbuf_free(&name);
		strbuf_free(&shown);
	}
}

static void one_leak(struct page *p, const struct leak_group *g, struct unit u)
{
	bool sized = !strcmp(g->identified_by, "size");
	out_printf(p->o, "  L%-4u ", g->number);
	out_cell(p->o, sized ? "unknown type" : g->label, 23 + p->extra);
	out_printf(p->o, " %-7s %10s %9s %9s %9s\n", sized ? "" : g->identified_by, text_size(g->size).text, text_count(g->blocks).text,
		   text_in(u, g->bytes).text, text_in(u, g->retained_bytes).text);
	if (g->preview && show_content(p)) {
		out_ink(p->o, INK_DIM);
		out_puts(p->o, "         \"");
		struct strbuf b = { 0 };
		text_add_foreign(&b, g->preview, p->o);
		out_printf(p->o, "%.*s\"\n", COLUMNS - 11 + p->extra, b.text ? b.text : "");
		strbuf_free(&b);
		out_ink(p->o, INK_PLAIN);
	}
	likely(p, g);
	if (!p->a->verbose)
		return;
	out_puts(p->o, "        ");
	for (unsigned i = 0; i < g->n_samples; i++)
		out_printf(p->o, " 0x%llx", (unsigned long long)g->sample[i]);
	out_puts(p->o, g->blocks > g->n_samples ? " ...\n" : "\n");
}

static const char *dots(const struct page *p)
{
	return p->o->unicode ? "\xe2\x80\xa6" : "...";
}

static size_t limit(const struct page *p, size_t n)
{
	return p->a->top && p->a->top < n ? p->a->top : n;
}

static void leaks(struct page *p)
{
	const struct report *r = p->r;
	char right[64];
	if (!r->leaks.n)
		return;
	uint64_t most = 0;
	for (size_t i = 0; i < r->leaks.n; i++)
		most = r->leaks.at[i].retained_bytes > most ? r->leaks.at[i].retained_bytes : most;
	struct unit u = unit_for(most);
	snprintf(right, sizeof right, "%8s %10s %9s %9s %9s", "", "size", "blocks", u.name, "retained");
	table_heading(p, r->at_most ? "LEAKED, AT MOST" : "LEAKED", 31, right);
	size_t n = limit(p, r->leaks.n);
	for (size_t i = 0; i < n; i++)
		one_leak(p, &r->leaks.at[i], u);
	if (n < r->leaks.n)
		out_printf(p->o, "  %s %s more (--top 0)\n", dots(p), text_count(r->leaks.n - n).text);
	out_puts(p->o, "\n");
}

/* Frames and registers hold what a thread works on: no suspicion, listed when they hold much, or with -v. */
static bool listed(const struct page *p, const struct holder_line *h)
{
	return p->a->verbose || !h->stack || h->retained_bytes >= p->r->used.bytes / 10;
}

static void one_holder(struct page *p, const struct holder_line *h, struct unit u)
{
	out_printf(p->o, "  H%-4u ", h->number);
	if (h->where && *h->where) {
		out_cell(p->o, h->name, 27 + p->extra);
		out_puts(p->o, " ");
		out_cell(p->o, h->where, 24);
	} else {
		out_cell(p->o, h->name, 52 + p->extra);
	}
	out_printf(p->o, " %9s %9s\n", text_count(h->retained_blocks).text, text_in(u, h->retained_bytes).text);
	if (!h->container)
		return;
	enum { TYPE_COLUMNS = 48 };
	struct strbuf t = { 0 }, member = { 0 };
	text_add_foreign(&t, h->container, p->o);
	if (t.text)
		text_elide(t.text, TYPE_COLUMNS + p->extra);
	text_add_foreign(&member, h->member ? h->member : "", p->o);
	out_puts(p->o, "        ");
	if (h->member)
		out_printf(p->o, h->stack ? "local %s: " : "%s: ", member.text);
	out_puts(p->o, t.text ? t.text : "");
	if (h->items != UNKNOWN)
		out_printf(p->o, ", %s %s%s", text_count(h->items).text, h->characters ? "character" : "item", h->items == 1 ? "" : "s");
	out_puts(p->o, "\n");
	strbuf_free(&t);
	strbuf_free(&member);
}

static void holders(struct page *p)
{
	const struct report *r = p->r;
	size_t candidates = 0, shown = 0;
	char right[32];
	for (size_t i = 0; i < r->holders.n; i++)
		candidates += listed(p, &r->holders.at[i]);
	if (!candidates)
		return;
	struct unit u = unit_for(r->holders.at[0].retained_bytes);
	snprintf(right, sizeof right, " %9s %9s", "blocks", u.name);
	table_heading(p, "KEPT ALIVE BY  (what you would get back if it were emptied)", 60, right);
	size_t n = limit(p, candidates);
	for (size_t i = 0; i < r->holders.n && shown < n; i++)
		if (listed(p, &r->holders.at[i])) {
			one_holder(p, &r->holders.at[i], u);
			shown++;
		}
	if (shown < candidates)
		out_printf(p->o, "  %s %s more (--top 0)\n", dots(p), text_count(candidates - shown).text);
	if (candidates < r->holders.n)
		out_printf(p->o, "  %s %s of threads at work (-v)\n", dots(p), text_count(r->holders.n - candidates).text);
	out_puts(p->o, "\n");
}

/* "12.0 MiB of 40-byte Timer blocks keep 610 MiB resident". */
static void sparse(struct page *p)
{
	const struct sparse_label *x = &p->r->sparse;
	struct strbuf b = { 0 };
	struct paragraph line;
	if (!x->label)
		return;
	report_sparse(&b, x, p->r->page, p->r->rss.known, p->o);
	paragraph_begin(&line, p->o, "  ", COLUMNS);
	paragraph_add(&line, b.text ? b.text : "");
	paragraph_end(&line);
	strbuf_free(&b);
}

static void one_pin(struct page *p, const struct pin *x)
{
	struct strbuf b = { 0 };
	struct paragraph line;
	char lead[48];
	snprintf(lead, sizeof lead, "  arena %d (of %zu): ", x->arena, p->s->alloc->arenas.n);
	strbuf_printf(&b, "%s of the %s heap is free", text_size(x->free_below_top).text, text_size(x->heap_bytes).text);
	strbuf_printf(&b, " below the block that lies last, %s bytes at 0x%llx: ", text_count(x->block_bytes).text, (unsigned long long)x->block);
	text_add_foreign(&b, x->label, p->o);
	if (x->holder) {
		strbuf_puts(&b, ", held by ");
		text_add_foreign(&b, x->holder, p->o);
	}
	strbuf_printf(&b, ". Without it %s would come back", text_size(x->freed_resident).text);
	paragraph_begin(&line, p->o, lead, COLUMNS);
	paragraph_add(&line, b.text ? b.text : "");
	paragraph_end(&line);
	strbuf_free(&b);
}

static void pins(struct page *p)
{
	if (!p->r->pins.n && !p->r->sparse.label)
		return;
	heading(p, "WHY IT DOES NOT SHRINK\n");
	sparse(p);
	size_t n = limit(p, p->r->pins.n);
	for (size_t i = 0; i < n; i++)
		one_pin(p, &p->r->pins.at[i]);
	if (n < p->r->pins.n)
		out_printf(p->o, "  %s %s more (--top 0)\n", dots(p), text_count(p->r->pins.n - n).text);
	out_puts(p->o, "\n");
}

static void sums_line(struct page *p, const char *name, struct class_sum s, const char *tail)
{
	out_printf(p->o, "  %-16s %13s %12s%s\n", name, text_count(s.blocks).text, text_in(unit_for(p->r->used.bytes), s.bytes).text, tail);
}

static void verbose(struct page *p)
{
	const struct report *r = p->r;
	struct unit u = unit_for(r->used.bytes);
	const char *unit = u.name;
	if (!p->a->verbose || !p->s->blocks)
		return;
	out_ink(p->o, INK_BOLD);
	out_printf(p->o, "%-21s %10s %10s %10s %10s %6s\n", "ARENAS", unit, "used", "free", "top", "heaps");
	out_ink(p->o, INK_PLAIN);
	for (size_t i = 0; i < r->arenas.n; i++) {
		const struct arena_line *x = &r->arenas.at[i];
		out_printf(p->o, "  %-4d 0x%-12llx %10s %10s %10s %10s %6u%s\n", x->index, (unsigned long long)x->address, text_in(u, x->system_bytes).text,
			   text_in(u, x->used_bytes).text, text_in(u, x->free_bytes).text, text_in(u, x->top_bytes).text, x->heaps,
			   x->consistent ? "" : " damaged");
	}
	out_ink(p->o, INK_BOLD);
	out_printf(p->o, "\n%-18s %13s %12s\n", "STATES", "blocks", unit);
	out_ink(p->o, INK_PLAIN);
	for (size_t i = 0; i < r->n_states; i++)
		sums_line(p, r->states[i].state, (struct class_sum){ r->states[i].blocks, r->states[i].bytes }, "");
	out_ink(p->o, INK_BOLD);
	out_printf(p->o, "\n%-18s %13s %12s\n", "CLASSES", "blocks", unit);
	out_ink(p->o, INK_PLAIN);
	for (int i = CLASS_REACHABLE; i <= CLASS_RUNTIME; i++)
		sums_line(p, block_class_name((enum block_class)i), r->classes[i], "");
	sums_line(p, "stack only", r->stack_only, "  (a part of reachable)");
	struct paragraph line;
	struct strbuf rules = { 0 };
	for (int i = 0; p->s->graph && i < N_INTERIOR_RULES; i++)
		if (p->s->graph->rule_counts[i])
			strbuf_printf(&rules, "%s%s %s", rules.n ? ", " : "", interior_rule_name((enum interior_rule)i),
				      text_count(p->s->graph->rule_counts[i]).text);
	out_puts(p->o, "\n");
	if (rules.n) {
		paragraph_begin(&line, p->o, "INTERIOR RULES  ", COLUMNS);
		paragraph_add(&line, rules.text);
		paragraph_end(&line);
	}
	strbuf_free(&rules);
	const struct timings *t = &p->s->timings;
	out_printf(p->o, "TIMES  read %s, walk %s", text_elapsed(t->read).text, text_elapsed(t->walk).text);
	out_printf(p->o, ", classes %s, holders %s; found by %s\n\n", text_elapsed(t->mark).text, text_elapsed(t->holders).text, p->s->alloc->facts.found_by);
}

static void caveat(struct page *p, const char *lead, uint64_t address, const char *text)
{
	struct paragraph line;
	char at[32];
	paragraph_begin(&line, p->o, lead, COLUMNS);
	if (address) {
		snprintf(at, sizeof at, "0x%llx:", (unsigned long long)address);
		paragraph_add(&line, at);
	}
	paragraph_add(&line, text);
	paragraph_end(&line);
}

static void caveats(struct page *p)
{
	enum { FEW = 5 };
	const struct report *r = p->r;
	size_t n = r->findings.n, shown = p->a->verbose || n < FEW ? n : FEW;
	for (size_t i = 0; i < shown; i++)
		caveat(p, "FINDING  ", r->findings.at[i]->address, r->findings.at[i]->text);
	if (shown < n || r->findings_dropped)
		out_printf(p->o, "         %s %s more findings%s\n", dots(p), text_count(n - shown + r->findings_dropped).text, shown < n ? " (-v)" : "");
	for (size_t i = 0; i < r->notes.n; i++)
		caveat(p, "NOTE  ", 0, r->notes.at[i]);
}

void cmd_add_target(struct strbuf *to, const struct arguments *a)
{
	const char *t = a->target ? a->target : "TARGET", *q;
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+,:@%";
	if (!t[strspn(t, plain)]) {
		strbuf_puts(to, t);
		return;
	}
	strbuf_puts(to, "'");
	for (; (q = strchr(t, '\'')); t = q + 1) {
		strbuf_add(to, t, (size_t)(q - t));
		strbuf_puts(to, "'\\''");
	}
	strbuf_puts(to, t);
	strbuf_puts(to, "'");
}

/* At the prompt: the numbers of the page are what one asks about. */
static void next_here(struct page *p)
{
	out_puts(p->o, "NEXT  ");
	if (p->r->leaks.n)
		out_puts(p->o, "show L1   why L1   blocks leaked group by label   ");
	if (p->r->holders.n)
		out_puts(p->o, "tree H1   ");
	out_puts(p->o, "help\n");
}

/* The largest leak has no name, and types were not told though there is DWARF. */
static bool types_would_help(const struct page *p)
{
	const struct types *t = p->s->types;
	if (!p->r->leaks.n || strcmp(p->r->leaks.at[0].identified_by, identified_by_name(BY_SIZE)) || !t || t->kept || t->typed_labels || !p->s->modules)
		return false;
	return p->s->types_because == BECAUSE_COSTLY || (p->s->types_because == BECAUSE_ASKED && modules_dwarf_bytes(p->s->modules) - 1 < UNKNOWN - 1);
}

static void next(struct page *p)
{
	struct strbuf t = { 0 };
	if (!p->s->blocks)
		return;
	if (p->a->prompt) {
		next_here(p);
		return;
	}
	cmd_add_target(&t, p->a);
	/* The longest of these lines has room for so many characters of it. */
	if (t.text && strlen(t.text) > 21)
		strbuf_free(&t);
	const char *target = t.text ? t.text : "TARGET";
	char command[80];
	const char *lead = "NEXT  ";
	if (types_would_help(p)) {
		snprintf(command, sizeof command, "flotsam report %s --types=all", target);
		out_printf(p->o, "%s%-46s what L1 may be, by DWARF\n", lead, command);
		lead = "      ";
	}
	if (p->r->classes[CLASS_DEFINITE].blocks && !verdict_without_leaks(p->r)) {
		snprintf(command, sizeof command, "flotsam blocks %s --class definite", target);
		out_printf(p->o, "%s%-46s each lost block\n", lead, command);
		lead = "      ";
	}
	snprintf(command, sizeof command, "flotsam shell %s", target);
	out_printf(p->o, "%s%-46s who holds it, and why: help\n", lead, command);
	lead = "      ";
	if (!p->a->verbose) {
		snprintf(command, sizeof command, "flotsam report %s -v", target);
		out_printf(p->o, "%s%-46s arenas, states, addresses\n", lead, command);
		lead = "      ";
	}
	snprintf(command, sizeof command, "flotsam report %s --format json", target);
	out_printf(p->o, "%s%-46s all of it, for programs\n", lead, command);
	strbuf_free(&t);
}

/* Labels by DWARF are worth as much as they name. */
static void types_named(struct page *p)
{
	struct typed_rows rows = { 0 };
	struct strbuf t = { 0 };
	struct paragraph g;
	if (!p->s->types || !p->s->types->typed_labels)
		return;
	struct err *e = types_rows(p->s->types, &rows);
	if (!e) {
		coverage_text(&rows, &t);
		without_dwarf_text(p->s, &t);
		paragraph_begin(&g, p->o, "", COLUMNS);
		paragraph_add(&g, t.text ? t.text : "");
		paragraph_end(&g);
		out_puts(p->o, "\n");
	}
	err_free(e);
	strbuf_free(&t);
	typed_rows_free(&rows);
}

void report_text(const struct arguments *a, const struct report *r, const struct verdicts *v, struct out *o)
{
	struct page p = { a, r, r->session, o, o->width > COLUMNS ? o->width - COLUMNS : 0 };
	if (a->quiet) {
		report_verdict(a, r, v, o, 0);
		return;
	}
	if (p.extra > 60)
		p.extra = 60;
	identity(&p);
	types_named(&p);
	report_verdict(a, r, v, o, COLUMNS);
	out_puts(o, "\n");
	rss_table_text(p.s, &p.r->rss, o);
	leaks(&p);
	holders(&p);
	pins(&p);
	verbose(&p);
	caveats(&p);
	if (a->verbose && p.s->sandbox[0])
		caveat(&p, "SHUT IN  ", 0, p.s->sandbox);
	next(&p);
}

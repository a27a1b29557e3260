/* flotsam system: what the kernel would refuse now and why, and the figures behind it. 80 columns. */
#include "cmd.h"

/* Every row is a sum of fixed widths, and every value has a most of characters: text_size() 8, text_percent() 5. */
enum { COLUMNS = 80, LABEL = 14, ORDER = 6, ZONE = 18, GROUP = 29 };

static void heading(struct out *o, const char *left, int width, const char *right)
{
	out_ink(o, INK_BOLD);
	out_printf(o, "%-*s%s\n", width, left, right);
	out_ink(o, INK_PLAIN);
}

static const char *size(uint64_t bytes, struct short_text *t)
{
	if (bytes == UNKNOWN)
		return "?";
	*t = text_size(bytes);
	return t->text;
}

static void verdicts(const struct machine *m, struct out *o)
{
	static const enum ink inks[] = { INK_RED, INK_YELLOW, INK_BOLD, INK_DIM };
	for (size_t i = 0; i < m->verdicts.n; i++) {
		const struct machine_verdict *v = &m->verdicts.at[i];
		struct paragraph p;
		char lead[16];
		snprintf(lead, sizeof lead, "%-6s", verdict_when_name(v->when));
		out_ink(o, inks[v->when]);
		paragraph_begin(&p, o, lead, COLUMNS);
		paragraph_ink(&p, INK_PLAIN);
		paragraph_add(&p, v->text);
		paragraph_end(&p);
		if (!v->step)
			continue;
		paragraph_begin(&p, o, "      try: ", COLUMNS);
		paragraph_add(&p, v->step);
		paragraph_end(&p);
	}
	if (!m->verdicts.n || m->verdicts.at[0].when > VERDICT_SOON)
		out_puts(o, "Nothing would fail now for want of memory, as far as these figures tell.\n");
	out_puts(o, "\n");
}

static void memory(const struct machine *m, struct out *o)
{
	const struct system_memory *x = &m->memory;
	struct short_text a, b, c, d;
	heading(o, "MEMORY", 0, "");
	out_printf(o, "  %s in all, available %s, free %s, page cache %s\n", size(x->total, &a), size(x->available, &b), size(x->free, &c), size(x->cached, &d));
	out_printf(o, "  anonymous %s, shared %s, slab %s (reclaimable %s)\n", size(x->anon, &a), size(x->shmem, &b),
		   size(x->slab_unreclaimable == UNKNOWN || x->slab_reclaimable == UNKNOWN ? UNKNOWN : x->slab_unreclaimable + x->slab_reclaimable, &c),
		   size(x->slab_reclaimable, &d));
	out_printf(o, "  page tables %s, kernel stacks %s, hugetlb %s\n", size(x->page_tables, &a), size(x->kernel_stacks, &b), size(x->hugetlb, &c));
	if (x->swap_total)
		out_printf(o, "  swap %s, of it free %s, in %zu %s\n", size(x->swap_total, &a), size(x->swap_free, &b), m->swaps.n, m->swaps.n == 1 ? "area" : "areas");
	else
		out_puts(o, "  no swap\n");
	static const char *const modes[] = { "heuristic (0)", "always (1)", "strict (2)" };
	out_printf(o, "  overcommit %s: %s promised, limit %s", x->overcommit < 3 ? modes[x->overcommit] : "unknown", size(x->committed, &a), size(x->commit_limit, &b));
	out_puts(o, x->overcommit == 2 ? "" : " (not binding)\n");
	if (x->overcommit == 2)
		out_printf(o, ", room %s\n", size(m->commit_room, &c));
	if (m->pressure.known)
		out_printf(o, "  pressure: of 10 s some waited %.1f %%, all %.1f %%; of 300 s %.1f, %.1f\n", m->pressure.some[0], m->pressure.full[0],
			   m->pressure.some[2], m->pressure.full[2]);
	out_puts(o, "\n");
}

static const char *count(uint64_t n, struct short_text *t)
{
	if (n == UNKNOWN)
		return "?";
	*t = text_count_short(n);
	return t->text;
}

static void counters(const struct machine *m, struct out *o)
{
	const struct system_counters *c = &m->counters;
	struct short_text t[4];
	heading(o, "SINCE BOOT", 0, "");
	const struct system_memory *x = &m->memory;
	out_printf(o, "  OOM kills %s, direct reclaims %s\n", count(c->oom_kills, &t[0]), count(c->direct_reclaims, &t[1]));
	out_printf(o, "  pages swapped in %s, out %s\n", count(c->swapped_in, &t[0]), count(c->swapped_out, &t[1]));
	out_printf(o, "  direct compactions %s, of them failed %s\n", count(c->compact_stalls, &t[0]), count(c->compact_failures, &t[1]));
	out_printf(o, "  huge pages: %s, defrag %s\n", x->thp[0] ? x->thp : "?", x->thp_defrag[0] ? x->thp_defrag : "?");
	out_printf(o, "    at faults %s, not had %s\n", count(c->thp_faults, &t[0]), count(c->thp_fallbacks, &t[1]));
	out_printf(o, "    later %s, not had %s\n\n", count(c->thp_collapses, &t[0]), count(c->thp_collapse_failures, &t[1]));
}

static void zone_name(const struct system_zone *z, char *to, size_t n)
{
	snprintf(to, n, "  %u %s", z->node, z->name);
}

static bool has_pages(const struct system_zone *z)
{
	return z->orders || (z->managed && z->managed != UNKNOWN);
}

static const char *zone_state(const struct system_zone *z)
{
	if (z->free == UNKNOWN || z->min == UNKNOWN || z->low == UNKNOWN)
		return "";
	return z->free < z->min ? "  below min" : z->free < z->low ? "  below low" : "";
}

static void zones(const struct machine *m, struct out *o)
{
	struct short_text t[4];
	char name[32];
	if (!m->zones.list.n)
		return;
	heading(o, "ZONES (node, name)", ZONE, "      free       min       low      high unmovable");
	for (size_t i = 0; i < m->zones.list.n; i++) {
		const struct system_zone *z = &m->zones.list.at[i];
		if (!has_pages(z))
			continue;
		const uint64_t pages[] = { z->free, z->min, z->low, z->high };
		zone_name(z, name, sizeof name);
		out_cell(o, name, ZONE);
		for (size_t k = 0; k < 4; k++)
			out_printf(o, " %9s", size(pages[k] == UNKNOWN || __builtin_mul_overflow(pages[k], m->page, &(uint64_t){ 0 }) ? UNKNOWN : pages[k] * m->page, &t[k]));
		out_printf(o, " %7s %%%s\n", z->pageblocks ? text_percent(z->pageblocks_unmovable, z->pageblocks).text : "?", zone_state(z));
	}
	out_puts(o, "\n");
}

typedef void order_cell_fn(const struct system_zone *z, unsigned order, struct short_text *to);

static void order_row(struct out *o, const char *label, const struct system_zone *z, unsigned from, unsigned end, order_cell_fn *cell)
{
	struct short_text t;
	out_cell(o, label, LABEL);
	for (unsigned order = from; order < end && order < z->orders; order++) {
		cell(z, order, &t);
		out_printf(o, "%*s", ORDER, t.text);
	}
	out_puts(o, "\n");
}

/* At most 5 characters. */
static void blocks_cell(const struct system_zone *z, unsigned order, struct short_text *to)
{
	static const char units[] = " kMGTPE";
	uint64_t n = z->blocks[order];
	double v = (double)n;
	unsigned u = 0;
	for (; v >= 999.5 && u < 6; u++)
		v /= 1000;
	if (n < 10000)
		*to = text_count(n);
	else
		snprintf(to->text, sizeof to->text, v >= 99.95 ? "%.0f%c" : "%.1f%c", v, units[u]);
}

static void unusable_cell(const struct system_zone *z, unsigned order, struct short_text *to)
{
	snprintf(to->text, sizeof to->text, "%.1f", system_unusable_index(z, order) / 10.0);
}

static void fragmentation_cell(const struct system_zone *z, unsigned order, struct short_text *to)
{
	int index = system_fragmentation_index(z, order);
	snprintf(to->text, sizeof to->text, index == -1000 ? "-" : "%.3f", index / 1000.0);
}

/* A kernel with pages of 64 KiB may have 14 orders, which are two bands. */
static void orders(const struct machine *m, struct out *o)
{
	const unsigned band = (COLUMNS - LABEL) / ORDER;
	for (unsigned from = 0; from < m->orders; from += band) {
		char name[32], right[COLUMNS + 1] = "";
		unsigned end = m->orders - from < band ? m->orders : from + band;
		for (unsigned i = from, n = 0; i < end; i++)
			n += (unsigned)snprintf(right + n, sizeof right - n, "%*u", ORDER, i);
		heading(o, "FREE, BY ORDER", LABEL, right);
		for (size_t i = 0; i < m->zones.list.n; i++) {
			const struct system_zone *z = &m->zones.list.at[i];
			if (z->orders <= from)
				continue;
			zone_name(z, name, sizeof name);
			order_row(o, name, z, from, end, blocks_cell);
			order_row(o, "    unusable %", z, from, end, unusable_cell);
			order_row(o, "    index", z, from, end, fragmentation_cell);
		}
	}
	if (!m->orders)
		return;
	if (m->served >= 0)
		out_printf(o, "  the largest request of the kernel served at once: order %d, %s\n", m->served, text_size(m->page << m->served).text);
	else
		out_puts(o, "  no request of the kernel is served at once\n");
	out_puts(o, "  index: - is served; near 1 fragmentation refuses it, near 0 lack of memory\n\n");
}

/* Nearest to its limit first; those without one have no place here, unless they are on the way of the process. */
static double nearness(const struct system_group *g)
{
	return g->limit == UNKNOWN || g->usage == UNKNOWN ? -1 : g->limit ? (double)g->usage / (double)g->limit : 2;
}

static void one_group(const struct system_group *g, struct out *o)
{
	struct short_text t[4];
	/* The kernel takes a limit that is below what is used. */
	const char *share = nearness(g) < 0 ? "" : nearness(g) > 9.99 ? ">999" : text_percent(g->usage, g->limit).text;
	out_puts(o, "  ");
	out_cell(o, g->path, GROUP);
	out_printf(o, " %9s %9s %9s", size(g->usage, &t[0]), g->limit == UNKNOWN ? "none" : size(g->limit, &t[1]), size(g->inactive_file, &t[2]));
	out_printf(o, " %6s %6s\n", share, g->oom_kills != UNKNOWN && g->oom_kills > 99999 ? ">99999" : count(g->oom_kills, &t[3]));
	bool limit = g->at_limit != UNKNOWN && g->at_limit, high = g->at_high != UNKNOWN && g->at_high;
	if (limit)
		out_printf(o, "    stood at its limit %s times%s\n", count(g->at_limit, &t[0]), g->under_oom ? ", and does now" : "");
	if (high)
		out_printf(o, "    was above memory.high %s times\n", count(g->at_high, &t[0]));
}

static void groups(const struct arguments *a, const struct machine *m, struct out *o)
{
	size_t n = 0, shown = 0;
	char title[64];
	for (size_t i = 0; i < m->groups.n; i++)
		n += m->have_process || nearness(&m->groups.at[i]) >= 0;
	snprintf(title, sizeof title, "CGROUPS (v%d)%s", m->groups.version, m->have_process ? "" : " WITH A LIMIT");
	if (!m->groups.version)
		return;
	if (!n) {
		out_printf(o, "%s: none of %zu\n\n", title, m->groups.n);
		return;
	}
	heading(o, title, 2 + GROUP, "     usage     limit  can drop      %  kills");
	bool *taken = calloc(m->groups.n, sizeof *taken);
	for (size_t most = a->top ? a->top : n; taken && shown < n && shown < most; shown++) {
		size_t best = m->groups.n;
		for (size_t i = 0; i < m->groups.n; i++)
			if (!taken[i] && (m->have_process || nearness(&m->groups.at[i]) >= 0) &&
			    (best == m->groups.n || (!m->have_process && nearness(&m->groups.at[i]) > nearness(&m->groups.at[best]))))
				best = i;
		taken[best] = true;
		one_group(&m->groups.at[best], o);
	}
	free(taken);
	if (shown < n)
		out_printf(o, "  %s %s more (--top 0)\n", o->unicode ? "\xe2\x80\xa6" : "...", text_count(n - shown).text);
	if (m->groups.cut)
		out_printf(o, "  only %d groups were read\n", (int)LIMIT_GROUPS);
	out_puts(o, "\n");
}

static void limit(struct out *o, const char *name, uint64_t usage, uint64_t most)
{
	struct short_text t[2];
	out_printf(o, "  %-36s %12s of %s\n", name, size(usage, &t[0]), most == UNKNOWN ? "no limit" : size(most, &t[1]));
}

static void process(const struct machine *m, struct out *o)
{
	const struct system_process *p = &m->process;
	struct strbuf b = { 0 };
	struct short_text t[2];
	if (!m->have_process)
		return;
	text_add_foreign(&b, p->status.name, o);
	char title[128];
	snprintf(title, sizeof title, "PROCESS %d (%s)", p->pid, b.text ? b.text : "");
	strbuf_free(&b);
	heading(o, title, 0, "");
	limit(o, "address space (VmSize, RLIMIT_AS)", p->status.vm_size, p->address_space);
	limit(o, "private memory (VmData, RLIMIT_DATA)", p->status.vm_data, p->data);
	limit(o, "locked memory (VmLck, RLIMIT_MEMLOCK)", p->status.vm_lck, p->locked);
	out_printf(o, "  %-36s %12s of %s\n", "mappings (vm.max_map_count)", count(p->mappings, &t[0]), count(m->memory.max_mappings, &t[1]));
	out_printf(o, "  resident %s, swapped out %s; oom_score %d, oom_score_adj %d\n\n", size(p->status.vm_rss, &t[0]), size(p->status.vm_swap, &t[1]), p->oom_score,
		   p->oom_score_adj);
}

static void kernel_log(const struct machine *m, struct out *o)
{
	if (!m->log.readable)
		out_puts(o, "The kernel log could not be read (CAP_SYSLOG; never at the prompt): no kills.\n");
}

void system_text(const struct arguments *a, const struct machine *m, struct out *o)
{
	out_ink(o, INK_BOLD);
	out_puts(o, "flotsam " FLOTSAM_VERSION "  the machine");
	out_ink(o, INK_PLAIN);
	out_printf(o, "%s  pages of %s\n\n", *m->root ? " as saved" : "", text_size(m->page).text);
	verdicts(m, o);
	if (a->quiet)
		return;
	process(m, o);
	memory(m, o);
	groups(a, m, o);
	zones(m, o);
	orders(m, o);
	counters(m, o);
	kernel_log(m, o);
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct machine *m;
	char *end = NULL;
	long pid = s ? (s->target->live ? (long)s->target->pid : 0) : a->target ? strtol(a->target, &end, 10) : 0;
	if (pid < 0 || pid > INT32_MAX || (end && *end))
		return err_new(ERR_USAGE, "'%s' is no process", a->target);
	TRY(query_machine(a->root ? a->root : "", (int)pid, s, &m));
	if (!strcmp(a->format, "json")) {
		system_json(m, o);
	} else if (a->command == &command_buddyinfo) {
		zones(m, o);
		orders(m, o);
	} else {
		system_text(a, m, o);
	}
	machine_free(m);
	*ret_status = EXIT_REPORT;
	return NULL;
}

const struct command command_system = {
	.name = "system",
	.summary = "the machine: what would fail now, and why",
	.formats = { "text", "json" },
	.help = "  flotsam system                       fragmentation, limits, pressure, kills\n"
		"  flotsam system 4242                  and what holds for this process alone\n"
		"  flotsam system --root ./saved        of a copy of another machine's /proc, /sys\n"
		"  flotsam system -q                    the verdicts alone\n",
	.group = GROUP_MACHINE,
	.target = TARGET_UNSEEN,
	.run = run,
};

const struct command command_buddyinfo = {
	.name = "buddyinfo",
	.summary = "free pages by zone and order, and their fragmentation",
	.formats = { "text", "json" },
	.help = "  flotsam buddyinfo\n"
		"  flotsam buddyinfo --root ./saved\n",
	.group = GROUP_MACHINE,
	.target = TARGET_UNSEEN,
	.run = run,
};

/* flotsam rss: the table of causes alone; -v splits it by arena, by mapping, by what libc owns. */
#include "cmd.h"

static const char *size(uint64_t bytes, struct short_text *t)
{
	if (bytes == UNKNOWN)
		return "?";
	*t = text_size(bytes);
	return t->text;
}

static void account(const struct memory_account *a, struct out *o)
{
	struct short_text x, y, z, w;
	if (a->rss == UNKNOWN)
		return;
	out_puts(o, "The kernel counts, after the stop:\n");
	out_printf(o, "  RSS %s = anonymous %s + files %s + shared memory %s\n", size(a->rss, &x), size(a->rss_anon, &y), size(a->rss_file, &z),
		   size(a->rss_shmem, &w));
	out_printf(o, "  PSS %s (shared pages by share), USS %s (its own alone)\n", size(a->pss, &x), size(a->uss, &y));
	out_printf(o, "  in transparent huge pages: anonymous %s, files %s, shared memory %s\n", size(a->anon_huge, &x), size(a->file_huge, &y),
		   size(a->shmem_huge, &z));
	out_printf(o, "  shared %s clean, %s dirty; locked %s; page tables %s\n", size(a->shared_clean, &x), size(a->shared_dirty, &y), size(a->locked, &z),
		   size(a->page_tables, &w));
	out_printf(o, "  swapped out %s, by share %s", size(a->swap, &x), size(a->swap_pss, &y));
	out_printf(o, a->hugetlb ? "; hugetlb pages %s, which RSS leaves out\n" : "\n", size(a->hugetlb, &x));
}

static uint64_t of(const struct rss_part *p, enum rss_cause a, enum rss_cause b, enum rss_cause c)
{
	return p->bytes[a] + p->bytes[b] + p->bytes[c];
}

static int by_total(const void *a, const void *b)
{
	const struct rss_part *x = a, *y = b;
	return x->total != y->total ? x->total > y->total ? -1 : 1 : x->arena - y->arena;
}

/* Largest first. */
static void arenas(const struct arguments *a, struct rss_split *s, struct unit u, struct out *o)
{
	static const enum rss_cause none = RSS_STACKS; /* no arena has any */
	out_ink(o, INK_BOLD);
	out_printf(o, "\n%-10s %9s %9s %9s %9s %9s %9s %9s\n", "BY ARENA", u.name, "in use", "leaked", "trimmable", "pinned", "top", "overhead");
	out_ink(o, INK_PLAIN);
	if (s->arenas.n)
		qsort(s->arenas.at, s->arenas.n, sizeof *s->arenas.at, by_total);
	size_t shown = 0, n = a->top ? a->top : s->arenas.n, all = 0;
	for (size_t i = 0; i < s->arenas.n; i++) {
		const struct rss_part *p = &s->arenas.at[i];
		char name[16];
		if (!p->total)
			continue;
		if (all++ >= n)
			continue;
		shown++;
		snprintf(name, sizeof name, p->arena == ARENA_MMAP ? "mmap" : "%d", p->arena);
		out_printf(o, "  %-8s %9s %9s", name, text_in(u, p->total).text, text_in(u, of(p, RSS_IN_USE, RSS_POSSIBLE, RSS_RUNTIME)).text);
		out_printf(o, " %9s %9s", text_in(u, p->bytes[RSS_LEAKED]).text, text_in(u, p->bytes[RSS_FREE_TRIMMABLE]).text);
		out_printf(o, " %9s %9s", text_in(u, p->bytes[RSS_FREE_PINNED]).text, text_in(u, p->bytes[RSS_FREE_TOP]).text);
		out_printf(o, " %9s\n", text_in(u, of(p, RSS_OVERHEAD, RSS_OTHER_MAPPINGS, none)).text);
	}
	if (shown < all)
		out_printf(o, "  and %s more (--top 0)\n", text_count(all - shown).text);
}

static void groups(const struct arguments *a, const char *heading, const char *members, const struct rss_group *at, size_t n, struct unit u, struct out *o)
{
	size_t shown = a->top && a->top < n ? a->top : n;
	if (!n)
		return;
	out_ink(o, INK_BOLD);
	out_printf(o, "\n%-46s %9s %10s %10s\n", heading, members, u.name, "swapped");
	out_ink(o, INK_PLAIN);
	for (size_t i = 0; i < shown; i++) {
		out_puts(o, "  ");
		/* Of a long path the end tells more. */
		size_t length = strlen(at[i].name), width = 44, cut = length > width ? length - width + 2 : 0;
		out_puts(o, cut ? ".." : "");
		out_cell(o, at[i].name + cut, (int)width - (cut ? 2 : 0));
		out_printf(o, " %9s %10s %10s\n", text_count(at[i].members).text, text_in(u, at[i].bytes).text, text_in(u, at[i].swapped).text);
	}
	if (shown < n)
		out_printf(o, "  and %s more (--top 0)\n", text_count(n - shown).text);
}

static void text(const struct arguments *a, const struct session *s, const struct rss_table *t, struct rss_split *split,
		 const struct memory_account *k, struct out *o)
{
	rss_table_text(s, t, o);
	account(k, o);
	if (!t->known)
		out_puts(o, s->target->live ? "Residency is not known (pagemap is closed): these are sizes.\n"
					    : "A core does not tell which pages were resident: these are sizes.\n");
	if (a->verbose) {
		arenas(a, split, unit_for(t->total), o);
		groups(a, "BY MAPPING", "mappings", split->mappings.at, split->mappings.n, unit_for(t->total), o);
		groups(a, "LIBC'S OWN BLOCKS", "blocks", split->runtime.at, split->runtime.n, unit_for(t->bytes[RSS_RUNTIME]), o);
	}
}

static void json_account(struct json *j, const struct memory_account *a)
{
	if (a->rss == UNKNOWN) {
		out_json_null(j, "kernel");
		return;
	}
	out_json_object(j, "kernel");
	out_json_known(j, "rss_bytes", a->rss);
	out_json_known(j, "pss_bytes", a->pss);
	out_json_known(j, "uss_bytes", a->uss);
	out_json_known(j, "rss_anon_bytes", a->rss_anon);
	out_json_known(j, "rss_file_bytes", a->rss_file);
	out_json_known(j, "rss_shmem_bytes", a->rss_shmem);
	out_json_known(j, "shared_clean_bytes", a->shared_clean);
	out_json_known(j, "shared_dirty_bytes", a->shared_dirty);
	out_json_known(j, "anon_huge_bytes", a->anon_huge);
	out_json_known(j, "file_huge_bytes", a->file_huge);
	out_json_known(j, "shmem_huge_bytes", a->shmem_huge);
	out_json_known(j, "hugetlb_bytes", a->hugetlb);
	out_json_known(j, "swap_bytes", a->swap);
	out_json_known(j, "swap_pss_bytes", a->swap_pss);
	out_json_known(j, "locked_bytes", a->locked);
	out_json_known(j, "page_table_bytes", a->page_tables);
	out_json_end_object(j);
}

static void json_groups(struct json *j, const char *key, const char *members, const struct rss_group *at, size_t n)
{
	out_json_array(j, key);
	for (size_t i = 0; i < n; i++) {
		out_json_object(j, NULL);
		out_json_string(j, "name", at[i].name);
		out_json_u64(j, members, at[i].members);
		out_json_u64(j, "bytes", at[i].bytes);
		out_json_u64(j, "swapped_bytes", at[i].swapped);
		out_json_end_object(j);
	}
	out_json_end_array(j);
}

static void json_split(struct json *j, const struct rss_split *s)
{
	out_json_array(j, "arenas");
	for (size_t i = 0; i < s->arenas.n; i++) {
		const struct rss_part *p = &s->arenas.at[i];
		if (!p->total)
			continue;
		out_json_object(j, NULL);
		if (p->arena == ARENA_MMAP)
			out_json_string(j, "arena", "mmap");
		else
			out_json_i64(j, "arena", p->arena);
		out_json_u64(j, "bytes", p->total);
		out_json_object(j, "causes");
		for (int k = 0; k < RSS_CAUSES; k++)
			if (p->bytes[k])
				out_json_u64(j, rss_cause_name((enum rss_cause)k), p->bytes[k]);
		out_json_end_object(j);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	json_groups(j, "mappings", "mappings", s->mappings.at, s->mappings.n);
	json_groups(j, "runtime", "blocks", s->runtime.at, s->runtime.n);
}

static void json(const struct session *s, const struct rss_table *t, const struct rss_split *split, const struct memory_account *k, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.rss/1");
	report_json_identity(&j, s);
	report_json_rss(&j, s, t);
	json_account(&j, k);
	out_json_object(&j, "split");
	json_split(&j, split);
	out_json_end_object(&j);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct memory_account k;
	struct rss_table t;
	struct rss_split split = { 0 };
	/* First: the less time passes since the stop, the better the two accounts fit. */
	memory_account(s, &k);
	TRY(session_graph(s));
	TRY(session_types(s));
	struct err *e = memory_rss(s, &t, &split);
	if (!e && strcmp(a->format, "json"))
		text(a, s, &t, &split, &k, o);
	else if (!e)
		json(s, &t, &split, &k, o);
	rss_split_free(&split);
	*ret_status = !s->blocks || s->alloc->partial || s->target->picture.truncated ? EXIT_PARTIAL : EXIT_REPORT;
	return e;
}

const struct command command_rss = {
	.name = "rss",
	.summary = "resident memory by cause, and the kernel's account",
	.formats = { "text", "json" },
	.help = "  flotsam rss 4242\n"
		"  flotsam rss 4242 -v                  by arena, by mapping, libc's own blocks\n"
		"  flotsam rss 4242 --format json | jq .kernel.pss_bytes\n",
	.group = GROUP_MACHINE,
	.on_census = true,
	.run = run,
};

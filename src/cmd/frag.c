/* flotsam frag: who pins the heap: sparse pages by label, the last live block of each heap, free memory by length of run. */
#include "cmd.h"

enum { COLUMNS = 80, MIB = 1 << 20 };

void report_sparse(struct strbuf *to, const struct sparse_label *x, uint64_t page, bool resident, const struct out *o)
{
	struct strbuf raw = { 0 };
	verdict_sparse(&raw, x, page, resident);
	text_add_foreign(to, raw.text ? raw.text : "", o);
	strbuf_free(&raw);
}

/* Memory that malloc uses over memory that the program uses, less one. */
static double overhead(const struct frag *f)
{
	return f->used_bytes ? (double)f->resident / (double)f->used_bytes - 1 : 0;
}

static void say(struct out *o, const char *lead, const char *text)
{
	struct paragraph p;
	paragraph_begin(&p, o, lead, COLUMNS);
	paragraph_add(&p, text);
	paragraph_end(&p);
}

static void figures(const struct frag *f, struct out *o)
{
	struct strbuf t = { 0 };
	strbuf_printf(&t, "%.1f %%: arenas have %s %s for %s in use", 100 * overhead(f), text_size(f->resident).text, f->residency_known ? "resident" : "mapped",
		      text_size(f->used_bytes).text);
	strbuf_puts(&t, " (memory that malloc uses over memory that the program uses, less one, at this moment: the first measure of Johnstone and Wilson, "
			"\"The Memory Fragmentation Problem: Solved?\", ISMM 1998)");
	say(o, "FRAGMENTATION  ", t.text ? t.text : "");
	strbuf_free(&t);
	strbuf_printf(&t, "largest free %s of %s, %s of it at tops; a larger request grows the heap. Of the free memory %.1f %% lies in runs below 4 KiB, %.1f %% in runs below 1 MiB",
		      text_size(f->largest_run).text, text_size(f->free_bytes).text, text_size(f->top_bytes).text, 100 * frag_unusable(f, 4096),
		      100 * frag_unusable(f, MIB));
	strbuf_puts(&t, " (the kernel's unusable free space index, on runs of free chunks)");
	say(o, "FREE           ", t.text ? t.text : "");
	strbuf_free(&t);
	out_puts(o, "\n");
}

static size_t limit(const struct arguments *a, size_t n)
{
	return a->top && a->top < n ? a->top : n;
}

static void more(struct out *o, size_t shown, size_t all)
{
	if (shown < all)
		out_printf(o, "  and %s more (--top 0)\n", text_count(all - shown).text);
	out_puts(o, "\n");
}

static void sparse(const struct arguments *a, const struct frag *f, struct out *o)
{
	struct unit u = unit_for(f->sparse_pages * f->page);
	if (!f->sparse_pages)
		return;
	say(o, "SPARSE PAGES  ", "half free or more, yet not empty; each counts for the label that has most bytes on it");
	out_ink(o, INK_BOLD);
	out_printf(o, "  sizes in %-25s %10s %9s %9s %10s\n", u.name, "blocks", "live", "keep", "pages");
	out_ink(o, INK_PLAIN);
	size_t n = limit(a, f->sparse.n);
	for (size_t i = 0; i < n; i++) {
		const struct sparse_label *x = &f->sparse.at[i];
		out_puts(o, "  ");
		out_cell(o, x->label, 34);
		out_printf(o, " %10s %9s", text_count(x->blocks).text, text_in(u, x->live_bytes).text);
		out_printf(o, " %9s %10s\n", text_in(u, x->pages * f->page).text, text_count(x->pages).text);
	}
	out_printf(o, "  %-34s %10s %9s", "sum", "", text_in(u, f->sparse_bytes).text);
	out_printf(o, " %9s %10s\n", text_in(u, f->sparse_pages * f->page).text, text_count(f->sparse_pages).text);
	struct strbuf t = { 0 };
	report_sparse(&t, &f->sparse.at[0], f->page, f->residency_known, o);
	say(o, "  ", t.text ? t.text : "");
	strbuf_free(&t);
	more(o, n, f->sparse.n);
}

static void one_pin(const struct arguments *a, const struct session *s, const struct heap_pin *x, struct out *o)
{
	struct strbuf t = { 0 };
	char lead[48];
	if (a->prompt)
		snprintf(lead, sizeof lead, "  %-3u arena %d: ", desk_number(a->desk, x->block), x->arena);
	else
		snprintf(lead, sizeof lead, "  arena %d: ", x->arena);
	strbuf_printf(&t, "heap 0x%llx, %s", (unsigned long long)x->start, text_size(x->end - x->start).text);
	strbuf_printf(&t, ": 0x%llx, %s bytes, ", (unsigned long long)x->block, text_count(blocks_usable(s->blocks, x->id)).text);
	text_add_foreign(&t, x->label, o);
	if (x->holders) {
		AUTO_FREE char *holder = query_set_name(s->graph, x->holders - 1);
		strbuf_puts(&t, ", held by ");
		text_add_foreign(&t, holder ? holder : "?", o);
	}
	strbuf_printf(&t, ". Without it %s more could go back (%s of it ", text_size(x->freed_bytes).text, text_size(x->freed_resident).text);
	strbuf_printf(&t, "resident); free above it %s, below it %s", text_size(x->above_bytes).text, text_size(x->below_bytes).text);
	say(o, lead, t.text ? t.text : "");
	strbuf_free(&t);
}

static void pins(const struct arguments *a, const struct session *s, const struct frag *f, struct out *o)
{
	size_t n = limit(a, f->pins.n);
	if (!f->pins.n)
		return;
	say(o, "LAST LIVE BLOCKS  ", "each heap ends at the highest block that is not free");
	for (size_t i = 0; i < n; i++)
		one_pin(a, s, &f->pins.at[i], o);
	more(o, n, f->pins.n);
}

static void runs(const struct frag *f, struct out *o)
{
	uint64_t shorter = 0;
	struct unit u = unit_for(f->free_bytes);
	out_ink(o, INK_BOLD);
	out_printf(o, "%-28s %12s %12s %12s\n", "RUNS OF FREE MEMORY", "runs", u.name, "shorter %");
	out_ink(o, INK_PLAIN);
	for (int i = 0; i < RUN_CLASSES; i++) {
		const struct tally *t = &f->runs[i];
		if (!t->chunks)
			continue;
		char range[64];
		snprintf(range, sizeof range, "from %s", text_size((uint64_t)1 << i).text);
		out_printf(o, "  %-26s %12s %12s", range, text_count(t->chunks).text, text_in(u, t->bytes).text);
		out_printf(o, " %12s\n", text_percent(shorter, f->free_bytes).text);
		shorter += t->bytes;
	}
}

static void text(const struct arguments *a, const struct session *s, const struct frag *f, struct out *o)
{
	figures(f, o);
	sparse(a, f, o);
	pins(a, s, f, o);
	runs(f, o);
}

static void json_sparse(struct json *j, const struct frag *f)
{
	out_json_object(j, "sparse");
	out_json_u64(j, "pages", f->sparse_pages);
	out_json_u64(j, "bytes", f->sparse_pages * f->page);
	out_json_u64(j, "live_bytes", f->sparse_bytes);
	out_json_array(j, "labels");
	for (size_t i = 0; i < f->sparse.n; i++) {
		const struct sparse_label *x = &f->sparse.at[i];
		out_json_object(j, NULL);
		out_json_string(j, "label", x->label);
		out_json_u64(j, "blocks", x->blocks);
		out_json_u64(j, "live_bytes", x->live_bytes);
		out_json_u64(j, "pages", x->pages);
		out_json_u64(j, "min_size", x->min_size);
		out_json_u64(j, "max_size", x->max_size);
		out_json_address(j, "sample", x->sample);
		out_json_end_object(j);
	}
	out_json_end_array(j);
	out_json_end_object(j);
}

static void json_pins(struct json *j, const struct session *s, const struct frag *f)
{
	out_json_array(j, "pins");
	for (size_t i = 0; i < f->pins.n; i++) {
		const struct heap_pin *x = &f->pins.at[i];
		AUTO_FREE char *holder = x->holders ? query_set_name(s->graph, x->holders - 1) : NULL;
		out_json_object(j, NULL);
		out_json_i64(j, "arena", x->arena);
		out_json_address(j, "heap", x->start);
		out_json_u64(j, "heap_bytes", x->end - x->start);
		out_json_address(j, "block", x->block);
		out_json_u64(j, "size", blocks_usable(s->blocks, x->id));
		out_json_string(j, "state", block_state_name(x->state));
		out_json_string(j, "label", x->label);
		out_json_string(j, "holder", holder);
		out_json_u64(j, "above_bytes", x->above_bytes);
		out_json_u64(j, "freed_bytes", x->freed_bytes);
		out_json_u64(j, "freed_resident_bytes", x->freed_resident);
		out_json_u64(j, "free_bytes", x->below_bytes);
		out_json_end_object(j);
	}
	out_json_end_array(j);
}

static void json(const struct session *s, const struct frag *f, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.frag/1");
	report_json_identity(&j, s);
	out_json_bool(&j, "resident", f->residency_known);
	out_json_u64(&j, "page", f->page);
	out_json_u64(&j, "heap_bytes", f->heap_bytes);
	out_json_u64(&j, "heap_resident_bytes", f->resident);
	out_json_u64(&j, "used_blocks", f->used_blocks);
	out_json_u64(&j, "used_bytes", f->used_bytes);
	out_json_double(&j, "fragmentation", overhead(f), 4);
	out_json_u64(&j, "free_bytes", f->free_bytes);
	out_json_u64(&j, "largest_free_bytes", f->largest_run);
	out_json_u64(&j, "top_bytes", f->top_bytes);
	json_sparse(&j, f);
	json_pins(&j, s, f);
	out_json_array(&j, "runs");
	for (int i = 0; i < RUN_CLASSES; i++) {
		if (!f->runs[i].chunks)
			continue;
		out_json_object(&j, NULL);
		out_json_u64(&j, "at_least", (uint64_t)1 << i);
		out_json_u64(&j, "runs", f->runs[i].chunks);
		out_json_u64(&j, "bytes", f->runs[i].bytes);
		out_json_double(&j, "unusable", frag_unusable(f, (uint64_t)1 << i), 4);
		out_json_end_object(&j);
	}
	out_json_end_array(&j);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct frag *f;
	TRY(cmd_need_walk(s, ret_status));
	TRY(session_types(s));
	TRY(session_holders(s));
	TRY(heap_frag(s, &f));
	if (strcmp(a->format, "json"))
		text(a, s, f, o);
	else
		json(s, f, o);
	heap_frag_free(f);
	*ret_status = s->alloc->partial ? EXIT_PARTIAL : EXIT_REPORT;
	return NULL;
}

const struct command command_frag = {
	.name = "frag",
	.summary = "who pins the heap: sparse pages, last blocks, runs",
	.formats = { "text", "json" },
	.top_words = true,
	.help = "  flotsam frag 4242\n"
		"  flotsam frag 4242 --format json | jq '.sparse.labels[0]'\n"
		"  then, at the prompt: why 1\n",
	.group = GROUP_MALLOC,
	.on_census = true,
	.run = run,
};

/* flotsam arena: one arena in full: its own account, its heaps, what its chunks are, what its lists hold. */
#include "cmd.h"

#include <ctype.h>

struct err *cmd_arena(const struct session *s, const char *word, int *ret)
{
	char *end;
	unsigned long n = strtoul(word, &end, 10);
	if (!isdigit((unsigned char)*word) || *end)
		return err_hint(err_new(ERR_USAGE, "'%s' is no arena", word), "arenas lists them by number, from 0");
	if (n >= s->alloc->arenas.n)
		return err_hint(err_new(ERR_USAGE, "there is no arena %lu: there are %zu", n, s->alloc->arenas.n), "arenas lists them, from 0");
	*ret = (int)n;
	return NULL;
}

static void text(const struct session *s, const struct heap_survey *h, const struct heap_line *l, struct out *o)
{
	const struct arena *a = &s->alloc->arenas.at[l->arena];
	struct unit u = unit_for(l->bytes);
	out_printf(o, "arena %d at 0x%llx: %s\n", l->arena, (unsigned long long)a->address,
		   a->main ? a->contiguous ? "the main arena, grows by brk()" : "the main arena, in mapped segments" : "of threads, in mapped heaps");
	out_printf(o, "  counts %s of its own, in %u %s; %s of it %s\n", text_size(a->system_mem).text, l->heaps, l->heaps == 1 ? "heap" : "heaps",
		   text_size(l->resident).text, h->residency_known ? "resident" : "mapped");
	if (a->top)
		out_printf(o, "  top 0x%llx, %s\n", (unsigned long long)a->top, text_size(a->top_bytes).text);
	out_printf(o, "  mutex %u (%s); its lists and its chunks %s\n\n", a->mutex, a->mutex ? "somebody was inside" : "free",
		   a->consistent ? "agree" : "do not agree: see verify");
	out_ink(o, INK_BOLD);
	out_printf(o, "%-18s %13s %12s\n", "STATES", "chunks", u.name);
	out_ink(o, INK_PLAIN);
	for (int i = 0; i < BLOCK_STATES; i++)
		if (l->states[i].chunks)
			out_printf(o, "  %-16s %13s %12s\n", block_state_name((enum block_state)i), text_count(l->states[i].chunks).text,
				   text_in(u, l->states[i].bytes).text);
	out_printf(o, "  longest run of free memory: %s\n\n", text_size(l->largest).text);
	out_ink(o, INK_BOLD);
	out_printf(o, "%-18s %13s %12s %12s %12s\n", "HEAPS", "", u.name, "resident", "used");
	out_ink(o, INK_PLAIN);
	for (size_t i = 0; i < h->heaps.n; i++) {
		const struct heap_line *x = &h->heaps.at[i];
		if (x->arena != l->arena)
			continue;
		out_printf(o, "  0x%-14llx %15s %12s", (unsigned long long)x->start, text_in(u, x->bytes).text, text_in(u, x->resident).text);
		out_printf(o, " %12s\n", text_in(u, heap_used(x).bytes).text);
	}
}

static void json(const struct session *s, const struct heap_survey *h, const struct heap_line *l, struct out *o)
{
	struct json j;
	const struct arena *a = &s->alloc->arenas.at[l->arena];
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.arena/1");
	out_json_i64(&j, "arena", l->arena);
	out_json_address(&j, "address", a->address);
	out_json_bool(&j, "main", a->main);
	out_json_bool(&j, "contiguous", a->contiguous);
	out_json_bool(&j, "consistent", a->consistent);
	out_json_u64(&j, "mutex", a->mutex);
	out_json_u64(&j, "system_bytes", a->system_mem);
	out_json_u64(&j, "bytes", l->bytes);
	out_json_bool(&j, "residency_known", h->residency_known);
	out_json_u64(&j, "resident_bytes", l->resident);
	out_json_address(&j, "top", a->top);
	out_json_u64(&j, "top_bytes", a->top_bytes);
	out_json_u64(&j, "largest_free_bytes", l->largest);
	out_json_array(&j, "states");
	for (int i = 0; i < BLOCK_STATES; i++) {
		if (!l->states[i].chunks)
			continue;
		out_json_object(&j, NULL);
		out_json_string(&j, "state", block_state_name((enum block_state)i));
		out_json_u64(&j, "chunks", l->states[i].chunks);
		out_json_u64(&j, "bytes", l->states[i].bytes);
		out_json_end_object(&j);
	}
	out_json_end_array(&j);
	out_json_array(&j, "heaps");
	for (size_t i = 0; i < h->heaps.n; i++) {
		const struct heap_line *x = &h->heaps.at[i];
		if (x->arena != l->arena)
			continue;
		out_json_object(&j, NULL);
		out_json_address(&j, "start", x->start);
		out_json_address(&j, "end", x->end);
		out_json_u64(&j, "resident_bytes", x->resident);
		out_json_u64(&j, "used_bytes", heap_used(x).bytes);
		out_json_u64(&j, "free_bytes", heap_free(x).bytes);
		out_json_end_object(&j);
	}
	out_json_end_array(&j);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct heap_survey *h;
	int n;
	TRY(cmd_need_walk(s, ret_status));
	TRY(cmd_arena(s, a->words[0], &n));
	TRY(heap_survey(s, &h));
	(strcmp(a->format, "json") ? text : json)(s, h, &h->arenas.at[n], o);
	heap_survey_free(h);
	*ret_status = s->alloc->partial ? EXIT_PARTIAL : EXIT_REPORT;
	return NULL;
}

const struct command command_arena = {
	.name = "arena",
	.summary = "one arena: its account, its chunks, its heaps",
	.formats = { "text", "json" },
	.help = "  flotsam arena 4242 0            the main arena\n"
		"  arena 3 | less\n",
	.group = GROUP_MALLOC,
	.operands = "N",
	.min_words = 1,
	.max_words = 1,
	.on_census = true,
	.run = run,
};

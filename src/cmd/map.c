/* flotsam map: the heap as strips of cells, a colour or a letter a state. Each line begins with its address. */
#include "cmd.h"

enum { LINES = 24, LEFT = 16 /* "0x7f1234567890: " */ };

static const struct {
	enum ink ink;
	const char *text;
} kinds[STRIP_KINDS] = {
	[STRIP_USED] = { INK_GREEN, "in use" },	     [STRIP_CACHED] = { INK_CYAN, "freed, in threads' caches" },
	[STRIP_FASTBIN] = { INK_MAGENTA, "fastbins" }, [STRIP_FREE] = { INK_YELLOW, "free" },
	[STRIP_TOP] = { INK_BLUE, "top" },	     [STRIP_OTHER] = { INK_RED, "other" },
	[STRIP_NOTHING] = { INK_DIM, "nothing" },
};

static char letter(const struct heap_strip *t, size_t i, bool residency)
{
	char c = strip_letters[t->kinds[i]];
	return residency && !t->resident[i] && c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* A cell as letters, or where there is colour as a block, shaded when most of it is not in memory. */
static void cell(const struct heap_strip *t, size_t i, bool residency, struct out *o)
{
	char c[2] = { letter(t, i, residency), 0 };
	if (!o->color || !o->unicode)
		out_puts(o, c);
	else
		out_puts(o, residency && !t->resident[i] ? "\xe2\x96\x91" : "\xe2\x96\x88");
}

static void line(const struct heap_strip *t, size_t from, size_t to, uint64_t bytes, bool residency, struct out *o)
{
	char at[24];
	int ink = -1;
	snprintf(at, sizeof at, "0x%llx:", (unsigned long long)(t->start + from * bytes));
	out_printf(o, "%-*s", LEFT, at);
	for (size_t i = from; i < to; i++) {
		if (t->kinds[i] != ink)
			out_ink(o, kinds[t->kinds[i]].ink);
		ink = t->kinds[i];
		cell(t, i, residency, o);
	}
	out_ink(o, INK_PLAIN);
	out_puts(o, "\n");
}

static void legend(const struct strips *l, bool residency, struct out *o)
{
	out_printf(o, "a cell is %s, told by what most of it is:", text_size(l->cell).text);
	int column = 0;
	for (int k = 0; k < STRIP_KINDS; k++) {
		char c[2] = { strip_letters[k], 0 };
		int width = (int)strlen(kinds[k].text) + 5;
		if (!column || column + width > 80) {
			out_puts(o, "\n ");
			column = 1;
		}
		column += width;
		out_puts(o, " ");
		out_ink(o, kinds[k].ink);
		out_puts(o, o->color && o->unicode ? "\xe2\x96\x88" : c);
		out_ink(o, INK_PLAIN);
		out_printf(o, " %s%s", kinds[k].text, k + 1 < STRIP_KINDS ? "," : "");
	}
	out_puts(o, "\n");
	if (residency)
		out_puts(o, o->color && o->unicode ? "  shaded: mostly not in memory\n" : "  small letters: mostly not in memory\n");
}

static void text(const struct session *s, const struct strips *l, size_t columns, struct out *o)
{
	bool residency = s->target->picture.have_pages;
	for (size_t i = 0; i < l->list.n && !o->error; i++) {
		const struct heap_strip *t = &l->list.at[i];
		if (t->arena == ARENA_MMAP)
			out_printf(o, "mapped block, %s\n", text_size(t->end - t->start).text);
		else
			out_printf(o, "arena %d, %s\n", t->arena, text_size(t->end - t->start).text);
		for (size_t k = 0; k < t->n; k += columns)
			line(t, k, k + columns < t->n ? k + columns : t->n, l->cell, residency, o);
	}
	legend(l, residency, o);
}

static void json(const struct session *s, const struct strips *l, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.map/1");
	out_json_u64(&j, "cell_bytes", l->cell);
	out_json_bool(&j, "residency_known", s->target->picture.have_pages);
	out_json_object(&j, "legend");
	for (int k = 0; k < STRIP_KINDS; k++) {
		char c[2] = { strip_letters[k], 0 };
		out_json_string(&j, c, kinds[k].text);
	}
	out_json_end_object(&j);
	out_json_array(&j, "heaps");
	for (size_t i = 0; i < l->list.n; i++) {
		const struct heap_strip *t = &l->list.at[i];
		struct strbuf cells = { 0 };
		for (size_t k = 0; k < t->n; k++) {
			char c = letter(t, k, s->target->picture.have_pages);
			strbuf_add(&cells, &c, 1);
		}
		out_json_object(&j, NULL);
		if (t->arena == ARENA_MMAP)
			out_json_string(&j, "arena", "mmap");
		else
			out_json_i64(&j, "arena", t->arena);
		out_json_address(&j, "start", t->start);
		out_json_address(&j, "end", t->end);
		out_json_string(&j, "cells", cells.text);
		out_json_end_object(&j);
		strbuf_free(&cells);
	}
	out_json_end_array(&j);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

/* The heap that holds an address; false: none. */
static bool heap_at(const struct session *s, uint64_t at, struct strip_range *want)
{
	for (size_t i = 0; i < s->alloc->segments.n; i++)
		if (s->alloc->segments.at[i].header_from <= at && at < s->alloc->segments.at[i].end) {
			want->start = s->alloc->segments.at[i].header_from;
			want->end = s->alloc->segments.at[i].end;
			return want->mapped = true;
		}
	return false;
}

/* A number that a list has given to an address in a heap is that item's. Any other is an arena's: `arena N` says so too. */
static bool is_item(const struct arguments *a, struct session *s, const char *word, struct strip_range *want)
{
	uint64_t at;
	struct err *e = cmd_address(a, s, word, &at);
	bool is = !e && heap_at(s, at, want);
	err_free(e);
	return is;
}

/* FROM-TO or FROM..TO, each an operand; an arena by its number; any other address names the heap that holds it. */
static struct err *parse_range(const struct arguments *a, struct session *s, const char *word, struct strip_range *want)
{
	char from[256];
	const char *dash = strstr(word, ".."), *to = dash ? dash + 2 : NULL;
	if (!dash && !strncmp(word, "0x", 2) && (dash = strstr(word, "-0x")))
		to = dash + 1;
	if (dash) {
		if ((size_t)(dash - word) >= sizeof from)
			return err_new(ERR_USAGE, "an operand of %zu bytes", strlen(word));
		snprintf(from, sizeof from, "%.*s", (int)(dash - word), word);
		TRY(cmd_address(a, s, from, &want->start));
		TRY(cmd_address(a, s, to, &want->end));
		want->mapped = true;
		return want->start < want->end ? NULL : err_hint(err_new(ERR_USAGE, "'%s' is an empty range", word), "map 0x7f0000000000..0x7f0000100000");
	}
	if (!strcmp(word, "arena"))
		return a->n_words > 1 ? cmd_arena(s, a->words[1], &want->arena) : err_new(ERR_USAGE, "map arena needs its number");
	if (a->n_words > 1)
		return err_hint(err_new(ERR_USAGE, "map: one word too many: '%s'", a->words[1]), "map arena 0");
	if (cmd_all_digits(word))
		return is_item(a, s, word, want) ? NULL : cmd_arena(s, word, &want->arena);
	uint64_t at;
	TRY(cmd_address(a, s, word, &at));
	want->end = heap_at(s, at, want) ? want->end : 0;
	return NULL;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct strip_range want = { 0, UINT64_MAX, -1, false };
	struct strips *l;
	TRY(cmd_need_walk(s, ret_status));
	if (a->n_words)
		TRY(parse_range(a, s, a->words[0], &want));
	size_t columns = o->width > LEFT + 16 && o->width < 1000 ? (size_t)o->width - LEFT : 64;
	TRY(heap_strips(s, &want, columns * LINES, &l));
	if (!l->list.n) {
		heap_strips_free(l);
		return err_hint(err_new(ERR_NOT_FOUND, "no heap of malloc is at '%s'", a->n_words ? a->words[0] : "all"), "heaps lists them");
	}
	if (strcmp(a->format, "json"))
		text(s, l, columns, o);
	else
		json(s, l, o);
	heap_strips_free(l);
	*ret_status = s->alloc->partial ? EXIT_PARTIAL : EXIT_REPORT;
	return NULL;
}

const struct command command_map = {
	.name = "map",
	.summary = "the heap drawn as strips of cells",
	.formats = { "text", "json" },
	.help = "  flotsam map 4242                     all heaps\n"
		"  flotsam map 4242 3                   those of arena 3\n"
		"  flotsam map 4242 0x7f3a10000000..0x7f3a10040000\n"
		"  map 0x7f3a10012340                   the heap that holds it\n"
		"  map 5                                at the prompt: the heap of item 5; map arena 0\n",
	.group = GROUP_MALLOC,
	.operands = "[RANGE|ADDR|N|[arena] ARENA]",
	.max_words = 2,
	.completes = COMPLETES_ADDRESS,
	.on_census = true,
	.run = run,
};

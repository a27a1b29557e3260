/* flotsam maps: what is mapped, and what lies in it; with an address, what is there. */
#include "cmd.h"

enum { COLUMNS = 80, BYTES_WIDE = 11 };

static const struct column columns[] = {
	{ "start", "START", "address", CELL_ADDRESS, 14 },
	{ "bytes", "BYTES", "size", CELL_BYTES, BYTES_WIDE },
	{ "protection", "PROT", "as /proc/PID/maps has it", CELL_TEXT, 4 },
	{ "resident_bytes", "RESIDENT", "in memory; by size where residency is not known", CELL_BYTES, BYTES_WIDE },
	{ "what", "WHAT", "what lies in it", CELL_TEXT, 30 },
	{ "kind", "KIND", "file, bss, heap, blocks, stack, shared, kernel, anonymous", CELL_TEXT, 9 },
	{ "end", "END", "address", CELL_ADDRESS, 14 },
	{ "swapped_bytes", "SWAPPED", "swapped out", CELL_BYTES, 12 },
	{ "huge_bytes", "HUGE", "of the resident bytes, in transparent huge pages", CELL_BYTES, 12 },
	{ "malloc_bytes", "MALLOC", "of the resident bytes, in heaps and blocks of malloc", CELL_BYTES, 12 },
	{ "offset", "OFFSET", "in the file", CELL_BYTES, 12 },
	{ "path", "PATH", "as the kernel names it", CELL_TEXT, 20 },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0], TEXT_COLUMNS = 5 };

static void protection(const struct mapping *m, char to[5])
{
	to[0] = m->prot & PROT_R ? 'r' : '-';
	to[1] = m->prot & PROT_W ? 'w' : '-';
	to[2] = m->prot & PROT_X ? 'x' : '-';
	to[3] = m->shared ? 's' : 'p';
	to[4] = 0;
}

static void list(const struct arguments *a, const struct memory_maps *l, struct out *o)
{
	struct listing k;
	bool text = cmd_is_text(a);
	/* What is left of 80 columns behind the others. */
	const size_t wide = text && a->prompt ? 25 : 32;
	listing_begin(&k, a, o, "mappings", columns, text ? TEXT_COLUMNS : N_COLUMNS);
	for (size_t i = 0; i < l->list.n && !o->error; i++) {
		const struct memory_map *m = &l->list.at[i];
		struct strbuf what = { 0 };
		char prot[5];
		protection(m->mapping, prot);
		/* Of a file its name begins, and what it is of ends the text; all of it stands in JSON. */
		const char *comma = strrchr(m->what, ',');
		size_t tail = comma ? strlen(comma) : 0;
		size_t n = strlen(m->what), cut = text && n > wide && o->width <= COLUMNS ? n - wide + 2 : 0;
		if (cut && (m->kind == MEMORY_FILE || m->kind == MEMORY_BSS) && tail < wide / 2)
			strbuf_printf(&what, "%.*s..%s", (int)(wide - 2 - tail), m->what, comma ? comma : "");
		else
			strbuf_printf(&what, cut ? "%.*s.." : "%.*s", (int)(n - cut), m->what);
		struct cell cells[N_COLUMNS] = {
			{ .number = m->mapping->start },
			{ .number = m->mapping->end - m->mapping->start },
			{ .text = prot },
			{ .number = m->resident },
			{ .text = what.text },
			{ .text = map_kind_name(m->kind) },
			{ .number = m->mapping->end },
			{ .number = l->residency_known ? m->swapped : UNKNOWN },
			{ .number = l->residency_known ? m->huge : UNKNOWN },
			{ .number = m->malloced },
			{ .number = m->mapping->offset },
			{ .text = m->mapping->path[0] ? m->mapping->path : NULL },
		};
		listing_record(&k, m->mapping->start, cells);
		strbuf_free(&what);
	}
	listing_end(&k);
}

static void say(struct out *o, const char *lead, const char *text)
{
	struct paragraph p;
	paragraph_begin(&p, o, lead, COLUMNS);
	paragraph_add(&p, text);
	paragraph_end(&p);
}

struct answer { /* what is at an address */
	uint64_t address;
	char *place;
	const struct memory_map *map;	/* NULL: nothing is mapped */
	const struct mapping *below, *above; /* the neighbours of a hole */
	const char *page;
	block_id id;
};

static void block_text(struct session *s, const struct answer *x, struct out *o)
{
	struct strbuf t = { 0 };
	if (x->id == BLOCK_NONE)
		return;
	enum block_state state = blocks_state(s->blocks, x->id);
	const char *class = s->graph ? block_class_name((enum block_class)s->graph->class_of[x->id]) : NULL;
	strbuf_printf(&t, "%s bytes at 0x%llx, %s", text_count(blocks_usable(s->blocks, x->id)).text,
		      (unsigned long long)blocks_payload(s->blocks, x->id), block_state_name(state));
	if (class)
		strbuf_printf(&t, ", %s", class);
	if (block_state_is_used(state)) {
		strbuf_puts(&t, ", ");
		text_add_foreign(&t, types_name(s->types, x->id), o);
	}
	say(o, "  block    ", t.text ? t.text : "");
	strbuf_free(&t);
}

static void answer_text(struct session *s, const struct answer *x, struct out *o)
{
	struct strbuf t = { 0 };
	char prot[5];
	strbuf_printf(&t, "0x%llx: ", (unsigned long long)x->address);
	text_add_foreign(&t, x->place, o);
	say(o, "", t.text ? t.text : "");
	strbuf_free(&t);
	block_text(s, x, o);
	if (!x->map) {
		if (x->below)
			out_printf(o, "  %s behind the end of 0x%llx-0x%llx\n", text_size(x->address - x->below->end).text,
				   (unsigned long long)x->below->start, (unsigned long long)x->below->end);
		if (x->above)
			out_printf(o, "  %s below the start of 0x%llx-0x%llx\n", text_size(x->above->start - x->address).text,
				   (unsigned long long)x->above->start, (unsigned long long)x->above->end);
		return;
	}
	const struct mapping *m = x->map->mapping;
	protection(m, prot);
	strbuf_printf(&t, "0x%llx-0x%llx %s, %s", (unsigned long long)m->start, (unsigned long long)m->end, prot, text_size(m->end - m->start).text);
	strbuf_printf(&t, ", %s resident: ", text_size(x->map->resident).text);
	text_add_foreign(&t, x->map->what, o);
	say(o, "  mapping  ", t.text ? t.text : "");
	strbuf_free(&t);
	if (m->path[0])
		say(o, "  path     ", m->path);
	say(o, "  page     ", x->page);
}

static void answer_json(struct session *s, const struct answer *x, struct out *o)
{
	struct json j;
	char prot[5];
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.maps/1");
	out_json_address(&j, "address", x->address);
	out_json_string(&j, "place", x->place);
	out_json_string(&j, "page", x->map ? x->page : NULL);
	if (x->map) {
		protection(x->map->mapping, prot);
		out_json_object(&j, "mapping");
		out_json_address(&j, "start", x->map->mapping->start);
		out_json_address(&j, "end", x->map->mapping->end);
		out_json_string(&j, "protection", prot);
		out_json_string(&j, "kind", map_kind_name(x->map->kind));
		out_json_string(&j, "what", x->map->what);
		out_json_string(&j, "path", x->map->mapping->path[0] ? x->map->mapping->path : NULL);
		out_json_end_object(&j);
	} else {
		out_json_null(&j, "mapping");
	}
	if (x->id != BLOCK_NONE) {
		out_json_object(&j, "block");
		out_json_address(&j, "address", blocks_payload(s->blocks, x->id));
		out_json_u64(&j, "size", blocks_usable(s->blocks, x->id));
		out_json_string(&j, "state", block_state_name(blocks_state(s->blocks, x->id)));
		out_json_string(&j, "class", s->graph ? block_class_name((enum block_class)s->graph->class_of[x->id]) : NULL);
		out_json_end_object(&j);
	} else {
		out_json_null(&j, "block");
	}
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *answer(const struct arguments *a, struct session *s, const struct memory_maps *l, struct out *o)
{
	struct answer x = { .id = BLOCK_NONE };
	TRY(cmd_address(a, s, a->words[0], &x.address));
	TRY(session_graph(s));
	TRY(session_types(s));
	if (strcmp(a->format, "text") && strcmp(a->format, "json"))
		return err_hint(err_new(ERR_USAGE, "the answer on one address is text or json"), "maps %s --format json", a->words[0]);
	for (size_t i = 0; i < l->list.n; i++) {
		const struct mapping *m = l->list.at[i].mapping;
		if (m->start <= x.address && x.address < m->end)
			x.map = &l->list.at[i];
		else if (m->end <= x.address)
			x.below = m;
		else if (!x.above && m->start > x.address)
			x.above = m;
	}
	if (s->blocks)
		x.id = blocks_at(s->blocks, x.address);
	x.page = memory_page(&s->target->picture, x.address);
	AUTO_FREE char *place = query_place(s, x.address);
	if (!place)
		return err_nomem();
	x.place = place;
	(strcmp(a->format, "json") ? answer_text : answer_json)(s, &x, o);
	return NULL;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct memory_maps *l;
	struct err *e = NULL;
	TRY(session_walk(s));
	TRY(memory_maps(s, &l));
	if (a->n_words)
		e = answer(a, s, l, o);
	else
		list(a, l, o);
	memory_maps_free(l);
	*ret_status = s->blocks && !s->alloc->partial ? EXIT_REPORT : EXIT_PARTIAL;
	return e;
}

const struct command command_maps = {
	.name = "maps",
	.summary = "what is mapped; of an address, what is there",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam maps 4242\n"
		"  flotsam maps 4242 0x7ffd12345678     what is at this address?\n"
		"  maps environ+8\n",
	.group = GROUP_MACHINE,
	.operands = "[ADDR]",
	.max_words = 1,
	.completes = COMPLETES_ADDRESS,
	.on_census = true,
	.run = run,
};

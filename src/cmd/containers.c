/* containers: what containers hold, where they stand, and what they waste. */
#include "cmd.h"

#include <inttypes.h>

enum { NAME_WIDTH = 22, NAME_FRONT = 8, NAME_LEAST = 6 };
static const struct column columns[] = {
	{ "name", "NAME", "variable and member; [] each element", CELL_TEXT, NAME_WIDTH },
	{ "items", "ITEMS", "of all objects at that name", CELL_COUNT, 10 },
	{ "bytes", "BYTES", "of the blocks that they own themselves", CELL_BYTES, 10 },
	{ "wasted", "WASTED", "of it, room for items that are not there", CELL_BYTES, 10 },
	{ "type", "TYPE", "of the container", CELL_TEXT, 24 },
	{ "kind", "KIND", "std::map, Vec, GHashTable, ...", CELL_TEXT, 16 },
	{ "element", "ELEMENT", "types of what it holds", CELL_TEXT, 20 },
	{ "element_bytes", "SIZE", "of one element", CELL_COUNT, 6 },
	{ "containers", "COUNT", "objects at that name, empty ones too", CELL_COUNT, 8 },
	{ "capacity", "CAPACITY", "items that there is room for, of all; null: as many as there are", CELL_COUNT, 10 },
	{ "most", "MOST", "items of the largest one", CELL_COUNT, 10 },
	{ "damaged", "DAMAGED", "objects left out that cannot be what they say", CELL_COUNT, 8 },
	{ "address", "ADDRESS", "of the first object", CELL_ADDRESS, 14 },
	{ "where", "WHERE", "file:line, and of a frame its function", CELL_TEXT, 24 },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };
/* For people, figures as they read them; -v: where it stands too. */
static const struct column text_columns[] = {
	{ "name", "NAME", NULL, CELL_TEXT, NAME_WIDTH },
	{ "items", "  ITEMS", NULL, CELL_TEXT, 7 },
	{ "bytes", "    BYTES", NULL, CELL_TEXT, 9 },
	{ "wasted", "   WASTED", NULL, CELL_TEXT, 9 },
	{ "where", "WHERE", NULL, CELL_TEXT, 24 },
	{ "type", "TYPE", NULL, CELL_TEXT, 0 },
};
enum { TEXT_COLUMNS = sizeof text_columns / sizeof text_columns[0], WHERE_COLUMN = TEXT_COLUMNS - 2 };
_Static_assert(sizeof columns / sizeof columns[0] <= (size_t)MAX_COLUMNS, "a listing holds them");

static uint64_t by_bytes(const struct container *c) { return c->bytes; }
static uint64_t by_waste(const struct container *c) { return c->wasted; }
static uint64_t by_items(const struct container *c) { return c->characters ? 0 : c->items; }

static const struct order {
	const char *word, *title;
	uint64_t (*key)(const struct container *c);
} orders[] = {
	{ "bytes", "largest", by_bytes },
	{ "waste", "emptiest for their room", by_waste },
	{ "items", "most items", by_items },
};
enum { N_ORDERS = sizeof orders / sizeof orders[0] };

static const struct order *sorting; /* qsort() has no argument for it */
static int compare(const void *a, const void *b)
{
	const struct container *const *x = a, *const *y = b;
	uint64_t kx = sorting->key(*x), ky = sorting->key(*y);
	if (kx != ky)
		return kx < ky ? 1 : -1;
	return *x < *y ? -1 : *x > *y; /* largest first, as they came */
}

static char *where_of(const struct container *c)
{
	struct strbuf t = { 0 };
	if (c->line.file)
		strbuf_printf(&t, "%s:%d", c->line.file, c->line.line);
	if (c->where)
		strbuf_printf(&t, t.n ? ", %s" : "%s", c->where);
	return t.text;
}

/* In text both ends of a long name stay: the variable and the member. */
static char *name_of(const struct container *c, int width)
{
	struct strbuf t = { 0 };
	char many[40] = "";
	if (c->containers > 1)
		snprintf(many, sizeof many, " x%s", text_count_short(c->containers).text);
	/* A variable of C's is a pointer to the container, and called by its name. */
	size_t length = strlen(c->name), room = (size_t)width - strlen(many);
	bool arrow = c->kind[0] == 'G' && length > 2 && !strcmp(c->name + length - 2, "->");
	size_t n = arrow ? length - 2 : length;
	room = strlen(many) + NAME_LEAST > (size_t)width ? NAME_LEAST : room;
	size_t front = room > 2 * NAME_FRONT + 2 ? NAME_FRONT : (room - 2) / 2, back = room - front - 2;
	if (n > room)
		strbuf_printf(&t, "%.*s..%.*s%s", (int)front, c->name, (int)back, c->name + n - back, many);
	else
		strbuf_printf(&t, "%.*s%s", (int)n, c->name, many);
	return t.text;
}

static void record_text(struct listing *l, const struct container *c)
{
	AUTO_FREE char *where = where_of(c), *name = name_of(c, l->a->verbose ? INT32_MAX : l->columns[l->numbered].width), *type = l->a->verbose ? NULL : strdup(c->type);
	char items[32], bytes[32], wasted[32];
	snprintf(items, sizeof items, "%7s", text_count_short(c->items).text);
	snprintf(bytes, sizeof bytes, "%9s", text_size(c->bytes).text);
	snprintf(wasted, sizeof wasted, "%9s", c->wasted ? text_size(c->wasted).text : "-");
	if (type)
		text_without_std(type);
	struct cell cells[TEXT_COLUMNS] = { { .text = name }, { .text = items }, { .text = bytes }, { .text = wasted }, { .text = where }, { .text = c->type } };
	if (!l->a->verbose)
		cells[WHERE_COLUMN].text = type;
	listing_record(l, c->address, cells);
}

static void record(struct listing *l, const struct container *c)
{
	AUTO_FREE char *where = where_of(c);
	if (cmd_is_text(l->a)) {
		record_text(l, c);
		return;
	}
	struct cell cells[N_COLUMNS] = {
		{ .text = c->name }, { .number = c->items }, { .number = c->bytes }, { .number = c->wasted }, { .text = c->type }, { .text = c->kind },
		{ .text = c->element }, { .number = c->element_bytes }, { .number = c->containers }, { .number = c->capacity }, { .number = c->most },
		{ .number = c->damaged }, { .number = c->address }, { .text = where },
	};
	listing_record(l, c->address, cells);
}

static void list(const struct arguments *a, struct out *o, const struct order *by, const struct container **all, size_t n, uint64_t top)
{
	struct listing l;
	sorting = by;
	if (n)
		qsort(all, n, sizeof *all, compare);
	struct column shown[TEXT_COLUMNS];
	memcpy(shown, text_columns, sizeof text_columns);
	if (!a->verbose)
		shown[WHERE_COLUMN] = text_columns[TEXT_COLUMNS - 1];
	if (cmd_is_text(a))
		listing_begin(&l, a, o, "containers", shown, a->verbose ? TEXT_COLUMNS : TEXT_COLUMNS - 1);
	else
		listing_begin(&l, a, o, "containers", columns, N_COLUMNS);
	listing_fit(&l);
	for (size_t i = 0; i < n && (!top || i < top) && !o->error; i++) {
		/* In text a list ends where there is nothing to say; a program gets all. */
		if (cmd_is_text(a) && !by->key(all[i]))
			break;
		record(&l, all[i]);
	}
	listing_end(&l);
}

static bool any(const struct containers *c, const struct order *by)
{
	for (size_t i = 0; i < c->list.n; i++)
		if (by->key(&c->list.at[i]))
			return true;
	return false;
}

static void foot(struct out *o, struct session *s, const struct containers *c)
{
	uint64_t objects = 0, bytes = 0, damaged = 0;
	struct strbuf t = { 0 };
	struct paragraph p;
	for (size_t i = 0; i < c->list.n; i++) {
		objects += c->list.at[i].containers;
		bytes += c->list.at[i].bytes;
		damaged += c->list.at[i].damaged;
	}
	strbuf_printf(&t, "%s container%s at %s name%s own%s %s.", text_count(objects).text, objects == 1 ? "" : "s", text_count(c->list.n).text,
		      c->list.n == 1 ? "" : "s", objects == 1 ? "s" : "", text_size(bytes).text);
	if (damaged)
		strbuf_printf(&t, " %s left out: they are damaged, or not made yet, or the allocator is not malloc.", text_count(damaged).text);
	if (c->cut)
		strbuf_puts(&t, " There are more: a limit of this search was reached.");
	if (!s->blocks)
		strbuf_puts(&t, " The heap was not walked, so what pointers lead to is left out.");
	if (!c->variables)
		strbuf_puts(&t, " No variable leads to a container, or no module has DWARF: flotsam modules says which.");
	out_puts(o, "\n");
	paragraph_begin(&p, o, "", 80);
	paragraph_add(&p, t.text ? t.text : "");
	paragraph_end(&p);
	strbuf_free(&t);
}

static struct err *order_of(const struct arguments *a, const struct order **ret)
{
	*ret = NULL;
	for (size_t i = 0; a->n_words && i < N_ORDERS; i++)
		if (!strcmp(a->words[0], orders[i].word))
			*ret = &orders[i];
	if (a->n_words && !*ret)
		return err_hint(err_new(ERR_USAGE, "containers are not sorted by '%s'", a->words[0]), "bytes, waste or items");
	return NULL;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	const struct order *by;
	struct containers c = { 0 };
	TRY(order_of(a, &by));
	TRY(session_walk(s));
	TRY(session_types(s));
	TRY(query_containers(s, &c));
	AUTO_FREE const struct container **all = calloc(c.list.n + 1, sizeof *all);
	if (!all) {
		modules_containers_free(&c);
		return err_nomem();
	}
	for (size_t i = 0; i < c.list.n; i++)
		all[i] = &c.list.at[i];
	bool each = cmd_is_text(a) && !by;
	for (size_t i = 0, shown = 0; i < (each ? N_ORDERS : 1u); i++) {
		if (each && !any(&c, &orders[i]))
			continue;
		if (each)
			out_printf(o, shown++ ? "\n%s\n" : "%s\n", orders[i].title);
		list(a, o, by ? by : &orders[i], all, c.list.n, cmd_is_text(a) ? a->top : 0);
	}
	if (cmd_is_text(a))
		foot(o, s, &c);
	*ret_status = s->blocks && !c.cut ? EXIT_REPORT : EXIT_PARTIAL;
	modules_containers_free(&c);
	return NULL;
}

const struct command command_containers = {
	.name = "containers",
	.summary = "maps, vectors...: items, bytes, waste",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam containers 4242            the largest, the emptiest, those with most items\n"
		"  flotsam containers 4242 waste      by the room that nothing fills\n"
		"  containers items --top 20\n"
		"  flotsam containers ./core.4242 --format json\n\n"
		"Containers of libstdc++, libc++, Rust and GLib that DWARF tells of: in variables\n"
		"of the program, of threads and of frames, in what these hold, and behind their\n"
		"pointers. NAME g_users[].tags is the member tags of each element of g_users;\n"
		"BYTES are the blocks that they own themselves.\n",
	.group = GROUP_BLOCKS,
	.top_words = true,
	.operands = "[bytes|waste|items]",
	.max_words = 1,
	.run = run,
};

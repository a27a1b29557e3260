/* How a holder is written: its name, where it stands, and the container that it is. */
#include "cmd.h"

enum { TYPE_COLUMNS = 48 };

void cmd_add_container(struct strbuf *to, const struct container *c, bool local)
{
	if (c->name && *c->name)
		strbuf_printf(to, local ? "local %s: " : "%s: ", c->name);
	AUTO_FREE char *type = strdup(c->type);
	if (type)
		text_elide(type, TYPE_COLUMNS);
	strbuf_puts(to, type ? type : c->type);
	if (c->items != UNKNOWN)
		strbuf_printf(to, ", %s %s%s", text_count(c->items).text, c->characters ? "character" : "item", c->items == 1 ? "" : "s");
}

/* where: with the place too. */
static char *holder_text(const struct holder *h, const struct container *c, bool where)
{
	struct strbuf t = { 0 };
	const char *place = where ? h->where : NULL;
	strbuf_puts(&t, h->name);
	if (place || (c && where))
		strbuf_printf(&t, " (%s", place ? place : "");
	if (c) {
		strbuf_puts(&t, place ? ", " : where ? "" : ": ");
		cmd_add_container(&t, c, h->kind == HOLDER_FRAME);
	}
	if (place || (c && where))
		strbuf_puts(&t, ")");
	return t.text;
}

char *cmd_holder_text(struct session *s, uint32_t holder, uint64_t word, bool full)
{
	const struct graph *g = s->graph;
	struct container c;
	if (holder >= g->holders.n)
		return strdup("libc or ld.so");
	bool contains = full && query_holder_container(s, holder, word, &c);
	return holder_text(&g->holders.at[holder], contains ? &c : NULL, true);
}

char *cmd_holder_line(struct session *s, uint32_t holder, int columns)
{
	const struct graph *g = s->graph;
	struct container c;
	if (holder >= g->holders.n)
		return strdup("libc or ld.so");
	bool contains = query_holder_container(s, holder, 0, &c);
	char *text = holder_text(&g->holders.at[holder], contains ? &c : NULL, true);
	if (!text || !columns || strlen(text) <= (size_t)columns)
		return text;
	/* What it is says more than where it stands. */
	free(text);
	return holder_text(&g->holders.at[holder], contains ? &c : NULL, false);
}

const struct column cmd_container_columns[CONTAINER_CELLS] = {
	{ "container", "CONTAINER", "type of the container that the root is or has; null: none", CELL_TEXT, 0 },
	{ "member", "MEMBER", "where in the root it stands; null: it is the root", CELL_TEXT, 0 },
	{ "items", "ITEMS", "in that container; null: not counted", CELL_COUNT, 0 },
};

void cmd_container_cells(struct session *s, uint32_t holder, uint64_t word, struct cell ret[CONTAINER_CELLS])
{
	struct container c;
	ret[0] = ret[1] = (struct cell){ .text = NULL };
	ret[2] = (struct cell){ .number = UNKNOWN };
	if (holder >= s->graph->holders.n || !query_holder_container(s, holder, word, &c))
		return;
	ret[0].text = c.type;
	ret[1].text = *c.name ? c.name : NULL;
	ret[2].number = c.items;
}

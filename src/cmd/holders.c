/* How a holder is written: its name, where it stands, and the container that it is. */
#include "cmd.h"

enum { TYPE_COLUMNS = 48 };

void cmd_add_container(struct strbuf *to, const struct container *c, bool local)
{
	if (c->name && *c->name)
		strbuf_printf(to, local ? "local %s: " : "%s: ", c->name);
	if (strlen(c->type) > TYPE_COLUMNS)
		strbuf_printf(to, "%.*s..", TYPE_COLUMNS - 2, c->type);
	else
		strbuf_puts(to, c->type);
	if (c->items != UNKNOWN)
		strbuf_printf(to, ", %s %s%s", text_count(c->items).text, c->characters ? "character" : "item", c->items == 1 ? "" : "s");
}

char *cmd_holder_text(struct session *s, uint32_t holder, uint64_t word, bool full)
{
	const struct graph *g = s->graph;
	struct strbuf t = { 0 };
	struct container c;
	if (holder >= g->holders.n)
		return strdup("libc or ld.so");
	const struct holder *h = &g->holders.at[holder];
	bool contains = full && query_holder_container(s, holder, word, &c);
	strbuf_puts(&t, h->name);
	if (h->where || contains)
		strbuf_printf(&t, " (%s", h->where ? h->where : "");
	if (contains) {
		strbuf_puts(&t, h->where ? ", " : "");
		cmd_add_container(&t, &c, h->kind == HOLDER_FRAME);
	}
	if (h->where || contains)
		strbuf_puts(&t, ")");
	return t.text;
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

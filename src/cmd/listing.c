/* Lists at the prompt: the records of a sink, with an item number in front that later commands take. */
#include "desk.h"

bool cmd_is_text(const struct arguments *a)
{
	return !strcmp(a->format, "text");
}

/* The number takes its columns from the widest text in front of the last column, where a line would not fit into 80. */
static void make_room(struct listing *l)
{
	enum { COLUMNS = 80, ADDRESS = 14, OTHER = 12, LEAST = 24 };
	int all = 2 * ((int)l->n_columns - 1);
	struct column *widest = NULL;
	for (size_t i = 0; i < l->n_columns; i++) {
		struct column *c = &l->columns[i];
		bool last = i + 1 == l->n_columns;
		all += c->type == CELL_TEXT && last ? 0 : c->type == CELL_ADDRESS ? ADDRESS : c->width ? c->width : OTHER;
		if (c->type == CELL_TEXT && !last && c->width > LEAST && (!widest || c->width > widest->width))
			widest = c;
	}
	if (widest && all > COLUMNS)
		widest->width = widest->width - (all - COLUMNS) > LEAST ? widest->width - (all - COLUMNS) : LEAST;
}

void listing_begin(struct listing *l, const struct arguments *a, struct out *o, const char *noun, const struct column *columns, size_t n)
{
	*l = (struct listing){ .a = a, .numbered = a->prompt && cmd_is_text(a) };
	if (l->numbered)
		l->columns[l->n_columns++] = (struct column){ "n", "N", "item number", CELL_INT_OR_TEXT, 5 };
	for (size_t i = 0; i < n && l->n_columns < MAX_COLUMNS; i++)
		l->columns[l->n_columns++] = columns[i];
	if (l->numbered)
		make_room(l);
	sink_begin(&l->sink, sink_find(a->format), o, l->columns, l->n_columns);
	l->sink.noun = noun;
}

void listing_fit(struct listing *l)
{
	enum { WANTED = 26 };
	if (cmd_is_text(l->a) && !l->a->verbose)
		sink_fit(&l->sink, l->columns, WANTED);
}

void listing_record(struct listing *l, uint64_t address, const struct cell *cells)
{
	struct cell row[MAX_COLUMNS];
	size_t k = 0;
	if (l->numbered) {
		/* A list of millions is not read by numbers. */
		unsigned n = address && l->sink.records < NUMBERED_ROWS ? desk_number(l->a->desk, address) : 0;
		row[k++] = (struct cell){ .text = n ? NULL : "-", .number = n };
	}
	memcpy(row + k, cells, (l->n_columns - k) * sizeof *cells);
	sink_record(&l->sink, row);
}

void listing_end(struct listing *l)
{
	sink_end(&l->sink);
}

const char *cmd_class_of(struct session *s, block_id id)
{
	return block_class_name((enum block_class)s->graph->class_of[id]);
}

const char *cmd_label_of(struct session *s, block_id id)
{
	return block_state_is_used(blocks_state(s->blocks, id)) ? types_name(s->types, id) : NULL;
}

static const uint64_t *find_set(void *ctx, const char *name)
{
	const struct cmd_names *n = ctx;
	return desk_set(n->a->desk, name);
}

static struct err *find_holder(void *ctx, const char *word, const char **ret)
{
	const struct cmd_names *n = ctx;
	return cmd_holder_name(n->a, n->s, word, ret);
}

static struct err *find_holder_set(void *ctx, const char *word, uint32_t *ret)
{
	const struct cmd_names *n = ctx;
	return cmd_holder_set(n->a, n->s, word, ret);
}

static struct err *find_address(void *ctx, const char *word, uint64_t *ret)
{
	const struct cmd_names *n = ctx;
	return cmd_address(n->a, n->s, word, ret);
}

void cmd_names_init(struct cmd_names *n, const struct arguments *a, struct session *s)
{
	*n = (struct cmd_names){ a, s, { .set = find_set, .holder = find_holder, .holder_set = find_holder_set, .address = find_address } };
	n->names.ctx = n;
}

/* The sinks for lists of records: text with a header, a JSON object a line, CSV (RFC 4180). */
#include "flotsam/out.h"

static int width_of(const struct column *c)
{
	return c->width ? c->width : c->type == CELL_ADDRESS ? 14 : c->type == CELL_TEXT ? 10 : 12;
}

static void text_cell(struct sink *s, size_t i, const char *p)
{
	enum cell_type type = s->columns[i].type;
	int width = width_of(&s->columns[i]);
	if (i)
		out_puts(s->out, "  ");
	if (i + 1 == s->n_columns && (type == CELL_TEXT || type == CELL_ADDRESS)) { /* the last is not filled */
		struct strbuf b = { 0 };
		text_add_foreign(&b, p, s->out);
		if (b.text && s->last_width)
			text_elide(b.text, s->last_width);
		out_puts(s->out, b.text ? b.text : "");
		strbuf_free(&b);
	} else if (type == CELL_ADDRESS || type == CELL_TEXT) {
		out_cell(s->out, p, width);
	} else {
		out_printf(s->out, "%*s", width, p);
	}
}

/* 1,234,567 where there is room for it. */
static void text_number(char *to, size_t room, uint64_t v, int width)
{
	struct short_text t = text_count(v);
	if ((int)strlen(t.text) <= width)
		snprintf(to, room, "%s", t.text);
	else
		snprintf(to, room, "%llu", (unsigned long long)v);
}

/* An empty list has none. */
static void text_header(struct sink *s)
{
	for (size_t i = 0; i < s->n_columns; i++)
		text_cell(s, i, s->columns[i].header);
	out_puts(s->out, "\n");
}

static void text_record(struct sink *s, const struct cell *cells)
{
	if (s->records == 1)
		text_header(s);
	for (size_t i = 0; i < s->n_columns; i++) {
		const struct cell *c = &cells[i];
		char number[32] = "";
		const char *p = c->text;
		switch (s->columns[i].type) {
		case CELL_ADDRESS:
			snprintf(number, sizeof number, "0x%llx", (unsigned long long)c->number);
			p = c->number ? number : NULL;
			break;
		case CELL_BOOL:
			p = c->number ? "yes" : "";
			break;
		case CELL_COUNT:
		case CELL_BYTES:
		case CELL_INT_OR_TEXT:
			if (c->number != UINT64_MAX)
				text_number(number, sizeof number, c->number, width_of(&s->columns[i]));
			p = s->columns[i].type == CELL_INT_OR_TEXT && p ? p : *number ? number : NULL;
			break;
		case CELL_ID:
			snprintf(number, sizeof number, "%llu", (unsigned long long)c->number);
			p = p ? p : c->number != UINT64_MAX ? number : NULL;
			break;
		case CELL_TEXT:
			break;
		}
		text_cell(s, i, p ? p : "-");
	}
	out_puts(s->out, "\n");
}

static void text_end(struct sink *s)
{
	if (!s->records && s->noun)
		out_printf(s->out, "no %s\n", s->noun);
}

static void nothing(struct sink *s)
{
	(void)s;
}

/* Digits without printf: lists run to tens of millions of lines. */
static void put_number(struct out *o, uint64_t v, unsigned base)
{
	char digits[24];
	int at = sizeof digits;
	do
		digits[--at] = "0123456789abcdef"[v % base];
	while (v /= base);
	out_bytes(o, digits + at, (size_t)((int)sizeof digits - at));
}

static void json_text(struct sink *s, const char *p)
{
	for (const char *q = p; *q; q++)
		if ((unsigned char)*q < 0x20 || (unsigned char)*q >= 0x7f || *q == '"' || *q == '\\') {
			struct json j;
			out_json_init(&j, s->out, false);
			out_json_string(&j, NULL, p);
			return;
		}
	out_bytes(s->out, "\"", 1);
	out_puts(s->out, p);
	out_bytes(s->out, "\"", 1);
}

static void json_record(struct sink *s, const struct cell *cells)
{
	struct out *o = s->out;
	for (size_t i = 0; i < s->n_columns; i++) {
		const struct cell *c = &cells[i];
		out_puts(o, i ? ",\"" : "{\"");
		out_puts(o, s->columns[i].key);
		out_puts(o, "\":");
		switch (s->columns[i].type) {
		case CELL_TEXT:
		case CELL_INT_OR_TEXT:
		case CELL_ID:
			if (c->text)
				json_text(s, c->text);
			else if (s->columns[i].type == CELL_TEXT || c->number == UINT64_MAX)
				out_puts(o, "null");
			else
				put_number(o, c->number, 10);
			break;
		case CELL_ADDRESS:
			out_puts(o, "\"0x");
			put_number(o, c->number, 16);
			out_puts(o, "\"");
			break;
		case CELL_BOOL:
			out_puts(o, c->number ? "true" : "false");
			break;
		case CELL_COUNT:
		case CELL_BYTES:
			if (c->number == UINT64_MAX)
				out_puts(o, "null");
			else
				put_number(o, c->number, 10);
			break;
		}
	}
	out_puts(o, "}");
}

static void jsonl_record(struct sink *s, const struct cell *cells)
{
	json_record(s, cells);
	out_puts(s->out, "\n");
}

static void array_begin(struct sink *s)
{
	out_puts(s->out, "[");
}

static void array_record(struct sink *s, const struct cell *cells)
{
	out_puts(s->out, s->records > 1 ? ",\n" : "\n");
	json_record(s, cells);
}

static void array_end(struct sink *s)
{
	out_puts(s->out, s->records ? "\n]\n" : "]\n");
}

/* A cut file is seen by the missing end. */
static void jsonl_end(struct sink *s)
{
	out_printf(s->out, "{\"end\":true,\"%s\":%llu}\n", s->noun, (unsigned long long)s->records);
}

static void csv_begin(struct sink *s)
{
	for (size_t i = 0; i < s->n_columns; i++)
		out_printf(s->out, i ? ",%s" : "%s", s->columns[i].key);
	out_puts(s->out, "\r\n");
}

static void csv_text(struct out *o, const char *foreign)
{
	struct strbuf b = { 0 };
	strbuf_add_escaped(&b, foreign, strlen(foreign)); /* no line ends remain */
	const char *p = b.text ? b.text : "";
	bool quote = strpbrk(p, ",\"");
	if (quote)
		out_puts(o, "\"");
	for (size_t n;; p += n + 1) {
		n = strcspn(p, "\"");
		out_bytes(o, p, n);
		if (!p[n])
			break;
		out_puts(o, "\"\"");
	}
	if (quote)
		out_puts(o, "\"");
	strbuf_free(&b);
}

static void csv_record(struct sink *s, const struct cell *cells)
{
	for (size_t i = 0; i < s->n_columns; i++) {
		const struct cell *c = &cells[i];
		enum cell_type type = s->columns[i].type;
		if (i)
			out_puts(s->out, ",");
		if (type == CELL_ADDRESS)
			out_printf(s->out, "0x%llx", (unsigned long long)c->number);
		else if (type == CELL_BOOL)
			out_puts(s->out, c->number ? "true" : "false");
		else if (type == CELL_TEXT || ((type == CELL_INT_OR_TEXT || type == CELL_ID) && c->text))
			csv_text(s->out, c->text ? c->text : "");
		else if (c->number != UINT64_MAX)
			out_printf(s->out, "%llu", (unsigned long long)c->number);
	}
	out_puts(s->out, "\r\n");
}

static const struct sink_row table[] = {
	{ "text", ".txt", nothing, text_record, text_end },
	{ "json", ".json", array_begin, array_record, array_end },
	{ "jsonl", ".jsonl", nothing, jsonl_record, jsonl_end },
	{ "csv", ".csv", csv_begin, csv_record, nothing },
};

const struct sink_row *sink_find(const char *name)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	return NULL;
}

void sink_begin(struct sink *s, const struct sink_row *row, struct out *o, const struct column *columns, size_t n)
{
	*s = (struct sink){ .row = row, .out = o, .columns = columns, .n_columns = n, .noun = "blocks" };
	row->begin(s);
}

void sink_record(struct sink *s, const struct cell *cells)
{
	s->records++;
	s->row->record(s, cells);
}

void sink_end(struct sink *s)
{
	s->row->end(s);
}

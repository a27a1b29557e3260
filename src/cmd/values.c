/* Values as text and JSON. They come as a list in depth-first order; what a value consists of is deeper. */
#include "stacks.h"

#include <inttypes.h>

enum { DEEPEST = 24, COLUMNS = 80, FEW = 8 /* elements of an array, where variables are listed that nobody named */ };

/* The block that a pointer leads into; BLOCK_NONE when none. */
static block_id block_of(const struct session *s, const struct value *v)
{
	if ((v->kind != VALUE_POINTER && v->kind != VALUE_REFERENCE) || v->missing || !v->pointer || !s->blocks)
		return BLOCK_NONE;
	block_id id = blocks_at(s->blocks, v->pointer);
	return id != BLOCK_NONE && v->pointer >= blocks_payload(s->blocks, id) ? id : BLOCK_NONE;
}

static void add_block(const struct arguments *a, struct session *s, struct strbuf *t, const struct value *v)
{
	block_id id = block_of(s, v);
	if (id == BLOCK_NONE)
		return;
	uint64_t address = blocks_payload(s->blocks, id), size = blocks_usable(s->blocks, id);
	uint32_t label = types_label(s->types, id);
	strbuf_puts(t, " -> ");
	if (a->prompt)
		strbuf_printf(t, "%u: ", desk_number(a->desk, address));
	if (!block_state_is_used(blocks_state(s->blocks, id)))
		strbuf_printf(t, "free block of %" PRIu64 " B", size);
	else if (s->types->labels[label].by == BY_SIZE || s->types->labels[label].by == BY_TEXT)
		strbuf_printf(t, "block %s", s->types->labels[label].name);
	else
		strbuf_printf(t, "block %" PRIu64 " B %s", size, s->types->labels[label].name);
	if (v->pointer != address)
		strbuf_printf(t, ", at +%" PRIu64, v->pointer - address);
}

struct printer {
	const struct arguments *a;
	struct session *s;
	struct out *o;
	struct json *j;
	const struct values *v;
	struct { unsigned depth, told; bool array; uint64_t index; } open[DEEPEST];
	unsigned n_open;
};

static void foreign(struct out *o, const struct strbuf *t)
{
	struct strbuf shown = { 0 };
	text_add_foreign(&shown, t->text ? t->text : "", o);
	out_puts(o, shown.text ? shown.text : "");
	strbuf_free(&shown);
}

static bool has_parts(const struct values *v, size_t i)
{
	return i + 1 < v->list.n && v->list.at[i + 1].depth > v->list.at[i].depth;
}

/* An array whose elements are all scalars: told in one paragraph. Returns its end, or 0. */
static size_t flat_end(const struct values *v, size_t i)
{
	size_t k = i + 1;
	if (v->list.at[i].kind != VALUE_ARRAY)
		return 0;
	for (; k < v->list.n && v->list.at[k].depth > v->list.at[i].depth; k++)
		if (v->list.at[k].kind != VALUE_SCALAR || (v->list.at[k].text && strpbrk(v->list.at[k].text, " ")))
			return 0;
	return k > i + 1 ? k : 0;
}

static void indent(struct printer *p, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		out_puts(p->o, "  ");
}

static void close_deeper(struct printer *p, unsigned depth)
{
	while (p->n_open && p->open[p->n_open - 1].depth >= depth) {
		p->n_open--;
		if (p->j) {
			out_json_end_array(p->j);
			out_json_end_object(p->j);
		} else {
			indent(p, p->open[p->n_open].depth);
			out_puts(p->o, "}\n");
		}
	}
}

static void add_repeats(struct strbuf *t, const struct value *v)
{
	if (v->repeats > 1)
		strbuf_printf(t, " <repeats %" PRIu64 " times>", v->repeats);
}

static void print_flat(struct printer *p, size_t from, size_t to, const struct strbuf *lead)
{
	struct paragraph par;
	paragraph_begin(&par, p->o, "", COLUMNS);
	par.at = (int)lead->n;
	par.indent = 2 * (int)p->v->list.at[from].depth + 2;
	foreign(p->o, lead);
	for (size_t i = from + 1; i < to; i++) {
		struct strbuf t = { 0 };
		const struct value *v = &p->v->list.at[i];
		strbuf_printf(&t, "%s%s", i == from + 1 ? "{" : "", v->missing ? v->missing : v->text ? v->text : "?");
		add_repeats(&t, v);
		strbuf_puts(&t, i + 1 < to ? "," : "}");
		paragraph_add(&par, t.text ? t.text : "");
		strbuf_free(&t);
	}
	paragraph_end(&par);
}

static void add_name(struct printer *p, const struct value *v, struct strbuf *t)
{
	bool element = p->n_open && p->open[p->n_open - 1].array;
	if (v->name)
		strbuf_printf(t, "%s = ", v->name);
	else if (element)
		strbuf_printf(t, "[%" PRIu64 "] = ", p->open[p->n_open - 1].index);
	if (element)
		p->open[p->n_open - 1].index += v->repeats;
}

/* What a reference leads to stands on its line when it is one value. Returns the index of what follows. */
static size_t add_referred(const struct values *v, size_t i, struct strbuf *t)
{
	const struct value *target = &v->list.at[i + 1];
	if (has_parts(v, i + 1) || (!target->text && !target->missing)) {
		strbuf_puts(t, ": {");
		return i + 1;
	}
	strbuf_printf(t, target->missing ? ": <%s>" : ": %s", target->missing ? target->missing : target->text);
	return i + 2;
}

/* Of a long array among the variables of a frame: what is left of it is counted. Returns the index behind it, or i. */
static size_t leave_out(struct printer *p, size_t i)
{
	unsigned depth = p->v->list.at[i].depth;
	if (!p->n_open || !p->open[p->n_open - 1].array || p->open[p->n_open - 1].told++ < FEW || p->a->verbose || strcmp(p->a->command->name, "locals"))
		return i;
	uint64_t more = 0;
	for (; i < p->v->list.n && p->v->list.at[i].depth >= depth; i++)
		more += p->v->list.at[i].depth == depth ? p->v->list.at[i].repeats : 0;
	indent(p, depth);
	out_printf(p->o, "... %s more (-v)\n", text_count(more).text);
	return i;
}

/* Returns the index of the value behind. */
static size_t print_value(struct printer *p, size_t i)
{
	const struct value *v = &p->v->list.at[i];
	struct strbuf t = { 0 };
	close_deeper(p, v->depth);
	size_t behind = leave_out(p, i);
	if (behind > i)
		return behind;
	indent(p, v->depth);
	add_name(p, v, &t);
	size_t flat = flat_end(p->v, i), next = i + 1;
	bool container = (v->kind == VALUE_STRUCT || v->kind == VALUE_ARRAY) && !v->missing;
	if (flat) {
		print_flat(p, i, flat, &t);
		next = flat;
	} else {
		if (v->missing)
			strbuf_printf(&t, "<%s>", v->missing);
		else if (container)
			strbuf_puts(&t, has_parts(p->v, i) ? "{" : "{}");
		else
			strbuf_puts(&t, v->text ? v->text : "?");
		add_block(p->a, p->s, &t, v);
		if (v->kind == VALUE_REFERENCE && has_parts(p->v, i))
			next = add_referred(p->v, i, &t);
		add_repeats(&t, v);
		foreign(p->o, &t);
		out_puts(p->o, "\n");
		if (next < p->v->list.n && p->v->list.at[next].depth > v->depth && p->n_open < DEEPEST) {
			p->open[p->n_open].depth = v->depth;
			p->open[p->n_open].array = v->kind == VALUE_ARRAY;
			p->open[p->n_open].told = 0;
			p->open[p->n_open++].index = 0;
		}
	}
	strbuf_free(&t);
	return next;
}

static void json_block(struct printer *p, const struct value *v)
{
	block_id id = block_of(p->s, v);
	if (id == BLOCK_NONE) {
		out_json_null(p->j, "block");
		return;
	}
	out_json_object(p->j, "block");
	out_json_address(p->j, "address", blocks_payload(p->s->blocks, id));
	out_json_u64(p->j, "size", blocks_usable(p->s->blocks, id));
	out_json_string(p->j, "state", block_state_name(blocks_state(p->s->blocks, id)));
	out_json_string(p->j, "label", block_state_is_used(blocks_state(p->s->blocks, id)) ? types_name(p->s->types, id) : NULL);
	out_json_end_object(p->j);
}

static void json_value(struct printer *p, size_t i)
{
	static const char *const kinds[] = { "scalar", "pointer", "reference", "struct", "array" };
	const struct value *v = &p->v->list.at[i];
	struct json *j = p->j;
	close_deeper(p, v->depth);
	out_json_object(j, NULL);
	out_json_string(j, "name", v->name);
	out_json_string(j, "type", v->type);
	out_json_string(j, "kind", kinds[v->kind]);
	out_json_string(j, "value", v->text);
	out_json_string(j, "missing", v->missing);
	if (v->address)
		out_json_address(j, "address", v->address);
	else
		out_json_null(j, "address");
	out_json_u64(j, "size", v->bytes);
	if (v->depth == 0)
		out_json_bool(j, "parameter", v->parameter);
	if (v->repeats > 1)
		out_json_u64(j, "repeats", v->repeats);
	if (v->kind == VALUE_POINTER || v->kind == VALUE_REFERENCE) {
		out_json_address(j, "pointer", v->pointer);
		json_block(p, v);
	}
	if (has_parts(p->v, i) && p->n_open < DEEPEST) {
		out_json_array(j, "members");
		p->open[p->n_open++].depth = v->depth;
	} else {
		out_json_end_object(j);
	}
}

void cmd_values_text(const struct arguments *a, struct session *s, struct out *o, const struct values *v)
{
	struct printer p = { .a = a, .s = s, .o = o, .v = v };
	for (size_t i = 0; i < v->list.n && !o->error;)
		i = print_value(&p, i);
	close_deeper(&p, 0);
	if (v->cut)
		out_puts(o, "... and more: name a member or an element\n");
}

void cmd_values_json(struct session *s, struct json *j, const struct values *v)
{
	struct printer p = { .s = s, .o = j->out, .j = j, .v = v };
	out_json_array(j, "values");
	for (size_t i = 0; i < v->list.n && !j->out->error; i++)
		json_value(&p, i);
	close_deeper(&p, 0);
	out_json_end_array(j);
	out_json_bool(j, "complete", !v->cut);
}

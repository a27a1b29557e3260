/* type: why a block has its type; or how a type lies in memory. */
#include "cmd.h"

#include <ctype.h>
#include <inttypes.h>

enum { SHOWN_STEPS = 12, LABEL_COLUMNS = 44 };

static void add_type(struct strbuf *t, const struct session *s, uint32_t type)
{
	type_table_name(s->types->typing->table, type, t);
}

static void add_path(struct strbuf *t, const struct session *s, const struct evidence_step *e)
{
	if (!e->word || e->word < e->object) {
		strbuf_puts(t, e->word ? "" : " (register)");
		return;
	}
	struct strbuf path = { 0 };
	const struct type_table *table = s->types->typing->table;
	const struct type *at = table_type(table, e->type);
	uint64_t offset = e->word - e->object;
	if (at->size && !e->root && offset >= at->size && at->flexible == NO_OFFSET) {
		strbuf_printf(t, "[%" PRIu64 "]", offset / at->size);
		offset %= at->size;
	}
	type_table_path(table, e->type, offset, &path);
	if (path.n)
		strbuf_printf(t, path.text[0] == '[' ? "%s" : ".%s", path.text);
	else if (offset)
		strbuf_printf(t, "+0x%" PRIx64, offset);
	strbuf_free(&path);
}

static const char *const place_names[] = { "global", "thread variable", "local" };

static void step_text(struct strbuf *t, const struct session *s, const struct evidence_step *e)
{
	if (e->root) {
		strbuf_printf(t, "%s %s", place_names[e->root->place], e->root->name ? e->root->name : "?");
		add_path(t, s, e);
		if (e->root->function)
			strbuf_printf(t, " of %s()", e->root->function);
		return;
	}
	add_type(t, s, e->type);
	add_path(t, s, e);
	if (e->block == BLOCK_NONE)
		strbuf_puts(t, ", outside the heap");
}

static void put_line(struct out *o, const char *lead, const struct strbuf *t)
{
	struct strbuf shown = { 0 };
	text_add_foreign(&shown, t->text ? t->text : "", o);
	out_printf(o, "%s%s\n", lead, shown.text ? shown.text : "");
	strbuf_free(&shown);
}

static void step_line(const struct arguments *a, const struct session *s, const struct evidence_step *e, struct out *o)
{
	struct strbuf t = { 0 };
	char lead[48];
	uint64_t block = e->block == BLOCK_NONE ? 0 : blocks_payload(s->blocks, e->block);
	if (block && a->prompt)
		snprintf(lead, sizeof lead, "  %-4u 0x%-14" PRIx64 " ", desk_number(a->desk, block), block);
	else if (e->object)
		snprintf(lead, sizeof lead, "  0x%-14" PRIx64 " ", block ? block : e->object);
	else
		snprintf(lead, sizeof lead, "  %-16s ", "register");
	step_text(&t, s, e);
	put_line(o, lead, &t);
	strbuf_free(&t);
}

static void chain_text(const struct arguments *a, const struct session *s, const struct evidence *e, struct out *o)
{
	size_t n = e->steps.n, cut = n > SHOWN_STEPS ? SHOWN_STEPS / 2 : n;
	if (!n)
		return;
	out_puts(o, "because\n");
	for (size_t i = 0; i < n; i++) {
		if (i == cut && n > SHOWN_STEPS) {
			out_printf(o, "  %s more steps\n", text_count(n - SHOWN_STEPS).text);
			i = n - SHOWN_STEPS / 2;
		}
		step_line(a, s, &e->steps.at[i], o);
	}
}

static void rivals_text(const struct session *s, const struct evidence *e, const struct typed *at, struct out *o)
{
	for (size_t i = 0; i < e->rivals.n; i++) {
		const struct evidence_rival *r = &e->rivals.at[i];
		struct strbuf t = { 0 };
		if (r->type == at->type)
			continue;
		add_type(&t, s, r->type);
		strbuf_printf(&t, r->fits ? " would fit with rank %.1f" : " does not fit", r->rank / 10.0);
		if (r->word)
			strbuf_printf(&t, ", says 0x%" PRIx64, r->word);
		put_line(o, "rival   ", &t);
		strbuf_free(&t);
	}
}

static void block_text(const struct arguments *a, const struct session *s, block_id id, const struct evidence *e, struct out *o)
{
	const struct typed is = typing_of(s->types->typing, id), *at = &is;
	struct strbuf t = { 0 };
	uint64_t address = blocks_payload(s->blocks, id);
	strbuf_printf(&t, "0x%" PRIx64 "  ", address);
	if (!at->type) {
		strbuf_printf(&t, "%s", types_name(s->types, id));
		put_line(o, "", &t);
		bool tag = types_identified_by(s->types, id) == BY_TAG;
		out_puts(o, tag ? "by what CPython says: its ob_type, or the object that it belongs to\n" :
				"no typed pointer leads to it; if you know what it is, istype says so\n");
		strbuf_free(&t);
		return;
	}
	types_tag_name(s->types, at, address, &t);
	strbuf_puts(&t, at->doubt && at->by != TYPED_GUESS ? " ?" : "");
	put_line(o, "", &t);
	out_printf(o, "tier %s, rank %.1f, by %s%s; %s usable bytes, %s of the type\n", cmd_tier_name(types_tier(at)), at->rank / 10.0,
		   typed_by_name((enum typed_by)at->by), at->doubt ? ", another type fits as well" : "", text_count(blocks_usable(s->blocks, id)).text,
		   text_count(table_type(s->types->typing->table, at->type)->size).text);
	if (at->base)
		out_printf(o, "it begins %u bytes behind the block's start\n", at->base * image_arch(s->image)->word);
	strbuf_free(&t);
	chain_text(a, s, e, o);
	if (e->places)
		out_printf(o, "by a cast: code has it as such at %s place%s\n", text_count(e->places).text, e->places == 1 ? "" : "s");
	rivals_text(s, e, at, o);
}

static void step_json(struct json *j, const struct session *s, const struct evidence_step *e)
{
	struct strbuf t = { 0 };
	out_json_object(j, NULL);
	out_json_string(j, "root", e->root ? place_names[e->root->place] : NULL);
	out_json_string(j, "variable", e->root ? e->root->name : NULL);
	out_json_string(j, "function", e->root ? e->root->function : NULL);
	add_type(&t, s, e->type);
	out_json_string(j, "type", t.text);
	strbuf_free(&t);
	add_path(&t, s, e);
	out_json_string(j, "member", t.text ? t.text : "");
	strbuf_free(&t);
	out_json_address(j, "object", e->object);
	out_json_address(j, "word", e->word);
	out_json_bool(j, "in_block", e->block != BLOCK_NONE);
	out_json_end_object(j);
}

static void block_json(const struct session *s, block_id id, const struct evidence *e, struct json *j)
{
	const struct typed is = typing_of(s->types->typing, id), *at = &is;
	struct strbuf t = { 0 };
	if (at->type)
		types_tag_name(s->types, at, blocks_payload(s->blocks, id), &t);
	out_json_address(j, "address", blocks_payload(s->blocks, id));
	out_json_u64(j, "usable", blocks_usable(s->blocks, id));
	out_json_string(j, "type", at->type ? t.text : NULL);
	out_json_string(j, "tier", cmd_tier_name(types_tier(at)));
	out_json_double(j, "rank", at->rank / 10.0, 1);
	out_json_string(j, "by", typed_by_name((enum typed_by)at->by));
	out_json_bool(j, "doubt", at->doubt);
	out_json_u64(j, "begins_at", (uint64_t)at->base * image_arch(s->image)->word);
	out_json_string(j, "label", types_name(s->types, id));
	out_json_string(j, "identified_by", identified_by_name(types_identified_by(s->types, id)));
	strbuf_free(&t);
	out_json_u64(j, "places", e->places);
	out_json_array(j, "chain");
	for (size_t i = 0; i < e->steps.n; i++)
		step_json(j, s, &e->steps.at[i]);
	out_json_end_array(j);
	out_json_array(j, "rivals");
	for (size_t i = 0; i < e->rivals.n; i++) {
		const struct evidence_rival *r = &e->rivals.at[i];
		out_json_object(j, NULL);
		add_type(&t, s, r->type);
		out_json_string(j, "type", t.text);
		strbuf_free(&t);
		out_json_double(j, "rank", r->rank / 10.0, 1);
		out_json_bool(j, "fits", r->fits);
		out_json_address(j, "word", r->word);
		out_json_end_object(j);
	}
	out_json_end_array(j);
}

/* Layout */

struct line { uint64_t offset, bytes; const struct type_member *member; /* NULL: a hole, or */ bool bases; /* virtual bases, somewhere in there */ };

static void layout_line(struct out *o, const struct session *s, const struct line *l)
{
	struct strbuf t = { 0 }, name = { 0 };
	if (l->member) {
		add_type(&name, s, l->member->type);
		strbuf_printf(&t, "%-24s ", l->member->base ? "(base)" : l->member->name ? l->member->name : "(nameless)");
		strbuf_add(&t, name.text ? name.text : "", name.n < LABEL_COLUMNS ? name.n : LABEL_COLUMNS);
		if (l->member->bits)
			strbuf_printf(&t, " : %u", l->member->bits);
	} else {
		strbuf_puts(&t, l->bases ? "-- virtual bases, and holes: a vtable says where" : "-- hole");
	}
	char lead[48];
	snprintf(lead, sizeof lead, "%8" PRIu64 " %7" PRIu64 "  ", l->offset, l->bytes);
	put_line(o, lead, &t);
	strbuf_free(&name);
	strbuf_free(&t);
}

static void layout_member_json(struct json *j, const struct session *s, const struct line *l)
{
	struct strbuf name = { 0 };
	out_json_object(j, NULL);
	out_json_u64(j, "offset", l->offset);
	out_json_u64(j, "bytes", l->bytes);
	out_json_bool(j, "hole", !l->member && !l->bases);
	out_json_string(j, "name", l->member ? l->member->name : NULL);
	if (l->member)
		add_type(&name, s, l->member->type);
	out_json_string(j, "type", l->member ? name.text : NULL);
	out_json_u64(j, "bits", l->member ? l->member->bits : 0);
	out_json_u64(j, "bit", l->member ? l->member->bit : 0);
	out_json_bool(j, "base", l->member && l->member->base);
	out_json_end_object(j);
	strbuf_free(&name);
}

/* It, or one of its bases, has bases whose place is not that of the type. */
static bool has_virtual_bases(const struct type_table *t, const struct type *at)
{
	const struct type *todo[32] = { at };
	for (size_t n = 1, left = 1000; n && left--;) {
		at = todo[--n];
		if (at->virtual_bases)
			return true;
		for (uint32_t i = 0; i < at->n_members && n < 32; i++)
			if (t->members.at[at->first_member + i].base)
				todo[n++] = table_type(t, t->members.at[at->first_member + i].type);
	}
	return false;
}

/* Members in order, with what lies between them. Returns the bytes of holes. */
static uint64_t each_line(const struct session *s, const struct type *at, void (*put)(void *ctx, const struct session *s, const struct line *l), void *ctx)
{
	const struct type_table *t = s->types->typing->table;
	bool bases = has_virtual_bases(t, at);
	uint64_t end = 0, holes = 0;
	for (uint32_t i = 0; i <= at->n_members && at->n_members; i++) {
		const struct type_member *m = i < at->n_members ? &t->members.at[at->first_member + i] : NULL;
		uint64_t next = m ? m->offset : at->size;
		if (next > end && !(m && m->weak)) {
			holes += bases ? 0 : next - end;
			put(ctx, s, &(struct line){ end, next - end, NULL, bases });
		}
		if (!m)
			break;
		put(ctx, s, &(struct line){ m->offset, m->bytes, m, false });
		uint64_t behind = (uint64_t)m->offset + (m->bits ? (m->bit + m->bits + 7u) / 8 : m->bytes);
		end = behind > end ? behind : end;
	}
	return holes;
}

static void put_text(void *ctx, const struct session *s, const struct line *l)
{
	layout_line(ctx, s, l);
}

static void put_json(void *ctx, const struct session *s, const struct line *l)
{
	layout_member_json(ctx, s, l);
}

static void layout_text(const struct session *s, uint32_t type, struct out *o)
{
	const struct type *at = table_type(s->types->typing->table, type);
	struct strbuf t = { 0 };
	add_type(&t, s, type);
	strbuf_printf(&t, ", %" PRIu64 " bytes, %s", at->size, modules_get(s->modules, at->module)->name);
	put_line(o, "", &t);
	strbuf_free(&t);
	out_puts(o, "  OFFSET   BYTES  MEMBER\n");
	uint64_t holes = each_line(s, at, put_text, o);
	out_printf(o, "%s bytes of holes\n", text_count(holes).text);
}

static void layout_json(const struct session *s, uint32_t type, struct json *j)
{
	const struct type *at = table_type(s->types->typing->table, type);
	struct strbuf t = { 0 };
	add_type(&t, s, type);
	out_json_string(j, "type", t.text);
	strbuf_free(&t);
	out_json_u64(j, "size", at->size);
	out_json_string(j, "module", modules_get(s->modules, at->module)->path);
	out_json_bool(j, "union", at->kind == TYPE_UNION);
	out_json_array(j, "members");
	uint64_t holes = each_line(s, at, put_json, j);
	out_json_end_array(j);
	out_json_u64(j, "holes", holes);
}

static bool is_address(const char *word)
{
	return isdigit((unsigned char)*word) || (strchr("LlUu", *word) && isdigit((unsigned char)word[1]) && !word[1 + strspn(word + 1, "0123456789")]);
}

static void begin_json(struct json *j, struct out *o)
{
	out_json_init(j, o, true);
	out_json_object(j, NULL);
	out_json_string(j, "schema", "flotsam.type/1");
}

/* One that is called so in a namespace, or nearly so. */
static struct err *no_struct(const struct type_table *t, const char *name)
{
	struct err *e = err_new(ERR_NOT_FOUND, "no struct is called '%s'", name);
	struct strbuf like = { 0 };
	size_t n = strlen(name);
	bool found = false;
	for (uint32_t id = 1; n && id < t->types.n && !found && !interrupted; id++) {
		const struct type *at = table_type(t, id);
		size_t of = type_is_struct(at) && at->name ? strlen(at->name) : 0;
		found = of > n + 2 && of < 256 && !strcmp(at->name + of - n, name) && !memcmp(at->name + of - n - 2, "::", 2);
		found |= of && of < 256 && n > 2 && cmd_resembles(name, at->name);
		if (found)
			type_table_name(t, id, &like);
	}
	e = found && like.text ? err_hint(e, "did you mean type %s?", like.text) : err_hint(e, "types lists what the heap is made of");
	strbuf_free(&like);
	return e;
}

static struct err *of_name(const struct arguments *a, struct session *s, struct out *o)
{
	struct strbuf name = { 0 };
	for (unsigned i = 0; i < a->n_words; i++)
		strbuf_printf(&name, i ? " %s" : "%s", a->words[i]);
	uint32_t type = name.text ? type_table_find_readable(s->types->typing->table, name.text) : 0;
	struct type_table *table;
	struct err *e = type ? NULL : modules_whole_type_table(s->modules, &table);
	if (!e && !type && name.text)
		type = type_table_find_readable(table, name.text);
	/* The first of that name may be one without members: a declaration of a plugin, an empty tag. */
	for (uint32_t id = type; id && !table_type(s->types->typing->table, type)->n_members; id = table_type(s->types->typing->table, id)->next)
		type = id;
	if (!e && !type)
		e = no_struct(table, name.text ? name.text : "");
	strbuf_free(&name);
	if (e)
		return e;
	if (cmd_is_text(a)) {
		layout_text(s, type, o);
	} else {
		struct json j;
		begin_json(&j, o);
		layout_json(s, type, &j);
		out_json_end_object(&j);
		out_puts(o, "\n");
	}
	return NULL;
}

static struct err *of_block(const struct arguments *a, struct session *s, struct out *o)
{
	struct evidence e = { 0 };
	block_id id;
	TRY(cmd_block(a, s, a->words[0], &id));
	struct err *err = typing_of(s->types->typing, id).type ? types_explain(s->types, id, &e) : NULL;
	if (!err && cmd_is_text(a)) {
		block_text(a, s, id, &e, o);
	} else if (!err) {
		struct json j;
		begin_json(&j, o);
		block_json(s, id, &e, &j);
		out_json_end_object(&j);
		out_puts(o, "\n");
	}
	evidence_free(&e);
	return err;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	TRY(cmd_need_typing(s, ret_status));
	return is_address(a->words[0]) && a->n_words == 1 ? of_block(a, s, o) : of_name(a, s, o);
}

const struct command command_type = {
	.name = "type",
	.summary = "why a block has its type; how a type lies in memory",
	.formats = { "text", "json" },
	.help = "  flotsam type 4242 0x55d0c0a012a0  the chain of pointers that names the block\n"
		"  type 3                            the same of item 3 of a list\n"
		"  type Session                      its members, their offsets, the holes\n"
		"  flotsam type ./core.4242 'std::vector<int>' --format json\n",
	.group = GROUP_BLOCKS,
	.operands = "ADDR|N|NAME",
	.min_words = 1,
	.max_words = 16,
	.completes = COMPLETES_VALUE,
	.run = run,
};

/* What nothing names, in groups: U1 ... Who points at them, who keeps them, what they may be. Never a bare guess as a name. */
#include "cmd.h"

#include <inttypes.h>

enum { MOST_SITES = 3, MOST_KEEPERS = 3, COLUMNS = 80, SHOWN = 10, JSON_GROUPS = 256 };

struct keeper { uint32_t group, set; uint64_t blocks; };
struct view {
	const struct arguments *a;
	struct session *s;
	const struct unknown *u;
	const struct allocation_sites *sites; /* NULL: they cannot be had */
	size_t shown;			      /* groups */
	VEC(struct keeper) keepers;	      /* of these: most blocks first, group by group */
};

static int by_group(const void *a, const void *b)
{
	const struct keeper *x = a, *y = b;
	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	if (x->blocks != y->blocks)
		return x->blocks > y->blocks ? -1 : 1;
	return x->set < y->set ? -1 : x->set > y->set;
}

/* Set 0: nobody keeps them. */
static struct err *find_keepers(struct view *v)
{
	struct map64 known = { 0 };
	bool nomem = false;
	TRY(session_holders(v->s));
	for (block_id id = 0; id < v->s->blocks->n && !nomem; id++) {
		uint32_t group = v->u->group_of[id];
		if (!group || group > v->shown)
			continue;
		uint32_t set = graph_set(v->s->graph, id);
		uint64_t key = (uint64_t)group << 32 | set, index;
		if (!map64_find(&known, key, &index)) {
			struct keeper *k = vec_push(&v->keepers);
			index = v->keepers.n - 1;
			nomem = !k || !map64_put(&known, key, index);
			if (k)
				*k = (struct keeper){ group, set, 0 };
		}
		if (!nomem)
			v->keepers.at[index].blocks++;
	}
	map64_free(&known);
	if (v->keepers.n)
		qsort(v->keepers.at, v->keepers.n, sizeof *v->keepers.at, by_group);
	return nomem ? err_nomem() : NULL;
}

static struct err *open_view(const struct arguments *a, struct session *s, size_t shown, struct view *v)
{
	*v = (struct view){ .a = a, .s = s };
	TRY(types_unknown(s->types, &v->u));
	v->shown = shown && v->u->groups.n > shown ? shown : v->u->groups.n;
	if (!v->shown)
		return NULL;
	TRY(find_keepers(v));
	struct err *e = modules_allocation_sites(s->modules, &v->sites);
	if (e && e->kind != ERR_UNSUPPORTED && e->kind != ERR_NOT_FOUND)
		return e;
	err_free(e);
	return NULL;
}

/* Calls that get such a chunk; the program's own. */
static bool may_allocate(const struct view *v, const struct unknown_group *g, const struct allocation_site *site)
{
	block_id id = g->sample;
	uint64_t chunk = blocks_chunk_bytes(v->s->blocks, id);
	return blocks_arena(v->s->blocks, id) != ARENA_MMAP && cmd_site_is_own(site) && cmd_chunk_for(v->s, site->bytes, false) == chunk;
}

static void add_sources(struct strbuf *t, const struct view *v, const struct unknown_group *g)
{
	for (uint32_t i = 0; i < g->n_sources; i++) {
		strbuf_puts(t, i ? ", " : "; pointed at by ");
		if (g->sources[i].kind == BY_GROUP && &v->u->groups.at[g->sources[i].what - 1] == g)
			strbuf_puts(t, "each other");
		else
			types_source_name(v->s->types, &g->sources[i], t);
		strbuf_printf(t, " (%s)", text_count(g->sources[i].pointers).text);
	}
	if (g->other_sources)
		strbuf_printf(t, " and %s more", text_count(g->other_sources).text);
}

static void add_keepers(struct strbuf *t, const struct view *v, size_t group)
{
	unsigned n = 0;
	for (size_t i = 0; i < v->keepers.n && n < MOST_KEEPERS; i++) {
		const struct keeper *k = &v->keepers.at[i];
		if (k->group != group)
			continue;
		AUTO_FREE char *name = k->set ? query_set_name(v->s->graph, k->set - 1) : NULL;
		strbuf_printf(t, n++ ? ", %s (%s)" : "; kept by %s (%s)", k->set && name ? name : "nobody", text_count(k->blocks).text);
	}
}

static void add_candidates(struct strbuf *t, const struct view *v, const struct unknown_group *g)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < g->n_types; i++) {
		strbuf_puts(t, i ? ", " : "; of its size, and not ruled out: ");
		type_table_name(v->s->types->typing->table, g->types[i], t);
	}
	if (g->other_types)
		strbuf_printf(t, " and %s more", text_count(g->other_types).text);
	for (size_t i = 0; v->sites && i < v->sites->n; i++)
		if (may_allocate(v, g, &v->sites->at[i]) && n++ < MOST_SITES) {
			strbuf_puts(t, n == 1 ? "; calls of this size: " : ", ");
			cmd_site_name(v->s, &v->sites->at[i], t);
		}
	if (n > MOST_SITES)
		strbuf_printf(t, " and %s more", text_count(n - MOST_SITES).text);
}

static void group_text(const struct view *v, size_t number, struct out *o)
{
	const struct unknown_group *g = &v->u->groups.at[number - 1];
	struct paragraph p;
	struct strbuf t = { 0 };
	char lead[24];
	uint64_t first = blocks_payload(v->s->blocks, g->sample);
	int n = snprintf(lead, sizeof lead, "  U%zu", number);
	snprintf(lead + n, sizeof lead - (size_t)n, "%*s", n < 8 ? 8 - n : 1, "");
	paragraph_begin(&p, o, lead, COLUMNS);
	strbuf_printf(&t, "%s block%s of %s B, %s, first 0x%" PRIx64 "; %s with", text_count(g->blocks).text, g->blocks == 1 ? "" : "s",
		      text_count(g->usable).text, text_size(g->bytes).text, first, g->blocks == 1 ? "it begins" : "they begin");
	for (unsigned i = 0; i < GROUP_SEEN_WORDS && (i + 1) * image_arch(v->s->image)->word <= g->usable; i++) {
		strbuf_printf(&t, i ? ", %s" : " %s", word_kind_name((enum word_kind)g->words[i]));
		if (g->words[i] == WORD_MODULE)
			strbuf_printf(&t, " of %s", modules_get(v->s->modules, g->modules[i])->name);
	}
	add_sources(&t, v, g);
	add_keepers(&t, v, number);
	add_candidates(&t, v, g);
	paragraph_add(&p, t.text ? t.text : "");
	paragraph_end(&p);
	strbuf_free(&t);
}

static void close_view(struct view *v)
{
	vec_free(&v->keepers);
}

static void reach_text(const struct view *v, struct out *o)
{
	struct paragraph p;
	struct strbuf t = { 0 };
	uint64_t address = v->u->reach == BLOCK_NONE ? 0 : blocks_payload(v->s->blocks, v->u->reach);
	if (v->u->reached.blocks < 2)
		return;
	strbuf_printf(&t, "greatest unknown reach: from 0x%" PRIx64 " (%s B, of U%u) unnamed blocks alone lead to %s%s of them, %s.", address,
		      text_count(blocks_usable(v->s->blocks, v->u->reach)).text, v->u->group_of[v->u->reach], v->u->reach_cut ? "at least " : "",
		      text_count(v->u->reached.blocks).text, text_size(v->u->reached.bytes).text);
	if (v->a->prompt)
		strbuf_printf(&t, " If you know what it is: istype %u TYPE", desk_number(v->a->desk, address));
	else
		strbuf_printf(&t, " If you know what it is: --istype 0x%" PRIx64 "=TYPE", address);
	paragraph_begin(&p, o, "  ", COLUMNS);
	paragraph_add(&p, t.text ? t.text : "");
	paragraph_end(&p);
	strbuf_free(&t);
}

struct err *unknown_text(const struct arguments *a, struct session *s, struct out *o)
{
	struct view v;
	struct err *e = open_view(a, s, a->top ? a->top : 0, &v);
	if (!e && v.u->all.blocks) {
		out_printf(o, "\nUNKNOWN  %s block%s, %s, in %s group%s of one size and one look\n", text_count(v.u->all.blocks).text,
			   v.u->all.blocks == 1 ? "" : "s", text_size(v.u->all.bytes).text, text_count(v.u->groups.n).text, v.u->groups.n == 1 ? "" : "s");
		for (size_t i = 1; i <= v.shown && !o->error; i++)
			group_text(&v, i, o);
		if (v.shown < v.u->groups.n)
			out_printf(o, "  %s more (--top 0)\n", text_count(v.u->groups.n - v.shown).text);
		reach_text(&v, o);
		out_puts(o, "  blocks U1 lists those of a group; its number stands for the first of them\n");
	}
	close_view(&v);
	return e;
}

static void sources_json(const struct view *v, const struct unknown_group *g, struct json *j)
{
	out_json_array(j, "pointed_at_by");
	for (uint32_t i = 0; i < g->n_sources; i++) {
		struct strbuf t = { 0 };
		types_source_name(v->s->types, &g->sources[i], &t);
		out_json_object(j, NULL);
		out_json_string(j, "name", t.text);
		out_json_u64(j, "pointers", g->sources[i].pointers);
		out_json_end_object(j);
		strbuf_free(&t);
	}
	out_json_end_array(j);
	out_json_u64(j, "other_sources", g->other_sources);
}

static void keepers_json(const struct view *v, size_t group, struct json *j)
{
	unsigned n = 0;
	out_json_array(j, "kept_by");
	for (size_t i = 0; i < v->keepers.n && n < MOST_KEEPERS; i++) {
		const struct keeper *k = &v->keepers.at[i];
		if (k->group != group)
			continue;
		AUTO_FREE char *name = k->set ? query_set_name(v->s->graph, k->set - 1) : NULL;
		n++;
		out_json_object(j, NULL);
		out_json_string(j, "holder", name);
		out_json_u64(j, "blocks", k->blocks);
		out_json_end_object(j);
	}
	out_json_end_array(j);
}

static void candidates_json(const struct view *v, const struct unknown_group *g, struct json *j)
{
	uint64_t n = 0;
	out_json_array(j, "types");
	for (uint32_t i = 0; i < g->n_types; i++) {
		struct strbuf t = { 0 };
		type_table_name(v->s->types->typing->table, g->types[i], &t);
		out_json_string(j, NULL, t.text);
		strbuf_free(&t);
	}
	out_json_end_array(j);
	out_json_u64(j, "other_types", g->other_types);
	out_json_array(j, "sites");
	for (size_t i = 0; v->sites && i < v->sites->n; i++)
		if (may_allocate(v, g, &v->sites->at[i]) && n++ < MOST_SITES)
			cmd_site_json(j, v->s, &v->sites->at[i], true);
	out_json_end_array(j);
	out_json_u64(j, "other_sites", n > MOST_SITES ? n - MOST_SITES : 0);
}

static void group_json(const struct view *v, size_t number, struct json *j)
{
	const struct unknown_group *g = &v->u->groups.at[number - 1];
	char name[24];
	snprintf(name, sizeof name, "U%zu", number);
	out_json_object(j, NULL);
	out_json_string(j, "group", name);
	out_json_u64(j, "size", g->usable);
	out_json_u64(j, "chunk_bytes", blocks_chunk_bytes(v->s->blocks, g->sample));
	out_json_u64(j, "blocks", g->blocks);
	out_json_u64(j, "bytes", g->bytes);
	out_json_address(j, "sample", blocks_payload(v->s->blocks, g->sample));
	out_json_array(j, "begins_with");
	for (unsigned i = 0; i < GROUP_SEEN_WORDS && (i + 1) * image_arch(v->s->image)->word <= g->usable; i++)
		out_json_string(j, NULL, word_kind_name((enum word_kind)g->words[i]));
	out_json_end_array(j);
	sources_json(v, g, j);
	keepers_json(v, number, j);
	candidates_json(v, g, j);
	out_json_end_object(j);
}

static void reach_json(const struct view *v, struct json *j)
{
	char name[24];
	if (v->u->reach == BLOCK_NONE) {
		out_json_null(j, "reach");
		return;
	}
	snprintf(name, sizeof name, "U%u", v->u->group_of[v->u->reach]);
	out_json_object(j, "reach");
	out_json_address(j, "address", blocks_payload(v->s->blocks, v->u->reach));
	out_json_u64(j, "size", blocks_usable(v->s->blocks, v->u->reach));
	out_json_string(j, "group", name);
	out_json_u64(j, "blocks", v->u->reached.blocks);
	out_json_u64(j, "bytes", v->u->reached.bytes);
	out_json_bool(j, "complete", !v->u->reach_cut);
	out_json_end_object(j);
}

struct err *unknown_json(const struct arguments *a, struct session *s, struct json *j)
{
	struct view v;
	struct err *e = open_view(a, s, JSON_GROUPS, &v);
	if (!e) {
		out_json_object(j, "unknown");
		out_json_u64(j, "blocks", v.u->all.blocks);
		out_json_u64(j, "bytes", v.u->all.bytes);
		out_json_u64(j, "groups_found", v.u->groups.n);
		out_json_bool(j, "complete", !v.u->cut);
		out_json_array(j, "groups");
		for (size_t i = 1; i <= v.shown; i++)
			group_json(&v, i, j);
		out_json_end_array(j);
		reach_json(&v, j);
		out_json_end_object(j);
	}
	close_view(&v);
	return e;
}

static unsigned long number_of(const char *word)
{
	return (*word == 'U' || *word == 'u') && word[1] && strspn(word + 1, "0123456789") == strlen(word + 1) ? strtoul(word + 1, NULL, 10) : 0;
}

bool cmd_is_unknown(const struct session *s, const char *word)
{
	struct symbol sym;
	return number_of(word) && !modules_find_symbol(s->modules, word, &sym);
}

struct err *cmd_unknown(struct session *s, const char *word, uint64_t *ret)
{
	const struct unknown *u;
	int status;
	unsigned long n = number_of(word);
	TRY(cmd_need_typing(s, &status));
	TRY(types_unknown(s->types, &u));
	if (!n || n > u->groups.n)
		return err_hint(err_new(ERR_USAGE, "there is no %s: the groups of unknown blocks end with U%zu", word, u->groups.n), "types --top 0");
	*ret = blocks_payload(s->blocks, u->groups.at[n - 1].sample);
	return NULL;
}

/* Where typed memory begins: variables of the program, of threads, of frames. */
#include "typereader.h"

enum { MOST_ROOTS = 1 << 20, MOST_BYTES = 256 };

struct gather {
	struct type_reader *r;
	struct typed_roots *ret;
	struct values keep;
	struct value_place at;
	const char *function;
	uint32_t thread;
	enum typed_place place;
	const struct data_line *lines;
	size_t n_lines, next;
	bool found;
};

/* Whether anything can be reached from it: a pointer, or something made of others. */
static bool leads(const struct type_table *t, uint32_t type)
{
	enum type_kind k = table_type(t, type)->kind;
	return k == TYPE_POINTER || k == TYPE_STRUCT || k == TYPE_UNION || k == TYPE_ARRAY;
}

static void *keep_copy(struct gather *g, const void *bytes, size_t n)
{
	char **slot = vec_push(&g->ret->kept), *copy = slot ? calloc(1, n + 1) : NULL;
	g->r->nomem |= !copy;
	if (!copy)
		return NULL;
	if (bytes)
		memcpy(copy, bytes, n);
	return *slot = copy;
}

static const uint8_t *known_bytes(struct gather *g, const struct place *p, size_t *ret_n)
{
	size_t n = p->n < MOST_BYTES ? p->n : MOST_BYTES;
	uint8_t *copy = keep_copy(g, p->bytes, n);
	for (size_t i = 0; copy && i < n; i++)
		if (!p->known[i])
			copy[i] = 0;
	*ret_n = n;
	return copy;
}

static void add_root(struct gather *g, const char *name, const struct spot *at)
{
	struct typed_root root = { .place = g->place, .thread = g->thread, .module = g->r->module, .function = g->function };
	if (at->void_type || at->missing || at->place.missing)
		return;
	root.type = reader_resolve(g->r, (Dwarf_Die *)&at->type);
	if (!leads(g->r->t, root.type) || g->ret->list.n >= MOST_ROOTS) {
		g->ret->cut |= g->ret->list.n >= MOST_ROOTS;
		return;
	}
	if (at->place.in_memory)
		root.address = at->place.address + at->offset;
	else if (!(root.bytes = known_bytes(g, &at->place, &root.n)))
		return;
	root.name = name ? keep_copy(g, name, strlen(name)) : NULL;
	struct typed_root *slot = vec_push(&g->ret->list);
	g->r->nomem |= !slot;
	if (slot)
		*slot = root;
	g->ret->globals += g->place == PLACE_GLOBAL;
	g->ret->tls += g->place == PLACE_TLS;
	g->ret->locals += g->place == PLACE_LOCAL;
}

static const char *variable_name(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	return dwarf_attr_integrate(die, DW_AT_name, &attr) ? dwarf_formstring(&attr) : NULL;
}

static void add_globals(void *ctx)
{
	struct gather *g = ctx;
	while (g->next < g->n_lines && !interrupted) {
		const struct data_line *line = &g->lines[g->next++];
		modules_check_time();
		struct spot at = { .place = { .in_memory = true, .address = line->address } };
		Dwarf_Die die;
		if (dwarf_offdie(priv_of(g->r->m)->dwarf, line->die, &die) && type_ref(&die, DW_AT_type, &at.type))
			add_root(g, variable_name(&die), &at);
	}
}

static void add_thread_variable(void *ctx)
{
	struct gather *g = ctx;
	struct thread_die *v = &g->r->thread_dies.at[g->next];
	struct evaluation e = { .ms = g->r->ms, .m = g->r->m, .at = &g->at, .keep = &g->keep };
	struct spot at = { 0 };
	if (!type_ref(&v->die, DW_AT_type, &at.type))
		return;
	locate(&e, &v->die, &at.place);
	add_root(g, variable_name(&v->die), &at);
}

static struct err *on_local(void *ctx, struct evaluation *e, const char *name, const struct spot *at, bool parameter, struct source_line line)
{
	(void)e, (void)parameter, (void)line;
	add_root(ctx, name, at);
	return NULL;
}

/* Of the function and of those that were inlined into it. */
static void add_locals(void *ctx)
{
	struct gather *g = ctx;
	for (g->at.level = 0; g->at.level < MAX_INLINED && !interrupted; g->at.level++) {
		AUTO_ERR struct err *e = locals_each(g->r->ms, &g->at, &g->keep, on_local, g);
		if (e)
			break;
		g->found = true;
	}
}

static void use_module(struct type_reader *r, const struct module *m)
{
	for (size_t i = 0; i < r->ms->list.n; i++)
		if (r->ms->list.at[i] == m)
			r->module = (uint32_t)i;
	r->m = r->ms->list.at[r->module];
}

static void add_frames(struct gather *g)
{
	const struct libc_types *choose = &g->r->ms->libc_types;
	struct frame *frames;
	struct frame_registers *registers;
	size_t n = modules_unwind_registers(g->r->ms, g->at.thread, &frames, &registers);
	g->at.frames = frames;
	g->at.registers = registers;
	g->at.n_frames = n;
	for (size_t i = 0; i < n && !interrupted && !g->r->nomem; i++) {
		g->at.frame = (unsigned)i;
		g->function = frames[i].function;
		g->found = false;
		if (frames[i].module && reader_is_libc(frames[i].module) && choose->of_frame && !choose->of_frame(choose->ctx, &frames[i])) {
			g->ret->frames++;
			continue;
		}
		if (frames[i].module && modules_dwarf(g->r->ms, frames[i].module)) {
			use_module(g->r, frames[i].module);
			modules_guarded(g->r->ms, g->r->m, add_locals, g);
		}
		g->ret->frames++;
		g->ret->frames_dark += !g->found;
	}
	g->at = (struct value_place){ .thread = g->at.thread, .tls = g->at.tls, .tls_ctx = g->at.tls_ctx };
	g->function = NULL;
	free(frames);
	free(registers);
}

static void each_thread(struct gather *g)
{
	const struct picture *p = image_picture(g->r->ms->img);
	for (size_t i = 0; i < p->threads.n && !interrupted && !g->r->nomem; i++) {
		g->at.thread = &p->threads.at[i];
		g->thread = (uint32_t)i;
		g->place = PLACE_TLS;
		for (g->next = 0; g->next < g->r->thread_dies.n && g->ret->list.n < MOST_ROOTS; g->next++) {
			use_module(g->r, g->r->ms->list.at[g->r->thread_dies.at[g->next].module]);
			modules_guarded(g->r->ms, g->r->m, add_thread_variable, g);
		}
		g->place = PLACE_LOCAL;
		if (g->ret->list.n < MOST_ROOTS)
			add_frames(g);
		values_free(&g->keep);
		g->keep = (struct values){ 0 };
	}
}

struct err *modules_typed_roots(struct modules *ms, modules_tls_fn *tls, const void *tls_ctx, struct typed_roots *ret)
{
	struct type_table *t;
	TRY(modules_type_table(ms, &t));
	struct gather g = { .r = ms->types, .ret = ret, .at = { .tls = tls, .tls_ctx = tls_ctx }, .place = PLACE_GLOBAL };
	for (size_t i = 0; i < ms->list.n && !interrupted && !g.r->nomem; i++) {
		use_module(g.r, ms->list.at[i]);
		if (!priv_of(g.r->m)->types_read)
			continue;
		g.n_lines = modules_variables(ms, g.r->m, &g.lines);
		g.next = 0;
		if (g.n_lines)
			modules_guarded(ms, g.r->m, add_globals, &g);
	}
	each_thread(&g);
	struct err *e = reader_finish(g.r);
	return e;
}

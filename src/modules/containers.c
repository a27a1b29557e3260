/* Which containers variables hold, and those hold in turn. */
#include "container_walk.h"
#include "guard.h"

enum { MAX_LINES = 1 << 16, DEEPEST_LINE = 24, MAX_OPEN = 32 << 20, MAX_ARRAY = 1 << 20 };

uint32_t container_line(struct container_search *w, const struct line *l)
{
	struct line *slot = w->lines.n < MAX_LINES ? vec_push(&w->lines) : NULL;
	w->nomem |= !slot && w->lines.n < MAX_LINES;
	w->cut |= !slot;
	if (!slot)
		return UINT32_MAX;
	*slot = *l;
	return (uint32_t)w->lines.n - 1;
}

static const char *child_name(struct container_search *w, const char *of, const char *name)
{
	char *text;
	bool plain = !name[0] || strchr("[-<", name[0]), behind = strlen(of) > 2 && !strcmp(of + strlen(of) - 2, "->");
	if (!name[0])
		return of;
	return asprintf(&text, plain || behind ? "%s%s" : "%s.%s", of, name) < 0 ? NULL : modules_keep(w->ms, text);
}

uint32_t container_child(struct container_search *w, uint32_t line, uint32_t part, const char *name, uint32_t shape)
{
	uint64_t key = (uint64_t)line << 32 | part, found;
	if (map64_find(&w->children, key, &found))
		return (uint32_t)found;
	const struct line *of = &w->lines.at[line];
	if (of->depth + 1 >= DEEPEST_LINE) {
		w->cut = true;
		return UINT32_MAX;
	}
	struct line l = { .parent = line, .shape = shape, .depth = of->depth + 1, .where = of->where, .source = of->source };
	/* What lies in the frame itself is as doubtful as the frame; what lies behind a pointer is not. */
	l.frame = of->frame && w->shapes.list.at[of->shape].kind != SHAPE_POINTER && w->shapes.list.at[of->shape].kind != SHAPE_CONTAINER;
	l.name = child_name(w, of->name, name);
	uint32_t at = l.name ? container_line(w, &l) : UINT32_MAX;
	if (at != UINT32_MAX && !map64_put(&w->children, key, at))
		w->nomem = true;
	return at;
}

void container_push(struct container_search *w, uint64_t address, uint32_t shape, uint32_t line)
{
	struct visit *v = w->open.n < MAX_OPEN ? vec_push(&w->open) : NULL;
	if (v)
		*v = (struct visit){ address, shape, line };
	w->cut |= !v;
}

static void visit_parts(struct container_search *w, const struct visit *at, const struct shape *s)
{
	for (size_t i = 0; i < s->parts.n; i++) {
		const struct part *p = &s->parts.at[i];
		if (!w->shapes.list.at[p->shape].leads)
			continue;
		uint32_t line = container_child(w, at->line, (uint32_t)i, p->name ? p->name : "", p->shape);
		if (line != UINT32_MAX)
			container_push(w, at->address + p->offset, p->shape, line);
	}
}

static void visit_array(struct container_search *w, const struct visit *at, const struct shape *s)
{
	uint32_t line = container_child(w, at->line, 0, "[]", s->element);
	w->cut |= s->count > MAX_ARRAY;
	for (uint64_t i = 0; line != UINT32_MAX && i < s->count && i < MAX_ARRAY; i++)
		container_push(w, at->address + i * s->unit, s->element, line);
}

/* A structure that was met on the way here keeps its name: of a list linked by hand there is one line, not one for each node. */
static uint32_t line_behind(struct container_search *w, uint32_t line, uint32_t shape)
{
	for (uint32_t at = line; at != UINT32_MAX; at = w->lines.at[at].parent)
		if (w->lines.at[at].shape == shape)
			return at;
	return container_child(w, line, 0, "->", shape);
}

static void put_pointer(struct container_search *w, uint64_t address, const struct visit *from)
{
	struct visit *v = w->heap.block && address && w->later.n < MAX_OPEN ? vec_push(&w->later) : NULL;
	if (v)
		*v = (struct visit){ address, from->shape, from->line };
}

/* GLib's own allocator cuts many from one block (gslice.c, until 2.76), so an address tells whether one was counted. */
static void follow_glib(struct container_search *w, const struct visit *at, uint32_t shape)
{
	uint64_t seen;
	if (map64_find(&w->glib, at->address, &seen))
		return;
	w->nomem |= !map64_put(&w->glib, at->address, 1);
	uint32_t line = container_child(w, at->line, 0, "->", shape);
	if (line != UINT32_MAX)
		container_push(w, at->address, shape, line);
}

/* Only to a block of its own that nobody has counted: what lies within others is reached with them. */
static void follow(struct container_search *w, const struct visit *at)
{
	const struct shape *pointer = &w->shapes.list.at[at->shape], *s = &w->shapes.list.at[pointer->element];
	if (pointer->kind == SHAPE_POINTER && s->kind == SHAPE_CONTAINER && s->row->glib) {
		follow_glib(w, at, pointer->element);
		return;
	}
	uint64_t usable = pointer->kind == SHAPE_POINTER && s->leads ? w->heap.block(w->heap.ctx, at->address) : 0;
	if (!usable || usable < s->bytes || !w->heap.take(w->heap.ctx, at->address))
		return;
	uint32_t line = line_behind(w, at->line, pointer->element);
	if (line != UINT32_MAX)
		container_push(w, at->address, pointer->element, line);
}

static void count(struct container_search *w, const struct visit *at)
{
	struct holding h;
	bool good = container_measure(w, at, &h);
	struct container *c = &w->lines.at[at->line].sum;
	if (!good) {
		c->damaged++;
		return;
	}
	if (h.seen)
		return;
	if (!c->containers++) {
		c->address = at->address;
		c->capacity = h.capacity == UNKNOWN ? UNKNOWN : 0;
		c->element_bytes = h.unit;
	}
	c->items += h.items;
	c->capacity += c->capacity == UNKNOWN || h.capacity == UNKNOWN ? 0 : h.capacity;
	c->most = h.items > c->most ? h.items : c->most;
	c->bytes += h.bytes;
	c->wasted += h.wasted;
}

static void visit(struct container_search *w, const struct visit *at)
{
	const struct shape *s = &w->shapes.list.at[at->shape];
	uint64_t address;
	if (!s->leads)
		return;
	switch (s->kind) {
	case SHAPE_PARTS:
		visit_parts(w, at, s);
		break;
	case SHAPE_ARRAY:
		visit_array(w, at, s);
		break;
	case SHAPE_POINTER:
		if (modules_word(w->ms, at->address, &address))
			put_pointer(w, address, at);
		break;
	case SHAPE_CONTAINER:
		count(w, at);
		break;
	case SHAPE_UNMADE:
	case SHAPE_DULL:
		break;
	}
}

/* All that lies in variables and containers first, so that a pointer does not claim it. */
static void walk(struct container_search *w)
{
	while ((w->open.n || w->later.n) && !interrupted && !w->nomem) {
		if (++w->visits > MAX_VISITS) {
			w->cut = true;
			return;
		}
		if (w->open.n) {
			struct visit at = w->open.at[--w->open.n];
			visit(w, &at);
		} else {
			struct visit at = w->later.at[--w->later.n];
			follow(w, &at);
		}
	}
}

struct err *modules_containers_begin(struct modules *ms, const struct container_heap *heap, struct containers *ret)
{
	struct container_search *w = calloc(1, sizeof *w);
	*ret = (struct containers){ .search = w };
	if (!w || !shapes_init(&w->shapes, ms))
		return err_nomem();
	w->ms = ms;
	w->word = modules_arch(ms)->word;
	if (heap)
		w->heap = *heap;
	return NULL;
}

/* A C++ name says where a static variable belongs; in C the linker's name may have a number at its end. */
static const char *variable_name(struct container_search *w, uint64_t address, Dwarf_Die *die)
{
	struct symbol s;
	Dwarf_Attribute attr;
	if (modules_symbol_at(w->ms, address, &s) && s.address == address && !strncmp(s.name, "_Z", 2))
		return modules_function_name(w->ms, s.name);
	return dwarf_attr_integrate(die, DW_AT_name, &attr) ? dwarf_formstring(&attr) : NULL;
}

static void add_variable(struct containers *c, const struct data_line *d, Dwarf_Die *die)
{
	struct container_search *w = c->search;
	Dwarf_Die type;
	if (!type_ref(die, DW_AT_type, &type))
		return;
	struct line l = { .parent = UINT32_MAX, .shape = shapes_of(&w->shapes, &type), .source = { d->file, d->line } };
	l.name = l.shape == NO_SHAPE ? NULL : variable_name(w, d->address, die);
	uint32_t at = l.name ? container_line(w, &l) : UINT32_MAX;
	if (at != UINT32_MAX)
		container_push(w, d->address, l.shape, at);
}

struct program { /* the variables of one module */
	struct containers *c;
	struct module *m;
	modules_tls_fn *tls;
	const void *tls_ctx;
};

static void add_globals(void *ctx)
{
	struct program *g = ctx;
	const struct data_line *lines;
	size_t n = modules_variables(g->c->search->ms, g->m, &lines);
	uint64_t last = 0;
	for (size_t k = 0; k < n && !interrupted; k++) {
		Dwarf_Die die;
		modules_check_time();
		if (lines[k].address != last && dwarf_offdie(priv_of(g->m)->dwarf, lines[k].die, &die))
			add_variable(g->c, &lines[k], &die);
		last = lines[k].address;
	}
}

static struct err *each_module(struct program *g, void (*f)(void *ctx))
{
	struct container_search *w = g->c->search;
	for (size_t i = 0; i < modules_count(w->ms); i++) {
		g->m = modules_get(w->ms, i);
		if (g->m->role == MODULE_PROGRAM || g->m->role == MODULE_OTHER)
			modules_guarded(w->ms, g->m, f, g);
	}
	return w->nomem ? err_nomem() : interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

struct err *modules_containers_globals(struct containers *c)
{
	struct program g = { .c = c };
	return each_module(&g, add_globals);
}

/* All threads' objects of one name are one line. */
static void add_thread_variable(struct container_search *w, struct module *m, const struct data_line *d, modules_tls_fn *tls, const void *ctx)
{
	const struct picture *p = image_picture(w->ms->img);
	Dwarf_Die die, type;
	Dwarf_Attribute attr;
	uint64_t address;
	if (!dwarf_offdie(priv_of(m)->dwarf, d->die, &die) || !type_ref(&die, DW_AT_type, &type))
		return;
	struct line l = { .parent = UINT32_MAX, .shape = shapes_of(&w->shapes, &type), .where = "of each thread", .source = { d->file, d->line } };
	struct symbol s;
	bool linked = modules_tls_symbol_at(w->ms, m, d->address, &s) && s.address == d->address && !strncmp(s.name, "_Z", 2);
	l.name = l.shape == NO_SHAPE ? NULL : linked ? modules_function_name(w->ms, s.name) : dwarf_attr_integrate(&die, DW_AT_name, &attr) ? dwarf_formstring(&attr) : NULL;
	uint32_t at = l.name ? container_line(w, &l) : UINT32_MAX;
	for (size_t i = 0; at != UINT32_MAX && i < p->threads.n; i++)
		if (tls(ctx, &p->threads.at[i], m, d->address, &address))
			container_push(w, address, l.shape, at);
}

static void add_thread_variables(void *ctx)
{
	struct program *g = ctx;
	struct container_search *w = g->c->search;
	const struct data_line *lines;
	size_t n = modules_thread_variables(w->ms, g->m, &lines);
	for (size_t k = 0; k < n && !interrupted; k++) {
		modules_check_time();
		add_thread_variable(w, g->m, &lines[k], g->tls, g->tls_ctx);
	}
}

struct err *modules_containers_threads(struct containers *c, modules_tls_fn *tls, const void *ctx)
{
	struct program g = { .c = c, .tls = tls, .tls_ctx = ctx };
	return each_module(&g, add_thread_variables);
}

struct frame_search { struct containers *c; const char *where; };

static struct err *add_local(void *ctx, struct evaluation *e, const char *name, const struct spot *at, bool parameter, struct source_line source)
{
	struct frame_search *f = ctx;
	struct container_search *w = f->c->search;
	Dwarf_Die type;
	uint8_t raw[8] = { 0 };
	const char *why;
	(void)e, (void)parameter;
	/* A static variable is one of the program, whose frames may be many. */
	if (at->void_type || at->place.missing || (at->place.in_memory && modules_at(w->ms, at->place.address)))
		return NULL;
	struct line l = { .parent = UINT32_MAX, .shape = shapes_of(&w->shapes, (Dwarf_Die *)&at->type), .frame = true, .where = f->where, .source = source };
	l.name = l.shape == NO_SHAPE ? NULL : modules_keep(w->ms, strdup(name));
	uint32_t line = l.name ? container_line(w, &l) : UINT32_MAX;
	if (line == UINT32_MAX)
		return NULL;
	if (at->place.in_memory) {
		container_push(w, at->place.address + at->offset, l.shape, line);
	} else if (type_peel((Dwarf_Die *)&at->type, &type) && dwarf_tag(&type) != DW_TAG_structure_type && dwarf_tag(&type) != DW_TAG_class_type &&
		   dwarf_tag(&type) != DW_TAG_array_type && place_read(w->ms, &at->place, at->offset, raw, w->word, &why)) {
		uint64_t to = 0;
		for (unsigned i = 0; i < w->word; i++)
			to |= (uint64_t)raw[i] << 8 * i;
		put_pointer(w, to, &(struct visit){ 0, l.shape, line });
	}
	return NULL;
}

struct err *modules_containers_frame(struct containers *c, const struct value_place *at, const char *where)
{
	struct frame_search f = { c, modules_keep(c->search->ms, strdup(where)) };
	if (!f.where)
		return err_nomem();
	AUTO_ERR struct err *e = locals_each(c->search->ms, at, &c->search->keep, add_local, &f);
	if (e && e->kind != ERR_NOT_FOUND)
		return TAKE(e);
	return c->search->nomem ? err_nomem() : NULL;
}

static void list_lines(struct containers *c)
{
	struct container_search *w = c->search;
	for (size_t i = 0; i < w->lines.n; i++) {
		const struct line *l = &w->lines.at[i];
		const struct shape *s = &w->shapes.list.at[l->shape];
		c->variables += l->parent == UINT32_MAX && s->leads;
		if (s->kind != SHAPE_CONTAINER || (!l->sum.containers && !l->sum.damaged))
			continue;
		struct container *slot = vec_push(&c->list);
		if (!slot) {
			w->nomem = true;
			return;
		}
		*slot = l->sum;
		slot->kind = s->kind_name;
		slot->characters = form_is_text(s->row->form);
		slot->name = l->name;
		slot->where = l->where;
		slot->line = l->source;
		slot->type = s->type ? s->type : s->kind_name;
		slot->element = s->element_type ? s->element_type : "";
		slot->element_bytes = slot->element_bytes ? slot->element_bytes : s->unit;
		const char *of = container_of_contents(w, l, slot->type, &slot->element);
		slot->type = of ? of : slot->type;
	}
}

struct err *modules_containers_finish(struct containers *c)
{
	struct container_search *w = c->search;
	shapes_make(&w->shapes);
	walk(w);
	c->cut = w->cut || w->shapes.cut;
	if (!interrupted)
		list_lines(c);
	return w->nomem || w->shapes.nomem ? err_nomem() : interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

void modules_containers_free(struct containers *c)
{
	struct container_search *w = c->search;
	vec_free(&c->list);
	if (!w)
		return;
	shapes_free(&w->shapes);
	vec_free(&w->lines);
	vec_free(&w->open);
	vec_free(&w->later);
	vec_free(&w->nodes);
	map64_free(&w->children);
	map64_free(&w->glib);
	values_free(&w->keep);
	free(w);
	c->search = NULL;
}

/* Which container a variable stands for, when it is named as what holds blocks. */
#include "container_walk.h"
#include "guard.h"

enum { MOST_STEPS = 4096 };

struct step { uint64_t address; uint32_t shape, from; const char *name; }; /* from: UINT32_MAX: the variable */
struct naming {
	struct container_search *w;
	uint64_t word;		/* must lie in the container, or 0 */
	uint32_t line;		/* of what is measured: a frame's or not */
	bool frame;
	VEC(struct step) steps;
	struct container *best;
	bool found;
	bool hit;		/* the pointer that holds the word was followed: only what is behind it counts */
};

static void add_step(struct naming *k, uint64_t address, uint32_t shape, uint32_t from, const char *name)
{
	struct step *s = shape != NO_SHAPE && k->steps.n < MOST_STEPS ? vec_push(&k->steps) : NULL;
	if (s)
		*s = (struct step){ address, shape, from, name };
}

/* ".cache.sessions", "->users", "app.sessions" */
static char *way_to(const struct naming *k, uint32_t at)
{
	enum { DEEPEST = 24 };
	const char *names[DEEPEST];
	unsigned n = 0;
	struct strbuf t = { 0 };
	for (; at != UINT32_MAX && n < DEEPEST; at = k->steps.at[at].from)
		if (k->steps.at[at].name)
			names[n++] = k->steps.at[at].name;
	while (n--) {
		bool arrow = t.n > 1 && !strcmp(t.text + t.n - 2, "->");
		bool bare = !strcmp(names[n], "->") || (k->frame && !t.n);
		strbuf_printf(&t, bare || arrow ? "%s" : ".%s", names[n]);
	}
	return t.text ? t.text : strdup("");
}

/* What is better stands for all: more items. */
static void judge(struct naming *k, uint32_t at, bool pointer)
{
	struct container_search *w = k->w;
	struct step s = k->steps.at[at];
	const struct shape *shape = &w->shapes.list.at[s.shape];
	bool itself = s.from == UINT32_MAX;
	struct holding h;
	char *text;
	w->lines.at[k->line].contents = (struct contents){ 0 };
	if (!shape->type || !shape->element_type || (k->word && k->word - s.address >= shape->bytes) ||
	    !container_measure(w, &(struct visit){ s.address, s.shape, k->line }, &h))
		return;
	uint64_t items = shape->row->form <= FORM_HASH ? h.items : UNKNOWN, rank = items == UNKNOWN ? 1 : items;
	if ((k->frame || !itself) && !h.bytes)
		return;
	if (k->found && rank <= (k->best->items == UNKNOWN ? 1 : k->best->items))
		return;
	struct container c = { .kind = shape->kind_name, .type = shape->type, .element = shape->element_type, .address = s.address, .element_bytes = shape->unit,
			       .items = items, .capacity = h.capacity, .bytes = h.bytes, .characters = form_is_text(shape->row->form) };
	c.name = modules_keep(w->ms, way_to(k, at));
	const char *of = container_of_contents(w, &w->lines.at[k->line], shape->type, &c.element);
	if (of)
		c.type = of;
	else if (pointer && itself)
		c.type = asprintf(&text, "%s *", shape->type) < 0 ? NULL : modules_keep(w->ms, text);
	if (!c.name || !c.type)
		return;
	*k->best = c;
	k->found = true;
}

static bool hits(struct naming *k, uint64_t pointer)
{
	k->hit = k->word - pointer < k->w->word;
	k->word = k->hit ? 0 : k->word;
	return k->hit;
}

/* A variable that is a pointer stands for what it leads to; pointers deeper in are others' names. */
static void look(struct naming *k, uint32_t at)
{
	struct container_search *w = k->w;
	struct step s = k->steps.at[at];
	shapes_make_one(&w->shapes, s.shape);
	bool pointer = w->shapes.list.at[s.shape].kind == SHAPE_POINTER;
	if (pointer && s.from == UINT32_MAX) {
		uint32_t to = w->shapes.list.at[s.shape].element;
		if (k->word && !hits(k, s.address))
			return;
		if (to == NO_SHAPE || (s.address && !modules_word(w->ms, s.address, &s.address)) || !s.address)
			return;
		k->steps.at[at].shape = to;
		k->steps.at[at].address = s.address;
		shapes_make_one(&w->shapes, to);
	}
	const struct shape *shape = &w->shapes.list.at[k->steps.at[at].shape];
	if (shape->kind == SHAPE_CONTAINER) {
		judge(k, at, pointer);
		return;
	}
	uint32_t from = at;
	if (pointer && shape->kind == SHAPE_PARTS && k->steps.n < MOST_STEPS) {
		add_step(k, s.address, k->steps.at[at].shape, at, "->");
		from = (uint32_t)k->steps.n - 1;
	}
	for (size_t i = 0; shape->kind == SHAPE_PARTS && i < shape->parts.n; i++)
		add_step(k, k->steps.at[at].address + shape->parts.at[i].offset, shape->parts.at[i].shape, from, shape->parts.at[i].name);
}

/* Depth does not matter: steps are taken in the order in which they were found, and there is a limit of them. */
static void look_through(struct naming *k, size_t from)
{
	for (size_t i = from; i < k->steps.n && !interrupted && !k->w->nomem; i++)
		if (!k->steps.at[i].name || strcmp(k->steps.at[i].name, "->"))
			look(k, (uint32_t)i);
}

static bool begin(struct modules *ms, const struct container_heap *heap, struct containers *c, struct naming *k)
{
	AUTO_ERR struct err *e = modules_containers_begin(ms, heap, c);
	if (e)
		return false;
	c->search->brief = true;
	k->w = c->search;
	k->line = container_line(k->w, &(struct line){ .parent = UINT32_MAX, .frame = k->frame, .name = "" });
	return k->line != UINT32_MAX;
}

static void end(struct containers *c, struct naming *k)
{
	vec_free(&k->steps);
	modules_containers_free(c);
}

struct named_one { struct naming k; Dwarf_Die die; uint64_t address; };

static void look_at(void *ctx)
{
	struct named_one *o = ctx;
	Dwarf_Die type;
	if (!type_ref(&o->die, DW_AT_type, &type))
		return;
	add_step(&o->k, o->address, shapes_of(&o->k.w->shapes, &type), UINT32_MAX, NULL);
	look_through(&o->k, 0);
}

static bool name_variable(struct modules *ms, struct module *m, const Dwarf_Die *die, uint64_t address, const struct container_heap *heap, uint64_t word,
			  struct container *ret)
{
	struct named_one o = { .k = { .word = word, .best = ret }, .die = *die, .address = address };
	struct containers c;
	bool whole = begin(ms, heap, &c, &o.k) && modules_guarded(ms, m, look_at, &o);
	end(&c, &o.k);
	return whole && o.k.found;
}

bool modules_container_at(struct modules *ms, uint64_t address, const struct container_heap *heap, uint64_t word, struct container *ret)
{
	struct module *m;
	Dwarf_Die die;
	return variable_at(ms, address, &m, &die) && name_variable(ms, m, &die, address, heap, word, ret);
}

bool modules_container_of_thread(struct modules *ms, struct module *m, uint64_t offset, uint64_t address, const struct container_heap *heap,
				 uint64_t word, struct container *ret)
{
	const struct data_line *lines;
	size_t n = modules_thread_variables(ms, m, &lines);
	Dwarf_Die die;
	for (size_t i = 0; i < n; i++)
		if (lines[i].address == offset)
			return entry_at(ms, m, lines[i].die, &die) && name_variable(ms, m, &die, address, heap, word, ret);
	return false;
}

static struct err *add_local(void *ctx, struct evaluation *e, const char *name, const struct spot *at, bool parameter, struct source_line source)
{
	struct naming *k = ctx;
	Dwarf_Die type;
	uint64_t to = 0;
	uint8_t raw[8] = { 0 };
	const char *why;
	(void)e, (void)parameter, (void)source;
	size_t from = k->steps.n;
	if (k->hit || at->void_type || at->missing || at->place.missing || (at->place.in_memory && modules_at(k->w->ms, at->place.address)))
		return NULL;
	uint32_t shape = shapes_of(&k->w->shapes, (Dwarf_Die *)&at->type);
	if (at->place.in_memory) {
		add_step(k, at->place.address + at->offset, shape, UINT32_MAX, name);
	} else if (type_peel((Dwarf_Die *)&at->type, &type) && dwarf_tag(&type) == DW_TAG_pointer_type && shape != NO_SHAPE && !k->word &&
		   place_read(k->w->ms, &at->place, at->offset, raw, k->w->word, &why)) {
		/* A pointer in a register: from what it leads to. */
		for (unsigned i = 0; i < k->w->word; i++)
			to |= (uint64_t)raw[i] << 8 * i;
		shapes_make_one(&k->w->shapes, shape);
		add_step(k, to, k->w->shapes.list.at[shape].element, UINT32_MAX, name);
	}
	look_through(k, from);
	return NULL;
}

bool modules_container_of_frame(struct modules *ms, const struct value_place *at, const struct container_heap *heap, uint64_t word,
				struct container *ret)
{
	struct naming k = { .word = word, .best = ret, .frame = true };
	struct containers c;
	if (begin(ms, heap, &c, &k)) {
		AUTO_ERR struct err *e = locals_each(ms, at, &k.w->keep, add_local, &k);
		(void)e; /* a frame without DWARF has no names */
	}
	end(&c, &k);
	return k.found;
}

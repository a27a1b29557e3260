/* Variables of a frame and of the program, and objects at addresses. */
#include "guard.h"
#include "values.h"

#include <ctype.h>

enum { MAX_VARIABLES = 4096 };

struct scope_range { size_t from, to; }; /* of a chain: a function, and its blocks down to the next function */

static bool is_function(int tag)
{
	return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine;
}

/* The part of the chain that belongs to the level-th function, counted from the innermost. */
static bool range_of(struct scope_chain *c, unsigned level, struct scope_range *ret)
{
	size_t to = c->n;
	for (size_t i = c->n; i-- > 0;) {
		if (!is_function(dwarf_tag(&c->at[i])))
			continue;
		if (!level--) {
			*ret = (struct scope_range){ i, to };
			return true;
		}
		to = i;
	}
	return false;
}

static bool function_of(struct scope_chain *c, Dwarf_Die *ret)
{
	for (size_t i = c->n; i-- > 0;)
		if (dwarf_tag(&c->at[i]) == DW_TAG_subprogram) {
			*ret = c->at[i];
			return true;
		}
	return false;
}

struct scope { /* what the variables of a frame are looked up in */
	struct evaluation e;
	struct scope_chain chain;
	struct scope_range range;
	Dwarf_Die function;
};

static bool open_scope(struct modules *ms, const struct value_place *at, struct values *keep, struct scope *s)
{
	const struct frame *f = at && at->frame < at->n_frames ? &at->frames[at->frame] : NULL;
	if (!f || !f->module)
		return false;
	bool exact = at->frame == 0 || f->is_signal || f[-1].is_signal;
	s->e = (struct evaluation){ .ms = ms, .m = f->module, .at = at, .frame = at->frame, .keep = keep };
	if (!modules_scopes(ms, f->module, f->pc - !exact, &s->chain) || !range_of(&s->chain, at->level, &s->range))
		return false;
	if (function_of(&s->chain, &s->function))
		s->e.function = &s->function;
	return true;
}

static bool wanted(Dwarf_Die *die, bool parameters)
{
	int tag = dwarf_tag(die);
	if (parameters)
		return tag == DW_TAG_formal_parameter;
	/* What is declared here stands elsewhere; __func__ and the like say what the frame's name says. */
	return tag == DW_TAG_variable && !dwarf_hasattr(die, DW_AT_declaration) && !dwarf_hasattr_integrate(die, DW_AT_artificial);
}

static void spot_of(struct evaluation *e, Dwarf_Die *die, struct spot *ret)
{
	*ret = (struct spot){ 0 };
	ret->void_type = !type_ref(die, DW_AT_type, &ret->type);
	locate(e, die, &ret->place);
}

/* The source is where it is declared. */
static struct source_line declared(Dwarf_Die *die)
{
	int line = 0;
	const char *path = dwarf_decl_file(die), *slash = path ? strrchr(path, '/') : NULL;
	return (struct source_line){ dwarf_decl_line(die, &line) ? NULL : slash ? slash + 1 : path, line };
}

static struct err *each_in(struct scope *s, Dwarf_Die *block, bool parameters, local_fn *f, void *ctx)
{
	Dwarf_Die child;
	size_t budget = MAX_VARIABLES;
	if (dwarf_child(block, &child))
		return NULL;
	do {
		Dwarf_Attribute attr;
		modules_check_time();
		if (!wanted(&child, parameters) || !dwarf_attr_integrate(&child, DW_AT_name, &attr))
			continue;
		struct spot at;
		spot_of(&s->e, &child, &at);
		TRY(f(ctx, &s->e, dwarf_formstring(&attr), &at, parameters, declared(&child)));
	} while (--budget && !dwarf_siblingof(&child, &child));
	return NULL;
}

struct walk_scope {
	struct modules *ms;
	const struct value_place *at;
	struct values *keep;
	local_fn *f;
	void *ctx;
	struct err *err;
};

static struct err *each_local(struct walk_scope *w)
{
	struct scope s = { 0 };
	if (!open_scope(w->ms, w->at, w->keep, &s))
		return err_new(ERR_NOT_FOUND, "there is no DWARF for this frame");
	TRY(each_in(&s, &s.chain.at[s.range.from], true, w->f, w->ctx));
	for (size_t i = s.range.to; i-- > s.range.from;)
		TRY(each_in(&s, &s.chain.at[i], false, w->f, w->ctx));
	return NULL;
}

static void walk_scope(void *ctx)
{
	struct walk_scope *w = ctx;
	w->err = each_local(w);
}

/* Whose DWARF says what is in a frame; NULL: nobody's. */
static struct module *module_of(const struct value_place *at)
{
	return at && at->frame < at->n_frames ? at->frames[at->frame].module : NULL;
}

static struct err *is_lost(const struct module *m)
{
	return err_new(ERR_NOT_FOUND, "the DWARF of %s was given up", m->name);
}

struct err *locals_each(struct modules *ms, const struct value_place *at, struct values *keep, local_fn *f, void *ctx)
{
	struct walk_scope w = { ms, at, keep, f, ctx, NULL };
	struct module *m = module_of(at);
	if (!m)
		return err_new(ERR_NOT_FOUND, "there is no DWARF for this frame");
	return modules_guarded(ms, m, walk_scope, &w) ? w.err : is_lost(m);
}

static struct err *add_local(void *ctx, struct evaluation *e, const char *name, const struct spot *at, bool parameter, struct source_line line)
{
	(void)ctx, (void)line;
	return values_add(e, name, at, parameter);
}

struct err *modules_locals(struct modules *ms, const struct value_place *at, struct values *ret)
{
	return locals_each(ms, at, ret, add_local, NULL);
}

/* The variable of that name in the innermost block that has one. */
static bool find_local(struct scope *s, const char *name, Dwarf_Die *ret)
{
	for (size_t i = s->range.to; i-- > s->range.from;) {
		Dwarf_Attribute attr;
		size_t budget = MAX_VARIABLES;
		if (dwarf_child(&s->chain.at[i], ret))
			continue;
		do {
			const char *called = wanted(ret, true) || wanted(ret, false) ? dwarf_attr_integrate(ret, DW_AT_name, &attr) ? dwarf_formstring(&attr) : NULL : NULL;
			if (called && !strcmp(called, name))
				return true;
		} while (--budget && !dwarf_siblingof(ret, ret));
	}
	return false;
}

struct inside { /* of functions */
	struct modules *ms;
	struct module *m;
	const char *name;
	Dwarf_Die die;
	bool found;
};

static void look_inside(void *ctx)
{
	struct inside *w = ctx;
	const struct data_line *lines;
	size_t n = modules_variables(w->ms, w->m, &lines);
	for (size_t k = 0; k < n && !interrupted && !w->found; k++) {
		Dwarf_Attribute attr;
		modules_check_time();
		const char *called = dwarf_offdie(priv_of(w->m)->dwarf, lines[k].die, &w->die) && dwarf_attr_integrate(&w->die, DW_AT_name, &attr)
					     ? dwarf_formstring(&attr) : NULL;
		w->found = called && !strcmp(called, w->name);
	}
}

/* They are in no index: all are looked through. */
static bool find_inside_functions(struct modules *ms, const char *name, struct module **ret_module, Dwarf_Die *ret)
{
	const char *last = name;
	for (const char *p; (p = strstr(last, "::")); last = p + 2)
		;
	for (size_t i = 0; i < modules_count(ms); i++) {
		struct inside w = { .ms = ms, .m = modules_get(ms, i), .name = last };
		if (!modules_guarded(ms, w.m, look_inside, &w) || !w.found)
			continue;
		*ret = w.die;
		*ret_module = w.m;
		return true;
	}
	return false;
}

static bool find_global(struct modules *ms, const char *name, struct module **ret_module, Dwarf_Die *ret)
{
	struct symbol s;
	if (named_find(ms, name, NAMED_VARIABLE, ret_module, ret))
		return true;
	/* counter.0 */
	for (size_t i = 0; i < modules_count(ms); i++)
		if (modules_symbol(ms, modules_get(ms, i), name, &s) && !s.is_tls && variable_at(ms, s.address, ret_module, ret))
			return true;
	return !interrupted && find_inside_functions(ms, name, ret_module, ret);
}

static struct err *no_variable(struct modules *ms, const char *name)
{
	struct symbol s;
	for (size_t i = 0; i < modules_count(ms); i++) {
		struct module *m = modules_get(ms, i);
		if (!modules_symbol(ms, m, name, &s))
			continue;
		if (s.is_function)
			return err_hint(err_new(ERR_NOT_FOUND, "%s is a function", name), "disas %s", name);
		return err_hint(err_new(ERR_NOT_FOUND, m->have_dwarf ? "the DWARF of %s has no %s: it is known by its symbol alone" : "%s has no DWARF: %s is known by its symbol alone",
					m->name, name), "x/4gx %s", name);
	}
	return err_hint(err_new(ERR_NOT_FOUND, "no variable is called '%s'", name), "locals lists those of the frame; print TYPE ADDR");
}

struct wish { /* for a variable */
	const char *whole, *base, *path; /* *g.first[1]: g, .first[1] */
	unsigned stars;
	struct scope scope;
	Dwarf_Die die;
	bool found;
	struct err *err;
};

static struct err *add_wish(struct wish *w)
{
	struct evaluation *e = &w->scope.e;
	struct spot at;
	spot_of(e, &w->die, &at);
	TRY(path_follow(e, w->path, &at));
	for (unsigned i = w->stars; i && !at.void_type; i--)
		TRY(path_dereference(e, &at));
	return values_add(e, values_keep(e->keep, strdup(w->whole)), &at, false);
}

static void add_found(void *ctx)
{
	struct wish *w = ctx;
	w->err = add_wish(w);
}

static void add_of_frame(void *ctx)
{
	struct wish *w = ctx;
	const struct evaluation e = w->scope.e;
	w->found = open_scope(e.ms, e.at, e.keep, &w->scope) && find_local(&w->scope, w->base, &w->die);
	if (w->found)
		w->err = add_wish(w);
}

static struct err *variable(struct modules *ms, const struct value_place *at, struct wish *w, struct values *ret)
{
	struct module *m = module_of(at);
	w->scope.e = (struct evaluation){ .ms = ms, .at = at, .keep = ret };
	if (m && modules_guarded(ms, m, add_of_frame, w) && w->found)
		return w->err;
	w->scope.e = (struct evaluation){ .ms = ms, .at = at, .keep = ret, .frame = at ? at->frame : 0 };
	if (!find_global(ms, w->base, &w->scope.e.m, &w->die))
		return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : no_variable(ms, w->base);
	return modules_guarded(ms, w->scope.e.m, add_found, w) ? w->err : is_lost(w->scope.e.m);
}

struct err *modules_variable(struct modules *ms, const struct value_place *at, const char *name, struct values *ret)
{
	struct wish w = { 0 };
	for (; *name == '*'; name++)
		w.stars++;
	size_t n = strcspn(name, ".[-");
	/* counter.0: the symbol of a variable inside of a function. */
	if (name[n] == '.' && isdigit((unsigned char)name[n + 1]))
		n += 1 + strcspn(name + n + 1, ".[-");
	AUTO_FREE char *base = strndup(name, n);
	if (!base)
		return err_nomem();
	w.whole = name;
	w.base = base;
	w.path = name + n;
	return variable(ms, at, &w, ret);
}

/* "long [4]", "char *": what stands behind the name of a type. */
struct declarator { char *name; unsigned stars; uint64_t count; };

static struct err *parse_type(const char *type, struct declarator *d)
{
	char *name = strdup(type), *end, *bracket;
	if (!name)
		return err_nomem();
	*d = (struct declarator){ .name = name };
	bracket = strrchr(name, '[');
	if (bracket && name[strlen(name) - 1] == ']') {
		d->count = strtoull(bracket + 1, &end, 0);
		*bracket = '\0';
	}
	for (size_t n = strlen(name); n && (name[n - 1] == '*' || name[n - 1] == ' '); name[--n] = '\0')
		d->stars += name[n - 1] == '*';
	return NULL;
}

static struct err *add_pointer_at(struct evaluation *e, const struct declarator *d, struct spot *at)
{
	uint64_t word;
	struct value *v = vec_push(&e->keep->list);
	char *text;
	if (!v)
		return err_nomem();
	*v = (struct value){ .kind = VALUE_POINTER, .address = at->place.address, .bytes = modules_arch(e->ms)->word, .repeats = 1 };
	v->type = asprintf(&text, "%s %.*s", d->name, (int)d->stars, "****") < 0 ? NULL : values_keep(e->keep, text);
	if (!modules_word(e->ms, at->place.address, &word)) {
		v->missing = "cannot be read";
		return NULL;
	}
	v->pointer = word;
	v->text = asprintf(&text, "0x%llx", (unsigned long long)word) < 0 ? NULL : values_keep(e->keep, text);
	at->place.address = word;
	return d->stars == 1 && word ? values_add(e, "*", at, false) : NULL;
}

static struct err *add_object(struct evaluation *e, struct declarator *d, const Dwarf_Die *type, uint64_t address)
{
	enum { MOST_OBJECTS = 10000 };
	struct spot at = { .type = *type, .place = { .in_memory = true, .address = address } };
	uint64_t size = 0, n = d->count ? d->count : 1;
	if (d->stars)
		return d->stars > 4 || d->count ? err_new(ERR_USAGE, "a type, T [N] or T *") : add_pointer_at(e, d, &at);
	if (n > MOST_OBJECTS || (d->count && !type_size(&at.type, modules_arch(e->ms)->word, &size)))
		return err_new(ERR_USAGE, "at most %d objects, of a type whose size is known", MOST_OBJECTS);
	for (uint64_t i = 0; i < n; i++) {
		char *name = NULL;
		if (d->count && asprintf(&name, "[%llu]", (unsigned long long)i) < 0)
			return err_nomem();
		at.place.address = address + i * size;
		TRY(values_add(e, name ? values_keep(e->keep, name) : NULL, &at, false));
	}
	return NULL;
}

struct object {
	struct evaluation e;
	struct declarator d;
	Dwarf_Die type;
	uint64_t address;
	struct err *err;
};

static void add_typed(void *ctx)
{
	struct object *o = ctx;
	o->err = add_object(&o->e, &o->d, &o->type, o->address);
}

static struct err *object(struct object *o)
{
	struct modules *ms = o->e.ms;
	if (!named_find(ms, o->d.name, NAMED_TYPE, &o->e.m, &o->type))
		return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : err_hint(err_new(ERR_NOT_FOUND, "no type is called '%s'", o->d.name),
				"types of files without DWARF are not known");
	return modules_guarded(ms, o->e.m, add_typed, o) ? o->err : is_lost(o->e.m);
}

struct err *modules_object(struct modules *ms, const char *type, uint64_t address, struct values *ret)
{
	struct object o = { .e = { .ms = ms, .keep = ret }, .address = address };
	TRY(parse_type(type, &o.d));
	struct err *err = object(&o);
	free(o.d.name);
	return err;
}

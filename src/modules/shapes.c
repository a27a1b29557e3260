/* From types to shapes: where in an object its containers and pointers lie. */
#include "containers.h"
#include "guard.h"

#include <ctype.h>

enum { MAX_SHAPES = 1 << 16, MAX_SHAPE_MEMBERS = 1 << 16, MAX_ALIGN_STEPS = 4096, LONGEST_TYPE = 1 << 16 };

bool shapes_init(struct shapes *t, struct modules *ms)
{
	*t = (struct shapes){ .ms = ms };
	struct shape *none = vec_push(&t->list);
	if (none)
		none->kind = SHAPE_DULL;
	return none;
}

void shapes_free(struct shapes *t)
{
	for (size_t i = 0; i < t->list.n; i++)
		vec_free(&t->list.at[i].parts);
	vec_free(&t->list);
	map64_free(&t->by_die);
}

uint32_t shapes_of(struct shapes *t, Dwarf_Die *type)
{
	Dwarf_Die die;
	uint64_t found;
	if (!type_peel(type, &die))
		return NO_SHAPE;
	int tag = dwarf_tag(&die);
	if (tag == DW_TAG_base_type || tag == DW_TAG_enumeration_type || tag == DW_TAG_subroutine_type)
		return NO_SHAPE;
	if (map64_find(&t->by_die, (uintptr_t)die.addr, &found))
		return (uint32_t)found;
	t->cut |= t->list.n >= MAX_SHAPES;
	struct shape *s = t->list.n < MAX_SHAPES ? vec_push(&t->list) : NULL;
	if (!s || !map64_put(&t->by_die, (uintptr_t)die.addr, t->list.n - 1)) {
		t->nomem |= t->list.n < MAX_SHAPES;
		return NO_SHAPE;
	}
	s->die = die;
	return (uint32_t)t->list.n - 1;
}

/* Names */

/* The end of an argument that begins behind "<" or ", ". */
static char *argument_end(char *p)
{
	int depth = 0;
	for (; *p; p++) {
		if (strchr("<({[", *p))
			depth++;
		else if (strchr(">)}]", *p) && --depth < 0)
			return p;
		else if (*p == ',' && !depth)
			return p;
	}
	return p;
}

static void cut_out(char *from, const char *to)
{
	memmove(from, to, strlen(to) + 1);
}

/* Arguments that nobody writes, and the compiler's way to write a string. */
static void shorten(char *name)
{
	static const char *const defaults[] = { "std::allocator<", "std::less<", "std::hash<", "std::equal_to<", "std::char_traits<", "std::default_delete<",
						"alloc::alloc::Global", "std::collections::hash::map::RandomState", "std::hash::random::RandomState" };
	static const char *const inner[] = { "__cxx11::", "std::__1::" };
	for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++)
		for (char *p; (p = strstr(name, inner[i]));)
			cut_out(p + (i ? strlen("std::") : 0), p + strlen(inner[i]));
	for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
		for (char *p = name; (p = strstr(p, defaults[i]));) {
			if (p - name >= 2 && p[-2] == ',' && p[-1] == ' ')
				cut_out(p - 2, argument_end(p));
			else
				p++;
		}
	static const char *const rust[] = { "alloc::string::", "alloc::vec::", "alloc::boxed::", "alloc::rc::", "alloc::sync::", "alloc::collections::btree::map::",
					    "alloc::collections::btree::set::", "alloc::collections::vec_deque::", "std::collections::hash::map::",
					    "std::collections::hash::set::", "core::option::", "core::cell::" };
	for (size_t i = 0; i < sizeof rust / sizeof rust[0]; i++)
		for (char *p = name; (p = strstr(p, rust[i]));) {
			size_t n = strlen(rust[i]);
			bool starts = p == name || !(isalnum((unsigned char)p[-1]) || p[-1] == '_' || p[-1] == ':');
			if (starts && isupper((unsigned char)p[n]))
				cut_out(p, p + n);
			else
				p++;
		}
	for (char *p; (p = strstr(name, " >"));)
		cut_out(p, p + 1);
	for (char *p; (p = strstr(name, " []"));)
		cut_out(p, p + 1);
	/* Each is shorter, and what comes first holds none of those behind it. */
	static const char *const words[][2] = {
		{ "basic_string<char>", "string" }, { "basic_string<wchar_t>", "wstring" }, { "basic_string_view<char>", "string_view" },
		{ "long long unsigned int", "unsigned long long" }, { "long long int", "long long" }, { "long unsigned int", "unsigned long" },
		{ "long int", "long" }, { "short unsigned int", "unsigned short" }, { "short int", "short" },
	};
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		for (char *p = name; (p = strstr(p, words[i][0]));) {
			bool whole = p == name || !(isalnum((unsigned char)p[-1]) || p[-1] == '_');
			char behind = p[strlen(words[i][0])];
			if (whole && !isalnum((unsigned char)behind) && behind != '_') {
				memcpy(p, words[i][1], strlen(words[i][1]));
				cut_out(p + strlen(words[i][1]), p + strlen(words[i][0]));
			}
			p++;
		}
}

static char *short_name(struct modules *ms, Dwarf_Die *type)
{
	char *name = type_name(ms, type);
	if (name && strlen(name) < LONGEST_TYPE)
		shorten(name);
	return name;
}

/* Rows */

static bool is_named(const struct container_row *row, const char *name)
{
	size_t n = strlen(row->type);
	if (strncmp(name, row->type, n))
		return false;
	if (row->plain)
		return !name[n];
	return strchr(row->type, '<') ? name[n] == ',' || name[n] == '>' || name[n] == ' ' : name[n] == '<';
}

/* With _GLIBCXX_DEBUG what checks is made of those of __cxx1998 (include/debug/debug.h). */
static bool is_std(const char *scope)
{
	return !strcmp(scope, "std::") || !strcmp(scope, "std::__cxx11::") || !strcmp(scope, "std::__cxx1998::");
}

/* The first row at or behind `row` that is of this type. */
static const struct container_row *row_of(struct shapes *t, Dwarf_Die *die, const struct container_row *row)
{
	const char *name = dwarf_diename(die), *scope = NULL;
	for (; name && row < container_rows + n_container_rows; row++) {
		if (!is_named(row, name))
			continue;
		scope = scope ? scope : type_scope(t->ms, die);
		if (row->glib ? !*scope : row->scope ? !strcmp(scope, row->scope) : is_std(scope))
			return row;
	}
	return NULL;
}

/* The offset of a member and its type. */
static bool member_at(struct shapes *t, Dwarf_Die *die, const char *path, uint64_t *ret_offset, Dwarf_Die *ret_type)
{
	struct evaluation e = { .ms = t->ms };
	struct spot at = { .type = *die, .place = { .in_memory = true } };
	AUTO_ERR struct err *err = path_follow(&e, path, &at);
	if (err || at.missing || at.void_type)
		return false;
	*ret_offset = at.offset;
	*ret_type = at.type;
	return true;
}

/* The n-th type among the template's arguments. A pack's stand below an entry of their own. */
static bool argument(Dwarf_Die *die, unsigned n, Dwarf_Die *ret)
{
	Dwarf_Die child, inner;
	size_t budget = MAX_SHAPE_MEMBERS;
	if (dwarf_child(die, &child))
		return false;
	do {
		int tag = dwarf_tag(&child);
		if (tag == DW_TAG_template_type_parameter && !n--)
			return type_ref(&child, DW_AT_type, ret);
		if (tag != DW_TAG_GNU_template_parameter_pack || dwarf_child(&child, &inner))
			continue;
		do
			if (dwarf_tag(&inner) == DW_TAG_template_type_parameter && !n--)
				return type_ref(&inner, DW_AT_type, ret);
		while (--budget && !dwarf_siblingof(&inner, &inner));
	} while (--budget && !dwarf_siblingof(&child, &child));
	return false;
}

/* What a value must be aligned to beyond a word: types of 16 bytes on machines with words of 8, and what says so. */
static uint64_t alignment(struct shapes *t, Dwarf_Die *type, unsigned word)
{
	VEC(Dwarf_Die) open = { 0 };
	uint64_t most = word, v;
	size_t steps = 0;
	Dwarf_Die *first = vec_push(&open), child;
	if (first)
		*first = *type;
	while (open.n && ++steps < MAX_ALIGN_STEPS) {
		Dwarf_Die die = open.at[--open.n];
		if (!type_peel(&die, &die))
			continue;
		if (type_number(&die, DW_AT_alignment, &v) && v > most && v <= 4096 && bits_set(v) == 1)
			most = v;
		int tag = dwarf_tag(&die);
		if (tag == DW_TAG_base_type && word == 8 && type_size(&die, word, &v) && v >= 16 && most < 16)
			most = 16;
		if (tag == DW_TAG_array_type && type_ref(&die, DW_AT_type, &child) && (first = vec_push(&open)))
			*first = child;
		if ((tag != DW_TAG_structure_type && tag != DW_TAG_class_type && tag != DW_TAG_union_type) || !type_definition(t->ms, &die) ||
		    dwarf_child(&die, &child))
			continue;
		do {
			Dwarf_Die of;
			if (dwarf_tag(&child) != DW_TAG_member && dwarf_tag(&child) != DW_TAG_inheritance)
				continue;
			if (type_number(&child, DW_AT_alignment, &v) && v > most && v <= 4096 && bits_set(v) == 1)
				most = v;
			if (!dwarf_hasattr(&child, DW_AT_external) && type_ref(&child, DW_AT_type, &of) && (first = vec_push(&open)))
				*first = of;
		} while (++steps < MAX_ALIGN_STEPS && !dwarf_siblingof(&child, &child));
	}
	vec_free(&open);
	return most;
}

static void name_container(struct shapes *t, struct shape *s)
{
	if (s->row->own_name) {
		s->type = modules_keep(t->ms, short_name(t->ms, &s->die));
		s->element_type = "";
		return;
	}
	struct strbuf all = { 0 };
	Dwarf_Die arg;
	for (unsigned i = 0; i < s->row->shown && argument(&s->die, i, &arg); i++) {
		AUTO_FREE char *name = short_name(t->ms, &arg);
		strbuf_printf(&all, i ? ", %s" : "%s", name ? name : "?");
	}
	if (!all.n && s->row->shown && !s->row->plain)
		strbuf_puts(&all, "void");
	s->element_type = s->row->plain ? "char" : modules_keep(t->ms, all.text);
	struct strbuf whole = { 0 };
	const char *element = s->element_type ? s->element_type : "";
	if (s->row->form == FORM_LIBCXX_TEXT || (form_is_text(s->row->form) && !strcmp(element, "char")))
		strbuf_puts(&whole, s->kind_name);
	else if (form_is_text(s->row->form) && !strcmp(element, "wchar_t"))
		strbuf_puts(&whole, "std::wstring");
	else if (s->row->plain)
		strbuf_puts(&whole, s->kind_name);
	else
		strbuf_printf(&whole, "%s<%s>", form_is_text(s->row->form) ? "std::basic_string" : s->kind_name, element);
	s->type = modules_keep(t->ms, whole.text);
}

static void add_part(struct shapes *t, uint32_t at, uint64_t offset, const char *name, Dwarf_Die *type)
{
	uint32_t of = shapes_of(t, type); /* may move the list */
	struct part *p = of == NO_SHAPE ? NULL : vec_push(&t->list.at[at].parts);
	if (p)
		*p = (struct part){ offset, name, of };
	t->nomem |= of != NO_SHAPE && !p;
}

static void add_alternatives(struct shapes *t, uint32_t at, uint64_t offset)
{
	Dwarf_Die arg;
	for (unsigned i = 0; i < MAX_SHAPE_MEMBERS && argument(&t->list.at[at].die, i, &arg); i++) {
		struct part *p = vec_push(&t->list.at[at].parts);
		if (!p) {
			t->nomem = true;
			return;
		}
		*p = (struct part){ .offset = offset };
		uint32_t of = shapes_of(t, &arg);
		t->list.at[at].parts.at[i].shape = of;
	}
}

/* What C says of a container of GLib's is its name. */
static bool make_glib(struct shapes *t, uint32_t at)
{
	struct shape *s = &t->list.at[at];
	const struct container_row *row = row_of(t, &s->die, container_rows);
	if (!row || !row->glib)
		return false;
	s->row = row;
	s->kind_name = row->kind;
	s->kind = SHAPE_CONTAINER;
	s->type = row->kind;
	s->unit = row->form == FORM_GSTRING ? 1 : row->form == FORM_GARRAY ? 0 : modules_arch(t->ms)->word;
	s->bytes = modules_arch(t->ms)->word;
	s->element_type = row->form == FORM_GSTRING ? "char" : row->form == FORM_GARRAY ? "" : "gpointer";
	return true;
}

/* The offset of the element in what the first field points at. */
static bool lies_behind(struct shapes *t, const struct shape *s, const struct container_row *row, uint64_t *ret)
{
	Dwarf_Die type, die, target;
	uint64_t offset;
	Dwarf_Die from = s->die;
	return member_at(t, &from, row->fields[0], &offset, &type) && type_peel(&type, &die) && dwarf_tag(&die) == DW_TAG_pointer_type &&
	       type_ref(&die, DW_AT_type, &target) && type_peel(&target, &die) && member_at(t, &die, row->behind, ret, &type);
}

/* What an Option is when it is Some. */
static bool some_of(struct shapes *t, Dwarf_Die *option, uint64_t *ret_offset, Dwarf_Die *ret)
{
	Dwarf_Die type, part, variant, member;
	size_t budget = MAX_SHAPE_MEMBERS;
	if (!type_peel(option, &type) || !type_definition(t->ms, &type) || dwarf_child(&type, &part))
		return false;
	while (dwarf_tag(&part) != DW_TAG_variant_part)
		if (!--budget || dwarf_siblingof(&part, &part))
			return false;
	if (dwarf_child(&part, &variant))
		return false;
	do {
		const char *name;
		if (dwarf_tag(&variant) != DW_TAG_variant || dwarf_child(&variant, &member) || !(name = dwarf_diename(&member)) || strcmp(name, "Some"))
			continue;
		return type_ref(&member, DW_AT_type, ret) && type_number(&member, DW_AT_data_member_location, ret_offset);
	} while (--budget && !dwarf_siblingof(&variant, &variant));
	return false;
}

/* Where the nodes of a BTreeMap are, and what lies where in them. */
static bool shape_btree(struct shapes *t, struct shape *s)
{
	unsigned word = modules_arch(t->ms)->word;
	Dwarf_Die type, some, die, leaf, argument_type;
	uint64_t root, in_root, at, size, key = s->unit, bytes;
	if (!member_at(t, &s->die, s->row->fields[BTREE_ROOT], &root, &type) || !some_of(t, &type, &in_root, &some))
		return false;
	if (!member_at(t, &some, ".__0.height", &at, &type))
		return false;
	s->at[BTREE_HEIGHT] = root + in_root + at;
	if (!member_at(t, &some, ".__0.node.pointer", &at, &type) || !type_peel(&type, &die) || dwarf_tag(&die) != DW_TAG_pointer_type ||
	    !type_ref(&die, DW_AT_type, &leaf) || !type_peel(&leaf, &leaf) || !type_definition(t->ms, &leaf) || !type_size(&leaf, word, &size))
		return false;
	s->at[BTREE_NODE] = root + in_root + at;
	s->wide[BTREE_NODE] = s->wide[BTREE_HEIGHT] = (uint8_t)word;
	if (!member_at(t, &leaf, ".len", &s->at[BTREE_USED], &type) || !type_size(&type, word, &bytes) || bytes != sizeof(uint16_t) ||
	    !member_at(t, &leaf, ".keys", &s->at[BTREE_KEYS], &type))
		return false;
	s->value = key + (argument(&s->die, 1, &argument_type) && type_size(&argument_type, word, &bytes) ? bytes : 0);
	s->node = size;
	s->leaf = leaf;
	return true;
}

static bool make_container(struct shapes *t, uint32_t at, const struct container_row *row);

/* A stack is what it is made of, under its own name. */
static bool make_adaptor(struct shapes *t, uint32_t at, const struct container_row *row)
{
	struct shape own = t->list.at[at];
	Dwarf_Die type, inner;
	uint64_t offset;
	bool made = false;
	if (!member_at(t, &own.die, row->fields[0], &offset, &type) || !type_peel(&type, &inner) || !type_definition(t->ms, &inner))
		return false;
	t->list.at[at].die = inner;
	for (const struct container_row *of = container_rows; !made && (of = row_of(t, &t->list.at[at].die, of)); of++)
		made = of->form != FORM_ADAPTOR && make_container(t, at, of);
	struct shape *s = &t->list.at[at];
	s->die = own.die;
	s->kind_name = row->kind;
	for (unsigned i = 0; made && i < MAX_FIELDS; i++)
		s->at[i] += offset;
	if (made)
		name_container(t, s);
	return made;
}

/* False: it is not as the row says, so it is taken for any structure. */
static bool make_container(struct shapes *t, uint32_t at, const struct container_row *row)
{
	struct shape s = t->list.at[at];
	unsigned word = modules_arch(t->ms)->word;
	Dwarf_Die from = s.die, type, element;
	uint64_t offset, size;
	if (row->form == FORM_ADAPTOR)
		return make_adaptor(t, at, row);
	s.row = row;
	s.kind_name = row->kind;
	for (unsigned i = 0; i < MAX_FIELDS && row->fields[i]; i++) {
		if (i && !strcmp(row->fields[i], "+")) {
			s.at[i] = s.at[i - 1] + word;
			s.wide[i] = (uint8_t)word;
			continue;
		}
		if (!member_at(t, &s.die, row->fields[i], &s.at[i], &type))
			return false;
		/* Of what is larger its first word counts. */
		s.wide[i] = !type_size(&type, word, &size) ? 0 : size <= 8 ? (uint8_t)size : (uint8_t)word;
	}
	if (*row->from && (!member_at(t, &s.die, row->from, &offset, &type) || !type_peel(&type, &from) || !type_definition(t->ms, &from)))
		return false;
	bool pointer = row->form == FORM_COUNTED || row->form == FORM_SHARED || row->form == FORM_WEAK || row->form == FORM_UNIQUE; /* those to void too */
	bool known = argument(&from, row->argument, &element) && type_peel(&element, &type);
	if (!known && !pointer)
		return false;
	s.value = 0;
	if (row->behind && known && !lies_behind(t, &s, row, &s.value))
		known = false;
	/* unique_ptr<T[]> leads to items of T. */
	s.rows = known && pointer && dwarf_tag(&type) == DW_TAG_array_type && type_ref(&type, DW_AT_type, &element) && type_peel(&element, &type);
	if (!known || !type_definition(t->ms, &type) || !type_size(&type, word, &s.unit))
		s.unit = 0;
	if (!s.unit && row->form <= FORM_HASH)
		return false;
	if (!row->behind)
		s.value = align_up((uint64_t)row->node_words * word, known && row->node_words ? alignment(t, &element, word) : word);
	s.node = row->children_first ? 3u * word + 1 + s.unit : s.value + s.unit;
	if (row->form == FORM_BTREE && !shape_btree(t, &s))
		s.node = 0;
	s.kind = SHAPE_CONTAINER;
	name_container(t, &s);
	t->list.at[at] = s;
	if (row->form == FORM_VARIANT)
		add_alternatives(t, at, s.at[1]);
	uint64_t values;
	if (row->form == FORM_BTREE && s.node && argument(&s.die, 1, &type) && member_at(t, &s.leaf, ".vals", &values, &from))
		add_part(t, at, values, "[].__1", &type);
	uint32_t of = row->form == FORM_VARIANT || !known ? NO_SHAPE : shapes_of(t, &element);
	t->list.at[at].element = of;
	return true;
}

static void make_parts(struct shapes *t, uint32_t at)
{
	struct evaluation e = { .ms = t->ms };
	struct spot of = { .type = t->list.at[at].die, .place = { .in_memory = true } }, found;
	Dwarf_Die child;
	size_t budget = MAX_SHAPE_MEMBERS;
	if (dwarf_child(&of.type, &child))
		return;
	do {
		int tag = dwarf_tag(&child);
		if ((tag != DW_TAG_member && tag != DW_TAG_inheritance) || !member_spot(&e, &of, &child, &found) || found.missing || found.bits)
			continue;
		add_part(t, at, found.offset, tag == DW_TAG_member ? dwarf_diename(&child) : NULL, &found.type);
	} while (--budget && !dwarf_siblingof(&child, &child));
}

static void make_array(struct shapes *t, uint32_t at)
{
	uint64_t counts[MAX_DIMENSIONS], all = 1;
	struct shape *s = &t->list.at[at];
	Dwarf_Die element;
	unsigned n = type_dimensions(&s->die, counts);
	for (unsigned i = 0; i < n; i++)
		if (__builtin_mul_overflow(all, counts[i], &all))
			return;
	if (!n || !type_ref(&s->die, DW_AT_type, &element) || !type_size(&element, modules_arch(t->ms)->word, &s->unit) || !s->unit)
		return;
	s->kind = SHAPE_ARRAY;
	s->count = all;
	uint32_t of = shapes_of(t, &element);
	t->list.at[at].element = of;
}

/* A box of Rust's is a pointer that owns. */
static void make_box(struct shapes *t, uint32_t at, Dwarf_Die *target)
{
	struct shape *s = &t->list.at[at];
	unsigned word = modules_arch(t->ms)->word;
	AUTO_FREE char *name = short_name(t->ms, target);
	struct strbuf whole = { 0 };
	strbuf_printf(&whole, "Box<%s>", name ? name : "?");
	s->kind = SHAPE_CONTAINER;
	s->row = &container_box;
	s->kind_name = container_box.kind;
	s->bytes = s->wide[0] = (uint8_t)word;
	s->type = modules_keep(t->ms, whole.text);
	s->element_type = name ? modules_keep(t->ms, strdup(name)) : NULL;
	type_size(target, word, &s->unit);
}

static void make_pointer(struct shapes *t, uint32_t at)
{
	Dwarf_Die target;
	if (!type_ref(&t->list.at[at].die, DW_AT_type, &target))
		return;
	const char *name = dwarf_diename(&t->list.at[at].die);
	size_t n = strlen(container_box.type);
	t->list.at[at].kind = SHAPE_POINTER;
	if (name && !strncmp(name, container_box.type, n) && name[n] == '<')
		make_box(t, at, &target);
	uint32_t of = shapes_of(t, &target);
	t->list.at[at].element = of;
}

struct making { struct shapes *t; uint32_t at; };

static void make_shape(void *ctx)
{
	struct shapes *t = ((struct making *)ctx)->t;
	uint32_t at = ((struct making *)ctx)->at;
	struct shape *s = &t->list.at[at];
	int tag = dwarf_tag(&s->die);
	if (tag == DW_TAG_array_type) {
		make_array(t, at);
	} else if (tag == DW_TAG_pointer_type || tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type) {
		make_pointer(t, at);
	} else if (tag == DW_TAG_structure_type && make_glib(t, at)) {
		return;
	} else if ((tag == DW_TAG_structure_type || tag == DW_TAG_class_type) && type_definition(t->ms, &s->die)) {
		/* Which member of a union is there, nobody says. */
		type_size(&s->die, modules_arch(t->ms)->word, &s->bytes);
		for (const struct container_row *row = container_rows; (row = row_of(t, &t->list.at[at].die, row)); row++)
			if (make_container(t, at, row))
				return;
		t->list.at[at].kind = SHAPE_PARTS;
		make_parts(t, at);
	}
}

void shapes_make_one(struct shapes *t, uint32_t at)
{
	struct making g = { t, at };
	struct shape *s = &t->list.at[at];
	if (s->kind != SHAPE_UNMADE)
		return;
	struct module *m = modules_of_die(t->ms, &s->die);
	s->kind = SHAPE_DULL;
	if (m && !modules_guarded(t->ms, m, make_shape, &g)) {
		s = &t->list.at[at]; /* the list may have moved */
		vec_free(&s->parts);
		*s = (struct shape){ .kind = SHAPE_DULL };
	}
}

static bool leads(const struct shapes *t, const struct shape *s)
{
	if (s->kind == SHAPE_CONTAINER || (s->element && t->list.at[s->element].leads))
		return true;
	for (size_t i = 0; i < s->parts.n; i++)
		if (t->list.at[s->parts.at[i].shape].leads)
			return true;
	return false;
}

void shapes_make(struct shapes *t)
{
	for (size_t i = 0; i < t->list.n && !interrupted; i++)
		shapes_make_one(t, (uint32_t)i);
	/* Elements mostly stand behind what holds them, so that few passes do. */
	for (bool more = true; more && !interrupted;) {
		more = false;
		for (size_t i = t->list.n; i-- > 0;)
			if (!t->list.at[i].leads && leads(t, &t->list.at[i]))
				more = t->list.at[i].leads = true;
	}
}

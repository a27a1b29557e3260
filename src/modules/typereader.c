/* The type table: all structs of all modules, each once, then their members. A file may nest and link its entries as it likes:
 * nothing recurses, and all is counted. */
#include "typereader.h"

enum { TYPE_DIES = 40 << 20, MOST_ALIKE = 64 };

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
	return h * 0xff51afd7ed558ccdu;
}

static struct type *add_type(struct type_reader *r, enum type_kind kind, uint32_t *ret)
{
	struct type_table *t = r->t;
	struct type *at = t->types.n < MOST_TYPES ? vec_push(&t->types) : NULL;
	if (!at) {
		t->cut |= t->types.n >= MOST_TYPES;
		r->nomem |= t->types.n < MOST_TYPES;
		return NULL;
	}
	*at = (struct type){ .kind = kind, .module = r->module, .flexible = NO_OFFSET };
	*ret = (uint32_t)(t->types.n - 1);
	return at;
}

static const char *keep(struct type_reader *r, char *text)
{
	size_t n = text ? strlen(text) : 0;
	if (n >= LIMIT_NAME_BYTES - r->name_bytes) {
		free(text);
		r->t->cut = true;
		return NULL;
	}
	char **slot = text ? vec_push(&r->t->strings) : NULL;
	if (!slot) {
		free(text);
		r->nomem = true;
		return NULL;
	}
	r->name_bytes += n;
	return *slot = text;
}

static bool find_key(const struct type_reader *r, uint64_t key, uint32_t *ret)
{
	uint64_t id;
	bool found = map64_find(&r->by_key, key, &id);
	*ret = found ? (uint32_t)id : 0;
	return found;
}

/* Pointers, arrays, numbers and code: what they are made of says all. */
uint32_t reader_simple(struct type_reader *r, enum type_kind kind, uint32_t target, uint64_t count, uint64_t size, const char *name)
{
	uint32_t id;
	uint64_t key = mix(mix(mix(mix(0x51, kind), target), count), size);
	if (name)
		key = mix(key, type_table_hash(name, strlen(name)));
	if (find_key(r, key, &id))
		return id;
	const char *kept = name ? keep(r, strdup(name)) : NULL;
	struct type *at = add_type(r, kind, &id);
	if (!at)
		return 0;
	at->target = target;
	at->count = count;
	at->size = size;
	at->name = kept;
	r->nomem |= !map64_put(&r->by_key, key, id);
	return id;
}

static uint64_t struct_key(enum type_kind kind, const char *name, uint64_t size, uint64_t line)
{
	return mix(mix(mix(mix(0x52, kind), type_table_hash(name, strlen(name))), size), line);
}

uint32_t reader_find(const struct type_reader *r, enum type_kind kind, const char *name, uint64_t size, uint64_t line)
{
	uint32_t id;
	if (!name || !find_key(r, struct_key(kind, name, size, line), &id))
		return 0;
	const struct type *t = table_type(r->t, id);
	return t->kind == kind && t->name && t->size == size && t->line == line ? id : 0;
}

const struct unread *reader_entry(const struct type_reader *r, uint32_t type)
{
	size_t lo = 0, hi = r->unread.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (r->unread.at[mid].id < type)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->unread.n && r->unread.at[lo].id == type ? &r->unread.at[lo] : NULL;
}

static void add_name(struct type_reader *r, uint32_t id)
{
	struct type *at = &r->t->types.at[id];
	uint64_t hash = type_table_hash(at->name, strlen(at->name)), first = 0;
	if (map64_find(&r->t->by_name, hash, &first)) {
		/* Behind the first: who asks by name gets the one that was met first, of the module that was loaded first. */
		at->next = r->t->types.at[first].next;
		r->t->types.at[first].next = id;
	} else if (!map64_put(&r->t->by_name, hash, id)) {
		r->nomem = true;
	}
}

/* What a lambda makes is a nameless class that can be called. NULL: it is none. */
static char *closure_name(struct type_reader *r, Dwarf_Die *die)
{
	Dwarf_Die child;
	size_t budget = MEMBERS_OF_ONE;
	int line;
	char *text = NULL;
	if (dwarf_tag(die) == DW_TAG_union_type || dwarf_child(die, &child))
		return NULL;
	do {
		const char *name = dwarf_tag(&child) == DW_TAG_subprogram ? dwarf_diename(&child) : NULL;
		if (!name || strcmp(name, "operator()") != 0)
			continue;
		const char *path = dwarf_decl_file(die), *file = path ? strrchr(path, '/') : NULL;
		if (!path || dwarf_decl_line(die, &line))
			return NULL;
		if (asprintf(&text, "lambda at %s:%d", file ? file + 1 : path, line) < 0) {
			r->nomem = true;
			return NULL;
		}
		return text;
	} while (--budget && !dwarf_siblingof(&child, &child));
	return NULL;
}

static const char *struct_name(struct type_reader *r, Dwarf_Die *die, char **ret_owned)
{
	uint64_t named;
	const char *name = dwarf_diename(die);
	if (!name && map64_find(&r->typedefs, (uintptr_t)die->addr, &named))
		name = (const char *)(uintptr_t)named;
	*ret_owned = NULL;
	if (!name)
		return NULL;
	const char *scope = type_scope(r->ms, die);
	if (asprintf(ret_owned, "%s%s", scope, name) < 0) {
		*ret_owned = NULL;
		r->nomem = true;
	}
	return *ret_owned;
}

static enum type_kind kind_of(Dwarf_Die *die, uint64_t size)
{
	int tag = dwarf_tag(die);
	return tag == DW_TAG_union_type ? TYPE_UNION : tag != DW_TAG_enumeration_type ? TYPE_STRUCT : size == 1 ? TYPE_CHAR : TYPE_NUMBER;
}

/* A struct, a union, or an enumeration. */
static uint32_t add_struct(struct type_reader *r, Dwarf_Die *die)
{
	uint64_t size = 0, line = 0, known;
	uint32_t id;
	char *owned;
	if (map64_find(&r->by_die, (uintptr_t)die->addr, &known))
		return (uint32_t)known - 1;
	const char *name = struct_name(r, die, &owned);
	if (dwarf_tag(die) == DW_TAG_enumeration_type ? !type_size(die, r->t->word, &size) : (type_number(die, DW_AT_byte_size, &size), false)) {
		free(owned);
		return 0;
	}
	enum type_kind kind = kind_of(die, size);
	type_number(die, DW_AT_decl_line, &line);
	/* Each of a lambda's is a type of its own: a template's have one line. */
	bool closure = !owned && (owned = closure_name(r, die));
	name = owned;
	uint64_t key = owned && !closure ? struct_key(kind, name, size, line) : 0;
	if (key && find_key(r, key, &id)) {
		free(owned);
		r->nomem |= !map64_put(&r->by_die, (uintptr_t)die->addr, (uint64_t)id + 1);
		return id;
	}
	name = owned ? keep(r, owned) : kind == TYPE_CHAR || kind == TYPE_NUMBER ? "enum {...}" : NULL;
	struct type *at = add_type(r, kind, &id);
	struct unread *u = at ? vec_push(&r->unread) : NULL;
	if (!u) {
		r->nomem |= at != NULL;
		return 0;
	}
	*u = (struct unread){ *die, id, r->module };
	at->name = name;
	at->size = size;
	at->line = (uint32_t)line;
	r->nomem |= !map64_put(&r->by_die, (uintptr_t)die->addr, (uint64_t)id + 1) || (key && !map64_put(&r->by_key, key, id));
	if (owned && (kind == TYPE_STRUCT || kind == TYPE_UNION))
		add_name(r, id);
	return id;
}

/* A declaration stands for the definition of that name: of its own module before any other. */
static uint32_t declared(struct type_reader *r, Dwarf_Die *die)
{
	char *owned;
	const char *name = struct_name(r, die, &owned);
	uint32_t first = name ? type_table_find(r->t, name) : 0, id = first;
	for (int i = 0; id && i < MOST_ALIKE && table_type(r->t, id)->module != r->module; i++)
		id = table_type(r->t, id)->next;
	if (!id)
		id = first;
	if (!id && name)
		id = reader_simple(r, TYPE_INCOMPLETE, 0, 0, 0, name);
	free(owned);
	return id;
}

static uint32_t plain(struct type_reader *r, Dwarf_Die *die)
{
	uint64_t size = 0;
	unsigned word = r->t->word;
	switch (dwarf_tag(die)) {
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
		return dwarf_hasattr(die, DW_AT_declaration) ? declared(r, die) : add_struct(r, die);
	case DW_TAG_enumeration_type:
		return add_struct(r, die);
	case DW_TAG_ptr_to_member_type: {
		/* To a function: its address, and what to add to `this` (Itanium C++ ABI, 2.3). */
		Dwarf_Die to;
		bool two = type_ref(die, DW_AT_type, &to) && type_peel(&to, &to) && dwarf_tag(&to) == DW_TAG_subroutine_type;
		return reader_simple(r, TYPE_NUMBER, 0, 0, two ? 2 * word : word, "pointer to member");
	}
	case DW_TAG_base_type:
	case DW_TAG_subrange_type: {
		if (!type_size(die, word, &size))
			return 0;
		const char *name = dwarf_diename(die);
		return reader_simple(r, size == 1 ? TYPE_CHAR : TYPE_NUMBER, 0, 0, size, name ? name : "?");
	}
	case DW_TAG_subroutine_type:
		return reader_simple(r, TYPE_CODE, 0, 0, 0, NULL);
	default:
		return 0;
	}
}

static uint32_t pointer_to(struct type_reader *r, uint32_t target)
{
	return reader_simple(r, TYPE_POINTER, target, 0, r->t->word, NULL);
}

static uint32_t array_of(struct type_reader *r, uint32_t element, uint64_t count)
{
	uint64_t size;
	if (__builtin_mul_overflow(table_type(r->t, element)->size, count, &size))
		return 0;
	return reader_simple(r, TYPE_ARRAY, element, count, size, NULL);
}

struct layer { bool pointer; uint64_t count; }; /* around a type, outermost first */

static bool is_pointer(int tag)
{
	return tag == DW_TAG_pointer_type || tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type;
}

/* The layers around the innermost type, whose id is returned. */
static uint32_t peel_layers(struct type_reader *r, Dwarf_Die *at, struct layer layers[MAX_LINKS], unsigned *n)
{
	uint64_t counts[MAX_DIMENSIONS], known;
	for (*n = 0; *n + MAX_DIMENSIONS < MAX_LINKS;) {
		if (map64_find(&r->by_die, (uintptr_t)at->addr, &known))
			return (uint32_t)known - 1;
		if (!type_peel(at, at))
			return 0;
		int tag = dwarf_tag(at);
		if (is_pointer(tag))
			layers[(*n)++] = (struct layer){ true, 0 };
		else if (tag == DW_TAG_array_type)
			for (unsigned k = type_dimensions(at, counts), i = 0; i < k; i++)
				layers[(*n)++] = (struct layer){ false, counts[i] };
		else
			return plain(r, at);
		if (!type_ref(at, DW_AT_type, at))
			return 0;
	}
	return 0;
}

uint32_t reader_resolve(struct type_reader *r, Dwarf_Die *type)
{
	struct layer layers[MAX_LINKS];
	Dwarf_Die at = *type;
	unsigned n;
	uint32_t id = peel_layers(r, &at, layers, &n);
	bool layered = n > 0;
	while (n--)
		id = layers[n].pointer ? pointer_to(r, id) : array_of(r, id, layers[n].count);
	if (layered)
		r->nomem |= !map64_put(&r->by_die, (uintptr_t)type->addr, (uint64_t)id + 1);
	return id;
}

/* Members */

static struct type_member *add_member(struct type_reader *r, Dwarf_Die *die, bool weak)
{
	struct evaluation e = { .ms = r->ms, .m = r->m };
	struct spot of = { .place = { .in_memory = true } }, at;
	if (!member_spot(&e, &of, die, &at) || at.missing || at.offset > UINT32_MAX - 1)
		return NULL;
	uint32_t type = reader_resolve(r, &at.type);
	uint64_t size = table_type(r->t, type)->size;
	if (r->t->members.n >= MOST_MEMBERS || size > UINT32_MAX)
		return NULL;
	struct type_member *m = vec_push(&r->t->members);
	if (!m) {
		r->nomem = true;
		return NULL;
	}
	*m = (struct type_member){ .name = dwarf_diename(die), .type = type, .offset = (uint32_t)at.offset, .bytes = (uint32_t)size, .weak = weak };
	m->base = dwarf_tag(die) == DW_TAG_inheritance;
	m->bits = at.bits > 0xfff ? 0 : (uint16_t)at.bits & 0xfff;
	m->bit = at.bits ? at.bit_offset % 8 & 7 : 0;
	m->offset += (uint32_t)(at.bits ? at.bit_offset / 8 : 0);
	return m;
}

/* A variant's values; without any it is there where none of the others is. What has ranges of them is not told. */
static bool add_value(struct type_reader *r, Dwarf_Die *variant)
{
	uint64_t v;
	uint64_t *slot = !dwarf_hasattr(variant, DW_AT_discr_list) && type_number(variant, DW_AT_discr_value, &v) ? vec_push(&r->t->values) : NULL;
	if (slot)
		*slot = v;
	return slot;
}

/* Where the discriminant stands. */
static bool discriminant(struct type_reader *r, Dwarf_Die *part, struct type_condition *ret)
{
	struct evaluation e = { .ms = r->ms, .m = r->m };
	struct spot of = { .place = { .in_memory = true } }, at;
	Dwarf_Die member;
	uint64_t size;
	if (!type_ref(part, DW_AT_discr, &member) || !member_spot(&e, &of, &member, &at) || at.missing || at.bits || at.offset >= NO_OFFSET ||
	    !type_size(&at.type, r->t->word, &size) || !size || size > 8)
		return false;
	*ret = (struct type_condition){ .offset = (uint32_t)at.offset, .bytes = (uint32_t)size };
	return true;
}

static void add_variant(struct type_reader *r, Dwarf_Die *variant, const struct type_condition *c)
{
	Dwarf_Die member;
	size_t budget = MEMBERS_OF_ONE;
	uint32_t when = 0;
	struct type_condition *slot = c && r->t->conditions.n < MOST_MEMBERS ? vec_push(&r->t->conditions) : NULL;
	if (slot) {
		*slot = *c;
		when = (uint32_t)r->t->conditions.n;
	}
	if (dwarf_child(variant, &member))
		return;
	do {
		struct type_member *m = add_member(r, &member, true);
		if (m)
			m->when = when;
	} while (--budget && !dwarf_siblingof(&member, &member));
}

/* What a Rust enum may be: any of its variants. */
static void add_variants(struct type_reader *r, Dwarf_Die *part)
{
	Dwarf_Die variant, first;
	size_t budget = MEMBERS_OF_ONE;
	struct type_condition c;
	bool known = discriminant(r, part, &c);
	if (dwarf_child(part, &first))
		return;
	c.first = (uint32_t)r->t->values.n;
	variant = first;
	do
		if (dwarf_tag(&variant) == DW_TAG_variant)
			add_value(r, &variant);
	while (--budget && !dwarf_siblingof(&variant, &variant));
	uint32_t all = (uint32_t)r->t->values.n - c.first, next = c.first;
	budget = MEMBERS_OF_ONE;
	variant = first;
	do {
		if (dwarf_tag(&variant) != DW_TAG_variant)
			continue;
		bool ranges = dwarf_hasattr(&variant, DW_AT_discr_list), one = !ranges && dwarf_hasattr(&variant, DW_AT_discr_value);
		struct type_condition own = c;
		own.first = one ? next : c.first;
		own.n = one ? 1 : all;
		own.except = !one;
		next += one;
		add_variant(r, &variant, known && !ranges && next <= c.first + all ? &own : NULL);
	} while (--budget && !dwarf_siblingof(&variant, &variant));
}

static void add_enumerator(struct type_reader *r, Dwarf_Die *die)
{
	uint64_t value;
	struct type_member *m = type_number(die, DW_AT_const_value, &value) && value < NO_OFFSET && r->t->members.n < MOST_MEMBERS ? vec_push(&r->t->members) : NULL;
	if (m)
		*m = (struct type_member){ .name = dwarf_diename(die), .offset = (uint32_t)value };
}

static void add_argument(struct type_reader *r, Dwarf_Die *die, uint32_t arguments[MOST_TYPE_ARGUMENTS], uint8_t *n)
{
	Dwarf_Die type;
	if (*n < MOST_TYPE_ARGUMENTS)
		arguments[(*n)++] = type_ref(die, DW_AT_type, &type) ? reader_resolve(r, &type) : 0;
}

static void read_members(struct type_reader *r, const struct unread *u)
{
	struct type of = { 0 };
	Dwarf_Die child;
	size_t first = r->t->members.n, n = 0;
	bool is_union = dwarf_tag((Dwarf_Die *)&u->die) == DW_TAG_union_type;
	if (dwarf_child((Dwarf_Die *)&u->die, &child))
		return;
	do {
		int tag = dwarf_tag(&child);
		of.virtual_bases |= tag == DW_TAG_inheritance && dwarf_hasattr(&child, DW_AT_virtuality);
		if (tag == DW_TAG_member || tag == DW_TAG_inheritance)
			add_member(r, &child, is_union);
		else if (tag == DW_TAG_variant_part)
			add_variants(r, &child);
		else if (tag == DW_TAG_template_type_parameter)
			add_argument(r, &child, of.arguments, &of.n_arguments);
		else if (tag == DW_TAG_enumerator)
			add_enumerator(r, &child);
	} while (++n < MEMBERS_OF_ONE && !dwarf_siblingof(&child, &child));
	struct type *at = &r->t->types.at[u->id];
	at->virtual_bases = of.virtual_bases;
	memcpy(at->arguments, of.arguments, sizeof at->arguments);
	at->n_arguments = of.n_arguments;
	at->first_member = (uint32_t)first;
	at->n_members = (uint32_t)(r->t->members.n - first);
	at->cut |= n == MEMBERS_OF_ONE;
}

static void read_unread(void *ctx)
{
	struct type_reader *r = ctx;
	while (r->next < r->unread.n && r->unread.at[r->next].module == r->module && !r->nomem && !interrupted) {
		struct unread u = r->unread.at[r->next++];
		modules_check_time();
		read_members(r, &u);
	}
}

static struct err *failure(const struct type_reader *r)
{
	return r->nomem ? err_nomem() : interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

struct err *reader_finish(struct type_reader *r)
{
	while (r->next < r->unread.n && !r->nomem && !interrupted) {
		r->module = r->unread.at[r->next].module;
		r->m = r->ms->list.at[r->module];
		/* A crash costs the type it happened at; the module is never read again. */
		if (!modules_guarded(r->ms, r->m, read_unread, r))
			while (r->next < r->unread.n && r->unread.at[r->next].module == r->module)
				r->next++;
	}
	TRY(failure(r));
	return type_table_flatten(r->t) ? NULL : interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : err_nomem();
}

/* All entries, once */

static bool is_struct(int tag)
{
	return tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
}

static bool is_thread_variable(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;
	if (!dwarf_attr(die, DW_AT_location, &attr) || dwarf_whatform(&attr) != DW_FORM_exprloc || dwarf_getlocation(&attr, &ops, &n) || !n)
		return false;
	return ops[n - 1].atom == DW_OP_form_tls_address || ops[n - 1].atom == DW_OP_GNU_push_tls_address;
}

/* What glibc's headers declare and do not define, and malloc's blocks are: dirent.h, regex.h, spawn.h, search.h. Its FILE and what
 * belongs to locales are found by the library's own lists of them. */
static bool is_left_to_libc(const char *name)
{
	static const char *const names[] = { "__dirstream", "re_dfa_t", "__spawn_action", "_ENTRY" };
	for (size_t i = 0; name && i < sizeof names / sizeof names[0]; i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static void on_die(void *ctx, Dwarf_Die *die)
{
	struct type_reader *r = ctx;
	Dwarf_Die of;
	int tag = dwarf_tag(die);
	if (is_struct(tag) && dwarf_hasattr(die, DW_AT_declaration)) {
		r->declares_libc = r->declares_libc || is_left_to_libc(dwarf_diename(die));
	} else if (is_struct(tag)) {
		Dwarf_Die *slot = vec_push(&r->unit);
		if (slot)
			*slot = *die;
		r->handlers |= slot && handlers_are_of(die);
	} else if (tag == DW_TAG_typedef && type_ref(die, DW_AT_type, &of) && (is_struct(dwarf_tag(&of)) || dwarf_tag(&of) == DW_TAG_enumeration_type) &&
		   !dwarf_diename(&of)) {
		const char *name = dwarf_diename(die);
		r->nomem |= name && !map64_put(&r->typedefs, (uintptr_t)of.addr, (uintptr_t)name);
	} else if (tag == DW_TAG_variable && r->thread_dies.n < MOST_THREAD_VARIABLES && is_thread_variable(die)) {
		struct thread_die *slot = vec_push(&r->thread_dies);
		if (slot)
			*slot = (struct thread_die){ *die, r->module };
	}
}

static void read_file(struct type_reader *r, Dwarf *dw)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die unit;
	uint64_t named;
	while (dw && r->budget && !r->nomem && !interrupted && !dwarf_get_units(dw, cu, &cu, NULL, NULL, &unit, NULL)) {
		r->unit.n = 0;
		r->handlers = false;
		modules_each_die(&unit, &r->budget, on_die, r);
		/* Nameless ones are read where something is of that type. */
		for (size_t i = 0; i < r->unit.n && !r->nomem; i++) {
			modules_check_time();
			if (dwarf_diename(&r->unit.at[i]) || map64_find(&r->typedefs, (uintptr_t)r->unit.at[i].addr, &named))
				add_struct(r, &r->unit.at[i]);
		}
		if (r->handlers && !r->nomem)
			handlers_read(r, &unit);
	}
}

static void read_module(void *ctx)
{
	struct type_reader *r = ctx;
	read_file(r, priv_of(r->m)->alt);
	read_file(r, priv_of(r->m)->dwarf);
}

static void free_reader(struct type_reader *r)
{
	if (!r)
		return;
	type_table_free(r->t);
	map64_free(&r->by_die);
	map64_free(&r->by_key);
	map64_free(&r->typedefs);
	vec_free(&r->unread);
	vec_free(&r->unit);
	vec_free(&r->thread_dies);
	handlers_free(r);
	free(r);
}

bool reader_is_libc(const struct module *m)
{
	static const char *const names[] = { "libm", "librt", "libdl", "libutil", "libmvec", "libresolv", "libnsl", "libanl", "libnss_files", "libnss_dns", "libnss_compat" };
	if (m->role == MODULE_LIBC || m->role == MODULE_LDSO || m->role == MODULE_LIBPTHREAD)
		return true;
	for (size_t i = 0, n; i < sizeof names / sizeof names[0]; i++) {
		n = strlen(names[i]);
		/* libm.so.6, libm-2.31.so; not libmagic.so.1. */
		if (!strncmp(m->name, names[i], n) && (!strncmp(m->name + n, ".so", 3) || !strncmp(m->name + n, "-2.", 3)))
			return true;
	}
	return false;
}

enum part { PART_PROGRAM, PART_LIBC, PART_REST };

static bool is_of_part(const struct type_reader *r, enum part part)
{
	const struct libc_types *c = &r->ms->libc_types;
	if (!reader_is_libc(r->m) || part == PART_PROGRAM)
		return !reader_is_libc(r->m) && part == PART_PROGRAM;
	if (part == PART_REST)
		return !priv_of(r->m)->types_read;
	return !c->of_module || (r->declares_libc && r->m->role == MODULE_LIBC) || c->of_module(c->ctx, r->m);
}

static void read_part(struct type_reader *r, enum part part)
{
	for (size_t i = 0; i < r->ms->list.n && !r->nomem && !interrupted; i++) {
		size_t before = r->t->types.n;
		r->m = r->ms->list.at[i];
		r->module = (uint32_t)i;
		if (!is_of_part(r, part) || !modules_dwarf(r->ms, r->m))
			continue;
		priv_of(r->m)->types_read = true;
		r->budget = TYPE_DIES;
		modules_guarded(r->ms, r->m, read_module, r);
		r->t->dies += TYPE_DIES - r->budget;
		r->t->cut |= !r->budget;
		r->t->modules += r->t->types.n > before;
	}
}

static struct err *read_all(struct type_reader *r)
{
	uint32_t nothing;
	r->t = calloc(1, sizeof *r->t);
	if (!r->t || !add_type(r, TYPE_VOID, &nothing))
		return err_nomem();
	r->t->word = modules_arch(r->ms)->word;
	read_part(r, PART_PROGRAM);
	read_part(r, PART_LIBC);
	TRY(failure(r));
	handlers_sort(r->t);
	return reader_finish(r);
}

struct err *modules_whole_type_table(struct modules *ms, struct type_table **ret)
{
	TRY(modules_type_table(ms, ret));
	struct type_reader *r = ms->types;
	if (r->whole)
		return NULL;
	read_part(r, PART_REST);
	TRY(failure(r));
	r->whole = true;
	return reader_finish(r);
}

void modules_choose_libc_types(struct modules *ms, const struct libc_types *choose)
{
	ms->libc_types = *choose;
}

struct err *modules_type_table(struct modules *ms, struct type_table **ret)
{
	if (!ms->types) {
		struct type_reader *r = calloc(1, sizeof *r);
		if (!r)
			return err_nomem();
		r->ms = ms;
		struct err *e = read_all(r);
		if (e) {
			free_reader(r);
			return e;
		}
		ms->types = r;
	}
	*ret = ms->types->t;
	return NULL;
}

void modules_free_types(struct modules *ms)
{
	free_reader(ms->types);
	ms->types = NULL;
}

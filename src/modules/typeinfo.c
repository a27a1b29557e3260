/* Types of DWARF: what stands behind a typedef, how large it is, what it is called, and where the type or variable of a name
 * is declared. Nothing recurses: a file may nest and link its entries as it likes. */
#include "guard.h"
#include "values.h"

#include <ctype.h>

enum { INDEX_DIES = 20 << 20, INDEX_NAMES = 8 << 20, INDEX_DEPTH = 64 };

/* With -fdebug-types-section a type stands in a unit of its own. What stands for it elsewhere, with or without a name, says its
 * signature (DWARF 5, 5.7.1). */
static void follow_signature(Dwarf_Die *type)
{
	Dwarf_Attribute attr;
	Dwarf_Die whole;
	if (dwarf_attr(type, DW_AT_signature, &attr) && dwarf_formref_die(&attr, &whole))
		*type = whole;
}

bool type_ref(Dwarf_Die *die, unsigned attribute, Dwarf_Die *ret)
{
	Dwarf_Attribute attr;
	if (!dwarf_attr_integrate(die, attribute, &attr) || !dwarf_formref_die(&attr, ret))
		return false;
	follow_signature(ret);
	return true;
}

bool type_number(Dwarf_Die *die, unsigned attribute, uint64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Word v;
	if (!dwarf_attr_integrate(die, attribute, &attr) || dwarf_whatform(&attr) == DW_FORM_exprloc || dwarf_formudata(&attr, &v))
		return false;
	*ret = v;
	return true;
}

static bool stands_for_another(int tag)
{
	return tag == DW_TAG_typedef || tag == DW_TAG_const_type || tag == DW_TAG_volatile_type || tag == DW_TAG_restrict_type ||
	       tag == DW_TAG_atomic_type || tag == DW_TAG_immutable_type || tag == DW_TAG_shared_type || tag == DW_TAG_template_alias;
}

bool type_peel(Dwarf_Die *type, Dwarf_Die *ret)
{
	*ret = *type;
	for (int i = 0; i < MAX_LINKS; i++) {
		if (!stands_for_another(dwarf_tag(ret)))
			return true;
		if (!type_ref(ret, DW_AT_type, ret))
			return false;
	}
	return false;
}

unsigned type_dimensions(Dwarf_Die *array, uint64_t ret[MAX_DIMENSIONS])
{
	Dwarf_Die child;
	unsigned n = 0;
	if (dwarf_child(array, &child))
		return 0;
	do {
		uint64_t count = 0, low = 0, high;
		if (dwarf_tag(&child) != DW_TAG_subrange_type)
			continue;
		type_number(&child, DW_AT_lower_bound, &low);
		/* int a[0] has the upper bound -1, or none. */
		if (!type_number(&child, DW_AT_count, &count) && type_number(&child, DW_AT_upper_bound, &high) && (int64_t)high >= (int64_t)low &&
		    high - low < UINT32_MAX)
			count = high - low + 1;
		ret[n++] = count;
	} while (n < MAX_DIMENSIONS && !dwarf_siblingof(&child, &child));
	return n;
}

bool type_size(Dwarf_Die *type, unsigned word, uint64_t *ret)
{
	Dwarf_Die at = *type;
	uint64_t times = 1, size, counts[MAX_DIMENSIONS];
	for (int i = 0; i < MAX_LINKS; i++) {
		if (!type_peel(&at, &at))
			return false;
		int tag = dwarf_tag(&at);
		if (type_number(&at, DW_AT_byte_size, &size))
			return !__builtin_mul_overflow(size, times, ret);
		if (tag == DW_TAG_pointer_type || tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type || tag == DW_TAG_ptr_to_member_type)
			return !__builtin_mul_overflow(word, times, ret);
		if (tag == DW_TAG_array_type)
			for (unsigned n = type_dimensions(&at, counts), k = 0; k < n; k++)
				if (__builtin_mul_overflow(times, counts[k], &times))
					return false;
		if ((tag != DW_TAG_array_type && tag != DW_TAG_enumeration_type && tag != DW_TAG_subrange_type) || !type_ref(&at, DW_AT_type, &at))
			return false;
	}
	return false;
}

bool type_element(Dwarf_Die *array, unsigned dimension, unsigned word, Dwarf_Die *ret, uint64_t *ret_size, bool *ret_last)
{
	uint64_t counts[MAX_DIMENSIONS];
	unsigned n = type_dimensions(array, counts);
	if (!type_ref(array, DW_AT_type, ret) || !type_size(ret, word, ret_size) || dimension >= n)
		return false;
	for (unsigned i = dimension + 1; i < n; i++)
		if (__builtin_mul_overflow(*ret_size, counts[i], ret_size))
			return false;
	*ret_last = dimension + 1 == n;
	return true;
}

bool type_is_char(Dwarf_Die *peeled)
{
	uint64_t encoding, size;
	return dwarf_tag(peeled) == DW_TAG_base_type && type_number(peeled, DW_AT_encoding, &encoding) &&
	       (encoding == DW_ATE_signed_char || encoding == DW_ATE_unsigned_char) && type_number(peeled, DW_AT_byte_size, &size) && size == 1;
}

static bool is_c(Dwarf_Die *die)
{
	Dwarf_Die unit;
	int language = dwarf_diecu(die, &unit, NULL, NULL) ? dwarf_srclang(&unit) : -1;
	return language == DW_LANG_C || language == DW_LANG_C89 || language == DW_LANG_C99 || language == DW_LANG_C11;
}

static const char *keyword(Dwarf_Die *die)
{
	int tag = dwarf_tag(die);
	return tag == DW_TAG_structure_type ? "struct " : tag == DW_TAG_union_type ? "union " : tag == DW_TAG_enumeration_type ? "enum " : "";
}

static const char *nameless(int tag)
{
	switch (tag) {
	case DW_TAG_structure_type:
		return "struct {...}";
	case DW_TAG_class_type:
		return "class {...}";
	case DW_TAG_union_type:
		return "union {...}";
	case DW_TAG_enumeration_type:
		return "enum {...}";
	default:
		return "?";
	}
}

static void add_front(struct strbuf *s, const char *text)
{
	struct strbuf t = { 0 };
	strbuf_puts(&t, text);
	strbuf_add(&t, s->text ? s->text : "", s->n);
	strbuf_free(s);
	*s = t;
}

/* The part of a declarator that a type adds around what it is made of: "*", " [8]", "()". False: the end of the chain. */
static bool add_declarator(Dwarf_Die *type, struct strbuf *tail, struct strbuf *front)
{
	uint64_t counts[MAX_DIMENSIONS];
	int tag = dwarf_tag(type);
	bool wrapped = tail->n && strchr("*&c", tail->text[0]);
	switch (tag) {
	case DW_TAG_pointer_type:
		add_front(tail, "*");
		return true;
	case DW_TAG_reference_type:
		add_front(tail, "&");
		return true;
	case DW_TAG_rvalue_reference_type:
		add_front(tail, "&&");
		return true;
	case DW_TAG_const_type:
	case DW_TAG_volatile_type: {
		Dwarf_Die next;
		const char *word = tag == DW_TAG_const_type ? "const " : "volatile ";
		if (type_ref(type, DW_AT_type, &next) && dwarf_tag(&next) == DW_TAG_pointer_type)
			add_front(tail, tag == DW_TAG_const_type ? " const" : " volatile");
		else
			strbuf_puts(front, word);
		return true;
	}
	case DW_TAG_restrict_type:
	case DW_TAG_atomic_type:
		return true;
	case DW_TAG_array_type:
		if (wrapped) {
			add_front(tail, "(");
			strbuf_puts(tail, ")");
		}
		for (unsigned n = type_dimensions(type, counts), i = 0; i < n; i++)
			strbuf_printf(tail, counts[i] ? "[%llu]" : "[]", (unsigned long long)counts[i]);
		return true;
	case DW_TAG_subroutine_type:
		if (wrapped) {
			add_front(tail, "(");
			strbuf_puts(tail, ")");
		}
		strbuf_puts(tail, "()");
		return true;
	default:
		return false;
	}
}

char *type_name(struct modules *ms, Dwarf_Die *type)
{
	enum { LONGEST = 4096 };
	struct strbuf tail = { 0 }, front = { 0 };
	Dwarf_Die at;
	bool known = type != NULL;
	if (type)
		at = *type;
	for (int i = 0; known && i < MAX_LINKS && tail.n < LONGEST && add_declarator(&at, &tail, &front); i++)
		known = type_ref(&at, DW_AT_type, &at);
	const char *name = known ? dwarf_diename(&at) : "void";
	bool named = known && name, c = named && is_c(&at);
	strbuf_printf(&front, "%s%s%.*s", c ? keyword(&at) : "", named && !c ? type_scope(ms, &at) : "", LONGEST, name ? name : nameless(dwarf_tag(&at)));
	if (tail.n)
		strbuf_printf(&front, tail.text[0] == ' ' ? "%s" : " %s", tail.text);
	strbuf_free(&tail);
	return front.text;
}

/* The index: hashes of names, with their namespaces and without. A name is written in many ways: blanks do not count. */

static uint64_t hash_part(uint64_t h, const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (name[i] != ' ')
			h = (h ^ (uint8_t)name[i]) * 0x100000001b3u;
	return h;
}

static uint64_t hash_more(uint64_t h, const char *name)
{
	return hash_part(h, name, strlen(name));
}
#define HASH_START 0xcbf29ce484222325u

static unsigned kind_of(Dwarf_Die *die)
{
	switch (dwarf_tag(die)) {
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
	case DW_TAG_typedef:
	case DW_TAG_base_type:
		return NAMED_TYPE;
	case DW_TAG_variable:
	case DW_TAG_member: /* static, up to DWARF 4 */
		return NAMED_VARIABLE;
	default:
		return 0;
	}
}

/* The hash of a name with its scopes, but for those without a name. */
static uint64_t hash_name(const char *name)
{
	static const char nameless_scope[] = "(anonymous namespace)::"; /* as gdb says it; the index leaves it out */
	uint64_t hash = HASH_START;
	for (const char *p; (p = strstr(name, nameless_scope)); name = p + sizeof nameless_scope - 1)
		hash = hash_part(hash, name, (size_t)(p - name));
	return hash_more(hash, name);
}

static bool is_in_types(Dwarf_Die *die)
{
	Dwarf_Half version;
	uint8_t kind;
	return !dwarf_cu_info(die->cu, &version, &kind, NULL, NULL, NULL, NULL, NULL) && version < 5 && kind == DW_UT_type;
}

static bool die_of(const struct priv *p, const struct named *n, Dwarf_Die *ret)
{
	Dwarf *dw = n->alt ? p->alt : p->dwarf;
	return n->in_types ? dwarf_offdie_types(dw, n->die, ret) : dwarf_offdie(dw, n->die, ret);
}

static bool add_named(struct priv *p, Dwarf_Die *die, uint64_t hash, uint64_t plain, bool alt)
{
	Dwarf_Attribute attr;
	unsigned kind = kind_of(die);
	bool declared = dwarf_hasattr(die, DW_AT_declaration);
	if (!kind || (kind == NAMED_VARIABLE && !dwarf_attr(die, DW_AT_location, &attr) && !dwarf_attr(die, DW_AT_const_value, &attr)))
		return true;
	for (int i = 0; i < (hash == plain ? 1 : 2) && p->named.n < INDEX_NAMES; i++) {
		struct named *slot = vec_push(&p->named);
		if (!slot)
			return false;
		*slot = (struct named){ i ? plain : hash, dwarf_dieoffset(die), (uint8_t)kind, declared || i, alt, is_in_types(die) };
	}
	return true;
}

static bool is_named_scope(int tag)
{
	return tag == DW_TAG_namespace || tag == DW_TAG_module || tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
}

/* The hash of everything around a variable that is defined apart from its declaration. */
static uint64_t hash_linkage(struct modules *ms, Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *name = dwarf_attr_integrate(die, DW_AT_linkage_name, &attr) ? dwarf_formstring(&attr) : NULL;
	AUTO_FREE char *text = name ? modules_demangle(name) : NULL;
	(void)ms;
	return text ? hash_more(HASH_START, text) : 0;
}

static void index_unit(struct modules *ms, struct priv *p, Dwarf_Die *unit, bool alt, size_t *budget)
{
	Dwarf_Die stack[INDEX_DEPTH], child;
	uint64_t hashes[INDEX_DEPTH] = { HASH_START };
	int depth = 0;
	if (dwarf_child(unit, &stack[0]))
		return;
	while (depth >= 0 && *budget && !interrupted) {
		Dwarf_Die *die = &stack[depth];
		Dwarf_Attribute attr;
		int tag = dwarf_tag(die);
		--*budget;
		modules_check_time();
		const char *name = kind_of(die) || tag == DW_TAG_namespace ? dwarf_diename(die) : NULL;
		uint64_t hash = hashes[depth];
		if (name)
			hash = hash_more(hash, name);
		if (name && tag == DW_TAG_variable && dwarf_attr(die, DW_AT_specification, &attr))
			hash = hash_linkage(ms, die);
		else if (name && dwarf_attr(die, DW_AT_specification, &attr))
			hash = hash_more(hash_name(type_scope(ms, die)), name);
		else if (!name && tag == DW_TAG_variable && dwarf_attr_integrate(die, DW_AT_name, &attr) && (name = dwarf_formstring(&attr)))
			hash = hash_linkage(ms, die);
		if (name && !add_named(p, die, hash ? hash : hash_more(HASH_START, name), hash_more(HASH_START, name), alt))
			return;
		if (is_named_scope(tag) && depth + 1 < INDEX_DEPTH && !dwarf_child(die, &child)) {
			/* What an anonymous namespace holds is reached without its name too. */
			hashes[depth + 1] = name ? hash_more(hash, "::") : hashes[depth];
			stack[++depth] = child;
			continue;
		}
		while (depth >= 0 && dwarf_siblingof(&stack[depth], &stack[depth]))
			depth--;
	}
}

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->second_choice != y->second_choice)
		return x->second_choice ? 1 : -1;
	return x->die < y->die ? -1 : x->die > y->die;
}

static void index_file(struct modules *ms, struct priv *p, Dwarf *dw, bool alt)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die unit;
	size_t budget = INDEX_DIES;
	while (dw && budget && !interrupted && !dwarf_get_units(dw, cu, &cu, NULL, NULL, &unit, NULL))
		index_unit(ms, p, &unit, alt, &budget);
}

static void read_named(struct modules *ms, struct module *m)
{
	struct priv *p = priv_of(m);
	if (p->named_read || !modules_dwarf(ms, m))
		return;
	index_file(ms, p, p->dwarf, false);
	index_file(ms, p, p->alt, true);
	if (p->named.n)
		qsort(p->named.at, p->named.n, sizeof *p->named.at, compare_named);
	/* One that was interrupted is made again. */
	p->named_read = !interrupted;
	if (interrupted)
		p->named.n = 0;
}

struct wanted_name {
	struct modules *ms;
	struct module *m;
	uint64_t hash;
	enum named_kind kind;
	Dwarf_Die die;
	bool found, second;
};

static void find_in(void *ctx)
{
	struct wanted_name *w = ctx;
	struct priv *p = priv_of(w->m);
	read_named(w->ms, w->m);
	size_t lo = 0, hi = p->named.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (p->named.at[mid].hash < w->hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < p->named.n && p->named.at[lo].hash == w->hash; lo++) {
		const struct named *n = &p->named.at[lo];
		if (n->kind != w->kind || !die_of(p, n, &w->die))
			continue;
		w->second = n->second_choice;
		w->found = true;
		return;
	}
}

static const char *without_keyword(const char *name)
{
	static const char *const words[] = { "struct ", "union ", "enum ", "class " };
	name += strspn(name, " ");
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (!strncmp(name, words[i], strlen(words[i])))
			return name + strlen(words[i]);
	return name;
}

bool named_find(struct modules *ms, const char *name, enum named_kind kind, struct module **ret_module, Dwarf_Die *ret)
{
	uint64_t hash = hash_name(kind == NAMED_TYPE ? without_keyword(name) : name);
	bool found = false;
	for (size_t i = 0; i < ms->list.n && !interrupted; i++) {
		struct wanted_name w = { .ms = ms, .m = ms->list.at[i], .hash = hash, .kind = kind };
		if (!modules_guarded(ms, w.m, find_in, &w) || !w.found || (found && w.second))
			continue;
		*ret = w.die;
		*ret_module = w.m;
		found = true;
		if (!w.second)
			break;
	}
	return found;
}

/* "a::b::" of "a::b::name": the bytes up to the name, that of the innermost scope. */
static size_t scope_bytes(const char *name)
{
	size_t n = 0;
	for (const char *p = name; (p = strstr(p, "::")); p += 2)
		n = (size_t)(p - name) + 2;
	return n;
}

struct completion {
	struct modules *ms;
	struct module *m;
	const char *prefix, *plain; /* plain: without its scopes */
	size_t scope, skip, *cursor;
	char whole[256];
	bool found;
};

static void next_type(void *ctx)
{
	struct completion *c = ctx;
	struct priv *p = priv_of(c->m);
	read_named(c->ms, c->m);
	for (size_t k = c->skip; k < p->named.n && !interrupted; k++) {
		const struct named *n = &p->named.at[k];
		Dwarf_Die die;
		++*c->cursor;
		const char *name = n->kind == NAMED_TYPE && die_of(p, n, &die) ? dwarf_diename(&die) : NULL;
		if (!name || strncmp(name, c->plain, strlen(c->plain)))
			continue;
		/* Without a scope each type is found by its own name. */
		int m = snprintf(c->whole, sizeof c->whole, "%.*s%s", (int)c->scope, c->prefix, name);
		c->found = m < (int)sizeof c->whole && (!c->scope || hash_more(HASH_START, c->whole) == n->hash);
		if (c->found)
			return;
	}
	c->skip = c->skip > p->named.n ? c->skip - p->named.n : 0;
}

const char *modules_type_by_prefix(struct modules *ms, const char *prefix, size_t *cursor)
{
	static struct completion c;
	size_t scope = scope_bytes(prefix);
	c = (struct completion){ .ms = ms, .prefix = prefix, .plain = prefix + scope, .scope = scope, .skip = *cursor, .cursor = cursor };
	for (size_t i = 0; i < ms->list.n && !c.found; i++) {
		c.m = ms->list.at[i];
		modules_guarded(ms, c.m, next_type, &c);
	}
	return c.found ? c.whole : NULL;
}

struct wanted_entry { struct module *m; Dwarf_Off at; Dwarf_Die die; bool found; };

static void find_entry(void *ctx)
{
	struct wanted_entry *w = ctx;
	w->found = dwarf_offdie(priv_of(w->m)->dwarf, w->at, &w->die);
}

bool entry_at(struct modules *ms, struct module *m, Dwarf_Off offset, Dwarf_Die *ret)
{
	struct wanted_entry w = { .m = m, .at = offset };
	if (!modules_guarded(ms, m, find_entry, &w) || !w.found)
		return false;
	*ret = w.die;
	return true;
}

bool variable_at(struct modules *ms, uint64_t address, struct module **ret_module, Dwarf_Die *ret)
{
	struct module *m = modules_at(ms, address);
	const struct data_line *line = m ? modules_variable_at(ms, m, address) : NULL;
	*ret_module = m;
	return line && entry_at(ms, m, line->die, ret);
}

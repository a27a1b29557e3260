/* Values by their types: a list of members and elements in depth-first order, each scalar as gdb writes it. A work list stands
 * in for recursion; depth, members, elements and values are counted. */
#include "guard.h"
#include "values.h"

#include <inttypes.h>

enum { MAX_DEPTH = 16, MAX_VALUES = 20000, MAX_MEMBERS = 4096, MAX_ELEMENTS = 200, FOLD_ABOVE = 10, MAX_ARRAY_BYTES = 64 << 10 };

struct item { /* still to be written */
	struct spot at;
	const char *name;
	unsigned depth;
	uint64_t repeats;
	bool parameter, referred;
};

struct work {
	struct evaluation *e;
	struct values *v;
	VEC(struct item) stack;
	size_t marked;		/* children of one value are pushed first to last, then turned around */
	unsigned word;
	bool nomem;
};

const char *values_keep(struct values *v, char *text)
{
	char **slot = text ? vec_push(&v->strings) : NULL;
	if (!slot) {
		free(text);
		return NULL;
	}
	return *slot = text;
}

void values_free(struct values *v)
{
	for (size_t i = 0; i < v->strings.n; i++)
		free(v->strings.at[i]);
	vec_free(&v->strings);
	vec_free(&v->list);
}

static void keep_text(struct work *w, struct value *v, struct strbuf *t)
{
	v->text = values_keep(w->v, t->text);
	w->nomem |= t->failed || !v->text;
}

/* Scalars */

static bool read_bits(struct work *w, const struct item *it, uint64_t size, uint64_t *ret, const char **ret_why)
{
	uint8_t raw[9] = { 0 };
	uint64_t skip = it->at.bits ? it->at.bit_offset / 8 : 0, shift = it->at.bits ? it->at.bit_offset % 8 : 0;
	uint64_t n = it->at.bits ? (shift + it->at.bits + 7) / 8 : size;
	*ret_why = "of a size that is not read here";
	if (!n || n > sizeof raw || (!it->at.bits && n > 8) || !place_read(w->e->ms, &it->at.place, it->at.offset + skip, raw, n, ret_why))
		return false;
	uint64_t v = 0;
	for (unsigned i = 0; i < 8; i++)
		v |= (uint64_t)raw[i] << 8 * i;
	if (shift)
		v = v >> shift | (uint64_t)raw[8] << (64 - shift);
	if (it->at.bits && it->at.bits < 64)
		v &= (1ull << it->at.bits) - 1;
	*ret = v;
	return true;
}

static int64_t extend(uint64_t v, uint64_t bits)
{
	return bits && bits < 64 ? (int64_t)(v << (64 - bits)) >> (64 - bits) : (int64_t)v;
}

/* x87's format: 64 bits of mantissa, 15 of exponent (Intel SDM vol. 1, 4.2.2). */
static long double from_x87(const uint8_t *p)
{
	uint64_t mantissa = 0;
	for (int i = 0; i < 8; i++)
		mantissa |= (uint64_t)p[i] << 8 * i;
	int exponent = (p[8] | (p[9] & 0x7f) << 8) - 16383 - 63;
	long double v = (long double)mantissa;
	for (; exponent > 0 && v < __LDBL_MAX__; exponent--)
		v *= 2;
	for (; exponent < 0 && v > 0; exponent++)
		v /= 2;
	return p[9] & 0x80 ? -v : v;
}

static void add_float(struct work *w, const struct item *it, uint64_t size, struct value *v)
{
	uint8_t raw[16];
	struct strbuf t = { 0 };
	double d;
	float f;
	if (size > sizeof raw || !place_read(w->e->ms, &it->at.place, it->at.offset, raw, size < 10 ? size : 10, &v->missing))
		return;
	memcpy(&d, raw, sizeof d);
	memcpy(&f, raw, sizeof f);
	if (size == 4)
		strbuf_printf(&t, "%.9g", (double)f);
	else if (size == 8)
		strbuf_printf(&t, "%.17g", d);
	else if (size >= 10 && modules_arch(w->e->ms)->tls_below_tp) /* x86 */
		strbuf_printf(&t, "%.18Lg", from_x87(raw));
	else
		strbuf_puts(&t, "?");
	v->missing = NULL;
	keep_text(w, v, &t);
}

static void add_base(struct work *w, const struct item *it, Dwarf_Die *type, struct value *v)
{
	uint64_t encoding = 0, bits;
	struct strbuf t = { 0 };
	type_number(type, DW_AT_encoding, &encoding);
	if (encoding == DW_ATE_float) {
		add_float(w, it, v->bytes, v);
		return;
	}
	if (!read_bits(w, it, v->bytes, &bits, &v->missing))
		return;
	v->missing = NULL;
	uint64_t width = it->at.bits ? it->at.bits : v->bytes * 8;
	bool with_sign = encoding == DW_ATE_signed || encoding == DW_ATE_signed_char;
	if (encoding == DW_ATE_boolean && bits < 2)
		strbuf_puts(&t, bits ? "true" : "false");
	else if (with_sign)
		strbuf_printf(&t, "%" PRId64, extend(bits, width));
	else
		strbuf_printf(&t, "%" PRIu64, bits);
	if ((encoding == DW_ATE_signed_char || encoding == DW_ATE_unsigned_char) && v->bytes == 1) {
		strbuf_puts(&t, " ");
		strbuf_add_char(&t, (uint8_t)bits);
	}
	keep_text(w, v, &t);
}

/* gdb's generic_val_print_enum_1(): a name, or of an enum whose values are single bits their names. */
static void add_enum(struct work *w, const struct item *it, Dwarf_Die *type, struct value *v)
{
	uint64_t bits, rest, value;
	Dwarf_Die child;
	struct strbuf names = { 0 }, t = { 0 };
	bool flags = true, negative = false;
	const char *exact = NULL;
	size_t budget = MAX_MEMBERS;
	if (!read_bits(w, it, v->bytes, &bits, &v->missing))
		return;
	v->missing = NULL;
	rest = bits;
	for (bool more = !dwarf_child(type, &child); more && --budget; more = !dwarf_siblingof(&child, &child)) {
		Dwarf_Attribute attr;
		Dwarf_Sword sv;
		const char *name = dwarf_tag(&child) == DW_TAG_enumerator ? dwarf_diename(&child) : NULL;
		if (!name || !dwarf_attr(&child, DW_AT_const_value, &attr) || dwarf_formsdata(&attr, &sv))
			continue;
		negative |= sv < 0;
		value = (uint64_t)sv & (it->at.bits ? (it->at.bits < 64 ? (1ull << it->at.bits) - 1 : ~0ull) : v->bytes < 8 ? (1ull << v->bytes * 8) - 1 : ~0ull);
		flags &= bits_set(value) <= 1;
		if (value == bits && !exact)
			exact = name;
		if (value && bits_set(value) == 1 && (rest & value)) {
			strbuf_printf(&names, names.n ? " | %s" : "%s", name);
			rest &= ~value;
		}
	}
	if (exact)
		strbuf_puts(&t, exact);
	else if (flags && !negative && bits && names.n)
		strbuf_printf(&t, rest ? "(%s | unknown: 0x%" PRIx64 ")" : "(%s)", names.text, rest);
	else if (flags && !negative && bits)
		strbuf_printf(&t, "(unknown: 0x%" PRIx64 ")", bits);
	else
		strbuf_printf(&t, "%" PRId64, negative ? extend(bits, v->bytes * 8) : (int64_t)bits);
	strbuf_free(&names);
	keep_text(w, v, &t);
}

static void add_symbol(struct work *w, struct strbuf *t, uint64_t address)
{
	struct symbol s;
	if (!modules_symbol_at(w->e->ms, address, &s))
		return;
	strbuf_printf(t, " <%s", modules_function_name(w->e->ms, s.name));
	strbuf_printf(t, address != s.address ? "+%" PRIu64 ">" : ">", address - s.address);
}

static void add_string(struct work *w, struct strbuf *t, uint64_t address)
{
	uint8_t bytes[MAX_ELEMENTS + 1];
	size_t n = 0;
	while (n < sizeof bytes && modules_read(w->e->ms, address + n, &bytes[n], 1) && bytes[n])
		n++;
	bool more = n > MAX_ELEMENTS, ended = !more && n < sizeof bytes && modules_read(w->e->ms, address + n, &bytes[n], 1);
	if (!n && !ended)
		return;
	strbuf_puts(t, " ");
	strbuf_add_quoted(t, bytes, more ? MAX_ELEMENTS : n, MAX_ELEMENTS);
	strbuf_puts(t, more ? "..." : "");
}

static void push_item(struct work *w, const struct item *it);

static void add_pointer(struct work *w, const struct item *it, Dwarf_Die *type, struct value *v)
{
	Dwarf_Die target, peeled;
	struct strbuf t = { 0 };
	int tag = dwarf_tag(type);
	v->kind = tag == DW_TAG_pointer_type ? VALUE_POINTER : VALUE_REFERENCE;
	if (!read_bits(w, it, v->bytes, &v->pointer, &v->missing))
		return;
	v->missing = NULL;
	strbuf_printf(&t, v->kind == VALUE_REFERENCE ? "@0x%" PRIx64 : "0x%" PRIx64, v->pointer);
	bool known = type_ref(type, DW_AT_type, &target) && type_peel(&target, &peeled);
	if (v->kind == VALUE_POINTER && v->pointer) {
		add_symbol(w, &t, v->pointer);
		if (known && type_is_char(&peeled))
			add_string(w, &t, v->pointer);
	}
	keep_text(w, v, &t);
	if (v->kind == VALUE_REFERENCE && known && !it->referred)
		push_item(w, &(struct item){ .at = { .type = target, .place = { .in_memory = true, .address = v->pointer } }, .depth = it->depth + 1,
					     .referred = true, .repeats = 1 });
}

/* Structures */

static void push_item(struct work *w, const struct item *it)
{
	struct item *slot = vec_push(&w->stack);
	if (slot)
		*slot = *it;
	else
		w->nomem = true;
}

static void turn_around(struct work *w)
{
	for (size_t i = w->marked, k = w->stack.n; k > i + 1; i++) {
		struct item t = w->stack.at[i];
		w->stack.at[i] = w->stack.at[--k];
		w->stack.at[k] = t;
	}
}

/* DW_AT_data_bit_offset counts from the structure's start; DW_AT_bit_offset, up to DWARF 3, from the highest bit of a unit. */
static void bit_field(Dwarf_Die *member, unsigned word, struct spot *s)
{
	uint64_t from, unit = 0;
	if (!type_number(member, DW_AT_bit_size, &s->bits) || !s->bits || s->bits > 64) {
		s->bits = 0;
		return;
	}
	if (type_number(member, DW_AT_data_bit_offset, &from)) {
		s->offset += from / 8;
		s->bit_offset = from % 8;
	} else if (type_number(member, DW_AT_bit_offset, &from)) {
		if (!type_number(member, DW_AT_byte_size, &unit))
			type_size(&s->type, word, &unit);
		s->bit_offset = unit * 8 - from - s->bits;
	}
}

static bool is_static(Dwarf_Die *member)
{
	return dwarf_hasattr(member, DW_AT_external) || dwarf_hasattr(member, DW_AT_declaration);
}

bool member_spot(struct evaluation *e, const struct spot *of, Dwarf_Die *member, struct spot *ret)
{
	int tag = dwarf_tag(member);
	Dwarf_Attribute attr;
	Dwarf_Word at;
	uint64_t more;
	*ret = (struct spot){ .place = of->place, .offset = of->offset };
	if ((tag != DW_TAG_member && tag != DW_TAG_inheritance) || is_static(member) || !type_ref(member, DW_AT_type, &ret->type))
		return false;
	if (dwarf_attr(member, DW_AT_data_member_location, &attr)) {
		if (dwarf_whatform(&attr) != DW_FORM_exprloc && dwarf_whatform(&attr) != DW_FORM_block1 && !dwarf_formudata(&attr, &at))
			ret->offset += at;
		else if (locate_member(e, &attr, of->place.in_memory ? of->place.address + of->offset : 0, &more))
			ret->offset += more;
		else
			ret->missing = "where it lies in its object is not known";
	}
	bit_field(member, modules_arch(e->ms)->word, ret);
	return true;
}

static void push_member(struct work *w, const struct item *of, Dwarf_Die *member)
{
	struct item it = { .depth = of->depth + 1, .repeats = 1 };
	if (!member_spot(w->e, &of->at, member, &it.at))
		return;
	it.name = dwarf_diename(member);
	if (dwarf_tag(member) == DW_TAG_inheritance) {
		char *base = type_name(w->e->ms, &it.at.type), *name;
		it.name = base && asprintf(&name, "<%s>", base) > 0 ? values_keep(w->v, name) : NULL;
		free(base);
	}
	push_item(w, &it);
}

static void push_members(struct work *w, const struct item *it, Dwarf_Die *type)
{
	Dwarf_Die child;
	size_t n = 0;
	if (dwarf_child(type, &child))
		return;
	do
		push_member(w, it, &child);
	while (++n < MAX_MEMBERS && !dwarf_siblingof(&child, &child));
	w->v->cut |= n == MAX_MEMBERS;
}

/* A declaration: the definition may stand in another unit or module. */
bool type_definition(struct modules *ms, Dwarf_Die *type)
{
	struct module *m;
	Dwarf_Die other;
	if (!dwarf_hasattr(type, DW_AT_declaration))
		return true;
	AUTO_FREE char *name = type_name(ms, type);
	if (!name || !named_find(ms, name, NAMED_TYPE, &m, &other) || dwarf_hasattr(&other, DW_AT_declaration))
		return false;
	*type = other;
	return true;
}

/* Arrays */

static bool add_text_array(struct work *w, const struct item *it, uint64_t count, struct value *v)
{
	uint64_t n = count < MAX_ARRAY_BYTES ? count : MAX_ARRAY_BYTES;
	AUTO_FREE uint8_t *bytes = malloc(n + 1);
	struct strbuf t = { 0 };
	if (!bytes || !place_read(w->e->ms, &it->at.place, it->at.offset, bytes, n, &v->missing))
		return false;
	v->missing = NULL;
	/* As gdb: one NUL at the end belongs to the language, the others are shown. */
	size_t shown = n && n == count && !bytes[n - 1] ? n - 1 : n;
	size_t written = strbuf_add_quoted(&t, bytes, shown, MAX_ELEMENTS);
	strbuf_puts(&t, written < shown || n < count ? "..." : "");
	v->kind = VALUE_SCALAR;
	keep_text(w, v, &t);
	return true;
}

/* How many elements from this one on have the same bytes. */
static uint64_t equal_run(const uint8_t *bytes, uint64_t size, uint64_t at, uint64_t n)
{
	uint64_t k = 1;
	while (at + k < n && !memcmp(bytes + at * size, bytes + (at + k) * size, size))
		k++;
	return k;
}

static void push_elements(struct work *w, const struct item *it, Dwarf_Die *type, uint64_t count, uint64_t size, const Dwarf_Die *element)
{
	uint64_t readable = size && count > MAX_ARRAY_BYTES / size ? MAX_ARRAY_BYTES / size : count;
	AUTO_FREE uint8_t *bytes = size && readable ? malloc(readable * size) : NULL;
	const char *why;
	bool compare = bytes && place_read(w->e->ms, &it->at.place, it->at.offset, bytes, readable * size, &why);
	unsigned shown = 0;
	uint64_t i = 0;
	while (i < count && shown < MAX_ELEMENTS) {
		uint64_t run = compare && i < readable ? equal_run(bytes, size, i, readable) : 1;
		struct item e = { .at = { .type = element ? *element : *type, .place = it->at.place, .offset = it->at.offset + i * size },
				  .depth = it->depth + 1, .repeats = run > FOLD_ABOVE ? run : 1 };
		e.at.dimension = element ? 0 : it->at.dimension + 1;
		push_item(w, &e);
		/* gdb counts a fold as so many elements as it takes to make one. */
		shown += e.repeats > 1 ? FOLD_ABOVE : 1;
		i += e.repeats;
	}
	w->v->cut |= i < count;
}

static void add_array(struct work *w, const struct item *it, Dwarf_Die *type, struct value *v)
{
	uint64_t counts[MAX_DIMENSIONS] = { 0 }, size;
	Dwarf_Die element, peeled;
	bool last;
	v->kind = VALUE_ARRAY;
	type_dimensions(type, counts);
	if (!type_element(type, it->at.dimension, w->word, &element, &size, &last)) {
		v->missing = "its size is not known";
		return;
	}
	uint64_t count = counts[it->at.dimension];
	if (__builtin_mul_overflow(count, size, &v->bytes)) {
		v->missing = "its size is not known";
		return;
	}
	if (last && count && type_peel(&element, &peeled) && type_is_char(&peeled)) {
		add_text_array(w, it, count, v);
		return;
	}
	push_elements(w, it, type, count, size, last ? &element : NULL);
}

static void add_value(struct work *w, const struct item *it, struct value *v)
{
	Dwarf_Die type;
	if (it->at.void_type || !type_peel((Dwarf_Die *)&it->at.type, &type)) {
		v->missing = "void";
		return;
	}
	int tag = dwarf_tag(&type);
	type_size(&type, w->word, &v->bytes);
	switch (tag) {
	case DW_TAG_base_type:
		add_base(w, it, &type, v);
		break;
	case DW_TAG_enumeration_type:
		add_enum(w, it, &type, v);
		break;
	case DW_TAG_pointer_type:
	case DW_TAG_reference_type:
	case DW_TAG_rvalue_reference_type:
		add_pointer(w, it, &type, v);
		break;
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
		v->kind = VALUE_STRUCT;
		if (!type_definition(w->e->ms, &type))
			v->missing = "incomplete type";
		else
			push_members(w, it, &type);
		break;
	case DW_TAG_array_type:
		add_array(w, it, &type, v);
		break;
	default: {
		struct strbuf t = { 0 };
		uint64_t bits;
		if (!read_bits(w, it, v->bytes, &bits, &v->missing))
			return;
		v->missing = NULL;
		strbuf_printf(&t, "0x%" PRIx64, bits);
		keep_text(w, v, &t);
	}
	}
}

/* "int [2][3]" of which so many dimensions are behind us. */
static char *without_dimensions(char *name, unsigned n)
{
	char *run = name ? name + strlen(name) : NULL;
	while (run > name && run[-1] == ']')
		while (run > name && *--run != '[')
			;
	for (; n && run && *run == '['; n--)
		memmove(run, strchr(run, ']') + 1, strlen(strchr(run, ']')));
	return name;
}

static void next(struct work *w)
{
	struct item it = w->stack.at[--w->stack.n];
	struct value v = { .depth = it.depth, .name = it.name, .missing = it.at.missing ? it.at.missing : it.at.place.missing, .repeats = it.repeats,
			   .parameter = it.parameter };
	if (it.at.place.in_memory)
		v.address = it.at.place.address + it.at.offset;
	v.type = values_keep(w->v, without_dimensions(type_name(w->e->ms, it.at.void_type ? NULL : &it.at.type), it.at.dimension));
	w->marked = w->stack.n;
	if (!v.missing && it.depth > MAX_DEPTH)
		v.missing = "nested too deep";
	if (!v.missing)
		add_value(w, &it, &v);
	turn_around(w);
	struct value *slot = vec_push(&w->v->list);
	if (slot)
		*slot = v;
	w->nomem |= !slot || !v.type;
}

static void next_guarded(void *ctx)
{
	next(ctx);
}

/* What a type was only declared as may be defined in another file than the value's own. */
static void next_of_its_file(struct work *w)
{
	size_t before = w->stack.n - 1;
	struct item it = w->stack.at[before];
	struct module *m = it.at.void_type ? w->e->m : modules_of_die(w->e->ms, &it.at.type);
	if (m && modules_guarded(w->e->ms, m, next_guarded, w))
		return;
	w->stack.n = before;
	struct value *slot = vec_push(&w->v->list);
	w->nomem |= !slot;
	if (slot)
		*slot = (struct value){ .depth = it.depth, .name = it.name, .type = "?", .missing = "the DWARF of its type was given up", .repeats = it.repeats };
}

struct err *values_add(struct evaluation *e, const char *name, const struct spot *at, bool parameter)
{
	struct work w = { .e = e, .v = e->keep, .word = modules_arch(e->ms)->word };
	push_item(&w, &(struct item){ .at = *at, .name = name, .repeats = 1, .parameter = parameter });
	while (w.stack.n && !w.nomem && !interrupted && e->keep->list.n < MAX_VALUES)
		next_of_its_file(&w);
	e->keep->cut |= w.stack.n > 0;
	vec_free(&w.stack);
	return w.nomem ? err_nomem() : interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

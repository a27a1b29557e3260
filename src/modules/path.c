/* From a value to one inside of it or behind it: .member, ->member, [N], *. */
#include "values.h"

#include <ctype.h>
#include <inttypes.h>

enum { MAX_STEPS = 64, MAX_OPEN = 64, MAX_TRIES = 10000 };

static bool is_pointer(int tag)
{
	return tag == DW_TAG_pointer_type || tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type;
}

struct err *path_dereference(struct evaluation *e, struct spot *at)
{
	Dwarf_Die type, target;
	uint8_t raw[8] = { 0 };
	unsigned word = modules_arch(e->ms)->word;
	uint64_t address = 0;
	const char *why = at->missing;
	if (!type_peel(&at->type, &type) || !is_pointer(dwarf_tag(&type)))
		return err_new(ERR_USAGE, "what is no pointer leads nowhere");
	if (why || !place_read(e->ms, &at->place, at->offset, raw, word, &why))
		return err_new(ERR_FAULT, "the pointer: %s", why);
	for (unsigned i = 0; i < word; i++)
		address |= (uint64_t)raw[i] << 8 * i;
	*at = (struct spot){ .place = { .in_memory = true, .address = address } };
	if (type_ref(&type, DW_AT_type, &target))
		at->type = target;
	else
		at->void_type = true;
	return NULL;
}

/* In the structure itself, then in its base classes and nameless members. */
static bool find_member(struct evaluation *e, const struct spot *of, const char *name, size_t n, struct spot *ret)
{
	struct spot open[MAX_OPEN] = { *of };
	unsigned n_open = 1;
	size_t tries = MAX_TRIES;
	while (n_open) {
		struct spot at = open[--n_open], found;
		Dwarf_Die type, child;
		if (!type_peel(&at.type, &type) || !type_definition(e->ms, &type) || dwarf_child(&type, &child))
			continue;
		do {
			const char *called = dwarf_diename(&child);
			bool base = dwarf_tag(&child) == DW_TAG_inheritance || !called;
			if (!base && (strncmp(called, name, n) || called[n]))
				continue;
			if (!member_spot(e, &at, &child, &found))
				continue;
			if (!base) {
				*ret = found;
				return true;
			}
			if (n_open < MAX_OPEN)
				open[n_open++] = found;
		} while (--tries && !dwarf_siblingof(&child, &child));
	}
	return false;
}

static struct err *member(struct evaluation *e, const char **path, struct spot *at)
{
	Dwarf_Die type;
	const char *p = *path + (**path == '.' ? 1 : 2);
	size_t n = strcspn(p, ".-[ ");
	for (int i = 0; i < 2 && !at->void_type && type_peel(&at->type, &type) && is_pointer(dwarf_tag(&type)); i++)
		TRY(path_dereference(e, at));
	if (at->void_type || !n || !find_member(e, at, p, n, at))
		return err_new(ERR_NOT_FOUND, "there is no member '%.*s'", (int)n, p);
	*path = p + n;
	return NULL;
}

static struct err *element(struct evaluation *e, const char **path, struct spot *at)
{
	Dwarf_Die type, inner;
	char *end;
	uint64_t index = strtoull(*path + 1, &end, 0), size;
	bool last = true;
	if (end == *path + 1 || *end != ']')
		return err_new(ERR_USAGE, "'%s' is no index", *path);
	*path = end + 1;
	if (at->void_type || !type_peel(&at->type, &type))
		return err_new(ERR_USAGE, "void has no elements");
	if (is_pointer(dwarf_tag(&type))) {
		TRY(path_dereference(e, at));
		inner = at->type;
		if (at->void_type || !type_size(&inner, modules_arch(e->ms)->word, &size))
			return err_new(ERR_UNSUPPORTED, "the size of an element is not known");
	} else if (dwarf_tag(&type) != DW_TAG_array_type) {
		return err_new(ERR_USAGE, "what is no array has no elements");
	} else if (!type_element(&type, at->dimension, modules_arch(e->ms)->word, &inner, &size, &last)) {
		return err_new(ERR_UNSUPPORTED, "the size of an element is not known");
	}
	at->dimension = last ? 0 : at->dimension + 1;
	at->type = last ? inner : type;
	at->offset += index * size;
	return NULL;
}

struct err *path_follow(struct evaluation *e, const char *path, struct spot *at)
{
	for (int i = 0; *path; i++) {
		if (i == MAX_STEPS)
			return err_new(ERR_LIMIT, "more than %d steps", MAX_STEPS);
		if (*path == '.' || !strncmp(path, "->", 2))
			TRY(member(e, &path, at));
		else if (*path == '[')
			TRY(element(e, &path, at));
		else
			return err_new(ERR_USAGE, "'%s': .MEMBER, ->MEMBER or [N] may follow", path);
	}
	return NULL;
}

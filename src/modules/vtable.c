/* C++ classes by vtable (Itanium C++ ABI 2.5.2): an object's first word points behind a header of two words, offset-to-top
 * and the address of the class's typeinfo, whose second word points at the mangled name. */
#include "modules.h"

/* Address lies in memory that the program cannot write: .rodata, or RELRO, which ld.so has protected. */
static bool is_constant(struct module *m, uint64_t address)
{
	if (address >= m->relro_start && address < m->relro_end)
		return true;
	for (size_t i = 0; i < m->n_segments; i++)
		if (address >= m->segments[i].start && address < m->segments[i].end)
			return !(m->segments[i].prot & (PROT_W | PROT_X));
	return false;
}

/* A typeinfo: a pointer to a vtable of a __class_type_info, and one to a name in constant memory. */
static bool is_typeinfo(struct modules *ms, uint64_t address, char *name, size_t max)
{
	uint64_t vtable, text;
	struct module *m = modules_at(ms, address);
	const unsigned w = modules_arch(ms)->word;
	if (!m || address % w || !is_constant(m, address) || !modules_word(ms, address, &vtable) || !modules_word(ms, address + w, &text))
		return false;
	struct module *named = modules_at(ms, text);
	if (!modules_at(ms, vtable) || !named || !is_constant(named, text) || !ms->img)
		return false;
	/* Names of types with internal linkage begin with '*' (bits/typeinfo). */
	return image_string(ms->img, text, name, max);
}

static char *class_of(struct modules *ms, uint64_t address)
{
	const unsigned w = modules_arch(ms)->word;
	struct module *m = modules_at(ms, address);
	uint64_t info, top;
	char name[1024], mangled[1100];
	if (!m || address % w || !is_constant(m, address))
		return NULL;
	if (!modules_word(ms, address - w, &info) || !modules_word(ms, address - 2 * w, &top))
		return NULL;
	/* A secondary vtable's offset-to-top is a small negative number; the first word of an object has 0 there. */
	if (top)
		return NULL;
	if (info && is_typeinfo(ms, info, name, sizeof name)) {
		snprintf(mangled, sizeof mangled, "_ZTS%s", name + (name[0] == '*'));
		char *text = modules_demangle(mangled);
		static const char head[] = "typeinfo name for ";
		if (text && !strncmp(text, head, sizeof head - 1))
			memmove(text, text + sizeof head - 1, strlen(text) - (sizeof head - 1) + 1);
		else if (text) {
			free(text);
			text = NULL;
		}
		if (text)
			return text;
	}
	/* -fno-rtti: the symbol alone. */
	struct symbol s;
	static const char head[] = "vtable for ";
	if (!modules_symbol_at(ms, address, &s) || strncmp(s.name, "_ZTV", 4) || address != s.address + 2 * w)
		return NULL;
	char *text = modules_demangle(s.name);
	if (text && !strncmp(text, head, sizeof head - 1)) {
		memmove(text, text + sizeof head - 1, strlen(text) - (sizeof head - 1) + 1);
		return text;
	}
	free(text);
	return NULL;
}

const char *modules_vtable_class(struct modules *ms, uint64_t address)
{
	uint64_t known;
	if (map64_find(&ms->vtables, address, &known))
		return (const char *)(uintptr_t)known;
	char *text = class_of(ms, address);
	const char *kept = text ? modules_keep(ms, text) : NULL;
	map64_put(&ms->vtables, address, (uintptr_t)kept);
	return kept;
}

bool modules_looks_like_vtable(struct modules *ms, uint64_t address)
{
	uint64_t known;
	if (map64_find(&ms->looks, address, &known))
		return known;
	const unsigned w = modules_arch(ms)->word;
	struct module *m = modules_at(ms, address);
	uint64_t info;
	char name[1024];
	bool yes = m && address % w == 0 && is_constant(m, address) && modules_word(ms, address - w, &info) &&
		   (!info || is_typeinfo(ms, info, name, sizeof name));
	/* Words that are no address of a module are many and are not remembered. */
	if (m)
		map64_put(&ms->looks, address, yes);
	return yes;
}

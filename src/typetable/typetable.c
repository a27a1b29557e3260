/* Types by name, and their names. */
#include "flotsam/typetable.h"

enum { MOST_STARS = 64, DEEPEST = 32 };

void type_table_free(struct type_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->strings.n; i++)
		free(t->strings.at[i]);
	vec_free(&t->strings);
	vec_free(&t->types);
	vec_free(&t->members);
	vec_free(&t->leaves);
	vec_free(&t->parts);
	vec_free(&t->handlers);
	vec_free(&t->conditions);
	vec_free(&t->values);
	map64_free(&t->by_name);
	free(t);
}

void typed_roots_free(struct typed_roots *r)
{
	for (size_t i = 0; i < r->kept.n; i++)
		free(r->kept.at[i]);
	vec_free(&r->kept);
	vec_free(&r->list);
}

uint64_t type_table_hash(const char *name, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < n; i++)
		if (name[i] != ' ')
			h = (h ^ (uint8_t)name[i]) * 0x100000001b3u;
	return h;
}

uint32_t type_table_find(const struct type_table *t, const char *name)
{
	static const char *const words[] = { "struct ", "union ", "class " };
	uint64_t id;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (!strncmp(name, words[i], strlen(words[i])))
			name += strlen(words[i]);
	return map64_find(&t->by_name, type_table_hash(name, strlen(name)), &id) ? (uint32_t)id : 0;
}

/* What a template's user did not write: "std::map<int, long, std::less<int>, std::allocator<...> >" is std::map<int, long>. */
static const char *const defaults[] = { ", std::allocator<", ", std::less<", ", std::char_traits<", ", std::default_delete<", ", std::hash<", ", std::equal_to<" };
static const struct { const char *long_name, *name; } shorter[] = { { "std::__cxx11::basic_string<char>", "std::string" }, { "std::__cxx11::", "std::" } };

static size_t default_bytes(const char *at)
{
	size_t n = 0, depth = 0;
	for (size_t i = 0; !n && i < sizeof defaults / sizeof defaults[0]; i++)
		if (!strncmp(at, defaults[i], strlen(defaults[i])))
			n = strlen(defaults[i]);
	for (depth = n ? 1 : 0; depth && at[n]; n++)
		depth += (at[n] == '<') - (size_t)(at[n] == '>');
	return depth ? 0 : n;
}

static void add_readable(struct strbuf *to, const char *name)
{
	struct strbuf plain = { 0 };
	for (const char *at = name; *at;) {
		size_t n = default_bytes(at);
		/* "> >" was one way to write it before C++11. */
		if (!n && plain.n && *at == ' ' && at[1] == '>' && plain.text[plain.n - 1] != '-')
			n = 1;
		if (!n)
			strbuf_add(&plain, at, 1);
		at += n ? n : 1;
	}
	for (const char *at = plain.text; at && *at;) {
		size_t i = 0;
		while (i < 2 && strncmp(at, shorter[i].long_name, strlen(shorter[i].long_name)) != 0)
			i++;
		strbuf_add(to, i < 2 ? shorter[i].name : at, i < 2 ? strlen(shorter[i].name) : 1);
		at += i < 2 ? strlen(shorter[i].long_name) : 1;
	}
	strbuf_free(&plain);
}

static const char *plain_name(const struct type *t)
{
	if (t->name)
		return t->name;
	return t->kind == TYPE_VOID ? "void" : t->kind == TYPE_CODE ? "code" : t->kind == TYPE_UNION ? "union {...}" : t->kind == TYPE_STRUCT ? "struct {...}" : "?";
}

uint32_t type_table_find_readable(const struct type_table *t, const char *name)
{
	uint32_t found = type_table_find(t, name);
	uint64_t hash = type_table_hash(name, strlen(name));
	for (uint32_t id = 0; !found && id < t->types.n && !interrupted; id++) {
		struct strbuf readable = { 0 };
		if (!type_is_struct(table_type(t, id)) || !table_type(t, id)->name || !strchr(table_type(t, id)->name, '<'))
			continue;
		add_readable(&readable, table_type(t, id)->name);
		if (readable.text && type_table_hash(readable.text, readable.n) == hash)
			found = id;
		strbuf_free(&readable);
	}
	return found;
}

void type_table_name(const struct type_table *t, uint32_t type, struct strbuf *to)
{
	struct strbuf tail = { 0 }, old;
	const struct type *at = table_type(t, type);
	for (int i = 0; i < MOST_STARS && (at->kind == TYPE_POINTER || at->kind == TYPE_ARRAY); i++, at = table_type(t, at->target)) {
		old = tail;
		tail = (struct strbuf){ 0 };
		if (at->kind == TYPE_POINTER)
			strbuf_printf(&tail, "*%s", old.n ? old.text : "");
		else if (old.n && old.text[0] == '*')
			strbuf_printf(&tail, "(%s)[%llu]", old.text, (unsigned long long)at->count);
		else
			strbuf_printf(&tail, "%s[%llu]", old.n ? old.text : "", (unsigned long long)at->count);
		strbuf_free(&old);
	}
	add_readable(to, plain_name(at));
	if (tail.n)
		strbuf_printf(to, tail.text[0] == '[' ? "%s" : " %s", tail.text);
	strbuf_free(&tail);
}

/* Of the members that hold the offset the last: of a union any will do. */
static const struct type_member *member_at(const struct type_table *t, const struct type *of, uint64_t offset)
{
	const struct type_member *found = NULL;
	for (uint32_t i = 0; i < of->n_members; i++) {
		const struct type_member *m = &t->members.at[of->first_member + i];
		if (m->offset > offset)
			continue;
		/* A flexible member has no size. */
		if (offset - m->offset < m->bytes || (!m->bytes && i + 1 == of->n_members))
			found = found && of->kind == TYPE_UNION && table_type(t, found->type)->kind == TYPE_POINTER ? found : m;
	}
	return found;
}

void type_table_path(const struct type_table *t, uint32_t type, uint64_t offset, struct strbuf *to)
{
	for (int i = 0; i < DEEPEST; i++) {
		const struct type *at = table_type(t, type);
		if (at->kind == TYPE_ARRAY && table_type(t, at->target)->size) {
			uint64_t size = table_type(t, at->target)->size;
			strbuf_printf(to, "[%llu]", (unsigned long long)(offset / size));
			offset %= size;
			type = at->target;
			continue;
		}
		const struct type_member *m = type_is_struct(at) ? member_at(t, at, offset) : NULL;
		if (!m)
			break;
		if (m->name)
			strbuf_printf(to, to->n ? ".%s" : "%s", m->name);
		offset -= m->offset;
		type = m->type;
	}
}

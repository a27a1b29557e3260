/* Types whose pointers say less than what they lead to: the base classes of libstdc++'s nodes, and common headers. */
#include "parts.h"

/* A container's first (of maps, sets: second) template argument is that of its node (bits/stl_tree.h, stl_list.h, hashtable.h,
 * forward_list.h of GCC 5 and later). */
static const struct container_row { const char *container, *node, *base; unsigned argument; } rows[] = {
	{ "std::_Rb_tree<", "std::_Rb_tree_node<", "std::_Rb_tree_node_base", 1 },
	{ "std::__cxx11::_List_base<", "std::_List_node<", "std::__detail::_List_node_base", 0 },
	{ "std::_Hashtable<", "std::__detail::_Hash_node<", "std::__detail::_Hash_node_base", 1 },
	{ "std::_Fwd_list_base<", "std::_Fwd_list_node<", "std::_Fwd_list_node_base", 0 },
};
enum { N_ROWS = sizeof rows / sizeof rows[0], MOST_ALIKE = 64 };

/* Room in a node for the object that the node is for (ext/aligned_buffer.h). */
static const char *const buffers[] = { "__gnu_cxx::__aligned_membuf<", "__gnu_cxx::__aligned_buffer<" };

static bool begins(const char *name, const char *with)
{
	return name && !strncmp(name, with, strlen(with));
}

static uint64_t key_of(unsigned row, uint32_t argument)
{
	return (uint64_t)row << 32 | argument;
}

void type_table_find_nodes(struct type_table *t, size_t from)
{
	struct map64 nodes = { 0 };
	for (size_t i = from; i < t->types.n; i++)
		for (unsigned k = 0; k < 2; k++)
			if (begins(t->types.at[i].name, buffers[k]) && t->types.at[i].n_arguments)
				t->types.at[i].holds = t->types.at[i].arguments[0];
	for (size_t i = from; i < t->types.n; i++)
		for (unsigned k = 0; k < N_ROWS && t->types.at[i].kind == TYPE_STRUCT; k++)
			if (begins(t->types.at[i].name, rows[k].node) && t->types.at[i].n_arguments && t->types.at[i].size) {
				t->types.at[i].node = (uint32_t)i;
				t->types.at[i].node_base = type_table_find(t, rows[k].base);
				map64_put(&nodes, key_of(k, t->types.at[i].arguments[0]), i);
			}
	for (size_t i = from; i < t->types.n; i++)
		for (unsigned k = 0; k < N_ROWS && t->types.at[i].kind == TYPE_STRUCT; k++) {
			struct type *at = &t->types.at[i];
			uint64_t node;
			if (!begins(at->name, rows[k].container) || at->n_arguments <= rows[k].argument || !at->arguments[rows[k].argument] ||
			    !map64_find(&nodes, key_of(k, at->arguments[rows[k].argument]), &node))
				continue;
			at->node = (uint32_t)node;
			at->node_base = type_table_find(t, rows[k].base);
		}
	map64_free(&nodes);
	type_table_find_elements(t, from);
}

static uint64_t hash_member(const struct type_table *t, uint64_t h, const struct type_member *m)
{
	h = (h ^ m->offset) * 0x100000001b3u;
	h = (h ^ m->type) * 0x100000001b3u;
	return (h ^ (m->name ? type_table_hash(m->name, strlen(m->name)) : (uint64_t)table_type(t, m->type)->kind)) * 0x100000001b3u;
}

/* How many other structs begin with the same members: Lua's CommonHeader is a macro. Counted once a name. */
static bool count_beginnings(const struct type_table *t, struct map64 *counts)
{
	bool ok = true;
	for (size_t i = 1; i < t->types.n && ok; i++) {
		const struct type *at = &t->types.at[i];
		uint64_t h = 1, n;
		for (uint32_t k = 0; at->kind == TYPE_STRUCT && k + 1 < at->n_members && ok; k++) {
			h = hash_member(t, h, &t->members.at[at->first_member + k]);
			n = 0;
			map64_find(counts, h, &n);
			ok = map64_put(counts, h, n + 1);
		}
	}
	return ok;
}

static uint64_t hash_all(const struct type_table *t, const struct type *at)
{
	uint64_t h = 1;
	for (uint32_t k = 0; k < at->n_members; k++)
		h = hash_member(t, h, &t->members.at[at->first_member + k]);
	return h;
}

bool type_table_find_headers(struct type_table *t)
{
	struct map64 counts = { 0 };
	bool ok = count_beginnings(t, &counts);
	uint32_t *embedded = calloc(t->types.n + 1, sizeof *embedded);
	for (size_t i = 0; i < t->types.n && embedded; i++)
		/* Rust's ManuallyDrop<T> and the like are T. */
		for (uint32_t k = 0; k < t->types.at[i].n_parts && !begins(t->types.at[i].name, "core::mem::"); k++) {
			const struct type_part *p = &t->parts.at[t->types.at[i].first_part + k];
			if (!p->offset && t->types.at[i].size > table_type(t, p->type)->size)
				embedded[p->type]++;
		}
	for (size_t i = 0; i < t->types.n && embedded; i++) {
		struct type *at = &t->types.at[i];
		uint64_t n = 0;
		/* A lone first member says little: many structs begin with an int of the same name. */
		if (at->kind == TYPE_STRUCT && at->n_members > 1)
			map64_find(&counts, hash_all(t, at), &n);
		at->header = at->kind == TYPE_STRUCT && (n >= 2 || embedded[i] >= 2);
	}
	map64_free(&counts);
	ok &= embedded != NULL;
	free(embedded);
	return ok;
}

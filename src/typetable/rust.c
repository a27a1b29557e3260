/* Containers of Rust's standard library, whose pointers say bytes, or whose members say how much of an array is there: Vec (alloc
 * src/vec/mod.rs, src/raw_vec/mod.rs), HashMap (hashbrown src/raw.rs), BTreeMap (alloc src/collections/btree/node.rs). */
#include "parts.h"

enum { LONG_PATH = 4 };

static bool begins(const char *name, const char *with)
{
	return name && !strncmp(name, with, strlen(with));
}

/* Where a member stands, whatever struct it is in. */
static bool find_member(const struct type_table *t, const struct type *at, const char *name, uint32_t *ret)
{
	uint32_t offset = 0;
	for (int depth = 0; depth < LONG_PATH; depth++) {
		const struct type *inner = NULL;
		uint32_t inner_at = 0;
		for (uint32_t i = 0; i < at->n_members; i++) {
			const struct type_member *m = &t->members.at[at->first_member + i];
			if (m->name && !strcmp(m->name, name)) {
				*ret = offset + m->offset;
				return true;
			}
			if (table_type(t, m->type)->kind == TYPE_STRUCT && table_type(t, m->type)->size > t->word && !m->weak) {
				inner = table_type(t, m->type);
				inner_at = m->offset;
			}
		}
		if (!inner)
			return false;
		offset += inner_at;
		at = inner;
	}
	return false;
}

bool type_is_maybe(const struct type *at)
{
	return begins(at->name, "core::mem::maybe_uninit::MaybeUninit<");
}

static void bound(struct type_leaf *says, enum type_bound how, uint32_t length, uint32_t capacity)
{
	says->bound = (uint8_t)how;
	says->length = length;
	says->capacity = capacity;
}

void type_table_rust(const struct type_table *t, const struct type *at, uint32_t offset, struct type_leaf *says)
{
	uint32_t length, capacity;
	if (at->kind != TYPE_STRUCT || !at->name)
		return;
	if (begins(at->name, "alloc::vec::Vec<")) {
		if (find_member(t, at, "len", &length) && find_member(t, at, "cap", &capacity))
			bound(says, BOUND_COUNTS, offset + length, offset + capacity);
	} else if (begins(at->name, "hashbrown::raw::RawTable<")) {
		if (find_member(t, at, "bucket_mask", &length))
			bound(says, BOUND_TABLE, offset + length, offset + length);
	} else if (begins(at->name, "alloc::collections::btree::node::LeafNode<")) {
		if (find_member(t, at, "len", &length)) {
			says->limit = offset + length + 1;
			says->beyond = 0;
		}
	} else if (begins(at->name, "alloc::collections::btree::node::InternalNode<")) {
		if (find_member(t, at, "len", &length)) {
			says->limit = offset + length + 1;
			says->beyond = 1;
		}
	} else if (says->bound > BOUND_POINTERS && begins(at->name, "alloc::") && !begins(at->name, "alloc::raw_vec::")) {
		says->bound = BOUND_NOT;
	}
}

static uint32_t byte_of(const struct type_table *t)
{
	for (uint32_t i = 1; i < t->types.n; i++)
		if (table_type(t, i)->kind == TYPE_CHAR && table_type(t, i)->name && !strcmp(table_type(t, i)->name, "u8"))
			return i;
	return 0;
}

void type_table_find_elements(struct type_table *t, size_t from)
{
	uint32_t byte = byte_of(t);
	for (size_t i = from; byte && i < t->types.n; i++) {
		struct type *at = &t->types.at[i];
		if (at->kind != TYPE_STRUCT || !at->n_arguments || !at->arguments[0])
			continue;
		if (!begins(at->name, "alloc::raw_vec::RawVec<") && !begins(at->name, "hashbrown::raw::RawTable<"))
			continue;
		at->node = at->arguments[0];
		at->node_base = byte;
	}
}

/* Pointers behind a block's start: into a struct that holds what they point at (a list's links), behind a count (new[] of a class
 * with a destructor: Itanium C++ ABI 2.7), behind what an allocator of the program's own puts in front of each block. */
#include "typing.h"

static int compare_embeds(const void *a, const void *b)
{
	const struct embed *x = a, *y = b;
	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

bool spread_find_embeds(struct spread *s)
{
	const struct type_table *t = s->table;
	s->embeds = malloc((t->parts.n + 1) * sizeof *s->embeds);
	for (uint32_t i = 0; s->embeds && i < t->types.n; i++)
		for (uint32_t k = 0; k < t->types.at[i].n_parts; k++) {
			const struct type_part *p = &t->parts.at[t->types.at[i].first_part + k];
			/* Rust's ManuallyDrop<T> and the like are T. */
			const char *name = t->types.at[i].name;
			if (t->types.at[i].kind == TYPE_STRUCT && !(name && !strncmp(name, "core::mem::", 11)))
				s->embeds[s->n_embeds++] = (struct embed){ p->type, p->offset, i };
		}
	if (s->n_embeds)
		qsort(s->embeds, s->n_embeds, sizeof *s->embeds, compare_embeds);
	return s->embeds;
}

static size_t first_embed(const struct spread *s, uint32_t type, uint64_t offset)
{
	size_t lo = 0, hi = s->n_embeds;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct embed *e = &s->embeds[mid];
		if (e->type < type || (e->type == type && e->offset < offset))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The one struct that holds such a member there, fits the block and is no part of another that does. *ret_any: some struct holds one
 * there. */
static uint32_t container_of(struct spread *s, block_id id, uint32_t type, uint64_t offset, bool *ret_any)
{
	uint64_t payload = spread_payload(s, id), usable = spread_usable(s, id);
	uint32_t found = 0;
	*ret_any = false;
	for (size_t i = first_embed(s, type, offset); i < s->n_embeds && s->embeds[i].type == type && s->embeds[i].offset == offset; i++) {
		uint32_t outer = s->embeds[i].outer;
		struct fit fit = fit_type(s, outer, payload, usable);
		*ret_any = true;
		if ((fit.form != FORM_ONE && fit.form != FORM_FLEXIBLE) || !fit.rank || shape_of(s, outer, payload) == SHAPE_BAD)
			continue;
		if (found && !types_alike(s->table, found, outer))
			return 0;
		found = outer;
	}
	return found;
}

static bool is_counted(struct spread *s, block_id id, uint64_t offset, uint32_t type)
{
	uint64_t n, bytes, size = table_type(s->table, type)->size, granule = 1u << s->b->granule_shift, usable = spread_usable(s, id);
	return offset == s->word && size && spread_word(s, spread_payload(s, id), &n) && n && !__builtin_mul_overflow(n, size, &bytes) &&
	       bytes <= usable - offset && usable - offset - bytes < granule;
}

/* Objects that point at their like are links of lists and trees, which other structs begin with; elements of arrays rarely do. */
static bool is_link(const struct spread *s, uint32_t type)
{
	const struct type *at = table_type(s->table, type);
	for (uint32_t i = 0; i < at->n_leaves; i++)
		if (s->table->leaves.at[at->first_leaf + i].target == type)
			return true;
	return false;
}

uint32_t spread_container_at_start(struct spread *s, block_id id, uint32_t type, struct fit fit)
{
	bool any;
	if (!type_is_struct(table_type(s->table, type)) || table_type(s->table, type)->header || fit.rank > RANK_ARRAY)
		return 0;
	if (fit.form != FORM_TAIL && (fit.form != FORM_ARRAY || !is_link(s, type)))
		return 0;
	return container_of(s, id, type, 0, &any);
}

void spread_interior(struct spread *s, block_id id, uint64_t offset, const struct type_leaf *leaf, uint64_t word)
{
	const struct type *at = table_type(s->table, leaf->target);
	uint64_t usable = spread_usable(s, id), words = offset / s->word;
	bool any;
	if (!type_is_struct(at) || !at->size || leaf->weak || leaf->node || offset >= usable || offset % s->word)
		return;
	if (is_counted(s, id, offset, leaf->target)) {
		spread_offer(s, id, leaf->target, offset, RANK_EXACT, TYPED_COUNTED, word, false);
		return;
	}
	if (typing_of(s->g, id).type)
		return;
	if (!s->interior) {
		if (s->from.kind == FROM_BLOCK)
			s->inside[s->from.index / 64] |= 1ull << s->from.index % 64;
		return;
	}
	uint32_t outer = container_of(s, id, leaf->target, offset, &any);
	if (outer) {
		spread_offer(s, id, outer, 0, RANK_FLEXIBLE, TYPED_CONTAINER, word, false);
		return;
	}
	if (any || words > MOST_PREFIX_WORDS || at->size > usable - offset)
		return;
	struct fit fit = fit_type(s, leaf->target, spread_payload(s, id) + offset, usable - offset);
	bool adopted = s->g->prefix_hits[words] >= ADOPT_PREFIX;
	if (!fit.rank || (!adopted && fit.rank < RANK_EXACT - 1) || shape_of(s, leaf->target, spread_payload(s, id) + offset) == SHAPE_BAD)
		return;
	s->g->prefix_hits[words] += fit.rank >= RANK_EXACT - 1;
	spread_offer(s, id, leaf->target, offset, fit.rank < RANK_PREFIX ? fit.rank : RANK_PREFIX, TYPED_PREFIX, word, false);
}

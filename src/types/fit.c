/* How well a type fits a block: by its size, and by where its pointers lead. Ranks: include/flotsam/types.h. */
#include "typing.h"

enum { MOST_LOOKED_AT = 64, ELEMENTS_LOOKED_AT = 8 };

bool spread_word(struct spread *s, uint64_t address, uint64_t *ret)
{
	return image_word(s->img, address, ret);
}

/* Memory that was never touched has no bytes in a live picture, and has some in a core: what is mapped counts. */
bool points_somewhere(struct spread *s, uint64_t pointer)
{
	return blocks_at(s->b, pointer) != BLOCK_NONE || (pointer >= 4096 && picture_mapping(image_picture(s->img), pointer));
}

/* Pointers that are not null: those that lead nowhere may be a few, since members are used before they are set. */
enum shape shape_of(struct spread *s, uint32_t type, uint64_t address)
{
	const struct type *at = table_type(s->table, type);
	unsigned good = 0, bad = 0;
	uint64_t v;
	if (at->kind == TYPE_POINTER)
		return !spread_word(s, address, &v) ? SHAPE_BAD : !v || stands_for_none(s->table, v) ? SHAPE_EMPTY : points_somewhere(s, v) ? SHAPE_GOOD : SHAPE_BAD;
	for (uint32_t i = 0; i < at->n_leaves && i < MOST_LOOKED_AT; i++) {
		const struct type_leaf *l = &s->table->leaves.at[at->first_leaf + i];
		if (l->weak)
			continue;
		if (!spread_word(s, address + l->offset, &v))
			return SHAPE_BAD;
		if (!v)
			continue;
		if (l->vtable && !modules_at(s->t->priv->ms, v))
			return SHAPE_BAD;
		if (points_somewhere(s, v))
			good++;
		else if (!may_be_number(s->table, l, v))
			bad++;
	}
	return bad * 4 > good + bad ? SHAPE_BAD : good ? SHAPE_GOOD : SHAPE_EMPTY;
}

bool shape_is_sound(struct spread *s, uint32_t type, uint64_t address)
{
	return shape_of(s, type, address) != SHAPE_BAD;
}

/* malloc rounds up to its granule; a rest of a free chunk that would be no chunk stays with the block (malloc/malloc.c:
 * MINSIZE). */
static bool is_exact(const struct spread *s, uint64_t size, uint64_t n, bool *ret_near)
{
	uint64_t granule = 1u << s->b->granule_shift, least = 4 * s->b->word - s->b->word;
	*ret_near = n - size < 2 * granule;
	return n - size < granule || (n <= least && n >= size);
}

bool fit_is_exact(const struct spread *s, uint64_t size, uint64_t n)
{
	bool near;
	return size && size <= n && is_exact(s, size, n, &near);
}

static struct fit fit_pointers(struct spread *s, uint32_t type, uint64_t address)
{
	/* Of one or two the rest is garbage: the first counts. */
	return shape_of(s, type, address) == SHAPE_BAD ? (struct fit){ 0 } : (struct fit){ RANK_ARRAY, FORM_POINTERS };
}

static struct fit fit_array(struct spread *s, uint32_t type, uint64_t address, uint64_t n)
{
	uint64_t size = table_type(s->table, type)->size;
	unsigned good = 0, bad = 0;
	bool near;
	for (uint64_t i = 1; i <= ELEMENTS_LOOKED_AT && (i + 1) * size <= n; i++) {
		enum shape shape = shape_of(s, type, address + i * size);
		good += shape == SHAPE_GOOD;
		bad += shape == SHAPE_BAD;
	}
	bool whole = is_exact(s, n / size * size, n, &near);
	if (bad * 20 > good + bad)
		return (struct fit){ RANK_TAIL, FORM_TAIL };
	if (!whole && !near)
		return (struct fit){ good ? RANK_LOOSE_ARRAY : RANK_TAIL, good ? FORM_ARRAY : FORM_TAIL };
	return (struct fit){ good ? RANK_ARRAY : RANK_LOOSE_ARRAY, FORM_ARRAY };
}

/* An object with virtual functions begins with the address of their table; where there is room for more of them the first may not be
 * made yet. */
static bool lacks_vtable(struct spread *s, const struct type *at, uint64_t address, uint64_t n)
{
	const struct type_leaf *l = &s->table->leaves.at[at->first_leaf];
	uint64_t v;
	if (!at->n_leaves || l->offset || l->weak || !l->vtable)
		return false;
	if (!spread_word(s, address, &v))
		return true;
	return v ? !modules_at(s->t->priv->ms, v) : 2 * at->size > n;
}

static struct fit fit_struct(struct spread *s, uint32_t type, const struct type *at, uint64_t address, uint64_t n)
{
	bool near = false;
	if (lacks_vtable(s, at, address, n))
		return (struct fit){ 0 };
	if (at->flexible != NO_OFFSET && !at->one_element)
		return (struct fit){ RANK_FLEXIBLE, FORM_FLEXIBLE };
	if (is_exact(s, at->size, n, &near))
		return (struct fit){ at->header ? RANK_EXACT_HEADER : RANK_EXACT, FORM_ONE };
	/* Which struct it is that begins so is told elsewhere. */
	if (at->header)
		return (struct fit){ RANK_TAIL, FORM_TAIL };
	if (2 * at->size <= n)
		return fit_array(s, type, address, n);
	if (near)
		return (struct fit){ RANK_EXACT - 1, FORM_ONE };
	return (struct fit){ at->one_element ? RANK_EXACT_HEADER : RANK_TAIL, at->one_element ? FORM_FLEXIBLE : FORM_TAIL };
}

struct fit fit_type(struct spread *s, uint32_t type, uint64_t address, uint64_t n)
{
	const struct type *at = table_type(s->table, type);
	if (!at->size || at->size > n)
		return (struct fit){ 0 };
	switch (at->kind) {
	case TYPE_CHAR:
		return (struct fit){ RANK_TEXT, FORM_ARRAY };
	case TYPE_NUMBER:
		return (struct fit){ RANK_NUMBERS, FORM_ARRAY };
	case TYPE_POINTER:
		return fit_pointers(s, type, address);
	case TYPE_STRUCT:
	case TYPE_UNION:
		return fit_struct(s, type, at, address, n);
	case TYPE_VOID:
	case TYPE_ARRAY:
	case TYPE_CODE:
	case TYPE_INCOMPLETE:
		break;
	}
	return (struct fit){ 0 };
}

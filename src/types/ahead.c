/* Spreading types waits for memory, not for the processor: a block's index line, its bytes, the index lines of what it points at and
 * what is known of those are four misses one after the other. Each is fetched some blocks before it is needed; what comes of the
 * types is the same without. */
#include "typing.h"

enum { PLACE_AHEAD = 24, BYTES_AHEAD = 18, TARGETS_AHEAD = 12, KNOWN_AHEAD = 6, LINE = 64, MOST_LEAVES_AHEAD = 12 };

const struct block_place *spread_place(struct spread *s, block_id id)
{
	struct block_place *at = &s->places[id % N_PLACES];
	if (at->id != id || !at->payload)
		blocks_place(s->b, id, at);
	return at;
}

static void fetch_bytes(struct spread *s, uint64_t address, uint64_t n)
{
	const uint8_t *p;
	size_t have = image_window_dumped(s->img, address, &p);
	if (!have)
		return;
	__builtin_prefetch(p);
	if (n > LINE && have > LINE)
		__builtin_prefetch(p + LINE);
}

/* A word's target: its line of the index, or what is known of it. */
static void fetch_target(struct spread *s, uint64_t address, bool known)
{
	uint64_t v;
	if (!spread_word(s, address, &v) || !v)
		return;
	if (!known) {
		blocks_prefetch(s->b, v);
		return;
	}
	block_id id = blocks_at(s->b, v);
	if (id != BLOCK_NONE)
		__builtin_prefetch(&s->g->of[id]);
}

static void fetch_targets(struct spread *s, uint64_t address, uint32_t type, bool known)
{
	const struct type *t = table_type(s->table, type);
	if (t->kind == TYPE_POINTER)
		fetch_target(s, address, known);
	for (uint32_t i = 0; type_is_struct(t) && i < t->n_leaves && i < MOST_LEAVES_AHEAD; i++)
		fetch_target(s, address + s->table->leaves.at[t->first_leaf + i].offset, known);
}

static void fetch_object(struct spread *s, block_id id, bool known)
{
	struct typed t = typing_of(s->g, id);
	fetch_targets(s, spread_place(s, id)->payload + (uint64_t)t.base * s->word, t.type, known);
}

void spread_fetch_ahead(struct spread *s)
{
	block_id id = rounds_ahead(&s->rounds, PLACE_AHEAD);
	if (id != BLOCK_NONE) {
		blocks_prefetch_id(s->b, id);
		__builtin_prefetch(&s->g->of[id]);
	}
	if ((id = rounds_ahead(&s->rounds, BYTES_AHEAD)) != BLOCK_NONE) {
		const struct block_place *at = spread_place(s, id);
		fetch_bytes(s, at->payload, at->usable);
	}
	if ((id = rounds_ahead(&s->rounds, TARGETS_AHEAD)) != BLOCK_NONE)
		fetch_object(s, id, false);
	if ((id = rounds_ahead(&s->rounds, KNOWN_AHEAD)) != BLOCK_NONE)
		fetch_object(s, id, true);
}

void spread_fetch_element(struct spread *s, uint64_t address, uint64_t size, uint32_t type)
{
	fetch_targets(s, address + TARGETS_AHEAD * size, type, false);
	fetch_targets(s, address + KNOWN_AHEAD * size, type, true);
}

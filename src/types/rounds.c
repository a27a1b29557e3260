/* Which blocks are to be visited next. Types spread in rounds: what one round reaches is visited by the next, in the order of addresses,
 * so that the order in which it was reached says nothing. Two bits a block: of this round, and of the next. A bit stands for each
 * word of bits that is not zero, and so on up to a single word: a round of one block takes no longer than its visit. */
#include "typing.h"

bool rounds_open(struct rounds *r, size_t n)
{
	for (int i = 0; i < 2; i++) {
		struct block_set *set = &r->sets[i];
		size_t left = n;
		do {
			left = left / 64 + 1;
			set->bits[set->levels] = calloc(left, sizeof **set->bits);
			if (!set->bits[set->levels++])
				return false;
		} while (left > 1);
	}
	return true;
}

void rounds_close(struct rounds *r)
{
	for (int i = 0; i < 2; i++)
		for (unsigned level = 0; level < r->sets[i].levels; level++)
			free(r->sets[i].bits[level]);
}

void rounds_add(struct rounds *r, block_id id)
{
	const struct block_set *now = &r->sets[r->now], *next = &r->sets[!r->now];
	uint64_t at = id;
	if (now->bits[0][id / 64] >> id % 64 & 1)
		return;
	for (unsigned level = 0; level < next->levels; level++, at /= 64) {
		uint64_t *word = &next->bits[level][at / 64], was = *word;
		*word |= 1ull << at % 64;
		if (was)
			return;
	}
}

static bool is_empty(const struct block_set *set)
{
	return !set->bits[set->levels - 1][0];
}

/* The lowest. */
static block_id take(const struct block_set *set)
{
	uint64_t at = 0;
	for (unsigned level = set->levels; level-- > 0;)
		at = at * 64 + (uint64_t)__builtin_ctzll(set->bits[level][at]);
	block_id id = (block_id)at;
	for (unsigned level = 0; level < set->levels; level++, at /= 64)
		if (set->bits[level][at / 64] &= ~(1ull << at % 64))
			break;
	return id;
}

block_id rounds_take(struct rounds *r)
{
	if (!r->n_ahead && is_empty(&r->sets[r->now]))
		r->now = !r->now;
	for (; r->n_ahead < ROUNDS_AHEAD && !is_empty(&r->sets[r->now]); r->n_ahead++)
		r->ahead[(r->first + r->n_ahead) % ROUNDS_AHEAD] = take(&r->sets[r->now]);
	if (!r->n_ahead)
		return BLOCK_NONE;
	block_id id = r->ahead[r->first];
	r->first = (r->first + 1) % ROUNDS_AHEAD;
	r->n_ahead--;
	return id;
}

block_id rounds_ahead(const struct rounds *r, unsigned n)
{
	return n < r->n_ahead ? r->ahead[(r->first + n) % ROUNDS_AHEAD] : BLOCK_NONE;
}

/* Which block that nothing names leads to the most of its like: were its type known, that would carry furthest. A block that is
 * reached from others reaches no more than they do, so those alone are asked that no other leads to: of a search from block to block
 * in any order, those that it had to begin anew at and that none of the later ones reaches. */
#include "typing.h"

struct start { block_id id; uint64_t blocks; };
struct reach {
	const struct blocks *b;
	struct image *img;
	struct unknown *u;
	unsigned word;
	bool big, nomem, tired;
	uint64_t steps, most_steps;
	uint32_t *round_of;	/* by block id: in which search it was met last */
	uint32_t round;
	bool anew;		/* what an earlier search met is met again */
	VEC(block_id) queue;
	struct class_sum sum;	/* of what is met */
};

static const uint64_t MOST_WORDS = 1ull << 28;

static void meet(struct reach *r, block_id id)
{
	if (!r->u->group_of[id] || r->round_of[id] == r->round || (!r->anew && r->round_of[id]))
		return;
	block_id *slot = vec_push(&r->queue);
	r->nomem |= !slot;
	if (slot)
		*slot = id;
	r->round_of[id] = r->round;
	r->sum.blocks++;
	r->sum.bytes += blocks_usable(r->b, id);
}

struct reach_window { struct reach *r; uint64_t start; };

static bool in_window(void *ctx, uint64_t address, const uint8_t *data, size_t n)
{
	struct reach_window *w = ctx;
	struct reach *r = w->r;
	uint64_t v;
	for (size_t i = (size_t)(-(address - w->start) & (r->word - 1)); span_word((struct span){ data, n }, i, r->word, r->big, &v); i += r->word) {
		if (++r->steps > r->most_steps) {
			r->tired = true;
			return false;
		}
		block_id id = v < 4096 ? BLOCK_NONE : blocks_at(r->b, v);
		if (id != BLOCK_NONE)
			meet(r, id);
	}
	return !r->nomem && !interrupted;
}

static void search(struct reach *r, block_id from)
{
	r->sum = (struct class_sum){ 0 };
	r->queue.n = 0;
	r->round++;
	meet(r, from);
	for (size_t head = 0; head < r->queue.n && !r->nomem && !r->tired && !interrupted; head++) {
		uint64_t payload = blocks_payload(r->b, r->queue.at[head]);
		struct reach_window w = { r, payload };
		image_each_window(r->img, payload, payload + blocks_usable(r->b, r->queue.at[head]), in_window, &w);
	}
}

static int most_first(const void *a, const void *b, void *ctx)
{
	const struct start *x = a, *y = b;
	(void)ctx;
	if (x->blocks != y->blocks)
		return x->blocks > y->blocks ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* Those that the search of pass one had to begin at; of these those that no later one reaches. */
static size_t find_starts(struct reach *r, struct start **ret)
{
	VEC(struct start) all = { 0 };
	size_t n = 0;
	for (block_id id = 0; id < r->b->n && !r->nomem && !r->tired && !interrupted; id++) {
		if (!r->u->group_of[id] || r->round_of[id])
			continue;
		struct start *slot = vec_push(&all);
		r->nomem |= !slot;
		search(r, id);
		if (slot)
			*slot = (struct start){ id, r->sum.blocks };
	}
	memset(r->round_of, 0, ((size_t)r->b->n + 1) * sizeof *r->round_of);
	for (size_t i = all.n; i-- > 0 && !r->nomem && !r->tired && !interrupted;) {
		if (r->round_of[all.at[i].id])
			continue;
		search(r, all.at[i].id);
		/* Written behind what is still to be asked. */
		all.at[all.n - ++n] = (struct start){ all.at[i].id, r->sum.blocks };
	}
	if (n)
		memmove(all.at, all.at + all.n - n, n * sizeof *all.at);
	*ret = all.at;
	return n;
}

bool unknown_reach(const struct types_priv *priv, struct unknown *u)
{
	const struct arch *a = image_arch(priv->img);
	struct reach r = { .b = priv->b, .img = priv->img, .u = u, .word = a->word, .big = a->big, .most_steps = MOST_WORDS };
	struct start *starts = NULL;
	r.round_of = calloc((size_t)priv->b->n + 1, sizeof *r.round_of);
	u->reach = BLOCK_NONE;
	size_t n = r.round_of ? find_starts(&r, &starts) : 0;
	sort_many(starts, n, sizeof *starts, most_first, NULL);
	r.anew = true;
	r.most_steps += MOST_WORDS;
	for (size_t i = 0; i < n && r.round_of && !r.nomem && !r.tired && !interrupted; i++) {
		search(&r, starts[i].id);
		if (r.sum.blocks > u->reached.blocks) {
			u->reach = starts[i].id;
			u->reached = r.sum;
		}
	}
	u->reach_cut = r.tired;
	bool ok = r.round_of && !r.nomem && !interrupted;
	free(starts);
	free(r.round_of);
	vec_free(&r.queue);
	return ok;
}

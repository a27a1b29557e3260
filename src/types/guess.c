/* --guess: what shape and size alone say of blocks that nothing else names. Measured on C programs over all structs such names are
 * right in less than a fifth of all cases, so they are asked for, and marked. Each group of unknown blocks is judged as a whole. */
#include "typing.h"

enum { MOST_GROUPS = 256, MOST_LOOKED_AT = 64, LEAST_POINTERS = 2 };

struct sampled { block_id id[MOST_LOOKED_AT]; size_t n; uint64_t seen, step; uint32_t type; };

static void take_samples(const struct types *t, const struct unknown *u, struct sampled *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s[i].step = u->groups.at[i].blocks / MOST_LOOKED_AT + 1;
	for (block_id id = 0; id < t->priv->b->n && !interrupted; id++) {
		uint32_t group = u->group_of[id];
		if (!group || group > n)
			continue;
		struct sampled *of = &s[group - 1];
		if (of->seen++ % of->step == 0 && of->n < MOST_LOOKED_AT)
			of->id[of->n++] = id;
	}
}

/* Nearly all of them fit, by two pointers each at least, and no other struct fits as well. */
static uint32_t choose(const struct likely *l)
{
	const struct likely_type *best = &l->at[0], *next = l->n > 1 ? &l->at[1] : NULL;
	if (!l->n || best->fits * 10 < l->looked_at * 9 || best->pointers < (uint64_t)LEAST_POINTERS * best->fits)
		return 0;
	return next && next->fits * 2 >= best->fits && next->pointers >= (uint64_t)LEAST_POINTERS * next->fits ? 0 : best->type;
}

struct err *types_guess_all(struct types *t)
{
	const struct unknown *u;
	struct err *e = NULL;
	TRY(types_unknown(t, &u));
	size_t n = u->groups.n < MOST_GROUPS ? u->groups.n : MOST_GROUPS;
	AUTO_FREE struct sampled *s = calloc(n + 1, sizeof *s);
	if (!s)
		return err_nomem();
	take_samples(t, u, s, n);
	for (size_t i = 0; i < n && !e; i++) {
		struct likely l;
		e = types_likely(t, s[i].id, s[i].n, &l);
		s[i].type = e ? 0 : choose(&l);
	}
	for (block_id id = 0; id < t->priv->b->n && !e; id++) {
		uint32_t group = u->group_of[id];
		struct typed guess = { .type = group && group <= n ? s[group - 1].type : 0, .rank = RANK_GUESS, .form = FORM_ONE, .by = TYPED_GUESS, .doubt = 1 };
		if (guess.type && !typing_set(t->typing, id, guess))
			e = err_nomem();
	}
	/* The groups are others now. */
	unknown_free(t->priv->unknown);
	t->priv->unknown = NULL;
	return e;
}

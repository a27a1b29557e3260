/* All used blocks by type: what a table of types shows. */
#include "typing.h"

struct counting {
	struct types *t;
	struct typed_rows *ret;
	struct map64 index; /* what makes a row -> its index */
	bool nomem;
};

static enum type_tier label_tier(enum identified_by by)
{
	return by == BY_SIZE ? TIER_NONE : by == BY_TEXT || by == BY_BYTES ? TIER_D : TIER_A;
}

enum type_tier types_block_tier(struct types *t, block_id id, uint64_t payload, uint64_t usable)
{
	struct typed at = typing_of(t->typing, id);
	/* Asked for before the list of labels is looked at: it may move. */
	uint32_t label = types_plain_label(t, id, payload, usable);
	enum identified_by by = t->labels[label].by;
	if (types_prefer_typed(t->typing, &at, by))
		return types_tier(&at);
	label = types_known_label(t, id, payload, usable);
	return label_tier(t->labels[label].by);
}

static struct typed_row *row_of(struct counting *c, uint64_t key)
{
	uint64_t index;
	if (map64_find(&c->index, key, &index))
		return &c->ret->list.at[index];
	struct typed_row *row = vec_push(&c->ret->list);
	if (!row || !map64_put(&c->index, key, c->ret->list.n - 1)) {
		c->nomem = true;
		return NULL;
	}
	row->sample = BLOCK_NONE;
	return row;
}

static void name_typed(struct counting *c, struct typed_row *row, const struct typed *at, uint32_t label)
{
	row->name = strdup(c->t->labels[label].name);
	row->tier = types_tier(at);
	row->by = typed_by_name(at->by);
	row->type = at->type;
	c->nomem |= !row->name;
}

static void name_labelled(struct counting *c, struct typed_row *row, uint32_t label)
{
	const struct label *l = &c->t->labels[label];
	row->name = strdup(l->name);
	row->tier = label_tier(l->by);
	row->by = identified_by_name(l->by);
	c->nomem |= !row->name;
}

static void count(struct counting *c, const struct block_cursor *b)
{
	struct typed at = typing_of(c->t->typing, b->id);
	uint32_t label = types_plain_label(c->t, b->id, b->payload, b->usable);
	bool typed = types_prefer_typed(c->t->typing, &at, c->t->labels[label].by);
	label = typed ? types_typed_label(c->t, &at, b->payload) : types_known_label(c->t, b->id, b->payload, b->usable);
	uint64_t key = (uint64_t)label << 8 | (typed ? 1u << 4 | types_tier(&at) : 0);
	struct typed_row *row = row_of(c, key);
	if (!row)
		return;
	if (row->sample == BLOCK_NONE) {
		row->sample = b->id;
		if (typed)
			name_typed(c, row, &at, label);
		else
			name_labelled(c, row, label);
	}
	row->blocks++;
	row->bytes += b->usable;
	row->doubtful += typed && at.doubt;
	struct class_sum *tier = &c->ret->tiers[row->tier];
	tier->blocks++;
	tier->bytes += b->usable;
	c->ret->used.blocks++;
	c->ret->used.bytes += b->usable;
}

static int by_bytes(const void *a, const void *b)
{
	const struct typed_row *x = a, *y = b;
	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	return x->sample < y->sample ? -1 : x->sample > y->sample;
}

struct err *types_rows(struct types *t, struct typed_rows *ret)
{
	struct counting c = { .t = t, .ret = ret };
	struct block_cursor b;
	*ret = (struct typed_rows){ 0 };
	blocks_begin(t->priv->b, &b);
	while (blocks_next(&b) && !c.nomem && !interrupted)
		if (block_state_is_used(b.state))
			count(&c, &b);
	map64_free(&c.index);
	if (ret->list.n)
		qsort(ret->list.at, ret->list.n, sizeof *ret->list.at, by_bytes);
	return c.nomem ? err_nomem() : interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

void typed_rows_free(struct typed_rows *r)
{
	for (size_t i = 0; i < r->list.n; i++)
		free(r->list.at[i].name);
	vec_free(&r->list);
}

/* Objects that say themselves what they are: the first word is the address of a class's table of virtual functions. */
#include "typing.h"

/* The type of a class's name that fits; of those that fit the one of the vtable's own module. */
static uint32_t type_of(struct spread *s, const char *class, uint64_t vtable, uint64_t usable)
{
	uint32_t found = 0;
	struct module *m = modules_at(s->t->priv->ms, vtable);
	for (uint32_t id = type_table_find(s->table, class); id; id = table_type(s->table, id)->next) {
		const struct type *at = table_type(s->table, id);
		bool own = at->module < modules_count(s->t->priv->ms) && modules_get(s->t->priv->ms, at->module) == m;
		if (at->kind == TYPE_STRUCT && at->size && at->size <= usable && (!found || own))
			found = id;
	}
	return found;
}

static uint32_t look_up(struct spread *s, struct map64 *known, uint64_t first, uint64_t usable)
{
	uint64_t id = 0;
	/* Nearly each block's first word is another one; few of them are addresses of modules. */
	if (!modules_at(s->t->priv->ms, first))
		return 0;
	if (map64_find(known, first, &id))
		return (uint32_t)id;
	const struct type_handler *h = spread_handler(s, first);
	if (h && h->handled == HANDLED_FRAME) {
		s->nomem |= !map64_put(known, first, h->type);
		return h->type;
	}
	const char *class = modules_vtable_class(s->t->priv->ms, first);
	id = class ? type_of(s, class, first, usable) : 0;
	s->nomem |= !map64_put(known, first, id);
	return (uint32_t)id;
}

bool spread_vtables(struct spread *s)
{
	struct map64 known = { 0 };
	struct block_cursor c;
	blocks_begin(s->b, &c);
	while (blocks_next(&c) && !s->nomem && !interrupted) {
		uint64_t first;
		spread_count(s);
		if (!block_state_is_used(c.state) || !spread_word(s, c.payload, &first) || first < 4096 || first % s->word)
			continue;
		uint32_t type = look_up(s, &known, first, c.usable);
		s->from = (struct source){ 0, FROM_NOTHING };
		if (!type)
			continue;
		/* Objects of one class with others behind them are a pool's, which a typed pointer may say. */
		enum typed_form form = fit_type(s, type, c.payload, c.usable).form;
		spread_offer(s, c.id, type, 0, form == FORM_ARRAY ? RANK_POOL : form == FORM_TAIL ? RANK_EXACT - 2 : RANK_VTABLE, TYPED_VTABLE, c.payload, false);
	}
	map64_free(&known);
	return spread_run(s);
}

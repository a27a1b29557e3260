/* What a function says that is made for one type, where its address stands beside a pointer or at a block's start: the functor of a
 * std::function, the value of a std::any, a coroutine's frame. */
#include "typing.h"

const struct type_handler *spread_handler(const struct spread *s, uint64_t address)
{
	size_t lo = 0, hi = s->table->handlers.n;
	if (!hi || address < s->table->handlers.at[0].address || address > s->table->handlers.at[hi - 1].address)
		return NULL;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (s->table->handlers.at[mid].address < address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->table->handlers.n && s->table->handlers.at[lo].address == address ? &s->table->handlers.at[lo] : NULL;
}

static const struct type_handler *handler_at(struct spread *s, uint64_t word, enum type_handled handled)
{
	uint64_t v;
	const struct type_handler *h = spread_word(s, word, &v) ? spread_handler(s, v) : NULL;
	return h && h->handled == handled ? h : NULL;
}

/* _Any_data is two words in front of the manager; any's pointer stands behind it. */
bool spread_handled(struct spread *s, uint64_t pointer, uint64_t word)
{
	const struct type_handler *h = handler_at(s, word + 2 * s->word, HANDLED_FUNCTOR);
	if (!h && word >= s->word)
		h = handler_at(s, word - s->word, HANDLED_ANY);
	if (!h) {
		h = handler_at(s, word + 2 * s->word, HANDLED_WITHIN);
		if (h)
			spread_outside(s, word, h->type);
		return h != NULL;
	}
	block_id id = blocks_at(s->b, pointer);
	if (id != BLOCK_NONE && blocks_payload(s->b, id) == pointer && block_state_is_used(blocks_state(s->b, id)))
		spread_offer(s, id, h->type, 0, RANK_EXACT, TYPED_HANDLED, word, false);
	return true;
}

/* "alloc::rc::RcInner<dyn Shape>" of a Circle is "alloc::rc::RcInner<Circle>". */
static uint32_t counted_type(struct spread *s, const char *target, uint32_t type)
{
	const char *name = table_type(s->table, type)->name, *dyn = strstr(target, "<dyn ");
	struct strbuf whole = { 0 };
	if (!name || !dyn)
		return 0;
	strbuf_add(&whole, target, (size_t)(dyn - target) + 1);
	strbuf_printf(&whole, "%s>", name);
	uint32_t found = whole.text ? type_table_find(s->table, whole.text) : 0;
	strbuf_free(&whole);
	return found;
}

bool spread_trait(struct spread *s, uint64_t pointer, uint32_t target, uint64_t word, uint64_t table)
{
	const char *name = table_type(s->table, target)->name;
	const struct type_handler *h = name && strstr(name, "dyn ") ? spread_handler(s, table) : NULL;
	if (!h || h->handled != HANDLED_TRAIT)
		return false;
	uint32_t type = !strncmp(name, "dyn ", 4) ? h->type : counted_type(s, name, h->type);
	block_id id = type ? blocks_at(s->b, pointer) : BLOCK_NONE;
	if (id != BLOCK_NONE && blocks_payload(s->b, id) == pointer && block_state_is_used(blocks_state(s->b, id)))
		spread_offer(s, id, type, 0, RANK_EXACT, TYPED_HANDLED, word, false);
	return true;
}

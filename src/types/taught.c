/* What the user says that a block, or an object outside the heap, is. It ranks above all else, and types spread from it. */
#include "typing.h"

bool spread_taught(struct spread *s)
{
	const struct types_priv *priv = s->t->priv;
	for (size_t i = 0; i < priv->taught.n && !s->nomem; i++) {
		const struct lesson *l = &priv->taught.at[i];
		block_id id = blocks_at(s->b, l->address);
		s->from = (struct source){ 0, FROM_NOTHING };
		if (id == BLOCK_NONE)
			spread_outside(s, l->address, l->type);
		else
			spread_offer(s, id, l->type, l->address - blocks_payload(s->b, id), RANK_TAUGHT, TYPED_TAUGHT, 0, false);
	}
	return spread_run(s);
}

static uint32_t struct_called(const struct type_table *t, const char *name, size_t n)
{
	AUTO_FREE char *copy = strndup(name, n);
	uint32_t first = copy ? type_table_find_readable(t, copy) : 0, type = first;
	/* The first of that name may be a declaration. */
	while (type && !table_type(t, type)->size)
		type = table_type(t, type)->next;
	return type ? type : first;
}

/* "session", "struct session", "session[]", "session *[]". */
static uint32_t type_called(const struct type_table *t, const char *name)
{
	size_t n = strlen(name);
	unsigned stars = 0;
	if (n > 2 && !strcmp(name + n - 2, "[]"))
		n -= 2;
	for (; n && (name[n - 1] == ' ' || name[n - 1] == '*'); n--)
		stars += name[n - 1] == '*';
	uint32_t type = struct_called(t, name, n);
	for (; type && stars; stars--) {
		uint32_t id = 1;
		while (id < t->types.n && (table_type(t, id)->kind != TYPE_POINTER || table_type(t, id)->target != type))
			id++;
		type = id < t->types.n ? id : 0;
	}
	return type;
}

static struct err *check(const struct types_priv *priv, const struct type_table *table, uint32_t type, const char *name, uint64_t address)
{
	const uint8_t *p;
	uint64_t size = table_type(table, type)->size;
	block_id id = blocks_at(priv->b, address);
	if (id == BLOCK_NONE)
		return image_window(priv->img, address, &p) ? NULL :
			err_hint(err_new(ERR_FAULT, "nothing is at 0x%llx that could be a %s", (unsigned long long)address, name), "types names the block that would tell most");
	uint64_t payload = blocks_payload(priv->b, id), usable = blocks_usable(priv->b, id), word = image_arch(priv->img)->word;
	if (!block_state_is_used(blocks_state(priv->b, id)))
		return err_new(ERR_USAGE, "the block at 0x%llx is free", (unsigned long long)payload);
	if (address < payload || (address - payload) % word || (address - payload) / word > UINT8_MAX)
		return err_hint(err_new(ERR_USAGE, "nothing begins at 0x%llx of the block at 0x%llx", (unsigned long long)address, (unsigned long long)payload),
				"istype 0x%llx %s", (unsigned long long)payload, name);
	if (size > usable - (address - payload))
		return err_hint(err_new(ERR_USAGE, "%s has %llu bytes, which is more than the %llu of the block at 0x%llx", name, (unsigned long long)size,
					(unsigned long long)(usable - (address - payload)), (unsigned long long)address),
				"blocks used size>=%llu lists where there is room", (unsigned long long)size);
	return NULL;
}

struct err *types_teach(struct types *t, uint64_t address, const char *name)
{
	struct types_priv *priv = t->priv;
	struct type_table *table;
	if (!priv->rt)
		return err_new(ERR_UNSUPPORTED, "a census has no bytes whose types could be told");
	TRY(modules_type_table(priv->ms, &table));
	uint32_t type = type_called(table, name);
	if (!type) {
		TRY(modules_whole_type_table(priv->ms, &table));
		type = type_called(table, name);
	}
	if (!type || !table_type(table, type)->size)
		return err_hint(err_new(ERR_NOT_FOUND, type ? "of %s no more is known than its name" : "no struct is called '%s'", name),
				table->modules ? "types lists what the heap is made of" : "no module has DWARF");
	TRY(check(priv, table, type, name, address));
	struct lesson *l = NULL;
	for (size_t i = 0; i < priv->taught.n; i++)
		if (priv->taught.at[i].address == address)
			l = &priv->taught.at[i];
	l = l ? l : vec_push(&priv->taught);
	if (!l)
		return err_nomem();
	*l = (struct lesson){ address, type };
	types_forget(t);
	return NULL;
}

void types_set_guesses(struct types *t, bool guesses)
{
	if (t->guesses != guesses)
		types_forget(t);
	t->guesses = guesses;
}

void types_forget(struct types *t)
{
	typing_free(t->typing);
	unknown_free(t->priv->unknown);
	t->typing = NULL;
	t->priv->unknown = NULL;
	t->typed_labels = false;
}

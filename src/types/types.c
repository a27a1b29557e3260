/* What a block is, as far as is cheap and certain: owned by the runtime, a C++ object by its vtable, a
 * language's by its tag, text, else its size.
 * Only what the block itself shows counts; nothing is guessed. A label never holds the target's text
 * but names of types. */
#include "cpython.h"
#include "typing.h"

#include <stdio.h>

static const char *const by_names[] = { "size", "vtable", "text", "runtime", "tag", "dwarf", "content" };

const char *identified_by_name(enum identified_by by)
{
	return by_names[by];
}

static uint32_t intern(struct types *t, char *name, enum identified_by by)
{
	for (size_t i = 0; name && by != BY_SIZE && by != BY_TEXT && by != BY_TAG && by != BY_DWARF && i < t->n; i++)
		if (t->labels[i].by == by && !strcmp(t->labels[i].name, name)) {
			free(name);
			return (uint32_t)i;
		}
	if (!name || !vec_grow_((void **)&t->labels, &t->priv->cap, t->n + 1, sizeof *t->labels)) {
		free(name);
		return 0;
	}
	t->labels[t->n] = (struct label){ name, by };
	return (uint32_t)t->n++;
}

static bool add_runtime(struct types *t, uint64_t address, const char *label)
{
	block_id id = blocks_at(t->priv->b, address);
	uint64_t old;
	if (id == BLOCK_NONE || map64_find(&t->priv->runtime, id, &old))
		return true;
	return map64_put(&t->priv->runtime, id, intern(t, strdup(label), BY_RUNTIME));
}

struct err *types_open(struct blocks *b, struct image *img, struct modules *ms, struct runtime *rt, struct types **ret)
{
	struct types *t = calloc(1, sizeof *t);
	struct types_priv *priv = calloc(1, sizeof *priv);
	if (!t || !priv) {
		free(t);
		free(priv);
		return err_nomem();
	}
	t->priv = priv;
	*priv = (struct types_priv){ .b = b, .img = img, .ms = ms, .rt = rt };
	intern(t, strdup("unknown"), BY_SIZE); /* index 0: what an allocation failure leaves */
	bool ok = true;
	for (size_t i = 0; i < b->alloc->tcaches.n && ok; i++)
		ok = add_runtime(t, b->alloc->tcaches.at[i].address, "tcache");
	for (size_t i = 0; i < rt->blocks.n && ok; i++)
		ok = add_runtime(t, rt->blocks.at[i].address, rt->blocks.at[i].label);
	struct err *e = ok ? cpython_open(img, ms, rt, &priv->cpython, NULL) : err_nomem();
	if (e) {
		types_free(t);
		return e;
	}
	*ret = t;
	return NULL;
}

struct err *types_restore(struct blocks *b, struct image *img, struct label *labels, size_t n, uint32_t *label_of, struct types **ret)
{
	struct types *t = calloc(1, sizeof *t);
	struct types_priv *priv = calloc(1, sizeof *priv);
	if (!t || !priv) {
		free(t);
		free(priv);
		return err_nomem();
	}
	*priv = (struct types_priv){ .b = b, .img = img, .cap = n, .label_of = label_of };
	*t = (struct types){ .labels = labels, .n = n, .kept = true, .priv = priv };
	*ret = t;
	return NULL;
}

static uint32_t vtable_label(struct types *t, uint64_t first)
{
	struct types_priv *priv = t->priv;
	uint64_t index = 0;
	if (!first || first % image_arch(priv->img)->word)
		return 0;
	if (map64_find(&priv->by_vtable, first, &index))
		return (uint32_t)index;
	/* Few distinct words are addresses of modules at all; those are asked once. */
	if (!modules_at(priv->ms, first))
		return 0;
	const char *class = modules_vtable_class(priv->ms, first);
	if (class)
		index = intern(t, strdup(class), BY_VTABLE);
	map64_put(&priv->by_vtable, first, index);
	return (uint32_t)index;
}

/* Found when first asked for. Without memory, or when the user has no patience, blocks stay without that label. */
static uint32_t part_label(struct types *t, block_id id)
{
	struct types_priv *priv = t->priv;
	uint64_t what, index;
	if (!priv->parts_known)
		err_free(cpython_find_parts(priv->cpython, priv->img, priv->b, priv->rt, &priv->parts));
	priv->parts_known = true;
	if (!map64_find(&priv->parts, id, &what))
		return 0;
	if (map64_find(&priv->by_part, what, &index))
		return (uint32_t)index;
	index = intern(t, strdup((const char *)(uintptr_t)what), BY_TAG);
	map64_put(&priv->by_part, what, index);
	return (uint32_t)index;
}

static uint32_t tag_label(struct types *t, block_id id, uint64_t payload, uint64_t usable)
{
	struct cpython_found f;
	if (!t->priv->cpython)
		return 0;
	if (!cpython_object(t->priv->cpython, payload, usable, &f))
		return part_label(t, id);
	if (!f.tag->label)
		f.tag->label = intern(t, strdup(f.tag->name), BY_TAG);
	return f.tag->label;
}

enum { TEXT_LEAST = 4, TEXT_LOOK = 64 };

/* Bytes of the printable character at p; 0: there is none. */
static size_t printable(const uint8_t *p, size_t n)
{
	uint32_t c;
	size_t k = utf8_character(p, n, &c);
	return c == '\t' || c == '\n' || c == '\r' || !utf8_drives_terminal(c) ? k : 0;
}

/* Length of the text at the block's start: at least four printable characters up to a NUL or for a whole look. */
static size_t text_length(const struct types_priv *priv, uint64_t payload, uint64_t usable, uint8_t *to)
{
	const uint8_t *p;
	size_t n = image_window_dumped(priv->img, payload, &p), k = 0;
	if (n > usable)
		n = usable;
	if (n > TEXT_LOOK)
		n = TEXT_LOOK;
	for (size_t character; k < n && (character = printable(p + k, n - k)); k += character)
		;
	/* The look may end within a character. */
	bool cut = n == TEXT_LOOK && n - k < 4;
	if (k < TEXT_LEAST || (k < n && p[k] && !cut))
		return 0;
	/* One address in five is six printable bytes and two zeros: a short word that leads somewhere is no text. */
	uint64_t word;
	if (k <= image_arch(priv->img)->word && image_word(priv->img, payload, &word) && image_window(priv->img, word, &p))
		return 0;
	if (k <= 6 && usable > 24)
		return 0;
	return image_read(priv->img, payload, to, k) ? k : 0;
}

static uint32_t sized_label(struct types *t, uint64_t usable, bool text)
{
	uint64_t index, key = usable << 1 | text;
	if (map64_find(&t->priv->by_size, key, &index))
		return (uint32_t)index;
	char *name = NULL;
	if (asprintf(&name, text ? "char[] %llu B" : "%llu B", (unsigned long long)usable) < 0)
		return 0;
	index = intern(t, name, text ? BY_TEXT : BY_SIZE);
	map64_put(&t->priv->by_size, key, index);
	return (uint32_t)index;
}

uint32_t types_label(struct types *t, block_id id)
{
	return types_label_at(t, id, blocks_payload(t->priv->b, id), blocks_usable(t->priv->b, id));
}

uint32_t types_plain_label(struct types *t, block_id id, uint64_t payload, uint64_t usable)
{
	struct types_priv *priv = t->priv;
	uint64_t index, first = 0;
	uint8_t text[TEXT_LOOK];
	if (priv->label_of)
		return priv->label_of[id];
	if (map64_find(&priv->runtime, id, &index))
		return (uint32_t)index;
	if (image_word(priv->img, payload, &first) && (index = vtable_label(t, first)))
		return (uint32_t)index;
	if ((index = tag_label(t, id, payload, usable)))
		return (uint32_t)index;
	return sized_label(t, usable, text_length(priv, payload, usable, text));
}

static bool has_vtable(const struct type_table *t, uint32_t type)
{
	const struct type *at = table_type(t, type);
	const struct type_leaf *first = at->n_leaves ? &t->leaves.at[at->first_leaf] : NULL;
	const struct type *target = first && !first->offset ? table_type(t, first->target) : NULL;
	return target && target->kind == TYPE_POINTER && table_type(t, target->target)->kind == TYPE_CODE;
}

/* What libc owns is known better than by a pointer to it, and an object better by itself. Of what DWARF calls text or numbers
 * the bytes say more. */
bool types_prefer_typed(const struct typing *g, const struct typed *at, enum identified_by by)
{
	if (at->type && at->by == TYPED_TAUGHT)
		return true;
	/* Of which only the header is known. */
	if (!at->type || (at->form == FORM_TAIL && at->rank <= RANK_KIND_HEADER && table_type(g->table, at->type)->header))
		return false;
	if (types_tier(at) == TIER_D)
		return by == BY_SIZE;
	/* A pointer to a class of objects may say no more than a base. */
	if (by == BY_VTABLE)
		return at->by == TYPED_VTABLE || (at->rank >= RANK_EXACT - 1 && !has_vtable(g->table, at->type));
	return by == BY_SIZE || by == BY_TEXT;
}

uint32_t types_typed_label(struct types *t, const struct typed *at, uint64_t payload)
{
	struct strbuf name = { 0 };
	uint64_t index, key = (uint64_t)at->type << 4 | (uint64_t)(at->by == TYPED_GUESS) << 3 | at->form, hash;
	uint32_t root, offset;
	if (types_is_tagged(t, at, payload, &root, &offset))
		key |= ((uint64_t)root + 1) << 36;
	if (map64_find(&t->priv->by_typed, key, &index))
		return (uint32_t)index;
	types_tag_name(t, at, payload, &name);
	/* Types of several modules have one name, and one label. */
	hash = name.text ? type_table_hash(name.text, name.n) | 1ull << 63 : 0;
	if (map64_find(&t->priv->by_typed, hash, &index)) {
		strbuf_free(&name);
	} else {
		index = intern(t, name.text, BY_DWARF);
		map64_put(&t->priv->by_typed, hash, index);
	}
	map64_put(&t->priv->by_typed, key, index);
	return (uint32_t)index;
}

static uint32_t content_label(struct types *t, uint32_t label, uint64_t payload, uint64_t usable)
{
	enum content c = t->labels[label].by == BY_SIZE ? types_content(t->priv, payload, usable) : CONTENT_UNKNOWN;
	if (!c)
		return label;
	if (!t->priv->contents[c])
		t->priv->contents[c] = intern(t, strdup(types_content_name(c)), BY_BYTES);
	return t->priv->contents[c];
}

uint32_t types_known_label(struct types *t, block_id id, uint64_t payload, uint64_t usable)
{
	return content_label(t, types_plain_label(t, id, payload, usable), payload, usable);
}

uint32_t types_label_at(struct types *t, block_id id, uint64_t payload, uint64_t usable)
{
	uint32_t label = types_plain_label(t, id, payload, usable);
	if (!t->typed_labels)
		return label;
	struct typed at = typing_of(t->typing, id);
	if (types_prefer_typed(t->typing, &at, t->labels[label].by))
		return types_typed_label(t, &at, payload);
	return content_label(t, label, payload, usable);
}

const char *types_name(struct types *t, block_id id)
{
	uint32_t label = types_label(t, id);
	return t->labels[label].name;
}

enum identified_by types_identified_by(struct types *t, block_id id)
{
	/* Asked for before the list of labels is looked at: it may move. */
	uint32_t label = types_label(t, id);
	return t->labels[label].by;
}

const char *types_pooled(struct types *t, uint64_t address, uint64_t *ret_block)
{
	struct types_priv *priv = t->priv;
	return priv->cpython ? cpython_pooled(priv->cpython, priv->img, priv->rt, address, ret_block) : NULL;
}

bool types_preview(struct types *t, block_id id, char *to, size_t max)
{
	uint8_t text[TEXT_LOOK];
	size_t n = text_length(t->priv, blocks_payload(t->priv->b, id), blocks_usable(t->priv->b, id), text);
	if (!n || !max)
		return false;
	struct strbuf s = { 0 };
	strbuf_add_escaped(&s, (const char *)text, n);
	bool ok = s.text && !s.failed;
	if (ok)
		snprintf(to, max, "%s", s.text);
	strbuf_free(&s);
	return ok;
}

void types_free(struct types *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->labels[i].name);
	free(t->labels);
	cpython_close(t->priv->cpython);
	map64_free(&t->priv->parts);
	map64_free(&t->priv->by_part);
	typing_free(t->typing);
	unknown_free(t->priv->unknown);
	vec_free(&t->priv->taught);
	map64_free(&t->priv->runtime);
	map64_free(&t->priv->by_vtable);
	map64_free(&t->priv->by_size);
	map64_free(&t->priv->by_typed);
	free(t->priv->label_of);
	free(t->priv);
	free(t);
}

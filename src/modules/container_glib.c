/* GLib's containers, by the sources of 2.74: glib/glist.h, gslist.h, gqueue.h, garray.c, gstring.h, ghash.c, gtree.c. What is private
 * is checked by what it says of itself. */
#include "container_walk.h"

/* "session", of "session[]" and "session + tail" too; GLib's own as people write them. */
static int base_name(const char **name)
{
	static const char *const behind[] = { " + tail", "[]" };
	size_t n = strlen(*name);
	for (unsigned i = 0; i < 2; i++) {
		size_t m = strlen(behind[i]);
		if (n > m && !strcmp(*name + n - m, behind[i]) && strcmp(*name, "char[]"))
			n -= m;
	}
	if (n > 2 && !strncmp(*name, "_G", 2)) {
		++*name;
		n--;
	}
	return (int)n;
}

static bool same_type(const struct container_heap *heap, uint32_t a, uint32_t b)
{
	if (a == b || !a || !b)
		return a == b;
	const char *x = heap->type_name(heap->ctx, a), *y = heap->type_name(heap->ctx, b);
	int n = base_name(&x), m = base_name(&y);
	return n == m && !strncmp(x, y, (size_t)n);
}

void reading_points_at(const struct reading *r, unsigned nth, uint64_t address)
{
	const struct container_heap *heap = &r->w->heap;
	struct contents *c = &r->w->lines.at[r->at->line].contents;
	if (!heap->type || !address || c->mixed[nth] || c->n[nth] >= LOOKED_AT)
		return;
	uint32_t type = heap->type(heap->ctx, address);
	c->mixed[nth] = !type || (c->n[nth] && !same_type(heap, type, c->type[nth]));
	c->type[nth] = type;
	c->n[nth]++;
}

const char *container_of_contents(struct container_search *w, const struct line *l, const char *kind, const char **ret_element)
{
	const struct contents *c = &l->contents;
	const char *name[MAX_POINTERS] = { "gpointer", "gpointer" };
	int length[MAX_POINTERS] = { 8, 8 };
	bool known = false;
	char *element, *all;
	for (unsigned i = 0; i < MAX_POINTERS; i++)
		if (c->n[i] && !c->mixed[i]) {
			name[i] = w->heap.type_name(w->heap.ctx, c->type[i]);
			length[i] = base_name(&name[i]);
			known = true;
		}
	/* Without values it is a set, or a list. */
	if (!known || asprintf(&element, c->n[1] ? "%.*s, %.*s" : "%.*s", length[0], name[0], length[1], name[1]) < 0)
		return NULL;
	*ret_element = modules_keep(w->ms, element);
	if (!*ret_element || asprintf(&all, "%s of %s", kind, *ret_element) < 0)
		return NULL;
	return modules_keep(w->ms, all);
}

/* Members one behind the other, as the C ABI aligns them: w a word, i 4 bytes. */
static bool members(const struct reading *r, uint64_t at, const char *layout, uint64_t *ret)
{
	uint64_t offset = 0;
	for (; *layout; layout++, ret++) {
		unsigned n = *layout == 'w' ? r->w->word : 4;
		uint8_t raw[8] = { 0 };
		offset = align_up(offset, n);
		if (!modules_read(r->w->ms, at + offset, raw, n))
			return false;
		*ret = 0;
		for (unsigned i = 0; i < n; i++)
			*ret |= (uint64_t)raw[i] << 8 * i;
		offset += n;
	}
	return true;
}

/* A node, of malloc's or one of many in a block of GLib's own allocator. */
static bool owns_node(const struct reading *r, uint64_t address, uint64_t bytes)
{
	enum { ROUNDED = 64 };
	const struct container_heap *heap = &r->w->heap;
	uint64_t usable = heap->block ? heap->block(heap->ctx, address) : 0;
	uint8_t last;
	if (usable && usable < bytes + ROUNDED)
		return reading_owns(r, address, bytes);
	if (!modules_read(r->w->ms, address + bytes - 1, &last, 1))
		return false;
	r->h->bytes += bytes;
	return true;
}

/* data and next, of a GList prev. count UNKNOWN: until the end. A circle meets the node that is remembered at each power of two. */
static bool chain(const struct reading *r, uint64_t from, bool both_ways, uint64_t count)
{
	uint64_t n = 0, remembered = 0, before = 0, v[3] = { 0 };
	unsigned words = both_ways ? 3 : 2;
	for (; from && !interrupted; n++) {
		if (n == count || from == remembered || !reading_step(r) || !members(r, from, both_ways ? "www" : "ww", v) ||
		    (both_ways && n && v[2] != before) || !owns_node(r, from, (uint64_t)words * r->w->word))
			return false;
		if (r->h->seen)
			return n == 0;
		reading_points_at(r, 0, v[0]);
		if (!(n & (n - 1)))
			remembered = from;
		before = from;
		from = v[1];
	}
	r->h->items = n;
	return count == UNKNOWN || n == count || interrupted;
}

bool read_glist(const struct reading *r)
{
	return chain(r, r->at->address, true, UNKNOWN);
}

bool read_gslist(const struct reading *r)
{
	return chain(r, r->at->address, false, UNKNOWN);
}

bool read_gqueue(const struct reading *r)
{
	enum { HEAD, TAIL, LENGTH, N };
	uint64_t v[N];
	return members(r, r->at->address, "wwi", v) && !v[HEAD] == !v[TAIL] && !v[HEAD] == !v[LENGTH] && chain(r, v[HEAD], true, v[LENGTH]);
}

/* Items and what there is room for, of so many bytes each. */
static bool row(const struct reading *r, uint64_t data, uint64_t length, uint64_t capacity, uint64_t unit)
{
	uint64_t bytes;
	if (length > capacity || __builtin_mul_overflow(capacity, unit, &bytes))
		return false;
	r->h->items = length;
	r->h->capacity = capacity;
	r->h->wasted = bytes - length * unit;
	return data ? reading_owns(r, data, bytes) : !length && !capacity;
}

/* GRealArray; in older ones its third member counts bytes, as is clear where so many items would not fit. */
bool read_garray(const struct reading *r)
{
	enum { DATA, LENGTH, ROOM, UNIT, N };
	uint64_t v[N];
	const struct container_heap *heap = &r->w->heap;
	if (!members(r, r->at->address, "wiii", v) || !v[UNIT])
		return false;
	uint64_t usable = heap->block ? heap->block(heap->ctx, v[DATA]) : 0;
	bool in_bytes = usable && v[ROOM] * v[UNIT] > usable && v[ROOM] <= usable;
	if (!row(r, v[DATA], v[LENGTH], in_bytes ? v[ROOM] / v[UNIT] : v[ROOM], v[UNIT]))
		return false;
	r->h->unit = v[UNIT];
	/* What the array is made of; text may be all that its first bytes look like. */
	if (heap->type && v[DATA] && heap->type(heap->ctx, v[DATA]) != TYPE_TEXT)
		reading_points_at(r, 0, v[DATA]);
	return true;
}

/* Of n places those that lead somewhere. */
static void pointers(const struct reading *r, unsigned nth, uint64_t from, uint64_t n)
{
	const struct contents *c = &r->w->lines.at[r->at->line].contents;
	uint64_t to;
	for (uint64_t i = 0; i < n && i < LOOKED_AT && r->w->heap.type && !r->h->seen && !c->mixed[nth] && !interrupted; i++)
		if (modules_word(r->w->ms, from + i * r->w->word, &to))
			reading_points_at(r, nth, to);
}

bool read_gptrarray(const struct reading *r)
{
	enum { DATA, LENGTH, ROOM, N };
	uint64_t v[N];
	if (!members(r, r->at->address, "wii", v) || !row(r, v[DATA], v[LENGTH], v[ROOM], r->w->word))
		return false;
	pointers(r, 0, v[DATA], v[LENGTH]);
	return true;
}

bool read_gstring(const struct reading *r)
{
	enum { DATA, LENGTH, ROOM, N };
	uint64_t v[N];
	return members(r, r->at->address, "www", v) && v[DATA] && v[LENGTH] < v[ROOM] && row(r, v[DATA], v[LENGTH], v[ROOM], 1);
}

/* Keys or values of the places in use: their hash is 2 or more (ghash.c, HASH_IS_REAL). */
static void live(const struct reading *r, unsigned nth, uint64_t from, uint64_t hashes, uint64_t n)
{
	const struct contents *c = &r->w->lines.at[r->at->line].contents;
	uint64_t to, hash;
	for (uint64_t i = 0; i < n && i < LOOKED_AT && r->w->heap.type && !c->mixed[nth] && !interrupted; i++)
		if (members(r, hashes + 4 * i, "i", &hash) && hash >= 2 && modules_word(r->w->ms, from + i * r->w->word, &to))
			reading_points_at(r, nth, to);
}

/* Keys, hashes and values in three arrays; a set has its keys for values; small numbers stand in 4 bytes instead of a word. */
static bool hash(const struct reading *r, uint64_t size, uint64_t mask, uint64_t used, uint64_t occupied, const uint64_t *arrays, uint64_t function)
{
	uint64_t least = r->w->word < 4 ? r->w->word : 4;
	if (size < 8 || bits_set(size) != 1 || size > MAX_ITEMS || mask != size - 1 || used > occupied || occupied > size || !modules_at(r->w->ms, function) ||
	    !arrays[0] || !arrays[1] || !arrays[2])
		return false;
	r->h->items = used;
	r->h->capacity = size;
	if (!reading_owns(r, arrays[0], size * least) || !reading_owns(r, arrays[1], size * 4) ||
	    (arrays[2] != arrays[0] && !reading_owns(r, arrays[2], size * least)))
		return false;
	r->h->wasted = r->h->bytes / size * (size - used);
	/* What is in 4 bytes is a number. */
	const struct container_heap *heap = &r->w->heap;
	for (unsigned i = 0; i < 2 && !r->h->seen && r->w->word > 4; i++)
		if ((!i || arrays[2] != arrays[0]) && heap->block && heap->block(heap->ctx, arrays[2 * i]) >= size * r->w->word)
			live(r, i, arrays[2 * i], arrays[1], size);
	return true;
}

/* size, mod, mask, nnodes, noccupied, bits since 2.60, keys, hashes, values, hash_func; size was an int until then. */
bool read_ghash(const struct reading *r)
{
	enum { SIZE, MOD, MASK, USED, OCCUPIED, N = 10 };
	uint64_t v[N];
	if (members(r, r->at->address, "wiiiiiwwww", v) && hash(r, v[SIZE], v[MASK], v[USED], v[OCCUPIED], v + 6, v[9]))
		return true;
	*r->h = (struct holding){ .capacity = UNKNOWN };
	return members(r, r->at->address, "iiiiiwwww", v) && hash(r, v[SIZE], v[MASK], v[USED], v[OCCUPIED], v + 5, v[8]);
}

/* key, value, left, right; what follows says by a byte each whether left and right are children or neighbours (gtree.c). */
bool read_gtree(const struct reading *r)
{
	enum { ROOT, COMPARE, COUNT = 5, N };
	uint64_t v[N], n = 0, word = r->w->word, *slot;
	struct container_search *w = r->w;
	if (!members(r, r->at->address, "wwwwwi", v) || !modules_at(w->ms, v[COMPARE]) || !v[ROOT] != !v[COUNT])
		return false;
	r->h->items = v[COUNT];
	w->nodes.n = 0;
	if (v[ROOT] && !w->brief && (slot = vec_push(&w->nodes)))
		*slot = v[ROOT];
	while (w->nodes.n && !interrupted) {
		uint64_t at = w->nodes.at[--w->nodes.n], side[4];
		uint8_t flags[3];
		if (n++ == v[COUNT] || !reading_step(r) || !members(r, at, "wwww", side) || !modules_read(w->ms, at + 4 * word, flags, 3) ||
		    !owns_node(r, at, 5 * word))
			return false;
		if (r->h->seen)
			return n == 1;
		for (unsigned i = 0; i < 2; i++)
			reading_points_at(r, i, side[i]);
		for (unsigned i = 0; i < 2; i++)
			if (flags[1 + i] && (slot = vec_push(&w->nodes)))
				*slot = side[2 + i];
	}
	return w->brief || n == v[COUNT] || interrupted;
}

/* Rust's containers. Their memory comes from malloc (library/std/src/sys/alloc/unix.rs). */
#include "container_walk.h"

bool read_vec(const struct reading *r)
{
	uint64_t pointer, capacity, length, bytes, unit = r->s->unit;
	if (!reading_number(r, 0, &pointer) || !reading_number(r, 1, &capacity) || !reading_number(r, 2, &length) || length > capacity ||
	    __builtin_mul_overflow(capacity, unit, &bytes))
		return false;
	r->h->items = length;
	r->h->capacity = capacity;
	r->h->wasted = bytes - length * unit;
	if (bytes && !reading_owns(r, pointer, bytes))
		return false;
	reading_put_row(r, pointer, length);
	return true;
}

static bool ring(const struct reading *r, uint64_t pointer, uint64_t capacity, uint64_t from, uint64_t length)
{
	uint64_t bytes, unit = r->s->unit;
	if (length > capacity || (from && from >= capacity) || __builtin_mul_overflow(capacity, unit, &bytes))
		return false;
	r->h->items = length;
	r->h->capacity = capacity;
	r->h->wasted = bytes - length * unit;
	if (bytes && !reading_owns(r, pointer, bytes))
		return false;
	uint64_t behind = capacity - from, first = length < behind ? length : behind;
	reading_put_row(r, pointer + from * unit, first);
	reading_put_row(r, pointer, length - first);
	return true;
}

bool read_ring(const struct reading *r)
{
	uint64_t pointer, capacity, length, head;
	return reading_number(r, 0, &pointer) && reading_number(r, 1, &capacity) && reading_number(r, 2, &length) && reading_number(r, 3, &head) &&
	       ring(r, pointer, capacity, head, length);
}

/* Until 1.66: from tail to head, one place is never used, the capacity is a power of two. */
bool read_old_ring(const struct reading *r)
{
	uint64_t pointer, capacity, tail, head;
	return reading_number(r, 0, &pointer) && reading_number(r, 1, &capacity) && reading_number(r, 2, &tail) && reading_number(r, 3, &head) &&
	       capacity && bits_set(capacity) == 1 && ring(r, pointer, capacity, tail, (head - tail) & (capacity - 1));
}

/* hashbrown: buckets in front of their control bytes, the last one first; a byte with its high bit is of an empty one. Behind
 * those of all buckets stand those of a group again (src/raw/mod.rs, calculate_layout_for). */
bool read_swiss(const struct reading *r)
{
	enum { GROUP = 16 };
	uint64_t mask, control, items, left, data, unit = r->s->unit;
	uint8_t bytes[256];
	if (!reading_number(r, 0, &mask) || !reading_number(r, 1, &control) || !reading_number(r, 2, &items) || !reading_number(r, 3, &left))
		return false;
	if (!mask) /* the empty one that all share */
		return !items;
	uint64_t buckets = mask + 1;
	if (bits_set(buckets) != 1 || items > buckets || left > buckets || __builtin_mul_overflow(buckets, unit, &data) || data > INT64_MAX - GROUP ||
	    control < align_up(data, GROUP))
		return false;
	r->h->items = items;
	r->h->capacity = items + left;
	r->h->wasted = (buckets - items) * unit;
	data = align_up(data, GROUP);
	if (!reading_owns(r, control - data, data + buckets + GROUP))
		return false;
	for (uint64_t i = 0; r->line != UINT32_MAX && !r->h->seen && !r->w->brief && i < buckets && !interrupted; i++) {
		size_t n = buckets - i < sizeof bytes ? (size_t)(buckets - i) : sizeof bytes;
		if (i % sizeof bytes == 0 && !modules_read(r->w->ms, control + i, bytes, n))
			return false;
		if (!(bytes[i % sizeof bytes] & 0x80))
			reading_put_row(r, control - (i + 1) * unit, 1);
	}
	return true;
}

/* A node has room for 11 keys and values; one that is no leaf has 12 children behind what a leaf has (node.rs: CAPACITY, and InternalNode
 * is #[repr(C)]). */
enum { BTREE_ROOM = 11 };

static bool btree_node(const struct reading *r, uint64_t at, uint64_t height, uint64_t *ret_used)
{
	uint8_t raw[2];
	if (!reading_step(r) || !modules_read(r->w->ms, at + r->s->at[BTREE_USED], raw, sizeof raw))
		return false;
	*ret_used = raw[0] | (uint64_t)raw[1] << 8;
	return *ret_used <= BTREE_ROOM && reading_owns(r, at, r->s->node + (height ? (BTREE_ROOM + 1) * r->w->word : 0));
}

/* The values of a node, as its keys, stand in a row. */
static void put_values(const struct reading *r, uint64_t at, uint64_t n)
{
	const struct part *p = r->s->parts.n ? &r->s->parts.at[0] : NULL;
	if (!p || !r->w->shapes.list.at[p->shape].leads)
		return;
	uint32_t line = container_child(r->w, r->at->line, 1, p->name, p->shape);
	for (uint64_t i = 0; line != UINT32_MAX && i < n; i++)
		container_push(r->w, at + p->offset + i * (r->s->value - r->s->unit), p->shape, line);
}

static bool btree(const struct reading *r, uint64_t root, uint64_t height)
{
	enum { HIGHEST = 64 };
	struct container_search *w = r->w;
	uint64_t found = 0, nodes = 0, used, child, *slot;
	w->nodes.n = 0;
	if (height > HIGHEST || !(slot = vec_push(&w->nodes)))
		return false;
	*slot = root;
	if (!(slot = vec_push(&w->nodes)))
		return false;
	*slot = height;
	while (w->nodes.n && !interrupted) {
		uint64_t level = w->nodes.at[w->nodes.n - 1], at = w->nodes.at[w->nodes.n - 2];
		w->nodes.n -= 2;
		if (!btree_node(r, at, level, &used) || (r->h->seen && nodes))
			return false;
		if (r->h->seen || w->brief)
			return true;
		found += used;
		nodes++;
		reading_put_row(r, at + r->s->at[BTREE_KEYS], used);
		put_values(r, at, used);
		for (uint64_t i = 0; level && i <= used; i++) {
			if (found > r->h->items || !modules_word(w->ms, at + r->s->node + i * w->word, &child))
				return false;
			if ((slot = vec_push(&w->nodes)))
				*slot = child;
			if ((slot = vec_push(&w->nodes)))
				*slot = level - 1;
		}
	}
	r->h->capacity = nodes * BTREE_ROOM;
	r->h->wasted = (r->h->capacity - found) * r->s->value;
	return found == r->h->items || interrupted;
}

/* Without the shape of its nodes the count alone. */
bool read_btree(const struct reading *r)
{
	uint64_t root, height;
	if (!reading_number(r, BTREE_LENGTH, &r->h->items))
		return false;
	if (!r->s->node)
		return true;
	if (!reading_number(r, BTREE_NODE, &root) || !reading_number(r, BTREE_HEIGHT, &height))
		return false;
	return root ? btree(r, root, height) : !r->h->items;
}

/* Rc, Arc and their Weak: strong and weak counts, then the value (#[repr(C)]: RcBox in rc.rs, ArcInner in sync.rs). A Weak that was never
 * one of anything is all ones (Weak::new). The block is the first one's; without strong ones it is kept by Weak alone. */
bool read_counted(const struct reading *r)
{
	const struct container_heap *heap = &r->w->heap;
	bool weak = !r->s->row->step;
	uint64_t to, strong, weaks, usable, all = r->w->word == 8 ? UINT64_MAX : UINT32_MAX;
	if (!reading_number(r, 0, &to) || !to)
		return false;
	if (weak && to == all)
		return true;
	if (!modules_word(r->w->ms, to, &strong) || !modules_word(r->w->ms, to + r->w->word, &weaks) || (!strong && !weak) || !weaks)
		return false;
	r->h->items = strong != 0;
	usable = heap->block ? heap->block(heap->ctx, to) : 0;
	if (!usable)
		return !heap->block || !r->w->lines.at[r->at->line].frame;
	if ((weak && strong) || !heap->take(heap->ctx, to))
		return true;
	r->h->bytes = usable;
	if (!strong)
		r->h->wasted = usable;
	else if (r->line != UINT32_MAX)
		reading_put(r, to + r->s->value);
	return true;
}

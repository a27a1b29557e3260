/* How each form of container is read: checked, and in no more steps than it says it has items. */
#include "container_walk.h"

/* A number of 1, 2, 4 or 8 bytes; all targets are little-endian. */
bool reading_number(const struct reading *r, unsigned field, uint64_t *ret)
{
	uint8_t raw[8] = { 0 };
	unsigned n = r->s->wide[field];
	if (!n || !modules_read(r->w->ms, r->at->address + r->s->at[field], raw, n))
		return false;
	*ret = 0;
	for (unsigned i = 0; i < n; i++)
		*ret |= (uint64_t)raw[i] << 8 * i;
	return true;
}

static bool numbers(const struct reading *r, unsigned n, uint64_t *ret)
{
	for (unsigned i = 0; i < n; i++)
		if (!reading_number(r, i, &ret[i]))
			return false;
	return true;
}

static bool word_at(const struct reading *r, uint64_t address, uint64_t *ret)
{
	return modules_word(r->w->ms, address, ret);
}

bool reading_owns(const struct reading *r, uint64_t address, uint64_t bytes)
{
	const struct container_heap *heap = &r->w->heap;
	uint64_t usable = heap->block ? heap->block(heap->ctx, address) : 0;
	uint8_t end;
	if (usable) {
		if (usable < bytes)
			return false;
		if (heap->take(heap->ctx, address))
			r->h->bytes += usable;
		else
			r->h->seen = true;
		return true;
	}
	/* Memory of another allocator is as good; in a frame it is what an earlier call has left. */
	if ((heap->block && r->w->lines.at[r->at->line].frame) || (bytes && !modules_read(r->w->ms, address + bytes - 1, &end, 1)))
		return false;
	r->h->bytes += bytes;
	return true;
}

void reading_put(const struct reading *r, uint64_t address)
{
	if (r->line != UINT32_MAX && !r->h->seen)
		container_push(r->w, address, r->s->element, r->line);
}

void reading_put_row(const struct reading *r, uint64_t from, uint64_t n)
{
	if (r->line == UINT32_MAX || r->h->seen)
		return;
	for (uint64_t i = 0; i < n && !interrupted && !r->w->cut; i++)
		reading_put(r, from + i * r->s->unit);
}

/* Counts in memory of another allocator may lead in circles for as long as they please. */
bool reading_step(const struct reading *r)
{
	bool more = ++r->w->visits <= MAX_VISITS;
	r->w->cut |= !more;
	return more;
}

static bool read_span(const struct reading *r)
{
	uint64_t v[3];
	if (!numbers(r, 3, v) || v[0] > v[1] || v[1] > v[2] || (v[1] - v[0]) % r->s->unit || (v[2] - v[0]) % r->s->unit)
		return false;
	r->h->items = (v[1] - v[0]) / r->s->unit;
	r->h->capacity = (v[2] - v[0]) / r->s->unit;
	r->h->wasted = v[2] - v[1];
	if (v[2] > v[0] && !reading_owns(r, v[0], v[2] - v[0]))
		return false;
	reading_put_row(r, v[0], r->h->items);
	return true;
}

static bool read_bits(const struct reading *r)
{
	uint64_t v[4], word = r->w->word;
	if (!numbers(r, 4, v) || v[0] > v[1] || v[1] > v[3] || (v[1] - v[0]) % word || v[2] >= word * 8)
		return false;
	r->h->items = (v[1] - v[0]) * 8 + v[2];
	r->h->capacity = (v[3] - v[0]) * 8;
	r->h->wasted = (r->h->capacity - r->h->items) / 8;
	return v[3] == v[0] || reading_owns(r, v[0], v[3] - v[0]);
}

static bool read_string(const struct reading *r)
{
	enum { LOCAL_BYTES = 16 }; /* basic_string.h: _S_local_capacity = 15 / sizeof(_CharT) */
	uint64_t text, length, capacity, unit = r->s->unit, here = r->at->address + r->s->at[3];
	if (!reading_number(r, 0, &text) || !reading_number(r, 1, &length) || !unit)
		return false;
	bool local = text == here;
	if (local)
		capacity = (LOCAL_BYTES - 1) / unit;
	else if (!reading_number(r, 2, &capacity))
		return false;
	r->h->items = length;
	r->h->capacity = capacity;
	if (length > capacity || capacity > UINT64_MAX / 2 / unit)
		return false;
	if (local)
		return true;
	r->h->wasted = (capacity - length) * unit;
	return reading_owns(r, text, (capacity + 1) * unit);
}

/* The ABI before C++11's (_GLIBCXX_USE_CXX11_ABI=0; bits/cow_string.h): length, capacity and the count of other users stand in front
 * of the text, and empty ones share one in the library. */
static bool read_old_string(const struct reading *r)
{
	const struct container_heap *heap = &r->w->heap;
	uint64_t text, length, capacity, bytes, header = 3ull * r->w->word, unit = r->s->unit;
	if (!reading_number(r, 0, &text) || text < header || !word_at(r, text - header, &length) || !word_at(r, text - header + r->w->word, &capacity) ||
	    length > capacity || capacity == UINT64_MAX || __builtin_mul_overflow(capacity + 1, unit, &bytes) || bytes > INT64_MAX)
		return false;
	r->h->items = length;
	r->h->capacity = capacity;
	if (!capacity)
		return true;
	uint64_t usable = heap->block ? heap->block(heap->ctx, text - header) : 0;
	if (!usable)
		return !(heap->block && r->w->lines.at[r->at->line].frame) && reading_owns(r, text - header, header + bytes);
	if (usable < header + bytes)
		return false;
	/* Copies have the text in common: it is the first one's. */
	if (heap->take(heap->ctx, text - header)) {
		r->h->bytes = usable;
		r->h->wasted = (capacity - length) * unit;
	}
	return true;
}

static bool read_deque(const struct reading *r)
{
	enum { BUFFER = 512 }; /* stl_deque.h: _GLIBCXX_DEQUE_BUF_SIZE */
	enum { MAP, MAP_SIZE, START, START_FIRST, START_NODE, END, END_FIRST, END_NODE, N };
	uint64_t v[N], word = r->w->word, unit = r->s->unit, each = unit < BUFFER ? BUFFER / unit : 1, buffer, map_bytes;
	if (!numbers(r, N, v))
		return false;
	if (!v[MAP]) /* moved from, or not made yet */
		return !v[MAP_SIZE] && !v[START] && !v[END];
	if (__builtin_mul_overflow(v[MAP_SIZE], word, &map_bytes) || v[START_NODE] < v[MAP] || v[END_NODE] < v[START_NODE] ||
	    v[END_NODE] - v[MAP] >= map_bytes || (v[END_NODE] - v[START_NODE]) % word || v[START] < v[START_FIRST] || v[END] < v[END_FIRST] ||
	    v[START] - v[START_FIRST] >= each * unit || v[END] - v[END_FIRST] >= each * unit)
		return false;
	uint64_t nodes = (v[END_NODE] - v[START_NODE]) / word + 1, skip = (v[START] - v[START_FIRST]) / unit, last = (v[END] - v[END_FIRST]) / unit;
	if (nodes == 1 && last < skip)
		return false;
	r->h->items = (nodes - 1) * each + last - skip;
	r->h->capacity = nodes * each;
	if (!reading_owns(r, v[MAP], map_bytes))
		return false;
	for (uint64_t i = 0; i < nodes && !r->h->seen && !r->w->brief && !interrupted; i++) {
		if (!word_at(r, v[START_NODE] + i * word, &buffer) || !reading_owns(r, buffer, each * unit))
			return false;
		uint64_t from = i ? 0 : skip, to = i + 1 < nodes ? each : last;
		reading_put_row(r, buffer + from * unit, to - from);
	}
	r->h->wasted = (r->h->capacity - r->h->items) * unit;
	return true;
}

/* A node is a block of its own; one that another container had before is a circle, or all of this one was counted. */
static bool node(const struct reading *r, uint64_t address, uint64_t nth)
{
	if (!reading_step(r) || !reading_owns(r, address, r->s->node))
		return false;
	if (r->h->seen)
		return nth == 0;
	reading_put(r, address + r->s->value);
	return true;
}

/* Nodes linked one way until `end`, `count` of them when that is known. */
static bool chain(const struct reading *r, uint64_t from, uint64_t end, uint64_t count)
{
	uint64_t n = 0;
	if (r->w->brief) {
		r->h->items = count == MAX_ITEMS ? UNKNOWN : count;
		return from == end ? !count || count == MAX_ITEMS : count && reading_owns(r, from, r->s->node);
	}
	for (; from != end && n < count && !interrupted; n++) {
		if (!node(r, from, n))
			return false;
		if (r->h->seen)
			break;
		if (!word_at(r, from, &from))
			return false;
	}
	if (count == MAX_ITEMS)
		r->h->items = n;
	return r->h->seen || interrupted || (from == end && (n == count || count == MAX_ITEMS));
}

static bool read_list(const struct reading *r)
{
	uint64_t first, header = r->at->address + r->s->at[0];
	if (!word_at(r, header, &first) || !reading_number(r, 1, &r->h->items))
		return false;
	return first ? chain(r, first, header, r->h->items) : !r->h->items;
}

static bool read_chain(const struct reading *r)
{
	uint64_t first;
	return reading_number(r, 0, &first) && chain(r, first, 0, MAX_ITEMS);
}

static bool read_tree(const struct reading *r)
{
	struct container_search *w = r->w;
	uint64_t root, count, n = 0, word = w->word, *slot;
	if (!reading_number(r, 0, &root) || !reading_number(r, 1, &count) || !root != !count)
		return false;
	r->h->items = count;
	if (w->brief)
		return !root || reading_owns(r, root, r->s->node);
	w->nodes.n = 0;
	if (root && (slot = vec_push(&w->nodes)))
		*slot = root;
	while (w->nodes.n && !interrupted) {
		uint64_t at = w->nodes.at[--w->nodes.n], side[2];
		if (n == count || !node(r, at, n++))
			return false;
		if (r->h->seen)
			return true;
		for (unsigned i = 0; i < 2; i++) {
			/* stl_tree.h: colour, parent, left, right; libc++'s __tree: left, right, parent, colour */
			if (!word_at(r, at + (r->s->row->children_first ? i : 2 + i) * word, &side[i]))
				return false;
			if (side[i] && (slot = vec_push(&w->nodes)))
				*slot = side[i];
		}
	}
	return n == count || interrupted;
}

static bool read_hash(const struct reading *r)
{
	uint64_t v[4], bytes, word = r->w->word;
	if (!numbers(r, 4, v) || __builtin_mul_overflow(v[1], word, &bytes))
		return false;
	if (!v[0])
		return !v[1] && !v[3];
	r->h->items = v[3];
	r->h->capacity = v[1];
	r->h->wasted = v[1] > v[3] ? (v[1] - v[3]) * word : 0;
	if (v[0] == r->at->address + r->s->at[4])
		r->h->wasted = 0;
	else if (!reading_owns(r, v[0], bytes))
		return false;
	return r->h->seen || chain(r, v[2], 0, v[3]);
}

static bool object(const struct reading *r, uint64_t address)
{
	const struct container_heap *heap = &r->w->heap;
	if (heap->block && heap->block(heap->ctx, address) && heap->take(heap->ctx, address)) {
		r->h->bytes += heap->block(heap->ctx, address);
		return true;
	}
	return false;
}

/* What a pointer owns. new T[n] keeps n in front of them where T has a destructor to be called (Itanium C++ ABI, 2.7); other rows
 * have nothing that leads on. */
static bool pointee(const struct reading *r, uint64_t address)
{
	uint64_t n, front = address - r->w->word, bytes = r->s->rows ? r->w->heap.block(r->w->heap.ctx, front) : 0;
	if (!bytes) {
		bool fresh = object(r, address);
		if (fresh && !r->s->rows)
			reading_put(r, address);
		return fresh;
	}
	bool counted = word_at(r, front, &n) && r->s->unit && n <= (bytes - r->w->word) / r->s->unit;
	if (!object(r, front))
		return false;
	if (counted)
		reading_put_row(r, address, n);
	return true;
}

static bool read_shared(const struct reading *r)
{
	const struct container_heap *heap = &r->w->heap;
	uint64_t v[2];
	if (!numbers(r, 2, v))
		return false;
	r->h->items = v[0] != 0;
	if (!v[1] || !heap->block)
		return true;
	/* Made by make_shared the object lies in the block of its counts. */
	uint64_t counts = heap->block(heap->ctx, v[1]);
	if (!counts)
		return !r->w->lines.at[r->at->line].frame;
	bool within = v[0] > v[1] && v[0] - v[1] < counts, fresh = object(r, v[1]);
	if (within && fresh)
		reading_put(r, v[0]);
	else if (!within && v[0])
		pointee(r, v[0]);
	return true;
}

/* A block of counts, and of an object made with it, stays as long as somebody looks at it. */
static bool read_weak(const struct reading *r)
{
	const struct container_heap *heap = &r->w->heap;
	uint64_t v[2];
	uint64_t users;
	if (!numbers(r, 2, v))
		return false;
	if (!v[1] || !heap->block)
		return !v[1];
	/* shared_ptr_base.h: _Sp_counted_base has a vtable, then _M_use_count and _M_weak_count, of type _Atomic_word;
	 * libc++'s __shared_count a vtable, then __shared_owners_, a long, which is -1 when there is none. */
	if (!word_at(r, v[1] + r->w->word, &users))
		return false;
	r->h->items = (uint32_t)(r->s->row->scope ? users + 1 : users) != 0;
	if (!heap->block(heap->ctx, v[1]))
		return !r->w->lines.at[r->at->line].frame;
	if (!r->h->items && object(r, v[1]))
		r->h->wasted = r->h->bytes;
	return true;
}

static bool read_unique(const struct reading *r)
{
	const struct container_heap *heap = &r->w->heap;
	uint64_t v;
	if (!reading_number(r, 0, &v))
		return false;
	r->h->items = v != 0;
	if (!v || !heap->block)
		return true;
	if (!heap->block(heap->ctx, v) && !(r->s->rows && heap->block(heap->ctx, v - r->w->word)))
		return !r->w->lines.at[r->at->line].frame;
	r->h->seen = !pointee(r, v);
	return true;
}

static bool read_optional(const struct reading *r)
{
	uint64_t there;
	if (!reading_number(r, 0, &there) || there > 1)
		return false;
	r->h->items = there;
	if (there)
		reading_put(r, r->at->address + r->s->at[1]);
	return true;
}

static bool read_variant(const struct reading *r)
{
	uint64_t which;
	unsigned bits = r->s->wide[0] * 8;
	if (!reading_number(r, 0, &which) || !bits)
		return false;
	/* variant_npos, cut to the bytes of the index */
	bool none = which == (bits < 64 ? (1ull << bits) - 1 : UINT64_MAX);
	if (none)
		return true;
	if (which >= r->s->parts.n)
		return false;
	r->h->items = 1;
	const struct part *p = &r->s->parts.at[which];
	uint32_t line = r->w->shapes.list.at[p->shape].leads ? container_child(r->w, r->at->line, (uint32_t)which, "<>", p->shape) : UINT32_MAX;
	if (line != UINT32_MAX)
		container_push(r->w, r->at->address + p->offset, p->shape, line);
	return true;
}

static read_form_fn *const forms[N_FORMS] = {
	[FORM_LIBCXX_TEXT] = read_libcxx_text, [FORM_LIBCXX_DEQUE] = read_libcxx_deque,
	[FORM_LIBCXX_BITS] = read_libcxx_bits,
	[FORM_VEC] = read_vec, [FORM_TEXT] = read_vec, [FORM_RING] = read_ring, [FORM_OLD_RING] = read_old_ring, [FORM_SWISS] = read_swiss,
	[FORM_BTREE] = read_btree, [FORM_GLIST] = read_glist, [FORM_GSLIST] = read_gslist, [FORM_GQUEUE] = read_gqueue, [FORM_GHASH] = read_ghash,
	[FORM_GARRAY] = read_garray, [FORM_GPTRARRAY] = read_gptrarray, [FORM_GSTRING] = read_gstring, [FORM_GTREE] = read_gtree,
	[FORM_SPAN] = read_span, [FORM_BITS] = read_bits, [FORM_STRING] = read_string, [FORM_DEQUE] = read_deque, [FORM_LIST] = read_list,
	[FORM_CHAIN] = read_chain, [FORM_TREE] = read_tree, [FORM_HASH] = read_hash, [FORM_SHARED] = read_shared, [FORM_UNIQUE] = read_unique,
	[FORM_OLD_STRING] = read_old_string, [FORM_WEAK] = read_weak, [FORM_COUNTED] = read_counted, [FORM_OPTIONAL] = read_optional, [FORM_VARIANT] = read_variant,
};

bool container_measure(struct container_search *w, const struct visit *at, struct holding *ret)
{
	const struct shape *s = &w->shapes.list.at[at->shape];
	struct reading r = { .w = w, .at = at, .s = s, .h = ret, .line = UINT32_MAX };
	*ret = (struct holding){ .capacity = UNKNOWN };
	if (s->row->step && s->element != NO_SHAPE && w->shapes.list.at[s->element].leads)
		r.line = container_child(w, at->line, 0, s->row->step, s->element);
	size_t mark = w->open.n;
	if (forms[s->row->form](&r))
		return true;
	w->open.n = mark;
	return false;
}

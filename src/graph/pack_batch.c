/* A batch of references in compact form. Memory is read once: the pointers of the batch are gathered, then looked at for what
 * repeats (at which words the pointers of a block stand, how far they lead, what very many point at), then written. */
#include "edges.h"
#include "pack.h"

enum { LEAST_POINTING = 4, LEAST_SHAPE = 16, LEAST_OWN = 512, LEAST_COMMON = 32, COUNTERS = 1 << 14 };

struct item { uint64_t gap, offset; uint32_t to; uint8_t pointing, common; bool strong; };
struct outside_word { uint64_t at; uint32_t source, index; };
struct shape { uint32_t first, blocks; uint16_t table; uint8_t n; bool own; };
struct table { uint32_t counts[TARGET_SYMBOLS]; struct prefix_out code; bool by_number; };

struct batch {
	struct pack *p;
	uint32_t first, n;	/* sources */
	uint64_t *base;		/* by source: where its words are counted from */
	uint32_t *from;		/* by source: its first item */
	uint16_t *symbol;	/* by source */
	uint32_t begun;		/* sources that have their first item */
	VEC(struct item) items;
	VEC(struct outside_word) words_outside;
	VEC(uint64_t) outside;	/* addresses that they hold */
	struct map64 outside_index; /* address -> its index + 1; 0: nothing has a name there */
	uint32_t source;	/* whose words are looked through for these */
	uint32_t common[COMMON], n_common;
	struct { uint64_t offset; bool strong; uint32_t count; } pointing[POINTING + 2];
	uint32_t n_pointing;	/* the last means: told with the pointer */
	VEC(struct shape) shapes;
	VEC(struct table) tables;
	struct prefix_out sources, counts, words;
	bool nomem;
};

static void on_edge(void *ctx, const struct edge *e)
{
	struct batch *b = ctx;
	while (b->begun <= e->source)
		b->from[b->begun++] = (uint32_t)b->items.n;
	if (b->items.n == b->items.cap && (b->items.n >= UINT32_MAX / 2 || !vec_reserve(&b->items, b->items.cap + 4096))) {
		b->nomem = true;
		return;
	}
	uint64_t at = (e->from - b->base[e->source]) / b->p->step;
	b->items.at[b->items.n++] = (struct item){ .gap = at, .offset = e->t.offset, .to = e->id, .strong = e->strong };
}

static bool has_name(const struct pack *p, uint64_t v)
{
	size_t lo = 0, hi = p->named.list.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (p->named.list.at[mid].end <= v)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < p->named.list.n && p->named.list.at[lo].start <= v;
}

/* What `refs` shows besides blocks: a symbol, or a stack. */
static bool is_told(struct batch *b, uint64_t v, uint64_t *ret_index)
{
	struct pack *p = b->p;
	struct symbol s;
	if (map64_find(&b->outside_index, v, ret_index))
		return *ret_index;
	*ret_index = 0;
	if (blocks_at(p->g->blocks, v) == BLOCK_NONE && picture_mapping(image_picture(p->priv->img), v) && b->outside.n < OUTSIDE - 1) {
		pthread_mutex_lock(&p->lock);
		bool yes = modules_symbol_at(p->priv->ms, v, &s) || runtime_extent_at(p->priv->rt, v);
		pthread_mutex_unlock(&p->lock);
		uint64_t *slot = yes ? vec_push(&b->outside) : NULL;
		b->nomem |= yes && !slot;
		if (slot) {
			*slot = v;
			*ret_index = b->outside.n;
		}
	}
	b->nomem |= !map64_put(&b->outside_index, v, *ret_index);
	return *ret_index;
}

static bool on_window(void *ctx, uint64_t address, const uint8_t *data, size_t n)
{
	struct batch *b = ctx;
	const struct pack *p = b->p;
	unsigned word = p->priv->word;
	uint64_t low = p->named.list.at[0].start, bytes = p->named.list.at[p->named.list.n - 1].end - low, index;
	for (size_t i = (size_t)(b->base[b->source] - address) % word; i + word <= n && !b->nomem; i += word) {
		uint64_t v = 0;
		memcpy(&v, data + i, word);
		if (v - low >= bytes || !has_name(p, v) || !is_told(b, v, &index))
			continue;
		struct outside_word *w = vec_push(&b->words_outside);
		if (w)
			*w = (struct outside_word){ (address + i - b->base[b->source]) / p->step, b->source, (uint32_t)index - 1 };
		else
			b->nomem = true;
	}
	return !b->nomem;
}

/* Puts the words that point outside among the others, and tells each word by what is passed over in front of it. */
static bool merge(struct batch *b)
{
	VEC(struct item) all = { 0 };
	size_t outside = 0, from = 0;
	if (!vec_reserve(&all, b->items.n + b->words_outside.n + 1))
		return false;
	for (uint32_t i = 0; i < b->n; i++) {
		uint64_t next = 0;
		size_t end = b->from[i + 1];
		b->from[i] = (uint32_t)all.n;
		for (;;) {
			const struct outside_word *w = outside < b->words_outside.n ? &b->words_outside.at[outside] : NULL;
			bool mine = w && w->source == i;
			struct item x;
			if (mine && (from == end || w->at < b->items.at[from].gap)) {
				x = (struct item){ .gap = w->at, .to = b->p->g->blocks->n + w->index, .strong = true };
				outside++;
			} else if (from < end) {
				x = b->items.at[from++];
			} else {
				break;
			}
			if (x.gap < next) /* unaligned words may be told twice */
				continue;
			uint64_t at = x.gap;
			x.gap -= next;
			next = at + 1;
			all.at[all.n++] = x;
		}
	}
	b->from[b->n] = (uint32_t)all.n;
	vec_free(&b->items);
	memcpy(&b->items, &all, sizeof all);
	return true;
}

static void gather(struct batch *b)
{
	struct edge_scan s = { .g = b->p->g, .f = on_edge, .ctx = b };
	const struct blocks *blocks = b->p->g->blocks;
	struct block_cursor c;
	blocks_begin(blocks, &c);
	if (b->first < blocks->n)
		blocks_seek(&c, b->first);
	for (uint32_t i = 0; i < b->n && !b->nomem && !interrupted; i++) {
		uint64_t source = (uint64_t)b->first + i, bytes;
		if (source < blocks->n && blocks_next(&c)) {
			/* The last of a segment ends with it. */
			uint64_t end = blocks_cursor_region(&c)->end;
			b->base[i] = c.payload;
			bytes = c.payload >= end ? 0 : c.usable < end - c.payload ? c.usable : end - c.payload;
		} else {
			const struct place *place = &b->p->places.at[source - blocks->n];
			b->base[i] = align_up(place->start, b->p->priv->word);
			bytes = b->base[i] < place->end ? place->end - b->base[i] : 0;
		}
		if (bytes)
			graph_edge_block(&s, (block_id)source, b->base[i], bytes, i);
		b->source = i;
		if (bytes && source < blocks->n && b->p->named.list.n)
			image_each_window(b->p->priv->img, b->base[i], b->base[i] + bytes, on_window, b);
	}
	graph_edge_drain(&s);
	while (b->begun <= b->n)
		b->from[b->begun++] = (uint32_t)b->items.n;
}

/* Where stale words stand in a module, so that its symbols are kept. */
static bool note_stale(struct batch *b)
{
	struct pack *p = b->p;
	uint32_t n = p->g->blocks->n;
	bool ok = true;
	for (uint32_t i = b->first < n ? n - b->first : 0; i < b->n && ok; i++) {
		if (p->places.at[b->first + i - n].kind != PLACE_STALE)
			continue;
		uint64_t at = 0;
		for (uint32_t k = b->from[i]; k < b->from[i + 1] && ok; k++) {
			at += b->items.at[k].gap;
			uint64_t from = b->base[i] + at++ * p->step, *slot;
			if (!has_name(p, from))
				continue;
			pthread_mutex_lock(&p->lock);
			ok = (slot = vec_push(&p->asked));
			if (ok)
				*slot = from;
			pthread_mutex_unlock(&p->lock);
		}
	}
	return ok;
}

static uint32_t counter_of(uint32_t to)
{
	return to * 0x9e3779b1u >> 18;
}

/* What very many words of the batch point at: types, roots of trees, vtables. Counters that several targets share say which
 * are to be counted. */
static bool find_common(struct batch *b)
{
	AUTO_FREE uint32_t *counters = calloc(COUNTERS, sizeof *counters);
	struct map64 seen = { 0 }, symbol = { 0 };
	uint64_t most[COMMON + 1] = { 0 };
	bool ok = counters;
	for (size_t i = 0; i < b->items.n && ok; i++)
		counters[counter_of(b->items.at[i].to)]++;
	for (size_t i = 0; i < b->items.n && ok; i++) {
		uint64_t count = 0;
		if (counters[counter_of(b->items.at[i].to)] < LEAST_COMMON)
			continue;
		map64_find(&seen, b->items.at[i].to, &count);
		ok = map64_put(&seen, b->items.at[i].to, count + 1);
	}
	for (size_t i = 0; i < seen.cap && ok; i++) {
		if (!seen.used[i] || seen.values[i] < LEAST_COMMON)
			continue;
		uint32_t at = b->n_common < COMMON ? b->n_common++ : COMMON;
		for (; at && most[at - 1] < seen.values[i]; at--) {
			most[at] = most[at - 1];
			if (at < COMMON)
				b->common[at] = b->common[at - 1];
		}
		most[at] = seen.values[i];
		if (at < COMMON)
			b->common[at] = (uint32_t)seen.keys[i];
	}
	for (uint32_t k = 0; k < b->n_common && ok; k++)
		ok = map64_put(&symbol, b->common[k], k + 1);
	for (size_t i = 0; i < b->items.n && ok && b->n_common; i++) {
		uint64_t k = 0;
		if (counters[counter_of(b->items.at[i].to)] >= LEAST_COMMON)
			map64_find(&symbol, b->items.at[i].to, &k);
		b->items.at[i].common = (uint8_t)k;
	}
	map64_free(&seen);
	map64_free(&symbol);
	return ok;
}

/* The places in blocks at which pointers point most often; the start is the first of them. */
static bool find_pointing(struct batch *b)
{
	struct map64 seen = { 0 };
	uint32_t n = 1;
	bool ok = true;
	b->pointing[0].strong = true;
	for (size_t i = 0; i < b->items.n && ok; i++) {
		struct item *x = &b->items.at[i];
		uint64_t count = 0;
		if (!x->offset && x->strong)
			continue;
		map64_find(&seen, x->offset << 1 | x->strong, &count);
		ok = map64_put(&seen, x->offset << 1 | x->strong, count + 1);
	}
	for (size_t i = 0; i < seen.cap && ok; i++) {
		if (!seen.used[i] || seen.values[i] < LEAST_POINTING)
			continue;
		uint32_t at = n <= POINTING ? n++ : POINTING;
		if (at == POINTING && b->pointing[at].count >= seen.values[i])
			continue;
		for (; at > 1 && b->pointing[at - 1].count < seen.values[i]; at--)
			b->pointing[at] = b->pointing[at - 1];
		b->pointing[at].offset = seen.keys[i] >> 1;
		b->pointing[at].strong = seen.keys[i] & 1;
		b->pointing[at].count = (uint32_t)(seen.values[i] < UINT32_MAX ? seen.values[i] : UINT32_MAX);
	}
	map64_free(&seen);
	b->n_pointing = n + 1;
	struct map64 index = { 0 };
	for (uint32_t k = 1; k < n && ok; k++)
		ok = map64_put(&index, b->pointing[k].offset << 1 | b->pointing[k].strong, k);
	for (size_t i = 0; i < b->items.n && ok; i++) {
		struct item *x = &b->items.at[i];
		uint64_t k = n;
		if (!x->offset && x->strong)
			k = 0;
		else
			map64_find(&index, x->offset << 1 | x->strong, &k);
		x->pointing = (uint8_t)k;
	}
	map64_free(&index);
	return ok;
}

static bool same_shape(const struct batch *b, uint32_t x, uint32_t y, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (b->items.at[x + i].gap != b->items.at[y + i].gap || b->items.at[x + i].pointing != b->items.at[y + i].pointing)
			return false;
	return true;
}

/* The shape of these n items, a new one when there is none; false: no memory. */
static bool shape_of(struct batch *b, struct map64 *known, uint32_t first, uint32_t n, uint32_t *ret)
{
	uint64_t hash = n, at;
	for (uint32_t i = 0; i < n; i++) {
		hash = (hash ^ (b->items.at[first + i].gap << 5 | b->items.at[first + i].pointing)) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	for (; map64_find(known, hash, &at); hash++)
		if (b->shapes.at[at].n == n && same_shape(b, b->shapes.at[at].first, first, n)) {
			b->shapes.at[at].blocks++;
			*ret = (uint32_t)at;
			return true;
		}
	struct shape *x = vec_push(&b->shapes);
	if (!x || !map64_put(known, hash, b->shapes.n - 1))
		return false;
	*x = (struct shape){ .first = first, .n = (uint8_t)n, .blocks = 1 };
	*ret = (uint32_t)b->shapes.n - 1;
	return true;
}

static bool may_be_shape(const struct batch *b, uint32_t source)
{
	uint32_t n = b->from[source + 1] - b->from[source];
	for (uint32_t i = 0; i < n && n <= SLOTS; i++)
		if (b->items.at[b->from[source] + i].pointing == b->n_pointing - 1)
			return false;
	return n && n <= SLOTS;
}

/* Keeps the shapes that many blocks have, and gives them symbols and, where that pays, tables of their own. */
static bool choose_shapes(struct batch *b, uint32_t *symbol_of)
{
	size_t kept = 0;
	for (size_t i = 0; i < b->shapes.n; i++) {
		struct shape x = b->shapes.at[i];
		symbol_of[i] = SOURCE_LISTED;
		if (x.blocks < LEAST_SHAPE || kept == SHAPES)
			continue;
		symbol_of[i] = (uint32_t)kept + SOURCE_SHAPES;
		x.own = x.blocks >= LEAST_OWN;
		x.table = (uint16_t)b->tables.n;
		for (uint32_t k = 0; k < x.n && x.own; k++)
			if (!vec_push(&b->tables))
				return false;
		b->shapes.at[kept++] = x;
	}
	b->shapes.n = kept;
	return true;
}

static bool find_shapes(struct batch *b)
{
	struct map64 known = { 0 };
	AUTO_FREE uint32_t *shape = malloc((b->n + 1ul) * sizeof *shape), *symbol_of = NULL;
	bool ok = shape && vec_push(&b->tables) && vec_push(&b->tables);
	for (uint32_t i = 0; i < b->n && ok; i++)
		if (may_be_shape(b, i))
			ok = shape_of(b, &known, b->from[i], b->from[i + 1] - b->from[i], &shape[i]);
	map64_free(&known);
	if (!ok || !(symbol_of = malloc((b->shapes.n + 1) * sizeof *symbol_of)) || !choose_shapes(b, symbol_of))
		return false;
	for (uint32_t i = 0; i < b->n; i++)
		b->symbol[i] = (uint16_t)(b->from[i] == b->from[i + 1] ? SOURCE_EMPTY : may_be_shape(b, i) ? symbol_of[shape[i]] : SOURCE_LISTED);
	return true;
}

/* The table that the k-th pointer of a source with this symbol uses. */
static struct table *table_of(const struct batch *b, uint32_t symbol, uint32_t k)
{
	const struct shape *x = symbol >= SOURCE_SHAPES ? &b->shapes.at[symbol - SOURCE_SHAPES] : NULL;
	return &b->tables.at[x && x->own ? x->table + k : k ? 1 : 0];
}

struct told { uint32_t symbol, extra; unsigned bits; };

static unsigned extra_bits(uint32_t symbol, unsigned number)
{
	if (symbol == TARGET_NUMBER)
		return number + 1;
	return symbol >= TARGET_COMMON || symbol == TARGET_SELF || symbol == TARGET_AGAIN ? 0 : (symbol < TARGET_AGAIN ? symbol - TARGET_AHEAD : symbol - TARGET_ON) % 32;
}

static struct told tell_way(uint32_t from, uint32_t to, uint32_t same, uint32_t ahead, uint32_t behind)
{
	uint32_t way = to > from ? to - from : from - to;
	unsigned bits = bit_length(way);
	if (!bits)
		return (struct told){ same, 0, 0 };
	return (struct told){ (to > from ? ahead : behind) + bits - 1, way & ((1u << (bits - 1)) - 1), bits - 1 };
}

static struct told tell_number(uint32_t n, uint32_t to)
{
	uint32_t few;
	unsigned bits = number_bits(n, &few);
	return to < few ? (struct told){ TARGET_NUMBER, to, bits } : (struct told){ TARGET_NUMBER, to + few, bits + 1 };
}

static uint32_t targets_of(const struct batch *b)
{
	return b->p->g->blocks->n + (uint32_t)b->outside.n;
}

/* The shortest way to tell it, signs and lengths taken for two bits. */
static struct told tell(const struct batch *b, uint32_t source, const struct item *x, const struct item *before)
{
	uint32_t n = b->p->g->blocks->n;
	struct told number = tell_number(targets_of(b), x->to), best = number;
	if (source < n)
		best = tell_way(source, x->to, TARGET_SELF, TARGET_AHEAD, TARGET_BEHIND);
	if (before) {
		struct told way = tell_way(before->to, x->to, TARGET_AGAIN, TARGET_ON, TARGET_BACK);
		if (source >= n || way.bits < best.bits)
			best = way;
	}
	if (x->common && best.bits > 3)
		return (struct told){ TARGET_COMMON + x->common - 1u, 0, 0 };
	return best.bits + 2 > number.bits ? number : best;
}

static uint32_t gap_class(uint64_t gap)
{
	return gap < DIRECT_GAPS ? (uint32_t)gap : DIRECT_GAPS + bit_length(gap) - GAP_LEAST;
}

static void count_source(struct batch *b, uint32_t i, uint32_t *counts, uint32_t *words)
{
	uint32_t n = b->from[i + 1] - b->from[i];
	bool listed = b->symbol[i] == SOURCE_LISTED;
	if (listed)
		counts[bit_length(n) - 1]++;
	for (uint32_t k = 0; k < n; k++) {
		const struct item *x = &b->items.at[b->from[i] + k];
		table_of(b, b->symbol[i], k)->counts[tell(b, b->first + i, x, k ? x - 1 : NULL).symbol]++;
		if (listed)
			words[gap_class(x->gap) * b->n_pointing + x->pointing]++;
	}
}

/* Numbers alone when the symbols cost more than they save. */
static bool make_table(struct table *t, uint32_t n)
{
	uint32_t few;
	unsigned number = number_bits(n, &few);
	uint64_t all = 0, mixed;
	if (!prefix_make(t->counts, TARGET_SYMBOLS, &t->code))
		return false;
	mixed = t->code.cost;
	for (uint32_t i = 0; i < TARGET_SYMBOLS; i++) {
		all += t->counts[i];
		mixed += (uint64_t)t->counts[i] * extra_bits(i, number);
	}
	t->by_number = mixed > all * (number + 1);
	if (!t->by_number)
		return true;
	uint32_t one[TARGET_SYMBOLS] = { 1 };
	prefix_free(&t->code);
	return prefix_make(one, TARGET_SYMBOLS, &t->code);
}

/* A listed word takes a bit at least, so that no reader has more to do than there are bits. */
static void make_two(uint32_t *counts, uint32_t n)
{
	uint32_t used = 0;
	for (uint32_t i = 0; i < n; i++)
		used += counts[i] != 0;
	if (used == 1)
		counts[counts[0] ? 1 : 0] = 1;
}

static bool make_codes(struct batch *b)
{
	uint32_t of_counts[COUNT_CLASSES] = { 0 };
	AUTO_FREE uint32_t *words = calloc((size_t)GAP_CLASSES * b->n_pointing, sizeof *words);
	AUTO_FREE uint32_t *symbols = calloc(b->shapes.n + SOURCE_SHAPES, sizeof *symbols);
	if (!words || !symbols)
		return false;
	for (uint32_t i = 0; i < b->n; i++) {
		symbols[b->symbol[i]]++;
		count_source(b, i, of_counts, words);
	}
	make_two(words, GAP_CLASSES * b->n_pointing);
	bool ok = prefix_make(symbols, (uint32_t)b->shapes.n + SOURCE_SHAPES, &b->sources) && prefix_make(of_counts, COUNT_CLASSES, &b->counts) &&
		  prefix_make(words, GAP_CLASSES * b->n_pointing, &b->words);
	for (size_t i = 0; i < b->tables.n && ok; i++)
		ok = make_table(&b->tables.at[i], targets_of(b));
	return ok;
}

static void write_head(struct batch *b, struct bits_out *to)
{
	bits_number(to, b->n_pointing - 2);
	for (uint32_t i = 1; i + 1 < b->n_pointing; i++)
		bits_number(to, b->pointing[i].offset << 1 | b->pointing[i].strong);
	bits_number(to, b->outside.n);
	for (size_t i = 0; i < b->outside.n; i++)
		bits_signed(to, (int64_t)(b->outside.at[i] - (i ? b->outside.at[i - 1] : 0)));
	bits_number(to, b->n_common);
	for (uint32_t i = 0; i < b->n_common; i++)
		bits_number(to, b->common[i]);
	bits_number(to, b->shapes.n);
	for (size_t i = 0; i < b->shapes.n; i++) {
		const struct shape *x = &b->shapes.at[i];
		bits_number(to, (uint64_t)x->n << 1 | x->own);
		for (uint32_t k = 0; k < x->n; k++) {
			bits_number(to, b->items.at[x->first + k].gap);
			bits_number(to, b->items.at[x->first + k].pointing);
		}
	}
	prefix_write(&b->sources, to);
	prefix_write(&b->counts, to);
	prefix_write(&b->words, to);
	for (size_t i = 0; i < b->tables.n; i++)
		prefix_write(&b->tables.at[i].code, to);
}

static void write_word(struct batch *b, struct bits_out *to, const struct item *x)
{
	uint32_t class = gap_class(x->gap);
	prefix_put(&b->words, to, class * b->n_pointing + x->pointing);
	if (class >= DIRECT_GAPS) {
		unsigned bits = class - DIRECT_GAPS + GAP_LEAST - 1;
		bits_put(to, x->gap & ((1ull << bits) - 1), bits);
	}
	if (x->pointing != b->n_pointing - 1)
		return;
	unsigned bits = bit_length(x->offset);
	bits_put(to, bits, 6);
	bits_put(to, x->offset, bits);
	bits_put(to, x->strong, 1);
}

static void write_source(struct batch *b, struct bits_out *to, uint32_t i)
{
	uint32_t n = b->from[i + 1] - b->from[i], symbol = b->symbol[i];
	prefix_put(&b->sources, to, symbol);
	if (symbol == SOURCE_LISTED) {
		unsigned bits = bit_length(n) - 1;
		prefix_put(&b->counts, to, bits);
		bits_put(to, n & ((1u << bits) - 1), bits);
	}
	for (uint32_t k = 0; k < n; k++) {
		const struct item *x = &b->items.at[b->from[i] + k];
		const struct table *t = table_of(b, symbol, k);
		if (symbol == SOURCE_LISTED)
			write_word(b, to, x);
		struct told way = t->by_number ? tell_number(targets_of(b), x->to) : tell(b, b->first + i, x, k ? x - 1 : NULL);
		prefix_put(&t->code, to, way.symbol);
		bits_put(to, way.extra, way.bits);
	}
}

static void free_batch(struct batch *b)
{
	for (size_t i = 0; i < b->tables.n; i++)
		prefix_free(&b->tables.at[i].code);
	prefix_free(&b->sources);
	prefix_free(&b->counts);
	prefix_free(&b->words);
	vec_free(&b->items);
	vec_free(&b->words_outside);
	vec_free(&b->outside);
	map64_free(&b->outside_index);
	vec_free(&b->shapes);
	vec_free(&b->tables);
	free(b->base);
	free(b->from);
	free(b->symbol);
}

static bool give_outside(struct batch *b)
{
	struct pack *p = b->p;
	pthread_mutex_lock(&p->lock);
	bool ok = vec_reserve(&p->asked, b->outside.n + 1);
	if (ok && b->outside.n) {
		memcpy(p->asked.at + p->asked.n, b->outside.at, b->outside.n * sizeof *b->outside.at);
		p->asked.n += b->outside.n;
	}
	pthread_mutex_unlock(&p->lock);
	return ok;
}

bool pack_batch(struct pack *p, uint32_t number)
{
	uint64_t first = (uint64_t)number * BATCH, left = p->sources - first;
	struct batch b = { .p = p, .first = (uint32_t)first, .n = left < BATCH ? (uint32_t)left : BATCH };
	struct bits_out *to = &p->batches[number];
	b.base = malloc((b.n + 1ul) * sizeof *b.base);
	b.from = malloc((b.n + 2ul) * sizeof *b.from);
	b.symbol = malloc((b.n + 1ul) * sizeof *b.symbol);
	bool ok = b.base && b.from && b.symbol;
	if (ok)
		gather(&b);
	if (ok && !interrupted && (ok = !b.nomem && merge(&b) && note_stale(&b) && find_common(&b) && find_pointing(&b) && find_shapes(&b) && make_codes(&b))) {
		write_head(&b, to);
		for (uint32_t i = 0; i < b.n; i++)
			write_source(&b, to, i);
		bits_flush(to);
		ok = give_outside(&b);
		__atomic_fetch_add(&p->references, b.items.n, __ATOMIC_RELAXED);
	}
	free_batch(&b);
	return ok && !to->failed;
}

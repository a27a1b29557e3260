#include "coding.h"

static void put_byte(struct bits_out *b, uint8_t v)
{
	if (b->bytes.n == b->bytes.cap && !vec_reserve(&b->bytes, b->bytes.cap + 4096)) {
		b->failed = true;
		return;
	}
	b->bytes.at[b->bytes.n++] = v;
}

void bits_put(struct bits_out *b, uint64_t v, unsigned n)
{
	b->hold = b->hold << n | v;
	for (b->n += n; b->n >= 8; b->n -= 8)
		put_byte(b, (uint8_t)(b->hold >> (b->n - 8)));
}

void bits_flush(struct bits_out *b)
{
	if (b->n)
		bits_put(b, 0, 8 - b->n);
	b->hold = 0;
}

void bits_number(struct bits_out *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		put_byte(b, (uint8_t)(v | 0x80));
	put_byte(b, (uint8_t)v);
}

void bits_signed(struct bits_out *b, int64_t v)
{
	bits_number(b, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

uint64_t bits_take_number(struct bits_in *b)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64 && !b->failed; shift += 7) {
		uint64_t byte = bits_take(b, 8);
		if (shift == 63 && byte > 1)
			break;
		v |= (byte & 0x7f) << shift;
		if (byte < 0x80)
			return b->failed ? 0 : v;
	}
	b->failed = true;
	return 0;
}

int64_t bits_take_signed(struct bits_in *b)
{
	uint64_t u = bits_take_number(b);
	return (int64_t)(u >> 1 ^ (0 - (u & 1)));
}

struct leaf { uint64_t count; uint32_t symbol, parent; };

static int by_count(const void *a, const void *b)
{
	const struct leaf *x = a, *y = b;
	if (x->count != y->count)
		return x->count < y->count ? -1 : 1;
	return x->symbol < y->symbol ? -1 : x->symbol > y->symbol;
}

/* Lengths of the leaves t[0 .. n), sorted by count, with room for n inner nodes behind them: two queues, each in order. */
static unsigned measure(struct leaf *t, uint32_t n, uint8_t *lengths)
{
	uint32_t leaf = 0, inner = n, end = n;
	unsigned longest = 0;
	while (end < 2 * n - 1) {
		uint64_t sum = 0;
		for (int i = 0; i < 2; i++) {
			uint32_t least = leaf < n && (inner == end || t[leaf].count <= t[inner].count) ? leaf++ : inner++;
			sum += t[least].count;
			t[least].parent = end;
		}
		t[end++].count = sum;
	}
	/* Depths from the root down; `count` is not needed any more. */
	t[end - 1].count = 0;
	for (uint32_t i = end - 1; i-- > 0;)
		t[i].count = t[t[i].parent].count + 1;
	for (uint32_t i = 0; i < n; i++) {
		lengths[t[i].symbol] = (uint8_t)t[i].count;
		longest = t[i].count > longest ? (unsigned)t[i].count : longest;
	}
	return longest;
}

static void number_words(struct prefix_out *c)
{
	uint32_t next[CODE_LONGEST + 2] = { 0 };
	for (uint32_t i = 0; i < c->n_symbols; i++)
		if (c->lengths[i])
			next[c->lengths[i] + 1]++;
	for (unsigned k = 1; k <= CODE_LONGEST; k++)
		next[k + 1] = (next[k] + next[k + 1]) << 1;
	for (uint32_t i = 0; i < c->n_symbols; i++)
		if (c->lengths[i])
			c->words[i] = (uint16_t)next[c->lengths[i]]++;
}

bool prefix_make(const uint32_t *counts, uint32_t n, struct prefix_out *ret)
{
	AUTO_FREE struct leaf *t = malloc((2ul * n + 1) * sizeof *t);
	uint32_t used = 0;
	*ret = (struct prefix_out){ .n_symbols = n, .lengths = calloc(n + 1ul, 1), .words = calloc(n + 1ul, sizeof *ret->words) };
	if (!t || !ret->lengths || !ret->words) {
		prefix_free(ret);
		return false;
	}
	/* Words that come out too long: rare symbols are taken for less rare. */
	for (unsigned flat = 0; !flat || (used > 1 && measure(t, used, ret->lengths) > CODE_LONGEST); flat++) {
		used = 0;
		for (uint32_t i = 0; i < n; i++)
			if (counts[i])
				t[used++] = (struct leaf){ (counts[i] >> flat) + 1, i, 0 };
		if (used)
			qsort(t, used, sizeof *t, by_count);
	}
	ret->used = used;
	ret->only = used ? t[0].symbol : 0;
	if (used > 1)
		number_words(ret);
	for (uint32_t i = 0; i < n; i++)
		ret->cost += (uint64_t)counts[i] * ret->lengths[i];
	return true;
}

void prefix_write(const struct prefix_out *c, struct bits_out *to)
{
	uint32_t next = 0;
	bits_number(to, c->used);
	if (c->used == 1)
		bits_number(to, (uint64_t)c->only << 4);
	for (uint32_t i = 0; i < c->n_symbols && c->used > 1; i++)
		if (c->lengths[i]) {
			bits_number(to, (uint64_t)(i - next) << 4 | c->lengths[i]);
			next = i + 1;
		}
}

void prefix_free(struct prefix_out *c)
{
	free(c->lengths);
	free(c->words);
	*c = (struct prefix_out){ 0 };
}

/* Symbols by length, then by number; the words must fill the code. */
static bool enter(struct prefix_in *c, const uint16_t *symbols, const uint8_t *lengths)
{
	uint32_t count[CODE_LONGEST + 1] = { 0 }, word = 0, index = 0;
	for (uint32_t i = 0; i < c->n; i++)
		count[lengths[i]]++;
	if (count[0])
		return false;
	for (unsigned k = 1; k <= CODE_LONGEST; k++) {
		word <<= 1;
		c->base[k] = index - word;
		index += count[k];
		word += count[k];
		if (word > 1u << k)
			return false;
		c->limit[k] = word << (CODE_LONGEST - k);
		if (!c->least && count[k])
			c->least = k;
		for (uint32_t i = 0, at = index - count[k]; i < c->n; i++)
			if (lengths[i] == k)
				c->symbols[at++] = symbols[i];
	}
	return word == 1u << CODE_LONGEST;
}

bool prefix_read(struct bits_in *b, uint32_t n, struct prefix_in *ret)
{
	uint64_t used = bits_take_number(b), next = 0;
	*ret = (struct prefix_in){ 0 };
	if (b->failed || used > n)
		return false;
	AUTO_FREE uint16_t *symbols = malloc((used + 1) * sizeof *symbols);
	AUTO_FREE uint8_t *lengths = malloc(used + 1);
	ret->symbols = malloc((used + 1) * sizeof *ret->symbols);
	ret->n = (uint32_t)used;
	if (!symbols || !lengths || !ret->symbols)
		return false;
	for (uint64_t i = 0; i < used; i++) {
		uint64_t v = bits_take_number(b);
		if (b->failed || v >> 4 >= n || next + (v >> 4) >= n)
			return false;
		next += v >> 4;
		symbols[i] = (uint16_t)next++;
		lengths[i] = v & 15;
	}
	if (used > 1)
		return enter(ret, symbols, lengths);
	ret->symbols[0] = used ? symbols[0] : 0;
	return true;
}

void prefix_in_free(struct prefix_in *c)
{
	free(c->symbols);
	c->symbols = NULL;
	c->n = 0;
}

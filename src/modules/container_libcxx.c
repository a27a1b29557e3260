/* What libc++ does in a way of its own: its string and its deque, by the headers of 14, whose layout is version 1 of its ABI. */
#include "container_walk.h"

/* The lowest bit says whether there is room behind a pointer; else the text stands behind its length (string, _LIBCPP_ABI_V1). */
bool read_libcxx_text(const struct reading *r)
{
	uint64_t at = r->at->address + r->s->at[0], word = r->w->word, room, length, text;
	if (!modules_word(r->w->ms, at, &room))
		return false;
	if (!(room & 1)) {
		r->h->items = (room & 0xff) >> 1;
		r->h->capacity = 3 * word - 2;
		return r->h->items <= r->h->capacity;
	}
	if (!modules_word(r->w->ms, at + word, &length) || !modules_word(r->w->ms, at + 2 * word, &text) || length >= (room & ~1ull))
		return false;
	room &= ~1ull; /* the end of the text counts */
	r->h->items = length;
	r->h->capacity = room - 1;
	r->h->wasted = room - 1 - length;
	return reading_owns(r, text, room);
}

/* Buffers of 4096 bytes, or of 16 items (deque, __deque_block_size); the first item stands `start` items behind the first buffer's
 * start. */
bool read_libcxx_deque(const struct reading *r)
{
	enum { FIRST, BEGIN, END, ROOM, START, SIZE, N, BUFFER = 4096, SMALL = 256, FEW = 16 };
	uint64_t v[N], word = r->w->word, unit = r->s->unit, each = unit < SMALL ? BUFFER / unit : FEW, buffer, all;
	for (unsigned i = 0; i < N; i++)
		if (!reading_number(r, i, &v[i]))
			return false;
	if (v[FIRST] > v[BEGIN] || v[BEGIN] > v[END] || v[END] > v[ROOM] || (v[END] - v[BEGIN]) % word)
		return false;
	uint64_t buffers = (v[END] - v[BEGIN]) / word;
	if (__builtin_mul_overflow(buffers, each, &all) || v[SIZE] > all || v[START] > all - v[SIZE])
		return false;
	r->h->items = v[SIZE];
	r->h->capacity = all;
	r->h->wasted = (all - v[SIZE]) * unit;
	if (v[ROOM] > v[FIRST] && !reading_owns(r, v[FIRST], v[ROOM] - v[FIRST]))
		return false;
	for (uint64_t i = 0; i < buffers && !r->h->seen && !r->w->brief && !interrupted; i++) {
		uint64_t low = i * each, high = low + each, from = v[START] > low ? v[START] : low, to = v[START] + v[SIZE] < high ? v[START] + v[SIZE] : high;
		if (!modules_word(r->w->ms, v[BEGIN] + i * word, &buffer) || !reading_owns(r, buffer, each * unit))
			return false;
		if (to > from)
			reading_put_row(r, buffer + (from - low) * unit, to - from);
	}
	return true;
}

/* So many bits; room for so many words of them (vector, __cap_alloc_). */
bool read_libcxx_bits(const struct reading *r)
{
	uint64_t begin, size, words, bytes, bits, word = r->w->word;
	if (!reading_number(r, 0, &begin) || !reading_number(r, 1, &size) || !reading_number(r, 2, &words) || __builtin_mul_overflow(words, word, &bytes) ||
	    __builtin_mul_overflow(bytes, 8, &bits) || size > bits)
		return false;
	r->h->items = size;
	r->h->capacity = bits;
	r->h->wasted = (bits - size) / 8;
	return !words || reading_owns(r, begin, bytes);
}

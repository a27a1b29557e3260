/* Bits, numbers and prefix codes: what references in compact form are made of. Bits stand highest first. Nothing is read beyond
 * the span, and what a damaged one makes of itself is said by `failed`. */
#ifndef GRAPH_CODING_H
#define GRAPH_CODING_H

#include "flotsam/base.h"

struct bits_out {
	VEC(uint8_t) bytes;
	uint64_t hold;	/* the lowest n bits are not written yet */
	unsigned n;
	bool failed;
};
void bits_put(struct bits_out *b, uint64_t v, unsigned n); /* n <= 56 */
void bits_flush(struct bits_out *b);			    /* zeros up to a whole byte */
/* At whole bytes alone: LEB128, and folded (0, -1, 1, -2, ...). */
void bits_number(struct bits_out *b, uint64_t v);
void bits_signed(struct bits_out *b, int64_t v);

struct bits_in {
	struct span s;
	uint64_t at; /* bit */
	bool failed;
};

/* The next bits from the highest of the word down, 57 of them at least; zeros behind the end. */
static inline uint64_t bits_peek(const struct bits_in *b)
{
	size_t byte = b->at >> 3;
	uint64_t v = 0;
	if (byte + 8 <= b->s.n) {
		memcpy(&v, b->s.p + byte, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		v = __builtin_bswap64(v);
#endif
	} else {
		for (size_t i = byte; i < b->s.n; i++)
			v |= (uint64_t)b->s.p[i] << (56 - 8 * (i - byte));
	}
	return v << (b->at & 7);
}

static inline void bits_skip(struct bits_in *b, unsigned n)
{
	b->at += n;
	if (b->at > (uint64_t)b->s.n * 8) {
		b->at = (uint64_t)b->s.n * 8;
		b->failed = true;
	}
}

static inline uint64_t bits_take(struct bits_in *b, unsigned n) /* n <= 56 */
{
	uint64_t v = n ? bits_peek(b) >> (64 - n) : 0;
	bits_skip(b, n);
	return v;
}
uint64_t bits_take_number(struct bits_in *b);
int64_t bits_take_signed(struct bits_in *b);

/* Canonical prefix codes (D. Huffman, 1952), 15 bits at most. One symbol alone takes no bit. */
enum { CODE_LONGEST = 15 };
struct prefix_out { /* by symbol */
	uint8_t *lengths;
	uint16_t *words;
	uint32_t n_symbols, used, only;
	uint64_t cost;	/* bits of all symbols that were counted */
};
/* counts[0 .. n). False: no memory. */
bool prefix_make(const uint32_t *counts, uint32_t n, struct prefix_out *ret);
void prefix_write(const struct prefix_out *c, struct bits_out *to);
void prefix_free(struct prefix_out *c);
static inline void prefix_put(const struct prefix_out *c, struct bits_out *to, uint32_t symbol)
{
	bits_put(to, c->words[symbol], c->lengths[symbol]);
}

struct prefix_in {
	uint16_t *symbols;	/* by code */
	uint32_t n;
	uint32_t limit[CODE_LONGEST + 1]; /* by length: of 15 bits, the first word that is longer */
	uint32_t base[CODE_LONGEST + 1];  /* by length: index of the first symbol minus its word */
	unsigned least;
};
/* Symbols are below n. False: no code, or no memory. */
bool prefix_read(struct bits_in *b, uint32_t n, struct prefix_in *ret);
void prefix_in_free(struct prefix_in *c);
static inline uint32_t prefix_take(const struct prefix_in *c, struct bits_in *b)
{
	if (c->n < 2) {
		b->failed |= !c->n;
		return c->n ? c->symbols[0] : 0;
	}
	uint32_t v = (uint32_t)(bits_peek(b) >> (64 - CODE_LONGEST));
	unsigned length = c->least;
	while (v >= c->limit[length])
		length++;
	bits_skip(b, length);
	return c->symbols[c->base[length] + (v >> (CODE_LONGEST - length))];
}

#endif

/* What the bytes of a block are that no type explains: pointers, floating point numbers, or no order at all. Content, and no type;
 * only where it is plain. */
#include "typing.h"

#include <math.h>

/* Structs may be all pointers or all numbers too: rarely so many of them. */
enum { LOOK_WORDS = 64, LEAST_POINTERS = 16, LEAST_DOUBLES = 32, LOOK_BYTES = 4096, LEAST_BYTES = 1024 };

static const char *const names[N_CONTENTS] = { NULL, "pointers[]", "doubles[]?", "compressed or random" };

const char *types_content_name(enum content c)
{
	return names[c];
}

/* A number that somebody may have computed: no bits of an address, no tiny integer. */
static bool is_double(uint64_t v)
{
	double d;
	memcpy(&d, &v, sizeof d);
	return isnormal(d) && fabs(d) > 1e-9 && fabs(d) < 1e12;
}

/* Of random bytes 4,096 give 7.95 bits each, 1,024 some 7.8; code, text, tables and numbers less than 7. */
static bool has_no_order(const uint8_t *p, size_t n)
{
	unsigned of[256] = { 0 };
	double bits = 0;
	for (size_t i = 0; i < n; i++)
		of[p[i]]++;
	for (int i = 0; i < 256; i++)
		if (of[i])
			bits -= (double)of[i] / (double)n * log2((double)of[i] / (double)n);
	return bits > 7.6;
}

enum content types_content(const struct types_priv *priv, uint64_t payload, uint64_t usable)
{
	const struct arch *a = image_arch(priv->img);
	unsigned pointers = 0, doubles = 0, other = 0, word = a->word;
	uint8_t bytes[LOOK_BYTES];
	uint64_t v;
	for (unsigned i = 0; i < LOOK_WORDS && (uint64_t)(i + 1) * word <= usable; i++) {
		if (!image_word(priv->img, payload + (uint64_t)i * word, &v))
			return CONTENT_UNKNOWN;
		block_id id = v < 4096 ? BLOCK_NONE : blocks_at(priv->b, v);
		if (id != BLOCK_NONE && blocks_payload(priv->b, id) == v && block_state_is_used(blocks_state(priv->b, id)))
			pointers++;
		else if (word == 8 && id == BLOCK_NONE && is_double(v))
			doubles++;
		else if (v || !i)
			other++;
	}
	if (pointers >= LEAST_POINTERS && !doubles && !other)
		return CONTENT_POINTERS;
	if (doubles >= LEAST_DOUBLES && !pointers && other * 16 <= doubles)
		return CONTENT_DOUBLES;
	size_t n = usable < LOOK_BYTES ? (size_t)usable : LOOK_BYTES;
	if (n >= LEAST_BYTES && image_read(priv->img, payload, bytes, n) && has_no_order(bytes, n))
		return CONTENT_RANDOM;
	return CONTENT_UNKNOWN;
}

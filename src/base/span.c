/* Checked reads of foreign bytes in either byte order. */
#include "flotsam/base.h"

static const uint8_t *inside(struct span s, size_t off, size_t n)
{
	return off <= s.n && n <= s.n - off ? s.p + off : NULL;
}

static uint64_t gather(const uint8_t *p, unsigned n, bool big)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)p[i] << 8 * (big ? n - 1 - i : i);
	return v;
}

bool span_u8(struct span s, size_t off, uint8_t *ret)
{
	const uint8_t *p = inside(s, off, 1);
	if (p)
		*ret = *p;
	return p;
}

bool span_u16(struct span s, size_t off, bool big, uint16_t *ret)
{
	const uint8_t *p = inside(s, off, 2);
	if (p)
		*ret = (uint16_t)gather(p, 2, big);
	return p;
}

bool span_u32(struct span s, size_t off, bool big, uint32_t *ret)
{
	const uint8_t *p = inside(s, off, 4);
	if (p)
		*ret = (uint32_t)gather(p, 4, big);
	return p;
}

bool span_u64(struct span s, size_t off, bool big, uint64_t *ret)
{
	const uint8_t *p = inside(s, off, 8);
	if (p)
		*ret = gather(p, 8, big);
	return p;
}

bool span_word(struct span s, size_t off, unsigned word, bool big, uint64_t *ret)
{
	const uint8_t *p = inside(s, off, word);
	if (p)
		*ret = gather(p, word, big);
	return p;
}

struct span span_sub(struct span s, size_t off, size_t n)
{
	const uint8_t *p = inside(s, off, n);
	return p ? (struct span){ p, n } : (struct span){ 0 };
}

ptrdiff_t span_strlen(struct span s, size_t off)
{
	if (off >= s.n)
		return -1;
	const uint8_t *end = memchr(s.p + off, 0, s.n - off);
	return end ? end - (s.p + off) : -1;
}

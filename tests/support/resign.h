/* Makes a damaged census one whose checksums are right, so that what they protect is asked too. */
#ifndef TEST_RESIGN_H
#define TEST_RESIGN_H
#include "src/census/census.h"

static inline uint64_t resign_get(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static inline void resign_put(uint8_t *p, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static inline void resign(uint8_t *p, size_t n)
{
	if (n < HEAD_BYTES)
		return;
	uint64_t sections = resign_get(p + 12, 4);
	if (sections > (n - HEAD_BYTES) / ENTRY_BYTES)
		return;
	resign_put(p + 16, n, 8);
	for (uint64_t i = 0; i < sections; i++) {
		uint8_t *entry = p + HEAD_BYTES + i * ENTRY_BYTES;
		uint64_t at = resign_get(entry + 8, 8), bytes = resign_get(entry + 16, 8);
		if (at <= n && bytes <= n - at)
			resign_put(entry + 4, census_crc(p + at, bytes), 4);
	}
	resign_put(p + 24, census_crc(p + HEAD_BYTES, sections * ENTRY_BYTES), 4);
	resign_put(p + HEAD_CRC, census_crc(p, HEAD_CRC), 4);
}
#endif

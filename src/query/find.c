/* find: bytes in the whole picture. Sixteen places at a time are judged by the needle's first and last byte. */
#include "flotsam/query.h"

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

struct find {
	const uint8_t *needle;
	size_t n;
	size_t step;	/* places looked at are multiples of it */
	query_found_fn *f;
	void *ctx;
	bool more;
};

static void try_place(struct find *f, uint64_t address, const uint8_t *at)
{
	if (address % f->step || memcmp(at, f->needle, f->n))
		return;
	f->more = f->f(f->ctx, address) && !interrupted;
}

static void search(struct find *f, uint64_t address, const uint8_t *data, size_t n)
{
	if (n < f->n)
		return;
	size_t i = 0, places = n - f->n + 1;
	bytes16 first, last;
	memset(&first, f->needle[0], sizeof first);
	memset(&last, f->needle[f->n - 1], sizeof last);
	for (; i + 16 <= places && f->more; i += 16) {
		bytes16 a, b;
		memcpy(&a, data + i, 16);
		memcpy(&b, data + i + f->n - 1, 16);
		bytes16 both = (bytes16)(a == first) & (bytes16)(b == last);
		words2 any = (words2)both;
		if (!(any[0] | any[1]))
			continue;
		for (unsigned k = 0; k < 16 && f->more; k++)
			if (both[k])
				try_place(f, address + i + k, data + i + k);
	}
	for (; i < places && f->more; i++)
		try_place(f, address + i, data + i);
}

struct err *query_find(struct session *s, const uint8_t *needle, size_t n, bool aligned, query_found_fn *f, void *ctx, uint64_t *ret_bytes)
{
	struct find find = { .needle = needle, .n = n, .step = aligned ? n : 1, .f = f, .ctx = ctx, .more = true };
	enum { PIECE = 1 << 20 };
	uint64_t address = 0;
	const uint8_t *data;
	*ret_bytes = 0;
	if (!n)
		return err_new(ERR_USAGE, "nothing to look for");
	while (find.more && (address = image_next_dumped(s->image, address)) != UINT64_MAX) {
		size_t have = image_window_dumped(s->image, address, &data);
		if (!have)
			break;
		/* Pieces overlap by the needle, and end early when the user asks. */
		for (size_t at = 0; at < have && find.more && !interrupted; at += PIECE) {
			size_t piece = have - at < PIECE + n - 1 ? have - at : PIECE + n - 1;
			search(&find, address + at, data + at, piece);
		}
		*ret_bytes += have;
		address += have;
	}
	return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
}

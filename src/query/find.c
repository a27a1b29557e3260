/* find: bytes in the whole picture. Sixteen places at a time are judged by the two bytes of the needle that are rarest. */
#include "flotsam/query.h"

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

struct find {
	const uint8_t *needle;
	size_t n;
	size_t keys[2];	/* offsets of the rarest bytes */
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
	bytes16 first, second;
	memset(&first, f->needle[f->keys[0]], sizeof first);
	memset(&second, f->needle[f->keys[1]], sizeof second);
	for (; i + 16 <= places && f->more; i += 16) {
		bytes16 a, b;
		memcpy(&a, data + i + f->keys[0], 16);
		memcpy(&b, data + i + f->keys[1], 16);
		bytes16 both = (bytes16)(a == first) & (bytes16)(b == second);
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

/* Rare in this memory, by a sample: heaps are full of zeros, and of the high bytes of pointers. */
static void choose_keys(struct find *f, struct image *img)
{
	enum { WINDOWS = 256, BYTES = 4096 };
	size_t often[256] = { 0 };
	uint64_t address = 0;
	const uint8_t *data;
	for (int i = 0; i < WINDOWS && (address = image_next_dumped(img, address)) != UINT64_MAX; i++) {
		size_t have = image_window_dumped(img, address, &data);
		if (!have)
			break;
		for (size_t k = have / 2; k < have && k < have / 2 + BYTES; k++)
			often[data[k]]++;
		address += have;
	}
	f->keys[0] = f->keys[1] = 0;
	for (size_t i = 1; i < f->n; i++)
		if (often[f->needle[i]] < often[f->needle[f->keys[0]]])
			f->keys[0] = i;
	f->keys[1] = f->keys[0] ? 0 : f->n - 1;
	for (size_t i = 0; i < f->n; i++)
		if (i != f->keys[0] && often[f->needle[i]] < often[f->needle[f->keys[1]]])
			f->keys[1] = i;
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
	choose_keys(&find, s->image);
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

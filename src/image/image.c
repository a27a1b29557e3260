/* The image: a two-level table from page to extent, so that a look-up costs two loads however many extents there are.
 * File bytes of modules form a second table below the first. Immutable after the modules stage: any number of readers. */
#include "flotsam/image.h"

#include <sys/mman.h>

enum { PAGE_SHIFT = 12, LEAF_SHIFT = 18, LEAF_PAGES = 1 << LEAF_SHIFT, ADDRESS_BITS = 52 }; /* a leaf: 1 GiB of 4 KiB pages */

struct layer {
	VEC(struct extent) extents;
	uint32_t **leaves;	/* by address >> 30: index of the extent + 1, by page */
	size_t n_leaves;
};
struct image {
	const struct picture *picture;
	struct layer dumped, file;
};

static uint32_t *leaf_for(struct layer *l, uint64_t address)
{
	uint64_t i = address >> (PAGE_SHIFT + LEAF_SHIFT);
	if (i >= l->n_leaves) {
		size_t n = i + 1;
		uint32_t **p = realloc(l->leaves, n * sizeof *p);
		if (!p)
			return NULL;
		memset(p + l->n_leaves, 0, (n - l->n_leaves) * sizeof *p);
		l->leaves = p;
		l->n_leaves = n;
	}
	if (!l->leaves[i]) {
		void *p = mmap(NULL, LEAF_PAGES * sizeof(uint32_t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		l->leaves[i] = p == MAP_FAILED ? NULL : p;
	}
	return l->leaves[i];
}

/* Enters the extent for every page that it meets; a page that two share keeps the first (see find()). Kernel addresses
 * (vsyscall, in cores) are no memory of the program. */
static bool layer_add(struct layer *l, struct extent e)
{
	if (e.address >> ADDRESS_BITS)
		return true;
	struct extent *slot = vec_push(&l->extents);
	if (!slot || !e.bytes || e.address + e.bytes < e.address)
		return slot && !e.bytes;
	*slot = e;
	uint64_t last = (e.address + e.bytes - 1) >> PAGE_SHIFT;
	for (uint64_t page = e.address >> PAGE_SHIFT; page <= last;) {
		uint32_t *leaf = leaf_for(l, page << PAGE_SHIFT);
		if (!leaf)
			return false;
		uint64_t end = (page | (LEAF_PAGES - 1)) + 1;
		for (; page <= last && page < end; page++)
			if (!leaf[page & (LEAF_PAGES - 1)])
				leaf[page & (LEAF_PAGES - 1)] = (uint32_t)l->extents.n;
	}
	return true;
}

/* Bytes at address in this layer. Extents that end inside a page are rare (cut cores): their successors are tried. */
static inline size_t find(const struct layer *l, uint64_t address, const uint8_t **ret)
{
	uint64_t i = address >> (PAGE_SHIFT + LEAF_SHIFT);
	if (i >= l->n_leaves || !l->leaves[i])
		return 0;
	uint32_t k = l->leaves[i][address >> PAGE_SHIFT & (LEAF_PAGES - 1)];
	for (; k && k <= l->extents.n; k++) {
		const struct extent *e = &l->extents.at[k - 1];
		uint64_t off = address - e->address;
		if (off < e->bytes) {
			*ret = e->data + off;
			return e->bytes - off;
		}
		if (e->address > address)
			break;
	}
	return 0;
}

static void layer_free(struct layer *l)
{
	for (size_t i = 0; i < l->n_leaves; i++)
		if (l->leaves[i])
			munmap(l->leaves[i], LEAF_PAGES * sizeof(uint32_t));
	free(l->leaves);
	vec_free(&l->extents);
}

struct image *image_create(const struct picture *p)
{
	struct image *img = calloc(1, sizeof *img);
	if (!img)
		return NULL;
	img->picture = p;
	for (size_t i = 0; i < p->extents.n; i++) {
		const struct extent *e = &p->extents.at[i];
		if (!layer_add(e->from_file ? &img->file : &img->dumped, *e)) {
			image_destroy(img);
			return NULL;
		}
	}
	return img;
}

void image_destroy(struct image *img)
{
	if (!img)
		return;
	layer_free(&img->dumped);
	layer_free(&img->file);
	free(img);
}

const struct arch *image_arch(const struct image *img)
{
	return img->picture->arch;
}

const struct picture *image_picture(const struct image *img)
{
	return img->picture;
}

bool image_add_file(struct image *img, uint64_t address, const uint8_t *data, uint64_t n)
{
	return layer_add(&img->file, (struct extent){ .address = address, .bytes = n, .data = data, .from_file = true });
}

size_t image_window_dumped(const struct image *img, uint64_t address, const uint8_t **ret)
{
	return find(&img->dumped, address, ret);
}

/* Extents are sorted (target.h). */
uint64_t image_next_dumped(const struct image *img, uint64_t address)
{
	const struct layer *l = &img->dumped;
	size_t lo = 0, hi = l->extents.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (l->extents.at[mid].address + l->extents.at[mid].bytes <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == l->extents.n)
		return UINT64_MAX;
	return l->extents.at[lo].address > address ? l->extents.at[lo].address : address;
}

/* Bytes from address to where the dumped layer takes over again. */
static size_t until_dumped(const struct image *img, uint64_t address, size_t n)
{
	const uint8_t *p;
	uint64_t end = address + n, page = align_down(address, 1u << PAGE_SHIFT) + (1u << PAGE_SHIFT);
	for (; page < end; page += 1u << PAGE_SHIFT)
		if (find(&img->dumped, page, &p))
			return page - address;
	return n;
}

size_t image_window(const struct image *img, uint64_t address, const uint8_t **ret)
{
	size_t n = find(&img->dumped, address, ret);
	if (n)
		return n;
	n = find(&img->file, address, ret);
	return n ? until_dumped(img, address, n) : 0;
}

bool image_read(const struct image *img, uint64_t address, void *to, size_t n)
{
	uint8_t *out = to;
	while (n) {
		const uint8_t *p;
		size_t have = find(&img->dumped, address, &p);
		if (!have && (have = find(&img->file, address, &p))) {
			/* The other layer may begin at the next page. */
			size_t page = (1u << PAGE_SHIFT) - (address & ((1u << PAGE_SHIFT) - 1));
			have = have < page ? have : page;
		}
		if (!have)
			return false;
		if (have > n)
			have = n;
		memcpy(out, p, have);
		out += have;
		address += have;
		n -= have;
	}
	return true;
}

bool image_word(const struct image *img, uint64_t address, uint64_t *ret)
{
	const struct arch *a = img->picture->arch;
	const uint8_t *p;
	uint8_t raw[8];
	if (a->word == 8 && !a->big && find(&img->dumped, address, &p) >= 8) {
		memcpy(ret, p, 8);
		return true;
	}
	return image_read(img, address, raw, a->word) && span_word((struct span){ raw, a->word }, 0, a->word, a->big, ret);
}

bool image_u32(const struct image *img, uint64_t address, uint32_t *ret)
{
	uint8_t raw[4];
	return image_read(img, address, raw, 4) && span_u32((struct span){ raw, 4 }, 0, img->picture->arch->big, ret);
}

bool image_string(const struct image *img, uint64_t address, char *to, size_t max)
{
	for (size_t n = 0; n < max;) {
		const uint8_t *p;
		size_t have = image_window(img, address + n, &p);
		if (!have)
			return false;
		if (have > max - n)
			have = max - n;
		const uint8_t *end = memchr(p, 0, have);
		size_t take = end ? (size_t)(end - p) + 1 : have;
		memcpy(to + n, p, take);
		if (end)
			return true;
		n += take;
	}
	return false;
}

void image_each_window(const struct image *img, uint64_t start, uint64_t end, image_window_fn *f, void *ctx)
{
	while (start < end) {
		const uint8_t *p;
		size_t n = find(&img->dumped, start, &p);
		if (!n) {
			start = image_next_dumped(img, start + 1);
			continue;
		}
		if (n > end - start)
			n = end - start;
		if (!f(ctx, start, p, n))
			return;
		start += n;
	}
}

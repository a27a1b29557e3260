/* The picture's memory against a linear search: extents of odd lengths, side by side, far apart, files laid under them. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "heap_builder.h"

#include "flotsam/image.h"

enum { PICTURES = 40, EXTENTS = 40, FILES = 8, LOOKS = 1500, PAGE = 4096, MOST = 5 * PAGE };

struct made {
	struct picture picture;
	struct image *image;
	struct extent files[FILES];
	size_t n_files;
	uint64_t random;
};

static uint64_t below(struct made *m, uint64_t n)
{
	return test_random(&m->random) % n;
}

static uint8_t *noise(struct made *m, uint64_t n)
{
	uint8_t *p = malloc(n);
	for (uint64_t i = 0; i < n; i++)
		p[i] = (uint8_t)(1 + below(m, 255)); /* no NUL: strings end where we want */
	return p;
}

static void make(struct made *m, uint64_t seed)
{
	*m = (struct made){ .random = seed };
	m->picture.arch = arch_find(seed % 2 ? 62 : 3, seed % 2 ? 2 : 1);
	m->picture.page = PAGE;
	uint64_t at = PAGE * (1 + below(m, 1000)), first = at;
	for (uint64_t i = 0, n = 1 + below(m, EXTENTS); i < n; i++) {
		/* A core that is cut ends in the middle of a page; the next segment starts with one. */
		uint64_t bytes = below(m, 2) ? PAGE * (1 + below(m, 4)) : 1 + below(m, MOST);
		*vec_push(&m->picture.extents) = (struct extent){ at, bytes, noise(m, bytes), false };
		at = align_up(at + bytes, PAGE) + (below(m, 3) ? 0 : below(m, 8) ? PAGE * below(m, 6) : align_down(below(m, 1ull << 40), PAGE));
	}
	m->image = image_create(&m->picture);
	ck_assert_ptr_nonnull(m->image);
	/* Files lie across extents and holes alike. */
	for (uint64_t from = first - PAGE; m->n_files < FILES && below(m, 8); m->n_files++) {
		const struct extent *e = &m->picture.extents.at[below(m, m->picture.extents.n)];
		uint64_t bytes = 1 + below(m, MOST), start = e->address > from ? e->address - below(m, PAGE / 64) * 64 : from;
		if (start < from)
			start = from;
		m->files[m->n_files] = (struct extent){ start, bytes, noise(m, bytes), true };
		ck_assert(image_add_file(m->image, start, m->files[m->n_files].data, bytes));
		from = align_up(start + bytes, PAGE);
	}
}

static void end(struct made *m)
{
	image_destroy(m->image);
	for (size_t i = 0; i < m->picture.extents.n; i++)
		free((void *)m->picture.extents.at[i].data);
	for (size_t i = 0; i < m->n_files; i++)
		free((void *)m->files[i].data);
	picture_clear(&m->picture);
}

/* The reference: the byte at an address, -1 when there is none. */
static int dumped_byte(const struct made *m, uint64_t address)
{
	for (size_t i = 0; i < m->picture.extents.n; i++) {
		const struct extent *e = &m->picture.extents.at[i];
		if (address - e->address < e->bytes)
			return e->data[address - e->address];
	}
	return -1;
}

static int byte_at(const struct made *m, uint64_t address)
{
	int byte = dumped_byte(m, address);
	for (size_t i = 0; i < m->n_files && byte < 0; i++)
		if (address - m->files[i].address < m->files[i].bytes)
			byte = m->files[i].data[address - m->files[i].address];
	return byte;
}

static uint64_t some_address(struct made *m)
{
	const struct extent *e = &m->picture.extents.at[below(m, m->picture.extents.n)];
	if (m->n_files && below(m, 3) == 0)
		e = &m->files[below(m, m->n_files)];
	const uint64_t places[] = { e->address, e->address + e->bytes, e->address + below(m, e->bytes), e->address - 1 - below(m, 16),
				    e->address + e->bytes + below(m, 2 * PAGE), align_down(e->address + below(m, e->bytes), PAGE) };
	return places[below(m, sizeof places / sizeof *places)];
}

static void wrong_at(int seed, uint64_t address, const char *what)
{
	ck_abort_msg("seed %d: at %#llx %s", seed, (unsigned long long)address, what);
}

START_TEST(windows_show_what_is_there)
{
	struct made m;
	make(&m, (uint64_t)_i + 1);
	for (int k = 0; k < LOOKS; k++) {
		uint64_t a = some_address(&m);
		const uint8_t *p;
		size_t n = image_window(m.image, a, &p);
		if (!n != (byte_at(&m, a) < 0))
			wrong_at(_i, a, n ? "is a window on nothing" : "is no window");
		for (size_t i = 0; i < n && i < 2 * PAGE; i += 1 + i / 8)
			if (p[i] != byte_at(&m, a + i))
				wrong_at(_i, a + i, "is another byte in the window");
		if (n && n <= 2 * PAGE && p[n - 1] != byte_at(&m, a + n - 1))
			wrong_at(_i, a + n - 1, "is another byte at the window's end");
		n = image_window_dumped(m.image, a, &p);
		if (!n != (dumped_byte(&m, a) < 0))
			wrong_at(_i, a, "the dumped window is wrong");
		if (n && (p[0] != dumped_byte(&m, a) || dumped_byte(&m, a + n - 1) != p[n - 1]))
			wrong_at(_i, a, "the dumped window has other bytes");
	}
	end(&m);
}
END_TEST

START_TEST(reads_cross_every_border)
{
	struct made m;
	make(&m, (uint64_t)_i + 1);
	for (int k = 0; k < LOOKS; k++) {
		uint64_t a = some_address(&m), n = 1 + below(&m, below(&m, 4) ? 24 : 3 * PAGE);
		uint8_t got[3 * PAGE];
		bool there = true;
		for (uint64_t i = 0; i < n && there; i++)
			there = byte_at(&m, a + i) >= 0;
		bool ok = image_read(m.image, a, got, n);
		if (ok != there)
			wrong_at(_i, a, ok ? "more was read than there is" : "less was read than there is");
		for (uint64_t i = 0; ok && i < n; i += 1 + i / 16)
			if (got[i] != byte_at(&m, a + i))
				wrong_at(_i, a + i, "another byte was read");
	}
	end(&m);
}
END_TEST

START_TEST(words_and_strings)
{
	struct made m;
	make(&m, (uint64_t)_i + 1);
	unsigned w = m.picture.arch->word;
	for (int k = 0; k < LOOKS; k++) {
		uint64_t a = some_address(&m), want = 0, got = 0;
		uint32_t small = 0;
		bool there = true, four = true;
		for (unsigned i = 0; i < w; i++) {
			int byte = byte_at(&m, a + i);
			there &= byte >= 0;
			four &= byte >= 0 || i >= 4;
			want |= (uint64_t)(byte & 0xff) << 8 * i;
		}
		if (image_word(m.image, a, &got) != there || (there && got != want))
			wrong_at(_i, a, "the word is wrong");
		if (image_u32(m.image, a, &small) != four || (four && small != (uint32_t)want))
			wrong_at(_i, a, "the 32-bit word is wrong");
	}
	/* A string that ends, one that is cut by its limit, one that is cut by a hole. */
	struct extent *e = &m.picture.extents.at[m.picture.extents.n - 1];
	char text[MOST + 1];
	ck_assert(!image_string(m.image, e->address + e->bytes - 1, text, sizeof text) || byte_at(&m, e->address + e->bytes) >= 0);
	((uint8_t *)e->data)[e->bytes - 1] = 0;
	ck_assert(image_string(m.image, e->address, text, sizeof text));
	ck_assert_mem_eq(text, e->data, e->bytes);
	ck_assert(e->bytes == 1 || !image_string(m.image, e->address, text, e->bytes - 1));
	end(&m);
}
END_TEST

struct visited { struct made *m; uint64_t at, bytes; int seed; };

static bool visit(void *ctx, uint64_t address, const uint8_t *data, size_t n)
{
	struct visited *v = ctx;
	if (address < v->at || !n)
		wrong_at(v->seed, address, "a window is out of order");
	if (data[0] != dumped_byte(v->m, address) || data[n - 1] != dumped_byte(v->m, address + n - 1))
		wrong_at(v->seed, address, "a window shows other bytes");
	v->at = address + n;
	v->bytes += n;
	return true;
}

START_TEST(each_window_and_the_next)
{
	struct made m;
	make(&m, (uint64_t)_i + 1);
	for (int k = 0; k < 60; k++) {
		uint64_t start = some_address(&m), stop = k % 3 ? some_address(&m) : UINT64_MAX, want = 0, next = UINT64_MAX;
		for (size_t i = 0; i < m.picture.extents.n; i++) {
			const struct extent *e = &m.picture.extents.at[i];
			uint64_t from = e->address > start ? e->address : start, to = e->address + e->bytes < stop ? e->address + e->bytes : stop;
			want += to > from ? to - from : 0;
			if (e->address + e->bytes > start && next == UINT64_MAX)
				next = from;
		}
		struct visited v = { .m = &m, .at = start, .seed = _i };
		image_each_window(m.image, start, stop, visit, &v);
		if (v.bytes != want)
			wrong_at(_i, start, "not all windows were visited");
		if (image_next_dumped(m.image, start) != next)
			wrong_at(_i, start, "the next dumped address is wrong");
	}
	end(&m);
}
END_TEST

START_TEST(an_empty_picture)
{
	struct picture p = { .arch = arch_host(), .page = PAGE };
	struct image *img = image_create(&p);
	const uint8_t *at;
	uint64_t word;
	ck_assert_uint_eq(image_window(img, 0, &at), 0);
	ck_assert_uint_eq(image_window(img, UINT64_MAX, &at), 0);
	ck_assert(!image_word(img, UINT64_MAX - 3, &word));
	ck_assert_uint_eq(image_next_dumped(img, 0), UINT64_MAX);
	ck_assert_ptr_eq(image_picture(img), &p);
	ck_assert_ptr_eq(image_arch(img), arch_host());
	image_destroy(img);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("image");
	TCase *t = tcase_create("reference");
	tcase_add_loop_test(t, windows_show_what_is_there, 0, PICTURES);
	tcase_add_loop_test(t, reads_cross_every_border, 0, PICTURES);
	tcase_add_loop_test(t, words_and_strings, 0, PICTURES);
	tcase_add_loop_test(t, each_window_and_the_next, 0, PICTURES);
	tcase_add_test(t, an_empty_picture);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

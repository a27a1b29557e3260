/* base: checked spans, text, vectors, the hash map, errors. */
#include <check.h>
#include <errno.h>

#include "flotsam/base.h"

START_TEST(span_reads_stay_inside)
{
	static const uint8_t bytes[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
	struct span s = {bytes, sizeof bytes};
	uint64_t v = 77;
	uint32_t w = 77;

	ck_assert(span_u64(s, 1, false, &v));
	ck_assert_uint_eq(v, 0x0908070605040302);
	ck_assert(span_u64(s, 0, true, &v));
	ck_assert_uint_eq(v, 0x0102030405060708);
	v = 77;
	ck_assert(!span_u64(s, 2, false, &v));
	ck_assert(!span_u64(s, SIZE_MAX, false, &v));
	ck_assert(!span_u64(s, SIZE_MAX - 3, false, &v));
	ck_assert_uint_eq(v, 77);
	ck_assert(span_word(s, 5, 4, false, &v));
	ck_assert_uint_eq(v, 0x09080706);
	ck_assert(!span_u32(s, 6, false, &w));
	ck_assert_uint_eq(w, 77);
}
END_TEST

START_TEST(span_sub_outside_is_empty)
{
	static const uint8_t bytes[4];
	struct span s = {bytes, sizeof bytes};

	ck_assert_uint_eq(span_sub(s, 1, 3).n, 3);
	ck_assert_ptr_eq(span_sub(s, 1, 3).p, bytes + 1);
	ck_assert_uint_eq(span_sub(s, 1, 4).n, 0);
	ck_assert_uint_eq(span_sub(s, SIZE_MAX, 2).n, 0);
	ck_assert_uint_eq(span_sub(s, 2, SIZE_MAX).n, 0);
}
END_TEST

START_TEST(span_strlen_needs_its_end)
{
	struct span s = {(const uint8_t *)"ab\0cd", 5};

	ck_assert_int_eq(span_strlen(s, 0), 2);
	ck_assert_int_eq(span_strlen(s, 2), 0);
	ck_assert_int_eq(span_strlen(s, 3), -1);
	ck_assert_int_eq(span_strlen(s, 6), -1);
}
END_TEST

START_TEST(escaped_text_drives_no_terminal)
{
	static const char foreign[] = "a\x1b[2J\x07\x7f\n\xc3\xa9\xff\xc2\x9b\xc0\x80z";
	struct strbuf s = {0};

	strbuf_add_escaped(&s, foreign, sizeof foreign - 1);
	ck_assert_ptr_nonnull(s.text);
	for (size_t i = 0; i < s.n; i++)
		ck_assert_msg((uint8_t)s.text[i] >= 0x20 && s.text[i] != 0x7f, "byte %zu of %s", i, s.text);
	ck_assert_ptr_nonnull(strstr(s.text, "\xc3\xa9"));
	ck_assert_ptr_null(strstr(s.text, "\xc2\x9b"));
	ck_assert_ptr_null(strstr(s.text, "\xff"));
	ck_assert_ptr_nonnull(strstr(s.text, "\\x1b"));
	ck_assert_int_eq(s.text[s.n - 1], 'z');
	strbuf_free(&s);
}
END_TEST

START_TEST(strbuf_grows)
{
	struct strbuf s = {0};

	for (int i = 0; i < 1000; i++)
		strbuf_printf(&s, "%d,", i % 10);
	ck_assert_uint_eq(s.n, 2000);
	ck_assert_uint_eq(strlen(s.text), 2000);
	ck_assert(!s.failed);
	strbuf_free(&s);
}
END_TEST

START_TEST(vec_slots_are_zero)
{
	struct pair { uint64_t a, b; };
	VEC(struct pair) v = {0};

	for (uint64_t i = 0; i < 1000; i++) {
		struct pair *slot = vec_push(&v);

		ck_assert_ptr_nonnull(slot);
		ck_assert(slot->a == 0 && slot->b == 0);
		slot->a = i;
		slot->b = ~i;
	}
	for (uint64_t i = 0; i < 1000; i++)
		ck_assert(v.at[i].a == i && v.at[i].b == ~i);
	ck_assert(!vec_reserve(&v, SIZE_MAX / sizeof *v.at));
	ck_assert_uint_eq(v.n, 1000);
	vec_free(&v);
}
END_TEST

START_TEST(map64_finds_what_was_put)
{
	struct map64 m = {0};
	uint64_t v = 5;

	ck_assert(!map64_find(&m, 0, &v));
	for (uint64_t i = 0; i < 5000; i++)
		ck_assert(map64_put(&m, i * 0x10000, i));
	ck_assert(map64_put(&m, 0, 42));
	ck_assert_uint_eq(m.n, 5000);
	ck_assert(map64_find(&m, 0, &v));
	ck_assert_uint_eq(v, 42);
	for (uint64_t i = 1; i < 5000; i++) {
		ck_assert(map64_find(&m, i * 0x10000, &v));
		ck_assert_uint_eq(v, i);
	}
	ck_assert(!map64_find(&m, 1, &v));
	map64_free(&m);
}
END_TEST

struct sorted { uint32_t key, before; };

static int by_key(const void *a, const void *b, void *ctx)
{
	const struct sorted *x = a, *y = b;
	++*(uint64_t *)ctx;
	return x->key < y->key ? -1 : x->key > y->key;
}

/* Sizes around those of a run and of its doubles; keys that are often equal. */
START_TEST(sort_keeps_equal_ones_in_order)
{
	static const size_t sizes[] = { 0, 1, 2, 1000, 32767, 32768, 32769, 65536, 98305, 131073, 300000 };
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		size_t n = sizes[k];
		uint64_t compared = 0, sum = 0, after = 0;
		uint32_t seed = 7;
		struct sorted *v = calloc(n + 1, sizeof *v);
		for (size_t i = 0; i < n; i++) {
			seed = seed * 1103515245 + 12345;
			v[i] = (struct sorted){ seed >> 20, (uint32_t)i };
			sum += v[i].key;
		}
		sort_many(v, n, sizeof *v, by_key, &compared);
		for (size_t i = 0; i < n; i++) {
			after += v[i].key;
			ck_assert_msg(!i || v[i - 1].key < v[i].key || (v[i - 1].key == v[i].key && v[i - 1].before < v[i].before), "%zu of %zu", i, n);
		}
		ck_assert_uint_eq(sum, after);
		free(v);
	}
}
END_TEST

static int interrupting(const void *a, const void *b, void *ctx)
{
	if (++*(uint64_t *)ctx == 2000000)
		interrupted = 1;
	return memcmp(a, b, 4);
}

/* What is left to do after an interruption is what one run needs, not the rest of millions. */
START_TEST(sort_can_be_interrupted)
{
	enum { N = 2000000, RUN = 1 << 15 };
	uint64_t compared = 0;
	uint32_t *v = malloc(N * sizeof *v), seed = 1;
	for (size_t i = 0; i < N; i++)
		v[i] = seed = seed * 1103515245 + 12345;
	sort_many(v, N, sizeof *v, interrupting, &compared);
	interrupted = 0;
	free(v);
	ck_assert_uint_ge(compared, 2000000);
	ck_assert_uint_lt(compared, 2000000 + RUN * 16);
}
END_TEST

START_TEST(errors_carry_what_refused)
{
	struct err *e = err_hint(err_os(EACCES, "cannot open %s", "x"), "try: %s", "sudo");

	ck_assert_int_eq(e->kind, ERR_OS);
	ck_assert_int_eq(e->os, EACCES);
	ck_assert_str_eq(e->text, "cannot open x: Permission denied");
	ck_assert_str_eq(e->hint, "try: sudo");
	err_free(e);
	e = err_nomem();
	ck_assert_int_eq(e->kind, ERR_NOMEM);
	err_free(err_hint(e, "more memory"));
	ck_assert_ptr_nonnull(err_nomem()->text);
	err_free(NULL);
}
END_TEST

START_TEST(findings_have_a_limit)
{
	struct findings f = {0};

	for (int i = 0; i < LIMIT_FINDINGS + 10; i++)
		findings_add(&f, "bad-size", (uint64_t)i, "size %d", i);
	ck_assert_uint_eq(f.list.n, LIMIT_FINDINGS);
	ck_assert_uint_eq(f.dropped, 10);
	ck_assert_str_eq(f.list.at[7].text, "size 7");
	findings_free(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base");
	TCase *t = tcase_create("base");

	tcase_add_test(t, span_reads_stay_inside);
	tcase_add_test(t, span_sub_outside_is_empty);
	tcase_add_test(t, span_strlen_needs_its_end);
	tcase_add_test(t, escaped_text_drives_no_terminal);
	tcase_add_test(t, strbuf_grows);
	tcase_add_test(t, vec_slots_are_zero);
	tcase_add_test(t, map64_finds_what_was_put);
	tcase_add_test(t, sort_keeps_equal_ones_in_order);
	tcase_add_test(t, sort_can_be_interrupted);
	tcase_add_test(t, errors_carry_what_refused);
	tcase_add_test(t, findings_have_a_limit);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}

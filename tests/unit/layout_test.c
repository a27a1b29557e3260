/* The table of glibc's layouts: which row a version gets, what holds between the members of each row, and that the manual
 * names the rows that no library was at hand for. */
#include "src/alloc/glibc/glibc.h"

#include <check.h>

START_TEST(each_version_has_its_row)
{
	static const struct { unsigned minor; const char *versions; } want[] = {
		{ 27, "2.27 to 2.28" }, { 28, "2.27 to 2.28" }, { 29, "2.29" },	       { 30, "2.30 to 2.31" }, { 31, "2.30 to 2.31" },
		{ 32, "2.32 to 2.34" }, { 34, "2.32 to 2.34" }, { 35, "2.35 to 2.41" }, { 41, "2.35 to 2.41" }, { 42, "2.42" }, { 43, "2.43" },
	};
	for (unsigned word = 4; word <= 8; word += 4) {
		for (size_t i = 0; i < sizeof want / sizeof *want; i++)
			ck_assert_str_eq(glibc_layout_find(word, want[i].minor)->versions, want[i].versions);
		ck_assert_ptr_null(glibc_layout_find(word, 26));
	}
}
END_TEST

/* malloc/malloc.c: next follows 254 links and 16 bytes of map; the figures of an arena and of mp_ are in order. */
START_TEST(rows_hold_together)
{
	for (size_t i = 0; i < glibc_layout_count(); i++) {
		const struct glibc_layout *l = glibc_layout_get(i);
		ck_assert_uint_eq(l->arena.next, l->arena.bins + 254 * l->word + 16);
		ck_assert_uint_eq(l->arena.bins, l->arena.top + 2 * l->word);
		ck_assert_uint_eq(l->arena.system_mem, l->arena.next + 3 * l->word);
		ck_assert_uint_eq(l->arena.size, l->arena.system_mem + 2 * l->word);
		ck_assert_uint_eq(l->params.n_mmaps_max, l->params.n_mmaps + 4);
		ck_assert_uint_eq(l->params.sbrk_base, l->params.mmapped_mem + 2 * l->word);
		ck_assert_uint_eq(l->params.tcache_count, l->params.tcache_bins + 2 * l->word);
		ck_assert_uint_eq(l->tcache.entries, l->tcache.bins * l->tcache.count_bytes);
		ck_assert_uint_eq(l->tcache.size, l->tcache.entries + l->tcache.bins * l->word);
		/* malloc/arena.c pads heap_info so that the first chunk's payload is aligned. */
		ck_assert_uint_eq((l->heap_info_size + 2 * l->word) % 16, 0);
	}
}
END_TEST

/* The file as one line, its spaces single. */
static char *read_words(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 1 << 20);
	size_t n = 0;
	ck_assert(f && text);
	for (int c; (c = getc(f)) != EOF && n < (1 << 20) - 1;) {
		c = c == '\n' ? ' ' : c;
		if (c != ' ' || !n || text[n - 1] != ' ')
			text[n++] = (char)c;
	}
	fclose(f);
	return text;
}

/* Versions stand behind "Those of" when they are untested, behind "The layouts of" when they are tested. */
START_TEST(manual_names_untested_rows)
{
	char *man = read_words("man/flotsam.1"), *tested = strstr(man, "The layouts of 2."), *untested = strstr(man, "Those of 2.");
	ck_assert(tested && untested && tested < untested);
	char *end = strstr(untested, "no library was at hand");
	ck_assert(end);
	*end = 0;
	for (size_t i = 0; i < glibc_layout_count(); i++) {
		const struct glibc_layout *l = glibc_layout_get(i);
		const char *at = strstr(tested, l->versions);
		ck_assert_msg(at, "%s is not named", l->versions);
		ck_assert_msg((at > untested) == !l->tested, "%s stands among the wrong ones", l->versions);
	}
	free(man);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("layout");
	TCase *tc = tcase_create("layout");
	tcase_add_test(tc, each_version_has_its_row);
	tcase_add_test(tc, rows_hold_together);
	tcase_add_test(tc, manual_names_untested_rows);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

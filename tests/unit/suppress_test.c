/* Suppressions: what a pattern matches, as LeakSanitizer has it, and what a file may hold. */
#include <check.h>
#include <sys/mman.h>
#include <unistd.h>

#include "flotsam/query.h"

START_TEST(patterns)
{
	static const struct { const char *pattern, *text; bool matches; } rows[] = {
		{ "Session", "Session", true }, { "Session", "ns::Session*", true }, { "Session", "Sessio", false }, { "ess", "Session", true },
		{ "^Session", "Session", true }, { "^ession", "Session", false }, { "Sess$", "Session", false }, { "sion$", "Session", true },
		{ "^Session$", "Session", true }, { "^Session$", "Sessions", false }, { "S*n", "Session", true }, { "^S*n$", "Session", true },
		{ "^S*x*n$", "Session", false }, { "*", "anything", true }, { "*", "", true }, { "**", "x", true }, { "^*$", "x", true },
		{ "s*s*s", "session", true }, { "s*s*s*s", "session", false }, { "^a*a$", "a", false }, { "^a*a$", "aa", true },
		{ "a*bc*d", "xxabbcxd", true }, { "$", "x", true }, { "^$", "", true }, { "^$", "x", false },
		{ "", "x", true }, { "libfoo.so", "libfoo.so.1", true }, { "foo^", "foo^", true },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		ck_assert_msg(suppressions_match(rows[i].pattern, rows[i].text) == rows[i].matches, "'%s' on '%s'", rows[i].pattern, rows[i].text);
}
END_TEST

/* A pattern that would cost a backtracking matcher years costs the product of the lengths. */
START_TEST(long_patterns_end)
{
	char pattern[4001], text[4001];
	for (int i = 0; i < 2000; i++)
		memcpy(pattern + 2 * i, "*a", 2);
	pattern[4000] = '\0';
	memset(text, 'a', 1999);
	memset(text + 1999, 'b', 2001);
	text[4000] = '\0';
	ck_assert(!suppressions_match(pattern, text));
	text[3999] = 'a';
	ck_assert(suppressions_match(pattern, text));
}
END_TEST

static struct err *read_text(const char *text, size_t n, struct suppressions *s)
{
	char path[64];
	int fd = memfd_create("suppressions", 0);
	ck_assert(write(fd, text, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	struct err *e = suppressions_read(path, s);
	close(fd);
	return e;
}

START_TEST(files)
{
	static const char good[] = "# comment\n\n  leak:one\r\nleak:two three \n\t#leak:no\nleak:last";
	static const char *const bad[] = { "leak:\n", "leak:a\nrace:b\n", "leak\n", "a", "Leak:a" };
	struct suppressions s;
	ck_assert_ptr_null(read_text(good, sizeof good - 1, &s));
	ck_assert_uint_eq(s.patterns.n, 3);
	ck_assert_str_eq(s.patterns.at[0], "one");
	ck_assert_str_eq(s.patterns.at[1], "two three");
	ck_assert_str_eq(s.patterns.at[2], "last");
	suppressions_free(&s);
	ck_assert_ptr_null(read_text("", 0, &s));
	ck_assert_uint_eq(s.patterns.n, 0);
	suppressions_free(&s);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err *e = read_text(bad[i], strlen(bad[i]), &s);
		ck_assert_msg(e && e->kind == ERR_USAGE, "'%s' was taken", bad[i]);
		err_free(e);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("suppress");
	TCase *t = tcase_create("suppress");

	tcase_add_test(t, patterns);
	tcase_add_test(t, long_patterns_end);
	tcase_add_test(t, files);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}

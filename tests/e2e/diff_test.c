/* flotsam snap and diff against a program that grows as it is told, and says by how much. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process.h"
#include "scratch.h"

static struct child child;
static char pid[16];

static void start(void)
{
	char *argv[] = { (char *)(uintptr_t)"growth", NULL };
	ck_assert(child_start(&child, argv, NULL, true));
	json_t *first = child_json(&child);
	ck_assert_ptr_nonnull(first);
	json_decref(first);
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
}

static void tell(const char *line)
{
	ck_assert_int_eq(write(child.in, line, strlen(line)), (ssize_t)strlen(line));
	json_t *now = child_json(&child);
	ck_assert_msg(now, "no answer to %s", line);
	json_decref(now);
	ck_assert(child_settled(&child));
}

static const char *file(const char *name)
{
	static char path[4][300];
	static unsigned i;
	i = (i + 1) % 4;
	snprintf(path[i], sizeof path[i], "%s/%s", scratch_directory(), name);
	return path[i];
}

static int flotsam(const char *a, const char *b, const char *c, const char *d)
{
	int status;
	const char *argv[] = { flotsam_path(), a, b, c, d, NULL };
	free(run_text((char *const *)(uintptr_t)argv, &status));
	return status;
}

static void snap(const char *name)
{
	ck_assert_int_eq(flotsam("snap", pid, "-o", file(name)), 0);
}

static json_t *diff(const char *a, const char *b, const char *c)
{
	int status;
	const char *argv[] = { flotsam_path(), "diff", "--format", "json", a, b, c, NULL };
	json_t *j = run_json((char *const *)(uintptr_t)argv, &status);
	ck_assert_ptr_nonnull(j);
	ck_assert_int_eq(status, 0);
	return j;
}

static json_int_t number(const json_t *j, const char *a, const char *b)
{
	json_t *v = json_object_get(j, a);
	v = b ? json_object_get(v, b) : v;
	ck_assert_msg(json_is_integer(v), "%s.%s is no number", a, b ? b : "");
	return json_integer_value(v);
}

/* The group of blocks of this size that this holder keeps; NULL: of leaked ones. */
static json_t *group(const json_t *j, json_int_t size, const char *holder, size_t *ret_place)
{
	size_t i;
	json_t *g;
	json_array_foreach(json_object_get(j, "groups"), i, g) {
		const char *h = json_string_value(json_object_get(g, "holder"));
		if (number(g, "size", NULL) == size && (holder ? h && !strcmp(h, holder) : !h)) {
			if (ret_place)
				*ret_place = i;
			return g;
		}
	}
	ck_abort_msg("no group of %d bytes held by %s", (int)size, holder ? holder : "nothing");
	return NULL;
}

enum { USABLE_200 = 200, USABLE_500 = 504, USABLE_1000 = 1000 };

START_TEST(one_process)
{
	tell("cache 100 200\n");
	tell("lose 5 504\n");
	tell("log 50 1000\n");
	snap("a");
	tell("cache 40 200\n");
	tell("forget 10 0\n");
	tell("lose 7 504\n");
	json_t *j = diff(file("a"), pid, NULL), *g = group(j, USABLE_200, "g_cache", NULL);
	ck_assert(json_is_true(json_object_get(j, "one_process")));
	ck_assert_int_eq(number(g, "more_blocks", NULL), 30);
	ck_assert_int_eq(number(g, "more_bytes", NULL), 30 * USABLE_200);
	ck_assert_int_eq(number(g, "new", "blocks"), 40);
	ck_assert_int_eq(number(g, "gone", "blocks"), 10);
	ck_assert_int_eq(number(j, "new", "blocks"), 47);
	ck_assert_int_eq(number(j, "gone", "blocks"), 10);
	ck_assert_int_eq(number(j, "more_blocks", NULL), 37);
	ck_assert_int_ge(number(j, "survived", "blocks"), 90 + 5 + 50);
	ck_assert_int_eq(number(j, "new_leaked", "blocks"), 7);
	ck_assert_int_eq(number(j, "new_leaked", "bytes"), 7 * USABLE_500);
	ck_assert_int_eq(number(j, "old_leaked", "blocks"), 5);
	ck_assert_int_eq(number(j, "no_longer_leaked", "blocks"), 0);
	g = group(j, USABLE_500, NULL, NULL);
	ck_assert_int_eq(number(g, "more_blocks", NULL), 7);
	ck_assert_str_eq(json_string_value(json_object_get(g, "class")), "definite");
	json_decref(j);
}
END_TEST

/* Another process of the same program: groups are the same, blocks are not. */
START_TEST(after_a_restart)
{
	tell("cache 100 200\n");
	tell("lose 9 504\n");
	snap("a");
	child_end(&child);
	start();
	tell("cache 160 200\n");
	tell("lose 4 504\n");
	json_t *j = diff(file("a"), pid, NULL), *g = group(j, USABLE_200, "g_cache", NULL);
	ck_assert(json_is_false(json_object_get(j, "one_process")));
	ck_assert(json_is_null(json_object_get(j, "survived")));
	ck_assert_int_eq(number(g, "more_blocks", NULL), 60);
	ck_assert_int_eq(number(j, "new_leaked", "blocks"), 0);
	ck_assert_int_eq(number(j, "old_leaked", "blocks"), 4);
	ck_assert_int_eq(number(j, "no_longer_leaked", "blocks"), 5);
	ck_assert_int_eq(number(group(j, USABLE_500, NULL, NULL), "more_blocks", NULL), -5);
	json_decref(j);
}
END_TEST

/* What grew at every look stands before what grew more, but once. */
START_TEST(three_looks)
{
	size_t steady, once;
	tell("cache 10 200\n");
	tell("log 1 1000\n");
	snap("a");
	tell("cache 10 200\n");
	tell("log 500 1000\n");
	snap("b");
	tell("cache 10 200\n");
	json_t *j = diff(file("a"), file("b"), pid), *g = group(j, USABLE_200, "g_cache", &steady);
	ck_assert(json_is_true(json_object_get(g, "grew_always")));
	ck_assert(json_real_value(json_object_get(g, "bytes_per_second")) > 0);
	ck_assert_uint_eq(json_array_size(json_object_get(g, "looks")), 3);
	g = group(j, USABLE_1000, "g_log", &once);
	ck_assert(json_is_false(json_object_get(g, "grew_always")));
	ck_assert_int_eq(number(g, "more_blocks", NULL), 500);
	ck_assert_uint_lt(steady, once);
	json_decref(j);
}
END_TEST

START_TEST(nothing_changed)
{
	tell("cache 100 200\n");
	json_t *j = diff(pid, pid, NULL);
	ck_assert(json_is_true(json_object_get(j, "one_process")));
	ck_assert_uint_eq(json_array_size(json_object_get(j, "groups")), 0);
	ck_assert_int_eq(number(j, "new", "blocks") + number(j, "gone", "blocks"), 0);
	json_decref(j);
	int status;
	const char *argv[] = { flotsam_path(), "diff", pid, pid, NULL };
	char *text = run_text((char *const *)(uintptr_t)argv, &status);
	ck_assert_msg(strstr(text, "No group of blocks grew or shrank."), "%s", text);
	free(text);
}
END_TEST

/* Groups are matched by labels: looks whose labels are made in two ways say so. */
START_TEST(labels_of_two_kinds)
{
	int status;
	const char *argv[] = { flotsam_path(), "snap", pid, "--types=all", "-o", file("typed"), NULL };
	tell("cache 100 24\n");
	free(run_text((char *const *)(uintptr_t)argv, &status));
	ck_assert_int_eq(status, 0);
	snap("untyped");
	json_t *one_way = diff(file("untyped"), pid, NULL), *two = diff(file("typed"), pid, NULL);
	ck_assert(json_is_false(json_object_get(one_way, "other_labels")));
	ck_assert(json_is_true(json_object_get(two, "other_labels")));
	json_decref(one_way);
	json_decref(two);
}
END_TEST

START_TEST(in_words)
{
	tell("cache 100 200\n");
	snap("a");
	tell("cache 1000 200\n");
	tell("lose 3 504\n");
	int status;
	const char *argv[] = { flotsam_path(), "diff", file("a"), pid, NULL };
	char *text = run_text((char *const *)(uintptr_t)argv, &status), *leaks = strstr(text, "MORE LEAKED"), *grew = strstr(text, "GREW");
	ck_assert_int_eq(status, 0);
	ck_assert_msg(leaks && grew && leaks < grew && strstr(leaks, "+3 ") && strstr(grew, "+1,000") && strstr(grew, "held by g_cache"), "%s", text);
	ck_assert_msg(strstr(text, "one process"), "%s", text);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		ck_assert_msg(strlen(line) <= 80, "%s", line);
	free(text);
}
END_TEST

/* The file is the caller's alone, is never written over, and is not there when there was no look. */
START_TEST(the_file)
{
	struct stat st;
	snap("a");
	ck_assert(!stat(file("a"), &st));
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	off_t size = st.st_size;
	ck_assert_int_eq(flotsam("snap", pid, "-o", file("a")), 2);
	ck_assert(!stat(file("a"), &st) && st.st_size == size);
	ck_assert_int_eq(flotsam("snap", "999999999", "-o", file("b")), 3);
	ck_assert(stat(file("b"), &st));
	ck_assert(!truncate(file("a"), size / 2));
	ck_assert_int_eq(flotsam("diff", file("a"), pid, NULL), 3);
	ck_assert_int_eq(flotsam("diff", pid, NULL, NULL), 2);
}
END_TEST

static int check(const char *base, const char *rule)
{
	int status;
	const char *argv[] = { flotsam_path(), "check", pid, "--against", base, rule ? "--fail-on" : NULL, rule, NULL };
	free(run_text((char *const *)(uintptr_t)argv, &status));
	return status;
}

/* A build that leaks no more than the last one passes. */
START_TEST(against_a_base)
{
	tell("lose 20 504\n");
	snap("a");
	ck_assert_int_eq(check(file("a"), NULL), 0);
	ck_assert_int_eq(check(pid, NULL), 0);
	tell("lose 3 504\n");
	tell("cache 8 200\n");
	ck_assert_int_eq(check(file("a"), NULL), 1);
	ck_assert_int_eq(check(file("a"), "new_leaked.blocks == 3"), 1);
	ck_assert_int_eq(check(file("a"), "new_leaked.bytes > 1512"), 0);
	ck_assert_int_eq(check(file("a"), "old_leaked.blocks != 20"), 0);
	ck_assert_int_eq(check(file("a"), "more_blocks == 11"), 1);
	ck_assert_int_eq(check(file("a"), "reachability.definite.blocks > 23"), 0);
	ck_assert_int_eq(check(file("missing"), NULL), 3);
	ck_assert_int_eq(flotsam("check", pid, "--fail-on", "new_leaked.blocks > 0"), 2);
	/* A census may be what is judged, too. */
	snap("b");
	const char *argv[] = { flotsam_path(), "check", file("b"), "--against", file("a"), "--format", "json", NULL };
	int status;
	json_t *j = run_json((char *const *)(uintptr_t)argv, &status);
	ck_assert_int_eq(status, 1);
	ck_assert_int_eq(number(json_array_get(json_object_get(j, "rules"), 0), "value", NULL), 3);
	json_decref(j);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("diff");
	TCase *c = tcase_create("growth");
	tcase_add_checked_fixture(c, start, NULL);
	tcase_set_timeout(c, 120);
	tcase_add_test(c, one_process);
	tcase_add_test(c, after_a_restart);
	tcase_add_test(c, three_looks);
	tcase_add_test(c, nothing_changed);
	tcase_add_test(c, labels_of_two_kinds);
	tcase_add_test(c, in_words);
	tcase_add_test(c, the_file);
	tcase_add_test(c, against_a_base);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

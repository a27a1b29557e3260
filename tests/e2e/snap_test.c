/* flotsam on a census says what it says of the core that the census was made of, in every command that needs no bytes: those about
 * pointers too. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process.h"
#include "scratch.h"

static struct child child;
static char census[300];
static const char *core;

/* False: there is no gdb. */
static bool take_both(const char *fixture, const char *mode)
{
	char *argv[] = { (char *)(uintptr_t)fixture, (char *)(uintptr_t)mode, NULL };
	int status;
	ck_assert(child_start(&child, argv, NULL, true));
	json_t *first = child_json(&child);
	ck_assert_ptr_nonnull(first);
	json_decref(first);
	ck_assert(child_settled(&child));
	core = child_gcore(&child);
	if (!core) {
		printf("SKIP census %s: needs gdb\n", fixture);
		return false;
	}
	snprintf(census, sizeof census, "%s/census", scratch_directory());
	const char *snap[] = { flotsam_path(), "snap", core, "-o", census, NULL };
	free(run_text((char *const *)(uintptr_t)snap, &status));
	ck_assert_int_eq(status, 0);
	return true;
}

static json_t *ask(const char *const *words, const char *target, int *ret_status)
{
	/* A census is labelled so, whatever its heap's size. */
	const char *argv[16] = { flotsam_path(), words[0], target, "--format", "json", "--types=vtable" };
	for (size_t i = 1; words[i]; i++)
		argv[i + 5] = words[i];
	json_t *j = run_json((char *const *)(uintptr_t)argv, ret_status);
	/* What it is of, how long it took, and how to ask on. */
	json_object_del(j, "timings");
	json_object_del(json_object_get(j, "target"), "kind");
	json_t *verdicts = json_object_get(j, "verdicts"), *v;
	size_t i;
	json_array_foreach(verdicts, i, v)
		json_object_del(v, "next");
	return j;
}

static const char *const questions[][6] = {
	{ "report" }, { "verify" }, { "blocks" }, { "blocks", "group", "by", "holder" }, { "blocks", "group", "by", "label" }, { "blocks", "leaked" },
	{ "check" }, { "arenas" }, { "arena", "0" }, { "heaps" }, { "bins" }, { "tcache" }, { "trim" }, { "map" }, { "frag" }, { "rss" }, { "maps" },
	{ "modules" },
};

static void compare(const char *const *words, const char *fixture)
{
	int of_core, of_census;
	json_t *a = ask(words, core, &of_core), *b = ask(words, census, &of_census);
	ck_assert_int_eq(of_core, of_census);
	if (!json_equal(a, b) && (a || b)) {
		char *x = json_dumps(a, JSON_INDENT(1) | JSON_SORT_KEYS), *y = json_dumps(b, JSON_INDENT(1) | JSON_SORT_KEYS);
		size_t n = 0, line = 0;
		for (; x && y && x[n] && x[n] == y[n]; n++)
			line = x[n] == '\n' ? n : line;
		ck_abort_msg("%s %s of %s: core %.200s, census %.200s", words[0], words[1] ? words[1] : "", fixture, x ? x + line : "-", y ? y + line : "-");
	}
	json_decref(a);
	json_decref(b);
}

static const char *const fixtures[][2] = { { "commands", NULL }, { "retention", "pins" }, { "retention", "lists" }, { "inheritance", NULL } };

START_TEST(says_the_same)
{
	if (take_both(fixtures[_i][0], fixtures[_i][1]))
		for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
			int status;
			json_t *a = ask(questions[i], core, &status);
			ck_assert_msg(a, "%s: the core does not answer", questions[i][0]);
			json_decref(a);
			compare(questions[i], fixtures[_i][0]);
		}
}
END_TEST

/* Fixtures whose pointers are of all kinds: rings and lists, held by globals, frames, thread variables and registers, into the
 * middle of blocks, lost, free and free again. */
static const char *const pointing[][2] = { { "random_graph", NULL }, { "rings", NULL }, { "interior", NULL }, { "inheritance", NULL }, { "registers", NULL } };

START_TEST(points_the_same)
{
	static const char *const about[] = { "who", "refs", "path", "paths", "retained", "why", "cycle" };
	static const char *const all[][4] = { { "tree", "top", "0" }, { "tree", "leaked" }, { "blocks", "used", "sort", "retained" } };
	static const char *const list[] = { "blocks", "sort", "address", NULL };
	if (take_both(pointing[_i][0], pointing[_i][1])) {
		int status;
		for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
			const char *const words[] = { all[i][0], all[i][1], all[i][2], all[i][3], NULL };
			compare(words, pointing[_i][0]);
		}
		json_t *j = ask(list, core, &status), *blocks = json_is_array(j) ? j : json_object_get(j, "blocks");
		size_t n = json_array_size(blocks);
		ck_assert_uint_gt(n, 8);
		for (size_t i = 0; i < n; i += 1 + n / 12)
			for (size_t k = 0; k < sizeof about / sizeof *about; k++) {
				const char *const words[] = { about[k], json_string_value(json_object_get(json_array_get(blocks, i), "address")), NULL };
				ck_assert_ptr_nonnull(words[1]);
				compare(words, pointing[_i][0]);
			}
		json_decref(j);
	}
}
END_TEST

/* What needs bytes says so, and what does not need them is listed. */
START_TEST(needs_memory)
{
	static const char *const needy[][2] = { { "x", "0x1000" }, { "threads", NULL }, { "find", "0x1000" },
						{ "stack", NULL }, { "blocks", "text~abc" }, { "print", "main" } };
	char command[1024];
	int status;
	if (take_both("commands", NULL))
		for (size_t i = 0; i < sizeof needy / sizeof *needy; i++) {
			snprintf(command, sizeof command, "'%s' %s %s '%s' 2>&1", flotsam_path(), needy[i][0], census, needy[i][1] ? needy[i][1] : "--top=10");
			const char *argv[] = { "sh", "-c", command, NULL };
			char *said = run_text((char *const *)(uintptr_t)argv, &status);
			ck_assert_msg((status == 2 || status == 3) && strstr(said, "census"), "%s: status %d: %s", needy[i][0], status, said);
			free(said);
		}
}
END_TEST

/* What was left out is said. */
START_TEST(without_references)
{
	static const char *const needy[] = { "tree", "blocks used sort retained" };
	char command[1024];
	int status;
	if (take_both("commands", NULL)) {
		snprintf(command, sizeof command, "rm %s && '%s' snap %s --no-references -o %s", census, flotsam_path(), core, census);
		const char *argv[] = { "sh", "-c", command, NULL };
		free(run_text((char *const *)(uintptr_t)argv, &status));
		ck_assert_int_eq(status, 0);
		for (size_t i = 0; i < sizeof needy / sizeof *needy; i++) {
			snprintf(command, sizeof command, "'%s' shell %s -e '%s' 2>&1", flotsam_path(), census, needy[i]);
			char *said = run_text((char *const *)(uintptr_t)argv, &status);
			ck_assert_msg(strstr(said, "census holds no references"), "%s: status %d: %s", needy[i], status, said);
			free(said);
		}
	}
}
END_TEST

/* The prompt works on it, and none of the target's text is in the file. */
START_TEST(nothing_of_the_text)
{
	char command[1024];
	int status;
	if (take_both("commands", NULL)) {
		snprintf(command, sizeof command, "'%s' shell %s -e 'let a = leaked' -e sets -e report", flotsam_path(), census);
		const char *argv[] = { "sh", "-c", command, NULL };
		char *said = run_text((char *const *)(uintptr_t)argv, &status);
		ck_assert_msg(!status && strstr(said, "g_big"), "status %d: %s", status, said);
		free(said);
		snprintf(command, sizeof command, "grep -c 'begins plainly' %s; grep -c 'begins plainly' %s", census, core);
		said = run_text((char *const *)(uintptr_t)argv, &status);
		ck_assert_msg(said[0] == '0' && said[2] != '0', "%s", said);
		free(said);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("census");
	TCase *c = tcase_create("census");
	tcase_set_timeout(c, 240);
	tcase_add_loop_test(c, says_the_same, 0, sizeof fixtures / sizeof *fixtures);
	tcase_add_loop_test(c, points_the_same, 0, sizeof pointing / sizeof *pointing);
	tcase_add_test(c, without_references);
	tcase_add_test(c, needs_memory);
	tcase_add_test(c, nothing_of_the_text);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

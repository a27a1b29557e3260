/* A process held still and its full core say the same: classes that hang on words of the kernel, residency, RSS by cause, what could
 * go back. And so does a census of that core. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process.h"

static struct child child;
static char dir[64], core[128], census[128], pid[16];

static void run(const char *const *argv)
{
	int status;
	free(run_text((char *const *)(uintptr_t)argv, &status));
	ck_assert_msg(!status, "%s %s: status %d", argv[0], argv[1], status);
}

static void take(void)
{
	const char *snap[] = { flotsam_path(), "snap", pid, "--content=full", "-o", core, NULL };
	const char *again[] = { flotsam_path(), "snap", core, "-o", census, NULL };
	unlink(core);
	unlink(census);
	run(snap);
	run(again);
}

static const char *const questions[][6] = {
	{ "report" }, { "rss" }, { "blocks", "group", "by", "class" }, { "trim" }, { "maps" },
};
enum { N_QUESTIONS = sizeof questions / sizeof *questions };

static json_t *ask(const char *const *words, const char *target)
{
	const char *argv[16] = { flotsam_path(), words[0], target, "--format", "json" };
	int status;
	for (size_t i = 1; words[i]; i++)
		argv[i + 4] = words[i];
	json_t *j = run_json((char *const *)(uintptr_t)argv, &status), *t = json_object_get(j, "target"), *v;
	ck_assert_msg(j, "%s %s: no answer, status %d", words[0], target, status);
	/* How long it took, how to ask on, and what others do: the group's other processes, those that map the same files. */
	json_object_del(j, "timings");
	json_object_del(t, "kind");
	json_object_del(t, "stopped_seconds");
	json_object_del(t, "uptime_seconds");
	json_object_del(json_object_get(j, "rss"), "cgroup");
	json_object_del(json_object_get(j, "kernel"), "pss_bytes");
	json_object_del(json_object_get(j, "kernel"), "swap_pss_bytes");
	size_t i;
	json_array_foreach(json_object_get(j, "verdicts"), i, v)
		json_object_del(v, "next");
	return j;
}

static void ask_all(json_t **to, const char *target)
{
	for (size_t i = 0; i < N_QUESTIONS; i++)
		to[i] = ask(questions[i], target);
}

static bool all_equal(json_t **a, json_t **b)
{
	for (size_t i = 0; i < N_QUESTIONS; i++)
		if (!json_equal(a[i], b[i]))
			return false;
	return true;
}

static void release(json_t **of)
{
	for (size_t i = 0; i < N_QUESTIONS; i++)
		json_decref(of[i]);
}

static void compare(const char *of, json_t **a, json_t **b)
{
	for (size_t i = 0; i < N_QUESTIONS; i++) {
		if (json_equal(a[i], b[i]))
			continue;
		char *x = json_dumps(a[i], JSON_INDENT(1) | JSON_SORT_KEYS), *y = json_dumps(b[i], JSON_INDENT(1) | JSON_SORT_KEYS);
		size_t n = 0, line = 0;
		for (; x[n] && x[n] == y[n]; n++)
			line = x[n] == '\n' ? n : line;
		ck_abort_msg("%s %s of %s: process %.200s, core %.200s", questions[i][0], questions[i][1] ? questions[i][3] : "", of, x + line, y + line);
	}
}

static void start(const char *fixture, const char *mode)
{
	char *argv[] = { (char *)(uintptr_t)fixture, (char *)(uintptr_t)mode, NULL };
	strcpy(dir, "/tmp/flotsam-full-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(core, sizeof core, "%s/core", dir);
	snprintf(census, sizeof census, "%s/census", dir);
	ck_assert(child_start(&child, argv, NULL, true));
	json_t *first = child_json(&child);
	ck_assert_ptr_nonnull(first);
	json_decref(first);
	ck_assert(child_settled(&child));
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
}

static void end(void)
{
	const char *argv[] = { "/bin/rm", "-rf", dir, NULL };
	child_end(&child);
	run(argv);
}

/* A census is written with labels that do not depend on the heap's size. */
static const char *const plain_labels[] = { "report", "--types=vtable", NULL };

static const char *const fixtures[][2] = { { "kernel", NULL }, { "pages", NULL }, { "threads", NULL } };

START_TEST(says_the_same)
{
	enum { LOOKS = 10 };
	json_t *before[N_QUESTIONS], *after[N_QUESTIONS], *kept[N_QUESTIONS];
	bool still = false;
	start(fixtures[_i][0], fixtures[_i][1]);
	/* The kernel may take pages from a process that rests: then there is nothing to compare with. */
	for (int i = 0; i < LOOKS && !still; i++) {
		ask_all(before, pid);
		take();
		ask_all(after, pid);
		still = all_equal(before, after);
		release(before);
		if (!still)
			release(after);
	}
	if (still) {
		ask_all(kept, core);
		compare(fixtures[_i][0], after, kept);
		release(kept);
		/* A census has no list of locked mappings and no smaps. */
		json_t *of_core = ask(plain_labels, core), *of_census = ask(questions[0], census);
		ck_assert_msg(json_equal(of_core, of_census), "the census of the core of %s says something else", fixtures[_i][0]);
		json_decref(of_core);
		json_decref(of_census);
		release(after);
	} else {
		printf("SKIP full core of %s: its pages do not come to rest\n", fixtures[_i][0]);
	}
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("full core");
	TCase *c = tcase_create("full core");
	tcase_set_timeout(c, 240);
	tcase_add_loop_test(c, says_the_same, 0, sizeof fixtures / sizeof *fixtures);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

/* The verdict, on programs whose trouble is known: fixtures with one way to grow each, what malloc keeps, and programs that
 * have no trouble. A program is labelled with the kind of its verdict and with words that must be in it and in its fix. */
#include "process.h"
#include "scratch.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS(...) { __VA_ARGS__, NULL }
static const struct label {
	const char *argv[4]; /* a fixture, or an absolute name */
	const char *kind, *text, *next, *fix; /* parts */
} labels[] = {
	{ WORDS("ways", "cache"), "held", "g_cache", "holder=g_cache", "LRU" },
	{ WORDS("ways", "log"), "held", "g_request_log", "holder=g_request_log", "write them out" },
	{ WORDS("ways", "listeners"), "held", "g_listeners", "holder=g_listeners", "remove the listener" },
	{ WORDS("ways", "timers"), "held", "g_timers", "holder=g_timers", "cancel the timer" },
	{ WORDS("ways", "backlog"), "held", "g_backlog", "holder=g_backlog", "queue" },
	{ WORDS("ways", "things"), "held", "g_things", "holder=g_things", "bound it" },
	{ WORDS("ways", "lost"), "leak", "2.86 MiB in 3,000 blocks", "flotsam sites", "free it" },
	{ WORDS("ways", "unconnected"), "descriptors", "150 descriptors are of the kind socket", "flotsam resources", "close it" },
	{ WORDS("ways", "close-wait"), "descriptors", "120 descriptors are of the kind tcp, CLOSE_WAIT", "flotsam resources", "read(2) returns 0" },
	{ WORDS("ways", "files"), "descriptors", "ways is open 150 times", "flotsam resources", "close it" },
	{ WORDS("ways", "nearly-all"), "descriptors", "of 200 descriptors are open", "flotsam resources", "ulimit" },
	{ WORDS("ways", "threads"), "threads", "300 of 301 threads stand in wait_for_answer(), begun in worker()", "flotsam resources", "deadline" },
	{ WORDS("ways", "posix-timers"), "timers", "200 timers", "flotsam resources", "timer_delete" },
	{ WORDS("ways", "outside"), "outside-malloc", "mapped outside malloc", "flotsam maps", "munmap" },
	{ WORDS("ways", "shared"), "outside-malloc", "shared memory", "flotsam maps", "shm_unlink" },
	{ WORDS("ways", "stacks"), "outside-malloc", "thread stacks", "flotsam maps", "smaller stacks" },
	{ WORDS("retention", "one"), "retention", "malloc_trim(3) would return it", "flotsam trim", "malloc_trim(0)" },
	{ WORDS("ways", "tops"), "thread-tops", "tops of thread arenas", "flotsam trim", "MALLOC_TRIM_THRESHOLD_" },
	{ WORDS("retention", "sparse"), "fragmentation", "held by g_kept", "flotsam frag", "pool of its own" },
	{ WORDS("damage", "overflow-long"), "damage", "malloc's own records are damaged", "flotsam verify", "AddressSanitizer" },
	{ WORDS("damage", "healthy"), "nothing-unusual", "", NULL, NULL },
	{ WORDS("ways", "healthy"), "nothing-unusual", "", NULL, NULL },
	{ WORDS("clean"), "nothing-unusual", "", NULL, NULL },
	{ WORDS("/bin/sh", "-c", "exec python3 -c 'import json, sys, threading, email; print(\"{}\"); sys.stdout.flush(); sys.stdin.read()'"), "nothing-unusual", "", NULL, NULL },
	{ WORDS("/bin/sh", "-c", "exec perl -e '$| = 1; my %h = map { $_ => 1 } 1 .. 9999; print \"{}\\n\"; <STDIN>'"), "nothing-unusual", "", NULL, NULL },
	{ WORDS("/bin/sh", "-c", "echo '{}'; read line"), "nothing-unusual", "", NULL, NULL },
};
enum { N_LABELS = sizeof labels / sizeof *labels };

static struct child child;
static char pid[16];

static void start(const char *const *argv)
{
	ck_assert_msg(child_start(&child, (char *const *)(uintptr_t)argv, NULL, false), "%s does not start", argv[0]);
	json_t *hello = child_json(&child);
	ck_assert_msg(hello, "%s says nothing", argv[0]);
	json_decref(hello);
	ck_assert(child_settled(&child));
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
}

static json_t *report_of(const char *target)
{
	int status;
	const char *argv[] = { flotsam_path(), "report", target, "--format", "json", NULL };
	json_t *j = run_json((char *const *)argv, &status);
	ck_assert_msg(j && status == 0, "report ended with %d", status);
	return j;
}

static const char *member(const json_t *v, const char *key)
{
	const char *s = json_string_value(json_object_get(v, key));
	return s ? s : "";
}

/* The first that speaks of the program: whoever runs the tests may himself be near the limit of a control group. */
static json_t *first_of(const json_t *report)
{
	static json_t *nothing;
	size_t i;
	json_t *v, *list = json_object_get(report, "verdicts");
	ck_assert_uint_gt(json_array_size(list), 0);
	json_array_foreach(list, i, v)
		if (strcmp(member(v, "kind"), "cgroup-limit") != 0)
			return v;
	if (!nothing)
		nothing = json_pack("{s:s, s:s, s:n, s:n}", "kind", "nothing-unusual", "text", "but the limit", "next", "fix");
	return nothing;
}

START_TEST(labelled)
{
	const struct label *l = &labels[_i];
	bool shell = l->argv[0][0] == '/';
	const char *name = shell ? l->argv[2] : l->argv[1] ? l->argv[1] : l->argv[0];
	if (shell && (getenv("FIXTURE_LAUNCH") || (strstr(name, "python3") && !have_program("python3")) || (strstr(name, "perl") && !have_program("perl")))) {
		printf("SKIP labelled: needs python3, perl\n");
		return;
	}
	start(l->argv);
	json_t *report = report_of(pid), *v = first_of(report);
	ck_assert_msg(!strcmp(member(v, "kind"), l->kind), "%s: %s: %s", name, member(v, "kind"), member(v, "text"));
	ck_assert_msg(strstr(member(v, "text"), l->text), "%s: %s", name, member(v, "text"));
	ck_assert_msg(l->next ? strstr(member(v, "next"), l->next) != NULL : json_is_null(json_object_get(v, "next")), "%s: %s", name, member(v, "next"));
	ck_assert_msg(l->fix ? strstr(member(v, "fix"), l->fix) != NULL : json_is_null(json_object_get(v, "fix")), "%s: %s", name, member(v, "fix"));

	/* The line of -q says the same. */
	int status;
	const char *argv[] = { flotsam_path(), pid, "-q", NULL };
	char *line = run_text((char *const *)argv, &status);
	const char *kind = member(json_array_get(json_object_get(report, "verdicts"), 0), "kind");
	ck_assert_msg(!strncmp(line, kind, strlen(kind)) && line[strlen(kind)] == ':', "%s", line);
	free(line);
	json_decref(report);
	child_end(&child);
}
END_TEST

/* A step that is offered can be taken. */
START_TEST(the_next_step_works)
{
	static const char *const ways[] = { "cache", "lost", "files" };
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		const char *argv[] = { "ways", ways[i], NULL };
		start(argv);
		json_t *report = report_of(pid);
		char command[512];
		int status;
		const char *next = member(first_of(report), "next");
		ck_assert(!strncmp(next, "flotsam ", 8));
		snprintf(command, sizeof command, "%s%s", flotsam_path(), next + 7);
		const char *words[] = { "/bin/sh", "-c", command, NULL };
		char *text = run_text((char *const *)words, &status);
		ck_assert_msg(status == 0 && strlen(text) > 40, "%s: status %d: %s", command, status, text);
		free(text);
		json_decref(report);
		child_end(&child);
	}
}
END_TEST

static bool has_kind(const json_t *report, const char *kind)
{
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(report, "verdicts"), i, v)
		if (!strcmp(member(v, "kind"), kind))
			return true;
	return false;
}

/* What the verdict offers does what it says: the same program, mended, has that verdict no more. */
START_TEST(the_fix_mends_it)
{
	const char *one[] = { "retention", "one", NULL }, *tops[] = { "ways", "tops", NULL };
	start(one);
	json_t *report = report_of(pid);
	ck_assert(has_kind(report, "retention"));
	json_decref(report);
	ck_assert_int_eq(write(child.in, "trim\n", 5), 5);
	json_t *done = child_json(&child);
	ck_assert_ptr_nonnull(done);
	json_decref(done);
	ck_assert(child_settled(&child));
	report = report_of(pid);
	ck_assert(!has_kind(report, "retention"));
	json_decref(report);
	child_end(&child);

	setenv("MALLOC_TRIM_THRESHOLD_", "131072", 1);
	start(tops);
	unsetenv("MALLOC_TRIM_THRESHOLD_");
	report = report_of(pid);
	ck_assert_str_eq(member(first_of(report), "kind"), "nothing-unusual");
	json_decref(report);
	child_end(&child);
}
END_TEST

static int check_status(const char *rule, const char *suppress)
{
	int status;
	const char *argv[] = { flotsam_path(), "check", pid, "--fail-on", rule, suppress ? "--suppress" : NULL, suppress, NULL };
	free(run_text((char *const *)argv, &status));
	return status;
}

START_TEST(rules_of_check)
{
	char known[300];
	const char *argv[] = { "ways", "cache", NULL };
	snprintf(known, sizeof known, "%s/known", scratch_directory());
	scratch_file("known", "leak:g_cache\n", strlen("leak:g_cache\n"));
	start(argv);
	ck_assert_int_eq(check_status("verdicts.held.bytes > 8 MiB", NULL), 1);
	ck_assert_int_eq(check_status("verdicts.held.count == 80000", NULL), 1);
	ck_assert_int_eq(check_status("verdicts.leak.bytes > 0", NULL), 0);
	ck_assert_int_eq(check_status("verdicts.held.bites > 0", NULL), 2);
	ck_assert_int_eq(check_status("verdicts.unheard.bytes > 0", NULL), 2);
	/* What the project agreed to is no verdict. */
	ck_assert_int_eq(check_status("verdicts.held.bytes > 0", known), 0);
	child_end(&child);
}
END_TEST

START_TEST(of_a_core)
{
	const char *argv[] = { "ways", "cache", NULL };
	start(argv);
	const char *core = child_gcore(&child);
	if (!core) {
		printf("SKIP of_a_core: needs gdb\n");
		return;
	}
	child_end(&child);
	json_t *report = report_of(core);
	ck_assert_str_eq(member(first_of(report), "kind"), "held");
	ck_assert_ptr_nonnull(strstr(member(first_of(report), "text"), "g_cache"));
	json_decref(report);
}
END_TEST

/* 48 MiB of the 52 that its group may have. */
START_TEST(near_the_limit_of_its_group)
{
	static const char v1[] = "/sys/fs/cgroup/memory";
	char group[128], command[512];
	bool is_v1 = !access(v1, F_OK);
	snprintf(group, sizeof group, "%s/flotsam-verdict-%d", is_v1 ? v1 : "/sys/fs/cgroup", (int)getpid());
	if (mkdir(group, 0755) || !tell_kernel(group, is_v1 ? "memory.limit_in_bytes" : "memory.max", "54525952")) {
		rmdir(group);
		printf("SKIP near_the_limit_of_its_group: needs root and a memory controller\n");
		return;
	}
	/* A container may let one make a group, and no process join it. */
	int status;
	snprintf(command, sizeof command, "echo $$ >%s/cgroup.procs", group);
	const char *join[] = { "/bin/sh", "-c", command, NULL };
	free(run_text((char *const *)join, &status));
	if (status) {
		rmdir(group);
		printf("SKIP near_the_limit_of_its_group: needs a memory controller that takes processes\n");
		return;
	}
	const char *fixtures = getenv("FIXTURES");
	snprintf(command, sizeof command, "echo $$ >%s/cgroup.procs && exec %s/ways outside 48", group, fixtures ? fixtures : "build/release/fixtures");
	const char *argv[] = { "/bin/sh", "-c", command, NULL };
	start(argv);
	json_t *report = report_of(pid), *v = json_array_get(json_object_get(report, "verdicts"), 0);
	child_end(&child);
	for (int i = 0; rmdir(group) && errno == EBUSY && i < 1000; i++)
		usleep(10000);
	ck_assert_msg(!strcmp(member(v, "kind"), "cgroup-limit"), "%s: %s", member(v, "kind"), member(v, "text"));
	ck_assert_ptr_nonnull(strstr(member(v, "text"), "of the 52.0 MiB"));
	ck_assert_str_eq(member(first_of(report), "kind"), "outside-malloc");
	json_decref(report);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("verdict");
	TCase *t = tcase_create("verdict");

	tcase_set_timeout(t, 240);
	tcase_add_loop_test(t, labelled, 0, N_LABELS);
	tcase_add_test(t, the_next_step_works);
	tcase_add_test(t, the_fix_mends_it);
	tcase_add_test(t, rules_of_check);
	tcase_add_test(t, of_a_core);
	tcase_add_test(t, near_the_limit_of_its_group);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}

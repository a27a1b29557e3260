/* Each small fixture against what it says about itself: every block that it allocated is listed with exactly the class and
 * the usable size that it has, and nothing else is called lost. Live, on a core of gcore, on a core of the kernel. */
#include "compare.h"
#include "process.h"
#include "scratch.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const all[] = { /* a line each, so that additions do not collide */
	"aligned",
	"arenas",
	"clean",
	"containers",
	"coroutine",
	"dlopen",
	"foreign_sbrk",
	"forked",
	"freed",
	"holes",
	"inheritance",
	"interior",
	"kernel",
	"learned",
	"lists",
	"mangled",
	"mappings",
	"mmapped",
	"new_array",
	"noncontiguous",
	"on_coroutine",
	"prefix",
	"random_graph",
	"registers",
	"rings",
	"second",
	"sigaltstack",
	"sizes",
	"stack",
	"standard_library",
	"threads",
	"tls",
	"trees",
	"trimmed",
	/* Last: not for gcore. */
	"leader_gone",
};
enum { N_ALL = sizeof all / sizeof *all };
/* Those that are run: of TRUTH_ONLY, "a|b", when it is set, and not of TRUTH_LEAVE_OUT. */
static const char *fixtures[N_ALL];
static int n_fixtures;
/* Of these also a core without names. */
static const char *const without_names[] = { "clean", "dlopen", "second", "threads" };
enum { N_WITHOUT_NAMES = sizeof without_names / sizeof *without_names };
static const char *nameless[N_WITHOUT_NAMES];
static int n_nameless;

static int choose(const char *const *from, size_t n, const char **to)
{
	const char *only = getenv("TRUTH_ONLY"), *left_out = getenv("TRUTH_LEAVE_OUT");
	int chosen = 0;
	for (size_t i = 0; i < n; i++)
		if ((!only || among(from[i], only)) && !(left_out && among(from[i], left_out)))
			to[chosen++] = from[i];
	return chosen;
}

static void choose_fixtures(void)
{
	n_fixtures = choose(all, N_ALL, fixtures);
	n_nameless = choose(without_names, N_WITHOUT_NAMES, nameless);
}

/* The same picture, taken twice: only what the kernel alone knows may differ. */
static void compare_live_with_core(struct faults *f, const json_t *truth, const json_t *live, const json_t *core)
{
	static const char *const same[] = { "state", "class", "label" };
	json_t *kernel_held = json_object(), *row, *a, *b;
	size_t i;
	const char *address;
	json_array_foreach(json_object_get(truth, "blocks"), i, row)
		if (json_object_get(row, "core"))
			json_object_set_new(kernel_held, text_of(row, "address"), json_true());
	json_object_foreach((json_t *)live, address, a) {
		b = json_object_get(core, address);
		if (!b) {
			fault(f, "%s: live only (%s, %s)", address, text_of(a, "state"), text_of(a, "class"));
			continue;
		}
		if (json_object_get(kernel_held, address))
			continue;
		for (i = 0; i < sizeof same / sizeof *same; i++)
			if (strcmp(text_of(a, same[i]), text_of(b, same[i])))
				fault(f, "%s: %s is %s live and %s in the core", address, same[i], text_of(a, same[i]), text_of(b, same[i]));
		if (!json_equal(json_object_get(a, "size"), json_object_get(b, "size")) ||
		    !json_equal(json_object_get(a, "arena"), json_object_get(b, "arena")))
			fault(f, "%s: size or arena differ between live and core", address);
	}
	if (json_object_size(live) != json_object_size(core))
		fault(f, "%zu blocks live, %zu in the core", json_object_size(live), json_object_size(core));
	json_decref(kernel_held);
}

static struct child child;

/* Starts a fixture and returns its truth; NULL: it has nothing to say on this machine. */
static json_t *start(const char *name, const char *dir, bool cores)
{
	char *argv[] = { (char *)name, NULL };
	ck_assert_msg(child_start(&child, argv, dir, cores), "%s does not start", name);
	json_t *truth = child_json(&child);
	ck_assert_msg(truth, "%s says no truth", name);
	const char *skip = json_string_value(json_object_get(truth, "skip"));
	if (skip) {
		printf("SKIP truth %s: needs %s\n", name, skip);
		fflush(stdout);
		return NULL;
	}
	ck_assert_int_gt(json_array_size(json_object_get(truth, "blocks")), 0);
	ck_assert_msg(child_settled(&child), "%s does not come to rest", name);
	return truth;
}

static json_t *blocks_of(const char *target)
{
	const char *why;
	json_t *blocks = flotsam_blocks(target, &why);
	ck_assert_msg(blocks, "%s: %s", target, why);
	return blocks;
}

/* A whole heap is told to be whole. */
static void nothing_damaged(struct faults *f, const char *target)
{
	const char *argv[] = { flotsam_path(), "verify", target, "--format", "json", NULL };
	int status;
	json_t *verdict = run_json((char *const *)argv, &status), *finding;
	size_t i;
	ck_assert_msg(verdict, "flotsam verify %s failed", target);
	if (status)
		fault(f, "verify ends with %d", status);
	json_array_foreach(status ? json_object_get(verdict, "findings") : NULL, i, finding)
		fault(f, "%s: %s", text_of(finding, "kind"), text_of(finding, "text"));
	json_decref(verdict);
}

START_TEST(live)
{
	const char *name = fixtures[_i];
	json_t *truth = start(name, NULL, false);
	if (!truth)
		return;
	char pid[16];
	struct faults f = { 0 };
	snprintf(pid, sizeof pid, "%d", (int)child.target);
	json_t *got = blocks_of(pid);
	compare_with_truth(&f, truth, got, false);
	nothing_damaged(&f, pid);
	report_faults(&f, name, "live");
	json_decref(got);
	json_decref(truth);
}
END_TEST

/* gdb leaves out stacks with guard pages as glibc 2.42 makes them: flotsam says so, and there is no more to compare. */
static bool stacks_are_lost(const char *core)
{
	const char *argv[] = { flotsam_path(), "report", core, "--format", "json", NULL };
	int status;
	bool lost = false;
	json_t *report = run_json((char *const *)argv, &status), *finding;
	size_t i;
	ck_assert_msg(report, "flotsam report %s failed", core);
	json_array_foreach(json_object_get(report, "findings"), i, finding)
		lost |= !strcmp(text_of(finding, "kind"), "lost-stack");
	if (lost)
		ck_assert(json_is_true(json_object_get(json_object_get(report, "coverage"), "at_most")));
	json_decref(report);
	return lost;
}

START_TEST(core_of_gcore)
{
	const char *name = fixtures[_i];
	if (!have_program("gcore")) {
		printf("SKIP truth gcore %s: needs gdb\n", name);
		fflush(stdout);
		return;
	}
	json_t *truth = start(name, NULL, false);
	if (!truth)
		return;
	char pid[16];
	struct faults f = { 0 };
	snprintf(pid, sizeof pid, "%d", (int)child.target);
	const char *core = child_gcore(&child);
	if (stacks_are_lost(core)) {
		printf("SKIP truth gcore %s: needs a gdb that writes stacks with guard pages\n", name);
		fflush(stdout);
		json_decref(truth);
		return;
	}
	json_t *got = blocks_of(core), *live_blocks = blocks_of(pid);
	compare_with_truth(&f, truth, got, true);
	compare_live_with_core(&f, truth, live_blocks, got);
	report_faults(&f, name, "core of gcore");
	json_decref(got);
	json_decref(live_blocks);
	json_decref(truth);
}
END_TEST

/* Aborts the fixture and returns the core that it leaves. */
static const char *abort_child(void)
{
	static char core[512];
	kill(child.target, SIGABRT);
	ck_assert_int_eq(child_wait_signal(&child), SIGABRT);
	ck_assert_msg(only_file_in(scratch_directory(), core, sizeof core), "the kernel wrote no core");
	return core;
}

/* Runs the fixture and compares its core, which `change` may have changed, with what it said. */
static void check_core_of_kernel(const char *name, const char *kind, void (*change)(const char *core))
{
	const char *why;
	if (!kernel_writes_cores(&why)) {
		printf("SKIP truth %s %s: needs %s\n", kind, name, why);
		fflush(stdout);
		return;
	}
	json_t *truth = start(name, scratch_directory(), true);
	if (!truth)
		return;
	const char *core = abort_child();
	if (change)
		change(core);
	struct faults f = { 0 };
	json_t *got = blocks_of(core);
	compare_with_truth(&f, truth, got, true);
	report_faults(&f, name, kind);
	json_decref(got);
	json_decref(truth);
}

START_TEST(core_of_kernel)
{
	check_core_of_kernel(fixtures[_i], "core of the kernel", NULL);
}
END_TEST

/* Turns the note with the files' names into one that nobody knows. */
static void take_names(const char *core)
{
	static const char note[] = "ELIFCORE"; /* NT_FILE, and the name that follows it */
	char *at, *bytes;
	int fd = open(core, O_RDWR | O_CLOEXEC);
	off_t n = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	ck_assert_int_gt(n, 0);
	bytes = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert(bytes != MAP_FAILED);
	at = memmem(bytes, (size_t)n, note, sizeof note - 1);
	ck_assert(at != NULL);
	memset(at, 'x', 4);
	munmap(bytes, (size_t)n);
	close(fd);
}

START_TEST(core_without_names)
{
	check_core_of_kernel(nameless[_i], "core without names", take_names);
}
END_TEST

/* gdb does not attach to a process whose first thread has ended. */
static bool leader_gone_is_last(void)
{
	return n_fixtures && !strcmp(fixtures[n_fixtures - 1], "leader_gone");
}

int main(void)
{
	choose_fixtures();
	Suite *s = suite_create("truth");
	/* Cases of their own, so that one kind can be run alone: CK_RUN_CASE. */
	TCase *of_live = tcase_create("live"), *of_gcore = tcase_create("gcore"), *of_kernel = tcase_create("kernel"),
	      *no_names = tcase_create("nameless");
	tcase_add_loop_test(of_live, live, 0, n_fixtures);
	tcase_add_loop_test(of_gcore, core_of_gcore, 0, n_fixtures - leader_gone_is_last());
	tcase_add_loop_test(of_kernel, core_of_kernel, 0, n_fixtures);
	tcase_add_loop_test(no_names, core_without_names, 0, n_nameless);
	suite_add_tcase(s, of_live);
	suite_add_tcase(s, of_gcore);
	suite_add_tcase(s, of_kernel);
	suite_add_tcase(s, no_names);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

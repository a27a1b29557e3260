/* A target that does nothing but call malloc, looked at again and again: no look may call anything lost but what the target lost
 * before it began. LOOKS says how often; the figures are printed, none of the times is judged. */
#include "compare.h"
#include "process.h"
#include "scratch.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct child child;

static json_t *start(const char *threads, const char *dir, bool cores)
{
	char *argv[] = { (char *)(uintptr_t)"churn", (char *)(uintptr_t)threads, NULL };
	ck_assert_msg(child_start(&child, argv, dir, cores), "churn does not start");
	json_t *truth = child_json(&child);
	ck_assert_msg(truth, "churn says no truth");
	return truth;
}

static int looks(int by_default)
{
	const char *n = getenv("LOOKS");
	return n && atoi(n) > 0 ? atoi(n) : by_default;
}

static json_int_t blocks_in(const json_t *report, const char *cls)
{
	return json_integer_value(json_object_get(json_object_get(json_object_get(report, "reachability"), cls), "blocks"));
}

struct figures {
	int looks, quiet, in_transit, false_leaks, missed;
	double *stopped;
	json_int_t most_stops;
};

static bool is_among(const json_t *lost, const char *address)
{
	const json_t *block;
	size_t i;
	json_array_foreach(lost, i, block)
		if (!strcmp(text_of(block, "address"), address))
			return true;
	return false;
}

/* Those of the samples of what leaked that are none of the lost. With the number right, the set is. */
static int strangers(const json_t *report, const json_t *lost)
{
	const json_t *group, *address;
	size_t i, k;
	int n = 0;
	json_array_foreach(json_object_get(report, "leaks"), i, group)
		json_array_foreach(json_object_get(group, "sample"), k, address)
			if (!is_among(lost, json_string_value(address))) {
				printf("%s, %s, is called lost\n", json_string_value(address), text_of(group, "label"));
				n++;
			}
	return n;
}

static void judge(struct figures *f, const json_t *report, const json_t *truth)
{
	const json_t *lost = json_object_get(truth, "blocks");
	json_int_t leaked = blocks_in(report, "definite") + blocks_in(report, "indirect"), all = (json_int_t)json_array_size(lost);
	const json_t *coverage = json_object_get(report, "coverage"), *timings = json_object_get(report, "timings"), *finding, *state;
	json_int_t stops = json_integer_value(json_object_get(timings, "stops"));
	int wrong = strangers(report, lost);
	bool quiet = json_is_true(json_object_get(coverage, "quiet"));
	size_t i;
	f->stopped[f->looks++] = json_number_value(json_object_get(json_object_get(report, "target"), "stopped_seconds"));
	f->quiet += quiet;
	f->most_stops = stops > f->most_stops ? stops : f->most_stops;
	f->missed += leaked < all;
	json_array_foreach(json_object_get(json_object_get(report, "heap"), "states"), i, state)
		if (!strcmp(text_of(state, "state"), "in_transit"))
			f->in_transit += (int)json_integer_value(json_object_get(state, "blocks"));
	f->false_leaks += leaked > all ? (int)(leaked - all) : wrong;
	if (leaked != all || wrong) {
		printf("look %d (%s, %d stops): %d lost, not %d\n", f->looks, quiet ? "quiet" : "not quiet", (int)stops, (int)leaked, (int)all);
		fflush(stdout);
	}
	json_array_foreach(json_object_get(report, "findings"), i, finding)
		ck_abort_msg("look %d (%s): finding %s: %s", f->looks, quiet ? "quiet" : "not quiet", text_of(finding, "kind"), text_of(finding, "text"));
}

static int compare_seconds(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static void print(const char *what, struct figures *f)
{
	qsort(f->stopped, (size_t)f->looks, sizeof *f->stopped, compare_seconds);
	printf("%s: %d looks, %d false leaks, %d looks that missed some; %d blocks in transit; quiet in %d", what, f->looks, f->false_leaks, f->missed,
	       f->in_transit, f->quiet);
	if (f->most_stops)
		printf("; stopped %.2f ms in the median, %.2f ms at most, %d times at most", 1e3 * f->stopped[f->looks / 2], 1e3 * f->stopped[f->looks - 1],
		       (int)f->most_stops);
	printf("\n");
	fflush(stdout);
}

/* Whether there are to be more: of few looks a rate is no more than luck, so it is judged to be too high of eight times as many. */
static bool goes_on(const struct figures *f, int n)
{
	return f->looks < n || (2 * f->missed > f->looks && f->looks < 8 * n);
}

static const char *const kinds[] = { "8", "0" };

START_TEST(live)
{
	int n = looks(200);
	json_t *truth = start(kinds[_i], NULL, false);
	struct figures f = { .stopped = calloc(8 * (size_t)n, sizeof *f.stopped) };
	char pid[16];
	snprintf(pid, sizeof pid, "%d", (int)child.target);
	const char *argv[] = { flotsam_path(), "report", pid, "--format", "json", "--top", "0", NULL };
	for (int refused = 0; goes_on(&f, n);) {
		int status;
		json_t *report = run_json((char *const *)argv, &status);
		/* Where others want all processors, a thread may not come to its stop in time. */
		if (!report && status == 3) {
			ck_assert_int_le(++refused, n);
			continue;
		}
		/* 4: a header that was being written hid a part of the heap. */
		ck_assert_msg(report && (status == 0 || status == 1 || status == 4), "look %d ended with %d", f.looks, status);
		judge(&f, report, truth);
		json_decref(report);
	}
	print(atoi(kinds[_i]) ? "eight threads" : "one thread", &f);
	ck_assert_int_eq(f.false_leaks, 0);
	ck_assert_int_le(2 * f.missed, f.looks); /* what malloc's frames still hold of former calls may keep one */
	ck_assert_int_le(f.most_stops, 20);
	free(f.stopped);
	json_decref(truth);
}
END_TEST

/* The kernel's cores, of a signal that comes at any moment. */
START_TEST(cores)
{
	int n = (looks(200) + 7) / 8;
	const char *why;
	if (!kernel_writes_cores(&why)) {
		printf("SKIP inside_malloc cores: needs %s\n", why);
		fflush(stdout);
		return;
	}
	struct figures f = { .stopped = calloc(8 * (size_t)n, sizeof *f.stopped) };
	while (goes_on(&f, n)) {
		char core[512];
		int status;
		json_t *truth = start(kinds[_i], scratch_directory(), true);
		usleep(2000 + 997u * (unsigned)f.looks % 20000);
		kill(child.target, SIGABRT);
		ck_assert_int_eq(child_wait_signal(&child), SIGABRT);
		ck_assert_msg(only_file_in(scratch_directory(), core, sizeof core), "the kernel wrote no core");
		const char *argv[] = { flotsam_path(), "report", core, "--format", "json", "--top", "0", NULL };
		json_t *report = run_json((char *const *)argv, &status);
		/* 4: the kernel leaves out a mapping that was made and not touched yet. */
		ck_assert_msg(report && (status == 0 || status == 1 || status == 4), "core %d ended with %d", f.looks, status);
		judge(&f, report, truth);
		json_decref(report);
		json_decref(truth);
		unlink(core);
	}
	print(atoi(kinds[_i]) ? "cores, eight threads" : "cores, one thread", &f);
	ck_assert_int_eq(f.false_leaks, 0);
	ck_assert_int_le(2 * f.missed, f.looks); /* what malloc's frames still hold of former calls may keep one */
	free(f.stopped);
}
END_TEST

static const char *const deaths[] = { "links", "sizes", "twice", "inside", "variable" };
enum { DEATHS = sizeof deaths / sizeof deaths[0], OF_DAMAGE = 2 };

/* What kills a program inside malloc is damage, whatever lock was held and whoever was at work; and malloc's own words are told,
 * without which nobody would learn of a wrong call of free(). */
START_TEST(died_of_damage)
{
	char *child_argv[] = { (char *)(uintptr_t)"aborts", (char *)(uintptr_t)deaths[_i], NULL }, core[512];
	const char *why;
	int status;
	if (!kernel_writes_cores(&why)) {
		printf("SKIP inside_malloc died_of_damage: needs %s\n", why);
		fflush(stdout);
		return;
	}
	ck_assert(child_start(&child, child_argv, scratch_directory(), true));
	ck_assert_int_eq(child_wait_signal(&child), SIGABRT);
	ck_assert_msg(only_file_in(scratch_directory(), core, sizeof core), "the kernel wrote no core");
	const char *argv[] = { flotsam_path(), "verify", core, "--format", "json", NULL };
	json_t *verdict = run_json((char *const *)argv, &status);
	ck_assert_msg(verdict && status == 1, "verify ended with %d", status);
	const json_t *finding;
	size_t i, words = 0, others = 0;
	json_array_foreach(json_object_get(verdict, "findings"), i, finding) {
		const char *kind = json_string_value(json_object_get(finding, "kind"));
		if (kind && strcmp(kind, "malloc-abort") != 0)
			others++;
		else if (strstr(json_string_value(json_object_get(finding, "text")), "malloc stopped the program: \""))
			words++;
	}
	ck_assert_uint_eq(words, 1);
	ck_assert_msg((others > 0) == (_i < OF_DAMAGE), "%s: %zu records contradict others", deaths[_i], others);
	json_decref(verdict);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("inside_malloc");
	TCase *of_live = tcase_create("live");
	tcase_set_timeout(of_live, 1800);
	tcase_add_loop_test(of_live, live, 0, 2);
	TCase *of_cores = tcase_create("cores");
	tcase_set_timeout(of_cores, 1800);
	tcase_add_loop_test(of_cores, cores, 0, 2);
	suite_add_tcase(s, of_live);
	TCase *of_deaths = tcase_create("deaths");
	tcase_add_loop_test(of_deaths, died_of_damage, 0, DEATHS);
	suite_add_tcase(s, of_cores);
	suite_add_tcase(s, of_deaths);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

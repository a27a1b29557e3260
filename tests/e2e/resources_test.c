/* flotsam resources against a program that says how many it made of each, and against /proc. */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

static struct child child;
static json_t *truth;
static char pid[16];

static void setup(void)
{
	char *argv[] = { (char *)(uintptr_t)"resources", NULL };
	ck_assert(child_start(&child, argv, NULL, true));
	truth = child_json(&child);
	ck_assert_ptr_nonnull(truth);
	ck_assert(child_settled(&child));
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
}

static void teardown(void)
{
	json_decref(truth);
	child_end(&child);
}

static json_t *ask(const char *target)
{
	int status;
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)"resources", (char *)(uintptr_t)target, (char *)(uintptr_t)"--format",
			 (char *)(uintptr_t)"json", NULL };
	json_t *j = run_json(argv, &status);
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

/* The element of a list whose `key` is `value`; NULL when none is. */
static json_t *named(json_t *list, const char *key, const char *value)
{
	size_t i;
	json_t *e;
	ck_assert(json_is_array(list));
	json_array_foreach(list, i, e) {
		const char *s = json_string_value(json_object_get(e, key));
		if (s && !strcmp(s, value))
			return e;
	}
	return NULL;
}

static json_int_t entries(const char *dir)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%s/%s", pid, dir);
	DIR *d = opendir(path);
	json_int_t n = 0;
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

START_TEST(descriptors_by_kind)
{
	static const char *const exact[] = { "tcp-LISTEN", "tcp-ESTABLISHED", "tcp-CLOSE_WAIT", "udp-unconnected", "udp-connected", "unix-connected",
					     "unix-listening", "socket", "epoll", "eventfd", "timerfd", "signalfd", "inotify", "memfd", "file-deleted" };
	static const char *const at_least[] = { "pipe", "file", "device" }; /* 0, 1 and 2 are the test's */
	json_t *j = ask(pid), *d = json_object_get(j, "descriptors"), *kinds = json_object_get(d, "kinds"), *e;
	json_int_t sum = 0;
	size_t i;
	for (i = 0; i < sizeof exact / sizeof *exact; i++) {
		e = named(kinds, "name", exact[i]);
		ck_assert_msg(e && number(e, "count", NULL) == number(truth, exact[i], NULL), "%s: %d", exact[i], e ? (int)number(e, "count", NULL) : -1);
	}
	for (i = 0; i < sizeof at_least / sizeof *at_least; i++) {
		e = named(kinds, "name", at_least[i]);
		json_int_t got = e ? number(e, "count", NULL) : -1, made = number(truth, at_least[i], NULL);
		ck_assert_msg(got >= made && got <= made + 3, "%s: %d", at_least[i], (int)got);
	}
	json_array_foreach(kinds, i, e)
		sum += number(e, "count", NULL);
	ck_assert_int_eq(sum, number(d, "total", NULL));
	ck_assert_int_eq(sum, entries("fd"));
	ck_assert_int_eq(number(d, "posix_timers", NULL), number(truth, "timers", NULL));
	/* One file many times is one line. */
	char path[512];
	snprintf(path, sizeof path, "%s/resources", getenv("FIXTURES"));
	char *real = realpath(path, NULL);
	e = named(json_object_get(d, "files"), "path", real);
	ck_assert(e && number(e, "count", NULL) == number(truth, "file", NULL));
	free(real);
	json_decref(j);
}
END_TEST

static void check_places(json_t *j)
{
	json_t *places = json_object_get(json_object_get(j, "threads"), "places");
	json_t *stuck = named(places, "function", "stuck"), *asleep = named(places, "function", "asleep");
	ck_assert_int_eq(number(j, "threads", "total"), number(truth, "stuck", NULL) + number(truth, "asleep", NULL) + 1);
	ck_assert(stuck && number(stuck, "count", NULL) == number(truth, "stuck", NULL));
	ck_assert(asleep && number(asleep, "count", NULL) == number(truth, "asleep", NULL));
	ck_assert_str_eq(json_string_value(json_object_get(stuck, "started_in")), "worker");
	ck_assert_str_eq(json_string_value(json_object_get(asleep, "started_in")), "asleep");
	/* What they called, not what that makes the system call in. */
	const char *waits = json_string_value(json_object_get(stuck, "waits_in"));
	ck_assert_msg(waits && !strncmp(waits, "pthread_mutex_lock", 18), "waits in %s", waits ? waits : "null");
	ck_assert_uint_eq(json_array_size(places), 3);
	ck_assert_int_eq(number(j, "stacks", "count"), number(j, "threads", "total"));
}

START_TEST(threads_by_place)
{
	json_t *j = ask(pid);
	json_int_t stuck = number(truth, "stuck", NULL), touched = number(truth, "touched", NULL), resident = number(j, "stacks", "resident_bytes");
	check_places(j);
	/* Each has touched so much, and a few pages for what it does; the main thread's stack has the environment. */
	ck_assert_int_ge(resident, stuck * touched);
	ck_assert_int_le(resident, stuck * (touched + 32768) + 10 * 65536 + (1 << 18));
	ck_assert_int_ge(number(j, "stacks", "largest_resident_bytes"), touched);
	ck_assert_int_lt(number(j, "stacks", "used_bytes"), resident);
	json_decref(j);
}
END_TEST

START_TEST(mappings_by_origin)
{
	json_t *j = ask(pid), *m = json_object_get(j, "mappings"), *origins = json_object_get(m, "origins"), *e;
	char line[1024], path[64];
	json_int_t lines = 0, sum = 0, bytes = 0, all = 0;
	size_t i;
	snprintf(path, sizeof path, "/proc/%s/maps", pid);
	FILE *f = fopen(path, "re");
	for (unsigned long start, end; fgets(line, sizeof line, f);)
		if (sscanf(line, "%lx-%lx", &start, &end) == 2) {
			lines++;
			all += (json_int_t)(end - start);
		}
	fclose(f);
	json_array_foreach(origins, i, e) {
		sum += number(e, "count", NULL);
		bytes += number(e, "bytes", NULL);
	}
	/* The kernel's vsyscall page is in the list of some. */
	ck_assert_int_eq(sum, lines);
	ck_assert_int_eq(sum, number(m, "total", NULL));
	ck_assert_int_eq(bytes, all);
	e = named(origins, "origin", "memfd");
	ck_assert(number(e, "count", NULL) == 3 && number(e, "bytes", NULL) == 9 << 20 && number(e, "resident_bytes", NULL) == 3 << 20);
	e = named(origins, "origin", "shared");
	ck_assert(number(e, "count", NULL) == 1 && number(e, "bytes", NULL) == 5 << 20 && number(e, "resident_bytes", NULL) == 2 << 20);
	ck_assert_int_eq(number(named(origins, "origin", "stack"), "count", NULL), number(j, "threads", "total"));
	e = named(json_object_get(m, "nameless"), "path", "/memfd:buffer");
	ck_assert(e && number(e, "count", NULL) == 3 && number(e, "bytes", NULL) == 9 << 20);
	e = named(json_object_get(m, "nameless"), "origin", "file");
	ck_assert(e && json_is_true(json_object_get(e, "deleted")) && number(e, "bytes", NULL) == 1 << 20);
	json_decref(j);
}
END_TEST

/* For people: a place is one line, and none is too long. */
START_TEST(as_text)
{
	int status, lines = 0;
	const char *argv[] = { flotsam_path(), "resources", pid, "--top", "0", NULL };
	setenv("LC_ALL", "C", 1);
	char *text = run_text((char *const *)(uintptr_t)argv, &status), *save = NULL;
	ck_assert_int_eq(status, 0);
	ck_assert_ptr_nonnull(strstr(text, "the peer closed, this process did not"));
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		ck_assert_msg(strlen(line) <= 80, "%s", line);
		lines += strstr(line, "stuck()") != NULL;
	}
	ck_assert_int_eq(lines, 1);
	free(text);
}
END_TEST

/* A core has no descriptors, and all else. */
START_TEST(of_a_core)
{
	const char *core = child_gcore(&child);
	if (!core) {
		printf("SKIP of_a_core: needs gdb\n");
		return;
	}
	json_t *j = ask(core);
	check_places(j);
	ck_assert(json_is_null(json_object_get(json_object_get(j, "descriptors"), "total")));
	ck_assert(json_is_null(json_object_get(json_object_get(j, "stacks"), "resident_bytes")));
	json_decref(j);
}
END_TEST

static int check_status(const char *rule)
{
	int status;
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)"check", pid, (char *)(uintptr_t)"--fail-on", (char *)(uintptr_t)rule, NULL };
	free(run_text(argv, &status));
	return status;
}

START_TEST(rules_on_resources)
{
	ck_assert_int_eq(check_status("resources.descriptors.kinds.tcp-CLOSE_WAIT.count == 3"), 1);
	ck_assert_int_eq(check_status("resources.descriptors.kinds.tcp-SYN_SENT.count > 0"), 0);
	ck_assert_int_eq(check_status("resources.mappings.origins.memfd.bytes == 9437184"), 1);
	ck_assert_int_eq(check_status("resources.threads.total > 50"), 0);
	ck_assert_int_eq(check_status("resources.threads.totl > 50"), 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("resources");
	TCase *t = tcase_create("resources");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, descriptors_by_kind);
	tcase_add_test(t, threads_by_place);
	tcase_add_test(t, mappings_by_origin);
	tcase_add_test(t, as_text);
	tcase_add_test(t, of_a_core);
	tcase_add_test(t, rules_on_resources);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}

/* Stacks against two others that unwind: gdb names the frames, inlined ones too, eu-stack gives their addresses. What a frame
 * holds, against what the fixture says of itself. Live and on a core. */
#include "process.h"
#include "scratch.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct child child;
static char pid[16], program[512];
static const char *core;
static json_t *truth;

static void start(void)
{
	char *argv[] = { (char *)"frames", NULL };
	const char *fixtures = getenv("FIXTURES");
	ck_assert(child_start(&child, argv, NULL, false));
	truth = child_json(&child);
	ck_assert_msg(truth, "the fixture says nothing");
	ck_assert(child_settled(&child));
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
	snprintf(program, sizeof program, "%s/frames", fixtures ? fixtures : "build/release/fixtures");
}

/* False: there is no gdb. */
static bool start_with_core(const char *test)
{
	if (!have_program("gcore") || !have_program("gdb")) {
		printf("SKIP stacks %s: needs gdb\n", test);
		fflush(stdout);
		return false;
	}
	start();
	core = child_gcore(&child);
	return core;
}

static json_t *flotsam(const char *command, const char *target, const char *word, const char *second)
{
	int status;
	const char *argv[8] = { flotsam_path(), command, target, "--format", "json", word, word ? second : NULL, NULL };
	json_t *j = run_json((char *const *)argv, &status);
	ck_assert_msg(j && status == 0, "flotsam %s %s %s: status %d", command, target, word ? word : "", status);
	return j;
}

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));
	return s ? s : "";
}

static json_t *thread_by_tid(const json_t *stacks, long tid)
{
	json_t *t;
	size_t i;
	json_array_foreach(json_object_get(stacks, "threads"), i, t)
		if (json_integer_value(json_object_get(t, "tid")) == tid)
			return t;
	ck_abort_msg("no thread %ld", tid);
}

/* "parse 51;" for each frame of the fixture's own, "<signal>;" for a trampoline. gdb's numbers differ: it also shows functions
 * that are gone, because they ended in a jump. */
static void own_frames(char *to, size_t max, const json_t *thread)
{
	json_t *f;
	size_t i, n = 0;
	to[0] = '\0';
	json_array_foreach(json_object_get(thread, "frames"), i, f) {
		ck_assert_int_eq(json_integer_value(json_object_get(f, "frame")), (json_int_t)i);
		if (json_is_true(json_object_get(f, "signal")))
			n += (size_t)snprintf(to + n, max - n, "<signal>;");
		else if (!strcmp(text_of(f, "file"), "frames.c"))
			n += (size_t)snprintf(to + n, max - n, "%s %d;", text_of(f, "function"), (int)json_integer_value(json_object_get(f, "line")));
		ck_assert_uint_lt(n, max);
	}
}

/* The same, from a line of gdb's: "#4  0x000055 in serve (r=...) at fixtures/src/frames.c:60". */
static size_t gdb_frame(char *to, size_t max, const char *line)
{
	char name[128];
	const char *at = strstr(line, "frames.c:"), *in = strstr(line, " in ");
	if (line[0] == '#' && strstr(line, "<signal handler called>"))
		return (size_t)snprintf(to, max, "<signal>;");
	if (line[0] != '#' || !at)
		return 0;
	ck_assert(sscanf(in && in < strchr(line, '(') ? in + 4 : line + 1 + strcspn(line + 1, " "), " %127s", name) == 1);
	return (size_t)snprintf(to, max, "%s %d;", name, atoi(at + strlen("frames.c:")));
}

START_TEST(as_gdb_lists_them)
{
	int status, threads = 0;
	if (!start_with_core("gdb"))
		return;
	json_t *stacks = flotsam("stack", core, "all", NULL), *live = flotsam("stack", pid, "all", NULL);
	const char *argv[] = { "gdb", "-nx", "-batch", "-ex", "set print frame-arguments none", "-ex", "set width 0", "-ex", "thread apply all bt",
			       program, core, NULL };
	char *text = run_text((char *const *)argv, &status), *save = NULL, want[4096], got[4096];
	size_t n = 0;
	long tid = 0;
	ck_assert(text);
	for (char *line = strtok_r(text, "\n", &save);; line = strtok_r(NULL, "\n", &save)) {
		char *lwp = line && !strncmp(line, "Thread ", 7) ? strstr(line, "(LWP ") : NULL;
		if ((lwp || !line) && tid) {
			own_frames(got, sizeof got, thread_by_tid(stacks, tid));
			ck_assert_str_eq(got, want);
			own_frames(got, sizeof got, thread_by_tid(live, tid));
			ck_assert_str_eq(got, want);
			threads++;
		}
		if (!line)
			break;
		if (lwp) {
			tid = atol(lwp + 5);
			n = 0;
			want[0] = '\0';
		} else if (tid) {
			n += gdb_frame(want + n, sizeof want - n, line);
		}
	}
	ck_assert_int_eq(threads, 6);
	free(text);
	json_decref(stacks);
	json_decref(live);
}
END_TEST

START_TEST(as_eu_stack_finds_them)
{
	int status, threads = 0, frames = 0;
	if (!have_program("eu-stack")) {
		printf("SKIP stacks eu-stack: needs elfutils\n");
		fflush(stdout);
		return;
	}
	if (!start_with_core("eu-stack"))
		return;
	json_t *stacks = flotsam("stack", core, "all", NULL), *frame = NULL;
	const char *argv[] = { "eu-stack", "--core", core, "-e", program, NULL };
	char *text = run_text((char *const *)argv, &status), *save = NULL;
	size_t at = 0;
	json_t *list = NULL;
	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		unsigned long pc;
		long tid;
		if (sscanf(line, "TID %ld:", &tid) == 1) {
			ck_assert_msg(!list || at == json_array_size(list), "frames beyond those of eu-stack");
			list = json_object_get(thread_by_tid(stacks, tid), "frames");
			at = 0;
			threads++;
		} else if (sscanf(line, "#%*d 0x%lx", &pc) == 1) {
			while ((frame = json_array_get(list, at)) && json_is_true(json_object_get(frame, "inlined")))
				at++;
			ck_assert_uint_eq(strtoul(text_of(frame, "pc"), NULL, 16), pc);
			at++;
			frames++;
		}
	}
	ck_assert_int_eq(threads, 6);
	ck_assert_int_gt(frames, 40);
	free(text);
	json_decref(stacks);
}
END_TEST

static json_t *frame_called(const json_t *thread, const char *function)
{
	json_t *f;
	size_t i;
	json_array_foreach(json_object_get(thread, "frames"), i, f)
		if (!strcmp(text_of(f, "function"), function))
			return f;
	return NULL;
}

static json_t *holds(const json_t *frame, const char *address)
{
	json_t *b;
	size_t i;
	json_array_foreach(json_object_get(frame, "blocks"), i, b)
		if (!strcmp(text_of(b, "address"), address))
			return b;
	return NULL;
}

/* A thread in the kernel's own code: on a core that gdb wrote at a breakpoint there, and live, where each look finds it somewhere
 * else. */
START_TEST(through_the_vdso)
{
	int status;
	char *argv[] = { (char *)"clock", NULL };
	ck_assert(child_start(&child, argv, NULL, false));
	json_decref(truth = child_json(&child));
	ck_assert(truth);
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
	unsigned in_vdso = 0, named = 0;
	json_t *f;
	size_t k;
	for (int i = 0; i < 10; i++) {
		json_t *stacks = flotsam("stack", pid, NULL, NULL);
		ck_assert_msg(stacks, "look %d: no stack", i);
		json_t *first = json_array_get(json_object_get(stacks, "threads"), 0);
		char *text = json_dumps(first, JSON_INDENT(1));
		ck_assert_msg(frame_called(first, "main"), "look %d does not reach main(): %s", i, text);
		json_array_foreach(json_object_get(first, "frames"), k, f) {
			in_vdso += !strcmp(text_of(f, "module"), "[vdso]");
			named += !strcmp(text_of(f, "module"), "[vdso]") && *text_of(f, "function");
		}
		free(text);
		json_decref(stacks);
	}
	ck_assert_msg(named || !in_vdso, "the kernel's functions have no names");
	if (!have_program("gdb")) {
		printf("SKIP stacks vdso: needs gdb\n");
		fflush(stdout);
		return;
	}
	char core_of[300];
	snprintf(core_of, sizeof core_of, "gcore %s/core", scratch_directory());
	core = core_of + strlen("gcore ");
	/* Without a vDSO nothing would ever stop there. */
	const char *gdb[] = { "timeout", "-k", "5", "40", "gdb", "-nx", "-batch", "-p", pid, "-ex", "set width 0", "-ex", "break __vdso_clock_gettime", "-ex", "continue", "-ex", core_of, "-ex", "bt", NULL };
	char *text = run_text((char *const *)gdb, &status);
	if (!text || access(core, R_OK)) {
		printf("SKIP stacks vdso: needs gdb that stops in the vDSO\n");
		fflush(stdout);
		free(text);
		return;
	}
	ck_assert_msg(strstr(text, " in stamp (") && strstr(text, " in main ("), "%s", text);
	json_t *stacks = flotsam("stack", core, NULL, NULL), *frames = json_object_get(json_array_get(json_object_get(stacks, "threads"), 0), "frames");
	ck_assert_str_eq(text_of(json_array_get(frames, 0), "function"), "__vdso_clock_gettime");
	ck_assert_str_eq(text_of(json_array_get(frames, 2), "function"), "stamp");
	ck_assert_str_eq(text_of(json_array_get(frames, 3), "function"), "main");
	json_decref(stacks);
	free(text);
}
END_TEST

START_TEST(frames_hold_their_blocks)
{
	start();
	json_t *stacks = flotsam("stack", pid, "all", NULL), *t, *own = json_object_get(truth, "own"), *b = NULL;
	size_t i;
	unsigned pools = 0;
	json_array_foreach(json_object_get(stacks, "threads"), i, t) {
		json_t *wait = frame_called(t, "pool_wait"), *parse = frame_called(t, "parse");
		ck_assert_str_eq(text_of(t, "state"), "waiting");
		if (wait) {
			ck_assert_str_eq(text_of(t, "name"), "pool");
			const char *address = "";
			for (size_t k = 0; k < json_array_size(own) && !(b = holds(wait, address = json_string_value(json_array_get(own, k)))); k++)
				;
			ck_assert_msg(b, "pool_wait() holds none of its blocks");
			ck_assert_msg(json_is_true(json_object_get(b, "stack_only")), "%s is said to be held otherwise", address);
			ck_assert_int_eq(json_integer_value(json_object_get(b, "size")), 56);
			pools++;
		}
		if (parse) {
			b = holds(parse, text_of(truth, "request"));
			ck_assert_msg(b, "parse() does not hold the request");
			ck_assert(json_is_false(json_object_get(b, "stack_only"))); /* the thread's descriptor has its argument */
			ck_assert_int_eq(json_integer_value(json_object_get(b, "retained_bytes")), 112); /* the next one too */
			ck_assert_msg(!holds(parse, text_of(truth, "buffer")), "parse() holds what a global holds");
		}
	}
	ck_assert_uint_eq(pools, 3);
	json_decref(stacks);
}
END_TEST

START_TEST(only_stacks_hold_them)
{
	start();
	json_t *list = flotsam("stack", pid, "only", NULL), *row;
	size_t i;
	unsigned found = 0;
	json_array_foreach(list, i, row) {
		json_t *own;
		size_t k;
		ck_assert_str_ne(text_of(row, "address"), text_of(truth, "buffer"));
		ck_assert_str_ne(text_of(row, "address"), text_of(truth, "request"));
		json_array_foreach(json_object_get(truth, "own"), k, own)
			if (!strcmp(json_string_value(own), text_of(row, "address"))) {
				/* Which frame is open: a register that the callee saved has the pointer too. One of a libc without debug
				 * symbols has no name. */
				ck_assert_msg(strstr(text_of(row, "holder"), "\"pool\"") && !strncmp(text_of(row, "where"), "stack", 5), "held by %s, %s",
					      text_of(row, "holder"), text_of(row, "where"));
				found++;
			}
	}
	ck_assert_uint_eq(found, 3);
	json_decref(list);
}
END_TEST

START_TEST(threads_are_listed)
{
	start();
	json_t *list = flotsam("threads", pid, NULL, NULL), *groups = flotsam("threads", pid, "by", "frame"), *t;
	size_t i;
	unsigned pools = 0;
	ck_assert_uint_eq(json_array_size(list), 6);
	json_array_foreach(list, i, t) {
		char path[64];
		json_int_t stack = json_integer_value(json_object_get(t, "stack_bytes"));
		snprintf(path, sizeof path, "/proc/%s/task/%lld", pid, json_integer_value(json_object_get(t, "tid")));
		ck_assert_msg(!access(path, F_OK), "there is no %s", path);
		ck_assert_str_eq(text_of(t, "state"), "waiting");
		ck_assert_int_gt(stack, 64);
		ck_assert_int_lt(stack, 64 << 10);
		ck_assert_str_eq(text_of(t, "file"), "frames.c");
		pools += !strcmp(text_of(t, "function"), "pool_wait");
	}
	ck_assert_uint_eq(pools, 3);
	ck_assert_str_eq(text_of(json_array_get(list, 0), "function"), "wait_for_end");
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(groups, 0), "count")), 3);
	ck_assert_str_eq(text_of(json_array_get(groups, 0), "function"), "pool_wait");
	ck_assert_uint_eq(json_array_size(groups), 3);
	json_decref(list);
	json_decref(groups);
}
END_TEST

/* What `stack` and `frame` choose stays chosen; numbers that do not exist are refused. */
START_TEST(chosen_frames_stay)
{
	int status;
	start();
	const char *argv[] = { flotsam_path(), "shell", pid, "-e", "stack 4", "-e", "frame 1", "-e", "frame --format json", "-e", "stack 1", "-e", "frame", NULL };
	char *text = run_text((char *const *)argv, &status), *json = text ? strstr(text, "\n{") : NULL;
	ck_assert_msg(json && status == 0, "%s", text);
	json_t *j = json_loads(json, JSON_DISABLE_EOF_CHECK, NULL);
	ck_assert_int_eq(json_integer_value(json_object_get(j, "thread")), 4);
	ck_assert_int_eq(json_integer_value(json_object_get(j, "frame")), 1);
	ck_assert_msg(strstr(json, "\nthread 1, ") && strstr(strstr(json, "\nthread 1, "), "#0 "), "another thread begins at its frame 0: %s", json);
	json_decref(j);
	free(text);
	const char *const wrong[][3] = { { "stack", "0", NULL }, { "stack", "99999999", NULL }, { "stack", "main", NULL }, { "frame", "500", "2" },
					 { "frame", "x", NULL }, { "threads", "by", "name" } };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		const char *bad[] = { flotsam_path(), wrong[i][0], pid, wrong[i][1], wrong[i][2], NULL };
		free(run_text((char *const *)bad, &status));
		ck_assert_msg(status == 2, "%s %s: status %d", wrong[i][0], wrong[i][1], status);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stacks");
	TCase *tc = tcase_create("frames");
	tcase_add_test(tc, as_gdb_lists_them);
	tcase_add_test(tc, as_eu_stack_finds_them);
	tcase_add_test(tc, through_the_vdso);
	tcase_add_test(tc, frames_hold_their_blocks);
	tcase_add_test(tc, only_stacks_hold_them);
	tcase_add_test(tc, threads_are_listed);
	tcase_add_test(tc, chosen_frames_stay);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Each way to find malloc's arenas alone must lead to the same walk: on this machine's libc, on static programs, stripped and not,
 * live and on cores; with $TRUTH_EMULATED on those of aarch64 that qemu-user wrote. And a second malloc in the process is named. */
#include "process.h"
#include "scratch.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct child child;

static json_t *start(const char *name)
{
	char *argv[] = { (char *)(uintptr_t)name, NULL };
	bool emulated = getenv("TRUTH_EMULATED");
	ck_assert_msg(child_start(&child, argv, emulated ? scratch_directory() : NULL, emulated), "%s does not start", name);
	json_t *truth = child_json(&child);
	ck_assert_msg(truth, "%s says no truth", name);
	ck_assert(child_settled(&child));
	return truth;
}

static const char *pid_word(void)
{
	static char word[16];
	snprintf(word, sizeof word, "%d", (int)child.pid);
	return word;
}

/* $FLOTSAM_OPTIONS, as flotsam_blocks() has them: "--debug-dir DIR", or nothing. */
static json_t *report(const char *target, const char *option, const char *value)
{
	char *argv[16] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)"report", (char *)(uintptr_t)target, (char *)(uintptr_t)"--format",
			   (char *)(uintptr_t)"json" }, words[4096], *save = NULL;
	int status, n = 5;
	snprintf(words, sizeof words, "%s", getenv("FLOTSAM_OPTIONS") ? getenv("FLOTSAM_OPTIONS") : "");
	for (char *w = strtok_r(words, " ", &save); w && n < 12; w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	if (option)
		argv[n++] = (char *)(uintptr_t)option;
	if (value)
		argv[n++] = (char *)(uintptr_t)value;
	json_t *j = run_json(argv, &status);
	ck_assert_msg(j && (!status || status == 4), "report of %s with %s %s ended with %d", target, option ? option : "", value ? value : "", status);
	return j;
}

static const char *found_by(const json_t *r)
{
	const char *s = json_string_value(json_object_get(json_object_get(r, "allocator"), "found_by"));
	return s ? s : "";
}

static json_t *blocks_by(const char *target, const char *way)
{
	const char *why, *usual = getenv("FLOTSAM_OPTIONS");
	char options[4096], before[4096];
	snprintf(before, sizeof before, "%s", usual ? usual : "");
	snprintf(options, sizeof options, "--arena-from=%s %.4000s", way, before);
	setenv("FLOTSAM_OPTIONS", options, 1);
	json_t *blocks = flotsam_blocks(target, &why);
	setenv("FLOTSAM_OPTIONS", before, 1);
	ck_assert_msg(blocks, "%s: %s", way, why);
	return blocks;
}

static void holds_truth(const json_t *truth, const json_t *blocks)
{
	size_t i;
	json_t *want;
	ck_assert_uint_gt(json_array_size(json_object_get(truth, "blocks")), 10);
	json_array_foreach(json_object_get(truth, "blocks"), i, want) {
		const char *address = json_string_value(json_object_get(want, "address"));
		const json_t *got = json_object_get(blocks, address);
		ck_assert_msg(got && json_equal(json_object_get(got, "size"), json_object_get(want, "size")), "%s is not listed with its size", address);
	}
}

enum way { SYMBOLS = 1, IN_FILE = 2, LIVE = 4, CODE = 8, HEAP = 16 };
static const struct { enum way way; const char *option, *name; } ways[] = {
	{ SYMBOLS, "symbols", "symbols" }, { IN_FILE, "file", "file signature" }, { LIVE, "live", "live signature" },
	{ CODE, "code", "disassembly" }, { HEAP, "heap", "heap info" },
};
enum { N_WAYS = sizeof ways / sizeof *ways };

/* Those of `expected` find it, and all alike; the others say that they do not. */
static void compare_ways(const json_t *truth, const char *target, unsigned expected)
{
	json_t *reference = NULL;
	for (int i = 0; i < N_WAYS; i++) {
		json_t *r = report(target, "--arena-from", ways[i].option);
		if (!(expected & ways[i].way)) {
			ck_assert_msg(strcmp(found_by(r), ways[i].name), "%s: found by %s", target, ways[i].name);
			json_decref(r);
			continue;
		}
		ck_assert_msg(!strcmp(found_by(r), ways[i].name), "%s, %s: found by '%s'", target, ways[i].option, found_by(r));
		json_decref(r);
		json_t *blocks = blocks_by(target, ways[i].option);
		holds_truth(truth, blocks);
		ck_assert_msg(!reference || json_equal(reference, blocks), "%s: by %s the walk is another one", target, ways[i].option);
		if (!reference)
			reference = json_incref(blocks);
		json_decref(blocks);
	}
	json_decref(reference);
}

/* libc's own symbols are there where its debug file is. */
static unsigned with_symbols(const char *target)
{
	json_t *r = report(target, NULL, NULL);
	bool symbols = !strcmp(found_by(r), "symbols");
	ck_assert(symbols || !strcmp(found_by(r), "file signature"));
	json_decref(r);
	return symbols ? SYMBOLS : 0;
}

/* check-glibc.sh runs this case alone under other libcs, and with static programs of theirs, whose functions have no names. Code of
 * i386 that finds its own data by a thunk is followed too. */
START_TEST(own_libc)
{
	json_t *truth = start("threads");
	unsigned expected = with_symbols(pid_word()) | IN_FILE | LIVE | HEAP | (getenv("TRUTH_STRIPPED") ? 0 : CODE);
	compare_ways(truth, pid_word(), expected);
	if (have_program("gcore"))
		compare_ways(truth, child_gcore(&child), expected);
	else
		puts("SKIP arenas of a core: needs gdb");
	json_decref(truth);
}
END_TEST

static bool build(const char *how, const char *name, bool strip)
{
	char path[300];
	const char *cc = getenv("CC") ? getenv("CC") : "gcc";
	int status;
	snprintf(path, sizeof path, "%s/%s", scratch_directory(), name);
	char *argv[] = { (char *)(uintptr_t)cc, (char *)(uintptr_t)"-O1", (char *)(uintptr_t)"-w", (char *)(uintptr_t)"-pthread",
			 (char *)(uintptr_t)how, (char *)(uintptr_t)(strip ? "-s" : "-g"), (char *)(uintptr_t)"-o", path,
			 (char *)(uintptr_t)"fixtures/src/threads.c", NULL };
	free(run_text(argv, &status));
	setenv("FIXTURES", scratch_directory(), 1);
	return !status;
}

/* No libc.so, no banner. Of a stripped one neither symbols nor functions have names. */
START_TEST(static_programs)
{
	const char *how = _i & 1 ? "-static-pie" : "-static";
	bool strip = _i & 2;
	if (!build(how, "static", strip)) {
		printf("SKIP arenas of a %s program: needs libc.a\n", how + 1);
		return;
	}
	json_t *truth = start("static");
	compare_ways(truth, pid_word(), strip ? IN_FILE | LIVE | HEAP : SYMBOLS | IN_FILE | LIVE | CODE | HEAP);
	json_decref(truth);
}
END_TEST

static json_t *report_of_core(const char *core, const char *way)
{
	char none[300], *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)"report", (char *)(uintptr_t)core,
				   (char *)(uintptr_t)"--format", (char *)(uintptr_t)"json", (char *)(uintptr_t)"--sysroot", none, (char *)(uintptr_t)way, NULL };
	int status;
	snprintf(none, sizeof none, "%s/none", scratch_directory());
	json_t *j = run_json(argv, &status);
	ck_assert_msg(j, "report of %s ended with %d", core, status);
	return j;
}

/* Where no file of the core's can be had, memory tells; a debug file that this machine has by the build-id stays better. */
START_TEST(without_files)
{
	if (!have_program("gcore")) {
		puts("SKIP arenas without files: needs gdb");
		return;
	}
	json_t *truth = start("threads");
	const char *core = child_gcore(&child);
	json_t *r = report_of_core(core, NULL);
	ck_assert(!strcmp(found_by(r), "symbols") || !strcmp(found_by(r), "live signature"));
	json_decref(r);
	r = report_of_core(core, "--arena-from=live");
	ck_assert_str_eq(found_by(r), "live signature");
	json_decref(r);
	r = report_of_core(core, "--arena-from=file");
	ck_assert_str_eq(found_by(r), "");
	json_decref(r);
	json_decref(truth);
}
END_TEST

static const json_t *finding(const json_t *r, const char *kind)
{
	size_t i;
	json_t *f;
	json_array_foreach(json_object_get(r, "findings"), i, f)
		if (!strcmp(json_string_value(json_object_get(f, "kind")), kind))
			return f;
	return NULL;
}

static void names_second(const char *target, uint64_t dynamic)
{
	json_t *r = report(target, NULL, NULL);
	const json_t *f = finding(r, "second-malloc");
	ck_assert_msg(f, "%s: no second malloc", target);
	uint64_t address = strtoull(json_string_value(json_object_get(f, "address")), NULL, 16);
	ck_assert_msg(address > dynamic && address - dynamic < 0x10000, "%s: 0x%llx, behind 0x%llx", target, (unsigned long long)address,
		      (unsigned long long)dynamic);
	json_decref(r);
}

static uint64_t dynamic_of_second(const json_t *truth)
{
	const char *why = json_string_value(json_object_get(json_array_get(json_object_get(truth, "blocks"), 0), "why")), *behind = strstr(why, "0x");
	ck_assert(behind);
	return strtoull(behind, NULL, 16);
}

/* Of the two libcs the one that dlmopen() loaded holds the address; so does a static program's plugin. */
START_TEST(a_second_malloc)
{
	json_t *truth = start("second");
	uint64_t dynamic = dynamic_of_second(truth);
	names_second(pid_word(), dynamic);
	if (have_program("gcore"))
		names_second(child_gcore(&child), dynamic);
	json_decref(truth);
	child_end(&child);
	truth = start("threads");
	json_t *r = report(pid_word(), NULL, NULL);
	ck_assert(!finding(r, "second-malloc"));
	json_decref(r);
	json_decref(truth);
}
END_TEST

static bool maps(const char *name)
{
	char path[64], line[4352];
	bool found = false;
	snprintf(path, sizeof path, "/proc/%d/maps", (int)child.pid);
	FILE *f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof line, f))
		found = strstr(line, name);
	if (f)
		fclose(f);
	return found;
}

static void names_debug(const char *target)
{
	json_t *r = report(target, NULL, NULL), *f = (json_t *)(uintptr_t)finding(r, "allocator");
	ck_assert(json_is_false(json_object_get(json_object_get(r, "allocator"), "walked")));
	const char *text = json_string_value(json_object_get(f, "text"));
	ck_assert_msg(text && strstr(text, "libc_malloc_debug.so.0"), "%s: %s", target, text ? text : "no finding");
	json_decref(r);
}

/* libc's own state is there and all but empty: a list of it would be a lie. The library is there since 2.34: before, ld.so finds none,
 * or one that it refuses. */
START_TEST(a_debugging_malloc)
{
	char *argv[] = { (char *)(uintptr_t)"threads", NULL };
	const char *usual = getenv("FIXTURE_LAUNCH");
	char launch[4096];
	snprintf(launch, sizeof launch, "/usr/bin/env LD_PRELOAD=libc_malloc_debug.so.0 MALLOC_CHECK_=3 %.4000s", usual ? usual : "");
	setenv("FIXTURE_LAUNCH", launch, 1);
	ck_assert(child_start(&child, argv, NULL, false));
	json_t *truth = child_json(&child);
	json_decref(truth);
	if (!truth || !maps("libc_malloc_debug")) {
		puts("SKIP a debugging malloc: needs libc_malloc_debug.so.0 of libc6");
		return;
	}
	ck_assert(child_settled(&child));
	names_debug(pid_word());
	if (have_program("gcore"))
		names_debug(child_gcore(&child));
}
END_TEST

static const char *emulated_core(void)
{
	static char core[512];
	ck_assert_msg(child_emulated_core(&child, scratch_directory(), core, sizeof core), "qemu wrote no core");
	return core;
}

START_TEST(emulated_libc)
{
	json_t *truth = start("threads");
	compare_ways(truth, emulated_core(), IN_FILE | LIVE | CODE | HEAP);
	json_decref(truth);
}
END_TEST

START_TEST(emulated_second)
{
	json_t *truth = start("second");
	names_second(emulated_core(), dynamic_of_second(truth));
	json_decref(truth);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("arena_from");
	if (getenv("TRUTH_EMULATED")) {
		TCase *emulated = tcase_create("emulated");
		tcase_set_timeout(emulated, 300);
		tcase_add_test(emulated, emulated_libc);
		tcase_add_test(emulated, emulated_second);
		suite_add_tcase(s, emulated);
	}
	TCase *t = tcase_create("libc");
	tcase_set_timeout(t, 300);
	tcase_add_test(t, own_libc);
	tcase_add_test(t, a_second_malloc);
	tcase_add_test(t, a_debugging_malloc);
	suite_add_tcase(s, t);
	t = tcase_create("ways");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, static_programs, 0, 4);
	tcase_add_test(t, without_files);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

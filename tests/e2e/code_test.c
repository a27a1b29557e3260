/* Code: disas against objdump on the same bytes; what it marks and names. sites against the calls that a fixture knows it has,
 * with and without optimisation and symbols. Live, and on a core of gcore. */
#include "process.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct child child;
static char directory[] = "/tmp/flotsam-code-XXXXXX", core[128], stripped[128];

static void clean_up(void)
{
	child_end(&child);
	if (*core)
		unlink(core);
	if (*stripped)
		unlink(stripped);
	rmdir(directory);
}

static json_t *start(const char *name)
{
	char *argv[] = { (char *)(uintptr_t)name, NULL };
	atexit(clean_up);
	ck_assert_msg(child_start(&child, argv, NULL, false), "%s does not start", name);
	json_t *truth = child_json(&child);
	ck_assert_msg(truth, "%s says no truth", name);
	ck_assert(child_settled(&child));
	return truth;
}

static const char *own_directory(void)
{
	if (directory[strlen(directory) - 1] == 'X')
		ck_assert(mkdtemp(directory));
	return directory;
}

/* The target as a word: the pid, or a core of it. */
static const char *target(bool as_core)
{
	static char word[64];
	int status;
	snprintf(word, sizeof word, "%d", (int)child.pid);
	if (!as_core)
		return word;
	char prefix[32];
	snprintf(prefix, sizeof prefix, "%s/core", own_directory());
	snprintf(core, sizeof core, "%s.%s", prefix, word);
	char *argv[] = { (char *)(uintptr_t)"gcore", (char *)(uintptr_t)"-o", prefix, word, NULL };
	free(run_text(argv, &status));
	ck_assert_msg(!status, "gcore ended with %d", status);
	return core;
}

static json_t *ask(const char *command, const char *at, const char *operand)
{
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)command, (char *)(uintptr_t)at, (char *)(uintptr_t)"--format",
			 (char *)(uintptr_t)"json", (char *)(uintptr_t)operand, NULL };
	int status;
	json_t *j = run_json(argv, &status);
	ck_assert_msg(j && !status, "%s %s %s ended with %d", command, at, operand ? operand : "", status);
	return j;
}

static char *ask_text(const char *command, const char *at, const char *operand)
{
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)command, (char *)(uintptr_t)at, (char *)(uintptr_t)operand, NULL };
	int status;
	char *text = run_text(argv, &status);
	ck_assert_msg(text && !status, "%s %s %s ended with %d", command, at, operand, status);
	return text;
}

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));
	return s ? s : "";
}

static uint64_t address_of(const json_t *j, const char *key)
{
	return strtoull(text_of(j, key), NULL, 16);
}

/* Where the file is mapped: its first mapping. */
static uint64_t bias_of(const char *module)
{
	char path[64], line[4352];
	uint64_t start = 0;
	snprintf(path, sizeof path, "/proc/%d/maps", (int)child.pid);
	FILE *f = fopen(path, "re");
	ck_assert(f);
	while (!start && fgets(line, sizeof line, f))
		if (strstr(line, module))
			start = strtoull(line, NULL, 16);
	fclose(f);
	ck_assert_msg(start, "%s is not mapped", module);
	return start;
}

/* objdump spells the paddings that an assembler puts in otherwise, with all their prefixes. */
static bool same_mnemonic(const char *theirs, const char *ours)
{
	/* Behind a prefix, "lock" or "rep", the mnemonic itself; of string instructions objdump tells the size by the operand. */
	size_t n = strcspn(theirs, " "), mine = strcspn(ours, " ");
	if (n == mine && !strncmp(ours, theirs, n) && (!ours[n] || !strncmp(ours + n, theirs + n, 4)))
		return true;
	return !strcmp(ours, "nop") && (!strncmp(theirs, "xchg   ax,ax", 12) || !strncmp(theirs, "cs nop", 6) || !strncmp(theirs, "data16", 6));
}

static void compare_with_objdump(const json_t *j)
{
	const char *module = text_of(j, "module");
	uint64_t bias = bias_of(module);
	char from[64], to[64];
	int status;
	snprintf(from, sizeof from, "--start-address=0x%llx", (unsigned long long)(address_of(j, "start") - bias));
	snprintf(to, sizeof to, "--stop-address=0x%llx", (unsigned long long)(address_of(j, "end") - bias));
	char *argv[] = { (char *)(uintptr_t)"objdump", (char *)(uintptr_t)"-dwMintel", (char *)(uintptr_t)"--no-show-raw-insn", from, to,
			 (char *)(uintptr_t)module, NULL };
	char *text = run_text(argv, &status), *save = NULL;
	ck_assert_msg(text && !status, "objdump ended with %d", status);
	size_t i = 0;
	json_t *list = json_object_get(j, "instructions");
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *tab = strchr(line, '\t'), *end;
		uint64_t address = strtoull(line, &end, 16) + bias;
		if (!tab || *end != ':')
			continue;
		const json_t *in = json_array_get(list, i++);
		ck_assert_msg(in && address_of(in, "address") == address && same_mnemonic(tab + 1, text_of(in, "mnemonic")),
			      "%s: objdump has %s, disas %s %s", text_of(j, "function"), line, text_of(in, "address"), text_of(in, "mnemonic"));
	}
	ck_assert_uint_gt(i, 0);
	ck_assert_uint_eq(i, json_array_size(list));
	free(text);
}

START_TEST(disassembly_is_objdumps)
{
	static const char *const functions[] = { "main", "build", "truth_print", "_start", "malloc", "qsort", "getaddrinfo", "vfprintf" };
	if (!have_program("objdump") || !have_program("gcore")) {
		puts("SKIP disas: needs binutils and gdb");
		return;
	}
	json_decref(start("threads"));
	const char *at = target(_i);
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
		json_t *j = ask("disas", at, functions[i]);
		compare_with_objdump(j);
		json_decref(j);
	}
}
END_TEST

START_TEST(calls_have_names)
{
	bool direct = false, stub = false, line = false;
	size_t i;
	json_t *in;
	json_decref(start("threads"));
	json_t *j = ask("disas", target(false), "truth_wait");
	json_array_foreach(json_object_get(j, "instructions"), i, in) {
		stub |= !strcmp(text_of(in, "mnemonic"), "call") && !strcmp(text_of(in, "target_name"), "_exit@plt");
		line |= !strcmp(text_of(in, "file"), "truth.h") && json_integer_value(json_object_get(in, "line")) > 200;
	}
	json_decref(j);
	j = ask("disas", target(false), "main");
	ck_assert_str_eq(text_of(j, "function"), "main");
	json_array_foreach(json_object_get(j, "instructions"), i, in)
		direct |= !strcmp(text_of(in, "mnemonic"), "call") && !strcmp(text_of(in, "target_name"), "build");
	json_decref(j);
	ck_assert(direct && stub && line);
	char *text = ask_text("disas", target(false), "main");
	ck_assert_msg(strstr(text, "<build>") && strstr(text, "threads.c:") && strstr(text, " call ") && !strstr(text, "=>"), "%s", text);
	free(text);
}
END_TEST

/* Where a thread that waits in read() stands, and where its caller goes on. */
START_TEST(the_frame_is_marked)
{
	json_decref(start("clean"));
	char *text = ask_text("disas", target(false), "#0"), *mark = strstr(text, "\n=> 0x");
	ck_assert_msg(mark, "%s", text);
	uint64_t pc = strtoull(mark + 4, NULL, 16), shown;
	char path[64], state[256];
	snprintf(path, sizeof path, "/proc/%d/syscall", (int)child.pid);
	FILE *f = fopen(path, "re");
	ck_assert(f && fgets(state, sizeof state, f));
	fclose(f);
	/* "0 arguments... sp pc" (proc(5)) */
	shown = strtoull(strrchr(state, ' '), NULL, 16);
	ck_assert_msg(pc == shown, "marked 0x%llx, the kernel says %s", (unsigned long long)pc, state);
	free(text);
	text = ask_text("disas", target(false), "#1");
	ck_assert_msg(strstr(text, "\n=> 0x") && strstr(text, "truth_wait"), "%s", text);
	free(text);
}
END_TEST

/* The candidate with these bytes, call and, unless 0, line in file. */
static const json_t *candidate(const json_t *j, const json_t *want, const char *file)
{
	size_t i;
	json_t *c;
	json_array_foreach(json_object_get(j, "candidates"), i, c)
		if (json_equal(json_object_get(c, "bytes"), json_object_get(want, "bytes")) && !strcmp(text_of(c, "call"), text_of(want, "call")) &&
		    (!file || (!strcmp(text_of(c, "file"), file) && json_equal(json_object_get(c, "line"), json_object_get(want, "line")))))
			return c;
	return NULL;
}

static void find_all(const json_t *truth, const char *at, bool by_line)
{
	size_t i;
	json_t *want, *j = ask("sites", at, NULL), *code = json_object_get(j, "code");
	ck_assert_uint_gt(json_array_size(json_object_get(truth, "sites")), 5);
	json_array_foreach(json_object_get(truth, "sites"), i, want) {
		const json_t *c = candidate(j, want, by_line ? text_of(truth, "file") : NULL);
		ck_assert_msg(c, "%s of %lld bytes at line %lld is no candidate", text_of(want, "call"),
			      (long long)json_integer_value(json_object_get(want, "bytes")), (long long)json_integer_value(json_object_get(want, "line")));
		ck_assert(by_line == (*text_of(c, "function") != 0));
	}
	ck_assert(json_integer_value(json_object_get(code, "decoded_bytes")) > 0);
	ck_assert(json_equal(json_object_get(code, "bytes"), json_object_get(code, "searched_bytes")));
	json_decref(j);
}

static const char *const askers[] = { "asks_o0", "asks_o2", "asks_new_o0", "asks_new_o2" };
enum { N_ASKERS = sizeof askers / sizeof *askers };

START_TEST(known_sites_are_candidates)
{
	json_t *truth = start(askers[_i]);
	find_all(truth, target(false), true);
	json_decref(truth);
}
END_TEST

START_TEST(sites_of_a_core)
{
	if (!have_program("gcore")) {
		puts("SKIP sites of a core: needs gdb");
		return;
	}
	json_t *truth = start("asks_o2");
	find_all(truth, target(true), true);
	json_decref(truth);
}
END_TEST

/* Functions are then known by .eh_frame_hdr alone, and have no names. */
START_TEST(sites_without_symbols)
{
	char from[4096];
	int status;
	if (!have_program("strip")) {
		puts("SKIP stripped sites: needs binutils");
		return;
	}
	atexit(clean_up);
	snprintf(from, sizeof from, "%s/asks_o2", getenv("FIXTURES"));
	snprintf(stripped, sizeof stripped, "%s/stripped", own_directory());
	char *argv[] = { (char *)(uintptr_t)"strip", (char *)(uintptr_t)"-o", stripped, from, NULL };
	free(run_text(argv, &status));
	ck_assert_int_eq(status, 0);
	setenv("FIXTURES", own_directory(), 1);
	json_t *truth = start("stripped");
	find_all(truth, target(false), false);
	json_decref(truth);
}
END_TEST

/* A block instead of a size: the only one of its size, by its address. */
START_TEST(sites_of_a_block)
{
	const char *why, *address;
	json_t *truth = start("asks_o2"), *blocks = flotsam_blocks(target(false), &why), *block, *want = NULL, *site;
	size_t i;
	ck_assert_msg(blocks, "%s", why);
	json_array_foreach(json_object_get(truth, "sites"), i, site)
		if (json_integer_value(json_object_get(site, "bytes")) == 1108)
			want = site;
	bool found = false;
	json_object_foreach(blocks, address, block) {
		if (json_integer_value(json_object_get(block, "size")) != 1112 || strcmp(text_of(block, "state"), "used"))
			continue;
		json_t *j = ask("sites", target(false), address);
		ck_assert_str_eq(text_of(j, "block"), address);
		found |= candidate(j, want, "asks.h") != NULL;
		json_decref(j);
	}
	ck_assert(found);
	/* 1,108 bytes get a chunk of 1,120, as 1,097 to 1,112 do. */
	json_t *by_size = ask("sites", target(false), "1100");
	ck_assert_int_eq(json_integer_value(json_object_get(by_size, "chunk_bytes")), 1120);
	ck_assert(candidate(by_size, want, "asks.h"));
	json_decref(by_size);
	by_size = ask("sites", target(false), "1113");
	ck_assert(!candidate(by_size, want, "asks.h"));
	json_decref(by_size);
	char *text = ask_text("sites", target(false), "1108");
	ck_assert_msg(strstr(text, "asks.h:") && strstr(text, "candidate") && strstr(text, "decoded"), "%s", text);
	free(text);
	json_decref(blocks);
	json_decref(truth);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("code");
	TCase *t = tcase_create("disas");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, disassembly_is_objdumps, 0, 2);
	tcase_add_test(t, calls_have_names);
	tcase_add_test(t, the_frame_is_marked);
	suite_add_tcase(s, t);
	t = tcase_create("sites");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, known_sites_are_candidates, 0, N_ASKERS);
	tcase_add_test(t, sites_of_a_core);
	tcase_add_test(t, sites_without_symbols);
	tcase_add_test(t, sites_of_a_block);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

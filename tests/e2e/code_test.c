/* Code: disas against objdump and addr2line on the same bytes, its marks against gdb's. sites against the calls that a fixture knows
 * it has, with and without optimisation and symbols. Text and JSON, live and on a core of gcore. check-glibc.sh runs this on i386 too,
 * and one case of it with $TRUTH_EMULATED on cores of aarch64 that qemu-user wrote. */
#include "process.h"
#include "scratch.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct child child;
static char program[64];
static bool merges_lines; /* by optimisation for size, or by another compiler's */
static char stripped[300];

static bool emulated(void)
{
	return getenv("TRUTH_EMULATED");
}

static json_t *start(const char *name)
{
	char *argv[] = { (char *)(uintptr_t)name, NULL };
	const char *launch = getenv("FIXTURE_LAUNCH");
	snprintf(program, sizeof program, "/%s", name);
	merges_lines = strstr(name, "_os") || (launch && *launch && strstr(name, "_o2"));
	ck_assert_msg(child_start(&child, argv, emulated() ? scratch_directory() : NULL, emulated()), "%s does not start", name);
	json_t *truth = child_json(&child);
	ck_assert_msg(truth, "%s says no truth", name);
	ck_assert(child_settled(&child));
	return truth;
}

/* Of i386, by ELFCLASS32. */
static bool is_32bit(void)
{
	char path[64], ident[5] = "";
	snprintf(path, sizeof path, "/proc/%d/exe", (int)child.pid);
	FILE *f = fopen(path, "re");
	ck_assert(f && fread(ident, sizeof ident, 1, f) == 1);
	fclose(f);
	return ident[4] == 1;
}

/* The target as a word: the pid, or a core of it. */
static const char *target(bool as_core)
{
	static char word[16], core[512];
	snprintf(word, sizeof word, "%d", (int)child.pid);
	if (!as_core)
		return word;
	if (!emulated())
		return child_gcore(&child);
	ck_assert_msg(child_emulated_core(&child, scratch_directory(), core, sizeof core), "qemu wrote no core");
	return core;
}

/* $FLOTSAM_OPTIONS, as flotsam_blocks() has them: "--sysroot DIR", or nothing. */
static char **command_line(const char *command, const char *at, const char *format, const char *operand)
{
	static char options[4096], *argv[16], *save;
	int n = 0;
	const char *words[] = { flotsam_path(), command, at, "--format", format };
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		argv[n++] = (char *)(uintptr_t)words[i];
	snprintf(options, sizeof options, "%s", getenv("FLOTSAM_OPTIONS") ? getenv("FLOTSAM_OPTIONS") : "");
	for (char *w = strtok_r(options, " ", &save); w && n < 14; w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	argv[n++] = (char *)(uintptr_t)operand;
	argv[n] = NULL;
	return argv;
}

static json_t *ask(const char *command, const char *at, const char *operand)
{
	int status;
	json_t *j = run_json(command_line(command, at, "json", operand), &status);
	ck_assert_msg(j && !status, "%s %s %s ended with %d", command, at, operand ? operand : "", status);
	return j;
}

static char *ask_text(const char *command, const char *at, const char *operand)
{
	int status;
	char *text = run_text(command_line(command, at, "text", operand), &status);
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
	size_t n = strcspn(theirs, " \t"), mine = strcspn(ours, " ");
	if (n == mine && !strncmp(ours, theirs, n) && (!ours[n] || !strncmp(ours + n, theirs + n, 4)))
		return true;
	static const char *const same[][2] = { { "mov", "movz" }, { "mov", "movn" }, { "b.cs", "b.hs" }, { "b.cc", "b.lo" } }; /* aarch64 */
	for (size_t i = 0; emulated() && i < sizeof same / sizeof *same; i++)
		if (!strncmp(theirs, same[i][0], strlen(same[i][0])) && !strcmp(ours, same[i][1]))
			return true;
	return !strcmp(ours, "nop") && (!strncmp(theirs, "xchg   ", 7) || !strncmp(theirs, "cs nop", 6) || !strncmp(theirs, "data16", 6) ||
					!strncmp(theirs, "lea    ", 7));
}

/* objdump's "55 48 89 e5 " as JSON has it; of aarch64 it is one word. */
static bool same_bytes(const char *theirs, const char *ours)
{
	if (emulated()) {
		unsigned b[4];
		return sscanf(theirs, "%2x%2x%2x%2x", &b[3], &b[2], &b[1], &b[0]) == 4 &&
		       strtoul(ours, NULL, 16) == (b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]);
	}
	for (; *theirs && *theirs != '\t'; theirs++)
		if (*theirs != ' ' && *theirs != *ours++)
			return false;
	return !*ours;
}

/* A line that ends with "call   1130 <sem_init@plt>" or "# 5160 <ready>". Names of libraries have aliases. */
static bool same_target(char *theirs, const json_t *ours, uint64_t bias, bool names)
{
	char *end = theirs + strlen(theirs), *open = strrchr(theirs, '<'), *digits = open;
	if (!open || end[-1] != '>' || open - theirs < 3 || open[-1] != ' ')
		return true;
	while (digits - 1 > theirs && digits[-2] != ' ' && digits[-2] != '\t')
		digits--;
	if (address_of(ours, "target") != strtoull(digits - 1, NULL, 16) + bias)
		return false;
	end[-1] = 0;
	/* objdump names what stands before when nothing covers it, and a slot by the version that fills it. */
	const char *name = text_of(ours, "target_name");
	size_t n = strcspn(name, "@");
	return !names || !strcmp(name, open + 1) || (!*name && strchr(open, '+')) ||
	       (!strcmp(name + n, "@got") && !strncmp(name, open + 1, n) && open[1 + n] == '@');
}

static const char *objdump_program(void)
{
	return emulated() ? "aarch64-linux-gnu-objdump" : "objdump";
}

static char *objdump(const char *module, uint64_t start, uint64_t end)
{
	char from[64], to[64];
	int status;
	snprintf(from, sizeof from, "--start-address=0x%llx", (unsigned long long)start);
	snprintf(to, sizeof to, "--stop-address=0x%llx", (unsigned long long)end);
	char *argv[] = { (char *)(uintptr_t)objdump_program(), (char *)(uintptr_t)(emulated() ? "-dw" : "-dwMintel"), from, to,
			 (char *)(uintptr_t)module, NULL };
	char *text = run_text(argv, &status);
	ck_assert_msg(text && !status, "objdump ended with %d", status);
	return text;
}

/* Of an emulated program: the kernel knows the emulator's mappings alone. The symbol's address in the file tells as well. */
static uint64_t bias_by_symbol(const char *module, const json_t *j)
{
	char option[128];
	int status;
	snprintf(option, sizeof option, "--disassemble=%s", text_of(j, "function"));
	char *argv[] = { (char *)(uintptr_t)objdump_program(), (char *)(uintptr_t)"-d", option, (char *)(uintptr_t)module, NULL };
	char *text = run_text(argv, &status), *head = strstr(text, "\n0"), *end;
	ck_assert_msg(!status && head, "objdump ended with %d: %.200s", status, text);
	uint64_t address = strtoull(head, &end, 16);
	ck_assert(!strncmp(end, " <", 2));
	free(text);
	return address_of(j, "start") - address;
}

static void compare_with_objdump(const json_t *j)
{
	const char *module = text_of(j, "module");
	uint64_t bias = emulated() ? bias_by_symbol(module, j) : bias_of(module);
	char *text = objdump(module, address_of(j, "start") - bias, address_of(j, "end") - bias), *save = NULL;
	bool own = strstr(module, "/threads");
	size_t i = 0;
	json_t *list = json_object_get(j, "instructions");
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *bytes = strchr(line, '\t'), *words = bytes ? strchr(bytes + 1, '\t') : NULL, *end;
		uint64_t address = strtoull(line, &end, 16) + bias;
		if (!words || *end != ':')
			continue;
		const json_t *in = json_array_get(list, i++);
		ck_assert_msg(in && address_of(in, "address") == address && same_bytes(bytes + 1, text_of(in, "bytes")) &&
			      same_mnemonic(words + 1, text_of(in, "mnemonic")) && same_target(words + 1, in, bias, own),
			      "%s: objdump has %s, disas %s %s %s, %s <%s>", text_of(j, "function"), line, text_of(in, "address"), text_of(in, "bytes"),
			      text_of(in, "mnemonic"), text_of(in, "target"), text_of(in, "target_name"));
	}
	ck_assert_uint_gt(i, 0);
	ck_assert_uint_eq(i, json_array_size(list));
	free(text);
}

/* "path/threads.c:83 (discriminator 2)" */
static bool same_line(const char *theirs, const json_t *in)
{
	const char *name = strrchr(theirs, '/');
	char want[300];
	name = name ? name + 1 : theirs;
	if (!strncmp(name, "??:", 3))
		return !*text_of(in, "file");
	int n = snprintf(want, sizeof want, "%s:%lld", text_of(in, "file"), (long long)json_integer_value(json_object_get(in, "line")));
	return !strncmp(name, want, (size_t)n) && (!name[n] || name[n] == ' ');
}

/* A few at a time: a command line is short. */
static void compare_lines(const json_t *j)
{
	enum { MANY = 24 };
	const char *module = text_of(j, "module");
	uint64_t bias = bias_of(module);
	json_t *list = json_object_get(j, "instructions");
	for (size_t from = 0; from < json_array_size(list); from += MANY) {
		char words[MANY][32], *argv[MANY + 4] = { (char *)(uintptr_t)"addr2line", (char *)(uintptr_t)"-e", (char *)(uintptr_t)module }, *save = NULL;
		size_t n = 0;
		int status;
		for (; n < MANY && from + n < json_array_size(list); n++) {
			snprintf(words[n], sizeof words[n], "0x%llx", (unsigned long long)(address_of(json_array_get(list, from + n), "address") - bias));
			argv[n + 3] = words[n];
		}
		char *text = run_text(argv, &status), *line = strtok_r(text, "\n", &save);
		ck_assert_msg(!status, "addr2line ended with %d", status);
		for (size_t i = 0; i < n; i++, line = strtok_r(NULL, "\n", &save)) {
			const json_t *in = json_array_get(list, from + i);
			ck_assert_msg(line && same_line(line, in), "%s: addr2line has %s, disas %s:%lld", words[i], line ? line : "nothing",
				      text_of(in, "file"), (long long)json_integer_value(json_object_get(in, "line")));
		}
		free(text);
	}
}

/* Text says what JSON does: each instruction's line in its order, the target's name, and the source where it changes. */
static void compare_text(const json_t *j, char *text)
{
	json_t *list = json_object_get(j, "instructions"), *in;
	char source[300] = "", *at = strchr(text, '\n');
	size_t i;
	json_array_foreach(list, i, in) {
		char now[300], want[300];
		snprintf(now, sizeof now, "\n%s:%lld\n", text_of(in, "file"), (long long)json_integer_value(json_object_get(in, "line")));
		if (*text_of(in, "file") && strcmp(now, source)) {
			ck_assert_msg((at = strstr(at, now)), "%s is not in %.2000s", now, text);
			at += strlen(now) - 1;
			strcpy(source, now);
		}
		snprintf(want, sizeof want, "\n%s %s <+%lld> ", json_is_true(json_object_get(in, "current")) ? "=>" : "  ", text_of(in, "address"),
			 (long long)json_integer_value(json_object_get(in, "offset")));
		ck_assert_msg(!strncmp(at, want, strlen(want)), "no %s at %.100s", want, at);
		char *next = strchr(at + 1, '\n'), *words = at + strlen(want);
		ck_assert(next);
		*next = 0;
		snprintf(want, sizeof want, "<%s>", text_of(in, "target_name"));
		ck_assert_msg(!*text_of(in, "target_name") || strstr(words, want), "no %s in %s", want, at);
		snprintf(want, sizeof want, "# \"%s\"", text_of(in, "target_text"));
		ck_assert_msg(!*text_of(in, "target_text") || strchr(want, '\n') || strstr(words, want), "no %s in %s", want, at);
		words += strspn(words, " ");
		ck_assert(!strncmp(words, text_of(in, "mnemonic"), strlen(text_of(in, "mnemonic"))) && strstr(words, text_of(in, "operands")));
		*next = '\n';
		at = next;
	}
	ck_assert_str_eq(at, "\n");
}

START_TEST(disassembly_is_objdumps)
{
	static const char *const functions[] = { "main", "build", "truth_print", "start", "_start", "malloc", "qsort", "getaddrinfo", "vfprintf" };
	enum { OWN = 4 }; /* with DWARF */
	if (!have_program("objdump") || !have_program("addr2line") || !have_program("gcore")) {
		puts("SKIP disas: needs binutils and gdb");
		return;
	}
	json_decref(start("threads"));
	const char *at = target(_i);
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
		json_t *j = ask("disas", at, functions[i]);
		compare_with_objdump(j);
		if (i < OWN)
			compare_lines(j);
		char *text = ask_text("disas", at, functions[i]);
		compare_text(j, text);
		free(text);
		json_decref(j);
	}
}
END_TEST

START_TEST(calls_have_names)
{
	bool direct = false, stub = false, line = false, literal = false;
	size_t i;
	json_t *in;
	json_decref(start("threads"));
	literal = is_32bit(); /* nothing is relative to the pc there */
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
	j = ask("disas", target(false), "truth_print");
	json_array_foreach(json_object_get(j, "instructions"), i, in)
		literal |= strstr(text_of(in, "target_text"), "\"pid\":") != NULL;
	json_decref(j);
	ck_assert(direct && stub && line && literal);
}
END_TEST

/* Of frame N: what `disas #N` marks; in JSON too. */
static uint64_t marked(const char *at, const char *frame)
{
	char *text = ask_text("disas", at, frame), *mark = strstr(text, "\n=> 0x");
	ck_assert_msg(mark && !strstr(mark + 1, "\n=>"), "%s: %.2000s", frame, text);
	uint64_t pc = strtoull(mark + 4, NULL, 16);
	json_t *j = ask("disas", at, frame), *in;
	size_t i, n = 0;
	json_array_foreach(json_object_get(j, "instructions"), i, in) {
		if (!json_is_true(json_object_get(in, "current")))
			continue;
		ck_assert_uint_eq(address_of(in, "address"), pc);
		n++;
	}
	ck_assert_uint_eq(n, 1);
	json_decref(j);
	free(text);
	return pc;
}

/* Where gdb's "disassemble" of the frame has its mark. */
static uint64_t marked_by_gdb(const char *at, bool as_core, unsigned frame)
{
	char choose[32], executable[64];
	int status;
	snprintf(choose, sizeof choose, "frame %u", frame);
	snprintf(executable, sizeof executable, "/proc/%d/exe", (int)child.pid);
	char *argv[] = { (char *)(uintptr_t)"gdb", (char *)(uintptr_t)"-batch", (char *)(uintptr_t)"-nx", (char *)(uintptr_t)"-ex",
			 (char *)(uintptr_t)"set debuginfod enabled off", (char *)(uintptr_t)"-ex", choose, (char *)(uintptr_t)"-ex",
			 (char *)(uintptr_t)"disassemble", (char *)(uintptr_t)(as_core ? "-c" : "-p"), (char *)(uintptr_t)at, executable, NULL };
	char *text = run_text(argv, &status), *mark = strstr(text, "\n=> 0x");
	ck_assert_msg(mark, "gdb ended with %d: %.2000s", status, text);
	uint64_t pc = strtoull(mark + 4, NULL, 16);
	free(text);
	return pc;
}

START_TEST(the_frame_is_marked)
{
	static const char *const words[] = { "#0", "#1", "2" };
	if (!have_program("gdb") || !have_program("gcore")) {
		puts("SKIP marked frames: needs gdb");
		return;
	}
	json_decref(start("clean"));
	const char *at = target(_i);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_uint_eq(marked(at, words[i]), marked_by_gdb(at, _i, i));
	/* main() ends with a call that does not return: it stands behind its last instruction. */
	char *last = ask_text("disas", at, words[2]), *mark = strstr(last, "\n=> 0x");
	ck_assert_msg(mark && strstr(mark, "does not return") && strstr(last, "main "), "%s", last);
	free(last);
	/* Of the frame that was chosen at the prompt, without a word. */
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)"shell", (char *)(uintptr_t)at, (char *)(uintptr_t)"-e",
			 (char *)(uintptr_t)"frame 1", (char *)(uintptr_t)"-e", (char *)(uintptr_t)"disas", NULL };
	int status;
	char *text = run_text(argv, &status), want[64];
	snprintf(want, sizeof want, "\n=> 0x%llx ", (unsigned long long)marked(at, "#1"));
	ck_assert_msg(strstr(text, want) && strstr(text, "truth_wait"), "%s", text);
	free(text);
}
END_TEST

static bool same_field(const json_t *a, const json_t *b, const char *key)
{
	return json_equal(json_object_get(a, key), json_object_get(b, key));
}

/* "by_case" as it is called there: "by_case.constprop.0", "in_cxx(int)". */
static bool same_function(const json_t *candidate, const json_t *want)
{
	const char *is = text_of(candidate, "function"), *name = text_of(want, "function");
	size_t n = strlen(name);
	return !strncmp(is, name, n) && (!is[n] || is[n] == '.' || is[n] == '(');
}

/* gcc may put the ends of several cases into one, whose line is any of theirs. */
static bool same_place(const json_t *candidate, const json_t *want, const char *file)
{
	return !strcmp(text_of(candidate, "file"), file) && same_function(candidate, want) && (merges_lines || same_field(candidate, want, "line"));
}

/* The program's candidate with these bytes, call and, unless NULL, place in file. */
static const json_t *candidate(const json_t *j, const json_t *want, const char *file)
{
	size_t i;
	json_t *c;
	json_array_foreach(json_object_get(j, "candidates"), i, c)
		if (same_field(c, want, "bytes") && same_field(c, want, "call") && strstr(text_of(c, "module"), program) &&
		    (!file || same_place(c, want, file)))
			return c;
	return NULL;
}

/* Text has a line of these words: "  1408  realloc  asks.h:59  by_case". */
static bool in_text(const char *text, const json_t *want, const char *file)
{
	char line[200], bytes[32], call[32], where[64], function[64], place[64];
	snprintf(place, sizeof place, "%s:%lld", file, (long long)json_integer_value(json_object_get(want, "line")));
	for (const char *at = text; at && *at; at = strchr(at, '\n'), at += at != NULL) {
		snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
		/* Two blanks at least stand between columns, one in "operator new". */
		if (sscanf(line, " %31s %31[^ ]%*1[ ]%31s", bytes, call, where) < 2)
			continue;
		char *name = strstr(line, text_of(want, "call"));
		if (!name || sscanf(name + strlen(text_of(want, "call")), " %63s %63s", where, function) != 2 || (strcmp(where, place) && !merges_lines))
			continue;
		for (char *comma; (comma = strchr(bytes, ','));)
			memmove(comma, comma + 1, strlen(comma));
		if (strtoll(bytes, NULL, 10) == json_integer_value(json_object_get(want, "bytes")) && !strncmp(function, text_of(want, "function"), 5))
			return true;
	}
	return false;
}

static void find_all(const json_t *truth, const char *at, bool by_line)
{
	size_t i;
	json_t *want, *c, *j = ask("sites", at, NULL), *code = json_object_get(j, "code"), *list = json_object_get(truth, "sites");
	const char *file = text_of(truth, "file");
	char *text = ask_text("sites", at, NULL);
	ck_assert_uint_gt(json_array_size(list), 5);
	json_array_foreach(list, i, want) {
		const json_t *is = candidate(j, want, by_line ? file : NULL);
		ck_assert_msg(is, "%s: %s of %lld bytes at line %lld is no candidate", at, text_of(want, "call"),
			      (long long)json_integer_value(json_object_get(want, "bytes")), (long long)json_integer_value(json_object_get(want, "line")));
		ck_assert(by_line == (*text_of(is, "function") != 0));
		ck_assert_msg(!by_line || in_text(text, want, file), "%s at line %lld is not in %.2000s", text_of(want, "call"),
			      (long long)json_integer_value(json_object_get(want, "line")), text);
	}
	/* And the file has no others. */
	json_array_foreach(json_object_get(j, "candidates"), i, c) {
		if (strcmp(text_of(c, "file"), file))
			continue;
		bool known = false;
		size_t k;
		json_array_foreach(list, k, want)
			known |= same_field(c, want, "bytes") && same_field(c, want, "call") && same_place(c, want, file);
		ck_assert_msg(known, "%s of %lld bytes at line %lld is a candidate", text_of(c, "call"),
			      (long long)json_integer_value(json_object_get(c, "bytes")), (long long)json_integer_value(json_object_get(c, "line")));
	}
	ck_assert(json_integer_value(json_object_get(code, "decoded_bytes")) > 0);
	ck_assert(json_equal(json_object_get(code, "bytes"), json_object_get(code, "searched_bytes")));
	/* qemu has a page of code of its own in the guest. */
	ck_assert(emulated() || json_equal(json_object_get(code, "elsewhere_bytes"), json_object_get(truth, "elsewhere")));
	ck_assert(strstr(text, "candidates") && strstr(text, "decoded") && (emulated() || strstr(text, "12.0 KiB of executable")));
	json_decref(j);
	free(text);
}

static const char *const askers[] = { "asks_o0", "asks_o2", "asks_os", "asks_new_o0", "asks_new_o2" };
enum { N_ASKERS = sizeof askers / sizeof *askers, N_EMULATED = 2 }; /* -Os of aarch64 merges a call of calloc with one of realloc */

START_TEST(known_sites_are_candidates)
{
	const char *left_out = getenv("TRUTH_LEAVE_OUT");
	if (left_out && strstr(left_out, "new") && strstr(askers[_i], "new"))
		return;
	json_t *truth = start(askers[_i]);
	find_all(truth, target(false), true);
	if (have_program("gcore"))
		find_all(truth, target(true), true);
	else
		puts("SKIP sites of a core: needs gdb");
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
	snprintf(from, sizeof from, "%s/asks_o2", getenv("FIXTURES"));
	snprintf(stripped, sizeof stripped, "%s/stripped", scratch_directory());
	char *argv[] = { (char *)(uintptr_t)"strip", (char *)(uintptr_t)"-o", stripped, from, NULL };
	free(run_text(argv, &status));
	ck_assert_int_eq(status, 0);
	setenv("FIXTURES", scratch_directory(), 1);
	json_t *truth = start("stripped");
	find_all(truth, target(false), false);
	json_decref(truth);
}
END_TEST

/* A program that holds its malloc without a name: nothing is found, and that is said. */
START_TEST(sites_of_a_stripped_static_program)
{
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)"sites", NULL, (char *)(uintptr_t)"56", NULL };
	const char *cc = getenv("CC") ? getenv("CC") : "gcc";
	int status;
	snprintf(stripped, sizeof stripped, "%s/stripped", scratch_directory());
	char *build[] = { (char *)(uintptr_t)cc, (char *)(uintptr_t)"-static", (char *)(uintptr_t)"-s", (char *)(uintptr_t)"-w", (char *)(uintptr_t)"-o",
			  stripped, (char *)(uintptr_t)"fixtures/src/asks_o2.c", NULL };
	free(run_text(build, &status));
	if (status) {
		puts("SKIP sites of a static program: needs libc.a");
		return;
	}
	setenv("FIXTURES", scratch_directory(), 1);
	setenv("FIXTURE_LAUNCH", "", 1);
	json_decref(start("stripped"));
	argv[2] = (char *)(uintptr_t)target(false);
	char *text = run_text(argv, &status);
	ck_assert_msg(status == 4 && strstr(text, "0 candidates. No allocation function has a name"), "%d: %s", status, text);
	free(text);
}
END_TEST

/* A block instead of a size: the only one of its size, by its address. */
START_TEST(sites_of_a_block)
{
	const char *why, *address;
	if (_i && !have_program("gcore")) {
		puts("SKIP sites of a core's block: needs gdb");
		return;
	}
	json_t *truth = start("asks_o2"), *block, *want = NULL, *site;
	const char *at = target(_i);
	json_t *blocks = flotsam_blocks(at, &why);
	size_t i;
	ck_assert_msg(blocks, "%s", why);
	json_array_foreach(json_object_get(truth, "sites"), i, site)
		if (json_integer_value(json_object_get(site, "bytes")) == 1108)
			want = site;
	bool found = false;
	/* 1,108 bytes get a chunk of 1,120, as 1,097 to 1,112 do; of i386 1,101 to 1,116. */
	json_object_foreach(blocks, address, block) {
		if (json_integer_value(json_object_get(block, "size")) != (is_32bit() ? 1116 : 1112) || strcmp(text_of(block, "state"), "used"))
			continue;
		json_t *j = ask("sites", at, address);
		ck_assert_str_eq(text_of(j, "block"), address);
		found |= candidate(j, want, "asks.h") != NULL;
		json_decref(j);
	}
	ck_assert(found);
	json_t *by_size = ask("sites", at, is_32bit() ? "1101" : "1097");
	ck_assert_int_eq(json_integer_value(json_object_get(by_size, "chunk_bytes")), 1120);
	ck_assert(candidate(by_size, want, "asks.h"));
	json_decref(by_size);
	by_size = ask("sites", at, is_32bit() ? "1117" : "1113");
	ck_assert(!candidate(by_size, want, "asks.h"));
	json_decref(by_size);
	char *text = ask_text("sites", at, "1108");
	ck_assert_msg(strstr(text, "asks.h:") && strstr(text, "candidate") && strstr(text, "decoded"), "%.2000s", text);
	free(text);
	json_decref(blocks);
	json_decref(truth);
}
END_TEST

/* At the prompt what a list numbers is an operand: a block of sites, a call of disas. */
START_TEST(sites_by_number)
{
	json_t *truth = start("asks_o2");
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)"shell", (char *)(uintptr_t)target(false), (char *)(uintptr_t)"-e",
			 (char *)(uintptr_t)(is_32bit() ? "blocks size=1116" : "blocks size=1112"), (char *)(uintptr_t)"-e", (char *)(uintptr_t)"sites 1", (char *)(uintptr_t)"-e",
			 (char *)(uintptr_t)"disas 2", (char *)(uintptr_t)"-e", (char *)(uintptr_t)"sites size=2", NULL };
	int status;
	char *text = run_text(argv, &status), *list = strstr(text, "calls that get a chunk of 1,120 bytes"), *code = strstr(text, "\nby_case  asks_o2");
	ck_assert_msg(!status && list && strstr(list, " malloc ") && strstr(list, " asks.h:"), "%.2000s", text);
	ck_assert_msg(code && strstr(code, "\n=> 0x") && strstr(strstr(code, "\n=> 0x"), "<malloc@plt>"), "%.2000s", code ? code : text);
	ck_assert(strstr(text, is_32bit() ? "calls that get a chunk of 16 bytes" : "calls that get a chunk of 32 bytes"));
	free(text);
	json_decref(truth);
}
END_TEST

START_TEST(emulated_sites)
{
	json_t *truth = start(askers[_i]);
	find_all(truth, target(true), true);
	json_decref(truth);
}
END_TEST

START_TEST(emulated_disassembly)
{
	static const char *const functions[] = { "main", "build", "truth_print", "truth_wait", "start" };
	if (!have_program(objdump_program())) {
		puts("SKIP disas of aarch64: needs binutils-aarch64-linux-gnu");
		return;
	}
	json_decref(start("threads"));
	const char *at = target(true);
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
		json_t *j = ask("disas", at, functions[i]);
		compare_with_objdump(j);
		char *text = ask_text("disas", at, functions[i]);
		compare_text(j, text);
		free(text);
		json_decref(j);
	}
}
END_TEST

static TCase *emulated_case(void)
{
	TCase *t = tcase_create("emulated");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, emulated_sites, 0, N_EMULATED);
	tcase_add_test(t, emulated_disassembly);
	return t;
}

int main(void)
{
	Suite *s = suite_create("code");
	if (emulated())
		suite_add_tcase(s, emulated_case());
	TCase *t = tcase_create("disas");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, disassembly_is_objdumps, 0, 2);
	tcase_add_test(t, calls_have_names);
	suite_add_tcase(s, t);
	t = tcase_create("frames"); /* gdb must know the program, which is not so when ld.so was told to run it */
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, the_frame_is_marked, 0, 2);
	suite_add_tcase(s, t);
	t = tcase_create("sites");
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, known_sites_are_candidates, 0, N_ASKERS);
	tcase_add_test(t, sites_without_symbols);
	tcase_add_test(t, sites_of_a_stripped_static_program);
	tcase_add_loop_test(t, sites_of_a_block, 0, 2);
	tcase_add_test(t, sites_by_number);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

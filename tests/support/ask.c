#include "ask.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct child asked;
char ask_target[320];

json_t *ask_start(const char *fixture, const char *mode, const char *variable)
{
	char name[64] = "";
	char *argv[] = { (char *)(uintptr_t)fixture, (char *)(uintptr_t)mode, NULL };
	if (variable) {
		snprintf(name, sizeof name, "%.*s", (int)strcspn(variable, "="), variable);
		setenv(name, variable + strlen(name) + 1, 1);
	}
	ck_assert_msg(child_start(&asked, argv, NULL, false), "%s %s does not start", fixture, mode);
	if (variable)
		unsetenv(name);
	json_t *truth = child_json(&asked);
	ck_assert_msg(truth, "%s %s says no truth", fixture, mode);
	ck_assert_msg(child_settled(&asked), "%s %s does not come to rest", fixture, mode);
	snprintf(ask_target, sizeof ask_target, "%d", (int)asked.pid);
	return truth;
}

bool ask_core(void)
{
	const char *core = child_gcore(&asked);
	if (core)
		snprintf(ask_target, sizeof ask_target, "%s", core);
	return core;
}

json_t *ask_json(const char *command, const char *operand)
{
	int status;
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)command, ask_target, (char *)(uintptr_t) "--format", (char *)(uintptr_t) "json",
			 (char *)(uintptr_t)operand, NULL };
	json_t *j = run_json(argv, &status);
	ck_assert_msg(j, "flotsam %s %s prints no JSON", command, ask_target);
	ck_assert_msg(status == 0, "flotsam %s %s ended with %d", command, ask_target, status);
	return j;
}

char *ask_text(const char *command, const char *operand)
{
	int status;
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)command, ask_target, (char *)(uintptr_t)operand, NULL };
	char *text = run_text(argv, &status);
	ck_assert_msg(text && status == 0, "flotsam %s %s ended with %d", command, ask_target, status);
	for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
		ck_assert_msg(end - line <= 80, "flotsam %s: a line of %d columns: %.*s", command, (int)(end - line), (int)(end - line), line);
	return text;
}

int64_t number(const json_t *j, const char *key)
{
	const json_t *v = json_object_get(j, key);
	ck_assert_msg(json_is_integer(v), "no number '%s'", key);
	return json_integer_value(v);
}

const char *word(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));
	ck_assert_msg(s, "no text '%s'", key);
	return s;
}

int64_t ask_rollup(const char *field)
{
	char path[64], line[256];
	int64_t kib = -1;
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)asked.pid);
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
			kib = strtoll(line + strlen(field) + 1, NULL, 10);
	fclose(f);
	ck_assert_int_ge(kib, 0);
	return kib * 1024;
}

void ask_fixture(const char *line)
{
	ck_assert_int_eq(write(asked.in, line, strlen(line)), (ssize_t)strlen(line));
	json_t *done = child_json(&asked);
	ck_assert_msg(done, "no answer to %s", line);
	json_decref(done);
	ck_assert(child_settled(&asked));
}

void close_to(const char *what, int64_t foretold, int64_t real)
{
	int64_t off = llabs(foretold - real), allowed = real / 50 > 1 << 20 ? real / 50 : 1 << 20;
	ck_assert_msg(off <= allowed, "%s: %" PRId64 " foretold, %" PRId64 " in truth", what, foretold, real);
}

uint64_t address(const json_t *j, const char *key)
{
	return strtoull(word(j, key), NULL, 16);
}

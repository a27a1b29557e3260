/* Values against gdb's: every scalar of every variable, asked of gdb by its path, on the same core. Variables of the program,
 * of frames at -O2, of threads; objects by type and address. */
#include "process.h"
#include "scratch.h"

#include <check.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct child child;
static char pid[16], program[512];
static const char *core;
static json_t *truth;

static void start(const char *fixture)
{
	char *argv[] = { (char *)fixture, NULL };
	const char *fixtures = getenv("FIXTURES");
	ck_assert(child_start(&child, argv, NULL, false));
	truth = child_json(&child);
	ck_assert_msg(truth, "the fixture says nothing");
	ck_assert(child_settled(&child));
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
	snprintf(program, sizeof program, "%s/%s", fixtures ? fixtures : "build/release/fixtures", fixture);
}

/* False: there is no gdb. */
static bool start_with_core(const char *fixture, const char *test)
{
	if (!have_program("gcore") || !have_program("gdb")) {
		printf("SKIP values %s: needs gdb\n", test);
		fflush(stdout);
		return false;
	}
	start(fixture);
	core = child_gcore(&child);
	return core;
}

static json_t *flotsam(const char *command, const char *target, const char *word, const char *second)
{
	int status;
	const char *argv[8] = { flotsam_path(), command, target, "--format", "json", word, word ? second : NULL, NULL };
	json_t *j = run_json((char *const *)argv, &status);
	ck_assert_msg(j && status == 0, "flotsam %s %s %s: status %d", command, target, word, status);
	return j;
}

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));
	return s ? s : "";
}

/* What is compared: expressions of gdb's and what we say of them. */
struct asked { char *at, *said; bool type; };
static struct asked asked[4096];
static size_t n_asked;
static char script[300];
static FILE *script_file;

static void open_script(void)
{
	snprintf(script, sizeof script, "%s/script", scratch_directory());
	script_file = fopen(script, "w");
	ck_assert(script_file);
	fprintf(script_file, "set width 0\nset print object off\nset backtrace past-main on\n");
}

static void __attribute__((format(printf, 1, 2))) tell_gdb(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vfprintf(script_file, format, ap);
	va_end(ap);
}

static void ask(const char *path, const char *expression, const char *said)
{
	ck_assert_uint_lt(n_asked, sizeof asked / sizeof *asked);
	asked[n_asked].at = strdup(path);
	asked[n_asked].said = strdup(said);
	fprintf(script_file, "echo @%zu=\noutput %s\necho \\n\n", n_asked++, expression);
}

static void ask_type(const char *expression, const char *said)
{
	ck_assert_uint_lt(n_asked, sizeof asked / sizeof *asked);
	asked[n_asked].at = strdup(expression);
	asked[n_asked].type = true;
	ck_assert(asprintf(&asked[n_asked].said, "type = %s", said) > 0);
	fprintf(script_file, "echo @%zu=\nwhatis %s\n", n_asked++, expression);
}

/* A pointer's number alone: gdb puts its type in front. */
static void ask_value(const json_t *v, const char *path)
{
	char expression[600], number[32];
	const char *kind = text_of(v, "kind"), *missing = text_of(v, "missing");
	if (!strcmp(kind, "pointer") || !strcmp(kind, "reference")) {
		snprintf(expression, sizeof expression, *kind == 'r' ? "(unsigned long)&%s" : "(unsigned long)%s", path);
		snprintf(number, sizeof number, "%lu", strtoul(text_of(v, "pointer"), NULL, 16));
		ask(path, *missing ? path : expression, *missing ? "<optimized out>" : number);
	} else {
		ask(path, path, *missing ? "<optimized out>" : text_of(v, "value"));
	}
}

/* All scalars of a value. Base classes and nameless members are no part of a path; names of the compiler's own are no words of
 * gdb's. */
static void ask_all(const json_t *v, const char *path, int depth)
{
	json_t *members = json_object_get(v, "members"), *m;
	size_t i, index = 0;
	bool array = !strcmp(text_of(v, "kind"), "array");
	ck_assert_int_lt(depth, 20);
	if (!json_array_size(members) || !strcmp(text_of(v, "kind"), "reference")) {
		if (strcmp(text_of(v, "kind"), "struct") || *text_of(v, "missing"))
			ask_value(v, path);
		return;
	}
	json_array_foreach(members, i, m) {
		char inner[512];
		const char *name = text_of(m, "name");
		json_int_t repeats = json_integer_value(json_object_get(m, "repeats"));
		if (array)
			snprintf(inner, sizeof inner, "%s[%zu]", path, index);
		else
			snprintf(inner, sizeof inner, *name && *name != '<' ? "%s.%s" : "%s", path, name);
		index += repeats ? (size_t)repeats : 1;
		if (strncmp(name, "_vptr", 5))
			ask_all(m, inner, depth + 1);
	}
}

/* gdb writes enumerators with the names around them: (shapes::FLAG_A | shapes::FLAG_C). */
static void without_scopes(char *value)
{
	for (char *p; value[0] != '"' && (p = strstr(value, "::"));) {
		char *from = p;
		while (from > value && (isalnum((unsigned char)from[-1]) || from[-1] == '_'))
			from--;
		memmove(from, p + 2, strlen(p + 2) + 1);
	}
}

/* It depends on the language of the frame whether gdb says "struct". */
static void without_keyword(char *type)
{
	static const char *const words[] = { "struct ", "union ", "enum ", "class " };
	char *name = type + strlen("type = ");
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (!strncmp(name, words[i], strlen(words[i])))
			memmove(name, name + strlen(words[i]), strlen(name + strlen(words[i])) + 1);
}

/* Runs gdb over the script and compares. Returns how many values were. */
static size_t compare(void)
{
	int status;
	size_t found = 0, faults = 0;
	char *save = NULL, report[4096] = "";
	fclose(script_file);
	const char *argv[] = { "gdb", "-nx", "-batch", "-x", script, program, core, NULL };
	setenv("LC_ALL", "C", 1);
	char *text = run_text((char *const *)argv, &status);
	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		size_t k;
		char *value = strchr(line, '=');
		if (line[0] != '@' || !value || sscanf(line, "@%zu=", &k) != 1 || k >= n_asked)
			continue;
		found++;
		if (asked[k].type)
			without_keyword(value + 1);
		else
			without_scopes(value + 1);
		if (strcmp(value + 1, asked[k].said) && faults++ < 12)
			snprintf(report + strlen(report), sizeof report - strlen(report), "%s: gdb %s, we %s\n", asked[k].at, value + 1, asked[k].said);
	}
	ck_assert_msg(!faults, "%zu values differ\n%s", faults, report);
	ck_assert_msg(found == n_asked, "gdb answers %zu of %zu", found, n_asked);
	free(text);
	return found;
}

static const char *const globals[] = {
	"g_numbers", "g_bits", "g_either", "g_nest", "g_color", "g_flags", "g_no_flags", "g_odd_flags", "g_level", "g_other_level", "g_circle",
	"g_diamond", "g_box", "g_matrix", "g_repeats", "g_text", "g_full", "g_string", "g_null", "g_pointer", "g_call", "g_self", "g_reference",
	"g_object", "g_doubles", "g_std_string", "g_long_string", "g_vector", "g_map", "g_hash", "g_list",
	"g_nest.outer[1].inner.deep", "*g_self.me", "g_self.me->me->value", "g_matrix[1]", "*g_object", "g_reference.target",
	"g_pointer[0]",
};

/* One sitting prints all of them, each into a file. */
static void print_globals(void)
{
	char path[300];
	int status;
	snprintf(path, sizeof path, "%s/ours", scratch_directory());
	FILE *f = fopen(path, "w");
	ck_assert(f);
	for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
		fprintf(f, "print %s --format json > %s/%zu.json\n", globals[i], scratch_directory(), i);
	fclose(f);
	const char *argv[] = { flotsam_path(), "shell", core, "-x", path, NULL };
	free(run_text((char *const *)argv, &status));
	ck_assert_int_eq(status, 0);
}

START_TEST(globals_as_gdb_has_them)
{
	if (!start_with_core("values", "globals"))
		return;
	open_script();
	print_globals();
	for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
		char file[300];
		snprintf(file, sizeof file, "%s/%zu.json", scratch_directory(), i);
		json_t *j = json_load_file(file, 0, NULL), *values = json_object_get(j, "values");
		ck_assert_msg(json_array_size(values) == 1, "%s has %zu values", globals[i], json_array_size(values));
		char path[128];
		snprintf(path, sizeof path, "(%s)", globals[i]);
		ask_all(json_array_get(values, 0), path, 0);
		/* gdb has other words for parameters of functions, defaults of templates, and long. */
		const char *type = text_of(json_array_get(values, 0), "type");
		if (!strchr(type, '(') && strncmp(type, "std::", 5) && strcmp(type, "long int"))
			ask_type(path, type);
		json_decref(j);
	}
	ck_assert_uint_gt(compare(), 130);
}
END_TEST

/* gdb's numbers of the frames that stand in a source file: it has more frames between them, of functions that ended in a jump. */
static size_t gdb_frames(long tid, const char *source, int *to, size_t max)
{
	int status;
	size_t n = 0;
	char find[64], *save = NULL;
	bool here = false;
	snprintf(find, sizeof find, "(LWP %ld)", tid);
	const char *argv[] = { "gdb", "-nx", "-batch", "-ex", "set print frame-arguments none", "-ex", "set width 0", "-ex", "thread apply all bt",
			       program, core, NULL };
	char *text = run_text((char *const *)argv, &status);
	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, "Thread ", 7))
			here = strstr(line, find);
		else if (here && line[0] == '#' && strstr(line, source) && n < max)
			to[n++] = atoi(line + 1);
	}
	free(text);
	return n;
}

/* The variables of each frame of the fixture's own. */
static void locals_of(int thread, const char *source)
{
	char number[16], frame[24];
	int levels[32];
	size_t i, k, own = 0;
	json_t *f, *v;
	snprintf(number, sizeof number, "%d", thread);
	json_t *stack = flotsam("stack", core, number, NULL), *t = json_array_get(json_object_get(stack, "threads"), 0);
	size_t n = gdb_frames(json_integer_value(json_object_get(t, "tid")), source, levels, 32);
	tell_gdb("thread %d\n", thread); /* a core of gcore's has them in our order */
	json_array_foreach(json_object_get(t, "frames"), i, f) {
		if (strcmp(text_of(f, "file"), source))
			continue;
		snprintf(frame, sizeof frame, "%zu", i);
		json_t *locals = flotsam("locals", core, frame, number);
		ck_assert_uint_lt(own, n);
		tell_gdb("frame %d\n", levels[own++]);
		json_array_foreach(json_object_get(locals, "values"), k, v)
			ask_all(v, text_of(v, "name"), 0);
		json_decref(locals);
	}
	ck_assert_uint_eq(own, n);
	json_decref(stack);
}

START_TEST(locals_as_gdb_has_them)
{
	if (!start_with_core("values", "locals"))
		return;
	open_script();
	locals_of(1, "values.cc");
	ck_assert_uint_gt(compare(), 30);
}
END_TEST

START_TEST(locals_of_threads)
{
	if (!start_with_core("frames", "threads"))
		return;
	open_script();
	for (int i = 1; i <= 4; i++)
		locals_of(i, "frames.c");
	ck_assert_uint_gt(compare(), 20);
}
END_TEST

START_TEST(thread_variables)
{
	start("values");
	json_t *j = flotsam("print", pid, "t_plain", NULL), *v = json_array_get(json_object_get(j, "values"), 0);
	ck_assert_str_eq(text_of(v, "value"), "56");
	json_decref(j);
	j = flotsam("print", pid, "t_struct.b", NULL);
	v = json_array_get(json_object_get(j, "values"), 0);
	ck_assert_str_eq(text_of(v, "value"), "\"tls\\000\\000\\000\\000\"");
	json_decref(j);
}
END_TEST

/* An object by its type, and by what its vtable says; pointers are followed to blocks. */
START_TEST(objects_by_address)
{
	start("values");
	const char *object = text_of(truth, "object");
	json_t *typed = flotsam("print", pid, "shapes::circle", object), *bare = flotsam("print", pid, object, NULL);
	json_t *a = json_array_get(json_object_get(typed, "values"), 0), *b = json_array_get(json_object_get(bare, "values"), 0);
	ck_assert_str_eq(text_of(a, "address"), object);
	ck_assert_int_eq(json_integer_value(json_object_get(a, "size")), 56);
	ck_assert(json_equal(a, b));
	json_t *radius = json_array_get(json_object_get(a, "members"), 2);
	ck_assert_str_eq(text_of(radius, "name"), "radius");
	ck_assert_str_eq(text_of(radius, "value"), "2.5");
	json_decref(typed);
	json_decref(bare);
	json_t *pointer = flotsam("print", pid, "g_object", NULL);
	json_t *block = json_object_get(json_array_get(json_object_get(pointer, "values"), 0), "block");
	ck_assert_str_eq(text_of(block, "address"), object);
	ck_assert_str_eq(text_of(block, "label"), "shapes::circle");
	json_decref(pointer);
	json_t *nameless = flotsam("print", pid, "in_anonymous.b", NULL);
	ck_assert_str_eq(text_of(json_array_get(json_object_get(nameless, "values"), 0), "value"), "6");
	json_decref(nameless);
	json_t *made = flotsam("print", pid, "shapes::base::made", NULL), *inside = flotsam("print", pid, "many::calls", NULL);
	ck_assert_str_eq(text_of(json_array_get(json_object_get(made, "values"), 0), "value"), "42");
	ck_assert_str_eq(text_of(json_array_get(json_object_get(inside, "values"), 0), "value"), "4");
	json_decref(made);
	json_decref(inside);
	json_t *array = flotsam("print", pid, "int [3]", "g_matrix");
	ck_assert_uint_eq(json_array_size(json_object_get(array, "values")), 3);
	ck_assert_str_eq(text_of(json_array_get(json_object_get(array, "values"), 2), "value"), "3");
	json_decref(array);
}
END_TEST

START_TEST(declared_types_stay_themselves)
{
	start("values");
	json_t *j = flotsam("print", pid, "*g_declared", NULL), *v = json_array_get(json_object_get(j, "values"), 0);
	ck_assert_str_eq(text_of(v, "type"), "shapes::only_declared");
	ck_assert(!json_object_get(v, "members") && *text_of(v, "missing"));
	json_decref(j);
	j = flotsam("print", pid, "g_declared", NULL);
	ck_assert_str_eq(text_of(json_array_get(json_object_get(j, "values"), 0), "type"), "shapes::only_declared *");
	json_decref(j);
}
END_TEST

START_TEST(wrong_names_are_refused)
{
	static const struct { const char *word, *second; int status; } wrong[] = {
		{ "no_such_variable", NULL, 3 }, { "g_numbers.nothing", NULL, 3 }, { "g_numbers[3]", NULL, 2 }, { "*g_numbers", NULL, 2 },
		{ "no_such_type", "g_numbers", 3 }, { "g_numbers->", NULL, 3 }, { "g_matrix[", NULL, 2 }, { "*g_null", NULL, 0 },
		{ "a_function", NULL, 3 },
	};
	int status;
	start("values");
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		const char *argv[] = { flotsam_path(), "print", pid, wrong[i].word, wrong[i].second, NULL };
		free(run_text((char *const *)argv, &status));
		ck_assert_msg(status == wrong[i].status, "print %s: status %d, not %d", wrong[i].word, status, wrong[i].status);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("values");
	TCase *tc = tcase_create("values");
	tcase_add_test(tc, globals_as_gdb_has_them);
	tcase_add_test(tc, locals_as_gdb_has_them);
	tcase_add_test(tc, locals_of_threads);
	tcase_add_test(tc, thread_variables);
	tcase_add_test(tc, objects_by_address);
	tcase_add_test(tc, declared_types_stay_themselves);
	tcase_add_test(tc, wrong_names_are_refused);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

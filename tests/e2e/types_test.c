/* Types of blocks by DWARF against what fixtures say that they allocated: every label of a type is right, and nearly all blocks
 * have one. Live and of a core. */
#include "ask.h"
#include "scratch.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *truth;

/* "std::_Rb_tree_node<|shop::order": it begins with the first, and the others are in it. */
static bool is_type(const char *label, const char *expected)
{
	char part[256];
	for (const char *at = expected; *at; at += strcspn(at, "|"), at += *at == '|') {
		snprintf(part, sizeof part, "%.*s", (int)strcspn(at, "|"), at);
		if (at == expected ? strncmp(label, part, strlen(part)) != 0 : !strstr(label, part))
			return false;
	}
	return true;
}

static bool is_size(const char *label)
{
	return label[0] >= '0' && label[0] <= '9';
}

static json_t *labels(void)
{
	json_t *list = ask_json("blocks", "--types=all"), *by_address = json_object(), *row;
	size_t i;
	ck_assert(json_is_array(list));
	json_array_foreach(list, i, row)
		json_object_set(by_address, word(row, "address"), json_object_get(row, "label"));
	json_decref(list);
	return by_address;
}

/* Few may stay without a type: a compiler need not say where a local is. */
static void compare(int percent_named)
{
	json_t *got = labels(), *blocks = json_object_get(truth, "blocks"), *row;
	size_t i, wrong = 0, unnamed = 0, n = json_array_size(blocks);
	ck_assert_uint_gt(n, 100);
	json_array_foreach(blocks, i, row) {
		const char *type = word(row, "type"), *label = json_string_value(json_object_get(got, word(row, "address")));
		ck_assert_msg(label, "%s: no such block", word(row, "address"));
		if (is_size(label)) {
			unnamed++;
			continue;
		}
		if (!is_type(label, type) && wrong++ < 10)
			printf("%s is a %s, not '%s'\n", word(row, "address"), type, label);
	}
	ck_assert_msg(!wrong, "%zu of %zu labels are wrong", wrong, n);
	ck_assert_msg(unnamed * 100 <= n * (size_t)(100 - percent_named), "%zu of %zu blocks have no type", unnamed, n);
	json_decref(got);
}

static const char *first_of(const char *type)
{
	json_t *row;
	size_t i;
	json_array_foreach(json_object_get(truth, "blocks"), i, row)
		if (!strcmp(word(row, "type"), type))
			return word(row, "address");
	ck_abort_msg("no %s", type);
}

static json_t *row_of(const json_t *types, const char *name)
{
	json_t *row;
	size_t i;
	json_array_foreach(json_object_get(types, "types"), i, row)
		if (!strcmp(word(row, "type"), name))
			return row;
	ck_abort_msg("types has no %s", name);
}

static int64_t count_of(const char *type)
{
	json_t *row;
	size_t i;
	int64_t n = 0;
	json_array_foreach(json_object_get(truth, "blocks"), i, row)
		n += !strcmp(word(row, "type"), type);
	return n;
}

/* The table's figures are those of the fixture. */
static void check_table(const char *type)
{
	json_t *types = ask_json("types", NULL), *row = row_of(types, type);
	ck_assert_int_eq(number(row, "blocks"), count_of(type));
	ck_assert_str_eq(word(row, "tier"), "A");
	const json_t *coverage = json_object_get(types, "coverage");
	ck_assert_int_ge(number(coverage, "blocks"), number(coverage, "named_blocks"));
	ck_assert_int_ge(number(coverage, "named_blocks"), (int64_t)json_array_size(json_object_get(truth, "blocks")) * 9 / 10);
	json_decref(types);
	free(ask_text("types", NULL));
	free(ask_text("type", type));
}

/* Each step's pointer leads to the next step's object. */
static void check_chain(const char *type, const char *root)
{
	json_t *j = ask_json("type", first_of(type)), *chain = json_object_get(j, "chain"), *first = json_array_get(chain, 0);
	ck_assert_str_eq(word(j, "type"), type);
	ck_assert_msg(first, "%s has no chain", type);
	ck_assert_str_eq(word(first, "variable"), root);
	ck_assert_str_eq(word(first, "root"), "global");
	free(ask_text("type", first_of(type)));
	json_decref(j);
}

static void both(const char *fixture, int percent_named)
{
	truth = ask_start(fixture, "", NULL);
	compare(percent_named);
}

START_TEST(c_types)
{
	both("types_c", 98);
	check_table("deep");
	check_table("member");
	check_chain("nameless", "g_nameless");
	check_chain("flexible", "g_flexible");
	if (ask_core())
		compare(98);
}
END_TEST

START_TEST(cxx_types)
{
	both("types_cc", 98);
	check_table("shop::book");
	if (ask_core())
		compare(98);
}
END_TEST

/* Functors, values of any type, frames of coroutines: a function beside them, or at their start, is made for what they are. Some blocks
 * are nothing that could be known: they have no name. */
START_TEST(handled)
{
	both("types_handled", 80);
	check_table("shop::item");
	json_t *j = ask_json("type", first_of("shop::item"));
	ck_assert_str_eq(word(j, "by"), "handler");
	json_decref(j);
	if (ask_core())
		compare(80);
}
END_TEST

/* Types in units of their own, which the others name by signature; and found by name among them. */
START_TEST(type_units)
{
	both(_i ? "type_units_5" : "type_units_4", 98);
	check_table("shop::book");
	char *text = ask_text("print", "*g_unique._M_t._M_t._M_head_impl"); /* shop::order */
	ck_assert_msg(strstr(text, "number = ") && strstr(text, "what = 0x"), "%s", text);
	free(text);
	json_t *vector = ask_json("print", "g_vector");
	text = json_dumps(vector, 0);
	ck_assert_msg(strstr(text, "\"_M_finish\"") && !strstr(text, "incomplete"), "%s", text);
	free(text);
	json_decref(vector);
}
END_TEST

/* Types in a file that is not read: said, since nothing else tells why there are none. */
START_TEST(split)
{
	truth = ask_start("type_split", "", NULL);
	json_t *report = ask_json("report", "--types=all"), *finding;
	size_t i, said = 0;
	json_array_foreach(json_object_get(report, "findings"), i, finding)
		said += !strcmp(word(finding, "kind"), "split-dwarf") && strstr(word(finding, "text"), "type_split: its types");
	ck_assert_uint_eq(said, 1);
	json_decref(report);
}
END_TEST

/* A copy of a fixture's file, and stripped. False: there is no strip. */
static bool copied(const char *name, bool stripped, const char *to)
{
	char from[600], path[600];
	int status;
	const char *fixtures = getenv("FIXTURES");
	snprintf(from, sizeof from, "%s/%s", fixtures ? fixtures : "build/release/fixtures", name);
	snprintf(path, sizeof path, "%s/%s", to, name);
	const char *copy[] = { "cp", from, path, NULL }, *strip[] = { "strip", path, NULL };
	free(run_text((char *const *)(uintptr_t)copy, &status));
	ck_assert_int_eq(status, 0);
	if (stripped && have_program("strip"))
		free(run_text((char *const *)(uintptr_t)strip, &status));
	return have_program("strip") && status == 0;
}

/* Which files have no DWARF is said first, by name, whether program or library, and neither where it has. */
START_TEST(without_dwarf)
{
	static const struct { bool program, library; } cases[] = { { true, false }, { false, true }, { true, true }, { false, false } };
	char program[600];
	const char *to = scratch_directory();
	snprintf(program, sizeof program, "%s/dlopen", to);
	if (!copied("dlopen", cases[_i].program, to) || !copied("libplugin.so", cases[_i].library, to) || !copied("libgone.so", false, to)) {
		puts("SKIP without_dwarf: needs binutils");
		return;
	}
	truth = ask_start(program, "", NULL);
	json_t *types = ask_json("types", NULL), *list = json_object_get(json_object_get(types, "dwarf"), "without_dwarf"), *path;
	size_t i, programs = 0, libraries = 0;
	json_array_foreach(list, i, path) {
		programs += !!strstr(json_string_value(path), "/dlopen");
		libraries += !!strstr(json_string_value(path), "/libplugin.so");
	}
	ck_assert_uint_eq(programs, cases[_i].program);
	ck_assert_uint_eq(libraries, cases[_i].library);
	static const char *const commands[][2] = { { "report", "--types=all" }, { "types", NULL } };
	for (i = 0; i < 2; i++) {
		char *text = ask_text(commands[i][0], commands[i][1]);
		const char *said = strstr(text, "Without");
		for (char *c = text; *c; c++)
			*c = *c == '\n' ? ' ' : *c;
		ck_assert_msg(!!strstr(text, "debug symbols of the program") == cases[_i].program, "%s", text);
		bool library = said && (strstr(said, "libplugin.so;") || strstr(said, "libplugin.so,"));
		ck_assert_msg(library == cases[_i].library, "%s", text);
		free(text);
	}
	json_decref(types);
}
END_TEST

/* Behind void * and handles: nothing but code says what is there. */
START_TEST(cast_types)
{
	both("casts", 95);
	check_table("session");
	json_t *j = ask_json("type", first_of("job")), *chain = json_object_get(j, "chain"), *last = json_array_get(chain, json_array_size(chain) - 1);
	ck_assert_str_eq(word(j, "type"), "job");
	ck_assert_str_eq(word(j, "by"), "cast");
	ck_assert_str_eq(word(j, "tier"), "C");
	ck_assert_int_ge(number(j, "places"), 1);
	ck_assert_str_eq(word(last, "type"), "void *");
	free(ask_text("type", first_of("job")));
	json_decref(j);
	if (ask_core())
		compare(95);
}
END_TEST

/* What texts and addresses have alike, and what structs of one size have not. */
START_TEST(voids)
{
	both("voids", 98);
}
END_TEST

/* What a union's pointer leads to: a tag tells. */
START_TEST(arms_of_unions)
{
	both("arms", 98);
	json_t *j = ask_json("type", first_of("point[]")), *chain = json_object_get(j, "chain"), *last = json_array_get(chain, json_array_size(chain) - 1);
	ck_assert_str_eq(word(j, "by"), "union");
	ck_assert_str_eq(word(last, "type"), "value");
	json_decref(j);
	if (ask_core())
		compare(98);
}
END_TEST

/* Declarations of another library's functions say what is there. */
START_TEST(outside_casts)
{
	both("casts_outside", 98);
	json_t *j = ask_json("type", first_of("tm"));
	ck_assert_str_eq(word(j, "type"), "tm");
	ck_assert_str_eq(word(j, "by"), "cast");
	json_decref(j);
}
END_TEST

/* A union's only pointer is followed to the ends of a tree, and a name tells records apart. */
START_TEST(links)
{
	both("links", 98);
	if (ask_core())
		compare(98);
}
END_TEST

/* Kinds of a header, by what stands beside the pointer to it, an enumeration's names, and values in memory that nothing names. */
START_TEST(variants)
{
	both("variants", 98);
	json_t *j = ask_json("type", first_of("record"));
	ck_assert_str_eq(word(j, "by"), "variant");
	json_decref(j);
	if (ask_core())
		compare(98);
}
END_TEST

/* struct slot: {first, many, n, other} as the compiler lays it out for 64 bits. */
START_TEST(layout)
{
	truth = ask_start("types_c", "", NULL);
	json_t *j = ask_json("type", "slot"), *members = json_object_get(j, "members"), *hole = NULL, *row;
	size_t i;
	json_array_foreach(members, i, row)
		if (json_is_true(json_object_get(row, "hole")))
			hole = row;
	ck_assert_int_eq(number(j, "size"), 32);
	ck_assert_int_eq(number(j, "holes"), 4);
	ck_assert(hole);
	ck_assert_int_eq(number(hole, "offset"), 20);
	ck_assert_int_eq(number(hole, "bytes"), 4);
	ck_assert_str_eq(word(json_array_get(members, 0), "type"), "item *");
	json_decref(j);
}
END_TEST

static void is_labelled(json_t *report, const char *types, const char *because)
{
	const json_t *labelled = json_object_get(json_object_get(report, "coverage"), "labelled");
	ck_assert_str_eq(word(labelled, "types"), types);
	ck_assert_str_eq(word(labelled, "because"), because);
	ck_assert_int_eq(json_is_number(json_object_get(labelled, "all_seconds")), !strcmp(because, "costly"));
	json_decref(report);
}

/* A small heap is named by DWARF, and one of more than a million blocks is not: then the report says what that would take. */
START_TEST(by_size_of_heap)
{
	json_decref(ask_start("casts", "", NULL));
	is_labelled(ask_json("report", "--types=auto"), "all", "cheap");
	is_labelled(ask_json("report", "--types=vtable"), "vtable", "asked");
	child_end(&asked);
	json_decref(ask_start("many", "8", NULL));
	is_labelled(ask_json("report", "--types=auto"), "vtable", "costly");
	is_labelled(ask_json("report", "--types=all"), "all", "asked");
	char *text = ask_text("report", "--types=auto");
	ck_assert_ptr_nonnull(strstr(text, "--types=all would name blocks by DWARF too, in about 2 s more"));
	ck_assert_ptr_nonnull(strstr(text, "what L1 may be, by DWARF"));
	free(text);
}
END_TEST

static bool libc_has_dwarf(const json_t *types)
{
	json_t *dark = json_object_get(json_object_get(types, "dwarf"), "without_dwarf"), *path;
	size_t i;
	json_array_foreach(dark, i, path)
		if (strstr(json_string_value(path), "libc.so"))
			return false;
	return true;
}

/* Nothing of libc's leads to a block of the program: its types are not read, and found when one is asked for by its name. */
START_TEST(libc_unread)
{
	truth = ask_start("casts", "", NULL);
	json_t *types = ask_json("types", NULL);
	if (libc_has_dwarf(types)) {
		json_t *state = ask_json("type", "malloc_state");
		ck_assert_int_eq(number(json_object_get(types, "dwarf"), "modules"), 1);
		ck_assert_str_eq(word(state, "type"), "malloc_state");
		ck_assert_int_gt(number(state, "size"), 1000);
		json_decref(state);
	}
	json_decref(types);
}
END_TEST

/* A DIR is a struct that libc alone knows; what a locale was read from is on lists of libc's. */
START_TEST(libc_read)
{
	truth = ask_start("standard_library", "", NULL);
	json_t *types = ask_json("types", NULL);
	if (libc_has_dwarf(types))
		ck_assert_str_eq(word(row_of(types, "__dirstream"), "tier"), "A");
	json_decref(types);
}
END_TEST

/* What gdb says of each type that the fixture has an object of. NULL: there is no gdb, or one without Python. */
static json_t *by_gdb(void)
{
	char program[64];
	json_t *row, *j;
	size_t i, room = 1 << 16, n = 0;
	char *types = malloc(room);
	int status;
	snprintf(program, sizeof program, "/proc/%d/exe", (int)asked.pid);
	json_array_foreach(json_object_get(truth, "blocks"), i, row)
		n += (size_t)snprintf(types + n, room - n, i ? "\n%s" : "%s", word(row, "type"));
	setenv("TYPES", types, 1);
	free(types);
	const char *argv[] = { "gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-x", "tests/support/layouts.py", program, NULL };
	j = have_program("gdb") ? run_json((char *const *)(uintptr_t)argv, &status) : NULL;
	unsetenv("TYPES");
	return j;
}

/* Bytes that no field is in. */
static int64_t bytes_between(const json_t *fields, int64_t size)
{
	json_t *f;
	size_t i;
	char *used = calloc(1, (size_t)size + 1);
	json_array_foreach(fields, i, f) {
		int64_t bit = number(f, "bit"), end = bit + (number(f, "bits") ? number(f, "bits") : 8 * number(f, "bytes"));
		for (int64_t b = bit / 8; b < (end + 7) / 8 && b < size; b++)
			used[b] = 1;
	}
	int64_t between = 0;
	for (int64_t b = 0; b < size; b++)
		between += !used[b];
	free(used);
	return json_array_size(fields) ? between : 0;
}

/* Where virtual bases lie, a type does not say. */
static bool has_virtual_bases(const char *type)
{
	return !strncmp(type, "virtual_", 8) || !strcmp(type, "diamond");
}

static void check_layout(const json_t *gdb)
{
	const char *type = word(gdb, "type");
	char name[128];
	snprintf(name, sizeof name, "%s", type);
	json_t *j = ask_json("type", name), *members = json_object_get(j, "members"), *fields = json_object_get(gdb, "fields"), *m;
	size_t i, at = 0;
	ck_assert_int_eq(number(j, "size"), number(gdb, "size"));
	for (i = json_array_size(fields); i-- > 0;)
		if (json_is_null(json_object_get(json_array_get(fields, i), "bit")))
			json_array_remove(fields, i);
	json_array_foreach(members, i, m) {
		if (!json_is_string(json_object_get(m, "type")))
			continue;
		json_t *f = json_array_get(fields, at++);
		ck_assert_msg(f, "%s has no more than %zu members", type, at - 1);
		const char *called = json_string_value(json_object_get(m, "name")), *want = json_string_value(json_object_get(f, "name"));
		bool base = json_is_true(json_object_get(f, "base"));
		ck_assert_msg(json_is_true(json_object_get(m, "base")) == base, "%s: member %zu", type, at);
		if (!base && want)
			ck_assert_msg(called && !strcmp(called, want), "%s: %s is called %s", type, want, called ? called : "nothing");
		ck_assert_msg(number(m, "offset") * 8 + number(m, "bit") == number(f, "bit") && number(m, "bytes") == number(f, "bytes")
			&& number(m, "bits") == number(f, "bits"), "%s.%s: offset %d", type, want ? want : "", (int)number(m, "offset"));
	}
	ck_assert_uint_eq(at, json_array_size(fields));
	int64_t holes = has_virtual_bases(type) ? 0 : bytes_between(fields, number(gdb, "size"));
	ck_assert_msg(number(j, "holes") == holes, "%s: %d bytes of holes, not %d", type, (int)number(j, "holes"), (int)holes);
	json_decref(j);
}

START_TEST(layouts)
{
	truth = ask_start("layouts", "", NULL);
	json_t *all = by_gdb(), *one;
	size_t i;
	if (!all) {
		puts("SKIP layouts: needs gdb");
		return;
	}
	ck_assert_uint_gt(json_array_size(all), 30);
	json_array_foreach(all, i, one)
		check_layout(one);
	json_decref(all);
}
END_TEST

/* How many of a group's blocks the fixture says are of a type; NULL: all of them. */
static int64_t lost_of(int64_t size, const char *type)
{
	static const struct { const char *type; int64_t usable, lost; } kinds[] = {
		{ "upload", 24, 50 }, { "connection", 40, 400 }, { "job", 40, 300 }, { "branch", 56, 40 }, { "point", 72, 200 } };
	int64_t n = 0;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		n += kinds[i].usable == size && (!type || !strcmp(type, kinds[i].type)) ? kinds[i].lost : 0;
	return n;
}

/* What is proposed for lost blocks is what they are: each type in its share of them, and none beside. */
static void check_proposals(void)
{
	json_t *report = ask_json("report", "--types=all"), *group, *l;
	size_t i, k;
	int64_t met = 0;
	json_array_foreach(json_object_get(report, "leaks"), i, group) {
		int64_t size = number(group, "size"), blocks = number(group, "blocks"), said = 0;
		json_t *likely = json_object_get(group, "likely");
		ck_assert_int_eq(blocks, lost_of(size, NULL));
		ck_assert_uint_eq(json_array_size(likely), size == 40 ? 2 : size == 56 || size == 24);
		json_array_foreach(likely, k, l) {
			int64_t of = lost_of(size, word(l, "type")), fits = number(l, "fits"), looked = number(l, "looked_at");
			ck_assert_msg(of, "%s: no lost block of %d bytes is one", word(l, "type"), (int)size);
			ck_assert_int_eq(number(l, "in_use"), !strcmp(word(l, "type"), "connection") ? 60 : 0);
			/* They were made one kind after the other: the share of what was looked at is that of all but for the ends. */
			ck_assert_int_le(llabs(fits * blocks - of * looked), 2 * blocks);
			said += fits;
		}
		if (json_array_size(likely))
			ck_assert_int_eq(said, number(json_array_get(likely, 0), "looked_at"));
		met++;
	}
	ck_assert_int_eq(met, 4);
	char *all = json_dumps(json_object_get(report, "verdicts"), JSON_ENCODE_ANY), *text = ask_text("report", "--types=all");
	ck_assert_msg(all && strstr(all, "(blocks of 40 B, perhaps connection)"), "%s", all);
	ck_assert_ptr_nonnull(strstr(text, "perhaps connection: fits"));
	free(all);
	free(text);
	json_decref(report);
}

START_TEST(lost_kinds)
{
	truth = ask_start("lost_kinds", "", NULL);
	check_proposals();
	if (ask_core())
		check_proposals();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("types");
	TCase *c = tcase_create("types");
	tcase_set_timeout(c, 300);
	tcase_add_test(c, c_types);
	tcase_add_test(c, cxx_types);
	tcase_add_test(c, handled);
	tcase_add_loop_test(c, type_units, 0, 2);
	tcase_add_test(c, split);
	tcase_add_loop_test(c, without_dwarf, 0, 4);
	tcase_add_test(c, cast_types);
	tcase_add_test(c, outside_casts);
	tcase_add_test(c, voids);
	tcase_add_test(c, arms_of_unions);
	tcase_add_test(c, links);
	tcase_add_test(c, variants);
	tcase_add_test(c, layout);
	tcase_add_test(c, layouts);
	tcase_add_test(c, lost_kinds);
	tcase_add_test(c, by_size_of_heap);
	tcase_add_test(c, libc_unread);
	tcase_add_test(c, libc_read);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

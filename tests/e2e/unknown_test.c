/* Blocks that nothing names: their groups against what the fixture says that they are, live and of a core. */
#include "ask.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *truth;

static const char *kind_at(const char *address)
{
	json_t *row;
	size_t i;
	json_array_foreach(json_object_get(truth, "blocks"), i, row)
		if (!strcmp(word(row, "address"), address))
			return word(row, "type");
	return NULL;
}

static size_t count_of(const char *kind)
{
	json_t *row;
	size_t i, n = 0;
	json_array_foreach(json_object_get(truth, "blocks"), i, row)
		n += !strcmp(word(row, "type"), kind);
	return n;
}

static const struct { const char *kind, *pointed_at_by, *kept_by, *site; } expected[] = {
	{ "registry", "g_registry", "g_registry", "main" },  { "session", "U", "g_registry", "make_session" }, { "note", "U", "g_registry", "make_session" },
	{ "value", "cache.values[]", "g_cache", "make_value" }, { "thing", "other.things[]", "g_other", "make_value" }, { "link", "U", "g_chain", "main" },
	{ "lost", NULL, NULL, "main" },
};
enum { N_EXPECTED = sizeof expected / sizeof expected[0] };

/* All blocks of the kind, and no other, are in its group. */
static void check_members(const char *group, const char *kind)
{
	json_t *list = ask_json("blocks", group), *row;
	size_t i;
	ck_assert_uint_eq(json_array_size(list), count_of(kind));
	json_array_foreach(list, i, row)
		ck_assert_str_eq(kind_at(word(row, "address")), kind);
	json_decref(list);
}

static void check_group(const json_t *group, size_t at, bool members)
{
	const json_t *by = json_array_get(json_object_get(group, "pointed_at_by"), 0), *kept = json_array_get(json_object_get(group, "kept_by"), 0);
	const json_t *site = json_array_get(json_object_get(group, "sites"), 0);
	const char *want = expected[at].pointed_at_by;
	if (!want)
		ck_assert_ptr_null(by);
	else if (!strcmp(want, "U"))
		ck_assert_msg(word(by, "name")[0] == 'U', "%s is pointed at by %s", expected[at].kind, word(by, "name"));
	else
		ck_assert_str_eq(word(by, "name"), want);
	if (expected[at].kept_by)
		ck_assert_str_eq(word(kept, "holder"), expected[at].kept_by);
	else
		ck_assert(json_is_null(json_object_get(kept, "holder")));
	ck_assert_int_eq(number(kept, "blocks"), (int64_t)count_of(expected[at].kind));
	ck_assert_msg(strstr(word(site, "function"), expected[at].site), "%s: %s", expected[at].kind, word(site, "function"));
	if (members)
		check_members(word(group, "group"), expected[at].kind);
}

static void check_groups(bool members)
{
	json_t *types = ask_json("types", NULL), *unknown = json_object_get(types, "unknown"), *group;
	size_t i, at;
	ck_assert_int_eq(number(unknown, "groups_found"), N_EXPECTED);
	json_array_foreach(json_object_get(unknown, "groups"), i, group) {
		const char *kind = kind_at(word(group, "sample"));
		ck_assert_ptr_nonnull(kind);
		for (at = 0; at < N_EXPECTED && strcmp(expected[at].kind, kind) != 0; at++)
			;
		ck_assert_uint_lt(at, N_EXPECTED);
		ck_assert_int_eq(number(group, "blocks"), (int64_t)count_of(kind));
		check_group(group, at, members);
	}
	json_decref(types);
}

static void check_text(void)
{
	char *text = ask_text("types", NULL);
	ck_assert_ptr_nonnull(strstr(text, "UNKNOWN"));
	ck_assert_ptr_nonnull(strstr(text, "cache.values[] (30)"));
	ck_assert_ptr_nonnull(strstr(text, "each other (24)"));
	free(text);
	free(ask_text("who", "U1"));
	free(ask_text("type", "U1"));
	free(ask_text("show", "U1"));
}

static const char *address_of(const char *kind)
{
	json_t *row;
	size_t i;
	json_array_foreach(json_object_get(truth, "blocks"), i, row)
		if (!strcmp(word(row, "type"), kind))
			return word(row, "address");
	ck_abort_msg("no %s", kind);
}

/* The registry alone leads to all sessions and to their notes. */
static void check_reach(void)
{
	json_t *types = ask_json("types", NULL), *reach = json_object_get(json_object_get(types, "unknown"), "reach");
	ck_assert_str_eq(word(reach, "address"), address_of("registry"));
	ck_assert_int_eq(number(reach, "blocks"), (int64_t)(1 + count_of("session") + count_of("note")));
	ck_assert_int_eq(number(reach, "bytes"), (int64_t)(328 + count_of("session") * 56 + count_of("note") * 72));
	ck_assert(json_is_true(json_object_get(reach, "complete")));
	json_decref(types);
}

static bool is_content(const char *kind)
{
	return !strcmp(kind, "doubles") || !strcmp(kind, "pointers") || !strcmp(kind, "random");
}

static const char *const taught[] = { "registry", "session", "note" };
enum { N_TAUGHT = sizeof taught / sizeof *taught };

/* One block is told of; the rest has its right name then, and nothing else has one. */
static void check_taught(void)
{
	char option[80];
	snprintf(option, sizeof option, "--istype=%s=registry", address_of("registry"));
	json_t *list = ask_json("blocks", option), *row;
	size_t i, named = 0;
	json_array_foreach(list, i, row) {
		const char *kind = kind_at(word(row, "address")), *label = json_string_value(json_object_get(row, "label"));
		bool expect = false;
		for (size_t k = 0; k < N_TAUGHT; k++)
			expect |= kind && !strcmp(kind, taught[k]);
		if (expect)
			ck_assert_str_eq(label, kind);
		else if (kind && strcmp(kind, "cache") != 0 && strcmp(kind, "other") != 0)
			ck_assert_msg((label[0] >= '0' && label[0] <= '9') == !is_content(kind), "a %s is called %s", kind, label);
		named += expect;
	}
	ck_assert_uint_eq(named, 1 + count_of("session") + count_of("note"));
	json_decref(list);
}

static int ask_istype(const char *address, const char *type, json_t **ret)
{
	int status;
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)"istype", ask_target, (char *)(uintptr_t)address, (char *)(uintptr_t)type,
			 (char *)"--format", (char *)"json", NULL };
	*ret = run_json(argv, &status);
	return status;
}

static void check_istype(void)
{
	json_t *j;
	ck_assert_int_eq(ask_istype(address_of("registry"), "registry", &j), 0);
	ck_assert_int_eq(number(j, "more_blocks"), (int64_t)(1 + count_of("session") + count_of("note")));
	json_decref(j);
	/* The variable that holds it, which is no block. */
	ck_assert_int_eq(ask_istype("g_registry", "registry *", &j), 0);
	ck_assert_int_eq(number(j, "more_blocks"), (int64_t)(1 + count_of("session") + count_of("note")));
	json_decref(j);
	/* Too large for the block, and no type. */
	ck_assert_int_eq(ask_istype(address_of("session"), "registry", &j), 2);
	ck_assert_ptr_null(j);
	ck_assert_int_ne(ask_istype(address_of("session"), "nothing_of_that_name", &j), 0);
	ck_assert_ptr_null(j);
}

/* What is no type: by its bytes, and by its shape alone where that is asked for. */
static size_t count_labels(const char *option, const char *kind, const char *label)
{
	json_t *list = ask_json("blocks", option), *row;
	size_t i, n = 0;
	json_array_foreach(list, i, row) {
		const char *is = kind_at(word(row, "address")), *called = json_string_value(json_object_get(row, "label"));
		n += is && !strcmp(is, kind) && called && !strcmp(called, label);
	}
	json_decref(list);
	return n;
}

static void check_contents(void)
{
	ck_assert_uint_eq(count_labels("--types=all", "doubles", "doubles[]?"), count_of("doubles"));
	ck_assert_uint_eq(count_labels("--types=all", "pointers", "pointers[]"), count_of("pointers"));
	ck_assert_uint_eq(count_labels("--types=all", "random", "compressed or random"), count_of("random"));
}

/* 40 pointers of a registry convince; the one of a session does not, and a note has none. */
static void check_guess(void)
{
	ck_assert_uint_eq(count_labels("--guess", "registry", "registry?"), 1);
	ck_assert_uint_eq(count_labels("--types=all", "registry", "registry?"), 0);
	ck_assert_uint_eq(count_labels("--guess", "session", "56 B"), count_of("session"));
	ck_assert_uint_eq(count_labels("--guess", "note", "72 B"), count_of("note"));
}

START_TEST(contents)
{
	truth = ask_start("unknown", "", NULL);
	check_contents();
	check_guess();
	if (ask_core())
		check_contents();
	json_decref(truth);
}
END_TEST

START_TEST(tags)
{
	static const char *const kinds[] = { "text_object", "list_object", "object [type=blob_type]" };
	truth = ask_start("tags", "", NULL);
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_eq(count_labels("--types=all", kinds[i], kinds[i]), count_of(kinds[i]));
	json_t *report = ask_json("report", "--types=all"), *coverage = json_object_get(json_object_get(report, "types"), "coverage");
	ck_assert_int_ge(number(coverage, "named_blocks"), (int64_t)json_array_size(json_object_get(truth, "blocks")));
	json_decref(report);
	char *text = ask_text("report", "--types=all");
	ck_assert_ptr_nonnull(strstr(text, "are named (blocks by tier: A"));
	free(text);
	json_decref(truth);
}
END_TEST

START_TEST(reach)
{
	truth = ask_start("unknown", "", NULL);
	check_reach();
	check_taught();
	check_istype();
	if (ask_core()) {
		check_reach();
		check_taught();
	}
	json_decref(truth);
}
END_TEST

START_TEST(groups)
{
	truth = ask_start("unknown", "", NULL);
	check_groups(true);
	check_text();
	if (ask_core())
		check_groups(false);
	json_decref(truth);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("unknown");
	TCase *c = tcase_create("unknown");
	tcase_set_timeout(c, 300);
	tcase_add_test(c, groups);
	tcase_add_test(c, reach);
	tcase_add_test(c, contents);
	tcase_add_test(c, tags);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

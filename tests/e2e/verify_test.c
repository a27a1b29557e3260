/* flotsam verify on heaps that were damaged on purpose (fixtures/src/damage.c): each damage is found where it is, and costs no
 * block outside its neighbourhood. On heaps that are whole it finds nothing. */
#include "process.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_MODES = 128 };
struct modes {
	char *at[MOST_MODES];
	int n;
};
static struct modes damages, exploits;

static struct child child;

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));
	return s ? s : "null";
}

static uint64_t number_of(const json_t *j, const char *key)
{
	return strtoull(text_of(j, key), NULL, 16);
}

/* One of "a|b|c". */
static bool among(const char *name, const char *list)
{
	size_t n = strlen(name);
	for (const char *p = list; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (!strncmp(p, name, n) && (p[n] == 0 || p[n] == '|'))
			return true;
	return false;
}

static char what[128]; /* the mode and its variant, for messages */

static void all_expected_are_found(const json_t *truth, const json_t *findings)
{
	const json_t *want, *got;
	size_t i, k;
	json_array_foreach(json_object_get(truth, "expect"), i, want) {
		bool found = false;
		json_array_foreach(findings, k, got)
			found |= among(text_of(got, "kind"), text_of(want, "kind")) &&
				 (!json_object_get(want, "address") || !strcmp(text_of(got, "address"), text_of(want, "address")));
		ck_assert_msg(found, "%s: no %s at %s, but %zu others; the first: %s at %s", what, text_of(want, "kind"), text_of(want, "address"),
			      json_array_size(findings), text_of(json_array_get(findings, 0), "kind"),
			      text_of(json_array_get(findings, 0), "address"));
	}
}

struct neighbourhood {
	uint64_t from, to;
};

static bool inside(struct neighbourhood n, const char *address)
{
	uint64_t at = strtoull(address, NULL, 16);
	return at >= n.from && at < n.to;
}

/* Where everything is damaged (to is ~0) the blocks hit may be lost, and no other. */
static bool is_hit(const json_t *truth, const char *address, const json_t *block)
{
	return number_of(truth, "to") == UINT64_MAX && !strcmp(text_of(block, "state"), "lost") && *address;
}

static void others_are_right(const json_t *truth, json_t *blocks)
{
	struct neighbourhood n = { number_of(truth, "from"), number_of(truth, "to") };
	const json_t *want, *got;
	json_t *known = json_object();
	const char *address;
	size_t i;
	if (n.to == UINT64_MAX)
		n.to = 0;
	json_array_foreach(json_object_get(truth, "blocks"), i, want) {
		address = text_of(want, "address");
		json_object_set_new(known, address, json_true());
		got = json_object_get(blocks, address);
		if (inside(n, address) || is_hit(truth, address, got))
			continue;
		ck_assert_msg(got && among(text_of(got, "state"), "used|mmapped"), "%s: block %s is %s", what, address, got ? text_of(got, "state") : "lost");
		ck_assert_msg(json_equal(json_object_get(got, "size"), json_object_get(want, "size")), "%s: block %s has another size", what, address);
	}
	json_array_foreach(json_object_get(truth, "freed"), i, want) {
		address = json_string_value(want);
		json_object_set_new(known, address, json_true());
		got = json_object_get(blocks, address);
		if (!inside(n, address))
			ck_assert_msg(got && strcmp(text_of(got, "state"), "used") && strcmp(text_of(got, "state"), "lost"), "%s: the free block %s is %s",
				      what, address, got ? text_of(got, "state") : "lost");
	}
	json_t *block;
	json_object_foreach(blocks, address, block)
		ck_assert_msg(strcmp(text_of(block, "state"), "used") || !strcmp(text_of(block, "class"), "runtime") ||
				      json_object_get(known, address) || inside(n, address),
			      "%s: %s is no block", what, address);
	json_decref(known);
}

static void try(const char *fixture, const char *mode, const char *variant, const char *variant2)
{
	const char *argv[] = { fixture, mode, variant, variant2, NULL };
	char pid[16];
	const char *why;
	int status;
	snprintf(what, sizeof what, "%s %s %s", mode, variant ? variant : "", variant2 ? variant2 : "");
	ck_assert_msg(child_start(&child, (char *const *)argv, NULL, false), "%s does not start", what);
	json_t *truth = child_json(&child);
	ck_assert_msg(truth, "%s says no truth", what);
	ck_assert(child_settled(&child));
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
	const char *verify[] = { flotsam_path(), "verify", pid, "--format", "json", NULL };
	json_t *got = run_json((char *const *)verify, &status), *blocks = flotsam_blocks(pid, &why);
	ck_assert_msg(got && blocks, "%s: no account", what);
	bool healthy = !json_array_size(json_object_get(truth, "expect"));
	ck_assert_msg(!healthy || !json_array_size(json_object_get(got, "findings")), "%s: a finding in a heap that is whole: %s", what,
		      text_of(json_array_get(json_object_get(got, "findings"), 0), "text"));
	ck_assert_msg(status == (healthy ? 0 : 1), "%s: status %d", what, status);
	ck_assert_int_eq(json_integer_value(json_object_get(got, "damage")), (json_int_t)json_array_size(json_object_get(got, "findings")));
	all_expected_are_found(truth, json_object_get(got, "findings"));
	others_are_right(truth, blocks);
	json_decref(got);
	json_decref(blocks);
	json_decref(truth);
}

START_TEST(in_the_main_arena)
{
	try("damage", damages.at[_i], NULL, NULL);
}
END_TEST

START_TEST(in_an_arena_of_a_thread_and_unseen)
{
	try("damage", damages.at[_i], "thread", "unseen");
}
END_TEST

START_TEST(where_heaps_are_attacked)
{
	try("exploits", exploits.at[_i], NULL, NULL);
}
END_TEST

/* The neighbour is the block that was written beyond its end, by address and by name. */
START_TEST(the_neighbour_is_named)
{
	const char *argv[] = { "damage", "overflow-16", NULL };
	char pid[16];
	int status;
	ck_assert(child_start(&child, (char *const *)argv, NULL, false));
	json_t *truth = child_json(&child);
	ck_assert(truth && child_settled(&child));
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
	const char *verify[] = { flotsam_path(), "verify", pid, "--format", "json", NULL };
	json_t *got = run_json((char *const *)verify, &status), *finding = json_array_get(json_object_get(got, "findings"), 0);
	ck_assert_ptr_nonnull(finding);
	/* 0x88 bytes usable, and a header. */
	ck_assert_uint_eq(number_of(finding, "neighbour"), number_of(finding, "address") - 0x90);
	ck_assert_uint_eq(number_of(finding, "expected"), 0x91);
	ck_assert_uint_eq(number_of(finding, "found"), 0x4141414141414141);
	ck_assert_str_ne(text_of(finding, "neighbour_label"), "null");
	ck_assert_str_ne(text_of(finding, "meaning"), "null");
	ck_assert_str_ne(text_of(finding, "next"), "null");
	json_decref(got);
	json_decref(truth);
}
END_TEST

/* No damage in what the other fixtures do; only what limits the look may be told. */
static const char *const whole[] = { "aligned", "arenas", "clean", "containers", "freed", "mmapped", "sizes", "standard_library", "threads", "tls" };

START_TEST(whole_heaps_have_no_findings)
{
	const char *argv[] = { whole[_i], NULL };
	char pid[16];
	int status;
	ck_assert(child_start(&child, (char *const *)argv, NULL, false));
	json_t *truth = child_json(&child);
	ck_assert_msg(truth && child_settled(&child), "%s says no truth", whole[_i]);
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
	const char *verify[] = { flotsam_path(), "verify", pid, "--format", "json", NULL };
	json_t *got = run_json((char *const *)verify, &status);
	ck_assert_msg(got && status == 0, "%s: status %d", whole[_i], status);
	ck_assert_int_eq(json_integer_value(json_object_get(got, "damage")), 0);
	ck_assert_msg(!json_array_size(json_object_get(got, "findings")), "%s: %s", whole[_i],
		      text_of(json_array_get(json_object_get(got, "findings"), 0), "text"));
	json_decref(got);
	json_decref(truth);
}
END_TEST

static void list_modes(const char *fixture, struct modes *ret)
{
	char path[4096];
	const char *fixtures = getenv("FIXTURES");
	snprintf(path, sizeof path, "%s/%s", fixtures ? fixtures : "build/release/fixtures", fixture);
	const char *argv[] = { path, "list", NULL };
	int status;
	char *text = run_text((char *const *)argv, &status), *save = NULL;
	for (char *name = text ? strtok_r(text, "\n", &save) : NULL; name && ret->n < MOST_MODES; name = strtok_r(NULL, "\n", &save))
		ret->at[ret->n++] = strdup(name);
	free(text);
}

static void free_modes(struct modes *m)
{
	for (int i = 0; i < m->n; i++)
		free(m->at[i]);
}

int main(void)
{
	Suite *s = suite_create("verify");
	TCase *t = tcase_create("damage"), *attacks = tcase_create("attacks"), *host = tcase_create("host");
	list_modes("damage", &damages);
	list_modes("exploits", &exploits);
	tcase_add_loop_test(t, in_the_main_arena, 0, damages.n);
	tcase_add_loop_test(t, in_an_arena_of_a_thread_and_unseen, 0, damages.n);
	tcase_add_loop_test(attacks, where_heaps_are_attacked, 0, exploits.n);
	tcase_add_loop_test(host, whole_heaps_have_no_findings, 0, (int)(sizeof whole / sizeof *whole));
	tcase_add_test(host, the_neighbour_is_named);
	suite_add_tcase(s, t);
	suite_add_tcase(s, attacks);
	suite_add_tcase(s, host);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r) + (damages.n < 50 || exploits.n < 10);
	srunner_free(r);
	free_modes(&damages);
	free_modes(&exploits);
	return failed != 0;
}

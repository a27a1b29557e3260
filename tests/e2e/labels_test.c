/* Labels wherever blocks are named, against what the fixture says that it allocated: every command, live, of a core and of a census,
 * as text, JSON and CSV, at the prompt, and in flame graphs. scripts/check-glibc.sh runs the case "machines" on i386, and "emulated"
 * with $TRUTH_EMULATED on a core of aarch64 that qemu-user wrote. */
#include "ask.h"
#include "scratch.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static json_t *kinds; /* address -> type, by the fixture */

static void keep_kinds(json_t *truth)
{
	json_t *row;
	size_t i;
	json_decref(kinds);
	kinds = json_object();
	json_array_foreach(json_object_get(truth, "blocks"), i, row)
		json_object_set(kinds, word(row, "address"), json_object_get(row, "type"));
	json_decref(truth);
}

static void start(const char *fixture, const char *mode)
{
	keep_kinds(ask_start(fixture, mode, NULL));
}

static const char *kind_at(const char *address)
{
	return json_string_value(json_object_get(kinds, address));
}

static int64_t count_of(const char *kind)
{
	const char *address;
	json_t *is;
	int64_t n = 0;
	json_object_foreach(kinds, address, is)
		n += !strcmp(json_string_value(is), kind);
	return n;
}

static const char *nth_of(const char *kind, int n)
{
	const char *address;
	json_t *is;
	json_object_foreach(kinds, address, is)
		if (!strcmp(json_string_value(is), kind) && n-- == 0)
			return address;
	ck_abort_msg("no %s", kind);
}

static bool is_size(const char *label)
{
	return label[0] >= '0' && label[0] <= '9';
}

/* "char[] 40 B" is characters; "member at +0x8 (inner pointer)" a member. */
static bool is_kind(const char *label, const char *kind)
{
	size_t n = strlen(kind);
	return !strncmp(label, kind, n) && (!label[n] || !strncmp(label + n, " at +", 5) || (!strcmp(kind, "char[]") && label[n] == ' '));
}

struct judged { size_t right, unnamed; };

static void judge(const char *command, const char *address, const char *label, struct judged *j)
{
	const char *kind = kind_at(address);
	if (!kind)
		return;
	j->unnamed += is_size(label);
	j->right += is_kind(label, kind);
	ck_assert_msg(is_size(label) || is_kind(label, kind), "%s: %s is a %s, not '%s'", command, address, kind, label);
}

/* "g_root (x.c:3) → session", "2 x line": what is behind. */
static const char *bare(const char *what)
{
	const char *arrow = strstr(what, "→ ");
	what = arrow ? arrow + strlen("→ ") : what;
	size_t n = strspn(what, "0123456789,");
	return n && !strncmp(what + n, " x ", 3) ? what + n + 3 : what;
}

/* Of an object of JSON: whose block is named, and how. */
static bool named(const json_t *j, const char **ret_address, const char **ret_label)
{
	static const char *const addresses[] = { "block", "value", "first", "sample", "address" }, *const labels[] = { "label", "what", "type" };
	*ret_address = *ret_label = NULL;
	for (size_t i = 0; i < sizeof labels / sizeof *labels && !*ret_label; i++)
		*ret_label = json_string_value(json_object_get(j, labels[i]));
	for (size_t i = 0; i < sizeof addresses / sizeof *addresses && !*ret_address; i++)
		*ret_address = json_string_value(json_object_get(j, addresses[i]));
	if (*ret_label)
		*ret_label = bare(*ret_label);
	return *ret_label && *ret_address && kind_at(*ret_address);
}

static void judge_json(const char *command, const json_t *j, struct judged *to)
{
	const char *key, *address, *label;
	json_t *v;
	size_t i;
	if (json_is_object(j) && named(j, &address, &label))
		judge(command, address, label, to);
	/* A group's samples; a word that points somewhere: "0x... label". */
	json_array_foreach(json_object_get(j, "sample"), i, v)
		judge(command, json_string_value(v), word(j, "label"), to);
	const char *points = json_string_value(json_object_get(j, "points"));
	if (points) {
		char at[32];
		snprintf(at, sizeof at, "%.*s", (int)strcspn(points, " "), points);
		judge(command, at, points + strlen(at) + strspn(points + strlen(at), " "), to);
	}
	json_array_foreach(j, i, v)
		judge_json(command, v, to);
	json_object_foreach((json_t *)(uintptr_t)j, key, v)
		judge_json(command, v, to);
}

/* The label of the last block of a line is behind it, a word of its own. */
static void judge_line(const char *command, const char *line, struct judged *to)
{
	const char *kind = NULL, *at = line;
	char address[32] = "", is[80];
	while ((at = strstr(at, "0x"))) {
		char now[32];
		size_t n = 2 + strspn(at + 2, "0123456789abcdef");
		snprintf(now, sizeof now, "%.*s", (int)n, at);
		at += n;
		if (!kind_at(now))
			continue;
		snprintf(address, sizeof address, "%s", now);
		kind = kind_at(now);
		line = at;
	}
	if (!kind)
		return;
	snprintf(is, sizeof is, "%s", kind);
	for (const char *found = line; (found = strstr(found, is)); found++)
		if (found > line && strchr(" (", found[-1]) && strchr(" ,.[\n", found[strlen(is)])) {
			to->right++;
			return;
		}
	to->unnamed++;
	ck_assert_msg(strstr(line, " B"), "%s: %s is a %s:%s", command, address, kind, line);
}

static void judge_text(const char *command, const char *text, struct judged *to)
{
	char line[256];
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
		if (!strstr(line, "next: ")) /* a command to ask */
			judge_line(command, line, to);
	}
}

/* Columns of what is right are few enough that nothing was passed over. */
static void enough(const char *command, const struct judged *j, size_t least)
{
	ck_assert_msg(j->right >= least, "%s: %zu labels are right, of %zu at least", command, j->right, least);
	ck_assert_msg(j->unnamed * 50 <= j->right, "%s: %zu blocks have no name, %zu have one", command, j->unnamed, j->right);
}

enum { NEEDS_BYTES = 1, IS_LIST = 2, NO_LINES = 4 /* its text has no line a block */, OF_BLOCK = 8 };
static const struct question { const char *command, *more; int what; size_t least; } questions[] = {
	{ "blocks", NULL, IS_LIST, 100 },
	{ "who", NULL, IS_LIST | OF_BLOCK, 1 },
	{ "refs", NULL, NEEDS_BYTES | IS_LIST | OF_BLOCK, 1 },
	{ "path", NULL, IS_LIST | OF_BLOCK, 2 },
	{ "paths", NULL, IS_LIST | OF_BLOCK, 2 },
	{ "retained", NULL, IS_LIST | OF_BLOCK, 2 },
	{ "tree", "top=0", IS_LIST, 0 }, /* most of its rows are roots */
	{ "tree", NULL, IS_LIST | OF_BLOCK, 1 },
	{ "chunks", "30", NEEDS_BYTES | IS_LIST | OF_BLOCK, 20 },
	{ "why", NULL, OF_BLOCK, 1 },
	{ "show", NULL, NEEDS_BYTES | OF_BLOCK, 2 },
	{ "type", NULL, NEEDS_BYTES | OF_BLOCK | NO_LINES, 1 },
	{ "types", NULL, NEEDS_BYTES | NO_LINES, 4 },
};
enum { N_QUESTIONS = sizeof questions / sizeof *questions };

/* Words of $FLOTSAM_OPTIONS behind n others. */
static int with_options(const char **argv, int n)
{
	static char words[1024];
	char *save = NULL;
	snprintf(words, sizeof words, "%s", getenv("FLOTSAM_OPTIONS") ? getenv("FLOTSAM_OPTIONS") : "");
	for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[n++] = word;
	return n;
}

static char *run(const char *target, const struct question *q, const char *block, const char *format)
{
	int status, n = 0;
	const char *argv[32] = { flotsam_path(), q->command, target };
	n = 3;
	if (q->what & OF_BLOCK)
		argv[n++] = block;
	if (q->more && strncmp(q->more, "top=", 4) != 0)
		argv[n++] = q->more;
	if (q->more && !strncmp(q->more, "top=", 4))
		argv[n++] = "top", argv[n++] = q->more + 4;
	argv[n++] = "--types=all";
	argv[n++] = "--format";
	argv[n++] = format;
	with_options(argv, n);
	char *text = run_text((char *const *)(uintptr_t)argv, &status);
	ck_assert_msg(text && status == 0, "flotsam %s %s --format %s ended with %d", q->command, target, format, status);
	return text;
}

/* Each row of the JSON is a line of the other form, with its address and its label. */
static void same_rows(const char *command, const json_t *rows, const char *format, const char *text)
{
	const char *address, *label;
	json_t *row;
	size_t i;
	json_array_foreach(rows, i, row) {
		bool found = !named(row, &address, &label);
		for (const char *at = text; !found && at && *at; at = strchr(at, '\n'), at += !!at) {
			char line[512];
			snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
			found = strstr(line, address) && strstr(line, label);
		}
		ck_assert_msg(found, "%s --format %s: no line has %s and '%s'", command, format, address, label);
	}
}

static void ask_one(const char *target, const struct question *q, const char *block, bool lists_too)
{
	struct judged j = { 0 };
	char *text = run(target, q, block, "json");
	json_t *rows = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(rows);
	judge_json(q->command, rows, &j);
	enough(q->command, &j, q->least);
	free(text);
	static const char *const forms[] = { "csv", "jsonl" };
	for (size_t i = 0; lists_too && q->what & IS_LIST && i < (q->what & OF_BLOCK ? 1 : 2); i++) {
		text = run(target, q, block, forms[i]);
		same_rows(q->command, rows, forms[i], text);
		free(text);
	}
	json_decref(rows);
}

/* All that the prompt says: one look. */
static char *prompt(const char *target, bool types, const char *const commands[], size_t n)
{
	int status, k = 0;
	const char *argv[80] = { flotsam_path(), "shell", target, "--types=all" };
	k = types ? 4 : 3;
	for (size_t i = 0; i < n && k < 60; i++)
		argv[k++] = "-e", argv[k++] = commands[i];
	with_options(argv, k);
	char *text = run_text((char *const *)(uintptr_t)argv, &status);
	ck_assert_msg(text && status == 0, "flotsam shell %s ended with %d", target, status);
	return text;
}

/* A line of the prompt for each question but some. */
static size_t lines_for(char lines[N_QUESTIONS][128], const char **commands, const char *block, bool bytes, int but)
{
	size_t n = 0;
	for (size_t i = 0; i < N_QUESTIONS; i++) {
		const struct question *q = &questions[i];
		const char *more = q->more ? q->more : "";
		if (q->what & but || (q->what & NEEDS_BYTES && !bytes))
			continue;
		snprintf(lines[n], sizeof lines[n], "%s %s %s", q->command, q->what & OF_BLOCK ? block : "", !strcmp(more, "top=0") ? "top 0" : more);
		commands[n] = lines[n];
		n++;
	}
	return n;
}

static void ask_prompt(const char *target, const char *block, bool bytes)
{
	char lines[N_QUESTIONS][128];
	const char *commands[N_QUESTIONS];
	struct judged j = { 0 };
	size_t n = lines_for(lines, commands, block, bytes, NO_LINES), least = 0;
	for (size_t i = 0; i < N_QUESTIONS; i++)
		least += questions[i].what & NO_LINES || (questions[i].what & NEEDS_BYTES && !bytes) ? 0 : questions[i].least;
	char *text = prompt(target, true, commands, n);
	judge_text("the prompt", text, &j);
	enough("the prompt", &j, least);
	free(text);
}

static const char *file(const char *name)
{
	static char path[4][300];
	static unsigned i;
	i = (i + 1) % 4;
	snprintf(path[i], sizeof path[i], "%s/%s", scratch_directory(), name);
	return path[i];
}

static void write_to(const char *command, const char *target, const char *format, const char *name)
{
	int status;
	const char *argv[32] = { flotsam_path(), command, target, "--types=all", "-o", file(name), format ? "--format" : NULL, format };
	with_options(argv, format ? 8 : 6);
	free(run_text((char *const *)(uintptr_t)argv, &status));
	ck_assert_msg(status == 0, "flotsam %s -o ended with %d", command, status);
}

static void ask_all(const char *target, const char *block, bool bytes, bool lists_too)
{
	for (size_t i = 0; i < N_QUESTIONS; i++)
		if (bytes || !(questions[i].what & NEEDS_BYTES))
			ask_one(target, &questions[i], block, lists_too);
}

static const struct { const char *fixture, *mode, *kind; int nth; } fixtures[] = { { "types_c", "", "circle", 20 }, { "labels", "40", "order", 20 } };

/* Live in one look a command; the rest of a core, where a look costs little. */
START_TEST(everywhere)
{
	start(fixtures[_i].fixture, fixtures[_i].mode);
	const char *block = nth_of(fixtures[_i].kind, fixtures[_i].nth);
	ask_one(ask_target, &questions[0], block, false);
	ask_prompt(ask_target, block, true);
	if (ask_core()) {
		ask_all(ask_target, block, true, !_i);
		write_to("snap", ask_target, NULL, "census");
		ask_all(file("census"), block, false, false);
		ask_prompt(file("census"), block, false);
	}
}
END_TEST

/* The core has no thread pointers: what a thread variable alone holds has no name. */
START_TEST(emulated)
{
	static const char *const kinds_wanted[] = { "circle", "item", "value_table_t" };
	static char core[300];
	struct judged j = { 0 };
	char *argv[] = { (char *)"types_c", NULL };
	ck_assert_msg(child_start(&asked, argv, scratch_directory(), true), "types_c does not start");
	json_t *truth = child_json(&asked);
	ck_assert_ptr_nonnull(truth);
	ck_assert(child_settled(&asked));
	keep_kinds(truth);
	ck_assert_msg(child_emulated_core(&asked, scratch_directory(), core, sizeof core), "qemu wrote no core");
	char *text = run(core, &questions[0], NULL, "json");
	json_t *rows = json_loads(text, 0, NULL);
	judge_json("blocks", rows, &j);
	ck_assert_msg(j.right > 1000 && j.unnamed <= (size_t)count_of("deep"), "%zu are right, %zu have no name", j.right, j.unnamed);
	json_decref(rows);
	free(text);
	for (size_t i = 0; i < sizeof kinds_wanted / sizeof *kinds_wanted; i++)
		for (size_t k = 1; k < N_QUESTIONS; k++)
			if (questions[k].what & OF_BLOCK)
				ask_one(core, &questions[k], nth_of(kinds_wanted[i], 10), false);
}
END_TEST

static json_t *blocks_by_label(const char *target)
{
	int status;
	const char *argv[] = { flotsam_path(), "blocks", target, "--types=all", "--format", "json", NULL };
	json_t *list = run_json((char *const *)(uintptr_t)argv, &status), *sums = json_object(), *row;
	size_t i;
	ck_assert_ptr_nonnull(list);
	json_array_foreach(list, i, row) {
		const char *label = json_string_value(json_object_get(row, "label"));
		if (!strcmp(word(row, "state"), "used") || !strcmp(word(row, "state"), "mmapped"))
			json_object_set_new(sums, label, json_integer(json_integer_value(json_object_get(sums, label)) + number(row, "size")));
	}
	json_decref(list);
	return sums;
}

/* The last frame of each stack is a label: by label they have the bytes that the list of blocks has. */
static void check_folded(const char *target, json_t *expected)
{
	int status;
	const char *argv[] = { flotsam_path(), "report", target, "--types=all", "--format", "folded", NULL };
	char *text = run_text((char *const *)(uintptr_t)argv, &status), *save = NULL;
	json_t *sums = json_object();
	ck_assert_int_eq(status, 0);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *bytes = strrchr(line, ' '), *leaf;
		*bytes++ = 0;
		leaf = strrchr(line, ';');
		leaf = leaf ? leaf + 1 : line;
		json_object_set_new(sums, leaf, json_integer(json_integer_value(json_object_get(sums, leaf)) + atoll(bytes)));
	}
	char *got = json_dumps(sums, JSON_SORT_KEYS), *want = json_dumps(expected, JSON_SORT_KEYS);
	ck_assert_str_eq(got, want);
	free(got);
	free(want);
	free(text);
	json_decref(sums);
}

static void check_pprof(const char *target, json_t *expected)
{
	static char text[1 << 20];
	const char *label;
	json_t *bytes;
	write_to("report", target, "pprof", "profile");
	gzFile f = gzopen(file("profile"), "rb");
	ck_assert_ptr_nonnull(f);
	int n = gzread(f, text, sizeof text);
	gzclose(f);
	ck_assert_int_gt(n, 0);
	unlink(file("profile"));
	json_object_foreach(expected, label, bytes)
		ck_assert_msg(memmem(text, (size_t)n, label, strlen(label)), "no function of the profile is called '%s'", label);
}

/* Groups of leaks bear the label of each of their samples, and are those that the fixture lost. */
static void check_leaks(const char *target, int64_t lost)
{
	int status;
	const char *argv[] = { flotsam_path(), "report", target, "--types=all", "--format", "json", NULL };
	json_t *report = run_json((char *const *)(uintptr_t)argv, &status), *group = json_array_get(json_object_get(report, "leaks"), 0);
	struct judged j = { 0 };
	judge_json("report", json_object_get(report, "leaks"), &j);
	enough("report", &j, 1);
	ck_assert_uint_eq(json_array_size(json_object_get(report, "leaks")), 1);
	ck_assert_str_eq(word(group, "label"), "parcel");
	ck_assert_int_eq(number(group, "blocks"), lost);
	json_decref(report);
	static const char *const of_leaks[] = { "report", "blocks L1", "tree leaked", "why L1" };
	char *text = prompt(target, true, of_leaks, 4);
	j = (struct judged){ 0 };
	judge_text("prompt", text, &j);
	enough("prompt", &j, (size_t)lost);
	ck_assert_msg(strstr(text, "L1    parcel "), "%.900s", text);
	free(text);
}

START_TEST(leaks_and_profiles)
{
	start("labels", "40");
	json_t *sums = blocks_by_label(ask_target);
	check_leaks(ask_target, 40);
	check_folded(ask_target, sums);
	check_pprof(ask_target, sums);
	json_decref(sums);
	if (ask_core()) {
		check_leaks(ask_target, 40);
		write_to("snap", ask_target, NULL, "census");
		check_leaks(file("census"), 40);
		sums = blocks_by_label(file("census"));
		check_folded(ask_target, sums);
		check_folded(file("census"), sums);
		check_pprof(file("census"), sums);
		json_decref(sums);
	}
}
END_TEST

/* Two runs of a program: what grew is told by type, each by as many as the fixture made more. */
static void check_diff(const char *a, const char *b, json_t *fewer)
{
	static const char *const all[] = { "session", "order", "line", "parcel", "char[]" };
	int status;
	const char *argv[] = { flotsam_path(), "diff", a, b, "--types=all", "--format", "json", NULL };
	json_t *j = run_json((char *const *)(uintptr_t)argv, &status), *row;
	ck_assert_ptr_nonnull(j);
	for (size_t k = 0, i; k < sizeof all / sizeof *all; k++) {
		int64_t more = 0;
		json_array_foreach(json_object_get(j, "groups"), i, row)
			if (is_kind(word(row, "label"), all[k]))
				more += number(row, "more_blocks");
		ck_assert_int_eq(more, count_of(all[k]) - number(fewer, all[k]));
	}
	json_decref(j);
	const char *text_argv[] = { flotsam_path(), "diff", a, b, "--types=all", NULL };
	char *text = run_text((char *const *)(uintptr_t)text_argv, &status), *lost = strstr(text, "MORE LEAKED"), *grew = strstr(text, "GREW");
	ck_assert_msg(lost && grew && strstr(lost, "\n    parcel ") && strstr(lost, "\n    parcel ") < grew && strstr(grew, "\n    session "), "%s", text);
	free(text);
}

START_TEST(differences)
{
	char core[sizeof ask_target];
	static const char *const all[] = { "session", "order", "line", "parcel", "char[]" };
	json_t *fewer = json_object();
	start("labels", "40");
	for (size_t k = 0; k < sizeof all / sizeof *all; k++)
		json_object_set_new(fewer, all[k], json_integer(count_of(all[k])));
	if (!ask_core()) {
		json_decref(fewer);
		return;
	}
	snprintf(core, sizeof core, "%s", ask_target);
	write_to("snap", core, NULL, "before");
	child_end(&asked);
	start("labels", "70");
	check_diff(core, ask_target, fewer);
	ck_assert(ask_core());
	write_to("snap", ask_target, NULL, "after");
	check_diff(core, ask_target, fewer);
	check_diff(file("before"), file("after"), fewer);
	check_diff(file("before"), ask_target, fewer);
	check_diff(core, file("after"), fewer);
	json_decref(fewer);
}
END_TEST

/* At the prompt, behind istype: what was told of, and what it leads to, is called so by every command. */
START_TEST(taught)
{
	char teach[80], said[80], lines[N_QUESTIONS][128];
	const char *commands[N_QUESTIONS + 1] = { teach };
	struct judged j = { 0 };
	start("unknown", "");
	const char *session = nth_of("session", 20);
	snprintf(teach, sizeof teach, "istype %s registry", nth_of("registry", 0));
	size_t n = lines_for(lines, commands + 1, session, true, NO_LINES);
	for (size_t i = 1; i <= n; i++) {
		if (!strstr(commands[i], session))
			continue;
		const char *const pair[] = { teach, commands[i] };
		char *text = prompt(ask_target, false, pair, 2);
		j = (struct judged){ 0 };
		judge_text(commands[i], strchr(text, '\n'), &j);
		ck_assert_msg(j.right > 0, "%s: %.900s", commands[i], text);
		free(text);
	}
	snprintf(lines[0], sizeof lines[0], "type %s", session);
	snprintf(said, sizeof said, "%s  session", session);
	const char *const pair[] = { teach, lines[0] };
	char *text = prompt(ask_target, false, pair, 2);
	ck_assert_msg(strstr(text, said), "%.900s", text);
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("labels");
	TCase *c = tcase_create(getenv("TRUTH_EMULATED") ? "emulated" : "machines"), *more = tcase_create("labels");
	tcase_set_timeout(c, 300);
	tcase_set_timeout(more, 300);
	if (getenv("TRUTH_EMULATED")) {
		tcase_add_test(c, emulated);
	} else {
		tcase_add_loop_test(c, everywhere, 0, 1);
		tcase_add_test(c, taught);
	}
	tcase_add_loop_test(more, everywhere, 1, sizeof fixtures / sizeof *fixtures);
	tcase_add_test(more, leaks_and_profiles);
	tcase_add_test(more, differences);
	suite_add_tcase(s, c);
	suite_add_tcase(s, more);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* containers against what the program itself counted: items, capacity and bytes of each kind, alive and in a core; damaged ones. */
#include "process.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct child child;
static char directory[64], core[160], pid[16];
static json_t *truth;

static void clean_up(void)
{
	child_end(&child);
	DIR *d = *directory ? opendir(directory) : NULL;
	for (struct dirent *e; d && (e = readdir(d));)
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(directory);
}

static void start_one(const char *fixture)
{
	char *argv[] = { (char *)(uintptr_t)fixture, NULL };
	atexit(clean_up);
	ck_assert(child_start(&child, argv, NULL, false));
	truth = child_json(&child);
	ck_assert_msg(truth, "the fixture says nothing");
	ck_assert(child_settled(&child));
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
}

static void start(void)
{
	start_one("counted");
}

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));
	return s ? s : "";
}

static json_int_t number_of(const json_t *j, const char *key)
{
	const json_t *v = json_object_get(j, key);
	ck_assert_msg(json_is_integer(v), "%s of %s is no number", key, text_of(j, "name"));
	return json_integer_value(v);
}

static json_t *ask(const char *target, const char *order)
{
	int status;
	const char *argv[] = { flotsam_path(), "containers", target, "--format", "json", order, NULL };
	json_t *j = run_json((char *const *)(uintptr_t)argv, &status);
	ck_assert_msg(json_is_array(j) && status == 0, "flotsam containers %s: status %d", target, status);
	return j;
}

/* The one of that name and kind; NULL: none. */
static const json_t *named(const json_t *list, const json_t *want)
{
	const json_t *found = NULL, *c;
	size_t i;
	json_array_foreach(list, i, c)
		if (!strcmp(text_of(c, "name"), text_of(want, "name")) && !strcmp(text_of(c, "kind"), text_of(want, "kind"))) {
			ck_assert_msg(!found, "%s is there twice", text_of(want, "name"));
			found = c;
		}
	return found;
}

static void compare(const json_t *list, size_t least)
{
	static const char *const figures[] = { "items", "bytes", "containers" };
	json_t *want, *all = json_object_get(truth, "containers");
	size_t i;
	ck_assert_uint_ge(json_array_size(all), least);
	json_array_foreach(all, i, want) {
		const json_t *c = named(list, want);
		const char *name = text_of(want, "name");
		ck_assert_msg(c, "%s is not there", name);
		for (size_t k = 0; k < sizeof figures / sizeof *figures; k++)
			ck_assert_msg(number_of(c, figures[k]) == number_of(want, figures[k]), "%s of %s: %lld, truth %lld", figures[k], name,
				      (long long)number_of(c, figures[k]), (long long)number_of(want, figures[k]));
		ck_assert_msg(!number_of(c, "damaged"), "%s is damaged", name);
		if (json_object_get(want, "capacity"))
			ck_assert_msg(number_of(c, "capacity") == number_of(want, "capacity"), "capacity of %s: %lld, truth %lld", name,
				      (long long)number_of(c, "capacity"), (long long)number_of(want, "capacity"));
		ck_assert_msg(number_of(c, "wasted") <= number_of(c, "bytes"), "%s wastes more than it has", name);
	}
}

/* What is listed beside the truth's is empty: no container is seen twice, none is made up. */
static void nothing_more(const json_t *list)
{
	const json_t *c;
	size_t i;
	json_array_foreach(list, i, c)
		if (!named(json_object_get(truth, "containers"), c))
			ck_assert_msg(!number_of(c, "items") || !*text_of(c, "name") || strchr(text_of(c, "where"), ','), "%s: %lld items that nobody put there",
				      text_of(c, "name"), (long long)number_of(c, "items"));
}

static const json_t *by_name(const json_t *list, const char *name);
/* Nothing is said of what cannot be but that it cannot. */
static void damaged_ones(const json_t *list, size_t n)
{
	json_t *name, *names = json_object_get(truth, "damaged");
	size_t i;
	ck_assert_uint_eq(json_array_size(names), n);
	json_array_foreach(names, i, name) {
		const json_t *c = by_name(list, json_string_value(name));
		ck_assert_msg(number_of(c, "damaged") == 1 && !number_of(c, "containers") && !number_of(c, "items") && !number_of(c, "bytes"), "%s: damaged %lld",
			      text_of(c, "name"), (long long)number_of(c, "damaged"));
	}
}

static const json_t *by_name(const json_t *list, const char *name)
{
	const json_t *c;
	size_t i;
	json_array_foreach(list, i, c)
		if (!strcmp(text_of(c, "name"), name))
			return c;
	ck_abort_msg("%s is not there", name);
}

START_TEST(a_process)
{
	start();
	json_t *list = ask(pid, NULL);
	compare(list, 40);
	nothing_more(list);
	damaged_ones(list, 5);
	const json_t *map = by_name(list, "g_map"), *vector = by_name(list, "g_vector"), *local = by_name(list, "local");
	ck_assert_str_eq(text_of(map, "type"), "std::map<key, wide>");
	ck_assert_str_eq(text_of(map, "element"), "key, wide");
	ck_assert(json_is_null(json_object_get(map, "capacity")));
	ck_assert_int_eq(number_of(vector, "wasted"), 2990 * number_of(vector, "element_bytes"));
	ck_assert_int_eq(number_of(vector, "element_bytes"), 3 * json_integer_value(json_object_get(truth, "word")));
	ck_assert_str_eq(text_of(by_name(list, "g_strings"), "type"), "std::vector<std::string>");
	ck_assert(strstr(text_of(vector, "where"), "counted.cc:"));
	ck_assert_msg(strstr(text_of(local, "where"), "waits("), "%s", text_of(local, "where"));
	json_decref(list);
}
END_TEST

START_TEST(a_core)
{
	char prefix[96];
	int status;
	if (!have_program("gcore")) {
		puts("SKIP containers of a core: needs gdb");
		fflush(stdout);
		return;
	}
	strcpy(directory, "/tmp/flotsam-containers-XXXXXX");
	ck_assert(mkdtemp(directory));
	start();
	snprintf(prefix, sizeof prefix, "%s/core", directory);
	snprintf(core, sizeof core, "%s.%s", prefix, pid);
	const char *argv[] = { "gcore", "-o", prefix, pid, NULL };
	free(run_text((char *const *)(uintptr_t)argv, &status));
	ck_assert_msg(status == 0 && !access(core, R_OK), "gcore failed");
	json_t *list = ask(core, NULL);
	compare(list, 40);
	nothing_more(list);
	damaged_ones(list, 5);
	json_decref(list);
}
END_TEST

START_TEST(more_of_them)
{
	static const char *const types[][2] = {
		{ "g_stack", "std::stack<int>" }, { "g_queue", "std::queue<long>" }, { "g_first", "std::priority_queue<short>" }, { "g_dead", "std::weak_ptr<item>" },
		{ "g_anything", "std::shared_ptr<void>" }, { "g_row", "std::unique_ptr<item[]>" },
		{ "g_deep", "std::vector<std::map<long, std::vector<short>>>" }, { "g_texts", "std::multiset<std::string>" },
		{ "(anonymous namespace)::g_hidden", "std::set<unsigned long long>" }, { "g_server->log_", "std::vector<std::pair<int, item>>" },
	};
	start_one("counted_more");
	json_t *list = ask(pid, NULL);
	compare(list, 29);
	nothing_more(list);
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		ck_assert_str_eq(text_of(by_name(list, types[i][0]), "type"), types[i][1]);
	/* A block of counts, and of the object in it, that only a weak_ptr keeps. */
	const json_t *dead = by_name(list, "g_dead");
	ck_assert_int_eq(number_of(dead, "wasted"), number_of(dead, "bytes"));
	ck_assert_int_gt(number_of(dead, "bytes"), 0);
	ck_assert_str_eq(text_of(by_name(list, "g_server->log_"), "where"), text_of(by_name(list, "g_server->sessions_"), "where"));
	ck_assert(strstr(text_of(by_name(list, "server::kept()::kept_here"), "where"), "counted_more.cc:"));
	ck_assert(strstr(text_of(by_name(list, "server::t_seen"), "where"), "counted_more.cc:"));
	json_decref(list);
}
END_TEST

START_TEST(of_the_abi_before)
{
	start_one("counted_old");
	json_t *list = ask(pid, NULL);
	compare(list, 7);
	nothing_more(list);
	damaged_ones(list, 1);
	ck_assert_str_eq(text_of(by_name(list, "g_text"), "type"), "std::string");
	ck_assert_str_eq(text_of(by_name(list, "g_wide"), "type"), "std::wstring");
	json_decref(list);
}
END_TEST

START_TEST(the_orders)
{
	static const char *const words[] = { "bytes", "waste", "items" }, *const keys[] = { "bytes", "wasted", "items" };
	start();
	for (size_t k = 0; k < 3; k++) {
		json_t *list = ask(pid, words[k]), *c;
		json_int_t last = INT64_MAX;
		size_t i;
		json_array_foreach(list, i, c) {
			/* Characters of texts are no items that anybody looks for. */
			json_int_t v = k == 2 && !strcmp(text_of(c, "kind"), "std::string") ? 0 : number_of(c, keys[k]);
			ck_assert_int_le(v, last);
			last = v;
		}
		ck_assert_uint_gt(json_array_size(list), 40);
		json_decref(list);
	}
}
END_TEST

START_TEST(for_people)
{
	int status;
	start();
	const char *argv[] = { flotsam_path(), "containers", pid, "--top", "3", NULL };
	char *text = run_text((char *const *)(uintptr_t)argv, &status);
	ck_assert_int_eq(status, 0);
	const char *largest = strstr(text, "largest\n"), *emptiest = strstr(text, "emptiest for their room\n"), *most = strstr(text, "most items\n");
	ck_assert(largest && emptiest && most && largest < emptiest && emptiest < most);
	ck_assert(strstr(largest, "g_deque") < emptiest);
	ck_assert(strstr(emptiest, "g_vector") < most);
	ck_assert(strstr(most, "g_map"));
	/* Three lines below each title and header. */
	unsigned lines = 0;
	for (const char *p = largest; p < emptiest && (p = strchr(p, '\n')); p++)
		lines++;
	ck_assert_uint_eq(lines, 6);
	free(text);
	argv[3] = "frequency";
	argv[4] = NULL;
	free(run_text((char *const *)(uintptr_t)argv, &status));
	ck_assert_int_eq(status, 2);
}
END_TEST

/* In a report a holder that is a container says so, with its items; one that is none says nothing. */
START_TEST(holders)
{
	int status;
	start();
	const char *argv[] = { flotsam_path(), "report", pid, "--format", "json", NULL };
	json_t *report = run_json((char *const *)(uintptr_t)argv, &status), *h;
	unsigned known = 0, others = 0;
	size_t i;
	ck_assert(report);
	json_array_foreach(json_object_get(report, "holders"), i, h) {
		json_t *c = json_object_get(h, "container"), *want;
		size_t k;
		others += json_is_null(c);
		json_array_foreach(json_object_get(truth, "containers"), k, want)
			if (!strcmp(text_of(want, "name"), text_of(h, "name")) && strcmp(text_of(h, "name"), "inside()::kept")) {
				ck_assert_msg(json_is_object(c), "%s is no container", text_of(h, "name"));
				ck_assert_msg(!strncmp(text_of(c, "type"), text_of(want, "kind"), 7), "%s: %s", text_of(h, "name"), text_of(c, "type"));
				known++;
				if (json_is_integer(json_object_get(c, "items")))
					ck_assert_int_eq(number_of(c, "items"), number_of(want, "items"));
				else
					ck_assert(!strcmp(text_of(want, "kind"), "std::forward_list") || strstr(text_of(want, "kind"), "_ptr") ||
						  strstr(text_of(want, "kind"), "optional") || strstr(text_of(want, "kind"), "variant"));
			}
	}
	ck_assert_uint_ge(known, 15);
	ck_assert_uint_ge(others, 1);
	json_decref(report);
	const char *words[] = { flotsam_path(), "report", pid, "--top", "0", NULL };
	char *text = run_text((char *const *)(uintptr_t)words, &status);
	ck_assert_msg(strstr(text, "\n        std::map<key, wide>, 1,000 items\n"), "%s", text);
	free(text);
}
END_TEST

/* The row of a list whose text under `key` begins with that of the truth's row, or is it. */
static const json_t *row_of(const json_t *list, const char *key, const char *name)
{
	const json_t *r;
	size_t i;
	json_array_foreach(list, i, r)
		if (!strcmp(text_of(r, key), name) || (!strncmp(text_of(r, key), name, strlen(name)) && text_of(r, key)[strlen(name)] == ' '))
			return r;
	ck_abort_msg("no %s", name);
}

static void is_container(const json_t *row, const char *type, const char *member, const char *truth_name)
{
	const json_t *want;
	size_t i;
	ck_assert_str_eq(text_of(row, "container"), type);
	ck_assert_str_eq(text_of(row, "member"), member);
	json_array_foreach(json_object_get(truth, "containers"), i, want)
		if (!strcmp(text_of(want, "name"), truth_name))
			ck_assert_int_eq(number_of(row, "items"), number_of(want, "items"));
}

static json_t *asked(const char *command, const char *word, const char *more, const char *most)
{
	int status;
	const char *argv[] = { flotsam_path(), command, pid, "--format", "json", word, more, most, most ? "top" : NULL, "0", NULL };
	return run_json((char *const *)(uintptr_t)argv, &status);
}

/* Variables of the program, of threads and of frames, and members of them, wherever holders are listed. */
START_TEST(names_everywhere)
{
	start();
	json_t *tree = asked("tree", "top", "0", NULL), *groups = asked("blocks", "group", "by", "holder"), *j;
	ck_assert(tree && groups);
	is_container(row_of(tree, "what", "g_map"), "std::map<key, wide>", "", "g_map");
	is_container(row_of(tree, "what", "t_map"), "std::map<int, wide>", "", "t_map");
	is_container(row_of(tree, "what", "app::g_state"), "std::map<int, app::session>", ".sessions", "app::g_state.sessions");
	is_container(row_of(groups, "group", "g_map"), "std::map<key, wide>", "", "g_map");
	is_container(row_of(groups, "group", "t_map"), "std::map<int, wide>", "", "t_map");
	ck_assert(json_is_null(json_object_get(row_of(tree, "what", "(leaked)"), "container")));
	size_t i, locals = 0;
	json_array_foreach(tree, i, j)
		if (!strcmp(text_of(j, "member"), "held")) {
			is_container(j, "std::map<int, int>", "held", "held");
			ck_assert(strstr(text_of(j, "what"), "stack, main()"));
			locals++;
		}
	ck_assert_uint_eq(locals, 1);
	json_decref(tree);
	json_decref(groups);
}
END_TEST

/* For people, of the word that a chain begins with. */
START_TEST(a_word_of_one)
{
	static const char *const commands[] = { "who", "path", "why" };
	int status;
	char address[32];
	start();
	const char *argv[] = { flotsam_path(), "print", pid, "t_map", NULL };
	char *printed = run_text((char *const *)(uintptr_t)argv, &status), *root = strstr(printed, "_M_parent = 0x");
	ck_assert_msg(root && sscanf(root, "_M_parent = %31[0-9a-fx]", address) == 1, "%s", printed);
	free(printed);
	for (size_t i = 0; i < 3; i++) {
		const char *words[] = { flotsam_path(), commands[i], pid, address, NULL };
		char *text = run_text((char *const *)(uintptr_t)words, &status);
		/* Lines of prose end at 80 columns. */
		for (char *p = text; (p = strchr(p, '\n'));)
			*p = ' ';
		ck_assert_msg(strstr(text, "std::map<int, wide>, 17 items"), "%s: %s", commands[i], text);
		free(text);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("containers");
	TCase *t = tcase_create("containers");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, a_process);
	tcase_add_test(t, a_core);
	tcase_add_test(t, more_of_them);
	tcase_add_test(t, of_the_abi_before);
	tcase_add_test(t, the_orders);
	tcase_add_test(t, for_people);
	tcase_add_test(t, holders);
	tcase_add_test(t, names_everywhere);
	tcase_add_test(t, a_word_of_one);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

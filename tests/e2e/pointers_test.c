/* who, refs, path, cycle, retained sizes and the dominator tree on random graphs whose fixture told every pointer. The reference
 * is plain: a node keeps alive what is not reached without it. */
#include "process.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 256, DEGREE = 8, SEEDS = 6, ROOTS = 4, FAR = 1 << 20 };

struct graph { /* as the fixture tells it */
	int n;
	char address[MOST][24];
	long size[MOST];
	int to[MOST][DEGREE], degree[MOST];
	unsigned held[MOST];	/* bit per root */
};

static struct graph g;
static struct child child;
static char pid[16];

static void read_block(const json_t *b)
{
	const char *why = json_string_value(json_object_get(b, "why"));
	int used, i = (int)strtol(why, NULL, 10);
	const char *p = strchr(why, ' ') + 1;
	ck_assert_int_lt(i, MOST);
	snprintf(g.address[i], sizeof g.address[i], "%s", json_string_value(json_object_get(b, "address")));
	g.size[i] = (long)json_integer_value(json_object_get(b, "size"));
	for (; *p != ':'; p++)
		g.held[i] |= 1u << (*p - 'a');
	for (p++; sscanf(p, " %d%n", &g.to[i][g.degree[i]], &used) == 1; p += used)
		g.degree[i]++;
	g.n = i >= g.n ? i + 1 : g.n;
}

static void start(int seed)
{
	char text[16];
	char *argv[] = { (char[]){ "random_graph" }, NULL };
	size_t k;
	json_t *b;
	memset(&g, 0, sizeof g);
	snprintf(text, sizeof text, "%d", seed);
	setenv("GRAPH_SEED", text, 1);
	ck_assert(child_start(&child, argv, NULL, false));
	json_t *said = child_json(&child);
	ck_assert_ptr_nonnull(said);
	json_array_foreach(json_object_get(said, "blocks"), k, b)
		read_block(b);
	json_decref(said);
	ck_assert(child_settled(&child));
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
}

/* Steps from a root to each node, without node `skip` and without the roots in `without`; FAR: none. */
static void distances(int skip, unsigned without, int *d)
{
	int queue[MOST], head = 0, tail = 0;
	for (int i = 0; i < g.n; i++) {
		d[i] = FAR;
		if (i != skip && g.held[i] & ~without) {
			d[i] = 1;
			queue[tail++] = i;
		}
	}
	while (head < tail) {
		int i = queue[head++];
		for (int k = 0; k < g.degree[i]; k++) {
			int to = g.to[i][k];
			if (to != skip && d[to] == FAR) {
				d[to] = d[i] + 1;
				queue[tail++] = to;
			}
		}
	}
}

static long lost_without(int skip, unsigned without)
{
	int whole[MOST], part[MOST];
	long bytes = 0;
	distances(-1, 0, whole);
	distances(skip, without, part);
	for (int i = 0; i < g.n; i++)
		bytes += whole[i] != FAR && part[i] == FAR ? g.size[i] : 0;
	return bytes;
}

static int node_at(const char *address)
{
	for (int i = 0; i < g.n; i++)
		if (!strcmp(g.address[i], address))
			return i;
	return -1;
}

static json_t *ask(const char *command)
{
	char text[128];
	int status;
	snprintf(text, sizeof text, "%s --format json", command);
	char *argv[] = { (char *)flotsam_path(), (char[]){ "shell" }, pid, (char[]){ "-e" }, text, NULL };
	json_t *j = run_json(argv, &status);
	ck_assert_msg(j || status, "%s: no JSON", command);
	return j;
}

static long number_of(const json_t *j, const char *key)
{
	return (long)json_integer_value(json_object_get(j, key));
}

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));
	return s ? s : "";
}

static void check_retained(void)
{
	json_t *all = ask("blocks class=reachable sort retained"), *b;
	size_t k;
	int whole[MOST], met = 0, expected = 0;
	distances(-1, 0, whole);
	for (int i = 0; i < g.n; i++)
		expected += whole[i] != FAR;
	json_array_foreach(all, k, b) {
		int i = node_at(text_of(b, "address"));
		if (i < 0)
			continue;
		met++;
		ck_assert_msg(number_of(b, "retained_bytes") == lost_without(i, 0), "node %d retains %ld, not %ld", i, lost_without(i, 0),
			      number_of(b, "retained_bytes"));
	}
	ck_assert_int_eq(met, expected);
	json_decref(all);
}

static void check_roots(void)
{
	json_t *all = ask("tree top 0"), *b;
	unsigned met = 0;
	size_t k;
	json_array_foreach(all, k, b) {
		const char *what = text_of(b, "what");
		if (strncmp(what, "root_", 5))
			continue;
		unsigned root = (unsigned)(what[5] - 'a');
		met |= 1u << root;
		ck_assert_msg(number_of(b, "retained_bytes") == lost_without(-1, 1u << root), "%s keeps %ld, not %ld", what, lost_without(-1, 1u << root),
			      number_of(b, "retained_bytes"));
	}
	ck_assert_uint_eq(met, (1u << ROOTS) - 1);
	json_decref(all);
}

/* The first of a sorted list are the first of the whole one, however it was kept. */
static void check_tops(const char *sorted)
{
	json_t *all = ask(sorted);
	size_t tops[] = { 1, 2, 7, 64, json_array_size(all), json_array_size(all) + 9 };
	for (size_t i = 0; i < sizeof tops / sizeof tops[0]; i++) {
		char command[96];
		snprintf(command, sizeof command, "%s top %zu", sorted, tops[i]);
		json_t *some = ask(command), *b;
		size_t k;
		ck_assert_uint_eq(json_array_size(some), tops[i] < json_array_size(all) ? tops[i] : json_array_size(all));
		json_array_foreach(some, k, b)
			ck_assert_msg(json_equal(b, json_array_get(all, k)), "%s: record %zu differs", command, k);
		json_decref(some);
	}
	json_decref(all);
}

START_TEST(retained_sizes)
{
	start(_i + 1);
	check_retained();
	check_tops("blocks class=reachable sort retained");
	check_tops("blocks sort size");
	check_roots();
	child_end(&child);
}
END_TEST

static int count_edges(int from, int to)
{
	int n = 0;
	for (int k = 0; k < g.degree[from]; k++)
		n += g.to[from][k] == to;
	return n;
}

static void check_who(int i)
{
	char command[64];
	int in[MOST] = { 0 }, roots = 0, expected = 0;
	size_t k;
	json_t *r;
	snprintf(command, sizeof command, "who %s", g.address[i]);
	json_t *refs = ask(command);
	json_array_foreach(refs, k, r) {
		int from = node_at(text_of(r, "block"));
		if (!strcmp(text_of(r, "kind"), "block") && from >= 0)
			in[from]++;
		roots += !strncmp(text_of(r, "name"), "root_", 5);
		ck_assert_int_eq(number_of(r, "offset"), 0);
	}
	for (int from = 0; from < g.n; from++)
		ck_assert_msg(in[from] == count_edges(from, i), "%d points %d times at %d, not %d", from, count_edges(from, i), i, in[from]);
	for (unsigned b = 0; b < ROOTS; b++)
		expected += g.held[i] >> b & 1;
	/* A root may hold it in more than one of its words. */
	ck_assert(expected ? roots >= expected : !roots);
	json_decref(refs);
}

static void check_refs(int i)
{
	char command[64];
	int out[MOST] = { 0 };
	size_t k;
	json_t *r;
	snprintf(command, sizeof command, "refs %s", g.address[i]);
	json_t *refs = ask(command);
	json_array_foreach(refs, k, r) {
		int to = node_at(text_of(r, "value"));
		if (to >= 0)
			out[to]++;
	}
	for (int to = 0; to < g.n; to++)
		ck_assert_msg(out[to] == count_edges(i, to), "%d points %d times at %d, not %d", i, count_edges(i, to), to, out[to]);
	json_decref(refs);
}

START_TEST(pointers)
{
	start(11);
	for (int i = 0; i < g.n; i += 29) {
		check_who(i);
		check_refs(i);
	}
	child_end(&child);
}
END_TEST

static void check_path(int i, int steps)
{
	char command[64];
	snprintf(command, sizeof command, "path %s", g.address[i]);
	json_t *path = ask(command), *first = path ? json_array_get(path, 0) : NULL;
	if (steps == FAR) {
		ck_assert_msg(!path || !json_array_size(path), "a path to %d, which is lost", i);
		json_decref(path);
		return;
	}
	ck_assert_msg((int)json_array_size(path) == steps, "%d steps to %d, not %d", (int)json_array_size(path), i, steps);
	int at = node_at(text_of(first, "block"));
	ck_assert(at >= 0 && g.held[at] && !strncmp(text_of(first, "what"), "root_", 5));
	for (int k = 1; k < steps; k++) {
		int next = node_at(text_of(json_array_get(path, (size_t)k), "block"));
		ck_assert_msg(next >= 0 && count_edges(at, next), "no pointer from %d to %d", at, next);
		at = next;
	}
	ck_assert_int_eq(at, i);
	json_decref(path);
}

/* Shortest way round through i, FAR when there is none. */
static int way_round(int i)
{
	unsigned held[MOST];
	int d[MOST], best = FAR;
	memcpy(held, g.held, sizeof held);
	memset(g.held, 0, sizeof g.held);
	for (int k = 0; k < g.degree[i]; k++)
		g.held[g.to[i][k]] = 1;
	distances(-1, 0, d);
	best = d[i];
	memcpy(g.held, held, sizeof held);
	return best;
}

static void check_cycle(int i)
{
	char command[64];
	int steps = way_round(i);
	snprintf(command, sizeof command, "cycle %s", g.address[i]);
	json_t *round = ask(command);
	ck_assert_msg((round ? (int)json_array_size(round) : FAR) == steps, "%d steps round %d, not %d", steps, i, round ? (int)json_array_size(round) : FAR);
	json_decref(round);
}

START_TEST(chains)
{
	int d[MOST];
	start(23);
	distances(-1, 0, d);
	for (int i = 3; i < g.n; i += 23) {
		check_path(i, d[i]);
		check_cycle(i);
	}
	child_end(&child);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pointers");
	TCase *t = tcase_create("pointers");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, retained_sizes, 0, SEEDS);
	tcase_add_test(t, pointers);
	tcase_add_test(t, chains);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

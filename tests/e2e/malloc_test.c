/* The commands on malloc against what malloc says of itself (malloc_info, mallinfo2), what the fixture freed on purpose, and what
 * the kernel counts before and after a malloc_trim() that was foretold. */
#include "ask.h"

#include <check.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *start_with(const char *mode, const char *variable)
{
	return ask_start("retention", mode, variable);
}

static json_t *start(const char *mode)
{
	return start_with(mode, NULL);
}

static const json_t *means(const json_t *trim, const char *name)
{
	const json_t *m;
	size_t i;
	json_array_foreach(json_object_get(trim, "means"), i, m)
		if (!strcmp(word(m, "name"), name))
			return m;
	return NULL;
}

#define MANY_CACHED "GLIBC_TUNABLES=glibc.malloc.tcache_count=60000"
static const struct { const char *mode, *variable; } modes[] = {
	{ "one", NULL }, { "arenas", NULL }, { "tops", NULL }, { "fastbins", NULL }, { "tcache", MANY_CACHED }, { "lists", NULL }, { "pins", NULL },
	{ "large", NULL }, { "locked", NULL },
};
enum { N_MODES = sizeof modes / sizeof *modes };

/* Bytes of the range that the kernel holds in memory, asked of it page by page: Linux, Documentation/admin-guide/mm/pagemap.rst,
 * bit 63. */
static int64_t present(uint64_t from, uint64_t to)
{
	char path[64];
	uint64_t entry;
	int64_t sum = 0, page = sysconf(_SC_PAGESIZE);
	snprintf(path, sizeof path, "/proc/%d/pagemap", (int)asked.pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	for (; from < to; from += (uint64_t)page)
		if (pread(fd, &entry, sizeof entry, (off_t)(from / (uint64_t)page * sizeof entry)) == sizeof entry && entry >> 63)
			sum += page;
	close(fd);
	return sum;
}

/* What is in memory of the ranges that were an arena's heaps. */
static int64_t present_of(const json_t *heaps, int64_t arena)
{
	const json_t *h;
	size_t i;
	int64_t sum = 0;
	json_array_foreach(heaps, i, h)
		if (json_is_integer(json_object_get(h, "arena")) && number(h, "arena") == arena)
			sum += present(address(h, "start"), address(h, "end"));
	return sum;
}

START_TEST(trim_is_foretold)
{
	enum { MOST = 16 };
	int64_t held[MOST] = { 0 };
	json_t *truth = start_with(modes[_i].mode, modes[_i].variable);
	json_t *trim = ask_json("trim", NULL), *report = ask_json("report", NULL), *heaps = ask_json("heaps", NULL), *cause;
	const json_t *arenas = json_object_get(trim, "arenas");
	ck_assert(json_is_true(json_object_get(trim, "resident")));
	int64_t foretold = number(json_object_get(trim, "sum"), "trim_bytes"), before = ask_rollup("Rss"), sum = 0;
	size_t i;
	ck_assert_uint_le(json_array_size(arenas), MOST);
	json_array_foreach(arenas, i, cause) {
		sum += number(cause, "trim_bytes");
		held[i] = present_of(heaps, (int64_t)i);
	}
	ck_assert_int_eq(sum, foretold);
	ck_assert_int_eq(number(means(trim, "malloc_trim"), "bytes"), foretold);
	json_array_foreach(json_object_get(json_object_get(report, "rss"), "causes"), i, cause)
		if (!strcmp(word(cause, "cause"), "free_trimmable"))
			ck_assert_int_eq(number(cause, "bytes"), foretold);
	ask_fixture("trim\n");
	close_to(modes[_i].mode, foretold, before - ask_rollup("Rss"));
	if (number(truth, "locked"))
		ck_assert_int_gt(number(trim, "locked_bytes"), 256 << 10);
	json_array_foreach(arenas, i, cause)
		close_to("an arena", number(cause, "trim_bytes"), held[i] - present_of(heaps, (int64_t)i));
	/* What is left is nothing; fastbins are empty now. */
	json_t *after = ask_json("trim", NULL);
	ck_assert_int_le(number(json_object_get(after, "sum"), "trim_bytes"), 64 << 10);
	ck_assert_ptr_null(means(after, "fastbins"));
	free(ask_text("trim", NULL));
	json_decref(truth);
	json_decref(trim);
	json_decref(report);
	json_decref(heaps);
	json_decref(after);
}
END_TEST

START_TEST(each_kind_has_its_line)
{
	/* What each fixture is made for shows in its line, and is much. */
	static const struct { const char *mode, *line, *variable; } rows[] = { { "fastbins", "fastbins", NULL }, { "tcache", "tcache", MANY_CACHED },
		{ "tops", "trim_threshold", NULL }, { "arenas", "arena_max", NULL }, { "large", "mmap_threshold", NULL } };
	json_decref(start_with(rows[_i].mode, rows[_i].variable));
	json_t *trim = ask_json("trim", NULL);
	const json_t *m = means(trim, rows[_i].line);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_gt(number(m, "bytes"), 6 << 20);
	ck_assert_int_gt(strlen(word(m, "how")), 10);
	ck_assert_int_gt(strlen(word(m, "cost")), 10);
	json_decref(trim);
}
END_TEST

START_TEST(tops_are_foretold)
{
	json_decref(start_with("tops", _i ? "MALLOC_TOP_PAD_=1048576" : NULL));
	json_t *trim = ask_json("trim", NULL);
	int64_t foretold = number(means(trim, "trim_threshold"), "bytes"), before = ask_rollup("Rss");
	ck_assert_int_ge(number(json_object_get(trim, "sum"), "thread_top_bytes"), foretold);
	ask_fixture("cut\n");
	close_to("tops", foretold, before - ask_rollup("Rss"));
	json_decref(trim);
}
END_TEST

/* glibc 2.35 on asks for huge pages so, and older ones do not mind. The kernel makes some again of what trim left, at a time of
 * its own (khugepaged): then once more. */
START_TEST(trim_of_huge_pages_is_foretold)
{
	bool met = false;
	for (int attempt = 0; attempt < 5 && !met; attempt++) {
		json_decref(start_with("one", "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"));
		json_t *trim = ask_json("trim", NULL);
		int64_t foretold = number(json_object_get(trim, "sum"), "trim_bytes"), before = ask_rollup("Rss");
		ask_fixture("trim\n");
		met = llabs(foretold - (before - ask_rollup("Rss"))) <= 1 << 20 && foretold > 16 << 20;
		json_decref(trim);
		child_end(&asked);
	}
	ck_assert(met);
}
END_TEST

static const json_t *means_for(const json_t *trim, const char *name, int64_t setting)
{
	const json_t *m;
	size_t i;
	json_array_foreach(json_object_get(trim, "means"), i, m)
		if (!strcmp(word(m, "name"), name) && number(m, "setting") == setting)
			return m;
	ck_abort_msg("no line %s %" PRId64, name, setting);
}

/* The same program, run again with what the line names: what it saves is what was foretold, or less where that is a bound. */
START_TEST(settings_are_foretold)
{
	static const struct { const char *mode, *line, *variable; int64_t setting; bool trimmed, close; } rows[] = {
		{ "large", "mmap_threshold", "MALLOC_MMAP_THRESHOLD_=131072", 131072, false, true },
		{ "tops", "mmap_threshold", "MALLOC_MMAP_THRESHOLD_=131072", 131072, false, true },
		{ "tcache", "tcache", "GLIBC_TUNABLES=glibc.malloc.tcache_count=0", 0, true, true },
		{ "arenas", "arena_max", "MALLOC_ARENA_MAX=1", 1, false, false },
		{ "arenas", "arena_max", "MALLOC_ARENA_MAX=2", 2, false, false },
	};
	json_decref(start_with(rows[_i].mode, strcmp(rows[_i].mode, "tcache") ? NULL : MANY_CACHED));
	json_t *trim = ask_json("trim", NULL);
	const json_t *m = means_for(trim, rows[_i].line, rows[_i].setting);
	if (rows[_i].trimmed)
		ask_fixture("trim\n");
	int64_t before = ask_rollup("Rss");
	child_end(&asked);
	json_decref(start_with(rows[_i].mode, rows[_i].variable));
	if (rows[_i].trimmed)
		ask_fixture("trim\n");
	int64_t saved = before - ask_rollup("Rss");
	if (rows[_i].close)
		close_to(rows[_i].variable, number(m, "bytes"), saved);
	else
		ck_assert_msg(json_is_true(json_object_get(m, "at_most")) && saved <= number(m, "bytes"), "%s saves %" PRId64 ", of %" PRId64 " at most",
			      rows[_i].variable, saved, number(m, "bytes"));
	json_decref(trim);
}
END_TEST

struct kind { int64_t count, bytes; };

static struct kind state_of(const json_t *arena, const char *state)
{
	const json_t *row;
	size_t i;
	json_array_foreach(json_object_get(arena, "states"), i, row)
		if (!strcmp(word(row, "state"), state))
			return (struct kind){ number(row, "chunks"), number(row, "bytes") };
	return (struct kind){ 0, 0 };
}

static struct kind on_lists(const json_t *bins, size_t arena, bool fast)
{
	struct kind k = { 0, 0 };
	const json_t *row;
	size_t i;
	json_array_foreach(bins, i, row) {
		if (number(row, "arena") != (int64_t)arena || fast != !strcmp(word(row, "list"), "fastbin"))
			continue;
		k.count += number(row, "chunks");
		k.bytes += number(row, "bytes");
		int64_t low = number(row, "low"), chunks = number(row, "chunks"), bytes = number(row, "bytes");
		ck_assert_int_ge(bytes, low * chunks);
		if (json_is_integer(json_object_get(row, "high")))
			ck_assert_int_le(bytes, number(row, "high") * chunks);
	}
	return k;
}

/* malloc_info() adds sizes with their flags: a free chunk on a bin has one, PREV_INUSE (glibc 2.36, malloc/malloc.c:
 * __malloc_info uses chunksize_nomask); top is counted by its plain size. */
static void compare_arenas(const json_t *truth)
{
	json_t *arenas = ask_json("arenas", NULL), *bins = ask_json("bins", NULL), *heaps = ask_json("heaps", NULL), *want, *row;
	size_t i, k;
	int64_t ordblks = 0, smblks = 0, fordblks = 0;
	json_array_foreach(json_object_get(truth, "arenas"), i, want) {
		char index[24];
		snprintf(index, sizeof index, "%zu", i);
		json_t *a = ask_json("arena", index);
		struct kind fast = on_lists(bins, i, true), rest = on_lists(bins, i, false), top = state_of(a, "top"), f = state_of(a, "fastbin");
		ck_assert_int_eq(fast.count, number(want, "fast_count"));
		ck_assert_int_eq(fast.bytes, number(want, "fast_bytes"));
		ck_assert_int_eq(f.count, fast.count);
		ck_assert_int_eq(f.bytes, fast.bytes);
		ck_assert_int_eq(top.count, 1);
		ck_assert_int_eq(rest.count + 1, number(want, "rest_count"));
		ck_assert_int_eq(rest.bytes + rest.count + top.bytes, number(want, "rest_bytes"));
		/* Where a chunk is aligned more than a word pair is wide (i386), the main arena's first begins behind a gap. */
		ck_assert_int_le(llabs(number(want, "system") - number(a, "bytes")), 8);
		ck_assert_int_eq(number(json_array_get(arenas, i), "free_bytes"), fast.bytes + rest.bytes + top.bytes);
		int64_t sum = 0;
		json_array_foreach(heaps, k, row)
			sum += number(row, "arena") == (int64_t)i ? number(row, "bytes") : 0;
		ck_assert_int_eq(sum, number(a, "bytes"));
		ordblks += rest.count + 1;
		smblks += fast.count;
		fordblks += fast.bytes + rest.bytes + top.bytes;
		json_decref(a);
	}
	const json_t *m = json_object_get(truth, "mallinfo");
	ck_assert_int_eq(ordblks, number(m, "ordblks"));
	ck_assert_int_eq(smblks, number(m, "smblks"));
	ck_assert_int_eq(fordblks, number(m, "fordblks"));
	json_t *frag = ask_json("frag", NULL);
	ck_assert_int_eq(number(frag, "free_bytes"), fordblks);
	json_decref(frag);
	json_decref(arenas);
	json_decref(bins);
	json_decref(heaps);
}

static void compare_caches(const json_t *truth)
{
	json_t *caches = ask_json("tcache", NULL), *heaps = ask_json("heaps", NULL), *want, *row;
	/* A thread arena that goes on to a next heap frees what was left of its top, which may be cached (malloc/malloc.c: sysmalloc). */
	bool exact = json_array_size(heaps) == json_array_size(json_object_get(truth, "arenas"));
	size_t i, k;
	json_decref(heaps);
	ck_assert_int_gt(json_array_size(json_object_get(truth, "tcache")), 30);
	json_array_foreach(json_object_get(truth, "tcache"), i, want) {
		unsigned found = 0;
		json_array_foreach(caches, k, row)
			if (number(row, "thread") == number(want, "tid") && number(row, "low") == number(want, "size")) {
				ck_assert_int_ge(number(row, "chunks"), number(want, "count"));
				ck_assert(!exact || number(row, "chunks") == number(want, "count"));
				ck_assert_int_eq(number(row, "bytes"), number(row, "chunks") * number(want, "size"));
				found++;
			}
		ck_assert_msg(found == 1, "%u lines for thread %" PRId64 ", size %" PRId64, found, number(want, "tid"), number(want, "size"));
	}
	char tid[32];
	snprintf(tid, sizeof tid, "%" PRId64, number(json_array_get(json_object_get(truth, "tcache"), 0), "tid"));
	json_t *one = ask_json("tcache", tid);
	ck_assert_int_gt(json_array_size(one), 0);
	json_array_foreach(one, k, row)
		ck_assert_int_eq(number(row, "thread"), strtoll(tid, NULL, 10));
	json_decref(one);
	json_decref(caches);
}

/* Chunk lies by chunk, and each header says of the one before what its state says. */
static void compare_chunks(void)
{
	enum { MANY = 5000 };
	json_t *heaps = ask_json("heaps", NULL), *row;
	int status;
	size_t i;
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t) "chunks", ask_target, (char *)(uintptr_t)word(json_array_get(heaps, 0), "start"),
			 (char *)(uintptr_t) "5000", (char *)(uintptr_t) "--format", (char *)(uintptr_t) "json", NULL };
	json_t *chunks = run_json(argv, &status);
	ck_assert(chunks && status == 0);
	ck_assert_int_eq(json_array_size(chunks), MANY);
	uint64_t next = 0, end = address(json_array_get(heaps, 0), "end");
	bool before_free = false;
	int64_t before_bytes = 0;
	json_array_foreach(chunks, i, row) {
		const char *state = word(row, "state"), *flags = word(row, "flags");
		uint64_t chunk = address(row, "chunk");
		int64_t bytes = number(row, "chunk_bytes");
		ck_assert_int_eq(address(row, "size_field") & ~7ull, (uint64_t)bytes);
		if (next == end)
			break;
		if (i) {
			ck_assert_int_eq(chunk, next);
			ck_assert_msg(before_free == !strchr(flags, 'P'), "%s: flags %s", word(row, "address"), flags);
			ck_assert(before_free == json_is_integer(json_object_get(row, "prev_size")));
			if (before_free)
				ck_assert_int_eq(number(row, "prev_size"), before_bytes);
		}
		before_free = !strcmp(state, "unsorted") || !strcmp(state, "smallbin") || !strcmp(state, "largebin");
		before_bytes = bytes;
		next = chunk + (uint64_t)bytes;
	}
	ck_assert_int_gt(i, MANY / 10);
	json_decref(chunks);
	json_decref(heaps);
}

enum { KINDS = 6 };

static int kind_of(const char *state)
{
	static const char *const states[] = { "used", "tcache", "fastbin", "unsorted", "top" };
	for (int i = 0; i < 5; i++)
		if (!strcmp(state, states[i]))
			return i;
	return !strcmp(state, "smallbin") || !strcmp(state, "largebin") ? 3 : 5;
}

/* Each cell is what most of its bytes are, by the list of chunks. */
static void compare_map(void)
{
	json_t *map = ask_json("map", "0"), *row;
	const json_t *heap = json_array_get(json_object_get(map, "heaps"), 0);
	const char *cells = word(heap, "cells");
	uint64_t start = address(heap, "start"), end = address(heap, "end"), cell = (uint64_t)number(map, "cell_bytes");
	ck_assert_int_eq(strlen(cells), (end - start + cell - 1) / cell);
	int64_t(*weights)[KINDS] = calloc(strlen(cells), sizeof *weights);
	int status;
	size_t i;
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t) "chunks", ask_target, (char *)(uintptr_t)word(heap, "start"),
			 (char *)(uintptr_t) "100000", (char *)(uintptr_t) "--format", (char *)(uintptr_t) "json", NULL };
	json_t *chunks = run_json(argv, &status);
	ck_assert(chunks && status == 0);
	json_array_foreach(chunks, i, row) {
		uint64_t at = address(row, "chunk"), to = at + (uint64_t)number(row, "chunk_bytes");
		for (; at < to && at < end; at += 16)
			weights[(at - start) / cell][kind_of(word(row, "state"))] += 16;
	}
	for (i = 0; cells[i]; i++) {
		int64_t most = 0, told = -1;
		for (int k = 0; k < KINDS; k++) {
			most = weights[i][k] > most ? weights[i][k] : most;
			if ("UCBFTX"[k] == (cells[i] & ~0x20))
				told = weights[i][k];
		}
		ck_assert_msg(told == most, "cell %zu of %s is %c", i, cells, cells[i]);
	}
	free(weights);
	json_decref(chunks);
	json_decref(map);
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;
	for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
		n++;
	return n;
}

/* Cells in colour are as many as cells in letters, the legend's aside, and each has the colour of its state; without a terminal
 * that can do it they are letters. */
static void compare_colours(void)
{
	enum { KINDS_IN_LEGEND = 7 };
	int status;
	json_t *map = ask_json("map", "0");
	const char *cells = word(json_array_get(json_object_get(map, "heaps"), 0), "cells");
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t) "map", ask_target, (char *)(uintptr_t) "0", (char *)(uintptr_t) "--color",
			 (char *)(uintptr_t) "always", NULL };
	size_t changes = 0;
	for (size_t i = 1; cells[i]; i++)
		changes += (cells[i] & ~0x20) != (cells[i - 1] & ~0x20);
	setenv("LC_ALL", "C.UTF-8", 1);
	char *colour = run_text(argv, &status);
	setenv("LC_ALL", "C", 1);
	char *letters = run_text(argv, &status);
	unsetenv("LC_ALL");
	size_t full = count(colour, "\xe2\x96\x88"), shaded = count(colour, "\xe2\x96\x91");
	locale_t utf8 = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
	ck_assert_uint_eq(full + shaded, utf8 ? strlen(cells) + KINDS_IN_LEGEND : 0);
	if (utf8)
		freelocale(utf8);
	ck_assert_uint_ge(count(colour, "\x1b["), changes);
	ck_assert_uint_eq(count(letters, "\xe2"), 0);
	free(colour);
	free(letters);
	json_decref(map);
}

static void compare_all(const json_t *truth)
{
	static const char *const commands[] = { "arenas", "heaps", "bins", "tcache", "trim", "map" };
	compare_arenas(truth);
	compare_caches(truth);
	compare_chunks();
	compare_map();
	compare_colours();
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		free(ask_text(commands[i], NULL));
	free(ask_text("arena", "1"));
}

START_TEST(malloc_agrees)
{
	json_t *truth = start("lists");
	compare_all(truth);
	json_decref(truth);
}
END_TEST

START_TEST(malloc_agrees_on_a_core)
{
	json_t *truth = start("lists");
	if (!ask_core()) {
		printf("SKIP malloc_agrees_on_a_core: needs gdb\n");
		fflush(stdout);
		return;
	}
	child_end(&asked);
	compare_all(truth);
	json_t *trim = ask_json("trim", NULL);
	ck_assert(json_is_false(json_object_get(trim, "resident")));
	json_decref(trim);
	json_decref(truth);
}
END_TEST

START_TEST(wrong_words_are_told)
{
	static const struct { const char *command, *operand; } rows[] = { { "arena", "99" }, { "arena", "x" }, { "bins", "-1" }, { "tcache", "99" },
									   { "chunks", "0x10" }, { "map", "0x10" }, { "map", "77" } };
	json_decref(start("pins"));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int status;
		char *argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "exec 2>&1; exec \"$@\"", (char *)(uintptr_t) "sh",
				 (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)rows[i].command, ask_target, (char *)(uintptr_t)rows[i].operand, NULL };
		char *text = run_text(argv, &status);
		ck_assert_msg(status == 2 || status == 3, "%s %s: status %d", rows[i].command, rows[i].operand, status);
		ck_assert_msg(text && strstr(text, rows[i].operand + (*rows[i].operand == '-')), "%s", text);
		free(text);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("malloc");
	/* The names of the cases are check-glibc's too. */
	TCase *t = tcase_create("trim");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, trim_is_foretold, 0, N_MODES);
	tcase_add_test(t, trim_of_huge_pages_is_foretold);
	tcase_add_loop_test(t, tops_are_foretold, 0, 2);
	tcase_add_loop_test(t, settings_are_foretold, 0, 5);
	suite_add_tcase(s, t);
	t = tcase_create("lists");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, malloc_agrees);
	suite_add_tcase(s, t);
	t = tcase_create("commands");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, each_kind_has_its_line, 0, 5);
	tcase_add_test(t, malloc_agrees_on_a_core);
	tcase_add_test(t, wrong_words_are_told);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

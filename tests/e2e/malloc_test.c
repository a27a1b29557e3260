/* The commands on malloc and on memory against what malloc says of itself (malloc_info, mallinfo2), what the fixture freed on purpose,
 * and what the kernel counts before and after a malloc_trim() that was foretold. */
#include "process.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct child child;
static char directory[64], target[128];

static void clean_up(void)
{
	child_end(&child);
	if (!*directory)
		return;
	DIR *d = opendir(directory);
	for (struct dirent *e; d && (e = readdir(d));)
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(directory);
}

/* A fixture, with a variable of the environment that is its own: NULL, or NAME=VALUE. */
static json_t *start_fixture(const char *fixture, const char *mode, const char *variable)
{
	char name[64] = "";
	char *argv[] = { (char *)(uintptr_t)fixture, (char *)(uintptr_t)mode, NULL };
	atexit(clean_up);
	if (variable) {
		snprintf(name, sizeof name, "%.*s", (int)strcspn(variable, "="), variable);
		setenv(name, variable + strlen(name) + 1, 1);
	}
	ck_assert_msg(child_start(&child, argv, NULL, false), "%s %s does not start", fixture, mode);
	if (variable)
		unsetenv(name);
	json_t *truth = child_json(&child);
	ck_assert_msg(truth, "%s %s says no truth", fixture, mode);
	ck_assert_msg(child_settled(&child), "%s %s does not come to rest", fixture, mode);
	snprintf(target, sizeof target, "%d", (int)child.pid);
	return truth;
}

static json_t *start_with(const char *mode, const char *variable)
{
	return start_fixture("retention", mode, variable);
}

static json_t *start(const char *mode)
{
	return start_with(mode, strcmp(mode, "tcache") ? NULL : "GLIBC_TUNABLES=glibc.malloc.tcache_count=60000");
}

/* A core of the child, by gdb. False: there is no gdb. */
static bool take_core(void)
{
	char pid[16], prefix[80];
	int status;
	if (!have_program("gcore"))
		return false;
	snprintf(directory, sizeof directory, "/tmp/flotsam-malloc-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
	snprintf(prefix, sizeof prefix, "%s/core", directory);
	char *argv[] = { (char *)(uintptr_t) "gcore", (char *)(uintptr_t) "-o", prefix, pid, NULL };
	free(run_text(argv, &status));
	ck_assert_int_eq(status, 0);
	snprintf(target, sizeof target, "%s/core.%s", directory, pid);
	return true;
}

static json_t *ask(const char *command, const char *operand)
{
	int status;
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)command, target, (char *)(uintptr_t) "--format", (char *)(uintptr_t) "json",
			 (char *)(uintptr_t)operand, NULL };
	json_t *j = run_json(argv, &status);
	ck_assert_msg(j, "flotsam %s %s prints no JSON", command, target);
	ck_assert_msg(status == 0, "flotsam %s %s ended with %d", command, target, status);
	return j;
}

static char *ask_text(const char *command, const char *operand)
{
	int status;
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)command, target, (char *)(uintptr_t)operand, NULL };
	char *text = run_text(argv, &status);
	ck_assert_msg(text && status == 0, "flotsam %s %s ended with %d", command, target, status);
	for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
		ck_assert_msg(end - line <= 80, "flotsam %s: a line of %d columns: %.*s", command, (int)(end - line), (int)(end - line), line);
	return text;
}

static int64_t number(const json_t *j, const char *key)
{
	const json_t *v = json_object_get(j, key);
	ck_assert_msg(json_is_integer(v), "no number '%s'", key);
	return json_integer_value(v);
}

static const char *word(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));
	ck_assert_msg(s, "no text '%s'", key);
	return s;
}

/* A field of /proc/PID/smaps_rollup: the pages are counted as it is read. */
static int64_t rollup(const char *field)
{
	char path[64], line[256];
	int64_t kib = -1;
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)child.pid);
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
			kib = strtoll(line + strlen(field) + 1, NULL, 10);
	fclose(f);
	ck_assert_int_ge(kib, 0);
	return kib * 1024;
}

static void command(const char *line)
{
	ck_assert_int_eq(write(child.in, line, strlen(line)), (ssize_t)strlen(line));
	json_t *done = child_json(&child);
	ck_assert_msg(done, "no answer to %s", line);
	json_decref(done);
	ck_assert(child_settled(&child));
}

/* Within 2 % or 1 MiB, whichever is more. */
static void close_to(const char *what, int64_t foretold, int64_t real)
{
	int64_t off = llabs(foretold - real), allowed = real / 50 > 1 << 20 ? real / 50 : 1 << 20;
	ck_assert_msg(off <= allowed, "%s: %" PRId64 " foretold, %" PRId64 " in truth", what, foretold, real);
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

static const char *const modes[] = { "one", "arenas", "tops", "fastbins", "tcache", "lists", "pins", "large" };
enum { N_MODES = sizeof modes / sizeof *modes };

/* Bytes of the range that the kernel holds in memory, asked of it page by page: Linux, Documentation/admin-guide/mm/pagemap.rst,
 * bit 63. */
static int64_t present(uint64_t from, uint64_t to)
{
	char path[64];
	uint64_t entry;
	int64_t sum = 0, page = sysconf(_SC_PAGESIZE);
	snprintf(path, sizeof path, "/proc/%d/pagemap", (int)child.pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	for (; from < to; from += (uint64_t)page)
		if (pread(fd, &entry, sizeof entry, (off_t)(from / (uint64_t)page * sizeof entry)) == sizeof entry && entry >> 63)
			sum += page;
	close(fd);
	return sum;
}

static uint64_t address(const json_t *j, const char *key)
{
	return strtoull(word(j, key), NULL, 16);
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
	json_decref(start(modes[_i]));
	json_t *trim = ask("trim", NULL), *report = ask("report", NULL), *heaps = ask("heaps", NULL), *cause;
	const json_t *arenas = json_object_get(trim, "arenas");
	ck_assert(json_is_true(json_object_get(trim, "resident")));
	int64_t foretold = number(json_object_get(trim, "sum"), "trim_bytes"), before = rollup("Rss"), sum = 0;
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
	command("trim\n");
	close_to(modes[_i], foretold, before - rollup("Rss"));
	json_array_foreach(arenas, i, cause)
		close_to("an arena", number(cause, "trim_bytes"), held[i] - present_of(heaps, (int64_t)i));
	/* What is left is nothing; fastbins are empty now. */
	json_t *after = ask("trim", NULL);
	ck_assert_int_le(number(json_object_get(after, "sum"), "trim_bytes"), 64 << 10);
	ck_assert_ptr_null(means(after, "fastbins"));
	free(ask_text("trim", NULL));
	json_decref(trim);
	json_decref(report);
	json_decref(heaps);
	json_decref(after);
}
END_TEST

START_TEST(each_kind_has_its_line)
{
	/* What each fixture is made for shows in its line, and is much. */
	static const struct { const char *mode, *line; } rows[] = { { "fastbins", "fastbins" }, { "tcache", "tcache" }, { "tops", "trim_threshold" },
								     { "arenas", "arena_max" }, { "large", "mmap_threshold" } };
	json_decref(start(rows[_i].mode));
	json_t *trim = ask("trim", NULL);
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
	json_decref(start("tops"));
	json_t *trim = ask("trim", NULL);
	int64_t foretold = number(means(trim, "trim_threshold"), "bytes"), before = rollup("Rss");
	ck_assert_int_ge(number(json_object_get(trim, "sum"), "thread_top_bytes"), foretold);
	command("cut\n");
	close_to("tops", foretold, before - rollup("Rss"));
	json_decref(trim);
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
	json_decref(start(rows[_i].mode));
	json_t *trim = ask("trim", NULL);
	const json_t *m = means_for(trim, rows[_i].line, rows[_i].setting);
	if (rows[_i].trimmed)
		command("trim\n");
	int64_t before = rollup("Rss");
	child_end(&child);
	json_decref(start_with(rows[_i].mode, rows[_i].variable));
	if (rows[_i].trimmed)
		command("trim\n");
	int64_t saved = before - rollup("Rss");
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
	json_t *arenas = ask("arenas", NULL), *bins = ask("bins", NULL), *heaps = ask("heaps", NULL), *want, *row;
	size_t i, k;
	int64_t ordblks = 0, smblks = 0, fordblks = 0;
	json_array_foreach(json_object_get(truth, "arenas"), i, want) {
		char index[24];
		snprintf(index, sizeof index, "%zu", i);
		json_t *a = ask("arena", index);
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
	json_decref(arenas);
	json_decref(bins);
	json_decref(heaps);
}

static void compare_caches(const json_t *truth)
{
	json_t *caches = ask("tcache", NULL), *heaps = ask("heaps", NULL), *want, *row;
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
	json_t *one = ask("tcache", tid);
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
	json_t *heaps = ask("heaps", NULL), *row;
	int status;
	size_t i;
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t) "chunks", target, (char *)(uintptr_t)word(json_array_get(heaps, 0), "start"),
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
	json_t *map = ask("map", "0"), *row;
	const json_t *heap = json_array_get(json_object_get(map, "heaps"), 0);
	const char *cells = word(heap, "cells");
	uint64_t start = address(heap, "start"), end = address(heap, "end"), cell = (uint64_t)number(map, "cell_bytes");
	ck_assert_int_eq(strlen(cells), (end - start + cell - 1) / cell);
	int64_t(*weights)[KINDS] = calloc(strlen(cells), sizeof *weights);
	int status;
	size_t i;
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t) "chunks", target, (char *)(uintptr_t)word(heap, "start"),
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

static void compare_all(const json_t *truth)
{
	static const char *const commands[] = { "arenas", "heaps", "bins", "tcache", "trim", "map" };
	compare_arenas(truth);
	compare_caches(truth);
	compare_chunks();
	compare_map();
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
	if (!take_core()) {
		printf("SKIP malloc_agrees_on_a_core: needs gdb\n");
		fflush(stdout);
		return;
	}
	child_end(&child);
	compare_all(truth);
	json_t *trim = ask("trim", NULL);
	ck_assert(json_is_false(json_object_get(trim, "resident")));
	json_decref(trim);
	json_decref(truth);
}
END_TEST

START_TEST(pins_are_found)
{
	json_t *truth = start("pins"), *frag = ask("frag", NULL), *want, *row;
	size_t i, k;
	ck_assert_int_eq(json_array_size(json_object_get(truth, "pins")), 7);
	json_array_foreach(json_object_get(truth, "pins"), i, want) {
		unsigned found = 0;
		int64_t below = number(want, "below");
		json_array_foreach(json_object_get(frag, "pins"), k, row) {
			if (strcmp(word(row, "block"), word(want, "address")) != 0)
				continue;
			found++;
			ck_assert_int_eq(number(row, "size"), 40);
			ck_assert_ptr_nonnull(strstr(word(row, "holder"), "g_kept"));
			/* What the runtime freed before may lie below as well. */
			ck_assert_int_ge(number(row, "free_bytes"), below);
			ck_assert_int_le(number(row, "free_bytes"), below + 65536);
			ck_assert_int_ge(number(row, "freed_bytes"), below + 48);
			close_to("resident below a pin", number(row, "freed_resident_bytes"), below);
		}
		ck_assert_msg(found == 1, "%s is found %u times", word(want, "address"), found);
	}
	json_t *report = ask("report", NULL);
	ck_assert_int_eq(json_array_size(json_object_get(json_object_get(report, "heap"), "pins")), 7);
	free(ask_text("frag", NULL));
	json_decref(report);
	json_decref(frag);
	json_decref(truth);
}
END_TEST

START_TEST(sparse_pages_are_counted)
{
	json_t *truth = start("sparse"), *frag = ask("frag", NULL), *arenas = ask("arenas", NULL), *report = ask("report", NULL), *row;
	const json_t *want = json_object_get(truth, "sparse"), *sparse = json_object_get(frag, "sparse");
	const json_t *first = json_array_get(json_object_get(sparse, "labels"), 0);
	ck_assert_int_eq(number(first, "min_size"), 40);
	ck_assert_int_eq(number(first, "max_size"), 40);
	/* At both ends of the heap something else may live on the page. */
	ck_assert_int_le(llabs(number(first, "pages") - number(want, "pages")), 2);
	ck_assert_int_le(llabs(number(first, "blocks") - number(want, "blocks")), 4);
	ck_assert_int_le(llabs(number(first, "live_bytes") - number(want, "blocks") * 48), 200);
	ck_assert_str_eq(word(json_object_get(json_object_get(report, "heap"), "sparse"), "label"), "40 B");
	int64_t bytes = 0, largest = 0;
	double before = -1;
	size_t i;
	json_array_foreach(json_object_get(frag, "runs"), i, row) {
		double unusable = json_number_value(json_object_get(row, "unusable"));
		ck_assert(unusable > before && unusable < 1);
		before = unusable;
		bytes += number(row, "bytes");
	}
	ck_assert_int_eq(bytes, number(frag, "free_bytes"));
	json_array_foreach(arenas, i, row)
		largest = largest > number(row, "largest_free_bytes") ? largest : number(row, "largest_free_bytes");
	ck_assert_int_eq(number(frag, "largest_free_bytes"), largest);
	char *text = ask_text("report", NULL);
	ck_assert_msg(strstr(text, "192 KiB of 40-byte blocks keep 15.9 MiB resident"), "%s", text);
	free(text);
	json_decref(report);
	json_decref(arenas);
	json_decref(frag);
	json_decref(truth);
}
END_TEST

/* The mapping that begins at `start`, as smaps tells it: bytes of a field. */
static int64_t smaps(const char *start, const char *field)
{
	char path[64], line[512], head[32];
	int64_t kib = -1;
	bool here = false;
	snprintf(path, sizeof path, "/proc/%d/smaps", (int)child.pid);
	snprintf(head, sizeof head, "%s-", start + 2);
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f)) {
		if (strchr("0123456789abcdef", *line))
			here = !strncmp(line, head, strlen(head));
		else if (here && !strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
			kib = strtoll(line + strlen(field) + 1, NULL, 10);
	}
	fclose(f);
	return kib * 1024;
}

static const json_t *place_of(json_t **to, const char *operand)
{
	json_decref(*to);
	return *to = ask("maps", operand);
}

START_TEST(mappings_agree)
{
	json_t *truth = start("pins"), *maps = ask("maps", NULL), *row, *one = NULL;
	size_t i, heaps = 0, stacks = 0;
	json_array_foreach(maps, i, row) {
		const char *at = word(row, "start"), *kind = word(row, "kind");
		heaps += !strcmp(kind, "heap");
		stacks += !strcmp(kind, "stack");
		if (!strcmp(kind, "kernel"))
			continue;
		ck_assert_msg(number(row, "resident_bytes") == smaps(at, "Rss"), "%s: %" PRId64 " of %" PRId64 " resident", at, number(row, "resident_bytes"),
			      smaps(at, "Rss"));
		ck_assert_int_eq(number(row, "swapped_bytes"), smaps(at, "Swap"));
		ck_assert_int_eq(number(row, "bytes"), smaps(at, "Size"));
	}
	ck_assert_int_eq(heaps, 7);
	ck_assert_int_eq(stacks, 7);
	const char *block = word(json_array_get(json_object_get(truth, "pins"), 3), "address");
	char inside[40];
	snprintf(inside, sizeof inside, "%s+8", block);
	place_of(&one, inside);
	ck_assert_str_eq(word(json_object_get(one, "block"), "address"), block);
	ck_assert_str_eq(word(json_object_get(one, "block"), "class"), "reachable");
	ck_assert_str_eq(word(json_object_get(one, "mapping"), "kind"), "heap");
	ck_assert_str_eq(word(one, "page"), "resident");
	place_of(&one, "g_kept");
	ck_assert_str_eq(word(one, "place"), "g_kept");
	ck_assert(json_is_null(json_object_get(one, "block")));
	place_of(&one, "0x1000");
	ck_assert_str_eq(word(one, "place"), "not mapped");
	ck_assert(json_is_null(json_object_get(one, "mapping")));
	free(ask_text("maps", "main"));
	free(ask_text("maps", NULL));
	json_decref(one);
	json_decref(maps);
	json_decref(truth);
}
END_TEST

START_TEST(rss_agrees)
{
	json_t *truth = start("lists"), *rss = ask("rss", NULL), *row;
	const json_t *kernel = json_object_get(rss, "kernel"), *table = json_object_get(rss, "rss"), *split = json_object_get(rss, "split");
	int64_t total = number(table, "total_bytes"), sum = 0, causes = 0;
	size_t i;
	/* Nothing but the fixture's own sleep lies between the two. */
	ck_assert_int_eq(number(kernel, "rss_bytes"), rollup("Rss"));
	close_to("PSS", number(kernel, "pss_bytes"), rollup("Pss"));
	close_to("USS", number(kernel, "uss_bytes"), rollup("Private_Clean") + rollup("Private_Dirty"));
	ck_assert_int_eq(number(kernel, "anon_huge_bytes"), rollup("AnonHugePages"));
	ck_assert_int_eq(number(kernel, "locked_bytes"), rollup("Locked"));
	ck_assert_int_gt(number(kernel, "page_table_bytes"), 0);
	close_to("RSS", total, rollup("Rss"));
	ck_assert_int_le(number(table, "unexplained_bytes"), total / 100);
	json_array_foreach(json_object_get(split, "mappings"), i, row)
		sum += number(row, "bytes");
	ck_assert_int_eq(sum, total);
	/* The heaps and mapped blocks of the arenas are those of the mappings, page ends aside. */
	json_array_foreach(json_object_get(split, "arenas"), i, row) {
		const json_t *cause;
		const char *key;
		int64_t part = 0;
		json_object_foreach(json_object_get(row, "causes"), key, cause)
			part += json_integer_value(cause);
		ck_assert_int_eq(part, number(row, "bytes"));
		causes += part;
	}
	json_array_foreach(json_object_get(split, "mappings"), i, row)
		if (!strncmp(word(row, "name"), "malloc's", 8))
			causes -= number(row, "bytes");
	ck_assert_int_le(llabs(causes), 64 << 10);
	ck_assert_int_eq(number(json_array_get(json_object_get(split, "runtime"), 0), "blocks"), 7); /* a tcache each */
	free(ask_text("rss", "-v"));
	json_decref(rss);
	json_decref(truth);
}
END_TEST

/* Every kind of page: what the kernel counts stands in the JSON, and what flotsam counts by itself is the same. */
START_TEST(pages_of_all_kinds)
{
	static const struct { const char *key, *field; } rows[] = {
		{ "rss_bytes", "Rss" },
		{ "anon_huge_bytes", "AnonHugePages" }, { "shmem_huge_bytes", "ShmemPmdMapped" }, { "swap_bytes", "Swap" }, { "locked_bytes", "Locked" },
	};
	json_t *truth = start_fixture("pages", NULL, NULL);
	int64_t both = rollup("Shared_Dirty");
	json_t *rss = ask("rss", NULL), *maps = ask("maps", NULL), *row;
	const json_t *kernel = json_object_get(rss, "kernel"), *table = json_object_get(rss, "rss");
	int64_t huge = 0, swapped = 0, shared = -1, doubled = number(truth, "doubled");
	size_t i;
	for (i = 0; i < sizeof rows / sizeof *rows; i++)
		ck_assert_msg(number(kernel, rows[i].key) == rollup(rows[i].field), "%s: %" PRId64 ", not %" PRId64, rows[i].key, number(kernel, rows[i].key),
			      rollup(rows[i].field));
	/* Who else maps the libraries changes all the time. */
	close_to("PSS", number(kernel, "pss_bytes"), rollup("Pss"));
	close_to("USS", number(kernel, "uss_bytes"), rollup("Private_Clean") + rollup("Private_Dirty"));
	close_to("shared, clean", number(kernel, "shared_clean_bytes"), rollup("Shared_Clean"));
	ck_assert_int_eq(number(kernel, "locked_bytes"), number(truth, "locked"));
	ck_assert_int_ge(number(kernel, "shared_dirty_bytes"), doubled);
	/* To be looked at unshares nothing; the other process may write to a page or two of its own accord. */
	ck_assert_int_le(llabs(number(kernel, "shared_dirty_bytes") - both), 64 << 10);
	ck_assert_int_le(llabs(rollup("Shared_Dirty") - both), 64 << 10);
	ck_assert_int_le(number(kernel, "pss_bytes"), number(kernel, "rss_bytes") - doubled / 2);
	ck_assert_int_le(number(kernel, "uss_bytes"), number(kernel, "rss_bytes") - doubled);
	/* The zero page is no page of it. */
	close_to("RSS", number(table, "total_bytes"), rollup("Rss"));
	ck_assert_int_eq(number(table, "swapped_bytes"), rollup("Swap"));
	json_array_foreach(json_object_get(table, "causes"), i, row)
		if (!strcmp(word(row, "cause"), "shared_memory"))
			shared = number(row, "bytes");
	ck_assert_int_eq(shared, number(truth, "shared"));
	json_array_foreach(maps, i, row) {
		huge += number(row, "huge_bytes");
		swapped += number(row, "swapped_bytes");
	}
	ck_assert_int_eq(huge, rollup("AnonHugePages"));
	ck_assert_int_eq(swapped, rollup("Swap"));
	char *text = ask_text("rss", "-v");
	ck_assert_msg(strstr(text, "PSS") && strstr(text, "USS") && strstr(text, "page tables") && strstr(text, "/memfd:shared"), "%s", text);
	free(text);
	json_decref(maps);
	json_decref(rss);
	json_decref(truth);
}
END_TEST

START_TEST(modules_agree)
{
	json_decref(start("pins"));
	json_t *modules = ask("modules", NULL), *row;
	unsigned compared = 0;
	size_t i;
	if (!have_program("readelf")) {
		printf("SKIP modules_agree: needs binutils\n");
		fflush(stdout);
		return;
	}
	json_array_foreach(modules, i, row) {
		int status;
		char *path = (char *)(uintptr_t)word(row, "path");
		if (*path != '/')
			continue;
		char *argv[] = { (char *)(uintptr_t) "readelf", (char *)(uintptr_t) "-nSW", path, NULL };
		char *text = run_text(argv, &status);
		ck_assert(text && !status);
		ck_assert_msg(strstr(text, word(row, "build_id")), "%s: build-id %s", path, word(row, "build_id"));
		if (strstr(text, ".symtab"))
			ck_assert_str_eq(word(row, "symbols"), "full");
		if (strstr(text, ".debug_info"))
			ck_assert(json_is_true(json_object_get(row, "dwarf")));
		ck_assert(json_is_true(json_object_get(row, "dwarf")) == json_is_null(json_object_get(row, "why")));
		compared++;
		free(text);
	}
	ck_assert_int_ge(compared, 3);
	free(ask_text("modules", NULL));
	json_decref(modules);
}
END_TEST

START_TEST(memory_of_a_core)
{
	json_t *truth = start("pins");
	if (!take_core()) {
		printf("SKIP memory_of_a_core: needs gdb\n");
		fflush(stdout);
		return;
	}
	child_end(&child);
	json_t *rss = ask("rss", NULL), *maps = ask("maps", NULL), *frag = ask("frag", NULL), *modules = ask("modules", NULL);
	ck_assert(json_is_null(json_object_get(rss, "kernel")));
	ck_assert(json_is_false(json_object_get(json_object_get(rss, "rss"), "resident")));
	ck_assert(json_is_null(json_object_get(json_array_get(maps, 0), "swapped_bytes")));
	ck_assert_int_eq(json_array_size(json_object_get(frag, "pins")), 7);
	ck_assert_int_ge(json_array_size(modules), 3);
	char *text = ask_text("rss", "-v");
	ck_assert_ptr_nonnull(strstr(text, "these are sizes"));
	free(text);
	free(ask_text("frag", NULL));
	json_decref(rss);
	json_decref(maps);
	json_decref(frag);
	json_decref(modules);
	json_decref(truth);
}
END_TEST

START_TEST(wrong_words_are_told)
{
	static const struct { const char *command, *operand; } rows[] = { { "arena", "99" }, { "arena", "x" }, { "bins", "-1" }, { "tcache", "1" },
									   { "chunks", "0x10" }, { "map", "0x10" }, { "map", "77" } };
	json_decref(start("pins"));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int status;
		char *argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "exec 2>&1; exec \"$@\"", (char *)(uintptr_t) "sh",
				 (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)rows[i].command, target, (char *)(uintptr_t)rows[i].operand, NULL };
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
	tcase_add_test(t, tops_are_foretold);
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
	tcase_add_test(t, pins_are_found);
	tcase_add_test(t, sparse_pages_are_counted);
	tcase_add_test(t, mappings_agree);
	tcase_add_test(t, rss_agrees);
	tcase_add_test(t, pages_of_all_kinds);
	tcase_add_test(t, modules_agree);
	tcase_add_test(t, memory_of_a_core);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

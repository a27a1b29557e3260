/* Who pins the heap, what is mapped and where resident memory went, against what the fixture left on purpose and what the kernel
 * counts (smaps, smaps_rollup); of a core against the same process while it lived. */
#include "ask.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *start(const char *mode)
{
	return ask_start("retention", mode, NULL);
}

START_TEST(pins_are_found)
{
	json_t *truth = start("pins"), *frag = ask_json("frag", NULL), *want, *row;
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
	json_t *report = ask_json("report", NULL);
	ck_assert_int_eq(json_array_size(json_object_get(json_object_get(report, "heap"), "pins")), 7);
	free(ask_text("frag", NULL));
	json_decref(report);
	json_decref(frag);
	json_decref(truth);
}
END_TEST

/* The runs once more, from the list of chunks: neighbours that are free joined, each counted by the power of two below it. */
static void recount_runs(const json_t *frag, const char *heap)
{
	enum { CLASSES = 64 };
	int64_t runs[CLASSES] = { 0 }, bytes[CLASSES] = { 0 }, free_bytes = 0, shorter = 0;
	uint64_t run = 0;
	int status;
	size_t i;
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t) "chunks", ask_target, (char *)(uintptr_t)heap, (char *)(uintptr_t) "100000",
			 (char *)(uintptr_t) "--format", (char *)(uintptr_t) "json", NULL };
	json_t *chunks = run_json(argv, &status), *row;
	ck_assert(chunks && status == 0);
	for (i = 0; i <= json_array_size(chunks); i++) {
		const json_t *c = json_array_get(chunks, i);
		const char *state = c ? word(c, "state") : "end";
		if (!strcmp(state, "fastbin") || !strcmp(state, "unsorted") || !strcmp(state, "smallbin") || !strcmp(state, "largebin") || !strcmp(state, "top")) {
			run += (uint64_t)number(c, "chunk_bytes");
			continue;
		}
		if (run) {
			runs[63 - __builtin_clzll(run)]++;
			bytes[63 - __builtin_clzll(run)] += (int64_t)run;
			free_bytes += (int64_t)run;
		}
		run = 0;
	}
	ck_assert_int_eq(free_bytes, number(frag, "free_bytes"));
	json_array_foreach(json_object_get(frag, "runs"), i, row) {
		int class = 63 - __builtin_clzll((uint64_t)number(row, "at_least"));
		ck_assert_int_eq(number(row, "runs"), runs[class]);
		ck_assert_int_eq(number(row, "bytes"), bytes[class]);
		double share = (double)shorter / (double)free_bytes, told = json_number_value(json_object_get(row, "unusable"));
		ck_assert_msg(told > share - 1e-4 && told < share + 1e-4, "%f, not %f", told, share);
		shorter += bytes[class];
	}
	ck_assert_int_eq(shorter, free_bytes);
	json_decref(chunks);
}

/* The pins freed, and nothing cached or kept at tops: what frag said of them goes back. */
START_TEST(pins_held_what_frag_says)
{
	json_decref(ask_start("retention", "pins", "GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.top_pad=0"));
	json_t *frag = ask_json("frag", NULL), *row;
	int64_t foretold = 0, before = ask_rollup("Rss");
	size_t i;
	json_array_foreach(json_object_get(frag, "pins"), i, row)
		foretold += number(row, "freed_resident_bytes");
	ck_assert_int_gt(foretold, 7 * (8 << 20) - (1 << 20));
	ask_fixture("cut\n");
	int64_t pinned = ask_rollup("Rss");
	close_to("tops without them", 0, before - pinned);
	ask_fixture("unpin\n");
	ask_fixture("cut\n");
	close_to("pins", foretold, pinned - ask_rollup("Rss"));
	json_decref(frag);
}
END_TEST

/* The mapping that begins at `start`, as smaps tells it: bytes of a field. */
static int64_t smaps(const char *start, const char *field)
{
	char path[64], line[512], head[32];
	int64_t kib = -1;
	bool here = false;
	snprintf(path, sizeof path, "/proc/%d/smaps", (int)asked.pid);
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

/* Of the one heap: what the kernel holds of it over what is in use. */
static void recount_fragmentation(const json_t *frag, const char *heap)
{
	int64_t resident = smaps(heap, "Rss");
	double want = (double)resident / (double)number(frag, "used_bytes") - 1, told = json_number_value(json_object_get(frag, "fragmentation"));
	ck_assert_int_eq(number(frag, "heap_resident_bytes"), resident);
	ck_assert_msg(told > want - 1e-3 && told < want + 1e-3, "%f, not %f", told, want);
}

START_TEST(sparse_pages_are_counted)
{
	json_t *truth = start("sparse"), *frag = ask_json("frag", "--types=vtable"), *arenas = ask_json("arenas", NULL), *report = ask_json("report", "--types=vtable"), *row;
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
	json_t *heaps = ask_json("heaps", NULL);
	ck_assert_int_eq(json_array_size(heaps), 1);
	recount_runs(frag, word(json_array_get(heaps, 0), "start"));
	recount_fragmentation(frag, word(json_array_get(heaps, 0), "start"));
	json_decref(heaps);
	char *text = ask_text("report", NULL);
	ck_assert_msg(strstr(text, "192 KiB of 40-byte blocks keep 15.9 MiB resident"), "%s", text);
	free(text);
	/* Without those blocks the pages go back, and not before. */
	ask_fixture("trim\n");
	int64_t kept = ask_rollup("Rss");
	ask_fixture("empty\n");
	ask_fixture("trim\n");
	close_to("sparse pages", number(sparse, "bytes"), kept - ask_rollup("Rss"));
	json_decref(report);
	json_decref(arenas);
	json_decref(frag);
	json_decref(truth);
}
END_TEST

static const json_t *place_of(json_t **to, const char *operand)
{
	json_decref(*to);
	return *to = ask_json("maps", operand);
}

START_TEST(mappings_agree)
{
	json_t *truth = start("pins"), *maps = ask_json("maps", NULL), *row, *one = NULL;
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
	json_t *truth = start("lists"), *rss = ask_json("rss", NULL), *row;
	const json_t *kernel = json_object_get(rss, "kernel"), *table = json_object_get(rss, "rss"), *split = json_object_get(rss, "split");
	int64_t total = number(table, "total_bytes"), sum = 0, causes = 0;
	size_t i;
	/* Nothing but the fixture's own sleep lies between the two. */
	ck_assert_int_eq(number(kernel, "rss_bytes"), ask_rollup("Rss"));
	close_to("PSS", number(kernel, "pss_bytes"), ask_rollup("Pss"));
	close_to("USS", number(kernel, "uss_bytes"), ask_rollup("Private_Clean") + ask_rollup("Private_Dirty"));
	ck_assert_int_eq(number(kernel, "anon_huge_bytes"), ask_rollup("AnonHugePages"));
	ck_assert_int_eq(number(kernel, "locked_bytes"), ask_rollup("Locked"));
	ck_assert_int_gt(number(kernel, "page_table_bytes"), 0);
	close_to("RSS", total, ask_rollup("Rss"));
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
	json_t *truth = ask_start("pages", NULL, NULL);
	int64_t both = ask_rollup("Shared_Dirty");
	json_t *rss = ask_json("rss", NULL), *maps = ask_json("maps", NULL), *row;
	const json_t *kernel = json_object_get(rss, "kernel"), *table = json_object_get(rss, "rss");
	int64_t huge = 0, swapped = 0, block = 0, shared = -1, doubled = number(truth, "doubled");
	size_t i;
	for (i = 0; i < sizeof rows / sizeof *rows; i++)
		ck_assert_msg(number(kernel, rows[i].key) == ask_rollup(rows[i].field), "%s: %" PRId64 ", not %" PRId64, rows[i].key, number(kernel, rows[i].key),
			      ask_rollup(rows[i].field));
	/* Who else maps the libraries changes all the time. */
	close_to("PSS", number(kernel, "pss_bytes"), ask_rollup("Pss"));
	close_to("USS", number(kernel, "uss_bytes"), ask_rollup("Private_Clean") + ask_rollup("Private_Dirty"));
	close_to("shared, clean", number(kernel, "shared_clean_bytes"), ask_rollup("Shared_Clean"));
	ck_assert_int_eq(number(kernel, "locked_bytes"), number(truth, "locked"));
	ck_assert_int_ge(number(kernel, "shared_dirty_bytes"), doubled);
	/* To be looked at unshares nothing; the other process may write to a page or two of its own accord. */
	ck_assert_int_le(llabs(number(kernel, "shared_dirty_bytes") - both), 64 << 10);
	ck_assert_int_le(llabs(ask_rollup("Shared_Dirty") - both), 64 << 10);
	ck_assert_int_le(number(kernel, "pss_bytes"), number(kernel, "rss_bytes") - doubled / 2);
	ck_assert_int_le(number(kernel, "uss_bytes"), number(kernel, "rss_bytes") - doubled);
	/* The zero page is no page of it. */
	close_to("RSS", number(table, "total_bytes"), ask_rollup("Rss"));
	ck_assert_int_eq(number(table, "swapped_bytes"), ask_rollup("Swap"));
	json_array_foreach(json_object_get(table, "causes"), i, row)
		if (!strcmp(word(row, "cause"), "shared_memory"))
			shared = number(row, "bytes");
	ck_assert_int_eq(shared, number(truth, "shared"));
	json_array_foreach(maps, i, row) {
		block += strcmp(word(row, "kind"), "blocks") ? 0 : number(row, "malloc_bytes");
		huge += number(row, "huge_bytes");
		swapped += number(row, "swapped_bytes");
	}
	/* Its header, and the page that this takes it to. */
	ck_assert_int_eq(block, number(truth, "block") + sysconf(_SC_PAGESIZE));
	json_array_foreach(json_object_get(json_object_get(rss, "split"), "mappings"), i, row)
		if (!strcmp(word(row, "name"), "malloc's mapped blocks"))
			ck_assert_int_eq(number(row, "bytes"), block);
	ck_assert_int_eq(huge, ask_rollup("AnonHugePages"));
	ck_assert_int_eq(swapped, ask_rollup("Swap"));
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
	json_t *modules = ask_json("modules", NULL), *row;
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

/* By size, so more than was resident; no less than the heaps and mapped blocks of malloc. */
static void compare_rss_of_core(const json_t *live, const json_t *core)
{
	const json_t *table = json_object_get(core, "rss"), *heaps = ask_json("heaps", NULL), *row;
	int64_t sum = number(table, "unexplained_bytes"), causes = 0;
	size_t i;
	ck_assert(json_is_null(json_object_get(core, "kernel")));
	ck_assert(json_is_false(json_object_get(table, "resident")));
	ck_assert(json_is_null(json_object_get(table, "vmrss_bytes")));
	ck_assert_int_eq(number(table, "unexplained_bytes"), 0);
	json_array_foreach(json_object_get(table, "causes"), i, row)
		sum += number(row, "bytes");
	ck_assert_int_eq(sum, number(table, "total_bytes"));
	for (i = 0; i < 2; i++) /* the program's own blocks were resident all of them */
		ck_assert_int_eq(number(json_array_get(json_object_get(table, "causes"), i), "blocks"),
				 number(json_array_get(json_object_get(json_object_get(live, "rss"), "causes"), i), "blocks"));
	json_array_foreach(json_object_get(json_object_get(core, "split"), "arenas"), i, row)
		causes += number(row, "bytes");
	json_array_foreach(heaps, i, row)
		causes -= number(row, "bytes");
	ck_assert_int_eq(causes, 0);
	json_decref((json_t *)(uintptr_t)heaps);
}

/* The same blocks lie last, and free memory is cut up in the same way. */
static void compare_frag_of_core(const json_t *live, const json_t *core)
{
	static const char *const keys[] = { "heap_bytes", "used_blocks", "used_bytes", "free_bytes", "largest_free_bytes", "top_bytes" };
	static const char *const of_pins[] = { "block", "heap", "label", "state" };
	const json_t *row;
	size_t i;
	for (i = 0; i < sizeof keys / sizeof *keys; i++)
		ck_assert_int_eq(number(core, keys[i]), number(live, keys[i]));
	ck_assert(json_equal(json_object_get(core, "runs"), json_object_get(live, "runs")));
	ck_assert_int_eq(json_array_size(json_object_get(core, "pins")), json_array_size(json_object_get(live, "pins")));
	json_array_foreach(json_object_get(core, "pins"), i, row)
		for (size_t k = 0; k < sizeof of_pins / sizeof *of_pins; k++)
			ck_assert_str_eq(word(row, of_pins[k]), word(json_array_get(json_object_get(live, "pins"), i), of_pins[k]));
	ck_assert(json_is_false(json_object_get(core, "resident")));
}

/* What can be written is in both, and is the same there. */
static void compare_maps_of_core(const json_t *live, const json_t *core)
{
	const json_t *row, *other;
	unsigned compared = 0;
	size_t i, k;
	json_array_foreach(live, i, row) {
		if (word(row, "protection")[1] != 'w')
			continue;
		bool found = false;
		json_array_foreach(core, k, other)
			if (!strcmp(word(other, "start"), word(row, "start"))) {
				found = true;
				ck_assert_str_eq(word(other, "kind"), word(row, "kind"));
				ck_assert_int_eq(number(other, "bytes"), number(row, "bytes"));
				ck_assert_int_eq(number(other, "resident_bytes"), number(row, "bytes"));
				ck_assert(json_is_null(json_object_get(other, "swapped_bytes")));
			}
		ck_assert_msg(found, "%s %s is not in the core", word(row, "start"), word(row, "what"));
		compared++;
	}
	ck_assert_int_gt(compared, 14);
}

START_TEST(memory_of_a_core)
{
	static const char *const commands[] = { "rss", "maps", "frag", "modules" };
	enum { RSS, MAPS, FRAG, MODULES, N };
	static const char *const texts[] = { "rss", "maps", "frag", "modules", "trim", "map" };
	json_t *truth = start("pins"), *live[N], *core[N], *row;
	size_t i;
	for (i = 0; i < N; i++)
		live[i] = ask_json(commands[i], NULL);
	if (!ask_core()) {
		printf("SKIP memory_of_a_core: needs gdb\n");
		fflush(stdout);
		return;
	}
	child_end(&asked);
	for (i = 0; i < N; i++)
		core[i] = ask_json(commands[i], NULL);
	compare_rss_of_core(live[RSS], core[RSS]);
	compare_frag_of_core(live[FRAG], core[FRAG]);
	compare_maps_of_core(live[MAPS], core[MAPS]);
	json_array_foreach(live[MODULES], i, row) {
		const json_t *same = json_array_get(core[MODULES], i);
		ck_assert_str_eq(word(same, "name"), word(row, "name"));
		ck_assert_str_eq(word(same, "start"), word(row, "start"));
		ck_assert(json_equal(json_object_get(same, "build_id"), json_object_get(row, "build_id")));
	}
	for (i = 0; i < sizeof texts / sizeof *texts; i++)
		free(ask_text(texts[i], NULL));
	char *text = ask_text("rss", "-v");
	ck_assert_ptr_nonnull(strstr(text, "these are sizes"));
	free(text);
	const char *block = word(json_array_get(json_object_get(truth, "pins"), 3), "address");
	json_t *place = ask_json("maps", block);
	ck_assert_str_eq(word(json_object_get(place, "block"), "address"), block);
	ck_assert_ptr_nonnull(strstr(word(place, "page"), "not known"));
	free(ask_text("maps", block));
	json_decref(place);
	for (i = 0; i < N; i++) {
		json_decref(live[i]);
		json_decref(core[i]);
	}
	json_decref(truth);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("memory");
	TCase *t = tcase_create("commands");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, pins_are_found);
	tcase_add_test(t, pins_held_what_frag_says);
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

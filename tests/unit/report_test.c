/* The report of results made by hand, against pages that were read by people: tests/golden/report-*. What must hold of any
 * page is checked beside it: 80 columns, nothing that drives a terminal, sums that add up. WRITE_GOLDEN=1 writes the pages
 * anew; look at the difference before it is committed. */
#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/cmd/cmd.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)

/* What a target may call its things. */
#define EVIL_CLASS "Evil\033[2J\007<\n\"\\Class"
#define EVIL_GLOBAL "g_\x9b\xff_cache\r"
static const char utf8_name[] = "Größe::größer";

struct scene {
	struct report report;
	struct session session;
	struct target target;
	struct target_row row;
	struct alloc alloc;
	struct blocks blocks;
	struct graph graph;
	struct arguments arguments;
	struct leak_group leaks[3];
	struct holder_line holders[5];
	struct pin pins[1];
	struct arena_line arenas[2];
	char *notes[2];
	struct finding findings[7];
	const struct finding *finding_list[7];
	struct skipped skipped[2];
};

#define LIST(vec, array)                                                                                                       \
	do {                                                                                                                   \
		(vec)->at = (array);                                                                                           \
		(vec)->n = sizeof(array) / sizeof *(array);                                                                    \
	} while (0)

static void classes(struct report *r)
{
	r->classes[CLASS_REACHABLE] = (struct class_sum){ 120000, MIB(50) };
	r->classes[CLASS_POSSIBLE] = (struct class_sum){ 3, 1000 };
	r->classes[CLASS_DEFINITE] = (struct class_sum){ 1200, MIB(12) };
	r->classes[CLASS_INDIRECT] = (struct class_sum){ 31204, MIB(20) };
	r->classes[CLASS_RUNTIME] = (struct class_sum){ 14, KIB(80) };
	r->stack_only = (struct class_sum){ 7, 4096 };
	for (int c = CLASS_REACHABLE; c <= CLASS_RUNTIME; c++) {
		r->used.blocks += r->classes[c].blocks;
		r->used.bytes += r->classes[c].bytes;
	}
	r->free_split_known = true;
	r->free_trimmable = MIB(9);
	r->free_top = KIB(300);
	r->free_pinned = MIB(3);
	r->free_nonresident = MIB(1);
	r->free = (struct class_sum){ 800, r->free_trimmable + r->free_top + r->free_pinned + r->free_nonresident };
	r->states[0] = (struct state_line){ "used", r->used.blocks - 2, r->used.bytes - MIB(4) };
	r->states[1] = (struct state_line){ "mmapped", 2, MIB(4) };
	r->states[2] = (struct state_line){ "unsorted", 800, r->free.bytes };
	r->n_states = 3;
}

static void rss(struct rss_table *t)
{
	t->known = true;
	t->bytes[RSS_IN_USE] = MIB(48);
	t->bytes[RSS_LEAKED] = MIB(32);
	t->bytes[RSS_POSSIBLE] = 1000;
	t->bytes[RSS_FREE_TRIMMABLE] = MIB(9);
	t->bytes[RSS_FREE_TOP] = KIB(300);
	t->bytes[RSS_FREE_PINNED] = MIB(3);
	t->bytes[RSS_RUNTIME] = KIB(80);
	t->bytes[RSS_OVERHEAD] = KIB(2400);
	t->bytes[RSS_FILES] = MIB(6);
	t->bytes[RSS_STACKS] = KIB(132);
	for (int i = 0; i < RSS_CAUSES; i++) {
		t->blocks[i] = UNKNOWN;
		t->total += t->bytes[i];
	}
	t->blocks[RSS_IN_USE] = 120000;
	t->blocks[RSS_LEAKED] = 32404;
	t->unexplained = KIB(20);
	t->total += t->unexplained;
	t->vmrss = t->total + KIB(64);
	t->swapped = KIB(512);
}

static void lists(struct scene *s)
{
	struct report *r = &s->report;
	s->leaks[0] = (struct leak_group){ .number = 1, .label = (char *)EVIL_CLASS, .identified_by = "vtable", .size = 10240, .blocks = 1000,
					   .bytes = 10240000, .retained_bytes = MIB(30), .retained_blocks = 30000, .n_samples = 2,
					   .sample = { 0x55d0a9001230, 0x55d0a9005230 }, .preview = (char *)"GET /\033]0;owned\007 HTTP/1.1" };
	s->leaks[1] = (struct leak_group){ .number = 2, .label = (char *)"text", .identified_by = "text", .size = 24, .blocks = 199, .bytes = 4776,
					   .retained_bytes = 4776, .retained_blocks = 199, .n_samples = 1, .sample = { 0x55d0a9101230 },
					   .preview = (char *)"hello" };
	s->leaks[2] = (struct leak_group){ .number = 3, .label = (char *)"1032 B", .identified_by = "size", .size = 1032, .blocks = 1, .bytes = 1032,
					   .retained_bytes = 1032, .retained_blocks = 1, .n_samples = 1, .sample = { 0x55d0a9201230 } };
#define HOLDER(n, name_, where_, kind_, blocks_, bytes_)                                                                       \
	(struct holder_line){ .number = n, .name = (char *)name_, .where = (char *)where_, .kind = kind_, .retained_blocks = blocks_,  \
			      .retained_bytes = bytes_ }
	s->holders[0] = HOLDER(1, EVIL_GLOBAL, "evil\033[31m.c:12", "global", 70000, MIB(40));
	s->holders[1] = HOLDER(2, utf8_name, "libä.so", "global", 1234567, MIB(5));
	s->holders[1].container = "std::map<evil\033[31m, a type that is longer than a line of text>";
	s->holders[1].items = 1234567;
	s->holders[2] = HOLDER(3, "g_a_name_that_is_much_longer_than_its_column + another_one + third and more", NULL, "global", 1, 24);
	s->holders[3] = HOLDER(4, "epoll descriptor 5", NULL, "kernel", 12, KIB(3));
	s->holders[4] = HOLDER(5, "thread 4243 \"io\033\"", "stack, loop()", "frame", 7, 4096);
	s->holders[4].stack = true;
#undef HOLDER
	s->pins[0] = (struct pin){ .arena = 0, .heap = 0x55d0a4000000, .heap_bytes = MIB(96), .free_below_top = MIB(60), .freed_bytes = MIB(58),
				   .freed_resident = MIB(57), .block = 0x55d0a9fff010, .block_bytes = 40, .state = "used",
				   .label = (char *)EVIL_CLASS, .holder = (char *)EVIL_GLOBAL };
	r->sparse = (struct sparse_label){ .label = (char *)EVIL_CLASS, .blocks = 300, .live_bytes = KIB(12), .pages = 250 };
	r->page = 4096;
	s->arenas[0] = (struct arena_line){ .index = 0, .address = 0x7f10f1400c80, .system_bytes = MIB(96), .used_bytes = MIB(80),
					    .free_bytes = MIB(12), .top_bytes = KIB(100), .consistent = true };
	s->arenas[1] = (struct arena_line){ .index = 1, .address = 0x7f10ec000030, .system_bytes = MIB(4), .used_bytes = MIB(3),
					    .free_bytes = MIB(1), .top_bytes = KIB(200), .heaps = 2 };
	s->notes[0] = (char *)"libssl.so.3 has no symbols: its globals are told by module and address";
	s->notes[1] = (char *)"a note about \033[5mevil.so\033[0m that is long enough to be broken into more than one line of the page that it stands on";
	for (size_t i = 0; i < 7; i++) {
		s->findings[i] = (struct finding){ .kind = "bad-size", .address = 0x55d0a9001000 + i * 16, .text = (char *)"chunk header 0x41 is no size" };
		s->finding_list[i] = &s->findings[i];
	}
	s->findings[1] = (struct finding){ .kind = "mmap-count", .text = (char *)"2 mmapped blocks were found, malloc counts \033[7m3" };
	LIST(&r->leaks, s->leaks);
	LIST(&r->holders, s->holders);
	LIST(&r->pins, s->pins);
	LIST(&r->arenas, s->arenas);
	LIST(&r->notes, s->notes);
	LIST(&r->findings, s->finding_list);
}

static struct thread three[3];

/* A live process with all that a report can hold. */
static void whole(struct scene *s)
{
	*s = (struct scene){ .row = { .name = "live" } };
	s->report.session = &s->session;
	s->report.complete = s->report.quiet = true;
	s->session = (struct session){ .target = &s->target, .alloc = &s->alloc, .blocks = &s->blocks, .graph = &s->graph, .uptime = 7384,
				       .timings = { .read = 0.012, .walk = 0.003, .mark = 0.004, .holders = 0.005, .types = 0.001 },
				       .cgroup = { .known = true, .version = 2, .usage = MIB(300), .limit = MIB(512), .anon = MIB(100), .file = MIB(150) } };
	strcpy(s->session.version, "2.36");
	s->target = (struct target){ .row = &s->row, .live = true, .pid = 4242, .comm = "ser\033ver\x7f", .exe = "/srv/evil\nserver", .arch = arch_find(62, 2) };
	s->target.picture.arch = s->target.arch;
	s->target.picture.threads.at = three;
	s->target.picture.threads.n = 3;
	s->target.picture.read_bytes = MIB(101);
	s->target.picture.stopped_seconds = 0.0123;
	s->target.picture.stops = 1;
	s->target.picture.quiet = true;
	s->target.picture.copy_seconds = 0.01;
	s->alloc.facts = (struct alloc_facts){ .name = "glibc", .version = "2.36", .found_by = "symbols", .walked = true };
	s->alloc.arenas.n = 2;
	s->graph.rule_counts[RULE_NEW_ARRAY] = 12;
	s->graph.rule_counts[RULE_LEARNED] = 40000;
	s->graph.mark_seconds = 0.0035;
	s->graph.marked = 120017;
	s->blocks.bytes = 98765;
	s->arguments = (struct arguments){ .target = "4242", .top = 10, .format = "text" };
	classes(&s->report);
	rss(&s->report.rss);
	lists(s);
}

static void nothing_leaked(struct scene *s)
{
	struct report *r = &s->report;
	whole(s);
	r->used.blocks -= r->classes[CLASS_DEFINITE].blocks + r->classes[CLASS_INDIRECT].blocks;
	r->used.bytes -= r->classes[CLASS_DEFINITE].bytes + r->classes[CLASS_INDIRECT].bytes;
	r->classes[CLASS_DEFINITE] = r->classes[CLASS_INDIRECT] = (struct class_sum){ 0 };
	r->rss.total -= r->rss.bytes[RSS_LEAKED];
	r->rss.bytes[RSS_LEAKED] = 0;
	r->leaks.n = r->pins.n = r->findings.n = r->notes.n = 0;
	r->sparse.label = NULL;
	s->session.cgroup.known = false;
}

/* An allocator that is not glibc's. */
static void not_walked(struct scene *s)
{
	whole(s);
	struct report *r = &s->report;
	*r = (struct report){ .session = &s->session };
	s->session.blocks = NULL;
	s->session.graph = NULL;
	s->alloc.facts = (struct alloc_facts){ .name = "jemalloc", .found_by = "none" };
	s->alloc.arenas.n = 0;
	rss(&r->rss);
	for (int c = RSS_IN_USE; c <= RSS_OVERHEAD; c++) {
		r->rss.bytes[RSS_OTHER_MAPPINGS] += r->rss.bytes[c];
		r->rss.bytes[c] = 0;
		r->rss.blocks[c] = UNKNOWN;
	}
	snprintf(r->allocator_note, sizeof r->allocator_note, "the heap is not walked: it is served by jemalloc\033[31m (libjemalloc.so.2)");
}

static void truncated_core(struct scene *s)
{
	whole(s);
	s->row.name = "core";
	s->target.live = false;
	s->target.picture.truncated = s->target.picture.at_most = true;
	s->target.picture.stopped_seconds = -1;
	s->skipped[0] = (struct skipped){ "truncated", MIB(44), true };
	s->skipped[1] = (struct skipped){ "not-dumped", 4096, false };
	LIST(&s->target.picture.skipped, s->skipped);
	s->session.uptime = -1;
	s->session.cgroup.known = false;
	s->report.complete = false;
	s->report.at_most = true;
	s->report.leaks.n = 0;
	s->report.rss.leaks_unknown = true;
	s->report.rss.bytes[RSS_IN_USE] += s->report.rss.bytes[RSS_LEAKED] + s->report.rss.bytes[RSS_POSSIBLE];
	s->report.rss.bytes[RSS_LEAKED] = s->report.rss.bytes[RSS_POSSIBLE] = 0;
	s->report.rss.known = false;
	s->report.rss.vmrss = UNKNOWN;
	s->arguments.target = "core of 'it'";
}

/* Printing. */

typedef void print_fn(const struct arguments *a, const struct report *r, struct out *o);

typedef void verdicts_fn(const struct arguments *a, const struct report *r, const struct verdicts *v, struct out *o);
static void judged(const struct arguments *a, const struct report *r, struct out *o, verdicts_fn *print)
{
	struct verdicts *v;
	struct err *e = verdicts_judge(r, NULL, &v);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	print(a, r, v, o);
	verdicts_free(v);
}

static void text_page(const struct arguments *a, const struct report *r, struct out *o)
{
	judged(a, r, o, report_text);
}

static void json_page(const struct arguments *a, const struct report *r, struct out *o)
{
	judged(a, r, o, report_json);
}

static char *printed(const struct scene *s, print_fn *print, int width, const char *color)
{
	struct out o;
	int fd = memfd_create("page", MFD_CLOEXEC);
	size_t n;
	ck_assert_int_ge(fd, 0);
	out_init(&o, fd, color);
	o.unicode = false;
	o.width = width;
	print(&s->arguments, &s->report, &o);
	out_deinit(&o);
	ck_assert(!o.error && !lseek(fd, 0, SEEK_SET));
	char *text = system_read_fd(fd, &n);
	ck_assert(text && strlen(text) == n);
	close(fd);
	return text;
}

static void is_golden(const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof path, "/tests/golden/report-%s", name);
	if (getenv("WRITE_GOLDEN")) {
		FILE *f = fopen(path + 1, "we");
		const char *at = strstr(text, FLOTSAM_VERSION);
		ck_assert(f && at && fprintf(f, "%.*s@VERSION@%s", (int)(at - text), text, at + strlen(FLOTSAM_VERSION)) > 0 && !fclose(f));
	}
	char *golden = system_read(".", path, NULL);
	ck_assert_msg(golden, "%s is missing: tests run at the top of the tree", path);
	/* The version changes with each release, and is no part of the page. */
	char *version = strstr(golden, "@VERSION@");
	struct strbuf want = { 0 };
	if (version) {
		strbuf_add(&want, golden, (size_t)(version - golden));
		strbuf_puts(&want, FLOTSAM_VERSION);
		strbuf_puts(&want, version + 9);
	}
	size_t line = 1;
	const char *a = text, *b = version ? want.text : golden;
	for (; *a && *a == *b; a++, b++)
		line += *a == '\n';
	ck_assert_msg(*a == *b, "%s, line %zu: \"%.100s\", not \"%.100s\"", path, line, a, b);
	strbuf_free(&want);
	free(golden);
}

/* Holds of any page: columns, and bytes that a terminal would obey. */
static void is_tame(const char *text, size_t columns)
{
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "\n");
		ck_assert_msg(n <= columns, "%zu columns: %.*s", n, (int)n, p);
		for (size_t i = 0; i < n; i++)
			ck_assert_msg((unsigned char)p[i] >= 0x20 && (unsigned char)p[i] < 0x7f, "byte %#x in: %.*s", (unsigned char)p[i], (int)n, p);
		p += n + (p[n] == '\n');
	}
}

typedef void scene_fn(struct scene *s);
static const struct { const char *name; scene_fn *make; } scenes[] = {
	{ "whole", whole }, { "nothing-leaked", nothing_leaked }, { "not-walked", not_walked }, { "truncated-core", truncated_core },
};
enum { N_SCENES = sizeof scenes / sizeof *scenes };

START_TEST(pages_of_text)
{
	struct scene s;
	char name[64];
	scenes[_i].make(&s);
	char *text = printed(&s, text_page, 80, "never");
	is_tame(text, 80);
	snprintf(name, sizeof name, "%s.txt", scenes[_i].name);
	is_golden(name, text);
	free(text);
}
END_TEST

START_TEST(the_verbose_page)
{
	struct scene s;
	whole(&s);
	s.arguments.verbose = true;
	char *text = printed(&s, text_page, 80, "never");
	is_tame(text, 80);
	is_golden("verbose.txt", text);
	free(text);
}
END_TEST

START_TEST(a_wide_terminal_gives_names_more_room)
{
	struct scene s;
	whole(&s);
	char *text = printed(&s, text_page, 120, "never");
	is_tame(text, 120);
	ck_assert_ptr_nonnull(strstr(text, "g_a_name_that_is_much_longer_than_its_column + another_one + third"));
	free(text);
}
END_TEST

START_TEST(quiet_is_one_line)
{
	for (int i = 0; i < N_SCENES; i++) {
		struct scene s;
		scenes[i].make(&s);
		s.arguments.quiet = true;
		char *text = printed(&s, text_page, 80, "never");
		is_tame(text, 2000);
		ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
		free(text);
	}
}
END_TEST

/* Colours begin and end, and take no words away. */
START_TEST(colour_adds_nothing_but_itself)
{
	struct scene s;
	whole(&s);
	char *plain = printed(&s, text_page, 80, "never"), *colour = printed(&s, text_page, 80, "always"), *to = colour;
	ck_assert_ptr_nonnull(strchr(colour, '\033'));
	for (const char *p = colour; *p;) {
		if (*p != '\033') {
			*to++ = *p++;
			continue;
		}
		ck_assert_int_eq(p[1], '[');
		p += 2 + strspn(p + 2, "0123456789;");
		ck_assert_int_eq(*p++, 'm');
	}
	*to = 0;
	ck_assert_str_eq(colour, plain);
	free(plain);
	free(colour);
}
END_TEST

static const json_t *in(const json_t *j, const char *path)
{
	char copy[128], *save = NULL;
	snprintf(copy, sizeof copy, "%s", path);
	for (char *key = strtok_r(copy, ".", &save); key && j; key = strtok_r(NULL, ".", &save))
		j = json_is_array(j) ? json_array_get(j, (size_t)atoi(key)) : json_object_get(j, key);
	ck_assert_msg(j, "no %s", path);
	return j;
}

static long long number(const json_t *j, const char *path)
{
	const json_t *v = in(j, path);
	ck_assert_msg(json_is_integer(v), "%s is no integer", path);
	return json_integer_value(v);
}

static json_t *page_of(const struct scene *s, bool golden, const char *name)
{
	char *text = printed(s, json_page, 80, "never"), file[64];
	json_error_t error;
	for (const char *p = text; *p; p++)
		ck_assert_msg((unsigned char)*p >= 0x20 || *p == '\n', "byte %#x", (unsigned char)*p);
	json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(j, "line %d: %s", error.line, error.text);
	snprintf(file, sizeof file, "%s.json", name);
	if (golden)
		is_golden(file, text);
	free(text);
	return j;
}

START_TEST(pages_of_json)
{
	struct scene s;
	scenes[_i].make(&s);
	json_t *j = page_of(&s, true, scenes[_i].name);
	ck_assert_str_eq(json_string_value(in(j, "schema")), "flotsam.report/1");
	long long causes = 0;
	size_t i;
	json_t *c;
	json_array_foreach((json_t *)in(j, "rss.causes"), i, c)
		causes += json_is_null(in(c, "bytes")) ? 0 : number(c, "bytes");
	ck_assert_uint_eq(i, RSS_CAUSES);
	ck_assert_int_eq(number(j, "rss.total_bytes"), causes + number(j, "rss.unexplained_bytes"));
	if (s.session.blocks) {
		long long blocks = 0, bytes = 0;
		static const char *const names[] = { "definite", "indirect", "possible", "reachable", "runtime" };
		for (i = 0; i < 5; i++) {
			blocks += number(in(json_object_get(j, "reachability"), names[i]), "blocks");
			bytes += number(in(json_object_get(j, "reachability"), names[i]), "bytes");
		}
		ck_assert_int_eq(number(j, "heap.used.blocks"), blocks);
		ck_assert_int_eq(number(j, "heap.used.bytes"), bytes);
		ck_assert_int_eq(number(j, "heap.free.bytes"), number(j, "heap.free.trimmable_bytes") + number(j, "heap.free.top_bytes") +
								   number(j, "heap.free.pinned_bytes") + number(j, "heap.free.nonresident_bytes"));
	}
	json_decref(j);
}
END_TEST

/* What was not looked at is null: a program must not read it as 0. */
START_TEST(unknown_is_null_in_json)
{
	static const char *const unknown[] = { "leaks", "holders", "heap.used.blocks", "heap.used.bytes", "heap.free.bytes", "heap.free.trimmable_bytes",
					       "reachability.definite.blocks", "reachability.stack_only.bytes", "allocator.version" };
	struct scene s;
	not_walked(&s);
	json_t *j = page_of(&s, false, "");
	for (size_t i = 0; i < RSS_FILES; i++)
		ck_assert(json_is_null(in(json_array_get(in(j, "rss.causes"), i), "bytes")));
	ck_assert(json_is_integer(in(json_array_get(in(j, "rss.causes"), RSS_FILES), "bytes")));
	for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
		ck_assert_msg(json_is_null(in(j, unknown[i])), "%s is not null", unknown[i]);
	ck_assert(json_is_false(in(j, "allocator.walked")) && json_is_false(in(j, "coverage.complete")));
	json_decref(j);
	truncated_core(&s);
	j = page_of(&s, false, "");
	ck_assert(json_is_null(in(j, "leaks")) && json_is_null(in(j, "rss.vmrss_bytes")) && json_is_null(in(j, "target.stopped_seconds")));
	ck_assert(json_is_true(in(j, "coverage.at_most")));
	ck_assert_int_eq(number(j, "coverage.skipped.0.bytes"), (long long)MIB(44));
	json_decref(j);
	s.session.options.target.force = true; /* asked for all the same */
	LIST(&s.report.leaks, s.leaks);
	j = page_of(&s, false, "");
	ck_assert_uint_eq(json_array_size(in(j, "leaks")), 3);
	json_decref(j);
}
END_TEST

/* A program gets names as the target has them, where they are text at all. */
START_TEST(hostile_names_in_json)
{
	struct scene s;
	whole(&s);
	s.arguments.show_content = true;
	json_t *j = page_of(&s, false, "");
	ck_assert_str_eq(json_string_value(in(j, "leaks.0.label")), EVIL_CLASS);
	ck_assert_str_eq(json_string_value(in(j, "leaks.0.sample.1")), "0x55d0a9005230");
	ck_assert_str_eq(json_string_value(in(j, "holders.0.name")), "g_\xef\xbf\xbd\xef\xbf\xbd_cache\r");
	ck_assert_str_eq(json_string_value(in(j, "holders.1.name")), utf8_name);
	ck_assert_str_eq(json_string_value(in(j, "target.exe")), "/srv/evil\nserver");
	ck_assert_str_eq(json_string_value(in(j, "findings.1.text")), "2 mmapped blocks were found, malloc counts \033[7m3");
	ck_assert(json_is_null(in(j, "findings.1.address")));
	json_decref(j);
}
END_TEST

/* Contents of the target's memory are shown on request alone. */
START_TEST(contents_are_shown_on_request_alone)
{
	struct scene s;
	whole(&s);
	char *text = printed(&s, text_page, 80, "never"), *json = printed(&s, json_page, 80, "never");
	ck_assert(!strstr(text, "GET /") && !strstr(json, "GET /") && !strstr(text, "hello"));
	free(text);
	free(json);
	s.arguments.show_content = true;
	text = printed(&s, text_page, 80, "never");
	json = printed(&s, json_page, 80, "never");
	ck_assert(strstr(text, "GET /") && strstr(json, "GET /"));
	is_tame(text, 80);
	free(text);
	free(json);
}
END_TEST

START_TEST(top_cuts_lists_and_says_so)
{
	struct scene s;
	whole(&s);
	s.arguments.top = 1;
	char *text = printed(&s, text_page, 80, "never");
	is_tame(text, 80);
	ck_assert(strstr(text, "L1 ") && !strstr(text, "L2 ") && strstr(text, "2 more (--top 0)"));
	ck_assert(strstr(text, "H1 ") && !strstr(text, "H2 ") && strstr(text, "3 more (--top 0)"));
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("report");
	TCase *t = tcase_create("pages");
	tcase_add_loop_test(t, pages_of_text, 0, N_SCENES);
	tcase_add_test(t, the_verbose_page);
	tcase_add_test(t, a_wide_terminal_gives_names_more_room);
	tcase_add_test(t, quiet_is_one_line);
	tcase_add_test(t, colour_adds_nothing_but_itself);
	tcase_add_loop_test(t, pages_of_json, 0, N_SCENES);
	tcase_add_test(t, unknown_is_null_in_json);
	tcase_add_test(t, hostile_names_in_json);
	tcase_add_test(t, contents_are_shown_on_request_alone);
	tcase_add_test(t, top_cuts_lists_and_says_so);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

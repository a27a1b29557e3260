/* The marks of the verdict's rules, as flotsam(1) tells them: at the mark a rule holds, one below it does not. The order, and
 * what stays out of it. */
#include <check.h>

#include "flotsam/verdict.h"

#define MIB(n) ((uint64_t)(n) << 20)

static struct report r;
static struct resources b;
static struct session s;
static struct target t;
static struct alloc a;
static struct finding finding;
static struct blocks blocks;
static struct runtime runtime;
static struct holder_line holders[4];
static struct leak_group leak;
static struct descriptor_kind kinds[2];
static struct open_file file;
static struct place place;

static void set_up(void)
{
	r = (struct report){ .session = &s, .used = { 1000000, MIB(1000) }, .rss = { .known = true, .total = MIB(40) }, .page = 4096 };
	b = (struct resources){ .session = &s, .have_descriptors = true, .descriptor_limit = UNKNOWN, .mapping_limit = UNKNOWN, .timers = 0 };
	t = (struct target){ .live = true };
	t.picture.threads.n = 1;
	runtime = (struct runtime){ 0 };
	a = (struct alloc){ 0 };
	s = (struct session){ .target = &t, .alloc = &a, .blocks = &blocks, .runtime = &runtime };
}

/* The kinds, in order, parted by blanks. */
static void verdicts_are(const char *expected)
{
	struct verdicts *v;
	struct strbuf got = { 0 };
	struct err *e = verdicts_judge(&r, &b, &v);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	for (size_t i = 0; i < v->list.n; i++) {
		const struct verdict *x = &v->list.at[i];
		strbuf_printf(&got, "%s%s", i ? " " : "", x->kind);
		ck_assert(verdict_is_kind(x->kind) && x->text && x->text[0]);
		/* All but the calm one have a step and a fix. */
		ck_assert_msg(!strcmp(x->kind, "nothing-unusual") || (x->command && x->fix), "%s", x->kind);
	}
	ck_assert_str_eq(got.text, expected);
	strbuf_free(&got);
	verdicts_free(v);
}

static void one_leak(uint64_t bytes)
{
	r.classes[CLASS_DEFINITE] = (struct class_sum){ 10, bytes / 2 };
	r.classes[CLASS_INDIRECT] = (struct class_sum){ 20, bytes - bytes / 2 };
}

START_TEST(leaks)
{
	one_leak(MIB(1));
	verdicts_are("leak");
	one_leak(MIB(1) - 1);
	verdicts_are("nothing-unusual");
	/* 64 KiB, when that is 1 % of what is in use. */
	one_leak(64 << 10);
	verdicts_are("nothing-unusual");
	r.used.bytes = 6400 << 10;
	verdicts_are("leak");
	r.used.bytes++;
	verdicts_are("nothing-unusual");
	one_leak((64 << 10) - 1);
	r.used.bytes = 1 << 20;
	verdicts_are("nothing-unusual");
	/* A leak list would be wrong. */
	one_leak(MIB(10));
	t.picture.truncated = true;
	verdicts_are("nothing-unusual");
	s.options.target.force = true;
	verdicts_are("leak");
	t.picture.truncated = s.options.target.force = false;
	leak = (struct leak_group){ .number = 1, .label = (char *)(uintptr_t)"Session", .identified_by = "vtable", .retained_bytes = MIB(5), .n_samples = 1, .sample = { 0x1000 } };
	r.leaks.at = &leak;
	r.leaks.n = 1;
	struct verdicts *v;
	ck_assert_ptr_null(verdicts_judge(&r, &b, &v));
	ck_assert_str_eq(v->list.at[0].text, "10.0 MiB in 30 blocks has leaked; L1 (Session) holds 50 % of it: nothing points at it any more.");
	ck_assert(!strcmp(v->list.at[0].command, "sites") && !strcmp(v->list.at[0].operand, "0x1000"));
	verdicts_free(v);
}
END_TEST

static void holder(unsigned i, const char *name, uint64_t n, uint64_t bytes)
{
	holders[i] = (struct holder_line){ .number = i + 1, .name = (char *)(uintptr_t)name, .retained_blocks = n, .retained_bytes = bytes };
	r.holders.at = holders;
	r.holders.n = i + 1;
}

START_TEST(holders_of_much)
{
	holder(0, "g_cache", 500, MIB(8));
	verdicts_are("held");
	holder(0, "g_cache", 499, MIB(8));
	verdicts_are("nothing-unusual");
	holder(0, "g_cache", 500, MIB(8) - 1);
	verdicts_are("nothing-unusual");
	r.rss.total = MIB(40) + 1; /* 8 MiB is less than 20 % */
	holder(0, "g_cache", 500, MIB(8));
	verdicts_are("nothing-unusual");
	r.rss.total = MIB(1000);
	holder(0, "g_pool", 2, MIB(256));
	verdicts_are("held");
	holder(0, "g_pool", 2, MIB(256) - 1);
	verdicts_are("nothing-unusual");
	holder(0, "thread 7, main()", 5000, MIB(900));
	holders[0].stack = true;
	verdicts_are("nothing-unusual");
	/* Three of four. */
	for (unsigned i = 0; i < 4; i++)
		holder(i, "g_x", 5000, MIB(240));
	verdicts_are("held held held");
}
END_TEST

START_TEST(what_a_name_says)
{
	static const struct { const char *name, *fix; } rows[] = {
		{ "g_cache", "LRU" }, { "LruCache::instance", "LRU" }, { "sessions", "LRU" }, { "g_request_log", "write them out" }, { "catalog", "bound it" },
		{ "logic", "bound it" }, { "g_listeners", "remove the listener" }, { "onClickHandlers", "remove the listener" }, { "timers", "cancel the timer" },
		{ "work_queue", "queue" }, { "JobQueue", "queue" }, { "g_pool", "give each back" }, { "spool", "bound it" }, { "memcached", "bound it" }, { "", "bound it" },
		{ "indexes", "bound it" }, { "g_caches", "LRU" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct verdicts *v;
		holder(0, rows[i].name, 5000, MIB(30));
		ck_assert_ptr_null(verdicts_judge(&r, &b, &v));
		ck_assert_msg(strstr(v->list.at[0].fix, rows[i].fix), "%s: %s", rows[i].name, v->list.at[0].fix);
		verdicts_free(v);
	}
}
END_TEST

START_TEST(what_malloc_keeps)
{
	static const struct { enum rss_cause cause; const char *kind; } rows[] = {
		{ RSS_FREE_TRIMMABLE, "retention" }, { RSS_FREE_TOP, "thread-tops" }, { RSS_FREE_PINNED, "fragmentation" },
	};
	for (size_t i = 0; i < 3; i++) {
		set_up();
		r.rss.bytes[rows[i].cause] = MIB(8);
		verdicts_are(rows[i].kind);
		r.rss.bytes[rows[i].cause] = MIB(8) - 1;
		verdicts_are("nothing-unusual");
		r.rss.bytes[rows[i].cause] = MIB(100);
		r.rss.total = MIB(500) + 1;
		verdicts_are("nothing-unusual");
	}
}
END_TEST

START_TEST(what_malloc_does_not_know)
{
	static const struct { enum rss_cause cause; uint64_t least; } rows[] = {
		{ RSS_OTHER_MAPPINGS, MIB(32) }, { RSS_SHARED_MEMORY, MIB(32) }, { RSS_STACKS, MIB(32) }, { RSS_FILES, MIB(64) },
	};
	for (size_t i = 0; i < 4; i++) {
		set_up();
		r.rss.total = 2 * rows[i].least;
		r.rss.bytes[rows[i].cause] = rows[i].least;
		verdicts_are("outside-malloc");
		r.rss.total++;
		verdicts_are("nothing-unusual");
		r.rss.total = rows[i].least;
		r.rss.bytes[rows[i].cause] = rows[i].least - 1;
		verdicts_are("nothing-unusual");
	}
	/* Of a heap that was not walked all is outside. */
	set_up();
	s.blocks = NULL;
	r.rss.total = r.rss.bytes[RSS_OTHER_MAPPINGS] = MIB(900);
	verdicts_are("not-walked");
	set_up();
	runtime.language = "V8";
	r.rss.total = r.rss.bytes[RSS_OTHER_MAPPINGS] = MIB(900);
	struct verdicts *v;
	ck_assert_ptr_null(verdicts_judge(&r, &b, &v));
	ck_assert(strstr(v->list.at[0].text, "V8 has memory of its own") && strstr(v->list.at[0].fix, "heap snapshot"));
	verdicts_free(v);
}
END_TEST

START_TEST(limits_of_groups)
{
	s.cgroup = (struct cgroup_memory){ .known = true, .version = 2, .limit = 1000, .limit_usage = 900, .limit_cache = UNKNOWN };
	verdicts_are("cgroup-limit");
	s.cgroup.limit_usage = 899;
	verdicts_are("nothing-unusual");
	/* Page cache goes first. */
	s.cgroup.limit_usage = 990;
	s.cgroup.limit_cache = 91;
	verdicts_are("nothing-unusual");
	s.cgroup.limit_cache = 90;
	verdicts_are("cgroup-limit");
	s.cgroup.limit = 0;
	verdicts_are("cgroup-limit");
	s.cgroup.limit = UNKNOWN;
	verdicts_are("nothing-unusual");
	s.cgroup.limit = 1000;
	s.cgroup.known = false;
	verdicts_are("nothing-unusual");
}
END_TEST

static void kind(unsigned i, const char *name, const char *state, uint64_t n)
{
	kinds[i] = (struct descriptor_kind){ .state = state, .count = n };
	strcpy(kinds[i].kind, name);
	b.kinds.at = kinds;
	b.kinds.n = i + 1;
	b.descriptors = n + (i ? kinds[0].count : 0);
}

START_TEST(descriptors)
{
	static const struct { const char *name, *state; uint64_t mark; } rows[] = {
		{ "tcp", "CLOSE_WAIT", 100 }, { "socket", "", 100 }, { "unix", "unconnected", 100 }, { "file", "deleted", 100 }, { "timerfd", "", 100 },
		{ "epoll", "", 100 }, { "inotify", "", 100 }, { "pipe", "", 1000 }, { "file", "", 1000 }, { "eventfd", "", 1000 }, { "tcp", "LISTEN", 1000 },
		{ "tcp", "ESTABLISHED", UNKNOWN }, { "unix", "connected", UNKNOWN },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		kind(0, rows[i].name, rows[i].state, rows[i].mark == UNKNOWN ? 1000000 : rows[i].mark);
		verdicts_are(rows[i].mark == UNKNOWN ? "nothing-unusual" : "descriptors");
		if (rows[i].mark == UNKNOWN)
			continue;
		kind(0, rows[i].name, rows[i].state, rows[i].mark - 1);
		verdicts_are("nothing-unusual");
	}
	/* Behind many that have a peer. */
	kind(0, "tcp", "ESTABLISHED", 5000);
	kind(1, "tcp", "CLOSE_WAIT", 100);
	verdicts_are("descriptors");
	/* The limit, whatever they are; of a limit of 70 nobody is near with 60 open. */
	kind(0, "tcp", "ESTABLISHED", 800);
	b.descriptor_limit = 1000;
	verdicts_are("descriptors");
	b.descriptor_limit = 1001;
	verdicts_are("nothing-unusual");
	kind(0, "tcp", "ESTABLISHED", 63);
	b.descriptor_limit = 64;
	verdicts_are("nothing-unusual");
	/* One file many times. */
	kind(0, "file", "", 200);
	b.descriptor_limit = UNKNOWN;
	file = (struct open_file){ .path = (char *)(uintptr_t)"/etc/passwd", .count = 100 };
	b.files.at = &file;
	b.files.n = 1;
	verdicts_are("descriptors");
	file.count = 99;
	verdicts_are("nothing-unusual");
	file.count = 1000;
	file.path = (char *)(uintptr_t)"/dev/null";
	verdicts_are("nothing-unusual");
	b.have_descriptors = false;
	file.path = (char *)(uintptr_t)"/etc/passwd";
	verdicts_are("nothing-unusual");
}
END_TEST

START_TEST(threads_and_timers)
{
	place = (struct place){ .count = 250, .state = THREAD_WAITING, .function = "wait_for_answer" };
	b.places.at = &place;
	b.places.n = 1;
	t.picture.threads.n = 500;
	verdicts_are("threads");
	t.picture.threads.n = 501;
	verdicts_are("nothing-unusual");
	t.picture.threads.n = 300;
	place.count = 249;
	verdicts_are("nothing-unusual");
	b.timers = 100;
	verdicts_are("timers");
	b.timers = 99;
	verdicts_are("nothing-unusual");
	b.timers = UNKNOWN;
	verdicts_are("nothing-unusual");
}
END_TEST

START_TEST(mappings)
{
	b.mapping_limit = 1000;
	b.mappings = 800;
	verdicts_are("mappings");
	b.mappings = 799;
	verdicts_are("nothing-unusual");
	b.mapping_limit = 0;
	verdicts_are("nothing-unusual");
	b.mapping_limit = UNKNOWN;
	verdicts_are("nothing-unusual");
}
END_TEST

/* What fails soon; then bytes, a leak's tenfold; then counts. */
START_TEST(the_order)
{
	r.rss.total = MIB(100);
	s.cgroup = (struct cgroup_memory){ .known = true, .version = 1, .limit = 1000, .limit_usage = 950, .limit_cache = 0 };
	kind(0, "tcp", "CLOSE_WAIT", 900);
	b.descriptor_limit = 1000;
	one_leak(MIB(4));
	holder(0, "g_cache", 1000, MIB(41));
	r.rss.bytes[RSS_FREE_TRIMMABLE] = MIB(39);
	b.timers = 200;
	verdicts_are("cgroup-limit descriptors held leak retention timers");
	finding = (struct finding){ .kind = "bad-arena", .address = 0x1230 };
	a.findings.list.at = &finding;
	a.findings.list.n = 1;
	verdicts_are("damage cgroup-limit descriptors held leak retention timers");
	finding.kind = "second-malloc"; /* a limit of the look */
	b.descriptor_limit = 100000;
	one_leak(MIB(5));
	verdicts_are("cgroup-limit leak held retention descriptors timers");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verdict_marks");
	TCase *c = tcase_create("verdict_marks");

	tcase_add_checked_fixture(c, set_up, NULL);
	tcase_add_test(c, leaks);
	tcase_add_test(c, holders_of_much);
	tcase_add_test(c, what_a_name_says);
	tcase_add_test(c, what_malloc_keeps);
	tcase_add_test(c, what_malloc_does_not_know);
	tcase_add_test(c, limits_of_groups);
	tcase_add_test(c, descriptors);
	tcase_add_test(c, threads_and_timers);
	tcase_add_test(c, mappings);
	tcase_add_test(c, the_order);
	suite_add_tcase(suite, c);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}

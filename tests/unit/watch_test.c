/* watch and what it reads: rules against hand-made vitals, /proc and control groups against trees written down as files. */
#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flotsam/system.h"
#include "flotsam/watch.h"

static char root[64];

static void write_file(const char *name, const char *text)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", root, name);
	for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		ck_assert_msg(!mkdir(path, 0700) || errno == EEXIST, "%s", path);
	}
	FILE *f = fopen(path, "w");
	ck_assert_msg(f, "%s: %s", path, strerror(errno));
	ck_assert(fputs(text, f) >= 0 && !fclose(f));
}

static void set_up(void)
{
	strcpy(root, "/tmp/flotsam-watch-XXXXXX");
	ck_assert(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void tear_down(void)
{
	ck_assert(!nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS));
}

static const char *judge(struct watch_rules r, struct watch_rules_state *s, uint64_t usage, uint64_t at_high, double slope, double now)
{
	struct watch_vitals v = { .limit = 1000, .limit_usage = usage, .at_high = at_high };
	struct trend t = { .kind = slope > 0 ? TREND_GROWS : TREND_STEADY, .slope = slope };
	return watch_rules_judge(&r, s, &v, &t, now);
}

static void fires(const char *rule, const char *wanted)
{
	ck_assert_msg(wanted ? rule && !strcmp(rule, wanted) : !rule, "%s, not %s", rule ? rule : "none", wanted ? wanted : "none");
}

/* A rule fires when it begins to hold, once; and again when it did not hold in between. */
START_TEST(growth)
{
	struct watch_rules_state s;
	struct watch_rules r = { .growth = 10 };
	watch_rules_begin(&s);
	fires(judge(r, &s, 0, UNKNOWN, 9, 1), NULL);
	fires(judge(r, &s, 0, UNKNOWN, 11, 2), "growth");
	fires(judge(r, &s, 0, UNKNOWN, 12, 3), NULL);
	fires(judge(r, &s, 0, UNKNOWN, 0, 4), NULL);
	fires(judge(r, &s, 0, UNKNOWN, 11, 5), "growth");
	watch_rules_begin(&s);
	fires(judge((struct watch_rules){ 0 }, &s, 1000, UNKNOWN, 1e9, 6), NULL);
}
END_TEST

/* The level must hold all the time: a dip below it starts the clock anew. */
START_TEST(level)
{
	struct watch_rules_state s;
	struct watch_rules r = { .level = 0.8, .hold = 300 };
	watch_rules_begin(&s);
	fires(judge(r, &s, 900, UNKNOWN, 0, 0), NULL);
	fires(judge(r, &s, 900, UNKNOWN, 0, 299), NULL);
	fires(judge(r, &s, 800, UNKNOWN, 0, 299.5), NULL);
	fires(judge(r, &s, 801, UNKNOWN, 0, 300), NULL);
	fires(judge(r, &s, 801, UNKNOWN, 0, 599), NULL);
	fires(judge(r, &s, 801, UNKNOWN, 0, 600), "level");
	fires(judge(r, &s, 801, UNKNOWN, 0, 9000), NULL);
	fires(judge(r, &s, UNKNOWN, UNKNOWN, 0, 9001), NULL);
	fires(judge(r, &s, 900, UNKNOWN, 0, 9002), NULL);
	fires(judge(r, &s, 900, UNKNOWN, 0, 9302), "level");
}
END_TEST

/* The first count says nothing: it may be of last year. */
START_TEST(memory_high)
{
	struct watch_rules_state s;
	struct watch_rules r = { 0 };
	watch_rules_begin(&s);
	fires(judge(r, &s, 0, 17, 0, 0), NULL);
	fires(judge(r, &s, 0, 17, 0, 1), NULL);
	fires(judge(r, &s, 0, 18, 0, 2), "memory.high");
	fires(judge(r, &s, 0, 18, 0, 3), NULL);
	fires(judge(r, &s, 0, UNKNOWN, 0, 4), NULL);
	fires(judge(r, &s, 0, 30, 0, 5), NULL);
	fires(judge(r, &s, 0, 31, 0, 6), "memory.high");
}
END_TEST

/* 600 of 1000 bytes at 2 a second (1 to 4): 200 s, 100 at the soonest, 400 at the latest. */
START_TEST(until)
{
	struct watch_until u;
	struct watch_vitals v = { .limit = 1000, .limit_usage = 600 };
	struct trend t = { .kind = TREND_GROWS, .slope = 2, .low = 1, .high = 4 };
	ck_assert(watch_until(&t, &v, &u));
	ck_assert(u.at == 200 && u.soonest == 100 && u.latest == 400);
	t.low = 0;
	ck_assert(watch_until(&t, &v, &u) && u.latest < 0);
	t.kind = TREND_PLATEAU;
	ck_assert(!watch_until(&t, &v, &u));
	t.kind = TREND_GROWS;
	v.limit = UNKNOWN;
	ck_assert(!watch_until(&t, &v, &u));
}
END_TEST

/* At first, each ten minutes, and when RSS has moved by more than a twentieth of what it was when it was read. */
START_TEST(rollup_is_rare)
{
	struct watch_rollup_due d = { 0 };
	ck_assert(watch_rollup_due(&d, 0, 1000));
	ck_assert(!watch_rollup_due(&d, 10, 1050));
	ck_assert(!watch_rollup_due(&d, 20, 950));
	ck_assert(watch_rollup_due(&d, 30, 1051));
	ck_assert(!watch_rollup_due(&d, 40, 1000));
	ck_assert(watch_rollup_due(&d, 50, 998));
	ck_assert(!watch_rollup_due(&d, 649, 998));
	ck_assert(watch_rollup_due(&d, 650, 998));
	/* A week of samples of a process that does not move: 1008 of 60480 read it. */
	unsigned n = 0;
	d = (struct watch_rollup_due){ 0 };
	for (int i = 0; i < 60480; i++)
		n += watch_rollup_due(&d, i * 10.0, 5000);
	ck_assert_uint_eq(n, 1008);
}
END_TEST

#define STATUS "Name:\tledgerd\nState:\tS (sleeping)\nTgid:\t42\nVmSize:\t 9000 kB\nVmRSS:\t 4000 kB\nRssAnon:\t 3000 kB\nVmSwap:\t 16 kB\nThreads:\t7\n"
#define STAT(start, stack) "42 (led) gerd) S 1 42 42 0 -1 0 0 0 0 0 0 0 0 0 20 0 7 0 " start " 9216000 1000 18446744073709551615 1 1 " stack " 0 0\n"

static void a_process(void)
{
	write_file("proc/42/status", STATUS);
	write_file("proc/42/stat", STAT("777", "140000"));
	write_file("proc/42/cgroup", "0::/shop.slice/ledger.service\n");
	write_file("proc/42/fd/0", "");
	write_file("proc/42/fd/17", "");
	write_file("proc/42/exe", "");
	write_file("proc/42/smaps_rollup", "555500000000-7fff00000000 ---p 00000000 00:00 0    [rollup]\nRss:  4000 kB\nPss:  3500 kB\n"
					   "Private_Dirty:  2900 kB\nAnonymous:  3000 kB\nAnonHugePages:  2048 kB\nSwap:  16 kB\n");
	write_file("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	write_file("proc/meminfo", "MemTotal: 1000000 kB\nMemFree: 1000 kB\nMemAvailable: 400000 kB\n");
	write_file("proc/pressure/memory", "some avg10=1.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
}

#define GROUP "sys/fs/cgroup/shop.slice/ledger.service/"
static void a_group(void)
{
	write_file(GROUP "memory.current", "5000000\n");
	write_file(GROUP "memory.max", "90000000\n");
	write_file(GROUP "memory.events", "low 0\nhigh 3\nmax 0\noom 0\noom_kill 0\n");
	write_file(GROUP "memory.pressure", "some avg10=12.50 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
	/* Larger, but with less room. */
	write_file("sys/fs/cgroup/shop.slice/memory.current", "199000000\n");
	write_file("sys/fs/cgroup/shop.slice/memory.max", "200000000\n");
	write_file("sys/fs/cgroup/memory.stat", "anon 1\n");
}

START_TEST(vitals)
{
	struct watch_identity who = { .pid = 42 };
	struct watch_vitals v;
	struct watch_rollup r;
	a_process();
	ck_assert_int_eq(watch_vitals_read(root, &who, &v), WATCH_THERE);
	ck_assert(v.rss == 4000 << 10 && v.anon == 3000 << 10 && v.swap == 16 << 10 && v.threads == 7 && v.descriptors == 2);
	ck_assert_str_eq(v.comm, "ledgerd");
	ck_assert(v.at_high == UNKNOWN && !v.limit_of_group && v.limit == 1000000ull << 10 && v.limit_usage == 600000ull << 10 && v.pressure == 1);
	ck_assert(who.start == 777 && who.stack == 140000);
	a_group();
	ck_assert_int_eq(watch_vitals_read(root, &who, &v), WATCH_THERE);
	ck_assert(v.group == 5000000 && v.at_high == 3 && v.limit_of_group && v.limit == 200000000 && v.limit_usage == 199000000 && v.pressure == 12.5);
	ck_assert(watch_rollup_read(root, 42, &r));
	ck_assert(r.rss == 4000 << 10 && r.pss == 3500 << 10 && r.private_dirty == 2900 << 10 && r.anonymous == 3000 << 10 && r.anon_huge == 2048 << 10 &&
		  r.swap == 16 << 10);
	ck_assert(!watch_rollup_read(root, 43, &r));
}
END_TEST

START_TEST(identity)
{
	struct watch_identity who = { .pid = 42 };
	struct watch_vitals v;
	a_process();
	ck_assert_int_eq(watch_vitals_read(root, &who, &v), WATCH_THERE);
	/* Not to be read for a while, as after a change of uid: that says nothing. */
	write_file("proc/42/stat", STAT("777", "0"));
	ck_assert_int_eq(watch_vitals_read(root, &who, &v), WATCH_THERE);
	write_file("proc/42/stat", STAT("777", "150000"));
	ck_assert_int_eq(watch_vitals_read(root, &who, &v), WATCH_EXEC);
	ck_assert_int_eq(watch_vitals_read(root, &who, &v), WATCH_THERE);
	/* The same stack, as where addresses are not random, and another file. */
	char path[128], other[128];
	snprintf(path, sizeof path, "%s/proc/42/exe", root);
	snprintf(other, sizeof other, "%s/proc/other", root);
	write_file("proc/other", "");
	ck_assert(!rename(other, path));
	ck_assert_int_eq(watch_vitals_read(root, &who, &v), WATCH_EXEC);
	/* Another process of the same number. */
	write_file("proc/42/stat", STAT("778", "150000"));
	ck_assert_int_eq(watch_vitals_read(root, &who, &v), WATCH_GONE);
	who = (struct watch_identity){ .pid = 42 };
	ck_assert_int_eq(watch_vitals_read(root, &who, &v), WATCH_THERE);
	write_file("proc/42/stat", "42 (ledgerd) Z 1 42");
	ck_assert_int_eq(watch_vitals_read(root, &who, &v), WATCH_GONE);
}
END_TEST

static void dir_is(char *dir, const char *wanted)
{
	ck_assert_msg(wanted ? dir && !strcmp(dir, wanted) : !dir, "%s, not %s", dir ? dir : "none", wanted ? wanted : "none");
	free(dir);
}

/* A hybrid machine: the memory controller is version 1 and knows nothing of units, systemd's own hierarchy does. */
START_TEST(units)
{
	bool several;
	write_file("proc/self/mountinfo", "30 23 0:26 / /cg/memory rw - cgroup cgroup rw,memory\n31 23 0:27 / /cg/systemd rw - cgroup cgroup rw,name=systemd\n"
					  "32 23 0:28 / /cg/unified rw - cgroup2 cgroup2 rw\n");
	write_file("cg/unified/cgroup.procs", "");
	write_file("cg/memory/cgroup.procs", "");
	write_file("cg/systemd/system.slice/nginx.service/cgroup.procs", "12\n0\n7\nx\n99999999999\n");
	write_file("cg/systemd/system.slice/nginx.service/worker/cgroup.procs", "3\n");
	write_file("cg/systemd/user.slice/user-1.slice/nginx.service/cgroup.procs", "40\n");
	write_file("cg/systemd/system.slice/notnginx.service/cgroup.procs", "41\n");
	write_file("cg/systemd/system.slice/system-a.slice/a@1.2.service/cgroup.procs", "");
	write_file("cg/systemd/x.slice/twin.service/cgroup.procs", "");
	write_file("cg/systemd/y.slice/twin.service/cgroup.procs", "");
	write_file("cg/memory/lone/cgroup.procs", "5\n");
	dir_is(system_unit_dir(root, "nginx", &several), "/cg/systemd/system.slice/nginx.service");
	ck_assert(!several);
	dir_is(system_unit_dir(root, "nginx.service", &several), "/cg/systemd/system.slice/nginx.service");
	dir_is(system_unit_dir(root, "a@1.2", &several), "/cg/systemd/system.slice/system-a.slice/a@1.2.service");
	dir_is(system_unit_dir(root, "user-1.slice", &several), NULL); /* no cgroup.procs */
	dir_is(system_unit_dir(root, "ginx", &several), NULL);
	dir_is(system_unit_dir(root, "", &several), NULL);
	dir_is(system_unit_dir(root, "../nginx", &several), NULL);
	char *twin = system_unit_dir(root, "twin", &several);
	ck_assert(twin && several);
	free(twin);
	dir_is(system_group_dir(root, "system.slice/nginx.service"), "/cg/systemd/system.slice/nginx.service");
	dir_is(system_group_dir(root, "/lone"), "/cg/memory/lone");
	dir_is(system_group_dir(root, "/cg/memory/lone"), "/cg/memory/lone");
	dir_is(system_group_dir(root, "/proc/self"), NULL);
	struct system_pids p;
	system_group_pids(root, "/cg/systemd/system.slice/nginx.service", &p);
	ck_assert_uint_eq(p.n, 3);
	ck_assert(p.at[0] == 12 && p.at[1] == 7 && p.at[2] == 3);
	vec_free(&p);
}
END_TEST

/* What comes from the process that read the target is put right. */
START_TEST(a_look_of_garbage)
{
	static struct watch_look l;
	FILE *f = tmpfile();
	ck_assert(f);
	ck_assert(!watch_look_read(fileno(f), &l));
	for (size_t i = 0; i < sizeof l; i++)
		fputc(0xff, f);
	fflush(f);
	ck_assert(watch_look_read(fileno(f), &l));
	ck_assert(l.n_groups == WATCH_GROUPS && isfinite(l.time) && isfinite(l.stopped));
	for (unsigned i = 0; i < l.n_groups; i++)
		ck_assert(strlen(l.groups[i].label) < WATCH_TEXT && strlen(l.groups[i].holder) < WATCH_TEXT && l.groups[i].class_of == CLASS_NONE && isfinite(l.groups[i].slope));
	fclose(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("watch");
	TCase *rules = tcase_create("rules"), *files = tcase_create("files");
	tcase_add_test(rules, growth);
	tcase_add_test(rules, level);
	tcase_add_test(rules, memory_high);
	tcase_add_test(rules, until);
	tcase_add_test(rules, rollup_is_rare);
	tcase_add_test(rules, a_look_of_garbage);
	suite_add_tcase(s, rules);
	tcase_add_checked_fixture(files, set_up, tear_down);
	tcase_add_test(files, vitals);
	tcase_add_test(files, identity);
	tcase_add_test(files, units);
	suite_add_tcase(s, files);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

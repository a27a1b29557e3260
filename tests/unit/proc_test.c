/* The parsers of /proc: canned texts of real kernels and hostile ones, against figures that were read off by hand. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heap_builder.h"
#include "scratch.h"

#include "flotsam/system.h"

static const char maps[] =
	"55d0a8c00000-55d0a8c02000 r--p 00000000 fd:01 1573091                    /usr/bin/cat\n"
	"55d0a8c02000-55d0a8c07000 r-xp 00002000 fd:01 1573091                    /usr/bin/cat\n"
	"55d0a9000000-55d0a9021000 rw-p 00000000 00:00 0                          [heap]\n"
	"7f10ec000000-7f10ec021000 rw-p 00000000 00:00 0 \n"
	"7f10ec021000-7f10f0000000 ---p 00000000 00:00 0 \n"
	"7f10f1200000-7f10f1300000 rw-s 00000000 00:01 2049                       /dev/zero (deleted)\n"
	"7f10f1400000-7f10f1401000 rw-p 00001000 fd:01 99                         /srv/with two words (deleted)\n"
	"7f10f1500000-7f10f1501000 rw-p 00000000 00:00 0                          [anon: glibc: malloc]\n"
	"7ffd7b5e9000-7ffd7b60a000 rw-p 00000000 00:00 0                          [stack]\n"
	"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

struct expected {
	uint64_t start, end, offset, inode;
	uint32_t major, minor;
	const char *prot, *path;
	bool deleted;
};
static const struct expected lines[] = {
	{ 0x55d0a8c00000, 0x55d0a8c02000, 0, 1573091, 0xfd, 1, "r--p", "/usr/bin/cat", false },
	{ 0x55d0a8c02000, 0x55d0a8c07000, 0x2000, 1573091, 0xfd, 1, "r-xp", "/usr/bin/cat", false },
	{ 0x55d0a9000000, 0x55d0a9021000, 0, 0, 0, 0, "rw-p", "[heap]", false },
	{ 0x7f10ec000000, 0x7f10ec021000, 0, 0, 0, 0, "rw-p", "", false },
	{ 0x7f10ec021000, 0x7f10f0000000, 0, 0, 0, 0, "---p", "", false },
	{ 0x7f10f1200000, 0x7f10f1300000, 0, 2049, 0, 1, "rw-s", "/dev/zero", true },
	{ 0x7f10f1400000, 0x7f10f1401000, 0x1000, 99, 0xfd, 1, "rw-p", "/srv/with two words", true },
	{ 0x7f10f1500000, 0x7f10f1501000, 0, 0, 0, 0, "rw-p", "[anon: glibc: malloc]", false },
	{ 0x7ffd7b5e9000, 0x7ffd7b60a000, 0, 0, 0, 0, "rw-p", "[stack]", false },
	{ 0xffffffffff600000, 0xffffffffff601000, 0, 0, 0, 0, "--xp", "[vsyscall]", false },
};
enum { N_LINES = sizeof lines / sizeof *lines };

static void same_line(const struct maps_line *m, const struct expected *x)
{
	ck_assert_uint_eq(m->start, x->start);
	ck_assert_uint_eq(m->end, x->end);
	ck_assert_uint_eq(m->offset, x->offset);
	ck_assert_uint_eq(m->inode, x->inode);
	ck_assert_uint_eq(m->dev_major, x->major);
	ck_assert_uint_eq(m->dev_minor, x->minor);
	ck_assert_int_eq(m->r, x->prot[0] == 'r');
	ck_assert_int_eq(m->w, x->prot[1] == 'w');
	ck_assert_int_eq(m->x, x->prot[2] == 'x');
	ck_assert_int_eq(m->shared, x->prot[3] == 's');
	ck_assert_int_eq(m->deleted, x->deleted);
	ck_assert_uint_eq(m->path_n, strlen(x->path));
	ck_assert_mem_eq(m->path, x->path, m->path_n);
}

START_TEST(maps_line_by_line)
{
	const char *p = maps;
	size_t n = sizeof maps - 1, bad = 0;
	struct maps_line m;
	for (size_t i = 0; i < N_LINES; i++) {
		ck_assert(system_maps_next(&p, &n, &m, &bad));
		same_line(&m, &lines[i]);
	}
	ck_assert(!system_maps_next(&p, &n, &m, &bad));
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(bad, 0);
}
END_TEST

START_TEST(bad_lines_are_skipped_and_counted)
{
	static const char text[] =
		"\n"
		"nonsense\n"
		"1000-2000 rw-p 00000000 00:00 0\n"			       /* good: nothing behind the inode */
		"2000-1000 rw-p 00000000 00:00 0 \n"			       /* ends before it starts */
		"3000-3000 rw-p 00000000 00:00 0 \n"			       /* empty */
		"10000000000000000-10000000000001000 rw-p 00000000 00:00 0 \n" /* more than 64 bits */
		"4000-5000 rw-p 00000000 00:00 \n"			       /* no inode */
		"4000-5000 rw-p 00000000 0000 0 \n"			       /* no device */
		"4000 5000 rw-p 00000000 00:00 0 \n"
		"4000-5000\n"
		"6000-7000 rwxs 00000010 08:01 7 /x";			       /* good: cut behind the path */
	const char *p = text;
	size_t n = sizeof text - 1, bad = 0;
	struct maps_line m;
	ck_assert(system_maps_next(&p, &n, &m, &bad));
	same_line(&m, &(struct expected){ 0x1000, 0x2000, 0, 0, 0, 0, "rw-p", "", false });
	ck_assert(system_maps_next(&p, &n, &m, &bad));
	same_line(&m, &(struct expected){ 0x6000, 0x7000, 0x10, 7, 8, 1, "rwxs", "/x", false });
	ck_assert(!system_maps_next(&p, &n, &m, &bad));
	ck_assert_uint_eq(bad, 8);
}
END_TEST

/* Cut at every byte, and without a NUL behind it: all whole lines are read, nothing behind the cut is. */
START_TEST(maps_cut_anywhere)
{
	for (size_t cut = 0; cut < sizeof maps; cut++) {
		char *copy = malloc(cut + 1);
		memcpy(copy, maps, cut);
		const char *p = copy;
		size_t n = cut, whole = 0, got = 0;
		struct maps_line m;
		for (size_t i = 0; i < cut; i++)
			whole += copy[i] == '\n';
		while (system_maps_next(&p, &n, &m, NULL)) {
			ck_assert(m.path >= copy && m.path + m.path_n <= copy + cut);
			got++;
		}
		ck_assert(got == whole || got == whole + 1);
		free(copy);
	}
}
END_TEST

static const char smaps[] =
	"55d0a9000000-55d0a9021000 rw-p 00000000 00:00 0                          [heap]\n"
	"Size:                132 kB\n"
	"KernelPageSize:        4 kB\n"
	"Rss:                  24 kB\n"
	"Pss:                  20 kB\n"
	"Pss_Dirty:            19 kB\n"
	"Shared_Clean:          1 kB\n"
	"Shared_Dirty:          2 kB\n"
	"Private_Clean:         3 kB\n"
	"Private_Dirty:        18 kB\n"
	"Referenced:           24 kB\n"
	"AnonHugePages:      2048 kB\n"
	"ShmemPmdMapped:        0 kB\n"
	"Swap:                  8 kB\n"
	"SwapPss:               7 kB\n"
	"Locked:                4 kB\n"
	"THPeligible:           0\n"
	"VmFlags: rd wr mr mw me ac dd \n"
	"7f10f1200000-7f10f1300000 rw-s 00000000 00:01 2049                       /dev/mem\n"
	"Size:               1024 kB\n"
	"Rss:                   0 kB\n"
	"VmFlags: rd wr io pf de ht um\n"
	"7f10f1400000-7f10f1500000 rw-p 00000000 00:00 0 \n"
	"Size:               1024 kB\n"
	"Rss: 99999999999999999999999999 kB\n"
	"Swap: none kB\n"
	"VmFlags: biopf rdio sd\n";

struct gathered { struct smaps_entry at[8]; size_t n, most; };

static bool gather(void *ctx, const struct smaps_entry *e)
{
	struct gathered *g = ctx;
	ck_assert_uint_lt(g->n, 8);
	g->at[g->n++] = *e;
	return g->n < g->most;
}

static void each_entry(const char *text, size_t n, struct gathered *g)
{
	int fd = memfd_create("smaps", MFD_CLOEXEC);
	ck_assert(fd >= 0 && write(fd, text, n) == (ssize_t)n && !lseek(fd, 0, SEEK_SET));
	struct err *e = system_smaps_each(fd, gather, g);
	ck_assert_ptr_null(e);
	close(fd);
}

START_TEST(smaps_entries)
{
	struct gathered g = { .most = 8 };
	each_entry(smaps, sizeof smaps - 1, &g);
	ck_assert_uint_eq(g.n, 3);
	const struct smaps_entry *e = &g.at[0];
	ck_assert_uint_eq(e->map.start, 0x55d0a9000000);
	ck_assert_uint_eq(e->size, 132 << 10);
	ck_assert_uint_eq(e->rss, 24 << 10);
	ck_assert_uint_eq(e->pss, 20 << 10);
	ck_assert_uint_eq(e->shared_clean, 1 << 10);
	ck_assert_uint_eq(e->shared_dirty, 2 << 10);
	ck_assert_uint_eq(e->private_clean, 3 << 10);
	ck_assert_uint_eq(e->private_dirty, 18 << 10);
	ck_assert_uint_eq(e->anon_huge, 2048 << 10);
	ck_assert_uint_eq(e->swap, 8 << 10);
	ck_assert_uint_eq(e->locked, 4 << 10);
	ck_assert(e->flag_dontdump && !e->flag_io && !e->flag_pf && !e->flag_ht && !e->flag_userfaultfd);
	e = &g.at[1];
	ck_assert_uint_eq(e->size, 1 << 20);
	ck_assert_uint_eq(e->private_dirty, 0); /* nothing is left of the entry before */
	ck_assert(e->flag_io && e->flag_pf && e->flag_ht && e->flag_userfaultfd && !e->flag_dontdump);
	e = &g.at[2];
	ck_assert_uint_eq(e->swap, 0);
	/* Flags are words of two letters. */
	ck_assert(!e->flag_io && !e->flag_pf && !e->flag_dontdump);
}
END_TEST

START_TEST(smaps_stops_when_told_and_bears_any_cut)
{
	struct gathered g = { .most = 1 };
	each_entry(smaps, sizeof smaps - 1, &g);
	ck_assert_uint_eq(g.n, 1);
	for (size_t cut = 0; cut < sizeof smaps; cut += 3) {
		g = (struct gathered){ .most = 8 };
		each_entry(smaps, cut, &g);
		ck_assert_uint_le(g.n, 3);
	}
}
END_TEST

static const char status_text[] =
	"Name:\tkworker/0:1-ev (x)\n"
	"Umask:\t0022\n"
	"State:\tT (stopped)\n"
	"Tgid:\t4242\n"
	"Ngid:\t0\n"
	"Pid:\t4243\n"
	"PPid:\t77\n"
	"TracerPid:\t12\n"
	"Uid:\t1000\t1001\t1002\t1003\n"
	"Gid:\t4294967294\t5\t6\t7\n"
	"FDSize:\t64\n"
	"Kthread:\t0\n"
	"VmPeak:\t    9000 kB\n"
	"VmSize:\t    8000 kB\n"
	"VmLck:\t       4 kB\n"
	"VmRSS:\t    7000 kB\n"
	"RssAnon:\t    5000 kB\n"
	"RssFile:\t    1900 kB\n"
	"RssShmem:\t     100 kB\n"
	"VmData:\t    6000 kB\n"
	"VmPTE:\t      52 kB\n"
	"VmSwap:\t      16 kB\n"
	"Threads:\t3\n";

START_TEST(status_of_a_process)
{
	struct process_status s;
	ck_assert_ptr_null(system_status(status_text, sizeof status_text - 1, &s));
	ck_assert_str_eq(s.name, "kworker/0:1-ev (x)");
	ck_assert_int_eq(s.state, 'T');
	ck_assert_int_eq(s.tgid, 4242);
	ck_assert_int_eq(s.ppid, 77);
	ck_assert_int_eq(s.tracer, 12);
	ck_assert_int_eq(s.threads, 3);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(s.uid[i], 1000 + i);
	ck_assert_uint_eq(s.gid[0], 4294967294);
	ck_assert_uint_eq(s.gid[3], 7);
	ck_assert_uint_eq(s.vm_size, 8000 << 10);
	ck_assert_uint_eq(s.vm_rss, 7000 << 10);
	ck_assert_uint_eq(s.rss_anon, 5000 << 10);
	ck_assert_uint_eq(s.rss_file, 1900 << 10);
	ck_assert_uint_eq(s.rss_shmem, 100 << 10);
	ck_assert_uint_eq(s.vm_pte, 52 << 10);
	ck_assert_uint_eq(s.vm_swap, 16 << 10);
	ck_assert_uint_eq(s.vm_lck, 4 << 10);
	ck_assert(!s.kernel_thread);
}
END_TEST

START_TEST(status_without_memory)
{
	static const char text[] = "Name:\tkthreadd\nState:\tS (sleeping)\nTgid:\t2\nKthread:\t1\nThreads:\t1\n";
	struct process_status s;
	ck_assert_ptr_null(system_status(text, sizeof text - 1, &s));
	ck_assert(s.kernel_thread);
	ck_assert_uint_eq(s.vm_rss, UINT64_MAX);
	ck_assert_uint_eq(s.vm_swap, UINT64_MAX);
	static const char *const none[] = { "", "Name:\tx\n", "State:\tR\n", "garbage", "xName:\tx\nxState:\tR\n" };
	for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
		struct err *e = system_status(none[i], strlen(none[i]), &s);
		ck_assert_ptr_nonnull(e);
		ck_assert_int_eq(e->kind, ERR_BAD_DATA);
		err_free(e);
	}
}
END_TEST

/* Field 22 of proc_pid_stat(5), behind a name that looks like more of it. */
START_TEST(stat_behind_any_name)
{
	static const char *const names[] = { "cat", "a) R 1 2", "((", ") ", "x\ny", "" };
	char text[512], state;
	uint64_t ticks;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(text, sizeof text, "4242 (%s) t 77 4242 4242 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654321 123 45 18446744073709551615", names[i]);
		ck_assert(system_stat(text, strlen(text), &state, &ticks));
		ck_assert_int_eq(state, 't');
		ck_assert_uint_eq(ticks, 987654321);
	}
	static const char *const none[] = { "", "4242 (cat", "4242 (cat)", "4242 (cat) R", "4242 (cat) R 1 2 3 4 5" };
	for (size_t i = 0; i < sizeof none / sizeof *none; i++)
		ck_assert(!system_stat(none[i], strlen(none[i]), &state, &ticks));
}
END_TEST

struct words { uint64_t at[8]; size_t n; };

static void add_word(void *ctx, uint64_t value)
{
	struct words *w = ctx;
	ck_assert_uint_lt(w->n, 8);
	w->at[w->n++] = value;
}

START_TEST(words_that_the_kernel_holds)
{
	static const char epoll[] = "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t1060\n"
				    "tfd:        5 events:       19 data:     55d0a9001230  pos:0 ino:c3 sdev:8\n"
				    "tfd:       12 events: 80000019 data: ffffffffffffffff  pos:0 ino:1 sdev:e\n";
	static const char file[] = "pos:\t4096\nflags:\t0100002\nmnt_id:\t29\nino:\t77\n";
	static const char timers[] = "ID: 0\nsignal: 0/0000000000000000\nnotify: signal/pid.4242\nClockID: 0\n"
				     "ID: 1\nsignal: 60/00007fff86e452a8\nnotify: thread/tid.4243\nClockID: 1\n";
	struct words w = { 0 };
	ck_assert(system_fdinfo_is_epoll(epoll, sizeof epoll - 1));
	ck_assert(!system_fdinfo_is_epoll(file, sizeof file - 1));
	ck_assert(!system_fdinfo_is_epoll("", 0));
	system_fdinfo_epoll(epoll, sizeof epoll - 1, add_word, &w);
	ck_assert_uint_eq(w.n, 2);
	ck_assert_uint_eq(w.at[0], 0x55d0a9001230);
	ck_assert_uint_eq(w.at[1], UINT64_MAX);
	w.n = 0;
	system_timers(timers, sizeof timers - 1, add_word, &w);
	ck_assert_uint_eq(w.n, 2);
	ck_assert_uint_eq(w.at[0], 0);
	ck_assert_uint_eq(w.at[1], 0x7fff86e452a8);
	w.n = 0;
	system_fdinfo_epoll("tfd: 5 data:", 12, add_word, &w);
	system_fdinfo_epoll("data: \n", 7, add_word, &w);
	system_timers("signal: 60\n", 11, add_word, &w);
	ck_assert_uint_eq(w.n, 0);
}
END_TEST

static void put(const char *path, const char *text)
{
	scratch_file(path, text, strlen(text));
}

START_TEST(cgroup_of_version_2)
{
	struct cgroup_memory c;
	put("/proc/self/mountinfo", "24 1 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
	put("/sys/fs/cgroup/a/b/memory.current", "3000000\n");
	put("/sys/fs/cgroup/a/b/memory.max", "max\n");
	put("/sys/fs/cgroup/a/b/memory.stat", "anon 2000000\nfile 500000\nanon_thp 7\nfile_mapped 9\n");
	put("/sys/fs/cgroup/a/b/memory.events", "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 5\n");
	put("/sys/fs/cgroup/a/memory.current", "3500000\n");
	put("/sys/fs/cgroup/a/memory.max", "4000000\n");
	system_cgroup(scratch_directory(), "0::/a/b\n", &c);
	ck_assert(c.known);
	ck_assert_int_eq(c.version, 2);
	ck_assert_str_eq(c.path, "/a/b");
	ck_assert_uint_eq(c.usage, 3000000);
	ck_assert_uint_eq(c.limit, 4000000); /* an ancestor's is as good as one's own */
	ck_assert_uint_eq(c.limit_usage, 3500000);
	ck_assert_uint_eq(c.anon, 2000000);
	ck_assert_uint_eq(c.file, 500000);
	ck_assert_uint_eq(c.events_oom_kill, 4);
	/* The least room counts, not the least limit. */
	put("/sys/fs/cgroup/a/b/memory.max", "3900000\n");
	system_cgroup(scratch_directory(), "0::/a/b\n", &c);
	ck_assert_uint_eq(c.limit, 4000000);
	put("/sys/fs/cgroup/a/b/memory.max", "3100000\n");
	system_cgroup(scratch_directory(), "0::/a/b\n", &c);
	ck_assert_uint_eq(c.limit, 3100000);
	ck_assert_uint_eq(c.limit_usage, 3000000);
}
END_TEST

START_TEST(cgroup_of_version_1)
{
	struct cgroup_memory c;
	put("/proc/self/mountinfo", "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
				    "31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
				    "32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
	put("/sys/fs/cgroup/memory/svc/memory.usage_in_bytes", "1000\n");
	put("/sys/fs/cgroup/memory/svc/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
	put("/sys/fs/cgroup/memory/svc/memory.stat", "cache 1\nrss 2\ntotal_cache 300\ntotal_rss 400\n");
	put("/sys/fs/cgroup/memory/svc/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n");
	system_cgroup(scratch_directory(), "12:cpu,cpuacct:/x\n5:name=no-memory:/wrong\n4:hugetlb,memory:/svc\n0::/other\n", &c);
	ck_assert_int_eq(c.version, 1);
	ck_assert_str_eq(c.path, "/svc");
	ck_assert_uint_eq(c.usage, 1000);
	ck_assert_uint_eq(c.limit, UINT64_MAX);
	ck_assert_uint_eq(c.anon, 400);
	ck_assert_uint_eq(c.file, 300);
	ck_assert_uint_eq(c.events_oom_kill, 6);
}
END_TEST

/* Inside a container the mount shows the part of the tree below its root. */
START_TEST(cgroup_seen_from_inside)
{
	struct cgroup_memory c;
	put("/proc/self/mountinfo", "24 1 0:22 /pod /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	put("/sys/fs/cgroup/memory.current", "10\n");
	put("/sys/fs/cgroup/app/memory.current", "20\n");
	put("/sys/fs/cgroup/podium/memory.current", "30\n");
	system_cgroup(scratch_directory(), "0::/pod/app\n", &c);
	ck_assert_uint_eq(c.usage, 20);
	system_cgroup(scratch_directory(), "0::/pod\n", &c);
	ck_assert_uint_eq(c.usage, 10);
	/* Another whose name begins alike is not below it, though one inside has that name. */
	system_cgroup(scratch_directory(), "0::/podium\n", &c);
	ck_assert(!c.known);
	system_cgroup(scratch_directory(), "0::/pod/podium\n", &c);
	ck_assert_uint_eq(c.usage, 30);
	system_cgroup(scratch_directory(), "0::/../outside\n", &c);
	ck_assert(!c.known);
}
END_TEST

START_TEST(cgroup_that_is_not_there)
{
	static const char *const groups[] = { "", "\n", "0::", "0::/missing\n", "nonsense", "0:", "::::::", "0::/../../../etc\n" };
	struct cgroup_memory c;
	put("/proc/self/mountinfo", "24 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
		system_cgroup(scratch_directory(), groups[i], &c);
		ck_assert(!c.known);
		ck_assert_uint_eq(c.limit, UINT64_MAX);
	}
	static const char *const mounts[] = { "", "-", " - ", " - cgroup2", "24 1 0:22 / - cgroup2 x\n", "x x x x x - cgroup\n" };
	for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
		put("/proc/self/mountinfo", mounts[i]);
		system_cgroup(scratch_directory(), "0::/a\n", &c);
		ck_assert(!c.known);
	}
}
END_TEST

START_TEST(room_is_the_tightest)
{
	const char *what;
	put("/proc/meminfo", "MemTotal:       16000000 kB\nMemFree:          100000 kB\nMemAvailable:    8000000 kB\n");
	ck_assert_uint_eq(system_room(scratch_directory(), &what), 8000000ull << 10);
	ck_assert_str_eq(what, "available memory of the machine");
	put("/proc/self/mountinfo", "24 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	put("/proc/self/cgroup", "0::/us\n");
	put("/sys/fs/cgroup/us/memory.current", "300\n");
	put("/sys/fs/cgroup/us/memory.max", "1000\n");
	ck_assert_uint_eq(system_room(scratch_directory(), &what), 700);
	ck_assert_str_eq(what, "cgroup limit");
	put("/sys/fs/cgroup/us/memory.current", "1300\n"); /* over it: none is left */
	ck_assert_uint_eq(system_room(scratch_directory(), &what), 0);
	put("/proc/uptime", "12345.67 99999.00\n");
	ck_assert_double_eq_tol(system_uptime(scratch_directory()), 12345.67, 0.001);
}
END_TEST

START_TEST(whole_files)
{
	size_t n;
	char *big = malloc(300001);
	memset(big, 'x', 300000);
	big[300000] = 0;
	put("/big", big);
	char *text = system_read(scratch_directory(), "/big", &n);
	ck_assert_uint_eq(n, 300000);
	ck_assert_mem_eq(text, big, 300001);
	free(text);
	free(big);
	put("/empty", "");
	text = system_read(scratch_directory(), "/empty", &n);
	ck_assert(text && !n && !*text);
	free(text);
	ck_assert_ptr_null(system_read(scratch_directory(), "/missing", &n));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proc");
	TCase *t = tcase_create("texts"), *tree = tcase_create("trees");
	tcase_add_test(t, maps_line_by_line);
	tcase_add_test(t, bad_lines_are_skipped_and_counted);
	tcase_add_test(t, maps_cut_anywhere);
	tcase_add_test(t, smaps_entries);
	tcase_add_test(t, smaps_stops_when_told_and_bears_any_cut);
	tcase_add_test(t, status_of_a_process);
	tcase_add_test(t, status_without_memory);
	tcase_add_test(t, stat_behind_any_name);
	tcase_add_test(t, words_that_the_kernel_holds);
	tcase_add_test(tree, cgroup_of_version_2);
	tcase_add_test(tree, cgroup_of_version_1);
	tcase_add_test(tree, cgroup_seen_from_inside);
	tcase_add_test(tree, cgroup_that_is_not_there);
	tcase_add_test(tree, room_is_the_tightest);
	tcase_add_test(tree, whole_files);
	suite_add_tcase(s, t);
	suite_add_tcase(s, tree);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

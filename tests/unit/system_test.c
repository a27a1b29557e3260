/* system and its query: machines that were written down as text, with figures that were computed by hand; the same
 * damaged; and a tree that tries to lead out of itself. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scratch.h"

#include "flotsam/query.h"
#include "src/cmd/cmd.h"

/* Each file of tests/machines/NAME.tree, which are parted by "== PATH" lines. */
typedef void file_fn(const char *path, const char *text, size_t n);
static void each_file(const char *machine, file_fn *f)
{
	char path[128];
	snprintf(path, sizeof path, "/tests/machines/%s.tree", machine);
	char *text = system_read(".", path, NULL);
	ck_assert_msg(text, "%s is missing: tests run at the top of the tree", path);
	for (char *p = text, *next; *p; p = next) {
		ck_assert(!strncmp(p, "== ", 3));
		char *name = p + 3, *body = strchr(name, '\n');
		ck_assert(body);
		*body++ = '\0';
		next = strncmp(body, "== ", 3) ? strstr(body, "\n== ") : body - 1;
		next = next ? next + 1 : body + strlen(body);
		f(name, body, (size_t)(next - body));
	}
	free(text);
}

static void unpack(const char *machine)
{
	each_file(machine, scratch_file);
}

static struct machine *ask(int pid)
{
	struct machine *m;
	struct err *e = query_machine(scratch_directory(), pid, NULL, &m);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	return m;
}

static void verdicts_are(const struct machine *m, const char *expected)
{
	struct strbuf b = { 0 };
	for (size_t i = 0; i < m->verdicts.n; i++)
		strbuf_printf(&b, "%s%s %s", i ? ", " : "", verdict_when_name(m->verdicts.at[i].when), m->verdicts.at[i].kind);
	ck_assert_str_eq(b.text ? b.text : "", expected);
	strbuf_free(&b);
}

static void says(const struct machine *m, size_t i, const char *words)
{
	ck_assert_uint_lt(i, m->verdicts.n);
	ck_assert_msg(strstr(m->verdicts.at[i].text, words), "'%s' lacks '%s'", m->verdicts.at[i].text, words);
}

START_TEST(a_healthy_machine)
{
	unpack("healthy");
	struct machine *m = ask(0);
	verdicts_are(m, "");
	ck_assert_uint_eq(m->page, 4096);
	ck_assert_uint_eq(m->memory.total, 8389120ull << 10);
	ck_assert_uint_eq(m->memory.slab_unreclaimable, 27688u << 10);
	ck_assert_uint_eq(m->memory.hugetlb, 0);
	ck_assert_str_eq(m->memory.thp, "madvise");
	ck_assert_str_eq(m->memory.thp_defrag, "madvise");
	ck_assert_uint_eq(m->memory.max_mappings, 65530);
	ck_assert_uint_eq(m->counters.direct_reclaims, 11);
	ck_assert_uint_eq(m->counters.thp_fallbacks, 20);
	ck_assert(m->pressure.known);
	ck_assert_double_eq(m->pressure.some[2], 1.5);
	ck_assert_double_eq(m->pressure.full[2], 0.75);
	ck_assert_uint_eq(m->swaps.n, 2);
	ck_assert_uint_eq(m->swaps.at[0].used, 524288u << 10);
	ck_assert_int_eq(m->swaps.at[0].priority, -2);
	ck_assert_str_eq(m->swaps.at[1].path, "/swap\\040file");
	ck_assert(!m->log.readable && !m->groups.version && m->commit_room == UNKNOWN);
	ck_assert_int_eq(m->served, 10);
	ck_assert_uint_eq(m->zones.list.n, 4);
	const struct system_zone *z = &m->zones.list.at[2];
	ck_assert_str_eq(z->name, "Normal");
	ck_assert(z->index == 2 && z->orders == 11 && z->free == 348576 && z->min == 6000 && z->low == 7500 && z->high == 9000 && z->managed == 1347584);
	ck_assert(m->zones.list.at[0].n_reserve == 5 && m->zones.list.at[0].reserve[2] == 8000);
	ck_assert(z->pageblocks == 126 + 2466 + 40 && z->pageblocks_unmovable == 126);
	ck_assert_uint_eq(m->zones.pageblock_pages, 512);
	machine_free(m);
}
END_TEST

/* mm/vmstat.c by hand: 60000 + 2 * 30000 + 4 * 10000 = 160000 pages in 100000 blocks. */
START_TEST(fragmentation_by_hand)
{
	static const int index[] = { -1000, -1000, -1000, 800, 900, 950, 975, 988, 994, 997, 999 };
	static const int unusable[] = { 0, 375, 750, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000 };
	unpack("fragmented");
	struct machine *m = ask(0);
	const struct system_zone *z = &m->zones.list.at[2];
	ck_assert_uint_eq(z->orders, 11);
	for (unsigned i = 0; i < z->orders; i++) {
		ck_assert_int_eq(system_fragmentation_index(z, i), index[i]);
		ck_assert_int_eq(system_unusable_index(z, i), unusable[i]);
	}
	/* 256 + 512 + 3 * 1024 pages. */
	ck_assert_int_eq(system_unusable_index(&m->zones.list.at[0], 9), 66);
	ck_assert_int_eq(system_unusable_index(&m->zones.list.at[0], 10), 200);
	/* DMA has such blocks, but keeps 16000 pages from requests that may use Normal. */
	ck_assert_int_eq(m->served, 2);
	verdicts_are(m, "now order-fragmented, past oom-kill, past page-allocation, note huge-pages");
	says(m, 0, "an order-3 request (32.0 KiB");
	says(m, 1, "pid 4242 (ledgerd) was killed 1000 s ago: the machine had no free block of order 3");
	says(m, 2, "2 failed requests for pages, the smallest of order 3");
	ck_assert(strstr(m->verdicts.at[0].step, "compaction cannot move"));
	ck_assert(m->log.kills.n == 1 && !m->log.kills.at[0].by_group && m->log.kills.at[0].anon == 1 << 30);
	ck_assert_str_eq(m->log.kills.at[0].constraint, "CONSTRAINT_NONE");
	machine_free(m);
}
END_TEST

START_TEST(a_zone_serves_above_its_watermark_alone)
{
	struct system_zone z = { .index = 1, .orders = 11, .free = 1104, .min = 900, .reserve = { 0, 0, 200 }, .n_reserve = 3, .blocks = { 704, [3] = 50 } };
	ck_assert(system_zone_serves(&z, 2, 2)); /* 900 + 200 + 3 < 1104 */
	z.free--;
	ck_assert(!system_zone_serves(&z, 2, 2));
	ck_assert(system_zone_serves(&z, 2, 1));
	ck_assert(!system_zone_serves(&z, 2, 0)); /* a zone above what the request may use */
	ck_assert(!system_zone_serves(&z, 4, 1)); /* no such block */
	ck_assert(system_zone_serves(&z, 3, 1));
	z.min = UINT64_MAX - 1;
	ck_assert(!system_zone_serves(&z, 0, 2));
	struct system_zone none = { .orders = 11 };
	ck_assert_int_eq(system_fragmentation_index(&none, 3), 0);
	ck_assert_int_eq(system_unusable_index(&none, 3), 1000);
}
END_TEST

START_TEST(groups_of_version_2)
{
	unpack("cgroup2");
	struct machine *m = ask(0);
	verdicts_are(m, "now cgroup-high, now cgroup-limit, soon cgroup-swap, past cgroup-kills, past oom-kill, past oom-kill, note cgroup-cache");
	says(m, 1, "cgroup /app.slice/web is at 97 % of its limit: 970 MiB of 1000 MiB");
	says(m, 4, "pid 4300 (x) was killed 500 s ago: the limit of cgroup /other");
	says(m, 5, "pid 4200 (web ) 1) was killed");
	ck_assert(m->groups.version == 2 && m->groups.n == 5);
	const struct system_group *web = &m->groups.at[4];
	ck_assert_str_eq(web->path, "/app.slice/web");
	ck_assert(web->usage == 980u << 20 && web->limit == 1000u << 20 && web->high == UNKNOWN && web->swap == 0 && web->swap_limit == UNKNOWN);
	ck_assert(web->anon == 950u << 20 && web->inactive_file == 10u << 20 && web->kernel == 1 << 20 && web->shmem == 4096);
	ck_assert(web->at_limit == 57 && web->at_high == 0 && web->ooms == 4 && web->oom_kills == 3);
	ck_assert(web->pressure.known && web->pressure.some[0] == 12.5 && web->pressure.full_us == 50);
	ck_assert(m->groups.at[0].usage == UNKNOWN && m->groups.at[0].limit == UNKNOWN);
	machine_free(m);
	m = ask(4242);
	verdicts_are(m, "now address-space, now cgroup-limit, soon data-size, past cgroup-kills, past cgroup-kills, past oom-kill, note oom-first");
	ck_assert(m->groups.n == 3 && m->process.mappings == 3 && m->process.files == 1024 && m->process.oom_score == 700);
	ck_assert_str_eq(m->process.status.name, "web ) 1");
	machine_free(m);
}
END_TEST

START_TEST(the_dead_are_known_by_the_log)
{
	struct machine *m;
	unpack("cgroup2");
	m = ask(4200);
	ck_assert(!m->have_process);
	unsigned kills = 0;
	for (size_t i = 0; i < m->verdicts.n; i++)
		kills += !strcmp(m->verdicts.at[i].kind, "oom-kill");
	ck_assert_uint_eq(kills, 1);
	machine_free(m);
	struct err *e = query_machine(scratch_directory(), 5, NULL, &m);
	ck_assert(e && e->kind == ERR_NOT_FOUND);
	err_free(e);
}
END_TEST

/* A container: the mount shows the part of the tree below /pod. */
START_TEST(groups_of_version_1)
{
	unpack("cgroup1");
	struct machine *m = ask(0);
	verdicts_are(m, "now cgroup-limit, now cgroup-frozen, soon cgroup-limit, soon cgroup-swap, past cgroup-kills");
	says(m, 0, "/stuck is at 100 %");
	says(m, 2, "cgroup /abc is at 92 % of its limit: 470 MiB of 512 MiB");
	ck_assert(m->groups.version == 1 && m->groups.n == 3);
	ck_assert(m->groups.at[0].limit == UNKNOWN && m->groups.at[1].swap_limit == UNKNOWN);
	ck_assert(m->groups.at[1].anon == 380u << 20 && m->groups.at[1].at_limit == 7 && m->groups.at[1].oom_kills == 2);
	machine_free(m);
	m = ask(77);
	ck_assert_uint_eq(m->groups.n, 2);
	ck_assert_str_eq(m->groups.at[0].path, "/");
	ck_assert_str_eq(m->groups.at[1].path, "/abc");
	ck_assert(m->process.mappings == UNKNOWN && m->process.address_space == UNKNOWN);
	machine_free(m);
}
END_TEST

/* 8000000 - 8192 - 7900000 KiB; of a process of 2 GiB a part of 1/32 less, which is below user_reserve_kbytes. */
START_TEST(strict_overcommit_leaves_little)
{
	unpack("strict");
	struct machine *m = ask(0);
	ck_assert_uint_eq(m->commit_room, 91808u << 10);
	verdicts_are(m, "now commit-limit");
	says(m, 0, "malloc or fork of more than 89.7 MiB fails");
	machine_free(m);
	m = ask(88);
	ck_assert_uint_eq(m->commit_room, 26272u << 10);
	machine_free(m);
}
END_TEST

/* 251673 of 8389120 KiB are 3 %, 49999 of 1000000 KiB of swap 5 %; slab, page tables and stacks 25.1 %, the pool 25.0 %. Normal
 * has 5999 pages where 6000 are its minimum; DMA32 has 3001, of which it keeps 3000 and 5100 more. */
START_TEST(a_machine_short_of_all)
{
	unpack("short");
	struct machine *m = ask(0);
	verdicts_are(m, "now order-short, now zone-below-min, now memory-short, now pressure, soon swap-full, note kernel-memory, note hugetlb-pool");
	ck_assert_int_eq(m->served, -1);
	says(m, 0, "an order-0 request (4.0 KiB");
	says(m, 1, "zone Normal of node 0 has 23.4 MiB free, below its min watermark of 23.4 MiB");
	says(m, 2, "246 MiB of 8.0 GiB is available (3.0 %)");
	says(m, 3, "in 12 % of the last 10 s no process");
	machine_free(m);
	m = ask(99);
	verdicts_are(m, "now order-short, now zone-below-min, now memory-short, now pressure, now locked-memory, now mappings, "
			"soon swap-full, note kernel-memory, note hugetlb-pool, note oom-never");
	says(m, 4, "7.8 MiB of 8.0 MiB that its limit on locked memory");
	says(m, 5, "97 of the 100 mappings");
	machine_free(m);
}
END_TEST

static void shown_narrow(const struct machine *m)
{
	static const struct arguments a = { .color = "never" };
	struct out o;
	int fd = memfd_create("shown", MFD_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	out_init(&o, fd, "never");
	system_text(&a, m, &o);
	out_deinit(&o);
	size_t n;
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	char *text = system_read_fd(fd, &n), *save = NULL;
	ck_assert(text && n > 1000);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		ck_assert_msg(strlen(line) <= 80, "%zu columns: %s", strlen(line), line);
	free(text);
	close(fd);
}

/* Each figure of a reading set to the value whose text is longest, as long as the kernel's own limits allow it. */
START_TEST(no_row_is_wider_than_80_columns)
{
	static const uint64_t sizes[] = { 0, 1, 1023ull << 10, 1023ull << 20, 1023ull << 40, 1ull << 63, UINT64_MAX - 1, UNKNOWN };
	static const char *const names[] = { "DMA", "DMA32", "Normal", "HighMem", "Movable", "Device", "fifteen letters" };
	static const unsigned many[] = { 1, 10, 11, 14, SYSTEM_ORDERS };
	unpack("healthy");
	for (size_t i = 0; i < 8 * 5; i++) {
		const uint64_t big = sizes[i % 8], step = big == UNKNOWN ? 0 : 1;
		struct machine *m = ask(0);
		struct system_group g = { .path = (char *)(uintptr_t)"/a/group/whose/path/is/longer/than/its/column", .usage = big, .limit = 1 + i, .inactive_file = big, .oom_kills = big, .at_limit = big, .at_high = big, .under_oom = true };
		m->zones.list.n = 0;
		m->orders = many[i % 5];
		for (size_t k = 0; k < 7 * 3; k++) {
			/* Above the watermarks, below low, below min. */
			struct system_zone z = { .node = 1023, .orders = m->orders, .free = big, .low = big, .min = big, .high = big, .managed = 1, .pageblocks = k % 2, .pageblocks_unmovable = 1 };
			strcpy(z.name, names[k % 7]);
			z.low += k / 7 > 0 ? step : 0;
			z.min += k / 7 > 1 ? step : 0;
			for (unsigned order = 0; order < z.orders; order++)
				z.blocks[order] = big;
			*vec_push(&m->zones.list) = z;
		}
		m->groups = (struct system_groups){ .version = 2, .at = &g, .n = 1 };
		m->memory = (struct system_memory){ big, big, big, big, big, big, big, big, big, big, big, big, big, big, big, big, big, big, big, i % 4, big, big, big, big, big,
						    .thp = "fifteen letters", .thp_defrag = "fifteen letters" };
		m->counters = (struct system_counters){ big, big, big, big, big, big, big, big, big, big, big, big };
		m->pressure = (struct system_pressure){ true, { 100, 100, 100 }, { 100, 100, 100 }, big, big };
		m->have_process = true;
		m->process = (struct system_process){ .pid = 1 << 22, .oom_score = 2000, .oom_score_adj = -1000, .mappings = big, .address_space = big, .data = big, .locked = big,
						      .status = { .name = "\1\2\3\4\5\6\7\1\2\3\4\5\6\7\1", .vm_size = big, .vm_rss = big, .vm_data = big, .vm_lck = big, .vm_swap = big } };
		shown_narrow(m);
		m->groups = (struct system_groups){ 0 };
		machine_free(m);
	}
}
END_TEST

static unsigned dice(void)
{
	static unsigned state = 4711;
	state = state * 1664525 + 1013904223;
	return state >> 8;
}

static void must_answer(void)
{
	static const int pids[] = { 0, 4242, 77, 88 };
	for (size_t i = 0; i < sizeof pids / sizeof *pids; i++) {
		struct machine *m;
		struct err *e = query_machine(scratch_directory(), pids[i], NULL, &m);
		ck_assert(!e || e->kind == ERR_NOT_FOUND);
		if (!e) {
			for (size_t k = 0; k < m->zones.list.n; k++)
				for (unsigned order = 0; order < m->zones.list.at[k].orders; order++)
					ck_assert_int_ge(system_unusable_index(&m->zones.list.at[k], order), 0);
			machine_free(m);
		}
		err_free(e);
	}
}

/* Each file in turn: cut, with bytes changed, with its numbers as large as can be; then put back. */
static void damage(const char *path, const char *text, size_t n)
{
	static const char foreign[] = "9-\n \t\0;,[]()%/=x\377:";
	for (int round = 0; round < 6; round++) {
		char *copy = malloc(n * 8 + 1);
		size_t length = n;
		memcpy(copy, text, n);
		if (round < 2) {
			length = n ? dice() % n : 0;
		} else if (round < 5) {
			for (size_t i = 0; i < n / 16 + 1 && n; i++)
				copy[dice() % n] = foreign[dice() % (sizeof foreign - 1)];
		} else {
			length = 0;
			for (size_t i = 0; i < n; i++)
				for (int k = text[i] >= '0' && text[i] <= '9' ? 8 : 1; k; k--)
					copy[length++] = k == 1 ? text[i] : '9';
		}
		scratch_file(path, copy, length);
		free(copy);
		must_answer();
	}
	scratch_file(path, text, n);
}

START_TEST(damaged_files_cost_figures_alone)
{
	static const char *const machines[] = { "healthy", "fragmented", "cgroup2", "cgroup1", "strict", "short" };
	unpack(machines[_i]);
	each_file(machines[_i], damage);
}
END_TEST

START_TEST(a_tree_does_not_lead_out_of_itself)
{
	char path[128], target[160];
	unpack("cgroup2");
	snprintf(path, sizeof path, "%s/proc/meminfo", scratch_directory());
	ck_assert(!unlink(path) && !symlink("/proc/meminfo", path)); /* below the root that is itself */
	struct machine *m = ask(0);
	ck_assert_uint_eq(m->memory.total, UNKNOWN);
	machine_free(m);
	ck_assert(!unlink(path) && !symlink("../../../../../../../../proc/meminfo", path));
	m = ask(0);
	ck_assert_uint_eq(m->memory.total, UNKNOWN);
	machine_free(m);
	/* A FIFO is not waited for, a directory is no file, a loop of groups has an end. */
	ck_assert(!unlink(path) && !mkfifo(path, 0600));
	snprintf(path, sizeof path, "%s/proc/vmstat", scratch_directory());
	ck_assert(!unlink(path) && !mkdir(path, 0700));
	snprintf(path, sizeof path, "%s/sys/fs/cgroup/app.slice/loop", scratch_directory());
	snprintf(target, sizeof target, "%s/sys/fs/cgroup", scratch_directory());
	ck_assert(!symlink(target, path));
	m = ask(0);
	ck_assert(m->memory.total == UNKNOWN && m->counters.oom_kills == UNKNOWN && m->groups.n == 5);
	machine_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("system");
	TCase *t = tcase_create("system");

	tcase_add_test(t, a_healthy_machine);
	tcase_add_test(t, fragmentation_by_hand);
	tcase_add_test(t, a_zone_serves_above_its_watermark_alone);
	tcase_add_test(t, groups_of_version_2);
	tcase_add_test(t, the_dead_are_known_by_the_log);
	tcase_add_test(t, groups_of_version_1);
	tcase_add_test(t, strict_overcommit_leaves_little);
	tcase_add_test(t, a_machine_short_of_all);
	tcase_add_test(t, no_row_is_wider_than_80_columns);
	tcase_add_loop_test(t, damaged_files_cost_figures_alone, 0, 6);
	tcase_add_test(t, a_tree_does_not_lead_out_of_itself);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}

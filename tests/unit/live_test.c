/* Looks at running processes: forked children of the test, which say what they are by shared memory. What the kernel says in
 * /proc is the reference. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live_child.h"
#include "scratch.h"

static void child_with_memory(void)
{
	size_t page = 4096;
	uint8_t *p = mmap(NULL, 64 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 64; i += 2)
		memset(p + (size_t)i * page, i + 1, page);
	(void)*(volatile uint8_t *)(p + 33 * page); /* the zero page */
	uint8_t *hidden = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(hidden, 0x5a, 4 * page);
	mprotect(hidden, 4 * page, PROT_NONE);
	int fd = memfd_create("x", 0);
	if (ftruncate(fd, (off_t)(4 * page)))
		_exit(1);
	uint8_t *memory = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memset(memory + page, 0x77, page);
	shared->address[0] = (uintptr_t)p;
	shared->address[1] = (uintptr_t)hidden;
	shared->address[2] = (uintptr_t)memory;
	shared->ready = 1;
	for (;;)
		pause();
}

START_TEST(present_pages_are_taken_and_no_others)
{
	start(child_with_memory);
	struct target *t = look(child);
	const struct picture *p = &t->picture;
	for (uint64_t i = 0; i < 64; i++) {
		const uint8_t *b = bytes_at(p, shared->address[0] + i * 4096, 4096);
		ck_assert_int_eq(b != NULL, i % 2 == 0);
		if (b)
			ck_assert(b[0] == i + 1 && b[4095] == i + 1);
	}
	const uint8_t *hidden = bytes_at(p, shared->address[1], 4 * 4096);
	ck_assert_ptr_nonnull(hidden);
	ck_assert(hidden[0] == 0x5a && hidden[4 * 4096 - 1] == 0x5a);
	ck_assert_ptr_null(bytes_at(p, shared->address[2], 1));
	const uint8_t *memory = bytes_at(p, shared->address[2] + 4096, 4096);
	ck_assert(memory && memory[7] == 0x77);
	ck_assert(p->have_pages && p->stops == 1 && p->stopped_seconds > 0 && !p->at_most);
	target_close(t);
}
END_TEST

START_TEST(resident_pages_add_up_to_rss)
{
	start(child_with_memory);
	struct target *t = look(child);
	uint64_t sum = 0;
	for (size_t i = 0; i < t->picture.pages.n; i++) {
		const struct page_run *r = &t->picture.pages.at[i];
		const struct mapping *m = picture_mapping(&t->picture, r->start);
		ck_assert(m && r->end <= m->end);
		/* the vdso's pages are not counted by the kernel */
		if (r->flags & PAGE_PRESENT && !(r->flags & PAGE_ZERO) && strcmp(m->path, "[vdso]") != 0)
			sum += r->end - r->start;
	}
	/* smaps counts page by page, VmRSS lags */
	char path[64], line[256];
	uint64_t rss = 0;
	snprintf(path, sizeof path, "/proc/%d/smaps", (int)child);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, "Rss:", 4))
			rss += strtoull(line + 4, NULL, 10) * 1024;
	ck_assert(f != NULL);
	fclose(f);
	ck_assert_uint_eq(sum, rss);
	target_close(t);
}
END_TEST

static void *parked(void *arg)
{
	(void)arg;
	__atomic_fetch_add(&shared->counter, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	return NULL;
}

static void child_with_threads(void)
{
	pthread_t t;
	for (int i = 0; i < 50; i++)
		pthread_create(&t, NULL, parked, NULL);
	prctl(PR_SET_NAME, "first");
	while (shared->counter < 50)
		nap();
	usleep(50000);
	shared->ready = 1;
	for (;;)
		pause();
}

/* /proc/PID/task/TID/syscall, once the thread waits in one: on its way there, and on its way back behind a stop, it runs. */
static void waiting_in(long tid, char *line, int max)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task/%ld/syscall", (int)child, tid);
	for (int tries = 0; tries < 20000; tries++) {
		FILE *f = fopen(path, "r");
		ck_assert(f && fgets(line, max, f));
		fclose(f);
		if (strncmp(line, "running", 7))
			return;
		usleep(1000);
	}
	ck_abort_msg("thread %ld does not come to rest", tid);
}

static void all_wait(void)
{
	char path[64], line[256];
	snprintf(path, sizeof path, "/proc/%d/task", (int)child);
	DIR *d = opendir(path);
	ck_assert(d);
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			waiting_in(atol(e->d_name), line, sizeof line);
	closedir(d);
}

/* sp and pc as the kernel gives them. */
static void check_registers(const struct picture *p, const struct thread *t)
{
	char line[256] = "", *last, *before;
	waiting_in(t->tid, line, sizeof line);
	last = strrchr(line, ' ');
	ck_assert_ptr_nonnull(last);
	*last = '\0';
	before = strrchr(line, ' ');
	ck_assert_ptr_nonnull(before);
	ck_assert_uint_eq(strtoull(before + 1, NULL, 16), arch_reg(p->arch, t->gregs, p->arch->reg_sp));
	ck_assert_uint_eq(strtoull(last + 1, NULL, 16), arch_reg(p->arch, t->gregs, p->arch->reg_pc));
}

START_TEST(all_threads_have_registers)
{
	start(child_with_threads);
	all_wait();
	struct target *t = look(child);
	ck_assert_uint_eq(t->picture.threads.n, 51);
	for (size_t i = 0; i < t->picture.threads.n; i++) {
		const struct thread *th = &t->picture.threads.at[i];
		ck_assert(th->stopped && th->fpregs.n >= 512 && th->tp);
		check_registers(&t->picture, th);
		if (th->tid == child)
			ck_assert_str_eq(th->comm, "first");
	}
	ck_assert_int_eq(status_field(child, "TracerPid:"), 0);
	target_close(t);
}
END_TEST

static void child_sparse(void)
{
	size_t n = 256 << 20;
	uint8_t *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *s = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (size_t i = 0; i < n; i += 5 << 20) {
		p[i] = 1;
		s[i] = 1;
	}
	shared->ready = 1;
	for (;;)
		pause();
}

START_TEST(looking_changes_nothing)
{
	static const char *const fields[] = { "VmRSS:", "VmPTE:", "VmSwap:", "RssShmem:", "RssAnon:", "RssFile:", "VmSize:" };
	long before[7];
	start(child_sparse);
	for (int i = 0; i < 7; i++)
		before[i] = status_field(child, fields[i]);
	struct target *t = look(child);
	for (int i = 0; i < 7; i++)
		ck_assert_msg(status_field(child, fields[i]) == before[i], "%s %ld -> %ld", fields[i], before[i],
			      status_field(child, fields[i]));
#ifndef __SANITIZE_ADDRESS__ /* whose shadow memory is read too */
	ck_assert(t->picture.read_bytes < 4 << 20);
#endif
	target_close(t);
}
END_TEST

START_TEST(a_spool_file_has_no_name)
{
	const char *dir = scratch_directory();
	start(child_with_memory);
	struct target_options o = { .force = true, .spool_dir = dir };
	struct target *t = open_target(child, &o);
	survey_and_take(t);
	const uint8_t *b = bytes_at(&t->picture, shared->address[0] + 2 * 4096, 4096);
	ck_assert(b && b[4095] == 3);
	/* Empty while it is in use. */
	ck_assert_int_eq(rmdir(dir), 0);
	target_close(t);
}
END_TEST

static void child_swapped(void)
{
	size_t n = 8 << 20;
	uint8_t *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i >> 12 ^ i);
	madvise(p, n, MADV_PAGEOUT);
	shared->address[0] = (uintptr_t)p;
	shared->ready = 1;
	for (;;)
		pause();
}

START_TEST(swapped_heap_is_touched_before_the_stop)
{
	start(child_swapped);
	if (status_field(child, "VmSwap:") <= 0) {
		printf("SKIP swapped_heap_is_touched_before_the_stop: needs swap\n");
		return;
	}
	struct target *t = look(child);
	const uint8_t *b = bytes_at(&t->picture, shared->address[0], 8 << 20);
	ck_assert_ptr_nonnull(b);
	for (size_t i = 0; i < 8 << 20; i += 509)
		ck_assert_uint_eq(b[i], (uint8_t)(i >> 12 ^ i));
	ck_assert(!t->picture.at_most);
	bool said = false;
	for (size_t i = 0; i < t->picture.findings.list.n; i++)
		said |= !strcmp(t->picture.findings.list.at[i].kind, "swapped-in");
	ck_assert(said);
	target_close(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("live");
	TCase *t = tcase_create("live");
	tcase_add_checked_fixture(t, live_setup, live_teardown);
	tcase_add_test(t, present_pages_are_taken_and_no_others);
	tcase_add_test(t, resident_pages_add_up_to_rss);
	tcase_add_test(t, all_threads_have_registers);
	tcase_add_test(t, looking_changes_nothing);
	tcase_add_test(t, a_spool_file_has_no_name);
	tcase_add_test(t, swapped_heap_is_touched_before_the_stop);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

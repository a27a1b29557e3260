/* Targets that are hard to stop, or must not notice: each goes on as it was. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "live_child.h"

static bool has_finding(const struct picture *p, const char *kind)
{
	for (size_t i = 0; i < p->findings.list.n; i++)
		if (!strcmp(p->findings.list.at[i].kind, kind))
			return true;
	return false;
}

static void wait_for_state(pid_t pid, char state)
{
	for (int i = 0; i < 5000 && state_of(pid) != state; i++)
		nap();
	ck_assert_int_eq(state_of(pid), state);
}

static void child_counting(void)
{
	for (;;) {
		shared->counter++;
		shared->ready = 1;
		usleep(200);
	}
}

START_TEST(a_stopped_target_stays_stopped)
{
	int status;
	start(child_counting);
	kill(child, SIGSTOP);
	ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
	struct target *t = look(child);
	ck_assert_uint_eq(t->picture.threads.n, 1);
	ck_assert(t->picture.threads.at[0].stopped);
	target_close(t);
	wait_for_state(child, 'T');
	int before = shared->counter;
	usleep(20000);
	ck_assert_int_eq(shared->counter, before);
	/* Its parent is told nothing new. */
	ck_assert_int_eq(waitpid(child, &status, WUNTRACED | WNOHANG), 0);
	kill(child, SIGCONT);
	ck_assert(runs_on(&shared->counter));
}
END_TEST

/* A shell's job: in a process group of its own, stopped by SIGTSTP, told to go on meanwhile. */
static void child_job(void)
{
	setpgid(0, 0);
	child_counting();
}

START_TEST(job_control_is_not_touched)
{
	int status;
	start(child_job);
	for (int i = 0; i < 10; i++) {
		kill(child, SIGTSTP);
		ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
		ck_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
		target_close(look(child));
		wait_for_state(child, 'T');
		kill(child, SIGCONT);
		ck_assert_int_eq(waitpid(child, &status, WCONTINUED), child);
		ck_assert(WIFCONTINUED(status));
		ck_assert(runs_on(&shared->counter));
	}
}
END_TEST

static void child_vfork(void)
{
	pid_t p = vfork();
	if (!p) {
		shared->ready = 1;
		while (!shared->go)
			usleep(1000);
		_exit(0);
	}
	waitpid(p, NULL, 0);
	child_counting();
}

START_TEST(a_parent_inside_vfork_is_left_out_and_let_go)
{
	start(child_vfork);
	struct target *t;
	struct quiet_plan none = { 0 };
	struct target_options o = { .force = true };
	t = open_target(child, &o);
	struct err *e = target_survey(t);
	ck_assert(!e);
	e = target_take(t, &none);
	/* It was the only thread: there is nothing that could be looked at. */
	ck_assert(e && strstr(e->text, "200 ms"));
	err_free(e);
	ck_assert_int_eq(status_field(child, "TracerPid:"), 0);
	shared->go = 1;
	ck_assert(runs_on(&shared->counter));
	/* The holder serves on. */
	survey_and_take(t);
	ck_assert(t->picture.threads.at[0].stopped);
	target_close(t);
}
END_TEST

static void *vforker(void *arg)
{
	child_vfork();
	return arg;
}

static void child_thread_in_vfork(void)
{
	pthread_t t;
	pthread_create(&t, NULL, vforker, NULL);
	for (;;)
		pause();
}

START_TEST(one_thread_inside_vfork_costs_its_registers_alone)
{
	start(child_thread_in_vfork);
	struct target *t = look(child);
	ck_assert_uint_eq(t->picture.threads.n, 2);
	ck_assert(t->picture.threads.at[0].stopped && !t->picture.threads.at[1].stopped);
	ck_assert(t->picture.at_most && has_finding(&t->picture, "thread-left-out"));
	shared->go = 1;
	ck_assert(runs_on(&shared->counter));
	target_close(t);
}
END_TEST

/* The last processor of those that we may use: true when there are others. */
static bool last_processor(cpu_set_t *ret)
{
	cpu_set_t all;
	CPU_ZERO(ret);
	sched_getaffinity(0, sizeof all, &all);
	for (int i = CPU_SETSIZE - 1; i >= 0 && !CPU_COUNT(ret); i--)
		if (CPU_ISSET(i, &all))
			CPU_SET(i, ret);
	return CPU_COUNT(&all) > 1;
}

static void *stay_on_last(void *arg)
{
	cpu_set_t last;
	last_processor(&last);
	sched_setaffinity(0, sizeof last, &last);
	child_counting();
	return arg;
}

static void child_with_thread_on_last(void)
{
	pthread_t t;
	pthread_create(&t, NULL, stay_on_last, NULL);
	for (;;)
		pause();
}

/* Lets nobody else on a processor for 600 ms. False: it may not. */
static bool take(const cpu_set_t *processor)
{
	struct timespec begun, now;
	int ready[2];
	char yes;
	ck_assert(!pipe2(ready, O_CLOEXEC));
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (sched_setaffinity(0, sizeof *processor, processor) || sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 1 }) ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		clock_gettime(CLOCK_MONOTONIC, &begun);
		do
			clock_gettime(CLOCK_MONOTONIC, &now);
		while ((now.tv_sec - begun.tv_sec) * 1000 + (now.tv_nsec - begun.tv_nsec) / 1000000 < 600);
		_exit(0);
	}
	close(ready[1]);
	bool taken = read(ready[0], &yes, 1) == 1;
	close(ready[0]);
	return taken;
}

START_TEST(who_waits_for_a_processor_is_waited_for)
{
	cpu_set_t last, rest;
	sched_getaffinity(0, sizeof rest, &rest);
	if (!last_processor(&last)) {
		printf("SKIP who_waits_for_a_processor: needs two processors\n");
		return;
	}
	start(child_with_thread_on_last);
	CPU_XOR(&rest, &rest, &last);
	ck_assert(!sched_setaffinity(0, sizeof rest, &rest));
	if (!take(&last)) {
		printf("SKIP who_waits_for_a_processor: needs root\n");
		return;
	}
	struct target *t = look(child);
	ck_assert_uint_eq(t->picture.threads.n, 2);
	ck_assert_msg(t->picture.threads.at[1].stopped || t->picture.stopped_seconds > 0.9, "left out after %g s", t->picture.stopped_seconds);
	target_close(t);
}
END_TEST

/* Becomes another program each moment, or each so often that a look may well end in between. */
static void exec_loop(const char *pause_command)
{
	static const char again[] = "$1; [ $2 -gt 0 ] && exec /bin/sh -c \"$0\" \"$0\" \"$1\" $(($2 - 1))";
	shared->ready = 1;
	execl("/bin/sh", "sh", "-c", again, again, pause_command, "100000", NULL);
	_exit(1);
}

static void child_exec_fast(void)
{
	exec_loop(":");
}

static char pause_command[32];

static void child_exec_slow(void)
{
	exec_loop(pause_command);
}

static int looks_at_exec(int tries)
{
	int taken = 0;
	for (int i = 0; i < tries; i++) {
		struct target_options o = { .force = true };
		struct quiet_plan none = { 0 };
		struct target *t = open_target(child, &o);
		struct err *e = target_survey(t);
		if (!e)
			e = target_take(t, &none);
		taken += !e;
		ck_assert_msg(!e || e->kind == ERR_OS || e->kind == ERR_NOT_FOUND, "%s", e ? e->text : "");
		err_free(e);
		target_close(t);
		ck_assert(state_of(child) != 't' && state_of(child) != '?');
		ck_assert_int_eq(waitpid(child, NULL, WNOHANG), 0);
	}
	return taken;
}

START_TEST(an_exec_loop_is_survived)
{
	start(child_exec_fast);
	looks_at_exec(20);
}
END_TEST

START_TEST(an_exec_in_between_starts_the_look_again)
{
	/* What a look takes depends on the machine. */
	struct timespec from, to;
	start(child_counting);
	clock_gettime(CLOCK_MONOTONIC, &from);
	target_close(look(child));
	clock_gettime(CLOCK_MONOTONIC, &to);
	live_teardown();
	double look_seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	snprintf(pause_command, sizeof pause_command, "sleep %.3f", 4 * look_seconds > 0.1 ? 4 * look_seconds : 0.1);
	shared->ready = 0;
	start(child_exec_slow);
	ck_assert_int_gt(looks_at_exec(20), 10);
}
END_TEST

static void *storm(void *arg)
{
	pthread_t t;
	pthread_attr_t a;
	__atomic_fetch_add(&shared->counter, 1, __ATOMIC_RELAXED);
	pthread_attr_init(&a);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&a, 65536);
	while (pthread_create(&t, &a, storm, arg))
		usleep(100);
	return NULL;
}

static void child_storm(void)
{
	for (int i = 0; i < 20; i++)
		storm(NULL);
	shared->ready = 1;
	for (;;)
		pause();
}

START_TEST(a_storm_of_threads_is_stopped_and_goes_on)
{
	start(child_storm);
	for (int i = 0; i < 20; i++) {
		struct target *t = look(child);
		/* Each chain has one thread at least. */
		ck_assert_uint_ge(t->picture.threads.n, 2);
		for (size_t k = 0; k < t->picture.threads.n; k++)
			ck_assert(t->picture.threads.at[k].stopped);
		target_close(t);
		ck_assert(runs_on(&shared->counter));
	}
}
END_TEST

/* clone() with no exit signal: a process of its own, which a tracer of clones gets too. */
static int cloned(void *arg)
{
	(void)arg;
	__atomic_fetch_add(&shared->go, 1, __ATOMIC_RELAXED);
	_exit(0);
}

static void child_cloning(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	for (;;) {
		pid_t p = clone(cloned, stack + sizeof stack, 0, NULL);
		shared->counter++;
		shared->ready = 1;
		if (p > 0)
			waitpid(p, NULL, __WALL);
	}
}

START_TEST(processes_made_by_clone_are_let_go)
{
	start(child_cloning);
	for (int i = 0; i < 100; i++) {
		struct target *t = look(child);
		ck_assert_uint_eq(t->picture.threads.n, 1);
		ck_assert_int_eq(t->picture.threads.at[0].tid, child);
		target_close(t);
		ck_assert(runs_on(&shared->counter));
	}
}
END_TEST

static void child_many_mappings(void)
{
	size_t n = 64000;
	uint8_t *p = mmap(NULL, n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < n; i += 2)
		if (mprotect(p + i * 4096, 4096, PROT_READ))
			break;
	for (size_t i = 1; i < n; i += 2)
		p[i * 4096] = 1;
	shared->address[0] = (uintptr_t)p;
	shared->ready = 1;
	for (;;)
		pause();
}

START_TEST(many_mappings)
{
	start(child_many_mappings);
	struct target *t = look(child);
	ck_assert_uint_gt(t->picture.maps.n, 63000);
	for (size_t i = 0; i < 63000; i++)
		ck_assert_int_eq(bytes_at(&t->picture, shared->address[0] + i * 4096, 1) != NULL, i % 2);
	target_close(t);
}
END_TEST

static int fault_fd;

static void *fault_handler(void *arg)
{
	uint8_t *page = arg;
	struct uffd_msg m;
	while (read(fault_fd, &m, sizeof m) == sizeof m) {
		shared->counter++;
		struct uffdio_copy c = { .dst = m.arg.pagefault.address & ~4095ull, .src = (uintptr_t)page, .len = 4096 };
		ioctl(fault_fd, UFFDIO_COPY, &c);
	}
	return NULL;
}

static void child_userfaultfd(void)
{
	uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *p = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register r = { .range = { (uintptr_t)p, 64 * 4096 }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t t;
	fault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	memset(page, 0x33, 4096);
	if (fault_fd < 0 || ioctl(fault_fd, UFFDIO_API, &api) || ioctl(fault_fd, UFFDIO_REGISTER, &r)) {
		shared->failed = errno;
	} else {
		pthread_create(&t, NULL, fault_handler, page);
		(void)*(volatile uint8_t *)(p + 4096);
	}
	shared->address[0] = (uintptr_t)p;
	shared->ready = 1;
	for (;;)
		pause();
}

START_TEST(pages_that_the_target_fills_itself_are_not_asked_for)
{
	start(child_userfaultfd);
	if (shared->failed) {
		printf("SKIP pages_that_the_target_fills_itself_are_not_asked_for: needs userfaultfd\n");
		return;
	}
	struct target *t = look(child);
	ck_assert_int_eq(shared->counter, 1);
	ck_assert_ptr_null(bytes_at(&t->picture, shared->address[0], 1));
	const uint8_t *b = bytes_at(&t->picture, shared->address[0] + 4096, 1);
	ck_assert(b && *b == 0x33);
	target_close(t);
}
END_TEST

static void *last_thread(void *arg)
{
	static char text[4096] = "found";
	(void)arg;
	while (state_of(getpid()) != 'Z')
		nap();
	shared->address[0] = (uintptr_t)text;
	shared->ready = 1;
	for (;;) {
		shared->counter++;
		usleep(1000);
	}
	return NULL;
}

static void child_without_leader(void)
{
	pthread_t t;
	pthread_create(&t, NULL, last_thread, NULL);
	pthread_exit(NULL);
}

START_TEST(a_dead_leader_hides_nothing)
{
	start(child_without_leader);
	struct target *t = look(child);
	ck_assert_uint_eq(t->picture.threads.n, 1);
	ck_assert(t->picture.threads.at[0].stopped && t->picture.threads.at[0].tid != child);
	const uint8_t *b = bytes_at(&t->picture, shared->address[0], 6);
	ck_assert(b && !memcmp(b, "found", 6));
	char text[8] = "";
	ck_assert(target_peek(t, shared->address[0], text, 6));
	ck_assert_str_eq(text, "found");
	ck_assert_uint_gt(t->picture.auxv.n, 0);
	const struct mapping *m = picture_mapping(&t->picture, (uintptr_t)child_without_leader);
	ck_assert(m && m->path[0]);
	int fd = target_open_mapped(t, m);
	ck_assert_int_ge(fd, 0);
	close(fd);
	target_close(t);
	ck_assert(runs_on(&shared->counter));
}
END_TEST

/* Signals come in while the target is stopped again and again: none is lost and none comes twice. */
static void count_signal(int sig)
{
	(void)sig;
	shared->counter++;
}

/* Under a sanitizer looks take longer and code is larger. */
#ifdef __SANITIZE_ADDRESS__
enum { SLOW = 20 };
#else
enum { SLOW = 1 };
#endif

static void child_signalled(void)
{
	struct sigaction a = { .sa_handler = count_signal };
	sigaction(SIGRTMIN, &a, NULL);
	shared->ready = 1;
	for (;;)
		pause();
}

START_TEST(no_signal_is_lost)
{
	start(child_signalled);
	pid_t sender = fork();
	if (!sender) {
		int i = 0;
		for (; i < 4000 || !shared->go; i++) {
			while (sigqueue(child, SIGRTMIN, (union sigval){ 0 }))
				usleep(100);
			usleep(SLOW * 50);
		}
		shared->address[0] = (uint64_t)i;
		_exit(0);
	}
	int looks = 0;
	for (; !waitpid(sender, NULL, WNOHANG); looks++) {
		struct target *t = look(child);
		ck_assert(t->picture.threads.at[0].stopped);
		target_close(t);
		shared->go = looks >= 20;
	}
	ck_assert_int_gt(looks, 20);
	int sent = (int)shared->address[0];
	ck_assert_int_ge(sent, 4000);
	for (int i = 0; i < 5000 && shared->counter < sent; i++)
		nap();
	ck_assert_int_eq(shared->counter, sent);
}
END_TEST

static void child_locked(void)
{
	shared->ready = 1;
	for (;;)
		pause();
}

START_TEST(a_busy_heap_is_stopped_again)
{
	start(child_locked);
	struct target_options o = { .force = true };
	struct target *t = open_target(child, &o);
	struct quiet_plan plan = { 0 };
	*vec_push(&plan.mutexes) = (uintptr_t)&shared->mutex;
	for (int locked = 0; locked < 2; locked++) {
		shared->mutex = locked;
		struct err *e = target_survey(t);
		if (!e)
			e = target_take(t, &plan);
		ck_assert_msg(!e, "%s", e ? e->text : "");
		ck_assert_int_eq(t->picture.quiet, !locked);
		ck_assert(locked ? t->picture.stops > 1 : t->picture.stops == 1);
	}
	vec_free(&plan.mutexes);
	target_close(t);
}
END_TEST

static volatile uint64_t spin_counter;

static __attribute__((noinline)) void spin_here(void)
{
	for (;;) {
		spin_counter++;
		shared->counter++;
	}
}

static void child_spinning(void)
{
	shared->ready = 1;
	spin_here();
}

START_TEST(a_thread_inside_malloc_is_seen)
{
	start(child_spinning);
	struct target_options o = { .force = true };
	struct target *t = open_target(child, &o);
	struct quiet_plan plan = { 0 };
	*vec_push(&plan.code) = (struct page_run){ .start = (uintptr_t)spin_here, .end = (uintptr_t)spin_here + SLOW * 64 };
	struct err *e = target_survey(t);
	if (!e)
		e = target_take(t, &plan);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	ck_assert(!t->picture.quiet && t->picture.stops > 1);
	vec_free(&plan.code);
	target_close(t);
	ck_assert(runs_on(&shared->counter));
}
END_TEST

static void child_large(void)
{
	size_t n = 256 << 20;
	uint8_t *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < n; i += 4096)
		p[i] = 1;
	child_counting();
}

START_TEST(max_stop_lets_go)
{
	start(child_large);
	struct quiet_plan none = { 0 };
	struct target_options o = { .max_stop = 0.002 };
	struct target *t = open_target(child, &o);
	struct err *e = target_survey(t);
	ck_assert(!e);
	/* Known beforehand: nothing is stopped. */
	e = target_take(t, &none);
	ck_assert(e && e->kind == ERR_LIMIT && e->hint && strstr(e->hint, "--max-stop"));
	err_free(e);
	t->options.force = true;
	e = target_take(t, &none);
	ck_assert(e && e->kind == ERR_LIMIT && strstr(e->text, "let go"));
	err_free(e);
	ck_assert(runs_on(&shared->counter));
	ck_assert_int_eq(status_field(child, "TracerPid:"), 0);
	/* The holder serves on. */
	t->options.max_stop = 60;
	survey_and_take(t);
	target_close(t);
	ck_assert(runs_on(&shared->counter));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("live_stop");
	TCase *t = tcase_create("live_stop");
	tcase_add_checked_fixture(t, live_setup, live_teardown);
	tcase_add_test(t, a_stopped_target_stays_stopped);
	tcase_add_test(t, job_control_is_not_touched);
	tcase_add_test(t, a_parent_inside_vfork_is_left_out_and_let_go);
	tcase_add_test(t, one_thread_inside_vfork_costs_its_registers_alone);
	tcase_add_test(t, who_waits_for_a_processor_is_waited_for);
	tcase_add_test(t, an_exec_loop_is_survived);
	tcase_add_test(t, an_exec_in_between_starts_the_look_again);
	tcase_add_test(t, a_storm_of_threads_is_stopped_and_goes_on);
	tcase_add_test(t, processes_made_by_clone_are_let_go);
	tcase_add_test(t, many_mappings);
	tcase_add_test(t, pages_that_the_target_fills_itself_are_not_asked_for);
	tcase_add_test(t, a_dead_leader_hides_nothing);
	tcase_add_test(t, no_signal_is_lost);
	tcase_add_test(t, a_busy_heap_is_stopped_again);
	tcase_add_test(t, a_thread_inside_malloc_is_seen);
	tcase_add_test(t, max_stop_lets_go);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

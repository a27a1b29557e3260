/* Whatever befalls flotsam, at whatever moment, the target goes on. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "live_child.h"
#include "scratch.h"

static void child_of_64_mib(void)
{
	size_t n = 64 << 20;
	uint8_t *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < n; i += 4096)
		p[i] = 1;
	for (;;) {
		shared->counter++;
		shared->ready = 1;
		usleep(100);
	}
}

/* Takes its memory once it is told to: inside the group. */
static void child_counting_in_group(void)
{
	shared->ready = 1;
	while (!shared->go)
		usleep(100);
	child_of_64_mib();
}

/* Looks again and again, whatever comes of it. */
static pid_t start_analyst(void)
{
	/* It ends with the test, however that ends; and libcheck's handlers, which it has until they are taken off, would end the
	 * test with it. */
	sigset_t both, before;
	sigemptyset(&both);
	sigaddset(&both, SIGINT);
	sigaddset(&both, SIGTERM);
	sigprocmask(SIG_BLOCK, &both, &before);
	pid_t p = fork();
	if (!p) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (p)
		return p;
	for (;;) {
		char what[16];
		struct target_options o = { .force = true };
		struct quiet_plan none = { 0 };
		struct target *t;
		snprintf(what, sizeof what, "%d", (int)child);
		struct err *e = target_open("live", what, &o, &t);
		if (!e) {
			e = target_survey(t);
			if (!e)
				e = target_take(t, &none);
			target_close(t);
		}
		shared->failed += e != NULL;
		shared->go++;
		if (e)
			nap();
		err_free(e);
	}
}

static void check_let_go(const char *what)
{
	long tracer = -1;
	for (int i = 0; i < 5000 && (tracer = status_field(child, "TracerPid:")); i++)
		nap();
	ck_assert_msg(!tracer, "%s: still traced", what);
	ck_assert_msg(runs_on(&shared->counter), "%s: state %c", what, state_of(child));
	ck_assert_int_eq(waitpid(child, NULL, WNOHANG | WUNTRACED), 0);
}

static void end(pid_t p)
{
	kill(p, SIGKILL);
	while (waitpid(p, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Waits until a tracer is there; its pid, 0 when none came. */
static pid_t wait_for_tracer(void)
{
	for (int i = 0; i < 200000; i++) {
		long tracer = status_field(child, "TracerPid:");
		if (tracer > 0)
			return (pid_t)tracer;
	}
	return 0;
}

static void wait_somewhere(int round)
{
	/* Every other time inside a stop, which is a small part of a look. */
	if (round % 2)
		wait_for_tracer();
	usleep((useconds_t)(rand() % (round % 2 ? 12000 : 60000)));
}

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGKILL, SIGTSTP, SIGSTOP, SIGPIPE };

START_TEST(a_signal_to_the_analyst_lets_go)
{
	int sig = signals[_i];
	srand((unsigned)_i);
	start(child_of_64_mib);
	for (int round = 0; round < 20; round++) {
		pid_t analyst = start_analyst();
		wait_somewhere(round);
		kill(analyst, sig);
		check_let_go(strsignal(sig));
		end(analyst);
		check_let_go(strsignal(sig));
	}
}
END_TEST

static pid_t parent_of(pid_t pid)
{
	return (pid_t)status_field(pid, "PPid:");
}

/* Kills that met a look. On a busy machine many come too late. */
enum { ENOUGH = 5 };

START_TEST(the_end_of_the_taker_lets_go)
{
	start(child_of_64_mib);
	pid_t analyst = start_analyst();
	int killed = 0;
	for (int round = 0; round < 30 || (killed <= ENOUGH && round < 600); round++) {
		pid_t taker = wait_for_tracer();
		usleep((useconds_t)(rand() % 8000));
		/* Still the same one, and below our analyst. */
		if (taker > 0 && status_field(child, "TracerPid:") == taker && parent_of(parent_of(taker)) == analyst)
			killed += !kill(taker, SIGKILL);
		ck_assert(runs_on(&shared->counter));
	}
	ck_assert_int_gt(killed, ENOUGH);
	/* The analyst saw errors, and pictures after them. */
	ck_assert_int_gt(shared->failed, 0);
	for (int i = 0; i < 10000 && shared->failed == shared->go; i++)
		nap();
	ck_assert_int_lt(shared->failed, shared->go);
	end(analyst);
	check_let_go("taker");
}
END_TEST

START_TEST(the_end_of_the_holder_lets_go)
{
	start(child_of_64_mib);
	pid_t analyst = start_analyst();
	int killed = 0;
	for (int round = 0; round < 30 || (killed <= ENOUGH && round < 600); round++) {
		pid_t taker = wait_for_tracer(), holder = taker > 0 ? parent_of(taker) : 0;
		usleep((useconds_t)(rand() % 8000));
		if (holder > 0 && parent_of(holder) == analyst)
			killed += !kill(holder, SIGKILL);
		ck_assert(runs_on(&shared->counter));
	}
	ck_assert_int_gt(killed, ENOUGH);
	ck_assert_int_gt(shared->failed, 0);
	ck_assert_int_eq(waitpid(analyst, NULL, WNOHANG), 0);
	end(analyst);
	check_let_go("holder");
}
END_TEST

START_TEST(two_targets_at_once)
{
	start(child_of_64_mib);
	pid_t first = child;
	shared->ready = 0;
	start(child_of_64_mib);
	struct target *a = look(first), *b = look(child);
	ck_assert_uint_gt(a->picture.extents.n, 0);
	ck_assert_uint_gt(b->picture.extents.n, 0);
	/* Each end closes by itself, in either order. */
	target_close(a);
	survey_and_take(b);
	target_close(b);
	end(first);
}
END_TEST

START_TEST(the_target_may_end_meanwhile)
{
	for (int round = 0; round < 20; round++) {
		shared->ready = 0;
		start(child_of_64_mib);
		pid_t analyst = start_analyst();
		wait_somewhere(round);
		kill(child, SIGKILL);
		ck_assert_int_eq(waitpid(child, NULL, 0), child);
		child = 0;
		/* The analyst goes on, with errors. */
		int before = shared->go;
		for (int i = 0; i < 5000 && shared->go < before + 3; i++)
			nap();
		ck_assert_int_ge(shared->go, before + 3);
		end(analyst);
	}
}
END_TEST

/* A memory cgroup (version 1 or 2) below our own, with room for the target alone. */
static bool make_group(char *dir, size_t n)
{
	snprintf(dir, n, "/sys/fs/cgroup/memory/flotsam-test-%d", (int)getpid());
	if (!mkdir(dir, 0700) && tell_kernel(dir, "memory.limit_in_bytes", "100663296"))
		return true;
	rmdir(dir);
	snprintf(dir, n, "/sys/fs/cgroup/flotsam-test-%d", (int)getpid());
	if (!mkdir(dir, 0700) && tell_kernel(dir, "memory.max", "100663296"))
		return true;
	rmdir(dir);
	return false;
}

/* Its exit says how a look from inside the group ended: 0 a picture, 10 + the kind of error. */
static int analyst_in_group(const char *dir, const char *spool)
{
	pid_t p = fork();
	if (!p) {
		char pid[16];
		snprintf(pid, sizeof pid, "%d", (int)getpid());
		if (!tell_kernel(dir, "cgroup.procs", pid))
			_exit(1);
		struct target_options o = { .force = true, .spool_dir = spool };
		struct quiet_plan none = { 0 };
		struct target *t;
		snprintf(pid, sizeof pid, "%d", (int)child);
		struct err *e = target_open("live", pid, &o, &t);
		if (!e)
			e = target_survey(t);
		if (!e)
			e = target_take(t, &none);
		_exit(e ? 10 + (int)e->kind : 0);
	}
	int status;
	ck_assert_int_eq(waitpid(p, &status, 0), p);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

START_TEST(in_a_full_cgroup_the_target_lives)
{
	char dir[256], pid[16];
	if (!make_group(dir, sizeof dir)) {
		printf("SKIP in_a_full_cgroup_the_target_lives: needs a writable memory cgroup\n");
		return;
	}
	start(child_counting_in_group);
	snprintf(pid, sizeof pid, "%d", (int)child);
	ck_assert(tell_kernel(dir, "cgroup.procs", pid));
	shared->go = 1;
	while (shared->counter < 10)
		nap();
	/* No room, and said so. */
	int refused = analyst_in_group(dir, NULL);
	/* Told to spool into memory, it runs into the limit: something of flotsam's is killed, never the target. */
	int spooled = analyst_in_group(dir, "/dev/shm");
	bool alive = !waitpid(child, NULL, WNOHANG) && runs_on(&shared->counter);
	long tracer = status_field(child, "TracerPid:");
	live_teardown();
	child = 0;
	for (int i = 0; i < 1000 && rmdir(dir); i++)
		nap();
	ck_assert_int_eq(refused, 10 + ERR_LIMIT);
	ck_assert_int_ne(spooled, 0);
	ck_assert(alive);
	ck_assert_int_eq(tracer, 0);
}
END_TEST

/* Under a sanitizer the children are slow enough for their kills to miss the look: the plain build judges. */
#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
START_TEST(left_to_the_plain_build)
{
	puts("SKIP live_safety: needs a build without AddressSanitizer");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("live_safety");
	TCase *t = tcase_create("live_safety");
	tcase_add_checked_fixture(t, live_setup, live_teardown);
	if (SANITIZED)
		tcase_add_test(t, left_to_the_plain_build);
	if (!SANITIZED)
		tcase_add_loop_test(t, a_signal_to_the_analyst_lets_go, 0, sizeof signals / sizeof signals[0]);
	if (!SANITIZED)
		tcase_add_test(t, the_end_of_the_taker_lets_go);
	if (!SANITIZED)
		tcase_add_test(t, the_end_of_the_holder_lets_go);
	if (!SANITIZED)
		tcase_add_test(t, two_targets_at_once);
	if (!SANITIZED)
		tcase_add_test(t, the_target_may_end_meanwhile);
	if (!SANITIZED)
		tcase_add_test(t, in_a_full_cgroup_the_target_lives);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

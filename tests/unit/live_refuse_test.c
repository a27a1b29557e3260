/* Each gate is named, with the step that opens it, and nothing is stopped. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live_child.h"
#include "scratch.h"
#include "src/target/refuse.h"

enum { NOBODY = 65534 };

static void child_waiting(void)
{
	prctl(PR_SET_NAME, "victim");
	shared->ready = 1;
	for (;;)
		pause();
}

static bool may_change_uid(const char *test)
{
	if (!geteuid())
		return true;
	printf("SKIP %s: needs root\n", test);
	return false;
}

static struct err *try_open(const char *what, bool force)
{
	struct target_options o = { .force = force };
	struct quiet_plan none = { 0 };
	struct target *t;
	struct err *e = target_open("live", what, &o, &t);
	if (e)
		return e;
	e = target_survey(t);
	if (!e)
		e = target_take(t, &none);
	target_close(t);
	return e;
}

static void check_refused(pid_t pid, bool force, enum err_kind kind, const char *text, const char *hint)
{
	char what[16];
	snprintf(what, sizeof what, "%d", (int)pid);
	struct err *e = try_open(what, force);
	ck_assert_msg(e != NULL, "not refused: %s", text);
	ck_assert_msg(e->kind == kind && strstr(e->text, text), "%d: %s", e->kind, e->text);
	ck_assert_msg(!hint || (e->hint && strstr(e->hint, hint)), "%s", e->hint ? e->hint : "no hint");
	err_free(e);
}

/* What is not effective now stays permitted, for the end of the test. */
static void use_capabilities(uint64_t which)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];
	ck_assert_int_eq(syscall(SYS_capget, &h, d), 0);
	for (int i = 0; i < 2; i++)
		d[i].effective = d[i].permitted & (uint32_t)(which >> (32 * i));
	ck_assert_int_eq(syscall(SYS_capset, &h, d), 0);
}

static void become_nobody(void)
{
	prctl(PR_SET_KEEPCAPS, 1);
	ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
	use_capabilities(0);
}

START_TEST(another_uid)
{
	char text[128];
	if (!may_change_uid("another_uid"))
		return;
	start(child_waiting);
	snprintf(text, sizeof text, "cannot attach to %d (victim): it runs as uid 0, you are uid %d", (int)child, NOBODY);
	become_nobody();
	check_refused(child, true, ERR_REFUSED, text, "try: sudo flotsam -p");
	use_capabilities(~0ull);
}
END_TEST

START_TEST(no_cap_sys_ptrace)
{
	if (!may_change_uid("no_cap_sys_ptrace"))
		return;
	start(child_waiting);
	use_capabilities(0);
	check_refused(child, true, ERR_REFUSED, "this container lacks CAP_SYS_PTRACE", "--cap-add=SYS_PTRACE");
}
END_TEST

static void child_not_dumpable(void)
{
	if (setresuid(NOBODY, NOBODY, NOBODY))
		_exit(1);
	prctl(PR_SET_DUMPABLE, 0);
	child_waiting();
}

START_TEST(not_dumpable)
{
	if (!may_change_uid("not_dumpable"))
		return;
	start(child_not_dumpable);
	become_nobody();
	check_refused(child, true, ERR_REFUSED, "it is not dumpable", "sudo");
}
END_TEST

START_TEST(pagemap_closed)
{
	if (!may_change_uid("pagemap_closed"))
		return;
#ifdef __SANITIZE_ADDRESS__
	/* The child is a copy of this program: without residency its shadow memory counts by its 14 TiB of addresses. */
	puts("SKIP pagemap_closed: needs a build without AddressSanitizer");
	return;
#endif
	start(child_waiting);
	become_nobody();
	use_capabilities(1ull << CAP_SYS_PTRACE);
	struct target *t = look(child);
	ck_assert(!t->picture.have_pages && t->picture.pages.n == 0);
	ck_assert_uint_gt(t->picture.read_bytes, 0);
	bool said = false;
	for (size_t i = 0; i < t->picture.findings.list.n; i++)
		said |= strstr(t->picture.findings.list.at[i].text, "pagemap is closed") != NULL;
	ck_assert(said);
	target_close(t);
	use_capabilities(~0ull);
}
END_TEST

START_TEST(already_traced)
{
	start(child_waiting);
	prctl(PR_SET_NAME, "debugger");
	ck_assert_int_eq(ptrace(PTRACE_SEIZE, child, 0, 0), 0);
	char text[64];
	snprintf(text, sizeof text, "debugger (pid %d) already traces it", (int)getpid());
	check_refused(child, true, ERR_REFUSED, text, "Detach it, or take a core");
}
END_TEST

START_TEST(a_zombie)
{
	start(child_waiting);
	kill(child, SIGKILL);
	for (int i = 0; i < 1000 && state_of(child) != 'Z'; i++)
		nap();
	check_refused(child, true, ERR_NOT_FOUND, "zombie", NULL);
}
END_TEST

START_TEST(a_kernel_thread)
{
	/* kthreadd, where the kernel's threads are seen. */
	if (status_field(2, "Kthread:") != 1) {
		printf("SKIP a_kernel_thread: needs the first pid namespace\n");
		return;
	}
	check_refused(2, true, ERR_UNSUPPORTED, "kernel thread", NULL);
}
END_TEST

START_TEST(no_such_process)
{
	start(child_waiting);
	pid_t gone = child;
	live_teardown();
	child = 0;
	check_refused(gone, true, ERR_NOT_FOUND, "no process", NULL);
	struct err *e = try_open("12x", true);
	ck_assert(e && e->kind == ERR_USAGE);
	err_free(e);
}
END_TEST

START_TEST(flotsam_and_what_it_runs_below)
{
	check_refused(getpid(), false, ERR_REFUSED, "flotsam itself", NULL);
	check_refused(getppid(), false, ERR_REFUSED, "flotsam runs below it", "--force");
}
END_TEST

static int pipe_ends[2];

static void child_at_pipe(void)
{
	close(pipe_ends[1]);
	child_waiting();
}

START_TEST(the_other_end_of_a_pipe)
{
	ck_assert_int_eq(pipe(pipe_ends), 0);
	start(child_at_pipe);
	close(pipe_ends[0]);
	int out = dup(1);
	dup2(pipe_ends[1], 1);
	char what[16];
	snprintf(what, sizeof what, "%d", (int)child);
	struct err *e = try_open(what, false), *forced = try_open(what, true);
	dup2(out, 1);
	ck_assert(e && e->kind == ERR_REFUSED && strstr(e->text, "pipe"));
	ck_assert(e->hint && strstr(e->hint, "--force"));
	ck_assert(!forced);
	err_free(e);
}
END_TEST

static volatile pid_t *thread_id;

static void *thread_waiting(void *arg)
{
	*thread_id = (pid_t)syscall(SYS_gettid);
	shared->ready = 1;
	pause();
	return arg;
}

static void child_of_two_threads(void)
{
	pthread_t t;
	pthread_create(&t, NULL, thread_waiting, NULL);
	for (;;)
		pause();
}

START_TEST(a_thread_is_no_process)
{
	char hint[32];
	thread_id = (volatile pid_t *)&shared->counter;
	start(child_of_two_threads);
	snprintf(hint, sizeof hint, "flotsam -p %d", (int)child);
	check_refused(*thread_id, true, ERR_USAGE, "is a thread of process", hint);
}
END_TEST

/* What /proc says below a root of our making, and the gate that follows from it. */
static const struct gate {
	const char *yama, *capabilities, *uid_map;
	uint32_t uid;
	bool as_root;
	const char *text, *hint;
} gates[] = {
	{ "0", "0", "0 0 4294967295", NOBODY, false, "it is not dumpable", "sudo" },
	{ "1", "0", "0 0 4294967295", NOBODY, false, "only lets a parent trace its child (yama ptrace_scope=1)", "sudo" },
	{ "2", "0", "0 0 4294967295", NOBODY, false, "lets only root trace (yama ptrace_scope=2)", "sudo" },
	{ "3", "0", "0 0 4294967295", NOBODY, false, "lets nobody trace (yama ptrace_scope=3)", "take a core" },
	{ "3", "1ffffffffff", "0 0 4294967295", 0, true, "lets nobody trace (yama ptrace_scope=3)", "take a core" },
	{ "1", "0", "0 0 4294967295", 1000, false, "it runs as uid 1000, you are uid 65534", "sudo" },
	{ "2", "0", "0 0 4294967295", 0, true, "this container lacks CAP_SYS_PTRACE", "--cap-add=SYS_PTRACE" },
	{ NULL, "0", "0 0 4294967295", NOBODY, false, "it is not dumpable", "sudo" },
	{ NULL, "1ffffffffff", "0 100000 65536", 0, true, "it lives in a user namespace above yours", "host" },
	{ "1", "1ffffffffff", "0 0 4294967295", 0, true, "Operation not permitted", "security module (lockdown,yama,apparmor)" },
};

static void put_file(const char *path, const char *text)
{
	scratch_file(path, text, strlen(text));
}

START_TEST(each_gate_by_its_signs)
{
	const struct gate *g = &gates[_i];
	const char *root = scratch_directory();
	char text[128];
	if (!may_change_uid("each_gate_by_its_signs"))
		return;
	ck_assert(!chmod(root, 0755));
	snprintf(text, sizeof text, "Name:\tvictim\nState:\tS (sleeping)\nTgid:\t42\nUid:\t%u\t%u\t%u\t%u\n", g->uid, g->uid, g->uid, g->uid);
	put_file("/proc/42/status", text);
	put_file("/proc/42/uid_map", "0 0 4294967295");
	put_file("/proc/self/uid_map", g->uid_map);
	snprintf(text, sizeof text, "Name:\tflotsam\nState:\tR\nCapEff:\t%s\n", g->capabilities);
	put_file("/proc/self/status", text);
	put_file("/sys/kernel/security/lsm", "lockdown,yama,apparmor\n");
	if (g->yama)
		put_file("/proc/sys/kernel/yama/ptrace_scope", g->yama);
	if (!g->as_root)
		become_nobody();
	struct err *e = refuse_access(root, 42, EPERM);
	use_capabilities(~0ull);
	ck_assert(!setresuid(0, 0, 0));
	ck_assert_msg(strstr(e->text, g->text), "%s", e->text);
	ck_assert_msg(e->hint && strstr(e->hint, g->hint), "%s", e->hint ? e->hint : "no hint");
	err_free(e);
}
END_TEST

/* A freezer of version 1: what is frozen there stops for nobody. */
START_TEST(a_frozen_target)
{
	char dir[128], pid[16];
	start(child_waiting);
	snprintf(dir, sizeof dir, "/sys/fs/cgroup/freezer/flotsam-test-%d", (int)getpid());
	snprintf(pid, sizeof pid, "%d", (int)child);
	if (mkdir(dir, 0700) || !tell_kernel(dir, "cgroup.procs", pid) || !tell_kernel(dir, "freezer.state", "FROZEN")) {
		printf("SKIP a_frozen_target: needs a writable freezer cgroup\n");
		rmdir(dir);
		return;
	}
	usleep(50000);
	struct err *e = try_open(pid, true);
	long tracer = status_field(child, "TracerPid:");
	bool thawed = tell_kernel(dir, "freezer.state", "THAWED");
	live_teardown();
	child = 0;
	for (int i = 0; i < 1000 && rmdir(dir); i++)
		nap();
	ck_assert(thawed);
	ck_assert_msg(e && strstr(e->text, "frozen"), "%s", e ? e->text : "not refused");
	ck_assert_int_eq(tracer, 0);
	err_free(e);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("live_refuse");
	TCase *t = tcase_create("live_refuse");
	tcase_add_checked_fixture(t, live_setup, live_teardown);
	tcase_add_test(t, another_uid);
	tcase_add_test(t, no_cap_sys_ptrace);
	tcase_add_test(t, not_dumpable);
	tcase_add_test(t, pagemap_closed);
	tcase_add_test(t, already_traced);
	tcase_add_test(t, a_zombie);
	tcase_add_test(t, a_kernel_thread);
	tcase_add_test(t, no_such_process);
	tcase_add_test(t, flotsam_and_what_it_runs_below);
	tcase_add_test(t, the_other_end_of_a_pipe);
	tcase_add_test(t, a_thread_is_no_process);
	tcase_add_test(t, a_frozen_target);
	tcase_add_loop_test(t, each_gate_by_its_signs, 0, sizeof gates / sizeof gates[0]);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

/* The analyst shut in: what it may still do, and that nothing else is left, with each of the fences alone too. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "scratch.h"
#include "src/front/sandbox.h"

static char inside[300], beside[300];
static pid_t other;

static void make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert(fd >= 0 && write(fd, "text", 4) == 4 && !close(fd));
}

static void setup(void)
{
	char sub[300];
	unsetenv("FLOTSAM_SANDBOX");
	snprintf(sub, sizeof sub, "%s/root", scratch_directory());
	ck_assert(!mkdir(sub, 0700));
	snprintf(inside, sizeof inside, "%s/root/inside", scratch_directory());
	snprintf(beside, sizeof beside, "%s/beside", scratch_directory());
	make_file(inside);
	make_file(beside);
	other = fork();
	if (!other) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
}

static void teardown(void)
{
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
}

/* Reads below the root alone. */
static const char *enter(void)
{
	static struct sandbox s;
	static char root[300];
	snprintf(root, sizeof root, "%s/root", scratch_directory());
	s = (struct sandbox){ 0 };
	ck_assert(sandbox_read_below(&s, root) && sandbox_read_below(&s, "/proc") && sandbox_read_below(&s, NULL));
	struct err *e = sandbox_enter(&s);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	return s.note;
}

static bool has(const char *note, const char *fence)
{
	char not[64];
	snprintf(not, sizeof not, "not by %s", fence);
	return !strstr(note, not) && strstr(note, fence);
}

static bool lacks(const char *test, const char *note, const char *fence)
{
	if (has(note, fence))
		return false;
	printf("SKIP %s: needs a kernel and a build with %s\n", test, fence);
	return true;
}

static bool opens(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void check_no_writing(void)
{
	char fresh[300];
	snprintf(fresh, sizeof fresh, "%s/root/new", scratch_directory());
	ck_assert(!opens(inside, O_WRONLY) && !opens(inside, O_RDWR) && !opens(inside, O_RDONLY | O_TRUNC));
	ck_assert(!opens(fresh, O_WRONLY | O_CREAT) && !opens(scratch_directory(), O_TMPFILE | O_RDWR));
	ck_assert(unlink(inside) && rename(inside, fresh) && link(inside, fresh) && symlink(inside, fresh) && mkdir(fresh, 0700));
	ck_assert(truncate(inside, 0) && mkfifo(fresh, 0600));
	struct stat st;
	ck_assert(!stat(inside, &st) && st.st_size == 4);
}

START_TEST(reads_below_its_roots_alone)
{
	int before = open(beside, O_WRONLY | O_APPEND | O_CLOEXEC);
	const char *note = enter();
	if (lacks("reads_below_its_roots_alone", note, "Landlock"))
		return;
	ck_assert(opens(inside, O_RDONLY) && opens("/proc/self/maps", O_RDONLY));
	ck_assert(!opens(beside, O_RDONLY) && !opens("/etc/passwd", O_RDONLY));
	check_no_writing();
	/* What was open stays so: the file of -o. */
	ck_assert_int_eq(write(before, "more", 4), 4);
}
END_TEST

static void *increment(void *at)
{
	++*(int *)at;
	return NULL;
}

START_TEST(runs_nothing_and_connects_to_nothing)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un named = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	socklen_t n = sizeof here;
	int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), local = socket(AF_UNIX, SOCK_DGRAM, 0);
	ck_assert(!bind(server, (struct sockaddr *)&here, sizeof here) && !listen(server, 1) && !getsockname(server, (struct sockaddr *)&here, &n));
	char byte;
	struct iovec ours = { &byte, 1 }, theirs = { &byte, 1 };
	/* All of it goes when nothing forbids it. */
	ck_assert_int_eq(process_vm_readv(other, &ours, 1, &theirs, 1, 0), 1);
	const char *note = enter();
	if (lacks("runs_nothing_and_connects_to_nothing", note, "seccomp"))
		return;
	char *argv[] = { (char *)"/bin/true", NULL };
	execv(argv[0], argv);
	ck_assert_msg(errno == ENOSYS, "exec: %d", errno);
	ck_assert(syscall(SYS_execveat, AT_FDCWD, argv[0], argv, NULL, 0) < 0);
	ck_assert(fork() < 0 && syscall(SYS_vfork) < 0);
	ck_assert(socket(AF_INET, SOCK_STREAM, 0) < 0 && socket(AF_UNIX, SOCK_STREAM, 0) < 0);
	ck_assert(connect(client, (struct sockaddr *)&here, sizeof here) < 0 && connect(local, (struct sockaddr *)&named, sizeof named) < 0);
	ck_assert(ptrace(PTRACE_SEIZE, other, 0, 0) < 0 && process_vm_readv(other, &ours, 1, &theirs, 1, 0) < 0);
	ck_assert(process_vm_writev(other, &ours, 1, &theirs, 1, 0) < 0 && kill(other, SIGTERM) < 0 && syscall(SYS_pidfd_open, other, 0) < 0);
	ck_assert(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(p != MAP_FAILED && mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0);
	/* Typing into the terminal: refused as a call, not for want of one. */
	errno = 0;
	ck_assert(ioctl(0, TIOCSTI, "x") < 0 && errno == ENOSYS);
	ck_assert(prctl(PR_SET_DUMPABLE, 1) < 0 && unshare(CLONE_NEWUSER) < 0 && chdir("/") < 0);
	struct rlimit more = { 1, 1 };
	ck_assert(setrlimit(RLIMIT_NOFILE, &more) < 0 && !getrlimit(RLIMIT_NOFILE, &more));
}
END_TEST

/* What the analyst lives on: memory, threads, its own descriptors, memory files, signals to itself. */
START_TEST(works_on)
{
	enter();
	pthread_t thread;
	int count = 0;
	ck_assert(!pthread_create(&thread, NULL, increment, &count) && !pthread_join(thread, NULL) && count == 1);
	void *large = malloc(64 << 20);
	ck_assert(large != NULL);
	memset(large, 1, 64 << 20);
	large = realloc(large, 128 << 20);
	ck_assert(large != NULL);
	free(large);
	int fd = memfd_create("x", MFD_CLOEXEC), copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	ck_assert(fd >= 0 && copy > fd && write(fd, "x", 1) == 1 && !ftruncate(fd, 8192));
	ck_assert(sysconf(_SC_NPROCESSORS_ONLN) > 0 && !raise(0) && monotonic_seconds() > 0);
}
END_TEST

/* A kernel without: the fence's calls are answered as one would that lacks it. */
static void take_away(const int *calls, size_t n)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	ck_assert(f != NULL);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), calls[i], 0), 0);
	ck_assert_int_eq(seccomp_rule_add(f, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, n > 1 ? PR_SET_SECCOMP : 9999)), 0);
	ck_assert_int_eq(seccomp_load(f), 0);
	seccomp_release(f);
}

START_TEST(seccomp_alone)
{
	take_away((int[]){ 444 }, 1);
	const char *note = enter();
	ck_assert(strstr(note, "not by Landlock"));
	if (lacks("seccomp_alone", note, "seccomp"))
		return;
	ck_assert(opens(inside, O_RDONLY));
	check_no_writing();
	/* openat2's flags cannot be seen. */
	uint64_t how[3] = { O_WRONLY, 0, 0 };
	ck_assert(syscall(SYS_openat2, AT_FDCWD, inside, how, sizeof how) < 0);
}
END_TEST

START_TEST(landlock_alone)
{
	take_away((int[]){ SCMP_SYS(seccomp), SCMP_SYS(socketpair) }, 2);
	const char *note = enter();
	ck_assert(strstr(note, "not by seccomp"));
	if (lacks("landlock_alone", note, "Landlock"))
		return;
	ck_assert(opens(inside, O_RDONLY) && !opens(beside, O_RDONLY));
	check_no_writing();
	uint64_t how[3] = { O_WRONLY, 0, 0 };
	ck_assert(syscall(SYS_openat2, AT_FDCWD, inside, how, sizeof how) < 0);
	char *argv[] = { (char *)"/bin/true", NULL };
	ck_assert(execv(argv[0], argv) < 0);
	ck_assert(ptrace(PTRACE_SEIZE, other, 0, 0) < 0);
}
END_TEST

static uint64_t capabilities(const char *which, pid_t pid)
{
	char path[64], line[256];
	uint64_t v = UINT64_MAX;
	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, which, strlen(which)))
			v = strtoull(line + strlen(which), NULL, 16);
	if (f)
		fclose(f);
	return v;
}

START_TEST(has_no_capabilities)
{
	const uint64_t dac_read_search = 1 << 2;
	enter();
	ck_assert_uint_eq(capabilities("CapEff:", getpid()) & ~dac_read_search, 0);
	ck_assert_uint_eq(capabilities("CapPrm:", getpid()) & ~dac_read_search, 0);
	ck_assert_uint_eq(capabilities("NoNewPrivs:", getpid()), 1);
}
END_TEST

START_TEST(nameless_files_while_a_core_is_expanded)
{
	char root[300];
	snprintf(root, sizeof root, "%s/root", scratch_directory());
	struct sandbox s = { .read = { "/" }, .n_read = 1, .write = { root }, .n_write = 1 };
	struct err *e = sandbox_enter(&s);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	int fd = open(root, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EOPNOTSUPP) {
		puts("SKIP nameless_files_while_a_core_is_expanded: needs a file system with nameless files");
		return;
	}
	ck_assert(fd >= 0 && write(fd, "x", 1) == 1 && !ftruncate(fd, 8192));
	ck_assert(has(s.note, "Landlock") ? !opens(scratch_directory(), O_TMPFILE | O_RDWR) : true);
	/* And no more once it is. */
	enter();
	ck_assert(!opens(root, O_TMPFILE | O_RDWR));
}
END_TEST

START_TEST(can_be_left_out_by_name)
{
	setenv("FLOTSAM_SANDBOX", "off", 1);
	ck_assert(strstr(enter(), "FLOTSAM_SANDBOX") && opens(beside, O_WRONLY));
}
END_TEST

/* The real thing: a report that waits for its reader is looked at. */
START_TEST(the_analyst_is_shut_in)
{
	char pid[16];
	int out[2];
#ifdef __SANITIZE_ADDRESS__
	puts("SKIP the_analyst_is_shut_in: needs a build without AddressSanitizer");
	return;
#endif
	snprintf(pid, sizeof pid, "%d", (int)other);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	ck_assert_int_eq(fcntl(out[1], F_SETPIPE_SZ, 4096), 4096);
	pid_t flotsam = fork();
	if (!flotsam) {
		dup2(out[1], 1);
		execl(flotsam_path(), "flotsam", "report", pid, "--force", "--format", "json", NULL);
		_exit(127);
	}
	close(out[1]);
	char byte;
	ck_assert_int_eq(read(out[0], &byte, 1), 1);
	uint64_t mode = capabilities("Seccomp:", flotsam), rights = capabilities("CapEff:", flotsam), none = capabilities("NoNewPrivs:", flotsam);
	kill(flotsam, SIGKILL);
	waitpid(flotsam, NULL, 0);
	ck_assert_uint_eq(mode, 2);
	ck_assert_uint_eq(none, 1);
	ck_assert_uint_eq(rights & ~4ull, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandbox");
	TCase *t = tcase_create("sandbox");
	/* Around the suite, by the process that is not shut in. */
	tcase_add_unchecked_fixture(t, setup, teardown);
	tcase_add_test(t, reads_below_its_roots_alone);
	tcase_add_test(t, runs_nothing_and_connects_to_nothing);
	tcase_add_test(t, works_on);
	tcase_add_test(t, seccomp_alone);
	tcase_add_test(t, landlock_alone);
	tcase_add_test(t, has_no_capabilities);
	tcase_add_test(t, nameless_files_while_a_core_is_expanded);
	tcase_add_test(t, can_be_left_out_by_name);
	tcase_add_test(t, the_analyst_is_shut_in);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

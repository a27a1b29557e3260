/* A program that is only looked at sees no EINTR, whatever it waits in. */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live_child.h"

#define LONG_TIME { 1000, 0 }

static int timed_socket(int other, int option)
{
	int s[2];
	struct timeval t = LONG_TIME;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s) || setsockopt(s[0], SOL_SOCKET, option, &t, sizeof t))
		_exit(2);
	if (option == SO_SNDTIMEO) { /* filled, so that the next write waits */
		char junk[4096] = { 0 };
		while (send(s[0], junk, sizeof junk, MSG_DONTWAIT) > 0)
			;
	}
	return s[other];
}

static int listener(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct timeval t = LONG_TIME;
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(s, (struct sockaddr *)&a, sizeof(sa_family_t)) || listen(s, 1) || setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t))
		_exit(2);
	return s;
}

static int pipe_end(void)
{
	int p[2];
	return pipe(p) ? -1 : p[0];
}

static int epoll(void)
{
	return epoll_create1(0);
}

static struct epoll_event event;
static struct timespec long_time = LONG_TIME;
static char byte[64];
static struct iovec piece = { byte, 1 };

static long w_epoll_wait(void) { return epoll_wait(epoll(), &event, 1, -1); }
static long w_epoll_wait_timed(void) { return epoll_wait(epoll(), &event, 1, 1000000); }
static long w_epoll_pwait(void)
{
	sigset_t set;
	sigemptyset(&set);
	return epoll_pwait(epoll(), &event, 1, -1, &set);
}
static long w_epoll_pwait2(void) { return syscall(441, epoll(), &event, 1, &long_time, NULL, 8); }
static long w_recv(void) { return recv(timed_socket(0, SO_RCVTIMEO), byte, 1, 0); }
static long w_recvmsg(void)
{
	struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1 };
	return recvmsg(timed_socket(0, SO_RCVTIMEO), &m, 0);
}
static long w_recvmmsg(void)
{
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &piece, .msg_iovlen = 1 } };
	return recvmmsg(timed_socket(0, SO_RCVTIMEO), &m, 1, 0, NULL);
}
static long w_read_socket(void) { return read(timed_socket(0, SO_RCVTIMEO), byte, 1); }
static long w_readv_socket(void) { return readv(timed_socket(0, SO_RCVTIMEO), &piece, 1); }
static long w_accept(void) { return accept(listener(), NULL, NULL); }
static long w_accept4(void) { return accept4(listener(), NULL, NULL, SOCK_CLOEXEC); }
static long w_send(void) { return send(timed_socket(0, SO_SNDTIMEO), byte, sizeof byte, 0); }
static long w_write_socket(void) { return write(timed_socket(0, SO_SNDTIMEO), byte, sizeof byte); }
static long w_semop(void)
{
	struct sembuf b = { 0, -1, 0 };
	int id = semget(IPC_PRIVATE, 1, 0600);
	shared->address[0] = (uint64_t)id;
	return semop(id, &b, 1);
}
static long w_semtimedop(void)
{
	struct sembuf b = { 0, -1, 0 };
	int id = semget(IPC_PRIVATE, 1, 0600);
	shared->address[1] = (uint64_t)id;
	return semtimedop(id, &b, 1, &long_time);
}
static long w_sigtimedwait(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return sigtimedwait(&set, NULL, &long_time);
}
static long w_sigwaitinfo(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return sigwaitinfo(&set, NULL);
}
static long w_io_getevents(void)
{
	aio_context_t ctx = 0;
	struct io_event e;
	if (syscall(SYS_io_setup, 4, &ctx))
		return 0;
	return syscall(SYS_io_getevents, ctx, 1, 1, &e, NULL);
}
static long w_poll(void)
{
	struct pollfd p = { pipe_end(), POLLIN, 0 };
	return poll(&p, 1, -1);
}
static long w_poll_timed(void)
{
	struct pollfd p = { pipe_end(), POLLIN, 0 };
	return poll(&p, 1, 1000000);
}
static long w_ppoll(void)
{
	struct pollfd p = { pipe_end(), POLLIN, 0 };
	return ppoll(&p, 1, &long_time, NULL);
}
static long w_select(void)
{
	struct timeval t = LONG_TIME;
	return select(0, NULL, NULL, NULL, &t);
}
static long w_pselect(void) { return pselect(0, NULL, NULL, NULL, &long_time, NULL); }
static long w_nanosleep(void) { return nanosleep(&long_time, NULL); }
static long w_clock_nanosleep(void) { return (errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &long_time, NULL)) ? -1 : 0; }
static long w_futex(void)
{
	static int word;
	return syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL);
}
static long w_futex_timed(void)
{
	static int word;
	return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &long_time);
}
static long w_read_pipe(void) { return read(pipe_end(), byte, 1); }
static long w_msgrcv(void)
{
	int id = msgget(IPC_PRIVATE, 0600);
	shared->address[2] = (uint64_t)id;
	return msgrcv(id, byte, 8, 0, 0);
}
static long w_flock(void)
{
	int a = memfd_create("lock", 0);
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", a);
	flock(a, LOCK_EX);
	return flock(open(path, O_RDWR), LOCK_EX);
}
static long w_eventfd(void) { return read(eventfd(0, 0), byte, 8); }
static long w_timerfd(void) { return read(timerfd_create(CLOCK_MONOTONIC, 0), byte, 8); }
static long w_inotify(void) { return read(inotify_init1(0), byte, sizeof byte); }
static long w_pause(void) { return pause(); }
static long w_sigsuspend(void)
{
	sigset_t set;
	sigfillset(&set);
	return sigsuspend(&set);
}
static long w_recv_untimed(void)
{
	int s[2];
	return socketpair(AF_UNIX, SOCK_STREAM, 0, s) ? 0 : recv(s[0], byte, 1, 0);
}
static long w_waitpid(void)
{
	pid_t p = fork();
	if (!p) {
		shared->address[3] = (uint64_t)getpid();
		for (;;)
			pause();
	}
	return waitpid(p, NULL, 0);
}

static const struct wait_kind {
	const char *name;
	long (*call)(void);
} kinds[] = {
#define K(name) { #name, w_##name }
	K(epoll_wait), K(epoll_wait_timed), K(epoll_pwait), K(epoll_pwait2), K(recv), K(recvmsg), K(recvmmsg), K(read_socket),
	K(readv_socket), K(accept), K(accept4), K(send), K(write_socket), K(semop), K(semtimedop), K(sigtimedwait), K(sigwaitinfo),
	K(io_getevents), K(poll), K(poll_timed), K(ppoll), K(select), K(pselect), K(nanosleep), K(clock_nanosleep), K(futex),
	K(futex_timed), K(read_pipe), K(msgrcv), K(flock), K(eventfd), K(timerfd), K(inotify), K(pause), K(sigsuspend),
	K(recv_untimed), K(waitpid),
#undef K
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

struct report {
	volatile int errors[KINDS];
	volatile pid_t tids[KINDS];
};
static struct report *report;

static void *waiter(void *arg)
{
	size_t k = (size_t)(uintptr_t)arg;
	report->tids[k] = (pid_t)syscall(SYS_gettid);
	long n = kinds[k].call();
	report->errors[k] = n < 0 ? errno : -1;
	for (;;)
		pause();
	return NULL;
}

static void child_waiting(void)
{
	sigset_t set;
	pthread_t t;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (size_t k = 0; k < KINDS; k++)
		pthread_create(&t, NULL, waiter, (void *)(uintptr_t)k);
	shared->ready = 1;
	for (;;)
		pause();
}

/* Number of the syscall that the thread waits in; -1 when it is in none. */
static int syscall_of(pid_t tid)
{
	char path[64], line[256] = "";
	snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", (int)child, (int)tid);
	FILE *f = fopen(path, "r");
	if (!f || !fgets(line, sizeof line, f) || line[0] == 'r')
		line[0] = '\0';
	if (f)
		fclose(f);
	return line[0] ? atoi(line) : -1;
}

/* The calls of all; false: they are not those of last time, or not all wait. */
static bool read_calls(int calls[KINDS])
{
	bool same = true;
	for (size_t k = 0; k < KINDS; k++) {
		int now = syscall_of(report->tids[k]);
		same &= now >= 0 && now == calls[k];
		calls[k] = now;
	}
	return same;
}

static void start_waiting(int calls[KINDS])
{
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	start(child_waiting);
	/* All in a call, and in the same one for half a second. */
	for (int i = 0, same = 0; i < 20000 && same < 500; i++) {
		same = read_calls(calls) ? same + 1 : 0;
		nap();
	}
	for (size_t k = 0; k < KINDS; k++) {
		ck_assert_msg(calls[k] >= 0 && !report->errors[k], "%s does not wait: %s", kinds[k].name, strerror(report->errors[k]));
	}
}

static void stop_waiting(void)
{
	semctl((int)shared->address[0], 0, IPC_RMID);
	semctl((int)shared->address[1], 0, IPC_RMID);
	msgctl((int)shared->address[2], IPC_RMID, NULL);
	if (shared->address[3])
		kill((pid_t)shared->address[3], SIGKILL);
}

static int count_eintr(void)
{
	int n = 0;
	for (size_t k = 0; k < KINDS; k++)
		n += report->errors[k] == EINTR;
	return n;
}

static bool waits_as_before(size_t k, const int calls[KINDS])
{
	int now = syscall_of(report->tids[k]);
	return now == calls[k] || now == SYS_restart_syscall;
}

START_TEST(no_wait_returns_eintr)
{
	int calls[KINDS] = { 0 };
	start_waiting(calls);
	for (int i = 0; i < 5; i++) {
		target_close(look(child));
		for (int n = 0; n < 300; n++)
			nap();
		/* A call that ended is said to have, and followed by another; one that is restarted may wait for a processor. */
		for (size_t k = 0; k < KINDS; k++) {
			for (int tries = 0; tries < 5000 && !waits_as_before(k, calls) && !report->errors[k]; tries++)
				nap();
			ck_assert_msg(!report->errors[k], "%s: %s", kinds[k].name, strerror(report->errors[k]));
			ck_assert_msg(waits_as_before(k, calls), "%s: %d -> %d", kinds[k].name, calls[k], syscall_of(report->tids[k]));
		}
	}
	stop_waiting();
}
END_TEST

START_TEST(without_the_repair_some_do)
{
	int calls[KINDS] = { 0 };
	start_waiting(calls);
	struct target_options o = { .force = true, .no_restart_fix = true };
	struct target *t = open_target(child, &o);
	survey_and_take(t);
	target_close(t);
	for (int i = 0; i < 5000 && count_eintr() < 10; i++)
		nap();
	ck_assert_int_ge(count_eintr(), 10);
	stop_waiting();
}
END_TEST

static int epoll_fd;
static int epoll_timeout;

static void child_in_epoll(void)
{
	epoll_fd = epoll();
	for (;;) {
		shared->ready = 1;
		if (epoll_wait(epoll_fd, &event, 1, epoll_timeout) < 0 && errno == EINTR)
			shared->eintr++;
	}
}

static void wait_for_wait(void)
{
	usleep(50000);
	for (int i = 0; i < 5000 && syscall_of(child) < 0; i++)
		nap();
}

/* One holder, looks in a row. */
static int eintr_after_looks(int timeout, int looks)
{
	epoll_timeout = timeout;
	start(child_in_epoll);
	struct target_options o = { .force = true };
	struct target *t = open_target(child, &o);
	for (int i = 0; i < looks; i++) {
		wait_for_wait();
		survey_and_take(t);
	}
	wait_for_wait();
	target_close(t);
	return shared->eintr;
}

START_TEST(a_timeout_is_not_wound_back_twice_in_a_row)
{
	ck_assert_int_eq(eintr_after_looks(1000000, 4), 2);
}
END_TEST

START_TEST(a_wait_without_timeout_is_always_restarted)
{
	ck_assert_int_eq(eintr_after_looks(-1, 4), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("live_eintr");
	TCase *t = tcase_create("live_eintr");
	tcase_add_checked_fixture(t, live_setup, live_teardown);
	tcase_add_test(t, no_wait_returns_eintr);
	tcase_add_test(t, without_the_repair_some_do);
	tcase_add_test(t, a_timeout_is_not_wound_back_twice_in_a_row);
	tcase_add_test(t, a_wait_without_timeout_is_always_restarted);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

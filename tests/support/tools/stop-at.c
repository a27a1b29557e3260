/* Runs a program and holds it in the kernel where it asks to exit or to pause, without a tracer: flotsam can attach.
 * usage: stop-at exit|pause COMMAND [ARG]...
 * Prints "at PID" once the program is there, or "ended STATUS" when it never came. Lives until its standard input ends, then
 * kills the program. The program's own input and output are /dev/null, or the file named by STOP_AT_OUTPUT.
 *
 * How: a seccomp filter sends the one syscall to a listener that never answers (seccomp_unotify(2)). A stop by ptrace in
 * between makes the kernel restart the syscall, which asks again: kernel/seccomp.c, seccomp_do_user_notification(). */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int child_pidfd = -1;
static pid_t child;

static void fail(const char *what)
{
	fprintf(stderr, "stop-at: %s: %s\n", what, strerror(errno));
	if (child > 0)
		kill(child, SIGKILL);
	exit(3);
}

static void send_descriptor(int to, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec io = { .iov_base = "l", .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	if (sendmsg(to, &msg, 0) != 1)
		fail("sendmsg");
}

static int receive_descriptor(int from)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	struct iovec io = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	int fd = -1;

	if (recvmsg(from, &msg, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

/* In the child. An exec that fails must not exit: that would be held as well. */
static void run(unsigned syscall_nr, int channel, char **argv)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, syscall_nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };
	const char *output = getenv("STOP_AT_OUTPUT");
	int in = open("/dev/null", O_RDONLY), out = open(output ? output : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int listener;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || (output && dup2(out, 2) < 0))
		fail("standard files");
	if (in > 2)
		close(in);
	if (out > 2)
		close(out);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fail("no_new_privs");
	listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (listener < 0)
		fail("seccomp");
	send_descriptor(channel, listener);
	close(listener);
	close(channel);
	execvp(argv[0], argv);
	fprintf(stderr, "stop-at: %s: %s\n", argv[0], strerror(errno));
	kill(getpid(), SIGKILL);
}

/* One request of the filter: true when it comes from the program itself. A child of its own may go on. */
static bool is_there(int listener)
{
	struct seccomp_notif req = { 0 };
	struct seccomp_notif_resp resp = { 0 };
	char path[64];

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/task/%u", child, req.pid);
	if (access(path, F_OK) == 0)
		return true;
	resp.id = req.id;
	resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
	return false;
}

static void say_ended(void)
{
	int status = 0;

	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		printf("ended signal %d\n", WTERMSIG(status));
	else
		printf("ended %d\n", WEXITSTATUS(status));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	unsigned syscall_nr = SYS_exit_group;
	int channel[2], listener;
	bool said = false;

	if (argc < 3 || (strcmp(argv[1], "exit") && strcmp(argv[1], "pause"))) {
		fprintf(stderr, "usage: stop-at exit|pause COMMAND [ARG]...\n");
		return 2;
	}
	if (!strcmp(argv[1], "pause")) {
#ifdef SYS_pause
		syscall_nr = SYS_pause;
#else
		fprintf(stderr, "stop-at: this architecture has no pause(2)\n");
		return 2;
#endif
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel))
		fail("socketpair");
	child = fork();
	if (child < 0)
		fail("fork");
	if (child == 0) {
		close(channel[0]);
		run(syscall_nr, channel[1], argv + 2);
		_exit(3);
	}
	close(channel[1]);
	listener = receive_descriptor(channel[0]);
	child_pidfd = syscall(SYS_pidfd_open, child, 0);
	if (listener < 0 || child_pidfd < 0)
		fail("the program did not start");
	for (;;) {
		struct pollfd p[] = { { .fd = listener, .events = POLLIN }, { .fd = child_pidfd, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
		char byte;

		if (poll(p, 3, -1) < 0 && errno != EINTR)
			fail("poll");
		if ((p[0].revents & POLLIN) && is_there(listener) && !said) {
			printf("at %d\n", child);
			fflush(stdout);
			said = true;
		}
		if (p[1].revents) {
			say_ended();
			return 3;
		}
		if (p[2].revents && read(0, &byte, 1) <= 0)
			break;
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return 0;
}

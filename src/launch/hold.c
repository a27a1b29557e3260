/* A program that is held when it is about to exit. A seccomp filter holds its exit_group() until the listener says to go on
 * (seccomp_unotify(2), Linux 5.5), so that nothing is traced before and nothing of the program is changed; the filter and "no new
 * privileges" go on to what it starts. */
#include "flotsam/launch.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined __x86_64__
enum { ARCH = AUDIT_ARCH_X86_64 };
#elif defined __aarch64__
enum { ARCH = AUDIT_ARCH_AARCH64 };
#elif defined __i386__
enum { ARCH = AUDIT_ARCH_I386 };
#endif

/* The listener; -1 and errno. */
static int hold_exit(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)ARCH, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof code[0], code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* In the child. The listener goes to the parent, then the number of the error if there is no such program: else the socket closes
 * as the program begins. */
static _Noreturn void become(char *const *words, int to)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	int fd = hold_exit(), os = fd < 0 ? errno : 0;
	bool told = socket_send(to, &os, sizeof os, fd);
	if (told && fd >= 0) {
		close(fd);
		execvp(words[0], words);
		os = errno;
		socket_send(to, &os, sizeof os, -1);
	}
	syscall(SYS_exit, 127); /* exit_group would wait for an answer */
	__builtin_unreachable();
}

static struct err *begin(int from, const char *name, struct launch *l)
{
	int os = EPIPE, none;
	if (socket_receive(from, &os, sizeof os, &l->listener) != (ssize_t)sizeof os || l->listener < 0)
		return err_hint(err_new(ERR_UNSUPPORTED, "cannot hold a program's exit (seccomp): %s", strerror(os)), "start it, and look at its pid");
	if (socket_receive(from, &os, sizeof os, &none) == (ssize_t)sizeof os)
		return err_new(ERR_NOT_FOUND, "cannot run %s: %s", name, strerror(os));
	return NULL;
}

struct err *launch_start(char *const *words, struct launch *ret)
{
	int pair[2];
	*ret = (struct launch){ .listener = -1 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_os(errno, "no socket pair");
	ret->pid = fork();
	if (!ret->pid)
		become(words, pair[1]);
	int os = errno;
	close(pair[1]);
	struct err *e = ret->pid < 0 ? err_os(os, "cannot fork") : begin(pair[0], words[0], ret);
	close(pair[0]);
	if (!e)
		return NULL;
	if (ret->listener >= 0)
		close(ret->listener);
	while (ret->pid > 0 && waitpid(ret->pid, NULL, 0) < 0 && errno == EINTR)
		;
	return e;
}

/* Is this thread one of the program's own, and not of what it has started? */
static bool is_its(const struct launch *l, uint32_t tid)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof path, "/proc/%d/task/%u", (int)l->pid, tid);
	return !stat(path, &st);
}

/* Somebody is about to exit. What f does may interrupt the wait, and the kernel then asks anew: that is answered at once. */
static void on_exit_call(struct launch *l, launch_fn *f, void *ctx)
{
	struct seccomp_notif q;
	memset(&q, 0, sizeof q);
	if (ioctl(l->listener, SECCOMP_IOCTL_NOTIF_RECV, &q))
		return;
	if (!l->called && is_its(l, q.pid)) {
		l->called = true;
		f(ctx);
	}
	struct seccomp_notif_resp answer = { .id = q.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
	if (ioctl(l->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) && errno != ENOENT)
		l->lost = true;
}

int launch_wait(struct launch *l, launch_fn *f, void *ctx)
{
	int status = 0;
	bool told = false;
	for (;;) {
		struct pollfd p = { l->listener, POLLIN, 0 };
		pid_t ended = waitpid(l->pid, &status, WNOHANG);
		if (ended == l->pid || (ended < 0 && errno != EINTR))
			return status;
		if (interrupted && !told) {
			kill(l->pid, SIGTERM);
			told = true;
		}
		if (poll(&p, 1, 50) > 0 && p.revents & POLLIN)
			on_exit_call(l, f, ctx);
	}
}

static _Noreturn void answer_all(int listener)
{
	setsid();
	for (struct pollfd p = { listener, POLLIN, 0 }; poll(&p, 1, -1) > 0 && p.revents & POLLIN;) {
		struct seccomp_notif q;
		memset(&q, 0, sizeof q);
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &q))
			continue;
		struct seccomp_notif_resp answer = { .id = q.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
	_exit(0);
}

void launch_leave(struct launch *l)
{
	if (!fork())
		answer_all(l->listener);
	close(l->listener);
	l->listener = -1;
}

/* flotsam run: starts a program, and looks at it when it is about to exit. A seccomp filter holds its exit_group() until the listener
 * says to go on (seccomp_unotify(2), Linux 5.5), so that nothing is traced before and nothing of the program is changed; the
 * filter and "no new privileges" go on to what it starts. */
#include "front.h"

#include <errno.h>
#include <fcntl.h>
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

struct runner {
	const struct arguments *a;
	struct progress *p;
	struct out *o;
	pid_t pid;
	int listener;
	bool looked;
	int look_status;	/* exit status of the process that looked */
};

static struct err *start(struct runner *r)
{
	int pair[2], os = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_os(errno, "no socket pair");
	r->pid = fork();
	if (!r->pid) {
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		signal(SIGPIPE, SIG_DFL);
		int fd = hold_exit();
		os = fd < 0 ? errno : 0;
		if (!front_send(pair[1], &os, sizeof os, fd) || fd < 0)
			syscall(SYS_exit, 127); /* exit_group would wait for nobody */
		close(fd);
		close(pair[1]);
		execvp(r->a->run_words[0], (char *const *)(uintptr_t)r->a->run_words);
		dprintf(STDERR_FILENO, "flotsam: cannot run %s: %s\n", r->a->run_words[0], strerror(errno));
		syscall(SYS_exit, 127); /* exit_group would be looked at */
	}
	if (r->pid < 0)
		os = errno;
	close(pair[1]);
	if (r->pid > 0)
		front_receive(pair[0], &os, sizeof os, &r->listener);
	close(pair[0]);
	if (r->pid > 0 && r->listener < 0)
		waitpid(r->pid, NULL, 0);
	return r->listener >= 0 ? NULL : err_hint(err_os(os, "cannot hold a program's exit (seccomp)"), "start it, and look at its pid");
}

/* Judged by the rules of check, and told as report does. */
static _Noreturn void look_and_exit(struct runner *r)
{
	struct session *s = NULL;
	struct arguments a = *r->a;
	char pid[16];
	int status = EXIT_REPORT, judged = EXIT_REPORT;
	snprintf(pid, sizeof pid, "%d", (int)r->pid);
	a.kind = "live";
	a.target = pid;
	a.desk = desk_create();
	struct err *e = a.desk ? front_open_session(&a, a.kind, a.target, r->p, &s) : err_nomem();
	if (!e)
		e = command_by_name("report")->run(&a, s, r->o, &status);
	if (!e && !strcmp(a.format, "text")) {
		out_puts(r->o, "\n");
		e = command_by_name("check")->run(&a, s, r->o, &judged);
	} else if (!e) {
		struct out none;
		out_init(&none, -1, "never");
		e = command_by_name("check")->run(&a, s, &none, &judged);
	}
	progress_wipe(r->p);
	out_flush(r->o);
	if (e)
		status = front_complain(e);
	_exit(judged != EXIT_REPORT ? judged : status);
}

static void look(struct runner *r)
{
	int status = 0;
	out_flush(r->o);
	pid_t pid = fork();
	if (!pid)
		look_and_exit(r);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	r->looked = true;
	r->look_status = pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_TARGET;
}

/* Is this thread one of the program's own, and not of what it has started? */
static bool is_its(const struct runner *r, uint32_t tid)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof path, "/proc/%d/task/%u", (int)r->pid, tid);
	return !stat(path, &st);
}

/* Somebody is about to exit. A look interrupts the wait, and the kernel then asks anew: that is answered at once. */
static void on_exit_call(struct runner *r)
{
	struct seccomp_notif q;
	memset(&q, 0, sizeof q);
	if (ioctl(r->listener, SECCOMP_IOCTL_NOTIF_RECV, &q))
		return;
	if (!r->looked && is_its(r, q.pid))
		look(r);
	struct seccomp_notif_resp answer = { .id = q.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
	if (ioctl(r->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) && errno != ENOENT)
		r->look_status = EXIT_TARGET;
}

/* Until the program has ended. Its status. */
static int serve(struct runner *r)
{
	int status = 0;
	bool told = false;
	for (;;) {
		struct pollfd p = { r->listener, POLLIN, 0 };
		pid_t ended = waitpid(r->pid, &status, WNOHANG);
		if (ended == r->pid || (ended < 0 && errno != EINTR))
			return status;
		if (interrupted && !told) {
			kill(r->pid, SIGTERM);
			told = true;
		}
		if (poll(&p, 1, 50) > 0 && p.revents & POLLIN)
			on_exit_call(r);
	}
}

/* What it has started and what outlives it must not wait for us when it exits. */
static void leave_others(const struct runner *r)
{
	pid_t pid = fork();
	if (pid)
		return;
	setsid();
	for (struct pollfd p = { r->listener, POLLIN, 0 }; poll(&p, 1, -1) > 0 && p.revents & POLLIN;) {
		struct seccomp_notif q;
		memset(&q, 0, sizeof q);
		if (ioctl(r->listener, SECCOMP_IOCTL_NOTIF_RECV, &q))
			continue;
		struct seccomp_notif_resp answer = { .id = q.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
		ioctl(r->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
	_exit(0);
}

struct err *front_run(const struct arguments *a, struct progress *p, struct out *o, int *ret_status)
{
	struct runner r = { .a = a, .p = p, .o = o, .listener = -1 };
	if (!a->output) /* the standard output is the program's */
		o->fd = STDERR_FILENO;
	TRY(start(&r));
	int status = serve(&r);
	leave_others(&r);
	close(r.listener);
	/* The program's own failure comes first. */
	if (WIFSIGNALED(status))
		*ret_status = 128 + WTERMSIG(status);
	else
		*ret_status = WEXITSTATUS(status) ? WEXITSTATUS(status) : r.looked ? r.look_status : EXIT_PARTIAL;
	if (!r.looked && *ret_status != 127)
		return err_new(ERR_NOT_FOUND, "%s ended without exit(), by %s %d: there was no look", a->run_words[0], WIFSIGNALED(status) ? "signal" : "status",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return NULL;
}

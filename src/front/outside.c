/* Shell commands, the pager and the user's files: a small process of the caller's own rights runs and opens them, so that the
 * analyst can be shut in, and so that rights given to flotsam do not leak into a shell. */
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct outside { int fd; pid_t pid; };

enum request_kind { REQUEST_RUN, REQUEST_OPEN, REQUEST_APPEND };
struct request { int32_t kind; char text[LIMIT_PATH * 2]; };
struct reply { int32_t os, status; };

const char outside_pager[] = "export LESS=\"${LESS-FRX}\"; if [ -n \"$PAGER\" ]; then exec sh -c \"$PAGER\"; "
			     "elif command -v less >/dev/null; then exec less; elif command -v more >/dev/null; then exec more; else exec cat; fi";

/* The caller's ids, and no capability that our file brought along. */
void front_shed_rights(void)
{
	if (setresgid(getgid(), getgid(), getgid()) || setresuid(getuid(), getuid(), getuid()))
		_exit(1);
	if (getuid()) {
		struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct none[2] = { 0 };
		syscall(SYS_capset, &head, none);
	}
}

static struct reply run_shell(const char *command, int input)
{
	struct reply r = { 0 };
	pid_t pid = fork();
	if (!pid) {
		signal(SIGINT, SIG_DFL);
		signal(SIGQUIT, SIG_DFL);
		signal(SIGPIPE, SIG_DFL);
		if (dup2(input, STDIN_FILENO) >= 0)
			execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	if (input >= 0)
		close(input);
	if (pid < 0)
		r.os = errno;
	while (pid > 0 && waitpid(pid, &r.status, 0) < 0 && errno == EINTR)
		;
	return r;
}

static void serve(int fd)
{
	static struct request q;
	int given;
	for (ssize_t k; (k = socket_receive(fd, &q, sizeof q, &given)) == (ssize_t)sizeof q;) {
		struct reply r = { 0 };
		int opened = -1;
		q.text[sizeof q.text - 1] = '\0';
		if (q.kind == REQUEST_RUN) {
			r = run_shell(q.text, given);
		} else {
			opened = open(q.text, O_WRONLY | O_CREAT | O_CLOEXEC | (q.kind == REQUEST_APPEND ? O_APPEND : O_TRUNC), 0600);
			r.os = opened < 0 ? errno : 0;
		}
		if (!socket_send(fd, &r, sizeof r, opened))
			break;
		if (opened >= 0)
			close(opened);
	}
}

struct err *outside_start(struct outside **ret)
{
	int pair[2];
	struct outside *w = calloc(1, sizeof *w);
	if (!w)
		return err_nomem();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		free(w);
		return err_os(errno, "no socket pair");
	}
	w->pid = fork();
	if (!w->pid) {
		close(pair[0]);
		signal(SIGINT, SIG_IGN);
		signal(SIGQUIT, SIG_IGN);
		front_shed_rights();
		serve(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	w->fd = pair[0];
	if (w->pid < 0) {
		int os = errno;
		close(w->fd);
		free(w);
		return err_os(os, "cannot fork");
	}
	*ret = w;
	return NULL;
}

void outside_stop(struct outside *w)
{
	if (!w)
		return;
	close(w->fd);
	while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(w);
}

static struct err *ask(struct outside *w, enum request_kind kind, const char *text, int fd)
{
	static struct request q;
	memset(&q, 0, sizeof q);
	q.kind = (int32_t)kind;
	if (strlen(text) >= sizeof q.text)
		return err_new(ERR_LIMIT, "a command of more than %zu bytes", sizeof q.text - 1);
	memcpy(q.text, text, strlen(text));
	return socket_send(w->fd, &q, sizeof q, fd) ? NULL : err_os(errno, "the process that runs shell commands has ended");
}

struct err *outside_run(struct outside *w, const char *command, int *ret_fd)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC))
		return err_os(errno, "no pipe");
	struct err *e = ask(w, REQUEST_RUN, command, ends[0]);
	close(ends[0]);
	if (e)
		close(ends[1]);
	else
		*ret_fd = ends[1];
	return e;
}

int outside_wait(struct outside *w)
{
	struct reply r = { 0 };
	int fd;
	return socket_receive(w->fd, &r, sizeof r, &fd) == (ssize_t)sizeof r && !r.os ? r.status : -1;
}

struct err *outside_open(struct outside *w, const char *path, bool append, int *ret_fd)
{
	struct reply r = { 0 };
	TRY(ask(w, append ? REQUEST_APPEND : REQUEST_OPEN, path, -1));
	if (socket_receive(w->fd, &r, sizeof r, ret_fd) != (ssize_t)sizeof r)
		return err_new(ERR_OS, "the process that opens files has ended");
	return r.os ? err_os(r.os, "cannot write %s", path) : NULL;
}

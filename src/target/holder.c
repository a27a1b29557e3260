/* The holder's loop: requests in, replies and descriptors out; and the watch over its takers. */
#include "holder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void holder_reply(const struct holder *h, const struct holder_reply *r, const int *fds, int n_fds)
{
	char control[CMSG_SPACE(2 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)r, offsetof(struct holder_reply, bytes) + r->n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (n_fds) {
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, (size_t)n_fds * sizeof(int));
	}
	sendmsg(h->socket, &m, MSG_NOSIGNAL);
}

static ssize_t receive(int socket, struct holder_request *q, int *ret_fd)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { q, sizeof *q };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	ssize_t n;
	do
		n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	*ret_fd = -1;
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	return n;
}

static const struct holder_plan *map_plan(int fd, size_t *ret_n)
{
	struct stat st;
	if (fd < 0 || fstat(fd, &st) || st.st_size < (off_t)sizeof(struct holder_plan))
		return NULL;
	const struct holder_plan *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return NULL;
	*ret_n = (size_t)st.st_size;
	uint64_t room = (*ret_n - sizeof *p) / 8;
	if (p->n_mutexes > room || p->n_code > room / 2 || p->n_skip > room / 2 ||
	    p->n_mutexes + 2 * p->n_code + 2 * p->n_skip > room) {
		munmap((void *)p, *ret_n);
		return NULL;
	}
	return p;
}

enum { ABORT_MS = 300 };

/* Waits for a taker. When the analyst has gone it is asked to let go, repairs included, and killed when it takes too long.
 * Returns its exit status, or -1 when it was killed. */
static int await(const struct holder *h, pid_t taker)
{
	AUTO_FD int pidfd = (int)syscall(SYS_pidfd_open, taker, 0);
	struct pollfd p[2] = { { .fd = pidfd, .events = POLLIN }, { .fd = h->socket } };
	int status, n;
	while (pidfd >= 0) {
		bool gone = h->shared->abort;
		n = poll(p, gone ? 1 : 2, gone ? ABORT_MS : -1);
		if (n > 0 && p[0].revents)
			break;
		if (gone || (n < 0 && errno != EINTR)) {
			kill(taker, SIGKILL);
			break;
		}
		h->shared->abort = p[1].revents & (POLLHUP | POLLERR);
	}
	while (waitpid(taker, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Replies only when no taker did. */
static void look(const struct holder *h, const struct holder_plan *plan, const char *spool)
{
	static struct holder_reply r;
	for (unsigned attempt = 0; attempt < 3; attempt++) {
		pid_t taker = fork();
		if (taker < 0) {
			r.os = errno;
			break;
		}
		if (!taker) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prctl(PR_SET_NAME, "flotsam-taker");
			look_take(h, plan, spool[0] ? spool : NULL, attempt);
		}
		int status = await(h, taker);
		if (status == LOOK_REPLIED)
			return;
		r.os = status == LOOK_FAILED ? h->shared->os : status == LOOK_MAX_STOP ? ETIME : ECHILD;
		if (r.os != ENOBUFS)
			break;
	}
	holder_reply(h, &r, NULL, 0);
}

static void serve(const struct holder *h, struct holder_request *q, int plan_fd)
{
	static struct holder_reply r;
	int fd = -1;
	size_t plan_n = 0;
	const struct holder_plan *plan = NULL;
	r.os = 0;
	r.n = 0;
	r.value = 0;
	q->name[sizeof q->name - 1] = '\0';
	switch ((enum holder_op)q->op) {
	case HOLDER_OPEN_PROC:
		fd = holder_open_proc(h, q->name);
		break;
	case HOLDER_OPEN_MAPPED:
		fd = holder_open_mapped(h, q);
		break;
	case HOLDER_OPEN_PATH:
		fd = holder_open_below(h, q->name);
		break;
	case HOLDER_KERNEL_WORDS:
		fd = holder_kernel_words(h);
		break;
	case HOLDER_PEEK:
		r.os = holder_peek(h, q, &r);
		holder_reply(h, &r, NULL, 0);
		return;
	case HOLDER_PROBE:
		r.os = holder_probe(h);
		holder_reply(h, &r, NULL, 0);
		return;
	case HOLDER_ESTIMATE:
	case HOLDER_LOOK:
		plan = map_plan(plan_fd, &plan_n);
		if (plan && q->op == HOLDER_LOOK) {
			look(h, plan, q->name);
		} else {
			r.os = plan ? look_estimate(h, plan, &r.value) : EINVAL;
			holder_reply(h, &r, NULL, 0);
		}
		if (plan)
			munmap((void *)plan, plan_n);
		return;
	default:
		errno = EINVAL;
	}
	r.os = fd < 0 ? errno : 0;
	holder_reply(h, &r, &fd, fd >= 0);
	if (fd >= 0)
		close(fd);
}

/* Nothing of the analyst's stays open here: neither its output, whose reader waits for the last end to close, nor the
 * socket of another holder. */
static void close_others(int socket)
{
	int null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd <= 2; fd++)
		if (null >= 0 && fd != socket)
			dup2(null, fd);
	if (socket > 3)
		syscall(SYS_close_range, 3, socket - 1, 0);
	syscall(SYS_close_range, socket + 1, ~0u, 0);
}

/* Where flotsam has capabilities of its own the analyst uses none of them (front/main.c); here is what they are for. */
static void raise_rights(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];
	if (!getauxval(AT_SECURE) || syscall(SYS_capget, &head, d))
		return;
	d[0].effective = d[0].permitted;
	d[1].effective = d[1].permitted;
	syscall(SYS_capset, &head, d);
}

void holder_main(int socket, pid_t pid)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "flotsam-holder");
	raise_rights();
	setsid(); /* out of reach of the terminal */
	if (chdir("/"))
		_exit(1);
	close_others(socket);
	char path[32];
	snprintf(path, sizeof path, "/proc/%d", (int)pid);
	struct holder h = { .pid = pid, .socket = socket, .proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) };
	h.shared = mmap(NULL, sizeof *h.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (h.shared == MAP_FAILED)
		_exit(1);
	static struct holder_request q;
	int plan_fd;
	while (receive(socket, &q, &plan_fd) == (ssize_t)sizeof q) {
		serve(&h, &q, plan_fd);
		if (plan_fd >= 0)
			close(plan_fd);
	}
	_exit(0);
}

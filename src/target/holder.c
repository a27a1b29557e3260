/* The holder's loop: requests in, replies and descriptors out. */
#include "holder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Files of /proc/PID that the analyst may ask for by name. */
static const char *const proc_names[] = { "maps", "smaps", "smaps_rollup", "status", "stat", "statm", "cgroup", "auxv", "limits", "comm", "timers", "oom_score" };

static bool allowed(const char *name)
{
	for (size_t i = 0; i < sizeof proc_names / sizeof proc_names[0]; i++)
		if (!strcmp(name, proc_names[i]))
			return true;
	return false;
}

/* A living thread: the group leader's own files are empty once it has exited. */
static pid_t living_thread(pid_t pid)
{
	char path[64], state;
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *d = opendir(path);
	pid_t found = pid;
	struct dirent *e;
	while (d && (e = readdir(d))) {
		pid_t tid = (pid_t)atoi(e->d_name);
		char text[512];
		if (tid <= 0)
			continue;
		snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
		AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
		if (n <= 0)
			continue;
		text[n] = '\0';
		const char *p = strrchr(text, ')');
		state = p && p[1] ? p[2] : 'X';
		if (state != 'Z' && state != 'X') {
			found = tid;
			break;
		}
	}
	if (d)
		closedir(d);
	return found;
}

static int open_proc(pid_t pid, const char *name)
{
	char path[LIMIT_PATH + 64];
	if (!allowed(name)) {
		errno = EPERM;
		return -1;
	}
	snprintf(path, sizeof path, "/proc/%d/task/%d/%s", (int)pid, (int)living_thread(pid), name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) { /* timers stands beside task/ only */
		snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	return fd;
}

static int keep_regular(int fd)
{
	struct stat st;
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	return fd;
}

int holder_open_below(pid_t pid, const char *path)
{
	char root[64];
	snprintf(root, sizeof root, "/proc/%d/root", (int)pid);
	AUTO_FD int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -1;
	/* O_NONBLOCK: a FIFO must not hold us. */
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	return keep_regular((int)syscall(SYS_openat2, dir, path, &how, sizeof how));
}

/* map_files names the very file that is mapped, deleted or not; it needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN. */
static int open_mapped(pid_t pid, const struct holder_request *q)
{
	char path[128];
	snprintf(path, sizeof path, "/proc/%d/map_files/%llx-%llx", (int)pid, (unsigned long long)q->a, (unsigned long long)q->b);
	struct stat st;
	/* Opening a device has effects: look first. */
	if (!stat(path, &st)) {
		if (!S_ISREG(st.st_mode)) {
			errno = EINVAL;
			return -1;
		}
		int fd = keep_regular(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
		if (fd >= 0)
			return fd;
	}
	return holder_open_below(pid, q->name);
}

/* Present pages alone: reading an absent one would change the target. */
static int peek(pid_t pid, struct holder_request *q, struct holder_reply *r)
{
	char path[64];
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	if (q->b > sizeof r->bytes)
		return EINVAL;
	snprintf(path, sizeof path, "/proc/%d/task/%d/pagemap", (int)pid, (int)living_thread(pid));
	AUTO_FD int pagemap = open(path, O_RDONLY | O_CLOEXEC);
	for (uint64_t at = align_down(q->a, page); pagemap >= 0 && at < q->a + q->b; at += page) {
		uint64_t entry;
		if (pread(pagemap, &entry, 8, (off_t)(at / page * 8)) != 8 || !(entry >> 63))
			return EFAULT;
	}
	struct iovec to = { r->bytes, q->b }, from = { (void *)(uintptr_t)q->a, q->b };
	ssize_t n = process_vm_readv(pid, &to, 1, &from, 1, 0);
	if (n != (ssize_t)q->b)
		return n < 0 ? errno : EFAULT;
	r->n = (uint32_t)n;
	return 0;
}

static bool append_file(int out, const char *path)
{
	char text[4096];
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	while (fd >= 0 && (n = read(fd, text, sizeof text)) > 0)
		if (write(out, text, (size_t)n) != n)
			return false;
	return fd >= 0 && !n;
}

/* "fd N" and the fdinfo text of every epoll descriptor, as the kernel prints it. */
static int kernel_words(pid_t pid)
{
	char path[128], link[64];
	int out = memfd_create("kernel-words", MFD_CLOEXEC);
	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	DIR *d = out >= 0 ? opendir(path) : NULL;
	struct dirent *e;
	while (d && (e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof link - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		if (strcmp(link, "anon_inode:[eventpoll]"))
			continue;
		dprintf(out, "fd %s\n", e->d_name);
		snprintf(path, sizeof path, "/proc/%d/fdinfo/%.20s", (int)pid, e->d_name);
		append_file(out, path);
	}
	if (d)
		closedir(d);
	return out;
}

static void send_reply(int socket, const struct holder_reply *r, size_t bytes, const int *fds, int n_fds)
{
	char control[CMSG_SPACE(2 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)r, offsetof(struct holder_reply, bytes) + bytes };
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
	sendmsg(socket, &m, MSG_NOSIGNAL);
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
	if (p->n_mutexes > room || p->n_code > room / 2 || p->n_skip > room / 2 || p->n_mutexes + 2 * p->n_code + 2 * p->n_skip > room) {
		munmap((void *)p, *ret_n);
		return NULL;
	}
	return p;
}

/* A thread that could not be detached is let go by our end: a successor serves on. */
static void hand_over(void)
{
	pid_t child = fork();
	if (child > 0)
		_exit(0);
	prctl(PR_SET_PDEATHSIG, 0); /* the analyst's end still shows as the closed socket */
}

static void serve(int socket, pid_t pid, struct holder_request *q, int plan_fd)
{
	struct holder_reply r = { 0 };
	int fds[2] = { -1, -1 }, n = 0;
	size_t plan_n = 0;
	bool abandoned = false;
	const struct holder_plan *plan;
	q->name[sizeof q->name - 1] = '\0';
	switch ((enum holder_op)q->op) {
	case HOLDER_OPEN_PROC:
		fds[n++] = open_proc(pid, q->name);
		break;
	case HOLDER_OPEN_MAPPED:
		fds[n++] = open_mapped(pid, q);
		break;
	case HOLDER_OPEN_PATH:
		fds[n++] = holder_open_below(pid, q->name);
		break;
	case HOLDER_KERNEL_WORDS:
		fds[n++] = kernel_words(pid);
		break;
	case HOLDER_PEEK:
		r.os = peek(pid, q, &r);
		break;
	case HOLDER_ESTIMATE:
	case HOLDER_LOOK:
		plan = map_plan(plan_fd, &plan_n);
		if (!plan)
			r.os = EINVAL;
		else if (q->op == HOLDER_ESTIMATE)
			r.os = stop_estimate(pid, plan, &r.value, (uint64_t *)(void *)r.bytes), r.n = 8;
		else {
			r.os = stop_and_copy(pid, plan, q->name[0] ? q->name : NULL, &fds[0], &fds[1], &abandoned);
			n = r.os ? 0 : 2;
		}
		if (plan)
			munmap((void *)plan, plan_n);
		break;
	default:
		r.os = EINVAL;
	}
	if (n && fds[0] < 0) {
		r.os = errno ? errno : EIO;
		n = 0;
	}
	send_reply(socket, &r, r.n, fds, n);
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (abandoned)
		hand_over();
}

void holder_main(int socket, pid_t pid)
{
	sigset_t all;
	sigfillset(&all);
	sigdelset(&all, SIGALRM); /* --max-stop's timer */
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "flotsam-holder");
	struct holder_request q;
	int plan_fd;
	while (receive(socket, &q, &plan_fd) == (ssize_t)sizeof q) {
		serve(socket, pid, &q, plan_fd);
		if (plan_fd >= 0)
			close(plan_fd);
	}
	_exit(0);
}

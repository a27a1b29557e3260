/* Files of the target, opened with the holder's rights: below its own root, regular ones alone. */
#include "pages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static bool lives(const struct holder *h, pid_t tid)
{
	char path[64], text[512];
	snprintf(path, sizeof path, "task/%d/stat", (int)tid);
	AUTO_FD int fd = openat(h->proc, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	const char *p = strrchr(text, ')');
	return p && p[1] && p[2] != 'Z' && p[2] != 'X';
}

pid_t holder_living(const struct holder *h)
{
	if (lives(h, h->pid))
		return h->pid;
	int fd = openat(h->proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	pid_t found = h->pid;
	struct dirent *e;
	while (d && (e = readdir(d))) {
		pid_t tid = (pid_t)atoi(e->d_name);
		if (tid > 0 && tid != h->pid && lives(h, tid)) {
			found = tid;
			break;
		}
	}
	if (d)
		closedir(d);
	return found;
}

int holder_proc(const struct holder *h, pid_t tid, const char *name)
{
	char path[LIMIT_PATH + 64];
	snprintf(path, sizeof path, "task/%d/%s", (int)tid, name);
	return openat(h->proc, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
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

/* A link of /proc: looked at before it is opened, since opening a device has effects. O_NONBLOCK: a FIFO must not hold us. */
static int open_link(const struct holder *h, const char *path)
{
	struct stat st;
	if (fstatat(h->proc, path, &st, 0))
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	return keep_regular(openat(h->proc, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

/* One record of the lists below: "NAME\0TEXT\0". */
static bool put_record(FILE *f, const char *name, const char *text, size_t n)
{
	return fwrite(name, 1, strlen(name) + 1, f) == strlen(name) + 1 && fwrite(text, 1, n, f) == n && putc('\0', f) == '\0';
}

static bool list_links(FILE *f, DIR *d)
{
	static char link[LIMIT_PATH];
	struct dirent *e;
	while ((e = readdir(d))) {
		ssize_t n = e->d_name[0] == '.' ? -1 : readlinkat(dirfd(d), e->d_name, link, sizeof link);
		if (n >= 0 && !put_record(f, e->d_name, link, (size_t)n))
			return false;
	}
	return true;
}

static bool list_waits(FILE *f, DIR *d)
{
	char path[64], text[64];
	struct dirent *e;
	while ((e = readdir(d))) {
		snprintf(path, sizeof path, "%.20s/wchan", e->d_name);
		AUTO_FD int fd = e->d_name[0] == '.' ? -1 : openat(dirfd(d), path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
		if (n > 0 && !put_record(f, e->d_name, text, strnlen(text, (size_t)n)))
			return false;
	}
	return true;
}

/* Links and what threads wait for are told to the one who may trace alone, when they are read: not to the analyst. */
static int list(const struct holder *h, bool waits)
{
	int from = waits ? openat(h->proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : holder_proc(h, holder_living(h), "fd");
	DIR *d = from < 0 ? NULL : fdopendir(from);
	int to = d ? memfd_create("list", MFD_CLOEXEC) : -1, copy = to < 0 ? -1 : dup(to);
	FILE *f = copy < 0 ? NULL : fdopen(copy, "w");
	bool ok = f && (waits ? list_waits(f, d) : list_links(f, d));
	if (f)
		ok = !fclose(f) && ok;
	if (d)
		closedir(d);
	if (ok && !lseek(to, 0, SEEK_SET))
		return to;
	if (to >= 0)
		close(to);
	return -1;
}

int holder_open_proc(const struct holder *h, const char *name)
{
	if (!strcmp(name, "fd/*") || !strcmp(name, "task/*/wchan"))
		return list(h, name[0] == 't');
	/* Names below /proc/PID alone; of the links exe is followed, to a regular file. */
	if (name[0] == '/' || strstr(name, "..")) {
		errno = EINVAL;
		return -1;
	}
	if (!strcmp(name, "exe")) {
		char path[64];
		snprintf(path, sizeof path, "task/%d/exe", (int)holder_living(h));
		return open_link(h, path);
	}
	int fd = holder_proc(h, holder_living(h), name);
	if (fd < 0 && errno == ENOENT) /* timers and task/ stand beside task/ only */
		fd = openat(h->proc, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd;
}

int holder_open_below(const struct holder *h, const char *path)
{
	char name[64];
	snprintf(name, sizeof name, "task/%d/root", (int)holder_living(h));
	AUTO_FD int root = openat(h->proc, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	AUTO_FD int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
	struct stat st;
	if (fd < 0 || fstat(fd, &st))
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	return keep_regular(open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

/* map_files names the very file that is mapped, deleted or not; it needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN
 * (proc_map_files_get_link, fs/proc/base.c). A first thread that has ended has none; /proc/TID of another has. */
static int open_map_file(const struct holder *h, pid_t tid, uint64_t start, uint64_t end)
{
	char of[32] = ".", path[128];
	if (tid != h->pid)
		snprintf(of, sizeof of, "../%d", (int)tid);
	snprintf(path, sizeof path, "%s/map_files/%llx-%llx", of, (unsigned long long)start, (unsigned long long)end);
	return open_link(h, path);
}

/* A name of maps starts at our root, not at the target's (seq_path, d_path): below a chroot that is a prefix too many. */
static const char *below_root(const struct holder *h, pid_t tid, const char *name, char root[LIMIT_PATH])
{
	char path[64];
	snprintf(path, sizeof path, "task/%d/root", (int)tid);
	ssize_t n = readlinkat(h->proc, path, root, LIMIT_PATH - 1);
	if (n <= 1)
		return name;
	root[n] = '\0';
	return !strncmp(name, root, (size_t)n) && name[n] == '/' ? name + n : name;
}

int holder_open_mapped(const struct holder *h, const struct holder_request *q)
{
	char path[128], root[LIMIT_PATH];
	pid_t tid = holder_living(h);
	int fd = open_map_file(h, tid, q->a, q->b);
	if (fd < 0 && errno != EINVAL)
		fd = holder_open_below(h, below_root(h, tid, q->name, root));
	if (fd >= 0 || errno == EINVAL)
		return fd;
	/* The program itself may have been replaced: exe still names the one that runs. */
	snprintf(path, sizeof path, "task/%d/exe", (int)tid);
	char exe[LIMIT_PATH];
	ssize_t n = readlinkat(h->proc, path, exe, sizeof exe - 1);
	int os = errno;
	if (n > 0) {
		exe[n] = '\0';
		char *deleted = strstr(exe, " (deleted)");
		if (deleted)
			*deleted = '\0';
		if (!strcmp(exe, q->name))
			return open_link(h, path);
	}
	errno = n > 0 ? ENOENT : os;
	return -1;
}

/* "fd N" and the fdinfo text of every epoll descriptor, as the kernel prints it; "closed" where we may not list them. */
int holder_kernel_words(const struct holder *h)
{
	char path[64], link[64], text[4096];
	pid_t tid = holder_living(h);
	int out = memfd_create("kernel-words", MFD_CLOEXEC), fd = holder_proc(h, tid, "fd");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	if (out >= 0 && !d && errno == EACCES)
		dprintf(out, "closed\n");
	while (out >= 0 && d && (e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof link - 1);
		if (n != (ssize_t)strlen("anon_inode:[eventpoll]") || memcmp(link, "anon_inode:[eventpoll]", (size_t)n) != 0)
			continue;
		snprintf(path, sizeof path, "fdinfo/%.20s", e->d_name);
		AUTO_FD int info = holder_proc(h, tid, path);
		dprintf(out, "fd %s\n", e->d_name);
		while (info >= 0 && (n = read(info, text, sizeof text)) > 0)
			if (write(out, text, (size_t)n) != n)
				break;
	}
	if (d)
		closedir(d);
	return out;
}

int holder_probe(const struct holder *h)
{
	/* Address 0 is nobody's: allowed, the answer is EFAULT; the check is that of ptrace (mm_access, PTRACE_MODE_ATTACH). */
	char byte;
	struct iovec to = { &byte, 1 }, from = { NULL, 1 };
	if (process_vm_readv(holder_living(h), &to, 1, &from, 1, 0) >= 0 || errno == EFAULT)
		return 0;
	return errno;
}

/* Present pages alone: reading an absent one would change the target. */
int holder_peek(const struct holder *h, const struct holder_request *q, struct holder_reply *r)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	pid_t tid = holder_living(h);
	if (q->b > sizeof r->bytes || q->a + q->b < q->a)
		return EINVAL;
	AUTO_FD int pagemap = holder_proc(h, tid, "pagemap");
	for (uint64_t at = align_down(q->a, page); pagemap >= 0 && at < q->a + q->b; at += page) {
		uint64_t entry;
		if (pread(pagemap, &entry, 8, (off_t)(at / page * 8)) != 8 || !(entry >> 63))
			return EFAULT;
	}
	AUTO_FD int mem = holder_proc(h, tid, "mem");
	ssize_t n = pages_read(mem, tid, r->bytes, q->b, q->a);
	if (n != (ssize_t)q->b)
		return n < 0 ? errno : EFAULT;
	r->n = (uint32_t)n;
	return 0;
}

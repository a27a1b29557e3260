/* Files below a root. "" is this machine's own; any other is foreign. */
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* No file of /proc or /sys that is read here comes near. */
static const off_t largest = 64 << 20;

static int open_below(const char *root, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	AUTO_FD int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -1;
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
	if (fd >= 0 || errno != ENOSYS)
		return fd;
	/* Before Linux 5.6 only the last link is refused. */
	AUTO_FREE char *full = NULL;
	if (asprintf(&full, "%s%s", root, path) < 0) {
		full = NULL;
		return -1;
	}
	return open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
}

int text_open(const char *root, const char *path)
{
	struct stat st;
	if (!*root)
		return open(path, O_RDONLY | O_CLOEXEC);
	int fd = open_below(root, path);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) || !(S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && st.st_size <= largest))) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	return fd;
}

char *system_read(const char *root, const char *path, size_t *ret_n)
{
	AUTO_FD int fd = text_open(root, path);
	return fd < 0 ? NULL : system_read_fd(fd, ret_n);
}

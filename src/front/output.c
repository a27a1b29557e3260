/* The file of -o is opened before the look, and by then nothing more can be opened or removed (see sandbox.h): a process that
 * stays outside, and that knows no more than the file, takes it away when no answer came. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Waits for the word that the file is good, or for the writer's end. */
static void keep(int from, int fd, const char *path)
{
	sigset_t all;
	char word;
	struct stat ours, now;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	ssize_t n;
	do
		n = read(from, &word, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1 && !fstat(fd, &ours) && !lstat(path, &now) && ours.st_ino == now.st_ino && ours.st_dev == now.st_dev)
		unlink(path);
	_exit(0);
}

/* Gives the whole file its name, unless one has it by now: exclusive, and all at once. */
static int publish(const struct output *f)
{
	char self[64];
	snprintf(self, sizeof self, "/proc/self/fd/%d", f->fd);
	if (fsync(f->fd) && errno != EINVAL && errno != EROFS)
		return errno;
	int bad = f->aside[0] ? link(f->aside, f->path) : linkat(AT_FDCWD, self, AT_FDCWD, f->path, AT_SYMLINK_FOLLOW);
	return bad ? errno : 0;
}

/* As keep(), of a file that has no name yet, or one aside. */
static void keep_whole(int from, const struct output *f)
{
	sigset_t all;
	char word;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	ssize_t n;
	do
		n = read(from, &word, 1);
	while (n < 0 && errno == EINTR);
	int os = n == 1 ? publish(f) : 0;
	if (f->aside[0])
		unlink(f->aside);
	_exit(os);
}

static void start_keeper(struct output *f)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC))
		return;
	f->keeper_pid = fork();
	if (!f->keeper_pid) {
		close(pair[1]);
		if (f->kind == OUTPUT_WHOLE)
			keep_whole(pair[0], f);
		keep(pair[0], f->fd, f->path);
	}
	close(pair[0]);
	f->keeper = pair[1];
	if (f->keeper_pid < 0) {
		close(f->keeper);
		f->keeper = -1;
	}
}

static struct err *open_whole(struct output *f)
{
	const char *path = f->path, *slash = strrchr(path, '/');
	char directory[LIMIT_PATH];
	struct stat st;
	if (!lstat(path, &st))
		return err_hint(err_new(ERR_USAGE, "%s is there already", path), "a new name, or rm %s", path);
	if ((size_t)snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".") >= sizeof directory)
		return err_os(ENAMETOOLONG, "cannot write %s", path);
	f->fd = open(directory, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
	if (f->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) { /* not every file system has nameless files */
		int n = snprintf(f->aside, sizeof f->aside, "%s.%d.part", path, (int)getpid());
		f->fd = n < (int)sizeof f->aside ? open(f->aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	}
	if (f->fd < 0)
		return err_os(errno, "cannot write %s", path);
	start_keeper(f);
	return f->keeper < 0 ? err_new(ERR_OS, "cannot fork") : NULL;
}

struct err *output_open(const char *path, enum output_kind kind, struct output *ret)
{
	*ret = (struct output){ .path = path, .fd = STDOUT_FILENO, .keeper = -1, .kind = kind };
	if (!path)
		return NULL;
	if (kind == OUTPUT_WHOLE)
		return open_whole(ret);
	if (kind == OUTPUT_LOG) {
		ret->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		return ret->fd < 0 ? err_os(errno, "cannot write %s", path) : NULL;
	}
	ret->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (ret->fd >= 0)
		start_keeper(ret);
	else if (errno == EEXIST)
		ret->fd = open(path, O_WRONLY | O_CLOEXEC);
	return ret->fd < 0 ? err_os(errno, "cannot write %s", path) : NULL;
}

void output_begin(const struct output *f)
{
	struct stat st;
	if (f->path && f->kind == OUTPUT_ANSWER && f->keeper < 0 && !fstat(f->fd, &st) && S_ISREG(st.st_mode) && ftruncate(f->fd, 0))
		errno = 0; /* the writes will say so */
}

int output_close(struct output *f, bool failed)
{
	if (!f->path)
		return 0;
	int os = close(f->fd) ? errno : 0;
	if (f->keeper < 0)
		return os;
	if (!failed && write(f->keeper, "k", 1) != 1)
		os = errno;
	close(f->keeper);
	int status = 0;
	while (waitpid(f->keeper_pid, &status, 0) < 0 && errno == EINTR)
		;
	if (f->kind == OUTPUT_WHOLE && !failed && !os)
		os = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
	return os;
}

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

static void start_keeper(struct output *f)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC))
		return;
	f->keeper_pid = fork();
	if (!f->keeper_pid) {
		close(pair[1]);
		keep(pair[0], f->fd, f->path);
	}
	close(pair[0]);
	f->keeper = pair[1];
	if (f->keeper_pid < 0) {
		close(f->keeper);
		f->keeper = -1;
	}
}

struct err *output_open(const char *path, struct output *ret)
{
	*ret = (struct output){ .path = path, .fd = STDOUT_FILENO, .keeper = -1 };
	if (!path)
		return NULL;
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
	if (f->path && f->keeper < 0 && !fstat(f->fd, &st) && S_ISREG(st.st_mode) && ftruncate(f->fd, 0))
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
	while (waitpid(f->keeper_pid, NULL, 0) < 0 && errno == EINTR)
		;
	return os;
}

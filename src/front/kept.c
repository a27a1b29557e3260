/* What one look finds in code is kept for the next, in the user's cache folder: a small process with the caller's own rights, made
 * before the analyst is shut in, opens files of that folder and writes them. It takes names of one form only, reads nothing of what it
 * is given, and uses no folder and no file that might be somebody else's. Where there is none to use, all goes on without. */
#include "front.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NAME_BYTES = 160, MOST_FILE = 64 << 20, MOST_FILES = 512, MOST_AT_ONCE = 64, STALE_SECONDS = 3600 };
static const uint64_t most_bytes = 256 << 20; /* of all files */
static const char part[] = ".part-";

struct request { int32_t keep; char name[NAME_BYTES]; };
struct reply { int32_t ok; };

/* The folder */

static bool is_ours(int fd, mode_t others)
{
	struct stat st;
	return !fstat(fd, &st) && st.st_uid == geteuid() && !(st.st_mode & others);
}

/* The user may have a link in place of the first, not of what is below. */
static int enter(int at, const char *name, int links, mode_t others)
{
	if (mkdirat(at, name, 0700) && errno != EEXIST)
		return -1;
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | links);
	if (fd >= 0 && !is_ours(fd, others)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* With another user's HOME, as sudo may leave it, nothing is kept: the files would be in that user's hands. */
static int open_cache(void)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	if (cache && *cache == '/')
		return enter(AT_FDCWD, cache, 0, 0);
	if (!home || *home != '/')
		return -1;
	AUTO_FD int fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && is_ours(fd, 0) ? enter(fd, ".cache", 0, 0) : -1;
}

static int open_folder(void)
{
	AUTO_FD int cache = open_cache();
	AUTO_FD int own = cache < 0 ? -1 : enter(cache, "flotsam", O_NOFOLLOW, S_IWOTH);
	return own < 0 ? -1 : enter(own, "casts", O_NOFOLLOW, S_IWGRP | S_IWOTH);
}

/* Its files */

/* "5f0c...-1" */
static bool is_name(const char *name)
{
	size_t id = strspn(name, "0123456789abcdef");
	if (id < 2 || name[id] != '-')
		return false;
	size_t version = strspn(name + id + 1, "0123456789");
	return version && version < 10 && !name[id + 1 + version];
}

static int recall(int folder, const char *name)
{
	struct stat st;
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (!is_ours(fd, S_IWGRP | S_IWOTH) || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > MOST_FILE) {
		close(fd);
		return -1;
	}
	futimens(fd, NULL); /* the one that was asked for the longest ago goes first */
	return fd;
}

static bool copy(int from, int to)
{
	static char bytes[1 << 16];
	off_t at = 0;
	for (ssize_t n; (n = pread(from, bytes, sizeof bytes, at)) != 0; at += n)
		if (n < 0 || at + n > MOST_FILE || write(to, bytes, (size_t)n) != n)
			return false;
	return at > 0;
}

/* Removes what a process that was killed left behind; how much there is, and which of it is the oldest. */
static uint64_t survey(int folder, unsigned *ret_files, char oldest[NAME_BYTES])
{
	int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	uint64_t bytes = 0;
	time_t first = 0, now = time(NULL);
	struct stat st;
	*ret_files = 0;
	*oldest = '\0';
	if (!d && again >= 0)
		close(again);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (!strncmp(e->d_name, part, sizeof part - 1) && st.st_mtime < now - STALE_SECONDS)
			unlinkat(folder, e->d_name, 0);
		if (!is_name(e->d_name) || strlen(e->d_name) >= NAME_BYTES)
			continue;
		bytes += (uint64_t)st.st_size;
		if (!(*ret_files)++ || st.st_mtime < first) {
			first = st.st_mtime;
			memcpy(oldest, e->d_name, strlen(e->d_name) + 1);
		}
	}
	if (d)
		closedir(d);
	return bytes;
}

static void make_room(int folder)
{
	char oldest[NAME_BYTES];
	unsigned files;
	for (int i = 0; i < MOST_AT_ONCE; i++) {
		uint64_t bytes = survey(folder, &files, oldest);
		if ((bytes <= most_bytes && files <= MOST_FILES) || unlinkat(folder, oldest, 0))
			return;
	}
}

static bool keep(int folder, const char *name, int from)
{
	char aside[64];
	snprintf(aside, sizeof aside, "%s%d", part, (int)getpid());
	int fd = openat(folder, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	bool ok = copy(from, fd);
	ok = !close(fd) && ok && !renameat(folder, aside, folder, name);
	if (!ok)
		unlinkat(folder, aside, 0);
	make_room(folder);
	return ok;
}

/* The process */

static void serve(int socket)
{
	struct request q;
	int folder = -1, given;
	bool tried = false;
	while (socket_receive(socket, &q, sizeof q, &given) == (ssize_t)sizeof q) {
		struct reply r = { 0 };
		int found = -1;
		q.name[sizeof q.name - 1] = '\0';
		if (!tried)
			folder = open_folder();
		tried = true;
		if (folder >= 0 && is_name(q.name) && !q.keep)
			found = recall(folder, q.name);
		else if (folder >= 0 && is_name(q.name) && given >= 0)
			r.ok = keep(folder, q.name, given);
		if (given >= 0)
			close(given);
		bool sent = socket_send(socket, &r, sizeof r, found);
		if (found >= 0)
			close(found);
		if (!sent)
			break;
	}
}

/* It keeps nothing of ours open: who reads from us must not wait for it, nor who ends when we close a socket. */
static int keep_alone(int fd)
{
	enum { LAST = STDERR_FILENO + 1, MOST = 4096 };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i <= STDERR_FILENO && null >= 0; i++)
		dup2(null, i);
	if (fd != LAST && dup2(fd, LAST) < 0)
		return -1;
	if (syscall(SYS_close_range, LAST + 1, ~0u, 0)) /* Linux before 5.9 has none */
		for (int i = LAST + 1; i < MOST; i++)
			close(i);
	return LAST;
}

static _Noreturn void run(int fd, pid_t parent)
{
	fd = keep_alone(fd);
	front_shed_rights();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent && fd >= 0)
		serve(fd);
	_exit(0);
}

/* What the analyst asks */

static int ask(void *ctx, bool keeps, const char *name, int fd)
{
	struct request q = { .keep = keeps };
	struct reply r;
	int socket = *(int *)ctx, found = -1;
	snprintf(q.name, sizeof q.name, "%s", name);
	if (interrupted || !socket_send(socket, &q, sizeof q, fd) || socket_receive(socket, &r, sizeof r, &found) != (ssize_t)sizeof r)
		return -1;
	return found;
}

static int ask_for(void *ctx, const char *name)
{
	return ask(ctx, false, name, -1);
}

static void ask_to_keep(void *ctx, const char *name, int fd)
{
	int none = ask(ctx, true, name, fd);
	if (none >= 0)
		close(none);
}

void kept_start(struct modules_options *o)
{
	static int socket; /* of this process's one */
	const char *wish = secure_getenv("FLOTSAM_CACHE");
	int pair[2];
	if (getauxval(AT_SECURE) || (wish && !strcmp(wish, "off")) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return;
	pid_t parent = getpid(), pid = fork();
	if (!pid) {
		close(pair[0]);
		run(pair[1], parent);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return;
	}
	socket = pair[0];
	o->recall = ask_for;
	o->keep = ask_to_keep;
	o->keep_ctx = &socket;
}

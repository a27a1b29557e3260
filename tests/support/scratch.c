#include "scratch.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[256];
static pid_t maker;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

/* Children that were forked meanwhile have this handler too. */
static void remove_all(void)
{
	if (maker == getpid())
		nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_directory(void)
{
	const char *tmp = getenv("TMPDIR");
	if (*directory)
		return directory;
	snprintf(directory, sizeof directory, "%s/flotsam-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	/* No assertion of libcheck's: not only its tests ask. */
	if (!mkdtemp(directory)) {
		perror(directory);
		abort();
	}
	maker = getpid();
	atexit(remove_all);
	return directory;
}

void scratch_file(const char *path, const char *text, size_t n)
{
	char full[512];
	int root = snprintf(full, sizeof full, "%s/", scratch_directory());
	ck_assert_int_lt(root + snprintf(full + root, sizeof full - (size_t)root, "%s", path), (int)sizeof full);
	for (char *p = full + root; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		ck_assert_msg(!mkdir(full, 0755) || errno == EEXIST, "%s: %s", full, strerror(errno));
	}
	FILE *f = fopen(full, "we");
	ck_assert_msg(f, "%s: %s", full, strerror(errno));
	ck_assert(fwrite(text, 1, n, f) == n && !fclose(f));
}

bool tell_kernel(const char *dir, const char *name, const char *text)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return done;
}

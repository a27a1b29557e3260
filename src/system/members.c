/* Groups by their names, and the processes in them: cgroup.procs (cgroups(7)), systemd's units (systemd.slice(5): a unit's group has
 * the unit's name, below the groups of its slices). */
#include "text.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_MOUNTS = 32, MOST_MEMBERS = 1 << 16 };

struct paths { char **at; size_t n, cap; };

static bool add(struct paths *to, const char *a, const char *b)
{
	char **slot = to->n < LIMIT_GROUPS ? vec_push(to) : NULL;
	if (slot && asprintf(slot, "%s%s", a, b) >= 0)
		return true;
	if (slot)
		to->n--;
	return false;
}

static void drop(struct paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->at[i]);
	vec_free(p);
}

/* Mount points of all hierarchies, the one that has every process and unit first: version 2, else systemd's own. */
static void mounts(const char *root, struct paths *to)
{
	AUTO_FREE char *text = system_read(root, "/proc/self/mountinfo", NULL);
	static const char *const wanted[] = { "cgroup2 ", "name=systemd", "cgroup " };
	for (size_t i = 0; text && i < sizeof wanted / sizeof wanted[0]; i++) {
		const char *p = text;
		char line[2048], mount[LIMIT_PATH];
		while (text_next_line(&p, line, sizeof line) && to->n < MOST_MOUNTS) {
			const char *dash = strstr(line, " - cgroup");
			if (dash && strstr(dash, wanted[i]) && sscanf(line, "%*s %*s %*s %*s %4095s", mount) == 1)
				add(to, mount, "");
		}
	}
}

static bool is_group(const char *root, const char *dir)
{
	char path[LIMIT_PATH];
	struct stat st;
	return snprintf(path, sizeof path, "%s%s/cgroup.procs", root, dir) < LIMIT_PATH && !stat(path, &st) && S_ISREG(st.st_mode);
}

char *system_group_dir(const char *root, const char *path)
{
	struct paths m = { 0 }, found = { 0 };
	if (*path == '/' && is_group(root, path))
		return strdup(path);
	mounts(root, &m);
	for (size_t i = 0; i < m.n && !found.n; i++) {
		char dir[LIMIT_PATH];
		if (snprintf(dir, sizeof dir, "%s%s%s", m.at[i], *path == '/' ? "" : "/", path) < LIMIT_PATH && is_group(root, dir))
			add(&found, dir, "");
	}
	char *dir = found.n ? strdup(found.at[0]) : NULL;
	drop(&m);
	drop(&found);
	return dir;
}

/* The directories right below. Links are not followed. */
static void add_below(const char *root, const char *dir, struct paths *to)
{
	char path[LIMIT_PATH];
	struct stat st;
	DIR *d = snprintf(path, sizeof path, "%s%s", root, dir) < LIMIT_PATH ? opendir(path) : NULL;
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode))
			continue;
		if (snprintf(path, sizeof path, "/%s", e->d_name) >= LIMIT_PATH || !add(to, dir, path))
			break;
	}
	if (d)
		closedir(d);
}

/* "nginx" is nginx.service (systemctl(1)). */
static bool unit_name(const char *unit, char *to, size_t n)
{
	static const char *const suffixes[] = { ".service", ".scope", ".slice", ".socket", ".mount", ".swap" };
	const char *dot = strrchr(unit, '.');
	bool whole = false;
	for (size_t i = 0; dot && i < sizeof suffixes / sizeof suffixes[0]; i++)
		whole |= !strcmp(dot, suffixes[i]);
	return *unit && !strchr(unit, '/') && (size_t)snprintf(to, n, "/%s%s", unit, whole ? "" : ".service") < n;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);
	return n >= k && !strcmp(s + n - k, end);
}

static size_t depth(const char *path)
{
	size_t n = 0;
	for (; *path; path++)
		n += *path == '/';
	return n;
}

char *system_unit_dir(const char *root, const char *unit, bool *ret_several)
{
	char name[300];
	struct paths m = { 0 }, all = { 0 };
	char *found = NULL;
	*ret_several = false;
	if (!unit_name(unit, name, sizeof name))
		return NULL;
	mounts(root, &m);
	for (size_t i = 0; i < m.n && !found; i++) {
		add(&all, m.at[i], "");
		/* Breadth first: the nearest to the root comes first, one of a user's own manager later. */
		for (size_t k = 0; k < all.n && (!found || depth(all.at[k]) <= depth(found)); k++) {
			if (ends_with(all.at[k], name) && is_group(root, all.at[k])) {
				*ret_several |= found != NULL;
				found = found ? found : strdup(all.at[k]);
			}
			add_below(root, all.at[k], &all);
		}
		drop(&all);
	}
	drop(&m);
	return found;
}

static void add_pids(const char *text, struct system_pids *to)
{
	uint64_t pid;
	char line[32];
	while (text_next_line(&text, line, sizeof line) && to->n < MOST_MEMBERS) {
		const char *p = line;
		/* 0: a process of another pid namespace, which we cannot see. */
		int *slot = text_number(&p, &pid) && pid && pid <= INT32_MAX ? vec_push(to) : NULL;
		if (slot)
			*slot = (int)pid;
	}
}

void system_group_pids(const char *root, const char *dir, struct system_pids *ret)
{
	struct paths all = { 0 };
	char path[LIMIT_PATH];
	*ret = (struct system_pids){ 0 };
	add(&all, dir, "");
	for (size_t i = 0; i < all.n; i++) {
		AUTO_FREE char *text = snprintf(path, sizeof path, "%s/cgroup.procs", all.at[i]) < LIMIT_PATH ? system_read(root, path, NULL) : NULL;
		if (text)
			add_pids(text, ret);
		add_below(root, all.at[i], &all);
	}
	drop(&all);
}

/* The tree of memory cgroups, or the way from one group to the root: usage, limits, events
 * (Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst). */
#include "cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST = LIMIT_PATH };

static bool in_dir(char *to, const char *dir, const char *file)
{
	return snprintf(to, LONGEST, "%s/%s", dir, file) < LONGEST;
}

static uint64_t number_in(const char *root, const char *dir, const char *file)
{
	char path[LONGEST];
	uint64_t v = in_dir(path, dir, file) ? text_number_in(root, path) : UINT64_MAX;
	/* v1 says "no limit" as the largest page multiple of a signed 64-bit number. */
	return v >= 1ull << 62 ? UINT64_MAX : v;
}

struct key { const char *v1, *v2; size_t offset; };
#define KEY(member, v1, v2) { v1, v2, offsetof(struct system_group, member) }

static void put(struct system_group *g, const struct key *k, uint64_t v)
{
	*(uint64_t *)((char *)g + k->offset) = v;
}

static void fields_in(const char *root, const char *dir, const char *file, bool v2, struct system_group *g, const struct key *keys, size_t n)
{
	char path[LONGEST];
	AUTO_FREE char *text = in_dir(path, dir, file) ? system_read(root, path, NULL) : NULL;
	for (size_t i = 0; i < n; i++)
		put(g, &keys[i], text_field(text, v2 ? keys[i].v2 : keys[i].v1));
}

static void read_group(const char *root, const char *dir, bool v2, struct system_group *g)
{
	static const struct key files[] = {
		KEY(usage, "memory.usage_in_bytes", "memory.current"), KEY(limit, "memory.limit_in_bytes", "memory.max"),
		KEY(high, "", "memory.high"), KEY(peak, "memory.max_usage_in_bytes", "memory.peak"),
		KEY(swap, "memory.memsw.usage_in_bytes", "memory.swap.current"),
		KEY(swap_limit, "memory.memsw.limit_in_bytes", "memory.swap.max"), KEY(at_limit, "memory.failcnt", ""),
		KEY(kernel, "memory.kmem.usage_in_bytes", ""),
	};
	static const struct key stat[] = {
		KEY(anon, "total_rss", "anon"), KEY(file, "total_cache", "file"),
		KEY(inactive_file, "total_inactive_file", "inactive_file"), KEY(shmem, "total_shmem", "shmem"),
	};
	static const struct key events[] = { KEY(at_limit, "", "max"), KEY(at_high, "", "high"), KEY(ooms, "", "oom"), KEY(oom_kills, "", "oom_kill") };
	static const struct key kills[] = { KEY(oom_kills, "oom_kill", "") }, kernel[] = { KEY(kernel, "", "kernel") };
	char path[LONGEST];
	g->at_high = g->ooms = UINT64_MAX;
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		const char *name = v2 ? files[i].v2 : files[i].v1;
		put(g, &files[i], *name ? number_in(root, dir, name) : UINT64_MAX);
	}
	fields_in(root, dir, "memory.stat", v2, g, stat, sizeof stat / sizeof stat[0]);
	if (v2) {
		fields_in(root, dir, "memory.events", true, g, events, sizeof events / sizeof events[0]);
		fields_in(root, dir, "memory.stat", true, g, kernel, 1);
		if (in_dir(path, dir, "memory.pressure"))
			system_pressure_read(root, path, &g->pressure);
		return;
	}
	fields_in(root, dir, "memory.oom_control", false, g, kills, 1);
	AUTO_FREE char *oom = in_dir(path, dir, "memory.oom_control") ? system_read(root, path, NULL) : NULL;
	g->under_oom = text_field(oom, "under_oom") == 1;
	g->kill_disabled = text_field(oom, "oom_kill_disable") == 1;
}

static bool add_group(const char *root, const struct hierarchy *h, const char *below, struct system_groups *to)
{
	char dir[LONGEST];
	if (to->n == LIMIT_GROUPS) {
		to->cut = true;
		return false;
	}
	struct system_group *g = snprintf(dir, sizeof dir, "%s%s", h->mount, below) < LONGEST ? vec_push(to) : NULL;
	if (!g)
		return false;
	g->path = strdup(*below ? below : "/");
	if (!g->path) {
		to->n--;
		return false;
	}
	read_group(root, dir, h->version == 2, g);
	return true;
}

/* The groups right below the one at `below`. Links are not followed: a saved tree may hold any. */
static void add_children(const char *root, const struct hierarchy *h, const char *below, struct system_groups *to)
{
	char path[LONGEST];
	struct stat st;
	if (snprintf(path, sizeof path, "%s%s", h->mount, below) >= LONGEST)
		return;
	int fd = text_open(root, path);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode))
			continue;
		if (snprintf(path, sizeof path, "%s/%s", below, e->d_name) < LONGEST && !add_group(root, h, path, to))
			break;
	}
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct system_group *)a)->path, ((const struct system_group *)b)->path);
}

void system_groups_read(const char *root, const char *proc_cgroup, struct system_groups *ret)
{
	char own[1024], path[LONGEST];
	struct hierarchy h;
	*ret = (struct system_groups){ 0 };
	if (!cgroup_locate(root, proc_cgroup, &h, own, sizeof own))
		return;
	ret->version = h.version;
	const char *below = cgroup_below(&h, own);
	if (!below)
		return;
	snprintf(path, sizeof path, "%s", below);
	while (proc_cgroup && *path) {
		char *slash = strrchr(path, '/');
		add_group(root, &h, path, ret);
		*(slash ? slash : path) = '\0';
	}
	add_group(root, &h, "", ret);
	for (size_t i = 0; !proc_cgroup && i < ret->n; i++) {
		/* A copy: the list moves while it grows. */
		snprintf(path, sizeof path, "%s", strcmp(ret->at[i].path, "/") ? ret->at[i].path : "");
		add_children(root, &h, path, ret);
	}
	if (ret->n)
		qsort(ret->at, ret->n, sizeof *ret->at, compare);
}

void system_groups_free(struct system_groups *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->at[i].path);
	vec_free(g);
}

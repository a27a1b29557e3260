/* Memory cgroups, version 1 and 2 (Documentation/admin-guide/cgroup-v{1/memory.rst,2.rst}), and the room that is left. */
#include "cgroup.h"

#include <sys/resource.h>

static uint64_t number_in(const char *root, const char *dir, const char *file)
{
	AUTO_FREE char *path = NULL;
	if (asprintf(&path, "%s/%s", dir, file) < 0) {
		path = NULL;
		return UINT64_MAX;
	}
	AUTO_FREE char *text = system_read(root, path, NULL);
	if (!text || !strncmp(text, "max", 3))
		return UINT64_MAX;
	uint64_t v = strtoull(text, NULL, 10);
	/* v1 says "no limit" as the largest page multiple of a signed 64-bit number. */
	return v >= 1ull << 62 ? UINT64_MAX : v;
}

static uint64_t stat_field(const char *root, const char *dir, const char *file, const char *key)
{
	AUTO_FREE char *path = NULL;
	if (asprintf(&path, "%s/%s", dir, file) < 0) {
		path = NULL;
		return UINT64_MAX;
	}
	AUTO_FREE char *text = system_read(root, path, NULL);
	size_t k = strlen(key);
	for (const char *p = text; p && *p; p = strchr(p, '\n'), p += p != NULL)
		if (!strncmp(p, key, k) && p[k] == ' ')
			return strtoull(p + k, NULL, 10);
	return UINT64_MAX;
}

/* Mount point of the memory controller (proc_pid_mountinfo(5): "... root mountpoint ... - type source options"). */
static bool find_mount(const char *root, int version, struct hierarchy *ret)
{
	AUTO_FREE char *text = system_read(root, "/proc/self/mountinfo", NULL);
	char *save = NULL;
	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		char type[32] = "", options[512] = "";
		const char *dash = strstr(line, " - ");
		if (!dash || sscanf(line, "%*s %*s %*s %511s %511s", ret->group_root, ret->mount) != 2 ||
		    sscanf(dash, " - %31s %*s %511s", type, options) < 1)
			continue;
		ret->version = version;
		if (version == 2 ? !strcmp(type, "cgroup2") : !strcmp(type, "cgroup") && strstr(options, "memory"))
			return true;
	}
	return false;
}

/* Is the memory controller one of the comma-separated names? A hierarchy without controllers has a name, "name=x". */
static bool has_memory(const char *names, size_t n)
{
	static const char memory[] = "memory";
	for (const char *p = names, *end = names + n; p < end;) {
		const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end;
		if ((size_t)(stop - p) == sizeof memory - 1 && !memcmp(p, memory, sizeof memory - 1))
			return true;
		p = stop + 1;
	}
	return false;
}

/* Path of the process's group for the controller; v1 lines are "N:memory:/path", v2's is "0::/path". */
static bool group_path(const char *text, int version, char *to, size_t n)
{
	for (const char *p = text; p && *p; p = strchr(p, '\n'), p += p != NULL) {
		const char *first = strchr(p, ':'), *second = first ? strchr(first + 1, ':') : NULL;
		if (!second)
			return false;
		size_t k = (size_t)(second - first - 1);
		if (version == 2 ? !k : has_memory(first + 1, k)) {
			snprintf(to, n, "%.*s", (int)strcspn(second + 1, "\n"), second + 1);
			return true;
		}
	}
	return false;
}

static void read_group(const char *root, const struct hierarchy *h, const char *dir, bool own, struct cgroup_memory *ret)
{
	bool v2 = h->version == 2;
	uint64_t usage = number_in(root, dir, v2 ? "memory.current" : "memory.usage_in_bytes");
	uint64_t limit = number_in(root, dir, v2 ? "memory.max" : "memory.limit_in_bytes");
	if (own) {
		ret->usage = usage;
		ret->known = usage != UINT64_MAX;
		ret->anon = stat_field(root, dir, "memory.stat", v2 ? "anon" : "total_rss");
		ret->file = stat_field(root, dir, "memory.stat", v2 ? "file" : "total_cache");
		ret->events_oom_kill = stat_field(root, dir, v2 ? "memory.events" : "memory.oom_control", "oom_kill");
	}
	/* The tightest is the one with the least room. */
	if (limit != UINT64_MAX && usage != UINT64_MAX &&
	    (ret->limit == UINT64_MAX || limit - (usage < limit ? usage : limit) < ret->limit - (ret->limit_usage < ret->limit ? ret->limit_usage : ret->limit))) {
		ret->limit = limit;
		ret->limit_usage = usage;
		ret->limit_cache = stat_field(root, dir, "memory.stat", v2 ? "inactive_file" : "total_inactive_file");
	}
}

bool cgroup_locate(const char *root, const char *proc_cgroup, struct hierarchy *ret, char *path, size_t n)
{
	*path = '\0';
	for (int version = 1; version <= 2; version++)
		if ((!proc_cgroup || group_path(proc_cgroup, version, path, n)) && find_mount(root, version, ret))
			return true;
	return false;
}

const char *cgroup_below(const struct hierarchy *h, const char *path)
{
	/* Inside a container the mount shows a part of the tree: its root is a prefix of the path. */
	size_t k = strlen(h->group_root);
	if (k > 1 && *path) {
		if (strncmp(path, h->group_root, k) || (path[k] && path[k] != '/'))
			return NULL; /* another part: a group of that name below the mount would be another group */
		path += k;
	}
	/* Seen from a cgroup namespace, a group outside of it begins with "/..". */
	return strstr(path, "/..") ? NULL : strcmp(path, "/") ? path : "";
}

void system_cgroup(const char *root, const char *proc_cgroup, struct cgroup_memory *ret)
{
	*ret = (struct cgroup_memory){ .limit = UINT64_MAX, .anon = UINT64_MAX, .file = UINT64_MAX, .usage = UINT64_MAX };
	struct hierarchy h;
	if (!cgroup_locate(root, proc_cgroup, &h, ret->path, sizeof ret->path))
		return;
	ret->version = h.version;
	const char *below = cgroup_below(&h, ret->path);
	if (!below)
		return;
	char dir[2048];
	int n = snprintf(dir, sizeof dir, "%s%s", h.mount, below);
	if (n < 0 || (size_t)n >= sizeof dir)
		return;
	size_t top = strlen(h.mount);
	for (bool own = true;; own = false) {
		read_group(root, &h, dir, own, ret);
		char *slash = strrchr(dir, '/');
		if (strlen(dir) <= top || !slash || (size_t)(slash - dir) < top)
			break;
		*slash = '\0';
	}
}

uint64_t system_room(const char *root, const char **ret_what)
{
	uint64_t room = UINT64_MAX;
	*ret_what = "no limit";
	AUTO_FREE char *meminfo = system_read(root, "/proc/meminfo", NULL);
	const char *p = meminfo ? strstr(meminfo, "MemAvailable:") : NULL;
	if (p) {
		room = strtoull(p + 13, NULL, 10) * 1024;
		*ret_what = "available memory of the machine";
	}
	AUTO_FREE char *groups = system_read(root, "/proc/self/cgroup", NULL);
	struct cgroup_memory c = { .limit = UINT64_MAX };
	if (groups)
		system_cgroup(root, groups, &c);
	if (c.limit != UINT64_MAX) {
		uint64_t left = c.limit > c.limit_usage ? c.limit - c.limit_usage : 0;
		if (left < room) {
			room = left;
			*ret_what = "cgroup limit";
		}
	}
	struct rlimit as;
	if (!getrlimit(RLIMIT_AS, &as) && as.rlim_cur != RLIM_INFINITY) {
		AUTO_FREE char *statm = system_read(root, "/proc/self/statm", NULL);
		uint64_t used = statm ? strtoull(statm, NULL, 10) * 4096 : 0, left = as.rlim_cur > used ? as.rlim_cur - used : 0;
		if (left < room) {
			room = left;
			*ret_what = "RLIMIT_AS";
		}
	}
	return room;
}

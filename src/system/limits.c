/* What one process may have: /proc/PID/limits, oom_score, oom_score_adj, the number of its mappings, its cgroups. */
#include "text.h"

static char *read_of(const char *root, int pid, const char *file)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	return system_read(root, path, NULL);
}

/* "Max address space         unlimited            unlimited            bytes": the soft one (fs/proc/base.c). */
static uint64_t soft_limit(const char *text, const char *name)
{
	const char *p = text ? text_line(text, name) : NULL;
	uint64_t v;
	return p && text_number(&p, &v) ? v : UINT64_MAX;
}

static int number_of(const char *root, int pid, const char *file)
{
	AUTO_FREE char *text = read_of(root, pid, file);
	return text ? (int)strtol(text, NULL, 10) : 0;
}

bool system_process_read(const char *root, int pid, struct system_process *ret)
{
	AUTO_FREE char *status = read_of(root, pid, "status");
	*ret = (struct system_process){ .pid = pid, .mappings = UINT64_MAX };
	struct err *e = status ? system_status(status, strlen(status), &ret->status) : NULL;
	if (!status || e) {
		err_free(e);
		return false;
	}
	AUTO_FREE char *limits = read_of(root, pid, "limits");
	ret->address_space = soft_limit(limits, "Max address space");
	ret->data = soft_limit(limits, "Max data size");
	ret->stack = soft_limit(limits, "Max stack size");
	ret->locked = soft_limit(limits, "Max locked memory");
	ret->files = soft_limit(limits, "Max open files");
	ret->oom_score = number_of(root, pid, "oom_score");
	ret->oom_score_adj = number_of(root, pid, "oom_score_adj");
	AUTO_FREE char *maps = read_of(root, pid, "maps"), *groups = read_of(root, pid, "cgroup");
	if (maps) {
		ret->mappings = 0;
		for (const char *p = maps; (p = strchr(p, '\n')); p++)
			ret->mappings++;
	}
	if (groups)
		system_groups_read(root, groups, &ret->groups);
	return true;
}

void system_process_free(struct system_process *p)
{
	system_groups_free(&p->groups);
}

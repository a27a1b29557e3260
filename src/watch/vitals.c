/* What /proc says of a process for nothing: no walk of page tables, no lock of the target's but that of a line of status. */
#include "flotsam/watch.h"

#include "flotsam/system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static bool path_of(char to[LIMIT_PATH], const char *root, int pid, const char *file)
{
	return snprintf(to, LIMIT_PATH, "%s/proc/%d/%s", root, pid, file) < LIMIT_PATH;
}

static char *read_proc(const char *root, int pid, const char *file, size_t *ret_n)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	return system_read(root, path, ret_n);
}

static uint64_t count_entries(const char *root, int pid, const char *dir)
{
	char path[LIMIT_PATH];
	uint64_t n = 0;
	DIR *d = path_of(path, root, pid, dir) ? opendir(path) : NULL;
	if (!d)
		return UNKNOWN;
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static uint64_t room_of(const struct system_group *g)
{
	return g->usage < g->limit ? g->limit - g->usage : 0;
}

static void read_group(const char *root, int pid, struct watch_vitals *v)
{
	struct system_groups g;
	const struct system_group *tightest = NULL;
	AUTO_FREE char *text = read_proc(root, pid, "cgroup", NULL);
	if (!text)
		return;
	system_groups_read(root, text, &g);
	for (size_t i = 0; i < g.n; i++)
		if (g.at[i].limit != UNKNOWN && g.at[i].usage != UNKNOWN && (!tightest || room_of(&g.at[i]) < room_of(tightest)))
			tightest = &g.at[i];
	if (tightest) {
		v->limit = tightest->limit;
		v->limit_usage = tightest->usage;
		v->limit_of_group = true;
	}
	if (g.n) { /* parents come first: the last is the process's own */
		const struct system_group *own = &g.at[g.n - 1];
		v->group = own->usage;
		v->at_high = own->at_high;
		v->pressure = own->pressure.known ? own->pressure.some[0] : -1;
	}
	system_groups_free(&g);
}

static void read_machine(const char *root, struct watch_vitals *v)
{
	struct system_memory m;
	struct system_pressure p;
	if (!v->limit_of_group) {
		system_memory_read(root, &m);
		v->limit = m.total;
		v->limit_usage = m.total == UNKNOWN || m.available == UNKNOWN || m.available > m.total ? UNKNOWN : m.total - m.available;
	}
	if (v->pressure >= 0)
		return;
	system_pressure_read(root, "/proc/pressure/memory", &p);
	v->pressure = p.known ? p.some[0] : -1;
}

/* Field 28 of stat, the address where the stack begins (fs/proc/array.c, do_task_stat(): 0 for who may not trace it): each exec
 * chooses another. With the file of the program it tells one program from the next where addresses are not random, too. */
static void identify(const char *root, int pid, const char *stat_text, size_t n, struct watch_identity *ret)
{
	char path[LIMIT_PATH];
	struct stat st;
	const char *p = memrchr(stat_text, ')', n);
	p = p && p + 2 < stat_text + n ? p + 2 : NULL;
	for (int field = 3; p && field < 28; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	ret->stack = p ? strtoull(p, NULL, 10) : 0;
	if (path_of(path, root, pid, "exe") && !stat(path, &st)) {
		ret->exe_dev = st.st_dev;
		ret->exe_inode = st.st_ino;
	}
}

static bool differ(uint64_t a, uint64_t b)
{
	return a && b && a != b;
}

static enum watch_seen recognize(struct watch_identity *who, struct watch_identity *now)
{
	bool other = who->start && (differ(who->stack, now->stack) || differ(who->exe_dev, now->exe_dev) || differ(who->exe_inode, now->exe_inode));
	/* What was readable once stays known. */
	if (!other && !now->stack)
		now->stack = who->stack;
	if (!other && !now->exe_inode) {
		now->exe_dev = who->exe_dev;
		now->exe_inode = who->exe_inode;
	}
	*who = *now;
	return other ? WATCH_EXEC : WATCH_THERE;
}

enum watch_seen watch_vitals_read(const char *root, struct watch_identity *who, struct watch_vitals *v)
{
	size_t n, stat_n;
	struct process_status s;
	char state;
	struct watch_identity now = { .pid = who->pid };
	AUTO_FREE char *status = read_proc(root, who->pid, "status", &n), *stat_text = read_proc(root, who->pid, "stat", &stat_n);
	if (!status || !stat_text || !system_stat(stat_text, stat_n, &state, &now.start) || state == 'Z' || state == 'X' ||
	    (who->start && who->start != now.start))
		return WATCH_GONE;
	AUTO_ERR struct err *e = system_status(status, n, &s);
	if (e || s.vm_rss == UINT64_MAX)
		return WATCH_GONE;
	*v = (struct watch_vitals){ .rss = s.vm_rss, .anon = s.rss_anon, .swap = s.vm_swap, .size = s.vm_size, .threads = (uint64_t)s.threads,
				    .descriptors = count_entries(root, who->pid, "fd"), .group = UNKNOWN, .at_high = UNKNOWN, .limit = UNKNOWN,
				    .limit_usage = UNKNOWN, .pressure = -1 };
	snprintf(v->comm, sizeof v->comm, "%s", s.name);
	identify(root, who->pid, stat_text, stat_n, &now);
	read_group(root, who->pid, v);
	read_machine(root, v);
	return recognize(who, &now);
}

bool watch_rollup_due(struct watch_rollup_due *d, double now, uint64_t rss)
{
	static const double longest = 600;
	uint64_t moved = rss > d->rss ? rss - d->rss : d->rss - rss;
	if (d->read && now - d->at < longest && moved <= d->rss / 20)
		return false;
	*d = (struct watch_rollup_due){ now, rss, true };
	return true;
}

static bool take_entry(void *ctx, const struct smaps_entry *e)
{
	*(struct watch_rollup *)ctx = (struct watch_rollup){ e->rss, e->pss, e->anonymous, e->private_dirty, e->swap, e->anon_huge };
	return false;
}

bool watch_rollup_read(const char *root, int pid, struct watch_rollup *ret)
{
	char path[LIMIT_PATH];
	AUTO_FD int fd = path_of(path, root, pid, "smaps_rollup") ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	*ret = (struct watch_rollup){ .rss = UNKNOWN };
	AUTO_ERR struct err *e = fd < 0 ? NULL : system_smaps_each(fd, take_entry, ret);
	return !e && ret->rss != UNKNOWN;
}

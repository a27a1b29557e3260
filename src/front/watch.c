/* flotsam watch. Between looks it reads what costs the target nothing; a look is taken by a process of its own, which also says
 * what has changed since the first look, since this one is not shut in and must read nothing that the target made. */
#include "front.h"
#include "watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const double default_interval = 10, default_hold = 300, least_between_looks = 60;

static char *read_proc(int pid, const char *file, size_t *ret_n)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	return system_read("", path, ret_n);
}

static uint64_t count_entries(int pid, const char *dir)
{
	char path[64];
	uint64_t n = 0;
	snprintf(path, sizeof path, "/proc/%d/%s", pid, dir);
	DIR *d = opendir(path);
	if (!d)
		return UNKNOWN;
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void read_group(int pid, struct vitals *v)
{
	size_t n;
	struct system_groups g;
	AUTO_FREE char *text = read_proc(pid, "cgroup", &n);
	v->group = v->at_high = UNKNOWN;
	if (!text)
		return;
	system_groups_read("", text, &g);
	for (size_t i = g.n; i--;) {
		/* Parents come first: the last is the process's own. */
		if (i == g.n - 1) {
			v->group = g.at[i].usage;
			v->at_high = g.at[i].at_high;
		}
		if (g.at[i].limit < v->limit) {
			v->limit = g.at[i].limit;
			v->limit_usage = g.at[i].usage;
		}
	}
	system_groups_free(&g);
}

/* False: there is no such process, or another has its number. */
bool vitals_read(int pid, uint64_t *start, struct vitals *v)
{
	size_t n, stat_n;
	struct process_status s;
	char state;
	uint64_t ticks;
	AUTO_FREE char *status = read_proc(pid, "status", &n), *stat = read_proc(pid, "stat", &stat_n);
	if (!status || !stat || !system_stat(stat, stat_n, &state, &ticks) || state == 'Z' || state == 'X' || (*start && *start != ticks))
		return false;
	struct err *e = system_status(status, n, &s);
	if (e) {
		err_free(e);
		return false;
	}
	*start = ticks;
	*v = (struct vitals){ .rss = s.vm_rss, .anon = s.rss_anon, .swap = s.vm_swap, .size = s.vm_size, .threads = (uint64_t)s.threads,
			      .descriptors = count_entries(pid, "fd"), .limit = UNKNOWN, .limit_usage = UNKNOWN };
	read_group(pid, v);
	return v->rss != UNKNOWN;
}

double front_now(void)
{
	struct timespec t;
	return clock_gettime(CLOCK_REALTIME, &t) ? 0 : (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void rss_trend(struct watch *w, const struct vitals *v)
{
	series_add(&w->rss, (struct sample){ monotonic_seconds() - w->started, (double)(v->rss + (v->swap == UNKNOWN ? 0 : v->swap)), w->run });
	w->trend = trend_judge(w->rss.at, w->rss.n);
}

/* What holds now, by the rules; NULL: none. */
static const char *broken_rule(struct watch *w, const struct vitals *v)
{
	double now = monotonic_seconds(), hold = w->a->hold > 0 ? w->a->hold : default_hold;
	const char *fired = NULL;
	bool grows = w->a->growth > 0 && w->trend.kind == TREND_GROWS && w->trend.slope > w->a->growth;
	uint64_t limit = v->limit, usage = v->limit_usage;
	if (limit == UNKNOWN) {
		limit = w->host_bytes;
		usage = v->rss;
	}
	bool high = w->a->level > 0 && limit != UNKNOWN && usage != UNKNOWN && (double)usage > w->a->level * (double)limit;
	if (grows && !w->grew)
		fired = "growth";
	w->grew = grows;
	if (!high)
		w->high_since = -1;
	else if (w->high_since < 0)
		w->high_since = now;
	bool held = high && now - w->high_since >= hold;
	if (held && !w->was_high)
		fired = "level";
	w->was_high = held;
	if (v->at_high != UNKNOWN && w->at_high != UNKNOWN && v->at_high > w->at_high)
		fired = "memory.high";
	w->at_high = v->at_high;
	return fired;
}

static void forget_looks(struct watch *w)
{
	if (w->first >= 0)
		close(w->first);
	w->first = -1;
}

/* Written aside, then named, so that who reads it never sees a part. */
static struct err *write_metrics(const char *path, int from)
{
	char aside[LIMIT_PATH], buffer[65536];
	if (snprintf(aside, sizeof aside, "%s.%d.part", path, (int)getpid()) >= (int)sizeof aside)
		return err_os(ENAMETOOLONG, "cannot write %s", path);
	AUTO_FD int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	bool ok = fd >= 0 && lseek(from, 0, SEEK_SET) == 0;
	for (ssize_t n = 1; ok && n;) {
		n = read(from, buffer, sizeof buffer);
		ok = n >= 0 && write(fd, buffer, (size_t)n) == n;
	}
	if (ok && !rename(aside, path))
		return NULL;
	int os = errno;
	unlink(aside);
	return err_os(os, "cannot write %s", path);
}

/* In the process that looked: what it found, and what has changed since the first look of this run. */
static struct err *after_look(void *ctx, struct session *s, const struct census_bytes *own)
{
	struct watch *w = ctx;
	struct census *now, *base = NULL;
	struct diff *d = NULL;
	struct out o;
	uint8_t *copy = malloc(own->n);
	if (!copy)
		return err_nomem();
	memcpy(copy, own->at, own->n);
	TRY(census_read(copy, own->n, &now));
	if (w->first >= 0)
		TRY(census_load(w->first, "the first look", &base));
	const struct census *const both[] = { base ? base : now, now };
	TRY(diff_make(both, 2, &d));
	out_init(&o, w->line, "never");
	watch_look_line(w, s, d, base != NULL, &o);
	out_flush(&o);
	diff_free(d);
	census_free(base);
	census_free(now);
	if (!w->a->metrics)
		return NULL;
	out_init(&o, w->metrics, "never");
	TRY(command_metrics(w->a, s, &o));
	out_flush(&o);
	return NULL;
}

static struct err *look(struct watch *w, const char *why)
{
	const struct look_job job = { .name = &w->target, .after = after_look, .ctx = w };
	int fd;
	w->why = why;
	w->last_look = monotonic_seconds();
	if (ftruncate(w->line, 0) || lseek(w->line, 0, SEEK_SET) || (w->metrics >= 0 && (ftruncate(w->metrics, 0) || lseek(w->metrics, 0, SEEK_SET))))
		return err_os(errno, "cannot look");
	struct err *e = front_look(w->a, &job, w->p, &fd);
	if (e)
		return e;
	watch_copy_line(w);
	if (w->first < 0)
		w->first = fd;
	else
		close(fd);
	return w->a->metrics ? write_metrics(w->a->metrics, w->metrics) : NULL;
}

/* A look that fails is an event, no end. */
static void try_look(struct watch *w, const char *why)
{
	struct err *e = look(w, why);
	if (e && e->kind != ERR_INTERRUPTED)
		watch_error_line(w, e);
	err_free(e);
}

/* The process is gone. By its name it may come back. */
static bool find_again(struct watch *w)
{
	struct look_name found;
	if (!w->a->by_name)
		return false;
	struct err *e = arguments_find(w->a->by_name, &found);
	if (e) {
		err_free(e);
		return false;
	}
	w->target = found;
	w->target.target = w->target.found;
	w->pid = atoi(found.found);
	w->start = 0;
	w->run++;
	w->grew = w->was_high = false;
	w->high_since = -1;
	w->at_high = UNKNOWN;
	forget_looks(w);
	return true;
}

static double interval_of(const struct watch *w)
{
	return w->a->interval > 0 ? w->a->interval : default_interval;
}

static bool one_sample(struct watch *w)
{
	struct vitals v;
	if (!w->gone && !vitals_read(w->pid, &w->start, &v)) {
		watch_event(w, "exit", NULL);
		w->gone = true;
		if (!w->a->by_name)
			return false;
	}
	if (w->gone) {
		if (!find_again(w) || !vitals_read(w->pid, &w->start, &v))
			return true;
		w->gone = false;
		watch_event(w, "restart", NULL);
	}
	rss_trend(w, &v);
	watch_sample_line(w, &v);
	const char *rule = broken_rule(w, &v);
	if (rule)
		watch_event(w, "alarm", rule);
	/* A rule that comes and goes must not stop the process at every sample. */
	double since = monotonic_seconds() - w->last_look, apart = 6 * interval_of(w) < least_between_looks ? 6 * interval_of(w) : least_between_looks;
	if (rule && (w->last_look <= 0 || since >= apart))
		try_look(w, rule);
	else if (w->a->look_every > 0 && (w->last_look <= 0 || since >= w->a->look_every))
		try_look(w, "time");
	w->samples++;
	return !w->a->count || w->samples < w->a->count;
}

static void watch_on(struct watch *w)
{
	double interval = interval_of(w), next = monotonic_seconds();
	while (!interrupted && one_sample(w)) {
		next += interval;
		double now = monotonic_seconds();
		if (next < now)
			next = now;
		while (!interrupted && (now = monotonic_seconds()) < next)
			if (poll(NULL, 0, (int)((next - now) * 1000) + 1) < 0 && errno != EINTR)
				break;
	}
}

struct err *front_watch(const struct arguments *a, struct progress *p, struct out *o, int *ret_status)
{
	struct system_memory memory;
	struct vitals v;
	struct watch *w = calloc(1, sizeof *w);
	if (!w)
		return err_nomem();
	system_memory_read("", &memory);
	*w = (struct watch){ .a = a, .p = p, .o = o, .target = { "live", a->target, { 0 } }, .pid = atoi(a->target), .first = -1, .line = memfd_create("line", MFD_CLOEXEC),
			     .metrics = a->metrics ? memfd_create("metrics", MFD_CLOEXEC) : -1, .started = monotonic_seconds(), .high_since = -1, .at_high = UNKNOWN,
			     .host_bytes = memory.total };
	struct err *e = w->line < 0 || (a->metrics && w->metrics < 0) ? err_os(errno, "no memory for a line") : NULL;
	if (!e && !vitals_read(w->pid, &w->start, &v))
		e = err_new(ERR_NOT_FOUND, "no process %s", a->target);
	if (!e) {
		watch_event(w, "start", NULL);
		watch_on(w);
		watch_event(w, "end", interrupted ? "interrupted" : w->gone ? "exit" : "count");
		*ret_status = EXIT_REPORT;
	}
	forget_looks(w);
	if (w->line >= 0)
		close(w->line);
	if (w->metrics >= 0)
		close(w->metrics);
	free(w);
	return e;
}

/* The log of flotsam watch: a JSON object a line. A line is there whole or not at all: on a full disk it is taken back, and counted. */
#include "watch.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST_LINE = 1 << 20, GROUPS = 5 };

static void put_line(struct watch *w, const char *text, size_t n)
{
	struct stat st;
	int fd = w->o->fd;
	off_t before = !fstat(fd, &st) && S_ISREG(st.st_mode) ? st.st_size : -1;
	for (size_t done = 0; done < n;) {
		ssize_t k = write(fd, text + done, n - done);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			w->lost_lines++;
			if (before >= 0 && ftruncate(fd, before))
				w->o->error = errno;
			if (errno == EPIPE)
				interrupted = interrupted ? interrupted : SIGPIPE;
			return;
		}
		done += (size_t)k;
	}
}

/* Builds a line aside. */
struct event { struct out o; struct json j; int fd; };

static bool begin(struct event *l, const struct watch *w, const char *event)
{
	l->fd = memfd_create("line", MFD_CLOEXEC);
	if (l->fd < 0)
		return false;
	out_init(&l->o, l->fd, "never");
	out_json_init(&l->j, &l->o, false);
	out_json_object(&l->j, NULL);
	out_json_string(&l->j, "event", event);
	out_json_double(&l->j, "time", front_now(), 3);
	out_json_i64(&l->j, "pid", w->pid);
	return true;
}

static void end(struct event *l, struct watch *w)
{
	out_json_end_object(&l->j);
	out_puts(&l->o, "\n");
	out_deinit(&l->o);
	off_t n = lseek(l->fd, 0, SEEK_END);
	AUTO_FREE char *text = n > 0 && n < LONGEST_LINE ? malloc((size_t)n) : NULL;
	if (text && pread(l->fd, text, (size_t)n, 0) == (ssize_t)n)
		put_line(w, text, (size_t)n);
	close(l->fd);
}

static void known(struct json *j, const char *key, uint64_t v)
{
	if (v == UNKNOWN)
		out_json_null(j, key);
	else
		out_json_u64(j, key, v);
}

void watch_event(struct watch *w, const char *event, const char *reason)
{
	struct event l;
	if (!begin(&l, w, event))
		return;
	if (reason)
		out_json_string(&l.j, "reason", reason);
	if (!strcmp(event, "start"))
		out_json_string(&l.j, "schema", "flotsam.watch/1");
	if (!strcmp(event, "end")) {
		out_json_u64(&l.j, "samples", w->samples);
		out_json_u64(&l.j, "lost_lines", w->lost_lines);
	}
	end(&l, w);
}

void watch_error_line(struct watch *w, const struct err *e)
{
	struct event l;
	if (!begin(&l, w, "error"))
		return;
	out_json_string(&l.j, "text", e->text);
	out_json_string(&l.j, "hint", e->hint);
	end(&l, w);
}

static void trend(struct json *j, const struct watch *w, const struct vitals *v)
{
	const struct trend *t = &w->trend;
	out_json_string(j, "trend", trend_kind_name(t->kind));
	if (t->kind == TREND_SHORT) {
		out_json_null(j, "bytes_per_hour");
		return;
	}
	out_json_double(j, "bytes_per_hour", t->slope * 3600, 0);
	out_json_double(j, "bytes_per_hour_low", t->low * 3600, 0);
	out_json_double(j, "bytes_per_hour_high", t->high * 3600, 0);
	if (t->kind != TREND_GROWS || v->limit == UNKNOWN || v->limit_usage == UNKNOWN)
		return;
	/* The soonest by the steepest slope. */
	double at[3] = { trend_seconds_until((double)v->limit_usage, t->slope, (double)v->limit),
			 trend_seconds_until((double)v->limit_usage, t->high, (double)v->limit),
			 trend_seconds_until((double)v->limit_usage, t->low, (double)v->limit) };
	static const char *const keys[] = { "seconds_until_limit", "seconds_until_limit_low", "seconds_until_limit_high" };
	for (int i = 0; i < 3; i++)
		if (at[i] >= 0)
			out_json_double(j, keys[i], at[i], 0);
		else
			out_json_null(j, keys[i]);
}

void watch_sample_line(struct watch *w, const struct vitals *v)
{
	struct event l;
	if (!begin(&l, w, "sample"))
		return;
	known(&l.j, "rss_bytes", v->rss);
	known(&l.j, "anonymous_bytes", v->anon);
	known(&l.j, "swap_bytes", v->swap);
	known(&l.j, "threads", v->threads);
	known(&l.j, "descriptors", v->descriptors);
	known(&l.j, "cgroup_bytes", v->group);
	known(&l.j, "limit_bytes", v->limit);
	trend(&l.j, w, v);
	end(&l, w);
}

static void sum(struct json *j, const char *key, uint64_t blocks, uint64_t bytes)
{
	out_json_object(j, key);
	out_json_u64(j, "blocks", blocks);
	out_json_u64(j, "bytes", bytes);
	out_json_end_object(j);
}

static void groups(struct json *j, const struct diff *d)
{
	unsigned n = 0;
	out_json_array(j, "groups");
	for (size_t i = 0; i < d->groups.n && n < GROUPS; i++) {
		const struct diff_group *g = &d->groups.at[i];
		if (g->more_bytes <= 0)
			continue;
		n++;
		out_json_object(j, NULL);
		out_json_string(j, "label", g->label);
		out_json_u64(j, "size", g->size);
		out_json_string(j, "class", block_class_name(g->class_of));
		out_json_string(j, "holder", g->holder[0] ? g->holder : NULL);
		out_json_i64(j, "more_blocks", g->more_blocks);
		out_json_i64(j, "more_bytes", g->more_bytes);
		out_json_double(j, "bytes_per_hour", g->slope * 3600, 0);
		out_json_end_object(j);
	}
	out_json_end_array(j);
}

void watch_look_line(const struct watch *w, const struct session *s, const struct diff *d, bool with_base, struct out *o)
{
	struct json j;
	const struct class_sum *c = d->classes[1];
	out_json_init(&j, o, false);
	out_json_object(&j, NULL);
	out_json_string(&j, "event", "look");
	out_json_double(&j, "time", front_now(), 3);
	out_json_i64(&j, "pid", w->pid);
	out_json_string(&j, "reason", w->why);
	out_json_double(&j, "stopped_seconds", s->target->picture.stopped_seconds, 6);
	sum(&j, "used", d->used[1].blocks, d->used[1].bytes);
	sum(&j, "leaked", c[CLASS_DEFINITE].blocks + c[CLASS_INDIRECT].blocks, c[CLASS_DEFINITE].bytes + c[CLASS_INDIRECT].bytes);
	if (with_base) {
		out_json_i64(&j, "more_blocks", (int64_t)(d->used[1].blocks - d->used[0].blocks));
		out_json_i64(&j, "more_bytes", (int64_t)(d->used[1].bytes - d->used[0].bytes));
		sum(&j, "new_leaked", d->new_leaked.blocks, d->new_leaked.bytes);
		groups(&j, d);
	}
	out_json_end_object(&j);
	out_puts(o, "\n");
}

void watch_copy_line(struct watch *w)
{
	off_t n = lseek(w->line, 0, SEEK_END);
	AUTO_FREE char *text = n > 0 && n < LONGEST_LINE ? malloc((size_t)n) : NULL;
	/* One line: whoever looked was shut in, but saw the target's bytes. */
	if (text && pread(w->line, text, (size_t)n, 0) == (ssize_t)n && text[n - 1] == '\n' && memchr(text, '\n', (size_t)n) == text + n - 1)
		put_line(w, text, (size_t)n);
}

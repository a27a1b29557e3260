/* flotsam watch. Between looks it reads what costs the target nothing; a look is taken by a process of its own, which also says
 * what has changed since the first look, since this one is not shut in and must read nothing that the target made. */
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const double default_interval = 10, default_hold = 300, least_between_looks = 60;

static double clock_now(void)
{
	struct timespec t;
	return clock_gettime(CLOCK_REALTIME, &t) ? 0 : (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A line is there whole or not at all: on a full disk it is taken back, and counted. */
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
			int os = errno;
			w->state.lost_lines++;
			/* Never longer than it is: somebody may have emptied it. */
			if (before >= 0 && !fstat(fd, &st) && st.st_size > before && ftruncate(fd, before))
				w->o->error = errno;
			if (os == EPIPE)
				interrupted = interrupted ? interrupted : SIGPIPE;
			return;
		}
		done += (size_t)k;
	}
}

static void put_event(struct watch *w, struct watch_event e)
{
	w->state.now = clock_now();
	if (w->how == WATCH_PAGE) {
		watch_page_event(w, &e);
		return;
	}
	struct out *o = &w->line;
	(w->how == WATCH_LOG ? command_watch_json : command_watch_text)(&w->state, &e, o);
	if (o->error)
		w->state.lost_lines++;
	else
		put_line(w, o->buffer, o->n);
	o->n = 0;
	o->error = 0;
}

static void forget_looks(struct watch *w)
{
	if (w->last >= 0 && w->last != w->first)
		close(w->last);
	if (w->first >= 0)
		close(w->first);
	w->first = w->last = -1;
	w->state.looked = false;
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

static struct err *compare(struct watch *w, struct watch_look *to, const struct codec_bytes *own)
{
	struct census *now, *base = NULL;
	struct diff *d = NULL;
	uint8_t *copy = malloc(own->n);
	if (!copy)
		return err_nomem();
	memcpy(copy, own->at, own->n);
	TRY(census_read(copy, own->n, &now));
	struct err *e = w->first >= 0 ? census_load(w->first, "the first look", &base) : NULL;
	const struct census *const both[] = { base ? base : now, now };
	if (!e)
		e = diff_make(both, 2, &d);
	if (!e)
		watch_look_sum(to, d, base != NULL);
	diff_free(d);
	census_free(base);
	census_free(now);
	return e;
}

/* In the process that looked: what it found, and what has changed since the first look at this program. */
static struct err *after_look(void *ctx, struct session *s, const struct codec_bytes *own)
{
	struct watch *w = ctx;
	static struct watch_look l;
	struct out o;
	l = (struct watch_look){ .time = clock_now(), .stopped = s->target->picture.stopped_seconds };
	TRY(compare(w, &l, own));
	if (pwrite(w->result, &l, sizeof l, 0) != (ssize_t)sizeof l)
		return err_os(errno, "cannot hand the look on");
	if (!w->a->metrics)
		return NULL;
	out_init(&o, w->metrics, "never");
	TRY(command_metrics(w->a, s, &o));
	out_flush(&o);
	return NULL;
}

static void keep_census(struct watch *w, int fd)
{
	if (w->first < 0)
		w->first = fd;
	if (w->last >= 0 && w->last != w->first)
		close(w->last);
	w->last = fd;
	/* Only the page compares again. */
	if (w->how != WATCH_PAGE && w->last != w->first) {
		close(w->last);
		w->last = -1;
	}
}

static struct err *look(struct watch *w, const char *why)
{
	const struct look_job job = { .name = &w->target, .after = after_look, .ctx = w };
	int fd;
	w->last_look = monotonic_seconds();
	if (ftruncate(w->result, 0) || (w->metrics >= 0 && (ftruncate(w->metrics, 0) || lseek(w->metrics, 0, SEEK_SET))))
		return err_os(errno, "cannot look");
	TRY(front_look(w->a, &job, w->p, &fd));
	keep_census(w, fd);
	w->state.looked = watch_look_read(w->result, &w->state.look);
	if (w->state.looked)
		put_event(w, (struct watch_event){ .what = WATCH_LOOK, .reason = why });
	return w->a->metrics ? write_metrics(w->a->metrics, w->metrics) : NULL;
}

/* A look that fails is an event, no end. */
void watch_take_look(struct watch *w, const char *why)
{
	struct err *e = look(w, why);
	if (e && e->kind != ERR_INTERRUPTED)
		put_event(w, (struct watch_event){ .what = WATCH_ERROR, .error = e });
	err_free(e);
}

/* Another program, or another process: what is known of the one before says nothing of it. */
static void begin_anew(struct watch *w)
{
	w->state.run++;
	w->state.has_rollup = false;
	w->rollup_due = (struct watch_rollup_due){ 0 };
	watch_rules_begin(&w->rules_state);
	forget_looks(w);
}

/* The process is gone. By its name, unit or group it may come back. */
static bool find_again(struct watch *w, struct watch_vitals *v)
{
	struct look_name found;
	AUTO_ERR struct err *e = arguments_find_again(w->a, &found);
	if (e)
		return false;
	struct watch_identity who = { .pid = atoi(found.found) };
	if (watch_vitals_read("", &who, v) == WATCH_GONE)
		return false;
	w->target = found;
	w->target.target = w->target.found;
	w->state.who = who;
	begin_anew(w);
	return true;
}

/* False: there is nothing to say of this moment. */
static bool read_vitals(struct watch *w, struct watch_vitals *v)
{
	enum watch_seen seen = w->gone ? WATCH_GONE : watch_vitals_read("", &w->state.who, v);
	if (seen == WATCH_EXEC) {
		begin_anew(w);
		put_event(w, (struct watch_event){ .what = WATCH_PROGRAM });
	}
	if (seen != WATCH_GONE)
		return true;
	if (!w->gone) {
		w->gone = true;
		put_event(w, (struct watch_event){ .what = WATCH_EXIT });
	}
	if (!arguments_can_find_again(w->a) || !find_again(w, v))
		return false;
	w->gone = false;
	put_event(w, (struct watch_event){ .what = WATCH_RESTART });
	return true;
}

static bool read_rollup(struct watch *w)
{
	if (!watch_rollup_due(&w->rollup_due, monotonic_seconds(), w->state.vitals.rss))
		return false;
	w->state.has_rollup = watch_rollup_read("", w->state.who.pid, &w->state.rollup);
	return w->state.has_rollup;
}

/* A rule that comes and goes must not stop the process at every sample. */
static void look_if_due(struct watch *w, const char *rule)
{
	double since = monotonic_seconds() - w->last_look, apart = fmin(6 * w->state.interval, least_between_looks);
	bool never = w->last_look <= 0;
	if (rule && (never || since >= apart))
		watch_take_look(w, rule);
	else if (w->a->look_every > 0 && (never || since >= w->a->look_every))
		watch_take_look(w, "time");
}

static void one_sample(struct watch *w)
{
	struct watch_state *s = &w->state;
	struct watch_vitals v;
	if (!read_vitals(w, &v))
		return;
	s->vitals = v;
	s->samples++;
	series_add(&s->rss, (struct sample){ monotonic_seconds() - w->started, (double)(v.rss + (v.swap == UNKNOWN ? 0 : v.swap)), s->run });
	if (!s->rss.skipped) /* else nothing is new to judge */
		s->trend = trend_judge(s->rss.at, s->rss.n);
	bool has_rollup = read_rollup(w);
	put_event(w, (struct watch_event){ .what = WATCH_SAMPLE, .has_rollup = has_rollup });
	const char *rule = watch_rules_judge(&w->rules, &w->rules_state, &v, &s->trend, monotonic_seconds());
	if (rule)
		put_event(w, (struct watch_event){ .what = WATCH_ALARM, .reason = rule });
	look_if_due(w, rule);
}

static bool goes_on(const struct watch *w)
{
	return !interrupted && !w->quit && (!w->gone || arguments_can_find_again(w->a)) && (!w->a->count || w->state.samples < w->a->count);
}

/* Signals are let in while it waits alone, so that none comes between the question and the wait. */
static void wait_until(struct watch *w, double next)
{
	sigset_t ours, before;
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGWINCH);
	sigaddset(&ours, SIGCONT);
	for (double left; !interrupted && !w->quit && (left = next - monotonic_seconds()) > 0;) {
		struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
		bool page = w->how == WATCH_PAGE, changed;
		sigprocmask(SIG_BLOCK, &ours, &before);
		changed = page && screen_changed();
		struct timespec t = { changed ? 0 : (time_t)left, changed ? 0 : (long)((left - floor(left)) * 1e9) };
		int n = interrupted ? 0 : ppoll(&p, page, &t, &before);
		sigprocmask(SIG_SETMASK, &before, NULL);
		if (changed)
			watch_page_draw(w);
		if (page)
			watch_page_input(w, n > 0);
	}
}

static void watch_on(struct watch *w)
{
	double next = monotonic_seconds();
	put_event(w, (struct watch_event){ .what = WATCH_START });
	while (goes_on(w)) {
		one_sample(w);
		next += w->state.interval;
		next = fmax(next, monotonic_seconds());
		if (goes_on(w))
			wait_until(w, next);
	}
}

static enum watch_how how_to_say(const struct arguments *a, const struct out *o)
{
	if (a->named_format || a->output || !isatty(o->fd))
		return strcmp(a->format, "text") ? WATCH_LOG : WATCH_WORDS;
	return screen_possible(STDIN_FILENO, o->fd) ? WATCH_PAGE : WATCH_WORDS;
}

static struct err *begin(struct watch *w)
{
	struct watch_state *s = &w->state;
	out_init(&w->line, -1, "never");
	w->line.width = w->o->width;
	signal(SIGXFSZ, SIG_IGN); /* a limit of the file's size is a full disk */
	w->result = memfd_create("look", MFD_CLOEXEC);
	w->metrics = w->a->metrics ? memfd_create("metrics", MFD_CLOEXEC) : -1;
	if (w->result < 0 || (w->a->metrics && w->metrics < 0) || !w->line.buffer)
		return err_os(errno, "no memory for what a look says");
	if (watch_vitals_read("", &s->who, &s->vitals) == WATCH_GONE)
		return err_new(ERR_NOT_FOUND, "no process %s", w->a->target);
	if (w->how != WATCH_PAGE)
		return NULL;
	w->p->on = false; /* the page says what is being done */
	return screen_open(STDIN_FILENO, w->o->fd);
}

static void end(struct watch *w)
{
	screen_close();
	/* The last word stands where the page was. */
	if (w->how == WATCH_PAGE)
		w->how = WATCH_WORDS;
	put_event(w, (struct watch_event){ .what = WATCH_END, .reason = interrupted ? "interrupted" : w->quit ? "quit" : w->gone ? "exit" : "count" });
}

struct err *front_watch(const struct arguments *a, struct progress *p, struct out *o, int *ret_status)
{
	struct watch *w = calloc(1, sizeof *w);
	if (!w)
		return err_nomem();
	*w = (struct watch){ .a = a, .p = p, .o = o, .how = how_to_say(a, o), .target = { "live", a->target, { 0 } }, .first = -1, .last = -1, .result = -1, .metrics = -1,
			     .started = monotonic_seconds(), .rules = { a->growth, a->level, a->hold > 0 ? a->hold : default_hold } };
	w->state.who.pid = atoi(a->target);
	w->state.interval = a->interval > 0 ? a->interval : default_interval;
	w->state.started = clock_now();
	watch_rules_begin(&w->rules_state);
	struct err *e = begin(w);
	if (!e) {
		watch_on(w);
		end(w);
		*ret_status = EXIT_REPORT;
	}
	screen_close();
	forget_looks(w);
	if (w->result >= 0)
		close(w->result);
	if (w->metrics >= 0)
		close(w->metrics);
	w->line.n = 0;
	out_deinit(&w->line);
	free(w->body);
	free(w);
	return e;
}

/* The rules, what a trend means for a limit, and what is kept of a look. */
#include "flotsam/watch.h"

#include <math.h>
#include <unistd.h>

const char *watch_what_name(enum watch_what w)
{
	static const char *const names[] = { "start", "sample", "alarm", "look", "error", "exit", "restart", "exec", "end" };
	return names[w];
}

void watch_rules_begin(struct watch_rules_state *s)
{
	*s = (struct watch_rules_state){ .high_since = -1, .at_high = UNKNOWN };
}

const char *watch_rules_judge(const struct watch_rules *r, struct watch_rules_state *s, const struct watch_vitals *v, const struct trend *t, double now)
{
	const char *fired = NULL;
	bool grows = r->growth > 0 && t->kind == TREND_GROWS && t->slope > r->growth;
	bool high = r->level > 0 && v->limit != UNKNOWN && v->limit_usage != UNKNOWN && (double)v->limit_usage > r->level * (double)v->limit;
	if (grows && !s->grew)
		fired = "growth";
	s->grew = grows;
	if (!high)
		s->high_since = -1;
	else if (s->high_since < 0)
		s->high_since = now;
	bool held = high && now - s->high_since >= r->hold;
	if (held && !s->was_high)
		fired = "level";
	s->was_high = held;
	if (v->at_high != UNKNOWN && s->at_high != UNKNOWN && v->at_high > s->at_high)
		fired = "memory.high";
	s->at_high = v->at_high;
	return fired;
}

bool watch_until(const struct trend *t, const struct watch_vitals *v, struct watch_until *ret)
{
	if (t->kind != TREND_GROWS || v->limit == UNKNOWN || v->limit_usage == UNKNOWN)
		return false;
	double level = (double)v->limit_usage, limit = (double)v->limit;
	*ret = (struct watch_until){ trend_seconds_until(level, t->slope, limit), trend_seconds_until(level, t->high, limit), trend_seconds_until(level, t->low, limit) };
	return true;
}

void watch_look_sum(struct watch_look *to, const struct diff *d, bool compared)
{
	const struct class_sum *c = d->classes[1];
	to->compared = compared;
	to->used = d->used[1];
	to->leaked = (struct class_sum){ c[CLASS_DEFINITE].blocks + c[CLASS_INDIRECT].blocks, c[CLASS_DEFINITE].bytes + c[CLASS_INDIRECT].bytes };
	if (!compared)
		return;
	to->more_blocks = (int64_t)(d->used[1].blocks - d->used[0].blocks);
	to->more_bytes = (int64_t)(d->used[1].bytes - d->used[0].bytes);
	to->new_leaked = d->new_leaked;
	for (size_t i = 0; i < d->groups.n && to->n_groups < WATCH_GROUPS; i++) {
		const struct diff_group *g = &d->groups.at[i];
		if (g->more_bytes <= 0)
			continue;
		struct watch_group *w = &to->groups[to->n_groups++];
		*w = (struct watch_group){ .size = g->size, .class_of = (int32_t)g->class_of, .more_blocks = g->more_blocks, .more_bytes = g->more_bytes, .slope = g->slope };
		snprintf(w->label, sizeof w->label, "%s", g->label);
		snprintf(w->holder, sizeof w->holder, "%s", g->holder);
	}
}

static double finite_or_nothing(double x)
{
	return isfinite(x) ? x : 0;
}

bool watch_look_read(int fd, struct watch_look *ret)
{
	if (pread(fd, ret, sizeof *ret, 0) != (ssize_t)sizeof *ret)
		return false;
	ret->time = finite_or_nothing(ret->time);
	ret->stopped = finite_or_nothing(ret->stopped);
	ret->n_groups = ret->n_groups < WATCH_GROUPS ? ret->n_groups : WATCH_GROUPS;
	for (unsigned i = 0; i < ret->n_groups; i++) {
		struct watch_group *g = &ret->groups[i];
		g->label[WATCH_TEXT - 1] = g->holder[WATCH_TEXT - 1] = '\0';
		g->slope = finite_or_nothing(g->slope);
		if (g->class_of < CLASS_NONE || g->class_of > CLASS_RUNTIME)
			g->class_of = CLASS_NONE;
	}
	return true;
}

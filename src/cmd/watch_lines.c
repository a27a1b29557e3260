/* What flotsam watch says, a line an event: an object for programs, words for people. */
#include "cmd.h"

#include <time.h>

enum { GROUPS = 5 };

static void sum(struct json *j, const char *key, struct class_sum s)
{
	out_json_object(j, key);
	out_json_u64(j, "blocks", s.blocks);
	out_json_u64(j, "bytes", s.bytes);
	out_json_end_object(j);
}

static void seconds(struct json *j, const char *key, double v)
{
	if (v < 0)
		out_json_null(j, key);
	else
		out_json_double(j, key, v, 0);
}

static void json_trend(struct json *j, const struct watch_state *s)
{
	const struct trend *t = &s->trend;
	struct watch_until until;
	out_json_string(j, "trend", trend_kind_name(t->kind));
	if (t->kind == TREND_SHORT) {
		out_json_null(j, "bytes_per_hour");
		return;
	}
	out_json_double(j, "bytes_per_hour", t->slope * 3600, 0);
	out_json_double(j, "bytes_per_hour_low", t->low * 3600, 0);
	out_json_double(j, "bytes_per_hour_high", t->high * 3600, 0);
	if (!watch_until(t, &s->vitals, &until))
		return;
	seconds(j, "seconds_until_limit", until.at);
	seconds(j, "seconds_until_limit_low", until.soonest);
	seconds(j, "seconds_until_limit_high", until.latest);
}

static void json_rollup(struct json *j, const struct watch_rollup *r)
{
	out_json_object(j, "rollup");
	out_json_u64(j, "rss_bytes", r->rss);
	out_json_u64(j, "pss_bytes", r->pss);
	out_json_u64(j, "anonymous_bytes", r->anonymous);
	out_json_u64(j, "private_dirty_bytes", r->private_dirty);
	out_json_u64(j, "swap_bytes", r->swap);
	out_json_u64(j, "huge_bytes", r->anon_huge);
	out_json_end_object(j);
}

static void json_sample(struct json *j, const struct watch_state *s, const struct watch_event *e)
{
	const struct watch_vitals *v = &s->vitals;
	out_json_known(j, "rss_bytes", v->rss);
	out_json_known(j, "anonymous_bytes", v->anon);
	out_json_known(j, "swap_bytes", v->swap);
	out_json_known(j, "threads", v->threads);
	out_json_known(j, "descriptors", v->descriptors);
	out_json_known(j, "cgroup_bytes", v->group);
	out_json_known(j, "limit_bytes", v->limit);
	out_json_string(j, "limit_of", v->limit == UNKNOWN ? NULL : v->limit_of_group ? "cgroup" : "machine");
	out_json_known(j, "limit_used_bytes", v->limit_usage);
	if (v->pressure >= 0)
		out_json_double(j, "pressure_percent", v->pressure, 2);
	else
		out_json_null(j, "pressure_percent");
	json_trend(j, s);
	if (e->has_rollup)
		json_rollup(j, &s->rollup);
}

static void json_group(struct json *j, const struct watch_group *g)
{
	out_json_object(j, NULL);
	out_json_string(j, "label", g->label);
	out_json_u64(j, "size", g->size);
	out_json_string(j, "class", block_class_name((enum block_class)g->class_of));
	out_json_string(j, "holder", g->holder[0] ? g->holder : NULL);
	out_json_i64(j, "more_blocks", g->more_blocks);
	out_json_i64(j, "more_bytes", g->more_bytes);
	out_json_double(j, "bytes_per_hour", g->slope * 3600, 0);
	out_json_end_object(j);
}

static void json_look(struct json *j, const struct watch_look *l)
{
	out_json_double(j, "stopped_seconds", l->stopped, 6);
	sum(j, "used", l->used);
	sum(j, "leaked", l->leaked);
	if (!l->compared)
		return;
	out_json_i64(j, "more_blocks", l->more_blocks);
	out_json_i64(j, "more_bytes", l->more_bytes);
	sum(j, "new_leaked", l->new_leaked);
	out_json_array(j, "groups");
	for (unsigned i = 0; i < l->n_groups && i < GROUPS; i++)
		json_group(j, &l->groups[i]);
	out_json_end_array(j);
}

void command_watch_json(const struct watch_state *s, const struct watch_event *e, struct out *o)
{
	struct json j;
	out_json_init(&j, o, false);
	out_json_object(&j, NULL);
	out_json_string(&j, "event", watch_what_name(e->what));
	out_json_double(&j, "time", s->now, 3);
	out_json_i64(&j, "pid", s->who.pid);
	if (e->reason)
		out_json_string(&j, "reason", e->reason);
	if (e->what == WATCH_START) {
		out_json_string(&j, "schema", "flotsam.watch/1");
	} else if (e->what == WATCH_SAMPLE) {
		json_sample(&j, s, e);
	} else if (e->what == WATCH_LOOK) {
		json_look(&j, &s->look);
	} else if (e->what == WATCH_ERROR) {
		out_json_string(&j, "text", e->error->text);
		out_json_string(&j, "hint", e->error->hint);
	} else if (e->what == WATCH_END) {
		out_json_u64(&j, "samples", s->samples);
		out_json_u64(&j, "lost_lines", s->lost_lines);
	}
	out_json_end_object(&j);
	out_puts(o, "\n");
}

/* "+1.20 MiB", "-300 B". */
struct short_text watch_change(double bytes)
{
	struct short_text t;
	double size = bytes < 0 ? -bytes : bytes;
	snprintf(t.text, sizeof t.text, "%c%.28s", bytes < 0 ? '-' : '+', text_size(size < 9e18 ? (uint64_t)(size + 0.5) : 0).text);
	return t;
}

void watch_clock(struct strbuf *to, double at)
{
	time_t t = (time_t)at;
	struct tm tm;
	char text[16];
	if (localtime_r(&t, &tm) && strftime(text, sizeof text, "%H:%M:%S", &tm))
		strbuf_puts(to, text);
}

void watch_trend_text(struct strbuf *to, const struct trend *t)
{
	if (t->kind == TREND_SHORT) {
		strbuf_puts(to, "too early to say");
		return;
	}
	strbuf_puts(to, trend_kind_name(t->kind));
	if (t->kind != TREND_GROWS && t->kind != TREND_SHRINKS)
		return;
	strbuf_printf(to, " %s/h", watch_change(t->slope * 3600).text);
	strbuf_printf(to, " (%s", watch_change(t->low * 3600).text);
	strbuf_printf(to, " to %s)", watch_change(t->high * 3600).text);
}

void watch_until_text(struct strbuf *to, const struct watch_state *s)
{
	struct watch_until until;
	if (!watch_until(&s->trend, &s->vitals, &until) || until.at < 0)
		return;
	strbuf_printf(to, "full in %s", text_duration(until.at).text);
	strbuf_printf(to, " (%s", text_duration(until.soonest).text);
	strbuf_printf(to, " to %s)", until.latest < 0 ? "never" : text_duration(until.latest).text);
}

void watch_group_text(struct strbuf *to, const struct watch_group *g)
{
	strbuf_puts(to, g->label);
	if (diff_is_leaked((enum block_class)g->class_of))
		strbuf_puts(to, ", leaked");
	else if (g->holder[0])
		strbuf_printf(to, ", held by %s", g->holder);
}

void watch_look_text(struct strbuf *to, const struct watch_look *l)
{
	strbuf_printf(to, "%s used in", text_size(l->used.bytes).text);
	strbuf_printf(to, " %s blocks,", text_count_short(l->used.blocks).text);
	strbuf_printf(to, " %s leaked, ", text_size(l->leaked.bytes).text);
	strbuf_printf(to, "stopped %s", text_elapsed(l->stopped).text);
}

static void text_sample(struct strbuf *b, const struct watch_state *s)
{
	const struct watch_vitals *v = &s->vitals;
	strbuf_printf(b, "RSS %s", text_size(v->rss).text);
	if (v->swap != UNKNOWN && v->swap)
		strbuf_printf(b, " and %s swapped", text_size(v->swap).text);
	strbuf_puts(b, "  ");
	watch_trend_text(b, &s->trend);
	strbuf_puts(b, "  ");
	watch_until_text(b, s);
}

static void text_look(struct strbuf *b, const struct watch_look *l)
{
	watch_look_text(b, l);
	if (l->compared)
		strbuf_printf(b, "; %s since the first look", watch_change((double)l->more_bytes).text);
}

static void text_groups(const struct watch_look *l, struct out *o)
{
	struct strbuf b = { 0 };
	for (unsigned i = 0; i < l->n_groups && i < GROUPS; i++) {
		b.n = 0;
		watch_group_text(&b, &l->groups[i]);
		out_printf(o, "          %11s  ", watch_change((double)l->groups[i].more_bytes).text);
		out_cell(o, b.text ? b.text : "", o->width - 24);
		out_puts(o, "\n");
	}
	strbuf_free(&b);
}

void command_watch_text(const struct watch_state *s, const struct watch_event *e, struct out *o)
{
	struct strbuf b = { 0 }, shown = { 0 };
	if (e->what == WATCH_SAMPLE)
		text_sample(&b, s);
	else if (e->what == WATCH_LOOK)
		text_look(&b, &s->look);
	else if (e->what == WATCH_ERROR)
		strbuf_puts(&b, e->error->text);
	else
		strbuf_puts(&b, watch_what_name(e->what));
	if (e->what == WATCH_LOOK || (e->what != WATCH_SAMPLE && e->reason))
		strbuf_printf(&b, " (%s)", e->reason ? e->reason : "");
	if (e->what == WATCH_START || e->what == WATCH_RESTART)
		strbuf_printf(&b, ": %s (pid %d)", s->vitals.comm, s->who.pid);
	watch_clock(&shown, s->now);
	strbuf_puts(&shown, "  ");
	text_add_foreign(&shown, b.text ? b.text : "", o);
	out_bytes(o, shown.text ? shown.text : "", shown.n);
	out_puts(o, "\n");
	if (e->what == WATCH_LOOK)
		text_groups(&s->look, o);
	strbuf_free(&b);
	strbuf_free(&shown);
}

/* The page of flotsam watch: one screen of a terminal, drawn whole each time. Every line is cut to the width, so nothing wraps and
 * nothing scrolls; what has no room is left out from the bottom up. */
#include "cmd.h"

enum { KEYS_ROWS = 2, CHART_MOST = 10, LABEL = 10, FIGURES = 35, MOST_COLUMNS = 1024 };

struct sheet {
	const struct watch_state *s;
	const struct watch_view *v;
	struct out *o;
	int row; /* that is drawn next; the first is 1 */
};

static bool begin_row(struct sheet *p)
{
	if (p->row > p->v->rows - KEYS_ROWS)
		return false;
	out_printf(p->o, "\033[%d;1H", p->row++);
	return true;
}

static void cell(struct sheet *p, enum ink ink, const char *text, int width)
{
	out_ink(p->o, ink);
	if (width > 2)
		out_cell(p->o, text, width);
	out_ink(p->o, INK_PLAIN);
}

/* Takes the text over. */
static void line(struct sheet *p, enum ink ink, struct strbuf *b)
{
	if (begin_row(p))
		cell(p, ink, b->text ? b->text : "", p->v->columns);
	strbuf_free(b);
}

static void blank(struct sheet *p)
{
	struct strbuf b = { 0 };
	line(p, INK_PLAIN, &b);
}

static void title(struct sheet *p)
{
	struct strbuf b = { 0 };
	strbuf_printf(&b, "flotsam watch  %s", p->s->vitals.comm);
	strbuf_printf(&b, " (pid %d)", p->s->who.pid);
	if (p->s->run)
		strbuf_printf(&b, ", followed %u times", p->s->run);
	strbuf_printf(&b, "  every %.4g s,", p->s->interval);
	strbuf_printf(&b, " %s samples  ", text_count(p->s->samples).text);
	watch_clock(&b, p->s->now);
	line(p, INK_BOLD, &b);
}

static void figures(struct sheet *p)
{
	const struct watch_vitals *v = &p->s->vitals;
	struct strbuf b = { 0 };
	strbuf_printf(&b, "RSS %s", text_size(v->rss).text);
	if (v->swap != UNKNOWN)
		strbuf_printf(&b, "  swapped %s", text_size(v->swap).text);
	strbuf_printf(&b, "  threads %s", text_count(v->threads).text);
	if (v->descriptors != UNKNOWN)
		strbuf_printf(&b, "  descriptors %s", text_count(v->descriptors).text);
	if (p->s->has_rollup)
		strbuf_printf(&b, "  its own share %s", text_size(p->s->rollup.pss).text);
	line(p, INK_PLAIN, &b);
}

static void rate(struct sheet *p)
{
	struct strbuf b = { 0 };
	watch_trend_text(&b, &p->s->trend);
	strbuf_puts(&b, "   ");
	watch_until_text(&b, p->s);
	line(p, p->s->trend.kind == TREND_GROWS ? INK_YELLOW : INK_PLAIN, &b);
}

static void limit(struct sheet *p)
{
	const struct watch_vitals *v = &p->s->vitals;
	struct strbuf b = { 0 };
	if (v->limit != UNKNOWN && v->limit_usage != UNKNOWN) {
		strbuf_printf(&b, "%s of ", text_size(v->limit_usage).text);
		strbuf_printf(&b, "%s (", text_size(v->limit).text);
		strbuf_printf(&b, "%s %%) in use in ", text_percent(v->limit_usage, v->limit).text);
		strbuf_puts(&b, v->limit_of_group ? "its memory group" : "this machine");
	}
	if (v->pressure >= 0)
		strbuf_printf(&b, ", stalls %.1f %%", v->pressure);
	line(p, INK_PLAIN, &b);
}

/* The last value of each of so many stretches of time. The first and the last value stand at the edges. */
static void columns_of(const struct series *s, double *to, size_t n)
{
	double from = s->at[0].at, span = s->at[s->n - 1].at - from;
	size_t k = 0;
	for (size_t i = 0; i < n; i++) {
		double end = from + span * (double)(i + 1) / (double)n;
		while (k + 1 < s->n && (s->at[k + 1].at <= end || i == n - 1))
			k++;
		to[i] = s->at[k].value;
	}
}

static const char *mark(const struct out *o, int eighths)
{
	static const char *const fine[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const coarse[] = { " ", ".", ".", ":", ":", "|", "|", "#", "#" };
	int i = eighths < 0 ? 0 : eighths > 8 ? 8 : eighths;
	return (o->unicode ? fine : coarse)[i];
}

struct scale { double low, high; };

static struct scale scale_of(const double *v, size_t n)
{
	struct scale c = { v[0], v[0] };
	for (size_t i = 1; i < n; i++) {
		c.low = v[i] < c.low ? v[i] : c.low;
		c.high = v[i] > c.high ? v[i] : c.high;
	}
	/* A quiver fills no page. */
	double least = c.high / 50;
	if (c.high - c.low < least)
		c.low = c.high > least ? c.high - least : 0;
	return c;
}

static void chart_row(struct sheet *p, const double *v, size_t n, struct scale c, int i, int rows)
{
	struct strbuf b = { 0 };
	double value = i == rows - 1 ? c.high : c.low;
	char label[64] = "";
	if (!begin_row(p))
		return;
	if (i == 0 || i == rows - 1)
		snprintf(label, sizeof label, "%*s ", LABEL - 1, text_size(value < 0 ? 0 : (uint64_t)value).text);
	cell(p, INK_DIM, label, LABEL);
	for (size_t k = 0; k < n; k++) {
		double part = c.high > c.low ? (v[k] - c.low) / (c.high - c.low) : 0;
		int level = 1 + (int)(part * (8 * rows - 1) + 0.5);
		strbuf_puts(&b, mark(p->o, level - 8 * i));
	}
	cell(p, p->s->trend.kind == TREND_GROWS ? INK_YELLOW : INK_GREEN, b.text ? b.text : "", p->v->columns - LABEL);
	strbuf_free(&b);
}

static void chart(struct sheet *p)
{
	static double values[MOST_COLUMNS];
	const struct series *s = &p->s->rss;
	struct strbuf b = { 0 };
	int rows = (p->v->rows - 12) / 2, columns = p->v->columns - LABEL;
	rows = rows < 1 ? 1 : rows > CHART_MOST ? CHART_MOST : rows;
	size_t n = columns < 1 ? 0 : columns > MOST_COLUMNS ? MOST_COLUMNS : (size_t)columns;
	n = s->n < n ? s->n : n;
	if (!n)
		return;
	columns_of(s, values, n);
	struct scale c = scale_of(values, n);
	for (int i = rows - 1; i >= 0; i--)
		chart_row(p, values, n, c, i, rows);
	strbuf_printf(&b, "%*sRSS and swap over %s", LABEL, "", text_duration(s->at[s->n - 1].at - s->at[0].at).text);
	line(p, INK_DIM, &b);
}

static void group(struct sheet *p, const struct watch_group *g)
{
	struct strbuf b = { 0 };
	char blocks[64];
	if (!begin_row(p))
		return;
	watch_group_text(&b, g);
	int figures_width = p->v->columns >= FIGURES + 20 ? FIGURES : 0;
	cell(p, diff_is_leaked((enum block_class)g->class_of) ? INK_RED : INK_PLAIN, b.text ? b.text : "", p->v->columns - figures_width);
	snprintf(blocks, sizeof blocks, "%c%s", g->more_blocks < 0 ? '-' : '+', text_count_short((uint64_t)llabs(g->more_blocks)).text);
	b.n = 0;
	strbuf_printf(&b, " %10s", blocks);
	strbuf_printf(&b, " %11s", watch_change((double)g->more_bytes).text);
	strbuf_printf(&b, " %11s", watch_change(g->slope * 3600).text);
	if (figures_width)
		cell(p, INK_PLAIN, b.text, figures_width);
	strbuf_free(&b);
}

static void look(struct sheet *p)
{
	const struct watch_look *l = &p->s->look;
	struct strbuf b = { 0 };
	if (!p->s->looked) {
		strbuf_puts(&b, "The heap has not been looked at yet: l looks at it.");
		line(p, INK_PLAIN, &b);
		return;
	}
	watch_clock(&b, l->time);
	strbuf_puts(&b, "  ");
	watch_look_text(&b, l);
	line(p, INK_PLAIN, &b);
	if (!l->compared) {
		strbuf_puts(&b, "That was the first look: what has grown is seen at the next.");
		line(p, INK_DIM, &b);
		return;
	}
	strbuf_printf(&b, "%s SINCE THE FIRST LOOK", watch_change((double)l->more_bytes).text);
	if (l->n_groups && p->v->columns >= FIGURES + 40)
		strbuf_printf(&b, "%*s %10s %11s %11s", p->v->columns - FIGURES - (int)b.n, "", "blocks", "bytes", "an hour");
	line(p, INK_BOLD, &b);
	for (unsigned i = 0; i < l->n_groups; i++)
		group(p, &l->groups[i]);
}

static void body(struct sheet *p)
{
	const char *at = p->v->body;
	for (size_t skip = p->v->first_line; skip && *at; skip--) {
		at += strcspn(at, "\n");
		at += *at == '\n';
	}
	while (*at && p->row <= p->v->rows - KEYS_ROWS) {
		struct strbuf b = { 0 };
		size_t n = strcspn(at, "\n");
		strbuf_add(&b, at, n);
		line(p, INK_PLAIN, &b);
		at += n + (at[n] == '\n');
	}
}

/* Below all else: what happened, and what can be done. */
static void foot(struct sheet *p)
{
	struct strbuf b = { 0 };
	const struct watch_view *v = p->v;
	if (v->note) {
		strbuf_puts(&b, v->note);
	} else if (v->gone) {
		strbuf_puts(&b, "It has ended: waiting for the next.");
	} else if (v->alarm) {
		strbuf_printf(&b, "Alarm: %s, ", v->alarm);
		watch_clock(&b, v->alarm_time);
	}
	if (v->rows >= KEYS_ROWS) {
		out_printf(p->o, "\033[%d;1H", v->rows - 1);
		cell(p, v->note ? INK_BOLD : INK_RED, b.text ? b.text : "", v->columns);
	}
	out_printf(p->o, "\033[%d;1H", v->rows);
	cell(p, INK_DIM, v->body ? "j k space up and down   any other key back   q quit" : "l look now   d what has changed   q quit", v->columns);
	strbuf_free(&b);
}

void command_watch_page(const struct watch_state *s, const struct watch_view *v, struct out *o)
{
	struct sheet p = { s, v, o, 1 };
	title(&p);
	if (v->body) {
		body(&p);
	} else {
		figures(&p);
		rate(&p);
		limit(&p);
		blank(&p);
		chart(&p);
		blank(&p);
		look(&p);
	}
	while (p.row <= v->rows - KEYS_ROWS)
		blank(&p);
	foot(&p);
	out_flush(o);
}

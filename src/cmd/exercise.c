/* flotsam exercise: what rounds of a driven load leave behind. The front runs the command and takes the looks; here it is told. */
#include "cmd.h"

struct page {
	const struct arguments *a;
	const struct exercise_result *r;
	struct out *o;
};

/* "412 B" a request; what is less than one block in ten requests is told to a tenth of a byte. */
static struct short_text amount(double bytes)
{
	struct short_text t;
	double size = bytes < 0 ? -bytes : bytes;
	if (size >= 1024)
		snprintf(t.text, sizeof t.text, "%s%.28s", bytes < 0 ? "-" : "", text_size(size < 9e18 ? (uint64_t)(size + 0.5) : 0).text);
	else
		snprintf(t.text, sizeof t.text, "%.1f B", bytes);
	return t;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void head(const struct page *p)
{
	const struct exercise_result *r = p->r;
	struct out *o = p->o;
	struct strbuf b = { 0 };
	text_add_foreign(&b, p->a->command_line, o);
	qsort(r->seconds, r->rounds, sizeof *r->seconds, ascending);
	out_printf(o, "%zu rounds of %llu requests, ", r->rounds, (unsigned long long)r->per);
	out_printf(o, "%s a round ", text_elapsed(r->seconds[r->rounds / 2]).text);
	out_printf(o, "(%s to ", text_elapsed(r->seconds[0]).text);
	out_printf(o, "%s): ", text_elapsed(r->seconds[r->rounds - 1]).text);
	out_printf(o, "%s\n\n", b.text ? b.text : "");
	strbuf_free(&b);
}

static void figure(const struct page *p, const char *name, struct rate rate, bool bytes)
{
	double per = (double)p->r->per;
	out_printf(p->o, "%-12s %-8s", name, rate.grows ? "grows" : trend_kind_name(rate.kind));
	if (bytes)
		out_printf(p->o, " %14s a request\n", amount(rate.slope / per).text);
	else
		out_printf(p->o, " %14.3f a request\n", rate.slope / per);
}

static void line(const struct page *p, const struct growth_line *x)
{
	struct strbuf b = { 0 };
	double per = (double)p->r->per;
	struct out *o = p->o;
	if (x->group)
		text_add_foreign(&b, x->group->label, o);
	else if (x->leaked)
		strbuf_puts(&b, "leaked: nothing points at it");
	else if (x->holder[0])
		text_add_foreign(&b, x->holder, o);
	else
		strbuf_puts(&b, "held by nothing that has a name");
	out_puts(o, x->group ? "    " : "  ");
	out_cell(o, b.text ? b.text : "", x->group ? 32 : 34);
	out_printf(o, " %10.3f %12s", x->blocks.slope / per, amount(x->bytes.slope / per).text);
	out_printf(o, "  (%s", amount(x->bytes.low / per).text);
	out_printf(o, " to %s)\n", amount(x->bytes.high / per).text);
	strbuf_free(&b);
}

static bool belongs(const struct growth_line *group, const struct growth_line *holder)
{
	return group->leaked == holder->leaked && (group->leaked || !strcmp(group->holder, holder->holder));
}

static void lines(const struct page *p)
{
	const struct growth *g = p->r->growth;
	size_t most = p->a->top ? p->a->top : SIZE_MAX;
	if (!g->holders.n)
		return;
	out_ink(p->o, INK_BOLD);
	out_printf(p->o, "\n%-36s %10s %12s  %s\n", "GROWS, A REQUEST", "BLOCKS", "BYTES", "95 IN 100");
	out_ink(p->o, INK_PLAIN);
	for (size_t i = 0; i < g->holders.n && i < most; i++) {
		size_t shown = 0;
		line(p, &g->holders.at[i]);
		for (size_t k = 0; k < g->groups.n && shown < most; k++)
			if (belongs(&g->groups.at[k], &g->holders.at[i])) {
				line(p, &g->groups.at[k]);
				shown++;
			}
	}
}

static void verdict(const struct page *p, bool grows)
{
	const struct exercise_result *r = p->r;
	double sum = 0, per = (double)r->per;
	for (size_t i = 0; i < r->growth->holders.n; i++)
		sum += r->growth->holders.at[i].bytes.slope;
	out_ink(p->o, grows ? INK_RED : INK_GREEN);
	if (grows)
		out_printf(p->o, "It grows: each request leaves %s behind.\n", amount(sum / per).text);
	else if (r->rounds + 1 < TREND_LEAST)
		out_printf(p->o, "Too few rounds to say: %d are needed.\n", TREND_LEAST - 1);
	else
		out_puts(p->o, "Nothing grows that these rounds show.\n");
	out_ink(p->o, INK_PLAIN);
}

static void json_rate(struct json *j, const char *key, struct rate rate, double per)
{
	out_json_object(j, key);
	out_json_string(j, "trend", trend_kind_name(rate.kind));
	out_json_bool(j, "grows", rate.grows);
	out_json_double(j, "per_round", rate.slope, 3);
	out_json_double(j, "per_request", rate.slope / per, 6);
	out_json_double(j, "per_request_low", rate.low / per, 6);
	out_json_double(j, "per_request_high", rate.high / per, 6);
	out_json_end_object(j);
}

static void json_line(struct json *j, const struct growth_line *x, double per)
{
	out_json_object(j, NULL);
	out_json_string(j, "holder", x->leaked || !x->holder[0] ? NULL : x->holder);
	out_json_bool(j, "leaked", x->leaked);
	if (x->group) {
		out_json_string(j, "label", x->group->label);
		out_json_u64(j, "size", x->group->size);
		out_json_string(j, "class", block_class_name(x->group->class_of));
	}
	json_rate(j, "blocks", x->blocks, per);
	json_rate(j, "bytes", x->bytes, per);
	out_json_end_object(j);
}

static void json(const struct page *p, bool grows)
{
	const struct exercise_result *r = p->r;
	struct json j;
	double per = (double)r->per;
	out_json_init(&j, p->o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.exercise/1");
	out_json_string(&j, "version", FLOTSAM_VERSION);
	out_json_string(&j, "command", p->a->command_line);
	out_json_u64(&j, "rounds", r->rounds);
	out_json_u64(&j, "requests_per_round", r->per);
	out_json_bool(&j, "grows", grows);
	out_json_array(&j, "round_seconds");
	for (size_t i = 0; i < r->rounds; i++)
		out_json_double(&j, NULL, r->seconds[i], 6);
	out_json_end_array(&j);
	json_rate(&j, "rss", growth_rate(r->rss, r->rounds + 1), per);
	json_rate(&j, "threads", growth_rate(r->threads, r->rounds + 1), per);
	json_rate(&j, "descriptors", growth_rate(r->descriptors, r->rounds + 1), per);
	json_rate(&j, "used", r->growth->used, per);
	json_rate(&j, "leaked", r->growth->leaked, per);
	out_json_array(&j, "holders");
	for (size_t i = 0; i < r->growth->holders.n; i++)
		json_line(&j, &r->growth->holders.at[i], per);
	out_json_end_array(&j);
	out_json_array(&j, "groups");
	for (size_t i = 0; i < r->growth->groups.n; i++)
		json_line(&j, &r->growth->groups.at[i], per);
	out_json_end_array(&j);
	out_json_end_object(&j);
	out_puts(p->o, "\n");
}

bool command_exercise_print(const struct arguments *a, const struct exercise_result *r, struct out *o)
{
	struct page p = { a, r, o };
	struct rate threads = growth_rate(r->threads, r->rounds + 1), descriptors = growth_rate(r->descriptors, r->rounds + 1);
	bool grows = r->growth->holders.n || threads.grows || descriptors.grows;
	if (!strcmp(a->format, "json")) {
		json(&p, grows);
		return grows;
	}
	verdict(&p, grows);
	if (a->quiet)
		return grows;
	head(&p);
	figure(&p, "RSS", growth_rate(r->rss, r->rounds + 1), true);
	figure(&p, "used", r->growth->used, true);
	figure(&p, "threads", threads, false);
	figure(&p, "descriptors", descriptors, false);
	lines(&p);
	return grows;
}

static struct err *prepare(struct arguments *a)
{
	if (!a->command_line)
		return err_hint(err_new(ERR_USAGE, "exercise needs a command that drives the target"), "flotsam exercise PID --run 'COMMAND' --rounds 20 --per 200");
	return NULL;
}

const struct command command_exercise = {
	.name = "exercise",
	.summary = "drive a process, and say what each request costs",
	.formats = { "text", "json" },
	.help = "  flotsam exercise 4242 --run 'curl -s http://localhost:8080/cart' --rounds 20\n"
		"  flotsam exercise 4242 --run 'wrk -d1 http://localhost:8080/' --format json\n"
		"  flotsam exercise 4242 --run './200-requests.sh' --rounds 20 --per 200\n",
	.group = GROUP_REPORT,
	.driver = DRIVER_EXERCISE,
	.prepare = prepare,
};

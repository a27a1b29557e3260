/* flotsam report: the verdict, RSS by cause, leaks, holders. */
#include "cmd.h"

#include <unistd.h>

static struct err *prepare(struct arguments *a)
{
	if (!strcmp(a->format, "pprof") && !a->output && !a->prompt && isatty(STDOUT_FILENO))
		return err_hint(err_new(ERR_USAGE, "pprof is no text"), "flotsam report TARGET --format pprof -o heap.pb.gz");
	return NULL;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct report *r;
	struct verdicts *v;
	if (!strcmp(a->format, "pprof") || !strcmp(a->format, "folded")) {
		TRY(report_profile(a, s, o));
		*ret_status = s->target->picture.at_most || s->alloc->partial ? EXIT_PARTIAL : EXIT_REPORT;
		return NULL;
	}
	TRY(query_report(s, &r));
	struct err *e = query_verdicts(r, &v);
	if (e) {
		report_free(r);
		return e;
	}
	if (!strcmp(a->format, "json"))
		report_json(a, r, v, o);
	else if (!strcmp(a->format, "prometheus"))
		report_prometheus(a, r, o);
	else
		report_text(a, r, v, o);
	verdicts_free(v);
	desk_take_report(a->desk, r);
	*ret_status = r->complete ? EXIT_REPORT : EXIT_PARTIAL;
	report_free(r);
	return NULL;
}

const struct command command_report = {
	.name = "report",
	.summary = "what leaked, who holds the rest, why RSS is so large",
	.formats = { "text", "json", "folded", "pprof", "prometheus" },
	.top_words = true,
	.help = "  flotsam report 4242                  for people\n"
		"  flotsam report 4242 --format json    for programs; see flotsam-json(5)\n"
		"  flotsam report ./core.4242 --top 0     every leak and every holder\n"
		"  flotsam report 4242 --format pprof -o heap.pb.gz    for go tool pprof\n"
		"  flotsam report 4242 --format folded | flamegraph.pl > heap.svg\n",
	.on_census = true,
	.prepare = prepare,
	.run = run,
};

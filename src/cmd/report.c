/* flotsam report: the verdict, RSS by cause, leaks, holders. */
#include "cmd.h"

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct report *r;
	struct verdicts *v;
	TRY(query_report(s, &r));
	struct err *e = query_verdicts(r, &v);
	if (e) {
		report_free(r);
		return e;
	}
	if (!strcmp(a->format, "json"))
		report_json(a, r, v, o);
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
	.formats = { "text", "json" },
	.help = "  flotsam report 4242                  for people\n"
		"  flotsam report 4242 --format json    for programs; see flotsam-json(5)\n"
		"  flotsam report ./core.4242 --top 0     every leak and every holder\n",
	.on_census = true,
	.run = run,
};

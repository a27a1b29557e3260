/* refresh: a new picture of a live target. */
#include "cmd.h"

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	TRY(session_refresh(s));
	desk_renew(a->desk);
	out_printf(o, "New picture: stopped %s, %s read. Item numbers keep their addresses; named sets are gone.\n",
		   text_elapsed(s->target->picture.stopped_seconds).text, text_size(s->target->picture.read_bytes).text);
	*ret_status = EXIT_REPORT;
	return NULL;
}

const struct command command_refresh = {
	.name = "refresh",
	.summary = "take a new picture of the live target",
	.formats = { "text" },
	.help = "  refresh\n",
	.group = GROUP_PROMPT,
	.target = TARGET_SITTING,
	.run = run,
};

/* refresh: a new picture of a live target. */
#include "cmd.h"

static void json(const struct session *s, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.refresh/1");
	out_json_double(&j, "stopped_seconds", s->target->picture.stopped_seconds, 6);
	out_json_u64(&j, "read_bytes", s->target->picture.read_bytes);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	TRY(session_refresh(s));
	desk_renew(a->desk);
	*ret_status = EXIT_REPORT;
	if (!strcmp(a->format, "json")) {
		json(s, o);
		return NULL;
	}
	out_printf(o, "New picture: stopped %s, %s read. Item numbers keep their addresses; named sets are gone.\n",
		   text_elapsed(s->target->picture.stopped_seconds).text, text_size(s->target->picture.read_bytes).text);
	return NULL;
}

const struct command command_refresh = {
	.name = "refresh",
	.summary = "take a new picture of the live target",
	.formats = { "text", "json" },
	.help = "  refresh\n",
	.group = GROUP_PROMPT,
	.target = TARGET_SITTING,
	.on_census = true,
	.run = run,
};

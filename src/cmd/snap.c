/* flotsam snap: a look to keep. */
#include "cmd.h"

#include <unistd.h>

static struct err *prepare(struct arguments *a)
{
	if (!a->output && isatty(STDOUT_FILENO))
		return err_hint(err_new(ERR_USAGE, "snap needs a file: a census is no text"), "flotsam snap TARGET -o FILE");
	return NULL;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct census_bytes b;
	(void)a;
	TRY(census_make(s, &b));
	out_bytes(o, (const char *)b.at, b.n);
	free(b.at);
	*ret_status = s->blocks ? EXIT_REPORT : EXIT_PARTIAL;
	return NULL;
}

const struct command command_snap = {
	.name = "snap",
	.summary = "write a look to a file, to compare and to ask later",
	.formats = { "census" },
	.help = "  flotsam snap 4242 -o now.census      every block, none of its bytes\n"
		"  flotsam report now.census            what it said then, on any machine\n"
		"  flotsam diff now.census 4242         what has grown since\n",
	.group = GROUP_REPORT,
	.whole_file = true,
	.prepare = prepare,
	.run = run,
};

/* flotsam run: a program from its start to its exit. The front starts it. */
#include "cmd.h"

static struct err *prepare(struct arguments *a)
{
	if (!a->run_words)
		return err_hint(err_new(ERR_USAGE, "which program?"), "flotsam run -- ./tests --all");
	return command_check.prepare(a);
}

const struct command command_run = {
	.name = "run",
	.summary = "start a program, and report on it as it exits",
	.formats = { "text", "json" },
	.help = "  flotsam run -- ./tests --all         exit status 1 when it has leaked\n"
		"  flotsam run --suppress known-leaks.txt -o report.txt -- ./tests\n",
	.group = GROUP_REPORT,
	.target = TARGET_OPTIONAL,
	.driver = DRIVER_RUN,
	.rules = true,
	.prepare = prepare,
};

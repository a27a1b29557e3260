/* help: the commands by group, one command, or the commands of a group. */
#include "cmd.h"

static void line_of(struct out *o, const struct command *c)
{
	char left[64];
	snprintf(left, sizeof left, "%s%s%s", c->name, c->operands ? " " : "", c->operands ? c->operands : "");
	if (strlen(left) > 24)
		out_printf(o, "  %s\n  %-24s %s\n", left, "", c->summary);
	else
		out_printf(o, "  %-24s %s\n", left, c->summary);
}

static bool list_group(struct out *o, enum command_group g)
{
	bool any = false;
	for (size_t i = 0; command_get(i); i++) {
		if (command_get(i)->group != g)
			continue;
		if (!any)
			out_printf(o, "%s\n", command_group_name(g));
		any = true;
		line_of(o, command_get(i));
	}
	return any;
}

static void list_all(struct out *o)
{
	for (int g = 0; g < N_GROUPS; g++)
		list_group(o, (enum command_group)g);
	out_puts(o, "\nADDR is 0x7f.., a number that a list showed, L1 of the report, or SYMBOL+8;\na * in front reads the word there.\n"
		    "COMMAND | shell-command, COMMAND > file. help COMMAND has examples.\n");
}

/* What a person sees, and what a program can make a menu of. */
static void row_json(struct json *j, const struct command *c, bool whole)
{
	out_json_object(j, NULL);
	out_json_string(j, "name", c->name);
	out_json_string(j, "group", command_group_name(c->group));
	out_json_string(j, "operands", c->operands);
	out_json_string(j, "summary", c->summary);
	out_json_array(j, "formats");
	for (int i = 0; i < N_FORMATS && c->formats[i]; i++)
		out_json_string(j, NULL, c->formats[i]);
	out_json_end_array(j);
	if (whole)
		out_json_string(j, "help", c->help);
	out_json_end_object(j);
}

void help_json(struct out *o, const struct command *one, enum command_group g)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.help/1");
	out_json_array(&j, "commands");
	for (size_t i = 0; command_get(i); i++)
		if (one ? command_get(i) == one : g == N_GROUPS || command_get(i)->group == g)
			row_json(&j, command_get(i), one != NULL);
	out_json_end_array(&j);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static enum command_group group_called(const char *word)
{
	int g = 0;
	while (g < N_GROUPS && !strstr(command_group_name((enum command_group)g), word))
		g++;
	return (enum command_group)g;
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	(void)s;
	const struct command *c = NULL;
	*ret_status = EXIT_REPORT;
	enum command_group g = a->n_words ? group_called(a->words[0]) : N_GROUPS;
	if (a->n_words && (command_by_name(a->words[0]) || g == N_GROUPS))
		TRY(command_resolve(a->words[0], &c));
	if (!cmd_is_text(a))
		help_json(o, c, g);
	else if (c)
		out_printf(o, "%s%s%s\n%s\n\n%s", c->name, c->operands ? " " : "", c->operands ? c->operands : "", c->summary, c->help);
	else if (g != N_GROUPS)
		list_group(o, g);
	else
		list_all(o);
	return NULL;
}

const struct command command_help = {
	.name = "help",
	.summary = "the commands; of one: what it takes, with examples",
	.formats = { "text", "json" },
	.help = "  help\n  help who\n  help malloc\n",
	.group = GROUP_PROMPT,
	.target = TARGET_SITTING,
	.on_census = true,
	.operands = "[COMMAND|GROUP]",
	.max_words = 1,
	.completes = COMPLETES_COMMAND,
	.run = run,
};

const struct command command_shell = {
	.name = "shell",
	.summary = "a prompt, or commands from -e, -x, standard input",
	.formats = { "text" },
	.help = "  flotsam shell 4242\n"
		"  flotsam shell ./core.4242 -e 'report' -e 'why L1'\n"
		"  flotsam shell 4242 -x questions.txt\n"
		"  echo 'who 0x55d0c0a012a0' | flotsam shell 4242\n",
	.group = GROUP_REPORT,
	.on_census = true,
};

const struct command command_time = {
	.name = "time",
	.summary = "run a command and say how long it took",
	.formats = { "text", "json" },
	.help = "  time tree top 20\n"
		"  time blocks used group by label top 20\n",
	.group = GROUP_PROMPT,
	.target = TARGET_SITTING,
	.on_census = true,
	.operands = "COMMAND",
	.max_words = MAX_WORDS,
	.completes = COMPLETES_COMMAND,
};

/* The commands. A new one is a file beside this and a line here. */
#include "cmd.h"

static const struct command *const table[] = { &command_report, &command_blocks, &command_verify };

const struct command *command_get(size_t i)
{
	return i < sizeof table / sizeof table[0] ? table[i] : NULL;
}

const struct command *command_find(const char *name)
{
	for (size_t i = 0; command_get(i); i++)
		if (!strcmp(command_get(i)->name, name))
			return command_get(i);
	return NULL;
}

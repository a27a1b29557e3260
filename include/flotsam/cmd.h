/* cmd: the commands, one row and one file each, and the options that they share. The front runs them. */
#ifndef FLOTSAM_CMD_H
#define FLOTSAM_CMD_H

#include "flotsam/out.h"
#include "flotsam/session.h"

struct arguments { /* a parsed command line */
	const struct command *command;
	const char *kind;	/* "live" or "core" */
	const char *target;	/* pid in decimal, or path */
	bool core_named;	/* by -c */
	struct session_options session;
	const char *format;	/* NULL: the command's first */
	const char *output;	/* -o FILE, or NULL */
	const char *color;	/* auto, always, never */
	unsigned top;		/* 0: all */
	bool quiet, verbose, show_content, help, version;
	const char *class;	/* --class, or NULL */
	const char *state;	/* --state, or NULL */
	uint64_t min_size;	/* --min-size */
	char found[16];		/* the pid that a name was resolved to; `target` then points here */
};

enum { EXIT_REPORT = 0, EXIT_RULE = 1, EXIT_USAGE = 2, EXIT_TARGET = 3, EXIT_PARTIAL = 4 };

enum { N_FORMATS = 4 };
struct command {
	const char *name, *summary, *formats[N_FORMATS]; /* the first format is the default */
	const char *help;	/* examples */
	bool filters;		/* takes --class, --state, --min-size */
	/* Returns an exit status in *ret_status. Prints to `out` alone. */
	struct err *(*run)(const struct arguments *a, struct session *s, struct out *out, int *ret_status);
};
const struct command *command_find(const char *name); /* NULL when none */
const struct command *command_get(size_t i);	      /* NULL behind the last */

/* Parses argv[1..] into pointers into argv: *ret must stay where it is. Errors are ERR_USAGE; several processes of one name
 * too, with the list as hint; none: ERR_NOT_FOUND. */
struct err *arguments_parse(int argc, char **argv, struct arguments *ret) MUST_CHECK;
/* The text of --help (command NULL) or of one command's. */
void help_print(struct out *o, const struct command *c);

#endif

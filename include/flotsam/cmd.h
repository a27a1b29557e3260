/* cmd: the commands, one row and one file each, and the options that they share. The front runs them. */
#ifndef FLOTSAM_CMD_H
#define FLOTSAM_CMD_H

#include "flotsam/growth.h"
#include "flotsam/out.h"
#include "flotsam/session.h"
#include "flotsam/watch.h"

struct desk; /* what the commands of one sitting share: item numbers, named sets, the thread looked at */

enum { MAX_WORDS = 64, MAX_SCRIPTS = 32, MAX_LOOKS = 32 };
struct look_name { /* a target that is looked at for its census alone */
	const char *kind, *target;
	char found[16];		/* as in struct arguments */
};
struct arguments { /* a parsed command line */
	const struct command *command;
	const char *kind;	/* "live" or "core" */
	const char *target;	/* pid in decimal, or path */
	bool core_named;	/* by -c */
	struct session_options session;
	bool debuginfod; /* ask its servers for debug files */
	const char *format;	/* NULL: the command's first */
	const char *output;	/* -o FILE, or NULL */
	const char *color;	/* auto, always, never */
	unsigned top;		/* 0: all */
	bool quiet, verbose, show_content, help, version;
	const char *class;	/* --class, or NULL */
	const char *state;	/* --state, or NULL */
	uint64_t min_size;	/* --min-size */
	const char *root;	/* --root, or NULL */
	const char *fail_on[MAX_SCRIPTS]; /* --fail-on, in order */
	unsigned n_fail_on;
	const char *suppress;	/* --suppress FILE, or NULL */
	char *suppress_text;	/* what it holds: its command frees it */
	const char *content;	/* --content, or NULL */
	const char *compress;	/* --compress, or NULL */
	bool no_references;	/* --no-references */
	const char *words[MAX_WORDS]; /* operands behind the target */
	unsigned n_words;
	const char *execute[MAX_SCRIPTS]; /* -e, in order */
	unsigned n_execute;
	const char *script;	/* -x FILE, or NULL */
	bool defaulted, named_format; /* no command was named; --format was given */
	bool prompt;		/* typed at the prompt: lists carry item numbers */
	struct desk *desk;	/* set by the front before a command runs */
	char found[16];		/* the pid that a name was resolved to; `target` then points here */
	const char *against;	/* --against, or NULL */
	double interval, look_every, hold; /* seconds; look_every 0: only when a rule fires */
	double growth, level;	/* bytes a second; part of the limit */
	uint64_t count;		/* --count; 0: until the end */
	const char *metrics;	/* --prometheus FILE, or NULL */
	const char *command_line; /* --run */
	uint64_t rounds, per;	/* --rounds, --per; 0: not said */
	char *const *run_words;	/* of run: the program and its arguments; NULL-terminated */
	const char *by_name;	/* the word that a live target was found by, or NULL */
	const char *unit, *cgroup; /* of watch: what names the target, or NULL */
	const char *main_process; /* --main: "oldest", "largest", or NULL */
	struct look_name looks[MAX_LOOKS]; /* of TARGET_MANY; or what --against names */
	unsigned n_looks, n_taken;
	int look_fds[MAX_LOOKS];
	struct census *censuses[MAX_LOOKS]; /* of looks: set by the front before the command runs */
};

enum { EXIT_REPORT = 0, EXIT_RULE = 1, EXIT_USAGE = 2, EXIT_TARGET = 3, EXIT_PARTIAL = 4 };

enum command_group { GROUP_REPORT, GROUP_BLOCKS, GROUP_GRAPH, GROUP_STACKS, GROUP_CODE, GROUP_MALLOC, GROUP_MACHINE, GROUP_PROMPT, N_GROUPS };
const char *command_group_name(enum command_group g);

enum target_need { TARGET_ONE, TARGET_OPTIONAL, TARGET_SITTING /* at the prompt alone */,
		   TARGET_UNSEEN /* none or a process, and no look is taken of it: s is NULL in batch */,
		   TARGET_MANY /* two or more, of which censuses are made: s is NULL */ };
enum completes { COMPLETES_NOTHING, COMPLETES_ADDRESS, COMPLETES_VALUE /* an address, or a type */, COMPLETES_FILTER, COMPLETES_COMMAND, COMPLETES_THREAD, COMPLETES_FRAME /* then a thread */ };

enum driver { DRIVER_NONE, DRIVER_WATCH, DRIVER_EXERCISE, DRIVER_RUN };

enum { N_FORMATS = 5 };
struct command {
	const char *name, *summary, *formats[N_FORMATS]; /* the first format is the default */
	const char *help;	/* examples */
	enum command_group group;
	enum target_need target;
	const char *operands;	/* "ADDR|N", for people; NULL: none */
	unsigned min_words, max_words;
	enum completes completes;
	bool filters;		/* takes --class, --state, --min-size */
	bool top_words;		/* `top N` may stand behind its operands for --top N */
	bool rules;		/* takes --fail-on, --suppress */
	enum driver driver;	/* the front drives it, and it takes looks over time */
	bool whole_file;	/* the file of -o must be new, and appears only when it is complete */
	bool on_census;		/* needs no bytes of the target */
	/* Before the look, and before what runs is shut in: refuses arguments, reads files that they name. May be NULL. */
	struct err *(*prepare)(struct arguments *a);
	/* Returns an exit status in *ret_status. Prints to `out` alone. s is NULL when a target is optional and none was
	 * named. NULL: the front itself runs it. */
	struct err *(*run)(const struct arguments *a, struct session *s, struct out *out, int *ret_status);
};
const struct command *command_by_name(const char *name); /* NULL when none */
/* As typed at the prompt: a name, or the beginning of exactly one. Else ERR_USAGE with the nearest names. */
struct err *command_resolve(const char *typed, const struct command **ret) MUST_CHECK;
const struct command *command_get(size_t i);	      /* NULL behind the last */

/* Parses argv[1..] into pointers into argv: *ret must stay where it is. Errors are ERR_USAGE; several processes of one name
 * too, with the list as hint; none: ERR_NOT_FOUND. */
struct err *arguments_parse(int argc, char **argv, struct arguments *ret) MUST_CHECK;
/* A line of the prompt, cut into words: command, operands, options. `base` gives the session's options. */
struct err *arguments_parse_line(int n, char **words, const struct arguments *base, struct arguments *ret) MUST_CHECK;
/* Completion: the name of the i-th long option that the command takes at the prompt, without dashes; NULL behind the last. */
const char *arguments_option(const struct command *c, size_t i);
/* Is it a word that a line of the prompt may begin with though no command is called so: leaked, size>=1M, L1? */
bool command_begins_filter(const char *word);
/* What may stand behind `group by` (verb "by") and behind `sort`; NULL behind the last. */
const char *command_blocks_key(const char *verb, size_t i);

struct desk *desk_create(void); /* NULL: no memory */
void desk_destroy(struct desk *d);
/* A new picture stands in s: what was computed from the old one is forgotten, numbers keep their addresses. */
void desk_renew(struct desk *d);
/* Item numbers given so far: 1..n. */
unsigned desk_items(const struct desk *d);
/* Of the last report: L1..n or H1..n. */
unsigned desk_ranks(const struct desk *d, char letter);
/* Completion: the i-th name of a set that the user made; NULL behind the last. */
unsigned desk_frames(const struct desk *d); /* of the stack that was shown last */
const char *desk_set_name(const struct desk *d, size_t i);

/* The report of a session as Prometheus metrics. */
struct err *command_metrics(const struct arguments *a, struct session *s, struct out *o) MUST_CHECK;
struct exercise_result { /* figures: before the first round, and after each */
	size_t rounds;
	uint64_t per;		/* requests a round */
	double *rss, *threads, *descriptors, *seconds; /* seconds: of each round */
	const struct diff *diff;
	const struct growth *growth;
};
/* True: something grows. Sorts r->seconds. */
bool command_exercise_print(const struct arguments *a, const struct exercise_result *r, struct out *o);
/* Watch's target may have ended: what its name, its unit or its group means now. ERR_NOT_FOUND, or ERR_USAGE when there are several. */
struct err *arguments_find_again(const struct arguments *a, struct look_name *ret) MUST_CHECK;
bool arguments_can_find_again(const struct arguments *a);
/* An event of watch, a line of JSON, or of words, and what belongs to it. */
void command_watch_json(const struct watch_state *s, const struct watch_event *e, struct out *o);
void command_watch_text(const struct watch_state *s, const struct watch_event *e, struct out *o);
/* The page, drawn anew. */
struct watch_view {
	int rows, columns;
	const char *alarm;	/* the last rule that fired, or NULL */
	double alarm_time;
	const char *note;	/* what is being done, or went wrong; foreign; NULL */
	const char *body;	/* lines to show in place of what is known; foreign; NULL */
	size_t first_line;	/* of the body */
	bool gone;
};
void command_watch_page(const struct watch_state *s, const struct watch_view *v, struct out *o);

/* The text of --help (command NULL) or of one command's. */
void help_print(struct out *o, const struct command *c);
/* The rows as JSON: one command with its help, those of a group, or all (NULL and N_GROUPS). */
void help_json(struct out *o, const struct command *one, enum command_group g);

#endif

/* What the files of front share. */
#ifndef FRONT_INTERNAL_H
#define FRONT_INTERNAL_H

#include "flotsam/cmd.h"

/* One line of the prompt, taken apart: words, then `| shell command` or `> file`. */
struct line {
	char *words[MAX_WORDS];
	int n;
	char *pipe;	/* text behind the first | outside quotes, or NULL */
	char *file;	/* word behind > or >>, or NULL */
	bool append;
	char *text;	/* owns the words */
};
/* Quotes as a shell has them; a > inside a word belongs to it (size>=1M). Nothing is expanded. n 0: nothing to do. */
struct err *line_parse(const char *text, struct line *ret) MUST_CHECK;
void line_free(struct line *l);

/* Runs what stands outside flotsam (shell commands, the pager, files that the user names) with the caller's own uid and without
 * our rights: a small process that is made before the target is opened. */
struct outside;
struct err *outside_start(struct outside **ret) MUST_CHECK;
void outside_stop(struct outside *w); /* NULL allowed */
/* Starts `command` in a shell with a pipe as its standard input; *ret_fd is the end to write. outside_wait() after closing it. */
struct err *outside_run(struct outside *w, const char *command, int *ret_fd) MUST_CHECK;
/* Wait status of what outside_run() started. */
int outside_wait(struct outside *w);
struct err *outside_open(struct outside *w, const char *path, bool append, int *ret_fd) MUST_CHECK;
/* The shell command of the pager. */
extern const char outside_pager[];

/* Makes a small process that asks debuginfod's servers for debug files, and has the modules ask it. An error says what is missing. */
struct err *fetcher_start(struct modules_options *o) MUST_CHECK;
/* Makes a small process that keeps what is found in code in the user's cache folder, and has the modules ask it: where it cannot, they ask nobody. */
void kept_start(struct modules_options *o);
/* What such processes have: the caller's own rights. */
void front_shed_rights(void);

struct progress {
	double started;
	bool on, drawn;
};
void progress_begin(struct progress *p);
void progress_show(void *ctx, const char *text);
void progress_wipe(struct progress *p);

/* A session over this target, with the options of a. From here on this process is shut in. */
struct err *front_open_session(const struct arguments *a, const char *kind, const char *target, struct progress *p, struct session **ret) MUST_CHECK;
/* A look by a process of its own: *ret_fd is nameless memory with the census. `after`, which may be NULL, runs in that process, shut in,
 * with the session still open: what it finds it leaves in descriptors that were open before. */
struct look_job {
	const struct look_name *name;
	struct err *(*after)(void *ctx, struct session *s, const struct codec_bytes *own);
	void *ctx;
};
struct err *front_look(const struct arguments *a, const struct look_job *job, struct progress *p, int *ret_fd) MUST_CHECK;
/* Takes one for each of a->looks, by a process of its own, since one that has looked is shut in. Files that hold a census are opened. */
struct err *looks_take(struct arguments *a, struct progress *p) MUST_CHECK;
/* Then fills a->censuses. What they wrote is not to be believed: a command that has no session is shut in first; any other is by now. */
struct err *looks_load(struct arguments *a) MUST_CHECK;
void looks_free(struct arguments *a);

/* Commands that take looks over time, and read nothing of the target's but numbers of /proc: they stay outside. */
struct err *front_watch(const struct arguments *a, struct progress *p, struct out *o, int *ret_status) MUST_CHECK;
/* Starts a program, see run.c. */
struct err *front_run(const struct arguments *a, struct progress *p, struct out *o, int *ret_status) MUST_CHECK;
struct err *front_exercise(const struct arguments *a, struct progress *p, struct out *o, int *ret_status) MUST_CHECK;

/* Prints the error and frees it; the exit status. */
int front_complain(struct err *e);
/* On standard error: which files' names were lost in this command. */
void front_tell_losses(struct session *s);

/* What a sitting reads and writes on its own account, opened before the session, which shuts flotsam in: the script of -x, the
 * history, and what readline wants to know of the terminal and the user. */
struct prompt_files {
	FILE *script; /* NULL: none */
	int history;  /* -1: none */
	bool terminal;
};
struct err *prompt_open(const struct arguments *base, struct prompt_files *ret) MUST_CHECK;
void prompt_close(struct prompt_files *f);

/* A sitting over an open session: report first when `greet`; then -e and -x, or lines of standard input. The exit status of
 * the last command that failed, 0 when none did. */
int prompt_run(const struct arguments *base, struct session *s, struct outside *w, struct prompt_files *files, struct progress *p,
	       bool greet);

/* From here on readline completes what is typed from these. */
void complete_begin(struct session *s, struct desk *d);

#endif

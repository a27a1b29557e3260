/* A sitting: lines come from a terminal, a pipe, -e or -x; each is a command of the table. */
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

enum { HISTORY_LINES = 1000 };

struct prompt {
	const struct arguments *base;
	struct arguments line_base; /* base with the desk */
	struct session *s;
	struct outside *w;
	struct progress *progress;
	struct desk *desk;
	bool terminal;		/* a person types */
	bool done;
	bool output_begun;	/* something was written to the file of the sitting's -o */
	int history_fd;
	int status;		/* of the last command that failed */
};

/* Ctrl-C at the prompt throws the line away. */
static void drop_line(void)
{
	interrupted = 0;
	rl_replace_line("", 0);
	rl_crlf();
	rl_on_new_line();
	rl_redisplay();
}

/* Ctrl-C empties the terminal's queue: a read() for a key that was there would wait for another one, and with it the signal. */
static void prepare_terminal(int meta)
{
	struct termios t;
	rl_prep_terminal(meta);
	if (tcgetattr(fileno(rl_instream), &t))
		return;
	t.c_cc[VMIN] = t.c_cc[VTIME] = 0;
	tcsetattr(fileno(rl_instream), TCSADRAIN, &t);
}

/* readline's own waiting misses a signal that comes between its look at the flag and its read(): here signals are taken only
 * while waiting. */
static int wait_for_key(FILE *in)
{
	struct pollfd p = { fileno(in), POLLIN, 0 };
	sigset_t taken, before, came;
	sigemptyset(&taken);
	sigaddset(&taken, SIGINT);
	sigaddset(&taken, SIGTERM);
	sigaddset(&taken, SIGWINCH);
	for (;;) {
		unsigned char key;
		rl_check_signals();
		if (interrupted == SIGINT)
			drop_line();
		else if (interrupted)
			return EOF;
		sigprocmask(SIG_BLOCK, &taken, &before);
		int n = rl_pending_signal() ? 0 : ppoll(&p, 1, NULL, &before);
		/* A key that came behind Ctrl-C belongs to the next line. */
		if (n > 0 && !sigpending(&came) && sigismember(&came, SIGINT))
			n = 0;
		ssize_t k = n > 0 ? read(p.fd, &key, 1) : -1;
		int os = errno;
		sigprocmask(SIG_SETMASK, &before, NULL);
		if (k == 1)
			return key;
		if (n > 0 && (k == 0 ? p.revents & (POLLHUP | POLLERR) : os != EINTR && os != EAGAIN))
			return EOF;
	}
}

/* History: opened once, written line by line, so that a sitting that is killed keeps it. */

static int open_history(void)
{
	char path[LIMIT_PATH];
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	if (getauxval(AT_SECURE))
		return -1;
	int n = state && *state ? snprintf(path, sizeof path, "%s/flotsam/history", state)
				: snprintf(path, sizeof path, "%s/.local/state/flotsam/history", home ? home : "");
	if (n >= (int)sizeof path || path[0] != '/')
		return -1;
	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(path, 0700);
		*p = '/';
	}
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && fchmod(fd, 0600)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void load_history(int fd)
{
	int copy = fd >= 0 ? dup(fd) : -1;
	AUTO_FILE FILE *f = copy >= 0 ? fdopen(copy, "r") : NULL;
	AUTO_FREE char *line = NULL;
	size_t room = 0;
	stifle_history(HISTORY_LINES);
	for (ssize_t n; f && (n = getline(&line, &room, f)) > 0;) {
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		add_history(line);
	}
}

static void remember(struct prompt *p, const char *line)
{
	HIST_ENTRY *last = history_length ? history_get(history_base + history_length - 1) : NULL;
	if (!line[strspn(line, " \t")] || (last && !strcmp(last->line, line)))
		return;
	add_history(line);
	if (p->history_fd >= 0 && dprintf(p->history_fd, "%s\n", line) < 0)
		p->history_fd = -1;
}

/* Output: to the terminal, the pager, a shell command or a file. */

struct destination {
	struct prompt *p;
	int fd;		/* ours to close; -1: none */
	bool shell;	/* to be waited for */
};

/* More than a screen: the rest goes through the pager, with what is held back so far. */
static void start_pager(struct out *o)
{
	struct destination *d = o->page_ctx;
	o->page = NULL;
	struct err *e = outside_run(d->p->w, outside_pager, &d->fd);
	if (e) {
		err_free(e);
		return;
	}
	progress_wipe(d->p->progress);
	d->shell = true;
	o->fd = d->fd;
}

/* -o of a command has its file for itself; that of the sitting takes what all commands print. */
static struct err *open_file(struct prompt *p, const struct arguments *a, const struct line *l, int *ret_fd)
{
	bool whole = !l->file && a->output == p->base->output;
	TRY(outside_open(p->w, l->file ? l->file : a->output, l->file ? l->append : whole && p->output_begun, ret_fd));
	p->output_begun |= whole;
	return NULL;
}

static struct err *destination_open(struct destination *d, const struct arguments *a, const struct line *l, struct out *o)
{
	int fd = STDOUT_FILENO;
	d->fd = -1;
	if (l->pipe) {
		TRY(outside_run(d->p->w, l->pipe, &d->fd));
		d->shell = true;
	} else if (l->file || a->output) {
		TRY(open_file(d->p, a, l, &d->fd));
	}
	out_init(o, d->fd >= 0 ? d->fd : fd, d->p->base->color);
	struct winsize size;
	const char *term = getenv("TERM");
	if (d->fd < 0 && d->p->terminal && isatty(fd) && term && strcmp(term, "dumb") && !ioctl(fd, TIOCGWINSZ, &size) && size.ws_row > 2) {
		o->page = start_pager;
		o->page_ctx = d;
		o->page_lines = size.ws_row - 1u;
	}
	return NULL;
}

static int destination_close(struct destination *d, struct out *o)
{
	out_flush(o);
	int lost = o->error;
	out_deinit(o);
	if (d->fd >= 0)
		close(d->fd);
	/* What the shell command makes of its input is its own affair. */
	if (d->shell)
		outside_wait(d->p->w);
	return lost;
}

static struct err *run_command(struct prompt *p, const struct arguments *a, const struct line *l, int *ret_status)
{
	struct out o;
	struct destination d = { .p = p };
	TRY(destination_open(&d, a, l, &o));
	struct err *e = NULL;
	/* It is of this line alone. */
	p->s->options.types = a->session.types;
	if (p->s->modules)
		modules_begin_question(p->s->modules);
	p->s->options.guess = a->session.guess;
	if (a->help && !strcmp(a->format ? a->format : "text", "json"))
		help_json(&o, a->command, N_GROUPS);
	else if (a->help)
		help_print(&o, a->command);
	else
		e = a->command->run(a, p->s, &o, ret_status);
	progress_wipe(p->progress);
	front_tell_losses(p->s);
	int lost = destination_close(&d, &o);
	if (!e && lost && lost != EPIPE)
		e = err_os(lost, "cannot write %s", l->file ? l->file : a->output ? a->output : "the output");
	return e;
}

static struct err *run_words(struct prompt *p, const struct line *l, int *ret_status);

/* Is JSON, or the like, asked of the command? */
static bool wants_data(const struct line *l)
{
	bool data = false;
	for (int i = 1; i < l->n; i++) {
		const char *format = !strncmp(l->words[i], "--format=", 9) ? l->words[i] + 9 : !strcmp(l->words[i], "--format") && i + 1 < l->n ? l->words[i + 1] : NULL;
		if (format)
			data = strcmp(format, "text") != 0;
	}
	return data;
}

static void say_time(const struct line *l, double seconds)
{
	struct out o;
	struct json j;
	out_init(&o, STDERR_FILENO, "never");
	if (wants_data(l)) {
		out_json_init(&j, &o, false);
		out_json_object(&j, NULL);
		out_json_string(&j, "schema", "flotsam.time/1");
		out_json_string(&j, "command", l->words[0]);
		out_json_double(&j, "seconds", seconds, 4);
		out_json_end_object(&j);
		out_puts(&o, "\n");
	} else {
		out_printf(&o, "%s: %.4f s\n", l->words[0], seconds);
	}
	out_deinit(&o);
}

/* Its figure goes to standard error: what the command says may be on its way into a file. */
static struct err *run_timed(struct prompt *p, const struct line *l, int *ret_status)
{
	struct line rest = *l;
	struct timespec from, to;
	rest.n--;
	memmove(rest.words, rest.words + 1, rest.n * sizeof *rest.words);
	clock_gettime(CLOCK_MONOTONIC, &from);
	TRY(run_words(p, &rest, ret_status));
	clock_gettime(CLOCK_MONOTONIC, &to);
	say_time(&rest, (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) * 1e-9);
	return NULL;
}

static struct err *run_words(struct prompt *p, const struct line *l, int *ret_status)
{
	struct arguments a;
	if (!strcmp(l->words[0], "time") && l->n > 1)
		return run_timed(p, l, ret_status);
	if (!strcmp(l->words[0], "quit") || !strcmp(l->words[0], "exit") || !strcmp(l->words[0], "q")) {
		p->done = true;
		return NULL;
	}
	if (!strcmp(l->words[0], "?")) {
		char help[] = "help", *words[] = { help };
		TRY(arguments_parse_line(1, words, &p->line_base, &a));
	} else {
		TRY(arguments_parse_line(l->n, (char **)l->words, &p->line_base, &a));
	}
	if (!a.command->run && !strcmp(a.command->name, "time"))
		return err_hint(err_new(ERR_USAGE, "time needs a command"), "time tree top 20");
	if (!a.command->run)
		return err_new(ERR_USAGE, "this is the %s", a.command->name);
	return run_command(p, &a, l, ret_status);
}

/* One line; an error costs the line, not the sitting. */
static void run_line(struct prompt *p, const char *text)
{
	struct line l;
	int status = EXIT_REPORT;
	interrupted = 0;
	progress_begin(p->progress);
	struct err *e = line_parse(text, &l);
	if (!e && l.n)
		e = run_words(p, &l, &status);
	progress_wipe(p->progress);
	if (e && e->kind == ERR_INTERRUPTED && p->terminal)
		dprintf(STDERR_FILENO, "interrupted\n");
	if (e)
		status = front_complain(e);
	if (status)
		p->status = status;
	line_free(&l);
}

/* A paste may hold several lines. */
static void run_lines(struct prompt *p, char *text)
{
	char *save = NULL;
	for (char *one = strtok_r(text, "\n", &save); one && !p->done; one = strtok_r(NULL, "\n", &save)) {
		if (p->terminal)
			remember(p, one);
		run_line(p, one);
	}
}

static void read_terminal(struct prompt *p)
{
	char ask[64], name[20];
	struct strbuf comm = { 0 };
	strbuf_add_escaped(&comm, p->s->target->comm, strlen(p->s->target->comm));
	snprintf(name, sizeof name, "%s", comm.n ? comm.text : "flotsam");
	snprintf(ask, sizeof ask, "%s> ", name);
	strbuf_free(&comm);
	complete_begin(p->s, p->desk);
	rl_getc_function = wait_for_key;
	rl_prep_term_function = prepare_terminal;
	load_history(p->history_fd);
	while (!p->done) {
		interrupted = 0;
		AUTO_FREE char *text = readline(ask);
		if (interrupted && interrupted != SIGINT)
			break;
		if (!text) {
			dprintf(STDOUT_FILENO, "\n");
			break;
		}
		run_lines(p, text);
	}
	clear_history();
}

static void read_stream(struct prompt *p, FILE *f)
{
	AUTO_FREE char *line = NULL;
	size_t room = 0;
	while (!p->done && interrupted != SIGTERM && getline(&line, &room, f) > 0) {
		run_lines(p, line);
		if (interrupted)
			break;
	}
}

struct err *prompt_open(const struct arguments *base, struct prompt_files *ret)
{
	*ret = (struct prompt_files){ .history = -1 };
	ret->terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !base->n_execute && !base->script;
	if (base->script && !(ret->script = fopen(base->script, "re")))
		return err_os(errno, "cannot read %s", base->script);
	if (ret->terminal) {
		ret->history = open_history();
		rl_readline_name = "flotsam"; /* before inputrc is read, which may ask for it */
		rl_initialize();
	}
	return NULL;
}

void prompt_close(struct prompt_files *f)
{
	if (f->script)
		fclose(f->script);
	if (f->history >= 0)
		close(f->history);
}

int prompt_run(const struct arguments *base, struct session *s, struct outside *w, struct prompt_files *files, struct progress *progress,
	       bool greet)
{
	struct prompt p = { .base = base, .s = s, .w = w, .progress = progress, .desk = desk_create(), .history_fd = files->history };
	if (!p.desk)
		return front_complain(err_nomem());
	p.line_base = *base;
	p.line_base.desk = p.desk;
	p.terminal = files->terminal;
	if (greet)
		run_line(&p, "report");
	for (unsigned i = 0; i < base->n_execute && !p.done && !interrupted; i++) {
		AUTO_FREE char *text = strdup(base->execute[i]);
		if (text)
			run_lines(&p, text);
	}
	if (files->script && !p.done && !interrupted)
		read_stream(&p, files->script);
	if (p.terminal)
		read_terminal(&p);
	else if (!base->n_execute && !base->script)
		read_stream(&p, stdin);
	desk_destroy(p.desk);
	return p.terminal ? EXIT_REPORT : p.status;
}

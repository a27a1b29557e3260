/* flotsam run: starts a program, and looks at it when it is about to exit. */
#include "flotsam/launch.h"
#include "front.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

struct runner {
	const struct arguments *a;
	struct progress *p;
	struct out *o;
	struct launch program;
	int look_status;	/* exit status of the process that looked */
};

/* Judged by the rules of check, and told as report does. */
static _Noreturn void look_and_exit(struct runner *r)
{
	struct session *s = NULL;
	struct arguments a = *r->a;
	char pid[16];
	int status = EXIT_REPORT, judged = EXIT_REPORT;
	snprintf(pid, sizeof pid, "%d", (int)r->program.pid);
	a.kind = "live";
	a.target = pid;
	a.desk = desk_create();
	struct err *e = a.desk ? front_open_session(&a, a.kind, a.target, r->p, &s) : err_nomem();
	if (!e)
		e = command_by_name("report")->run(&a, s, r->o, &status);
	if (!e && !strcmp(a.format, "text")) {
		out_puts(r->o, "\n");
		e = command_by_name("check")->run(&a, s, r->o, &judged);
	} else if (!e) {
		struct out none;
		out_init(&none, -1, "never");
		e = command_by_name("check")->run(&a, s, &none, &judged);
	}
	progress_wipe(r->p);
	out_flush(r->o);
	if (e)
		status = front_complain(e);
	_exit(judged != EXIT_REPORT ? judged : status);
}

static void look(void *ctx)
{
	struct runner *r = ctx;
	int status = 0;
	out_flush(r->o);
	pid_t pid = fork();
	if (!pid)
		look_and_exit(r);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	r->look_status = pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_TARGET;
}

/* As the shell has it. */
static struct err *no_program(struct err *e, int *ret_status)
{
	front_complain(e);
	*ret_status = 127;
	return NULL;
}

struct err *front_run(const struct arguments *a, struct progress *p, struct out *o, int *ret_status)
{
	struct runner r = { .a = a, .p = p, .o = o };
	if (!a->output) /* the standard output is the program's */
		o->fd = STDERR_FILENO;
	struct err *e = launch_start(a->run_words, &r.program);
	if (e)
		return e->kind == ERR_NOT_FOUND ? no_program(e, ret_status) : e;
	int status = launch_wait(&r.program, look, &r);
	launch_leave(&r.program);
	if (r.program.lost)
		r.look_status = EXIT_TARGET;
	/* The program's own failure comes first. */
	if (WIFSIGNALED(status))
		*ret_status = 128 + WTERMSIG(status);
	else
		*ret_status = WEXITSTATUS(status) ? WEXITSTATUS(status) : r.program.called ? r.look_status : EXIT_PARTIAL;
	if (!r.program.called)
		return err_new(ERR_NOT_FOUND, "%s ended without exit(), by %s %d: there was no look", a->run_words[0], WIFSIGNALED(status) ? "signal" : "status",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return NULL;
}

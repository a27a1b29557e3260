/* flotsam exercise: run a command, look, again and again. It is outside while it starts commands and takes looks, and shut in before
 * it reads what the looks say. */
#include "flotsam/launch.h"
#include "front.h"
#include "sandbox.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WARM_UP = 2, DEFAULT_ROUNDS = 10, MOST_ROUNDS = 200 };

/* The command, with the number of the round in its environment. */
static int run_command(const char *command, uint64_t round, double *ret_seconds)
{
	char number[24];
	snprintf(number, sizeof number, "%llu", (unsigned long long)round);
	setenv("FLOTSAM_ROUND", number, 1);
	return launch_shell(command, ret_seconds);
}

struct exercise {
	const struct arguments *a;
	struct progress *p;
	struct look_name target;
	struct watch_identity who;
	size_t rounds, taken;
	int *fds;		/* censuses: before the first round, and after each */
	struct exercise_result r;
};

static struct err *one_round(struct exercise *x, uint64_t round)
{
	double seconds;
	int status = run_command(x->a->command_line, round, &seconds);
	if (interrupted)
		return err_new(ERR_INTERRUPTED, "interrupted");
	if (status < 0)
		return err_os(errno, "cannot run a command");
	if (status)
		return err_new(ERR_USAGE, "round %llu: '%s' ended with %s %d", (unsigned long long)round, x->a->command_line,
			       WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (round > WARM_UP)
		x->r.seconds[round - WARM_UP - 1] = seconds;
	return NULL;
}

static struct err *look(struct exercise *x)
{
	const struct look_job job = { .name = &x->target };
	struct watch_vitals v;
	size_t i = x->taken;
	TRY(front_look(x->a, &job, x->p, &x->fds[i]));
	x->taken++;
	if (watch_vitals_read("", &x->who, &v) == WATCH_GONE)
		return err_new(ERR_NOT_FOUND, "the process has ended, after %zu rounds", i);
	x->r.rss[i] = (double)v.rss;
	x->r.threads[i] = (double)v.threads;
	x->r.descriptors[i] = v.descriptors == UNKNOWN ? 0 : (double)v.descriptors;
	return NULL;
}

static struct err *all_rounds(struct exercise *x)
{
	char text[64];
	for (uint64_t i = 1; i <= WARM_UP; i++)
		TRY(one_round(x, i));
	TRY(look(x));
	for (size_t i = 0; i < x->rounds; i++) {
		snprintf(text, sizeof text, "round %zu of %zu", i + 1, x->rounds);
		progress_show(x->p, text);
		TRY(one_round(x, WARM_UP + 1 + i));
		TRY(look(x));
	}
	return NULL;
}

static struct err *judge(struct exercise *x, struct out *o, int *ret_status)
{
	struct sandbox none = { .read = { "/proc", "/sys" }, .n_read = 2 };
	struct diff *d = NULL;
	struct growth *g = NULL;
	struct census **c = calloc(x->taken + 1, sizeof *c);
	struct err *e = c ? sandbox_enter(&none) : err_nomem();
	for (size_t i = 0; !e && i < x->taken; i++)
		e = census_load(x->fds[i], "a look", &c[i]);
	if (!e)
		e = diff_make((const struct census *const *)c, x->taken, &d);
	if (!e)
		e = growth_make(d, &g);
	if (!e) {
		x->r.diff = d;
		x->r.growth = g;
		*ret_status = command_exercise_print(x->a, &x->r, o) ? EXIT_RULE : EXIT_REPORT;
	}
	growth_free(g);
	diff_free(d);
	for (size_t i = 0; c && i < x->taken; i++)
		census_free(c[i]);
	free(c);
	return e;
}

struct err *front_exercise(const struct arguments *a, struct progress *p, struct out *o, int *ret_status)
{
	struct watch_vitals v;
	size_t rounds = a->rounds ? a->rounds : DEFAULT_ROUNDS;
	if (rounds > MOST_ROUNDS)
		return err_new(ERR_USAGE, "at most %d rounds", MOST_ROUNDS);
	struct exercise x = { .a = a, .p = p, .target = { "live", a->target, { 0 } }, .who = { .pid = atoi(a->target) }, .rounds = rounds,
			      .r = { .rounds = rounds, .per = a->per ? a->per : 1 } };
	double **figures[] = { &x.r.rss, &x.r.threads, &x.r.descriptors, &x.r.seconds };
	bool ok = (x.fds = calloc(rounds + 1, sizeof *x.fds));
	for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
		ok = (*figures[i] = calloc(rounds + 1, sizeof **figures[i])) && ok;
	struct err *e = ok ? NULL : err_nomem();
	if (!e && watch_vitals_read("", &x.who, &v) == WATCH_GONE)
		e = err_new(ERR_NOT_FOUND, "no process %s", a->target);
	if (!e)
		e = all_rounds(&x);
	progress_wipe(p);
	if (!e)
		e = judge(&x, o, ret_status);
	for (size_t i = 0; i < x.taken; i++)
		close(x.fds[i]);
	free(x.fds);
	for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
		free(*figures[i]);
	return e;
}

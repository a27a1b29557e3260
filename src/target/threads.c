/* ptrace by SEIZE and INTERRUPT: no signal is sent, job control is not touched, and a stopped thread stays stopped when it
 * is let go (ptrace(2), "Attaching and detaching", PTRACE_EVENT_STOP). */
#include "threads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 200 };
#define OPTIONS (PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)

static struct tracee *find(struct tracees *ts, pid_t tid)
{
	for (size_t i = (uint32_t)tid * 2654435761u & (ts->hash_size - 1);; i = (i + 1) & (ts->hash_size - 1)) {
		if (!ts->hash[i])
			return NULL;
		if (ts->at[ts->hash[i] - 1].tid == tid)
			return &ts->at[ts->hash[i] - 1];
	}
}

static struct tracee *add(struct tracees *ts, pid_t tid)
{
	if (ts->n == ts->cap) {
		ts->too_many = true;
		return NULL;
	}
	struct tracee *t = &ts->at[ts->n++];
	*t = (struct tracee){ .tid = tid, .slot = -1 };
	size_t i = (uint32_t)tid * 2654435761u & (ts->hash_size - 1);
	while (ts->hash[i])
		i = (i + 1) & (ts->hash_size - 1);
	ts->hash[i] = (uint32_t)ts->n;
	return t;
}

/* Calls for each thread id in task/ as it is now. */
static size_t each_listed(struct tracees *ts, size_t (*f)(struct tracees *, pid_t))
{
	size_t sum = 0;
	lseek(ts->task_fd, 0, SEEK_SET);
	for (;;) {
		long n = syscall(SYS_getdents64, ts->task_fd, ts->names, sizeof ts->names);
		if (n <= 0)
			return sum;
		for (long at = 0; at < n;) {
			struct dirent64 *e = (struct dirent64 *)(ts->names + at);
			pid_t tid = 0;
			for (const char *p = e->d_name; *p >= '0' && *p <= '9'; p++)
				tid = tid * 10 + (*p - '0');
			if (tid)
				sum += f(ts, tid);
			at += e->d_reclen;
		}
	}
}

static size_t count_one(struct tracees *ts, pid_t tid)
{
	(void)ts, (void)tid;
	return 1;
}

int tracees_prepare(struct tracees *ts, pid_t pid)
{
	char path[64];
	*ts = (struct tracees){ .pid = pid };
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	ts->task_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ts->task_fd < 0)
		return errno;
	/* Room for a storm of new threads while we stop them. */
	ts->cap = 4 * each_listed(ts, count_one) + 1024;
	for (ts->hash_size = 16; ts->hash_size < 2 * ts->cap; ts->hash_size *= 2)
		;
	ts->at = calloc(ts->cap, sizeof *ts->at);
	ts->hash = calloc(ts->hash_size, sizeof *ts->hash);
	if (!ts->at || !ts->hash) {
		tracees_forget(ts);
		return ENOMEM;
	}
	memset(ts->at, 0, ts->cap * sizeof *ts->at); /* touched now, not in the stop */
	return 0;
}

static size_t seize_one(struct tracees *ts, pid_t tid)
{
	if (find(ts, tid))
		return 0;
	if (ptrace(PTRACE_SEIZE, tid, 0, OPTIONS)) {
		/* A dead leader stays listed; it has no memory and no registers. */
		if (errno != ESRCH && !ts->seize_error)
			ts->seize_error = errno;
		struct tracee *t = add(ts, tid);
		if (t)
			t->gone = true;
		return 0;
	}
	struct tracee *t = add(ts, tid);
	if (t)
		t->seized = true;
	return t != NULL;
}

size_t tracees_seize(struct tracees *ts)
{
	size_t sum = 0, n;
	do
		sum += n = each_listed(ts, seize_one);
	while (n && !ts->too_many);
	return sum;
}

static void handle(struct tracees *ts, pid_t tid, int status)
{
	struct tracee *t = find(ts, tid);
	if (!t) {
		t = add(ts, tid); /* a clone that came along by itself */
		if (!t)
			return;
		t->seized = true;
	}
	if (!WIFSTOPPED(status)) {
		t->gone = true;
		t->stopped = false;
		return;
	}
	int event = status >> 16, sig = WSTOPSIG(status);
	if (event == PTRACE_EVENT_EXEC)
		ts->exec_seen = true;
	if (event) {
		t->stopped = true;
		t->by_us = event == PTRACE_EVENT_STOP && sig == SIGTRAP;
		return;
	}
	/* A signal on its way: handed on at once; the interrupt that is still pending stops the thread again. */
	ptrace(PTRACE_CONT, tid, 0, sig);
}

static size_t running(const struct tracees *ts)
{
	size_t n = 0;
	for (size_t i = 0; i < ts->n; i++)
		n += ts->at[i].seized && !ts->at[i].stopped && !ts->at[i].gone;
	return n;
}

/* Takes all reports that are there. */
static bool reap(struct tracees *ts)
{
	bool any = false;
	int status;
	pid_t tid;
	while ((tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
		handle(ts, tid, status);
		any = true;
	}
	return any;
}

static size_t interrupt_new(struct tracees *ts, pid_t tid)
{
	if (find(ts, tid) || !seize_one(ts, tid))
		return 0;
	ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	return 1;
}

void tracees_stop(struct tracees *ts)
{
	for (size_t i = 0; i < ts->n; i++)
		if (ts->at[i].seized && !ts->at[i].stopped && !ts->at[i].gone)
			ptrace(PTRACE_INTERRUPT, ts->at[i].tid, 0, 0);
	double until = monotonic_seconds() + PATIENCE_MS / 1e3;
	for (;;) {
		bool any = reap(ts);
		size_t new = each_listed(ts, interrupt_new);
		if ((!running(ts) && !new) || ts->too_many || monotonic_seconds() > until)
			return;
		if (!any && !new)
			usleep(20);
	}
}

void tracees_release(struct tracees *ts, size_t *ret_left)
{
	double until = monotonic_seconds() + 0.02;
	size_t left;
	do {
		left = 0;
		for (size_t i = 0; i < ts->n; i++) {
			struct tracee *t = &ts->at[i];
			if (t->seized && t->stopped && !t->gone) {
				/* ESRCH: killed meanwhile. */
				ptrace(PTRACE_DETACH, t->tid, 0, 0);
				t->seized = t->stopped = false;
			}
		}
		/* What stops only now is let go as well. */
		reap(ts);
		for (size_t i = 0; i < ts->n; i++)
			left += ts->at[i].seized && !ts->at[i].gone;
		if (left)
			usleep(200);
	} while (left && monotonic_seconds() < until);
	*ret_left = left;
}

void tracees_continue(struct tracees *ts)
{
	for (size_t i = 0; i < ts->n; i++) {
		struct tracee *t = &ts->at[i];
		if (!t->seized || !t->stopped || t->gone)
			continue;
		/* A job-control stop goes on being one: LISTEN, not CONT. */
		if (t->by_us)
			ptrace(PTRACE_CONT, t->tid, 0, 0);
		else
			ptrace(PTRACE_LISTEN, t->tid, 0, 0);
		t->stopped = false;
	}
}

void tracees_forget(struct tracees *ts)
{
	if (ts->task_fd >= 0)
		close(ts->task_fd);
	free(ts->at);
	free(ts->hash);
	ts->at = NULL;
	ts->hash = NULL;
	ts->task_fd = -1;
}

/* ptrace by SEIZE and INTERRUPT: no signal is sent, job control is not touched, and a stopped thread stays stopped when it
 * is let go (ptrace(2), "PTRACE_EVENT_STOP" and "Group-stop"). */
#include "threads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 200, STORM_MS = 1000, GRACE_MS = 20 };
/* New threads come along traced, so that no storm of them outruns us; without EXITKILL our death lets all go. */
#define OPTIONS (PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)

static size_t slot_of(const struct tracees *ts, pid_t tid)
{
	size_t i = (uint32_t)tid * 2654435761u & (ts->hash_size - 1);
	while (ts->hash[i] && ts->at[ts->hash[i] - 1].tid != tid)
		i = (i + 1) & (ts->hash_size - 1);
	return i;
}

static struct tracee *find(struct tracees *ts, pid_t tid)
{
	uint32_t k = ts->hash[slot_of(ts, tid)];
	return k ? &ts->at[k - 1] : NULL;
}

static struct tracee *add(struct tracees *ts, pid_t tid, enum tracee_state state)
{
	if (ts->n == ts->cap) {
		ts->too_many = true;
		return NULL;
	}
	struct tracee *t = &ts->at[ts->n++];
	*t = (struct tracee){ .tid = tid, .state = state };
	ts->hash[slot_of(ts, tid)] = (uint32_t)ts->n;
	return t;
}

/* Calls f for each thread id in task/ as it is now. */
static size_t each_listed(struct tracees *ts, size_t (*f)(struct tracees *, pid_t))
{
	size_t sum = 0;
	lseek(ts->task_fd, 0, SEEK_SET);
	for (;;) {
		long n = syscall(SYS_getdents64, ts->task_fd, ts->names, sizeof ts->names);
		if (n <= 0)
			return sum;
		for (long at = 0; at < n;) {
			const struct dirent64 *e = (const struct dirent64 *)(ts->names + at);
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

int tracees_prepare(struct tracees *ts, int proc_fd, size_t more)
{
	*ts = (struct tracees){ .task_fd = openat(proc_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	if (ts->task_fd < 0)
		return errno;
	ts->cap = each_listed(ts, count_one) + more;
	for (ts->hash_size = 16; ts->hash_size < 2 * ts->cap; ts->hash_size *= 2)
		;
	ts->at = malloc(ts->cap * sizeof *ts->at);
	ts->hash = malloc(ts->hash_size * sizeof *ts->hash);
	if (!ts->at || !ts->hash)
		return ENOMEM;
	/* Touched now, not in the stop. */
	memset(ts->at, 0, ts->cap * sizeof *ts->at);
	memset(ts->hash, 0, ts->hash_size * sizeof *ts->hash);
	return 0;
}

static bool is_listed(const struct tracees *ts, pid_t tid)
{
	char name[16];
	snprintf(name, sizeof name, "%d", (int)tid);
	return !faccessat(ts->task_fd, name, F_OK, 0);
}

static void handle(struct tracees *ts, struct tracee *t, int status)
{
	pid_t tid = t->tid;
	if (!WIFSTOPPED(status)) {
		t->state = TRACEE_GONE;
		return;
	}
	int event = status >> 16, sig = WSTOPSIG(status);
	if (!event) {
		/* A signal on its way is handed on at once. Any trap uses up a pending interrupt (kernel/signal.c,
		 * ptrace_stop), so it is asked for anew before the thread goes on. */
		ptrace(PTRACE_INTERRUPT, tid, 0, 0);
		ptrace(PTRACE_CONT, tid, 0, sig);
		return;
	}
	t->state = TRACEE_STOPPED;
	t->by_us = event == PTRACE_EVENT_STOP && sig == SIGTRAP;
	ts->exec_seen |= event == PTRACE_EVENT_EXEC;
	unsigned long child;
	if (event == PTRACE_EVENT_CLONE && !ptrace(PTRACE_GETEVENTMSG, tid, 0, &child) && !find(ts, (pid_t)child))
		add(ts, (pid_t)child, TRACEE_RUNNING);
	if (!is_listed(ts, tid)) {
		/* clone() without CLONE_THREAD and without SIGCHLD: a process of its own came along. */
		ptrace(PTRACE_DETACH, tid, 0, 0);
		t->state = TRACEE_GONE;
	}
}

static size_t seize_one(struct tracees *ts, pid_t tid)
{
	int status;
	if (find(ts, tid))
		return 0;
	if (!ptrace(PTRACE_SEIZE, tid, 0, OPTIONS))
		return add(ts, tid, TRACEE_RUNNING) != NULL;
	if (errno == ESRCH)
		return 0;
	/* Refused: ours already (it came along), or dead, or a worker of the kernel's, or somebody else's. */
	int os = errno;
	pid_t got = waitpid(tid, &status, __WALL | WNOHANG);
	struct tracee *t = add(ts, tid, got < 0 ? TRACEE_GONE : TRACEE_RUNNING);
	if (got < 0)
		ts->seize_error = os;
	else if (got > 0 && t)
		handle(ts, t, status);
	return t && got >= 0;
}

static size_t seize_and_interrupt(struct tracees *ts, pid_t tid)
{
	if (!seize_one(ts, tid))
		return 0;
	ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	return 1;
}

/* Takes the reports that are there; returns how many threads still run. One waitpid for each: with -1 the kernel would go
 * through all tracees for every report. */
static size_t reap(struct tracees *ts, bool *ret_any)
{
	size_t running = 0;
	*ret_any = false;
	for (size_t i = 0; i < ts->n; i++) {
		struct tracee *t = &ts->at[i];
		int status;
		if (t->state != TRACEE_RUNNING)
			continue;
		pid_t got = waitpid(t->tid, &status, __WALL | WNOHANG);
		if (got > 0)
			handle(ts, t, status);
		else if (got < 0)
			t->state = TRACEE_GONE;
		*ret_any |= got != 0;
		running += t->state == TRACEE_RUNNING;
	}
	return running;
}

/* SIGCHLD is blocked: a report wakes us, whenever it came. */
static void wait_for_report(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigtimedwait(&set, NULL, &(struct timespec){ 0, 1000000 });
}

/* It has been woken for its stop (proc_pid_stat(5): R, runnable) and comes to it when it gets a processor; who waits for a disk or
 * a child of vfork does not. */
static bool waits_for_processor(const struct tracees *ts, pid_t tid)
{
	char name[24], text[256];
	snprintf(name, sizeof name, "%d/stat", (int)tid);
	int fd = openat(ts->task_fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	const char *end = strrchr(text, ')');
	return end && end[1] == ' ' && end[2] == 'R';
}

static bool any_waits_for_processor(const struct tracees *ts)
{
	for (size_t i = 0; i < ts->n; i++)
		if (ts->at[i].state == TRACEE_RUNNING && waits_for_processor(ts, ts->at[i].tid))
			return true;
	return false;
}

void tracees_stop(struct tracees *ts)
{
	while (each_listed(ts, seize_one) && !ts->too_many)
		;
	double began = monotonic_seconds();
	if (!ts->interrupted_at)
		ts->interrupted_at = began;
	for (size_t i = 0; i < ts->n; i++)
		if (ts->at[i].state == TRACEE_RUNNING)
			ptrace(PTRACE_INTERRUPT, ts->at[i].tid, 0, 0);
	double until = began + PATIENCE_MS / 1e3, storm_until = began + STORM_MS / 1e3;
	while (!ts->exec_seen && !ts->too_many) {
		bool any;
		size_t running = reap(ts, &any);
		double now = monotonic_seconds();
		/* On a busy machine each waits for its turn: patience ends when none has come for so long, and none is about to. */
		if (now < storm_until && (any || (running && now > until && any_waits_for_processor(ts))))
			until = now + PATIENCE_MS / 1e3;
		if (!running || now > until) {
			if (!each_listed(ts, seize_and_interrupt) || now > storm_until)
				return;
			until = now + PATIENCE_MS / 1e3;
		} else if (!any) {
			wait_for_report();
		}
	}
}

bool tracee_go_on(struct tracee *t)
{
	/* Job control stopped it, or it makes a thread: PTRACE_CONT would do more than undo our stop. */
	if (t->state != TRACEE_STOPPED || !t->by_us || ptrace(PTRACE_CONT, t->tid, 0, 0))
		return false;
	t->state = TRACEE_RUNNING;
	t->judged = t->inside = false;
	return true;
}

size_t tracees_release(struct tracees *ts)
{
	double until = monotonic_seconds() + GRACE_MS / 1e3;
	size_t left = 0;
	for (;;) {
		bool any;
		for (size_t i = 0; i < ts->n; i++) {
			struct tracee *t = &ts->at[i];
			if (t->state != TRACEE_STOPPED)
				continue;
			ptrace(PTRACE_DETACH, t->tid, 0, 0); /* ESRCH: killed meanwhile */
			t->state = TRACEE_GONE;
		}
		left = reap(ts, &any);
		if (!any && (!left || monotonic_seconds() > until))
			break;
		if (!any)
			wait_for_report();
	}
	/* Those that are left stay known for the next stop; all others are seized anew. */
	size_t n = 0;
	for (size_t i = 0; i < ts->n; i++)
		if (ts->at[i].state != TRACEE_GONE)
			ts->at[n++] = ts->at[i];
	ts->n = n;
	memset(ts->hash, 0, ts->hash_size * sizeof *ts->hash);
	for (size_t i = 0; i < n; i++)
		ts->hash[slot_of(ts, ts->at[i].tid)] = (uint32_t)i + 1;
	return left;
}

size_t tracees_stopped(const struct tracees *ts)
{
	size_t n = 0;
	for (size_t i = 0; i < ts->n; i++)
		n += ts->at[i].state == TRACEE_STOPPED;
	return n;
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

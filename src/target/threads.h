/* Stopping and letting go of every thread of a process. Nothing here allocates or prints once the first thread is interrupted: what
 * that needs is made before, in tracees_prepare(). Nor is anything opened but the state of a thread that keeps us waiting. */
#ifndef TARGET_THREADS_H
#define TARGET_THREADS_H

#include "holder.h"

enum tracee_state {
	TRACEE_RUNNING, /* seized */
	TRACEE_STOPPED,
	TRACEE_GONE,	/* ended, let go, or never ours */
};
struct tracee {
	pid_t tid;
	enum tracee_state state;
	bool by_us; /* stopped by our interrupt and nothing else */
	bool judged, inside; /* inside malloc, and since when that was asked it has not run */
};
struct tracees {
	struct tracee *at;
	size_t n, cap;
	uint32_t *hash; /* tid -> index + 1 */
	size_t hash_size;
	int task_fd;
	uint8_t names[32768] __attribute__((aligned(8))); /* getdents64 */
	bool exec_seen, too_many;
	int seize_error;     /* of the last thread that could not be seized */
	double interrupted_at; /* monotonic; when the stop began, 0: there is none */
};

/* Opens task/ and makes room for `more` threads beyond those there are. errno or 0. */
int tracees_prepare(struct tracees *ts, int proc_fd, size_t more);
/* Seizes and interrupts all threads, new ones too, until none is left running or none has stopped for 200 ms. While others come,
 * or one that runs waits for a processor, it takes up to a second. */
void tracees_stop(struct tracees *ts);
/* Lets a stopped thread go on, traced: the next tracees_stop() ends that. False: it was not our interrupt that stopped it. */
bool tracee_go_on(struct tracee *t);
/* Lets all go on, untraced. Returns how many could not be let go since they never stopped (a parent inside vfork): only the
 * end of this process frees those. */
size_t tracees_release(struct tracees *ts);
size_t tracees_stopped(const struct tracees *ts);
void tracees_forget(struct tracees *ts);

#endif

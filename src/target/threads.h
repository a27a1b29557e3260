/* Stopping and letting go of every thread of a process. Nothing here allocates, opens or prints once the first thread is
 * interrupted: what that needs is made before, in tracees_prepare(). */
#ifndef TARGET_THREADS_H
#define TARGET_THREADS_H

#include "holder.h"

struct tracee {
	pid_t tid;
	bool seized, stopped, by_us, gone;
	int slot; /* in the table file, -1 */
};
struct tracees {
	pid_t pid;
	struct tracee *at;
	size_t n, cap;
	uint32_t *hash; /* tid -> index + 1 */
	size_t hash_size;
	int task_fd;
	uint8_t names[32768]; /* getdents64 */
	bool exec_seen, too_many;
	int seize_error;
};

/* Opens task/, makes room. errno or 0. */
int tracees_prepare(struct tracees *ts, pid_t pid);
/* Seizes whatever threads there are (stops none). Returns how many are new. */
size_t tracees_seize(struct tracees *ts);
/* Interrupts all and waits until all have stopped or 200 ms are over; new threads come along. */
void tracees_stop(struct tracees *ts);
/* Lets all go on. Those that never stopped stay seized: see *ret_left. */
void tracees_release(struct tracees *ts, size_t *ret_left);
/* The threads go on, seized: for another try. */
void tracees_continue(struct tracees *ts);
void tracees_forget(struct tracees *ts);

#endif

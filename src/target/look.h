/* What one look works on, made before the stop. */
#ifndef TARGET_LOOK_H
#define TARGET_LOOK_H

#include "pages.h"
#include "threads.h"

#include <pthread.h>
#include <semaphore.h>

enum { LOOK_READERS = 2, LOOK_MAX_BAD = 1 << 16 };

struct look {
	const struct holder *h;
	const struct holder_plan *plan;
	struct tracees ts;
	struct pages pages;
	int data_fd, tables_fd;
	uint8_t *data; /* data file, prefaulted */
	uint64_t data_cap;
	struct table_thread *threads;
	size_t threads_n, threads_cap;
	uint8_t *regs;
	size_t regs_n, regs_cap;
	uint64_t *bad; /* addresses of pages that could not be read */
	uint64_t bad_n;
	struct waits *now; /* waits restarted in this look */
	size_t left;	   /* threads that never stopped */
	uint64_t unswapped; /* bytes, before the stop */
	double stopped, copying;
	unsigned stops, processors;
	bool quiet;

	/* The readers' */
	pthread_t readers[LOOK_READERS];
	sem_t start, done;
	pthread_mutex_t lock;
	size_t extent; /* where the next reader goes on */
	uint64_t in;
	pid_t copy_from;
	bool quit;
};

/* copy.c: starts readers that wait; returns how many. */
int look_start_readers(struct look *l);
void look_copy(struct look *l);

/* quiet.c: nobody is inside malloc. Marks those that are, as far as that can be told, and counts them. */
bool look_is_quiet(struct look *l, size_t *ret_inside);
/* quiet.c: puts back the syscalls that our stop alone made return EINTR. */
void look_restart_waits(struct look *l);

#endif

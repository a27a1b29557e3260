/* A forked child of a test as the target of looks; both see `shared`. */
#ifndef LIVE_CHILD_H
#define LIVE_CHILD_H
#include <check.h>
#include <sys/types.h>

#include "flotsam/target.h"

struct shared {
	volatile int ready, go, counter, eintr, failed;
	volatile int32_t mutex;
	volatile uint64_t address[8];
};
extern struct shared *shared;
extern pid_t child;

void live_setup(void);
void live_teardown(void); /* kills the child */
void nap(void);		  /* a millisecond */
/* Starts the child and waits until it says that it is ready. */
void start(void (*f)(void));
/* Waits up to five seconds for *counter to change. */
bool runs_on(volatile int *counter);

struct target *open_target(pid_t pid, const struct target_options *o);
void survey_and_take(struct target *t);
struct target *look(pid_t pid); /* all three, with `force` */
const uint8_t *bytes_at(const struct picture *p, uint64_t address, size_t n);
/* A number of /proc/PID/status, -1 when absent, and the state's letter. */
long status_field(pid_t pid, const char *name);
char state_of(pid_t pid);
#endif

#include "live_child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared *shared;
pid_t child;

void live_setup(void)
{
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	child = 0;
}

void live_teardown(void)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
}

void nap(void)
{
	usleep(1000);
}

/* Starts the child and waits until it says that it is ready. */
void start(void (*f)(void))
{
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Not at the other end of our output, where flotsam would refuse it. */
		int null = open("/dev/null", O_RDWR);
		for (int fd = 0; fd <= 2; fd++)
			dup2(null, fd);
		f();
		_exit(0);
	}
	for (int i = 0; i < 20000 && !shared->ready; i++)
		nap();
	ck_assert(shared->ready);
}

struct target *open_target(pid_t pid, const struct target_options *o)
{
	char what[16];
	struct target *t;
	snprintf(what, sizeof what, "%d", (int)pid);
	struct err *e = target_open("live", what, o, &t);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	return t;
}

void survey_and_take(struct target *t)
{
	struct quiet_plan none = { 0 };
	struct err *e = target_survey(t);
	if (!e)
		e = target_take(t, &none);
	ck_assert_msg(!e, "%s", e ? e->text : "");
}

struct target *look(pid_t pid)
{
	struct target_options o = { .force = true };
	struct target *t = open_target(pid, &o);
	survey_and_take(t);
	return t;
}

const uint8_t *bytes_at(const struct picture *p, uint64_t address, size_t n)
{
	for (size_t i = 0; i < p->extents.n; i++) {
		const struct extent *e = &p->extents.at[i];
		if (address >= e->address && address - e->address < e->bytes && e->bytes - (address - e->address) >= n)
			return e->data + (address - e->address);
	}
	return NULL;
}

long status_field(pid_t pid, const char *name)
{
	char path[64], line[256];
	long v = -1;
	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)))
			v = atol(line + strlen(name) + 1);
	if (f)
		fclose(f);
	return v;
}


char state_of(pid_t pid)
{
	char path[64], line[256], state = '?';
	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		sscanf(line, "State: %c", &state);
	if (f)
		fclose(f);
	return state;
}

bool runs_on(volatile int *counter)
{
	int before = *counter;
	for (int i = 0; i < 5000 && *counter == before; i++)
		nap();
	return *counter != before;
}

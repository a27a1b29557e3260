/* Starting fixtures and asking flotsam, for the end-to-end tests. All that is started is ended with the test that did. */
#ifndef TEST_PROCESS_H
#define TEST_PROCESS_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	pid_t target;	/* the process that is looked at: what it says of itself, else pid */
	int in, out;	/* our ends of its standard input and output */
};

/* A program below $FIXTURES, or of an absolute name, in directory dir (NULL: ours), allowed to dump core if cores. argv[0] is its name.
 * $FIXTURE_LAUNCH: words in front of it, the first an absolute path ("/lib/ld.so --library-path DIR"). */
bool child_start(struct child *c, char *const argv[], const char *dir, bool cores);
/* Reads one JSON object from its output. NULL: it said something else, or nothing in 60 seconds. */
json_t *child_json(struct child *c);
/* Waits until every thread of it sleeps in the kernel. */
bool child_settled(const struct child *c);
void child_end(struct child *c);	/* end of its input, then SIGKILL */
/* The name of a core of it that gdb writes into scratch_directory(). NULL: there is no gcore. */
const char *child_gcore(const struct child *c);
/* Aborts an emulated child and finds the guest's core, which qemu-user writes where the child was started. */
bool child_emulated_core(struct child *c, const char *directory, char *ret, size_t n);
int child_wait_signal(struct child *c);	/* the signal it died of, 0: another end */

/* Whether the kernel writes a core into the directory where a program runs: a plain name, and no limit. */
bool kernel_writes_cores(const char **ret_why);
/* The path of a directory's file, of which there is one, or of an emulated program's core. False: there is none. */
bool only_file_in(const char *directory, char *ret, size_t n);

/* Runs a command to its end: standard output as one string (free it), its exit status in *ret_status. stderr is ours.
 * $FLOTSAM_LAUNCH: words in front of flotsam ("setpriv --reuid 65534"). */
char *run_text(char *const argv[], int *ret_status);
/* As run_text, parsed; the caller decrefs. NULL: not JSON. */
json_t *run_json(char *const argv[], int *ret_status);

const char *flotsam_path(void);	/* $FLOTSAM */
bool have_program(const char *name);

/* `flotsam blocks TARGET --format jsonl $FLOTSAM_OPTIONS` as an object from address to block. NULL when it fails or was cut short: *ret_why. */
json_t *flotsam_blocks(const char *target, const char **ret_why);
#endif

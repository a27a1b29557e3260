#include "process.h"
#include "scratch.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct text { char *at; size_t n, room; };

/* Appends what can be read; false at the end. */
static bool read_more(int fd, struct text *t)
{
	if (t->room - t->n < 2) {
		size_t room = t->room ? 2 * t->room : 1 << 16;
		char *at = realloc(t->at, room);
		if (!at)
			return false;
		t->at = at;
		t->room = room;
	}
	ssize_t got;
	do
		got = read(fd, t->at + t->n, t->room - t->n - 1);
	while (got < 0 && errno == EINTR);
	t->n += got > 0 ? (size_t)got : 0;
	t->at[t->n] = 0;
	return got > 0;
}

const char *flotsam_path(void)
{
	const char *path = getenv("FLOTSAM");
	return path ? path : "build/release/flotsam";
}

bool have_program(const char *name)
{
	char path[4096];
	const char *dirs = getenv("PATH");
	for (const char *d = dirs ? dirs : "/usr/bin:/bin"; *d;) {
		size_t n = strcspn(d, ":");
		snprintf(path, sizeof path, "%.*s/%s", (int)n, d, name);
		if (!access(path, X_OK))
			return true;
		d += n + (d[n] == ':');
	}
	return false;
}

enum { MOST_WORDS = 32, MOST_TEXT = 4096 };
struct words { char text[MOST_TEXT]; const char *at[MOST_WORDS + 1]; size_t n; };

static void add_word(struct words *w, const char *word)
{
	if (w->n < MOST_WORDS)
		w->at[w->n++] = word;
	w->at[w->n] = NULL;
}

/* The words of an environment variable, split at blanks. */
static void add_environment(struct words *w, const char *name)
{
	const char *value = getenv(name);
	char *save = NULL;
	snprintf(w->text, sizeof w->text, "%s", value ? value : "");
	for (char *word = strtok_r(w->text, " ", &save); word; word = strtok_r(NULL, " ", &save))
		add_word(w, word);
}

bool child_start(struct child *c, char *const argv[], const char *dir, bool cores)
{
	const char *fixtures = getenv("FIXTURES");
	char path[4096];
	int in[2], out[2];
	struct words run = { 0 };
	snprintf(path, sizeof path, "%s/%s", fixtures ? fixtures : "build/release/fixtures", argv[0]);
	if (argv[0][0] == '/')
		snprintf(path, sizeof path, "%s", argv[0]);
	char *absolute = realpath(path, NULL);
	if (!absolute || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) {
		free(absolute);
		return false;
	}
	add_environment(&run, "FIXTURE_LAUNCH");
	add_word(&run, absolute);
	for (size_t i = 1; argv[i]; i++)
		add_word(&run, argv[i]);
	c->pid = fork();
	if (c->pid == 0) {
		struct rlimit core = { 0, 0 };
		getrlimit(RLIMIT_CORE, &core);
		core.rlim_cur = cores ? core.rlim_max : 0;
		setrlimit(RLIMIT_CORE, &core);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		/* Its own: flotsam is wary of a target that shares a pipe with it. */
		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
		if (!dir || !chdir(dir))
			execv(run.at[0], (char *const *)run.at);
		_exit(127);
	}
	free(absolute);
	close(in[0]);
	close(out[1]);
	c->target = c->pid;
	c->in = in[1];
	c->out = out[0];
	return c->pid > 0;
}

/* 'R', 'S', 'Z', ... of a task: the word behind the command's closing bracket (proc(5)). */
static char task_state(int dir, const char *task)
{
	char path[300], text[512];
	snprintf(path, sizeof path, "%s/stat", task);
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	const char *end = strrchr(text, ')');
	return end && end[1] == ' ' ? end[2] : 0;
}

static bool all_asleep(pid_t pid)
{
	char path[64];
	bool asleep = true;
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' && !strchr("SZ", task_state(dirfd(d), e->d_name)))
			asleep = false;
	if (d)
		closedir(d);
	return d && asleep;
}

bool child_settled(const struct child *c)
{
	struct timespec ms = { .tv_nsec = 1000000 };
	for (int tries = 0, seen = 0; tries < 30000; tries++) {
		seen = all_asleep(c->target) ? seen + 1 : 0;
		if (seen == 3)
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

json_t *child_json(struct child *c)
{
	struct text t = { 0 };
	struct pollfd p = { .fd = c->out, .events = POLLIN };
	json_t *j = NULL;
	/* An object ends with "}\n"; inner lines may too, so the parser decides. */
	while (!j && poll(&p, 1, 60 * 1000) == 1 && read_more(c->out, &t))
		if (t.n > 1 && !strcmp(t.at + t.n - 2, "}\n"))
			j = json_loads(t.at, 0, NULL);
	json_int_t pid = json_integer_value(json_object_get(j, "pid"));
	if (pid > 0)
		c->target = (pid_t)pid;
	free(t.at);
	return j;
}

void child_end(struct child *c)
{
	int status;
	if (c->pid <= 0)
		return;
	close(c->in);
	close(c->out);
	kill(c->pid, SIGKILL);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}

int child_wait_signal(struct child *c)
{
	int status = 0;
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(c->in);
	close(c->out);
	c->pid = 0;
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

bool kernel_writes_cores(const char **ret_why)
{
	char pattern[256] = "";
	struct rlimit limit;
	FILE *p = fopen("/proc/sys/kernel/core_pattern", "r");
	if (p) {
		if (!fgets(pattern, sizeof pattern, p))
			pattern[0] = 0;
		fclose(p);
	}
	if (getenv("TRUTH_EMULATED")) /* qemu-user writes the guest's core itself, beside the program */
		return true;
	*ret_why = "a kernel.core_pattern that is a plain name";
	if (!*pattern || *pattern == '|' || strchr(pattern, '/'))
		return false;
	*ret_why = "a hard limit of core size that is not 0";
	return !getrlimit(RLIMIT_CORE, &limit) && limit.rlim_max == RLIM_INFINITY;
}

bool only_file_in(const char *directory, char *ret, size_t n)
{
	DIR *d = opendir(directory);
	*ret = 0;
	/* A core of the emulator may lie beside the guest's. */
	bool emulated = getenv("TRUTH_EMULATED");
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' && (!emulated || !strncmp(e->d_name, "qemu_", 5)))
			snprintf(ret, n, "%s/%s", directory, e->d_name);
	if (d)
		closedir(d);
	return *ret;
}

const char *child_gcore(const struct child *c)
{
	static char core[320];
	char pid[16], prefix[300];
	int status;
	if (!have_program("gcore"))
		return NULL;
	snprintf(pid, sizeof pid, "%d", (int)c->target);
	snprintf(prefix, sizeof prefix, "%s/core", scratch_directory());
	snprintf(core, sizeof core, "%s.%s", prefix, pid);
	const char *argv[] = { "gcore", "-o", prefix, pid, NULL };
	free(run_text((char *const *)(uintptr_t)argv, &status));
	ck_assert_msg(status == 0 && !access(core, R_OK), "gcore ended with %d", status);
	return core;
}

bool child_emulated_core(struct child *c, const char *directory, char *ret, size_t n)
{
	kill(c->pid, SIGABRT);
	child_wait_signal(c);
	return only_file_in(directory, ret, n);
}

char *run_text(char *const argv[], int *ret_status)
{
	int out[2], status = 0;
	struct text t = { 0 };
	struct words run = { 0 };
	if (!strcmp(argv[0], flotsam_path()))
		add_environment(&run, "FLOTSAM_LAUNCH");
	for (size_t i = 0; argv[i]; i++)
		add_word(&run, argv[i]);
	if (pipe2(out, O_CLOEXEC))
		return NULL;
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], 1);
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		dup2(null, 0);
		execvp(run.at[0], (char *const *)run.at);
		_exit(127);
	}
	close(out[1]);
	while (pid > 0 && read_more(out[0], &t))
		;
	close(out[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return t.at;
}

json_t *run_json(char *const argv[], int *ret_status)
{
	char *text = run_text(argv, ret_status);
	json_t *j = text ? json_loads(text, 0, NULL) : NULL;
	free(text);
	return j;
}

json_t *flotsam_blocks(const char *target, const char **ret_why)
{
	struct words argv = { 0 };
	int status;
	add_word(&argv, flotsam_path());
	add_word(&argv, "blocks");
	add_word(&argv, target);
	add_word(&argv, "--format");
	add_word(&argv, "jsonl");
	add_environment(&argv, "FLOTSAM_OPTIONS");
	char *text = run_text((char *const *)argv.at, &status), *save = NULL;
	json_t *all = json_object();
	size_t n = 0;
	json_int_t end = -1;
	*ret_why = NULL;
	if (status != 0 && status != 4)
		*ret_why = "flotsam blocks failed";
	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line && !*ret_why; line = strtok_r(NULL, "\n", &save)) {
		json_t *j = json_loads(line, 0, NULL);
		const char *address = json_string_value(json_object_get(j, "address"));
		if (!j) {
			*ret_why = "a line of flotsam blocks is not JSON";
		} else if (json_is_true(json_object_get(j, "end"))) {
			end = json_integer_value(json_object_get(j, "blocks"));
			json_decref(j);
		} else if (!address || json_object_get(all, address)) {
			*ret_why = "flotsam blocks lists a block twice, or without address";
			json_decref(j);
		} else {
			n++;
			json_object_set_new(all, address, j);
		}
	}
	if (!*ret_why && end != (json_int_t)n)
		*ret_why = "flotsam blocks was cut short, or counts wrong";
	free(text);
	if (*ret_why) {
		json_decref(all);
		return NULL;
	}
	return all;
}

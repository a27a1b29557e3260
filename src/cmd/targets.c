/* What the words on the command line mean: processes by number, name, unit or group. */
#include "cmd.h"

#include "flotsam/system.h"

#include <ctype.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

bool cmd_all_digits(const char *s)
{
	for (const char *p = s; *p; p++)
		if (!isdigit((unsigned char)*p))
			return false;
	return *s;
}

static bool read_line(const char *pid, const char *file, char *to, size_t max)
{
	char path[300];
	snprintf(path, sizeof path, "/proc/%s/%s", pid, file);
	AUTO_FILE FILE *f = fopen(path, "re");
	size_t n = f ? fread(to, 1, max - 1, f) : 0;
	/* Arguments are parted by NUL. */
	for (size_t i = 0; i < n; i++)
		if (!to[i])
			to[i] = ' ';
	while (n && (to[n - 1] == '\n' || to[n - 1] == ' '))
		n--;
	to[n] = '\0';
	return n;
}

/* One that has ended and waits for its parent has its name still, but no memory. When it was started, else. */
static bool is_alive(const char *pid, uint64_t *ret_start)
{
	char path[300], state;
	size_t n;
	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	AUTO_FREE char *text = system_read("", path, &n);
	return text && system_stat(text, n, &state, ret_start) && state != 'Z' && state != 'X';
}

/* Is it called that: by its comm, which the kernel cuts to 15 bytes, or by the base name of its executable? */
static bool is_called(const char *pid, const char *name)
{
	enum { COMM = 15 };
	char path[300], comm[64], exe[LIMIT_PATH];
	if (!read_line(pid, "comm", comm, sizeof comm))
		return false;
	if (!strcmp(comm, name))
		return true;
	snprintf(path, sizeof path, "/proc/%s/exe", pid);
	ssize_t k = readlink(path, exe, sizeof exe - 1);
	if (k < 0)
		return strlen(name) > COMM && !strncmp(comm, name, COMM) && !comm[COMM];
	exe[k] = '\0';
	static const char deleted[] = " (deleted)";
	size_t n = sizeof deleted - 1;
	if ((size_t)k > n && !strcmp(exe + k - n, deleted))
		exe[(size_t)k - n] = '\0';
	const char *base = strrchr(exe, '/');
	return base && !strcmp(base + 1, name);
}

struct err *cmd_find_process(const char *name, char ret_pid[16])
{
	struct strbuf matches = { 0 };
	DIR *d = opendir("/proc");
	struct dirent *e;
	uint64_t start;
	int n = 0;
	while (d && (e = readdir(d))) {
		char words[64];
		if (!cmd_all_digits(e->d_name) || atoi(e->d_name) == getpid() || !is_called(e->d_name, name) || !is_alive(e->d_name, &start))
			continue;
		snprintf(ret_pid, 16, "%.15s", e->d_name);
		strbuf_printf(&matches, "%s%8s  ", n++ ? "\n" : "", e->d_name);
		if (read_line(e->d_name, "cmdline", words, sizeof words) || read_line(e->d_name, "comm", words, sizeof words))
			strbuf_add_escaped(&matches, words, strlen(words));
	}
	if (d)
		closedir(d);
	struct err *err = n == 1 ? NULL : !n ? cmd_like_command(err_new(ERR_NOT_FOUND, "no command, process or file is called '%s'", name), name)
					     : err_hint(err_new(ERR_USAGE, "%d processes are called '%s': say which", n, name), "%s",
							matches.text ? matches.text : "");
	strbuf_free(&matches);
	return err;
}

static uint64_t rss_of(const char *pid)
{
	char path[300];
	size_t n;
	struct process_status s;
	snprintf(path, sizeof path, "/proc/%s/status", pid);
	AUTO_FREE char *text = system_read("", path, &n);
	AUTO_ERR struct err *e = text ? system_status(text, n, &s) : NULL;
	return !text || e || s.vm_rss == UINT64_MAX ? 0 : s.vm_rss;
}

/* The oldest is the one that systemd started, unless that has handed over and ended: its children are younger. */
static bool choose_main(const struct system_pids *pids, bool largest, char ret_pid[16])
{
	uint64_t best = 0;
	bool found = false;
	for (size_t i = 0; i < pids->n; i++) {
		char pid[16];
		uint64_t start;
		snprintf(pid, sizeof pid, "%d", pids->at[i]);
		if (pids->at[i] == getpid() || !is_alive(pid, &start))
			continue;
		uint64_t rank = largest ? rss_of(pid) : UINT64_MAX - start;
		if (found && rank <= best)
			continue;
		found = true;
		best = rank;
		memcpy(ret_pid, pid, sizeof pid);
	}
	return found;
}

struct err *cmd_find_member(const struct arguments *a, char ret_pid[16])
{
	bool several = false;
	const char *name = a->unit ? a->unit : a->cgroup, *kind = a->unit ? "unit" : "control group";
	struct system_pids pids;
	AUTO_FREE char *dir = a->unit ? system_unit_dir("", a->unit, &several) : system_group_dir("", a->cgroup);
	if (!dir)
		return err_hint(err_new(ERR_NOT_FOUND, "no %s '%s' runs here", kind, name), a->unit ? "systemctl status '%s'" : "systemd-cgls   |   cat /proc/PID/cgroup", name);
	if (several)
		return err_hint(err_new(ERR_USAGE, "several groups are called '%s'", name), "--cgroup %s", dir);
	system_group_pids("", dir, &pids);
	bool found = choose_main(&pids, a->main_process && !strcmp(a->main_process, "largest"), ret_pid);
	vec_free(&pids);
	return found ? NULL : err_new(ERR_NOT_FOUND, "the %s '%s' has no process", kind, name);
}

struct err *cmd_name_look(const char *word, struct look_name *ret)
{
	struct stat st;
	*ret = (struct look_name){ .kind = cmd_all_digits(word) ? "live" : strchr(word, '/') || !stat(word, &st) ? "core" : NULL, .target = word };
	if (ret->kind)
		return NULL;
	TRY(cmd_find_process(word, ret->found));
	ret->kind = "live";
	ret->target = ret->found;
	return NULL;
}

bool arguments_can_find_again(const struct arguments *a)
{
	return a->by_name || a->unit || a->cgroup;
}

struct err *arguments_find_again(const struct arguments *a, struct look_name *ret)
{
	*ret = (struct look_name){ .kind = "live", .target = a->by_name };
	TRY(a->by_name ? cmd_find_process(a->by_name, ret->found) : cmd_find_member(a, ret->found));
	ret->target = ret->found;
	return NULL;
}

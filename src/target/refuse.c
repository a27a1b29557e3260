/* Refusals. Each gate of ptrace (kernel/ptrace.c, __ptrace_may_access; security/yama; security/commoncap.c) is told apart by
 * what /proc says, so that the message can name the one thing that opens it. */
#include "refuse.h"
#include "flotsam/system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CAP_SYS_PTRACE_BIT = 19 };

static char *read_below(const char *root, pid_t pid, const char *name, size_t *ret_n)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	return system_read(root, path, ret_n);
}

static char *read_proc(pid_t pid, const char *name, size_t *ret_n)
{
	return read_below("", pid, name, ret_n);
}

static bool is_ancestor(pid_t pid)
{
	pid_t at = getpid();
	for (int depth = 0; at > 1 && depth < 256; depth++) {
		if (at == pid)
			return true;
		size_t n;
		struct process_status s;
		AUTO_FREE char *text = read_proc(at, "status", &n);
		struct err *e = text ? system_status(text, n, &s) : err_nomem();
		if (e) {
			err_free(e);
			return false;
		}
		at = s.ppid;
	}
	return false;
}

/* Does the process hold the other end of one of our standard pipes? It would wait for us while we hold it. Sharing the same
 * end, as two commands of one log do, harms nobody. The mode of the link in /proc/PID/fd is that of the open (proc(5)). */
static bool other_end(int fd, const struct stat *theirs, mode_t link)
{
	struct stat ours;
	if (fstat(fd, &ours) || !S_ISFIFO(ours.st_mode) || ours.st_ino != theirs->st_ino || ours.st_dev != theirs->st_dev)
		return false;
	return fd == STDIN_FILENO ? link & S_IWUSR : link & S_IRUSR;
}

static bool shares_pipe(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);
	bool found = false;
	struct dirent *e;
	while (d && !found && (e = readdir(d))) {
		struct stat theirs, link;
		if (fstatat(dirfd(d), e->d_name, &theirs, 0) || !S_ISFIFO(theirs.st_mode) || fstatat(dirfd(d), e->d_name, &link, AT_SYMLINK_NOFOLLOW))
			continue;
		for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
			found |= other_end(fd, &theirs, link.st_mode);
	}
	if (d)
		closedir(d);
	return found;
}

/* A flotsam with capabilities of its own (AT_SECURE, getauxval(3)) lends them for what the caller could trace anyway: processes
 * of the same ids throughout, and dumpable, which is when /proc/PID is theirs (task_dump_owner, fs/proc/base.c). */
static struct err *refuse_others(pid_t pid, const struct process_status *s)
{
	static const char hint[] = "this flotsam has capabilities of its own, and lends them for your own processes alone; try: sudo flotsam -p %d";
	char path[32];
	struct stat st;
	if (!getauxval(AT_SECURE))
		return NULL;
	for (int i = 0; i < 4; i++) {
		if (s->uid[i] != getuid())
			return err_hint(err_new(ERR_REFUSED, "cannot look at %d (%s): it runs as uid %u, you are uid %u", (int)pid, s->name, s->uid[i],
						getuid()), hint, (int)pid);
		if (s->gid[i] != getgid())
			return err_hint(err_new(ERR_REFUSED, "cannot look at %d (%s): it runs as gid %u, you are gid %u", (int)pid, s->name, s->gid[i],
						getgid()), hint, (int)pid);
	}
	snprintf(path, sizeof path, "/proc/%d", (int)pid);
	if (stat(path, &st) || st.st_uid != getuid())
		return err_hint(err_new(ERR_REFUSED, "cannot look at %d (%s): it is not dumpable", (int)pid, s->name), hint, (int)pid);
	return NULL;
}

struct err *refuse_target(pid_t pid, bool force, char comm[16])
{
	size_t n;
	struct process_status s;
	AUTO_FREE char *text = read_proc(pid, "status", &n);
	if (!text)
		return err_new(ERR_NOT_FOUND, "no process %d", (int)pid);
	TRY(system_status(text, n, &s));
	snprintf(comm, 16, "%.15s", s.name);
	if (s.tgid != pid)
		return err_hint(err_new(ERR_USAGE, "%d is a thread of process %d", (int)pid, s.tgid), "flotsam -p %d", s.tgid);
	if ((s.state == 'Z' && s.threads <= 1) || s.state == 'X')
		return err_new(ERR_NOT_FOUND, "cannot look at %d (%s): it is a zombie, its memory is gone", (int)pid, comm);
	if (s.kernel_thread || (s.vm_size == UINT64_MAX && s.state != 'Z'))
		return err_new(ERR_UNSUPPORTED, "cannot look at %d (%s): it is a kernel thread and has no memory of its own", (int)pid, comm);
	TRY(refuse_others(pid, &s));
	if (!force && pid == getpid())
		return err_new(ERR_REFUSED, "cannot look at %d: that is flotsam itself", (int)pid);
	if (!force && is_ancestor(pid))
		return err_hint(err_new(ERR_REFUSED, "will not stop %d (%s): flotsam runs below it", (int)pid, comm), "--force does it all the same");
	if (!force && shares_pipe(pid))
		return err_hint(err_new(ERR_REFUSED, "will not stop %d (%s): it is at the other end of a pipe of flotsam's", (int)pid, comm),
				"write to a file with -o FILE, or --force");
	if (s.tracer) {
		struct process_status tracer = { 0 };
		AUTO_FREE char *other = read_proc(s.tracer, "status", &n);
		if (other)
			err_free(system_status(other, n, &tracer));
		return err_hint(err_new(ERR_REFUSED, "cannot attach to %d: %s (pid %d) already traces it", (int)pid, tracer.name[0] ? tracer.name : "a process", s.tracer),
				"Detach it, or take a core (gdb: generate-core-file) and run flotsam on that.");
	}
	return NULL;
}

static bool we_have_ptrace(const char *root)
{
	AUTO_FREE char *text = system_read(root, "/proc/self/status", NULL);
	const char *p = text ? strstr(text, "CapEff:") : NULL;
	return p && strtoull(p + 7, NULL, 16) >> CAP_SYS_PTRACE_BIT & 1;
}

/* ns/user of who may not be traced cannot be looked at; uid_map can, and is another's in another namespace. */
static bool same_user_namespace(const char *root, pid_t pid)
{
	AUTO_FREE char *ours = system_read(root, "/proc/self/uid_map", NULL), *theirs = read_below(root, pid, "uid_map", NULL);
	return !ours || !theirs || !strcmp(ours, theirs);
}

static struct err *attach_error(pid_t pid, const char *why)
{
	return err_new(ERR_REFUSED, "cannot attach to %d: %s", (int)pid, why);
}

static struct err *with_sudo(struct err *e, pid_t pid)
{
	return err_hint(e, "try: sudo flotsam -p %d", (int)pid);
}

struct err *refuse_access(const char *root, pid_t pid, int os)
{
	size_t n;
	struct process_status s = { 0 };
	AUTO_FREE char *text = read_below(root, pid, "status", &n);
	if (!text)
		return err_new(ERR_NOT_FOUND, "no process %d", (int)pid);
	TRY(system_status(text, n, &s));
	bool capable = we_have_ptrace(root);
	uid_t us = getuid();
	AUTO_FREE char *yama = system_read(root, "/proc/sys/kernel/yama/ptrace_scope", NULL);
	int scope = yama ? atoi(yama) : 0;
	if (scope == 3)
		return err_hint(attach_error(pid, "this kernel lets nobody trace (yama ptrace_scope=3)"),
				"only a reboot opens it; take a core and run flotsam on that");
	if (!capable && us && s.uid[0] != us)
		return with_sudo(err_new(ERR_REFUSED, "cannot attach to %d (%s): it runs as uid %u, you are uid %u", (int)pid, s.name,
					 s.uid[0], us), pid);
	if (!capable && us == 0)
		return err_hint(attach_error(pid, "this container lacks CAP_SYS_PTRACE"),
				"docker run --cap-add=SYS_PTRACE ...   |  kubectl debug -it POD --image=IMAGE --target=CONTAINER --profile=sysadmin\n"
				"or run flotsam on the node, where the host's pids are seen (files are read through /proc/PID/root)");
	if (!capable && scope == 1)
		return with_sudo(attach_error(pid, "this kernel only lets a parent trace its child (yama ptrace_scope=1)"), pid);
	if (!capable && scope == 2)
		return with_sudo(attach_error(pid, "this kernel lets only root trace (yama ptrace_scope=2)"), pid);
	if (!same_user_namespace(root, pid))
		return err_hint(attach_error(pid, "it lives in a user namespace above yours"), "Run flotsam in the host's, as root.");
	if (!capable)
		return with_sudo(attach_error(pid, "it is not dumpable (it changed uid, or called PR_SET_DUMPABLE)"), pid);
	AUTO_FREE char *modules = system_read(root, "/sys/kernel/security/lsm", NULL);
	return err_hint(err_os(os, "cannot attach to %d (%s)", (int)pid, s.name), "a security module (%.*s) or a seccomp filter forbids it",
			modules ? (int)strcspn(modules, "\n") : 1, modules ? modules : "?");
}

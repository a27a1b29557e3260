/* Three fences, each of which stands without the others: capabilities are given up, Landlock bounds the files, seccomp the
 * system calls. A kernel that lacks one leaves the others, and -v says so. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

/* Landlock's numbers and structures (include/uapi/linux/landlock.h, Linux 6.12): the build's own headers may be older than
 * the kernel that runs. */
enum { LL_CREATE = 444, LL_ADD_RULE = 445, LL_RESTRICT = 446, LL_VERSION = 1, LL_PATH_BENEATH = 1 };
enum { LL_WRITE_FILE = 1 << 1, LL_READ_FILE = 1 << 2, LL_READ_DIR = 1 << 3, LL_TRUNCATE = 1 << 14 };
struct ll_ruleset { uint64_t fs, net, scoped; };
struct ll_path { uint64_t allowed; int32_t parent; } __attribute__((packed));

/* A sanitizer's runtime lists its own threads at the end and stops them by ptrace, to look for leaks: there the system calls
 * stay open, and directories. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { WITH_SECCOMP = 0, READS = LL_READ_FILE | LL_READ_DIR };
#else
enum { WITH_SECCOMP = 1, READS = LL_READ_FILE };
#endif

/* File rights: 13 at first, REFER with 2, TRUNCATE with 3, IOCTL_DEV with 5; TCP with 4; signals and abstract sockets with 6. */
static struct ll_ruleset all_rights(int abi)
{
	unsigned n = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
	return (struct ll_ruleset){ .fs = (1u << n) - 1, .net = abi >= 4 ? 3 : 0, .scoped = abi >= 6 ? 3 : 0 };
}

bool sandbox_read_below(struct sandbox *s, const char *path)
{
	if (!path || !*path)
		return true;
	if (s->n_read == SANDBOX_MOST_ROOTS)
		return false;
	s->read[s->n_read++] = path;
	return true;
}

static bool allow_below(int ruleset, const char *path, uint64_t rights)
{
	AUTO_FD int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st))
		return errno == ENOENT || errno == EACCES || errno == ENOTDIR;
	if (!S_ISDIR(st.st_mode))
		rights &= LL_READ_FILE | LL_WRITE_FILE | LL_TRUNCATE;
	struct ll_path rule = { rights, fd };
	return !syscall(LL_ADD_RULE, ruleset, LL_PATH_BENEATH, &rule, 0);
}

/* The ABI that holds, 0 where the kernel has no Landlock, -1 and errno. */
static int bound_files(const struct sandbox *s)
{
	int abi = (int)syscall(LL_CREATE, NULL, 0, LL_VERSION);
	if (abi <= 0)
		return 0;
	struct ll_ruleset rights = all_rights(abi);
	AUTO_FD int fd = (int)syscall(LL_CREATE, &rights, sizeof rights, 0);
	bool ok = fd >= 0;
	for (size_t i = 0; ok && i < s->n_read; i++)
		ok = allow_below(fd, s->read[i], READS);
	for (size_t i = 0; ok && i < s->n_write; i++)
		ok = allow_below(fd, s->write[i], (LL_READ_FILE | LL_WRITE_FILE | LL_TRUNCATE) & rights.fs);
	return ok && !syscall(LL_RESTRICT, fd, 0) ? abi : -1;
}

/* CAP_DAC_READ_SEARCH stays where it was: debug files and those of a core may be another user's. */
static bool drop_capabilities(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];
	if (syscall(SYS_capget, &h, d))
		return false;
	d[0].effective &= 1u << CAP_DAC_READ_SEARCH;
	d[0].permitted = d[0].effective;
	d[0].inheritable = 0;
	d[1] = (struct __user_cap_data_struct){ 0 };
	return !syscall(SYS_capset, &h, d);
}

/* Calls that need no look at their arguments: they touch this process's own memory, threads and open files, or read. */
static const int harmless[] = {
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(lseek),
	SCMP_SYS(_llseek), SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(fstat64), SCMP_SYS(newfstatat), SCMP_SYS(fstatat64),
	SCMP_SYS(stat), SCMP_SYS(stat64), SCMP_SYS(lstat), SCMP_SYS(lstat64), SCMP_SYS(statx), SCMP_SYS(fstatfs), SCMP_SYS(fstatfs64),
	SCMP_SYS(statfs), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
	SCMP_SYS(getcwd), SCMP_SYS(getdents64), SCMP_SYS(ftruncate), SCMP_SYS(ftruncate64), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3),
	SCMP_SYS(fadvise64), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(memfd_create),
	SCMP_SYS(futex), SCMP_SYS(futex_time64), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(membarrier), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigreturn),
	SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_yield), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getpgrp), SCMP_SYS(getuid), SCMP_SYS(geteuid),
	SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64),
	SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(times),
	SCMP_SYS(getrusage), SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6),
	SCMP_SYS(setitimer), SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(getrlimit), SCMP_SYS(ugetrlimit),
	/* The holder's socket is open, and at the prompt that of the process that runs shell commands; no other can be had. */
	SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(pipe), SCMP_SYS(pipe2),
	/* What shuts in further. */
	SCMP_SYS(capget), SCMP_SYS(capset), SCMP_SYS(seccomp), LL_CREATE, LL_ADD_RULE, LL_RESTRICT,
};

/* The terminal's settings and size; TIOCSTI, which types into it, is none of these. */
static const unsigned long terminal[] = { TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ, TIOCGPGRP, FIONREAD };
static const int descriptor[] = { F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD, F_DUPFD_CLOEXEC };
static const int process[] = { PR_SET_NAME, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_GET_NAME };

enum { OPENS_TO_WRITE = O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY) };

static int allow(scmp_filter_ctx f, int call, struct scmp_arg_cmp arg)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 1, arg);
}

static int allow_files(scmp_filter_ctx f, bool landlocked, bool may_write)
{
	int bad = 0;
	if (may_write) {
		bad |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 0);
	} else {
		bad |= allow(f, SCMP_SYS(openat), SCMP_A2(SCMP_CMP_MASKED_EQ, OPENS_TO_WRITE, 0));
		bad |= allow(f, SCMP_SYS(open), SCMP_A1(SCMP_CMP_MASKED_EQ, OPENS_TO_WRITE, 0));
	}
	/* Its flags stand in memory, where a filter does not see them: Landlock must. */
	if (landlocked)
		bad |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat2), 0);
	return bad;
}

static int allow_by_argument(scmp_filter_ctx f)
{
	int bad = 0;
	bad |= allow(f, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	bad |= allow(f, SCMP_SYS(mmap2), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	bad |= allow(f, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* Threads, not processes. clone3's flags stand in memory: glibc takes clone where there is no clone3. */
	bad |= allow(f, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	bad |= allow(f, SCMP_SYS(kill), SCMP_A0(SCMP_CMP_EQ, (unsigned)getpid()));
	bad |= allow(f, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (unsigned)getpid()));
	bad |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
	for (size_t i = 0; i < sizeof terminal / sizeof terminal[0]; i++)
		bad |= allow(f, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, terminal[i]));
	for (size_t i = 0; i < sizeof descriptor / sizeof descriptor[0]; i++) {
		bad |= allow(f, SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, (unsigned)descriptor[i]));
		bad |= allow(f, SCMP_SYS(fcntl64), SCMP_A1(SCMP_CMP_EQ, (unsigned)descriptor[i]));
	}
	for (size_t i = 0; i < sizeof process / sizeof process[0]; i++)
		bad |= allow(f, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, (unsigned)process[i]));
	return bad;
}

/* All that is not named is answered as a call that this kernel does not have: libraries then do without. */
static bool bound_calls(bool landlocked, bool may_write)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int bad = !f;
	for (size_t i = 0; !bad && i < sizeof harmless / sizeof harmless[0]; i++)
		bad = seccomp_rule_add(f, SCMP_ACT_ALLOW, harmless[i], 0);
	bad = bad || allow_files(f, landlocked, may_write) || allow_by_argument(f) || seccomp_load(f);
	if (f)
		seccomp_release(f);
	return !bad;
}

struct err *sandbox_enter(struct sandbox *s)
{
	const char *wish = secure_getenv("FLOTSAM_SANDBOX");
	if (wish && !strcmp(wish, "off")) {
		snprintf(s->note, sizeof s->note, "off, by FLOTSAM_SANDBOX");
		return NULL;
	}
	if (!drop_capabilities() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_os(errno, "cannot give up rights");
	int abi = bound_files(s);
	if (abi < 0)
		return err_os(errno, "cannot shut flotsam in by Landlock");
	bool calls = WITH_SECCOMP && bound_calls(abi > 0, s->n_write > 0);
	char files[48] = "not by Landlock, which this kernel has not";
	if (abi)
		snprintf(files, sizeof files, "by Landlock (ABI %d)", abi);
	snprintf(s->note, sizeof s->note, "%s, %s", files,
		 calls ? "by seccomp" : WITH_SECCOMP ? "not by seccomp, which this kernel has not" : "not by seccomp, since this is a sanitizer's build");
	return NULL;
}

/* Targets in other namespaces, below other roots, of other users; and flotsam with fewer rights than root. */
#include "compare.h"
#include "process.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { NOBODY = 65534 };

static char dir[64]; /* of the test: holds root/ */
static struct child child;
static pid_t target;
static char target_text[16];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void setup(void)
{
	strcpy(dir, "/var/tmp/flotsam-places-XXXXXX");
	ck_assert(mkdtemp(dir) && !chmod(dir, 0755));
}

/* Around all tests, by the process that started none of them. */
static void teardown(void)
{
	nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void __attribute__((format(printf, 1, 2))) shell(const char *format, ...)
{
	char command[4096];
	va_list ap;
	va_start(ap, format);
	vsnprintf(command, sizeof command, format, ap);
	va_end(ap);
	ck_assert_msg(system(command) == 0, "%s", command);
}

static const char *fixture_path(const char *name)
{
	static char path[PATH_MAX];
	const char *fixtures = getenv("FIXTURES");
	snprintf(path, sizeof path, "%s/%s", fixtures ? fixtures : "build/release/fixtures", name);
	return path;
}

/* A root with a program, what it opens, and the libraries of both at their places. */
static const char *make_root(const char *name)
{
	static char root[96];
	const char *files[] = { name, "libplugin.so", "libgone.so" };
	snprintf(root, sizeof root, "%s/root-%d", dir, (int)getpid());
	shell("mkdir -p %s/app %s/proc", root, root);
	for (size_t i = 0; i < 3; i++)
		shell("cp %s %s/app/", fixture_path(files[i]), root);
	shell("for l in $(ldd %s | grep -o '/[^ ]*'); do mkdir -p %s$(dirname $l) && cp -L $l %s$l || exit; done", fixture_path(name), root, root);
	return root;
}

struct place {
	int namespaces;
	bool below_root;
	uid_t uid;	     /* 0: ours */
	bool not_dumpable;
};

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool enter(const struct place *p, const char *root)
{
	char proc[128];
	snprintf(proc, sizeof proc, "%s/proc", p->below_root ? root : "");
	if (p->namespaces & CLONE_NEWNS && (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("proc", proc, "proc", 0, NULL)))
		return false;
	if (p->below_root && (chroot(root) || chdir("/")))
		return false;
	return !p->uid || (!setgroups(0, NULL) && !setresgid(p->uid, p->uid, p->uid) && !setresuid(p->uid, p->uid, p->uid));
}

/* Ids of a new user namespace are mapped by somebody outside it. */
static void unshare_all(int namespaces)
{
	int ready[2];
	char path[64], word = 0;
	if (pipe2(ready, O_CLOEXEC))
		_exit(1);
	pid_t self = getpid(), helper = namespaces & CLONE_NEWUSER ? fork() : 0;
	if (namespaces & CLONE_NEWUSER && !helper) {
		close(ready[1]); /* or it waits for itself where unshare() is refused */
		bool ok = read(ready[0], &word, 1) == 1;
		snprintf(path, sizeof path, "/proc/%d/uid_map", (int)self);
		ok = ok && write_text(path, "0 0 65535");
		snprintf(path, sizeof path, "/proc/%d/gid_map", (int)self);
		_exit(!ok || !write_text(path, "0 0 65535"));
	}
	int status = 0;
	if (unshare(namespaces))
		_exit(1);
	if (helper && (write(ready[1], &word, 1) != 1 || waitpid(helper, &status, 0) < 0 || status))
		_exit(1);
}

/* The process between: its own child is in the new namespaces, and it knows that one's pid as we do. */
static void stand_between(const struct place *p, const char *root, const char *path, const int in[2], const int out[2], int tell)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	unshare_all(p->namespaces);
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
		if (!enter(p, root))
			_exit(78);
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of uid takes it away */
		execl(path, path, NULL);
		_exit(127);
	}
	if (write(tell, &pid, sizeof pid) != sizeof pid)
		_exit(1);
	close(in[0]);
	close(out[1]);
	waitpid(pid, NULL, 0);
	_exit(0);
}

static void end_child(void)
{
	child_end(&child);
}

/* Starts a fixture there and returns its truth. NULL: this kernel makes no such place, and the test says SKIP. */
static json_t *start(const char *test, const struct place *p, const char *name, const char *root)
{
	int in[2], out[2], tell[2];
	char path[PATH_MAX];
	if (p->below_root) {
		snprintf(path, sizeof path, "/app/%s", name);
	} else if (p->uid) { /* who may not be let into the folder that all this lies in */
		snprintf(path, sizeof path, "%s/%s", dir, name);
		shell("cp %s %s", fixture_path(name), path);
	} else {
		ck_assert(realpath(fixture_path(name), path) != NULL);
	}
	ck_assert(!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC) && !pipe2(tell, O_CLOEXEC));
	atexit(end_child);
	child.pid = fork();
	if (!child.pid)
		stand_between(p, root, path, in, out, tell[1]);
	close(in[0]);
	close(out[1]);
	close(tell[1]);
	child.in = in[1];
	child.out = out[0];
	bool told = read(tell[0], &target, sizeof target) == sizeof target;
	close(tell[0]);
	json_t *truth = told ? child_json(&child) : NULL;
	if (!truth) {
		printf("SKIP %s: needs a kernel that makes namespaces, and root\n", test);
		fflush(stdout);
		return NULL;
	}
	struct child rests = { .pid = target, .target = target };
	ck_assert_msg(child_settled(&rests), "%s does not come to rest", name);
	snprintf(target_text, sizeof target_text, "%d", (int)target);
	return truth;
}

static void check_truth(const json_t *truth, const char *name, const char *kind)
{
	struct faults f = { 0 };
	const char *why;
	json_t *got = flotsam_blocks(target_text, &why);
	ck_assert_msg(got, "%s, %s: %s", name, kind, why);
	compare_with_truth(&f, truth, got, false);
	report_faults(&f, name, kind);
	json_decref(got);
}

static json_t *report(void)
{
	const char *argv[] = { flotsam_path(), "report", target_text, "--format", "json", NULL };
	int status;
	json_t *r = run_json((char *const *)argv, &status);
	ck_assert_msg(r, "flotsam report ended with %d", status);
	return r;
}

/* The note or finding that holds both words, or NULL. */
static const char *said(const json_t *report, const char *a, const char *b)
{
	json_t *each;
	size_t i;
	json_array_foreach(json_object_get(json_object_get(report, "coverage"), "notes"), i, each)
		if (strstr(json_string_value(each), a) && strstr(json_string_value(each), b))
			return json_string_value(each);
	json_array_foreach(json_object_get(report, "findings"), i, each)
		if (strstr(text_of(each, "text"), a) && strstr(text_of(each, "text"), b))
			return text_of(each, "text");
	return NULL;
}

static const struct {
	const char *name;
	struct place place;
} places[] = {
	{ "pid and mount namespaces", { .namespaces = CLONE_NEWPID | CLONE_NEWNS } },
	{ "all namespaces, another root", { .namespaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET, .below_root = true } },
	{ "a user namespace", { .namespaces = CLONE_NEWUSER } },
	{ "a container without root", { .namespaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS, .below_root = true, .uid = 1000 } },
	{ "another user", { .uid = NOBODY } },
};
enum { N_PLACES = sizeof places / sizeof *places };

START_TEST(truth_of_places)
{
	static const char *const names[] = { "clean", "dlopen", "threads", "stack" };
	const char *name = names[_i % 4], *root = places[_i / 4].place.below_root ? make_root(name) : NULL;
	json_t *truth = start("truth_of_places", &places[_i / 4].place, name, root);
	if (!truth)
		return;
	check_truth(truth, name, places[_i / 4].name);
	json_decref(truth);
}
END_TEST

/* Flotsam as nobody, with these capabilities and no other. */
static bool as_nobody(const char *test, const char *capabilities)
{
	char launch[256];
	if (geteuid() || !have_program("setpriv")) {
		printf("SKIP %s: needs root, and setpriv of util-linux\n", test);
		fflush(stdout);
		return false;
	}
	snprintf(launch, sizeof launch, "setpriv --reuid %d --regid %d --clear-groups --inh-caps -all%s --ambient-caps -all%s --bounding-set -all%s", NOBODY,
		 NOBODY, capabilities, capabilities, capabilities);
	setenv("FLOTSAM_LAUNCH", launch, 1);
	return true;
}

/* What stands in the place of a library when flotsam comes to look for it. The decoy beside the root has the right build-id:
 * who follows a link out of the root would take it. */
static const struct {
	const char *name, *command, *why;
} traps[] = {
	{ "an absolute link", "ln -s %s/decoy.so libplugin.so", "" },
	{ "a link with ..", "ln -s ../../../../../../../../../../../../../..%s/decoy.so libplugin.so", "" },
	{ "a magic link", "ln -s /proc/self/root%s/decoy.so libplugin.so", "" },
	{ "a fifo", "mkfifo libplugin.so # %s", "" },
	{ "a directory", "mkdir libplugin.so # %s", "" },
	{ "another build-id", "cp libgone.so libplugin.so # %s", "build-id" },
	{ "an empty file", ": >libplugin.so # %s", "" },
	{ "half of it", "head -c 3000 %s/decoy.so >libplugin.so", NULL },
};
enum { N_TRAPS = sizeof traps / sizeof *traps };

START_TEST(hostile_root)
{
	char command[PATH_MAX];
	const struct place p = { .namespaces = CLONE_NEWNS, .below_root = true };
	const char *root = make_root("dlopen");
	/* The mapped files themselves, which CAP_SYS_ADMIN opens, would make all of this harmless. */
	if (!as_nobody("hostile_root", ",+sys_ptrace"))
		return;
	json_t *truth = start("hostile_root", &p, "dlopen", root);
	if (!truth)
		return;
	json_t *before = report();
	ck_assert_msg(!said(before, "libplugin.so", "names"), "%s", said(before, "libplugin.so", "names"));
	shell("cp %s/app/libplugin.so %s/decoy.so && rm %s/app/libplugin.so", root, dir, root);
	snprintf(command, sizeof command, traps[_i].command, dir);
	shell("cd %s/app && %s", root, command);
	json_t *after = report();
	const char *why = said(after, "libplugin.so", "names");
	/* A cut file is the library all the same, as far as it goes. */
	ck_assert_msg(!traps[_i].why || (why && strstr(why, traps[_i].why)), "%s: taken for the library (%s)", traps[_i].name, why ? why : "");
	check_truth(truth, "dlopen", traps[_i].name);
	json_decref(before);
	json_decref(after);
	json_decref(truth);
}
END_TEST

/* The same where a debug file of the program would be, below the root. The decoy beside the root is the right one. */
static const struct {
	const char *name, *command;
	bool found;
} debug_traps[] = {
	{ "a debug file", "cp %s/decoy.debug %s", true },
	{ "a link to one below the root", "mkdir r && cp %s/decoy.debug r && ln -s ../../../../../r/decoy.debug %s", true },
	{ "an absolute link", "ln -s %s/decoy.debug %s", false },
	{ "a link with ..", "ln -s ../../../../../../../../../../../../../../../../../..%s/decoy.debug %s", false },
	{ "a magic link", "ln -s /proc/self/root%s/decoy.debug %s", false },
	{ "a fifo", ": %s && mkfifo %s", false },
	{ "a directory", "ls %s >/dev/null && mkdir %s", false },
	{ "another's debug file", "ls %s >/dev/null && objcopy --only-keep-debug app/libgone.so %s", false },
};
enum { N_DEBUG_TRAPS = sizeof debug_traps / sizeof *debug_traps };

START_TEST(hostile_debug_files)
{
	char command[PATH_MAX], id[128] = "", path[256];
	const struct place p = { .namespaces = CLONE_NEWNS, .below_root = true };
	const char *root = make_root("dlopen");
	if (!as_nobody("hostile_debug_files", ",+sys_ptrace"))
		return;
	shell("objcopy --only-keep-debug %s/app/dlopen %s/decoy.debug && objcopy -S %s/app/dlopen", root, dir, root);
	snprintf(command, sizeof command, "readelf -n %s/app/dlopen | sed -n 's/.*Build ID: //p'", root);
	FILE *f = popen(command, "re");
	ck_assert(f && fgets(id, sizeof id, f) && !pclose(f));
	id[strcspn(id, "\n")] = '\0';
	snprintf(path, sizeof path, "usr/lib/debug/.build-id/%.2s/%s.debug", id, id + 2);
	snprintf(command, sizeof command, debug_traps[_i].command, dir, path);
	shell("cd %s && mkdir -p usr/lib/debug/.build-id/%.2s && %s", root, id, command);
	json_t *truth = start("hostile_debug_files", &p, "dlopen", root), *each;
	if (!truth)
		return;
	const char *argv[] = { flotsam_path(), "modules", target_text, "--format", "json", NULL };
	size_t i;
	int status;
	bool full = false;
	json_t *modules = run_json((char *const *)argv, &status);
	ck_assert_msg(modules && status == 0, "flotsam modules ended with %d", status);
	json_array_foreach(modules, i, each)
		full |= !strcmp(text_of(each, "name"), "dlopen") && !strcmp(text_of(each, "symbols"), "full");
	ck_assert_msg(full == debug_traps[_i].found, "%s: %s", debug_traps[_i].name, full ? "taken" : "not found");
	json_decref(modules);
	json_decref(truth);
}
END_TEST

/* CAP_SYS_PTRACE alone: all but residency, and what is missing has the capability's name with it. */
START_TEST(ptrace_alone)
{
	const struct place p = { 0 };
	json_t *truth = start("ptrace_alone", &p, "dlopen", NULL);
	if (!truth || !as_nobody("ptrace_alone", ",+sys_ptrace"))
		return;
	check_truth(truth, "dlopen", "CAP_SYS_PTRACE alone");
	json_t *r = report();
	ck_assert(json_is_null(json_object_get(json_object_get(json_object_get(r, "heap"), "free"), "nonresident_bytes")));
	ck_assert(said(r, "CAP_DAC_READ_SEARCH", "residency"));
	json_decref(r);
	ck_assert(as_nobody("ptrace_alone", ",+sys_ptrace,+dac_read_search"));
	check_truth(truth, "dlopen", "CAP_DAC_READ_SEARCH too");
	r = report();
	ck_assert(json_is_integer(json_object_get(json_object_get(json_object_get(r, "heap"), "free"), "nonresident_bytes")));
	ck_assert(!said(r, "CAP_DAC_READ_SEARCH", "residency"));
	json_decref(r);
	json_decref(truth);
}
END_TEST

/* A library that was replaced under the process: its file is still the mapped one for who may open that. */
START_TEST(replaced_library)
{
	const struct place p = { .namespaces = CLONE_NEWNS, .below_root = true };
	const char *root = make_root("dlopen");
	json_t *truth = start("replaced_library", &p, "dlopen", root);
	if (!truth || !as_nobody("replaced_library", ",+sys_ptrace"))
		return;
	shell("cd %s/app && cp libgone.so new && mv new libplugin.so", root);
	json_t *r = report();
	ck_assert(said(r, "libplugin.so", "names") && said(r, "CAP_CHECKPOINT_RESTORE", "libplugin.so"));
	json_decref(r);
	ck_assert(as_nobody("replaced_library", ",+sys_ptrace,+dac_read_search,+checkpoint_restore"));
	r = report();
	ck_assert(!said(r, "libplugin.so", "names"));
	json_decref(r);
	check_truth(truth, "dlopen", "replaced library");
	json_decref(truth);
}
END_TEST

static const char *refusal(int want)
{
	static char text[4096];
	char command[PATH_MAX];
	const char *launch = getenv("FLOTSAM_LAUNCH");
	snprintf(command, sizeof command, "%s %s report %s 2>&1 >/dev/null", launch ? launch : "", flotsam_path(), target_text);
	FILE *f = popen(command, "re");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
	text[n] = '\0';
	int status = f ? pclose(f) : -1;
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == want, "status %d: %s", status, text);
	return text;
}

START_TEST(a_namespace_above)
{
	const struct place p = { 0 };
	json_t *truth = start("a_namespace_above", &p, "clean", NULL);
	if (!truth || !have_program("unshare"))
		return;
	/* Below a chroot the kernel makes none (kernel/user_namespace.c: create_user_ns). */
	if (system("unshare -Ur true 2>/dev/null")) {
		puts("SKIP a_namespace_above: needs user namespaces");
		fflush(stdout);
		return;
	}
	setenv("FLOTSAM_LAUNCH", "unshare -Ur", 1);
	const char *text = refusal(3);
	ck_assert_msg(strstr(text, "user namespace above yours"), "%s", text);
	json_decref(truth);
}
END_TEST

/* A copy of flotsam that has capabilities of its own, which every user may run. */
static const char *capable_copy(void)
{
	static char path[PATH_MAX];
	const uint32_t wanted = 1u << CAP_SYS_PTRACE | 1u << CAP_DAC_READ_SEARCH;
	struct vfs_cap_data data = { .magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, .data = { { wanted, 0 } } };
	snprintf(path, sizeof path, "%s/flotsam", dir);
	shell("cp %s %s && chmod 755 %s", flotsam_path(), path, path);
	return setxattr(path, "security.capability", &data, sizeof data, 0) ? NULL : path;
}

START_TEST(rights_of_its_own)
{
	const struct place of_root = { 0 }, of_nobody = { .uid = NOBODY };
	char launch[PATH_MAX];
	if (!as_nobody("rights_of_its_own", ",+sys_ptrace,+dac_read_search"))
		return;
	const char *copy = capable_copy();
	snprintf(launch, sizeof launch, "setpriv --reuid %d --regid %d --clear-groups --inh-caps -all --", NOBODY, NOBODY);
	json_t *truth = start("rights_of_its_own", &of_root, "clean", NULL);
	if (!truth || !copy) {
		puts("SKIP rights_of_its_own: needs a file system with capabilities");
		return;
	}
	setenv("FLOTSAM_LAUNCH", launch, 1);
	setenv("FLOTSAM", copy, 1);
	const char *text = refusal(3);
	ck_assert_msg(strstr(text, "runs as uid 0, you are uid 65534"), "%s", text);
	/* Its own files too: a core that the user may not read is not read for him. */
	char secret[96];
	snprintf(secret, sizeof secret, "%s/secret", dir);
	shell("cp %s %s && chmod 600 %s", fixture_path("clean"), secret, secret);
	snprintf(target_text, sizeof target_text, "%s", "");
	const char *argv[] = { copy, "report", "-c", secret, NULL };
	int status;
	free(run_text((char *const *)argv, &status));
	ck_assert_int_eq(status, 3);
	json_decref(truth);
	child_end(&child);
	truth = start("rights_of_its_own", &of_nobody, "clean", NULL);
	ck_assert(truth != NULL);
	check_truth(truth, "clean", "rights of its own");
	/* What the environment names is not used. */
	setenv("FLOTSAM_SANDBOX", "off", 1);
	const char *verbose[] = { copy, "report", target_text, "-v", NULL };
	char *page = run_text((char *const *)verbose, &status);
	ck_assert_msg(page && status == 0 && strstr(page, "SHUT IN") && !strstr(page, "FLOTSAM_SANDBOX"), "status %d", status);
	free(page);
	/* What the prompt runs and writes is the caller's, without what our file brings along. */
	char to_file[128];
	struct stat st;
	shell("mkdir -m 777 %s/open", dir);
	snprintf(to_file, sizeof to_file, "blocks used count > %s/open/asked", dir);
	const char *asked[] = { copy, "shell", target_text, "-e", "blocks used count | grep -E '^(Uid|CapPrm|CapEff):' /proc/self/status", "-e", to_file, NULL };
	page = run_text((char *const *)asked, &status);
	ck_assert_msg(page && status == 0 && strstr(page, "Uid:\t65534\t65534\t65534\t65534\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"), "%s", page);
	free(page);
	ck_assert(!stat(to_file + strlen("blocks used count > "), &st) && st.st_uid == NOBODY && st.st_size > 0);
	/* Nor does it bring its rights to servers and caches that the environment names. */
	setenv("DEBUGINFOD_URLS", "http://127.0.0.1:9", 1);
	const char *asking[] = { copy, "report", target_text, "--debuginfod", NULL };
	free(run_text((char *const *)asking, &status));
	ck_assert_int_eq(status, 2);
	json_decref(truth);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("places");
	TCase *t = tcase_create("places");
	tcase_add_unchecked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, truth_of_places, 0, N_PLACES * 4);
	tcase_add_loop_test(t, hostile_root, 0, N_TRAPS);
	tcase_add_loop_test(t, hostile_debug_files, 0, N_DEBUG_TRAPS);
	tcase_add_test(t, ptrace_alone);
	tcase_add_test(t, replaced_library);
	tcase_add_test(t, a_namespace_above);
	tcase_add_test(t, rights_of_its_own);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

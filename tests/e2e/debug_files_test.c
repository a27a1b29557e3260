/* Where names come from when the program is stripped: separate debug files by build-id and by .gnu_debuglink, a program that was
 * deleted or replaced, debuginfod when it is asked for. And what must not be taken for a debug file. */
#include "compare.h"
#include "process.h"
#include "scratch.h"

#include <arpa/inet.h>
#include <check.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct child child;
static struct shared { _Atomic int requests; } *server;
static pid_t server_pid;

static bool __attribute__((format(printf, 1, 2))) shell(const char *format, ...)
{
	char command[4096], whole[8192];
	va_list ap;
	va_start(ap, format);
	vsnprintf(command, sizeof command, format, ap);
	va_end(ap);
	/* $id, $a and $b: the build-id, and as it is cut for a path. */
	snprintf(whole, sizeof whole, "cd %s && id=$(cat id) && a=$(cut -c1-2 id) && b=$(cut -c3- id) && : $id $a $b && { %s; }", scratch_directory(), command);
	return system(whole) == 0;
}

/* A program without symbols, its debug file, another program's, and an empty directory for debug files. */
static void setup(void)
{
	char command[4096];
	const char *fixtures = getenv("FIXTURES");
	char *at = realpath(fixtures ? fixtures : "build/release/fixtures", NULL);
	ck_assert(at);
	snprintf(command, sizeof command,
		 "cd %s && mkdir -p bin dbg && readelf -n %s/clean | sed -n 's/.*Build ID: //p' >id && [ -s id ] && objcopy --only-keep-debug %s/clean clean.debug && "
		 "objcopy --only-keep-debug %s/sizes other.debug && objcopy -S %s/clean bin/clean",
		 scratch_directory(), at, at, at, at);
	ck_assert_msg(system(command) == 0, "%s", command);
	free(at);
}

static void end_all(void)
{
	if (server_pid > 0)
		kill(server_pid, SIGKILL);
}

static const struct {
	const char *name;
	const char *before, *after; /* the program runs between them */
	const char *option;
	bool found;
} cases[] = {
	{ "nothing anywhere", ":", ":", "dbg", false },
	{ "build-id", "mkdir -p dbg/.build-id/$a && cp clean.debug dbg/.build-id/$a/$b.debug", ":", "dbg", true },
	{ "build-id, not asked for", "mkdir -p dbg/.build-id/$a && cp clean.debug dbg/.build-id/$a/$b.debug", ":", NULL, false },
	{ "another's build-id", "mkdir -p dbg/.build-id/$a && cp other.debug dbg/.build-id/$a/$b.debug", ":", "dbg", false },
	{ "a fifo", "mkdir -p dbg/.build-id/$a && mkfifo dbg/.build-id/$a/$b.debug", ":", "dbg", false },
	{ "a link to a fifo", "mkdir -p dbg/.build-id/$a && mkfifo f && ln -s ../../../f dbg/.build-id/$a/$b.debug", ":", "dbg", false },
	{ "half a debug file", "mkdir -p dbg/.build-id/$a && head -c 3000 clean.debug >dbg/.build-id/$a/$b.debug", ":", "dbg", false },
	{ "a link beside it", "objcopy --add-gnu-debuglink=clean.debug bin/clean && cp clean.debug bin", ":", NULL, true },
	{ "a link in .debug", "objcopy --add-gnu-debuglink=clean.debug bin/clean && mkdir bin/.debug && cp clean.debug bin/.debug", ":", NULL, true },
	{ "a link below the directory", "objcopy --add-gnu-debuglink=clean.debug bin/clean && mkdir -p dbg$PWD/bin && cp clean.debug dbg$PWD/bin", ":", "dbg", true },
	{ "a link to another's", "cp other.debug bin/clean.debug && objcopy --add-gnu-debuglink=bin/clean.debug bin/clean", ":", NULL, false },
	{ "a link to itself", "cp clean.debug clean && objcopy --add-gnu-debuglink=clean bin/clean", ":", NULL, false },
	{ "no build-id, right checksum",
	  "objcopy -R .note.gnu.build-id --add-gnu-debuglink=clean.debug bin/clean && cp clean.debug bin", ":", NULL, true },
	{ "no build-id, wrong checksum",
	  "objcopy -R .note.gnu.build-id --add-gnu-debuglink=clean.debug bin/clean && cp clean.debug bin && printf x >>bin/clean.debug", ":", NULL, false },
	{ "deleted program", "mkdir -p dbg/.build-id/$a && cp clean.debug dbg/.build-id/$a/$b.debug", "rm bin/clean", "dbg", true },
	{ "replaced program", "mkdir -p dbg/.build-id/$a && cp clean.debug dbg/.build-id/$a/$b.debug", "cp /bin/true new && mv new bin/clean", "dbg", true },
	{ "deleted program with its symbols", "objcopy --strip-debug clean.debug names && eu-unstrip -o bin/clean bin/clean clean.debug 2>/dev/null || exit 77", "rm bin/clean", NULL, true },
};
enum { N_CASES = sizeof cases / sizeof *cases };

static json_t *ask(const char *command, const char *option, const char *value)
{
	char pid[16], *argv[12] = { (char *)(uintptr_t)flotsam_path(), (char *)(uintptr_t)command, pid, (char *)(uintptr_t)"--format", (char *)(uintptr_t)"json" };
	int n = 5, status;
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
	if (option)
		argv[n++] = (char *)(uintptr_t)option;
	if (value)
		argv[n++] = (char *)(uintptr_t)value;
	json_t *j = run_json(argv, &status);
	ck_assert_msg(j && status == 0, "flotsam %s ended with %d", command, status);
	return j;
}

/* Whether the program's own symbols are there: the list of modules says so, and holders have names. */
static bool has_names(const char *option, const char *value)
{
	json_t *modules = ask("modules", option, value), *report = ask("report", option, value), *each;
	size_t i;
	bool full = false, named = false;
	json_array_foreach(modules, i, each)
		full |= !strcmp(text_of(each, "name"), "clean") && !strcmp(text_of(each, "symbols"), "full");
	json_array_foreach(json_object_get(report, "holders"), i, each)
		named |= !strcmp(text_of(each, "name"), "g_orders");
	json_decref(modules);
	json_decref(report);
	ck_assert_msg(full == named, "the list of modules and the names of holders differ");
	return full;
}

static void start(void)
{
	char *argv[] = { (char *)(uintptr_t)"clean", NULL }, bin[96];
	snprintf(bin, sizeof bin, "%s/bin", scratch_directory());
	setenv("FIXTURES", bin, 1);
	ck_assert_msg(child_start(&child, argv, NULL, false), "the program does not start");
	json_t *truth = child_json(&child);
	ck_assert_msg(truth, "the program says nothing");
	json_decref(truth);
	ck_assert(child_settled(&child));
}

START_TEST(by_place)
{
	char value[96];
	if (geteuid() && strcmp(cases[_i].after, ":")) {
		printf("SKIP debug_files %s: needs root, who may open the file that is mapped\n", cases[_i].name);
		fflush(stdout);
		return;
	}
	atexit(end_all);
	setup();
	snprintf(value, sizeof value, "%s/dbg", scratch_directory());
	/* Neither the name nor the servers of somebody's own environment. */
	unsetenv("DEBUGINFOD_URLS");
	if (!shell("%s", cases[_i].before)) {
		printf("SKIP debug_files %s: needs eu-unstrip of elfutils\n", cases[_i].name);
		fflush(stdout);
		return;
	}
	start();
	ck_assert(shell("%s", cases[_i].after));
	ck_assert_msg(has_names(cases[_i].option ? "--debug-dir" : NULL, cases[_i].option ? value : NULL) == cases[_i].found, "%s: %s", cases[_i].name,
		      cases[_i].found ? "not found" : "taken");
}
END_TEST

static void answer(int fd, const char *id)
{
	char request[4096], want[256], head[128];
	size_t n = 0;
	ssize_t k;
	while (n < sizeof request - 1 && (k = read(fd, request + n, sizeof request - 1 - n)) > 0) {
		n += (size_t)k;
		request[n] = '\0';
		if (strstr(request, "\r\n\r\n"))
			break;
	}
	snprintf(want, sizeof want, "GET /buildid/%s/debuginfo ", id);
	char path[96];
	snprintf(path, sizeof path, "%s/clean.debug", scratch_directory());
	FILE *f = n && !strncmp(request, want, strlen(want)) ? fopen(path, "re") : NULL;
	struct stat st = { 0 };
	if (f)
		fstat(fileno(f), &st);
	snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %lld\r\nConnection: close\r\n\r\n", f ? "200 OK" : "404 Not Found", (long long)st.st_size);
	dprintf(fd, "%s", head);
	for (char bytes[4096]; f && (n = fread(bytes, 1, sizeof bytes, f)) > 0;)
		for (size_t done = 0; done < n; done += (size_t)k)
			if ((k = write(fd, bytes + done, n - done)) <= 0)
				_exit(1);
	if (f)
		fclose(f);
}

/* On loopback alone; the port is the kernel's choice. */
static void start_server(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof a;
	char id[128] = "", text[96];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(text, sizeof text, "%s/id", scratch_directory());
	FILE *f = fopen(text, "re");
	ck_assert(f && fgets(id, sizeof id, f) && !fclose(f));
	id[strcspn(id, "\n")] = '\0';
	server = mmap(NULL, sizeof *server, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(server != MAP_FAILED && fd >= 0 && !bind(fd, (struct sockaddr *)&a, sizeof a) && !listen(fd, 64) && !getsockname(fd, (struct sockaddr *)&a, &size));
	server_pid = fork();
	if (!server_pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int one; (one = accept(fd, NULL, NULL)) >= 0; close(one)) {
			server->requests++;
			answer(one, id);
		}
		_exit(0);
	}
	close(fd);
	snprintf(text, sizeof text, "http://127.0.0.1:%d", ntohs(a.sin_port));
	setenv("DEBUGINFOD_URLS", text, 1);
	snprintf(text, sizeof text, "%s/cache", scratch_directory());
	setenv("DEBUGINFOD_CACHE_PATH", text, 1);
	setenv("DEBUGINFOD_TIMEOUT", "60", 1);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
}

START_TEST(debuginfod_on_request)
{
	atexit(end_all);
	setup();
	start_server();
	start();
	ck_assert(!has_names(NULL, NULL));
	ck_assert_int_eq(server->requests, 0);
	char pid[16];
	int status;
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
	const char *argv[] = { flotsam_path(), "modules", pid, "--debuginfod", "--format", "json", NULL };
	json_t *j = run_json((char *const *)argv, &status);
	if (!j && status == 3 && system("ldconfig -p 2>/dev/null | grep -q libdebuginfod") != 0) {
		puts("SKIP debug_files debuginfod: needs libdebuginfod1");
		return;
	}
	ck_assert_msg(j && status == 0, "flotsam modules --debuginfod ended with %d", status);
	json_decref(j);
	ck_assert_int_gt(server->requests, 0);
	ck_assert(has_names("--debuginfod", NULL));
	/* A server that has another's file, and one that has none. */
	ck_assert(shell("rm -rf cache && cp other.debug clean.debug"));
	ck_assert(!has_names("--debuginfod", NULL));
	ck_assert(shell("rm -rf cache clean.debug"));
	ck_assert(!has_names("--debuginfod", NULL));
	unsetenv("DEBUGINFOD_URLS");
	free(run_text((char *const *)argv, &status));
	ck_assert_int_eq(status, 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("debug_files");
	TCase *t = tcase_create("debug_files");
	tcase_add_loop_test(t, by_place, 0, N_CASES);
	tcase_add_test(t, debuginfod_on_request);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

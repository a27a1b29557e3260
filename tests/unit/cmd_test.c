/* cmd: how words become a target, which options there are, and what a wrong line is told. */
#include <check.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "flotsam/cmd.h"

static struct arguments a;

static struct err *parse(const char *line)
{
	static char words[512];
	char *argv[32] = { (char *)(uintptr_t)"flotsam" }, *save = NULL;
	int argc = 1;
	snprintf(words, sizeof words, "%s", line);
	for (char *w = strtok_r(words, " ", &save); w && argc < 31; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	return arguments_parse(argc, argv, &a);
}

static void accept(const char *line)
{
	struct err *e = parse(line);
	ck_assert_msg(!e, "'%s': %s", line, e ? e->text : "");
}

static void refuse(const char *line, const char *text, const char *hint)
{
	struct err *e = parse(line);
	ck_assert_msg(e, "'%s' was taken", line);
	ck_assert_msg(e->kind == ERR_USAGE, "'%s': kind %d", line, (int)e->kind);
	ck_assert_msg(strstr(e->text, text), "'%s': %s", line, e->text);
	ck_assert_msg(!hint || (e->hint && strstr(e->hint, hint)), "'%s': hint %s", line, e->hint ? e->hint : "none");
	err_free(e);
}

static void target_is(const char *line, const char *command, const char *kind, const char *target, const char *exe)
{
	accept(line);
	ck_assert_str_eq(a.command->name, command);
	ck_assert_msg(!strcmp(a.kind, kind) && !strcmp(a.target, target), "'%s' is %s %s", line, a.kind, a.target);
	ck_assert_msg(exe ? a.session.target.core_exe && !strcmp(a.session.target.core_exe, exe) : !a.session.target.core_exe, "'%s': program %s", line,
		      a.session.target.core_exe ? a.session.target.core_exe : "none");
}

START_TEST(words_become_targets)
{
	target_is("4242", "report", "live", "4242", NULL);
	target_is("-p 4242", "report", "live", "4242", NULL);
	target_is("-p4242", "report", "live", "4242", NULL);
	target_is("report 4242", "report", "live", "4242", NULL);
	target_is("blocks -p 4242", "blocks", "live", "4242", NULL);
	target_is("-p 4242 blocks", "blocks", "live", "4242", NULL);
}
END_TEST

START_TEST(paths_become_cores)
{
	target_is("./4242", "report", "core", "./4242", NULL);
	target_is("/nowhere/core", "report", "core", "/nowhere/core", NULL);
	target_is("Makefile", "report", "core", "Makefile", NULL);
	target_is("-- ./report", "report", "core", "./report", NULL);
	target_is("-c core.1", "report", "core", "core.1", NULL);
	target_is("-c core.1 /bin/ls", "report", "core", "core.1", "/bin/ls");
	target_is("/bin/ls -c core.1", "report", "core", "core.1", "/bin/ls");
	target_is("ls -c core.1", "report", "core", "core.1", "ls");
	target_is("blocks ./core.1 /bin/ls", "blocks", "core", "./core.1", "/bin/ls");
}
END_TEST

START_TEST(the_machine_needs_no_target)
{
	accept("system");
	ck_assert(!a.target && a.command->target == TARGET_UNSEEN);
	target_is("system 4242", "system", "live", "4242", NULL);
	accept("system --root /saved 4242");
	ck_assert_str_eq(a.root, "/saved");
	refuse("system ./core.1", "takes a process or nothing", NULL);
	refuse("system -c core.1", "takes a process or nothing", NULL);
	refuse("system --root /saved nginx", "named by its number", NULL);
	refuse("report 1 --root /saved", "report takes no --root", "flotsam system");
}
END_TEST

/* A child that is called so, until it is ended. */
static pid_t named_child(const char *name)
{
	int ready[2];
	char c;
	ck_assert(!pipe2(ready, O_CLOEXEC));
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, name);
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void end_child(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(names_become_processes)
{
	char name[16], line[64], pid_text[2][16];
	pid_t pids[2];
	snprintf(name, sizeof name, "fs-%x", (unsigned)getpid());
	snprintf(line, sizeof line, "blocks %s", name);
	struct err *e = parse(line);
	ck_assert(e && e->kind == ERR_NOT_FOUND);
	err_free(e);
	pids[0] = named_child(name);
	snprintf(pid_text[0], sizeof pid_text[0], "%d", (int)pids[0]);
	target_is(line, "blocks", "live", pid_text[0], NULL);
	pids[1] = named_child(name);
	snprintf(pid_text[1], sizeof pid_text[1], "%d", (int)pids[1]);
	refuse(line, "2 processes are called", pid_text[0]);
	refuse(line, "2 processes are called", pid_text[1]);
	end_child(pids[0]);
	end_child(pids[1]);
}
END_TEST

START_TEST(base_name_of_the_executable_will_do)
{
	char exe[512], line[600], pid_text[16];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	ck_assert_int_gt(n, 0);
	exe[n] = '\0';
	/* This test runs in a child of its own main, which has the same executable: with one more there are two. */
	pid_t pid = named_child("otherwise");
	snprintf(line, sizeof line, "%s", strrchr(exe, '/') + 1);
	snprintf(pid_text, sizeof pid_text, "%d", (int)pid);
	refuse(line, "processes are called", pid_text);
	end_child(pid);
}
END_TEST

START_TEST(options_arrive)
{
	accept("blocks 1 --format=csv -o out.csv --top 0 --color=never --show-content --class definite --state tcache --min-size 4096");
	ck_assert_str_eq(a.format, "csv");
	ck_assert_str_eq(a.output, "out.csv");
	ck_assert_uint_eq(a.top, 0);
	ck_assert_str_eq(a.color, "never");
	ck_assert(a.show_content);
	ck_assert_str_eq(a.class, "definite");
	ck_assert_str_eq(a.state, "tcache");
	ck_assert_uint_eq(a.min_size, 4096);
	accept("1 -q -v --max-stop 0.25 --no-restart-fix --force --scan-shared --swap --spool /tmp --sysroot /r --debug-dir /d");
	const struct target_options *t = &a.session.target;
	ck_assert(a.quiet && a.verbose && t->no_restart_fix && t->force && t->scan_shared && t->read_swap);
	ck_assert_double_eq(t->max_stop, 0.25);
	ck_assert_str_eq(t->spool_dir, "/tmp");
	ck_assert_str_eq(t->sysroot, "/r");
	ck_assert_str_eq(a.session.modules.debug_dir, "/d");
	accept("1 --no-vector-roots --unaligned --tagged --interior=ignore --no-rule dtv --no-rule tsearch --threads 3");
	const struct graph_options *g = &a.session.graph;
	ck_assert(g->no_vector_roots && g->unaligned && g->tagged);
	ck_assert_int_eq(g->interior, INTERIOR_IGNORE);
	ck_assert_uint_eq(g->rules_off, 1u << RULE_DTV | 1u << RULE_TSEARCH);
	ck_assert_int_eq(g->threads, 3);
	accept("1");
	ck_assert_str_eq(a.format, "text");
	ck_assert_uint_gt(a.top, 0);
	ck_assert(!a.quiet && !a.show_content && !a.session.target.force);
}
END_TEST

START_TEST(wrong_lines_are_told_why)
{
	refuse("", "which process or core", "flotsam PID");
	refuse("report", "which process or core", NULL);
	refuse("1 2", "one target at a time: '1' and '2'", NULL);
	refuse("bloks 1", "one target at a time", "flotsam blocks?");
	refuse("1 -p 2", "one target at a time", NULL);
	refuse("-p 1 -c core", "one target at a time", NULL);
	refuse("-c one -c two", "one target at a time", NULL);
	refuse("-p", "-p needs PID", NULL);
	refuse("-p x", "takes a number", NULL);
	refuse("--frmat json 1", "unknown option '--frmat'", "--format?");
	refuse("--colour=never 1", "unknown option", "--color?");
	refuse("-z 1", "unknown option '-z'", "--help");
	refuse("-qv 1", "unknown option '-qv'", NULL);
	refuse("--force=yes 1", "takes no value", NULL);
	refuse("--format xml 1", "'xml' is no format of report", "text, json");
	refuse("blocks 1 --format xml", "'xml' is no format of blocks", "text, json, jsonl, csv");
	refuse("--color=sometimes 1", "auto, always, never", NULL);
	refuse("--top -1 1", "takes a number", NULL);
	refuse("--top 5x 1", "takes a number", NULL);
	refuse("--top 99999999999999999999 1", "takes a number", NULL);
	refuse("--max-stop 0 1", "--max-stop takes seconds", NULL);
	refuse("--max-stop nan 1", "--max-stop takes seconds", NULL);
	refuse("--interior=maybe 1", "possible, reachable, ignore", NULL);
	refuse("--no-rule x 1", "no interior rule", "new-array");
	refuse("--class lost blocks 1", "definite", NULL);
	refuse("blocks 1 --state lost-and-found", "is no state of a block", "tcache");
	refuse("report 1 --class definite", "report takes none of --class", "flotsam blocks");
	refuse("help nothing", "'nothing' is no command", "report");
}
END_TEST

static char *help_text(const char *line)
{
	struct out o;
	accept(line);
	ck_assert(a.help);
	out_init(&o, memfd_create("help", MFD_CLOEXEC), "never");
	help_print(&o, a.command);
	out_flush(&o);
	char *text = calloc(1, 1 << 16);
	ck_assert_int_gt(pread(o.fd, text, (1 << 16) - 1, 0), 0);
	close(o.fd);
	out_deinit(&o);
	return text;
}

START_TEST(help_fits_and_is_complete)
{
	static const char *const lines[] = { "--help", "-h", "help", "help report", "report --help", "help blocks", "blocks -h" };
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		char *text = help_text(lines[i]), *save = NULL;
		ck_assert_msg(strstr(text, "--max-stop"), "%s", lines[i]);
		ck_assert_msg(!strstr(lines[i], "report") == !!strstr(text, "--class"), "%s: filters", lines[i]);
		for (size_t k = 0; !strpbrk(lines[i], "rb") && command_get(k); k++)
			ck_assert_msg(strstr(text, command_get(k)->summary), "%s lacks %s", lines[i], command_get(k)->name);
		for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
			ck_assert_msg(strlen(line) <= 80, "%s: %zu columns: %s", lines[i], strlen(line), line);
		free(text);
	}
}
END_TEST

START_TEST(commands_have_what_help_needs)
{
	size_t n = 0;
	for (const struct command *c; (c = command_get(n)); n++) {
		ck_assert_ptr_eq(command_by_name(c->name), c);
		/* What has no run() is front's own: it needs more than a session. */
		ck_assert_msg(c->run || strstr(" shell time watch exercise run ", c->name), "%s does nothing", c->name);
		ck_assert_msg(c->summary && c->help && c->formats[0], "%s: help has nothing to say", c->name);
		ck_assert_msg(strlen(c->summary) <= 53, "%s: the line of help is wider than 80 columns", c->name);
		ck_assert_msg(strstr(c->help, c->name), "the help of %s has no example", c->name);
	}
	ck_assert_uint_ge(n, 2);
	ck_assert_ptr_null(command_by_name("repor"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cmd");
	TCase *t = tcase_create("cmd");

	setlocale(LC_ALL, "C.UTF-8");
	tcase_add_test(t, words_become_targets);
	tcase_add_test(t, paths_become_cores);
	tcase_add_test(t, the_machine_needs_no_target);
	tcase_add_test(t, names_become_processes);
	tcase_add_test(t, base_name_of_the_executable_will_do);
	tcase_add_test(t, options_arrive);
	tcase_add_test(t, wrong_lines_are_told_why);
	tcase_add_test(t, help_fits_and_is_complete);
	tcase_add_test(t, commands_have_what_help_needs);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}

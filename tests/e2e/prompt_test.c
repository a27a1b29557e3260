/* The prompt on a terminal of its own, and fed by options and pipes: completion, history, Ctrl-C, pager, redirection, pasted
 * lines, foreign bytes. */
#include "process.h"
#include "scratch.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct child target;
static char pid[16];

struct terminal {
	pid_t pid;
	int fd;
	char seen[1 << 17]; /* since the last terminal_forget() */
	size_t n;
};

static void start(char *fixture)
{
	char *argv[] = { fixture, NULL };
	ck_assert(child_start(&target, argv, NULL, false));
	json_decref(child_json(&target));
	ck_assert(child_settled(&target));
	snprintf(pid, sizeof pid, "%d", (int)target.pid);
	setenv("XDG_STATE_HOME", scratch_directory(), 1);
	unsetenv("PAGER");
}

static void set_up(void)
{
	start((char[]){ "rings" });
}

static void set_up_foreign(void)
{
	start((char[]){ "commands" });
}

static void set_up_many(void)
{
	start((char[]){ "many" });
}

static unsigned short columns = 80;

static void terminal_open(struct terminal *t, unsigned short rows, const char *term)
{
	struct winsize size = { .ws_row = rows, .ws_col = columns };
	memset(t, 0, sizeof *t);
	t->pid = forkpty(&t->fd, NULL, NULL, &size);
	ck_assert_int_ge(t->pid, 0);
	if (t->pid == 0) {
		setenv("TERM", term, 1);
		setenv("INPUTRC", "/dev/null", 1);
		execl(flotsam_path(), "flotsam", "shell", pid, (char *)NULL);
		_exit(127);
	}
}

/* Reads until the text was seen `times` times since the last terminal_forget(), at most for so many tenths of a second. */
static bool terminal_expect(struct terminal *t, const char *text, int times, int tenths)
{
	for (int left = tenths; left > 0; left--) {
		int n = 0;
		for (const char *p = t->seen; (p = strstr(p, text)); p += strlen(text))
			n++;
		if (n >= times)
			return true;
		struct pollfd p = { t->fd, POLLIN, 0 };
		if (poll(&p, 1, 100) <= 0)
			continue;
		ssize_t k = read(t->fd, t->seen + t->n, sizeof t->seen - 1 - t->n);
		if (k <= 0)
			break;
		t->n += (size_t)k;
		t->seen[t->n] = '\0';
	}
	return false;
}

static void terminal_forget(struct terminal *t)
{
	t->n = 0;
	t->seen[0] = '\0';
}

static void terminal_type(struct terminal *t, const char *keys)
{
	ck_assert_int_eq(write(t->fd, keys, strlen(keys)), (ssize_t)strlen(keys));
}

#define EXPECT(t, text, times) ck_assert_msg(terminal_expect(t, text, times, 600), "'%s' does not appear: %s", text, (t)->seen)

static void terminal_end(struct terminal *t)
{
	int status = -1;
	terminal_type(t, "quit\r");
	while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR)
		;
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "status %x", (unsigned)status);
	close(t->fd);
}

START_TEST(completes_and_remembers)
{
	struct terminal t;
	terminal_open(&t, 50, "xterm");
	EXPECT(&t, "rings> ", 1);
	terminal_type(&t, "bloc\tcla\t");
	EXPECT(&t, "blocks class=", 1);
	terminal_type(&t, "definite count\r");
	EXPECT(&t, "blocks\r\n", 1);
	EXPECT(&t, "rings> ", 2);
	terminal_forget(&t);
	terminal_type(&t, "who g_ri\t");
	EXPECT(&t, "g_ring", 1);
	terminal_type(&t, "\r");
	EXPECT(&t, "rings> ", 1);
	terminal_forget(&t);
	/* Up twice: the command before the last. */
	terminal_type(&t, "\033[A\033[A");
	EXPECT(&t, "class=definite count", 1);
	terminal_type(&t, "\r");
	EXPECT(&t, "rings> ", 1);
	terminal_end(&t);

	/* Another sitting has the history of the first, in a file that is the user's alone. */
	struct stat st;
	char path[300];
	snprintf(path, sizeof path, "%s/flotsam/history", scratch_directory());
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	terminal_open(&t, 50, "xterm");
	EXPECT(&t, "rings> ", 1);
	terminal_forget(&t);
	terminal_type(&t, "\033[A\033[A");
	EXPECT(&t, "class=definite count", 1);
	terminal_type(&t, "\r");
	EXPECT(&t, "rings> ", 1);
	terminal_end(&t);
}
END_TEST

START_TEST(interrupts)
{
	struct terminal t;
	terminal_open(&t, 50, "xterm");
	EXPECT(&t, "rings> ", 1);
	terminal_forget(&t);
	/* A half-typed line is thrown away. */
	terminal_type(&t, "no such thing\003");
	EXPECT(&t, "rings> ", 1);
	terminal_forget(&t);
	terminal_type(&t, "blocks used count\r");
	EXPECT(&t, "blocks\r\n", 1);
	EXPECT(&t, "rings> ", 1);
	terminal_forget(&t);
	/* A command that waits ends, and with it what it waits for; the sitting goes on. */
	terminal_type(&t, "blocks | sleep 1000\r");
	EXPECT(&t, "sleep 1000\r\n", 1);
	/* What is just being started may miss the first. */
	for (int i = 0; i < 60; i++) {
		terminal_type(&t, "\003");
		if (terminal_expect(&t, "rings> ", 1, 10))
			break;
	}
	EXPECT(&t, "rings> ", 1);
	terminal_forget(&t);
	terminal_type(&t, "blocks used count\r");
	EXPECT(&t, "blocks\r\n", 1);
	terminal_end(&t);
}
END_TEST

START_TEST(pages)
{
	struct terminal t;
	setenv("PAGER", "sed 's/^/PAGED /'", 1);
	terminal_open(&t, 8, "xterm");
	EXPECT(&t, "rings> ", 1);
	terminal_type(&t, "blocks used\r");
	EXPECT(&t, "PAGED ", 8);
	EXPECT(&t, "rings> ", 2);
	terminal_forget(&t);
	terminal_type(&t, "blocks used count\r");
	EXPECT(&t, "rings> ", 1);
	ck_assert_ptr_null(strstr(t.seen, "PAGED"));
	terminal_end(&t);
	/* No pager where the terminal cannot be driven. */
	terminal_open(&t, 8, "dumb");
	EXPECT(&t, "rings> ", 1);
	terminal_type(&t, "blocks used\r");
	EXPECT(&t, "rings> ", 2);
	ck_assert_ptr_null(strstr(t.seen, "PAGED"));
	ck_assert_ptr_null(strchr(t.seen, '\033'));
	terminal_end(&t);
}
END_TEST

START_TEST(pasted_lines_run_one_by_one)
{
	struct terminal t;
	terminal_open(&t, 50, "xterm");
	EXPECT(&t, "rings> ", 1);
	terminal_forget(&t);
	/* Bracketed paste, as xterm sends it. */
	terminal_type(&t, "\033[200~blocks leaked count\nblocks used count\n\033[201~\r");
	EXPECT(&t, "blocks\r\n", 2);
	terminal_end(&t);
}
END_TEST

/* A narrow terminal: sentences are broken between words, and strips are as wide as it. */
START_TEST(narrow_and_wide)
{
	static const struct { unsigned short columns; const char *line, *begin; int least, most; } t[] = {
		{ 40, "why L1", "usable bytes", 30, 40 }, { 40, "map", "0x", 40, 40 }, { 100, "why L1", "usable bytes", 60, 80 }, { 100, "map", "0x", 90, 100 },
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct terminal term;
		int widest = 0;
		columns = t[i].columns;
		terminal_open(&term, 200, "dumb");
		EXPECT(&term, "rings> ", 1);
		terminal_forget(&term);
		terminal_type(&term, t[i].line);
		terminal_type(&term, "\r");
		EXPECT(&term, "rings> ", 1);
		const char *at = strchr(term.seen, '\n');
		ck_assert_msg(at && strstr(at, t[i].begin), "%s", term.seen);
		for (const char *end; (end = strstr(++at, "\r\n")); at = end + 1) {
			bool strip = !strncmp(at, "0x", 2) && memchr(at, ':', (size_t)(end - at));
			int n = (int)(end - at);
			/* Other lines of map are short, or end where a sentence does. */
			if (t[i].line[0] == 'w' || strip)
				widest = n > widest ? n : widest;
		}
		ck_assert_msg(widest >= t[i].least && widest <= t[i].most, "%s at %d: %d wide: %s", t[i].line, t[i].columns, widest, term.seen);
		terminal_end(&term);
	}
	columns = 80;
}
END_TEST

static char *sit(const char *commands[], size_t n, int *ret_status)
{
	const char *argv[32] = { flotsam_path(), "shell", pid };
	size_t k = 3;
	for (size_t i = 0; i < n; i++) {
		argv[k++] = "-e";
		argv[k++] = commands[i];
	}
	return run_text((char *const *)argv, ret_status);
}

START_TEST(runs_scripts)
{
	int status;
	char path[300], line[400];
	snprintf(path, sizeof path, "%s/out", scratch_directory());
	snprintf(line, sizeof line, "blocks leaked --format jsonl > %s", path);
	const char *commands[] = { "let lost = leaked", "lost count", "blocks used - lost count", line, "blocks leaked --format jsonl | wc -l" };
	char *text = sit(commands, 5, &status);
	ck_assert_int_eq(status, 0);
	/* What a set leaves out and what it holds make the whole. */
	unsigned long lost = 0, rest = 0, lines = 0;
	const char *p = strchr(text, '\n');
	ck_assert_msg(p && sscanf(p, " %lu blocks %lu blocks %lu", &lost, &rest, &lines) == 3, "%s", text);
	free(text);
	const char *count[] = { "blocks used count" };
	text = sit(count, 1, &status);
	ck_assert_uint_eq(strtoul(text, NULL, 10), lost + rest);
	free(text);
	ck_assert_uint_eq(lines, lost + 1);
	struct stat st;
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	FILE *f = fopen(path, "r");
	unsigned long in_file = 0;
	for (int c; (c = fgetc(f)) != EOF;)
		in_file += c == '\n';
	fclose(f);
	ck_assert_uint_eq(in_file, lost + 1);
}
END_TEST

static char *contents(const char *path)
{
	char *text = calloc(1, 65536);
	FILE *f = fopen(path, "r");
	ck_assert(f && text && fread(text, 1, 65535, f) > 0);
	fclose(f);
	return text;
}

/* -o behind shell takes what all commands print; -o of one command that command's alone. */
START_TEST(writes_files)
{
	char whole[300], one[300], command[400];
	snprintf(whole, sizeof whole, "%s/whole", scratch_directory());
	snprintf(one, sizeof one, "%s/one", scratch_directory());
	snprintf(command, sizeof command, "blocks used count -o %s", one);
	char *argv[] = { (char *)flotsam_path(), (char[]){ "shell" }, pid, (char[]){ "-o" }, whole, (char[]){ "-e" }, (char[]){ "blocks used count" },
			 (char[]){ "-e" }, command, (char[]){ "-e" }, (char[]){ "blocks free count" }, NULL };
	int status;
	free(run_text(argv, &status));
	ck_assert_int_eq(status, 0);
	char *all = contents(whole), *some = contents(one), *second = strchr(all, '\n');
	ck_assert_msg(second && strchr(second + 1, '\n') && !strchr(second + 1, '\n')[1], "%s", all);
	ck_assert_msg(!strncmp(all, some, strlen(some)), "%s%s", all, some);
	free(all);
	free(some);
}
END_TEST

START_TEST(errors_cost_a_line)
{
	int status;
	const char *commands[] = { "blokcs", "who 7", "show 0x1", "blocks size>>3", "blocks used cou", "let x = ", "blocks used count" };
	char *text = sit(commands, 7, &status);
	ck_assert_int_eq(status, 2);
	ck_assert_msg(strstr(text, "blocks\n"), "%s", text);
	free(text);
	/* The nearest names; the beginning of one name is enough, that of several is not. */
	char shell[256];
	snprintf(shell, sizeof shell, "'%s' shell %s -e blokcs -e 'thr --format jsonl' -e t 2>&1", flotsam_path(), pid);
	char *argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, shell, NULL };
	text = run_text(argv, &status);
	ck_assert_msg(strstr(text, "did you mean blocks?") && strstr(text, "{\"thread\":1,") && strstr(text, "'t' may be several commands"), "%s", text);
	ck_assert_msg(strstr(text, "threads, ") && strstr(text, "tcache"), "%s", text);
	free(text);
}
END_TEST

/* An error names the way on. */
START_TEST(errors_help)
{
	static const struct { const char *line, *text; } wrong[] = {
		{ "path H1", "tree H1 lists what it keeps, retained H1 how much that is" },
		{ "show H1", "a root, which nothing keeps, and no block" },
		{ "why H99", "report --top 0" },
		{ "leaks", "leaked each block" },
		{ "bt", "stack" },
		{ "blocks L99", "the groups of leaks end with L" },
		{ "leakd", "no command is called 'leakd'" },
		{ "blocks ((leaked)", "( is not closed" },
		{ "blocks leaked)", ") closes nothing" },
		{ "blocks leaked & ()", "a filter is missing in front of )" },
		{ "blocks (leaked + ) used", "a filter is missing in front of )" },
		{ "blocks size=9..3", "'9..3' is an empty range" },
		{ "blocks size=9..", "'9..' is no range" },
		{ "blocks newer=0x10", "no block of the heap is at 0x10" },
		{ "blocks ((((((((((((((((leaked))))))))))))))))) count", ") closes nothing" },
		{ "blocks (((((((((((((((((leaked))))))))))))))))) count", "more than 16 brackets" },
	};
	char shell[256];
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		int status;
		snprintf(shell, sizeof shell, "'%s' shell %s -e '%s' 2>&1", flotsam_path(), pid, wrong[i].line);
		char *argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, shell, NULL }, *text = run_text(argv, &status);
		ck_assert_msg(status != 0 && strstr(text, wrong[i].text), "%s: %s", wrong[i].line, text);
		free(text);
	}
}
END_TEST

/* What a line of the report says of a holder is what the commands say of its number, a combination of holders included. */
START_TEST(holders_by_number)
{
	char *argv[] = { (char *)(uintptr_t)flotsam_path(), (char[]){ "report" }, pid, (char[]){ "--format" }, (char[]){ "json" }, (char[]){ "--top" }, (char[]){ "0" }, NULL };
	int status, n;
	json_t *report = run_json(argv, &status), *holders = json_object_get(report, "holders"), *h;
	size_t i, k;
	ck_assert_uint_ge(json_array_size(holders), 3);
	json_array_foreach(holders, i, h) {
		char line[64];
		if (i == 6)
			break;
		for (int tree = 0; tree < 2; tree++) {
			json_int_t bytes = 0, blocks = 0;
			json_t *row;
			n = snprintf(line, sizeof line, tree ? "tree H%zu top 0 --format json" : "retained H%zu --format json", i + 1);
			ck_assert_int_lt(n, (int)sizeof line);
			char *sit_argv[] = { (char *)(uintptr_t)flotsam_path(), (char[]){ "shell" }, pid, (char[]){ "-e" }, line, NULL };
			json_t *said = run_json(sit_argv, &status);
			ck_assert_msg(json_array_size(said), "%s says nothing", line);
			json_array_foreach(said, k, row) {
				bytes += json_integer_value(json_object_get(row, "retained_bytes"));
				blocks += json_integer_value(json_object_get(row, "retained_blocks"));
			}
			ck_assert_msg(bytes == json_integer_value(json_object_get(h, "retained_bytes")), "%s: %lld bytes", line, (long long)bytes);
			ck_assert_msg(blocks == json_integer_value(json_object_get(h, "retained_blocks")), "%s: %lld blocks", line, (long long)blocks);
			json_decref(said);
		}
	}
	json_decref(report);
	/* `top N` is --top N. */
	const char *words[] = { "report top 2" }, *option[] = { "report --top 2" };
	char *one = sit(words, 1, &status), *other = sit(option, 1, &status), *listed = strstr(one, "KEPT ALIVE");
	ck_assert_msg(listed && strstr(listed, "  H2 ") && !strstr(listed, "  H3 "), "%s", one);
	ck_assert_str_eq(listed, strstr(other, "KEPT ALIVE"));
	free(one);
	free(other);
}
END_TEST

/* Numbers stay: the same item before and after another picture. */
START_TEST(refreshes)
{
	int status;
	const char *commands[] = { "blocks leaked top 1", "refresh", "why 1" };
	char *text = sit(commands, 3, &status);
	ck_assert_int_eq(status, 0);
	const char *address = strstr(text, "0x"), *again = strstr(text, "New picture: stopped");
	ck_assert_msg(address && again, "%s", text);
	char wanted[32];
	snprintf(wanted, sizeof wanted, "%.*s", (int)strspn(address, "0123456789abcdefx"), address);
	ck_assert_msg(strstr(again, wanted) && strstr(again, "has leaked"), "%s", text);
	free(text);
}
END_TEST

static const char *row_of(const char *text, const char *what, unsigned long *ret_n, unsigned long long *ret_address)
{
	const char *at = strstr(text, what);
	while (at && at > text && at[-1] != '\n')
		at--;
	ck_assert_msg(at && sscanf(at, "%lu 0x%llx", ret_n, ret_address) == 2, "no numbered row of '%s': %s", what, text);
	return at;
}

/* Numbers of mappings, modules and heaps are operands, and stay so behind a refresh. */
START_TEST(ranges_have_numbers)
{
	static const struct { const char *list, *row, *line, *wanted; } t[] = {
		{ "maps", "heap of the main arena", "maps %lu", "0x%llx: " },
		{ "maps", "heap of the main arena", "x/gx %lu", "0x%llx:\t" },
		{ "maps", "heap of the main arena", "map %lu", "0x%llx: " },
		{ "modules", "libc.so.6", "maps %lu", "0x%llx: libc.so.6" },
		{ "heaps", "   0  ", "map %lu", "0x%llx: " },
		{ "heaps", "   0  ", "find %lu", "mp_+0x" }, /* sbrk_base */
	};
	int status;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		unsigned long n, again;
		unsigned long long address, same;
		char line[64], wanted[64];
		const char *list[] = { t[i].list };
		char *text = sit(list, 1, &status);
		row_of(text, t[i].row, &n, &address);
		free(text);
		snprintf(line, sizeof line, t[i].line, n);
		const char *commands[] = { t[i].list, "refresh", line, t[i].list };
		text = sit(commands, 4, &status);
		ck_assert_int_eq(status, 0);
		snprintf(wanted, sizeof wanted, t[i].wanted, address);
		char *answer = strstr(text, "New picture");
		ck_assert_msg(answer && strstr(answer, wanted), "%s: no '%s': %s", line, wanted, text);
		char *listed = strstr(answer, "    N  START");
		row_of(listed ? listed : answer, t[i].row, &again, &same);
		ck_assert_msg(again == n && same == address, "%lu is %lu", n, again);
		free(text);
	}
}
END_TEST

/* What lists say that have nothing to list; which numbers are items and which are not. */
START_TEST(empty_lists_and_numbers)
{
	static const struct { const char *line, *text, *not; } wanted[] = {
		{ "sets", "let NAME = FILTER", "BYTES" },
		{ "blocks size=77777777", "is like that", "ADDRESS" },
		{ "find no-such-text-anywhere", "0 places in", "ADDRESS" },
		{ "find 300", "find text:300", "places in" },
		{ "find text:300", "in ", "find text" },
		{ "bins", "", "no blocks" },
		{ "tcache 1", "bins", "no thread" },
		{ "map arena 0", "arena 0, ", "arena 1" },
		{ "report top", "one word too many", NULL },
		{ "report top x", "one word too many", NULL },
		{ "objects dict 3", "objects takes no", "what is" },
		{ "blocks used top 1", "CLASS       LABEL", "STACK" },
		{ "blocks used top 1 -v", "STACK  ARENA  LABEL", NULL },
		{ "blocks used top 1 --format json", "\"stack_only\":", NULL },
		{ "blocks used group by label top 1", "FIRST\n", NULL },
		{ "map arena 9", "there is no arena 9", NULL },
		{ "map arena", "needs its number", NULL },
		{ "map 0 1", "one word too many", NULL },
	};
	char shell[256];
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		int status;
		snprintf(shell, sizeof shell, "'%s' shell %s -e '%s' 2>&1", flotsam_path(), pid, wanted[i].line);
		char *argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, shell, NULL }, *text = run_text(argv, &status);
		/* The tables above 80 columns wide would be broken by the terminal. */
		for (const char *at = text, *end; strncmp(wanted[i].line, "blocks", 6) == 0 && !strstr(wanted[i].line, "-") && (end = strchr(at, '\n')); at = end + 1)
			ck_assert_msg(end - at <= 80, "%s: %s", wanted[i].line, at);
		ck_assert_msg(strstr(text, wanted[i].text) && (!wanted[i].not || !strstr(text, wanted[i].not)), "%s: %s", wanted[i].line, text);
		free(text);
	}
}
END_TEST

/* Types a line up to a Tab, waits for what is wanted, and throws the line away. */
static void tab(struct terminal *t, const char *keys, const char *wanted)
{
	terminal_forget(t);
	terminal_type(t, keys);
	EXPECT(t, wanted, 1);
	ck_assert_ptr_null(strchr(t->seen, '\033'));
	terminal_forget(t);
	terminal_type(t, "\003");
	EXPECT(t, "commands> ", 1);
}

START_TEST(completes_each_kind)
{
	struct terminal t;
	terminal_open(&t, 200, "dumb");
	EXPECT(&t, "commands> ", 1);
	terminal_forget(&t);
	terminal_type(&t, "let mine = used\r");
	EXPECT(&t, "commands> ", 1);
	terminal_type(&t, "blocks used top 12\r");
	EXPECT(&t, "commands> ", 2);
	tab(&t, "retai\t", "retained ");
	tab(&t, "blocks --forma\t", "blocks --format ");
	tab(&t, "print g_circ\t", "print g_circle ");
	tab(&t, "print unmis\t", "print unmistakable_type ");
	tab(&t, "print shape::ba\t", "print shape::base");
	tab(&t, "blocks class=def\t", "class=definite ");
	tab(&t, "blocks state=tc\t", "state=tcache ");
	tab(&t, "blocks label=unmis\t", "label=unmistakable_type ");
	tab(&t, "blocks mi\t", "blocks mine ");
	tab(&t, "mine cl\t", "mine class=");
	tab(&t, "show 1\t\t", "10  11  12");
	tab(&t, "stack \t\t", "1  2");
	/* Frames of the stack that was shown; behind them a thread. */
	tab(&t, "frame \t?", "?");
	terminal_forget(&t);
	terminal_type(&t, "stack 2\r");
	EXPECT(&t, "commands> ", 1);
	tab(&t, "frame \t\t", "0  1  2");
	tab(&t, "locals 0 \t\t", "1  2");
	tab(&t, "blocks --fo\t", "blocks --format "); /* --force is of the look */
	tab(&t, "show 1 --format j\t", "--format json ");
	tab(&t, "blocks --class ind\t", "indirect ");
	tab(&t, "blocks used group b\tho\t", "group by holder ");
	tab(&t, "blocks sort ret\t", "sort retained ");
	tab(&t, "let lost = lea\t", "= leaked ");
	tab(&t, "blocks older=1\t\t", "older=10  older=11  older=12");
	terminal_forget(&t);
	terminal_type(&t, "report\r");
	EXPECT(&t, "commands> ", 1);
	tab(&t, "tree H\t\t", "H2 ");
	/* The other name that begins so clears the screen. */
	tab(&t, "who g_evi\t", "who g_evil_text ");
	terminal_end(&t);
}
END_TEST

/* A real terminal, on which colours are drawn: what the names ask for is not. */
START_TEST(foreign_names_drive_nothing)
{
	static const char *const lines[] = { "threads", "stack 2", "frame 2 2", "blocks", "blocks group by holder", "tree", "maps", "resources", "report -v",
					     "who g_evil_text", "disas stand 3", "print g_array", "print *g_list", "x/s g_array", "frag", "find text" };
	struct terminal t;
	terminal_open(&t, 60000, "xterm");
	EXPECT(&t, "commands> ", 1);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		terminal_forget(&t);
		terminal_type(&t, lines[i]);
		terminal_type(&t, "\r");
		EXPECT(&t, "commands> ", 1);
		static const char *const wanted[] = { "\033[2J", "\033]", "\007", "\b", "\x9b", "\xc2\x9b", "\xe2\x80\xae", "\033[31mr" };
		for (size_t k = 0; k < sizeof wanted / sizeof *wanted; k++)
			ck_assert_msg(!strstr(t.seen, wanted[k]), "%s drives the terminal: %.500s", lines[i], strstr(t.seen, wanted[k]));
	}
	terminal_end(&t);
}
END_TEST

/* Lines pasted where nothing says that they are; then what stands in a pipe. */
START_TEST(lines_without_a_terminal)
{
	struct terminal t;
	int status;
	char shell[256];
	terminal_open(&t, 50, "dumb");
	EXPECT(&t, "rings> ", 1);
	terminal_forget(&t);
	terminal_type(&t, "blocks leaked count\rblocks used count\rblocks leaked count\r");
	EXPECT(&t, "blocks\r\n", 3);
	terminal_end(&t);
	snprintf(shell, sizeof shell, "printf 'blocks used count\\nnothing\\nblocks used count' | TERM=dumb '%s' shell %s 2>&1", flotsam_path(), pid);
	char *argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, shell, NULL }, *text = run_text(argv, &status), *first = strdup(text);
	first[strcspn(first, "\n")] = '\0';
	/* An error costs its line. */
	ck_assert_msg(status == 2 && strstr(text, "no command is called 'nothing'"), "%s", text);
	ck_assert_msg(strstr(text + strlen(first), first) && !strchr(text, '\033') && !strstr(text, "rings>"), "%s", text);
	free(first);
	free(text);
}
END_TEST

/* The answer of one command in a file, without what differs from time to time. */
static json_t *answer_in(const char *path)
{
	json_error_t error;
	json_t *j = json_load_file(path, 0, &error);
	ck_assert_msg(j, "%s: %s", path, error.text);
	json_object_del(j, "timings");
	json_object_del(j, "kernel"); /* counted after each stop */
	return j;
}

/* Ctrl-C wherever it comes in a command: the prompt is back, and what was half done does no harm to the next answer. */
START_TEST(interrupted_anywhere)
{
	static const char *const commands[] = { "tree", "report", "frag", "trim", "rss", "verify", "blocks group by holder", "let lost = leaked", "arenas", "modules",
						 "containers" };
	static const int milliseconds[] = { 2, 15, 40, 90 };
	const char *command = commands[_i];
	char line[400], path[300], batch[1024];
	struct terminal t;
	terminal_open(&t, 60, "dumb");
	EXPECT(&t, "many> ", 1);
	for (size_t i = 0; i < sizeof milliseconds / sizeof *milliseconds; i++) {
		terminal_forget(&t);
		terminal_type(&t, command);
		terminal_type(&t, "\r");
		usleep((unsigned)milliseconds[i] * 1000);
		terminal_type(&t, "\003");
		EXPECT(&t, "many> ", 1);
		/* It may have been done before: then there are two prompts, and a line that is typed at the first may be thrown away. */
		for (int tries = 0; tries < 60; tries++) {
			terminal_type(&t, "help time\r");
			if (terminal_expect(&t, "group by label top 20\r\nmany> ", 1, 10))
				break;
		}
		EXPECT(&t, "group by label top 20\r\nmany> ", 1);
	}
	snprintf(path, sizeof path, "%s/answer", scratch_directory());
	snprintf(line, sizeof line, "%s --format json > %s\r", command, path);
	terminal_forget(&t);
	terminal_type(&t, line);
	EXPECT(&t, "many> ", 1);
	terminal_end(&t);
	json_t *after = answer_in(path);
	/* The same of one who was not interrupted. */
	snprintf(line, sizeof line, "%s --format json > %s", command, path);
	snprintf(batch, sizeof batch, "'%s' shell %s -e '%s'", flotsam_path(), pid, line);
	ck_assert_int_eq(system(batch), 0);
	json_t *whole = answer_in(path);
	json_object_del(json_object_get(after, "target"), "stopped_seconds");
	json_object_del(json_object_get(whole, "target"), "stopped_seconds");
	json_object_del(json_object_get(after, "target"), "uptime_seconds");
	json_object_del(json_object_get(whole, "target"), "uptime_seconds");
	json_object_del(json_object_get(after, "rss"), "cgroup");
	json_object_del(json_object_get(whole, "rss"), "cgroup");
	char *a = json_dumps(after, JSON_INDENT(1)), *b = json_dumps(whole, JSON_INDENT(1));
	size_t same = 0;
	while (a[same] && a[same] == b[same])
		same++;
	ck_assert_msg(!strcmp(a, b), "%s: %.200s, not %.200s", command, a + (same > 80 ? same - 80 : 0), b + (same > 80 ? same - 80 : 0));
	free(a);
	free(b);
	json_decref(after);
	json_decref(whole);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("prompt");
	TCase *t = tcase_create("prompt");
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_add_test(t, completes_and_remembers);
	tcase_add_test(t, interrupts);
	tcase_add_test(t, pages);
	tcase_add_test(t, pasted_lines_run_one_by_one);
	tcase_add_test(t, runs_scripts);
	tcase_add_test(t, writes_files);
	tcase_add_test(t, errors_cost_a_line);
	tcase_add_test(t, errors_help);
	tcase_add_test(t, refreshes);
	tcase_add_test(t, ranges_have_numbers);
	tcase_add_test(t, narrow_and_wide);
	tcase_add_test(t, empty_lists_and_numbers);
	tcase_add_test(t, lines_without_a_terminal);
	suite_add_tcase(s, t);
	t = tcase_create("foreign");
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up_foreign, NULL);
	tcase_add_test(t, completes_each_kind);
	tcase_add_test(t, holders_by_number);
	tcase_add_test(t, foreign_names_drive_nothing);
	suite_add_tcase(s, t);
	t = tcase_create("many");
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up_many, NULL);
	tcase_add_loop_test(t, interrupted_anywhere, 0, 11);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

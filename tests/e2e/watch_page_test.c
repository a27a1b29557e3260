/* The page of flotsam watch, on a terminal that is written down here: a grid of cells, and what happens to it. What the page says has
 * grown is what the leaky API says it has cost; and the terminal is put back whatever ends the watch. */
#include "process.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_ROWS = 64, MOST_COLUMNS = 160, PATIENCE = 600 /* tenths of a second */ };

struct terminal {
	pid_t leader, pid; /* pid: flotsam's */
	int fd, words; /* words: what the leader says */
	struct termios before;
	int rows, columns, row, column;
	char cells[MOST_ROWS][MOST_COLUMNS + 1];
	bool alternate;
	unsigned beyond; /* characters outside of the page, and lines that were ended on it */
	char sequence[32];
	size_t n_sequence;
	char said[1 << 16]; /* what was not on the page, and what the leader says */
	size_t n_said;
	bool escaped; /* anything but text came */
};

static struct child server;
static int port;
static char pid[16];

static void set_up(void)
{
	char *argv[] = { (char[]){ "leaky-api" }, (char[]){ "--port" }, (char[]){ "0" }, NULL };
	ck_assert(child_start(&server, argv, NULL, false));
	json_t *hello = child_json(&server);
	port = (int)json_integer_value(json_object_get(hello, "port"));
	json_decref(hello);
	ck_assert_int_gt(port, 0);
	ck_assert(child_settled(&server));
	snprintf(pid, sizeof pid, "%d", (int)server.pid);
	setenv("LC_ALL", "C.UTF-8", 1);
}

static void tear_down(void)
{
	child_end(&server);
}

/* A shell's part: it starts flotsam in a process group of its own, and says what becomes of it. */
static _Noreturn void lead(char *const argv[], int words)
{
	struct rlimit no_core = { 0, 0 };
	int status = 0;
	char key;
	signal(SIGTTOU, SIG_IGN);
	setrlimit(RLIMIT_CORE, &no_core);
	pid_t p = fork();
	if (!p) {
		setpgid(0, 0);
		tcsetpgrp(0, getpid());
		signal(SIGTTOU, SIG_DFL);
		dprintf(words, "PID %d.\n", (int)getpid());
		execv(argv[0], argv);
		_exit(127);
	}
	while (waitpid(p, &status, WUNTRACED) == p && WIFSTOPPED(status))
		dprintf(words, "STOPPED.\n");
	tcsetpgrp(0, getpid());
	dprintf(words, "ENDED %d.\n", WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status));
	while (read(0, &key, 1) < 0 && errno == EINTR)
		;
	_exit(0);
}

static void resize(struct terminal *t, int rows, int columns)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };
	t->rows = rows;
	t->columns = columns;
	memset(t->cells, 0, sizeof t->cells);
	for (int i = 0; i < rows; i++)
		memset(t->cells[i], ' ', (size_t)columns);
	if (t->pid)
		ck_assert(!ioctl(t->fd, TIOCSWINSZ, &size));
}

/* What CSI ... ends with is its meaning: the few that are known here, and any other is none of the page's. */
static void obey(struct terminal *t)
{
	char last = t->sequence[t->n_sequence - 1];
	t->sequence[t->n_sequence] = '\0';
	if (last == 'H' && sscanf(t->sequence, "\033[%d;%dH", &t->row, &t->column) == 2)
		t->row--, t->column--;
	else if (last == 'H' || !strcmp(t->sequence, "\033[2J"))
		t->row = t->column = 0;
	else if (!strcmp(t->sequence, "\033[?1049h"))
		t->alternate = true;
	else if (!strcmp(t->sequence, "\033[?1049l"))
		t->alternate = false;
	else
		ck_assert_msg(last == 'm' || !strncmp(t->sequence, "\033[?25", 5) || !strncmp(t->sequence, "\033[?7", 4), "the page says %s", t->sequence + 1);
}

static void say(struct terminal *t, char c)
{
	ck_assert_uint_lt(t->n_said, sizeof t->said - 1);
	t->said[t->n_said++] = c;
	t->said[t->n_said] = '\0';
}

static void take(struct terminal *t, unsigned char c)
{
	/* A key that sends a signal throws away what the terminal has not been shown yet: a sequence may be cut. */
	if (c == '\033')
		t->n_sequence = 0;
	if (t->n_sequence || c == '\033') {
		ck_assert_uint_lt(t->n_sequence, sizeof t->sequence - 1);
		t->escaped = true;
		t->sequence[t->n_sequence++] = (char)c;
		if (t->n_sequence > 2 && c >= '@') {
			obey(t);
			t->n_sequence = 0;
		}
	} else if (!t->alternate) {
		say(t, (char)c);
	} else if (c < ' ' || t->row >= t->rows || t->column >= t->columns) {
		t->beyond++;
	} else if (c < 0x80 || c >= 0xc0) { /* the other bytes of a character take no cell */
		t->cells[t->row][t->column++] = c < 0x80 ? (char)c : '#';
	}
}

/* What comes within a tenth of a second. */
static void hear(struct terminal *t)
{
	char bytes[4096];
	struct pollfd p[2] = { { t->fd, POLLIN, 0 }, { t->words, POLLIN, 0 } };
	int some = poll(p, 2, 100);
	ssize_t n = some > 0 && p[0].revents ? read(t->fd, bytes, sizeof bytes) : 0;
	for (ssize_t i = 0; i < n; i++)
		take(t, (unsigned char)bytes[i]);
	n = some > 0 && p[1].revents ? read(t->words, bytes, sizeof bytes) : 0;
	for (ssize_t i = 0; i < n; i++)
		say(t, bytes[i]);
}

static int row_with(const struct terminal *t, const char *text)
{
	for (int i = 0; i < t->rows; i++)
		if (strstr(t->cells[i], text))
			return i;
	return -1;
}

/* Too much for a message of libcheck's. */
static const char *all_of(const struct terminal *t)
{
	for (int i = 0; i < t->rows; i++)
		printf("%s|\n", t->cells[i]);
	printf("said: %s\n", t->said);
	fflush(stdout);
	return "see above";
}

static void expect_page(struct terminal *t, const char *text)
{
	for (int i = 0; i < PATIENCE && row_with(t, text) < 0; i++)
		hear(t);
	ck_assert_msg(row_with(t, text) >= 0, "'%s' is not on the page:\n%s", text, all_of(t));
}

static void expect_said(struct terminal *t, const char *text)
{
	for (int i = 0; i < PATIENCE && !strstr(t->said, text); i++)
		hear(t);
	ck_assert_msg(strstr(t->said, text), "'%s' is not said:\n%s", text, all_of(t));
}

static void press(const struct terminal *t, const char *keys)
{
	ck_assert_int_eq(write(t->fd, keys, strlen(keys)), (ssize_t)strlen(keys));
}

static void start(struct terminal *t, int rows, int columns, const char *term, const char *option)
{
	char *argv[] = { (char *)flotsam_path(), (char[]){ "watch" }, pid, (char[]){ "--interval" }, (char[]){ "0.1" }, (char *)option, NULL };
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };
	char *absolute = realpath(argv[0], NULL);
	int words[2];
	memset(t, 0, sizeof *t);
	resize(t, rows, columns);
	argv[0] = absolute;
	setenv("TERM", term, 1);
	ck_assert(!pipe2(words, O_CLOEXEC));
	t->leader = forkpty(&t->fd, NULL, NULL, &size);
	ck_assert_int_ge(t->leader, 0);
	if (!t->leader)
		lead(argv, words[1]);
	close(words[1]);
	t->words = words[0];
	free(absolute);
	ck_assert(!tcgetattr(t->fd, &t->before));
	expect_said(t, ".\n"); /* the end of the leader's word, which comes whole */
	const char *word = strstr(t->said, "PID ");
	ck_assert(word && sscanf(word, "PID %d.", &t->pid) == 1);
}

static bool is_put_back(const struct terminal *t)
{
	struct termios now;
	return !t->alternate && !tcgetattr(t->fd, &now) && now.c_lflag == t->before.c_lflag && now.c_iflag == t->before.c_iflag && now.c_oflag == t->before.c_oflag;
}

static void expect_put_back(struct terminal *t, const char *why)
{
	for (int i = 0; i < PATIENCE && !is_put_back(t); i++)
		hear(t);
	ck_assert_msg(is_put_back(t), "%s: the terminal is not put back", why);
}

static void finish(struct terminal *t)
{
	int status;
	press(t, "\n");
	while (waitpid(t->leader, &status, 0) < 0 && errno == EINTR)
		;
	close(t->fd);
	close(t->words);
}

static json_t *ask_truth(void)
{
	static char text[1 << 16];
	static const char get[] = "GET /truth HTTP/1.1\r\n\r\n";
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert(fd >= 0 && !connect(fd, (struct sockaddr *)&a, sizeof a) && write(fd, get, strlen(get)) == (ssize_t)strlen(get));
	json_t *j = NULL;
	for (size_t n = 0; !j && n < sizeof text - 1;) {
		ssize_t got = read(fd, text + n, sizeof text - 1 - n);
		ck_assert_int_gt(got, 0);
		n += (size_t)got;
		text[n] = '\0';
		const char *body = strstr(text, "\r\n\r\n");
		j = body ? json_loads(body + 4, 0, NULL) : NULL;
	}
	close(fd);
	return j;
}

static long long cost(json_t *truth, const char *way, const char *key)
{
	size_t i;
	json_t *c;
	json_array_foreach(json_object_get(truth, "costs"), i, c)
		if (!strcmp(json_string_value(json_object_get(c, "way")), way))
			return json_integer_value(json_object_get(c, key));
	ck_abort_msg("no way %s", way);
}

static void drive(char *n, char *path, char *bytes)
{
	char port_text[16], program[4096];
	const char *fixtures = getenv("FIXTURES");
	int status;
	snprintf(port_text, sizeof port_text, "%d", port);
	snprintf(program, sizeof program, "%s/drive", fixtures ? fixtures : "build/release/fixtures");
	char *argv[] = { program, port_text, n, (char[]){ "POST" }, path, bytes, NULL };
	free(run_text(argv, &status));
	ck_assert_int_eq(status, 0);
}

/* "+451 KiB" has three digits: good to a two-hundredth. */
static double bytes_of(const char *text)
{
	static const char units[] = " KMG";
	char unit = ' ';
	double v = 0;
	ck_assert_msg(sscanf(text, "%lf %c", &v, &unit) == 2, "no figure: %s", text);
	const char *u = strchr(units, unit);
	return u ? v * pow(1024, (double)(u - units)) : v;
}

/* The sum of the rows that end a name in `mark`: " +300 +451 KiB +1.2 GiB" follows. */
static void sum_of(const struct terminal *t, const char *mark, double *ret_blocks, double *ret_bytes)
{
	*ret_blocks = *ret_bytes = 0;
	for (int i = row_with(t, "SINCE THE FIRST LOOK") + 1; i < t->rows - 2; i++) {
		const char *at = strstr(t->cells[i], mark), *plus = at ? strchr(at, '+') : NULL;
		if (!plus)
			continue;
		for (const char *p = plus + 1; *p != ' '; p++)
			if (*p != ',')
				*ret_blocks += (*p - '0') * pow(10, (double)(strcspn(p, " ") - 1));
		*ret_bytes += bytes_of(strchr(plus + 1, '+') + 1);
	}
}

static void agrees(const struct terminal *t, const char *mark, json_t *before, json_t *after, const char *way)
{
	double blocks, bytes, true_blocks = (double)(cost(after, way, "blocks") - cost(before, way, "blocks")),
			      true_bytes = (double)(cost(after, way, "bytes") - cost(before, way, "bytes"));
	sum_of(t, mark, &blocks, &bytes);
	ck_assert(true_blocks > 0);
	ck_assert_msg(blocks == true_blocks && fabs(bytes / true_bytes - 1) < 0.01, "%s: %.0f blocks, %.0f bytes, truly %.0f and %.0f:\n%s", way, blocks, bytes,
		      true_blocks, true_bytes, all_of(t));
}

static void redrawn_at(struct terminal *t, int rows, int columns)
{
	resize(t, rows, columns);
	for (int i = 0; i < PATIENCE && strncmp(t->cells[rows - 1], "l look now", 10); i++)
		hear(t);
	ck_assert_msg(!strncmp(t->cells[rows - 1], "l look now", 10), "not drawn for %d rows:\n%s", rows, all_of(t));
	/* From here on nothing is drawn for the old size. */
	t->beyond = 0;
	memset(t->cells[0], ' ', (size_t)columns);
	expect_page(t, "flotsam");
	memset(t->cells[0], ' ', (size_t)columns);
	expect_page(t, "flotsam");
	ck_assert_msg(!t->beyond, "%u characters beyond %d by %d", t->beyond, rows, columns);
}

START_TEST(tells_the_truth)
{
	static struct terminal t;
	char name[64];
	start(&t, 40, 100, "xterm", NULL);
	snprintf(name, sizeof name, "leaky-api (pid %s)", pid);
	expect_page(&t, name);
	expect_page(&t, "RSS and swap over");
	press(&t, "d");
	expect_page(&t, "It takes two looks");
	press(&t, "l");
	expect_page(&t, "That was the first look");
	json_t *before = ask_truth();
	drive((char[]){ "150" }, (char[]){ "/upload" }, (char[]){ "3000" });
	drive((char[]){ "100" }, (char[]){ "/subscribe" }, (char[]){ "12" });
	json_t *after = ask_truth();
	ck_assert(child_settled(&server));
	press(&t, "l");
	expect_page(&t, "SINCE THE FIRST LOOK");
	/* The rows below are drawn next. */
	redrawn_at(&t, 40, 100);
	agrees(&t, ", leaked", before, after, "lost_upload");
	agrees(&t, "held by g_listeners", before, after, "listener");
	json_decref(before);
	json_decref(after);
	press(&t, "d");
	expect_page(&t, "MORE LEAKED");
	press(&t, "\033[B\033[A");
	press(&t, "x");
	expect_page(&t, "SINCE THE FIRST LOOK");
	redrawn_at(&t, 24, 80);
	ck_assert_int_ge(row_with(&t, "SINCE THE FIRST LOOK"), 0);
	redrawn_at(&t, 10, 40);
	redrawn_at(&t, 3, 12);
	redrawn_at(&t, 50, 132);
	press(&t, "q");
	expect_said(&t, "end (quit)");
	expect_said(&t, "ENDED 0.");
	expect_put_back(&t, "q");
	finish(&t);
}
END_TEST

/* By a key, by each signal that ends a program, and by one that none can catch. */
static const struct { const char *key; int sig, status; } ends[] = {
	{ "\003", 0, 130 }, { NULL, SIGTERM, 143 }, { NULL, SIGHUP, 1000 + SIGHUP }, { "\034", 0, 1000 + SIGQUIT }, { NULL, SIGSEGV, 1000 + SIGSEGV },
	{ NULL, SIGABRT, 1000 + SIGABRT }, { NULL, SIGKILL, 1000 + SIGKILL },
};

START_TEST(puts_the_terminal_back)
{
	static struct terminal t;
	char ended[32];
	snprintf(ended, sizeof ended, "ENDED %d.", ends[_i].status);
	start(&t, 24, 80, "xterm", NULL);
	expect_page(&t, "l look now");
	ck_assert(t.alternate && !is_put_back(&t) && !t.beyond);
	if (ends[_i].key)
		press(&t, ends[_i].key);
	else
		ck_assert(!kill(t.pid, ends[_i].sig));
	expect_put_back(&t, ended);
	expect_said(&t, ended);
	finish(&t);
}
END_TEST

START_TEST(stops_and_goes_on)
{
	static struct terminal t;
	start(&t, 24, 80, "xterm", NULL);
	expect_page(&t, "l look now");
	press(&t, "\032");
	expect_put_back(&t, "stopped");
	expect_said(&t, "STOPPED.");
	resize(&t, 30, 90);
	ck_assert(!kill(t.pid, SIGCONT));
	expect_page(&t, "l look now");
	redrawn_at(&t, 30, 90);
	ck_assert(t.alternate);
	press(&t, "q");
	expect_said(&t, "ENDED 0.");
	expect_put_back(&t, "q");
	finish(&t);
}
END_TEST

START_TEST(lines_where_no_page_can_be)
{
	static struct terminal t;
	start(&t, 24, 80, "dumb", "--count=3");
	expect_said(&t, "ENDED 0.");
	ck_assert_msg(strstr(t.said, "  RSS ") && strstr(t.said, "end (count)") && !t.escaped, "%s", t.said);
	finish(&t);
	/* What was asked for is had on any terminal. */
	start(&t, 24, 80, "xterm", "--format=jsonl");
	expect_said(&t, "{\"event\":\"sample\"");
	ck_assert(!t.escaped);
	press(&t, "\003");
	expect_said(&t, "ENDED 130.");
	finish(&t);
}
END_TEST

/* The process ends: the page goes, the last word stays. */
START_TEST(ends_with_the_process)
{
	static struct terminal t;
	start(&t, 24, 80, "xterm", NULL);
	expect_page(&t, "l look now");
	ck_assert(!kill(server.pid, SIGTERM));
	expect_said(&t, "end (exit)");
	expect_said(&t, "ENDED 0.");
	expect_put_back(&t, "exit");
	finish(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("watch page");
	TCase *c = tcase_create("page");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, tells_the_truth);
	tcase_add_loop_test(c, puts_the_terminal_back, 0, sizeof ends / sizeof ends[0]);
	tcase_add_test(c, stops_and_goes_on);
	tcase_add_test(c, lines_where_no_page_can_be);
	tcase_add_test(c, ends_with_the_process);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

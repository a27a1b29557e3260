/* The other screen of a terminal (xterm's control sequences: 1049, 25, 7), and the ways back from it. What a signal handler may
 * call is all that is called here once the screen is open: write(2), tcsetattr(3), sigaction(2) (signal-safety(7)). */
#include "flotsam/out.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static const char enter_text[] = "\033[?1049h\033[?25l\033[?7l\033[2J\033[H", leave_text[] = "\033[0m\033[?7h\033[?25h\033[?1049l";
static const int ending[] = { SIGHUP, SIGQUIT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
enum { N_ENDING = sizeof ending / sizeof ending[0], N_CAUGHT = N_ENDING + 3 };

static struct {
	volatile sig_atomic_t open, changed;
	pid_t owner;
	int in, out, word; /* word: to the keeper */
	struct termios before;
	int caught[N_CAUGHT];
	struct sigaction old[N_CAUGHT];
	size_t n_caught;
} screen = { .word = -1 };

static void say(int fd, const char *text, size_t n)
{
	int os = errno;
	while (n) {
		ssize_t k = write(fd, text, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		text += k;
		n -= (size_t)k;
	}
	errno = os;
}

static void enter(void)
{
	struct termios t = screen.before;
	t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	tcsetattr(screen.in, TCSANOW, &t);
	say(screen.out, enter_text, sizeof enter_text - 1);
}

static void leave(void)
{
	say(screen.out, leave_text, sizeof leave_text - 1);
	tcsetattr(screen.in, TCSANOW, &screen.before);
}

static bool is_ours(void)
{
	return screen.open && screen.owner == getpid();
}

/* Ends or stops the program as it would without us. */
static void raise_default(int sig, struct sigaction *ret_old)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };
	sigset_t one;
	sigaction(sig, &plain, ret_old);
	sigemptyset(&one);
	sigaddset(&one, sig);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
}

static void on_signal(int sig)
{
	int os = errno;
	struct sigaction old;
	if (sig == SIGWINCH) {
		screen.changed = 1;
	} else if (sig == SIGCONT) {
		if (is_ours())
			enter();
		screen.changed = 1;
	} else if (sig == SIGTSTP) {
		if (is_ours())
			leave();
		raise_default(sig, &old);
		/* Here it goes on, or was not stopped: where no shell is there to continue it, the kernel does not. */
		sigaction(sig, &old, NULL);
		if (is_ours())
			enter();
		screen.changed = 1;
	} else {
		screen_close();
		raise_default(sig, &old);
	}
	errno = os;
}

static void catch(int sig)
{
	struct sigaction a = { .sa_handler = on_signal };
	size_t i = screen.n_caught;
	/* What is ignored stays ignored. */
	if (sigaction(sig, NULL, &screen.old[i]) || screen.old[i].sa_handler == SIG_IGN || sigaction(sig, &a, NULL))
		return;
	screen.caught[i] = sig;
	screen.n_caught++;
}

/* Waits for the word that all is put back, or for the end of the one that should have given it. */
static _Noreturn void keep(int from)
{
	char word;
	ssize_t n;
	do
		n = read(from, &word, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		leave();
	_exit(0);
}

static void start_keeper(void)
{
	int pair[2];
	sigset_t all, before;
	screen.word = -1;
	if (pipe2(pair, O_CLOEXEC))
		return;
	/* It takes none of the keys that stop or end, from its first moment, nor SIGTTOU: by then another is in the foreground. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();
	if (!pid) {
		/* It holds nothing open but the terminal, and a pipe, moved where nothing else can be. */
		int in = fcntl(screen.in, F_DUPFD_CLOEXEC, 3), out = fcntl(screen.out, F_DUPFD_CLOEXEC, 3);
		if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(pair[0], 2) < 0 || close_range(3, ~0u, 0))
			_exit(1);
		screen.in = 0;
		screen.out = 1;
		keep(2);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(pair[0]);
	if (pid < 0)
		close(pair[1]);
	else
		screen.word = pair[1];
}

bool screen_possible(int in, int out)
{
	const char *term = getenv("TERM");
	return isatty(in) && isatty(out) && term && *term && strcmp(term, "dumb");
}

struct err *screen_open(int in, int out)
{
	screen.in = in;
	screen.out = out;
	if (tcgetattr(in, &screen.before))
		return err_os(errno, "cannot read the terminal's settings");
	start_keeper();
	screen.owner = getpid();
	screen.n_caught = 0;
	screen.changed = 1;
	screen.open = 1;
	for (size_t i = 0; i < N_ENDING; i++)
		catch(ending[i]);
	catch(SIGWINCH);
	catch(SIGCONT);
	catch(SIGTSTP);
	enter();
	return NULL;
}

void screen_close(void)
{
	if (!is_ours())
		return;
	screen.open = 0;
	leave();
	for (size_t i = 0; i < screen.n_caught; i++)
		sigaction(screen.caught[i], &screen.old[i], NULL);
	if (screen.word < 0)
		return;
	say(screen.word, "k", 1); /* and it ends by itself: it may be stopped, and is not waited for */
	close(screen.word);
	screen.word = -1;
}

bool screen_size(int *ret_rows, int *ret_columns)
{
	struct winsize w;
	bool known = !ioctl(screen.out, TIOCGWINSZ, &w) && w.ws_row && w.ws_col;
	*ret_rows = known ? w.ws_row : 24;
	*ret_columns = known ? w.ws_col : 80;
	return known;
}

bool screen_changed(void)
{
	bool changed = screen.changed;
	screen.changed = 0;
	return changed;
}

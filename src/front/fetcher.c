/* Debug files by debuginfod, when --debuginfod asks for it: a small process with the caller's own rights, made before the analyst
 * is shut in, which can reach no network. It is told build-ids and hands back open files; whether they are the right ones is for
 * the analyst to see. The library is loaded when it is wanted: nothing else here needs it. */
#include "front.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ID_BYTES = 2 * 64 + 1 };
struct reply { int32_t ok; };
struct library { /* elfutils' debuginfod.h */
	void *(*begin)(void);
	int (*find)(void *client, const unsigned char *build_id, int length, char **path);
	void (*end)(void *client);
};

static bool load(struct library *l)
{
	void *h = dlopen("libdebuginfod.so.1", RTLD_NOW);
	if (!h)
		return false;
	l->begin = (void *(*)(void))dlsym(h, "debuginfod_begin");
	l->find = (int (*)(void *, const unsigned char *, int, char **))dlsym(h, "debuginfod_find_debuginfo");
	l->end = (void (*)(void *))dlsym(h, "debuginfod_end");
	return l->begin && l->find && l->end;
}

static void serve(int fd)
{
	struct library l = { 0 };
	struct reply r = { load(&l) };
	char id[ID_BYTES];
	int none;
	if (!socket_send(fd, &r, sizeof r, -1) || !r.ok)
		return;
	void *client = l.begin();
	while (client && socket_receive(fd, id, sizeof id, &none) == (ssize_t)sizeof id) {
		id[sizeof id - 1] = '\0';
		int found = l.find(client, (const unsigned char *)id, 0, NULL); /* 0: in hexadecimal */
		r.ok = found >= 0;
		if (!socket_send(fd, &r, sizeof r, found))
			break;
		if (found >= 0)
			close(found);
	}
	if (client)
		l.end(client);
}

static int fetch(void *ctx, const char *build_id)
{
	int socket = *(int *)ctx, fd = -1;
	char id[ID_BYTES] = "";
	struct reply r;
	snprintf(id, sizeof id, "%s", build_id);
	if (interrupted || !socket_send(socket, id, sizeof id, -1) || socket_receive(socket, &r, sizeof r, &fd) != (ssize_t)sizeof r)
		return -1;
	return fd;
}

/* It keeps nothing of ours open: who reads from us must not wait for it. */
static _Noreturn void run(int fd, pid_t parent)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i <= STDERR_FILENO && null >= 0; i++)
		dup2(null, i);
	front_shed_rights();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent)
		serve(fd);
	_exit(0);
}

struct err *fetcher_start(struct modules_options *o)
{
	static int socket; /* of this process's one */
	const char *urls = getenv("DEBUGINFOD_URLS");
	struct reply r = { 0 };
	int pair[2], none;
	if (getauxval(AT_SECURE))
		return err_new(ERR_USAGE, "--debuginfod is not for a flotsam that has rights of its own");
	if (!urls || !*urls)
		return err_hint(err_new(ERR_USAGE, "--debuginfod: DEBUGINFOD_URLS names no server"), "export DEBUGINFOD_URLS=https://debuginfod.debian.net");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_os(errno, "no socket pair");
	pid_t parent = getpid(), pid = fork();
	if (!pid) {
		close(pair[0]);
		run(pair[1], parent);
	}
	close(pair[1]);
	if (pid < 0 || socket_receive(pair[0], &r, sizeof r, &none) != (ssize_t)sizeof r || !r.ok) {
		close(pair[0]);
		while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return err_hint(err_new(ERR_UNSUPPORTED, "--debuginfod: there is no libdebuginfod.so.1"), "apt-get install libdebuginfod1");
	}
	socket = pair[0];
	o->fetch = fetch;
	o->fetch_ctx = &socket;
	return NULL;
}

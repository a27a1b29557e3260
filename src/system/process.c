/* /proc/PID/status, stat, fdinfo, timers: what the kernel says of a process, and the words that only it holds. */
#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <unistd.h>

char *system_read_fd(int fd, size_t *ret_n)
{
	VEC(char) v = { 0 };
	for (;;) {
		if (!vec_reserve(&v, 65536)) {
			vec_free(&v);
			errno = ENOMEM;
			return NULL;
		}
		ssize_t k = read(fd, v.at + v.n, v.cap - v.n - 1);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			int os = errno;
			vec_free(&v);
			errno = os;
			return NULL;
		}
		if (!k)
			break;
		v.n += (size_t)k;
	}
	v.at[v.n] = '\0';
	if (ret_n)
		*ret_n = v.n;
	return v.at;
}

static uint64_t kib(const char *text, const char *key)
{
	const char *p = text_line(text, key);
	return p ? strtoull(p, NULL, 10) * 1024 : UINT64_MAX;
}

static int integer(const char *text, const char *key)
{
	const char *p = text_line(text, key);
	return p ? (int)strtol(p, NULL, 10) : 0;
}

static void ids(const char *text, const char *key, uint32_t to[4])
{
	const char *p = text_line(text, key);
	for (int i = 0; p && i < 4; i++) {
		char *end;
		to[i] = (uint32_t)strtoul(p, &end, 10);
		p = end;
	}
}

struct err *system_status(const char *text, size_t n, struct process_status *ret)
{
	struct process_status s = { 0 };
	const char *name = text_line(text, "Name:\t"), *state = text_line(text, "State:\t");
	if (!n || !name || !state)
		return err_new(ERR_BAD_DATA, "status has no Name and State");
	snprintf(s.name, sizeof s.name, "%.*s", (int)strcspn(name, "\n"), name);
	s.state = *state;
	s.tgid = integer(text, "Tgid:");
	s.ppid = integer(text, "PPid:");
	s.tracer = integer(text, "TracerPid:");
	s.threads = integer(text, "Threads:");
	ids(text, "Uid:", s.uid);
	ids(text, "Gid:", s.gid);
	s.vm_size = kib(text, "VmSize:");
	s.vm_rss = kib(text, "VmRSS:");
	s.rss_anon = kib(text, "RssAnon:");
	s.rss_file = kib(text, "RssFile:");
	s.rss_shmem = kib(text, "RssShmem:");
	s.vm_pte = kib(text, "VmPTE:");
	s.vm_swap = kib(text, "VmSwap:");
	s.vm_lck = kib(text, "VmLck:");
	s.vm_data = kib(text, "VmData:");
	s.kernel_thread = integer(text, "Kthread:") == 1;
	*ret = s;
	return NULL;
}

bool system_stat(const char *text, size_t n, char *ret_state, uint64_t *ret_start_ticks)
{
	/* comm may hold anything, the last ')' ends it; state is field 3, starttime field 22. */
	const char *p = memrchr(text, ')', n);
	if (!p || p + 2 >= text + n)
		return false;
	*ret_state = p[2];
	p += 2;
	for (int field = 3; field < 22; field++) {
		p = strchr(p, ' ');
		if (!p)
			return false;
		p++;
	}
	*ret_start_ticks = strtoull(p, NULL, 10);
	return true;
}

double system_uptime(const char *root)
{
	AUTO_FREE char *text = system_read(root, "/proc/uptime", NULL);
	return text ? strtod(text, NULL) : 0;
}

bool system_fdinfo_is_epoll(const char *text, size_t n)
{
	return n && text_line(text, "tfd:");
}

void system_fdinfo_epoll(const char *text, size_t n, system_word_fn *f, void *ctx)
{
	(void)n;
	/* "tfd:        5 events:       19 data: 55d0c2a0  pos:0 ino:.. sdev:.." (fs/eventpoll.c, ep_show_fdinfo) */
	for (const char *p = text; (p = strstr(p, "data:")); p++) {
		const char *at = p + 5;
		while (*at == ' ')
			at++;
		if (isxdigit((unsigned char)*at))
			f(ctx, strtoull(at, NULL, 16));
	}
}

void system_timers(const char *text, size_t n, system_word_fn *f, void *ctx)
{
	(void)n;
	/* "signal: 60/00007fff86e452a8": signal number / sigev_value (fs/proc/base.c, show_timer) */
	for (const char *p = text; (p = strstr(p, "signal:")); p++) {
		const char *slash = strchr(p, '/');
		if (slash)
			f(ctx, strtoull(slash + 1, NULL, 16));
	}
}

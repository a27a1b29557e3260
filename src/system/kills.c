/* The kernel log on memory that ran out (mm/oom_kill.c: dump_header, dump_oom_summary, __oom_kill_process; mm/page_alloc.c:
 * warn_alloc; Linux 5.0 to 6.18). Its records come from /dev/kmsg (Documentation/ABI/testing/dev-kmsg), or from a file in
 * the same form or as dmesg(1) prints it. */
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { RECORD = 8192, MOST_KILLS = 1000, MOST_RECORDS = 1 << 20 };

/* "6,1234,5678901,-;text" or "[    5.678901] text": seconds since boot, and where the text starts. */
static const char *split(const char *record, double *ret_seconds)
{
	unsigned long long us;
	const char *text = strchr(record, ';');
	int end = 0;
	*ret_seconds = -1;
	if (text && sscanf(record, "%*u,%*u,%llu,", &us) == 1) {
		*ret_seconds = (double)us / 1e6;
		return text + 1;
	}
	if (sscanf(record, "[%lf]%n", ret_seconds, &end) == 1 && end)
		return record + end + (record[end] == ' ');
	return record;
}

static bool value_of(const char *text, const char *key, const char *ends, char *to, size_t n)
{
	const char *p = strstr(text, key);
	if (!p)
		return false;
	p += strlen(key);
	snprintf(to, n, "%.*s", (int)strcspn(p, ends), p);
	return true;
}

static uint64_t kib_of(const char *text, const char *key)
{
	const char *p = strstr(text, key);
	uint64_t v;
	if (!p)
		return UINT64_MAX;
	p += strlen(key);
	return text_number(&p, &v) && v <= UINT64_MAX / 1024 ? v * 1024 : UINT64_MAX;
}

/* "Killed process 9481 (name) total-vm:4940kB, ..."; the name may hold ") ". */
static bool killed(const char *text, struct system_kill *k)
{
	const char *p = strstr(text, "Killed process "), *open, *close;
	uint64_t pid;
	if (!p)
		return false;
	p += 15;
	if (!text_number(&p, &pid) || pid > INT32_MAX || strncmp(p, " (", 2))
		return false;
	open = p + 2;
	close = strstr(open, ") total-vm:");
	for (const char *next = close; next; next = strstr(next + 1, ") total-vm:"))
		close = next;
	/* Before 5.0 a comma stood behind the name. */
	if (!close)
		close = strrchr(open, ')');
	if (!close)
		return false;
	k->pid = (int)pid;
	snprintf(k->comm, sizeof k->comm, "%.*s", (int)(close - open), open);
	k->vm = kib_of(close, "total-vm:");
	k->anon = kib_of(close, "anon-rss:");
	k->file = kib_of(close, "file-rss:");
	k->shmem = kib_of(close, "shmem-rss:");
	k->by_group = strstr(text, "Memory cgroup out of memory") != NULL;
	p = strstr(close, "oom_score_adj:");
	k->score_adj = p ? (int)strtol(p + 14, NULL, 10) : 0;
	return true;
}

/* What the lines before a kill said; they belong to the next one. */
static void take(struct system_kernel_log *log, struct system_kill *next, const char *record)
{
	double seconds;
	const char *text = split(record, &seconds), *p;
	char number[16];
	if ((p = strstr(text, " invoked oom-killer: "))) {
		*next = (struct system_kill){ .order = -1 };
		if (value_of(p, "order=", ", ", number, sizeof number))
			next->order = (int)strtol(number, NULL, 10);
	} else if (!strncmp(text, "oom-kill:", 9)) {
		value_of(text, "constraint=", ",", next->constraint, sizeof next->constraint);
		value_of(text, "oom_memcg=", ",", next->group, sizeof next->group);
		value_of(text, "task_memcg=", ",", next->task_group, sizeof next->task_group);
	} else if (killed(text, next)) {
		next->seconds = seconds;
		if (log->kills.n == MOST_KILLS) /* the oldest goes */
			memmove(log->kills.at, log->kills.at + 1, --log->kills.n * sizeof *log->kills.at);
		struct system_kill *slot = vec_push(&log->kills);
		if (slot)
			*slot = *next;
		*next = (struct system_kill){ .order = -1 };
	} else if ((p = strstr(text, ": page allocation failure: order:"))) {
		int order = (int)strtol(p + 33, NULL, 10);
		log->failures++;
		if (!log->failed_order || order < log->failed_order)
			log->failed_order = order;
	}
}

/* A read gives one record, whose further lines ("\n KEY=value") do not matter here. */
static void read_device(int fd, struct system_kernel_log *log)
{
	char record[RECORD + 1];
	struct system_kill next = { .order = -1 };
	for (int i = 0; i < MOST_RECORDS; i++) {
		ssize_t n = read(fd, record, RECORD);
		if (n < 0 && (errno == EPIPE || errno == EINTR)) /* EPIPE: overwritten before it was read */
			continue;
		if (n <= 0)
			return;
		record[n] = '\0';
		record[strcspn(record, "\n")] = '\0';
		take(log, &next, record);
	}
}

static void read_saved(const char *text, struct system_kernel_log *log)
{
	char record[RECORD];
	struct system_kill next = { .order = -1 };
	for (const char *p = text; text_next_line(&p, record, sizeof record);)
		take(log, &next, record);
}

void system_kernel_log_read(const char *root, struct system_kernel_log *ret)
{
	*ret = (struct system_kernel_log){ 0 };
	if (*root) {
		AUTO_FREE char *text = system_read(root, "/dev/kmsg", NULL);
		ret->readable = text != NULL;
		if (text)
			read_saved(text, ret);
		return;
	}
	AUTO_FD int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	ret->readable = true;
	read_device(fd, ret);
}

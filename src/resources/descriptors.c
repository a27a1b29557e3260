/* Descriptors by kind: what /proc/PID/fd links to (proc_pid_fd(5)), and for sockets the state that /proc/PID/net has. */
#include "resources.h"

#include <ctype.h>

static const char *const net_tables[] = { "tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6", "unix", "netlink", "packet" };
enum { N_TABLES = sizeof net_tables / sizeof net_tables[0] };

struct socket { const char *table, *state; };
struct survey {
	struct resources *r;
	struct map64 sockets;	/* inode -> index into known, 0: in no table so far */
	VEC(struct socket) known;
	const char *table;
	bool nomem;
};

static char *read_proc(struct session *s, const char *name, size_t *ret_n)
{
	AUTO_FD int fd = target_open_proc(s->target, name);
	return fd < 0 ? NULL : system_read_fd(fd, ret_n);
}

static bool inode_of(const char *link, const char *prefix, uint64_t *ret)
{
	size_t k = strlen(prefix);
	if (strncmp(link, prefix, k) || !isdigit((unsigned char)link[k]))
		return false;
	*ret = strtoull(link + k, NULL, 10);
	return true;
}

static void on_socket(void *ctx, uint64_t inode, const char *state)
{
	struct survey *v = ctx;
	uint64_t index;
	if (!map64_find(&v->sockets, inode, &index) || index)
		return;
	struct socket *k = vec_push(&v->known);
	if (k)
		*k = (struct socket){ v->table, state };
	if (!k || !map64_put(&v->sockets, inode, v->known.n - 1))
		v->nomem = true;
}

/* Only the process's own sockets are kept of the tables, which are those of its network namespace. */
static void read_tables(struct survey *v)
{
	for (size_t i = 0; i < N_TABLES && !v->nomem; i++) {
		char path[32];
		snprintf(path, sizeof path, "net/%s", net_tables[i]);
		AUTO_FREE char *text = read_proc(v->r->session, path, NULL);
		v->table = net_tables[i];
		if (text)
			system_sockets(v->table, text, on_socket, v);
	}
}

static void count(struct survey *v, const char *kind, size_t n, const char *state)
{
	struct resources *r = v->r;
	char name[sizeof r->kinds.at->kind];
	snprintf(name, sizeof name, "%.*s", (int)n, kind);
	for (size_t i = 0; i < r->kinds.n; i++)
		if (!strcmp(r->kinds.at[i].kind, name) && !strcmp(r->kinds.at[i].state, state)) {
			r->kinds.at[i].count++;
			return;
		}
	/* The kernel has some thirty kinds; a name of the target's own cannot get here. */
	struct descriptor_kind *k = vec_push(&r->kinds);
	if (!k) {
		v->nomem = true;
		return;
	}
	memcpy(k->kind, name, sizeof name);
	k->state = state;
	k->count = 1;
}

static bool starts(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

static void count_path(struct survey *v, const char *path)
{
	static const char deleted[] = " (deleted)";
	size_t n = strlen(path), k = sizeof deleted - 1;
	bool gone = n > k && !strcmp(path + n - k, deleted);
	const char *kind = starts(path, "/memfd:") ? "memfd" : starts(path, "/dev/shm/") ? "shared-memory" : starts(path, "/dev/") ? "device" : "file";
	count(v, kind, strlen(kind), gone && strcmp(kind, "memfd") != 0 ? "deleted" : "");
	struct open_file *f = vec_push(&v->r->files);
	if (!f) {
		v->nomem = true;
		return;
	}
	f->count = 1;
	f->deleted = gone;
	f->path = strndup(path, gone ? n - k : n);
	v->nomem |= !f->path;
}

static void count_link(struct survey *v, const char *link)
{
	uint64_t inode, index;
	if (inode_of(link, "socket:[", &inode)) {
		struct socket s = { "socket", "" };
		if (map64_find(&v->sockets, inode, &index) && index)
			s = v->known.at[index];
		count(v, s.table, strlen(s.table), s.state);
	} else if (starts(link, "anon_inode:")) {
		/* "[eventpoll]", but "inotify" (fs/notify/inotify/inotify_user.c). */
		const char *name = link + 11 + (link[11] == '[');
		size_t n = strcspn(name, "]");
		bool epoll = n == 9 && starts(name, "eventpoll");
		count(v, epoll ? "epoll" : name, epoll ? 5 : n, "");
	} else if (link[0] == '/') {
		count_path(v, link);
	} else { /* "pipe:[1]", "pidfd:[2]", "net:[3]" */
		count(v, link, strcspn(link, ":"), "");
	}
}

static int by_count(const void *a, const void *b)
{
	const struct descriptor_kind *x = a, *y = b;
	int kind = strcmp(x->kind, y->kind);
	return x->count != y->count ? (x->count > y->count ? -1 : 1) : kind ? kind : strcmp(x->state, y->state);
}

static int by_path(const void *a, const void *b)
{
	const struct open_file *x = a, *y = b;
	int path = x->path && y->path ? strcmp(x->path, y->path) : 0;
	return path ? path : (int)x->deleted - (int)y->deleted;
}

static int files_by_count(const void *a, const void *b)
{
	const struct open_file *x = a, *y = b;
	return x->count != y->count ? (x->count > y->count ? -1 : 1) : by_path(a, b);
}

/* The same file many times is one line; what is open once is none. */
static void merge_files(struct resources *r)
{
	size_t kept = 0;
	if (r->files.n)
		qsort(r->files.at, r->files.n, sizeof *r->files.at, by_path);
	for (size_t i = 0, n; i < r->files.n; i += n) {
		for (n = 1; i + n < r->files.n && !by_path(&r->files.at[i], &r->files.at[i + n]); n++)
			free(r->files.at[i + n].path);
		if (n == 1 && !r->files.at[i].deleted) {
			free(r->files.at[i].path);
			continue;
		}
		r->files.at[kept] = r->files.at[i];
		r->files.at[kept++].count = n;
	}
	r->files.n = kept;
	if (kept)
		qsort(r->files.at, kept, sizeof *r->files.at, files_by_count);
}

static void read_limit(struct resources *r)
{
	AUTO_FREE char *text = read_proc(r->session, "limits", NULL);
	const char *p = text ? strstr(text, "Max open files") : NULL;
	r->descriptor_limit = UNKNOWN;
	p = p ? p + strcspn(p, "0123456789\n") : NULL;
	if (p && isdigit((unsigned char)*p))
		r->descriptor_limit = strtoull(p, NULL, 10);
}

/* "ID: 0", then four more lines each (proc_pid_timers(5)). */
static void count_timers(struct resources *r)
{
	AUTO_FREE char *text = read_proc(r->session, "timers", NULL);
	r->timers = text ? 0 : UNKNOWN;
	for (const char *p = text; p && *p; p = strchr(p, '\n'), p += p != NULL)
		r->timers += starts(p, "ID:");
}

static bool take_all(struct survey *v, const char *list, size_t n)
{
	const char *link;
	uint64_t fd, inode;
	bool sockets = false;
	if (!vec_push(&v->known)) /* index 0 is nobody */
		return false;
	for (const char *at = list; resources_record(&at, list + n, &fd, &link);)
		if (inode_of(link, "socket:[", &inode)) {
			sockets = true;
			v->nomem |= !map64_put(&v->sockets, inode, 0);
		}
	if (sockets)
		read_tables(v);
	for (const char *at = list; resources_record(&at, list + n, &fd, &link) && !v->nomem;) {
		v->r->descriptors++;
		count_link(v, link);
	}
	return !v->nomem;
}

struct err *resources_descriptors(struct resources *r)
{
	struct survey v = { .r = r };
	size_t n = 0;
	read_limit(r);
	count_timers(r);
	AUTO_FREE char *list = read_proc(r->session, "fd/*", &n);
	r->have_descriptors = list != NULL;
	bool ok = !list || take_all(&v, list, n);
	map64_free(&v.sockets);
	vec_free(&v.known);
	if (!ok)
		return err_nomem();
	merge_files(r);
	if (r->kinds.n)
		qsort(r->kinds.at, r->kinds.n, sizeof *r->kinds.at, by_count);
	return NULL;
}

/* /proc/PID/maps and smaps (proc_pid_maps(5), proc_pid_smaps(5); kernel fs/proc/task_mmu.c). */
#include "flotsam/system.h"

#include <errno.h>

struct cursor { const char *p, *end; bool ok; };

static uint64_t hex(struct cursor *c)
{
	uint64_t v = 0;
	int digits = 0;
	for (; c->p < c->end; c->p++, digits++) {
		char k = *c->p;
		unsigned d = k >= '0' && k <= '9' ? (unsigned)(k - '0') : k >= 'a' && k <= 'f' ? (unsigned)(k - 'a' + 10) : 16;
		if (d == 16)
			break;
		v = v << 4 | d;
	}
	c->ok &= digits > 0 && digits <= 16;
	return v;
}

static uint64_t decimal(struct cursor *c)
{
	uint64_t v = 0;
	int digits = 0;
	for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++, digits++)
		v = v * 10 + (unsigned)(*c->p - '0');
	c->ok &= digits > 0;
	return v;
}

static void expect(struct cursor *c, char k)
{
	c->ok &= c->p < c->end && *c->p == k;
	c->p += c->p < c->end;
}

static char next(struct cursor *c)
{
	c->ok &= c->p < c->end;
	return c->p < c->end ? *c->p++ : '\0';
}

static bool parse_line(const char *line, size_t n, struct maps_line *m)
{
	static const char deleted[] = " (deleted)";
	struct cursor c = { line, line + n, true };
	m->start = hex(&c);
	expect(&c, '-');
	m->end = hex(&c);
	expect(&c, ' ');
	m->r = next(&c) == 'r';
	m->w = next(&c) == 'w';
	m->x = next(&c) == 'x';
	m->shared = next(&c) == 's';
	expect(&c, ' ');
	m->offset = hex(&c);
	expect(&c, ' ');
	m->dev_major = (uint32_t)hex(&c);
	expect(&c, ':');
	m->dev_minor = (uint32_t)hex(&c);
	expect(&c, ' ');
	m->inode = decimal(&c);
	while (c.p < c.end && *c.p == ' ')
		c.p++;
	m->path = c.p;
	m->path_n = (size_t)(c.end - c.p);
	m->deleted = m->inode && m->path_n > sizeof deleted - 1 &&
		     !memcmp(c.end - (sizeof deleted - 1), deleted, sizeof deleted - 1);
	if (m->deleted)
		m->path_n -= sizeof deleted - 1;
	return c.ok && m->start < m->end;
}

bool system_maps_next(const char **text, size_t *n, struct maps_line *ret, size_t *bad)
{
	while (*n) {
		const char *line = *text, *end = memchr(line, '\n', *n);
		size_t length = end ? (size_t)(end - line) : *n, step = length + (end != NULL);
		*text += step;
		*n -= step;
		*ret = (struct maps_line){ 0 };
		if (parse_line(line, length, ret))
			return true;
		if (bad && length)
			++*bad;
	}
	return false;
}

static void smaps_field(struct smaps_entry *e, const char *line, size_t n)
{
	static const struct {
		const char *name;
		size_t offset;
	} fields[] = {
#define FIELD(name, member) { name, offsetof(struct smaps_entry, member) }
		FIELD("Size:", size), FIELD("Rss:", rss), FIELD("Pss:", pss), FIELD("Anonymous:", anonymous), FIELD("Shared_Clean:", shared_clean),
		FIELD("Shared_Dirty:", shared_dirty), FIELD("Private_Clean:", private_clean), FIELD("Private_Dirty:", private_dirty),
		FIELD("Swap:", swap), FIELD("AnonHugePages:", anon_huge), FIELD("Locked:", locked),
		FIELD("SwapPss:", swap_pss), FIELD("FilePmdMapped:", file_huge), FIELD("ShmemPmdMapped:", shmem_huge),
		FIELD("Private_Hugetlb:", private_hugetlb), FIELD("Shared_Hugetlb:", shared_hugetlb),
#undef FIELD
	};
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		size_t k = strlen(fields[i].name);
		if (n <= k || memcmp(line, fields[i].name, k))
			continue;
		struct cursor c = { line + k, line + n, true };
		while (c.p < c.end && *c.p == ' ')
			c.p++;
		uint64_t v = decimal(&c);
		if (c.ok)
			*(uint64_t *)((char *)e + fields[i].offset) = v * 1024;
		return;
	}
	if (n > 8 && !memcmp(line, "VmFlags:", 8))
		for (size_t i = 8; i + 2 < n + 1; i++) {
			if (line[i - 1] != ' ' && i > 8)
				continue;
			if (i + 1 >= n)
				break;
			e->flag_io |= !memcmp(line + i, "io", 2);
			e->flag_pf |= !memcmp(line + i, "pf", 2);
			e->flag_dontdump |= !memcmp(line + i, "dd", 2);
			e->flag_ht |= !memcmp(line + i, "ht", 2);
			e->flag_userfaultfd |= !memcmp(line + i, "um", 2) || !memcmp(line + i, "uw", 2) || !memcmp(line + i, "ui", 2);
		}
}

struct err *system_smaps_each(int fd, system_smaps_fn *f, void *ctx)
{
	size_t n;
	AUTO_FREE char *text = system_read_fd(fd, &n);
	if (!text)
		return err_os(errno, "cannot read smaps");
	struct smaps_entry e = { 0 };
	bool open = false;
	for (const char *p = text, *end; p < text + n; p = end + 1) {
		end = memchr(p, '\n', (size_t)(text + n - p));
		if (!end)
			break;
		struct maps_line m = { 0 };
		if (parse_line(p, (size_t)(end - p), &m)) {
			if (open && !f(ctx, &e))
				return NULL;
			e = (struct smaps_entry){ .map = m };
			open = true;
		} else if (open) {
			smaps_field(&e, p, (size_t)(end - p));
		}
	}
	if (open)
		f(ctx, &e);
	return NULL;
}

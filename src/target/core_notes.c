/* What flotsam put into a core beside what the kernel puts there: the list of mappings with its names, which pages were resident,
 * what the kernel alone held, its figures. It stands in place of what a core's segments tell, if all of it can be. */
#include "core.h"
#include "flotsam/codec.h"
#include "row.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

struct own {
	struct target target; /* its books and picture, without bytes and registers */
	struct kernel_account account;
};

bool core_own_note(struct core *c, struct span name, uint32_t type, struct span text)
{
	enum { MOST = 16 };
	static const char own[] = TARGET_NOTE_NAME;
	if (name.n != sizeof own || memcmp(name.p, own, sizeof own) || type < TARGET_NOTE_TARGET || type >= TARGET_NOTES_END)
		return true;
	if (c->own.n == MOST) /* more are not written: of these some stand twice, which is refused */
		return true;
	struct own_note *slot = vec_push(&c->own);
	if (!slot)
		return false;
	*slot = (struct own_note){ type, text, NULL };
	return true;
}

/* Behind the version, which is one that we know. */
static bool open_note(const struct own_note *n, struct codec *k)
{
	uint64_t version = 0;
	*k = (struct codec){ .in = n->text };
	codec_u64(k, &version);
	return !k->failed && version == TARGET_NOTE_VERSION;
}

/* Strings of the books stay where they were read: in a copy, since others may write to the file. */
static bool copy_note(struct own_note *n)
{
	n->copy = malloc(n->text.n + 1);
	if (!n->copy)
		return false;
	if (n->text.n)
		memcpy(n->copy, n->text.p, n->text.n);
	n->text.p = n->copy;
	return true;
}

/* NULL, or what is wrong. */
static const char *decode_note(const struct own_note *n, struct own *o)
{
	struct codec k;
	if (!open_note(n, &k))
		return "are of a version that this flotsam does not know";
	if (n->type == TARGET_NOTE_TARGET)
		target_code(&k, &o->target, &o->account);
	else if (n->type == TARGET_NOTE_MAPS)
		picture_code_maps(&k, &o->target.picture);
	else if (n->type == TARGET_NOTE_PAGES)
		picture_code_pages(&k, &o->target.picture);
	else if (n->type == TARGET_NOTE_KERNEL_WORDS)
		picture_code_kernel_words(&k, &o->target.picture);
	return k.failed ? "hold what cannot be, or end early" : NULL;
}

/* False: out of memory. */
static bool decode(struct core *c, struct own *o, const char **ret_wrong)
{
	unsigned seen = 0, all = (1u << (TARGET_NOTE_PROC - TARGET_NOTE_TARGET)) - 1;
	for (size_t i = 0; i < c->own.n && !*ret_wrong; i++) {
		struct own_note *n = &c->own.at[i];
		unsigned bit = 1u << (n->type - TARGET_NOTE_TARGET);
		if (!copy_note(n))
			return false;
		*ret_wrong = seen & bit & all ? "are there twice" : decode_note(n, o);
		seen |= bit;
	}
	if (!*ret_wrong && (seen & all) != all)
		*ret_wrong = "are not all there";
	return true;
}

/* Every segment lies in mappings of the list. */
static bool covers(const struct picture *p, const struct core *c)
{
	size_t m = 0;
	for (size_t i = 0; i < c->loads.n; i++) {
		uint64_t at = c->loads.at[i].address, end = at + c->loads.at[i].memory_bytes;
		while (at < end) {
			while (m < p->maps.n && p->maps.at[m].end <= at)
				m++;
			if (m >= p->maps.n || p->maps.at[m].start > at)
				return false;
			at = p->maps.at[m].end;
		}
	}
	return true;
}

static const char *judge(const struct core *c, const struct own *o)
{
	const struct picture *p = &o->target.picture, *derived = &c->target.picture;
	struct coded_fault f;
	if (!target_coded_well(&o->target, &f))
		return "hold what cannot be";
	if (o->target.arch != c->arch || p->maps.n > LIMIT_MAPPINGS || p->threads.n != derived->threads.n || !covers(p, c))
		return "are of another process";
	for (size_t i = 0; i < p->threads.n; i++)
		if (p->threads.at[i].tid != derived->threads.at[i].tid)
			return "are of another process";
	return NULL;
}

/* Takes a vector over. */
#define MOVE(to, from)                                                                                                 \
	do {                                                                                                           \
		vec_free(&(to));                                                                                       \
		memcpy(&(to), &(from), sizeof(to));                                                                    \
		memset(&(from), 0, sizeof(from));                                                                      \
	} while (0)

static bool take_maps(struct picture *to, struct picture *from)
{
	for (size_t i = 0; i < from->maps.n; i++) {
		char *path = strdup(from->maps.at[i].path);
		if (!path) {
			from->maps.n = i; /* whose paths are ours */
			for (size_t j = 0; j < i; j++)
				free((char *)from->maps.at[j].path);
			return false;
		}
		from->maps.at[i].path = path;
	}
	for (size_t i = 0; i < to->maps.n; i++)
		free((char *)to->maps.at[i].path);
	MOVE(to->maps, from->maps);
	return true;
}

static void take_findings(struct findings *to, struct findings *from)
{
	for (size_t i = 0; i < from->list.n; i++) {
		struct finding *slot = to->list.n < LIMIT_FINDINGS ? vec_push(&to->list) : NULL;
		if (slot)
			*slot = from->list.at[i];
		else
			free(from->list.at[i].text), to->dropped++;
	}
	from->list.n = 0;
	to->dropped += from->dropped;
}

static bool take(struct core *c, struct own *o)
{
	struct target *t = &c->target;
	struct picture *to = &t->picture, *from = &o->target.picture;
	uint64_t truncated = 0;
	for (size_t i = 0; i < to->skipped.n; i++)
		if (!strcmp(to->skipped.at[i].reason, "truncated"))
			truncated = to->skipped.at[i].bytes;
	if (!take_maps(to, from))
		return false;
	MOVE(to->skipped, from->skipped);
	MOVE(to->pages, from->pages);
	MOVE(to->kernel_words, from->kernel_words);
	take_findings(&to->findings, &from->findings);
	for (size_t i = 0; i < to->threads.n; i++) {
		struct thread *a = &to->threads.at[i];
		const struct thread *b = &from->threads.at[i];
		memcpy(a->comm, b->comm, sizeof a->comm - 1);
		a->tp = b->tp;
		if (!b->stopped) /* its registers are zeros of the writer's */
			a->gregs = a->fpregs = (struct span){ NULL, 0 };
		a->stopped = a->gregs.n;
	}
	t->pid = o->target.pid;
	memcpy(t->comm, o->target.comm, sizeof t->comm);
	memcpy(t->exe, o->target.exe, sizeof t->exe);
	to->page = from->page;
	to->listed = from->listed;
	to->have_pages = from->have_pages;
	to->read_bytes = from->read_bytes;
	to->taken = from->taken;
	to->stopped_seconds = from->stopped_seconds;
	to->copy_seconds = from->copy_seconds;
	to->stops = from->stops;
	to->quiet = from->quiet;
	to->at_most = from->at_most;
	to->truncated |= from->truncated;
	c->account = o->account;
	t->account = &c->account;
	return picture_skip(to, "truncated", truncated, true);
}

bool core_take_own(struct core *c, bool *ret_taken)
{
	*ret_taken = false;
	if (!c->own.n)
		return true;
	AUTO_FREE struct own *o = calloc(1, sizeof *o);
	const char *wrong = NULL;
	bool ok = o && decode(c, o, &wrong);
	if (ok && !wrong)
		wrong = judge(c, o);
	if (ok && wrong)
		findings_add(&c->target.picture.findings, "bad-notes", 0,
			     "the notes that flotsam put into the core %s: residency and the kernel's figures are not known", wrong);
	if (ok && !wrong)
		ok = *ret_taken = take(c, o);
	if (o)
		picture_clear(&o->target.picture);
	return ok;
}

int core_open_proc(struct target *t, const char *name)
{
	const struct core *c = (const struct core *)t;
	for (size_t i = 0; t->account && i < c->own.n; i++) {
		struct codec k;
		const char *its = NULL, *text = NULL;
		if (c->own.at[i].type != TARGET_NOTE_PROC || !open_note(&c->own.at[i], &k))
			continue;
		codec_string(&k, &its);
		codec_string(&k, &text);
		if (!its || !text || strcmp(its, name))
			continue;
		AUTO_FD int fd = memfd_create("proc", MFD_CLOEXEC);
		size_t n = strlen(text);
		if (fd < 0 || write(fd, text, n) != (ssize_t)n || lseek(fd, 0, SEEK_SET))
			return -1;
		int given = fd;
		fd = -1;
		return given;
	}
	errno = ENOENT;
	return -1;
}

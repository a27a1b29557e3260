/* What flotsam keeps in a core beside its bytes comes back as it went; where it is damaged, the core is what it is without. */
#include <check.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "flotsam/corefile.h"
#include "heap_builder.h"

static char dir[64];
static struct made_heap *heap;
static struct session *session;
static uint8_t *bytes;
static size_t n_bytes;

static void must(struct err *e)
{
	ck_assert_msg(!e, "%s", e ? e->text : "");
}

/* A core of a heap made by hand, of which we know more than a core has. */
static void know_more(struct picture *p)
{
	static const struct kernel_word words[] = { { 0x1234, KERNEL_EPOLL, 7 }, { UINT32_MAX, KERNEL_TIMER, -1 } };
	for (size_t i = 0; i < p->maps.n; i++) {
		struct page_run *r = vec_push(&p->pages);
		*r = (struct page_run){ p->maps.at[i].start, p->maps.at[i].end, i % 3 ? PAGE_PRESENT : PAGE_SWAPPED };
	}
	for (size_t i = 0; i < 2; i++)
		*vec_push(&p->kernel_words) = words[i];
	*vec_push(&p->skipped) = (struct skipped){ "shared-file", 12345, false };
	p->have_pages = p->listed = true;
	p->stopped_seconds = 0.25;
	p->taken = 123456789;
	findings_add(&p->findings, "made-up", 0x1000, "found %d", 1);
	strcpy(p->threads.at[0].comm, "first");
	session->status = (struct process_status){ .threads = 3, .vm_rss = 777 << 10, .rss_anon = UNKNOWN };
	session->cgroup = (struct cgroup_memory){ .known = true, .version = 2, .path = "/a", .limit = UNKNOWN, .limit_cache = 99 };
	session->uptime = 17.5;
}

static void begin(void)
{
	static const struct session_options options = { .target = { .force = true }, .graph = { .threads = 1 } };
	const struct heap_options o = { .word = 8, .minor = 36, .seed = 1, .blank = true };
	strcpy(dir, "/tmp/flotsam-full-core-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	heap = heap_make(&o, dir);
	must(session_open("core", heap->path, &options, &session));
	know_more(&session->target->picture);
	int fd = memfd_create("core", MFD_CLOEXEC);
	must(corefile_write(session, fd, false));
	n_bytes = (size_t)lseek(fd, 0, SEEK_END);
	bytes = malloc(n_bytes);
	ck_assert_int_eq(pread(fd, bytes, n_bytes, 0), (ssize_t)n_bytes);
	close(fd);
}

static void end(void)
{
	char command[128];
	session_close(session);
	heap_destroy(heap);
	free(bytes);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static struct err *open_bytes(struct target **ret)
{
	static const struct target_options options = { .force = true };
	int fd = memfd_create("core", MFD_CLOEXEC);
	char path[32];
	ck_assert_int_eq(write(fd, bytes, n_bytes), (ssize_t)n_bytes);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	struct err *e = target_open("core", path, &options, ret);
	close(fd);
	return e;
}

static bool has_finding(const struct picture *p, const char *kind)
{
	for (size_t i = 0; i < p->findings.list.n; i++)
		if (!strcmp(p->findings.list.at[i].kind, kind))
			return true;
	return false;
}

START_TEST(comes_back)
{
	struct target *t;
	const struct picture *a = &session->target->picture, *b;
	must(open_bytes(&t));
	b = &t->picture;
	ck_assert(t->account && !t->live && b->have_pages && b->listed && !has_finding(b, "bad-notes") && has_finding(b, "made-up"));
	ck_assert_uint_eq(a->maps.n, b->maps.n);
	ck_assert_uint_eq(a->pages.n, b->pages.n);
	for (size_t i = 0; i < a->maps.n; i++) {
		const struct mapping *x = &a->maps.at[i], *y = &b->maps.at[i];
		ck_assert(x->start == y->start && x->end == y->end && x->prot == y->prot && x->inode == y->inode && !strcmp(x->path, y->path));
		ck_assert(!memcmp(&a->pages.at[i], &b->pages.at[i], sizeof(struct page_run)));
	}
	ck_assert_uint_eq(b->kernel_words.n, 2);
	ck_assert(b->kernel_words.at[0].value == 0x1234 && b->kernel_words.at[0].fd == 7 && b->kernel_words.at[1].kind == KERNEL_TIMER);
	ck_assert_uint_eq(b->skipped.n, a->skipped.n);
	ck_assert_str_eq(b->threads.at[0].comm, "first");
	ck_assert(b->taken == 123456789 && b->stopped_seconds == 0.25 && t->account->uptime == 17.5);
	ck_assert(t->account->status.vm_rss == 777 << 10 && t->account->status.rss_anon == UNKNOWN && t->account->cgroup.limit_cache == 99);
	target_close(t);
}
END_TEST

/* Where flotsam's notes begin and end in the file. */
static void find_notes(size_t *from, size_t *to)
{
	static const char name[] = TARGET_NOTE_NAME;
	*from = *to = 0;
	for (size_t i = 12; i + sizeof name < n_bytes; i += 4) {
		uint32_t size;
		if (memcmp(bytes + i, name, sizeof name))
			continue;
		memcpy(&size, bytes + i - 8, sizeof size);
		*from = *from ? *from : i - 12;
		*to = i + sizeof name + size;
	}
	ck_assert(*from && *to < n_bytes);
}

/* Any byte may be any: the core opens all the same, with what the notes say or with a word on why not. */
START_TEST(is_refused_where_it_is_damaged)
{
	static const uint8_t changes[] = { 0xff, 0x80, 0x01 };
	size_t from, to, refused = 0;
	find_notes(&from, &to);
	for (size_t at = from; at < to; at++)
		for (size_t c = 0; c < sizeof changes; c++) {
			struct target *t;
			bytes[at] ^= changes[c];
			must(open_bytes(&t));
			const struct picture *p = &t->picture;
			ck_assert_msg(!t->account || !has_finding(p, "bad-notes"), "byte %zu", at - from);
			ck_assert(t->account || (!p->have_pages && !p->listed));
			ck_assert(p->maps.n && p->extents.n);
			refused += has_finding(p, "bad-notes");
			target_close(t);
			bytes[at] ^= changes[c];
		}
	ck_assert_uint_gt(refused, 50);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("full core");
	TCase *c = tcase_create("notes");
	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, begin, end);
	tcase_add_test(c, comes_back);
	tcase_add_test(c, is_refused_where_it_is_damaged);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

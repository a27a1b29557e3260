/* Cores are hostile: a real one, cut at many lengths and damaged at random places, must never crash or hang the reader, the
 * heap walker or the graph. What is undamaged is the fixture of the first test. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"

#include "flotsam/session.h"

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
enum { LIVE = 3000, LOST = 200, CUTS = 40, WOUNDS = 80 };

static char *whole;
static size_t whole_n;
static void **kept; /* a global: what it holds is reachable */

static __attribute__((noinline)) void fill(void)
{
	kept = malloc(LIVE * sizeof *kept);
	for (int i = 0; i < LIVE; i++) {
		kept[i] = malloc(24 + (size_t)(i % 40) * 16);
		memset(kept[i], 0, 24);
		if (i)
			*(void **)kept[i] = kept[i - 1];
	}
	for (int i = 0; i < LOST; i++)
		*(volatile char *)malloc(5000) = 1; /* too large for a cache: nothing else points at them */
	for (int i = 0; i < LIVE; i += 3) {
		free(kept[i]);
		kept[i] = NULL;
	}
}

static bool make_core(void)
{
	/* Under a sanitizer this program's own heap is not glibc's: a fixture lends its. */
	const char *fixtures = getenv("FIXTURES");
	char program[512];
	snprintf(program, sizeof program, "%s/trees", fixtures ? fixtures : "");
	int in[2], out[2];
	const char *dir = scratch_directory(); /* ours, not the child's, which dies */
	ck_assert(!pipe(in) && !pipe(out));
	pid_t p = fork();
	if (!p) {
		struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
		if (chdir(dir) || setrlimit(RLIMIT_CORE, &all))
			_exit(1);
		if (SANITIZED) {
			dup2(in[0], 0);
			dup2(out[1], 1);
			execl(program, program, (char *)NULL);
			_exit(1);
		}
		fill();
		char sweep[8192];
		memset(sweep, 0, sizeof sweep);
		__asm__ volatile("" : : "r"(sweep) : "memory");
		signal(SIGABRT, SIG_DFL);
		abort();
	}
	if (SANITIZED) {
		char text[4096];
		usleep(300000); /* stopped in the middle of its account is as good */
		ck_assert(read(out[0], text, sizeof text) > 0);
		kill(p, SIGABRT);
	}
	waitpid(p, NULL, 0);
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(out[i]);
	}
	char path[128];
	snprintf(path, sizeof path, "%s/core", scratch_directory());
	if (access(path, R_OK))
		snprintf(path, sizeof path, "%s/core.%d", scratch_directory(), (int)p);
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	whole = system_read_fd(fd, &whole_n);
	close(fd);
	unlink(path);
	return whole && whole_n > 65536;
}

/* Writes n bytes as a core and takes them through the whole line. NULL when it could be read. */
static struct err *look_at(const char *bytes, size_t n, struct class_sum sums[CLASS_RUNTIME + 1], size_t *ret_findings)
{
	char path[128];
	snprintf(path, sizeof path, "%s/damaged", scratch_directory());
	FILE *f = fopen(path, "w");
	ck_assert(f && fwrite(bytes, 1, n, f) == n && !fclose(f));
	struct session_options o = { 0 };
	struct session *s;
	struct err *e = session_open("core", path, &o, &s);
	unlink(path);
	if (e)
		return e;
	e = session_holders(s);
	if (!e && s->graph) {
		memcpy(sums, s->graph->sums, (CLASS_RUNTIME + 1) * sizeof *sums);
		*ret_findings = s->alloc->findings.list.n;
	}
	session_close(s);
	return e;
}

static void set_up(void)
{
	if (!make_core())
		printf("SKIP damage_test: needs a core_pattern that writes a file\n");
}

static void tear_down(void)
{
	free(whole);
	whole = NULL;
}

START_TEST(the_whole_core_tells_the_truth)
{
	struct class_sum sums[CLASS_RUNTIME + 1] = { 0 };
	size_t findings = 0;
	if (!whole)
		return;
	struct err *e = look_at(whole, whole_n, sums, &findings);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	ck_assert_uint_eq(findings, 0);
	ck_assert_uint_gt(sums[CLASS_REACHABLE].blocks, 0);
	if (!SANITIZED) {
		ck_assert_uint_ge(sums[CLASS_DEFINITE].blocks, LOST - 2);
		ck_assert_uint_le(sums[CLASS_DEFINITE].blocks, LOST);
	}
}
END_TEST

START_TEST(a_cut_core_is_refused_or_read_as_far_as_it_goes)
{
	struct class_sum sums[CLASS_RUNTIME + 1];
	size_t findings, refused = 0;
	for (int i = 0; whole && i < CUTS; i++) {
		size_t n = i < 25 ? (size_t)i * 97 : whole_n / CUTS * (size_t)i;
		struct err *e = look_at(whole, n < whole_n ? n : whole_n, sums, &findings);
		refused += e != NULL;
		err_free(e);
	}
	ck_assert(!whole || (refused > 0 && refused < CUTS));
}
END_TEST

/* One word after another is overwritten with what a bug would leave there. */
START_TEST(a_damaged_core_never_crashes_us)
{
	static const uint64_t values[] = { 0, UINT64_MAX, 0x4141414141414141, 8, 0x21, 1ull << 40 };
	struct class_sum sums[CLASS_RUNTIME + 1];
	size_t findings;
	uint64_t seed = 88172645463325252u;
	for (int i = 0; whole && i < WOUNDS; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		/* A third in the headers and notes, where every field counts. */
		size_t range = i % 3 ? whole_n : whole_n < 8192 ? whole_n : 8192, at = seed % (range - 8) / 8 * 8;
		char old[8];
		memcpy(old, whole + at, 8);
		memcpy(whole + at, &values[(seed >> 56) % (sizeof values / sizeof values[0])], 8);
		err_free(look_at(whole, whole_n, sums, &findings));
		if (i % 5)
			memcpy(whole + at, old, 8); /* every fifth wound stays */
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("damage");
	TCase *t = tcase_create("core");
	tcase_add_unchecked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 300);
	tcase_add_test(t, the_whole_core_tells_the_truth);
	tcase_add_test(t, a_cut_core_is_refused_or_read_as_far_as_it_goes);
	tcase_add_test(t, a_damaged_core_never_crashes_us);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

/* The leaky API server under load: flotsam's report against what the server says that each way of leaking has cost. The
 * connection that asked for the truth stays open, and its struct hangs on epoll alone: it must not be called lost. */
#include "process.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct child server;
static int client = -1;
static json_t *truth, *report;

/* GET /truth, the connection kept. */
static json_t *ask_truth(int port)
{
	static char text[1 << 16];
	static const char get[] = "GET /truth HTTP/1.1\r\n\r\n";
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client < 0 || connect(client, (struct sockaddr *)&a, sizeof a) || write(client, get, strlen(get)) != (ssize_t)strlen(get))
		return NULL;
	json_t *j = NULL;
	for (size_t n = 0; !j && n < sizeof text - 1;) {
		ssize_t got = read(client, text + n, sizeof text - 1 - n);
		if (got <= 0)
			return NULL;
		n += (size_t)got;
		text[n] = 0;
		const char *body = strstr(text, "\r\n\r\n");
		j = body ? json_loads(body + 4, 0, NULL) : NULL;
	}
	return j;
}

static void set_up(void)
{
	const char *argv[] = { "leaky-api", "--port", "0", NULL };
	char drive[4096], port_text[16], pid[16];
	const char *fixtures = getenv("FIXTURES");
	int status;
	ck_assert_msg(child_start(&server, (char *const *)argv, NULL, false), "leaky-api does not start");
	json_t *hello = child_json(&server);
	int port = (int)json_integer_value(json_object_get(hello, "port"));
	ck_assert_int_gt(port, 0);
	json_decref(hello);

	snprintf(drive, sizeof drive, "%s/drive", fixtures ? fixtures : "build/release/fixtures");
	snprintf(port_text, sizeof port_text, "%d", port);
	const char *drive_argv[] = { drive, port_text, "120", NULL };
	free(run_text((char *const *)drive_argv, &status));
	ck_assert_int_eq(status, 0);
	truth = ask_truth(port);
	ck_assert_msg(truth, "the server says no truth");
	ck_assert(child_settled(&server));

	snprintf(pid, sizeof pid, "%d", (int)server.pid);
	const char *report_argv[] = { flotsam_path(), "report", pid, "--format", "json", "--top", "0", NULL };
	report = run_json((char *const *)report_argv, &status);
	ck_assert_int_eq(status, 0);
	ck_assert_msg(report, "flotsam report gives no JSON");
}

static void tear_down(void)
{
	json_decref(truth);
	json_decref(report);
	close(client);
	child_end(&server);
}

static long long number(const json_t *j, const char *key)
{
	const json_t *v = json_object_get(j, key);
	ck_assert_msg(json_is_integer(v), "%s is no number", key);
	return json_integer_value(v);
}

static long long at(const char *table, const char *row, const char *key)
{
	const json_t *t = json_object_get(report, table), *r = row ? json_object_get(t, row) : t;
	ck_assert_msg(r, "no %s.%s", table, row ? row : "");
	return number(r, key);
}

static json_t *cost_of(const char *way)
{
	size_t i;
	json_t *c;
	json_array_foreach(json_object_get(truth, "costs"), i, c)
		if (!strcmp(json_string_value(json_object_get(c, "way")), way))
			return c;
	ck_abort_msg("no way %s", way);
}

/* Exactly the forgotten uploads are lost: nothing more, nothing less. */
START_TEST(lost)
{
	json_t *upload = cost_of("lost_upload");
	ck_assert_int_gt(number(upload, "blocks"), 0);
	ck_assert_int_eq(at("reachability", "definite", "blocks") + at("reachability", "indirect", "blocks"), number(upload, "blocks"));
	ck_assert_int_eq(at("reachability", "definite", "bytes") + at("reachability", "indirect", "bytes"), number(upload, "bytes"));
	/* Three blocks an upload, of which one leads. */
	ck_assert_int_eq(at("reachability", "definite", "blocks") * 3, number(upload, "blocks"));
	ck_assert_int_eq(at("reachability", "possible", "blocks"), 0);
	long long retained = 0, blocks = 0;
	size_t i;
	json_t *l;
	json_array_foreach(json_object_get(report, "leaks"), i, l) {
		retained += number(l, "retained_bytes");
		blocks += number(l, "blocks");
	}
	ck_assert_int_eq(retained, number(upload, "bytes"));
	ck_assert_int_eq(blocks, at("reachability", "definite", "blocks"));
}
END_TEST

/* Each global keeps exactly what it has cost, and is found under its name and line. */
START_TEST(holders)
{
	size_t i, k;
	json_t *c, *h;
	unsigned globals = 0;
	json_array_foreach(json_object_get(truth, "costs"), i, c) {
		const char *global = json_string_value(json_object_get(c, "global"));
		if (!global)
			continue;
		bool found = false;
		globals++;
		json_array_foreach(json_object_get(report, "holders"), k, h) {
			if (strcmp(json_string_value(json_object_get(h, "name")), global))
				continue;
			found = true;
			ck_assert_str_eq(json_string_value(json_object_get(h, "kind")), "global");
			ck_assert_msg(number(h, "retained_blocks") == number(c, "blocks") && number(h, "retained_bytes") == number(c, "bytes"),
				      "%s keeps %lld bytes in %lld blocks, not %lld in %lld", global, number(h, "retained_bytes"),
				      number(h, "retained_blocks"), number(c, "bytes"), number(c, "blocks"));
			const char *where = json_string_value(json_object_get(h, "where"));
			ck_assert_msg(where && !strncmp(where, "leaky-api.c:", 12), "%s is in %s", global, where ? where : "no file");
		}
		ck_assert_msg(found, "%s is no holder", global);
	}
	ck_assert_uint_eq(globals, 7);
}
END_TEST

/* What waiting threads hold is on their stacks alone; the client is known to the kernel alone. */
START_TEST(frames_and_kernel)
{
	json_t *waiting = cost_of("waiting_thread"), *h;
	size_t k;
	long long frames = 0, kernel = 0;
	ck_assert_int_eq(at("reachability", "stack_only", "blocks"), number(waiting, "blocks"));
	ck_assert_int_eq(at("reachability", "stack_only", "bytes"), number(waiting, "bytes"));
	ck_assert_int_eq(at("target", NULL, "threads"), number(waiting, "threads") + 1);
	json_array_foreach(json_object_get(report, "holders"), k, h) {
		const char *kind = json_string_value(json_object_get(h, "kind"));
		if (!strcmp(kind, "frame"))
			frames += number(h, "retained_bytes");
		if (!strcmp(kind, "kernel"))
			kernel += number(h, "retained_blocks");
	}
	ck_assert_int_eq(frames, number(waiting, "bytes"));
	ck_assert_int_eq(kernel, 1);
}
END_TEST

/* The identities that the JSON's page states. */
START_TEST(sums)
{
	static const char *const classes[] = { "definite", "indirect", "possible", "reachable", "runtime" };
	static const char *const frees[] = { "trimmable_bytes", "top_bytes", "pinned_bytes", "nonresident_bytes" };
	long long blocks = 0, bytes = 0, causes = 0;
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
		blocks += at("reachability", classes[i], "blocks");
		bytes += at("reachability", classes[i], "bytes");
	}
	ck_assert_int_eq(at("heap", "used", "blocks"), blocks);
	ck_assert_int_eq(at("heap", "used", "bytes"), bytes);
	bytes = 0;
	for (size_t i = 0; i < sizeof frees / sizeof *frees; i++)
		bytes += at("heap", "free", frees[i]);
	ck_assert_int_eq(at("heap", "free", "bytes"), bytes);

	size_t i;
	json_t *c;
	json_array_foreach(json_object_get(json_object_get(report, "rss"), "causes"), i, c)
		causes += number(c, "bytes");
	long long total = at("rss", NULL, "total_bytes"), unexplained = at("rss", NULL, "unexplained_bytes");
	ck_assert_int_gt(total, 0);
	ck_assert_int_eq(total, causes + unexplained);
	ck_assert_int_le(llabs(unexplained) * 100, total);
	/* The kernel's own counter, which it keeps per processor: some pages may be on the way. */
	ck_assert_int_le(llabs(at("rss", NULL, "vmrss_bytes") - total) * 20, total);
}
END_TEST

/* The endpoint that fragments leaves holes between its tokens: far more than what it keeps. */
START_TEST(fragments)
{
	ck_assert_int_gt(at("heap", "free", "pinned_bytes"), number(cost_of("fragments"), "bytes"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("api");
	TCase *tc = tcase_create("leaky-api");
	tcase_add_unchecked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, lost);
	tcase_add_test(tc, holders);
	tcase_add_test(tc, frames_and_kernel);
	tcase_add_test(tc, sums);
	tcase_add_test(tc, fragments);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

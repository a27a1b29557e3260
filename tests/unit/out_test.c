/* out: whatever the foreign bytes are, JSON stays JSON, columns stay columns, and no terminal is driven. jansson, wcswidth()
 * and iswcntrl() judge. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <locale.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "flotsam/out.h"

static struct out memory_out(void)
{
	struct out o;
	out_init(&o, memfd_create("out", MFD_CLOEXEC), "never");
	return o;
}

static char *take_text(struct out *o, size_t *ret_n)
{
	out_flush(o);
	ck_assert_int_eq(o->error, 0);
	off_t n = lseek(o->fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)n + 1);
	ck_assert_int_eq(pread(o->fd, text, (size_t)n, 0), n);
	close(o->fd);
	out_deinit(o);
	if (ret_n)
		*ret_n = (size_t)n;
	return text;
}

static uint32_t seed;
static unsigned dice(unsigned sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % sides;
}

static size_t encode(char *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* Bytes to write, and what a reader of JSON shall get: made side by side, so that no decoder is needed. */
struct pair {
	char bytes[512], wanted[1024];
	size_t n, wanted_n;
};

static void add_character(struct pair *p, uint32_t c)
{
	p->n += encode(p->bytes + p->n, c);
	p->wanted_n += encode(p->wanted + p->wanted_n, c);
}

static void add_bad(struct pair *p, const char *bytes)
{
	for (; *bytes; bytes++) {
		p->bytes[p->n++] = *bytes;
		p->wanted_n += encode(p->wanted + p->wanted_n, 0xfffd);
	}
}

static struct pair random_text(void)
{
	/* Lone continuations, bytes that never occur, overlong forms, surrogates, beyond Unicode, cut sequences. */
	static const char *const bad[] = { "\x80", "\xbf", "\xff", "\xfe", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
					   "\xf5\x80\x80\x80", "\xc3", "\xe2\x82", "\xf0\x9f\x92" };
	static const uint32_t edges[] = { 0, 0x1f, 0x7f, 0x80, 0x9f, '"', '\\', '/', 0x7ff, 0x800, 0x202e, 0xd7ff, 0xe000, 0xfeff, 0xffff, 0x10000, 0x10ffff };
	struct pair p = { .n = 0 };
	for (unsigned k = dice(20); k; k--)
		switch (dice(5)) {
		case 0:
			add_bad(&p, bad[dice(sizeof bad / sizeof *bad)]);
			add_character(&p, 'x'); /* so that two cut sequences do not make a whole one */
			break;
		case 1:
			add_character(&p, edges[dice(sizeof edges / sizeof *edges)]);
			break;
		case 2:
			add_character(&p, 0xe000 + dice(0x2000));
			break;
		default:
			add_character(&p, 0x20 + dice(0x60));
		}
	return p;
}

static json_t *random_value(struct json *j, const char *key, unsigned depth)
{
	struct pair p;
	uint64_t n;
	json_t *v;
	switch (dice(depth < 6 ? 9 : 7)) {
	case 0:
		n = (uint64_t)dice(UINT32_MAX) << dice(31);
		out_json_u64(j, key, n);
		return json_integer((json_int_t)n);
	case 1:
		n = dice(1000);
		out_json_i64(j, key, -(int64_t)n);
		return json_integer(-(json_int_t)n);
	case 2:
		n = dice(2);
		out_json_bool(j, key, n);
		return json_boolean(n);
	case 3:
		out_json_string(j, key, NULL);
		return json_null();
	case 4:
		out_json_address(j, key, 0x7f00deadbeef);
		return json_string("0x7f00deadbeef");
	case 5:
	case 6:
		p = random_text();
		out_json_string_n(j, key, p.bytes, p.n);
		return json_stringn(p.wanted, p.wanted_n);
	case 7:
		v = json_array();
		out_json_array(j, key);
		for (unsigned k = dice(6); k; k--) {
			json_array_append_new(v, random_value(j, NULL, depth + 1));
		}
		out_json_end_array(j);
		return v;
	default:
		v = json_object();
		out_json_object(j, key);
		for (unsigned k = dice(6); k; k--) {
			char name[32];
			snprintf(name, sizeof name, "key \"%u\"\n", k);
			json_object_set_new(v, name, random_value(j, name, depth + 1));
		}
		out_json_end_object(j);
		return v;
	}
}

START_TEST(json_is_read_back)
{
	for (seed = 1; seed < 4000000000u; seed += 1000000) {
		uint32_t first = seed;
		struct out o = memory_out();
		struct json j;
		out_json_init(&j, &o, dice(2));
		json_t *want = json_array();
		out_json_array(&j, NULL);
		for (int i = 0; i < 8; i++)
			json_array_append_new(want, random_value(&j, NULL, 0));
		out_json_end_array(&j);
		size_t n;
		char *text = take_text(&o, &n);
		json_error_t error;
		json_t *got = json_loadb(text, n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
		ck_assert_msg(got, "seed %u: %s in %s", first, error.text, text);
		ck_assert_msg(json_equal(got, want), "seed %u: %s", first, text);
		json_decref(got);
		json_decref(want);
		free(text);
		seed = first;
	}
}
END_TEST

START_TEST(json_has_no_word_for_infinity)
{
	struct out o = memory_out();
	struct json j;
	out_json_init(&j, &o, false);
	out_json_array(&j, NULL);
	out_json_double(&j, NULL, 1.0 / 0.0, 3);
	out_json_double(&j, NULL, 0.0 / 0.0, 3);
	out_json_double(&j, NULL, 2.5, 3);
	out_json_end_array(&j);
	char *text = take_text(&o, NULL);
	ck_assert_str_eq(text, "[null,null,2.500]");
	free(text);
}
END_TEST

/* Each character there is, and each byte, through every writer of foreign text. */
static void write_all(struct out *o, const char *foreign)
{
	static const struct column columns[] = { { "a", "A", "", CELL_TEXT }, { "b", "B", "", CELL_TEXT } };
	const struct cell cells[] = { { .text = foreign }, { .text = foreign } };
	static const char *const sinks[] = { "text", "csv", "jsonl" };
	struct paragraph p;
	struct sink s;
	out_cell(o, foreign, 30);
	out_puts(o, "\n");
	paragraph_begin(&p, o, "", 80);
	paragraph_add(&p, foreign);
	paragraph_end(&p);
	for (int i = 0; i < 3; i++) {
		sink_begin(&s, sink_find(sinks[i]), o, columns, 2);
		sink_record(&s, cells);
		sink_end(&s);
	}
}

/* No check of libcheck's for each character: each one writes to a pipe. */
static void assert_harmless(const char *text, size_t n, uint32_t c)
{
	mbstate_t state = { 0 };
	for (size_t at = 0; at < n;) {
		wchar_t w;
		size_t k = mbrtowc(&w, text + at, n - at, &state);
		if (!k || k > n)
			ck_abort_msg("U+%04X: no UTF-8 at %zu", c, at);
		if (w != L'\n' && w != L'\r' && iswcntrl((wint_t)w))
			ck_abort_msg("U+%04X lets U+%04X through", c, (unsigned)w);
		if ((w >= 0x202a && w <= 0x202e) || (w >= 0x2066 && w <= 0x2069) || w == 0x200e || w == 0x200f)
			ck_abort_msg("U+%04X turns the text", c);
		at += k;
	}
}

START_TEST(no_character_drives_the_terminal)
{
	ck_assert_ptr_nonnull(setlocale(LC_ALL, "C.UTF-8"));
	for (uint32_t from = 1; from < 0x110000; from += 0x100) {
		struct out o = memory_out();
		for (uint32_t c = from; c < from + 0x100 && c < 0x110000; c++) {
			char foreign[16] = "a";
			foreign[1 + encode(foreign + 1, c)] = 'b';
			/* Beyond the first planes only a sample: nothing there is a control character. */
			if (c < 0x3000 || c % 251 == 0)
				write_all(&o, foreign);
		}
		size_t n;
		char *text = take_text(&o, &n);
		assert_harmless(text, n, from);
		free(text);
	}
}
END_TEST

START_TEST(no_byte_drives_the_terminal)
{
	ck_assert_ptr_nonnull(setlocale(LC_ALL, "C.UTF-8"));
	for (int a = 1; a < 256; a++) {
		struct out o = memory_out();
		for (int b = 1; b < 256; b++)
			write_all(&o, (char[]){ (char)a, (char)b, 0 });
		size_t n;
		char *text = take_text(&o, &n);
		assert_harmless(text, n, (uint32_t)a);
		free(text);
	}
}
END_TEST

START_TEST(plain_locale_gets_ascii)
{
	ck_assert_ptr_nonnull(setlocale(LC_ALL, "C"));
	struct out o = memory_out();
	struct paragraph p;
	ck_assert(!o.unicode);
	out_cell(&o, "caf\xc3\xa9 \xff", 20);
	paragraph_begin(&p, &o, "", 80);
	paragraph_add(&p, "\xe2\x82\xac");
	paragraph_end(&p);
	char *text = take_text(&o, NULL);
	ck_assert_str_eq(text, "caf\\xc3\\xa9 \\xff    \\xe2\\x82\\xac\n");
	free(text);
}
END_TEST

START_TEST(long_names_keep_their_ends)
{
	static const struct { const char *name; int columns; const char *short_name; } rows[] = {
		{ "std::map<int, int>", 18, "std::map<int, int>" },
		{ "std::map<int, int>", 17, "map<int, int>" },
		{ "std::map<std::string, std::vector<long>>", 30, "map<string, vector<long>>" },
		{ "std::map<std::string, std::vector<long>>", 23, "map<string, vector<..>>" },
		{ "std::map<std::string, std::vector<long>>", 20, "map<string, vecto..>" },
		{ "mystd::map<int>::std", 12, "mystd..::std" },
		{ "g_map (a.cc:3, std::map<std::pair<int, long>, char>, 5 items)", 48, "g_map (a.cc:3, map<pair<..>, char>, 5 items)" },
		{ "wait(std::function<int ()>&) at m.cc:44", 30, "wait(function<..>&) at m.cc:44" },
		{ "wait(std::function<int ()>&) at m.cc:44", 24, "wait(funct..) at m.cc:44" },
		{ "operator>>(a<b>)>>><<< ) unbalanced < ( >", 10, "oper..<..>" },
		{ "a\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9z", 7, "a..\xc3\xa9z" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[100];
		strcpy(text, rows[i].name);
		text_elide(text, rows[i].columns);
		ck_assert_str_eq(text, rows[i].short_name);
		ck_assert_int_le((int)strlen(text), rows[i].columns);
	}
	/* Of any length, and whatever is in it. */
	static const char bytes[] = "<>(),: ab\xc3\xa9";
	uint32_t random = 1;
	for (int n = 0; n < 3000; n++) {
		size_t length = n < 2900 ? (size_t)n % 97 : 70000;
		char *text = malloc(length + 1);
		ck_assert_ptr_nonnull(text);
		for (size_t i = 0; i < length; i++) {
			random = random * 1103515245 + 12345;
			text[i] = n == 2999 ? '<' : bytes[(random >> 16) % (sizeof bytes - 1)];
		}
		text[length] = 0;
		text_elide(text, 4 + n % 40);
		ck_assert_uint_le(strlen(text), (size_t)(4 + n % 40));
		free(text);
	}
}
END_TEST

START_TEST(a_table_fits_its_line)
{
	static const struct column columns[] = {
		{ "a", "A", NULL, CELL_TEXT, 30 }, { "n", "N", NULL, CELL_COUNT, 10 }, { "b", "B", NULL, CELL_TEXT, 0 },
	};
	static const int widths[] = { 60, 80, 200 };
	for (size_t i = 0; i < 3; i++) {
		struct out o = memory_out();
		struct column own[3];
		struct sink s;
		memcpy(own, columns, sizeof own);
		o.width = widths[i];
		sink_begin(&s, sink_find("text"), &o, own, 3);
		sink_fit(&s, own, 26);
		struct cell cells[] = { { .text = "a name that is longer than its column will ever be" }, { .number = 5 },
					{ .text = "std::map<std::pair<std::string, long>, std::vector<std::vector<std::string>>> and so on" } };
		sink_record(&s, cells);
		sink_end(&s);
		char *text = take_text(&o, NULL);
		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
			ck_assert_msg(strlen(line) <= (size_t)widths[i], "%zu columns of %d: %s", strlen(line), widths[i], line);
		free(text);
	}
}
END_TEST

static int columns_of(const char *text)
{
	wchar_t wide[256];
	size_t n = mbstowcs(wide, text, 256);
	ck_assert_uint_lt(n, 256);
	return wcswidth(wide, n);
}

START_TEST(cells_are_as_wide_as_they_say)
{
	/* Narrow, two columns wide, none wide; controls. */
	static const char *const pieces[] = { "a", "\xc3\xa9", "\xe6\xbc\xa2", "e\xcc\x81", "\xf0\x9f\x98\x80", "\x1b", "\xff", " " };
	ck_assert_ptr_nonnull(setlocale(LC_ALL, "C.UTF-8"));
	for (seed = 1; seed < 4000000000u; seed += 2000000) {
		uint32_t first = seed;
		char foreign[128] = "";
		for (unsigned k = dice(24); k; k--)
			strcat(foreign, pieces[dice(sizeof pieces / sizeof *pieces)]);
		struct out o = memory_out();
		int width = 4 + (int)dice(30);
		out_cell(&o, foreign, width);
		char *text = take_text(&o, NULL);
		ck_assert_msg(columns_of(text) == width, "seed %u: [%s] is not %d wide", first, text, width);
		struct strbuf whole = { 0 };
		strbuf_add_escaped(&whole, foreign, strlen(foreign));
		if (whole.text && columns_of(whole.text) <= width)
			ck_assert_msg(!strncmp(text, whole.text, whole.n), "cut without need: %s", text);
		else if (whole.text)
			ck_assert_msg(strstr(text, ".."), "cut in silence: %s", text);
		strbuf_free(&whole);
		free(text);
		seed = first;
	}
}
END_TEST

START_TEST(paragraphs_break_between_words)
{
	for (seed = 1; seed < 4000000000u; seed += 20000000) {
		uint32_t first = seed;
		struct out o = memory_out();
		struct paragraph p;
		struct strbuf want = { 0 };
		paragraph_begin(&p, &o, "NOTE  ", 80);
		strbuf_puts(&want, "NOTE ");
		for (unsigned k = dice(60); k; k--) {
			char word[64] = "";
			for (unsigned i = 1 + dice(40); i; i--)
				strcat(word, "w");
			paragraph_add(&p, word);
			strbuf_printf(&want, " %s", word);
		}
		paragraph_end(&p);
		char *text = take_text(&o, NULL), *save = NULL;
		struct strbuf got = { 0 };
		for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			ck_assert_msg(strlen(line) <= 80, "seed %u: %zu columns", first, strlen(line));
			ck_assert_msg(!got.n || !strncmp(line, "      w", 7), "seed %u: not indented: %s", first, line);
			strbuf_puts(&got, got.n ? line + 5 : line);
		}
		if (strchr(want.text, 'w'))
			ck_assert_str_eq(strchr(got.text, 'w'), strchr(want.text, 'w'));
		strbuf_free(&got);
		strbuf_free(&want);
		free(text);
		seed = first;
	}
}
END_TEST

static const struct column list[] = { { "address", "ADDRESS", "", CELL_ADDRESS }, { "size", "SIZE", "", CELL_BYTES }, { "label", "LABEL", "", CELL_TEXT },
				      { "live", "LIVE", "", CELL_BOOL },	  { "arena", "ARENA", "", CELL_INT_OR_TEXT } };
enum { N_LIST = sizeof list / sizeof *list };

static char *print_list(const char *format, const char *label)
{
	struct out o = memory_out();
	struct sink s;
	sink_begin(&s, sink_find(format), &o, list, N_LIST);
	sink_record(&s, (struct cell[]){ { .number = 0x7f10 }, { .number = INT64_MAX }, { .text = label }, { .number = 1 }, { .text = "mmap" } });
	sink_record(&s, (struct cell[]){ { .number = 1 }, { .number = 0 }, { .text = NULL }, { .number = 0 }, { .number = 7 } });
	sink_end(&s);
	return take_text(&o, NULL);
}

START_TEST(lines_are_json_and_the_end_counts)
{
	char *text = print_list("jsonl", "a \"b\" \xff\n"), *save = NULL;
	json_t *lines[3];
	int n = 0;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		ck_assert_int_lt(n, 3);
		lines[n] = json_loads(line, 0, NULL);
		ck_assert_msg(lines[n], "%s", line);
		n++;
	}
	ck_assert_int_eq(n, 3);
	ck_assert_str_eq(json_string_value(json_object_get(lines[0], "address")), "0x7f10");
	ck_assert_str_eq(json_string_value(json_object_get(lines[0], "label")), "a \"b\" \xef\xbf\xbd\n");
	ck_assert_str_eq(json_string_value(json_object_get(lines[0], "arena")), "mmap");
	ck_assert(json_is_true(json_object_get(lines[0], "live")));
	ck_assert(json_is_null(json_object_get(lines[1], "label")));
	ck_assert_int_eq(json_integer_value(json_object_get(lines[1], "arena")), 7);
	ck_assert(json_is_true(json_object_get(lines[2], "end")));
	ck_assert_int_eq(json_integer_value(json_object_get(lines[2], "blocks")), 2);
	for (int i = 0; i < 3; i++)
		json_decref(lines[i]);
	free(text);
}
END_TEST

START_TEST(csv_quotes_what_needs_it)
{
	char *text = print_list("csv", "map<int, \"x\">\r\n");
	ck_assert_str_eq(text, "address,size,label,live,arena\r\n"
			       "0x7f10,9223372036854775807,\"map<int, \"\"x\"\">\\x0d\\x0a\",true,mmap\r\n"
			       "0x1,0,,false,7\r\n");
	free(text);
}
END_TEST

START_TEST(figures_say_as_much_as_is_true)
{
	static const struct { uint64_t n; const char *size, *kib, *count, *brief; } rows[] = {
		{ 0, "0 B", "0.0", "0", "0" },
		{ 1, "1 B", "<0.1", "1", "1" },
		{ 51, "51 B", "<0.1", "51", "51" },
		{ 52, "52 B", "0.1", "52", "52" },
		{ 999, "999 B", "1.0", "999", "999" },
		{ 1024, "1.00 KiB", "1.0", "1,024", "1,024" },
		{ 99999, "97.7 KiB", "97.7", "99,999", "99,999" },
		{ 100000, "97.7 KiB", "97.7", "100,000", "100k" },
		{ 999499, "976 KiB", "976.1", "999,499", "999k" },
		{ 999500, "976 KiB", "976.1", "999,500", "1.0M" },
		{ 1048575, "1.00 MiB", "1,024.0", "1,048,575", "1.0M" },
		{ 18400000, "17.5 MiB", "17,968.8", "18,400,000", "18.4M" },
		{ UINT64_MAX, "16.0 EiB", "18,014,398,509,481,984.0", "18,446,744,073,709,551,615", "18446744073710M" },
	};
	struct unit kib = unit_for(0);
	ck_assert_str_eq(kib.name, "KiB");
	ck_assert_str_eq(unit_for(64 << 20).name, "MiB");
	ck_assert_str_eq(unit_for((64 << 20) - 1).name, "KiB");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ck_assert_str_eq(text_size(rows[i].n).text, rows[i].size);
		ck_assert_str_eq(text_in(kib, rows[i].n).text, rows[i].kib);
		ck_assert_str_eq(text_count(rows[i].n).text, rows[i].count);
		ck_assert_str_eq(text_count_short(rows[i].n).text, rows[i].brief);
	}
	ck_assert_str_eq(text_percent(1, 3).text, "33.3");
	ck_assert_str_eq(text_percent(1, 100000).text, "<0.1");
	ck_assert_str_eq(text_percent(0, 0).text, "0.0");
	ck_assert_str_eq(text_duration(59.9).text, "59s");
	ck_assert_str_eq(text_duration(61).text, "1m01s");
	ck_assert_str_eq(text_duration(90061).text, "1d01h");
	ck_assert_str_eq(text_elapsed(0.00042).text, "0.4 ms");
	ck_assert_str_eq(text_elapsed(0.0421).text, "42 ms");
	ck_assert_str_eq(text_elapsed(2.314).text, "2.31 s");
}
END_TEST

START_TEST(closed_pipe_is_remembered)
{
	int ends[2];
	struct out o;
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	signal(SIGPIPE, SIG_IGN);
	out_init(&o, ends[1], "auto");
	close(ends[0]);
	for (int i = 0; i < 100000; i++)
		out_printf(&o, "line %d\n", i);
	ck_assert_int_eq(o.error, EPIPE);
	ck_assert(!o.color);
	out_deinit(&o);
	close(ends[1]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("out");
	TCase *t = tcase_create("out");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, json_is_read_back);
	tcase_add_test(t, json_has_no_word_for_infinity);
	tcase_add_test(t, no_character_drives_the_terminal);
	tcase_add_test(t, no_byte_drives_the_terminal);
	tcase_add_test(t, plain_locale_gets_ascii);
	tcase_add_test(t, cells_are_as_wide_as_they_say);
	tcase_add_test(t, paragraphs_break_between_words);
	tcase_add_test(t, lines_are_json_and_the_end_counts);
	tcase_add_test(t, csv_quotes_what_needs_it);
	tcase_add_test(t, long_names_keep_their_ends);
	tcase_add_test(t, a_table_fits_its_line);
	tcase_add_test(t, figures_say_as_much_as_is_true);
	tcase_add_test(t, closed_pipe_is_remembered);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}

/* Names, lines and stacks against the tools that everybody uses: nm, addr2line and eu-stack, on the core of a fixture. */
#include "process.h"
#include "scratch.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flotsam/session.h"

static const char *const fixtures[] = { "threads", "containers" };
static struct child child;

struct line { uint64_t address, size; char type, *name; };
struct listing { char *text; VEC(struct line) at; };

/* `nm -S` prints address, size, type, name; symbols without a size or an address leave words out. */
static void list_symbols(struct listing *l, const char *path, bool dynamic)
{
	const char *argv[] = { "nm", "-S", dynamic ? "-D" : "--defined-only", path, NULL };
	int status;
	char *save = NULL;
	*l = (struct listing){ 0 };
	l->text = run_text((char *const *)argv, &status);
	for (char *s = l->text ? strtok_r(l->text, "\n", &save) : NULL; s; s = strtok_r(NULL, "\n", &save)) {
		struct line x = { 0 };
		int at = 0;
		/* A type such as "d" in the place of the size would pass for a number. */
		if (strspn(s, "0123456789abcdef") != 16 || strspn(s + 17, "0123456789abcdef") != 16)
			continue;
		if (sscanf(s, "%lx %lx %c %n", &x.address, &x.size, &x.type, &at) != 3 || !at)
			continue;
		x.name = s + at;
		x.name[strcspn(x.name, "@")] = 0;
		*vec_push(&l->at) = x;
	}
}

static void forget(struct listing *l)
{
	free(l->text);
	vec_free(&l->at);
}

static const char *core;

/* A core of a parked fixture. The program lives on until the test ends. */
static struct session *open_core(const char *fixture)
{
	const char *argv[] = { fixture, NULL };
	struct session *s = NULL;
	struct session_options o = { .graph = { .threads = 1 } };
	ck_assert_msg(child_start(&child, (char *const *)argv, NULL, false), "%s does not start", fixture);
	json_t *truth = child_json(&child);
	ck_assert_msg(truth && child_settled(&child), "%s does not settle", fixture);
	json_decref(truth);
	core = child_gcore(&child);
	struct err *e = session_open("core", core, &o, &s);
	ck_assert_msg(!e, "%s", e ? e->text : "");
	return s;
}

static bool lacks(const char *tool, const char *package)
{
	if (have_program(tool) && have_program("gcore"))
		return false;
	printf("SKIP modules %s: needs %s\n", tool, have_program(tool) ? "gdb" : package);
	fflush(stdout);
	return true;
}

static bool is_code_or_data(const struct line *x)
{
	return strchr("TtWwVvDdBbRrGgSsui", x->type) && x->size;
}

/* One of the names that nm has for an address. */
static bool nm_has(const struct listing *l, uint64_t address, const char *name)
{
	for (size_t i = 0; i < l->at.n; i++)
		if (is_code_or_data(&l->at.at[i]) && address - l->at.at[i].address < l->at.at[i].size &&
		    !strncmp(l->at.at[i].name, name, strcspn(name, "@")) && !l->at.at[i].name[strcspn(name, "@")])
			return true;
	return false;
}

static bool nm_covers(const struct listing *l, uint64_t address)
{
	for (size_t i = 0; i < l->at.n; i++)
		if (is_code_or_data(&l->at.at[i]) && address - l->at.at[i].address < l->at.at[i].size)
			return true;
	return false;
}

static bool is_tls(const struct module *m, const struct line *x)
{
	return m->tls_bytes && x->address < m->tls_bytes; /* an offset, no address */
}

static void same_names(struct session *s, struct module *m, const struct listing *l)
{
	unsigned checked = 0;
	for (size_t i = 0; i < l->at.n; i++) {
		const struct line *x = &l->at.at[i];
		if (!is_code_or_data(x) || is_tls(m, x))
			continue;
		const uint64_t places[] = { x->address, x->address + x->size / 2, x->address + x->size - 1 };
		for (int k = 0; k < 3; k++) {
			struct symbol sym;
			bool ok = modules_symbol_at(s->modules, places[k] + m->bias, &sym);
			if (!ok || !nm_has(l, places[k], sym.name) || sym.module != m)
				ck_abort_msg("%s+%#lx is %s, of nm it is in %s", m->name, places[k], ok ? sym.name : "nothing", x->name);
			checked++;
		}
		struct symbol sym;
		if (!modules_symbol_at(s->modules, x->address + x->size + m->bias, &sym) == nm_covers(l, x->address + x->size))
			ck_abort_msg("%s: the end of %s is %s", m->name, x->name, nm_covers(l, x->address + x->size) ? "not found" : "taken for a part of it");
	}
	ck_assert_uint_gt(checked, 50);
}

START_TEST(addresses_have_the_names_of_nm)
{
	if (lacks("nm", "binutils"))
		return;
	struct session *s = open_core(fixtures[_i]);
	struct module *m = modules_by_role(s->modules, MODULE_PROGRAM);
	struct listing l;
	ck_assert(m && m->have_file);
	list_symbols(&l, m->path, false);
	same_names(s, m, &l);
	ck_assert(m->have_symtab);
	forget(&l);
	session_close(s);
}
END_TEST

/* A stripped library: its exported names, whatever debug files the machine may have. */
START_TEST(names_have_the_addresses_of_nm)
{
	if (lacks("nm", "binutils"))
		return;
	struct session *s = open_core(fixtures[_i]);
	struct module *m = modules_by_role(s->modules, MODULE_LIBC);
	struct listing l;
	unsigned checked = 0;
	ck_assert(m && m->have_file);
	list_symbols(&l, m->path, true);
	for (size_t i = 0; i < l.at.n; i++) {
		struct symbol sym;
		const struct line *x = &l.at.at[i];
		if (!is_code_or_data(x) || is_tls(m, x))
			continue;
		bool ok = modules_symbol(s->modules, m, x->name, &sym);
		ck_assert_msg(ok, "%s is not found", x->name);
		bool same = false; /* of several versions any one will do */
		for (size_t k = 0; k < l.at.n && !same; k++)
			same = !strcmp(l.at.at[k].name, x->name) && l.at.at[k].address + m->bias == sym.address;
		if (!same)
			ck_abort_msg("%s is at %#lx, of nm at %#lx", x->name, sym.address - m->bias, x->address);
		checked++;
	}
	ck_assert_uint_gt(checked, 1000);
	struct symbol sym;
	ck_assert(!modules_symbol(s->modules, m, "no_such_name_in_any_libc", &sym));
	forget(&l);
	session_close(s);
}
END_TEST

enum { MOST_ADDRESSES = 400 };

/* "FILE:LINE" or "FILE:?" for each, maybe with a discriminator. */
static char *lines_of(const char *tool, const char *path, const uint64_t *addresses, size_t n)
{
	char list[64];
	int status;
	snprintf(list, sizeof list, "%s/list", scratch_directory()); /* too many for a command line */
	FILE *f = fopen(list, "we");
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%#lx\n", addresses[i]);
	fclose(f);
	const char *argv[] = { "sh", "-c", "exec \"$0\" -e \"$1\" <\"$2\"", tool, path, list, NULL };
	return run_text((char *const *)argv, &status);
}

/* The next "FILE:LINE" of a tool; false: it knows none. */
static bool next_line(char **text, const char **ret_file, int *ret_line)
{
	char *t = strsep(text, "\n");
	ck_assert_msg(t, "the tool said too little");
	char *slash = strrchr(t, '/'), *colon;
	t = slash ? slash + 1 : t;
	colon = strchr(t, ':');
	*ret_line = colon ? atoi(colon + 1) : 0; /* a column or a discriminator may follow */
	if (colon)
		*colon = 0;
	*ret_file = t;
	return *ret_line;
}

/* binutils 2.40 names the program's own file for functions of headers in DWARF 5: from it only the line is taken. */
START_TEST(code_has_the_lines_of_addr2line)
{
	static const char *const tools[][2] = { { "addr2line", "binutils" }, { "eu-addr2line", "elfutils" } };
	const char *tool = tools[_i % 2][0], *file;
	if (lacks(tool, tools[_i % 2][1]))
		return;
	struct session *s = open_core(fixtures[_i / 2]);
	struct module *m = modules_by_role(s->modules, MODULE_PROGRAM);
	uint64_t at[MOST_ADDRESSES];
	size_t n = 0, same = 0;
	struct listing l;
	list_symbols(&l, m->path, false);
	for (size_t i = 0; i < l.at.n; i++)
		for (uint64_t off = 0; strchr("TtWw", l.at.at[i].type) && off < l.at.at[i].size && n < MOST_ADDRESSES; off += 23)
			at[n++] = l.at.at[i].address + off;
	char *text = lines_of(tool, m->path, at, n), *rest = text;
	for (size_t i = 0; i < n; i++) {
		struct source_line got = { 0 };
		int line;
		if (!next_line(&rest, &file, &line))
			continue; /* code that the compiler owns to no line */
		bool ok = modules_code_line(s->modules, at[i] + m->bias, &got);
		if (!ok || got.line != line || (_i % 2 && strcmp(got.file, file)))
			ck_abort_msg("%s+%#lx is %s:%d, not %s:%d", m->name, at[i], ok && got.file ? got.file : "nowhere", got.line, file, line);
		same++;
	}
	ck_assert_uint_gt(same, 30);
	free(text);
	forget(&l);
	session_close(s);
}
END_TEST

/* Ctrl-C while a file is opened or read costs that answer alone: the next has all that one who was not interrupted gets. */
START_TEST(names_are_read_again_after_an_interrupt)
{
	struct session *first, *s;
	struct session_options o = { .graph = { .threads = 1 } };
	struct source_line got, wanted;
	struct symbol sym;
	if (lacks("gcore", "gdb"))
		return;
	s = open_core("threads");
	ck_assert_ptr_null(session_open("core", core, &o, &first));
	interrupted = SIGINT;
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < modules_count(s->modules); i++) {
			struct module *m = modules_get(s->modules, i);
			modules_read_names(s->modules, m);
			modules_code_line(s->modules, m->start, &got);
			modules_data_line(s->modules, m->start, &got);
		}
	interrupted = 0;
	ck_assert_uint_eq(modules_count(s->modules), modules_count(first->modules));
	for (size_t i = 0; i < modules_count(s->modules); i++) {
		struct module *m = modules_get(s->modules, i), *other = modules_get(first->modules, i);
		modules_read_names(s->modules, m);
		modules_read_names(first->modules, other);
		ck_assert_msg(m->have_dwarf == other->have_dwarf, "%s: DWARF %d", m->name, m->have_dwarf);
	}
	static const char *const names[] = { "main", "g_kept", "malloc" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		ck_assert(modules_find_symbol(s->modules, names[i], &sym));
		bool (*line)(struct modules *, uint64_t, struct source_line *) = sym.is_function ? modules_code_line : modules_data_line;
		bool is = line(s->modules, sym.address, &got), was = line(first->modules, sym.address, &wanted);
		ck_assert_msg(is == was && (i == 2 || was), "%s has a line: %d, not %d", names[i], is, was);
		ck_assert_msg(!is || (got.line == wanted.line && !strcmp(got.file, wanted.file)), "%s: %s:%d", names[i], got.file, got.line);
	}
	session_close(first);
	session_close(s);
}
END_TEST

/* A global is where its source says so. */
START_TEST(data_has_the_line_that_declares_it)
{
	static const char *const globals[][2] = { { "g_kept", "void *g_kept[" }, { "lock", "static pthread_mutex_t lock" }, { "ready", "static sem_t ready" } };
	if (lacks("gcore", "gdb"))
		return;
	FILE *f = fopen("fixtures/src/threads.c", "re");
	if (!f)
		return; /* not run from the top of the source */
	struct session *s = open_core("threads");
	struct module *m = modules_by_role(s->modules, MODULE_PROGRAM);
	char text[512];
	unsigned found = 0;
	for (int n = 1; fgets(text, sizeof text, f); n++)
		for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
			struct symbol sym;
			struct source_line got;
			if (strncmp(text, globals[i][1], strlen(globals[i][1])))
				continue;
			ck_assert(modules_symbol(s->modules, m, globals[i][0], &sym) && sym.is_object);
			ck_assert_msg(modules_data_line(s->modules, sym.address, &got), "%s has no line", globals[i][0]);
			ck_assert_str_eq(got.file, "threads.c");
			ck_assert_int_eq(got.line, n);
			found++;
		}
	ck_assert_uint_eq(found, 3);
	fclose(f);
	session_close(s);
}
END_TEST

struct stack { pid_t tid; uint64_t pc[LIMIT_FRAMES]; char function[LIMIT_FRAMES][256]; size_t n; };

/* "TID n:" and "#k  0xPC [function][ - file]". */
static size_t stacks_of(const char *program, struct stack *to, size_t max)
{
	const char *argv[] = { "eu-stack", "--core", core, "-e", program, NULL };
	int status, tid, frame;
	size_t n = 0;
	char *save = NULL, *text = run_text((char *const *)argv, &status);
	for (char *t = text ? strtok_r(text, "\n", &save) : NULL; t; t = strtok_r(NULL, "\n", &save)) {
		struct stack *s = n ? &to[n - 1] : NULL;
		char function[256] = "";
		uint64_t pc;
		if (sscanf(t, "TID %d", &tid) == 1 && n < max)
			to[n++] = (struct stack){ .tid = tid };
		else if (s && sscanf(t, "#%d %lx %255[^\n]", &frame, &pc, function) >= 2 && s->n < LIMIT_FRAMES) {
			char *file = strstr(function, " - "); /* where no name is known */
			if (file)
				*file = 0;
			s->pc[s->n] = pc;
			memcpy(s->function[s->n++], function, sizeof function);
		}
	}
	free(text);
	return n;
}

static void same_stack(struct session *s, const struct stack *want)
{
	const struct picture *p = &s->target->picture;
	const struct thread *t = NULL;
	struct frame *frames = NULL;
	for (size_t i = 0; i < p->threads.n; i++)
		if (p->threads.at[i].tid == want->tid)
			t = &p->threads.at[i];
	ck_assert_msg(t, "thread %d is not in the picture", want->tid);
	size_t n = modules_unwind(s->modules, t, &frames);
	ck_assert_msg(n == want->n, "thread %d has %zu frames, of eu-stack %zu", want->tid, n, want->n);
	for (size_t i = 0; i < n; i++) {
		if (frames[i].pc != want->pc[i])
			ck_abort_msg("thread %d, frame %zu is at %#lx, not %#lx", want->tid, i, frames[i].pc, want->pc[i]);
		/* Of aliases (poll, __poll) either will do; the program's own have one name. */
		if (frames[i].module && frames[i].module->role == MODULE_PROGRAM && frames[i].function && strcmp(frames[i].function, want->function[i]))
			ck_abort_msg("thread %d, frame %zu is %s, not %s", want->tid, i, frames[i].function, want->function[i]);
		if (i && frames[i].cfa && frames[i - 1].cfa)
			ck_assert_uint_gt(frames[i].cfa, frames[i - 1].cfa);
	}
	free(frames);
}

START_TEST(stacks_are_those_of_eu_stack)
{
	static struct stack want[64];
	if (lacks("eu-stack", "elfutils"))
		return;
	struct session *s = open_core(fixtures[_i]);
	size_t n = stacks_of(modules_by_role(s->modules, MODULE_PROGRAM)->path, want, 64), deep = 0;
	ck_assert_uint_eq(n, s->target->picture.threads.n);
	for (size_t i = 0; i < n; i++) {
		same_stack(s, &want[i]);
		deep += want[i].n >= 3;
	}
	ck_assert_uint_ge(deep, 1);
	session_close(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("modules");
	TCase *t = tcase_create("tools");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, addresses_have_the_names_of_nm, 0, 2);
	tcase_add_loop_test(t, names_have_the_addresses_of_nm, 0, 1);
	tcase_add_loop_test(t, code_has_the_lines_of_addr2line, 0, 4);
	tcase_add_test(t, data_has_the_line_that_declares_it);
	tcase_add_test(t, names_are_read_again_after_an_interrupt);
	tcase_add_loop_test(t, stacks_are_those_of_eu_stack, 0, 2);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

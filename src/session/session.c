/* The pipeline over one target. Files and arenas are found before the stop, so that the stop itself only copies; what
 * stands behind the look is built when first asked for. */
#include "flotsam/session.h"
#include "flotsam/modules_values.h"

#include <unistd.h>

static void say(struct session *s, const char *text)
{
	if (s->options.progress)
		s->options.progress(s->options.progress_ctx, text);
}

void session_account(struct session *s, const struct kernel_account *a)
{
	s->status = a->status;
	s->cgroup = a->cgroup;
	s->uptime = a->uptime;
}

/* /proc/PID/status, cgroup and start time: beside the picture, for people. Missing files leave zeroes. */
static void read_kernel_account(struct session *s)
{
	size_t n;
	if (s->target->account) {
		session_account(s, s->target->account);
		return;
	}
	AUTO_FD int status = target_open_proc(s->target, "status");
	AUTO_FREE char *text = status >= 0 ? system_read_fd(status, &n) : NULL;
	if (text)
		err_free(system_status(text, n, &s->status));
	AUTO_FD int cgroup = target_open_proc(s->target, "cgroup");
	AUTO_FREE char *groups = cgroup >= 0 ? system_read_fd(cgroup, &n) : NULL;
	if (groups)
		system_cgroup("", groups, &s->cgroup);
	AUTO_FD int stat = target_open_proc(s->target, "stat");
	AUTO_FREE char *line = stat >= 0 ? system_read_fd(stat, &n) : NULL;
	char state;
	uint64_t ticks;
	s->uptime = -1;
	if (line && system_stat(line, n, &state, &ticks))
		s->uptime = system_uptime("") - (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

/* Before the stop: modules and the places of malloc's mutexes. Whatever fails here only costs the quiet-heap check. */
static struct err *prepare(struct session *s, struct quiet_plan *quiet)
{
	TRY(target_survey(s->target));
	TRY(modules_open(s->target, NULL, &s->options.modules, &s->modules));
	return alloc_locate(s->target, s->modules, &s->options.alloc, quiet);
}

static struct err *look(struct session *s)
{
	struct quiet_plan quiet = { 0 };
	struct err *e = NULL;
	double start = monotonic_seconds();
	if (s->target->live) {
		say(s, "finding libc and its arenas");
		e = prepare(s, &quiet);
	}
	if (!e)
		e = target_take(s->target, &quiet);
	vec_free(&quiet.mutexes);
	vec_free(&quiet.code);
	if (e)
		return e;
	read_kernel_account(s);
	s->image = image_create(&s->target->picture);
	if (!s->image)
		return err_nomem();
	if (s->modules)
		TRY(modules_refresh(s->modules, s->image));
	else
		TRY(modules_open(s->target, s->image, &s->options.modules, &s->modules));
	TRY(runtime_find(s->image, s->modules, s->target->pid, &s->runtime));
	TRY(alloc_open(s->image, s->modules, s->runtime, &s->options.alloc, &s->alloc));
	snprintf(s->version, sizeof s->version, "%s", s->alloc->facts.version);
	s->timings.read = monotonic_seconds() - start;
	return NULL;
}

struct err *session_open(const char *kind, const char *what, const struct session_options *o, struct session **ret)
{
	struct session *s = calloc(1, sizeof *s);
	if (!s)
		return err_nomem();
	s->options = *o;
	s->uptime = -1;
	struct err *e = target_open(kind, what, &o->target, &s->target);
	if (!e && o->opened)
		e = o->opened(o->opened_ctx, s);
	if (!e)
		e = look(s);
	if (e) {
		session_close(s);
		return e;
	}
	*ret = s;
	return NULL;
}

struct err *session_walk(struct session *s)
{
	if (s->blocks || !s->alloc->facts.walked)
		return NULL;
	say(s, "walking the heap");
	double start = monotonic_seconds();
	TRY(blocks_build(s->alloc, s->image, &s->blocks));
	s->timings.walk = monotonic_seconds() - start;
	return NULL;
}

struct err *session_graph(struct session *s)
{
	TRY(session_walk(s));
	if (s->graph || !s->blocks)
		return NULL;
	say(s, "marking");
	double start = monotonic_seconds();
	TRY(graph_build(s->blocks, s->image, s->modules, s->runtime, &s->options.graph, &s->graph));
	s->timings.mark = monotonic_seconds() - start;
	return NULL;
}

struct err *session_holders(struct session *s)
{
	TRY(session_graph(s));
	if (s->holders_done || !s->graph)
		return NULL;
	say(s, "finding holders");
	double start = monotonic_seconds();
	TRY(graph_holders(s->graph));
	s->timings.holders = monotonic_seconds() - start;
	s->holders_done = true;
	return NULL;
}

struct err *session_teach(struct session *s, uint64_t address, const char *type)
{
	AUTO_FREE char *copy = strdup(type);
	struct said *slot = NULL;
	if (!copy)
		return err_nomem();
	TRY(types_teach(s->types, address, type));
	for (size_t i = 0; i < s->said.n; i++)
		if (s->said.at[i].address == address)
			slot = &s->said.at[i];
	slot = slot ? slot : vec_push(&s->said);
	if (!slot)
		return err_nomem();
	free(slot->type);
	*slot = (struct said){ address, TAKE(copy) };
	return NULL;
}

/* "0x55d0c0a012a0=session", "g_list=node". */
static struct err *teach_option(struct session *s, const char *said)
{
	const char *is = strchr(said, '=');
	AUTO_FREE char *where = is ? strndup(said, (size_t)(is - said)) : NULL;
	struct symbol sym;
	char *end;
	if (!where || !*where || !is[1])
		return err_hint(err_new(ERR_USAGE, "--istype takes ADDR=TYPE, not '%s'", said), "--istype 0x55d0c0a012a0=session");
	uint64_t address = strtoull(where, &end, 16);
	if (strncmp(where, "0x", 2) || *end || end == where + 2) {
		if (!modules_find_symbol(s->modules, where, &sym))
			return err_new(ERR_NOT_FOUND, "--istype: no symbol is called '%s'", where);
		address = sym.address;
	}
	return session_teach(s, address, is + 1);
}

/* Of a picture before this one a block may be gone. */
static struct err *teach_again(struct session *s)
{
	for (size_t i = 0; i < s->said.n; i++)
		err_free(types_teach(s->types, s->said.at[i].address, s->said.at[i].type));
	for (unsigned i = 0; i < s->options.n_said; i++)
		TRY(teach_option(s, s->options.said[i]));
	s->options.n_said = 0;
	return NULL;
}

/* What types take beyond the report, on two cores of 2 GHz: a heap of structs, lists, trees and tables, and programs of 1 to 100 MB of
 * DWARF (make bench). Nobody shall wait for names that he did not ask for. */
static const double SECONDS_A_BLOCK = 0.8e-6, SECONDS_A_DWARF_BYTE = 50e-9, MOST_SECONDS = 1;

const char *types_because_name(enum types_because b)
{
	static const char *const names[] = { "asked", "cheap", "costly", "no-dwarf", "fetched" };
	return names[b];
}

static enum types_because choose_types(struct session *s)
{
	if (s->options.types != TYPES_AUTO)
		return BECAUSE_ASKED;
	uint64_t dwarf = modules_dwarf_bytes(s->modules);
	if (!dwarf || dwarf == UNKNOWN)
		return dwarf ? BECAUSE_FETCHED : BECAUSE_NO_DWARF;
	s->types_cost = (double)s->blocks->n * SECONDS_A_BLOCK + (double)dwarf * SECONDS_A_DWARF_BYTE;
	return s->types_cost <= MOST_SECONDS ? BECAUSE_CHEAP : BECAUSE_COSTLY;
}

/* Whether DWARF shall name blocks, and why. What is known already costs nothing. */
static bool want_all_types(struct session *s)
{
	if (s->types->kept)
		return s->options.types == TYPES_ALL;
	/* What the user taught is said from then on wherever blocks are named. What a command before this one found out is said where auto
	 * was asked for: it costs nothing. Elsewhere a sitting answers as a command line does. */
	if (s->said.n || (s->options.types == TYPES_AUTO && s->types->typing)) {
		s->types_because = s->types_because == BECAUSE_CHEAP ? BECAUSE_CHEAP : BECAUSE_ASKED;
		return true;
	}
	s->types_because = choose_types(s);
	return s->options.types == TYPES_ALL || s->types_because == BECAUSE_CHEAP;
}

/* Of a census: what it was written with. */
static bool any_by_dwarf(const struct types *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->labels[i].by == BY_DWARF)
			return true;
	return false;
}

struct err *session_types(struct session *s)
{
	TRY(session_walk(s));
	if (!s->blocks)
		return NULL;
	double start = monotonic_seconds();
	if (!s->types) {
		TRY(types_open(s->blocks, s->image, s->modules, s->runtime, &s->types));
		TRY(teach_again(s));
	}
	types_set_guesses(s->types, s->options.guess);
	bool all = want_all_types(s);
	struct err *e = all ? types_infer(s->types, s->options.progress, s->options.progress_ctx) : NULL;
	if (e && e->kind != ERR_UNSUPPORTED)
		return e;
	err_free(e);
	s->types->typed_labels = all && s->types->typing;
	s->labels_by_dwarf = s->types->kept ? any_by_dwarf(s->types) : s->types->typed_labels;
	s->timings.types += monotonic_seconds() - start;
	return NULL;
}

struct err *session_tree(struct session *s)
{
	TRY(session_holders(s));
	if (s->tree || !s->graph)
		return NULL;
	say(s, "building the dominator tree");
	return graph_tree(s->graph, &s->tree);
}

/* What the stages of a session hold, without the session. */
static void release(struct session *s)
{
	tree_free(s->tree);
	types_free(s->types);
	graph_free(s->graph);
	blocks_free(s->blocks);
	alloc_close(s->alloc);
	runtime_free(s->runtime);
	modules_close(s->modules);
	image_destroy(s->image);
	target_close(s->target);
}

struct err *session_refresh(struct session *s)
{
	struct session *fresh = calloc(1, sizeof *fresh);
	if (!fresh)
		return err_nomem();
	fresh->options = s->options;
	fresh->uptime = -1;
	memcpy(fresh->sandbox, s->sandbox, sizeof fresh->sandbox);
	struct err *e = target_again(s->target, &fresh->target);
	if (!e)
		e = look(fresh);
	if (e) {
		session_close(fresh);
		return e;
	}
	release(s);
	memcpy(&fresh->said, &s->said, sizeof s->said);
	*s = *fresh;
	free(fresh);
	return NULL;
}

void session_close(struct session *s)
{
	if (!s)
		return;
	release(s);
	for (size_t i = 0; i < s->said.n; i++)
		free(s->said.at[i].type);
	vec_free(&s->said);
	free(s);
}

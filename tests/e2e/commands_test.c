/* Every row of the command table: as text, as JSON and in each other format that it has, at the prompt and in batch, of a
 * process and of a core, against what the fixture says of itself. And nothing that comes out drives a terminal, though names,
 * classes, files, threads, mappings and text of the fixture try. */
#include "flotsam/cmd.h"
#include "process.h"
#include "scratch.h"

#include <check.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line of the prompt, and what must come of it. $NAME is an address that the fixture told.
 * json: PATH=VALUE, PATH~PART or PATH>NUMBER, with ; between; a path is keys, [N], or [KEY=VALUE] for the element that has it.
 * text: parts, with ; between. A word of `live` or `core` in front of a part limits it to that. */
static const struct row {
	const char *line, *json, *text;
	enum { PROMPT = 1 /* in batch it is another question */, TWO = 2 /* as text and JSON alone */ } limits;
} rows[] = {
	{ "report", "target.comm=commands;target.threads=2;reachability.definite.blocks=4;reachability.definite.bytes=7216;"
		    "reachability.indirect.blocks=2;holders[name=g_big].retained_bytes=1052656;core target.kind=core;live target.kind=live",
	  "g_big;has leaked", TWO },
	{ "report -v", NULL, "g_big;ARENA;g_evil\\x1b[2J", TWO },
	{ "verify", "damage=0;checked.mmapped=1;findings.length=0", "no ", 0 },
	{ "blocks size>=1M", "length=1;[0].address=$big;[0].state=mmapped;[0].class=reachable;[0].label=char[]", "$big;mmapped;1,052,656;char[]", 0 },
	{ "blocks class=definite", "length=4;[address=$ring].size=504;[address=$pair].size=712", "$ring;$pair;definite", 0 },
	{ "blocks group by label", "[group=shape::circle].blocks=1;[group=Ev\033[31mil].blocks=1", "shape::circle;Ev\\x1b[31mil", 0 },
	{ "objects", "types.length=0;language=null;unknown~no CPython", "no CPython", TWO },
	{ "blocks group by holder", NULL, "g_evil\\x1b[2J", 0 },
	{ "blocks label=*il", "length=1;[0].address=$evil;[0].label=Ev\033[31mil", "Ev\\x1b[31mil", 0 },
	{ "blocks (class=definite + class=indirect) & size=600..800", "length=2;[0].size=600;[1].size=712", "600;712", 0 },
	{ "blocks used - (leaked + size<1k) count", "[0].blocks>0", "block", PROMPT },
	{ "blocks size=500..512 & (leaked - (class=indirect + free))", "length=1;[0].address=$ring", "$ring", 0 },
	{ "blocks leaked & older=$pair", "length=2;[0].address=$ring;[1].class=indirect", "$ring", 0 },
	{ "blocks leaked & newer=$pair & size>800", "length=3;[0].size=808", "3000 B", 0 },
	{ "blocks address=$list..$text & used", "length=3;[2].address=$text", "$circle", 0 },
	{ "blocks type=shape::c*", "length=1;[0].address=$circle", "shape::circle", 0 },
	{ "blocks label~circ", "length=1;[0].address=$circle", "shape::circle", 0 },
	{ "blocks thread=2 stack_only", "length=1;[0].address=$own", "$own", 0 },
	{ "blocks holder=g_list", "length=3;[address=$second].size=72", "$second", 0 },
	{ "blocks holder~_bi", "length=1;[0].address=$big", "$big", 0 },
	{ "blocks holder=H1", "length=1;[0].address=$big", "$big", PROMPT },
	{ "blocks text~fixture & size<400", "[address=$text].size=312", "$text", 0 },
	{ "blocks arena=1 used", "[address=$own].size=904", "$own", 0 },
	{ "blocks arena=mmap", "length=1;[0].address=$big", "$big", 0 },
	{ "blocks used group by content", "[sample=$text].blocks=1", "as at $text", 0 },
	{ "blocks used group by arena", "[group=mmap].bytes=1052656", "arena 1", 0 },
	{ "blocks leaked sort size", "length=6;[0].size=3000;[5].size=504", "$ring", 0 },
	{ "blocks leaked sort retained top 1", "length=1;[0].retained_bytes>2999", "used", TWO },
	{ "blocks used sum", "[0].blocks>10;[0].bytes>1052656", "bytes)", 0 },
	{ "leaked & size>800", "length=3;[0].size=808", "3000 B", PROMPT },
	{ "(leaked + free) & size=504", "length=1;[0].address=$ring", "$ring", PROMPT },
	{ "blocks L1", "length=2;[0].size=3000;[0].class=definite", "3000 B", PROMPT },
	{ "H1 sum", "[0].blocks=1;[0].bytes=1052656", "1 block, 1.00 MiB", PROMPT },
	{ "blocks H2 - size<1", "length>0", "used", TWO | PROMPT },
	{ "blocks group by label top 1", "length=1", "more groups (top 0)", TWO },
	{ "print H1", "values[0].name=g_big", "g_big", PROMPT },
	{ "x/gx H1", "complete=true;size=8", "<g_big>", PROMPT },
	{ "x/2gx $list", "format=x;size=8;lines[0].address=$list;lines[0].values[1]=0x0000000000000001;complete=true", "0x0000000000000001", PROMPT },
	{ "x/s $evil_text", "lines[0].values[0]~\\033[2J", "\"text that begins plainly and goes on: \\033[2J\\033]0;owned\\a\\b\\r", PROMPT },
	{ "x/8c $text", NULL, "112 'p'", PROMPT },
	{ "x/a $evil", "lines[0].values[0]~Ev", "<_ZTV9Ev\\x1b[31mil+16>", PROMPT },
	{ "blocks size=1..3", "length=0", "is like that", 0 },
	{ "threads", "length=2;[0].thread=1;[0].state=waiting;[0].function=wait_for_end();[1].function=stand;[1].line=7;[1].file=sou\033[31mrce.cc;"
		     "live [1].name~ev\033[2Jil;core [1].name=null",
	  "wait_for_end();stand() at sou\\x1b[31mrce.cc:7; $pid ;live ev\\x1b[2Jil", 0 },
	{ "threads by frame", "length=2;[0].count=1", "sou\\x1b[31mrce.cc:7", 0 },
	{ "stack 2", "threads[0].thread=2;threads[0].frames[function=stand].line=7;threads[0].frames[function=run(void*)].inlined=false;"
		     "threads[0].frames[0].blocks[0].address=$own;threads[0].frames[0].blocks[0].stack_only=true",
	  "stand() at sou\\x1b[31mrce.cc:7;run(void*) at commands.cc;$own;held by stacks alone;live \"ev\\x1b[2Jil", 0 },
	{ "stack all", "threads.length=2;threads[0].frames[function=wait_for_end()].inlined=false", "thread 1, tid $pid;main() at commands.cc", 0 },
	{ "stack only", "length=1;[0].address=$own;[0].size=904", "$own;1 block, 904 B, is held", 0 },
	{ "stack --only", "length=1;[0].address=$own;[0].holder~thread", "$own", 0 },
	{ "frame 1 2", "thread=2;frame=1;function=stand;line=7", "#1   stand();cfa 0x", 0 },
	{ "locals 1 2", "function=stand;values[name=local].value=4711;values[name=local].type=volatile long int;values[name=held].parameter=true",
	  "local = 4711;held = ;[7] = 0x;... 4 more (-v)", 0 },
	{ "locals 1 2 -v", "values[name=table].members[11].kind=pointer", "[11] = 0x", 0 },
	{ "check --fail-on reachability.definite.blocks<9", "rules[0].verdict=fires", "reachability.definite.blocks", 0 },
	{ "resources", "threads.total=2;live descriptors.kinds[kind=memfd].count=1;threads.places[line=7].count=1", "THREADS 2;sou\\x1b[31mrce.cc", 0 },
	{ "containers", "length=1;[0].name=stand::inside;[0].kind=std::optional;[0].items=1;[0].bytes=0;[0].where=sou\033[31mrce.cc:3", "stand::inside;1 container", 0 },
	{ "type $list", "type=node;tier=A;by=field;chain[0].variable=g_list;chain[0].root=global", "node;global g_list", 0 },
	{ "type node", "size=64;members[name=id].offset=8;holes=0", "node, 64 bytes, commands;char[48]", 0 },
	{ "types", "coverage.tiers.length=4;dwarf.complete=true;unknown.complete=true;unknown.groups[size=3000].blocks=2", "are named;UNKNOWN", 0 },
	{ "blocks U1", "length>0", "used", 0 },
	{ "show U1", "state=used", "usable", 0 },
	{ "print g_matrix", "values[0].type~long;values[0].members[1].members[2].value=6", "4, 5, 6", 0 },
	{ "print g_list->next->id", "values[0].value=2", "2", 0 },
	{ "print *g_circle", "values[0].members[name=radius].value=2.5;values[0].members[name=first].block.address=$list", "radius = 2.5;block 72 B node", 0 },
	{ "print node $second", "values[0].address=$second;values[0].members[name=id].value=2;values[0].members[name=name].value~\\033[2J",
	  "id = 2;\"node 2 \\033[2J", 0 },
	{ "print $circle", "values[0].type=shape::circle;values[0].members[name=radius].value=2.5", "radius = 2.5", 0 },
	{ "print g_array", "values[0].value~array \\033[2J\\033]0;owned\\a\\b\\r", "array \\033[2J", 0 },
	{ "print t_number", "values[0].value=55", "55", PROMPT },
	{ "system", "page_bytes=4096;memory.total_bytes>1", "", 0 },
	{ "buddyinfo", "page_bytes=4096;memory.total_bytes>1", "", 0 },
	{ "arenas", "length=3;[0].main=true;[1].arena=1;[2].arena=mmap;[2].used_bytes=1052672", "mmap", 0 },
	{ "arena 1", "arena=1;main=false;consistent=true;states[state=used].chunks=2", "used", 0 },
	{ "heaps", "length=2;[0].arena=0;[1].arena=1;[1].used_chunks=2", "ARENA", 0 },
	{ "bins", "[low=3008].chunks=1;[low=3008].list=largebin", "largebin", 0 },
	{ "tcache", "[low=48].chunks=1;[low=48].bytes=48", "48", 0 },
	{ "chunks $list 3", "length=3;[0].address=$list;[0].chunk_bytes=80;[1].address=$circle;[1].label=shape::circle;[2].address=$text", "$list;$circle;shape::circle", PROMPT },
	{ "disas stand", "function=stand;instructions[0].offset=0;instructions[0].file=sou\033[31mrce.cc", "sou\\x1b[31mrce.cc", PROMPT },
	{ "trim", "schema=flotsam.trim/1;core sum.trim_bytes>0", "malloc_trim", 0 },
	{ "map", "heaps.length=2;heaps[0].arena=0;legend.U=in use", "", 0 },
	{ "frag", "schema=flotsam.frag/1;sparse.labels[0].label=3000 B;sparse.labels[0].blocks>0", "3000 B", 0 },
	{ "rss", "rss.causes[cause=leaked].blocks=6;rss.causes[cause=overhead].blocks=null", "leaked", 0 },
	{ "maps", NULL, "live map\\x1b[2J\\x1b]0;owned", 0 },
	{ "maps $big", "block.address=$big;block.state=mmapped;mapping.kind=blocks", "$big", TWO },
	{ "modules", "[name=commands].symbols=full;[name=commands].dwarf=true;[name=libc.so.6].file=true", "commands;libc.so.6", 0 },
	{ "let big = size>=1M", "name=big;blocks=1;bytes=1052656", "big: 1 block, 1.00 MiB", PROMPT },
	{ "sets", "length=1;[0].name=big;[0].blocks=1;[0].bytes=1052656", "big;1,052,656", PROMPT },
	{ "big", "length=1;[0].address=$big", "$big", PROMPT },
	{ "show $list", "address=$list;size=72;chunk_bytes=80;state=used;class=reachable;words[0].value=$second", "$list;$second;reachable", 0 },
	{ "show $evil_text --show-content", NULL, "\"text tha\"", 0 },
	{ "show $evil", "label=Ev\033[31mil;holder~g_evil", "Ev\\x1b[31mil;g_evil\\x1b[2J", 0 },
	{ "find $second", "[block=$list].state=used", "$list", 0 },
	{ "find plain", "[block=$text].state=used", "$text", PROMPT },
	{ "who $second", "length=1;[0].from=$list;[0].offset=0;[0].kind=block", "$list", 0 },
	{ "who $list", "length=2;[block=$circle].value=$list;[name=g_list].kind=root", "g_list;shape::circle", 0 },
	{ "who $pool", "length>18;[name=g_pool].kind=root", "g_pool;and 5 more words of it (-v);10 words of the block itself", TWO },
	{ "who $pool -v", "length>18", "g_pool;+72 ", TWO },
	{ "who $evil", "length=1;[0].name~g_evil", "g_evil\\x1b[2J", 0 },
	{ "refs $circle", "[offset=24].value=$list", "$list;node", 0 },
	{ "path $second", "[0].what~g_list;[0].block=$list;[1].at=$list;[1].block=$second", "g_list (commands.cc:;$list", 0 },
	{ "path $evil", "[0].what~g_evil", "g_evil\\x1b[2J", 0 },
	{ "paths $second", "[0].what~g_list", "g_list", 0 },
	{ "why $second", "address=$second;class=reachable;live_pointers=1;text~g_list", "is alive;g_list", 0 },
	{ "why $ring", "class=definite;text~ring of 2 blocks", "has leaked", 0 },
	{ "cycle $ring", "length=2;[at=$ring].offset=+0x0", "$ring", 0 },
	{ "retained H1", "length=1;[0].retained_bytes=1052656;[0].retained_blocks=1;[0].what=g_big", "1,052,656", PROMPT },
	{ "tree H1", "length=1;[0].sample=$big;[0].retained_bytes=1052656", "g_big keeps 1.00 MiB in 1 block", PROMPT },
	{ "retained $list", "[0].address=$list;[0].retained_bytes=216;[0].retained_blocks=3", "216;$list", 0 },
	{ "tree", "[what~g_big].retained_bytes=1052656;[what~g_evil].retained_blocks=1", "g_big;g_evil\\x1b[2J", 0 },
	{ "sites", "candidates[0].module~/commands;candidates[1].module~/commands", "run(void*)", 0 },
	{ "sites $circle", "candidates[0].call=operator new;candidates[0].module~/commands", "operator new;in libc and the like (-v)", 0 },
	{ "sites $own", "block=$own;chunk_bytes=912;candidates[function~run(void*)].call=malloc;candidates[function~run(void*)].bytes=900", "run(void*)", 0 },
	{ "istype $pair node", "type=node;address=$pair;more_blocks>-1;coverage.tiers.length=4", "is a node from now on", TWO | PROMPT },
	{ "refresh", "stopped_seconds>-1", "New picture: stopped", PROMPT },
	{ "time who $second", "length=1;[0].from=$list", "$list", PROMPT },
	{ "help", "schema=flotsam.help/1;commands[name=who].group=who points where;commands[name=snap].formats[0]=census", "who points where;threads;COMMAND | shell-command", PROMPT },
	{ "help malloc", "commands[name=tcache].operands=[TID];commands[name=who]=(nothing)", "arenas;tcache;trim", PROMPT },
	{ "x/2i stand", "function=stand;instructions.length=2", "sub;sou\\x1b[31mrce.cc", PROMPT },
	{ "help who", "commands.length=1;commands[0].name=who;commands[0].help~who L1", "every pointer to it", PROMPT },
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static struct child child;
static char pid[16];
static const char *core;
static json_t *truth;

static void start(void)
{
	char *argv[] = { (char *)"commands", NULL };
	setenv("LC_ALL", "C.UTF-8", 1); /* where more gets through */
	ck_assert(child_start(&child, argv, NULL, false));
	truth = child_json(&child);
	ck_assert_msg(truth, "the fixture says nothing");
	ck_assert(child_settled(&child));
	snprintf(pid, sizeof pid, "%d", (int)child.pid);
}

/* False: there is no gdb. */
static bool take_core(const char *test)
{
	core = child_gcore(&child);
	if (core)
		return true;
	printf("SKIP commands %s: needs gdb\n", test);
	fflush(stdout);
	return false;
}

/* $NAME as the fixture told it. */
static void expand(char *to, size_t max, const char *from, size_t bytes)
{
	size_t n = 0;
	for (const char *p = from; p < from + bytes;) {
		char name[32];
		if (*p != '$') {
			ck_assert_uint_lt(n + 1, max);
			to[n++] = *p++;
			continue;
		}
		size_t k = 0;
		for (p++; isalpha((unsigned char)*p) || *p == '_'; p++)
			name[k++] = *p;
		name[k] = '\0';
		const json_t *v = json_object_get(truth, name);
		ck_assert_msg(v, "the fixture tells no %s", name);
		n += (size_t)(json_is_string(v) ? snprintf(to + n, max - n, "%s", json_string_value(v))
						: snprintf(to + n, max - n, "%lld", (long long)json_integer_value(v)));
		ck_assert_uint_lt(n, max);
	}
	to[n] = '\0';
}

/* All that is wrong is told at once. */
static struct { char text[4000]; size_t n; } faults;
#define CHECK(good, ...)                                                                                                       \
	do {                                                                                                                   \
		if (!(good) && faults.n < sizeof faults.text - 400) {                                                          \
			faults.n += (size_t)snprintf(faults.text + faults.n, 300, __VA_ARGS__) < 300 ? strlen(faults.text + faults.n) : 299; \
			faults.text[faults.n++] = '\n';                                                                        \
			faults.text[faults.n] = '\0';                                                                          \
		}                                                                                                              \
	} while (0)

static void no_faults(void)
{
	ck_assert_msg(!faults.n, "\n%s", faults.text);
}

/* A value as it is compared. */
static void shown(const json_t *v, char *to, size_t max)
{
	if (json_is_string(v))
		snprintf(to, max, "%s", json_string_value(v));
	else if (json_is_integer(v))
		snprintf(to, max, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		snprintf(to, max, "%g", json_real_value(v));
	else
		snprintf(to, max, "%s", !v ? "(nothing)" : json_is_true(v) ? "true" : json_is_false(v) ? "false" : json_is_null(v) ? "null" : "(a container)");
}

static bool holds(const json_t *v, char how, const char *want)
{
	char have[8192];
	shown(v, have, sizeof have);
	if (how == '>')
		return json_is_number(v) && json_number_value(v) > atof(want);
	return how == '~' ? json_is_string(v) && strstr(have, want) : !strcmp(have, want);
}

static const json_t *element(const json_t *v, const char *inside)
{
	char key[256];
	size_t n = strcspn(inside, "=~"), i;
	json_t *x;
	if (isdigit((unsigned char)*inside))
		return json_array_get(v, (size_t)atoi(inside));
	snprintf(key, sizeof key, "%.*s", (int)n, inside);
	json_array_foreach((json_t *)v, i, x)
		if (holds(json_object_get(x, key), inside[n], inside + n + 1))
			return x;
	return NULL;
}

/* The value at a path; `length` of an array is its number of elements (a new reference). */
static json_t *at_path(const json_t *v, const char *path)
{
	char part[256];
	for (const char *p = path; *p && v;) {
		if (*p == '[') {
			/* A ] may stand in a name: the last one in front of a dot, or of the end. */
			const char *end = strstr(p, "].");
			if (!end)
				end = p + strlen(p) - 1;
			const char *next = strstr(p, "][");
			end = next && next < end ? next : end;
			snprintf(part, sizeof part, "%.*s", (int)(end - p - 1), p + 1);
			v = element(v, part);
			p = end + 1;
		} else {
			size_t n = strcspn(p, ".[");
			snprintf(part, sizeof part, "%.*s", (int)n, p);
			if (!strcmp(part, "length") && json_is_array(v))
				return json_integer((json_int_t)json_array_size(v));
			v = json_object_get(v, part);
			p += n;
		}
		p += *p == '.';
	}
	return json_incref((json_t *)v);
}

/* The parts of a list that are meant for this kind of target. */
static bool next_part(const char **list, const char *kind, char *to, size_t max)
{
	while (*list && **list) {
		size_t n = strcspn(*list, ";"), skip = 0;
		const char *from = *list;
		/* Names of the fixture have a semicolon in them. */
		while (from[n] && !strncmp(from + n, ";owned", 6))
			n += 1 + strcspn(from + n + 1, ";");
		*list = from + n + (from[n] == ';');
		if (!strncmp(from, "live ", 5) || !strncmp(from, "core ", 5)) {
			if (strncmp(from, kind, 4))
				continue;
			skip = 5;
		}
		expand(to, max, from + skip, n - skip);
		return true;
	}
	return false;
}

static void check_json(const struct row *r, const char *kind, const json_t *j)
{
	char part[512], have[8192];
	for (const char *list = r->json; next_part(&list, kind, part, sizeof part);) {
		/* The sign stands behind all brackets. */
		char *sign = part;
		for (int depth = 0; *sign && (depth || !strchr("=~>", *sign)); sign++)
			depth += *sign == '[' ? 1 : *sign == ']' ? -1 : 0;
		if (strstr(part, "[31mil]"))
			sign = strstr(part, "[31mil]") + 7 + strcspn(strstr(part, "[31mil]") + 7, "=~>");
		ck_assert_msg(*sign, "no comparison: %s", part);
		char how = *sign;
		*sign = '\0';
		json_t *v = at_path(j, part);
		shown(v, have, sizeof have);
		CHECK(holds(v, how, sign + 1), "%s, %s: %s is '%.200s', not %c '%s'", kind, r->line, part, have, how, sign + 1);
		json_decref(v);
	}
}

static void check_text(const struct row *r, const char *kind, const char *text)
{
	char part[512];
	for (const char *list = r->text; next_part(&list, kind, part, sizeof part);)
		CHECK(strstr(text, part), "%s, %s: '%s' is not in: %.300s", kind, r->line, part, text);
}

/* Nothing but lines of text, as UTF-8 has it, without controls of either kind and marks that turn text around. */
static void is_tame(const char *what, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		unsigned c = *p;
		int more = c < 0x80 ? 0 : c < 0xc2 ? -1 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : -1;
		/* x parts by tabs as gdb does, CSV ends lines as RFC 4180 has it. */
		CHECK((c >= 0x20 || c == '\n' || c == '\t' || (c == '\r' && p[1] == '\n')) && c != 0x7f && more >= 0, "%s: byte %#x", what, c);
		c &= more ? 0x3fu >> more : 0x7f;
		for (; more > 0; more--) {
			CHECK((p[1] & 0xc0) == 0x80, "%s: no UTF-8", what);
			c = c << 6 | (*++p & 0x3f);
		}
		bool turns = (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
		CHECK(!(c >= 0x80 && c < 0xa0) && !turns, "%s: U+%04x", what, c);
	}
}

static char *read_file(const char *name)
{
	char path[256];
	size_t n, most = 1 << 22;
	char *text = malloc(most);
	snprintf(path, sizeof path, "%s/%s", scratch_directory(), name);
	FILE *f = fopen(path, "r");
	ck_assert_msg(f && text, "%s was not written", path);
	n = fread(text, 1, most - 1, f);
	text[n] = '\0';
	ck_assert_uint_eq(strlen(text), n);
	fclose(f);
	return text;
}

static const struct command *command_of(const struct row *r)
{
	char name[32];
	snprintf(name, sizeof name, "%.*s", (int)strcspn(r->line, " /"), r->line);
	return command_by_name(name) ? command_by_name(name) : command_by_name("blocks");
}

static int n_formats(const struct row *r, const char *kind)
{
	int n = 0;
	if (!strcmp(r->line, "refresh") && !strcmp(kind, "core")) /* which has but one picture */
		return 0;
	while (n < (r->limits & TWO ? 2 : N_FORMATS) && command_of(r)->formats[n])
		n++;
	return n;
}

/* One sitting asks all of it in all formats, each into a file. */
static void sit(const char *kind, const char *target)
{
	char path[128], line[512], shell[1024];
	int status;
	snprintf(path, sizeof path, "%s/script", scratch_directory());
	FILE *f = fopen(path, "w");
	ck_assert(f);
	for (int i = 0; i < N_ROWS; i++) {
		expand(line, sizeof line, rows[i].line, strlen(rows[i].line));
		const struct command *c = command_of(&rows[i]);
		ck_assert_msg(c, "no command: %s", line);
		for (int k = 0; k < n_formats(&rows[i], kind); k++)
			fprintf(f, "%s --format %s > %s/%d.%s\n", line, c->formats[k], scratch_directory(), i, c->formats[k]);
	}
	fclose(f);
	snprintf(shell, sizeof shell, "'%s' shell '%s' -x %s 2>%s/stderr", flotsam_path(), target, path, scratch_directory());
	const char *argv[] = { "sh", "-c", shell, NULL };
	free(run_text((char *const *)argv, &status));
	char *said = read_file("stderr"), *rest = said;
	int spoke = 0;
	/* `time` speaks there. */
	while ((!strncmp(rest, "who: ", 5) || !strncmp(rest, "{\"schema\":\"flotsam.time/1\",\"command\":\"who\",\"seconds\":", 53)) && strchr(rest, '\n')) {
		spoke++;
		rest = strchr(rest, '\n') + 1;
	}
	CHECK(spoke == 2, "%s: time spoke %d times: %s", kind, spoke, said);
	CHECK(!*rest, "%s: %s", kind, said);
	free(said);
}

static size_t lines_of(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* Words of the manual, without its escapes. */
static char *manual(void)
{
	char *m = NULL;
	size_t n = 0;
	FILE *f = fopen("man/flotsam-json.5", "r"), *to = open_memstream(&m, &n);
	ck_assert_msg(f && to, "tests run at the top of the tree");
	for (int c; (c = fgetc(f)) != EOF;)
		fputc(isalnum(c) || c == '_' ? c : ' ', to);
	fputc(' ', to);
	fclose(f);
	fclose(to);
	return m;
}

/* Each key of what JSON says is in the manual. */
static void check_keys(const struct row *r, const char *words, json_t *j)
{
	const char *key;
	char word[64];
	json_t *v;
	size_t i;
	json_array_foreach(j, i, v)
		check_keys(r, words, v);
	json_object_foreach(j, key, v) {
		snprintf(word, sizeof word, " %s ", key);
		/* The letters of a map explain themselves. */
		CHECK(!key[1] || strstr(words, word), "%s: '%s' is not in flotsam-json(5)", r->line, key);
		check_keys(r, words, v);
	}
}

static void check_answers(const char *kind)
{
	char *words = manual();
	for (int i = 0; i < N_ROWS; i++) {
		const struct command *c = command_of(&rows[i]);
		json_t *j = NULL;
		for (int k = 0; k < n_formats(&rows[i], kind); k++) {
			char name[64], what[256];
			json_error_t error;
			snprintf(name, sizeof name, "%d.%s", i, c->formats[k]);
			snprintf(what, sizeof what, "%s, %s as %s", kind, rows[i].line, c->formats[k]);
			char *text = read_file(name);
			CHECK(*text, "%s: nothing", what);
			is_tame(what, text);
			if (!strcmp(c->formats[k], "text")) {
				check_text(&rows[i], kind, text);
			} else if (!strcmp(c->formats[k], "json")) {
				j = json_loads(text, JSON_REJECT_DUPLICATES, &error);
				CHECK(j, "%s: line %d: %s", what, error.line, error.text);
				check_json(&rows[i], kind, j);
				check_keys(&rows[i], words, j);
			} else {
				/* A heading, and a line a record. */
				CHECK(!json_is_array(j) || lines_of(text) == json_array_size(j) + 1, "%s: %zu lines, %zu records", what, lines_of(text), json_array_size(j));
			}
			free(text);
		}
		json_decref(j);
	}
	free(words);
	no_faults();
}

START_TEST(each_command_has_a_row)
{
	for (size_t i = 0; command_get(i); i++) {
		/* shell asks all of them; what takes looks of its own, or writes no text, has tests of its own. */
		bool any = !strcmp(command_get(i)->name, "shell") || command_get(i)->target == TARGET_MANY || command_get(i)->whole_file ||
			   command_get(i)->driver;
		for (int k = 0; k < N_ROWS; k++)
			any |= command_of(&rows[k]) == command_get(i);
		ck_assert_msg(any, "no row asks %s", command_get(i)->name);
	}
}
END_TEST

START_TEST(of_a_process)
{
	start();
	sit("live", pid);
	check_answers("live");
	/* Formats of others, which the report alone has. */
	static const char *const foreign[][2] = { { "folded", "g_evil\\x1b[2J" }, { "prometheus", "g_evil\\\\x1b[2J" } };
	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
		int status;
		const char *argv[] = { flotsam_path(), "report", pid, "--format", foreign[i][0], NULL };
		char *said = run_text((char *const *)argv, &status);
		is_tame(foreign[i][0], said);
		CHECK(strstr(said, foreign[i][1]), "%s: %.200s", foreign[i][0], said);
		free(said);
	}
	no_faults();
}
END_TEST

START_TEST(of_a_core)
{
	start();
	if (!take_core("core"))
		return;
	sit("core", core);
	check_answers("core");
	/* In batch the same comes. */
	for (int i = 0; i < N_ROWS; i++) {
		char line[512], name[32], *save = NULL;
		const char *argv[16] = { flotsam_path() };
		size_t n = 1;
		int status;
		const struct command *c = command_of(&rows[i]);
		if (rows[i].limits & PROMPT || !c->formats[1])
			continue;
		expand(line, sizeof line, rows[i].line, strlen(rows[i].line));
		argv[n++] = strtok_r(line, " ", &save);
		if (c->target == TARGET_ONE)
			argv[n++] = core;
		for (char *w; (w = strtok_r(NULL, " ", &save));)
			argv[n++] = w;
		argv[n++] = "--format";
		argv[n++] = "json";
		snprintf(name, sizeof name, "%d.json", i);
		json_t *batch = run_json((char *const *)argv, &status);
		char *text = read_file(name);
		json_t *sitting = json_loads(text, 0, NULL);
		CHECK(status == 0 || status == 1, "%s: status %d", rows[i].line, status);
		json_object_del(batch, "timings");
		json_object_del(sitting, "timings");
		/* The machine goes on. */
		CHECK(batch && (c->target != TARGET_ONE || json_equal(batch, sitting)), "%s: another answer in batch", rows[i].line);
		json_decref(batch);
		json_decref(sitting);
		free(text);
	}
	no_faults();
}
END_TEST

/* Names of both looks come out of a comparison. */
START_TEST(differences_are_tame)
{
	int status;
	start();
	char other[16], *rings[] = { (char[]){ "rings" }, NULL };
	struct child second;
	ck_assert(child_start(&second, rings, NULL, false));
	json_decref(child_json(&second));
	snprintf(other, sizeof other, "%d", (int)second.pid);
	for (int json = 0; json < 2; json++) {
		/* A second process, so that all groups of the first are gone. */
		const char *argv[] = { flotsam_path(), "diff", pid, other, "--force", "--top", "0", json ? "--format" : NULL, "json", NULL };
		char *said = run_text((char *const *)argv, &status);
		is_tame("diff", said);
		CHECK(status == 0 && strstr(said, json ? "Ev\\u001b[31mil" : "Ev\\x1b[31mil"), "status %d: %s", status, said);
		free(said);
	}
	child_end(&second);
	no_faults();
}
END_TEST

/* What a refusal says is as foreign. */
START_TEST(errors_are_tame)
{
	static const char *const lines[] = { "print $evil", "who g_evil\033[2J", "disas g_evil\033[2J\033]0;owned\007", "frame 77 2", "path $ring", "sites $evil",
					     "locals 2 2", "show 0x10", "blocks label=\033[2J sorted", "x/s 0x10", "\033[2J", "maps 0x10", "cycle $list" };
	char path[128], line[512], shell[1024];
	int status;
	start();
	snprintf(path, sizeof path, "%s/script", scratch_directory());
	FILE *f = fopen(path, "w");
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		expand(line, sizeof line, lines[i], strlen(lines[i]));
		fprintf(f, "%s\n", line);
	}
	fclose(f);
	snprintf(shell, sizeof shell, "'%s' shell %s -x %s 2>&1", flotsam_path(), pid, path);
	const char *argv[] = { "sh", "-c", shell, NULL };
	char *said = run_text((char *const *)argv, &status);
	is_tame("errors", said);
	no_faults();
	ck_assert_msg(strstr(said, "Ev\\x1b[31mil") && strstr(said, "no command is called '\\x1b[2J'"), "%s", said);
	free(said);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("commands");
	TCase *t = tcase_create("commands");
	tcase_set_timeout(t, 240);
	tcase_add_test(t, each_command_has_a_row);
	tcase_add_test(t, of_a_process);
	tcase_add_test(t, of_a_core);
	tcase_add_test(t, differences_are_tame);
	tcase_add_test(t, errors_are_tame);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

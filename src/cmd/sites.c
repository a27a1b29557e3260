/* sites: which code could have allocated this: the calls of malloc and its like whose size, a constant, lands in such a chunk. */
#include "cmd.h"

#include <ctype.h>

static const struct column columns[] = {
	{ "n", "N", "number for the next command", CELL_COUNT, 4 },
	{ "bytes", "BYTES", "asked for", CELL_BYTES, 10 },
	{ "call", "CALL", "the allocation function", CELL_TEXT, 14 },
	{ "where", "WHERE", "file:line, or null", CELL_TEXT, 24 },
	{ "function", "FUNCTION", "around the call, or null", CELL_TEXT, 20 },
	{ "pc", "PC", "address of the call", CELL_ADDRESS, 14 },
	{ "module", "MODULE", "path of the file", CELL_TEXT, 12 },
	{ "unit", "UNIT", "calloc's size; null", CELL_INT_OR_TEXT, 8 },
	{ "count", "COUNT", "calloc's number; null", CELL_INT_OR_TEXT, 8 },
	{ "several", "SEVERAL", "one of several sizes of this call", CELL_BOOL, 8 },
	{ "exact", "EXACT", "false: the chunk's rest was too small to split off", CELL_BOOL, 8 },
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0], TEXT_COLUMNS = 5 };

struct want {
	uint64_t chunk;		/* its size */
	bool all;		/* nothing was named */
	bool mmapped, of_block;	/* a mapping of its own; a block was named */
	uint64_t address, usable; /* of the block */
};

/* A block by address, rank, symbol or, at the prompt, its number there; else a number of bytes. */
static bool is_size(const struct arguments *a, const char *word, uint64_t *ret)
{
	if (!strncmp(word, "size=", 5))
		return text_to_bytes(word + 5, ret);
	if (word[0] == '0' && tolower((unsigned char)word[1]) == 'x')
		return false;
	if (!text_to_bytes(word, ret))
		return false;
	bool digits = strspn(word, "0123456789") == strlen(word);
	return !(digits && a->prompt && *ret && *ret <= desk_items(a->desk));
}

/* malloc/malloc.c: request2size, and of sysmalloc_mmap the rounding to pages. */
uint64_t cmd_chunk_for(const struct session *s, uint64_t bytes, bool mmapped)
{
	const struct alloc_facts *f = &s->alloc->facts;
	uint64_t word = f->header / 2, page = s->target->picture.page ? s->target->picture.page : 4096, n;
	if (!f->granule)
		return bytes;
	n = align_up(bytes + word, f->granule);
	if (n < f->min_chunk)
		n = f->min_chunk;
	return mmapped ? align_up(n + word + f->mmap_tail, page) : n;
}

static struct err *choose(const struct arguments *a, struct session *s, struct want *w, int *ret_status)
{
	uint64_t bytes;
	block_id id;
	w->all = !a->n_words;
	if (w->all)
		return NULL;
	if (is_size(a, a->words[0], &bytes)) {
		if (bytes >> 47)
			return err_new(ERR_USAGE, "nobody asks for %s bytes", a->words[0]);
		w->chunk = cmd_chunk_for(s, bytes, false);
		return NULL;
	}
	TRY(cmd_need_walk(s, ret_status));
	TRY(cmd_block(a, s, a->words[0], &id));
	w->of_block = true;
	w->chunk = blocks_chunk_bytes(s->blocks, id);
	w->mmapped = blocks_arena(s->blocks, id) == ARENA_MMAP;
	w->address = blocks_payload(s->blocks, id);
	w->usable = blocks_usable(s->blocks, id);
	return NULL;
}

/* A free chunk is given whole when the rest would be no chunk (malloc/malloc.c: MINSIZE). */
static bool lands(const struct session *s, const struct want *w, uint64_t bytes, bool *ret_exact)
{
	uint64_t chunk = cmd_chunk_for(s, bytes, w->mmapped);
	*ret_exact = w->all || chunk == w->chunk;
	return *ret_exact || (w->of_block && !w->mmapped && chunk < w->chunk && w->chunk - chunk < s->alloc->facts.min_chunk);
}

struct line {
	char where[300];
	struct source_line source;
	char *function;	/* readable; or NULL */
};

static bool of_library(const char *function)
{
	return function && (!strncmp(function, "std::", 5) || !strncmp(function, "__gnu_cxx::", 11));
}

/* The innermost function, inlined or not, that is no container's. */
static struct line line_of(struct session *s, const struct allocation_site *site)
{
	struct line l = { .where = "" };
	struct running at[MAX_INLINED];
	struct function f;
	size_t n = modules_running(s->modules, site->pc, at), i = 0;
	while (i + 1 < n && at[i].inlined && of_library(at[i].function))
		i++;
	if (n && at[i].line.file) {
		l.source = at[i].line;
		/* Line 0 is code that stands for several lines (DWARF 5, 6.2.2). */
		snprintf(l.where, sizeof l.where, l.source.line ? "%s:%d" : "%s", l.source.file, l.source.line);
	}
	if (n && at[i].inlined && at[i].function)
		l.function = strdup(at[i].function);
	else if (modules_function_at(s->modules, site->pc, &f) && f.name)
		l.function = modules_demangle(f.name);
	return l;
}

static void record(struct sink *k, const struct column *from, const struct arguments *a, struct session *s, const struct allocation_site *site, bool exact)
{
	struct line l = line_of(s, site);
	struct cell cells[N_COLUMNS] = {
		{ .number = a->prompt ? desk_number(a->desk, site->pc) : 0 },
		{ .number = site->bytes },
		{ .text = site->callee },
		{ .text = *l.where ? l.where : NULL },
		{ .text = l.function },
		{ .number = site->pc },
		{ .text = site->module->path },
		{ .text = site->count ? NULL : "-", .number = site->unit },
		{ .text = site->count ? NULL : "-", .number = site->count },
		{ .number = site->several },
		{ .number = exact },
	};
	/* In text a name without a symbol is the module and the address, and of a long file name the line stays. */
	char place[64], line[16];
	size_t width = (size_t)columns[3].width;
	if (strlen(l.where) > width && l.source.line && !strcmp(a->format, "text")) {
		int digits = snprintf(line, sizeof line, "..:%d", l.source.line);
		snprintf(l.where + width - (size_t)digits, sizeof l.where - width, "%s", line);
	}
	if (!l.function && !strcmp(a->format, "text")) {
		snprintf(place, sizeof place, "%.40s 0x%llx", site->module->name, (unsigned long long)site->pc);
		cells[4].text = place;
	}
	sink_record(k, cells + (from - columns));
	free(l.function);
}

bool cmd_site_is_own(const struct allocation_site *site)
{
	return site->module->role == MODULE_PROGRAM || site->module->role == MODULE_OTHER;
}

void cmd_site_name(struct session *s, const struct allocation_site *site, struct strbuf *to)
{
	struct line l = line_of(s, site);
	if (l.function)
		strbuf_printf(to, strchr(l.function, '(') ? "%s" : "%s()", l.function);
	else
		strbuf_printf(to, "%s 0x%llx", site->module->name, (unsigned long long)site->pc);
	if (*l.where)
		strbuf_printf(to, " %s", l.where);
	free(l.function);
}

/* What is told first: the program's own code, then libc's and the like; of each, first those whose chunk is exactly this, then
 * those with a rest. */
enum { PASSES = 4 };
static bool told_in(const struct session *s, const struct want *w, const struct allocation_site *site, int pass, bool *ret_exact)
{
	return lands(s, w, site->bytes, ret_exact) && pass == 2 * !cmd_site_is_own(site) + !*ret_exact;
}

static struct err *each(struct session *s, const struct want *w, const struct allocation_sites *all, struct sink *k, const struct column *from,
			const struct arguments *a, uint64_t *ret_n, uint64_t *ret_elsewhere)
{
	for (int pass = 0; pass < PASSES; pass++)
		for (size_t i = 0; i < all->n && !k->out->error; i++) {
			bool exact;
			if (!told_in(s, w, &all->at[i], pass, &exact))
				continue;
			/* What libc might have asked for is seldom what is meant: people are told how much there is of it. */
			if (w->of_block && pass >= 2 && cmd_is_text(a) && !a->verbose) {
				++*ret_elsewhere;
				continue;
			}
			record(k, from, a, s, &all->at[i], exact);
			++*ret_n;
			if (interrupted)
				return err_new(ERR_INTERRUPTED, "interrupted");
		}
	return NULL;
}

static void head_text(struct out *o, const struct session *s, const struct want *w)
{
	uint64_t word = s->alloc->facts.header / 2, granule = s->alloc->facts.granule;
	if (w->all) {
		out_puts(o, "calls of a size that the code states\n\n");
		return;
	}
	if (w->of_block)
		out_printf(o, "block 0x%llx, %s usable bytes\n", (unsigned long long)w->address, text_count(w->usable).text);
	if (!granule || w->mmapped)
		out_printf(o, "calls that get %s bytes with their header\n\n", text_count(w->chunk).text);
	else
		out_printf(o, "calls that get a chunk of %s bytes: they ask for %s to %s\n\n", text_count(w->chunk).text,
			   text_count(w->chunk <= s->alloc->facts.min_chunk ? 0 : w->chunk - granule - word + 1).text, text_count(w->chunk - word).text);
}

/* Executable memory of no module: what a JIT wrote, or a file that is no ELF. Nobody knows what its code calls. */
static uint64_t elsewhere(struct session *s)
{
	const struct picture *p = &s->target->picture;
	uint64_t bytes = 0;
	for (size_t i = 0; i < p->maps.n; i++) {
		const struct mapping *m = &p->maps.at[i];
		/* In a core vsyscall's page has no name, but an address that no program has. */
		if (m->prot & PROT_X && m->path[0] != '[' && !(m->start >> 63) && !modules_at(s->modules, m->start))
			bytes += m->end - m->start;
	}
	return bytes;
}

static void foot_text(struct out *o, struct session *s, const struct want *w, const struct allocation_sites *all, uint64_t n, uint64_t in_libc)
{
	uint64_t other = elsewhere(s);
	struct paragraph p;
	struct strbuf t = { 0 };
	strbuf_printf(&t, "%s candidate%s", text_count(n).text, n == 1 ? "" : "s");
	if (in_libc)
		strbuf_printf(&t, ", and %s in libc and the like (-v)", text_count(in_libc).text);
	strbuf_puts(&t, ".");
	if (!w->all && all->calls && !n && in_libc)
		strbuf_printf(&t, " No call of the program's own states such a size: it was probably allocated by one of the %s calls whose size is computed.",
			      text_count(all->calls - all->constant).text);
	else if (!w->all && all->calls && !n)
		strbuf_printf(&t, " It was allocated by one of the %s calls whose size is computed, or by code that was not searched.",
			      text_count(all->calls - all->constant).text);
	else if (!w->all && all->calls)
		strbuf_printf(&t, " Any of them may have allocated it, and so may each of the %s calls whose size is computed.",
			      text_count(all->calls - all->constant).text);
	if (all->calls)
		strbuf_printf(&t, " %s calls of allocation functions, %s of a size that the code states.", text_count(all->calls).text,
			      text_count(all->constant).text);
	else if (all->code_bytes)
		strbuf_puts(&t, " No allocation function has a name here: a stripped program that holds its own keeps its calls to itself.");
	strbuf_printf(&t, " Searched %s%% of %s of code in %zu module%s", text_percent(all->searched_bytes, all->code_bytes).text,
		      text_size(all->code_bytes).text, all->modules, all->modules == 1 ? "" : "s");
	if (all->decoded_bytes)
		strbuf_printf(&t, ", decoded %s%% of it: the functions that call one", text_percent(all->decoded_bytes, all->searched_bytes).text);
	strbuf_puts(&t, ".");
	if (!all->code_bytes)
		strbuf_puts(&t, " No module's code could be had, so this says nothing of the program.");
	if (other)
		strbuf_printf(&t, " %s of executable memory is no module's (a JIT's, perhaps) and was not searched.", text_size(other).text);
	out_puts(o, "\n");
	paragraph_begin(&p, o, "", 80);
	paragraph_add(&p, t.text ? t.text : "");
	paragraph_end(&p);
	strbuf_free(&t);
}

void cmd_site_json(struct json *j, struct session *s, const struct allocation_site *site, bool exact)
{
	struct line l = line_of(s, site);
	const struct source_line *src = &l.source;
	out_json_object(j, NULL);
	out_json_u64(j, "bytes", site->bytes);
	out_json_string(j, "call", site->callee);
	out_json_string(j, "function", l.function);
	out_json_string(j, "file", src->file);
	if (src->file && src->line)
		out_json_i64(j, "line", src->line);
	else
		out_json_null(j, "line");
	out_json_address(j, "pc", site->pc);
	out_json_string(j, "module", site->module->path);
	if (site->count) {
		out_json_u64(j, "unit", site->unit);
		out_json_u64(j, "count", site->count);
	} else {
		out_json_null(j, "unit");
		out_json_null(j, "count");
	}
	out_json_bool(j, "several", site->several);
	out_json_bool(j, "exact", exact);
	out_json_end_object(j);
	free(l.function);
}

static void sites_json(struct session *s, const struct want *w, const struct allocation_sites *all, struct out *o)
{
	struct json j;
	out_json_init(&j, o, true);
	out_json_object(&j, NULL);
	out_json_string(&j, "schema", "flotsam.sites/1");
	if (w->of_block)
		out_json_address(&j, "block", w->address);
	else
		out_json_null(&j, "block");
	if (w->all)
		out_json_null(&j, "chunk_bytes");
	else
		out_json_u64(&j, "chunk_bytes", w->chunk);
	out_json_array(&j, "candidates");
	for (int pass = 0; pass < PASSES; pass++)
		for (size_t i = 0; i < all->n && !interrupted; i++) {
			bool exact;
			if (told_in(s, w, &all->at[i], pass, &exact))
				cmd_site_json(&j, s, &all->at[i], exact);
		}
	out_json_end_array(&j);
	out_json_object(&j, "code");
	out_json_u64(&j, "modules", all->modules);
	out_json_u64(&j, "bytes", all->code_bytes);
	out_json_u64(&j, "searched_bytes", all->searched_bytes);
	out_json_u64(&j, "decoded_bytes", all->decoded_bytes);
	out_json_u64(&j, "calls", all->calls);
	out_json_u64(&j, "constant_calls", all->constant);
	out_json_u64(&j, "elsewhere_bytes", elsewhere(s));
	out_json_end_object(&j);
	out_json_end_object(&j);
	out_puts(o, "\n");
}

static struct err *run(const struct arguments *a, struct session *s, struct out *o, int *ret_status)
{
	struct want w = { 0 };
	const struct allocation_sites *all;
	uint64_t n = 0, in_libc = 0;
	struct sink k;
	TRY(choose(a, s, &w, ret_status));
	TRY(modules_allocation_sites(s->modules, &all));
	*ret_status = !all->calls || all->searched_bytes < all->code_bytes ? EXIT_PARTIAL : EXIT_REPORT;
	if (!strcmp(a->format, "json")) {
		sites_json(s, &w, all, o);
		return interrupted ? err_new(ERR_INTERRUPTED, "interrupted") : NULL;
	}
	bool text = !strcmp(a->format, "text");
	if (text)
		head_text(o, s, &w);
	const struct column *from = columns + !a->prompt;
	sink_begin(&k, sink_find(a->format), o, from, (size_t)((text ? TEXT_COLUMNS : N_COLUMNS) - (from - columns)));
	k.noun = "candidates";
	TRY(each(s, &w, all, &k, from, a, &n, &in_libc));
	sink_end(&k);
	if (text)
		foot_text(o, s, &w, all, n, in_libc);
	return NULL;
}

const struct command command_sites = {
	.name = "sites",
	.summary = "code that could have allocated a block, by its size",
	.formats = { "text", "json", "jsonl", "csv" },
	.help = "  flotsam sites 4242 40                  calls whose size gets the same chunk as 40\n"
		"  flotsam sites 4242 0x55d0c0a012a0      those for this block\n"
		"  sites                                  all whose size the code states\n"
		"  sites L1                               those for the first leak of the report\n"
		"  sites L1 -v                            and those of libc and the like\n"
		"  sites 3                                for item 3 of a list; sites size=3: for 3 bytes\n",
	.group = GROUP_CODE,
	.operands = "[SIZE|ADDR]",
	.max_words = 1,
	.completes = COMPLETES_ADDRESS,
	.run = run,
};

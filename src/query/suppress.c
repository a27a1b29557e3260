/* Suppressions in the manner of LeakSanitizer: the same file serves both (compiler-rt/lib/sanitizer_common,
 * sanitizer_suppressions.cpp and TemplateMatch in sanitizer_common.cpp, LLVM 14). */
#include "flotsam/query.h"

#include <errno.h>

enum { MOST = 1 << 16 };

/* Does text begin with what stands before the next '*' of the pattern? *ret_n: how much that is. */
static bool begins(const char *text, const char *piece, size_t n)
{
	return !strncmp(text, piece, n);
}

bool suppressions_match(const char *pattern, const char *text)
{
	bool anchored = *pattern == '^';
	pattern += anchored;
	for (;; anchored = false) {
		while (*pattern == '*') {
			pattern++;
			anchored = false;
		}
		if (!*pattern)
			return true;
		size_t n = strcspn(pattern, "*");
		bool ends = !pattern[n] && pattern[n - 1] == '$';
		n -= ends;
		/* The last piece stands at the end, all others as early as can be. */
		size_t left = strlen(text);
		if (ends)
			return left >= n && begins(text + left - n, pattern, n) && (!anchored || left == n);
		const char *at = text;
		while (!begins(at, pattern, n)) {
			if (anchored || !*at)
				return false;
			at++;
		}
		text = at + n;
		pattern += n;
	}
}

static struct err *take_line(struct suppressions *s, char *line, const char *path, unsigned number)
{
	line += strspn(line, " \t");
	for (size_t n = strlen(line); n && strchr(" \t\r", line[n - 1]);)
		line[--n] = '\0';
	if (!*line || *line == '#')
		return NULL;
	if (strncmp(line, "leak:", 5) || !line[5])
		return err_hint(err_new(ERR_USAGE, "%s:%u: '%.40s' is no suppression", path, number, line), "leak:PATTERN, or a comment that begins with #");
	char **slot = s->patterns.n < MOST ? vec_push(&s->patterns) : NULL;
	if (!slot)
		return s->patterns.n < MOST ? err_nomem() : err_new(ERR_LIMIT, "%s has more than %d suppressions", path, MOST);
	*slot = line + 5;
	return NULL;
}

struct err *suppressions_parse(char *text, const char *name, struct suppressions *ret)
{
	*ret = (struct suppressions){ .text = text, .words = text ? strdup(text) : NULL };
	struct err *e = text && !ret->words ? err_nomem() : NULL;
	unsigned number = 1;
	for (char *line = ret->words, *end; !e && line; line = end, number++) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		e = take_line(ret, line, name, number);
	}
	if (e)
		suppressions_free(ret);
	return e;
}

struct err *suppressions_read(const char *path, struct suppressions *ret)
{
	char *text = system_read("", path, NULL);
	return text ? suppressions_parse(text, path, ret) : err_os(errno, "cannot read %s", path);
}

static bool any_match(const struct suppressions *s, const char *text)
{
	for (size_t i = 0; text && i < s->patterns.n; i++)
		if (suppressions_match(s->patterns.at[i], text))
			return true;
	return false;
}

static const char *module_at(const struct session *s, uint64_t address)
{
	const struct module *m = address ? modules_at(s->modules, address) : NULL;
	return m ? m->name : NULL;
}

/* The module whose class the blocks are: that of the vtable that their first word points into. */
static const char *module_of(const struct session *s, const struct leak_group *g)
{
	uint64_t vtable;
	if (strcmp(g->identified_by, "vtable") || !g->n_samples || !image_word(s->image, g->sample[0], &vtable))
		return NULL;
	return module_at(s, vtable);
}

static uint64_t less(uint64_t from, uint64_t n)
{
	return from > n ? from - n : 0;
}

void query_suppress(struct suppressions *s, struct report *r)
{
	size_t kept = 0;
	for (size_t i = 0; i < r->leaks.n; i++) {
		struct leak_group *g = &r->leaks.at[i];
		if (!any_match(s, g->label) && !any_match(s, module_of(r->session, g))) {
			r->leaks.at[kept++] = *g;
			continue;
		}
		struct class_sum *lost = &r->classes[CLASS_DEFINITE], *below = &r->classes[CLASS_INDIRECT];
		*lost = (struct class_sum){ less(lost->blocks, g->blocks), less(lost->bytes, g->bytes) };
		*below = (struct class_sum){ less(below->blocks, g->retained_blocks - g->blocks), less(below->bytes, g->retained_bytes - g->bytes) };
		s->blocks += g->blocks;
		s->bytes += g->bytes;
		free(g->label);
		free(g->preview);
	}
	r->leaks.n = kept;
	kept = 0;
	for (size_t i = 0; i < r->holders.n; i++) {
		struct holder_line *h = &r->holders.at[i];
		if (!any_match(s, h->name) && !any_match(s, h->where) && !any_match(s, module_at(r->session, h->address))) {
			r->holders.at[kept++] = *h;
			continue;
		}
		s->holders++;
		free(h->name);
		free(h->where);
	}
	r->holders.n = kept;
}

void suppressions_free(struct suppressions *s)
{
	vec_free(&s->patterns);
	free(s->words);
	free(s->text);
	*s = (struct suppressions){ 0 };
}

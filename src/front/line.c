/* A line of the prompt, cut into words. */
#include "front.h"

#include <ctype.h>

struct cutter {
	const char *at;
	char *to;	/* the text of words grows here */
	struct line *line;
};

/* Copies one quoted part. */
static struct err *quoted(struct cutter *c)
{
	char quote = *c->at++;
	for (; *c->at && *c->at != quote; c->at++) {
		if (*c->at == '\\' && quote == '"' && c->at[1])
			c->at++;
		*c->to++ = *c->at;
	}
	if (*c->at != quote)
		return err_new(ERR_USAGE, "a quote (%c) that does not end", quote);
	c->at++;
	return NULL;
}

static struct err *word(struct cutter *c, char **ret)
{
	*ret = c->to;
	while (*c->at && !isspace((unsigned char)*c->at) && *c->at != '|') {
		if (*c->at == '\'' || *c->at == '"') {
			TRY(quoted(c));
			continue;
		}
		if (*c->at == '\\' && c->at[1])
			c->at++;
		*c->to++ = *c->at++;
	}
	*c->to++ = '\0';
	return NULL;
}

static void skip_blanks(struct cutter *c)
{
	while (isspace((unsigned char)*c->at))
		c->at++;
}

static struct err *redirection(struct cutter *c)
{
	struct line *l = c->line;
	c->at++;
	l->append = *c->at == '>';
	c->at += l->append;
	skip_blanks(c);
	TRY(word(c, &l->file));
	skip_blanks(c);
	if (!*l->file || *c->at)
		return err_new(ERR_USAGE, "one file name stands behind >, and nothing behind that");
	return NULL;
}

static struct err *cut(struct cutter *c)
{
	struct line *l = c->line;
	for (skip_blanks(c); *c->at && *c->at != '#'; skip_blanks(c)) {
		if (*c->at == '|') {
			l->pipe = c->to;
			strcpy(c->to, c->at + 1); /* no longer than what it comes from: `to` is never ahead of `at` plus words */
			return l->n ? NULL : err_new(ERR_USAGE, "no command in front of |");
		}
		if (*c->at == '>')
			return l->n ? redirection(c) : err_new(ERR_USAGE, "no command in front of >");
		if (l->n >= MAX_WORDS)
			return err_new(ERR_LIMIT, "more than %d words", MAX_WORDS);
		char *begin = c->to;
		TRY(word(c, &l->words[l->n]));
		l->n++;
		/* x/16gx, as gdb takes it. */
		if ((l->n == 1 || (l->n == 2 && !strcmp(l->words[0], "time"))) && begin[0] == 'x' && begin[1] == '/') {
			memmove(begin + 2, begin + 1, strlen(begin));
			begin[1] = '\0';
			l->words[l->n++] = begin + 2;
			c->to++;
		}
	}
	return NULL;
}

struct err *line_parse(const char *text, struct line *ret)
{
	*ret = (struct line){ 0 };
	/* Each word takes its bytes and a NUL, the split one two more. */
	ret->text = malloc(2 * strlen(text) + 8);
	if (!ret->text)
		return err_nomem();
	struct cutter c = { .at = text, .to = ret->text, .line = ret };
	struct err *e = cut(&c);
	if (e)
		line_free(ret);
	return e;
}

void line_free(struct line *l)
{
	free(l->text);
	*l = (struct line){ 0 };
}

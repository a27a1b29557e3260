/* Documents as trees of nodes of all kinds, one of them half parsed. */
#include "cmark.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static cmark_node *documents[8];

static void feed(cmark_parser *p, int n)
{
	char text[1024];
	for (int i = 0; i < n; i++) {
		int len = snprintf(text, sizeof text,
				   "# Heading *%d*\n\nA paragraph with `code %d`, **strong _text_**, [a link](http://example.org/%d \"title %d\"),\nan ![image](pic%d.png) and a [reference][r%d].  \n"
				   "Hard break, <b>html</b> &amp; entity.\n\n> Quote of %d\n> - item one\n> - item two\n\n1. first\n2. second\n\n       indented\n\n```c\nint x = %d;\n```\n\n<div>\nblock %d\n</div>\n\n---\n\n[r%d]: http://example.org/r%d 'Title %d'\n\n",
				   i, i, i, i, i, i, i, i, i, i, i, i);
		cmark_parser_feed(p, text, (size_t)len);
	}
}

int main(void)
{
	char byte;
	for (int i = 0; i < 8; i++) {
		cmark_parser *p = cmark_parser_new(CMARK_OPT_DEFAULT);
		feed(p, 400);
		documents[i] = cmark_parser_finish(p);
		cmark_parser_free(p);
	}
	cmark_parser *open = cmark_parser_new(CMARK_OPT_SMART);
	feed(open, 300);
	cmark_iter *iter = cmark_iter_new(documents[3]);
	for (int i = 0; i < 100; i++)
		cmark_iter_next(iter);
	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) < 0)
		return 1;
	cmark_iter_free(iter);
	for (int i = 0; i < 8; i++)
		cmark_node_free(documents[i]);
	cmark_node_free(cmark_parser_finish(open));
	cmark_parser_free(open);
	return 0;
}

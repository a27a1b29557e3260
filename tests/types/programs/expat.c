/* A tree that is built of what expat says, and the parser still open. */
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct attribute { char *name, *value; struct attribute *next; };
struct element {
	char *name;
	struct attribute *attributes;
	struct element *parent, **children;
	size_t n_children, cap;
	char *text;
	size_t n_text;
};
struct document { struct element *root, *open; unsigned long elements; };

static void XMLCALL on_start(void *ctx, const char *name, const char **attributes)
{
	struct document *d = ctx;
	struct element *e = calloc(1, sizeof *e), *in = d->open;
	e->name = strdup(name);
	e->parent = in;
	for (; *attributes; attributes += 2) {
		struct attribute *a = malloc(sizeof *a);
		a->name = strdup(attributes[0]);
		a->value = strdup(attributes[1]);
		a->next = e->attributes;
		e->attributes = a;
	}
	if (!in)
		d->root = e;
	else {
		if (in->n_children == in->cap)
			in->children = realloc(in->children, (in->cap = in->cap ? in->cap * 2 : 4) * sizeof *in->children);
		in->children[in->n_children++] = e;
	}
	d->open = e;
	d->elements++;
}

static void XMLCALL on_end(void *ctx, const char *name)
{
	struct document *d = ctx;
	(void)name;
	d->open = d->open->parent;
}

static void XMLCALL on_text(void *ctx, const char *text, int n)
{
	struct element *e = ((struct document *)ctx)->open;
	e->text = realloc(e->text, e->n_text + n + 1);
	memcpy(e->text + e->n_text, text, n);
	e->text[e->n_text += n] = '\0';
}

static int feed(XML_Parser p, const char *text)
{
	return XML_Parse(p, text, (int)strlen(text), 0);
}

int main(void)
{
	char text[256], byte;
	struct document *d = calloc(1, sizeof *d);
	XML_Parser p = XML_ParserCreateNS(NULL, '|');
	XML_SetUserData(p, d);
	XML_SetElementHandler(p, on_start, on_end);
	XML_SetCharacterDataHandler(p, on_text);
	feed(p, "<!DOCTYPE shop [<!ENTITY maker 'Some Maker'><!ATTLIST item kind CDATA 'plain'>]><shop xmlns='http://example.org/shop' xmlns:p='http://example.org/p'>");
	for (int i = 0; i < 12000; i++) {
		snprintf(text, sizeof text, "<item id='i%d' p:rank='%d'><name>item number %d of &maker;</name><p:price>%d.5</p:price></item>", i, i % 9, i, i);
		if (!feed(p, text))
			return 1;
	}
	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) < 0 || !feed(p, "</shop>"))
		return 1;
	printf("%lu %zu\n", d->elements, d->root->n_children);
	XML_ParserFree(p);
	return 0;
}

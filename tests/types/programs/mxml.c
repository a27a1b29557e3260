/* A document of Mini-XML's: elements with attributes, values of each kind, an index. */
#include "mxml.h"

#include <stdio.h>
#include <unistd.h>

static mxml_node_t *document;

int main(void)
{
	char text[64], byte;
	document = mxmlNewXML("1.0");
	mxml_node_t *users = mxmlNewElement(document, "users");
	for (int i = 0; i < 12000; i++) {
		mxml_node_t *user = mxmlNewElement(users, "user");
		snprintf(text, sizeof text, "user number %d", i);
		mxmlElementSetAttr(user, "name", text);
		if (i % 3)
			mxmlElementSetAttr(user, "kind", "a kind that is somewhat longer than the name");
		mxmlNewInteger(mxmlNewElement(user, "id"), i);
		mxmlNewReal(mxmlNewElement(user, "ratio"), i / 3.0);
		mxmlNewOpaque(mxmlNewElement(user, "note"), text);
		mxml_node_t *words = mxmlNewElement(user, "words");
		for (int k = 0; k < i % 4; k++)
			mxmlNewText(words, k > 0, text);
	}
	mxml_index_t *index = mxmlIndexNew(document, "user", "name");
	mxml_node_t *copy = mxmlLoadString(NULL, "<a><b c='d'>some text</b><e/></a>", MXML_OPAQUE_CALLBACK);
	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) < 0)
		return 1;
	printf("%d\n", mxmlIndexGetCount(index));
	mxmlIndexDelete(index);
	mxmlDelete(copy);
	mxmlDelete(document);
	return 0;
}

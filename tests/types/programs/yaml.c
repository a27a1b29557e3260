/* Documents of libyaml's: nodes in stacks, with anchors, tags and flow collections. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

struct shelf { yaml_document_t *documents; int n; };

int main(void)
{
	char *text = malloc(8 << 20), byte;
	size_t n = 0;
	yaml_parser_t parser;
	struct shelf *shelf = calloc(1, sizeof *shelf);
	shelf->documents = calloc(64, sizeof *shelf->documents);
	for (int d = 0; d < 40; d++) {
		n += (size_t)sprintf(text + n, "--- # document %d\nbase: &base\n  kind: plain\nusers:\n", d);
		for (int i = 0; i < 200; i++)
			n += (size_t)sprintf(text + n, "  - name: user number %d\n    id: !!int %d\n    tags: [a, b, {c: %d}]\n    base: *base\n    text: |\n      one\n      two\n", i, i, i);
	}
	if (!yaml_parser_initialize(&parser))
		return 1;
	yaml_parser_set_input_string(&parser, (unsigned char *)text, n);
	for (; shelf->n < 40; shelf->n++)
		if (!yaml_parser_load(&parser, &shelf->documents[shelf->n]))
			return 1;
	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) < 0)
		return 1;
	for (int i = 0; i < shelf->n; i++)
		yaml_document_delete(&shelf->documents[i]);
	yaml_parser_delete(&parser);
	printf("%d\n", shelf->n);
	return 0;
}

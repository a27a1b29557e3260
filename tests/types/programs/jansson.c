/* A document of jansson's: hash tables linked through members, arrays, reference counts. */
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

static json_t *document;

int main(void)
{
	char text[64], byte;
	document = json_object();
	json_t *list = json_array();
	json_object_set_new(document, "users", list);
	for (int i = 0; i < 20000; i++) {
		json_t *user = json_object(), *tags = json_array();
		snprintf(text, sizeof text, "user number %d", i);
		json_object_set_new(user, "name", json_string(text));
		json_object_set_new(user, "id", json_integer(i));
		json_object_set_new(user, "ratio", json_real(i / 3.0));
		for (int k = 0; k < i % 4; k++)
			json_array_append_new(tags, json_string("tag"));
		json_object_set_new(user, "tags", tags);
		json_array_append_new(list, user);
	}
	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) < 0)
		return 1;
	printf("%zu\n", json_array_size(list));
	return 0;
}

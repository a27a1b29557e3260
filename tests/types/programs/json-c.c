/* A document of json-c's: objects in hash tables, arrays, numbers, texts. */
#include "json.h"

#include <stdio.h>
#include <unistd.h>

static struct json_object *document;

int main(void)
{
	char text[128], byte;
	struct json_object *list = json_object_new_array();
	document = json_object_new_object();
	json_object_object_add(document, "users", list);
	for (int i = 0; i < 10000; i++) {
		struct json_object *user = json_object_new_object(), *tags = json_object_new_array();
		snprintf(text, sizeof text, "user number %d, whose name is somewhat longer than others", i);
		json_object_object_add(user, "name", json_object_new_string(text));
		json_object_object_add(user, "id", json_object_new_int(i));
		json_object_object_add(user, "ratio", json_object_new_double(i / 3.0));
		json_object_object_add(user, "old", json_object_new_boolean(i % 2));
		for (int k = 0; k < i % 4; k++)
			json_object_array_add(tags, json_object_new_string("tag"));
		json_object_object_add(user, "tags", tags);
		json_object_array_add(list, user);
	}
	struct json_object *copy = json_tokener_parse(json_object_to_json_string(document));
	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) < 0)
		return 1;
	printf("%d\n", json_object_object_length(copy));
	json_object_put(copy);
	json_object_put(document);
	return 0;
}

/* A document of cJSON's: objects, arrays, numbers, texts. */
#include "cJSON.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static cJSON *document;

int main(void)
{
	char text[64], byte;
	document = cJSON_CreateObject();
	cJSON *list = cJSON_AddArrayToObject(document, "users");
	for (int i = 0; i < 20000; i++) {
		cJSON *user = cJSON_CreateObject();
		snprintf(text, sizeof text, "user number %d", i);
		cJSON_AddStringToObject(user, "name", text);
		cJSON_AddNumberToObject(user, "id", i);
		cJSON *tags = cJSON_AddArrayToObject(user, "tags");
		for (int k = 0; k < i % 4; k++)
			cJSON_AddItemToArray(tags, cJSON_CreateString("tag"));
		cJSON_AddItemToArray(list, user);
	}
	char *printed = cJSON_Print(document);
	cJSON *copy = cJSON_Parse(printed);
	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) < 0 || !copy)
		return 1;
	printf("%d %zu\n", cJSON_GetArraySize(copy), sizeof printed);
	return 0;
}

// A document of JsonCpp's: maps of values in maps.
#include "json/json.h"

#include <cstdio>
#include <unistd.h>

int main()
{
	Json::Value document(Json::objectValue);
	Json::Value &list = document["users"];
	for (int i = 0; i < 10000; i++) {
		Json::Value user(Json::objectValue);
		user["name"] = "user number " + std::to_string(i);
		user["id"] = i;
		for (int k = 0; k < i % 4; k++)
			user["tags"].append("tag");
		list.append(user);
	}
	puts("ready");
	fflush(stdout);
	char byte;
	if (read(0, &byte, 1) < 0)
		return 1;
	printf("%u\n", list.size());
}

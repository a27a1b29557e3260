// Documents of yaml-cpp's: nodes behind shared pointers, in maps and sequences.
#include "yaml-cpp/yaml.h"

#include <cstdio>
#include <map>
#include <string>
#include <unistd.h>
#include <vector>

int main()
{
	std::map<std::string, YAML::Node> documents;
	for (int d = 0; d < 20; d++) {
		std::string text = "base: &base {kind: plain}\nusers:\n";
		for (int i = 0; i < 100; i++) {
			std::string n = std::to_string(i);
			text += "  - name: user number " + n + "\n    id: " + n + "\n    tags: [a, b, {c: " + n + "}]\n    base: *base\n";
		}
		documents["document " + std::to_string(d)] = YAML::Load(text);
	}
	std::vector<YAML::Node> made;
	for (int i = 0; i < 500; i++) {
		YAML::Node node;
		node["id"] = i;
		node["names"].push_back("first " + std::to_string(i));
		node["names"].push_back("second");
		made.push_back(node);
	}
	puts("ready");
	fflush(stdout);
	char byte;
	if (read(0, &byte, 1) < 0)
		return 1;
	printf("%zu %zu\n", documents.size(), made.size());
}

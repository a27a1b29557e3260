// Documents of pugixml's: nodes and attributes in pages of its own, queries, strings.
#include "pugixml.hpp"

#include <cstdio>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

int main()
{
	std::vector<std::unique_ptr<pugi::xml_document>> documents;
	std::vector<pugi::xpath_query> queries;
	for (int d = 0; d < 200; d++) {
		documents.emplace_back(new pugi::xml_document);
		pugi::xml_node root = documents.back()->append_child("users");
		for (int i = 0; i < 50; i++) {
			pugi::xml_node user = root.append_child("user");
			std::string name = "user number " + std::to_string(i) + std::string(i % 40 * 30, 'x');
			user.append_attribute("name") = name.c_str();
			user.append_child("id").text().set(i);
		}
		std::string text = "//user[@name='user number " + std::to_string(d) + "' or id > 20]/id | /users/*[last()]";
		queries.emplace_back(text.c_str());
	}
	size_t found = 0;
	std::vector<pugi::xpath_node_set> sets;
	for (int d = 0; d < 200; d++)
		sets.push_back(queries[d].evaluate_node_set(*documents[d]));
	for (const pugi::xpath_node_set &s : sets)
		found += s.size();
	printf("%zu\nready\n", found);
	fflush(stdout);
	char byte;
	return read(0, &byte, 1) < 0;
}

// Patterns of re2's: programs, automata with their states, sets and filters.
#include "re2/filtered_re2.h"
#include "re2/re2.h"
#include "re2/set.h"

#include <cstdio>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

int main()
{
	std::vector<std::unique_ptr<RE2>> patterns;
	std::vector<std::unique_ptr<RE2::Set>> sets;
	re2::FilteredRE2 filter;
	size_t found = 0;
	for (int i = 0; i < 1500; i++) {
		std::string n = std::to_string(i);
		patterns.emplace_back(new RE2("([a-z" + n + "]+)(?:number|id) *(" + n + "|[0-9]{2,4}|[^x-z]*foo)+$"));
		std::string text = "usernumber " + n + std::string(i % 50, 'f') + "foo";
		found += RE2::PartialMatch(text, *patterns.back()) + RE2::FullMatch(text + n, *patterns.back());
		int id;
		filter.Add("user" + n + ".*group" + n, RE2::Options(), &id);
		if (i % 50 == 0) {
			sets.emplace_back(new RE2::Set(RE2::Options(), RE2::UNANCHORED));
			for (int k = 0; k < 30; k++)
				sets.back()->Add("abc" + n + "[0-9]{" + std::to_string(k + 1) + "}(x|y)*", nullptr);
			sets.back()->Compile();
			std::vector<int> which;
			found += sets.back()->Match("abc" + n + "12345xyx", &which);
		}
	}
	std::vector<std::string> atoms;
	filter.Compile(&atoms);
	printf("%zu\nready\n", found);
	fflush(stdout);
	char byte;
	return read(0, &byte, 1) < 0;
}

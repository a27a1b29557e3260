// Many expressions, matched so that their automata are made, and a set of them.
#include "re2/re2.h"
#include "re2/set.h"

#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

struct Rule { std::string name; std::unique_ptr<re2::RE2> expression; std::vector<std::string> matches; };

int main()
{
	std::map<std::string, std::shared_ptr<Rule>> rules;
	re2::RE2::Set set(re2::RE2::DefaultOptions, re2::RE2::UNANCHORED);
	for (int i = 0; i < 600; i++) {
		auto rule = std::make_shared<Rule>();
		std::string n = std::to_string(i);
		rule->name = "rule number " + n;
		rule->expression = std::make_unique<re2::RE2>("(?P<user>[a-z]+" + n + "*)@((?:[a-z0-9-]+\\.)+[a-z]{2,4})|item(\\d+)(x|y|z)?" + n);
		set.Add("error " + n + " in [a-z]+", nullptr);
		for (int k = 0; k < 20; k++) {
			std::string text = "mail of user" + n + "@host-" + std::to_string(k) + ".example.org and item" + std::to_string(k) + "x" + n, a, b;
			if (re2::RE2::PartialMatch(text, *rule->expression, &a, &b))
				rule->matches.push_back(a + " at " + b);
		}
		rules[rule->name] = rule;
	}
	set.Compile();
	std::vector<int> hits;
	set.Match("error 17 in memory", &hits);
	puts("ready");
	fflush(stdout);
	char byte;
	if (read(0, &byte, 1) < 0)
		return 1;
	printf("%zu %zu\n", rules.size(), hits.size());
}

// Dictionaries of hunspell's: tables of words, trees of affixes, what it suggests.
#include "hunspell.hxx"

#include <cstdio>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

int main(int argc, char **argv)
{
	if (argc < 3)
		return 1;
	auto checker = std::make_unique<Hunspell>(argv[1], argv[2]);
	std::vector<std::vector<std::string>> suggested;
	for (int i = 0; i < 40; i++) {
		std::string word = "wrod" + std::to_string(i) + "of" + std::to_string(i % 97);
		if (!checker->spell(word))
			suggested.push_back(checker->suggest(word));
	}
	for (int i = 0; i < 2000; i++)
		checker->add("own" + std::to_string(i));
	puts("ready");
	fflush(stdout);
	char byte;
	if (read(0, &byte, 1) < 0)
		return 1;
	printf("%zu\n", suggested.size());
}

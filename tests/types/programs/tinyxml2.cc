// A document of TinyXML-2's: virtual classes in pools of its own.
#include "tinyxml2.h"

#include <cstdio>
#include <string>
#include <unistd.h>

using namespace tinyxml2;

int main()
{
	XMLDocument *document = new XMLDocument();
	std::string text = "<users>";
	for (int i = 0; i < 8000; i++)
		text += "<user id='" + std::to_string(i) + "' kind='plain'><name>user number " + std::to_string(i) + "</name><!-- note --></user>";
	text += "</users>";
	if (document->Parse(text.c_str()) != XML_SUCCESS)
		return 1;
	puts("ready");
	fflush(stdout);
	char byte;
	if (read(0, &byte, 1) < 0)
		return 1;
	printf("%s\n", document->RootElement()->Name());
}

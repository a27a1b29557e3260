# A document with names, name spaces, attributes, comments, an internal subset and entities.
BEGIN {
	print "<?xml version='1.0'?>\n<!DOCTYPE shop [<!ELEMENT shop ANY><!ELEMENT item (name,price*)><!ATTLIST item id ID #REQUIRED kind (a|b|c) 'a'><!ENTITY maker 'Some Maker'><!NOTATION n SYSTEM 'n'>]>"
	print "<shop xmlns:p='http://example.org/p'>"
	for (i = 0; i < 8000; i++) {
		printf "<item id='i%d' kind='%s'><name>item number %d of &maker;</name><p:price currency='EUR'>%d.50</p:price>", i, substr("abc", 1 + i % 3, 1), i, i
		if (i % 3 == 0) printf "<!-- note %d --><?sort by %d?>", i, i
		if (i % 7 == 0) printf "<text><![CDATA[ a < b %d ]]></text>", i
		print "</item>"
	}
	print "</shop>"
}

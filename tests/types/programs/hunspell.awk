# An affix file and a dictionary of hunspell's: prefixes and suffixes with conditions, words with flags, corrections.
BEGIN {
	aff = to ".aff"
	dic = to ".dic"
	print "SET UTF-8\nTRY esianrtolcdugmphbyfvkwz\nREP 3\nREP f ph\nREP ph f\nREP k ck\nMAP 2\nMAP ae\nMAP ou\nBREAK 1\nBREAK -" >aff
	for (f = 0; f < 20; f++) {
		flag = sprintf("%c", 65 + f)
		print (f % 4 ? "SFX " : "PFX ") flag " Y 30" >aff
		for (i = 0; i < 30; i++)
			print (f % 4 ? "SFX " : "PFX ") flag " 0 x" f "y" i " " (i % 3 ? "." : "[^aeiou]y") >aff
	}
	n = 40000
	print n >dic
	for (i = 0; i < n; i++)
		print "word" i "of" i % 97 "/" sprintf("%c%c", 65 + i % 20, 65 + (i * 7 + 3) % 20) (i % 5 ? "" : "\tph:wurd" i) >dic
}

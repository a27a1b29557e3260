# Arrays of arrays by joined keys, texts, numbers, and fields.
BEGIN {
	for (i = 0; i < 20000; i++) {
		name["user", i] = "user number " i
		split("a b c d e f", parts, " ")
		id[i] = i * 1.5
		tags[i % 100, i] = parts[1 + i % 6]
	}
	print "ready"
	fflush()
	getline line < "-"
}

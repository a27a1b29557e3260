# Arrays of arrays, of texts and of numbers, and functions that are still running.
function fill(depth, into,    i) {
	if (!depth) {
		print "ready"
		fflush()
		getline line < "-"
		return
	}
	for (i = 0; i < 100; i++)
		into["depth " depth][i] = "text " i * depth
	fill(depth - 1, into)
}
BEGIN {
	for (i = 0; i < 15000; i++) {
		users[i]["name"] = "user number " i
		users[i]["id"] = i * 1.5
		users[i]["tags"][i % 4] = "tag" i
		if (i % 3 == 0)
			groups["group " i % 500][i] = i
	}
	pattern = "^user number [0-9]*5$"
	for (i in users)
		if (users[i]["name"] ~ pattern)
			found[i]
	fill(20, deep)
}

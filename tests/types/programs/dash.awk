# Functions, variables, aliases and a trap.
BEGIN {
	for (i = 0; i < 3000; i++) {
		print "f" i "() { if [ \"$1\" = x" i " ]; then echo \"${v" i ":-none} $((i + 1))\" | cat >/dev/null; elif test -n \"$2\"; then for a in 1 2 \"$@\"; do case $a in 1|2) echo one;; *) echo other;; esac; done; else while false; do :; done; fi; }"
		print "v" i "='value number " i "'"
		if (i % 10 == 0) print "alias a" i "='echo alias " i "'"
		if (i % 30 == 0) print "export v" i
	}
	print "trap 'echo bye' EXIT"
	print "echo ready"
	fflush()
}

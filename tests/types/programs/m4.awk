# Macros: short and long, redefined ones, with stacks of definitions, in diversions.
BEGIN {
	for (i = 0; i < 12000; i++) {
		print "define(`macro_" i "', `text of " i " with $1 and $2')dnl"
		if (i % 5 == 0) for (k = 0; k < 3; k++) print "pushdef(`macro_" i "', `hidden " k " of " i " by a somewhat longer definition than the others have, $*')dnl"
		if (i % 7 == 0) print "define(`alias_" i "', defn(`len'))dnl"
	}
	for (i = 1; i < 20; i++) print "divert(" i ")macro_" i "(`a', `b') text that waits in a diversion"
	print "divert(0)dnl"
	print "syscmd(`echo ready')dnl"
	fflush()
}

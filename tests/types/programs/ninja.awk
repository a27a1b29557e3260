# A build of many steps, of which the first waits for input.
BEGIN {
	print "cflags = -O2 -g\npool link\n  depth = 2\nrule cc\n  command = cc $cflags -c $in -o $out\n  description = CC $out\n  depfile = $out.d"
	print "rule link\n  command = cc $in -o $out\n  pool = link\nrule wait\n  command = echo ready; read x\n  pool = console\nrule made\n  command = : >$out"
	print "build waited: wait"
	for (i = 0; i < 400; i++) {
		printf "build gen/config%d.h: made || waited\n", i
		objects = ""
		for (k = 0; k < 20; k++) {
			printf "build source/module%d/file%d.c: made || waited\n", i, k
			printf "build obj/module%d/file%d.o: cc source/module%d/file%d.c | gen/config%d.h || waited\n", i, k, i, k, i
			if (k % 5 == 0) print "  cflags = -O3 -g -DMODULE=" i
			objects = objects " obj/module" i "/file" k ".o"
		}
		printf "build bin/program%d: link%s\n", i, objects
	}
	print "default waited bin/program0 bin/program399"
	for (i = 1; i < 399; i++) print "default bin/program" i
}

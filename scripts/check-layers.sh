#!/bin/bash
# Keeps src/LAYERS true. usage: check-layers.sh [ROOT]; without ROOT it first checks itself on copies with one violation each.
#   - src/M/** and include/flotsam/M.h, M_part.h include "flotsam/X.h" only when M's line allows X, and each arrow points up the file
#   - no private header of another module
#   - a library from outside is used in its one folder
# Files longer than a header's 200 or a source's 800 lines are named, but that is no failure.
set -u
export LC_ALL=C

check() { # ROOT
	cd "$1" || return
	find src include/flotsam -name '*.[ch]' | sort | xargs awk '
	function bad(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; failed = 1 }
	# Where #include "name" of a file leads, "." and ".." taken out.
	function resolve(file, name,   n, part, i, out, depth) {
		sub(/[^\/]*$/, "", file)
		n = split(file name, part, "/")
		depth = 0
		for (i = 1; i <= n; i++) {
			if (part[i] == "" || part[i] == ".") continue
			if (part[i] == "..") { depth--; continue }
			out[++depth] = part[i]
		}
		name = out[1]
		for (i = 2; i <= depth; i++) name = name "/" out[i]
		return name
	}
	# M_part.h is a part of the header of M.
	function owner(name,   stem) {
		stem = name
		sub(/_.*/, "", stem)
		return name in known ? name : stem
	}
	function only_in(name, pattern, modules) {
		if (name ~ pattern && index(" " modules " ", " " module " ") == 0)
			bad("<" name "> belongs to " (modules == "" ? "tests" : modules) " alone")
	}
	BEGIN {
		while ((getline line < "src/LAYERS") > 0) {
			if (line ~ /^#/ || line !~ /\|/) continue
			split(line, field, "|")
			name = field[1]; gsub(/ /, "", name)
			n = split(field[2], up, " ")
			for (i = 1; i <= n; i++) {
				if (!(up[i] in known)) { printf "src/LAYERS: %s may include %s, which stands below it\n", name, up[i]; failed = 1 }
				allowed[name, up[i]] = 1
			}
			known[name] = 1; allowed[name, name] = 1
		}
	}
	FNR == 1 {
		if (FILENAME ~ /^src\//) { split(FILENAME, path, "/"); module = path[2] }
		else { module = FILENAME; sub(/.*\//, "", module); sub(/\.h$/, "", module); module = owner(module) }
		if (!(module in known)) bad("module " module " has no line in src/LAYERS")
	}
	{ lines[FILENAME] = FNR }
	/^[ \t]*#[ \t]*include[ \t]*"/ {
		split($0, quoted, "\""); name = quoted[2]
		if (name ~ /^flotsam\//) {
			target = name; sub(/^flotsam\//, "", target); sub(/\.h$/, "", target); target = owner(target)
			if (!((module, target) in allowed)) bad(module " may not include " name)
		} else if (FILENAME ~ /^include\//)
			bad("a public header includes a private one: " name)
		else if (index(resolve(FILENAME, name), "src/" module "/") != 1)
			bad("a private header of another module: " name)
	}
	/^[ \t]*#[ \t]*include[ \t]*</ {
		name = $0; sub(/^[^<]*</, "", name); sub(/>.*/, "", name)
		only_in(name, "^(elfutils/|libelf|gelf|dwarf|libdw)", "modules")
		only_in(name, "^capstone", "modules")
		only_in(name, "^(zstd|lzma)", "target")
		only_in(name, "^readline/", "front")
		only_in(name, "^seccomp", "front")
		only_in(name, "^zlib", "profile")
		only_in(name, "^(jansson|check)\\.h", "")
	}
	END {
		for (f in lines)
			if (f ~ /\.h$/ ? lines[f] > 200 : lines[f] > 800 && f !~ /(table|layout)\.c$/)
				printf "note: %s has %d lines\n", f, lines[f]
		exit failed
	}'
}

# A copy of the tree with one more line in one file must be refused, for each kind of violation.
self_test() {
	local tmp row file line failed=0
	tmp=$(mktemp -d) || return
	while IFS='|' read -r file line; do
		rm -rf "$tmp/t" && mkdir -p "$tmp/t" && cp -r src include "$tmp/t/" || failed=1
		mkdir -p "$(dirname "$tmp/t/$file")"
		echo "$line" >>"$tmp/t/$file"
		if (check "$tmp/t") >/dev/null; then
			echo "check-layers.sh: not caught: $line in $file"
			failed=1
		fi
	done <<-'ROWS'
	src/base/probe.c|#include "flotsam/graph.h"
	include/flotsam/arch.h|#include "flotsam/target.h"
	include/flotsam/image.h|#include "flotsam/modules_code.h"
	src/arch/probe.c|#include "../base/private.h"
	src/arch/probe.c|#include "row/../../base/private.h"
	include/flotsam/base.h|#include "../../src/base/private.h"
	src/graph/probe.c|#include <elfutils/libdw.h>
	src/image/probe.c|# include <zstd.h>
	src/cmd/probe.c|#include <readline/readline.h>
	src/out/probe.c|#include <jansson.h>
	src/unknown/probe.c|int x;
	src/LAYERS|early | late | an arrow that points down
	ROWS
	rm -rf "$tmp"
	return $failed
}

if [ $# -gt 0 ]; then
	check "$1"
else
	cd "$(dirname "$0")/.." || exit
	self_test && check .
fi

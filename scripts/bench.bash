# Sourced by the scripts that measure: a folder for the time of the run, the one program that is measured on, lines of figures.
flotsam=${FLOTSAM:-build/release/flotsam} bench=${BENCH:-build/release/bench}
export LC_ALL=C

tmp=$(mktemp -d) || exit
program=
finish() {
	[ -n "$program" ] && kill "$program" 2>/dev/null && wait "$program" 2>/dev/null
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM

# FILE: a number a line -> "median min max"
spread() {
	sort -g "$1" 2>/dev/null | awk 'NF { v[++n] = $1 } END { if (n) print v[int((n + 1) / 2)], v[1], v[n] }'
}
median() {
	spread "$1" | cut -d' ' -f1
}
value() { # NAME VALUE UNIT [GOAL at-most|at-least]
	awk -v name="$1" -v v="$2" -v unit="$3" -v goal="${4-}" -v way="${5-}" 'BEGIN {
		if (v == "") { printf "  %-34s not reported\n", name; exit }
		printf "  %-34s %9.2f %s", name, v, unit
		if (goal != "") printf "  %s", ((way == "at-most" ? v <= goal : v >= goal) ? "goal reached" : "GOAL NOT REACHED: " way " " goal)
		print ""
	}'
}

#!/bin/bash
# The man pages: no warning of groff, each option of --help, each key and each word of a closed list that JSON prints.
set -u
cd "$(dirname "$0")/../.." || exit
tmp=$(mktemp -d) || exit
server=
trap '[ -n "$server" ] && kill "$server"; rm -rf "$tmp"' EXIT

if command -v groff >/dev/null; then
	for page in man/*.[15]; do
		warnings=$(groff -ww -man -Tutf8 -z "$page" 2>&1)
		if [ -z "$warnings" ]; then echo "ok man: $page"; else echo "not ok man: $page: $warnings"; fi
	done
else
	echo 'SKIP man: needs groff-base'
fi

# A page speaks of the flotsam that stands beside it.
version=$("$FLOTSAM" --version | grep -o '[0-9]*\.[0-9]*' | head -n 1)
for page in man/*.[15]; do
	if grep -q "^\.TH .* \"flotsam $version\" " "$page"; then echo "ok man: version of $page"; else echo "not ok man: version of $page: $(grep '^\.TH' "$page")"; fi
done

# Words of a page, its escapes taken out.
words() {
	sed 's/\\-/-/g; s/\\(lq/ /g; s/\\(rq/ /g; s/\\f[A-Z]//g' "$1" | tr -cs 'A-Za-z0-9_-' '\n' | sort -u
}
all_in() { # NAME PAGE WORDS
	local missing
	missing=$(comm -23 <(sort -u <<<"$3") <(words "$2") | tr '\n' ' ')
	[ -n "$3" ] || missing='nothing to look for'
	if [ -z "$missing" ]; then echo "ok man: $1"; else echo "not ok man: $1: $missing"; fi
}

all_in 'each option of --help' man/flotsam.1 "$("$FLOTSAM" --help | grep -Eo -- '(^|[ ,[])--?[a-z][a-z-]*' | tr -d ' ,[')"

. tests/support/fixtures.bash
start_api
"$FIXTURES/drive" "$port" >/dev/null || echo 'not ok man: the requests failed'
"$FLOTSAM" report "$server" --format json >"$tmp/report" || echo "not ok man: report ended with $?"
"$FLOTSAM" verify "$server" --format json >"$tmp/verify" || echo "not ok man: verify ended with $?"
"$FLOTSAM" blocks "$server" --format jsonl >"$tmp/blocks" || echo "not ok man: blocks ended with $?"
all_in 'each key of the report' man/flotsam-json.5 "$(grep -Eo '"[a-z_]+" *:' "$tmp/report" | tr -d '": ')"
all_in 'each key of verify' man/flotsam-json.5 "$(grep -Eo '"[a-z_]+" *:' "$tmp/verify" | tr -d '": ')"
all_in 'each key of the blocks' man/flotsam-json.5 "$(grep -Eo '"[a-z_]+" *:' "$tmp/blocks" | sort -u | tr -d '": ')"
"$FLOTSAM" system "$server" --format json >"$tmp/system" || echo "not ok man: system ended with $?"
"$FLOTSAM" system --format json >>"$tmp/system" || echo "not ok man: system ended with $?"
all_in 'each key of the system' man/flotsam-json.5 "$(grep -Eo '"[a-z_0-9]+" *:' "$tmp/system" | sort -u | tr -d '": ')"
"$FLOTSAM" disas "$server" main --format json >"$tmp/disas" || echo "not ok man: disas ended with $?"
"$FLOTSAM" check "$server" --format json >"$tmp/check"
all_in 'each key of a check' man/flotsam-json.5 "$(grep -Eo '"[a-z_]+" *:' "$tmp/check" | sort -u | tr -d '": ')"
"$FLOTSAM" sites "$server" 100 --format json >>"$tmp/disas" || echo "not ok man: sites ended with $?"
all_in 'each key of disas and sites' man/flotsam-json.5 "$(grep -Eo '"[a-z_]+" *:' "$tmp/disas" | sort -u | tr -d '": ')"
"$FLOTSAM" resources "$server" --format json >"$tmp/resources" || echo "not ok man: resources ended with $?"
"$FLOTSAM" types "$server" --format json >"$tmp/types" || echo "not ok man: types ended with $?"
"$FLOTSAM" type "$server" "$(sed -n 's/.*"sample": *"\(0x[0-9a-f]*\)".*/\1/p' "$tmp/types" | head -n 1)" --format json >>"$tmp/types" || echo "not ok man: type ended with $?"
all_in 'each key of types' man/flotsam-json.5 "$(grep -Eo '"[a-z_]+" *:' "$tmp/types" | sort -u | tr -d '": ')"
all_in 'each key of the resources' man/flotsam-json.5 "$(grep -Eo '"[a-z_]+" *:' "$tmp/resources" | sort -u | tr -d '": ')"
# Name and operands of each row of the table, as the page writes them.
"$FLOTSAM" shell "$server" -e help >"$tmp/help" || echo "not ok man: help ended with $?"
rows=$(sed -n 's/^  \([a-z]*\).*/\1/p' "$tmp/help" | sort -u)
if command -v groff >/dev/null; then
	groff -man -Tutf8 -P-cbou -rLL=200n man/flotsam.1 2>/dev/null | tr '‐−' '--' | sed 's/^ *//' >"$tmp/page"
	missing=$(for row in $rows; do
		operands=$("$FLOTSAM" shell "$server" -e "help $row" | head -n 1)
		awk -v row="$operands" 'index($0, row) == 1 { rest = substr($0, length(row) + 1); found = found || rest ~ /^( |$)/ } END { exit !found }' "$tmp/page" || echo "'$operands'"
	done)
	[ -n "$rows" ] || missing='nothing to look for'
	if [ -z "$missing" ]; then echo "ok man: each command with its operands"; else echo "not ok man: each command:" $missing; fi
fi
"$FLOTSAM" diff "$server" "$server" "$server" --format json >"$tmp/diff" || echo "not ok man: diff ended with $?"
all_in 'each key of a diff' man/flotsam-json.5 "$(grep -Eo '"[a-z_]+" *:' "$tmp/diff" | sort -u | tr -d '": ')"
kinds=$(grep -Eo '(say|judge_limit)\(m, "[a-z-]+"|"order-[a-z]+"' src/query/system.c | grep -Eo '"[a-z-]+"' | tr -d '"')
all_in 'each verdict on the machine' man/flotsam.1 "$kinds"
kinds=$(sed -n '/verdict_is_kind/,/};/p' src/verdict/verdict.c | grep -Eo '"[a-z-]+"' | tr -d '"')
all_in 'each kind of verdict' man/flotsam.1 "$kinds"
all_in 'each kind of verdict in JSON' man/flotsam-json.5 "$kinds"
rules=$(sed -n '/by_names\[\] = {/,/};/p' src/types/typing.c | grep -Eo '"[a-z-]+"' | tr -d '"' | grep -v none)
all_in 'each rule by which a block has a type' man/flotsam-json.5 "$rules"
for key in cause state class reason found_by identified_by reason; do
	values=$(grep -Eoh "\"$key\" *: *\"[a-z_-]+\"" "$tmp/report" "$tmp/blocks" | sort -u | sed 's/.*: *"\(.*\)"/\1/')
	[ -z "$values" ] || all_in "each $key" man/flotsam-json.5 "$values"
done

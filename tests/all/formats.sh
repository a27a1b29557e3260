#!/bin/bash
# What pprof and promtool say of our formats, where they are not installed: from the cache. Of golang, which takes 330 MB, the two
# programs alone.
set -u
cd "$(dirname "$0")/../.." || exit
tools=
missing() { # PROGRAM PACKAGE FILE...
	local root
	command -v "$1" >/dev/null && return
	root=$(scripts/fetch.sh "$2:$3" 2>/dev/null) || { echo "SKIP formats: needs $2"; return; }
	tools=$root/$4:$tools
}
missing go golang-1.19-go 'usr/lib/go-1.19/bin/go,usr/lib/go-1.19/pkg/tool/*/pprof' usr/lib/go-1.19/bin
missing promtool prometheus usr/bin/promtool usr/bin
[ -n "$tools" ] || { echo 'ok formats: make check runs it with the tools that are installed'; exit 0; }
PATH=$tools$PATH tests/e2e/formats.sh

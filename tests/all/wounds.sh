#!/bin/bash
# Each word of malloc's own, damaged in every way (tests/unit/wounds_test.c).
set -u
cd "$(dirname "$0")/../.." || exit
if text=$(WOUNDS=all CK_DEFAULT_TIMEOUT=600 "build/${MODE:-release}/tests/wounds_test" 2>&1); then
	echo "ok every-wound"
else
	echo "not ok every-wound: $(tail -n 1 <<<"$text")"
fi

#!/bin/bash
# flotsam exercise on the leaky API: 20 rounds of 200 requests for each of its endpoints, each cost within 5 %.
set -u
cd "$(dirname "$0")/../.." || exit
perl -MJSON::PP -e 1 2>/dev/null || { echo 'SKIP exercise: needs perl'; exit; }
tmp=$(mktemp -d) || exit
server=
trap '[ -n "$server" ] && kill "$server" 2>/dev/null; rm -rf "$tmp"' EXIT
. tests/support/exercise.bash
start_api

exercise 'a cache of new products' 20 200 g_cache cache GET '/product/$FLOTSAM_ROUND#'
exercise 'a warm cache' 20 200 g_cache - GET '/product/#'
exercise 'listeners' 20 200 g_listeners listener POST /subscribe 12
exercise 'timers' 20 20 g_timers timer GET /report
exercise 'pages of a search' 20 200 g_query_pages query_pages GET '/search?q=box'
exercise 'lost uploads' 20 200 leaked lost_upload POST /upload 3000
exercise 'no lost uploads while searching' 20 200 leaked - GET '/search?q=tin'
exercise 'a log of requests' 20 200 g_request_log request_log GET /health
exercise 'no timers while asked for health' 20 200 g_timers - GET /health
exercise 'a clean endpoint leaves nothing' 20 200 - - GET /health
exercise 'thumbnails fragment, and keep nothing' 20 200 - - GET /thumbnails

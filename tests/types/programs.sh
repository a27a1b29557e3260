# The programs that run.sh measures. NAME half package; build_NAME SOURCE PROGRAM compiles, words_NAME are its arguments; feed_NAME
# writes what it reads on standard input (file 7) before it is ready, or brings it otherwise to where it should be looked at.
# Each says `ready` when it holds all that it should, and then waits for input; xmllint's prompt is that.
# shellcheck shell=bash disable=SC2034,SC2154 # read and set by run.sh
programs='cjson open cjson
jansson open jansson
jsoncpp open libjsoncpp
lua open lua5.4
mawk open mawk
ninja open ninja-build
redis open redis
sqlite open sqlite3
tinyxml2 open tinyxml2
xmllint open libxml2
duktape open duktape
everyday open -
expat held expat
gawk open gawk
hunspell held hunspell
hiredis held hiredis
jimtcl held jimtcl
jq open jq
json-c open json-c
mujs open mujs
cmark open cmark
m4 open m4
dash open dash
leveldb held leveldb
libconfig held libconfig
cgraph open graphviz
muparser held muparser
mxml held mxml
pugixml open pugixml
nlohmann held nlohmann-json3
re2 open re2
yaml open libyaml
yaml-cpp held yaml-cpp'

# COMPILER FLAGS SOURCES: objects in a folder of their own, one compiler a processor.
objects_of() {
	mkdir -p "$work/objects" && rm -f "$work"/objects/* || return
	local n=0 source
	for source in $3; do
		n=$((n + 1))
		echo "$1 $flags $2 -c -o $work/objects/$n.o $source"
	done | xargs -d '\n' -P "$(nproc)" -n 1 sh -c 'eval "$0"'
}
with_cmake() { # SOURCE NAME WORDS: built in $work/NAME
	local source=$1 to=$work/$2
	shift 2
	command -v cmake >/dev/null || { echo 'needs cmake' >&2; return 1; }
	mkdir -p "$to" && (cd "$to" && CFLAGS=$flags CXXFLAGS=$flags cmake "$source" -DCMAKE_BUILD_TYPE= -DBUILD_SHARED_LIBS=OFF "$@" && make -j"$(nproc)") >&2
}
but() { # PATTERN FILES: those whose names do not match
	local pattern=$1
	shift
	printf '%s\n' "$@" | grep -Ev "$pattern"
}

build_cjson() { gcc $flags -I"$1" -o "$2" "$here/programs/cjson.c" "$1/cJSON.c" -lm; }
build_tinyxml2() { g++ $flags -I"$1" -o "$2" "$here/programs/tinyxml2.cc" "$1/tinyxml2.cpp"; }
build_lua() {
	# Debian's patch names the folder of modules in a header that its own build makes.
	mkdir -p "$work/lua" && echo '#define DEB_HOST_MULTIARCH ""' >"$work/lua/lua5.4-deb-multiarch.h" &&
		objects_of gcc "-I$work/lua -DLUA_USE_POSIX -DLUA_USE_DLOPEN" "$(but '/luac\.c$' "$1"/src/*.c)" && gcc -o "$2" "$work"/objects/*.o -lm -ldl -Wl,-E
}
words_lua=$here/programs/lua.lua
build_jansson() {
	with_cmake "$1" jansson -DJANSSON_BUILD_DOCS=OFF -DJANSSON_EXAMPLES=OFF -DJANSSON_WITHOUT_TESTS=ON &&
		gcc $flags -I"$work/jansson/include" -o "$2" "$here/programs/jansson.c" "$work/jansson/lib/libjansson.a"
}
build_jsoncpp() { objects_of g++ "-I$1/include" "$here/programs/jsoncpp.cc $(echo "$1"/src/lib_json/*.cpp)" && g++ -o "$2" "$work"/objects/*.o; }
build_mawk() {
	cp -a "$1" "$work/mawk" && (cd "$work/mawk" && CFLAGS=$flags ./configure && make CFLAGS="$flags") >&2 && cp "$work/mawk/mawk" "$2"
}
words_mawk="-f $here/programs/mawk.awk"

# Waits in poll() for a command of the build, which waits for input.
build_ninja() {
	objects_of g++ "" "$(but '_test\.cc$|perftest|win32|minidump|\.in\.cc$|browse\.cc|bench\.cc|gen_doxygen|/test\.cc' "$1"/src/*.cc)" &&
		g++ -o "$2" "$work"/objects/*.o
}
words_ninja="-C $work/ninja.dir"
prepare_ninja() { mkdir -p "$work/ninja.dir" && awk -f "$here/programs/ninja.awk" >"$work/ninja.dir/build.ninja"; }

# Its client waits with it.
build_redis() {
	cp -a "$1" "$work/redis" && (cd "$work/redis" && make -C deps hiredis linenoise lua hdr_histogram && make -C src -j"$(nproc)" MALLOC=libc OPTIMIZATION=-O2 REDIS_CFLAGS='-g -w' redis-server redis-cli) >&2 &&
		cp "$work/redis/src/redis-server" "$2" && cp "$work/redis/src/redis-cli" "$2-cli"
}
words_redis="--port 0 --unixsocket $work/redis.socket --dir $work --save '' --appendonly no"
feed_redis() {
	local i
	for ((i = 0; i < 300; i++)); do
		[ -S "$work/redis.socket" ] && break
		sleep 0.1
	done
	awk -f "$here/programs/redis.awk" | "$cache/redis-cli" -s "$work/redis.socket" --pipe >&2 && echo ready >>"$work/out"
}

build_sqlite() {
	mkdir -p "$work/sqlite" && (cd "$work/sqlite" && "$1/configure" --disable-tcl --disable-readline && make sqlite3.c shell.c) >&2 &&
		objects_of gcc "-DSQLITE_THREADSAFE=1 -DSQLITE_ENABLE_FTS4 -DSQLITE_ENABLE_RTREE -I$work/sqlite" "$work/sqlite/sqlite3.c $work/sqlite/shell.c" &&
		gcc -o "$2" "$work"/objects/*.o -lm -ldl -lpthread
}
feed_sqlite() { awk -f "$here/programs/sqlite.awk" >&7; }

build_xmllint() {
	mkdir -p "$work/libxml2" && (cd "$work/libxml2" && CFLAGS=$flags "$1/configure" --disable-shared --without-python --without-zlib --without-lzma &&
		make -j"$(nproc)" AUTOMAKE=: ACLOCAL=: AUTOCONF=: AUTOHEADER=: xmllint) >&2 && cp "$work/libxml2/xmllint" "$2"
}
declare -A ready_for=([xmllint]='^/ > ')
words_xmllint="--shell $work/xmllint.xml"
prepare_xmllint() { awk -f "$here/programs/xmllint.awk" >"$work/xmllint.xml"; }

# Of no package. Functions that are the same stay two: sites tells by them what they allocate.
build_everyday() { g++ $flags -std=c++20 -fno-ipa-icf -o "$2" "$here/programs/everyday.cc"; }
build_duktape() { gcc $flags -I"$1/src" -o "$2" "$here/programs/duktape.c" "$1/src/duktape.c" -lm; }
build_expat() {
	mkdir -p "$work/expat" && printf '#define %s\n' 'XML_DTD 1' 'XML_GE 1' 'XML_NS 1' 'XML_CONTEXT_BYTES 1024' 'BYTEORDER 1234' 'HAVE_GETRANDOM 1' >"$work/expat/expat_config.h" &&
		objects_of gcc "-I$work/expat -I$1/expat/lib" "$here/programs/expat.c $(echo "$1"/expat/lib/xml{parse,role,tok}.c)" && gcc -o "$2" "$work"/objects/*.o
}
build_jq() {
	# What its configure and make would make.
	mkdir -p "$work/jq/src" && echo '#define JQ_VERSION "1.6"' >"$work/jq/src/version.h" &&
		sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$/\\n"/' "$1/src/builtin.jq" >"$work/jq/src/builtin.inc" &&
		objects_of gcc "-D_GNU_SOURCE -DIEEE_8087=1 -DHAVE_MEMMEM=1 -DUSE_DECNUM=0 -I$work/jq -I$work/jq/src" "$(but 'inject_errors|jq_test' "$1"/src/*.c)" &&
		gcc $flags -o "$2" "$work"/objects/*.o -x c "$here/programs/jq-tests.c" -lm
}
words_jq="-n --unbuffered -f $here/programs/jq.jq"
build_json-c() {
	with_cmake "$1" json-c -DBUILD_TESTING=OFF -DBUILD_APPS=OFF -DDISABLE_WERROR=ON &&
		gcc $flags -I"$1" -I"$work/json-c" -o "$2" "$here/programs/json-c.c" "$work/json-c/libjson-c.a"
}
build_mujs() { gcc $flags -I"$1" -o "$2" "$here/programs/mujs.c" "$1/one.c" -lm; }
build_cmark() {
	with_cmake "$1" cmark -DCMARK_TESTS=OFF -DCMARK_SHARED=OFF &&
		gcc $flags -I"$1/src" -I"$work/cmark/src" -o "$2" "$here/programs/cmark.c" "$work/cmark/src/libcmark.a"
}
build_m4() {
	mkdir -p "$work/m4" && (cd "$work/m4" && CFLAGS=$flags "$1/configure" --disable-nls && make -j"$(nproc)" -C lib AUTOMAKE=: ACLOCAL=: AUTOCONF=: AUTOHEADER=: && make -C src AUTOMAKE=: ACLOCAL=: AUTOCONF=: AUTOHEADER=:) >&2 && cp "$work/m4/src/m4" "$2"
}
feed_m4() { awk -f "$here/programs/m4.awk" >&7; }
# Its Makefile.in is older than Debian's patch, and does not know priv.c.
build_dash() {
	mkdir -p "$work/dash" && (cd "$work/dash" && CFLAGS=$flags "$1/configure" --without-libedit && make LIBS="-I. -I.. -include config.h -DSHELL $flags $1/src/priv.c" AUTOMAKE=: ACLOCAL=: AUTOCONF=: AUTOHEADER=:) >&2 &&
		cp "$work/dash/src/dash" "$2"
}
feed_dash() { awk -f "$here/programs/dash.awk" >&7; }
# Without its parser, which needs bison and flex.
build_cgraph() {
	mkdir -p "$work/cgraph" && printf '%s\n' '#define PACKAGE_VERSION "2"' '#define HAVE_STRCASECMP 1' >"$work/cgraph/config.h" &&
		objects_of gcc "-D_GNU_SOURCE -include config.h -I$work/cgraph -I$1/lib -I$1/lib/cdt -I$1/lib/cgraph" \
			"$here/programs/cgraph.c $(but '/(main[0-9]*|tester|cmpnd)\.c$' "$1"/lib/cgraph/*.c) $(echo "$1"/lib/cdt/*.c)" &&
		gcc -o "$2" "$work"/objects/*.o -lm
}
build_nlohmann() { g++ $flags -std=c++17 -I"$1/include" -I"$1/single_include" -o "$2" "$here/programs/nlohmann.cc"; }
build_yaml() {
	with_cmake "$1" yaml -DBUILD_TESTING=OFF && gcc $flags -I"$1/include" -o "$2" "$here/programs/yaml.c" "$work/yaml/libyaml.a"
}
build_yaml-cpp() {
	objects_of g++ "-std=c++17 -I$1/include" "$here/programs/yaml-cpp.cc $(echo "$1"/src/*.cpp)" && g++ -o "$2" "$work"/objects/*.o
}
build_gawk() {
	cp -a "$1" "$work/gawk" && (cd "$work/gawk" && CFLAGS=$flags ./configure --disable-nls --disable-extensions --without-readline --without-mpfr && make -C support && make gawk) >&2 && cp "$work/gawk/gawk" "$2"
}
words_gawk="-f $here/programs/gawk.awk"
build_jimtcl() {
	cp -a "$1" "$work/jimtcl" && (cd "$work/jimtcl" && CFLAGS=$flags ./configure --disable-docs && make -j"$(nproc)" jimsh) >&2 && cp "$work/jimtcl/jimsh" "$2"
}
words_jimtcl=$here/programs/jimtcl.tcl
build_libconfig() { objects_of gcc "-DHAVE_USELOCALE=0 -I$1/lib" "$here/programs/libconfig.c $(echo "$1"/lib/{libconfig,grammar,scanner,scanctx,strbuf}.c)" && gcc -o "$2" "$work"/objects/*.o; }
build_leveldb() {
	with_cmake "$1" leveldb -DLEVELDB_BUILD_TESTS=OFF -DLEVELDB_BUILD_BENCHMARKS=OFF -DHAVE_SNAPPY=OFF -DHAVE_TCMALLOC=OFF &&
		g++ $flags -I"$1/include" -o "$2" "$here/programs/leveldb.cc" "$work/leveldb/libleveldb.a" -lpthread $(grep -q 'HAVE_SNAPPY 1' "$work/leveldb/include/port/port_config.h" && echo -lsnappy)
}
words_leveldb="$work/leveldb.dir"
build_re2() {
	# Its tables of Unicode are made from files of another package; none is asked for here.
	mkdir -p "$work/re2" && printf '%s
' '#include "re2/unicode_casefold.h"' '#include "re2/unicode_groups.h"' 'namespace re2 {' \
		'extern const CaseFold unicode_casefold[] = {{0, 0, 0}}, unicode_tolower[] = {{0, 0, 0}};' \
		'extern const int num_unicode_casefold = 0, num_unicode_tolower = 0, num_unicode_groups = 0, num_perl_groups = 0, num_posix_groups = 0;' \
		'extern const UGroup unicode_groups[] = {{}}, perl_groups[] = {{}}, posix_groups[] = {{}};' '}' >"$work/re2/tables.cc" &&
		objects_of g++ "-std=c++17 -I$1" "$here/programs/re2.cc $work/re2/tables.cc $(but 'test|fuzz|benchmark|pcre' "$1"/re2/*.cc "$1"/util/{rune,strutil}.cc)" &&
		g++ -o "$2" "$work"/objects/*.o -lpthread
}
build_hunspell() {
	objects_of g++ "-I$1/src/hunspell -DHUNSPELL_STATIC" "$here/programs/hunspell.cc $(echo "$1"/src/hunspell/*.cxx)" && g++ -o "$2" "$work"/objects/*.o
}
words_hunspell="$work/words.aff $work/words.dic"
prepare_hunspell() { awk -v to="$work/words" -f "$here/programs/hunspell.awk"; }
build_mxml() {
	cp -a "$1" "$work/mxml" && (cd "$work/mxml" && CFLAGS=$flags OPTIM=$flags ./configure --disable-shared && make libmxml.a) >&2 &&
		gcc $flags -I"$work/mxml" -o "$2" "$here/programs/mxml.c" "$work/mxml/libmxml.a" -lpthread
}
build_hiredis() { objects_of gcc "-I$1" "$here/programs/hiredis.c $(echo "$1"/{alloc,net,hiredis,sds,async,read}.c)" && gcc -o "$2" "$work"/objects/*.o; }
build_pugixml() { g++ $flags -I"$1/src" -o "$2" "$here/programs/pugixml.cc" "$1/src/pugixml.cpp"; }
build_muparser() { objects_of g++ "-I$1/include" "$here/programs/muparser.cc $(but '_c\.|DLL|Test' "$1"/src/muParser*.cpp)" && g++ -o "$2" "$work"/objects/*.o; }

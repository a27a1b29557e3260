#!/bin/bash
# Makes a C++ program with much DWARF. usage: bench-dwarf.sh FILE [MB]: about so many megabytes (100), unless FILE is there already.
# A compiler would need long for so much source: it compiles one unit of classes and templates, whose assembly is then taken
# several times with the classes called otherwise. CXX, CC.
set -eu
out=$1 want=${2:-100}
[ ! -s "$out" ] || exit 0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

unit() { # CLASSES
	cat <<-'END'
		#include <map>
		#include <memory>
		#include <string>
		#include <unordered_map>
		#include <vector>
	END
	for i in $(seq "$1"); do
		cat <<-END
			namespace layer$((i % 7)) {
			struct QQQQ_key_$i { int a; long b; bool operator<(const QQQQ_key_$i &o) const { return a < o.a; } };
			class QQQQ_item_$i {
			public:
				virtual ~QQQQ_item_$i() {}
				std::string name, text;
				std::vector<QQQQ_key_$i> keys;
				std::unique_ptr<QQQQ_item_$i> next;
				std::map<QQQQ_key_$i, std::shared_ptr<QQQQ_item_$i>> children;
				std::unordered_map<std::string, QQQQ_item_$i *> names;
				double figures[$((i % 9 + 1))];
			};
			}
		END
	done
	echo 'int QQQQ_run(int n) {'
	for i in $(seq "$1"); do
		echo "static layer$((i % 7))::QQQQ_item_$i item_$i; item_$i.names[\"x\"] = item_$i.children[{ n, 1 }].get(); n += item_$i.keys.size();"
	done
	echo 'return n; }'
}

unit 150 >"$tmp/unit.cc"
${CXX:-g++} -std=gnu++17 -O0 -g -S -o "$tmp/unit.s" "$tmp/unit.cc"
copies=1
for (( i = 0; i < copies; i++ )); do
	name=$(printf 'K%03d' $i)
	sed "s/QQQQ/$name/g" "$tmp/unit.s" | ${CC:-gcc} -c -o "$tmp/$name.o" -x assembler -
	[ $i -gt 0 ] || copies=$((want * 1000000 / $(stat -c %s "$tmp/K000.o") + 1))
done
{
	echo '#include <stdio.h>'
	echo '#include <unistd.h>'
	for (( i = 0; i < copies; i++ )); do printf 'int K%03d_run(int);\n' $i; done
	echo 'int main(int argc, char **) { int n = argc; char byte;'
	for (( i = 0; i < copies; i++ )); do printf 'n += K%03d_run(n);\n' $i; done
	echo 'printf("%d\n", (int)getpid()); fflush(stdout); while (read(0, &byte, 1) > 0); return n == 1; }'
} >"$tmp/main.cc"
${CXX:-g++} -g -o "$tmp/program" "$tmp/main.cc" "$tmp"/K*.o
mkdir -p "$(dirname "$out")"
mv "$tmp/program" "$out"

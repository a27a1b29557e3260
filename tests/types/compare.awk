# What flotsam says of each block against the truth. usage: awk -f compare.awk -v program=NAME -v half=open|held TRUTH TYPES BLOCKS
# TRUTH: lines of `sites`; TYPES, BLOCKS: `types` and `blocks --types=all` as jsonl. Prints one row of the table, and for the open half
# what is most often wrong.
# Without template arguments that nobody writes.
function without(s, word,   p, i, depth, c) {
	while ((p = index(s, ", std::" word "<"))) {
		depth = 0
		for (i = p + 2; i <= length(s); i++) {
			c = substr(s, i, 1)
			if (c == "<") depth++
			else if (c == ">" && --depth == 0) break
		}
		s = substr(s, 1, p - 1) substr(s, i + 1)
	}
	return s
}
function plain(s) {
	if (s in plains) return plains[s]
	return plains[s] = make_plain(s)
}
function make_plain(s,   n, words, i) {
	gsub(/^(struct|union|enum|class) /, "", s)
	# A lambda, by the way of c++filt and of gcc's names of types.
	gsub(/[a-z_A-Z0-9]*\(?\)?::\{lambda\([^{}]*\)#[0-9]+\}/, "<lambda>", s); gsub(/[a-z_A-Z0-9]*\(\)::<lambda\([^<>]*\)>/, "<lambda>", s)
	sub(/ \+ tail$/, "", s); sub(/ [0-9]+ B$/, "", s); sub(/\?$/, "", s); sub(/ \{.*$/, "", s)
	gsub(/ *\[[^]]*\]/, "", s)
	gsub(/(unsigned|signed) char/, "char", s); gsub(/u?int8_t/, "char", s)
	gsub(/std::__cxx11::/, "std::", s)
	n = split("allocator less hash equal_to char_traits default_delete", words, " ")
	for (i = 1; i <= n; i++) s = without(s, words[i])
	gsub(/ /, "", s)
	gsub(/std::basic_string<char>/, "std::string", s)
	return s
}
function value(line, key,   p, rest) {
	p = index(line, "\"" key "\":")
	if (!p) return ""
	rest = substr(line, p + length(key) + 3)
	if (substr(rest, 1, 1) == "\"") {
		rest = substr(rest, 2)
		match(rest, /([^"\\]|\\.)*/)
		return substr(rest, 1, RLENGTH)
	}
	match(rest, /[^,}]*/)
	rest = substr(rest, 1, RLENGTH)
	return rest == "null" ? "" : rest
}
function percent(part, whole) { return whole ? sprintf("%.1f", 100 * part / whole) : "-" }
FILENAME == ARGV[1] {
	split($0, f, "\t")
	size[f[1]] = f[2]; truth[f[1]] = f[3]
	next
}
# A name may stand in several tiers: without the tier of the block itself the lowest counts.
FILENAME == ARGV[2] {
	t = value($0, "tier"); n = value($0, "type")
	if (n != "" && (tier_of[n] == "" || t > tier_of[n])) tier_of[n] = t
	next
}
{
	a = value($0, "address"); state = value($0, "state")
	if (!(a in size) || (state != "used" && state != "mmapped")) next
	label = value($0, "label")
	tier = $0 ~ /"tier":/ ? value($0, "tier") : tier_of[label]
	blocks++; bytes += size[a]
	known += truth[a] != ""
	if (tier == "") next
	named++; named_bytes += size[a]; of[tier]++
	if (truth[a] == "") next
	judged[tier]++
	if (plain(label) == plain(truth[a])) right[tier]++
	else wrong[tier "\t" label "\t" truth[a]]++
}
END {
	for (i = 1; i <= 4; i++) {
		t = substr("ABCD", i, 1)
		all_right += right[t]; all_judged += judged[t]
		cells = cells " | " (of[t] ? percent(of[t], blocks) " @ " percent(right[t], judged[t]) : "-")
	}
	printf "| %s | %s | %d | %s | %s / %s | %s%s |\n", program, half, blocks, percent(known, blocks), percent(named, blocks), percent(named_bytes, bytes),
		percent(all_right, all_judged), cells
	if (half == "open")
		for (w in wrong) {
			split(w, f, "\t")
			printf "wrong %s\t%d\t%s\t%s\t%s\n", program, wrong[w], f[1], f[2], f[3]
		}
}

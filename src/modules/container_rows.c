/* The containers of libstdc++, libc++, Rust and GLib.
 * libstdc++: members by the headers of gcc 12: bits/stl_vector.h, bits/stl_bvector.h, bits/basic_string.h,
 * bits/stl_deque.h, bits/stl_list.h, bits/forward_list.h, bits/stl_tree.h, bits/hashtable.h, bits/shared_ptr_base.h,
 * bits/unique_ptr.h, optional, variant. They have been the same since gcc 5 made C++11's ABI.
 * libc++: vector, list, forward_list, __tree, __hash_table, string, deque, optional, variant and __memory/ of 14, where pairs are compressed.
 * Rust: library/alloc/src/vec/mod.rs, rc.rs, sync.rs, raw_vec.rs, collections/vec_deque/mod.rs, collections/btree/map.rs, node.rs and hashbrown's
 * src/raw/mod.rs, of 1.63 and of 1.95, whose RawVec has what it had in a member of its own.
 * GLib: container_glib.c. */
#include "containers.h"

#define TREE_FIELDS { "._M_t._M_impl._M_header._M_parent", "._M_t._M_impl._M_node_count" }
#define HASH_FIELDS { "._M_h._M_buckets", "._M_h._M_bucket_count", "._M_h._M_before_begin._M_nxt", "._M_h._M_element_count", "._M_h._M_single_bucket" }
#define TREE(name, args) { .type = name, .kind = "std::" name, .form = FORM_TREE, .fields = TREE_FIELDS, .from = "._M_t", .argument = 1, .shown = args, \
			   .node_words = 4, .step = "[]" }
#define HASH(name, args) { .type = name, .kind = "std::" name, .form = FORM_HASH, .fields = HASH_FIELDS, .from = "._M_h", .argument = 1, .shown = args, \
			   .node_words = 1, .step = "[]" }

#define ADAPTOR(name) .type = name, .kind = "std::" name, .form = FORM_ADAPTOR, .fields = { ".c" }

#define LIBCXX .scope = "std::__1::"
#define LIBCXX_TREE(name, args) { .type = name, .kind = "std::" name, LIBCXX, .form = FORM_TREE, \
				  .fields = { ".__tree_.__pair1_.__value_.__left_", ".__tree_.__pair3_.__value_" }, .from = ".__tree_", .shown = args, \
				  .node_words = 4, .children_first = true, .step = "[]" }
#define LIBCXX_HASH(name, args) { .type = name, .kind = "std::" name, LIBCXX, .form = FORM_HASH, \
				  .fields = { ".__table_.__bucket_list_", "+", ".__table_.__p1_.__value_.__next_", \
					      ".__table_.__p2_.__value_", ".__table_.__p1_" }, \
				  .from = ".__table_", .shown = args, .node_words = 2, .step = "[]" }
#define RUST_VEC(...) { .type = "Vec", .kind = "Vec", .scope = "alloc::vec::", .form = FORM_VEC, .fields = { __VA_ARGS__ }, .from = "", .shown = 1, .step = "[]" }
#define RUST_STRING(...) { .type = "String", .kind = "String", .scope = "alloc::string::", .plain = true, .form = FORM_TEXT, .fields = { __VA_ARGS__ }, \
			   .from = ".vec", .step = "[]" }
#define RUST_DEQUE(with, ...) { .type = "VecDeque", .kind = "VecDeque", .scope = "alloc::collections::vec_deque::", .form = with, .fields = { __VA_ARGS__ }, \
				.from = "", .shown = 1, .step = "[]" }
#define RUST_HASH(name, in, n, table) { .type = name, .kind = name, .scope = "std::collections::hash::" in "::", .form = FORM_SWISS, \
					.fields = { table ".table.bucket_mask", table ".table.ctrl", table ".table.items", table ".table.growth_left" }, \
					.from = table, .shown = n, .step = "[]" }
#define RUST_TREE(name, in, n, map, key) { .type = name, .kind = name, .scope = "alloc::collections::btree::" in "::", .form = FORM_BTREE, .fields = { map ".length", map ".root" }, \
					 .from = "", .shown = n, .step = key }
#define RUST_COUNTED(name, in, value, to) { .type = name, .kind = name, .scope = "alloc::" in "::", .form = FORM_COUNTED, .fields = { ".ptr.pointer" }, \
					    .from = "", .shown = 1, .behind = value, .step = to }
#define GLIB(name, with) { .type = "_" name, .kind = name, .plain = true, .glib = true, .form = with }

const struct container_row container_rows[] = {
	{ .type = "vector<bool", .kind = "std::vector", .form = FORM_BITS,
	  .fields = { "._M_impl._M_start._M_p", "._M_impl._M_finish._M_p", "._M_impl._M_finish._M_offset", "._M_impl._M_end_of_storage" },
	  .from = "", .shown = 1, .step = "[]" },
	{ .type = "vector", .kind = "std::vector", .form = FORM_SPAN,
	  .fields = { "._M_impl._M_start", "._M_impl._M_finish", "._M_impl._M_end_of_storage" }, .from = "", .shown = 1, .step = "[]" },
	{ .type = "basic_string", .kind = "std::string", .form = FORM_STRING,
	  .fields = { "._M_dataplus._M_p", "._M_string_length", "._M_allocated_capacity", "._M_local_buf" }, .from = "", .shown = 1, .step = "[]" },
	{ .type = "basic_string", .kind = "std::string", .form = FORM_OLD_STRING, .fields = { "._M_dataplus._M_p" }, .from = "", .shown = 1, .step = "[]" },
	{ ADAPTOR("stack") }, { ADAPTOR("queue") }, { ADAPTOR("priority_queue") },
	{ .type = "deque", .kind = "std::deque", .form = FORM_DEQUE,
	  .fields = { "._M_impl._M_map", "._M_impl._M_map_size", "._M_impl._M_start._M_cur", "._M_impl._M_start._M_first", "._M_impl._M_start._M_node",
		      "._M_impl._M_finish._M_cur", "._M_impl._M_finish._M_first", "._M_impl._M_finish._M_node" },
	  .from = "", .shown = 1, .step = "[]" },
	{ .type = "list", .kind = "std::list", .form = FORM_LIST, .fields = { "._M_impl._M_node", "._M_impl._M_node._M_size" }, .from = "", .shown = 1,
	  .node_words = 2, .step = "[]" },
	{ .type = "forward_list", .kind = "std::forward_list", .form = FORM_CHAIN, .fields = { "._M_impl._M_head._M_next" }, .from = "", .shown = 1,
	  .node_words = 1, .step = "[]" },
	TREE("map", 2), TREE("multimap", 2), TREE("set", 1), TREE("multiset", 1),
	HASH("unordered_map", 2), HASH("unordered_multimap", 2), HASH("unordered_set", 1), HASH("unordered_multiset", 1),
	{ .type = "shared_ptr", .kind = "std::shared_ptr", .form = FORM_SHARED, .fields = { "._M_ptr", "._M_refcount._M_pi" }, .from = "", .shown = 1,
	  .step = "->" },
	{ .type = "weak_ptr", .kind = "std::weak_ptr", .form = FORM_WEAK, .fields = { "._M_ptr", "._M_refcount._M_pi" }, .from = "", .shown = 1 },
	{ .type = "unique_ptr", .kind = "std::unique_ptr", .form = FORM_UNIQUE, .fields = { "._M_t._M_t._M_head_impl" }, .from = "", .shown = 1, .step = "->" },
	{ .type = "optional", .kind = "std::optional", .form = FORM_OPTIONAL, .fields = { "._M_payload._M_engaged", "._M_payload._M_payload._M_value" },
	  .from = "", .shown = 1, .step = "->" },
	{ .type = "variant", .kind = "std::variant", .form = FORM_VARIANT, .fields = { "._M_index", "._M_u" }, .from = "", .shown = 16 },
	{ .type = "vector<bool", .kind = "std::vector", LIBCXX, .form = FORM_LIBCXX_BITS, .fields = { ".__begin_", ".__size_", ".__cap_alloc_.__value_" },
	  .from = "", .shown = 1, .step = "[]" },
	{ .type = "optional", .kind = "std::optional", LIBCXX, .form = FORM_OPTIONAL, .fields = { ".__engaged_", ".__val_" }, .from = "", .shown = 1,
	  .step = "->" },
	{ .type = "variant", .kind = "std::variant", LIBCXX, .form = FORM_VARIANT, .fields = { ".__impl.__index", ".__impl.__data" }, .from = "",
	  .shown = 16 },
	{ .type = "weak_ptr", .kind = "std::weak_ptr", LIBCXX, .form = FORM_WEAK, .fields = { ".__ptr_", ".__cntrl_" }, .from = "", .shown = 1 },
	{ .type = "vector", .kind = "std::vector", LIBCXX, .form = FORM_SPAN, .fields = { ".__begin_", ".__end_", ".__end_cap_.__value_" }, .from = "",
	  .shown = 1, .step = "[]" },
	{ .type = "list", .kind = "std::list", LIBCXX, .form = FORM_LIST, .fields = { ".__end_", ".__size_alloc_.__value_" }, .from = "", .shown = 1,
	  .node_words = 2, .step = "[]" },
	{ .type = "forward_list", .kind = "std::forward_list", LIBCXX, .form = FORM_CHAIN, .fields = { ".__before_begin_.__value_.__next_" }, .from = "",
	  .shown = 1, .node_words = 1, .step = "[]" },
	{ .type = "basic_string<char", .kind = "std::string", LIBCXX, .form = FORM_LIBCXX_TEXT, .fields = { ".__r_" }, .from = "", .shown = 1, .step = "[]" },
	{ .type = "deque", .kind = "std::deque", LIBCXX, .form = FORM_LIBCXX_DEQUE,
	  .fields = { ".__map_.__first_", ".__map_.__begin_", ".__map_.__end_", ".__map_.__end_cap_.__value_", ".__start_", ".__size_.__value_" }, .from = "",
	  .shown = 1, .step = "[]" },
	LIBCXX_TREE("map", 2), LIBCXX_TREE("multimap", 2), LIBCXX_TREE("set", 1), LIBCXX_TREE("multiset", 1),
	LIBCXX_HASH("unordered_map", 2), LIBCXX_HASH("unordered_multimap", 2), LIBCXX_HASH("unordered_set", 1), LIBCXX_HASH("unordered_multiset", 1),
	{ .type = "unique_ptr", .kind = "std::unique_ptr", LIBCXX, .form = FORM_UNIQUE, .fields = { ".__ptr_.__value_" }, .from = "", .shown = 1, .step = "->" },
	{ .type = "shared_ptr", .kind = "std::shared_ptr", LIBCXX, .form = FORM_SHARED, .fields = { ".__ptr_", ".__cntrl_" }, .from = "", .shown = 1,
	  .step = "->" },
	{ LIBCXX, ADAPTOR("stack") }, { LIBCXX, ADAPTOR("queue") }, { LIBCXX, ADAPTOR("priority_queue") },
	RUST_VEC(".buf.inner.ptr", ".buf.inner.cap", ".len"), RUST_VEC(".buf.ptr", ".buf.cap", ".len"),
	RUST_STRING(".vec.buf.inner.ptr", ".vec.buf.inner.cap", ".vec.len"), RUST_STRING(".vec.buf.ptr", ".vec.buf.cap", ".vec.len"),
	RUST_DEQUE(FORM_RING, ".buf.inner.ptr", ".buf.inner.cap", ".len", ".head"), RUST_DEQUE(FORM_RING, ".buf.ptr", ".buf.cap", ".len", ".head"),
	RUST_DEQUE(FORM_OLD_RING, ".buf.ptr", ".buf.cap", ".tail", ".head"),
	RUST_HASH("HashMap", "map", 2, ".base.table"), RUST_HASH("HashSet", "set", 1, ".base.map.table"),
	RUST_TREE("BTreeMap", "map", 2, "", "[].__0"), RUST_TREE("BTreeSet", "set", 1, ".map", "[]"),
	RUST_COUNTED("Rc", "rc", ".value", "->"), RUST_COUNTED("Arc", "sync", ".data", "->"),
	RUST_COUNTED("Weak", "rc", ".value", NULL), RUST_COUNTED("Weak", "sync", ".data", NULL),
	{ .type = "alloc::boxed::Box", .kind = "Box", .scope = "", .form = FORM_UNIQUE, .fields = { ".data_ptr" }, .from = "", .own_name = true },
	{ .type = "alloc::boxed::Box", .kind = "Box", .scope = "", .form = FORM_UNIQUE, .fields = { ".pointer" }, .from = "", .own_name = true },
	GLIB("GList", FORM_GLIST), GLIB("GSList", FORM_GSLIST), GLIB("GQueue", FORM_GQUEUE), GLIB("GHashTable", FORM_GHASH), GLIB("GArray", FORM_GARRAY),
	GLIB("GByteArray", FORM_GARRAY), GLIB("GPtrArray", FORM_GPTRARRAY), GLIB("GString", FORM_GSTRING), GLIB("GTree", FORM_GTREE),
};
const size_t n_container_rows = sizeof container_rows / sizeof container_rows[0];

/* A pointer with a name (rustc_codegen_llvm/src/debuginfo/metadata.rs, build_pointer_or_reference_di_node); one to a slice or a trait is a
 * struct. */
const struct container_row container_box = { .type = "alloc::boxed::Box", .kind = "Box", .form = FORM_UNIQUE, .from = "", .shown = 1, .step = "->" };

/* What flattening needs to know of types. */
#ifndef TYPETABLE_PARTS_H
#define TYPETABLE_PARTS_H

#include "flotsam/typetable.h"

/* Of the types from `from` on: which containers make which nodes. */
void type_table_find_nodes(struct type_table *t, size_t from);
/* What an object of a type of Rust's at an offset says of the pointers in it. */
void type_table_rust(const struct type_table *t, const struct type *at, uint32_t offset, struct type_leaf *says);
/* Room for an object that may not be there. */
bool type_is_maybe(const struct type *at);
/* Which element's type the pointer to bytes in a container of Rust's stands for. */
void type_table_find_elements(struct type_table *t, size_t from);
/* Of all types: which are headers. False: no memory. */
bool type_table_find_headers(struct type_table *t);

#endif

/* What flattening needs to know of types. */
#ifndef TYPETABLE_PARTS_H
#define TYPETABLE_PARTS_H

#include "flotsam/typetable.h"

/* Of the types from `from` on: which containers make which nodes. */
void type_table_find_nodes(struct type_table *t, size_t from);
/* Of all types: which are headers. False: no memory. */
bool type_table_find_headers(struct type_table *t);

#endif

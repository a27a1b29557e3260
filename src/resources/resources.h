/* The parts of the answer. */
#ifndef RESOURCES_RESOURCES_H
#define RESOURCES_RESOURCES_H
#include "flotsam/heap.h"
#include "flotsam/resources.h"

struct err *resources_descriptors(struct resources *r) MUST_CHECK;
struct err *resources_places(struct resources *r) MUST_CHECK;
struct err *resources_mappings(struct resources *r) MUST_CHECK;

/* The next of the "NUMBER\0TEXT\0" records between *at and end. */
bool resources_record(const char **at, const char *end, uint64_t *ret_number, const char **ret_text);
#endif

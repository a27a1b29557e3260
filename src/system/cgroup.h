/* Where the memory controller is mounted, and where a process's group is below it. */
#ifndef SYSTEM_CGROUP_H
#define SYSTEM_CGROUP_H
#include "text.h"

struct hierarchy { char mount[512], group_root[512]; int version; };

/* proc_cgroup NULL: the hierarchy alone, *path is empty. `path` is that of the group as the kernel gives it. */
bool cgroup_locate(const char *root, const char *proc_cgroup, struct hierarchy *ret, char *path, size_t n);
/* The part of path that is seen below the mount: "" for its root, else "/a/b". NULL when it is not below. */
const char *cgroup_below(const struct hierarchy *h, const char *path);
#endif

/* Who may not be looked at, and which gate refuses: the texts that a user sees. */
#ifndef TARGET_REFUSE_H
#define TARGET_REFUSE_H
#include <sys/types.h>

#include "flotsam/base.h"

/* Before anything is started: no such process, a zombie, a kernel thread, already traced, flotsam itself, an ancestor, the
 * other end of our pipes (the last three unless `force`); and who is not the caller's own where flotsam has rights of its own,
 * which `force` does not change. Fills comm. */
struct err *refuse_target(pid_t pid, bool force, char comm[16]) MUST_CHECK;
/* After a refusal (EPERM, EACCES): which gate it was, by what /proc and /sys below `root` say. */
struct err *refuse_access(const char *root, pid_t pid, int os) MUST_CHECK;
#endif

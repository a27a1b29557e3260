/* How the files of /proc and /sys are taken apart: lines, keys, numbers. Nothing here leaves the text it was given. */
#ifndef SYSTEM_TEXT_H
#define SYSTEM_TEXT_H
#include "flotsam/system.h"

/* What follows `key` at the start of a line; NULL when no line starts so. */
const char *text_line(const char *text, const char *key);
/* The line at *p into `to`, cut to n - 1 bytes, and *p behind it. False at the end. */
bool text_next_line(const char **p, char *to, size_t n);
/* A decimal number behind blanks, and *p behind it. False, *p unmoved, when there is none or it has more than 64 bits. */
bool text_number(const char **p, uint64_t *ret);
/* The number behind `key` and a blank or colon; UINT64_MAX when there is none. */
uint64_t text_field(const char *text, const char *key);
/* The number in a file of one number; UINT64_MAX for "max", -1 or no file. */
uint64_t text_number_in(const char *root, const char *path);
/* Opens a regular file or a directory below root. A saved tree is foreign: no link leads out of it, no FIFO is waited for.
 * -1 and errno. */
int text_open(const char *root, const char *path);
#endif

/* What the recorder writes and the judge reads. */
#ifndef TYPES_RECORD_H
#define TYPES_RECORD_H
#include <stddef.h>
#include <stdint.h>

enum { RECORD_FRAMES = 8 };
struct record {
	uint64_t word;	 /* bit 63: freed; below: the size that was asked for */
	uint64_t hidden; /* ~address */
	uint64_t frames[RECORD_FRAMES]; /* return addresses, innermost first; 0 behind the last */
};
#endif

/* image: one read-only picture of the target's memory, handed out in windows. Built over a picture; files of modules
 * are laid under it where the picture has no bytes ("an absent private file page equals the file"). */
#ifndef FLOTSAM_IMAGE_H
#define FLOTSAM_IMAGE_H

#include "flotsam/target.h"

struct image;

/* The image borrows the picture, which must live longer. */
struct image *image_create(const struct picture *p); /* NULL: no memory */
void image_destroy(struct image *img);
const struct arch *image_arch(const struct image *img);
const struct picture *image_picture(const struct image *img);

/* Adds file bytes for [address, address + n) where the picture has none. The bytes are borrowed. */
bool image_add_file(struct image *img, uint64_t address, const uint8_t *data, uint64_t n);

/* Bytes that can be read in one piece at address: sets *ret and returns how many, 0 when none. */
size_t image_window(const struct image *img, uint64_t address, const uint8_t **ret);
/* As image_window, dumped bytes alone: file-backed ones are taken as absent. */
size_t image_window_dumped(const struct image *img, uint64_t address, const uint8_t **ret);
/* The first address at or behind this one with dumped bytes; UINT64_MAX when there is none. A hole may be of any size. */
uint64_t image_next_dumped(const struct image *img, uint64_t address);
/* All n bytes, or false. */
bool image_read(const struct image *img, uint64_t address, void *to, size_t n);
bool image_word(const struct image *img, uint64_t address, uint64_t *ret);
bool image_u32(const struct image *img, uint64_t address, uint32_t *ret);
/* A NUL-terminated string of at most max bytes, copied with its NUL; false when it does not end there. */
bool image_string(const struct image *img, uint64_t address, char *to, size_t max);

/* Calls f for each readable piece of [start, end), ascending; dumped bytes alone. Stops when f returns false. */
typedef bool image_window_fn(void *ctx, uint64_t address, const uint8_t *data, size_t n);
void image_each_window(const struct image *img, uint64_t start, uint64_t end, image_window_fn *f, void *ctx);

#endif

// From the samples that the library delivers to the pixels that Pillow's `convert` would give.
#ifndef CPNG_ROWS_H
#define CPNG_ROWS_H

#include <stdint.h>

typedef struct {
  // Bytes of a pixel and of a sample as delivered; fewer than 8 bits come as a byte of their own.
  int pixel_size;
  int sample_size;
  int is_colour;
  // What a sample of fewer than 8 bits is multiplied by to reach 255.
  int factor;
  // 256 entries of RGB, and how many of them the file has; NULL: no palette.
  const uint8_t *palette;
  int palette_count;
} cpng_layout;

// Returns 0 where a pixel names an entry that the palette lacks; it becomes black.
int cpng_convert_row(
    const cpng_layout *layout, const uint8_t *source, int channels, uint8_t *target, int width);

#endif

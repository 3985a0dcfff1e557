#include "rows.h"

#include <stddef.h>

// ITU-R 601-2 luma in sixteen bits of fraction, rounded: what Pillow's convert("L") takes.
static uint8_t luma(const uint8_t *colour) {
  return (uint8_t)((colour[0] * 19595u + colour[1] * 38470u + colour[2] * 7471u + 0x8000u) >> 16);
}

static void write_pixel(const uint8_t *colour, int channels, uint8_t *target) {
  if (channels == 1) {
    *target = luma(colour);
  } else {
    for (int i = 0; i < 3; i++) target[i] = colour[i];
  }
}

int cpng_convert_row(
    const cpng_layout *layout, const uint8_t *source, int channels, uint8_t *target, int width) {
  int all_known = 1;
  for (int x = 0; x < width; x++) {
    // Of 16 bits, big-endian, the upper eight.
    const uint8_t *pixel = source + (size_t)x * (size_t)layout->pixel_size;
    uint8_t colour[3];
    if (layout->palette != NULL) {
      all_known &= *pixel < layout->palette_count;
      for (int i = 0; i < 3; i++) colour[i] = layout->palette[3 * *pixel + i];
    } else if (layout->is_colour) {
      for (int i = 0; i < 3; i++) colour[i] = pixel[i * layout->sample_size];
    } else {
      for (int i = 0; i < 3; i++) colour[i] = (uint8_t)(*pixel * layout->factor);
    }
    write_pixel(colour, channels, target + (size_t)x * (size_t)channels);
  }
  return all_known;
}

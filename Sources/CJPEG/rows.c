#include "rows.h"

#include <stddef.h>
#include <string.h>

// ITU-R 601-2 luma in sixteen bits of fraction, rounded: what Pillow's convert("L") takes.
static uint8_t luma(unsigned red, unsigned green, unsigned blue) {
  return (uint8_t)((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16);
}

// ink * light / 255, rounded to nearest.
static unsigned scaled(unsigned ink, unsigned light) {
  const unsigned product = ink * light + 128;
  return (product + (product >> 8)) >> 8;
}

// Adobe's programs store the complements of ink, and Pillow takes every CMYK file for theirs: the
// stored black is the light that remains, and of it each stored colour lets its share through.
static void light_of(const uint8_t *stored, uint8_t light[3]) {
  const unsigned key = stored[3];
  for (int i = 0; i < 3; i++) light[i] = (uint8_t)(key - scaled(255u - stored[i], key));
}

void cjpeg_convert_row(
    int components, int channels, const uint8_t *source, uint8_t *target, int width) {
  if (components == channels) {
    memcpy(target, source, (size_t)width * (size_t)channels);
  } else if (components == 4 && channels == 3) {
    for (int x = 0; x < width; x++) light_of(source + 4 * x, target + 3 * x);
  } else if (components == 4) {
    for (int x = 0; x < width; x++) {
      uint8_t light[3];
      light_of(source + 4 * x, light);
      target[x] = luma(light[0], light[1], light[2]);
    }
  } else {
    for (int x = 0; x < width; x++) {
      target[x] = luma(source[3 * x], source[3 * x + 1], source[3 * x + 2]);
    }
  }
}

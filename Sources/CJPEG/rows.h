// From the rows that the library delivers to those that Pillow's `convert` would give.
#ifndef CJPEG_ROWS_H
#define CJPEG_ROWS_H

#include <stdint.h>

// `components` of the library's rows: 1 grey, 3 RGB, 4 inverted CMYK; `channels` of ours: 1 or 3.
void cjpeg_convert_row(
    int components, int channels, const uint8_t *source, uint8_t *target, int width);

#endif

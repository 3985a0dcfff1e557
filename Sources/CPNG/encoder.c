#include <stdlib.h>
#include <string.h>

#include "cpng.h"
#include "failure.h"

typedef struct {
  png_structp library;
  png_infop info;
  cpng_failure failure;
  uint8_t *bytes;
  size_t count, capacity;
} cpng_encoder;

static void write_bytes(png_structp library, png_bytep bytes, size_t count) {
  cpng_encoder *encoder = (cpng_encoder *)png_get_io_ptr(library);
  if (count > encoder->capacity - encoder->count) {
    const size_t capacity = 2 * (encoder->capacity + count);
    uint8_t *larger = realloc(encoder->bytes, capacity);
    if (larger == NULL) {
      cpng_fail(&encoder->failure, CPNG_NO_MEMORY, "no memory is left for the encoded image");
    }
    encoder->bytes = larger;
    encoder->capacity = capacity;
  }
  memcpy(encoder->bytes + encoder->count, bytes, count);
  encoder->count += count;
}

static void flush_nothing(png_structp library) { (void)library; }

static void encode(
    cpng_encoder *encoder, const uint8_t *pixels, int height, int width, int channels) {
  encoder->library = png_create_write_struct(
      PNG_LIBPNG_VER_STRING, &encoder->failure, cpng_on_error, cpng_on_warning);
  if (encoder->library != NULL) encoder->info = png_create_info_struct(encoder->library);
  if (encoder->info == NULL) {
    cpng_fail(&encoder->failure, CPNG_NO_MEMORY, "no memory is left for encoding");
  }
  png_structp library = encoder->library;
  png_set_write_fn(library, encoder, write_bytes, flush_nothing);
  png_set_IHDR(
      library, encoder->info, (png_uint_32)width, (png_uint_32)height, 8,
      channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
      PNG_COMPRESSION_TYPE_BASE, PNG_FILTER_TYPE_BASE);
  png_write_info(library, encoder->info);
  const size_t stride = (size_t)width * (size_t)channels;
  for (int y = 0; y < height; y++) png_write_row(library, pixels + (size_t)y * stride);
  png_write_end(library, NULL);
}

int cpng_encode(
    const uint8_t *pixels, int height, int width, int channels, uint8_t **bytes, size_t *count,
    char message[200]) {
  cpng_encoder *encoder = calloc(1, sizeof *encoder);
  if (encoder == NULL) return CPNG_NO_MEMORY;
  encoder->failure.refuses_warnings = 1;
  if (setjmp(encoder->failure.escape) == 0) {
    encode(encoder, pixels, height, width, channels);
    *bytes = encoder->bytes;
    *count = encoder->count;
  } else {
    snprintf(message, 200, "%s", encoder->failure.message);
    free(encoder->bytes);
  }
  const int kind = encoder->failure.kind;
  png_destroy_write_struct(&encoder->library, &encoder->info);
  free(encoder);
  return kind;
}

void cpng_bytes_free(uint8_t *bytes) { free(bytes); }

#include <stdlib.h>

#include "cjpeg.h"
#include "failure.h"

typedef struct {
  struct jpeg_compress_struct library;
  cjpeg_failure failure;
  struct jpeg_destination_mgr destination;
  uint8_t *bytes;
  size_t capacity;
} cjpeg_encoder;

// The destination: a block of bytes that doubles.

static void provide(cjpeg_encoder *encoder, size_t used, size_t capacity) {
  uint8_t *bytes = realloc(encoder->bytes, capacity);
  if (bytes == NULL) {
    cjpeg_fail(&encoder->failure, CJPEG_NO_MEMORY, "no memory is left for the encoded image");
  }
  encoder->bytes = bytes;
  encoder->capacity = capacity;
  encoder->destination.next_output_byte = bytes + used;
  encoder->destination.free_in_buffer = capacity - used;
}

static void destination_begins(j_compress_ptr library) {
  provide((cjpeg_encoder *)library->client_data, 0, (size_t)1 << 16);
}

static boolean destination_is_full(j_compress_ptr library) {
  cjpeg_encoder *encoder = (cjpeg_encoder *)library->client_data;
  provide(encoder, encoder->capacity, encoder->capacity * 2);
  return TRUE;
}

static void destination_ends(j_compress_ptr library) { (void)library; }

static void encode(
    cjpeg_encoder *encoder, const uint8_t *pixels, int height, int width, int channels,
    const cjpeg_settings *settings) {
  struct jpeg_compress_struct *library = &encoder->library;
  jpeg_create_compress(library);
  library->client_data = encoder;
  encoder->destination.init_destination = destination_begins;
  encoder->destination.empty_output_buffer = destination_is_full;
  encoder->destination.term_destination = destination_ends;
  library->dest = &encoder->destination;
  library->image_width = (JDIMENSION)width;
  library->image_height = (JDIMENSION)height;
  library->input_components = channels;
  library->in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(library);
  jpeg_set_quality(library, settings->quality, TRUE);
  library->comp_info[0].h_samp_factor = settings->horizontal;
  library->comp_info[0].v_samp_factor = settings->vertical;
  if (settings->is_progressive) jpeg_simple_progression(library);
  library->arith_code = settings->is_arithmetic != 0;
  library->restart_interval = (unsigned)settings->restart_interval;
  jpeg_start_compress(library, TRUE);
  const size_t stride = (size_t)width * (size_t)channels;
  while (library->next_scanline < library->image_height) {
    // The library only reads, though its type lacks the const.
    JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + library->next_scanline * stride);
    jpeg_write_scanlines(library, &row, 1);
  }
  jpeg_finish_compress(library);
}

int cjpeg_encode(
    const uint8_t *pixels, int height, int width, int channels, const cjpeg_settings *settings,
    uint8_t **bytes, size_t *count, char message[200]) {
  cjpeg_encoder *encoder = calloc(1, sizeof *encoder);
  if (encoder == NULL) return CJPEG_NO_MEMORY;
  cjpeg_failure_install(&encoder->failure);
  encoder->failure.refuses_warnings = 1;
  encoder->library.err = &encoder->failure.library;
  if (setjmp(encoder->failure.escape) == 0) {
    encode(encoder, pixels, height, width, channels, settings);
    *bytes = encoder->bytes;
    *count = encoder->capacity - encoder->destination.free_in_buffer;
  } else {
    snprintf(message, 200, "%s", encoder->failure.message);
    free(encoder->bytes);
  }
  const int kind = encoder->failure.kind;
  jpeg_destroy_compress(&encoder->library);
  free(encoder);
  return kind;
}

void cjpeg_bytes_free(uint8_t *bytes) { free(bytes); }

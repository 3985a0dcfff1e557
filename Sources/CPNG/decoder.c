#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cpng.h"
#include "failure.h"
#include "rows.h"

struct cpng_decoder {
  png_structp library;
  png_infop info;
  cpng_failure failure;
  const uint8_t *bytes;
  size_t left;
  // What may still be read while the last row is; SIZE_MAX before.
  size_t budget;
  uint8_t palette[256 * 3];
  uint8_t *scratch;
  size_t scratch_size;
};

cpng_decoder *cpng_decoder_new(void) {
  cpng_decoder *decoder = calloc(1, sizeof *decoder);
  if (decoder != NULL) decoder->failure.refuses_warnings = 1;
  return decoder;
}

void cpng_decoder_free(cpng_decoder *decoder) {
  if (decoder == NULL) return;
  cpng_decoder_end(decoder);
  free(decoder->scratch);
  free(decoder);
}

void cpng_decoder_refuse_warnings(cpng_decoder *decoder, int refuse) {
  decoder->failure.refuses_warnings = refuse;
}

void cpng_decoder_end(cpng_decoder *decoder) {
  if (decoder->library == NULL) return;
  png_destroy_read_struct(&decoder->library, &decoder->info, NULL);
}

const char *cpng_decoder_message(const cpng_decoder *decoder) { return decoder->failure.message; }
int cpng_decoder_warnings(const cpng_decoder *decoder) { return decoder->failure.warnings; }

static void read_bytes(png_structp library, png_bytep target, size_t count) {
  cpng_decoder *decoder = (cpng_decoder *)png_get_io_ptr(library);
  if (count > decoder->left) cpng_fail(&decoder->failure, CPNG_DAMAGED, "is cut short");
  if (count > decoder->budget) {
    cpng_fail(&decoder->failure, CPNG_DAMAGED, "has data behind its last pixel");
  }
  if (decoder->budget != SIZE_MAX) decoder->budget -= count;
  memcpy(target, decoder->bytes, count);
  decoder->bytes += count;
  decoder->left -= count;
}

static void open_library(cpng_decoder *decoder) {
  decoder->library = png_create_read_struct(
      PNG_LIBPNG_VER_STRING, &decoder->failure, cpng_on_error, cpng_on_warning);
  if (decoder->library == NULL) {
    cpng_fail(&decoder->failure, CPNG_NO_MEMORY, "no memory is left for decoding");
  }
  png_structp library = decoder->library;
  decoder->info = png_create_info_struct(library);
  if (decoder->info == NULL) {
    cpng_fail(&decoder->failure, CPNG_NO_MEMORY, "no memory is left for decoding");
  }
  png_set_read_fn(library, decoder, read_bytes);
  png_set_crc_action(library, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_set_benign_errors(library, !decoder->failure.refuses_warnings);
  // Pixels need IHDR, PLTE, IDAT and IEND; all else is passed over, so that neither a large profile
  // nor a text that inflates to gigabytes is ever held.
  png_set_keep_unknown_chunks(library, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
  png_set_keep_unknown_chunks(library, PNG_HANDLE_CHUNK_NEVER, (png_const_bytep) "tRNS", 1);
  png_set_chunk_cache_max(library, 16);
  // Of chunks that are passed over, too, which may be long: no chunk is longer than the file.
  png_set_chunk_malloc_max(library, decoder->left > 1 << 20 ? decoder->left : 1 << 20);
}

// The sizes, before the library looks at them: it would report both a side of 0 and one beyond its
// limit as an invalid header.
static void check_sides(cpng_decoder *decoder, int largest_side) {
  if (decoder->left < 24) cpng_fail(&decoder->failure, CPNG_DAMAGED, "is cut short");
  for (int i = 16; i <= 20; i += 4) {
    const uint32_t side = png_get_uint_32(decoder->bytes + i);
    if (side <= (uint32_t)largest_side) continue;
    char message[100];
    snprintf(
        message, sizeof message, "has a side of %u pixels, more than the limit of %d",
        (unsigned)side, largest_side);
    cpng_fail(&decoder->failure, CPNG_TOO_LARGE, message);
  }
}

static void begin(cpng_decoder *decoder, int largest_side, cpng_header *header) {
  check_sides(decoder, largest_side);
  open_library(decoder);
  png_structp library = decoder->library;
  png_set_user_limits(library, (png_uint_32)largest_side, (png_uint_32)largest_side);
  png_read_info(library, decoder->info);
  const int type = png_get_color_type(library, decoder->info);
  const png_uint_32 height = png_get_image_height(library, decoder->info);
  *header = (cpng_header){
      .width = (int)png_get_image_width(library, decoder->info),
      .height = (int)height,
      .components = png_get_channels(library, decoder->info),
      .bit_depth = png_get_bit_depth(library, decoder->info),
      .is_palette = type == PNG_COLOR_TYPE_PALETTE,
      .is_interlaced =
          png_get_interlace_type(library, decoder->info) != PNG_INTERLACE_NONE,
      .inflated = (int64_t)png_get_rowbytes(library, decoder->info) * (int64_t)height,
  };
}

int cpng_decoder_begin(
    cpng_decoder *decoder, const uint8_t *bytes, size_t count, int largest_side,
    cpng_header *header) {
  cpng_decoder_end(decoder);
  cpng_failure_reset(&decoder->failure);
  decoder->bytes = bytes;
  decoder->left = count;
  decoder->budget = SIZE_MAX;
  if (setjmp(decoder->failure.escape) != 0) {
    cpng_decoder_end(decoder);
    return decoder->failure.kind;
  }
  begin(decoder, largest_side, header);
  return CPNG_OK;
}

static uint8_t *scratch_of(cpng_decoder *decoder, size_t size) {
  if (size > decoder->scratch_size) {
    free(decoder->scratch);
    decoder->scratch_size = 0;
    decoder->scratch = malloc(size);
    if (decoder->scratch == NULL) {
      cpng_fail(&decoder->failure, CPNG_NO_MEMORY, "no memory is left for its pixels");
    }
    decoder->scratch_size = size;
  }
  return decoder->scratch;
}

static cpng_layout layout_of(cpng_decoder *decoder) {
  png_structp library = decoder->library;
  const int type = png_get_color_type(library, decoder->info);
  const int depth = png_get_bit_depth(library, decoder->info);
  const int sample_size = depth == 16 ? 2 : 1;
  cpng_layout layout = {
      .pixel_size = png_get_channels(library, decoder->info) * sample_size,
      .sample_size = sample_size,
      .is_colour = (type & PNG_COLOR_MASK_COLOR) != 0,
      .factor = depth < 8 ? 255 / ((1 << depth) - 1) : 1,
  };
  png_colorp colours = NULL;
  int count = 0;
  if (type != PNG_COLOR_TYPE_PALETTE) return layout;
  png_get_PLTE(library, decoder->info, &colours, &count);
  memset(decoder->palette, 0, sizeof decoder->palette);
  for (int i = 0; i < count && i < 256; i++) {
    decoder->palette[3 * i] = colours[i].red;
    decoder->palette[3 * i + 1] = colours[i].green;
    decoder->palette[3 * i + 2] = colours[i].blue;
  }
  layout.palette = decoder->palette;
  layout.palette_count = count;
  return layout;
}

static void decode(cpng_decoder *decoder, const cpng_request *request, uint8_t *target) {
  png_structp library = decoder->library;
  const int height = (int)png_get_image_height(library, decoder->info);
  const int width = (int)png_get_image_width(library, decoder->info);
  if (request->top < 0 || request->left < 0 || request->height < 1 || request->width < 1 ||
      request->height > height - request->top || request->width > width - request->left) {
    cpng_fail(&decoder->failure, CPNG_UNSUPPORTED, "was asked for pixels outside of it");
  }
  const cpng_layout layout = layout_of(decoder);
  png_set_packing(library);
  const int passes = png_set_interlace_handling(library);
  png_read_update_info(library, decoder->info);
  const size_t row_size = png_get_rowbytes(library, decoder->info);
  const int end = request->top + request->height;
  // Interlaced rows are whole only after the last pass, so all of them are kept until then.
  uint8_t *rows = scratch_of(decoder, passes > 1 ? row_size * (size_t)height : row_size);
  const size_t step = passes > 1 ? row_size : 0;
  for (int pass = 1; pass < passes; pass++) {
    for (int y = 0; y < height; y++) png_read_row(library, rows + (size_t)y * step, NULL);
  }
  for (int y = 0; y < (passes > 1 ? height : end); y++) {
    uint8_t *row = rows + (size_t)y * step;
    // With the last row the library inflates all that follows it, a thousand bytes from one. A row
    // takes no more than it has bytes, in chunks that may hold one byte of their thirteen.
    if (y == height - 1 && passes == 1) decoder->budget = 16 * row_size + (1 << 14);
    png_read_row(library, row, NULL);
    if (y < request->top || y >= end) continue;
    const int all_known = cpng_convert_row(
        &layout, row + (size_t)request->left * (size_t)layout.pixel_size, request->channels,
        target + (size_t)(y - request->top) * (size_t)request->width * (size_t)request->channels,
        request->width);
    if (!all_known) png_warning(library, "a pixel names an entry that the palette lacks");
  }
  decoder->budget = SIZE_MAX;
  // To the end of the file, so that one without an end is known for cut short.
  if (end == height && decoder->failure.refuses_warnings) png_read_end(library, NULL);
}

int cpng_decoder_decode(cpng_decoder *decoder, const cpng_request *request, uint8_t *target) {
  if (decoder->library == NULL) return CPNG_UNSUPPORTED;
  if (setjmp(decoder->failure.escape) == 0) {
    decode(decoder, request, target);
    decoder->failure.kind = CPNG_OK;
  }
  cpng_decoder_end(decoder);
  return decoder->failure.kind;
}

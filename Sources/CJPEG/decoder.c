#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cjpeg.h"
#include "failure.h"
#include "rows.h"

enum {
  ROWS = 16,  // rows asked for at once
  // Columns decoded beside a region: more than fancy upsampling looks at (a sample of chroma, that
  // is two columns), and enough for the library not to take the part for an image of two samples,
  // which it upsamples plainly.
  MARGIN = 8,
};

struct cjpeg_decoder {
  struct jpeg_decompress_struct library;
  cjpeg_failure failure;
  struct jpeg_source_mgr source;
  struct jpeg_progress_mgr progress;
  int scan_limit;
  bool is_open;
  uint8_t *scratch;
  size_t scratch_size;
};

// The source: the caller's bytes, and an error behind them. The library's own sources invent an
// end-of-image marker there, so that a cut file decodes to grey.

static void source_nothing(j_decompress_ptr library) { (void)library; }

static boolean source_ended(j_decompress_ptr library) {
  cjpeg_fail((cjpeg_failure *)library->err, CJPEG_DAMAGED, "is cut short");
}

static void source_skip(j_decompress_ptr library, long count) {
  if (count <= 0) return;
  if ((size_t)count > library->src->bytes_in_buffer) source_ended(library);
  library->src->next_input_byte += count;
  library->src->bytes_in_buffer -= (size_t)count;
}

// Called for every row of blocks while scans are collected, so that a file of endless scans ends.
static void count_scans(j_common_ptr state) {
  cjpeg_decoder *decoder = (cjpeg_decoder *)state->client_data;
  if (decoder->library.input_scan_number <= decoder->scan_limit) return;
  char message[80];
  snprintf(message, sizeof message, "has more than %d scans", decoder->scan_limit);
  cjpeg_fail(&decoder->failure, CJPEG_TOO_LARGE, message);
}

cjpeg_decoder *cjpeg_decoder_new(void) {
  cjpeg_decoder *decoder = calloc(1, sizeof *decoder);
  if (decoder != NULL) decoder->failure.refuses_warnings = 1;
  return decoder;
}

void cjpeg_decoder_free(cjpeg_decoder *decoder) {
  if (decoder == NULL) return;
  cjpeg_decoder_end(decoder);
  free(decoder->scratch);
  free(decoder);
}

void cjpeg_decoder_refuse_warnings(cjpeg_decoder *decoder, int refuse) {
  decoder->failure.refuses_warnings = refuse;
}

void cjpeg_decoder_end(cjpeg_decoder *decoder) {
  if (!decoder->is_open) return;
  decoder->is_open = false;
  jpeg_destroy_decompress(&decoder->library);
}

const char *cjpeg_decoder_message(const cjpeg_decoder *decoder) {
  return decoder->failure.message;
}

int cjpeg_decoder_warnings(const cjpeg_decoder *decoder) {
  return (int)decoder->failure.library.num_warnings;
}

// A fresh library state for every image: one that is used again keeps the tables of the image
// before, and a file without tables would be decoded with them.
static void open_library(cjpeg_decoder *decoder, const uint8_t *bytes, size_t count) {
  struct jpeg_decompress_struct *library = &decoder->library;
  decoder->is_open = true;
  jpeg_create_decompress(library);
  library->client_data = decoder;
  decoder->source = (struct jpeg_source_mgr){
      .next_input_byte = bytes,
      .bytes_in_buffer = count,
      .init_source = source_nothing,
      .fill_input_buffer = source_ended,
      .skip_input_data = source_skip,
      .resync_to_restart = jpeg_resync_to_restart,
      .term_source = source_nothing,
  };
  library->src = &decoder->source;
  decoder->progress.progress_monitor = count_scans;
  library->progress = &decoder->progress;
}

static void read_header(cjpeg_decoder *decoder, cjpeg_header *header) {
  struct jpeg_decompress_struct *library = &decoder->library;
  jpeg_read_header(library, TRUE);
  int64_t blocks = 0;
  for (int i = 0; i < library->num_components; i++) {
    const jpeg_component_info *component = &library->comp_info[i];
    blocks += (int64_t)component->width_in_blocks * component->height_in_blocks;
  }
  *header = (cjpeg_header){
      .width = (int)library->image_width,
      .height = (int)library->image_height,
      .components = library->num_components,
      .blocks = blocks,
      .is_progressive = library->progressive_mode,
      .is_arithmetic = library->arith_code,
  };
  if (library->num_components == 2 || library->num_components > 4) {
    char message[80];
    snprintf(
        message, sizeof message, "is a JPEG of %d components; 1, 3 and 4 are read",
        library->num_components);
    cjpeg_fail(&decoder->failure, CJPEG_UNSUPPORTED, message);
  }
}

int cjpeg_decoder_begin(
    cjpeg_decoder *decoder, const uint8_t *bytes, size_t count, cjpeg_header *header) {
  cjpeg_decoder_end(decoder);
  cjpeg_failure_install(&decoder->failure);
  decoder->library.err = &decoder->failure.library;
  if (setjmp(decoder->failure.escape) != 0) {
    cjpeg_decoder_end(decoder);
    return decoder->failure.kind;
  }
  open_library(decoder, bytes, count);
  read_header(decoder, header);
  return CJPEG_OK;
}

// Pillow's choices for rawmode "RGB", "L" and "CMYK;I", but for speed.
static void choose_output(struct jpeg_decompress_struct *library, const cjpeg_request *request) {
  library->scale_num = 1;
  library->scale_denom = (unsigned)request->scale;
  library->dct_method = request->is_fast ? JDCT_IFAST : JDCT_ISLOW;
  // Without it the library upsamples and converts colours in one pass.
  library->do_fancy_upsampling = request->is_fast ? FALSE : TRUE;
  library->do_block_smoothing = TRUE;
  if (library->num_components == 4) {
    library->out_color_space = JCS_CMYK;
  } else if (library->num_components == 1 && request->channels == 1) {
    library->out_color_space = JCS_GRAYSCALE;
  } else {
    library->out_color_space = JCS_RGB;
  }
}

// Whether all coefficients of a progressive file have come. Where some are missing, the library
// guesses them from blocks around, its versions differently, and in a part of an image maybe
// differently from the whole.
static bool is_complete(const struct jpeg_decompress_struct *library) {
  if (library->coef_bits == NULL) return true;
  for (int i = 0; i < library->num_components; i++) {
    for (int k = 0; k < DCTSIZE2; k++) {
      if (library->coef_bits[i][k] != 0) return false;
    }
  }
  return true;
}

// Narrows what the library decodes to the region's columns and a margin; returns the first column
// that it will deliver. The library miscounts columns of reduced images whose sampling factors
// exceed 2, so those are decoded in their full width.
static int crop_columns(struct jpeg_decompress_struct *library, const cjpeg_request *request) {
  if (request->scale > 1 && (library->max_h_samp_factor > 2 || library->max_v_samp_factor > 2)) {
    return 0;
  }
  const int full = (int)library->output_width;
  int first = request->left - MARGIN;
  int end = request->left + request->width + MARGIN;
  if (first < 0) first = 0;
  if (end > full) end = full;
  // Little to gain, and the library treats narrow images in ways of their own.
  if (end - first > full - 2 * MARGIN) return 0;
  JDIMENSION offset = (JDIMENSION)first, width = (JDIMENSION)(end - first);
  jpeg_crop_scanline(library, &offset, &width);
  return (int)offset;
}

static uint8_t *scratch_of(cjpeg_decoder *decoder, size_t size) {
  if (size > decoder->scratch_size) {
    free(decoder->scratch);
    decoder->scratch_size = 0;
    decoder->scratch = malloc(size);
    if (decoder->scratch == NULL) {
      cjpeg_fail(&decoder->failure, CJPEG_NO_MEMORY, "no memory is left for a few rows of pixels");
    }
    decoder->scratch_size = size;
  }
  return decoder->scratch;
}

// Reads the region's rows; where they are not laid out as the caller wants, through scratch.
static void read_rows(
    cjpeg_decoder *decoder, const cjpeg_request *request, int first_column, uint8_t *target) {
  struct jpeg_decompress_struct *library = &decoder->library;
  const int components = library->output_components;
  const size_t stride = (size_t)request->width * (size_t)request->channels;
  const size_t row_size = (size_t)library->output_width * (size_t)components;
  const bool direct = components == request->channels && row_size == stride;
  uint8_t *scratch = direct ? NULL : scratch_of(decoder, row_size * ROWS);
  const size_t offset = (size_t)(request->left - first_column) * (size_t)components;
  int done = 0;
  while (done < request->height) {
    const int wanted = request->height - done < ROWS ? request->height - done : ROWS;
    uint8_t *rows = direct ? target + (size_t)done * stride : scratch;
    JSAMPROW pointers[ROWS];
    for (int i = 0; i < wanted; i++) pointers[i] = rows + (size_t)i * row_size;
    const int got = (int)jpeg_read_scanlines(library, pointers, (JDIMENSION)wanted);
    for (int i = 0; i < got && !direct; i++) {
      cjpeg_convert_row(
          components, request->channels, pointers[i] + offset,
          target + (size_t)(done + i) * stride, request->width);
    }
    done += got;
  }
}

// Passes over rows above the region.
static void skip_rows(cjpeg_decoder *decoder, int count, bool may_skip) {
  struct jpeg_decompress_struct *library = &decoder->library;
  int left = count;
  if (may_skip && left > 0) left -= (int)jpeg_skip_scanlines(library, (JDIMENSION)left);
  if (left <= 0) return;
  uint8_t *scratch = scratch_of(
      decoder, (size_t)library->output_width * (size_t)library->output_components * ROWS);
  while (left > 0) {
    JSAMPROW row = scratch;
    left -= (int)jpeg_read_scanlines(library, &row, 1);
  }
}

static void decode(cjpeg_decoder *decoder, const cjpeg_request *request, uint8_t *target) {
  struct jpeg_decompress_struct *library = &decoder->library;
  decoder->scan_limit = request->scan_limit;
  library->mem->max_memory_to_use = (long)request->memory_limit;
  choose_output(library, request);
  jpeg_start_decompress(library);
  const int height = (int)library->output_height, width = (int)library->output_width;
  if (request->top < 0 || request->left < 0 || request->height < 1 || request->width < 1 ||
      request->height > height - request->top || request->width > width - request->left) {
    cjpeg_fail(&decoder->failure, CJPEG_UNSUPPORTED, "was asked for pixels outside of it");
  }
  const bool may_skip = is_complete(library);
  if (!may_skip) cjpeg_warn(&decoder->failure, "lacks scans, so that detail is guessed");
  const int first_column = may_skip ? crop_columns(library, request) : 0;
  skip_rows(decoder, request->top, may_skip);
  read_rows(decoder, request, first_column, target);
  // To the end-of-image marker, as Pillow does, so that a file without one is known for cut short.
  if (request->top + request->height == height) jpeg_finish_decompress(library);
}

int cjpeg_decoder_decode(
    cjpeg_decoder *decoder, const cjpeg_request *request, uint8_t *target) {
  if (!decoder->is_open) return CJPEG_UNSUPPORTED;
  if (setjmp(decoder->failure.escape) == 0) {
    decode(decoder, request, target);
    decoder->failure.kind = CJPEG_OK;
  }
  cjpeg_decoder_end(decoder);
  return decoder->failure.kind;
}

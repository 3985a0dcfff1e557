// PNG through libpng: the pixels that Pillow's convert("RGB") or convert("L") give. Errors of the
// library end here (setjmp and longjmp stay inside one C function) and come back as a number and a
// text. A handle belongs to one thread at a time.
#ifndef CPNG_H
#define CPNG_H

#include <stddef.h>
#include <stdint.h>

// What the functions return.
enum {
  CPNG_OK = 0,
  CPNG_UNSUPPORTED = 1,
  CPNG_DAMAGED = 2,
  CPNG_TOO_LARGE = 3,
  CPNG_NO_MEMORY = 4,
};

typedef struct cpng_decoder cpng_decoder;

typedef struct {
  int width;
  int height;
  // Samples of a pixel as stored: 1 grey or palette index, 2 grey and alpha, 3 RGB, 4 RGBA.
  int components;
  int bit_depth;
  int is_palette;
  int is_interlaced;
  // Bytes of the image once inflated, as stored in the file.
  int64_t inflated;
} cpng_header;

// A rectangle of the image and 1 (luma) or 3 (RGB) channels of result.
typedef struct {
  int channels;
  int top, left, height, width;
} cpng_request;

// NULL where no memory is left.
cpng_decoder *cpng_decoder_new(void);
void cpng_decoder_free(cpng_decoder *decoder);

// Whether what the library would only warn of is an error, and whether a file must be whole behind
// its pixels; so it is at first.
void cpng_decoder_refuse_warnings(cpng_decoder *decoder, int refuse);

// Reads all that stands before the pixels; a side beyond `largest_side` is CPNG_TOO_LARGE. `bytes`
// must stay until `cpng_decoder_end`.
int cpng_decoder_begin(
    cpng_decoder *decoder, const uint8_t *bytes, size_t count, int largest_side,
    cpng_header *header);

// Once, after `begin` has succeeded: writes height x width x channels bytes, without gaps. Alpha
// and transparency are left out.
int cpng_decoder_decode(cpng_decoder *decoder, const cpng_request *request, uint8_t *target);

// Forgets the image; harmless at any time.
void cpng_decoder_end(cpng_decoder *decoder);

// The error of the last call that failed, else the first warning, else ""; until the next call.
const char *cpng_decoder_message(const cpng_decoder *decoder);
// Warnings since `begin`.
int cpng_decoder_warnings(const cpng_decoder *decoder);

// Encodes height x width x channels (1: grey, 3: RGB) bytes. On success `*bytes` is the caller's,
// to be given to `cpng_bytes_free`. `message` takes up to 200 characters of an error.
int cpng_encode(
    const uint8_t *pixels, int height, int width, int channels, uint8_t **bytes, size_t *count,
    char message[200]);
void cpng_bytes_free(uint8_t *bytes);

#endif

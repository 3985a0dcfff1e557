// JPEG through libjpeg-turbo, as Pillow uses it unless asked for speed: the slow exact inverse
// transform, fancy upsampling, block smoothing as the library has it. Errors of the library end here
// (setjmp and longjmp stay inside one C function) and come back as a number and a text. No function
// keeps memory of its caller beyond the calls that say so; a handle belongs to one thread at a time.
#ifndef CJPEG_H
#define CJPEG_H

#include <stddef.h>
#include <stdint.h>

// What the functions return.
enum {
  CJPEG_OK = 0,
  CJPEG_UNSUPPORTED = 1,
  CJPEG_DAMAGED = 2,
  CJPEG_TOO_LARGE = 3,
  CJPEG_NO_MEMORY = 4,
};

typedef struct cjpeg_decoder cjpeg_decoder;

// What a file says of itself before its first scan.
typedef struct {
  int width;
  int height;
  int components;
  // 8x8 blocks of coefficients over all components.
  int64_t blocks;
  int is_progressive;
  int is_arithmetic;
} cjpeg_header;

// What to decode. The rectangle lies in the scaled image, whose sides are ceil(side / scale).
typedef struct {
  int scale;     // 1, 2, 4 or 8: reduction in the transform
  int is_fast;   // a coarser transform, chroma repeated instead of smoothed: not Pillow's pixels
  int channels;  // 1: luma of Pillow's convert("L"); 3: convert("RGB")
  int top, left, height, width;
  // What coefficients may take, in bytes, and scans that a file may have.
  int64_t memory_limit;
  int scan_limit;
} cjpeg_request;

// NULL where no memory is left.
cjpeg_decoder *cjpeg_decoder_new(void);
void cjpeg_decoder_free(cjpeg_decoder *decoder);

// Whether the library's warnings (damaged data that it would paper over) are errors; they are at
// first.
void cjpeg_decoder_refuse_warnings(cjpeg_decoder *decoder, int refuse);

// Reads all that stands before the first scan. `bytes` must stay until `cjpeg_decoder_end`.
int cjpeg_decoder_begin(
    cjpeg_decoder *decoder, const uint8_t *bytes, size_t count, cjpeg_header *header);

// Once, after `begin` has succeeded: writes height x width x channels bytes, without gaps.
int cjpeg_decoder_decode(
    cjpeg_decoder *decoder, const cjpeg_request *request, uint8_t *target);

// Forgets the image; harmless at any time.
void cjpeg_decoder_end(cjpeg_decoder *decoder);

// The error of the last call that failed, else the first warning, else ""; until the next call.
const char *cjpeg_decoder_message(const cjpeg_decoder *decoder);
// Warnings since `begin`.
int cjpeg_decoder_warnings(const cjpeg_decoder *decoder);

typedef struct {
  int quality;  // 1...100
  // Sampling factors of the first component, 1...4 each: 2, 2 is 4:2:0.
  int horizontal, vertical;
  int is_progressive;
  int is_arithmetic;
  int restart_interval;  // in MCUs; 0: no restart markers
} cjpeg_settings;

// Encodes height x width x channels (1: grey, 3: RGB) bytes. On success `*bytes` is the caller's,
// to be given to `cjpeg_bytes_free`. `message` takes up to 200 characters of an error.
int cjpeg_encode(
    const uint8_t *pixels, int height, int width, int channels, const cjpeg_settings *settings,
    uint8_t **bytes, size_t *count, char message[200]);
void cjpeg_bytes_free(uint8_t *bytes);

#endif

#include "failure.h"

#include <jerror.h>
#include <string.h>

#include "cjpeg.h"

static int kind_of(int code) {
  switch (code) {
    case JERR_OUT_OF_MEMORY:
      return CJPEG_NO_MEMORY;
    case JERR_IMAGE_TOO_BIG:
    case JERR_WIDTH_OVERFLOW:
    // The library would move coefficients beyond `memory_limit` to a file.
    case JERR_NO_BACKING_STORE:
      return CJPEG_TOO_LARGE;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_J_COLORSPACE:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_COMPONENT_COUNT:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_EMPTY_IMAGE:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_SOF_UNSUPPORTED:
      return CJPEG_UNSUPPORTED;
    default:
      return CJPEG_DAMAGED;
  }
}

// Better words than the library's for files that are sound but of a kind that is not read.
static void describe(cjpeg_failure *failure, j_common_ptr state) {
  char *message = failure->message;
  const size_t size = sizeof failure->message;
  const int detail = failure->library.msg_parm.i[0];
  switch (failure->library.msg_code) {
    case JERR_BAD_PRECISION:
      snprintf(message, size, "is a JPEG of %d bits a sample; only 8 are read", detail);
      break;
    case JERR_EMPTY_IMAGE:
      snprintf(message, size, "is a JPEG that leaves its height open or has no pixels");
      break;
    case JERR_SOF_UNSUPPORTED:
      snprintf(
          message, size, "is a %s JPEG (SOF type 0x%02x), which is not read",
          detail == 0xC3 || detail == 0xCB ? "lossless" : "hierarchical", detail);
      break;
    case JERR_IMAGE_TOO_BIG:
      snprintf(message, size, "has a side of more than %d pixels", detail);
      break;
    case JERR_NO_BACKING_STORE:
      snprintf(message, size, "needs more memory for its coefficients than its size allows");
      break;
    default:
      failure->library.format_message(state, message);
  }
}

static void error_exit(j_common_ptr state) {
  cjpeg_failure *failure = (cjpeg_failure *)state->err;
  failure->kind = kind_of(failure->library.msg_code);
  describe(failure, state);
  longjmp(failure->escape, 1);
}

void cjpeg_warn(cjpeg_failure *failure, const char *message) {
  if (failure->refuses_warnings) cjpeg_fail(failure, CJPEG_DAMAGED, message);
  if (failure->library.num_warnings++ > 0) return;
  snprintf(failure->message, sizeof failure->message, "%s", message);
}

// Level -1 is a warning: data are damaged and the library is about to invent some. Others are
// traces.
static void emit_message(j_common_ptr state, int level) {
  if (level >= 0) return;
  cjpeg_failure *failure = (cjpeg_failure *)state->err;
  char message[JMSG_LENGTH_MAX] = "";
  // One is enough, and a damaged file may have thousands.
  if (failure->library.num_warnings == 0) failure->library.format_message(state, message);
  cjpeg_warn(failure, message);
}

static void output_message(j_common_ptr state) { (void)state; }

void cjpeg_failure_install(cjpeg_failure *failure) {
  jpeg_std_error(&failure->library);
  failure->library.error_exit = error_exit;
  failure->library.emit_message = emit_message;
  failure->library.output_message = output_message;
  failure->kind = CJPEG_OK;
  failure->message[0] = 0;
}

void cjpeg_fail(cjpeg_failure *failure, int kind, const char *message) {
  failure->kind = kind;
  snprintf(failure->message, sizeof failure->message, "%s", message);
  longjmp(failure->escape, 1);
}

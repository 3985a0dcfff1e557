#include "failure.h"

#include <string.h>

#include "cpng.h"

void cpng_failure_reset(cpng_failure *failure) {
  failure->kind = CPNG_OK;
  failure->warnings = 0;
  failure->message[0] = 0;
}

_Noreturn void cpng_fail(cpng_failure *failure, int kind, const char *message) {
  failure->kind = kind;
  snprintf(failure->message, sizeof failure->message, "%s", message);
  longjmp(failure->escape, 1);
}

// The library has texts only.
static int kind_of(const char *message) {
  return strstr(message, "memory") != NULL ? CPNG_NO_MEMORY : CPNG_DAMAGED;
}

void cpng_on_error(png_structp library, png_const_charp message) {
  cpng_fail((cpng_failure *)png_get_error_ptr(library), kind_of(message), message);
}

void cpng_on_warning(png_structp library, png_const_charp message) {
  cpng_failure *failure = (cpng_failure *)png_get_error_ptr(library);
  if (failure->refuses_warnings) cpng_fail(failure, kind_of(message), message);
  if (failure->warnings++ == 0) {
    snprintf(failure->message, sizeof failure->message, "%s", message);
  }
}

// How errors of the library become numbers and texts, for both directions.
#ifndef CPNG_FAILURE_H
#define CPNG_FAILURE_H

#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>

#include <png.h>

typedef struct {
  jmp_buf escape;
  int kind;
  int warnings;
  int refuses_warnings;
  char message[200];
} cpng_failure;

void cpng_failure_reset(cpng_failure *failure);

// For png_create_*_struct, with the failure as its pointer.
void cpng_on_error(png_structp library, png_const_charp message);
void cpng_on_warning(png_structp library, png_const_charp message);

// Leaves the library with an error of our own.
_Noreturn void cpng_fail(cpng_failure *failure, int kind, const char *message);

#endif

// How errors of the library become numbers and texts, for both directions.
#ifndef CJPEG_FAILURE_H
#define CJPEG_FAILURE_H

#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>

typedef struct {
  // First, so that the library's pointer to it is a pointer to all of this.
  struct jpeg_error_mgr library;
  jmp_buf escape;
  int kind;
  int refuses_warnings;
  char message[JMSG_LENGTH_MAX];
} cjpeg_failure;

// Sets the functions that the library calls; the caller sets `escape` before each call into it.
void cjpeg_failure_install(cjpeg_failure *failure);

// Counts a warning of our own, or fails with it where warnings are refused.
void cjpeg_warn(cjpeg_failure *failure, const char *message);

// Leaves the library with an error of our own.
_Noreturn void cjpeg_fail(cjpeg_failure *failure, int kind, const char *message);

#endif

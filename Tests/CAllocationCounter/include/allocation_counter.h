// How often the calling thread has asked the C library for memory since it started: the test program
// defines malloc and its relatives itself, counts, and passes on to the C library.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// Whether this program counts: not under sanitizers, which have functions of their own.
bool allocation_counter_works(void);
uint64_t allocation_counter_calls(void);

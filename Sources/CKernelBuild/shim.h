// What the compiler's -march means, as the importing module was compiled: Swift cannot see these
// macros itself.
#include <stdbool.h>

static inline bool kernel_build_has_avx2(void) {
#ifdef __AVX2__
  return true;
#else
  return false;
#endif
}

static inline bool kernel_build_has_fma(void) {
#ifdef __FMA__
  return true;
#else
  return false;
#endif
}

static inline bool kernel_build_has_avx512f(void) {
#ifdef __AVX512F__
  return true;
#else
  return false;
#endif
}

// Tells the core that it waits in a loop.
static inline void kernel_build_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

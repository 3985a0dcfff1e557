// What the compiler's -march means, as the importing module was compiled: Swift cannot see these
// macros itself.
#include <stdbool.h>
#include <stdint.h>

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

// Tells the caches that an address will soon be read, or written.
static inline void kernel_build_prefetch(const float *address) { __builtin_prefetch(address, 0); }
static inline void kernel_build_prefetch_write(float *address) { __builtin_prefetch(address, 1); }

// Features by bit, in the order of the names in Sources/Orchestration/ProcessorCheck.swift.
static inline uint64_t kernel_build_features(void) {
  uint64_t features = 0;
#ifdef __AVX__
  features |= UINT64_C(1) << 0;
#endif
#ifdef __AVX2__
  features |= UINT64_C(1) << 1;
#endif
#ifdef __FMA__
  features |= UINT64_C(1) << 2;
#endif
#ifdef __F16C__
  features |= UINT64_C(1) << 3;
#endif
#ifdef __BMI__
  features |= UINT64_C(1) << 4;
#endif
#ifdef __BMI2__
  features |= UINT64_C(1) << 5;
#endif
#ifdef __LZCNT__
  features |= UINT64_C(1) << 6;
#endif
#ifdef __AVX512F__
  features |= UINT64_C(1) << 7;
#endif
#ifdef __AVX512CD__
  features |= UINT64_C(1) << 8;
#endif
#ifdef __AVX512VL__
  features |= UINT64_C(1) << 9;
#endif
#ifdef __AVX512BW__
  features |= UINT64_C(1) << 10;
#endif
#ifdef __AVX512DQ__
  features |= UINT64_C(1) << 11;
#endif
#ifdef __AVX512VNNI__
  features |= UINT64_C(1) << 12;
#endif
#ifdef __AVX512VBMI__
  features |= UINT64_C(1) << 13;
#endif
#ifdef __AVX512VBMI2__
  features |= UINT64_C(1) << 14;
#endif
#ifdef __AVX512BITALG__
  features |= UINT64_C(1) << 15;
#endif
#ifdef __AVX512VPOPCNTDQ__
  features |= UINT64_C(1) << 16;
#endif
#ifdef __AVX512IFMA__
  features |= UINT64_C(1) << 17;
#endif
#ifdef __AVX512BF16__
  features |= UINT64_C(1) << 18;
#endif
#ifdef __AVX512FP16__
  features |= UINT64_C(1) << 19;
#endif
#ifdef __AVXVNNI__
  features |= UINT64_C(1) << 20;
#endif
  return features;
}

// What the C library declares for GNU programs only, and Swift therefore does not see.
#pragma once
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

// Binds the calling thread to the CPUs whose bits are set in `mask`, `size` bytes of it; 0, or -1 and
// errno. By the system call: it takes masks of any size.
static inline long affinity_bind(const void *mask, size_t size) {
  return syscall(SYS_sched_setaffinity, 0, size, mask);
}

import CKernelBuild

/// For which CPU the kernels were compiled.
package enum KernelBuild {
  /// Names of /proc/cpuinfo flags that the compiled kernels use.
  package static var instructionSets: [String] {
    var sets: [String] = []
    #if arch(x86_64)
      if kernel_build_has_avx2() { sets.append("avx2") }
      if kernel_build_has_fma() { sets.append("fma") }
      if kernel_build_has_avx512f() { sets.append("avx512f") }
    #endif
    return sets
  }
}

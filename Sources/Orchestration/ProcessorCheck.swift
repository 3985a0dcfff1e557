import Kernels

/// Whether this CPU has what the kernels were compiled for.
extension Machine {
  /// Names of the bits of `KernelBuild.features`, as the kernel's cpuinfo has them.
  package static let featureNames = [
    "avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "abm", "avx512f", "avx512cd", "avx512vl",
    "avx512bw", "avx512dq", "avx512_vnni", "avx512vbmi", "avx512_vbmi2", "avx512_bitalg",
    "avx512_vpopcntdq", "avx512ifma", "avx512_bf16", "avx512_fp16", "avx_vnni",
  ]

  /// Those of them that this CPU has: what libraries choose their kernels by.
  static var kernelFeatures: String {
    let flags = processorFlags
    return featureNames.filter(flags.contains).joined(separator: " ")
  }

  /// What the kernels use and a CPU with these cpuinfo flags has not.
  ///
  /// `features`: bits as in `KernelBuild.features`. Nothing is missing where `flags` is empty: the
  /// system does not say what the CPU has.
  package static func missingFeatures(_ features: UInt64, flags: Set<String>) -> [String] {
    guard !flags.isEmpty else { return [] }
    return featureNames.enumerated().compactMap { bit, name in
      features >> UInt64(bit) & 1 == 1 && !flags.contains(name) ? name : nil
    }
  }

  /// Throws where a kernel would run into an instruction that this CPU has not. To be called before
  /// any kernel is.
  package static func requireBuiltForProcessor() throws {
    let missing = missingFeatures(KernelBuild.features, flags: processorFlags)
    guard missing.isEmpty else {
      throw JobFailure(
        .configuration,
        "the program was built for a CPU with \(missing.joined(separator: ", ")), which this one "
          + "(\(processor)) has not; build here, or for all machines of a cluster with launch/build "
          + "--cpu x86-64-v3")
    }
  }
}

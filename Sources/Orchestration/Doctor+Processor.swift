import Kernels

/// The processor and what computes on it.
extension Doctor {
  var processor: Finding {
    let flags = Machine.processorFlags
    let vectors = ["avx512f", "avx2", "fma"].filter(flags.contains)
    let missing = Machine.missingFeatures(KernelBuild.features, flags: flags)
    let value =
      "\(Machine.processor), \(here.onlineCores) cores, "
      + (vectors.isEmpty ? "no AVX" : vectors.joined(separator: " "))
    guard missing.isEmpty else {
      return .fault(
        "CPU", value,
        "the program was built for \(missing.joined(separator: ", ")), which this CPU has not; "
          + "build here, or with launch/build --cpu x86-64-v3")
    }
    let unused = vectors.filter { !KernelBuild.instructionSets.contains($0) }
    return .advice(
      "CPU", value,
      unused.isEmpty
        ? nil
        : "the program was built without \(unused.joined(separator: ", ")), which this CPU has: "
          + "launch/build on this machine makes a faster one")
  }

  var blas: Finding {
    let names = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"]
    let forced = names.compactMap { name in here.variables[name].map { (name, $0) } }
    let value = (["OpenBLAS kernel \(BLAS.kernelName)"] + forced.map { "\($0)=\($1)" })
      .joined(separator: ", ")
    // The best for this CPU; OpenBLAS takes its oldest for one that is newer than itself.
    let flags = Machine.processorFlags
    let best: String? =
      flags.isSuperset(of: ["avx512f", "avx512bw"])
      ? "SkylakeX" : flags.contains("avx2") ? "Haswell" : nil
    if forced.isEmpty, let best, Self.oldKernels.contains(BLAS.kernelName) {
      return .advice(
        "BLAS", value,
        "this OpenBLAS does not know this CPU: set OPENBLAS_CORETYPE=\(best) on all hosts, or install a "
          + "newer one")
    }
    if forced.map(\.0) == ["OPENBLAS_CORETYPE"], BLAS.kernelName == best {
      return .good("BLAS", value)
    }
    return .fault(
      "BLAS", value,
      forced.isEmpty
        ? nil
        : "unset \(forced.map(\.0).joined(separator: " and ")): OpenBLAS's own choice is faster here"
    )
  }

  /// Without AVX2.
  private static let oldKernels: Set<String> = [
    "Prescott", "Core2", "Penryn", "Dunnington", "Nehalem", "Sandybridge", "Atom", "Katmai",
    "Northwood", "Banias", "Coppermine",
  ]

  var blasThreads: Finding {
    BLAS.useOneThread()
    return .fault(
      "BLAS threads", "\(BLAS.threads) in each calling thread",
      BLAS.threads == 1
        ? nil : "this OpenBLAS ignores openblas_set_num_threads; set OPENBLAS_NUM_THREADS=1")
  }

  /// Nothing of a run depends on the wall clock; file times and certificates do.
  var clock: Finding {
    let source = here.text("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    let value = "\(Self.day(here.wallClock)), source \(source ?? "unknown")"
    guard here.monotonic[1] > here.monotonic[0] else {
      return .fault(
        "clock", value,
        "the monotonic clock stands still: restart the machine, or choose another clock source in "
          + "/sys/devices/system/clocksource/clocksource0")
    }
    let built = Self.modificationTime(of: "/proc/self/exe") ?? 0
    // Hosts that share a file system may differ by some minutes.
    if here.wallClock + 86_400 < built || here.wallClock > 4_102_444_800 {
      return .fault(
        "clock", value,
        "the clock is wrong (the program was built on \(Self.day(built))): set it, e.g. "
          + "timedatectl set-ntp true; no result depends on it, but the times of files do")
    }
    return .advice(
      "clock", value,
      ["hpet", "acpi_pm", "refined-jiffies", "jiffies"].contains(source ?? "")
        ? "reading this clock is slow, and measurements count it: where the kernel trusts it, boot with "
          + "clocksource=tsc" : nil)
  }

  /// Places where a build of the fault campaign fails on purpose.
  var injection: Finding {
    #if FAILPOINTS
      let (value, mend) = (
        "compiled in", "unset REPVGG_FAILPOINT: it makes this run fail on purpose"
      )
    #else
      let (value, mend) = (
        "none in this build",
        "unset REPVGG_FAILPOINT: only a build with -Xswiftc -DFAILPOINTS heeds it"
      )
    #endif
    return .fault("failpoints", value, here.variables["REPVGG_FAILPOINT"] == nil ? nil : mend)
  }
}

import Kernels
import Orchestration
import Testing

/// A binary on a CPU that it was not built for.
@Suite struct ProcessorCheckTests {
  @Test func whatIsMissingIsNamed() throws {
    let avx2 = try #require(Machine.featureNames.firstIndex(of: "avx2"))
    let wide = try #require(Machine.featureNames.firstIndex(of: "avx512f"))
    let features = UInt64(1) << UInt64(avx2) | UInt64(1) << UInt64(wide)
    #expect(Machine.missingFeatures(features, flags: ["avx2", "avx512f", "sse2"]) == [])
    #expect(Machine.missingFeatures(features, flags: ["avx2", "sse2"]) == ["avx512f"])
    #expect(Machine.missingFeatures(features, flags: ["sse2"]) == ["avx2", "avx512f"])
    #expect(Machine.missingFeatures(0, flags: ["sse2"]) == [])
    // A system that says nothing of its CPU.
    #expect(Machine.missingFeatures(features, flags: []) == [])
  }

  /// The bits are in the order of the names.
  @Test func recordedSetsAreAmongTheFeatures() {
    let names = Machine.featureNames.enumerated().filter {
      KernelBuild.features >> UInt64($0.offset) & 1 == 1
    }.map(\.element)
    #expect(Set(names).isSuperset(of: KernelBuild.instructionSets))
    for name in ["avx2", "fma", "avx512f"] where names.contains(name) {
      #expect(KernelBuild.instructionSets.contains(name))
    }
    #expect(Machine.featureNames.count <= 64)
  }

  /// These tests have run kernels by now, or will.
  @Test func thisMachineIsFine() throws { try Machine.requireBuiltForProcessor() }
}

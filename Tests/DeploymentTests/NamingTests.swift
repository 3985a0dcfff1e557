import Deployment
import Tensors
import Testing
import _TestSupport

/// Files under the names of other schemes and back.
@Suite struct NamingTests {
  /// A network's tensors in both forms, with metadata.
  private static func forms(_ index: Int) throws -> [(ModelForm, NamedTensors)] {
    let (training, _) = FuseTests.states(index)
    var forms: [(ModelForm, NamedTensors)] = [
      (.training, training), (.deploy, try Fuse.deployTensors(from: training)),
    ]
    for index in forms.indices {
      forms[index].1.metadata = ["format": "pt", "name": "ü \"x\""]
    }
    return forms
  }

  private func read(_ tensors: NamedTensors) throws -> ModelFile {
    let bytes = tensors.safetensorsBytes()
    return try ModelFile(NamedTensors(safetensors: bytes, path: "f"), source: "f")
  }

  /// Groups 1, 2 and 4, with and without squeeze-and-excitation.
  @Test(arguments: 0..<3) func roundTripsGiveTheSameBytes(index: Int) throws {
    for (form, tensors) in try Self.forms(index) {
      let bytes = tensors.safetensorsBytes()
      for first in KeyScheme.allCases {
        let there = try read(read(tensors).tensors(named: first))
        #expect(there.scheme == first && there.form == form)
        #expect(there.tensors.metadata == tensors.metadata)
        for second in KeyScheme.allCases {
          let further = try read(there.tensors(named: second))
          #expect(further.scheme == second)
          #expect(further.tensors(named: .published).safetensorsBytes() == bytes)
        }
      }
    }
  }

  @Test func countsStayIntegers() throws {
    let training = try Self.forms(0)[0].1
    let counts = training.filter { $0.tensor.integers != nil }
    #expect(counts.count == 7 && counts.allSatisfy { $0.tensor.shape == [] })
    let timm = try read(training).tensors(named: .timm)
    #expect(timm["stages.0.1.identity.num_batches_tracked"]?.integers?.count == 1)
    #expect(timm.filter { $0.tensor.integers != nil }.count == counts.count)
  }

  /// What others have written loses its wrapper and its order once, and no more.
  @Test func foreignFilesSettle() throws {
    let (_, tensors) = try Self.forms(2)[0]
    for scheme in KeyScheme.allCases {
      var foreign = NamedTensors()
      for name in scheme.naming(tensors).names.reversed() {
        foreign["module." + name] = scheme.naming(tensors)[name]
      }
      let first = try ModelFile(foreign, source: "f")
      #expect(first.scheme == scheme)
      for other in KeyScheme.allCases {
        let once = first.tensors(named: other)
        let twice = try read(once).tensors(named: other)
        #expect(twice.safetensorsBytes() == once.safetensorsBytes())
        #expect(once.metadata.isEmpty)
      }
    }
  }

  @Test func missingCountsAreZeroForWhoNeedsThem() throws {
    let (_, whole) = try Self.forms(0)[0]
    var tensors = whole
    for name in whole.names where name.hasSuffix("num_batches_tracked") { tensors[name] = nil }
    let file = try read(KeyScheme.mmpretrain.naming(tensors))
    #expect(file.tensors(named: .published).safetensorsBytes() == tensors.safetensorsBytes())
    #expect(Set(file.completedTensors.names) == Set(whole.names))
    for (name, tensor) in file.completedTensors {
      #expect(tensor == tensors[name] ?? Tensor(shape: [], integers: [0]), "\(name)")
    }
    #expect(try read(whole).outline.missingBatchCounts.isEmpty)
    #expect(try read(Self.forms(0)[1].1).outline.missingBatchCounts.isEmpty)
  }

  /// The header alone tells what the whole file does, halves included.
  @Test func outlinesNeedNoValues() throws {
    let scratch = try ScratchDirectory()
    var (_, tensors) = try Self.forms(0)[0]
    let linear = try #require(tensors["linear.weight"])
    let halves = [UInt8](repeating: 0x3C, count: 2 * linear.count)
    tensors["linear.weight"] = Tensor(
      shape: linear.shape, values: .raw(elementType: "BF16", bytes: halves))
    let path = try scratch.write(
      KeyScheme.timm.naming(tensors).safetensorsBytes(), to: "w.safetensors")
    let (outline, file) = (try ModelOutline.read(path: path), try ModelFile.read(path: path))
    #expect(outline.tensors == file.outline.tensors && outline.scheme == .timm)
    #expect(outline.tensors == file.tensors.outline)
    #expect(try Safetensors.header(path: path).widened == ["BF16": 1])
    try scratch.write([1, 2, 3], to: "w.safetensors")
    #expect(throws: TensorFileError.self) { try ModelOutline.read(path: path) }
  }

  /// Without an architecture to compare with.
  @Test func gapsAreListedByBlock() throws {
    for (form, tensors) in try Self.forms(2) {
      #expect(try read(tensors).outline.gaps == nil)
      var less = tensors
      for name in tensors.names where name.hasPrefix("stage1.1.") && !name.contains(".se.") {
        if !name.hasSuffix("conv.weight") && !name.hasSuffix("rbr_reparam.weight") {
          less[name] = nil
        }
      }
      less["linear.bias"] = nil
      less["stage0.se.up.weight"] = nil
      less["stage1.0.rbr_identity.foo"] = Tensor(shape: [1], [0])
      let error = try #require(throws: DeploymentError.self) {
        try read(KeyScheme.timm.naming(less)).require(form, source: "f")
      }
      let inside =
        form == .deploy
        ? "stage1.1.rbr_reparam.bias" : "stage1.1: rbr_dense (4 tensors), rbr_1x1 (4 tensors)"
      #expect(
        error.description
          == "f: holds no whole network: stage0.se.up.weight missing; \(inside) missing; linear.bias "
          + "missing; stage1.0.rbr_identity.foo not expected; check the file (names are the published "
          + "ones, for the file's of timm)")
    }
  }

  /// mmpretrain has no stage 0: a block of one would be a second stem.
  @Test func noStageIsAStem() {
    let name = "backbone.stage_0.1.branch_3x3.conv.weight"
    #expect(KeyScheme.mmpretrain.translate(name, to: .published) == nil)
  }
}

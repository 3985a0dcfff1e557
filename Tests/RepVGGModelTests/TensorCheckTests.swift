import RepVGGModel
import RunPlanning
import Tensors
import Testing

/// What is said of tensors that are another network's.
@Suite struct TensorCheckTests {
  private func table(
    depths: [Int] = [2, 8], widths: [Int] = [8, 16], channels: Int = 3, classes: Int = 10
  ) -> ParameterTable {
    .training(
      blocks: Architecture(stemWidth: 8, depths: depths, widths: widths).blocks(
        inputChannels: channels, height: 32, width: 32), classes: classes)
  }

  private func outline(_ table: ParameterTable) -> [TensorOutline] {
    table.entries.map {
      TensorOutline(
        name: $0.name, shape: $0.shape, elementType: $0.kind == .batchCount ? "I64" : "F32")
    }
  }

  private func complaint(_ tensors: [TensorOutline], _ table: ParameterTable) throws -> String {
    let error = try #require(throws: ModelTensorsError.self) {
      try TensorCheck.check(tensors, against: table)
    }
    return error.description
  }

  @Test func rightTensorsPass() throws {
    try TensorCheck.check(outline(table()).reversed(), against: table())
  }

  @Test func namesAreListedByBlock() throws {
    let mend = "; check that the configuration names the architecture of the file"
    let start = "the tensors are not those of this network: "
    var tensors = outline(table())
    tensors.removeAll { $0.name.hasPrefix("stage2.3.rbr_identity.") }
    #expect(
      try complaint(tensors, table())
        == start + "stage2.3: rbr_identity (5 tensors) missing" + mend)
    tensors.removeAll { $0.name == "stage2.3.rbr_1x1.conv.weight" || $0.name == "linear.bias" }
    #expect(
      try complaint(tensors, table())
        == start + "stage2.3: rbr_identity (5 tensors), rbr_1x1.conv.weight missing; "
        + "linear.bias missing" + mend)
    #expect(
      try complaint(outline(table(depths: [2, 9])), table())
        == start + "stage2.8: 17 tensors not expected" + mend)
    // In numeric order, and no more than six.
    let long = table(depths: [2, 12])
    #expect(
      try complaint(outline(table(depths: [2, 5])), long)
        == start
        + (5...10).map { "stage2.\($0): 17 tensors missing; " }.joined() + "and 1 more block" + mend
    )
    let both = try complaint(outline(table(depths: [8, 1])), table(depths: [2, 8]))
    let missing = (1...3).map { "stage2.\($0): 17 tensors missing; " }.joined()
    let surplus = (2...4).map { "stage1.\($0): 17 tensors not expected; " }.joined()
    #expect(both == start + missing + surplus + "and 7 more blocks" + mend)
  }

  @Test func shapesComeInPairs() throws {
    let wider = try complaint(outline(table(widths: [8, 24])), table())
    #expect(
      wider.hasPrefix(
        "stage2.0.rbr_dense.conv.weight has shape [24, 8, 3, 3], this network needs [16, 8, 3, 3]; "
          + "stage2.0.rbr_dense.bn.weight has shape [24], this network needs [16]; "))
    #expect(wider.split(separator: " has shape ").count == 4)
    #expect(wider.contains(" more shapes; check that the configuration names the architecture"))
    #expect(!wider.contains("classes"))
  }

  @Test func classesAndChannelsAreTold() throws {
    #expect(
      try complaint(outline(table(classes: 1000)), table())
        == "linear.weight has shape [1000, 16], this network needs [10, 16]; linear.bias has shape "
        + "[1000], this network needs [10]; the file has 1000 classes, the configuration 10; add "
        + "--set model.classes=1000")
    #expect(
      try complaint(outline(table(channels: 1)), table())
        == "stage0.rbr_dense.conv.weight has shape [8, 1, 3, 3], this network needs [8, 3, 3, 3]; "
        + "stage0.rbr_1x1.conv.weight has shape [8, 1, 1, 1], this network needs [8, 3, 1, 1]; the "
        + "file is for images of 1 channels, the configuration for 3 (data.channels)")
    let all = try complaint(outline(table(widths: [8, 24], classes: 7)), table())
    #expect(!all.contains("classes") && all.contains("check that"))
  }

  @Test func typesAreNamed() throws {
    var tensors = outline(table())
    tensors[0].elementType = "F64"
    #expect(
      try complaint(tensors, table())
        == "stage0.rbr_dense.conv.weight has element type F64, expected F32")
  }
}

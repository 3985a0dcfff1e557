import Kernels
import RunPlanning
import Testing

@testable import RepVGGModel

/// The plan's paths and memory against what the kernels decide and take.
@Suite struct KernelPlanTests {
  @Test(arguments: Architecture.zoo.map(\.name), [28, 32, 160, 224])
  func planIsWhatTheKernelsDo(name: String, size: Int) throws {
    let architecture = try #require(Architecture.zoo.first { $0.name == name })
    for stride in [1, 2] {
      var architecture = architecture
      architecture.stemStride = stride
      for block in architecture.blocks(inputChannels: 3, height: size, width: size) {
        for images in [1, 5, 32] { check(block, images: images) }
      }
    }
  }

  /// Few channels, groups, and images smaller than a tile.
  @Test func smallBlocksToo() {
    let architecture = Architecture(
      stemWidth: 8, depths: [2, 2, 2], widths: [7, 16, 33], groups: [2: 7, 4: 4])
    for side in 1...20 {
      for channels in [1, 4, 5] {
        for block in architecture.blocks(inputChannels: channels, height: side, width: side + 1) {
          check(block, images: 9)
        }
      }
    }
  }

  private func check(_ block: BlockShape, images: Int) {
    let plan = KernelPlan(block, images: images, panelWidth: KernelBuild.panelWidth)
    let dense = block.convolution(kernel: 3)
    let place = Comment("\(block), \(images) images")
    if block.layer == 0 && StemConvolution.applies(to: dense) && !block.hasIdentity {
      #expect(plan.path == .recomputed, place)
    } else {
      #expect(plan.path.rawValue == dense.path.rawValue, place)
    }
    let workspace = BlockWorkspace(block, images: images)
    #expect(plan.sharedCount == workspace.sharedCount, place)
    #expect(plan.workerCount == workspace.workerCount, place)
    #expect(plan.packedCount == workspace.packedCount, place)
  }
}

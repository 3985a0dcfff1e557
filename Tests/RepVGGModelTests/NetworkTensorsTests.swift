import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Testing
import _TestSupport

@Suite struct NetworkTensorsTests {
  private func network(_ item: GradientCase) -> TrainingNetwork {
    TrainingNetwork(
      shape: NetworkShape(
        blocks: item.blocks, classes: GradientCase.classes, shards: 1, shardCapacity: 2),
      pool: WorkerPool(threads: 1))
  }

  @Test(arguments: GradientCase.all)
  func loadingAndCopyingOutIsTheIdentity(item: GradientCase) throws {
    let network = network(item)
    try network.load(item.state)
    let copy = network.tensors()
    #expect(copy.names == item.state.names)
    for (name, tensor) in item.state { #expect(copy[name] == tensor, "\(name)") }
  }

  @Test func wrongTensorsAreNamedAndNothingIsLoaded() throws {
    let item = GradientCase.all[0]
    let network = network(item)
    try network.initialise(seed: 1)
    let before = network.tensors()
    var missing = item.state
    missing["stage1.0.rbr_1x1.conv.weight"] = nil
    var surplus = item.state
    surplus["stage9.0.rbr_1x1.conv.weight"] = Tensor(shape: [1], [1])
    var shape = item.state
    shape["linear.bias"] = Tensor(shape: [2], [1, 2])
    var type = item.state
    type["linear.bias"] = Tensor(shape: [5], integers: [1, 2, 3, 4, 5])
    for (tensors, fragment) in [
      (missing, "stage1.0.rbr_1x1.conv.weight missing"),
      (surplus, "stage9.0.rbr_1x1.conv.weight not expected"),
      (shape, "linear.bias has shape [2], this network needs [5]"),
      (type, "linear.bias has element type I64, expected F32"),
    ] {
      let error = #expect(throws: ModelTensorsError.self) { try network.load(tensors) }
      #expect(error?.description.contains(fragment) == true, "\(error?.description ?? "")")
    }
    #expect(network.tensors() == before)
  }

  @Test func initialValuesArePyTorchsBounds() throws {
    let item = GradientCase.all[0]
    let network = network(item)
    try network.initialise(seed: 3)
    let tensors = network.tensors()
    for entry in network.table.entries where entry.kind == .convolutionWeight {
      let bound = 1 / Float(entry.shape.dropFirst().reduce(1, *)).squareRoot()
      let values = try #require(tensors[entry.name]?.floats)
      let largest = values.map(abs).max() ?? 0
      #expect(largest <= bound && largest > 0.5 * bound)
    }
    #expect(tensors["stage0.rbr_dense.bn.weight"]?.floats?.allSatisfy { $0 == 1 } == true)
    #expect(tensors["stage0.rbr_dense.bn.running_var"]?.floats?.allSatisfy { $0 == 1 } == true)
    let again = self.network(item)
    try again.initialise(seed: 3)
    #expect(again.tensors() == tensors)
    try again.initialise(seed: 4)
    #expect(again.tensors() != tensors)
  }
}

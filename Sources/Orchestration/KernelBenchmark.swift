import Kernels
import RepVGGModel
import RunPlanning
import Tensors
import Training

/// `repvgg bench kernels`: what the kernels of a network's layers reach on this machine, beside what
/// a core can do at all. One rank; the batch is one shard.
package struct KernelBenchmark {
  package struct Settings: Sendable {
    package var architecture: Architecture
    package var batch = 32
    package var inputChannels = 3
    package var height = 224
    package var width = 224
    package var threads = 1
    /// Of every measurement, beside one to warm up; the fastest counts.
    package var repetitions = 5
    /// Bytes over which the memory's bandwidth is measured: more than any cache holds.
    package var streamBytes = 268_435_456

    package init(architecture: Architecture) { self.architecture = architecture }
  }

  /// What one core can do.
  package struct Roof: Sendable {
    /// Multiply-adds in registers, two operations each.
    package var fmaGigaflops = 0.0
    /// Bytes read, and bytes read and written, a second.
    package var readRate = 0.0
    package var copyRate = 0.0
  }

  /// What is computed of a layer.
  package enum Pass: String, Sendable {
    /// Weights to what the passes read, once a step.
    case packing
    case forward
    /// Data and weight gradient (of a network's first layer the weight gradient alone).
    case backward
  }

  /// One pass of one convolution, of the blocks that have its shape.
  package struct Layer: Sendable {
    /// Key of the first block of this shape, and how many blocks have it.
    package var name: String
    package var blocks: Int
    package var block: BlockShape
    /// 3 or 1; 3 for both branches of a stem that is recomputed.
    package var kernel: Int
    package var path: KernelPlan.Path
    package var pass: Pass
    package var seconds: Double
    /// Of the definition, whatever the path: two for each multiply-add.
    package var operations: Double
    /// Of the tensors that are read or written, each once.
    package var bytes: Double

    /// Effective rate: as if the path were direct.
    package var gigaflops: Double { operations / seconds / 1e9 }
    package var intensity: Double { operations / bytes }
    /// Bytes a second.
    package var byteRate: Double { bytes / seconds }
  }

  /// One pass over activations beside the convolutions, of the blocks that have a shape.
  package struct ElementWise: Sendable {
    package var name: String
    package var blocks: Int
    package var pass: String
    package var seconds: Double
    package var bytes: Double
    /// Whether it is of the layer with the largest activations.
    package var isLargest = false

    package var byteRate: Double { bytes / seconds }
  }

  package struct Report: Sendable {
    package var roof = Roof()
    package var layers: [Layer] = []
    package var passes: [ElementWise] = []

    /// Seconds of a step's kernels over the whole network, by kind.
    package var totals: [(kind: String, seconds: Double)] {
      var totals: [(kind: String, seconds: Double)] = []
      func add(_ kind: String, _ seconds: Double) {
        if let place = totals.firstIndex(where: { $0.kind == kind }) {
          totals[place].seconds += seconds
        } else {
          totals.append((kind, seconds))
        }
      }
      for layer in layers { add(Self.kind(of: layer), Double(layer.blocks) * layer.seconds) }
      for pass in passes { add("element-wise", Double(pass.blocks) * pass.seconds) }
      return totals
    }

    /// Seconds of all kernels of a step.
    package var seconds: Double { totals.reduce(0) { $0 + $1.seconds } }
    /// Operations of all convolutions of a step, as if direct.
    package var operations: Double {
      layers.reduce(0) { $0 + Double($1.blocks) * $1.operations }
    }

    private static func kind(of layer: Layer) -> String {
      if layer.pass == .packing { return "packing" }
      switch layer.path {
      case .recomputed: return "stem"
      case .winograd4, .winograd5: return "3x3 Winograd"
      case .direct: return layer.kernel == 3 ? "3x3 direct" : "1x1"
      }
    }
  }

  private let settings: Settings

  package init(_ settings: Settings) { self.settings = settings }

  package func run() throws -> Report {
    BLAS.useOneThread()
    let blocks = settings.architecture.blocks(
      inputChannels: settings.inputChannels, height: settings.height, width: settings.width)
    try requireMemory(blocks)
    var report = Report()
    report.roof = roof()
    let pool = Machine.pool(threads: settings.threads)
    let shapes = Self.distinct(blocks)
    let largest = shapes.filter { !$0.block.recomputesBranches }.map(\.block.outputCount).max()
    for (block, count) in shapes {
      let measurement = LayerMeasurement(
        block, blocks: count, images: settings.batch, pool: pool,
        repetitions: settings.repetitions)
      report.layers += measurement.layers()
      report.passes += measurement.passes().map {
        var pass = $0
        pass.isLargest = block.outputCount == largest
        return pass
      }
    }
    return report
  }

  /// Blocks by what decides their kernels, the first of each with how many there are.
  private static func distinct(_ blocks: [BlockShape]) -> [(block: BlockShape, count: Int)] {
    var shapes: [(block: BlockShape, count: Int)] = []
    for block in blocks {
      let place = shapes.firstIndex { first, _ in
        var (one, other) = (first, block)
        (one.key, other.key) = ("", "")
        (one.stage, other.stage) = (0, 0)
        // A network's first layer has no data gradient, and may be a stem.
        (one.layer, other.layer) = (min(one.layer, 1), min(other.layer, 1))
        return one == other
      }
      if let place { shapes[place].count += 1 } else { shapes.append((block, 1)) }
    }
    return shapes
  }

  private func requireMemory(_ blocks: [BlockShape]) throws {
    let cost = CostModel(blocks: blocks, classes: 1)
    let values = blocks.map { block in
      // Tensors of both sides, and 36 matrices of 1/16 of them where Winograd is the path.
      Double(settings.batch) * 9 * Double(block.inputCount + block.outputCount)
        + 80 * Double(block.inputChannels) * Double(block.outputChannels)
    }
    let needed = 4 * (values.max() ?? 0) + 2 * Double(settings.streamBytes)
    guard cost.isCountable(images: settings.batch), needed < Double(Machine.physicalMemory) else {
      throw JobFailure(
        .configuration,
        "\(settings.architecture.name) on \(settings.batch) images of \(settings.height) x "
          + "\(settings.width) needs more memory than the machine has; choose a smaller batch, "
          + "resolution or network")
    }
  }
}

// MARK: - What a core can do

extension KernelBenchmark {
  /// Seconds of one short run of the arithmetic.
  private static let peakSeconds = 0.02

  private func roof() -> Roof {
    var roof = Roof()
    var rounds = 10_000
    var isLongEnough = false
    while !isLongEnough {
      rounds *= 4
      isLongEnough = seconds { multiplyAdd(rounds) } >= Self.peakSeconds
    }
    for _ in 0..<2 * settings.repetitions {
      var operations = 0.0
      let seconds = seconds { operations = multiplyAdd(rounds) }
      roof.fmaGigaflops = max(roof.fmaGigaflops, operations / seconds / 1e9)
    }
    let count = settings.streamBytes / 4 / 64 * 64
    let (source, target) = (Arena(count: count), Arena(count: count))
    let bytes = Double(4 * count)
    for _ in 0..<settings.repetitions {
      var sum: Float = 0
      let reading = seconds { sum = PeakMeasurement.read(source.base, count: count) }
      precondition(sum == 0, "an arena begins with zeros")
      roof.readRate = max(roof.readRate, bytes / reading)
      let copying = seconds {
        PeakMeasurement.copyRectified(source.base, to: target.base, count: count)
      }
      roof.copyRate = max(roof.copyRate, 2 * bytes / copying)
    }
    return roof
  }

  @discardableResult
  private func multiplyAdd(_ rounds: Int) -> Double {
    let (operations, result) = PeakMeasurement.multiplyAdd(rounds: rounds)
    precondition(result.isFinite, "the sums stay bounded")
    return operations
  }

  private func seconds(_ body: () -> Void) -> Double {
    let start = monotonicSeconds()
    body()
    return max(monotonicSeconds() - start, 1e-9)
  }
}

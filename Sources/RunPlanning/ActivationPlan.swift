/// Where a training network's activations and their gradients lie in one arena.
///
/// Every block keeps its output for the backward pass, and the outputs of its two convolutions where
/// it does not compute them again. The gradient of a block's output lies in the place of what later
/// blocks no longer need; a block that keeps its input's shape writes the gradient of its input over
/// that of its output.
package struct ActivationPlan: Sendable, Equatable {
  /// Where the parts of one block begin, in Float32 elements.
  package struct Block: Sendable, Equatable {
    package var output: Int
    /// Outputs of the 3x3 and of the 1x1 convolution; absent where they are computed again.
    package var dense: Int?
    package var pointwise: Int?
    /// The gradient of the output.
    package var gradient: Int
  }

  package private(set) var blocks: [Block] = []
  /// Elements of the arena.
  package private(set) var count = 0
  /// Elements of what the forward pass leaves for the backward pass.
  package private(set) var kept = 0

  /// For `images` images.
  package init(blocks shapes: [BlockShape], images: Int) {
    func size(_ shape: BlockShape) -> Int {
      (images * shape.outputPixels * shape.outputChannels + 15) / 16 * 16
    }
    for shape in shapes {
      var block = Block(output: reserve(size(shape)), gradient: 0)
      if !shape.recomputesBranches {
        block.dense = reserve(size(shape))
        block.pointwise = reserve(size(shape))
      }
      blocks.append(block)
    }
    kept = count
    for index in shapes.indices.reversed() {
      let needed = size(shapes[index])
      guard index + 1 < shapes.count else {
        blocks[index].gradient = reserve(needed)
        continue
      }
      let later = blocks[index + 1].gradient
      let laterSize = size(shapes[index + 1])
      if shapes[index + 1].hasIdentity {
        blocks[index].gradient = later
        continue
      }
      // While the next block's backward pass runs, those after it are done with.
      let free = index + 2 < shapes.count ? blocks[index + 2].output : kept
      let gaps = later < kept ? [free..<max(free, later), later + laterSize..<kept] : [free..<kept]
      blocks[index].gradient =
        gaps.first { $0.count >= needed }?.lowerBound ?? reserve(needed)
    }
  }

  private mutating func reserve(_ elements: Int) -> Int {
    defer { count += elements }
    return count
  }
}

extension BlockShape {
  /// Whether the block is a stem whose branches are computed again from the images rather than
  /// stored.
  package var recomputesBranches: Bool {
    layer == 0 && !hasIdentity && groups == 1 && inputChannels <= 4
  }
}

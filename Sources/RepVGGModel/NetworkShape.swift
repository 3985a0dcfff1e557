import Kernels
import RunPlanning

/// The images of one shard, or of one chunk in evaluation, as a network's input.
package struct ShardImages {
  /// NHWC Float32, [count, height, width, channels]; valid until the pass is over (the backward
  /// pass reads it too).
  package var pixels: UnsafePointer<Float>
  /// Images; may be 0 in training.
  package var count: Int

  package init(pixels: UnsafePointer<Float>, count: Int) {
    self.pixels = pixels
    self.count = count
  }
}

/// What decides a rank's network: the blocks with their image sizes, the classes, and how many
/// images it holds at a time.
package struct NetworkShape: Sendable, Equatable {
  package var blocks: [BlockShape]
  package var classes: Int
  /// Shards (in evaluation: chunks) that this rank processes together.
  package var shards: Int
  /// Largest number of images of one shard.
  package var shardCapacity: Int
  package var batchNorm: RunConfig.BatchNormMode
  /// BatchNorm's ε and the weight of a new batch in the running statistics (FACTS: 1e-5 and 0.1).
  package var epsilon = 1e-5
  package var statisticsMomentum = 0.1

  package init(
    blocks: [BlockShape], classes: Int, shards: Int, shardCapacity: Int,
    batchNorm: RunConfig.BatchNormMode = .sync
  ) {
    precondition(!blocks.isEmpty && classes > 0 && shards > 0 && shardCapacity > 0)
    self.blocks = blocks
    self.classes = classes
    self.shards = shards
    self.shardCapacity = shardCapacity
    self.batchNorm = batchNorm
  }

  package var features: Int { blocks[blocks.count - 1].outputChannels }
  /// Values of one image.
  package var imageCount: Int { blocks[0].inputPixels * blocks[0].inputChannels }
  package var finalPixels: Int { blocks[blocks.count - 1].outputPixels }
  package var imageCapacity: Int { shards * shardCapacity }
}

extension BlockShape {
  /// Values of one image at the block's input and output.
  package var inputCount: Int { inputPixels * inputChannels }
  package var outputCount: Int { outputPixels * outputChannels }

  /// The block without its image's size: what its parameters depend on.
  var withoutSize: BlockShape {
    var block = self
    (block.inputHeight, block.inputWidth) = (1, 1)
    return block
  }

  /// The block's 3x3 (`kernel` 3) or 1x1 (`kernel` 1) convolution.
  package func convolution(kernel: Int) -> Convolution {
    Convolution(
      kernel: kernel, stride: stride, groups: groups, inputChannels: inputChannels,
      outputChannels: outputChannels, inputHeight: inputHeight, inputWidth: inputWidth)
  }
}

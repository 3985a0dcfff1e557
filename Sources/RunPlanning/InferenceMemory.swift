/// Peak memory of activations in inference, one image, where every tensor is given back as soon as
/// nobody reads it any more (RepVGG, figure 3 and section 3.1).
///
/// The plain network holds a layer's input and output. With residual branches the input stays until the
/// last branch has read it, and a branch's output lies beside the sum to which it is added.
package struct InferenceMemory: Sendable, Equatable {
  /// Bytes, Float32, of the deploy form.
  package var plain = 0
  /// Bytes of the same network with its 1x1 and identity branches.
  package var branched = 0
  /// Keys of the blocks where the peaks are.
  package var plainBlock = ""
  package var branchedBlock = ""

  package init(_ blocks: [BlockShape]) {
    for block in blocks {
      let input = 4 * block.inputPixels * block.inputChannels
      let output = 4 * block.outputPixels * block.outputChannels
      if input + output > plain { (plain, plainBlock) = (input + output, block.key) }
      if input + 2 * output > branched {
        (branched, branchedBlock) = (input + 2 * output, block.key)
      }
    }
  }
}

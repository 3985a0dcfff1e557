import _TestSupport

@testable import Kernels

/// One convolution, computed fast and by definition.
struct ConvolutionComparison {
  struct Results: Equatable {
    var output: [Float]
    /// Of a second run with the values of `start` in place.
    var inputGradient: [Float]
    var weightGradient: [Float]
  }

  let convolution: Convolution
  let images: Int
  let threads: Int
  let reference: ReferenceConvolution
  let input: ReferenceTensor
  let gradient: ReferenceTensor
  /// Published order [cout][cin / groups][taps].
  let weights: [Float]

  init(_ item: ConvolutionTests.Case) {
    convolution = item.convolution
    images = item.images
    threads = item.threads
    reference = ReferenceConvolution(
      kernel: convolution.kernel, stride: convolution.stride, groups: convolution.groups,
      outputChannels: convolution.outputChannels)
    input = testTensor(
      images: images, channels: convolution.inputChannels, height: convolution.inputHeight,
      width: convolution.inputWidth)
    gradient = testTensor(
      images: images, channels: convolution.outputChannels, height: convolution.outputHeight,
      width: convolution.outputWidth, seed: 3)
    weights = testValues(convolution.weightCount, seed: 2)
  }

  /// Published order ↔ [group][tap][cin / groups][cout / groups].
  private func memoryIndex(_ file: Int) -> Int {
    let (rest, tap) = file.quotientAndRemainder(dividingBy: convolution.taps)
    let (output, input) = rest.quotientAndRemainder(dividingBy: convolution.groupInputs)
    let (group, column) = output.quotientAndRemainder(dividingBy: convolution.groupOutputs)
    return ((group * convolution.taps + tap) * convolution.groupInputs + input)
      * convolution.groupOutputs + column
  }

  /// The largest relative error of forward, data gradient (also added to what is there) and weight
  /// gradient.
  func worstError() -> Double {
    let wide = weights.map(Double.init)
    let fresh = results(accumulate: false)
    let added = results(accumulate: true)
    let expectedGradient = reference.inputGradient(gradient, wide, input: input).values
    let sum = zip(expectedGradient, start.values).map { $0 + $1 }
    let published = weights.indices.map { Double(fresh.weightGradient[memoryIndex($0)]) }
    return max(
      relativeError(nchw(fresh.output, like: gradient), reference.forward(input, wide).values),
      relativeError(nchw(fresh.inputGradient, like: input), expectedGradient),
      relativeError(nchw(added.inputGradient, like: input), sum),
      relativeError(published, reference.weightGradient(gradient, input: input)))
  }

  /// The largest absolute difference of an output from its definition.
  func worstForwardDifference() -> Double {
    let expected = reference.forward(input, weights.map(Double.init)).values
    let computed = nchw(results().output, like: gradient)
    return zip(computed, expected).map { abs(Double($0) - $1) }.max() ?? 0
  }

  /// The output with a bias and perhaps a ReLU: where the convolution writes it, and in a pass of its
  /// own behind it.
  func finished(rectify: Bool) -> (inPlace: [Float], behind: [Float]) {
    let bias = testValues(convolution.outputChannels, seed: 5)
    var inPlace = [Float](repeating: .nan, count: gradient.values.count)
    withFloats(bias.count) { memory in
      memory.update(from: bias, count: bias.count)
      inPlace = results(finish: OutputFinish(bias: memory, rectify: rectify)).output
    }
    var behind = results().output
    addBias(
      bias, rectify: rectify, rows: images * convolution.outputPixels,
      channels: convolution.outputChannels, to: &behind)
    return (inPlace, behind)
  }

  private var start: ReferenceTensor {
    testTensor(
      images: images, channels: input.channels, height: input.height, width: input.width, seed: 4)
  }

  func results(accumulate: Bool = true, finish: OutputFinish? = nil) -> Results {
    let pool = WorkerPool(threads: threads)
    var memory = [Float](repeating: 0, count: weights.count)
    for file in weights.indices { memory[memoryIndex(file)] = weights[file] }
    var results = Results(
      output: [Float](repeating: .nan, count: gradient.values.count),
      inputGradient: nhwc(accumulate ? start : start.zeros),
      weightGradient: [Float](repeating: .nan, count: weights.count))
    if !accumulate {
      for place in results.inputGradient.indices { results.inputGradient[place] = .nan }
    }
    let shared = max(
      convolution.forwardCount(images: images), convolution.backwardCount(images: images))
    let workers = convolution.workerCount
    withFloats(shared) { shared in
      withFloats(workers * threads) { worker in
        withFloats(memory.count) { weights in
          weights.update(from: memory, count: memory.count)
          let space = Workspace(shared: shared, workers: worker, workerCount: workers)
          forward(weights, space, pool, finish, into: &results.output)
          backward(weights, space, pool, accumulate: accumulate, into: &results)
        }
      }
    }
    return results
  }

  private func forward(
    _ memory: UnsafePointer<Float>, _ space: Workspace, _ pool: WorkerPool,
    _ finish: OutputFinish?, into output: inout [Float]
  ) {
    output.withUnsafeMutableBufferPointer { output in
      guard let output = output.baseAddress else { return }
      withFloats(convolution.forwardWeightCount) { packed in
        let weights = convolution.packForward(memory, into: packed, space: space, pool: pool)
        convolution.forward(
          images: images, input: nhwc(input), weights: weights, output: output, space: space,
          pool: pool, finish: finish, before: { _, _, _ in }, after: { _, _, _ in })
      }
    }
  }

  private func backward(
    _ memory: UnsafePointer<Float>, _ space: Workspace, _ pool: WorkerPool, accumulate: Bool,
    into results: inout Results
  ) {
    let (source, values) = (nhwc(gradient), nhwc(input))
    let imageCount = convolution.outputPixels * convolution.outputChannels
    results.inputGradient.withUnsafeMutableBufferPointer { inputGradient in
      results.weightGradient.withUnsafeMutableBufferPointer { weightGradient in
        guard let weightGradient = weightGradient.baseAddress else { return }
        withFloats(convolution.backwardWeightCount) { packed in
          withFloats(max(1, images) * imageCount + values.count) { chunk in
            let pixels = chunk + max(1, images) * imageCount
            pixels.update(from: values, count: values.count)
            let weights = convolution.packBackward(memory, into: packed, space: space, pool: pool)
            convolution.backward(
              images: images,
              BackwardPass(
                input: pixels, outputGradient: chunk, weights: weights,
                inputGradient: inputGradient.baseAddress, accumulate: accumulate,
                weightGradient: weightGradient), space: space, pool: pool,
              before: { images, chunkImages, _ in
                let first = chunkImages.images.lowerBound
                for image in images {
                  for value in 0..<imageCount {
                    chunk[(image - first) * imageCount + value] = source[image * imageCount + value]
                  }
                }
              }, besideTasks: 0, beside: { _, _, _ in }, after: { _, _, _ in })
          }
        }
      }
    }
  }
}

/// Lends `count` elements of memory aligned as an arena's, filled with NaN.
func withFloats(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
  let raw = UnsafeMutableRawPointer.allocate(byteCount: max(64, 4 * count), alignment: 64)
  defer { raw.deallocate() }
  let floats = raw.bindMemory(to: Float.self, capacity: max(16, count))
  floats.update(repeating: .nan, count: max(16, count))
  body(floats)
}

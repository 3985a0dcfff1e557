/// One convolution as RepVGG has them: 3x3 with padding 1 or 1x1 with padding 0, stride 1 or more,
/// groups, no bias; forward, data gradient and weight gradient over NHWC images.
///
/// Weights are [group][tap][cin / groups][cout / groups]. The work on one shard's images is cut into
/// tasks (`forwardBands`, …) that are a function of this shape and the number of images alone; the
/// caller spreads tasks over threads, with `scratchCount` elements of scratch for each thread. The
/// path is im2col and OpenBLAS.
package struct Convolution: Sendable, Equatable {
  /// 3 or 1.
  package var kernel: Int
  package var stride: Int
  package var groups: Int
  package var inputChannels: Int
  package var outputChannels: Int
  package var inputHeight: Int
  package var inputWidth: Int

  package init(
    kernel: Int, stride: Int, groups: Int, inputChannels: Int, outputChannels: Int,
    inputHeight: Int, inputWidth: Int
  ) {
    self.kernel = kernel
    self.stride = stride
    self.groups = groups
    self.inputChannels = inputChannels
    self.outputChannels = outputChannels
    self.inputHeight = inputHeight
    self.inputWidth = inputWidth
  }

  package var padding: Int { kernel / 2 }
  package var taps: Int { kernel * kernel }
  package var outputHeight: Int { (inputHeight + stride - 1) / stride }
  package var outputWidth: Int { (inputWidth + stride - 1) / stride }
  package var inputPixels: Int { inputHeight * inputWidth }
  package var outputPixels: Int { outputHeight * outputWidth }
  /// Input and output channels of one group.
  package var groupInputs: Int { inputChannels / groups }
  package var groupOutputs: Int { outputChannels / groups }
  package var weightCount: Int { taps * groupInputs * outputChannels }
  /// Elements of one group's weights.
  var groupWeights: Int { taps * groupInputs * groupOutputs }
  /// A 1x1 convolution of stride 1 multiplies the images as they lie: no gathering.
  var isPlainProduct: Bool { kernel == 1 && stride == 1 }
}

// MARK: - How the work is cut

extension Convolution {
  /// Elements of gathered columns that a task aims at: 256 KiB, half of a small core's L2.
  private static let columnsTarget = 65_536
  /// Rows of a product below which OpenBLAS's packing of the weights would show.
  private static let minimumProductRows = 256

  /// Rows of output pixels (over all images of a shard) in one forward task. Independent of the
  /// kernel size, so that a block's 3x3 and 1x1 branches share their tasks.
  private var bandHeight: Int {
    let columnsPerRow = max(1, 9 * groupInputs * outputWidth)
    return max(
      1, Self.columnsTarget / columnsPerRow,
      (Self.minimumProductRows + outputWidth - 1) / outputWidth)
  }

  /// Forward tasks of `images` images: runs of output rows, image after image.
  package func forwardBands(images: Int) -> Int {
    (images * outputHeight + bandHeight - 1) / bandHeight
  }

  /// Output rows of one forward task; row r is row r % outputHeight of image r / outputHeight.
  package func forwardBand(_ index: Int, images: Int) -> Range<Int> {
    index * bandHeight..<min((index + 1) * bandHeight, images * outputHeight)
  }

  /// Data-gradient tasks: bands where stride is 1, whole images otherwise.
  package func dataGradientTasks(images: Int) -> Int {
    stride == 1 ? transposed.forwardBands(images: images) : images
  }

  /// The stride-1 convolution whose forward pass is this one's data gradient.
  private var transposed: Convolution {
    Convolution(
      kernel: kernel, stride: 1, groups: groups, inputChannels: outputChannels,
      outputChannels: inputChannels, inputHeight: inputHeight, inputWidth: inputWidth)
  }

  /// Kernel rows that one weight-gradient task covers: all of them where the product would be too
  /// thin otherwise.
  private var kernelRowsPerTask: Int {
    kernel == 3 && groups == 1 && inputChannels >= 32 ? 1 : kernel
  }

  /// Weight-gradient tasks of one shard.
  package var weightGradientTasks: Int { groups * (kernel / kernelRowsPerTask) }

  /// Output rows that one product of the weight gradient sums over.
  private var weightGradientBandHeight: Int {
    max(1, Self.columnsTarget / max(1, 9 * groupInputs * outputWidth), 1024 / outputWidth)
  }

  /// Elements of scratch that any task of this convolution needs.
  package var scratchCount: Int {
    let gathered = taps * groupInputs
    let forward = isPlainProduct ? 0 : bandHeight * outputWidth * gathered
    let weights = isPlainProduct ? 0 : weightGradientBandHeight * outputWidth * gathered
    let data =
      stride == 1
      ? (kernel == 1 ? 0 : transposed.bandHeight * outputWidth * taps * groupOutputs)
      : outputPixels * gathered
    return max(forward, weights, data)
  }
}

// MARK: - Forward

extension Convolution {
  /// Computes the output rows `band` of a shard.
  ///
  /// `input` [images, inputHeight, inputWidth, inputChannels], `output` [images, outputHeight,
  /// outputWidth, outputChannels], both from the shard's first image. With `accumulate` the result
  /// is added to what `output` holds.
  package func forward(
    band: Range<Int>, input: UnsafePointer<Float>, weights: UnsafePointer<Float>,
    output: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>,
    accumulate: Bool = false
  ) {
    let firstPixel = band.lowerBound * outputWidth
    let pixels = band.count * outputWidth
    for group in 0..<groups {
      var columns = input + firstPixel * inputChannels + group * groupInputs
      var columnStride = inputChannels
      if !isPlainProduct {
        gatherColumns(input, band: band, group: group, kernelRows: 0..<kernel, into: scratch)
        columns = UnsafePointer(scratch)
        columnStride = taps * groupInputs
      }
      gemm(
        m: pixels, n: groupOutputs, k: taps * groupInputs, a: columns, lda: columnStride,
        b: weights + group * groupWeights, ldb: groupOutputs, beta: accumulate ? 1 : 0,
        c: output + firstPixel * outputChannels + group * groupOutputs, ldc: outputChannels)
    }
  }

  /// im2col: for every output pixel of `band`, the input values under `kernelRows` of the kernel, in
  /// the order [kernel row][kernel column][cin / groups], zeros outside the image.
  private func gatherColumns(
    _ input: UnsafePointer<Float>, band: Range<Int>, group: Int, kernelRows: Range<Int>,
    into columns: UnsafeMutablePointer<Float>
  ) {
    let channels = groupInputs
    let rowLength = kernel * channels
    let columnLength = kernelRows.count * rowLength
    var column = columns
    for row in band {
      let (image, y) = row.quotientAndRemainder(dividingBy: outputHeight)
      let source = input + image * inputPixels * inputChannels + group * channels
      for x in 0..<outputWidth {
        let left = x * stride - padding
        for kernelRow in kernelRows {
          let target = column + (kernelRow - kernelRows.lowerBound) * rowLength
          let inputRow = y * stride - padding + kernelRow
          guard inputRow >= 0 && inputRow < inputHeight else {
            target.update(repeating: 0, count: rowLength)
            continue
          }
          gatherRow(source + inputRow * inputWidth * inputChannels, left: left, into: target)
        }
        column += columnLength
      }
    }
  }

  /// The input values under one row of the kernel, `left` being the leftmost column it touches.
  @inline(__always)
  private func gatherRow(
    _ row: UnsafePointer<Float>, left: Int, into target: UnsafeMutablePointer<Float>
  ) {
    let channels = groupInputs
    if groups == 1 && left >= 0 && left + kernel <= inputWidth {
      copy(row + left * channels, to: target, count: kernel * channels)
      return
    }
    for offset in 0..<kernel {
      let x = left + offset
      if x >= 0 && x < inputWidth {
        copy(row + x * inputChannels, to: target + offset * channels, count: channels)
      } else {
        (target + offset * channels).update(repeating: 0, count: channels)
      }
    }
  }
}

// MARK: - Data gradient

extension Convolution {
  /// Elements of the weights that `dataGradient` wants in place of the forward ones; 0 where it
  /// takes those.
  package var flippedWeightCount: Int { stride == 1 && kernel == 3 ? weightCount : 0 }

  /// Weights of the transposed convolution: taps reversed, inputs and outputs exchanged.
  package func flipWeights(
    _ weights: UnsafePointer<Float>, into flipped: UnsafeMutablePointer<Float>
  ) {
    for group in 0..<groups {
      for tap in 0..<taps {
        let place = group * groupWeights + tap * groupInputs * groupOutputs
        let mirrored =
          group * groupWeights + (taps - 1 - tap) * groupInputs * groupOutputs
        for output in 0..<groupOutputs {
          let row = flipped + mirrored + output * groupInputs
          for input in 0..<groupInputs {
            row[input] = weights[place + input * groupOutputs + output]
          }
        }
      }
    }
  }

  /// One task of the gradient with respect to the input, of a shard of `images` images.
  ///
  /// `outputGradient` [images, outputHeight, outputWidth, outputChannels]; `inputGradient` is
  /// written, or added to with `accumulate` (always where stride > 1: fill it before). `weights` are
  /// the flipped ones where `flippedWeightCount` is not 0.
  package func dataGradient(
    task: Int, images: Int, outputGradient: UnsafePointer<Float>, weights: UnsafePointer<Float>,
    inputGradient: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>,
    accumulate: Bool
  ) {
    guard stride == 1 else {
      scatterGradient(
        image: task, outputGradient: outputGradient, weights: weights,
        inputGradient: inputGradient, scratch: scratch)
      return
    }
    let band = transposed.forwardBand(task, images: images)
    if kernel == 3 {
      transposed.forward(
        band: band, input: outputGradient, weights: weights, output: inputGradient,
        scratch: scratch, accumulate: accumulate)
      return
    }
    let first = band.lowerBound * outputWidth
    for group in 0..<groups {
      gemm(
        transposeB: true, m: band.count * outputWidth, n: groupInputs, k: groupOutputs,
        a: outputGradient + first * outputChannels + group * groupOutputs, lda: outputChannels,
        b: weights + group * groupWeights, ldb: groupOutputs, beta: accumulate ? 1 : 0,
        c: inputGradient + first * inputChannels + group * groupInputs, ldc: inputChannels)
    }
  }

  /// Stride above 1: the product gives every column's gradient, which is added where it came from.
  private func scatterGradient(
    image: Int, outputGradient: UnsafePointer<Float>, weights: UnsafePointer<Float>,
    inputGradient: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) {
    let columnLength = taps * groupInputs
    for group in 0..<groups {
      gemm(
        transposeB: true, m: outputPixels, n: columnLength, k: groupOutputs,
        a: outputGradient + image * outputPixels * outputChannels + group * groupOutputs,
        lda: outputChannels, b: weights + group * groupWeights, ldb: groupOutputs, beta: 0,
        c: scratch, ldc: columnLength)
      let target = inputGradient + image * inputPixels * inputChannels + group * groupInputs
      for pixel in 0..<outputPixels {
        let (y, x) = pixel.quotientAndRemainder(dividingBy: outputWidth)
        scatterColumn(scratch + pixel * columnLength, y: y, x: x, into: target)
      }
    }
  }

  @inline(__always)
  private func scatterColumn(
    _ column: UnsafePointer<Float>, y: Int, x: Int, into target: UnsafeMutablePointer<Float>
  ) {
    for tap in 0..<taps {
      let inputY = y * stride - padding + tap / kernel
      let inputX = x * stride - padding + tap % kernel
      guard inputY >= 0 && inputY < inputHeight && inputX >= 0 && inputX < inputWidth else {
        continue
      }
      add(
        column + tap * groupInputs, to: target + (inputY * inputWidth + inputX) * inputChannels,
        count: groupInputs)
    }
  }
}

// MARK: - Weight gradient

extension Convolution {
  /// One task of the gradient with respect to the weights: its part of `weightGradient` is the sum
  /// over all images of the shard. Zero images give zeros.
  package func weightGradient(
    task: Int, images: Int, input: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>,
    weightGradient: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) {
    let tasksPerGroup = kernel / kernelRowsPerTask
    let (group, part) = task.quotientAndRemainder(dividingBy: tasksPerGroup)
    let kernelRows = part * kernelRowsPerTask..<(part + 1) * kernelRowsPerTask
    let columnLength = kernelRows.count * kernel * groupInputs
    let target =
      weightGradient + group * groupWeights
      + kernelRows.lowerBound * kernel * groupInputs * groupOutputs
    let rows = images * outputHeight
    if rows == 0 { target.update(repeating: 0, count: columnLength * groupOutputs) }
    var start = 0
    while start < rows {
      let band = start..<min(start + weightGradientBandHeight, rows)
      let firstPixel = start * outputWidth
      var columns = input + firstPixel * inputChannels + group * groupInputs
      var columnStride = inputChannels
      if !isPlainProduct {
        gatherColumns(input, band: band, group: group, kernelRows: kernelRows, into: scratch)
        columns = UnsafePointer(scratch)
        columnStride = columnLength
      }
      gemm(
        transposeA: true, m: columnLength, n: groupOutputs, k: band.count * outputWidth,
        a: columns, lda: columnStride,
        b: outputGradient + firstPixel * outputChannels + group * groupOutputs,
        ldb: outputChannels, beta: start == 0 ? 0 : 1, c: target, ldc: groupOutputs)
      start = band.upperBound
    }
  }
}

/// Copies `count` elements between places that do not overlap; inlined, as runs are short.
@inline(__always)
private func copy(
  _ source: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>, count: Int
) {
  var place = 0
  while place + 16 <= count {
    SIMD16<Float>.load(source + place).store(target + place)
    place += 16
  }
  while place < count {
    target[place] = source[place]
    place += 1
  }
}

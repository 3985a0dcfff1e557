/// The first block of a network, whose images have few channels: its convolutions' outputs are never
/// stored.
///
/// z₃ and z₁ are linear in the patches that a 3x3 kernel sees, few values each. The forward pass
/// computes them once for their sums, and once more, already normalised and added up, as one
/// convolution with a bias: recomputing is cheaper than writing and reading what is the largest
/// activation of a network. The backward pass needs Σ p·g of every patch element p and channel's g
/// alone: with Σ p·z₃ and Σ p·z₁ of the forward pass, all gradients follow from these small sums
/// (docs/numerics.md).
///
/// Images are NHWC, [images][height][width][channels] with at most `maximumChannels`.
package struct StemConvolution: Sendable {
  package static let maximumChannels = 4

  /// The 3x3 convolution; without groups.
  package let convolution: Convolution

  package init(_ convolution: Convolution) { self.convolution = convolution }

  /// Whether a block's 3x3 convolution may be computed so.
  package static func applies(to convolution: Convolution) -> Bool {
    convolution.kernel == 3 && convolution.groups == 1
      && convolution.inputChannels <= maximumChannels
  }

  private var inputs: Int { convolution.inputChannels }
  private var outputs: Int { convolution.outputChannels }
  /// Values of a patch: [ky][kx][channel].
  package var patch: Int { 9 * inputs }
  /// Rows of a band: pixels whose outputs stay in the first two caches.
  private static let bandRows = RowProduct.bandRows
  private var storedOutputs: Int { Panels.storedColumns(outputs) }
  private var paddedRow: Int { (convolution.inputWidth + 2) * inputs }

  // MARK: - Memory

  /// Elements of scratch of one thread.
  package var workerCount: Int {
    func aligned(_ count: Int) -> Int { (count + 15) / 16 * 16 }
    return aligned(RowProduct.scratchCount) + aligned(bandInputRows * paddedRow + 16)
      + aligned(Self.bandRows * outputs) + aligned(Self.bandRows * storedOutputs)
      + aligned((patch + inputs) * storedOutputs) + aligned(2 * patch)
  }

  /// Elements of packed weights of the 3x3 and of the 1x1 convolution.
  package var denseCount: Int { patch * storedOutputs }
  package var pointwiseCount: Int { inputs * storedOutputs }

  /// Input rows that a band sees at most.
  private var bandInputRows: Int { convolution.stride * (bandLines - 1) + 3 }
  /// Lines of a band.
  private var bandLines: Int { max(1, Self.bandRows / convolution.outputWidth) }

  private struct Scratch {
    var product: RowProduct
    var padded: UnsafeMutablePointer<Float>
    var rows: UnsafeMutablePointer<Float>
    var panels: UnsafeMutablePointer<Float>
    var products: UnsafeMutablePointer<Float>
    var offsets: UnsafeMutablePointer<Int>
  }

  private func scratch(_ base: UnsafeMutablePointer<Float>) -> Scratch {
    var next = base
    func take(_ count: Int) -> UnsafeMutablePointer<Float> {
      defer { next += (count + 15) / 16 * 16 }
      return next
    }
    let product = RowProduct(scratch: take(RowProduct.scratchCount))
    let padded = take(bandInputRows * paddedRow + 16)
    let rows = take(Self.bandRows * outputs)
    let panels = take(Self.bandRows * storedOutputs)
    let products = take((patch + inputs) * storedOutputs)
    let offsets = UnsafeMutableRawPointer(take(2 * patch)).bindMemory(
      to: Int.self, capacity: patch)
    for ky in 0..<3 {
      for value in 0..<3 * inputs { offsets[ky * 3 * inputs + value] = ky * paddedRow + value }
    }
    return Scratch(
      product: product, padded: padded, rows: rows, panels: panels, products: products,
      offsets: offsets)
  }

  /// Packs weights [rows][output channels] (`patch` rows of the 3x3, `inputs` of the 1x1).
  package func pack(
    _ weights: UnsafePointer<Float>, rows: Int, into packed: UnsafeMutablePointer<Float>
  ) {
    for panel in 0..<Panels.count(columns: outputs) {
      Panels.pack(
        weights, stride: outputs, depth: rows, columns: outputs, panel: panel, into: packed)
    }
  }

  // MARK: - Bands

  /// Lines of an image, and pixels of each, whose patches lie in `padded`.
  private struct Band {
    var image: Int
    var lines: Range<Int>
    var pixels: Range<Int>
    var count: Int { lines.count * pixels.count }
  }

  private func forEachBand(_ images: Range<Int>, _ body: (Band) -> Void) {
    let (height, width) = (convolution.outputHeight, convolution.outputWidth)
    for image in images {
      var line = 0
      while line < height {
        let end = min(line + bandLines, height)
        var pixel = 0
        while pixel < width {
          let last = min(pixel + Self.bandRows, width)
          body(Band(image: image, lines: line..<end, pixels: pixel..<last))
          pixel = last
        }
        line = end
      }
    }
  }

  /// Copies the lines that a band sees, with a border of zeros.
  private func pad(
    _ band: Band, _ input: UnsafePointer<Float>, into padded: UnsafeMutablePointer<Float>
  ) {
    let line = convolution.inputWidth * inputs
    let first = band.lines.lowerBound * convolution.stride - 1
    let count = convolution.stride * (band.lines.count - 1) + 3
    for row in 0..<count {
      let target = padded + row * paddedRow
      let y = first + row
      guard y >= 0 && y < convolution.inputHeight else {
        target.update(repeating: 0, count: paddedRow)
        continue
      }
      target.update(repeating: 0, count: inputs)
      (target + inputs).update(
        from: input + band.image * convolution.inputPixels * inputs + y * line, count: line)
      (target + inputs + line).update(repeating: 0, count: inputs)
    }
  }

  /// A patch's first value, relative to the padded lines.
  @inline(__always)
  private func place(_ band: Band, line: Int, pixel: Int) -> Int {
    (line - band.lines.lowerBound) * convolution.stride * paddedRow
      + pixel * convolution.stride * inputs
  }

  /// rows ← patches · weights for a band; with `isPointwise` the patches' centres.
  private func multiply(
    _ band: Band, _ scratch: inout Scratch, weights: UnsafePointer<Float>, isPointwise: Bool,
    into rows: UnsafeMutablePointer<Float>
  ) {
    scratch.product.clear()
    let centre = paddedRow + inputs
    for ky in 0..<(isPointwise ? 1 : 3) {
      scratch.product.appendSegment(tap: ky)
      let start = scratch.padded + (isPointwise ? centre : ky * paddedRow)
      var row = 0
      for line in band.lines {
        for pixel in band.pixels {
          scratch.product.setSource(
            row, segment: ky, start + place(band, line: line, pixel: pixel))
          row += 1
        }
      }
    }
    for row in 0..<band.count { scratch.product.setTarget(row, rows + row * outputs) }
    scratch.product.rows = band.count
    scratch.product.multiply(
      depth: isPointwise ? inputs : 3 * inputs, b: weights, bRows: isPointwise ? inputs : patch,
      columns: outputs, panels: 0..<Panels.count(columns: outputs), accumulate: false)
  }

  /// products ← Σ patch · row of `panels` over a band.
  private func sumProducts(
    _ band: Band, _ scratch: Scratch, isPointwise: Bool,
    into products: UnsafeMutablePointer<Float>
  ) {
    let stride = convolution.stride
    let positions = ColumnProduct(
      outer: .init(count: 1, a: 0, b: 0),
      middle: .init(
        count: band.lines.count, a: stride * paddedRow, b: band.pixels.count),
      inner: .init(count: band.pixels.count, a: stride * inputs, b: 1))
    let start =
      scratch.padded + place(band, line: band.lines.lowerBound, pixel: band.pixels.lowerBound)
    for panel in 0..<Panels.count(columns: outputs) {
      positions.multiply(
        a: isPointwise ? start + paddedRow + inputs : start, m: isPointwise ? inputs : patch,
        panels: scratch.panels, depth: band.count, start: 0, columns: storedOutputs, panel: panel,
        c: products + panel * Panels.width, stride: storedOutputs, accumulate: false,
        offsets: isPointwise ? nil : scratch.offsets)
    }
  }

  private func packRows(_ count: Int, _ scratch: Scratch) {
    for panel in 0..<Panels.count(columns: outputs) {
      Panels.pack(
        scratch.rows, stride: outputs, depth: count, columns: outputs, panel: panel,
        into: scratch.panels)
    }
  }

  /// Adds a band's products [rows][stored outputs] to Float64 sums [rows][outputs].
  private func addProducts(
    _ products: UnsafePointer<Float>, rows: Int, to sums: UnsafeMutablePointer<Double>
  ) {
    for row in 0..<rows {
      for channel in 0..<outputs {
        sums[row * outputs + channel] += Double(products[row * storedOutputs + channel])
      }
    }
  }
}

// MARK: - Passes

extension StemConvolution {
  /// Float64 sums of a forward pass: [Σz₃, Σz₃², Σz₁, Σz₁²][channels], then Σ p·z₃ [patch][channels],
  /// Σ x·z₁ [inputs][channels] (x the patch's centre), Σ p [patch].
  package var forwardSums: Int { (4 + patch + inputs) * outputs + patch }
  /// Float64 sums of a backward pass: Σg [channels], Σ p·g [patch][channels].
  package var backwardSums: Int { (1 + patch) * outputs }

  /// Adds up the forward sums of some images.
  ///
  /// `dense`, `pointwise`: packed weights; `scratch`: `workerCount` elements.
  package func addForwardSums(
    _ images: Range<Int>, input: UnsafePointer<Float>, dense: UnsafePointer<Float>,
    pointwise: UnsafePointer<Float>, scratch base: UnsafeMutablePointer<Float>,
    sums: UnsafeMutablePointer<Double>
  ) {
    var scratch = scratch(base)
    let (products, centreProducts) = (scratch.products, scratch.products + patch * storedOutputs)
    let productSums = sums + 4 * outputs
    let patchSums = productSums + (patch + inputs) * outputs
    forEachBand(images) { band in
      pad(band, input, into: scratch.padded)
      for isPointwise in [false, true] {
        multiply(
          band, &scratch, weights: isPointwise ? pointwise : dense, isPointwise: isPointwise,
          into: scratch.rows)
        addChannelSums(
          scratch.rows, rows: band.count, channels: outputs,
          sums: isPointwise ? sums + 2 * outputs : sums)
        packRows(band.count, scratch)
        sumProducts(
          band, scratch, isPointwise: isPointwise, into: isPointwise ? centreProducts : products)
      }
      addPatchSums(band, scratch, to: patchSums)
      addProducts(products, rows: patch + inputs, to: productSums)
    }
  }

  private func addPatchSums(
    _ band: Band, _ scratch: Scratch, to sums: UnsafeMutablePointer<Double>
  ) {
    for line in band.lines {
      for ky in 0..<3 {
        var sum = SIMD16<Float>.zero
        for pixel in band.pixels {
          sum =
            sum
            + SIMD16<Float>.load(
              scratch.padded + place(band, line: line, pixel: pixel) + ky * paddedRow)
        }
        for value in 0..<3 * inputs { sums[ky * 3 * inputs + value] += Double(sum[value]) }
      }
    }
  }

  /// y ← ReLU(x ⋆ fused + bias) of some images: the block's normalised output.
  package func writeOutput(
    _ images: Range<Int>, input: UnsafePointer<Float>, fused: UnsafePointer<Float>,
    bias: UnsafePointer<Float>, scratch base: UnsafeMutablePointer<Float>,
    output: UnsafeMutablePointer<Float>
  ) {
    var scratch = scratch(base)
    forEachBand(images) { band in
      pad(band, input, into: scratch.padded)
      // A band is whole lines, or a part of one: its rows lie side by side in the output.
      let pixel = band.lines.lowerBound * convolution.outputWidth + band.pixels.lowerBound
      let rows = output + (band.image * convolution.outputPixels + pixel) * outputs
      multiply(band, &scratch, weights: fused, isPointwise: false, into: rows)
      addBias(bias, rectify: true, rows: band.count, channels: outputs, to: rows)
    }
  }

  /// Adds up the backward sums of some images; g is `gradient` where `gate` is positive.
  package func addBackwardSums(
    _ images: Range<Int>, input: UnsafePointer<Float>, gradient: UnsafePointer<Float>,
    gate: UnsafePointer<Float>, scratch base: UnsafeMutablePointer<Float>,
    sums: UnsafeMutablePointer<Double>
  ) {
    let scratch = scratch(base)
    forEachBand(images) { band in
      pad(band, input, into: scratch.padded)
      let pixel = band.lines.lowerBound * convolution.outputWidth + band.pixels.lowerBound
      let place = (band.image * convolution.outputPixels + pixel) * outputs
      gateRows(
        gradient + place, by: gate + place, rows: band.count, channels: outputs,
        into: scratch.rows, sums: sums)
      packRows(band.count, scratch)
      sumProducts(band, scratch, isPointwise: false, into: scratch.products)
      addProducts(scratch.products, rows: patch, to: sums + outputs)
    }
  }
}

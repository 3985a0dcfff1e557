/// The first block of a network, whose images have few channels: its convolutions' outputs are never
/// stored.
///
/// z₃ and z₁ are linear in the patches that a 3x3 kernel sees, few values each: all their sums follow
/// from those of the patches, Σ p and Σ p·q of any two elements. The forward pass makes these, and
/// then the convolutions once, already normalised and added up, with a bias: that is cheaper than
/// writing and reading what is the largest activation of a network. The backward pass needs Σ p·g of
/// every patch element p and channel's g alone; all gradients follow from these small sums
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

  var inputs: Int { convolution.inputChannels }
  var outputs: Int { convolution.outputChannels }
  /// Values of a patch: [ky][kx][channel].
  package var patch: Int { 9 * inputs }
  /// Rows of a band: pixels whose outputs stay in the first two caches.
  private static let bandRows = RowProduct.bandRows
  private var storedOutputs: Int { Panels.storedColumns(outputs) }
  var paddedRow: Int { (convolution.inputWidth + 2) * inputs }

  // MARK: - Memory

  /// Elements of scratch of one thread.
  package var workerCount: Int {
    func aligned(_ count: Int) -> Int { (count + 15) / 16 * 16 }
    return aligned(RowProduct.scratchCount) + aligned(bandInputRows * paddedRow + 16)
      + aligned(Self.bandRows * outputs) + aligned(Self.bandRows * storedOutputs)
      + aligned(patch * storedOutputs) + aligned(2 * patch) + aligned(2 * wideCount)
  }

  /// Elements of packed weights of one 3x3 convolution.
  package var denseCount: Int { patch * storedOutputs }
  /// Float64 elements of a band's padded lines and what a vector at their end reads beyond them.
  private var wideCount: Int { bandInputRows * paddedRow + 16 }

  /// Input rows that a band sees at most.
  private var bandInputRows: Int { convolution.stride * (bandLines - 1) + 3 }
  /// Lines of a band.
  private var bandLines: Int { max(1, Self.bandRows / convolution.outputWidth) }

  struct Scratch {
    var product: RowProduct
    var padded: UnsafeMutablePointer<Float>
    var rows: UnsafeMutablePointer<Float>
    var panels: UnsafeMutablePointer<Float>
    var products: UnsafeMutablePointer<Float>
    var offsets: UnsafeMutablePointer<Int>
    /// The padded lines in Float64.
    var wide: UnsafeMutablePointer<Double>
  }

  func scratch(_ base: UnsafeMutablePointer<Float>) -> Scratch {
    var next = base
    func take(_ count: Int) -> UnsafeMutablePointer<Float> {
      defer { next += (count + 15) / 16 * 16 }
      return next
    }
    let product = RowProduct(scratch: take(RowProduct.scratchCount))
    let padded = take(bandInputRows * paddedRow + 16)
    let rows = take(Self.bandRows * outputs)
    let panels = take(Self.bandRows * storedOutputs)
    let products = take(patch * storedOutputs)
    let offsets = UnsafeMutableRawPointer(take(2 * patch)).bindMemory(
      to: Int.self, capacity: patch)
    for ky in 0..<3 {
      for value in 0..<3 * inputs { offsets[ky * 3 * inputs + value] = ky * paddedRow + value }
    }
    let wide = UnsafeMutableRawPointer(take(2 * wideCount)).bindMemory(
      to: Double.self, capacity: wideCount)
    return Scratch(
      product: product, padded: padded, rows: rows, panels: panels, products: products,
      offsets: offsets, wide: wide)
  }

  /// Packs weights [patch][output channels].
  package func pack(
    _ weights: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>
  ) {
    for panel in 0..<Panels.count(columns: outputs) {
      Panels.pack(
        weights, stride: outputs, depth: patch, columns: outputs, panel: panel, into: packed)
    }
  }

  // MARK: - Bands

  /// Lines of an image, and pixels of each, whose patches lie in `padded`.
  struct Band {
    var image: Int
    var lines: Range<Int>
    var pixels: Range<Int>
    var count: Int { lines.count * pixels.count }
  }

  func forEachBand(_ images: Range<Int>, _ body: (Band) -> Void) {
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
  func pad(
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
  func place(_ band: Band, line: Int, pixel: Int) -> Int {
    (line - band.lines.lowerBound) * convolution.stride * paddedRow
      + pixel * convolution.stride * inputs
  }

  /// rows ← patches · weights for a band, and what `finish` makes of it.
  private func multiply(
    _ band: Band, _ scratch: inout Scratch, weights: UnsafePointer<Float>,
    into rows: UnsafeMutablePointer<Float>, finish: OutputFinish
  ) {
    scratch.product.clear()
    for ky in 0..<3 {
      scratch.product.appendSegment(tap: ky)
      let start = scratch.padded + ky * paddedRow
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
      depth: 3 * inputs, b: weights, bRows: patch, columns: outputs,
      panels: 0..<Panels.count(columns: outputs), accumulate: false, finish: finish)
  }

  /// products ← Σ patch · row of `panels` over a band.
  private func sumProducts(_ band: Band, _ scratch: Scratch) {
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
        a: start, m: patch, panels: scratch.panels, depth: band.count, start: 0,
        columns: storedOutputs, panel: panel, c: scratch.products + panel * Panels.width,
        stride: storedOutputs, accumulate: false, offsets: scratch.offsets)
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
  /// Float64 sums of a backward pass: Σg [channels], Σ p·g [patch][channels].
  package var backwardSums: Int { (1 + patch) * outputs }

  /// y ← ReLU(x ⋆ fused + bias) of some images: the block's normalised output; or, without
  /// `rectify`, its branch sum.
  package func writeOutput(
    _ images: Range<Int>, input: UnsafePointer<Float>, fused: UnsafePointer<Float>,
    bias: UnsafePointer<Float>, rectify: Bool = true, scratch base: UnsafeMutablePointer<Float>,
    output: UnsafeMutablePointer<Float>
  ) {
    var scratch = scratch(base)
    let finish = OutputFinish(bias: bias, rectify: rectify)
    forEachBand(images) { band in
      pad(band, input, into: scratch.padded)
      // A band is whole lines, or a part of one: its rows lie side by side in the output.
      let pixel = band.lines.lowerBound * convolution.outputWidth + band.pixels.lowerBound
      let rows = output + (band.image * convolution.outputPixels + pixel) * outputs
      multiply(band, &scratch, weights: fused, into: rows, finish: finish)
    }
  }

  /// Adds up the backward sums of some images; g is `gradient` where `gate` is positive, or
  /// everywhere without a gate.
  package func addBackwardSums(
    _ images: Range<Int>, input: UnsafePointer<Float>, gradient: UnsafePointer<Float>,
    gate: UnsafePointer<Float>?, scratch base: UnsafeMutablePointer<Float>,
    sums: UnsafeMutablePointer<Double>
  ) {
    let scratch = scratch(base)
    forEachBand(images) { band in
      pad(band, input, into: scratch.padded)
      let pixel = band.lines.lowerBound * convolution.outputWidth + band.pixels.lowerBound
      let place = (band.image * convolution.outputPixels + pixel) * outputs
      gateRows(
        GatedGradient(gradient: gradient + place, gate: gate.map { $0 + place }),
        rows: band.count, channels: outputs, into: scratch.rows, sums: sums)
      packRows(band.count, scratch)
      sumProducts(band, scratch)
      addProducts(scratch.products, rows: patch, to: sums + outputs)
    }
  }
}

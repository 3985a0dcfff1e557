/// The direct path: products whose rows are pixels of the images where they lie, one segment for
/// each tap of the kernel. A tap outside the image reads a row of zeros.
extension Convolution {
  /// Images so small that rows are taken position by position over all images: what a position does
  /// not see is then left out of the product.
  private var isTiny: Bool { max(inputPixels, outputPixels) <= 16 }

  // MARK: Forward

  func forwardDirect(
    _ images: Int, _ input: UnsafePointer<Float>, _ weights: UnsafePointer<Float>,
    _ output: UnsafeMutablePointer<Float>, _ space: Workspace, _ pool: WorkerPool,
    _ finish: OutputFinish?, _ before: SliceBody, _ after: SliceBody
  ) {
    forEachChunk(
      images: images, pool: pool, begin: before,
      products: { chunk in
        let bands = Bands(self, images: chunk.images, of: .output, phase: (0, 0))
        pool.run(bands.count * bands.panelGroups) { task, worker in
          let (band, part) = task.quotientAndRemainder(dividingBy: bands.panelGroups)
          multiply(
            bands, band, part: part, input, weights, output, space.worker(worker), false, finish)
        }
      }, finish: after)
  }

  /// output ← input ⋆ weights for some of a shard's images, on one thread.
  package func forward(
    _ images: Range<Int>, input: UnsafePointer<Float>, weights: UnsafePointer<Float>,
    output: UnsafeMutablePointer<Float>, space: Workspace, worker: Int
  ) {
    let bands = Bands(self, images: images, of: .output, phase: (0, 0))
    for task in 0..<bands.count * bands.panelGroups {
      let (band, part) = task.quotientAndRemainder(dividingBy: bands.panelGroups)
      multiply(bands, band, part: part, input, weights, output, space.worker(worker), false)
    }
  }

  // MARK: Data gradient

  /// inputGradient (+)= outputGradient ⋆ weightsᵀ for some of a shard's images, on one thread.
  ///
  /// `outputGradient` begins at the first of `images`, `inputGradient` at the shard's first image.
  package func dataGradient(
    _ images: Range<Int>, outputGradient: UnsafePointer<Float>, weights: UnsafePointer<Float>,
    inputGradient: UnsafeMutablePointer<Float>, accumulate: Bool, space: Workspace, worker: Int
  ) {
    // As if the gradient began at the shard's first image, too.
    let source = outputGradient - images.lowerBound * outputPixels * outputChannels
    for phase in 0..<stride * stride {
      let bands = Bands(
        self, images: images, of: .input, phase: phase.quotientAndRemainder(dividingBy: stride))
      if accumulate && !bands.hasTaps { continue }
      for task in 0..<bands.count * bands.panelGroups {
        let (band, part) = task.quotientAndRemainder(dividingBy: bands.panelGroups)
        multiply(
          bands, band, part: part, source, weights, inputGradient, space.worker(worker), accumulate)
      }
    }
  }

  /// One band's product, for one part of the panels of every group.
  private func multiply(
    _ bands: Bands, _ band: Int, part: Int, _ source: UnsafePointer<Float>,
    _ weights: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>,
    _ scratch: UnsafeMutablePointer<Float>, _ accumulate: Bool, _ finish: OutputFinish? = nil
  ) {
    let isForward = bands.side == .output
    let depth = isForward ? groupInputs : groupOutputs
    let columns = isForward ? groupOutputs : groupInputs
    let panels = Panels.count(columns: columns)
    let range = panels * part / bands.panelGroups..<panels * (part + 1) / bands.panelGroups
    let zeros = scratch + (RowProduct.scratchCount + 15) / 16 * 16
    zeros.update(repeating: 0, count: depth)
    var product = RowProduct(scratch: scratch)
    for group in 0..<groups {
      bands.fill(
        &product, band: band, source: source + group * depth, target: target + group * columns,
        zeros: zeros)
      product.multiply(
        depth: depth,
        b: weights
          + taps * depth
          * (group * Panels.storedColumns(columns) + range.lowerBound * Panels.width),
        bRows: taps * depth, columns: columns, panels: range, accumulate: accumulate,
        finish: finish?.advanced(by: group * columns))
    }
  }

  // MARK: Weight gradient

  /// Elements of a chunk's output gradient as panels.
  package func gradientPanelCount(images: Int) -> Int {
    images * outputPixels * groups * Panels.storedColumns(groupOutputs)
  }

  /// Packs the output gradient of some images of a chunk into panels over channels.
  ///
  /// `outputGradient` and `panels` begin at the chunk's first image.
  package func packGradient(
    _ images: Range<Int>, of chunk: Range<Int>, outputGradient: UnsafePointer<Float>,
    panels: UnsafeMutablePointer<Float>
  ) {
    let depth = chunk.count * outputPixels
    let first = (images.lowerBound - chunk.lowerBound) * outputPixels
    for group in 0..<groups {
      let target = panels + group * depth * Panels.storedColumns(groupOutputs)
      for panel in 0..<Panels.count(columns: groupOutputs) {
        let stored = Panels.storedWidth(panel: panel, columns: groupOutputs)
        let column = panel * Panels.width
        let rows = images.count * outputPixels
        // The panel's rows from `first` on, as if the panel had only these.
        Panels.pack(
          outputGradient + first * outputChannels + group * groupOutputs, stride: outputChannels,
          depth: rows, columns: groupOutputs, panel: panel,
          into: target + column * depth + first * stored - column * rows)
      }
    }
  }

  /// Tasks of the weight gradient of a chunk.
  package var weightGradientTasks: Int {
    groups * Panels.count(columns: groupOutputs) * taps
  }

  /// Positions whose operands a panel's sums read again and again: 120 where a group has at most 96
  /// inputs, so that all channels of them stay in the first cache; else 256, as the gradient of many
  /// channels is loaded and stored once for every run of positions. From measurements at development
  /// time.
  private var runPositions: Int { groupInputs <= 96 ? 120 : 256 }

  /// Adds a chunk's part to the weight gradient (or begins it), for one tap, group and panel.
  package func addWeightGradient(
    task: Int, chunk: Range<Int>, input: UnsafePointer<Float>, panels: UnsafePointer<Float>,
    weightGradient: UnsafeMutablePointer<Float>
  ) {
    let (place, tap) = task.quotientAndRemainder(dividingBy: taps)
    let (group, panel) = place.quotientAndRemainder(
      dividingBy: Panels.count(columns: groupOutputs))
    let (ky, kx) = tap.quotientAndRemainder(dividingBy: kernel)
    let ys = positions(ky, size: inputHeight, outputs: outputHeight)
    let xs = positions(kx, size: inputWidth, outputs: outputWidth)
    let c =
      weightGradient + group * groupWeights + tap * groupInputs * groupOutputs
      + panel * Panels.width
    let depth = chunk.count * outputPixels
    let b = panels + group * depth * Panels.storedColumns(groupOutputs)
    var accumulate = chunk.lowerBound > 0
    let rowsTogether = max(1, runPositions / outputWidth)
    let imagesTogether = max(1, runPositions / outputPixels)
    var first = 0
    repeat {
      let images = min(imagesTogether, chunk.count - first)
      var row = ys.lowerBound
      repeat {
        let rows = min(rowsTogether, ys.upperBound - row)
        let y = row * stride + ky - padding
        let x = xs.lowerBound * stride + kx - padding
        let pixel = (chunk.lowerBound + first) * inputPixels + y * inputWidth + x
        ColumnProduct(
          outer: .init(count: images, a: inputPixels * inputChannels, b: outputPixels),
          middle: .init(count: rows, a: stride * inputWidth * inputChannels, b: outputWidth),
          inner: .init(count: xs.count, a: stride * inputChannels, b: 1)
        ).multiply(
          a: input + pixel * inputChannels + group * groupInputs, m: groupInputs, panels: b,
          depth: depth, start: first * outputPixels + row * outputWidth + xs.lowerBound,
          columns: groupOutputs, panel: panel, c: c, stride: groupOutputs, accumulate: accumulate)
        accumulate = true
        row += rows
      } while row < ys.upperBound
      first += images
    } while first < chunk.count
  }

  /// Output positions that see the image at offset `k` of the kernel, along one axis; at least an
  /// empty range in bounds.
  func positions(_ k: Int, size: Int, outputs: Int) -> Range<Int> {
    let first = k < padding ? (padding - k + stride - 1) / stride : 0
    let last = (size - 1 + padding - k) / stride
    let end = size - 1 + padding - k < 0 ? 0 : min(outputs, last + 1)
    return min(first, end)..<end
  }

  func backwardDirect(
    _ images: Int, _ pass: BackwardPass, _ space: Workspace, _ pool: WorkerPool,
    _ before: SliceBody, _ besideTasks: Int, _ beside: BesideBody, _ after: SliceBody
  ) {
    forEachChunk(
      images: images, pool: pool,
      begin: { images, chunk, worker in
        before(images, chunk, worker)
        packGradient(
          images, of: chunk.images, outputGradient: pass.outputGradient, panels: space.shared)
      },
      products: { chunk in
        let dataTasks = pass.inputGradient == nil ? 0 : slices(images: chunk.images.count)
        let ownTasks = dataTasks + weightGradientTasks
        pool.run(ownTasks + besideTasks) { task, worker in
          if task < dataTasks {
            dataGradient(slice(task, of: chunk.images), of: chunk, pass, space, worker)
          } else if task < ownTasks {
            addWeightGradient(
              task: task - dataTasks, chunk: chunk.images, input: pass.input,
              panels: space.shared, weightGradient: pass.weightGradient)
          } else {
            beside(chunk, task - ownTasks, worker)
          }
        }
      }, finish: after)
  }

  private func dataGradient(
    _ images: Range<Int>, of chunk: ImageChunk, _ pass: BackwardPass, _ space: Workspace,
    _ worker: Int
  ) {
    guard let inputGradient = pass.inputGradient else { return }
    dataGradient(
      images,
      outputGradient: pass.outputGradient
        + (images.lowerBound - chunk.images.lowerBound) * outputPixels * outputChannels,
      weights: pass.weights, inputGradient: inputGradient, accumulate: pass.accumulate,
      space: space, worker: worker)
  }

  // MARK: Bands

  /// Rows of a product, in bands: the pixels of one side of the convolution (for the input side those
  /// of one phase of the stride) over some images.
  struct Bands {
    enum Side { case output, input }

    let convolution: Convolution
    let images: Range<Int>
    let side: Side
    let phase: (y: Int, x: Int)

    init(_ convolution: Convolution, images: Range<Int>, of side: Side, phase: (Int, Int)) {
      self.convolution = convolution
      self.images = images
      self.side = side
      self.phase = phase
    }

    private var isForward: Bool { side == .output }
    /// Distance between a phase's pixels.
    private var step: Int { isForward ? 1 : convolution.stride }
    private var targetHeight: Int {
      isForward ? convolution.outputHeight : convolution.inputHeight
    }
    private var targetWidth: Int { isForward ? convolution.outputWidth : convolution.inputWidth }
    private var sourceHeight: Int {
      isForward ? convolution.inputHeight : convolution.outputHeight
    }
    private var sourceWidth: Int { isForward ? convolution.inputWidth : convolution.outputWidth }
    private var sourceChannels: Int {
      isForward ? convolution.inputChannels : convolution.outputChannels
    }
    private var targetChannels: Int {
      isForward ? convolution.outputChannels : convolution.inputChannels
    }
    /// Pixels of the phase along each axis.
    private var height: Int { max(0, (targetHeight - phase.y + step - 1) / step) }
    private var width: Int { max(0, (targetWidth - phase.x + step - 1) / step) }
    private var positions: Int { height * width }
    private var rows: Int { images.count * positions }

    private var bandsOfPosition: Int {
      (images.count + RowProduct.bandRows - 1) / RowProduct.bandRows
    }

    /// Bands of all images.
    var count: Int {
      convolution.isTiny
        ? positions * bandsOfPosition
        : (rows + RowProduct.bandRows - 1) / RowProduct.bandRows
    }

    /// Parts into which the panels are cut, so that few bands still are many tasks.
    var panelGroups: Int {
      let columns = isForward ? convolution.groupOutputs : convolution.groupInputs
      return max(1, min(Panels.count(columns: columns), 8 / max(1, count)))
    }

    /// Whether any tap of the kernel belongs to the phase.
    var hasTaps: Bool { (0..<convolution.taps).contains { offset($0) != nil } }

    /// Where tap `tap` reads, relative to the phase's pixel (0, 0), in source pixels; nil where it
    /// belongs to another phase.
    private func offset(_ tap: Int) -> (y: Int, x: Int)? {
      let (ky, kx) = tap.quotientAndRemainder(dividingBy: convolution.kernel)
      let (padding, stride) = (convolution.padding, convolution.stride)
      if isForward { return (ky - padding, kx - padding) }
      let (y, x) = (phase.y + padding - ky, phase.x + padding - kx)
      func isMultiple(_ value: Int) -> Bool { value % stride == 0 }
      guard isMultiple(y) && isMultiple(x) else { return nil }
      return (y / stride, x / stride)
    }

    /// How far a tap moves in the source from one pixel of the phase to the next.
    private var move: Int { isForward ? convolution.stride : 1 }

    /// Sets up one band's rows and segments.
    func fill(
      _ product: inout RowProduct, band: Int, source: UnsafePointer<Float>,
      target: UnsafeMutablePointer<Float>, zeros: UnsafePointer<Float>
    ) {
      product.clear()
      if convolution.isTiny {
        fillPosition(&product, band, source, target)
      } else {
        let count = count
        fillRows(&product, rows * band / count..<rows * (band + 1) / count, source, target, zeros)
      }
    }

    /// Rows are images, at one position: the taps that it does not see are left out.
    private func fillPosition(
      _ product: inout RowProduct, _ band: Int, _ source: UnsafePointer<Float>,
      _ target: UnsafeMutablePointer<Float>
    ) {
      let (position, part) = band.quotientAndRemainder(dividingBy: bandsOfPosition)
      let (row, column) = position.quotientAndRemainder(dividingBy: width)
      let first = images.lowerBound + images.count * part / bandsOfPosition
      let end = images.lowerBound + images.count * (part + 1) / bandsOfPosition
      let sourceImage = sourceHeight * sourceWidth * sourceChannels
      for tap in 0..<convolution.taps {
        guard let offset = offset(tap) else { continue }
        let (y, x) = (row * move + offset.y, column * move + offset.x)
        guard y >= 0 && y < sourceHeight && x >= 0 && x < sourceWidth else { continue }
        let segment = product.segments
        product.appendSegment(tap: tap)
        let place = source + (y * sourceWidth + x) * sourceChannels
        for image in first..<end {
          product.setSource(image - first, segment: segment, place + image * sourceImage)
        }
      }
      let pixel = (phase.y + row * step) * targetWidth + phase.x + column * step
      for image in first..<end {
        product.setTarget(
          image - first, target + (image * targetHeight * targetWidth + pixel) * targetChannels)
      }
      product.rows = end - first
    }

    /// Rows are pixels, image after image.
    private func fillRows(
      _ product: inout RowProduct, _ range: Range<Int>, _ source: UnsafePointer<Float>,
      _ target: UnsafeMutablePointer<Float>, _ zeros: UnsafePointer<Float>
    ) {
      for tap in 0..<convolution.taps {
        guard let offset = offset(tap) else { continue }
        let segment = product.segments
        product.appendSegment(tap: tap)
        forEachLine(range) { row, image, y, xs in
          let sourceY = y * move + offset.y
          let isInside = sourceY >= 0 && sourceY < sourceHeight
          let line = (image * sourceHeight + sourceY) * sourceWidth
          var place = row
          var sourceX = xs.lowerBound * move + offset.x
          for _ in xs {
            let pixel = isInside && sourceX >= 0 && sourceX < sourceWidth
            product.setSource(
              place, segment: segment,
              pixel ? source + (line + sourceX) * sourceChannels : zeros)
            place += 1
            sourceX += move
          }
        }
      }
      forEachLine(range) { row, image, y, xs in
        let line = (image * targetHeight + phase.y + y * step) * targetWidth + phase.x
        for x in xs {
          product.setTarget(
            row + x - xs.lowerBound, target + (line + x * step) * targetChannels)
        }
      }
      product.rows = range.count
    }

    /// Calls `body` for every run of a band's rows that lie on one line of an image: the first row's
    /// number in the band, the image, the line, the pixels of the line.
    @inline(__always)
    private func forEachLine(
      _ range: Range<Int>, _ body: (_ row: Int, _ image: Int, _ y: Int, _ xs: Range<Int>) -> Void
    ) {
      var row = range.lowerBound
      while row < range.upperBound {
        let (line, x) = row.quotientAndRemainder(dividingBy: width)
        let (image, y) = line.quotientAndRemainder(dividingBy: height)
        let end = min(width, x + range.upperBound - row)
        body(row - range.lowerBound, images.lowerBound + image, y, x..<end)
        row += end - x
      }
    }
  }
}

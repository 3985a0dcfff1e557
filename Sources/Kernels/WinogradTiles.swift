/// Winograd F(4x4, 3x3) between images and the 36 matrices of its products.
///
/// An image of `height` x `width` is cut into tiles of 4x4 outputs, each of which sees 6x6 inputs
/// beginning one pixel above and to the left. Images are NHWC. The matrices are [36][tiles][channels]
/// or, for the operand of `ColumnProduct`, [36] times panels. Every function works on one image,
/// whose tiles are `firstTile ..< firstTile + count` of the `tiles` that a chunk of images has, and
/// takes a `patch` of `patchCount` elements of scratch.
struct WinogradTiles {
  static let frequencies = 36
  /// Elements of scratch of one transform.
  static let patchCount = 36 * 8
  /// Channels that are transformed together.
  private static let lanes = 8

  var height: Int
  var width: Int
  var channels: Int

  var rows: Int { (height + 3) / 4 }
  var columns: Int { (width + 3) / 4 }
  /// Tiles of one image.
  var count: Int { rows * columns }

  /// One of the 36 matrices: where a channel's column begins, and how far apart tiles and matrices
  /// are.
  struct Matrices {
    var base: UnsafeMutablePointer<Float>
    var matrixStride: Int
    var tileStride: Int
  }

  /// Calls `body` for every tile and every group of channels that is transformed together.
  @inline(__always)
  private func forEachTile(
    _ channels: Range<Int>, wide: (_ row: Int, _ column: Int, _ tile: Int, _ channel: Int) -> Void,
    single: (_ row: Int, _ column: Int, _ tile: Int, _ channel: Int) -> Void
  ) {
    var tile = 0
    for row in 0..<rows {
      for column in 0..<columns {
        var channel = channels.lowerBound
        while channel + Self.lanes <= channels.upperBound {
          wide(row, column, tile, channel)
          channel += Self.lanes
        }
        while channel < channels.upperBound {
          single(row, column, tile, channel)
          channel += 1
        }
        tile += 1
      }
    }
  }

  // MARK: - Inputs

  /// V = Bᵀ·d·B of an image's channels `channels`, into row-major matrices or panels.
  ///
  /// `place(channel)`: where the channel's column begins in every matrix, at tile 0 of the image.
  func transformInput(
    _ image: UnsafePointer<Float>, channels range: Range<Int>, matrixStride: Int,
    patch: UnsafeMutablePointer<Float>,
    place: (_ channel: Int) -> (target: UnsafeMutablePointer<Float>, tileStride: Int)
  ) {
    forEachTile(range) { row, column, tile, channel in
      let (target, stride) = place(channel)
      transformInputTile(
        SIMD8<Float>.self, image + channel, row, column, patch, target + tile * stride, matrixStride)
    } single: { row, column, tile, channel in
      let (target, stride) = place(channel)
      transformInputTile(
        Float.self, image + channel, row, column, patch, target + tile * stride, matrixStride)
    }
  }

  @inline(__always)
  private func transformInputTile<L: Lanes>(
    _: L.Type, _ image: UnsafePointer<Float>, _ row: Int, _ column: Int,
    _ patch: UnsafeMutablePointer<Float>, _ target: UnsafeMutablePointer<Float>,
    _ matrixStride: Int
  ) {
    let (top, left) = (4 * row - 1, 4 * column - 1)
    let (first, end) = (max(0, -top), min(6, height - top))
    let stride = width * channels
    for j in 0..<6 {
      let x = left + j
      var d: Six<L> = (.zero, .zero, .zero, .zero, .zero, .zero)
      if x >= 0 && x < width {
        let source = image + top * stride + x * channels
        if first == 0 { d.0 = L.load(source) }
        d.1 = L.load(source + stride)
        if end > 2 { d.2 = L.load(source + 2 * stride) }
        if end > 3 { d.3 = L.load(source + 3 * stride) }
        if end > 4 { d.4 = L.load(source + 4 * stride) }
        if end > 5 { d.5 = L.load(source + 5 * stride) }
        d = inputLine(d)
      }
      storeColumn(d, patch + j * L.width)
    }
    for i in 0..<6 {
      storeMatrices(inputLine(loadRow(L.self, patch + i * 6 * L.width)), target, i, matrixStride)
    }
  }

  /// dx += B·m·Bᵀ of an image's channels: tiles overlap by two pixels, and their parts add up in the
  /// order of the tiles.
  func addInputGradient(
    _ matrices: Matrices, patch: UnsafeMutablePointer<Float>, to image: UnsafeMutablePointer<Float>
  ) {
    forEachTile(0..<channels) { row, column, tile, channel in
      addInputGradientTile(
        SIMD8<Float>.self, matrices.base + tile * matrices.tileStride + channel,
        matrices.matrixStride, row, column, patch, image + channel)
    } single: { row, column, tile, channel in
      addInputGradientTile(
        Float.self, matrices.base + tile * matrices.tileStride + channel, matrices.matrixStride,
        row, column, patch, image + channel)
    }
  }

  @inline(__always)
  private func addInputGradientTile<L: Lanes>(
    _: L.Type, _ source: UnsafePointer<Float>, _ matrixStride: Int, _ row: Int, _ column: Int,
    _ patch: UnsafeMutablePointer<Float>, _ image: UnsafeMutablePointer<Float>
  ) {
    for j in 0..<6 {
      let d = inputGradientLine(loadMatrixColumn(L.self, source, j, matrixStride))
      storeColumn(d, patch + j * L.width)
    }
    let (top, left) = (4 * row - 1, 4 * column - 1)
    for i in max(0, -top)..<min(6, height - top) {
      let d = inputGradientLine(loadRow(L.self, patch + i * 6 * L.width))
      let target = image + ((top + i) * width + left) * channels
      let end = width - left
      if left >= 0 { (L.load(target) + d.0).store(target) }
      add(d.1, target + channels)
      if end > 2 { add(d.2, target + 2 * channels) }
      if end > 3 { add(d.3, target + 3 * channels) }
      if end > 4 { add(d.4, target + 4 * channels) }
      if end > 5 { add(d.5, target + 5 * channels) }
    }
  }

  @inline(__always)
  private func add<L: Lanes>(_ value: L, _ target: UnsafeMutablePointer<Float>) {
    (L.load(target) + value).store(target)
  }

  // MARK: - Outputs

  /// y = Aᵀ·m·A of an image's channels.
  func transformOutput(
    _ matrices: Matrices, patch: UnsafeMutablePointer<Float>,
    into image: UnsafeMutablePointer<Float>
  ) {
    forEachTile(0..<channels) { row, column, tile, channel in
      transformOutputTile(
        SIMD8<Float>.self, matrices.base + tile * matrices.tileStride + channel,
        matrices.matrixStride, row, column, patch, image + channel)
    } single: { row, column, tile, channel in
      transformOutputTile(
        Float.self, matrices.base + tile * matrices.tileStride + channel, matrices.matrixStride,
        row, column, patch, image + channel)
    }
  }

  @inline(__always)
  private func transformOutputTile<L: Lanes>(
    _: L.Type, _ source: UnsafePointer<Float>, _ matrixStride: Int, _ row: Int, _ column: Int,
    _ patch: UnsafeMutablePointer<Float>, _ image: UnsafeMutablePointer<Float>
  ) {
    for j in 0..<6 {
      let y = outputLine(loadMatrixColumn(L.self, source, j, matrixStride))
      let target = patch + j * L.width
      y.0.store(target)
      y.1.store(target + 6 * L.width)
      y.2.store(target + 12 * L.width)
      y.3.store(target + 18 * L.width)
    }
    let (top, left) = (4 * row, 4 * column)
    for i in 0..<min(4, height - top) {
      let y = outputLine(loadRow(L.self, patch + i * 6 * L.width))
      let target = image + ((top + i) * width + left) * channels
      y.0.store(target)
      if left + 1 < width { y.1.store(target + channels) }
      if left + 2 < width { y.2.store(target + 2 * channels) }
      if left + 3 < width { y.3.store(target + 3 * channels) }
    }
  }

  /// T = A·dy·Aᵀ of an image's channels, into row-major matrices.
  func transformOutputGradient(
    _ image: UnsafePointer<Float>, patch: UnsafeMutablePointer<Float>, into matrices: Matrices
  ) {
    forEachTile(0..<channels) { row, column, tile, channel in
      transformOutputGradientTile(
        SIMD8<Float>.self, image + channel, row, column, patch,
        matrices.base + tile * matrices.tileStride + channel, matrices.matrixStride)
    } single: { row, column, tile, channel in
      transformOutputGradientTile(
        Float.self, image + channel, row, column, patch,
        matrices.base + tile * matrices.tileStride + channel, matrices.matrixStride)
    }
  }

  @inline(__always)
  private func transformOutputGradientTile<L: Lanes>(
    _: L.Type, _ image: UnsafePointer<Float>, _ row: Int, _ column: Int,
    _ patch: UnsafeMutablePointer<Float>, _ target: UnsafeMutablePointer<Float>,
    _ matrixStride: Int
  ) {
    let (top, left) = (4 * row, 4 * column)
    let stride = width * channels
    let end = height - top
    for j in 0..<4 {
      var y: (L, L, L, L) = (.zero, .zero, .zero, .zero)
      if left + j < width {
        let source = image + top * stride + (left + j) * channels
        y.0 = L.load(source)
        if end > 1 { y.1 = L.load(source + stride) }
        if end > 2 { y.2 = L.load(source + 2 * stride) }
        if end > 3 { y.3 = L.load(source + 3 * stride) }
      }
      storeColumn(outputGradientLine(y), patch + j * L.width)
    }
    for i in 0..<6 {
      let row = patch + i * 6 * L.width
      let line = outputGradientLine(
        (
          L.load(row), L.load(row + L.width), L.load(row + 2 * L.width), L.load(row + 3 * L.width)
        ))
      storeMatrices(line, target, i, matrixStride)
    }
  }
}

// MARK: - Lines of a patch and of the matrices

/// One column of a 6x6 patch, [6][6][lanes].
@inline(__always)
func storeColumn<L: Lanes>(_ d: Six<L>, _ patch: UnsafeMutablePointer<Float>) {
  d.0.store(patch)
  d.1.store(patch + 6 * L.width)
  d.2.store(patch + 12 * L.width)
  d.3.store(patch + 18 * L.width)
  d.4.store(patch + 24 * L.width)
  d.5.store(patch + 30 * L.width)
}

@inline(__always)
func loadRow<L: Lanes>(_: L.Type, _ row: UnsafePointer<Float>) -> Six<L> {
  (
    L.load(row), L.load(row + L.width), L.load(row + 2 * L.width), L.load(row + 3 * L.width),
    L.load(row + 4 * L.width), L.load(row + 5 * L.width)
  )
}

/// Row `i` of a tile's 6x6 matrices.
@inline(__always)
func storeMatrices<L: Lanes>(
  _ line: Six<L>, _ target: UnsafeMutablePointer<Float>, _ i: Int, _ stride: Int
) {
  let row = target + 6 * i * stride
  line.0.store(row)
  line.1.store(row + stride)
  line.2.store(row + 2 * stride)
  line.3.store(row + 3 * stride)
  line.4.store(row + 4 * stride)
  line.5.store(row + 5 * stride)
}

/// Column `j` of a tile's 6x6 matrices.
@inline(__always)
func loadMatrixColumn<L: Lanes>(
  _: L.Type, _ source: UnsafePointer<Float>, _ j: Int, _ stride: Int
) -> Six<L> {
  let column = source + j * stride
  return (
    L.load(column), L.load(column + 6 * stride), L.load(column + 12 * stride),
    L.load(column + 18 * stride), L.load(column + 24 * stride), L.load(column + 30 * stride)
  )
}

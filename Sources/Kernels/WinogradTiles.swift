/// Winograd F(mxm, 3x3) between images and the matrices of its products.
///
/// An image of `height` x `width` is cut into tiles of mxm outputs, each of which sees (m + 2)²
/// inputs beginning one pixel above and to the left. Images are NHWC. The matrices are
/// [(m + 2)²][tiles][channels] or, for the operand of `ColumnProduct`, as many times panels. Every
/// function works on one image and takes `scratchCount` elements of scratch.
struct WinogradTiles<F: WinogradLines> {
  /// Products of a tile: the matrices' number.
  @inline(__always) static var frequencies: Int { F.size * F.size }
  /// Elements of scratch of one transform: a patch, and a line of it.
  static var scratchCount: Int { (F.size * F.size + F.size) * lanes }
  /// Channels that are transformed together.
  private static var lanes: Int { 8 }

  var height: Int
  var width: Int
  var channels: Int

  var rows: Int { (height + F.outputs - 1) / F.outputs }
  var columns: Int { (width + F.outputs - 1) / F.outputs }
  /// Tiles of one image.
  var count: Int { rows * columns }

  /// Row-major matrices: where channel 0 of an image's first tile lies in the first of them, and how
  /// far apart matrices and tiles are.
  struct Matrices {
    var base: UnsafeMutablePointer<Float>
    var matrixStride: Int
    var tileStride: Int
  }

  /// One tile of an image, and where a group of its channels lies in the matrices.
  private struct Tile {
    /// The first output pixel.
    var top: Int
    var left: Int
    var index: Int
    var channel: Int
  }

  /// Calls `body` for every tile and every group of channels that is transformed together.
  @inline(__always)
  private func forEachTile(
    _ channels: Range<Int>, wide: (Tile) -> Void, single: (Tile) -> Void
  ) {
    var tile = Tile(top: 0, left: 0, index: 0, channel: 0)
    for row in 0..<rows {
      for column in 0..<columns {
        (tile.top, tile.left) = (row * F.outputs, column * F.outputs)
        tile.channel = channels.lowerBound
        while tile.channel + Self.lanes <= channels.upperBound {
          wide(tile)
          tile.channel += Self.lanes
        }
        while tile.channel < channels.upperBound {
          single(tile)
          tile.channel += 1
        }
        tile.index += 1
      }
    }
  }

  @inline(__always)
  private func pixel(_ y: Int, _ x: Int) -> Int { (y * width + x) * channels }

  /// V = Bᵀ·d·B of an image's channels `range`, into row-major matrices or panels.
  ///
  /// `place(channel)`: where the channel's column begins in the first matrix, at tile 0 of the image,
  /// and the distance between tiles.
  func transformInput(
    _ image: UnsafePointer<Float>, channels range: Range<Int>, matrixStride: Int,
    scratch: UnsafeMutablePointer<Float>,
    place: (_ channel: Int) -> (target: UnsafeMutablePointer<Float>, tileStride: Int)
  ) {
    forEachTile(range) { tile in
      let (target, stride) = place(tile.channel)
      transformInput(
        SIMD8<Float>.self, image, tile, scratch, target + tile.index * stride, matrixStride)
    } single: { tile in
      let (target, stride) = place(tile.channel)
      transformInput(Float.self, image, tile, scratch, target + tile.index * stride, matrixStride)
    }
  }

  @inline(__always)
  private func transformInput<L: Lanes>(
    _: L.Type, _ image: UnsafePointer<Float>, _ tile: Tile,
    _ patch: UnsafeMutablePointer<Float>, _ target: UnsafeMutablePointer<Float>,
    _ matrixStride: Int
  ) {
    let line = patch + Self.frequencies * L.width
    let (top, left) = (tile.top - 1, tile.left - 1)
    let isInside = top >= 0 && top + F.size <= height
    for j in 0..<F.size {
      let column = patch + j * L.width
      let x = left + j
      guard x >= 0 && x < width else {
        for i in 0..<F.size { L.zero.store(column + i * F.size * L.width) }
        continue
      }
      let source = image + pixel(top, x) + tile.channel
      if isInside {
        F.input(
          L.self, Line(source, every: width * channels, into: column, every: F.size * L.width))
      } else {
        for i in 0..<F.size {
          let isPixel = top + i >= 0 && top + i < height
          (isPixel ? L.load(source + pixel(i, 0)) : L.zero).store(line + i * L.width)
        }
        F.input(L.self, Line(line, every: L.width, into: column, every: F.size * L.width))
      }
    }
    for i in 0..<F.size {
      F.input(
        L.self,
        Line(
          patch + i * F.size * L.width, every: L.width, into: target + i * F.size * matrixStride,
          every: matrixStride))
    }
  }

  /// dx += B·m·Bᵀ of an image: tiles overlap by two pixels, and their parts add up in the order of
  /// the tiles.
  func addInputGradient(
    _ matrices: Matrices, scratch: UnsafeMutablePointer<Float>,
    to image: UnsafeMutablePointer<Float>
  ) {
    forEachTile(0..<channels) { tile in
      addInputGradient(SIMD8<Float>.self, matrices, tile, scratch, image)
    } single: { tile in
      addInputGradient(Float.self, matrices, tile, scratch, image)
    }
  }

  @inline(__always)
  private func addInputGradient<L: Lanes>(
    _: L.Type, _ matrices: Matrices, _ tile: Tile, _ patch: UnsafeMutablePointer<Float>,
    _ image: UnsafeMutablePointer<Float>
  ) {
    let line = patch + Self.frequencies * L.width
    let source = matrices.base + tile.index * matrices.tileStride + tile.channel
    let stride = matrices.matrixStride
    for j in 0..<F.size {
      F.inputGradient(
        L.self,
        Line(
          source + j * stride, every: F.size * stride, into: patch + j * L.width,
          every: F.size * L.width))
    }
    let (top, left) = (tile.top - 1, tile.left - 1)
    let (first, end) = (max(0, -left), min(F.size, width - left))
    for i in max(0, -top)..<min(F.size, height - top) {
      F.inputGradient(
        L.self,
        Line(patch + i * F.size * L.width, every: L.width, into: line, every: L.width))
      for j in first..<end {
        let target = image + pixel(top + i, left + j) + tile.channel
        (L.load(target) + L.load(line + j * L.width)).store(target)
      }
    }
  }

  /// y = Aᵀ·m·A of an image; with `finish` what that makes of it.
  func transformOutput(
    _ matrices: Matrices, scratch: UnsafeMutablePointer<Float>,
    into image: UnsafeMutablePointer<Float>, finish: OutputFinish?
  ) {
    switch finish {
    case nil: transformOutput(matrices, scratch, image, PlainOutput())
    case .some(let finish) where finish.rectify:
      transformOutput(matrices, scratch, image, RectifiedOutput(bias: finish.bias))
    case .some(let finish):
      transformOutput(matrices, scratch, image, BiasedOutput(bias: finish.bias))
    }
  }

  @inline(__always)
  private func transformOutput<Epilogue: OutputEpilogue>(
    _ matrices: Matrices, _ scratch: UnsafeMutablePointer<Float>,
    _ image: UnsafeMutablePointer<Float>, _ epilogue: Epilogue
  ) {
    forEachTile(0..<channels) { tile in
      transformOutput(SIMD8<Float>.self, matrices, tile, scratch, image, epilogue)
    } single: { tile in
      transformOutput(Float.self, matrices, tile, scratch, image, epilogue)
    }
  }

  @inline(__always)
  private func transformOutput<L: Lanes, Epilogue: OutputEpilogue>(
    _: L.Type, _ matrices: Matrices, _ tile: Tile, _ patch: UnsafeMutablePointer<Float>,
    _ image: UnsafeMutablePointer<Float>, _ epilogue: Epilogue
  ) {
    let line = patch + Self.frequencies * L.width
    let source = matrices.base + tile.index * matrices.tileStride + tile.channel
    let stride = matrices.matrixStride
    for j in 0..<F.size {
      F.output(
        L.self,
        Line(
          source + j * stride, every: F.size * stride, into: patch + j * L.width,
          every: F.size * L.width))
    }
    let isInside = tile.left + F.outputs <= width
    for i in 0..<min(F.outputs, height - tile.top) {
      let row = patch + i * F.size * L.width
      let target = image + pixel(tile.top + i, tile.left) + tile.channel
      if isInside {
        F.output(
          L.self,
          FinishedLine(
            line: Line(row, every: L.width, into: target, every: channels), epilogue: epilogue,
            channel: tile.channel))
      } else {
        F.output(L.self, Line(row, every: L.width, into: line, every: L.width))
        for j in 0..<width - tile.left {
          epilogue.apply(L.load(line + j * L.width), channel: tile.channel)
            .store(target + j * channels)
        }
      }
    }
  }

  /// T = A·dy·Aᵀ of an image, into row-major matrices.
  func transformOutputGradient(
    _ image: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>, into matrices: Matrices
  ) {
    forEachTile(0..<channels) { tile in
      transformOutputGradient(SIMD8<Float>.self, image, tile, scratch, matrices)
    } single: { tile in
      transformOutputGradient(Float.self, image, tile, scratch, matrices)
    }
  }

  @inline(__always)
  private func transformOutputGradient<L: Lanes>(
    _: L.Type, _ image: UnsafePointer<Float>, _ tile: Tile,
    _ patch: UnsafeMutablePointer<Float>, _ matrices: Matrices
  ) {
    let line = patch + Self.frequencies * L.width
    let isInside = tile.top + F.outputs <= height
    for j in 0..<F.outputs {
      let column = patch + j * L.width
      guard tile.left + j < width else {
        for i in 0..<F.size { L.zero.store(column + i * F.size * L.width) }
        continue
      }
      let source = image + pixel(tile.top, tile.left + j) + tile.channel
      if isInside {
        F.outputGradient(
          L.self, Line(source, every: width * channels, into: column, every: F.size * L.width))
      } else {
        for i in 0..<F.outputs {
          (tile.top + i < height ? L.load(source + pixel(i, 0)) : L.zero).store(line + i * L.width)
        }
        F.outputGradient(L.self, Line(line, every: L.width, into: column, every: F.size * L.width))
      }
    }
    let target = matrices.base + tile.index * matrices.tileStride + tile.channel
    for i in 0..<F.size {
      F.outputGradient(
        L.self,
        Line(
          patch + i * F.size * L.width, every: L.width,
          into: target + i * F.size * matrices.matrixStride, every: matrices.matrixStride))
    }
  }
}

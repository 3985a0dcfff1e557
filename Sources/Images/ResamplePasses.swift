// The two hot loops of a resize, on bytes and integer weights (`ResampleWeights`).

/// Bytes that the pass along the columns makes at a time.
private let vectorBytes = 32

/// Something for each of four rows, which are made together because they share weights.
private typealias Four<Element> = (Element, Element, Element, Element)

/// The pass along the rows.
struct HorizontalPass {
  /// 1 or 3.
  var channels: Int
  /// Pixels of a row of the result.
  var columns: Int
  var flipped: Bool

  /// Makes `rowCount` rows; strides are in bytes.
  ///
  /// Reads a byte beyond each row of the source (`PixelBuffer.slack`).
  ///
  /// - Parameter first: the pixel, of those that the table counts, with which the source's rows
  ///   begin.
  func run(
    _ table: ResampleWeights, startingAt first: Int = 0, _ source: UnsafePointer<UInt8>,
    _ sourceStride: Int, into target: UnsafeMutablePointer<UInt8>, _ targetStride: Int,
    rowCount: Int
  ) {
    let (taps, last) = (table.taps, rowCount - 1)
    table.withTables { starts, weights in
      for row in stride(from: 0, to: rowCount, by: 4) {
        // Where rows run out, the last one again, which repeats its result.
        let rows = (row, min(row + 1, last), min(row + 2, last), min(row + 3, last))
        let from = (
          source + rows.0 * sourceStride, source + rows.1 * sourceStride,
          source + rows.2 * sourceStride, source + rows.3 * sourceStride
        )
        let into = (
          target + rows.0 * targetStride, target + rows.1 * targetStride,
          target + rows.2 * targetStride, target + rows.3 * targetStride
        )
        // With a constant for the count, the compiler unrolls the loop over taps.
        switch (channels, taps) {
        case (1, _): makeGrey(starts, first, weights, taps: taps, from, into)
        case (_, 2): makeColor(starts, first, weights, taps: 2, from, into)
        case (_, 3): makeColor(starts, first, weights, taps: 3, from, into)
        case (_, 4): makeColor(starts, first, weights, taps: 4, from, into)
        case (_, 5): makeColor(starts, first, weights, taps: 5, from, into)
        default: makeColor(starts, first, weights, taps: taps, from, into)
        }
      }
    }
  }

  /// Red, green and blue: a vector is a pixel and a byte more, which the next pixel overwrites.
  @inline(__always)
  private func makeColor(
    _ starts: UnsafePointer<Int>, _ first: Int, _ weights: UnsafePointer<Int32>, taps: Int,
    _ from: Four<UnsafePointer<UInt8>>, _ into: Four<UnsafeMutablePointer<UInt8>>
  ) {
    @inline(__always)
    func pixels(_ index: Int) -> Four<SIMD4<UInt8>> {
      let weights = weights + index &* taps
      var offset = (starts[index] &- first) &* 3
      let half = SIMD4<Int32>(repeating: ResampleWeights.half)
      var sums = (half, half, half, half)
      for tap in 0..<taps {
        let weight = SIMD4(repeating: weights[tap])
        sums.0 &+= widened4(from.0 + offset) &* weight
        sums.1 &+= widened4(from.1 + offset) &* weight
        sums.2 &+= widened4(from.2 + offset) &* weight
        sums.3 &+= widened4(from.3 + offset) &* weight
        offset &+= 3
      }
      return (
        rounded4(sums.0, taps), rounded4(sums.1, taps), rounded4(sums.2, taps),
        rounded4(sums.3, taps)
      )
    }
    var (index, byte) = (flipped ? columns - 1 : 0, 0)
    let step = flipped ? -1 : 1
    for _ in 0..<columns - 1 {
      let pixels = pixels(index)
      store4(pixels.0, into.0 + byte)
      store4(pixels.1, into.1 + byte)
      store4(pixels.2, into.2 + byte)
      store4(pixels.3, into.3 + byte)
      index &+= step
      byte &+= 3
    }
    let last = pixels(index)
    store3(last.0, into.0 + byte)
    store3(last.1, into.1 + byte)
    store3(last.2, into.2 + byte)
    store3(last.3, into.3 + byte)
  }

  /// One channel: a vector's lanes are the rows.
  private func makeGrey(
    _ starts: UnsafePointer<Int>, _ first: Int, _ weights: UnsafePointer<Int32>, taps: Int,
    _ from: Four<UnsafePointer<UInt8>>, _ into: Four<UnsafeMutablePointer<UInt8>>
  ) {
    for column in 0..<columns {
      let index = flipped ? columns &- 1 &- column : column
      let weights = weights + index &* taps
      var pixel = starts[index] &- first
      var sum = SIMD4<Int32>(repeating: ResampleWeights.half)
      for tap in 0..<taps {
        let pixels = SIMD4<Int32>(
          Int32(from.0[pixel]), Int32(from.1[pixel]), Int32(from.2[pixel]), Int32(from.3[pixel]))
        sum &+= pixels &* weights[tap]
        pixel &+= 1
      }
      let bytes = rounded4(sum, taps)
      into.0[column] = bytes[0]
      into.1[column] = bytes[1]
      into.2[column] = bytes[2]
      into.3[column] = bytes[3]
    }
  }
}

/// The pass along the columns, for one row of the result.
///
/// Reads and writes up to 31 bytes beyond the rows (`PixelBuffer.slack`): rows are to be made from
/// the first to the last.
///
/// - Parameters:
///   - source: the first of `taps` rows, `stride` bytes apart.
///   - count: bytes of the row.
func combineRows(
  _ source: UnsafePointer<UInt8>, _ stride: Int, _ weights: UnsafePointer<Int32>, taps: Int,
  count: Int, into target: UnsafeMutablePointer<UInt8>
) {
  // With a constant for the count, the compiler keeps the weights in registers.
  switch taps {
  case 2: combine(source, stride, weights, taps: 2, count: count, target)
  case 3: combine(source, stride, weights, taps: 3, count: count, target)
  case 4: combine(source, stride, weights, taps: 4, count: count, target)
  case 5: combine(source, stride, weights, taps: 5, count: count, target)
  default: combine(source, stride, weights, taps: taps, count: count, target)
  }
}

@inline(__always)
private func combine(
  _ source: UnsafePointer<UInt8>, _ stride: Int, _ weights: UnsafePointer<Int32>, taps: Int,
  count: Int, _ target: UnsafeMutablePointer<UInt8>
) {
  var byte = 0
  while byte < count {
    var pixels = UnsafeRawPointer(source + byte)
    var low = SIMD16<Int32>(repeating: ResampleWeights.half)
    var high = low
    for tap in 0..<taps {
      let weight = SIMD16(repeating: weights[tap])
      low &+= widened16(pixels) &* weight
      high &+= widened16(pixels + 16) &* weight
      pixels += stride
    }
    let bytes = UnsafeMutableRawPointer(target + byte)
    bytes.storeBytes(of: rounded16(low, taps), as: SIMD16<UInt8>.self)
    (bytes + 16).storeBytes(of: rounded16(high, taps), as: SIMD16<UInt8>.self)
    byte &+= vectorBytes
  }
}

@inline(__always)
private func widened4(_ bytes: UnsafePointer<UInt8>) -> SIMD4<Int32> {
  SIMD4(truncatingIfNeeded: UnsafeRawPointer(bytes).loadUnaligned(as: SIMD4<UInt8>.self))
}

@inline(__always)
private func widened16(_ bytes: UnsafeRawPointer) -> SIMD16<Int32> {
  SIMD16(truncatingIfNeeded: bytes.loadUnaligned(as: SIMD16<UInt8>.self))
}

@inline(__always)
private func store4(_ pixel: SIMD4<UInt8>, _ bytes: UnsafeMutablePointer<UInt8>) {
  UnsafeMutableRawPointer(bytes).storeBytes(of: pixel, as: SIMD4<UInt8>.self)
}

@inline(__always)
private func store3(_ pixel: SIMD4<UInt8>, _ bytes: UnsafeMutablePointer<UInt8>) {
  for channel in 0..<3 { bytes[channel] = pixel[channel] }
}

/// Weights that may each be rounded up by a half, and that together reach 256 with pixels of 255.
private let manyTaps = 16384

// Sums are not negative; above 255 only where very many weights were rounded up.
@inline(__always)
private func rounded4(_ sum: SIMD4<Int32>, _ taps: Int) -> SIMD4<UInt8> {
  let pixel = sum &>> ResampleWeights.precision
  return SIMD4(
    truncatingIfNeeded: taps < manyTaps ? pixel : pointwiseMin(pixel, SIMD4(repeating: 255)))
}

@inline(__always)
private func rounded16(_ sum: SIMD16<Int32>, _ taps: Int) -> SIMD16<UInt8> {
  let pixels = sum &>> ResampleWeights.precision
  return SIMD16(
    truncatingIfNeeded: taps < manyTaps ? pixels : pointwiseMin(pixels, SIMD16(repeating: 255)))
}

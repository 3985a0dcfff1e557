/// Bytes to what the network sees: (value / 255 - mean) / deviation of its channel, computed in
/// Float64 and rounded once.
package struct Normalisation: Sendable {
  /// Value of every byte, [256][channel].
  private let table: [Float]
  private let channels: Int
  /// Where multiplying and adding gives the table's very values.
  private let lines: Lines?

  /// Factors and summands of twelve values, which are whole pixels of one channel and of three.
  private struct Lines {
    var scales: (SIMD4<Double>, SIMD4<Double>, SIMD4<Double>)
    var offsets: (SIMD4<Double>, SIMD4<Double>, SIMD4<Double>)
  }

  private static let group = 12

  /// A mean and a deviation above 0 for each channel.
  package init(mean: [Double], deviation: [Double]) {
    precondition(mean.count == deviation.count && !mean.isEmpty, "a mean for every deviation")
    channels = mean.count
    table = (0..<256).flatMap { value in
      zip(mean, deviation).map { Float((Double(value) / 255 - $0) / $1) }
    }
    lines = Self.lines(
      table, scales: deviation.map { 1 / (255 * $0) },
      offsets: zip(mean, deviation).map { -$0 / $1 })
  }

  /// What a byte becomes in a channel.
  package func value(of byte: UInt8, channel: Int) -> Float {
    table[channels * Int(byte) + channel]
  }

  /// The last bits of Float64 differ from those of the division, which shows in a Float32 only
  /// beside the middle between two: nearly never, and then the table serves.
  private static func lines(_ table: [Float], scales: [Double], offsets: [Double]) -> Lines? {
    let channels = scales.count
    guard channels == 1 || channels == 3 else { return nil }
    for (index, value) in table.enumerated() {
      let (byte, channel) = index.quotientAndRemainder(dividingBy: channels)
      guard Float(Double(byte) * scales[channel] + offsets[channel]) == value else { return nil }
    }
    func four(_ values: [Double], _ first: Int) -> SIMD4<Double> {
      SIMD4((0..<4).map { values[(first + $0) % channels] })
    }
    return Lines(
      scales: (four(scales, 0), four(scales, 4), four(scales, 8)),
      offsets: (four(offsets, 0), four(offsets, 4), four(offsets, 8)))
  }

  /// Writes the values of an image's bytes, Float32 HWC.
  package func apply(to image: PixelBuffer, into values: UnsafeMutablePointer<Float>) {
    precondition(image.channels == channels, "an image of other channels")
    var first = 0
    if let lines { first = apply(lines, UnsafePointer(image.base), image.count, values) }
    table.withUnsafeBufferPointer { table in
      guard let table = table.baseAddress else { return }
      for index in first..<image.count {
        values[index] = table[channels &* Int(image.base[index]) &+ index % channels]
      }
    }
  }

  /// Whole groups; returns how many values that were.
  private func apply(
    _ lines: Lines, _ bytes: UnsafePointer<UInt8>, _ count: Int,
    _ values: UnsafeMutablePointer<Float>
  ) -> Int {
    let (scales, offsets) = (lines.scales, lines.offsets)
    let end = count - count % Self.group
    let target = UnsafeMutableRawPointer(values)
    var index = 0
    while index < end {
      let place = target + index &* 4
      place.storeBytes(of: line(bytes + index, scales.0, offsets.0), as: SIMD4<Float>.self)
      (place + 16).storeBytes(
        of: line(bytes + index + 4, scales.1, offsets.1), as: SIMD4<Float>.self)
      (place + 32).storeBytes(
        of: line(bytes + index + 8, scales.2, offsets.2), as: SIMD4<Float>.self)
      index &+= Self.group
    }
    return end
  }

  /// Written value by value: in this form the compiler converts vectors.
  @inline(__always)
  private func line(
    _ bytes: UnsafePointer<UInt8>, _ scale: SIMD4<Double>, _ offset: SIMD4<Double>
  ) -> SIMD4<Float> {
    let whole = SIMD4<Int32>(
      truncatingIfNeeded: UnsafeRawPointer(bytes).loadUnaligned(as: SIMD4<UInt8>.self))
    let exact =
      SIMD4(Double(whole[0]), Double(whole[1]), Double(whole[2]), Double(whole[3])) * scale + offset
    return SIMD4(Float(exact[0]), Float(exact[1]), Float(exact[2]), Float(exact[3]))
  }
}

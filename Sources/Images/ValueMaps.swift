// Operations that give every value of a channel another (Pillow's `ImageOps`).

/// Bytes mapped at a time; up to 31 behind an image lie in its slack.
private let vectorBytes = 32

/// How often each value of a channel occurs.
typealias Histogram = InlineArray<256, UInt32>
/// What each value of a channel becomes.
typealias ValueMap = InlineArray<256, UInt8>

/// Keeps the highest `bits` bits, 1...8, of every value.
func keepHighestBits(of image: PixelBuffer, _ bits: Int) {
  precondition((1...8).contains(bits), "posterize keeps 1 to 8 bits")
  let mask = SIMD32(repeating: UInt8(truncatingIfNeeded: 0xFF << (8 - bits)))
  mapVectors(of: image) { $0 & mask }
}

/// Inverts values that are not below the threshold.
func invertValues(of image: PixelBuffer, from threshold: Double) {
  // Values are integers: those below the threshold are those below its ceiling.
  let first = min(max(threshold.rounded(.up), 0), 256)
  if first == 256 { return }
  let lowest = SIMD32(repeating: UInt8(first))
  mapVectors(of: image) { $0.replacing(with: 255 &- $0, where: $0 .>= lowest) }
}

@inline(__always)
private func mapVectors(
  of image: PixelBuffer, _ change: (SIMD32<UInt8>) -> SIMD32<UInt8>
) {
  let values = UnsafeMutableRawPointer(image.base)
  for byte in stride(from: 0, to: image.count, by: vectorBytes) {
    let vector = (values + byte).loadUnaligned(as: SIMD32<UInt8>.self)
    (values + byte).storeBytes(of: change(vector), as: SIMD32<UInt8>.self)
  }
}

/// Maps each channel by what its histogram asks for; nil leaves it.
func mapChannels(_ image: PixelBuffer, by map: (Histogram) -> ValueMap?) {
  let (values, count, channels) = (image.base, image.count, image.channels)
  for channel in 0..<channels {
    // Two counts, since a row of equal values would wait for its own last addition.
    var (even, odd) = (Histogram(repeating: 0), Histogram(repeating: 0))
    let last = count - channels
    for byte in stride(from: channel, to: last, by: 2 * channels) {
      even[Int(values[byte])] &+= 1
      odd[Int(values[byte + channels])] &+= 1
    }
    if image.height * image.width % 2 == 1 { even[Int(values[last + channel])] &+= 1 }
    for value in 0..<256 { even[value] &+= odd[value] }
    guard let map = map(even) else { continue }
    for byte in stride(from: channel, to: count, by: channels) {
      values[byte] = map[Int(values[byte])]
    }
  }
}

/// Stretches the values that occur to 0...255 (`ImageOps.autocontrast`).
func stretching(_ histogram: Histogram) -> ValueMap? {
  guard let lowest = (0..<256).first(where: { histogram[$0] > 0 }),
    let highest = (0..<256).last(where: { histogram[$0] > 0 }), highest > lowest
  else { return nil }
  let scale = 255 / Double(highest - lowest)
  let offset = Double(-lowest) * scale
  return ValueMap { UInt8(min(max(Double($0) * scale + offset, 0), 255)) }
}

/// Spreads the values that occur over 0...255, each as wide as it is frequent
/// (`ImageOps.equalize`); nil where there are too few values or pixels.
func equalizing(_ histogram: Histogram) -> ValueMap? {
  guard let highest = (0..<256).last(where: { histogram[$0] > 0 }) else { return nil }
  var below = 0
  for value in 0..<highest { below += Int(histogram[value]) }
  let step = below / 255
  if step == 0 { return nil }
  var sum = step / 2
  return ValueMap { value in
    defer { sum += Int(histogram[value]) }
    return UInt8(min(sum / step, 255))
  }
}

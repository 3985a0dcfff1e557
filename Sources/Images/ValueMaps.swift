// Operations that give every value of a channel another (Pillow's `ImageOps`).

/// How often each of 256 values occurs.
typealias Histogram = UnsafeMutablePointer<UInt32>
/// What each of 256 values becomes.
typealias ValueMap = UnsafeMutablePointer<UInt8>

/// Keeps the highest `bits` bits, 1...8, of every value.
func keepHighestBits(of image: PixelBuffer, _ bits: Int) {
  precondition((1...8).contains(bits), "posterize keeps 1 to 8 bits")
  let mask = UInt8(truncatingIfNeeded: 0xFF << (8 - bits))
  let values = image.base
  for byte in 0..<image.count { values[byte] &= mask }
}

/// Inverts values that are not below the threshold.
func invertValues(of image: PixelBuffer, from threshold: Double) {
  // Values are integers: those below the threshold are those below its ceiling.
  let ceiling = min(max(threshold.rounded(.up), 0), 256)
  if ceiling == 256 { return }
  let first = UInt8(ceiling)
  let values = image.base
  for byte in 0..<image.count {
    let value = values[byte]
    values[byte] = value < first ? value : 255 &- value
  }
}

/// Maps each channel as `fill` says, which gets the channel's histogram and a map to write, and
/// returns whether to map at all.
func mapChannels(_ image: PixelBuffer, by fill: (Histogram, ValueMap) -> Bool) {
  let (values, count, channels) = (image.base, image.count, image.channels)
  // Kilobytes of stack: no memory is allocated.
  withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 256) { histogram in
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { map in
      guard let histogram = histogram.baseAddress, let map = map.baseAddress else { return }
      for channel in 0..<channels {
        countValues(values + channel, count: image.height * image.width, step: channels, histogram)
        guard fill(histogram, map) else { continue }
        var byte = channel
        while byte < count {
          values[byte] = map[Int(values[byte])]
          byte &+= channels
        }
      }
    }
  }
}

private func countValues(
  _ values: UnsafeMutablePointer<UInt8>, count: Int, step: Int, _ histogram: Histogram
) {
  withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 256) { odd in
    guard let odd = odd.baseAddress else { return }
    histogram.initialize(repeating: 0, count: 256)
    odd.initialize(repeating: 0, count: 256)
    // Two counts, since equal neighbours would wait for each other's addition.
    var value = values
    for _ in 0..<count / 2 {
      histogram[Int(value[0])] &+= 1
      odd[Int(value[step])] &+= 1
      value += 2 &* step
    }
    if count % 2 == 1 { histogram[Int(value[0])] &+= 1 }
    for value in 0..<256 { histogram[value] &+= odd[value] }
  }
}

/// Stretches the values that occur to 0...255 (`ImageOps.autocontrast`).
func stretching(_ histogram: Histogram, _ map: ValueMap) -> Bool {
  guard let lowest = (0..<256).first(where: { histogram[$0] > 0 }),
    let highest = (0..<256).last(where: { histogram[$0] > 0 }), highest > lowest
  else { return false }
  let scale = 255 / Double(highest - lowest)
  let offset = Double(-lowest) * scale
  for value in 0..<256 {
    map[value] = UInt8(min(max(Double(value) * scale + offset, 0), 255))
  }
  return true
}

/// Spreads the values that occur over 0...255, each as wide as it is frequent
/// (`ImageOps.equalize`), unless there are too few values or pixels.
func equalizing(_ histogram: Histogram, _ map: ValueMap) -> Bool {
  guard let highest = (0..<256).last(where: { histogram[$0] > 0 }) else { return false }
  let step = (0..<highest).reduce(0) { $0 + Int(histogram[$1]) } / 255
  if step == 0 { return false }
  var sum = step / 2
  for value in 0..<256 {
    map[value] = UInt8(min(sum / step, 255))
    sum += Int(histogram[value])
  }
  return true
}

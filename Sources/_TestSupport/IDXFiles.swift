import Foundation

/// IDX files that a test writes itself.
package enum IDXFiles {
  /// The four files under their standard names. Each class is a pattern, half hidden in noise.
  package static func write(
    to scratch: ScratchDirectory, directory: String, trainCount: Int, testCount: Int, side: Int = 16
  ) throws {
    try FileManager.default.createDirectory(
      atPath: scratch.path(directory), withIntermediateDirectories: true)
    for (split, count, seed) in [("train", trainCount, 1), ("t10k", testCount, 2)] {
      let labels = (0..<count).map { UInt8($0 % 10) }
      var noise = UInt64(seed)
      let pixels = labels.flatMap { label in
        (0..<side * side).map { place -> UInt8 in
          noise = noise &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
          let stripe =
            (place % side * (Int(label) % 5 + 1) / 4 + place / side * (Int(label) / 5)) % 4
          return UInt8(stripe * 40) + UInt8(noise >> 57)
        }
      }
      try scratch.write(
        file([count, side, side], pixels), to: "\(directory)/\(split)-images-idx3-ubyte")
      try scratch.write(file([count], labels), to: "\(directory)/\(split)-labels-idx1-ubyte")
    }
  }

  /// Header and elements; `type` 8 is unsigned bytes.
  package static func file(_ dimensions: [Int], _ elements: [UInt8], type: UInt8 = 8) -> [UInt8] {
    let sizes = dimensions.flatMap { size in
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: size >> $0) }
    }
    return [0, 0, type, UInt8(dimensions.count)] + sizes + elements
  }
}

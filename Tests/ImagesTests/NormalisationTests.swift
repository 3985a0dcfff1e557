import Images
import Testing

/// Every byte of every channel gives the very value of the formula, computed and looked up.
@Suite struct NormalisationTests {
  @Test(arguments: [
    ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), ([0.5], [0.5]), ([0.2860], [0.3530]),
    ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]), ([0, 0, 0], [1, 1, 1]),
    ([0.1, 0.9], [0.3, 0.7]), ([-3, 4, 1e-9, 0.5], [1e-3, 1000, 7, 0.1]),
    ([1.0 / 3, 2.0 / 3, 0.7], [1.0 / 7, 3, 1e-6]),
  ])
  func isTheFormula(mean: [Double], deviation: [Double]) {
    let normalisation = Normalisation(mean: mean, deviation: deviation)
    let channels = mean.count
    for width in [1, 3, 7, 256] {
      let image = PixelBuffer()
      image.reshape(height: 1, width: width, channels: channels)
      for index in 0..<image.count {
        image.base[index] = UInt8(truncatingIfNeeded: index / channels)
      }
      var values = [Float](repeating: .nan, count: image.count + 16)
      values.withUnsafeMutableBufferPointer {
        if let base = $0.baseAddress { normalisation.apply(to: image, into: base) }
      }
      for index in 0..<image.count {
        let channel = index % channels
        let value = Float((Double(image.base[index]) / 255 - mean[channel]) / deviation[channel])
        #expect(values[index] == value, "byte \(image.base[index]) of channel \(channel)")
      }
      #expect(values[image.count...].allSatisfy(\.isNaN), "written beyond the image")
    }
  }
}

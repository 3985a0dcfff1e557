import Images
import Testing

/// Every byte of every channel gives the very value of the formula, computed and looked up.
@Suite struct NormalisationTests {
  struct Case: Sendable {
    var mean: [Double]
    var deviation: [Double]

    init(_ mean: [Double], _ deviation: [Double]) {
      (self.mean, self.deviation) = (mean, deviation)
    }
  }

  static let cases = [
    Case([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), Case([0.5], [0.5]),
    Case([0.2860], [0.3530]), Case([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    Case([0, 0, 0], [1, 1, 1]), Case([0.1, 0.9], [0.3, 0.7]),
    Case([-3, 4, 1e-9, 0.5], [1e-3, 1000, 7, 0.1]),
    Case([1.0 / 3, 2.0 / 3, 0.7], [1.0 / 7, 3, 1e-6]),
  ]

  @Test(arguments: cases) func isTheFormula(_ numbers: Case) {
    let (mean, deviation) = (numbers.mean, numbers.deviation)
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
      let untouched = values[image.count...].allSatisfy { $0.isNaN }
      #expect(untouched, "written beyond the image")
    }
  }
}

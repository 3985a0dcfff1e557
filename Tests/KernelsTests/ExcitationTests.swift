import Kernels
import Testing
import _TestSupport

/// Squeeze-and-excitation's passes against their formulas, for channel counts with and without
/// remainders.
@Suite struct ExcitationTests {
  static let channelCounts = [1, 15, 16, 17, 48, 50]
  static let rowCounts = [1, 31, 33, 100]

  @Test(arguments: channelCounts, rowCounts) func excitedSum(channels: Int, rows: Int) {
    let values = testValues(rows * channels)
    let scale = testValues(channels, seed: 2).map { abs($0) }
    var (plain, summed) = (values, values)
    var sums = [Double](repeating: 1, count: 2 * channels)
    excite(&plain, rows: rows, channels: channels, scale: scale, sums: nil)
    excite(&summed, rows: rows, channels: channels, scale: scale, sums: &sums)
    #expect(plain == summed)
    for channel in 0..<channels {
      var (sum, squares) = (1.0, 1.0)
      for row in 0..<rows {
        let place = row * channels + channel
        #expect(plain[place] == max(values[place] * scale[channel], 0))
        sum += Double(plain[place])
        squares += Double(plain[place]) * Double(plain[place])
      }
      #expect(abs(sums[channel] - sum) < 1e-5)
      #expect(abs(sums[channels + channel] - squares) < 1e-5)
    }
  }

  @Test(arguments: channelCounts, rowCounts) func gradient(channels: Int, rows: Int) {
    let (dy, y) = (testValues(rows * channels), testValues(rows * channels, seed: 3))
    let (scale, shift) = (testValues(channels, seed: 4), testValues(channels, seed: 5))
    var sums = [Double](repeating: 1, count: channels)
    addProductSums(dy, y, rows: rows, channels: channels, sums: &sums)
    var gradient = dy
    exciteGradient(
      &gradient, gate: y, rows: rows, channels: channels, scale: scale, shift: shift)
    for channel in 0..<channels {
      var sum = 1.0
      for row in 0..<rows {
        let place = row * channels + channel
        sum += Double(dy[place]) * Double(y[place])
        let passed = y[place] > 0 ? scale[channel] * dy[place] : 0
        #expect(abs(gradient[place] - (passed + shift[channel])) < 1e-6)
      }
      #expect(abs(sums[channel] - sum) < 1e-5)
    }
  }

  @Test func sigmoidIsItsFormula() {
    var values: [Float] = [0, 1, -1, 20, -20, 200, -200, -10_000, .infinity, -.infinity, .nan]
    sigmoid(&values, count: values.count)
    #expect(values[0] == 0.5)
    #expect(abs(values[1] - 0.731_058_6) < 1e-7 && abs(values[2] - 0.268_941_4) < 1e-7)
    #expect(values[3] == 1 && abs(values[4] - 2.061_153_6e-9) < 1e-15)
    #expect(values[5] == 1 && values[6] >= 0 && values[6] < 1e-37)
    #expect(values[7] == 0 && values[8] == 1 && values[9] == 0 && values[10].isNaN)
  }

  /// What is not finite must reach the check of the step.
  @Test func excitationLetsNaNThrough() {
    var values: [Float] = [.nan, 1]
    excite(&values, rows: 1, channels: 2, scale: [0.5, .nan], sums: nil)
    #expect(values[0].isNaN && values[1].isNaN)
  }

  /// Without a gate the gradient passes everywhere, as with one that is open everywhere.
  @Test(arguments: channelCounts) func passesWithoutAGate(channels: Int) {
    let rows = 37
    let count = rows * channels
    let arrays = [
      testValues(count, seed: 6), testValues(count, seed: 7), testValues(count, seed: 8),
      [Float](repeating: 1, count: count),
    ]
    let pointers = arrays.map { array in
      let pointer = UnsafeMutablePointer<Float>.allocate(capacity: count)
      pointer.initialize(from: array, count: count)
      return pointer
    }
    defer { for pointer in pointers { pointer.deallocate() } }
    let constants = testValues(2 * 5 * channels, seed: 9)
    func run(gate: UnsafePointer<Float>?) -> (sums: [Double], gradients: [[Float]]) {
      let gated = GatedGradient(gradient: pointers[0], gate: gate)
      var sums = [Double](repeating: 0, count: 3 * channels)
      addBackwardSums(
        gated,
        branches: Branches(
          dense: UnsafePointer(pointers[1]), pointwise: UnsafePointer(pointers[2]), identity: nil),
        rows: rows, channels: channels, standardisation: constants, sums: &sums)
      let gradients = [0, 1].map { _ in
        UnsafeMutablePointer<Float>.allocate(capacity: count)
      }
      defer { for pointer in gradients { pointer.deallocate() } }
      applyBackward(
        gated,
        branches: Branches(
          dense: BackwardBranch(value: pointers[1], gradient: gradients[0]),
          pointwise: BackwardBranch(value: pointers[2], gradient: gradients[1]), identity: nil),
        rows: rows, channels: channels, constants: constants)
      return (sums, gradients.map { Array(UnsafeBufferPointer(start: $0, count: count)) })
    }
    let (open, none) = (run(gate: pointers[3]), run(gate: nil))
    #expect(open.sums == none.sums)
    #expect(open.gradients == none.gradients)
    #expect(none.gradients[0].contains { $0 != 0 })
  }
}

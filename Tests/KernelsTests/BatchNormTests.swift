import Kernels
import Testing
import _TestSupport

/// The BatchNorm passes against their formulas, for channel counts with and without remainders.
@Suite struct BatchNormTests {
  static let channelCounts = [1, 3, 15, 16, 17, 32, 48, 49]
  static let rowCounts = [1, 2, 31, 32, 33, 100]

  @Test(arguments: channelCounts, rowCounts)
  func channelSums(channels: Int, rows: Int) {
    let values = testValues(rows * channels)
    var sums = [Double](repeating: 1, count: 2 * channels)
    addChannelSums(values, rows: rows, channels: channels, sums: &sums)
    for channel in 0..<channels {
      let column = (0..<rows).map { Double(values[$0 * channels + channel]) }
      #expect(abs(sums[channel] - 1 - column.reduce(0, +)) < 1e-5)
      #expect(abs(sums[channels + channel] - 1 - column.map { $0 * $0 }.reduce(0, +)) < 1e-5)
    }
  }

  @Test(arguments: channelCounts, [true, false])
  func normaliseAddRectifyIsItsFormula(channels: Int, hasIdentity: Bool) {
    let rows = 37
    let count = rows * channels
    let (z3, z1, x) = (testValues(count), testValues(count, seed: 2), testValues(count, seed: 3))
    let constants = testValues(4 * channels, seed: 4)
    var output = [Float](repeating: .nan, count: count)
    var sums = [Double](repeating: 0, count: 2 * channels)
    z3.withUnsafeBufferPointer { z3 in
      z1.withUnsafeBufferPointer { z1 in
        x.withUnsafeBufferPointer { x in
          guard let dense = z3.baseAddress, let pointwise = z1.baseAddress else { return }
          normaliseAddRectify(
            Branches(
              dense: dense, pointwise: pointwise, identity: hasIdentity ? x.baseAddress : nil),
            output: &output, rows: rows, channels: channels, coefficients: constants, sums: &sums)
        }
      }
    }
    for place in 0..<count {
      let channel = place % channels
      var expected = constants[3 * channels + channel] + constants[channel] * z3[place]
      expected += constants[channels + channel] * z1[place]
      if hasIdentity { expected += constants[2 * channels + channel] * x[place] }
      #expect(abs(output[place] - max(expected, 0)) < 1e-6)
    }
    let total = output.map(Double.init).reduce(0, +)
    #expect(abs(sums[..<channels].reduce(0, +) - total) < 1e-4)
  }

  @Test func rectifyLetsNaNThrough() {
    var output: [Float] = [0]
    let nan: [Float] = [.nan]
    nan.withUnsafeBufferPointer { values in
      guard let pointer = values.baseAddress else { return }
      normaliseAddRectify(
        Branches(dense: pointer, pointwise: pointer, identity: nil), output: &output, rows: 1,
        channels: 1, coefficients: [1, 1, 0, 0], sums: nil)
    }
    #expect(output[0].isNaN)
  }

  @Test(arguments: channelCounts, [true, false])
  func backwardPassesAreTheirFormulas(channels: Int, hasIdentity: Bool) {
    let rows = 41
    let count = rows * channels
    let branches = hasIdentity ? 3 : 2
    let values = (0..<3).map { testValues(count, seed: UInt64(10 + $0)) }
    let (gradient, gate) = (testValues(count, seed: 20), testValues(count, seed: 21))
    let constants = testValues(branches * 5 * channels, seed: 22)
    let standardisation = (0..<branches).flatMap {
      constants[$0 * 5 * channels..<($0 * 5 + 2) * channels]
    }
    var results = [[Float]](repeating: [Float](repeating: .nan, count: count), count: 3)
    var sums = [Double](repeating: 0, count: (1 + branches) * channels)
    let outputs = results.map { _ in UnsafeMutablePointer<Float>.allocate(capacity: count) }
    let inputs = values.map { array in
      let pointer = UnsafeMutablePointer<Float>.allocate(capacity: count)
      pointer.initialize(from: array, count: count)
      return pointer
    }
    defer { for pointer in outputs + inputs { pointer.deallocate() } }
    gradient.withUnsafeBufferPointer { gradient in
      gate.withUnsafeBufferPointer { gate in
        guard let dy = gradient.baseAddress, let y = gate.baseAddress else { return }
        let gated = GatedGradient(gradient: dy, gate: y)
        addBackwardSums(
          gated,
          branches: Branches(
            dense: UnsafePointer(inputs[0]), pointwise: UnsafePointer(inputs[1]),
            identity: hasIdentity ? UnsafePointer(inputs[2]) : nil), rows: rows,
          channels: channels, standardisation: standardisation, sums: &sums)
        func branch(_ index: Int) -> BackwardBranch {
          BackwardBranch(value: inputs[index], gradient: outputs[index])
        }
        applyBackward(
          gated,
          branches: Branches(
            dense: branch(0), pointwise: branch(1), identity: hasIdentity ? branch(2) : nil),
          rows: rows, channels: channels, constants: constants)
      }
    }
    for index in 0..<branches {
      results[index] = Array(UnsafeBufferPointer(start: outputs[index], count: count))
    }
    for branch in 0..<branches {
      func constant(_ row: Int, _ channel: Int) -> Double {
        Double(constants[(branch * 5 + row) * channels + channel])
      }
      for channel in 0..<channels {
        var (sum, product) = (0.0, 0.0)
        for row in 0..<rows {
          let place = row * channels + channel
          let g = gate[place] > 0 ? Double(gradient[place]) : 0
          let standardised =
            Double(values[branch][place]) * constant(0, channel) + constant(1, channel)
          sum += g
          product += g * standardised
          let expected =
            constant(2, channel) * g + constant(3, channel) + constant(4, channel) * standardised
          #expect(abs(Double(results[branch][place]) - expected) < 1e-5)
        }
        #expect(abs(sums[channel] - sum) < 1e-4)
        #expect(abs(sums[(1 + branch) * channels + channel] - product) < 1e-4)
      }
    }
  }
}

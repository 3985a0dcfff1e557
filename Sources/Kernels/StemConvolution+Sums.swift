/// The forward sums of a stem: over its images' patches alone, without the weights.
extension StemConvolution {
  /// Float64 sums of a forward pass: Σ p·q [patch][patch], of which the rows of an earlier kernel line
  /// with columns of a later one stand for both, and Σ p [patch].
  package var forwardSums: Int { (patch + 1) * patch }
  /// What follows from them and the weights: [Σz₃, Σz₃², Σz₁, Σz₁²][channels], then Σ p·z₃
  /// [patch][channels], Σ x·z₁ [inputs][channels] (x the patch's centre), Σ p [patch].
  package var momentCount: Int { (4 + patch + inputs) * outputs + patch }

  /// Adds up the forward sums of some images; `scratch`: `workerCount` elements.
  ///
  /// In Float64 throughout: a channel's variance is a small difference of these sums where its kernel
  /// is an edge's, as neighbouring pixels are nearly equal.
  package func addForwardSums(
    _ images: Range<Int>, input: UnsafePointer<Float>, scratch base: UnsafeMutablePointer<Float>,
    sums: UnsafeMutablePointer<Double>
  ) {
    let scratch = scratch(base)
    let segment = 3 * inputs
    forEachBand(images) { band in
      pad(band, input, into: scratch.padded)
      let lines = convolution.stride * (band.lines.count - 1) + 3
      for place in 0..<lines * paddedRow { scratch.wide[place] = Double(scratch.padded[place]) }
      let start = scratch.wide + band.pixels.lowerBound * convolution.stride * inputs
      for ky in 0..<3 {
        addElements(
          band, start + ky * paddedRow, to: sums + patch * patch + ky * segment)
        for other in ky..<3 {
          for row in stride(from: 0, to: segment, by: 3) {
            addProducts(
              band, start + ky * paddedRow + row, start + other * paddedRow,
              to: sums + (ky * segment + row) * patch + other * segment)
          }
        }
      }
    }
  }

  private typealias Quad = SIMD4<Double>

  @inline(__always)
  private func load(_ pointer: UnsafePointer<Double>) -> Quad {
    UnsafeRawPointer(pointer).loadUnaligned(as: Quad.self)
  }

  /// Adds Σ of the elements of one kernel line over a band's positions.
  private func addElements(
    _ band: Band, _ start: UnsafePointer<Double>, to sums: UnsafeMutablePointer<Double>
  ) {
    let move = convolution.stride * inputs
    var (a, b, c) = (Quad.zero, Quad.zero, Quad.zero)
    for line in 0..<band.lines.count {
      var position = start + line * convolution.stride * paddedRow
      for _ in 0..<band.pixels.count {
        a += load(position)
        b += load(position + 4)
        c += load(position + 8)
        position += move
      }
    }
    add(a, b, c, to: sums)
  }

  /// Adds Σ p·q over a band's positions, of three elements at `rows` with those of one kernel line at
  /// `columns`: sums that fill the registers.
  private func addProducts(
    _ band: Band, _ rows: UnsafePointer<Double>, _ columns: UnsafePointer<Double>,
    to sums: UnsafeMutablePointer<Double>
  ) {
    let move = convolution.stride * inputs
    var (a0, b0, c0) = (Quad.zero, Quad.zero, Quad.zero)
    var (a1, b1, c1) = (Quad.zero, Quad.zero, Quad.zero)
    var (a2, b2, c2) = (Quad.zero, Quad.zero, Quad.zero)
    for line in 0..<band.lines.count {
      let offset = line * convolution.stride * paddedRow
      var (row, column) = (rows + offset, columns + offset)
      for _ in 0..<band.pixels.count {
        let (a, b, c) = (load(column), load(column + 4), load(column + 8))
        let (p, q, r) = (Quad(repeating: row[0]), Quad(repeating: row[1]), Quad(repeating: row[2]))
        a0 = a0.addingProduct(p, a)
        b0 = b0.addingProduct(p, b)
        c0 = c0.addingProduct(p, c)
        a1 = a1.addingProduct(q, a)
        b1 = b1.addingProduct(q, b)
        c1 = c1.addingProduct(q, c)
        a2 = a2.addingProduct(r, a)
        b2 = b2.addingProduct(r, b)
        c2 = c2.addingProduct(r, c)
        row += move
        column += move
      }
    }
    add(a0, b0, c0, to: sums)
    add(a1, b1, c1, to: sums + patch)
    add(a2, b2, c2, to: sums + 2 * patch)
  }

  /// Adds the elements of a kernel line; what vectors hold beyond them are other pixels.
  private func add(_ a: Quad, _ b: Quad, _ c: Quad, to sums: UnsafeMutablePointer<Double>) {
    for element in 0..<3 * inputs {
      let vector = element < 4 ? a : element < 8 ? b : c
      sums[element] += vector[element % 4]
    }
  }

  /// The moments of a shard from its forward sums and the weights, [patch][channels] and
  /// [inputs][channels].
  package func moments(
    of sums: UnsafePointer<Double>, dense: UnsafePointer<Float>, pointwise: UnsafePointer<Float>,
    into moments: UnsafeMutablePointer<Double>
  ) {
    let products = moments + 4 * outputs
    let centreProducts = products + patch * outputs
    let elements = centreProducts + inputs * outputs
    let (segment, centre) = (3 * inputs, 4 * inputs)
    func sum(_ row: Int, _ column: Int) -> Double {
      row / segment <= column / segment ? sums[row * patch + column] : sums[column * patch + row]
    }
    moments.update(repeating: 0, count: 4 * outputs)
    elements.update(from: sums + patch * patch, count: patch)
    for row in 0..<patch {
      addCombination(
        of: patch, dense, row: row, element: elements[row], to: products + row * outputs,
        moments
      ) { sum(row, $0) }
    }
    for row in 0..<inputs {
      addCombination(
        of: inputs, pointwise, row: row, element: elements[centre + row],
        to: centreProducts + row * outputs, moments + 2 * outputs
      ) { sum(centre + row, centre + $0) }
    }
  }

  /// Σ p·z of element `row` and every channel, with z = Σ_q w_q·q; and its part of Σz and Σz².
  private func addCombination(
    of count: Int, _ weights: UnsafePointer<Float>, row: Int, element: Double,
    to products: UnsafeMutablePointer<Double>, _ sums: UnsafeMutablePointer<Double>,
    _ sum: (Int) -> Double
  ) {
    products.update(repeating: 0, count: outputs)
    for column in 0..<count {
      let factor = sum(column)
      let line = weights + column * outputs
      for channel in 0..<outputs { products[channel] += factor * Double(line[channel]) }
    }
    for channel in 0..<outputs {
      let weight = Double(weights[row * outputs + channel])
      sums[channel] += weight * element
      sums[outputs + channel] += weight * products[channel]
    }
  }
}

import CKernelBuild

/// How the products' right-hand side lies in memory: panels of `width` columns, each
/// [depth][width], one after the other. A last panel of at most half the columns is half as wide.
///
/// A register block of the products is `blockRows` rows by one panel: 6 x 16 in 16 registers of 8
/// lanes (AVX2), 8 x 32 in 32 registers of 16 (AVX-512); the accumulators then cover the latency of
/// the multiply-add units, and one row's value and a panel's row still have registers.
enum Panels {
  @inline(__always) static var areWide: Bool { kernel_build_has_avx512f() }
  @inline(__always) static var width: Int { areWide ? 32 : 16 }
  @inline(__always) static var blockRows: Int { areWide ? 8 : 6 }

  static func count(columns: Int) -> Int { (columns + width - 1) / width }

  /// Columns that a panel of `columns` stores: a full or a half width.
  @inline(__always)
  static func storedWidth(panel: Int, columns: Int) -> Int {
    columns - panel * width <= width / 2 ? width / 2 : width
  }

  /// Columns over all panels, padding included.
  static func storedColumns(_ columns: Int) -> Int {
    let last = count(columns: columns) - 1
    return last * width + storedWidth(panel: last, columns: columns)
  }

  /// Where column `column` of row 0 lies in panels of `depth` rows, and the distance between rows.
  @inline(__always)
  static func place(column: Int, columns: Int, depth: Int) -> (offset: Int, stride: Int) {
    let panel = column / width
    return (panel * width * depth + column % width, storedWidth(panel: panel, columns: columns))
  }

  /// Packs one panel of a row-major [depth, columns] matrix whose rows are `stride` apart.
  static func pack(
    _ source: UnsafePointer<Float>, stride: Int, depth: Int, columns: Int, panel: Int,
    into panels: UnsafeMutablePointer<Float>
  ) {
    let stored = storedWidth(panel: panel, columns: columns)
    let first = panel * width
    let valid = min(stored, columns - first)
    var from = source + first
    var to = panels + first * depth
    for _ in 0..<depth {
      copyRow(from, to: to, valid: valid, stored: stored)
      from += stride
      to += stored
    }
  }

  @inline(__always)
  private static func copyRow(
    _ from: UnsafePointer<Float>, to: UnsafeMutablePointer<Float>, valid: Int, stored: Int
  ) {
    var column = 0
    while column + 8 <= valid {
      SIMD8<Float>.load(from + column).store(to + column)
      column += 8
    }
    while column < valid {
      to[column] = from[column]
      column += 1
    }
    while column < stored {
      to[column] = 0
      column += 1
    }
  }

  /// Packs one panel of the transpose of a row-major [columns, depth] matrix whose rows are `stride`
  /// apart.
  static func packTransposed(
    _ source: UnsafePointer<Float>, stride: Int, depth: Int, columns: Int, panel: Int,
    into panels: UnsafeMutablePointer<Float>
  ) {
    let stored = storedWidth(panel: panel, columns: columns)
    let first = panel * width
    let to = panels + first * depth
    var column = 0
    while column < stored {
      let valid = min(8, max(0, columns - first - column))
      var row = 0
      if valid == 8 {
        while row + 8 <= depth {
          transposeBlock(
            source + (first + column) * stride + row, stride: stride,
            into: to + row * stored + column, stride: stored)
          row += 8
        }
      }
      while row < depth {
        for next in 0..<8 {
          to[row * stored + column + next] =
            next < valid ? source[(first + column + next) * stride + row] : 0
        }
        row += 1
      }
      column += 8
    }
  }

  /// Eight rows of eight columns to eight columns of eight rows, which are overwritten or added to.
  @inline(__always)
  static func transposeBlock(
    _ source: UnsafePointer<Float>, stride from: Int, into target: UnsafeMutablePointer<Float>,
    stride to: Int, accumulate: Bool = false
  ) {
    typealias L = SIMD8<Float>
    let (a, b, c, d) = (
      L.load(source), L.load(source + from), L.load(source + 2 * from), L.load(source + 3 * from)
    )
    let (e, f, g, h) = (
      L.load(source + 4 * from), L.load(source + 5 * from), L.load(source + 6 * from),
      L.load(source + 7 * from)
    )
    @inline(__always) func store(_ k: Int) {
      let column = L(a[k], b[k], c[k], d[k], e[k], f[k], g[k], h[k])
      (accumulate ? L.load(target + k * to) + column : column).store(target + k * to)
    }
    store(0)
    store(1)
    store(2)
    store(3)
    store(4)
    store(5)
    store(6)
    store(7)
  }
}

/// The number of rows of a register block, as a type: every number is code of its own, whose
/// accumulators are registers.
protocol BlockRows {
  static var count: Int { get }
}

enum Rows1: BlockRows { @inline(__always) static var count: Int { 1 } }
enum Rows2: BlockRows { @inline(__always) static var count: Int { 2 } }
enum Rows3: BlockRows { @inline(__always) static var count: Int { 3 } }
enum Rows4: BlockRows { @inline(__always) static var count: Int { 4 } }
enum Rows5: BlockRows { @inline(__always) static var count: Int { 5 } }
enum Rows6: BlockRows { @inline(__always) static var count: Int { 6 } }
enum Rows7: BlockRows { @inline(__always) static var count: Int { 7 } }
enum Rows8: BlockRows { @inline(__always) static var count: Int { 8 } }

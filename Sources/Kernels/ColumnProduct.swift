/// C (+)= Aᵀ·B over positions: the weight gradients' product. Rows of C are channels of A, which lie
/// side by side at every position; B is packed (`Panels`), a panel's rows being the positions.
///
/// Positions are walked in three nested loops (images, rows, pixels), whose strides let A be the
/// shifted and strided pixels that a tap of a kernel sees.
struct ColumnProduct {
  /// One loop over positions: how often, and how far A and B (in positions) move.
  struct Loop {
    var count: Int
    var a: Int
    var b: Int

    init(count: Int, a: Int, b: Int) {
      self.count = count
      self.a = a
      self.b = b
    }
  }

  var outer: Loop
  var middle: Loop
  var inner: Loop

  init(outer: Loop, middle: Loop, inner: Loop) {
    // The longest loop innermost, where its overhead is least; a function of the shape.
    (self.outer, self.middle, self.inner) = (outer, middle, inner)
    if self.middle.count > self.inner.count { swap(&self.middle, &self.inner) }
    if self.outer.count > self.inner.count { swap(&self.outer, &self.inner) }
  }

  /// `count` positions one after the other, `stride` elements apart in A.
  init(count: Int, stride: Int) {
    outer = Loop(count: 1, a: 0, b: 0)
    middle = outer
    inner = Loop(count: count, a: stride, b: 1)
  }

  /// C [m][a panel's columns], rows `stride` apart, from `m` channels at `a` and panel `panel` of
  /// `panels` (B's `depth` positions; a tap may begin at position `start`).
  func multiply(
    a: UnsafePointer<Float>, m: Int, panels: UnsafePointer<Float>, depth: Int, start: Int,
    columns: Int, panel: Int, c: UnsafeMutablePointer<Float>, stride: Int, accumulate: Bool,
    offsets: UnsafePointer<Int>? = nil
  ) {
    let first = panel * Panels.width
    let stored = Panels.storedWidth(panel: panel, columns: columns)
    let job = Job(
      a: a, m: m, b: panels + first * depth + start * stored, c: c, stride: stride,
      columns: columns - first, accumulate: accumulate, offsets: offsets)
    if offsets == nil {
      multiply(SideBySide.self, job, isHalf: stored < Panels.width)
    } else {
      multiply(Scattered.self, job, isHalf: stored < Panels.width)
    }
  }

  private struct Job {
    var a: UnsafePointer<Float>
    var m: Int
    var b: UnsafePointer<Float>
    var c: UnsafeMutablePointer<Float>
    var stride: Int
    var columns: Int
    var accumulate: Bool
    /// Where each row's element lies at a position; side by side where there are none.
    var offsets: UnsafePointer<Int>?
  }

  @inline(__always)
  private func multiply<Source: ColumnSource>(_: Source.Type, _ job: Job, isHalf: Bool) {
    switch (Panels.areWide, isHalf) {
    case (true, false): multiplyPanel(TwiceSIMD16.self, Source.self, job)
    case (true, true), (false, false): multiplyPanel(SIMD16<Float>.self, Source.self, job)
    case (false, true): multiplyPanel(SIMD8<Float>.self, Source.self, job)
    }
  }

  @inline(__always)
  private func multiplyPanel<L: Lanes, Source: ColumnSource>(
    _: L.Type, _: Source.Type, _ job: Job
  ) {
    let blocks = (job.m + Panels.blockRows - 1) / Panels.blockRows
    guard blocks > 0 else { return }
    let (least, larger) = job.m.quotientAndRemainder(dividingBy: blocks)
    var row = 0
    for block in 0..<blocks {
      let count = block < larger ? least + 1 : least
      switch count {
      case 8 where Panels.areWide: multiplyBlock(L.self, Rows8.self, Source.self, row, job)
      case 7 where Panels.areWide: multiplyBlock(L.self, Rows7.self, Source.self, row, job)
      case 6: multiplyBlock(L.self, Rows6.self, Source.self, row, job)
      case 5: multiplyBlock(L.self, Rows5.self, Source.self, row, job)
      case 4: multiplyBlock(L.self, Rows4.self, Source.self, row, job)
      case 3: multiplyBlock(L.self, Rows3.self, Source.self, row, job)
      case 2: multiplyBlock(L.self, Rows2.self, Source.self, row, job)
      default: multiplyBlock(L.self, Rows1.self, Source.self, row, job)
      }
      row += count
    }
  }

  /// A block of rows by one panel, in registers.
  @inline(__always)
  private func multiplyBlock<L: Lanes, Rows: BlockRows, Source: ColumnSource>(
    _: L.Type, _: Rows.Type, _: Source.Type, _ row: Int, _ job: Job
  ) {
    let count = Rows.count
    // Rows that lie side by side share a pointer: others would not all have a register.
    @inline(__always) func source(_ row: Int, _ next: Int) -> UnsafePointer<Float> {
      Source.isSideBySide ? job.a + row : job.a + (job.offsets.map { $0[row + next] } ?? 0)
    }
    @inline(__always) func place(_ next: Int) -> Int { Source.isSideBySide ? next : 0 }
    var (c0, c1, c2, c3) = (L.zero, L.zero, L.zero, L.zero)
    var (c4, c5, c6, c7) = (L.zero, L.zero, L.zero, L.zero)
    let a0 = source(row, 0)
    let a1 = count > 1 ? source(row, 1) : a0
    let a2 = count > 2 ? source(row, 2) : a0
    let a3 = count > 3 ? source(row, 3) : a0
    let a4 = count > 4 ? source(row, 4) : a0
    let a5 = count > 5 ? source(row, 5) : a0
    let a6 = count > 6 ? source(row, 6) : a0
    let a7 = count > 7 ? source(row, 7) : a0
    for slow in 0..<outer.count {
      for next in 0..<middle.count {
        var position = slow * outer.a + next * middle.a
        var b = job.b + (slow * outer.b + next * middle.b) * L.width
        for _ in 0..<inner.count {
          let panel = L.load(b)
          c0 = c0.adding(L.repeating(a0[position + place(0)]), times: panel)
          if count > 1 { c1 = c1.adding(L.repeating(a1[position + place(1)]), times: panel) }
          if count > 2 { c2 = c2.adding(L.repeating(a2[position + place(2)]), times: panel) }
          if count > 3 { c3 = c3.adding(L.repeating(a3[position + place(3)]), times: panel) }
          if count > 4 { c4 = c4.adding(L.repeating(a4[position + place(4)]), times: panel) }
          if count > 5 { c5 = c5.adding(L.repeating(a5[position + place(5)]), times: panel) }
          if count > 6 { c6 = c6.adding(L.repeating(a6[position + place(6)]), times: panel) }
          if count > 7 { c7 = c7.adding(L.repeating(a7[position + place(7)]), times: panel) }
          position += inner.a
          b += inner.b * L.width
        }
      }
    }
    let target = job.c + row * job.stride
    finish(c0, target, job)
    if count > 1 { finish(c1, target + job.stride, job) }
    if count > 2 { finish(c2, target + 2 * job.stride, job) }
    if count > 3 { finish(c3, target + 3 * job.stride, job) }
    if count > 4 { finish(c4, target + 4 * job.stride, job) }
    if count > 5 { finish(c5, target + 5 * job.stride, job) }
    if count > 6 { finish(c6, target + 6 * job.stride, job) }
    if count > 7 { finish(c7, target + 7 * job.stride, job) }
  }

  @inline(__always)
  private func finish<L: Lanes>(_ sum: L, _ target: UnsafeMutablePointer<Float>, _ job: Job) {
    if job.columns >= L.width {
      (job.accumulate ? L.load(target) + sum : sum).store(target)
    } else {
      (job.accumulate ? L.load(target, count: job.columns) + sum : sum)
        .store(target, count: job.columns)
    }
  }
}

/// How the rows of C find their elements at a position, as a type.
private protocol ColumnSource {
  static var isSideBySide: Bool { get }
}

private enum SideBySide: ColumnSource {
  @inline(__always) static var isSideBySide: Bool { true }
}

private enum Scattered: ColumnSource {
  @inline(__always) static var isSideBySide: Bool { false }
}

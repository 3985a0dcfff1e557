/// C (+)= Σ over segments of A·B, where every row of A and C lies wherever a table says: a
/// convolution without gathered columns, its segments being the kernel's taps, and any plain product
/// of row-major matrices, with one segment.
///
/// B is packed (`Panels`), its rows being [tap][depth]. The order of additions is a function of the
/// shape alone: along depth within a segment, segments in their order, in runs of at most
/// `RowProduct.runDepth`.
struct RowProduct {
  /// Most rows that a table holds.
  static let capacity = 256
  /// Rows of a band for callers that have more: whole register blocks, of six rows or of eight.
  static let bandRows = 240
  /// Most segments of a row.
  static let segmentCapacity = 9
  /// Depth of B that is used at a time: a panel of it is a part of the first cache.
  private static let runDepth = 384
  /// Elements of scratch that a table takes: pointers to A, to C, and taps.
  static let scratchCount = 2 * (segmentCapacity + 1) * capacity + 4 * segmentCapacity

  private let sources: UnsafeMutablePointer<UnsafePointer<Float>>
  private let targets: UnsafeMutablePointer<UnsafeMutablePointer<Float>>
  /// Which rows of B (in units of depth) a segment multiplies.
  private let taps: UnsafeMutablePointer<Int>
  var rows = 0
  private(set) var segments = 0

  /// `scratch`: `scratchCount` elements, aligned to 8 bytes, not used otherwise while this lives.
  init(scratch: UnsafeMutablePointer<Float>) {
    let raw = UnsafeMutableRawPointer(scratch)
    let pointerBytes = MemoryLayout<UnsafePointer<Float>>.stride
    sources = raw.bindMemory(
      to: UnsafePointer<Float>.self, capacity: Self.segmentCapacity * Self.capacity)
    targets = (raw + pointerBytes * Self.segmentCapacity * Self.capacity).bindMemory(
      to: UnsafeMutablePointer<Float>.self, capacity: Self.capacity)
    taps = (raw + pointerBytes * (Self.segmentCapacity + 1) * Self.capacity).bindMemory(
      to: Int.self, capacity: Self.segmentCapacity)
  }

  /// Starts a table without rows and segments.
  mutating func clear() {
    rows = 0
    segments = 0
  }

  @inline(__always)
  mutating func appendSegment(tap: Int) {
    taps[segments] = tap
    segments += 1
  }

  @inline(__always)
  func setSource(_ row: Int, segment: Int, _ pointer: UnsafePointer<Float>) {
    sources[segment * Self.capacity + row] = pointer
  }

  @inline(__always)
  func setTarget(_ row: Int, _ pointer: UnsafeMutablePointer<Float>) { targets[row] = pointer }

  /// Multiplies: `depth` elements of every segment, B with `bRows` rows in all, panels `panels` of
  /// those with `columns` columns, the first of which begins at `b`. Column c of C is written `c`
  /// elements after a row's target; `finish` is applied to the complete sums.
  func multiply(
    depth: Int, b: UnsafePointer<Float>, bRows: Int, columns: Int, panels: Range<Int>,
    accumulate: Bool, finish: OutputFinish? = nil
  ) {
    for panel in panels {
      let start = b + (panel - panels.lowerBound) * Panels.width * bRows
      let first = panel * Panels.width
      let half = Panels.storedWidth(panel: panel, columns: columns) < Panels.width
      let job = Job(
        depth: depth, b: start, first: first, columns: columns - first, accumulate: accumulate,
        finish: finish?.advanced(by: first))
      switch (Panels.areWide, half) {
      case (true, false): multiplyPanel(TwiceSIMD16.self, job)
      case (true, true), (false, false): multiplyPanel(SIMD16<Float>.self, job)
      case (false, true): multiplyPanel(SIMD8<Float>.self, job)
      }
    }
  }

  private struct Job {
    var depth: Int
    var b: UnsafePointer<Float>
    var first: Int
    var columns: Int
    var accumulate: Bool
    /// Of the panel's columns, after the last run.
    var finish: OutputFinish?
  }

  /// What a run does with the sums of those before it, and whether it completes them.
  private struct Run {
    var accumulate: Bool
    var isLast: Bool
  }

  @inline(__always)
  private func multiplyPanel<L: Lanes>(_: L.Type, _ job: Job) {
    var accumulate = job.accumulate
    if segments == 0 {
      // No forward pass has such rows: the kernel's centre is always in the image.
      precondition(job.finish == nil, "nothing to finish")
      if !accumulate { clearTargets(L.self, job) }
      return
    }
    if job.depth > Self.runDepth {
      let runs = (job.depth + Self.runDepth - 1) / Self.runDepth
      for segment in 0..<segments {
        for run in 0..<runs {
          let start = job.depth * run / runs
          let end = job.depth * (run + 1) / runs
          let isLast = segment == segments - 1 && run == runs - 1
          multiplyRun(
            L.self, job, segment..<segment + 1, start..<end,
            Run(accumulate: accumulate, isLast: isLast))
          accumulate = true
        }
      }
      return
    }
    let together = max(1, Self.runDepth / max(1, job.depth))
    let runs = (segments + together - 1) / together
    for run in 0..<runs {
      let range = segments * run / runs..<segments * (run + 1) / runs
      multiplyRun(
        L.self, job, range, 0..<job.depth, Run(accumulate: accumulate, isLast: run == runs - 1))
      accumulate = true
    }
  }

  private func clearTargets<L: Lanes>(_: L.Type, _ job: Job) {
    for row in 0..<rows {
      L.zero.store(targets[row] + job.first, count: min(L.width, job.columns))
    }
  }

  /// All rows with one run of B's rows, in blocks of nearly equal size.
  @inline(__always)
  private func multiplyRun<L: Lanes>(
    _: L.Type, _ job: Job, _ segments: Range<Int>, _ depth: Range<Int>, _ run: Run
  ) {
    let blocks = (rows + Panels.blockRows - 1) / Panels.blockRows
    guard blocks > 0 else { return }
    let (least, larger) = rows.quotientAndRemainder(dividingBy: blocks)
    var row = 0
    for block in 0..<blocks {
      let count = block < larger ? least + 1 : least
      switch count {
      case 8 where Panels.areWide:
        multiplyBlock(L.self, Rows8.self, row, job, segments, depth, run)
      case 7 where Panels.areWide:
        multiplyBlock(L.self, Rows7.self, row, job, segments, depth, run)
      case 6: multiplyBlock(L.self, Rows6.self, row, job, segments, depth, run)
      case 5: multiplyBlock(L.self, Rows5.self, row, job, segments, depth, run)
      case 4: multiplyBlock(L.self, Rows4.self, row, job, segments, depth, run)
      case 3: multiplyBlock(L.self, Rows3.self, row, job, segments, depth, run)
      case 2: multiplyBlock(L.self, Rows2.self, row, job, segments, depth, run)
      default: multiplyBlock(L.self, Rows1.self, row, job, segments, depth, run)
      }
      row += count
    }
  }

  /// A block of rows by one panel, in registers.
  @inline(__always)
  private func multiplyBlock<L: Lanes, Rows: BlockRows>(
    _: L.Type, _: Rows.Type, _ row: Int, _ job: Job, _ segments: Range<Int>, _ depth: Range<Int>,
    _ run: Run
  ) {
    let count = Rows.count
    var (c0, c1, c2, c3) = (L.zero, L.zero, L.zero, L.zero)
    var (c4, c5, c6, c7) = (L.zero, L.zero, L.zero, L.zero)
    for segment in segments {
      let table = sources + segment * Self.capacity + row
      let a0 = table[0] + depth.lowerBound
      let a1 = count > 1 ? table[1] + depth.lowerBound : a0
      let a2 = count > 2 ? table[2] + depth.lowerBound : a0
      let a3 = count > 3 ? table[3] + depth.lowerBound : a0
      let a4 = count > 4 ? table[4] + depth.lowerBound : a0
      let a5 = count > 5 ? table[5] + depth.lowerBound : a0
      let a6 = count > 6 ? table[6] + depth.lowerBound : a0
      let a7 = count > 7 ? table[7] + depth.lowerBound : a0
      var b = job.b + (taps[segment] * job.depth + depth.lowerBound) * L.width
      for k in 0..<depth.count {
        let panel = L.load(b)
        c0 = c0.adding(L.repeating(a0[k]), times: panel)
        if count > 1 { c1 = c1.adding(L.repeating(a1[k]), times: panel) }
        if count > 2 { c2 = c2.adding(L.repeating(a2[k]), times: panel) }
        if count > 3 { c3 = c3.adding(L.repeating(a3[k]), times: panel) }
        if count > 4 { c4 = c4.adding(L.repeating(a4[k]), times: panel) }
        if count > 5 { c5 = c5.adding(L.repeating(a5[k]), times: panel) }
        if count > 6 { c6 = c6.adding(L.repeating(a6[k]), times: panel) }
        if count > 7 { c7 = c7.adding(L.repeating(a7[k]), times: panel) }
        b += L.width
      }
    }
    let place = targets + row
    store(c0, place[0], job, run)
    if count > 1 { store(c1, place[1], job, run) }
    if count > 2 { store(c2, place[2], job, run) }
    if count > 3 { store(c3, place[3], job, run) }
    if count > 4 { store(c4, place[4], job, run) }
    if count > 5 { store(c5, place[5], job, run) }
    if count > 6 { store(c6, place[6], job, run) }
    if count > 7 { store(c7, place[7], job, run) }
  }

  @inline(__always)
  private func store<L: Lanes>(
    _ sum: L, _ row: UnsafeMutablePointer<Float>, _ job: Job, _ run: Run
  ) {
    let target = row + job.first
    let isWhole = job.columns >= L.width
    var sum = sum
    if run.accumulate {
      sum = (isWhole ? L.load(target) : L.load(target, count: job.columns)) + sum
    }
    if run.isLast, let finish = job.finish {
      sum = sum + (isWhole ? L.load(finish.bias) : L.load(finish.bias, count: job.columns))
      if finish.rectify { sum = sum.rectified() }
    }
    if isWhole { sum.store(target) } else { sum.store(target, count: job.columns) }
  }
}

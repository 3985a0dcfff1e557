import Foundation

/// Seconds of sums over the ranks of one host, read off the curves.
///
/// Linear in bytes between measured sizes; below the smallest a message costs as much as that, beyond
/// the largest as much a byte as between the last two. Linear in the logarithm of the ranks, from
/// nothing for one.
struct SumLookup {
  private let curves: MachineCurves
  private let ranks: Double
  private let measured: [Int]

  /// `ranks`: of the host. `load`: the same for each core, times the cores of the machine that was
  /// measured. Ranks that share cores wait for their turn, so they are looked up by their load, and
  /// among the ranks that had cores of their own only for those that have. Nil where no sum was measured
  /// and one is needed.
  init?(_ curves: MachineCurves, ranks: Int, threads: Int, load: Double) {
    self.curves = curves
    let sharesCores = load * Double(threads) > Double(curves.machine.cores)
    self.ranks = ranks == 1 ? 1 : sharesCores ? max(load, Double(ranks)) : Double(ranks)
    let all = Set(curves.sums.map(\.ranks)).filter { $0 > 1 }.sorted()
    let own = all.filter { $0 <= curves.machine.cores }
    measured = sharesCores || own.isEmpty ? all : own
    if ranks > 1, measured.isEmpty { return nil }
  }

  func seconds(_ type: RunPlan.Message.ElementType, bytes: Int) -> Double {
    guard ranks > 1 else { return 0 }
    let position = log2(ranks)
    var (low, below) = (0.0, 0.0)
    for count in measured {
      let (point, value) = (log2(Double(count)), at(count, type, bytes: Double(bytes)))
      if position <= point {
        return below + (value - below) * (position - low) / (point - low)
      }
      (low, below) = (point, value)
    }
    return below * position / low
  }

  private func at(_ ranks: Int, _ type: RunPlan.Message.ElementType, bytes: Double) -> Double {
    let rows = curves.sums.filter { $0.ranks == ranks }
    let own = rows.filter { $0.type == type }
    let curve = (own.isEmpty ? rows : own).sorted { $0.bytes < $1.bytes }
    guard let first = curve.first, bytes > Double(first.bytes) else {
      return curve.first?.seconds ?? 0
    }
    for (a, b) in zip(curve, curve.dropFirst()) where bytes <= Double(b.bytes) {
      let share = (bytes - Double(a.bytes)) / Double(max(1, b.bytes - a.bytes))
      return a.seconds + (b.seconds - a.seconds) * share
    }
    let last = curve[curve.count - 1]
    let before = curve.count > 1 ? curve[curve.count - 2] : nil
    // Never less a byte than nothing, however noisy the last two.
    let slope =
      before.map { (last.seconds - $0.seconds) / Double(max(1, last.bytes - $0.bytes)) }
      ?? last.seconds / Double(last.bytes)
    return last.seconds + max(0, slope) * (bytes - Double(last.bytes))
  }
}

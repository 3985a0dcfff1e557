import Kernels
import RunPlanning

/// The sum over shards of gradients that lie side by side, by a binary counter: one partial is one
/// shard's finished gradient, partials of equal size are merged, so that log2(shards) scratch slots
/// of the largest gradient are enough for the balanced pairwise tree.
final class GradientCounter {
  private let pool: WorkerPool
  private let shards: Int
  private let slots: [UnsafeMutablePointer<Float>]
  private var held: [(level: Int, gradient: UnsafeMutablePointer<Float>)] = []

  /// `slots`: scratch of the largest gradient's size, `CostModel.counterSlots` of them.
  init(pool: WorkerPool, shards: Int, slots: [UnsafeMutablePointer<Float>]) {
    precondition(slots.count >= CostModel.counterSlots(shards: shards), "too few gradient slots")
    self.pool = pool
    self.shards = shards
    self.slots = slots
    held.reserveCapacity(slots.count + 1)
  }

  /// Sums `count` elements over shards into `gradient`; `body(shard, partial)` writes a shard's
  /// gradient to `partial`.
  func sum(
    into gradient: UnsafeMutablePointer<Float>, count: Int,
    body: (_ shard: Int, _ partial: UnsafeMutablePointer<Float>) -> Void
  ) {
    held.removeAll(keepingCapacity: true)
    for shard in 0..<shards {
      let partial = held.isEmpty ? gradient : slots[held.count - 1]
      body(shard, partial)
      held.append((0, partial))
      while held.count > 1 && held[held.count - 2].level == held[held.count - 1].level {
        mergeLast(count: count)
      }
    }
    while held.count > 1 { mergeLast(count: count) }
  }

  private func mergeLast(count: Int) {
    let last = held.removeLast()
    let target = held[held.count - 1].gradient
    let part = 65_536
    pool.run((count + part - 1) / part) { task, _ in
      let start = task * part
      add(last.gradient + start, to: target + start, count: min(part, count - start))
    }
    held[held.count - 1].level += 1
  }
}

import Kernels

/// The tasks of a pass over a rank's shards, numbered through: shard after shard, and in a shard the
/// tasks that its number of images asks for. What a task does depends on its shard alone, so the
/// numbering may differ between world sizes.
struct ShardTasks {
  private var ends: [Int]

  init(capacity: Int) { ends = Array(repeating: 0, count: capacity) }

  /// Sets the number of tasks of every shard.
  mutating func count(_ tasks: (_ shard: Int) -> Int) {
    var end = 0
    for shard in ends.indices {
      end += tasks(shard)
      ends[shard] = end
    }
  }

  var total: Int { ends[ends.count - 1] }

  /// First task of a shard, and one past its last.
  func range(ofShard shard: Int) -> Range<Int> { (shard == 0 ? 0 : ends[shard - 1])..<ends[shard] }

  /// The shard of a task, and the task's number in it.
  func locate(_ task: Int) -> (shard: Int, index: Int) {
    var shard = 0
    while ends[shard] <= task { shard += 1 }
    return (shard, task - range(ofShard: shard).lowerBound)
  }
}

/// Float64 sums of every task, and of every shard after `combine`; nothing is allocated after the
/// start.
final class ShardSums {
  let length: Int
  /// Bytes of all sums.
  let bytes: Int
  private let shards: Int
  private let partials: UnsafeMutablePointer<Double>
  private let totals: UnsafeMutablePointer<Double>

  /// `length`: sums that a task makes; `tasks`: the most tasks of one pass.
  init(length: Int, tasks: Int, shards: Int) {
    self.length = length
    self.shards = shards
    bytes = (tasks + shards) * length * MemoryLayout<Double>.stride
    partials = .allocate(capacity: max(1, tasks * length))
    totals = .allocate(capacity: max(1, shards * length))
    totals.initialize(repeating: 0, count: max(1, shards * length))
  }

  deinit {
    partials.deallocate()
    totals.deallocate()
  }

  /// The sums of one task, set to zero.
  func cleared(task: Int) -> UnsafeMutablePointer<Double> {
    let sums = partials + task * length
    sums.initialize(repeating: 0, count: length)
    return sums
  }

  /// The sums of one shard, valid after `combineTasks`.
  func shard(_ index: Int) -> UnsafeMutablePointer<Double> { totals + index * length }

  /// Adds up every shard's tasks in their order; an empty shard has +0.
  func combineTasks(_ tasks: ShardTasks) {
    for shard in 0..<shards {
      let total = self.shard(shard)
      total.update(repeating: 0, count: length)
      for task in tasks.range(ofShard: shard) {
        let partial = partials + task * length
        for place in 0..<length { total[place] += partial[place] }
      }
    }
  }

  /// Adds up the shards by the balanced pairwise tree into shard 0's sums, which are returned.
  func combineShards() -> UnsafeMutablePointer<Double> {
    foldShards(shards) { earlier, later in
      let (target, source) = (shard(earlier), shard(later))
      for place in 0..<length { target[place] += source[place] }
    }
    return totals
  }
}

/// Calls `merge(earlier, later)` in the order of the balanced pairwise tree ((0+1)+(2+3))+…, which
/// leaves the sum of all in 0.
func foldShards(_ shards: Int, merge: (_ earlier: Int, _ later: Int) -> Void) {
  var distance = 1
  while distance < shards {
    for shard in stride(from: 0, to: shards - distance, by: 2 * distance) {
      merge(shard, shard + distance)
    }
    distance *= 2
  }
}

/// The sum over shards of one tensor's gradients, by a binary counter: one partial is one shard's
/// finished gradient, partials of equal size are merged, so that log2(shards) scratch slots of the
/// largest tensor are enough for the balanced pairwise tree.
final class GradientCounter {
  private let pool: WorkerPool
  private let shards: Int
  private let slots: [UnsafeMutablePointer<Float>]
  private var held: [(level: Int, gradient: UnsafeMutablePointer<Float>)] = []

  /// `slots`: scratch of the largest tensor's size, `slotCount(shards:)` of them.
  init(pool: WorkerPool, shards: Int, slots: [UnsafeMutablePointer<Float>]) {
    precondition(slots.count >= Self.slotCount(shards: shards), "too few gradient slots")
    self.pool = pool
    self.shards = shards
    self.slots = slots
    held.reserveCapacity(slots.count + 1)
  }

  /// Scratch slots that `shards` shards need beside the gradient itself: ceil(log2(shards)).
  static func slotCount(shards: Int) -> Int {
    shards <= 1 ? 0 : Int.bitWidth - (shards - 1).leadingZeroBitCount
  }

  /// Sums `count` elements over shards into `gradient`. `body(shard, task, partial, worker)` writes
  /// its part of the shard's gradient to `partial`; two shards are computed side by side, so that
  /// few tasks still fill several threads.
  func sum(
    into gradient: UnsafeMutablePointer<Float>, count: Int, tasks: Int,
    body: (
      _ shard: Int, _ task: Int, _ partial: UnsafeMutablePointer<Float>, _ worker: Int
    ) -> Void
  ) {
    held.removeAll(keepingCapacity: true)
    for first in stride(from: 0, to: shards, by: 2) {
      let pair = min(2, shards - first)
      let earlier = held.isEmpty ? gradient : slots[held.count - 1]
      let later = slots.isEmpty ? gradient : slots[held.count]
      pool.run(pair * tasks) { task, worker in
        let (place, part) = task.quotientAndRemainder(dividingBy: tasks)
        body(first + place, part, place == 0 ? earlier : later, worker)
      }
      push(earlier, count: count)
      if pair == 2 { push(later, count: count) }
    }
    while held.count > 1 { mergeLast(count: count) }
  }

  private func push(_ partial: UnsafeMutablePointer<Float>, count: Int) {
    held.append((0, partial))
    while held.count > 1 && held[held.count - 2].level == held[held.count - 1].level {
      mergeLast(count: count)
    }
  }

  private func mergeLast(count: Int) {
    let last = held.removeLast()
    add(last.gradient, to: held[held.count - 1].gradient, count: count)
    held[held.count - 1].level += 1
  }
}

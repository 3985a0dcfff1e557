import Glibc

/// One owner of one aligned, zero-filled block of Float32 memory.
///
/// Everything large in a training step lives in an arena that the plan has sized: nothing is
/// allocated inside a step. Slices are lent as pointers, valid while the arena is. Not for small or
/// short-lived values: use arrays. Not `Sendable`: an arena belongs to its network's thread, and
/// kernels that run on several threads divide it by index.
package final class Arena {
  /// Bytes to which the block is aligned at least.
  package static let alignment = 64
  /// The size of a huge page: blocks of several are aligned to it, so that the address translations
  /// of a step's memory stay in the processor's table of them.
  private static let hugePage = 2 << 20

  package let count: Int
  package let base: UnsafeMutablePointer<Float>

  /// `count`: Float32 elements.
  package init(count: Int) {
    self.count = count
    let bytes = max(count, 1) * MemoryLayout<Float>.stride
    let isLarge = bytes >= 2 * Self.hugePage
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: bytes, alignment: isLarge ? Self.hugePage : Self.alignment)
    // Advice alone: where the system has none to give, small pages do.
    if isLarge { madvise(raw, bytes, MADV_HUGEPAGE) }
    base = raw.bindMemory(to: Float.self, capacity: max(count, 1))
    base.initialize(repeating: 0, count: max(count, 1))
  }

  deinit { base.deallocate() }

  /// The elements of `slot`, lent for as long as the arena lives.
  package subscript(slot: Slot) -> UnsafeMutableBufferPointer<Float> {
    precondition(slot.offset >= 0 && slot.offset + slot.count <= count, "slot outside its arena")
    return UnsafeMutableBufferPointer(start: base + slot.offset, count: slot.count)
  }

  /// All elements.
  package var all: UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: base, count: count)
  }
}

/// A place in an arena, in Float32 elements.
package struct Slot: Sendable, Equatable {
  package var offset: Int
  package var count: Int

  package init(offset: Int, count: Int) {
    self.offset = offset
    self.count = count
  }

  package init(_ range: Range<Int>) {
    self.init(offset: range.lowerBound, count: range.count)
  }
}

/// Hands out aligned slots one after the other; its `count` is the size of the arena to make.
package struct SlotAllocator {
  package private(set) var count = 0

  package init() {}

  package mutating func reserve(_ elements: Int) -> Slot {
    let slot = Slot(offset: count, count: elements)
    count += (elements + 15) / 16 * 16
    return slot
  }
}

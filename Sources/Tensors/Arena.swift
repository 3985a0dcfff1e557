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
  /// What the system gave for a large block; nil for one of the heap.
  private let mapping: UnsafeMutableRawBufferPointer?

  /// `count`: Float32 elements.
  package init(count: Int) {
    self.count = count
    let capacity = max(count, 1)
    let bytes = capacity * MemoryLayout<Float>.stride
    mapping = bytes >= 2 * Self.hugePage ? Self.map(bytes) : nil
    if let start = mapping?.baseAddress {
      // Fresh pages are zero, and none is touched before it is used.
      base = start.alignedUp(toMultipleOf: Self.hugePage)
        .bindMemory(to: Float.self, capacity: capacity)
      Self.adviseHugePages(UnsafeMutableRawPointer(base), bytes)
    } else {
      base = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: Self.alignment)
        .bindMemory(to: Float.self, capacity: capacity)
      base.initialize(repeating: 0, count: capacity)
    }
  }

  deinit {
    if let mapping { munmap(mapping.baseAddress, mapping.count) } else { base.deallocate() }
  }

  /// Pages for `bytes` from a huge page's start; nil where the system has none.
  private static func map(_ bytes: Int) -> UnsafeMutableRawBufferPointer? {
    let (total, overflows) = bytes.addingReportingOverflow(hugePage)
    guard !overflows,
      let start = mmap(
        nil, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      start != MAP_FAILED
    else { return nil }
    return UnsafeMutableRawBufferPointer(start: start, count: total)
  }

  /// Asks for huge pages, where the system has any to give.
  private static func adviseHugePages(_ start: UnsafeMutableRawPointer, _ bytes: Int) {
    let first = start.alignedUp(toMultipleOf: hugePage)
    let rest = bytes - (first - start)
    if rest >= hugePage { madvise(first, rest / hugePage * hugePage, MADV_HUGEPAGE) }
  }

  /// To be called for memory that is about to be filled: a fault for each small page takes longer than the
  /// filling. Advice alone.
  static func prepareToFill(_ start: UnsafeMutableRawPointer, _ bytes: Int) {
    guard bytes >= 65_536 else { return }
    if bytes >= 2 * hugePage { adviseHugePages(start, bytes) }
    let page = 4096
    let first = start.alignedUp(toMultipleOf: page)
    // MADV_POPULATE_WRITE, of Linux 5.14: all pages by one call.
    madvise(first, (bytes - (first - start)) / page * page, 23)
  }

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

/// Bytes of one stored sample; its memory grows when it must and is used again for the next one. A
/// thread keeps its own.
package final class ByteBuffer {
  package private(set) var count = 0
  private var memory: UnsafeMutableRawBufferPointer

  package init() { memory = .allocate(byteCount: 1 << 16, alignment: 64) }

  /// Bytes of its memory: up to half as much again as the largest sample so far.
  package var residentBytes: Int { memory.count }

  deinit { memory.deallocate() }

  /// Makes room for `count` bytes, whose content is undefined.
  package func reserve(_ count: Int) {
    if count > memory.count {
      memory.deallocate()
      // Half as much again: samples of slowly growing sizes would otherwise each allocate.
      memory = .allocate(byteCount: count + count / 2, alignment: 64)
    }
    self.count = count
  }

  /// The `count` bytes; valid until the next `reserve`.
  package var all: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
  }
}

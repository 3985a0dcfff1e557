import Foundation
import Synchronization
import _TestSupport

/// Where a trial stands, in memory shared with its campaign: what is left of it when it dies.
struct TrialProgress {
  private let words: UnsafeMutablePointer<Int64>

  /// Number of the mutant at hand; how many were read and how many refused so far.
  var number: Int {
    get { Int(words[0]) }
    nonmutating set { words[0] = Int64(newValue) }
  }
  var read: Int {
    get { Int(words[1]) }
    nonmutating set { words[1] = Int64(newValue) }
  }
  var refused: Int {
    get { Int(words[2]) }
    nonmutating set { words[2] = Int64(newValue) }
  }
  /// Bytes: the most that the process grew at one mutant.
  var growth: Int {
    get { Int(words[3]) }
    nonmutating set { words[3] = Int64(newValue) }
  }

  init(path: String) throws {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    defer { close(descriptor) }
    guard descriptor >= 0, ftruncate(descriptor, 32) == 0,
      let map = mmap(nil, 32, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), map != MAP_FAILED
    else { throw Unexpected("\(path): cannot be mapped") }
    words = map.assumingMemoryBound(to: Int64.self)
  }
}

/// The process that reads mutants, one after the other, until one is its end.
struct Trial {
  var reader: FuzzedReader
  var seed: UInt64
  var progress: TrialProgress
  /// Of processor time, for one mutant.
  var secondsLimit: Int
  /// Beside the file itself.
  var memoryLimit = 64 << 20

  /// A wait for something that never comes takes no processor time.
  private static let patience: UInt32 = 120

  /// Reads mutants; throws what a reader must not do.
  func run(_ numbers: Range<Int>) throws {
    let memory = ProcessMemory()
    for number in numbers {
      progress.number = number
      try run(reader.mutant(seed: seed, number: number), memory)
    }
  }

  func run(_ bytes: [UInt8], _ memory: ProcessMemory) throws {
    // Without a handler these signals end the process, and say why by their numbers.
    setTimer(seconds: secondsLimit)
    alarm(Self.patience)
    let before = memory.resident()
    memory.resetPeak()
    let wasRead = try reader.read(bytes)
    let growth = max(0, memory.peak() - before)
    setTimer(seconds: 0)
    alarm(0)
    progress.growth = max(progress.growth, growth)
    try require(
      growth <= bytes.count + memoryLimit,
      "grew by \(growth >> 20) MB for a file of \(bytes.count) bytes")
    if wasRead { progress.read += 1 } else { progress.refused += 1 }
  }

  private func setTimer(seconds: Int) {
    var timer = itimerval()
    timer.it_value.tv_sec = seconds
    setitimer(__itimer_which_t(ITIMER_PROF.rawValue), &timer, nil)
  }
}

/// What this process holds in memory, in bytes.
struct ProcessMemory {
  private let status = open("/proc/self/status", O_RDONLY | O_CLOEXEC)
  private let references = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC)

  func resident() -> Int { field("VmRSS:") }
  func peak() -> Int { field("VmHWM:") }

  /// Makes the peak what is resident now (proc(5)).
  func resetPeak() { _ = pwrite(references, "5", 1, 0) }

  private func field(_ name: StaticString) -> Int {
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
      let count = pread(status, buffer.baseAddress, buffer.count, 0)
      guard count > 0 else { return 0 }
      let text = buffer[..<count]
      let name = UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
      guard let place = text.indices.first(where: { text[$0...].starts(with: name) }) else {
        return 0
      }
      let digits = text[(place + name.count)...].drop { $0 == 32 || $0 == 9 }
        .prefix { (48...57).contains($0) }
      return digits.reduce(0) { $0 * 10 + Int($1 - 48) } << 10
    }
  }
}

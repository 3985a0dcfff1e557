import Foundation
import Synchronization

/// Ranks as threads of one process: for tests, with the same sums as MPI's.
package final class InProcessCommunicator: Communicator {
  package let rank: Int
  package let size: Int
  package var backend: String { "threads" }

  private let rendezvous: Rendezvous
  /// Operations that this rank has called so far.
  private var calls = 0

  private init(rank: Int, size: Int, _ rendezvous: Rendezvous) {
    self.rank = rank
    self.size = size
    self.rendezvous = rendezvous
  }

  /// Runs `body` on `ranks` threads, each with its own communicator, and returns their results in
  /// rank order.
  ///
  /// - Parameter timeout: seconds after which ranks that wait are released and the run fails. A
  ///   rank that computes for ever cannot be stopped: its thread is left behind.
  /// - Throws: the first error of any rank, which releases the others; `CollectiveError` where
  ///   ranks call different operations or do not finish in time.
  package static func run<Result: Sendable>(
    ranks: Int, timeout: Double = 60,
    _ body: @escaping @Sendable (InProcessCommunicator) throws -> Result
  ) throws -> [Result] {
    precondition(ranks > 0, "a run has ranks")
    let rendezvous = Rendezvous(size: ranks)
    let results = Results<Result>()
    let group = DispatchGroup()
    for rank in 0..<ranks {
      group.enter()
      let thread = Thread {
        let communicator = InProcessCommunicator(rank: rank, size: ranks, rendezvous)
        do {
          let result = try body(communicator)
          results.byRank.withLock { $0[rank] = result }
          rendezvous.finish(rank: rank)
        } catch {
          rendezvous.fail(error)
        }
        group.leave()
      }
      thread.name = "rank \(rank)"
      thread.start()
    }
    if group.wait(timeout: .now() + timeout) == .timedOut {
      rendezvous.fail(
        CollectiveError(.timeout, "\(ranks) ranks did not finish in \(timeout) seconds"))
      _ = group.wait(timeout: .now() + 1)
    }
    if let failure = rendezvous.firstFailure { throw failure }
    return results.byRank.withLock { byRank in (0..<ranks).compactMap { byRank[$0] } }
  }

  private final class Results<Result: Sendable>: Sendable {
    let byRank = Mutex<[Int: Result]>([:])
  }

  /// Joins the next operation and returns its number.
  private func join(_ call: Rendezvous.Call, part: Rendezvous.Values) throws -> Int {
    defer { calls += 1 }
    try rendezvous.join(calls, rank: rank, call, part: part)
    return calls
  }

  private func take(_ call: Rendezvous.Call, part: Rendezvous.Values) throws -> Rendezvous.Values? {
    try rendezvous.collect(try join(call, part: part), wait: true)
  }
}

extension InProcessCommunicator {
  package func sum(_ values: UnsafeMutableBufferPointer<Double>) throws {
    let call = Rendezvous.Call(kind: .sumDouble, count: values.count)
    guard case .doubles(let sums) = try take(call, part: .doubles(Array(values))) else { return }
    _ = values.update(from: sums)
  }

  package func sum(_ values: UnsafeMutableBufferPointer<Float>) throws {
    let call = Rendezvous.Call(kind: .sumFloat, count: values.count)
    guard case .floats(let sums) = try take(call, part: .floats(Array(values))) else { return }
    _ = values.update(from: sums)
  }

  package func maximum(_ values: UnsafeMutableBufferPointer<Int64>) throws {
    let call = Rendezvous.Call(kind: .maximum, count: values.count)
    guard case .integers(let largest) = try take(call, part: .integers(Array(values))) else {
      return
    }
    _ = values.update(from: largest)
  }

  package func startSum(
    _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws -> any PendingReduction {
    precondition(source.count == destination.count, "a sum has as many elements as its parts")
    let call = Rendezvous.Call(kind: .startSum, count: source.count)
    let number = try join(call, part: .floats(Array(source)))
    return Pending(number: number, destination: destination, rendezvous)
  }

  package func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws {
    precondition((0..<size).contains(root), "root is a rank")
    let call = Rendezvous.Call(kind: .broadcast, count: bytes.count, root: root)
    let part = Rendezvous.Values.bytes(rank == root ? Array(bytes) : [])
    guard case .bytes(let sent) = try take(call, part: part) else { return }
    bytes.copyBytes(from: sent)
  }

  package func gather(_ bytes: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer)
    throws
  {
    precondition(all.count == bytes.count * size, "room for every rank's bytes")
    let call = Rendezvous.Call(kind: .gather, count: bytes.count)
    guard case .bytes(let gathered) = try take(call, part: .bytes(Array(bytes))) else { return }
    all.copyBytes(from: gathered)
  }

  package func barrier() throws {
    _ = try take(Rendezvous.Call(kind: .barrier, count: 0), part: .bytes([]))
  }

  private final class Pending: PendingReduction {
    private let number: Int
    private let destination: UnsafeMutableBufferPointer<Float>
    private let rendezvous: Rendezvous
    private var isComplete = false

    init(number: Int, destination: UnsafeMutableBufferPointer<Float>, _ rendezvous: Rendezvous) {
      self.number = number
      self.destination = destination
      self.rendezvous = rendezvous
    }

    func poll() throws -> Bool { try advance(wait: false) }

    func wait() throws { _ = try advance(wait: true) }

    private func advance(wait: Bool) throws -> Bool {
      precondition(!isComplete, "a reduction is completed once")
      guard case .floats(let sums) = try rendezvous.collect(number, wait: wait) else {
        return false
      }
      _ = destination.update(from: sums)
      isComplete = true
      return true
    }
  }
}

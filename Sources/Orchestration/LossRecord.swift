import RunPlanning

/// What a run remembers of its losses, to tell a bad step from a good one; part of its state, so that
/// a run that is resumed judges alike.
package struct LossRecord: Sendable, Codable, Equatable {
  /// Mean loss of the accepted steps, the last 50 or so.
  package private(set) var mean = 0.0
  /// Accepted steps so far, up to 50.
  package private(set) var accepted = 0
  /// Rejected steps since the last accepted one.
  package private(set) var rejectedInRow = 0

  private static let memory = 50
  private static let fewestForALimit = 10

  package init() {}

  package mutating func accept(loss: Double) {
    rejectedInRow = 0
    accepted = min(accepted + 1, Self.memory)
    mean += (loss - mean) / Double(accepted)
  }

  package mutating func reject() { rejectedInRow += 1 }

  /// The largest loss of a step that is accepted.
  package func limit(_ numerics: RunConfig.Numerics) -> Double {
    numerics.spike > 0 && accepted >= Self.fewestForALimit ? numerics.spike * mean : .infinity
  }

  /// Numbers by which ranks hand it on.
  var words: [UInt64] {
    [mean.bitPattern, UInt64(accepted), UInt64(rejectedInRow)]
  }

  init(words: [UInt64]) {
    mean = Double(bitPattern: words[0])
    (accepted, rejectedInRow) = (Int(words[1]), Int(words[2]))
  }
}

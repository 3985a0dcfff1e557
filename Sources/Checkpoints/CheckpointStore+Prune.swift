import Failpoints
import Foundation

extension CheckpointStore {
  static let bestFile = "best.json"

  /// Remembers `step` as the best by evaluation, so that `prune` keeps it.
  package func setBest(step: Int) throws(CheckpointError) {
    try AtomicFile.write(
      path: "\(directory)/\(Self.bestFile)", bytes: Array("{\"step\": \(step)}\n".utf8))
  }

  /// The step of the best checkpoint. A hint: nil where none was remembered, where the memory is
  /// damaged, and where that checkpoint is gone.
  package var best: Int? {
    struct Best: Codable { var step: Int }
    guard let handle = try? DirectoryHandle(path: directory, .reading),
      let bytes = try? handle.withFile(
        Self.bestFile,
        { input, size throws(CheckpointError) in
          var bytes = [UInt8](repeating: 0, count: min(size, 1_000))
          let count = read(input, &bytes, bytes.count)
          return Data(bytes.prefix(max(count, 0)))
        }),
      let step = try? JSONDecoder().decode(Best.self, from: bytes).step,
      step >= 0, handle.contains(Self.name(of: step))
    else { return nil }
    return step
  }

  /// The steps of all checkpoints but the newest `keep` and the best one, newest first.
  ///
  /// Where none of those that stay is good, the newest good one stays as well.
  package func superfluous() throws(CheckpointError) -> [Int] {
    let steps = Array(try list().reversed())
    let best = self.best
    var stays = steps.prefix(keep).filter { $0 != best }
    if let best { stays.append(best) }
    var superfluous = steps.filter { !stays.contains($0) }
    guard !superfluous.isEmpty else { return [] }
    if let last = try superfluousGoodOne(of: superfluous, beside: stays) {
      superfluous.removeAll { $0 == last }
    }
    return superfluous
  }

  /// Removes the superfluous checkpoints and returns their steps.
  @discardableResult
  package func prune() throws(CheckpointError) -> [Int] {
    let superfluous = try superfluous()
    guard !superfluous.isEmpty else { return [] }
    Failpoint.pass(.beforePrune)
    let handle = try DirectoryHandle(path: directory, .writing)
    for step in superfluous {
      // The hidden name first: a directory that is half removed must not look like a checkpoint.
      let hidden = ".removed-\(Self.name(of: step)).\(randomSuffix())"
      try handle.rename(Self.name(of: step), to: hidden)
      try handle.synchronise()
      try handle.removeSubdirectory(hidden)
    }
    return superfluous
  }

  /// The newest good one of `superfluous`, where none of `stays` is good.
  private func superfluousGoodOne(
    of superfluous: [Int], beside stays: [Int]
  ) throws(CheckpointError) -> Int? {
    for step in stays where try isGood(step) { return nil }
    for step in superfluous where try isGood(step) { return step }
    return nil
  }
}

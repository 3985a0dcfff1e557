import Tensors

/// Spoils files at random: what it makes is a function of seed and number alone, so that a mutant
/// that was the end of a reader is made again from the two.
package struct Mutator {
  /// Values at which arithmetic goes wrong, as bytes of 1, 2, 4 and 8, in either order.
  private static let edges: [[UInt8]] = {
    let numbers: [UInt64] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 1 << 31, 1 << 32, 1 << 62]
    let extremes: [UInt64] = [.max, UInt64(Int64.max), 1 << 63, 0x7fff_ffff, 0xffff_ffff]
    return (numbers + extremes).flatMap { number in
      [1, 2, 4, 8].flatMap { size -> [[UInt8]] in
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) }
        return [bytes, bytes.reversed()]
      }
    }
  }()

  private var random: CounterRandom

  /// `number`: of the mutant, from 0.
  package init(seed: UInt64, number: Int) {
    random = CounterRandom(seed: seed, epoch: 0, sample: number, purpose: .test)
  }

  /// Uniform in `0..<bound`.
  package mutating func pick(_ bound: Int) -> Int { random.next(below: bound) }

  /// One of `seeds` with one to five changes. `words`: what the format's files consist of.
  package mutating func mutant(of seeds: [[UInt8]], words: [[UInt8]] = []) -> [UInt8] {
    var bytes = seeds[pick(seeds.count)]
    for _ in 0...pick(5) { change(&bytes, words: words, others: seeds) }
    return bytes
  }

  /// One change. `within`: only in the first so many bytes.
  package mutating func change(
    _ bytes: inout [UInt8], within: Int = .max, words: [[UInt8]] = [], others: [[UInt8]] = []
  ) {
    guard !bytes.isEmpty else { return bytes = [UInt8(pick(256))] }
    // Headers are short and say the most, so half of the changes go there.
    let reach = min(bytes.count, within, pick(2) == 0 ? 512 : .max)
    let place = pick(reach)
    let run = place..<min(bytes.count, place + 1 + pick(40))
    switch pick(10) {
    case 0, 1: bytes[place] ^= 1 << UInt8(pick(8))
    case 2: bytes[place] = UInt8(pick(256))
    case 3: overwrite(&bytes, at: place, with: Self.edges[pick(Self.edges.count)])
    case 4: bytes.removeSubrange(run)
    case 5: bytes.insert(contentsOf: bytes[run], at: place)
    case 6: for index in run { bytes[index] = UInt8(pick(256)) }
    case 7 where !words.isEmpty:
      let word = words[pick(words.count)]
      if pick(2) == 0 {
        bytes.insert(contentsOf: word, at: place)
      } else {
        overwrite(&bytes, at: place, with: word)
      }
    case 8 where !others.isEmpty:
      let other = others[pick(others.count)]
      bytes.replaceSubrange(place..., with: other.dropFirst(min(place, other.count)))
    case 9 where within == .max: bytes.removeSubrange(place...)
    default: bytes[place] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][pick(6)]
    }
  }

  private func overwrite(_ bytes: inout [UInt8], at place: Int, with word: [UInt8]) {
    bytes.replaceSubrange(place..<min(bytes.count, place + word.count), with: word)
  }
}

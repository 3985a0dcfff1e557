import Testing

@testable import Tensors

@Suite struct CounterRandomTests {
  /// Known answers of Random123 (kat_vectors, philox4x32 with 10 rounds).
  @Test func philoxKnownAnswers() {
    #expect(
      CounterRandom.philox(counter: .zero, key: .zero)
        == SIMD4(0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8))
    #expect(
      CounterRandom.philox(
        counter: SIMD4(repeating: 0xFFFF_FFFF), key: SIMD2(repeating: 0xFFFF_FFFF))
        == SIMD4(0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD))
    #expect(
      CounterRandom.philox(
        counter: SIMD4(0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344),
        key: SIMD2(0xA409_3822, 0x299F_31D0))
        == SIMD4(0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1))
  }

  /// Runs that were made keep their numbers: a change here changes every run.
  @Test func theStreamIsAFunctionOfItsArguments() {
    var random = CounterRandom(
      seed: 0xA409_3822 << 32 | 7, epoch: 3, sample: 17 << 32 | 5, purpose: .crop)
    let expected = CounterRandom.philox(
      counter: SIMD4(0, 5, 3, 17 << 16 | 2), key: SIMD2(7, 0xA409_3822))
    #expect((0..<4).map { _ in random.next() } == (0..<4).map { expected[$0] })
    let second = CounterRandom.philox(
      counter: SIMD4(1, 5, 3, 17 << 16 | 2), key: SIMD2(7, 0xA409_3822))
    #expect(random.next() == second[0])
  }

  @Test func everyArgumentChangesTheStream() {
    func first(_ seed: UInt64, _ epoch: Int, _ sample: Int, _ purpose: CounterRandom.Purpose)
      -> UInt32
    {
      var random = CounterRandom(seed: seed, epoch: epoch, sample: sample, purpose: purpose)
      return random.next()
    }
    let streams = [
      first(1, 0, 0, .shuffle), first(2, 0, 0, .shuffle), first(1 << 32, 0, 0, .shuffle),
      first(1, 1, 0, .shuffle), first(1, 0, 1, .shuffle), first(1, 0, 1 << 32, .shuffle),
      first(1, 0, 0, .crop), first(1, 0, 0, .flip),
    ]
    #expect(Set(streams).count == streams.count)
  }

  @Test func purposesKeepTheirNumbers() {
    #expect(CounterRandom.Purpose.allCases.map(\.rawValue) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
  }

  @Test func uniformFillsItsInterval() {
    var random = CounterRandom(seed: 9, epoch: 0, sample: 0, purpose: .test)
    let floats = (0..<10_000).map { _ in random.uniform() }
    #expect(floats.allSatisfy { $0 >= 0 && $0 < 1 })
    #expect(abs(floats.reduce(0, +) / 10_000 - 0.5) < 0.02)
    let doubles = (0..<10_000).map { _ in random.uniformDouble() }
    #expect(doubles.allSatisfy { $0 >= 0 && $0 < 1 })
    #expect(abs(doubles.reduce(0, +) / 10_000 - 0.5) < 0.02)
  }

  @Test(arguments: [1, 2, 3, 7, 1_000, Int.max]) func boundedNumbersStayBelow(_ bound: Int) {
    var random = CounterRandom(seed: 9, epoch: 0, sample: bound & 0xFF, purpose: .test)
    let numbers = (0..<1_000).map { _ in random.next(below: bound) }
    #expect(numbers.allSatisfy { (0..<bound).contains($0) })
    if bound <= 7 {
      for value in 0..<bound {
        let share = Double(numbers.count { $0 == value }) / 1_000
        #expect(abs(share * Double(bound) - 1) < 0.3)
      }
    }
  }

  @Test func normalHasMeanZeroAndVarianceOne() {
    var random = CounterRandom(seed: 9, epoch: 0, sample: 0, purpose: .test)
    let numbers = (0..<20_000).map { _ in random.normal() }
    let mean = numbers.reduce(0, +) / 20_000
    let variance = numbers.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 20_000
    #expect(abs(mean) < 0.03)
    #expect(abs(variance - 1) < 0.05)
    #expect(numbers.allSatisfy { $0.isFinite })
  }
}

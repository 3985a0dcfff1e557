import Tensors
import Testing

@Suite struct StateHashTests {
  private func hash(_ values: [Float]) -> UInt64 {
    var hash = StateHash()
    values.withUnsafeBytes { hash.combine($0) }
    return hash.value
  }

  @Test(arguments: [1, 15, 64, 65, 200]) func everySingleBitCounts(count: Int) {
    let values = (0..<count).map { Float($0) / 7 - 3 }
    let before = hash(values)
    var seen: Set = [before]
    for place in 0..<count {
      for bit in 0..<32 {
        var changed = values
        changed[place] = Float(bitPattern: changed[place].bitPattern ^ (1 << UInt32(bit)))
        seen.insert(hash(changed))
      }
    }
    #expect(seen.count == 32 * count + 1)
    #expect(hash(values) == before)
  }

  @Test func orderSignsAndLengthCount() {
    let values: [Float] = (0..<300).map { Float($0) }
    #expect(hash(values) != hash(values.reversed()))
    #expect(hash([0]) != hash([-0.0]))
    #expect(hash([0, 0]) != hash([0]))
    #expect(hash([]) != hash([0]))
  }
}

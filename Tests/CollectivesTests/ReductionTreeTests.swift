import Testing

@testable import Collectives

@Suite struct ReductionTreeTests {
  /// Parts whose sum differs with the order of addition.
  private func parts(_ count: Int) -> [[Float]] {
    (0..<count).map { part in
      var values = [Float](repeating: 0, count: 64)
      values.withUnsafeMutableBufferPointer {
        Float.fill($0, from: 0, stream: Float.stream(3, rank: part))
      }
      return values
    }
  }

  private func at(_ p: [[Float]], _ tree: ([Float]) -> Float) -> [Float] {
    (0..<64).map { index in tree(p.map { $0[index] }) }
  }

  @Test func powersOfTwoAreBalanced() {
    #expect(ReductionTree.sum(parts: parts(1)) == parts(1)[0])
    #expect(ReductionTree.sum(parts: parts(2)) == at(parts(2)) { $0[0] + $0[1] })
    #expect(
      ReductionTree.sum(parts: parts(4)) == at(parts(4)) { ($0[0] + $0[1]) + ($0[2] + $0[3]) })
    let eight = at(parts(8)) { p in
      let (first, second) = ((p[0] + p[1]) + (p[2] + p[3]), (p[4] + p[5]) + (p[6] + p[7]))
      return first + second
    }
    #expect(ReductionTree.sum(parts: parts(8)) == eight)
  }

  @Test func othersFollowTheBinaryCounter() {
    #expect(ReductionTree.sum(parts: parts(3)) == at(parts(3)) { ($0[0] + $0[1]) + $0[2] })
    let five = at(parts(5)) { p in ((p[0] + p[1]) + (p[2] + p[3])) + p[4] }
    #expect(ReductionTree.sum(parts: parts(5)) == five)
    let seven = at(parts(7)) { p in
      let (first, second) = ((p[0] + p[1]) + (p[2] + p[3]), (p[4] + p[5]) + p[6])
      return first + second
    }
    #expect(ReductionTree.sum(parts: parts(7)) == seven)
  }

  /// The values above are able to tell orders apart.
  @Test func anotherOrderHasOtherBits() {
    let sequential = at(parts(8)) { $0.reduce(0, +) }
    #expect(ReductionTree.sum(parts: parts(8)) != sequential)
  }

  @Test func doublesAddLikewise() {
    #expect(ReductionTree.sum(parts: [[1.0], [0x1p-53], [0x1p-53]]) == [1.0])
    #expect(ReductionTree.sum(parts: [[0x1p-53], [0x1p-53], [1.0]]) == [1 + Double.ulpOfOne])
    #expect(ReductionTree.sum(parts: [[Double]]()) == [])
  }
}

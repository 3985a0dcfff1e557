/// Bytes of a tar archive, each part open to damage.
package struct TarFixture {
  package struct Member {
    package var name: String
    package var content: [UInt8]
    package var type: UInt8 = UInt8(ascii: "0")
    /// In place of the true ones.
    package var sizeField: [UInt8]?
    package var checksum: Int?

    package init(
      name: String, content: [UInt8], type: UInt8 = UInt8(ascii: "0"), sizeField: [UInt8]? = nil,
      checksum: Int? = nil
    ) {
      (self.name, self.content, self.type) = (name, content, type)
      (self.sizeField, self.checksum) = (sizeField, checksum)
    }
  }

  package var members: [Member] = []
  package var endBlocks = 2

  package init(members: [Member] = []) { self.members = members }

  private static func header(_ member: Member) -> [UInt8] {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ bytes: some Sequence<UInt8>, at place: Int) {
      for (index, byte) in bytes.enumerated() { block[place + index] = byte }
    }
    func octal(_ value: Int, digits: Int) -> [UInt8] {
      let text = String(value, radix: 8)
      return Array((String(repeating: "0", count: digits - text.count) + text).utf8)
    }
    put(Array(member.name.utf8).prefix(100), at: 0)
    put("0000644".utf8, at: 100)
    put(member.sizeField ?? octal(member.content.count, digits: 11), at: 124)
    put(octal(0, digits: 11), at: 136)
    block[156] = member.type
    put("ustar\0".utf8, at: 257)
    put("00".utf8, at: 263)
    put(repeatElement(32, count: 8), at: 148)
    let sum = member.checksum ?? block.reduce(0) { $0 + Int($1) }
    put(octal(sum, digits: 6) + [0, 32], at: 148)
    return block
  }

  package var bytes: [UInt8] {
    members.flatMap { member in
      Self.header(member) + member.content
        + [UInt8](repeating: 0, count: (512 - member.content.count % 512) % 512)
    } + [UInt8](repeating: 0, count: 512 * endBlocks)
  }

  /// Samples of an image and a label each; the images are what the caller says they are.
  package static func samples(_ samples: [(key: String, image: [UInt8], label: Int)]) -> TarFixture
  {
    TarFixture(
      members: samples.flatMap {
        [
          Member(name: $0.key + ".jpg", content: $0.image),
          Member(name: $0.key + ".cls", content: Array("\($0.label)".utf8)),
        ]
      })
  }
}

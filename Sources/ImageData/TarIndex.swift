import Foundation
import Tensors

/// The samples of one shard: a tar archive of `key.jpg` and `key.cls`, as WebDataset writes them.
///
/// Content of the index: size and modification time of the archive, a digest, then 24 bytes a sample
/// (offset, size, label, end of its key) and all keys.
final class TarIndex: Sendable {
  static let kind: StaticString = "RVGTAR01"
  private static let bytesPerSample = 24
  private static let headerSize = 24

  let count: Int
  let largestLabel: Int
  /// SHA-256 over keys, sizes and labels.
  let digest: String
  private let file: IndexFile
  private let samplesAt: Int
  private let namesAt: Int

  /// nil where the file's content contradicts itself or was made of another state of the archive.
  init?(_ file: IndexFile, of archive: RegularFile) {
    guard file.count >= Self.headerSize + 64,
      Int(file.load(Int64.self, at: 0)) == archive.size,
      file.load(Int64.self, at: 8) == archive.modified
    else { return nil }
    count = Int(file.load(UInt32.self, at: 16))
    largestLabel = Int(file.load(UInt32.self, at: 20))
    digest = RegularFile.text(Array(file.bytes(Self.headerSize..<Self.headerSize + 64)))
    self.file = file
    samplesAt = Self.headerSize + 64
    namesAt = samplesAt + count * Self.bytesPerSample
    guard count > 0, namesAt <= file.count, isSound(archive) else { return nil }
  }

  private func isSound(_ archive: RegularFile) -> Bool {
    var end = 0
    for sample in 0..<count {
      let (offset, size) = place(of: sample)
      let next = nameEnd(sample)
      guard next > end, next <= file.count - namesAt, offset >= 0, size > 0,
        offset <= archive.size - size,
        label(of: sample) <= largestLabel
      else { return false }
      end = next
    }
    return namesAt + end == file.count
  }

  private func field<Number: FixedWidthInteger & BitwiseCopyable>(
    _ type: Number.Type, _ sample: Int, at offset: Int
  ) -> Int {
    Int(truncatingIfNeeded: file.load(type, at: samplesAt + sample * Self.bytesPerSample + offset))
  }

  private func nameEnd(_ sample: Int) -> Int { field(Int64.self, sample, at: 16) }

  /// Of the encoded image in the archive.
  func place(of sample: Int) -> (offset: Int, size: Int) {
    (field(Int64.self, sample, at: 0), field(UInt32.self, sample, at: 8))
  }

  func label(of sample: Int) -> Int { field(UInt32.self, sample, at: 12) }

  func key(of sample: Int) -> [UInt8] {
    let start = sample == 0 ? 0 : nameEnd(sample - 1)
    return Array(file.bytes(namesAt + start..<namesAt + nameEnd(sample)))
  }

  /// Of the archive when the index was made, nanoseconds since 1970.
  var modified: Int64 { file.load(Int64.self, at: 8) }
}

// MARK: - Making one

extension TarIndex {
  /// Reads all headers and labels of an archive.
  static func content(_ archive: RegularFile) throws(DataError) -> IndexFile.Content {
    try TarWalk(archive).content()
  }
}

/// Groups an archive's members into samples: members that follow each other and share a key, which
/// is the name up to the first dot behind the last slash.
private struct TarWalk: ~Copyable {
  private struct Sample {
    var key: [UInt8]
    var image: (offset: Int, size: Int)?
    var label: Int?
  }

  private let archive: RegularFile
  private var current: Sample?
  private var keys: Set<[UInt8]> = []
  private var samples = IndexFile.Content()
  private var names = IndexFile.Content()
  private var largestLabel = 0
  private var digest = SHA256Digest()
  private let buffer = ByteBuffer()

  init(_ archive: RegularFile) { self.archive = archive }

  consuming func content() throws(DataError) -> IndexFile.Content {
    var headers = TarHeaders(archive)
    while let member = try headers.next() {
      if member.isFile { try add(member) }
    }
    try finishSample()
    guard !keys.isEmpty else {
      throw damage("holds no sample; expects members key.jpg and key.cls for each")
    }
    return assemble()
  }

  private mutating func add(_ member: TarMember) throws(DataError) {
    let slash = member.name.lastIndex(of: UInt8(ascii: "/")) ?? -1
    guard let dot = member.name[(slash + 1)...].firstIndex(of: UInt8(ascii: ".")),
      dot > slash + 1
    else { return }
    let key = Array(member.name[..<dot])
    if current?.key != key {
      try finishSample()
      guard keys.insert(key).inserted else {
        throw damage("the key '\(RegularFile.text(key))' occurs twice, with other samples between")
      }
      current = Sample(key: key)
    }
    let ending = member.name[(dot + 1)...].map { (65...90).contains($0) ? $0 | 0x20 : $0 }
    switch RegularFile.text(ending) {
    case "jpg", "jpeg", "png":
      guard current?.image == nil else { throw damage("'\(RegularFile.text(key))' has two images") }
      guard member.size > 0, member.size <= UInt32.max else {
        throw damage("the image of '\(RegularFile.text(key))' has \(member.size) bytes")
      }
      current?.image = (member.offset, member.size)
    case "cls": try setLabel(try label(member))
    case "json": try setLabel(try labelOfJSON(member))
    default: break
    }
  }

  private mutating func setLabel(_ label: Int?) throws(DataError) {
    guard let label else { return }
    if let other = current?.label, other != label {
      throw damage(
        "'\(RegularFile.text(current?.key ?? []))' has the labels \(other) and \(label)")
    }
    current?.label = label
  }

  /// A `.cls` member: a decimal number.
  private func label(_ member: TarMember) throws(DataError) -> Int {
    guard member.size <= 64 else { throw labelDamage(member) }
    try archive.read(at: member.offset, count: member.size, into: buffer)
    let text = RegularFile.text(Array(buffer.all))
    guard let label = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
      throw labelDamage(member)
    }
    return try bounded(label, member)
  }

  /// The field `label` of a `.json` member, where it has one.
  private func labelOfJSON(_ member: TarMember) throws(DataError) -> Int? {
    guard member.size <= 1 << 20 else { return nil }
    struct Label: Decodable { var label: Int? }
    try archive.read(at: member.offset, count: member.size, into: buffer)
    guard let decoded = try? JSONDecoder().decode(Label.self, from: Data(buffer.all)) else {
      throw labelDamage(member)
    }
    guard let label = decoded.label else { return nil }
    return try bounded(label, member)
  }

  private func bounded(_ label: Int, _ member: TarMember) throws(DataError) -> Int {
    guard (0..<1_000_000).contains(label) else { throw labelDamage(member) }
    return label
  }

  private func labelDamage(_ member: TarMember) -> DataError {
    damage("'\(RegularFile.text(member.name))' holds no label; expects a number from 0 on")
  }

  private mutating func finishSample() throws(DataError) {
    guard let sample = current else { return }
    current = nil
    let key = RegularFile.text(sample.key)
    guard let image = sample.image else { throw damage("'\(key)' has no .jpg or .png member") }
    guard let label = sample.label else {
      throw damage("'\(key)' has no label; expects \(key).cls, or a label in \(key).json")
    }
    names.append(sample.key)
    samples.append(Int64(image.offset))
    samples.append(UInt32(image.size))
    samples.append(UInt32(label))
    samples.append(Int64(names.bytes.count))
    largestLabel = max(largestLabel, label)
    for number in [sample.key.count, image.size, label] {
      withUnsafeBytes(of: UInt64(number).littleEndian) { digest.update($0) }
    }
    sample.key.withUnsafeBytes { digest.update($0) }
  }

  private consuming func assemble() -> IndexFile.Content {
    var content = IndexFile.Content()
    content.append(Int64(archive.size))
    content.append(archive.modified)
    content.append(UInt32(keys.count))
    content.append(UInt32(largestLabel))
    content.append(Array(digest.finish().utf8))
    content.append(samples.bytes)
    content.append(names.bytes)
    return content
  }

  private func damage(_ what: String) -> DataError {
    DataError(.malformed, "\(archive.name): \(what)")
  }
}

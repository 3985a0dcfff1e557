import ImageData
import Testing
import _TestSupport

@Suite struct CIFARTests {
  /// Records whose planes count up from their label.
  private func records(_ labels: [[UInt8]]) -> [UInt8] {
    labels.flatMap { label in
      label
        + (0..<3072).map { UInt8(truncatingIfNeeded: $0 / 1024 * 64 + $0 % 1024 + Int(label[0])) }
    }
  }

  @Test func readsTenAndHundred() throws {
    let directory = try ScratchDirectory()
    let first = try directory.write(records([[3], [9]]), to: "data_batch_1.bin")
    let second = try directory.write(gzip(records([[0]])), to: "data_batch_2.bin.gz")
    let ten = try CIFARDataset(kind: .ten, files: [first, second])
    #expect((0..<ten.count).map { ten.label(of: $0) } == [3, 9, 0])
    #expect(ten.form == .pixels(height: 32, width: 32, channels: 3))
    #expect(ten.name(of: 1) == "data_batch_1.bin[1]" && ten.name(of: 2) == "data_batch_2.bin.gz[0]")
    // Planes in the file, pixels side by side in memory.
    #expect(try Array(pixels(of: ten, 0)[..<6]) == [3, 67, 131, 4, 68, 132])
    let path = try directory.write(records([[7, 99], [1, 20]]), to: "train.bin")
    let hundred = try CIFARDataset(kind: .hundred, files: [path])
    #expect((0..<2).map { hundred.label(of: $0) } == [99, 20] && hundred.classes == 100)
    #expect(try CIFARDataset(kind: .ten, files: [first]).fingerprint != ten.fingerprint)
  }

  @Test func classesHaveTheArchivesNames() throws {
    let directory = try ScratchDirectory()
    let path = try directory.write(records([[3]]), to: "data_batch_1.bin")
    func names(_ text: String) throws -> [String] {
      try CIFARDataset(kind: .ten, files: [path], names: directory.write(text, to: "n.txt"))
        .classNames
    }
    // The archive's file ends with an empty line.
    let ten = (0..<10).map { "thing \($0)" }
    #expect(try names(ten.joined(separator: "\n") + "\n\n") == ten)
    let error = try #require(throws: DataError.self) { try names("a\nb\n") }
    #expect(error.message.contains("names 2 classes, CIFAR-10 has 10"))
  }

  @Test func refusesWhatIsNotCIFAR() throws {
    let directory = try ScratchDirectory()
    func refusal(_ kind: CIFARDataset.Kind, _ bytes: [UInt8]) throws -> DataError {
      let path = try directory.write(bytes, to: "x.bin")
      return try #require(throws: DataError.self) { try CIFARDataset(kind: kind, files: [path]) }
    }
    #expect(try refusal(.ten, []).message.contains("is empty"))
    #expect(try refusal(.ten, Array(records([[1]]).dropLast())).message.contains("3072 of 3073"))
    #expect(try refusal(.ten, records([[1], [10]])).message.contains("label 10 of record 1"))
    #expect(try refusal(.hundred, records([[1, 100]])).message.contains("label 100 of record 0"))
    #expect(try refusal(.hundred, records([[1]])).message.contains("CIFAR-100"))
  }
}

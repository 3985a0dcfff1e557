import Foundation
import Images
import Testing
import _TestSupport

/// `repvgg bench loader` on a few small files: what it says, never how fast.
@Suite(.timeLimit(.minutes(2))) struct BenchLoaderTests {
  private func jpeg(_ number: Int) throws -> [UInt8] {
    let image = PixelBuffer()
    image.reshape(height: 40 + number, width: 60, channels: 3)
    for index in 0..<image.count {
      image.base[index] = UInt8(truncatingIfNeeded: index * (number + 1) / 7)
    }
    return try JPEGSettings().encode(image)
  }

  private func data() throws -> ScratchDirectory {
    let scratch = try ScratchDirectory()
    for number in 0..<6 {
      try scratch.write(try jpeg(number), to: "data/train/class\(number % 2)/\(number).jpg")
    }
    try scratch.write(
      TarFixture.samples(
        try (0..<5).map { ("k\($0)", try jpeg($0), $0 % 3) }
      ).bytes, to: "shards/0.tar")
    return scratch
  }

  private func report(_ arguments: [String], in scratch: ScratchDirectory) throws -> [String: Any] {
    let result = try runProgram(
      ["bench", "loader"] + arguments + ["--json"], environment: withoutMPI,
      directory: scratch.path)
    #expect(result.status == 0 && result.stderr.isEmpty, "\(result.stderr)")
    let object = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8))
    return try #require(object as? [String: Any])
  }

  @Test(arguments: [
    ("data", 6, 2), ("data/train", 6, 2), ("shards", 5, 3), ("shards/0.tar", 5, 3),
    ("data/train/class0/0.jpg", 1024, 1),
  ])
  func everyPlaceOfImages(place: String, samples: Int, classes: Int) throws {
    let scratch = try data()
    for mode in ["exact", "fast"] {
      let report = try report(
        [
          "--data", place, "--resolution", "24", "--decode", mode, "--batch", "4", "--count", "9",
          "--threads", "2", "--augmentation", "randaugment",
        ], in: scratch)
      #expect(report["samples"] as? Int == samples && report["classes"] as? Int == classes)
      #expect(report["decode"] as? String == mode && report["threads"] as? Int == 2)
      #expect((report["images"] as? Int ?? 0) >= 9)
      for key in [
        "images_per_second", "processor_seconds_per_image", "seconds_to_open",
        "seconds_to_first_batch", "planned_loader_bytes", "peak_resident_bytes",
      ] {
        #expect(report[key] as? Double ?? 0 > 0, "\(key) of \(report)")
      }
      let shares = try #require(report["shares"] as? [String: Double])
      #expect(Set(shares.keys) == ["read", "decode", "resize", "augment", "normalise"])
      #expect(shares.values.allSatisfy { $0 > 0 } && abs(shares.values.reduce(0, +) - 1) < 1e-9)
    }
  }

  @Test func inWords() throws {
    let directory = try data()
    let result = try runProgram(
      ["bench", "loader", "--data", "data", "--resolution", "24", "--count", "1"],
      environment: withoutMPI, directory: directory.path)
    #expect(result.status == 0 && result.stderr.isEmpty)
    for word in ["images/s", "first batch", "decode", "the plan counts"] {
      #expect(result.stdout.contains(word), "\(word)")
    }
  }

  @Test(arguments: [
    ("nowhere", 66, "nowhere"), ("data/text.jpg", 65, "text.jpg"), ("data", 65, "1.jpg"),
  ])
  func whatIsNoImage(place: String, code: Int, says: String) throws {
    let scratch = try data()
    try scratch.write("words", to: "data/text.jpg")
    try scratch.write("words", to: "data/train/class1/1.jpg")
    let result = try runProgram(
      ["bench", "loader", "--data", place], environment: withoutMPI, directory: scratch.path)
    #expect(result.status == Int32(code) && result.stdout.isEmpty)
    #expect(result.complaints.count == 1 && result.stderr.contains(says), "\(result.stderr)")
  }
}

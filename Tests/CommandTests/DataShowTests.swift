import Foundation
import Images
import Testing
import _TestSupport

/// `repvgg data show`: sheets hold the pixels that lie in the data, and harm nothing.
@Suite(.timeLimit(.minutes(2))) struct DataShowTests {
  private static let show = ["data", "show", TinyJob.configuration]
  private static let plain = ["--set", "data.crop_padding=0"]
  private static let gap = 4

  private func bytes(of name: String, in job: TinyJob) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: job.scratch.path(name))))
  }

  private func decoded(_ file: [UInt8], channels: Int) throws -> PixelBuffer {
    let pixels = PixelBuffer()
    try file.withUnsafeBytes { try ImageDecoder().decode($0, channels: channels, into: pixels) }
    return pixels
  }

  /// A part of a sheet, row after row.
  private func part(
    of sheet: PixelBuffer, top: Int, left: Int, height: Int, width: Int
  ) -> [UInt8] {
    (top..<top + height).flatMap { row in
      let start = row * sheet.stride + left * sheet.channels
      return (start..<start + width * sheet.channels).map { sheet.base[$0] }
    }
  }

  /// 320 grey images of 16 x 16 behind a header of 16 bytes.
  private func stored(_ sample: Int, in job: TinyJob) throws -> [UInt8] {
    let file = try bytes(of: "data/train-images-idx3-ubyte", in: job)
    return Array(file[16 + 256 * sample..<16 + 256 * (sample + 1)])
  }

  @Test func greySheetsHoldTheStoredPixels() throws {
    let job = try TinyJob()
    let arguments = Self.show + Self.plain + ["--samples", "5,0,319", "--output", "sheet.png"]
    let result = try job.run(arguments)
    try #require(result.status == 0, "\(result)")
    #expect(result.stdout.hasPrefix("tiny: 3 training images, 16 x 16\n"), "\(result.stdout)")
    #expect(result.stdout.contains("\n     5      0  16 x 16  5      train-images-idx3-ubyte[5]\n"))
    #expect(result.stdout.hasSuffix("\nsheet.png: 2 in a row\n"))
    let file = try bytes(of: "sheet.png", in: job)
    let sheet = try decoded(file, channels: 1)
    try #require((sheet.height, sheet.width) == (32 + Self.gap, 32 + Self.gap))
    for (place, sample) in [5, 0, 319].enumerated() {
      let (top, left) = (place / 2 * (16 + Self.gap), place % 2 * (16 + Self.gap))
      #expect(
        try part(of: sheet, top: top, left: left, height: 16, width: 16)
          == stored(sample, in: job))
    }
    // Again, over the first: the same bytes.
    #expect(try job.run(arguments).status == 0)
    #expect(try bytes(of: "sheet.png", in: job) == file)
  }

  @Test func colourSheetsHoldTheDecodedPixels() throws {
    let job = try TinyJob(
      """
      model: {architecture: {stem: 8, depths: [1], widths: [8]}, classes: 2}
      data:
        format: folder
        directory: pictures
        resolution: 20
        crop_scale: [1, 1]
        crop_ratio: [1, 1]
        evaluation_resize: 20
      training: {global_batch: 2, shards: 2}

      """)
    let picture = PixelBuffer()
    picture.reshape(height: 20, width: 20, channels: 3)
    for index in 0..<picture.count { picture.base[index] = UInt8(truncatingIfNeeded: 7 * index) }
    for place in ["train/cat", "train/dog & <b>", "val/cat", "val/dog & <b>"] {
      try job.scratch.write(picture.encodedPNG(), to: "pictures/\(place)/one.png")
    }
    let pixels = (0..<picture.count).map { picture.base[$0] }
    for split in ["train", "test"] {
      let result = try job.run(
        Self.show + ["--split", split, "--zoom", "2", "--columns", "2", "--json"])
      try #require(result.status == 0, "\(result)")
      let sheet = try decoded(bytes(of: "tiny-\(split).png", in: job), channels: 3)
      try #require((sheet.height, sheet.width) == (40, 80 + Self.gap))
      for left in [0, 40 + Self.gap] {
        let shown = part(of: sheet, top: 0, left: left, height: 40, width: 40)
        #expect(
          (0..<20 * 20 * 3).allSatisfy { index in
            let (row, column, channel) = (index / 60, index % 60 / 3, index % 3)
            return shown[(2 * row * 40 + 2 * column) * 3 + channel] == pixels[index]
              && shown[((2 * row + 1) * 40 + 2 * column + 1) * 3 + channel] == pixels[index]
          })
      }
      let json = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8))
      let images = try #require((json as? [String: Any])?["images"] as? [[String: Any]])
      #expect(images.compactMap { $0["class"] as? String }.sorted() == ["cat", "dog & <b>"])
    }
    let page = try job.run(Self.show + ["--output", "page.html"])
    try #require(page.status == 0, "\(page)")
    let html = try job.scratch.text(of: "page.html")
    let sources = html.components(separatedBy: "data:image/png;base64,").dropFirst()
    #expect(sources.count == 2 && html.contains("<b>1 dog &amp; &lt;b&gt;</b>"))
    for source in sources {
      let encoded = try #require(source.split(separator: "\"").first)
      let file = Array(try #require(Data(base64Encoded: String(encoded))))
      let shown = try decoded(file, channels: 3)
      #expect(part(of: shown, top: 0, left: 0, height: 20, width: 20) == pixels)
    }
    #expect(try job.run(Self.show + ["--output", "page.html"]).status == 0)
    #expect(try job.scratch.text(of: "page.html") == html)
  }

  /// Mixtures are named, epochs differ, and one sample's epochs stand side by side.
  @Test func epochsSideBySide() throws {
    let job = try TinyJob()
    let result = try job.run(
      Self.show + [
        "--set", "training.cutmix_alpha=1", "--count", "3", "--epoch", "1", "--repeat", "4",
        "--output", "epochs.png",
      ])
    try #require(result.status == 0, "\(result)")
    let lines = result.stdout.split(separator: "\n").dropFirst(3).dropLast()
    #expect(lines.count == 12 && lines.allSatisfy { $0.contains(" of ") }, "\(result.stdout)")
    let numbers = lines.map { $0.split(separator: " ").prefix(2).map { Int($0) ?? -1 } }
    #expect(numbers.map { $0[1] } == [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4])
    #expect(Set(numbers.map { $0[0] }).count == 3 && numbers[0][0] == numbers[3][0])
    let sheet = try decoded(bytes(of: "epochs.png", in: job), channels: 1)
    #expect((sheet.height, sheet.width) == (48 + 2 * Self.gap, 64 + 3 * Self.gap))
    let first = part(of: sheet, top: 0, left: 0, height: 16, width: 16)
    #expect(part(of: sheet, top: 0, left: 16 + Self.gap, height: 16, width: 16) != first)
  }

  @Test(arguments: [
    (["--samples", "1,x"], 64, "--samples '1,x' is not a list"),
    (["--samples", "1,,2"], 64, "not a list"),
    (["--samples", "-1"], 64, "not a list"),
    (["--samples", "3,320"], 64, "--samples 320: the training images are 0 to 319"),
    (["--samples", "50", "--split", "test"], 64, "the test images are 0 to 49"),
    (["--samples", "1", "--count", "2"], 64, "--samples and --count exclude each other"),
    (["--count", "1001"], 64, "from 1 to 1000"),
    (["--count", "300", "--repeat", "4"], 64, "1200 images are asked for"),
    (["--count", "300", "--zoom", "64"], 64, "at most 100000000 pixels"),
    (["--epoch", "1", "--split", "test"], 64, "the same in every epoch"),
    (["--output", "sheet.jpg"], 64, "neither in .png nor in .html"),
    (["--output", "nowhere/sheet.png"], 73, "nowhere"),
    (["--output", "mine.png"], 73, "mine.png: exists and is no contact sheet"),
    (["--output", "mine.html"], 73, "mine.html: exists and is no page"),
    (["--output", "link.png"], 73, "link.png: exists"),
    (["--output", "directory.png"], 73, "is a directory"),
    (
      ["--set", "data.format=synthetic", "--set", "data.channels=2"],
      78,
      "data.channels is 2"
    ),
    (["--set", "data.directory=elsewhere"], 66, "elsewhere"),
    (["--set", "data.nonsense=1"], 78, "data.nonsense"),
  ])
  func refusals(arguments: [String], status: Int, says: String) throws {
    let job = try TinyJob(trainCount: 320)
    try job.scratch.write("mine", to: "mine.html")
    let picture = PixelBuffer()
    picture.reshape(height: 40, width: 40, channels: 1)
    picture.base.update(repeating: 3, count: picture.count)
    try job.scratch.write(picture.encodedPNG(), to: "mine.png")
    let files = FileManager.default
    try files.createDirectory(
      atPath: job.scratch.path("directory.png"), withIntermediateDirectories: true)
    try files.createSymbolicLink(
      atPath: job.scratch.path("link.png"), withDestinationPath: "mine.png")
    let before = try FileTree(job.scratch.path)
    let result = try job.run(Self.show + arguments)
    #expect(result.status == status && result.stdout.isEmpty, "\(result)")
    #expect(result.complaints.count == 1 && result.stderr.contains(says), "\(result.stderr)")
    #expect(try FileTree(job.scratch.path).lost(from: before) == [])
    #expect(try FileTree(job.scratch.path).paths == before.paths)
  }
}

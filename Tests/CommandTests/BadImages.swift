import Foundation
import Images
import _TestSupport

// Data sets of image files, archives and CIFAR that must be refused.

extension BadInput {
  static let trainOnFolders = train + FolderJob.settings

  /// Training on directories of images, spoilt.
  private static func folders(
    _ name: String, _ says: [String], code: Int = 65,
    _ spoil: @escaping @Sendable (BadInputSite) throws -> Void
  ) -> BadInput {
    BadInput(name, code, says) { site in
      try FolderJob.write(to: site.job.scratch, directory: "images")
      try spoil(site)
      return trainOnFolders
    }
  }

  /// In the place of a training image.
  private static func image(
    _ name: String, _ says: [String], _ spoil: @escaping @Sendable ([UInt8]) -> [UInt8]
  ) -> BadInput {
    folders(name, ["images/train/class1/image3.jpg: "] + says) { site in
      try site.write(spoil(FolderJob.picture(1, 3)), to: "images/train/class1/image3.jpg")
    }
  }

  private static func link(_ target: String, _ name: String, _ site: BadInputSite) throws {
    try FileManager.default.createSymbolicLink(
      atPath: site.job.scratch.path(name), withDestinationPath: target)
  }

  private static func remove(_ name: String, _ site: BadInputSite) throws {
    try FileManager.default.removeItem(atPath: site.job.scratch.path(name))
  }

  static let imageFolders: [BadInput] = [
    folders("no directory of images", ["images: ", "data.directory"], code: 66) {
      try remove("images", $0)
    },
    folders("no split", ["images: ", "neither 'val'"], code: 66) { try remove("images/val", $0) },
    folders("empty directory", ["images: ", "no 'train'"], code: 66) { site in
      try remove("images", site)
      try site.makeDirectory("images")
    },
    folders("no classes", ["images/train: ", "holds no directories"]) { site in
      try remove("images/train", site)
      try site.makeDirectory("images/train")
    },
    folders("an empty class", ["images/train/class2x: ", "holds no JPEG or PNG"]) {
      try $0.makeDirectory("images/train/class2x")
    },
    folders("one class", ["images/train: ", "one class"]) { site in
      for split in ["train", "val"] {
        for label in 1..<4 { try remove("images/\(split)/class\(label)", site) }
      }
    },
    folders("a class in test alone", ["only in test: 'class9'"]) {
      try $0.write(FolderJob.picture(1, 1), to: "images/val/class9/a.jpg")
    },
    folders("a class in training alone", ["only in training: 'class3'"]) {
      try remove("images/val/class3", $0)
    },
    folders("classes that differ by case", ["only in training: 'class3'", "in test: 'Class3'"]) {
      site in
      try FileManager.default.moveItem(
        atPath: site.job.scratch.path("images/val/class3"),
        toPath: site.job.scratch.path("images/val/Class3"))
    },
    folders(
      "classes that differ by an accent's spelling", ["only in training", "only in test"]
    ) {
      site in
      try site.write(FolderJob.picture(1, 1), to: "images/train/e\u{301}/a.jpg")
      try site.write(FolderJob.picture(1, 1), to: "images/val/\u{e9}/a.jpg")
    },
    folders("a class of two lines", ["images/train/a\\u{a}b: ", "rename"]) {
      try $0.write(FolderJob.picture(1, 1), to: "images/train/a\nb/a.jpg")
    },
    folders("a link to nowhere", ["class0/l.jpg: ", "Remove it"]) {
      try link("nowhere.jpg", "images/train/class0/l.jpg", $0)
    },
    folders("a link to itself", ["class0/l.jpg: ", "Remove it"]) {
      try link("l.jpg", "images/train/class0/l.jpg", $0)
    },
    folders("a link to a directory above", ["class0/up: ", "leads back"]) {
      try link("..", "images/train/class0/up", $0)
    },
    folders("a device as image", ["class0/zero.jpg: ", "not a regular file"]) {
      try link("/dev/zero", "images/train/class0/zero.jpg", $0)
    },
    folders("a FIFO as image", ["class0/pipe.jpg: ", "not a regular file"]) { site in
      let path = site.job.scratch.path("images/train/class0/pipe.jpg")
      guard mkfifo(path, 0o600) == 0 else { throw POSIXError(.EIO) }
    },
    folders("a damaged name of two lines", ["class0/a\\u{a}b\\u{9}.jpg: ", "is empty"]) {
      try $0.write([], to: "images/train/class0/a\nb\t.jpg")
    },
    // Of a training image a crop may lie in the half that is there.
    folders("half a JPEG", ["images/val/class1/image1.jpg: ", "cut short"]) { site in
      try site.change("images/val/class1/image1.jpg") { $0.removeLast($0.count / 2) }
    },
    image("a JPEG of 65500 x 65500", ["65500 x 65500", "limit"]) { $0.withJPEGSides(65500) },
    image("a JPEG without height", ["height"]) { $0.withJPEGSides(0) },
    image("an empty file", ["is empty, not JPEG or PNG"]) { _ in [] },
    image("a GIF", ["is a GIF image, not JPEG or PNG"]) { _ in
      Array("GIF89a".utf8) + [1, 0, 1, 0, 0, 0, 0]
    },
    image("a page", ["HTML"]) { _ in Array("<!DOCTYPE html><html></html>".utf8) },
  ]

  // MARK: - Archives and CIFAR

  private static func archive(
    _ name: String, _ says: [String], _ spoil: @escaping @Sendable (inout TarFixture) -> Void
  ) -> BadInput {
    tar(name, ["tar/train/0.tar"] + says) { site in
      var archive = try sampleArchive()
      spoil(&archive)
      try site.write(archive.bytes, to: "tar/train/0.tar")
    }
  }

  private static func sampleArchive() throws -> TarFixture {
    TarFixture.samples(
      try (0..<12).map { ("s\($0)", try FolderJob.picture($0 % 4, $0), $0 % 4) })
  }

  private static func tar(
    _ name: String, _ says: [String], _ spoil: @escaping @Sendable (BadInputSite) throws -> Void
  ) -> BadInput {
    BadInput(name, 65, says) { site in
      for split in ["train", "val"] {
        try site.write(sampleArchive().bytes, to: "tar/\(split)/0.tar")
      }
      try spoil(site)
      return trainOnFolders + ["--set", "data.format=tar", "--set", "data.directory=tar"]
    }
  }

  static let archives: [BadInput] = [
    archive("a member above", ["'../../evil.jpg'"]) { $0.members[0].name = "../../evil.jpg" },
    archive("an absolute member", ["'/tmp/evil.jpg'"]) { $0.members[0].name = "/tmp/evil.jpg" },
    archive("a link as member", ["symbolic link"]) { $0.members[0].type = UInt8(ascii: "2") },
    archive("an archive without its end", ["without the blocks of zeros"]) { $0.endBlocks = 0 },
    tar("one label", ["tar/train: ", "one class"]) { site in
      let pictures = try (0..<12).map { ("s\($0)", try FolderJob.picture(0, $0), 0) }
      try site.write(TarFixture.samples(pictures).bytes, to: "tar/train/0.tar")
    },
    archive("a giant label", ["holds no label"]) {
      $0.members[1].content = Array("99999999999999999999".utf8)
    },
    tar("classes.txt with an empty line", ["tar/classes.txt: ", "line 2 is empty"]) {
      try $0.write("a\n\nb\nc\nd\n", to: "tar/classes.txt")
    },
    tar("classes.txt with a name twice", ["tar/classes.txt: ", "lines 1 and 3 are both 'a'"]) {
      try $0.write("a\r\nb\r\na\r\nd", to: "tar/classes.txt")
    },
    tar("classes.txt with too few names", ["label 3", "names 2 classes"]) {
      try $0.write("a\nb\n", to: "tar/classes.txt")
    },
    tar("other classes in test", ["class 1 is 'b' in training and 'c' in test"]) { site in
      try site.write("a\nb\nc\nd\n", to: "tar/train/classes.txt")
      try site.write("a\nc\nb\nd\n", to: "tar/val/classes.txt")
    },
  ]

  static let cifar: [BadInput] = [
    records("CIFAR cut short", ["data_batch_2.bin: ", "3072 of 3073"]) { $0.removeLast() },
    records("a label of CIFAR", ["data_batch_2.bin: ", "label 10 of record 1"]) { $0[3073] = 10 },
    records("an empty file of CIFAR", ["data_batch_2.bin: ", "is empty"]) { $0 = [] },
  ]

  private static func records(
    _ name: String, _ says: [String], _ spoil: @escaping @Sendable (inout [UInt8]) -> Void
  ) -> BadInput {
    BadInput(name, 65, says) { site in
      var records = (0..<3).flatMap { [UInt8($0)] + [UInt8](repeating: UInt8($0), count: 3072) }
      for file in (1...5).map({ "data_batch_\($0).bin" }) + ["test_batch.bin"] {
        try site.write(records, to: "cifar/\(file)")
      }
      spoil(&records)
      try site.write(records, to: "cifar/data_batch_2.bin")
      return train + ["--set", "data.format=cifar10", "--set", "data.directory=cifar"]
    }
  }
}

extension [UInt8] {
  /// With both sides of a JPEG replaced in its frame header.
  fileprivate func withJPEGSides(_ side: Int) -> [UInt8] {
    var bytes = self
    guard
      let frame = bytes.indices.dropLast().first(where: { self[$0] == 0xff && self[$0 + 1] == 0xc0 }
      )
    else { return bytes }
    let size = [UInt8(side >> 8), UInt8(side & 0xff)]
    bytes.replaceSubrange(frame + 5..<frame + 9, with: size + (side == 0 ? [0, 16] : size))
    return bytes
  }
}

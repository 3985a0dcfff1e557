import Foundation
import Images
import Testing
import _TestSupport

extension ProgramTests {
  /// `repvgg data`: packing and verifying, as their users run them.
  @Suite(.timeLimit(.minutes(5))) struct DataCommands {
    /// Three classes of tiny files; packing does not look into them.
    private func images(_ perClass: Int) throws -> ScratchDirectory {
      let scratch = try ScratchDirectory()
      for label in 0..<3 {
        for number in 0..<perClass {
          try scratch.write([0xff, 0xd8, UInt8(label)], to: "data/train/c\(label)/\(number).jpg")
        }
      }
      return scratch
    }

    private func run(_ scratch: ScratchDirectory, _ arguments: [String]) throws -> ProgramResult {
      try runProgram(
        ["data"] + arguments, environment: withoutMPI, directory: scratch.path)
    }

    private func archives(_ scratch: ScratchDirectory, _ directory: String) throws
      -> [String: [UInt8]]
    {
      let names = try FileManager.default.contentsOfDirectory(atPath: scratch.path(directory))
      let kept = names.filter { !$0.hasSuffix(".repvgg-index") && $0 != ".lock" }
      return try Dictionary(
        uniqueKeysWithValues: kept.map { ($0, try scratch.read("\(directory)/\($0)")) })
    }

    /// Killed at any time, nothing half-written has a name, and the same command ends the same.
    @Test func killedAndResumed() throws {
      let scratch = try images(200)
      let pack = ["pack", "data", "--shards", "150", "--shuffle", "7", "--output"]
      let whole = try run(scratch, pack + ["whole", "--json"])
      #expect(whole.status == 0 && whole.stderr.isEmpty, "\(whole)")
      #expect(whole.stdout.contains(#""archives":150}],"#), "\(whole.stdout)")
      let expected = try archives(scratch, "whole")
      #expect(expected.count == 152)
      var kills = 0
      for wanted in [1, 40, 90] {
        let packing = try RunningProgram(
          try builtProgram("repvgg"), ["data"] + pack + ["out", "--threads", "2"],
          environment: withoutMPI, directory: scratch.path)
        while packing.isRunning {
          let there = (try? archives(scratch, "out"))?.keys.filter { $0.hasSuffix(".tar") }.count
          if there ?? 0 >= wanted { break }
        }
        packing.signal(SIGKILL)
        guard try packing.wait().status == 128 + 9 else { continue }
        kills += 1
        for (name, bytes) in try archives(scratch, "out") where name.hasPrefix("train-") {
          #expect(bytes == expected[name], "\(name)")
        }
        let verified = try run(scratch, ["verify", "out"])
        #expect(verified.status == 65 && verified.stderr.contains("not packed completely"))
      }
      #expect(kills > 0)
      let resumed = try run(scratch, pack + ["out", "--threads", "3"])
      #expect(resumed.status == 0 && resumed.stdout.contains("were there already"), "\(resumed)")
      #expect(try archives(scratch, "out") == expected)
    }

    @Test func noRoom() throws {
      let scratch = try images(40)
      let result = try runExecutable(
        "/usr/bin/prlimit",
        ["--fsize=20000", try builtProgram("repvgg"), "data", "pack", "data", "--output", "out"],
        environment: withoutMPI, directory: scratch.path)
      #expect(result.status == 74, "\(result)")
      #expect(result.complaints.count == 1 && result.stderr.contains("train-000000.tar"))
      #expect(
        try archives(scratch, "out").keys.sorted() == ["classes.txt", "pack-unfinished.json"])
      // With room again it goes on.
      #expect(try run(scratch, ["pack", "data", "--output", "out"]).status == 0)
      #expect(try archives(scratch, "out")["pack.json"] != nil)
    }

    @Test func outputsThatCannotBe() throws {
      let scratch = try images(2)
      try scratch.write("mine", to: "full/notes.txt")
      for (output, status, words) in [
        ("full", 73, "holds 'notes.txt'"), ("data/train/x", 73, "lies among the images"),
        ("full/notes.txt", 73, "cannot make the directory: Not a directory"),
        ("full/notes.txt/x", 73, "cannot make the directory: Not a directory"),
      ] {
        let result = try run(scratch, ["pack", "data", "--output", output])
        #expect(result.status == status && result.stderr.contains(words), "\(result)")
        #expect(result.complaints.count == 1)
      }
      #expect(try archives(scratch, "full") == ["notes.txt": Array("mine".utf8)])
      #expect(try run(scratch, ["pack", "nothing", "--output", "o"]).status == 66)
      let set = try run(scratch, ["pack", "data", "--output", "o", "--set", "data.format=tar"])
      #expect(set.status == 64 && set.stderr.contains("--set has no effect"))
      #expect(!FileManager.default.fileExists(atPath: scratch.path("o")))
    }

    @Test func verifyingNamesTheDamaged() throws {
      let scratch = try ScratchDirectory()
      let image = PixelBuffer()
      image.reshape(height: 20, width: 30, channels: 3)
      for number in 0..<4 {
        for index in 0..<image.count { image.base[index] = UInt8(index * (number + 3) % 251) }
        let bytes = try JPEGSettings().encode(image)
        try scratch.write(bytes, to: "data/train/c\(number % 2)/\(number).jpg")
        try scratch.write(bytes, to: "data/val/c\(number % 2)/\(number + 10).jpg")
      }
      let good = try run(scratch, ["verify", "data", "--threads", "2"])
      #expect(good.status == 0 && good.stderr.isEmpty, "\(good)")
      #expect(good.stdout.contains("the same in several splits:\n  train/c0/0.jpg = val/c0/10.jpg"))
      try scratch.write("not an image", to: "data/train/c1/3.jpg")
      let bad = try run(scratch, ["verify", "data", "--json", "--list", "bad.txt"])
      #expect(bad.status == 65 && bad.complaints.count == 1, "\(bad)")
      #expect(bad.stderr.contains("1 of 8 images are damaged, the first train/c1/3.jpg"))
      #expect(try scratch.text(of: "bad.txt") == "train/c1/3.jpg\n")
      let report = try JSONSerialization.jsonObject(with: Data(bad.stdout.utf8))
      let members = try #require(report as? [String: Any])
      #expect(members["damaged"] as? Int == 1)
      #expect((members["duplicates"] as? [Any])?.count == 3)
    }
  }
}

import Foundation
import Testing
import _TestSupport

/// Small settings of every benchmark: what they say, never how fast.
@Suite(.timeLimit(.minutes(2))) struct BenchTests {
  private func object(_ arguments: [String], directory: String? = nil) throws -> [String: Any] {
    let result = try runProgram(
      ["bench"] + arguments + ["--json"], environment: withoutMPI, directory: directory)
    #expect(result.status == 0 && result.stderr.isEmpty, "\(result.stderr)")
    let object = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8))
    return try #require(object as? [String: Any])
  }

  private func rows(_ report: [String: Any], _ key: String) throws -> [[String: Any]] {
    try #require(report[key] as? [[String: Any]])
  }

  private func expectPositive(_ row: [String: Any], _ keys: [String]) {
    for key in keys {
      let value = row[key] as? Double ?? -1
      #expect(value > 0 && value.isFinite, "\(key) of \(row)")
    }
  }

  private static let small = [
    "kernels", "--model", "RepVGG-A0", "--batch", "1", "--resolution", "32", "--steps", "1",
  ]

  @Test func kernels() throws {
    let scratch = try ScratchDirectory()
    let report = try object(Self.small + ["--svg", "roof.svg"], directory: scratch.path)
    #expect(report["benchmark"] as? String == "kernels")
    #expect(report["image"] as? [Int] == [32, 32, 3])
    #expect((report["cpu"] as? String)?.isEmpty == false)
    #expect(report["instruction_sets"] as? [String] != nil)
    expectPositive(
      report,
      [
        "fma_peak_gflops", "memory_read_gbytes_per_second", "memory_copy_gbytes_per_second",
        "seconds", "gflops", "share_of_peak", "images_per_second",
      ])
    // A stem, and seven shapes of blocks with a 3x3 and a 1x1 convolution and four passes.
    let layers = try rows(report, "layers")
    #expect(layers.count == 3 + 7 * 2 * 3)
    for row in layers {
      expectPositive(row, ["seconds", "gbytes_per_second", "share_of_bandwidth"])
      if row["pass"] as? String == "packing" {
        #expect(row["gflops"] is NSNull)
      } else {
        expectPositive(row, ["gflops", "share_of_peak", "intensity"])
      }
    }
    for kernel in [1, 3] {
      for pass in ["packing", "forward", "backward"] {
        let blocks = layers.filter {
          $0["kernel"] as? Int == kernel && $0["pass"] as? String == pass
        }.compactMap { $0["blocks"] as? Int }
        #expect(blocks.reduce(0, +) == (kernel == 3 ? 22 : 21))
      }
    }
    let paths = Set(layers.compactMap { $0["path"] as? String })
    #expect(paths == ["recomputed", "winograd-4x4", "direct"])
    let passes = try rows(report, "passes")
    #expect(passes.count == 7 * 4)
    for row in passes { expectPositive(row, ["seconds", "gbytes_per_second"]) }
    let shares = try rows(report, "totals").compactMap { $0["share"] as? Double }
    #expect(abs(shares.reduce(0, +) - 1) < 1e-9)

    let picture = try scratch.text(of: "roof.svg")
    #expect(picture.hasPrefix("<svg ") && picture.hasSuffix("</svg>\n"))
    #expect(picture.contains("prefers-color-scheme: dark"))
    // A circle for every forward pass and one in the legend; nothing from elsewhere.
    #expect(picture.components(separatedBy: "<circle ").count - 1 == 1 + 7 * 2 + 1)
    #expect(picture.components(separatedBy: "http").count - 1 == 1)
    #expect(!picture.contains("nan") && !picture.contains("inf"))
  }

  @Test func kernelsInWords() throws {
    let result = try runProgram(["bench"] + Self.small, environment: withoutMPI)
    #expect(result.status == 0 && result.stderr.isEmpty)
    for word in ["multiply-add peak", "winograd-4x4", "applyBackward", "of the peak"] {
      #expect(result.stdout.contains(word), "\(word)")
    }
  }

  @Test(arguments: [("nowhere/roof.svg", "nowhere"), ("/tmp", "/tmp")])
  func picturesNeedAPlace(path: String, says: String) throws {
    let result = try runProgram(["bench"] + Self.small + ["--svg", path], environment: withoutMPI)
    #expect(result.status == 73 && result.stdout.isEmpty)
    #expect(result.complaints.count == 1 && result.stderr.contains(says))
  }

  @Test func stepOfTheZoo() throws {
    let report = try object([
      "step", "--batch", "2", "--resolution", "32", "--stem-stride", "1", "--steps", "1",
    ])
    #expect(report["stem_stride"] as? Int == 1)
    #expect(report["image"] as? [Int] == [32, 32, 3])
    #expect(report["classes"] as? Int == 1000)
    expectPositive(report, ["images_per_second", "seconds_per_step"])
  }

  /// The architecture, the images' size and the classes are the configuration's.
  @Test func stepOfAConfiguration() throws {
    let path = "\(DocumentedCommand.root)/configs/quickstart.yaml"
    let report = try object(["step", "--model", path, "--batch", "4", "--steps", "1"])
    #expect(report["image"] as? [Int] == [28, 28, 1])
    #expect(report["classes"] as? Int == 10)
    let smaller = try object([
      "step", "--model", path, "--batch", "4", "--resolution", "20", "--stem-stride", "2",
      "--steps", "1",
    ])
    #expect(smaller["image"] as? [Int] == [20, 20, 1])
    #expect(smaller["stem_stride"] as? Int == 2)
  }

  @Test func collectives() throws {
    let report = try object(["collectives", "--steps", "1"])
    #expect(try rows(report, "sums").count == 12)
  }

  /// More than any machine holds is refused, not tried.
  @Test func hugeImagesAreRefused() throws {
    let result = try runProgram(
      ["bench", "kernels", "--batch", "65536", "--resolution", "4096"], environment: withoutMPI)
    #expect(result.status == 78 && result.stdout.isEmpty)
    #expect(result.complaints.count == 1 && result.stderr.contains("smaller batch"))
  }

  /// A picture of a configuration's network does not replace the configuration.
  @Test func theModelIsNoPicture() throws {
    let scratch = try ScratchDirectory()
    let text = "model: {architecture: RepVGG-A0}\n"
    try scratch.write(text, to: "a.yaml")
    let result = try runProgram(
      ["bench", "kernels", "--model", "a.yaml", "--svg", "./a.yaml"], environment: withoutMPI,
      directory: scratch.path)
    #expect(result.status == 73 && result.stderr.contains("would be replaced"))
    #expect(try scratch.text(of: "a.yaml") == text)
  }
}

/// The program on a CPU that it was not built for, as the system describes it.
@Suite(.trainedRun, .enabled(if: AnotherProcessor.isNoticed, "built for any x86-64"))
struct ProcessorTests {
  @Test(arguments: AnotherProcessor.commands)
  func kernelsAreNotRun(input: BadInput) throws {
    let scratch = try ScratchDirectory()
    try input.check(environment: try AnotherProcessor.environment(in: scratch))
  }

  /// What runs no kernel works; the doctor says it.
  @Test func otherCommandsWork() throws {
    let scratch = try ScratchDirectory()
    let environment = try withoutMPI.merging(AnotherProcessor.environment(in: scratch)) { $1 }
    #expect(try runProgram(["version"], environment: environment).status == 0)
    let plan = try runProgram(
      ["plan", "\(DocumentedCommand.root)/configs/imagenet/repvgg-a0-light.yaml"],
      environment: environment)
    #expect(plan.status == 0)
    let doctor = try runProgram(["doctor"], environment: environment)
    #expect(doctor.status == 78)
    #expect(doctor.stdout.contains("Old CPU") && doctor.stdout.contains("was built for"))
  }
}

/// A CPU without vector instructions beyond x86-64's own.
enum AnotherProcessor {
  static func environment(in scratch: ScratchDirectory) throws -> [String: String] {
    [
      "REPVGG_CPUINFO": try scratch.write(
        "processor\t: 0\nmodel name\t: Old CPU\nflags\t\t: fpu mmx sse sse2 ht lm\n", to: "cpuinfo")
    ]
  }

  /// Whether the build uses anything beyond.
  static let isNoticed: Bool = {
    guard let scratch = try? ScratchDirectory(), let environment = try? environment(in: scratch),
      let doctor = try? runProgram(["doctor"], environment: withoutMPI.merging(environment) { $1 })
    else { return false }
    return doctor.stdout.contains("was built for")
  }()

  private static let says = ["built for a CPU with avx", "Old CPU", "build here"]

  static let commands: [BadInput] = [
    BadInput("train", 78, says) { _ in BadInput.train },
    BadInput("bench step", 78, says) { _ in ["bench", "step"] },
    BadInput("bench kernels", 78, says) { _ in ["bench", "kernels"] },
    BadInput("evaluate", 78, says) {
      ["evaluate", $0.trained.deploy, "--config", TinyJob.configuration]
    },
    BadInput("replay", 78, says) { _ in ["replay", "nowhere.safetensors"] },
  ]
}

import Foundation
import Tensors
import Testing
import _TestSupport

/// What the shipped model does by itself: classifying files, from the command line and from C.
@Suite(.timeLimit(.minutes(5))) struct InferenceTests {
  private struct Picture {
    var file: String
    var label: Int
  }

  /// The files of the folder job's test images, in the order in which `evaluate` sees them.
  private static let pictures = (0..<4).flatMap { label in
    (0..<3).map { Picture(file: "data/val/class\(label)/image\($0).jpg", label: label) }
  }

  private static let deploy = "out/artifacts/tiny-deploy.safetensors"
  private let job: TinyJob

  init() throws {
    job = try FolderJob.make()
    let result = try job.train(output: "out", ["--quiet"])
    try #require(result.status == 0, "\(result.stderr)")
  }

  private var deploy: String { Self.deploy }

  /// Logits that `evaluate` wrote, a list for each image.
  private func logits(_ file: String) throws -> [[Float]] {
    let tensors = try NamedTensors.readSafetensors(path: "\(job.scratch.path)/\(file)")
    let logits = try #require(tensors["logits"])
    let (values, classes) = (try #require(logits.floats), logits.shape[1])
    return (0..<logits.shape[0]).map { Array(values[$0 * classes..<($0 + 1) * classes]) }
  }

  private func classes(_ arguments: [String]) throws -> [[[String: Any]]] {
    let result = try job.run(["classify"] + arguments + ["--json"])
    #expect(result.status == 0 && result.stderr.isEmpty, "\(result.stderr)")
    let object = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [String: Any]
    let images = try #require(object?["images"] as? [[String: Any]])
    return try images.map { try #require($0["classes"] as? [[String: Any]]) }
  }

  /// The same probabilities as the logits of `evaluate` give, for both forms of the weights.
  @Test func classifyIsEvaluationOfOneFile() throws {
    for form in ["deploy", "train"] {
      let model = "out/artifacts/tiny-\(form).safetensors"
      let found = try classes([model] + Self.pictures.map(\.file))
      let evaluated = try job.run([
        "evaluate", model, "--config", TinyJob.configuration, "--logits", "logits.safetensors",
      ])
      #expect(evaluated.status == 0, "\(evaluated.stderr)")
      let logits = try logits("logits.safetensors")
      #expect(found.count == Self.pictures.count && logits.count == found.count)
      for (classes, logits) in zip(found, logits) {
        let largest = logits.max() ?? 0
        let exponentials = logits.map { Foundation.exp(Double($0 - largest)) }
        let sum = exponentials.reduce(0, +)
        let probabilities = classes.compactMap { $0["probability"] as? Double }
        #expect(probabilities == probabilities.sorted(by: >))
        for row in classes {
          let label = try #require(row["label"] as? Int)
          let probability = try #require(row["probability"] as? Double)
          #expect(abs(probability - exponentials[label] / sum) < 1e-5)
          #expect(row["name"] as? String == "class\(label)")
        }
      }
    }
  }

  @Test func aBadImageDoesNotHideTheOthers() throws {
    try job.scratch.write("no picture", to: "text.jpg")
    let result = try job.run([
      "classify", deploy, "--top", "2", Self.pictures[0].file, "text.jpg", "nowhere.png",
      Self.pictures[5].file,
    ])
    #expect(result.status == 65)
    #expect(result.complaints.count == 2)
    #expect(result.complaints.first?.contains("text.jpg") == true)
    #expect(result.complaints.last?.contains("nowhere.png: no such file") == true)
    #expect(result.stdout.contains(Self.pictures[0].file + "\n"))
    #expect(result.stdout.contains(Self.pictures[5].file + "\n"))
    let lines = result.stdout.split(separator: "\n").filter { $0.contains("%") }
    #expect(lines.count == 4)
    #expect(lines.allSatisfy { $0.contains("class") })
  }

  /// What is no picture, or a damaged or outsized one, is named, and the others are classified.
  @Test func whatIsNoPictureIsNamed() throws {
    let picture = try job.scratch.read(Self.pictures[0].file)
    // Height and width of a JPEG's first frame.
    let frame = try #require(
      picture.indices.dropLast().first {
        picture[$0] == 0xff && picture[$0 + 1] == 0xc0
      })
    var giant = picture
    giant.replaceSubrange(frame + 5..<frame + 9, with: [0xff, 0xdc, 0xff, 0xdc])
    let files: [(name: String, bytes: [UInt8])] = [
      ("empty.jpg", []), ("cut.jpg", Array(picture.prefix(picture.count / 2))),
      ("giant.jpg", giant), ("moving.jpg", Array("GIF89a".utf8) + [UInt8](repeating: 0, count: 40)),
      ("page.png", Array("<!DOCTYPE html><html></html>".utf8)),
    ]
    for file in files { try job.scratch.write(file.bytes, to: file.name) }
    try job.scratch.write("x", to: "directory.jpg/x")
    let names = files.map(\.name) + ["directory.jpg"]
    let result = try job.run(["classify", deploy] + names + [Self.pictures[1].file])
    #expect(result.status == 65 && result.complaints.count == names.count, "\(result.stderr)")
    for (complaint, name) in zip(result.complaints, names) { #expect(complaint.contains(name)) }
    #expect(result.stdout.hasPrefix(Self.pictures[1].file + "\n"))
  }

  @Test func namesOfOtherClassesAreRefused() throws {
    try job.scratch.write("one\ntwo\n", to: "other/labels.txt")
    try FileManager.default.copyItem(
      atPath: "\(job.scratch.path)/\(deploy)",
      toPath: "\(job.scratch.path)/other/out-deploy.safetensors")
    let result = try job.run(["classify", "other/out-deploy.safetensors", Self.pictures[0].file])
    #expect(result.status == 65)
    #expect(result.complaints.first?.contains("names 2 classes") == true)
  }

  @Test func benchmarkOfWeightsAndOfAName() throws {
    for model in [[deploy], ["RepVGG-A0", "--resolution", "32"]] {
      for form in ["deploy", "training"] where form == "deploy" || model.count > 1 {
        let result = try job.run(
          ["bench", "inference", "--model"] + model
            + ["--batch", "3", "--steps", "2", "--form", form, "--json"])
        #expect(result.status == 0, "\(result.stderr)")
        let report =
          try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [String: Any]
        for key in [
          "images_per_second", "seconds_per_batch", "seconds_to_first_result",
          "peak_resident_bytes",
        ] {
          let value = (report?[key] as? NSNumber)?.doubleValue ?? 0
          #expect(value > 0 && value.isFinite, "\(key)")
        }
        #expect(report?["batch"] as? Int == 3)
      }
    }
  }

  // MARK: C

  /// Builds for a sanitizer lie in directories of their names.
  private static var builtPlainly: Bool {
    guard let library = try? builtProgram("libRepVGG.so") else { return true }
    return !["address", "thread"].contains { library.contains("/\($0)/") }
  }

  /// The example of the documents, compiled by the C compiler and run.
  @Test(
    .enabled(
      if: InferenceTests.builtPlainly, "a program of the C compiler cannot load a sanitized library"
    ))
  func theExampleInC() throws {
    let library = try builtProgram("libRepVGG.so")
    let directory = (library as NSString).deletingLastPathComponent
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().path
    let compiled = try runExecutable(
      "/usr/bin/cc",
      [
        "-Wall", "-Wextra", "-Wpedantic", "-Werror", "\(root)/docs/examples/classify.c",
        "-I", "\(root)/Sources/CInference/include", "-L", directory, "-lRepVGG",
        "-Wl,-rpath,\(directory)", "-o", "classify",
      ], directory: job.scratch.path)
    #expect(compiled.status == 0, "\(compiled.stderr)")
    let program = "\(job.scratch.path)/classify"
    let files = Self.pictures.map(\.file)
    let result = try runExecutable(program, [deploy] + files, directory: job.scratch.path)
    #expect(result.status == 0 && result.stderr.isEmpty, "\(result.stderr)")
    let expected = try classes([deploy, "--top", "1"] + files)
    let lines = result.stdout.split(separator: "\n")
    #expect(lines.count == files.count)
    for ((line, file), classes) in zip(zip(lines, files), expected) {
      let name = try #require(classes.first?["name"] as? String)
      #expect(line.hasPrefix("\(file): \(name) (logit "))
    }
    for (arguments, text) in [
      (["nowhere.safetensors", files[0]], "nowhere.safetensors"),
      ([deploy, "text.c"], "text.c: no such file"),
    ] {
      let refused = try runExecutable(program, arguments, directory: job.scratch.path)
      #expect(refused.status == 1 && refused.stderr.contains(text), "\(refused.stderr)")
    }
  }
}

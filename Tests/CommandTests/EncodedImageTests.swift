import Images
import Testing
import _TestSupport

extension ProgramTests {
  /// Training on JPEG files, from directories of classes and from archives, at growing resolution.
  @Suite(.timeLimit(.minutes(5))) struct EncodedImages {
    private static let configuration = """
      model:
        architecture: {stem: 8, depths: [1, 2], widths: [8, 16]}
        strides: [1, 2, 2]
        classes: 4
      data:
        format: folder
        directory: data
        resolution: 24
        resolutions: {0: 16, 1: 19, 2: 24}
        horizontal_flip: true
        augmentation: randaugment
        random_erasing: 0.3
        threads: 2
      training: {global_batch: 16, shards: 8, epochs: 3, mixup_alpha: 0.2, cutmix_alpha: 1, average_decay: 0.9}
      schedule: {learning_rate: 0.1}
      checkpoint: {every_steps: 2, every_minutes: 0, keep: 2}

      """

    /// A picture of its class's brightness and a shape of its own.
    private func jpeg(_ label: Int, _ number: Int) throws -> [UInt8] {
      let image = PixelBuffer()
      image.reshape(height: 30 + 3 * number, width: 52 - 2 * number, channels: 3)
      for index in 0..<image.count {
        image.base[index] = UInt8(truncatingIfNeeded: 60 * label + (index * (number + 3)) % 50)
      }
      return try JPEGSettings().encode(image)
    }

    private typealias Samples = [(key: String, image: [UInt8], label: Int)]

    private func samples(_ count: Int) throws -> Samples {
      try (0..<4).flatMap { label in
        try (0..<count).map { ("class\(label)/image\($0)", try jpeg(label, $0), label) }
      }
    }

    private func job() throws -> TinyJob {
      let job = try TinyJob(Self.configuration)
      let (train, test) = (try samples(9), try samples(3))
      for (split, samples) in [("train", train), ("val", test)] {
        for sample in samples {
          try job.scratch.write(sample.image, to: "data/\(split)/\(sample.key).jpg")
        }
      }
      return job
    }

    @Test func foldersAndArchivesGiveTheSameWeights() throws {
      let job = try job()
      let fromFolder = try job.train(.alone(), output: "folder")
      try #require(fromFolder.status == 0, "\(fromFolder)")
      let expected = try job.hash(of: "folder")
      // The same order in archives as in the directories.
      let packed = try job.run(["data", "pack", "data", "--output", "tar", "--shards", "2"])
      try #require(packed.status == 0, "\(packed)")
      let archives = ["--set", "data.format=tar", "--set", "data.directory=tar"]
      let fromTar = try job.train(.ranks(2), output: "tar-run", archives)
      try #require(fromTar.status == 0, "\(fromTar)")
      #expect(try job.hash(of: "tar-run") == expected)
      let four = try job.train(.ranks(4), output: "four", ["--set", "data.threads=3"])
      try #require(four.status == 0, "\(four)")
      #expect(try job.hash(of: "four") == expected)
      // Cut in the middle of an epoch, on with another number of ranks.
      let cut = try job.train(.ranks(2), output: "cut", ["--set", "training.max_steps=4"])
      try #require(cut.status == 0, "\(cut)")
      let resumed = try job.train(.alone(threads: 2), output: "cut")
      try #require(resumed.status == 0, "\(resumed)")
      #expect(try job.hash(of: "cut") == expected)
    }

    @Test func aDamagedFileIsNamed() throws {
      let job = try job()
      var bytes = try jpeg(2, 4)
      bytes.removeLast(bytes.count / 2)
      try job.scratch.write(bytes, to: "data/train/class2/image4.jpg")
      let failed = try job.train(.ranks(2), output: "failed")
      #expect(failed.status == 65 && failed.stderr.contains("class2/image4.jpg"), "\(failed)")
      let replaced = try job.train(.ranks(2), output: "run", ["--set", "data.damaged=replace"])
      #expect(replaced.status == 0, "\(replaced)")
      #expect(
        replaced.stderr.contains("class2/image4.jpg") && replaced.stderr.contains("takes its place")
      )
      try job.scratch.write("class2/image4.jpg\n", to: "bad.txt")
      let excluded = try job.train(.alone(), output: "without", ["--set", "data.exclude=bad.txt"])
      #expect(excluded.status == 0, "\(excluded)")
    }
  }
}

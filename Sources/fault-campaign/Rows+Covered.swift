// Rows that other tests of the project hold.

extension Row {
  private static let readers = "Tests/ImageDataTests/FuzzTests.swift"
  private static let badInput = "Tests/CommandTests/BadInputTests.swift"
  private static let folders = "Tests/ImageDataTests/FolderTests.swift"
  private static let imageFaults = "Tests/CommandTests/ImageFaultTests.swift"
  private static let codecDamage = "Tests/ImagesTests/CodecDamageTests.swift"
  private static let codecLimits = "Tests/ImagesTests/CodecLimitTests.swift"
  private static let configurations = "Tests/RunPlanningTests/BadConfigurationTests.swift"
  private static let damageTests = "Tests/CheckpointsTests/DamageTests.swift"

  static let covered = [
    Row(
      35, "a checkpoint of another network, data or format",
      .covered(["Tests/CommandTests/ResumeRefusalTests.swift"])),
    Row(40, "data missing, unreadable or empty", .covered([badInput, folders])),
    Row(41, "JPEG cut short or with flipped bits", .covered([codecDamage, imageFaults, readers])),
    Row(42, "unusual JPEG", .covered(["Tests/ImagesTests/CodecGoldenTests.swift", codecLimits])),
    Row(43, "impossible sizes of images", .covered([codecLimits, badInput])),
    Row(44, "bombs", .covered([codecLimits])),
    Row(45, "something else named like an image", .covered([codecLimits, badInput, folders])),
    Row(
      46, "classes differ between training and test",
      .covered([badInput, "Tests/ImageDataTests/ClassNamesTests.swift"])),
    Row(47, "links, pipes, devices among images", .covered([folders, badInput])),
    Row(48, "unusual names", .covered([imageFaults])),
    Row(49, "files changed between save and resume", .covered([imageFaults])),
    Row(50, "a file vanishes in the middle of an epoch", .covered([imageFaults])),
    Row(51, "hostile tar archives", .covered(["Tests/ImageDataTests/TarTests.swift", readers])),
    Row(52, "damaged IDX", .covered(["Tests/ImageDataTests/DamagedIDXTests.swift", readers])),
    Row(53, "damaged CIFAR", .covered(["Tests/ImageDataTests/CIFARTests.swift", readers])),
    Row(
      54, "batches and ranks that do not divide",
      .covered(["Tests/TrainingTests/EveryImageOnceTests.swift", imageFaults])),
    Row(
      55, "bad configurations",
      .covered([configurations, "Tests/RunPlanningTests/YAMLTests.swift"])),
    Row(56, "YAML bombs", .covered(["Tests/RunPlanningTests/YAMLTests.swift"])),
    Row(
      57, "hostile safetensors",
      .covered(["Tests/TensorsTests/DamagedSafetensorsTests.swift", readers])),
    Row(58, "hostile names in a manifest", .covered([damageTests])),
    Row(
      59, "output that is a link, temporaries made before",
      .covered(["Tests/CheckpointsTests/WritingTests.swift"])),
  ]
}

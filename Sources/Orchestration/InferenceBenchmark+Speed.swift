extension InferenceBenchmark {
  /// Images a second of the deploy network in the file at `path`, as tables of several networks
  /// have it: on one thread, in batches small enough for the largest of them.
  package static func speed(of path: String) throws -> Double {
    var settings = Settings(subject: .file(path))
    settings.batch = CollectionTable.measuredBatch
    settings.steps = CollectionTable.measuredSteps
    return try InferenceBenchmark(settings).run().imagesPerSecond
  }
}

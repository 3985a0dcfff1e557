/// What is known of the data when a run is planned.
package struct DataSummary: Sendable, Equatable {
  /// Images of the training and of the test set, limits applied.
  package var trainCount: Int
  package var testCount: Int
  /// Classes that occur: the largest label plus one.
  package var classes: Int
  package var channels: Int
  /// Pixels of an image as the data has it.
  package var height: Int
  package var width: Int
  /// Digest of the data, for comparison at a resume.
  package var fingerprint: String
  /// By label; empty where the data has none.
  package var classNames: [String]
  /// Bytes that the data hold in every rank's memory.
  package var residentBytes: Int
  /// Of the sample of which most is stored: bytes, and pixels when decoded; whether it is decoded.
  package var largestBytes = 0
  package var largestPixels = 0
  package var isEncoded = false
  /// What the data say when they are opened: files left out, an index that cannot be kept.
  package var notes: [String]
  /// Whether the numbers are assumed, because the data was not opened.
  package var isAssumed: Bool

  package init(
    trainCount: Int, testCount: Int, classes: Int, channels: Int, height: Int, width: Int,
    fingerprint: String, classNames: [String] = [], residentBytes: Int = 0, notes: [String] = [],
    isAssumed: Bool = false
  ) {
    self.trainCount = trainCount
    self.testCount = testCount
    self.classes = classes
    self.channels = channels
    self.height = height
    self.width = width
    self.fingerprint = fingerprint
    self.classNames = classNames
    self.residentBytes = residentBytes
    self.notes = notes
    self.isAssumed = isAssumed
  }

  /// What a plan takes for granted without opening the data: the size of synthetic data (as
  /// `ImageData` makes it), of MNIST and Fashion-MNIST for IDX files, of CIFAR, and of ImageNet for
  /// encoded files or where no data is named.
  package static func assumed(for config: RunConfig) -> DataSummary {
    let data = config.data
    let (train, test, side) =
      switch (data.isNamed, data.format) {
      case (_, .cifar10), (_, .cifar100): (50_000, 10_000, 32)
      case (false, _), (true, .folder), (true, .tar): (1_281_167, 50_000, 224)
      case (true, .idx): (60_000, 10_000, 28)
      case (true, .synthetic): (2048, 512, 32)
      }
    func limited(_ count: Int, _ limit: Int) -> Int {
      if limit == 0 { return count }
      return data.format == .synthetic ? limit : min(count, limit)
    }
    let resolution = data.resolution == 0 ? side : data.resolution
    let isCIFAR = data.format == .cifar10 || data.format == .cifar100
    let isHeld = isCIFAR || data.isNamed && data.format == .idx
    let images = limited(train, data.trainLimit) + limited(test, data.testLimit)
    var summary = DataSummary(
      trainCount: limited(train, data.trainLimit), testCount: limited(test, data.testLimit),
      classes: config.model.classes, channels: data.channels, height: resolution,
      width: resolution, fingerprint: "",
      residentBytes: isHeld ? images * (side * side * data.channels + 1) : 0, isAssumed: true)
    summary.isEncoded = data.format.isEncoded
    // A large photograph, or the data's own size.
    summary.largestPixels = summary.isEncoded ? 12_000_000 : side * side
    summary.largestBytes = summary.isEncoded ? 4 << 20 : side * side * data.channels
    return summary
  }
}

/// The machine that plans, for checks of memory and for the record.
package struct MachineSummary: Sendable, Equatable {
  /// Model name of the processor.
  package var cpu: String
  /// Memory of the machine; 0: unknown, and then nothing is refused for it.
  package var physicalMemoryBytes: Int
  package var cores: Int
  /// Kernel that OpenBLAS runs, such as `SkylakeX`.
  package var blasKernel: String
  /// Variables of the environment that change OpenBLAS, such as `OPENBLAS_CORETYPE`.
  package var blasEnvironment: [String: String]
  package var mpiVersion: String
  package var programVersion: String
  /// Ranks of this run that share the machine's memory.
  package var localRanks: Int
  /// What the kernels were built for: instruction sets, and columns of a panel of their products.
  package var instructionSets: [String]
  package var panelWidth: Int

  package init(
    cpu: String, physicalMemoryBytes: Int, cores: Int, blasKernel: String,
    blasEnvironment: [String: String], mpiVersion: String, programVersion: String,
    localRanks: Int = 1, instructionSets: [String] = [], panelWidth: Int = 16
  ) {
    self.cpu = cpu
    self.physicalMemoryBytes = physicalMemoryBytes
    self.cores = cores
    self.blasKernel = blasKernel
    self.blasEnvironment = blasEnvironment
    self.mpiVersion = mpiVersion
    self.programVersion = programVersion
    self.localRanks = localRanks
    self.instructionSets = instructionSets
    self.panelWidth = panelWidth
  }
}

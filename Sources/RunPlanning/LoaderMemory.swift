/// What the loader and the evaluation's reader of a rank take beside batches. It grows with the
/// threads and the largest image, and with the data set by the four bytes a sample of an epoch's order
/// alone; an index of files is mapped, and one for all ranks of a host.
package struct LoaderMemory: Sendable, Equatable {
  /// Of the threads that read and decode: a sample as stored, decoded, and resized.
  package var decoding: Int
  /// What libjpeg-turbo or libpng take for an image while it is decoded, at most.
  package var libraries: Int
  /// The samples in the epoch's order.
  package var order: Int

  package var total: Int { decoding + libraries + order }

  /// - Parameters:
  ///   - threads: of the loader.
  ///   - height, width, channels: of what the network sees.
  ///   - turns: whether images are turned as their EXIF data says, which takes a second one.
  package init(
    data: DataSummary, threads: Int, height: Int, width: Int, channels: Int, turns: Bool = false
  ) {
    let seen = height * width * channels
    // One more: evaluation reads in the rank's own thread.
    let readers = threads + 1
    let decoded = data.largestPixels * channels
    // Buffers begin with 64 KiB and leave room for half as much again. A resize's first pass gives at
    // most what it takes, or, of a crop of the smallest image, four thirds of the network's rows.
    let stored = max(1 << 16, data.largestBytes + data.largestBytes / 2)
    let between = max(decoded, seen + seen / 3)
    decoding = readers * (stored + (turns ? 2 : 1) * decoded + between + 3 * seen)
    // Coefficients of a progressive file, two bytes each of three colours, and tables and rows.
    libraries =
      data.isEncoded ? readers * (data.largestPixels * 6 + 1 << 18) : 0
    order = data.trainCount * 4
  }
}

import Tensors

/// Some samples of a data set, in its order.
struct DatasetSubset: Dataset {
  let count: Int
  let classes: Int
  let fingerprint: String
  private let whole: any Dataset
  /// Samples of `whole`; nil: the first ones.
  private let kept: [UInt32]?

  init(_ whole: any Dataset, first count: Int) {
    self.whole = whole
    self.count = count
    kept = nil
    // Named classes stay, though the first samples show but some of them.
    classes =
      whole.classNames.isEmpty
      ? ((0..<count).lazy.map { whole.label(of: $0) }.max() ?? 0) + 1 : whole.classes
    fingerprint = "first \(count) of \(whole.fingerprint)"
  }

  init(_ whole: any Dataset, kept: [Int]) {
    self.whole = whole
    count = kept.count
    let kept = kept.map { UInt32($0) }
    self.kept = kept
    classes = whole.classes
    let digest = SHA256Digest.hex(kept.withUnsafeBytes { Array($0) })
    fingerprint =
      count == whole.count
      ? whole.fingerprint : "\(count) of \(whole.fingerprint), their numbers \(digest)"
  }

  private func place(_ sample: Int) -> Int {
    precondition(sample >= 0 && sample < count, "sample outside its dataset")
    return kept.map { Int($0[sample]) } ?? sample
  }

  var classNames: [String] { whole.classNames }
  var form: StoredForm { whole.form }
  var notes: [String] { whole.notes }
  var residentBytes: Int { whole.residentBytes + (kept?.count ?? 0) * 4 }
  func label(of sample: Int) -> Int { whole.label(of: place(sample)) }
  func storedSize(of sample: Int) -> Int { whole.storedSize(of: place(sample)) }
  func name(of sample: Int) -> String { whole.name(of: place(sample)) }
  func nameBytes(of sample: Int) -> [UInt8] { whole.nameBytes(of: place(sample)) }
  var directory: String? { whole.directory }
  func origin(of sample: Int) -> SampleOrigin? { whole.origin(of: place(sample)) }
  func read(_ sample: Int, into bytes: ByteBuffer) throws(DataError) {
    try whole.read(place(sample), into: bytes)
  }
}

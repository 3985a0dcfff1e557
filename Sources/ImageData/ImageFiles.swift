/// Image files by their names, in the order given and without labels: what is to be classified, one
/// file after the other.
package struct ImageFiles: Dataset {
  private let paths: [String]
  package let form = StoredForm.encoded

  /// Nothing is opened before it is read, so that one bad file does not hide the others.
  package init(paths: [String]) { self.paths = paths }

  package var count: Int { paths.count }
  package var classes: Int { 0 }
  package var fingerprint: String { "files \(paths.count)" }

  package func label(of sample: Int) -> Int { 0 }
  package func name(of sample: Int) -> String { paths[sample] }

  /// Larger files than this are no pictures that a network sees.
  private static let largestBytes = 1 << 30

  package func read(_ sample: Int, into bytes: ByteBuffer) throws(DataError) {
    let file: RegularFile
    do throws(DataError) {
      file = try RegularFile(path: paths[sample])
    } catch  where error.kind == .missing {
      throw DataError(.missing, "\(paths[sample]): no such file; check the name")
    }
    guard file.size <= Self.largestBytes else {
      throw DataError(.malformed, "\(paths[sample]): has \(file.size) bytes; is it an image?")
    }
    try file.read(at: 0, count: file.size, into: bytes)
  }
}

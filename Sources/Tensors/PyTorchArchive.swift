import CZip
import Glibc

/// The zip archive that torch.save writes: `NAME/data.pkl`, a pickle, and `NAME/data/KEY`, the bytes
/// of each storage, all stored without compression. So what is read is never more than the file.
///
/// Source: https://docs.pytorch.org/docs/stable/notes/serialization.html, "torch.save".
final class PyTorchArchive {
  let path: String
  /// Of the whole file.
  let bytes: Int

  /// The name of the directory that holds everything, with its slash.
  private var directory = ""
  private var entries: [String: UInt64] = [:]
  private let archive: OpaquePointer

  /// Most bytes that are read at once, so that a slow disk shows its progress.
  private static let chunk = 16 << 20

  /// - Throws: `.io`, or `.damaged` for what is no such archive, with what it seems to be.
  init(_ file: borrowing InputFile) throws(TensorFileError) {
    path = file.path
    bytes = file.bytes
    try ZipDirectory.check(file)
    archive = try Self.open(file)
    try list()
  }

  deinit { zip_discard(archive) }

  private static func open(_ file: borrowing InputFile) throws(TensorFileError) -> OpaquePointer {
    let descriptor = try file.duplicatedDescriptor()
    var code: CInt = 0
    guard let archive = zip_fdopen(descriptor, 0, &code) else {
      close(descriptor)
      var error = zip_error_t()
      zip_error_init_with_code(&error, code)
      defer { zip_error_fini(&error) }
      throw TensorFileError(
        .damaged, path: file.path,
        "no readable zip archive, as a PyTorch file is one: "
          + String(cString: zip_error_strerror(&error)) + "; is the file cut short?")
    }
    return archive
  }

  private func list() throws(TensorFileError) {
    for index in 0..<UInt64(max(0, zip_get_num_entries(archive, 0))) {
      guard let name = zip_get_name(archive, index, ZIP_FL_ENC_RAW) else { continue }
      let text = String(cString: name)
      guard entries.updateValue(index, forKey: text) == nil else {
        throw damaged("it holds \(quoted(text)) twice")
      }
    }
    let suffix = "/data.pkl"
    let pickles = entries.keys.filter { name in
      name.hasSuffix(suffix) && !name.dropLast(suffix.utf8.count).utf8.contains(0x2F)
    }
    guard let pickle = pickles.first else { throw FileKind.wrong(otherArchive, path: path) }
    guard pickles.count == 1 else {
      let names = pickles.sorted().prefix(3).map(quoted).joined(separator: ", ")
      throw damaged("it holds several models: \(names)")
    }
    directory = String(pickle.dropLast(suffix.utf8.count - 1))
    guard entries[directory + "constants.pkl"] == nil,
      !entries.keys.contains(where: { $0.hasPrefix(directory + "code/") })
    else {
      throw damaged(
        "a TorchScript program, whose code is not run; save its weights alone: "
          + "torch.save(torch.jit.load(\"FILE\").state_dict(), \"WEIGHTS.pth\")")
    }
  }

  /// What a zip archive is that holds no `data.pkl`.
  private var otherArchive: String {
    let names = entries.keys
    if names.contains("model.weights.h5") { return "a Keras file" }
    if names.contains(where: { $0.hasSuffix(".npy") }) { return "a NumPy archive (npz)" }
    if names.contains(where: { $0.hasSuffix("archive_format") }) {
      return "a program of torch.export"
    }
    return "a zip archive without data.pkl"
  }

  func damaged(_ problem: String) -> TensorFileError {
    TensorFileError(.damaged, path: path, problem)
  }
}

// MARK: - Entries

extension PyTorchArchive {
  /// The pickle that describes everything.
  ///
  /// - Throws: also where the numbers of this file are not little-endian.
  func pickle() throws(TensorFileError) -> [UInt8] {
    let order = "byteorder"
    if entries[directory + order] != nil {
      let text = String(decoding: try content(order, atMost: 16), as: UTF8.self)
      guard text == "little" else {
        throw damaged(
          "its numbers are \(quoted(text))-endian; write it again with torch.save on a "
            + "little-endian machine")
      }
    }
    return try content("data.pkl", atMost: Pickle.maximumBytes)
  }

  /// Fills `destination` with the storage called `key`, which must have that very size.
  func read(storage key: String, into destination: UnsafeMutableRawBufferPointer)
    throws(TensorFileError)
  {
    let name = "data/\(key)"
    let (index, size) = try entry(name)
    guard size == destination.count else {
      throw damaged("\(quoted(name)) holds \(size) bytes, \(destination.count) are declared")
    }
    try read(index, name, into: destination)
  }

  /// Refuses a storage that is not there with that very size, before memory is taken for it.
  func require(storage key: String, bytes: Int) throws(TensorFileError) {
    let size = try entry("data/\(key)").size
    guard size == bytes else {
      throw damaged("\(quoted("data/\(key)")) holds \(size) bytes, \(bytes) are declared")
    }
  }

  private func content(_ name: String, atMost limit: Int) throws(TensorFileError) -> [UInt8] {
    let (index, size) = try entry(name)
    guard size <= limit else {
      throw damaged("\(quoted(name)) of \(size) bytes is above \(limit)")
    }
    var content = [UInt8](repeating: 0, count: size)
    try content.withUnsafeMutableBufferPointer { buffer throws(TensorFileError) in
      try read(index, name, into: UnsafeMutableRawBufferPointer(buffer))
    }
    return content
  }

  /// Place and size of an entry that is stored as it is, and no larger than the file.
  private func entry(_ name: String) throws(TensorFileError) -> (index: UInt64, size: Int) {
    guard let index = entries[directory + name] else {
      throw damaged("\(quoted(name)) is missing in it; is the file damaged?")
    }
    var status = zip_stat_t()
    let needed = UInt64(
      ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD)
    guard zip_stat_index(archive, index, 0, &status) == 0, status.valid & needed == needed else {
      throw damaged("\(quoted(name)) has no size; is the file damaged?")
    }
    guard status.comp_method == 0, status.encryption_method == 0, status.size == status.comp_size
    else {
      throw damaged(
        "\(quoted(name)) is compressed or encrypted, which torch.save does not do; write the file "
          + "again with torch.save")
    }
    guard status.size <= UInt64(bytes) else {
      throw damaged("\(quoted(name)) says it has \(status.size) bytes, in a file of \(bytes)")
    }
    return (index, Int(status.size))
  }

  private func read(
    _ index: UInt64, _ name: String, into destination: UnsafeMutableRawBufferPointer
  ) throws(TensorFileError) {
    guard let file = zip_fopen_index(archive, index, 0) else {
      throw damaged("\(quoted(name)) cannot be opened in it; is the file damaged?")
    }
    defer { zip_fclose(file) }
    var done = 0
    while done < destination.count, let base = destination.baseAddress {
      let count = zip_fread(file, base + done, UInt64(min(Self.chunk, destination.count - done)))
      guard count > 0 else { throw failure(of: file, name) }
      FileProgress.advance()
      done += Int(count)
    }
    // The checksum is compared where the entry ends.
    var surplus: UInt8 = 0
    guard zip_fread(file, &surplus, 1) == 0 else { throw failure(of: file, name) }
  }

  private func failure(of file: OpaquePointer, _ name: String) -> TensorFileError {
    let error = zip_file_get_error(file)
    let code = zip_error_code_zip(error)
    let reason =
      code == ZIP_ER_OK
      ? "its size is not the declared one" : String(cString: zip_error_strerror(error))
    let kind: TensorFileError.Kind = code == ZIP_ER_READ ? .io : .damaged
    return TensorFileError(
      kind, path: path, "\(quoted(name)) is not as it was written: \(reason)")
  }
}

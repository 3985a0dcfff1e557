import Foundation

/// A configuration file as it was read, once: what is decoded from it is what is recorded of it.
package struct ConfigurationFile: Sendable {
  package let path: String
  package let bytes: [UInt8]

  /// Throws kind `.missing`, `.permission` or `.inputOutput` when the file cannot be read, and
  /// `.configuration` when it is too long for one.
  package init(reading path: String) throws(ConfigurationError) {
    self.path = path
    bytes = try Self.read(path)
  }

  /// Regular files only, so that a FIFO or a device cannot hang the program, and no more than a
  /// configuration can have.
  private static func read(_ path: String) throws(ConfigurationError) -> [UInt8] {
    func failure(_ code: Int32) -> ConfigurationError {
      let kind: ConfigurationError.Kind =
        switch code {
        case ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, ENXIO: .missing
        case EACCES, EPERM: .permission
        default: .inputOutput
        }
      return ConfigurationError(
        kind, place: path, "cannot read the configuration: \(String(cString: strerror(code)))")
    }
    // O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
    let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure(errno) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw ConfigurationError(
        .missing, place: path, "not a regular file; name a YAML configuration file")
    }
    guard status.st_size <= YAMLReader.maximumBytes else {
      throw ConfigurationError(
        place: path,
        "\(status.st_size) bytes; a configuration has at most \(YAMLReader.maximumBytes)")
    }
    // One byte more than allowed, so that a file that grows meanwhile is still refused.
    var bytes = [UInt8](repeating: 0, count: YAMLReader.maximumBytes + 1)
    var filled = 0
    while filled < bytes.count {
      let count = bytes.withUnsafeMutableBytes { buffer in
        Foundation.read(
          descriptor, buffer.baseAddress.map { $0 + filled }, buffer.count - filled)
      }
      if count < 0 {
        if errno == EINTR { continue }
        throw failure(errno)
      }
      if count == 0 { break }
      filled += count
    }
    return Array(bytes[..<filled])
  }
}

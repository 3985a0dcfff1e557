import Glibc

/// Why the metrics file cannot be opened or written.
package struct MetricsLogError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Kind: Sendable, Equatable {
    /// The file cannot be created (exit 73).
    case cannotCreate
    /// Reading or writing failed (exit 74).
    case io
    /// The file may not be written (exit 77).
    case permission
  }

  package var kind: Kind
  package var message: String
  package var description: String { message }
}

/// `metrics.jsonl`: one JSON object a line, appended over all of a run's parts.
///
/// Every line is handed to the system whole before `append` returns: what a killed run has reported
/// can be read. A line torn by a kill or a full disk is cut off at the next opening. Lines are never
/// rewritten: after a resume the same step may come twice, behind a `start` line that says from
/// which step. Belongs to one thread of one process.
package final class MetricsLog {
  package let path: String
  private let descriptor: CInt
  /// Bytes of whole lines.
  private var size: off_t

  /// Opens `path` for appending and creates it (mode 0644 within the umask) if it is not there.
  package init(path: String) throws(MetricsLogError) {
    self.path = path
    // O_NONBLOCK: a FIFO in its place must not hold the run up.
    descriptor = open(
      path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0o644)
    guard descriptor >= 0 else { throw Self.openError(path, errno) }
    do throws(MetricsLogError) {
      size = try Self.cutTornLine(descriptor, path)
    } catch {
      close(descriptor)
      throw error
    }
  }

  deinit { close(descriptor) }

  /// Writes one line with the members in the given order.
  ///
  /// - Throws: kind `io`; the file then ends with the line before.
  package func append(_ members: [(String, JSONValue)]) throws(MetricsLogError) {
    let line = Array((JSONValue.object(members).text() + "\n").utf8)
    var written = 0
    while written < line.count {
      let count = line.withUnsafeBytes { bytes in
        write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
      }
      if count > 0 {
        written += count
      } else if count == 0 || errno != EINTR {
        let code = count == 0 ? EIO : errno
        if written > 0 { _ = ftruncate(descriptor, size) }
        throw MetricsLogError(kind: .io, message: "\(path): cannot write: \(text(of: code))")
      }
    }
    size += off_t(line.count)
  }

  /// Cuts off what follows the last newline; returns the size that is left.
  private static func cutTornLine(
    _ descriptor: CInt, _ path: String
  ) throws(MetricsLogError) -> off_t {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw ioError(path, "read", errno) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw MetricsLogError(
        kind: .cannotCreate, message: "\(path): is not a regular file; move it out of the way")
    }
    var block = [UInt8](repeating: 0, count: 4096)
    var end = status.st_size
    while end > 0 {
      let start = max(0, end - off_t(block.count))
      let count = pread(descriptor, &block, Int(end - start), start)
      guard count == Int(end - start) else { throw ioError(path, "read", count < 0 ? errno : EIO) }
      if let newline = block[..<count].lastIndex(of: UInt8(ascii: "\n")) {
        end = start + off_t(newline) + 1
        break
      }
      end = start
    }
    if end < status.st_size, ftruncate(descriptor, end) != 0 {
      throw ioError(path, "cut its torn last line", errno)
    }
    return end
  }

  private static func ioError(_ path: String, _ action: String, _ code: CInt) -> MetricsLogError {
    MetricsLogError(kind: .io, message: "\(path): cannot \(action): \(text(of: code))")
  }

  private static func openError(_ path: String, _ code: CInt) -> MetricsLogError {
    switch code {
    case EACCES, EPERM, EROFS:
      MetricsLogError(
        kind: .permission,
        message: "\(path): \(text(of: code)); make the output directory writable or choose another")
    case EIO: ioError(path, "open", code)
    default:
      MetricsLogError(
        kind: .cannotCreate, message: "\(path): cannot create: \(text(of: code)); check the output")
    }
  }
}

private func text(of code: CInt) -> String { String(cString: strerror(code)) }

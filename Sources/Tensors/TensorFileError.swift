import Glibc

/// Why a file of tensors cannot be used. One line: file, place, what is wrong.
package struct TensorFileError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Kind: Sendable, Equatable {
    /// There is no such file.
    case missing
    /// The file may not be read.
    case permission
    /// Reading failed underway.
    case io
    /// The content is not a valid file of tensors, wants to run code, or does not fit into memory.
    case damaged
  }

  package let kind: Kind
  package let path: String
  package let message: String

  package init(_ kind: Kind, path: String, _ message: String) {
    self.kind = kind
    self.path = path
    self.message = message
  }

  package var description: String { "\(path): \(message)" }

  /// The error for a system call that just failed on `path`.
  static func system(_ call: String, path: String) -> TensorFileError {
    let code = errno
    let kind: Kind =
      switch code {
      case ENOENT, ENOTDIR: .missing
      case EACCES, EPERM: .permission
      default: .io
      }
    return TensorFileError(kind, path: path, "\(call): \(String(cString: strerror(code)))")
  }
}

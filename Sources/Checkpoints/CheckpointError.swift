import Glibc

/// Why a checkpoint or another file of a run cannot be written or read. One line: path, what is
/// wrong, how to mend it.
package struct CheckpointError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Kind: Sendable, Equatable {
    /// There is no such file or directory to read.
    case missing
    /// The content is not what was written.
    case damaged
    /// The place for the output does not exist or is taken by something else.
    case cannotCreate
    /// Reading or writing failed underway: disk full, quota, device error.
    case io
    /// Not allowed, or the run is in use by another job.
    case permission
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

  /// Whether it says something of the checkpoint, and not of the machine that could not read it: what
  /// cannot be read now may be as it was written.
  var isDamage: Bool { kind == .damaged || kind == .missing }

  /// What a failing call was doing: the same `errno` means another kind of error.
  enum Purpose { case reading, writing }

  /// The error for the system call that just failed.
  static func system(_ call: String, path: String, _ purpose: Purpose) -> CheckpointError {
    let code = errno
    let kind: Kind
    let mend: String
    switch (code, purpose) {
    case (EACCES, _), (EPERM, _), (EROFS, .writing):
      (kind, mend) = (.permission, "; check owner and permissions")
    case (ENOENT, .reading), (ENOTDIR, .reading): (kind, mend) = (.missing, "")
    case (ELOOP, .reading), (EISDIR, .reading): (kind, mend) = (.damaged, "")
    case (ENOENT, .writing): (kind, mend) = (.cannotCreate, "; create the directory first")
    case (ENOTDIR, .writing): (kind, mend) = (.cannotCreate, "; choose another place")
    case (EEXIST, _), (ENOTEMPTY, _), (EISDIR, _), (ELOOP, _), (ENAMETOOLONG, _):
      (kind, mend) = (.cannotCreate, "; remove what is in the way or choose another place")
    case (ENOSPC, _), (EDQUOT, _): (kind, mend) = (.io, "; free space or choose another place")
    default: (kind, mend) = (.io, "")
    }
    return CheckpointError(kind, path: path, "\(call): \(String(cString: strerror(code)))\(mend)")
  }
}

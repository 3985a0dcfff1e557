import Glibc

/// A run directory's lock: one job at a time writes there.
///
/// Held while the value lives and released by the kernel when the process ends, however it ends.
/// The file `.lock` stays; without a job that holds it, its content means nothing.
package final class RunLock {
  /// False on file systems that cannot lock: then nothing keeps a second job out.
  package let isEnforced: Bool
  private let descriptor: Int32

  /// Takes the lock of the existing directory `run`.
  ///
  /// - Parameter patience: seconds to wait for a job that holds it: ranks of a job that was killed
  ///   may outlive mpirun by some, and the same command again must not fail by that.
  /// - Throws: `.permission` naming host and process where another job holds it, or where the file
  ///   may not be written; `.cannotCreate`, `.io`.
  package init(run: String, patience: Double = 0) throws(CheckpointError) {
    let path = "\(run)/.lock"
    let descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw .system("open", path: path, .writing) }
    do throws(CheckpointError) {
      isEnforced = try Self.lock(descriptor, path: path, patience: patience)
      try Self.sign(descriptor, path: path)
    } catch {
      close(descriptor)
      throw error
    }
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  private static func lock(
    _ descriptor: Int32, path: String, patience: Double
  ) throws(CheckpointError) -> Bool {
    let pause = 0.05
    var waited = 0.0
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      switch errno {
      case EINTR: continue
      case ENOSYS, EOPNOTSUPP, ENOLCK: return false
      case EWOULDBLOCK:
        if waited < patience {
          usleep(UInt32(pause * 1e6))
          waited += pause
          continue
        }
        throw CheckpointError(
          .permission, path: path, "the run is in use by \(holder(descriptor))")
      default: throw .system("flock", path: path, .writing)
      }
    }
    return true
  }

  /// Who wrote the file, and what to do about it, for the message.
  private static func holder(_ descriptor: Int32) -> String {
    let other = "wait for it to end or choose another output"
    var text = [UInt8](repeating: 0, count: 300)
    let count = pread(descriptor, &text, text.count, 0)
    let words = String(decoding: text.prefix(max(count, 0)), as: UTF8.self)
      .split(whereSeparator: \.isWhitespace)
    guard words.count == 2, let process = Int32(words[1]) else { return "another job; \(other)" }
    let holder = "process \(process) on \(words[0])"
    guard words[0] != hostName else {
      return "\(holder); \(other), or stop it: kill -USR1 \(process)"
    }
    // The kernel releases a lock with its process. A file server learns of a lost host later.
    return "\(holder); \(other), or stop it there; if \(words[0]) was lost, its file server frees "
      + "the lock within minutes"
  }

  private static var hostName: String {
    var host = [CChar](repeating: 0, count: 256)
    gethostname(&host, host.count - 1)
    let name = String(
      decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return name.isEmpty ? "localhost" : name
  }

  private static func sign(_ descriptor: Int32, path: String) throws(CheckpointError) {
    let line = "\(hostName) \(getpid())\n"
    guard ftruncate(descriptor, 0) == 0,
      pwrite(descriptor, line, line.utf8.count, 0) == line.utf8.count
    else { throw .system("write", path: path, .writing) }
  }
}

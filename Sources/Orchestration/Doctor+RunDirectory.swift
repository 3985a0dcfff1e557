import Glibc

/// The place where a run keeps its checkpoints: whether it can do what commits them.
extension Doctor {
  /// Of rank 0, which alone writes there. `output`: the directory of the run, or where it is to be.
  package func examine(output: String) -> [Finding] {
    let place = Self.nearestExisting(output)
    guard Self.isDirectory(place) else {
      let problem =
        access(place, F_OK) == 0 ? "is not a directory" : String(cString: strerror(errno))
      return [.fault("run directory", "\(place): \(problem)", "choose another with --output")]
    }
    return [directory(place), runLock(output)] + probes(place) + space(place)
  }

  private func directory(_ place: String) -> Finding {
    let kind = fileSystem(of: place)
    let value = "\(place == output(place) ? place : "\(place) (\(output(place)))"), \(kind)"
    if ["tmpfs", "ramfs"].contains(kind) {
      return .advice(
        "run directory", value,
        "a run there is gone when the machine or container ends: choose a disk with --output")
    }
    let isRemote = Self.networkFileSystems.contains { kind.hasPrefix($0) }
    return .advice(
      "run directory", value,
      isRemote
        ? "locks and renames of \(kind) depend on its server: try it as checkpoints are saved, or "
          + "choose a local disk with --output" : nil)
  }

  /// For people: a dot says little.
  private func output(_ place: String) -> String {
    guard let resolved = realpath(place, nil) else { return place }
    defer { Glibc.free(resolved) }
    return String(cString: resolved)
  }

  private func runLock(_ output: String) -> Finding {
    let descriptor = open("\(output)/.lock", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { return .good("run lock", "none") }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 300)
    let count = pread(descriptor, &bytes, bytes.count, 0)
    let line = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
      .split(whereSeparator: \.isWhitespace).joined(separator: " ")
    guard flock(descriptor, LOCK_SH | LOCK_NB) != 0, errno == EWOULDBLOCK else {
      return .good("run lock", "free\(line.isEmpty ? "" : ", last held by \(line)")")
    }
    return .fault(
      "run lock", "held by \(line.isEmpty ? "another job" : line)",
      "wait for that job, end it with SIGUSR1, or choose another directory with --output")
  }

  /// Makes a hidden directory, does in it what a commit does, and removes it.
  private func probes(_ place: String) -> [Finding] {
    let directory = "\(place)/.repvgg-doctor-\(getpid())"
    guard mkdir(directory, 0o700) == 0 else {
      let code = errno
      let mend =
        code == ENOSPC || code == EDQUOT
        ? "free space or inodes there, or choose another place with --output"
        : "make it writable for this user, or choose another place with --output"
      return [.fault("write", "mkdir: \(String(cString: strerror(code)))", mend)]
    }
    let (first, second) = ("\(directory)/a", "\(directory)/b")
    defer {
      unlink(first)
      unlink(second)
      rmdir(directory)
    }
    let descriptor = open(first, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { return [failure("write", "open")] }
    defer { close(descriptor) }
    let data = [UInt8](repeating: 1, count: 65_536)
    errno = 0
    guard write(descriptor, data, data.count) == data.count else {
      return [failure("write", "write")]
    }
    var findings = [Finding.good("write", "works")]
    let parent = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    defer { close(parent) }
    let isSynchronised = fsync(descriptor) == 0 && parent >= 0 && fsync(parent) == 0
    findings.append(isSynchronised ? .good("fsync", "works") : failure("fsync", "fsync"))
    let isRenamed = rename(first, second) == 0
    findings.append(isRenamed ? .good("rename", "works") : failure("rename", "rename"))
    if flock(descriptor, LOCK_EX | LOCK_NB) == 0 {
      findings.append(.good("file locks", "work"))
    } else {
      findings.append(
        .fault(
          "file locks", "flock: \(String(cString: strerror(errno)))",
          "nothing keeps a second job out of a run: mount it with locks (NFS: local_lock=none and "
            + "lockd), or choose another place with --output"))
    }
    return findings
  }

  private func failure(_ name: String, _ call: String) -> Finding {
    .fault(
      name, "\(call): \(String(cString: strerror(errno)))",
      "no checkpoint can be committed there: choose another file system with --output")
  }

  private func space(_ place: String) -> [Finding] {
    guard let free = Self.free(place) else { return [] }
    return [
      .fault(
        "free space", "\(free.bytes / 1_048_576) MiB",
        free.bytes < 1_073_741_824
          ? "several checkpoints lie there at once: free at least 1 GiB, or choose another place with "
            + "--output" : nil),
      .fault(
        "free inodes", free.inodes.map(String.init) ?? "not counted",
        free.inodes.map { $0 < 1000 } ?? false
          ? "every checkpoint takes several: remove small files there, or choose another place with "
            + "--output" : nil),
    ]
  }
}

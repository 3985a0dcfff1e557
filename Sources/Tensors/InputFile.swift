import Glibc

/// A regular file open for reading.
struct InputFile: ~Copyable {
  let path: String
  let bytes: Int
  private let descriptor: Int32

  init(path: String) throws(TensorFileError) {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer that never comes.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw .system("open", path: path) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let error = TensorFileError.system("fstat", path: path)
      close(descriptor)
      throw error
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw TensorFileError(.damaged, path: path, "not a regular file")
    }
    self.path = path
    self.descriptor = descriptor
    bytes = Int(status.st_size)
  }

  deinit { close(descriptor) }

  func safetensorsHeader() throws(TensorFileError) -> Safetensors.Header {
    let prefix = try prefix(8)
    let length = try Safetensors.Header.length(prefix: prefix, fileBytes: bytes, path: path)
    let json = try read(at: 8, count: length)
    return try Safetensors.Header(json: json, dataBytes: bytes - 8 - length, path: path)
  }

  /// The first `count` bytes, or all where there are fewer.
  func prefix(_ count: Int) throws(TensorFileError) -> [UInt8] {
    try read(at: 0, count: min(count, bytes))
  }

  /// `count` bytes from byte `offset` on.
  func read(at offset: Int, count: Int) throws(TensorFileError) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: count)
    try result.withUnsafeMutableBufferPointer { buffer throws(TensorFileError) in
      try read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
    }
    return result
  }

  /// Another descriptor of the same open file, which is the caller's to close.
  func duplicatedDescriptor() throws(TensorFileError) -> Int32 {
    let duplicate = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
    guard duplicate >= 0 else { throw .system("fcntl", path: path) }
    return duplicate
  }

  /// Refuses tensors that are larger than the machine's memory.
  func requireMemory(for tensorBytes: Int) throws(TensorFileError) {
    let memory = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
    guard tensorBytes <= memory else {
      throw TensorFileError(
        .damaged, path: path, "\(tensorBytes) bytes of tensors do not fit into memory")
    }
  }

  /// Fills `destination` from byte `offset` on.
  func read(at offset: Int, into destination: UnsafeMutableRawBufferPointer)
    throws(TensorFileError)
  {
    var done = 0
    while done < destination.count {
      let count = pread(
        descriptor, destination.baseAddress.map { $0 + done }, destination.count - done,
        offset + done)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw .system("read", path: path) }
      guard count > 0 else {
        throw TensorFileError(.io, path: path, "the file became shorter while it was read")
      }
      FileProgress.advance()
      done += count
    }
  }
}

import CCrypto

/// SHA-256 of bytes that come in pieces, by libcrypto.
package struct SHA256Digest: ~Copyable {
  private let context: OpaquePointer

  package init() {
    guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
      fatalError("libcrypto gives no SHA-256")
    }
    self.context = context
  }

  deinit { EVP_MD_CTX_free(context) }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1 else {
      fatalError("libcrypto's SHA-256 failed")
    }
  }

  /// The digest's 32 bytes.
  package consuming func finishBytes() -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    guard EVP_DigestFinal_ex(context, &digest, nil) == 1 else {
      fatalError("libcrypto's SHA-256 failed")
    }
    return digest
  }

  /// The digest as 64 lower-case hexadecimal digits.
  package consuming func finish() -> String {
    let digest = finishBytes()
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  /// The digest of bytes that are all there.
  package static func hex(_ bytes: [UInt8]) -> String {
    var digest = SHA256Digest()
    bytes.withUnsafeBytes { digest.update($0) }
    return digest.finish()
  }

  /// The digest of a regular file's bytes, as `sha256sum` prints it.
  package static func hex(ofFile path: String) throws(TensorFileError) -> String {
    let file = try InputFile(path: path)
    var digest = SHA256Digest()
    var done = 0
    while done < file.bytes {
      let piece = try file.read(at: done, count: min(1 << 20, file.bytes - done))
      piece.withUnsafeBytes { digest.update($0) }
      done += piece.count
    }
    return digest.finish()
  }
}

extension NamedTensors {
  /// SHA-256 over all tensors by the byte order of their names: each one's name in UTF-8, its shape
  /// as little-endian Int64, its values as little-endian bytes. Metadata is left out.
  ///
  /// Of a network's parameters and running statistics it tells whether two runs ended with the
  /// same bits.
  package func weightsSHA256() -> String {
    var digest = SHA256Digest()
    for name in sortedNames {
      guard let tensor = self[name] else { continue }
      Array(name.utf8).withUnsafeBytes { digest.update($0) }
      tensor.shape.map { Int64($0).littleEndian }.withUnsafeBytes { digest.update($0) }
      tensor.withBytes { digest.update($0) }
    }
    return digest.finish()
  }
}

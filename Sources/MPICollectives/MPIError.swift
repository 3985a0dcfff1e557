import CMPI

/// A call of MPI that failed, in MPI's own words.
package struct MPIError: Error, Sendable, Equatable, CustomStringConvertible {
  /// E.g. `MPI_Allreduce`.
  package let call: String
  package let message: String

  package var description: String { "\(call): \(message)" }

  init(call: String, message: String) {
    self.call = call
    self.message = message
  }

  init(call: String, code: Int32) {
    var text = [CChar](repeating: 0, count: Int(cmpi_max_error_string) + 1)
    var length: Int32 = 0
    let isNamed = cmpi_error_string(code, &text, &length) == cmpi_success
    self.init(
      call: call, message: isNamed ? string(text, length: length) : "error code \(code)")
  }
}

/// Throws unless `code`, which `call` returned, says success.
func check(_ call: String, _ code: Int32) throws(MPIError) {
  guard code == cmpi_success else { throw MPIError(call: call, code: code) }
}

/// The first `length` characters of C text on one line.
func string(_ text: [CChar], length: Int32) -> String {
  let bytes = text.prefix(Int(length)).map { UInt8(bitPattern: $0) }.prefix { $0 >= 0x20 }
  return String(decoding: bytes, as: UTF8.self)
}

import Glibc
import RunPlanning

extension HostList {
  private static let mostBytes = 1_048_576

  /// The hosts that `--hosts` names: a file where there is one of that name, else a list.
  ///
  /// Throws `JobFailure`: `.usage` for a list, `.badData` for a file that cannot be understood.
  package init(argument: String) throws {
    var status = stat()
    let isThere = stat(argument, &status) == 0
    if isThere, status.st_mode & S_IFMT != S_IFREG {
      throw JobFailure(.badData, "\(argument): not a file; name a host file, or hosts as a:4,b:4")
    }
    guard isThere || argument.contains("/") else {
      do {
        try self.init(list: argument)
      } catch {
        throw JobFailure(.usage, "--hosts: \(error)")
      }
      return
    }
    guard let file = fopen(argument, "re") else {
      let code = errno
      throw JobFailure(
        code == EACCES ? .permission : .missingInput,
        "\(argument): \(String(cString: strerror(code))); name a host file, or hosts as a:4,b:4")
    }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: Self.mostBytes + 1)
    let count = fread(&bytes, 1, bytes.count, file)
    let text = String(validating: bytes.prefix(count), as: UTF8.self)
    guard let text, count <= Self.mostBytes, !text.utf8.contains(0) else {
      throw JobFailure(.badData, "\(argument): no host file; a line of it reads `name slots=4`")
    }
    do {
      try self.init(file: text)
    } catch {
      throw JobFailure(.badData, "\(argument): \(error)")
    }
  }
}

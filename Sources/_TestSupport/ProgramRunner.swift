import Foundation

/// How a program ended and what it said.
package struct ProgramResult: Sendable {
  /// Exit status, or 128 + the number of the signal that ended it, as shells count.
  package let status: Int
  package let stdout: String
  package let stderr: String
  /// Whether it had to be ended because its time was over.
  package let timedOut: Bool

  /// The lines on stderr that are the program's own; mpirun adds a banner around them.
  package var complaints: [String] {
    stderr.split(whereSeparator: \.isNewline).map(String.init).filter { $0.hasPrefix("repvgg:") }
  }
}

package struct ProgramRunError: Error, CustomStringConvertible {
  package let description: String

  package init(description: String) { self.description = description }
}

/// The path of a program that was built along with the running tests. What has a slash is one.
package func builtProgram(_ name: String) throws -> String {
  if name.contains("/") { return name }
  // The test runner lies in the build directory, or in a bundle below it.
  var directory = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
  for _ in 0..<5 {
    let path = directory.appendingPathComponent(name).path
    var isDirectory: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory),
      !isDirectory.boolValue, FileManager.default.isExecutableFile(atPath: path)
    {
      return path
    }
    directory.deleteLastPathComponent()
  }
  throw ProgramRunError(description: "\(name) is not built beside \(CommandLine.arguments[0])")
}

/// Runs the built `repvgg` as its users do.
package func runProgram(
  _ arguments: [String], environment: [String: String] = [:], directory: String? = nil,
  timeout: Double = 60
) throws -> ProgramResult {
  try runExecutable(
    try builtProgram("repvgg"), arguments, environment: environment, directory: directory,
    timeout: timeout)
}

/// Runs any program to its end; stdin is empty.
///
/// - Parameters:
///   - executable: a path.
///   - environment: changes to this process's environment; an empty value removes the variable.
///   - timeout: seconds after which it is sent SIGTERM, and five seconds later SIGKILL.
package func runExecutable(
  _ executable: String, _ arguments: [String], environment: [String: String] = [:],
  directory: String? = nil, timeout: Double = 60
) throws -> ProgramResult {
  try RunningProgram(
    executable, arguments, environment: environment, directory: directory
  ).wait(timeout: timeout)
}

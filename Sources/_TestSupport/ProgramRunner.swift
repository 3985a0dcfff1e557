import Foundation

/// How a program ended and what it said.
package struct ProgramResult: Sendable {
  /// Exit status, or 128 + the number of the signal that ended it, as shells count.
  package let status: Int
  package let stdout: String
  package let stderr: String
  /// Whether it had to be ended because its time was over.
  package let timedOut: Bool
}

package struct ProgramRunError: Error, CustomStringConvertible {
  package let description: String
}

/// The path of a program that was built along with the running tests.
package func builtProgram(_ name: String) throws -> String {
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
  // Files instead of pipes: nothing blocks however much is said, and a grandchild that lives on
  // does not hold the reading up.
  let scratch = try ScratchDirectory()
  let outputs = try ["stdout", "stderr"].map { name in
    try scratch.write("", to: name)
    return try FileHandle(forWritingTo: URL(fileURLWithPath: scratch.path(name)))
  }
  let process = Process()
  process.executableURL = URL(fileURLWithPath: executable)
  process.arguments = arguments
  process.environment = ProcessInfo.processInfo.environment
    .merging(environment) { $1 }.filter { !$0.value.isEmpty }
  if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
  process.standardInput = FileHandle.nullDevice
  (process.standardOutput, process.standardError) = (outputs[0], outputs[1])

  let ended = DispatchSemaphore(value: 0)
  process.terminationHandler = { _ in ended.signal() }
  try process.run()
  let timedOut = ended.wait(timeout: .now() + timeout) == .timedOut
  if timedOut {
    kill(process.processIdentifier, SIGTERM)
    if ended.wait(timeout: .now() + 5) == .timedOut {
      kill(process.processIdentifier, SIGKILL)
      ended.wait()
    }
  }
  let status = Int(process.terminationStatus)
  return ProgramResult(
    status: process.terminationReason == .uncaughtSignal ? 128 + status : status,
    stdout: try scratch.text(of: "stdout"), stderr: try scratch.text(of: "stderr"),
    timedOut: timedOut)
}

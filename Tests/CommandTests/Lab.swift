import Foundation
import _TestSupport

/// Hosts on this machine, of `launch/lab`: one lab for a value, removed with it.
final class Lab {
  /// Whether hosts can be made here, as the script says.
  static let isAvailable: Bool = {
    let status = try? runExecutable(script, ["status", "--lab", "probe"])
    return status?.status == 0
  }()

  static let skipReason =
    "hosts need root, namespaces and mpirun (launch/lab status says what is missing)"

  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path
  static let script = "\(root)/launch/lab"

  /// One of this process at a time: suites that start jobs are serial.
  let name = "t\(getpid())"

  init(hosts: Int) throws {
    try run(["up", "--hosts", "\(hosts)"])
  }

  deinit { _ = try? run(["down"]) }

  /// Runs a command of the lab, which must succeed.
  @discardableResult
  func run(_ arguments: [String]) throws -> String {
    let result = try runExecutable(Self.script, ["--lab", name] + arguments)
    guard result.status == 0 else { throw Unexpected("\(arguments): \(result)") }
    return result.stdout
  }

  /// Runs a command on a host, from a directory.
  @discardableResult
  func run(on host: String, _ command: [String], directory: String? = nil) throws -> ProgramResult {
    try runExecutable(
      Self.script, ["--lab", name, "exec", host, "--"] + command, directory: directory)
  }

  /// Lays other files over a directory or file of one host.
  func mount(_ arguments: [String], on host: String) throws {
    let result = try run(on: host, ["mount"] + arguments)
    guard result.status == 0 else { throw Unexpected("\(result)") }
  }

  /// Starts a job as its users do, by `launch/train` on host `from`, with the ranks in blocks over
  /// `hosts`. The one place that knows how.
  ///
  /// - Parameter hosts: as `--hosts` takes them, such as `h1:2,h2:2`.
  func start(
    _ job: TinyJob, from host: String = "h1", hosts: String, ranks: Int, output: String,
    program: String? = nil, _ arguments: [String] = [], environment: [String: String] = [:],
    timeout: Double = 60
  ) throws -> MPIJob {
    let command = [
      "\(Self.root)/launch/train", TinyJob.configuration, "--hosts", hosts, "--ranks", "\(ranks)",
      "--threads", "1", "--output", output,
    ]
    var settings = environment
    // Each host has its own; a silent one is given up after some seconds.
    settings["OMPI_MCA_btl_vader_backing_directory"] = ""
    settings["OMPI_MCA_oob_tcp_keepalive_time"] = "1"
    settings["OMPI_MCA_oob_tcp_keepalive_intvl"] = "1"
    settings["OMPI_MCA_oob_tcp_keepalive_probes"] = "2"
    if let program { settings["REPVGG_PROGRAM"] = program }
    return try MPIJob(
      script: Self.script, ["--lab", name, "exec", host, "--"] + command + arguments,
      environment: settings, directory: job.scratch.path, timeout: timeout)
  }

  /// Numbers of the processes named `program` that run on a host.
  func processes(named program: String = "repvgg", on host: String) throws -> [String] {
    try run(on: host, ["sh", "-c", Self.listing, "list", program]).stdout
      .split(separator: "\n").map(String.init)
  }

  /// Processes of the caller's own network whose name is the argument.
  private static let listing = """
    here=$(readlink /proc/self/ns/net)
    for place in /proc/[0-9]*; do
      if [ "$(cat $place/comm 2>/dev/null)" = "$1" ] \\
        && [ "$(readlink $place/ns/net)" = "$here" ]; then echo "${place#/proc/}"; fi
    done
    """
}

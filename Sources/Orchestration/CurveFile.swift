import Checkpoints
import Foundation
import Kernels
import RunPlanning

/// `machine.json`: the curves of a machine, to which benchmarks add and from which runs are predicted.
package enum CurveFile {
  /// More than any file of curves has.
  private static let maximumBytes = 16 << 20

  /// The curves at `path`.
  ///
  /// Throws `.missingInput`, `.permission` or `.inputOutput` where it cannot be read, and `.badData` with
  /// the place where it holds something else.
  package static func read(_ path: String) throws -> MachineCurves {
    do {
      return try MachineCurves(json: content(path))
    } catch let damage as MachineCurves.Damage {
      throw JobFailure(
        .badData,
        "\(path): no curves of a machine: \(damage); measure anew with repvgg bench step --save and "
          + "bench collectives --save")
    }
  }

  /// What there is at `path` for this machine to add to; new curves where nothing is.
  ///
  /// Throws what `read` does, and `.cannotCreate` where it is another machine's or cannot be written.
  package static func readToAdd(_ path: String) throws -> MachineCurves {
    try AtomicFile.requireWritable(path: path)
    let machine = Machine.curveHost
    var status = stat()
    guard lstat(path, &status) == 0 else { return MachineCurves(machine: machine) }
    let curves = try read(path)
    if let difference = machine.difference(from: curves.machine) {
      throw JobFailure(
        .cannotCreate,
        "\(path): here the machine has \(difference) as there; give another --save, or remove it")
    }
    return curves
  }

  package static func write(_ curves: MachineCurves, to path: String) throws {
    try AtomicFile.write(path: path, bytes: curves.json())
  }

  /// Of a regular file, so that no FIFO holds the program up.
  private static func content(_ path: String) throws -> [UInt8] {
    func failure() -> JobFailure {
      let code: ExitCode =
        switch errno {
        case ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG: .missingInput
        case EACCES, EPERM: .permission
        default: .inputOutput
        }
      let mend = code == .missingInput ? "; repvgg bench step --save makes it" : ""
      return JobFailure(code, "\(path): \(String(cString: strerror(errno)))\(mend)")
    }
    let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure() }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure() }
    guard status.st_mode & S_IFMT == S_IFREG, status.st_size <= maximumBytes else {
      throw JobFailure(.badData, "\(path): no curves of a machine: no file of at most 16 MiB")
    }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    var filled = 0
    while filled < bytes.count {
      let count = bytes.withUnsafeMutableBytes { buffer in
        Foundation.read(descriptor, buffer.baseAddress.map { $0 + filled }, buffer.count - filled)
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw failure() }
      if count == 0 { break }
      filled += count
    }
    return Array(bytes[..<filled])
  }
}

extension Machine {
  /// The machine as its curves name it. A rank that mpirun has bound sees only some of its cores.
  static var curveHost: MachineCurves.Host {
    let isBound = environment("OMPI_MCA_orte_bound_at_launch") == "1"
    return MachineCurves.Host(
      name: hostName, cpu: processor, cores: isBound ? onlineCores : cores,
      memoryBytes: usableMemory, instructionSets: KernelBuild.instructionSets,
      panelWidth: KernelBuild.panelWidth, programVersion: programVersion)
  }
}

import Checkpoints
import Collectives
import Deployment
import ImageData
import RepVGGModel
import Reporting
import RunPlanning
import Tensors

/// How the program ends (sysexits, and 75 and 76 of our own meaning).
package enum ExitCode: Int32, Sendable {
  case done = 0
  case usage = 64
  case badData = 65
  case missingInput = 66
  case ownFault = 70
  case cannotCreate = 73
  case inputOutput = 74
  /// Stopped on request, state saved: the same command again goes on.
  case stopped = 75
  /// Not finite, diverged, forms not equivalent, bits not proved.
  case numerics = 76
  case permission = 77
  case configuration = 78

  /// The code of an error that any room has thrown.
  package static func of(_ error: any Error) -> ExitCode {
    switch error {
    case let error as JobFailure: error.code
    case let error as ConfigurationError: of(error.kind)
    case let error as DataError: of(error.kind)
    case let error as TensorFileError: of(error.kind)
    case let error as CheckpointError: of(error.kind)
    case let error as MetricsLogError: of(error.kind)
    case let error as DeploymentError: error.kind == .badModel ? .badData : .numerics
    case is ModelTensorsError, is GoldenError: .badData
    default: .ownFault
    }
  }

  private static func of(_ kind: ConfigurationError.Kind) -> ExitCode {
    switch kind {
    case .configuration: .configuration
    case .missing: .missingInput
    case .permission: .permission
    case .inputOutput: .inputOutput
    }
  }

  private static func of(_ kind: DataError.Kind) -> ExitCode {
    switch kind {
    case .malformed: .badData
    case .missing: .missingInput
    case .io: .inputOutput
    case .permission: .permission
    case .cannotCreate: .cannotCreate
    case .configuration: .configuration
    }
  }

  private static func of(_ kind: TensorFileError.Kind) -> ExitCode {
    switch kind {
    case .missing: .missingInput
    case .permission: .permission
    case .io: .inputOutput
    case .damaged: .badData
    }
  }

  private static func of(_ kind: CheckpointError.Kind) -> ExitCode {
    switch kind {
    case .missing: .missingInput
    case .damaged: .badData
    case .cannotCreate: .cannotCreate
    case .io: .inputOutput
    case .permission: .permission
    }
  }

  private static func of(_ kind: MetricsLogError.Kind) -> ExitCode {
    switch kind {
    case .cannotCreate: .cannotCreate
    case .io: .inputOutput
    case .permission: .permission
    }
  }
}

/// Why a job ends early, the same on every rank: a code, and one line that rank 0 prints.
package struct JobFailure: Error, Sendable, CustomStringConvertible {
  package let code: ExitCode
  package let description: String

  package init(_ code: ExitCode, _ description: String) {
    self.code = code
    self.description = description
  }
}

/// Agreement of all ranks on whether something has failed: a rank that fails alone must not leave
/// the others waiting in a collective.
package enum Agreement {
  /// Bytes of a message that travel between ranks.
  private static let messageBytes = 2048

  /// Runs `body`, which makes no collective calls, on every rank. Where it throws on any, every rank
  /// throws the failure of the lowest such rank.
  package static func all<Value>(
    _ communicator: any Communicator, _ body: () throws -> Value
  ) throws -> Value {
    let result = Result { try body() }
    var failure: (any Error)?
    if case .failure(let error) = result { failure = error }
    try settle(communicator, failure)
    return try result.get()
  }

  /// The same for what has happened already. `ofOneRank`: the failure is this rank's alone, as where
  /// each reads files of its own, so that rank 0 is named too.
  package static func settle(
    _ communicator: any Communicator, _ failure: (any Error)?, ofOneRank: Bool = false
  ) throws {
    guard communicator.size > 1 else {
      if let failure { throw failure }
      return
    }
    // The lowest failing rank has the largest claim; 0 where nothing failed.
    var claim = [failure == nil ? 0 : Int64(communicator.size - communicator.rank)]
    try claim.withUnsafeMutableBufferPointer { try communicator.maximum($0) }
    guard claim[0] > 0 else { return }
    let rank = communicator.size - Int(claim[0])
    var message = [UInt8](repeating: 0, count: messageBytes)
    if communicator.rank == rank, let failure {
      message[0] = UInt8(truncatingIfNeeded: ExitCode.of(failure).rawValue)
      let name = Machine.name(ofRank: rank, of: communicator.size)
      let place = rank == 0 && !ofOneRank ? "" : "\(name): "
      for (index, byte) in "\(place)\(failure)".utf8.prefix(messageBytes - 2).enumerated() {
        message[index + 1] = byte
      }
    }
    try message.withUnsafeMutableBytes { try communicator.broadcast($0, from: rank) }
    throw JobFailure(
      ExitCode(rawValue: Int32(message[0])) ?? .ownFault,
      String(decoding: message[1...].prefix { $0 != 0 }, as: UTF8.self))
  }
}

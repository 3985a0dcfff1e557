import Failpoints
import Foundation
import _TestSupport

extension Campaign {
  /// The build for the campaign has all failpoints, and the one that is shipped has none.
  func requireFailpoints() throws {
    let names = Failpoint.Name.allCases.map(\.rawValue)
    let struck = try Data(contentsOf: URL(fileURLWithPath: program))
    // Strings of up to 15 bytes are immediate operands of instructions: long names say enough.
    let long = names.filter { $0.utf8.count > 15 }
    try require(!long.isEmpty, "the campaign itself is built without -Xswiftc -DFAILPOINTS")
    for name in long {
      try require(
        struck.range(of: Data(name.utf8)) != nil,
        "\(program): no failpoint \(name); build it with -Xswiftc -DFAILPOINTS")
    }
    guard !options.release.isEmpty else { return }
    let shipped = try Data(contentsOf: URL(fileURLWithPath: options.release))
    // The variable's name stands in the doctor, who warns of it.
    for name in long {
      try require(
        shipped.range(of: Data(name.utf8)) == nil,
        "\(options.release): the shipped program holds \(name)")
    }
    say("\(long.count) long names of failpoints: in the campaign's build, not in the release")
  }
}

import Orchestration

/// The program's version, as CHANGELOG names it.
enum Version {
  static let current = Machine.programVersion
}

/// What a program did that none may do.
package struct Unexpected: Error, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}

/// For programs beside the tests, which have no test framework.
package func require(_ holds: Bool, _ otherwise: @autoclosure () -> String) throws {
  if !holds { throw Unexpected(otherwise()) }
}

/// Why ranks that are threads cannot finish a collective.
package struct CollectiveError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Kind: Sendable, Equatable {
    /// Ranks called different operations, or one ended without calling the one it was awaited in.
    case mismatch
    /// Another rank failed; its own error is the one that counts.
    case abandoned
    /// The ranks did not finish in time.
    case timeout
  }

  package let kind: Kind
  package let message: String

  package init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  package var description: String { message }
}

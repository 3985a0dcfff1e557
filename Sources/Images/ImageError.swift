/// Why an image could not be decoded: what and where in it, without the file's name, which its
/// reader adds.
package struct ImageError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Kind: Sendable, Equatable {
    /// Not an image of a kind that is read: another format, or a variant of one that is refused.
    case unsupported
    /// Cut short, or with content that contradicts itself.
    case damaged
    /// Larger than `ImageLimits` allow.
    case tooLarge
    /// The system lends no memory.
    case memory
  }

  package var kind: Kind
  package var message: String
  package var description: String { message }

  package init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }
}

/// What an image may ask for, checked on its header, before memory is taken for it.
package struct ImageLimits: Sendable, Equatable {
  /// Columns and rows.
  package var largestSide = 30_000
  /// Pixels in all; Pillow warns of "decompression bombs" from 89 million on.
  package var largestPixelCount = 89_478_485
  /// Scans of a progressive JPEG: each costs a pass over all coefficients.
  package var largestScanCount = 100

  package init() {}
}

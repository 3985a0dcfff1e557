import Foundation

extension MachineCurves {
  /// Why a text holds no curves, with the place, in one line.
  package struct Damage: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    /// Names of a file may hold anything.
    init(_ text: String) {
      let line = text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "?" : $0 }
      description = String(String.UnicodeScalarView(line).prefix(300))
    }
  }

  /// Curves from JSON as `json` writes it.
  package init(json: [UInt8]) throws(Damage) {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do {
      self = try decoder.decode(MachineCurves.self, from: Data(json))
    } catch let error as DecodingError {
      throw Damage(Self.problem(error))
    } catch {
      throw Damage("not JSON")
    }
    if let flaw { throw Damage(flaw) }
  }

  /// JSON for people, the same bytes for the same curves.
  package func json() throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return Array(try encoder.encode(self)) + [0x0A]
  }

  private static func problem(_ error: DecodingError) -> String {
    func place(_ context: DecodingError.Context) -> String {
      context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }
        .joined(separator: ".")
    }
    switch error {
    case .keyNotFound(let key, let context):
      let path = place(context)
      return "\(path.isEmpty ? "" : path + ".")\(key.stringValue) is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
      return "\(place(context)): another kind of value is expected"
    case .dataCorrupted(let context) where !context.codingPath.isEmpty:
      return "\(place(context)): \(context.debugDescription)"
    default: return "not JSON"
    }
  }
}

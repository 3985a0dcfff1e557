import Foundation
import _TestSupport

/// The command line.
struct Options {
  enum Form: String { case short, long }

  var form = Form.short
  /// Numbers of rows; nil: all.
  var rows: Set<Int>?
  var trial: Int?
  var seed = UInt64.random(in: 0...1 << 62)
  /// After so many no trial is begun.
  var seconds: Double?
  /// Which part the short form takes.
  var rotation: UInt64 = 0
  var program = ""
  var release = ""
  var output: String?
  var list = false

  init(_ arguments: [String]) throws {
    var rest = arguments[...]
    while let option = rest.popFirst() {
      switch option {
      case "--long": form = .long
      case "--list": list = true
      default:
        guard let value = rest.popFirst() else { throw Unexpected("\(option) needs a value") }
        try take(option, value)
      }
    }
  }

  private mutating func take(_ option: String, _ value: String) throws {
    switch option {
    case "--rows": rows = try Self.numbers(value)
    case "--trial": trial = try Self.number(value, option)
    case "--seed": seed = UInt64(try Self.number(value, option))
    case "--minutes": seconds = Double(try Self.number(value, option)) * 60
    case "--seconds": seconds = Double(try Self.number(value, option))
    case "--rotation": rotation = UInt64(try Self.number(value, option))
    case "--program": program = value
    case "--release": release = value
    case "--output": output = value
    default: throw Unexpected("unknown option \(option)")
    }
  }

  private static func number(_ text: String, _ option: String) throws -> Int {
    guard let number = Int(text), number >= 0 else {
      throw Unexpected("\(option): \(text) is not a number from 0")
    }
    return number
  }

  /// `1,3,25-29`.
  private static func numbers(_ text: String) throws -> Set<Int> {
    var numbers = Set<Int>()
    for part in text.split(separator: ",") {
      let ends = part.split(separator: "-").map { Int($0) }
      guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2,
        first <= last, first >= 0, last <= 99
      else { throw Unexpected("--rows: \(part) is neither a row nor a range of rows") }
      numbers.formUnion(first...last)
    }
    return numbers
  }
}

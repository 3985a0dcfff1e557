import RunPlanning

/// The order of weights in memory, against the published order of files.
///
/// Convolutions: memory [group][tap][cin / groups][cout / groups], files
/// [cout][cin / groups][kh][kw]. Linear: memory [features][classes], files [classes][features].
/// Everything else is the same in both. Conversion happens at the file edge alone.
package enum WeightOrder {
  /// `file` holds `entry.count` values in published order.
  package static func toMemory(
    _ file: UnsafePointer<Float>, entry: ParameterTable.Entry,
    into memory: UnsafeMutablePointer<Float>
  ) {
    guard entry.kind == .convolutionWeight, entry.shape[0] / entry.groups % lanes == 0 else {
      return forEachPair(entry) { memory[$0] = file[$1] }
    }
    // Whole lines of outputs, none of which lies in two groups.
    let (outputs, inputs) = (entry.shape[0], entry.shape[1])
    let taps = entry.shape[2] * entry.shape[3]
    let (groupOutputs, outputStride) = (outputs / entry.groups, inputs * taps)
    for first in stride(from: 0, to: outputs, by: lanes) {
      let (group, column) = first.quotientAndRemainder(dividingBy: groupOutputs)
      let target = memory + group * taps * inputs * groupOutputs + column
      let source = file + first * outputStride
      for place in 0..<outputStride {
        let (input, tap) = place.quotientAndRemainder(dividingBy: taps)
        let line = target + (tap &* inputs &+ input) &* groupOutputs
        for lane in 0..<lanes { line[lane] = source[lane &* outputStride &+ place] }
      }
    }
  }

  /// Outputs of a cache line.
  private static let lanes = 16

  /// `memory` holds `entry.count` values in memory order.
  package static func toFile(
    _ memory: UnsafePointer<Float>, entry: ParameterTable.Entry,
    into file: UnsafeMutablePointer<Float>
  ) {
    forEachPair(entry) { file[$1] = memory[$0] }
  }

  /// Calls `body` with every (place in memory, place in file).
  @inline(__always)
  private static func forEachPair(_ entry: ParameterTable.Entry, _ body: (Int, Int) -> Void) {
    switch entry.kind {
    case .convolutionWeight:
      let (outputs, inputs) = (entry.shape[0], entry.shape[1])
      let taps = entry.shape[2] * entry.shape[3]
      let groupOutputs = outputs / entry.groups
      // A cache line of outputs at a time: both sides are then walked along lines.
      for first in stride(from: 0, to: outputs, by: 16) {
        for input in 0..<inputs {
          for output in first..<min(first + 16, outputs) {
            let (group, column) = output.quotientAndRemainder(dividingBy: groupOutputs)
            for tap in 0..<taps {
              body(
                ((group * taps + tap) * inputs + input) * groupOutputs + column,
                (output * inputs + input) * taps + tap)
            }
          }
        }
      }
    case .linearWeight:
      let (classes, features) = (entry.shape[0], entry.shape[1])
      for output in 0..<classes {
        for input in 0..<features { body(input * classes + output, output * features + input) }
      }
    default:
      for place in 0..<entry.count { body(place, place) }
    }
  }
}

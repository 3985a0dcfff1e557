import ImageData
import Testing
import Training
import _TestSupport

@Suite struct LossTests {
  private let classes = 7

  private func evaluate(
    _ logits: [Float], _ labels: [Int32], smoothing: Double, gradient: inout [Float]
  ) -> Loss.Totals {
    Loss(labelSmoothing: smoothing).evaluate(
      logits: logits, labels: labels, count: labels.count, classes: classes,
      globalCount: labels.count, gradient: &gradient)
  }

  @Test(arguments: [0, 0.1]) func gradientIsTheDerivative(smoothing: Double) {
    let labels: [Int32] = [0, 3, 6]
    let logits = testValues(3 * classes).map { 3 * $0 }
    var gradient = [Float](repeating: 0, count: logits.count)
    let totals = evaluate(logits, labels, smoothing: smoothing, gradient: &gradient)
    #expect(totals.samples == 3)
    let expected = softmaxGradients(
      (0..<3).map { row in (0..<classes).map { Double(logits[row * classes + $0]) } },
      labels: labels.map(Int.init), smoothing: smoothing
    ).flatMap { $0 }
    #expect(relativeError(gradient.map(Double.init), expected) < 1e-6)
    var scratch = gradient
    for place in logits.indices {
      var (above, below) = (logits, logits)
      above[place] += 0.01
      below[place] -= 0.01
      let slope =
        (evaluate(above, labels, smoothing: smoothing, gradient: &scratch).loss
          - evaluate(below, labels, smoothing: smoothing, gradient: &scratch).loss)
        / Double(above[place] - below[place]) / 3
      #expect(abs(slope - Double(gradient[place])) < 1e-4)
    }
  }

  /// A mixture's loss is linear in its shares.
  @Test(arguments: [0, 0.1]) func mixturesAreSumsOfBoth(smoothing: Double) {
    let (labels, others): ([Int32], [Int32]) = ([0, 3, 6], [5, 3, 1])
    let logits = testValues(3 * classes).map { 3 * $0 }
    var (own, other, mixed) = (
      [Float](repeating: 0, count: logits.count), [Float](repeating: 0, count: logits.count),
      [Float](repeating: 0, count: logits.count)
    )
    let first = evaluate(logits, labels, smoothing: smoothing, gradient: &own)
    let second = evaluate(logits, others, smoothing: smoothing, gradient: &other)
    let totals = Loss(labelSmoothing: smoothing).evaluate(
      logits: logits, labels: labels, count: 3, classes: classes, globalCount: 3,
      gradient: &mixed, mixture: LabelMixture(labels: others, ownShare: 0.3))
    #expect(abs(totals.loss - 0.3 * first.loss - 0.7 * second.loss) < 1e-12)
    #expect(totals.top1 == first.top1)
    for place in logits.indices {
      #expect(abs(mixed[place] - 0.3 * own[place] - 0.7 * other[place]) < 1e-6)
    }
  }

  @Test func hugeLogitsStayFinite() {
    var gradient = [Float](repeating: 0, count: classes)
    let logits: [Float] = [3e38, -3e38, 0, 1, 2, 3, 4]
    let totals = evaluate(logits, [0], smoothing: 0, gradient: &gradient)
    #expect(totals.loss == 0 && totals.top1 == 1)
    #expect(gradient.allSatisfy { $0.isFinite })
  }

  @Test func hitsCountTiesAndNaNAgainstTheLabel() {
    var gradient = [Float](repeating: 0, count: 2 * classes)
    let tie: [Float] = [1, 1, 0, 0, 0, 0, 0]
    let totals = evaluate(tie + tie, [0, 1], smoothing: 0, gradient: &gradient)
    #expect(totals.top1 == 1 && totals.top5 == 2)
    let unknown = evaluate(
      [.nan, 0, 0, 0, 0, 0, 0], [0], smoothing: 0, gradient: &gradient)
    #expect(unknown.top1 == 0 && unknown.top5 == 0)
  }
}

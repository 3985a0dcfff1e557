import Kernels
import Synchronization
import Testing
import _TestSupport

@Suite struct ElementWiseTests {
  @Test(arguments: [1, 15, 16, 17, 100], [false, true])
  func sgdIsPyTorchs(count: Int, nesterov: Bool) {
    let (start, gradients) = (testValues(count), testValues(count, seed: 2))
    let velocity = testValues(count, seed: 3)
    var (parameters, momentum) = (start, velocity)
    updateSGD(
      parameters: &parameters, gradients: gradients, momentum: &momentum, count: count,
      coefficients: SGDCoefficients(
        learningRate: 0.1, momentum: 0.9, weightDecay: 0.01, nesterov: nesterov))
    for place in 0..<count {
      let direction = gradients[place] + 0.01 * start[place]
      let expected = 0.9 * velocity[place] + direction
      let step = nesterov ? direction + 0.9 * expected : expected
      #expect(abs(momentum[place] - expected) < 1e-6)
      #expect(abs(parameters[place] - (start[place] - 0.1 * step)) < 1e-6)
    }
  }

  @Test(arguments: [1, 16, 37], [Float.nan, .infinity, -.infinity])
  func oneValueThatIsNotFiniteIsFound(count: Int, value: Float) {
    for place in 0..<count {
      var values = testValues(count)
      #expect(largestMagnitude(values, count: count) == values.map(abs).max())
      values[place] = -1_000
      #expect(largestMagnitude(values, count: count) == 1_000)
      values[place] = value
      #expect(largestMagnitude(values, count: count) == .infinity)
    }
  }

  @Test func poolingAndItsGradientAreAdjoint() {
    let (images, pixels, channels) = (2, 9, 19)
    let values = testValues(images * pixels * channels)
    let gradient = testValues(images * channels, seed: 2)
    var pooled = [Float](repeating: .nan, count: images * channels)
    var spread = [Float](repeating: .nan, count: values.count)
    averagePool(values, images: images, pixels: pixels, channels: channels, output: &pooled)
    spreadPoolGradient(
      gradient, images: images, pixels: pixels, channels: channels, output: &spread)
    let left = zip(pooled, gradient).map { Double($0 * $1) }.reduce(0, +)
    let right = zip(values, spread).map { Double($0 * $1) }.reduce(0, +)
    #expect(abs(left - right) < 1e-5)
    #expect(abs(pooled[0] - (0..<pixels).map { values[$0 * channels] }.reduce(0, +) / 9) < 1e-6)
  }

  @Test(arguments: [1, 2, 4]) func poolRunsEveryTaskOnce(threads: Int) {
    let pool = WorkerPool(threads: threads)
    for count in [0, 1, 2, 7, 100] {
      let calls = UnsafeMutablePointer<Atomic<Int>>.allocate(capacity: count)
      for task in 0..<count { (calls + task).initialize(to: Atomic(0)) }
      pool.run(count) { task, worker in
        #expect(worker < threads)
        calls[task].add(1, ordering: .relaxed)
      }
      for task in 0..<count { #expect(calls[task].load(ordering: .relaxed) == 1) }
      calls.deinitialize(count: count)
      calls.deallocate()
    }
  }

  @Test func blasRunsOnTheCallingThreadAlone() {
    BLAS.useOneThread()
    #expect(BLAS.threads == 1)
    #expect(!BLAS.kernelName.isEmpty)
  }
}

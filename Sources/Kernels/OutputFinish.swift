/// What becomes of a convolution's output where it is written: y ← y + bias, then ReLU where asked.
/// An output that is written once and read by the next layer needs no pass of its own for either.
package struct OutputFinish {
  /// [output channels], as long as the pass runs.
  package var bias: UnsafePointer<Float>
  package var rectify: Bool

  package init(bias: UnsafePointer<Float>, rectify: Bool) {
    self.bias = bias
    self.rectify = rectify
  }

  /// The same for the channels from `channel` on.
  func advanced(by channel: Int) -> OutputFinish {
    OutputFinish(bias: bias + channel, rectify: rectify)
  }
}

/// What is done to the channels from `channel` on before they are stored; a type for each case, so
/// that the inner loops have no branch.
protocol OutputEpilogue {
  func apply<L: Lanes>(_ value: L, channel: Int) -> L
}

struct PlainOutput: OutputEpilogue {
  @inline(__always) func apply<L: Lanes>(_ value: L, channel: Int) -> L { value }
}

struct BiasedOutput: OutputEpilogue {
  let bias: UnsafePointer<Float>

  @inline(__always) func apply<L: Lanes>(_ value: L, channel: Int) -> L {
    value + L.load(bias + channel)
  }
}

struct RectifiedOutput: OutputEpilogue {
  let bias: UnsafePointer<Float>

  @inline(__always) func apply<L: Lanes>(_ value: L, channel: Int) -> L {
    (value + L.load(bias + channel)).rectified()
  }
}

/// A line whose results pass an epilogue.
struct FinishedLine<Epilogue: OutputEpilogue>: LinePlace {
  let line: Line
  let epilogue: Epilogue
  let channel: Int

  @inline(__always)
  func load<L: Lanes>(_ index: Int) -> L { line.load(index) }

  @inline(__always)
  func store<L: Lanes>(_ index: Int, _ value: L) {
    line.store(index, epilogue.apply(value, channel: channel))
  }
}

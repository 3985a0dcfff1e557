/// Float32 lanes: what the kernels are written in, once, and compiled for 8, 16 or 32 channels and
/// for the single channels that remain.
///
/// Internal to this room: vectors wider than the baseline's registers must not cross modules that
/// are compiled for another CPU.
protocol Lanes: BitwiseCopyable {
  static var width: Int { get }
  static var zero: Self { get }
  static func repeating(_ value: Float) -> Self
  static func load(_ pointer: UnsafePointer<Float>) -> Self
  func store(_ pointer: UnsafeMutablePointer<Float>)
  /// The first `count` lanes; the others are 0.
  static func load(_ pointer: UnsafePointer<Float>, count: Int) -> Self
  func store(_ pointer: UnsafeMutablePointer<Float>, count: Int)
  /// self + a·b, one fused operation.
  func adding(_ a: Self, times b: Self) -> Self
  static func * (a: Self, b: Self) -> Self
  static func + (a: Self, b: Self) -> Self
  static func - (a: Self, b: Self) -> Self
  /// max(self, 0); a NaN stays a NaN, so that the finite check sees it.
  func rectified() -> Self
  /// self where `gate` > 0, else 0.
  func gated(by gate: Self) -> Self
  /// Adds every lane to a Float64 of its own.
  func accumulate(into sums: UnsafeMutablePointer<Double>)
}

extension Float: Lanes {
  static var width: Int { 1 }
  @inline(__always) static func repeating(_ value: Float) -> Float { value }
  @inline(__always) static func load(_ pointer: UnsafePointer<Float>) -> Float { pointer.pointee }
  @inline(__always) func store(_ pointer: UnsafeMutablePointer<Float>) { pointer.pointee = self }
  @inline(__always) static func load(_ pointer: UnsafePointer<Float>, count: Int) -> Float {
    pointer.pointee
  }
  @inline(__always) func store(_ pointer: UnsafeMutablePointer<Float>, count: Int) {
    pointer.pointee = self
  }
  @inline(__always) func adding(_ a: Float, times b: Float) -> Float { addingProduct(a, b) }
  @inline(__always) func rectified() -> Float { self < 0 ? 0 : self }
  @inline(__always) func gated(by gate: Float) -> Float { gate > 0 ? self : 0 }
  @inline(__always) func accumulate(into sums: UnsafeMutablePointer<Double>) {
    sums.pointee += Double(self)
  }
}

extension Lanes where Self: SIMD, Scalar == Float {
  @inline(__always) static var width: Int { Self.scalarCount }
  @inline(__always) static func repeating(_ value: Float) -> Self { Self(repeating: value) }
  @inline(__always) static func load(_ pointer: UnsafePointer<Float>) -> Self {
    UnsafeRawPointer(pointer).loadUnaligned(as: Self.self)
  }
  @inline(__always) func store(_ pointer: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(pointer).storeBytes(of: self, as: Self.self)
  }
  @inline(__always) static func load(_ pointer: UnsafePointer<Float>, count: Int) -> Self {
    var lanes = Self.zero
    for lane in 0..<count { lanes[lane] = pointer[lane] }
    return lanes
  }
  @inline(__always) func store(_ pointer: UnsafeMutablePointer<Float>, count: Int) {
    for lane in 0..<count { pointer[lane] = self[lane] }
  }
  @inline(__always) func adding(_ a: Self, times b: Self) -> Self { addingProduct(a, b) }
  @inline(__always) func accumulate(into sums: UnsafeMutablePointer<Double>) {
    for lane in 0..<Self.scalarCount { sums[lane] += Double(self[lane]) }
  }
}

// Masks become instructions only where the type is concrete.

extension SIMD8<Float>: Lanes {
  @inline(__always) func rectified() -> Self { replacing(with: 0, where: self .< 0) }
  @inline(__always) func gated(by gate: Self) -> Self {
    Self.zero.replacing(with: self, where: gate .> 0)
  }
}

extension SIMD16<Float>: Lanes {
  @inline(__always) func rectified() -> Self { replacing(with: 0, where: self .< 0) }
  @inline(__always) func gated(by gate: Self) -> Self {
    Self.zero.replacing(with: self, where: gate .> 0)
  }
}

/// Two registers of 16 lanes. `SIMD32` would say it, but its operations do not become instructions.
struct TwiceSIMD16: Lanes {
  private var low: SIMD16<Float>
  private var high: SIMD16<Float>

  @inline(__always)
  private init(_ low: SIMD16<Float>, _ high: SIMD16<Float>) {
    self.low = low
    self.high = high
  }

  @inline(__always) static var width: Int { 32 }
  @inline(__always) static var zero: Self { Self(.zero, .zero) }
  @inline(__always) static func repeating(_ value: Float) -> Self {
    Self(SIMD16(repeating: value), SIMD16(repeating: value))
  }
  @inline(__always) static func load(_ pointer: UnsafePointer<Float>) -> Self {
    Self(.load(pointer), .load(pointer + 16))
  }
  @inline(__always) func store(_ pointer: UnsafeMutablePointer<Float>) {
    low.store(pointer)
    high.store(pointer + 16)
  }
  @inline(__always) static func load(_ pointer: UnsafePointer<Float>, count: Int) -> Self {
    count <= 16
      ? Self(.load(pointer, count: count), .zero)
      : Self(.load(pointer), .load(pointer + 16, count: count - 16))
  }
  @inline(__always) func store(_ pointer: UnsafeMutablePointer<Float>, count: Int) {
    low.store(pointer, count: min(16, count))
    if count > 16 { high.store(pointer + 16, count: count - 16) }
  }
  @inline(__always) func adding(_ a: Self, times b: Self) -> Self {
    Self(low.adding(a.low, times: b.low), high.adding(a.high, times: b.high))
  }
  @inline(__always) static func * (a: Self, b: Self) -> Self {
    Self(a.low * b.low, a.high * b.high)
  }
  @inline(__always) static func + (a: Self, b: Self) -> Self {
    Self(a.low + b.low, a.high + b.high)
  }
  @inline(__always) static func - (a: Self, b: Self) -> Self {
    Self(a.low - b.low, a.high - b.high)
  }
  @inline(__always) func rectified() -> Self { Self(low.rectified(), high.rectified()) }
  @inline(__always) func gated(by gate: Self) -> Self {
    Self(low.gated(by: gate.low), high.gated(by: gate.high))
  }
  @inline(__always) func accumulate(into sums: UnsafeMutablePointer<Double>) {
    low.accumulate(into: sums)
    high.accumulate(into: sums + 16)
  }
}

/// Rows whose Float32 sums are added up before they go into a Float64: short enough that Float32
/// loses nothing that matters, long enough that the conversion costs nothing.
let runRows = 32

/// Calls `wide` for every full group of 16 channels and `single` for each channel left over.
@inline(__always)
func forEachChannelGroup(_ channels: Int, wide: (Int) -> Void, single: (Int) -> Void) {
  var channel = 0
  while channel + 16 <= channels {
    wide(channel)
    channel += 16
  }
  while channel < channels {
    single(channel)
    channel += 1
  }
}

/// Calls `body` for runs of at most `runRows` rows.
@inline(__always)
func forEachRun(_ rows: Int, _ body: (Range<Int>) -> Void) {
  var start = 0
  while start < rows {
    let end = min(start + runRows, rows)
    body(start..<end)
    start = end
  }
}

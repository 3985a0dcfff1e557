// Mixtures of an image with a poorer one (Pillow's `ImageEnhance` and `Image.blend`).

/// Bytes that a mixture makes at a time; up to 15 behind an image lie in its slack.
private let vectorBytes = 16

/// poor + factor · (value - poor), in Float32 operations as Pillow rounds them, without its fraction,
/// within 0...255.
@inline(__always)
private func mixed(
  _ poor: SIMD16<Float>, _ value: SIMD16<Float>, _ factor: SIMD16<Float>
) -> SIMD16<UInt8> {
  let difference = (value - poor) * factor
  let sum = pointwiseMin(
    pointwiseMax(poor + difference, SIMD16(repeating: 0)), SIMD16(repeating: 255))
  // 2²³ + sum has no bits behind the point: it is rounded, and its low bits are the integer.
  let shifted = sum + 0x1p23
  let isAbove = shifted - 0x1p23 .> sum
  let rounded = unsafeBitCast(shifted, to: SIMD16<UInt32>.self)
  return SIMD16(truncatingIfNeeded: rounded.replacing(with: rounded &- 1, where: isAbove))
}

@inline(__always)
private func floats(_ bytes: UnsafeMutablePointer<UInt8>) -> SIMD16<Float> {
  let words = SIMD16<UInt32>(
    truncatingIfNeeded: UnsafeRawPointer(bytes).loadUnaligned(as: SIMD16<UInt8>.self))
  return unsafeBitCast(words | 0x4B00_0000, to: SIMD16<Float>.self) - 0x1p23
}

/// Replaces `image` by its mixture with `poor`, of the same size.
func mix(_ poor: PixelBuffer, _ image: PixelBuffer, factor: Float) {
  if factor == 1 { return }
  let (from, into) = (poor.base, image.base)
  let factor = SIMD16(repeating: factor)
  for byte in stride(from: 0, to: image.count, by: vectorBytes) {
    let bytes = mixed(floats(from + byte), floats(into + byte), factor)
    UnsafeMutableRawPointer(into + byte).storeBytes(of: bytes, as: SIMD16<UInt8>.self)
  }
}

/// Replaces `image` by its mixture with one colour of grey.
func mix(constant: UInt8, _ image: PixelBuffer, factor: Float) {
  if factor == 1 { return }
  let pixels = image.base
  let poor = SIMD16(repeating: Float(constant))
  let factor = SIMD16(repeating: factor)
  for byte in stride(from: 0, to: image.count, by: vectorBytes) {
    let bytes = mixed(poor, floats(pixels + byte), factor)
    UnsafeMutableRawPointer(pixels + byte).storeBytes(of: bytes, as: SIMD16<UInt8>.self)
  }
}

/// Brightness of a pixel of red, green, blue: ITU-R 601-2 luma with 16 bits behind the point,
/// rounded (Pillow's `convert("L")`).
@inline(__always)
private func luma(_ pixel: UnsafeMutablePointer<UInt8>) -> UInt8 {
  UInt8(
    truncatingIfNeeded: (UInt32(pixel[0]) &* 19595 &+ UInt32(pixel[1]) &* 38470
      &+ UInt32(pixel[2]) &* 7471 &+ 0x8000) >> 16)
}

/// Writes an image of three channels in grey, in three channels again.
func makeGrey(_ image: PixelBuffer, into target: PixelBuffer) {
  target.reshape(height: image.height, width: image.width, channels: 3)
  let (from, into) = (image.base, target.base)
  for byte in stride(from: 0, to: image.count, by: 3) {
    let grey = UInt32(luma(from + byte)) &* 0x01_0101
    // A byte too many, which the next pixel overwrites.
    UnsafeMutableRawPointer(into + byte).storeBytes(of: grey, as: UInt32.self)
  }
}

/// The mean of an image's brightness, rounded.
func meanGrey(_ image: PixelBuffer) -> UInt8 {
  let pixels = image.base
  var sum = 0
  if image.channels == 1 {
    for byte in 0..<image.count { sum &+= Int(pixels[byte]) }
  } else {
    for byte in stride(from: 0, to: image.count, by: 3) { sum &+= Int(luma(pixels + byte)) }
  }
  return UInt8(Double(sum) / Double(image.height * image.width) + 0.5)
}

/// Writes the image smoothed: each value with the eight around it, itself counting five times
/// (Pillow's `ImageFilter.SMOOTH`). The border stays as it is, and so do images without an inside.
func smooth(_ image: PixelBuffer, into target: PixelBuffer) {
  let (height, width, channels) = (image.height, image.width, image.channels)
  let row = image.stride
  target.reshape(height: height, width: width, channels: channels)
  guard height >= 3, width >= 3 else {
    return target.base.update(from: image.base, count: image.count)
  }
  target.base.update(from: image.base, count: row)
  // Vectors run beyond a row's end into rows that follow.
  for y in 1..<height - 1 {
    let (from, into) = (image.base + y * row, target.base + y * row)
    into.update(from: from, count: channels)
    for byte in stride(from: channels, to: row - channels, by: vectorBytes) {
      let bytes = smoothed(from + byte, row: row, pixel: channels)
      UnsafeMutableRawPointer(into + byte).storeBytes(of: bytes, as: SIMD16<UInt8>.self)
    }
    (into + row - channels).update(from: from + row - channels, count: channels)
  }
  let last = (height - 1) * row
  (target.base + last).update(from: image.base + last, count: row)
}

/// 16 values smoothed. Pillow sums up Float32 thirteenths; those sums are further from a half than
/// their errors, so that integers give the same.
@inline(__always)
private func smoothed(
  _ values: UnsafeMutablePointer<UInt8>, row: Int, pixel: Int
) -> SIMD16<UInt8> {
  @inline(__always)
  func line(_ offset: Int) -> SIMD16<UInt16> {
    words(values + offset - pixel) &+ words(values + offset) &+ words(values + offset + pixel)
  }
  let sum = line(-row) &+ line(0) &+ line(row) &+ (words(values) &<< 2)
  // (sum + 6) / 13, exact for all sums of 13 bytes.
  let product = SIMD16<UInt32>(truncatingIfNeeded: sum &+ 6) &* 5042
  return SIMD16(truncatingIfNeeded: product &>> 16)
}

@inline(__always)
private func words(_ bytes: UnsafeMutablePointer<UInt8>) -> SIMD16<UInt16> {
  SIMD16(truncatingIfNeeded: UnsafeRawPointer(bytes).loadUnaligned(as: SIMD16<UInt8>.self))
}

import Images
import Testing

@Suite struct PixelBufferTests {
  @Test func keepsItsMemoryForSmallerImages() {
    let buffer = PixelBuffer()
    buffer.reshape(height: 4, width: 5, channels: 3)
    let first = buffer.base
    buffer.reshape(height: 2, width: 7, channels: 1)
    #expect(buffer.base == first)
    #expect(buffer.count == 14)
    #expect(buffer.stride == 7)
    buffer.reshape(height: 40, width: 50, channels: 3)
    buffer.base[buffer.count + PixelBuffer.slack - 1] = 1
    #expect(buffer.count == 6000)
  }
}

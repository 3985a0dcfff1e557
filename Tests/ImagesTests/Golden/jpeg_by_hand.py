"""Baseline JPEG files of any sampling factors, made from coefficients drawn at random.

Encoders offer three or four kinds of subsampling; decoders must read all of them. The files follow
ITU-T T.81; their Huffman tables give every symbol a code of the same length, which is legal and
short to write down.
"""

import random
import struct

DC_SYMBOLS = list(range(12))
AC_SYMBOLS = [0x00, 0xF0] + [run << 4 | size for run in range(16) for size in range(1, 11)]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def adobe(transform: int) -> bytes:
    """APP14, which says how colours are stored: 0 as they are, 1 YCbCr, 2 YCCK."""
    return segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform))


JFIF = segment(0xE0, b"JFIF\0" + struct.pack(">HBHHBB", 0x0101, 0, 1, 1, 0, 0))


def huffman_table(kind_and_number: int, symbols: list[int], length: int) -> bytes:
    counts = [len(symbols) if bits == length else 0 for bits in range(1, 17)]
    return segment(0xC4, bytes([kind_and_number] + counts + symbols))


class Bits:
    def __init__(self):
        self.bytes = bytearray()
        self.held = 0
        self.count = 0

    def put(self, value: int, length: int):
        self.held = self.held << length | value
        self.count += length
        while self.count >= 8:
            self.count -= 8
            byte = self.held >> self.count & 0xFF
            self.bytes += b"\xff\x00" if byte == 0xFF else bytes([byte])
        self.held &= (1 << self.count) - 1

    def flush(self):
        if self.count:
            self.put((1 << 8 - self.count) - 1, 8 - self.count)


def put_value(bits: Bits, value: int) -> None:
    size = abs(value).bit_length()
    bits.put(value if value > 0 else value + (1 << size) - 1, size)


def put_block(bits: Bits, difference: int, coefficients: dict[int, int]) -> None:
    bits.put(DC_SYMBOLS.index(abs(difference).bit_length()), 4)
    put_value(bits, difference)
    last = 0
    for place in sorted(coefficients):
        run = place - last - 1
        last = place
        while run > 15:
            bits.put(AC_SYMBOLS.index(0xF0), 8)
            run -= 16
        value = coefficients[place]
        bits.put(AC_SYMBOLS.index(run << 4 | abs(value).bit_length()), 8)
        put_value(bits, value)
    if last < 63:
        bits.put(AC_SYMBOLS.index(0x00), 8)


def jpeg(
    width: int,
    height: int,
    factors: list[tuple[int, int]],
    seed: int,
    markers: bytes = JFIF,
    ids: bytes | None = None,
    restart: int = 0,
    precision: int = 8,
    frame: int = 0xC0,
) -> bytes:
    """A file of len(factors) components with these (horizontal, vertical) sampling factors."""
    draw = random.Random(seed)
    ids = ids or bytes(range(1, len(factors) + 1))
    out = b"\xff\xd8" + markers
    out += segment(0xDB, bytes([0] + [6] + [10] * 63))
    components = b"".join(bytes([i, h << 4 | v, 0]) for i, (h, v) in zip(ids, factors))
    size = struct.pack(">BHHB", precision, height, width, len(factors))
    out += segment(frame, size + components)
    out += huffman_table(0x00, DC_SYMBOLS, 4) + huffman_table(0x10, AC_SYMBOLS, 8)
    if restart:
        out += segment(0xDD, struct.pack(">H", restart))
    selectors = b"".join(bytes([i, 0]) for i in ids)
    out += segment(0xDA, bytes([len(factors)]) + selectors + bytes([0, 63, 0]))

    # One component alone is not interleaved: its units are blocks, whatever its factors.
    blocks = [(1, 1)] if len(factors) == 1 else factors
    widest = max(h for h, _ in blocks)
    tallest = max(v for _, v in blocks)
    units = -(-width // (8 * widest)) * -(-height // (8 * tallest))
    bits = Bits()
    levels = [0] * len(factors)
    for unit in range(units):
        if restart and unit and unit % restart == 0:
            bits.flush()
            bits.bytes += bytes([0xFF, 0xD0 + (unit // restart - 1) % 8])
            levels = [0] * len(factors)
        for index, (h, v) in enumerate(blocks):
            for _ in range(h * v):
                level = draw.randint(-110, 110)
                places = draw.sample(range(1, 64), draw.randint(0, 3)) + [1, 8][: draw.randint(0, 2)]
                values = {place: draw.choice([-9, -4, -1, 1, 3, 8, 14]) for place in places}
                put_block(bits, level - levels[index], values)
                levels[index] = level
    bits.flush()
    return out + bytes(bits.bytes) + b"\xff\xd9"

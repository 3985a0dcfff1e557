#!/usr/bin/env python3
"""Writes codecs/, small images, codecs.txt, the pixels that Pillow reads from them, and hostile/.

    python3 make_codecs.py        needs Pillow 12 or later and NumPy

A line of codecs.txt is a file's name, width, height, orientation and three CRC-32: of its pixels by
convert("RGB"), by convert("L"), and by exif_transpose of the first. All is drawn from fixed seeds;
another version of Pillow may encode some files differently.
"""

import io
import pathlib
import struct
import warnings
import zlib

import numpy
import PIL
from PIL import Image, ImageOps, features

import jpeg_by_hand as by_hand

HERE = pathlib.Path(__file__).parent


def picture(width: int, height: int, channels: int, seed: int) -> numpy.ndarray:
    """Waves of all slopes and some noise: smooth places, edges, saturated corners."""
    draw = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width]
    planes = []
    for _ in range(channels):
        a, b, phase = draw.uniform(-0.5, 0.5, 3)
        wave = 127 + 150 * numpy.sin(a * x + b * y + 6 * phase) + draw.normal(0, 12, x.shape)
        planes.append(wave.clip(0, 255).astype(numpy.uint8))
    return numpy.stack(planes, axis=2).squeeze(axis=2) if channels == 1 else numpy.stack(planes, 2)


def saved(pixels: numpy.ndarray, kind: str = "JPEG", mode: str | None = None, **options) -> bytes:
    target = io.BytesIO()
    image = Image.fromarray(pixels) if mode is None else Image.fromarray(pixels, mode)
    image.save(target, kind, **options)
    return target.getvalue()


def without_segment(file: bytes, marker: int) -> bytes:
    start = file.index(bytes([0xFF, marker]))
    (length,) = struct.unpack_from(">H", file, start + 2)
    return file[:start] + file[start + 2 + length :]


def with_segment(file: bytes, content: bytes) -> bytes:
    """The file with a segment behind its start-of-image marker."""
    return file[:2] + content + file[2:]


def of_library() -> dict[str, bytes]:
    """What Pillow's own encoder offers."""
    files = {}
    for width, height in [(1, 1), (2, 3), (7, 9), (8, 8), (17, 33), (33, 16), (64, 48), (69, 50)]:
        size = f"{width}x{height}"
        colour, grey = picture(width, height, 3, width), picture(width, height, 1, width)
        files[f"grey-{size}"] = saved(grey, quality=85)
        for name, subsampling in [("444", 0), ("422", 1), ("420", 2)]:
            files[f"{name}-{size}"] = saved(colour, quality=80, subsampling=subsampling)
            if width > 60 or width == 7:
                files[f"{name}-progressive-{size}"] = saved(
                    colour, quality=70, subsampling=subsampling, progressive=True
                )
    colour, grey = picture(50, 41, 3, 1), picture(50, 41, 1, 2)
    files["grey-progressive"] = saved(grey, quality=80, progressive=True)
    files["420-restart-blocks"] = saved(colour, quality=80, restart_marker_blocks=3)
    files["422-restart-rows"] = saved(colour, subsampling=1, restart_marker_rows=1)
    files["420-progressive-restart"] = saved(colour, progressive=True, restart_marker_blocks=2)
    files["420-quality-1"] = saved(colour, quality=1)
    files["444-quality-100"] = saved(colour, quality=100, subsampling=0)
    files["rgb-kept"] = saved(colour, quality=80, keep_rgb=True)
    files["420-no-jfif"] = without_segment(saved(colour), 0xE0)
    files["420-trailing"] = saved(colour) + b"behind the image"
    cmyk = saved(picture(50, 41, 4, 3), mode="CMYK", quality=80)
    files["cmyk-adobe"] = cmyk
    files["cmyk-no-adobe"] = without_segment(cmyk, 0xEE)
    ycck = bytearray(cmyk)
    ycck[ycck.index(b"Adobe") + 11] = 2
    files["ycck-adobe"] = bytes(ycck)
    files["cmyk-progressive"] = saved(picture(50, 41, 4, 4), mode="CMYK", progressive=True)
    return files


def of_any_sampling() -> dict[str, bytes]:
    files = {}
    luma = [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4), (4, 2), (2, 4), (3, 1), (1, 3), (3, 2)]
    for h, v in luma:
        for width, height in [(5, 3), (23, 19), (68, 45)]:
            name = f"sampling-{h}x{v}-{width}x{height}"
            files[name] = by_hand.jpeg(width, height, [(h, v), (1, 1), (1, 1)], seed=h * 100 + v)
    others = {
        "chroma-larger": [(1, 1), (2, 2), (2, 2)],
        "chroma-differs": [(2, 2), (2, 1), (1, 2)],
        "one-chroma-small": [(2, 2), (1, 1), (2, 2)],
        "all-2x2": [(2, 2), (2, 2), (1, 1)],
        "grey-2x2": [(2, 2)],
    }
    for name, factors in others.items():
        files[f"sampling-{name}"] = by_hand.jpeg(45, 38, factors, seed=7)
    files["sampling-rgb-ids"] = by_hand.jpeg(
        45, 38, [(2, 1), (2, 2), (1, 1)], seed=8, markers=b"", ids=b"RGB"
    )
    three = [(2, 2), (1, 1), (1, 1)]
    files["sampling-adobe-0"] = by_hand.jpeg(45, 38, three, 9, markers=by_hand.adobe(0))
    files["sampling-adobe-1"] = by_hand.jpeg(45, 38, three, 9, markers=by_hand.adobe(1))
    files["sampling-odd-ids"] = by_hand.jpeg(45, 38, three, 9, markers=b"", ids=bytes([0, 5, 9]))
    four = [(2, 2), (1, 1), (1, 1), (2, 2)]
    files["sampling-cmyk"] = by_hand.jpeg(45, 38, four, 10, markers=by_hand.adobe(0))
    files["sampling-ycck"] = by_hand.jpeg(45, 38, four, 10, markers=by_hand.adobe(2))
    files["sampling-ycck-422"] = by_hand.jpeg(
        45, 38, [(2, 1), (1, 1), (1, 1), (2, 1)], 11, markers=by_hand.adobe(2)
    )
    files["sampling-restart"] = by_hand.jpeg(45, 38, three, 12, restart=1)
    files["sampling-restart-9"] = by_hand.jpeg(68, 45, [(1, 2), (1, 1), (1, 1)], 13, restart=9)
    return files


def tiff(order: str, tags: list[tuple[int, int, int, bytes]], offset: int = 8) -> bytes:
    """An EXIF block: a TIFF directory of (tag, type, count, four bytes of value)."""
    mark = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", offset)
    entries = b"".join(struct.pack(order + "HHI", *tag[:3]) + tag[3] for tag in tags)
    return mark + b"\0" * (offset - 8) + struct.pack(order + "H", len(tags)) + entries + bytes(4)


def exif_blocks() -> dict[str, bytes]:
    def short(order, value):
        return struct.pack(order + "HH", value, 0)

    blocks = {f"{i}": tiff("<" if i % 2 else ">", [(274, 3, 1, short("<" if i % 2 else ">", i))])
              for i in range(10)}  # fmt: skip
    other = (256, 4, 1, struct.pack(">I", 77))
    six = (274, 3, 1, short(">", 6))
    blocks["later-directory"] = tiff(">", [other, six], offset=29)
    blocks["long"] = tiff(">", [(274, 4, 1, struct.pack(">I", 3))])
    blocks["byte"] = tiff(">", [(274, 1, 1, b"\x03\0\0\0")])
    blocks["text"] = tiff(">", [(274, 2, 2, b"6\0\0\0")])
    blocks["two-values"] = tiff(">", [(274, 3, 2, struct.pack(">HH", 6, 3))])
    blocks["twice"] = tiff(">", [six, (274, 3, 1, short(">", 3))])
    blocks["unknown-type-first"] = tiff(">", [(274, 99, 1, short(">", 3)), six])
    blocks["signed"] = tiff("<", [(274, 8, 1, short("<", 8))])
    blocks["no-orientation"] = tiff(">", [other])
    blocks["cut-entry"] = tiff(">", [other, six])[:-10]
    blocks["cut-next"] = tiff(">", [six])[:-4]
    blocks["offset-far"] = b"MM\0*" + struct.pack(">I", 1 << 31)
    blocks["offset-end"] = b"MM\0*" + struct.pack(">I", 12) + bytes(4)
    blocks["many-entries"] = b"MM\0*" + struct.pack(">IH", 8, 65535) + bytes(24)
    blocks["not-tiff"] = b"XX\0*" + bytes(20)
    blocks["empty"] = b""
    blocks["swapped"] = b"MM*\0" + struct.pack("<IHHHI", 8, 1, 274, 3, 1) + short("<", 6) + bytes(4)
    return blocks


def of_exif() -> dict[str, bytes]:
    plain = saved(picture(21, 13, 3, 20), quality=80)
    files = {}
    for name, block in exif_blocks().items():
        files[f"exif-{name}"] = with_segment(plain, by_hand.segment(0xE1, b"Exif\0\0" + block))
    whole = b"Exif\0\0" + tiff(">", [(256, 4, 1, bytes(4)), (274, 3, 1, b"\0\x08\0\0")])
    parts = by_hand.segment(0xE1, whole[:30]) + by_hand.segment(0xE1, b"Exif\0\0" + whole[30:])
    files["exif-two-segments"] = with_segment(plain, parts)
    xmp = b"http://ns.adobe.com/xap/1.0/\0"
    for name, text in [("attribute", b'<x tiff:Orientation="6"/>'),
                       ("element", b"<tiff:Orientation>3</tiff:Orientation>"),
                       ("other", b"<tiff:Orientation = '3'/>")]:  # fmt: skip
        files[f"xmp-{name}"] = with_segment(plain, by_hand.segment(0xE1, xmp + text))
    both = by_hand.segment(0xE1, xmp + b'tiff:Orientation="6"')
    files["xmp-and-exif"] = with_segment(files["exif-3"], both)
    files["xmp-and-exif-0"] = with_segment(files["exif-0"], both)
    files["xmp-and-exif-without"] = with_segment(files["exif-no-orientation"], both)
    return files


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(
        ">I", zlib.crc32(kind + content)
    )


def png(width, height, depth, kind, rows, before=b"", behind=b"") -> bytes:
    """A PNG of raw rows, each without its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", pixels) + behind
        + chunk(b"IEND", b"")
    )  # fmt: skip


def interlaced(width, height, depth, kind, rows, bits, before=b"") -> bytes:
    """The same in Adam7's order; `bits` of a pixel."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
              (0, 1, 1, 2)]  # fmt: skip
    pixels = b""
    for left, top, step, down in passes:
        columns = range(left, width, step)
        if not columns:
            continue
        for y in range(top, height, down):
            text = "".join(f"{int.from_bytes(rows[y], 'big'):0{8 * len(rows[y])}b}"[x * bits :][:bits]
                           for x in columns)  # fmt: skip
            text += "0" * (-len(text) % 8)
            pixels += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before
        + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    )  # fmt: skip


def of_png() -> dict[str, bytes]:
    files = {}
    draw = numpy.random.default_rng(30)
    palette = chunk(b"PLTE", draw.integers(0, 256, 256 * 3, numpy.uint8).tobytes())
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
    depths = {0: [1, 2, 4, 8], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16]}
    for kind, name in {0: "grey", 2: "rgb", 3: "palette", 4: "grey-alpha", 6: "rgba"}.items():
        for depth in depths[kind]:
            bits = depth * samples[kind]
            before = b""
            if kind == 3:
                before = chunk(b"PLTE", palette[8 : 8 + 3 * (1 << depth)])
            for width, height in [(19, 11), (1, 1), (3, 9)]:
                rows = [draw.bytes(-(-width * bits // 8)) for _ in range(height)]
                size = f"{name}-{depth}-{width}x{height}"
                files[f"{size}"] = png(width, height, depth, kind, rows, before)
                files[f"{size}-interlaced"] = interlaced(
                    width, height, depth, kind, rows, bits, before
                )
    colour, grey = picture(40, 30, 3, 31), picture(40, 30, 1, 32)
    files["filters"] = saved(colour, "PNG")
    files["filters-grey"] = saved(grey, "PNG")
    files["transparent-colour"] = saved(colour, "PNG", transparency=tuple(colour[0, 0].tolist()))
    files["transparent-grey"] = saved(grey, "PNG", transparency=int(grey[0, 0]))
    indices = [draw.bytes(9) for _ in range(5)]
    few = chunk(b"PLTE", draw.bytes(256 * 3))
    files["palette-transparent"] = png(9, 5, 8, 3, indices, few + chunk(b"tRNS", bytes(range(250))))
    files["palette-transparent-one"] = png(9, 5, 8, 3, indices, few + chunk(b"tRNS", b"\xff\0\xff"))
    orient = chunk(b"eXIf", tiff(">", [(274, 3, 1, b"\0\x06\0\0")]))
    rows = [bytes(row.tobytes()) for row in colour]
    files["exif-before"] = png(40, 30, 8, 2, rows, before=orient)
    files["exif-behind"] = png(40, 30, 8, 2, rows, behind=orient)
    files["gamma"] = png(40, 30, 8, 2, rows, before=chunk(b"gAMA", struct.pack(">I", 100000)))
    return files


def hostile() -> dict[str, bytes]:
    """Small files that inflate to 40 MB in places that no pixel needs, and kinds that are refused."""
    zeros = zlib.compress(bytes(40 << 20), 9)
    row = [b"\x01\x02\x03"]
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return {
        "text.png": png(1, 1, 8, 2, row, before=chunk(b"zTXt", b"Comment\0\0" + zeros)),
        "profile.png": png(1, 1, 8, 2, row, before=chunk(b"iCCP", b"profile\0\0" + zeros)),
        "pixels.png": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zeros)
        + chunk(b"IEND", b""),
        "grey-16.png": png(2, 1, 16, 0, [b"\x01\x02\x03\x04"]),
        "two-components.jpg": by_hand.jpeg(16, 16, [(1, 1), (1, 1)], seed=1),
    }  # fmt: skip


def crc(image: Image.Image) -> str:
    return f"{zlib.crc32(image.tobytes()):08x}"


def orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(274, 1)
    except Exception:  # noqa: BLE001 - a damaged block is as none
        return 1
    return found if found in range(2, 9) else 1


def main() -> None:
    warnings.simplefilter("ignore")
    directory, bombs = HERE / "codecs", HERE / "hostile"
    for place in [directory, bombs]:
        place.mkdir(exist_ok=True)
        for old in place.iterdir():
            old.unlink()
    for name, data in hostile().items():
        (bombs / name).write_bytes(data)
    files = {f"{name}.jpg": data for name, data in
             {**of_library(), **of_any_sampling(), **of_exif()}.items()}  # fmt: skip
    files |= {f"{name}.png": data for name, data in of_png().items()}
    lines = [f"# Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}"]
    for name, data in files.items():
        (directory / name).write_bytes(data)
        image = Image.open(io.BytesIO(data))
        rgb, found = image.convert("RGB"), orientation(image)
        turned = ImageOps.exif_transpose(image).convert("RGB") if found > 1 else rgb
        fields = [name, *map(str, image.size), str(found), crc(rgb), crc(image.convert("L")),
                  crc(turned)]  # fmt: skip
        lines.append("\t".join(fields))
    (HERE / "codecs.txt").write_text("\n".join(lines) + "\n")
    total = sum(map(len, files.values()))
    print(f"{len(files)} files, {total} bytes")


if __name__ == "__main__":
    main()

"""Makes the JPEG files that loaders are measured on: made up, and the same everywhere.

Usage: sample_jpegs.py DIRECTORY [--count N] [--classes N]

Pictures of 500 x 375 pixels, 4:2:0, of about 41 KB each, in a folder for each class: noise whose
amplitude falls with its frequency as that of photographs does, and shapes with edges. The quality
is chosen for the size, so that entropy decoding takes the share that it takes of a photograph.
"""

import argparse
import io
from pathlib import Path

import numpy
from PIL import Image, ImageDraw

WIDTH, HEIGHT, BYTES = 500, 375, 41_000


def noise(random, slope):
    """A field of mean 0 and deviation 1 whose amplitude falls with frequency ** slope."""
    rows, columns = numpy.fft.fftfreq(HEIGHT)[:, None], numpy.fft.rfftfreq(WIDTH)[None, :]
    frequency = numpy.hypot(rows, columns)
    frequency[0, 0] = 1
    spectrum = numpy.fft.rfft2(random.standard_normal((HEIGHT, WIDTH))) / frequency**slope
    spectrum[0, 0] = 0
    field = numpy.fft.irfft2(spectrum, s=(HEIGHT, WIDTH))
    return field / field.std()


def picture(seed):
    random = numpy.random.default_rng(seed)
    image = Image.new("RGB", (WIDTH, HEIGHT), tuple(int(value) for value in random.integers(256, size=3)))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        left, top = random.integers(-80, WIDTH), random.integers(-80, HEIGHT)
        box = [int(left), int(top), int(left + random.integers(20, 250)),
               int(top + random.integers(20, 250))]
        shape = (draw.ellipse, draw.rectangle)[random.integers(2)]
        shape(box, fill=tuple(int(value) for value in random.integers(256, size=3)))
    light, tints = noise(random, 1.1), [noise(random, 1.6) for _ in range(3)]
    values = numpy.asarray(image, dtype=numpy.float64)
    for channel in range(3):
        values[:, :, channel] += 34 * light + 12 * tints[channel]
    return Image.fromarray(values.clip(0, 255).round().astype(numpy.uint8))


def encoded(image):
    """The file of the quality whose size is next to BYTES."""
    best, low, high = b"", 20, 95
    while low <= high:
        quality = (low + high) // 2
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, subsampling="4:2:0", optimize=False)
        data = file.getvalue()
        if not best or abs(len(data) - BYTES) < abs(len(best) - BYTES):
            best = data
        low, high = (quality + 1, high) if len(data) < BYTES else (low, quality - 1)
    return best


def make(directory, count, classes=4):
    """Writes the files that are missing."""
    for index in range(count):
        path = Path(directory) / f"class{index % classes:03}" / f"{index:05}.jpg"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".unfinished")
            unfinished.write_bytes(encoded(picture(index)))
            unfinished.rename(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--classes", type=int, default=4)
    options = parser.parse_args()
    make(options.directory, options.count, options.classes)


if __name__ == "__main__":
    main()

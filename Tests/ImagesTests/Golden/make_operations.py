"""Writes operations.txt: what torchvision makes of images with Pillow, for OperationGoldenTests.

    python make_operations.py

needs torch, torchvision and Pillow. A line is a case, with tabs in between: what is done, the image,
height, width and CRC-32 of the result's bytes, and for small ones those bytes in base64.

An image is `kind channels height width seed` of a formula that the test computes, too. Policies and
crops draw from `Stream`, of which the test has its own.
"""

import base64
import contextlib
import functools
import os
import zlib
from unittest import mock

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms
from torchvision.transforms import autoaugment
from torchvision.transforms import functional as F

BYTES_STORED_UP_TO = 300
NEAREST = transforms.InterpolationMode.NEAREST
lines = []


@functools.cache
def image(kind, channels, height, width, seed):
    y, x, c = np.meshgrid(*map(np.arange, (height, width, channels)), indexing="ij")
    words = (x * 374761393 + y * 668265263 + c * 2246822519 + seed * 3266489917) & 0xFFFFFFFF
    words = ((words ^ words >> 13) * 1274126177) & 0xFFFFFFFF
    noise = (words ^ words >> 16) & 255
    values = {
        "noise": noise,
        "smooth": 40 + (3 * x + 2 * y + 30 * c + (noise & 15)) % 180,
        "flat": (37 * (c + 1) + seed) % 256 + 0 * x,
        "two": np.where(noise & 1, 200, 90),
    }[kind].astype(np.uint8)
    return Image.fromarray(values if channels == 3 else values[:, :, 0])


class Stream:
    """Uniform numbers from a linear congruential generator of 64 bits."""

    def __init__(self, seed):
        self.state = seed

    def uniform(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 11) * 2.0**-53

    def below(self, bound):
        return int(self.uniform() * bound)


def case(what, spec, result):
    pixels = np.asarray(result).tobytes()
    stored = base64.b64encode(pixels).decode() if len(pixels) <= BYTES_STORED_UP_TO else ""
    spec = " ".join(map(str, spec))
    crc = zlib.crc32(pixels)
    lines.append(f"{what}\t{spec}\t{result.height}\t{result.width}\t{crc:08x}\t{stored}")


def resize(spec, height, width, region=None, flip=False):
    source = image(*spec)
    top, left, high, wide = region or (0, 0, source.height, source.width)
    result = F.resized_crop(source, top, left, high, wide, [height, width])
    case(
        f"resize {top} {left} {high} {wide} {height} {width} {int(flip)}",
        spec,
        F.hflip(result) if flip else result,
    )


def resizes():
    sizes = [
        (1, 1, 1, 1), (1, 1, 5, 7), (2, 2, 13, 9), (1, 40, 3, 9), (40, 1, 9, 3), (1, 33, 1, 90),
        (37, 53, 16, 16), (16, 16, 11, 13), (13, 11, 37, 53), (64, 48, 64, 20), (64, 48, 20, 48),
        (9, 10, 9, 10), (100, 3, 7, 90), (3, 100, 90, 7), (300, 200, 1, 1), (300, 7, 12, 8),
        (2, 301, 5, 5), (31, 17, 32, 16), (17, 31, 16, 32), (128, 128, 12, 12), (12, 12, 12, 11),
        (12, 12, 11, 12), (8, 8, 16, 16), (5, 6, 40, 7), (1000, 2, 3, 1), (2, 1000, 1, 3),
        (97, 89, 88, 96), (250, 333, 224, 224), (2, 3, 224, 224), (480, 641, 96, 50),
    ]  # fmt: skip
    for index, (high, wide, height, width) in enumerate(sizes):
        for channels in (1, 3):
            spec = ("noise", channels, high, wide, index)
            resize(spec, height, width, flip=index % 3 == 1)
            if index % 2:
                resize(spec, height, width, flip=index % 3 != 1)
    for channels in (1, 3):
        # What lies around the region must not count.
        for index, region in enumerate(
            [
                (0, 0, 1, 1), (30, 40, 1, 1), (3, 5, 20, 20), (0, 0, 31, 41), (10, 0, 12, 41),
                (0, 10, 31, 12), (17, 39, 14, 2), (29, 1, 2, 39), (4, 4, 12, 13), (4, 4, 24, 6),
            ]  # fmt: skip
        ):
            for height, width in ((12, 13), (24, 6), (7, 10)):
                resize(("noise", channels, 31, 41, 50), height, width, region, index % 2 == 1)
        # Both sides of where the order of the passes changes.
        for high, wide, height, width in (
            (30, 20, 20, 15), (31, 20, 20, 15), (29, 20, 20, 15), (30, 20, 29, 21), (30, 20, 29, 19),
            (30, 20, 31, 60), (50, 40, 10, 20), (51, 40, 10, 20),
        ):  # fmt: skip
            resize(("noise", channels, high, wide, 51), height, width)
        for index in range(6):
            region = (3 * index, 41 - 8 * index, 260 + 20 * index, 330 - 37 * index)
            resize(("smooth", channels, 375, 500, 60), 224, 224, region, index % 2 == 1)
        for value in (0, 255):
            resize(("flat", channels, 40, 50, value - 37), 13, 70)


def centres():
    sizes = ((375, 500), (500, 375), (333, 257), (257, 334), (64, 301), (20, 20), (1, 900), (700, 2))
    for high, wide in sizes:
        for channels in (1, 3):
            for side, height, width in ((256, 224, 224), (29, 25, 28), (20, 25, 11), (33, 12, 80)):
                spec = ("smooth", channels, high, wide, 70)
                steps = [transforms.Resize(side), transforms.CenterCrop((height, width))]
                result = transforms.Compose(steps)(image(*spec))
                case(f"shorter {side} {height} {width}", spec, result)
    for high in range(1, 7):
        for wide in range(1, 7):
            spec = ("noise", 1 + 2 * (high % 2), high, wide, 71)
            for height, width in ((3, 4), (4, 3), (5, 6), (2, 1)):
                result = F.center_crop(image(*spec), [height, width])
                case(f"centre {height} {width}", spec, result)
            case("flip", spec, F.hflip(image(*spec)))


SPACES = {
    "auto": lambda size: autoaugment.AutoAugment()._augmentation_space(10, size),
    "rand": lambda size: autoaugment.RandAugment()._augmentation_space(31, size),
    "wide": lambda size: autoaugment.TrivialAugmentWide()._augmentation_space(31),
}
OTHERS = ["Identity", "AutoContrast", "Equalize", "Invert"]


def operation(space, name, index, sign, spec):
    source = image(*spec)
    magnitudes = SPACES[space]((source.height, source.width)).get(name, (torch.tensor(0.0), False))[0]
    value = magnitudes[index].item() if magnitudes.ndim else 0.0
    result = autoaugment._apply_op(source, name, sign * value, NEAREST, None)
    case(f"operation {space} {name} {index} {sign}", spec, result)


def operations():
    for space, spec, kinds in (
        ("auto", (3, 9, 10, 80), ["noise"]),
        ("auto", (1, 12, 9, 81), ["smooth"]),
        ("rand", (3, 45, 61, 82), ["noise"]),
        ("rand", (1, 47, 31, 83), ["noise"]),
        ("wide", (3, 50, 50, 84), ["noise", "smooth"]),
        ("wide", (1, 40, 71, 85), ["smooth"]),
        ("rand", (3, 224, 224, 86), ["smooth"]),
    ):
        for name, (magnitudes, signed) in SPACES[space]((224, 224)).items():
            for index in range(len(magnitudes) if magnitudes.ndim else 0):
                if spec[1] == 224 and index not in (9, 17):
                    continue
                for sign in (1, -1) if signed else (1,):
                    for kind in kinds:
                        operation(space, name, index, sign, (kind, *spec))
    sizes = ((1, 1), (1, 9), (9, 1), (2, 7), (7, 2), (3, 3), (4, 5), (17, 15), (20, 20), (23, 29))
    for high, wide in (*sizes, (31, 33), (100, 91)):
        for kind in ("noise", "smooth", "flat", "two"):
            for channels in (1, 3):
                for name in OTHERS:
                    operation("auto", name, 0, 1, (kind, channels, high, wide, 87))
    for high, wide in sizes:
        for channels in (1, 3):
            for name, (_, signed) in SPACES["wide"]((1, 1)).items():
                spec = ("noise", channels, high, wide, 88)
                operation("wide", name, 23, -1 if signed else 1, spec)
    for degrees in (90.0, 180.0, 270.0, -90.0, 360.0, 89.99, 45.0, 0.01, -0.0, 720.5, 1e-14):
        for high, wide in ((12, 12), (9, 14)):
            spec = ("noise", 3, high, wide, 89)
            case(f"rotate {degrees}", spec, F.rotate(image(*spec), degrees))
    # Too large for fixed point.
    spec = ("noise", 1, 2, 33000, 90)
    case("shearX 0.5", spec, autoaugment._apply_op(image(*spec), "ShearX", 0.5, NEAREST, None))
    spec = ("noise", 3, 33000, 3, 91)
    case("shearY 0.99", spec, autoaugment._apply_op(image(*spec), "ShearY", 0.99, NEAREST, None))


@contextlib.contextmanager
def drawing_from(stream):
    """Lets torchvision's policies draw from a stream."""

    def randint(bound, shape, **_):
        return torch.tensor([stream.below(bound) for _ in range(shape[0])])

    def rand(shape):
        return torch.tensor([stream.uniform() for _ in range(shape[0])], dtype=torch.float64)

    with mock.patch.object(torch, "randint", randint), mock.patch.object(torch, "rand", rand):
        yield


def policies():
    named = {
        f"auto-{policy.value}": autoaugment.AutoAugment(policy)
        for policy in autoaugment.AutoAugmentPolicy
    } | {
        "rand-2-9-31": autoaugment.RandAugment(),
        "rand-3-5-11": autoaugment.RandAugment(3, 5, 11),
        "wide-31": autoaugment.TrivialAugmentWide(),
        "wide-7": autoaugment.TrivialAugmentWide(7),
    }
    for name, policy in named.items():
        for seed in range(60):
            spec = ("smooth" if seed % 2 else "noise", 3, 29, 33, seed)
            with drawing_from(Stream(seed)):
                case(f"policy {name} {seed}", spec, policy(image(*spec)))


def region(height, width, scale, ratio, stream):
    """RandomResizedCrop.get_params with numbers of the stream, in Float64."""

    class Empty:
        def uniform_(self, low, high):
            return np.float64(low + stream.uniform() * (high - low))

    numbers = {
        "empty": lambda size: Empty(),
        "randint": lambda low, high, size: np.array([low + stream.below(high - low)]),
        "tensor": np.array,
        "log": np.log,
        "exp": np.exp,
    }
    with mock.patch.multiple(torch, **numbers):
        source = Image.new("L", (width, height))
        return transforms.RandomResizedCrop.get_params(source, scale, ratio)


def regions():
    usual = ((0.08, 1.0), (3 / 4, 4 / 3))
    for height, width in ((375, 500), (500, 375), (1, 1), (2, 900), (900, 2), (40, 100), (64, 64)):
        for seed in range(12):
            for scale, ratio in (usual, ((0.9, 1.0), (0.5, 0.6)), ((0.01, 0.02), (0.2, 5.0))):
                found = region(height, width, scale, ratio, Stream(seed))
                arguments = " ".join(map(repr, (height, width, *scale, *ratio, seed)))
                lines.append(f"region {arguments}\t{' '.join(map(str, found))}")


def tables():
    for name in autoaugment.AutoAugmentPolicy:
        for index, pair in enumerate(autoaugment.AutoAugment(name).policies):
            steps = " ".join(f"{kind} {chance} {place or 0}" for kind, chance, place in pair)
            lines.append(f"table {name.value} {index}\t{steps}")


def linspaces():
    for end in (0.3, 0.9, 0.99, 30.0, 32.0, 135.0, 150.0 / 331.0 * 224, 150.0 / 331.0 * 61):
        for count in (2, 3, 7, 10, 11, 16, 17, 31, 40):
            values = torch.linspace(0.0, end, count)
            bits = " ".join(f"{bits:08x}" for bits in values.numpy().view(np.uint32))
            lines.append(f"linspace 0.0 {end!r} {count}\t{bits}")


if __name__ == "__main__":
    for group in (resizes, centres, operations, policies, regions, tables, linspaces):
        group()
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "operations.txt")
    with open(path, "w") as file:
        file.write(f"# {versions}, Pillow {PIL.__version__}: make_operations.py\n")
        file.write("\n".join(lines) + "\n")

"""Times torchvision's training transform of JPEG files on one thread; prints one JSON object.

Usage: load_torch.py DIRECTORY [--decoder pillow|native] [--resolution R] [--count N]

Pillow: open, convert("RGB"), RandomResizedCrop, flip, ToTensor, Normalize. Native: the same with
torchvision's own decoder and its transforms of tensors (v2). The files are read before; those that
the system keeps in memory cost little more.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import torch

import timm_network

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def with_pillow(resolution):
    from PIL import Image
    from torchvision import transforms

    steps = transforms.Compose([
        transforms.RandomResizedCrop(
            resolution, interpolation=transforms.InterpolationMode.BILINEAR, antialias=True),
        transforms.RandomHorizontalFlip(), transforms.ToTensor(),
        transforms.Normalize(MEAN, DEVIATION)])

    def load(path):
        with open(path, "rb") as file:
            return steps(Image.open(file).convert("RGB"))

    return load


def natively(resolution):
    from torchvision import io
    from torchvision.transforms import v2

    steps = v2.Compose([
        v2.RandomResizedCrop(
            resolution, interpolation=v2.InterpolationMode.BILINEAR, antialias=True),
        v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, DEVIATION)])

    def load(path):
        return steps(io.decode_jpeg(io.read_file(path), mode=io.ImageReadMode.RGB))

    return load


def time_loads(load, paths, count):
    """Images a second, after some to warm up."""
    for path in paths[:32]:
        load(path)
    start, start_of_work = time.perf_counter(), time.process_time()
    for path in itertools.islice(itertools.cycle(paths), count):
        load(path)
    seconds = time.perf_counter() - start
    return seconds, time.process_time() - start_of_work


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--decoder", choices=("pillow", "native"), default="pillow")
    parser.add_argument("--resolution", type=int, default=224)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(1)
    timm_network.load_timm()
    import PIL
    from PIL import features
    import torchvision

    load = {"pillow": with_pillow, "native": natively}[options.decoder](options.resolution)
    paths = [str(path) for path in sorted(options.directory.rglob("*.jpg"))]
    seconds, processor_seconds = time_loads(load, paths, options.count)
    print(json.dumps({
        "benchmark": "loader", "decoder": options.decoder, "resolution": options.resolution,
        "images": options.count, "images_per_second": options.count / seconds,
        "seconds": [seconds], "processor_seconds": [processor_seconds],
        "torch": torch.__version__, "torchvision": torchvision.__version__,
        "pillow": PIL.__version__, "libjpeg_turbo": features.version_feature("libjpeg_turbo"),
    }))


if __name__ == "__main__":
    main()

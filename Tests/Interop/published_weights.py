"""Weights as others publish them, on JPEG files, by the published evaluation: ours against torchvision
and timm.

Usage: published_weights.py prepare DIRECTORY   writes data/val/<class>/*.jpg and weights/*
       published_weights.py compare DIRECTORY   compares logits/*.safetensors, the answers of
                                                `repvgg evaluate --logits` for each of the weights

The weights are timm's repvgg_a0 with random values, in training and in deploy form, under the names of
timm, of the published checkpoints and of mmpretrain, and in a checkpoint as torch.save writes it. Exit code 0 when all agree, 1 when not.
"""

import argparse
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from timm_models import create, renamed, reparameterize_model  # first: it mends torchvision's import

from PIL import Image, ImageDraw  # noqa: E402
from torchvision import datasets, transforms  # noqa: E402

CLASSES = 5
SIZES = [(500, 375), (375, 500), (333, 251), (97, 401), (640, 90), (61, 47), (256, 256), (224, 300)]
TOLERANCE = 2e-5  # of the largest logit
SCHEMES = {"timm": lambda key: key, "published": lambda key: renamed(key, 0),
           "mmpretrain": lambda key: renamed(key, 2),
           "wrapped": lambda key: "module." + renamed(key, 0)}


def draw(generator, size):
    """Coloured ground, ellipses and lines: edges for the resizing, gradients for the decoder."""
    def colour():
        return tuple(generator.randrange(256) for _ in range(3))
    width, height = size
    ramp = Image.linear_gradient("L").resize(size)
    picture = Image.composite(Image.new("RGB", size, colour()), Image.new("RGB", size, colour()), ramp)
    pencil = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = generator.randrange(width), generator.randrange(height)
        reach = generator.randrange(3, 3 + min(size) // 2)
        pencil.ellipse((x - reach, y - reach // 2, x + reach, y + reach // 2), fill=colour())
        pencil.line((x, y, generator.randrange(width), generator.randrange(height)), fill=colour(),
                    width=generator.randrange(1, 5))
    return picture


def write_pictures(directory):
    generator = random.Random(4)
    for label in range(CLASSES):
        place = directory / "val" / f"class {label}"
        place.mkdir(parents=True)
        for number, size in enumerate(SIZES[label % 2::2]):
            picture = draw(generator, size)
            if number == 1:
                picture = picture.convert(["L", "CMYK"][label % 2])
            picture.save(place / f"{number}.jpg", quality=generator.randrange(60, 97),
                         subsampling=label % 3, progressive=number == 2)


def read_pictures(directory):
    """The published evaluation, as PyTorch's users write it."""
    folder = datasets.ImageFolder(directory / "val", transforms.Compose([
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]))
    images, labels = zip(*folder)
    return torch.stack(images), torch.tensor(labels)


def randomise(model, images):
    """Weights whose activations stay of a size, as those of trained networks do: BatchNorm's statistics
    are the images' own."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
            module.momentum = 1.0
    torch.nn.init.normal_(model.head.fc.weight, std=0.05)
    model.train()
    with torch.no_grad():
        model(images[:6])
    return model.eval()


def prepare(directory):
    torch.manual_seed(3)
    write_pictures(directory / "data")
    images, _ = read_pictures(directory / "data")
    training = randomise(create(CLASSES), images)
    forms = {"training": training.state_dict()}
    forms["deploy"] = reparameterize_model(training).state_dict()
    (directory / "weights").mkdir()
    (directory / "logits").mkdir()
    for form, tensors in forms.items():
        for scheme, rename in SCHEMES.items():
            save_file({rename(key): value.contiguous() for key, value in tensors.items()},
                      directory / "weights" / f"{scheme}-{form}.safetensors")
        # As the published training code saves it: wrapped, with what else belongs to a run.
        weights = {"module." + renamed(key, 0): value for key, value in tensors.items()}
        torch.save({"epoch": 1, "best_acc1": torch.tensor(1.0), "args": argparse.Namespace(arch="A0"),
                    "state_dict": weights}, directory / "weights" / f"checkpoint-{form}.pth")


def compare(directory):
    images, labels = read_pictures(directory / "data")
    failures = 0
    for form, model in [("training", create(CLASSES)), ("deploy", create(CLASSES, fused=True))]:
        model.load_state_dict(load_file(directory / "weights" / f"timm-{form}.safetensors"))
        with torch.no_grad():
            theirs = model(images)
        first = None
        # `all` has every picture. The others have the same few: the bits of a logit may depend on how
        # many images OpenBLAS was given at once.
        for name in ["all", *SCHEMES, "checkpoint"]:
            answers = load_file(directory / "logits" / f"{name}-{form}.safetensors")
            ours = answers["logits"]
            worst = ((ours - theirs[:len(ours)]).abs().max() / theirs.abs().max()).item()
            passed = worst <= TOLERANCE and torch.equal(answers["labels"], labels[:len(ours)])
            pixels, names = "", f"{name} names"
            if name == "all":
                names = "timm names"
                apart = (answers["images"] - images).abs().max().item()
                # Less than a hundredth of one of 256 levels: the same bytes.
                passed = passed and len(ours) == len(images) and apart <= 1e-4
                pixels = f", pixels {apart:.0e} apart"
            else:
                first = ours if first is None else first
                passed = passed and torch.equal(ours, first)
            failures += not passed
            print(f"interop: {form} weights, {names}: {len(ours)} JPEG files, largest logit "
                  f"difference {worst:.1e} of the largest logit{pixels}, "
                  f"{'passed' if passed else 'FAILED'}")
    return 1 if failures else 0


if __name__ == "__main__":
    action, place = sys.argv[1], Path(sys.argv[2])
    sys.exit(prepare(place) if action == "prepare" else compare(place))

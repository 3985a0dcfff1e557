"""Weights of timm's through `repvgg convert`, into every scheme of names and back.

Usage: round_trip.py prepare DIRECTORY   writes DIRECTORY/<network>-<form>.pth, as torch.save does
       round_trip.py compare DIRECTORY   compares what was converted from them in a chain:
                                         <network>-<form>-{published,mmpretrain,timm}.safetensors

What comes back under timm's names must load strictly into an unmodified timm model; under all names the
tensors must be the same bits. Exit code 0 when all agree, 1 when not.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from timm_models import NETWORKS, create, renamed

CLASSES = 7
FORMS = {"training": False, "deploy": True}
SCHEMES = {"published": lambda key: renamed(key, 0), "mmpretrain": lambda key: renamed(key, 2),
           "timm": lambda key: key}


def prepare(directory):
    torch.manual_seed(6)
    directory.mkdir()
    for network in NETWORKS:
        for form, fused in FORMS.items():
            state = create(CLASSES, fused=fused, network=network).state_dict()
            for number, (key, tensor) in enumerate(list(state.items())):
                state[key] = (torch.randn_like(tensor) if tensor.is_floating_point()
                              else torch.full_like(tensor, 2 ** 40 + number))
            torch.save(state, directory / f"{network}-{form}.pth")


def same_bits(ours, theirs):
    """Names, types, shapes and values; a scalar stays a scalar."""
    return ours.keys() == theirs.keys() and all(
        ours[key].dtype == theirs[key].dtype and torch.equal(ours[key], theirs[key])
        and ours[key].shape == theirs[key].shape for key in theirs)


def compare(directory):
    failures = 0
    for network in NETWORKS:
        for form, fused in FORMS.items():
            name = f"{network}-{form}"
            state = torch.load(directory / f"{name}.pth", weights_only=True)
            passed = all(
                same_bits(load_file(directory / f"{name}-{scheme}.safetensors"),
                          {rename(key): tensor for key, tensor in state.items()})
                for scheme, rename in SCHEMES.items())
            model = create(CLASSES, fused=fused, network=network)
            model.load_state_dict(load_file(directory / f"{name}-timm.safetensors"), strict=True)
            passed = passed and same_bits(dict(model.state_dict()), dict(state))
            failures += not passed
            print(f"interop: {network}, {form} form, {len(state)} tensors of a .pth file under published, "
                  f"mmpretrain's and timm's names: {'passed' if passed else 'FAILED'}")
    return 1 if failures else 0


if __name__ == "__main__":
    action, place = sys.argv[1], Path(sys.argv[2])
    sys.exit(prepare(place) if action == "prepare" else compare(place))

"""Writes the PyTorch files that Tests/TensorsTests/PyTorchFileTests.swift reads.

Usage: make_pytorch_files.py [DIRECTORY]   (default: Tests/TensorsTests/PyTorch)

Needs the virtual environment of launch/interop. Values are multiples of 1/4, so that halves hold
them too. Files that would run something when they are unpickled are only written, never read.
"""

import argparse
import collections
import io
import os
import pathlib
import struct
import sys
import zipfile

import numpy
import torch

ROOT = pathlib.Path(__file__).resolve().parents[1]


class Calls:
    """Pickled as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def quarters(*shape, start=0):
    count = 1
    for size in shape:
        count *= size
    return (torch.arange(start, start + count, dtype=torch.float32) / 4).reshape(shape)


def network():
    """A convolution and its BatchNorm with known values."""
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 2, bias=False), torch.nn.BatchNorm2d(2))
    with torch.no_grad():
        model[0].weight.copy_(quarters(2, 1, 2, 2))
        model[1].running_mean.copy_(quarters(2, start=10))
    return model


def views():
    """Strides, offsets and storages that are shared."""
    base = quarters(3, 4)
    wide = quarters(2, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    return {
        "base": base, "transposed": base.t(), "column": base[:, 1], "row": base[2],
        "steps": base[::2, 1::2], "channels_last": wide, "expanded": quarters(1, start=7).expand(5),
        "tied": base, "scalar": base[1, 1],
    }


def types():
    """Every element type that a network's file may hold."""
    return {
        "float": quarters(2), "double": quarters(2).double() / 3, "half": quarters(3, start=-5).half(),
        "bfloat": quarters(3, start=-5).bfloat16(), "long": torch.tensor(-(2**40)),
        "int": torch.tensor([1, -2], dtype=torch.int32), "byte": torch.tensor([0, 255]).byte(),
        "bool": torch.tensor([True, False]), "empty": torch.zeros(0, 3),
    }


def optimized():
    """A checkpoint as training code writes it: the optimizer, and the command's arguments."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(quarters(2, 1, 2, 2)).sum().backward()
    optimizer.step()
    with torch.no_grad():
        model[0].weight.copy_(quarters(2, 1, 2, 2))
    return model, optimizer


def archive(pickle, storages=(), byteorder=b"little", compression=zipfile.ZIP_STORED):
    """The zip file around a pickle written by hand."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as target:
        contents = {"data.pkl": pickle, "byteorder": byteorder, "version": b"3\n"}
        contents |= {f"data/{number}": content for number, content in enumerate(storages)}
        for name, content in contents.items():
            # With the date of 1980, so that the same bytes come every time.
            target.writestr(zipfile.ZipInfo(f"archive/{name}"), content, compression)
    return file.getvalue()


def without_places(program):
    """A TorchScript archive without what tells where its source lay."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(program)) as source, zipfile.ZipFile(file, "w") as target:
        for name in source.namelist():
            if not name.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(name), source.read(name))
    return file.getvalue()


def one_tensor(sizes=b"K\x02\x85", strides=b"K\x01\x85"):
    """The pickle of {"w": tensor of one storage of 2} by hand."""
    return (
        b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(("
        b"X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x02tQ"
        b"K\0" + sizes + strides + b"\x89ccollections\nOrderedDict\n)RtRs."
    )


def files():
    """Names and what torch.save is given for them."""
    state = network().state_dict()
    prefixed = collections.OrderedDict((f"module.{name}", value) for name, value in state.items())
    model, optimizer = optimized()
    arguments = argparse.Namespace(arch="RepVGG-A0", lr=0.1, output=pathlib.PurePosixPath("out"))
    return {
        "bare": state,
        "state-dict": {"epoch": 3, "state_dict": state, "best_acc1": torch.tensor(71.5)},
        "model": {"model": state, "args": arguments, "accuracy": numpy.float64(0.5)},
        "module": {"state_dict": {"model": prefixed}},
        "optimizer": {"optimizer": optimizer.state_dict(), "model": model.state_dict()},
        "parameters": dict(model.named_parameters()),
        "views": views(),
        "types": types(),
        "whole": torch.nn.ReLU(),
        "system": Calls(os.system, "touch this-file-has-run-a-command"),
        "eval": {"state_dict": state, "hook": Calls(eval, "1 + 1")},
        "list": [torch.zeros(1)],
        "numbers": {"epoch": 3, "loss": [0.5, 0.25]},
    }


def main():
    directory = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "TensorsTests/PyTorch")
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        torch.save(content, directory / f"{name}.pth")
    state = network().state_dict()
    torch.save(state, directory / "protocol-4.pth", pickle_protocol=4)
    torch.save({"w": quarters(2)}, directory / "legacy.pth", _use_new_zipfile_serialization=False)
    program = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), program)
    storage = struct.pack("<2f", 1, -2)
    nested = b"\x80\x02" + b"(" * 300 + b"]" + b"t" * 300 + b"q\0h\0\x86."
    cyclic = b"\x80\x02}q\0X\x05\0\0\0modelh\0s."
    by_hand = {
        "script": without_places(program.getvalue()),
        "by-hand": archive(one_tensor(), [storage]),
        "nested": archive(nested),
        "cyclic": archive(cyclic),
        "compressed": archive(one_tensor(), [storage], compression=zipfile.ZIP_DEFLATED),
        "big-endian": archive(one_tensor(), [storage], byteorder=b"big"),
        "short-storage": archive(one_tensor(), [storage[:4]]),
        "no-storage": archive(one_tensor()),
        "outside": archive(one_tensor(sizes=b"K\x03\x85"), [storage]),
        "expanded": archive(one_tensor(b"J\0\0\0\x40\x85", b"K\0\x85"), [storage]),
    }
    for name, content in by_hand.items():
        (directory / f"{name}.pth").write_bytes(content)
    for path in sorted(directory.glob("*.pth")):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()

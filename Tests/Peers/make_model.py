"""Writes a RepVGG of timm with random weights as files that every runtime reads.

Usage: make_model.py PROGRAM NAME DIRECTORY: NAME-train.safetensors as timm has it, and what
`repvgg fuse` makes of it, NAME-deploy.safetensors and NAME-deploy.onnx.
"""

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

import timm_network


def main(program, name, directory):
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    network = timm_network.load_timm().create_model(name, num_classes=1000)
    # Statistics as after training, so that activations keep their size: one pass sets them.
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.randn(4, 3, 224, 224))
    trained = directory / f"{name}-train.safetensors"
    save_file(network.state_dict(), trained)
    subprocess.run(
        [program, "fuse", str(trained), "--output", str(directory / f"{name}-deploy.safetensors"),
         "--onnx", str(directory / f"{name}-deploy.onnx")], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Loads the weights of a finished run into timm's repvgg_a0 and compares the logits with ours.

Usage: compare_with_timm.py DIRECTORY, which holds run/artifacts/a0-{train,deploy}.safetensors and
{train,deploy}-logits.safetensors, the answers of `repvgg evaluate --logits`.
Exit code 0 when both forms agree, 1 when not.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from timm_models import create, reparameterize_model, timm_key

TOLERANCE = 1e-4  # of the largest logit


def load_strictly(model, path):
    """Every key of the file finds its place and every place its key."""
    tensors = {timm_key(key): value for key, value in load_file(path).items()}
    model.load_state_dict(tensors, strict=True)
    return model.eval()


def difference(model, answers):
    with torch.no_grad():
        theirs = model(answers["images"])
    ours = answers["logits"]
    if ours.shape != theirs.shape or not torch.isfinite(ours).all():
        raise ValueError(f"our logits are {tuple(ours.shape)}, timm's {tuple(theirs.shape)}")
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def main(directory):
    artifacts = directory / "run" / "artifacts"
    trained = load_strictly(create(10), artifacts / "a0-train.safetensors")
    fused = load_strictly(create(10, fused=True), artifacts / "a0-deploy.safetensors")
    refused = reparameterize_model(trained)

    failures = 0
    for name, model, form in [
        ("trained weights", trained, "train"),
        ("deploy weights", fused, "deploy"),
        ("trained weights, fused by timm", refused, "deploy"),
    ]:
        answers = load_file(directory / f"{form}-logits.safetensors")
        worst = difference(model, answers)
        passed = worst <= TOLERANCE
        failures += not passed
        print(f"interop: {name}: {len(answers['images'])} images, largest logit difference "
              f"{worst:.1e} of the largest logit, {'passed' if passed else 'FAILED'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""Loads the weights of finished runs into timm's networks and compares the logits with ours.

Usage: compare_with_timm.py DIRECTORY, which holds, for every NAME of timm_models.NETWORKS,
NAME/artifacts/NAME-{train,deploy}.safetensors and NAME-{train,deploy}-logits.safetensors, the
answers of `repvgg evaluate --logits`.
Exit code 0 when both forms of all networks agree, 1 when not.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from timm_models import NETWORKS, create, reparameterize_model, timm_key

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


def failures_of(network, directory):
    artifacts = directory / network / "artifacts"
    trained = load_strictly(
        create(10, network=network), artifacts / f"{network}-train.safetensors")
    fused = load_strictly(
        create(10, fused=True, network=network), artifacts / f"{network}-deploy.safetensors")
    refused = reparameterize_model(trained)

    failures = 0
    for name, model, form in [
        ("trained weights", trained, "train"),
        ("deploy weights", fused, "deploy"),
        ("trained weights, fused by timm", refused, "deploy"),
    ]:
        answers = load_file(directory / f"{network}-{form}-logits.safetensors")
        worst = difference(model, answers)
        passed = worst <= TOLERANCE
        failures += not passed
        print(f"interop: {network}: {name}: {len(answers['images'])} images, largest logit "
              f"difference {worst:.1e} of the largest logit, {'passed' if passed else 'FAILED'}")
    return failures


def main(directory):
    failures = [failures_of(name, directory) for name in NETWORKS]
    return 1 if any(failures) else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

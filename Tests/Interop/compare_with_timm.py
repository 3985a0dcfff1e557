"""Loads the weights of a finished run into timm's repvgg_a0 and compares the logits with ours.

Usage: compare_with_timm.py DIRECTORY, which holds run/artifacts/a0-{train,deploy}.safetensors and
{train,deploy}-logits.safetensors, the answers of `repvgg evaluate --logits`.
Exit code 0 when both forms agree, 1 when not.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

TOLERANCE = 1e-4  # of the largest logit


def declare_torchvision_operators():
    """PyPI's torchvision carries operators for the CUDA build of PyTorch only, and with the CPU
    build does not import for want of their declarations. No operator of it is used here."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


try:
    import torchvision  # noqa: F401
except RuntimeError:
    for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[module]
    DECLARATIONS = declare_torchvision_operators()

import timm  # noqa: E402
from timm.utils import reparameterize_model  # noqa: E402

RENAMED = [  # published name, timm's name, inside a block
    ("rbr_dense.", "conv_kxk."),
    ("rbr_1x1.", "conv_1x1."),
    ("rbr_identity.", "identity."),
    ("rbr_reparam.", "reparam_conv."),
]


def timm_key(key):
    """The name in timm's repvgg of a published checkpoint's key."""
    if key.startswith("linear."):
        return "head.fc." + key.removeprefix("linear.")
    stage, _, rest = key.partition(".")
    if stage == "stage0":
        prefix = "stem."
    else:
        block, _, rest = rest.partition(".")
        prefix = f"stages.{int(stage.removeprefix('stage')) - 1}.{block}."
    for published, ours in RENAMED:
        if rest.startswith(published):
            return prefix + ours + rest.removeprefix(published)
    raise KeyError(f"{key} is no key of a published checkpoint")


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
    trained = timm.create_model("repvgg_a0", num_classes=10)
    epsilons = {m.eps for m in trained.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert epsilons == {1e-5}, f"timm's BatchNorm eps is {epsilons}, ours 1e-5"
    fused = reparameterize_model(timm.create_model("repvgg_a0", num_classes=10).eval())
    load_strictly(trained, artifacts / "a0-train.safetensors")
    load_strictly(fused, artifacts / "a0-deploy.safetensors")
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

"""Loads the weights of finished runs into timm's networks and compares the logits with ours.

Usage: compare_with_timm.py DIRECTORY, which holds, for every NAME of NETWORKS below,
NAME/artifacts/NAME-{train,deploy}.safetensors and NAME-{train,deploy}-logits.safetensors, the
answers of `repvgg evaluate --logits`.
Exit code 0 when both forms of all networks agree, 1 when not.
"""

import dataclasses
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
from timm.models import byobnet  # noqa: E402
from timm.utils import reparameterize_model  # noqa: E402

RENAMED = [  # published name, timm's name, inside a block
    ("rbr_dense.", "conv_kxk."),
    ("rbr_1x1.", "conv_1x1."),
    ("rbr_identity.", "identity."),
    ("rbr_reparam.", "reparam_conv."),
    ("se.down.", "attn.fc1."),
    ("se.up.", "attn.fc2."),
]


def small_excited():
    """The network of se.yaml: timm's repvgg_d2se with other depths and widths."""
    published = byobnet.model_cfgs["repvgg_d2se"]
    blocks = [(2, 48), (2, 80), (1, 160)]
    return byobnet.ByobNet(
        dataclasses.replace(
            published, stem_chs=32,
            blocks=tuple(
                dataclasses.replace(published.blocks[0], d=depth, c=width, s=2)
                for depth, width in blocks)),
        num_classes=10)


NETWORKS = {"a0": lambda: timm.create_model("repvgg_a0", num_classes=10), "se": small_excited}


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


def failures_of(network, create, directory):
    artifacts = directory / network / "artifacts"
    trained = create()
    epsilons = {m.eps for m in trained.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert epsilons == {1e-5}, f"timm's BatchNorm eps is {epsilons}, ours 1e-5"
    fused = reparameterize_model(create().eval())
    load_strictly(trained, artifacts / f"{network}-train.safetensors")
    load_strictly(fused, artifacts / f"{network}-deploy.safetensors")
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
    failures = [failures_of(name, create, directory) for name, create in NETWORKS.items()]
    return 1 if any(failures) else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

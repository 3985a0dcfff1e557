"""What the comparisons with timm share: its import, and the names of RepVGG's tensors in three schemes."""

import dataclasses
import sys

import torch


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
from timm.utils import reparameterize_model  # noqa: E402, F401

MEMBERS = [  # inside a block: published, timm, mmpretrain
    ("rbr_dense.conv.", "conv_kxk.conv.", "branch_3x3.conv."),
    ("rbr_dense.bn.", "conv_kxk.bn.", "branch_3x3.norm."),
    ("rbr_1x1.conv.", "conv_1x1.conv.", "branch_1x1.conv."),
    ("rbr_1x1.bn.", "conv_1x1.bn.", "branch_1x1.norm."),
    ("rbr_identity.", "identity.", "branch_norm."),
    ("rbr_reparam.", "reparam_conv.", "branch_reparam."),
    ("se.down.", "attn.fc1.", "se_layer.conv1.conv."),
    ("se.up.", "attn.fc2.", "se_layer.conv2.conv."),
]


def small_excited(classes):
    """The network of se.yaml: timm's repvgg_d2se with other depths and widths."""
    published = byobnet.model_cfgs["repvgg_d2se"]
    blocks = [(2, 48), (2, 80), (1, 160)]
    return byobnet.ByobNet(
        dataclasses.replace(
            published, stem_chs=32,
            blocks=tuple(
                dataclasses.replace(published.blocks[0], d=depth, c=width, s=2)
                for depth, width in blocks)),
        num_classes=classes)


NETWORKS = {
    "a0": lambda classes: timm.create_model("repvgg_a0", num_classes=classes),
    "se": small_excited,
}


def create(classes, fused=False, network="a0"):
    """A RepVGG of timm's in evaluation, BatchNorm with the epsilon of the published code."""
    model = NETWORKS[network](classes).eval()
    epsilons = {m.eps for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert epsilons == {1e-5}, f"timm's BatchNorm eps is {epsilons}, ours 1e-5"
    return reparameterize_model(model) if fused else model


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
    for published, ours, _ in MEMBERS:
        if rest.startswith(published):
            return prefix + ours + rest.removeprefix(published)
    raise KeyError(f"{key} is no key of a published checkpoint")


def renamed(key, scheme):
    """The name of timm's tensor `key` in a published checkpoint (0) or in mmpretrain's (2)."""
    stem, stage, head = [("stage0.", "stage{}.", "linear."), None,
                         ("backbone.stem.", "backbone.stage_{}.", "head.fc.")][scheme]
    if key.startswith("head.fc."):
        return head + key.removeprefix("head.fc.")
    first, _, rest = key.partition(".")
    if first == "stem":
        prefix = stem
    else:
        number, block, rest = rest.split(".", 2)
        prefix = stage.format(int(number) + 1) + block + "."
    for names in MEMBERS:
        if rest.startswith(names[1]):
            return prefix + names[scheme] + rest.removeprefix(names[1])
    raise KeyError(f"{key} is no key of timm's repvgg")

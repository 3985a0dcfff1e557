"""ONNX models that `repvgg fuse --onnx` has written: the ONNX checker accepts them, and ONNX Runtime and
OpenVINO compute our logits.

Usage: check_onnx.py make NAME FILE    writes training weights of the zoo's network NAME, 10 classes,
                                       random values, under published names
       check_onnx.py compare NAME DIRECTORY

DIRECTORY holds NAME.onnx, NAME-pixels.onnx (which takes values 0 to 255) and NAME-logits.safetensors, the
answers of `repvgg evaluate --images --logits`. Exit code 0 when all agree, 1 when not.
"""

import json
import sys
from pathlib import Path

import numpy

TOLERANCE = 1e-4  # of the largest logit
# What `make` does must show in the logits: of one image and another they differ by this much of the
# largest at least, or every model would pass.
SPREAD = 1e-2
CLASSES = 10


def network(name):
    """Stage widths, depths, groups on even layers, and whether blocks are squeezed: the paper's table 2
    and the published code."""
    suffix = name.removeprefix("RepVGG-")
    kind, groups = suffix[:2], int(suffix[3:]) if "g" in suffix else 1
    widths = {"A0": (0.75, 2.5), "A1": (1, 2.5), "A2": (1.5, 2.75), "B0": (1, 2.5), "B1": (2, 4),
              "B2": (2.5, 5), "B3": (3, 5), "D2": (2.5, 5)}
    depths = {"A": (2, 4, 14, 1), "B": (4, 6, 16, 1), "D": (8, 14, 24, 1)}[kind[0]]
    a, b = widths[kind]
    stages = [int(64 * a), int(128 * a), int(256 * a), int(512 * b)]
    return min(64, int(64 * a)), list(zip(depths, stages)), groups, suffix.endswith("se")


def blocks(name):
    """(key, input channels, output channels, stride, groups) of every block."""
    stem, stages, groups, _ = network(name)
    result = [("stage0", 3, stem, 2, 1)]
    channels = stem
    for number, (depth, width) in enumerate(stages, start=1):
        for index in range(depth):
            layer = len(result)
            grouped = groups if layer % 2 == 0 and layer <= 26 else 1
            result.append((f"stage{number}.{index}", channels, width, 2 if index == 0 else 1, grouped))
            channels = width
    return result


def make(name, path):
    """Random weights whose activations stay of a size, as those of trained networks do: the running
    statistics are those of random images of the size that is evaluated, and no branch has a gain above
    its share. Otherwise other images grow from block to block, and with them every rounding: D2se's 47
    blocks made 16 % of the logits of 1e-7 of the input, in Float64 too."""
    import torch
    from safetensors.torch import save_file
    from torch.nn import functional

    torch.manual_seed(sum(name.encode()))
    tensors = {}

    def convolution(key, outputs, inputs, kernel):
        scale = (inputs * kernel * kernel) ** -0.5
        tensors[f"{key}.weight"] = torch.randn(outputs, inputs, kernel, kernel) * scale
        return tensors[f"{key}.weight"]

    def norm(key, values, gain):
        channels = values.shape[1]
        tensors[f"{key}.weight"] = torch.empty(channels).uniform_(0.5, 1.5) * gain
        tensors[f"{key}.bias"] = torch.empty(channels).uniform_(-0.5, 0.5)
        tensors[f"{key}.running_mean"] = values.mean((0, 2, 3))
        # Never near 0, as of a channel that these few images leave dark.
        tensors[f"{key}.running_var"] = values.var((0, 2, 3)) + 0.1
        tensors[f"{key}.num_batches_tracked"] = torch.tensor(1)
        return functional.batch_norm(
            values, tensors[f"{key}.running_mean"], tensors[f"{key}.running_var"],
            tensors[f"{key}.weight"], tensors[f"{key}.bias"], eps=1e-5)

    def squeeze(key, values):
        channels = values.shape[1]
        factors = values.mean((2, 3), keepdim=True)
        for part, sizes in [("down", (channels // 16, channels)), ("up", (channels, channels // 16))]:
            weight = convolution(f"{key}.{part}", *sizes, 1)
            tensors[f"{key}.{part}.bias"] = torch.empty(sizes[0]).uniform_(-0.5, 0.5)
            factors = functional.conv2d(factors, weight, tensors[f"{key}.{part}.bias"])
            factors = factors.relu() if part == "down" else factors.sigmoid()
        return values * factors

    with torch.no_grad():
        images = torch.randn(4, 3, 224, 224)
        for key, inputs, outputs, stride, groups in blocks(name):
            dense = convolution(f"{key}.rbr_dense.conv", outputs, inputs // groups, 3)
            pointwise = convolution(f"{key}.rbr_1x1.conv", outputs, inputs // groups, 1)
            total = norm(f"{key}.rbr_dense.bn", functional.conv2d(
                images, dense, stride=stride, padding=1, groups=groups), 0.5)
            total += norm(f"{key}.rbr_1x1.bn", functional.conv2d(
                images, pointwise, stride=stride, groups=groups), 0.5)
            if inputs == outputs and stride == 1:
                total += norm(f"{key}.rbr_identity", images, 0.6)
            if network(name)[3]:
                total = squeeze(f"{key}.se", total)
            images = total.relu()
    tensors["linear.weight"] = torch.randn(CLASSES, images.shape[1]) * images.shape[1] ** -0.5
    tensors["linear.bias"] = torch.empty(CLASSES).uniform_(-0.5, 0.5)
    save_file(tensors, path)


def pieces(images):
    """A single image, three, and the others: the batch is free."""
    return [piece for piece in numpy.split(images, [1, 4]) if len(piece)]


def with_onnx_runtime(path, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given, = session.get_inputs()
    assert (given.name, given.shape) == ("images", ["batch", *images.shape[1:]]), given
    return numpy.concatenate(
        [session.run(["logits"], {"images": piece})[0] for piece in pieces(images)])


def with_openvino(path, images):
    import openvino

    # Without the hint some processors compute in BFloat16.
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return numpy.concatenate(
        [model({"images": piece})[model.output("logits")] for piece in pieces(images)])


def compare(name, directory):
    import onnx
    from safetensors.numpy import load_file

    answers = load_file(directory / f"{name}-logits.safetensors")
    ours, images = answers["logits"], answers["images"]
    largest = numpy.abs(ours).max()
    assert numpy.isfinite(ours).all() and largest > 0
    failures = 0
    if name.startswith("RepVGG-"):
        spread = (ours.max(axis=0) - ours.min(axis=0)).max() / largest
        if spread < SPREAD:
            print(f"interop: {name}: logits of all images agree to {spread:.1e}, FAILED")
            failures += 1
    for suffix in ["", "-pixels"]:
        path = directory / f"{name}{suffix}.onnx"
        onnx.checker.check_model(str(path), full_check=True)
        given = images
        if suffix:
            # Back to bytes, as the file says.
            props = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
            mean, deviation = (
                numpy.array(json.loads(props[key])).reshape(1, -1, 1, 1)
                for key in ("mean", "standard_deviation"))
            given = ((images * deviation + mean) * 255).round().astype(numpy.float32)
        for runtime, run in [("ONNX Runtime", with_onnx_runtime), ("OpenVINO", with_openvino)]:
            theirs = run(path, numpy.ascontiguousarray(given))
            worst = numpy.abs(theirs - ours).max() / largest
            passed = theirs.shape == ours.shape and worst <= TOLERANCE
            failures += not passed
            print(f"interop: {name}{suffix}.onnx, {runtime}: {len(images)} images, largest logit "
                  f"difference {worst:.1e} of the largest logit, {'passed' if passed else 'FAILED'}")
    return 1 if failures else 0


if __name__ == "__main__":
    action, member, place = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    sys.exit(make(member, place) if action == "make" else compare(member, place))

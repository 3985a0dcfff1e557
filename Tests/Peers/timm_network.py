"""timm's RepVGG in its training form, and the step that train_torch.py and train_ddp.py time."""

import resource
import sys
import time

import torch
from torch.nn import functional

CLASSES = 1000
MODES = ("eager", "channels_last", "channels_last_safe", "bf16", "bf16_channels_last",
         "bf16_channels_last_safe")


def load_timm():
    """The module timm. It imports torchvision, whose operators PyPI builds for CUDA's PyTorch
    only: beside a build for CPUs they are missed when declared, though nothing here calls them."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        load_timm.declarations = library  # which end with their owner
    import timm

    return timm


def create_network(name, mode, stem_stride=2):
    network = load_timm().create_model(name, num_classes=CLASSES).train()
    if stem_stride != 2:
        for convolution in (network.stem.conv_kxk.conv, network.stem.conv_1x1.conv):
            convolution.stride = (stem_stride, stem_stride)
    if is_channels_last(mode):
        network = network.to(memory_format=torch.channels_last)
    if mode.endswith("_safe"):
        spare_stem(network.stem.conv_1x1.conv)
    return network


def is_channels_last(mode):
    return "channels_last" in mode


def spare_stem(convolution):
    """Computes one convolution in the usual layout. Where CPUs have AVX2 alone, the weight
    gradient of 3 channels to 48 by 1x1 in channels-last writes past its buffer (PyTorch 2.13 to
    2.15 with oneDNN 3.12 to 3.13): the heap is corrupt and the process dies sooner or later."""
    convolution.to(memory_format=torch.contiguous_format)
    convolution.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    convolution.register_forward_hook(
        lambda _, inputs, output: output.contiguous(memory_format=torch.channels_last))


def create_samples(batch, resolution, mode, seed=0):
    """Made-up images that lie in memory, as `repvgg bench step` has them, and their labels."""
    random = torch.Generator().manual_seed(seed)
    images = 2 * torch.rand(batch, 3, resolution, resolution, generator=random) - 1
    if is_channels_last(mode):
        images = images.to(memory_format=torch.channels_last)
    return images, torch.randint(CLASSES, (batch,), generator=random)


def create_optimizer(network):
    return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)


def train_step(network, optimizer, images, labels, mode):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mode.startswith("bf16")):
        loss = functional.cross_entropy(network(images), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def time_steps(step, steps, limit, agree=lambda seconds: seconds):
    """Times `steps` calls after one to warm up: seconds of each by the clock and of the processor,
    and whether there were fewer, because no step begins when `limit` seconds are over (the
    warm-up is the only figure then, if need be). `agree` is called after each step with the
    seconds passed and returns those that all processes go by."""
    began = time.perf_counter()
    figures = []
    for index in range(steps + 1):
        start, start_of_work = time.perf_counter(), time.process_time()
        step()
        figures.append((time.perf_counter() - start, time.process_time() - start_of_work))
        if agree(time.perf_counter() - began) > limit and index < steps:
            break
    is_cut = len(figures) <= steps
    seconds, processor_seconds = zip(*(figures[1:] or figures))
    return list(seconds), list(processor_seconds), is_cut


def peak_resident_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def versions():
    return {"torch": torch.__version__, "timm": load_timm().__version__,
            "cpu_capability": torch.backends.cpu.get_cpu_capability()}

"""The rows of the comparison: what is measured on either side, and what is aimed at."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from runs import ROOT, Outcome

# Operations of a training step of RepVGG-A0 at 224 x 224 for one image if every convolution were
# computed directly: six for each multiply-accumulate of the training form (two forward, two for
# each gradient), less the data gradient of the stem, which nobody needs.
A0_GFLOP_PER_IMAGE = 9.1
QUICKSTART = ("--model", "configs/quickstart.yaml", "--resolution", "28")
SPEED, MEMORY, TIME = "images_per_second", "peak_resident_bytes", "seconds_per_step"
FIRST = "seconds_to_first_result"


@dataclass
class Side:
    """One side of a row: processes that can be run, of which the fastest counts."""

    name: str
    candidates: list[Callable[..., Outcome]]  # of the runner and the steps
    figure: str = SPEED
    steps: int = 5


@dataclass
class Row:
    name: str
    title: str
    ours: Side
    peer: Side | None
    goal: float
    at_most: bool = False
    rounds: int | None = None  # where repeating tells nothing new
    memory_gib: float = 0  # needed at once; without it the row is left out
    ratio: Callable[[float, float], float] = field(default=lambda ours, peer: ours / peer)

    def is_met(self, ratio):
        return ratio <= self.goal if self.at_most else ratio >= self.goal


def ours(model="RepVGG-A0", batch=32, resolution=224, ranks=1, threads=1, cores=1, norm="sync",
         figure=SPEED, steps=5, extra=(), name="ours"):
    """`repvgg bench step`, `batch` images a rank. `model` may be words that stand for --model and
    --resolution together."""
    if isinstance(model, str):
        model = ("--model", model, "--resolution", str(resolution))

    def run(runner, steps):
        return runner.ours(
            ["bench", "step", *model, "--batch", str(batch), "--threads", str(threads),
             "--batch-norm", norm, "--steps", str(steps), *extra],
            ranks=ranks, threads=threads, cores=cores)

    return Side(name, [run], figure, steps)


def torch(*modes, model="repvgg_a0", batch=32, figure=SPEED, steps=2, name):
    """train_torch.py on one core in the fastest of the modes."""

    def run_in(mode):
        return lambda runner, steps: runner.peer(
            "train_torch.py", ["--model", model, "--mode", mode, "--batch", str(batch),
                               "--steps", str(steps), "--limit", "40"], cores=1)

    return Side(name, [run_in(mode) for mode in modes], figure, steps)


def ddp(resolution=224, stem_stride=2, steps=1):
    """train_ddp.py: 8 processes, 256 images."""

    def run(runner, steps):
        return runner.peer(
            "train_ddp.py", ["--ranks", "8", "--batch", "256", "--resolution", str(resolution),
                             "--stem-stride", str(stem_stride), "--steps", str(steps),
                             "--timeout", str(runner.timeout - 10)])

    return Side("PyTorch DDP-gloo", [run], SPEED, steps)


def fma_peak(runner, steps):
    """The measured peak of the core's fused multiply-adds, in GFLOP/s."""
    outcome = runner.ours(["bench", "kernels"], cores=1)
    if outcome and "fma_peak_gflops" not in outcome.figures:
        return Outcome(None, "bench kernels tells no fma_peak_gflops")
    return outcome


def loader(decode, figure=SPEED):
    """`repvgg bench loader` on one core; a step is a thousand images."""

    def run(runner, steps):
        return runner.ours(
            ["bench", "loader", "--data", str(runner.jpegs()), "--decode", decode,
             "--count", str(1000 * steps)], cores=1)

    return Side(f"ours, {decode}", [run], figure, steps=2)


def torchvision(decoder, name):
    """load_torch.py on one core; a step is a thousand images."""

    def run(runner, steps):
        return runner.peer(
            "load_torch.py", [str(runner.jpegs()), "--decoder", decoder,
                              "--count", str(1000 * steps)], cores=1)

    return Side(name, [run], SPEED, steps=1)


def inference(model="repvgg_a0", batch=32, form="deploy", figure=SPEED, steps=20, name="ours"):
    """`repvgg bench inference` on one core, of a file that make_model.py wrote."""

    def run(runner, steps):
        suffix = "deploy" if form == "deploy" else "train"
        return runner.ours(
            ["bench", "inference", "--model", str(runner.model(model) / f"{model}-{suffix}.safetensors"),
             "--form", form, "--batch", str(batch), "--steps", str(steps)], cores=1)

    return Side(name, [run], figure, steps)


def runtime(*runtimes, model="repvgg_a0", batch=32, figure=SPEED, steps=10, name):
    """infer.py on one core; the fastest of the runtimes counts."""

    def run_in(runtime):
        return lambda runner, steps: runner.peer(
            "infer.py",
            ["--runtime", runtime, "--model", model, "--batch", str(batch), "--steps", str(steps),
             "--onnx", str(runner.model(model) / f"{model}-deploy.onnx")], cores=1)

    return Side(name, [run_in(each) for each in runtimes], figure, steps)


TORCH = ("torch", "torch_channels_last", "torch_traced")


def inference_rows():
    a0 = "inference, A0 fused @224², one core, Float32, "
    alone = {"batch": 1, "steps": 100}
    everyone = ("openvino", "onnxruntime", *TORCH)
    return [
        Row("inference-openvino", f"{a0}batch 32", inference(),
            runtime("openvino", name="OpenVINO"), 1.5),
        Row("inference-onnxruntime", f"{a0}batch 32", inference(),
            runtime("onnxruntime", name="ONNX Runtime"), 1.6),
        Row("inference-torch", f"{a0}batch 32", inference(), runtime(*TORCH, name="PyTorch"), 2.3),
        Row("inference-alone", f"{a0}batch 1", inference(**alone),
            runtime("openvino", **alone, name="OpenVINO"), 1.3),
        Row("inference-b1g4", "inference, B1g4 fused, batch 8, one core",
            inference("repvgg_b1g4", 8, steps=10),
            runtime(*everyone, model="repvgg_b1g4", batch=8, steps=5, name="the best of three"), 1.5),
        Row("inference-load", f"{a0}batch 1: from file to first result",
            inference(batch=1, figure=FIRST, steps=1),
            runtime("onnxruntime", batch=1, figure=FIRST, steps=1, name="ONNX Runtime"), 0.5,
            at_most=True),
        Row("inference-memory", f"{a0}batch 1: peak resident memory",
            inference(batch=1, figure=MEMORY, steps=5),
            runtime("onnxruntime", batch=1, figure=MEMORY, steps=5, name="ONNX Runtime"), 1.0,
            at_most=True),
        Row("inference-fused", "inference, A0 @224², batch 32, fused over training form", inference(),
            inference(form="training", steps=5, name="ours, training form"), 1.9),
    ]


def eight_ranks(**settings):
    return ours(ranks=8, cores=None, **({"steps": 3} | settings))


def all_rows():
    a0 = "A0, batch 32, one core"
    jpegs = "500x375 JPEGs of 41 KB to augmented 224² tensors, one core, "
    pillow = "torchvision with Pillow"
    small = "A0 @32², stem stride {}, 8 ranks on 2 cores"
    return [
        Row("a0", f"{a0}, Float32", ours(), torch("eager", name="PyTorch eager"), 3.0),
        # The layout corrupts the heap on some CPUs; "safe" leaves out the layer that does it.
        Row("a0-channels-last", f"{a0}, against channels-last", ours(),
            torch("channels_last", "channels_last_safe", name="PyTorch channels-last"), 1.9),
        Row("a0-bf16", f"{a0}, Float32 against bf16", ours(),
            torch("bf16", "bf16_channels_last", "bf16_channels_last_safe",
                  name="PyTorch's best bf16"), 1.1),
        Row("ddp", "A0, global batch 256, 8 ranks on 2 cores, synchronised BatchNorm",
            eight_ranks(), ddp(), 3.0, memory_gib=15),
        Row("b1g4", "B1g4, batch 8, one core", ours("RepVGG-B1g4", 8),
            torch("eager", model="repvgg_b1g4", batch=8, name="PyTorch eager"), 3.5),
        Row("b1", "B1, batch 8, one core", ours("RepVGG-B1", 8),
            torch("eager", model="repvgg_b1", batch=8, name="PyTorch eager"), 3.0),
        Row("peak", f"{a0}: step as direct convolutions over the core's FMA peak", ours(),
            Side("FMA peak", [fma_peak], "fma_peak_gflops"), 1.10,
            ratio=lambda speed, peak: speed * A0_GFLOP_PER_IMAGE / peak),
        Row("small32-stride2", small.format(2), eight_ranks(resolution=32, steps=10),
            ddp(32, 2, steps=5), 3.0, memory_gib=5),
        Row("small32-stride1", small.format(1),
            eight_ranks(resolution=32, steps=10, extra=("--stem-stride", "1")),
            ddp(32, 1, steps=5), 3.0, memory_gib=5),
        Row("ranks", "A0 @224², 8 ranks over 2 ranks, 2 cores", eight_ranks(name="8 ranks x 32"),
            ours(batch=128, ranks=2, cores=None, steps=3, name="2 ranks x 128"), 0.92),
        Row("ranks-quickstart", "the quickstart network, 8 ranks over 2 ranks, 2 cores",
            eight_ranks(model=QUICKSTART, steps=30, name="8 ranks x 32"),
            ours(QUICKSTART, 128, ranks=2, cores=None, steps=30, name="2 ranks x 128"), 0.75),
        Row("threads", "A0 @224², 1 rank x 2 threads over 2 ranks x 1 thread",
            ours(batch=64, threads=2, cores=None, name="1 rank x 64, 2 threads"),
            ours(batch=32, ranks=2, cores=None, name="2 ranks x 32"), 0.97),
        Row("memory", f"peak resident memory, {a0}", ours(figure=MEMORY, steps=2),
            torch("eager", figure=MEMORY, name="PyTorch eager"), 0.6, at_most=True, rounds=1),
        Row("sync-local", "step time, synchronised over local BatchNorm, A0 @224², 8 ranks",
            eight_ranks(figure=TIME, name="synchronised"),
            eight_ranks(figure=TIME, norm="local", name="local"), 1.03, at_most=True),
        Row("loader", f"{jpegs}exact", loader("exact"), torchvision("pillow", pillow), 1.6),
        Row("loader-native", f"{jpegs}exact", loader("exact"),
            torchvision("native", "torchvision v2 with its own decoder"), 1.05),
        Row("loader-fast", f"{jpegs}fast", loader("fast"), torchvision("pillow", pillow), 2.5),
        *inference_rows(),
    ]

"""Times inference of a fused RepVGG on one thread; prints one JSON object.

Usage: infer.py --runtime RUNTIME --model repvgg_a0 [--onnx FILE] [--batch N] [--resolution R]
                [--steps N] [--limit SECONDS]

PyTorch runs timm's network, fused by timm; ONNX Runtime and OpenVINO run FILE, which
`repvgg fuse --onnx` wrote. All compute in Float32.
"""

import argparse
import json
import statistics
import time

import numpy

RUNTIMES = ("torch", "torch_channels_last", "torch_traced", "onnxruntime", "openvino")


def load_torch(options):
    import torch

    import timm_network

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch.manual_seed(1)
    timm_network.load_timm()
    from timm.utils.model import reparameterize_model

    def load():
        network = timm_network.load_timm().create_model(options.model, num_classes=1000).eval()
        network = reparameterize_model(network)
        layout = torch.contiguous_format
        if options.runtime == "torch_channels_last":
            layout = torch.channels_last
        network = network.to(memory_format=layout)
        if options.runtime == "torch_traced":
            network = torch.jit.freeze(torch.jit.trace(
                network, torch.zeros(options.batch, 3, options.resolution, options.resolution)))

        def run(images):
            with torch.inference_mode():
                return network(torch.from_numpy(images).to(memory_format=layout))

        return run

    return load, {"torch": torch.__version__}


def load_onnxruntime(options):
    import onnxruntime

    def load():
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        settings.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            options.onnx, settings, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda images: session.run(None, {name: images})

    return load, {"onnxruntime": onnxruntime.__version__}


def load_openvino(options):
    import openvino

    def load():
        core = openvino.Core()
        model = core.read_model(options.onnx)
        # Sizes that are known beforehand are what it optimises for.
        model.reshape([options.batch, 3, options.resolution, options.resolution])
        compiled = core.compile_model(model, "CPU", {
            "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"})
        request = compiled.create_infer_request()
        return lambda images: request.infer([images], share_inputs=True)

    return load, {"openvino": openvino.__version__}


def resident_bytes(field):
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runtime", choices=RUNTIMES, required=True)
    parser.add_argument("--model", default="repvgg_a0")
    parser.add_argument("--onnx")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--resolution", type=int, default=224)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--limit", type=float, default=60,
                        help="seconds after which no batch begins")
    options = parser.parse_args()

    family = options.runtime.split("_")[0]
    load, versions = {"torch": load_torch, "onnxruntime": load_onnxruntime,
                      "openvino": load_openvino}[family](options)
    random = numpy.random.default_rng(1)
    images = random.uniform(
        -1, 1, (options.batch, 3, options.resolution, options.resolution)).astype(numpy.float32)
    before = resident_bytes("VmRSS")
    start = time.perf_counter()
    run = load()
    run(images)
    first = time.perf_counter() - start
    seconds, processor_seconds = [], []
    for _ in range(options.steps):
        start, start_of_work = time.perf_counter(), time.process_time()
        run(images)
        seconds.append(time.perf_counter() - start)
        processor_seconds.append(time.process_time() - start_of_work)
        if sum(seconds) > options.limit:
            break
    median = statistics.median(seconds)
    print(json.dumps({
        "benchmark": "inference", "model": options.model, "mode": options.runtime,
        "batch": options.batch, "resolution": options.resolution, "threads": 1,
        "images_per_second": options.batch / median, "seconds_per_batch": median,
        "seconds_to_first_result": first, "seconds": seconds,
        "processor_seconds": processor_seconds,
        "peak_resident_bytes": resident_bytes("VmHWM"),
        # Before the network is loaded: the interpreter, libraries and images.
        "loaded_resident_bytes": before,
    } | versions))


if __name__ == "__main__":
    main()

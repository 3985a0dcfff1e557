"""Times PyTorch's training step of a RepVGG on one thread; prints one JSON object.

Usage: train_torch.py [--model repvgg_a0] [--mode MODE] [--batch N] [--resolution R]
                      [--stem-stride 1|2] [--steps N] [--limit SECONDS]
"""

import argparse
import json
import statistics

import torch

import timm_network


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="repvgg_a0")
    parser.add_argument("--mode", choices=timm_network.MODES, default="eager")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--resolution", type=int, default=224)
    parser.add_argument("--stem-stride", type=int, choices=(1, 2), default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--limit", type=float, default=120,
                        help="seconds after which no step begins")
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch.manual_seed(1)
    network = timm_network.create_network(options.model, options.mode, options.stem_stride)
    optimizer = timm_network.create_optimizer(network)
    images, labels = timm_network.create_samples(options.batch, options.resolution, options.mode)
    loaded = timm_network.peak_resident_bytes()
    seconds, processor_seconds, is_cut = timm_network.time_steps(
        lambda: timm_network.train_step(network, optimizer, images, labels, options.mode),
        options.steps, options.limit)
    median = statistics.median(seconds)
    print(json.dumps({
        "benchmark": "step", "model": options.model, "mode": options.mode,
        "batch": options.batch, "resolution": options.resolution,
        "stem_stride": options.stem_stride, "threads": 1,
        "images_per_second": options.batch / median, "seconds_per_step": median,
        "seconds": seconds, "processor_seconds": processor_seconds, "cut_short": is_cut,
        "peak_resident_bytes": timm_network.peak_resident_bytes(),
        # Before the first step: libraries, weights and images.
        "loaded_resident_bytes": loaded,
    } | timm_network.versions()))


if __name__ == "__main__":
    main()

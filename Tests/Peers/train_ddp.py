"""Times PyTorch's DistributedDataParallel over gloo, a RepVGG on processes of one thread, each with
BatchNorm statistics of its own; prints one JSON object.

Usage: train_ddp.py [--ranks N] [--batch N, of all ranks] [--model repvgg_a0] [--mode MODE]
                    [--resolution R] [--stem-stride 1|2] [--steps N] [--limit SECONDS]
                    [--timeout SECONDS]

Exit code 1 when a process failed or the time is over; all others are ended then.
"""

import argparse
import ctypes
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

END_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--model", default="repvgg_a0")
    parser.add_argument("--mode", default="eager")
    parser.add_argument("--resolution", type=int, default=224)
    parser.add_argument("--stem-stride", type=int, choices=(1, 2), default=2)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--limit", type=float, default=240,
                        help="seconds after which no step begins")
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--rank", type=int, help="of a process, which the first one starts")
    parser.add_argument("--meeting-place", help="file through which the processes find each other")
    options = parser.parse_args()
    if options.batch % options.ranks:
        parser.error(f"--batch {options.batch} cannot be shared equally by {options.ranks} ranks")
    return options


def run_rank(options):
    ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)

    import torch
    import torch.distributed as distributed

    import timm_network

    if options.mode not in timm_network.MODES:
        sys.exit(f"train_ddp.py: --mode {options.mode} is none of {timm_network.MODES}")
    warnings.simplefilter("ignore", FutureWarning)  # of options that newer versions rename
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch.manual_seed(1)
    distributed.init_process_group(
        "gloo", init_method=Path(options.meeting_place).as_uri(), rank=options.rank,
        world_size=options.ranks)
    plain = timm_network.create_network(options.model, options.mode, options.stem_stride)
    # As fast as it goes: gradients lie in the buckets, no statistics are sent to each step.
    network = torch.nn.parallel.DistributedDataParallel(
        plain, broadcast_buffers=False, gradient_as_bucket_view=True)
    optimizer = timm_network.create_optimizer(network)
    batch = options.batch // options.ranks
    images, labels = timm_network.create_samples(
        batch, options.resolution, options.mode, seed=options.rank)

    def agree(seconds):
        """Rank 0's clock; every rank then begins its next step at the same time."""
        word = torch.tensor([seconds], dtype=torch.float64)
        distributed.broadcast(word, 0)
        distributed.barrier()
        return word.item()

    agree(0)
    seconds, _, is_cut = timm_network.time_steps(
        lambda: timm_network.train_step(network, optimizer, images, labels, options.mode),
        options.steps, options.limit, agree)
    peak = torch.tensor([timm_network.peak_resident_bytes()])
    distributed.all_reduce(peak, distributed.ReduceOp.MAX)
    if options.rank == 0:
        median = statistics.median(seconds)
        print(json.dumps({
            "benchmark": "ddp", "model": options.model, "mode": options.mode,
            "ranks": options.ranks, "batch": batch, "global_batch": options.batch,
            "resolution": options.resolution, "stem_stride": options.stem_stride, "threads": 1,
            "images_per_second": options.batch / median, "seconds_per_step": median,
            "seconds": seconds, "cut_short": is_cut, "peak_resident_bytes": peak.item(),
        } | timm_network.versions()), flush=True)
    distributed.barrier()
    distributed.destroy_process_group()


def start(options):
    """Starts the processes, waits for all of them, and leaves none behind."""
    deadline = time.monotonic() + options.timeout
    # gloo otherwise looks the host's name up, which containers often cannot.
    environment = os.environ | {"GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo")}
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, *sys.argv, "--meeting-place", f"{directory}/meeting-place"]
        processes = [
            subprocess.Popen([*command, "--rank", str(rank)], env=environment)
            for rank in range(options.ranks)]
        try:
            while any(process.poll() is None for process in processes):
                failed = [process for process in processes if process.poll()]
                if failed:
                    sys.exit(f"train_ddp.py: rank {processes.index(failed[0])} ended with code "
                             f"{failed[0].returncode}")
                if time.monotonic() > deadline:
                    sys.exit(f"train_ddp.py: not done after {options.timeout:.0f} s")
                time.sleep(0.2)
            return max(abs(process.returncode) for process in processes)
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.wait()


def main():
    options = parse_options()
    if options.rank is not None:
        run_rank(options)
        return 0
    # A terminated first process still ends the others.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return start(options)


if __name__ == "__main__":
    sys.exit(main())

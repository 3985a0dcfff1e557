"""The comparison as a table, with the machine that it was made on."""

import datetime
import os
import platform
import re
import statistics
import subprocess
from pathlib import Path

import runs
from rows import FIRST, MEMORY, SPEED, TIME

UNITS = {SPEED: ("img/s", 1), MEMORY: ("MiB", 1 / 2**20), TIME: ("s", 1), FIRST: ("s", 1),
         "fma_peak_gflops": ("GFLOP/s", 1)}


def number(value):
    """Three digits that count."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values, text=number):
    """The median, and least and most where there are several."""
    middle = text(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({text(min(values))} to {text(max(values))})"


def cell(side, values, notes):
    if side is None:
        return "-"
    unit, scale = UNITS[side.figure]
    measured = f"{spread([value * scale for value in values])} {unit}" if values else "-"
    return "; ".join([f"{side.name}: {measured}", *notes]).replace("|", "/")


def lines_of(result):
    row, ratios = result.row, result.ratios
    verdict = "-"
    if ratios:
        verdict = "met" if row.is_met(statistics.median(ratios)) else "not met"
    goal = f"{'≤' if row.at_most else '≥'} {row.goal:.2f}"
    ratio = spread(ratios, "{:.2f}".format) if ratios else "-"
    return (f"| `{row.name}` | {row.title} | {cell(row.ours, result.ours, result.ours_notes)} "
            f"| {cell(row.peer, result.peer, result.peer_notes)} | {ratio} | {goal} | {verdict} |")


def table(results):
    head = ["| row | what | ours | peer | ratio | goal | |", "|---|---|---|---|---|---|---|"]
    return "\n".join(head + [lines_of(result) for result in results])


def first_line(command):
    try:
        answer = subprocess.run(command, cwd=runs.ROOT, capture_output=True, text=True, timeout=60)
        return answer.stdout.splitlines()[0].strip()
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return "unknown"


def processor():
    text = Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = set(re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)[1].split()) \
        if "flags" in text else set()
    extensions = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name[1] if name else platform.machine()} ({', '.join(extensions) or 'no AVX2'})"


def machine(runner):
    """What the figures depend on; no name of the machine and no place on it."""
    import timm_network

    peer = timm_network.versions()
    commit = first_line(["git", "describe", "--always", "--dirty"])
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": f"{len(runner.cores)} used of {os.cpu_count()}",
        "memory": f"{memory_gib('MemTotal'):.0f} GiB",
        "load when begun": f"{os.getloadavg()[0]:.2f}",
        "kernel": f"Linux {platform.release()}",
        "Open MPI": first_line(["mpirun", "--version"]).split()[-1],
        "repvgg": first_line([runner.program, "--version"]).split()[-1] + f", commit {commit}",
        "PyTorch": f"{peer['torch']} ({peer['cpu_capability']})",
        "timm": peer["timm"],
        "Python": platform.python_version(),
    }


def memory_gib(entry):
    text = Path("/proc/meminfo").read_text()
    return int(re.search(rf"^{entry}:\s*(\d+)", text, re.MULTILINE)[1]) / 2**20


def document(facts, results, rounds):
    rounds = f"{rounds} round{'s' * (rounds > 1)}"
    lines = [
        f"# Beside PyTorch, {facts['date']}", "",
        f"Made by `launch/peers`: both sides in turn, {rounds}, on the same cores, with the",
        "variables cleared that choose kernels and threads. A figure is the median of the rounds,",
        "a ratio the median of the rounds' ratios, least and most in brackets. PyTorch trains",
        "timm's RepVGG in its training form: SGD, cross-entropy, made-up images in memory, one",
        "thread a process.", "",
        table(results), "",
        "| machine | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts.items()]
    return "\n".join(lines) + "\n"

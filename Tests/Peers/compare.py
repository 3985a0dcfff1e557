"""Trains RepVGG with our program and with PyTorch in turn, and prints how they compare.

Started by launch/peers, whose --help tells the options.
"""

import argparse
import fnmatch
import json
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import report
import runs
from rows import FIRST, MEMORY, TIME, all_rows

# Share of a core below which a process of one thread was kept from working.
BUSY = 0.95


@dataclass
class Result:
    """The figures of a row, one of each round in which there was one."""

    row: object
    ours: list = field(default_factory=list)
    peer: list = field(default_factory=list)
    ratios: list = field(default_factory=list)
    ours_notes: list = field(default_factory=list)
    peer_notes: list = field(default_factory=list)


class Contestant:
    """A side in the rounds of its row: the first round finds the best of its candidates."""

    def __init__(self, side, runner, quick):
        self.side = side
        self.runner = runner
        self.steps = 1 if quick else side.steps
        self.candidates = side.candidates
        self.failures = Counter()
        self.is_slow = False
        self.last = {}

    def measure(self):
        """The figure of a round, or None."""
        measured = []
        for candidate in self.candidates:
            outcome = candidate(self.runner, self.steps)
            if outcome:
                measured.append((outcome.figures, candidate))
            else:
                self.failures[outcome.failure] += 1
        if not measured:
            return None
        less_is_better = self.side.figure in (FIRST, MEMORY, TIME)
        figures, candidate = sorted(
            measured, key=lambda pair: pair[0][self.side.figure], reverse=not less_is_better)[0]
        self.candidates = [candidate]
        self.is_slow = figures.get("cut_short", False) and len(figures["seconds"]) == 1
        self.last = figures
        return figures[self.side.figure]

    def notes(self):
        notes = []
        if len(self.side.candidates) > 1 and len(self.candidates) == 1:
            notes.append(f"mode {self.last['mode']}")
        if self.is_slow:
            notes.append("one step, the first")
        if self.side.figure == MEMORY and "loaded_resident_bytes" in self.last:
            loaded = self.last["loaded_resident_bytes"] / 2**20
            notes.append(f"{loaded:.0f} MiB of it before the first step")
        if "processor_seconds" in self.last:
            share = sum(self.last["processor_seconds"]) / sum(self.last["seconds"])
            if share < BUSY:
                notes.append(f"had {share:.0%} of its core: other work went on")
        return notes + [
            text if count == 1 else f"{text} ({count} times)"
            for text, count in self.failures.items()]


def measure(row, runner, rounds, quick, say):
    """All rounds of a row: ours, the peer, ours, the peer, and so on."""
    result = Result(row)
    available = report.memory_gib("MemAvailable")
    if available < row.memory_gib:
        result.peer_notes = [f"left out: needs {row.memory_gib:.0f} GiB, {available:.0f} are free"]
        return result
    ours = Contestant(row.ours, runner, quick)
    peer = Contestant(row.peer, runner, quick)
    for number in range(min(rounds, row.rounds or rounds)):
        first, second = ours.measure(), peer.measure()
        if first is not None:
            result.ours.append(first)
        if second is not None:
            result.peer.append(second)
        if first is not None and second is not None:
            result.ratios.append(row.ratio(first, second))
        say(f"{row.name}, round {number + 1}: ours {shown(first)}, peer {shown(second)}")
        # What fails fails again, and minutes a step need no second look.
        if first is None or second is None or peer.is_slow:
            break
    result.ours_notes, result.peer_notes = ours.notes(), peer.notes()
    return result


def shown(value):
    return "-" if value is None else report.number(value)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=str(runs.ROOT / ".build/release/repvgg"))
    parser.add_argument("--rows", default="*")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cores")
    parser.add_argument("--timeout", type=int, default=600)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    return options


def usage_error(text):
    print(f"compare.py: {text}", file=sys.stderr)
    sys.exit(64)


def chosen_rows(patterns):
    rows = all_rows()
    for pattern in patterns.split(","):
        if not any(fnmatch.fnmatch(row.name, pattern) for row in rows):
            names = ", ".join(row.name for row in rows)
            usage_error(f"--rows: no row is called {pattern}; there are {names}")
    return [row for row in rows
            if any(fnmatch.fnmatch(row.name, pattern) for pattern in patterns.split(","))]


def chosen_cores(text):
    """Two of those that we may use, which is what the goals are for."""
    allowed = sorted(os.sched_getaffinity(0))
    if text is None:
        return allowed[:2]
    cores = [int(core) for core in text.split(",")]
    if not set(cores) <= set(allowed):
        usage_error(f"--cores {text}: only {','.join(map(str, allowed))} may be used")
    return cores


def main():
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows = chosen_rows(options.rows)
    runner = runs.Runner(
        os.path.abspath(options.program), chosen_cores(options.cores), options.timeout)
    facts = report.machine(runner)
    began = time.monotonic()

    def say(text):
        print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

    results = []
    for row in rows:
        results.append(measure(row, runner, options.rounds, options.quick, say))
    facts["time"] = f"{(time.monotonic() - began) / 60:.0f} minutes"
    text = report.document(facts, results, options.rounds)
    print(text, end="")
    if options.output:
        options.output.write_text(text)
    if options.json:
        options.json.write_text(json.dumps({
            "machine": facts,
            "rows": {result.row.name: {
                "ours": result.ours, "peer": result.peer, "ratios": result.ratios,
                "goal": result.row.goal, "notes": result.ours_notes + result.peer_notes,
            } for result in results},
            "runs": runner.log}, indent=1) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Draws average-of-weights.svg from the metrics of two runs.

Usage: curves.py PLAIN/metrics.jsonl AVERAGED/metrics.jsonl > average-of-weights.svg

Both runs train the same weights; the second evaluates their average. Top-1 on the test images after
every epoch. Colours follow the reader's scheme, light or dark.
"""

import json
import sys

LEFT, RIGHT, TOP, BOTTOM = 70, 600, 58, 300

STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.small { font-size: 12px; fill: #59636e; }
.paper { fill: #ffffff; }
.grid { stroke: #d1d9e0; }
.plain { stroke: #bc4c00; fill: none; stroke-width: 2; }
.averaged { stroke: #0969da; fill: none; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .small { fill: #9198a1; }
  .paper { fill: #0d1117; }
  .grid { stroke: #2f353d; }
  .plain { stroke: #f0883e; }
  .averaged { stroke: #58a6ff; }
}
</style>"""


def accuracies(path):
    """Top-1 in percent by step, of the training form."""
    found = {}
    with open(path) as file:
        for line in file:
            event = json.loads(line)
            if event["event"] == "evaluation" and event["form"] == "training":
                found[event["step"]] = 100 * event["top1"]
    return [found[step] for step in sorted(found)]


def main():
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__.strip())
    runs = [("plain", "the weights", accuracies(sys.argv[1])),
            ("averaged", "their average", accuracies(sys.argv[2]))]
    values = [value for _, _, run in runs for value in run]
    low, high = 5 * (min(values) // 5), 5 * (max(values) // 5 + 1)
    epochs = max(len(run) for _, _, run in runs)

    def x(epoch):
        return LEFT + (RIGHT - LEFT) * (epoch - 1) / max(1, epochs - 1)

    def y(value):
        return BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low)

    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 350" role="img" '
        'aria-label="Top-1 accuracy by epoch, of the weights and of their average">',
        STYLE, '<rect class="paper" width="720" height="350"/>',
        f'<text class="title" x="{LEFT}" y="24">Top-1 on the test images after each epoch</text>',
        f'<text class="small" x="{LEFT}" y="42">Fashion-MNIST, the commands below; both are one '
        'run, evaluated in two ways</text>']
    for value in range(int(low), int(high) + 1, 5):
        lines.append(f'<path class="grid" d="M{LEFT} {y(value):.1f}H{RIGHT}"/>'
                     f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value} %</text>')
    for epoch in range(1, epochs + 1):
        lines.append(f'<text x="{x(epoch):.1f}" y="{BOTTOM + 20}" text-anchor="middle">{epoch}</text>')
    lines.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 40}" text-anchor="middle">epoch</text>')
    ends = []
    for style, name, run in runs:
        path = "L".join(f"{x(epoch):.1f} {y(value):.1f}" for epoch, value in enumerate(run, 1))
        lines.append(f'<path class="{style}" d="M{path}"/>')
        ends.append((y(run[-1]), name, style))
    ends.sort()
    if len(ends) == 2 and ends[1][0] - ends[0][0] < 16:
        middle = (ends[0][0] + ends[1][0]) / 2
        ends = [(middle - 8, *ends[0][1:]), (middle + 8, *ends[1][1:])]
    for place, name, style in ends:
        lines.append(f'<path class="{style}" d="M{RIGHT + 8} {place:.1f}h14"/>'
                     f'<text x="{RIGHT + 27}" y="{place + 4:.1f}">{name}</text>')
    print("\n".join(lines + ["</svg>"]))


main()

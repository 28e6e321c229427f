"""How the time of a query grows: with a network's width and depth, with the box and with the number of inputs.

    python -m benchmarks.verify.growth [--figure docs/results/verify_growth.png] [--out docs/results/verify.json]

A query asks whether an output is 2 % of the range seen below the least that gradient steps reach; seven random ReLU
networks are asked for each point, on one thread, with 60 s each. One number varies at a time; the others are 4 inputs,
2 layers of 64, and a box of +-0.2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.common import keep_part, options
from benchmarks.verify.networks import perceptron
from robolearn import seeds
from robolearn.verify.network import Network
from robolearn.verify.property import Box, Case, Halfspaces, Property
from robolearn.verify.search.attack import Attack
from robolearn.verify.search.decide import decide

LIMIT = 60.0  # s
USUAL = {"inputs": 4, "width": 64, "depth": 2, "radius": 0.2}
VARIED = {
    "width": (16, 32, 64, 128, 256),
    "depth": (1, 2, 3, 4),
    "radius": (0.05, 0.1, 0.2, 0.4, 0.8),
    "inputs": (2, 4, 8, 16, 32),
}


def least_output(net: nn.Module, low: torch.Tensor, high: torch.Tensor) -> tuple[float, float]:
    """What gradient steps reach, and the range of outputs at random inputs."""
    x = low + torch.rand(256, len(low), generator=torch.Generator().manual_seed(seeds.FIXED)) * (high - low)
    spread = float(net(x).max() - net(x).min())
    for step in range(100):
        x.requires_grad_(True)
        (gradient,) = torch.autograd.grad(net(x).sum(), x)
        x = (x.detach() - 0.2 * 0.95**step * (high - low) * gradient.sign()).clamp(low, high)
    return float(net(x).min()), spread


def query(inputs: int, width: int, depth: int, radius: float, seed: int, seconds: float) -> dict[str, Any]:
    """One network: the answer, the seconds and the boxes."""
    net = perceptron((inputs, *[width] * depth, 1), nn.ReLU, seed)
    low, high = torch.full((inputs,), -radius), torch.full((inputs,), radius)
    least, spread = least_output(net, low, high)
    unsafe = Halfspaces(torch.ones(1, 1), torch.tensor([-(least - 0.02 * spread)]))
    asked = Property((Case(Box(low, high), (unsafe,)),))
    verdict = decide(Network(lambda x: net(x[None])[0], inputs, 1), asked, seconds=seconds, attack=Attack(0, 0))
    return {"said": verdict.answer, "seconds": verdict.seconds, "boxes": verdict.boxes}


def draw(path: Path, points: dict[str, list[dict[str, Any]]]) -> None:
    """A panel for each number that varies, with all queries and their median."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(points), figsize=(12, 3), sharey=True, layout="constrained")
    for axis, (name, rows) in zip(axes, points.items(), strict=True):
        for said, color in (("unsat", "#2f6f4f"), ("sat", "#c0582f"), ("unknown", "#8a8f98")):
            chosen = [row for row in rows if row["said"] == said]
            if not chosen:
                continue
            axis.plot(
                [row[name] for row in chosen], [row["seconds"] for row in chosen], "o", ms=4, color=color, label=said
            )
        values = sorted({row[name] for row in rows})
        axis.plot(values, [np.median([row["seconds"] for row in rows if row[name] == v]) for v in values], color="#333")
        axis.axhline(LIMIT, color="#c8ccd2", lw=1, ls="--", zorder=0)
        axis.set(xscale="log", yscale="log", xlabel=name)
        axis.set_xticks(values, [f"{value:g}" for value in values], minor=False)
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("seconds per query")
    axes[0].annotate("limit", (0.03, LIMIT), xycoords=("axes fraction", "data"), va="bottom", color="#8a8f98")
    axes[-1].legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Ask, draw and keep."""
    parser = options(__doc__)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    points: dict[str, list[dict[str, Any]]] = {}
    for name, values in VARIED.items():
        points[name] = []
        for value in values[:2] if args.dry_run else values:
            for seed in range(1 if args.dry_run else 7):
                row = query(**{**USUAL, name: value}, seed=seed, seconds=0.2 if args.dry_run else LIMIT)
                points[name].append({name: value, **row})
            rows = [row for row in points[name] if row[name] == value]
            median = np.median([row["seconds"] for row in rows])
            print(f"{name} {value}: median {median:.3f} s, {[row['said'] for row in rows]}", flush=True)
    keep_part(args.out, "growth", {"points": points})
    if args.figure:
        draw(args.figure, points)


if __name__ == "__main__":
    main()

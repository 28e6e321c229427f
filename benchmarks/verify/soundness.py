"""Whether bounds hold: random and trained networks over boxes, beside samples, gradient steps and corners.

    python -m benchmarks.verify.soundness [--out docs/results/verify.json]

Of 200 random networks and 20 trained ones the bounds by intervals, the linear ones and those with chosen slopes are
compared with 1e5 uniform samples, 256 descents and ascents of 60 steps, and up to 1e4 corners of the box; and what
branch and bound says is compared with them. Networks with a planted counterexample are asked whether they have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from benchmarks.common import keep_part, options
from benchmarks.verify.networks import ACTIVATIONS, Conditioned, Planted, perceptron, trained
from robolearn.verify.crown import intervals, lower_bound, relax
from robolearn.verify.graph import Graph
from robolearn.verify.lowering import lower
from robolearn.verify.network import Network
from robolearn.verify.property import Box, Case, Halfspaces, Property
from robolearn.verify.search.attack import Attack
from robolearn.verify.search.decide import decide
from robolearn.verify.slopes import optimized_bound

SAMPLES, DESCENTS, STEPS, CORNERS = 10**5, 256, 60, 10**4
RADII = (0.01, 0.05, 0.2, 1.0)
SIZES = ((2, 16, 16, 2), (4, 64, 64, 2), (8, 32, 32, 32, 3), (14, 64, 2), (30, 48, 48, 2))


@dataclass(frozen=True)
class Checked:
    """One network over one box.

    Attributes:
        network: What it is.
        radius: Of the box.
        violations: Values of samples, descents and corners outside any of the bounds.
        widths: Method -> mean distance between its bounds of an output; and that of the values seen.
        tighter: Whether linear bounds are strictly tighter than intervals in the mean, and nowhere wider.
        decided: Branch and bound's answer to whether an output below all that were seen, by 0.02 of their range, is
            reached; either may be right.
    """

    network: str
    radius: float
    violations: int
    widths: dict[str, float]
    tighter: bool
    decided: str


def networks(count: int, steps: int) -> Iterator[tuple[str, nn.Module, int]]:
    """Name, network and number of inputs."""
    for seed in range(count):
        activation, sizes = ACTIVATIONS[seed % len(ACTIVATIONS)], SIZES[seed % len(SIZES)]
        if seed % 10 == 9:
            yield f"conditioned {seed}", Conditioned(6, 24, 10 * seed).requires_grad_(False), 6
        else:
            yield f"{activation.__name__} {sizes} {seed}", perceptron(sizes, activation, seed), sizes[0]
    for seed in range(count // 10):
        activation = ACTIVATIONS[seed % len(ACTIVATIONS)]
        yield f"trained {activation.__name__} {seed}", trained(4, activation, seed, steps), 4


def extremes(graph: Graph, low: Tensor, high: Tensor, samples: int, steps: int, seed: int) -> Tensor:
    """Outputs of uniform samples, of corners, and on the ways down and up, [s, m]."""
    generator = torch.Generator().manual_seed(seed)
    x = low + torch.rand(samples, len(low), generator=generator, dtype=torch.float64) * (high - low)
    corners = torch.rand(min(CORNERS, samples), len(low), generator=generator) < 0.5
    values = [graph(x), graph(torch.where(corners, low, high))]
    for output in range(graph.output_size):
        for sign in (1.0, -1.0):
            y = x[:DESCENTS].clone()
            for step in range(steps):
                y.requires_grad_(True)
                (gradient,) = torch.autograd.grad(graph(y)[:, output].sum(), y)
                y = (y.detach() - sign * 0.2 * 0.93**step * (high - low) * gradient.sign()).clamp(low, high)
            values.append(graph(y.detach()))
    return torch.cat(values)


def bounds(graph: Graph, low: Tensor, high: Tensor) -> dict[str, Tensor]:
    """Bounds from below on the outputs and their negatives, [2 m], by each method."""
    relaxed, eye = relax(graph, low[None], high[None]), torch.eye(graph.output_size, dtype=torch.float64)
    both = torch.cat([eye, -eye])
    least, most = intervals(graph, low[None], high[None])[-1]
    return {
        "intervals": torch.cat([least, -most], 1)[0],
        "linear": lower_bound(relaxed, len(graph.nodes) - 1, both).least[0],
        "chosen": optimized_bound(relaxed, both)[0].least[0],
    }


def width(bound: Tensor) -> float:
    """Mean distance between the bounds of an output."""
    return float(-bound.view(2, -1).sum(0).mean())


def check(name: str, net: nn.Module, size: int, radius: float, seed: int, dry: bool) -> Checked:
    """Compare the bounds of one network over one box with what it does there."""
    graph = lower(net, torch.zeros(1, size), "exact")
    center = torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    low, high = center - radius, center + radius
    values = extremes(graph, low, high, 100 if dry else SAMPLES, 2 if dry else STEPS, seed)
    reached = torch.cat([values.amin(0), -values.amax(0)])
    by_method = bounds(graph, low, high)
    violations = sum(int((bound > torch.cat([values, -values], 1)).sum()) for bound in by_method.values())
    limit = float(reached[0]) - 0.02 * float(values[:, 0].max() - reached[0]) - 1e-9
    unsafe = Halfspaces(torch.eye(1, graph.output_size), torch.tensor([-limit]))
    network = Network(lambda x: net(x[None])[0], size, graph.output_size)
    asked = Property((Case(Box(low, high), (unsafe,)),))
    verdict = decide(network, asked, seconds=1.0, attack=Attack(0, 0))
    return Checked(
        name,
        radius,
        violations,
        {**{method: width(bound) for method, bound in by_method.items()}, "seen": width(reached)},
        bool((by_method["linear"] >= by_method["intervals"] - 1e-12).all())
        and width(by_method["linear"]) < width(by_method["intervals"]),
        verdict.answer,
    )


def ask_planted(size: int, seed: int, seconds: float) -> str:
    """What is said of a network that has a counterexample, without searching one by gradients."""
    net = Planted(size, seed)
    assert float(net(net.point[None])) < 0, "the counterexample is one"
    asked = Property((Case(Box(-torch.ones(size), torch.ones(size)), (Halfspaces(torch.ones(1, 1), torch.zeros(1)),)),))
    network = Network(lambda x: net(x[None])[0], size, 1)
    return decide(network, asked, seconds=seconds, attack=Attack(0, 0)).answer


def main() -> None:
    """Compare, print and keep."""
    args = options(__doc__).parse_args()
    torch.set_num_threads(1)
    count, planted = (10, 4) if args.dry_run else (200, 100)
    rows = []
    for seed, (name, net, size) in enumerate(networks(count, 20 if args.dry_run else 1000)):
        rows.append(check(name, net, size, RADII[seed % len(RADII)], seed, args.dry_run))
    answers = [ask_planted((2, 4, 8, 20)[seed % 4], seed, 0.1 if args.dry_run else 2.0) for seed in range(planted)]
    violations, tighter = sum(row.violations for row in rows), sum(row.tighter for row in rows)
    print(f"{len(rows)} networks: {violations} values outside; linear bounds tighter than intervals in {tighter}")
    print("branch and bound:", dict(Counter(row.decided for row in rows)))
    print("planted counterexamples:", dict(Counter(answers)))
    keep_part(args.out, "soundness", {"networks": [asdict(row) for row in rows], "planted": answers})


if __name__ == "__main__":
    main()

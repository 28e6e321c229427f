"""Branch and bound beside two exact solvers: the mixed-integer program on HiGHS, and Marabou where it is installed.

    python -m benchmarks.verify.agreement [--out docs/results/verify.json]

The program says what the least output of a small ReLU network over a box is. Branch and bound then has to prove that no
output is 1e-4 below it, and to find one that is 1e-4 above; Marabou has to say the same of both. What the network does
at Marabou's own witness is kept too: where that violates nothing, Marabou's tolerance has answered.
"""

from __future__ import annotations

from copy import deepcopy
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.common import keep_part, options
from benchmarks.verify.networks import perceptron
from robolearn.verify.lowering import lower
from robolearn.verify.network import Network
from robolearn.verify.property import Box, Case, Halfspaces, Property
from robolearn.verify.search.attack import Attack
from robolearn.verify.search.decide import decide
from robolearn.verify.search.milp import least_margin

TOLERANCE = 1e-4
ATTACK = Attack(restarts=32, steps=100)  # to within 1e-4 of the least output
SIDES = {"below": (-1, "unsat"), "above": (1, "sat")}
SIZES = ((2, 24, 24, 1), (3, 32, 32, 1), (4, 16, 16, 16, 1), (6, 40, 1), (20, 24, 24, 1))


def marabou_says(net: nn.Sequential, box: Box, limit: float) -> tuple[str, float | None]:
    """Sat if an output of at most `limit` is possible, and what the network does at the input that is to show it."""
    Marabou: Any = import_module("maraboupy.Marabou")

    query = Marabou.MarabouNetwork()
    x = [query.getNewVariable() for _ in range(box.size)]
    for variable, low, high in zip(x, box.lower.tolist(), box.upper.tolist(), strict=True):
        query.setLowerBound(variable, low)
        query.setUpperBound(variable, high)
    for layer in net:
        if not isinstance(layer, nn.Linear):
            y = [query.getNewVariable() for _ in x]
            for before, after in zip(x, y, strict=True):
                query.addRelu(before, after)
        else:
            y = [query.getNewVariable() for _ in range(layer.out_features)]
            for variable, weights, bias in zip(y, layer.weight.tolist(), layer.bias.tolist(), strict=True):
                query.addEquality([*x, variable], [*weights, -1.0], -bias)
        x = y
    query.addInequality(x, [1.0], limit)
    query.inputVars, query.outputVars = [np.arange(box.size)], [np.array(x)]
    options = Marabou.createOptions(verbosity=0, timeoutInSeconds=60)
    answer, values, *_ = query.solve(verbose=False, options=options)
    if answer != "sat":
        return answer, None
    witness = torch.tensor([[values[i] for i in range(box.size)]], dtype=torch.float64)
    return answer, float(deepcopy(net).double()(witness))


def compare(seed: int, seconds: float) -> dict[str, Any]:
    """One network: its least output, and what is said 1e-4 below and above."""
    sizes = SIZES[seed % len(SIZES)]
    net = perceptron(sizes, nn.ReLU, seed)
    radius = 0.5 if sizes[0] < 10 else 0.1
    center = torch.rand(sizes[0], generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5
    box = Box(center - radius, center + radius)
    graph = lower(net, torch.zeros(1, sizes[0]), "exact")
    best = least_margin(graph, box, Halfspaces(torch.ones(1, 1), torch.zeros(1)), seconds=seconds)
    network = Network(lambda x: net(x[None])[0], sizes[0], 1)
    result: dict[str, Any] = {"sizes": sizes, "least": best.value, "solved": best.is_solved}
    for side, (sign, expected) in SIDES.items():
        limit = best.value + sign * TOLERANCE
        asked = Property((Case(box, (Halfspaces(torch.ones(1, 1), torch.tensor([-limit])),)),))
        result[side] = decide(network, asked, seconds=seconds, attack=ATTACK).answer
        if find_spec("maraboupy"):
            result[f"marabou_{side}"], result[f"marabou_{side}_witness"] = marabou_says(net, box, limit)
            result[f"marabou_{side}_agrees"] = agrees(result, side, limit)
        result[f"{side}_agrees"] = result[side] == expected
    return result


def agrees(result: dict[str, Any], side: str, limit: float) -> bool:
    """Whether Marabou says the same, or has a witness that is none."""
    witness = result[f"marabou_{side}_witness"]
    return result[f"marabou_{side}"] == result[side] or (witness is not None and witness > limit + TOLERANCE / 2)


def main() -> None:
    """Compare, print and keep."""
    args = options(__doc__).parse_args()
    torch.set_num_threads(1)
    rows = [compare(seed, 10.0 if args.dry_run else 600.0) for seed in range(2 if args.dry_run else 50)]
    agreed = sum(row["below_agrees"] and row["above_agrees"] for row in rows)
    print(f"branch and bound agrees with the mixed-integer program on {agreed} of {len(rows)} networks to {TOLERANCE}")
    if find_spec("maraboupy"):
        same = sum(row["marabou_below_agrees"] and row["marabou_above_agrees"] for row in rows)
        refuted = sum(
            row[f"marabou_{side}"] != row[side] and row[f"marabou_{side}_agrees"] for row in rows for side in SIDES
        )
        print(f"and with Marabou on {same}, if {refuted} witnesses of its that violate nothing are left out")
    keep_part(args.out, "agreement", {"networks": rows})


if __name__ == "__main__":
    main()

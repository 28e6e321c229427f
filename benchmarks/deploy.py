"""How long a plan takes deployed, beside torch in the same minute on one thread, and how far apart the chunks are.

All families on all backbones with default options and random weights; one observation, one chunk. Times are of the
processor, so that other processes count little. Calls in a row find the weights in the caches; each alone, between
others that are as large, finds them in memory.

    python -m benchmarks.deploy --out docs/results/deploy.json
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import in_turn, keep, options, untrained_policy
from benchmarks.tables import table
from robolearn import seeds
from robolearn.deploy.runtime import load_onnx
from robolearn.deploy.sampler import Sampler, write_network
from robolearn.policies.policy import Policy
from robolearn.policies.registry import BACKBONES, FAMILIES
from robolearn.types import Array

Given = dict[str, Array]
OBSERVATIONS = 50  # that chunks are compared on
GROUP = 32  # rows that torch always sees in an evaluation
IN_A_ROW, LONGEST = 20, 0.05  # calls of one policy in a round, and the seconds that they may take


def measure(family: str, backbone: str, folder: Path, rounds: int) -> dict[str, Any]:
    """Times and the largest difference of one policy, in units of the normalized action."""
    policy = random_policy(family, backbone)
    sampler, path = Sampler(policy, 1), folder / "sampler.onnx"
    started = time.perf_counter()
    write_network(sampler, path, "onnx")
    written = time.perf_counter() - started
    deployed, with_torch, rng = load_onnx(path, threads=1), as_plan(policy), np.random.default_rng(seeds.FIXED)
    examples, group = [draw(sampler, rng, 1) for _ in range(OBSERVATIONS)], draw(sampler, rng, GROUP)
    gaps = [np.abs(deployed(given) - with_torch(given)).max() for given in examples]
    cases = {"deployed": lambda: deployed(examples[0]), "torch": lambda: with_torch(examples[0])}
    calls = max(1, min(IN_A_ROW, int(LONGEST / min(in_turn(cases, 3)["torch"]))))
    times = in_turn(cases, rounds, calls=calls)
    alone = in_turn({**cases, "torch_group": lambda: with_torch(group)}, max(1, rounds // 3))
    return {
        "family": family,
        "backbone": backbone,
        "evaluations": policy.family.nfe,
        "ms": {name: percentiles(seconds) for name, seconds in times.items()},
        "ms_alone": {name: percentiles(seconds) for name, seconds in alone.items()},
        "calls_in_a_row": calls,
        "largest_difference": float(max(gaps)),
        "written_s": written,
        "bytes": path.stat().st_size,
    }


def random_policy(family: str, backbone: str) -> Policy:
    """A policy whose layers that begin at zero are not."""
    policy = untrained_policy(FAMILIES[family](), BACKBONES[backbone]()).eval()
    for parameter in policy.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return policy


def draw(sampler: Sampler, rng: np.random.Generator, rows: int) -> Given:
    """Normal observations and noise for so many rows."""
    shapes = {name: (rows, *example.shape[1:]) for name, example in sampler.inputs.items()}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def as_plan(policy: Policy) -> Callable[[Given], Array]:
    """Torch, asked as the runtime is."""

    @torch.inference_mode()
    def plan(given: Given) -> Array:
        return policy.act({"state": torch.from_numpy(given["obs0"])}, torch.from_numpy(given["noise"])).numpy()

    return plan


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile over the rounds [ms]."""
    p50, p95 = np.percentile(seconds, [50, 95]) * 1e3
    return {"p50": float(p50), "p95": float(p95)}


def page(results: list[dict[str, Any]]) -> list[str]:
    """A table row per policy."""
    rows = []
    for one in results:
        times = [one["ms"]["deployed"], one["ms"]["torch"], one["ms_alone"]["deployed"], one["ms_alone"]["torch"]]
        ratios = [f"{times[i + 1]['p50'] / times[i]['p50']:.1f}" for i in (0, 2)]
        shown = [f"{ms['p50']:.3f} ({ms['p95']:.3f})" for ms in times]
        cells = [one["family"], one["backbone"], str(one["evaluations"]), *shown[:2], ratios[0], *shown[2:], ratios[1]]
        rows.append([*cells, f"{one['ms_alone']['torch_group']['p50']:.2f}", f"{one['largest_difference']:.1e}"])
    header = ["family", "backbone", "evaluations", "deployed", "torch", "ratio", "deployed, alone", "torch, alone"]
    return table([*header, "ratio", "torch, 32 rows", "difference"], rows)


def main() -> None:
    """Measure all pairs, or those of some families."""
    parser = options(__doc__)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES), choices=list(BACKBONES))
    parser.add_argument("--rounds", type=int, default=50)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.dry_run:
        given.families, given.backbones, given.rounds = ["regression", "flowmap"], ["mlp"], 2
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for family in given.families:
            for backbone in given.backbones:
                results.append(measure(family, backbone, Path(folder), given.rounds))
                print("\n".join(page(results[-1:])[2:]), flush=True)
    keep(given.out, {"rounds": given.rounds, "observations": OBSERVATIONS, "policies": results})
    print("\n".join(page(results)))


if __name__ == "__main__":
    main()

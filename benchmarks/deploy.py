"""How long a plan takes deployed, beside torch in the same minute on one thread, and how far apart the chunks are.

All families on all backbones with default options and random weights; one observation, one chunk.

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


def measure(family: str, backbone: str, folder: Path, rounds: int) -> dict[str, Any]:
    """Times and the largest difference of one policy, in units of the normalized action."""
    policy = random_policy(family, backbone)
    sampler, path = Sampler(policy, 1), folder / "sampler.onnx"
    started = time.perf_counter()
    write_network(sampler, path, "onnx")
    written = time.perf_counter() - started
    deployed, rng = load_onnx(path, threads=1), np.random.default_rng(seeds.FIXED)
    examples = [draw(sampler, rng, 1) for _ in range(OBSERVATIONS)]
    with_torch = as_plan(policy)
    gaps = [np.abs(deployed(given) - with_torch(given)).max() for given in examples]
    group = draw(sampler, rng, GROUP)
    cases = {
        "deployed": lambda: deployed(examples[0]),
        "torch": lambda: with_torch(examples[0]),
        "torch_group": lambda: with_torch(group),
    }
    seconds = in_turn(cases, rounds, clock=time.perf_counter)
    times = {name: dict(zip(("p50", "p95"), percentiles(values), strict=True)) for name, values in seconds.items()}
    facts = {"evaluations": policy.family.nfe, "written_s": written, "bytes": path.stat().st_size}
    return {"family": family, "backbone": backbone, "ms": times, "largest_difference": float(max(gaps)), **facts}


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


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """Median and 95th percentile [ms]."""
    p50, p95 = np.percentile(seconds, [50, 95]) * 1e3
    return float(p50), float(p95)


def page(results: list[dict[str, Any]]) -> list[str]:
    """A table row per policy."""
    rows = []
    for one in results:
        deployed, torch_ms, group = (one["ms"][name] for name in ("deployed", "torch", "torch_group"))
        cells = [one["family"], one["backbone"], str(one["evaluations"])]
        cells += [f"{x['p50']:.3f}, {x['p95']:.3f}" for x in (deployed, torch_ms, group)]
        rows.append([*cells, f"{torch_ms['p50'] / deployed['p50']:.1f}", f"{one['largest_difference']:.1e}"])
    header = ["family", "backbone", "evaluations", "deployed", "torch", "torch, 32 rows", "times faster", "difference"]
    return table(header, rows)


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

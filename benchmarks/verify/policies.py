"""What can be proved of policies of one evaluation at their default size, around held-out observations.

    python -m benchmarks.verify.policies --runs runs/verify [--out docs/results/verify.json]

Policies of `tokens`, `cvae` (latent zero) and `regression` on Avoid, Insert and Push are trained where they are not
there yet. Of each:

* limits: the share of observations around which all executed actions stay within the environment's action space, for
  boxes of half a side of --eps of each number's range;
* robustness: the largest sensor error for which the executed actions are proved to move by at most 1 % of their range,
  and the least for which they were seen to move more.

A finished part is kept in the file and not measured again.
"""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import keep_part, options
from robolearn.config import read_json
from robolearn.errors import user_errors
from robolearn.evaluation.claims import verify_run
from robolearn.evaluation.config import ClaimConfig
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.registry import FAMILIES
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.run import Run
from robolearn.training.train import train
from robolearn.verify.certificate import ClaimCertificate

UNITS = [(family, task) for family in ("tokens", "cvae", "regression") for task in ("avoid", "insert", "push")]


def main() -> None:
    """Measure what is not measured yet."""
    parser = options(__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/verify"), help="where policies are trained")
    parser.add_argument("--datasets", type=Path, default=Path("datasets"), help="where the demonstrations are")
    parser.add_argument("--units", nargs="*", default=["-".join(unit) for unit in UNITS], help="FAMILY-TASK")
    parser.add_argument("--steps", type=int, default=18_000, help="of a training")
    parser.add_argument("--eps", type=float, default=0.01, help="half a side of a box, as a share of the range")
    parser.add_argument("--observations", type=int, default=50, help="of each policy; 0 for all")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each observation")
    with user_errors():
        measure(parser.parse_args())


def measure(given: Namespace) -> None:
    """Train and measure each unit."""
    if given.dry_run:
        given.units, given.steps, given.observations, given.seconds = ["regression-avoid"], 2, 2, 0.1
    for unit in given.units:
        run = trained(unit, given)
        for claim in ("limits", "robustness"):
            part = f"policies/{unit}/{claim}/{given.eps:g}"
            if given.out and given.out.exists() and part in read_json(given.out):
                continue
            results = asked(run, unit, claim, given)
            keep_part(given.out, part, results)
            print(part, {name: value for name, value in results.items() if not isinstance(value, list)}, flush=True)


def trained(unit: str, given: Namespace) -> Run:
    """The policy of a unit."""
    family, task = unit.split("-")
    run = Run(given.runs / unit)
    if not run.exists() or run.last_step() is None:
        small = MLPConfig(width=16, depth=1) if given.dry_run else MLPConfig()
        cfg = TrainConfig(
            family=FAMILIES[family](), backbone=small, steps=given.steps, out=run.directory, overwrite=True, wandb=False
        )
        train(replace(cfg, dataset=DatasetConfig(path=given.datasets / f"{task}.zarr")))
    return run


def asked(run: Run, unit: str, claim: Any, given: Namespace) -> dict[str, Any]:
    """What a claim comes to."""
    latent = "zero" if unit.startswith("cvae") else None
    cfg = ClaimConfig(claim=claim, eps=given.eps, latent=latent, observations=given.observations, seconds=given.seconds)
    started = time.perf_counter()
    found = verify_run(run, cfg)
    seconds = time.perf_counter() - started
    shares = {name: found.share(name) for name in ("proved", "falsified", "open")}
    steps = run.last_step()
    return {"claim": found.claim, "steps": steps, "seconds": seconds, **shares, **radii(found), **numbers(found)}


def radii(found: ClaimCertificate) -> dict[str, Any]:
    """How large errors are that are proved, and how far both radii are apart."""
    proved = [one.proved_radius for one in found.observations if one.proved_radius is not None]
    if not proved:
        return {}
    pairs = [(one.proved_radius, one.falsified_radius) for one in found.observations]
    gaps = [most / least for least, most in pairs if least and most]
    return {
        "with_a_radius": float(np.mean(np.array(proved) > 0)),
        "median_radius": float(np.median(proved)),
        "median_gap": float(np.median(gaps)) if gaps else None,
        "radii": pairs,
    }


def numbers(found: ClaimCertificate) -> dict[str, Any]:
    """Of every observation."""
    return {"observations": [[one.episode, one.step, one.answer, one.bound, one.boxes] for one in found.observations]}


if __name__ == "__main__":
    main()

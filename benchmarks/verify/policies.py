"""What can be proved of policies of one evaluation around held-out observations, and what they achieve.

    python -m benchmarks.verify.policies --runs runs/verify [--out docs/results/verify.json]

Policies of `tokens`, `cvae` (latent zero) and `regression` on Avoid, Insert and Push are trained by the recipe of the
task where they are not there yet: at the default size, and plain, for which MLPs of 128 channels without normalization
and FiLM are trained, those of tokens and regression with the term for tight bounds. Of each:

* limits: the share of observations around which all executed actions stay within the environment's action space, for
  boxes of half a side of --eps of each number's range;
* robustness: the largest sensor error for which the executed actions are proved to move by at most 1 % of their range,
  and the least for which they were seen to move more;
* success: of rollouts, with its interval.

A finished part is kept in the file and not measured again.
"""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import keep_part, options
from benchmarks.trainings import train_to_the_end
from robolearn.config import read_json
from robolearn.errors import user_errors
from robolearn.evaluation.claims import verify_run
from robolearn.evaluation.config import EvalConfig
from robolearn.evaluation.evaluate import evaluate
from robolearn.evaluation.verify_config import ClaimConfig
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.cvae import CVAEConfig
from robolearn.policies.registry import FAMILIES, FamilyConfig
from robolearn.training.config import DatasetConfig
from robolearn.training.recipes import find_recipe
from robolearn.training.run import Run
from robolearn.verify.certificate import ClaimCertificate

TASKS = ("insert", "push", "avoid")
SIZES: dict[str, tuple[MLPConfig, dict[str, float]]] = {
    "default": (MLPConfig(), {}),
    "plain": (MLPConfig(width=128, plain=True), {"bound_weight": 0.3}),
}
UNITS = [f"{size}-{family}-{task}" for size in SIZES for family in ("regression", "cvae", "tokens") for task in TASKS]


def main() -> None:
    """Measure what is not measured yet."""
    parser = options(__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/verify"), help="where policies are trained")
    parser.add_argument("--datasets", type=Path, default=Path("datasets"), help="where the demonstrations are")
    parser.add_argument("--units", nargs="*", default=UNITS, help="SIZE-FAMILY-TASK")
    parser.add_argument(
        "--eps", type=float, nargs="*", default=[0.005, 0.01], help="half a side of a box, of the range"
    )
    parser.add_argument("--observations", type=int, default=20, help="of each policy; 0 for all")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each observation")
    parser.add_argument("--episodes", type=int, default=200, help="of the rollouts")
    with user_errors():
        measure(parser.parse_args())


def measure(given: Namespace) -> None:
    """Train and measure each unit."""
    if given.dry_run:
        given.units, given.eps, given.observations, given.seconds, given.episodes = [UNITS[0]], [0.01], 2, 0.1, 2
    for unit in given.units:
        run = trained(unit, given)
        for name in ("success", "robustness", *(f"limits/{eps:g}" for eps in given.eps)):
            part = f"policies/{unit}/{name}"
            if given.out and given.out.exists() and part in read_json(given.out):
                continue
            results = success(run, given) if name == "success" else asked(run, name, given)
            keep_part(given.out, part, results)
            print(part, {name: value for name, value in results.items() if not isinstance(value, list)}, flush=True)


def latent_of(run: Run) -> Any:
    """A latent of cvae that is no noise."""
    return "zero" if isinstance(run.config().family, CVAEConfig) else None


def trained(unit: str, given: Namespace) -> Run:
    """The policy of a unit."""
    size, family, task = unit.split("-")
    backbone, chosen = SIZES[size]
    recipe = find_recipe(task)
    cfg = replace(
        recipe,
        family=with_options(FAMILIES[family], chosen),
        backbone=MLPConfig(width=16, depth=1) if given.dry_run else backbone,
        dataset=DatasetConfig(path=given.datasets / f"{task}.zarr"),
        steps=2 if given.dry_run else recipe.steps,
        threads=1,
        out=given.runs / unit,
        wandb=False,
    )
    return train_to_the_end(cfg)


def with_options(family: type[Any], chosen: dict[str, float]) -> FamilyConfig:
    """A family with those of the options that it has."""
    names = {one.name for one in fields(family)}
    return family(**{name: value for name, value in chosen.items() if name in names})


def success(run: Run, given: Namespace) -> dict[str, Any]:
    """Of rollouts in the task, by the policy as it is asked about."""
    cfg = EvalConfig(episodes=given.episodes, latent=latent_of(run), videos=0, threads=1)
    estimate = evaluate(run, cfg).summary.success
    assert estimate is not None, "the task says what a success is"
    return {"success": asdict(estimate), "episodes": given.episodes}


def asked(run: Run, name: str, given: Namespace) -> dict[str, Any]:
    """What a claim comes to: limits/EPS, or robustness."""
    claim: Any
    claim, _, eps = name.partition("/")
    error = float(eps or given.eps[0])
    number, seconds = given.observations, given.seconds
    cfg = ClaimConfig(claim=claim, eps=error, latent=latent_of(run), observations=number, seconds=seconds)
    started = time.perf_counter()
    certificate = verify_run(run, cfg)
    taken = time.perf_counter() - started
    shares = {name: certificate.share(name) for name in ("proved", "falsified", "open")}
    return {
        "claim": certificate.claim,
        "steps": run.last_step(),
        "seconds": taken,
        **shares,
        **radii(certificate),
        **numbers(certificate),
    }


def radii(certificate: ClaimCertificate) -> dict[str, Any]:
    """How large errors are that are proved, and how far both radii are apart."""
    proved = [one.proved_radius for one in certificate.observations if one.proved_radius is not None]
    if not proved:
        return {}
    pairs = [(one.proved_radius, one.falsified_radius) for one in certificate.observations]
    gaps = [most / least for least, most in pairs if least and most]
    return {
        "with_a_radius": float(np.mean(np.array(proved) > 0)),
        "median_radius": float(np.median(proved)),
        "median_gap": float(np.median(gaps)) if gaps else None,
        "radii": pairs,
    }


def numbers(certificate: ClaimCertificate) -> dict[str, Any]:
    """Of every observation."""
    return {
        "observations": [[one.episode, one.step, one.answer, one.bound, one.boxes] for one in certificate.observations]
    }


if __name__ == "__main__":
    main()

"""Does a learned simulator order policies as the environment does, and how far ahead does it see?

    python -m benchmarks.simulator avoid datasets/avoid.zarr --out docs/results/lecture.json
    python -m benchmarks.simulator push datasets/push.zarr --out docs/results/lecture.json

Declared before anything is measured: per task 16 policies, four families at four lengths of training, so that some are
bad and some good. Three simulators, of three training seeds, learn from the demonstrations and from 200 episodes of
each of 12 other trainings, of the same families, but of other seeds, lengths and starts. The success of the ranked
policies is that of 1,000 episodes in the environment, and of 300 in each simulator.

Judged is one number per task: the mean of the three simulators' Kendall's tau-b, with an interval over policies, which
are resampled for all simulators together, and over simulators (target: at least 0.6). Where one of them tells no order
the target is missed.

Beside it stands the tau of two controls that simulate nothing: the number of training steps, and the success of the
recorded episodes of the same family, linear in steps between its recorded policies and outside of them that of the
nearest. What the simulators' tau is above that of the latter is told in the same resamples. Without a target are the
tau of each simulator, and energy scores on held-out episodes beside an ensemble and persistence.

What is there is not measured again, and a run that was interrupted goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import options, parsed, part
from benchmarks.trainings import train_once
from robolearn import (
    AccuracyConfig,
    DatasetConfig,
    EnvConfig,
    EvalConfig,
    RankConfig,
    Run,
    SimulatorConfig,
    TrainConfig,
    evaluate,
    learn_simulator,
    measure_accuracy,
    rank_runs,
    seeds,
)
from robolearn.config import read_json
from robolearn.data.store import DemoStore
from robolearn.data.writer import is_unbegun
from robolearn.errors import user_errors
from robolearn.files import finish_replacing
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.family import FamilyConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.gmm import GMMConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.report.results import EPISODES_FILE, SUMMARY_FILE
from robolearn.stats.ranks import kendall_estimate
from robolearn.stats.value import Estimate

FAMILIES: dict[str, FamilyConfig] = {
    "tokens": TokensConfig(),
    "flow": FlowConfig(),
    "gmm": GMMConfig(),
    "regression": RegressionConfig(),
}
PART, TARGET, SIMULATORS = "simulator", 0.6, 3
JUDGED = "mean of the simulators"
APART = 1000  # seeds between the first episodes of two recorded policies
DRY = MLPConfig(width=16, depth=1)


@dataclass(frozen=True)
class Size:
    """How much is done."""

    steps: tuple[int, ...] = (100, 300, 1_000, 3_000)
    """Of the ranked policies."""
    others: tuple[int, ...] = (200, 700, 2_000)
    """Of those whose episodes are learned from."""
    episodes: int = 1_000
    """Of each ranked policy, in the environment."""
    simulated: int = 300
    """Of each ranked policy, in a simulator."""
    recorded: int = 200
    """Episodes of each of the others."""
    learning: int = 20_000
    """Steps of the simulator."""
    small: bool = False
    """Tiny networks, to see that everything runs."""


TINY = Size((1, 2), (2,), 4, 4, 4, 2, small=True)


def main() -> None:
    """Train, record, learn and rank, and keep the numbers of each simulator as soon as they are there."""
    parser = options(__doc__)
    parser.add_argument("task", choices=("avoid", "push"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/simulator"), help="folder of runs, stores, simulators")
    args = parsed(parser)
    size, work = TINY if args.dry_run else Size(), args.work / args.task
    others, ranked = (trainings(args.data, work, size, seed) for seed in (1, 0))
    stores = {run: record(run, number, work, size) for number, run in enumerate(others)}
    for run in ranked:
        if not is_evaluated(run, size.episodes):
            evaluate(run, EvalConfig(episodes=size.episodes, videos=0, threads=1))
    for seed in seeds.TRAININGS[:1] if args.dry_run else seeds.TRAININGS[:SIMULATORS]:
        make = partial(rank, seed, args.data, stores, ranked, work, size)
        part(args.out, f"{PART}/{args.task}/{seed}", make, facts_of(seed, others, ranked, size))


def facts_of(seed: int, others: Sequence[Run], ranked: Sequence[Run], size: Size) -> dict[str, Any]:
    """What the numbers of a simulator depend on."""
    trained = [*others, *ranked]
    return {
        "size": asdict(size),
        "seeds": {"simulator": seed, "trainings": sorted({run.config().seed for run in trained})},
        "starts_from": {"ranked": EvalConfig().seed, "recorded": seeds.ROLLOUTS.start},
        "demonstrations": sorted({run.data().content_hash for run in trained}),
    }


def is_evaluated(run: Run, episodes: int) -> bool:
    """Whether a complete evaluation of so many episodes is there; one that was stopped is not."""
    folder = run.directory / "eval"
    finish_replacing(folder)
    if not (folder / SUMMARY_FILE).exists() or "partial" in read_json(folder / SUMMARY_FILE):
        return False
    return len((folder / EPISODES_FILE).read_text().splitlines()) == episodes


def rank(
    seed: int, data: Path, recorded: Mapping[Run, Path], ranked: Sequence[Run], work: Path, size: Size
) -> dict[str, Any]:
    """Learn a simulator of demonstrations and recorded episodes, and rank the policies in it."""
    nets: dict[str, Any] = {"backbone": DRY, "ending_steps": 2} if size.small else {}
    out = work / f"simulator-{seed}"
    cfg = SimulatorConfig((data, *recorded.values()), out, seed=seed, steps=size.learning, threads=1, **nets)
    simulator = learn_simulator(cfg)
    accuracy = measure_accuracy(simulator, AccuracyConfig(ensemble_steps=size.learning))
    ranking = rank_runs(simulator, [run.directory for run in ranked], RankConfig(episodes=size.simulated, threads=1))
    assert all(one.real is not None for one in ranking.entries), "all policies have been evaluated"
    for one in ranking.entries:
        print(f"{one.name}: predicted {one.predicted:.3f}, evaluated {one.real:.3f}")
    said = "no order" if ranking.tau is None else f"{ranking.tau:.2f}, {ranking.tau.outcome(TARGET)}"
    print(f"simulator {seed}: tau {said}", flush=True)
    orders = {str(run.directory): control_numbers(run, recorded) for run in ranked}
    return {"accuracy": accuracy.to_json(), "ranking": ranking.to_json(), "controls": orders}


def control_numbers(run: Run, recorded: Mapping[Run, Path]) -> dict[str, float]:
    """By what the controls order a policy: its training steps, and what was recorded of its family."""
    cfg = run.config()
    shares = {
        other.config().steps: float(np.mean(DemoStore.open(store).episode_attrs["success"]))
        for other, store in recorded.items()
        if other.config().family == cfg.family
    }
    return {"steps": float(cfg.steps), "recorded": between(cfg.steps, shares)}


def between(steps: int, known: Mapping[int, float]) -> float:
    """A number at so many steps: linear between those where it is known, outside of them that of the nearest."""
    at = sorted(known)
    return float(np.interp(steps, at, [known[each] for each in at]))


def taus(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Estimate | None]:
    """Kendall's tau with real success: that which is judged, of each simulator, and of the controls.

    Args:
        parts: Simulator -> what is kept of it, of one task.

    Returns:
        What orders -> tau; None where it tells no order.
    """
    first = next(iter(parts.values()))
    real = {one["name"]: one["real"]["value"] for one in first["ranking"]["policies"]}
    predicted = {
        seed: {one["name"]: one["predicted"]["value"] for one in part["ranking"]["policies"]}
        for seed, part in parts.items()
    }
    y = np.array(list(real.values()))
    each = {seed: np.array([values[name] for name in real]) for seed, values in predicted.items()}
    steps, recorded = (np.array([first["controls"][name][key] for name in real]) for key in ("steps", "recorded"))
    together = np.stack(list(each.values()))
    return {
        JUDGED: tau(together, y),
        **{f"simulator {seed}": tau(x, y) for seed, x in each.items()},
        "training steps": tau(steps, y),
        "recorded episodes": tau(recorded, y),
        f"{JUDGED}, less recorded episodes": tau(together, y, recorded),
    }


def tau(x: np.ndarray, y: np.ndarray, less: np.ndarray | None = None) -> Estimate | None:
    """See `kendall_estimate`; None where one of these is constant."""
    orders = [*np.atleast_2d(x), y, *([] if less is None else [less])]
    return None if any(np.ptp(order) == 0 for order in orders) else kendall_estimate(x, y, less=less)


def trainings(data: Path, work: Path, size: Size, seed: int) -> list[Run]:
    """Policies of different worth: those that are ranked, seed 0, or those that are learned from."""
    few: dict[str, Any] = {"backbone": DRY} if size.small else {}
    shared = {"dataset": DatasetConfig((data,)), "threads": 1, **few}
    return [
        train_once(
            f"{name}-{steps}",
            TrainConfig(family=family, steps=steps, warmup_steps=min(100, steps // 2), **shared),
            seeds.TRAININGS[seed],
            data,
            work / "runs",
            dry=False,
        )
        for (name, family), steps in product(FAMILIES.items(), size.others if seed else size.steps)
    ]


def record(run: Run, number: int, work: Path, size: Size) -> Path:
    """Episodes of a policy that is not ranked, from starts of their own."""
    store = work / "stores" / f"{run.directory.name}.zarr"
    if is_unbegun(store):
        cfg = EvalConfig(
            episodes=size.recorded,
            seed=seeds.ROLLOUTS[APART * number],
            env=EnvConfig(),
            videos=0,
            threads=1,
            record_episodes=store,
        )
        evaluate(run, cfg)
    return store


if __name__ == "__main__":
    with user_errors():
        main()

"""Does a learned simulator order policies as the environment does, and how far ahead does it see?

    python -m benchmarks.simulator avoid datasets/avoid.zarr --out docs/results/lecture.json
    python -m benchmarks.simulator push datasets/push.zarr --out docs/results/lecture.json

Declared before anything is measured: per task 16 policies, four families at four lengths of training, so that some are
bad and some good. Three simulators, of three training seeds, learn from the demonstrations and from 200 episodes of
each of 12 other trainings, whose seeds, families and starts are others where they can be. The success of the ranked
policies is that of 200 episodes, in the environment and in a simulator. Reported of each simulator: Kendall's tau-b
with an interval over policies (target: at least 0.6), and energy scores on held-out episodes beside an ensemble and
persistence.

What is there is not measured again, and a run that was interrupted goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

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
from robolearn.errors import user_errors
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.family import FamilyConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.gmm import GMMConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.report.results import SUMMARY_FILE

FAMILIES: dict[str, FamilyConfig] = {
    "tokens": TokensConfig(),
    "flow": FlowConfig(),
    "gmm": GMMConfig(),
    "regression": RegressionConfig(),
}
PART, TARGET, SIMULATORS = "simulator", 0.6, 3
APART = 1000  # seeds between the first episodes of two recorded policies
DRY = MLPConfig(width=16, depth=1)


@dataclass(frozen=True)
class Size:
    """How much is done."""

    steps: tuple[int, ...] = (300, 1_000, 3_000, 10_000)
    """Of the ranked policies."""
    others: tuple[int, ...] = (500, 2_000, 6_000)
    """Of those whose episodes are learned from."""
    episodes: int = 200
    """Of each policy."""
    learning: int = 20_000
    """Steps of the simulator."""
    small: bool = False
    """Tiny networks, to see that everything runs."""


TINY = Size((1, 2), (2,), 4, 2, small=True)


def main() -> None:
    """Train, record, learn and rank, and keep the numbers of each simulator as soon as they are there."""
    parser = options(__doc__)
    parser.add_argument("task", choices=("avoid", "push"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/simulator"), help="folder of runs, stores, simulators")
    args = parsed(parser)
    size, work = TINY if args.dry_run else Size(), args.work / args.task
    stores = [record(run, number, work, size) for number, run in enumerate(trainings(args.data, work, size, 1))]
    ranked = trainings(args.data, work, size, 0)
    for run in ranked:
        if not (run.directory / "eval" / SUMMARY_FILE).exists():
            evaluate(run, EvalConfig(episodes=size.episodes, videos=0, threads=1))
    for seed in seeds.TRAININGS[:1] if args.dry_run else seeds.TRAININGS[:SIMULATORS]:
        make = partial(rank, seed, [args.data, *stores], ranked, work, size)
        part(args.out, f"{PART}/{args.task}/{seed}", make, {"size": asdict(size)})


def rank(seed: int, stores: Sequence[Path], ranked: Sequence[Run], work: Path, size: Size) -> dict[str, Any]:
    """Learn a simulator of the stores, and rank the policies in it."""
    nets: dict[str, Any] = {"backbone": DRY, "ending_steps": 2} if size.small else {}
    out = work / f"simulator-{seed}"
    cfg = SimulatorConfig(tuple(stores), out, seed=seed, steps=size.learning, threads=1, **nets)
    simulator = learn_simulator(cfg)
    if simulator is None:
        raise KeyboardInterrupt
    accuracy = measure_accuracy(simulator, AccuracyConfig(ensemble_steps=2 if size.small else 5_000))
    ranking = rank_runs(simulator, [run.directory for run in ranked], RankConfig(episodes=size.episodes, threads=1))
    for one in ranking.entries:
        print(f"{one.name}: predicted {one.predicted:.3f}, evaluated {one.real:.3f}")
    said = "no order" if ranking.tau is None else f"{ranking.tau:.2f}, {ranking.tau.outcome(TARGET)}"
    print(f"simulator {seed}: tau {said}", flush=True)
    return {"accuracy": accuracy.to_json(), "ranking": ranking.to_json()}


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
    if not store.exists():
        cfg = EvalConfig(
            episodes=size.episodes,
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

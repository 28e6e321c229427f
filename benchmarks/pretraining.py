"""What pre-training of the cameras is worth, by how many demonstrations a policy has, at equal compute.

    python -m benchmarks.pretraining avoid_pixels datasets/avoid_pixels.zarr --out benchmarks/pretraining.json.xz
    python -m benchmarks.pretraining pusht DATA.zarr --out benchmarks/pretraining.json.xz [--imagenet FILE.safetensors]
    python -m benchmarks.pretraining table --out benchmarks/pretraining.json.xz

A policy has the actions of 10, 30 or 100 % of the demonstrations, which its seed draws. Declared before anything is
measured, with the defaults of every method:

* scratch: begins with random networks, and trains for all steps of the recipe;
* METHOD/all: begins with networks that were pre-trained on the images of all demonstrations, without their actions;
* METHOD/same: on the images of the policy's own demonstrations alone, which are the same where it has all of them;
* frozen: METHOD/all whose networks stay as they are, of the method whose features tell most of the state, in the mean;
* imagenet: begins with ResNet-18's weights, where a file is given; what they once cost is not counted.

All rows cost the CPU time of scratch. A third of it is pre-training. CPU seconds of a step, of pre-training by each
method and of training, are measured first on this machine, in turn, and kept; steps follow from them and are rounded to
tens. "minus scratch" is paired by seed and start, with an interval over both. Target: on AvoidPixels, at 10 %, a row of
METHOD/all or METHOD/same gains at least 0.10 of success, and the interval is above 0.

Probes: R^2 of the true state, by a linear function of the features, on frames of episodes that it was not fitted to.
The networks may have seen these frames, and never the numbers.

Every part is kept as soon as it is there, and the same command goes on.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.common import CPU, keep_part, kept_parts, options, part, spaced_frames
from benchmarks.perception import shifts_of
from benchmarks.tables import interval, parts_below, table
from benchmarks.trainings import DRY, line, measure, train_once
from robolearn import seeds
from robolearn.data.store import DemoStore
from robolearn.errors import user_errors
from robolearn.nets.pretrained import CameraNets, CamerasConfig
from robolearn.policies.policy import Policy
from robolearn.representation.config import PretrainConfig
from robolearn.representation.pretrain import pretrain
from robolearn.representation.probe import linear_probe
from robolearn.representation.registry import METHODS
from robolearn.representation.representation import RUN_FILE
from robolearn.rollout.env_config import EnvConfig
from robolearn.stats.differences import paired_difference
from robolearn.stats.value import Estimate
from robolearn.training.assemble import assemble, open_demos
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.device import Processes, choose_device
from robolearn.training.fit import Hooks, fit
from robolearn.training.recipes import RECIPES
from robolearn.training.run import Run

PART, TARGET = "pretraining", 0.1
FRACTIONS, SHARE = (0.1, 0.3, 1.0), 1 / 3  # of the demonstrations; of the compute, for pre-training
TRAININGS, EPISODES = 3, 240
TIMED, REPEATS, FEW = 100, 3, 50  # steps of a timing, timings of each case, demonstrations that they are made on
PROBED, FRAMES = 200, 8  # episodes of the probes, a fifth of them held out, and frames of each
DRY_FRACTIONS, DRY_FRACTION_HELD = (0.5, 1.0), 0.4


def avoid_state(store: DemoStore, rows: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Where the rod is, and the rows of obstacles, which follow from the seed [n, 5]."""
    shifts = shifts_of(store.episode_attrs["seed"][:count]).repeat(FRAMES, axis=0)
    return np.concatenate([rows["state"][:, :2], shifts], axis=1)


def pusht_state(store: DemoStore, rows: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Where pusher and block are, and the sine and cosine of the block's angle [n, 6]."""
    angle = rows["state"][:, 4:]
    return np.concatenate([rows["state"][:, :4], np.sin(angle), np.cos(angle)], axis=1)


@dataclass(frozen=True)
class Task:
    """Where policies are compared.

    Attributes:
        train: Options of every row.
        env: Where policies are rolled out.
        number: What of an episode counts.
        camera: Key of the images.
        truth: The true state [n, d] of frames, of a store, rows of its states, and the number of episodes.
    """

    train: TrainConfig
    env: EnvConfig
    number: str
    camera: str
    truth: Callable[[DemoStore, Mapping[str, np.ndarray], int], np.ndarray]


TASKS = {
    "avoid_pixels": Task(
        RECIPES["avoid-pixels"], EnvConfig("envs:robolearn/AvoidPixels-v0"), "success", "image", avoid_state
    ),
    "pusht": Task(
        TrainConfig(
            dataset=DatasetConfig(obs_keys=("img", "agent_pos"), obs=("agent_pos=state[:2]",)),
            env=(
                pixels := EnvConfig(
                    "gym_pusht:gym_pusht/PushT-v0",
                    {"obs_type": "pixels_agent_pos"},
                    obs=("img=pixels", "agent_pos=agent_pos"),
                )
            ),
            exec_horizon=4,
            steps=12_000,
            batch_size=64,
        ),
        pixels,
        "score",
        "img",
        pusht_state,
    ),
}


@dataclass(frozen=True)
class Row:
    """How the networks of a policy begin.

    Attributes:
        name: Of the row.
        method: They were pre-trained by; None for none.
        whole: Whether on the images of all demonstrations.
        freeze: Whether they stay as they are.
    """

    name: str
    method: str | None = None
    whole: bool = True
    freeze: bool = False


SCRATCH, IMAGENET = Row("scratch"), Row("imagenet")


@dataclass(frozen=True)
class Study:
    """What all parts of a task share."""

    name: str
    data: Path
    work: Path
    out: Path
    seeds: tuple[int, ...]
    imagenet: Path | None
    dry: bool

    @property
    def task(self) -> Task:
        """Its task."""
        return TASKS[self.name]

    @property
    def episodes(self) -> range:
        """Seeds of the episodes that are rolled out."""
        return seeds.EVALUATION[: 2 if self.dry else EPISODES]

    def part(self, name: str, make: Callable[[], Mapping[str, Any]], asked: Mapping[str, Any] | None = None) -> Any:
        """A part of the results; see `common.part`."""
        return part(self.out, f"{PART}/{self.name}/{name}", make, asked)

    def count(self, fraction: float) -> int:
        """Demonstrations that a share of them is."""
        return round(fraction * DemoStore.open(self.data).num_episodes)

    def recipe(self, fraction: float) -> TrainConfig:
        """Options of a policy with a share of the demonstrations."""
        cfg = dataclasses.replace(self.task.train, threads=1)
        held_out = DRY_FRACTION_HELD if self.dry else cfg.dataset.validation_fraction
        dataset = dataclasses.replace(
            cfg.dataset, path=self.data, num_episodes=self.count(fraction), validation_fraction=held_out
        )
        return dataclasses.replace(cfg, dataset=dataset)

    def pretraining(self, method: str, count: int, seed: int, steps: int, out: Path) -> PretrainConfig:
        """Options of a pre-training, on as many demonstrations."""
        cfg = self.recipe(1.0)
        tiny = {"batch_size": 4, "validation_fraction": DRY_FRACTION_HELD, "log_every": 1} if self.dry else {}
        same = {"vision": cfg.vision, "cameras": (self.task.camera,), "num_episodes": count, "threads": 1}
        return PretrainConfig(self.data, METHODS[method](), seed=seed, steps=steps, out=out, **same, **tiny)


# Compute


def costs(study: Study) -> dict[str, Any]:
    """CPU seconds of a step of everything that is trained: the median of some timings, and these themselves."""
    begun, timed = study.work / "timed", 2 if study.dry else TIMED
    few = min(FEW, study.count(1.0))

    def of_method(method: str) -> float:
        cfg = study.pretraining(method, few, study.seeds[0], 2 * timed, begun / method)
        marks: list[float] = []
        cfg = dataclasses.replace(cfg, log_every=timed, overwrite=True)
        pretrain(cfg, lambda record: marks.append(time.process_time()))
        return (marks[-1] - marks[-2]) / timed

    def of_policy(**vision: Any) -> float:
        cfg = study.recipe(1.0)
        dataset = dataclasses.replace(cfg.dataset, num_episodes=few)
        cfg = dataclasses.replace(cfg, dataset=dataset, vision=dataclasses.replace(cfg.vision, **vision))
        return step_seconds(dataclasses.replace(cfg, **DRY) if study.dry else cfg, timed)

    cases: dict[str, Callable[[], float]] = {method: lambda method=method: of_method(method) for method in METHODS}
    cases |= {
        "policy": of_policy,
        "frozen": lambda: of_policy(init=begun / next(iter(METHODS)), freeze=True),
    }
    if study.imagenet is not None:
        cases["imagenet"] = lambda: of_policy(network="resnet18_imagenet", init=study.imagenet)
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(1 if study.dry else REPEATS):
        for name, case in cases.items():
            seconds[name].append(case())
    return {"step_s": {name: statistics.median(times) for name, times in seconds.items()}, "seconds": seconds}


class Marks(Hooks):
    """CPU time at each record of a training."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def record(self, record: Mapping[str, Any]) -> None:
        """Note the time."""
        self.seconds.append(time.process_time())


def step_seconds(cfg: TrainConfig, timed: int) -> float:
    """CPU seconds of an optimizer step, over so many of them behind as many others."""
    cfg = dataclasses.replace(cfg, steps=2 * timed, log_every=timed, checkpoint_every=2 * timed)
    _, state, windows, _, _ = assemble(cfg, open_demos(cfg), CPU)
    if not fit(state, windows, None, Processes(CPU), marks := Marks()):
        raise KeyboardInterrupt
    return (marks.seconds[1] - marks.seconds[0]) / timed


@dataclass(frozen=True)
class Budget:
    """Steps that cost as much as the policy from scratch does.

    Attributes:
        steps: Of that.
        step_s: What is trained -> CPU seconds of a step.
    """

    steps: int
    step_s: Mapping[str, float]

    def pretraining(self, method: str) -> int:
        """Steps of a method's share."""
        return self._rounded(SHARE * self.steps * self.step_s["policy"] / self.step_s[method])

    def policy(self, row: Row) -> int:
        """Steps of the policy of a row."""
        if row == SCRATCH:
            return self.steps
        kind = "imagenet" if row == IMAGENET else "frozen" if row.freeze else "policy"
        share = 1.0 if row == IMAGENET else 1 - SHARE
        return self._rounded(share * self.steps * self.step_s["policy"] / self.step_s[kind])

    def _rounded(self, steps: float) -> int:
        return max(10, 10 * round(steps / 10))


# Trainings


def pretrained(study: Study, method: str, fraction: float, seed: int, budget: Budget) -> Path:
    """A pre-training on a share of the demonstrations: the one that is there, or a new one."""
    steps = 2 if study.dry else budget.pretraining(method)
    run = study.work / "eyes" / f"{method}-{fraction:.0%}-{steps}-{seed}"
    if not (run / RUN_FILE).exists():
        pretrain(study.pretraining(method, study.count(fraction), seed, steps, run))
    return run


def trained(study: Study, row: Row, fraction: float, budget: Budget) -> list[Run]:
    """Policies of a row, one per seed."""
    steps, runs = budget.policy(row), []
    for seed in study.seeds:
        cfg = dataclasses.replace(study.recipe(fraction), steps=steps)
        begin: dict[str, Any] = {}
        if row.method is not None:
            run = pretrained(study, row.method, 1.0 if row.whole else fraction, seed, budget)
            begin = {"init": run, "freeze": row.freeze}
        elif row == IMAGENET:
            begin = {"network": "resnet18_imagenet", "init": study.imagenet}
        cfg = dataclasses.replace(cfg, vision=dataclasses.replace(cfg.vision, **begin))
        name = f"{fraction:.0%}-{row.name.replace('/', '-')}-{steps}"
        runs.append(train_once(name, cfg, seed, study.data, study.work / "policies", dry=study.dry))
    return runs


# Measures


def probed(study: Study, nets: list[nn.Module]) -> list[list[float]]:
    """R^2 of each number of the true state, network by network."""
    store, camera = DemoStore.open(study.data), study.task.camera
    count = min(PROBED, store.num_episodes)
    rows = spaced_frames(store, (camera, "state"), count, FRAMES)
    truth, cut = study.task.truth(store, rows, count).astype(float), FRAMES * (count * 4 // 5)
    found = []
    for net in nets:
        with torch.inference_mode():
            parts = [net(part) for part in torch.from_numpy(rows[camera]).split(64)]
        features = torch.cat(parts).double().numpy()
        found.append(linear_probe((features[:cut], truth[:cut]), (features[cut:], truth[cut:])).tolist())
    return found


def untrained(study: Study) -> list[nn.Module]:
    """Networks as they are drawn, one per seed."""
    shape, vision, nets = DemoStore.open(study.data).shapes[study.task.camera], study.task.train.vision, []
    for seed in study.seeds:
        torch.manual_seed(seed)
        nets.append(camera_of(study, CameraNets(CamerasConfig(vision, {study.task.camera: shape}))))
    return nets


def camera_of(study: Study, nets: CameraNets) -> nn.Module:
    """The network of the task's camera."""
    return nets.by_name()[study.task.camera].eval()


def probe_all(study: Study, budget: Budget) -> dict[str, Any]:
    """R^2 of untrained networks and of those that were pre-trained on all images [seed, number]."""
    asked = {"seeds": study.seeds}
    found = {"untrained": study.part("probe/untrained", lambda: {"r2": probed(study, untrained(study))}, asked)}
    for method in METHODS:

        def make(method: str = method) -> dict[str, Any]:
            runs = [pretrained(study, method, 1.0, seed, budget) for seed in study.seeds]
            return {"r2": probed(study, [camera_of(study, CameraNets.load(run)) for run in runs])}

        steps = {"steps": budget.pretraining(method)}
        found[method] = study.part(f"probe/{method}", make, asked | steps)
    for name, one in found.items():
        print(f"{study.name}, features of {name}: R^2 {np.mean(one['r2']):.3f}", flush=True)
    return found


def measured(study: Study, row: Row, fraction: float, budget: Budget) -> dict[str, Any]:
    """Success and score of a row's policies, what their networks tell of the state, and what they cost."""

    def make() -> dict[str, Any]:
        runs = trained(study, row, fraction, budget)
        nets = [Policy.load(run.checkpoint("last")).encoder.by_camera()[study.task.camera] for run in runs]
        return {**measure(runs, study.task.env, study.episodes), "r2": probed(study, nets)}

    asked = {
        "demonstrations": study.count(fraction),
        "seeds": study.seeds,
        "steps": budget.policy(row),
        "pretraining_steps": 0 if row.method is None else budget.pretraining(row.method),
        "method": row.method,
        "starts_from": study.episodes.start,
        "starts": len(study.episodes),
    }
    result = study.part(f"{fraction:.0%}/{row.name}", make, asked)
    print(f"{study.name}, {fraction:.0%}, {row.name}: {line(result)}", flush=True)
    return result


def rows_of(fraction: float, best: str, imagenet: Path | None) -> list[Row]:
    """What is compared at a share of the demonstrations."""
    rows = [SCRATCH, *(Row(f"{method}/all", method) for method in METHODS)]
    if fraction < 1:
        rows += [Row(f"{method}/same", method, whole=False) for method in METHODS]
    rows.append(Row("frozen", best, freeze=True))
    return rows if imagenet is None else [*rows, IMAGENET]


def gain(number: str, row: Mapping[str, Any], scratch: Mapping[str, Any]) -> Estimate:
    """A row less scratch, paired by seed and start."""
    one, other = (np.array(result["episodes"][number], float) for result in (row, scratch))
    return paired_difference(one, other)


def run_study(study: Study, fractions: tuple[float, ...]) -> None:
    """Do what is missing of a task."""
    cost = study.part("costs", lambda: costs(study))
    budget = Budget(study.task.train.steps, cost["step_s"])
    probes = probe_all(study, budget)
    best = max(METHODS, key=lambda method: float(np.mean(probes[method]["r2"])))
    for fraction in fractions:
        rows = rows_of(fraction, best, study.imagenet)
        found = {row.name: measured(study, row, fraction, budget) for row in rows}
        gains = {
            name: gain(study.task.number, one, found["scratch"]) for name, one in found.items() if name != "scratch"
        }
        keep_part(
            study.out,
            f"{PART}/{study.name}/{fraction:.0%}/minus scratch",
            {name: asdict(one) for name, one in gains.items()},
        )
        for name, one in gains.items():
            said = one.outcome(TARGET) if study.name == "avoid_pixels" and fraction == FRACTIONS[0] else ""
            print(f"{study.name}, {fraction:.0%}, {name} - scratch: {one:+.3f} {said}", flush=True)


def rows_table(parts: Mapping[str, Any]) -> list[str]:
    """What is kept, row by row.

    Args:
        parts: All that is kept below `PART`.
    """
    lines = []
    for name, one in parts.items():
        if "episodes" not in one:
            continue
        task, share, row = name.split("/", 2)
        minus = parts.get(f"{task}/{share}/minus scratch", {}).get(row)
        steps = f"{one['pretraining_steps']:,} + {one['steps']:,}"
        number, told = interval(one[TASKS[task].number]), f"{np.mean(one['r2']):.2f}"
        lines.append([task, share, row, steps, number, "" if minus is None else interval(minus, "+.3f"), told])
    header = ("task", "demonstrations", "row", "steps", "success or score", "minus scratch", "R^2 after training")
    return table(header, lines)


def main() -> None:
    """Pre-train, train, measure what is missing, and print all of it."""
    parser = options(__doc__)
    parser.add_argument("task", choices=(*TASKS, "table"))
    parser.add_argument("data", type=Path, nargs="?", help="demonstrations with images")
    parser.add_argument("--fractions", type=float, nargs="+", default=list(FRACTIONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds.TRAININGS[:TRAININGS]))
    parser.add_argument("--imagenet", type=Path, help="torchvision's weights as .safetensors")
    parser.add_argument("--work", type=Path, default=Path("runs/pretraining"), help="folder of runs")
    args = parser.parse_args()
    out = args.out or args.work / "results.json.xz"
    if args.task != "table":
        if args.data is None:
            parser.error("name the demonstrations")
        choose_device("cpu", threads=1)
        kept, fractions = (args.seeds[:1], DRY_FRACTIONS) if args.dry_run else (args.seeds, tuple(args.fractions))
        study = Study(args.task, args.data, args.work / args.task, out, tuple(kept), args.imagenet, args.dry_run)
        run_study(study, fractions)
    print("\n".join(rows_table(parts_below(kept_parts(out), PART))))


if __name__ == "__main__":
    with user_errors():
        main()

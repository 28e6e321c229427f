"""A policy that was trained on plain images of AvoidPixels, where they look "real": what translation regains.

    python -m benchmarks.translation datasets/avoid_pixels.zarr --out docs/results/lecture.json

Training s is one policy per row, and translators of its own, all with seed s. "Real" is the look of that name: other
colors, textures, light, camera pose and noise. Its demonstrations begin elsewhere than the plain ones; translators see
their images alone. Declared before anything was measured, all by task success from the same starts:

* plain: trained plain, seen plain; lost: trained plain, seen real; the recipe jitters colors a little;
* jitter: the same with strong jitter; demos: trained on translated demonstrations; eyes: the plain policy behind a
  translator; both of cyclegan, with resnet and dcgan, and of cut; real: trained on real demonstrations, labels and all;
* regained half: a row minus the mean of plain and lost, which is at least 0 where half of what was lost is regained;
  beyond jitter: a row minus jitter. Both pairwise, with intervals over trainings and starts;
* rows read: how much a network that was trained on recorded images reads of where the rows of obstacles stand, from
  held-out ones and from translations (R^2).

Every part is kept as soon as it is there; the same command goes on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import keep_part, options, parsed, part, spaced_frames
from benchmarks.perception import shifts_of
from benchmarks.trainings import Change, line, mean, measure, train_once, unchanged
from robolearn import DemoStore, seeds
from robolearn.data.collect import collect
from robolearn.errors import user_errors
from robolearn.nets.descent import FitConfig
from robolearn.policies.policy import Policy
from robolearn.rollout.env_config import EnvConfig
from robolearn.training.config import TrainConfig
from robolearn.training.recipes import RECIPES
from robolearn.training.run import Run
from robolearn.translation.apply import translate
from robolearn.translation.config import TranslatorConfig
from robolearn.translation.cut import CutConfig
from robolearn.translation.cyclegan import CycleGANConfig
from robolearn.translation.labels import probe_labels
from robolearn.translation.method import MethodConfig, Side
from robolearn.translation.train import train_translator
from robolearn.translation.translator import Translator

ENV, CAMERA, PART = "envs:robolearn/AvoidPixels-v0", "image", "translation"
PLAIN, REAL = EnvConfig(ENV), EnvConfig(ENV, kwargs={"look": "real"})
DEMONSTRATIONS, TRAININGS, EPISODES = 1_000, 3, 240
REAL_SEED = seeds.DEMONSTRATIONS[50_000]
RECIPE, JITTER = RECIPES["avoid-pixels"], 0.5
METHODS: dict[str, MethodConfig] = {
    "cyclegan": CycleGANConfig(),
    "dcgan": CycleGANConfig(networks="dcgan"),
    "cut": CutConfig(),
}
Shown = tuple[np.ndarray, np.ndarray]  # images [n, h, w, c], and where the rows of obstacles stand in them [n, 3]
PROBED, FRAMES = 200, 8  # episodes of a store for the probe, a fifth of them held out, and frames of each
DRY: dict[str, Any] = {"steps": 2, "checkpoint_every": 1, "validation_fraction": 0.3}


@dataclass(frozen=True)
class Study:
    """What all parts share."""

    plain: Path
    real: Path
    work: Path
    out: Path | None
    count: int
    dry: bool

    @property
    def episodes(self) -> range:
        """Seeds of the episodes that are rolled out."""
        return seeds.EVALUATION[: 2 if self.dry else EPISODES]

    def part(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A part of the results; see `common.part`."""
        return part(self.out, f"{PART}/{name}", make)

    def trained(self, name: str, stores: Sequence[Path], cfg: TrainConfig = RECIPE) -> list[Run]:
        """A policy of each store."""
        return [
            train_once(name, cfg, seed, store, self.work, dry=self.dry)
            for seed, store in zip(seeds.TRAININGS, stores, strict=False)
        ]

    def rolled(
        self, row: str, runs: Callable[[], list[Run]], env: EnvConfig, change: Change = unchanged
    ) -> dict[str, Any]:
        """Success of policies, row by row."""
        result = self.part(row, lambda: measure(runs(), env, self.episodes, change=change))
        print(f"{row}: {line(result)}", flush=True)
        return result


def main() -> None:
    """Train, translate and measure, and keep the numbers of each row as soon as they are there."""
    parser = options(__doc__)
    parser.add_argument("data", type=Path, help="plain demonstrations")
    parser.add_argument("--work", type=Path, default=Path("runs/translation"), help="folder of stores and runs")
    args = parsed(parser)
    real, count = args.work / "real.zarr", 1 if args.dry_run else TRAININGS
    collect(ENV, 6 if args.dry_run else DEMONSTRATIONS, real, REAL_SEED, env_kwargs=REAL.kwargs)
    study = Study(args.data, real, args.work, args.out, count, args.dry_run)
    rows = controls(study)
    for name, method in METHODS.items():
        rows |= translated(study, name, method)
    contrasts(study, rows)


def controls(study: Study) -> dict[str, dict[str, Any]]:
    """The rows without a translator."""
    plain, real = [study.plain] * study.count, [study.real] * study.count
    strong = dataclasses.replace(RECIPE, vision=dataclasses.replace(RECIPE.vision, jitter=JITTER))
    return {
        "plain": study.rolled("plain", lambda: study.trained("plain", plain), PLAIN),
        "lost": study.rolled("lost", lambda: study.trained("plain", plain), REAL),
        "jitter": study.rolled("jitter", lambda: study.trained("jitter", plain, strong), REAL),
        "real": study.rolled("real", lambda: study.trained("real", real), REAL),
    }


def translated(study: Study, name: str, method: MethodConfig) -> dict[str, dict[str, Any]]:
    """The rows of one method, and what its translations show of the obstacles."""
    numbers = range(study.count)
    there = [translator(study, name, method, number, back=False) for number in numbers]
    two_ways = "source" in method.arrives_at
    back = there if two_ways else [translator(study, name, method, number, back=True) for number in numbers]
    arrives: Side = "source" if two_ways else "target"
    stores = [study.work / f"{name}-{number}.zarr" for number in numbers]
    for store, run in zip(stores, there, strict=True):
        translate(study.plain, run, store)

    def behind(number: int, policy: Policy) -> None:
        Translator.load(back[number]).put_before(policy.encoder, arrives)

    study.part(f"{name}/rows-read", lambda: read_rows(study, there, back, arrives))
    plain = [study.plain] * study.count
    return {
        f"{name}/demos": study.rolled(f"{name}/demos", lambda: study.trained(f"{name}-demos", stores), REAL),
        f"{name}/eyes": study.rolled(f"{name}/eyes", lambda: study.trained("plain", plain), REAL, behind),
    }


def translator(study: Study, name: str, method: MethodConfig, number: int, *, back: bool) -> Path:
    """A translator from plain to real images, or the other way round."""
    sides = (study.real, study.plain) if back else (study.plain, study.real)
    run = study.work / f"translator-{name}-{'back' if back else 'there'}-{number}"
    seed = seeds.TRAININGS[number]
    return train_translator(TranslatorConfig(*sides, run, method, seed=seed, **(DRY if study.dry else {})))


def read_rows(study: Study, there: Sequence[Path], back: Sequence[Path], arrives: Side) -> dict[str, Any]:
    """R^2 [s, 3] of where the rows of obstacles stand, recorded and translated, in both directions."""
    plain, real = frames(study.plain, study.dry), frames(study.real, study.dry)
    return {
        "to_real": probed(study, real, plain, there, "target"),
        "to_plain": probed(study, plain, real, back, arrives),
    }


def probed(study: Study, home: Shown, away: Shown, runs: Sequence[Path], to: Side) -> dict[str, Any]:
    """The same in one direction, from images of `away` to such as are recorded at `home`."""
    fit = FitConfig(steps=2, batch_size=4) if study.dry else FitConfig(steps=1200)
    cut, probes = len(home[0]) * 4 // 5, []
    training, heldout = (home[0][:cut], home[1][:cut]), (home[0][cut:], home[1][cut:])
    images, rows = away[0][cut:], away[1][cut:]
    for seed, run in zip(seeds.TRAININGS, runs, strict=False):
        made = Translator.load(run).translate({CAMERA: torch.from_numpy(images)}, to)[CAMERA].numpy()
        probes.append(probe_labels(training, heldout, (made, rows), fit=fit, seed=seed))
    return {name: [getattr(one, name).tolist() for one in probes] for name in ("recorded", "translated")}


def frames(path: Path, dry: bool) -> Shown:
    """Frames of a store's episodes, and where the rows stand in them, which follows from the seed."""
    store = DemoStore.open(path)
    count = min(6 if dry else PROBED, store.num_episodes)
    images = spaced_frames(store, (CAMERA,), count, FRAMES)[CAMERA]
    return images, shifts_of(store.episode_attrs["seed"][:count]).repeat(FRAMES, axis=0)


def contrasts(study: Study, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Whether half of what was lost is regained, and more than by jitter."""
    success = {name: np.array(row["episodes"]["success"], float) for name, row in rows.items()}
    halfway = (success["plain"] + success["lost"]) / 2
    found = {
        name: {"regained_half": asdict(mean(own - halfway)), "beyond_jitter": asdict(mean(own - success["jitter"]))}
        for name, own in success.items()
        if "/" in name or name in ("jitter", "real")
    }
    keep_part(study.out, f"{PART}/contrasts", found)
    for name, of_row in found.items():
        numbers = (
            f"{what} {one['value']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]" for what, one in of_row.items()
        )
        print(f"{name}: {', '.join(numbers)}", flush=True)


if __name__ == "__main__":
    with user_errors():
        main()

"""Does disagreement between networks tell how wrong they are? The rows' places, read from images of AvoidPixels.

    python -m benchmarks.perception [--dataset datasets/avoid_pixels.zarr] [--out docs/results/perception.json]
        [--ensembles DIR]

One ensemble per view is trained on frames of the demonstrations and asked about fresh episodes of the expert, clean and
degraded. Declared before anything was measured:

* error: mean over the three rows of |read - true| [m], of the members' mean; score: the members' disagreement;
* controls: how far from the middle one member alone reads the rows, and random numbers;
* degradations as in `robolearn/perception/degrade.py`, of which training saw nothing; "mixed" leaves every second image
  as it is and degrades the others, the three kinds alike;
* views: every view of a frame is degraded (or not) by itself; the best fixed view is the one that did best in these
  very episodes, a rival that is known only afterwards; the random view is the mean over all;
* radius: threshold x disagreement, calibrated at alpha 0.1 on the largest error / disagreement of an episode's frames;
  covered is an episode with all its frames. A constant radius stands beside it.

Takes six to seven minutes of one core.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import keep, options
from envs.avoid_pixels import AvoidPixels
from envs.cameras import Cameras
from envs.drivers import TaskVectorEnv
from envs.episodes import streams_of
from robolearn import seeds
from robolearn.config import to_json
from robolearn.data.store import DemoStore
from robolearn.errors import UserError, user_errors
from robolearn.nets.descent import FitConfig
from robolearn.nets.vision import VisionConfig
from robolearn.perception.degrade import DEGRADATIONS, degrade
from robolearn.perception.disagreement import disagreement, distance, most_certain
from robolearn.perception.ensemble import PerceptionConfig, PerceptionEnsemble
from robolearn.perception.fit import fit_ensemble
from robolearn.stats.bootstrap import grouped_mean
from robolearn.stats.differences import paired_difference
from robolearn.stats.proportions import beta_binomial_interval
from robolearn.stats.ranks import rank_correlation, rank_correlation_estimate
from robolearn.stats.value import Estimate
from robolearn.trust.conformal.thresholds import threshold, threshold_rank

VIEWS = {"top": "image", **{name: f"image_{name}" for name in AvoidPixels.views}}
CONFIG = PerceptionConfig((96, 96, 3), num_values=3, num_members=4, vision=VisionConfig(width=8, shift=0))
FIT = FitConfig(steps=1200)
DRY_FIT, DRY_EPISODES = FitConfig(steps=2, batch_size=4), 20
TRAINING_FRAMES, FRAMES = 8, 4  # of an episode
CONDITIONS = ("clean", *DEGRADATIONS, "mixed")
ALPHA = 0.1


@dataclass(frozen=True)
class Frames:
    """Images of every view, and what is to be read from them."""

    images: dict[str, np.ndarray]
    """View -> [e, f, h, w, c]."""
    shifts: np.ndarray
    """Of the rows [e, 3], in m."""


@dataclass(frozen=True)
class Reading:
    """What an ensemble makes of frames [e, f, ...], in m."""

    predictions: np.ndarray
    """[k, e, f, 3]."""
    truth: np.ndarray
    """[e, f, 3]."""

    @property
    def error(self) -> np.ndarray:
        """Of the members' mean [e, f]."""
        return distance(self.predictions.mean(0), self.truth)

    @property
    def score(self) -> np.ndarray:
        """The members' disagreement [e, f]."""
        return disagreement(self.predictions)

    def without(self, member: int) -> Reading:
        """What the other members make of them."""
        return Reading(np.delete(self.predictions, member, axis=0), self.truth)


# Frames


def demonstrated(path: Path, rng: np.random.Generator) -> Frames:
    """Frames of the demonstrations, for all cameras: the rod is where it was recorded, rows follow from the seed."""
    store = DemoStore.open(path)
    if "seed" not in store.episode_attrs:
        raise UserError(f"{path}: meta/seed is missing, from which the rows' places follow")
    episodes = np.split(store.read("state"), store.episode_ends[:-1])
    return draw(store.episode_attrs["seed"], np.stack([some(states, TRAINING_FRAMES, rng) for states in episodes]))


def fresh(first_seed: int, num_episodes: int, rng: np.random.Generator) -> Frames:
    """Frames of the expert's episodes with seeds that follow `first_seed`."""
    seeds = first_seed + np.arange(num_episodes)
    env = TaskVectorEnv(num_episodes, AvoidPixels(), num_threads=0, num_frames=0)
    states, lengths = [env.reset(seed=seeds.tolist())[0]["state"]], np.zeros(num_episodes, int)
    ended = np.zeros(num_episodes, bool)
    while not ended.all():
        lengths += ~ended
        obs, _, terminated, truncated, _ = env.step(env.expert_action()[1])
        states.append(obs["state"])
        ended = terminated | truncated
    env.close()
    paths = np.stack(states, axis=1)
    return draw(seeds, np.stack([some(p[:n], FRAMES, rng) for p, n in zip(paths, lengths, strict=True)]))


def some(states: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """States [num, 4] at random times of an episode."""
    return states[rng.integers(len(states), size=num)]


def draw(seeds: np.ndarray, states: np.ndarray) -> Frames:
    """What all cameras see with the rod as in `states` [e, f, 4] and the rows where the seeds [e] have them."""
    task, shifts = AvoidPixels().with_views(AvoidPixels.views), shifts_of(seeds)
    rows = np.broadcast_to(shifts[:, None], (*states.shape[:2], 3))
    cameras = Cameras(task, len(seeds))
    physics = task.physics_at(np.concatenate([states[..., :2], rows], axis=-1))
    images = cameras.draw(physics, seeds, [task.model] * len(seeds))
    cameras.close()
    return Frames({view: images[key] for view, key in VIEWS.items()}, shifts)


def shifts_of(seeds: np.ndarray) -> np.ndarray:
    """Where the rows stand [e, 3], in m, in the episodes of seeds [e]."""
    task = AvoidPixels()
    return np.stack([task.sample_start(streams_of(int(seed))[0])[2:] for seed in seeds])


def under(condition: str, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images [e, f, h, w, c] under one of the conditions."""
    flat = images.reshape(-1, *images.shape[2:])
    if condition == "mixed":
        kinds = np.where(rng.random(len(flat)) < 0.5, "clean", rng.choice(list(DEGRADATIONS), len(flat)))
    else:
        kinds = np.full(len(flat), condition)
    result = flat.copy()
    for kind in DEGRADATIONS:
        chosen = kinds == kind
        result[chosen] = degrade(kind, flat[chosen], rng)
    return result.reshape(images.shape)


# Reading


def trained(frames: Frames, view: str, seed: int, folder: Path | None, fit: FitConfig) -> PerceptionEnsemble:
    """The ensemble of a view: from the folder, where it is there already."""
    if folder and (folder / view).exists():
        return PerceptionEnsemble.load(folder / view)
    start = time.process_time()

    def show(member: int, loss: float) -> None:
        print(f"{view}, member {member}: loss {loss:.1e}, {time.process_time() - start:.0f} s", flush=True)

    ensemble = fit_ensemble(CONFIG, frames.images[view], frames.shifts, fit, seed=seed, on_member=show)
    if folder:
        ensemble.save(folder / view)
    return ensemble


def read(ensemble: PerceptionEnsemble, images: np.ndarray, shifts: np.ndarray) -> Reading:
    """Predict from images [e, f, h, w, c] and compare with the truth [e, 3]."""
    with torch.no_grad():
        parts = [ensemble(torch.from_numpy(part)) for part in images]  # an episode at a time
    predictions = torch.stack(parts, dim=1).numpy().astype(float)  # [k, e, f, 3]
    truth = np.broadcast_to(shifts[:, None], predictions.shape[1:])
    return Reading(predictions, truth)


# Measures


def correlations(reading: Reading, rng: np.random.Generator) -> dict[str, Any]:
    """Spearman's rho of each score with the error, and what a single member does to that of disagreement."""
    scores = {
        "disagreement": reading.score,
        "one network": distance(reading.predictions[0], np.zeros_like(reading.truth)),
        "random": rng.random(reading.error.shape),
    }
    rho = {name: to_json(rank_correlation_estimate(score, reading.error), {}) for name, score in scores.items()}
    others = [reading.without(member) for member in range(CONFIG.num_members)]
    return {
        "error_mm": 1e3 * reading.error.mean(),
        "score_mm": 1e3 * reading.score.mean(),
        "members_mm": [1e3 * distance(one, reading.truth).mean() for one in reading.predictions],
        "rho": rho,
        "rho_without_member": [rank_correlation(o.score.ravel(), o.error.ravel()) for o in others],
    }


def choice(readings: dict[str, Reading]) -> dict[str, Any]:
    """Error of the view that is chosen by disagreement, and of others, in mm; intervals over episodes."""
    errors = 1e3 * np.stack([reading.error for reading in readings.values()])  # [v, e, f]
    index = most_certain(np.stack([reading.score for reading in readings.values()]))
    chosen = np.take_along_axis(errors, index[None], axis=0)[0]
    best = int(errors.mean((1, 2)).argmin())
    rows = {"chosen": chosen, "random": errors.mean(0), "best fixed": errors[best], "oracle": errors.min(0)}
    per_episode = {name: values.mean(1)[None] for name, values in rows.items()}
    return {
        "fixed_mm": dict(zip(readings, errors.mean((1, 2)).tolist(), strict=True)),
        "best_fixed": list(readings)[best],
        "taken": {view: float((index == i).mean()) for i, view in enumerate(readings)},
        "error_mm": {name: to_json(grouped_mean(values), {}) for name, values in per_episode.items()},
        "chosen_minus_mm": {
            name: to_json(paired_difference(per_episode["chosen"], per_episode[name]), {})
            for name in ("random", "best fixed", "oracle")
        },
    }


def radii(calibration: Reading, tests: dict[str, Reading]) -> dict[str, Any]:
    """Coverage and mean radius of episodes under each condition, with a radius in proportion and a constant one."""
    n, coverage = len(calibration.error), {}
    for name, scale in (("normalised", lambda r: r.score), ("constant", lambda r: np.ones_like(r.score))):
        limit = threshold((calibration.error / scale(calibration)).max(1), ALPHA)
        coverage[name] = {"threshold": limit}
        for condition, test in tests.items():
            covered = (test.error <= limit * scale(test)).all(1)
            coverage[name][condition] = {
                "covered": float(covered.mean()),
                "radius_mm": float(1e3 * limit * scale(test).mean()),
            }
    num_new, k = len(next(iter(tests.values())).error), threshold_rank(n, ALPHA)
    return {"law_95": list(beta_binomial_interval(num_new, k, n + 1 - k)), **coverage}


def measure(cfg: argparse.Namespace, fit: FitConfig) -> dict[str, Any]:
    """All numbers."""
    streams = iter(np.random.default_rng(cfg.seed).spawn(1000))
    demos = demonstrated(cfg.dataset, next(streams))
    calibration, test = (
        fresh(seed, cfg.episodes, next(streams)) for seed in (seeds.FRAMES_CALIBRATION.start, seeds.FRAMES_TEST.start)
    )
    ensembles = {view: trained(demos, view, cfg.seed, cfg.ensembles, fit) for view in VIEWS}
    readings = {}
    for name, frames in (("calibration", calibration), ("test", test)):
        for view, ensemble in ensembles.items():
            for condition in CONDITIONS:
                images = under(condition, frames.images[view], next(streams))
                readings[name, view, condition] = read(ensemble, images, frames.shifts)
    numbers: dict[str, Any] = {"correlation": {}, "choice": {}, "radius": {}}
    for view in VIEWS:
        tests = {condition: readings["test", view, condition] for condition in CONDITIONS}
        numbers["correlation"][view] = {name: correlations(reading, next(streams)) for name, reading in tests.items()}
        numbers["radius"][view] = {
            name: radii(readings["calibration", view, name], tests) for name in ("clean", "mixed")
        }
    for condition in ("clean", "mixed"):
        numbers["choice"][condition] = choice({view: readings["test", view, condition] for view in VIEWS})
    return numbers


def show(numbers: dict[str, Any]) -> None:
    """Print the main numbers."""
    for view, rows in numbers["correlation"].items():
        for condition, row in rows.items():
            rho = ", ".join(f"{name} {Estimate(**one):.2f}" for name, one in row["rho"].items())
            members = ", ".join(f"{mm:.1f}" for mm in row["members_mm"])
            print(f"{view}, {condition}: error {row['error_mm']:.2f} mm, of members {members}; rho of {rho}")
            print(f"    without a member in turn: {', '.join(f'{r:.2f}' for r in row['rho_without_member'])}")
    for condition, row in numbers["choice"].items():
        fixed = (f"{view} {mm:.2f} mm (taken {row['taken'][view]:.2f})" for view, mm in row["fixed_mm"].items())
        print(f"views, {condition}: {', '.join(fixed)}")
        for part in ("error_mm", "chosen_minus_mm"):
            for name, one in row[part].items():
                print(f"    {part} {name}: {Estimate(**one):.2f}")
    for view, parts in numbers["radius"].items():
        for calibrated, row in parts.items():
            print(f"{view}, calibrated {calibrated}, law {row['law_95']}")
            for name in ("normalised", "constant"):
                cells = (f"{c} {row[name][c]['covered']:.3f} ({row[name][c]['radius_mm']:.2f} mm)" for c in CONDITIONS)
                print(f"    {name}: {', '.join(cells)}")


def main() -> None:
    """Measure, write and show."""
    parser = options(__doc__)
    parser.add_argument("--dataset", type=Path, default=Path("datasets/avoid_pixels.zarr"), help="demonstrations")
    parser.add_argument("--ensembles", type=Path, help="folder to keep the ensembles in, and to take them from")
    parser.add_argument("--episodes", type=int, default=300, help="fresh episodes for calibration, and as many to test")
    parser.add_argument("--seed", type=int, default=seeds.TRAININGS.start)
    cfg = parser.parse_args()
    fit = DRY_FIT if cfg.dry_run else FIT
    if cfg.dry_run:
        cfg.episodes = DRY_EPISODES
    torch.set_num_threads(1)
    numbers = measure(cfg, fit)
    sizes = {"seed": cfg.seed, "episodes": cfg.episodes, "frames": FRAMES, "alpha": ALPHA}
    settings = {"ensemble": to_json(CONFIG, {}), "fit": to_json(fit, {})}
    keep(cfg.out, {**sizes, **settings, **numbers})
    show(numbers)


if __name__ == "__main__":
    with user_errors():
        main()

"""Watched episodes: every policy under every shift, with all scores at each replanning and no interventions."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.safety.raw import Episodes, Raw
from benchmarks.safety.study import (
    BIAS,
    EXECUTION,
    FIRST,
    NUM_SAMPLES,
    SCORES,
    TASKS,
    Study,
    environment,
    fit,
    fitted_at,
    load,
    train,
)
from benchmarks.safety.units import Unit
from robolearn.trust.calibrate import watch
from robolearn.trust.scores.fitted import FILE, load_fitted


def watched(task: str, seed: int, shift: str, purpose: str) -> str:
    """Name of a unit of watched episodes."""
    return f"watched/{task}/{seed}/{shift.replace(' ', '_')}/{purpose}"


def fitted(task: str, seed: int) -> str:
    """Name of the unit that fits a policy's scores."""
    return f"fitted/{task}/{seed}"


def training_units(study: Study, on_gpu: int) -> list[Unit]:
    """The policies, longest training first, of which so many share the GPU."""
    order = sorted(study.tasks, key=lambda task: -TASKS[task].steps)
    units = []
    for index, (task, seed) in enumerate((task, seed) for task in order for seed in range(study.num_seeds)):
        device = "cuda" if index < on_gpu else "cpu"
        stores, out = (study.datasets / f"{task}.zarr",), study.run(task, seed)
        work = partial(train, task=task, stores=stores, seed=seed, out=out, device=device)
        units.append(Unit(f"trained/{task}/{seed}", work, product=study.trained(task, out)))
    return units


def fitting_units(study: Study) -> list[Unit]:
    """Scores fitted to demonstrations, of every policy."""
    return [
        Unit(
            fitted(task, seed),
            partial(fit, task=task, seed=seed),
            tuple(f"trained/{task}/{other}" for other in range(study.num_seeds)),
            fitted_at(study, task, seed) / FILE,
        )
        for seed in range(study.num_seeds)
        for task in study.tasks
    ]


def watching_units(study: Study) -> list[Unit]:
    """The first policies first: others need their episodes."""
    units = []
    for seed in range(study.num_seeds):
        for task in study.tasks:
            wanted = [("none", "calibration"), (BIAS, "selection")] if seed == 0 else [("none", "calibration")]
            wanted += [(shift, "evaluation") for shift in ("none", *TASKS[task].shifts)] + [(BIAS, "calibration")]
            for shift, purpose in wanted:
                work = partial(_watch, task=task, seed=seed, shift=shift, purpose=purpose)
                units.append(Unit(watched(task, seed, shift, purpose), work, (fitted(task, seed),)))
    return units


def _watch(study: Study, task: str, seed: int, shift: str, purpose: str) -> dict[str, Any]:
    ensemble = load(study, task, seed)
    trajectories = watch(
        ensemble,
        environment(task, shift),
        range(study.tuning if purpose == "selection" else study.episodes),
        names=SCORES,
        num_samples=NUM_SAMPLES,
        execution=EXECUTION,
        seed=FIRST[purpose],
        fitted=load_fitted(fitted_at(study, task, seed), SCORES, ensemble.device),
    )
    return Episodes.from_trajectories(trajectories).arrays()


def find(raw: Raw, task: str, seed: int, shift: str, purpose: str) -> Episodes:
    """Watched episodes of a unit."""
    return raw.episodes(watched(task, seed, shift, purpose))


def seeds(raw: Raw, task: str) -> list[int]:
    """Training seeds whose episodes are there, in order."""
    return sorted({int(key.split("/")[2]) for key in raw if key.startswith(f"watched/{task}/")})

"""Does a policy learn from the interventions of its gate? Recorded under the sensor's bias, mixed with demonstrations.

The expert takes over where a gate on disagreement at alpha 0.1 says so, in 300 episodes of the first policy from seed
800,000; what it did in successful ones is a store, and train.py trains anew on both, for as many steps, with three
training seeds. Success without a gate, from the same 200 initial states, before (the policies of the same training
seeds, on the demonstrations alone) and after, with and without the bias.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.safety.fallbacks import SCORE, disagreement_gate
from benchmarks.safety.outcomes import difference, share
from benchmarks.safety.raw import Episodes, Raw
from benchmarks.safety.study import BIAS, EXECUTION, FIRST, NUM_SAMPLES, Study, environment, load, train
from benchmarks.safety.units import Unit
from benchmarks.safety.watched import find, seeds, watched
from robolearn.policies.policy import Policy
from robolearn.rollout.roll_out import roll_out
from robolearn.training.run import Run
from robolearn.trust.guarded import make_guarded
from robolearn.trust.interventions import record_interventions

NUM_TRAININGS = 3
LEARNERS = ("push", "insert")  # on Avoid the gate hardly alarms
SHIFTS = ("none", BIAS)


def dagger_units(study: Study, on_gpu: bool) -> list[Unit]:
    """Interventions, trainings on them, and what these make of the task."""
    units = []
    for task in (task for task in study.tasks if task in LEARNERS):
        recorded = f"dagger/{task}/recorded"
        units.append(Unit(recorded, partial(_record, task=task), (watched(task, 0, "none", "calibration"),)))
        stores = (study.datasets / f"{task}.zarr", _store(study, task))
        for seed in range(min(NUM_TRAININGS, study.num_seeds)):
            out = study.root / "dagger" / task / str(seed)
            trained = f"dagger/{task}/trained/{seed}"
            device = "cuda" if on_gpu else "cpu"
            work = partial(train, task=task, stores=stores, seed=seed, out=out, device=device)
            units.append(Unit(trained, work, (recorded,), study.trained(task, out)))
            after = partial(_after, task=task, out=out)
            units.append(Unit(f"dagger/{task}/after/{seed}", after, (trained,)))
    return units


def _store(study: Study, task: str) -> Path:
    return study.root / "dagger" / f"{task}.zarr"


def _record(study: Study, task: str) -> dict[str, Any]:
    shutil.rmtree(_store(study, task), ignore_errors=True)
    ensemble = load(study, task, 0)
    choices = {"names": (SCORE,), "num_samples": NUM_SAMPLES, "gate": disagreement_gate(study, task)}
    runs = roll_out(
        ensemble.members[0],
        environment(task, BIAS),
        range(study.recorded),
        execution=EXECUTION,
        seed=FIRST["interventions"],
        make_controller=partial(make_guarded, ensemble=ensemble, fallback="expert", **choices),
    )
    control_dt = Run.open(study.run(task, 0)).data().control_dt
    count = record_interventions(_store(study, task), runs, EXECUTION.period, environment(task, BIAS), control_dt)
    return {"with": Episodes.from_trajectories(runs), "recorded": count}


def _after(study: Study, task: str, out: Path) -> dict[str, Any]:
    policy = Policy.load(Run.open(out).checkpoint())
    return {
        shift.replace(" ", "_"): Episodes.from_trajectories(
            roll_out(
                policy, environment(task, shift), range(study.episodes), execution=EXECUTION, seed=FIRST["evaluation"]
            )
        )
        for shift in SHIFTS
    }


def dagger_figures(raw: Raw, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Task -> what was recorded, and success before and after, per training seed and over them."""
    figures: dict[str, Any] = {}
    for task in (task for task in tasks if raw.has(f"dagger/{task}/after")):
        figures[task] = {"recorded": int(raw[f"dagger/{task}/recorded/recorded"])}
        trained = sorted(
            int(key.split("/")[3]) for key in raw if key.startswith(f"dagger/{task}/after/") and key.endswith("/made")
        )
        for shift in SHIFTS:
            before = np.array([find(raw, task, seed, shift, "evaluation").success for seed in seeds(raw, task)])
            after = np.array(
                [raw.episodes(f"dagger/{task}/after/{seed}/{shift.replace(' ', '_')}").success for seed in trained]
            )
            figures[task][shift] = {
                "before": [share(row) for row in before],
                "after": [share(row) for row in after],
                "difference": difference(after, before[trained]),
            }
    return figures

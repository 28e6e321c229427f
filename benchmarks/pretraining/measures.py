"""What is measured of networks and policies."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.common import spaced_frames
from benchmarks.pretraining.compute import Budget
from benchmarks.pretraining.study import FRAMES, TARGET, TRAININGS, Row, Study
from benchmarks.pretraining.trainings import pretrained, trained
from benchmarks.trainings import line, measure
from robolearn.data.store import DemoStore
from robolearn.nets.pretrained import CameraNets, CamerasConfig
from robolearn.policies.policy import Policy
from robolearn.representation.probe import linear_probe
from robolearn.representation.registry import METHODS
from robolearn.stats.value import Estimate, Outcome

PROBED = 200  # episodes of the probes, a fifth of them held out


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
    for seed in study.seeds[:TRAININGS]:
        torch.manual_seed(seed)
        nets.append(camera_of(study, CameraNets(CamerasConfig(vision, {study.task.camera: shape}))))
    return nets


def camera_of(study: Study, nets: CameraNets) -> nn.Module:
    """The network of the task's camera."""
    return nets.by_name()[study.task.camera].eval()


def probe_all(study: Study, budget: Budget) -> dict[str, Any]:
    """R^2 of untrained networks and of those that were pre-trained on all images [seed, number]."""
    some = study.seeds[:TRAININGS]
    asked = {"seeds": some}
    found = {"untrained": study.part("probe/untrained", lambda: {"r2": probed(study, untrained(study))}, asked)}
    for method in METHODS:

        def make(method: str = method) -> dict[str, Any]:
            runs = [pretrained(study, method, 1.0, seed, budget) for seed in some]
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
        "seeds": study.seeds_of(row, fraction),
        "steps": budget.policy(row),
        "pretraining_steps": 0 if row.method is None else budget.pretraining(row.method),
        "method": row.method,
        "starts_from": study.episodes.start,
        "starts": len(study.episodes),
    }
    result = study.part(f"{fraction:.0%}/{row.name}", make, asked)
    print(f"{study.name}, {fraction:.0%}, {row.name}: {line(result)}", flush=True)
    return result


def judged(gained: Estimate) -> Outcome:
    """Whether the target is met: at least 0.1 is gained, and the interval is above 0."""
    if gained.value >= TARGET and gained.low > 0:
        return "shown"
    return "missed" if gained.high < TARGET else "not shown"

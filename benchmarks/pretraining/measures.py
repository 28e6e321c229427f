"""What is measured of networks and policies."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.common import spaced_frames
from benchmarks.pretraining.compute import Budget
from benchmarks.pretraining.study import FRAMES, TRAININGS, Row, Study
from benchmarks.pretraining.trainings import pretrained, trained
from benchmarks.trainings import line, measure
from robolearn import seeds
from robolearn.data.store import DemoStore
from robolearn.nets.pretrained import CameraNets, CamerasConfig
from robolearn.policies.policy import Policy
from robolearn.representation.probe import linear_probe
from robolearn.representation.registry import METHODS

PROBED = 200  # episodes of the probes, a fifth of them held out


def probed(study: Study, net: nn.Module) -> list[float]:
    """R^2 of each number of the true state."""
    store, camera = DemoStore.open(study.data), study.task.camera
    count = min(PROBED, store.num_episodes)
    rows = spaced_frames(store, (camera, "state"), count, FRAMES)
    truth, cut = study.task.truth(store, rows, count).astype(float), FRAMES * (count * 4 // 5)
    with torch.inference_mode():
        parts = [net(part) for part in torch.from_numpy(rows[camera]).split(64)]
    features = torch.cat(parts).double().numpy()
    return linear_probe((features[:cut], truth[:cut]), (features[cut:], truth[cut:])).tolist()


def untrained(study: Study) -> nn.Module:
    """A network as it is drawn."""
    shape, vision = DemoStore.open(study.data).shapes[study.task.camera], study.task.train.vision
    torch.manual_seed(study.seed)
    return camera_of(study, CameraNets(CamerasConfig(vision, {study.task.camera: shape})))


def camera_of(study: Study, nets: CameraNets) -> nn.Module:
    """The network of the task's camera."""
    return nets.by_name()[study.task.camera].eval()


def probe_all(study: Study, budget: Budget) -> None:
    """Measure R^2 of the state by an untrained network and by those that were pre-trained on all images."""
    if study.seed not in seeds.TRAININGS[:TRAININGS]:
        return
    asked = {"seed": study.seed, "content": study.content}
    study.part(f"probe/untrained/{study.seed}", lambda: {"r2": probed(study, untrained(study))}, asked)
    for method in METHODS:

        def make(method: str = method) -> dict[str, Any]:
            run = pretrained(study, method, 1.0, budget)
            return {"r2": probed(study, camera_of(study, CameraNets.load(run)))}

        steps = {"steps": budget.pretraining(method)}
        told = study.part(f"probe/{method}/{study.seed}", make, asked | steps)
        print(f"{study.name}, seed {study.seed}, features of {method}: R^2 {np.mean(told['r2']):.3f}", flush=True)


def measured(study: Study, row: Row, fraction: float, budget: Budget) -> None:
    """Measure success and score of a row's policy, and what its network tells of the state."""

    def make() -> dict[str, Any]:
        run = trained(study, row, fraction, budget)
        net = Policy.load(run.checkpoint("last")).encoder.by_camera()[study.task.camera]
        return {**measure([run], study.task.env, study.episodes), "r2": probed(study, net)}

    asked = {
        "demonstrations": study.count(fraction),
        "content": study.content,
        "seed": study.seed,
        "steps": budget.policy(row),
        "pretraining_steps": 0 if row.method is None else budget.pretraining(row.method),
        "method": row.method,
        "starts_from": study.episodes.start,
        "starts": len(study.episodes),
    }
    result = study.part(f"{fraction:.0%}/{row.name}/{study.seed}", make, asked)
    print(f"{study.name}, {fraction:.0%}, {row.name}, seed {study.seed}: {line(result)}", flush=True)

"""A program as users write it, typed everywhere; test_public.py checks it in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import robolearn as rl
from robolearn.nets.backbone import Backbone, BackboneConfig, Shapes
from robolearn.policies.draws import Draws
from robolearn.policies.family import Chunks, Family, FamilyConfig, MakeNet
from robolearn.policies.losses import masked_mean
from robolearn.trust.scores.score import Evidence


@dataclass(frozen=True)
class MedianConfig(FamilyConfig):
    weight: float = 1.0
    center: Literal["median", "mean"] = field(default="median", metadata={"runtime": True})

    def build(self, make_net: MakeNet, action_horizon: int, action_dim: int) -> Family:
        return Median(self, make_net, action_horizon, action_dim)


class Median(Family):
    noise_shape = (0,)

    def __init__(self, cfg: MedianConfig, make_net: MakeNet, action_horizon: int, action_dim: int) -> None:
        super().__init__(cfg, action_horizon, action_dim)
        self.net = make_net(action_dim, action_dim, 0)

    def loss(self, data: Chunks, draws: Draws, *, player: str = "policy") -> tuple[Tensor, dict[str, Tensor]]:
        error = self.sample(data.cond, data.actions) - data.actions
        return self.cfg.weight * masked_mean(error.abs(), data.mask), {}

    def sample(self, cond: Tensor, noise: Tensor) -> Tensor:
        chunk: Tensor = self.net(cond.new_zeros(len(cond), *self.chunk_shape), cond)
        return chunk


@dataclass(frozen=True)
class LinearConfig(BackboneConfig):
    def build(self, shapes: Shapes) -> Backbone:
        return Linear(shapes)


class Linear(nn.Module):
    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.shape = shapes.action_horizon, shapes.dim_out
        self.layer = nn.Linear(shapes.obs_horizon * shapes.cond_dim, shapes.action_horizon * shapes.dim_out)

    def forward(self, x: Tensor, cond: Tensor, time: Tensor | None = None) -> Tensor:
        chunk: Tensor = self.layer(cond.flatten(1))
        return chunk.view(len(x), *self.shape)


def stillness(seen: Evidence) -> Tensor:
    return -seen.executed.diff(dim=1).square().sum(2).mean(1)


def read_table(source: Path, options: rl.ImportOptions) -> rl.Recording:
    table = np.loadtxt(source, delimiter=",", dtype=np.float32, ndmin=2)
    return rl.Recording(rl.StoreAttrs(control_dt=0.1, obs_keys=("state",), source=str(source)), episodes_of(table))


def episodes_of(table: NDArray[np.float32]) -> Iterator[rl.Episode]:
    for number in np.unique(table[:, 0]):
        rows = table[table[:, 0] == number]
        yield rl.Episode(obs={"state": rows[:, 1:3]}, actions=rows[:, 3:])


rl.FAMILIES["median"] = MedianConfig
rl.BACKBONES["linear"] = LinearConfig
rl.FORMATS["table"] = rl.Format("a table of text", read=read_table)
rl.register_score(rl.Score("stillness", stillness))


def main(table: Path, store: Path) -> None:
    rl.import_demos(table, store, "table")
    demos = rl.DemoStore.open(store)
    cfg = rl.TrainConfig(MedianConfig(weight=2.0), LinearConfig(), dataset=rl.DatasetConfig((store,)))
    run = rl.train(cfg)
    report = rl.evaluate(run, rl.EvalConfig(episodes=demos.num_episodes))
    if report.summary.success is not None:
        print(f"{report.summary.success.value:.2f} of {report.summary.success.low:.2f} at least")
    certificate = rl.calibrate(run, rl.CalibrateConfig(alpha=0.05))
    print(certificate)
    agent = rl.Agent(run, rl.ActConfig(gate=True, fallback="hold"))
    agent.reset()
    action = agent.act({"state": np.zeros(2, np.float32)})
    print("stopped" if action is None else action.shape)
    policy = rl.load_policy(run.directory)
    noise = policy.family.noise(1, generator=torch.Generator().manual_seed(0))
    print(policy.act({"state": torch.zeros(1, policy.cfg.obs_horizon, 2)}, noise).shape)


if __name__ == "__main__":
    main(Path("table.csv"), Path("table.zarr"))

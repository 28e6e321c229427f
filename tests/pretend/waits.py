"""Prints, as JSON, what waits for the device, part by part: python tests/pretend/waits.py PART ...

A backbone's part: family -> waits of a training step of each player, and of a plan. ``extras``: the same of images,
angles, symmetries, prefixes, competitive gradient descent and scores in the loop. ``repeated``: family -> waits of a
step of each set of players that a GPU would repeat from a recording.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from device import DEVICE, pretend_device, waits  # noqa: E402

from robolearn.data.ahead import Ahead  # noqa: E402
from robolearn.data.normalizer import Normalizer  # noqa: E402
from robolearn.data.symmetry import AffineMap, Symmetry  # noqa: E402
from robolearn.data.windows import Windows  # noqa: E402
from robolearn.nets.lstm import LSTMConfig  # noqa: E402
from robolearn.nets.mlp import MLPConfig  # noqa: E402
from robolearn.nets.transformer import TransformerConfig  # noqa: E402
from robolearn.nets.unet import UNetConfig  # noqa: E402
from robolearn.nets.vision import VisionConfig  # noqa: E402
from robolearn.policies.ensemble import Ensemble  # noqa: E402
from robolearn.policies.flow import FlowConfig  # noqa: E402
from robolearn.policies.gan import GanConfig  # noqa: E402
from robolearn.policies.mixture import MixtureConfig  # noqa: E402
from robolearn.policies.policy import Policy, PolicyConfig  # noqa: E402
from robolearn.policies.registry import FAMILIES  # noqa: E402
from robolearn.rollout.controller import Controller  # noqa: E402
from robolearn.rollout.execution import Execution  # noqa: E402
from robolearn.training.capture import PLAIN_STEPS, Repeated  # noqa: E402
from robolearn.training.config import TrainConfig  # noqa: E402
from robolearn.training.device import Processes  # noqa: E402
from robolearn.training.examples import begin  # noqa: E402
from robolearn.training.fit import Hooks, check_finite, mean_of  # noqa: E402
from robolearn.training.state import TrainState  # noqa: E402
from robolearn.training.step import move, optimize  # noqa: E402
from robolearn.trust.monitor import Monitor  # noqa: E402

BACKBONES = {
    "mlp": MLPConfig(width=16, depth=2),
    "unet": UNetConfig(widths=(8, 16), num_groups=4, time_dim=8),
    "transformer": TransformerConfig(width=16, num_heads=2, encoder_depth=1, decoder_depth=1),
    "lstm": LSTMConfig(width=16),
}
SHORT_MIXTURE = MixtureConfig(num_observations=8, pairs=2, num_codes=4)
TURN = {
    "state": AffineMap(((-1.0, 0, 0), (0, 1, 0), (0, 0, 1)), (0.0, 0, 0)),
    "action": AffineMap(((-1.0, 0), (0, 1)), (0.0, 0)),
}
BATCH = 4


def make_windows(*, images: bool = False) -> Windows:
    """Two random episodes on the device."""
    obs = {"state": torch.randn(40, 3)}
    if images:
        obs["image"] = torch.randint(0, 256, (40, 16, 16, 3), dtype=torch.uint8)
    return Windows(obs, torch.rand(40, 2), [20, 40], 2, 4, device=DEVICE)


def make_policy(windows: Windows, family: Any = None, backbone: str = "mlp", **options: Any) -> Policy:
    """A small policy on the device."""
    vision = VisionConfig(width=8, num_keypoints=3, features=4, shift=2, jitter=0.2, hue=0.1)
    cfg = PolicyConfig(
        family or FlowConfig(), BACKBONES[backbone], windows.obs_shapes, 2, 2, 4, vision=vision, **options
    )
    return Policy(cfg, Normalizer.fit(windows.arrays())).to(DEVICE)


def train(policy: Policy, windows: Windows, steps: int = 3) -> dict[str, dict[str, int]]:
    """Waits of the last step of every player."""
    state = TrainState(policy, TrainConfig(batch_size=BATCH, steps=steps, warmup_steps=1, amp="off"))
    records, seen = [], {}
    while state.step < steps:
        begin(state, windows, resumed=False)
        players = "+".join(state.moving())
        waits.clear()
        index = torch.randint(len(windows), (BATCH,), generator=state.generator, device=DEVICE)
        records.append(optimize(state, state.policy, windows.batch(index), slice(0, BATCH)))
        state.ema.update(state.step)
        state.step += 1
        seen[players] = dict(+waits)
    check_finite(records, state.step, Hooks())
    mean_of(records[-1:], Processes(DEVICE))
    return seen


def first_obs(policy: Policy) -> dict[str, np.ndarray]:
    """What two environments show."""
    return {
        key: np.zeros((2, *shape), np.uint8 if len(shape) == 3 else np.float32)
        for key, shape in policy.cfg.obs_shapes.items()
    }


def plan(policy: Policy, execution: Execution) -> dict[str, int]:
    """Waits of a replanning of two environments."""
    controller = Controller(policy.eval(), 2, execution, seed=0)
    controller.reset([0, 1], [0, 1], first_obs(policy))
    waits.clear()
    assert np.isfinite(controller.act(np.ones(2, bool))).all()
    return dict(+waits)


def grid(backbone: str) -> dict[str, Any]:
    """Every family on a backbone."""
    report = {}
    for name in FAMILIES:
        windows = make_windows()
        policy = make_policy(windows, SHORT_MIXTURE if name == "mixture" else FAMILIES[name](), backbone)
        report[name] = {
            "train": train(policy, windows, 20 if name == "mixture" else 2),
            "plan": plan(policy, Execution(2)),
        }
    return report


class Asking:
    """Asks for a step anew where a GPU would repeat it."""

    def make(self, act: Callable[[], None]) -> None:
        act()

    def record(self, act: Callable[[], None]) -> Callable[[], None]:
        return act


def repeat(policy: Policy, windows: Windows, steps: int) -> dict[str, dict[str, int]]:
    """Waits of the last step of every set of players, once it would be repeated."""
    cfg = TrainConfig(batch_size=BATCH, steps=steps, warmup_steps=1, amp="off")
    state, seen = TrainState(policy, cfg), {}
    step = Repeated(state, functools.partial(move, state, policy, Ahead(windows), slice(0, BATCH)), Asking())
    made: dict[str, int] = {}
    while state.step < steps:
        begin(state, windows, resumed=False)
        players = "+".join(state.moving())
        waits.clear()
        step()
        made[players] = made.get(players, 0) + 1
        if made[players] > PLAIN_STEPS:
            seen[players] = dict(+waits)
    return seen


def repeated() -> dict[str, Any]:
    """Every family."""
    windows, report = make_windows(), {}
    for name in FAMILIES:
        policy = make_policy(windows, SHORT_MIXTURE if name == "mixture" else FAMILIES[name]())
        report[name] = repeat(policy, windows, 80 if name == "mixture" else 5)
    by_turns = make_policy(windows, GanConfig(critic_steps=2))
    return {**report, "by turns": repeat(by_turns, windows, 10)}


def score(names: tuple[str, ...]) -> dict[str, int]:
    """Waits of a monitor at one replanning of three environments."""
    windows = make_windows()
    ensemble = Ensemble([make_policy(windows).eval() for _ in range(2)])
    monitor = Monitor(ensemble, names, 4, 3, seed=0, period=2)
    slots = np.arange(3)
    monitor.reset(slots.tolist(), [0, 1, 2])
    for _ in range(2):  # the second has a plan before it
        waits.clear()
        monitor.watch(slots, {"state": np.zeros((3, 2, 3), np.float32)}, np.zeros((3, 4, 2), np.float32))
    return dict(+waits)


def extras() -> dict[str, Any]:
    """What a training or a plan may have besides."""
    windows, pictures = make_windows(), make_windows(images=True)
    cgd = GanConfig(objective="wgan-gp", optimizer="cgd")
    cases: dict[str, Callable[[], Any]] = {
        "images": lambda: train(make_policy(pictures), pictures),
        "angles": lambda: train(make_policy(windows, angles={"state": (1,)}), windows),
        "augment": lambda: train(make_policy(windows, symmetry=Symmetry(TURN), symmetry_use="augment"), windows),
        "canonical": lambda: train(make_policy(windows, symmetry=Symmetry(TURN), symmetry_use="canonical"), windows),
        "prefix": lambda: train(make_policy(windows, prefix_horizon=2), windows),
        "cgd": lambda: train(make_policy(windows, cgd), windows),
        "plan of images": lambda: plan(make_policy(pictures), Execution(2)),
        "one score": lambda: score(("disagreement",)),
        "four scores": lambda: score(("disagreement", "entropy", "stac", "denoising")),
    }
    return {name: case() for name, case in cases.items()}


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with pretend_device():
        parts: dict[str, Callable[[], Any]] = {name: functools.partial(grid, name) for name in BACKBONES}
        parts |= {"extras": extras, "repeated": repeated}
        print(json.dumps({name: parts[name]() for name in sys.argv[1:]}), flush=True)
    # All is said. torch's threads for such a device now and then abort a process that ends while they are stopped.
    os._exit(0)

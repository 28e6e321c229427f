"""Avoid in closed loop: from which starts is a policy of codes proved to cross, whatever codes are drawn?

    python -m benchmarks.verify.avoid --runs runs/verify [--out docs/results/verify.json] [--figures docs/results]

A policy of the recipe `avoid-verifiable` is trained where it is not there yet (bounded), and two without its term for
tight bounds (plain), with training seeds 0 and 1; the settings were chosen with seed 0, without that term. Of each, at
each floor of the probabilities of codes:

* proved: the share of the start box from whose cells every sequence of codes above the floor crosses without contact
  and in time, under the kinematic model; see `robolearn/verify/loop/reachability.py`;
* falsified: the share of cells with a start and codes above the floor that touch a cylinder or are late, found by
  trying all codes from five starts of each unproved cell, and confirmed in MuJoCo; the rest is open;
* rollouts: in MuJoCo, with the same floor, of fresh seeds; none that begins in a proved cell may fail;
* random codes: 10,000 starts in proved cells under the kinematic model, codes drawn at random above the floor.

The kinematic model is compared with MuJoCo over whole episodes of random targets. A finished piece is kept in the
file and not measured again.
"""

from __future__ import annotations

import dataclasses
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch

from benchmarks.common import keep_part, options
from benchmarks.trainings import train_to_the_end
from benchmarks.verify.avoid_drawing import draw_map, draw_tubes
from benchmarks.verify.avoid_starts import Starts, try_all_codes
from envs.avoid import CENTERS, FINISH_Y, RADII, ROD_RADIUS, START_Y, WALLS, Avoid
from robolearn import seeds
from robolearn.config import read_json
from robolearn.data.store import DemoStore
from robolearn.errors import user_errors
from robolearn.evaluation.acting import load_policy
from robolearn.policies.policy import Policy
from robolearn.policies.tokens import TokensConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.roll_out import roll_out
from robolearn.stats.proportions import wilson
from robolearn.training.config import TrainConfig
from robolearn.training.recipes import find_recipe
from robolearn.verify.loop.cells import Cells
from robolearn.verify.loop.chunked import Crossing
from robolearn.verify.loop.reachability import Reachability
from robolearn.verify.loop.servo import Servo
from robolearn.verify.policy import codes_of

DEPARTURE = 1e-9  # what is assumed of the kinematic model within a chunk [m], [m/s]
FASTEST = 0.6  # what is proved of the rod's speed along an axis when the policy is asked [m/s]
CELL, FINEST = 0.004, 3  # coarsest cells [m], and how often they are halved
FLOORS = (0.15,)
VARIANTS: dict[str, dict[str, float]] = {"plain": {"bound_weight": 0.0}, "bounded": {}}
TRAININGS = (("plain", 0), ("plain", 1), ("bounded", 0))
EPISODES = 2000
ENV = EnvConfig("envs:robolearn/Avoid-v0", obs=("pos=state[:2]",))
SEED = seeds.EVALUATION[2 * len(seeds.EVALUATION) // 3]  # others report the first ones


def main() -> None:
    """Measure what is missing, then draw."""
    parser = options(__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="directory of the trained policies")
    parser.add_argument("--figures", type=Path, help="directory for the pictures")
    parser.add_argument("--seconds", type=float, default=1800.0, help="most that a proof may take")
    args = parser.parse_args()
    if not known(args, "avoid kinematics"):
        keep_part(args.out, "avoid kinematics", kinematics(10 if args.dry_run else 1000))
    for floor in FLOORS[: 1 if args.dry_run else None]:
        for variant, seed in TRAININGS[: 1 if args.dry_run else None]:
            measure(args, trained(args, variant, seed), f"avoid {variant} {seed} {floor}", floor)


def known(args: Namespace, part: str) -> dict[str, Any] | None:
    """What is in the file of a part."""
    return read_json(args.out).get(part) if args.out and args.out.exists() else None


def trained(args: Namespace, variant: str, seed: int) -> Path:
    """The run of a policy, trained if it is not there."""
    run = args.runs / f"{variant}-{seed}"
    cfg: TrainConfig = find_recipe("avoid-verifiable")
    assert isinstance(cfg.family, TokensConfig)
    family = dataclasses.replace(cfg.family, **VARIANTS[variant])
    steps = 20 if args.dry_run else cfg.steps
    train_to_the_end(dataclasses.replace(cfg, family=family, seed=seed, steps=steps, out=run, threads=1))
    return run


def kinematics(episodes: int) -> dict[str, Any]:
    """How far the kinematic model departs from MuJoCo over episodes of random targets."""
    task, rng, servo = Avoid(), np.random.default_rng(seeds.FIXED), plant()
    data, worst = mujoco.MjData(task.model), np.zeros(4)
    for _ in range(episodes):
        state = np.r_[rng.uniform(WALLS[0], WALLS[1]), rng.uniform(-FASTEST, FASTEST, 2)]
        targets = rng.uniform(WALLS[0] - 0.1, WALLS[1] + 0.1, (task.max_steps, 2))
        states = servo.run(torch.from_numpy(state[None]), torch.from_numpy(targets[None]))[0].numpy()
        mujoco.mj_resetData(task.model, data)
        data.qpos[:], data.qvel[:] = state[:2], state[2:]
        for i, after in enumerate(states):
            data.ctrl[:] = task.control(targets[i // task.num_substeps])
            mujoco.mj_step(task.model, data)
            worst = np.maximum(worst, np.abs(np.r_[data.qpos, data.qvel] - after))
    return {"episodes": episodes, "steps": task.max_steps, "departure": worst.tolist(), "assumed": DEPARTURE}


def plant() -> Servo:
    """Avoid's rod."""
    model = Avoid().model
    walls = torch.from_numpy(WALLS)
    stiffness, timestep = float(model.actuator_gainprm[0, 0]), float(model.opt.timestep)
    return Servo.critically_damped(
        stiffness, float(model.body("rod").mass[0]), timestep, 10, walls[0], walls[1], DEPARTURE
    )


def crossing_of(policy: Policy) -> Crossing:
    """Avoid's question about a policy that executes whole chunks."""
    return Crossing(
        codes_of(policy),
        plant(),
        policy.cfg.action_horizon,
        Avoid.max_steps,
        torch.from_numpy(CENTERS),
        torch.from_numpy(RADII + ROD_RADIUS),
        FINISH_Y,
        torch.full((2,), FASTEST, dtype=torch.float64),
    )


def reachability_of(policy: Policy) -> Reachability:
    """Of the start box."""
    low, size = np.array([0.0, START_Y]) - Avoid.start_spread, 2 * Avoid.start_spread
    counts = np.rint(size / CELL).astype(int)
    starts = [(0, i, j) for i in range(counts[0]) for j in range(counts[1])]
    return Reachability(crossing_of(policy), Cells(low, size / counts, FINEST), starts)


def measure(args: Namespace, run: Path, part: str, floor: float) -> None:
    """All about one policy at one floor."""
    policy = load_policy(run, min_code_probability=floor)
    if known(args, part):
        return
    reachability, started = reachability_of(policy), time.perf_counter()
    finished = reachability.run(20.0 if args.dry_run else args.seconds)
    seconds = time.perf_counter() - started
    starts = Starts.from_reachability(reachability)
    falsified = try_all_codes(reachability.crossing, policy, starts)
    starts = dataclasses.replace(starts, falsified=falsified)
    results = {
        "floor": floor,
        "finished": finished,
        "seconds": seconds,
        "cells": len(reachability.known),
        **starts.shares(),
        **rollouts(policy, starts, 20 if args.dry_run else EPISODES),
        "random_codes": starts.random_codes(reachability.crossing, policy, 100 if args.dry_run else 10_000),
        "starts_um": starts.text(),
    }
    print(part, {key: value for key, value in results.items() if key != "starts_um"}, flush=True)
    keep_part(args.out, part, results)
    if args.figures:
        name = part.replace(" ", "_")
        draw_map(args.figures / f"verify_{name}_map.png", starts, floor, beginnings())
        draw_tubes(args.figures / f"verify_{name}_tube.png", reachability)


def rollouts(policy: Policy, starts: Starts, episodes: int) -> dict[str, Any]:
    """Success in MuJoCo, and failures of episodes that begin in proved cells, which there must not be."""
    execution = Execution(exec_horizon=policy.cfg.action_horizon)
    trajectories = roll_out(policy, ENV, range(episodes), execution=execution, seed=SEED)
    success = np.array([t.success for t in trajectories])
    proved = starts.proved_at(np.stack([t.obs["pos"][0] for t in trajectories]))
    share = wilson(int(success.sum()), len(success))
    return {
        "success": [share.value, share.low, share.high],
        "episodes": len(success),
        "modes": len({t.mode for t in trajectories if t.success}),
        "from_proved": int(proved.sum()),
        "failures_from_proved": int((proved & ~success).sum()),
    }


def beginnings() -> np.ndarray:
    """Where the demonstrations begin [n, 2]."""
    store = DemoStore(Path("datasets/avoid.zarr"))
    first = np.r_[0, np.asarray(store.episode_ends)[:-1]]
    return np.asarray(store.read("state"))[first, :2]


if __name__ == "__main__":
    with user_errors():
        main()

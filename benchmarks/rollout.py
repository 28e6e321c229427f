"""Env-steps per second of Avoid on all cores, beside raw C `mj_step` and gymnasium's vector environments.

    python benchmarks/rollout.py [--out FILE.json]

The bound is C's own loop: one thread per core, each stepping its own data through `mj_step` with no
observation, no contact test and no Python in between. All cases take turns within each round, so that a busy
machine slows all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import mujoco
import numpy as np

from envs.avoid import Avoid
from envs.drivers import TaskVectorEnv
from robolearn import seeds

ENV_ID = "envs:robolearn/Avoid-v0"
NUM_STEPS = 48  # of each environment in one turn; the shortest episode is longer


class Case(NamedTuple):
    """What is timed, and what brings it back to the beginning, untimed."""

    run: Callable[[], None]
    prepare: Callable[[], Any]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Env-steps per second of Avoid on all cores.")
    parser.add_argument("--num-envs", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="write the result as JSON")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes, to see that everything runs")
    args = parser.parse_args()
    num_frames = 2 if args.dry_run else 300
    if args.dry_run:
        args.num_envs, args.rounds = 2, 1

    cores = len(os.sched_getaffinity(0))
    n = args.num_envs
    ours = TaskVectorEnv(n, Avoid())
    sync = gymnasium.make_vec(ENV_ID, num_envs=n, vectorization_mode="sync")
    processes = gymnasium.make_vec(ENV_ID, num_envs=n, vectorization_mode="async")
    actions = expert_actions(ours)
    cases = {
        "raw C mj_step": raw_case(cores, n),
        "vector, chunk 8": chunk_case(ours, actions, 8),
        "vector, chunk 1": chunk_case(ours, actions, 1),
        "gymnasium sync": step_case(sync, actions),
        "gymnasium async": step_case(processes, actions),
    }
    seconds = interleave(cases, args.rounds)
    for env in (ours, sync, processes):
        env.close()

    rates = {name: n * NUM_STEPS / statistics.median(times) for name, times in seconds.items()}
    shares = {name: statistics.median(np.divide(seconds["raw C mj_step"], times)) for name, times in seconds.items()}
    frames = frames_per_second(num_frames)
    print(f"Avoid, {n} environments, {cores} cores: median of {args.rounds} interleaved rounds")
    for name, rate in rates.items():
        print(f"  {name:16} {rate:10,.0f} env-steps/s   {shares[name]:6.1%} of raw")
    print(f"  rendering, 96 px {frames:10,.0f} frames/s")
    if args.out:
        result = {
            "env_steps_per_s": rates,
            "share_of_raw": shares,
            "frames_per_s_96px": frames,
            "num_envs": n,
            "cores": cores,
            "rounds": args.rounds,
            "mujoco": mujoco.__version__,
            "gymnasium": gymnasium.__version__,
            "machine": platform.processor() or platform.machine(),
        }
        args.out.write_text(json.dumps(result, indent=2) + "\n")


def expert_actions(env: TaskVectorEnv) -> np.ndarray:
    """Actions [n, NUM_STEPS, 2] of the scripted expert, so that no episode ends early."""
    env.reset(seed=seeds.FIXED)
    actions = []
    for _ in range(NUM_STEPS):
        _, executed = env.expert_action()
        actions.append(executed)
        env.step(executed)
    return np.stack(actions, axis=1)


def raw_case(cores: int, num_envs: int) -> Case:
    """As many physics steps as the others take, in C, on all cores."""
    task = Avoid()
    data = [mujoco.MjData(task.model) for _ in range(cores)]
    total = num_envs * NUM_STEPS * task.num_substeps
    shares = [total // cores + (i < total % cores) for i in range(cores)]
    pool = ThreadPoolExecutor(cores)

    def run() -> None:
        # One call per thread: mj_step loops in C with the GIL released.
        list(pool.map(lambda i: mujoco.mj_step(task.model, data[i], shares[i]), range(cores)))

    return Case(run, prepare=lambda: None)


def chunk_case(env: TaskVectorEnv, actions: np.ndarray, horizon: int) -> Case:
    """Our vector environment, `horizon` steps per call."""

    def run() -> None:
        for i in range(0, NUM_STEPS, horizon):
            env.step_chunk(actions[:, i : i + horizon])

    return Case(run, prepare=lambda: env.reset(seed=seeds.FIXED))


def step_case(env: gymnasium.vector.VectorEnv, actions: np.ndarray) -> Case:
    """One of gymnasium's own vector environments around our single environment."""

    def run() -> None:
        for i in range(NUM_STEPS):
            env.step(actions[:, i])

    return Case(run, prepare=lambda: env.reset(seed=seeds.FIXED))


def interleave(cases: dict[str, Case], rounds: int) -> dict[str, list[float]]:
    """Seconds of each case in each round, after one round to warm up; resets are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for round_ in range(rounds + 1):
        for name, case in cases.items():
            case.prepare()
            begin = time.perf_counter()
            case.run()
            if round_:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def frames_per_second(num_frames: int) -> float:
    """Rendering rate of a single environment at 96 x 96 px."""
    env = gymnasium.make(ENV_ID, render_mode="rgb_array", width=96, height=96)
    env.reset(seed=seeds.FIXED)
    env.render()
    begin = time.perf_counter()
    for _ in range(num_frames):
        env.render()
    rate = num_frames / (time.perf_counter() - begin)
    env.close()
    return rate


if __name__ == "__main__":
    main()

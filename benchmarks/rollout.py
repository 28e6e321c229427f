"""Env-steps per second of Avoid on all cores, beside raw C `mj_step` and gymnasium's vector environments.

    python -m benchmarks.rollout [--out docs/results/speed.json]

The bound is C's own loop: one thread per core, each stepping its own data through `mj_step` with no
observation, no contact test and no Python in between. All cases take turns within each round, so that a busy
machine slows all alike.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import gymnasium
import mujoco
import numpy as np

from benchmarks.common import in_turn, keep_part, options, ratio
from envs.avoid import Avoid
from envs.drivers import TaskVectorEnv
from robolearn import seeds

ENV_ID = "envs:robolearn/Avoid-v0"
NUM_STEPS = 48  # of each environment in one turn; the shortest episode is longer


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--num-envs", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    n, rounds, num_frames = (2, 1, 2) if args.dry_run else (args.num_envs, args.rounds, 300)

    cores = len(os.sched_getaffinity(0))
    ours = TaskVectorEnv(n, Avoid())
    sync = gymnasium.make_vec(ENV_ID, num_envs=n, vectorization_mode="sync")
    processes = gymnasium.make_vec(ENV_ID, num_envs=n, vectorization_mode="async")
    actions = expert_actions(ours)
    cases = {
        "raw C mj_step": raw(cores, n),
        "vector, chunk 8": chunks(ours, actions, 8),
        "vector, chunk 1": chunks(ours, actions, 1),
        "gymnasium sync": steps(sync, actions),
        "gymnasium async": steps(processes, actions),
    }
    envs = dict(zip(cases, (None, ours, ours, sync, processes), strict=True))

    def prepare(name: str) -> None:
        if (env := envs[name]) is not None:
            env.reset(seed=seeds.FIXED)

    seconds = in_turn(cases, rounds, clock=time.perf_counter, prepare=prepare)
    for env in (ours, sync, processes):
        env.close()

    rates = {name: n * NUM_STEPS / statistics.median(times) for name, times in seconds.items()}
    shares = {name: ratio(seconds["raw C mj_step"], times) for name, times in seconds.items()}
    frames = frames_per_second(num_frames)
    print(f"Avoid, {n} environments, {cores} cores: median of {rounds} interleaved rounds")
    for name, rate in rates.items():
        print(f"  {name:16} {rate:10,.0f} env-steps/s   {shares[name]:.2f} of raw")
    print(f"  rendering, 96 px {frames:10,.0f} frames/s")
    results = {"seconds": seconds, "env_steps": n * NUM_STEPS, "share_of_raw": shares, "frames_per_s_96px": frames}
    keep_part(args.out, "rollout", {**results, "num_envs": n})


def expert_actions(env: TaskVectorEnv) -> np.ndarray:
    """Actions [n, NUM_STEPS, 2] of the scripted expert, so that no episode ends early."""
    env.reset(seed=seeds.FIXED)
    actions = []
    for _ in range(NUM_STEPS):
        _, executed = env.expert_action()
        actions.append(executed)
        env.step(executed)
    return np.stack(actions, axis=1)


def raw(cores: int, num_envs: int) -> Callable[[], None]:
    """As many physics steps as the others take, in C, on all cores."""
    task = Avoid()
    data = [mujoco.MjData(task.model) for _ in range(cores)]
    total = num_envs * NUM_STEPS * task.num_substeps
    shares = [total // cores + (i < total % cores) for i in range(cores)]
    pool = ThreadPoolExecutor(cores)

    def run() -> None:
        # One call per thread: mj_step loops in C with the GIL released.
        list(pool.map(lambda i: mujoco.mj_step(task.model, data[i], shares[i]), range(cores)))

    return run


def chunks(env: TaskVectorEnv, actions: np.ndarray, horizon: int) -> Callable[[], None]:
    """Our vector environment, `horizon` steps per call."""

    def run() -> None:
        for i in range(0, NUM_STEPS, horizon):
            env.step_chunk(actions[:, i : i + horizon])

    return run


def steps(env: gymnasium.vector.VectorEnv, actions: np.ndarray) -> Callable[[], None]:
    """One of gymnasium's own vector environments around our single environment."""

    def run() -> None:
        for i in range(NUM_STEPS):
            env.step(actions[:, i])

    return run


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

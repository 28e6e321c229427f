"""Ensembles on this machine: how to train the members, and how to ask them.

    python -m benchmarks.ensembles [--members 5] [--steps 150] [--out docs/results/ensembles.json]

Training: the time [ms] in which the default policy makes one step of one member, one after the other with one thread
or with all cores, and side by side in as many processes as there are cores, one thread each. Wall time, and CPU time,
which on a machine with other work is the one to look at: CPU time over the cores in use is the wall time of a machine
of one's own. The ways take turns.

Asking: the time [ms] in which all members answer the same observations, in a loop, and with their weights stacked and
`torch.func.vmap` over them. CPU time of one thread; the ways take turns. A ratio above 1 says that stacking is faster.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from benchmarks.common import CPU, OBS_HORIZON, in_turn, keep, make_windows, options, untrained_policy
from robolearn import seeds
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy
from robolearn.policies.registry import FAMILIES, FamilyConfig
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes
from robolearn.training.fit import Hooks, fit
from robolearn.training.state import TrainState

STATE, WARM_UP = 4, 20
ROWS = {1: 32, 32: 16, 512: 2}  # asked together (a rollout asks for groups of 32) -> answers in a round
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Size:
    """How long everything is measured."""

    members: int = 5
    steps: int = 150
    rounds: int = 5


DRY = Size(2, 1, 1)
Obs = dict[str, Tensor]
Ask = Callable[[Obs, Tensor], Tensor]


def train(threads: int, steps: int, start: Barrier, times: Any) -> None:
    """Report wall and CPU time [ms] of a step, measured while the others that wait at ``start`` train as well."""
    torch.set_num_threads(threads)
    windows = make_windows(STATE, episodes=100)

    def run(steps: int) -> tuple[float, float]:
        state = TrainState(untrained_policy(FlowConfig()), TrainConfig(steps=steps))
        wall, cpu = time.perf_counter(), time.process_time()
        fit(state, windows, None, Processes(CPU), Hooks())
        return 1e3 * (time.perf_counter() - wall) / steps, 1e3 * (time.process_time() - cpu) / steps

    run(WARM_UP)
    start.wait()
    times.put(run(steps))


def step_of_a_member(processes: int, threads: int, steps: int) -> tuple[float, float]:
    """Wall and CPU time [ms] that one step of one member takes in this way."""
    context = multiprocessing.get_context("spawn")
    start, times = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=train, args=(threads, steps, start, times)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    wall, cpu = zip(*(times.get() for _ in workers), strict=True)
    for worker in workers:
        worker.join()
    return max(wall) / processes, statistics.mean(cpu)


def compare_training(size: Size) -> dict[str, dict[str, list[float]]]:
    """Way -> wall and CPU time of a step of a member [ms]: median, least and most over the rounds."""
    cores = len(os.sched_getaffinity(0))
    ways = {
        "one after the other, one thread": (1, 1),
        f"one after the other, {cores} threads": (1, cores),
        f"{cores} side by side, one thread each": (cores, 1),
    }
    rounds = [[step_of_a_member(*way, size.steps) for way in ways.values()] for _ in range(size.rounds)]
    table = {}
    for name, values in zip(ways, zip(*rounds, strict=True), strict=True):
        wall, cpu = zip(*values, strict=True)
        table[name] = {"wall_ms": _spread(wall), "cpu_ms": _spread(cpu)}
    return table


class Acting(nn.Module):
    """A policy whose forward acts, as functional_call needs it."""

    def __init__(self, policy: Policy):
        super().__init__()
        self.policy = policy

    def forward(self, obs: Obs, noise: Tensor) -> Tensor:
        """See Policy.act."""
        return self.policy.act(obs, noise)


def stacked(ensemble: Ensemble) -> Ask:
    """Ask all members at once: one batched matrix product where there were several."""
    members: list[nn.Module] = [Acting(member) for member in ensemble.members]
    parameters, buffers = stack_module_state(members)
    base = copy.deepcopy(members[0])

    def one(weights: Obs, rest: Obs, obs: Obs, noise: Tensor) -> Tensor:
        return functional_call(base, (weights, rest), (obs, noise))

    every = vmap(one, in_dims=(0, 0, None, None))
    return lambda obs, noise: every(parameters, buffers, obs, noise)


@torch.inference_mode()
def compare_asking(family: FamilyConfig, size: Size) -> dict[str, dict[str, Any]]:
    """Rows -> times of both ways [ms], their ratio and the largest difference of their chunks."""
    ensemble = Ensemble([untrained_policy(family, seed=seed).eval() for seed in range(size.members)])
    together, generator, table = stacked(ensemble), torch.Generator().manual_seed(seeds.FIXED), {}
    for rows, answers in ROWS.items():
        obs = {"state": torch.rand(rows, OBS_HORIZON, STATE, generator=generator) * 2 - 1}
        noise = ensemble.noise(rows, generator=generator)
        difference = (ensemble.act(obs, noise) - together(obs, noise)).abs().max().item()
        assert difference < TOLERANCE, f"{family}: stacked and loop differ by {difference}"
        ways = {"loop": partial(ensemble.act, obs, noise), "stacked": partial(together, obs, noise)}
        times = in_turn(ways, size.rounds, calls=answers)
        table[str(rows)] = {
            **{f"{way}_ms": 1e3 * statistics.median(values) for way, values in times.items()},
            "ratio": _spread([a / b for a, b in zip(*times.values(), strict=True)]),
            "difference": difference,
        }
    return table


def _spread(values: Any) -> list[float]:
    return [statistics.median(values), min(values), max(values)]


def main() -> None:
    """Measure, print and write."""
    parser = options(__doc__)
    parser.add_argument("--members", type=int, default=Size.members)
    parser.add_argument("--steps", type=int, default=Size.steps)
    args = parser.parse_args()
    size = DRY if args.dry_run else Size(args.members, args.steps)
    torch.set_num_threads(1)
    training = compare_training(size)
    for way, row in training.items():
        for clock, (value, low, high) in row.items():
            name = f"{way}, {clock.removesuffix('_ms')}"
            print(f"{name:42}{value:7.2f} ms [{low:.2f}, {high:.2f}] per step of a member", flush=True)
    families = {name: cls() for name, cls in FAMILIES.items()} | {"flow": FlowConfig(sampler="heun", steps=5)}
    asking = {}
    print(f"\n{'family':12}{'rows':>5}{'loop':>11}{'stacked':>11}   ratio")
    for name, family in families.items():
        asking[name] = compare_asking(family, size)
        for rows, row in asking[name].items():
            value, low, high = row["ratio"]
            times = f"{row['loop_ms']:8.2f} ms{row['stacked_ms']:8.2f} ms"
            print(f"{name:12}{rows:>5}{times}   {value:.2f} [{low:.2f}, {high:.2f}]", flush=True)
    keep(args.out, {"members": size.members, "steps": size.steps, "training": training, "asking": asking})


if __name__ == "__main__":
    main()

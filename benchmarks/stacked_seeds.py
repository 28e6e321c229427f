"""Time of training several seeds of the default policy stacked in one process, beside one after another.

    python benchmarks/stacked_seeds.py [--seeds 3] [--batch 256] [--device cpu]

Stacked, the seeds' weights lie in one tensor with a leading axis and `torch.func` maps the loss over it: one batched
matrix product where there were several. Both ways draw, differentiate and step; the ways take turns. CPU time on a CPU,
wall time on a GPU; one thread. A ratio above 1 says that stacking is the faster one.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from robolearn import seeds
from robolearn.data.normalizer import Normalizer
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.family import Draws
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.types import Batch

STATE, ACTION, OBS_HORIZON, ACTION_HORIZON = 4, 2, 2, 16
STEPS, ROUNDS = 50, 5

Weights = dict[str, Tensor]


def make_policies(seeds: int, device: torch.device) -> list[Policy]:
    """The default policy of Avoid, once per seed."""
    shapes = {"state": (STATE,)}
    cfg = PolicyConfig(FlowConfig(), MLPConfig(), shapes, ACTION, OBS_HORIZON, ACTION_HORIZON)
    return [Policy(cfg, Normalizer({**shapes, "action": (ACTION,)})).to(device) for _ in range(seeds)]


def make_batches(seeds: int, size: int, device: torch.device) -> list[Batch]:
    """Random data, another batch for every seed."""
    return [
        Batch(
            {"state": torch.rand(size, OBS_HORIZON, STATE, device=device) * 2 - 1},
            torch.rand(size, ACTION_HORIZON, ACTION, device=device) * 2 - 1,
            torch.ones(size, ACTION_HORIZON, dtype=torch.bool, device=device),
        )
        for _ in range(seeds)
    ]


def one_after_another(policies: list[Policy], batches: list[Batch]) -> Callable[[], None]:
    """A step of every seed by itself."""
    generator = torch.Generator(policies[0].device).manual_seed(seeds.FIXED)
    optimizers = [torch.optim.AdamW(policy.parameters(), lr=1e-3) for policy in policies]

    def step() -> None:
        for policy, batch, optimizer in zip(policies, batches, optimizers, strict=True):
            draws = policy.draws(len(batch.actions), generator=generator)
            policy.loss(batch, draws)[0].backward()
            optimizer.step()
            optimizer.zero_grad()

    return step


def stacked(policies: list[Policy], batches: list[Batch]) -> Callable[[], None]:
    """A step of all seeds at once."""
    generator, size = torch.Generator(policies[0].device).manual_seed(seeds.FIXED), len(batches[0].actions)
    parameters, buffers = stack_module_state(policies)  # pyright: ignore[reportArgumentType] (a list is invariant)
    base = copy.deepcopy(policies[0])
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-3)
    state = torch.stack([batch.obs["state"] for batch in batches])
    actions, mask = torch.stack([b.actions for b in batches]), torch.stack([b.mask for b in batches])

    def loss(weights: Weights, rest: Weights, draws: Draws, state: Tensor, actions: Tensor, mask: Tensor) -> Tensor:
        return functional_call(base, (weights, rest), (Batch({"state": state}, actions, mask), draws))[0]

    def step() -> None:
        each = [policies[0].draws(size, generator=generator) for _ in policies]
        draws = {name: torch.stack([one[name] for one in each]) for name in each[0]}
        vmap(loss)(parameters, buffers, draws, state, actions, mask).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def milliseconds(step: Callable[[], None], device: torch.device, steps: int) -> float:
    """Time of a step of all seeds [ms]."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = clock()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (clock() - started) / steps


def main() -> None:
    """Measure in turn, and print medians and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes, to see that everything runs")
    args = parser.parse_args()
    steps, rounds = (1, 1) if args.dry_run else (STEPS, ROUNDS)
    torch.set_num_threads(1)
    device = torch.device(args.device)
    policies, batches = make_policies(args.seeds, device), make_batches(args.seeds, args.batch, device)
    alone, together = one_after_another(policies, batches), stacked(policies, batches)
    times = [(milliseconds(alone, device, steps), milliseconds(together, device, steps)) for _ in range(rounds)]
    for name, values in zip(("one after another", "stacked"), zip(*times, strict=True), strict=True):
        print(f"{name:18} {statistics.median(values):7.1f} ms per step of all {args.seeds} seeds")
    ratios = sorted(a / b for a, b in times)
    print(f"{'ratio':18} {statistics.median(ratios):7.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]")


if __name__ == "__main__":
    main()

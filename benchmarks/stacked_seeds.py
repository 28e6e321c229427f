"""Time of training several seeds of the default policy stacked in one process, beside one after another.

    python -m benchmarks.stacked_seeds [--seeds 3] [--batch 256] [--device cpu]

Stacked, the seeds' weights lie in one tensor with a leading axis and `torch.func` maps the loss over it: one batched
matrix product where there were several. Both ways draw, differentiate and step; the ways take turns. CPU time on a CPU,
wall time on a GPU; one thread. A ratio above 1 says that stacking is the faster one.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from benchmarks.common import in_turn, keep, make_windows, options, untrained_policy
from robolearn import seeds
from robolearn.policies.draws import Draws
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy
from robolearn.types import Batch

STEPS, ROUNDS = 50, 5

Weights = dict[str, Tensor]


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


def main() -> None:
    """Measure in turn, and print medians and the median ratio."""
    parser = options(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    steps, rounds = (1, 1) if args.dry_run else (STEPS, ROUNDS)
    torch.set_num_threads(1)
    device, windows = torch.device(args.device), make_windows(device=torch.device(args.device))
    policies = [untrained_policy(FlowConfig(), seed=seed).to(device) for seed in range(args.seeds)]
    indices = torch.arange(args.seeds * args.batch, device=device) % len(windows)
    batches = [windows.batch(index) for index in indices.split(args.batch)]

    def repeated(step: Callable[[], None]) -> None:
        for _ in range(steps):
            step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    ways = {"one after another": one_after_another(policies, batches), "stacked": stacked(policies, batches)}
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    times = in_turn({name: partial(repeated, step) for name, step in ways.items()}, rounds, clock=clock)
    medians = {name: 1e3 * statistics.median(values) / steps for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:18} {value:7.1f} ms per step of all {args.seeds} seeds")
    ratios = sorted(a / b for a, b in zip(*times.values(), strict=True))
    ratio = [statistics.median(ratios), ratios[0], ratios[-1]]
    print(f"{'ratio':18} {ratio[0]:7.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]")
    keep(args.out, {"seeds": args.seeds, "batch": args.batch, "step_ms": medians, "ratio": ratio})


if __name__ == "__main__":
    main()

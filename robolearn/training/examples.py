"""What families prepare of training windows before their players move, such as codes or a teacher's chunks."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from robolearn.data.windows import Windows
from robolearn.policies.family import Chunks, Examples
from robolearn.policies.policy import Policy
from robolearn.policies.prefix import prefix_dim, prefix_draws
from robolearn.training.device import autocast
from robolearn.training.state import TrainState
from robolearn.types import Batch


def begin(state: TrainState, windows: Windows, *, resumed: bool) -> None:
    """Let the families prepare players whose span begins, or goes on in a resumed run; without dropout.

    That would put noise into what is prepared, and another one when it is prepared again.
    """
    family = state.policy.family
    for number, player in enumerate(state.players):
        start, end = state.span(player)
        if state.step == start or (resumed and start < state.step < end):
            generator = torch.Generator(state.policy.device).manual_seed(state.cfg.seed + 1 + number)
            is_training = family.training
            family.eval()
            with autocast(state.policy.device, state.cfg.amp):
                family.begin(player, examples(state.policy, windows, generator), generator=generator)
            family.train(is_training)


def examples(policy: Policy, windows: Windows, generator: torch.Generator) -> Examples:
    """Supply random training windows, normalized and encoded."""

    @torch.no_grad()
    def draw(n: int) -> Chunks:
        parts = []
        for batch in random_batches(policy, windows, n, generator):
            draws = prefix_draws(len(batch.actions), policy.cfg.prefix_horizon, generator=generator)
            data = policy.chunks(batch, draws)
            parts.append((data.actions, data.cond, data.mask))
        return Chunks(*(torch.cat(part) for part in zip(*parts, strict=True)))

    return Examples(draw, len(windows), prefix_dim(policy.cfg.prefix_horizon, policy.cfg.action_dim))


def random_batches(policy: Policy, windows: Windows, n: int, generator: torch.Generator) -> Iterator[Batch]:
    """Up to n random windows, each at most once, turned as in training; in parts that fit into memory."""
    order = torch.randperm(len(windows), generator=generator, device=policy.device)[:n]
    for index in order.split(1024):
        yield policy.turned(windows.batch(index), policy.turn_draws(len(index), generator=generator))

"""The training loop: batches in, optimizer steps, records and checkpoints out. One loop for every family."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from robolearn.data.windows import Windows
from robolearn.policies.policy import Policy
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes, autocast
from robolearn.training.state import TrainState
from robolearn.types import Batch

VALIDATION_WINDOWS = 2048

Record = dict[str, int | float]


class Hooks:
    """What the loop calls; every hook runs in the first process only and may do nothing."""

    def record(self, record: Record) -> None:
        """Numbers of the steps since the last call."""

    def checkpoint(self, state: TrainState) -> None:
        """Time to save."""

    def rollout(self, state: TrainState) -> None:
        """Time to roll the current policy out."""


def fit(state: TrainState, windows: Windows, validation: Windows | None, processes: Processes, hooks: Hooks) -> bool:
    """Train until ``cfg.steps``, or until SIGINT or SIGTERM.

    Every process draws the indices and the noise of the joint batch and takes its share, so that the loss does not
    depend on the number of processes.

    Args:
        state: Where to start from; changed in place.
        windows: Training windows.
        validation: Held-out windows, if any.
        processes: Those that train together.
        hooks: Called every ``log_every``, ``checkpoint_every`` and ``rollout_every`` steps.

    Returns:
        Whether the run is complete; False after a signal.
    """
    cfg, device = state.cfg, state.policy.device
    share = processes.share(cfg.batch_size)
    loss_of: Any = DistributedDataParallel(state.policy) if processes.count > 1 else state.policy
    if cfg.compile:
        loss_of.compile()
    started, first_step, losses = time.perf_counter(), state.step, []
    with stop_signal() as stopped:
        while state.step < cfg.steps:
            index = torch.randint(len(windows), (cfg.batch_size,), generator=state.generator, device=device)
            draws = state.policy.draws(cfg.batch_size, generator=state.generator)
            shard = {name: value[share] for name, value in draws.items()}
            losses.append(optimize(state, loss_of, windows.batch(index[share]), shard))
            state.ema.update(state.step)
            state.step += 1
            stop = processes.any(stopped(), device)
            if state.step % cfg.log_every == 0 or state.step == cfg.steps:
                means = mean_of(losses, processes)
                rate = (state.step - first_step) / (time.perf_counter() - started)
                if processes.is_first:
                    hooks.record({"step": state.step, **means, "lr": state.learning_rate(), "steps_per_s": rate})
                losses.clear()
            if not processes.is_first:
                if stop:
                    return False
                continue
            if cfg.rollout_every and state.step % cfg.rollout_every == 0:
                hooks.rollout(state)
            if stop or state.step % cfg.checkpoint_every == 0 or state.step == cfg.steps:
                if validation is not None:
                    hooks.record(
                        {
                            "step": state.step,
                            "validation_loss": validation_loss(state.ema.module, validation, cfg),
                        }
                    )
                hooks.checkpoint(state)
            if stop:
                return False
    return True


def optimize(
    state: TrainState, loss_of: Callable[..., Any], batch: Batch, draws: dict[str, Tensor]
) -> dict[str, Tensor]:
    """One step of every player; return what is worth logging, still on the device."""
    logged: dict[str, Tensor] = {}
    for player, optimizer in state.optimizers.items():
        for group in optimizer.param_groups:
            group["lr"] = state.learning_rate()
        with autocast(state.policy.device, state.cfg.amp):
            loss, details = loss_of(batch, draws, player=player)
        loss.backward()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, state.cfg.grad_clip)
        optimizer.step()
        optimizer.zero_grad()
        name = "loss" if player == "policy" else f"{player}_loss"
        logged |= {name: loss.detach(), "grad_norm": norm, **details}
    return logged


def mean_of(records: list[dict[str, Tensor]], processes: Processes) -> Record:
    """Mean of each entry over steps and processes; the only place where the loop waits for the device."""
    means = [torch.stack([record[name] for record in records]).mean() for name in records[0]]
    return dict(zip(records[0], processes.mean(torch.stack(means)).tolist(), strict=True))


@torch.no_grad()
def validation_loss(policy: Policy, windows: Windows, cfg: TrainConfig) -> float:
    """Loss on held-out windows, always the same ones with the same noise."""
    generator = torch.Generator(policy.device).manual_seed(cfg.seed)
    index = torch.randint(len(windows), (VALIDATION_WINDOWS,), generator=generator, device=policy.device)
    draws = policy.family.draws(VALIDATION_WINDOWS, generator=generator)
    losses = []
    for start in range(0, VALIDATION_WINDOWS, cfg.batch_size):
        part = slice(start, start + cfg.batch_size)
        loss, _ = policy.loss(windows.batch(index[part]), {name: value[part] for name, value in draws.items()})
        losses.append(loss)
    return torch.stack(losses).mean().item()


@contextmanager
def stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a flag that the loop reads; a second one ends the program at once."""
    received: list[int] = []
    kinds = (signal.SIGINT, signal.SIGTERM)

    def note(signum: int, frame: object) -> None:
        received.append(signum)
        for kind, handler in before.items():
            signal.signal(kind, handler)

    before = {kind: signal.getsignal(kind) for kind in kinds}
    for kind in kinds:
        signal.signal(kind, note)
    try:
        yield lambda: bool(received)
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)

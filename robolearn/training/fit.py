"""The training loop: batches in, optimizer steps, records and checkpoints out. One loop for every family."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from robolearn.data.ahead import Ahead
from robolearn.data.windows import Windows
from robolearn.errors import UserError
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes
from robolearn.training.examples import begin
from robolearn.training.rehearsal import rehearse
from robolearn.training.signals import stop_signal
from robolearn.training.state import TrainState
from robolearn.training.step import make_step
from robolearn.training.validation import validation_loss

Record = dict[str, int | float]


class DivergedError(UserError):
    """A loss, or the norm of a gradient, that is not finite."""


class Hooks:
    """What the loop calls; every hook runs in the first process only and may do nothing."""

    def begin(self, state: TrainState) -> None:
        """Before the first step."""

    def record(self, record: Record) -> None:
        """Numbers of the steps since the last call."""

    def checkpoint(self, state: TrainState) -> None:
        """Time to save."""

    def last_good(self) -> str:
        """Where a run that diverged can be taken up again."""
        return "nothing was saved"

    def rollout(self, state: TrainState) -> None:
        """Time to roll out the policy that was just saved."""


def fit(state: TrainState, windows: Windows, validation: Windows | None, processes: Processes, hooks: Hooks) -> bool:
    """Train until ``cfg.steps``, or until SIGINT or SIGTERM.

    Every process draws indices and noise of the joint batch and takes its share: the loss is that of a single one.

    Args:
        state: Where to start from; changed in place.
        windows: Training windows.
        validation: Held-out windows, if any.
        processes: Those that train together.
        hooks: Called every ``log_every``, ``checkpoint_every`` and ``rollout_every`` steps.

    Returns:
        Whether the run is complete; False after a signal.
    """
    cfg, first_step, meter = state.cfg, state.step, Meter(state.step)
    with stop_signal() as stopped, Ahead(windows) as ahead:
        step = make_step(state, ahead, processes)
        if processes.is_first:
            hooks.begin(state)
        while state.step < cfg.steps:
            begin(state, windows, resumed=state.step == first_step)
            meter.logged.append(step())
            if state.step == first_step + 1:
                rehearse(state.ema.module, validation)
            due = Due.after(state.step, cfg)
            stop = processes.any(stopped(), state.policy.device, now=due.record or due.checkpoint)
            if due.record or due.checkpoint or stop:
                check_finite(meter.logged, state.step, hooks)
            if due.record:
                means = meter.read(state.step, processes)
                if processes.is_first:
                    hooks.record(means)
            if (due.checkpoint or stop) and processes.is_first:
                save(state, validation, hooks)
            if stop:
                return False
            if due.rollout and processes.is_first:
                hooks.rollout(state)
    return True


@dataclass(frozen=True)
class Due:
    """What comes after a step.

    Attributes:
        record: Whether its numbers are recorded.
        rollout: Whether the policy is rolled out.
        checkpoint: Whether it is saved; what is rolled out is saved first.
    """

    record: bool
    rollout: bool
    checkpoint: bool

    @classmethod
    def after(cls, step: int, cfg: TrainConfig) -> Due:
        """What is due when `step` steps are done."""
        is_last, rollout = step == cfg.steps, rolls_out(cfg, step)
        return cls(
            record=step % cfg.log_every == 0 or is_last,
            rollout=rollout,
            checkpoint=step % cfg.checkpoint_every == 0 or is_last or rollout,
        )


class Meter:
    """What steps log until it is read, and how fast they come.

    Args:
        first_step: The step at which the clock starts.
    """

    def __init__(self, first_step: int):
        self.first_step, self.started = first_step, time.perf_counter()
        self.logged: list[dict[str, Tensor]] = []

    def read(self, step: int, processes: Processes) -> Record:
        """Means of what was logged since the last reading, and steps per second since the clock started."""
        means = mean_of(self.logged, processes)
        self.logged.clear()
        rate = (step - self.first_step) / (time.perf_counter() - self.started)
        return {"step": step, **means, "steps_per_s": rate}


def save(state: TrainState, validation: Windows | None, hooks: Hooks) -> None:
    """Measure the averaged policy on held-out windows, if any, and save it."""
    if validation is not None:
        loss = validation_loss(state.ema.module, validation, state.cfg)
        hooks.record({"step": state.step, "validation_loss": loss})
    hooks.checkpoint(state)


def rolls_out(cfg: TrainConfig, step: int) -> bool:
    """Whether the policy of this step is rolled out."""
    return cfg.rollout_every > 0 and step % cfg.rollout_every == 0


def check_finite(records: list[dict[str, Tensor]], step: int, hooks: Hooks) -> None:
    """Stop a run that diverged, before it is saved.

    Args:
        records: What the last steps logged.
        step: Number of the last of them, counted from 1.
        hooks: Tell what to go back to.

    Raises:
        DivergedError: A loss or a gradient's norm is not finite.
    """
    watched = [(i, k) for i, record in enumerate(records) for k in record if k.endswith(("loss", "grad_norm"))]
    finite = torch.stack([records[i][name] for i, name in watched]).isfinite().tolist()
    for (i, name), is_finite in zip(watched, finite, strict=True):
        if not is_finite:
            player = name.removesuffix("grad_norm").removesuffix("loss").strip("_") or "policy"
            raise DivergedError(
                f"step {step - len(records) + 1 + i}: the loss or gradient of player {player!r} is not finite; "
                f"{hooks.last_good()}; a lower `lr` may help"
            )


def mean_of(records: list[dict[str, Tensor]], processes: Processes) -> Record:
    """Mean of each entry over steps and processes; beside check_finite the only place that waits for the device."""
    names = list(dict.fromkeys(name for record in records for name in record))
    means = [torch.stack([record[name] for record in records if name in record]).mean() for name in names]
    return dict(zip(names, processes.mean(torch.stack(means)).tolist(), strict=True))

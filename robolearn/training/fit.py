"""The training loop: batches in, optimizer steps, records and checkpoints out. One loop for every family."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from robolearn.data.ahead import Ahead
from robolearn.data.windows import Windows
from robolearn.errors import UserError, warn
from robolearn.policies.draws import Draws
from robolearn.policies.family import Chunks, Examples, Player
from robolearn.policies.policy import Policy
from robolearn.policies.prefix import prefix_draws
from robolearn.training.capture import CudaRecorder, Repeated, capture_problem
from robolearn.training.config import TrainConfig
from robolearn.training.course import Course, HostCourse
from robolearn.training.device import Processes, autocast
from robolearn.training.state import TrainState
from robolearn.types import Batch

VALIDATION_WINDOWS = 2048
VALIDATION_BATCH = 512

Record = dict[str, int | float]


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
    cfg, first_step, device = state.cfg, state.step, state.policy.device
    meter = Meter(first_step)
    with stop_signal() as stopped, Ahead(windows) as ahead:
        step = make_step(state, ahead, processes)
        if processes.is_first:
            hooks.begin(state)
        while state.step < cfg.steps:
            begin(state, windows, resumed=state.step == first_step)
            meter.logged.append(step())
            due = Due.after(state.step, cfg)
            stop = processes.any(stopped(), device, now=due.record or due.checkpoint)
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


def joint_loss(state: TrainState, processes: Processes) -> Callable[..., Any]:
    """The policy's loss, whose gradients all processes share; through torch.compile where that is wanted.

    Raises:
        UserError: The families' optimizer does not run in several processes, or cannot be compiled.
    """
    loss_of: Any = state.policy
    if processes.count > 1:
        if any(player.opponent is not None for player in state.players.values()):
            raise UserError("competitive gradient descent runs in one process; choose `family.optimizer` adam for more")
        # The loss of one player does not reach the other's weights.
        loss_of = DistributedDataParallel(state.policy, find_unused_parameters=len(state.players) > 1)
    return compiled(loss_of, state.players) if state.cfg.compile else loss_of


def make_step(state: TrainState, windows: Ahead, processes: Processes) -> Callable[[], dict[str, Tensor]]:
    """What makes a step and returns what is worth logging: `advance`, or a recording of it where that is asked for."""
    share, loss_of = processes.share(state.cfg.batch_size), joint_loss(state, processes)
    if state.cfg.capture:
        problem = capture_problem(state, windows, processes)
        if problem is None:
            step = functools.partial(move, state, loss_of, windows, share)
            return Repeated(state, step, CudaRecorder(state.policy.device, state.generator))
        if processes.is_first:
            warn(f"`capture`: {problem}; training goes on without")
    return functools.partial(advance, state, loss_of, windows, share)


def advance(state: TrainState, loss_of: Callable[..., Any], windows: Ahead, share: slice) -> dict[str, Tensor]:
    """One step on a batch of random windows; return what is worth logging."""
    logged = move(state, loss_of, windows, share, HostCourse(state.step, state.policy.device))
    state.passed()
    return logged


def move(
    state: TrainState, loss_of: Callable[..., Any], windows: Ahead, share: slice, course: Course
) -> dict[str, Tensor]:
    """All of a step but its count: what changes from one to the next is random, or a number of the course."""
    batch = windows.batch(draw_index(state, len(windows), state.generator)[share])
    draws = draw_all(state, course)
    if windows.waits and state.step + 1 < state.cfg.steps:
        # What is drawn next, from a stream of its own: a checkpoint of this step knows nothing of it yet.
        following = torch.Generator(state.policy.device)
        following.set_state(state.generator.get_state())
        windows.begin(draw_index(state, len(windows), following)[share])
    logged = optimize(state, loss_of, batch, share, draws, course)
    state.ema.update(state.step, course)
    return logged


def draw_index(state: TrainState, count: int, generator: torch.Generator) -> Tensor:
    """Random windows of a step, of so many, int64 [b]."""
    return torch.randint(count, (state.cfg.batch_size,), generator=generator, device=state.policy.device)


def draw_all(state: TrainState, course: Course) -> dict[str, Draws]:
    """All else that is random in a step, of every player that moves in it."""
    return {
        player: state.policy.draws(
            state.cfg.batch_size,
            generator=state.generator,
            player=player,
            progress=course.progress(player, functools.partial(state.progress, player)),
        )
        for player in state.moving()
    }


def save(state: TrainState, validation: Windows | None, hooks: Hooks) -> None:
    """Measure the averaged policy on held-out windows, if any, and save it."""
    if validation is not None:
        loss = validation_loss(state.ema.module, validation, state.cfg)
        hooks.record({"step": state.step, "validation_loss": loss})
    hooks.checkpoint(state)


def rolls_out(cfg: TrainConfig, step: int) -> bool:
    """Whether the policy of this step is rolled out."""
    return cfg.rollout_every > 0 and step % cfg.rollout_every == 0


def compiled(loss_of: Callable[..., Any], players: dict[str, Player]) -> Callable[..., Any]:
    """The loss through torch.compile, for the players whose loss it can take.

    Raises:
        UserError: It can take none.
    """
    if not any(player.compiles for player in players.values()):
        raise UserError("`compile`: torch.compile cannot differentiate twice, as this family's optimizer does")
    fast: Any = torch.compile(loss_of)

    def choose(batch: Batch, draws: Draws, *, player: str) -> tuple[Tensor, dict[str, Tensor]]:
        return (fast if players[player].compiles else loss_of)(batch, draws, player=player)

    return choose


def begin(state: TrainState, windows: Windows, *, resumed: bool) -> None:
    """Let the families prepare players whose span begins, or goes on in a resumed run."""
    for number, player in enumerate(state.players):
        start, end = state.span(player)
        if state.step == start or (resumed and start < state.step < end):
            generator = torch.Generator(state.policy.device).manual_seed(state.cfg.seed + 1 + number)
            with autocast(state.policy.device, state.cfg.amp):
                state.policy.family.begin(player, examples(state.policy, windows, generator), generator=generator)


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

    return Examples(draw, len(windows))


def random_batches(policy: Policy, windows: Windows, n: int, generator: torch.Generator) -> Iterator[Batch]:
    """Up to n random windows, each at most once, turned as in training; in parts that fit into memory."""
    order = torch.randperm(len(windows), generator=generator, device=policy.device)[:n]
    for index in order.split(1024):
        yield policy.turned(windows.batch(index), policy.turn_draws(len(index), generator=generator))


def optimize(
    state: TrainState,
    loss_of: Callable[..., Any],
    batch: Batch,
    share: slice,
    draws: dict[str, Draws] | None = None,
    course: Course | None = None,
) -> dict[str, Tensor]:
    """One step of every player that moves now; return what is worth logging, still on the device.

    Args:
        state: What is trained.
        loss_of: The policy's loss.
        batch: This process's share of the windows.
        share: Which that is.
        draws: Of each of these players, for all processes; by default drawn here.
        course: Where learning rates are from; by default they are of this step.
    """
    logged: dict[str, Tensor] = {}
    course = course or HostCourse(state.step, state.policy.device)
    for player, drawn in (draw_all(state, course) if draws is None else draws).items():
        optimizer = state.optimizers[player]
        rate = course.number(f"{player}: rate", functools.partial(state.learning_rate, player))
        for group in optimizer.param_groups:
            group["lr"] = rate
        shard = {name: value[share] for name, value in drawn.items()}
        with state.differentiated():
            with autocast(state.policy.device, state.cfg.amp):
                loss, details = loss_of(batch, shard, player=player)
            optimizer.differentiate(loss)
        norm = optimizer.move()
        prefix = "" if player == "policy" else f"{player}_"
        numbers = {"loss": loss.detach(), "grad_norm": norm, "lr": as_tensor(rate, loss), **details}
        logged |= {prefix + name: value for name, value in numbers.items()}
    return logged


def as_tensor(number: float | Tensor, like: Tensor) -> Tensor:
    """A number as a tensor [] of the type of another, without waiting for its device."""
    return number.to(like.dtype) if isinstance(number, Tensor) else torch.full_like(like, number)


def check_finite(records: list[dict[str, Tensor]], step: int, hooks: Hooks) -> None:
    """Stop a run that diverged, before it is saved.

    Args:
        records: What the last steps logged.
        step: Number of the last of them, counted from 1.
        hooks: Tell what to go back to.

    Raises:
        UserError: A loss or a gradient's norm is not finite.
    """
    watched = [(i, k) for i, record in enumerate(records) for k in record if k.endswith(("loss", "grad_norm"))]
    finite = torch.stack([records[i][name] for i, name in watched]).isfinite().tolist()
    for (i, name), is_finite in zip(watched, finite, strict=True):
        if not is_finite:
            player = name.removesuffix("grad_norm").removesuffix("loss").strip("_") or "policy"
            raise UserError(
                f"step {step - len(records) + 1 + i}: the loss or gradient of player {player!r} is not finite; "
                f"{hooks.last_good()}; a lower `lr` may help"
            )


def mean_of(records: list[dict[str, Tensor]], processes: Processes) -> Record:
    """Mean of each entry over steps and processes; beside check_finite the only place that waits for the device."""
    names = list(dict.fromkeys(name for record in records for name in record))
    means = [torch.stack([record[name] for record in records if name in record]).mean() for name in names]
    return dict(zip(names, processes.mean(torch.stack(means)).tolist(), strict=True))


@torch.no_grad()
def validation_loss(policy: Policy, windows: Windows, cfg: TrainConfig) -> float:
    """Loss on held-out windows, always the same ones with the same noise."""
    generator = torch.Generator(policy.device).manual_seed(cfg.seed)
    index = torch.randint(len(windows), (VALIDATION_WINDOWS,), generator=generator, device=policy.device)
    draws = policy.validation_draws(VALIDATION_WINDOWS, generator=generator)
    # What a step trains on fits into memory; more images might not, and few numbers at a time take long.
    size = cfg.batch_size if policy.encoder.cameras else max(cfg.batch_size, VALIDATION_BATCH)
    total = torch.zeros((), device=policy.device)
    for start in range(0, VALIDATION_WINDOWS, size):
        part = slice(start, start + size)
        batch, shard = windows.batch(index[part]), {name: value[part] for name, value in draws.items()}
        total += policy.validation_loss(batch, shard) * len(index[part])  # the last batch may be smaller
    return total.item() / VALIDATION_WINDOWS


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

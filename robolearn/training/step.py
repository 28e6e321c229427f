"""One optimizer step of every player that moves: a batch, what is random, the loss, and the weights that follow."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from robolearn.data.ahead import Ahead
from robolearn.errors import UserError, warn
from robolearn.policies.draws import Draws
from robolearn.policies.family import Player
from robolearn.training.capture import CudaRecorder, Repeated, capture_problem
from robolearn.training.course import Course, HostCourse
from robolearn.training.device import Processes, autocast
from robolearn.training.state import TrainState
from robolearn.types import Batch


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
    step = functools.partial(advance, state, loss_of, windows, share)
    return step if processes.is_first else functools.partial(_with_draws_of_its_own, state, processes.rank, step)


def _with_draws_of_its_own(state: TrainState, rank: int, step: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """A step of another process than the first, whose dropout would be the same as there.

    Noise is drawn for all processes together; dropout draws from torch's own stream, of which a checkpoint keeps that
    of the first process alone. So those of the others follow from seed, process and step.
    """
    drawn = np.random.SeedSequence([state.cfg.seed, rank, state.step])
    torch.manual_seed(int(drawn.generate_state(1, np.uint64)[0]))
    return step()


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
        optimizer.lr = rate
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

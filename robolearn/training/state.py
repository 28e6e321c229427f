"""Everything that changes while training, in one place that can be saved and restored bit by bit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from robolearn.errors import UserError, warn
from robolearn.policies.family import Player
from robolearn.policies.policy import Policy
from robolearn.policies.promises import kept_players
from robolearn.training.adamw import FlatAdamW
from robolearn.training.cgd import CompetitiveGradient
from robolearn.training.config import TrainConfig
from robolearn.training.device import is_bfloat16, num_processes
from robolearn.training.ema import EMA
from robolearn.training.flat import Flat, lowerable
from robolearn.training.moments import named, of_name
from robolearn.training.swag import Swag


class TrainState:
    """Policy, its moving average, one optimizer per player, the random stream and the step.

    Args:
        policy: To be trained, on its device.
        cfg: Learning rate, decay, seed.
    """

    def __init__(self, policy: Policy, cfg: TrainConfig):
        self.policy, self.cfg, self.step = policy, cfg, 0
        self.players = kept_players(policy.family.players(), policy.family)
        self.flats = self._flats()
        starts = {flat: min(self.span(name)[0] for name in players) for players, flat in self.flats.items()}
        self.ema = EMA(policy, cfg.ema_decay, starts)
        self.optimizers = {name: self._optimizer(name, player) for name, player in self.players.items()}
        self.generator = torch.Generator(policy.device).manual_seed(cfg.seed)
        self.swag = self._swag() if cfg.swag.share else None

    def _optimizer(self, name: str, player: Player) -> FlatAdamW | CompetitiveGradient:
        parameters, lr = self._parameters(player), player.lr or self.cfg.lr
        if player.opponent is not None:
            return CompetitiveGradient(parameters, player.opponent.parameters(), lr=lr)
        return FlatAdamW(
            [flat for players, flat in self.flats.items() if name in players],
            parameters,
            lr=lr,
            betas=player.betas,
            weight_decay=self.cfg.weight_decay,
            grad_clip=self.cfg.grad_clip,
        )

    def _parameters(self, player: Player) -> list[torch.nn.Parameter]:
        """What a player trains; frozen weights of cameras are not among it."""
        encoder = self.policy.encoder.parameters() if player.trains_encoder else ()
        return [*player.module.parameters(), *(parameter for parameter in encoder if parameter.requires_grad)]

    def _flats(self) -> dict[tuple[str, ...], Flat]:
        """Players -> the parameters that just these train."""
        trainers: dict[torch.nn.Parameter, tuple[str, ...]] = {}
        for name, player in self.players.items():
            for parameter in self._parameters(player):
                trainers[parameter] = (*trainers.get(parameter, ()), name)
        groups: dict[tuple[str, ...], list[torch.nn.Parameter]] = {}
        for parameter, players in trainers.items():
            groups.setdefault(players, []).append(parameter)
        low = lowerable(self.policy) if self._is_lowered() else set[torch.nn.Parameter]()
        return {players: Flat(parameters, low) for players, parameters in groups.items()}

    def _is_lowered(self) -> bool:
        """Whether steps use weights in bfloat16: not where others or a loss need theirs, or differentiate twice."""
        alone = num_processes() == 1 and not self.cfg.compile
        fit = all(player.lowers and player.opponent is None for player in self.players.values())
        return alone and fit and is_bfloat16(self.policy.device, self.cfg.amp)

    @contextmanager
    def differentiated(self) -> Iterator[None]:
        """Meanwhile weights are as a step uses them and may gather gradients; behind it they have none."""
        with ExitStack() as stack:
            for flat in self.flats.values():
                stack.enter_context(flat.lowered())
            yield

    def _swag(self) -> Swag:
        """Of the players that move while moments are collected; see `collecting`."""
        begin, players = collecting(self.cfg, self.players)
        moving = {parameter for name in players for parameter in self._parameters(self.players[name])}
        names = [name for name, parameter in self.policy.named_parameters() if parameter in moving]
        return Swag(self.cfg.swag, self.policy, names, begin, self.cfg.steps)

    def span(self, player: str) -> tuple[int, int]:
        """First step of a player, and the first behind its last."""
        return _steps(self.players[player], self.cfg)

    def moving(self) -> list[str]:
        """The players that move at this step, in order."""
        moving = []
        for name, player in self.players.items():
            start, end = self.span(name)
            if start <= self.step < end and (self.step - start + 1) % player.every == 0:
                moving.append(name)
        return moving

    def progress(self, player: str, step: int | None = None) -> float:
        """Share in [0, 1) of a player's span that lies behind, now or at a step; at its ends for steps beyond it."""
        start, end = self.span(player)
        step = self.step if step is None else step
        return (min(max(step, start), end - 1) - start) / (end - start)

    def learning_rate(self, player: str, step: int | None = None) -> float:
        """Linear warm-up, then cosine to zero at the end of the player's span; a function of the step alone.

        Where moments of the weights are collected, the cosine ends at their rate where that begins, and stays there.
        """
        step = self.step if step is None else step
        start, end = self.span(player)
        peak, warmup, floor = self.players[player].lr or self.cfg.lr, _warmup(end - start, self.cfg), 0.0
        if self.swag is not None and end > self.swag.begin:
            end, floor = self.swag.begin, self.cfg.swag.rate
        step, steps = min(max(step, start), end) - start, end - start
        if step < warmup:
            return peak * (step + 1) / warmup
        if step == steps:
            return peak * floor
        return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))))

    def passed(self) -> None:
        """Count a step that was made, and take a snapshot of the weights where one is due behind it."""
        self.step += 1
        if self.swag is not None:
            self.swag.follow(self.policy, self.step)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state by name, for a checkpoint."""
        tensors = {f"policy.{k}": v for k, v in self.policy.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.module.state_dict().items()}
        for player, optimizer in self.optimizers.items():
            tensors |= named(optimizer.state(), f"optimizer.{player}")
        if self.swag is not None:
            tensors |= self.swag.tensors()
        tensors["random.train"] = self.generator.get_state()
        tensors["random.cpu"] = torch.get_rng_state()
        if self.policy.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.policy.device)
        return tensors

    def problem(self, tensors: dict[str, Tensor], step: int) -> str | None:
        """Say what in saved tensors cannot be of this training at ``step``; None if nothing stands out."""
        for prefix, module in (("policy", self.policy), ("ema", self.ema.module)):
            for name, ours in module.state_dict().items():
                theirs = tensors.get(f"{prefix}.{name}")
                if theirs is None or (theirs.shape, theirs.dtype) != (ours.shape, ours.dtype):
                    return (
                        f"not of this policy ({prefix}.{name}); horizons and observations cannot change when resuming"
                    )
        if self.swag is not None and (problem := self.swag.problem(tensors)):
            return problem
        slots: dict[str, set[str]] = {}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            if group != "optimizer":
                continue
            player, index, slot = ("", "", *rest.rsplit(".", 2))[-3:]  # a family's players may be called anything
            slots.setdefault(f"{player}.{index}", set()).add(slot)
            optimizer = self.optimizers.get(player)
            if optimizer is None or not index.isdigit() or int(index) >= len(optimizer.shapes):
                return f"{name} is of no parameter"
            shape = torch.Size(()) if slot == "step" else optimizer.shapes[int(index)]
            if slot not in optimizer.slots or not value.is_floating_point() or value.shape != shape:
                return f"{name} does not fit its parameter"
            if (slot in ("step", "exp_avg_sq") and value.min() < 0) or (slot == "step" and value.max() > step):
                return f"{name} is {value.min():g}, which no training of {step} steps leaves"
        for parameter, saved in slots.items():
            wanted = self.optimizers[parameter.rpartition(".")[0]].slots
            if saved != set(wanted):
                return f"optimizer.{parameter} has {', '.join(sorted(saved))}, and not {', '.join(wanted)}"
        return None

    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        """Take over what ``tensors`` returned at ``step``.

        It is bit for bit what it was on a device of the same kind; on another kind there is a warning.
        """
        groups: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            groups.setdefault(group, {})[rest] = value
        self.policy.load_state_dict(groups["policy"])
        self.ema.module.load_state_dict(groups["ema"])
        for player, optimizer in self.optimizers.items():
            optimizer.restore(of_name(tensors, f"optimizer.{player}"))
        if self.swag is not None:
            self.swag.restore(groups["swag"])
        random, is_cuda = groups["random"], self.policy.device.type == "cuda"
        torch.set_rng_state(random["cpu"])
        if ("cuda" in random) == is_cuda:
            self.generator.set_state(random["train"])
        else:  # a GPU's stream of random numbers cannot go on on a CPU, nor the other way round
            self.generator.manual_seed(self.cfg.seed + step)
            here, there = ("a GPU", "a CPU") if is_cuda else ("a CPU", "a GPU")
            warn(f"the run was trained on {there} and goes on on {here}: with other random numbers, not bit for bit")
        if is_cuda and "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], self.policy.device)
        self.step = step


def collecting(cfg: TrainConfig, players: Mapping[str, Player]) -> tuple[int, list[str]]:
    """The step from which moments of the weights are collected, and the players that move meanwhile.

    Raises:
        UserError: One of them begins, warms up or ends meanwhile, or there are too few steps.
    """
    share, moving = cfg.swag.share, list[str]()
    begin = round((1 - share) * cfg.steps)
    if cfg.steps - begin < 2:
        raise UserError(f"`swag.share` {share} of {cfg.steps} `steps` leaves fewer than 2 to collect from")
    for name, player in players.items():
        start, end = _steps(player, cfg)
        if end <= begin:
            continue
        warm = start + _warmup(end - start, cfg)
        if end < cfg.steps or begin < warm:
            raise UserError(
                f"`swag.share` {share} collects from step {begin} on, and player {name!r}, who moves from {start} to "
                f"{end}, is warm at {warm}; choose a smaller share"
            )
        moving.append(name)
    return begin, moving


def _steps(player: Player, cfg: TrainConfig) -> tuple[int, int]:
    """A player's span in steps."""
    start, end = player.span
    return round(start * cfg.steps), round(end * cfg.steps)


def _warmup(steps: int, cfg: TrainConfig) -> int:
    """Steps of a span's warm-up."""
    return min(cfg.warmup_steps, steps // 2)

"""The simulator itself: a policy whose chunk is how the state changes, and a network that tells when an episode ends.

directory/config.json        SimulatorConfig, and what else has to be known: `Facts`
directory/recordings.json    hash of the recordings that learning began with; older simulators have none
directory/transitions.zarr   what the states were learned from, see transitions.py
directory/dynamics/          the run of that training, see robolearn/training/run.py
directory/ending.safetensors the network that tells when episodes end
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.config import from_json, read_json
from robolearn.data.normalizer import Normalizer
from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.files import StrPath
from robolearn.nets.weights import build_with_weights
from robolearn.policies.policy import Policy
from robolearn.simulator.ending import Ending
from robolearn.simulator.transitions import BEFORE, PLAN, STATE
from robolearn.training.run import Run
from robolearn.types import Array

CONFIG_FILE, FACTS_FILE, RECORDINGS_FILE, STORE, RUN, ENDING_FILE = (
    "config.json",
    "simulator.json",
    "recordings.json",
    "transitions.zarr",
    "dynamics",
    "ending.safetensors",
)


@dataclass(frozen=True)
class Facts:
    """What has to be known of a simulator beside its weights; written when it is complete."""

    obs_shapes: dict[str, tuple[int, ...]]
    """Key -> shape, in the order in which they make the state."""
    action_dim: int
    """Numbers of an action."""
    horizon: int
    """States that are drawn at once."""
    history: int
    """States that are seen."""
    max_steps: int
    """Of the longest recording."""
    action_low: tuple[float, ...]
    """The least number of each dimension of the recorded actions."""
    action_high: tuple[float, ...]
    """The greatest ones."""

    @property
    def state_dim(self) -> int:
        """Numbers of a state."""
        return sum(map(math.prod, self.obs_shapes.values()))

    def observations(self, states: Float[np.ndarray, "*n s"]) -> dict[str, Array]:
        """States as observations by key."""
        cuts = np.cumsum([math.prod(shape) for shape in self.obs_shapes.values()])[:-1]
        parts = zip(self.obs_shapes.items(), np.split(states, cuts, axis=-1), strict=True)
        return {key: part.reshape(*states.shape[:-1], *shape) for (key, shape), part in parts}


class LearnedSimulator:
    """Draws what comes of actions.

        simulator = LearnedSimulator.open("simulators/push")

    Args:
        directory: Of `learn_simulator`.
        facts: What it is of.
        policy: Draws the next states.
        ending: Tells when episodes end.
    """

    def __init__(self, directory: Path, facts: Facts, policy: Policy, ending: Ending):
        self.directory, self.facts, self.policy, self.ending = directory, facts, policy, ending

    @classmethod
    def open(cls, directory: StrPath, *, device: torch.device | str = "cpu") -> LearnedSimulator:
        """Read a simulator; safe on files from strangers.

        Raises:
            UserError: There is none, it is not complete, or a file is damaged.
        """
        directory = Path(directory)
        path = directory / FACTS_FILE
        if not path.exists():
            raise UserError(f"{directory} holds no complete learned simulator: it has no {FACTS_FILE}")
        facts = from_json(Facts, read_json(path), {}, str(path))
        policy = Policy.load(Run.open(directory / RUN).checkpoint("last"), device=device)
        seen = facts.history * facts.state_dim + facts.action_dim
        ending = build_with_weights(
            lambda: Ending(Normalizer({"seen": (seen,)})),
            directory / ENDING_FILE,
            needs={"normalizer.seen_centre": (seen,)},
        )
        return cls(directory, facts, policy, ending.eval().to(device))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.policy.device

    def noise(self, rows: int, steps: int, *, generator: torch.Generator) -> Float[Tensor, "b k ..."]:
        """Draw everything random that `unroll` needs for so many steps."""
        chunks = -(-steps // self.facts.horizon)
        return self.policy.family.noise(rows * chunks, generator=generator).unflatten(0, (rows, chunks))

    @torch.inference_mode()
    def unroll(
        self,
        history: Float[Tensor, "b o s"],
        actions: Float[Tensor, "b t a"],
        noise: Float[Tensor, "b k ..."],
    ) -> Float[Tensor, "b t s"]:
        """Draw the states after each action.

        Args:
            history: The last states, now last; the first state repeated where an episode has just begun.
            actions: To be executed; beyond what was recorded they count as its bounds.
            noise: From `noise`, for as many steps.
        """
        facts, drawn, actions = self.facts, history, self._as_recorded(actions)
        for k, start in enumerate(range(0, actions.shape[1], facts.horizon)):
            plan = actions[:, start : start + facts.horizon]
            missing = facts.horizon - plan.shape[1]
            held = torch.cat([plan, plan[:, -1:].expand(-1, missing, -1)], dim=1)
            obs = {**self._seen(drawn[:, -facts.history :]), PLAN: held.flatten(1)}
            changes = self.policy.act({key: rows[:, None] for key, rows in obs.items()}, noise[:, k])
            drawn = torch.cat([drawn, drawn[:, -1:] + changes[:, : plan.shape[1]].cumsum(1)], dim=1)
        return drawn[:, history.shape[1] :]

    @torch.inference_mode()
    def endings(
        self,
        history: Float[Tensor, "b o s"],
        actions: Float[Tensor, "b t a"],
        states: Float[Tensor, "b t s"],
        share: Float[Tensor, "b t"],
    ) -> Tensor:
        """What each action brings, as `Ends` [b, t].

        Args:
            history: As for `unroll`.
            actions: As for `unroll`.
            states: What `unroll` drew.
            share: Uniform in [0, 1): the draws.
        """
        o = self.facts.history
        path = torch.cat([history[:, -o:], states[:, :-1]], dim=1).unfold(1, o, 1).transpose(2, 3)  # [b, t, o, s]
        seen = self._seen(path.flatten(0, 1))
        executed = self._as_recorded(actions).flatten(0, 1)
        rows = torch.cat([seen[STATE], seen.get(BEFORE, seen[STATE][:, :0]), executed], dim=1)
        return self.ending.draw(rows, share.flatten()).unflatten(0, share.shape)

    def held_out(self) -> list[tuple[Array, Array]]:
        """Episodes that nothing was learned from: states [t, s] and the actions between them [t - 1, a].

        Raises:
            UserError: The recording is gone or damaged.
        """
        return self._episodes(Run.open(self.directory / RUN).data().validation_episodes)

    def learned_from(self) -> list[tuple[Array, Array]]:
        """The others, likewise."""
        return self._episodes(Run.open(self.directory / RUN).data().training_episodes)

    def _as_recorded(self, actions: Float[Tensor, "b t a"]) -> Float[Tensor, "b t a"]:
        """Actions within the bounds of those that were recorded: of others no network has learned what they bring."""
        low, high = self.facts.action_low, self.facts.action_high
        return actions.clamp(*(torch.tensor(end, device=actions.device) for end in (low, high)))

    def _seen(self, history: Float[Tensor, "b o s"]) -> dict[str, Tensor]:
        before = history.diff(dim=1).flip(1).flatten(1)
        return {STATE: history[:, -1], **({BEFORE: before} if self.facts.history > 1 else {})}

    def _episodes(self, numbers: tuple[int, ...]) -> list[tuple[Array, Array]]:
        store, episodes = DemoStore.open(self.directory / STORE), []
        for number in numbers:
            episode = store.episode(number)
            states = np.concatenate([episode.obs[STATE], episode.obs[STATE][-1:] + episode.actions[-1:]])
            episodes.append((states, episode.obs[PLAN][:, : self.facts.action_dim]))
        return episodes

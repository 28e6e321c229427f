"""What a score of doubt is, and what it may look at.

A score is a function of one replanning of s environments to [s] numbers, larger where the policy is less certain. It
takes what it needs from `Evidence`, which computes what is costly when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from robolearn.errors import UserError
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.policy import Policy

NUM_WINDOWS = 4000  # of demonstrations, that most scores are fitted to


@dataclass(frozen=True)
class Evidence:
    """One replanning of s environments; chunks are normalized, so that every number of an action counts alike.

    Attributes:
        ensemble: The acting policy first.
        obs: Key -> [s, o, ...] in physical units.
        noise: That the members' n samples are drawn from, [s * n, ...].
        executed: The chunk that is to be executed.
        executed_before: The one before.
        before: Samples of the first member at the replanning before; zeros where no score takes samples.
        known: Where there is a replanning before, and what it planned was executed.
        num_executed: Steps from that replanning to this one.
        elapsed: Steps of the episode until now.
        fitted: Parts of scores that were fitted to demonstrations, by the score's name.
        seed: Of what shall be drawn alike at every replanning.
    """

    ensemble: Ensemble
    obs: dict[str, Tensor]
    noise: Float[Tensor, "m ..."]
    executed: Float[Tensor, "s t a"]
    executed_before: Float[Tensor, "s t a"]
    before: Float[Tensor, "s n t a"]
    known: Bool[Tensor, " s"]
    num_executed: int
    elapsed: Float[Tensor, " s"]
    fitted: Mapping[str, nn.Module]
    seed: int

    @property
    def policy(self) -> Policy:
        """The acting one."""
        return self.ensemble.members[0]

    @cached_property
    def samples(self) -> Float[Tensor, "k s n t a"]:
        """Chunks of every member, drawn from the same noise."""
        chunks = self.ensemble.normalize(self.ensemble.act(self.obs, self.noise))
        return chunks.unflatten(1, self.before.shape[:2])

    @property
    def sampled(self) -> bool:
        """Whether anything asked for samples."""
        return "samples" in vars(self)

    @cached_property
    def embedding(self) -> Float[Tensor, "s d"]:
        """What the first member's encoder makes of the observations."""
        return self.ensemble.embed(self.obs)


def needs_nothing(ensemble: Ensemble, period: int) -> None:
    """Let every policy pass."""


@dataclass(frozen=True)
class Score:
    """A score of doubt by name; `register_score` makes one's own known.

    def slowness(seen: Evidence) -> Tensor:
        return -seen.executed.diff(dim=1).norm(dim=2).mean(1)

    register_score(Score("slowness", slowness))
    """

    name: str
    """As on the command line."""
    call: Callable[[Evidence], Float[Tensor, " s"]]
    """Scores one replanning."""
    check: Callable[[Ensemble, int], None] = needs_nothing
    """Raises a UserError unless it can be computed of this ensemble, with chunks replaced every so many steps."""
    fit: Callable[[Tensor, Tensor, Generator], nn.Module] | None = None
    """Fits it to embeddings [m, d] of demonstrations and the normalized chunks [m, p] that the expert did there; None
    where there is nothing to fit. The module takes embeddings [b, d] to scores [b]."""
    restore: Callable[[dict[str, Tensor]], nn.Module] | None = None
    """Makes such a module again from its state_dict; a KeyError, RuntimeError or TypeError where it is of another."""
    num_windows: int = NUM_WINDOWS
    """Random windows of demonstrations that it is fitted to, at most."""

    def of_all(self, seen: Evidence) -> Float[Tensor, " s"]:
        """The scores of one replanning, in double precision.

        Raises:
            UserError: What `call` returned is something else than one number for each environment.
        """
        scores, count = self.call(seen), len(seen.executed)
        if not isinstance(scores, Tensor) or tuple(scores.shape) != (count,):
            shown = f"a tensor {[*scores.shape]}" if isinstance(scores, Tensor) else f"{type(scores).__name__}"
            raise UserError(
                f"score {self.name} returned {shown}; expected a tensor [{count}], one number per environment"
            )
        return scores.double()

    @classmethod
    def of_embeddings(
        cls,
        name: str,
        fit: Callable[[Tensor, Tensor, Generator], nn.Module],
        restore: Callable[[dict[str, Tensor]], nn.Module],
        num_windows: int = NUM_WINDOWS,
    ) -> Score:
        """One that is fitted to demonstrations and looks at nothing but embeddings."""
        return cls(
            name, lambda seen: seen.fitted[name](seen.embedding), fit=fit, restore=restore, num_windows=num_windows
        )
